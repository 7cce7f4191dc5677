//! The source that `rnnstep convert --to rust` writes: committed here as it was written, compiled into this test, and
//! equal, to the bit, to the model that it was written from.
//!
//! `RNNSTEP_WRITE_GOLDEN=1 cargo test --release --test streaming fixed::` writes the files again.

mod gru_bf16;
mod lstm;
mod rnn_int8;

use super::{bits, original};
use rnnstep::model::fixed;
use rnnstep::{Cpu, Isa};
use std::path::Path;

/// Holds a file's model against the answers that it was written with, on every instruction set.
macro_rules! answers {
    ($($module:ident)*) => {
        $(for isa in Isa::available() {
            let mut stream = $module::MODEL.stream_on(Cpu::new(isa).unwrap());
            for (x, y) in $module::X.into_iter().zip($module::Y) {
                assert_eq!(bits(&stream.step(x)), bits(&y), "{} {}", stringify!($module), isa.name());
            }
        })*
    };
}

#[test]
fn the_answers_are_those_it_was_written_with() {
    answers!(lstm gru_bf16 rnn_int8);
}

#[test]
fn the_files_are_what_convert_writes() {
    for (name, title, model) in original::all() {
        let text = fixed::source(&model, title).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/streaming/fixed/written/{name}.rs"));
        if std::env::var_os("RNNSTEP_WRITE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap();
        assert!(found == text, "{}: convert writes something else now", path.display());
    }
}
