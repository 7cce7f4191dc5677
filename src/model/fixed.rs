//! Networks whose shape is known when the program is compiled: the sizes are in the type, and weights and state are
//! stored inline. They need no heap and no operating system, and a step cannot fail or panic.
//! `rnnstep convert MODEL --to rust` writes them.
//!
//! ```
//! // one value in, a GRU with two units, one value out
//! type Small = rnnstep::model!(Gru { input: 1, hidden: 2, layers: 1, output: Some(1), bias: true, weights: F32 });
//!
//! // PyTorch's tensors, each row after row. A static: on a small board it stays in flash.
//! static MODEL: Small = Small::new(&[
//!     &[0.5, -0.3, 0.2, 0.8, -0.6, 0.1],                                      // rnn.weight_ih_l0 [6, 1]
//!     &[0.1, 0.4, -0.2, 0.3, 0.7, -0.5, 0.2, 0.6, -0.1, 0.9, 0.3, -0.4],      // rnn.weight_hh_l0 [6, 2]
//!     &[0.0, 0.1, 0.0, -0.1, 0.2, 0.0],                                       // rnn.bias_ih_l0 [6]
//!     &[0.1, 0.0, 0.0, 0.2, 0.0, -0.2],                                       // rnn.bias_hh_l0 [6]
//!     &[0.6, -0.7],                                                           // fc.weight [1, 2]
//!     &[0.05],                                                                // fc.bias [1]
//! ]);
//!
//! let mut stream = MODEL.stream(); // holds the state, inline too: put it where you like
//! for x in [0.1, 0.2, 0.3] {
//!     let [y] = stream.step([x]);
//!     assert!(y.is_finite());
//!     stream.advance(); // does what needs no x yet, so that the next step is faster
//! }
//! ```
//!
//! Model and stream are two objects, like [`Model`] and [`Stream`](crate::model::stream::Stream). So the weights can
//! stay in read-only memory, and many streams can share them. A step gives the same bits as that of a
//! [`Stream`](crate::model::stream::Stream), except that quantiles that cross are not put in order.

pub use crate::cell::types::*;
pub use crate::cpu::{Bf16, F16, F32, FixedShape, Int8, Memory, Net, Params};
#[cfg(feature = "alloc")]
pub use crate::model::fixed_source::source;

#[cfg(feature = "alloc")]
use crate::error::{Error, Result};
#[cfg(feature = "alloc")]
use crate::model::Model;
use crate::simd::isa::Cpu;
use crate::simd::math::settle;
#[cfg(feature = "alloc")]
use alloc::format;

/// The type of a [`Fixed`] model, from its shape.
///
/// `Lstm { input: I, hidden: H, layers: L, output: Some(O), bias: true, weights: F32 }`; every field must be given. The
/// cell is a [`CellKind`](crate::cell::kind::CellKind) or `RnnRelu`. `output: None` is a network without a head, which
/// outputs h. Weights are `F32`, `Bf16`, `F16` or `Int8`; `rnnstep convert` writes all but `F32` packed.
#[macro_export]
macro_rules! model {
    ($cell:ident {
        input: $input:expr, hidden: $hidden:expr, layers: $layers:expr, output: $output:expr, bias: $bias:expr,
        weights: $weights:ident $(,)?
    }) => {
        $crate::model::fixed::Fixed<
            $crate::model!(@net $cell, $input, $hidden, $layers, $output, $bias, $weights),
            { $input },
            { $crate::model::fixed::width_out($output, $hidden) },
            { <$crate::model!(@net $cell, $input, $hidden, $layers, $output, $bias, $weights)
                as $crate::model::fixed::FixedShape>::PARAMS },
            { <$crate::model!(@net $cell, $input, $hidden, $layers, $output, $bias, $weights)
                as $crate::model::fixed::FixedShape>::MEMORY },
        >
    };
    (@net $cell:ident, $input:expr, $hidden:expr, $layers:expr, $output:expr, $bias:expr, $weights:ident) => {
        $crate::model::fixed::Net<
            $crate::model::fixed::$cell,
            $crate::model::fixed::$weights,
            { $input },
            { $hidden },
            { $layers },
            { $crate::model::fixed::width_out($output, $hidden) },
            { $bias },
            { $crate::model::fixed::has_head($output) },
        >
    };
}

/// O, or H without a head.
#[doc(hidden)]
pub const fn width_out(output: Option<usize>, hidden: usize) -> usize {
    match output {
        Some(output) => output,
        None => hidden,
    }
}

/// Whether there is a head.
#[doc(hidden)]
pub const fn has_head(output: Option<usize>) -> bool {
    output.is_some()
}

/// A network with its weights, stored inline: like a [`Model`], but its shape `N` is known when the program is
/// compiled. [`model!`](macro@crate::model) writes the type; P and M follow from `N`.
#[derive(Debug, Clone)]
pub struct Fixed<N, const I: usize, const O: usize, const P: usize, const M: usize> {
    params: Params<N, P>,
    scalers: Option<(Scale<I>, Scale<O>)>,
}

/// `(value - shift) / scale`, column by column.
#[derive(Debug, Clone, Copy)]
struct Scale<const N: usize> {
    shift: [f32; N],
    scale: [f32; N],
}

impl<N: FixedShape, const I: usize, const O: usize, const P: usize, const M: usize> Fixed<N, I, O, P, M> {
    /// A network of PyTorch's tensors, in PyTorch's order (for each layer `weight_ih`, `weight_hh`, `bias_ih`,
    /// `bias_hh`, then `fc.weight`, `fc.bias`), each row after row. Meant for a constant, where they are packed when
    /// the program is compiled.
    ///
    /// # Panics
    /// If there are more or fewer tensors than the network has, one has another number of values, or the network has
    /// smaller weights than f32. In a constant these are errors of the compiler.
    pub const fn new(tensors: &[&[f32]]) -> Self {
        Self { params: Params::of_tensors(tensors), scalers: None }
    }

    /// A network of packed parameters, like those of [`Model::step_params`](crate::model::Model::step_params), each as
    /// 32 bits.
    ///
    /// # Panics
    /// If there are more or fewer than the network has, or weights have less than 32 bits and the processor is
    /// big-endian. In a constant these are errors of the compiler.
    pub const fn packed<const W: usize>(words: &[u32; W]) -> Self {
        if cfg!(target_endian = "big")
            && !matches!(<N::Stored as crate::cpu::Stored>::WEIGHTS, crate::net::weight_format::Weights::F32)
        {
            panic!("weights of less than 32 bits are packed for little-endian processors");
        }
        let mut arena = [0.0; W];
        let mut at = 0;
        while at < W {
            arena[at] = f32::from_bits(words[at]);
            at += 1;
        }
        match Params::packed(&arena) {
            Some(params) => Self { params, scalers: None },
            None => panic!("the network has another number of packed parameters"),
        }
    }

    /// The same network with raw units outside: x becomes `(x - x_shift) / x_scale`, and y becomes
    /// `y · y_scale + y_shift`.
    #[must_use]
    pub const fn with_scalers(
        mut self,
        x_shift: [f32; I],
        x_scale: [f32; I],
        y_shift: [f32; O],
        y_scale: [f32; O],
    ) -> Self {
        self.scalers = Some((Scale { shift: x_shift, scale: x_scale }, Scale { shift: y_shift, scale: y_scale }));
        self
    }

    /// Converts a [`Model`] with this shape and this format of weights.
    ///
    /// # Errors
    /// If it has another shape or format, or predicts changes.
    #[cfg(feature = "alloc")]
    pub fn from_model(model: &Model) -> Result<Self> {
        let (shape, weights) = (N::SHAPE, <N::Stored as crate::cpu::Stored>::WEIGHTS);
        let params = Params::packed(model.step_params()).filter(|_| *model.shape() == shape);
        let Some(params) = params.filter(|_| model.step_weights() == weights) else {
            return Err(Error::invalid(format!(
                "the model is {:?} with {} weights, but the type is for {shape:?} with {weights} weights",
                model.shape(),
                model.step_weights()
            )));
        };
        refuse_forms(model)?;
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let scale = |scaler: &crate::units::scaler::Scaler| (narrow(scaler.shift()), narrow(scaler.scale()));
        let scalers = model.scalers().map(|(x, y)| (scale(x), scale(y)));
        let scalers = scalers.map(|(x, y)| Some((Scale::from_columns(x)?, Scale::from_columns(y)?)));
        let fits = || Error::invalid("the model's scalers have another width than the type");
        Ok(Self { params, scalers: scalers.map(|scalers| scalers.ok_or_else(fits)).transpose()? })
    }

    /// A stream that starts from a state of zero, on the processor's widest instruction set. It is detected at the
    /// first step; without `std` it is the one that the compiler targets.
    pub const fn stream(&self) -> FixedStream<'_, Self> {
        FixedStream { model: self, memory: Memory::new() }
    }

    /// The same on a given processor.
    pub const fn stream_on(&self, cpu: Cpu) -> FixedStream<'_, Self> {
        FixedStream { model: self, memory: Memory::on(cpu) }
    }
}

/// Refuses a model that predicts changes or within bounds: a fixed stream keeps h and c, but no values of earlier rows,
/// and it gives what the network gives.
///
/// # Errors
/// If the model predicts changes, or has bounds.
#[cfg(feature = "alloc")]
pub(super) fn refuse_forms(model: &Model) -> Result<()> {
    match model.units() {
        Some(units) if units.transform() != crate::units::transform::TargetTransform::Value => Err(Error::invalid(
            "the model predicts changes or residuals, but a fixed model keeps no earlier values to add them to; train one with \
             --target-as value",
        )),
        Some(units) if !units.bounds().is_empty() => Err(Error::invalid(
            "the predictions of the model have bounds, but a fixed model has none; train one without --lower and --upper",
        )),
        _ => Ok(()),
    }
}

#[cfg(feature = "alloc")]
impl<const N: usize> Scale<N> {
    fn from_columns((shift, scale): (alloc::vec::Vec<f32>, alloc::vec::Vec<f32>)) -> Option<Self> {
        Some(Self { shift: shift.try_into().ok()?, scale: scale.try_into().ok()? })
    }
}

/// A trait of all [`Fixed`] types, which names the memory of a stream.
pub trait Inline {
    /// State and scratch memory.
    type Memory;
}

impl<N: FixedShape, const I: usize, const O: usize, const P: usize, const M: usize> Inline for Fixed<N, I, O, P, M> {
    type Memory = Memory<N, M>;
}

/// A running prediction of a [`Fixed`] model with its state inline: like a [`Stream`](crate::model::stream::Stream). A
/// clone continues on its own from the same state.
#[derive(Debug)]
pub struct FixedStream<'a, F: Inline> {
    model: &'a F,
    memory: F::Memory,
}

impl<F: Inline<Memory: Clone>> Clone for FixedStream<'_, F> {
    fn clone(&self) -> Self {
        Self { model: self.model, memory: self.memory.clone() }
    }
}

impl<'a, N: FixedShape, const I: usize, const O: usize, const P: usize, const M: usize>
    FixedStream<'a, Fixed<N, I, O, P, M>>
{
    /// The next prediction, in raw units if the model has scalers.
    #[inline]
    pub fn step(&mut self, mut x: [f32; I]) -> [f32; O] {
        if let Some((scaler, _)) = &self.model.scalers {
            for ((value, shift), scale) in x.iter_mut().zip(scaler.shift).zip(scaler.scale) {
                *value = (*value - shift) / scale;
            }
        }
        settle(&mut x);
        let mut y = self.memory.step(&self.model.params, &x);
        if let Some((_, scaler)) = &self.model.scalers {
            for ((value, shift), scale) in y.iter_mut().zip(scaler.shift).zip(scaler.scale) {
                *value = *value * scale + shift;
            }
        }
        y
    }

    /// Does the part of the next step that does not need x, so that the next step is faster: a network of one layer
    /// then has no recurrent product left to do. Call it after the last prediction was used. It changes no prediction,
    /// and may be left out or called twice.
    #[inline]
    pub fn advance(&mut self) {
        self.memory.advance(&self.model.params);
    }

    /// Goes back to a state of zero.
    pub fn reset(&mut self) {
        self.memory.reset();
    }

    /// h of a layer, H values; `None` if there is no such layer.
    pub fn h(&self, layer: usize) -> Option<&[f32]> {
        self.memory.h(layer)
    }

    /// c of a layer of an LSTM, H values; `None` if there is no such layer or the cell has no c.
    pub fn c(&self, layer: usize) -> Option<&[f32]> {
        self.memory.c(layer)
    }

    /// h of a layer, H values, to be changed; `None` if there is no such layer.
    pub fn h_mut(&mut self, layer: usize) -> Option<&mut [f32]> {
        self.memory.h_mut(layer)
    }

    /// c of a layer of an LSTM, H values, to be changed; `None` if there is no such layer or the cell has no c.
    pub fn c_mut(&mut self, layer: usize) -> Option<&mut [f32]> {
        self.memory.c_mut(layer)
    }

    /// The model.
    pub fn model(&self) -> &'a Fixed<N, I, O, P, M> {
        self.model
    }
}
