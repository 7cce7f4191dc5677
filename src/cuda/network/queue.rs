//! The work of a network on the GPU, kernel by kernel. It is only queued: nothing comes back to the host.

use super::Network;
use crate::cuda::driver::{Graph, Memory};
use crate::cuda::launch::part::Part;
use crate::cuda::launch::products::{Packed, Products, Rows};
use crate::cuda::launch::recurrent::{Backward, Forward};
use crate::cuda::plan::Frame;
use crate::error::Result;
use crate::simd::lanes::padded;
use std::ops::Range;

/// Work on the window that is on the GPU. The results stay there, so this is for measuring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// All layers and the head, from the state that [`Network::forward`] was given.
    Forward,
    /// The same and backward: from the dy that [`Network::backward`] was given, to all gradients except that at x.
    ForwardBackward,
    /// A product of the first layer alone: x W_ihᵀ + b_ih, `[T·B, I]` by `[I, G·H]`.
    Gates,
    /// The gradient at x: `[T·B, G·H]` by `[G·H, I]`.
    Input,
    /// The gradient at W_ih: `[G·H, T·B]` by `[T·B, I]`.
    Weight,
}

/// [`Queued`] work that was recorded, and is launched at once. It works on the arrays of its network.
#[derive(Debug)]
pub struct Recorded<'a> {
    graph: Graph,
    _network: &'a Network,
}

impl Recorded<'_> {
    /// Queues it once more, after all earlier work. Returns at once.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn launch(&self) -> Result<()> {
        self.graph.launch()
    }
}

/// The most pieces of a window.
pub(super) const PIECES: usize = 4;

impl Network {
    /// Queues work and returns at once.
    ///
    /// # Errors
    /// If the network was made for inference and the work is more than that, or the GPU refuses a launch.
    pub fn queue(&self, work: Queued) -> Result<()> {
        match work {
            Queued::Forward => self.queue_forward(false),
            Queued::ForwardBackward => {
                self.queue_forward(false)?;
                self.queue_backward(false, false)
            }
            Queued::Gates | Queued::Input | Queued::Weight => self.queue_product(work),
        }
    }

    /// Records work instead of doing it.
    ///
    /// # Errors
    /// The same.
    pub fn record(&self, work: Queued) -> Result<Recorded<'_>> {
        // SAFETY: the work reads and writes arrays of this network only, which the recording borrows.
        let graph = unsafe { self.gpu.capture(|| self.queue(work))? };
        Ok(Recorded { graph, _network: self })
    }

    /// y of the head, `[T·B][Op]`, or h of the top layer; from the first row that counts.
    pub(in crate::cuda) fn y_part(&self) -> Result<Part<'_>> {
        let (first, out) = (self.head_rows().start, padded(self.shape.width_out()));
        match self.shape.output {
            Some(_) => Part::of(&self.y).range(first * out..),
            None => self.h_after(self.shape.layers - 1)?.range(first * out..),
        }
    }

    /// Gradient at it.
    pub(in crate::cuda) fn dy_part(&self) -> Result<Part<'_>> {
        Part::of(&self.dy).range(self.head_rows().start * padded(self.shape.width_out())..)
    }

    /// Forward through all layers and the head. With `dropout`, the masks of the last window are applied.
    pub(in crate::cuda) fn queue_forward(&self, dropout: bool) -> Result<()> {
        let width = padded(self.shape.hidden);
        for l in 0..self.shape.layers {
            let at = self.forward_of(l)?;
            let (x, columns) = self.input_of(l, dropout)?;
            let ranges = &self.layout.layers[l];
            let bias = ranges.biases.as_ref().map(|(ih, _)| self.param(ih)).transpose()?;
            let gates_x = Rows { at: at.gates_x, width: self.shape.gates() * width, count: x.count };
            let weight = self.packed(&ranges.weight_ih, columns)?;
            let pieces = self.pieces(columns).min(self.steps);
            if pieces > 1 {
                self.queue_in_pieces(pieces, [x, gates_x], weight, bias, &at)?;
            } else {
                self.products.nn(x, weight, bias, gates_x)?;
                self.queue_layer(l, &at)?;
            }
            if dropout && let Some([factors, dropped]) = &self.tapes[l].dropout {
                let h = self.h_after(l)?;
                self.products.multiply(h, Part::of(factors), Part::of(dropped), x.count * width)?;
            }
        }
        if let Some((weight, bias)) = &self.layout.head {
            let rows = self.head_rows();
            let h = Rows {
                at: self.h_after(self.shape.layers - 1)?.range(rows.start * width..)?,
                width,
                count: rows.len(),
            };
            let y = Rows { at: self.y_part()?, width: padded(self.shape.width_out()), count: rows.len() };
            self.products.nn(h, self.packed_head(weight)?, Some(self.param(bias)?), y)?;
        }
        Ok(())
    }

    /// A product of the first layer, on whatever values there are.
    fn queue_product(&self, work: Queued) -> Result<()> {
        let gradients = self.gradient_products.as_ref().unwrap_or(&self.products);
        let ((x, columns), at, ranges) = (self.input_of(0, false)?, self.backward_of(0)?, &self.layout.layers[0]);
        let gates = Rows { at: at.dgates_x, width: self.shape.gates() * padded(self.shape.hidden), count: x.count };
        let weight = self.packed(&ranges.weight_ih, columns)?;
        match work {
            Queued::Input => {
                let dx = Rows { at: Part::of(&self.dx), width: padded(columns), count: x.count };
                gradients.nt(gates, weight, dx, false)
            }
            Queued::Weight => gradients.tn(x, gates, self.packed_grads(&ranges.weight_ih, columns)?),
            _ => {
                let bias = ranges.biases.as_ref().map(|(ih, _)| self.param(ih)).transpose()?;
                self.products.nn(x, weight, bias, gates)
            }
        }
    }

    /// How many pieces a window is cut into. More than one is worth it where much of the GPU is idle during the time
    /// loop, and the projection of `columns` inputs takes longer than the launches of the pieces (some 4 us each, with
    /// the weights).
    fn pieces(&self, columns: usize) -> usize {
        /// FMAs of a projection that takes some 16 us of an H100 and 170 us of an Orin.
        const LEAST: usize = 1 << 28;
        /// Steps of a piece.
        const STEPS: usize = 64;
        let (pass, rows) = (&self.plan().forward, self.steps * self.batch);
        if self.plan().frame() == Frame::Stepwise {
            return 1;
        }
        if let Some(pieces) = self.pieces {
            return pieces;
        }
        let gates = self.shape.gates() * padded(self.shape.hidden);
        let busy = pass.blocks as usize * self.batch.div_ceil(pass.rows as usize);
        let idle = 2 * busy <= self.gpu.properties().multiprocessors as usize;
        let pieces = (self.steps / STEPS).clamp(1, PIECES);
        // a product with this many tiles adds up in the same order as a larger one, so pieces change no bit
        let same = rows / pieces * gates >= 1 << 18;
        if idle && same && rows * gates * columns >= LEAST { pieces } else { 1 }
    }

    /// One layer with its input projection. The projection of the next piece of the window runs at the same time as the
    /// time loop of this piece.
    fn queue_in_pieces(
        &self,
        pieces: usize,
        [x, gates_x]: [Rows<'_>; 2],
        weight: Packed<'_>,
        bias: Option<Part<'_>>,
        at: &Forward<'_>,
    ) -> Result<()> {
        let length = self.steps.div_ceil(pieces);
        let span = |piece: usize| {
            let from = piece * length;
            (from, length.min(self.steps - from))
        };
        let rows = |(from, steps): (usize, usize)| from * self.batch..(from + steps) * self.batch;
        self.beside.run(
            self.steps.div_ceil(length),
            |piece| self.products.nn(x.part(rows(span(piece)))?, weight, bias, gates_x.part(rows(span(piece)))?),
            |piece| {
                let (from, steps) = span(piece);
                self.recurrent.forward(&at.piece(&self.shape, from, steps)?)
            },
        )
    }

    /// One layer whose gates_x are already computed.
    fn queue_layer(&self, l: usize, at: &Forward) -> Result<()> {
        if self.plan().frame() != Frame::Stepwise {
            return self.recurrent.forward(at);
        }
        let width = padded(self.shape.hidden);
        let weight = self.packed(&self.layout.layers[l].weight_hh, self.shape.hidden)?;
        let gates_h = Part::of(&self.gates_h);
        for t in 0..self.steps {
            let h = Rows { at: at.h.range(t * self.batch * width..)?, width, count: self.batch };
            let out = Rows { at: gates_h, width: self.shape.gates() * width, count: self.batch };
            self.products.nn(h, weight, at.bias_hh, out)?;
            self.recurrent.step(t, gates_h, at)?;
        }
        Ok(())
    }

    /// From dy to all gradients; to that at x only with `dx`.
    pub(in crate::cuda) fn queue_backward(&self, dropout: bool, dx: bool) -> Result<()> {
        let products = self.gradient_products.as_ref().unwrap_or(&self.products);
        let (width, gates) = (padded(self.shape.hidden), self.shape.gates() * padded(self.shape.hidden));
        let rows = self.steps * self.batch;
        self.queue_head_backward(products)?;
        self.dh.fill_zero(0, self.dh.len())?;
        if let Some(dc) = &self.dc {
            dc.fill_zero(0, dc.len())?;
        }
        for l in (0..self.shape.layers).rev() {
            let above = Part::of(&self.dabove);
            if dropout && let Some([factors, _]) = &self.tapes[l].dropout {
                products.multiply(above, Part::of(factors), above, rows * width)?;
            }
            let at = self.backward_of(l)?;
            self.queue_layer_backward(l, &at, products)?;

            let ranges = &self.layout.layers[l];
            let (x, columns) = self.input_of(l, dropout)?;
            let d_x = Rows { at: at.dgates_x, width: gates, count: rows };
            let d_h = Rows { at: at.dgates_h.unwrap_or(at.dgates_x), ..d_x };
            let h = Rows { at: at.h, width, count: rows };
            products.tn(h, d_h, self.packed_grads(&ranges.weight_hh, self.shape.hidden)?)?;
            products.tn(x, d_x, self.packed_grads(&ranges.weight_ih, columns)?)?;
            if let Some((bias_ih, bias_hh)) = &ranges.biases {
                products.sum_rows([(d_x, self.grad(bias_ih)?), (d_h, self.grad(bias_hh)?)])?;
            }
            if l > 0 || dx {
                let below = if l == 0 { Part::of(&self.dx) } else { above };
                let out = Rows { at: below, width: padded(columns), count: rows };
                products.nt(d_x, self.packed(&ranges.weight_ih, columns)?, out, false)?;
            }
        }
        Ok(())
    }

    fn queue_layer_backward(&self, l: usize, at: &Backward, products: &Products) -> Result<()> {
        if self.plan().frame() != Frame::Stepwise {
            return self.recurrent.backward(at);
        }
        let (width, gates) = (padded(self.shape.hidden), self.shape.gates() * padded(self.shape.hidden));
        let weight = self.packed(&self.layout.layers[l].weight_hh, self.shape.hidden)?;
        let dgates_h = at.dgates_h.unwrap_or(at.dgates_x);
        for t in (0..self.steps).rev() {
            self.recurrent.step_backward(t, at)?;
            let d = Rows { at: dgates_h.range(t * self.batch * gates..)?, width: gates, count: self.batch };
            let dh = Rows { at: at.dh, width, count: self.batch };
            products.nt(d, weight, dh, true)?;
        }
        Ok(())
    }

    /// Clears the gradient at the h of the top layer for the rows that the head was not asked for. Another number of
    /// sequences may have left something there.
    pub(in crate::cuda) fn clear_rows_without_dy(&self) -> Result<()> {
        let width = padded(self.shape.hidden);
        match self.head_rows().start {
            0 => Ok(()),
            rows => self.dabove.fill_zero(0, rows * width),
        }
    }

    /// From dy to the gradient at the h of the top layer, and the gradients of the head.
    fn queue_head_backward(&self, products: &Products) -> Result<()> {
        let (width, out) = (padded(self.shape.hidden), padded(self.shape.width_out()));
        let rows = self.head_rows();
        self.clear_rows_without_dy()?;
        let dtop = Part::of(&self.dabove).range(rows.start * width..)?;
        let dy = Rows { at: self.dy_part()?, width: out, count: rows.len() };
        let Some((weight, bias)) = &self.layout.head else {
            return self.dabove.copy(rows.start * width, &self.dy, rows.start * width, rows.len() * width);
        };
        products.nt(dy, self.packed_head(weight)?, Rows { at: dtop, width, count: rows.len() }, false)?;
        let h = self.h_after(self.shape.layers - 1)?.range(rows.start * width..)?;
        products.tn(
            Rows { at: h, width, count: rows.len() },
            dy,
            Packed { at: self.grad(weight)?, ..self.packed_head(weight)? },
        )?;
        products.sum_rows([(dy, self.grad(bias)?)])
    }

    pub(in crate::cuda) fn forward_of(&self, l: usize) -> Result<Forward<'_>> {
        let ranges = &self.layout.layers[l];
        let tape = &self.tapes[l];
        Ok(Forward {
            weight_hh: self.param(&ranges.weight_hh)?,
            bias_hh: ranges.biases.as_ref().map(|(_, hh)| self.param(hh)).transpose()?,
            gates_x: Part::of(&tape.gates_x),
            h: self.states(&self.h, l)?,
            c: self.c.as_ref().map(|c| self.states(c, l)).transpose()?,
            saved: tape.saved.as_ref().map(Part::of),
            steps: self.steps,
            batch: self.batch,
        })
    }

    pub(in crate::cuda) fn backward_of(&self, l: usize) -> Result<Backward<'_>> {
        let tape = &self.tapes[l];
        let row = self.batch * padded(self.shape.hidden);
        Ok(Backward {
            weight_hh: self.param(&self.layout.layers[l].weight_hh)?,
            saved: tape.saved.as_ref().map(Part::of),
            h: self.states(&self.h, l)?,
            c: self.c.as_ref().map(|c| self.states(c, l)).transpose()?,
            dabove: Part::of(&self.dabove),
            dgates_x: Part::of(&tape.gates_x),
            dgates_h: self.shape.cell.resets().then(|| Part::of(&self.gates_h)),
            dh: Part::of(&self.dh).range(l * row..)?,
            dc: self.dc.as_ref().map(|dc| Part::of(dc).range(l * row..)).transpose()?,
            steps: self.steps,
            batch: self.batch,
        })
    }

    /// What layer `l` reads, and how many columns of it.
    fn input_of(&self, l: usize, dropout: bool) -> Result<(Rows<'_>, usize)> {
        let (count, width) = (self.steps * self.batch, padded(self.shape.layer_input(l)));
        let at = match l.checked_sub(1) {
            None => Part::of(&self.x),
            Some(below) => match &self.tapes[below].dropout {
                Some([_, dropped]) if dropout => Part::of(dropped),
                _ => self.h_after(below)?,
            },
        };
        Ok((Rows { at, width, count }, self.shape.layer_input(l)))
    }

    /// States of layer `l`, beginning with the one before the window.
    fn states<'a>(&self, all: &'a Memory<f32>, l: usize) -> Result<Part<'a>> {
        Part::of(all).range(l * self.layer..(l + 1) * self.layer)
    }

    /// h of layer `l` after each step.
    fn h_after(&self, l: usize) -> Result<Part<'_>> {
        self.states(&self.h, l)?.range(self.batch * padded(self.shape.hidden)..)
    }

    pub(super) fn param(&self, range: &Range<usize>) -> Result<Part<'_>> {
        Part::of(&self.params).range(range.clone())
    }

    pub(super) fn grad(&self, range: &Range<usize>) -> Result<Part<'_>> {
        Part::of(&self.grads).range(range.clone())
    }

    fn packed(&self, range: &Range<usize>, columns: usize) -> Result<Packed<'_>> {
        let gates = self.shape.gates();
        Ok(Packed { at: self.param(range)?, columns, gates, units: padded(self.shape.hidden) })
    }

    fn packed_grads(&self, range: &Range<usize>, columns: usize) -> Result<Packed<'_>> {
        Ok(Packed { at: self.grad(range)?, ..self.packed(range, columns)? })
    }

    fn packed_head(&self, range: &Range<usize>) -> Result<Packed<'_>> {
        let units = padded(self.shape.width_out());
        Ok(Packed { at: self.param(range)?, columns: self.shape.hidden, gates: 1, units })
    }
}
