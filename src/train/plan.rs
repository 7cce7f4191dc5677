//! How tables become a model, for one series or for several. Windows are cut from all series, scalers are fitted to all
//! training parts, and weights are chosen by all held-out rows.

use super::validation::{SeriesRows, Validation};
use crate::cpu::Threads;
use crate::data::windows::{self, Windows};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::net::pass::HeadSteps;
use crate::net::shape::Shape;
use crate::series::one_step;
use crate::tensor::Tensor;
use crate::train::checkpoint::Checkpoint;
use crate::train::{Fit, Recipe, Table, TargetAs, Trainer};
use crate::units::bounds::{self, Bounds};
use crate::units::scaler::Scaling;
use crate::units::transform::{Fitted, TargetTransform};
use crate::units::{self, Units};
use std::borrow::Borrow;

/// The part of a table, at its end, that is held out by default.
pub const HELD_OUT: f64 = 0.2;

/// How long to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// This number of training steps.
    Steps(u64),
    /// This number of passes through all windows.
    Epochs(u64),
}

impl Length {
    /// The number of training steps on `windows`.
    pub fn steps(self, windows: &Windows) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Epochs(epochs) => epochs.saturating_mul(windows.steps_per_epoch().unwrap_or(1)),
        }
    }
}

/// How tables become a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The network. Its I and O are replaced by those that the tables need.
    pub shape: Shape,
    /// T, time steps of a window.
    pub seq_len: usize,
    /// Rows from the start of one window to the next, where the state is not carried.
    pub stride: usize,
    /// B, windows side by side.
    pub batch: usize,
    /// The part of the rows, at their end, that is held out: it chooses the weights and is not trained on.
    pub val_fraction: f64,
    /// How columns are scaled. Scalers are fitted to the rows that are not held out.
    pub scaling: Scaling,
    /// The target transform of the predicted columns, or how it is chosen.
    pub transform: TargetAs,
    /// The bounds of the predictions: one pair for each predicted column, one for all of them, or none.
    pub bounds: Vec<Bounds>,
    /// How long to train.
    pub length: Length,
    /// The number of epochs without a better held-out loss after which the training stops; `None` never stops it early.
    pub patience: Option<u64>,
    /// How to train. Its `steps` are replaced by those of `length`.
    pub recipe: Recipe,
}

/// The data of one training, prepared.
#[derive(Debug)]
pub struct Prepared {
    /// Units, fitted to the training parts of all series; `None` if nothing is scaled.
    pub units: Option<Units>,
    /// Windows of the training parts; none has rows of two series.
    pub windows: Windows,
    /// The held-out part, by which weights are chosen; `None` if nothing is held out.
    pub validation: Option<Validation>,
    /// For each series, the number of rows that are not held out; 0 for a series that is left out.
    pub train_rows: Vec<usize>,
    /// Series that could not be used.
    pub left_out: Vec<LeftOut>,
    /// If the target transform was chosen: the same with its autoregressions fitted to all rows, for the finished model.
    pub settled: Option<Fitted>,
}

impl Prepared {
    /// `Ok` if the training of `model` can go on with this data.
    ///
    /// # Errors
    /// If a target transform was chosen for the data, and it is another one than that of `model`.
    pub fn check_continues(&self, model: &Model) -> Result<()> {
        let chosen = self.units.as_ref().filter(|_| self.settled.is_some()).map(Units::fitted);
        if chosen.is_some_and(|chosen| model.units().map(Units::fitted) != Some(chosen)) {
            return Err(Error::invalid(
                "the rows are not those that the training began with: another target transform, or another \
                 autoregression, fits them; give the same rows, or train anew",
            ));
        }
        Ok(())
    }
}

/// A series that is not used in a training, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The number of the series, from 0.
    pub series: usize,
    /// Why it is left out.
    pub reason: String,
}

impl Plan {
    /// Fits units to the training parts of `tables`, which are series of the same columns, and cuts them into windows.
    /// The last part of each series is held out. In each series the state starts from zero, and no change is taken from
    /// another series. If there are several series, those that are too short for a window, or whose target transform is
    /// not defined, are left out.
    ///
    /// # Errors
    /// If no series can be trained on, tables differ in their columns, a value is not finite, a target transform is not
    /// defined, or a size is 0.
    pub fn prepare(&self, tables: &[impl Borrow<Table>]) -> Result<Prepared> {
        self.check()?;
        let tables: Vec<&Table> = tables.iter().map(Borrow::borrow).collect();
        let Some(first) = tables.first() else { return Err(Error::invalid("there is no series to train on")) };
        let widths = first.widths();
        if tables.iter().any(|table| table.widths() != widths || table.masks() != first.masks()) {
            return Err(Error::invalid("series of one model must have the same columns"));
        }
        let split = |table: &&Table| windows::split(table.rows(), self.val_fraction).map(|(train, _)| train.len());
        let split: Vec<usize> = tables.iter().map(split).collect::<Result<_>>()?;
        // rows that can stand before the first window, in the shortest series that has one
        let needed = Windows::rows_needed(self.seq_len, self.batch, self.recipe.carry);
        let most = split.iter().filter_map(|rows| rows.checked_sub(needed)).filter(|&rows| rows > 0).min();
        let (fitted, settled) = self.transform.fit(&tables, &split, self.seq_len, most.unwrap_or(1));
        let (train_rows, left_out) = self.train_rows(&tables, &split, &fitted)?;
        let mut parts = Vec::new();
        for (table, &rows) in tables.iter().zip(&train_rows).filter(|(_, rows)| **rows > 0) {
            parts.push(table.part(0..rows)?);
        }
        let raw: Vec<_> = parts.iter().map(|part| (part.inputs().data(), part.targets().data())).collect();
        let units = Units::fit_many(self.scaling, fitted, self.recipe.loss, &raw, widths, first.columns())?
            .with_bounds(&self.bounds)?
            .with_masks(first.masks())?;
        let pairs = parts.iter().map(|part| part.scaled(&units)).collect::<Result<Vec<_>>>()?;
        let windows = self.cut(pairs)?;
        let mut held_out = Vec::new();
        for (table, &rows) in tables.iter().zip(&train_rows).filter(|(table, rows)| (1..table.rows()).contains(*rows)) {
            held_out.push(self.hold_out(&units, table, rows)?);
        }
        // rows of which every target is missing can choose nothing
        held_out.retain(SeriesRows::has_targets);
        let validation = (!held_out.is_empty()).then_some(Validation::Rows(held_out));
        Ok(Prepared { units: Some(units), windows, validation, train_rows, left_out, settled })
    }

    /// Windows that are already cut, `x [N,B,T,I]` and `target [N,B,T,O]` or `[N,B,O]`. The last windows are held out.
    /// Nothing is scaled.
    ///
    /// # Errors
    /// If the arrays have other dimensions or do not fit together, or no window is left to train on.
    pub fn prepare_windows(&self, x: &Tensor, target: &Tensor) -> Result<Prepared> {
        let count = x.dims().first().copied().unwrap_or(0);
        let (train, held_out) = windows::split(count, self.val_fraction)?;
        if train.is_empty() && !held_out.is_empty() {
            return Err(Error::invalid(format!(
                "val-fraction: none of the {count} windows is left to train on; take a smaller fraction"
            )));
        }
        let part = |range: &std::ops::Range<usize>| Windows::cut(x.part(range.clone())?, target.part(range.clone())?);
        let validation = if held_out.is_empty() { None } else { Some(Validation::Windows(part(&held_out)?)) };
        self.unscaled(part(&train).and_then(with_targets)?, validation)
    }

    /// The windows of the built-in sine. It has no end, and nothing of it is held out.
    ///
    /// # Errors
    /// If a size is 0.
    pub fn prepare_sine(&self) -> Result<Prepared> {
        self.unscaled(Windows::sine(self.seq_len)?, None)
    }

    /// Windows that are already in the network's units. If the model predicts distributions it still gets units,
    /// because a model file has to record that.
    fn unscaled(&self, windows: Windows, validation: Option<Validation>) -> Result<Prepared> {
        if !self.bounds.is_empty() {
            return Err(Error::invalid("lower and upper: only for a table, because windows have no raw units"));
        }
        let loss = self.recipe.loss;
        let (x, y) = (vec![0.0; windows.input()], vec![0.0; windows.output()]);
        let fit = || Units::fit(Scaling::None, TargetTransform::Value, loss, (&x, x.len()), (&y, y.len()), None);
        let units = loss.is_distribution().then(fit).transpose()?;
        Ok(Prepared { units, windows, validation, train_rows: Vec::new(), left_out: Vec::new(), settled: None })
    }

    /// The number of rows of each series to train on, 0 for a series that is left out; and the series that are left
    /// out. A single series is never left out: what is wrong with it is an error.
    fn train_rows(&self, tables: &[&Table], split: &[usize], fitted: &Fitted) -> Result<(Vec<usize>, Vec<LeftOut>)> {
        let (mut rows, mut left_out) = (Vec::with_capacity(tables.len()), Vec::new());
        for (series, (table, &train)) in tables.iter().zip(split).enumerate() {
            let usable = match tables {
                [only] => self.check_bounds(only).map(|()| Ok(()))?,
                _ => self.usable(table, train, fitted),
            };
            rows.push(if usable.is_ok() { train } else { 0 });
            left_out.extend(usable.err().map(|error| LeftOut { series, reason: error.to_string() }));
        }
        if rows.iter().all(|rows| *rows == 0) {
            return Err(Error::invalid(match left_out.first() {
                Some(one) => format!("none of the {} series can be trained on: {}", tables.len(), one.reason),
                None => "no rows are left to train on; take a smaller val-fraction".into(),
            }));
        }
        Ok((rows, left_out))
    }

    /// Checks the plan without any rows: what fails here fails for every series.
    ///
    /// # Errors
    /// If a size is 0, or the held-out fraction is not at least 0 and below 1.
    pub fn check(&self) -> Result<()> {
        let sizes = [("seq-len", self.seq_len), ("batch", self.batch), ("stride", self.stride)];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(Error::invalid(format!("{name} 0: must be at least 1")));
        }
        windows::split(0, self.val_fraction).map(|_| ())
    }

    /// Whether the first `train` rows of a series give a window, the target transform is defined for all its rows, and
    /// all are inside the bounds.
    fn usable(&self, table: &Table, train: usize, fitted: &Fitted) -> Result<()> {
        let lag = fitted.transform().lag();
        let needed = Windows::rows_needed(self.seq_len, self.batch, self.recipe.carry).saturating_add(lag);
        if train < needed {
            return Err(Error::invalid(format!(
                "{train} row{} to train on, {needed} are needed",
                if train == 1 { "" } else { "s" }
            )));
        }
        units::check_changes(fitted, (table.targets().data(), table.widths().1))?;
        self.check_bounds(table)
    }

    /// Whether all values of the targets are inside the bounds of their predictions.
    fn check_bounds(&self, table: &Table) -> Result<()> {
        let columns = table.widths().1;
        let bounds = bounds::of_each(&self.bounds, columns)?;
        for (row, values) in table.targets().data().chunks_exact(columns).enumerate() {
            for (d, (&value, bounds)) in values.iter().zip(&bounds).enumerate() {
                let bound = bounds.inside(value);
                if bound != value && !value.is_nan() {
                    let side = if value < bound { "below --lower" } else { "above --upper" };
                    let of = if columns > 1 { format!(" of target column {}", d + 1) } else { String::new() };
                    return Err(Error::invalid(format!("the value of row {}{of} is {value}, {side} {bound}", row + 1)));
                }
            }
        }
        Ok(())
    }

    /// Windows of the scaled training parts.
    fn cut(&self, series: Vec<(Tensor, Tensor)>) -> Result<Windows> {
        let &Self { seq_len, stride, batch, ref recipe, .. } = self;
        let last_only = recipe.loss_on == HeadSteps::Last;
        let windows = if recipe.carry {
            Windows::lanes_of(series, seq_len, batch, last_only)
        } else {
            Windows::shuffled_of(series, seq_len, stride, batch, last_only, recipe.seed)
        };
        windows.and_then(with_targets)
    }

    /// Holds out the rows from `first` on, together with the rows before them that warm up the state.
    fn hold_out(&self, units: &Units, table: &Table, first: usize) -> Result<SeriesRows> {
        let lag = units.transform().lag();
        let from = one_step::warm_up_start(first, one_step::warm_up(self.seq_len), lag);
        let (x, target) = table.part(from..table.rows())?.scaled(units)?;
        Ok(SeriesRows { x, target, first: first - from - lag })
    }

    /// Starts a training of `tables` from random weights.
    ///
    /// # Errors
    /// Those of [`Plan::prepare`] and [`Plan::begin`].
    pub fn start(&self, tables: &[impl Borrow<Table>], device: impl Into<Device>, threads: Threads) -> Result<Fit> {
        self.begin(self.prepare(tables)?, None, device, threads)
    }

    /// Starts a training of `prepared` data, from the weights of `initial` or from random weights.
    ///
    /// # Errors
    /// Those of [`Trainer::new`], and if the shape makes no sense or `initial` has another number of columns.
    pub fn begin(
        &self,
        prepared: Prepared,
        initial: Option<Model>,
        device: impl Into<Device>,
        threads: Threads,
    ) -> Result<Fit> {
        let Prepared { units, windows, validation, settled, .. } = prepared;
        // a mask says nothing before the training has shown what it means
        let masks = units.as_ref().map_or(0, |units| units.masks().len());
        let random = || {
            let model = Model::random(self.shape_for(windows.input(), windows.output())?, self.recipe.seed)?;
            Ok(if masks > 0 { model.without_last_inputs(masks) } else { model })
        };
        let mut model = initial.map_or_else(random, Ok)?;
        if let Some(units) = units {
            model = model.with_units(units)?;
        }
        let recipe = self.recipe_for(&windows);
        let total = self.length.steps(&windows);
        let trainer = Trainer::new(model, windows, recipe, device, threads)?;
        Ok(Fit::new(trainer, validation, None, total, self.patience).with_settled(settled))
    }

    /// Resumes the training of a checkpoint. The `prepared` data must be the data that it began with.
    ///
    /// # Errors
    /// Those of [`Checkpoint::into_trainer`], if the target transform was chosen for other rows, and if more steps are done than the plan asks for.
    pub fn resume(
        &self,
        checkpoint: Checkpoint,
        prepared: Prepared,
        device: impl Into<Device>,
        threads: Threads,
    ) -> Result<Fit> {
        prepared.check_continues(checkpoint.model())?;
        let Prepared { windows, validation, settled, .. } = prepared;
        let (recipe, total) = (self.recipe_for(&windows), self.length.steps(&windows));
        let (trainer, best) = checkpoint.into_trainer(windows, recipe, device, threads)?;
        let done = trainer.steps_done();
        if done > total {
            return Err(Error::invalid(format!(
                "steps {total}: the training to resume has done {done} already; ask for more"
            )));
        }
        Ok(Fit::new(trainer, validation, best, total, self.patience).with_settled(settled))
    }

    /// The recipe for these windows.
    fn recipe_for(&self, windows: &Windows) -> Recipe {
        let loss_on = if windows.last_only() { HeadSteps::Last } else { HeadSteps::All };
        Recipe { steps: Some(self.length.steps(windows)), loss_on, ..self.recipe.clone() }
    }

    /// The shape of a network for I input columns and D target columns.
    ///
    /// # Errors
    /// If it makes no sense.
    pub fn shape_for(&self, inputs: usize, targets: usize) -> Result<Shape> {
        self.shape.with_input(inputs)?.with_output(Some(self.recipe.loss.outputs(targets)))
    }
}

/// The windows, if a target is there to learn from.
fn with_targets(windows: Windows) -> Result<Windows> {
    match windows.rows().is_some_and(|(_, targets)| targets.iter().all(|target| target.is_nan())) {
        true => Err(Error::invalid("every target of the training part is missing, so there is nothing to learn")),
        false => Ok(windows),
    }
}
