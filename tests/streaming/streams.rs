//! Many streams under one set of weights: each is the stream it would be alone, bit for bit; a handle is never somebody
//! else's; a refused call moves nothing; a step allocates nothing.

use crate::counting::allocations;
use crate::shapes::{HIDDEN, bits, shapes, wave};
use proptest::prelude::*;
use rnnstep::cpu::Threads;
use rnnstep::units::scaler::Scaling;
use rnnstep::{CellKind, Cpu, Error, Handle, Isa, Model, Nonlinearity, Scaler, Shape, State, Stream, Streams, Weights};

/// h, and c of an LSTM.
fn state_bits(state: &State) -> Vec<u32> {
    let c = state.c().map_or(vec![], |c| bits(c.data()));
    [bits(state.h().data()), c].concat()
}

fn scaled(model: Model) -> Model {
    let scaler = |width| Scaler::fit(Scaling::Standard, &wave(5 * width, 3), width).unwrap();
    let (input, out) = (model.shape().input(), model.shape().width_out());
    model.with_scalers(scaler(input), scaler(out)).unwrap()
}

/// Numbers that look irregular, from a seed.
fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let mut random = seed | 1;
    for i in (1..n).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, (random >> 33) as usize % (i + 1));
    }
    order
}

/// Steps `counts` of `total` streams at a time, any of them in any order, beside single streams that see the same.
fn each_is_its_own(model: &Model, isa: Isa, threads: usize, total: usize, counts: &[usize], seed: u64) {
    let shape = *model.shape();
    let cpu = Cpu::new(isa).unwrap();
    let mut streams = Streams::new(model.clone(), cpu, Threads::new(threads).unwrap(), total / 2).unwrap();
    let mut handles: Vec<Handle> = (0..total).map(|_| streams.open().unwrap()).collect();
    let mut alone: Vec<Stream> = (0..total).map(|_| Stream::on(cpu, model.clone()).unwrap()).collect();
    for (call, &count) in counts.iter().enumerate() {
        let seed = seed.wrapping_add(call as u64);
        let rows = &shuffled(total, seed)[..count.min(total)];
        let named: Vec<Handle> = rows.iter().map(|&n| handles[n]).collect();
        let x = wave(rows.len() * shape.input(), seed);
        let mut y = vec![f32::NAN; rows.len() * shape.width_out()];
        streams.step_many(&named, &x, &mut y).unwrap();
        let ys = y.chunks(shape.width_out());
        for ((&n, x), y) in rows.iter().zip(x.chunks(shape.input())).zip(ys) {
            assert_eq!(bits(alone[n].step(x).unwrap()), bits(y), "{shape:?} {isa:?} {threads} threads, stream {n}");
        }
        // one is closed and opened again, one starts again, one takes over the state of another, one goes on alone
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| shuffled(total, seed ^ 0xABCD)[i % total]);
        streams.close(handles[a]).unwrap();
        handles[a] = streams.open().unwrap();
        alone[a].reset();
        streams.reset(handles[b]).unwrap();
        alone[b].reset();
        let kept = streams.state(handles[d]).unwrap();
        assert_eq!(state_bits(&kept), state_bits(alone[d].state().unwrap()));
        streams.set_state(handles[c], &kept).unwrap();
        alone[c].set_state(&kept).unwrap();
        let x = wave(shape.input(), seed ^ 5);
        assert_eq!(bits(streams.step(handles[d], &x).unwrap()), bits(alone[d].step(&x).unwrap()));
    }
    for (handle, alone) in handles.iter().zip(&mut alone) {
        assert_eq!(
            state_bits(&streams.state(*handle).unwrap()),
            state_bits(alone.state().unwrap()),
            "{shape:?} {isa:?}"
        );
    }
    assert_eq!(streams.len(), total);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_stream_is_its_own(
        shape in shapes(), total in 1..150_usize, counts in prop::collection::vec(0..150_usize, 1..5),
        threads in 1..4_usize, scalers: bool, weights in prop::sample::select(Weights::ALL.to_vec()), seed: u64
    ) {
        let model = Model::random(shape, seed).unwrap().with_weights(weights).unwrap();
        let model = if scalers { scaled(model) } else { model };
        for isa in Isa::available() {
            each_is_its_own(&model, isa, threads, total, &counts, seed);
        }
    }
}

/// Every H at a seam, every cell and number of layers, and numbers of rows at the seams of tiles and blocks.
#[test]
fn seams() {
    for cell in CellKind::ALL {
        for (i, hidden) in HIDDEN.into_iter().chain([256]).enumerate() {
            for layers in 1..=3 {
                let shape = Shape::new(cell, [1, 3][(i + layers) % 2], hidden, layers, 1)
                    .unwrap()
                    .with_nonlinearity(Nonlinearity::Tanh)
                    .unwrap()
                    .with_output([Some(1), None, Some(6)][i % 3])
                    .unwrap()
                    .with_bias((i + layers) % 3 != 0)
                    .unwrap();
                let model = Model::random(shape, i as u64).unwrap();
                for isa in Isa::available().into_iter().filter(|&isa| isa != Isa::Portable || hidden < 40) {
                    each_is_its_own(&model, isa, 1, 101, &[1, 2, 3, 5, 6, 7, 15, 16, 17, 47, 48, 49, 96, 97, 101], 9);
                    each_is_its_own(&model, isa, 2, 101, &[31, 32, 33, 101], 9);
                }
            }
        }
    }
}

/// Weights stored in fewer bits, one column of x or more, whole vectors or not: the same bits as a single step, which reads
/// the weights as they are stored.
#[test]
fn every_format_of_weights() {
    for cell in CellKind::ALL {
        for weights in Weights::ALL {
            for (i, (input, hidden, layers)) in [(1, 32, 1), (3, 33, 2), (1, 100, 2), (2, 7, 1)].into_iter().enumerate()
            {
                let shape = Shape::new(cell, input, hidden, layers, 2).unwrap().with_bias(i != 1).unwrap();
                let model = Model::random(shape, 3).unwrap().with_weights(weights).unwrap();
                for isa in Isa::available().into_iter().filter(|&isa| isa != Isa::Portable || hidden < 40) {
                    each_is_its_own(&model, isa, 1, 60, &[1, 5, 6, 8, 13, 48, 60], 4);
                }
            }
        }
    }
}

/// A sum of nothing but -0 is the one place where adding nothing shows.
#[test]
fn signs_of_zero() {
    for cell in CellKind::ALL {
        for (input, bias) in [(1, true), (1, false), (2, true), (2, false)] {
            let shape = Shape::new(cell, input, 17, 2, 1).unwrap().with_output(None).unwrap().with_bias(bias).unwrap();
            let weights: Vec<_> = Model::random(shape, 1).unwrap().weights().into_iter().map(|(_, w)| w).collect();
            let minus: Vec<_> = weights
                .into_iter()
                .map(|mut w| {
                    w.data_mut().fill(-0.0);
                    w
                })
                .collect();
            let model = Model::from_weights(shape, &minus).unwrap();
            for isa in Isa::available() {
                each_is_its_own(&model, isa, 1, 5, &[5, 5, 3], 1);
            }
        }
    }
}

#[test]
fn what_is_not_a_number_stays_in_its_stream() {
    let values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, f32::MAX, -0.0, 0.5];
    for cell in CellKind::ALL {
        let model = Model::random(Shape::new(cell, 1, 33, 2, 1).unwrap(), 1).unwrap();
        for isa in Isa::available() {
            let cpu = Cpu::new(isa).unwrap();
            let mut streams = Streams::new(model.clone(), cpu, Threads::default(), 64).unwrap();
            let handles: Vec<Handle> = (0..64).map(|_| streams.open().unwrap()).collect();
            let mut alone: Vec<Stream> = (0..64).map(|_| Stream::on(cpu, model.clone()).unwrap()).collect();
            for _ in 0..3 {
                let x: Vec<f32> = (0..64).map(|i| values[i % values.len()]).collect();
                let mut y = vec![0.0; 64];
                streams.step_many(&handles, &x, &mut y).unwrap();
                for n in 0..64 {
                    let expected = alone[n].step(&x[n..n + 1]).unwrap()[0];
                    assert_eq!(expected.is_nan(), y[n].is_nan());
                    assert!(expected.is_nan() || expected.to_bits() == y[n].to_bits(), "{cell:?} {isa:?} {n}");
                }
            }
        }
    }
}

/// Streams that have seen something, for misuse.
fn used(cell: CellKind) -> (Streams, Vec<Handle>) {
    let model = Model::random(Shape::new(cell, 2, 17, 2, 3).unwrap(), 5).unwrap();
    let mut streams = Streams::new(model, Cpu::widest(), Threads::default(), 8).unwrap();
    let handles: Vec<Handle> = (0..8).map(|_| streams.open().unwrap()).collect();
    streams.step_many(&handles, &wave(16, 1), &mut [0.0; 24]).unwrap();
    (streams, handles)
}

/// The call is refused in these words, and then everything is as it was.
fn refused(
    (streams, open): (&mut Streams, &[Handle]),
    words: &str,
    call: impl FnOnce(&mut Streams, &mut [f32]) -> Result<(), Error>,
) {
    let states = |streams: &Streams| open.iter().map(|&h| state_bits(&streams.state(h).unwrap())).collect::<Vec<_>>();
    let (before, len, mut y) = (states(streams), streams.len(), vec![7.0; 9]);
    let error = call(streams, &mut y).unwrap_err().to_string();
    assert_eq!(error, words);
    assert_eq!((states(streams), streams.len(), y), (before, len, vec![7.0; 9]));
}

#[test]
fn misuse_is_refused_and_moves_nothing() {
    const CLOSED: &str = "its stream was closed; open a new one";
    const FOREIGN: &str = "it belongs to another Streams; use it with the one that opened it";
    for cell in CellKind::ALL {
        let (mut streams, handles) = used(cell);
        let (_other, others) = used(cell);
        let stale = handles[2];
        streams.close(stale).unwrap();
        let mut open = handles.clone();
        open.remove(2);
        let x = wave(6, 2);
        let state = streams.state(handles[0]).unwrap();
        let check = |streams: &mut Streams, open: &[Handle]| {
            for (bad, why) in [(stale, CLOSED), (others[0], FOREIGN), (others[7], FOREIGN)] {
                let first = format!("stream handle 0: {why}");
                let third = format!("stream handle 2: {why}");
                refused((streams, open), &third, |s, y| s.step_many(&[handles[0], handles[7], bad], &x, y));
                refused((streams, open), &first, |s, y| s.step_many(&[bad, handles[0], handles[7]], &x, y));
                refused((streams, open), &first, |s, _| s.step(bad, &x[..2]).map(|_| ()));
                refused((streams, open), &first, |s, _| s.close(bad));
                refused((streams, open), &first, |s, _| s.reset(bad));
                refused((streams, open), &first, |s, _| s.state(bad).map(|_| ()));
                refused((streams, open), &first, |s, _| s.set_state(bad, &state));
                assert!(!streams.is_open(bad));
            }
            let twice = "stream handle 2: its stream is in an earlier row too; a stream takes one step in each call";
            refused((streams, open), twice, |s, y| s.step_many(&[handles[7], handles[0], handles[7]], &x, y));
            let three = [handles[0], handles[4], handles[7]];
            refused((streams, open), "x [N,I]: expected 6 values, got 5", |s, y| s.step_many(&three, &x[..5], y));
            refused((streams, open), "x [N,I]: expected 4 values, got 6", |s, y| s.step_many(&three[..2], &x, y));
            refused((streams, open), "y [N,O]: expected 9 values, got 8", |s, y| s.step_many(&three, &x, &mut y[..8]));
            refused((streams, open), "y [N,O]: expected 6 values, got 9", |s, y| s.step_many(&three[..2], &x[..4], y));
            refused((streams, open), "x [I]: expected 2 values, got 1", |s, _| s.step(handles[0], &x[..1]).map(|_| ()));
        };
        check(&mut streams, &open);
        // the slot has somebody else in it: the old handle is as bad as before
        let next = streams.open().unwrap();
        assert_ne!(next, stale);
        open.push(next);
        check(&mut streams, &open);
        // states of other shapes, and of another cell
        for (cell, hidden, layers, batch) in [(cell, 16, 2, 1), (cell, 17, 1, 2), (cell, 17, 3, 1)] {
            let foreign = State::new(&Shape::new(cell, 2, hidden, layers, 1).unwrap(), batch);
            let words = format!("state: expected h of the shape [2, 1, 17] (L,B,H), got {:?}", foreign.h().dims());
            refused((&mut streams, &open), &words, |s, _| s.set_state(next, &foreign));
        }
        let other = if cell == CellKind::Lstm { CellKind::Gru } else { CellKind::Lstm };
        let foreign = State::new(&Shape::new(other, 2, 17, 2, 3).unwrap(), 1);
        let error = streams.set_state(next, &foreign).unwrap_err().to_string();
        assert!(error.starts_with("state: cell ") && error.contains(" c [L,B,H]"), "{error}");
        // after all of that, the rest goes on as if nothing had been
        let (mut untouched, same) = used(cell);
        let (mut y, mut expected) = ([0.0; 9], [0.0; 9]);
        streams.step_many(&[handles[0], handles[4], handles[7]], &x, &mut y).unwrap();
        untouched.step_many(&[same[0], same[4], same[7]], &x, &mut expected).unwrap();
        assert_eq!(y, expected);
    }
}

#[test]
fn rows_of_nothing() {
    let (mut streams, _) = used(CellKind::Gru);
    streams.step_many(&[], &[], &mut []).unwrap();
    let model = streams.model().clone();
    let mut empty = Streams::new(model, Cpu::widest(), Threads::default(), 0).unwrap();
    assert!(empty.is_empty() && empty.capacity() == 0);
    empty.step_many(&[], &[], &mut []).unwrap();
    let first = empty.open().unwrap();
    assert!(empty.step(first, &[0.0, 1.0]).unwrap().iter().all(|y| y.is_finite()));
}

#[test]
fn more_than_there_can_be_is_refused() {
    let model = Model::random(Shape::new(CellKind::Lstm, 1, 256, 2, 1).unwrap(), 1).unwrap();
    for capacity in [usize::MAX, usize::MAX / 1024, 1 << 40] {
        let error = Streams::new(model.clone(), Cpu::widest(), Threads::default(), capacity).unwrap_err();
        assert!(error.to_string().starts_with(&format!("room for {capacity} streams: more memory than")), "{error}");
    }
}

#[test]
fn open_makes_room_and_keeps_every_state() {
    let model = Model::random(Shape::new(CellKind::Lstm, 1, 17, 2, 1).unwrap(), 1).unwrap();
    let mut streams = Streams::new(model.clone(), Cpu::widest(), Threads::default(), 3).unwrap();
    let mut alone = vec![];
    let mut handles = vec![];
    for n in 0..100 {
        handles.push(streams.open().unwrap());
        alone.push(Stream::on(Cpu::widest(), model.clone()).unwrap());
        let x = wave(n + 1, n as u64);
        let mut y = vec![0.0; n + 1];
        streams.step_many(&handles, &x, &mut y).unwrap();
        for (n, alone) in alone.iter_mut().enumerate() {
            assert_eq!(bits(alone.step(&x[n..n + 1]).unwrap()), bits(&y[n..n + 1]));
        }
    }
    assert!(streams.capacity() >= 100 && streams.len() == 100);
}

#[test]
fn a_step_allocates_nothing() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1]))) > 0, "the counter does not count");
    for cell in CellKind::ALL {
        for (hidden, layers) in [(1, 1), (32, 1), (33, 3), (256, 2)] {
            for isa in Isa::available() {
                let model = scaled(Model::random(Shape::new(cell, 3, hidden, layers, 2).unwrap(), 1).unwrap());
                let cpu = Cpu::new(isa).unwrap();
                let mut streams = Streams::new(model, cpu, Threads::default(), 70).unwrap();
                let (x, mut y) = (wave(3 * 70, 1), [0.0; 2 * 70]);
                let mut handles = Vec::with_capacity(70);
                let count = allocations(|| {
                    handles.extend((0..70).map(|_| streams.open().unwrap()));
                    for n in [1, 7, 48, 70] {
                        streams.step_many(&handles[..n], &x[..3 * n], &mut y[..2 * n]).unwrap();
                    }
                    streams.step(handles[3], &x[..3]).unwrap();
                    assert!(streams.step_many(&handles, &x[1..], &mut y).is_err());
                    handles[1] = handles[0];
                    assert!(streams.step_many(&handles, &x, &mut y).is_err());
                    for &handle in &handles[2..] {
                        streams.reset(handle).unwrap();
                        streams.close(handle).unwrap();
                        assert!(streams.step(handle, &x[..3]).is_err());
                    }
                    handles.truncate(1);
                    handles.extend((0..68).map(|_| streams.open().unwrap()));
                });
                assert_eq!(count, 0, "{cell:?} H {hidden} L {layers} {isa:?}");
                let before = streams.capacity();
                streams.open().unwrap();
                assert!(streams.capacity() > before, "70 were open");
            }
        }
    }
}
