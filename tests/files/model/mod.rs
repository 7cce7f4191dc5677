//! Model files: what is written is read again, PyTorch's names are understood under any prefix, and
//! a bad file is an error of one line.
#![cfg(feature = "std")]

mod bad;
mod names;
mod read_and_write;

use rnnstep::model::file;
use rnnstep::model::file::{Columns, Metadata, ModelFile, Reference};
use rnnstep::net::layout::Layout;
use rnnstep::units::scaler::Scaling;
use rnnstep::{CellKind, Model, Nonlinearity, Scaler, Shape, Tensor};
use serde_json::json;
use std::path::{Path, PathBuf};

/// One tensor of a file put together by hand.
#[derive(Clone)]
struct Raw {
    name: String,
    dtype: &'static str,
    dims: Vec<usize>,
    bytes: Vec<u8>,
}

impl Raw {
    fn f32(name: &str, dims: &[usize]) -> Self {
        let len: usize = dims.iter().product();
        let bytes = (0..len).flat_map(|i| (i as f32 * 0.25 - 1.0).to_le_bytes()).collect();
        Self { name: name.into(), dtype: "F32", dims: dims.into(), bytes }
    }
}

/// The bytes of a file with this header, byte for byte, and this data.
fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A well-formed container of `tensors`, in their order, and perhaps a text for our metadata.
fn container(tensors: &[Raw], metadata: Option<&str>) -> Vec<u8> {
    let mut entries: Vec<String> =
        metadata.map(|text| format!(r#""__metadata__":{}"#, json!({ "rnnstep": text }))).into_iter().collect();
    let mut data = vec![];
    for raw in tensors {
        let (start, end) = (data.len(), data.len() + raw.bytes.len());
        entries.push(format!(
            r#"{}:{{"dtype":"{}","shape":{:?},"data_offsets":[{start},{end}]}}"#,
            json!(raw.name),
            raw.dtype,
            raw.dims
        ));
        data.extend(&raw.bytes);
    }
    with_header(&format!("{{{}}}", entries.join(",")), &data)
}

/// The tensors of a network under PyTorch's names with other prefixes.
fn raw_model(shape: &Shape, recurrent: &str, head: &str) -> Vec<Raw> {
    let named = |name: &str| match name.strip_prefix("rnn.") {
        Some(leaf) => format!("{recurrent}{leaf}"),
        None => name.replace("fc.", head),
    };
    Layout::new(shape).entries().iter().map(|entry| Raw::f32(&named(&entry.name), &entry.dims)).collect()
}

fn shape(cell: CellKind) -> Shape {
    Shape::new(cell, 2, 3, 2, 1).unwrap()
}

fn weights(shape: &Shape) -> Vec<(String, Tensor)> {
    let tensor = |dims: &[usize], seed: usize| {
        let data: Vec<f32> = (0..dims.iter().product()).map(|i| ((i + seed) as f32).sin() / 3.0).collect();
        Tensor::new(dims, data).unwrap()
    };
    let entries = Layout::new(shape);
    entries.entries().iter().enumerate().map(|(seed, entry)| (entry.name.clone(), tensor(&entry.dims, seed))).collect()
}

fn metadata(shape: &Shape) -> Metadata {
    let (seq_len, input, output) = (4, shape.input(), shape.width_out());
    Metadata {
        x_scaler: Some(Scaler::fit(Scaling::Standard, &[0.1, 7.0, 0.3, 1e-30], 2).unwrap()),
        columns: Columns {
            inputs: vec!["a".into(), "b\n\"".into()],
            targets: vec!["a".into()],
            time: Some("t".into()),
            decimal: Some(','),
            masks: vec![],
        },
        recipe: Some(json!({ "lr": 0.01, "steps": 75 })),
        position: Some(json!({ "random": [u64::MAX, 1], "step": 9_007_199_254_740_993_u64 })),
        seq_len: Some(20),
        reference: Some(Reference { x: vec![0.1; seq_len * input], y: vec![-1e-40; seq_len * output], seq_len }),
        ..Metadata::default()
    }
}

/// The options for a network with this activation.
fn active(nonlinearity: Nonlinearity) -> file::ReadOptions {
    file::ReadOptions::default().with_nonlinearity(Some(nonlinearity))
}

fn read(bytes: &[u8]) -> rnnstep::Result<ModelFile> {
    file::read_bytes(bytes, Path::new("some/m.safetensors"), &file::ReadOptions::default())
}

/// The message of a model that cannot be read: one line, not too long, that names the file and says all of `parts`.
fn assert_refused(bytes: &[u8], parts: &[&str]) {
    let message = read(bytes).expect_err(&format!("should be refused: {parts:?}")).to_string();
    assert!(message.starts_with("some/m.safetensors: "), "{message}");
    assert!(message.lines().count() == 1 && message.len() < 500, "{message:?}");
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

fn refused_tensors(tensors: &[Raw], parts: &[&str]) {
    assert_refused(&container(tensors, None), parts);
}

/// A folder that is gone at the end of the test, and a path in it.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    (folder, path)
}

fn all_shapes() -> Vec<Shape> {
    let mut shapes = vec![];
    for cell in CellKind::ALL {
        for (bias, output) in [(true, Some(1)), (true, None), (false, Some(4)), (false, None)] {
            shapes.push(shape(cell).with_output(output).unwrap().with_bias(bias).unwrap());
            shapes.push(shape(cell).with_layers(12).unwrap().with_output(output).unwrap().with_bias(bias).unwrap());
        }
    }
    shapes.push(shape(CellKind::Rnn).with_nonlinearity(Nonlinearity::Relu).unwrap());
    shapes
}
