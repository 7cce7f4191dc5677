//! Single steps of a network whose shape is known when the program runs.

use super::Cpu;
use super::product::transpose;
use super::step::{Room, Step, Turn};
use super::stored::{Bf16, F16, F32, Int8, Stored};
use crate::cell::{self, Cell, Visitor};
use crate::lanes::{Lanes, Pass, padded};
use crate::layout::Offsets;
use crate::shape::Shape;
use crate::state::State;
use crate::tensor::Buffer;
use crate::weights::Weights;
use core::marker::PhantomData;

/// A network that takes single steps, with room for what lies between two of them.
#[derive(Debug)]
pub struct Stepper {
    cpu: Cpu,
    shape: Shape,
    weights: Weights,
    /// Length of the arena.
    params: usize,
    /// fc.weight with lanes along h.
    head: Buffer,
    room: Buffer,
    turn: Turn,
}

impl Stepper {
    /// Room for the steps of one sequence with `params`, the arena of [`Offsets`] for `weights`; every later call wants
    /// the same ones.
    ///
    /// # Panics
    /// If there are not as many as the shape has.
    pub fn new(cpu: Cpu, shape: &Shape, weights: Weights, params: &[f32]) -> Self {
        assert!(params.len() == Offsets::arena(shape, weights));
        let (weight, bias, _) = Offsets::head(shape, weights);
        let mut head = Buffer::zeros((bias - weight) / shape.hidden * padded(shape.hidden));
        transpose(&params[weight..bias], 1, shape.hidden, &mut head);
        let room = Buffer::zeros(Room::of(shape).end);
        Self { cpu, shape: *shape, weights, params: params.len(), head, room, turn: Turn::new() }
    }

    /// y of `x [I]` from `state`, which becomes the state after it: O values, or H without a head. Allocates nothing.
    ///
    /// # Panics
    /// If a length is not that of the shape, or the state is of several sequences. Callers see to that once.
    pub fn predict<'a>(&'a mut self, params: &[f32], x: &[f32], state: &'a mut State) -> &'a [f32] {
        assert!(x.len() == self.shape.input);
        self.run(params, state, Some(x));
        let out = self.shape.width_out();
        match self.shape.output {
            Some(_) => &self.room[Room::of(&self.shape).y..][..out],
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

    /// Whether [`Stepper::advance`] was called for the state at hand.
    pub fn is_ahead(&self) -> bool {
        self.turn.ahead
    }

    /// The state has been changed by somebody else.
    pub fn state_changed(&mut self) {
        self.turn.ahead = false;
    }

    fn run(&mut self, params: &[f32], state: &mut State, x: Option<&[f32]>) {
        let shape = self.shape;
        let len = shape.layers * padded(shape.hidden);
        assert!(params.len() == self.params && state.batch() == 1 && state.h.len() == len);
        assert!(!shape.cell.has_c() || state.c.len() == len);
        cell::visit(&shape, Call { stepper: self, params: params.as_ptr(), state, x: x.map(<[f32]>::as_ptr) });
    }
}

/// A call of [`Stepper::predict`], with x, or of [`Stepper::advance`].
struct Call<'a> {
    stepper: &'a mut Stepper,
    params: *const f32,
    state: &'a mut State,
    x: Option<*const f32>,
}

impl Visitor for Call<'_> {
    type Output = ();

    fn visit<C: Cell>(self) {
        match self.stepper.weights {
            Weights::F32 => self.run::<C, F32>(),
            Weights::Bf16 => self.run::<C, Bf16>(),
            Weights::F16 => self.run::<C, F16>(),
            Weights::Int8 => self.run::<C, Int8>(),
        }
    }
}

impl Call<'_> {
    fn run<C: Cell, S: Stored>(mut self) {
        let cpu = self.stepper.cpu;
        // SAFETY: `Stepper::run` checked the lengths of what comes from outside; the room was made for the shape.
        unsafe { cpu.run(Known::<C, S> { call: &mut self, kinds: PhantomData }) }
    }

    /// # Safety
    /// The processor has the instruction set, and `shape` is the stepper's.
    #[inline(always)]
    unsafe fn step<V: Lanes, C: Cell, S: Stored>(&mut self, shape: Shape) {
        let step = Step::<C, S> {
            shape,
            params: self.params,
            head: self.stepper.head.as_ptr(),
            room: self.stepper.room.as_mut_ptr(),
            h: self.state.h.as_mut_ptr(),
            c: self.state.c.as_mut_ptr(),
            x: self.x,
            turn: &mut self.stepper.turn,
            kinds: PhantomData,
        };
        // SAFETY: the lengths were checked by `Stepper::run`.
        unsafe { step.run::<V>() }
    }
}

/// A call with cell and format known. By reference: a copy would be read in larger pieces than it was written in, for which
/// a processor waits.
struct Known<'a, 'b, C, S> {
    call: &'a mut Call<'b>,
    kinds: PhantomData<(C, S)>,
}

impl<C: Cell, S: Stored> Pass for Known<'_, '_, C, S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let call = self.call;
        let shape = call.stepper.shape;
        let one_to_one = (shape.input, shape.layers, shape.output) == (1, 1, Some(1));
        // SAFETY: the caller's promise.
        unsafe {
            // One layer from one value to one value is what most series need: with sizes that the compiler knows, its loops
            // are laid out without counters. The arithmetic is the same.
            if V::SIMD && matches!(S::WEIGHTS, Weights::F32) && one_to_one {
                match shape.hidden {
                    8 => return call.step::<V, C, S>(known::<8>(shape)),
                    16 => return call.step::<V, C, S>(known::<16>(shape)),
                    32 => return call.step::<V, C, S>(known::<32>(shape)),
                    _ => {}
                }
            }
            call.step::<V, C, S>(shape);
        }
    }
}

/// The same shape, from one value to one, with sizes that the compiler knows.
#[inline(always)]
fn known<const H: usize>(shape: Shape) -> Shape {
    Shape { input: 1, hidden: H, layers: 1, output: Some(1), ..shape }
}
