//! Model files: what is written is read again, PyTorch's names under any prefix, and every bad file in one line.
#![cfg(feature = "std")]

use half::{bf16, f16};
use proptest::prelude::*;
use rnnstep::file::{self, Columns, Metadata, ModelFile, Reference};
use rnnstep::layout::Layout;
use rnnstep::{CellKind, Nonlinearity, Shape, Tensor};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
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
    let (seq_len, input, output) = (4, shape.input, shape.width_out());
    Metadata {
        x_scaler: Some(json!({ "kind": "standard", "mean": [0.1, 1e-300], "std": [1.0 / 3.0, 2.0] })),
        columns: Columns {
            inputs: vec!["a".into(), "b\n\"".into()],
            targets: vec!["a".into()],
            time: Some("t".into()),
        },
        recipe: Some(json!({ "lr": 0.01, "steps": 75 })),
        position: Some(json!({ "random": [u64::MAX, 1], "step": 9_007_199_254_740_993_u64 })),
        seq_len: Some(20),
        reference: Some(Reference { x: vec![0.1; seq_len * input], y: vec![-1e-40; seq_len * output], seq_len }),
        ..Metadata::default()
    }
}

fn read(bytes: &[u8]) -> rnnstep::Result<ModelFile> {
    file::read_bytes(bytes, Path::new("some/m.safetensors"), None)
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
            shapes.push(Shape { bias, output, ..shape(cell) });
            shapes.push(Shape { bias, output, layers: 12, ..shape(cell) });
        }
    }
    shapes.push(Shape { nonlinearity: Nonlinearity::Relu, ..shape(CellKind::Rnn) });
    shapes
}

#[test]
fn what_is_written_is_read_again() {
    let (_folder, path) = folder();
    for shape in all_shapes() {
        let (weights, metadata) = (weights(&shape), metadata(&shape));
        let extra = [("adam.m".to_string(), Tensor::new([3], [1.0, f32::MIN_POSITIVE, -0.0]).unwrap())];
        file::write(&path, &shape, &weights, &metadata, &extra).unwrap();
        let back = file::read(&path, None).unwrap();
        assert_eq!(back.shape, shape);
        assert_eq!(back.weights, weights.into_iter().map(|(_, tensor)| tensor).collect::<Vec<_>>());
        assert_eq!(back.metadata, Metadata { shape: Some(shape), ..metadata });
        assert_eq!(back.extra, BTreeMap::from(extra));
        assert!(back.warnings.is_empty(), "{:?}", back.warnings);
    }
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let (_folder, path) = folder();
    let shape = shape(CellKind::Gru);
    let mut weights = weights(&shape);
    let mut write = |metadata: &Metadata| {
        file::write(&path, &shape, &weights, metadata, &[]).unwrap();
        weights.reverse();
        fs::read(&path).unwrap()
    };
    let first = write(&metadata(&shape));
    assert_eq!(first, write(&metadata(&shape)));
    // what was read and is written again is the same too, scalers to the last digit
    let back = read(&first).unwrap().metadata;
    assert_eq!(first, write(&back));
    assert_ne!(first, write(&Metadata::default()));
}

#[test]
fn only_the_tensors_of_the_shape_are_written() {
    let (_folder, path) = folder();
    let shape = shape(CellKind::Lstm);
    let good = weights(&shape);
    let refused = |weights: &[(String, Tensor)], metadata: &Metadata, extra: &[(String, Tensor)]| {
        let message = file::write(&path, &shape, weights, metadata, extra).unwrap_err().to_string();
        assert!(!path.exists(), "{message}");
        message
    };
    let none = Metadata::default();
    assert!(refused(&good[1..], &none, &[]).contains("tensors"));
    let mut wrong = good.clone();
    wrong[2].0 = "rnn.bias".into();
    assert!(refused(&wrong, &none, &[]).contains("rnn.bias_ih_l0"));
    let mut wrong = good.clone();
    wrong[0].1 = Tensor::zeros([2, 12]);
    assert!(refused(&wrong, &none, &[]).contains("rnn.weight_ih_l0"));
    let twice = vec![("m".to_string(), Tensor::zeros([1])); 2];
    assert!(refused(&good, &none, &twice).contains("twice"));
    let mut short = metadata(&shape);
    short.reference.as_mut().unwrap().y.pop();
    assert!(refused(&good, &short, &[]).contains("reference y"));
    let long = Metadata { recipe: Some(json!("x".repeat(9 << 20))), ..none };
    assert!(refused(&good, &long, &[]).contains("header"));
}

#[test]
fn any_prefix_is_recognised() {
    let prefixes = [
        ("rnn.", "fc."),
        ("", "fc."),
        ("", "linear."),
        ("lstm.", "head."),
        ("model.rnn.", "model.fc."),
        ("module.rnn.", "module.decoder.out."),
        ("net.encoder.", "out."),
        ("weight.", "bias."),
    ];
    for shape in all_shapes() {
        let expected = read(&container(&raw_model(&shape, "rnn.", "fc."), None)).ok().map(|file| file.weights);
        for (recurrent, head) in prefixes {
            let bytes = container(&raw_model(&shape, recurrent, head), None);
            let back = file::read_bytes(&bytes, Path::new("m"), Some(shape.nonlinearity)).unwrap();
            assert_eq!((back.shape, Some(&back.weights)), (shape, expected.as_ref()), "{recurrent} {head}");
            assert_eq!(back.metadata, Metadata::default());
            assert!(back.warnings.is_empty());
        }
    }
}

#[test]
fn a_single_cell_is_one_layer() {
    let one = Shape { layers: 1, ..shape(CellKind::Lstm) };
    let mut tensors = raw_model(&one, "cell.", "fc.");
    tensors.iter_mut().for_each(|raw| raw.name = raw.name.replace("_l0", ""));
    assert_eq!(read(&container(&tensors, None)).unwrap().shape, one);
    tensors.push(Raw::f32("cell.weight_ih_l0", &[12, 2]));
    refused_tensors(&tensors, &["cell.weight_ih", "second time"]);
}

#[test]
fn a_head_without_a_bias_gets_zeros_and_a_warning() {
    let mut tensors = raw_model(&Shape { output: Some(4), ..shape(CellKind::Gru) }, "rnn.", "out.");
    assert_eq!(tensors.pop().unwrap().name, "out.bias");
    let back = read(&container(&tensors, None)).unwrap();
    assert_eq!(back.shape.output, Some(4));
    assert_eq!(back.weights.last().unwrap(), &Tensor::zeros([4]));
    assert_eq!(back.warnings.len(), 1);
    assert!(back.warnings[0].contains("m.safetensors") && back.warnings[0].contains("out.bias"), "{:?}", back.warnings);
}

#[test]
fn half_and_double_precision_are_converted() {
    let shape = Shape::new(CellKind::Rnn, 1, 3, 1, 1).unwrap();
    let values = [0.0_f64, -1.5, 0.1];
    let f32s: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    let halves: Vec<f32> = values.iter().map(|&v| f16::from_f64(v).to_f32()).collect();
    let brains: Vec<f32> = values.iter().map(|&v| bf16::from_f64(v).to_f32()).collect();
    let cases = [
        ("F32", values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect::<Vec<u8>>(), &f32s),
        ("F64", values.iter().flat_map(|v| v.to_le_bytes()).collect(), &f32s),
        ("F16", values.iter().flat_map(|&v| f16::from_f64(v).to_le_bytes()).collect(), &halves),
        ("BF16", values.iter().flat_map(|&v| bf16::from_f64(v).to_le_bytes()).collect(), &brains),
    ];
    for (dtype, bytes, expected) in cases {
        let mut tensors = raw_model(&shape, "rnn.", "fc.");
        tensors[0] = Raw { dtype, bytes, ..tensors[0].clone() };
        let back = read(&container(&tensors, None)).unwrap();
        assert_eq!(back.weights[0].data(), expected, "{dtype}");
        assert!(back.warnings.is_empty());
    }
    assert!(halves != f32s && brains != halves);
    for (dtype, size) in [("I32", 4), ("I64", 8), ("BOOL", 1), ("U8", 1), ("F8_E4M3", 1), ("C64", 8)] {
        let mut tensors = raw_model(&shape, "rnn.", "fc.");
        tensors[2] = Raw { dtype, bytes: vec![0; 3 * size], ..tensors[2].clone() };
        refused_tensors(&tensors, &["rnn.bias_ih_l0", dtype, "BF16"]);
    }
    let mut tensors = raw_model(&shape, "rnn.", "fc.");
    tensors[2].dtype = "F1\\n28";
    refused_tensors(&tensors, &["rnn.bias_ih_l0", "unknown dtype"]);
}

#[test]
fn values_that_are_not_finite_are_read_with_a_warning() {
    let shape = Shape::new(CellKind::Rnn, 1, 3, 1, 1).unwrap();
    let mut tensors = raw_model(&shape, "rnn.", "fc.");
    tensors[1].bytes[..12].copy_from_slice(&[f32::NAN, 1.0, f32::NEG_INFINITY].map(f32::to_le_bytes).concat());
    let wide = [1e300_f64, f64::INFINITY, 3.4e38].map(f64::to_le_bytes).concat();
    tensors[2] = Raw { dtype: "F64", bytes: wide, ..tensors[2].clone() };
    let back = read(&container(&tensors, None)).unwrap();
    assert!(back.weights[1].data()[0].is_nan() && back.weights[1].data()[2] == f32::NEG_INFINITY);
    assert_eq!(back.weights[2].data(), [f32::INFINITY, f32::INFINITY, 3.4e38]);
    let says = |tensor: &str, part: &str| {
        let hits = back.warnings.iter().filter(|line| line.contains(tensor) && line.contains(part)).count();
        assert_eq!(hits, 1, "{tensor} {part}: {:?}", back.warnings);
    };
    says("rnn.weight_hh_l0", "2 of its 9 values are not finite");
    says("rnn.bias_ih_l0", "1 of its F64 values");
    says("rnn.bias_ih_l0", "1 of its 3 values are not finite");
    assert_eq!(back.warnings.len(), 3);
}

#[test]
fn relu_has_to_be_said_and_contradictions_are_refused() {
    let relu = Shape { nonlinearity: Nonlinearity::Relu, ..shape(CellKind::Rnn) };
    let (_folder, path) = folder();
    file::write(&path, &relu, &weights(&relu), &Metadata::default(), &[]).unwrap();
    assert_eq!(file::read(&path, None).unwrap().shape, relu);
    assert_eq!(file::read(&path, Some(Nonlinearity::Relu)).unwrap().shape, relu);
    let message = file::read(&path, Some(Nonlinearity::Tanh)).unwrap_err().to_string();
    assert!(message.contains("metadata says nonlinearity relu"), "{message}");
    let bare = container(&raw_model(&relu, "rnn.", "fc."), None);
    assert_eq!(read(&bare).unwrap().shape.nonlinearity, Nonlinearity::Tanh);
    for cell in [CellKind::Lstm, CellKind::Gru] {
        let bytes = container(&raw_model(&shape(cell), "rnn.", "fc."), None);
        let message = file::read_bytes(&bytes, Path::new("m"), Some(Nonlinearity::Relu)).unwrap_err().to_string();
        assert!(message.contains("relu") && message.starts_with("m: "), "{message}");
        assert!(file::read_bytes(&bytes, Path::new("m"), Some(Nonlinearity::Tanh)).is_ok());
    }
}

#[test]
fn metadata_must_agree_with_the_tensors() {
    let shape = shape(CellKind::Lstm);
    let tensors = raw_model(&shape, "rnn.", "fc.");
    let with = |metadata: &serde_json::Value| container(&tensors, Some(&metadata.to_string()));
    let good = json!({ "version": 1, "shape": shape, "unknown field": [1] });
    assert_eq!(read(&with(&good)).unwrap().metadata.shape, Some(shape));
    for (field, wrong) in
        [("hidden", json!(4)), ("cell", json!("gru")), ("output", json!(null)), ("bias", json!(false))]
    {
        let mut metadata = good.clone();
        metadata["shape"][field] = wrong;
        assert_refused(
            &with(&metadata),
            &["metadata says", "tensors are lstm of input 2, hidden 3, layers 2, output 1"],
        );
    }
    let reference = |x: usize, y: usize, seq_len: u64| {
        with(&json!({ "version": 1, "reference": { "x": vec![0.5; x], "y": vec![0.5; y], "seq_len": seq_len } }))
    };
    assert!(read(&reference(6, 3, 3)).is_ok());
    assert_refused(&reference(5, 3, 3), &["reference x has 5 values"]);
    assert_refused(&reference(6, 4, 3), &["reference y has 4 values"]);
    assert_refused(&reference(6, 3, u64::MAX), &["reference x"]);
    assert_refused(&with(&json!({ "version": 2, "shape": 7 })), &["format version 2"]);
    assert_refused(&with(&json!({})), &["version"]);
    assert_refused(&with(&json!({ "version": 1, "seq_len": "many" })), &["metadata", "many"]);
    assert_refused(&container(&tensors, Some("{\"version\":\n1")), &["metadata"]);
    assert_refused(&container(&tensors, Some(&"[".repeat(100_000))), &["metadata"]);
    // a message quotes no more of a file than fits a line
    assert_refused(&with(&json!({ "version": "v\n".repeat(10_000) })), &["metadata"]);
}

#[test]
fn metadata_of_others_is_ignored() {
    let entry = r#""__metadata__":{"format":"pt","author":"someone"},"#;
    let tensors = raw_model(&shape(CellKind::Gru), "rnn.", "fc.");
    let bytes = container(&tensors, None);
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..end]).unwrap().replacen('{', &format!("{{{entry}"), 1);
    let back = read(&with_header(&header, &bytes[end..])).unwrap();
    assert_eq!(back.metadata, Metadata::default());
    // an empty one and a padded header too
    let header = format!("{}    ", header.replace(entry, r#""__metadata__":null,"#));
    assert!(read(&with_header(&header, &bytes[end..])).is_ok());
}

#[test]
fn networks_of_other_kinds_are_refused_by_name() {
    let good = raw_model(&shape(CellKind::Lstm), "rnn.", "fc.");
    let plus = |name: &str, dims: &[usize]| [good.as_slice(), &[Raw::f32(name, dims)]].concat();
    let without = |name: &str| good.iter().filter(|raw| raw.name != name).cloned().collect::<Vec<_>>();
    let changed = |name: &str, dims: &[usize]| {
        let change = |raw: &Raw| if raw.name == name { Raw::f32(name, dims) } else { raw.clone() };
        good.iter().map(change).collect::<Vec<_>>()
    };
    assert!(read(&container(&good, None)).is_ok());
    refused_tensors(
        &plus("rnn.weight_ih_l0_reverse", &[12, 2]),
        &["weight_ih_l0_reverse", "bidirectional", "supported"],
    );
    refused_tensors(&plus("rnn.weight_hr_l0", &[2, 3]), &["weight_hr_l0", "projection", "supported"]);
    refused_tensors(&plus("rnn2.weight_ih_l0", &[12, 2]), &["rnn2.weight_ih_l0", "second recurrent", "supported"]);
    refused_tensors(&plus("weight_ih_l0", &[12, 2]), &["weight_ih_l0", "second recurrent"]);
    refused_tensors(&plus("fc2.weight", &[1, 1]), &["fc2.weight", "second linear", "supported"]);
    refused_tensors(&plus("norm.weight", &[3]), &["norm.weight", "[3]", "supported"]);
    refused_tensors(&plus("bn.running_mean", &[3]), &["bn.running_mean", "unknown", "supported"]);
    refused_tensors(&plus("rnn.weight_ih_l01", &[12, 2]), &["rnn.weight_ih_l01", "unknown"]);
    refused_tensors(&plus("h0", &[2, 1, 3]), &["h0", "unknown"]);
    refused_tensors(&plus("", &[1]), &["\"\"", "unknown"]);
    refused_tensors(&plus("a\nb", &[1]), &["a b", "unknown"]);
    refused_tensors(&plus(&"long".repeat(100_000), &[1]), &["longlong", "unknown"]);
    refused_tensors(&plus("rnn.weight_ih_l7", &[12, 3]), &["rnn.weight_ih_l2", "missing"]);
    refused_tensors(&plus("rnn.bias_hh_l70", &[12]), &["layers 71", "64"]);
    for raw in &good {
        if raw.name == "fc.bias" {
            continue; // taken as zeros
        }
        refused_tensors(&without(&raw.name), &[&raw.name, "is missing"]);
    }
    for name in good.iter().map(|raw| raw.name.as_str()).filter(|name| !name.contains("_hh_l0")) {
        refused_tensors(&changed(name, &[5]), &[name, "[5]"]);
        refused_tensors(&changed(name, &[5, 5]), &["[5, 5]"]);
        refused_tensors(&changed(name, &[0]), &[name]);
        refused_tensors(&changed(name, &[0, 3]), &["[0, 3]"]);
        refused_tensors(&changed(name, &[12, 3, 1]), &[name, "[12, 3, 1]"]);
    }
    refused_tensors(&changed("rnn.weight_hh_l0", &[6, 3]), &["rnn.weight_hh_l0", "[6, 3]", "3 (gru)"]);
    refused_tensors(&changed("rnn.weight_hh_l0", &[13, 3]), &["rnn.weight_hh_l0", "[13, 3]"]);
    refused_tensors(&changed("rnn.weight_hh_l0", &[3, 0]), &["rnn.weight_hh_l0", "[3, 0]"]);
    refused_tensors(&changed("rnn.weight_hh_l0", &[0, 3]), &["rnn.weight_hh_l0", "[0, 3]"]);
    refused_tensors(&changed("rnn.weight_hh_l0", &[1; 5000]), &["rnn.weight_hh_l0", "dimensions more"]);
    // the transpose of a weight is another shape, except where it is square
    refused_tensors(&changed("rnn.weight_ih_l0", &[2, 12]), &["rnn.weight_ih_l0", "[2, 12]", "asks for"]);
    refused_tensors(&changed("fc.weight", &[3, 1]), &["fc.weight", "[3, 1]", "asks for [3, 3]"]);
    refused_tensors(&[Raw::f32("fc.weight", &[1, 3])], &["no recurrent tensors"]);
    refused_tensors(&[], &["no recurrent tensors"]);
    refused_tensors(&changed("rnn.weight_ih_l0", &[12, 20_000]), &["input size 20000"]);
}

#[test]
fn damaged_files_are_refused() {
    let good = container(&raw_model(&shape(CellKind::Gru), "rnn.", "fc."), None);
    assert!(read(&good).is_ok());
    let entry = |name: &str, info: &str| format!(r#"{{"{name}":{info}}}"#);
    let info = |dims: &str, start: u64, end: u64| {
        format!(r#"{{"dtype":"F32","shape":{dims},"data_offsets":[{start},{end}]}}"#)
    };
    assert_refused(b"", &["is empty"]);
    assert_refused(b"1234567", &["7 bytes", "too short"]);
    assert_refused(&[0; 8], &["header"]);
    for cut in 0..good.len() {
        assert_refused(&good[..cut], &[]);
    }
    assert_refused(&good[..good.len() - 1], &["cut off", &good.len().to_string()]);
    assert_refused(&good[..20], &["cut off"]);
    assert_refused(&[good.as_slice(), b"more"].concat(), &["4 bytes more"]);
    for claim in [u64::MAX, 1 << 63, 1 << 40, 100_000_000] {
        assert_refused(&[&claim.to_le_bytes(), b"{}".as_slice()].concat(), &["not a safetensors", &claim.to_string()]);
    }
    assert_refused(b"date,close\n2020-01-01,1.0\n", &["not a safetensors"]);
    assert_refused(b"PK\x03\x04\x00\x00\x08\x08\x00\x00", &["torch.save", "safetensors.torch.save_file("]);
    assert_refused(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20", &["pickle", "safetensors.torch.save_file("]);
    for header in ["", "{", "[]", "null", "7", "\"x\"", "{\"w\":1}", "{}x", "{\"w\":{}}", "\u{feff}{}", "{\"w\":null}"]
    {
        assert_refused(&with_header(header, &[]), &["header"]);
    }
    assert_refused(&[4_u64.to_le_bytes().as_slice(), b"{\"\xff\xfe"].concat(), &["header"]);
    assert_refused(&with_header(&"{\"a\":".repeat(1_000_000), &[]), &["header"]);
    assert_refused(&with_header(&entry("w", &info("[2,2]", 0, 12)), &[0; 12]), &["\"w\"", "16 bytes", "to 12"]);
    assert_refused(&with_header(&entry("w", &info("[1]", 4, 0)), &[0; 4]), &["\"w\"", "from byte 4 to 0"]);
    assert_refused(&with_header(&entry("w", &info("[1]", 4, 8)), &[0; 8]), &["\"w\"", "gap"]);
    assert_refused(&with_header(&entry("w", &info("[-1]", 0, 4)), &[0; 4]), &["\"w\"", "-1"]);
    assert_refused(&with_header(&entry("w", &info("[1.5]", 0, 4)), &[0; 4]), &["\"w\"", "1.5"]);
    let overflow = "[4294967296,4294967296,4294967296]";
    assert_refused(&with_header(&entry("w", &info(overflow, 0, 4)), &[0; 4]), &["\"w\"", "more values than"]);
    let product = "[4611686018427387904]"; // its number of values fits, its number of bytes does not
    assert_refused(&with_header(&entry("w", &info(product, 0, 0)), &[]), &["\"w\"", "more values than"]);
    let huge = info("[1099511627776]", 0, 1 << 42);
    assert_refused(&with_header(&entry("w", &huge), &[0; 4]), &["cut off", "43980465"]);
    let end = (1_u64 << 62) - 4 + (1 << 62);
    assert_refused(&with_header(&entry("w", &info("[1]", end, end + 4)), &[0; 4]), &["\"w\""]);
    // eight tensors that together take as many bytes as can be counted
    let most = (1_u64 << 61) - 1;
    let entries: Vec<String> = (0..8)
        .map(|i| {
            format!(r#""t{i}":{{"dtype":"U8","shape":[{most}],"data_offsets":[{},{}]}}"#, i * most, (i + 1) * most)
        })
        .collect();
    assert_refused(&with_header(&format!("{{{}}}", entries.join(",")), &[]), &["cut off"]);
    // two tensors over the same bytes, wholly and in part
    for second in [info("[2]", 0, 8), info("[2]", 4, 12), info("[1]", 4, 8)] {
        let header = format!(r#"{{"a":{},"b":{second}}}"#, info("[2]", 0, 8));
        assert_refused(&with_header(&header, &[0; 12]), &["overlap"]);
    }
    // the crate alone keeps the last of two tensors of one name
    let header = format!(r#"{{"rnn.b":{},"rnn.b":{}}}"#, info("[1]", 0, 4), info("[1]", 0, 4));
    assert!(safetensors::SafeTensors::deserialize(&with_header(&header, &[0; 4])).is_ok());
    assert_refused(&with_header(&header, &[0; 4]), &["rnn.b", "twice"]);
    let escaped = header.replacen("rnn.b", "rnn\\u002eb", 1);
    assert_refused(&with_header(&escaped, &[0; 4]), &["rnn.b", "twice"]);
    assert_refused(&with_header(r#"{"__metadata__":{},"__metadata__":{}}"#, &[]), &["__metadata__", "twice"]);
    assert_refused(&with_header(r#"{"__metadata__":{"a":"","a":""}}"#, &[]), &["\"a\"", "twice"]);
    assert_refused(&with_header(r#"{"__metadata__":{"a":1}}"#, &[]), &["__metadata__", "string"]);
    let twice = r#"{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}"#;
    assert_refused(&with_header(&entry("w", twice), &[0; 4]), &["\"w\"", "dtype"]);
    let six_bits = r#"{"dtype":"F6_E2M3","shape":[1],"data_offsets":[0,0]}"#;
    assert_refused(&with_header(&entry("w", six_bits), &[]), &["header"]);
}

#[test]
fn paths_that_are_no_files_are_refused() {
    let (folder, path) = folder();
    let message = |path: &Path| {
        let message = file::read(path, None).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()), "{message}");
        assert_eq!(message, file::read_all_tensors(path).unwrap_err().to_string());
        message
    };
    message(&path);
    assert!(message(folder.path()).contains("is a folder"));
    fs::write(&path, "").unwrap();
    assert!(message(&path).contains("is empty"));
    // a sparse file of 3 TiB: refused by its header, not read
    fs::write(&path, with_header("{}", &[])).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(3 << 40).unwrap();
    assert!(message(&path).contains("3298534883328 bytes long"));
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(7 << 30).unwrap();
    assert!(message(&path).contains("bytes more than its header describes"));
    if Path::new("/dev/zero").exists() {
        assert!(message(Path::new("/dev/zero")).contains("regular file"));
    }
}

#[test]
fn tensors_are_read_and_written_by_name() {
    let (_folder, path) = folder();
    let (x, h) = (Tensor::new([2, 1, 2], [0.1, -0.0, f32::NAN, 4.0]).unwrap(), Tensor::new([], [7.0]).unwrap());
    file::write_tensors(&path, &[("x", &x), ("h", &h)]).unwrap();
    let first = fs::read(&path).unwrap();
    file::write_tensors(&path, &[("h", &h), ("x", &x)]).unwrap();
    assert_eq!(first, fs::read(&path).unwrap());
    let back = file::read_tensors(&path, &["h"], &["x", "c"]).unwrap();
    assert_eq!(back.keys().collect::<Vec<_>>(), ["h", "x"]);
    assert_eq!(back["h"], h);
    assert_eq!(back["x"].dims(), x.dims());
    let bits = |tensor: &Tensor| tensor.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&back["x"]), bits(&x));
    assert_eq!(file::read_all_tensors(&path).unwrap().len(), 2);
    let message = file::read_tensors(&path, &["x", "target"], &[]).unwrap_err().to_string();
    assert!(message.contains("\"target\"") && message.contains("h, x"), "{message}");
    assert!(file::write_tensors(&path, &[("x", &x), ("x", &x)]).unwrap_err().to_string().contains("twice"));
    assert_eq!(first, fs::read(&path).unwrap());
}

#[test]
fn only_wanted_tensors_have_to_make_sense() {
    let (_folder, path) = folder();
    let raw = |name: &str, dtype, dims: &[usize], bytes: &[u8]| Raw {
        name: name.into(),
        dtype,
        dims: dims.into(),
        bytes: bytes.into(),
    };
    let tensors = [
        raw("none", "F32", &[3, 0], &[]),
        raw("wide", "F64", &[1], &1e300_f64.to_le_bytes()),
        raw("whole", "I64", &[1], &[0; 8]),
        Raw::f32("x", &[2]),
    ];
    fs::write(&path, container(&tensors, None)).unwrap();
    assert_eq!(file::read_tensors(&path, &["x"], &["y"]).unwrap().len(), 1);
    for (name, part) in [("none", "nothing in it"), ("wide", "beyond the largest f32"), ("whole", "I64")] {
        let message = file::read_tensors(&path, &[], &[name]).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains(part), "{message}");
    }
    assert!(file::read_all_tensors(&path).is_err());
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_the_old_one_stays() {
    let (folder, path) = folder();
    let shape = shape(CellKind::Rnn);
    let write = |path: &Path| file::write(path, &shape, &weights(&shape), &Metadata::default(), &[]);
    let refused = |path: &Path| {
        let message = write(path).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()) && message.lines().count() == 1, "{message}");
        message
    };
    assert!(refused(&folder.path().join("absent/m.safetensors")).contains("does not exist"));
    assert!(refused(folder.path()).contains("is a folder"));
    fs::write(&path, "old").unwrap();
    refused(&path.join("m.safetensors"));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let mut readonly = fs::metadata(folder.path()).unwrap().permissions();
    readonly.set_readonly(true);
    fs::set_permissions(folder.path(), readonly).unwrap();
    if fs::write(folder.path().join("probe"), "").is_ok() {
        eprintln!("part skipped: this user may write into read-only folders");
        fs::remove_file(folder.path().join("probe")).unwrap();
    } else {
        assert!(refused(&path).contains("permission denied"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
    // sysfs refuses new files even to root
    if Path::new("/sys/kernel").is_dir() {
        refused(Path::new("/sys/kernel/m.safetensors"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    write(&path).unwrap();
    assert!(file::read(&path, None).is_ok());
}

#[test]
fn a_full_disk_and_a_device_are_written_to_directly() {
    let shape = shape(CellKind::Rnn);
    for (device, works) in [("/dev/full", false), ("/dev/null", true)] {
        if !Path::new(device).exists() {
            eprintln!("skipped: there is no {device}");
            continue;
        }
        let result = file::write(device, &shape, &weights(&shape), &Metadata::default(), &[]);
        assert_eq!(result.is_ok(), works);
        if let Err(error) = result {
            assert!(error.to_string().starts_with("/dev/full: "), "{error}");
        }
        assert!(!fs::metadata(device).unwrap().is_file(), "{device} was replaced by a file");
    }
}

/// The most address space that this process ever had, in bytes, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Reads bytes that may be anything. It must not panic, and what it accepts must be sound.
fn read_anything(bytes: &[u8]) {
    match read(bytes) {
        Ok(file) => {
            let layout = Layout::new(&file.shape);
            assert_eq!(file.weights.len(), layout.entries().len());
            for (tensor, entry) in file.weights.iter().zip(layout.entries()) {
                assert_eq!(tensor.dims(), entry.dims);
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.lines().count() == 1 && message.len() < 1000, "{message:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), length in 0_u64..300) {
        read_anything(&bytes);
        read_anything(&[&length.to_le_bytes(), bytes.as_slice()].concat());
    }

    #[test]
    fn damaged_models_never_panic_nor_allocate_what_they_claim(
        cell in 0_usize..3,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..6),
        swap in proptest::option::of((0_usize..8, 0_usize..8)),
    ) {
        let shape = shape(CellKind::ALL[cell]);
        let metadata = Metadata { shape: Some(shape), ..metadata(&shape) };
        let text = serde_json::to_string(&metadata).unwrap();
        let mut bytes = container(&raw_model(&shape, "rnn.", "fc."), Some(&text));
        // numbers and words of the header exchanged for others that stay JSON
        let words: [&str; 8] = ["F32", "F64", "[12,", "99999999999999999", "weight_ih", "bias_hh", "l0", "l1"];
        if let Some((from, to)) = swap {
            let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let header = std::str::from_utf8(&bytes[8..end]).unwrap().replacen(words[from], words[to], 1);
            bytes = with_header(&header, &bytes[end..]);
        }
        for (at, value, kind) in changes {
            // headers and the lengths before them are where damage matters; weights are just numbers
            let at = if kind < 3 { at.index(bytes.len().min(1500)) } else { at.index(bytes.len()) };
            match kind {
                0 => bytes[at] = value,
                1 => bytes[at] = b"0123456789,:[]{}\"-e"[value as usize % 19],
                2 => bytes.insert(at, b"0123456789"[value as usize % 10]),
                _ => { bytes.remove(at); }
            }
        }
        let before = peak_memory();
        read_anything(&bytes);
        if let (Some(before), Some(after)) = (before, peak_memory()) {
            prop_assert!(after - before < 1 << 30, "took {} bytes", after - before);
        }
    }
}
