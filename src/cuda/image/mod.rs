//! From the source of a kernel to an image for a card: NVIDIA's run-time compiler, a cache on disk, bundles for machines without one.

pub mod ahead;
mod arch;
pub mod bundle;
pub mod cache;
pub mod compile;
pub mod nvrtc;
pub mod sources;
mod usage;

pub use arch::Arch;
