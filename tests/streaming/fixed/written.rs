//! The source that `rnnstep convert --to rust` writes: committed here as it was written, compiled into this test, and
//! equal, to the bit, to the model that it was written from.
//!
//! `RNNSTEP_WRITE_GOLDEN=1 cargo test --release --test streaming fixed::` writes the files again.

mod gru_bf16;
mod lstm;
mod rnn_int8;

use super::{bits, original};
use rnnstep::model::fixed;
use rnnstep::objective::loss::Levels;
use rnnstep::units::scaler::Scaler;
use rnnstep::{CellKind, Cpu, Isa, Loss, Model, Shape, Stream, Units};
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

/// A fixed model gives the quantiles as they leave the network, so these are written next to it.
#[test]
fn quantiles_that_cross_are_not_sorted() {
    let levels = Loss::Quantiles(Levels::new(&[0.1, 0.5, 0.9]).unwrap());
    let scaler = |width: usize| Scaler::new(vec![2.0; width], vec![3.0; width]).unwrap();
    let plain = Model::random(Shape::new(CellKind::Gru, 1, 4, 1, 3).unwrap(), 5).unwrap();
    let scaled = plain.clone().with_units(Units::scaled(scaler(1), scaler(3))).unwrap();
    let quantiles = plain.with_units(Units::scaled(scaler(1), scaler(3)).with_loss(levels).unwrap()).unwrap();
    let mut stream = Stream::new(quantiles.clone()).unwrap();
    let sorted = stream.step(&[1.0]).unwrap().to_vec();
    let network = Stream::new(scaled.clone()).unwrap().step(&[1.0]).unwrap().to_vec();
    assert_ne!(sorted, network, "these weights have quantiles that cross");
    assert_eq!(fixed::source(&quantiles, "x").unwrap(), fixed::source(&scaled, "x").unwrap());
}
