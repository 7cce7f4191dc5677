//! The factors by which prediction intervals are widened so that they hold the part of the actual values that they
//! should.

use super::quantiles::{normal_deviate, quantile};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The fewest known futures of a horizon that give it a factor of its own. With fewer, the factor of a shorter horizon
/// is used.
const LEAST_ORIGINS: usize = 20;
/// With fewer futures that have no row in common, an interval is made narrower by only a part of their factor.
const ENOUGH_APART: usize = 10;

/// Sorts `values` and gives their median.
pub fn sorted_middle(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    quantile(values, 0.5)
}

/// The values between which the middle part `level` of `sorted` lies.
pub fn edges(sorted: &[f64], level: f64) -> (f64, f64) {
    (quantile(sorted, 0.5 - 0.5 * level), quantile(sorted, 0.5 + 0.5 * level))
}

/// The factors of all levels, horizons and columns.
#[derive(Debug)]
pub struct Factors {
    levels: Vec<f64>,
    columns: usize,
    /// For each level, step and column: one score for each known future.
    scores: Vec<Vec<f64>>,
    factors: Vec<f64>,
    /// The number of rows that were not trained on.
    unseen: usize,
    /// The factor of each level, used if no future is known.
    unheld: Vec<f64>,
}

impl Factors {
    /// Factors before any known future. `unseen` rows were not trained on. `errors` is the number of rows of errors
    /// that paths draw from; `None` if they were not observed.
    pub fn new(levels: &[f64], columns: usize, unseen: usize, errors: Option<usize>) -> Self {
        let unheld = levels.iter().map(|&level| errors.map_or(1.0, |errors| of_few(level, errors))).collect();
        Self { levels: levels.to_vec(), columns, scores: vec![], factors: vec![], unseen, unheld }
    }

    /// The index of a level, step and column. Steps are outermost, so that the list grows only with the steps that are
    /// added.
    fn at(&self, level: usize, step: usize, d: usize) -> usize {
        (step * self.levels.len() + level) * self.columns + d
    }

    /// Adds a known future: the `values` of its paths at one step in one column, and the actual value.
    pub fn add(&mut self, step: usize, d: usize, values: &mut [f64], truth: f64) {
        let middle = sorted_middle(values);
        for (level, &part) in self.levels.iter().enumerate() {
            let (low, high) = edges(values, part);
            let (off, width) =
                if truth < middle { (middle - truth, middle - low) } else { (truth - middle, high - middle) };
            let at = self.at(level, step, d);
            if self.scores.len() <= at {
                self.scores.resize(at + 1, vec![]);
            }
            // an interval without width holds an actual value that is equal to the median
            self.scores[at].push(if off == 0.0 { 0.0 } else { off / width });
        }
    }

    /// Computes the factors from the scores. Each horizon also uses the scores of horizons that are up to √2 times
    /// shorter or longer. One horizon alone has few scores, so the factors of neighbours would differ at random.
    pub fn settle(&mut self) {
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
                    let apart = self.unseen / (step + 1);
                    factors.push(factor(&mut near, origins(step), self.levels[level], apart));
                }
            }
        }
        self.factors = factors;
    }

    /// The longest horizon with enough known futures.
    pub fn steps(&self) -> usize {
        self.factors.len() / (self.levels.len() * self.columns).max(1)
    }

    /// The factor of the interval of a level at a step.
    pub fn of(&self, level: usize, step: usize, d: usize) -> f64 {
        let Some(last) = self.steps().checked_sub(1) else { return self.unheld[level] };
        self.factors[self.at(level, step.min(last), d)]
    }
}

/// The factor with which the interval would have held the part `level` of `origins` futures, and would hold one more
/// future with the same chance: the ⌈(n+1)·level⌉-th smallest of n scores, or the largest if there are not so many.
/// `apart` of the futures have no row in common.
fn factor(scores: &mut [f64], origins: usize, level: f64, apart: usize) -> f64 {
    // a column without known futures
    if scores.is_empty() {
        return 1.0;
    }
    // in f64, 100 · 0.55 is a little more than 55
    let rank = ((origins + 1) as f64 * level - 1e-9).ceil();
    let place = (rank * scores.len() as f64 / origins as f64).ceil() as usize;
    let place = place.clamp(1, scores.len()) - 1;
    let (_, &mut score, _) = scores.select_nth_unstable_by(place, f64::total_cmp);
    // infinite if the interval has no width and the actual value differs: a factor cannot widen it
    let score = if score.is_finite() { score } else { 1.0 };
    if score >= 1.0 {
        return score;
    }
    let trusted = if rank > origins as f64 { 0.0 } else { apart.min(ENOUGH_APART) as f64 / ENOUGH_APART as f64 };
    score + (1.0 - trusted) * (1.0 - score)
}

/// The factor by which an interval from so few errors is too narrow. It is that of normal errors whose mean and
/// deviation are estimated from them: Student's deviate times √(1+1/n), over the normal deviate.
fn of_few(level: f64, errors: usize) -> f64 {
    let (part, n) = (0.5 + 0.5 * level, errors as f64);
    StudentsT::new(0.0, 1.0, n - 1.0)
        .map_or(1.0, |student| student.inverse_cdf(part) * (1.0 + 1.0 / n).sqrt() / normal_deviate(part))
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

    /// From tables of Student's distribution: 1.363 and 2.201 with 11 degrees of freedom.
    #[test]
    fn a_few_errors_are_stretched() {
        assert!((of_few(0.8, 12) - 1.3634 * (13.0_f64 / 12.0).sqrt() / 1.28155).abs() < 1e-3);
        assert!((of_few(0.95, 12) - 2.2010 * (13.0_f64 / 12.0).sqrt() / 1.95996).abs() < 1e-3);
        assert!((of_few(0.8, 500) - 1.0).abs() < 5e-3);
    }

    #[test]
    fn factors_hold_what_they_promise() {
        // 0.1, 0.2, ... 9.9
        let all: Vec<f64> = (1..100).map(|i| f64::from(i) / 10.0).collect();
        let factor = |scores: &[f64], origins, level, apart| factor(&mut scores.to_vec(), origins, level, apart);
        let scores = &all[..];
        assert_eq!(factor(scores, 99, 0.8, 99), 8.0);
        assert_eq!(factor(scores, 99, 0.05, 10), 0.5);
        assert_eq!(factor(scores, 99, 0.05, 4), 0.8, "only two fifths narrower, as so few are apart");
        assert_eq!((factor(scores, 99, 0.05, 0), factor(scores, 99, 0.8, 0)), (1.0, 8.0));
        assert_eq!(factor(&scores[..19], 19, 0.95, 19), 1.9);
        assert_eq!(factor(&scores[..18], 18, 0.95, 18), 1.8, "the largest, where one more would be needed");
        assert_eq!(factor(&scores[..5], 5, 0.9, 5), 1.0, "one more would be needed");
        assert_eq!(factor(&[f64::INFINITY], 1, 0.5, 1), 1.0);
        assert_eq!(factor(&[], 20, 0.5, 20), 1.0);
        // numbers of origins and levels whose product is rounded in f64
        assert_eq!(factor(scores, 99, 0.55, 99), 5.5);
        for n in [29_usize, 35, 52, 56, 58, 60, 77, 87, 92] {
            for percent in 1..96 {
                let rank = ((n + 1) * percent).div_ceil(100);
                if (1..=n).contains(&rank) {
                    assert_eq!(factor(&scores[..n], n, percent as f64 / 100.0, n), scores[rank - 1], "{n} {percent}");
                }
            }
        }
    }
}
