//! Minimal gated unit, reset after the product: `n = tanh(x_n + f·h_n)`, `h' = (1 - f)·h + f·n`, gates f n: a GRU whose
//! one gate both resets and updates. Formulas: Zhou, Wu, Zhang and Zhou, "Minimal gated unit for recurrent neural
//! networks", 2016, with f behind the product as the r of `torch.nn.GRU` is.

#[cfg(feature = "std")]
use super::sigmoid64;
use super::{Cell, CellState, Gradients, MOST, Shown};
use crate::cell::kind::CellKind;
use crate::simd::lanes::Lanes;
use crate::simd::lanes::sealed::Sealed;
use crate::simd::math::{sigmoid, tanh};

/// Minimal gated unit.
#[derive(Debug, Clone, Copy)]
pub struct Mgu;

impl Sealed for Mgu {}

impl Cell for Mgu {
    const KIND: CellKind = CellKind::Mgu;
    const GATES: usize = 2;
    const SAVED: usize = 3;
    const HAS_C: bool = false;
    const RESET: bool = true;
    const SHOWN: &'static [Shown] = &[("f", |[f, ..], _| f), ("n", |[_, n, ..], _| n), ("h", |_, after| after.h)];

    #[inline(always)]
    fn forward<V: Lanes>(gates_x: [V; MOST], gates_h: [V; MOST], before: CellState<V>) -> (CellState<V>, [V; MOST]) {
        let f = sigmoid(gates_x[0] + gates_h[0]);
        let h_n = gates_h[1];
        let n = tanh(f.mul_add(h_n, gates_x[1]));
        let h = (f.all(1.0) - f).mul_add(before.h - n, n);
        (CellState { h, c: before.c }, [f, n, h_n, h_n])
    }

    #[cfg(feature = "std")]
    fn exact(gates_x: [f64; MOST], gates_h: [f64; MOST], before: CellState<f64>) -> CellState<f64> {
        let f = sigmoid64(gates_x[0] + gates_h[0]);
        let n = (gates_x[1] + f * gates_h[1]).tanh();
        CellState { h: (1.0 - f) * before.h + f * n, c: before.c }
    }

    #[inline(always)]
    fn backward<V: Lanes>(
        saved: [V; MOST],
        before: CellState<V>,
        _: CellState<V>,
        dafter: CellState<V>,
    ) -> Gradients<V> {
        let [f, n, h_n, _] = saved;
        let one = f.all(1.0);
        let dh = dafter.h;
        let dn = dh * f * (one - n * n);
        let df = dn.mul_add(h_n, dh * (n - before.h)) * f * (one - f);
        Gradients {
            dgates_x: [df, dn, dn, dn],
            dgates_h: [df, dn * f, dn, dn],
            dstate: CellState { h: dh * (one - f), c: dafter.c },
        }
    }
}
