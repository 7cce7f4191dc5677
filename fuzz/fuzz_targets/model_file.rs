//! Any bytes as a model file: a model or an error of one line, never a panic and never a giant allocation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnnstep::Nonlinearity;
use rnnstep::model::file;
use rnnstep::net::layout::Layout;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    for nonlinearity in [None, Some(Nonlinearity::Tanh), Some(Nonlinearity::Relu)] {
        let options = file::ReadOptions::default().with_nonlinearity(nonlinearity);
        match file::read_bytes(bytes, Path::new("fuzz"), &options) {
            // what is let in can be computed with: the tensors are those of the shape, all of them and in order
            Ok(read) => {
                let again = read.shape.with_hidden(read.shape.hidden());
                assert_eq!(again.ok(), Some(read.shape));
                let layout = &read.layout;
                assert_eq!(layout.entries().len(), Layout::new(&read.shape).entries().len());
                assert_eq!(layout.entries().len(), read.weights.len());
                for (entry, tensor) in layout.entries().iter().zip(&read.weights) {
                    assert_eq!(entry.dims, tensor.dims());
                }
                assert!(read.warnings.iter().all(|line| !line.contains('\n')));
            }
            Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
        }
    }
});
