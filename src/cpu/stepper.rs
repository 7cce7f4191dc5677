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
    shape: Shape,
    /// Length of the arena.
    params: usize,
    /// fc.weight with lanes along h.
    head: Buffer,
    room: Buffer,
    turn: Turn,
    /// Where y is in the room, if there is a head.
    y: Option<usize>,
    step: Compiled,
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
        let at = Room::of(shape);
        Self {
            shape: *shape,
            params: params.len(),
            head,
            room: Buffer::zeros(at.end),
            turn: Turn::new(),
            y: shape.output.map(|_| at.y),
            step: cell::visit(shape, Choice { cpu, shape, weights }),
        }
    }

    /// y of `x [I]` from `state`, which becomes the state after it: O values, or H without a head. Allocates nothing.
    ///
    /// # Panics
    /// If a length is not that of the shape, or the state is of several sequences. Callers see to that once.
    #[inline]
    pub fn predict<'a>(&'a mut self, params: &[f32], x: &[f32], state: &'a mut State) -> &'a [f32] {
        assert!(x.len() == self.shape.input);
        self.run(params, state, Some(x.as_ptr()));
        let out = self.shape.width_out();
        match self.y {
            Some(y) => &self.room[y..][..out],
            None => &state.h[(self.shape.layers - 1) * padded(out)..][..out],
        }
    }

    /// What can be done before the next x is there. Without it [`Stepper::predict`] does it first.
    ///
    /// # Panics
    /// The same.
    #[inline]
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

    /// `x`, if there is one, points to I values.
    #[inline]
    fn run(&mut self, params: &[f32], state: &mut State, x: Option<*const f32>) {
        let len = self.shape.layers * padded(self.shape.hidden);
        assert!(params.len() == self.params && state.batch() == 1 && state.h.len() == len);
        assert!(!self.shape.cell.has_c() || state.c.len() == len);
        let call = Call {
            shape: &self.shape,
            params: params.as_ptr(),
            head: self.head.as_ptr(),
            room: self.room.as_mut_ptr(),
            h: state.h.as_mut_ptr(),
            c: state.c.as_mut_ptr(),
            x,
            turn: &mut self.turn,
        };
        // SAFETY: the lengths were checked here and in `new`; `new` chose what this processor can run.
        unsafe { (self.step)(&call) }
    }
}

/// A call of [`Stepper::run`].
struct Call<'a> {
    shape: &'a Shape,
    params: *const f32,
    head: *const f32,
    room: *mut f32,
    h: *mut f32,
    c: *mut f32,
    x: Option<*const f32>,
    turn: *mut Turn,
}

/// A step as it was compiled for one instruction set, cell and format, and perhaps one size.
///
/// # Safety
/// The processor has the instruction set, and the pointers reach what [`Step`] says; the turn is nobody else's.
type Compiled = unsafe fn(&Call);

/// What [`Compiled`] is chosen by.
struct Choice<'a> {
    cpu: Cpu,
    shape: &'a Shape,
    weights: Weights,
}

impl Visitor for Choice<'_> {
    type Output = Compiled;

    fn visit<C: Cell>(self) -> Compiled {
        match self.weights {
            Weights::F32 => self.of::<C, F32>(),
            Weights::Bf16 => self.of::<C, Bf16>(),
            Weights::F16 => self.of::<C, F16>(),
            Weights::Int8 => self.of::<C, Int8>(),
        }
    }
}

impl Choice<'_> {
    fn of<C: Cell, S: Stored>(self) -> Compiled {
        // SAFETY: it calls nothing.
        unsafe { self.cpu.run(OfSize::<C, S> { shape: self.shape, kinds: PhantomData }) }
    }
}

/// The choice with cell and format known, on an instruction set.
struct OfSize<'a, C, S> {
    shape: &'a Shape,
    kinds: PhantomData<(C, S)>,
}

impl<C: Cell, S: Stored> Pass for OfSize<'_, C, S> {
    type Output = Compiled;

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) -> Compiled {
        // One layer from one value to one value is what most series need: with sizes that the compiler knows, its loops
        // are laid out without counters. The arithmetic is the same.
        let one_to_one = (self.shape.input, self.shape.layers, self.shape.output) == (1, 1, Some(1)) && self.shape.bias;
        match (S::WEIGHTS, self.shape.hidden) {
            _ if !V::SIMD || !one_to_one => step::<V, C, S, 0>,
            (Weights::F32, 8) => step::<V, C, S, 8>,
            (Weights::F32, 16) => step::<V, C, S, 16>,
            (Weights::F32, 32) => step::<V, C, S, 32>,
            (Weights::F32 | Weights::Bf16, 64) => step::<V, C, S, 64>,
            _ => step::<V, C, S, 0>,
        }
    }
}

/// # Safety
/// That of [`Compiled`].
unsafe fn step<V: Lanes, C: Cell, S: Stored, const H: usize>(call: &Call) {
    // SAFETY: the caller's promise.
    unsafe { V::run(Known::<C, S, H> { call, kinds: PhantomData }) }
}

/// A call with cell and format known; with H unless it is given as 0, and then it is one layer from one value to one value. By
/// reference: a copy would be read in larger pieces than it was written in, for which a processor waits.
struct Known<'a, C, S, const H: usize> {
    call: &'a Call<'a>,
    kinds: PhantomData<(C, S)>,
}

impl<C: Cell, S: Stored, const H: usize> Pass for Known<'_, C, S, H> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Call { shape, params, head, room, h, c, x, turn } = *self.call;
        let mut shape = Shape { cell: C::KIND, nonlinearity: C::NONLINEARITY, ..*shape };
        if H > 0 {
            shape = Shape { input: 1, hidden: H, layers: 1, output: Some(1), bias: true, ..shape };
        }
        // SAFETY: the caller's promise.
        unsafe {
            let turn = &mut *turn;
            Step::<C, S> { shape, params, head, room, h, c, x, turn, kinds: PhantomData }.run::<V>();
        }
    }
}
