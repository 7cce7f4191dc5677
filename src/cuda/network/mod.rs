//! Passes of a network on a GPU. The twin of [`crate::cpu::Network`], with the same layouts and the same order of
//! steps.

mod queue;
mod tick;

pub use queue::{Queued, Recorded};
pub use tick::Stepper;

use super::Cuda;
use super::driver::{Beside, Gpu, Memory, Pinned};
use super::plan::{Dtype, Frame, Plan};
use crate::cuda::launch::part::Part;
use crate::cuda::launch::products::Products;
use crate::cuda::launch::recurrent::Recurrent;
use crate::cuda::launch::whole::Ends;
use crate::error::{Error, Result};
use crate::net::layout::Layout;
use crate::net::pass::{Dropout, HeadSteps, Mode};
use crate::net::shape::Shape;
use crate::net::state::State;
use crate::simd::lanes::padded;
use std::ops::Range;

/// What a network keeps of one layer, for windows of up to T·B rows.
#[derive(Debug)]
struct Tape {
    /// `[T·B][G·Hp]`; after backward, the gradients at it.
    gates_x: Memory<f32>,
    /// `[T·B][tile][SAVED][lane]`
    saved: Option<Memory<f32>>,
    /// Dropout between this layer and the next: factors, and h times them. `[T·B][Hp]`
    dropout: Option<[Memory<f32>; 2]>,
}

/// A network on one GPU.
#[derive(Debug)]
pub struct Network {
    shape: Shape,
    dtype: Dtype,
    layout: Layout,
    recurrent: Recurrent,
    products: Products,
    /// The products of gradients, if they are rounded in another way.
    gradient_products: Option<Products>,
    rows: usize,
    batch: usize,
    steps: usize,
    head: HeadSteps,
    /// Values of h from one layer to the next.
    layer: usize,
    pub(super) params: Memory<f32>,
    pub(super) grads: Memory<f32>,
    /// `[T·B][Ip]`
    pub(super) x: Memory<f32>,
    tapes: Vec<Tape>,
    /// `[L]` times `layer` values, each `[(T+1)·B][Hp]`
    pub(super) h: Memory<f32>,
    pub(super) c: Option<Memory<f32>>,
    /// `[B][G·Hp]`, or `[T·B][G·Hp]` for the backward pass of a cell that resets.
    gates_h: Memory<f32>,
    /// `[T·B][Op]`
    y: Memory<f32>,
    pub(super) dy: Memory<f32>,
    /// Gradient at the h of the layer that backward is at, `[T·B][Hp]`.
    dabove: Memory<f32>,
    /// `[T·B][Ip]`
    dx: Memory<f32>,
    /// Gradient at the initial state, `[L][B][Hp]`.
    dh: Memory<f32>,
    dc: Option<Memory<f32>>,
    /// Page-locked memory for x on its way to the GPU, and for y on its way back.
    x_host: Pinned<f32>,
    y_host: Pinned<f32>,
    /// For windows in pieces, see [`Network::queue_in_pieces`], and how many were asked for.
    beside: Beside,
    pieces: Option<usize>,
    gpu: Gpu,
    dx_host: Vec<f32>,
    dstate_host: [Vec<f32>; 2],
}

impl Network {
    /// Allocates the memory for windows of up to `steps` steps of up to `batch` sequences, and loads the kernels.
    ///
    /// # Errors
    /// If a window has more values than a `usize` can count, the GPU has too little memory, or its kernels can neither
    /// be found nor compiled.
    pub fn new(cuda: &Cuda, shape: &Shape, steps: usize, batch: usize, purpose: Mode) -> Result<Self> {
        if shape.values_of_window(steps, batch).is_none() {
            return Err(Error::invalid(format!(
                "{steps} steps of {batch} sequences: more than any memory holds; take a smaller seq-len or batch"
            )));
        }
        let (gpu, layout) = (cuda.gpu(), Layout::new(shape));
        let (rows, width) = (steps * batch, padded(shape.hidden));
        let gates = shape.gates() * width;
        let training = purpose == Mode::Training;
        let plan = Plan::choose(shape, batch, cuda.dtype(), gpu.properties(), cuda.frame())?;
        let stepwise = plan.frame() == Frame::Stepwise;
        // memory of length zero would have no address
        let zeros = |len: usize| gpu.zeros::<f32>(len.max(1));
        let when = |wanted: bool, len: usize| zeros(if wanted { len } else { 0 });
        let tape = |layer: usize| {
            let between = training && layer + 1 < shape.layers;
            Ok(Tape {
                gates_x: zeros(rows * gates)?,
                saved: (training && shape.cell.saved() > 0)
                    .then(|| zeros(rows * shape.cell.saved() * width))
                    .transpose()?,
                dropout: between.then(|| Ok::<_, Error>([zeros(rows * width)?, zeros(rows * width)?])).transpose()?,
            })
        };
        let layer = (rows + batch) * width;
        let out = shape.output.map_or(0, padded);
        let apart = training && cuda.dtype().of_gradients() != cuda.dtype();
        let longest = if training {
            let of_head = shape.output.map(|_| [rows, shape.hidden, out]);
            let of_layers = (0..shape.layers).flat_map(|l| [shape.layer_input(l), shape.hidden]);
            of_layers.map(|columns| [rows, columns, gates]).chain(of_head).collect()
        } else {
            vec![]
        };
        let many = if training && shape.cell.resets() {
            rows
        } else if stepwise {
            batch
        } else {
            0
        };
        Ok(Self {
            recurrent: Recurrent::load(cuda, shape, plan, purpose)?,
            products: Products::load(cuda, cuda.dtype(), if apart { &[] } else { &longest })?,
            gradient_products: apart
                .then(|| Products::load(cuda, cuda.dtype().of_gradients(), &longest))
                .transpose()?,
            params: zeros(layout.len())?,
            grads: when(training, layout.len())?,
            x: zeros(rows * padded(shape.input))?,
            tapes: (0..shape.layers).map(tape).collect::<Result<_>>()?,
            h: zeros(shape.layers * layer)?,
            c: shape.cell.has_c().then(|| zeros(shape.layers * layer)).transpose()?,
            gates_h: zeros(many * gates)?,
            y: zeros(rows * out)?,
            dy: when(training, rows * padded(shape.width_out()))?,
            dabove: when(training, rows * width)?,
            dx: when(training, rows * padded(shape.input))?,
            dh: when(training, shape.layers * batch * width)?,
            dc: (training && shape.cell.has_c()).then(|| zeros(shape.layers * batch * width)).transpose()?,
            x_host: gpu.pinned((rows * padded(shape.input)).max(1))?,
            y_host: gpu.pinned((rows * padded(shape.width_out())).max(1))?,
            beside: gpu.beside(cuda.pieces().unwrap_or(queue::PIECES))?,
            pieces: cuda.pieces(),
            gpu: gpu.clone(),
            dx_host: vec![],
            dstate_host: [vec![], vec![]],
            shape: *shape,
            dtype: cuda.dtype(),
            layout,
            layer,
            rows,
            batch,
            steps,
            head: HeadSteps::All,
        })
    }

    /// The shape of the network.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Which frame runs, and why.
    pub fn plan(&self) -> &Plan {
        self.recurrent.plan()
    }

    /// Copies packed parameters to the GPU.
    ///
    /// # Errors
    /// If there are not as many as the shape has, a weight is too large for the rounding of products, or the GPU fails.
    pub fn set_params(&mut self, params: &[f32]) -> Result<()> {
        Error::check_length("parameters", self.layout.len(), params.len())?;
        let dtype = self.dtype;
        for weight in self.layout.entries().iter().filter(|entry| entry.dims.len() == 2) {
            let values = &params[weight.range()];
            if let Some(value) = values.iter().find(|&&value| !value.is_nan() && dtype.within(value) != value) {
                let (name, dtype) = (&weight.name, dtype.name());
                let reason =
                    format!("the value {value} does not fit into {dtype} products; take --dtype bf16, tf32 or f32");
                return Err(Error::invalid(format!("{name}: {reason}")));
            }
        }
        self.params.upload(0, params)
    }

    /// y of `x [T,B,I]` (time-major) from `state`, which becomes the state after the window. T follows from the length
    /// of x. Read the result with [`Network::y`].
    ///
    /// # Errors
    /// If the window is larger than the network was made for, the state is not of this shape, or the GPU fails.
    pub fn forward(&mut self, x: &[f32], state: &mut State, head: HeadSteps) -> Result<()> {
        self.forward_with(x, state, head, None)
    }

    /// The same with dropout between layers, for a network that trains.
    ///
    /// # Errors
    /// The same.
    pub fn forward_with(
        &mut self,
        x: &[f32],
        state: &mut State,
        head: HeadSteps,
        dropout: Option<&mut dyn Dropout>,
    ) -> Result<()> {
        let (batch, input) = (state.batch(), self.shape.input);
        state.check(&self.shape, None, batch)?;
        self.set_window(x.len() / (batch * input).max(1), batch, head)?;
        Error::check_length("x [T,B,I]", self.steps * batch * input, x.len())?;
        let width = padded(input);
        for (row, x) in self.x_host.chunks_exact_mut(width).zip(x.chunks_exact(input)) {
            for (to, &x) in row.iter_mut().zip(x) {
                *to = self.dtype.within(x);
            }
        }
        let drops = dropout.is_some();
        if let Some(dropout) = dropout {
            self.set_masks(dropout)?;
        }
        self.x.upload_async(0, &self.x_host, 0..self.steps * batch * width)?;
        self.write_state(state, 0)?;
        self.queue_forward(drops)?;
        self.fetch_y()?;
        self.read_state(state)
    }

    /// Sets the sizes of the next window: `steps` steps of `batch` sequences.
    ///
    /// # Errors
    /// If it is larger than the network was made for.
    pub(super) fn set_window(&mut self, steps: usize, batch: usize, head: HeadSteps) -> Result<()> {
        if steps == 0 || batch == 0 || steps * batch > self.rows {
            return Err(Error::invalid(format!(
                "window of {steps} steps of {batch} sequences: the network was made for {} rows",
                self.rows
            )));
        }
        (self.steps, self.batch, self.head) = (steps, batch, head);
        Ok(())
    }

    /// What the kernel of complete training steps needs of a network of one layer, in addition to the layer.
    pub(super) fn ends(&self) -> Result<Ends<'_>> {
        let ranges = &self.layout.layers[0];
        let (bias_ih, bias_hh) = ranges.biases.as_ref().map_or((None, None), |(ih, hh)| (Some(ih), Some(hh)));
        let (weight_fc, bias_fc) = self.layout.head.as_ref().map_or((None, None), |(w, b)| (Some(w), Some(b)));
        let param = |range: Option<&Range<usize>>| range.map(|range| self.param(range)).transpose();
        let grad = |range: Option<&Range<usize>>| range.map(|range| self.grad(range)).transpose();
        let (ih, hh) = (Some(&ranges.weight_ih), Some(&ranges.weight_hh));
        let weights = [param(ih)?, param(bias_ih)?, param(weight_fc)?, param(bias_fc)?];
        let grads = [grad(ih)?, grad(hh)?, grad(bias_ih)?, grad(bias_hh)?, grad(weight_fc)?, grad(bias_fc)?];
        let first = self.head_rows().start * padded(self.shape.hidden);
        Ok(Ends { weights, grads, y: self.y_part()?, dtop: Part::of(&self.dabove).range(first..)? })
    }

    /// The barriers, for kernels that have them as an argument.
    pub(super) fn barriers(&self) -> Part<'_, u32> {
        self.recurrent.barriers()
    }

    /// Values of h from one layer to the next.
    pub(super) fn layer(&self) -> usize {
        self.layer
    }

    /// B of the last window.
    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    /// Draws the masks of dropout for the current window.
    pub(super) fn set_masks(&mut self, dropout: &mut dyn Dropout) -> Result<()> {
        let (width, hidden) = (padded(self.shape.hidden), self.shape.hidden);
        let mut host = vec![0.0; self.steps * self.batch * width];
        for (layer, tape) in self.tapes.iter_mut().enumerate() {
            if let Some([factors, _]) = &mut tape.dropout {
                dropout.factors(layer, &mut host.chunks_exact_mut(width).map(|row| &mut row[..hidden]));
                factors.upload(0, &host)?;
            }
        }
        Ok(())
    }

    /// Writes a state before the window, or (`t` = T) after it, where the next window takes it from.
    pub(super) fn write_state(&mut self, state: &State, t: usize) -> Result<()> {
        let len = self.batch * padded(self.shape.hidden);
        for l in 0..self.shape.layers {
            self.h.upload(l * self.layer + t * len, &state.h[l * len..(l + 1) * len])?;
            if let Some(c) = &mut self.c {
                c.upload(l * self.layer + t * len, &state.c[l * len..(l + 1) * len])?;
            }
        }
        Ok(())
    }

    /// The state after the window.
    pub(super) fn read_state(&self, state: &mut State) -> Result<()> {
        let len = self.batch * padded(self.shape.hidden);
        for l in 0..self.shape.layers {
            self.h.download(l * self.layer + self.steps * len, &mut state.h[l * len..(l + 1) * len])?;
            if let Some(c) = &self.c {
                c.download(l * self.layer + self.steps * len, &mut state.c[l * len..(l + 1) * len])?;
            }
        }
        Ok(())
    }

    /// Brings y to the host.
    pub(super) fn fetch_y(&mut self) -> Result<()> {
        let (out, width) = (padded(self.shape.width_out()), padded(self.shape.hidden));
        let rows = self.head_rows();
        let (from, before) = match self.shape.output {
            Some(_) => (&self.y, 0),
            None => (&self.h, (self.shape.layers - 1) * self.layer + self.batch * width),
        };
        from.download(before + rows.start * out, &mut self.y_host[rows.start * out..rows.end * out])
    }

    /// The output of row `row = t·B + b` of the last window, O values (H without a head).
    ///
    /// # Panics
    /// If the network has no room for such a row.
    pub fn y(&self, row: usize) -> &[f32] {
        let out = self.shape.width_out();
        &self.y_host[row * padded(out)..][..out]
    }

    /// Rows of y that were asked for.
    pub fn head_rows(&self) -> Range<usize> {
        let rows = self.steps * self.batch;
        match self.head {
            HeadSteps::All => 0..rows,
            HeadSteps::Last => rows - self.batch..rows,
        }
    }

    /// Backward of the last forward pass, from the gradient at y `[rows][O]` of the rows that were asked for. Writes
    /// the gradients of the parameters, in the same layout. Those at x and at the initial state are then in
    /// [`Network::dx`] and [`Network::dstate`].
    ///
    /// # Errors
    /// If the network was made for inference, or the GPU fails.
    pub fn backward(&mut self, dy: &[f32], grads: &mut [f32], dropout: bool) -> Result<()> {
        let (out, rows) = (self.shape.width_out(), self.head_rows());
        Error::check_length("dy", rows.len() * out, dy.len())?;
        let mut padded_dy = vec![0.0; rows.len() * padded(out)];
        for (row, dy) in padded_dy.chunks_exact_mut(padded(out)).zip(dy.chunks_exact(out)) {
            row[..out].copy_from_slice(dy);
        }
        self.dy.upload(rows.start * padded(out), &padded_dy)?;
        self.queue_backward(dropout, true)?;
        self.grads.download(0, grads)?;
        self.dx_host.resize(self.dx.len(), 0.0);
        self.dx.download(0, &mut self.dx_host)?;
        for (host, from) in self.dstate_host.iter_mut().zip([Some(&self.dh), self.dc.as_ref()]) {
            if let Some(from) = from {
                host.resize(from.len(), 0.0);
                from.download(0, host)?;
            }
        }
        Ok(())
    }

    /// Gradient at row `row` of x, I values, after backward.
    ///
    /// # Panics
    /// If there is no room for such a row, or backward did not run before.
    pub fn dx(&self, row: usize) -> &[f32] {
        &self.dx_host[row * padded(self.shape.input)..][..self.shape.input]
    }

    /// Gradient at the initial h (or c, for an LSTM) of `layer`, sequence `b`, H values, after backward.
    ///
    /// # Panics
    /// If there is no such layer or sequence, or backward did not run before.
    pub fn dstate(&self, layer: usize, b: usize, cell_state: bool) -> &[f32] {
        let from = &self.dstate_host[usize::from(cell_state && self.dc.is_some())];
        &from[(layer * self.batch + b) * padded(self.shape.hidden)..][..self.shape.hidden]
    }
}
