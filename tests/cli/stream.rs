//! `rnnstep stream`: a line in, a line out, at once.

use super::run::Run;
use rnnstep::{CellKind, Weights};

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
            if format != Weights::Int8 {
                // int8's scale is applied to the sum by a step and to the weight by a whole pass
                assert_eq!(streamed.lines().collect::<Vec<_>>(), predicted(&run, &args, &lines), "{format}");
            }
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
            assert!(said.ends_with("the state is as before"), "{said}");
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
