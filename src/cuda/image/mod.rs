//! From the source of a kernel to an image for a GPU: NVIDIA's run-time compiler, a cache on disk, and bundles for
//! machines without a compiler.

pub mod ahead;
mod arch;
pub mod bundle;
pub mod cache;
pub mod compile;
pub mod nvrtc;
pub mod sources;
mod usage;

pub use arch::Arch;
