//! Thousands of streams that share one set of weights and are stepped together.

use crate::cpu::{Many, Threads};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::net::pass::Around;
use crate::net::state::State;
use crate::simd::isa::Cpu;
use crate::simd::lanes::padded;
use crate::tensor::{Buffer, Value, narrow_row, touch, touch_spare, widen_row};
use crate::units::Units;
use crate::units::transform::{Past, TargetTransform};
use alloc::sync::Arc;
use alloc::{vec, vec::Vec};
use core::sync::atomic::{AtomicUsize, Ordering};

/// Names a stream of a [`Streams`]. Only [`Streams::open`] makes one, and it is valid for this one stream. After
/// [`Streams::close`], and with any other `Streams`, it is an error and never gives the state of another stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    /// The number of the `Streams` that made it.
    owner: usize,
    slot: u32,
    /// How many times the slot had been opened or closed when the handle was made: an odd number.
    generation: u32,
}

/// The number of the last owner. No number is given twice.
static OWNERS: AtomicUsize = AtomicUsize::new(0);

/// Many running predictions: one model, one block of memory with a state for each stream, and scratch memory.
///
/// A step of many streams together is far cheaper than as many single steps, because the weights are read once for all
/// of them. Each stream gives the same bits as a [`Stream`](crate::model::stream::Stream) of its own, whichever streams
/// are stepped with it and in whatever order, on any instruction set and with any number of threads.
///
/// **Memory.** [`Streams::new`] allocates memory for the given number of streams. [`Streams::open`] allocates more,
/// twice as much each time, only when all of them are open. [`Streams::state`] allocates what it returns. Nothing else
/// allocates: not a step, a refused handle, a reset or a close.
///
/// **Threads.** The caller chooses their number. [`Threads::default`] is the calling thread alone: then a step takes no
/// lock and makes no system call. With more threads, the thread pool has costs in each call, such as small allocations,
/// locks and wake-ups, and a call of fewer than 32 rows is not divided.
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
/// let d = streams.open()?; // takes the slot of b, from a state of zero
/// let error = streams.step_many(&[a, b], &[0.1, 0.2], &mut y).unwrap_err(); // no state changed, not even that of a
/// assert_eq!(error.to_string(), "stream handle 1: its stream was closed; open a new one");
/// streams.step_many(&[a, d], &[0.1, 0.2], &mut y)?;
/// # Ok::<(), rnnstep::Error>(())
/// ```
#[derive(Debug)]
pub struct Streams {
    model: Arc<Model>,
    many: Many,
    owner: usize,
    /// The generation of each slot that was ever open; odd while it is open.
    generations: Vec<u32>,
    /// Slots that were closed and can be opened again, the last closed one last.
    free: Vec<u32>,
    open: usize,
    /// `[O]`: the prediction of [`Streams::step`], and that of [`Streams::step_f64`].
    y: Buffer,
    y_wide: Vec<f64>,
    /// For a model that predicts changes, otherwise empty: the last values of each slot.
    pasts: Vec<Past>,
    /// `[N,I]`: the x of a call after the target transform, in f32 and in f64.
    x: Vec<f32>,
    x_wide: Vec<f64>,
    /// `[N,O]`: the outputs of a call of f64 before they become raw values.
    y_narrow: Vec<f32>,
}

impl Streams {
    /// Room for `capacity` streams. None of them is open yet.
    ///
    /// # Errors
    /// If the states would have more than [`Many::MOST`] values.
    pub fn new(model: impl Into<Arc<Model>>, cpu: Cpu, threads: Threads, capacity: usize) -> Result<Self> {
        let model = model.into();
        let many = Many::new(cpu, threads, model.shape(), model.pass_params(), capacity)?;
        let owner = OWNERS
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| last.checked_add(1))
            .map_err(|_| Error::invalid("streams: no number is left to tell them apart; make fewer of them"))?;
        let y = Buffer::zeros(model.shape().width_out());
        let (generations, free) = (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        let y_wide = vec![0.0; y.len()];
        let (pasts, x, x_wide, y_narrow) = (vec![], vec![], vec![], vec![]);
        let mut streams =
            Self { model, many, owner, generations, free, open: 0, y, y_wide, pasts, x, x_wide, y_narrow };
        streams.make_room_for_rows();
        Ok(streams)
    }

    /// Opens a stream, from a state of zero. It takes the slot that was closed last, or a new one. It allocates only if
    /// all slots are open: then it makes room for twice as many, and handles and states stay valid.
    ///
    /// # Errors
    /// If the states would then have more than [`Many::MOST`] values.
    pub fn open(&mut self) -> Result<Handle> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.new_slot()?,
        };
        self.reset_slot(slot);
        let generation = &mut self.generations[slot as usize];
        *generation += 1; // it was even, so it is not the largest number
        self.open += 1;
        Ok(Handle { owner: self.owner, slot, generation: *generation })
    }

    /// A slot that was never open.
    fn new_slot(&mut self) -> Result<u32> {
        let slots = self.generations.len();
        if slots == self.many.slots() {
            // twice as many if the memory can be had, otherwise at least this one
            let twice = slots.saturating_mul(2).max(16);
            self.many.grow(twice).or_else(|_| self.many.grow(slots + 1))?;
            self.generations.reserve_exact(self.many.slots() - slots);
            self.free.reserve_exact(self.many.slots() - self.free.len());
            self.make_room_for_rows();
        }
        self.generations.push(0);
        Ok(slots as u32) // there are never more slots than a u32 can count
    }

    /// Closes a stream. From now on its handle and all copies of it are an error. Its slot is free for the next
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
            // After two thousand million streams the slot is not used again: if its generations began again, an old
            // handle could be valid again.
            None => *generation = 0,
        }
        Ok(())
    }

    /// The slot of the open stream that `handle`, the `row`th of a call, names.
    fn slot(&self, row: usize, handle: Handle) -> Result<u32> {
        let error = |reason| Err(Error::Handle { row, reason });
        if handle.owner != self.owner {
            return error("it belongs to another Streams; use it with the one that opened it");
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

    /// The next prediction of one stream: `x` has I values, the prediction O (H for a network without a head), both in
    /// raw units if the model has scalers. Allocates nothing.
    ///
    /// # Errors
    /// If `x` has another number of values or the handle names no open stream of these; then no state has changed.
    pub fn step(&mut self, handle: Handle, x: &[f32]) -> Result<&[f32]> {
        Error::check_length("x [I]", self.model.shape().input, x.len())?;
        self.take_rows(&[handle])?;
        let mut y = core::mem::replace(&mut self.y, Buffer::zeros(0));
        self.step_rows(&[handle], x, &mut y);
        self.y = y;
        Ok(&self.y)
    }

    /// The next prediction of each of N streams, in any order: `x [N,I]` and `y [N,O]` (H instead of O for a network
    /// without a head), in the order of the handles and in raw units if the model has scalers. Allocates nothing.
    ///
    /// Rows go through the network in blocks, so a row is cheaper the more rows there are, up to some hundreds.
    ///
    /// # Errors
    /// If `x` or `y` has another number of values, a handle names no open stream of these, or two name the same stream.
    /// This is checked first: then no state has changed, and `y` is unchanged.
    pub fn step_many(&mut self, handles: &[Handle], x: &[f32], y: &mut [f32]) -> Result<()> {
        self.take_all(handles, x.len(), y.len())?;
        self.step_rows(handles, x, y);
        Ok(())
    }

    /// [`Streams::step`] for values of f64: see [`Stream::step_f64`](crate::model::stream::Stream::step_f64).
    ///
    /// # Errors
    /// Those of [`Streams::step`].
    pub fn step_f64(&mut self, handle: Handle, x: &[f64]) -> Result<&[f64]> {
        Error::check_length("x [I]", self.model.shape().input, x.len())?;
        self.take_rows(&[handle])?;
        let mut y = core::mem::take(&mut self.y_wide);
        self.step_rows_f64(&[handle], x, &mut y);
        self.y_wide = y;
        Ok(&self.y_wide)
    }

    /// [`Streams::step_many`] for values of f64. The calling thread differences and scales all rows; only the
    /// network runs on several threads.
    ///
    /// # Errors
    /// Those of [`Streams::step_many`].
    pub fn step_many_f64(&mut self, handles: &[Handle], x: &[f64], y: &mut [f64]) -> Result<()> {
        self.take_all(handles, x.len(), y.len())?;
        self.step_rows_f64(handles, x, y);
        Ok(())
    }

    /// Takes the rows of `handles` for a step with `x` values in x and `y` values in y, which are checked first.
    fn take_all(&mut self, handles: &[Handle], x: usize, y: usize) -> Result<()> {
        let shape = self.model.shape();
        let values = |width: usize| handles.len().saturating_mul(width);
        Error::check_length("x [N,I]", values(shape.input), x)?;
        Error::check_length("y [N,O]", values(shape.width_out()), y)?;
        self.take_rows(handles)
    }

    /// Steps the rows that [`Streams::take_rows`] took.
    fn step_rows(&mut self, handles: &[Handle], x: &[f32], y: &mut [f32]) {
        let (arena, around) = (self.model.pass_params().1, scalers(&self.model));
        let Some(units) = transforms(&self.model) else {
            self.many.step(arena, x, y, around);
            if let Some(units) = self.model.units() {
                units.finish(y);
            }
            return;
        };
        let rows = &mut self.x[..x.len()];
        rows.copy_from_slice(x);
        difference(units, &mut self.pasts, handles, rows);
        self.many.step(arena, rows, y, around);
        integrate(units, &self.pasts, handles, y);
        units.finish(y);
    }

    /// The same for rows of f64.
    fn step_rows_f64(&mut self, handles: &[Handle], x: &[f64], y: &mut [f64]) {
        let (arena, units) = (self.model.pass_params().1, self.model.units());
        let (wide, narrow) = (&mut self.x_wide[..x.len()], &mut self.x[..x.len()]);
        wide.copy_from_slice(x);
        if let Some(units) = transforms(&self.model) {
            difference(units, &mut self.pasts, handles, wide);
        }
        if let Some(units) = units {
            units.x().apply(wide);
        }
        narrow_row(wide, narrow);
        let outputs = &mut self.y_narrow[..y.len()];
        self.many.step(arena, narrow, outputs, None);
        widen_row(outputs, y);
        if let Some(units) = units {
            units.y().undo(y);
        }
        if let Some(units) = transforms(&self.model) {
            integrate(units, &self.pasts, handles, y);
        }
        if let Some(units) = units {
            units.finish(y);
        }
    }

    /// Makes room for a call with all slots, and for their last values.
    fn make_room_for_rows(&mut self) {
        let (slots, shape) = (self.many.slots(), self.model.shape());
        self.x.resize(slots * shape.input, 0.0);
        self.x_wide.resize(slots * shape.input, 0.0);
        self.y_narrow.resize(slots * shape.width_out(), 0.0);
        if let Some(units) = transforms(&self.model) {
            self.pasts.resize_with(slots, || units.past(1));
        }
    }

    /// Sets a slot back to a state of zero.
    fn reset_slot(&mut self, slot: u32) {
        self.many.reset(slot);
        if let Some(past) = self.pasts.get_mut(slot as usize) {
            past.reset();
        }
    }

    /// Does in advance what would slow down the first steps. It touches every page of every stream, also of those that
    /// are not open yet; takes steps of one to 48 streams so that every page of code is loaded; and restores their
    /// states, bit for bit. After it, [`Streams::step`] and [`Streams::step_many`] on one thread cause no page fault,
    /// except in memory of the caller. Nor do [`Streams::open`] within the capacity, [`Streams::close`] and
    /// [`Streams::reset`]. It allocates, so call it before the loop. For its limits see
    /// [`Stream::warm_up`](crate::model::stream::Stream::warm_up).
    pub fn warm_up(&mut self) {
        self.many.warm_up(self.model.pass_params().1, scalers(&self.model));
        // the code around it too: a call without rows, and one that is refused
        let _ = self.step_many(&[], &[], &mut []);
        let nobody = Handle { owner: self.owner, slot: u32::MAX, generation: 0 };
        let _ = self.step(nobody, &vec![0.0; self.model.shape().input]);
        let _ = self.step_f64(nobody, &vec![0.0; self.model.shape().input]);
        let _ = self.step_many_f64(&[], &[], &mut []);
        touch(&mut self.y);
        touch(&mut self.y_wide);
        touch(&mut self.x);
        touch(&mut self.x_wide);
        touch(&mut self.y_narrow);
        self.pasts.iter_mut().for_each(Past::touch);
        touch_spare(&mut self.generations);
        touch_spare(&mut self.free);
    }

    /// Takes the slots of `handles` as the rows of the call that follows.
    fn take_rows(&mut self, handles: &[Handle]) -> Result<()> {
        self.many.begin();
        for (row, &handle) in handles.iter().enumerate() {
            let slot = self.slot(row, handle)?;
            if !self.many.add(slot) {
                let reason = "its stream is in an earlier row too; a stream takes one step in each call";
                return Err(Error::Handle { row, reason });
            }
        }
        Ok(())
    }

    /// Sets a stream back to a state of zero.
    ///
    /// # Errors
    /// If the handle names no open stream of these.
    pub fn reset(&mut self, handle: Handle) -> Result<()> {
        let slot = self.slot(0, handle)?;
        self.reset_slot(slot);
        Ok(())
    }

    /// A copy of the state of a stream, as [`Stream::state`](crate::model::stream::Stream::state) gives it. Allocates
    /// it.
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
        // empty for cells other than an LSTM
        for (layer, c) in state.c.chunks_exact_mut(padded(shape.hidden)).enumerate() {
            c[..shape.hidden].copy_from_slice(self.many.c(slot, layer));
        }
        state.past = self.pasts.get(slot as usize).cloned().unwrap_or_default();
        Ok(state)
    }

    /// Sets the state of a stream: to that of another stream, or of a [`Stream`](crate::model::stream::Stream) of the
    /// same shape.
    ///
    /// # Errors
    /// If it is not the state of one sequence of this model's shape, or the handle names no open stream of these; the
    /// stream is then unchanged.
    pub fn set_state(&mut self, handle: Handle, state: &State) -> Result<()> {
        let slot = self.slot(0, handle)?;
        let shape = *self.model.shape();
        state.check(&shape, self.model.units(), 1)?;
        let width = padded(shape.hidden);
        // it may have room for more sequences, like the state of a training
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

    /// The processor that the streams run on.
    pub fn cpu(&self) -> Cpu {
        self.many.cpu()
    }
}

/// The scalers of a model. The thread that works on a block of rows also scales it: for small networks, the others
/// would wait if one thread scaled all rows.
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

/// Applies the target transform to rows `x [N,I]` of the streams of `handles`, in place.
fn difference<V: Value>(units: &Units, pasts: &mut [Past], handles: &[Handle], x: &mut [V]) {
    for (handle, x) in handles.iter().zip(x.chunks_exact_mut(units.x().width())) {
        units.difference(&mut pasts[handle.slot as usize], x);
    }
}

/// Undoes the target transform in outputs `y [N,O]` of these streams, in place.
fn integrate<V: Value>(units: &Units, pasts: &[Past], handles: &[Handle], y: &mut [V]) {
    for (handle, y) in handles.iter().zip(y.chunks_exact_mut(units.y().width())) {
        units.integrate(&pasts[handle.slot as usize], y);
    }
}
