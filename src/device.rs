//! Where a network computes: chosen once, here; below it everything is concrete.

pub use crate::cpu::Threads;
#[cfg(feature = "cuda")]
pub use crate::cuda::{Arch, Cuda, Dtype, Frame, Images, Properties, devices};

use crate::cpu;
#[cfg(feature = "cuda")]
use crate::cuda;
use crate::error::Result;
use crate::net::pass::{Head, Purpose};
use crate::net::shape::Shape;
use crate::net::state::State;
use crate::net::weight_format::Weights;
use crate::simd::isa::Cpu;
use alloc::string::String;
use core::fmt;
use core::ops::Range;

/// A device to compute on.
#[derive(Debug, Clone)]
pub enum Device {
    /// A processor with one of its instruction sets.
    Cpu(Cpu),
    /// A card.
    #[cfg(feature = "cuda")]
    Cuda(Cuda),
}

impl From<Cpu> for Device {
    fn from(cpu: Cpu) -> Self {
        Self::Cpu(cpu)
    }
}

#[cfg(feature = "cuda")]
impl From<Cuda> for Device {
    fn from(cuda: Cuda) -> Self {
        Self::Cuda(cuda)
    }
}

impl Device {
    /// What decides the order in which the device adds up: devices of the same words give the same bits from the same model,
    /// data and kernels. All processors do; of a card it is the model with the number of its multiprocessors, which
    /// layers are spread over, and the options that choose a kernel.
    pub fn order_of_sums(&self) -> String {
        match self {
            Self::Cpu(_) => "a processor".into(),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.order_of_sums(),
        }
    }
}

/// The instruction set, or the name of the card.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(cpu) => f.write_str(cpu.isa().name()),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.fmt(f),
        }
    }
}

/// A network at work on a device, for whole forward passes.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, and never a row of them")]
pub(crate) enum Network {
    Cpu(cpu::Network),
    #[cfg(feature = "cuda")]
    Cuda(cuda::Network),
}

impl Network {
    /// Room for windows of up to `steps` steps of up to `batch` sequences. A card takes the parameters along, in f32; a
    /// processor is given them with each pass, as `weights` has them.
    ///
    /// # Errors
    /// If the windows are larger than makes sense, or the device cannot: no memory, no kernels for it.
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables, reason = "only a card wants the parameters here"))]
    pub fn new(
        device: &Device,
        shape: &Shape,
        params: &[f32],
        weights: Weights,
        steps: usize,
        batch: usize,
    ) -> Result<Self> {
        match device {
            Device::Cpu(cpu) => {
                let (threads, purpose) = (Threads::default(), Purpose::Inference);
                let network = cpu::Network::new(*cpu, threads, shape, steps, batch, purpose)?;
                Ok(Self::Cpu(network.with_weights(weights)))
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => {
                let mut network = cuda::Network::new(cuda, shape, steps, batch, Purpose::Inference)?;
                network.set_params(params)?;
                Ok(Self::Cuda(network))
            }
        }
    }

    /// y of `x [T,B,I]` (time-major) from `state`, which becomes the state after it. `params` are those it was made
    /// with, as its weights have them.
    ///
    /// # Errors
    /// If a card fails. A processor does not.
    pub fn forward(&mut self, params: &[f32], x: &[f32], state: &mut State, head: Head) -> Result<()> {
        match self {
            Self::Cpu(network) => {
                network.forward(params, x, state, head, None);
                Ok(())
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(network) => network.forward(x, state, head),
        }
    }

    /// Rows of y that were asked for.
    pub fn head_rows(&self) -> Range<usize> {
        match self {
            Self::Cpu(network) => network.head_rows(),
            #[cfg(feature = "cuda")]
            Self::Cuda(network) => network.head_rows(),
        }
    }

    /// The output of row `row = t·B + b` of the last window, O values (H without a head).
    pub fn y(&self, row: usize) -> &[f32] {
        match self {
            Self::Cpu(network) => network.y(row),
            #[cfg(feature = "cuda")]
            Self::Cuda(network) => network.y(row),
        }
    }
}
