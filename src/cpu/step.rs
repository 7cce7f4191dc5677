//! One step of one sequence, with the state changed in place. Streams and networks of fixed size use it.
//!
//! A step has two halves. `W_hh h + b_hh` does not need the next x, so it can be computed as soon as the last answer is
//! out: this early half is `advance`. In a network of one layer, what is then left between x and y is the cell and two
//! short products, without a recurrent product. Every sum is that of the same row in a long sequence, in the same
//! order. So the bits are the same, whether and whenever `advance` is called.
#![allow(
    clippy::needless_range_loop,
    reason = "a loop over tiles or gates with an iterator is unrolled too late for its values to stay in registers"
)]

use super::beside::Beside;
use super::linear::Linear;
use super::product::{Panel, Product, Start};
use super::recurrent::{kept, tail};
use super::stored::Stored;
use crate::cell::{Cell, CellState, MOST};
use crate::net::layout::Offsets;
use crate::net::shape::Shape;
use crate::simd::lanes::{LANES, Lanes, Pass, padded};
use core::marker::PhantomData;

/// The parts of the memory that a step works in: where each begins, in values.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// `[L][G·Hp]`: `W_hh h + b_hh` of the current state, if `advance` was called.
    pub gates_h: usize,
    /// `[Hp]`: h of a layer after the step, until every product with the h before it is done.
    pub after: usize,
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
        let after = shape.layers * gates;
        let y = after + padded(shape.hidden);
        Self { gates_h: 0, after, y, end: y + out }
    }
}

/// What carries over from one call to the next, in addition to the state and gates_h.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Whether gates_h is that of the current state.
    pub ahead: bool,
    /// Whether weights are read backwards this time. The direction alternates: where weights overflow a cache, those
    /// that were read last are still there.
    pub backwards: bool,
}

impl Turn {
    /// That of a sequence that begins.
    pub const fn new() -> Self {
        Self { ahead: false, backwards: false }
    }
}

/// A step of cell `C` with weights stored as `S`. First comes the half that does not need x, unless it was done before;
/// then, if x is there, the rest.
///
/// Whoever makes one promises that its pointers are valid for what their comments describe.
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
    /// The same for c of an LSTM; not used for other cells.
    pub c: *mut f32,
    /// `[I]`
    pub x: Option<*const f32>,
    /// What carries over.
    pub turn: &'a mut Turn,
    /// The cell and the format.
    pub kinds: PhantomData<(C, S)>,
}

impl<C: Cell, S: Stored> Pass for Step<'_, C, S> {
    type Output = ();

    /// # Safety
    /// All that the fields describe can be read or written, and nobody else writes there meanwhile.
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { shape, params, head, room, h, c, mut x, turn, .. } = self;
        let (width, at) = (padded(shape.hidden), Room::of(&shape));
        if x.is_none() && turn.ahead {
            return;
        }
        // SAFETY: the caller's promise.
        unsafe {
            for l in 0..shape.layers {
                let layer = Offsets::layer(&shape, S::WEIGHTS, l);
                let hh = Matrix {
                    weight: params.add(layer.weight_hh),
                    scale: params.add(layer.scale_hh),
                    bias: params.add(layer.bias_hh),
                    columns: shape.hidden,
                };
                let ih = Matrix {
                    weight: params.add(layer.weight_ih),
                    scale: params.add(layer.scale_ih),
                    bias: params.add(layer.bias_ih),
                    columns: shape.layer_input(l),
                };
                let h = h.add(l * width);
                let layer = Layer {
                    hidden: shape.hidden,
                    hh: hh.product::<C, S>(&shape, h),
                    ih: x.map(|x| ih.product::<C, S>(&shape, x)),
                    ahead: turn.ahead,
                    backwards: turn.backwards,
                    gates_h: room.add(at.gates_h + l * C::GATES * width),
                    after: room.add(at.after),
                    h,
                    c: if C::HAS_C { c.add(l * width) } else { h },
                };
                layer.run::<V, C, S>();
                x = x.map(|_| h.cast_const());
            }
            if !turn.ahead {
                turn.backwards = !turn.backwards;
            }
            turn.ahead = x.is_none();
            if let (Some(x), Some(output)) = (x, shape.output) {
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
                .row::<V>();
            }
        }
    }
}

/// One layer of a step. Its tiles are taken a few at a time: their gates and their cells stay in registers from the
/// first product to the new state.
struct Layer {
    /// H
    hidden: usize,
    /// `W_hh h + b_hh`
    hh: Product,
    /// `W_ih x + b_ih`, once x is there.
    ih: Option<Product>,
    /// Those of [`Turn`].
    ahead: bool,
    backwards: bool,
    /// `[G·Hp]`: gates_h, if `ahead`; otherwise, without x, where they are written.
    gates_h: *mut f32,
    /// [`Room::after`]
    after: *mut f32,
    /// `[Hp]`
    h: *mut f32,
    /// The same for c of an LSTM.
    c: *mut f32,
}

impl Layer {
    /// # Safety
    /// That of [`Step::run`].
    #[inline(always)]
    unsafe fn run<V: Lanes, C: Cell, S: Stored>(&self) {
        // One tile alone has too few sums to keep the processor busy, and its cell is one chain of operations that wait
        // for each other. Four tiles of several gates would be faster still while the weights fit the first-level
        // cache. Beyond it, fewer groups would leave less to gain from reading forwards and backwards in turn.
        let together = V::ACCUMULATORS / if C::GATES == 1 { 4 } else { C::GATES };
        // SAFETY: the caller's promise; tiles stay below their number.
        unsafe {
            let fours = if together >= 4 && C::GATES == 1 { self.groups::<V, C, S, 4>(0) } else { 0 };
            let pairs = if together >= 2 { self.groups::<V, C, S, 2>(4 * fours) } else { 0 };
            let ones = self.groups::<V, C, S, 1>(4 * fours + 2 * pairs);
            if self.ih.is_some() && fours + pairs + ones > 1 {
                for at in (0..padded(self.hidden)).step_by(LANES) {
                    V::load(self.after.add(at)).store(self.h.add(at));
                }
            }
        }
    }

    /// Runs all complete groups of tiles from `first` on. Returns how many there are.
    #[inline(always)]
    unsafe fn groups<V: Lanes, C: Cell, S: Stored, const TILES: usize>(&self, first: usize) -> usize {
        let groups = (padded(self.hidden) / LANES - first) / TILES;
        for group in 0..groups {
            let group = if self.backwards { groups - 1 - group } else { group };
            // SAFETY: the caller's promise; tiles stay below their number.
            unsafe { self.tiles::<V, C, S, TILES>(first + group * TILES) };
        }
        groups
    }

    /// Gates and, if x is there, cells of a few tiles from `first` on.
    #[inline(always)]
    unsafe fn tiles<V: Lanes, C: Cell, S: Stored, const TILES: usize>(&self, first: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let gates_h = if self.ahead {
                self.gates_h_ahead::<V, C, TILES>(first)
            } else {
                self.hh.gates::<V, C, S, TILES>(first)
            };
            let Some(ih) = &self.ih else {
                for tile in 0..TILES {
                    for gate in 0..C::GATES {
                        gates_h[tile][gate].store(self.gates_h.add(((first + tile) * C::GATES + gate) * LANES));
                    }
                }
                return;
            };
            let gates_x = beside(ih.gates::<V, C, S, TILES>(first));
            let at = first * LANES;
            let (h, c) = (self.h.add(at), self.c.add(at));
            let before = CellState { h: Beside::load(h), c: Beside::load(c) };
            let (after, _) = C::forward(gates_x, beside(gates_h), before);
            let mut mask = Beside([V::splat(0.0); TILES]);
            for tile in 0..TILES {
                mask.0[tile] = tail(self.hidden - (first + tile) * LANES);
            }
            // in the only group nothing else reads the h before the step
            let all = TILES * LANES == padded(self.hidden);
            kept(after.h, mask).store(if all { h } else { self.after.add(at) });
            if C::HAS_C {
                kept(after.c, mask).store(c);
            }
        }
    }

    #[inline(always)]
    unsafe fn gates_h_ahead<V: Lanes, C: Cell, const TILES: usize>(&self, first: usize) -> [[V; MOST]; TILES] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut gates = [[V::splat(0.0); MOST]; TILES];
            for tile in 0..TILES {
                for gate in 0..C::GATES {
                    gates[tile][gate] = V::load(self.gates_h.add(((first + tile) * C::GATES + gate) * LANES));
                }
            }
            gates
        }
    }
}

/// Gates of tiles as gates of wider vectors.
#[inline(always)]
fn beside<V: Lanes, const TILES: usize>(tiles: [[V; MOST]; TILES]) -> [Beside<V, TILES>; MOST] {
    let mut gates = [Beside([tiles[0][0]; TILES]); MOST];
    for gate in 0..MOST {
        for tile in 0..TILES {
            gates[gate].0[tile] = tiles[tile][gate];
        }
    }
    gates
}

/// A weight of a layer with its bias.
struct Matrix {
    weight: *const f32,
    scale: *const f32,
    bias: *const f32,
    columns: usize,
}

impl Matrix {
    /// Gates of one row: `W a + bias`, for [`Product::gates`].
    #[inline(always)]
    fn product<C: Cell, S: Stored>(&self, shape: &Shape, a: *const f32) -> Product {
        let run = C::GATES * S::WORDS;
        let bias = shape.bias.then_some(self.bias);
        Product {
            rows: 1,
            depth: self.columns,
            panel: const { Panel::of(C::GATES) },
            panels: padded(shape.hidden) / LANES,
            a,
            a_row: 0,
            a_depth: 1,
            b: self.weight,
            b_depth: run,
            b_panel: self.columns.div_ceil(S::RUN) * run,
            out: core::ptr::null_mut(),
            out_row: 0,
            out_panel: 0,
            start: if S::WEIGHTS.scaled() {
                Start::Scaled(self.scale, bias)
            } else {
                bias.map_or(Start::Zero, Start::Bias)
            },
        }
    }
}
