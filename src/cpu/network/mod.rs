//! Passes of a network: forward, backward, update. A network owns the memory that they need, and allocates it only when
//! it is made.

mod backward;

use super::linear::Linear;
use super::product::{Product, transpose};
use super::recurrent::{Forward, Layer};
use super::stored::{F32, Int8};
use super::threads::Threads;
use super::update::UpdatePass;
use crate::cell::{Cell, Visitor};
use crate::error::{Error, Result};
use crate::net::layout::{Layout, Offsets};
use crate::net::pass::{Dropout, HeadSteps, Mode};
use crate::net::shape::Shape;
use crate::net::state::State;
use crate::net::weight_format::Weights;
use crate::objective::loss::Loss;
use crate::objective::optimizer::Update;
use crate::simd::isa::Cpu;
use crate::simd::lanes::{LANES, padded};
use crate::tensor::Buffer;
use alloc::{format, vec::Vec};
use core::marker::PhantomData;
use core::ops::Range;

/// What a network keeps of one layer, for windows of up to T·B rows.
#[derive(Debug)]
struct Tape {
    /// `[T·B][G·Hp]`, or a piece of it for inference
    gates_x: Buffer,
    /// `[(T+1)·B][Hp]`
    h: Buffer,
    c: Buffer,
    /// `[T·B][SAVED·Hp]`
    saved: Buffer,
    weight_hh_transposed: Buffer,
    weight_ih_transposed: Buffer,
    /// Dropout between this layer and the next: factors, and h times them. `[T·B][Hp]`, empty without dropout.
    factors: Buffer,
    dropped: Buffer,
}

/// A network on one processor.
#[derive(Debug)]
pub struct Network {
    cpu: Cpu,
    threads: Threads,
    shape: Shape,
    layout: Layout,
    purpose: Mode,
    weights: Weights,
    /// The most rows of a window, and the most sequences: the buffers have room for so many.
    rows: usize,
    most_batch: usize,
    /// The sizes of the last window, within the two above. They change only once a window has been checked.
    batch: usize,
    steps: usize,
    head: HeadSteps,
    tapes: Vec<Tape>,
    /// `[B][G·Hp]`, or `[T·B][G·Hp]` for the backward pass of a cell that resets.
    gates_h: Buffer,
    /// `[T·B][Op]`, empty without a head.
    y: Buffer,
    /// Gradient at y, `[T·B][Op]`, or at the last h without a head.
    dy: Buffer,
    /// Gradient at the h of the layer that backward is at, `[T·B][Hp]`.
    dabove: Buffer,
    dx: Buffer,
    head_transposed: Buffer,
    /// Gradient at the initial state, `[L][B][Hp]`.
    dh: Buffer,
    dc: Buffer,
}

impl Network {
    /// Room for windows of up to `steps` steps of up to `batch` sequences.
    ///
    /// # Errors
    /// If it would be more than [`Network::MOST`] values, or the memory cannot be allocated.
    pub fn new(cpu: Cpu, threads: Threads, shape: &Shape, steps: usize, batch: usize, purpose: Mode) -> Result<Self> {
        Self::check_size(shape, steps, batch)?; // no product below wraps
        let layout = Layout::new(shape);
        let (rows, width) = (steps * batch, padded(shape.hidden));
        let gates = shape.gates() * width;
        let training = purpose == Mode::Training;
        let zeros = Buffer::try_zeros;
        let when = |wanted: bool, len: usize| zeros(if wanted { len } else { 0 });
        let (saved, resets) = (shape.cell.saved(), shape.cell.resets());
        let tape = |layer: usize| -> Result<Tape> {
            Ok(Tape {
                gates_x: zeros(gates * batch * if training { steps } else { steps.min(Layer::piece(batch)) })?,
                h: zeros((rows + batch) * width)?,
                c: when(shape.cell.has_c(), (rows + batch) * width)?,
                saved: when(training, rows * saved * width)?,
                weight_hh_transposed: when(training, gates * width)?,
                weight_ih_transposed: when(training, gates * padded(shape.layer_input(layer)))?,
                factors: when(training && layer + 1 < shape.layers, rows * width)?,
                dropped: when(training && layer + 1 < shape.layers, rows * width)?,
            })
        };
        let out = shape.output.map_or(0, padded);
        Ok(Self {
            tapes: (0..shape.layers).map(tape).collect::<Result<_>>()?,
            gates_h: zeros(gates * if training && resets { rows } else { batch })?,
            y: zeros(rows * out)?,
            dy: when(training, rows * padded(shape.width_out()))?,
            dabove: when(training, rows * width)?,
            dx: when(training, rows * padded(shape.input))?,
            head_transposed: zeros(width * out)?,
            dh: when(training, shape.layers * batch * width)?,
            dc: when(training && shape.cell.has_c(), shape.layers * batch * width)?,
            shape: *shape,
            head: HeadSteps::All,
            cpu,
            threads,
            layout,
            purpose,
            weights: Weights::F32,
            rows,
            most_batch: batch,
            batch,
            steps,
        })
    }

    /// The same network, for forward passes alone, with recurrent weights stored as `weights`. Every later call must be
    /// given the arena of [`Offsets`] for them. Weights of formats without scales must be given as [`Weights::F32`],
    /// which gives the same bits.
    ///
    /// # Panics
    /// If `weights` is neither [`Weights::F32`] nor [`Weights::Int8`].
    pub fn with_weights(self, weights: Weights) -> Self {
        assert!(matches!(weights, Weights::F32 | Weights::Int8));
        Self { weights, ..self }
    }

    /// `Ok` if windows of `steps` steps of `batch` sequences are of a size that makes sense: [`Network::new`] takes its
    /// memory at once, and the system may end a process that asks for more than there is.
    ///
    /// # Errors
    /// If it would be more than [`Network::MOST`] values.
    pub fn check_size(shape: &Shape, steps: usize, batch: usize) -> Result<()> {
        if shape.values_of_window(steps, batch).is_none_or(|values| values > Self::MOST) {
            return Err(Error::invalid(format!(
                "{steps} steps of {batch} sequences: more memory than makes sense for H {} and L {}; take a smaller \
                 seq-len or batch",
                shape.hidden, shape.layers
            )));
        }
        Ok(())
    }

    /// The most values that a network may keep, 8 GiB of them.
    pub const MOST: usize = if usize::BITS > 32 { 1 << 31 } else { 1 << 28 };

    /// The processor it runs on.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// The shape of the network.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// y of `x [T,B,I]` (time-major) from `state`, which becomes the state after the window. T follows from the length
    /// of x. Read the result with [`Network::y`].
    ///
    /// # Panics
    /// If the window is larger than the network was made for, the state is of no sequence or not of this shape, the
    /// lengths do not fit each other, or `dropout` is given to a network that was made for inference. Callers check
    /// what users hand in. All of this is checked first, so nothing has changed after such a panic.
    pub fn forward(
        &mut self,
        params: &[f32],
        x: &[f32],
        state: &mut State,
        head: HeadSteps,
        mut dropout: Option<&mut dyn Dropout>,
    ) {
        let batch = state.batch();
        assert!((1..=self.most_batch).contains(&batch), "sequences: between 1 and what the network was made for");
        assert!(state.is_of(&self.shape), "the state is of another shape");
        let steps = x.len() / self.shape.input / batch;
        let rows = steps * batch; // no more than there are values in x
        assert!(rows <= self.rows, "the window is larger than what the network was made for");
        assert!(x.len() == rows * self.shape.input && params.len() == Offsets::arena(&self.shape, self.weights));
        assert!(dropout.is_none() || self.purpose == Mode::Training, "dropout needs a network made for training");
        (self.batch, self.steps, self.head) = (batch, steps, head);
        let width = padded(self.shape.hidden);
        let layer_len = batch * width;
        for l in 0..self.shape.layers {
            let at = l * layer_len;
            self.tapes[l].h[..layer_len].copy_from_slice(&state.h[at..at + layer_len]);
            if self.shape.cell.has_c() {
                self.tapes[l].c[..layer_len].copy_from_slice(&state.c[at..at + layer_len]);
            }
            let layer = self.layer(l, params, x, dropout.is_some());
            let (cpu, shape, weights) = (self.cpu, self.shape, self.weights);
            self.threads.split(batch, |rows| shape.visit_cell(RunForward { cpu, layer, weights, rows }));
            if l + 1 < self.shape.layers
                && let Some(dropout) = &mut dropout
            {
                self.drop_out(l, *dropout);
            }
        }
        // only after all layers: `dropout` is the caller's code, and may panic half-way
        let end = self.steps * layer_len;
        for (l, tape) in self.tapes.iter().enumerate() {
            let at = l * layer_len;
            state.h[at..at + layer_len].copy_from_slice(&tape.h[end..end + layer_len]);
            if self.shape.cell.has_c() {
                state.c[at..at + layer_len].copy_from_slice(&tape.c[end..end + layer_len]);
            }
        }
        if self.shape.output.is_some() {
            let (weight, bias, end) = Offsets::head(&self.shape, self.weights);
            let (weight, bias) = (weight..bias, bias..end);
            let top = self.tapes.last().expect("a network has a layer");
            let rows = self.head_rows();
            let out = padded(self.shape.width_out());
            transpose(&params[weight.clone()], 1, self.shape.hidden, &mut self.head_transposed);
            let linear = Linear {
                rows: rows.len(),
                hidden: self.shape.hidden,
                output: self.shape.width_out(),
                h: top.h[layer_len + rows.start * width..].as_ptr(),
                weight: params[weight].as_ptr(),
                weight_transposed: self.head_transposed.as_ptr(),
                bias: params[bias].as_ptr(),
                y: self.y[rows.start * out..].as_mut_ptr(),
            };
            let cpu = self.cpu;
            // SAFETY: buffers of this network and arenas of checked length; parts of rows do not overlap.
            self.threads.split(linear.rows, |rows| unsafe { cpu.run(linear.some_rows(rows)) });
        }
    }

    /// The output of row `row = t·B + b` of the last window, O values (H without a head).
    ///
    /// # Panics
    /// If the network has no room for such a row.
    pub fn y(&self, row: usize) -> &[f32] {
        &y_rows(&self.shape, &self.y, &self.tapes)[self.y_row(row)]
    }

    /// The output and room for the gradient at it, of row `row`.
    ///
    /// # Panics
    /// If the network has no room for such a row, or was made for inference.
    pub fn y_and_dy(&mut self, row: usize) -> (&[f32], &mut [f32]) {
        let out = self.shape.width_out();
        let (at, first) = (self.y_row(row), row * padded(out));
        (&y_rows(&self.shape, &self.y, &self.tapes)[at], &mut self.dy[first..first + out])
    }

    /// The loss of the last forward pass, whose gradient is put where the backward pass takes it from. `target [rows,D]`
    /// has the rows that the head was asked for. Both are 0 if all targets are missing.
    ///
    /// # Panics
    /// If `target` has fewer rows, or the network was made for inference.
    pub fn score(&mut self, loss: Loss, target: &[f32], columns: usize) -> f32 {
        let rows = self.head_rows();
        let target = &target[..rows.len() * columns];
        let count = loss.known(target).max(1) as f32;
        let mut sum = 0.0;
        for (target, row) in target.chunks_exact(columns).zip(rows) {
            let (y, dy) = self.y_and_dy(row);
            sum += loss.row(y, target, dy);
            for dy in dy {
                *dy /= count;
            }
        }
        (sum / f64::from(count)) as f32
    }

    /// Where row `row` of y lies in [`y_rows`]: h begins with the state before the window.
    fn y_row(&self, row: usize) -> Range<usize> {
        let (before, out) = (if self.shape.output.is_some() { 0 } else { self.batch }, self.shape.width_out());
        let first = (before + row) * padded(out);
        first..first + out
    }

    /// Rows of y that were asked for.
    pub fn head_rows(&self) -> Range<usize> {
        let rows = self.steps * self.batch;
        match self.head {
            HeadSteps::All => 0..rows,
            HeadSteps::Last => rows.saturating_sub(self.batch)..rows,
        }
    }

    /// Writes the activated gates of row `row` in layer `layer` to `out`, in PyTorch's order `[G][H]`. An Elman RNN has
    /// none. Needs [`Mode::Training`].
    ///
    /// # Panics
    /// If there is no such layer, or no room for such a row; in a network for inference there is none for any.
    pub fn gates(&self, layer: usize, row: usize, out: &mut Vec<f32>) {
        let saved = self.shape.cell.saved();
        let width = padded(self.shape.hidden);
        let from = &self.tapes[layer].saved[row * saved * width..][..saved * width];
        out.clear();
        for gate in 0..saved.min(self.shape.gates()) {
            out.extend((0..self.shape.hidden).map(|u| from[(u / LANES * saved + gate) * LANES + u % LANES]));
        }
    }

    /// `h` (or `c`, for an LSTM) of `layer` after row `row = t·B + b` of the last window.
    ///
    /// # Panics
    /// If there is no such layer, or no room for such a row.
    pub fn state_at(&self, layer: usize, row: usize, cell_state: bool) -> &[f32] {
        let tape = &self.tapes[layer];
        let from = if cell_state && self.shape.cell.has_c() { &tape.c } else { &tape.h };
        &from[(self.batch + row) * padded(self.shape.hidden)..][..self.shape.hidden]
    }

    /// One update of `params` from `grads` times `scale`. `m`, `v` and `v_max` have the layout of `params`, or are
    /// empty where `update` does not need them.
    ///
    /// # Panics
    /// If their lengths are others, or that of `params` is no multiple of sixteen.
    pub fn update(
        &self,
        update: Update,
        scale: f32,
        params: &mut [f32],
        grads: &[f32],
        [m, v, v_max]: [&mut [f32]; 3],
    ) {
        let (needs_m, needs_v, needs_max) = match update {
            Update::Adam { amsgrad, .. } => (true, true, amsgrad),
            Update::Sgd { momentum, .. } => (momentum != 0.0, false, false),
        };
        let fits = |needed: bool, len: usize| !needed || len == params.len();
        assert!(grads.len() == params.len() && params.len().is_multiple_of(LANES));
        assert!(fits(needs_m, m.len()) && fits(needs_v, v.len()) && fits(needs_max, v_max.len()));
        // SAFETY: the lengths were checked.
        unsafe { self.cpu.run(UpdatePass { update, scale, params, grads, m, v, v_max }) }
    }

    /// Layer `l` of the current window, as the passes see it.
    fn layer(&mut self, l: usize, params: &[f32], x: &[f32], dropout: bool) -> Layer {
        let width = padded(self.shape.hidden);
        let (x, x_row) = match l.checked_sub(1) {
            None => (x.as_ptr(), self.shape.input),
            Some(below) if dropout => (self.tapes[below].dropped.as_ptr(), width),
            Some(below) => (self.tapes[below].h[self.batch * width..].as_ptr(), width),
        };
        let at = Offsets::layer(&self.shape, self.weights, l);
        let from = |at: usize| params[at..].as_ptr();
        let tape = &mut self.tapes[l];
        let room = tape.gates_x.len() / (self.batch * self.shape.gates() * width);
        let held = match self.purpose {
            Mode::Training => self.steps,
            // no more than are computed together, so that a piece never runs over the end of the buffer
            Mode::Inference => room.min(Layer::piece(self.batch)),
        };
        Layer {
            gates: self.shape.gates(),
            hidden: self.shape.hidden,
            steps: self.steps,
            batch: self.batch,
            columns: self.shape.layer_input(l),
            x,
            x_row,
            weight_ih: from(at.weight_ih),
            weight_hh: from(at.weight_hh),
            biases: self.shape.bias.then(|| (from(at.bias_ih), from(at.bias_hh))),
            scales: self.weights.scaled().then(|| (from(at.scale_ih), from(at.scale_hh))),
            held: held.max(1),
            gates_x: tape.gates_x.as_mut_ptr(),
            gates_h: self.gates_h.as_mut_ptr(),
            h: tape.h.as_mut_ptr(),
            c: tape.c.as_mut_ptr(),
            saved: if tape.saved.is_empty() { core::ptr::null_mut() } else { tape.saved.as_mut_ptr() },
        }
    }

    fn drop_out(&mut self, l: usize, dropout: &mut dyn Dropout) {
        let (width, hidden) = (padded(self.shape.hidden), self.shape.hidden);
        let len = self.steps * self.batch * width;
        let tape = &mut self.tapes[l];
        dropout.factors(l, &mut tape.factors[..len].chunks_exact_mut(width).map(|row| &mut row[..hidden]));
        let h = &tape.h[self.batch * width..];
        for ((to, &h), &factor) in tape.dropped[..len].iter_mut().zip(h).zip(tape.factors.iter()) {
            *to = h * factor;
        }
    }

    /// Runs a product, each thread some of its rows.
    fn run_rows(&self, product: Product) {
        let cpu = self.cpu;
        // SAFETY: made by the methods above from buffers of this network and arenas of checked length; parts of
        // rows do not overlap.
        self.threads.split(product.rows, |rows| unsafe { cpu.run(product.some_rows(rows)) });
    }
}

/// What holds y: the head's result, or h of the top layer.
fn y_rows<'a>(shape: &Shape, y: &'a Buffer, tapes: &'a [Tape]) -> &'a [f32] {
    match shape.output {
        Some(_) => y,
        None => &tapes[tapes.len() - 1].h,
    }
}

struct RunForward {
    cpu: Cpu,
    layer: Layer,
    weights: Weights,
    rows: Range<usize>,
}

impl Visitor for RunForward {
    type Output = ();
    fn visit<C: Cell>(self) {
        let Self { cpu, layer, weights, rows } = self;
        // SAFETY: the layer was made by `Network::layer` from its own buffers, for a window that fits them and the
        // format of the weights.
        unsafe {
            match weights {
                Weights::Int8 => cpu.run(Forward::<C, Int8> { layer, rows, kinds: PhantomData }),
                _ => cpu.run(Forward::<C, F32> { layer, rows, kinds: PhantomData }),
            }
        }
    }
}
