//! The names of tensors: they are kept when a file is written again, they say which layer is the head, and a caller can
//! choose among them.

use super::*;
use file::{HeadChoice, Loaded, ReadOptions};
use rnnstep::Cpu;
use std::collections::BTreeMap;
use std::fs;

/// Prefixes of recurrent tensors and of heads that people use.
const PREFIXES: [(&str, &str); 12] = [
    ("rnn.", "fc."),
    ("lstm.", "linear."),
    ("gru.", "out."),
    ("", "head."),
    ("", ""),
    ("module.rnn.", "module.fc."),
    ("model.encoder.lstm.", "model.decoder."),
    ("_orig_mod.rnn.", "_orig_mod.readout.0."),
    ("layers.0.", "layers.1."),
    ("RNN.", "outputLayer."),
    ("rnn.rnn.", "rnn.fc."),
    ("weight.", "prediction."),
];

/// Names, shapes and values of all tensors of a file.
fn content(path: &Path) -> BTreeMap<String, Tensor> {
    file::read_all_tensors(path).unwrap()
}

fn load(path: &Path, options: &ReadOptions) -> rnnstep::Result<Loaded> {
    file::load(path, options, Cpu::widest())
}

fn with_head(prefix: &str) -> ReadOptions {
    ReadOptions::default().with_head(Some(prefix.parse().unwrap()))
}

fn with_recurrent(prefix: &str) -> ReadOptions {
    ReadOptions::default().with_recurrent(Some(prefix.into()))
}

/// Strict `load_state_dict` takes a file if it has exactly the names and shapes of the module.
#[test]
fn what_is_written_again_goes_back_into_the_same_module() {
    let (_folder, path) = folder();
    for shape in all_shapes() {
        for (recurrent, head) in PREFIXES {
            for (single, head_bias) in [(false, true), (false, false), (true, true), (true, false)] {
                if single && shape.layers() > 1 || !head_bias && shape.output().is_none() {
                    continue;
                }
                let mut tensors = raw_model(&shape, recurrent, head);
                tensors.retain(|raw| head_bias || raw.name != format!("{head}bias"));
                if single {
                    // nn.LSTMCell
                    tensors.iter_mut().for_each(|raw| raw.name = raw.name.replace("_l0", ""));
                }
                fs::write(&path, container(&tensors, None)).unwrap();
                let before = content(&path);
                let options = active(shape.nonlinearity());
                let first = load(&path, &options).unwrap();
                assert_eq!(*first.model.shape(), shape);
                // once more from our own file, which has metadata, and through both ways to save
                for loaded in [first, load(&path, &options).unwrap()] {
                    file::save(&path, &loaded.model, &loaded.metadata, &[]).unwrap();
                    assert_eq!(content(&path), before, "{shape} {recurrent} {head}");
                    Model::load(&path).unwrap().save(&path).unwrap();
                    assert_eq!(content(&path), before, "{shape} {recurrent} {head}");
                }
            }
        }
    }
}

#[test]
fn a_head_without_a_bias_is_named_as_such() {
    let shape = shape(CellKind::Gru).with_output(Some(4)).unwrap();
    let mut tensors = raw_model(&shape, "gru.", "out.");
    assert_eq!(tensors.pop().unwrap().name, "out.bias");
    let back = read(&container(&tensors, None)).unwrap();
    assert!(back.warnings[0].contains("out.bias") && back.warnings[0].contains("only if training changes it"));
    assert!(back.assumed.iter().any(|line| line.contains("\"out.bias\" is zeros")), "{:?}", back.assumed);
    let last = back.layout.entries().last().unwrap();
    assert_eq!((last.name.as_str(), last.optional), ("out.bias", true));
}

/// A GRU of two inputs and two units, so that a square layer fits in front of it, beside it and behind it.
fn square(others: &[(&str, &[usize])]) -> Vec<Raw> {
    let shape = Shape::new(CellKind::Gru, 2, 2, 1, 1).unwrap().with_output(None).unwrap();
    let mut tensors = raw_model(&shape, "rnn.", "");
    tensors.extend(others.iter().map(|(name, dims)| Raw::f32(name, dims)));
    tensors
}

#[test]
fn a_layer_that_could_stand_elsewhere_is_the_head_only_if_its_name_says_so() {
    for name in ["fc", "head", "out", "output", "linear", "dense", "decoder", "predict", "fc_out", "outputLayer", "fc1"]
    {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let tensors = square(&[(&weight, &[2, 2]), (&bias, &[2])]);
        assert_eq!(read(&container(&tensors, None)).unwrap().shape.output(), Some(2), "{name}");
    }
    for name in ["proj", "inproj", "l1", "layer", "embed", "input_fc", "fc_in", "encoder", "pre", "skip", "attn.out"] {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let tensors = square(&[(&weight, &[2, 2]), (&bias, &[2])]);
        refused_tensors(&tensors, &[&weight, "in front of the network", "--head"]);
        // whoever knows better can say so, and then the file that is written is clear
        let (_folder, path) = folder();
        fs::write(&path, container(&tensors, None)).unwrap();
        for choice in [name.to_string(), format!("{name}.")] {
            let loaded = load(&path, &with_head(&choice)).unwrap();
            assert_eq!((loaded.model.shape().output(), loaded.warnings.len()), (Some(2), 0), "{name}");
        }
        let none = load(&path, &with_head("none")).unwrap();
        assert_eq!(none.model.shape().output(), None);
        assert!(none.warnings[0].contains("2 tensors are left out") && none.warnings[0].contains(&weight));
        let before = content(&path);
        load(&path, &with_head(name)).unwrap().model.save(&path).unwrap();
        assert_eq!(content(&path), before);
        assert_eq!(Model::load(&path).unwrap().shape().output(), Some(2), "{name}: it is our own file now");
    }
}

/// One unit for each input, and other kinds of layers than linear ones, before, beside and behind the network.
#[test]
fn other_layers_are_refused_by_name_whatever_the_sizes_are() {
    for [input, hidden] in [[1, 4], [2, 2], [3, 5], [5, 3]] {
        let shape = Shape::new(CellKind::Lstm, input, hidden, 2, 3).unwrap();
        let layers = [
            ("in_proj", vec![("weight", vec![input, 7]), ("bias", vec![input])], "in front"),
            ("embedding", vec![("weight", vec![50, input])], "in front"),
            ("word_embed", vec![("weight", vec![50, hidden])], "in front"),
            ("skip", vec![("weight", vec![3, input]), ("bias", vec![3])], "beside"),
            ("init_h", vec![("weight", vec![hidden, hidden])], "beside"),
            ("norm", vec![("weight", vec![hidden]), ("bias", vec![hidden])], "LayerNorm"),
            ("bn", vec![("weight", vec![input]), ("running_mean", vec![input])], "BatchNorm"),
            ("conv", vec![("weight", vec![input, 7, 3]), ("bias", vec![input])], "convolution"),
            ("conv2d", vec![("weight", vec![hidden, 1, 3, 3])], "convolution"),
            ("attn", vec![("in_proj_weight", vec![3 * hidden, hidden])], "unknown"),
            ("attention", vec![("weight", vec![1, hidden])], "beside"),
        ];
        for (layer, tensors, kind) in layers {
            for headed in [true, false] {
                let shape = if headed { shape } else { shape.with_output(None).unwrap() };
                let mut all = raw_model(&shape, "net.rnn.", "net.fc.");
                all.extend(tensors.iter().map(|(leaf, dims)| Raw::f32(&format!("net.{layer}.{leaf}"), dims)));
                refused_tensors(&all, &[&format!("net.{layer}."), kind]);
                if headed {
                    let bytes = container(&all, None);
                    let left = file::read_bytes(&bytes, Path::new("m"), &with_head("net.fc")).unwrap();
                    assert_eq!((left.shape, left.warnings.len()), (shape, 1), "{layer}");
                    assert!(left.warnings[0].starts_with("m: ") && left.warnings[0].contains(layer), "{layer}");
                }
            }
        }
    }
}

/// Modules of PyTorch, from `tests/golden/names.py`: each comes back with its names, or is refused by the name of a layer.
#[test]
fn modules_of_pytorch() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/names.json");
    let cases: Vec<serde_json::Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let (_folder, path) = folder();
    let mut seen = [0; 3];
    for case in &cases {
        let dims = |dims: &serde_json::Value| serde_json::from_value::<Vec<usize>>(dims.clone()).unwrap();
        let tensors = case["state_dict"].as_object().unwrap().iter();
        // num_batches_tracked is a scalar
        let tensors: Vec<Raw> = tensors.map(|(name, shape)| Raw::f32(name, &dims(shape))).collect();
        let bytes = container(&tensors, None);
        let comes_back = |head: Option<&str>, options: &ReadOptions| {
            fs::write(&path, &bytes).unwrap();
            let (before, loaded) = (content(&path), load(&path, options).unwrap());
            let last = loaded.model.layout().entries().last().unwrap();
            let found = loaded.model.shape().output().and(last.name.rsplit_once('.')).map(|(prefix, _)| prefix);
            assert_eq!(found, head, "{}", case["module"]);
            loaded.model.save(&path).unwrap();
            assert_eq!(content(&path), before, "{}", case["module"]);
        };
        if let Some(layers) = case["refused"].as_array() {
            for layer in layers {
                refused_tensors(&tensors, &[&format!("{}.", layer.as_str().unwrap())]);
            }
            seen[0] += 1;
        } else if let Some(head) = case["unclear"].as_str() {
            refused_tensors(&tensors, &[&format!("{head}.weight"), &format!("--head {head}")]);
            comes_back(Some(head), &with_head(head));
            seen[1] += 1;
        } else {
            comes_back(case["head"].as_str(), &ReadOptions::default());
            seen[2] += 1;
        }
    }
    assert_eq!(seen, [19, 2, 15]);
}

#[test]
fn of_several_networks_one_can_be_chosen() {
    let shape = shape(CellKind::Lstm);
    let (_folder, path) = folder();
    let mut tensors = raw_model(&shape, "encoder.", "fc.");
    tensors.extend(raw_model(&shape.with_output(None).unwrap(), "decoder.rnn.", ""));
    tensors.push(Raw::f32("encoder2.weight_ih_l0_reverse", &[12, 2]));
    fs::write(&path, container(&tensors, None)).unwrap();
    let error = load(&path, &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("second recurrent") && error.contains("--recurrent decoder.rnn"), "{error}");
    for (choice, first) in [("encoder", "encoder.weight_ih_l0"), ("decoder.rnn.", "decoder.rnn.weight_ih_l0")] {
        let loaded = load(&path, &with_recurrent(choice)).unwrap();
        assert_eq!(loaded.model.layout().entries()[0].name, first);
        let [warning] = &loaded.warnings[..] else { panic!("{:?}", loaded.warnings) };
        assert!(warning.contains("9 tensors are left out") && warning.contains("encoder2.weight_ih_l0_reverse"));
        assert!(!warning.contains(first), "{warning}");
    }
    let refused = |options: &ReadOptions, parts: &[&str]| {
        let error = load(&path, options).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()) && error.lines().count() == 1, "{error}");
        for part in parts {
            assert!(error.contains(part), "{error:?} does not say {part:?}");
        }
    };
    refused(&with_recurrent("lstm"), &["\"lstm\"", "\"decoder.rnn\", \"encoder\""]);
    refused(&with_recurrent("enc"), &["\"enc\"", "\"encoder\""]);
    refused(&with_recurrent("encoder2"), &["weight_ih_l0_reverse", "bidirectional"]);
    let chosen = with_recurrent("encoder");
    refused(&chosen.clone().with_head("out".parse().ok()), &["\"out\"", "\"fc\""]);
    refused(&chosen.clone().with_head("encoder".parse().ok()), &["\"encoder\"", "\"fc\""]);
    let none = load(&path, &chosen.with_head(Some(HeadChoice::None))).unwrap();
    assert_eq!(none.model.shape().output(), None);
    // our own file has a head
    let (_folder, own) = folder();
    load(&path, &with_recurrent("encoder")).unwrap().model.save(&own).unwrap();
    let error = load(&own, &with_head("none")).unwrap_err().to_string();
    assert!(error.contains("has a head") && error.contains("--head"), "{error}");
    load(&own, &with_head("fc").with_recurrent(Some("encoder".into()))).unwrap();
}

#[test]
fn a_tensor_beside_the_recurrent_ones_is_not_left_out() {
    for extra in ["rnn.h0", "rnn.weight_ih_l01", "rnn.peephole"] {
        let tensors = square(&[(extra, &[2]), ("fc.weight", &[2, 2])]);
        let bytes = container(&tensors, None);
        for options in [ReadOptions::default(), with_head("fc"), with_head("none"), with_recurrent("rnn")] {
            let error = file::read_bytes(&bytes, Path::new("m"), &options).unwrap_err().to_string();
            assert!(error.contains(extra) && error.contains("unknown"), "{error}");
        }
    }
}

#[test]
fn what_nobody_says_is_listed() {
    let assumed = |cell: CellKind, options: &ReadOptions| {
        let bytes = container(&raw_model(&shape(cell), "net.", "fc."), None);
        file::read_bytes(&bytes, Path::new("m"), options).unwrap().assumed.join("\n")
    };
    let default = ReadOptions::default();
    for cell in CellKind::ALL {
        let lines = assumed(cell, &default);
        let times = if cell.gates() == 1 { String::new() } else { format!("{} times ", cell.gates()) };
        let gates = format!("the cell is {cell}, because weight_hh has {times}as many rows as columns");
        assert!(lines.contains(&gates), "{lines}");
        assert_eq!(lines.contains("tanh"), cell == CellKind::Rnn, "{lines}");
    }
    assert!(!assumed(CellKind::Rnn, &active(Nonlinearity::Tanh)).contains("tanh"));
    let (_folder, path) = folder();
    Model::random(shape(CellKind::Rnn), 0).unwrap().save(&path).unwrap();
    assert!(file::read(&path, &default).unwrap().assumed.is_empty(), "our own files say everything");
}
