//! GRU, reset after the product: `n = tanh(x_n + r·h_n)`, `h' = n + z·(h - n)`, gates r z n.
//! Formulas: PyTorch, `torch.nn.GRU`.

#[cfg(feature = "std")]
use super::sigmoid64;
use super::{Cell, CellState, Gradients, MOST, Shown};
use crate::cell::kind::CellKind;
use crate::simd::lanes::Lanes;
use crate::simd::lanes::sealed::Sealed;
use crate::simd::math::{sigmoid, tanh};

/// Gated recurrent unit.
#[derive(Debug, Clone, Copy)]
pub struct Gru;

impl Sealed for Gru {}

impl Cell for Gru {
    const KIND: CellKind = CellKind::Gru;
    const GATES: usize = 3;
    const SAVED: usize = 4;
    const HAS_C: bool = false;
    const RESET: bool = true;
    const SHOWN: &'static [Shown] =
        &[("r", |[r, ..], _| r), ("z", |[_, z, ..], _| z), ("n", |[_, _, n, _], _| n), ("h", |_, after| after.h)];

    #[inline(always)]
    fn forward<V: Lanes>(gates_x: [V; MOST], gates_h: [V; MOST], before: CellState<V>) -> (CellState<V>, [V; MOST]) {
        let r = sigmoid(gates_x[0] + gates_h[0]);
        let z = sigmoid(gates_x[1] + gates_h[1]);
        let h_n = gates_h[2];
        let n = tanh(r.mul_add(h_n, gates_x[2]));
        let h = z.mul_add(before.h - n, n);
        (CellState { h, c: before.c }, [r, z, n, h_n])
    }

    #[cfg(feature = "std")]
    fn exact(gates_x: [f64; MOST], gates_h: [f64; MOST], before: CellState<f64>) -> CellState<f64> {
        let (r, z) = (sigmoid64(gates_x[0] + gates_h[0]), sigmoid64(gates_x[1] + gates_h[1]));
        let n = (gates_x[2] + r * gates_h[2]).tanh();
        CellState { h: (1.0 - z) * n + z * before.h, c: before.c }
    }

    #[inline(always)]
    fn backward<V: Lanes>(
        saved: [V; MOST],
        before: CellState<V>,
        _: CellState<V>,
        dafter: CellState<V>,
    ) -> Gradients<V> {
        let [r, z, n, h_n] = saved;
        let one = r.all(1.0);
        let dh = dafter.h;
        let dn = dh * (one - z) * (one - n * n);
        let dz = dh * (before.h - n) * z * (one - z);
        let dr = dn * h_n * r * (one - r);
        Gradients {
            dgates_x: [dr, dz, dn, dn],
            dgates_h: [dr, dz, dn * r, dn],
            dstate: CellState { h: dh * z, c: dafter.c },
        }
    }
}
