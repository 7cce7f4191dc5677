//! What is printed and what is written.

pub mod columns;
pub mod files;
pub mod progress;
pub mod report;
pub mod rows;
pub mod screen;
