//! Which instruction set there is, and the one place where it is chosen.

#[cfg(target_arch = "x86_64")]
use crate::simd::avx2;
#[cfg(target_arch = "x86_64")]
use crate::simd::avx512;
use crate::simd::lanes::{Lanes, Pass};
#[cfg(target_arch = "aarch64")]
use crate::simd::neon;
use crate::simd::portable;

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

    /// Whether this processor has it. Without `std`, the target features that were enabled for the compiler decide.
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
}

/// A processor with an instruction set that it is known to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    pub(super) isa: Isa, // private to `simd`, so that it is always an available one
}

impl Cpu {
    /// The widest instruction set of this processor.
    pub fn widest() -> Self {
        let isa = Isa::ALL.into_iter().rev().find(|isa| isa.is_available());
        Self { isa: isa.unwrap_or(Isa::Portable) }
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
}
