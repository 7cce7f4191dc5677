//! By how much bands are stretched so that they hold the part that they promise.

use super::quantiles::{normal_deviate, quantile};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Fewer known futures say nothing about a distance: then the factor of a shorter one counts.
const LEAST_ORIGINS: usize = 20;
/// With fewer futures that have no row in common, a band is drawn in by a part only of what they say.
const ENOUGH_APART: usize = 10;

/// Sorts `values` and gives their median.
pub fn sorted_middle(values: &mut [f32]) -> f64 {
    values.sort_unstable_by(f32::total_cmp);
    quantile(values, 0.5)
}

/// The values between which the middle part `level` of `sorted` lies.
pub fn edges(sorted: &[f32], level: f64) -> (f64, f64) {
    (quantile(sorted, 0.5 - 0.5 * level), quantile(sorted, 0.5 + 0.5 * level))
}

/// By how much bands are stretched.
#[derive(Debug)]
pub struct Factors {
    levels: Vec<f64>,
    columns: usize,
    /// For each level, step and column, one score for each known future.
    scores: Vec<Vec<f64>>,
    factors: Vec<f64>,
    /// Rows that were not trained on.
    unseen: usize,
    /// The factors where no future is known.
    unheld: Vec<f64>,
}

impl Factors {
    /// No future is known yet; `unseen` rows were not trained on, paths draw from so many rows of errors, if any were made.
    pub fn new(levels: &[f64], columns: usize, unseen: usize, errors: Option<usize>) -> Self {
        let unheld = levels.iter().map(|&level| errors.map_or(1.0, |errors| of_few(level, errors))).collect();
        Self { levels: levels.to_vec(), columns, scores: vec![], factors: vec![], unseen, unheld }
    }

    /// Where level, step and column stand; steps outermost, so that there is no more than was added.
    fn at(&self, level: usize, step: usize, d: usize) -> usize {
        (step * self.levels.len() + level) * self.columns + d
    }

    /// Paths `values` of a column, and the actual value.
    pub fn add(&mut self, step: usize, d: usize, values: &mut [f32], truth: f32) {
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

    /// Steps ahead that enough futures are known of.
    pub fn steps(&self) -> usize {
        self.factors.len() / (self.levels.len() * self.columns).max(1)
    }

    /// The factor of a band at a step.
    pub fn of(&self, level: usize, step: usize, d: usize) -> f64 {
        let Some(last) = self.steps().checked_sub(1) else { return self.unheld[level] };
        self.factors[self.at(level, step.min(last), d)]
    }
}

/// The factor with which the part `level` of `origins` futures would have been held, and one more future with the same chance:
/// the ⌈(n+1)·level⌉-th smallest of n scores. Where there is no such one, the largest. `apart` of the futures have no row in
/// common.
fn factor(scores: &mut [f64], origins: usize, level: f64, apart: usize) -> f64 {
    // a column of which nothing is known
    if scores.is_empty() {
        return 1.0;
    }
    // 100 · 0.55 is a little more than 55
    let rank = ((origins + 1) as f64 * level - 1e-9).ceil();
    let place = (rank * scores.len() as f64 / origins as f64).ceil() as usize;
    let place = place.clamp(1, scores.len()) - 1;
    let (_, &mut score, _) = scores.select_nth_unstable_by(place, f64::total_cmp);
    // a path without width, that something else came than: there is nothing to stretch
    let score = if score.is_finite() { score } else { 1.0 };
    if score >= 1.0 {
        return score;
    }
    let trusted = if rank > origins as f64 { 0.0 } else { apart.min(ENOUGH_APART) as f64 / ENOUGH_APART as f64 };
    score + (1.0 - trusted) * (1.0 - score)
}

/// By how much a band of so few errors is too narrow, as it is for normal ones whose mean and deviation are not known but taken
/// from them: Student's deviate and √(1+1/n), over the normal deviate.
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
        assert_eq!(factor(scores, 99, 0.05, 4), 0.8, "drawn in by two fifths, by so few that are apart");
        assert_eq!((factor(scores, 99, 0.05, 0), factor(scores, 99, 0.8, 0)), (1.0, 8.0));
        assert_eq!(factor(&scores[..19], 19, 0.95, 19), 1.9);
        assert_eq!(factor(&scores[..18], 18, 0.95, 18), 1.8, "the largest, where one more would be needed");
        assert_eq!(factor(&scores[..5], 5, 0.9, 5), 1.0, "one more would be needed");
        assert_eq!(factor(&[f64::INFINITY], 1, 0.5, 1), 1.0);
        assert_eq!(factor(&[], 20, 0.5, 20), 1.0);
        // numbers of origins and levels of which the products are not what they are on paper
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
