//! NaN, infinity and subnormal numbers go where the formulas send them, with the same bits on every
//! instruction set; no state keeps a number below 2^-95; and the processor's own flag shows that no
//! step of a fading network meets a subnormal number.

use rnnstep::cpu::{Network, Threads};
use rnnstep::measure::reference64::Reference;
use rnnstep::net::pass::Mode;
use rnnstep::objective::optimizer::{Adam, Optimizer, Sgd};
use rnnstep::{CellKind, Cpu, Isa, Model, Nonlinearity, Order, Shape, State, Stream, Streams, Tensor};

const TINY: f32 = f32::from_bits((127 - 95) << 23); // 2^-95

/// Every cell, and that with relu.
fn cells() -> impl Iterator<Item = (CellKind, Nonlinearity)> {
    CellKind::ALL.map(|cell| (cell, Nonlinearity::Tanh)).into_iter().chain([(CellKind::Rnn, Nonlinearity::Relu)])
}

fn shape(cell: CellKind, nonlinearity: Nonlinearity, hidden: usize, output: Option<usize>) -> Shape {
    Shape::new(cell, 2, hidden, 2, 1).unwrap().with_nonlinearity(nonlinearity).unwrap().with_output(output).unwrap()
}

/// A network that only forgets: without an x its state fades, by a tenth or so in each step, for ever.
fn fading(shape: Shape) -> Model {
    let weights = Model::random(shape, 1).unwrap().weights().into_iter().map(|(name, mut tensor)| {
        let gate = |row: usize| row / shape.hidden();
        let width = *tensor.dims().last().unwrap();
        for (i, value) in tensor.data_mut().iter_mut().enumerate() {
            let (row, column) = (i / width, i % width);
            if name.contains("weight_hh") {
                *value = match shape.cell() {
                    CellKind::Rnn => {
                        if row == column {
                            0.9
                        } else {
                            0.0
                        }
                    }
                    _ => *value * 0.1,
                };
            } else if name.contains("bias") {
                // what keeps: f of an LSTM, z of a GRU, 1 - f of an MGU, which are 0.88
                *value = match (shape.cell(), gate(i)) {
                    (CellKind::Lstm | CellKind::Gru, 1) if name.contains("bias_ih") => 2.0,
                    (CellKind::Mgu, 0) if name.contains("bias_ih") => -2.0,
                    _ => 0.0,
                };
            }
        }
        tensor
    });
    Model::from_weights(shape, &weights.collect::<Vec<_>>()).unwrap()
}

fn state_of(shape: &Shape, value: f32) -> State {
    let mut state = State::new(shape, 1);
    let values: Vec<f32> =
        (0..shape.layers() * shape.hidden()).map(|i| if i % 2 == 0 { value } else { -value }).collect();
    state.set_h(&values).unwrap();
    if shape.cell() == CellKind::Lstm {
        state.set_c(&values).unwrap();
    }
    state
}

fn values(state: &State) -> Vec<f32> {
    let c = state.c().map_or(vec![], Tensor::into_data);
    [state.h().into_data(), c].concat()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| if v.is_nan() { u32::MAX } else { v.to_bits() }).collect()
}

/// Steps of a stream, of streams and of a sequence that fade: one and the same, and nothing below 2^-95 is kept.
#[test]
fn what_fades_becomes_zero() {
    for (cell, nonlinearity) in cells() {
        let shape = shape(cell, nonlinearity, 21, Some(2));
        let model = fading(shape);
        let steps = 1500;
        let x = Tensor::new([steps, 2], (0..2 * steps).map(|i| if i < 40 { 0.5 } else { 1e-40 }).collect::<Vec<_>>())
            .unwrap();
        let mut expected: Option<Vec<u32>> = None;
        for isa in Isa::available() {
            let cpu = Cpu::new(isa).unwrap();
            let mut stream = Stream::on(cpu, model.clone()).unwrap();
            let mut streams = Streams::new(model.clone(), cpu, Threads::default(), 1).unwrap();
            let handle = streams.open().unwrap();
            let mut ys = vec![];
            for (step, x) in x.data().chunks(2).enumerate() {
                ys.extend_from_slice(stream.step(x).unwrap());
                assert_eq!(bits(streams.step(handle, x).unwrap()), bits(&ys[ys.len() - 2..]));
                let kept = values(stream.state().unwrap());
                assert!(kept.iter().all(|v| *v == 0.0 || v.abs() >= TINY), "{cell:?} {isa:?}, step {step}: {kept:?}");
                assert_eq!(bits(&kept), bits(&values(&streams.state(handle).unwrap())));
            }
            assert!(values(stream.state().unwrap()).iter().all(|v| v.to_bits() == 0), "{cell:?}: it does not fade");
            let mut state = State::new(&shape, 1);
            let whole = model.forward(cpu, &x, Order::BatchFirst, &mut state).unwrap();
            assert_eq!(bits(whole.data()), bits(&ys), "{cell:?} {isa:?}");
            assert!(*expected.get_or_insert_with(|| bits(&ys)) == bits(&ys), "{cell:?} {isa:?}");
        }
    }
}

/// A state handed in is no exception.
#[test]
fn a_state_from_outside_keeps_nothing_tiny() {
    for (cell, nonlinearity) in cells() {
        let shape = shape(cell, nonlinearity, 17, None);
        for tiny in [f32::from_bits(1), 1e-40, f32::MIN_POSITIVE, TINY * 0.999] {
            assert!(bits(&values(&state_of(&shape, tiny))).iter().all(|&bits| bits == 0));
        }
        for kept in [TINY, 0.5, f32::INFINITY] {
            assert!(values(&state_of(&shape, kept)).iter().all(|v| v.abs() == kept));
        }
        assert!(values(&state_of(&shape, f32::NAN)).iter().all(|v| v.is_nan()));
    }
}

/// NaN and infinity in x: NaN comes out where it does in float64, and nowhere else; then the stream goes on, and starts
/// again as new.
#[test]
fn what_is_not_a_number_is_not_a_number() {
    for (cell, nonlinearity) in cells() {
        // float64's max takes a number before NaN
        let relu = nonlinearity == Nonlinearity::Relu;
        for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().filter(|v| !relu || !v.is_nan()) {
            let model = Model::random(shape(cell, nonlinearity, 9, None), 3).unwrap();
            let model = if relu { fading(*model.shape()) } else { model };
            for (place, other) in [(0, 0.5), (1, 0.5), (0, special), (1, -special)] {
                let mut x: Vec<f32> = (0..24).map(|i| (i % 5) as f32 * 0.2 - 0.4).collect();
                (x[8 + place], x[9 - place]) = (special, other);
                let truth = Reference::of(&model).forward(&x);
                let mut expected: Option<Vec<u32>> = None;
                for isa in Isa::available() {
                    let mut stream = Stream::on(Cpu::new(isa).unwrap(), model.clone()).unwrap();
                    let run = |stream: &mut Stream, x: &[f32]| {
                        x.chunks(2).flat_map(|x| stream.step(x).unwrap().to_vec()).collect::<Vec<_>>()
                    };
                    let y = run(&mut stream, &x);
                    if !relu {
                        for (i, (y, truth)) in y.iter().zip(&truth).enumerate() {
                            let near = (f64::from(*y) - truth).abs() < 1e-5 || f64::from(*y) == *truth;
                            assert!(near || y.is_nan() && truth.is_nan(), "{cell:?} {isa:?} {i}: {y}, not {truth}");
                        }
                    }
                    assert_eq!(*expected.get_or_insert_with(|| bits(&y)), bits(&y), "{cell:?} {isa:?}");
                    stream.reset();
                    let mut new = Stream::on(Cpu::new(isa).unwrap(), model.clone()).unwrap();
                    let x = &x[..8];
                    assert_eq!(bits(&run(&mut stream, x)), bits(&run(&mut new, x)), "{cell:?} {isa:?} after a reset");
                }
            }
        }
    }
}

#[test]
fn relu_hands_nan_on() {
    let model = fading(shape(CellKind::Rnn, Nonlinearity::Relu, 9, None));
    for isa in Isa::available() {
        let mut stream = Stream::on(Cpu::new(isa).unwrap(), model.clone()).unwrap();
        assert!(stream.step(&[f32::NAN, 0.0]).unwrap().iter().all(|y| y.is_nan()));
        assert!(stream.step(&[0.0, 0.0]).unwrap().iter().all(|y| y.is_nan()));
    }
}

/// Moments whose gradient stays away: they end as zeros, and the weights are where float64 has them.
#[test]
fn moments_fade_to_zero() {
    let update_in_float64 = |[p, m, v]: [f64; 3], g: f64, step: i32, adam: &Adam, lr: f64| {
        let [beta1, beta2] = adam.betas;
        let (m, v) = (m + (g - m) * (1.0 - beta1), v * beta2 + g * g * (1.0 - beta2));
        let root = (v / (1.0 - beta2.powi(step))).sqrt() + adam.eps;
        [p - lr / (1.0 - beta1.powi(step)) * m / root, m, v]
    };
    let shape = Shape::new(CellKind::Rnn, 1, 1, 1, 1).unwrap();
    let len = Model::random(shape, 1).unwrap().params().len();
    for isa in Isa::available() {
        let network = Network::new(Cpu::new(isa).unwrap(), Threads::default(), &shape, 1, 1, Mode::Training).unwrap();
        for eps in [1e-8, 0.0] {
            let adam = Adam { betas: [0.9, 0.99], eps, ..Adam::default() };
            let (mut params, mut m, mut v) = (vec![0.5; len], vec![0.0; len], vec![0.0; len]);
            let mut truth = [0.5, 0.0, 0.0];
            for step in 1..20_000 {
                let g = if step < 5 { 0.25 } else { 0.0 };
                let update = Optimizer::Adam(adam).update(step, 1e-3);
                network.update(update, 1.0, &mut params, &vec![g; len], [&mut m, &mut v, &mut []]);
                truth = update_in_float64(truth, f64::from(g), step as i32, &adam, 1e-3);
                assert!(m.iter().all(|m| *m == 0.0 || m.abs() >= TINY));
            }
            assert!(
                params.iter().all(|p| (f64::from(*p) - truth[0]).abs() < 1e-6),
                "{isa:?}: {}, {truth:?}",
                params[0]
            );
            // without eps a root of zero would be divided by
            assert!(
                m.iter().all(|m| *m == 0.0) && v.iter().all(|v| (*v == 0.0) == (eps > 0.0)),
                "{isa:?} {eps}: {}",
                v[0]
            );
        }
        let update = Optimizer::Sgd(Sgd { momentum: 0.9, ..Sgd::default() }).update(2, 1e-3);
        let (mut params, mut m) = (vec![0.5; len], vec![1.0; len]);
        for _ in 0..1000 {
            network.update(update, 1.0, &mut params, &vec![0.0; len], [&mut m, &mut [], &mut []]);
        }
        assert!(m.iter().all(|m| *m == 0.0));
    }
}

/// The processor keeps a note of every operation that had a subnormal number to read or could not but leave one: on Intel
/// each of them takes some 150 cycles. This needs no clock, and tells the same on a processor that does not mind.
#[cfg(target_arch = "x86_64")]
mod seen_by_the_processor {
    use super::*;
    use std::arch::asm;
    use std::hint::black_box;

    /// "Denormal" and "underflow" in MXCSR.
    const NOTES: u32 = 0x12;

    /// Whether `work` met a subnormal number.
    fn met_by(work: impl FnOnce()) -> bool {
        let mut notes = 0_u32;
        // SAFETY: it clears the notes alone, which nothing else reads, and leaves rounding and masks as they are.
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut notes, options(nostack));
            notes &= !0x3f;
            asm!("ldmxcsr [{}]", in(reg) &raw const notes, options(nostack));
        }
        work();
        // SAFETY: it reads the notes.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut notes, options(nostack)) };
        notes & NOTES != 0
    }

    #[test]
    fn the_notes_are_taken() {
        let times = |a: f32, b: f32| met_by(|| _ = black_box(black_box(a) * black_box(b)));
        assert!(times(1e-30, 1e-10) && times(1e-40, 3.0) && !times(1e-30, 3.0));
    }

    /// Portable code computes its fused operations in software where the compiler may not use the processor's.
    fn isas() -> impl Iterator<Item = Isa> {
        Isa::available().into_iter().filter(|&isa| isa != Isa::Portable)
    }

    #[test]
    fn steps_that_fade_meet_no_subnormal_number() {
        for (cell, nonlinearity) in cells() {
            for hidden in [8, 21, 32] {
                let shape = shape(cell, nonlinearity, hidden, Some(1));
                let model = fading(shape);
                for isa in isas() {
                    let cpu = Cpu::new(isa).unwrap();
                    for x in [0.0, 1e-40] {
                        let mut stream = Stream::on(cpu, model.clone()).unwrap();
                        let mut streams = Streams::new(model.clone(), cpu, Threads::default(), 7).unwrap();
                        let handles: Vec<_> = (0..7).map(|_| streams.open().unwrap()).collect();
                        stream.set_state(&state_of(&shape, 0.5)).unwrap();
                        for &handle in &handles {
                            streams.set_state(handle, &state_of(&shape, 0.5)).unwrap();
                        }
                        let mut y = [0.0; 7];
                        for step in 0..2000 {
                            assert!(
                                !met_by(|| _ = black_box(stream.step(&[x, -x]).unwrap())),
                                "{cell:?} {isa:?} H {hidden}, step {step}"
                            );
                            let many = met_by(|| streams.step_many(&handles, &[x; 14], &mut y).unwrap());
                            assert!(!many, "{cell:?} {isa:?} H {hidden}, step {step} of many");
                        }
                        assert!(values(stream.state().unwrap()).iter().all(|v| *v == 0.0));
                        // and one that is handed in
                        stream.set_state(&state_of(&shape, 1e-40)).unwrap();
                        assert!(
                            !met_by(|| _ = black_box(stream.step(&[x, x]).unwrap())),
                            "{cell:?} {isa:?} H {hidden}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn moments_that_fade_meet_none_either() {
        let shape = Shape::new(CellKind::Rnn, 1, 1, 1, 1).unwrap();
        let len = Model::random(shape, 1).unwrap().params().len();
        for isa in isas() {
            let network =
                Network::new(Cpu::new(isa).unwrap(), Threads::default(), &shape, 1, 1, Mode::Training).unwrap();
            for optimizer in [
                Optimizer::Adam(Adam { betas: [0.9, 0.99], ..Adam::default() }),
                Optimizer::Adam(Adam { betas: [0.9, 0.99], amsgrad: true, ..Adam::default() }),
                Optimizer::Sgd(Sgd { momentum: 0.9, ..Sgd::default() }),
            ] {
                let [mut params, mut m, mut v, mut v_max] = [0.5, 0.25, 0.25, 0.25].map(|value| vec![value; len]);
                let grads = vec![0.0; len];
                for step in 1..20_000 {
                    let update = optimizer.update(step, 1e-3);
                    let moments = [&mut m[..], &mut v[..], &mut v_max[..]];
                    let met = met_by(|| network.update(update, 1.0, &mut params, &grads, moments));
                    assert!(!met, "{isa:?} {optimizer:?}, step {step}");
                }
            }
        }
    }
}
