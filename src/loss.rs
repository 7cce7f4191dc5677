//! What training makes small: the mean over all elements, its value and its gradient.

use serde::{Deserialize, Serialize};

/// A loss, averaged over all elements. Formulas: PyTorch, `MSELoss`, `L1Loss` and `HuberLoss` (delta 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// Mean squared error.
    #[default]
    Mse,
    /// Mean absolute error; its gradient at 0 is 0.
    Mae,
    /// Squared within 1 of the target, linear beyond.
    Huber,
}

impl Loss {
    /// What one element with the error `e = y - target` adds to the sum, and the derivative of that.
    #[inline]
    pub fn element(self, e: f32) -> (f32, f32) {
        match self {
            Self::Mse => (e * e, 2.0 * e),
            Self::Mae if e == 0.0 => (0.0, 0.0),
            Self::Mae => (libm::fabsf(e), libm::copysignf(1.0, e) + e * 0.0), // NaN stays NaN
            Self::Huber if libm::fabsf(e) < 1.0 => (0.5 * e * e, e),
            Self::Huber => (libm::fabsf(e) - 0.5, libm::copysignf(1.0, e) + e * 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_the_slopes() {
        for loss in [Loss::Mse, Loss::Mae, Loss::Huber] {
            for e in [-3.0_f32, -1.5, -0.7, -0.01, 0.02, 0.5, 1.25, 4.0] {
                let step = 1e-3;
                let slope = (loss.element(e + step).0 - loss.element(e - step).0) / (2.0 * step);
                assert!((slope - loss.element(e).1).abs() < 2e-3, "{loss:?} at {e}: {slope}");
            }
            assert_eq!(loss.element(0.0), (0.0, 0.0));
            assert!(loss.element(f32::NAN).0.is_nan() && loss.element(f32::NAN).1.is_nan());
        }
    }
}
