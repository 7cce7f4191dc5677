//! `rnnstep predict` reads and writes every kind of file, and takes and returns states.

use super::run::{Answer, Run, numbers, numbers_in_f32};
use rnnstep::data::npy;
use rnnstep::model::file;
use rnnstep::tensor::{Array, Stored};
use rnnstep::{CellKind, Cpu, Isa, Model, Order, State, Tensor};

/// `n` numbers that look like a signal.
fn wave(n: usize) -> Vec<f32> {
    (0..n).map(|i| 0.6 * (i as f32 * 0.37).sin()).collect()
}

fn forward(model: &Model, x: &Tensor, batch: usize) -> Tensor {
    model.forward(Cpu::widest(), x, Order::BatchFirst, &mut State::new(model.shape(), batch)).unwrap()
}

/// Lines of text without a header or a time, as rows.
fn csv(x: &[f32], width: usize) -> String {
    let row = |row: &[f32]| row.iter().map(f32::to_string).collect::<Vec<_>>().join(",") + "\n";
    x.chunks(width).map(row).collect()
}

#[test]
fn every_kind_of_file_gives_the_same_numbers() {
    for cell in CellKind::ALL {
        let run = Run::new();
        let model = run.model("m.safetensors", cell, [2, 5, 2, 3]);
        let x = Tensor::new([30, 2], wave(60)).unwrap();
        let y = forward(&model, &x, 1);
        run.file("x.csv", csv(x.data(), 2));
        npy::write(&run.path("x.npy"), &x).unwrap();
        file::write_tensors(run.path("x.safetensors"), &[("x", &x)]).unwrap();
        for input in ["x.csv", "x.npy", "x.safetensors"] {
            let answer = run.ok(&format!("predict m.safetensors {input}"));
            assert_eq!(answer.stdout.lines().next(), Some("y_1,y_2,y_3"));
            assert_eq!(numbers_in_f32(&answer.stdout, 0).concat(), y.data(), "{input}");
            assert_eq!(answer.stderr, "");
            let written = run.ok(&format!("predict m.safetensors {input} --out y.csv"));
            assert_eq!((written.stdout.as_str(), run.text("y.csv")), ("", answer.stdout));
            run.ok(&format!("predict m.safetensors {input} --out y.npy"));
            assert_eq!(npy::read(&run.path("y.npy")).unwrap(), Array::F32(y.clone()));
            run.ok(&format!("predict m.safetensors {input} --out y.safetensors"));
            assert!(run.tensors("y.safetensors").into_iter().eq([("y".to_string(), y.clone())]));
        }
        for isa in Isa::available() {
            let answer = run.ok(&format!("predict m.safetensors x.npy --isa {}", isa.name()));
            assert_eq!(numbers_in_f32(&answer.stdout, 0).concat(), y.data(), "{}", isa.name());
        }
    }
}

#[test]
fn several_sequences_in_either_order() {
    let run = Run::new();
    let model = run.model("m.safetensors", CellKind::Lstm, [2, 5, 1, 3]);
    let x = Tensor::new([4, 9, 2], wave(72)).unwrap();
    let y = forward(&model, &x, 4);
    assert_eq!(y.dims(), [4, 9, 3]);
    file::write_tensors(run.path("x.safetensors"), &[("x", &x)]).unwrap();
    run.ok("predict m.safetensors x.safetensors --out y.safetensors --final-state s.safetensors");
    assert_eq!(run.tensors("y.safetensors")["y"], y);
    run.ok("predict m.safetensors x.safetensors --out y.npy");
    assert_eq!(npy::read(&run.path("y.npy")).unwrap(), Array::F32(y.clone()));
    let major = x.swap_batch_and_time().unwrap();
    npy::write(&run.path("major.npy"), &major).unwrap();
    run.ok("predict m.safetensors major.npy --time-major --out major.safetensors --final-state t.safetensors");
    assert_eq!(run.tensors("major.safetensors")["y"], y.swap_batch_and_time().unwrap());
    assert!(run.bytes("s.safetensors") == run.bytes("t.safetensors"));
    assert_eq!(run.tensors("s.safetensors")["h"].dims(), [1, 4, 5]);
    // one of them alone
    let third = Tensor::new([9, 2], x.part(2..3).unwrap().data()).unwrap();
    npy::write(&run.path("third.npy"), &third).unwrap();
    run.ok("predict m.safetensors third.npy --out third.safetensors");
    assert_eq!(run.tensors("third.safetensors")["y"].data(), y.part(2..3).unwrap().data());
    // a table on stdout has two dimensions
    run.fails("predict m.safetensors x.safetensors", &["[4, 9, 2]", "--out", ".npy"]);
    run.fails("predict m.safetensors x.safetensors --out y2.csv --final-state s2.safetensors", &["[4, 9, 2]", ".npy"]);
}

#[test]
fn two_halves_make_the_whole() {
    for cell in CellKind::ALL {
        let run = Run::new();
        run.model("m.safetensors", cell, [1, 17, 2, 1]);
        let x = wave(50);
        run.file("x.csv", csv(&x, 1));
        run.file("a.csv", csv(&x[..21], 1));
        run.file("b.csv", csv(&x[21..], 1));
        let whole = run.ok("predict m.safetensors x.csv --final-state whole.safetensors").stdout;
        let first = run.ok("predict m.safetensors a.csv --final-state s.safetensors").stdout;
        let names: Vec<String> = run.tensors("s.safetensors").into_keys().collect();
        assert_eq!(names, if cell == CellKind::Lstm { vec!["c", "h"] } else { vec!["h"] });
        let cold = run.ok("predict m.safetensors b.csv").stdout;
        // in place: the state may go where it came from
        let second =
            run.ok("predict m.safetensors b.csv --init-state s.safetensors --final-state s.safetensors").stdout;
        assert_eq!(first.clone() + second.split_once('\n').unwrap().1, whole);
        assert_ne!(cold, second);
        assert!(run.bytes("s.safetensors") == run.bytes("whole.safetensors"));
        // a state that does not fit
        let tensor = |dims: [usize; 3]| Tensor::<f32>::zeros(dims);
        let (wide, fitting) = (tensor([2, 1, 18]), tensor([2, 1, 17]));
        let both: [(&str, &dyn Stored); 2] = [("h", &wide), ("c", &wide)];
        let given = if cell == CellKind::Lstm { &both[..] } else { &both[..1] };
        file::write_tensors(run.path("wide.safetensors"), given).unwrap();
        run.fails(
            "predict m.safetensors b.csv --init-state wide.safetensors",
            &["wide.safetensors", "[2, 1, 17]", "[2, 1, 18]"],
        );
        file::write_tensors(run.path("none.safetensors"), &[("c", &tensor([2, 1, 17]))]).unwrap();
        run.fails(
            "predict m.safetensors b.csv --init-state none.safetensors",
            &["none.safetensors", "\"h\"", "missing"],
        );
        // the state of an LSTM in another cell
        if cell != CellKind::Lstm {
            file::write_tensors(run.path("lstm.safetensors"), &[("h", &fitting), ("c", &fitting)]).unwrap();
            run.fails(
                "predict m.safetensors b.csv --init-state lstm.safetensors --out y.csv",
                &["lstm.safetensors", "\"c\"", "has no c", cell.name()],
            );
            assert!(!run.path("y.csv").exists());
        }
    }
}

#[test]
fn scalers_names_and_times() {
    let run = Run::new();
    run.example("seattle-weather.csv");
    run.ok("train seattle-weather.csv --cell lstm --hidden 6 --epochs 1 --target-as value --no-plot --column wind,temp_max --target temp_max");
    let answer = run.ok("predict model.safetensors seattle-weather.csv");
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!((lines[0], lines.len()), ("date,temp_max_next", 1462));
    assert!(lines[1].starts_with("2012-01-01,") && lines[1461].starts_with("2015-12-31,"));
    let y = numbers(&answer.stdout, 1).concat();
    assert!(y.iter().sum::<f64>() / 1461.0 > 10.0, "degrees, not the network's units");
    // by hand: scale, run the raw network, scale back
    let loaded = file::load(run.path("model.safetensors"), &file::ReadOptions::default(), Cpu::widest()).unwrap();
    let rows = numbers(&run.text("seattle-weather.csv"), 1);
    let mut x: Vec<f64> = rows.iter().flat_map(|row| [row[3], row[0]]).collect();
    let (x_scaler, y_scaler) = loaded.model.scalers().unwrap();
    x_scaler.apply(&mut x);
    let x = Tensor::<f64>::new([1461, 2], x).unwrap().narrow();
    let raw = forward(&loaded.model.clone().raw(), &x, 1).into_data();
    let mut by_hand: Vec<f64> = raw.iter().map(|&y| y.into()).collect();
    y_scaler.undo(&mut by_hand);
    assert!(y == by_hand);
    npy::write(&run.path("scaled.npy"), &x).unwrap();
    let answer = run.ok("predict model.safetensors scaled.npy --raw");
    assert!(numbers_in_f32(&answer.stdout, 0).concat() == raw);
    // columns are found by name wherever they stand, and not taken for others
    let moved: String = run
        .text("seattle-weather.csv")
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            format!("{},{},{}\n", cells[1], cells[0], cells[4])
        })
        .collect();
    run.file("moved.csv", moved);
    let answer = run.ok("predict model.safetensors moved.csv --time date");
    assert!(answer.stdout.starts_with("date,temp_max_next\n2012-01-01,"));
    assert!(numbers(&answer.stdout, 1).concat() == y);
    run.fails(
        "predict model.safetensors seattle-weather.csv --out y.xlsx --final-state s.safetensors",
        &["y.xlsx", ".csv", ".npy"],
    );
}

#[test]
fn a_file_of_pytorch() {
    // what `save_file(model.state_dict(), path)` writes: no metadata, half precision, another prefix
    let run = Run::new();
    let model = run.model("m.safetensors", CellKind::Rnn, [1, 4, 1, 1]);
    let x = wave(12);
    run.file("x.csv", csv(&x, 1));
    let renamed: Vec<(String, Tensor)> = model
        .weights()
        .into_iter()
        .map(|(name, tensor)| (name.replace("rnn.", "net.").replace("fc.", "out."), tensor))
        .collect();
    let renamed: Vec<_> = renamed.iter().map(|(name, tensor)| (name.as_str(), tensor as &dyn Stored)).collect();
    file::write_tensors(run.path("torch.safetensors"), &renamed).unwrap();
    let answer = run.ok("predict torch.safetensors x.csv");
    assert_eq!(answer.stdout, run.ok("predict m.safetensors x.csv").stdout);
    // relu needs to be said, where the file does not say
    let relu = run.ok("predict torch.safetensors x.csv --nonlinearity relu").stdout;
    assert_ne!(relu, answer.stdout);
    let shape = model.shape().with_nonlinearity(rnnstep::Nonlinearity::Relu).unwrap();
    let weights: Vec<Tensor> = model.weights().into_iter().map(|(_, tensor)| tensor).collect();
    let model = Model::from_weights(shape, &weights).unwrap();
    assert_eq!(numbers_in_f32(&relu, 0).concat(), forward(&model, &Tensor::new([12, 1], x).unwrap(), 1).data());
    run.fails("predict m.safetensors x.csv --nonlinearity relu", &["m.safetensors", "tanh", "relu"]);
}

#[test]
fn weights_that_are_not_finite_are_warned_of_and_used() {
    let run = Run::new();
    run.model("m.safetensors", CellKind::Gru, [1, 3, 1, 2]);
    run.file("x.csv", "0.5\n0.25\n");
    let mut tensors = run.tensors("m.safetensors");
    tensors.get_mut("fc.bias").unwrap().data_mut()[1] = f32::NAN;
    let list: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor as &dyn Stored)).collect();
    file::write_tensors(run.path("nan.safetensors"), &list).unwrap();
    let answer = run.ok("predict nan.safetensors x.csv");
    assert_eq!(answer.stderr.lines().count(), 1);
    for word in ["warning: ", "nan.safetensors", "fc.bias", "not finite"] {
        assert!(answer.stderr.contains(word), "{}", answer.stderr);
    }
    let y = numbers(&answer.stdout, 0);
    assert!(y.iter().all(|row| row[0].is_finite() && row[1].is_nan()), "{}", answer.stdout);
    // in the recurrence everything becomes NaN, as in PyTorch
    tensors.get_mut("rnn.weight_hh_l0").unwrap().data_mut()[4] = f32::INFINITY;
    tensors.get_mut("rnn.bias_ih_l0").unwrap().data_mut()[7] = f32::NAN;
    let list: Vec<_> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor as &dyn Stored)).collect();
    file::write_tensors(run.path("nan.safetensors"), &list).unwrap();
    let answer = run.ok("predict nan.safetensors x.csv");
    assert_eq!(answer.stderr.matches("warning: ").count(), 3, "{}", answer.stderr);
    assert!(numbers(&answer.stdout, 0).concat().iter().all(|y| y.is_nan()), "{}", answer.stdout);
}

/// Columns are those that the model was trained on, by their names: other names are refused, wherever they stand.
#[test]
fn names_are_held() {
    let run = Run::new();
    let table = |names: &str, row: &dyn Fn(f32, f32) -> String| {
        (0..40).fold(format!("{names}\n"), |text, t| text + &row((0.3 * t as f32).sin(), 0.1 * t as f32) + "\n")
    };
    run.file("ab.csv", table("a,b", &|a, b| format!("{a},{b}")));
    run.ok("train ab.csv --cell gru --hidden 4 --epochs 1 --seq-len 5 --no-plot");
    let commands =
        ["predict model.safetensors X", "forecast model.safetensors X --steps 3", "gates model.safetensors X"];
    for command in commands {
        let of = |file: &str| command.replace('X', file);
        let Answer { stdout: plain, stderr, .. } = run.ok(&of("ab.csv"));
        assert_eq!(stderr, "columns: reads \"a\", \"b\", predicts \"a\", \"b\"\n", "{command}");
        // in another order, beside others
        run.file("ba.csv", table("c,b,a", &|a, b| format!("7,{b},{a}")));
        assert_eq!(run.ok(&of("ba.csv")).stdout, plain, "{command}");
        // without names there is nothing but the position
        run.file("none.csv", table("", &|a, b| format!("{a},{b}")).trim_start());
        let none = run.ok(&of("none.csv"));
        assert_eq!((none.stdout, none.stderr.as_str()), (plain.clone(), ""), "{command}");
        for (names, lacks) in [("b,c", "\"a\""), ("A,B", "\"a\", \"b\""), ("x,y", "\"a\", \"b\""), ("a,c", "\"b\"")] {
            run.file("other.csv", table(names, &|a, b| format!("{a},{b}")));
            let said =
                run.fails(&of("other.csv"), &["other.csv", "trained on the columns \"a\", \"b\"", "--by-position"]);
            assert!(said.contains(&format!("lacks {lacks};")), "{command} {names}: {said}");
            let by_position = run.ok(&format!("{} --by-position", of("other.csv")));
            assert_eq!(by_position.stdout, plain, "{command} {names}");
            let reads = names.split(',').map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
            assert!(by_position.stderr.contains(&format!("reads {reads}, predicts")), "{}", by_position.stderr);
        }
        run.file("three.csv", table("x,y,z", &|a, b| format!("{a},{b},1")));
        run.fails(&format!("{} --by-position", of("three.csv")), &["three.csv", "takes 2 columns"]);
    }
}

/// The mark before the decimals is that of the training where a table does not tell.
#[test]
fn decimal_commas_of_the_training() {
    let run = Run::new();
    let row = |t: u32| format!("{},{:03};{}\n", t % 9, t * 77 % 1000, t % 5);
    let rows = |range: std::ops::Range<u32>| range.fold("# a comment\nv;w\n".to_string(), |text, t| text + &row(t));
    let plain = |text: &str| text.replace(',', ".");
    // some rows of the training begin with 0, so that it has decimal commas without doubt
    run.file("comma.csv", rows(0..60));
    run.file("point.csv", plain(&rows(0..60)));
    run.ok("train point.csv --comment # --hidden 3 --epochs 1 --seq-len 4 --no-plot --out point.safetensors");
    run.ok("train comma.csv --comment # --hidden 3 --epochs 1 --seq-len 4 --no-plot --out comma.safetensors");
    // the rows of these could also be thousands
    run.file("few.csv", rows(1..8));
    run.file("few_points.csv", plain(&rows(1..8)));
    let expected = run.ok("predict point.safetensors few_points.csv --comment #").stdout;
    assert_eq!(run.ok("predict comma.safetensors few.csv --comment #").stdout, expected);
    assert_eq!(run.ok("predict comma.safetensors few_points.csv --comment #").stdout, expected);
    assert_eq!(run.ok("predict point.safetensors few.csv --comment # --decimal ,").stdout, expected);
    assert_eq!(run.ok("evaluate comma.csv comma.safetensors --comment #").stdout.lines().count(), {
        run.ok("evaluate point.csv point.safetensors --comment # --decimal .").stdout.lines().count()
    });
    // the comment is in the recipe
    run.ok("train --resume comma.safetensors --epochs 2 --no-plot");
}

#[test]
fn quantiles_never_cross() {
    let run = Run::new();
    let rows = (0..300).fold("v\n".to_string(), |text, t| {
        let noise = ((t * 7919 % 101) as f32 / 50.0 - 1.0) * (1.0 + (t % 7) as f32);
        text + &format!("{}\n", (0.4 * t as f32).sin() * 3.0 + noise)
    });
    run.file("s.csv", rows);
    for transform in ["value", "change", "seasonal-change --season 7"] {
        run.ok(&format!(
            "train s.csv --cell gru --hidden 6 --epochs 2 --no-plot --lr 0.05 --loss quantiles:0.1,0.25,0.5,0.75,0.9 \
             --target-as {transform}"
        ));
        let ordered = |text: &str, skip: usize| {
            let rows = numbers(text, skip);
            assert!(
                rows.len() >= 299 && rows.iter().all(|row| row.len() == 5 && row.is_sorted()),
                "{transform}: {text}"
            );
        };
        ordered(&run.ok("predict model.safetensors s.csv").stdout, 0);
        let streamed = run.feed_ok("stream model.safetensors", run.text("s.csv")).stdout;
        ordered(&format!("\n{streamed}"), 0);
        // the network's own outputs do cross: there is something to put in order
        let raw = numbers_in_f32(&run.ok("predict model.safetensors s.csv --raw").stdout, 0);
        assert!(transform != "change" || raw.iter().any(|row| !row.is_sorted()), "no two quantiles cross");
    }
}

/// What is missing in an array is filled in, left out or named, as in a table.
#[test]
fn holes_in_arrays() {
    let run = Run::new();
    run.model("m.safetensors", CellKind::Gru, [2, 5, 1, 1]);
    let array = |name: &str, values: &[f64]| {
        npy::write(&run.path(name), &Tensor::new([values.len() / 2, 2], values).unwrap()).unwrap();
    };
    let nan = f64::NAN;
    array("holes.npy", &[1.0, 2.0, nan, 3.0, 4.0, 5.0]);
    array("filled.npy", &[1.0, 2.0, 1.0, 3.0, 4.0, 5.0]);
    array("dropped.npy", &[1.0, 2.0, 4.0, 5.0]);
    for (missing, same) in [("forward-fill", "filled.npy"), ("drop", "dropped.npy")] {
        let found = run.ok(&format!("predict m.safetensors holes.npy --missing {missing}"));
        assert_eq!(found.stdout, run.ok(&format!("predict m.safetensors {same}")).stdout, "{missing}");
    }
    // a training names the row, in the part that is trained on and in the part that is held out
    let wave = |hole: usize| (0..80).map(|i| if i == hole { nan } else { (0.3 * i as f64).sin() }).collect::<Vec<_>>();
    for (hole, place) in [(20, "row 11, column 1"), (75, "row 38, column 2")] {
        array("wave.npy", &wave(hole));
        let train = "train wave.npy --epochs 1 --seq-len 5 --hidden 3 --no-plot";
        run.fails(train, &["wave.npy", place, "missing (NaN)", "--missing"]);
        assert!(!run.path("model.safetensors").exists());
        run.ok(&format!("{train} --missing drop"));
        run.ok(&format!("{train} --missing forward-fill"));
        std::fs::remove_file(run.path("model.safetensors")).unwrap();
    }
    // windows
    let mut windows = Tensor::new([4, 1, 5, 1], (0..20).map(|i| i as f32 * 0.1).collect::<Vec<_>>()).unwrap();
    let target = windows.clone();
    windows.data_mut()[12] = f32::NAN;
    file::write_tensors(run.path("w.safetensors"), &[("x", &windows), ("target", &target)]).unwrap();
    run.fails("train w.safetensors --epochs 1 --no-plot", &["w.safetensors", "\"x\"", "window 3, sequence 1, step 3"]);
    file::write_tensors(run.path("w.safetensors"), &[("x", &target), ("target", &windows)]).unwrap();
    run.fails("train w.safetensors --epochs 1 --no-plot", &["w.safetensors", "\"target\"", "window 3"]);
    // a missing target can be left out of the loss, but a missing input of a window has no mask
    let masked = run.ok("train w.safetensors --epochs 2 --no-plot --missing mask --val-fraction 0.25").stdout;
    assert!(masked.contains("loss") && !masked.contains("NaN"), "{masked}");
    file::write_tensors(run.path("w.safetensors"), &[("x", &windows), ("target", &target)]).unwrap();
    run.fails("train w.safetensors --epochs 1 --no-plot --missing mask", &["\"x\"", "window 3, sequence 1, step 3"]);
}

/// The column that the model was trained with as its time is the time of a later table as well, whatever its values would
/// be taken for: six rows out of order are sorted.
#[test]
fn the_time_column_of_the_training_is_that_of_later_tables() {
    let run = Run::new();
    run.file(
        "train.csv",
        (1..200).map(|t| format!("{t},{}\n", 100 + t)).fold("order,v\n".to_string(), |all, row| all + &row),
    );
    run.ok("train train.csv --epochs 1 --no-plot");
    run.file("later.csv", "order,v\n205,306\n204,305\n210,311\n200,301\n");
    let answer = run.ok("predict model.safetensors later.csv");
    assert!(answer.stderr.contains("rows are sorted by \"order\""), "{}", answer.stderr);
    let times: Vec<&str> = answer.stdout.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(times, ["order", "200", "204", "205", "210"]);
    // another column can be asked for, and a table without it is read as before
    run.file("other.csv", "day,v\n2024-01-02,2\n2024-01-01,1\n");
    assert!(run.ok("predict model.safetensors other.csv").stderr.contains("rows are sorted by \"day\""));
    run.file("both.csv", "order,day,v\n1,2024-01-02,2\n2,2024-01-01,1\n");
    assert!(run.ok("predict model.safetensors both.csv --time day").stderr.contains("rows are sorted by \"day\""));
}
