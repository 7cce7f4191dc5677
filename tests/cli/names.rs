//! The names of tensors in a file of another program: which are taken, and that they are written again.

use super::run::Run;
use rnnstep::model::file;
use rnnstep::net::layout::Layout;
use rnnstep::tensor::Stored;
use rnnstep::{CellKind, Model, Shape, Tensor};
use std::collections::BTreeMap;

/// Names and shapes of the weights in a file: what PyTorch's strict `load_state_dict` compares with its module.
fn state_dict(run: &Run, name: &str) -> BTreeMap<String, Vec<usize>> {
    let all = run.tensors(name).into_iter().filter(|(name, _)| !name.starts_with("rnnstep."));
    all.map(|(name, tensor)| (name, tensor.dims().to_vec())).collect()
}

/// Writes a file as PyTorch does: the tensors of a network under other names, those without a name left out, and
/// `others`.
fn foreign(run: &Run, name: &str, shape: Shape, rename: impl Fn(&str) -> String, others: &[(&str, &[usize])]) {
    let model = Model::random(shape, 3).unwrap();
    let mut tensors: Vec<(String, Tensor)> = model.weights();
    tensors.iter_mut().for_each(|(name, _)| *name = rename(name));
    tensors.retain(|(name, _)| !name.is_empty());
    tensors.extend(others.iter().map(|(name, dims)| (name.to_string(), Tensor::zeros(dims.to_vec()))));
    let tensors: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor as &dyn Stored)).collect();
    file::write_tensors(run.path(name), &tensors).unwrap();
}

fn shape(cell: CellKind) -> Shape {
    Shape::new(cell, 1, 6, 1, 1).unwrap()
}

#[test]
fn every_way_of_training_keeps_the_names() {
    let run = Run::new();
    run.file("s.csv", (0..120).map(|t| format!("{}\n", (0.3 * t as f64).sin())).collect::<String>());
    let lines: String = (0..60).map(|t| format!("{}\n", (0.3 * t as f64).sin())).collect();
    let renamed = |recurrent: &'static str, head: &'static str, suffix: &'static str| {
        move |name: &str| name.replace("rnn.", recurrent).replace("fc.", head).replace("_l0", suffix)
    };
    for (cell, rename) in [
        (CellKind::Lstm, renamed("lstm.", "linear.", "_l0")),
        (CellKind::Gru, renamed("module.rnn.", "module.head.", "_l0")),
        (CellKind::Rnn, renamed("", "out.", "_l0")),
        (CellKind::Gru, renamed("cell.", "readout.", "")),
    ] {
        foreign(&run, "user.safetensors", shape(cell), rename, &[]);
        let before = state_dict(&run, "user.safetensors");
        run.ok("train s.csv --init user.safetensors --epochs 2 --no-plot --out a.safetensors");
        assert_eq!(state_dict(&run, "a.safetensors"), before);
        assert_ne!(run.tensors("a.safetensors"), run.tensors("user.safetensors"), "it was trained");
        assert_eq!(state_dict(&run, "a.checkpoint.safetensors"), before);
        run.ok("train --resume a.checkpoint.safetensors --epochs 3 --no-plot --out b.safetensors");
        assert_eq!(state_dict(&run, "b.safetensors"), before);
        for from in ["user.safetensors", "a.safetensors"] {
            run.feed_ok(&format!("stream {from} --learn --out c.safetensors"), &lines);
            assert_eq!(state_dict(&run, "c.safetensors"), before);
            assert_eq!(state_dict(&run, "c.learner.safetensors"), before);
            run.feed_ok("stream c.learner.safetensors --learn --out c.safetensors", &lines);
            assert_eq!(state_dict(&run, "c.safetensors"), before);
        }
        // files that rnnstep made itself have its own names
        run.ok("train s.csv --epochs 1 --no-plot --out own.safetensors");
        assert!(
            state_dict(&run, "own.safetensors").keys().all(|name| name.starts_with("rnn.") || name.starts_with("fc."))
        );
    }
}

#[test]
fn a_head_without_a_bias_gets_one_only_by_training_and_it_is_said() {
    let run = Run::new();
    run.file("s.csv", (0..120).map(|t| format!("{}\n", (0.3 * t as f64).sin())).collect::<String>());
    let rename = |name: &str| match name {
        "fc.bias" => String::new(),
        name => name.replace("rnn.", "gru.").replace("fc.", "out."),
    };
    foreign(&run, "user.safetensors", shape(CellKind::Gru), rename, &[]);
    let before = state_dict(&run, "user.safetensors");
    assert!(!before.contains_key("out.bias"));
    let answer =
        run.ok("train s.csv --init user.safetensors --target-as value --steps 0 --no-plot --out same.safetensors");
    assert!(
        answer.stderr.contains("\"out.bias\": is not there") && answer.stderr.contains("only if training changes it")
    );
    assert_eq!(state_dict(&run, "same.safetensors"), before);
    run.ok("train s.csv --init user.safetensors --epochs 2 --no-plot --out a.safetensors");
    let mut after = state_dict(&run, "a.safetensors");
    assert_eq!(after.remove("out.bias"), Some(vec![1]));
    assert_eq!(after, before);
}

#[test]
fn info_shows_the_names_and_what_was_assumed() {
    let run = Run::new();
    let rename = |name: &str| name.replace("rnn.", "net.encoder.").replace("fc.", "net.out.");
    foreign(&run, "m.safetensors", shape(CellKind::Rnn), rename, &[]);
    let answer = run.ok("info m.safetensors");
    assert_eq!((answer.after("  recurrent "), answer.after("  head ")), ("net.encoder", "net.out"));
    assert!(answer.after("  net.encoder.weight_hh_l0 ").starts_with("[6, 6]"));
    let assumed: Vec<&str> = answer.stdout.lines().filter(|line| line.starts_with("  assumed ")).collect();
    let [cell, tanh] = assumed[..] else { panic!("{assumed:?}") };
    assert!(
        cell.contains("the cell is rnn, because weight_hh has as many rows") && tanh.contains("tanh"),
        "{assumed:?}"
    );
    let answer = run.ok("info m.safetensors --nonlinearity relu");
    assert!(!answer.stdout.contains("tanh"), "{}", answer.stdout);
    let rename = |name: &str| if name.starts_with("fc.") { String::new() } else { name.replace("rnn.", "") };
    foreign(&run, "bare.safetensors", shape(CellKind::Gru), rename, &[]);
    let answer = run.ok("info bare.safetensors");
    assert_eq!((answer.after("  recurrent "), answer.after("  head ")), ("without a prefix", "none, y is h"));
    run.model("own.safetensors", CellKind::Rnn, [1, 4, 1, 1]);
    let answer = run.ok("info own.safetensors");
    assert_eq!((answer.after("  recurrent "), answer.after("  head ")), ("rnn", "fc"));
    assert!(!answer.stdout.contains("assumed"), "{}", answer.stdout);
}

#[test]
fn a_layer_in_front_is_refused_by_every_command() {
    let run = Run::new();
    let square = Shape::new(CellKind::Gru, 2, 2, 1, 2).unwrap();
    foreign(&run, "m.safetensors", square, |name| name.replace("fc.", "proj."), &[]);
    run.file("x.csv", "1,2\n3,4\n5,6\n".repeat(20));
    for command in [
        "predict m.safetensors x.csv --out y.csv",
        "forecast m.safetensors x.csv --steps 2",
        "gates m.safetensors x.csv",
        "stream m.safetensors",
        "convert m.safetensors --to rust",
        "info m.safetensors",
        "bench m.safetensors",
        "evaluate x.csv m.safetensors",
        "train x.csv --init m.safetensors --epochs 1 --no-plot",
    ] {
        let words = ["m.safetensors", "\"proj.weight\"", "[2, 2]", "in front", "--head proj"];
        run.fails(command, &words);
    }
    assert_eq!(run.files().len(), 2, "nothing was written");
    let chosen = run.ok("predict m.safetensors x.csv --head proj").stdout;
    let none = run.ok("predict m.safetensors x.csv --head none");
    assert!(none.stderr.contains("2 tensors are left out: \"proj.bias\", \"proj.weight\""), "{}", none.stderr);
    assert_ne!(chosen, none.stdout);
    run.ok("train x.csv --init m.safetensors --head proj --epochs 1 --no-plot --out t.safetensors");
    run.ok("evaluate x.csv m.safetensors --head proj");
    run.ok("info m.safetensors --head proj");
    // its own file says that it is the head
    assert_eq!(run.ok("info t.safetensors").after("  head "), "proj");
}

#[test]
fn of_several_networks_and_heads_each_can_be_chosen() {
    let run = Run::new();
    let layout = Layout::new(&shape(CellKind::Gru));
    let others: Vec<(String, Vec<usize>)> = layout
        .entries()
        .iter()
        .map(|entry| (entry.name.replace("rnn.", "b.gru.").replace("fc.", "b.out."), entry.dims.clone()))
        .collect();
    let others: Vec<(&str, &[usize])> = others.iter().map(|(name, dims)| (name.as_str(), dims.as_slice())).collect();
    let rename = |name: &str| name.replace("rnn.", "a.gru.").replace("fc.", "a.out.");
    foreign(&run, "m.safetensors", shape(CellKind::Gru), rename, &others);
    run.file("x.csv", "1\n3\n5\n");
    run.fails("predict m.safetensors x.csv", &["\"b.gru.bias_hh_l0\"", "second recurrent", "--recurrent a.gru"]);
    run.fails("predict m.safetensors x.csv --recurrent a.gru", &["\"b.out.weight\"", "second linear", "--head a.out"]);
    run.fails("predict m.safetensors x.csv --recurrent c", &["\"c\"", "\"a.gru\", \"b.gru\""]);
    run.fails("predict m.safetensors x.csv --recurrent a.gru --head c", &["\"c\"", "\"a.out\", \"b.out\""]);
    let a = run.ok("predict m.safetensors x.csv --recurrent a.gru --head a.out");
    assert!(a.stderr.contains("6 tensors are left out: \"b.gru.bias_hh_l0\""), "{}", a.stderr);
    assert_eq!(a.stderr.lines().count(), 1);
    let b = run.ok("predict m.safetensors x.csv --recurrent b.gru --head b.out");
    assert!(a.stdout != b.stdout && b.stdout.lines().skip(1).all(|y| y == "0"), "{}", b.stdout);
    for command in ["train --head fc", "train --recurrent rnn", "info --head fc", "bench --recurrent rnn"] {
        run.misused(command, &["--"]);
    }
}
