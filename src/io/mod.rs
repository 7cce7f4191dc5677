//! Files that are written completely or not at all, and a hash by which content is recognised.

pub(crate) mod atomic;
pub(crate) mod hash;
