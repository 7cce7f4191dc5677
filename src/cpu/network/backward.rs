//! Backward through a whole network: head, layers from the top down, all gradients.

use super::super::product::{Panel, Product, Start, transpose};
use super::super::recurrent::{Backward, Layer};
use super::Network;
use crate::cell::{Cell, Visitor};
use crate::net::pass::Mode;
use crate::net::weight_format::Weights;
use crate::simd::isa::Cpu;
use crate::simd::lanes::{LANES, padded};
use core::marker::PhantomData;
use core::ops::Range;

impl Network {
    /// Backward of the last [`Network::forward`], from the gradient at y that was written to [`Network::y_and_dy`].
    /// Adds to `grads`, which have the layout of `params`. The gradients at x and at the initial state are then in
    /// [`Network::dx`] and [`Network::dstate`].
    ///
    /// # Panics
    /// If `params`, `x` and `dropout` are not those of forward, `grads` are not as many as `params`, or the network was
    /// made for inference or for small weights.
    pub fn backward(&mut self, params: &[f32], grads: &mut [f32], x: &[f32], dropout: bool) {
        let rows = self.steps * self.batch;
        let (width, gates) = (padded(self.shape.hidden), self.shape.gates() * padded(self.shape.hidden));
        assert!(self.weights == Weights::F32 && params.len() == self.layout.len() && grads.len() == params.len());
        assert!(self.purpose == Mode::Training && x.len() == rows * self.shape.input);
        self.head_backward(grads);
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
            self.threads.split(self.batch, |rows| shape.visit_cell((&run, rows)));

            let resets = self.shape.cell.resets();
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
                panel: Panel::One,
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
    ///
    /// # Panics
    /// If there is no room for such a row; in a network for inference there is none for any.
    pub fn dx(&self, row: usize) -> &[f32] {
        &self.dx[row * padded(self.shape.input)..][..self.shape.input]
    }

    /// Gradient at the initial h (or c, for an LSTM) of `layer`, sequence `b`, H values, after backward.
    ///
    /// # Panics
    /// If there is no such layer or sequence; in a network for inference there is none.
    pub fn dstate(&self, layer: usize, b: usize, cell_state: bool) -> &[f32] {
        let from = if cell_state && self.shape.cell.has_c() { &self.dc } else { &self.dh };
        &from[(layer * self.batch + b) * padded(self.shape.hidden)..][..self.shape.hidden]
    }

    /// From dy to the gradient at the h of the top layer, and the gradients of the head.
    fn head_backward(&mut self, grads: &mut [f32]) {
        let width = padded(self.shape.hidden);
        let out = padded(self.shape.width_out());
        let rows = self.head_rows();
        let len = self.steps * self.batch * width;
        self.dabove[..rows.start * width].fill(0.0);
        let Some((weight, bias)) = self.layout.head.clone() else {
            self.dabove[rows.start * width..len].copy_from_slice(&self.dy[rows.start * width..len]);
            return;
        };
        let dy = self.dy[rows.start * out..].as_ptr();
        let dtop = self.dabove[rows.start * width..].as_mut_ptr();
        self.run_rows(Product {
            rows: rows.len(),
            depth: self.shape.width_out(),
            panel: Panel::One,
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
            panel: Panel::of(d.gates),
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
