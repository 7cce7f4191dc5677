//! What a training is asked to do: the options of `train` that decide its result. They are kept in the model file
//! and in the checkpoint under the names of the flags, so that a training can be repeated and gone on with.

use super::Failure;
use super::input::{DataArgs, Source};
use clap::{Args, ValueEnum, parser::ValueSource};
use rnnstep::data::series::{Series, Time};
use rnnstep::data::windows::Windows;
use rnnstep::optimizer::{Adam, Optimizer, Schedule, Sgd};
use rnnstep::pass::Head;
use rnnstep::scaler::{Scaler, Scaling};
use rnnstep::train::Recipe;
use rnnstep::{CellKind, Error, Loss, Nonlinearity, Shape, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::ops::Range;

/// Names on the command line and in files of the optimisers.
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
    /// It starts the next window, detached from its history
    Carry,
    /// The next window starts from zero; windows are shuffled
    Reset,
}

#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "Network")]
pub struct Job {
    /// Cell
    #[arg(long, value_enum, default_value = "rnn")]
    pub cell: CellKind,
    /// Activation of an rnn
    #[arg(long, value_enum, default_value = "tanh")]
    pub nonlinearity: Nonlinearity,
    /// Hidden units of each layer
    #[arg(long, default_value_t = 32, value_name = "H")]
    pub hidden: usize,
    /// Stacked layers
    #[arg(long, default_value_t = 1, value_name = "L")]
    pub layers: usize,
    /// Leave the biases of the recurrent layers out
    #[arg(long)]
    pub no_bias: bool,
    /// Probability to drop an element between two layers, 0 to below 1
    #[arg(long, default_value_t = 0.0, value_name = "P")]
    pub dropout: f64,

    /// Time steps of a window, through which gradients flow back
    #[arg(long, default_value_t = 20, value_name = "T", help_heading = "Windows")]
    pub seq_len: usize,
    /// Rows from the start of one window to the next [default: 1 with --state reset, else T]
    #[arg(long, value_name = "ROWS", help_heading = "Windows")]
    pub stride: Option<usize>,
    /// Windows side by side in one training step
    #[arg(long, default_value_t = 1, value_name = "B", help_heading = "Windows")]
    pub batch: usize,
    /// What becomes of the hidden state from window to window
    #[arg(long, value_enum, default_value = "carry", help_heading = "Windows")]
    pub state: StateMode,
    /// Which steps of a window count [default: all, or last for windows cut with targets [N,B,O]]
    #[arg(long, value_enum, help_heading = "Windows")]
    pub loss_on: Option<Head>,
    /// Part of the series, from its end, that is held out for scores and best weights, 0 to below 1
    /// [default: 0.2 for a table, 0 for windows already cut]
    #[arg(long, value_name = "FRACTION", help_heading = "Windows")]
    pub val_fraction: Option<f64>,
    /// How columns are scaled, fitted on the training part [default: standard for a table, else none]
    #[arg(long, value_enum, help_heading = "Windows")]
    pub scale: Option<Scaling>,

    /// Times through all windows [default: 100 for a table, unless --steps is given]
    #[arg(long, value_name = "N", conflicts_with = "steps", help_heading = "Training")]
    pub epochs: Option<u64>,
    /// Training steps [default: 75 for the sine]
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub steps: Option<u64>,
    /// Loss, averaged over all elements: mse, mae, huber, gaussian (mean and variance) or quantiles[:LEVEL,...]
    /// (alone 0.1,0.5,0.9)
    #[arg(long, default_value = "mse", help_heading = "Training")]
    pub loss: Loss,
    /// Optimiser
    #[arg(long, value_enum, default_value = "adam", help_heading = "Training")]
    pub optimizer: OptimizerName,
    /// Learning rate
    #[arg(long, default_value_t = 0.01, value_name = "RATE", help_heading = "Training")]
    pub lr: f64,
    /// How slowly the moments of adam and adamw forget
    #[arg(long, num_args = 1..=2, value_names = ["BETA1", "BETA2"], value_delimiter = ',', default_values_t = [0.9, 0.999], help_heading = "Training")]
    pub betas: Vec<f64>,
    /// What adam and adamw add to the root of the second moment
    #[arg(long, default_value = "1e-8", value_name = "EPS", help_heading = "Training")]
    pub eps: f64,
    /// Use the largest second moment so far (adam, adamw)
    #[arg(long, help_heading = "Training")]
    pub amsgrad: bool,
    /// Momentum of sgd
    #[arg(long, default_value_t = 0.0, value_name = "M", help_heading = "Training")]
    pub momentum: f64,
    /// Dampening of the momentum of sgd
    #[arg(long, default_value_t = 0.0, value_name = "D", help_heading = "Training")]
    pub dampening: f64,
    /// Nesterov momentum (sgd)
    #[arg(long, help_heading = "Training")]
    pub nesterov: bool,
    /// Weight decay [default: 0.01 for adamw, else 0]
    #[arg(long, value_name = "DECAY", help_heading = "Training")]
    pub weight_decay: Option<f64>,
    /// Largest global norm of the gradient [default: no limit]
    #[arg(long, value_name = "NORM", help_heading = "Training")]
    pub clip: Option<f64>,
    /// Learning rate over the training steps: constant, step:EVERY:GAMMA or cosine[:STEPS[:MIN]]
    #[arg(long, default_value = "constant", value_parser = schedule, help_heading = "Training")]
    pub schedule: String,
    /// Stop after so many epochs without a better loss on the held-out part [default: never]
    #[arg(long, value_name = "EPOCHS", help_heading = "Training")]
    pub patience: Option<u64>,
    /// Seed of the initial weights, the order of windows and dropout
    #[arg(long, default_value_t = 0, value_name = "SEED", help_heading = "Training")]
    pub seed: u64,

    #[command(flatten)]
    #[serde(flatten)]
    pub data: DataArgs,
}

/// Windows to train on and, of a table, everything about the table.
pub struct Prepared {
    pub windows: Windows,
    pub table: Option<Table>,
    /// Windows held out, of those that came cut.
    pub held_out: Option<Windows>,
    pub input: usize,
    pub output: usize,
}

/// A series in raw units, and where training ends.
pub struct Table {
    pub inputs: Tensor,
    pub targets: Tensor,
    pub input_names: Vec<String>,
    pub target_names: Vec<String>,
    pub time: Option<Time>,
    pub train_rows: usize,
    pub x_scaler: Scaler,
    pub y_scaler: Scaler,
}

impl Job {
    /// The shape of the network for data of these widths.
    pub fn shape(&self, input: usize, output: usize) -> Result<Shape, Failure> {
        let &Self { cell, nonlinearity, hidden, layers, no_bias, .. } = self;
        Ok(Shape { cell, nonlinearity, input, hidden, layers, output: Some(output), bias: !no_bias }.checked()?)
    }

    /// The recipe for training on `windows`.
    pub fn recipe(&self, windows: &Windows) -> Result<Recipe, Failure> {
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
            loss_on: if windows.last_only() { Head::Last } else { Head::All },
            optimizer,
            lr: self.lr,
            schedule: self.schedule.parse::<Schedule>().map_err(Failure::Usage)?,
            steps: Some(self.total_steps(windows)),
            clip: self.clip,
            carry: self.state == StateMode::Carry,
            dropout: self.dropout,
            maximize: false,
            seed: self.seed,
        };
        Ok(recipe.checked()?)
    }

    /// Says how long to train, if nobody did: a file then says it too, and a resumed training ends in the same bytes.
    pub fn settle_length(&mut self, windows: &Windows) {
        match (self.steps, self.epochs, windows.steps_per_epoch()) {
            (None, None, Some(_)) => self.epochs = Some(100),
            (None, None, None) => self.steps = Some(75),
            _ => {}
        }
    }

    /// Training steps in all.
    pub fn total_steps(&self, windows: &Windows) -> u64 {
        let by_epochs = || self.epochs.unwrap_or(0).saturating_mul(windows.steps_per_epoch().unwrap_or(1));
        self.steps.unwrap_or_else(by_epochs)
    }

    /// Reads the data and cuts it into windows.
    pub fn prepare(&self) -> Result<Prepared, Failure> {
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
                let windows = Windows::sine(self.seq_len)?;
                self.check_loss_on(&windows)?;
                Ok(Prepared { windows, table: None, held_out: None, input: 1, output: 1 })
            }
            Source::Windows { x, target } => {
                self.refuse_table_options("windows already cut")?;
                let all = Windows::cut(x.clone(), target.clone()).map_err(|error| self.in_data(error))?;
                self.check_loss_on(&all)?;
                let (windows, held_out) = self.split_windows(all, x, target)?;
                let (input, output) = (windows.input(), windows.output());
                Ok(Prepared { windows, table: None, held_out, input, output })
            }
            Source::Series(series) => {
                let inputs = self.data.input_columns(&series)?;
                // before anything is made of them: a column that is not there is a matter of the file
                series
                    .positions(&[inputs.clone(), self.data.target_columns(&series)?].concat())
                    .map_err(|error| self.in_data(error))?;
                let targets = self.data.target_columns(&series)?;
                let table = self.table(&series, &inputs, &targets)?;
                let (windows, input, output) = (self.cut(&table)?, inputs.len(), targets.len());
                Ok(Prepared { windows, table: Some(table), held_out: None, input, output })
            }
        }
    }

    /// An error that lies in the data names its file.
    fn in_data(&self, error: Error) -> Error {
        match (error, &self.data.data) {
            (Error::Invalid(reason), Some(path)) => Error::File { path: path.clone(), reason },
            (error, _) => error,
        }
    }

    fn table(&self, series: &Series, input_names: &[String], target_names: &[String]) -> Result<Table, Failure> {
        let (inputs, targets) = (series.select(input_names)?, series.select(target_names)?);
        let (train, _) = rnnstep::data::windows::split(series.len(), self.val_fraction.unwrap_or(0.2))?;
        let scaling = self.scale.unwrap_or_default();
        let fit = |tensor: &Tensor, what: &str| {
            let width = tensor.rows().1;
            if train.is_empty() {
                return Err(self.in_data(Error::Invalid(format!(
                    "{what}: no rows are left to train on; take a smaller val-fraction"
                ))));
            }
            Scaler::fit(scaling, &tensor.data()[..train.end * width], width)
        };
        Ok(Table {
            x_scaler: fit(&inputs, "inputs")?,
            y_scaler: fit(&targets, "targets")?,
            inputs,
            targets,
            input_names: names_of(series, input_names)?,
            target_names: names_of(series, target_names)?,
            time: series.time.clone(),
            train_rows: train.end,
        })
    }

    /// Windows of the training part, scaled.
    fn cut(&self, table: &Table) -> Result<Windows, Failure> {
        let scaled = |rows: &Tensor, scaler: &Scaler| {
            let width = rows.rows().1;
            let mut values = rows.data()[..table.train_rows * width].to_vec();
            scaler.apply(&mut values);
            Tensor::new([table.train_rows, width], values)
        };
        let (x, target) = (scaled(&table.inputs, &table.x_scaler)?, scaled(&table.targets, &table.y_scaler)?);
        let last_only = self.loss_on == Some(Head::Last);
        let sizes = [self.seq_len, self.batch, self.stride.unwrap_or(1)];
        // too few rows are a matter of the file, a size of 0 is one of the options
        let about = |error| if sizes.contains(&0) { error } else { self.in_data(error) };
        match self.state {
            StateMode::Carry => {
                if self.stride.is_some_and(|stride| stride != self.seq_len) {
                    let message = "--stride: a carried state goes from window to window without a gap or an overlap; \
                                   leave it out, or use --state reset";
                    return Err(Failure::Usage(message.into()));
                }
                Ok(Windows::lanes(x, target, self.seq_len, self.batch, last_only).map_err(about)?)
            }
            StateMode::Reset => {
                let stride = self.stride.unwrap_or(1);
                let seed = self.seed;
                Ok(Windows::shuffled(x, target, self.seq_len, stride, self.batch, last_only, seed).map_err(about)?)
            }
        }
    }

    /// Windows that came cut: the last ones are held out, if asked for.
    fn split_windows(&self, all: Windows, x: Tensor, target: Tensor) -> Result<(Windows, Option<Windows>), Failure> {
        let count = x.dims()[0];
        let (train, held_out) = rnnstep::data::windows::split(count, self.val_fraction.unwrap_or(0.0))?;
        if held_out.is_empty() {
            return Ok((all, None));
        }
        if train.is_empty() {
            let message = format!("val-fraction: none of the {count} windows is left to train on");
            return Err(Error::Invalid(message).into());
        }
        let part = |range: &Range<usize>| Windows::cut(x.part(range.clone())?, target.part(range.clone())?);
        Ok((part(&train)?, Some(part(&held_out)?)))
    }

    fn refuse_table_options(&self, what: &str) -> Result<(), Failure> {
        if self.scale.is_some_and(|scale| scale != Scaling::None)
            || !self.data.column.is_empty()
            || !self.data.target.is_empty()
        {
            return Err(Failure::Usage(format!(
                "--scale, --column and --target: {what} has no columns to choose or scale"
            )));
        }
        Ok(())
    }

    fn check_loss_on(&self, windows: &Windows) -> Result<(), Failure> {
        match self.loss_on {
            Some(Head::Last) if !windows.last_only() => {
                Err(Failure::Usage("--loss-on last: these targets are for every step; give targets [N,B,O]".into()))
            }
            Some(Head::All) if windows.last_only() => {
                Err(Failure::Usage("--loss-on all: these targets are for the last step only; give [N,B,T,O]".into()))
            }
            _ => Ok(()),
        }
    }

    /// The job of a checkpoint with what the command line may change: how long to train. Anything else that was
    /// given and differs is refused, since the result would be neither the old training nor a new one.
    pub fn resumed(&self, stored: &Value, matches: &clap::ArgMatches) -> Result<Self, Failure> {
        let mut job: Self = serde_json::from_value(stored.clone())
            .map_err(|error| Error::Invalid(format!("the checkpoint's recipe cannot be read: {error}")))?;
        let given = serde_json::to_value(self).map_err(|error| Error::Invalid(error.to_string()))?;
        for (name, value) in given.as_object().into_iter().flatten() {
            let id = name.replace('-', "_");
            if matches.value_source(&id) != Some(ValueSource::CommandLine) {
                continue;
            }
            match id.as_str() {
                "steps" => (job.steps, job.epochs) = (self.steps, None),
                "epochs" => (job.steps, job.epochs) = (None, self.epochs),
                "patience" => job.patience = self.patience,
                "data" => job.data.data.clone_from(&self.data.data),
                _ if stored.get(name) == Some(value) => {}
                _ => {
                    let was = stored.get(name).unwrap_or(&Value::Null);
                    return Err(Failure::Usage(format!(
                        "--{name} {value}: the training to resume has {was}; only --steps, --epochs and --patience may change"
                    )));
                }
            }
        }
        Ok(job)
    }
}

/// The names of columns that may have been asked for by number.
fn names_of(series: &Series, wanted: &[String]) -> Result<Vec<String>, Failure> {
    Ok(series.positions(wanted)?.into_iter().map(|column| series.columns[column].clone()).collect())
}

fn schedule(text: &str) -> Result<String, String> {
    text.parse::<Schedule>().map(|_| text.to_string())
}

impl Job {
    /// The model of `path`; the job takes its shape over. Flags that were given and say otherwise are refused.
    pub fn take_shape_of(
        &mut self,
        path: &std::path::Path,
        matches: &clap::ArgMatches,
        cpu: rnnstep::Cpu,
    ) -> Result<rnnstep::Model, Failure> {
        let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let nonlinearity = given("nonlinearity").then_some(self.nonlinearity);
        let loaded = rnnstep::file::load(path, nonlinearity, cpu)?;
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        let shape = *loaded.model.shape();
        let differs = [
            ("cell", self.cell != shape.cell),
            ("hidden", self.hidden != shape.hidden),
            ("layers", self.layers != shape.layers),
            ("no_bias", self.no_bias == shape.bias),
        ];
        if let Some((flag, _)) = differs.iter().find(|(flag, differs)| *differs && given(flag)) {
            let reason =
                format!("--{} differs from the model in this file; leave the flag out", flag.replace('_', "-"));
            return Err(Error::File { path: path.into(), reason }.into());
        }
        (self.cell, self.nonlinearity) = (shape.cell, shape.nonlinearity);
        (self.hidden, self.layers, self.no_bias) = (shape.hidden, shape.layers, !shape.bias);
        Ok(loaded.model.raw())
    }
}
