//! Single steps of a network whose shape is known when the program runs.

use super::product::transpose;
use super::step::{Room, Step, Turn};
use super::stored::{Bf16, F16, F32, Int8, Stored};
use crate::cell::{Cell, Visitor};
use crate::error::Result;
use crate::net::layout::Offsets;
use crate::net::shape::Shape;
use crate::net::state::State;
use crate::net::weight_format::Weights;
use crate::simd::isa::Cpu;
use crate::simd::lanes::{Lanes, Pass, padded};
use crate::tensor::Buffer;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// A network that takes single steps, with the memory for what carries over between them.
#[derive(Debug)]
pub struct Stepper {
    shape: Shape,
    weights: Weights,
    /// Length of the arena.
    params: usize,
    /// fc.weight with lanes along h.
    head: Buffer,
    room: Buffer,
    turn: Turn,
    step: Compiled,
}

impl Stepper {
    /// A stepper for one sequence with `params`, the arena of [`Offsets`] for `weights`. Every later call must be given
    /// the same parameters.
    ///
    /// # Panics
    /// If there are not as many as the shape has, or the memory cannot be allocated.
    pub fn new(cpu: Cpu, shape: &Shape, weights: Weights, params: &[f32]) -> Self {
        Self::try_new(cpu, shape, weights, params).expect("the memory of a stepper cannot be allocated")
    }

    /// The same, where the shape comes from outside.
    ///
    /// # Errors
    /// If the memory cannot be allocated.
    pub(crate) fn try_new(cpu: Cpu, shape: &Shape, weights: Weights, params: &[f32]) -> Result<Self> {
        assert!(params.len() == Offsets::arena(shape, weights));
        let (weight, bias, _) = Offsets::head(shape, weights);
        let mut stepper = Self {
            shape: *shape,
            weights,
            params: params.len(),
            head: Buffer::try_zeros((bias - weight) / shape.hidden * padded(shape.hidden))?,
            room: Buffer::try_zeros(Room::of(shape).end)?,
            turn: Turn::new(),
            step: shape.visit_cell(Choice { cpu, shape, weights }),
        };
        stepper.params_changed(params);
        Ok(stepper)
    }

    /// Takes other parameters, as many as before. Every later call must be given these.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn params_changed(&mut self, params: &[f32]) {
        assert!(params.len() == self.params);
        let (weight, bias, _) = Offsets::head(&self.shape, self.weights);
        transpose(&params[weight..bias], 1, self.shape.hidden, &mut self.head);
        self.turn.ahead = false;
    }

    /// Binds the stepper to its parameters and a state, for the steps from `state` on.
    ///
    /// # Panics
    /// If a length is not that of the shape, or the state is of several sequences or was made for them. Callers check
    /// this once.
    #[inline]
    pub fn bind<'a>(&'a mut self, params: &'a [f32], state: &'a mut State) -> Bound<'a> {
        let (shape, width) = (&self.shape, padded(self.shape.hidden));
        let len = shape.layers * width;
        assert!(params.len() == self.params);
        assert!(state.batch() == 1 && state.hidden() == shape.hidden && state.h.len() == len);
        assert!(!shape.cell.has_c() || state.c.len() == len);
        let State { h, c, .. } = state;
        let (room, h) = (self.room.as_mut_ptr(), h.as_mut_ptr());
        // SAFETY: within the room, within h.
        let y = unsafe { if shape.output.is_some() { room.add(Room::of(shape).y) } else { h.add(len - width) } };
        let call = Call {
            shape,
            params: params.as_ptr(),
            head: self.head.as_ptr(),
            room,
            h,
            c: c.as_mut_ptr(),
            turn: &raw mut self.turn,
        };
        Bound { call, y, step: self.step, owner: PhantomData }
    }

    /// Whether [`Bound::advance`] was called for the current state.
    pub fn is_ahead(&self) -> bool {
        self.turn.ahead
    }

    /// The caller has changed the state, so what [`Bound::advance`] has computed is of no use.
    pub fn state_changed(&mut self) {
        self.turn.ahead = false;
    }
}

/// A stepper with the parameters and the state that it works on. They were checked when this was made, so a step checks
/// the length of x only.
pub struct Bound<'a> {
    call: Call<'a>,
    y: *const f32,
    step: Compiled,
    owner: PhantomData<(&'a mut Stepper, &'a mut Buffer)>,
}

// SAFETY: it stands for the references that it was made of, which may be sent.
unsafe impl Send for Bound<'_> {}

impl Bound<'_> {
    /// y of `x [I]`, and the state becomes that after it: O values, or H without a head. Allocates nothing.
    ///
    /// # Panics
    /// If there are not I values.
    #[inline]
    pub fn step(&mut self, x: &[f32]) -> &[f32] {
        assert!(x.len() == self.call.shape.input);
        // SAFETY: `bind` checked the lengths, and `Stepper::new` chose what this processor can run; y has as many
        // values.
        unsafe {
            (self.step)(&self.call, Some(NonNull::from(x).cast()));
            core::slice::from_raw_parts(self.y, self.call.shape.width_out())
        }
    }

    /// The early half of the next step, which does not need x. Without this call, [`Bound::step`] does it first.
    #[inline]
    pub fn advance(&mut self) {
        // SAFETY: the same.
        unsafe { (self.step)(&self.call, None) }
    }

    /// A copy of the state, to put it back later. Allocates it.
    pub fn keep(&self) -> Kept {
        let (h, c) = self.state();
        // SAFETY: h and, for a cell that has one, c have these lengths, and are borrowed by this value alone.
        unsafe { Kept { h: (*h).to_vec(), c: (*c).to_vec(), ahead: (*self.call.turn).ahead } }
    }

    /// Puts the state back, bit for bit, with [`Bound::advance`] done if it was done then.
    ///
    /// # Panics
    /// If `kept` is the state of another network: it may come from another value of this type.
    pub fn put_back(&mut self, kept: &Kept) {
        let (h, c) = self.state();
        assert!(h.len() == kept.h.len() && c.len() == kept.c.len(), "the state of another network");
        // SAFETY: as in `keep`.
        unsafe {
            (*h).copy_from_slice(&kept.h);
            (*c).copy_from_slice(&kept.c);
            (*self.call.turn).ahead = false;
        }
        if kept.ahead {
            self.advance();
        }
    }

    /// h, and c where there is one.
    fn state(&self) -> (*mut [f32], *mut [f32]) {
        let Call { shape, h, c, .. } = self.call;
        let len = shape.layers * padded(shape.hidden);
        let slice = core::ptr::slice_from_raw_parts_mut;
        (slice(h, len), slice(c, if shape.cell.has_c() { len } else { 0 }))
    }
}

/// What [`Bound::keep`] keeps.
#[derive(Debug, Clone)]
pub struct Kept {
    h: Vec<f32>,
    c: Vec<f32>,
    ahead: bool,
}

impl core::fmt::Debug for Bound<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Bound").field("shape", self.call.shape).finish_non_exhaustive()
    }
}

/// What all steps of a [`Bound`] have in common.
struct Call<'a> {
    shape: &'a Shape,
    params: *const f32,
    head: *const f32,
    room: *mut f32,
    h: *mut f32,
    c: *mut f32,
    turn: *mut Turn,
}

/// A step as it was compiled for one instruction set, cell and format, and perhaps one size: with x that of
/// [`Bound::step`], without it that of [`Bound::advance`].
///
/// # Safety
/// The processor has the instruction set, and the pointers are valid for what [`Step`] describes; nobody else uses the
/// turn.
type Compiled = unsafe fn(&Call, Option<NonNull<f32>>);

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
        // Most series need one layer with one input and one output. With sizes that the compiler knows, its loops are
        // unrolled. The arithmetic is the same.
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
unsafe fn step<V: Lanes, C: Cell, S: Stored, const H: usize>(call: &Call, x: Option<NonNull<f32>>) {
    // SAFETY: the caller's promise.
    unsafe { V::run(Known::<C, S, H> { call, x, kinds: PhantomData }) }
}

/// A call whose cell and format are known. If H is not 0, it is known too, and the network is one layer with one input
/// and one output. The call is two words, which are passed in registers. From memory they would be read in larger
/// pieces than they were written in, and the processor would wait for that.
struct Known<'a, C, S, const H: usize> {
    call: &'a Call<'a>,
    x: Option<NonNull<f32>>,
    kinds: PhantomData<(C, S)>,
}

impl<C: Cell, S: Stored, const H: usize> Pass for Known<'_, C, S, H> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Call { shape, params, head, room, h, c, turn } = *self.call;
        let x = self.x.map(|x| x.as_ptr().cast_const());
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
