//! Sixteen numbers at a time on every instruction set: the vectors, their functions, and the choice among them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(feature = "alloc")]
mod choice;
/// Every Cortex-M that passes floats in registers has the instruction. Of other bare ARM processors, which can lack it,
/// all have atomics of 64 bits.
#[cfg(all(target_arch = "arm", target_os = "none", target_abi = "eabihf", not(target_has_atomic = "64")))]
mod cortex_m;
pub mod isa;
pub mod lanes;
pub mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(feature = "alloc")]
mod peak;
mod portable;

pub use isa::{Cpu, Isa};
