//! Calls of the library in any order, with arguments of any length: each ends well or in an error of one line. What may panic
//! says so in its documentation and stands in a table here.

use crate::campaign::{Outcome, allowed, campaign, cut};
use crate::dice::Dice;
use crate::{good, shapes};
use rnnstep::Cpu;
use rnnstep::cpu::Threads;
use rnnstep::data::windows::Windows;
use rnnstep::train::{Recipe, Trainer};
use rnnstep::units::scaler::Scaling;
use rnnstep::{
    CellKind, Handle, Learner, LearnerOptions, Levels, Loss, Model, Order, Scaler, Shape, State, Stream, Streams,
    TargetTransform, Tensor, Units, Weights,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Documented panics, by what the documentation says under `# Panics`, as the message has it.
const PANICS: &[(&str, &str)] = &[];

#[test]
fn calls() {
    campaign("api::calls", 20_000, |_| {
        |case| {
            let dice = &mut case.dice;
            match dice.below(6) {
                0 => stream(dice),
                1 => streams(dice),
                2 => learner(dice),
                3 => sequences(dice),
                4 => plain(dice),
                _ => trainer(dice),
            }
        }
    });
}

/// A call that may end in one of the documented panics; `Err` for any other.
fn call<T>(what: &str, call: impl FnOnce() -> rnnstep::Result<T>) -> Result<Option<T>, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => allowed(result).map_err(|found| format!("{what}: {found}")),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
            let documented = PANICS.iter().any(|(of, words)| *of == what && said.contains(words));
            if documented { Ok(None) } else { Err(format!("{what} panicked: {}", cut(&said))) }
        }
    }
}

/// The same of one that gives nothing back.
fn act(what: &str, act: impl FnOnce()) -> Result<(), String> {
    call(what, || {
        act();
        Ok(())
    })
    .map(|_| ())
}

fn shape(dice: &mut Dice) -> Shape {
    let cell = dice.one(&CellKind::ALL);
    let relu = dice.once_in(2);
    let size = |dice: &mut Dice| dice.one(&[1, 1, 2, 3, 5, 8, 15, 16, 17, 33]);
    let sizes = [size(dice), size(dice), dice.between(1, 3)];
    let output = if dice.once_in(4) { None } else { Some(size(dice)) };
    shapes::shape(cell, relu, sizes, output, !dice.once_in(4))
}

fn model(dice: &mut Dice) -> Model {
    let shape = shape(dice);
    let mut model = Model::random(shape, dice.next()).unwrap();
    if dice.once_in(2) {
        let scaler = |width: usize| Scaler::new(vec![0.5; width], vec![2.0; width]).unwrap();
        let mut units = Units::scaled(scaler(shape.input()), scaler(shape.width_out()));
        let loss = loss(dice);
        units = units.clone().with_loss(loss).unwrap_or(units);
        let columns: Vec<usize> = (0..units.targets().min(shape.input())).collect();
        units = units.clone().with_transform(transform(dice), &columns).unwrap_or(units);
        model = model.with_units(units).unwrap();
    }
    let weights = dice.one(&[Weights::F32, Weights::F32, Weights::Bf16, Weights::F16, Weights::Int8]);
    model.with_weights(weights).unwrap()
}

fn loss(dice: &mut Dice) -> Loss {
    let levels = Levels::new(&[0.1, 0.5, 0.9]).unwrap();
    dice.one(&[
        Loss::Mse,
        Loss::Mae,
        Loss::Huber,
        Loss::Gaussian,
        Loss::Quantiles(levels),
        Loss::Quantiles(Levels::default()),
    ])
}

fn transform(dice: &mut Dice) -> TargetTransform {
    let season = dice.one(&[0, 1, 2, 7, 100, usize::MAX]);
    dice.one(&[
        TargetTransform::Value,
        TargetTransform::Change,
        TargetTransform::RelativeChange,
        TargetTransform::SeasonalChange { season },
    ])
}

/// A length that is right, or nearly, or not at all.
fn length(dice: &mut Dice, right: usize) -> usize {
    if dice.once_in(5) { dice.one(&[0, 1, right + 1, right.saturating_sub(1), right * 2, 1000]) } else { right }
}

fn some(dice: &mut Dice, right: usize) -> Vec<f32> {
    let count = length(dice, right);
    dice.values(count)
}

/// The state of this model, or of any other.
fn state(dice: &mut Dice, of: &Shape) -> Result<State, String> {
    let shape = if dice.once_in(2) { shape(dice) } else { *of };
    let mut state = State::new(&shape, dice.one(&[1, 1, 1, 0, 2, 5]));
    let len = state.h().data().len();
    let (h, c) = (some(dice, len), some(dice, len));
    call("State::set_h", || state.set_h(&h))?;
    call("State::set_c", || state.set_c(&c))?;
    Ok(state)
}

fn cpu(dice: &mut Dice) -> Cpu {
    let all = rnnstep::Isa::available();
    Cpu::new(dice.one(&all)).unwrap()
}

fn stream(dice: &mut Dice) -> Outcome {
    let (model, cpu) = (model(dice), cpu(dice));
    let shape = *model.shape();
    let Some(mut stream) = call("Stream::on", || Stream::on(cpu, model))? else { return Ok(false) };
    let mut kept = stream.state().map_err(|error| error.to_string())?.clone();
    let mut taken = false;
    for _ in 0..dice.below(30) {
        let x = some(dice, shape.input());
        match dice.below(9) {
            0..=3 => taken |= call("Stream::step", || stream.step(&x).map(|_| ()))?.is_some(),
            4 => act("Stream::advance", || stream.advance())?,
            5 => kept = state(dice, &shape)?,
            6 => taken |= call("Stream::set_state", || stream.set_state(&kept))?.is_some(),
            7 if dice.once_in(2) => act("Stream::warm_up", || stream.warm_up())?,
            7 => act("Stream::reset", || stream.reset())?,
            _ => {
                let ticked = call("Stream::ticker", || {
                    stream.ticker::<1, 1>().map(|mut tick| (tick.step([0.5]), tick.advance()))
                })?;
                taken |= ticked.is_some();
                kept = call("Stream::state", || stream.state().cloned())?.ok_or("a stream without a state")?;
            }
        }
    }
    Ok(taken)
}

fn streams(dice: &mut Dice) -> Outcome {
    let model = model(dice);
    let shape = *model.shape();
    let threads = Threads::new(dice.one(&[1, 1, 1, 1, 2])).map_err(|error| error.to_string())?;
    let capacity = dice.one(&[0, 0, 1, 3, 17]);
    let cpu = cpu(dice);
    let Some(mut streams) = call("Streams::new", || Streams::new(model, cpu, threads, capacity))? else {
        return Ok(false);
    };
    // handles of others, and those of streams that were closed
    let other = Model::random(shape, 1).unwrap();
    let mut others = Streams::new(other, Cpu::widest(), Threads::default(), 1).unwrap();
    let mut handles: Vec<Handle> = vec![others.open().unwrap()];
    let mut taken = false;
    for _ in 0..dice.below(40) {
        let one = handles[dice.below(handles.len())];
        match dice.below(9) {
            0 | 1 => handles.extend(call("Streams::open", || streams.open())?),
            2 if dice.once_in(2) => drop(call("Streams::close", || streams.close(one))?),
            2 => drop(call("Streams::reset", || streams.reset(one))?),
            3..=5 => {
                let open: Vec<Handle> = handles.iter().copied().filter(|&handle| streams.is_open(handle)).collect();
                let mut rows: Vec<Handle> = open.into_iter().filter(|_| !dice.once_in(3)).collect();
                if dice.once_in(6) {
                    rows.push(one);
                }
                let (x, mut y) = (some(dice, rows.len() * shape.input()), some(dice, rows.len() * shape.width_out()));
                taken |= call("Streams::step_many", || streams.step_many(&rows, &x, &mut y))?.is_some();
            }
            6 => {
                let x = some(dice, shape.input());
                taken |= call("Streams::step", || streams.step(one, &x).map(|_| ()))?.is_some();
            }
            7 => {
                let state = state(dice, &shape)?;
                taken |= call("Streams::set_state", || streams.set_state(one, &state))?.is_some();
            }
            _ => {
                if dice.once_in(6) {
                    act("Streams::warm_up", || streams.warm_up())?;
                }
                if let Some(state) = call("Streams::state", || streams.state(one))? {
                    call("Streams::set_state", || streams.set_state(one, &state))?
                        .ok_or("streams refuse their own state")?;
                }
            }
        }
    }
    Ok(taken)
}

fn learner(dice: &mut Dice) -> Outcome {
    let model = model(dice);
    let shape = *model.shape();
    let odd = dice.one(&[f64::NAN, -1.0, 0.0, f64::INFINITY, 1e300, 1e-300]);
    let options = LearnerOptions {
        window: dice.one(&[1, 2, 5, 16, 0]),
        every: dice.one(&[1, 1, 3, 0, usize::MAX]),
        loss: loss(dice),
        lr: dice.one(&[1e-3, 0.1, 10.0, odd]),
        clip: dice.one(&[None, Some(1.0), Some(odd)]),
        explode: dice.one(&[None, Some(4.0), Some(odd)]),
        adapt: dice.one(&[None, None, Some(0.9), Some(odd)]),
        ..LearnerOptions::default()
    };
    let cpu = cpu(dice);
    let Some(mut learner) = call("Learner::new", || Learner::new(model, options, cpu))? else { return Ok(false) };
    let targets = shape.width_out() / options.loss.outputs(1);
    let mut kept = learner.snapshot();
    for _ in 0..dice.below(30) {
        let (x, came) = (some(dice, shape.input()), some(dice, targets));
        match dice.below(10) {
            0..=3 => drop(call("Learner::tick", || learner.tick(&x, &came).map(|_| ()))?),
            4 => drop(call("Learner::predict", || learner.predict(&x).map(|_| ()))?),
            5 => drop(call("Learner::learn", || learner.learn(&came))?),
            6 => {
                let state = state(dice, &shape)?;
                call("Learner::set_state", || learner.set_state(&state))?;
            }
            7 => {
                if dice.once_in(3) {
                    act("Learner::warm_up", || learner.warm_up())?;
                }
                if learner.is_paused() { learner.resume() } else { learner.pause() }
            }
            8 => {
                kept = learner.snapshot();
                for (_, buffer) in kept.buffers_mut() {
                    if let Some(at) =
                        (!buffer.is_empty()).then(|| dice.below(buffer.len())).filter(|_| dice.once_in(20))
                    {
                        buffer[at] = dice.value();
                    }
                }
                if dice.once_in(8) {
                    kept.numbers.ticks = dice.one(&crate::dice::NASTY_U64);
                    kept.numbers.step = dice.one(&crate::dice::NASTY_U64);
                }
            }
            _ => drop(call("Learner::restore", || learner.restore(&kept))?),
        }
    }
    call("Learner::state", || Ok(learner.state()))?;
    let model = learner.model();
    if model.params().iter().all(|value| value.is_finite()) {
        Ok(true)
    } else {
        Err("a learner with weights that are not finite".into())
    }
}

/// Arrays of any shape through a model at once.
fn sequences(dice: &mut Dice) -> Outcome {
    let model = model(dice);
    let shape = *model.shape();
    let (batch, steps) = (dice.one(&[1, 2, 3, 0]), dice.one(&[1, 4, 7, 0]));
    let dims: Vec<usize> = match dice.below(5) {
        0 | 1 => vec![steps, shape.input()],
        2 | 3 => vec![batch, steps, shape.input()],
        _ => (0..dice.below(5)).map(|_| dice.below(4)).collect(),
    };
    let x = Tensor::new(dims.clone(), dice.values(dims.iter().product())).unwrap();
    let (order, cpu) = (dice.one(&[Order::BatchFirst, Order::TimeMajor]), cpu(dice));
    let mut taken = false;
    for _ in 0..2 {
        let right =
            if dims.len() == 2 { 1 } else { dims.get(usize::from(order == Order::TimeMajor)).copied().unwrap_or(1) };
        let mut state = if dice.once_in(3) { state(dice, &shape)? } else { State::new(&shape, right) };
        let y = call("Model::forward", || model.forward(cpu, &x, order, &mut state))?;
        if let Some(y) = &y {
            call("Model::point", || model.point(y))?;
        }
        taken |= y.is_some();
    }
    Ok(taken)
}

/// Arrays, scalers, units and windows by themselves.
fn plain(dice: &mut Dice) -> Outcome {
    let dims: Vec<usize> = (0..dice.below(5)).map(|_| dice.one(&[0, 1, 2, 3, 4, 4, 4, usize::MAX, 1 << 32])).collect();
    let count = dims
        .iter()
        .try_fold(1_usize, |product, &dim| product.checked_mul(dim))
        .filter(|&count| count < 1000)
        .unwrap_or(3);
    let values = some(dice, count);
    let mut taken = false;
    if let Some(array) = call("Tensor::new", || Tensor::new(dims, values))? {
        taken = true;
        let (start, end) = (dice.one(&[0, 1, 2, 5]), dice.one(&[0, 1, 2, 4, usize::MAX]));
        call("Tensor::part", || array.part(start..end))?;
        call("Tensor::swap_batch_and_time", || array.swap_batch_and_time())?;
        call("Tensor::rows", || Ok(array.rows()))?;
        call("forecast::scores", || {
            rnnstep::series::one_step::scores(&array.clone().into(), &good::series(5, 2).into())
        })?;
        call("Windows::cut", || Windows::cut(array.clone(), array.clone()))?;
    }
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
    let (shift, scale) = (wide(some(dice, 2)), wide(some(dice, 2)));
    if let Some(scaler) = call("Scaler::new", || Scaler::new(shift, scale))? {
        let mut rows = some(dice, 6);
        act("Scaler::apply", || scaler.apply(&mut rows))?;
        act("Scaler::undo", || scaler.undo(&mut rows))?;
        let columns: Vec<usize> = (0..dice.below(4)).map(|_| dice.below(3)).collect();
        let (loss, transform) = (loss(dice), transform(dice));
        let units = Units::scaled(scaler.clone(), scaler);
        call("Units", || units.with_loss(loss)?.with_transform(transform, &columns))?;
    }
    let (rows, width) = (some(dice, 6), dice.one(&[1, 2, 3, 0]));
    let scaling = dice.one(&[Scaling::Standard, Scaling::MinMax, Scaling::None]);
    call("Scaler::fit", || Scaler::fit(scaling, &rows, width))?;
    let levels = some(dice, 3);
    call("Levels::new", || Levels::new(&levels))?;
    Ok(taken)
}

fn trainer(dice: &mut Dice) -> Outcome {
    let model = model(dice);
    let (inputs, targets) =
        (model.shape().input(), model.units().map_or(model.shape().width_out(), |units| units.targets()));
    let (rows, seq_len, batch) =
        (dice.between(0, 30), dice.one(&[1, 3, 5, 0, usize::MAX]), dice.one(&[1, 2, 0, usize::MAX]));
    let x = good::series(rows, length(dice, inputs).clamp(1, 40));
    let target = good::series(length(dice, rows), length(dice, targets).clamp(1, 40));
    let (last, stride) = (dice.once_in(4), dice.one(&[1, 2, 0, usize::MAX]));
    let carry = dice.once_in(2);
    let windows = call("Windows", || {
        if carry {
            Windows::lanes(x, target, seq_len, batch, last)
        } else {
            Windows::shuffled(x, target, seq_len, stride, batch, last, 1)
        }
    })?;
    let Some(windows) = windows else { return Ok(false) };
    let odd = dice.one(&[f64::NAN, -1.0, f64::INFINITY, 1e300, 0.0]);
    let recipe = Recipe {
        loss: loss(dice),
        loss_on: if last { rnnstep::net::pass::HeadSteps::Last } else { rnnstep::net::pass::HeadSteps::All },
        lr: dice.one(&[0.01, 0.01, 10.0, odd]),
        clip: dice.one(&[None, Some(1.0), Some(odd)]),
        dropout: dice.one(&[0.0, 0.0, 0.5, odd]),
        carry,
        ..Recipe::default()
    };
    let mut again = windows.clone();
    call("train::mean_loss", || rnnstep::train::mean_loss(&model, &mut again, &recipe, Cpu::widest()))?;
    let threads = Threads::default();
    let Some(mut trainer) = call("Trainer::new", || Trainer::new(model, windows, recipe, Cpu::widest(), threads))?
    else {
        return Ok(false);
    };
    let steps = dice.below(6);
    call("Trainer::steps", || trainer.steps(steps, |_| {}))?;
    Ok(true)
}
