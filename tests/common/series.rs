//! Tables of one column, trainings and walks over them, as several tests want them; what a test is about it changes itself.
#![allow(dead_code, reason = "each test file uses its part")]

#[cfg(feature = "evaluate")]
use rnnstep::evaluate::backtest::Protocol;
use rnnstep::random::{Purpose, Random};

use rnnstep::train::{Length, Plan, Recipe, Table, TargetAs};
use rnnstep::units::scaler::Scaling;
use rnnstep::{CellKind, Shape, Tensor};

pub fn column(values: &[f32]) -> Tensor<f64> {
    Tensor::new([values.len(), 1], wide(values)).unwrap()
}

/// The same values as raw values are.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// A column that goes in and is predicted.
pub fn table(values: &[f32]) -> Table {
    Table::new(column(values), column(values), Some(vec![0])).unwrap()
}

/// A training by windows of 10 rows, side by side by none, the last fifth held out.
pub fn plan(cell: CellKind, hidden: usize, transform: impl Into<TargetAs>, epochs: u64, recipe: Recipe) -> Plan {
    Plan {
        shape: Shape::new(cell, 1, hidden, 1, 1).unwrap(),
        seq_len: 10,
        stride: 1,
        batch: 1,
        val_fraction: 0.2,
        scaling: Scaling::Standard,
        transform: transform.into(),
        bounds: vec![],
        length: Length::Epochs(epochs),
        patience: None,
        recipe,
    }
}

/// A walk from row `first` on, with a model that is trained once on all before.
#[cfg(feature = "evaluate")]
pub fn protocol(first: usize, horizon: usize) -> Protocol {
    Protocol::new(first, horizon).with_lags(10).with_warm_up(500)
}

pub fn noise(rows: usize, seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed, Purpose::Order, 0);
    // the sum of twelve is near enough to a normal one
    (0..rows).map(|_| (0..12).map(|_| random.uniform()).sum::<f32>() - 6.0).collect()
}
