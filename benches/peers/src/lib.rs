//! rnnstep next to other libraries: the same networks, weights and inputs for all of them, and every answer compared
//! with float64 before anything is timed. How to run it: README.md.

pub mod check;
pub mod nets;
pub mod options;
pub mod peer;
pub mod peers;
pub mod result;
pub mod timing;
