//! Single steps of a network whose shape the compiler knows: the steps of [`super::stepper`] with sizes in types, and
//! everything inline. No heap, and nothing that could panic once a program is compiled.

use super::product::transpose;
use super::step::{Room, Step, Turn};
use super::stored::Stored;
use crate::cell::Cell;
use crate::net::layout::{Offsets, place};
use crate::net::shape::Shape;
use crate::net::weight_format::Weights;
use crate::simd::isa::Cpu;
use crate::simd::lanes::sealed::Sealed;
use crate::simd::lanes::{Lanes, Pass, padded};
use core::marker::PhantomData;

/// A shape that is a type. [`Net`] is the only one.
///
/// Arrays are as long as the constants say, and unsafe code relies on that. So no other crate can implement this:
///
/// ```compile_fail,E0277
/// use rnnstep::Shape;
/// use rnnstep::model::fixed::{F32, FixedShape, Lstm, Net};
///
/// struct Wild;
///
/// impl FixedShape for Wild {
///     type Cell = Lstm;
///     type Stored = F32;
///     const SHAPE: Shape = <Net<Lstm, F32, 1, 16, 1, 16, false, false> as FixedShape>::SHAPE;
///     const MEMORY: usize = 1;
/// }
/// ```
pub trait FixedShape: Sealed {
    /// The cell.
    type Cell: Cell;
    /// How the recurrent weights are stored.
    type Stored: Stored;
    /// The shape.
    const SHAPE: Shape;
    /// Values of [`Params`].
    const PARAMS: usize = Offsets::arena(&Self::SHAPE, Self::Stored::WEIGHTS) + transposed(&Self::SHAPE);
    /// Values of [`Memory`].
    const MEMORY: usize = Room::of(&Self::SHAPE).end + states(&Self::SHAPE);
}

/// Values of fc.weight with lanes along h.
const fn transposed(shape: &Shape) -> usize {
    match shape.output {
        Some(output) => padded(output) * padded(shape.hidden),
        None => 0,
    }
}

/// Values of h, and of c where there is one.
const fn states(shape: &Shape) -> usize {
    shape.layers * padded(shape.hidden) * if shape.cell.has_c() { 2 } else { 1 }
}

/// The only [`FixedShape`]: cell, format, I, H, L, O (H without a head), whether there are biases and a head.
#[derive(Debug, Clone, Copy)]
pub struct Net<C, S, const I: usize, const H: usize, const L: usize, const O: usize, const BIAS: bool, const HEAD: bool>(
    PhantomData<(C, S)>,
);

impl<C, S, const I: usize, const H: usize, const L: usize, const O: usize, const BIAS: bool, const HEAD: bool> Sealed
    for Net<C, S, I, H, L, O, BIAS, HEAD>
{
}

impl<
    C: Cell,
    S: Stored,
    const I: usize,
    const H: usize,
    const L: usize,
    const O: usize,
    const BIAS: bool,
    const HEAD: bool,
> FixedShape for Net<C, S, I, H, L, O, BIAS, HEAD>
{
    type Cell = C;
    type Stored = S;
    const SHAPE: Shape = {
        assert!(HEAD || O == H, "without a head the output is h");
        let output = if HEAD { Some(O) } else { None };
        Shape { cell: C::KIND, nonlinearity: C::NONLINEARITY, input: I, hidden: H, layers: L, output, bias: BIAS }
            .constant()
    };
}

/// The parameters: the arena of [`Offsets`], and after it fc.weight with lanes along h.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct Params<N, const P: usize>([f32; P], PhantomData<N>);

impl<N: FixedShape, const P: usize> Params<N, P> {
    /// Those of `arena`, packed as [`Offsets`] says for the format; `None` if it has another length.
    pub const fn packed(arena: &[f32]) -> Option<Self> {
        const { assert!(P == N::PARAMS) };
        let (weight, bias, end) = Offsets::head(&N::SHAPE, N::Stored::WEIGHTS);
        if arena.len() != end {
            return None;
        }
        let mut params = [0.0; P];
        let (packed, behind) = params.split_at_mut(end);
        packed.copy_from_slice(arena);
        transpose(arena.split_at(bias).0.split_at(weight).1, 1, N::SHAPE.hidden, behind);
        Some(Self(params, PhantomData))
    }

    /// Those of PyTorch's tensors in PyTorch's order, each row by row. They are packed when the program is compiled.
    ///
    /// # Panics
    /// If there are more tensors than the network has, or fewer, or one has another number of values; or the network
    /// has smaller weights than f32. In a constant, this is a compile error.
    pub const fn of_tensors(tensors: &[&[f32]]) -> Self {
        assert!(matches!(N::Stored::WEIGHTS, Weights::F32), "tensors are of f32; smaller weights come packed");
        let (shape, mut arena) = (N::SHAPE, [0.0; P]);
        let mut next = 0;
        let mut layer = 0;
        while layer < shape.layers {
            let at = Offsets::layer(&shape, Weights::F32, layer);
            let columns = shape.layer_input(layer);
            next = pack(tensors, next, &mut arena, at.weight_ih, [shape.gates(), shape.hidden, columns]);
            next = pack(tensors, next, &mut arena, at.weight_hh, [shape.gates(), shape.hidden, shape.hidden]);
            if shape.bias {
                next = pack(tensors, next, &mut arena, at.bias_ih, [shape.gates(), shape.hidden, 1]);
                next = pack(tensors, next, &mut arena, at.bias_hh, [shape.gates(), shape.hidden, 1]);
            }
            layer += 1;
        }
        let (weight, bias, end) = Offsets::head(&shape, Weights::F32);
        if let Some(output) = shape.output {
            next = pack(tensors, next, &mut arena, weight, [1, output, shape.hidden]);
            next = pack(tensors, next, &mut arena, bias, [1, output, 1]);
        }
        assert!(next == tensors.len(), "there are more tensors than the network has");
        match Self::packed(arena.split_at(end).0) {
            Some(params) => params,
            None => unreachable!(),
        }
    }
}

/// Writes the values of tensor `next`, `[gates·units, columns]`, to their places from `offset` on. Returns the number
/// of the tensor after it.
const fn pack(
    tensors: &[&[f32]],
    next: usize,
    arena: &mut [f32],
    offset: usize,
    [gates, units, columns]: [usize; 3],
) -> usize {
    assert!(next < tensors.len(), "a tensor is missing");
    let values = tensors[next];
    assert!(values.len() == gates * units * columns, "a tensor has another number of values than its shape");
    let mut at = 0;
    while at < values.len() {
        let (row, column) = (at / columns, at % columns);
        arena[offset + place(gates, columns, row / units, row % units, column)] = values[at];
        at += 1;
    }
    next + 1
}

/// The memory of a sequence: gates and y of the current step, h `[L][Hp]` and c.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct Memory<N, const M: usize> {
    values: [f32; M],
    turn: Turn,
    /// The processor, once it was detected.
    cpu: Option<Cpu>,
    net: PhantomData<N>,
}

impl<N: FixedShape, const M: usize> Memory<N, M> {
    /// A state of zero.
    pub const fn new() -> Self {
        const { assert!(M == N::MEMORY) };
        Self { values: [0.0; M], turn: Turn::new(), cpu: None, net: PhantomData }
    }

    /// A state of zero on a given processor.
    pub const fn on(cpu: Cpu) -> Self {
        Self { cpu: Some(cpu), ..Self::new() }
    }

    /// Back to a state of zero.
    pub fn reset(&mut self) {
        self.values.fill(0.0);
        self.turn.ahead = false;
    }

    /// Where h of a layer lies, or c; `None` if there is no such layer or no c.
    fn state(layer: usize, c: bool) -> Option<core::ops::Range<usize>> {
        let (shape, width) = (N::SHAPE, padded(N::SHAPE.hidden));
        if layer >= shape.layers || c && !N::Cell::HAS_C {
            return None;
        }
        let first = Room::of(&shape).end + (layer + if c { shape.layers } else { 0 }) * width;
        Some(first..first + shape.hidden)
    }

    /// h of a layer, H values; `None` if there is no such layer.
    pub fn h(&self, layer: usize) -> Option<&[f32]> {
        self.values.get(Self::state(layer, false)?)
    }

    /// c of a layer of an LSTM; `None` if there is no such layer or no c.
    pub fn c(&self, layer: usize) -> Option<&[f32]> {
        self.values.get(Self::state(layer, true)?)
    }

    /// h of a layer to be written. What [`Memory::advance`] has computed for the next step is discarded.
    pub fn h_mut(&mut self, layer: usize) -> Option<&mut [f32]> {
        self.turn.ahead = false;
        self.values.get_mut(Self::state(layer, false)?)
    }

    /// c of a layer of an LSTM to be written.
    pub fn c_mut(&mut self, layer: usize) -> Option<&mut [f32]> {
        self.values.get_mut(Self::state(layer, true)?)
    }

    /// y of `x`. The state becomes that after the step.
    #[inline]
    pub fn step<const P: usize, const I: usize, const O: usize>(
        &mut self,
        params: &Params<N, P>,
        x: &[f32; I],
    ) -> [f32; O] {
        const { assert!(I == N::SHAPE.input && O == N::SHAPE.width_out()) };
        self.run(params, Some(x.as_ptr()));
        let from = const {
            match N::SHAPE.output {
                Some(_) => Room::of(&N::SHAPE).y,
                None => Room::of(&N::SHAPE).end + (N::SHAPE.layers - 1) * padded(N::SHAPE.hidden),
            }
        };
        let mut y = [0.0; O];
        for (y, value) in y.iter_mut().zip(self.values.iter().skip(from)) {
            *y = *value;
        }
        y
    }

    /// The early half of the next step, which does not need x. [`Memory::step`] then takes less time.
    #[inline]
    pub fn advance<const P: usize>(&mut self, params: &Params<N, P>) {
        self.run(params, None);
    }

    /// `x`, if there is one, points to I values.
    fn run<const P: usize>(&mut self, params: &Params<N, P>, x: Option<*const f32>) {
        const { assert!(P == N::PARAMS && M == N::MEMORY) };
        let cpu = *self.cpu.get_or_insert_with(Cpu::widest);
        // SAFETY: parameters and memory are as long as the shape asks for, which was checked when this was compiled;
        // the rest is the promise of `run`.
        unsafe {
            cpu.run(Known::<N> {
                params: params.0.as_ptr(),
                memory: self.values.as_mut_ptr(),
                turn: &mut self.turn,
                x,
                net: PhantomData,
            });
        }
    }
}

impl<N: FixedShape, const M: usize> Default for Memory<N, M> {
    fn default() -> Self {
        Self::new()
    }
}

/// A call of [`Memory::run`]. The compiler works out all places, in the code for each instruction set.
struct Known<'a, N> {
    params: *const f32,
    memory: *mut f32,
    turn: &'a mut Turn,
    x: Option<*const f32>,
    net: PhantomData<N>,
}

impl<N: FixedShape> Pass for Known<'_, N> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { params, memory, turn, x, .. } = self;
        let arena = const { Offsets::arena(&N::SHAPE, N::Stored::WEIGHTS) };
        let states = const { Room::of(&N::SHAPE).end };
        let width = const { N::SHAPE.layers * padded(N::SHAPE.hidden) };
        // SAFETY: the caller's promise; c is there where the cell has one, and else not used.
        unsafe {
            let h = memory.add(states);
            let c = if N::Cell::HAS_C { h.add(width) } else { h };
            let head = params.add(arena);
            Step::<N::Cell, N::Stored> {
                shape: N::SHAPE,
                params,
                head,
                room: memory,
                h,
                c,
                x,
                turn,
                kinds: PhantomData,
            }
            .run::<V>();
        }
    }
}
