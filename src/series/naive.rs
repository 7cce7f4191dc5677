//! Simple forecasts, for a model to be compared with: persistence (the last value), seasonal naive (the value one
//! season ago), the mean, drift (a straight line), and a linear autoregression. Each looks at one column.

use super::autoregression::{self, mean_and_spread};
use super::season;
use crate::units::autoregression::Autoregression;

pub use super::season::seasons;

/// A forecast that is fitted to the training part alone.
#[derive(Debug, Clone, PartialEq)]
pub enum Naive {
    /// Persistence: the last value.
    Persistence,
    /// Seasonal naive: the value one season ago. It holds the number of rows in a season, at least 1.
    Seasonal(usize),
    /// This value, the mean of the training part.
    Mean(f64),
    /// The last value, plus this growth for each row ahead: the mean growth from row to row in the training part.
    Drift(f64),
    /// A linear autoregression, fed back for further rows.
    Autoregression(Autoregression),
}

impl Naive {
    /// The mean of `training [T]`, in its own units, without values that are NaN. On white noise no forecast is better.
    pub fn mean(training: &[f64]) -> Self {
        Self::Mean(mean_and_spread(training.iter().copied().filter(|value| !value.is_nan())).0)
    }

    /// A drift with the mean growth from row to row of `training [T]`, in its own units.
    pub fn drift(training: &[f64]) -> Self {
        let (first, last) = (training.first().copied().unwrap_or(0.0), training.last().copied().unwrap_or(0.0));
        Self::Drift((last - first) / training.len().saturating_sub(1).max(1) as f64)
    }

    /// An autoregression with up to `most` lags, fitted by [`autoregression::fit`]. NaN is a missing value.
    pub fn autoregression(training: &[f64], most: usize) -> Option<Self> {
        autoregression::fit(&[training], 0, most).map(Self::Autoregression)
    }

    /// Writes the forecasts of the next N values after `history [T]` into `out [N]`, in its units; NaN if there is no
    /// history. Values before the start of the history count as equal to its first value.
    pub fn forecast(&self, history: &[f64], out: &mut [f64]) {
        let back = |rows: usize| history.len().checked_sub(rows).and_then(|at| history.get(at)).or(history.first());
        let value = |rows: usize| back(rows).map_or(f64::NAN, |&v| v);
        match self {
            Self::Persistence => out.fill(value(1)),
            Self::Mean(mean) => out.fill(*mean),
            Self::Seasonal(season) => {
                let season = (*season).max(1);
                for (ahead, out) in out.iter_mut().enumerate() {
                    *out = value(season - ahead % season);
                }
            }
            Self::Drift(growth) => {
                for (ahead, out) in out.iter_mut().enumerate() {
                    *out = value(1) + growth * (ahead + 1) as f64;
                }
            }
            Self::Autoregression(autoregression) => {
                for ahead in 0..out.len() {
                    let before = |lag: usize| if lag <= ahead { out[ahead - lag] } else { value(lag - ahead) };
                    out[ahead] = autoregression.expected(before);
                }
            }
        }
    }
}

/// The number of rows in the season of a series, if it has one. Of several [`seasons`] it is the one whose seasonal
/// naive forecast errs least.
pub fn season(values: &[f64]) -> Option<usize> {
    season::best(values, &seasons(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahead(naive: &Naive, history: &[f64], rows: usize) -> Vec<f64> {
        let mut out = vec![0.0; rows];
        naive.forecast(history, &mut out);
        out
    }

    #[test]
    fn what_each_says() {
        let history = [1.0, 2.0, 4.0, 3.0, 5.0];
        assert_eq!(ahead(&Naive::Persistence, &history, 2), [5.0, 5.0]);
        assert_eq!(ahead(&Naive::Seasonal(2), &history, 3), [3.0, 5.0, 3.0]);
        assert_eq!(ahead(&Naive::Seasonal(9), &history, 2), [1.0, 1.0]);
        assert_eq!(ahead(&Naive::Seasonal(0), &history, 2), ahead(&Naive::Seasonal(1), &history, 2));
        assert_eq!(ahead(&Naive::Seasonal(usize::MAX), &history, 2), [1.0, 1.0]);
        assert_eq!(ahead(&Naive::mean(&history), &history, 2), [3.0, 3.0]);
        assert_eq!(ahead(&Naive::mean(&[]), &history, 1), [0.0]);
        assert_eq!(ahead(&Naive::drift(&history), &history, 2), [6.0, 7.0]);
        let two = Naive::Autoregression(Autoregression::new(0.0, 1.0, &[(1, 0.5), (2, 0.25)]).unwrap());
        assert_eq!(ahead(&two, &history, 3), [4.25, 4.375, 4.25]);
    }

    #[test]
    fn an_autoregression_finds_what_made_the_series() {
        let mut random = crate::random::Random::new(1, crate::random::Purpose::Order, 0);
        let mut v = vec![100.0_f64, 101.0];
        for t in 2..4000 {
            let noise = f64::from(random.uniform()) - 0.5;
            v.push(20.0 + 1.2 * v[t - 1] - 0.4 * v[t - 2] + noise);
        }
        let fitted = autoregression::fit(&[&v], 0, 20).unwrap();
        let terms: Vec<(usize, f64)> = fitted.terms().collect();
        assert!((terms[0].1 - 1.2).abs() < 0.05 && (terms[1].1 + 0.4).abs() < 0.05, "{terms:?}");
        let mean = fitted.expected(|_| 0.0) / (1.0 - terms.iter().map(|(_, coefficient)| coefficient).sum::<f64>());
        assert!((mean - 100.0).abs() < 0.5, "{mean}");
        // two lags predict a sine without an error, so a third one has no unique coefficient
        let sine: Vec<f64> = (0..300).map(|t| (t as f64 * 0.3).sin()).collect();
        let predicted = ahead(&Naive::autoregression(&sine, 20).unwrap(), &sine, 20);
        for (ahead, predicted) in predicted.iter().enumerate() {
            assert!((predicted - ((300 + ahead) as f64 * 0.3).sin()).abs() < 1e-2, "{ahead}: {predicted}");
        }
        for few in [&[][..], &[1.0], &[1.0; 8]] {
            let found = Naive::autoregression(few, 5);
            assert!(found.is_none() || ahead(&found.unwrap(), few, 1)[0].is_finite());
        }
        assert!(Naive::autoregression(&[7.0; 100], 5).is_none()); // a constant series
    }
}
