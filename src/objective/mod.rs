//! Losses, which a training minimises, and optimisers, which do it.

pub mod loss;
pub mod optimizer;
