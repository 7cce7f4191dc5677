//! One layer of a block of rows: product and cell, tile after tile.

use super::super::beside::Beside;
use super::super::product::{Panel, Product, Start};
use super::super::recurrent::{kept, tail};
use super::super::stored::Stored;
use super::BLOCK;
use crate::cell::{Cell, CellState, MOST};
use crate::simd::lanes::{LANES, Lanes, padded};
use core::ops::Range;

/// How many tiles of units go through product and cell together where a block is full. A cell of one gate has products
/// of two panels at a time.
pub const fn tiles_at_a_time(gates: usize) -> usize {
    if gates == 1 { 2 } else { 1 }
}

/// A weight of a layer.
#[derive(Clone, Copy)]
pub struct Matrix {
    /// `[tile][run of columns][G][words]`
    pub weight: *const f32,
    /// `[tile][G][lane]`, if the format has scales
    pub scale: *const f32,
    /// `[tile][G][lane]`
    pub bias: Option<*const f32>,
}

/// One layer of a block of rows.
///
/// Whoever makes one promises that its pointers are valid for what their comments describe.
pub struct Layer {
    /// H
    pub hidden: usize,
    /// Values of a row of x: I, or H of the layer below.
    pub columns: usize,
    /// Rows of everything here.
    pub rows: usize,
    /// `[rows][columns]`, `x_row` apart
    pub x: *const f32,
    /// From one row of x to the next.
    pub x_row: usize,
    /// Of `[tile][columns][G][lane]`.
    pub ih: Matrix,
    /// Of `[tile][H][G][lane]`.
    pub hh: Matrix,
    /// `[rows][Hp]`: room for h before the step, one row after the other.
    pub before: *mut f32,
    /// `[rows][Hp]`: h after the step, which is written to the states too.
    pub after: *mut f32,
    /// `[rows][tiles at a time][G][lane]`: room for `W_ih x + b_ih`.
    pub gates_x: *mut f32,
    /// The same for `W_hh h + b_hh`.
    pub gates_h: *mut f32,
    /// The state of slot 0, `[h, c][Hp]`; that of the next slot is `state_len` values later.
    pub states: *mut f32,
    /// From one slot's state to the next.
    pub state_len: usize,
    /// `[rows]`: the slot of each row.
    pub slots: *const u32,
}

impl Layer {
    /// h of row `row` in the arena, with c after it.
    #[inline(always)]
    unsafe fn state(&self, row: usize) -> *mut f32 {
        // SAFETY: a row; slots are within the arena.
        unsafe { self.states.add(*self.slots.add(row) as usize * self.state_len) }
    }

    /// Takes the step: the state of every row becomes that after it.
    ///
    /// # Safety
    /// All that the fields describe can be read or written, nobody else writes there meanwhile, no slot is there twice,
    /// and the processor has the instruction set.
    #[inline(always)]
    pub unsafe fn run<V: Lanes, C: Cell, S: Stored>(&self) {
        let width = padded(self.hidden);
        let tiles = width / LANES;
        // SAFETY: the promise of the layer; there is room for the gates of all rows and of `together` tiles.
        unsafe {
            for row in 0..self.rows {
                let (from, to) = (self.state(row), self.before.add(row * width));
                for at in (0..width).step_by(LANES) {
                    V::load(from.add(at)).store(to.add(at));
                }
            }
            let together = (BLOCK * tiles_at_a_time(C::GATES) / self.rows).clamp(1, tiles);
            for first in (0..tiles).step_by(together) {
                let some = first..tiles.min(first + together);
                self.product::<V, C, S>(&some, (self.before, width), self.hidden, self.hh, self.gates_h);
                if self.columns == 1 && !S::WEIGHTS.scaled() {
                    self.cells::<V, C, true>(&some);
                } else {
                    self.product::<V, C, S>(&some, (self.x, self.x_row), self.columns, self.ih, self.gates_x);
                    self.cells::<V, C, false>(&some);
                }
            }
        }
    }

    /// Gates of all rows and some tiles: `W a + bias`.
    #[inline(always)]
    unsafe fn product<V: Lanes, C: Cell, S: Stored>(
        &self,
        tiles: &Range<usize>,
        (a, a_row): (*const f32, usize),
        depth: usize,
        Matrix { weight, scale, bias }: Matrix,
        out: *mut f32,
    ) {
        let (panel, run) = (C::GATES * LANES, C::GATES * S::WORDS);
        let b_panel = depth.div_ceil(S::RUN) * run;
        // SAFETY: the promise of the layer.
        unsafe {
            let bias = bias.map(|bias| bias.add(tiles.start * panel));
            Product {
                rows: self.rows,
                depth,
                panel: const { Panel::of(C::GATES) },
                panels: tiles.len(),
                a,
                a_row,
                a_depth: 1,
                b: weight.add(tiles.start * b_panel),
                b_depth: run,
                b_panel,
                out,
                out_row: tiles.len() * panel,
                out_panel: panel,
                start: if S::WEIGHTS.scaled() {
                    Start::Scaled(scale.add(tiles.start * panel), bias)
                } else {
                    bias.map_or(Start::Zero, Start::Bias)
                },
            }
            .run_stored::<V, S>();
        }
    }

    /// The cells of all rows and some tiles. With `ONE`, gates_x are computed here, from `x [rows][1]`.
    #[inline(always)]
    unsafe fn cells<V: Lanes, C: Cell, const ONE: bool>(&self, tiles: &Range<usize>) {
        // SAFETY: the promise of the layer.
        unsafe {
            for tile in tiles.clone() {
                let mut row = 0;
                // two chains at a time where there are registers for them
                while V::ACCUMULATORS >= 12 && row + 2 <= self.rows {
                    self.units::<V, C, 2, ONE>(tiles, tile, row);
                    row += 2;
                }
                while row < self.rows {
                    self.units::<V, C, 1, ONE>(tiles, tile, row);
                    row += 1;
                }
            }
        }
    }

    /// The cell of the sixteen units of a tile, in `N` rows from `row` on.
    #[inline(always)]
    unsafe fn units<V: Lanes, C: Cell, const N: usize, const ONE: bool>(
        &self,
        tiles: &Range<usize>,
        tile: usize,
        row: usize,
    ) {
        let width = padded(self.hidden);
        // SAFETY: the promise of the layer; N rows from `row` on are rows of it.
        unsafe {
            let zero = V::splat(0.0);
            let none = Beside([zero; N]);
            let (mut gates_x, mut gates_h) = ([none; MOST], [none; MOST]);
            for gate in 0..C::GATES {
                let from = ((row * tiles.len() + tile - tiles.start) * C::GATES + gate) * LANES;
                let apart = tiles.len() * C::GATES * LANES;
                gates_h[gate] = rows(self.gates_h.add(from), apart);
                gates_x[gate] = if ONE {
                    let at = (tile * C::GATES + gate) * LANES;
                    let weight = V::load(self.ih.weight.add(at));
                    let mut sums = Beside(
                        [match self.ih.bias {
                            Some(bias) => V::load(bias.add(at)),
                            None => zero,
                        }; N],
                    );
                    for (n, sum) in sums.0.iter_mut().enumerate() {
                        *sum = V::splat(*self.x.add((row + n) * self.x_row)).mul_add(weight, *sum);
                    }
                    // a product of one gate adds up four chains, three of which are zero here: -0 becomes +0
                    if C::GATES == 1 { sums + none } else { sums }
                } else {
                    rows(self.gates_x.add(from), apart)
                };
            }
            let at = tile * LANES;
            let mut before = CellState { h: rows(self.before.add(row * width + at), width), c: none };
            if C::HAS_C {
                for (n, c) in before.c.0.iter_mut().enumerate() {
                    *c = V::load(self.state(row + n).add(width + at));
                }
            }
            let (CellState { h, c }, _) = C::forward(gates_x, gates_h, before);
            let mask = Beside([tail::<V>(self.hidden - at); N]);
            let (h, c) = (kept(h, mask), kept(c, mask));
            for (n, (h, c)) in h.0.into_iter().zip(c.0).enumerate() {
                let state = self.state(row + n).add(at);
                h.store(self.after.add((row + n) * width + at));
                h.store(state);
                if C::HAS_C {
                    c.store(state.add(width));
                }
            }
        }
    }
}

/// The same sixteen values of `N` rows, `apart` values from each other.
#[inline(always)]
unsafe fn rows<V: Lanes, const N: usize>(from: *const f32, apart: usize) -> Beside<V, N> {
    // SAFETY: the caller's promise.
    unsafe {
        let mut all = Beside([V::splat(0.0); N]);
        for (n, vector) in all.0.iter_mut().enumerate() {
            *vector = V::load(from.add(n * apart));
        }
        all
    }
}
