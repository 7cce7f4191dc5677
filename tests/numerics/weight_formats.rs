//! Weights of 16 and 8 bits: a step equals one in float32 with the rounded weights, and whoever
//! computes with them gets the bits of the step.

use crate::shapes::{bits, shapes, wave};
use proptest::prelude::*;
use rnnstep::cpu::Threads;
use rnnstep::model::inspect;
use rnnstep::{CellKind, Cpu, Isa, Model, Order, Shape, State, Stream, Streams, Tensor, Weights};

/// The largest part of itself that a weight may be off by; of its row's largest with int8.
fn bound(weights: Weights) -> f32 {
    match weights {
        Weights::F32 => 0.0,
        Weights::Bf16 => 1.0 / 256.0,
        Weights::F16 => 1.0 / 2048.0,
        Weights::Int8 => 1.0 / 254.0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The small weights are those of the model that was rounded, read from other memory: the same bits, on every
    /// instruction set, for whole steps and halves, and for whole sequences. With scales a sum is rounded elsewhere than in
    /// f32: nearly the same.
    #[test]
    fn a_step_is_that_of_the_rounded_weights(shape in shapes(), seed: u64, steps in 1..20_usize) {
        let model = Model::random(shape, seed).unwrap();
        let x = Tensor::new([steps, shape.input()], wave(steps * shape.input(), 0)).unwrap();
        for weights in Weights::ALL {
            let small = model.clone().with_weights(weights).unwrap();
            prop_assert_eq!(small.step_weights(), weights);
            let whole = small.forward(Cpu::widest(), &x, Order::BatchFirst, &mut State::new(&shape, 1)).unwrap();
            let tensors: Vec<Tensor> = small.weights().into_iter().map(|(_, tensor)| tensor).collect();
            let rounded = Model::from_weights(shape, &tensors).unwrap();
            let truth = rounded.forward(Cpu::widest(), &x, Order::BatchFirst, &mut State::new(&shape, 1)).unwrap();
            let mut first: Option<Vec<u32>> = None;
            for isa in Isa::available() {
                let mut stream = Stream::on(Cpu::new(isa).unwrap(), small.clone()).unwrap();
                let mut y = vec![];
                for (t, x) in x.data().chunks(shape.input()).enumerate() {
                    y.extend_from_slice(stream.step(x).unwrap());
                    if t % 2 == 0 {
                        stream.advance();
                    }
                }
                if weights == Weights::Int8 {
                    for (&found, &truth) in y.iter().zip(truth.data()) {
                        prop_assert!((found - truth).abs() <= 1e-5 * truth.abs().max(1.0), "{found} {truth}");
                    }
                } else {
                    prop_assert_eq!(bits(&y), bits(truth.data()));
                }
                prop_assert_eq!(bits(&y), bits(whole.data()));
                let first = first.get_or_insert_with(|| bits(&y));
                prop_assert_eq!(&*first, &bits(&y), "{:?}", isa);
            }
        }
    }

    /// One long call, two short ones, sequences side by side, many streams, a ticker and the gates give the bits of single steps,
    /// whatever the format and the instruction set; and so does the state.
    #[test]
    fn everybody_gives_the_bits_of_the_steps(shape in shapes(), seed: u64, batch in 1..20_usize, steps in 1..90_usize) {
        let model = Model::random(shape, seed).unwrap();
        let (input, out) = (shape.input(), shape.width_out());
        let x = Tensor::new([batch, steps, input], wave(batch * steps * input, 0)).unwrap();
        for weights in Weights::ALL {
            let small = model.clone().with_weights(weights).unwrap();
            let mut portable: Option<Vec<u32>> = None;
            for isa in Isa::available() {
                let cpu = Cpu::new(isa).unwrap();
                let (mut stepped, mut hs) = (vec![], vec![]);
                for b in 0..batch {
                    let mut stream = Stream::on(cpu, small.clone()).unwrap();
                    for x in x.part(b..b + 1).unwrap().data().chunks(input) {
                        stepped.extend_from_slice(stream.step(x).unwrap());
                    }
                    hs.push(stream.state().unwrap().h());
                }
                let said = format!("{weights} {isa:?}");
                prop_assert_eq!(&*portable.get_or_insert_with(|| bits(&stepped)), &bits(&stepped), "{}", &said);
                let mut state = State::new(&shape, batch);
                let whole = small.forward(cpu, &x, Order::BatchFirst, &mut state).unwrap();
                prop_assert_eq!(bits(whole.data()), bits(&stepped), "forward, {}", &said);
                for (layer, h) in state.h().data().chunks(batch * shape.hidden()).enumerate() {
                    for (h, stepped) in h.chunks(shape.hidden()).zip(&hs) {
                        let stepped = &stepped.data()[layer * shape.hidden()..][..shape.hidden()];
                        prop_assert_eq!(bits(h), bits(stepped), "state, {}", &said);
                    }
                }
                let mut state = State::new(&shape, batch);
                let rows = x.swap_batch_and_time().unwrap().into_data();
                let cut = steps / 3;
                let mut parts = vec![];
                for range in [0..cut, cut..steps] {
                    let part = rows[range.start * batch * input..range.end * batch * input].to_vec();
                    let part = Tensor::new([range.len(), batch, input], part).unwrap();
                    parts.extend(small.forward(cpu, &part, Order::TimeMajor, &mut state).unwrap().into_data());
                }
                let whole = whole.swap_batch_and_time().unwrap().into_data();
                prop_assert_eq!(bits(&parts), bits(&whole), "in two calls, {}", &said);
                let mut streams = Streams::new(small.clone(), cpu, Threads::default(), batch).unwrap();
                let handles: Vec<_> = (0..batch).map(|_| streams.open().unwrap()).collect();
                let mut y = vec![0.0; batch * out];
                for (x, whole) in rows.chunks(batch * input).zip(whole.chunks(batch * out)) {
                    streams.step_many(&handles, x, &mut y).unwrap();
                    prop_assert_eq!(bits(&y), bits(whole), "streams, {}", &said);
                }
                let first = Tensor::new([steps, input], x.part(0..1).unwrap().into_data()).unwrap();
                let reading = inspect::read(&small, cpu, &first).unwrap();
                let top = (0..shape.hidden()).map(|unit| *reading.value(steps - 1, shape.layers() - 1, unit).last().unwrap());
                let h = &hs[0].data()[(shape.layers() - 1) * shape.hidden()..];
                prop_assert_eq!(bits(&top.collect::<Vec<_>>()), bits(h), "gates, {}", &said);
                if let (1, 1) = (input, out) {
                    let mut stream = Stream::on(cpu, small.clone()).unwrap();
                    let mut tick = stream.ticker::<1, 1>().unwrap();
                    let ticked: Vec<f32> = first.data().iter().map(|&x| tick.step([x])[0]).collect();
                    prop_assert_eq!(bits(&ticked), bits(&stepped[..steps]), "ticker, {}", &said);
                }
            }
        }
    }

    /// No weight moves further than its format says, and nothing else moves.
    #[test]
    fn rounding_is_as_near_as_the_format_gets(shape in shapes(), seed: u64, power in -20..15_i32) {
        let random = Model::random(shape, seed).unwrap();
        let scaled = |(name, tensor): (String, Tensor)| {
            let factor = if name.contains("weight") { 2.0_f32.powi(power) } else { 1.0 };
            Tensor::new(tensor.dims(), tensor.data().iter().map(|v| v * factor).collect::<Vec<_>>()).unwrap()
        };
        let tensors: Vec<Tensor> = random.weights().into_iter().map(scaled).collect();
        let model = Model::from_weights(shape, &tensors).unwrap();
        for weights in Weights::ALL {
            let small = model.clone().with_weights(weights).unwrap();
            for ((name, before), (_, after)) in model.weights().into_iter().zip(small.weights()) {
                if !name.starts_with("rnn.weight") {
                    prop_assert_eq!(bits(before.data()), bits(after.data()), "{}", name);
                    continue;
                }
                for (before, after) in before.data().chunks(before.rows().1).zip(after.data().chunks(after.rows().1)) {
                    let most = before.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
                    for (&before, &after) in before.iter().zip(after) {
                        let size = if weights == Weights::Int8 { most } else { before.abs() };
                        // f16's numbers below 2^-14 are 2^-24 apart, and no second weight of a pair in bf16 is below 2^-100,
                        // to which the bits of the first weight are added
                        let least = match weights {
                            Weights::F16 => 2.0_f32.powi(-25),
                            Weights::Bf16 => 2.0_f32.powi(-100) * (1.0 + 2.0_f32.powi(-7)),
                            _ => 0.0,
                        };
                        let off = (before - after).abs();
                        // of up to 127 steps quotient and product are rounded, by 2^-24 each: 508 · 2^-24 of half a step
                        let rounded = if weights == Weights::Int8 { 1.000_031 } else { 1.000_01 };
                        prop_assert!(off <= bound(weights) * size * rounded + least, "{name}: {before} {after}");
                    }
                }
            }
            // what is rounded already stays
            let again = small.clone().with_weights(weights).unwrap();
            let tolerance = if weights == Weights::Int8 { 1e-6 } else { 0.0 };
            for ((_, once), (_, twice)) in small.weights().into_iter().zip(again.weights()) {
                for (a, b) in once.data().iter().zip(twice.data()) {
                    prop_assert!((a - b).abs() <= tolerance * a.abs(), "{a} {b}");
                }
            }
        }
    }
}

/// Zeros, signs, the smallest and the largest: nothing subnormal is left, nothing becomes infinite.
#[test]
fn extreme_weights() {
    let shape = Shape::new(CellKind::Rnn, 2, 16, 1, 1).unwrap();
    let values = [0.0, -0.0, 1e-45, -1e-40, 1e-38, 1e-31, -1e-29, 1.0, -1.0, 0.1, 3.4e38, -f32::MAX, 1.0 / 3.0];
    let mut tensors: Vec<Tensor> = Model::random(shape, 1).unwrap().weights().into_iter().map(|(_, t)| t).collect();
    for (i, value) in tensors[0].data_mut().iter_mut().enumerate() {
        *value = values[i % values.len()];
    }
    let model = Model::from_weights(shape, &tensors).unwrap();
    for weights in [Weights::Bf16, Weights::Int8] {
        let mut model = model.clone();
        if weights == Weights::Int8 {
            assert!(model.clone().with_weights(weights).is_err(), "127 scales of f32::MAX may be infinite");
            let halved = tensors[0].data().iter().map(|v| v / 2.0).collect::<Vec<_>>();
            let first = Tensor::new([16, 2], halved).unwrap();
            model = Model::from_weights(shape, &[&[first], &tensors[1..]].concat()).unwrap();
        }
        let small = model.clone().with_weights(weights).unwrap();
        for ((_, before), (_, after)) in model.weights().iter().zip(small.weights()) {
            let width = before.rows().1;
            for (row, (before, after)) in before.data().chunks(width).zip(after.data().chunks(width)).enumerate() {
                for (&b, &a) in before.iter().zip(after) {
                    let most = before.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
                    let size = if weights == Weights::Int8 { most } else { b.abs() };
                    assert!(a.is_finite() && !a.is_subnormal() | (a == b), "{weights:?}, row {row}: {b} became {a}");
                    assert!((a - b).abs() <= bound(weights) * size * 1.000_01 + 1e-30, "{weights:?}: {b} became {a}");
                }
            }
        }
    }
    let error = model.clone().with_weights(Weights::F16).unwrap_err().to_string();
    assert!(error.contains("rnn.weight_ih_l0") && error.contains("f16"), "{error}");
    tensors[1].data_mut()[3] = f32::NAN;
    let model = Model::from_weights(shape, &tensors).unwrap();
    for weights in [Weights::Bf16, Weights::F16, Weights::Int8] {
        assert!(model.clone().with_weights(weights).is_err(), "{weights:?} took NaN, or what is too large");
    }
    assert!(model.with_weights(Weights::F32).is_ok());
}
