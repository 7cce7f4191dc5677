//! Files that the library reads and writes: tables as CSV, NumPy's arrays, models. They come in as
//! they were meant, and a bad one is an error of one line that names it.
#![cfg(feature = "std")]

mod csv;
mod foreign;
mod model;
mod npy;
mod time_columns;
