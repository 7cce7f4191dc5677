//! What a training is asked to do: the options of `train` that decide its result. The model file and the checkpoint
//! store them under the names of the flags, so that a training can be repeated and resumed.

mod check;
mod holes;
mod plan;

pub use holes::say_holes;

use super::input::{DataArgs, Files, Source};
use super::model::{self, TensorArgs};
use super::number;
use super::paths::Paths;
use super::series::{NO_ROW, OneSeries};
use super::table::columns_line;
use crate::cli::args::value;
use crate::cli::failure::Failure;
use crate::cli::output::screen::{say_once, tell};
use clap::{Args, ValueEnum, parser::ValueSource};
use rnnstep::data::csv::Missing;
use rnnstep::data::series::{LeftOut, Series, Time};
use rnnstep::data::windows::Windows;
use rnnstep::error::{listed, quoted};
use rnnstep::net::pass::HeadSteps;
use rnnstep::objective::optimizer::{Adam, Optimizer, Schedule, Sgd};
use rnnstep::series::naive;
use rnnstep::train::{Plan, Prepared, Recipe, Table};
use rnnstep::units::scaler::Scaling;
use rnnstep::{CellKind, Error, Loss, Nonlinearity, Shape};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// The names of the optimisers on the command line and in files.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    Adam,
    #[value(name = "adamw")]
    AdamW,
    Sgd,
}

/// What becomes of the hidden state at the end of a window.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateMode {
    /// It starts the next window; gradients do not flow back into the window before
    Carry,
    /// The next window starts from zero; windows are shuffled
    Reset,
}

/// The target transform: what a network reads and predicts of the target columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetAs {
    /// Whichever of the others is closest to the next row in the training part, before any network learns
    Auto,
    /// The value itself
    // a recipe without a target transform was written before there was another one
    #[default]
    Value,
    /// The difference from the row before
    Change,
    /// That difference, divided by the absolute value before
    RelativeChange,
    /// The difference from the row one season before
    SeasonalChange,
    /// What a linear autoregression leaves over
    Residual,
}

/// Passes over all windows of a file, by default.
const EPOCHS: u64 = 100;
/// Training steps on the built-in sine, by default.
const STEPS_OF_SINE: u64 = 75;
/// Windows in one training step of a global model, by default.
const BATCH: usize = 32;

#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Network")]
pub struct Job {
    /// Cell
    #[arg(long, value_parser = value::cell(), default_value = "rnn")]
    pub cell: CellKind,
    /// Activation of an rnn
    #[arg(long, value_parser = value::nonlinearity(), default_value = "tanh")]
    pub nonlinearity: Nonlinearity,
    /// Hidden units of each layer
    #[arg(long, default_value_t = 32, value_name = "H", value_parser = number::whole::<usize>(1..=Shape::MAX_SIZE as u64))]
    pub hidden: usize,
    /// Stacked layers
    #[arg(long, default_value_t = 1, value_name = "L", value_parser = number::whole::<usize>(1..=Shape::MAX_LAYERS as u64))]
    pub layers: usize,
    /// Train without biases in the recurrent layers
    #[arg(long)]
    pub no_bias: bool,
    /// Probability of dropping an element between two layers, 0 to below 1
    #[arg(long, default_value_t = 0.0, value_name = "P", value_parser = number::fraction)]
    pub dropout: f64,

    /// Time steps of a window, through which gradients flow back
    #[arg(long, default_value_t = 20, value_name = "T", value_parser = number::count::<usize>, help_heading = "Windows")]
    pub seq_len: usize,
    /// Rows from the start of one window to the next [default: 1 with --state reset, else T]
    #[arg(long, value_name = "ROWS", value_parser = number::count::<usize>, help_heading = "Windows")]
    pub stride: Option<usize>,
    /// Windows in one training step [default: 1; 32 for one model over many series with --state reset]
    #[arg(long, default_value_t = 1, hide_default_value = true, value_name = "B", value_parser = number::count::<usize>, help_heading = "Windows")]
    pub batch: usize,
    /// What happens to the hidden state between windows [default: carry; reset for one model over many series]
    #[arg(long, value_enum, default_value = "carry", hide_default_value = true, help_heading = "Windows")]
    pub state: StateMode,
    /// Steps of a window that count in the loss [default: all; last for windows already cut with targets [N,B,O]]
    #[arg(long, value_parser = value::loss_on(), help_heading = "Windows")]
    pub loss_on: Option<HeadSteps>,
    /// Part of the rows, at the end of the series, that is held out to choose the best weights and to score the model,
    /// 0 to below 1 [default: 0.2 for a table, 0 for windows already cut]
    #[arg(long, value_name = "FRACTION", value_parser = number::fraction, help_heading = "Windows")]
    pub val_fraction: Option<f64>,
    /// How columns are scaled, fitted on the training part [default: standard for a table, else none]
    #[arg(long, value_parser = value::scaling(), help_heading = "Windows")]
    pub scale: Option<Scaling>,
    /// Target transform: whether the network reads and predicts the target columns as values, as differences or as
    /// residuals; the predictions that are printed or written are values in any case
    #[arg(long, value_enum, default_value = "auto", help_heading = "Windows")]
    #[serde(default)]
    pub target_as: TargetAs,
    /// Rows of a season, for --target-as seasonal-change; evaluate and search also compare with the value one season
    /// ago, for each of several seasons: 24,168 [default: found in the training part]
    #[arg(long, value_name = "ROWS", value_delimiter = ',', value_parser = number::count::<usize>, help_heading = "Windows")]
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "value::one_or_more")]
    pub season: Vec<usize>,
    /// The lowest value that a target column can have, such as 0 for counts: one for all, or one for each, separated by
    /// commas. Predictions and intervals stay above it [default: none]
    #[arg(
        long,
        value_name = "VALUE,...",
        value_delimiter = ',',
        value_parser = number::finite,
        allow_negative_numbers = true,
        help_heading = "Windows"
    )]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lower: Vec<f64>,
    /// The highest value that a target column can have, in the same way [default: none]
    #[arg(
        long,
        value_name = "VALUE,...",
        value_delimiter = ',',
        value_parser = number::finite,
        allow_negative_numbers = true,
        help_heading = "Windows"
    )]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upper: Vec<f64>,

    /// Passes over all windows [default: 100 for a file of DATA, unless --steps is given]
    #[arg(long, value_name = "N", value_parser = number::count_or_none::<u64>, conflicts_with = "steps", help_heading = "Training")]
    pub epochs: Option<u64>,
    /// Training steps [default: 75 for the sine]
    #[arg(long, value_name = "N", value_parser = number::count_or_none::<u64>, help_heading = "Training")]
    pub steps: Option<u64>,
    /// Loss, averaged over all elements: mse, mae, huber, gaussian (mean and variance) or quantiles[:LEVEL,...] (levels
    /// 0.1,0.5,0.9 if none are given)
    #[arg(long, default_value = "mse", help_heading = "Training")]
    pub loss: Loss,
    /// Optimiser
    #[arg(long, value_enum, default_value = "adam", help_heading = "Training")]
    pub optimizer: OptimizerName,
    /// Learning rate
    #[arg(long, default_value_t = 0.01, value_name = "RATE", value_parser = number::not_negative, help_heading = "Training")]
    pub lr: f64,
    /// Decay rates of the two moments of adam and adamw
    #[arg(long, num_args = 1..=2, value_names = ["BETA1", "BETA2"], value_delimiter = ',', default_values_t = [0.9, 0.999], value_parser = number::fraction, help_heading = "Training")]
    pub betas: Vec<f64>,
    /// What adam and adamw add to the square root of the second moment
    #[arg(long, default_value = "1e-8", value_name = "EPS", value_parser = number::positive, help_heading = "Training")]
    pub eps: f64,
    /// Use the largest second moment so far (adam, adamw)
    #[arg(long, help_heading = "Training")]
    pub amsgrad: bool,
    /// Momentum of sgd
    #[arg(long, default_value_t = 0.0, value_name = "M", value_parser = number::not_negative, help_heading = "Training")]
    pub momentum: f64,
    /// Dampening of the momentum of sgd
    #[arg(long, default_value_t = 0.0, value_name = "D", value_parser = number::share, help_heading = "Training")]
    pub dampening: f64,
    /// Nesterov momentum (sgd)
    #[arg(long, help_heading = "Training")]
    pub nesterov: bool,
    /// Weight decay [default: 0.01 for adamw, else 0]
    #[arg(long, value_name = "DECAY", value_parser = number::not_negative, help_heading = "Training")]
    pub weight_decay: Option<f64>,
    /// Largest global norm of the gradient [default: no limit]
    #[arg(long, value_name = "NORM", value_parser = number::positive, help_heading = "Training")]
    pub clip: Option<f64>,
    /// Learning rate over the training steps: constant, step:EVERY:GAMMA or cosine[:STEPS[:MIN]]
    #[arg(long, default_value = "constant", value_parser = schedule, help_heading = "Training")]
    pub schedule: String,
    /// Stop after this many epochs without a better loss on the held-out part [default: never]
    #[arg(long, value_name = "EPOCHS", value_parser = number::count_or_none::<u64>, help_heading = "Training")]
    pub patience: Option<u64>,
    /// Seed of the initial weights, the order of windows and dropout
    #[arg(long, default_value_t = 0, value_name = "SEED", help_heading = "Training")]
    pub seed: u64,

    /// Read options from a file, under the names of the flags; a flag on the command line overrides the file
    #[arg(long, value_name = "FILE.toml", help_heading = "Files")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    #[command(flatten)]
    #[serde(flatten)]
    pub data: DataArgs,
}

/// A training that can begin.
pub struct Ready {
    /// How to train.
    pub plan: Plan,
    /// The data to train on.
    pub data: Prepared,
    /// The table, or those of several series; none for the sine and for windows already cut.
    pub tables: Vec<Named>,
}

/// A table in raw units, with the names of its columns, and how many of its rows train.
pub struct Named {
    /// The name of the series, if there are several.
    pub series: Option<String>,
    pub table: Table,
    pub input_names: Vec<String>,
    pub target_names: Vec<String>,
    pub time: Option<Time>,
    pub left_out: Arc<[LeftOut]>,
    /// What stood before the decimals in the file, if it was not a point.
    pub decimal: Option<char>,
    pub train_rows: usize,
    /// Rows of the file that are left out before the table, because not every input has a value yet.
    pub first: usize,
}

impl Named {
    /// Prints which columns are used as what, and which are left out and why.
    pub fn say_columns(&self) {
        say_once("columns", &columns_line(&self.input_names, &self.target_names, self.time.as_ref(), &self.left_out));
    }
}

impl Job {
    /// The files that it reads.
    pub fn paths(&self) -> Paths<'_> {
        let data = self.data.data.as_ref().map_or(&[][..], Files::paths);
        Paths::default().reads("DATA", data).reads("--config", &self.config)
    }

    /// The shape of the network for data of these widths.
    pub fn shape(&self, input: usize, output: usize) -> Result<Shape, Failure> {
        let shape = Shape::new(self.cell, input, self.hidden, self.layers, output)?;
        Ok(shape.with_nonlinearity(self.nonlinearity)?.with_bias(!self.no_bias)?)
    }

    /// The recipe of a training of `steps` steps.
    pub fn recipe(&self, loss_on: HeadSteps, steps: Option<u64>) -> Result<Recipe, Failure> {
        let decay = self.weight_decay.unwrap_or(if self.optimizer == OptimizerName::AdamW { 0.01 } else { 0.0 });
        let [beta1, beta2] = self.betas[..] else {
            return Err(Failure::Usage(format!("--betas: expected two numbers, got {}", self.betas.len())));
        };
        let adam = Adam { betas: [beta1, beta2], eps: self.eps, weight_decay: decay, amsgrad: self.amsgrad };
        let optimizer = match self.optimizer {
            OptimizerName::Adam => Optimizer::Adam(adam),
            OptimizerName::AdamW => Optimizer::AdamW(adam),
            OptimizerName::Sgd => {
                let &Self { momentum, dampening, nesterov, .. } = self;
                Optimizer::Sgd(Sgd { momentum, dampening, nesterov, weight_decay: decay })
            }
        };
        let recipe = Recipe {
            loss: self.loss,
            loss_on,
            optimizer,
            lr: self.lr,
            schedule: self.schedule.parse::<Schedule>().map_err(Failure::Usage)?,
            steps,
            clip: self.clip,
            carry: self.state == StateMode::Carry,
            dropout: self.dropout,
            maximize: false,
            seed: self.seed,
        };
        Ok(recipe.checked()?)
    }

    /// Sets the defaults of a global model: a training step takes windows of all series, shuffled. If the series came
    /// one after the other, the weights would follow the last one.
    pub fn settle_several(&mut self, matches: &clap::ArgMatches) {
        let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        if !given("state") {
            self.state = StateMode::Reset;
        }
        if self.state == StateMode::Reset && !given("batch") {
            self.batch = BATCH;
        }
    }

    /// Reads the data and prepares it for training. If no option says how long to train, the default is set, so that
    /// the model file stores it.
    pub fn prepare(&mut self) -> Result<Ready, Failure> {
        match self.data.source()? {
            Source::Sine => {
                self.refuse_table_options("the built-in sine")?;
                if self.state == StateMode::Reset || self.stride.is_some() || self.batch != 1 {
                    let message = "--stride, --batch and --state reset: the built-in sine is one endless sequence; \
                                   give a file of DATA to use them";
                    return Err(Failure::Usage(message.into()));
                }
                if self.epochs.is_some() {
                    return Err(Failure::Usage("--epochs: the built-in sine has no end; use --steps".into()));
                }
                self.steps = self.steps.or(Some(STEPS_OF_SINE));
                let plan = self.plan_of_windows()?;
                let data = plan.prepare_sine()?;
                self.check_loss_on(&data.windows)?;
                Ok(Ready { plan, data, tables: vec![] })
            }
            Source::Windows { x, target } => {
                self.refuse_table_options("a file of windows already cut")?;
                let all = Windows::cut(x.clone(), target.clone()).map_err(|error| self.in_data(error))?;
                self.check_loss_on(&all)?;
                self.settle_epochs();
                let plan = self.plan_of_windows()?;
                Ok(Ready { data: plan.prepare_windows(&x, &target)?, plan, tables: vec![] })
            }
            Source::Series(series) => {
                let (plan, data, named) = self.prepare_series(&series)?;
                Ok(Ready { plan, data, tables: vec![named] })
            }
            Source::Several(all) => self.prepare_several(all),
        }
    }

    fn settle_epochs(&mut self) {
        if self.steps.is_none() {
            self.epochs = self.epochs.or(Some(EPOCHS));
        }
    }

    /// Prepares one series for training.
    pub fn prepare_series(&mut self, series: &Series) -> Result<(Plan, Prepared, Named), Failure> {
        let mut named = self.named(series)?;
        self.settle_season(&[&named.table])?;
        self.settle_epochs();
        let plan = self.plan()?;
        let data = plan.prepare(&[&named.table]).map_err(|error| self.in_rows(error))?;
        named.train_rows = data.train_rows.iter().sum();
        self.say_holes(&[&named]);
        Ok((plan, data, named))
    }

    /// Prepares several series for one model. Prints a warning for each series that is left out.
    fn prepare_several(&mut self, all: Vec<OneSeries>) -> Result<Ready, Failure> {
        self.settle_masks(&all)?;
        let mut tables = self.named_several(all)?;
        let all: Vec<&Table> = tables.iter().map(|named| &named.table).collect();
        self.settle_season(&all)?;
        self.settle_epochs();
        let plan = self.plan()?;
        let data = plan.prepare(&all).map_err(|error| self.in_rows(error))?;
        let left_out = data.left_out.iter().map(|one| {
            let name = tables[one.series].series.as_deref().unwrap_or_default();
            format!("warning: series {} is left out: {}", quoted(name), one.reason)
        });
        tell(&left_out.collect::<Vec<_>>(), "more series are left out");
        self.say_holes(&tables.iter().collect::<Vec<_>>());
        for (named, &rows) in tables.iter_mut().zip(&data.train_rows) {
            named.train_rows = rows;
        }
        tables.retain(|named| named.train_rows > 0);
        Ok(Ready { plan, data, tables })
    }

    /// The columns of several series; all must have the same ones.
    pub fn named_several(&self, all: Vec<OneSeries>) -> Result<Vec<Named>, Failure> {
        let mut tables: Vec<Named> = Vec::with_capacity(all.len());
        let others = all.iter().any(|one| !one.dropped);
        // one series without rows says nothing against the others
        let rows = |one: &OneSeries| !one.dropped || !others;
        let (all, dropped): (Vec<_>, Vec<_>) = all.into_iter().partition(rows);
        let left_out = dropped.iter().map(|one| format!("warning: series {} is left out: {NO_ROW}", quoted(&one.name)));
        tell(&left_out.collect::<Vec<_>>(), "more series are left out");
        let mut without = Vec::new();
        for OneSeries { name, file, series, .. } in all {
            let series = series?;
            if let Some(reason) = self.lacks_values(&series)? {
                without.push(format!("warning: series {} is left out: {reason}", quoted(&name)));
                continue;
            }
            let mut named = self.named(&series)?;
            if let Some(first) = tables.first() {
                let pairs = [
                    ("columns", &named.input_names, &first.input_names, "--column"),
                    ("columns to predict", &named.target_names, &first.target_names, "--target"),
                ];
                if let Some((what, has, wanted, flag)) = pairs.into_iter().find(|(_, has, wanted, _)| has != wanted) {
                    let (has, wanted) = (listed(has), listed(wanted));
                    let reason =
                        format!("has the {what} {has}, but an earlier series has {wanted}; choose by name with {flag}");
                    return Err(Error::File { path: file, reason }.into());
                }
            }
            named.series = Some(name);
            tables.push(named);
        }
        tell(&without, "more series are left out");
        Ok(tables)
    }

    /// The same job for one of the series alone.
    pub fn of_one(&self, one: &OneSeries) -> Self {
        let mut job = self.clone();
        match &job.data.many.series {
            Some(_) => job.data.many.only = Some(one.name.clone()),
            None => job.data.data = Some(Files::from(one.file.clone())),
        }
        job
    }

    /// The input columns of `series`, and those to predict.
    pub fn named(&self, series: &Series) -> Result<Named, Failure> {
        let (inputs, targets) = (self.data.input_columns(series)?, self.data.target_columns(series)?);
        // checked first, so that an error about a missing column names the file
        let positions = |wanted: &[String]| series.positions(wanted).map_err(|error| self.in_data(error));
        let (input_positions, target_positions) = (positions(&inputs)?, positions(&targets)?);
        // a column that is an input twice counts at its first place
        let places: HashMap<usize, usize> =
            input_positions.iter().copied().zip(0..input_positions.len()).rev().collect();
        let columns = target_positions.iter().map(|target| places.get(target).copied()).collect();
        let names = |positions: &[usize]| -> Vec<String> {
            positions.iter().map(|&column| series.columns[column].clone()).collect()
        };
        let (input_names, target_names) = (names(&input_positions), names(&target_positions));
        let (inputs, targets) = (series.select(&inputs)?, series.select(&targets)?);
        let has_masks = self.data.masks.as_ref().is_some_and(|masks| !masks.is_empty());
        let (table, first) = match self.data.table.missing {
            missing if missing == Missing::Mask || has_masks => {
                self.with_holes(&inputs, targets, columns, [&input_names, &target_names])?
            }
            _ => (Table::new(inputs, targets, columns)?, 0),
        };
        Ok(Named {
            series: None,
            train_rows: table.rows(),
            table,
            first,
            input_names,
            target_names,
            time: series.time.as_ref().map(|time| time.from(first)),
            left_out: series.left_out.clone(),
            decimal: series.decimal,
        })
    }

    /// Finds the season, if seasonal differencing is asked for and no option gives its length. Of several series, the
    /// most common season is taken.
    pub fn settle_season(&mut self, tables: &[&Table]) -> Result<(), Failure> {
        if self.target_as != TargetAs::SeasonalChange || !self.season.is_empty() {
            return Ok(());
        }
        let mut found = BTreeMap::<usize, usize>::new();
        for table in tables {
            let (train, _) = rnnstep::data::windows::split(table.rows(), self.held_out())?;
            let width = table.targets().rows().1;
            let first: Vec<f64> = table.targets().data().iter().step_by(width).take(train.end).copied().collect();
            if let Some(season) = naive::season(&first) {
                *found.entry(season).or_default() += 1;
            }
        }
        // of two that are equally common, the shorter
        let most_common = found.into_iter().rev().max_by_key(|(_, count)| *count);
        self.season = most_common.map(|(season, _)| season).into_iter().collect();
        if self.season.is_empty() {
            let message = "--target-as seasonal-change: no season was found in the training part; give --season ROWS";
            return Err(self.in_data(Error::Invalid(message.into())).into());
        }
        Ok(())
    }

    /// Keeps of the seasons that were given the one that a training needs: the first, for seasonal differencing. The
    /// others are for naive forecasts alone.
    pub fn keep_season_of_training(&mut self) {
        self.season.truncate(usize::from(self.target_as == TargetAs::SeasonalChange));
    }

    /// Adds the name of the file to an error that lies in the data.
    pub fn in_data(&self, error: Error) -> Error {
        match (error, self.data.data.as_ref().and_then(Files::one)) {
            (Error::Invalid(reason), Some(path)) => Error::File { path: path.into(), reason },
            (error, _) => error,
        }
    }

    /// Adds the name of the file to an error, such as too few rows, unless it lies in an option that is 0.
    fn in_rows(&self, error: Error) -> Error {
        let sizes = [self.seq_len, self.batch, self.stride.unwrap_or(1)];
        if sizes.contains(&0) { error } else { self.in_data(error) }
    }

    fn refuse_table_options(&self, what: &str) -> Result<(), Failure> {
        if self.scale.is_some_and(|scale| scale != Scaling::None)
            || !self.data.column.is_empty()
            || !self.data.target.is_empty()
            || !matches!(self.target_as, TargetAs::Auto | TargetAs::Value)
        {
            return Err(Failure::Usage(format!(
                "--scale, --column, --target and --target-as: {what} has no columns to choose or scale"
            )));
        }
        Ok(())
    }

    fn check_loss_on(&self, windows: &Windows) -> Result<(), Failure> {
        match self.loss_on {
            Some(HeadSteps::Last) if !windows.last_only() => {
                Err(Failure::Usage("--loss-on last: these targets are for every step; give targets [N,B,O]".into()))
            }
            Some(HeadSteps::All) if windows.last_only() => {
                Err(Failure::Usage("--loss-on all: these targets are for the last step only; give [N,B,T,O]".into()))
            }
            _ => Ok(()),
        }
    }
}

fn schedule(text: &str) -> Result<String, String> {
    text.parse::<Schedule>().map(|_| text.to_string())
}

impl Job {
    /// Loads the model of `path`, and copies its shape into the job. A flag that was given and differs is refused.
    pub fn take_shape_of(
        &mut self,
        path: &std::path::Path,
        tensors: &TensorArgs,
        matches: &clap::ArgMatches,
        cpu: rnnstep::Cpu,
    ) -> Result<rnnstep::Model, Failure> {
        let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let nonlinearity = given("nonlinearity").then_some(self.nonlinearity);
        let loaded = model::load(path, &tensors.options(nonlinearity), cpu)?;
        self.take_masks_of(&loaded.model);
        let shape = *loaded.model.shape();
        let differs = [
            ("cell", self.cell != shape.cell()),
            ("hidden", self.hidden != shape.hidden()),
            ("layers", self.layers != shape.layers()),
            ("no_bias", self.no_bias == shape.bias()),
        ];
        if let Some((flag, _)) = differs.iter().find(|(flag, differs)| *differs && given(flag)) {
            let reason =
                format!("--{} differs from the model in this file; leave the flag out", flag.replace('_', "-"));
            return Err(Error::File { path: path.into(), reason }.into());
        }
        (self.cell, self.nonlinearity) = (shape.cell(), shape.nonlinearity());
        (self.hidden, self.layers, self.no_bias) = (shape.hidden(), shape.layers(), !shape.bias());
        Ok(loaded.model.raw())
    }
}
