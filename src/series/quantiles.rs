//! Quantiles: of sorted values, and of the standard normal distribution.

use core::f64::consts::{PI, SQRT_2};

/// The quantile `part` (from 0 to 1) of `sorted`, linear between the two nearest values: Hyndman and Fan 1996, type 7.
#[cfg(feature = "evaluate")]
pub(super) fn quantile<V: Copy + Into<f64>>(sorted: &[V], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let below = (place as usize).min(sorted.len() - 1);
    let above = (below + 1).min(sorted.len() - 1);
    let (low, high) = (sorted[below].into(), sorted[above].into());
    low + (place - below as f64) * (high - low)
}

/// The standard normal deviate below which `part` of the distribution lies; `part` is above 0 and below 1. Newton's
/// method on the logarithm of the part beyond a deviate, which is nearly a parabola. It starts too far out, from where
/// it never overshoots.
pub(super) fn normal_deviate(part: f64) -> f64 {
    let tail = part.min(1.0 - part);
    // the part beyond z is at most half of exp(-z²/2)
    let mut deviate = (-2.0 * libm::log(2.0 * tail)).sqrt();
    for _ in 0..50 {
        let at = deviate / SQRT_2;
        // how much too large the part beyond is, by whichever of erf and erfc loses no digits here
        let over = 0.5 * if tail > 0.25 { 1.0 - 2.0 * tail - libm::erf(at) } else { libm::erfc(at) - 2.0 * tail };
        let density = libm::exp(-at * at) / (2.0 * PI).sqrt();
        let step = libm::log1p(over / tail) * (tail + over) / density;
        deviate += step;
        if step.abs() <= f64::EPSILON * deviate.abs() {
            break;
        }
    }
    if part < 0.5 { -deviate } else { deviate }
}

#[cfg(all(test, feature = "evaluate"))]
mod tests {
    use super::*;

    #[test]
    fn deviates_of_parts_are_those_of_a_library() {
        use statrs::distribution::{ContinuousCDF, Normal};
        let parts = (1..10_000).map(|i| f64::from(i) / 10_000.0);
        let (far, levels) = ((1..45).map(|i| 10_f64.powi(-i)), (1..1000).map(|i| f64::from(i as f32 / 1000.0)));
        for part in parts.chain(far).chain(levels) {
            assert_eq!(normal_deviate(part) as f32, Normal::standard().inverse_cdf(part) as f32, "{part}");
        }
    }
}
