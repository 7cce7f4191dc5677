//! Compares the errors of two forecasters, and whether a difference may be chance.

use super::{Forecaster, Forecasts, Score};
use crate::random::{Purpose, Random};
use statrs::distribution::{ContinuousCDF, StudentsT};
use std::ops::Range;

/// How many times errors are resampled.
pub const RESAMPLES: usize = 2000;
/// The part of the resamples that lies inside the interval.
pub const INSIDE: f64 = 0.95;
/// The advice of a sentence about a model that is not better than a naive forecast.
const DO_NOT_USE: &str = ": do not use this";
/// The fewest forecasts for which an interval is computed.
const FEWEST: usize = 8;
/// The rounding error of a forecast, as a part of its size, with some room for the sums behind it.
const ROUNDING: f64 = 16.0 * f64::EPSILON;

/// What the interval of the skill shows about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval is above zero.
    Better,
    /// The interval contains zero.
    NoBetter,
    /// The whole interval is below zero.
    Worse,
    /// There is no interval: see [`NoInterval`].
    Unknown,
}

/// Why a comparison has no interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoInterval {
    /// There are fewer than eight forecasts.
    TooFew,
    /// The other forecaster never errs, or only by rounding, so there is no skill.
    NeverWrong,
    /// The other forecaster errs in so few rows that some resamples have none of them.
    SeldomWrong,
    /// A forecast is not finite, or its squared error is too large for a number.
    NotFinite,
}

/// A model compared with the best naive forecast, or a learner compared with the model it began as. The best naive
/// forecast is the one with the smallest squared error on the same rows. Opponents that the backtest was asked for count
/// as naive forecasts.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// The forecaster that it is compared with: the best naive forecast or opponent, or the model.
    pub other: Forecaster,
    /// By what part the root mean squared error of the model is smaller; negative if it is larger.
    pub skill: f64,
    /// The interval of the skill that contains 95 % of the resamples: a circular block bootstrap (Politis and Romano
    /// 1992) of the pairs of squared errors. Its blocks have [`Comparison::block`] rows, because errors of neighbouring
    /// rows are correlated.
    pub interval: Result<(f64, f64), NoInterval>,
    /// The number of rows in a block: the horizon, or the cube root of the number of forecasts, rounded up, if that is
    /// more.
    pub block: usize,
    /// The probability of a difference at least this large if neither were better: the test of Diebold and Mariano 1995
    /// for squared errors, with the correction of Harvey, Leybourne and Newbold 1997, two-sided. `None` where the test
    /// is not defined: if there are too few forecasts, or if the difference is the same in each row, up to rounding.
    pub p_value: Option<f64>,
}

/// The actual values, and the origins they were forecast from.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// All rows of one column. In place of a missing value stands the last one before it.
    pub values: &'a [f64],
    /// The same with NaN where a value is missing. Such rows are not scored.
    pub actuals: &'a [f64],
    /// The last known row of each forecast.
    pub origins: &'a Range<usize>,
    /// N
    pub horizon: usize,
}

impl Comparison {
    /// Compares `model` with the best of the `naive` forecasts and the opponents among them, `ahead` rows ahead.
    pub(super) fn with_best_naive(
        known: Known<'_>,
        model: &Forecasts,
        naive: &[Forecasts],
        ahead: usize,
        seed: u64,
    ) -> Self {
        let best = naive
            .iter()
            .filter(|forecasts| forecasts.forecaster.is_naive() || forecasts.forecaster.is_opponent())
            .min_by(|a, b| a.scores[ahead - 1].mse.total_cmp(&b.scores[ahead - 1].mse));
        // persistence is always among them
        Self::between(known, model, best.unwrap_or(model), ahead, seed)
    }

    /// Compares `model` with `other`, `ahead` rows ahead.
    pub(super) fn between(known: Known<'_>, model: &Forecasts, other: &Forecasts, ahead: usize, seed: u64) -> Self {
        let squares = |forecasts: &Forecasts| -> Vec<f64> {
            errors(known, &forecasts.values, ahead).map(|(error, _)| error * error).collect()
        };
        let (model, naive) = (squares(model), squares(other));
        let block = ahead.max((model.len() as f64).cbrt().ceil() as usize);
        let largest = known.origins.clone().filter_map(|origin| known.values.get(origin + ahead));
        let rounding = ROUNDING * largest.fold(0.0, |largest: f64, &value| largest.max(value.abs()));
        let interval = interval(&model, &naive, block, seed, rounding);
        Self {
            other: other.forecaster,
            skill: match interval {
                Err(NoInterval::NeverWrong) => f64::NAN,
                _ => skill(model.iter().sum(), naive.iter().sum()),
            },
            interval,
            block,
            p_value: diebold_mariano(&model, &naive, ahead, rounding),
        }
    }

    /// The result in a word.
    pub fn verdict(&self) -> Verdict {
        match self.interval {
            Ok((low, _)) if low > 0.0 => Verdict::Better,
            Ok((_, high)) if high < 0.0 => Verdict::Worse,
            Ok(_) => Verdict::NoBetter,
            Err(_) => Verdict::Unknown,
        }
    }

    /// The forecaster that the model is compared with, as in "worse than the last value".
    pub fn than(&self) -> String {
        self.other.in_a_sentence()
    }

    /// The result in a sentence.
    pub fn sentence(&self) -> String {
        let naive = self.other.in_a_sentence();
        let (no_better, worse) = match self.other {
            Forecaster::Model | Forecaster::Learner => ("", ": do not let it learn"),
            _ => (DO_NOT_USE, DO_NOT_USE),
        };
        // the distance from the skill to the end of the interval towards zero: the two sides differ in length, and with
        // the other one the sentence could contradict the verdict
        let side = |(low, high): (f64, f64)| if self.skill > 0.0 { self.skill - low } else { high - self.skill };
        let half = 100.0 * self.interval.map_or(0.0, side).max(0.0);
        let part = 100.0 * self.skill;
        match self.verdict() {
            Verdict::Better => format!("better than {naive} by {} ± {}", percent(part), percent(half)),
            Verdict::NoBetter => {
                format!("no better than {naive} ({} ± {}){no_better}", signed(part), percent(half))
            }
            Verdict::Worse => format!("worse than {naive} by {} ± {}{worse}", percent(-part), percent(half)),
            Verdict::Unknown => self.unknown(&naive),
        }
    }

    /// Why it is unknown whether the model is better than `naive`, in a sentence.
    fn unknown(&self, naive: &str) -> String {
        match self.interval {
            Err(NoInterval::NeverWrong) => format!("unknown: {naive} is never wrong on these rows"),
            Err(NoInterval::SeldomWrong) => {
                format!("unknown: {naive} is wrong in too few of these rows to compute an interval")
            }
            Err(NoInterval::NotFinite) => {
                format!("unknown: not all forecasts are finite numbers, so they cannot be compared with {naive}")
            }
            Err(NoInterval::TooFew) | Ok(_) => format!("too few forecasts to say whether it is better than {naive}"),
        }
    }
}

/// A percentage without decimals; with one below ten, and with two below a tenth.
fn percent(value: f64) -> String {
    let digits = [9.95, 0.095].iter().filter(|&&most| value.abs() < most).count();
    format!("{value:.digits$} %")
}

fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{}", percent(value)) } else { percent(value) }
}

/// For each forecast `ahead` rows ahead whose row is in the table and not missing: its error, and `(prediction, actual
/// value)` as changes since the last known value.
fn errors<'a>(
    known: Known<'a>,
    predicted: &'a [f64],
    ahead: usize,
) -> impl Iterator<Item = (f64, (f64, f64))> + use<'a> {
    let Known { values, actuals, origins, horizon } = known;
    origins.clone().zip(predicted.chunks_exact(horizon)).filter_map(move |(origin, predicted)| {
        let actual = *actuals.get(origin + ahead).filter(|actual| !actual.is_nan())?;
        let (predicted, last) = (predicted[ahead - 1], values[origin]);
        Some((predicted - actual, (predicted - last, actual - last)))
    })
}

pub(super) fn score(known: Known<'_>, predicted: &[f64], ahead: usize, scale: f64) -> Score {
    let (mut count, mut squares, mut sizes) = (0, 0.0, 0.0);
    let (mut moved, mut right, mut spoke) = (0_usize, 0_usize, false);
    for (error, (predicted, actual)) in errors(known, predicted, ahead) {
        count += 1;
        squares += error * error;
        sizes += error.abs();
        spoke |= predicted != 0.0;
        if actual != 0.0 {
            moved += 1;
            right += usize::from(predicted * actual > 0.0);
        }
    }
    let mae = sizes / count as f64;
    let direction = (spoke && moved > 0).then(|| right as f64 / moved as f64);
    Score { count, mse: squares / count as f64, mae, mase: mae / scale, direction }
}

/// The mean absolute change over a season of a training part: the smallest of those over each of `seasons`, or that from
/// row to row if there is none. `values` has the last known value in place of each that is missing, and `actuals` NaN: no
/// change to a missing value counts. NaN where there is no change.
pub(super) fn mase_scale(values: &[f64], actuals: &[f64], seasons: &[usize]) -> f64 {
    let change = |&season: &usize| {
        let later = actuals.get(season..).unwrap_or_default();
        let known = later.iter().zip(values).map(|(b, a)| (b - a).abs()).filter(|change| !change.is_nan());
        let (count, sum) = known.fold((0, 0.0), |(count, sum), change| (count + 1, sum + change));
        sum / f64::from(count)
    };
    let mean = if seasons.is_empty() { change(&1) } else { seasons.iter().map(change).fold(f64::NAN, f64::min) };
    if mean > 0.0 { mean } else { f64::NAN }
}

/// The skill, from the sums of squared errors.
fn skill(model: f64, naive: f64) -> f64 {
    if naive > 0.0 { 1.0 - (model / naive).sqrt() } else { f64::NAN }
}

/// `rounding` is that of a single error.
fn interval(model: &[f64], naive: &[f64], block: usize, seed: u64, rounding: f64) -> Result<(f64, f64), NoInterval> {
    let n = model.len().min(naive.len());
    let total = |errors: &[f64]| errors.iter().sum::<f64>();
    if n < FEWEST {
        return Err(NoInterval::TooFew);
    }
    if !total(model).is_finite() || !total(naive).is_finite() {
        return Err(NoInterval::NotFinite);
    }
    if total(naive) <= n as f64 * rounding * rounding {
        return Err(NoInterval::NeverWrong);
    }
    // sums of the first i errors; after the last error it goes on with the first
    let around = |errors: &[f64]| -> Vec<f64> {
        let mut sums = vec![0.0];
        for &error in errors.iter().chain(&errors[..block.min(n)]) {
            sums.push(sums[sums.len() - 1] + error);
        }
        sums
    };
    let (model, naive) = (around(model), around(naive));
    let block = block.min(n);
    let mut random = Random::new(seed, Purpose::Resampling, 0);
    let mut skills: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let (mut sums, mut left) = ((0.0, 0.0), n);
            while left > 0 {
                let (first, rows) = (random.below(n), block.min(left));
                sums.0 += model[first + rows] - model[first];
                sums.1 += naive[first + rows] - naive[first];
                left -= rows;
            }
            skill(sums.0, sums.1)
        })
        .collect();
    skills.sort_by(f64::total_cmp);
    let at = |part: f64| skills[((skills.len() - 1) as f64 * part).round() as usize];
    let (low, high) = (at((1.0 - INSIDE) / 2.0), at((1.0 + INSIDE) / 2.0));
    if low.is_finite() && high.is_finite() { Ok((low, high)) } else { Err(NoInterval::SeldomWrong) }
}

/// The two-sided p-value of equal squared errors. `rounding` is that of a single error: if the differences vary
/// only by that much, they count as constant, and the test is not defined.
fn diebold_mariano(model: &[f64], naive: &[f64], ahead: usize, rounding: f64) -> Option<f64> {
    let n = model.len();
    if n < FEWEST || naive.len() != n || ahead >= n {
        return None;
    }
    let differences: Vec<f64> = model.iter().zip(naive).map(|(model, naive)| model - naive).collect();
    let mean = differences.iter().sum::<f64>() / n as f64;
    let covariance = |lag: usize| {
        let pairs = differences.iter().zip(&differences[lag..]);
        pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n as f64
    };
    let largest = model.iter().chain(naive).copied().fold(0.0, f64::max).sqrt();
    // an error e that is off by r has a square that is off by (2 e + r) r
    if covariance(0).sqrt() <= (2.0 * largest + rounding) * rounding.max(1e-12 * largest) {
        return None;
    }
    // errors of forecasts h rows ahead are correlated over h - 1 rows
    let variance = (covariance(0) + 2.0 * (1..ahead).map(covariance).sum::<f64>()) / n as f64;
    if variance.is_nan() || variance <= 0.0 {
        return None;
    }
    let (n, h) = (n as f64, ahead as f64);
    let correction = ((n + 1.0 - 2.0 * h + h * (h - 1.0) / n) / n).max(0.0).sqrt();
    let statistic = mean / variance.sqrt() * correction;
    let student = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
    Some(2.0 * student.cdf(-statistic.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In numpy and scipy: `g = [sum((d[k:]-mu)*(d[:N-k]-mu))/N for k in range(h)]`, `v = (g[0]+2*sum(g[1:]))/N`,
    /// `s = mu/sqrt(v)*sqrt((N+1-2*h+h*(h-1)/N)/N)`, `2*stats.t.cdf(-abs(s), N-1)`.
    #[test]
    fn the_test_of_diebold_and_mariano() {
        let squares = |wave: fn(f64) -> f64| (1..=40).map(|i| wave(f64::from(i)).powi(2)).collect::<Vec<_>>();
        let (model, naive) = (squares(|i| (0.2 * i).sin()), squares(|i| 1.3 * (0.13 * i).cos()));
        let scipy =
            [(1, 0.029984952066642385), (2, 0.19495115983690484), (5, 0.3992880084589288), (12, 0.2247020502678057)];
        for (ahead, expected) in scipy {
            let found = diebold_mariano(&model, &naive, ahead, 0.0).unwrap();
            assert!((found - expected).abs() < 1e-9, "{ahead}: {found}");
        }
        // the sum of the covariances is below zero: the test is not defined
        let (model, naive) = (squares(f64::sin), squares(|i| 1.3 * (2.0 * i).cos()));
        assert!((diebold_mariano(&model, &naive, 1, 0.0).unwrap() - 0.004937051181398353).abs() < 1e-9);
        assert_eq!(diebold_mariano(&model, &naive, 2, 0.0), None);
        assert_eq!(diebold_mariano(&model, &model, 1, 0.0), None);
        // a difference that is the same in each row, and one that is the same but for rounding in f32
        let shifted: Vec<f64> = model.iter().map(|square| square + 0.1).collect();
        assert_eq!(diebold_mariano(&shifted, &model, 1, 0.0), None);
        let far = |i: i32, more: f64| 1e9 + (0.1 * f64::from(i) + more);
        let rounded: Vec<f64> = (0..40).map(|i| (far(i, 1.3) - far(i, 0.0)).powi(2)).collect();
        assert!(diebold_mariano(&rounded, &[0.0; 40], 1, 0.0).is_some(), "the rounding shows");
        assert_eq!(diebold_mariano(&rounded, &[0.0; 40], 1, 1e9 * ROUNDING), None);
        // a forecast that errs by rounding alone
        let naive: Vec<f64> = rounded.iter().map(|square| (square - 1.69).powi(2)).collect();
        assert_eq!(interval(&rounded, &naive, 2, 0, 1e9 * ROUNDING), Err(NoInterval::NeverWrong));
    }

    #[test]
    fn a_skill_and_its_interval() {
        let mut random = Random::new(0, Purpose::Order, 0);
        let mut noise = |size: f64| -> Vec<f64> {
            (0..400).map(|_| (size * (f64::from(random.uniform()) - 0.5)).powi(2)).collect()
        };
        let (naive, better, same) = (noise(1.0), noise(0.8), noise(1.0));
        let (low, high) = interval(&better, &naive, 8, 0, 0.0).unwrap();
        assert!(low > 0.05 && high < 0.35 && low < 0.2 && high > 0.2, "{low} {high}");
        let (low, high) = interval(&same, &naive, 8, 0, 0.0).unwrap();
        assert!(low < 0.0 && high > 0.0, "{low} {high}");
        // errors are drawn in pairs: a model that is a fifth better on each row is a fifth better in every resample
        let fifth: Vec<f64> = naive.iter().map(|square| 0.64 * square).collect();
        let (low, high) = interval(&fifth, &naive, 8, 0, 0.0).unwrap();
        assert!((low - 0.2).abs() < 1e-9 && (high - 0.2).abs() < 1e-9, "{low} {high}");
        // errors that are equal for fifty rows hold less information than independent ones; blocks of one row would
        // miss that
        let waves: Vec<f64> = (0..400).map(|t| if t / 50 % 2 == 0 { 0.6 } else { 1.2 }).collect();
        let width = |block| interval(&waves, &vec![1.0; 400], block, 0, 0.0).map(|(low, high)| high - low).unwrap();
        assert!(width(50) > 2.0 * width(1), "{} {}", width(50), width(1));
        assert_eq!(interval(&better, &naive, 8, 0, 0.0), interval(&better, &naive, 8, 0, 0.0));
        assert_ne!(interval(&better, &naive, 8, 0, 0.0), interval(&better, &naive, 8, 1, 0.0));
        assert_eq!(interval(&naive[..7], &naive[..7], 2, 0, 0.0), Err(NoInterval::TooFew));
        assert_eq!(interval(&naive, &vec![0.0; 400], 2, 0, 0.0), Err(NoInterval::NeverWrong));
        assert_eq!(interval(&vec![f64::INFINITY; 400], &naive, 2, 0, 0.0), Err(NoInterval::NotFinite));
        let mut once = vec![0.0; 400];
        once[7] = 1.0;
        assert_eq!(interval(&naive, &once, 2, 0, 0.0), Err(NoInterval::SeldomWrong));
    }

    /// A skill within its ± of zero is "no better", and one that is not is "better": whichever side of the interval is
    /// longer.
    #[test]
    fn a_sentence_does_not_contradict_itself() {
        let say = |skill: f64, interval| {
            let other = Forecaster::Persistence;
            Comparison { other, skill, interval: Ok(interval), block: 1, p_value: None }.sentence()
        };
        assert_eq!(say(0.24, (-0.02, 0.36)), "no better than the last value (+24 % ± 26 %): do not use this");
        let unknown = |why| {
            let other = Forecaster::SeasonalNaive(24);
            Comparison { other, skill: f64::NAN, interval: Err(why), block: 1, p_value: None }.sentence()
        };
        assert_eq!(
            unknown(NoInterval::TooFew),
            "too few forecasts to say whether it is better than the value 24 rows before"
        );
        assert_eq!(unknown(NoInterval::NeverWrong), "unknown: the value 24 rows before is never wrong on these rows");
        assert_eq!(say(0.24, (0.02, 0.66)), "better than the last value by 24 % ± 22 %");
        assert_eq!(say(-0.3, (-0.9, 0.01)), "no better than the last value (-30 % ± 31 %): do not use this");
        assert_eq!(say(-0.3, (-0.4, -0.055)), "worse than the last value by 30 % ± 24 %: do not use this");
        assert_eq!(say(0.0004, (-0.0004, 0.001)), "no better than the last value (+0.04 % ± 0.08 %): do not use this");
    }

    #[test]
    fn scores_by_hand() {
        let values = [1.0, 2.0, 4.0, 4.0, 3.0];
        let origins = 1..4;
        // two rows ahead of each origin
        let predicted = [3.0, 5.0, 4.0, 2.0, 3.5, 9.0];
        let known = Known { values: &values, actuals: &values, origins: &origins, horizon: 2 };
        let one = score(known, &predicted, 1, 0.5);
        assert_eq!((one.count, one.mse, one.mae, one.mase), (3, (1.0 + 0.0 + 0.25) / 3.0, 0.5, 1.0));
        assert_eq!(one.direction, Some(1.0)); // up and down; the row without a change does not count
        let two = score(known, &predicted, 2, 0.5);
        assert_eq!((two.count, two.mse), (2, 1.0));
        // what is missing is not scored
        let holes = [1.0, 2.0, f64::NAN, 4.0, 3.0];
        let some = score(Known { actuals: &holes, ..known }, &predicted, 1, 0.5);
        assert_eq!((some.count, some.mse, some.mae, some.direction), (2, 0.125, 0.25, Some(1.0)));
        // from the last known values 1, 2, 2, 2, 4 to the known ones
        assert!((mase_scale(&[1.0, 2.0, 2.0, 4.0, 3.0], &holes, &[]) - 4.0 / 3.0).abs() < 1e-12);
        assert_eq!(mase_scale(&[1.0, 2.0, 2.0, 4.0, 3.0], &holes, &[2]), 1.5);
        assert_eq!(mase_scale(&values, &values, &[]), 1.0);
        assert_eq!((mase_scale(&values, &values, &[2]), mase_scale(&values, &values, &[2, 1])), (2.0, 1.0));
        assert!(mase_scale(&[2.0; 9], &[2.0; 9], &[]).is_nan() && mase_scale(&values, &values, &[5]).is_nan());
        let last: Vec<f64> = origins.clone().map(|origin| values[origin]).collect();
        assert_eq!(score(Known { horizon: 1, ..known }, &last, 1, 0.5).direction, None);
    }
}
