//! tanh and sigmoid, sixteen at a time.
//!
//! Both keep a relative error below 3.5e-7 over the whole range of f32 (where the result is not subnormal; there
//! they are within one step of it), have the right limits, never leave [-1, 1] and [0, 1], and pass NaN on.
//! `tests/numerics/activations.rs` compares them with higher precision.
//!
//! Subnormal numbers, those below 1.2e-38, take many processors a hundred times as long as others. Nothing here makes a
//! subnormal number of an argument that is none, except a sigmoid below -87, whose value is subnormal. What is kept
//! from step to step is [`Lanes::settled`].

use crate::simd::lanes::{Lanes, TINY};
use core::ops::Mul;

/// Copies a row that comes in. One value, the commonest row of a series, is moved without a call of `memcpy`. A row that goes
/// out is better copied with one: its value was just written as a part of a vector, and a load of it alone would wait.
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub fn copy_row(to: &mut [f32], from: &[f32]) {
    match (&mut *to, from) {
        ([to], [from]) => *to = *from,
        _ => to.copy_from_slice(from),
    }
}

/// `value`, or +0 where it is smaller than `bound`; NaN stays NaN.
#[inline(always)]
pub fn settled_below<V: Lanes>(value: V, bound: f32) -> V {
    value.abs().less_than(value.all(bound), value.all(0.0), value)
}

/// [`Lanes::settled`] of every number.
#[inline(always)]
pub fn settle(values: &mut [f32]) {
    // compared as integers, which have the same order: comparing floats would be an operation on a subnormal number
    let settled = |value: f32| if value.to_bits() << 1 < TINY.to_bits() << 1 { 0.0 } else { value };
    // A single number is not read as a vector: it was just written as a scalar, and the processor would wait for that.
    if let [value] = values {
        *value = settled(*value);
        return;
    }
    for value in values {
        *value = settled(*value);
    }
}

/// Whether every number is finite.
#[inline]
pub fn all_finite(values: &[f32]) -> bool {
    // without an early exit, so that the loop is vectorised
    values.iter().fold(true, |all, value| all & value.is_finite())
}

/// Numerator of tanh(x)/x in u = x², lowest power first: relative minimax over |x| ≤ 9.02, error 2.1e-8.
const TANH_P: [f32; 5] = [0.999_999_98, 0.133_797_17, 3.494_033_3e-3, 2.058_346_3e-5, 1.331_904_8e-8];
/// Denominator of the same.
const TANH_Q: [f32; 5] = [1.0, 0.467_130_32, 2.587_106_9e-2, 3.283_091e-4, 7.762_009e-7];
/// From here on tanh rounds to one, and so does the quotient, from above.
const TANH_END: f32 = 9.18;

/// A quotient before its division. The product of two takes one division, which is the slowest of all operations.
#[derive(Clone, Copy)]
pub struct Ratio<V> {
    over: V,
    under: V,
}

impl<V: Lanes> Ratio<V> {
    /// The quotient.
    #[inline(always)]
    pub fn value(self) -> V {
        self.over / self.under
    }
}

impl<V: Lanes> Mul for Ratio<V> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self { over: self.over * other.over, under: self.under * other.under }
    }
}

/// Hyperbolic tangent: `x · P(x²) / Q(x²)`.
#[inline(always)]
pub fn tanh<V: Lanes>(x: V) -> V {
    let u = square(x).min(x.all(TANH_END * TANH_END)); // beyond it the quotient grows with x
    let y = x * polynomial(u, u * u, TANH_P) / polynomial(u, u * u, TANH_Q);
    y.clamp(-1.0, 1.0)
}

/// The same before its division, for further products. The quotient may be one step beyond one.
#[inline(always)]
pub fn tanh_ratio<V: Lanes>(x: V) -> Ratio<V> {
    let x = x.clamp(-TANH_END, TANH_END);
    let u = square(x);
    Ratio { over: x * polynomial(u, u * u, TANH_P), under: polynomial(u, u * u, TANH_Q) }
}

/// Logistic function.
#[inline(always)]
pub fn sigmoid<V: Lanes>(x: V) -> V {
    sigmoid_ratio(x).value()
}

/// `e^x / (1 + e^x)`: the left tail keeps its digits. Right of 40 it is one, long before e^x is too large for f32.
#[inline(always)]
pub fn sigmoid_ratio<V: Lanes>(x: V) -> Ratio<V> {
    let e = exp(x.clamp(-EXP_END, SIGMOID_END));
    Ratio { over: e, under: x.all(1.0) + e }
}

/// From here on the logistic function rounds to one.
const SIGMOID_END: f32 = 40.0;
/// `e^-104.5` rounds to zero.
const EXP_END: f32 = 104.5;
/// q in `e^t = 1 + t + t² q(t)`, relative minimax over |t| ≤ ln 2 / 2, error 1.05e-7.
const EXP_Q: [f32; 4] = [0.499_992_3, 0.166_671_16, 4.189_033e-2, 8.312_501e-3];
/// ln 2 in two parts; the first has few enough bits that a whole number times it is exact.
const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
/// 1.5 · 2^23: a sum with it has no room for a fraction.
const WHOLE: f32 = 12_582_912.0;

/// `e^x` for -104.5 ≤ x ≤ 80: `2^n · e^t` with n whole and |t| at most half of ln 2.
#[inline(always)]
fn exp<V: Lanes>(x: V) -> V {
    let n = x.mul_add(x.all(core::f32::consts::LOG2_E), x.all(WHOLE)) - x.all(WHOLE);
    let t = n.mul_add(x.all(-LN_2[1]), n.mul_add(x.all(-LN_2[0]), x));
    let square = square(t);
    let low = t.mul_add(x.all(EXP_Q[1]), x.all(EXP_Q[0]));
    let high = t.mul_add(x.all(EXP_Q[3]), x.all(EXP_Q[2]));
    let e = square.mul_add(square.mul_add(high, low), x.all(1.0) + t);
    e.times_exp2(n)
}

/// `c0 + c1 u + c2 u² + c3 u³ + c4 u⁴`, in pairs so that the chain of operations is short.
#[inline(always)]
fn polynomial<V: Lanes>(u: V, square: V, c: [f32; 5]) -> V {
    let low = u.mul_add(u.all(c[1]), u.all(c[0]));
    let high = u.mul_add(u.all(c[3]), u.all(c[2]));
    square.mul_add(square.mul_add(u.all(c[4]), high), low)
}

/// x² + 2^-60. Every use adds it to numbers of about one, where so little changes nothing. And the square of a small
/// number is not subnormal.
#[inline(always)]
fn square<V: Lanes>(x: V) -> V {
    x.mul_add(x, x.all(f32::from_bits((127 - 60) << 23)))
}
