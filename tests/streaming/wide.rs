//! Raw values of f64: every way through the library gives the same bits, and a constant that is added to a series
//! is added to its predictions and changes nothing else.

use crate::counting::allocations;
use crate::differencing::transforms;
use proptest::prelude::*;
use rnnstep::cpu::Threads;
use rnnstep::model::file;
use rnnstep::units::scaler::Scaling;
use rnnstep::units::transform::Fitted;
use rnnstep::{
    CellKind, Cpu, Learner, LearnerOptions, Loss, Model, Order, Shape, State, Stream, Streams, TargetTransform, Tensor,
    Units,
};

const ROWS: usize = 60;

/// A series on a grid of 2^-10, so that constants up to 10^12 can be added to it without rounding.
fn series(offset: f64) -> Vec<f64> {
    let wave = |t: usize| (0.37 * t as f64).sin() * 3.0 + 0.02 * t as f64 + 5.0;
    (0..ROWS).map(|t| (wave(t) * 1024.0).round() / 1024.0 + offset).collect()
}

fn model(cell: CellKind, transform: impl Into<Fitted>, loss: Loss, rows: &[f64]) -> Model {
    let rows = (&rows[..ROWS / 2], 1);
    let units = Units::fit(Scaling::Standard, transform, loss, rows, rows, Some(&[0])).unwrap();
    let shape = Shape::new(cell, 1, 9, 2, loss.outputs(1)).unwrap();
    Model::random(shape, 3).unwrap().with_units(units).unwrap()
}

fn streamed(model: &Model, rows: &[f64]) -> Vec<f64> {
    let mut stream = Stream::new(model.clone()).unwrap();
    rows.iter().flat_map(|&x| stream.step_f64(&[x]).unwrap().to_vec()).collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn losses() -> impl Strategy<Value = Loss> {
    prop_oneof![Just(Loss::Mse), Just(Loss::Gaussian), Just("quantiles:0.1,0.5,0.9".parse().unwrap()),]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_way_gives_the_same_bits(
        cell in prop::sample::select(&CellKind::ALL[..]),
        transform in transforms(1),
        loss in losses(),
        offset in prop::sample::select(vec![0.0, -1e3, 123_456_789.0, 1e12]),
    ) {
        let rows = series(offset);
        let model = model(cell, transform, loss, &rows);
        let expected = bits(&streamed(&model, &rows));
        // a sequence, whole and in two parts with a state in between
        let x = Tensor::new([ROWS, 1], rows.clone()).unwrap();
        let mut state = State::new(model.shape(), 1);
        let y = model.forward(Cpu::widest(), &x, Order::BatchFirst, &mut state).unwrap();
        prop_assert_eq!(bits(y.data()), expected.clone());
        let mut stream = Stream::new(model.clone()).unwrap();
        let outputs = model.shape().width_out();
        let mut halves = Vec::new();
        for (t, &x) in rows.iter().enumerate() {
            if t == ROWS / 3 {
                let past = stream.state().unwrap().past().map(|past| past.data().to_vec());
                let (h, c) = (stream.state().unwrap().h(), stream.state().unwrap().c());
                let mut other = State::new(model.shape(), 1);
                other.set_h(h.data()).unwrap();
                if let Some(c) = c {
                    other.set_c(c.data()).unwrap();
                }
                if let Some(past) = past {
                    other.set_past(model.units().unwrap(), &past).unwrap();
                }
                stream = Stream::new(model.clone()).unwrap();
                stream.set_state(&other).unwrap();
            }
            halves.extend_from_slice(stream.step_f64(&[x]).unwrap());
        }
        prop_assert_eq!(bits(&halves), expected.clone());
        // a ticker
        if outputs == 1 {
            let mut stream = Stream::new(model.clone()).unwrap();
            let mut tick = stream.ticker::<1, 1>().unwrap();
            tick.warm_up();
            let y: Vec<f64> = rows.iter().map(|&x| tick.step_f64([x])[0]).collect();
            prop_assert_eq!(bits(&y), expected.clone());
        }
        // many streams, one at a time and together
        let mut streams = Streams::new(model.clone(), Cpu::widest(), Threads::default(), 3).unwrap();
        let [a, b] = [streams.open().unwrap(), streams.open().unwrap()];
        let (mut alone, mut together, mut y) = (Vec::new(), Vec::new(), vec![0.0; outputs]);
        for &x in &rows {
            alone.extend_from_slice(streams.step_f64(a, &[x]).unwrap());
            streams.step_many_f64(&[b], &[x], &mut y).unwrap();
            together.extend_from_slice(&y);
        }
        prop_assert_eq!(bits(&alone), expected.clone());
        prop_assert_eq!(bits(&together), expected.clone());
        // a learner that does not learn
        let options = LearnerOptions { loss, window: 4, ..LearnerOptions::default() };
        let mut learner = Learner::new(model, options, Cpu::widest()).unwrap();
        learner.warm_up();
        learner.pause();
        let y: Vec<f64> = rows.iter().flat_map(|&x| learner.tick_f64(&[x], &[x]).unwrap().0.to_vec()).collect();
        prop_assert_eq!(bits(&y), expected);
    }

    /// The predictions of a series plus a constant are those of the series plus the constant. A relative change is
    /// another number then, and is left out.
    #[test]
    fn a_constant_changes_nothing_else(
        cell in prop::sample::select(&CellKind::ALL[..]),
        season in 0..9_usize,
        power in 0..13,
    ) {
        let transform = match season {
            0 => TargetTransform::Value,
            1 => TargetTransform::Change,
            season => TargetTransform::SeasonalChange { season },
        };
        let of = |offset: f64| {
            let rows = series(offset);
            streamed(&model(cell, transform, Loss::Mse, &rows), &rows)
        };
        let offset = 10_f64.powi(power);
        // f64 holds the sum to this
        let finest = offset * f64::EPSILON;
        for (t, (plain, moved)) in of(0.0).iter().zip(of(offset)).enumerate() {
            prop_assert!((moved - offset - plain).abs() <= 8.0 * finest + 1e-5, "{}: {} {}", t, plain, moved);
        }
    }

    /// A learner sees the same losses, and learns the same, whatever the constant.
    #[test]
    fn a_learner_does_not_mind_a_constant(power in 3..11) {
        let of = |offset: f64| {
            let rows = series(offset);
            let model = model(CellKind::Gru, TargetTransform::Change, Loss::Mse, &rows);
            let options = LearnerOptions { lr: 0.01, window: 5, adapt: Some(0.99), ..LearnerOptions::default() };
            let mut learner = Learner::new(model, options, Cpu::widest()).unwrap();
            let losses: Vec<f32> =
                rows.iter().filter_map(|&x| learner.tick_f64(&[x], &[x]).unwrap().1.loss).collect();
            losses
        };
        prop_assert_eq!(of(0.0), of(10_f64.powi(power)));
    }
}

/// Without units there is nothing to compute in f64: both ways give the network's own numbers.
#[test]
fn a_model_without_units_gives_the_same_numbers_in_both_ways() {
    let model = Model::random(Shape::new(CellKind::Lstm, 2, 7, 1, 3).unwrap(), 1).unwrap();
    let (mut narrow, mut wide) = (Stream::new(model.clone()).unwrap(), Stream::new(model).unwrap());
    for t in 0..20 {
        let x = [(0.3 * t as f32).sin(), 0.1 * t as f32];
        let y: Vec<f64> = narrow.step(&x).unwrap().iter().map(|&y| y.into()).collect();
        assert_eq!(wide.step_f64(&x.map(f64::from)).unwrap(), y);
    }
}

/// A meter that reads 123,456,789 moves by less than f32 can tell apart: the way in f32 stands still, the way in f64
/// does not. Both can be taken in turn.
#[test]
fn what_f32_cannot_tell_apart() {
    let rows = series(123_456_789.0);
    let model = model(CellKind::Gru, TargetTransform::Change, Loss::Mse, &rows);
    let mut narrow = Stream::new(model.clone()).unwrap();
    let y: Vec<f32> = rows.iter().map(|&x| narrow.step(&[x as f32]).unwrap()[0]).collect();
    assert!(y.iter().all(|y| f64::from(*y) % 8.0 == 0.0), "{y:?}");
    let wide = streamed(&model, &rows);
    assert!(wide.windows(2).any(|pair| (pair[0] - pair[1]).abs() < 4.0 && pair[0] != pair[1]), "{wide:?}");
    let mut both = Stream::new(model).unwrap();
    for (t, &x) in rows.iter().enumerate() {
        let y = if t % 2 == 0 { both.step_f64(&[x]).unwrap()[0] } else { both.step(&[x as f32]).unwrap()[0].into() };
        assert!((y - x).abs() < 20.0, "{t}: {y} after {x}");
    }
}

#[test]
fn a_step_in_f64_allocates_nothing() {
    let rows = series(1e9);
    for transform in [TargetTransform::Value, TargetTransform::SeasonalChange { season: 5 }] {
        let model = model(CellKind::Lstm, transform, Loss::Mse, &rows);
        let mut stream = Stream::new(model.clone()).unwrap();
        let mut streams = Streams::new(model.clone(), Cpu::widest(), Threads::default(), 2).unwrap();
        let handles = [streams.open().unwrap(), streams.open().unwrap()];
        let mut learner = Learner::new(model, LearnerOptions::default(), Cpu::widest()).unwrap();
        let mut y = [0.0; 2];
        let count = allocations(|| {
            for &x in &rows {
                stream.step_f64(&[x]).unwrap();
                stream.advance();
                streams.step_many_f64(&handles, &[x, x], &mut y).unwrap();
                streams.step_f64(handles[0], &[x]).unwrap();
                learner.tick_f64(&[x], &[x]).unwrap();
            }
        });
        assert_eq!(count, 0, "{transform:?}");
    }
}

/// A learner in a file of the first release has its rows in f32. It is read, and continues.
#[test]
fn a_learner_with_rows_in_f32_is_read() {
    let rows = series(0.0);
    let model = model(CellKind::Gru, TargetTransform::SeasonalChange { season: 4 }, Loss::Mse, &rows);
    let options = LearnerOptions { window: 5, ..LearnerOptions::default() };
    let mut learner = Learner::new(model, options, Cpu::widest()).unwrap();
    for &x in &rows[..40] {
        learner.tick_f64(&[x], &[x]).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let (new, old) = (folder.path().join("new.safetensors"), folder.path().join("old.safetensors"));
    learner.save(&new, &file::Metadata::default()).unwrap();
    let mut loaded = file::load(&new, &file::ReadOptions::default(), Cpu::widest()).unwrap();
    let extra: Vec<_> =
        loaded.extra.iter().map(|(name, array)| (name.clone(), array.clone().narrow().into())).collect();
    file::save(&old, &loaded.model, &loaded.metadata, &extra).unwrap();
    let loaded_old = file::load(&old, &file::ReadOptions::default(), Cpu::widest()).unwrap();
    assert_ne!(loaded_old.extra, loaded.extra);
    let mut continued = Learner::from_file(&loaded_old, options, Cpu::widest()).unwrap();
    for &x in &rows[40..] {
        let expected = learner.tick_f64(&[x], &[x]).unwrap().0[0];
        let y = continued.tick_f64(&[x], &[x]).unwrap().0[0];
        assert!((y - expected).abs() < 1e-4, "{y} {expected}");
    }
    // and a part that is missing is missed
    loaded.extra.remove("learner.past");
    let error = Learner::from_file(&loaded, options, Cpu::widest()).unwrap_err().to_string();
    assert!(error.contains("past has 0 values, expected 4"), "{error}");
}
