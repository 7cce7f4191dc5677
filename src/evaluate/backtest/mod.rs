//! Backtests with a rolling origin. They score a model on rows that it was not trained on, and compare it with naive
//! forecasts.
//!
//! An origin is the last known row. At each origin the next N rows are forecast. A model can be trained again every so
//! many origins, on the rows up to then. Its scalers, the naive forecasts and the scale of errors are fitted to the
//! same rows. Nothing uses a row before it was forecast. A learner can run next to the model: it begins as the same
//! model, and learns from each row after the row was forecast.

mod compare;
mod forecaster;
mod history;
mod prequential;
mod simple;

pub use compare::{Comparison, INSIDE, NoInterval, RESAMPLES, Verdict};
pub use forecaster::Forecaster;
pub use history::since_training;
pub use prequential::{Learned, Learning};

use crate::cpu::Threads;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::learner::LearnerOptions;
use crate::model::Model;
use crate::model::stream::Stream;
use crate::model::streams::{Handle, Streams};
use crate::series::naive;
use crate::series::one_step;
#[cfg(feature = "opponents")]
use crate::series::opponents::{NotFitted, Opponent};
use crate::simd::isa::Cpu;
use crate::tensor::Tensor;
use crate::train::{Plan, Table};
use crate::units::Units;
use crate::units::transform::TargetTransform;
use compare::Known;
use simple::Simple;
use std::ops::Range;

/// The number of origins whose forecasts of more than one step are computed together.
const SIDE_BY_SIDE: usize = 256;

/// Which rows a model is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Window {
    /// All rows up to then.
    #[default]
    Expanding,
    /// The last rows up to then, this many.
    Sliding(usize),
}

/// The rules of a backtest.
#[derive(Debug, Clone, PartialEq)]
pub struct Protocol {
    /// The first row that is forecast. The rows before it are the first training part.
    pub first: usize,
    /// N, the longest horizon: forecasts are made 1 to N rows ahead.
    pub horizon: usize,
    /// Which rows a model is trained on.
    pub window: Window,
    /// The number of origins after which the model is trained again; `None`: never.
    pub refit: Option<usize>,
    /// The number of rows left out between the training part and the first origin after it.
    pub gap: usize,
    /// The numbers of rows in the seasons, for the seasonal naive forecasts. If empty, they are looked for in the first
    /// training part. The season of a model with seasonal differencing is added in any case.
    pub seasons: Vec<usize>,
    /// The most lags of the autoregression.
    pub lags: usize,
    /// The number of rows over which the model's state is warmed up.
    pub warm_up: usize,
    /// Seed of the bootstrap behind intervals.
    pub seed: u64,
    /// How a learner learns that runs next to the model, on the CPU. After each training it begins as the new model.
    /// `None`: no learner.
    pub learner: Option<LearnerOptions>,
    /// Stronger forecasts to compare with as well, none by default; the field is there with feature `opponents`. They
    /// are fitted to each training part alone. At each origin they know the rows up to it, without being fitted again.
    /// They take part in the comparison like naive forecasts, each once. One that cannot be fitted to the first training
    /// part is left out: see [`Column::not_fitted`]. One that cannot be fitted again keeps its earlier fit.
    #[cfg(feature = "opponents")]
    pub opponents: Vec<Opponent>,
}

impl Protocol {
    /// Forecasts of the rows from `first` on, 1 to `horizon` ahead, by a model that is trained once, on the rows before
    /// `first`. Seasons are looked for, the autoregression has up to 20 lags, and the state is warmed up over up to
    /// 1,000 rows.
    pub fn new(first: usize, horizon: usize) -> Self {
        Self {
            first,
            horizon,
            window: Window::Expanding,
            refit: None,
            gap: 0,
            seasons: Vec::new(),
            lags: 20,
            warm_up: one_step::warm_up(20),
            seed: 0,
            learner: None,
            #[cfg(feature = "opponents")]
            opponents: Vec::new(),
        }
    }

    with_functions! {
        with_window: window, Window;
        with_refit: refit, Option<usize>;
        with_gap: gap, usize;
        with_seasons: seasons, Vec<usize>;
        with_lags: lags, usize;
        with_warm_up: warm_up, usize;
        with_seed: seed, u64;
        with_learner: learner, Option<LearnerOptions>;
    }

    #[cfg(feature = "opponents")]
    with_functions! {
        with_opponents: opponents, Vec<Opponent>;
    }

    /// Checks whether `table` has enough rows for the protocol.
    ///
    /// # Errors
    /// If a size is 0 or there are too few rows.
    fn check(&self, table: &Table) -> Result<()> {
        let rows = table.rows();
        let at_least = |name: &str, value: usize, least: usize| {
            if value < least {
                Err(Error::invalid(format!("{name} {value}: must be at least {least}")))
            } else {
                Ok(())
            }
        };
        at_least("horizon", self.horizon, 1)?;
        at_least("refit", self.refit.unwrap_or(1), 1)?;
        if let Window::Sliding(rows) = self.window {
            at_least("sliding window", rows, 2)?;
        }
        self.seasons.iter().try_for_each(|&season| at_least("season", season, 1))?;
        if let Some(season) = self.seasons.iter().find(|season| **season >= self.first) {
            return Err(Error::invalid(format!(
                "season {season}: must be less than the {} rows before the part to forecast",
                self.first
            )));
        }
        if self.first < self.gap.saturating_add(3) || self.first.saturating_add(self.horizon) > rows {
            return Err(Error::invalid(format!(
                "{rows} rows, of which {} come before the part to forecast, are too few for gap {} and horizon {}: \
                 give more data, or take another test-fraction, gap or horizon",
                self.first, self.gap, self.horizon
            )));
        }
        Ok(())
    }

    /// The trainings of a backtest, each with the origins that its model forecasts from: `(training rows, origins)`.
    fn folds(&self, rows: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let origins = self.first - 1..rows - 1;
        let step = self.refit.unwrap_or(origins.len()).max(1);
        origins
            .clone()
            .step_by(step)
            .map(|from| {
                let end = from + 1 - self.gap;
                let start = match self.window {
                    Window::Expanding => 0,
                    Window::Sliding(rows) => end.saturating_sub(rows),
                };
                (start..end, from..from.saturating_add(step).min(origins.end))
            })
            .collect()
    }
}

/// The errors of all forecasts of one forecaster, one column and one horizon, in the column's own units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The number of forecasts, without those of rows whose actual value is missing.
    pub count: usize,
    /// Mean squared error.
    pub mse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// The mean absolute scaled error (Hyndman and Koehler 2006): the mean absolute error over that of persistence one
    /// row ahead, or that of seasonal naive one season ahead if the series has a season, and of several seasons the
    /// smallest. It is taken in the first training part. NaN if that error is 0.
    pub mase: f64,
    /// The part of the forecasts with the right direction: whether the value would be above or below the last known
    /// one. Rows without a change do not count. `None` for a forecaster that always predicts no change.
    pub direction: Option<f64>,
}

impl Score {
    /// Root of the mean squared error.
    pub fn rmse(&self) -> f64 {
        self.mse.sqrt()
    }
}

/// One forecaster's forecasts of one column.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Forecasts {
    /// The forecaster.
    pub forecaster: Forecaster,
    /// The forecasts, `[origins][N]`. Those of rows beyond the end of the table are included, but not scored.
    pub values: Vec<f64>,
    /// One for each horizon.
    pub scores: Vec<Score>,
}

/// All forecasts of one column.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Column {
    /// The number of the target, from 0.
    pub target: usize,
    /// The model first, then the learner if there is one.
    pub forecasters: Vec<Forecasts>,
    /// The model, compared with the best naive forecast or opponent: one comparison for each horizon.
    pub comparisons: Vec<Comparison>,
    /// The benefit of learning, if there is a learner.
    pub learning: Option<Learning>,
    /// The numbers of rows in the seasons whose seasonal naive forecasts take part, shortest first.
    pub seasons: Vec<usize>,
    /// The opponents that could not be fitted to the first training part and so have no forecasts, with the reasons.
    #[cfg(feature = "opponents")]
    pub not_fitted: Vec<(Opponent, NotFitted)>,
}

impl Column {
    /// The longest horizon N up to which the model is worth using: at 1 to N rows ahead its [`Verdict`] is always that
    /// it is better than the best naive forecast or opponent. 0 if it is not better one row ahead.
    pub fn worth_up_to(&self) -> usize {
        self.comparisons.iter().take_while(|comparison| comparison.verdict() == Verdict::Better).count()
    }
}

/// The result of a backtest.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evaluation {
    /// The last known row of each forecast.
    pub origins: Range<usize>,
    /// N
    pub horizon: usize,
    /// How many times a model was trained.
    pub folds: usize,
    /// The target transform of the first model.
    pub transform: TargetTransform,
    /// One entry for each target.
    pub columns: Vec<Column>,
    /// What the learner did, if there is one.
    pub learned: Option<Learned>,
}

/// Runs a backtest over `table`. `model_of` is called once for each training, in order, with the rows to train on, the
/// number of the training and the number of trainings. It returns the model.
///
/// # Errors
/// If the table has too few rows for the protocol, a model predicts other columns, a model that does not predict all
/// its inputs has to forecast more than one row ahead, a model does not fit the learner's options, or `model_of` or the
/// GPU fails.
pub fn evaluate(
    table: &Table,
    protocol: &Protocol,
    device: &Device,
    mut model_of: impl FnMut(&Table, usize, usize) -> Result<Model>,
) -> Result<Evaluation> {
    protocol.check(table)?;
    let learner = protocol.learner.map(|options| Ok((options, prequential::cpu(options, device)?))).transpose()?;
    let folds = protocol.folds(table.rows());
    let first_part = folds.first().map_or(0..0, |(training, _)| training.clone());
    let mut targets = Target::all(table, protocol, &first_part);
    let (mut by_model, mut transform) = (Vec::new(), TargetTransform::Value);
    let mut by_learner = learner.map(|_| (Vec::new(), Learned::default()));
    for (number, (training, origins)) in folds.iter().enumerate() {
        let model = model_of(&table.part(training.clone())?, number, folds.len())?;
        if let (0, Some(of_model)) = (number, model.units().map(Units::transform)) {
            transform = of_model;
        }
        if let (0, TargetTransform::SeasonalChange { season }) = (number, transform) {
            targets.iter_mut().for_each(|target| target.add_season(season));
        }
        by_model.extend(model_forecasts(&model, table, device, origins.clone(), protocol)?);
        if let (Some((options, cpu)), Some((forecasts, sum))) = (learner, &mut by_learner) {
            let (of_fold, learned) = prequential::forecasts(&model, options, table, cpu, origins.clone(), protocol)?;
            forecasts.extend(of_fold);
            *sum += learned;
        }
        for target in &mut targets {
            target.forecast(training.clone(), origins.clone(), protocol);
        }
    }
    let origins = protocol.first - 1..table.rows() - 1;
    let width = targets.len();
    let columns = targets.into_iter().enumerate().map(|(target, of_target)| {
        let own = |all: &[f64]| all.iter().skip(target).step_by(width).copied().collect::<Vec<f64>>();
        let learner = by_learner.as_ref().map(|(all, _)| own(all));
        of_target.column(target, &first_part, &origins, own(&by_model), learner, protocol)
    });
    Ok(Evaluation {
        horizon: protocol.horizon,
        folds: folds.len(),
        transform,
        columns: columns.collect(),
        learned: by_learner.map(|(_, learned)| learned),
        origins,
    })
}

/// The same for networks that are trained by `plan`, on this number of threads. `begins` is called before each training
/// with its number and the number of trainings. It also returns how many trainings learned nothing: see
/// [`Outcome::learned`].
///
/// # Errors
/// Those of [`evaluate`], and if a training fails.
///
/// [`Outcome::learned`]: crate::train::Outcome::learned
pub fn evaluate_plan(
    table: &Table,
    protocol: &Protocol,
    device: &Device,
    plan: &Plan,
    threads: usize,
    mut begins: impl FnMut(usize, usize),
) -> Result<(Evaluation, usize)> {
    let mut silent = 0;
    let evaluation = evaluate(table, protocol, device, |rows, fold, folds| {
        begins(fold, folds);
        let outcome = plan.start(&[rows], device.clone(), Threads::new(threads)?)?.finish()?;
        silent += usize::from(!outcome.learned);
        Ok(outcome.model)
    })?;
    Ok((evaluation, silent))
}

/// A column to forecast, with the forecasts of the naive methods.
struct Target {
    /// All rows. In place of a missing value stands the last one before it.
    values: Vec<f64>,
    /// The same with NaN where a value is missing.
    actuals: Vec<f64>,
    seasons: Vec<usize>,
    /// Each method as it was fitted last, with all its forecasts, `[origins][N]`.
    naive: Vec<(Simple, Vec<f64>)>,
    #[cfg(feature = "opponents")]
    not_fitted: Vec<(Opponent, NotFitted)>,
}

impl Target {
    /// All targets of a table. If the protocol has no seasons, they are looked for in the first training part.
    fn all(table: &Table, protocol: &Protocol, first_part: &Range<usize>) -> Vec<Self> {
        let width = table.widths().1;
        let column = |all: &Tensor<f64>, d: usize| all.data().iter().skip(d).step_by(width).copied().collect();
        let target = |d: usize| {
            let (values, actuals): (Vec<f64>, _) = (column(table.targets(), d), column(table.actuals(), d));
            let seasons = match &protocol.seasons[..] {
                [] => naive::seasons(&values[first_part.clone()]),
                given => given.to_vec(),
            };
            let mut one = Self {
                values,
                actuals,
                seasons: Vec::new(),
                naive: Vec::new(),
                #[cfg(feature = "opponents")]
                not_fitted: Vec::new(),
            };
            seasons.into_iter().for_each(|season| one.add_season(season));
            one
        };
        (0..width).map(target).collect()
    }

    /// Adds a season, unless it is known. A season of one row is persistence.
    fn add_season(&mut self, season: usize) {
        if let (2.., Err(place)) = (season, self.seasons.binary_search(&season)) {
            self.seasons.insert(place, season);
        }
    }

    /// Fits the naive methods to the rows `training` and forecasts from each of `origins`.
    fn forecast(&mut self, training: Range<usize>, origins: Range<usize>, protocol: &Protocol) {
        let (values, actuals) = (&self.values[training.clone()], &self.actuals[training.clone()]);
        #[cfg_attr(not(feature = "opponents"), expect(unused_mut))]
        let mut fitted = Simple::naives(values, actuals, &self.seasons, protocol.lags);
        #[cfg(feature = "opponents")]
        {
            let (opponents, not_fitted) = Simple::opponents(actuals, training.end, &self.seasons, protocol);
            fitted.extend(opponents);
            if self.naive.is_empty() {
                self.not_fitted = not_fitted;
            }
        }
        if self.naive.is_empty() {
            self.naive = fitted.iter().map(|naive| (naive.clone(), Vec::new())).collect();
        }
        let horizon = protocol.horizon;
        let known = Known { values: &self.values, actuals: &self.actuals, origins: &origins, horizon };
        for (naive, forecasts) in &mut self.naive {
            // the method of the same kind, fitted again; if that was not possible, the earlier fit is kept
            if let Some(fresh) = fitted.iter().find(|fresh| fresh.forecaster() == naive.forecaster()) {
                *naive = fresh.clone();
            }
            naive.forecast(known, forecasts);
        }
    }

    /// All forecasts of this target, number `target`, scored and compared.
    fn column(
        self,
        target: usize,
        first_part: &Range<usize>,
        origins: &Range<usize>,
        by_model: Vec<f64>,
        by_learner: Option<Vec<f64>>,
        protocol: &Protocol,
    ) -> Column {
        let Self { values, actuals, seasons, naive, .. } = self;
        let (horizon, seed) = (protocol.horizon, protocol.seed);
        let scale = compare::mase_scale(&values[first_part.clone()], &actuals[first_part.clone()], &seasons);
        let known = Known { values: &values, actuals: &actuals, origins, horizon };
        let scored = |forecaster: Forecaster, forecasts: Vec<f64>| {
            let score = |ahead| compare::score(known, &forecasts, ahead, scale);
            Forecasts { forecaster, scores: (1..=horizon).map(score).collect(), values: forecasts }
        };
        let naive: Vec<Forecasts> = naive.into_iter().map(|(naive, all)| scored(naive.forecaster(), all)).collect();
        let over_naive = |one: &Forecasts| -> Vec<Comparison> {
            (1..=horizon).map(|ahead| Comparison::with_best_naive(known, one, &naive, ahead, seed)).collect()
        };
        let model = scored(Forecaster::Model, by_model);
        let learner = by_learner.map(|forecasts| scored(Forecaster::Learner, forecasts));
        let learning = learner.as_ref().map(|learner| Learning {
            over_model: (1..=horizon).map(|ahead| Comparison::between(known, learner, &model, ahead, seed)).collect(),
            over_naive: over_naive(learner),
        });
        let comparisons = over_naive(&model);
        let forecasters = std::iter::once(model).chain(learner).chain(naive).collect();
        Column {
            target,
            comparisons,
            learning,
            seasons,
            forecasters,
            #[cfg(feature = "opponents")]
            not_fitted: self.not_fitted,
        }
    }
}

/// The forecasts of the model at each of `origins`, `[origins][N][D]` in raw units. Its state is warmed up over the
/// rows before.
fn model_forecasts(
    model: &Model,
    table: &Table,
    device: &Device,
    origins: Range<usize>,
    &Protocol { horizon, warm_up, .. }: &Protocol,
) -> Result<Vec<f64>> {
    let width = table.targets().rows().1;
    let says = model.units().map_or(model.shape().width_out(), |units| units.targets());
    Error::check_length("columns that the model predicts", width, says)?;
    if horizon == 1 {
        // an origin is the row before the one that is forecast
        let rows = origins.start + 1..origins.end + 1;
        let y = one_step::outputs(model, device, table.inputs(), rows, warm_up)?;
        return Ok(model.point(&y)?.data().to_vec());
    }
    let inputs = table.inputs().rows().1;
    let sources = fed_back(table)?;
    let mut stream = Stream::on(device.clone(), model.clone())?;
    let cpu = device.cpu().map_or_else(Cpu::detect, Ok)?;
    let mut beside = Streams::new(model.clone(), cpu, Threads::default(), SIDE_BY_SIDE.min(origins.len()))?;
    let handles: Vec<Handle> = (0..SIDE_BY_SIDE.min(origins.len())).map(|_| beside.open()).collect::<Result<_>>()?;
    let mut predicted = vec![0.0; origins.len() * horizon * width];
    let row = |t: usize| row_of(table.inputs(), t);
    for t in one_step::warm_up_start(origins.start + 1, warm_up, model.lag())..origins.start {
        stream.step_f64(row(t))?;
    }
    let out = model.shape().width_out();
    let (mut x, mut y) = (vec![0.0; handles.len() * inputs], vec![0.0; handles.len() * out]);
    for first in origins.clone().step_by(SIDE_BY_SIDE) {
        let some = first..(first + SIDE_BY_SIDE).min(origins.end);
        for (t, &handle) in some.clone().zip(&handles) {
            y[(t - first) * out..][..out].copy_from_slice(stream.step_f64(row(t))?);
            beside.set_state(handle, stream.state()?)?;
        }
        for ahead in 0..horizon {
            let n = some.len();
            if ahead > 0 {
                for (x, y) in x.chunks_exact_mut(inputs).zip(y.chunks_exact(out)) {
                    let y = model.point_of(y);
                    x.iter_mut().zip(&sources).for_each(|(x, &source)| *x = y[source]);
                }
                beside.step_many_f64(&handles[..n], &x[..n * inputs], &mut y[..n * out])?;
            }
            for (i, y) in y.chunks_exact(out).take(n).enumerate() {
                let at = ((first - origins.start + i) * horizon + ahead) * width;
                predicted[at..at + width].copy_from_slice(model.point_of(y));
            }
        }
    }
    Ok(predicted)
}

/// For each input that is no mask, the number of the target that is fed back into it. Nothing that is fed back is
/// missing, so the masks are 0.
fn fed_back(table: &Table) -> Result<Vec<usize>> {
    let sources = table.columns().and_then(|columns| {
        let inputs = 0..table.inputs().rows().1 - table.masks().len();
        inputs.map(|input| columns.iter().position(|&column| column == input)).collect()
    });
    sources.ok_or_else(|| {
        Error::invalid(
            "horizon: only a model that predicts all its inputs can forecast more than one step ahead; take \
             --horizon 1, or the same columns as inputs and targets",
        )
    })
}

/// Row `t` of a table's tensor.
fn row_of(tensor: &Tensor<f64>, t: usize) -> &[f64] {
    let width = tensor.rows().1;
    &tensor.data()[t * width..(t + 1) * width]
}
