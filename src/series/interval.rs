//! Prediction intervals: ranges around a forecast that should hold a given part of the actual values.
//!
//! **Simulation.** A model predicts one step ahead. Simulated paths go further. At every step, a path adds to the
//! prediction one of the errors that the model made on rows it was not trained on (of all columns at once), and feeds
//! the sum back as input. If the model predicts a distribution, errors are in units of its deviation (filtered
//! historical simulation, Barone-Adesi, Giannopoulos and Vosper 1999). The quantiles of many paths are a prediction
//! interval.
//!
//! **Calibration.** Paths do not reproduce errors that come in runs, nor errors that grow with the horizon. So paths
//! are also started from rows of the past whose next rows are known. At each horizon the interval is made wider or
//! narrower by the factor with which it would have held the wanted part of these rows. This is the rule of
//! split-conformal prediction (Vovk, Gammerman and Shafer 2005; Lei et al. 2018); the score is the distance from the
//! median over half the interval's width on that side. Its guarantee is for exchangeable rows. Rows of a series are not
//! exchangeable, and these rows have also chosen the weights, so the part that intervals really hold is measured
//! (`tests/series/prediction_intervals.rs`).

pub use crate::series::residuals::{OutputKind, Residuals};
pub use crate::series::simulate::{Simulator, Start};

use crate::error::{Error, Result};
use crate::model::Model;
use crate::net::state::State;
use crate::objective::loss::Loss;
use crate::series::factors::{Factors, edges, sorted_middle};
use crate::simd::isa::Cpu;
use crate::tensor::{Tensor, Value};
use std::ops::Range;

/// The most rows of the past that paths are started from, and the number of paths from each.
const ORIGINS: usize = 100;
const PATHS: usize = 200;
/// The longest horizon at which intervals are compared with actuals; a longer one would take minutes.
const FARTHEST: usize = 500;
/// The fewest rows of errors that are used.
pub const LEAST_ERRORS: usize = 10;

/// Options of prediction intervals.
#[derive(Debug, Clone)]
pub struct Options {
    /// The levels: the part of the actual values that each interval should hold. Above 0, below 1, and increasing.
    pub levels: Vec<f64>,
    /// The longest horizon, in rows.
    pub steps: usize,
    /// The number of simulated paths.
    pub paths: usize,
    /// Seed of the errors that paths draw.
    pub seed: u64,
}

impl Options {
    /// Intervals of these `levels` for the next `steps` rows, by 1,000 paths.
    pub fn new(steps: usize, levels: impl Into<Vec<f64>>) -> Self {
        Self { levels: levels.into(), steps, paths: 1000, seed: 0 }
    }

    with_functions! {
        with_paths: paths, usize;
        with_seed: seed, u64;
    }
}

/// One prediction interval at all horizons, in raw units.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// The part of the actual values that it should hold.
    pub level: f64,
    /// `[N,D]`
    pub lower: Tensor<f64>,
    /// `[N,D]`
    pub upper: Tensor<f64>,
}

/// Prediction intervals around a forecast, and what they are based on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Intervals {
    /// One interval for each level.
    pub bands: Vec<Interval>,
    /// The median of the paths, `[N,D]` in raw units. If errors are skewed, it differs from predictions that are fed
    /// back.
    pub median: Tensor<f64>,
    /// Rows of errors that paths drew from; 0 if they drew from the distribution that the model predicts, which nothing
    /// checked.
    pub errors: usize,
    /// The longest horizon at which intervals were compared with actuals; beyond it they are stretched as at that
    /// horizon.
    pub calibrated: usize,
}

/// Prediction intervals for the rows after `history [T,I]`: a [`Calibrated`] that is used once.
///
/// # Errors
/// Those of [`Calibrated::new`] and [`Calibrated::bands`].
pub fn bands(
    model: &Model,
    cpu: Cpu,
    history: &Tensor<f64>,
    unseen: usize,
    stored: Option<&Residuals>,
    options: &Options,
) -> Result<Intervals> {
    let (calibrated, now) = Calibrated::new(model, cpu, history, unseen, stored, options.clone())?;
    calibrated.bands(&now)
}

/// Makes prediction intervals: it holds a model, the errors that its paths draw, and the factors by which intervals are
/// widened. Making it takes about twenty times as long as the intervals after one row.
#[derive(Debug)]
pub struct Calibrated {
    simulator: Simulator,
    errors: Residuals,
    /// Whether the errors were observed; otherwise they come from the distribution that the model predicts.
    known: bool,
    factors: Factors,
    options: Options,
}

impl Calibrated {
    /// Compares `model` with `history [T,I]`, whose rows from `unseen` on were not trained on. Returns the calibrated
    /// model, and its state after the last row. `stored` are errors from elsewhere; they are used if the history gives
    /// fewer.
    ///
    /// # Errors
    /// If the model does not predict all its inputs; the history has no row or other columns; a level, the number of
    /// steps or the number of paths makes no sense; too few errors of the model are known; or the values of paths
    /// become infinite.
    pub fn new(
        model: &Model,
        cpu: Cpu,
        history: &Tensor<f64>,
        unseen: usize,
        stored: Option<&Residuals>,
        options: Options,
    ) -> Result<(Self, Start)> {
        Self::after(&State::new(model.shape(), 1), model, cpu, history, unseen, stored, options)
    }

    /// The same for a history that follows the rows after which the model has the state `initial`.
    ///
    /// # Errors
    /// Those of [`Calibrated::new`], and if it is the state of another model.
    pub fn after(
        initial: &State,
        model: &Model,
        cpu: Cpu,
        history: &Tensor<f64>,
        unseen: usize,
        stored: Option<&Residuals>,
        options: Options,
    ) -> Result<(Self, Start)> {
        check(&options)?;
        let simulator = Simulator::new(model, cpu)?;
        let ((rows, width), columns) = (history.rows(), simulator.columns());
        let nothing = || Error::invalid("history: has no rows; give at least one");
        let last = rows.checked_sub(1).ok_or_else(nothing)?;
        let first = unseen.max(simulator.lag()).min(rows);
        let mut at = spread(first.saturating_sub(1)..last, ORIGINS);
        at.push(last);
        let (mut starts, found) = simulator.walk_from(initial, history, &at, first)?;
        let now = starts.pop().ok_or_else(nothing)?;
        now.check()?;
        let (errors, known) = pool(found, stored, columns, model, options.seed)?;
        let mut factors = Factors::new(&options.levels, columns, rows - first, known.then(|| errors.len()));
        let mut actual = vec![0.0; columns];
        // no more paths at a time than for a forecast
        for starts in starts.chunks((options.paths / PATHS).max(1)) {
            let (together, first) = (starts.iter().collect::<Vec<_>>(), starts[0].row());
            simulator.paths(
                &together,
                PATHS,
                options.steps.min(FARTHEST).min(last - first),
                &errors,
                options.seed,
                |i, step, d, values| {
                    let at = (starts[i].row() + step + 1) * width;
                    let Some(row) = history.data().get(at..at + width) else { return };
                    simulator.actual(row, &mut actual);
                    if actual[d].is_finite() {
                        factors.add(step, d, values, actual[d]);
                    }
                },
            )?;
        }
        factors.settle();
        Ok((Self { simulator, errors, known, factors, options }, now))
    }

    /// The same intervals around the forecasts of `model`, which differs from the model that was calibrated in its
    /// autoregressions alone. Also returns its state after the last row of `history [T,I]`, which follows the rows after
    /// which it has the state `initial`.
    ///
    /// # Errors
    /// If the model has other columns, or a value of its state or of its prediction is not finite.
    pub(super) fn around(
        mut self,
        initial: &State,
        model: &Model,
        cpu: Cpu,
        history: &Tensor<f64>,
    ) -> Result<(Self, Start)> {
        let simulator = Simulator::new(model, cpu)?;
        Error::check_length("columns that the model predicts", self.simulator.columns(), simulator.columns())?;
        let rows = history.rows().0;
        let last: Vec<usize> = rows.checked_sub(1).into_iter().collect();
        let (mut starts, _) = simulator.walk_from(initial, history, &last, rows)?;
        let now = starts.pop().ok_or_else(|| Error::invalid("history: has no rows; give at least one"))?;
        now.check()?;
        self.simulator = simulator;
        Ok((self, now))
    }

    /// The simulator. `calibrated.simulator().walk(..)` gives later starts.
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// Prediction intervals for the rows after `now`.
    ///
    /// # Errors
    /// If `now` is of another model or not finite, or the values of paths become infinite.
    pub fn bands(&self, now: &Start) -> Result<Intervals> {
        let Options { ref levels, steps, paths, seed } = self.options;
        let columns = self.simulator.columns();
        let Some(size) = steps.checked_mul(columns).filter(|&size| size <= MOST_VALUES) else {
            return Err(Error::invalid(format!("steps {steps}: more than fit into memory; ask for fewer")));
        };
        let mut median = vec![0.0; size];
        let mut edges_of = vec![(vec![0.0; size], vec![0.0; size]); levels.len()];
        let mut beyond = None;
        self.simulator.paths(&[now], paths, steps, &self.errors, seed, |_, step, d, values| {
            let (at, middle) = (step * columns + d, sorted_middle(values));
            median[at] = middle;
            let (mut least, mut most) = (median[at], median[at]);
            for (i, (&level, (lower, upper))) in levels.iter().zip(&mut edges_of).enumerate() {
                let ((low, high), factor) = (edges(values, level), self.factors.of(i, step, d));
                // the interval of a higher level holds that of a lower one, whatever the factors
                least = self.simulator.inside(d, least.min(middle - factor * (middle - low)));
                most = self.simulator.inside(d, most.max(middle + factor * (high - middle)));
                (lower[at], upper[at]) = (least, most);
            }
            // what f32 cannot hold is no input of a network
            if beyond.is_none() && !(least.narrow().is_finite() && most.narrow().is_finite()) {
                beyond = Some(step + 1);
            }
        })?;
        if let Some(steps) = beyond {
            return Err(Error::invalid(format!(
                "bands: the values of some simulated paths are infinite {steps} steps ahead; ask for fewer steps, or \
                 train with --target-as value or change"
            )));
        }
        let tensor = |values: Vec<f64>| Tensor::new([steps, columns], values);
        let band = |(&level, (lower, upper))| Ok(Interval { level, lower: tensor(lower)?, upper: tensor(upper)? });
        Ok(Intervals {
            bands: levels.iter().zip(edges_of).map(band).collect::<Result<_>>()?,
            median: tensor(median)?,
            errors: if self.known { self.errors.len() } else { 0 },
            calibrated: self.factors.steps(),
        })
    }
}

/// The most values of one edge of an interval.
const MOST_VALUES: usize = 1 << 26;

fn check(options: &Options) -> Result<()> {
    let &Options { ref levels, steps, paths, .. } = options;
    if let Some(level) = levels.iter().find(|&&level| !(level > 0.0 && level < 1.0)) {
        return Err(Error::invalid(format!("bands: {} %: must be above 0 and below 100", level * 100.0)));
    }
    if levels.is_empty() || levels.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(Error::invalid("bands: needs levels, each above the one before it"));
    }
    if steps == 0 {
        return Err(Error::invalid("steps 0: must be at least 1"));
    }
    if paths < 2 {
        return Err(Error::invalid(format!("paths {paths}: must be at least 2")));
    }
    Ok(())
}

/// The errors that paths draw from, and whether they were observed.
fn pool(
    found: Vec<f32>,
    stored: Option<&Residuals>,
    columns: usize,
    model: &Model,
    seed: u64,
) -> Result<(Residuals, bool)> {
    let found: Vec<f32> =
        found.chunks_exact(columns).filter(|row| row.iter().all(|e| e.is_finite())).flatten().copied().collect();
    let count = found.len() / columns;
    let loss = model.units().map_or_else(Loss::default, |units| units.loss());
    let stored = stored.filter(|stored| stored.columns() == columns);
    if let Some(stored) = stored.filter(|stored| stored.len() >= count.max(LEAST_ERRORS)) {
        return Ok((stored.clone().centred(loss), true));
    }
    if count >= LEAST_ERRORS {
        let last = found[(count - count.min(Residuals::MOST)) * columns..].to_vec();
        return Ok((Residuals::new(last, columns)?.centred(loss), true));
    }
    if loss.is_distribution() {
        return Ok((Residuals::normal(columns, seed), false));
    }
    Err(Error::invalid(format!(
        "bands: the errors of the model are not known: the history has {count} rows that it was not trained on, \
         {LEAST_ERRORS} are needed; give more rows, or train with a held-out part (--val-fraction) or --loss gaussian"
    )))
}

/// At most `most` rows of `range`, evenly spread, including both ends.
fn spread(range: Range<usize>, most: usize) -> Vec<usize> {
    let count = range.len().min(most);
    let place = |i: usize| range.start + if count > 1 { i * (range.len() - 1) / (count - 1) } else { 0 };
    (0..count).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_spread() {
        assert_eq!(spread(3..8, 10), [3, 4, 5, 6, 7]);
        assert_eq!(spread(10..111, 3), [10, 60, 110]);
        assert_eq!((spread(5..5, 3), spread(5..9, 1)), (vec![], vec![5]));
        assert_eq!(spread(0..1000, ORIGINS).len(), ORIGINS);
    }
}
