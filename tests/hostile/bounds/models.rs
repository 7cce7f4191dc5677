//! Reading a model file is bounded in memory and time, whatever its header asks for.

use super::{assert_short, container, entry, is_bounded, is_linear, network, scaler, with_header};
use rnnstep::model::file;
use rnnstep::model::file::{End, Unseen};
use rnnstep::train::checkpoint::Checkpoint;
use rnnstep::{Cpu, Stream, Tensor};
use serde_json::{Value, json};
use std::path::Path;

const MIB: usize = 1 << 20;

/// Metadata with `more` in it, which is JSON without its braces.
fn metadata(more: &str) -> String {
    format!(r#"{{"version":1,{more}}}"#)
}

/// `count` times `of`, with commas.
fn many(of: &str, count: usize) -> String {
    vec![of; count].join(",")
}

/// Headers of about `size` bytes, each made of as many small things as fit: what costs most memory for a byte.
fn headers(size: usize) -> Vec<(&'static str, Vec<u8>)> {
    let of = |more: String| network(1, 1, 1, Some(&metadata(&more)));
    let texts: Vec<String> = (0..size / 14).map(|i| format!(r#""{i:x}":"""#)).collect();
    let tensors: Vec<String> = (0..size / 62).map(|i| format!(r#""{i:x}":{}"#, entry(&[0], 0, 0))).collect();
    let layers: Vec<String> = (0..size / 69).map(|i| format!(r#""{i:x}.weight":{}"#, entry(&[0], 0, 0))).collect();
    let nested = format!("{}{}", r#"{"a":"#.repeat(100), "0".to_string() + &"}".repeat(100));
    vec![
        ("tensors", with_header(&format!("{{{}}}", tensors.join(",")), 0)),
        (
            "dimensions",
            with_header(
                &format!(r#"{{"a":{{"dtype":"F32","shape":[{}],"data_offsets":[0,4]}}}}"#, many("1", size / 2)),
                4,
            ),
        ),
        ("texts", with_header(&format!(r#"{{"__metadata__":{{{}}}}}"#, texts.join(",")), 0)),
        ("layers", with_header(&format!("{{{}}}", layers.join(",")), 0)),
        (
            "words",
            with_header(
                &format!(
                    r#"{{"weight_ih_l0":{0},"weight_hh_l0":{1},"{3}.weight":{2}}}"#,
                    entry(&[1, 1], 0, 4),
                    entry(&[1, 1], 4, 8),
                    entry(&[1, 1], 8, 12),
                    "a_b.".repeat(size / 4)
                ),
                12,
            ),
        ),
        ("one name", with_header(&format!(r#"{{"{}":{}}}"#, "n".repeat(size), entry(&[1], 0, 4)), 4)),
        ("a recipe of zeros", of(format!(r#""recipe":[{}]"#, many("0", size / 2)))),
        ("a recipe of objects", of(format!(r#""recipe":[{}]"#, many(r#"{"a":0}"#, size / 10)))),
        ("a recipe of lists", of(format!(r#""recipe":[{}]"#, many("[0]", size / 4)))),
        ("a recipe of depth", of(format!(r#""recipe":[{}]"#, many(&nested, size / nested.len())))),
        ("a position of objects", of(format!(r#""position":[{}]"#, many(r#"{"a":0}"#, size / 10)))),
        ("a position of texts", of(format!(r#""position":[{}]"#, many(r#""""#, size / 6)))),
        (
            "a target of lists",
            of(format!(r#""target":{{"as":"change","inputs":[0],"more":[{}]}}"#, many("[0]", size / 4))),
        ),
        (
            "a target of inputs",
            of(format!(
                r#""x_scaler":{0},"target_scaler":{0},"target":{{"as":"change","inputs":[{1}]}}"#,
                scaler(1),
                many("0", size / 2)
            )),
        ),
        ("names", of(format!(r#""columns":{{"inputs":[{}]}}"#, many(r#""""#, size / 6)))),
        ("a scaler", of(format!(r#""x_scaler":{{"shift":[{0}],"scale":[{0}]}}"#, many("1", size / 4)))),
        (
            "a reference",
            of(format!(r#""reference":{{"x":[{0}],"y":[{0}],"seq_len":{1}}}"#, many("0", size / 4), size / 4)),
        ),
        ("errors", of(format!(r#""unseen":{{"ends":[],"errors":[{}]}}"#, many("0", size / 2)))),
        ("ends", of(format!(r#""unseen":{{"ends":[{}],"errors":[]}}"#, many("[0,0,0]", size / 8)))),
        ("unknown", of(format!(r#""more":[{}]"#, many(r#"{"a":0}"#, size / 10)))),
        ("deep", with_header(&"[".repeat(size), 0)),
    ]
}

#[test]
fn memory_of_a_header_is_a_multiple_of_its_length() {
    let folder = tempfile::tempdir().unwrap();
    for size in [MIB / 4, 4 * MIB] {
        for (what, bytes) in headers(size) {
            let path = folder.path().join("m.safetensors");
            std::fs::write(&path, &bytes).unwrap();
            let loaded = is_bounded(what, bytes.len(), 32 * MIB, 24, || {
                file::load(&path, &file::ReadOptions::default(), Cpu::widest()).map(|_| ())
            });
            if let Err(error) = loaded {
                assert_short(what, &error.to_string());
            }
            let read = is_bounded(what, bytes.len(), 32 * MIB, 24, || {
                file::read_bytes(&bytes, Path::new("m"), &file::ReadOptions::default()).map(|_| ())
            });
            if let Err(error) = read {
                assert_short(what, &error.to_string());
            }
            let checkpoint =
                is_bounded(what, bytes.len(), 32 * MIB, 24, || Checkpoint::load(&path, Cpu::widest()).map(|_| ()));
            assert_short(what, &checkpoint.unwrap_err().to_string());
        }
    }
}

#[test]
fn time_of_a_header_is_linear() {
    for (at, (what, _)) in headers(1000).into_iter().enumerate() {
        is_linear(what, MIB / 4, |size| {
            let (_, bytes) = headers(size).swap_remove(at);
            Box::new(move || drop(file::read_bytes(&bytes, Path::new("m"), &file::ReadOptions::default())))
        });
    }
}

#[test]
fn memory_of_tensors_is_a_multiple_of_their_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    for hidden in [200, 1000] {
        let bytes = network(1, hidden, 1, None);
        std::fs::write(&path, &bytes).unwrap();
        is_bounded("weights", bytes.len(), MIB, 5, || {
            file::load(&path, &file::ReadOptions::default(), Cpu::widest()).unwrap()
        });
    }
    // the sizes of a tensor are held against its bytes, those of a network against its tensors
    let cell: [(&str, &[usize]); 2] = [("weight_ih_l0", &[1, 1]), ("weight_hh_l0", &[1, 1])];
    let wide: [(&str, &[usize]); 2] = [("weight_ih_l0", &[1, 1]), ("weight_hh_l0", &[16_384, 1])];
    let layers = [cell[0], cell[1], ("weight_ih_l63", &[1, 1])];
    for (what, tensors) in [("cell", &cell[..]), ("wide", &wide[..]), ("layers", &layers[..])] {
        let bytes = container(tensors, None);
        let read = is_bounded(what, bytes.len(), MIB / 4, 5, || {
            file::read_bytes(&bytes, Path::new("m"), &file::ReadOptions::default())
        });
        assert_eq!(read.is_ok(), what == "cell");
    }
}

/// A model file whose state remembers a season.
fn seasonal(columns: usize, season: u64) -> Vec<u8> {
    let inputs: Vec<usize> = (0..columns).collect();
    let target = json!({ "as": "seasonal-change", "season": season, "inputs": inputs });
    let all = json!({ "version": 2, "x_scaler": scaler(columns), "target_scaler": scaler(columns), "target": target });
    network(columns, 1, columns, Some(&all.to_string()))
}

#[test]
fn a_season_is_bounded_by_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    for (columns, season, is_let_in) in [
        (1, 1 << 20, true),
        (4, 1 << 20, true),
        (321, 8760, true),
        (256, 1 << 20, false),
        (16_384, 1 << 20, false),
        (16_384, 1 << 8, true),
    ] {
        let bytes = seasonal(columns, season);
        std::fs::write(&path, &bytes).unwrap();
        let stepped = is_bounded(&format!("season of {columns}"), bytes.len(), 36 * MIB, 160, || {
            let mut stream = Stream::new(file::load(&path, &file::ReadOptions::default(), Cpu::widest())?.model)?;
            stream.step(&vec![1.0; columns]).map(|_| ())
        });
        assert_eq!(stepped.is_ok(), is_let_in, "{columns} {season}");
        if let Err(error) = stepped {
            assert!(error.to_string().contains("m.safetensors: season 1048576"), "{error}");
            assert_short("season", &error.to_string());
        }
    }
}

#[test]
fn a_reference_is_computed_for_a_few_steps() {
    let folder = tempfile::tempdir().unwrap();
    is_linear("reference", 4000, |steps| {
        let path = folder.path().join(format!("{steps}.safetensors"));
        let zeros = vec![0.0; steps];
        let all = json!({ "version": 1, "reference": { "x": zeros, "y": zeros, "seq_len": steps } });
        std::fs::write(&path, network(1, 500, 1, Some(&all.to_string()))).unwrap();
        let cpu = Cpu::widest();
        // all of the steps would be 8 · 10^9 operations of the longer one
        let load = move || drop(file::load(&path, &file::ReadOptions::default(), cpu).unwrap());
        Box::new(load)
    });
    // what is wrong in those steps is found, and what comes later is not even computed
    let path = folder.path().join("wrong.safetensors");
    let load = |right: usize| {
        let y: Vec<f32> = (0..100).map(|step| if step < right { 0.0 } else { 1.0 }).collect();
        let all = json!({ "version": 1, "reference": { "x": vec![0.0; 100], "y": y, "seq_len": 100 } });
        std::fs::write(&path, network(1, 5, 1, Some(&all.to_string()))).unwrap();
        file::load(&path, &file::ReadOptions::default(), Cpu::widest()).map_err(|error| error.to_string())
    };
    assert!(load(0).unwrap_err().contains("differs (value 0") && load(15).unwrap_err().contains("differs (value 15"));
    load(16).unwrap();
}

/// A million ends and a table of many columns: each row is looked at once, not once for each end.
#[test]
fn ends_are_looked_for_in_a_table_once() {
    let table = Tensor::new([10, 4000], vec![0.5; 40_000]).unwrap();
    is_linear("ends", 10_000, |count| {
        let ends = (0..count).map(|i| End { train_rows: 9, last: i as u64, table: 0 }).collect();
        let (unseen, table) = (Unseen { ends, errors: vec![], autoregressions: vec![] }, table.clone());
        Box::new(move || assert_eq!(unseen.first_of(&table), None))
    });
}

#[test]
fn checkpoints_do_not_count_beyond_measure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let load = |position: Value| {
        let all = json!({ "version": 1, "position": position });
        std::fs::write(&path, network(1, 1, 1, Some(&all.to_string()))).unwrap();
        Checkpoint::load(&path, Cpu::widest()).map(|checkpoint| checkpoint.steps_done()).map_err(|e| e.to_string())
    };
    assert_eq!(load(json!({ "step": 7, "best": [0.5, 7] })), Ok(7));
    assert_eq!(load(json!({ "step": 1_u64 << 53, "best": null })), Ok(1 << 53));
    for (step, best) in [(u64::MAX, 0), (1 << 63, 0), ((1 << 53) + 1, 0), (7, 8), (0, u64::MAX)] {
        let error = load(json!({ "step": step, "best": [0.5, best] })).unwrap_err();
        assert!(error.contains("metadata: position: "), "{error}");
    }
    assert_short("text", &load(json!({ "step": "x".repeat(100_000), "best": null })).unwrap_err());
}
