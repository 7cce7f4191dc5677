//! `rnnstep train` on files: tables, arrays, windows, what is held out, scaling.

use super::run::{Run, numbers};
use rnnstep::data::npy;
use rnnstep::model::file;
use rnnstep::units::scaler::Scaler;
use rnnstep::{CellKind, Cpu, Model, Order, State, Tensor};

/// The part of a log that says the loss on the held-out part: step and loss.
fn held_out_losses(log: &str) -> Vec<(u64, f64)> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        Some((cells[0].parse().ok()?, cells[3].parse().ok()?))
    };
    log.lines().skip(1).filter_map(row).collect()
}

fn scalers(run: &Run, name: &str) -> (Scaler, Scaler) {
    let metadata = file::read(run.path(name), &file::ReadOptions::default()).unwrap().metadata;
    (metadata.x_scaler.unwrap(), metadata.target_scaler.unwrap())
}

#[test]
fn every_cell_learns_the_sunspots() {
    for cell in CellKind::ALL {
        // two weights and two biases for each gate of a unit, and the head: 1153 of an RNN, 4513 of an LSTM, 3393 of a GRU
        let (weights, cell) = (cell.gates() * 32 * (1 + 32 + 2) + 33, cell.name());
        let run = Run::new();
        run.example("sunspots.csv");
        let answer = run.ok(&format!("train sunspots.csv --cell {cell} --target-as value --epochs 60"));
        let about = format!(
            "{} 1 -> 32 -> 1 on sunspots.csv: {weights} parameters, 720 steps of 1 x 20, ",
            cell.to_uppercase()
        );
        assert!(answer.stderr.starts_with(&about), "{}", answer.stderr);
        assert!(answer.stdout.contains("score on the last 62 rows, held out:"), "{}", answer.stdout);
        let score = answer.after("  sunspots: RMSE ");
        assert!(score.contains("% better than the last value"), "{cell}: {score}");
        assert!(answer.stdout.contains("target") && answer.stdout.contains("prediction"));
        assert_eq!(answer.after("next "), "rnnstep forecast model.safetensors sunspots.csv --steps 20");
        let loaded = file::load(run.path("model.safetensors"), &file::ReadOptions::default(), Cpu::widest()).unwrap();
        assert_eq!(loaded.metadata.columns.inputs, ["sunspots"]);
        assert_eq!(loaded.metadata.columns.time.as_deref(), Some("year"));
        assert_eq!(loaded.model.shape().cell().name(), cell);
        // the printed score, from the model file and the table alone
        let rows = numbers(&run.text("sunspots.csv"), 1).concat();
        let x = Tensor::new([rows.len() - 1, 1], &rows[..rows.len() - 1]).unwrap();
        let mut state = State::new(loaded.model.shape(), 1);
        let y = loaded.model.forward(Cpu::widest(), &x, Order::BatchFirst, &mut state).unwrap();
        let rmse = |said: &[f64]| {
            let errors = said.iter().zip(&rows[247..]).map(|(y, t)| (y - t).powi(2));
            (errors.sum::<f64>() / 62.0).sqrt()
        };
        let printed: Vec<f64> = score.split([' ', ')', ',']).filter_map(|word| word.parse().ok()).collect();
        assert!((printed[0] - rmse(&y.data()[246..])).abs() < 1e-3, "{score}, not {}", rmse(&y.data()[246..]));
        assert!((printed[1] - rmse(&rows[246..308])).abs() < 1e-3, "{score}, not {}", rmse(&rows[246..308]));
    }
}

#[test]
fn a_table_and_an_array_of_the_same_numbers_train_alike() {
    let run = Run::new();
    run.example("sunspots.csv");
    let rows = numbers(&run.text("sunspots.csv"), 1);
    npy::write(&run.path("s.npy"), &Tensor::new([rows.len(), 1], rows.concat()).unwrap()).unwrap();
    // the same table as others write it: semicolons, quotes, CRLF, a byte order mark, no header, names by number
    let other: String = run
        .text("sunspots.csv")
        .lines()
        .skip(1)
        .map(|line| {
            let (year, spots) = line.split_once(',').unwrap();
            format!("\"{year}\";x;\"{spots}\"\r\n")
        })
        .collect();
    run.file("other.csv", format!("\u{feff}{other}"));
    run.ok("train sunspots.csv --epochs 2 --no-plot");
    run.ok("train s.npy --epochs 2 --no-plot --out npy.safetensors");
    run.ok("train other.csv --column 3 --epochs 2 --no-plot --out other.safetensors");
    assert!(run.tensors("model.safetensors") == run.tensors("npy.safetensors"));
    assert!(run.tensors("model.safetensors") == run.tensors("other.safetensors"));
    run.ok(
        "train sunspots.csv --column sunspots --time year --header true --epochs 2 --no-plot --out again.safetensors",
    );
    assert!(run.tensors("model.safetensors") == run.tensors("again.safetensors"));
}

#[test]
fn several_columns_in_and_out() {
    let run = Run::new();
    run.example("seattle-weather.csv");
    let answer = run.ok(
        "train seattle-weather.csv --cell gru --hidden 8 --column temp_max,temp_min,wind --target temp_max,precipitation --epochs 2",
    );
    assert!(answer.stderr.starts_with("GRU 3 -> 8 -> 2 on"), "{}", answer.stderr);
    for target in ["temp_max", "precipitation"] {
        assert!(answer.after(&format!("  {target}: RMSE ")).contains("last value"));
    }
    let columns = file::read(run.path("model.safetensors"), &file::ReadOptions::default()).unwrap().metadata.columns;
    assert_eq!(columns.inputs, ["temp_max", "temp_min", "wind"]);
    assert_eq!(columns.targets, ["temp_max", "precipitation"]);
    let picture = run.text("model.svg");
    for word in ["temp_max", "precipitation", "target", "prediction"] {
        assert!(picture.contains(word), "no {word} in the plot");
    }
    // all columns, if none is named; numbers and names may be mixed
    let answer =
        run.ok("train seattle-weather.csv --hidden 4 --epochs 1 --no-plot --target 5,temp_min --out b.safetensors");
    assert!(answer.stderr.starts_with("RNN 4 -> 4 -> 2 on"), "{}", answer.stderr);
    let columns = file::read(run.path("b.safetensors"), &file::ReadOptions::default()).unwrap().metadata.columns;
    assert_eq!(columns.inputs, ["temp_max", "temp_min", "precipitation", "wind"]);
    assert_eq!(columns.targets, ["wind", "temp_min"]);
}

#[test]
fn windows_that_come_cut() {
    let run = Run::new();
    let wave = |i: usize| (i as f32 * 0.7).sin();
    let x = Tensor::new([6, 3, 5, 2], (0..180).map(wave).collect::<Vec<_>>()).unwrap();
    let all = Tensor::new([6, 3, 5, 1], (0..90).map(|i| wave(2 * i + 2)).collect::<Vec<_>>()).unwrap();
    let last: Vec<f32> = all.data().iter().copied().skip(4).step_by(5).collect();
    let last = Tensor::new([6, 3, 1], last).unwrap();
    for (name, target) in [("all.safetensors", &all), ("last.safetensors", &last)] {
        file::write_tensors(run.path(name), &[("x", &x), ("target", target)]).unwrap();
    }
    let answer = run.ok("train all.safetensors --cell lstm --hidden 6 --steps 40 --log log.csv");
    assert!(answer.stderr.starts_with("LSTM 2 -> 6 -> 1 on all.safetensors: 247 parameters, 40 steps of 3 x 5"));
    let losses = run.text("log.csv");
    let loss = |row: usize| losses.lines().nth(row + 1).unwrap().split(',').nth(1).unwrap().parse::<f64>().unwrap();
    assert!(loss(36) < 0.5 * loss(0), "{losses}");
    // step k takes window k mod N: the first loss is that of the first window on the weights of the start
    let start = Model::random(rnnstep::Shape::new(CellKind::Lstm, 2, 6, 1, 1).unwrap(), 0).unwrap();
    let first = x.part(0..1).unwrap();
    let first = Tensor::new([3, 5, 2], first.data()).unwrap();
    let y = start.forward(Cpu::widest(), &first, Order::BatchFirst, &mut State::new(start.shape(), 3)).unwrap();
    let mse =
        |pairs: &[(f32, f32)]| pairs.iter().map(|(y, t)| f64::from(y - t).powi(2)).sum::<f64>() / pairs.len() as f64;
    let pairs: Vec<(f32, f32)> = y.data().iter().copied().zip(all.data()[..15].iter().copied()).collect();
    assert!((loss(0) - mse(&pairs)).abs() < 1e-6, "{} is not {}", loss(0), mse(&pairs));
    run.ok(
        "train last.safetensors --cell lstm --hidden 6 --steps 12 --log last.csv --loss-on last --out b.safetensors",
    );
    let losses = run.text("last.csv");
    let loss = losses.lines().nth(1).unwrap().split(',').nth(1).unwrap().parse::<f64>().unwrap();
    let pairs: Vec<(f32, f32)> = pairs.into_iter().skip(4).step_by(5).collect();
    assert!((loss - mse(&pairs)).abs() < 1e-6, "{loss} is not {}", mse(&pairs));
    // the last windows held out
    run.ok("train all.safetensors --epochs 3 --val-fraction 0.34 --log held.csv --no-plot --out c.safetensors");
    assert_eq!(held_out_losses(&run.text("held.csv")).iter().map(|row| row.0).collect::<Vec<_>>(), [3, 7, 11]);
    run.misused("train all.safetensors --loss-on last", &["last"]);
    run.misused("train last.safetensors --loss-on all", &["all"]);
    run.misused("train last.safetensors --scale standard", &["scale"]);
}

#[test]
fn windows_from_zero_states_side_by_side() {
    let run = Run::new();
    run.example("sunspots.csv");
    // 247 rows to train on make 227 windows of 20 and the row after: 15 steps of 16 an epoch
    let answer =
        run.ok("train sunspots.csv --state reset --batch 16 --target-as value --epochs 2 --log log.csv --no-plot");
    assert!(answer.stderr.contains(" 30 steps of 16 x 20"), "{}", answer.stderr);
    assert_eq!(held_out_losses(&run.text("log.csv")).iter().map(|row| row.0).collect::<Vec<_>>(), [14, 29]);
    let answer = run.ok(
        "train sunspots.csv --state reset --batch 16 --target-as value --stride 10 --epochs 2 --no-plot --loss-on last",
    );
    assert!(answer.stderr.contains(" 4 steps of 16 x 20"), "{}", answer.stderr);
    let answer = run.ok("train sunspots.csv --batch 3 --seq-len 10 --target-as value --epochs 2 --no-plot");
    assert!(answer.stderr.contains(" 16 steps of 3 x 10"), "{}", answer.stderr);
    run.misused("train sunspots.csv --stride 10", &["--stride", "--state reset"]);
    let answer = run.ok("train sunspots.csv --val-fraction 0 --target-as value --epochs 1 --no-plot");
    assert!(answer.stderr.contains(" 15 steps of 1 x 20") && !answer.stdout.contains("RMSE"));
}

#[test]
fn the_best_weights_are_kept_and_patience_ends_the_training() {
    let run = Run::new();
    run.example("sunspots.csv");
    // a learning rate with which the loss goes up and down
    let flags = "train sunspots.csv --cell lstm --lr 0.05 --target-as value --no-plot --log log.csv";
    let answer = run.ok(&format!("{flags} --epochs 40 --patience 3"));
    let losses = held_out_losses(&run.text("log.csv"));
    let best = losses.iter().copied().reduce(|best, row| if row.1 < best.1 { row } else { best }).unwrap();
    let last = *losses.last().unwrap();
    assert!(losses.len() < 40, "patience had nothing to do");
    assert_eq!(last.0 - best.0, 3 * 12, "stopped 3 epochs of 12 steps after the best");
    let said = answer.after("best loss on the held-out part");
    assert_eq!(said, format!("{:.4e}, after step {}", best.1, best.0 + 1));
    // the model file holds the best weights, not the last ones
    let (kept, checkpoint) = (run.tensors("model.safetensors"), run.tensors("model.checkpoint.safetensors"));
    assert!(kept.iter().all(|(name, tensor)| checkpoint[&format!("rnnstep.best.{name}")] == *tensor));
    assert!(kept.iter().any(|(name, tensor)| checkpoint[name] != *tensor));
    run.ok(&format!("{flags} --steps {} --out short.safetensors", best.0 + 1));
    assert!(run.tensors("short.safetensors") == kept);
}

#[test]
fn scalers_are_fitted_on_the_training_part_only() {
    let run = Run::new();
    run.example("sunspots.csv");
    let rows = numbers(&run.text("sunspots.csv"), 1).concat();
    let training: Vec<f64> = rows[..247].to_vec();
    let mean = training.iter().sum::<f64>() / 247.0;
    let deviation = (training.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 247.0).sqrt();
    let (least, most) = training.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
    for (flag, shift, scale) in [
        ("", mean, deviation),
        ("--scale standard", mean, deviation),
        ("--scale min-max", least, most - least),
        ("--scale none", 0.0, 1.0),
    ] {
        run.ok(&format!("train sunspots.csv --epochs 1 --target-as value --no-plot {flag}"));
        let (x, y) = scalers(&run, "model.safetensors");
        assert_eq!(x, y);
        assert!((x.shift()[0] - shift).abs() <= 1e-6 * shift, "{flag}: {:?}, not {shift}", x.shift());
        assert!((x.scale()[0] - scale).abs() <= 1e-6 * scale, "{flag}: {:?}, not {scale}", x.scale());
    }
    // nothing of what is held out gets into scalers or weights
    let lines: Vec<String> = run.text("sunspots.csv").lines().map(String::from).collect();
    let changed = lines
        .iter()
        .enumerate()
        .map(|(i, line)| if i > 247 { format!("{},9999\n", 1699 + i) } else { format!("{line}\n") });
    run.file("changed.csv", changed.collect::<String>());
    run.ok("train sunspots.csv --target-as value --steps 11 --no-plot --out a.safetensors");
    run.ok("train changed.csv --target-as value --steps 11 --no-plot --out b.safetensors");
    assert_eq!(scalers(&run, "a.safetensors"), scalers(&run, "b.safetensors"));
    assert!(run.tensors("a.safetensors") == run.tensors("b.safetensors"));
}

#[test]
fn missing_values() {
    let run = Run::new();
    let table = |gap: &str| {
        let value = |i: u8| if i == 7 { gap.to_string() } else { f64::from(i).sin().to_string() };
        "value,other\n".to_string() + &(0..60).map(|i| format!("{},{i}\n", value(i))).collect::<String>()
    };
    run.file("gap.csv", table("NA"));
    run.fails("train gap.csv --column value --seq-len 5", &["gap.csv", "line 9", "value", "--missing"]);
    run.ok("train gap.csv --seq-len 5 --epochs 1 --no-plot --missing forward-fill --column value");
    run.file("filled.csv", table(&6_f64.sin().to_string()));
    run.ok("train filled.csv --seq-len 5 --epochs 1 --no-plot --column value --out filled.safetensors");
    assert!(run.tensors("model.safetensors") == run.tensors("filled.safetensors"));
    let dropped: String =
        table("gone").lines().filter(|line| !line.starts_with("gone")).map(|line| format!("{line}\n")).collect();
    run.file("dropped.csv", dropped);
    run.ok("train gap.csv --seq-len 5 --epochs 1 --no-plot --missing drop --column value");
    run.ok("train dropped.csv --seq-len 5 --epochs 1 --no-plot --column value --out dropped.safetensors");
    assert!(run.tensors("model.safetensors") == run.tensors("dropped.safetensors"));
}
