//! One sequence, one step at a time, the state in place.
//!
//! What a step costs is split. `W_hh h + b_hh` needs nothing of the next x, so it can be worked out as soon as the last
//! answer is out: [`Stepper::advance`]. What is left between x and y is [`Stepper::predict`]: of one layer the cell and two
//! short products, and no recurrent product at all. Every sum is that of the same row in a long sequence, in the same
//! order: the same bits, whoever calls what when.

use super::Cpu;
use super::linear::Linear;
use super::product::{Product, Start, transpose};
use super::recurrent::tail;
use crate::cell::{self, Cell, MOST, State as Units, Visitor};
use crate::lanes::{Lanes, Pass};
use crate::layout::Layout;
use crate::shape::Shape;
use crate::state::State;
use crate::tensor::{Buffer, LANES, padded};
use alloc::vec::Vec;
use core::marker::PhantomData;

/// Where the parameters of a layer begin in the arena.
#[derive(Debug, Clone, Copy)]
struct Place {
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
    /// fc.weight with lanes along h.
    head_transposed: Buffer,
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
    /// Room for the steps of one sequence with the weights `params`; every later call wants the same ones.
    ///
    /// # Panics
    /// If there are not as many as the shape has.
    pub fn new(cpu: Cpu, shape: &Shape, params: &[f32]) -> Self {
        let (layout, gates) = (Layout::new(shape), shape.gates() * padded(shape.hidden));
        assert!(params.len() == layout.len());
        let place = |ranges: &crate::layout::LayerRanges| Place {
            weight_ih: ranges.weight_ih.start,
            weight_hh: ranges.weight_hh.start,
            biases: ranges.biases.as_ref().map(|(ih, hh)| (ih.start, hh.start)),
        };
        let out = shape.output.map_or(0, padded);
        let mut head_transposed = Buffer::zeros(out * padded(shape.hidden));
        if let Some((weight, _)) = &layout.head {
            transpose(&params[weight.clone()], 1, shape.hidden, &mut head_transposed);
        }
        Self {
            params: layout.len(),
            places: layout.layers.iter().map(place).collect(),
            head_transposed,
            head: layout.head.as_ref().map(|(weight, bias)| (weight.start, bias.start)),
            gates_h: Buffer::zeros(shape.layers * gates),
            ahead: false,
            backwards: false,
            gates_x: Buffer::zeros(gates),
            y: Buffer::zeros(out),
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
        // One layer from one value to one value is what most series need: with sizes that the compiler knows, its loops
        // are laid out without counters. The arithmetic is the same.
        // SAFETY: the caller's promise.
        unsafe {
            match (shape.input, shape.hidden, shape.layers, shape.output) {
                (1, 8, 1, Some(1)) => steps::<V, C>(one_to_one::<8>(shape), stepper, params, state, x),
                (1, 16, 1, Some(1)) => steps::<V, C>(one_to_one::<16>(shape), stepper, params, state, x),
                (1, 32, 1, Some(1)) => steps::<V, C>(one_to_one::<32>(shape), stepper, params, state, x),
                _ => steps::<V, C>(shape, stepper, params, state, x),
            }
        }
    }
}

/// The same shape, with sizes that the compiler knows.
#[inline(always)]
fn one_to_one<const H: usize>(shape: Shape) -> Shape {
    Shape { input: 1, hidden: H, layers: 1, output: Some(1), ..shape }
}

/// The two halves of a step, the second only with x.
#[inline(always)]
unsafe fn steps<V: Lanes, C: Cell>(
    shape: Shape,
    stepper: &mut Stepper,
    params: *const f32,
    state: &mut State,
    x: Option<*const f32>,
) {
    let (width, gates) = (padded(shape.hidden), C::GATES * padded(shape.hidden));
    let (h, c) = (state.h.as_mut_ptr(), state.c.as_mut_ptr());
    let places = stepper.places.as_ptr();
    // SAFETY: the caller's promise; there is a place for each layer.
    unsafe {
        if !stepper.ahead {
            for l in 0..shape.layers {
                let place = &*places.add(l);
                let gates_h = stepper.gates_h.as_mut_ptr().add(l * gates);
                let bias = place.biases.map(|(_, bias)| params.add(bias));
                let weight = params.add(place.weight_hh);
                product::<V, C>(&shape, shape.hidden, h.add(l * width), weight, bias, gates_h, stepper.backwards);
            }
            stepper.ahead = true;
            stepper.backwards = !stepper.backwards;
        }
        let Some(mut x) = x else { return };
        for l in 0..shape.layers {
            let place = &*places.add(l);
            let gates_x = stepper.gates_x.as_mut_ptr();
            let bias = place.biases.map(|(bias, _)| params.add(bias));
            let weight = params.add(place.weight_ih);
            product::<V, C>(&shape, shape.layer_input(l), x, weight, bias, gates_x, false);
            let gates_h = stepper.gates_h.as_ptr().add(l * gates);
            let h = h.add(l * width);
            let c = if C::HAS_C { c.add(l * width) } else { h };
            for tile in 0..width / LANES {
                units::<V, C>(&shape, tile, gates_x, gates_h, h, c);
            }
            x = h;
        }
        stepper.ahead = false;
        if let (Some((weight, bias)), Some(output)) = (stepper.head, shape.output) {
            Linear {
                rows: 1,
                hidden: shape.hidden,
                output,
                h: x,
                weight: params.add(weight),
                weight_transposed: stepper.head_transposed.as_ptr(),
                bias: params.add(bias),
                y: stepper.y.as_mut_ptr(),
            }
            .run::<V>();
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
