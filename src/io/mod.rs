//! Files as a whole: written at once or not at all.

pub(crate) mod atomic;
