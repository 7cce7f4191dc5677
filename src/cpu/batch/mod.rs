//! One step of many sequences at once, each with a state of its own, all states in one arena.
//!
//! The rows of a call go through all layers in blocks that stay in the first-level cache. Their h is gathered from the
//! arena into rows one after the other, because a product reads at equal distances, and because h must not change while
//! it is read. The new h goes back to its slot, and c is changed in its slot. Weights are read once for a block. Every
//! sum is that of the same row in a single stream, in the same order, so the bits are the same.

mod layer;

use super::linear::Linear;
use super::product::transpose;
use super::stored::{F32, Int8, Stored};
use super::threads::Threads;
use crate::cell::{Cell, Visitor};
use crate::error::{Error, Result};
use crate::net::layout::Offsets;
use crate::net::pass::Around;
use crate::net::shape::Shape;
use crate::net::weight_format::Weights;
use crate::simd::isa::Cpu;
use crate::simd::lanes::{LANES, Lanes, Pass, padded};
use crate::simd::math::settle;
use crate::tensor::{Buffer, touch, touch_spare};
use alloc::{format, vec, vec::Vec};
use core::marker::PhantomData;
use core::ops::Range;
use layer::{Layer, Matrix, tiles_at_a_time};

/// The most rows of a block: a multiple of the tiles of the product (six rows, or three) and of the head (sixteen).
const BLOCK: usize = 48;

/// The fewest rows that are worth another thread.
const SHARE: usize = 16;

/// States of many sequences in one arena, and the pass that steps some of them.
#[derive(Debug)]
pub struct Many {
    cpu: Cpu,
    threads: Threads,
    shape: Shape,
    weights: Weights,
    /// Length of the arena of parameters.
    params: usize,
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
    /// The rows of the current call: slots, each below `slots` and none twice.
    rows: Vec<u32>,
}

/// What lies between the x and the y of a block.
#[derive(Debug)]
struct Room {
    /// `[BLOCK][I]`
    x: Buffer,
    /// `[BLOCK][Hp]`: h of the current layer before the step.
    before: Buffer,
    /// `[BLOCK][Hp]`: h after the step, of the current layer and the one below in turn.
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

    /// Room for `slots` states, all zero, for steps with `params`, the arena of [`Offsets`] for `weights`. Every later
    /// call must be given the same parameters. [`Weights::Int8`] is read in its stored form, because its scales are
    /// applied to sums. All other weights must be given as [`Weights::F32`], which gives the same bits: many streams
    /// gain nothing from smaller ones.
    ///
    /// # Errors
    /// If they would be more than [`Many::MOST`] values, or the memory cannot be allocated.
    ///
    /// # Panics
    /// If `weights` is neither of the two, or `params` are not as many as the shape has.
    pub fn new(
        cpu: Cpu,
        threads: Threads,
        shape: &Shape,
        (weights, params): (Weights, &[f32]),
        slots: usize,
    ) -> Result<Self> {
        assert!(matches!(weights, Weights::F32 | Weights::Int8) && params.len() == Offsets::arena(shape, weights));
        let (width, out) = (padded(shape.hidden), shape.output.map_or(0, padded));
        let mut head_transposed = Buffer::try_zeros(out * width)?;
        let (head, bias, _) = Offsets::head(shape, weights);
        transpose(&params[head..bias], 1, shape.hidden, &mut head_transposed);
        let gates = BLOCK * tiles_at_a_time(shape.gates()) * shape.gates() * LANES;
        let zeros = Buffer::try_zeros;
        let room = || -> Result<Room> {
            Ok(Room {
                x: zeros(BLOCK * shape.input)?,
                before: zeros(BLOCK * width)?,
                after: [zeros(BLOCK * width)?, zeros(BLOCK * width)?],
                gates_x: zeros(gates)?,
                gates_h: zeros(gates)?,
                y: zeros(BLOCK * out)?,
            })
        };
        let mut many = Self {
            rooms: (0..threads.count()).map(|_| room()).collect::<Result<_>>()?,
            arena: Buffer::zeros(0),
            slots: 0,
            stamps: vec![],
            call: 0,
            rows: vec![],
            shape: *shape,
            head_transposed,
            weights,
            params: params.len(),
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

    /// Makes room for `slots` states, if there is less. Existing states stay unchanged, and the others are zero. Apart
    /// from [`Many::warm_up`], only this and [`Many::new`] allocate.
    ///
    /// # Errors
    /// If they would be more than [`Many::MOST`] values, or the memory cannot be allocated; nothing has changed then.
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
        let mut arena = Buffer::try_zeros(len)?;
        arena[..self.arena.len()].copy_from_slice(&self.arena);
        self.arena = arena;
        self.stamps.resize(slots, 0);
        self.rows.clear();
        self.rows.reserve_exact(slots);
        self.slots = slots;
        Ok(())
    }

    /// Sets the state of a slot to zero.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn reset(&mut self, slot: u32) {
        let len = self.state_len();
        self.arena[slot as usize * len..][..len].fill(0.0);
    }

    /// h of a layer of a slot: H values.
    ///
    /// # Panics
    /// If there is no such slot or layer.
    pub fn h(&self, slot: u32, layer: usize) -> &[f32] {
        &self.arena[self.place(slot, layer, false)]
    }

    /// The same to be written.
    ///
    /// # Panics
    /// The same.
    pub fn h_mut(&mut self, slot: u32, layer: usize) -> &mut [f32] {
        let place = self.place(slot, layer, false);
        &mut self.arena[place]
    }

    /// c of a layer of a slot: H values, of an LSTM only.
    ///
    /// # Panics
    /// If there is no such slot or layer, or the cell has no c.
    pub fn c(&self, slot: u32, layer: usize) -> &[f32] {
        &self.arena[self.place(slot, layer, true)]
    }

    /// The same to be written.
    ///
    /// # Panics
    /// The same.
    pub fn c_mut(&mut self, slot: u32, layer: usize) -> &mut [f32] {
        let place = self.place(slot, layer, true);
        &mut self.arena[place]
    }

    fn place(&self, slot: u32, layer: usize, c: bool) -> Range<usize> {
        assert!(layer < self.shape.layers && (!c || self.shape.cell.has_c()), "no such layer, or a cell without c");
        let kinds = 1 + usize::from(self.shape.cell.has_c());
        let first = ((slot as usize * self.shape.layers + layer) * kinds + usize::from(c)) * padded(self.shape.hidden);
        first..first + self.shape.hidden
    }

    /// Values of a state in the arena.
    fn state_len(&self) -> usize {
        self.shape.layers * padded(self.shape.hidden) * (1 + usize::from(self.shape.cell.has_c()))
    }

    /// Touches all memory that a step can need, and takes steps with every number of rows up to a block, so that all
    /// code is in memory too. Afterwards the states are what they were. Allocates.
    ///
    /// # Panics
    /// Where [`Many::step`] does.
    pub fn warm_up(&mut self, params: &[f32], around: Option<&dyn Around>) {
        for Room { x, before, after: [even, odd], gates_x, gates_h, y } in &mut self.rooms {
            for buffer in [x, before, even, odd, gates_x, gates_h, y] {
                touch(buffer);
            }
        }
        touch(&mut self.arena);
        self.begin();
        touch_spare(&mut self.rows);
        let slots = BLOCK.min(self.slots);
        let kept = self.arena[..slots * self.state_len()].to_vec();
        let x = vec![0.0; slots * self.shape.input];
        let mut y = vec![0.0; slots * self.shape.width_out()];
        for rows in 1..=slots {
            self.begin();
            (0..rows as u32).for_each(|slot| assert!(self.add(slot)));
            self.step(params, &x[..rows * self.shape.input], &mut y[..rows * self.shape.width_out()], around);
        }
        self.arena[..kept.len()].copy_from_slice(&kept);
    }

    /// Begins a call: it has no rows yet.
    #[inline]
    pub fn begin(&mut self) {
        self.call += 1; // at one a nanosecond, 64 bits last for centuries
        self.rows.clear();
    }

    /// Takes a slot as the next row of the call. False, and nothing is taken, if it is among the rows already.
    ///
    /// # Panics
    /// If there is no such slot.
    #[inline]
    pub fn add(&mut self, slot: u32) -> bool {
        let stamp = &mut self.stamps[slot as usize];
        let new = *stamp != self.call;
        if new {
            *stamp = self.call;
            self.rows.push(slot); // within its capacity: there are no more slots than that
        }
        new
    }

    /// Steps the rows of the call: y `[N,O]` of `x [N,I]`, with `around` at both ends if there is one. The states of
    /// the slots become those after the step. Allocates nothing; with several threads, their pool does.
    ///
    /// # Panics
    /// If a length does not fit the shape and the rows.
    pub fn step(&mut self, params: &[f32], x: &[f32], y: &mut [f32], around: Option<&dyn Around>) {
        let (n, shape) = (self.rows.len(), self.shape);
        assert!(params.len() == self.params);
        assert!(x.len() == n * shape.input && y.len() == n * shape.width_out());
        let step = Step {
            cpu: self.cpu,
            shape,
            weights: self.weights,
            head_transposed: self.head_transposed.as_ptr(),
            params: params.as_ptr(),
            arena: self.arena.as_mut_ptr(),
            slots: self.rows.as_ptr(),
            x: x.as_ptr(),
            y: y.as_mut_ptr(),
            around,
        };
        let rooms = Rooms(self.rooms.as_mut_ptr());
        let parts = self.rooms.len().min(n.div_ceil(SHARE));
        self.threads.split(parts, |some| {
            for part in some {
                let rows = n * part / parts..n * (part + 1) / parts;
                // SAFETY: there is a room for each part, and each part is worked on once.
                let room = unsafe { rooms.get(part) };
                shape.visit_cell(Share { step, room, rows });
            }
        });
    }
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

/// A call of [`Many::step`], which checked that the pointers are valid for what their comments describe.
#[derive(Clone, Copy)]
struct Step<'a> {
    cpu: Cpu,
    shape: Shape,
    weights: Weights,
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
    around: Option<&'a dyn Around>,
}

// SAFETY: parts of the rows do not touch each other's slots and y.
unsafe impl Send for Step<'_> {}
// SAFETY: the same.
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
        unsafe {
            match self.step.weights {
                Weights::Int8 => cpu.run(Known::<C, Int8> { share: self, kinds: PhantomData }),
                _ => cpu.run(Known::<C, F32> { share: self, kinds: PhantomData }),
            }
        }
    }
}

/// The same with cell and format known.
struct Known<'a, C, S> {
    share: Share<'a>,
    kinds: PhantomData<(C, S)>,
}

impl<C: Cell, S: Stored> Pass for Known<'_, C, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Share { step, room, rows } = self.share;
        for first in rows.clone().step_by(BLOCK) {
            // SAFETY: the caller's promise.
            unsafe { block::<V, C, S>(&step, room, first, BLOCK.min(rows.end - first)) }
        }
    }
}

/// `n` rows from row `first` on, at most as many as a room has, through all layers and the head.
#[inline(always)]
unsafe fn block<V: Lanes, C: Cell, S: Stored>(step: &Step, room: &mut Room, first: usize, n: usize) {
    let Step { shape, params, .. } = *step;
    let (width, kinds) = (padded(shape.hidden), 1 + usize::from(C::HAS_C));
    // SAFETY: the promise of the step; rows of it, and as many of the room's.
    unsafe {
        let rows = &mut room.x[..n * shape.input];
        rows.copy_from_slice(core::slice::from_raw_parts(step.x.add(first * shape.input), n * shape.input));
        if let Some(around) = step.around {
            around.before(rows);
        }
        settle(rows);
        let (mut x, mut x_row) = (rows.as_ptr(), shape.input);
        for l in 0..shape.layers {
            let at = Offsets::layer(&shape, S::WEIGHTS, l);
            let weight = |weight, scale, bias| Matrix {
                weight: params.add(weight),
                scale: params.add(scale),
                bias: shape.bias.then(|| params.add(bias)),
            };
            let layer = Layer {
                hidden: shape.hidden,
                columns: shape.layer_input(l),
                rows: n,
                x,
                x_row,
                ih: weight(at.weight_ih, at.scale_ih, at.bias_ih),
                hh: weight(at.weight_hh, at.scale_hh, at.bias_hh),
                before: room.before.as_mut_ptr(),
                after: room.after[l % 2].as_mut_ptr(),
                gates_x: room.gates_x.as_mut_ptr(),
                gates_h: room.gates_h.as_mut_ptr(),
                states: step.arena.add(l * kinds * width),
                state_len: shape.layers * kinds * width,
                slots: step.slots.add(first),
            };
            layer.run::<V, C, S>();
            (x, x_row) = (layer.after, width);
        }
        let out = shape.width_out();
        let y = step.y.add(first * out);
        let (from, row) = match shape.output {
            Some(output) => {
                let (weight, bias, _) = Offsets::head(&shape, S::WEIGHTS);
                V::run(Linear {
                    rows: n,
                    hidden: shape.hidden,
                    output,
                    h: x,
                    weight: params.add(weight),
                    weight_transposed: step.head_transposed,
                    bias: params.add(bias),
                    y: room.y.as_mut_ptr(),
                });
                (room.y.as_ptr(), padded(output))
            }
            None => (x, width),
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
        if let Some(around) = step.around {
            around.after(core::slice::from_raw_parts_mut(y, n * out));
        }
    }
}
