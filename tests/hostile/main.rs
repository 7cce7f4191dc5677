//! Files that somebody made to do harm.
#![cfg(feature = "std")]

#[path = "../common/run.rs"]
mod run;

mod bounds;
