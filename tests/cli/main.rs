//! The command line as a user calls it: what is printed, what lies in the folder afterwards, exit codes.
#![cfg(feature = "cli")]

#[path = "../common/run.rs"]
mod run;

mod bad_input;
mod bench;
mod config;
mod contradictions;
mod convert;
mod evaluate;
mod evaluate_learning;
mod forecast;
mod gates;
mod holes;
mod info;
mod killed;
mod many_series;
mod model_folder;
mod names;
mod option_ranges;
mod predict;
mod readme;
mod resume;
mod search;
mod stream;
mod train;
mod train_data;
mod unix;
