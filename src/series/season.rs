//! The seasons of a series: after how many rows it repeats itself.
//!
//! The series is folded at every length. At the right one, values at the same place of a season resemble one another
//! more than values at different places do, around a trend that is the moving average over one season. That holds for
//! a sine as well as for a single sharp peak, and a trend or a random walk does not look like a season, since it is
//! subtracted.

use statrs::distribution::{ContinuousCDF, FisherSnedecor};

/// The longest season that is looked for, in rows, and the most rows that are used for it: they bound the work, which is
/// their product.
const LONGEST: usize = 3000;
const LOOKED_AT: usize = 12_000;
/// The most seasons of one series.
const MOST: usize = 3;
/// The smallest part of the variance around the trend that a season explains. A weaker one helps no forecast.
const SHARE: f64 = 0.1;
/// The probability that a series without a season has one by chance.
const BY_CHANCE: f64 = 0.0005;
/// The part of the independent places that counts. Their number is an estimate, and one that is too high would find
/// seasons in random walks.
const SURE: f64 = 0.75;
/// The most lengths whose significance is computed, those with the largest share first.
const TESTED: usize = 50;
/// When a shorter season is preferred: if it explains nearly as large a part, or leaves nearly as small an error around
/// its own trend. Hourly values with a daily season also repeat every 168 rows; 24 must be found first.
const AS_LARGE: f64 = 0.8;
const AS_SMALL: f64 = 1.1;
/// The fewest rows in a cycle, and the fewest cycles in a series.
const SHORTEST_CYCLE: usize = 4;
const CYCLES: usize = 4;
/// How similar values one cycle apart must be, by their correlation, and by how much more than half a cycle apart.
const SIMILAR: f64 = 0.5;
const RISE: f64 = 0.8;
/// The smallest variance of a further season, as a part of that of the first one.
const FURTHER: f64 = 0.03;

/// The numbers of rows in the seasons of `values [T]`, shortest first: at most three, such as 24 and 168 for hourly
/// values with days and weeks. A season has at most a third of the rows and at most 3,000; only the last 12,000 rows
/// are used. Empty if there is no season, or a value that is not finite.
pub fn seasons(values: &[f64]) -> Vec<usize> {
    let values = &values[values.len().saturating_sub(LOOKED_AT)..];
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let mut rest = without_line(values);
    let squares = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
    let total = squares(&rest);
    // what rounding alone leaves of a constant or a straight line is not looked at
    let rounding = values.len() as f64 * (16.0 * largest * f64::EPSILON).powi(2);
    let (mut found, mut least) = (Vec::new(), 0.0);
    while found.len() < MOST && total.is_finite() && squares(&rest) > rounding.max(1e-10 * total) {
        let Some(season) = Folded::season(&rest, &found) else { break };
        let variance = squares(&season.pattern) / season.rows as f64;
        if variance < least {
            break;
        }
        least = least.max(FURTHER * variance);
        rest.iter_mut().zip(season.pattern.iter().cycle()).for_each(|(value, part)| *value -= part);
        found.push(season.rows);
    }
    if found.is_empty() && squares(&rest) > rounding && total.is_finite() {
        found.extend(cycle(&rest));
    }
    found.sort_unstable();
    found
}

/// The length of a cycle that wanders, as that of the sunspots does: after some cycles it is out of step with any fixed
/// length, so that a fold does not show it, but the autocorrelation of `values`, whose mean is 0, rises one, two and
/// three cycles later, and falls in between. None that fits less than four times counts, because a random walk has a few
/// such waves by chance.
fn cycle(values: &[f64]) -> Option<usize> {
    let longest = (values.len() / CYCLES).min(LONGEST);
    let total: f64 = values.iter().map(|value| value * value).sum();
    let similar: Vec<f64> = (0..=longest * 7 / 2).map(|lag| correlation(values, total, lag)).collect();
    let near = |lag: usize| similar.get(lag - lag / 8..=lag + lag / 8).unwrap_or_default();
    let highest = |lag: usize| near(lag).iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let lowest = |lag: usize| near(lag).iter().copied().fold(f64::INFINITY, f64::min);
    let is_cycle = |&lag: &usize| {
        let here = similar[lag];
        here >= SIMILAR
            && here >= highest(lag)
            && highest(2 * lag) >= 0.5 * here
            && highest(3 * lag) >= 0.25 * here
            && here - lowest(lag / 2) >= RISE
            && here - lowest(lag + lag / 2) >= RISE
    };
    let cycles = (SHORTEST_CYCLE..=longest).filter(is_cycle);
    cycles.max_by(|&a, &b| similar[a].total_cmp(&similar[b]))
}

/// The season of `seasons` whose seasonal naive forecast has the smallest squared error over all of `values [T]`.
pub fn best(values: &[f64], seasons: &[usize]) -> Option<usize> {
    let error = |&season: &usize| {
        let later = values.get(season..).unwrap_or_default();
        later.iter().zip(values).map(|(later, value)| (later - value).powi(2)).sum::<f64>() / later.len() as f64
    };
    seasons.iter().copied().min_by(|a, b| error(a).total_cmp(&error(b)))
}

/// A series folded at a length: an analysis of variance with a place in the season and a trend.
struct Folded {
    /// The length: the number of rows in a season.
    rows: usize,
    /// The values around the trend and their mean.
    around: Vec<f64>,
    /// The mean of `around` at each place of the season, `[rows]`.
    pattern: Vec<f64>,
    /// The variance between places over that within places.
    ratio: f64,
    /// The variance within places.
    within: f64,
}

impl Folded {
    /// Folds values at `rows`, at least 2 and at most a third of the values. `sums` are those of the first 0, 1, ..
    /// values.
    fn at(rows: usize, values: &[f64], sums: &[f64]) -> Self {
        let mut around = around_trend(rows, values, sums);
        let count = around.len() as f64;
        let mean = around.iter().sum::<f64>() / count;
        let mut pattern = vec![0.0; rows];
        let (mut total, mut times) = (0.0, vec![0.0; rows]);
        for season in around.chunks_mut(rows) {
            for ((value, sum), times) in season.iter_mut().zip(&mut pattern).zip(&mut times) {
                *value -= mean;
                *sum += *value;
                *times += 1.0;
                total += *value * *value;
            }
        }
        pattern.iter_mut().zip(&times).for_each(|(sum, times)| *sum /= times);
        let explained: f64 = pattern.iter().zip(&times).map(|(part, times)| part * part * times).sum();
        let places = rows as f64 - 1.0;
        // a season that explains all leaves nothing but rounding
        let within = (total - explained).max(1e-12 * total) / (count - count / rows as f64 - places);
        let ratio = if within > 0.0 { explained / places / within } else { 0.0 };
        Self { rows, around, pattern, ratio, within }
    }

    /// The clearest season of `values`, or a shorter one that is as good. None that is nearly as long as one of `found`
    /// counts: a cycle of varying length would be found again and again.
    fn season(values: &[f64], found: &[usize]) -> Option<Self> {
        let longest = (values.len() / 3).min(LONGEST);
        let mut sums = vec![0.0];
        let mut sum = 0.0;
        sums.extend(values.iter().map(|value| {
            sum += value;
            sum
        }));
        let folded = |rows| Self::at(rows, values, &sums);
        // the longest is compared with one that is longer still
        let past = (longest + 1).min(values.len() / 2);
        let shares: Vec<f64> = (2..=past).map(|rows| folded(rows).share()).collect();
        let share = |rows: usize| rows.checked_sub(2).and_then(|at| shares.get(at)).copied().unwrap_or(-1.0);
        let new = |&rows: &usize| found.iter().all(|&found| 4 * rows > 5 * found || 5 * rows < 4 * found);
        let peaks: Vec<usize> = (2..=longest)
            .filter(|&rows| share(rows) > SHARE && share(rows) >= share(rows - 1) && share(rows) >= share(rows + 1))
            .filter(new)
            .collect();
        let mut strongest = peaks.clone();
        strongest.sort_by(|&a, &b| share(b).total_cmp(&share(a)));
        strongest.truncate(TESTED);
        let is_real = |season: &Self| season.is_real(longest);
        let clearest = strongest.iter().map(|&rows| folded(rows)).find(is_real)?;
        let as_good = |shorter: &Self| {
            shorter.share() >= AS_LARGE * clearest.share() || shorter.within <= AS_SMALL * clearest.within
        };
        let mut shorter = peaks.iter().filter(|&&rows| 2 * rows <= clearest.rows).map(|&rows| folded(rows));
        Some(shorter.find(|shorter| as_good(shorter) && is_real(shorter)).unwrap_or(clearest))
    }

    /// The number of seasons.
    fn count(&self) -> f64 {
        self.around.len() as f64 / self.rows as f64
    }

    /// The part of the variance around the trend that the season explains: the intraclass correlation, that of two
    /// values at the same place of the season.
    fn share(&self) -> f64 {
        (self.ratio - 1.0) / (self.ratio - 1.0 + self.count())
    }

    /// Whether it is a season and not chance, among `tried` lengths: an F test.
    fn is_real(&self, tried: usize) -> bool {
        let places = (SURE * self.independent_places()).max(1.0);
        let chance = FisherSnedecor::new(places, places * (self.count() - 1.0)).map(|f| f.sf(self.ratio));
        chance.is_ok_and(|chance| chance < BY_CHANCE / tried as f64)
    }

    /// How many places of the season are independent. Neighbouring values of many series are alike, and then a random
    /// walk resembles itself by chance. They are counted from the values and from their errors, and the
    /// larger number is taken, because a smooth season or a smooth error makes one of the two too small.
    fn independent_places(&self) -> f64 {
        let errors: Vec<f64> =
            self.around.iter().zip(self.pattern.iter().cycle()).map(|(value, part)| value - part).collect();
        let places =
            |values: &[f64]| (self.rows as f64 - 1.0) / (1.0 + 2.0 * squared_correlations(values, self.rows / 2));
        places(&self.around).max(places(&errors))
    }
}

/// `values` minus their trend. That is the centred moving average over `rows` values, or over one more with half weights
/// at both ends if `rows` is even, and at the ends of the series a straight line with the mean slope of that average.
fn around_trend(rows: usize, values: &[f64], sums: &[f64]) -> Vec<f64> {
    let (half, other) = (rows / 2, (rows - 1) / 2);
    let from = |start: usize| sums[start + rows] - sums[start];
    let average: Vec<f64> =
        (half..values.len() - half).map(|row| (from(row - half) + from(row - other)) / (2 * rows) as f64).collect();
    let (Some(first), Some(last)) = (average.first(), average.last()) else { return values.to_vec() };
    let slope = (last - first) / (average.len().max(2) - 1) as f64;
    let before = (1..=half).rev().map(|ahead| first - slope * ahead as f64);
    let after = (1..=half).map(|behind| last + slope * behind as f64);
    let trend = before.chain(average.iter().copied()).chain(after);
    values.iter().zip(trend).map(|(value, trend)| value - trend).collect()
}

/// The autocorrelation of `values`, whose mean is 0 and whose squares have the sum `total`.
fn correlation(values: &[f64], total: f64, lag: usize) -> f64 {
    let product: f64 = values.iter().zip(&values[lag..]).map(|(a, b)| a * b).sum();
    // the sum of a lag has fewer terms than the total
    product / total * values.len() as f64 / (values.len() - lag) as f64
}

/// The sum of the squared autocorrelations of `values`, whose mean is 0, at lags 1 to `longest`. Longer lags are left
/// out more and more, and what is between two is taken as their mean.
fn squared_correlations(values: &[f64], longest: usize) -> f64 {
    let total: f64 = values.iter().map(|value| value * value).sum();
    let lags = std::iter::successors(Some(1), |&lag: &usize| Some((lag + 1).max(lag * 5 / 4)));
    let (mut sum, mut last, mut before) = (0.0, 0, 1.0);
    for lag in lags.take_while(|&lag| lag <= longest && lag < values.len()) {
        let square = correlation(values, total, lag).powi(2);
        sum += (lag - last) as f64 * if lag - last == 1 { square } else { (square + before) / 2.0 };
        (last, before) = (lag, square);
    }
    if sum.is_finite() { sum } else { 0.0 }
}

/// `values` minus the straight line that fits them best.
fn without_line(values: &[f64]) -> Vec<f64> {
    let count = values.len().max(1) as f64;
    // around the first value, so that a large constant in all of them costs no digits
    let first = values.first().copied().unwrap_or_default();
    let values: Vec<f64> = values.iter().map(|value| value - first).collect();
    let (middle, mean) = ((count - 1.0) / 2.0, values.iter().sum::<f64>() / count);
    let (mut with_time, mut time) = (0.0, 0.0);
    for (t, &value) in values.iter().enumerate() {
        let t = t as f64 - middle;
        with_time += t * (value - mean);
        time += t * t;
    }
    let slope = if time > 0.0 { with_time / time } else { 0.0 };
    values.iter().enumerate().map(|(t, value)| value - mean - slope * (t as f64 - middle)).collect()
}
