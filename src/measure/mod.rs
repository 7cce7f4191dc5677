//! Measurements: the deviation of a model from a reference in float64, and the latency of single steps.

pub mod latency;
pub mod reference64;
