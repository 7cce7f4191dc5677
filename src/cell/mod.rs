//! The maths of one time step, sixteen hidden units at a time, written once for all instruction sets.
//!
//! `gates_x = W_ih x + b_ih` and `gates_h = W_hh h + b_hh` come from outside and are kept apart, since the GRU
//! multiplies one of the second kind by r. Activation gradients are assigned here; parameter gradients are
//! accumulated by whoever owns the products.
//!
//! `cells!` is the one list of cells. Everything else that knows all of them follows from it: [`kind::CellKind`] with
//! its names, [`visit`], the types of `rnnstep::model!`, the kernels' sources, the command line and the search.

/// The one list of cells, for macros that generate code from it. An entry has two names. The first is the cell's kind,
/// and also its type. The second is its name on the command line, in files, and of its kernels, `kernels/<name>.cu`. In
/// brackets follow a nonlinearity that the cell may have instead of tanh, and the type with that.
macro_rules! cells {
    ($each:ident) => {
        $each! {
            /// Elman RNN: `h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`, or relu instead of tanh.
            Rnn "rnn" (Relu RnnRelu)
            /// Long short-term memory, gates in the order i f g o.
            Lstm "lstm"
            /// Gated recurrent unit, PyTorch's reset-after form, gates in the order r z n.
            Gru "gru"
            /// Minimal gated unit, a GRU with one gate that both resets and updates, gates in the order f n.
            Mgu "mgu"
        }
    };
}
#[cfg(feature = "cuda")]
pub(crate) use cells;

mod gru;
pub mod kind;
mod lstm;
mod mgu;
mod rnn;

pub use gru::Gru;
pub use lstm::Lstm;
pub use mgu::Mgu;
pub use rnn::{Rnn, RnnRelu};

use crate::cell::kind::{CellKind, Nonlinearity};
use crate::simd::lanes::Lanes;
use crate::simd::lanes::sealed::Sealed;

/// The most gates a cell has, and the most vectors it saves.
pub const MOST: usize = 4;

/// What a cell passes from one time step to the next. Cells without `c` leave it unchanged.
#[derive(Clone, Copy)]
pub struct CellState<V> {
    /// Hidden state, also the output.
    pub h: V,
    /// Cell state of an LSTM.
    pub c: V,
}

/// The result of backward through one step.
#[derive(Clone, Copy)]
pub struct Gradients<V> {
    /// With respect to `gates_x`.
    pub dgates_x: [V; MOST],
    /// With respect to `gates_h`: the same, except for a cell that has [`Cell::RESET`].
    pub dgates_h: [V; MOST],
    /// With respect to the state before the step, without the part that runs through `gates_h`.
    pub dstate: CellState<V>,
}

/// A value that `rnnstep gates` prints: its name, and how it follows from the activated gates and the state after the
/// step.
pub type Shown = (&'static str, fn(gates: [f32; MOST], after: CellState<f32>) -> f32);

/// A recurrent cell. Arrays have [`MOST`] elements; a cell with fewer gates does not use the rest.
///
/// Memory is laid out by the constants, so no other crate can add a cell:
///
/// ```compile_fail,E0277
/// use rnnstep::cell::{Cell, Gradients, MOST, CellState};
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
///     const SHOWN: &'static [rnnstep::cell::Shown] = &[];
///     fn forward<V: Lanes>(x: [V; MOST], _: [V; MOST], before: CellState<V>) -> (CellState<V>, [V; MOST]) {
///         (before, x)
///     }
///     fn exact(_: [f64; MOST], _: [f64; MOST], before: CellState<f64>) -> CellState<f64> {
///         before
///     }
///     fn backward<V: Lanes>(saved: [V; MOST], _: CellState<V>, _: CellState<V>, dafter: CellState<V>) -> Gradients<V> {
///         Gradients { dgates_x: saved, dgates_h: saved, dstate: dafter }
///     }
/// }
/// ```
pub trait Cell: Copy + Send + Sync + Sealed + 'static {
    /// Its kind.
    const KIND: CellKind;
    /// Its activation, for a cell that has one to choose.
    const NONLINEARITY: Nonlinearity = Nonlinearity::Tanh;
    /// G: gates, in PyTorch's order.
    const GATES: usize;
    /// Vectors that forward leaves for backward, in addition to the states.
    const SAVED: usize;
    /// Whether there is a cell state `c`.
    const HAS_C: bool;
    /// Whether a gate acts on `gates_h` alone, so that the two gradients differ.
    const RESET: bool;
    /// What `rnnstep gates` prints of a unit after a step.
    const SHOWN: &'static [Shown];

    /// One time step: the state after it, and what backward needs (activated gates first).
    fn forward<V: Lanes>(gates_x: [V; MOST], gates_h: [V; MOST], before: CellState<V>) -> (CellState<V>, [V; MOST]);

    /// The same step of one unit in float64, written like the formulas: [`Cell::forward`] is compared with it.
    #[cfg(feature = "std")]
    fn exact(gates_x: [f64; MOST], gates_h: [f64; MOST], before: CellState<f64>) -> CellState<f64>;

    /// The same step backwards: from `dafter`, the gradient of the loss with respect to the state after the step.
    fn backward<V: Lanes>(
        saved: [V; MOST],
        before: CellState<V>,
        after: CellState<V>,
        dafter: CellState<V>,
    ) -> Gradients<V>;
}

/// Code that needs the type of a network's cell.
pub trait Visitor {
    /// What it returns.
    type Output;
    /// Called with the cell.
    fn visit<C: Cell>(self) -> Self::Output;
}

macro_rules! visits {
    ($($(#[$about:meta])* $kind:ident $name:literal $(($nonlinearity:ident $other:ident))?)+) => {
        /// Calls `visitor` with the type of this kind of cell.
        pub fn visit<W: Visitor>(kind: CellKind, nonlinearity: Nonlinearity, visitor: W) -> W::Output {
            match (kind, nonlinearity) {
                $(
                    $((CellKind::$kind, Nonlinearity::$nonlinearity) => visitor.visit::<$other>(),)?
                    (CellKind::$kind, _) => visitor.visit::<$kind>(),
                )+
            }
        }

        /// The name of that type in `rnnstep::model!`.
        #[cfg(feature = "alloc")]
        pub(crate) const fn type_name(kind: CellKind, nonlinearity: Nonlinearity) -> &'static str {
            match (kind, nonlinearity) {
                $(
                    $((CellKind::$kind, Nonlinearity::$nonlinearity) => stringify!($other),)?
                    (CellKind::$kind, _) => stringify!($kind),
                )+
            }
        }

        /// The types of all cells and nothing else.
        pub(crate) mod types {
            pub use super::{$($kind $(, $other)?),+};
        }
    };
}
cells!(visits);

/// The logistic function in float64, as PyTorch writes it.
#[cfg(feature = "std")]
fn sigmoid64(a: f64) -> f64 {
    1.0 / (1.0 + (-a).exp())
}
