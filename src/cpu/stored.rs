//! How the right side of a product is read from memory: one type for each format of [`Weights`].

use crate::net::weight_format::Weights;
use crate::simd::lanes::Lanes;
use crate::simd::lanes::sealed::Sealed;

/// A format that weights are stored in.
///
/// The constants decide what a load reads, so no other crate can add a format:
///
/// ```compile_fail,E0277
/// use rnnstep::Weights;
/// use rnnstep::cpu::Stored;
/// use rnnstep::simd::lanes::Lanes;
///
/// #[derive(Clone, Copy)]
/// struct Wild;
///
/// impl Stored for Wild {
///     const WEIGHTS: Weights = Weights::F32;
///     const WORDS: usize = 1 << 20;
///     unsafe fn load<V: Lanes>(from: *const f32) -> [V; 2] {
///         [unsafe { V::load(from.add(1 << 20)) }; 2]
///     }
/// }
/// ```
pub trait Stored: Copy + Send + Sync + Sealed + 'static {
    /// The format.
    const WEIGHTS: Weights;
    /// Columns that come with one load, one or two.
    const RUN: usize = Self::WEIGHTS.run();
    /// Words of 32 bits that a load reads.
    const WORDS: usize = Self::WEIGHTS.words();

    /// Sixteen weights of each column of a run. Vectors beyond [`Stored::RUN`] must not be used.
    ///
    /// # Safety
    /// The processor has the instruction set, and [`Stored::WORDS`] words can be read at `from`.
    unsafe fn load<V: Lanes>(from: *const f32) -> [V; 2];
}

/// [`Weights::F32`]
#[derive(Debug, Clone, Copy)]
pub struct F32;

/// [`Weights::Bf16`]
#[derive(Debug, Clone, Copy)]
pub struct Bf16;

/// [`Weights::F16`]
#[derive(Debug, Clone, Copy)]
pub struct F16;

/// [`Weights::Int8`]
#[derive(Debug, Clone, Copy)]
pub struct Int8;

impl Sealed for F32 {}

impl Stored for F32 {
    const WEIGHTS: Weights = Weights::F32;

    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const f32) -> [V; 2] {
        // SAFETY: the caller's promise.
        [unsafe { V::load(from) }; 2]
    }
}

impl Sealed for Bf16 {}

impl Stored for Bf16 {
    const WEIGHTS: Weights = Weights::Bf16;

    /// The second weight of a word is the word itself, read as f32: the weights were stored with this in mind.
    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const f32) -> [V; 2] {
        // SAFETY: the caller's promise.
        let word = unsafe { V::load(from) };
        [word.low_half(), word]
    }
}

impl Sealed for F16 {}

impl Stored for F16 {
    const WEIGHTS: Weights = Weights::F16;

    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const f32) -> [V; 2] {
        // SAFETY: the caller's promise.
        [unsafe { V::load_f16(from.cast()) }; 2]
    }
}

impl Sealed for Int8 {}

impl Stored for Int8 {
    const WEIGHTS: Weights = Weights::Int8;

    #[inline(always)]
    unsafe fn load<V: Lanes>(from: *const f32) -> [V; 2] {
        // SAFETY: the caller's promise.
        [unsafe { V::load_i8(from.cast()) }; 2]
    }
}
