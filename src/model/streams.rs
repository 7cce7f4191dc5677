//! Thousands of streams under one set of weights, stepped together.

use crate::cpu::{Many, Threads};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::net::pass::Around;
use crate::net::state::State;
use crate::simd::isa::Cpu;
use crate::simd::lanes::padded;
use crate::tensor::{Buffer, touch, touch_spare};
use crate::units::Units;
use crate::units::transform::{Past, TargetTransform};
use alloc::sync::Arc;
use alloc::{vec, vec::Vec};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Which stream of a [`Streams`] is meant. Only [`Streams::open`] makes one, and it is good for this one stream: after
/// [`Streams::close`], and for any other `Streams`, it is an error and never somebody else's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    /// Which `Streams`.
    owner: usize,
    slot: u32,
    /// How many times the slot was opened or closed until then: odd.
    generation: u32,
}

/// The last owner there was: none is ever given twice.
static OWNERS: AtomicUsize = AtomicUsize::new(0);

/// Many running predictions: one model, one arena with a state for each stream, and room to work in.
///
/// A step of many streams together costs far less than as many single ones, since the weights are read once for all of them.
/// Each stream gives the same bits as a [`Stream`](crate::model::stream::Stream) of its own, whichever streams are stepped beside it, in
/// whatever order, on any instruction set and any number of threads.
///
/// **Memory.** [`Streams::new`] takes memory for as many streams as it is told, and [`Streams::open`] takes more, twice as much
/// each time, only when all of them are open. Nothing else allocates, but for what [`Streams::state`] gives back: a step, a
/// refused handle, a reset and a close do not.
///
/// **Threads.** As many as the caller gives, [`Threads::default`] being the calling one alone: then a step takes no lock and makes
/// no system call. With more of them the thread pool has costs of its own in each call, small allocations, locks and
/// wake-ups among them, and a call of fewer than 32 rows is not divided.
///
/// ```
/// use rnnstep::cpu::Threads;
/// use rnnstep::{CellKind, Cpu, Model, Shape, Streams};
///
/// let model = Model::random(Shape::new(CellKind::Gru, 1, 32, 1, 1)?, 0)?;
/// let mut streams = Streams::new(model, Cpu::widest(), Threads::default(), 1000)?;
/// let (a, b, c) = (streams.open()?, streams.open()?, streams.open()?);
///
/// let mut y = [0.0; 2];
/// streams.step_many(&[c, a], &[0.5, -0.5], &mut y)?; // c sees 0.5, a sees -0.5, b stays unchanged
/// streams.step_many(&[a, b], &[0.1, 0.2], &mut y)?;
/// let alone = streams.step(c, &[0.3])?[0];
/// assert!(alone.is_finite());
///
/// streams.close(b)?;
/// let d = streams.open()?; // takes the place of b, from a state of zero
/// let error = streams.step_many(&[a, b], &[0.1, 0.2], &mut y).unwrap_err(); // and nothing has moved, a neither
/// assert_eq!(error.to_string(), "stream handle 1: its stream was closed; open a new one");
/// streams.step_many(&[a, d], &[0.1, 0.2], &mut y)?;
/// # Ok::<(), rnnstep::Error>(())
/// ```
#[derive(Debug)]
pub struct Streams {
    model: Arc<Model>,
    many: Many,
    owner: usize,
    /// Of each slot that was ever open: odd while it is.
    generations: Vec<u32>,
    /// Slots that were open and can be again, the last closed last.
    free: Vec<u32>,
    open: usize,
    /// `[O]`: the answer of [`Streams::step`].
    y: Buffer,
    /// Of a model that predicts changes, else empty: the last values of each slot there is room for, and the x of a call
    /// `[N,I]` in that form.
    pasts: Vec<Past>,
    x: Vec<f32>,
}

impl Streams {
    /// Room for `capacity` streams, none of them open yet.
    ///
    /// # Errors
    /// If the states would be more than [`Many::MOST`] values.
    pub fn new(model: impl Into<Arc<Model>>, cpu: Cpu, threads: Threads, capacity: usize) -> Result<Self> {
        let model = model.into();
        let many = Many::new(cpu, threads, model.shape(), model.pass_params(), capacity)?;
        let owner = OWNERS
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| last.checked_add(1))
            .map_err(|_| Error::invalid("streams: no number is left to tell them apart; make fewer of them"))?;
        let y = Buffer::zeros(model.shape().width_out());
        let (generations, free) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        let mut streams = Self { model, many, owner, generations, free, open: 0, y, pasts: vec![], x: vec![] };
        streams.make_room_for_forms();
        Ok(streams)
    }

    /// A new stream, from a state of zero. Takes the slot that was closed last, else a new one; allocates only if there is
    /// room for no more: then room is made for twice as many, handles and states staying as they are.
    ///
    /// # Errors
    /// If that would be more than [`Many::MOST`] values.
    pub fn open(&mut self) -> Result<Handle> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.new_slot()?,
        };
        self.reset_slot(slot);
        let generation = &mut self.generations[slot as usize];
        *generation += 1; // even before, so below the last
        self.open += 1;
        Ok(Handle { owner: self.owner, slot, generation: *generation })
    }

    /// A slot that was never open.
    fn new_slot(&mut self) -> Result<u32> {
        let slots = self.generations.len();
        if slots == self.many.slots() {
            // twice as many if they can be had, else at least this one
            let twice = slots.saturating_mul(2).max(16);
            self.many.grow(twice).or_else(|_| self.many.grow(slots + 1))?;
            self.generations.reserve_exact(self.many.slots() - slots);
            self.free.reserve_exact(self.many.slots() - self.free.len());
            self.make_room_for_forms();
        }
        self.generations.push(0);
        Ok(slots as u32) // the arena has no more slots than that
    }

    /// Ends a stream. Its handle, wherever it was copied to, is an error from now on; its slot waits for the next
    /// [`Streams::open`].
    ///
    /// # Errors
    /// If the handle names no open stream of these.
    pub fn close(&mut self, handle: Handle) -> Result<()> {
        let slot = self.slot(0, handle)?;
        self.open -= 1;
        let generation = &mut self.generations[slot as usize];
        match generation.checked_add(1) {
            Some(next) => {
                *generation = next;
                self.free.push(slot); // within its capacity: there are no more slots
            }
            // After two thousand million streams the slot is given up: a generation that began again could meet a handle
            // of the first time.
            None => *generation = 0,
        }
        Ok(())
    }

    /// The slot of the open stream that `handle`, the `row`th of a call, names.
    fn slot(&self, row: usize, handle: Handle) -> Result<u32> {
        let error = |reason| Err(Error::Handle { row, reason });
        if handle.owner != self.owner {
            return error("it belongs to other streams; use it with those that opened it");
        }
        match self.generations.get(handle.slot as usize) {
            Some(&generation) if generation == handle.generation => Ok(handle.slot),
            _ => error("its stream was closed; open a new one"),
        }
    }

    /// Whether `handle` names an open stream of these.
    pub fn is_open(&self, handle: Handle) -> bool {
        self.slot(0, handle).is_ok()
    }

    /// How many streams are open.
    pub fn len(&self) -> usize {
        self.open
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// How many streams can be open at once before [`Streams::open`] allocates.
    pub fn capacity(&self) -> usize {
        self.many.slots()
    }

    /// The next prediction of one stream: `x` has I values, the answer O (H for a network without a head), both in raw units
    /// if the model has scalers. Allocates nothing.
    ///
    /// # Errors
    /// If `x` has another number of values or the handle names no open stream of these; nothing has moved then.
    pub fn step(&mut self, handle: Handle, x: &[f32]) -> Result<&[f32]> {
        Error::check_length("x [I]", self.model.shape().input, x.len())?;
        self.take_rows(&[handle])?;
        let mut y = core::mem::replace(&mut self.y, Buffer::zeros(0));
        self.step_rows(&[handle], x, &mut y);
        self.y = y;
        Ok(&self.y)
    }

    /// The next prediction of each of N streams, any of these in any order: `x [N,I]` and `y [N,O]` (H in place of O for a
    /// network without a head), row after row as the handles, in raw units if the model has scalers. Allocates nothing.
    ///
    /// Rows go through the network in blocks, so the more there are the less each costs, up to some hundreds.
    ///
    /// # Errors
    /// If `x` or `y` has another number of values, a handle names no open stream of these, or two name the same. All of this
    /// is checked first: no state has moved then and `y` is as it was.
    pub fn step_many(&mut self, handles: &[Handle], x: &[f32], y: &mut [f32]) -> Result<()> {
        let shape = self.model.shape();
        let values = |width: usize| handles.len().saturating_mul(width);
        Error::check_length("x [N,I]", values(shape.input), x.len())?;
        Error::check_length("y [N,O]", values(shape.width_out()), y.len())?;
        self.take_rows(handles)?;
        self.step_rows(handles, x, y);
        Ok(())
    }

    /// The rows that [`Streams::take_rows`] took.
    fn step_rows(&mut self, handles: &[Handle], x: &[f32], y: &mut [f32]) {
        let (arena, around) = (self.model.pass_params().1, scalers(&self.model));
        let Some(units) = transforms(&self.model) else {
            return self.many.step(arena, x, y, around);
        };
        let (input, out) = (units.x().width(), units.y().width());
        let rows = &mut self.x[..x.len()];
        rows.copy_from_slice(x);
        for (handle, x) in handles.iter().zip(rows.chunks_exact_mut(input)) {
            units.difference(&mut self.pasts[handle.slot as usize], x);
        }
        self.many.step(arena, rows, y, around);
        for (handle, y) in handles.iter().zip(y.chunks_exact_mut(out)) {
            units.integrate(&self.pasts[handle.slot as usize], y);
        }
    }

    /// As many last values as there are slots.
    fn make_room_for_forms(&mut self) {
        if let Some(units) = transforms(&self.model) {
            let slots = self.many.slots();
            self.pasts.resize_with(slots, || units.past(1));
            self.x.resize(slots * units.x().width(), 0.0);
        }
    }

    /// A slot back to a state of zero.
    fn reset_slot(&mut self, slot: u32) {
        self.many.reset(slot);
        if let Some(past) = self.pasts.get_mut(slot as usize) {
            past.reset();
        }
    }

    /// Does now what the first steps would have to wait for: touches every page of every stream, those not open yet among
    /// them, takes steps of one to 48 streams so that every page of code is there, and puts their states back, bit for bit.
    /// After it [`Streams::step`] and [`Streams::step_many`] on one thread meet no page fault but for what the caller hands
    /// in, and neither do [`Streams::open`] within the capacity, [`Streams::close`] and [`Streams::reset`]. Allocates itself,
    /// so it belongs before the loop. What it cannot do: see [`Stream::warm_up`](crate::model::stream::Stream::warm_up).
    pub fn warm_up(&mut self) {
        self.many.warm_up(self.model.pass_params().1, scalers(&self.model));
        // the way to it: a call without rows, and one that is refused
        let _ = self.step_many(&[], &[], &mut []);
        let nobody = Handle { owner: self.owner, slot: u32::MAX, generation: 0 };
        let _ = self.step(nobody, &vec![0.0; self.model.shape().input]);
        touch(&mut self.y);
        touch(&mut self.x);
        self.pasts.iter_mut().for_each(Past::touch);
        touch_spare(&mut self.generations);
        touch_spare(&mut self.free);
    }

    /// The slots of `handles` are the rows of the call that follows.
    fn take_rows(&mut self, handles: &[Handle]) -> Result<()> {
        self.many.begin();
        for (row, &handle) in handles.iter().enumerate() {
            let slot = self.slot(row, handle)?;
            if !self.many.add(slot) {
                let reason = "its stream is among the rows before; a stream takes one step a call";
                return Err(Error::Handle { row, reason });
            }
        }
        Ok(())
    }

    /// A stream back to a state of zero.
    ///
    /// # Errors
    /// If the handle names no open stream of these.
    pub fn reset(&mut self, handle: Handle) -> Result<()> {
        let slot = self.slot(0, handle)?;
        self.reset_slot(slot);
        Ok(())
    }

    /// A copy of the state of a stream, as [`Stream::state`](crate::model::stream::Stream::state) gives it. Allocates it.
    ///
    /// # Errors
    /// If the handle names no open stream of these.
    pub fn state(&self, handle: Handle) -> Result<State> {
        let slot = self.slot(0, handle)?;
        let shape = self.model.shape();
        let mut state = State::new(shape, 1);
        for (layer, h) in state.h.chunks_exact_mut(padded(shape.hidden)).enumerate() {
            h[..shape.hidden].copy_from_slice(self.many.h(slot, layer));
        }
        // empty but for an LSTM
        for (layer, c) in state.c.chunks_exact_mut(padded(shape.hidden)).enumerate() {
            c[..shape.hidden].copy_from_slice(self.many.c(slot, layer));
        }
        state.past = self.pasts.get(slot as usize).cloned().unwrap_or_default();
        Ok(state)
    }

    /// A stream goes on from `state`: that of another stream, or of a [`Stream`](crate::model::stream::Stream) of the same shape.
    ///
    /// # Errors
    /// If it is not the state of one sequence of this model's shape, or the handle names no open stream of these; the stream
    /// is then as it was.
    pub fn set_state(&mut self, handle: Handle, state: &State) -> Result<()> {
        let slot = self.slot(0, handle)?;
        let shape = *self.model.shape();
        state.check(&shape, self.model.units(), 1)?;
        let width = padded(shape.hidden);
        // it may have been made for more sequences, as one of a training
        for (layer, h) in state.h.chunks_exact(width).enumerate().take(shape.layers) {
            self.many.h_mut(slot, layer).copy_from_slice(&h[..shape.hidden]);
        }
        for (layer, c) in state.c.chunks_exact(width).enumerate().take(shape.layers) {
            self.many.c_mut(slot, layer).copy_from_slice(&c[..shape.hidden]);
        }
        if let Some(past) = self.pasts.get_mut(slot as usize) {
            past.follow(&state.past);
        }
        Ok(())
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The processor they run on.
    pub fn cpu(&self) -> Cpu {
        self.many.cpu()
    }
}

/// The scalers of a model are applied to a block of rows at a time, by the thread that works on it: for small networks one thread
/// that scaled all rows would keep the others waiting.
fn scalers(model: &Model) -> Option<&dyn Around> {
    model.units().map(|units| units as &dyn Around)
}

impl Around for Units {
    fn before(&self, x: &mut [f32]) {
        self.x().apply(x);
    }

    fn after(&self, y: &mut [f32]) {
        self.y().undo(y);
    }
}

/// The units of a model that predicts changes.
fn transforms(model: &Model) -> Option<&Units> {
    model.units().filter(|units| units.transform() != TargetTransform::Value)
}
