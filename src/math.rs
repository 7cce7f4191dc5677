//! tanh and sigmoid, sixteen at a time.
//!
//! Both keep a relative error below 3.5e-7 over the whole range of f32 (where the result is not subnormal; there
//! they are within one step of it), have the right limits, never leave [-1, 1] and [0, 1], and pass NaN on.
//! `tests/activations.rs` holds them against higher precision.

use crate::lanes::Lanes;

/// Numerator of tanh(x)/x in u = x², lowest power first: relative minimax over |x| ≤ 9.02, error 2.1e-8.
const TANH_P: [f32; 5] = [0.999_999_98, 0.133_797_17, 3.494_033_3e-3, 2.058_346_3e-5, 1.331_904_8e-8];
/// Denominator of the same.
const TANH_Q: [f32; 5] = [1.0, 0.467_130_32, 2.587_106_9e-2, 3.283_091e-4, 7.762_009e-7];
/// From here on tanh rounds to one, and so does the quotient, from above.
const TANH_END: f32 = 9.18;

/// Hyperbolic tangent: `x · P(x²) / Q(x²)`.
#[inline(always)]
pub fn tanh<V: Lanes>(x: V) -> V {
    let u = (x * x).min(x.all(TANH_END * TANH_END)); // beyond it the quotient grows with x
    let y = x * polynomial(u, TANH_P) / polynomial(u, TANH_Q);
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
    let e = (t * t).mul_add(polynomial(t, EXP_Q), a.all(1.0) - t);
    e.times_exp2(n)
}

/// `c0 + c1 u + c2 u² + c3 u³ + c4 u⁴`, in pairs so that the chain of operations is short.
#[inline(always)]
fn polynomial<V: Lanes>(u: V, c: [f32; 5]) -> V {
    let square = u * u;
    let low = u.mul_add(u.all(c[1]), u.all(c[0]));
    let high = u.mul_add(u.all(c[3]), u.all(c[2]));
    square.mul_add(square.mul_add(u.all(c[4]), high), low)
}
