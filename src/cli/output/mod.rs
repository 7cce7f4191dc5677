//! What is printed and what is written.

pub mod progress;
pub mod report;
pub mod save;
pub mod screen;
