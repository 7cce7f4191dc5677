//! The forecasts that a model is compared with: the naive ones, a linear autoregression, and the opponents that the
//! backtest was asked for.

use super::Forecaster;
#[cfg(feature = "opponents")]
use super::Protocol;
use crate::series::naive::Naive;
#[cfg(feature = "opponents")]
use crate::series::opponents::{Fitted, NotFitted, Opponent};
use std::ops::Range;

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
    /// The naive forecasts and the autoregression, fitted to `training`.
    pub fn naives(training: &[f64], seasons: &[usize], lags: usize) -> Vec<Self> {
        let mut all = vec![Naive::Persistence];
        all.extend(seasons.iter().copied().map(Naive::Seasonal));
        all.extend([Naive::mean(training), Naive::drift(training)]);
        all.extend(Naive::autoregression(training, lags));
        all.into_iter().map(Self::Naive).collect()
    }

    /// The opponents that the backtest was asked for, each once, fitted to the rows `training` of `values`; and those
    /// that cannot be fitted, with the reasons.
    #[cfg(feature = "opponents")]
    pub fn opponents(
        values: &[f64],
        training: &Range<usize>,
        seasons: &[usize],
        protocol: &Protocol,
    ) -> (Vec<Self>, Vec<(Opponent, NotFitted)>) {
        let (mut all, mut not_fitted) = (Vec::new(), Vec::new());
        for opponent in Opponent::ALL.into_iter().filter(|opponent| protocol.opponents.contains(opponent)) {
            match opponent.fit(&values[training.clone()], seasons) {
                Ok(fitted) => all.push(Self::Opponent(Box::new(fitted), training.end)),
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

    /// Adds the forecasts of the `horizon` rows after each of `origins`, which are in the order of the rows. Those of an
    /// origin use no row of `values` after it.
    pub fn forecast(&self, values: &[f64], origins: Range<usize>, horizon: usize, forecasts: &mut Vec<f64>) {
        let mut out = vec![0.0; horizon];
        match self {
            Self::Naive(naive) => {
                for origin in origins {
                    naive.forecast(&values[..=origin], &mut out);
                    forecasts.extend_from_slice(&out);
                }
            }
            #[cfg(feature = "opponents")]
            Self::Opponent(fitted, known) => {
                let (mut fitted, mut known) = (fitted.clone(), *known);
                for origin in origins {
                    values[known..=origin].iter().for_each(|&value| fitted.observe(value));
                    known = origin + 1;
                    fitted.forecast(&mut out);
                    forecasts.extend_from_slice(&out);
                }
            }
        }
    }
}
