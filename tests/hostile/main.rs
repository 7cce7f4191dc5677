//! Hostile input, seeded: damaged files, tables, texts, command lines and calls, as somebody sends them who wants a panic, a
//! hang, a lost file or a terminal that does as it is told. `docs/hostile.md` has the table of what was tried and how to
//! repeat it; `SECURITY.md` says what is promised.
//!
//! A case is a function of a seed and a number, the same on every machine:
//!
//! - `RNNSTEP_HOSTILE_TIMES=60` runs so many times as many cases as usual; `RNNSTEP_HOSTILE_CASES=100000` so many of each kind;
//! - `RNNSTEP_HOSTILE_SEED=7` takes others (1 if nobody says otherwise);
//! - `RNNSTEP_HOSTILE_CASE=123` runs one alone and leaves its files.
#![cfg(feature = "std")]
#![cfg_attr(not(feature = "cli"), allow(dead_code, reason = "without the program fewer cases are tried"))]

#[path = "../common/calls.rs"]
mod calls;
#[cfg(feature = "cli")]
#[path = "../common/run.rs"]
mod run;
#[path = "../common/shapes.rs"]
mod shapes;

mod api;
#[cfg(feature = "cli")]
mod bounds;
mod campaign;
#[cfg(feature = "cli")]
mod commands;
#[cfg(feature = "evaluate")]
mod containers;
mod damage;
mod dice;
mod good;
#[cfg(all(unix, feature = "cli"))]
mod kills;
mod known;
#[cfg(feature = "cli")]
mod program;
mod sound;
mod tables;
#[cfg(feature = "cli")]
mod texts;
