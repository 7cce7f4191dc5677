//! What a network is trained on, chosen for a training part: the target transform whose simple forecast is closest to
//! the next row, on rows that it was not fitted to.

use super::autoregression::{self, mean_and_spread};
use super::season::seasons;
use crate::units::autoregression::Autoregression;
use crate::units::transform::{Fitted, TargetTransform};
use std::collections::BTreeSet;
use std::ops::Range;

/// Forecasts begin at half of the rows. All are fitted again this many times, at equal distances.
const FOLDS: usize = 10;
/// The fewest seasons of which an autoregression of changes over a season is fitted. Fewer tell nothing about how these
/// changes go on.
const SEASONS: usize = 6;
/// The fewest rows of which a choice is made.
const FEWEST: usize = 8;
/// The most rows that are looked at, those at the end; of many series each has its part of them, but this many at least.
const LOOKED_AT: usize = 12_000;
const OF_EACH: usize = 200;

/// A target transform before it is fitted. If the network learns nothing, what is left is a simple forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The value; left is the mean.
    Value,
    /// The change; left is the last value.
    Change,
    /// The relative change; left is the last value.
    RelativeChange,
    /// The change over a season; left is the value one season ago.
    SeasonalChange(usize),
    /// The residual of an autoregression with up to `lags` lags of the changes over `difference` rows, or of the values
    /// if that is 0.
    Residual { difference: usize, lags: usize },
}

/// A simple forecast of the next row.
enum Forecast {
    Mean(f64),
    /// The value this number of rows before.
    Before(usize),
    Linear(Autoregression),
}

impl Forecast {
    /// The forecast of row t from the rows before it. Before the first row, values count as equal to it.
    fn of(&self, values: &[f64], t: usize) -> f64 {
        let before = |lag: usize| values[t.saturating_sub(lag)];
        match self {
            Self::Mean(mean) => *mean,
            Self::Before(rows) => before(*rows),
            Self::Linear(autoregression) => autoregression.expected(before),
        }
    }
}

/// The targets of several series, column by column: `[D][series][T]`.
#[derive(Debug)]
pub(crate) struct Parts(Vec<Vec<Part>>);

/// A column of one series.
#[derive(Debug)]
struct Part {
    /// The values, with the last one before it in place of each that is missing.
    values: Vec<f64>,
    /// The same with NaN where a value is missing.
    actuals: Vec<f64>,
}

impl Part {
    fn new(actuals: Vec<f64>) -> Self {
        Self { values: autoregression::carried(&actuals).into_owned(), actuals }
    }

    /// The rows among `rows` whose value is not missing. Where none is known, every row counts.
    fn known(&self, rows: Range<usize>) -> impl Iterator<Item = usize> {
        rows.filter(|&t| !self.actuals[t].is_nan() || self.values[t].is_nan())
    }
}

impl Parts {
    /// Of the targets `[T,D]` of each series, where D is `width`. NaN is a missing value.
    pub(crate) fn new(targets: &[&[f64]], width: usize) -> Self {
        let column =
            |d: usize, values: &[f64]| Part::new(values.iter().skip(d).step_by(width.max(1)).copied().collect());
        Self((0..width).map(|d| targets.iter().map(|values| column(d, values)).collect()).collect())
    }

    /// The longest series, in rows.
    fn longest(&self) -> usize {
        self.0.iter().flatten().map(|part| part.values.len()).max().unwrap_or(0)
    }

    /// The rows of all series.
    fn rows(&self) -> usize {
        self.0.first().map_or(0, |series| series.iter().map(|part| part.values.len()).sum())
    }

    /// The rows of each series at its end that are looked at.
    fn looked_at(&self) -> Self {
        let most = (LOOKED_AT / self.0.first().map_or(1, Vec::len).max(1)).max(OF_EACH);
        let end = |part: &Part| {
            let first = part.values.len().saturating_sub(most);
            Part { values: part.values[first..].to_vec(), actuals: part.actuals[first..].to_vec() }
        };
        Self(self.0.iter().map(|series| series.iter().map(end).collect()).collect())
    }
}

impl Choice {
    /// The best choice for `training`, among those that look back at most `most` rows. Autoregressions have up to `lags`
    /// lags. Squared errors of a column of a series are divided by those of the last value, so that each counts alike.
    pub(crate) fn best(training: &Parts, lags: usize, most: usize) -> Self {
        if training.longest() < FEWEST {
            return Self::Value;
        }
        let training = training.looked_at();
        let seasons = seasons_of(&training);
        let seasonal = seasons.iter().copied().map(Self::SeasonalChange);
        let all =
            [Self::Change, Self::Value].into_iter().chain(seasonal).chain(residuals(&training, &seasons, lags, most));
        let best = Self::closest(all, &training, most);
        match best {
            Some(Self::Change) if is_relative(&training) => Self::RelativeChange,
            best => best.unwrap_or(Self::Value),
        }
    }

    /// The best of the residuals.
    pub(crate) fn best_residual(training: &Parts, lags: usize, most: usize) -> Self {
        let training = training.looked_at();
        let seasons = seasons_of(&training);
        Self::closest(residuals(&training, &seasons, lags, most), &training, most)
            .unwrap_or(Self::Residual { difference: 0, lags: 1 })
    }

    fn closest(all: impl Iterator<Item = Self>, training: &Parts, most: usize) -> Option<Self> {
        let scored = all.filter(|one| one.longest(training.rows()) <= most).map(|one| (one.score(training), one));
        let best = scored.filter(|(score, _)| score.is_finite()).min_by(|(a, _), (b, _)| a.total_cmp(b));
        best.map(|(_, one)| one)
    }

    /// The most rows that it looks back, fitted to this number of rows.
    fn longest(self, rows: usize) -> usize {
        match self {
            Self::Value => 0,
            Self::Change | Self::RelativeChange => 1,
            Self::SeasonalChange(season) => season,
            Self::Residual { difference, lags } => difference + lags.min(autoregression::most_lags(rows)).max(1),
        }
    }

    /// The sum of its squared errors.
    fn score(self, training: &Parts) -> f64 {
        let of_column = |series: &Vec<Part>| -> f64 {
            let squares = |part: &Part, rows: Range<usize>, forecast: &Forecast| -> f64 {
                part.known(rows).map(|t| (part.values[t] - forecast.of(&part.values, t)).powi(2)).sum()
            };
            let of_last_value =
                |part: &Part| squares(part, cut(&part.values, 0)..part.values.len(), &Forecast::Before(1));
            let mut weights: Vec<f64> = series.iter().map(|part| 1.0 / of_last_value(part)).collect();
            // where the last value is always right, there is nothing to choose
            weights.iter_mut().filter(|weight| !weight.is_finite()).for_each(|weight| *weight = 0.0);
            let mut sum = 0.0;
            for fold in 0..FOLDS {
                let known: Vec<&[f64]> = series.iter().map(|part| &part.actuals[..cut(&part.values, fold)]).collect();
                let forecast = self.forecast(&known);
                for (part, weight) in series.iter().zip(&weights) {
                    let rows = cut(&part.values, fold)..cut(&part.values, fold + 1);
                    sum += weight * squares(part, rows, &forecast);
                }
            }
            sum
        };
        training.0.iter().map(of_column).sum()
    }

    /// Its forecast, fitted to the rows `known` of each series, in which NaN is missing.
    fn forecast(self, known: &[&[f64]]) -> Forecast {
        match self {
            Self::Value => {
                let values = known.iter().flat_map(|values| values.iter().copied());
                Forecast::Mean(mean_and_spread(values.filter(|value| !value.is_nan())).0)
            }
            Self::Change | Self::RelativeChange => Forecast::Before(1),
            Self::SeasonalChange(season) => Forecast::Before(season),
            Self::Residual { difference, lags } => Forecast::Linear(linear(known, difference, lags)),
        }
    }

    /// The target transform, with its autoregressions fitted to `training`.
    pub(crate) fn fit(self, training: &Parts) -> Fitted {
        match self {
            Self::Value => TargetTransform::Value.into(),
            Self::Change => TargetTransform::Change.into(),
            Self::RelativeChange => TargetTransform::RelativeChange.into(),
            Self::SeasonalChange(season) => TargetTransform::SeasonalChange { season }.into(),
            Self::Residual { difference, lags } => {
                let of_column = |series: &Vec<Part>| {
                    linear(&series.iter().map(|part| &part.actuals[..]).collect::<Vec<_>>(), difference, lags)
                };
                Fitted::residual(training.0.iter().map(of_column).collect::<Vec<_>>(), difference)
            }
        }
    }
}

/// The autoregression of a column. Where there is none, because the column is constant, for example, or too short, no
/// change is expected: not from the row before, nor over a season.
fn linear(series: &[&[f64]], difference: usize, lags: usize) -> Autoregression {
    autoregression::fit(series, difference, lags).unwrap_or_else(|| Autoregression::unchanged(difference.max(1)))
}

/// The first row that is forecast after the fit of this number.
fn cut(values: &[f64], fold: usize) -> usize {
    values.len() * (FOLDS + fold) / (2 * FOLDS)
}

/// The seasons of all columns of the longest series, shortest first.
fn seasons_of(training: &Parts) -> BTreeSet<usize> {
    let longest =
        |series: &Vec<Part>| series.iter().max_by_key(|part| part.values.len()).map(|part| seasons(&part.values));
    training.0.iter().filter_map(longest).flatten().collect()
}

/// The residuals of autoregressions of the values, of the changes, and of the changes over each season of which there are
/// enough. They have as many lags as may be, and look back at most `most` rows.
fn residuals(
    training: &Parts,
    seasons: &BTreeSet<usize>,
    lags: usize,
    most: usize,
) -> impl Iterator<Item = Choice> + use<> {
    let rows = training.longest();
    let enough = seasons.iter().copied().filter(move |season| season * SEASONS <= rows).collect::<Vec<_>>();
    [0, 1].into_iter().chain(enough).filter_map(move |difference| {
        let lags = lags.min(most.saturating_sub(difference));
        (lags > 0).then_some(Choice::Residual { difference, lags })
    })
}

/// Whether relative changes are more alike than changes. Both are taken for normal, and that with the greater likelihood
/// of the changes is chosen. Never if a value is not above 0.
fn is_relative(training: &Parts) -> bool {
    let gain = |series: &Vec<Part>| {
        let pairs = |part: &'_ Part| {
            part.known(1..part.values.len()).map(|t| (part.values[t - 1], part.values[t])).collect::<Vec<_>>()
        };
        let all: Vec<(f64, f64)> = series.iter().flat_map(pairs).collect();
        let changes = all.iter().copied();
        let count = changes.clone().count() as f64;
        let (_, of_changes) = mean_and_spread(changes.clone().map(|(before, now)| now - before));
        let (_, of_parts) = mean_and_spread(changes.clone().map(|(before, now)| (now - before) / before));
        count * (of_changes.ln() - of_parts.ln()) - changes.map(|(before, _)| before.ln()).sum::<f64>()
    };
    let mut values = training.0.iter().flatten().flat_map(|part| &part.values);
    values.all(|value| *value > 0.0) && training.0.iter().map(gain).sum::<f64>() > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Random};

    fn noise(seed: u64, rows: usize) -> Vec<f64> {
        let mut random = Random::new(seed, Purpose::Order, 0);
        // the sum of twelve uniform numbers is close to a normal one
        (0..rows).map(|_| (0..12).map(|_| f64::from(random.uniform())).sum::<f64>() - 6.0).collect()
    }

    fn choice(values: &[f64]) -> Choice {
        Choice::best(&Parts::new(&[values], 1), 20, 1000)
    }

    fn walk(noise: &[f64]) -> Vec<f64> {
        let mut level = 0.0;
        noise.iter().map(|e| (level += e, level).1).collect()
    }

    /// What made the series is what is chosen, in nearly all of twenty series of each kind.
    #[test]
    fn what_made_a_series_is_chosen() {
        type Kind = (&'static str, fn(&[f64]) -> Vec<f64>, fn(Choice) -> bool);
        let kinds: [Kind; 5] = [
            ("a random walk", |e| walk(e), |one| one == Choice::Change),
            (
                "a price",
                |e| walk(e).iter().map(|level| 50.0 * (0.02 * level).exp()).collect(),
                |one| one == Choice::RelativeChange,
            ),
            (
                "noise around a mean",
                |e| e.iter().map(|e| 20.0 + e).collect(),
                |one| matches!(one, Choice::Value | Choice::Residual { difference: 0, .. }),
            ),
            (
                "an autoregression",
                |e| {
                    let mut v = vec![0.0; 2];
                    e.iter().for_each(|e| v.push(1.5 * v[v.len() - 1] - 0.8 * v[v.len() - 2] + e));
                    v
                },
                |one| matches!(one, Choice::Residual { difference: 0, .. }),
            ),
            (
                "a season that changes",
                |e| {
                    let mut v: Vec<f64> = (0..12).map(|t| 9.0 * f64::from(t * 7 % 12)).collect();
                    e.iter().for_each(|e| v.push(v[v.len() - 12] + e));
                    v
                },
                |one| matches!(one, Choice::SeasonalChange(12) | Choice::Residual { difference: 12, .. }),
            ),
        ];
        for (name, made, right) in kinds {
            let found: Vec<Choice> = (0..20).map(|seed| choice(&made(&noise(seed, 300)))).collect();
            assert!(found.iter().filter(|one| right(**one)).count() >= 14, "{name}: {found:?}");
        }
    }

    /// A constant that is added changes nothing, and neither does a factor.
    #[test]
    fn units_do_not_matter() {
        for seed in 0..5 {
            let v: Vec<f64> = walk(&noise(seed, 200)).iter().zip(noise(9, 200)).map(|(v, e)| v + 2.0 * e).collect();
            let chosen = choice(&v);
            for (factor, constant) in [(1.0, 1e9), (1e-6, 0.0), (1e6, -1e12)] {
                let moved: Vec<f64> = v.iter().map(|v| factor * v + constant).collect();
                assert_eq!(choice(&moved), chosen, "{seed} {factor} {constant}");
            }
        }
    }

    /// A value that is missing is no error of any forecast: where nine in ten are, the choice is that of the others.
    #[test]
    fn missing_values_do_not_count() {
        let mut v = vec![0.0; 2];
        noise(7, 400).iter().for_each(|e| v.push(1.5 * v[v.len() - 1] - 0.8 * v[v.len() - 2] + e));
        let some: Vec<f64> = v.iter().enumerate().map(|(t, v)| if t % 40 == 39 { f64::NAN } else { *v }).collect();
        assert!(matches!(choice(&some), Choice::Residual { difference: 0, .. }), "{:?}", choice(&some));
        let noise = noise(3, 600);
        let most: Vec<f64> = noise.iter().enumerate().map(|(t, v)| if t % 10 == 0 { *v } else { f64::NAN }).collect();
        // the last value is right at every row that is missing, and yet it is not chosen
        assert_ne!(choice(&most), Choice::Change);
        let part = Part::new(vec![f64::NAN, 1.0, f64::NAN, 3.0]);
        assert_eq!((&part.values[..], part.known(0..4).collect::<Vec<_>>()), (&[1.0, 1.0, 1.0, 3.0][..], vec![1, 3]));
    }

    #[test]
    fn odd_series() {
        assert_eq!(choice(&[1.0, 2.0, 3.0]), Choice::Value);
        assert_eq!(choice(&[5.0; 100]), Choice::Change);
        assert_eq!(choice(&[f64::NAN; 100]), Choice::Value);
        assert_eq!(Choice::best(&Parts::new(&[], 1), 20, 9), Choice::Value);
        // a column without an autoregression is expected to stay
        let fitted = Choice::Residual { difference: 1, lags: 9 }.fit(&Parts::new(&[&[3.0; 50]], 1));
        assert_eq!(fitted.before(0, |_| 3.0), 3.0);
        // nothing looks back farther than it may
        let season: Vec<f64> = (0..200).map(|t| f64::from(t % 20)).collect();
        let chosen = Choice::best(&Parts::new(&[&season], 1), 20, 5);
        assert!(chosen.longest(200) <= 5, "{chosen:?}");
        // fewer lags are taken where many do not fit
        let mut v = vec![0.0; 2];
        noise(4, 200).iter().for_each(|e| v.push(1.5 * v[v.len() - 1] - 0.8 * v[v.len() - 2] + e));
        assert_eq!(Choice::best(&Parts::new(&[&v], 1), 20, 5), Choice::Residual { difference: 0, lags: 5 });
        // a constant column beside it, or one that begins late, does not stand in the way
        for late in [f64::INFINITY, 120.0] {
            let other = |(t, v): (usize, &f64)| if t as f64 > late { *v } else { 5.0 };
            let both: Vec<f64> = v.iter().enumerate().flat_map(|(t, now)| [*now, other((t, now))]).collect();
            let chosen = Choice::best(&Parts::new(&[&both], 2), 20, 100);
            assert!(matches!(chosen, Choice::Residual { .. }), "{chosen:?}");
        }
        // a season without any noise goes on as it was
        let exact: Vec<f64> = (0..300).map(|t| f64::from(t % 24).powi(2)).collect();
        let fitted = Choice::best_residual(&Parts::new(&[&exact], 1), 20, 100).fit(&Parts::new(&[&exact], 1));
        let next = fitted.before(0, |lag| exact[exact.len() - lag]);
        assert!((next - f64::from(300 % 24_i32).powi(2)).abs() < 1e-6, "{next}");
    }
}
