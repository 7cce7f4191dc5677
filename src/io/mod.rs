//! Files that are written completely or not at all, files of other programs, and a hash by which content is recognised.

pub(crate) mod atomic;
pub(crate) mod foreign;
pub(crate) mod hash;
