//! From a table to a model: a whole training, as `train` does it and every fold of an evaluation.

use crate::cpu::Threads;
use crate::data::windows::{self, Windows};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::{Model, Order};
use crate::net::pass::Head;
use crate::net::shape::Shape;
use crate::net::state::State;
use crate::objective::loss::Loss;
use crate::series::residuals::{Errors, Says};
use crate::tensor::Tensor;
use crate::train::checkpoint::Best;
use crate::train::{Recipe, Step, Trainer, mean_loss};
use crate::units::Units;
use crate::units::scaler::Scaling;
use crate::units::transform::Form;
use std::ops::Range;

/// Windows before the first row that counts, over which a state is warmed up.
pub const WARM_UP: usize = 50;

/// The columns that go in and those to predict, in raw units: rows of the same times.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    inputs: Tensor,
    targets: Tensor,
    columns: Option<Vec<usize>>,
}

impl Table {
    /// `inputs [T,I]` and `targets [T,D]`; `columns` says which input each target is, if all are among them.
    ///
    /// # Errors
    /// If they have not as many rows, or `columns` does not fit them.
    pub fn new(inputs: Tensor, targets: Tensor, columns: Option<Vec<usize>>) -> Result<Self> {
        Error::check_length("targets: rows", inputs.rows().0, targets.rows().0)?;
        if let Some(columns) = &columns {
            Error::check_length("columns of the targets", targets.rows().1, columns.len())?;
            if let Some(column) = columns.iter().find(|&&column| column >= inputs.rows().1) {
                return Err(Error::invalid(format!(
                    "target column {column} is none of the {} inputs",
                    inputs.rows().1
                )));
            }
        }
        Ok(Self { inputs, targets, columns })
    }

    /// `[T,I]`
    pub fn inputs(&self) -> &Tensor {
        &self.inputs
    }

    /// `[T,D]`
    pub fn targets(&self) -> &Tensor {
        &self.targets
    }

    /// Which input each target is, if all are among them.
    pub fn columns(&self) -> Option<&[usize]> {
        self.columns.as_deref()
    }

    /// T
    pub fn rows(&self) -> usize {
        self.inputs.rows().0
    }

    /// Some of its rows.
    ///
    /// # Errors
    /// If it has not so many.
    pub fn part(&self, rows: Range<usize>) -> Result<Self> {
        let (inputs, targets) = (self.inputs.part(rows.clone())?, self.targets.part(rows)?);
        Ok(Self { inputs, targets, columns: self.columns.clone() })
    }
}

/// Values of a tensor of rows, and how many a row has.
pub(super) fn rows_of(tensor: &Tensor) -> (&[f32], usize) {
    (tensor.data(), tensor.rows().1)
}

/// How long to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many training steps.
    Steps(u64),
    /// So many times through all windows.
    Epochs(u64),
}

impl Length {
    /// Training steps on `windows`.
    pub fn steps(self, windows: &Windows) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Epochs(epochs) => epochs.saturating_mul(windows.steps_per_epoch().unwrap_or(1)),
        }
    }
}

/// How a table becomes a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The network; I and O are those that the table asks for.
    pub shape: Shape,
    /// T, time steps of a window.
    pub seq_len: usize,
    /// Rows from the start of one window to the next, where the state is not carried.
    pub stride: usize,
    /// B, windows side by side.
    pub batch: usize,
    /// The part of the rows, from their end, that weights are chosen by and not trained on.
    pub val_fraction: f64,
    /// How columns are scaled, fitted to the rest.
    pub scaling: Scaling,
    /// What of the predicted columns the network sees and says.
    pub form: Form,
    /// How long to train.
    pub length: Length,
    /// Epochs without a better loss on what is held out, after which to stop.
    pub patience: Option<u64>,
    /// How to train; its `steps` are set to those of `length`.
    pub recipe: Recipe,
}

/// A table made ready for training.
#[derive(Debug)]
pub struct Prepared {
    /// Between raw values and the network's, fitted to the training part.
    pub units: Units,
    /// Windows of the training part.
    pub windows: Windows,
    /// The part after it, if there is one.
    pub held_out: Option<HeldOut>,
    /// Rows of the table that are not held out.
    pub train_rows: usize,
}

impl Plan {
    /// Fits units to the training part of `table` and cuts it into windows.
    ///
    /// # Errors
    /// If there are too few rows, a value is not finite or has no form, or a size is 0.
    pub fn prepare(&self, table: &Table) -> Result<Prepared> {
        let (train, held_out) = windows::split(table.rows(), self.val_fraction)?;
        if train.is_empty() {
            return Err(Error::invalid("no rows are left to train on; take a smaller val-fraction"));
        }
        let part = table.part(train.clone())?;
        let (inputs, targets) = (rows_of(&part.inputs), rows_of(&part.targets));
        let says = self.recipe.loss;
        let units = Units::fit(self.scaling, self.form, says, inputs, targets, table.columns())?;
        let (x, target) = scaled(&units, &part)?;
        let windows = self.cut(vec![(x, target)])?;
        let held_out = if held_out.is_empty() { vec![] } else { vec![self.hold_out(&units, table, train.end)?] };
        Ok(Prepared { units, windows, held_out: HeldOut::of(held_out), train_rows: train.end })
    }

    /// Windows of the scaled training parts.
    pub(super) fn cut(&self, series: Vec<(Tensor, Tensor)>) -> Result<Windows> {
        let &Self { seq_len, stride, batch, ref recipe, .. } = self;
        let last_only = recipe.loss_on == Head::Last;
        if recipe.carry {
            Windows::lanes_of(series, seq_len, batch, last_only)
        } else {
            Windows::shuffled_of(series, seq_len, stride, batch, last_only, recipe.seed)
        }
    }

    /// The rows from `first` on, and those before them that warm a state up.
    pub(super) fn hold_out(&self, units: &Units, table: &Table, first: usize) -> Result<HeldOutRows> {
        let lag = units.form().lag();
        let before = WARM_UP.saturating_mul(self.seq_len).saturating_add(lag + 1);
        let from = first.saturating_sub(before);
        let (x, target) = scaled(units, &table.part(from..table.rows())?)?;
        Ok(HeldOutRows { x, target, first: first - from - lag })
    }

    /// The training of `table` from its start, random weights.
    ///
    /// # Errors
    /// Those of [`Plan::prepare`] and [`Trainer::new`], and if the shape makes no sense.
    pub fn start(&self, table: &Table, device: impl Into<Device>, threads: Threads) -> Result<Fit> {
        let Prepared { units, windows, held_out, .. } = self.prepare(table)?;
        self.begin(units, windows, held_out, device, threads)
    }

    pub(super) fn begin(
        &self,
        units: Units,
        windows: Windows,
        held_out: Option<HeldOut>,
        device: impl Into<Device>,
        threads: Threads,
    ) -> Result<Fit> {
        let shape = self.shape_for(windows.input(), windows.output())?;
        let model = Model::random(shape, self.recipe.seed)?.with_units(units)?;
        let total = self.length.steps(&windows);
        let recipe = Recipe { steps: Some(total), ..self.recipe.clone() };
        let trainer = Trainer::new(model, windows, recipe, device, threads)?;
        Ok(Fit::new(trainer, held_out, None, total, self.patience))
    }

    /// The shape of a network for so many columns in, I, and to predict, D.
    ///
    /// # Errors
    /// If it makes no sense.
    pub fn shape_for(&self, inputs: usize, targets: usize) -> Result<Shape> {
        self.shape.with_input(inputs)?.with_output(Some(self.recipe.loss.outputs(targets)))
    }
}

/// Rows of `table` as the network sees them.
pub(super) fn scaled(units: &Units, table: &Table) -> Result<(Tensor, Tensor)> {
    let (x, target) = units.rows(rows_of(&table.inputs), rows_of(&table.targets))?;
    let rows = table.rows() - units.form().lag();
    Ok((Tensor::new([rows, table.inputs.rows().1], x)?, Tensor::new([rows, table.targets.rows().1], target)?))
}

/// What is held out of a training, to choose weights by.
#[derive(Debug)]
pub enum HeldOut {
    /// Rows of a table, or of several series; each row counts alike.
    Rows(Vec<HeldOutRows>),
    /// Windows that came cut.
    Windows(Windows),
}

/// Rows of a series in the network's units.
#[derive(Debug)]
pub struct HeldOutRows {
    /// `[n,I]`
    x: Tensor,
    /// `[n,D]`, of the same times.
    target: Tensor,
    /// The first row that counts; those before it warm the state up.
    first: usize,
}

impl HeldOut {
    /// Rows, if there are any.
    pub(super) fn of(rows: Vec<HeldOutRows>) -> Option<Self> {
        (!rows.is_empty()).then_some(Self::Rows(rows))
    }

    /// The series; of windows that came cut none.
    fn rows(&self) -> &[HeldOutRows] {
        if let Self::Rows(rows) = self { rows } else { &[] }
    }

    /// The mean loss of `model` one step ahead, in the network's units.
    ///
    /// # Errors
    /// If a card fails.
    pub fn loss(&mut self, model: &Model, recipe: &Recipe, device: &Device) -> Result<f64> {
        if let Self::Windows(windows) = self {
            return mean_loss(model, windows, recipe, device.clone());
        }
        let losses = self.losses(model, recipe, device)?;
        Ok(losses.iter().sum::<f64>() / losses.len() as f64)
    }

    /// The loss of each row that counts; of windows that came cut there are none.
    fn losses(&self, model: &Model, recipe: &Recipe, device: &Device) -> Result<Vec<f64>> {
        let (network, out) = (model.clone().raw(), model.shape().width_out());
        let mut dy = vec![0.0; out]; // of which nothing is wanted here
        let mut losses = Vec::new();
        for held_out in self.rows() {
            let width = held_out.target.rows().1;
            let elements = recipe.loss.elements(width) as f64;
            let (y, truth) = held_out.said(&network, device)?;
            let rows = y.chunks_exact(out).zip(truth.chunks_exact(width));
            losses.extend(rows.map(|(y, truth)| recipe.loss.row(y, truth, &mut dy) / elements));
        }
        Ok(losses)
    }

    /// How far off `model` is one step ahead, at the last rows, as many of one series as of another: see [`Says`]. Of windows that
    /// came cut nothing is known.
    ///
    /// # Errors
    /// If the model says something else than what is held out, or a card fails.
    fn errors(&self, model: &Model, recipe: &Recipe, device: &Device) -> Result<Option<Errors>> {
        let (network, out) = (model.clone().raw(), model.shape().width_out());
        let (says, most) = (Says::new(recipe.loss), Errors::MOST / self.rows().len().max(1));
        let (mut errors, mut columns) = (Vec::new(), 1);
        for held_out in self.rows() {
            columns = held_out.target.rows().1;
            Error::check_length("outputs for what is held out", recipe.loss.outputs(columns), out)?;
            let (y, truth) = held_out.said(&network, device)?;
            let mut found = vec![0.0; truth.len()];
            for ((y, truth), found) in y.chunks(out).zip(truth.chunks(columns)).zip(found.chunks_mut(columns)) {
                says.errors(y, truth, found);
            }
            errors.extend_from_slice(&found[found.len().saturating_sub(most.max(1) * columns)..]);
        }
        errors.truncate(Errors::MOST * columns);
        // weights that say no numbers have no errors to speak of
        Ok(Errors::new(errors, columns).ok())
    }

    /// Whether `model` is better than `other` by more than two standard errors of the mean difference, row by row. Two where the
    /// rule of Breiman, Friedman, Olshen and Stone 1984 for taking the simpler of two models has one: the weights at hand are the
    /// best of many epochs, and one of those is always a little better by chance. Windows that came cut are not asked.
    ///
    /// # Errors
    /// If a card fails.
    fn prefers(&self, model: &Model, other: &Model, recipe: &Recipe, device: &Device) -> Result<bool> {
        if matches!(self, Self::Windows(_)) {
            return Ok(true);
        }
        let of = |model| self.losses(model, recipe, device);
        let gains: Vec<f64> = of(other)?.iter().zip(of(model)?).map(|(other, model)| other - model).collect();
        let count = gains.len() as f64;
        let mean = gains.iter().sum::<f64>() / count;
        let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        Ok(mean > 2.0 * (variance / count).sqrt())
    }
}

impl HeldOutRows {
    /// What `network` says of each row that counts, one step ahead `[n,O]`, and what came `[n,D]`.
    fn said(&self, network: &Model, device: &Device) -> Result<(Vec<f32>, &[f32])> {
        let x = self.x.part(0..self.x.rows().0 - 1)?;
        let y = network.forward(device.clone(), &x, Order::BatchFirst, &mut State::new(network.shape(), 1))?;
        // row t foretells row t + 1
        let y = y.data()[(self.first - 1) * network.shape().width_out()..].to_vec();
        Ok((y, &self.target.data()[self.first * self.target.rows().1..]))
    }
}

/// What came of a training.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// The model.
    pub model: Model,
    /// Whether it is more than one that always says the mean change.
    pub learned: bool,
    /// How far off it is one step ahead on what is held out, if something is.
    pub errors: Option<Errors>,
}

/// A training under way, which looks at what is held out at the end of each epoch and keeps the best weights.
#[derive(Debug)]
pub struct Fit {
    /// What trains.
    pub trainer: Trainer,
    held_out: Option<HeldOut>,
    best: Option<Best>,
    total: u64,
    patience: Option<u64>,
}

impl Fit {
    /// A training of `total` steps in all, from where `trainer` stands and with the `best` weights so far.
    pub fn new(
        trainer: Trainer,
        held_out: Option<HeldOut>,
        best: Option<Best>,
        total: u64,
        patience: Option<u64>,
    ) -> Self {
        Self { trainer, held_out, best, total, patience }
    }

    /// Trains up to step `to`, or to the end of the epoch if that comes first: what each step found goes into `steps`. Gives
    /// back the loss on what is held out, if an epoch ended and something is.
    ///
    /// # Errors
    /// If a loss is no longer a finite number, or a card fails.
    pub fn advance(&mut self, to: u64, steps: &mut Vec<Step>) -> Result<Option<f64>> {
        let k = self.trainer.steps_done();
        let epoch = self.trainer.windows().steps_per_epoch();
        let to = to
            .min(self.total)
            .min(epoch.map_or(self.total, |n| (k + 1).checked_next_multiple_of(n).unwrap_or(u64::MAX)));
        steps.clear();
        self.trainer.steps(to.saturating_sub(k) as usize, |step| steps.push(step))?;
        if let Some((k, step)) = (k..).zip(steps.iter()).find(|(_, step)| !step.loss.is_finite()) {
            let advice = "take a smaller --lr or set --clip, and look for huge values in the data";
            return Err(Error::invalid(format!(
                "the loss of step {k} is {}: {advice}; no model was written",
                step.loss
            )));
        }
        if epoch.is_none_or(|n| to == k || !to.is_multiple_of(n)) {
            return Ok(None);
        }
        let Some(held_out) = &mut self.held_out else { return Ok(None) };
        self.trainer.fetch()?;
        let loss = held_out.loss(self.trainer.model(), self.trainer.recipe(), self.trainer.device())?;
        if loss.is_finite() && self.best.as_ref().is_none_or(|best| loss < best.loss) {
            let (step, model) = (self.trainer.steps_done(), self.trainer.model().clone());
            self.best = Some(Best { loss, step, model });
        }
        Ok(Some(loss))
    }

    /// Whether all steps are done, or so many epochs brought nothing better that it is enough.
    pub fn is_done(&self) -> bool {
        let done = self.trainer.steps_done();
        let tired = match (self.patience, self.trainer.windows().steps_per_epoch(), &self.best) {
            (Some(patience), Some(epoch), Some(best)) => {
                done.saturating_sub(best.step) >= patience.max(1).saturating_mul(epoch)
            }
            _ => false,
        };
        done >= self.total || tired
    }

    /// Trains to the end; see [`Fit::outcome`].
    ///
    /// # Errors
    /// Those of [`Fit::advance`].
    pub fn finish(&mut self) -> Result<Outcome> {
        let mut steps = Vec::new();
        while !self.is_done() {
            self.advance(self.total, &mut steps)?;
        }
        self.outcome()
    }

    /// What a network says that knows nothing but the targets of the training part, `[O]`, in its own units: the constant for
    /// which the loss is smallest.
    fn constant(&self) -> Result<Vec<f32>> {
        let loss = self.trainer.recipe().loss;
        let (windows, out) = (self.trainer.windows(), self.trainer.model().shape().width_out());
        let (Some((_, rows)), width) = (windows.rows(), windows.output()) else { return Ok(vec![0.0; out]) };
        let mut constant = vec![0.0; out];
        for column in 0..width {
            let mut values: Vec<f32> = rows.iter().skip(column).step_by(width).copied().collect();
            values.sort_by(f32::total_cmp);
            let count = values.len() as f64;
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
            let quantile = |level: f32| values[((values.len() - 1) as f32 * level).round() as usize];
            match loss {
                Loss::Mse | Loss::Huber => constant[column] = mean as f32,
                Loss::Mae => constant[column] = quantile(0.5),
                Loss::Gaussian => {
                    let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
                    (constant[column], constant[width + column]) = (mean as f32, variance.max(1e-6).ln() as f32);
                }
                Loss::Quantiles(levels) => {
                    for (i, &level) in levels.as_slice().iter().enumerate() {
                        constant[i * width + column] = quantile(level);
                    }
                }
            }
        }
        Ok(constant)
    }

    /// Training steps in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The best weights so far, if something is held out.
    pub fn best(&self) -> Option<&Best> {
        self.best.as_ref()
    }

    /// What came of it: the best weights, or the last ones if nothing is held out.
    ///
    /// A network that predicts changes has to show that it learned something: on what is held out, it must be better than one that
    /// always says the change that is best for its loss, by more than two standard errors. If it is not, the outcome is that one:
    /// its head has a bias and no weights.
    ///
    /// # Errors
    /// If the best weights or what is held out are of another network than that which is trained, or a card fails.
    pub fn outcome(&mut self) -> Result<Outcome> {
        if self.best.as_ref().is_some_and(|best| best.model.shape() != self.trainer.model().shape()) {
            return Err(Error::invalid("the best weights are of another network than that which is trained"));
        }
        self.trainer.fetch()?;
        let (recipe, device) = (self.trainer.recipe(), self.trainer.device());
        let (mut model, mut learned) =
            (self.best.as_ref().map_or(self.trainer.model(), |best| &best.model).clone(), true);
        let Some(held_out) = &self.held_out else { return Ok(Outcome { model, learned, errors: None }) };
        if model.units().is_some_and(|units| units.form() != Form::Value) {
            let silent = model.with_constant_head(&self.constant()?);
            learned = held_out.prefers(&model, &silent, recipe, device)?;
            if !learned {
                model = silent;
            }
        }
        let errors = held_out.errors(&model, recipe, device)?;
        Ok(Outcome { model, learned, errors })
    }

    /// The mean loss of `model` on what is held out, if anything is.
    ///
    /// # Errors
    /// If a card fails.
    pub fn held_out_loss(&mut self, model: &Model) -> Result<Option<f64>> {
        let Some(held_out) = &mut self.held_out else { return Ok(None) };
        held_out.loss(model, self.trainer.recipe(), self.trainer.device()).map(Some)
    }

    /// For a checkpoint: what trains, and the best weights so far.
    pub fn parts(&mut self) -> (&mut Trainer, Option<&Best>) {
        (&mut self.trainer, self.best.as_ref())
    }
}
