//! Stronger forecasts for a model to be compared with: exponential smoothing, and a decomposition into several seasons
//! (MSTL). Each looks at one column, is fitted to the training part alone, and takes in later rows one by one.
//!
//! ```
//! use rnnstep::series::opponents::Opponent;
//!
//! let season = [0.0, 2.0, 5.0, 1.0];
//! let values: Vec<f64> = (0..80).map(|t| 0.1 * f64::from(t) + season[t as usize % 4]).collect();
//! let mut fitted = Opponent::ExponentialSmoothing.fit(&values[..60], &[4]).unwrap();
//! values[60..].iter().for_each(|&value| fitted.observe(value));
//! let mut next = [0.0; 2];
//! fitted.forecast(&mut next);
//! assert!((next[0] - 8.0).abs() < 0.1 && (next[1] - 10.1).abs() < 0.1);
//! ```

mod minimum;
mod smoothing;

use super::autoregression::mean_and_spread;
use smoothing::Smoothing;
use std::fmt;
use stlrs::MstlParams;

/// The most rows that are fitted, the last ones, and the longest season of exponential smoothing, which estimates a
/// number for each row of it: they bound the work.
const LOOKED_AT: usize = 12_000;
const LONGEST: usize = 400;
/// How many times gaps are filled again for a decomposition.
const FILLED_AGAIN: usize = 3;

/// A forecast that is fitted to a training part and known to be strong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Opponent {
    /// Exponential smoothing: level, trend and season are means that weigh newer rows more. The weights, whether there
    /// is a trend, whether it is damped, and the season are those with the smallest AICc (Hyndman and Khandakar 2008,
    /// "Automatic time series forecasting: the forecast package for R"). Errors, trends and seasons are additive.
    ExponentialSmoothing,
    /// A decomposition into one or more seasons, a trend and a remainder by locally weighted regressions, LOESS (MSTL:
    /// Bandara, Hyndman and Bergmeir 2021, "MSTL: a seasonal-trend decomposition algorithm for time series with
    /// multiple seasonal patterns"). Each seasonal part goes on as its last season, and trend and remainder together
    /// are forecast by exponential smoothing without a season.
    Mstl,
}

/// Why an opponent cannot be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotFitted {
    /// There are too few training rows; it holds their number.
    TooFewRows(usize),
    /// The opponent needs a season, and the series has none.
    NoSeason,
    /// The training part has fewer rows than two seasons.
    SeasonTooLong {
        /// The number of rows in the shortest season.
        season: usize,
        /// The number of training rows.
        rows: usize,
    },
    /// A value is infinite, or all of them are too large.
    NotFinite,
}

/// An opponent that was fitted, with the state after the last row that it knows. `Display` has the form that was chosen,
/// such as `ETS(A,Ad,A), season 12`: the kinds of error, trend and season (A additive, Ad damped, N none).
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    opponent: Opponent,
    center: f64,
    spread: f64,
    smoothing: Smoothing,
    /// The last season of each seasonal part, in units of the spread.
    seasonal: Vec<Vec<f64>>,
    /// The number of rows since the training part.
    row: usize,
}

impl Opponent {
    /// All opponents.
    pub const ALL: [Self; 2] = [Self::ExponentialSmoothing, Self::Mstl];

    /// Fits the opponent to `training [T]`. `seasons` are the numbers of rows in the seasons, as
    /// [`naive::seasons`](super::naive::seasons) finds them: exponential smoothing has one of them or none, and MSTL
    /// has all that fit twice into the training part. NaN is a missing value.
    ///
    /// No more than the last 12,000 rows are used, and exponential smoothing has no season of more than 400 rows.
    ///
    /// # Errors
    /// If there are fewer than seven values, one is infinite, or MSTL has no season.
    pub fn fit(self, training: &[f64], seasons: &[usize]) -> Result<Fitted, NotFitted> {
        let training = &training[training.len().saturating_sub(LOOKED_AT)..];
        let known = || training.iter().copied().filter(|value| !value.is_nan());
        let (center, spread) = mean_and_spread(known());
        if !center.is_finite() || !spread.is_finite() {
            return Err(NotFitted::NotFinite);
        }
        let values: Vec<f64> = training.iter().map(|value| (value - center) / spread).collect();
        let rows = values.len();
        let fitting = seasons.iter().copied().filter(|&season| season >= 2 && season <= rows / 2);
        let too_few = NotFitted::TooFewRows(known().count());
        let (smoothing, seasonal) = match self {
            Self::ExponentialSmoothing => {
                let seasons: Vec<usize> = fitting.filter(|&season| season <= LONGEST).collect();
                (Smoothing::fit(&values, &seasons), Vec::new())
            }
            Self::Mstl => {
                let Some(shortest) = seasons.iter().copied().filter(|&season| season >= 2).min() else {
                    return Err(NotFitted::NoSeason);
                };
                let seasons: Vec<usize> = fitting.collect();
                if seasons.is_empty() {
                    return Err(NotFitted::SeasonTooLong { season: shortest, rows });
                }
                let parts = seasonal_parts(&values, &seasons).ok_or(too_few)?;
                let rest: Vec<f64> =
                    values.iter().enumerate().map(|(row, value)| value - season_at(&parts, row)).collect();
                let last = parts.iter().zip(seasons).map(|(part, season)| part[rows - season..].to_vec());
                (Smoothing::fit(&rest, &[]), last.collect())
            }
        };
        Ok(Fitted { opponent: self, center, spread, smoothing: smoothing.ok_or(too_few)?, seasonal, row: 0 })
    }
}

impl Fitted {
    /// Which opponent it is.
    pub fn opponent(&self) -> Opponent {
        self.opponent
    }

    /// Takes in the value of the next row, in its own units; NaN if it is missing. Weights and seasonal parts of a
    /// decomposition stay as they were fitted.
    pub fn observe(&mut self, value: f64) {
        self.smoothing.observe((value - self.center) / self.spread - self.season(0));
        self.row += 1;
    }

    /// Writes the forecasts of the next N values into `out [N]`, in their own units.
    pub fn forecast(&self, out: &mut [f64]) {
        self.smoothing.forecast(out);
        for (ahead, out) in out.iter_mut().enumerate() {
            *out = self.center + self.spread * (*out + self.season(ahead));
        }
    }

    /// The seasonal parts of a decomposition for the row that is `ahead` rows after the next one.
    fn season(&self, ahead: usize) -> f64 {
        season_at(&self.seasonal, self.row + ahead)
    }
}

/// The seasonal parts of `values [T]`, each `[T]`. Gaps are filled by a straight line first, and then by the seasons found
/// so and a straight line between the values without them.
fn seasonal_parts(values: &[f64], seasons: &[usize]) -> Option<Vec<Vec<f64>>> {
    let parts_of = |values: &[f64]| Some(MstlParams::new().fit(values, seasons).ok()?.into_parts().0);
    let mut parts = parts_of(&filled(values)?)?;
    let passes = if values.iter().any(|value| value.is_nan()) { FILLED_AGAIN } else { 0 };
    for _ in 0..passes {
        let rest =
            filled(&values.iter().enumerate().map(|(t, value)| value - season_at(&parts, t)).collect::<Vec<_>>())?;
        parts = parts_of(&rest.iter().enumerate().map(|(t, rest)| rest + season_at(&parts, t)).collect::<Vec<_>>())?;
    }
    Some(parts)
}

/// The sum of the seasonal parts at row `row`; each part goes on as it begins.
fn season_at(parts: &[Vec<f64>], row: usize) -> f64 {
    parts.iter().map(|part| part[row % part.len()]).sum()
}

/// `values` with a straight line over each gap. `None` if there are only gaps.
fn filled(values: &[f64]) -> Option<Vec<f64>> {
    let known: Vec<(usize, f64)> = values.iter().copied().enumerate().filter(|(_, value)| !value.is_nan()).collect();
    let (first, last) = (known.first()?, known.last()?);
    let mut filled = vec![first.1; first.0];
    for pair in known.windows(2) {
        let [(from, a), (to, b)] = pair else { continue };
        filled.extend((0..to - from).map(|row| a + (b - a) * row as f64 / (to - from) as f64));
    }
    filled.resize(values.len(), last.1);
    Some(filled)
}

/// The name of the method.
impl fmt::Display for Opponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ExponentialSmoothing => "exponential smoothing",
            Self::Mstl => "MSTL",
        })
    }
}

impl fmt::Display for Fitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.opponent {
            Opponent::ExponentialSmoothing => write!(f, "{}", self.smoothing),
            Opponent::Mstl => {
                let seasons: Vec<String> = self.seasonal.iter().map(|part| part.len().to_string()).collect();
                write!(f, "MSTL, seasons {}, with {}", seasons.join(", "), self.smoothing)
            }
        }
    }
}

impl fmt::Display for NotFitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewRows(rows) => write!(f, "{rows} training rows are too few for it"),
            Self::NoSeason => f.write_str("it needs a season, and none was found in the training rows"),
            Self::SeasonTooLong { season, rows } => {
                write!(f, "the {rows} training rows are fewer than two seasons of {season} rows")
            }
            Self::NotFinite => f.write_str("the training rows have a value that is infinite or too large"),
        }
    }
}

impl std::error::Error for NotFitted {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled() {
        let (gap, filled_in) = ([f64::NAN, 1.0, f64::NAN, f64::NAN, 4.0, f64::NAN], [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]);
        assert_eq!(filled(&gap).unwrap(), filled_in);
        assert_eq!(filled(&filled_in).unwrap(), filled_in);
        assert_eq!(filled(&[f64::NAN; 3]), None);
    }
}
