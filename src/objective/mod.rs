//! What a training makes small, and how: losses and optimisers.

pub mod loss;
pub mod optimizer;
