//! tanh and sigmoid, sixteen at a time.
//!
//! Both keep a relative error below 3.5e-7 over the whole range of f32 (where the result is not subnormal; there
//! they are within one step of it), have the right limits, never leave [-1, 1] and [0, 1], and pass NaN on.
//! `tests/activations.rs` holds them against higher precision.
//!
//! Subnormal numbers, those below 1.2e-38, take many processors a hundred times as long as others. Nothing here makes one
//! of an argument that is none, but for a sigmoid beyond -87, which is one; and what is kept from step to step is
//! [`settled`].

use crate::lanes::Lanes;

/// Numbers smaller than this, 2^-100, count as zero where they would be kept. A product of a number that is not with a
/// weight of 2^-26 or more is not subnormal.
pub const TINY: f32 = f32::from_bits((127 - 100) << 23);

/// `value`, or +0 where it is smaller than [`TINY`]; NaN stays NaN.
#[inline(always)]
pub fn settled<V: Lanes>(value: V) -> V {
    settled_below(value, TINY)
}

/// `value`, or +0 where it is smaller than `bound`; NaN stays NaN.
#[inline(always)]
pub fn settled_below<V: Lanes>(value: V, bound: f32) -> V {
    value.abs().less_than(value.all(bound), value.all(0.0), value)
}

/// [`settled`] of every number.
#[inline(always)]
pub fn settle(values: &mut [f32]) {
    for value in values {
        // as whole numbers, which are in the same order: comparing it would be the first operation on a subnormal one
        *value = if value.to_bits() << 1 < TINY.to_bits() << 1 { 0.0 } else { *value };
    }
}

/// Numerator of tanh(x)/x in u = x², lowest power first: relative minimax over |x| ≤ 9.02, error 2.1e-8.
const TANH_P: [f32; 5] = [0.999_999_98, 0.133_797_17, 3.494_033_3e-3, 2.058_346_3e-5, 1.331_904_8e-8];
/// Denominator of the same.
const TANH_Q: [f32; 5] = [1.0, 0.467_130_32, 2.587_106_9e-2, 3.283_091e-4, 7.762_009e-7];
/// From here on tanh rounds to one, and so does the quotient, from above.
const TANH_END: f32 = 9.18;

/// Hyperbolic tangent: `x · P(x²) / Q(x²)`.
#[inline(always)]
pub fn tanh<V: Lanes>(x: V) -> V {
    let u = square(x).min(x.all(TANH_END * TANH_END)); // beyond it the quotient grows with x
    let y = x * polynomial(u, u * u, TANH_P) / polynomial(u, u * u, TANH_Q);
    y.clamp(-1.0, 1.0)
}

/// Logistic function `1 / (1 + e^-x)`, as `1 / (1 + e^-|x|)` right of zero and `e^-|x| / (1 + e^-|x|)` left of it:
/// nothing overflows and the left tail keeps its digits.
#[inline(always)]
pub fn sigmoid<V: Lanes>(x: V) -> V {
    let (zero, one) = (x.all(0.0), x.all(1.0));
    let e = exp_negative(x.abs());
    x.less_than(zero, e, one) / (one + e)
}

/// q in `e^-t = 1 - t + t² q(t)`, relative minimax over |t| ≤ ln 2 / 2, error 3.1e-9.
const EXP_Q: [f32; 5] = [0.499_999_93, -0.166_665_2, 4.166_84e-2, -8.368_797e-3, 1.381_443_3e-3];
/// ln 2 in two parts; the first has few enough bits that a whole number times it is exact.
const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
/// `e^-104.5` rounds to zero.
const EXP_END: f32 = 104.5;

/// `e^-a` for `a ≥ 0`: `2^n · e^-t` with n whole and |t| at most half of ln 2.
#[inline(always)]
fn exp_negative<V: Lanes>(a: V) -> V {
    let a = a.min(a.all(EXP_END));
    let n = (a * a.all(-core::f32::consts::LOG2_E)).round();
    let t = n.mul_add(a.all(LN_2[1]), n.mul_add(a.all(LN_2[0]), a));
    let square = square(t);
    let e = square.mul_add(polynomial(t, square, EXP_Q), a.all(1.0) - t);
    e.times_exp2(n)
}

/// `c0 + c1 u + c2 u² + c3 u³ + c4 u⁴`, in pairs so that the chain of operations is short.
#[inline(always)]
fn polynomial<V: Lanes>(u: V, square: V, c: [f32; 5]) -> V {
    let low = u.mul_add(u.all(c[1]), u.all(c[0]));
    let high = u.mul_add(u.all(c[3]), u.all(c[2]));
    square.mul_add(square.mul_add(u.all(c[4]), high), low)
}

/// x², and at least 2^-60: beside the one that every use of it adds to, so little is nothing, and the square of a small
/// number is not subnormal.
#[inline(always)]
fn square<V: Lanes>(x: V) -> V {
    x.mul_add(x, x.all(f32::from_bits((127 - 60) << 23)))
}
