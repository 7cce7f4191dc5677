//! Whole passes of a network: forward, backward, update. Owns what lies between them; allocates only when made.

use super::Cpu;
use super::product::{Product, Start, transpose};
use super::recurrent::{Backward, Forward, Layer};
use super::threads::Threads;
use super::update::{Update, UpdatePass};
use crate::cell::{self, Cell, Visitor};
use crate::layout::Layout;
use crate::shape::Shape;
use crate::state::State;
use crate::tensor::{Buffer, LANES, padded};
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::Range;

/// Whether backward will follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Forward only: the least memory.
    Inference,
    /// Forward keeps what backward needs.
    Training,
}

/// Which steps of a window go through the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// Every step.
    All,
    /// The last step only.
    Last,
}

/// Where gradients are wanted and what a network keeps of one layer, for windows of up to T·B rows.
#[derive(Debug)]
struct Tape {
    /// `[T·B][G·Hp]`
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

/// Elements dropped between layers in training.
pub trait Dropout {
    /// Fills in the factors of a `[T·B][H]` array above `layer`: 0, or `1 / (1 - p)`.
    fn factors(&mut self, layer: usize, rows: &mut dyn Iterator<Item = &mut [f32]>);
}

/// A network at work on one processor.
#[derive(Debug)]
pub struct Network {
    cpu: Cpu,
    threads: Threads,
    shape: Shape,
    layout: Layout,
    rows: usize,
    batch: usize,
    steps: usize,
    head: Head,
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
    pub fn new(cpu: Cpu, threads: Threads, shape: &Shape, steps: usize, batch: usize, purpose: Purpose) -> Self {
        let layout = Layout::new(shape);
        let (rows, width) = (steps * batch, padded(shape.hidden));
        let gates = shape.gates() * width;
        let training = purpose == Purpose::Training;
        let when = |wanted: bool, len: usize| Buffer::zeros(if wanted { len } else { 0 });
        let (saved, resets) = cell::visit(shape, Facts);
        let tape = |layer: usize| Tape {
            gates_x: Buffer::zeros(rows * gates),
            h: Buffer::zeros((steps + 1) * batch * width),
            c: when(shape.cell.has_c(), (steps + 1) * batch * width),
            saved: when(training, rows * saved * width),
            weight_hh_transposed: when(training, gates * width),
            weight_ih_transposed: when(training, gates * padded(shape.layer_input(layer))),
            factors: when(training && layer + 1 < shape.layers, rows * width),
            dropped: when(training && layer + 1 < shape.layers, rows * width),
        };
        let out = shape.output.map_or(0, padded);
        Self {
            tapes: (0..shape.layers).map(tape).collect(),
            gates_h: Buffer::zeros(gates * if training && resets { rows } else { batch }),
            y: Buffer::zeros(rows * out),
            dy: when(training, rows * padded(shape.width_out())),
            dabove: when(training, rows * width),
            dx: when(training, rows * padded(shape.input)),
            head_transposed: when(training, width * out),
            dh: when(training, shape.layers * batch * width),
            dc: when(training && shape.cell.has_c(), shape.layers * batch * width),
            shape: *shape,
            head: Head::All,
            cpu,
            threads,
            layout,
            rows,
            batch,
            steps,
        }
    }

    /// The processor it runs on.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// The shape of the network.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// y of `x [T,B,I]` (time-major) from `state`, which becomes the state after the window. T is what the length
    /// of x says. Read the result with [`Network::y`].
    ///
    /// # Panics
    /// If the window is larger than the network was made for, or the lengths do not fit each other. Callers check
    /// what users hand in.
    pub fn forward(
        &mut self,
        params: &[f32],
        x: &[f32],
        state: &mut State,
        head: Head,
        mut dropout: Option<&mut dyn Dropout>,
    ) {
        let batch = state.batch();
        self.batch = batch;
        self.steps = x.len() / (batch * self.shape.input);
        self.head = head;
        let rows = self.steps * batch;
        assert!(rows <= self.rows && x.len() == rows * self.shape.input && params.len() == self.layout.len());
        let width = padded(self.shape.hidden);
        let layer_len = batch * width;
        for l in 0..self.shape.layers {
            let at = l * layer_len;
            self.tapes[l].h[..layer_len].copy_from_slice(&state.h[at..at + layer_len]);
            if self.shape.cell.has_c() {
                self.tapes[l].c[..layer_len].copy_from_slice(&state.c[at..at + layer_len]);
            }
            let layer = self.layer(l, params, x, dropout.is_some());
            let (cpu, shape) = (self.cpu, self.shape);
            self.threads.split(batch, |rows| cell::visit(&shape, RunForward { cpu, layer, rows }));
            let end = self.steps * layer_len;
            state.h[at..at + layer_len].copy_from_slice(&self.tapes[l].h[end..end + layer_len]);
            if self.shape.cell.has_c() {
                state.c[at..at + layer_len].copy_from_slice(&self.tapes[l].c[end..end + layer_len]);
            }
            if l + 1 < self.shape.layers
                && let Some(dropout) = &mut dropout
            {
                self.drop_out(l, *dropout);
            }
        }
        if let Some((weight, bias)) = self.layout.head.clone() {
            let top = self.tapes.last().expect("a network has a layer");
            let rows = self.head_rows();
            let out = padded(self.shape.width_out());
            let product = Product {
                rows: rows.len(),
                depth: self.shape.hidden,
                panel: 1,
                panels: out / LANES,
                a: top.h[layer_len + rows.start * width..].as_ptr(),
                a_row: width,
                a_depth: 1,
                b: params[weight].as_ptr(),
                b_depth: LANES,
                b_panel: self.shape.hidden * LANES,
                out: self.y[rows.start * out..].as_mut_ptr(),
                out_row: out,
                out_panel: LANES,
                start: Start::Bias(params[bias].as_ptr()),
            };
            self.run_rows(product);
        }
    }

    /// The output of row `row = t·B + b` of the last window, O values (H without a head).
    pub fn y(&self, row: usize) -> &[f32] {
        let (width, out) = (padded(self.shape.hidden), self.shape.width_out());
        match self.shape.output {
            Some(_) => &self.y[row * padded(out)..][..out],
            None => &self.tapes[self.tapes.len() - 1].h[(self.batch + row) * width..][..out],
        }
    }

    /// The output and room for the gradient at it, of row `row`.
    pub fn y_and_dy(&mut self, row: usize) -> (&[f32], &mut [f32]) {
        let (width, out) = (padded(self.shape.hidden), self.shape.width_out());
        let y = match self.shape.output {
            Some(_) => &self.y[row * padded(out)..][..out],
            None => &self.tapes[self.tapes.len() - 1].h[(self.batch + row) * width..][..out],
        };
        (y, &mut self.dy[row * padded(out)..][..out])
    }

    /// Rows of y that were asked for.
    pub fn head_rows(&self) -> Range<usize> {
        let rows = self.steps * self.batch;
        match self.head {
            Head::All => 0..rows,
            Head::Last => rows - self.batch..rows,
        }
    }

    /// The activated gates of row `row` in the top layer, PyTorch's order `[G][H]`, into `out`; and how many gates
    /// there are. An Elman RNN has none to show. Needs [`Purpose::Training`].
    pub fn gates(&self, layer: usize, row: usize, out: &mut Vec<f32>) {
        let (saved, _) = cell::visit(&self.shape, Facts);
        let width = padded(self.shape.hidden);
        let from = &self.tapes[layer].saved[row * saved * width..][..saved * width];
        out.clear();
        for gate in 0..saved.min(self.shape.gates()) {
            out.extend((0..self.shape.hidden).map(|u| from[(u / LANES * saved + gate) * LANES + u % LANES]));
        }
    }

    /// `h` (or `c`, for an LSTM) of `layer` after step `t` of the last window, sequence `b`.
    pub fn state_at(&self, layer: usize, row: usize, cell_state: bool) -> &[f32] {
        let tape = &self.tapes[layer];
        let from = if cell_state && self.shape.cell.has_c() { &tape.c } else { &tape.h };
        &from[(self.batch + row) * padded(self.shape.hidden)..][..self.shape.hidden]
    }

    /// Backward of the last [`Network::forward`], for the gradient at y that stands in [`Network::y_and_dy`].
    /// Adds to `grads`, a shadow of `params`. The gradients of x and of the initial state follow from
    /// [`Network::dx`] and [`Network::dstate`].
    ///
    /// # Panics
    /// If `params`, `x` and `dropout` are not those of forward, or the network was made for inference.
    pub fn backward(&mut self, params: &[f32], grads: &mut [f32], x: &[f32], dropout: bool) {
        let rows = self.steps * self.batch;
        let (width, gates) = (padded(self.shape.hidden), self.shape.gates() * padded(self.shape.hidden));
        assert!(params.len() == self.layout.len() && grads.len() == params.len());
        assert!(!self.dy.is_empty() && x.len() == rows * self.shape.input);
        self.head_backward(params, grads);
        self.dh.fill(0.0);
        self.dc.fill(0.0);
        for l in (0..self.shape.layers).rev() {
            if dropout && l + 1 < self.shape.layers {
                for (d, factor) in self.dabove.iter_mut().zip(self.tapes[l].factors.iter()) {
                    *d *= factor;
                }
            }
            let ranges = self.layout.layers[l].clone();
            let columns = self.shape.layer_input(l);
            let tape = &mut self.tapes[l];
            transpose(
                &params[ranges.weight_hh.clone()],
                self.shape.gates(),
                self.shape.hidden,
                &mut tape.weight_hh_transposed,
            );
            transpose(&params[ranges.weight_ih.clone()], self.shape.gates(), columns, &mut tape.weight_ih_transposed);
            let layer = self.layer(l, params, x, dropout);
            let at = l * self.batch * width;
            let run = RunBackward {
                cpu: self.cpu,
                layer,
                dabove: self.dabove.as_ptr(),
                dh: self.dh[at..].as_mut_ptr(),
                dc: if self.dc.is_empty() { core::ptr::null_mut() } else { self.dc[at..].as_mut_ptr() },
                weight_hh_transposed: self.tapes[l].weight_hh_transposed.as_ptr(),
            };
            let shape = self.shape;
            self.threads.split(self.batch, |rows| cell::visit(&shape, (&run, rows)));

            let resets = cell::visit(&self.shape, Facts).1;
            let dgates_h = if resets { layer.gates_h } else { layer.gates_x }.cast_const();
            let dgates_x = layer.gates_x.cast_const();
            let gates_of = |at| Rows { at, width: gates, gates: self.shape.gates(), count: rows };
            let (d_x, d_h) = (gates_of(dgates_x), gates_of(dgates_h));
            let h = Rows { at: layer.h, width, gates: 1, count: rows };
            let x_rows = Rows { at: layer.x, width: layer.x_row, gates: 1, count: rows };
            self.gradient(h, self.shape.hidden, d_h, &mut grads[ranges.weight_hh]);
            self.gradient(x_rows, columns, d_x, &mut grads[ranges.weight_ih]);
            if let Some((bias_ih, bias_hh)) = ranges.biases {
                self.gradient(Rows::ones(rows), 1, d_x, &mut grads[bias_ih]);
                self.gradient(Rows::ones(rows), 1, d_h, &mut grads[bias_hh]);
            }
            let below = if l == 0 { self.dx.as_mut_ptr() } else { self.dabove.as_mut_ptr() };
            self.run_rows(Product {
                rows,
                depth: gates,
                panel: 1,
                panels: padded(columns) / LANES,
                a: dgates_x,
                a_row: gates,
                a_depth: 1,
                b: self.tapes[l].weight_ih_transposed.as_ptr(),
                b_depth: LANES,
                b_panel: gates * LANES,
                out: below,
                out_row: padded(columns),
                out_panel: LANES,
                start: Start::Zero,
            });
        }
    }

    /// Gradient at row `row` of x, I values, after backward.
    pub fn dx(&self, row: usize) -> &[f32] {
        &self.dx[row * padded(self.shape.input)..][..self.shape.input]
    }

    /// Gradient at the initial h (or c, for an LSTM) of `layer`, sequence `b`, H values, after backward.
    pub fn dstate(&self, layer: usize, b: usize, cell_state: bool) -> &[f32] {
        let from = if cell_state && self.shape.cell.has_c() { &self.dc } else { &self.dh };
        &from[(layer * self.batch + b) * padded(self.shape.hidden)..][..self.shape.hidden]
    }

    /// One update of `params` from `grads` times `scale`. `m`, `v` and `v_max` are shadows of `params`, or empty where
    /// `update` does without.
    ///
    /// # Panics
    /// If their lengths are not so.
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

    /// Layer `l` of the window at hand, as the passes see it.
    fn layer(&mut self, l: usize, params: &[f32], x: &[f32], dropout: bool) -> Layer {
        let width = padded(self.shape.hidden);
        let (x, x_row) = match l.checked_sub(1) {
            None => (x.as_ptr(), self.shape.input),
            Some(below) if dropout => (self.tapes[below].dropped.as_ptr(), width),
            Some(below) => (self.tapes[below].h[self.batch * width..].as_ptr(), width),
        };
        let ranges = &self.layout.layers[l];
        let tape = &mut self.tapes[l];
        Layer {
            gates: self.shape.gates(),
            hidden: self.shape.hidden,
            steps: self.steps,
            batch: self.batch,
            columns: self.shape.layer_input(l),
            x,
            x_row,
            weight_ih: params[ranges.weight_ih.clone()].as_ptr(),
            weight_hh: params[ranges.weight_hh.clone()].as_ptr(),
            biases: ranges.biases.as_ref().map(|(ih, hh)| (params[ih.clone()].as_ptr(), params[hh.clone()].as_ptr())),
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

    /// From dy to the gradient at the h of the top layer, and the gradients of the head.
    fn head_backward(&mut self, params: &[f32], grads: &mut [f32]) {
        let width = padded(self.shape.hidden);
        let out = padded(self.shape.width_out());
        let rows = self.head_rows();
        let len = self.steps * self.batch * width;
        let Some((weight, bias)) = self.layout.head.clone() else {
            self.dabove[..rows.start * width].fill(0.0);
            self.dabove[rows.start * width..len].copy_from_slice(&self.dy[rows.start * width..len]);
            return;
        };
        self.dabove[..rows.start * width].fill(0.0);
        transpose(&params[weight.clone()], 1, self.shape.hidden, &mut self.head_transposed);
        let dy = self.dy[rows.start * out..].as_ptr();
        let dtop = self.dabove[rows.start * width..].as_mut_ptr();
        self.run_rows(Product {
            rows: rows.len(),
            depth: out,
            panel: 1,
            panels: width / LANES,
            a: dy,
            a_row: out,
            a_depth: 1,
            b: self.head_transposed.as_ptr(),
            b_depth: LANES,
            b_panel: out * LANES,
            out: dtop,
            out_row: width,
            out_panel: LANES,
            start: Start::Zero,
        });
        let top = self.tapes.last().expect("a network has a layer");
        let h = top.h[(self.batch + rows.start) * width..].as_ptr();
        let d = Rows { at: dy, width: out, gates: 1, count: rows.len() };
        self.gradient(Rows { at: h, width, gates: 1, count: rows.len() }, self.shape.hidden, d, &mut grads[weight]);
        self.gradient(Rows::ones(rows.len()), 1, d, &mut grads[bias]);
    }

    /// Adds `Σ_rows a[row, column] · d[row, ·]` to packed gradients.
    fn gradient(&self, a: Rows, columns: usize, d: Rows, grads: &mut [f32]) {
        let panel = d.gates * LANES;
        let product = Product {
            rows: columns,
            depth: d.count,
            panel: d.gates,
            panels: d.width / panel,
            a: a.at,
            a_row: 1,
            a_depth: a.width,
            b: d.at,
            b_depth: d.width,
            b_panel: panel,
            out: grads.as_mut_ptr(),
            out_row: panel,
            out_panel: columns * panel,
            start: Start::Result,
        };
        let cpu = self.cpu;
        // SAFETY: rows of this network's buffers and a packed tensor of an arena of checked length; parts of panels
        // do not overlap.
        self.threads.split(product.panels, |panels| unsafe { cpu.run(product.some_panels(panels)) });
    }

    /// Runs a product, each thread some of its rows.
    fn run_rows(&self, product: Product) {
        let cpu = self.cpu;
        // SAFETY: made by the methods above from buffers of this network and arenas of checked length; parts of
        // rows do not overlap.
        self.threads.split(product.rows, |rows| unsafe { cpu.run(product.some_rows(rows)) });
    }
}

/// Rows of gradients or of what they are multiplied by.
#[derive(Clone, Copy)]
struct Rows {
    at: *const f32,
    /// From one row to the next.
    width: usize,
    /// Gates in a row.
    gates: usize,
    count: usize,
}

impl Rows {
    /// Rows of one value, 1: a product with them adds up the rows of the other side.
    fn ones(count: usize) -> Self {
        static ONE: f32 = 1.0;
        Self { at: &raw const ONE, width: 0, gates: 1, count }
    }
}

/// Vectors that the cell saves, and whether it resets.
struct Facts;

impl Visitor for Facts {
    type Output = (usize, bool);
    fn visit<C: Cell>(self) -> Self::Output {
        (C::SAVED, C::RESET)
    }
}

struct RunForward {
    cpu: Cpu,
    layer: Layer,
    rows: Range<usize>,
}

impl Visitor for RunForward {
    type Output = ();
    fn visit<C: Cell>(self) {
        let pass = Forward::<C> { layer: self.layer, rows: self.rows, cell: PhantomData };
        // SAFETY: the layer was made by `Network::layer` from its own buffers, for a window that fits them.
        unsafe { self.cpu.run(pass) }
    }
}

#[derive(Clone, Copy)]
struct RunBackward {
    cpu: Cpu,
    layer: Layer,
    dabove: *const f32,
    dh: *mut f32,
    dc: *mut f32,
    weight_hh_transposed: *const f32,
}

// SAFETY: it owns nothing; rows of the batch are handed to one thread each.
unsafe impl Sync for RunBackward {}

impl Visitor for (&RunBackward, Range<usize>) {
    type Output = ();
    fn visit<C: Cell>(self) {
        let (run, rows) = self;
        let &RunBackward { cpu, layer, dabove, dh, dc, weight_hh_transposed } = run;
        let pass = Backward::<C> { layer, rows, dabove, dh, dc, weight_hh_transposed, cell: PhantomData };
        // SAFETY: as in forward, and the network was made for training.
        unsafe { cpu.run(pass) }
    }
}
