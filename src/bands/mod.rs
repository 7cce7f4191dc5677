//! How sure a forecast is: bands that hold a given part of what can come.
//!
//! **Simulation.** A model knows one step. Paths go further: each takes, at every step, what the model says and one of the errors that
//! it made on rows it was not trained on (of all columns at once), and feeds that back. Where the model says how sure it is, errors
//! are in units of that (filtered historical simulation, Barone-Adesi, Giannopoulos and Vosper 1999). The quantiles of many paths
//! are a band.
//!
//! **Calibration.** Paths know nothing of errors that come in runs, nor of a model that is wrong further ahead. So they are started
//! from rows of the past whose future is known, and at each distance the band is stretched or drawn in, as a whole, by the factor
//! that would have held the part it promises: split-conformal prediction (Vovk, Gammerman and Shafer 2005; Lei et al. 2018), with
//! the distance from the median over half the band's width on that side as the score.

mod errors;
mod simulate;

pub use errors::{Errors, Says};
pub use simulate::{Simulator, Start};

use crate::cpu::Cpu;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::tensor::Tensor;

/// The most rows of the past that paths are started from, and how many from each.
const ORIGINS: usize = 100;
const PATHS: usize = 200;
/// Fewer known futures say nothing about a distance: then the factor of a shorter one counts.
const LEAST_ORIGINS: usize = 20;
/// With fewer futures that have no row in common, a band is never drawn in.
const LEAST_APART: usize = 10;
/// Under so many rows of errors, those of the history are no better than none.
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

/// One band.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// The part of what can come that it is to hold.
    pub level: f64,
    /// `[N,D]`
    pub lower: Tensor,
    /// `[N,D]`
    pub upper: Tensor,
}

/// Bands around a forecast, and what they rest on.
#[derive(Debug, Clone, PartialEq)]
pub struct Bands {
    /// One for each level.
    pub bands: Vec<Band>,
    /// The middle of the paths, `[N,D]`.
    pub median: Tensor,
    /// Rows of errors that paths drew from; 0: what the model says of itself, unchecked.
    pub errors: usize,
    /// Steps ahead to which bands were held against what came; those further ahead are stretched like the last of them.
    pub calibrated: usize,
}

/// Bands for the rows after `history [T,D]`. Its rows from `unseen` on were not trained on. `stored` are errors from elsewhere, taken
/// where the history has fewer.
///
/// # Errors
/// If the model does not predict all its inputs; a level, the number of steps or paths makes no sense; nothing is known about how
/// far off the model is; or paths grow beyond all numbers.
pub fn bands(
    model: &Model,
    cpu: Cpu,
    history: &Tensor,
    unseen: usize,
    stored: Option<&Errors>,
    options: &Options,
) -> Result<Bands> {
    check(options)?;
    let simulator = Simulator::new(model, cpu)?;
    let (rows, columns) = history.rows();
    if rows == 0 {
        return Err(Error::invalid("history: needs at least one row"));
    }
    let first = unseen.max(simulator.lag()).min(rows);
    let origins = spread(first.saturating_sub(1)..rows - 1, ORIGINS);
    let at: Vec<usize> = origins.iter().copied().chain([rows - 1]).collect();
    let (starts, found) = simulator.walk(history, &at, first)?;
    let Some((now, starts)) = starts.split_last() else {
        return Err(Error::invalid("history: needs at least one row"));
    };
    let (errors, known) = pool(found, stored, columns, model, options.seed)?;
    let mut factors = Factors::new(options, columns, rows - first);
    // as many paths at a time as the forecast itself takes
    for starts in starts.chunks((options.paths / PATHS).max(1)) {
        let steps = options.steps.min(rows - 1 - starts[0].row());
        let together: Vec<&Start> = starts.iter().collect();
        simulator.paths(&together, PATHS, steps, &errors, options.seed, |start, step, d, values| {
            let truth = (starts[start].row() + step + 1 < rows)
                .then(|| history.data()[(starts[start].row() + step + 1) * columns + d]);
            if let Some(truth) = truth.filter(|truth| truth.is_finite()) {
                factors.add(step, d, values, truth);
            }
        })?;
    }
    factors.settle();
    let size = options.steps * columns;
    let (mut median, mut lower, mut upper) = (vec![0.0; size], vec![vec![0.0; size]; options.levels.len()], vec![]);
    upper.clone_from(&lower);
    simulator.paths(&[now], options.paths, options.steps, &errors, options.seed, |_, step, d, values| {
        let (at, middle) = (step * columns + d, sorted_middle(values));
        median[at] = middle as f32;
        for (i, &level) in options.levels.iter().enumerate() {
            let (low, high) = edges(values, level);
            let factor = factors.of(i, step, d);
            lower[i][at] = (middle - factor * (middle - low)) as f32;
            upper[i][at] = (middle + factor * (high - middle)) as f32;
            // a wider promise holds all of a narrower one, whatever the factors
            if let Some(inner) = i.checked_sub(1) {
                lower[i][at] = lower[i][at].min(lower[inner][at]);
                upper[i][at] = upper[i][at].max(upper[inner][at]);
            }
        }
    })?;
    let tensor = |values: Vec<f32>| Tensor::new([options.steps, columns], values);
    let band = |((&level, lower), upper)| Ok(Band { level, lower: tensor(lower)?, upper: tensor(upper)? });
    Ok(Bands {
        bands: options.levels.iter().zip(lower).zip(upper).map(band).collect::<Result<_>>()?,
        median: tensor(median)?,
        errors: if known { errors.len() } else { 0 },
        calibrated: factors.calibrated,
    })
}

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
fn pool(found: Vec<f32>, stored: Option<&Errors>, columns: usize, model: &Model, seed: u64) -> Result<(Errors, bool)> {
    let found: Vec<f32> =
        found.chunks_exact(columns).filter(|row| row.iter().all(|e| e.is_finite())).flatten().copied().collect();
    let count = found.len() / columns;
    let stored = stored.filter(|stored| stored.columns() == columns);
    if let Some(stored) = stored.filter(|stored| stored.len() >= count) {
        return Ok((stored.clone().centred(), true));
    }
    if count >= LEAST_ERRORS {
        let last = found[(count - count.min(Errors::MOST)) * columns..].to_vec();
        return Ok((Errors::new(last, columns)?.centred(), true));
    }
    if model.units().is_some_and(|units| units.says().is_distribution()) {
        return Ok((Errors::normal(columns, seed), false));
    }
    Err(Error::invalid(format!(
        "bands: nothing says how far off the model is: the history has {count} rows that it was not trained on, {LEAST_ERRORS} \
         are needed; give more of them, or train with a held-out part (--val-fraction) or --loss gaussian"
    )))
}

/// At most `most` of `range`, as far apart as can be, its ends among them.
fn spread(range: std::ops::Range<usize>, most: usize) -> Vec<usize> {
    let count = range.len().min(most);
    let place = |i: usize| range.start + if count > 1 { i * (range.len() - 1) / (count - 1) } else { 0 };
    (0..count).map(place).collect()
}

/// Sorts `values` and gives their median.
fn sorted_middle(values: &mut [f32]) -> f64 {
    values.sort_unstable_by(f32::total_cmp);
    quantile(values, 0.5)
}

/// The values between which the middle part `level` of `sorted` lies.
fn edges(sorted: &[f32], level: f64) -> (f64, f64) {
    (quantile(sorted, 0.5 - 0.5 * level), quantile(sorted, 0.5 + 0.5 * level))
}

/// Linear between the two values beside the place: Hyndman and Fan 1996, type 7.
fn quantile(sorted: &[f32], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let below = (place as usize).min(sorted.len() - 1);
    let above = (below + 1).min(sorted.len() - 1);
    let (low, high) = (f64::from(sorted[below]), f64::from(sorted[above]));
    low + (place - below as f64) * (high - low)
}

/// By how much bands are stretched.
struct Factors<'a> {
    levels: &'a [f64],
    columns: usize,
    /// For each level, step and column, one score for each known future.
    scores: Vec<Vec<f64>>,
    factors: Vec<f64>,
    /// Steps that enough futures are known of.
    calibrated: usize,
    /// Rows that were not trained on.
    unseen: usize,
}

impl<'a> Factors<'a> {
    fn new(options: &'a Options, columns: usize, unseen: usize) -> Self {
        Self { levels: &options.levels, columns, scores: vec![], factors: vec![], calibrated: 0, unseen }
    }

    /// Where level, step and column stand; steps outermost, so that there is no more than was added.
    fn at(&self, level: usize, step: usize, d: usize) -> usize {
        (step * self.levels.len() + level) * self.columns + d
    }

    /// Paths `values` of a column, and what came.
    fn add(&mut self, step: usize, d: usize, values: &mut [f32], truth: f32) {
        let (middle, truth) = (sorted_middle(values), f64::from(truth));
        for (level, &part) in self.levels.iter().enumerate() {
            let (low, high) = edges(values, part);
            let (off, width) =
                if truth < middle { (middle - truth, middle - low) } else { (truth - middle, high - middle) };
            let at = self.at(level, step, d);
            if self.scores.len() <= at {
                self.scores.resize(at + 1, vec![]);
            }
            // no width and nothing off is a band that holds
            self.scores[at].push(if off == 0.0 { 0.0 } else { off / width });
        }
    }

    /// From scores to factors. Distances are alike up to a factor of √2 either way, and put their scores together: one
    /// distance alone has few, and neighbours would get factors that have nothing to do with each other.
    fn settle(&mut self) {
        let steps = self.scores.len() / (self.levels.len() * self.columns).max(1);
        let origins = |step: usize| self.scores.get(self.at(0, step, 0)).map_or(0, Vec::len);
        let calibrated = (0..steps).take_while(|&step| origins(step) >= LEAST_ORIGINS).count();
        let mut factors = Vec::with_capacity(calibrated * self.levels.len() * self.columns);
        for step in 0..calibrated {
            let ahead = (step + 1) as f64;
            let (from, to) = ((ahead / f64::sqrt(2.0)).ceil() as usize, (ahead * f64::sqrt(2.0)).floor() as usize);
            for level in 0..self.levels.len() {
                for d in 0..self.columns {
                    let near = (from - 1..to.min(steps)).flat_map(|step| &self.scores[self.at(level, step, d)]);
                    let mut near: Vec<f64> = near.copied().collect();
                    near.sort_unstable_by(f64::total_cmp);
                    let apart = self.unseen / (step + 1);
                    factors.push(factor(&near, origins(step), self.levels[level], apart));
                }
            }
        }
        (self.factors, self.calibrated) = (factors, calibrated);
    }

    /// The factor of a band at a step.
    fn of(&self, level: usize, step: usize, d: usize) -> f64 {
        let Some(last) = self.calibrated.checked_sub(1) else { return 1.0 };
        self.factors[self.at(level, step.min(last), d)]
    }
}

/// The factor with which the part `level` of `origins` futures would have been held, and one more future with the same chance:
/// the ⌈(n+1)·level⌉-th smallest of n scores. Where there is no such one, the largest. `apart` of the futures have no row in
/// common.
fn factor(sorted: &[f64], origins: usize, level: f64, apart: usize) -> f64 {
    let rank = ((origins + 1) as f64 * level).ceil();
    let place = (rank / origins as f64 * sorted.len() as f64).ceil() as usize;
    let score = sorted[place.clamp(1, sorted.len()) - 1];
    // a path without width, that something else came than: there is nothing to stretch
    let score = if score.is_finite() { score } else { 1.0 };
    let few = rank > origins as f64 || apart < LEAST_APART;
    if few { score.max(1.0) } else { score }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_paths() {
        let mut values = [4.0, 0.0, 2.0, 1.0, 3.0];
        assert_eq!(sorted_middle(&mut values), 2.0);
        let near = |(low, high): (f64, f64), (l, h): (f64, f64)| (low - l).abs() < 1e-12 && (high - h).abs() < 1e-12;
        assert!(near(edges(&values, 0.5), (1.0, 3.0)) && near(edges(&values, 0.8), (0.4, 3.6)));
        assert_eq!(quantile(&[7.0], 0.3), 7.0);
    }

    #[test]
    fn factors_hold_what_they_promise() {
        // 0.1, 0.2, ... 9.9
        let scores: Vec<f64> = (1..100).map(|i| f64::from(i) / 10.0).collect();
        assert_eq!(factor(&scores, 99, 0.8, 99), 8.0);
        assert_eq!(factor(&scores, 99, 0.05, 10), 0.5);
        assert_eq!(factor(&scores, 99, 0.05, 9), 1.0, "never drawn in by so few that are apart");
        assert_eq!(factor(&scores[..19], 19, 0.95, 19), 1.9);
        assert_eq!(factor(&scores[..18], 18, 0.95, 18), 1.8, "the largest, where one more would be needed");
        assert_eq!(factor(&scores[..5], 5, 0.9, 5), 1.0);
        assert_eq!(factor(&[f64::INFINITY], 1, 0.5, 1), 1.0);
    }

    #[test]
    fn origins_are_spread() {
        assert_eq!(spread(3..8, 10), [3, 4, 5, 6, 7]);
        assert_eq!(spread(10..111, 3), [10, 60, 110]);
        assert_eq!((spread(5..5, 3), spread(5..9, 1)), (vec![], vec![5]));
        assert_eq!(spread(0..1000, ORIGINS).len(), ORIGINS);
    }
}
