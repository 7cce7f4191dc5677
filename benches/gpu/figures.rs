//! The grid: each network forward, forward and backward, and in training; and its products alone.

use crate::Lines;
use crate::check::{self, Truth};
use crate::grid::{self, Grid};
use crate::timing::Time;
use crate::values::{self, TARGET, X};
use rnnstep::cpu::Threads;
use rnnstep::cuda::{Cuda, Network, Queued};
use rnnstep::data::windows::Windows;
use rnnstep::net::pass::{HeadSteps, Mode};
use rnnstep::train::{Recipe, Trainer};
use rnnstep::{CellKind, Error, Model, Result, Shape, State, Tensor};
use serde_json::{Value, json};
use std::time::Instant;

/// Steps of training between two readings of the clock: as many as take so many seconds, and so many at the most.
const QUEUE: (f64, usize) = (20e-3, 100);

/// The kernels of a network, compiled if they are not in the cache.
pub fn load(cuda: &Cuda, shape: Shape, steps: usize, batch: usize) -> Result<()> {
    Network::new(cuda, &shape, 1, batch, Mode::Inference)?;
    trainer(cuda, &values::model(shape)?, steps, batch).map(drop)
}

/// All figures of one network, for every rounding and every T.
pub fn network(grid: &Grid, cuda: &Cuda, [hidden, batch]: [usize; 2], cell: CellKind, lines: &mut Lines) -> Result<()> {
    let shape = grid::shape(cell, hidden)?;
    let model = values::model(shape)?;
    let truth = Truth::of(&model, batch)?;
    for dtype in grid.dtypes() {
        let cuda = cuda.clone().with_dtype(dtype);
        let mut name = grid::name(cell, hidden, batch);
        name["I"] = shape.input().into();
        name["dtype"] = dtype.name().into();
        let mut measure = || -> Result<()> {
            let longest = grid.steps.iter().copied().fold(check::STEPS, usize::max);
            let mut network = Network::new(&cuda, &shape, longest, batch, Mode::Training)?;
            network.set_params(model.params())?;
            lines.say("answers", &[&name, &truth.hold(&mut network, &model, batch, dtype)?]);
            for &steps in &grid.steps {
                name["T"] = steps.into();
                passes(grid, &cuda, &mut network, batch, &name, lines)?;
                inference(grid, &cuda, &model, batch, &name, lines)?;
                training(grid, &cuda, &model, batch, &name, lines)?;
            }
            Ok(())
        };
        if let Err(error) = measure() {
            lines.fail(&name, &error.to_string());
        }
    }
    Ok(())
}

fn steps_of(name: &Value) -> usize {
    name["T"].as_u64().unwrap_or(1) as usize
}

/// Launched kernel by kernel, and as a recorded graph.
fn both(grid: &Grid, cuda: &Cuda, network: &Network, work: Queued) -> Result<Value> {
    let plain = Time::of(cuda.gpu(), grid.each(), || network.queue(work))?;
    let graph = network.record(work)?;
    let graphed = Time::of(cuda.gpu(), grid.each(), || graph.launch())?;
    Ok(json!({"plain_us": plain.json(), "graph_us": graphed.json(), "best_us": plain.median.min(graphed.median)}))
}

/// Forward and backward with all that training keeps, and the products of the first layer alone.
fn passes(
    grid: &Grid,
    cuda: &Cuda,
    network: &mut Network,
    batch: usize,
    name: &Value,
    lines: &mut Lines,
) -> Result<()> {
    let (shape, steps) = (*network.shape(), steps_of(name));
    network.forward(
        &values::values(X, steps * batch * shape.input()),
        &mut State::new(&shape, batch),
        HeadSteps::All,
    )?;
    network.backward(&values::values(TARGET, steps * batch), &mut vec![0.0; params(&shape)], false)?;
    let frame = json!({"frame": network.plan().frame().name()});
    lines.say("fwdbwd", &[name, &frame, &both(grid, cuda, network, Queued::ForwardBackward)?]);
    for (product, work) in [("gates", Queued::Gates), ("input", Queued::Input), ("weight", Queued::Weight)] {
        lines.say("product", &[name, &json!({"product": product}), &both(grid, cuda, network, work)?]);
    }
    Ok(())
}

fn params(shape: &Shape) -> usize {
    rnnstep::net::layout::Layout::new(shape).len()
}

/// Forward alone, with nothing kept.
fn inference(grid: &Grid, cuda: &Cuda, model: &Model, batch: usize, name: &Value, lines: &mut Lines) -> Result<()> {
    let (shape, steps) = (*model.shape(), steps_of(name));
    let mut network = Network::new(cuda, &shape, steps, batch, Mode::Inference)?;
    network.set_params(model.params())?;
    network.forward(
        &values::values(X, steps * batch * shape.input()),
        &mut State::new(&shape, batch),
        HeadSteps::All,
    )?;
    let frame = json!({"frame": network.plan().frame().name()});
    lines.say("fwd", &[name, &frame, &both(grid, cuda, &network, Queued::Forward)?]);
    Ok(())
}

fn trainer(cuda: &Cuda, model: &Model, steps: usize, batch: usize) -> Result<Trainer> {
    let input = model.shape().input();
    let x = Tensor::new(vec![1, batch, steps, input], values::values(X, batch * steps * input))?;
    let windows = Windows::cut(x, Tensor::new(vec![1, batch, steps, 1], values::values(TARGET, batch * steps))?)?;
    let recipe = Recipe { carry: false, lr: 1e-3, ..Recipe::default() };
    Trainer::new(model.clone(), windows, recipe, cuda.clone(), Threads::default())
}

/// A step of training with Adam, as the library runs it: window, forward, loss, backward, update. Many steps are queued
/// before their losses are read.
fn training(grid: &Grid, cuda: &Cuda, model: &Model, batch: usize, name: &Value, lines: &mut Lines) -> Result<()> {
    let mut trainer = trainer(cuda, model, steps_of(name), batch)?;
    let mut losses = vec![];
    trainer.steps(2, |step| losses.push(step.loss))?;
    let start = Instant::now();
    trainer.steps(2, |step| losses.push(step.loss))?;
    let one = start.elapsed().as_secs_f64() / 2.0;
    let queue = if grid.trial() { 2 } else { ((QUEUE.0 / one) as usize).clamp(2, QUEUE.1) };
    let time = Time::of(cuda.gpu(), grid.each(), || trainer.steps(queue, |step| losses.push(step.loss)))?;
    let (first, last) = (losses.first().copied().unwrap_or(f32::NAN), losses.last().copied().unwrap_or(f32::NAN));
    if !last.is_finite() {
        return Err(Error::Invalid(format!("training: the loss became {last}")));
    }
    let best = time.median / queue as f64;
    let of = json!({"best_us": best, "first_loss": first, "last_loss": last, "seen": losses.len()});
    lines.say("train", &[name, &of]);
    Ok(())
}
