//! The processor: which instruction set, and whole passes of a network on it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod beside;
mod linear;
mod many;
#[cfg(target_arch = "aarch64")]
mod neon;
mod network;
mod peak;
mod portable;
mod product;
mod recurrent;
mod step;
mod stepper;
mod stored;
mod threads;
mod update;

pub use many::Many;
pub use network::Network;
pub use stepper::Stepper;
pub use threads::Threads;

use crate::error::{Error, Result};
use crate::lanes::{Lanes, Pass};
use alloc::{format, string::String, vec::Vec};
use core::str::FromStr;

/// An instruction set. All give the same bits; they differ in speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust, any processor.
    Portable,
    /// x86-64 with AVX2, FMA and F16C (2013 and later).
    Avx2,
    /// x86-64 with AVX-512 F, DQ and VL.
    Avx512,
    /// 64-bit ARM.
    Neon,
}

impl Isa {
    /// Every instruction set there is code for, the narrowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512];

    /// The name on the command line and in `RNNSTEP_ISA`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        }
    }

    /// Whether this processor has it. Without `std` it counts what the compiler was told of.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(all(target_arch = "x86_64", not(feature = "std")))]
            Self::Avx2 => cfg!(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c")),
            #[cfg(all(target_arch = "x86_64", not(feature = "std")))]
            Self::Avx512 => cfg!(all(
                target_feature = "avx2",
                target_feature = "fma",
                target_feature = "f16c",
                target_feature = "avx512f",
                target_feature = "avx512dq",
                target_feature = "avx512vl"
            )),
            #[cfg(all(target_arch = "aarch64", feature = "std"))]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(all(target_arch = "aarch64", not(feature = "std")))]
            Self::Neon => cfg!(target_feature = "neon"),
            #[allow(unreachable_patterns, reason = "which patterns are left depends on the architecture")]
            _ => false,
        }
    }

    /// Those that this processor has, the widest last.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }
}

impl FromStr for Isa {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|isa| isa.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|isa| isa.name()).collect();
            Error::Device(format!("instruction set {name:?}: not one of {}", known.join(", ")))
        })
    }
}

/// A processor with an instruction set that it is known to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    isa: Isa, // private: only available ones get in
}

impl Cpu {
    /// The instruction set that the environment variable `RNNSTEP_ISA` names, else the widest.
    ///
    /// # Errors
    /// If the variable names one that does not exist or that this processor lacks.
    #[cfg(feature = "std")]
    pub fn detect() -> Result<Self> {
        match std::env::var("RNNSTEP_ISA") {
            Ok(name) if !name.is_empty() => {
                let cpu = name.parse().and_then(Self::new);
                cpu.map_err(|error| Error::Device(format!("RNNSTEP_ISA: {error}")))
            }
            _ => Ok(Self::widest()),
        }
    }

    /// The widest instruction set of this processor.
    pub fn widest() -> Self {
        let isa = Isa::ALL.into_iter().rev().find(|isa| isa.is_available());
        Self { isa: isa.unwrap_or(Isa::Portable) }
    }

    /// A given instruction set.
    ///
    /// # Errors
    /// If this processor does not have it.
    pub fn new(isa: Isa) -> Result<Self> {
        if isa.is_available() {
            return Ok(Self { isa });
        }
        let here: Vec<String> = Isa::available().iter().map(|isa| isa.name().into()).collect();
        Err(Error::Device(format!(
            "instruction set {}: this processor does not have it; it has {}",
            isa.name(),
            here.join(", ")
        )))
    }

    /// The instruction set.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// Runs a pass with the instruction set: the one place where it is chosen.
    ///
    /// # Safety
    /// What the pass asks for.
    pub(crate) unsafe fn run<P: Pass>(self, pass: P) -> P::Output {
        // SAFETY: `new` and `widest` let in only what the processor has; the rest is the caller's promise.
        unsafe {
            match self.isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => avx2::Avx2::run(pass),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => avx512::Avx512::run(pass),
                #[cfg(target_arch = "aarch64")]
                Isa::Neon => neon::Neon::run(pass),
                _ => portable::Portable::run(pass),
            }
        }
    }

    /// tanh and sigmoid of every value, as the cells compute them.
    pub fn activations(self, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut tanh, mut sigmoid) = (x.to_vec(), x.to_vec());
        for at in (0..x.len()).step_by(crate::tensor::LANES) {
            let mut lanes = [0.0; crate::tensor::LANES];
            let n = (x.len() - at).min(lanes.len());
            lanes[..n].copy_from_slice(&x[at..at + n]);
            // SAFETY: it reads and writes nothing but its own fields.
            let (t, s) = unsafe { self.run(Activations(lanes)) };
            tanh[at..at + n].copy_from_slice(&t[..n]);
            sigmoid[at..at + n].copy_from_slice(&s[..n]);
        }
        (tanh, sigmoid)
    }
}

/// tanh and sigmoid of sixteen values.
struct Activations([f32; crate::tensor::LANES]);

impl Pass for Activations {
    type Output = ([f32; crate::tensor::LANES], [f32; crate::tensor::LANES]);

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) -> Self::Output {
        let (mut tanh, mut sigmoid) = (self.0, self.0);
        // SAFETY: arrays of sixteen; the instruction set is the caller's promise.
        unsafe {
            let x = V::load(self.0.as_ptr());
            crate::math::tanh(x).store(tanh.as_mut_ptr());
            crate::math::sigmoid(x).store(sigmoid.as_mut_ptr());
        }
        (tanh, sigmoid)
    }
}
