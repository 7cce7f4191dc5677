//! LSTM: `c' = f·c + i·g`, `h' = o·tanh(c')`, gates i f g o. Formulas: PyTorch, `torch.nn.LSTM`.
//! In the words of the lesson: forget is f, learn is i·g, remember is c', use is o·tanh(c').

#[cfg(feature = "std")]
use super::sigmoid64;
use super::{Cell, CellState, Gradients, MOST, Shown};
use crate::cell::kind::CellKind;
use crate::simd::lanes::Lanes;
use crate::simd::lanes::sealed::Sealed;
use crate::simd::math::{sigmoid_ratio, tanh, tanh_ratio};

/// Long short-term memory.
#[derive(Debug, Clone, Copy)]
pub struct Lstm;

impl Sealed for Lstm {}

impl Cell for Lstm {
    const KIND: CellKind = CellKind::Lstm;
    const GATES: usize = 4;
    const SAVED: usize = 4;
    const HAS_C: bool = true;
    const RESET: bool = false;
    const SHOWN: &'static [Shown] = &[
        ("i", |[i, ..], _| i),
        ("f", |[_, f, ..], _| f),
        ("g", |[_, _, g, _], _| g),
        ("o", |[.., o], _| o),
        ("learn", |[i, _, g, _], _| i * g),
        ("forget", |[_, f, ..], _| f),
        ("remember", |_, after| after.c),
        ("use", |_, after| after.h),
    ];

    #[inline(always)]
    fn forward<V: Lanes>(gates_x: [V; MOST], gates_h: [V; MOST], before: CellState<V>) -> (CellState<V>, [V; MOST]) {
        let i = sigmoid_ratio(gates_x[0] + gates_h[0]);
        let f = sigmoid_ratio(gates_x[1] + gates_h[1]);
        let g = tanh_ratio(gates_x[2] + gates_h[2]);
        let o = sigmoid_ratio(gates_x[3] + gates_h[3]);
        let c = f.value().mul_add(before.c, (i * g).value());
        let h = (o * tanh_ratio(c)).value();
        (CellState { h, c }, [i.value(), f.value(), g.value().clamp(-1.0, 1.0), o.value()])
    }

    #[cfg(feature = "std")]
    fn exact(gates_x: [f64; MOST], gates_h: [f64; MOST], before: CellState<f64>) -> CellState<f64> {
        let sum = |gate: usize| gates_x[gate] + gates_h[gate];
        let c = sigmoid64(sum(1)) * before.c + sigmoid64(sum(0)) * sum(2).tanh();
        CellState { h: sigmoid64(sum(3)) * c.tanh(), c }
    }

    #[inline(always)]
    fn backward<V: Lanes>(
        saved: [V; MOST],
        before: CellState<V>,
        after: CellState<V>,
        dafter: CellState<V>,
    ) -> Gradients<V> {
        let [i, f, g, o] = saved;
        let one = i.all(1.0);
        let tanh_c = tanh(after.c);
        let dc = (dafter.h * o).mul_add(one - tanh_c * tanh_c, dafter.c);
        let di = dc * g * i * (one - i);
        let df = dc * before.c * f * (one - f);
        let dg = dc * i * (one - g * g);
        let do_ = dafter.h * tanh_c * o * (one - o);
        let dgates = [di, df, dg, do_];
        Gradients { dgates_x: dgates, dgates_h: dgates, dstate: CellState { h: i.all(0.0), c: dc * f } }
    }
}
