//! How sure a forecast is: bands that hold a given part of what can come.
//!
//! **Simulation.** A model knows one step. Paths go further: each takes, at every step, what the model says and one of the errors that
//! it made on rows it was not trained on (of all columns at once), and feeds that back. Where the model says how sure it is, errors
//! are in units of that (filtered historical simulation, Barone-Adesi, Giannopoulos and Vosper 1999). The quantiles of many paths
//! are a band.
//!
//! **Calibration.** Paths know nothing of errors that come in runs, nor of a model that is wrong further ahead. So they are started
//! from rows of the past whose future is known, and at each distance the band is stretched or drawn in, as a whole, by the factor
//! that would have held the part it promises: the rule of split-conformal prediction (Vovk, Gammerman and Shafer 2005; Lei et al.
//! 2018), with the distance from the median over half the band's width on that side as the score. Its guarantee is for rows that
//! could be exchanged; rows of a series cannot, and these have chosen the weights as well, so what is held is measured
//! (`tests/series/prediction_intervals.rs`).

pub use crate::series::residuals::{OutputKind, Residuals};
pub use crate::series::simulate::{Simulator, Start};

use crate::error::{Error, Result};
use crate::model::Model;
use crate::objective::loss::Loss;
use crate::series::factors::{Factors, edges, sorted_middle};
use crate::simd::isa::Cpu;
use crate::tensor::Tensor;
use std::ops::Range;

/// The most rows of the past that paths are started from, and how many from each.
const ORIGINS: usize = 100;
const PATHS: usize = 200;
/// The longest horizon at which intervals are compared with actuals; a longer one would take minutes.
const FARTHEST: usize = 500;
/// Fewer rows of errors are not used.
pub const LEAST_ERRORS: usize = 10;

/// What bands to make.
#[derive(Debug, Clone)]
pub struct Options {
    /// Parts of what can come that each band is to hold, above 0 and below 1, rising.
    pub levels: Vec<f64>,
    /// Rows ahead.
    pub steps: usize,
    /// Paths that they are made of.
    pub paths: usize,
    /// Seed of the errors that are drawn.
    pub seed: u64,
}

impl Options {
    /// Bands for the next `steps` rows that hold `levels` of what can come, by 1,000 paths.
    pub fn new(steps: usize, levels: impl Into<Vec<f64>>) -> Self {
        Self { levels: levels.into(), steps, paths: 1000, seed: 0 }
    }

    with_functions! {
        with_paths: paths, usize;
        with_seed: seed, u64;
    }
}

/// One band, in raw units.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// The part of what can come that it is to hold.
    pub level: f64,
    /// `[N,D]`
    pub lower: Tensor,
    /// `[N,D]`
    pub upper: Tensor,
}

/// Bands around a forecast, and what they rest on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Intervals {
    /// One for each level.
    pub bands: Vec<Interval>,
    /// The middle of the paths, `[N,D]` in raw units. Where errors are skewed it is not what a model says that is fed back.
    pub median: Tensor,
    /// Rows of errors that paths drew from; 0: what the model says of itself, unchecked.
    pub errors: usize,
    /// The longest horizon at which intervals were compared with actuals; beyond it they are stretched as at that horizon.
    pub calibrated: usize,
}

/// Bands for the rows after `history [T,D]`: a [`Calibrated`] that is used once.
///
/// # Errors
/// Those of [`Calibrated::new`] and [`Calibrated::bands`].
pub fn bands(
    model: &Model,
    cpu: Cpu,
    history: &Tensor,
    unseen: usize,
    stored: Option<&Residuals>,
    options: &Options,
) -> Result<Intervals> {
    let (calibrated, now) = Calibrated::new(model, cpu, history, unseen, stored, options.clone())?;
    calibrated.bands(&now)
}

/// What makes bands: a model, the errors that its paths draw, and by how much bands have to be stretched. Made once, which takes some
/// twenty times as long as the bands of one row.
#[derive(Debug)]
pub struct Calibrated {
    simulator: Simulator,
    errors: Residuals,
    /// Whether anybody has seen the errors made.
    known: bool,
    factors: Factors,
    options: Options,
}

impl Calibrated {
    /// Holds `model` against `history [T,D]`, whose rows from `unseen` on were not trained on; and where it stands after the last one.
    /// `stored` are errors from elsewhere, taken where the history has fewer.
    ///
    /// # Errors
    /// If the model does not predict all its inputs; the history has no row or other columns; a level, the number of steps or
    /// paths makes no sense; nothing is known about how far off the model is; or paths grow beyond all numbers.
    pub fn new(
        model: &Model,
        cpu: Cpu,
        history: &Tensor,
        unseen: usize,
        stored: Option<&Residuals>,
        options: Options,
    ) -> Result<(Self, Start)> {
        check(&options)?;
        let simulator = Simulator::new(model, cpu)?;
        let (rows, columns) = history.rows();
        let nothing = || Error::invalid("history: needs at least one row");
        let last = rows.checked_sub(1).ok_or_else(nothing)?;
        let first = unseen.max(simulator.lag()).min(rows);
        let mut at = spread(first.saturating_sub(1)..last, ORIGINS);
        at.push(last);
        let (mut starts, found) = simulator.walk(history, &at, first)?;
        let now = starts.pop().ok_or_else(nothing)?;
        now.check()?;
        let (errors, known) = pool(found, stored, columns, model, options.seed)?;
        let mut factors = Factors::new(&options.levels, columns, rows - first, known.then(|| errors.len()));
        // as many paths at a time as a forecast takes
        for starts in starts.chunks((options.paths / PATHS).max(1)) {
            let (together, first) = (starts.iter().collect::<Vec<_>>(), starts[0].row());
            simulator.paths(
                &together,
                PATHS,
                options.steps.min(FARTHEST).min(last - first),
                &errors,
                options.seed,
                |i, step, d, values| {
                    let at = (starts[i].row() + step + 1) * columns + d;
                    if let Some(&truth) = history.data().get(at).filter(|truth| truth.is_finite()) {
                        factors.add(step, d, values, truth);
                    }
                },
            )?;
        }
        factors.settle();
        Ok((Self { simulator, errors, known, factors, options }, now))
    }

    /// What steps and walks: `calibrated.simulator().walk(..)` gives later starts.
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    /// Bands for the rows after `now`.
    ///
    /// # Errors
    /// If `now` is that of another model or not finite, or paths grow beyond all numbers.
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
            median[at] = middle as f32;
            let (mut least, mut most) = (median[at], median[at]);
            for (i, (&level, (lower, upper))) in levels.iter().zip(&mut edges_of).enumerate() {
                let ((low, high), factor) = (edges(values, level), self.factors.of(i, step, d));
                // a wider promise holds all of a narrower one, whatever the factors
                least = least.min((middle - factor * (middle - low)) as f32);
                most = most.max((middle + factor * (high - middle)) as f32);
                (lower[at], upper[at]) = (least, most);
            }
            if beyond.is_none() && !(least.is_finite() && most.is_finite()) {
                beyond = Some(step + 1);
            }
        })?;
        if let Some(steps) = beyond {
            return Err(Error::invalid(format!(
                "bands: some paths grow beyond all numbers {steps} steps ahead; ask for fewer steps, or train with --target-as \
                 value or change"
            )));
        }
        let tensor = |values: Vec<f32>| Tensor::new([steps, columns], values);
        let band = |(&level, (lower, upper))| Ok(Interval { level, lower: tensor(lower)?, upper: tensor(upper)? });
        Ok(Intervals {
            bands: levels.iter().zip(edges_of).map(band).collect::<Result<_>>()?,
            median: tensor(median)?,
            errors: if self.known { self.errors.len() } else { 0 },
            calibrated: self.factors.steps(),
        })
    }
}

/// The most values of a band.
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

/// The errors that paths draw from, and whether anybody has seen them made.
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
        "bands: nothing kind how far off the model is: the history has {count} rows that it was not trained on, {LEAST_ERRORS} \
         are needed; give more of them, or train with a held-out part (--val-fraction) or --loss gaussian"
    )))
}

/// At most `most` of `range`, as far apart as can be, its ends among them.
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
