//! Files as a whole, written at once or not at all; and a hash by which what was in them is known again.

pub(crate) mod atomic;
pub(crate) mod hash;
