//! One step of one sequence, the state in place: what a stream and a network of fixed size have in common.
//!
//! What a step costs is split. `W_hh h + b_hh` needs nothing of the next x, so it can be worked out as soon as the last
//! answer is out: advance. What is left between x and y is predict: of one layer the cell and two short products, and no
//! recurrent product at all. Every sum is that of the same row in a long sequence, in the same order: the same bits,
//! whoever calls what when.

use super::linear::Linear;
use super::product::{Product, Start};
use super::recurrent::{kept, tail};
use super::stored::Stored;
use crate::cell::{Cell, MOST, State as Units};
use crate::lanes::{LANES, Lanes, Pass, padded};
use crate::layout::Offsets;
use crate::shape::Shape;
use core::marker::PhantomData;

/// Where things lie in the memory that a step works in, in values.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// `[L][G·Hp]`: `W_hh h + b_hh` of the state at hand, if it is ahead.
    pub gates_h: usize,
    /// `[G·Hp]`
    pub gates_x: usize,
    /// `[Op]`, empty without a head.
    pub y: usize,
    /// Its end.
    pub end: usize,
}

impl Room {
    /// That of the steps of a network of `shape`.
    #[inline]
    pub const fn of(shape: &Shape) -> Self {
        let gates = shape.gates() * padded(shape.hidden);
        let out = match shape.output {
            Some(output) => padded(output),
            None => 0,
        };
        let gates_x = shape.layers * gates;
        let y = gates_x + gates;
        Self { gates_h: 0, gates_x, y, end: y + out }
    }
}

/// What carries over from one call to the next, beside the state and gates_h.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Whether gates_h is that of the state at hand.
    pub ahead: bool,
    /// Weights are read forwards and backwards in turn: where they overflow a cache, those read last are still there.
    pub backwards: bool,
}

impl Turn {
    /// That of a sequence that begins.
    pub const fn new() -> Self {
        Self { ahead: false, backwards: false }
    }
}

/// The two halves of a step of cell `C` with weights stored as `S`: what can be done before x is there, unless that was done;
/// then, if x is there, the rest.
///
/// Everyone who makes one promises that its pointers reach what their comments say.
pub struct Step<'a, C, S> {
    /// The network.
    pub shape: Shape,
    /// The arena of [`Offsets`].
    pub params: *const f32,
    /// fc.weight with lanes along h, `[tile of h][Op][lane]`.
    pub head: *const f32,
    /// The memory of [`Room`].
    pub room: *mut f32,
    /// `[L][Hp]`, zero beyond H.
    pub h: *mut f32,
    /// The same of an LSTM; nothing to read or write for other cells.
    pub c: *mut f32,
    /// `[I]`
    pub x: Option<*const f32>,
    /// What carries over.
    pub turn: &'a mut Turn,
    /// Nothing.
    pub kinds: PhantomData<(C, S)>,
}

impl<C: Cell, S: Stored> Pass for Step<'_, C, S> {
    type Output = ();

    /// # Safety
    /// All that the fields describe can be read or written, and nobody else writes there meanwhile.
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { shape, params, head, room, h, c, x, turn, .. } = self;
        let (width, gates, at) = (padded(shape.hidden), C::GATES * padded(shape.hidden), Room::of(&shape));
        // SAFETY: the caller's promise.
        unsafe {
            let (gates_h, gates_x) = (room.add(at.gates_h), room.add(at.gates_x));
            if !turn.ahead {
                for l in 0..shape.layers {
                    let layer = Offsets::layer(&shape, S::WEIGHTS, l);
                    let matrix = Matrix {
                        weight: params.add(layer.weight_hh),
                        scale: params.add(layer.scale_hh),
                        bias: params.add(layer.bias_hh),
                        columns: shape.hidden,
                    };
                    matrix.times::<V, C, S>(&shape, h.add(l * width), gates_h.add(l * gates), turn.backwards);
                }
                turn.ahead = true;
                turn.backwards = !turn.backwards;
            }
            let Some(mut x) = x else { return };
            for l in 0..shape.layers {
                let layer = Offsets::layer(&shape, S::WEIGHTS, l);
                let matrix = Matrix {
                    weight: params.add(layer.weight_ih),
                    scale: params.add(layer.scale_ih),
                    bias: params.add(layer.bias_ih),
                    columns: shape.layer_input(l),
                };
                matrix.times::<V, C, S>(&shape, x, gates_x, false);
                let h = h.add(l * width);
                let c = if C::HAS_C { c.add(l * width) } else { h };
                for tile in 0..width / LANES {
                    units::<V, C>(&shape, tile, gates_x, gates_h.add(l * gates), h, c);
                }
                x = h;
            }
            turn.ahead = false;
            if let Some(output) = shape.output {
                let (weight, bias, _) = Offsets::head(&shape, S::WEIGHTS);
                Linear {
                    rows: 1,
                    hidden: shape.hidden,
                    output,
                    h: x,
                    weight: params.add(weight),
                    weight_transposed: head,
                    bias: params.add(bias),
                    y: room.add(at.y),
                }
                .run::<V>();
            }
        }
    }
}

/// A weight of a layer with its bias.
struct Matrix {
    weight: *const f32,
    scale: *const f32,
    bias: *const f32,
    columns: usize,
}

impl Matrix {
    /// Gates of one row: `W a + bias`.
    #[inline(always)]
    unsafe fn times<V: Lanes, C: Cell, S: Stored>(&self, shape: &Shape, a: *const f32, out: *mut f32, backwards: bool) {
        let run = C::GATES * S::WORDS;
        let bias = shape.bias.then_some(self.bias);
        let start =
            if S::WEIGHTS.scaled() { Start::Scaled(self.scale, bias) } else { bias.map_or(Start::Zero, Start::Bias) };
        let product = Product {
            rows: 1,
            depth: self.columns,
            panel: C::GATES,
            panels: padded(shape.hidden) / LANES,
            a,
            a_row: 0,
            a_depth: 1,
            b: self.weight,
            b_depth: run,
            b_panel: self.columns.div_ceil(S::RUN) * run,
            out,
            out_row: 0,
            out_panel: C::GATES * LANES,
            start,
            backwards,
        };
        // SAFETY: the caller's promise.
        unsafe { product.run_stored::<V, S>() }
    }
}

/// The cell of the sixteen units of a tile, in place.
#[inline(always)]
unsafe fn units<V: Lanes, C: Cell>(
    shape: &Shape,
    tile: usize,
    gates_x: *const f32,
    gates_h: *const f32,
    h: *mut f32,
    c: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = V::splat(0.0);
        let (mut x_gates, mut h_gates) = ([zero; MOST], [zero; MOST]);
        for gate in 0..C::GATES {
            let at = (tile * C::GATES + gate) * LANES;
            x_gates[gate] = V::load(gates_x.add(at));
            h_gates[gate] = V::load(gates_h.add(at));
        }
        let (h, c) = (h.add(tile * LANES), c.add(tile * LANES));
        let before = Units { h: V::load(h), c: if C::HAS_C { V::load(c) } else { zero } };
        let (after, _) = C::forward(x_gates, h_gates, before);
        let mask = tail::<V>(shape.hidden - tile * LANES);
        kept(after.h, mask).store(h);
        if C::HAS_C {
            kept(after.c, mask).store(c);
        }
    }
}
