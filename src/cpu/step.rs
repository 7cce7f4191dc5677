//! One sequence, one step at a time, the state in place.
//!
//! What a step costs is split. `W_hh h + b_hh` needs nothing of the next x, so it can be worked out as soon as the last
//! answer is out: [`Stepper::advance`]. What is left between x and y is [`Stepper::predict`]: of one layer the cell and two
//! short products, and no recurrent product at all. Every sum is that of the same row in a long sequence, in the same
//! order: the same bits, whoever calls what when.

use super::Cpu;
use super::product::{Product, Start};
use super::recurrent::tail;
use crate::cell::{self, Cell, MOST, State as Units, Visitor};
use crate::lanes::{Lanes, Pass};
use crate::layout::Layout;
use crate::shape::Shape;
use crate::state::State;
use crate::tensor::{Buffer, LANES, padded};
use alloc::vec::Vec;
use core::marker::PhantomData;

/// Where the parameters of a layer begin in the arena, and how many columns W_ih has.
#[derive(Debug, Clone, Copy)]
struct Place {
    columns: usize,
    weight_ih: usize,
    weight_hh: usize,
    biases: Option<(usize, usize)>,
}

/// A network that takes single steps, with room for what lies between two of them.
#[derive(Debug)]
pub struct Stepper {
    cpu: Cpu,
    shape: Shape,
    /// Length of the arena.
    params: usize,
    places: Vec<Place>,
    /// fc.weight and fc.bias.
    head: Option<(usize, usize)>,
    /// `[L][G·Hp]`: `W_hh h + b_hh` of the state at hand, if it is ahead.
    gates_h: Buffer,
    ahead: bool,
    /// Weights are read forwards and backwards in turn: where they overflow a cache, those read last are still there.
    backwards: bool,
    /// `[G·Hp]`
    gates_x: Buffer,
    /// `[Op]`, empty without a head.
    y: Buffer,
}

impl Stepper {
    /// Room for the steps of one sequence.
    pub fn new(cpu: Cpu, shape: &Shape) -> Self {
        let (layout, gates) = (Layout::new(shape), shape.gates() * padded(shape.hidden));
        let place = |(l, ranges): (usize, &crate::layout::LayerRanges)| Place {
            columns: shape.layer_input(l),
            weight_ih: ranges.weight_ih.start,
            weight_hh: ranges.weight_hh.start,
            biases: ranges.biases.as_ref().map(|(ih, hh)| (ih.start, hh.start)),
        };
        Self {
            params: layout.len(),
            places: layout.layers.iter().enumerate().map(place).collect(),
            head: layout.head.as_ref().map(|(weight, bias)| (weight.start, bias.start)),
            gates_h: Buffer::zeros(shape.layers * gates),
            ahead: false,
            backwards: false,
            gates_x: Buffer::zeros(gates),
            y: Buffer::zeros(shape.output.map_or(0, padded)),
            cpu,
            shape: *shape,
        }
    }

    /// y of `x [I]` from `state`, which becomes the state after it: O values, or H without a head. Allocates nothing.
    ///
    /// # Panics
    /// If a length is not that of the shape, or the state is of several sequences. Callers see to that once.
    pub fn predict<'a>(&'a mut self, params: &[f32], x: &[f32], state: &'a mut State) -> &'a [f32] {
        assert!(x.len() == self.shape.input);
        self.run(params, state, Some(x));
        let out = self.shape.width_out();
        match self.head {
            Some(_) => &self.y[..out],
            None => &state.h[(self.shape.layers - 1) * padded(out)..][..out],
        }
    }

    /// What can be done before the next x is there. Without it [`Stepper::predict`] does it first.
    ///
    /// # Panics
    /// The same.
    pub fn advance(&mut self, params: &[f32], state: &mut State) {
        self.run(params, state, None);
    }

    /// The state has been changed by somebody else.
    pub fn state_changed(&mut self) {
        self.ahead = false;
    }

    fn run(&mut self, params: &[f32], state: &mut State, x: Option<&[f32]>) {
        let len = self.shape.layers * padded(self.shape.hidden);
        assert!(params.len() == self.params && state.batch() == 1 && state.h.len() == len);
        assert!(!self.shape.cell.has_c() || state.c.len() == len);
        let step = Step { stepper: self, params: params.as_ptr(), state, x: x.map(<[f32]>::as_ptr) };
        cell::visit(&step.stepper.shape.clone(), step);
    }
}

/// A call of [`Stepper::predict`], with x, or of [`Stepper::advance`].
struct Step<'a> {
    stepper: &'a mut Stepper,
    params: *const f32,
    state: &'a mut State,
    x: Option<*const f32>,
}

impl Visitor for Step<'_> {
    type Output = ();

    fn visit<C: Cell>(self) {
        let cpu = self.stepper.cpu;
        // SAFETY: `Stepper::run` checked the lengths of what comes from outside; all else was made for the shape.
        unsafe { cpu.run(OfCell::<C> { step: self, cell: PhantomData }) }
    }
}

struct OfCell<'a, C> {
    step: Step<'a>,
    cell: PhantomData<C>,
}

impl<C: Cell> Pass for OfCell<'_, C> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Step { stepper, params, state, x } = self.step;
        let shape = stepper.shape;
        let (width, gates) = (padded(shape.hidden), C::GATES * padded(shape.hidden));
        // SAFETY: the caller's promise; the places are those of the layout.
        unsafe {
            if !stepper.ahead {
                for (l, place) in stepper.places.iter().enumerate() {
                    let h = state.h.as_ptr().add(l * width);
                    let gates_h = stepper.gates_h.as_mut_ptr().add(l * gates);
                    let bias = place.biases.map(|(_, bias)| params.add(bias));
                    product::<V, C>(
                        &shape,
                        shape.hidden,
                        h,
                        params.add(place.weight_hh),
                        bias,
                        gates_h,
                        stepper.backwards,
                    );
                }
                stepper.ahead = true;
                stepper.backwards = !stepper.backwards;
            }
            let Some(mut x) = x else { return };
            for (l, place) in stepper.places.iter().enumerate() {
                let gates_x = stepper.gates_x.as_mut_ptr();
                let bias = place.biases.map(|(bias, _)| params.add(bias));
                product::<V, C>(&shape, place.columns, x, params.add(place.weight_ih), bias, gates_x, false);
                let gates_h = stepper.gates_h.as_ptr().add(l * gates);
                let h = state.h.as_mut_ptr().add(l * width);
                let c = if C::HAS_C { state.c.as_mut_ptr().add(l * width) } else { h };
                for tile in 0..width / LANES {
                    units::<V, C>(&shape, tile, gates_x, gates_h, h, c);
                }
                x = h;
            }
            stepper.ahead = false;
            if let Some((weight, bias)) = stepper.head {
                Product {
                    rows: 1,
                    depth: shape.hidden,
                    panel: 1,
                    panels: stepper.y.len() / LANES,
                    a: x,
                    a_row: 0,
                    a_depth: 1,
                    b: params.add(weight),
                    b_depth: LANES,
                    b_panel: shape.hidden * LANES,
                    out: stepper.y.as_mut_ptr(),
                    out_row: 0,
                    out_panel: LANES,
                    start: Start::Bias(params.add(bias)),
                    backwards: false,
                }
                .run::<V>();
            }
        }
    }
}

/// Gates of one row: `W a + bias`.
#[inline(always)]
unsafe fn product<V: Lanes, C: Cell>(
    shape: &Shape,
    depth: usize,
    a: *const f32,
    weight: *const f32,
    bias: Option<*const f32>,
    out: *mut f32,
    backwards: bool,
) {
    let panel = C::GATES * LANES;
    let product = Product {
        rows: 1,
        depth,
        panel: C::GATES,
        panels: padded(shape.hidden) / LANES,
        a,
        a_row: 0,
        a_depth: 1,
        b: weight,
        b_depth: panel,
        b_panel: depth * panel,
        out,
        out_row: 0,
        out_panel: panel,
        start: bias.map_or(Start::Zero, Start::Bias),
        backwards,
    };
    // SAFETY: the caller's promise.
    unsafe { product.run::<V>() }
}

/// The cell of the sixteen units of a tile, in place.
#[inline(always)]
unsafe fn units<V: Lanes, C: Cell>(
    shape: &Shape,
    tile: usize,
    gates_x: *const f32,
    gates_h: *const f32,
    h: *mut f32,
    c: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = V::splat(0.0);
        let (mut x_gates, mut h_gates) = ([zero; MOST], [zero; MOST]);
        for gate in 0..C::GATES {
            let at = (tile * C::GATES + gate) * LANES;
            x_gates[gate] = V::load(gates_x.add(at));
            h_gates[gate] = V::load(gates_h.add(at));
        }
        let (h, c) = (h.add(tile * LANES), c.add(tile * LANES));
        let before = Units { h: V::load(h), c: if C::HAS_C { V::load(c) } else { zero } };
        let (after, _) = C::forward(x_gates, h_gates, before);
        let mask = tail::<V>(shape.hidden - tile * LANES);
        after.h.and(mask).store(h);
        if C::HAS_C {
            after.c.and(mask).store(c);
        }
    }
}
