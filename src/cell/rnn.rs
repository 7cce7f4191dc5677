//! Elman RNN: `h' = tanh(gates_x + gates_h)`, or relu. Formulas: PyTorch, `torch.nn.RNN`.

use super::{Cell, CellState, Gradients, MOST, Shown};
use crate::cell::kind::{CellKind, Nonlinearity};
use crate::simd::lanes::Lanes;
use crate::simd::lanes::sealed::Sealed;
use crate::simd::math::tanh;
use core::marker::PhantomData;

/// Elman RNN with tanh.
pub type Rnn = Elman<Tanh>;
/// Elman RNN with relu.
pub type RnnRelu = Elman<Relu>;

/// Elman RNN with activation `A`.
#[derive(Debug, Clone, Copy)]
pub struct Elman<A>(PhantomData<A>);

/// An activation whose derivative follows from its value. Not to be named outside this crate.
pub trait Activation: Copy + Send + Sync + 'static {
    /// Its kind.
    const KIND: Nonlinearity;
    /// The value.
    fn value<V: Lanes>(a: V) -> V;
    /// The value in float64.
    #[cfg(feature = "std")]
    fn exact(a: f64) -> f64;
    /// `dh` times the derivative, where the value was `h`.
    fn gradient<V: Lanes>(h: V, dh: V) -> V;
}

/// Hyperbolic tangent.
#[derive(Debug, Clone, Copy)]
pub struct Tanh;

/// `max(x, 0)`; NaN stays, and the derivative at 0 is 0, as in PyTorch.
#[derive(Debug, Clone, Copy)]
pub struct Relu;

impl Activation for Tanh {
    const KIND: Nonlinearity = Nonlinearity::Tanh;

    #[inline(always)]
    fn value<V: Lanes>(a: V) -> V {
        tanh(a)
    }

    #[cfg(feature = "std")]
    fn exact(a: f64) -> f64 {
        a.tanh()
    }

    #[inline(always)]
    fn gradient<V: Lanes>(h: V, dh: V) -> V {
        dh * (dh.all(1.0) - h * h)
    }
}

impl Activation for Relu {
    const KIND: Nonlinearity = Nonlinearity::Relu;

    #[inline(always)]
    fn value<V: Lanes>(a: V) -> V {
        let zero = a.all(0.0);
        a.less_than(zero, zero, a)
    }

    #[cfg(feature = "std")]
    fn exact(a: f64) -> f64 {
        a.max(0.0)
    }

    #[inline(always)]
    fn gradient<V: Lanes>(h: V, dh: V) -> V {
        let zero = dh.all(0.0);
        zero.less_than(h, dh, zero)
    }
}

impl<A: Activation> Sealed for Elman<A> {}

impl<A: Activation> Cell for Elman<A> {
    const KIND: CellKind = CellKind::Rnn;
    const NONLINEARITY: Nonlinearity = A::KIND;
    const GATES: usize = 1;
    const SAVED: usize = 0;
    const HAS_C: bool = false;
    const RESET: bool = false;
    const SHOWN: &'static [Shown] = &[("h", |_, after| after.h)];

    #[inline(always)]
    fn forward<V: Lanes>(gates_x: [V; MOST], gates_h: [V; MOST], before: CellState<V>) -> (CellState<V>, [V; MOST]) {
        let h = A::value(gates_x[0] + gates_h[0]);
        (CellState { h, c: before.c }, [h; MOST])
    }

    #[cfg(feature = "std")]
    fn exact(gates_x: [f64; MOST], gates_h: [f64; MOST], before: CellState<f64>) -> CellState<f64> {
        CellState { h: A::exact(gates_x[0] + gates_h[0]), c: before.c }
    }

    #[inline(always)]
    fn backward<V: Lanes>(_: [V; MOST], _: CellState<V>, after: CellState<V>, dafter: CellState<V>) -> Gradients<V> {
        let dgates = [A::gradient(after.h, dafter.h); MOST];
        let dstate = CellState { h: dafter.h.all(0.0), c: dafter.c };
        Gradients { dgates_x: dgates, dgates_h: dgates, dstate }
    }
}
