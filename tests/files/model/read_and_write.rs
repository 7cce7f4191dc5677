//! A model that is written is read again unchanged, and PyTorch's files are understood.

use super::*;
use half::{bf16, f16};
use rnnstep::tensor::Array;
use rnnstep::units::Units;
use rnnstep::{Cpu, TargetTransform};
use std::collections::BTreeMap;
use std::fs;

#[test]
fn what_is_written_is_read_again() {
    let (_folder, path) = folder();
    for shape in all_shapes() {
        let (weights, metadata) = (weights(&shape), metadata(&shape));
        let narrow = Tensor::new([3], [1.0, f32::MIN_POSITIVE, -0.0]).unwrap();
        let wide = Tensor::new([2], [0.1_f64, 123_456_789.25]).unwrap();
        let extra = [("adam.m".to_string(), narrow.into()), ("past".to_string(), Array::F64(wide))];
        file::write(&path, &shape, &weights, &metadata, &extra).unwrap();
        let back = file::read(&path, &file::ReadOptions::default()).unwrap();
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
    let refused = |weights: &[(String, Tensor)], metadata: &Metadata, extra: &[(String, Array)]| {
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
    let twice = vec![("m".to_string(), Tensor::<f32>::zeros([1]).into()); 2];
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
            let back = file::read_bytes(&bytes, Path::new("m"), &active(shape.nonlinearity())).unwrap();
            assert_eq!((back.shape, Some(&back.weights)), (shape, expected.as_ref()), "{recurrent} {head}");
            assert_eq!(back.metadata, Metadata::default());
            assert!(back.warnings.is_empty());
        }
    }
}

#[test]
fn a_single_cell_is_one_layer() {
    let one = shape(CellKind::Lstm).with_layers(1).unwrap();
    let mut tensors = raw_model(&one, "cell.", "fc.");
    tensors.iter_mut().for_each(|raw| raw.name = raw.name.replace("_l0", ""));
    assert_eq!(read(&container(&tensors, None)).unwrap().shape, one);
    tensors.push(Raw::f32("cell.weight_ih_l0", &[12, 2]));
    refused_tensors(&tensors, &["cell.weight_ih", "second time"]);
}

#[test]
fn a_head_without_a_bias_gets_zeros_and_a_warning() {
    let mut tensors = raw_model(&shape(CellKind::Gru).with_output(Some(4)).unwrap(), "rnn.", "out.");
    assert_eq!(tensors.pop().unwrap().name, "out.bias");
    let back = read(&container(&tensors, None)).unwrap();
    assert_eq!(back.shape.output(), Some(4));
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
    let relu = shape(CellKind::Rnn).with_nonlinearity(Nonlinearity::Relu).unwrap();
    let (_folder, path) = folder();
    file::write(&path, &relu, &weights(&relu), &Metadata::default(), &[]).unwrap();
    assert_eq!(file::read(&path, &file::ReadOptions::default()).unwrap().shape, relu);
    assert_eq!(file::read(&path, &active(Nonlinearity::Relu)).unwrap().shape, relu);
    let message = file::read(&path, &active(Nonlinearity::Tanh)).unwrap_err().to_string();
    assert!(message.contains("metadata says nonlinearity relu"), "{message}");
    let bare = container(&raw_model(&relu, "rnn.", "fc."), None);
    assert_eq!(read(&bare).unwrap().shape.nonlinearity(), Nonlinearity::Tanh);
    for cell in [CellKind::Lstm, CellKind::Gru] {
        let bytes = container(&raw_model(&shape(cell), "rnn.", "fc."), None);
        let message = file::read_bytes(&bytes, Path::new("m"), &active(Nonlinearity::Relu)).unwrap_err().to_string();
        assert!(message.contains("relu") && message.starts_with("m: "), "{message}");
        assert!(file::read_bytes(&bytes, Path::new("m"), &active(Nonlinearity::Tanh)).is_ok());
    }
}

#[test]
fn masks_are_kept_and_checked() {
    let (_folder, path) = folder();
    let scaler = |width: usize| Scaler::new(vec![1.0; width], vec![2.0; width]).unwrap();
    let units = || Units::scaled(scaler(4), scaler(2));
    for masks in [&[2, 3][..], &[1, 0], &[0, 0], &[7], &[0, 1, 2, 3, 4]] {
        let error = units().with_masks(masks).unwrap_err().to_string();
        assert!(error.contains(&format!("{} of 4 inputs cannot be the masks", masks.len())), "{error}");
    }
    // the column of a change is no mask
    let change = units().with_transform(TargetTransform::Change, &[2, 0]).unwrap();
    assert!(change.clone().with_masks(&[0, 1]).is_err() && change.with_masks(&[0]).is_ok());
    let model = Model::random(Shape::new(CellKind::Gru, 4, 3, 1, 2).unwrap(), 1).unwrap();
    let masked = model.clone().with_units(units().with_masks(&[0, 1]).unwrap()).unwrap();
    masked.save(&path).unwrap();
    let back = file::load(&path, &file::ReadOptions::default(), Cpu::widest()).unwrap();
    assert_eq!((back.metadata.version, back.model.masks()), (5, &[0, 1][..]));
    assert_eq!(back.model.units().unwrap().x().scale(), [2.0, 2.0, 1.0, 1.0]);
    assert_eq!(back.model.units(), masked.units());
    // a file with masks that cannot be, or without scalers
    for (masks, scales) in [(vec![3], true), (vec![1, 0], true), (vec![0], false)] {
        let columns = file::Columns { masks, ..file::Columns::default() };
        let scaler = |width| scales.then(|| scaler(width));
        let metadata = Metadata { columns, x_scaler: scaler(4), target_scaler: scaler(2), ..Metadata::default() };
        file::write(&path, model.shape(), &model.weights(), &metadata, &[]).unwrap();
        let error = file::load(&path, &file::ReadOptions::default(), Cpu::widest()).unwrap_err().to_string();
        assert!(error.contains("mask"), "{error}");
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
        assert_refused(&with(&metadata), &["metadata says", "tensors are LSTM 2 -> 3 x 2 -> 1"]);
    }
    let reference = |x: usize, y: usize, seq_len: u64| {
        with(&json!({ "version": 1, "reference": { "x": vec![0.5; x], "y": vec![0.5; y], "seq_len": seq_len } }))
    };
    assert!(read(&reference(6, 3, 3)).is_ok());
    assert_refused(&reference(5, 3, 3), &["reference x has 5 values"]);
    assert_refused(&reference(6, 4, 3), &["reference y has 4 values"]);
    assert_refused(&reference(6, 3, u64::MAX), &["reference x"]);
    assert_refused(&with(&json!({ "version": 6, "shape": 7 })), &["format version 6"]);
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
fn a_file_of_another_program_may_say_its_cell() {
    let tensors = raw_model(&shape(CellKind::Gru), "rnn.", "fc.");
    let bytes = container(&tensors, None);
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..end]).unwrap();
    let says = |cell: &str| {
        let entry = format!(r#"{{"__metadata__":{{"cell":"{cell}"}},"#);
        with_header(&header.replacen('{', &entry, 1), &bytes[end..])
    };
    let back = read(&says("gru")).unwrap();
    assert_eq!((back.shape.cell(), back.metadata), (CellKind::Gru, Metadata::default()));
    assert_refused(&says("lstm"), &["metadata says cell lstm", "tensors are GRU 2 -> "]);
    assert_refused(&says("sru"), &["\"cell\"", "\"sru\" is none of rnn, lstm, gru"]);
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
    assert_eq!(file::read_all_tensors::<f32>(&path).unwrap().len(), 2);
    let message = file::read_tensors::<f32>(&path, &["x", "target"], &[]).unwrap_err().to_string();
    assert!(message.contains("\"target\"") && message.contains("\"h\", \"x\""), "{message}");
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
    assert_eq!(file::read_tensors::<f32>(&path, &["x"], &["y"]).unwrap().len(), 1);
    for (name, part) in [("none", "it has no values"), ("wide", "beyond the largest f32"), ("whole", "I64")] {
        let message = file::read_tensors::<f32>(&path, &[], &[name]).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains(part), "{message}");
    }
    assert!(file::read_all_tensors::<f32>(&path).is_err());
}
