//! The command line as a user calls it: what is printed, what lies in the folder afterwards, exit codes.

#[path = "../common/run.rs"]
mod run;

mod agree;
mod bench;
mod config;
mod convert;
mod evaluate;
mod evaluate_learning;
mod folder;
mod forecast;
mod gates;
mod info;
mod many;
mod numbers;
mod predict;
mod readme;
mod resume;
mod search;
mod stream;
mod train;
mod train_data;
