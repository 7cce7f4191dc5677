//! Models that predict changes: values go in and come out, with the same bits on every way through
//! the library, and a file keeps the kind of change.

use crate::counting::allocations;
use proptest::prelude::*;
use rnnstep::Units;
use rnnstep::cpu::Threads;
use rnnstep::model::{file, fixed};
use rnnstep::units::autoregression::Autoregression;
use rnnstep::units::transform::Fitted;
use rnnstep::{
    CellKind, Cpu, Error, Fixed, Isa, Model, Order, Scaler, Shape, State, Stream, Streams, TargetTransform, Tensor,
};

const INPUT: usize = 3;

pub fn transforms(columns: usize) -> impl Strategy<Value = Fitted> {
    prop_oneof![
        Just(TargetTransform::Value.into()),
        Just(TargetTransform::Change.into()),
        Just(TargetTransform::RelativeChange.into()),
        (1..9_usize).prop_map(|season| TargetTransform::SeasonalChange { season }.into()),
        (prop::collection::vec((1..9_usize, -0.6..0.6), 1..5), 0..9_usize)
            .prop_map(move |(terms, difference)| residual(&terms, difference, columns)),
    ]
}

/// The residuals of one or two autoregressions, of which the second has one term more.
fn residual(terms: &[(usize, f64)], difference: usize, columns: usize) -> Fitted {
    let more = [terms, &[(2, 0.25)]].concat();
    let of = |center, terms| Autoregression::new(center, 0.125, terms).unwrap();
    let both = vec![of(0.5, terms), of(-1.0, &more)];
    Fitted::residual(both.into_iter().take(columns).collect::<Vec<_>>(), difference)
}

fn scaler(width: usize) -> Scaler {
    let rows: Vec<f32> = (0..4 * width).map(|i| ((i * 7 % 11) as f32 - 5.0) * 0.3).collect();
    Scaler::fit(rnnstep::units::scaler::Scaling::Standard, &rows, width).unwrap()
}

/// A model of three inputs that predicts the last one and the first one, in this order.
fn model(cell: CellKind, hidden: usize, layers: usize, transform: impl Into<Fitted>, seed: u64) -> Model {
    let shape = Shape::new(cell, INPUT, hidden, layers, 2).unwrap();
    let units = Units::scaled(scaler(INPUT), scaler(2)).with_transform(transform, &[2, 0]).unwrap();
    Model::random(shape, seed).unwrap().with_units(units).unwrap()
}

/// A series that grows, with a zero in it.
fn series(rows: usize) -> Tensor {
    let value = |i: usize| if i == 8 { 0.0 } else { (i as f32 * 0.37).sin() + 0.05 * i as f32 };
    Tensor::new([rows, INPUT], (0..rows * INPUT).map(value).collect::<Vec<_>>()).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// y of a network that knows nothing of forms, with the form taken and given back by hand as its description says.
fn by_hand(model: &Model, x: &Tensor) -> Vec<f32> {
    let units = model.units().unwrap();
    let (transform, targets, regressions) = (units.transform(), [2, 0], units.fitted().autoregressions());
    let plain = model.clone().with_units(Units::scaled(units.x().clone(), units.y().clone())).unwrap();
    let before = |t: usize, column: usize| x.data()[t.saturating_sub(transform.lag()) * INPUT + column];
    // center + intercept + Σ coefficient · (value - center), in f64
    let expected = |t: usize, d: usize| {
        let value = |lag: usize| f64::from(x.data()[t.saturating_sub(lag) * INPUT + targets[d]]);
        let center = if d == 0 { 0.5 } else { -1.0 };
        let sum: f64 = regressions[d].terms().map(|(lag, coefficient)| coefficient * (value(lag) - center)).sum();
        (center + (0.125 + sum)) as f32
    };
    let mut rows = x.data().to_vec();
    for t in 0..x.rows().0 {
        for column in targets {
            let (b, now) = (before(t, column), x.data()[t * INPUT + column]);
            rows[t * INPUT + column] = match transform {
                TargetTransform::Value => now,
                TargetTransform::Change | TargetTransform::SeasonalChange { .. } => now - b,
                TargetTransform::RelativeChange => {
                    if b == 0.0 {
                        0.0
                    } else {
                        (now - b) / b.abs()
                    }
                }
                TargetTransform::Residual { difference: 0, .. } => now,
                TargetTransform::Residual { difference, .. } => {
                    now - x.data()[t.saturating_sub(difference) * INPUT + column]
                }
            };
        }
    }
    let rows = Tensor::new([x.rows().0, INPUT], rows).unwrap();
    let mut y =
        plain.forward(Cpu::widest(), &rows, Order::BatchFirst, &mut State::new(plain.shape(), 1)).unwrap().into_data();
    for t in 0..x.rows().0 {
        for (d, column) in targets.into_iter().enumerate() {
            // the answer is about row t + 1
            let b = if transform == TargetTransform::Value { 0.0 } else { before(t + 1, column) };
            let said = y[t * 2 + d];
            y[t * 2 + d] = match transform {
                TargetTransform::Value => said,
                TargetTransform::Change | TargetTransform::SeasonalChange { .. } => b + said,
                TargetTransform::RelativeChange => b + b.abs() * said,
                TargetTransform::Residual { .. } => expected(t + 1, d) + said,
            };
        }
    }
    y
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_way_gives_the_same_values(
        cell in prop::sample::select(CellKind::ALL.to_vec()),
        hidden in prop::sample::select(vec![1, 8, 9, 16, 33]),
        layers in 1..3_usize,
        transform in transforms(2),
        rows in 1..40_usize,
        seed: u64,
    ) {
        let (model, x) = (model(cell, hidden, layers, transform, seed), series(rows));
        let expected = by_hand(&model, &x);
        for isa in Isa::available() {
            let cpu = Cpu::new(isa).unwrap();
            let mut state = State::new(model.shape(), 1);
            let whole = model.forward(cpu, &x, Order::BatchFirst, &mut state).unwrap();
            prop_assert_eq!(bits(whole.data()), bits(&expected));
            // step by step; a stream that goes on from the state; a ticker; many
            let (mut stream, mut other) = (Stream::on(cpu, model.clone()).unwrap(), Stream::on(cpu, model.clone()).unwrap());
            let mut streams = Streams::new(model.clone(), cpu, Threads::default(), 1).unwrap();
            let handles = [streams.open().unwrap(), streams.open().unwrap(), streams.open().unwrap()];
            streams.close(handles[1]).unwrap();
            stream.warm_up();
            streams.warm_up();
            for (t, (x, y)) in x.data().chunks(INPUT).zip(expected.chunks(2)).enumerate() {
                prop_assert_eq!(bits(stream.step(x).unwrap()), bits(y));
                if t % 3 == 0 {
                    stream.advance();
                }
                let mut ticker = other.ticker::<INPUT, 2>().unwrap();
                if t % 4 == 1 {
                    ticker.warm_up();
                }
                prop_assert_eq!(bits(&ticker.step([x[0], x[1], x[2]])), bits(y));
                if t % 5 == 2 {
                    let kept = stream.state().unwrap().clone();
                    other = Stream::on(cpu, model.clone()).unwrap();
                    other.set_state(&kept).unwrap();
                    let moved = streams.state(handles[0]).unwrap();
                    streams.set_state(handles[0], &moved).unwrap();
                }
                let mut many = [0.0; 4];
                let twice = [x, &[9.0, t as f32, -4.0]].concat();
                streams.step_many(&[handles[0], handles[2]], &twice, &mut many).unwrap();
                prop_assert_eq!(bits(&many[..2]), bits(y));
            }
            prop_assert_eq!(stream.state().unwrap().past(), state.past());
            // a stream that starts anew has forgotten the values as well
            stream.reset();
            streams.reset(handles[0]).unwrap();
            let first = &x.data()[..INPUT];
            prop_assert_eq!(bits(stream.step(first).unwrap()), bits(&expected[..2]));
            prop_assert_eq!(bits(streams.step(handles[0], first).unwrap()), bits(&expected[..2]));
            // in two calls, the state handed over; several sequences at once
            let mut state = State::new(model.shape(), 1);
            let mut parts = vec![];
            for range in [0..rows / 2, rows / 2..rows] {
                let part = x.part(range).unwrap();
                parts.extend(model.forward(cpu, &part, Order::BatchFirst, &mut state).unwrap().into_data());
            }
            prop_assert_eq!(bits(&parts), bits(&expected));
            let two = [x.data(), &vec![2.5; rows * INPUT][..]].concat();
            let two = Tensor::new([2, rows, INPUT], two).unwrap();
            let y = model.forward(cpu, &two, Order::BatchFirst, &mut State::new(model.shape(), 2)).unwrap();
            prop_assert_eq!(bits(&y.data()[..rows * 2]), bits(&expected));
        }
    }
}

#[test]
fn a_step_allocates_nothing() {
    let given =
        [TargetTransform::Change, TargetTransform::RelativeChange, TargetTransform::SeasonalChange { season: 5 }];
    for transform in given.map(Fitted::from).into_iter().chain([residual(&[(1, 0.5), (7, -0.5)], 1, 2)]) {
        let model = model(CellKind::Lstm, 17, 1, transform.clone(), 1);
        let mut stream = Stream::new(model.clone()).unwrap();
        let mut streams = Streams::new(model, Cpu::widest(), Threads::default(), 2).unwrap();
        let handles = [streams.open().unwrap(), streams.open().unwrap()];
        let (x, mut y) = (series(2), [0.0; 4]);
        let made = allocations(|| {
            for t in 0..20 {
                stream.step(&[t as f32, 1.0, -2.0]).unwrap();
                stream.advance();
                streams.step_many(&handles, x.data(), &mut y).unwrap();
                streams.step(handles[1], &x.data()[..INPUT]).unwrap();
                streams.reset(handles[0]).unwrap();
            }
            stream.reset();
        });
        assert_eq!(made, 0, "{transform:?}");
    }
}

#[test]
fn a_file_keeps_the_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let residual = residual(&[(1, 0.1), (12, -1.0 / 3.0)], 12, 2);
    let given = [
        TargetTransform::Value,
        TargetTransform::Change,
        TargetTransform::RelativeChange,
        TargetTransform::SeasonalChange { season: 12 },
    ];
    for transform in [residual].into_iter().chain(given.map(Fitted::from)) {
        let model = model(CellKind::Gru, 9, 1, transform.clone(), 3);
        model.save(&path).unwrap();
        let read = file::load(&path, &file::ReadOptions::default(), Cpu::widest()).unwrap();
        assert_eq!(read.model.units(), model.units());
        // a program that knows no forms refuses a file that has one, and reads any other
        let version = match transform.transform() {
            TargetTransform::Value => 1,
            TargetTransform::Residual { .. } => 4,
            _ => 2,
        };
        assert_eq!(read.metadata.version, version);
    }
    let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
    assert!(text.contains(r#""target\":{\"as\":\"seasonal-change\",\"season\":12,\"inputs\":[2,0]}"#), "{text}");
    // a column that is no input
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|part| part == b"[2,0]").unwrap();
    let mut broken = bytes.clone();
    broken[at + 1] = b'7';
    std::fs::write(&path, &broken).unwrap();
    let error = file::load(&path, &file::ReadOptions::default(), Cpu::widest()).unwrap_err().to_string();
    assert!(error.contains("m.safetensors") && error.contains("column 7 is not one of the 3 inputs"), "{error}");
}

#[test]
fn a_fixed_model_has_no_values_of_before_and_says_so() {
    type Small = rnnstep::model!(Gru { input: 3, hidden: 9, layers: 1, output: Some(2), bias: true, weights: F32 });
    let changes = model(CellKind::Gru, 9, 1, TargetTransform::Change, 3);
    let said = [fixed::source(&changes, "x").map(drop), Small::from_model(&changes).map(drop)];
    for result in said {
        let Err(Error::Invalid(message)) = result else { panic!("a fixed model of changes") };
        assert!(message.contains("predicts changes"), "{message}");
    }
    let _: Small = Fixed::from_model(&model(CellKind::Gru, 9, 1, TargetTransform::Value, 3)).unwrap();
}

/// A state of one model continues in another one with other coefficients: the last values count, and not what the first
/// model expected.
#[test]
fn a_state_moves_to_another_autoregression() {
    let [first, second] = [0.5, -0.25].map(|a| model(CellKind::Gru, 9, 1, residual(&[(1, a), (3, 0.5)], 1, 2), 3));
    let x = series(30);
    let states = [&first, &second].map(|model| {
        let mut state = State::new(model.shape(), 1);
        model.forward(Cpu::widest(), &x, Order::BatchFirst, &mut state).unwrap();
        state
    });
    // the same last values, and a state of the network that is the same for both
    let mut moved = states[0].clone();
    moved.set_h(states[1].h().data()).unwrap();
    let next = series(3);
    let of = |state: &State| {
        let mut all =
            vec![second.forward(Cpu::widest(), &next, Order::BatchFirst, &mut state.clone()).unwrap().into_data()];
        let mut stream = Stream::new(second.clone()).unwrap();
        stream.set_state(state).unwrap();
        all.push(next.data().chunks(INPUT).flat_map(|x| stream.step(x).unwrap().to_vec()).collect());
        let mut streams = Streams::new(second.clone(), Cpu::widest(), Threads::default(), 1).unwrap();
        let handle = streams.open().unwrap();
        streams.set_state(handle, state).unwrap();
        all.push(next.data().chunks(INPUT).flat_map(|x| streams.step(handle, x).unwrap().to_vec()).collect());
        all
    };
    let all = [of(&states[1]), of(&moved)].concat();
    assert!(all.iter().all(|y| bits(y) == bits(&all[0])), "{all:?}");
}
