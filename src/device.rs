//! Where a network computes. The device is chosen once, here; the code below knows only its own device.

pub use crate::cpu::Threads;
#[cfg(feature = "cuda")]
pub use crate::cuda::{Arch, Cuda, Dtype, Frame, Images, Properties, devices};

use crate::cpu;
#[cfg(feature = "cuda")]
use crate::cuda;
#[cfg(feature = "std")]
use crate::data::windows::Windows;
use crate::error::Result;
use crate::net::pass::{HeadSteps, Mode};
#[cfg(feature = "std")]
use crate::net::recipe::{Recipe, Step, Trained};
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
    /// A GPU.
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
    /// The processor, if it is one.
    pub fn cpu(&self) -> Option<Cpu> {
        match self {
            Self::Cpu(cpu) => Some(*cpu),
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => None,
        }
    }

    /// Whether the factors of products are rounded to fewer bits than f32 has. A GPU can be asked to do that.
    pub fn rounds_factors(&self) -> bool {
        match self {
            Self::Cpu(_) => false,
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.dtype() != cuda::Dtype::F32,
        }
    }

    /// A text for the order in which the device adds up. Devices with the same text give the same bits from the same
    /// model, data and kernels. All processors have one text. That of a GPU names its model, the number of its
    /// multiprocessors (layers are spread over them) and the options that choose a kernel.
    pub fn order_of_sums(&self) -> String {
        match self {
            Self::Cpu(_) => "a processor".into(),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.order_of_sums(),
        }
    }
}

/// The instruction set, or the name of the GPU.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(cpu) => f.write_str(cpu.isa().name()),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.fmt(f),
        }
    }
}

/// One expression for both kinds of device, where both have the same function.
macro_rules! on_either {
    ($this:expr, $run:ident => $words:expr) => {
        match $this {
            Self::Cpu($run) => $words,
            #[cfg(feature = "cuda")]
            Self::Cuda($run) => $words,
        }
    };
}

/// A network on a device, for whole forward passes.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, and never a row of them")]
pub(crate) enum Network {
    Cpu(cpu::Network),
    #[cfg(feature = "cuda")]
    Cuda(cuda::Network),
}

impl Network {
    /// Room for windows of up to `steps` steps of up to `batch` sequences. A GPU copies the parameters here, in f32; a
    /// processor is given them with each pass, in the format `weights`.
    ///
    /// # Errors
    /// If the windows are larger than makes sense, or the device has too little memory or no kernels for it.
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables, reason = "only a GPU needs the parameters here"))]
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
                let (threads, purpose) = (Threads::default(), Mode::Inference);
                let network = cpu::Network::new(*cpu, threads, shape, steps, batch, purpose)?;
                Ok(Self::Cpu(network.with_weights(weights)))
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => {
                let mut network = cuda::Network::new(cuda, shape, steps, batch, Mode::Inference)?;
                network.set_params(params)?;
                Ok(Self::Cuda(network))
            }
        }
    }

    /// y of `x [T,B,I]` (time-major) from `state`, which becomes the state after it. `params` are the parameters that
    /// the network was made with, in the format of its weights.
    ///
    /// # Errors
    /// If the GPU fails. A processor does not.
    pub fn forward(&mut self, params: &[f32], x: &[f32], state: &mut State, head: HeadSteps) -> Result<()> {
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
        on_either!(self, network => network.head_rows())
    }

    /// The output of row `row = t·B + b` of the last window, O values (H without a head).
    pub fn y(&self, row: usize) -> &[f32] {
        on_either!(self, network => network.y(row))
    }
}

/// A network that takes single steps of one sequence on a device.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, and never a row of them")]
pub(crate) enum Runner {
    Cpu(cpu::Stepper),
    #[cfg(feature = "cuda")]
    Cuda(cuda::Stepper),
}

impl Runner {
    /// A runner. `params` are the parameters in f32, for a GPU; `step` are the same in the format that single steps on
    /// a processor read.
    ///
    /// # Errors
    /// If the memory cannot be had, or there are no kernels for this GPU.
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables, reason = "only a GPU needs the parameters in f32"))]
    pub fn new(device: &Device, shape: &Shape, params: &[f32], step: (Weights, &[f32])) -> Result<Self> {
        match device {
            Device::Cpu(cpu) => Ok(Self::Cpu(cpu::Stepper::try_new(*cpu, shape, step.0, step.1)?)),
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => Ok(Self::Cuda(cuda::Stepper::new(cuda, shape, params)?)),
        }
    }

    /// y of `x [I]`, which `enter` first converts to the network's units. On a processor `state` becomes the state after the
    /// step; on a GPU the state stays there: see [`Runner::fetch`]. `params` are the parameters in the format of single steps.
    ///
    /// A processor binds its memory before x is converted, so that the step finds the addresses ready: with 8 units that is two
    /// of 30 ns.
    ///
    /// # Errors
    /// If the GPU fails. A processor does not.
    #[inline(always)]
    pub fn step(
        &mut self,
        params: &[f32],
        state: &mut State,
        [x, y]: [&mut [f32]; 2],
        enter: impl FnOnce(&mut [f32]),
    ) -> Result<()> {
        match self {
            Self::Cpu(stepper) => {
                let mut steps = stepper.bind(params, state);
                enter(x);
                y.copy_from_slice(steps.step(x));
            }
            #[cfg(feature = "cuda")]
            Self::Cuda(stepper) => {
                enter(x);
                y.copy_from_slice(stepper.step(state, x)?);
            }
        }
        Ok(())
    }

    /// Does the part of a step that does not need x. A GPU does nothing ahead.
    #[inline(always)]
    pub fn advance(&mut self, params: &[f32], state: &mut State) {
        match self {
            Self::Cpu(stepper) => stepper.bind(params, state).advance(),
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => {}
        }
    }

    /// The stepper of a processor; `None` on a GPU.
    pub fn on_cpu(&mut self) -> Option<&mut cpu::Stepper> {
        match self {
            Self::Cpu(stepper) => Some(stepper),
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => None,
        }
    }

    /// To be called when the state was changed from outside.
    pub fn state_changed(&mut self) {
        on_either!(self, stepper => stepper.state_changed());
    }

    /// Copies the state from a GPU into `state`.
    ///
    /// # Errors
    /// If the GPU fails.
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables, reason = "on a processor it is here"))]
    pub fn fetch(&self, state: &mut State) -> Result<()> {
        match self {
            Self::Cpu(_) => Ok(()),
            #[cfg(feature = "cuda")]
            Self::Cuda(stepper) => stepper.fetch(state),
        }
    }
}

/// A network in training on a device.
#[cfg(feature = "std")]
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, and never a row of them")]
pub(crate) enum Training {
    Cpu(cpu::Training),
    #[cfg(feature = "cuda")]
    Cuda(cuda::Training),
}

#[cfg(feature = "std")]
impl Training {
    /// Room for the windows. `threads` are those of a processor; a GPU has its own.
    ///
    /// # Errors
    /// If the windows are larger than makes sense, or the device has too little memory or no kernels for it.
    pub fn new(device: &Device, threads: Threads, shape: &Shape, windows: &Windows, recipe: &Recipe) -> Result<Self> {
        match device {
            Device::Cpu(cpu) => Ok(Self::Cpu(cpu::Training::new(*cpu, threads, shape, windows, recipe)?)),
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) => Ok(Self::Cuda(cuda::Training::new(cuda, shape, windows, recipe)?)),
        }
    }

    /// Does up to `count` steps, from step number `first` on, gives each to `seen` and returns how many it did, at
    /// least one. A GPU copies what `at` holds before its first step and keeps it: see [`Training::fetch`].
    ///
    /// # Errors
    /// If the GPU fails. A processor does not.
    pub fn steps(
        &mut self,
        windows: &mut Windows,
        at: Trained<'_>,
        first: u64,
        count: usize,
        seen: &mut dyn FnMut(Step),
    ) -> Result<usize> {
        on_either!(self, training => training.steps(windows, at, first, count, seen))
    }

    /// Copies everything that a GPU keeps into `to`.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn fetch(&self, to: Trained<'_>) -> Result<()> {
        on_either!(self, training => training.fetch(to))
    }

    /// Copies y of the last window from a GPU.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn fetch_y(&mut self) -> Result<()> {
        on_either!(self, training => training.fetch_y())
    }

    /// Rows of y that were asked for.
    pub fn head_rows(&self) -> Range<usize> {
        on_either!(self, training => training.head_rows())
    }

    /// The output of row `row = t·B + b` of the last window, O values (H without a head).
    pub fn y(&self, row: usize) -> &[f32] {
        on_either!(self, training => training.y(row))
    }
}
