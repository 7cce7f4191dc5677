//! One long call equals many short ones, bit for bit; a step allocates nothing.

use crate::counting::allocations;
use crate::shapes::{bits, shapes, wave};
use proptest::prelude::*;
use rnnstep::cpu::Threads;
use rnnstep::data::windows::Windows;
use rnnstep::train::{Recipe, Trainer};
use rnnstep::{CellKind, Cpu, Isa, Model, Order, Scaler, Shape, State, Stream, Tensor};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_sequence_is_its_steps(shape in shapes(), steps in 1..30_usize, seed: u64) {
        let model = Model::random(shape, seed).unwrap();
        let x = Tensor::new([steps, shape.input()], wave(steps * shape.input(), 0)).unwrap();
        for isa in Isa::available() {
            let cpu = Cpu::new(isa).unwrap();
            let mut state = State::new(&shape, 1);
            let whole = model.forward(cpu, &x, Order::BatchFirst, &mut state).unwrap();
            let mut stream = Stream::on(cpu, model.clone()).unwrap();
            for (x, y) in x.data().chunks(shape.input()).zip(whole.data().chunks(shape.width_out())) {
                prop_assert_eq!(bits(stream.step(x).unwrap()), bits(y));
            }
            prop_assert_eq!(bits(stream.state().unwrap().h().data()), bits(state.h().data()));
            // in two calls, the state handed over
            let cut = steps / 2;
            let mut state = State::new(&shape, 1);
            let mut parts = vec![];
            for range in [0..cut, cut..steps] {
                parts.extend(model.forward(cpu, &x.part(range).unwrap(), Order::BatchFirst, &mut state).unwrap().into_data());
            }
            prop_assert_eq!(bits(&parts), bits(whole.data()));
        }
    }

    /// `advance` changes no answer, in every order of calls.
    #[test]
    fn halves_of_a_step_are_the_step(
        shape in shapes(), seed: u64, calls in prop::collection::vec(0..6_u8, 1..40)
    ) {
        let model = Model::random(shape, seed).unwrap();
        let mut xs = wave(50 * shape.input(), 0).chunks(shape.input()).map(<[f32]>::to_vec).collect::<Vec<_>>().into_iter().cycle();
        for isa in Isa::available() {
            let on = || Stream::on(Cpu::new(isa).unwrap(), model.clone()).unwrap();
            let (mut stream, mut plain) = (on(), on());
            let mut kept = State::new(&shape, 1);
            for call in &calls {
                match call {
                    0 => stream.advance(),
                    1 => {
                        stream.advance();
                        kept = stream.state().unwrap().clone();
                    }
                    2 => {
                        stream.set_state(&kept).unwrap();
                        plain.set_state(&kept).unwrap();
                    }
                    3 => {
                        stream.reset();
                        plain.reset();
                    }
                    _ => {
                        let x = xs.next().unwrap();
                        prop_assert_eq!(bits(stream.step(&x).unwrap()), bits(plain.step(&x).unwrap()));
                        prop_assert!(stream.step(&[0.0; 7]).is_err()); // more values than any input here has
                    }
                }
                prop_assert_eq!(bits(stream.state().unwrap().h().data()), bits(plain.state().unwrap().h().data()));
            }
        }
    }

    #[test]
    fn sequences_side_by_side_do_not_touch(shape in shapes(), batch in 1..40_usize, steps in 1..6_usize, seed: u64) {
        let model = Model::random(shape, seed).unwrap();
        let x = Tensor::new([batch, steps, shape.input()], wave(batch * steps * shape.input(), 0)).unwrap();
        for isa in Isa::available() {
            let cpu = Cpu::new(isa).unwrap();
            let together = model.forward(cpu, &x, Order::BatchFirst, &mut State::new(&shape, batch)).unwrap();
            for b in 0..batch {
                let row = Tensor::new([steps, shape.input()], x.part(b..b + 1).unwrap().into_data()).unwrap();
                let alone = model.forward(cpu, &row, Order::BatchFirst, &mut State::new(&shape, 1)).unwrap();
                prop_assert_eq!(bits(together.part(b..b + 1).unwrap().data()), bits(alone.data()));
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits(shape in shapes(), batch in 1..5_usize, steps in 1..9_usize, seed: u64) {
        let out = shape.width_out();
        let x = Tensor::new([2, batch, steps, shape.input()], wave(2 * batch * steps * shape.input(), 0)).unwrap();
        let target = Tensor::new([2, batch, steps, out], wave(2 * batch * steps * out, 0)).unwrap();
        let trained = |isa, threads| {
            let windows = Windows::cut(x.clone(), target.clone()).unwrap();
            let recipe = Recipe { clip: Some(0.5), dropout: 0.25, seed, ..Recipe::default() };
            let (model, cpu) = (Model::random(shape, seed).unwrap(), Cpu::new(isa).unwrap());
            let mut trainer = Trainer::new(model, windows, recipe, cpu, Threads::new(threads).unwrap()).unwrap();
            let losses: Vec<u32> = (0..3).map(|_| trainer.step().unwrap().loss.to_bits()).collect();
            (losses, bits(trainer.model().params()))
        };
        let portable = trained(Isa::Portable, 1);
        for isa in Isa::available() {
            prop_assert_eq!(&trained(isa, 1), &portable, "{:?}", isa);
            prop_assert_eq!(&trained(isa, 3), &portable, "{:?} on three threads", isa);
        }
    }
}

#[test]
fn a_step_allocates_nothing() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1]))) > 0, "the counter does not count");
    for cell in CellKind::ALL {
        for (hidden, layers) in [(1, 1), (32, 1), (33, 3), (256, 2)] {
            for isa in Isa::available() {
                let model = Model::random(Shape::new(cell, 3, hidden, layers, 2).unwrap(), 1).unwrap();
                let scaler =
                    |width| Scaler::fit(rnnstep::units::scaler::Scaling::MinMax, &wave(4 * width, 0), width).unwrap();
                let model = model.with_scalers(scaler(3), scaler(2)).unwrap();
                let mut stream = Stream::on(Cpu::new(isa).unwrap(), model).unwrap();
                let count = allocations(|| {
                    let mut tick = stream.ticker::<3, 2>().unwrap();
                    for i in 0..100 {
                        std::hint::black_box(tick.step([i as f32, 0.5, -0.5]));
                        tick.advance();
                        std::hint::black_box(tick.step([0.5, i as f32, -0.5]));
                    }
                    let _ = stream.step(&[0.0]).map(<[f32]>::len); // the wrong length
                    stream.step(&[f32::NAN, f32::INFINITY, 1e-40]).unwrap();
                    stream.reset();
                });
                assert_eq!(count, 0, "{cell:?} H {hidden} L {layers} {isa:?}");
            }
        }
    }
}

#[test]
fn a_training_step_allocates_nothing() {
    let model = Model::random(Shape::new(CellKind::Lstm, 1, 32, 2, 1).unwrap(), 1).unwrap();
    let recipe = Recipe { clip: Some(1.0), dropout: 0.5, ..Recipe::default() };
    let windows = Windows::sine(20).unwrap();
    let mut trainer = Trainer::new(model, windows, recipe, Cpu::widest(), Threads::default()).unwrap();
    assert_eq!(allocations(|| (0..50).for_each(|_| assert!(trainer.step().unwrap().loss.is_finite()))), 0);
}

#[test]
fn a_wrong_length_leaves_the_state_alone() {
    let model = Model::random(Shape::new(CellKind::Gru, 2, 8, 1, 1).unwrap(), 1).unwrap();
    let on = |model| Stream::on(Cpu::widest(), model).unwrap();
    let (mut a, mut b) = (on(model.clone()), on(model));
    a.step(&[0.1, 0.2]).unwrap();
    b.step(&[0.1, 0.2]).unwrap();
    let error = b.step(&[0.3]).unwrap_err();
    assert_eq!(error.to_string(), "x [I]: expected 2 values, got 1");
    assert!(b.ticker::<3, 1>().is_err() && b.ticker::<2, 2>().is_err());
    assert_eq!(a.step(&[0.3, 0.4]).unwrap(), b.step(&[0.3, 0.4]).unwrap());
}

#[test]
fn a_state_can_be_kept_and_given_back() {
    for cell in CellKind::ALL {
        let model = Model::random(Shape::new(cell, 1, 17, 2, 1).unwrap(), 1).unwrap();
        let mut stream = Stream::on(Cpu::widest(), model.clone()).unwrap();
        for x in [0.5, -0.25, 1.0] {
            stream.step(&[x]).unwrap();
        }
        let kept = stream.state().unwrap().clone();
        let next = stream.step(&[0.75]).unwrap().to_vec();
        let mut other = Stream::on(Cpu::widest(), model).unwrap();
        other.set_state(&kept).unwrap();
        assert_eq!(other.step(&[0.75]).unwrap(), next);
        // of another size, and of as many values in another arrangement
        for (hidden, layers, batch) in [(16, 2, 1), (17, 1, 2)] {
            let foreign = State::new(&Shape::new(cell, 1, hidden, layers, 1).unwrap(), batch);
            assert!(other.set_state(&foreign).is_err());
        }
    }
}

#[test]
fn nothing_in_is_nothing_out() {
    let model = Model::random(Shape::new(CellKind::Lstm, 2, 8, 1, 3).unwrap(), 1).unwrap();
    for (dims, batch, expected) in
        [(vec![0, 2], 1, vec![0, 3]), (vec![0, 5, 2], 0, vec![0, 5, 3]), (vec![4, 0, 2], 4, vec![4, 0, 3])]
    {
        let mut state = State::new(model.shape(), batch);
        let y = model
            .forward(Cpu::widest(), &Tensor::<f32>::new(dims, []).unwrap(), Order::BatchFirst, &mut state)
            .unwrap();
        assert_eq!(y.dims(), expected);
    }
}
