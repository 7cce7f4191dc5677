//! One step of many sequences at once, each with a state of its own, all states in one arena.
//!
//! The rows of a call go through all layers in blocks that stay in the first cache. Their h is gathered from the arena into
//! rows side by side, since what a product reads lies at even distances and h must not change under it; the new h goes back
//! to its slot, and c is changed in its slot. Weights are read once for a whole block. Every sum is that of the same row in a
//! single stream, in the same order: the same bits.

use super::Cpu;
use super::beside::Beside;
use super::linear::Linear;
use super::product::{Product, Start, transpose};
use super::recurrent::tail;
use super::threads::Threads;
use crate::cell::{self, Cell, MOST, State as Units, Visitor};
use crate::error::{Error, Result};
use crate::lanes::{Lanes, Pass};
use crate::layout::Layout;
use crate::scaler::Scaler;
use crate::shape::Shape;
use crate::tensor::{Buffer, LANES, padded};
use alloc::{format, vec, vec::Vec};
use core::marker::PhantomData;
use core::ops::Range;

/// The most rows of a block: whole tiles of the product (six rows, or three) and of the head (sixteen).
const BLOCK: usize = 48;

/// The fewest rows that are worth another thread.
const SHARE: usize = 16;

/// States of many sequences in one arena, and the pass that steps some of them.
#[derive(Debug)]
pub struct Many {
    cpu: Cpu,
    threads: Threads,
    shape: Shape,
    layout: Layout,
    /// fc.weight with lanes along h.
    head_transposed: Buffer,
    /// One for each thread.
    rooms: Vec<Room>,
    /// `[slot][L][h, and c of an LSTM][Hp]`
    arena: Buffer,
    slots: usize,
    /// For each slot, the last call that had it among its rows.
    stamps: Vec<u64>,
    call: u64,
    /// The rows of the call at hand: slots, each below `slots` and none twice.
    rows: Vec<u32>,
}

/// What lies between the x and the y of a block.
#[derive(Debug)]
struct Room {
    /// `[BLOCK][I]`, in the network's units.
    x: Buffer,
    /// `[BLOCK][Hp]`: h of the layer at hand before the step; after it, of this layer and the one below in turn.
    before: Buffer,
    after: [Buffer; 2],
    /// `[BLOCK][tiles at a time][G][lane]`
    gates_x: Buffer,
    gates_h: Buffer,
    /// `[BLOCK][Op]`
    y: Buffer,
}

impl Many {
    /// The most values that an arena may hold, 8 GiB of them.
    pub const MOST: usize = super::Network::MOST;

    /// Room for `slots` states, all zero.
    ///
    /// # Errors
    /// If they would be more than [`Many::MOST`] values.
    ///
    /// # Panics
    /// If `params` are not as many as the shape has.
    pub fn new(cpu: Cpu, threads: Threads, shape: &Shape, params: &[f32], slots: usize) -> Result<Self> {
        let layout = Layout::new(shape);
        assert!(params.len() == layout.len());
        let (width, out) = (padded(shape.hidden), shape.output.map_or(0, padded));
        let mut head_transposed = Buffer::zeros(out * width);
        if let Some((weight, _)) = &layout.head {
            transpose(&params[weight.clone()], 1, shape.hidden, &mut head_transposed);
        }
        let gates = BLOCK * tiles_at_a_time(shape.gates()) * shape.gates() * LANES;
        let room = || Room {
            x: Buffer::zeros(BLOCK * shape.input),
            before: Buffer::zeros(BLOCK * width),
            after: [0, 1].map(|_| Buffer::zeros(BLOCK * width)),
            gates_x: Buffer::zeros(gates),
            gates_h: Buffer::zeros(gates),
            y: Buffer::zeros(BLOCK * out),
        };
        let mut many = Self {
            rooms: (0..threads.count()).map(|_| room()).collect(),
            arena: Buffer::zeros(0),
            slots: 0,
            stamps: vec![],
            call: 0,
            rows: vec![],
            shape: *shape,
            head_transposed,
            layout,
            cpu,
            threads,
        };
        many.grow(slots)?;
        Ok(many)
    }

    /// How many states there is room for.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// The processor it runs on.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// Room for `slots` states, if there is less: those there are stay as they are, the others are zero. This and
    /// [`Many::new`] are all that allocates.
    ///
    /// # Errors
    /// If they would be more than [`Many::MOST`] values; nothing has changed then.
    pub fn grow(&mut self, slots: usize) -> Result<()> {
        if slots <= self.slots {
            return Ok(());
        }
        let len = slots.checked_mul(self.state_len()).filter(|&len| len <= Self::MOST && slots <= u32::MAX as usize);
        let Some(len) = len else {
            let Shape { hidden, layers, .. } = self.shape;
            return Err(Error::invalid(format!(
                "room for {slots} streams: more memory than makes sense for H {hidden} and L {layers}; take fewer streams"
            )));
        };
        let mut arena = Buffer::zeros(len);
        arena[..self.arena.len()].copy_from_slice(&self.arena);
        self.arena = arena;
        self.stamps.resize(slots, 0);
        self.rows.clear();
        self.rows.reserve_exact(slots);
        self.slots = slots;
        Ok(())
    }

    /// The state of a slot back to zero.
    pub fn reset(&mut self, slot: u32) {
        let len = self.state_len();
        self.arena[slot as usize * len..][..len].fill(0.0);
    }

    /// h of a layer of a slot: H values.
    pub fn h(&self, slot: u32, layer: usize) -> &[f32] {
        &self.arena[self.place(slot, layer, false)]
    }

    /// The same to be written.
    pub fn h_mut(&mut self, slot: u32, layer: usize) -> &mut [f32] {
        let place = self.place(slot, layer, false);
        &mut self.arena[place]
    }

    /// c of a layer of a slot: H values, of an LSTM only.
    pub fn c(&self, slot: u32, layer: usize) -> &[f32] {
        &self.arena[self.place(slot, layer, true)]
    }

    /// The same to be written.
    pub fn c_mut(&mut self, slot: u32, layer: usize) -> &mut [f32] {
        let place = self.place(slot, layer, true);
        &mut self.arena[place]
    }

    fn place(&self, slot: u32, layer: usize, c: bool) -> Range<usize> {
        debug_assert!(!c || self.shape.cell.has_c());
        let kinds = 1 + usize::from(self.shape.cell.has_c());
        let first = ((slot as usize * self.shape.layers + layer) * kinds + usize::from(c)) * padded(self.shape.hidden);
        first..first + self.shape.hidden
    }

    /// Values of a state in the arena.
    fn state_len(&self) -> usize {
        self.shape.layers * padded(self.shape.hidden) * (1 + usize::from(self.shape.cell.has_c()))
    }

    /// Begins a call: it has no rows yet.
    pub fn begin(&mut self) {
        self.call += 1; // one a nanosecond last for centuries
        self.rows.clear();
    }

    /// Takes a slot as the next row of the call; not if it is among them already.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn add(&mut self, slot: u32) -> bool {
        let stamp = &mut self.stamps[slot as usize];
        let new = *stamp != self.call;
        if new {
            *stamp = self.call;
            self.rows.push(slot); // within its capacity: there are no more slots than that
        }
        new
    }

    /// Steps the rows of the call: y `[N,O]` of `x [N,I]`, in raw units if there are scalers for x and y. The states of
    /// the slots become those after the step. Allocates nothing; several threads have the allocations of their pool.
    ///
    /// # Panics
    /// If a length is not what the shape and the rows say, or scalers are of another width.
    pub fn step(&mut self, params: &[f32], x: &[f32], y: &mut [f32], scalers: Option<(&Scaler, &Scaler)>) {
        let (n, shape) = (self.rows.len(), self.shape);
        assert!(params.len() == self.layout.len());
        assert!(x.len() == n * shape.input && y.len() == n * shape.width_out());
        assert!(scalers.is_none_or(|(x, y)| x.width() == shape.input && y.width() == shape.width_out()));
        let step = Step {
            cpu: self.cpu,
            shape,
            layout: &self.layout,
            head_transposed: self.head_transposed.as_ptr(),
            params: params.as_ptr(),
            arena: self.arena.as_mut_ptr(),
            slots: self.rows.as_ptr(),
            x: x.as_ptr(),
            y: y.as_mut_ptr(),
            scalers,
        };
        let rooms = Rooms(self.rooms.as_mut_ptr());
        let parts = self.rooms.len().min(n.div_ceil(SHARE));
        self.threads.split(parts, |some| {
            for part in some {
                let rows = n * part / parts..n * (part + 1) / parts;
                // SAFETY: there is a room for each part, and each part is worked on once.
                let room = unsafe { rooms.get(part) };
                cell::visit(&shape, Share { step, room, rows });
            }
        });
    }
}

/// Tiles of units that go through product and cell together where a block is full: a cell of one gate has its products of
/// two panels at a time.
const fn tiles_at_a_time(gates: usize) -> usize {
    if gates == 1 { 2 } else { 1 }
}

/// The rooms of all threads.
struct Rooms(*mut Room);

// SAFETY: each thread takes another one.
unsafe impl Sync for Rooms {}

impl Rooms {
    /// # Safety
    /// There is such a room, and nobody else has it.
    #[allow(clippy::mut_from_ref, reason = "each is given once, as the caller promises")]
    unsafe fn get(&self, part: usize) -> &mut Room {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.0.add(part) }
    }
}

/// A call of [`Many::step`], which checked that the pointers reach what their comments say.
#[derive(Clone, Copy)]
struct Step<'a> {
    cpu: Cpu,
    shape: Shape,
    layout: &'a Layout,
    head_transposed: *const f32,
    params: *const f32,
    /// `[slot][L][h, c][Hp]`
    arena: *mut f32,
    /// `[N]`, no slot twice
    slots: *const u32,
    /// `[N][I]`
    x: *const f32,
    /// `[N][O]`
    y: *mut f32,
    scalers: Option<(&'a Scaler, &'a Scaler)>,
}

// SAFETY: parts of the rows do not touch each other's slots and y.
unsafe impl Send for Step<'_> {}
unsafe impl Sync for Step<'_> {}

/// Some rows of a step, for one thread.
struct Share<'a> {
    step: Step<'a>,
    room: &'a mut Room,
    rows: Range<usize>,
}

impl Visitor for Share<'_> {
    type Output = ();

    fn visit<C: Cell>(self) {
        let cpu = self.step.cpu;
        // SAFETY: `Many::step` checked the lengths of what comes from outside; all else was made for the shape.
        unsafe { cpu.run(OfCell::<C> { share: self, cell: PhantomData }) }
    }
}

struct OfCell<'a, C> {
    share: Share<'a>,
    cell: PhantomData<C>,
}

impl<C: Cell> Pass for OfCell<'_, C> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Share { step, room, rows } = self.share;
        for first in rows.clone().step_by(BLOCK) {
            // SAFETY: the caller's promise.
            unsafe { block::<V, C>(&step, room, first, BLOCK.min(rows.end - first)) }
        }
    }
}

/// `n` rows from row `first` on, at most as many as a room has, through all layers and the head.
#[inline(always)]
unsafe fn block<V: Lanes, C: Cell>(step: &Step, room: &mut Room, first: usize, n: usize) {
    let Step { shape, params, .. } = *step;
    let (width, kinds) = (padded(shape.hidden), 1 + usize::from(C::HAS_C));
    // SAFETY: the promise of the step; rows of it, and as many of the room's.
    unsafe {
        let (mut x, mut x_row) = (step.x.add(first * shape.input), shape.input);
        if let Some((scaler, _)) = step.scalers {
            let scaled = &mut room.x[..n * shape.input];
            scaled.copy_from_slice(core::slice::from_raw_parts(x, n * shape.input));
            scaler.apply(scaled);
            x = scaled.as_ptr();
        }
        for (l, ranges) in step.layout.layers.iter().enumerate() {
            let layer = Layer {
                hidden: shape.hidden,
                columns: shape.layer_input(l),
                rows: n,
                x,
                x_row,
                weight_ih: params.add(ranges.weight_ih.start),
                weight_hh: params.add(ranges.weight_hh.start),
                biases: ranges.biases.as_ref().map(|(ih, hh)| (params.add(ih.start), params.add(hh.start))),
                before: room.before.as_mut_ptr(),
                after: room.after[l % 2].as_mut_ptr(),
                gates_x: room.gates_x.as_mut_ptr(),
                gates_h: room.gates_h.as_mut_ptr(),
                states: step.arena.add(l * kinds * width),
                state_len: shape.layers * kinds * width,
                slots: step.slots.add(first),
            };
            layer.run::<V, C>();
            (x, x_row) = (layer.after, width);
        }
        let out = shape.width_out();
        let y = step.y.add(first * out);
        let (from, row) = match (&step.layout.head, shape.output) {
            (Some((weight, bias)), Some(output)) => {
                Linear {
                    rows: n,
                    hidden: shape.hidden,
                    output,
                    h: x,
                    weight: params.add(weight.start),
                    weight_transposed: step.head_transposed,
                    bias: params.add(bias.start),
                    y: room.y.as_mut_ptr(),
                }
                .run::<V>();
                (room.y.as_ptr(), padded(output))
            }
            _ => (x, width),
        };
        if out == 1 {
            for r in 0..n {
                *y.add(r) = *from.add(r * row);
            }
        } else {
            for r in 0..n {
                core::ptr::copy_nonoverlapping(from.add(r * row), y.add(r * out), out);
            }
        }
        if let Some((_, scaler)) = step.scalers {
            scaler.undo(core::slice::from_raw_parts_mut(y, n * out));
        }
    }
}

/// One layer of a block of rows.
struct Layer {
    hidden: usize,
    /// Values of a row of x: I, or H of the layer below.
    columns: usize,
    rows: usize,
    /// `[rows][columns]`, `x_row` apart
    x: *const f32,
    x_row: usize,
    /// `[tile][columns][G][lane]`
    weight_ih: *const f32,
    /// `[tile][H][G][lane]`
    weight_hh: *const f32,
    /// `[tile][G][lane]`, both or none
    biases: Option<(*const f32, *const f32)>,
    /// `[rows][Hp]`
    before: *mut f32,
    after: *mut f32,
    /// `[rows][tiles at a time][G][lane]`
    gates_x: *mut f32,
    gates_h: *mut f32,
    /// Of slot 0: `[h, c][Hp]`; those of the next `state_len` later.
    states: *mut f32,
    state_len: usize,
    /// `[rows]`
    slots: *const u32,
}

impl Layer {
    /// h of row `row` in the arena, c behind it.
    #[inline(always)]
    unsafe fn state(&self, row: usize) -> *mut f32 {
        // SAFETY: a row; slots are within the arena.
        unsafe { self.states.add(*self.slots.add(row) as usize * self.state_len) }
    }

    #[inline(always)]
    unsafe fn run<V: Lanes, C: Cell>(&self) {
        let width = padded(self.hidden);
        let tiles = width / LANES;
        // SAFETY: the promise of the layer; together, rows and tiles have room for their gates.
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
                let biases = self.biases.unzip();
                self.product::<V, C>(&some, self.before, width, self.hidden, self.weight_hh, biases.1, self.gates_h);
                if self.columns == 1 {
                    self.cells::<V, C, true>(&some);
                } else {
                    let (x, weight) = (self.x, self.weight_ih);
                    self.product::<V, C>(&some, x, self.x_row, self.columns, weight, biases.0, self.gates_x);
                    self.cells::<V, C, false>(&some);
                }
            }
        }
    }

    /// Gates of all rows and some tiles: `W a + bias`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments, reason = "the operands of one product, each of another kind")]
    unsafe fn product<V: Lanes, C: Cell>(
        &self,
        tiles: &Range<usize>,
        a: *const f32,
        a_row: usize,
        depth: usize,
        weight: *const f32,
        bias: Option<*const f32>,
        out: *mut f32,
    ) {
        let panel = C::GATES * LANES;
        // SAFETY: the promise of the layer.
        unsafe {
            Product {
                rows: self.rows,
                depth,
                panel: C::GATES,
                panels: tiles.len(),
                a,
                a_row,
                a_depth: 1,
                b: weight.add(tiles.start * depth * panel),
                b_depth: panel,
                b_panel: depth * panel,
                out,
                out_row: tiles.len() * panel,
                out_panel: panel,
                start: bias.map_or(Start::Zero, |bias| Start::Bias(bias.add(tiles.start * panel))),
                backwards: false,
            }
            .run::<V>();
        }
    }

    /// The cells of all rows and some tiles; gates_x come from `x [rows][1]` on the way if `ONE`.
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
                    let weight = V::load(self.weight_ih.add(at));
                    let mut sums = Beside([match self.biases {
                        Some((bias, _)) => V::load(bias.add(at)),
                        None => zero,
                    }; N]);
                    for (n, sum) in sums.0.iter_mut().enumerate() {
                        *sum = V::splat(*self.x.add((row + n) * self.x_row)).mul_add(weight, *sum);
                    }
                    // a product of one gate has four chains, and three of them had nothing to add: -0 becomes +0
                    if C::GATES == 1 { sums + none } else { sums }
                } else {
                    rows(self.gates_x.add(from), apart)
                };
            }
            let at = tile * LANES;
            let mut before = Units { h: rows(self.before.add(row * width + at), width), c: none };
            if C::HAS_C {
                for (n, c) in before.c.0.iter_mut().enumerate() {
                    *c = V::load(self.state(row + n).add(width + at));
                }
            }
            let (Units { mut h, mut c }, _) = C::forward(gates_x, gates_h, before);
            if at + LANES > self.hidden {
                let mask = Beside([tail::<V>(self.hidden - at); N]);
                (h, c) = (h.and(mask), c.and(mask));
            }
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
