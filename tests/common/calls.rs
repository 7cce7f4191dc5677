//! Calls of the public interface in an order, and with lengths, that bytes choose: what a program could do that follows
//! no rule but the compiler's. None of it may touch memory that is not its own, which the address sanitizer and Miri see
//! (`.ci/sanitize`), and what refuses must leave everything as it was.
//!
//! The low-level passes of [`rnnstep::cpu`] may panic, as they document, and are used again afterwards. Everything else has
//! to refuse with an error of one line.
#![allow(dead_code, reason = "a test and a fuzz target use it")]

use rnnstep::cpu::{Many, Network, Stepper, Threads};
use rnnstep::net::pass::{HeadSteps, Mode};
use rnnstep::objective::optimizer::Optimizer;
use rnnstep::{
    CellKind, Cpu, Error, Handle, Isa, Learner, LearnerOptions, Model, Nonlinearity, Order, Scaler, Shape, State,
    Stream, Streams, TargetTransform, Tensor, Units, Weights,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Sizes that no memory holds, and whose products wrap round.
const WILD: [usize; 8] = {
    const MOST: usize = usize::MAX;
    [0, MOST / 64 + 1, MOST / 32 + 1, MOST / 16 + 1, MOST / 16 + 2, MOST / 2 + 1, MOST - 1, MOST]
};

/// Bytes as choices; when they are used up it is the end.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn over(&self) -> bool {
        self.0.is_empty()
    }

    /// Below `n`.
    fn below(&mut self, n: usize) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(first) % n
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == one_in - 1
    }

    /// `right`, or now and then another length near it or far from it.
    fn length(&mut self, right: usize) -> usize {
        match self.below(12) {
            0 => right + 1,
            1 => right.saturating_sub(1),
            2 => self.below(40),
            3 => 0,
            _ => right,
        }
    }

    /// So many values, some of them special, on the heap and not one more.
    fn values(&mut self, len: usize) -> Vec<f32> {
        let special = [f32::NAN, f32::INFINITY, f32::MIN_POSITIVE, 1e-42, -1e38];
        let (odd, start) = (self.chance(6), self.below(7));
        let value =
            |i: usize| if odd && i % 5 == 4 { special[(i + start) % 5] } else { ((i + start) % 9) as f32 / 4.0 - 1.0 };
        (0..len).map(value).collect()
    }

    /// A size, small or wild.
    fn size(&mut self, most: usize) -> usize {
        if self.chance(10) { self.of(&WILD) } else { self.below(most + 1) }
    }

    fn shape(&mut self) -> Shape {
        let cell = self.of(&CellKind::ALL);
        let [input, hidden, layers] =
            [self.of(&[1, 2, 3, 16, 17]), self.of(&[1, 2, 15, 16, 17, 33]), 1 + self.below(3)];
        let output = self.of(&[Some(1), None, Some(4), Some(5), Some(17)]);
        let relu = cell == CellKind::Rnn && self.chance(3);
        let shape = Shape::new(cell, input, hidden, layers, 1).unwrap().with_output(output).unwrap();
        let shape = shape.with_bias(!self.chance(3)).unwrap();
        if relu { shape.with_nonlinearity(Nonlinearity::Relu).unwrap() } else { shape }
    }

    fn model(&mut self, shape: Shape) -> Model {
        let model = Model::random(shape, 1).unwrap();
        match self.below(4) {
            0 => model,
            1 => {
                let scaler = |width: usize| Scaler::new(vec![0.5; width], vec![2.0; width]).unwrap();
                model.with_scalers(scaler(shape.input()), scaler(shape.width_out())).unwrap()
            }
            2 => changes(
                model.clone(),
                [TargetTransform::Change, TargetTransform::SeasonalChange { season: 3 }][self.below(2)],
            )
            .unwrap_or(model),
            _ => {
                let weights = self.of(&[Weights::Bf16, Weights::F16, Weights::Int8]);
                model.with_weights(weights).unwrap()
            }
        }
    }

    /// A state that mostly belongs to `shape`.
    fn state(&mut self, shape: &Shape, batch: usize) -> State {
        let mut other = *shape;
        match self.below(10) {
            0 => other = shape.with_hidden(shape.hidden() + 1).unwrap(),
            1 => other = shape.with_layers(shape.layers() + 1).unwrap(),
            2 => other = Shape::new(self.of(&CellKind::ALL), 1, shape.hidden(), shape.layers(), 1).unwrap(),
            _ => {}
        }
        let mut state = State::new(&other, if self.chance(8) { self.below(4) } else { batch });
        let len = state.h().data().len();
        let (h, c) = (self.values(len), self.values(len));
        state.set_h(&h).unwrap();
        let had = state.set_c(&c);
        assert_eq!(had.is_ok(), other.cell().has_c() || len == 0);
        state
    }

    fn cpu(&mut self) -> Cpu {
        let here = Isa::available();
        Cpu::new(here[self.below(here.len())]).unwrap()
    }

    fn threads(&mut self) -> Threads {
        let count = if cfg!(miri) || !self.chance(4) { 1 } else { 3 };
        Threads::new(count).unwrap()
    }
}

/// The model as one of changes of as many of its inputs as it has outputs.
fn changes(model: Model, transform: TargetTransform) -> Result<Model, Error> {
    let (input, out) = (model.shape().input(), model.shape().width_out());
    let scaler = |width: usize| Scaler::new(vec![0.0; width], vec![1.0; width]);
    let columns: Vec<usize> = (0..out.min(input)).collect();
    let units = Units::scaled(scaler(input)?, scaler(out)?).with_transform(transform, &columns)?;
    model.with_units(units)
}

/// What happens is an error of one line at most.
fn refused<T>(result: Result<T, Error>) {
    if let Err(error) = result {
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
    }
}

/// A call that may panic, as its documentation says; nothing else may.
fn may_panic<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

/// Calls until the bytes are used up. The hook that prints panics is the caller's to silence.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let shape = choices.shape();
    while !choices.over() {
        match choices.below(7) {
            0 => networks(&mut choices, shape),
            1 => steppers(&mut choices, shape),
            2 => many(&mut choices, shape),
            3 => streams(&mut choices, shape),
            4 => stream(&mut choices, shape),
            5 => learner(&mut choices, shape),
            _ => tensors(&mut choices, shape),
        }
    }
}

fn networks(choices: &mut Choices, shape: Shape) {
    let purpose = choices.of(&[Mode::Inference, Mode::Training]);
    // many sequences now and then: rows of gates are then held for one step only
    let batch = if choices.chance(4) { 65 + choices.below(40) } else { choices.size(3) };
    let (cpu, threads, steps) = (choices.cpu(), choices.threads(), choices.size(6));
    let made = Network::new(cpu, threads, &shape, steps, batch, purpose);
    let Ok(mut network) = made else { return refused(made) };
    let model = Model::random(shape, 2).unwrap();
    let len = model.params().len();
    for _ in 0..1 + choices.below(4) {
        let sequences = if choices.chance(2) { batch } else { 1 + choices.below(batch.clamp(1, 200)) };
        let mut state = choices.state(&shape, sequences);
        let t = choices.below(steps.min(6) + 2);
        let rows = t * sequences * shape.input();
        let len_x = choices.length(rows);
        let (x, params) = (choices.values(len_x), &model.params()[..len - usize::from(choices.chance(9))]);
        let head = choices.of(&[HeadSteps::All, HeadSteps::Last]);
        let done = may_panic(|| network.forward(params, &x, &mut state, head, None)).is_some();
        if choices.chance(3) {
            let row = choices.size(9);
            may_panic(|| network.y(row).len());
            may_panic(|| network.y_and_dy(row).1.fill(0.5));
            may_panic(|| network.state_at(choices.size(3), row, true).len());
            let mut gates = Vec::new();
            may_panic(|| network.gates(choices.size(3), row, &mut gates));
        }
        let mut grads = vec![0.0; choices.length(len)];
        if may_panic(|| network.backward(params, &mut grads, &x, choices.chance(4))).is_some() {
            assert!(purpose == Mode::Training, "backward of a network for inference");
            let row = choices.size(9);
            may_panic(|| network.dx(row).len());
            may_panic(|| network.dstate(choices.size(3), row, true).len());
        }
        if done {
            network.head_rows().for_each(|row| assert_eq!(network.y(row).len(), shape.width_out()));
        }
        let update =
            choices.of(&[Optimizer::default().update(1, 0.01), Optimizer::Sgd(Default::default()).update(2, 0.01)]);
        let mut arrays = [0; 4].map(|_| vec![0.5_f32; choices.length(len)]);
        let [params, m, v, v_max] = &mut arrays;
        may_panic(|| network.update(update, 1.0, params, &grads, [m, v, v_max]));
    }
}

fn steppers(choices: &mut Choices, shape: Shape) {
    let model = choices.model(shape);
    let hidden = 16 + choices.below(20);
    let other = choices.model(shape.with_hidden(hidden).unwrap());
    let (cpu, weights) = (choices.cpu(), model.step_weights());
    let params = &model.step_params()[..choices.length(model.step_params().len()).min(model.step_params().len())];
    let Some(mut stepper) = may_panic(|| Stepper::new(cpu, &shape, weights, params)) else { return };
    let mut second = Stepper::new(cpu, other.shape(), other.step_weights(), other.step_params());
    let (mut state, mut state_of_other) = (choices.state(&shape, 1), State::new(other.shape(), 1));
    let mut kept = None;
    for _ in 0..choices.below(6) {
        may_panic(|| stepper.params_changed(&model.step_params()[choices.below(2)..]));
        may_panic(|| {
            let mut bound = stepper.bind(params, &mut state);
            let mut beside = second.bind(other.step_params(), &mut state_of_other);
            for _ in 0..choices.below(6) {
                match choices.below(6) {
                    0 => bound.advance(),
                    1 => kept = Some(bound.keep()),
                    2 => kept.iter().for_each(|kept| bound.put_back(kept)),
                    3 => std::mem::swap(&mut bound, &mut beside),
                    _ => {
                        let len = choices.length(shape.input());
                        let x = choices.values(len);
                        bound.step(&x);
                    }
                }
            }
        });
    }
}

fn many(choices: &mut Choices, shape: Shape) {
    let model = Model::random(shape, 3).unwrap();
    let (cpu, threads, slots) = (choices.cpu(), choices.threads(), choices.size(60));
    let made = Many::new(cpu, threads, &shape, (Weights::F32, model.params()), slots);
    let Ok(mut many) = made else { return refused(made) };
    for _ in 0..choices.below(5) {
        many.begin();
        let mut rows = 0;
        for _ in 0..choices.below(52) {
            rows += usize::from(may_panic(|| many.add(choices.size(60) as u32)) == Some(true));
        }
        let [len_x, len_y] = [rows * shape.input(), rows * shape.width_out()].map(|len| choices.length(len));
        let (x, mut y) = (choices.values(len_x), vec![0.0; len_y]);
        may_panic(|| many.step(model.params(), &x, &mut y, None));
        let (slot, layer) = (choices.size(60) as u32, choices.size(3));
        may_panic(|| many.h(slot, layer).len());
        may_panic(|| many.c_mut(slot, layer).fill(1.0));
        may_panic(|| many.reset(slot));
        refused(many.grow(choices.size(70)));
    }
}

fn streams(choices: &mut Choices, shape: Shape) {
    let model = choices.model(shape);
    let (cpu, threads, capacity) = (choices.cpu(), choices.threads(), choices.size(4));
    let made = Streams::new(model.clone(), cpu, threads, capacity);
    let Ok(mut streams) = made else { return refused(made) };
    let mut other = Streams::new(model, cpu, Threads::default(), 1).unwrap();
    let mut handles: Vec<Handle> = vec![other.open().unwrap()];
    for _ in 0..choices.below(14) {
        let handle = handles[choices.below(handles.len())];
        match choices.below(8) {
            0 | 1 => handles.extend(streams.open()),
            2 => refused(streams.close(handle)),
            3 => refused(streams.reset(handle)),
            4 => {
                let state = choices.state(&shape, 1);
                let before = streams.state(handle).ok();
                let set = streams.set_state(handle, &state);
                if let (Err(_), Some(before)) = (&set, before) {
                    assert_eq!(before.h().data().len(), streams.state(handle).unwrap().h().data().len());
                }
                refused(set);
            }
            _ => {
                let rows: Vec<Handle> = (0..choices.below(6)).map(|_| handles[choices.below(handles.len())]).collect();
                let [len_x, len_y] = [shape.input(), shape.width_out()].map(|width| choices.length(rows.len() * width));
                let (x, mut y) = (choices.values(len_x), vec![0.0; len_y]);
                refused(streams.step_many(&rows, &x, &mut y));
            }
        }
    }
}

fn stream(choices: &mut Choices, shape: Shape) {
    let model = choices.model(shape);
    let mut stream = Stream::on(choices.cpu(), model.clone()).unwrap();
    let mut transforms = changes(model.clone().raw(), TargetTransform::SeasonalChange { season: 2 })
        .ok()
        .and_then(|m| Stream::on(Cpu::widest(), m).ok());
    for _ in 0..choices.below(10) {
        match choices.below(7) {
            0 => stream.advance(),
            1 => stream.reset(),
            2 => {
                let state = choices.state(&shape, 1);
                let before = stream.state().unwrap().clone();
                if let Err(error) = stream.set_state(&state) {
                    assert_eq!(error.to_string().lines().count(), 1);
                    let same = |a: &Tensor, b: &Tensor| {
                        a.data().iter().map(|v| v.to_bits()).eq(b.data().iter().map(|v| v.to_bits()))
                    };
                    assert!(same(&before.h(), &stream.state().unwrap().h()), "a state that was refused was taken");
                }
            }
            3 => {
                // the state of a model that predicts other changes
                if let Some(transforms) = &mut transforms {
                    refused(transforms.step(&choices.values(shape.input())).map(drop));
                    refused(stream.set_state(transforms.state().unwrap()));
                }
            }
            4 => {
                let batch = choices.below(3);
                let dims = [batch, choices.below(4), choices.length(shape.input())];
                let x = choices.values(dims.iter().product());
                let mut state = choices.state(&shape, batch);
                let x = Tensor::new(dims, x).unwrap();
                let order = choices.of(&[Order::BatchFirst, Order::TimeMajor]);
                refused(model.forward(Cpu::widest(), &x, order, &mut state));
            }
            _ => {
                let len = choices.length(shape.input());
                let x = choices.values(len);
                assert_eq!(stream.step(&x).is_ok(), len == shape.input());
            }
        }
    }
}

fn learner(choices: &mut Choices, shape: Shape) {
    let model = choices.model(shape);
    let window = choices.size(5);
    let options = LearnerOptions { window, every: choices.size(3), ..LearnerOptions::default() };
    let made = Learner::new(model.clone(), options, choices.cpu());
    let Ok(mut learner) = made else { return refused(made) };
    let other = Learner::new(model, LearnerOptions { window: 2, ..options }, Cpu::widest()).unwrap();
    let mut kept = other.snapshot();
    for _ in 0..choices.below(10) {
        match choices.below(6) {
            0 => refused(learner.set_state(&choices.state(&shape, 1))),
            1 => kept = learner.snapshot(),
            2 => refused(learner.restore(&kept)),
            3 => learner.reset(),
            _ => {
                let [x, came] = [shape.input(), shape.width_out()].map(|width| choices.length(width));
                let (x, came) = (choices.values(x), choices.values(came));
                refused(learner.tick(&x, &came).map(drop));
            }
        }
    }
}

fn tensors(choices: &mut Choices, shape: Shape) {
    let dims: Vec<usize> = (0..choices.below(5)).map(|_| choices.size(4)).collect();
    let len = dims.iter().map(|&dim| dim.min(5)).product::<usize>();
    let len = choices.length(len);
    let made = Tensor::new(dims, choices.values(len));
    let Ok(tensor) = made else { return refused(made) };
    tensor.rows();
    let (start, end) = (choices.size(5), choices.size(5));
    refused(tensor.part(start..end));
    refused(tensor.swap_batch_and_time());
    let order = choices.of(&[Order::BatchFirst, Order::TimeMajor]);
    let mut state = choices.state(&shape, 1);
    refused(Model::random(shape, 4).unwrap().forward(Cpu::widest(), &tensor, order, &mut state));
    // beyond what a length can say: a panic, and no state shorter than it says
    if let Some(state) = may_panic(|| State::new(&shape, choices.of(&WILD).max(1 << 40))) {
        panic!("a state of {} sequences", state.batch());
    }
    refused(shape.with_hidden(choices.of(&WILD)));
    refused(shape.with_layers(choices.of(&WILD)));
}
