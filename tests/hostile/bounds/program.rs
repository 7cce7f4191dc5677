//! The program: memory that runs out is one line and exit 1, and no file of options or table of models keeps it busy.

use super::{network, scaler};
use crate::run::Run;
use rnnstep::model::file;
use rnnstep::{CellKind, Cpu, Tensor};
use serde_json::json;

/// Address space of the program, in KiB: enough for it to start, with all its threads.
const MEMORY: u64 = 400_000;

/// A model file of zeros that takes no room on the disk: H units and nothing else to speak of.
fn large(run: &Run, name: &str, hidden: usize) {
    let short = network(1, 1, 1, None);
    let header_end = 8 + u64::from_le_bytes(short[..8].try_into().unwrap()) as usize;
    assert!(header_end < short.len());
    let mut end = 0;
    let mut entries = serde_json::Map::new();
    for (tensor, dims) in [
        ("rnn.weight_ih_l0", vec![hidden, 1]),
        ("rnn.weight_hh_l0", vec![hidden, hidden]),
        ("fc.weight", vec![1, hidden]),
        ("fc.bias", vec![1]),
    ] {
        let start = end;
        end += 4 * dims.iter().product::<usize>();
        entries.insert(tensor.into(), super::entry(&dims, start, end));
    }
    let header = serde_json::Value::Object(entries).to_string();
    let file = std::fs::File::create(run.path(name)).unwrap();
    std::io::Write::write_all(&mut &file, &[&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()).unwrap();
    file.set_len((8 + header.len() + end) as u64).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn memory_that_runs_out_is_one_line() {
    let run = Run::new().with_memory(MEMORY).with_time(60);
    run.model("m.safetensors", CellKind::Lstm, [1, 512, 1, 1]);
    run.model("wide.safetensors", CellKind::Rnn, [1, 1, 1, 4096]);
    large(&run, "large.safetensors", 8000);
    large(&run, "larger.safetensors", 16_384);
    let rows: String = (0..40_000_u64).map(|i| format!("{}\n", i * i * i % 100_003)).collect();
    run.file("t.csv", format!("x\n{rows}"));
    run.file("long.csv", "time,x\n".to_string() + &"a,1\n".repeat(8_000_000));
    run.file("s.csv", format!("x\n{}", &rows[..400]));
    run.ok("predict m.safetensors t.csv --out y.csv");
    let claims = |name: &str, dtype: &str, count: usize| {
        let header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({count}, 1), }}\n");
        let head = [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat();
        let file = std::fs::File::create(run.path(name)).unwrap();
        std::io::Write::write_all(&mut &file, &head).unwrap();
        file.set_len((head.len() + count) as u64).unwrap();
    };
    claims("long.npy", "|u1", 200_000_000);
    // what a file asks for is named
    for model in ["large.safetensors", "larger.safetensors"] {
        for command in [
            "predict {} t.csv",
            "stream {}",
            "info {}",
            "forecast {} t.csv --steps 3",
            "evaluate t.csv {}",
            "gates {} t.csv",
            "bench {}",
        ] {
            let command = command.replace("{}", model);
            let line = run.fails(&command, &[model]);
            assert!(line.contains("out of memory") || line.contains("does not fit"), "{line}");
        }
    }
    for (file, commands) in [("long.npy", &["train long.npy", "predict m.safetensors long.npy"][..])] {
        for command in commands {
            run.fails(command, &[file, "out of memory"]);
        }
    }
    // wherever else it runs out
    for command in [
        "train --hidden 16384 --steps 1 --no-plot",
        "train t.csv --hidden 16384 --epochs 1 --no-plot",
        "train t.csv --hidden 512 --seq-len 30000 --cell lstm --epochs 1 --no-plot",
        "train t.csv --hidden 64 --seq-len 100 --batch 10000 --state reset --cell gru --epochs 1 --no-plot",
        "train t.csv --hidden 512 --layers 64 --epochs 1 --no-plot",
        "train long.csv --no-plot",
        "evaluate long.csv m.safetensors",
        "predict wide.safetensors t.csv",
        "forecast m.safetensors s.csv --steps 3 --bands 80 --paths 100000",
        "stream m.safetensors --learn --window 20000",
    ] {
        let line = run.fails(command, &[]);
        assert!(line.contains("out of memory"), "{command}: {line}");
    }
    // which leaves its journal, to go on from
    let search = "search t.csv --hidden 16384 --epochs 1 --tries 1";
    let line = run.run(search).error(search);
    assert!(line.contains("out of memory"), "{line}");
}

/// The arithmetic of the season is with the state: a stream, many rows, a table of states.
#[test]
fn a_season_does_not_ask_for_gigabytes() {
    let run = Run::new().with_memory(MEMORY).with_time(20);
    for (columns, word) in [(256_usize, "of 256 predicted columns"), (16_384, "of 16384 predicted columns")] {
        let inputs: Vec<usize> = (0..columns).collect();
        let target = json!({ "as": "seasonal-change", "season": 1 << 20, "inputs": inputs });
        let all =
            json!({ "version": 2, "x_scaler": scaler(columns), "target_scaler": scaler(columns), "target": target });
        run.file("s.safetensors", network(columns, 1, columns, Some(&all.to_string())));
        for command in ["stream s.safetensors", "info s.safetensors"] {
            run.fails(command, &["s.safetensors", "season 1048576", word]);
        }
    }
}

/// A model of the built-in sine, whose history is made on demand.
#[test]
fn a_sine_is_no_longer_than_sines_are() {
    let run = Run::new().with_memory(MEMORY).with_time(20);
    run.ok("train --steps 1 --no-plot --out m.safetensors");
    let loaded = file::load(run.path("m.safetensors"), &file::ReadOptions::default(), Cpu::widest()).unwrap();
    for seq_len in [0, 1_000_001, 1 << 40, usize::MAX] {
        let metadata = file::Metadata { seq_len: Some(seq_len), ..loaded.metadata.clone() };
        file::save(run.path("s.safetensors"), &loaded.model, &metadata, &[]).unwrap();
        run.fails("forecast s.safetensors --steps 3", &["s.safetensors", &seq_len.to_string()]);
    }
}

/// Of what may be long, `info` prints the beginning.
#[test]
fn what_is_shown_of_a_recipe_is_short() {
    let run = Run::new().with_memory(MEMORY).with_time(20);
    let recipe: serde_json::Map<_, _> = (0..100_000).map(|i| (format!("n{i}"), json!(i))).collect();
    let all = json!({ "version": 1, "recipe": recipe });
    run.file("s.safetensors", network(1, 1, 1, Some(&all.to_string())));
    let shown = run.run("info s.safetensors");
    assert!(shown.stdout.len() + shown.stderr.len() < 8000, "{}", shown.stdout.len());
    assert!(shown.stdout.contains("and 99900 more"), "{}", shown.stdout);
    // a file of it that is looked for
    run.file("t.csv", (0..60).map(|i| format!("{}\n", i % 7)).collect::<String>());
    run.ok("train t.csv --epochs 1 --hidden 3 --no-plot --out m.safetensors");
    let loaded =
        file::load(run.path("m.checkpoint.safetensors"), &file::ReadOptions::default(), Cpu::widest()).unwrap();
    let mut metadata = loaded.metadata;
    metadata.recipe.as_mut().unwrap()["data"] = json!(["9".repeat(70_000)]);
    let extra: Vec<_> = loaded.extra.into_iter().collect();
    file::save(run.path("m.checkpoint.safetensors"), &loaded.model, &metadata, &extra).unwrap();
    let line = run.run("train --resume m.safetensors --epochs 2 --no-plot").error("train --resume");
    assert!(line.contains("999") && line.len() < 700, "{line}");
}

#[test]
fn wide_tables_and_many_names_take_a_moment() {
    let run = Run::new().with_memory(1_500_000).with_time(20);
    let names = |count: usize| (0..count).map(|i| format!("c{i}")).collect::<Vec<_>>();
    let table = |count: usize| names(count).join(",") + "\n" + &(vec!["1"; count].join(",") + "\n").repeat(2);
    run.file("wide.csv", table(80_000));
    run.fails("train wide.csv --seq-len 1 --no-plot", &["input size 80000"]);
    run.model("m.safetensors", CellKind::Rnn, [1, 4, 1, 1]);
    run.fails("predict m.safetensors wide.csv", &["takes 1 column,", "more"]);
    let all = json!({ "version": 1, "columns": { "inputs": names(600_000), "targets": ["c0"] } });
    run.file("names.safetensors", network(1, 4, 1, Some(&all.to_string())));
    run.fails(
        "predict names.safetensors wide.csv",
        &["names.safetensors", "600000 names of inputs, but the network has 1"],
    );
    let all = json!({ "version": 1, "columns": { "inputs": names(16_000), "targets": names(16_000) } });
    run.file("names.safetensors", network(16_000, 1, 16_000, Some(&all.to_string())));
    run.fails("predict names.safetensors m.safetensors", &["m.safetensors"]);
    run.file("other.csv", table(16_001).replace("c0,", "d0,"));
    run.fails("predict names.safetensors other.csv", &["lacks \"c0\"", "more"]);
}

#[test]
fn names_that_are_one_when_made_safe_take_a_moment() {
    let run = Run::new().with_time(20);
    // forty thousand names of signs, which all become underscores
    let sign = |i: usize, place: u32| b"!?*%&$#"[i / 7_usize.pow(place) % 7] as char;
    let name = |i: usize| (0..6).map(|place| sign(i, place)).collect::<String>();
    run.file("t.csv", "id,x\n".to_string() + &(0..40_000).map(|i| format!("{},1\n", name(i))).collect::<String>());
    let answer = run.run("train t.csv --series id --per-series --epochs 1 --threads 1 --out models");
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(run.text("models/scores.csv").lines().count() > 40_000);
}

#[test]
fn a_table_of_models_names_its_own_files() {
    let run = Run::new().with_memory(MEMORY).with_time(20);
    run.model("other.safetensors", CellKind::Rnn, [1, 4, 1, 1]);
    std::fs::create_dir(run.path("models")).unwrap();
    run.file("t.csv", "id,x\na,1\na,2\nb,1\nb,2\n");
    let command = "predict models t.csv --series id";
    for (rows, words) in [
        (
            "a,../other.safetensors\n".to_string(),
            vec!["line 2: the model file \"../other.safetensors\" must be a plain file name, without a folder"],
        ),
        ("a,/etc/passwd\n".to_string(), vec!["must be a plain file name, without a folder"]),
        ("a,..\n".to_string(), vec!["must be a plain file name, without a folder"]),
        ("a,m.safetensors\nb,m.safetensors\n".to_string(), vec!["for two series, \"a\" and \"b\""]),
        (format!("\"{}", "x".repeat(30_000_000)), vec![]),
        (format!("a,{}\n", "y/".repeat(500_000)), vec!["line 2: the model file \"y/y/", "must be a plain file name"]),
        (format!("a,{}\n", "y/".repeat(1_000_000)), vec!["line 2: a row of more than 1048576 bytes"]),
        (format!("a,{}\n", "9".repeat(70_000)), vec!["must be a plain file name, without a folder"]),
    ] {
        std::fs::write(run.path("models/scores.csv"), format!("series,file\n{rows}")).unwrap();
        let words = [&["models"], &words[..]].concat();
        let answer = run.run(command);
        let line = answer.stderr.lines().last().unwrap_or_default();
        assert_eq!(answer.code, Some(1), "{}", answer.stderr);
        assert!(words.iter().all(|word| answer.stderr.contains(word)) && line.len() < 1000, "{:.900}", answer.stderr);
    }
    // short rows, one wide row: five times the file at the most
    for rows in [(0..3_000_000).map(|i| format!("{i},{i}\n")).collect::<String>(), ",".repeat(40_000_000)] {
        std::fs::write(run.path("models/scores.csv"), format!("series,file\n{rows}")).unwrap();
        let stderr = run.run(command).stderr;
        assert!(!stderr.contains("out of memory") && stderr.contains("models"), "{stderr:.300}");
    }
    // as many as there may be
    let rows: String = (0..300_000).map(|i| format!("s{i},{i}.safetensors\n")).collect();
    std::fs::write(run.path("models/scores.csv"), format!("series,file\n{rows}")).unwrap();
    assert_eq!(run.run(command).code, Some(1));
}

#[test]
fn options_in_a_file_take_a_moment() {
    let run = Run::new().with_memory(MEMORY).with_time(20);
    run.file("t.csv", "x\n1\n2\n");
    let long = "k".repeat(1_000_000);
    for (what, toml) in [
        ("key", format!("{long} = 1\n")),
        ("text", format!("cell = \"{long}\"\n")),
        ("number", format!("hidden = \"{long}\"\n")),
        ("loss", format!("loss = \"{long}\"\n")),
        ("comma", format!("column = [\"{long},\"]\n")),
        ("list", format!("hidden = [{}]\n", "1,".repeat(400_000))),
        ("lists", format!("hidden = [{}]\n", "[],".repeat(300_000))),
        ("tables", format!("hidden = [{}]\n", "{},".repeat(300_000))),
        ("deep", format!("hidden = {}", "[".repeat(900_000))),
        ("dotted", format!("a{} = 1", ".a".repeat(400_000))),
        ("keys", (0..80_000).map(|i| format!("k{i} = 1\n")).collect()),
        ("columns", format!("data = \"t.csv\"\ncolumn = [{}]\n", "\"y\",".repeat(200_000))),
        ("files", format!("data = [{}]\n", "\"a\",".repeat(200_000))),
        ("too long", "#".repeat(2_000_000)),
    ] {
        run.file("o.toml", toml);
        let answer = run.run("train --config o.toml --no-plot");
        assert!(matches!(answer.code, Some(1 | 2)), "{what}: {:?} {:.500}", answer.code, answer.stderr);
        assert!(answer.stderr.len() < 1200, "{what}: {} {:.900}", answer.stderr.len(), answer.stderr);
    }
}

/// The journal, and the log of a training that is gone on with.
#[test]
fn what_is_gone_on_with_takes_a_moment() {
    let run = Run::new().with_memory(MEMORY).with_time(20);
    run.ok("train --steps 6 --no-plot --log l.csv");
    let log = run.text("l.csv");
    for noise in ["9\n".repeat(20_000_000), "x".repeat(50_000_000), "0,0,0,\n".repeat(5_000_000)] {
        run.file("l.csv", log.clone() + &noise);
        run.ok("train --resume model.safetensors --steps 6 --no-plot --log l.csv");
        assert_eq!(run.text("l.csv"), log);
    }
    run.file("j.json", "{".repeat(50_000_000));
    run.file("t.csv", "x\n".to_string() + &(0..100).map(|i| format!("{}\n", i * i * i % 101)).collect::<String>());
    run.fails("search t.csv --journal j.json --epochs 1 --tries 1", &["j.json", "no journal"]);
    run.ok("train --steps 3 --no-plot --print-every 18446744073709551615 --save-every 18446744073709551615");
}

/// A state of many sequences, from a file of states.
#[test]
fn states_are_what_the_model_asks_for() {
    let run = Run::new().with_memory(MEMORY).with_time(20);
    run.model("m.safetensors", CellKind::Gru, [1, 4, 1, 1]);
    run.file("t.csv", "x\n1\n2\n");
    for dims in [[1, 1, 5], [2, 1, 4], [1, 1_000_000, 4]] {
        rnnstep::model::file::write_tensors(run.path("s.safetensors"), &[("h", &Tensor::<f32>::zeros(dims))]).unwrap();
        run.fails(
            "predict m.safetensors t.csv --init-state s.safetensors",
            &["s.safetensors", "expected the shape [1, 1, 4]"],
        );
    }
}
