//! Launches of the kernels: their arguments, checked, and how many blocks and threads.

pub(super) mod part;
pub(super) mod products;
pub(super) mod recurrent;
pub(super) mod steps;
pub(super) mod whole;
