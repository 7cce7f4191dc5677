//! What is printed and what is written.

pub mod report;
pub mod save;
pub mod screen;
