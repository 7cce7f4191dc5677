//! `rnnstep forecast` predicts many steps ahead, with prediction intervals, and refuses what it
//! cannot forecast.

use super::run::{Run, numbers, numbers_in_f32};
use rnnstep::data::{npy, sine};
use rnnstep::model::file;
use rnnstep::series::forecast::Forecast;
use rnnstep::series::interval::{Options, Residuals, bands};
use rnnstep::{CellKind, Cpu, Model, Stream, Tensor};

/// Predictions fed back by hand after `history`.
fn by_hand(model: Model, history: &[f64], steps: usize) -> Vec<f64> {
    let width = model.shape().input();
    let mut stream = Stream::new(model).unwrap();
    let mut y = vec![];
    for x in history.chunks(width) {
        y = stream.step_f64(x).unwrap().to_vec();
    }
    let mut all = y.clone();
    for _ in 1..steps {
        y = stream.step_f64(&y).unwrap().to_vec();
        all.extend_from_slice(&y);
    }
    all
}

#[test]
fn continues_a_series() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --cell lstm --epochs 10 --no-plot");
    let answer = run.ok("forecast model.safetensors sunspots.csv --steps 20 --plot f.svg");
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!((lines[0], lines.len()), ("year,sunspots", 21));
    assert!(lines[1].starts_with("2009,") && lines[20].starts_with("2028,"));
    let history = numbers(&run.text("sunspots.csv"), 1).concat();
    let model = Model::load(run.path("model.safetensors")).unwrap();
    let expected = by_hand(model, &history, 20);
    assert_eq!(numbers(&answer.stdout, 1).concat(), expected);
    assert!(expected.iter().any(|y| *y > 10.0), "sunspots, not the network's units: {expected:?}");
    let picture = run.text("f.svg");
    for word in ["history", "one step ahead", "forecast", "LSTM 1 -&gt; 32 -&gt; 1, 20 steps ahead"] {
        assert!(picture.contains(word), "no {word:?} in the plot");
    }
    roxmltree::Document::parse(&picture).unwrap();
    let written = run.ok("forecast model.safetensors sunspots.csv --steps 20 --out f.csv --plot f.png");
    assert_eq!((written.stdout.as_str(), run.text("f.csv")), ("", answer.stdout));
    assert!(run.bytes("f.png").starts_with(b"\x89PNG"));
}

/// The dates of the rows that follow, written as those of the table, whatever the order of its rows.
#[test]
fn dates_go_on() {
    let run = Run::new();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let value = |i: usize| 50 + (i * 7) % 12;
    let row = |i: usize| format!("{i},{} {},{}\n", months[i % 12], 2000 + i / 12, value(i));
    let forward: String = (0..60).map(row).collect();
    let backward: String = (0..60).rev().map(row).collect();
    run.file("f.csv", ",month,sold\n".to_string() + &forward);
    run.file("b.csv", ",month,sold\n".to_string() + &backward);
    let trained = run.ok("train f.csv --epochs 1 --hidden 4 --no-plot").stderr;
    let columns =
        "columns: reads \"sold\", predicts \"sold\", time \"month\" (every month), leaves out column 1 (row numbers)\n";
    assert!(trained.contains(columns), "{trained}");
    const WHICH_SOLD: &str = "columns: reads \"sold\", predicts \"sold\", time \"month\" (every month)\n";
    let ahead = run.ok("forecast model.safetensors f.csv --steps 3");
    let times: Vec<&str> = ahead.stdout.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!((times, ahead.stderr.as_str()), (vec!["month", "Jan 2005", "Feb 2005", "Mar 2005"], WHICH_SOLD));
    let again = run.ok("forecast model.safetensors b.csv --steps 3");
    assert_eq!(again.stdout, ahead.stdout);
    let note = "note: b.csv: rows are sorted by \"month\": the file goes backwards from line 3 on\n";
    assert_eq!(again.stderr, format!("{note}{WHICH_SOLD}"));
}

#[test]
fn arrays_and_several_columns() {
    let run = Run::new();
    let model = run.model("m.safetensors", CellKind::Gru, [3, 7, 2, 3]);
    let history = Tensor::new([11, 3], (0..33).map(|i| (i as f32).sin()).collect::<Vec<_>>()).unwrap();
    npy::write(&run.path("h.npy"), &history).unwrap();
    file::write_tensors(run.path("h.safetensors"), &[("x", &history)]).unwrap();
    let expected = Tensor::new([9, 3], by_hand(model, Tensor::from(history.clone()).data(), 9)).unwrap().narrow();
    for input in ["h.npy", "h.safetensors"] {
        run.ok(&format!("forecast m.safetensors {input} --steps 9 --out y.npy"));
        assert_eq!(npy::read(&run.path("y.npy")).unwrap().narrow(), expected);
        run.ok(&format!("forecast m.safetensors {input} --steps 9 --out y.safetensors"));
        assert_eq!(run.tensors("y.safetensors")["y"], expected);
    }
    assert!(run.ok("forecast m.safetensors h.npy --steps 1").stdout.starts_with("step,y_1,y_2,y_3\n1,"));
    let batch = Tensor::new([1, 11, 3], history.data()).unwrap();
    npy::write(&run.path("batch.npy"), &batch).unwrap();
    run.fails("forecast m.safetensors batch.npy --steps 2", &["batch.npy", "[1, 11, 3]", "[T,I]"]);
}

#[test]
fn the_sine_needs_no_history() {
    let run = Run::new();
    run.ok("train --steps 2000 --no-plot");
    let answer = run.ok("forecast model.safetensors --steps 40");
    let found: Vec<f64> = numbers_in_f32(&answer.stdout, 1).concat().into_iter().map(f64::from).collect();
    let history: Vec<f64> = (0..4).flat_map(|k| sine::window(k, 20).take(20)).map(f64::from).collect();
    assert_eq!(found, by_hand(Model::load(run.path("model.safetensors")).unwrap(), &history, 40));
    // after four windows the sine goes on at 4 pi
    let truth = (0..40).map(|i| ((80 + i) as f64 * std::f64::consts::PI / 20.0).sin());
    for (i, (found, truth)) in found.iter().zip(truth).enumerate() {
        assert!((found - truth).abs() < 0.25, "step {i}: {found}, not {truth}");
    }
    run.model("other.safetensors", CellKind::Rnn, [1, 4, 1, 1]);
    run.misused("forecast other.safetensors --steps 3", &["HISTORY", "missing"]);
}

#[test]
fn what_cannot_be_continued() {
    let run = Run::new();
    run.example("seattle-weather.csv");
    run.ok("train seattle-weather.csv --target wind --epochs 1 --hidden 4 --no-plot");
    run.fails("forecast model.safetensors seattle-weather.csv --steps 3", &["temp_max", "wind", "--target"]);
    run.model("m.safetensors", CellKind::Rnn, [2, 4, 1, 1]);
    run.file("two.csv", "1,2\n3,4\n");
    run.fails("forecast m.safetensors two.csv --steps 3", &["takes 2", "gives 1"]);
    run.misused("forecast m.safetensors two.csv --steps 0", &["--steps", "'0'"]);
    run.misused("forecast m.safetensors two.csv --steps 99999999999", &["--steps", "99999999999"]);
    run.misused("forecast m.safetensors two.csv", &["--steps"]);
}

/// Columns beside the forecast, in every kind of file, held against the library.
#[test]
fn bands_around_a_forecast() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --cell lstm --epochs 10 --no-plot");
    let answer = run.ok("forecast model.safetensors sunspots.csv --steps 9 --bands 80,50,92.5 --plot f.svg");
    assert_eq!(answer.notes(), "", "62 rows are held out, enough for 9 steps");
    let header = answer.stdout.lines().next().unwrap();
    let names = [50.0, 80.0, 92.5].map(|level| format!("sunspots_lower_{level},sunspots_upper_{level}")).join(",");
    assert_eq!(header, format!("year,sunspots,{names}"));
    let rows = numbers(&answer.stdout, 1);
    let loaded = file::load(run.path("model.safetensors"), &file::ReadOptions::default(), Cpu::widest()).unwrap();
    let unseen = loaded.metadata.unseen.clone().unwrap();
    assert_eq!((unseen.ends[0].train_rows, unseen.errors.len()), (247, 62));
    let history = Tensor::new([309, 1], numbers(&run.text("sunspots.csv"), 1).concat()).unwrap();
    let errors = Residuals::new(unseen.errors.clone(), 1).unwrap();
    let options = Options { levels: vec![0.5, 0.8, 0.925], steps: 9, paths: 1000, seed: 0 };
    // the intervals are widened by factors that are computed with the autoregression of the training rows alone; the
    // forecast is that of the finished model
    let finished = bands(&loaded.model, Cpu::widest(), &history, 247, Some(&errors), &options).unwrap();
    let made = Forecast::new(&loaded, Cpu::widest(), Cpu::widest(), &history, &options).unwrap();
    assert_eq!(made.values, finished.median);
    assert_ne!(made.intervals, finished.bands);
    for (step, row) in rows.iter().enumerate() {
        let edges = made.intervals.iter().flat_map(|band| [band.lower.data()[step], band.upper.data()[step]]);
        assert_eq!(row[1..], edges.collect::<Vec<_>>(), "step {step}");
        assert_eq!(row[0], made.values.data()[step], "the forecast is the middle");
        assert!(row.windows(2).all(|pair| pair[0] != pair[1]) && row[5] < row[3] && row[3] < row[1] && row[2] < row[4]);
    }
    let picture = run.text("f.svg");
    for word in ["50 %", "80 %", "92.5 %", "<polygon"] {
        assert!(picture.contains(word), "no {word:?} in the plot");
    }
    roxmltree::Document::parse(&picture).unwrap();
    let again = "forecast model.safetensors sunspots.csv --steps 9 --bands 50,80,92.5";
    assert_eq!(run.ok(again).stdout, answer.stdout);
    let other = run.ok(&format!("{again} --seed 1 --paths 500")).stdout;
    assert_ne!(other, answer.stdout);
    run.ok(&format!("{again} --out y.npy --plot f.png"));
    assert_eq!(npy::read(&run.path("y.npy")).unwrap().wide().data(), rows.concat());
}

/// Errors lie around where the loss of the training aims, which a file says in its recipe.
#[test]
fn bands_know_the_loss() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --cell gru --epochs 5 --target-as value --no-plot --loss mae");
    let said = numbers(&run.ok("forecast model.safetensors sunspots.csv --steps 5 --bands 80").stdout, 1);
    let loaded = file::load(run.path("model.safetensors"), &file::ReadOptions::default(), Cpu::widest()).unwrap();
    let history = Tensor::new([309, 1], numbers(&run.text("sunspots.csv"), 1).concat()).unwrap();
    let options = Options { levels: vec![0.8], steps: 5, paths: 1000, seed: 0 };
    let units = loaded.model.units().unwrap().clone();
    let middle = |loss: &str| {
        let model = loaded.model.clone().with_units(units.clone().with_loss(loss.parse().unwrap()).unwrap()).unwrap();
        bands(&model, Cpu::widest(), &history, 247, None, &options).unwrap().median.data().to_vec()
    };
    let found: Vec<f64> = said.iter().map(|row| row[0]).collect();
    assert_eq!(found, middle("mae"));
    assert_ne!(found, middle("mse"));
}

/// What bands rest on is said, if that is less than it could be.
#[test]
fn what_bands_rest_on() {
    let run = Run::new();
    run.example("sunspots.csv");
    let table = run.text("sunspots.csv");
    run.ok("train sunspots.csv --cell gru --epochs 5 --target-as value --no-plot");
    // 62 rows: of 50 steps ahead 13 are known, of 43 twenty
    let far = run.ok("forecast model.safetensors sunspots.csv --steps 50 --bands 80");
    assert!(far.stderr.contains("up to 43 steps ahead") && far.stderr.contains("62 rows"), "{}", far.stderr);
    // rows after the table's end count as well; the end of training is found where rows before it are cut away
    let mut lines: Vec<&str> = table.lines().collect();
    lines.drain(1..101);
    run.file("late.csv", lines.join("\n"));
    let late = run.ok("forecast model.safetensors late.csv --steps 43 --bands 80");
    let of_rows = |line: &str| {
        line.starts_with("warning: \"sunspots\": on the last 62 rows, which its weights were not trained on")
    };
    assert!(late.notes().lines().all(of_rows), "{}", late.notes());
    let head = |rows: usize| table.lines().take(rows + 1).collect::<Vec<_>>().join("\n");
    // the largest of 62 errors is not far enough out
    let wide = run.ok("forecast model.safetensors sunspots.csv --steps 3 --bands 50,99").stderr;
    assert!(wide.contains("62 rows of errors are too few for an interval of 99 %"), "{wide}");
    // the errors in the file are there whatever the history
    run.file("short.csv", lines[0].to_string() + "\n" + &lines[1..8].join("\n"));
    let short = run.ok("forecast model.safetensors short.csv --steps 3 --bands 80");
    assert!(
        short.stderr.contains("does not hold the end of the rows")
            && short.stderr.contains("not compared with actual values")
    );
    // nothing was held out: the history has to say it
    run.ok("train sunspots.csv --cell gru --epochs 5 --no-plot --val-fraction 0 --out all.safetensors");
    let words = ["bands", "0 rows that it was not trained on", "--val-fraction"];
    run.fails("forecast all.safetensors sunspots.csv --steps 3 --bands 80", &words);
    run.file("head.csv", head(200));
    run.ok("train head.csv --cell gru --epochs 5 --no-plot --val-fraction 0 --out all.safetensors");
    assert_eq!(run.ok("forecast all.safetensors sunspots.csv --steps 3 --bands 80").notes(), "");
    // a distribution says it of itself, unchecked
    run.ok("train sunspots.csv --cell gru --epochs 5 --no-plot --val-fraction 0 --loss gaussian --out all.safetensors");
    let own = run.ok("forecast all.safetensors sunspots.csv --steps 3 --bands 80");
    assert!(own.stderr.contains("they are not checked"), "{}", own.stderr);
    // a model from elsewhere
    run.model("m.safetensors", CellKind::Gru, [1, 7, 1, 1]);
    let other = run.ok("forecast m.safetensors sunspots.csv --steps 3 --bands 80,95");
    assert!(other.stderr.contains("does not hold the end of the rows"), "{}", other.stderr);
    // what learned on has other errors than those of its training
    run.feed_ok("stream model.safetensors --learn --out l.safetensors", "1\n2\n3\n");
    let unseen = |name: &str| {
        file::load(run.path(name), &file::ReadOptions::default(), Cpu::widest()).unwrap().metadata.unseen.is_some()
    };
    assert_eq!((unseen("model.safetensors"), unseen("l.safetensors")), (true, false));
}

#[test]
fn bands_that_make_no_sense() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --epochs 1 --no-plot");
    let forecast = "forecast model.safetensors sunspots.csv --steps 3";
    for levels in ["0", "100", "-5", "nan", "80,120"] {
        run.misused(&format!("{forecast} --bands={levels}"), &["--bands"]);
    }
    run.misused(&format!("{forecast} --bands wide"), &["--bands", "wide"]);
    run.misused(&format!("{forecast} --paths 500"), &["--bands"]);
    run.misused(&format!("{forecast} --seed 1"), &["--bands"]);
    let hole: Vec<f32> = (0..40).map(|t| if t == 12 { f32::NAN } else { t as f32 }).collect();
    npy::write(&run.path("hole.npy"), &Tensor::new([40, 1], hole).unwrap()).unwrap();
    for bands in ["", "--bands 80"] {
        run.fails(&format!("forecast model.safetensors hole.npy --steps 3 {bands}"), &["row 13", "NaN"]);
    }
    run.misused(&format!("{forecast} --bands 80 --paths 5"), &["--paths", "between 100 and 1000000"]);
    run.misused(&format!("{forecast} --bands 80 --paths 5000000"), &["--paths", "between 100 and 1000000"]);
}

/// Two columns, in the order of the columns; as changes, with a head that says a variance.
#[test]
fn bands_of_several_columns() {
    let run = Run::new();
    run.example("seattle-weather.csv");
    run.ok("train seattle-weather.csv --column temp_max,wind --cell gru --epochs 2 --no-plot --loss gaussian --target-as change");
    let answer = run.ok("forecast model.safetensors seattle-weather.csv --steps 4 --bands 90 --plot f.svg");
    let header = answer.stdout.lines().next().unwrap();
    let names = ["temp_max", "wind"].map(|name| format!("{name},{name}_lower_90,{name}_upper_90")).join(",");
    assert_eq!(header, format!("date,{names}"));
    for row in numbers(&answer.stdout, 1) {
        // some degrees and some metres a second
        assert!((4.0..30.0).contains(&(row[2] - row[1])) && (1.0..10.0).contains(&(row[5] - row[4])), "{row:?}");
    }
    assert_eq!(run.text("f.svg").matches("<polygon").count(), 2 + 1, "an area in each panel and one in the legend");
}

/// A quantile that is no median takes its place, and that is said.
#[test]
fn a_lone_quantile_is_named() {
    let run = Run::new();
    run.example("sunspots.csv");
    let train = "train sunspots.csv --epochs 1 --no-plot --loss";
    let said = run.ok(&format!("{train} quantiles:0.05,0.95")).stderr;
    assert!(said.contains("use the quantile 0.05 of --loss quantiles:0.05,0.95; add 0.5"), "{said}");
    assert!(!run.ok(&format!("{train} quantiles:0.05,0.5,0.95")).stderr.contains("quantile 0."));
    // the middle of what can come is one all the same
    let ahead = run.ok("forecast model.safetensors sunspots.csv --steps 3 --bands 80").stdout;
    assert!(numbers(&ahead, 1).iter().all(|row| row[1] < row[0] && row[0] < row[2]), "{ahead}");
}

/// A model of values on a series that grows: it was worse than the last value since its training, and a forecast says so.
#[test]
fn a_forecast_says_if_the_model_was_worse() {
    let run = Run::new();
    let value = |t: usize| 0.5 * t as f64 + (t * 7919 % 13) as f64 * 0.1;
    run.file("s.csv", (0..300).map(|t| format!("{}\n", value(t))).collect::<String>());
    let train = "train s.csv --hidden 4 --epochs 3 --no-plot";
    run.ok(&format!("{train} --target-as value --out bad.safetensors"));
    let answer = run.ok("forecast bad.safetensors s.csv --steps 5");
    let words = ["on the last 60 rows", "the model was worse than the drift 1 to 5 steps ahead; "];
    assert!(words.iter().all(|words| answer.stderr.contains(words)), "{}", answer.stderr);
    // one that is not worse, and a history that does not tell
    run.ok(&format!("{train} --out good.safetensors"));
    assert_eq!(run.ok("forecast good.safetensors s.csv --steps 5").notes(), "");
    run.file("other.csv", (0..50).map(|t| format!("{}\n", value(t) + 0.25)).collect::<String>());
    assert_eq!(run.ok("forecast bad.safetensors other.csv --steps 5").notes(), "");
    // each of many series
    let row = |t: usize| format!("a,{}\nb,{}\n", value(t), (t * 7919 % 13) as f64);
    run.file("long.csv", format!("id,v\n{}", (0..300).map(row).collect::<String>()));
    run.ok("train long.csv --series id --hidden 4 --epochs 3 --no-plot --target-as value --out both.safetensors");
    let both = run.ok("forecast both.safetensors long.csv --series id --steps 5").stderr;
    let of_a = both.lines().filter(|line| line.contains("warning: series \"a\", \"v\": on the last 60 rows"));
    assert!(of_a.count() == 1 && !both.contains("series \"b\""), "{both}");
}
