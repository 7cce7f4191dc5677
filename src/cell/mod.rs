//! The maths of one time step, sixteen hidden units at a time: once for all instruction sets.
//!
//! `gates_x = W_ih x + b_ih` and `gates_h = W_hh h + b_hh` come from outside and are kept apart, since the GRU
//! multiplies one of the second kind by r. Activation gradients are assigned here; parameter gradients are
//! accumulated by whoever owns the products.

mod gru;
pub mod kind;
mod lstm;
mod rnn;

pub use gru::Gru;
pub use lstm::Lstm;
pub use rnn::{Relu, Rnn, Tanh};

use crate::cell::kind::{CellKind, Nonlinearity};
use crate::simd::lanes::Lanes;
use crate::simd::lanes::sealed::Sealed;

/// The most gates a cell has, and the most vectors it saves.
pub const MOST: usize = 4;

/// What a cell passes from one time step to the next. Cells without `c` leave it as it is.
#[derive(Clone, Copy)]
pub struct State<V> {
    /// Hidden state, also the output.
    pub h: V,
    /// Cell state of an LSTM.
    pub c: V,
}

/// What backward of one step gives.
#[derive(Clone, Copy)]
pub struct Gradients<V> {
    /// With respect to `gates_x`.
    pub dgates_x: [V; MOST],
    /// With respect to `gates_h`: the same but for a cell that has [`Cell::RESET`].
    pub dgates_h: [V; MOST],
    /// With respect to the state before the step, without the part that runs through `gates_h`.
    pub dstate: State<V>,
}

/// A recurrent cell. Arrays are [`MOST`] long; a cell with fewer gates leaves the rest alone.
///
/// Memory is laid out by the constants, so there are the cells of this crate and no others:
///
/// ```compile_fail,E0277
/// use rnnstep::cell::{Cell, Gradients, MOST, State};
/// use rnnstep::simd::lanes::Lanes;
///
/// #[derive(Clone, Copy)]
/// struct Wild;
///
/// impl Cell for Wild {
///     const KIND: rnnstep::CellKind = rnnstep::CellKind::Rnn;
///     const GATES: usize = 2;
///     const SAVED: usize = 99;
///     const HAS_C: bool = true;
///     const RESET: bool = true;
///     fn forward<V: Lanes>(x: [V; MOST], _: [V; MOST], before: State<V>) -> (State<V>, [V; MOST]) {
///         (before, x)
///     }
///     fn backward<V: Lanes>(saved: [V; MOST], _: State<V>, _: State<V>, dafter: State<V>) -> Gradients<V> {
///         Gradients { dgates_x: saved, dgates_h: saved, dstate: dafter }
///     }
/// }
/// ```
pub trait Cell: Copy + Send + Sync + Sealed + 'static {
    /// What it is called.
    const KIND: CellKind;
    /// Its activation, for a cell that has one to choose.
    const NONLINEARITY: Nonlinearity = Nonlinearity::Tanh;
    /// G: gates, in PyTorch's order.
    const GATES: usize;
    /// Vectors that forward leaves for backward, beside the states.
    const SAVED: usize;
    /// Whether there is a cell state `c`.
    const HAS_C: bool;
    /// Whether a gate acts on `gates_h` alone, so that the two gradients differ.
    const RESET: bool;

    /// One time step: the state after it, and what backward will want to know (activated gates first).
    fn forward<V: Lanes>(gates_x: [V; MOST], gates_h: [V; MOST], before: State<V>) -> (State<V>, [V; MOST]);

    /// The same step backwards: from `dafter`, the gradient of the loss with respect to the state after the step.
    fn backward<V: Lanes>(saved: [V; MOST], before: State<V>, after: State<V>, dafter: State<V>) -> Gradients<V>;
}

/// Something to do with the cell of a network once its type is known.
pub trait Visitor {
    /// What comes back.
    type Output;
    /// Called with the cell.
    fn visit<C: Cell>(self) -> Self::Output;
}

/// The one list of cells: calls `visitor` with the cell of this kind.
pub fn visit<W: Visitor>(kind: CellKind, nonlinearity: Nonlinearity, visitor: W) -> W::Output {
    match (kind, nonlinearity) {
        (CellKind::Rnn, Nonlinearity::Tanh) => visitor.visit::<Rnn<Tanh>>(),
        (CellKind::Rnn, Nonlinearity::Relu) => visitor.visit::<Rnn<Relu>>(),
        (CellKind::Lstm, _) => visitor.visit::<Lstm>(),
        (CellKind::Gru, _) => visitor.visit::<Gru>(),
    }
}
