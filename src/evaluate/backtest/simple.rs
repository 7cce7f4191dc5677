//! The forecasts that a model is compared with: the naive ones, a linear autoregression, and the opponents that the
//! backtest was asked for.

use super::Forecaster;
#[cfg(feature = "opponents")]
use super::Protocol;
use super::compare::Known;
use crate::series::naive::Naive;
#[cfg(feature = "opponents")]
use crate::series::opponents::{Fitted, NotFitted, Opponent};

/// One of these forecasts, fitted to a training part.
#[derive(Clone)]
pub(super) enum Simple {
    /// A naive forecast, or the autoregression.
    Naive(Naive),
    /// An opponent, and the row after its training part.
    #[cfg(feature = "opponents")]
    Opponent(Box<Fitted>, usize),
}

impl Simple {
    /// The naive forecasts and the autoregression, fitted to a training part: its `values`, with the last known ones in
    /// place of those that are missing, and its `actuals`, with NaN.
    pub fn naives(values: &[f64], actuals: &[f64], seasons: &[usize], lags: usize) -> Vec<Self> {
        let mut all = vec![Naive::Persistence];
        all.extend(seasons.iter().copied().map(Naive::Seasonal));
        all.extend([Naive::mean(actuals), Naive::drift(values)]);
        all.extend(Naive::autoregression(actuals, lags));
        all.into_iter().map(Self::Naive).collect()
    }

    /// The opponents that the backtest was asked for, each once, fitted to `training`, with NaN where a value is missing,
    /// whose last row is the one before `end`; and those that cannot be fitted, with the reasons.
    #[cfg(feature = "opponents")]
    pub fn opponents(
        training: &[f64],
        end: usize,
        seasons: &[usize],
        protocol: &Protocol,
    ) -> (Vec<Self>, Vec<(Opponent, NotFitted)>) {
        let (mut all, mut not_fitted) = (Vec::new(), Vec::new());
        for opponent in Opponent::ALL.into_iter().filter(|opponent| protocol.opponents.contains(opponent)) {
            match opponent.fit(training, seasons) {
                Ok(fitted) => all.push(Self::Opponent(Box::new(fitted), end)),
                Err(reason) => not_fitted.push((opponent, reason)),
            }
        }
        (all, not_fitted)
    }

    /// Which forecaster it is.
    pub fn forecaster(&self) -> Forecaster {
        match self {
            Self::Naive(naive) => naive.into(),
            #[cfg(feature = "opponents")]
            Self::Opponent(fitted, _) => fitted.opponent().into(),
        }
    }

    /// Adds the forecasts from each of the known `origins`, which are in the order of the rows. Those of an origin use no
    /// row after it.
    pub fn forecast(&self, known: Known<'_>, forecasts: &mut Vec<f64>) {
        let mut out = vec![0.0; known.horizon];
        match self {
            Self::Naive(naive) => {
                for origin in known.origins.clone() {
                    naive.forecast(&known.values[..=origin], &mut out);
                    forecasts.extend_from_slice(&out);
                }
            }
            #[cfg(feature = "opponents")]
            Self::Opponent(fitted, end) => {
                let (mut fitted, mut next) = (fitted.clone(), *end);
                for origin in known.origins.clone() {
                    known.actuals[next..=origin].iter().for_each(|&value| fitted.observe(value));
                    next = origin + 1;
                    fitted.forecast(&mut out);
                    forecasts.extend_from_slice(&out);
                }
            }
        }
    }
}
