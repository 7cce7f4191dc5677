//! The candidates of a search, and their numbers.

use crate::cell::kind::{CellKind, Nonlinearity};
use crate::data::windows;
use crate::error::Result;
use crate::net::shape::Shape;
use crate::random::{Purpose, Random};
use crate::series::naive;
use crate::train::{Plan, Table, TargetAs};
use crate::units::transform::TargetTransform;
use std::collections::HashSet;

/// After this many draws in a row without a new candidate, the space counts as exhausted.
const TIRED: usize = 1000;
/// The number of windows that a training part must have room for.
const WINDOWS: usize = 4;

/// The choices of each dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    /// Cells.
    pub cells: Vec<CellKind>,
    /// Hidden units of a layer.
    pub hidden: Vec<usize>,
    /// Layers.
    pub layers: Vec<usize>,
    /// T, time steps of a window.
    pub seq_lens: Vec<usize>,
    /// The smallest and the largest learning rate. It is drawn from a log-uniform distribution between them.
    pub lr: (f64, f64),
    /// Target transforms.
    pub transforms: Vec<TargetAs>,
}

impl Space {
    /// The choices that fit `training`: windows short enough for several of them; changes if the targets are among the
    /// inputs; relative changes if no target is 0; seasonal changes over each of `seasons`, or over one that is found in
    /// the first target before the row `first`.
    pub fn for_table(training: &Table, first: usize, seasons: &[usize]) -> Self {
        let (targets, width) = (training.targets().data(), training.targets().rows().1);
        let mut transforms = vec![TargetTransform::Value];
        if training.columns().is_some() {
            transforms.push(TargetTransform::Change);
            if targets.iter().all(|&value| value != 0.0) {
                transforms.push(TargetTransform::RelativeChange);
            }
            let known: Vec<f64> = targets.iter().step_by(width.max(1)).take(first).copied().collect();
            let found = if seasons.is_empty() { naive::season(&known) } else { None };
            let all = seasons.iter().copied().chain(found);
            transforms.extend(all.map(|season| TargetTransform::SeasonalChange { season }));
        }
        let fits = |&length: &usize| length == 10 || length * WINDOWS <= first;
        Self {
            cells: CellKind::ALL.to_vec(),
            hidden: vec![4, 8, 16, 32, 64],
            layers: vec![1, 2],
            seq_lens: [10, 20, 40, 80].into_iter().filter(fits).collect(),
            lr: (1e-3, 3e-2),
            transforms: transforms.into_iter().map(TargetAs::Given).collect(),
        }
    }

    /// The first `count` candidates, or all if there are fewer: `base` itself, then candidates drawn with `seed`. The
    /// candidate of a number does not depend on `count`. In each dimension, all choices come once before one comes
    /// again, each time in a new order.
    pub(super) fn candidates(&self, base: &Plan, seed: u64, count: usize) -> Vec<Plan> {
        let (mut plans, mut seen) = (vec![base.clone()], HashSet::from([key(base)]));
        let (mut position, mut tired) = (0, 0);
        while plans.len() < count && tired < TIRED {
            let Some(plan) = self.draw(base, seed, position) else { break };
            position += 1;
            match plan {
                Ok(plan) if seen.insert(key(&plan)) => {
                    plans.push(plan);
                    tired = 0;
                }
                // it was drawn before, or its shape is not possible
                _ => tired += 1,
            }
        }
        plans.truncate(count);
        plans
    }

    /// The candidate drawn at a position; an error if its shape is not possible. `None` if a dimension has no choices.
    fn draw(&self, base: &Plan, seed: u64, position: usize) -> Option<Result<Plan>> {
        let mut plan = base.clone();
        let cell = *choice(&self.cells, seed, 0, position)?;
        let hidden = *choice(&self.hidden, seed, 1, position)?;
        let layers = *choice(&self.layers, seed, 2, position)?;
        plan.shape = match shape(&base.shape, cell, hidden, layers) {
            Ok(shape) => shape,
            Err(error) => return Some(Err(error)),
        };
        plan.seq_len = *choice(&self.seq_lens, seed, 3, position)?;
        plan.transform = *choice(&self.transforms, seed, 4, position)?;
        let (low, high) = self.lr;
        let part = f64::from(Random::new(seed, Purpose::Search, place(5, position)).uniform());
        // two digits, so that the number is short in a recipe
        let drawn = format!("{:.1e}", low * (high / low).powf(part)).parse().unwrap_or(low);
        plan.recipe.lr = if low < high { drawn } else { low };
        Some(Ok(plan))
    }
}

/// The shape of `base` with another cell and other sizes. The nonlinearity is kept if the cell stays the same.
fn shape(base: &Shape, cell: CellKind, hidden: usize, layers: usize) -> Result<Shape> {
    let shape =
        base.with_nonlinearity(Nonlinearity::Tanh)?.with_cell(cell)?.with_hidden(hidden)?.with_layers(layers)?;
    if cell == base.cell { shape.with_nonlinearity(base.nonlinearity) } else { Ok(shape) }
}

/// The choice of a dimension at `position`. Its choices repeat in rounds, each round in a new random order.
fn choice<T>(choices: &[T], seed: u64, dimension: u64, position: usize) -> Option<&T> {
    let round = position.checked_div(choices.len())?;
    let mut random = Random::new(seed, Purpose::Search, place(dimension, round));
    let mut order: Vec<usize> = (0..choices.len()).collect();
    random.shuffle(&mut order);
    choices.get(order[position % choices.len()])
}

/// The position of the random numbers for a dimension and a round.
fn place(dimension: u64, round: usize) -> u64 {
    dimension << 48 | round as u64
}

type Key = (CellKind, usize, usize, usize, u64, TargetAs);

fn key(plan: &Plan) -> Key {
    let shape = &plan.shape;
    (shape.cell, shape.hidden, shape.layers, plan.seq_len, plan.recipe.lr.to_bits(), plan.transform)
}

/// Divides the rows of a table into `(first, end)`: a search trains on those before `first`, scores those from `first`
/// to `end`, and does not use those from `end` on.
pub(super) fn parts(rows: usize, test_fraction: f64) -> Result<(usize, usize)> {
    let (training, _) = windows::split(rows, test_fraction)?;
    let (first, _) = windows::split(training.end, test_fraction)?;
    Ok((first.end, training.end))
}
