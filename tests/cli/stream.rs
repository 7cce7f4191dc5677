//! `rnnstep stream` answers each line of input with a line of output at once.

use super::run::{Run, numbers};
use rnnstep::model::file;
use rnnstep::tensor::Stored;
use rnnstep::{CellKind, Tensor, Weights};

/// Lines of `width` numbers.
fn lines(n: usize, width: usize) -> Vec<String> {
    let line =
        |i: usize| (0..width).map(|j| ((i * 3 + j) as f32 * 0.31).cos().to_string()).collect::<Vec<_>>().join(",");
    (0..n).map(line).collect()
}

/// What `predict` says to these lines.
fn predicted(run: &Run, args: &str, lines: &[String]) -> Vec<String> {
    run.file("lines.csv", lines.join("\n") + "\n");
    let answer = run.ok(&format!("predict {args} lines.csv --header false"));
    answer.stdout.lines().skip(1).map(String::from).collect()
}

#[test]
fn answers_each_line_before_the_next_comes() {
    for cell in CellKind::ALL {
        let run = Run::new();
        run.model("m.safetensors", cell, [2, 9, 2, 3]);
        let lines = lines(25, 2);
        let expected = predicted(&run, "m.safetensors", &lines);
        let mut talk = run.talk("stream m.safetensors");
        for (line, expected) in lines.iter().zip(&expected) {
            talk.say(&format!("{line}\n"));
            assert_eq!(&talk.hear(), expected);
        }
        let answer = talk.end();
        assert_eq!((answer.code, answer.stdout.as_str(), answer.stderr.as_str()), (Some(0), "", ""));
    }
}

#[test]
fn is_predict_line_by_line_with_scalers_too() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --cell gru --epochs 2 --no-plot");
    let predicted = run.ok("predict model.safetensors sunspots.csv").stdout;
    let predicted: Vec<&str> = predicted.lines().skip(1).map(|line| line.split_once(',').unwrap().1).collect();
    let spots: String = run
        .text("sunspots.csv")
        .lines()
        .skip(1)
        .map(|line| line.split_once(',').unwrap().1.to_string() + "\n")
        .collect();
    let streamed = run.feed_ok("stream model.safetensors", &spots).stdout;
    assert_eq!(streamed.lines().collect::<Vec<_>>(), predicted);
    let raw = run.feed_ok("stream model.safetensors --raw", &spots).stdout;
    assert_eq!(raw.lines().count(), predicted.len());
    assert_ne!(raw, streamed);
    assert_eq!(run.feed_ok("stream model.safetensors --isa portable", &spots).stdout, streamed);
    // the last line may lack its end
    assert_eq!(run.feed_ok("stream model.safetensors", spots.trim_end()).stdout, streamed);
    assert_eq!(run.feed_ok("stream model.safetensors", "").stdout, "");
}

#[test]
fn small_weights_stay_near_and_predict_the_same() {
    for cell in CellKind::ALL {
        let run = Run::new();
        run.model("m.safetensors", cell, [2, 33, 2, 2]);
        let lines = lines(25, 2);
        let input = lines.join("\n") + "\n";
        let numbers = |text: &str| -> Vec<f32> { text.split([',', '\n']).filter_map(|n| n.parse().ok()).collect() };
        let exact = numbers(&run.feed_ok("stream m.safetensors", &input).stdout);
        for format in Weights::ALL {
            let args = format!("m.safetensors --weights {format}");
            let streamed = run.feed_ok(&format!("stream {args}"), &input).stdout;
            let off = exact.iter().zip(numbers(&streamed)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert_eq!(off == 0.0, format == Weights::F32, "{format}: {off}");
            assert!(off < 0.02, "{format}: {off}");
            let portable = run.feed_ok(&format!("stream {args} --isa portable"), &input).stdout;
            assert_eq!(portable, streamed, "{format}");
            assert_eq!(streamed.lines().collect::<Vec<_>>(), predicted(&run, &args, &lines), "{format}");
        }
    }
}

#[test]
fn bad_lines_leave_the_state_alone() {
    let run = Run::new();
    run.model("m.safetensors", CellKind::Lstm, [2, 6, 1, 1]);
    let lines = lines(12, 2);
    let expected = predicted(&run, "m.safetensors", &lines);
    let bad = ["hello", "1.0,2.0,3.0", "0.5", "", "NaN,0.1", "0.1,inf", "1e400,1", "0.1;x", "1..2,3", ","];
    let mut talk = run.talk("stream m.safetensors");
    for (i, (line, expected)) in lines.iter().zip(&expected).enumerate() {
        talk.say(&format!("{line}\n"));
        assert_eq!(&talk.hear(), expected, "line {i}");
        if let Some(bad) = bad.get(i) {
            talk.say(&format!("{bad}\n"));
            let said = talk.hear_error();
            assert!(said.starts_with(&format!("line {}: ", 2 * i + 2)), "{bad:?}: {said}");
            assert!(said.ends_with("the state stays unchanged"), "{said}");
        }
    }
    let answer = talk.end();
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), ""));
    assert_eq!(answer.stderr, "10 lines were left out\n");
}

#[test]
fn lines_of_any_length_and_bytes_of_any_kind() {
    let run = Run::new().with_memory(400_000);
    run.model("m.safetensors", CellKind::Gru, [1, 6, 1, 1]);
    let expected = predicted(&run, "m.safetensors", &["0.5".into(), "0.25".into(), "0.125".into()]);
    let long = "7".repeat(2 << 20);
    let zeros = "0".repeat(64 << 20);
    let input =
        [b"0.5\n", long.as_bytes(), b"\n\xff\xfe1\n0.25\n\0\n", zeros.as_bytes(), b"\n 0.125\t\r\n", long.as_bytes()]
            .concat();
    let answer = run.feed_ok("stream m.safetensors", input);
    assert_eq!(answer.stdout.lines().collect::<Vec<_>>(), expected);
    let errors: Vec<&str> = answer.stderr.lines().collect();
    assert_eq!(errors.len(), 6, "{}", answer.stderr);
    for (error, start) in
        errors.iter().zip(["line 2: longer", "line 3: not UTF-8", "line 5: ", "line 6: longer", "line 8: longer"])
    {
        assert!(error.starts_with(start) && error.len() < 200, "{error}");
    }
}

#[test]
fn says_how_long_the_steps_took() {
    let run = Run::new();
    run.model("m.safetensors", CellKind::Rnn, [1, 6, 1, 1]);
    let answer = run.feed_ok("stream m.safetensors --latency", "0.1\n0.2\nx\n0.3\n");
    assert_eq!(answer.stdout.lines().count(), 3);
    let last = answer.stderr.lines().last().unwrap();
    let words = |last: &str| ["p50 ", "p99 ", "p99.9 ", "max "].map(|word| last.contains(word));
    assert!(last.starts_with("latency of 3 steps: "), "{last}");
    assert_eq!(words(last), [true, false, false, true], "a tail of three steps is not known: {last}");
    let answer = run.feed_ok("stream m.safetensors --latency", "0.1\n".repeat(3000));
    assert_eq!(words(answer.stderr.lines().last().unwrap()), [true; 4], "{}", answer.stderr);
    assert_eq!(run.feed_ok("stream m.safetensors --latency", "").stderr, "latency: no steps\n");
}

#[test]
fn ends_with_its_input() {
    let run = Run::new();
    run.model("m.safetensors", CellKind::Rnn, [1, 6, 1, 1]);
    run.fails("stream absent.safetensors", &["absent.safetensors"]);
    let mut talk = run.talk("stream m.safetensors");
    talk.say("0.1\n");
    talk.hear();
    let answer = talk.end();
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""));
}

/// A model that learns from what comes in, is stopped, and goes on as if it had not been.
#[test]
fn learns_and_goes_on() {
    let run = Run::new();
    run.example("sunspots.csv");
    for transform in ["value", "change", "seasonal-change --season 11"] {
        run.ok(&format!("train sunspots.csv --cell gru --hidden 8 --epochs 3 --no-plot --target-as {transform}"));
        let lines: Vec<String> =
            numbers(&run.text("sunspots.csv"), 1).iter().map(|row| format!("{}\n", row[0])).collect();
        let plain = run.feed_ok("stream model.safetensors", lines.concat()).stdout;
        let learn = "--learn --lr 0.003 --window 12 --out l.safetensors";
        let whole = run.feed_ok(&format!("stream model.safetensors {learn}"), lines.concat());
        assert!(whole.stderr.contains("learned from 309 lines: 308 updates"), "{}", whole.stderr);
        // the first answers are those of a stream: nothing is learned before there is something to learn from
        assert_eq!(whole.stdout.lines().take(2).collect::<Vec<_>>(), plain.lines().take(2).collect::<Vec<_>>());
        assert_ne!(whole.stdout, plain);
        let wholly = [run.bytes("l.safetensors"), run.bytes("l.learner.safetensors")];
        // in two parts
        let first = run.feed_ok(&format!("stream model.safetensors {learn}"), lines[..150].concat()).stdout;
        let on = "stream l.learner.safetensors --learn --out l.safetensors";
        let second = run.feed_ok(on, lines[150..].concat()).stdout;
        assert_eq!(first + &second, whole.stdout, "{transform}");
        assert!(wholly == [run.bytes("l.safetensors"), run.bytes("l.learner.safetensors")], "{transform}");
        // what it wrote is a model like any other
        run.ok("predict l.safetensors sunspots.csv --out p.csv");
        run.fails("train --resume l.learner.safetensors", &["l.learner.safetensors"]);
    }
    for (wrong, words) in [
        ("stream model.safetensors --every 2", "add --learn"),
        ("stream model.safetensors --learn --raw", "leave --raw out"),
        ("stream model.safetensors --learn --save-every 5", "give the file to write with --out FILE"),
    ] {
        run.misused(wrong, &[words]);
    }
    run.misused("stream model.safetensors --learn --every 0", &["--every", "1 or more"]);
    run.misused("stream model.safetensors --learn --lr=-1", &["--lr", "-1"]);
    run.fails("stream model.safetensors --learn --weights int8", &["f32 only"]);
    run.fails("stream l.learner.safetensors --learn --window 5", &["a window of 12, not 5"]);
    run.file("m.csv", "a,b\n1,2\n2,3\n3,1\n4,5\n5,2\n6,7\n7,1\n8,3\n9,2\n1,2\n4,1\n2,2\n");
    run.ok("train m.csv --column a --target b --seq-len 2 --epochs 1 --no-plot --out m.safetensors");
    run.fails("stream m.safetensors --learn", &["\"b\" is predicted but is not an input"]);
}

/// Killed at any time, it loses no more than the lines since it was last written down.
#[test]
fn a_killed_learner_loses_little() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --cell rnn --hidden 4 --epochs 1 --no-plot");
    let lines = numbers(&run.text("sunspots.csv"), 1);
    let mut talk = run.talk("stream model.safetensors --learn --out l.safetensors --save-every 10");
    for row in &lines[..57] {
        talk.say(&format!("{}\n", row[0]));
        talk.hear();
    }
    drop(talk); // SIGKILL
    // the 57th answer was out, so 50 lines were learned from and written down
    let rest = run.feed_ok("stream l.learner.safetensors --learn", "5\n");
    let said = rest.stderr.split("learned from ").nth(1).unwrap();
    let ticks: usize = said.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(ticks, 51, "{}", rest.stderr);
}

/// Each answer is out before the next line comes and before anything is learned, however seldom and from however much.
#[test]
fn answers_at_once_whatever_is_learned() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --cell gru --hidden 8 --epochs 1 --no-plot");
    let lines: Vec<String> = numbers(&run.text("sunspots.csv"), 1).iter().map(|row| row[0].to_string()).collect();
    let first = predicted(&run, "model.safetensors", &lines[..2]);
    for flags in [
        "",
        "--learn",
        "--learn --every 7",
        "--learn --every 1000",
        "--learn --every 1000000000000",
        "--learn --every 18446744073709551615",
        "--learn --every 7 --window 1",
        "--learn --window 1000",
        "--learn --every 1000 --window 100000",
        "--learn --save-every 1 --out l.safetensors",
        "--latency",
    ] {
        let start = std::time::Instant::now();
        let mut talk = run.talk(&format!("stream model.safetensors {flags}"));
        for (i, line) in lines.iter().take(40).enumerate() {
            talk.say(&format!("{line}\n"));
            let heard = talk.hear_within(std::time::Duration::from_secs(20));
            let heard = heard.unwrap_or_else(|| panic!("{flags:?}: no answer to line {i}"));
            if let Some(first) = first.get(i) {
                assert_eq!(&heard, first, "{flags:?}, line {i}");
            }
        }
        assert_eq!(talk.end().code, Some(0), "{flags:?}");
        assert!(start.elapsed().as_secs() < 60, "{flags:?}");
    }
}

/// A first line of names says which field is which; other names are refused, and not guessed.
#[test]
fn a_first_line_with_names() {
    let run = Run::new();
    let rows: Vec<[f32; 2]> = (0..40).map(|t| [(0.3 * t as f32).sin(), 0.1 * t as f32]).collect();
    let table = |names: &str, row: &dyn Fn(&[f32; 2]) -> String| {
        rows.iter().fold(format!("{names}\n"), |text, [a, b]| text + &row(&[*a, *b]) + "\n")
    };
    run.file("ab.csv", table("a,b", &|[a, b]| format!("{a},{b}")));
    run.ok("train ab.csv --cell gru --hidden 4 --epochs 1 --seq-len 5 --no-plot");
    let plain = run.feed_ok("stream model.safetensors", table("", &|[a, b]| format!("{a},{b}")).trim_start()).stdout;
    assert_eq!(plain.lines().count(), 40);
    for (names, row) in [
        ("a,b", Box::new(|[a, b]: &[f32; 2]| format!("{a},{b}")) as Box<dyn Fn(&[f32; 2]) -> String>),
        ("b,a", Box::new(|[a, b]: &[f32; 2]| format!("{b},{a}"))),
        ("time,b,note,a", Box::new(|[a, b]: &[f32; 2]| format!("2024-01-01,{b},x,{a}"))),
        ("\u{feff}b;a", Box::new(|[a, b]: &[f32; 2]| format!("{b};{a}"))),
        ("b\ta", Box::new(|[a, b]: &[f32; 2]| format!("{b}\t{a}"))),
    ] {
        let answer = run.feed_ok("stream model.safetensors", table(names, &row));
        assert_eq!((answer.stdout, answer.stderr.as_str()), (plain.clone(), ""), "{names}");
    }
    // a byte order mark without names
    let marked = format!("\u{feff}{}", table("", &|[a, b]| format!("{a},{b}")).trim_start());
    assert_eq!(run.feed_ok("stream model.safetensors", marked).stdout, plain);
    let other = table("b,c", &|[a, b]| format!("{a},{b}"));
    let answer = run.feed("stream model.safetensors", &other);
    let line = answer.error("names b, c");
    assert!(line.contains("line 1 names the columns \"b\", \"c\"") && line.contains("--by-position"), "{line}");
    assert_eq!((answer.stdout.as_str(), answer.code), ("", Some(1)));
    assert_eq!(run.feed_ok("stream model.safetensors --by-position", &other).stdout, plain);
    let twice = run.feed("stream model.safetensors", "a,b,a\n1,2,3\n").error("two columns a");
    assert!(twice.contains("line 1 names two columns \"a\""), "{twice}");
    let three = run.feed("stream model.safetensors --by-position", "a,b,c\n1,2,3\n").error("three columns");
    assert!(three.contains("line 1 names 3 columns") && three.contains("takes 2"), "{three}");
}

#[test]
fn missing_values_and_resets() {
    let run = Run::new();
    run.model("m.safetensors", CellKind::Gru, [2, 5, 1, 1]);
    let full = run.feed_ok("stream m.safetensors", "1,2\n1,3\n4,3\n").stdout;
    let holes = "1,2\n,3\n4,NA\n";
    let filled = run.feed_ok("stream m.safetensors --missing forward-fill", holes);
    assert_eq!((filled.stdout, filled.stderr.as_str()), (full, ""));
    let dropped = run.feed_ok("stream m.safetensors --missing drop", holes);
    assert_eq!((dropped.stdout.lines().count(), dropped.stderr.as_str()), (1, "2 lines were left out\n"));
    let named = run.feed_ok("stream m.safetensors", holes);
    for (line, part) in
        named.stderr.lines().zip(["line 2: the value of field 1 is missing", "line 3: the value of field 2"])
    {
        assert!(line.starts_with(part), "{line}");
    }
    // what comes before the first value cannot be filled in
    let first = run.feed("stream m.safetensors --missing forward-fill", ",1\n");
    assert!(first.stderr.contains("line 1: the value of field 1 is missing, and there is none before it"));
    // no good line is no success
    for bad in ["x,1\n", "1\n2\n", ",\n"] {
        let answer = run.feed("stream m.safetensors", format!("1,\n{bad}"));
        assert_eq!((answer.code, answer.stdout.as_str()), (Some(1), ""), "{bad:?}");
        assert!(answer.stderr.contains("error: no line was answered"), "{}", answer.stderr);
    }
    // a line of one column is empty or has a value
    run.model("one.safetensors", CellKind::Gru, [1, 5, 1, 1]);
    let one = run.feed_ok("stream one.safetensors --missing forward-fill", "1\n\n3\n").stdout;
    assert_eq!(one, run.feed_ok("stream one.safetensors", "1\n1\n3\n").stdout);
    assert!(run.feed_ok("stream one.safetensors", "1\n\n").stderr.contains("line 2: the value is missing"));
    // a reset begins again, whatever came before
    let again = run.feed_ok("stream one.safetensors", "1\n2\nreset\n1\n2\n").stdout;
    let lines: Vec<&str> = again.lines().collect();
    assert_eq!((lines.len(), &lines[..2]), (4, &lines[2..]));
    let after = run.feed_ok("stream one.safetensors --missing forward-fill", "5\nreset\n\n1\n");
    assert_eq!(after.stdout.lines().count(), 2, "{}", after.stdout);
    assert!(after.stderr.contains("line 3: the value is missing, and there is none before it"), "{}", after.stderr);
}

#[test]
fn a_state_goes_from_call_to_call() {
    let run = Run::new();
    run.example("sunspots.csv");
    for train in ["--target-as change", "--target-as seasonal-change --season 11", "--cell lstm --target-as value"] {
        run.ok(&format!("train sunspots.csv --epochs 2 --hidden 6 --no-plot {train}"));
        let lines: Vec<String> =
            numbers(&run.text("sunspots.csv"), 1).iter().map(|row| format!("{}\n", row[0])).collect();
        let whole = run.feed_ok("stream model.safetensors --final-state whole.safetensors", lines.concat()).stdout;
        let first = run.feed_ok("stream model.safetensors --final-state s.safetensors", lines[..100].concat()).stdout;
        let on = "stream model.safetensors --init-state s.safetensors --final-state s.safetensors";
        let second = run.feed_ok(on, lines[100..].concat()).stdout;
        assert_eq!(first + &second, whole, "{train}");
        assert_eq!(run.bytes("s.safetensors"), run.bytes("whole.safetensors"), "{train}");
        // a learner takes and writes the same state
        let learner = "stream model.safetensors --learn --init-state s.safetensors --final-state l.safetensors";
        assert_eq!(run.feed_ok(learner, "").code, Some(0));
        assert_eq!(run.bytes("l.safetensors"), run.bytes("s.safetensors"));
        // and a forecast goes on from it
        let table = run.text("sunspots.csv");
        let rows: Vec<&str> = table.lines().collect();
        run.file("tail.csv", format!("{}\n{}\n", rows[0], rows[301..].join("\n")));
        run.feed_ok("stream model.safetensors --final-state s.safetensors", lines[..300].concat());
        let whole = run.ok("forecast model.safetensors sunspots.csv --steps 5").stdout;
        let tail = "forecast model.safetensors tail.csv --steps 5";
        assert_eq!(run.ok(&format!("{tail} --init-state s.safetensors")).stdout, whole, "{train}");
        assert_ne!(run.ok(tail).stdout, whole);
        let bands = run.ok("forecast model.safetensors sunspots.csv --steps 5 --bands 80").stdout;
        assert_ne!(run.ok(&format!("{tail} --bands 80")).stdout, bands);
        run.ok(&format!("{tail} --bands 80 --init-state s.safetensors"));
    }
    // a stream that fails leaves the state that there was
    let before = run.bytes("s.safetensors");
    for input in ["wrong,names\n1,2\n", "x\n", ",\n"] {
        let answer = run.feed("stream model.safetensors --final-state s.safetensors", input);
        assert_eq!((answer.code, run.bytes("s.safetensors")), (Some(1), before.clone()), "{input:?}");
    }
    // no file is written twice, or written while it is read
    for files in ["--out a.safetensors --final-state a.safetensors", "--out s.safetensors --init-state s.safetensors"] {
        run.misused(&format!("stream model.safetensors --learn {files}"), &[]);
    }
    run.misused(
        "stream model.safetensors --learn --out a.safetensors --final-state a.learner.safetensors",
        &["two files"],
    );
    // a number of the state that f32 does not hold
    let h = Tensor::new([1, 1, 6], vec![1e300; 6]).unwrap();
    let wide: [(&str, &dyn Stored); 2] = [("h", &h), ("c", &h)];
    file::write_tensors(run.path("wide.safetensors"), &wide).unwrap();
    run.fails(
        "stream model.safetensors --init-state wide.safetensors",
        &["wide.safetensors", "beyond the largest f32"],
    );
    run.model("other.safetensors", CellKind::Lstm, [1, 5, 1, 1]);
    run.fails("stream other.safetensors --init-state s.safetensors", &["s.safetensors", "[1, 1, 5]", "[1, 1, 6]"]);
}
