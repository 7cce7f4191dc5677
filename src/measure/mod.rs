//! What results and times are held against: a reference in float64, and latencies.

pub mod latency;
pub mod reference64;
