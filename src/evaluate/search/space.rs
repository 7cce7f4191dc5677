//! What a search may try, and which candidate has which number.

use crate::cell::kind::{CellKind, Nonlinearity};
use crate::data::windows;
use crate::error::Result;
use crate::net::shape::Shape;
use crate::random::{Purpose, Random};
use crate::series::naive;
use crate::train::{Plan, Table};
use crate::units::transform::TargetTransform;
use std::collections::HashSet;

/// Draws in a row that bring nothing new, after which there is taken to be nothing new.
const TIRED: usize = 1000;
/// Windows that a training part must have room for.
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
    /// The smallest and the largest learning rate; between them the logarithm is even.
    pub lr: (f64, f64),
    /// What of the predicted columns the network sees and says.
    pub transforms: Vec<TargetTransform>,
}

impl Space {
    /// The choices that go with `training`: windows of which it has several; changes where the targets are among the inputs;
    /// relative ones where no target is 0; seasonal ones where there is a season, `season` or one that is found in the first
    /// target before the row `first`.
    pub fn for_table(training: &Table, first: usize, season: Option<usize>) -> Self {
        let (targets, width) = (training.targets().data(), training.targets().rows().1);
        let mut transforms = vec![TargetTransform::Value];
        if training.columns().is_some() {
            transforms.push(TargetTransform::Change);
            if targets.iter().all(|&value| value != 0.0) {
                transforms.push(TargetTransform::RelativeChange);
            }
            let known: Vec<f32> = targets.iter().step_by(width.max(1)).take(first).copied().collect();
            transforms.extend(
                season.or_else(|| naive::season(&known)).map(|season| TargetTransform::SeasonalChange { season }),
            );
        }
        let fits = |&length: &usize| length == 10 || length * WINDOWS <= first;
        Self {
            cells: CellKind::ALL.to_vec(),
            hidden: vec![4, 8, 16, 32, 64],
            layers: vec![1, 2],
            seq_lens: [10, 20, 40, 80].into_iter().filter(fits).collect(),
            lr: (1e-3, 3e-2),
            transforms,
        }
    }

    /// The first `count` candidates, or all there are: `base` itself, then what `seed` draws. The candidate of a number does not
    /// depend on `count`. Each choice of a dimension comes once before it comes again, in an order drawn anew each time.
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
                // it was there before, or is too large to be a network
                _ => tired += 1,
            }
        }
        plans.truncate(count);
        plans
    }

    /// The draw of a position, an error if its cell does not go with its sizes; `None` if a dimension has no choice.
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
        // two digits: nobody wants to read more in a recipe
        let drawn = format!("{:.1e}", low * (high / low).powf(part)).parse().unwrap_or(low);
        plan.recipe.lr = if low < high { drawn } else { low };
        Some(Ok(plan))
    }
}

/// The shape of `base` with another cell and other sizes; its activation stays where the cell has one to choose.
fn shape(base: &Shape, cell: CellKind, hidden: usize, layers: usize) -> Result<Shape> {
    let shape =
        base.with_nonlinearity(Nonlinearity::Tanh)?.with_cell(cell)?.with_hidden(hidden)?.with_layers(layers)?;
    if cell == base.cell { shape.with_nonlinearity(base.nonlinearity) } else { Ok(shape) }
}

/// The choice of a dimension at `position`: its choices in an order drawn for each time round.
fn choice<T>(choices: &[T], seed: u64, dimension: u64, position: usize) -> Option<&T> {
    let round = position.checked_div(choices.len())?;
    let mut random = Random::new(seed, Purpose::Search, place(dimension, round));
    let mut order: Vec<usize> = (0..choices.len()).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, random.below(last + 1));
    }
    choices.get(order[position % choices.len()])
}

/// A position of random numbers for a dimension and how often it went round.
fn place(dimension: u64, round: usize) -> u64 {
    dimension << 48 | round as u64
}

type Key = (CellKind, usize, usize, usize, u64, TargetTransform);

fn key(plan: &Plan) -> Key {
    let shape = &plan.shape;
    (shape.cell, shape.hidden, shape.layers, plan.seq_len, plan.recipe.lr.to_bits(), plan.transform)
}

/// Rows of a table that a search trains on, and that it may look at: `(first, end)`. Those between are scored.
pub(super) fn parts(rows: usize, test_fraction: f64) -> Result<(usize, usize)> {
    let (training, _) = windows::split(rows, test_fraction)?;
    let (first, _) = windows::split(training.end, test_fraction)?;
    Ok((first.end, training.end))
}
