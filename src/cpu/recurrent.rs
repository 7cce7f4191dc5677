//! A recurrent layer over a window, forwards and backwards: the time loop around the cell.
//!
//! Rows of all arrays are (t, b), time-major, and padded to whole vectors. A row of gates is `[tile][gate][lane]`.
//! Rows of the batch do not touch each other, so several threads may take some of them each.

use super::product::{Panel, Product, Start};
use super::stored::Stored;
use crate::cell::{Cell, CellState, MOST};
use crate::simd::lanes::{LANES, Lanes, Pass, padded};
use core::marker::PhantomData;
use core::ops::Range;

/// One layer and the part of a window that a pass works on.
///
/// Whoever makes one promises that its pointers are valid for what their comments describe: T steps, B rows a step.
#[derive(Clone, Copy)]
pub struct Layer {
    /// G, the gates of the cell.
    pub gates: usize,
    /// H
    pub hidden: usize,
    /// T
    pub steps: usize,
    /// B
    pub batch: usize,
    /// Values of a row of x: I, or H of the layer below.
    pub columns: usize,
    /// x `[T·B]` rows, `x_row` apart.
    pub x: *const f32,
    /// From one row of x to the next.
    pub x_row: usize,
    /// `[tile][run of columns][G][words]`: of f32 `[tile][columns][G][lane]`.
    pub weight_ih: *const f32,
    /// `[tile][run of H][G][words]`
    pub weight_hh: *const f32,
    /// `[tile][G][lane]`, both or none.
    pub biases: Option<(*const f32, *const f32)>,
    /// The scales of the rows of both weights, `[tile][G][lane]`, if their format has them.
    pub scales: Option<(*const f32, *const f32)>,
    /// Steps that gates_x has room for: all T for backward, else at most [`Layer::piece`] of B; one where there are
    /// none.
    pub held: usize,
    /// `[held·B][G·Hp]`: gates_x of the last steps after forward, dgates_x after backward.
    pub gates_x: *mut f32,
    /// `[B][G·Hp]`: gates_h of the current step; `[T·B][G·Hp]` in backward of a cell that resets, for dgates_h.
    pub gates_h: *mut f32,
    /// `[(T+1)·B][Hp]`, the first B rows being the state before the window.
    pub h: *mut f32,
    /// The same for c of an LSTM; not used for other cells.
    pub c: *mut f32,
    /// `[T·B][SAVED·Hp]` for backward, a tile's vectors side by side; null if no backward follows.
    pub saved: *mut f32,
}

// SAFETY: it owns nothing; whoever runs a pass over it promises that its memory may be used.
unsafe impl Send for Layer {}
// SAFETY: the same.
unsafe impl Sync for Layer {}

impl Layer {
    /// Hp: H rounded up to whole vectors.
    pub fn width(&self) -> usize {
        padded(self.hidden)
    }

    fn tiles(&self) -> usize {
        self.width() / LANES
    }

    /// Values of a row of gates.
    pub fn gates_width(&self) -> usize {
        self.gates * self.width()
    }

    /// Steps whose gates_x are computed together, right before they are used: enough rows for the product, and few
    /// enough that they are still in the cache.
    pub const fn piece(batch: usize) -> usize {
        const ROWS: usize = 64;
        if batch == 0 || batch > ROWS { 1 } else { ROWS / batch }
    }

    /// The first row of gates_x of step `t`.
    fn gates_row(&self, t: usize) -> usize {
        t % self.held * self.batch
    }

    /// `W_ih x + b_ih` of `rows` rows from row `first` of step `t` on.
    fn project_x<C: Cell, S: Stored>(&self, t: usize, first: usize, rows: usize) -> Product {
        // SAFETY: rows of the window.
        let (a, out) = unsafe {
            let x = self.x.add((t * self.batch + first) * self.x_row);
            (x, self.gates_x.add((self.gates_row(t) + first) * self.gates_width()))
        };
        let start = start(self.scales.map(|(scale_ih, _)| scale_ih), self.biases.map(|(bias_ih, _)| bias_ih));
        self.project::<C, S>(rows, self.columns, a, self.x_row, self.weight_ih, out, start)
    }

    /// `W_hh h + b_hh` for rows of the batch at step `t`.
    fn project_h<C: Cell, S: Stored>(&self, t: usize, rows: &Range<usize>) -> Product {
        // SAFETY: rows of the window.
        let (a, out) = unsafe {
            let before = self.h.add((t * self.batch + rows.start) * self.width());
            (before, self.gates_h.add(rows.start * self.gates_width()))
        };
        let start = start(self.scales.map(|(_, scale_hh)| scale_hh), self.biases.map(|(_, bias_hh)| bias_hh));
        self.project::<C, S>(rows.len(), self.hidden, a, self.width(), self.weight_hh, out, start)
    }

    #[allow(clippy::too_many_arguments, reason = "the operands of one product, each of another kind")]
    fn project<C: Cell, S: Stored>(
        &self,
        rows: usize,
        depth: usize,
        a: *const f32,
        a_row: usize,
        weight: *const f32,
        out: *mut f32,
        start: Start,
    ) -> Product {
        let run = self.gates * S::WORDS;
        Product {
            rows,
            depth,
            panel: const { Panel::of(C::GATES) },
            panels: self.tiles(),
            a,
            a_row,
            a_depth: 1,
            b: weight,
            b_depth: run,
            b_panel: depth.div_ceil(S::RUN) * run,
            out,
            out_row: self.gates_width(),
            out_panel: self.gates * LANES,
            start,
        }
    }
}

/// What the gates of a layer start from, with the scales and the bias that it has.
fn start(scale: Option<*const f32>, bias: Option<*const f32>) -> Start {
    match scale {
        Some(scale) => Start::Scaled(scale, bias),
        None => bias.map_or(Start::Zero, Start::Bias),
    }
}

/// Forward of some rows of the batch over the whole window, with weights stored as `S`.
pub struct Forward<C, S> {
    /// The layer.
    pub layer: Layer,
    /// Rows of the batch.
    pub rows: Range<usize>,
    /// The cell and the format.
    pub kinds: PhantomData<(C, S)>,
}

impl<C: Cell, S: Stored> Pass for Forward<C, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { layer, rows, .. } = self;
        // SAFETY: the promise of the layer; rows are below B.
        unsafe {
            let together = Layer::piece(layer.batch).min(layer.held);
            for first in (0..layer.steps).step_by(together) {
                let piece = first..layer.steps.min(first + together);
                if rows.len() == layer.batch {
                    layer.project_x::<C, S>(first, 0, piece.len() * layer.batch).run_stored::<V, S>();
                } else {
                    for t in piece.clone() {
                        layer.project_x::<C, S>(t, rows.start, rows.len()).run_stored::<V, S>();
                    }
                }
                for t in piece {
                    layer.project_h::<C, S>(t, &rows).run_stored::<V, S>();
                    for b in rows.clone() {
                        let gates_x = layer.gates_x.add((layer.gates_row(t) + b) * layer.gates_width());
                        for tile in 0..layer.tiles() {
                            forward_tile::<V, C>(&layer, t, b, tile, gates_x);
                        }
                    }
                }
            }
        }
    }
}

/// One step of the sixteen units of a tile.
#[inline(always)]
unsafe fn forward_tile<V: Lanes, C: Cell>(layer: &Layer, t: usize, b: usize, tile: usize, gates_x: *const f32) {
    // SAFETY: the promise of the layer.
    unsafe {
        let row = t * layer.batch + b;
        let gates_x = load_all::<V>(gates_x, tile, C::GATES);
        let gates_h = load_all::<V>(layer.gates_h.add(b * layer.gates_width()), tile, C::GATES);
        let at = row * layer.width() + tile * LANES;
        let before = load_state::<V, C>(layer, at);
        let (after, saved) = C::forward(gates_x, gates_h, before);
        let mask = tail::<V>(layer.hidden - tile * LANES);
        let at_next = at + layer.batch * layer.width();
        kept(after.h, mask).store(layer.h.add(at_next));
        if C::HAS_C {
            kept(after.c, mask).store(layer.c.add(at_next));
        }
        if !layer.saved.is_null() {
            let to = layer.saved.add((row * layer.tiles() + tile) * C::SAVED * LANES);
            for (v, value) in saved.into_iter().enumerate().take(C::SAVED) {
                value.and(mask).store(to.add(v * LANES));
            }
        }
    }
}

/// Backward of some rows of the batch over the whole window: from the gradients that arrive at h to those of the
/// gates and of the state before the window.
pub struct Backward<C> {
    /// The layer, after forward.
    pub layer: Layer,
    /// Rows of the batch.
    pub rows: Range<usize>,
    /// `[T·B][Hp]`: what arrives at h of each step from above.
    pub dabove: *const f32,
    /// `[B][Hp]`: before the pass, what arrives at the last h from after the window; then the gradient at the first h.
    pub dh: *mut f32,
    /// The same for c of an LSTM.
    pub dc: *mut f32,
    /// W_hh as a right side over gates and units: `[tile of h][G·Hp][lane]`.
    pub weight_hh_transposed: *const f32,
    /// The cell.
    pub cell: PhantomData<C>,
}

// SAFETY: it owns nothing; whoever runs it promises that its memory may be used.
unsafe impl<C> Send for Backward<C> {}

impl<C: Cell> Pass for Backward<C> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { layer, rows, .. } = &self;
        let width = layer.width();
        // SAFETY: the promise of the layer; rows are below B.
        unsafe {
            for t in (0..layer.steps).rev() {
                for b in rows.clone() {
                    for tile in 0..layer.tiles() {
                        self.tile::<V>(t, b, tile);
                    }
                }
                let first = t * layer.batch + rows.start;
                let dgates_h = if C::RESET { layer.gates_h } else { layer.gates_x };
                Product {
                    rows: rows.len(),
                    depth: layer.gates_width(),
                    panel: Panel::One,
                    panels: layer.tiles(),
                    a: dgates_h.add(first * layer.gates_width()),
                    a_row: layer.gates_width(),
                    a_depth: 1,
                    b: self.weight_hh_transposed,
                    b_depth: LANES,
                    b_panel: layer.gates_width() * LANES,
                    out: self.dh.add(rows.start * width),
                    out_row: width,
                    out_panel: LANES,
                    start: Start::Result,
                }
                .run::<V>();
            }
        }
    }
}

impl<C: Cell> Backward<C> {
    /// One step of the sixteen units of a tile.
    #[inline(always)]
    unsafe fn tile<V: Lanes>(&self, t: usize, b: usize, tile: usize) {
        let layer = &self.layer;
        // SAFETY: the promise of the layer.
        unsafe {
            let row = t * layer.batch + b;
            let at = row * layer.width() + tile * LANES;
            let (before, after) =
                (load_state::<V, C>(layer, at), load_state::<V, C>(layer, at + layer.batch * layer.width()));
            let saved = load_all::<V>(layer.saved.add(row * layer.tiles() * C::SAVED * LANES), tile, C::SAVED);
            let dstate = b * layer.width() + tile * LANES;
            let dh = self.dh.add(dstate);
            let h = V::load(dh) + V::load(self.dabove.add(at));
            let dafter = CellState { h, c: if C::HAS_C { V::load(self.dc.add(dstate)) } else { h } };
            let gradients = C::backward(saved, before, after, dafter);
            let mask = tail::<V>(layer.hidden - tile * LANES);
            let gates = (row * layer.tiles() + tile) * C::GATES * LANES;
            for gate in 0..C::GATES {
                kept(gradients.dgates_x[gate], mask).store(layer.gates_x.add(gates + gate * LANES));
                if C::RESET {
                    kept(gradients.dgates_h[gate], mask).store(layer.gates_h.add(gates + gate * LANES));
                }
            }
            kept(gradients.dstate.h, mask).store(dh);
            if C::HAS_C {
                kept(gradients.dstate.c, mask).store(self.dc.add(dstate));
            }
        }
    }
}

/// The `count` vectors of a tile, in a row that has `count` vectors for each tile.
#[inline(always)]
unsafe fn load_all<V: Lanes>(row: *const f32, tile: usize, count: usize) -> [V; MOST] {
    // SAFETY: the promise of the layer.
    unsafe {
        let mut vectors = [V::splat(0.0); MOST];
        for (v, vector) in vectors.iter_mut().enumerate().take(count) {
            *vector = V::load(row.add((tile * count + v) * LANES));
        }
        vectors
    }
}

#[inline(always)]
unsafe fn load_state<V: Lanes, C: Cell>(layer: &Layer, at: usize) -> CellState<V> {
    // SAFETY: the promise of the layer.
    unsafe {
        let h = V::load(layer.h.add(at));
        CellState { h, c: if C::HAS_C { V::load(layer.c.add(at)) } else { h } }
    }
}

/// What is stored of a vector of states or gradients. Lanes beyond the layer's units become zero, by `mask`. Numbers
/// that are too small to matter become zero as well. Otherwise a state that fades would end as subnormal numbers, which
/// are slow.
#[inline(always)]
pub fn kept<V: Lanes>(value: V, mask: V) -> V {
    value.settled().and(mask)
}

/// The mask that keeps the first `units` lanes and clears the others. It keeps all of sixteen or more.
///
/// Padding has zero weights, yet zero times an infinite input is NaN. Cleared, the NaN goes no further.
///
/// # Safety
/// The processor has the instruction set.
#[inline(always)]
pub unsafe fn tail<V: Lanes>(units: usize) -> V {
    if units >= LANES {
        // SAFETY: the caller's promise.
        return unsafe { V::splat(f32::from_bits(u32::MAX)) };
    }
    const EDGE: &[u32; 2 * LANES] = &{
        let mut edge = [0; 2 * LANES];
        let mut lane = 0;
        while lane < LANES {
            edge[lane] = u32::MAX;
            lane += 1;
        }
        edge
    };
    // SAFETY: sixteen values from an offset below sixteen on.
    unsafe { V::load(EDGE.as_ptr().add(LANES - units).cast()) }
}
