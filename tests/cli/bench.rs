//! `rnnstep bench` prints and writes what was asked for. No test checks how long anything takes.

use super::run::{Answer, Run};
use rnnstep::{CellKind, Cpu, Isa};

/// So short that every part takes its fewest samples.
const SHORT: &str = "--seconds 0.01";

/// The rows of a CSV by the names of its columns; every row as long as the header.
fn table(csv: &str) -> Vec<impl Fn(&str) -> String + use<>> {
    let split = |line: &str| line.split(',').map(String::from).collect::<Vec<_>>();
    let mut lines = csv.lines();
    let header = split(lines.next().unwrap());
    lines
        .map(|line| {
            let (row, header) = (split(line), header.clone());
            assert_eq!(row.len(), header.len(), "{line}");
            move |name: &str| {
                row[header.iter().position(|column| column == name).unwrap_or_else(|| panic!("{name}"))].clone()
            }
        })
        .collect()
}

/// What an SVG holds: its texts, and the corners of each line that is not part of the frame.
fn picture(run: &Run, name: &str) -> (Vec<String>, Vec<usize>) {
    let text = run.text(name);
    let document = roxmltree::Document::parse(&text).unwrap();
    let of = |tag: &'static str| document.descendants().filter(move |node| node.has_tag_name(tag));
    let texts = of("text").filter_map(|node| node.text()).map(|text| text.trim().to_string()).collect();
    let corners = of("polyline").filter_map(|node| node.attribute("points")).map(|p| p.split_whitespace().count());
    (texts, corners.collect())
}

/// The names of columns and rows that a table for a person has, its lines no longer than a page is wide.
fn check_page(answer: &Answer) {
    for line in answer.stdout.lines().filter(|line| !line.starts_with("cpu") && !line.starts_with("cuda")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(answer.stdout.contains("p50     p99   p99.9"), "{}", answer.stdout);
    assert!(answer.stdout.contains(&format!("; {} by default\n", Cpu::widest().isa().name())), "{}", answer.stdout);
    assert!(answer.after("answers ").contains("off float64"), "{}", answer.stdout);
    assert!(!answer.stdout.contains('\x1b') && answer.stderr.is_empty(), "{}", answer.stderr);
}

#[test]
fn a_trained_model() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("train sunspots.csv --cell lstm --hidden 9 --epochs 1 --no-plot");
    for weights in ["f32", "int8"] {
        let args = format!("bench model.safetensors --weights {weights} --device cpu {SHORT}");
        let answer = run.ok(&format!("{args} --out b.csv --plot b.svg"));
        check_page(&answer);
        assert!(answer.stdout.starts_with(&format!("LSTM 1 -> 9 -> 1, weights {weights}, ")), "{}", answer.stdout);
        assert_eq!((answer.after("table "), answer.after("plot ")), ("b.csv", "b.svg"));

        let rows = table(&run.text("b.csv"));
        let isas = Isa::available();
        assert_eq!(rows.len(), 2 + 6 * isas.len(), "the clock, and six rows for each instruction set");
        assert!(rows[..2].iter().all(|row| row("what") == "clock" && row("device").is_empty()));
        for (isa, rows) in isas.iter().zip(rows[2..].chunks(6)) {
            assert!(answer.stdout.contains(&format!("\n{}\n", isa.name())), "{}", answer.stdout);
            let expected =
                ["0", "1"].into_iter().flat_map(|pause| ["step", "answer", "advance"].map(|what| (what, pause)));
            for (row, (what, pause)) in rows.iter().zip(expected) {
                assert_eq!([row("device"), row("what"), row("pause_ms")], [isa.name(), what, pause]);
                assert_eq!([row("network"), row("weights")], ["LSTM 1 -> 9 -> 1", weights]);
                let number = |name: &str| row(name).parse::<u64>().unwrap();
                assert!(number("samples") >= 10);
                assert!(number("min_ns") <= number("p50_ns") && number("p50_ns") <= number("max_ns"));
                assert_eq!(row("p99_ns").is_empty(), number("samples") < 300);
                assert_eq!(row("p99.9_ns").is_empty(), number("samples") < 3000);
                assert_eq!(row("steps_per_s").is_empty(), (what, pause) != ("step", "0"));
                assert_eq!(row("steps_per_s").is_empty(), row("ns_per_step").is_empty());
            }
        }
        let (texts, corners) = picture(&run, "b.svg");
        for text in isas.iter().map(|isa| isa.name()).chain(["step", "answer after 1 ms", "µs", "% of the steps"]) {
            assert!(texts.iter().any(|found| found == text), "{text}: {texts:?}");
        }
        // a bin has two corners, and the outline starts and ends on the ground
        let outlines = corners.iter().filter(|&&corners| corners >= 4).count();
        assert!(outlines >= 4 * isas.len(), "{corners:?}");
    }
}

#[test]
fn one_instruction_set_alone() {
    let run = Run::new();
    run.model("m.safetensors", CellKind::Gru, [3, 6, 2, 2]);
    let answer = run.ok(&format!("bench m.safetensors --isa portable --device cpu {SHORT} --out b.csv"));
    assert!(answer.after("answers ").starts_with("portable: the bits of portable"), "{}", answer.stdout);
    assert_eq!(table(&run.text("b.csv")).len(), 2 + 6);
    assert!(!answer.stdout.contains("\navx"));
}

#[test]
fn without_a_model() {
    let run = Run::new();
    let answer = run.ok(&format!("bench {SHORT} --device cpu --seed 3 --out b.csv --plot b.PNG"));
    check_page(&answer);
    assert!(answer.stdout.starts_with("random networks, 1 -> H -> 1, weights f32\n"), "{}", answer.stdout);
    let rows = table(&run.text("b.csv"));
    let networks = CellKind::ALL.into_iter().flat_map(|cell| [8, 16, 32, 64, 128, 256].map(|hidden| (cell, hidden)));
    let mut expected = rows[2..].iter();
    for (cell, hidden) in networks {
        assert!(
            answer.stdout.lines().any(|line| line.starts_with(&format!("{:<4} {hidden:>3} ", cell.name()))),
            "{}",
            answer.stdout
        );
        for isa in Isa::available() {
            for _ in 0..6 {
                let row = expected.next().unwrap();
                assert_eq!([row("cell"), row("hidden"), row("device")], [cell.name(), &hidden.to_string(), isa.name()]);
            }
        }
    }
    assert!(expected.next().is_none());
    assert!(run.bytes("b.PNG").starts_with(b"\x89PNG"));
    // a slow table is of no use: what is left of these seconds is checking and the least of samples
    let answer = run.ok(&format!("bench {SHORT} --device cpu --isa portable --weights bf16 --plot b.svg"));
    assert!(answer.stdout.contains("weights bf16"));
    let (texts, corners) = picture(&run, "b.svg");
    for text in ["RNN", "LSTM", "GRU", "8", "128", "H", "portable", "portable after 1 ms", "µs, median"] {
        assert!(texts.iter().any(|found| found == text), "{text}: {texts:?}");
    }
    assert!(corners.iter().filter(|&&corners| corners == 6).count() >= 3, "{corners:?}");
}

#[test]
fn bad_input_leaves_nothing() {
    let run = Run::new();
    run.model("m.safetensors", CellKind::Rnn, [1, 6, 1, 1]);
    run.file("bad.safetensors", "no model");
    run.fails("bench absent.safetensors", &["absent.safetensors"]);
    run.fails("bench bad.safetensors --out b.csv --plot b.svg", &["bad.safetensors"]);
    run.fails("bench m.safetensors --isa mmx", &["mmx", "portable"]);
    for seconds in ["0", "-1", "NaN", "inf", "1e9"] {
        run.misused(&format!("bench m.safetensors --seconds {seconds} --out b.csv"), &["--seconds", "above 0"]);
    }
    run.fails("bench m.safetensors --plot b.jpg --out b.csv", &["b.jpg", ".svg or .png"]);
    run.fails("bench m.safetensors --plot absent/b.svg", &["absent/b.svg"]);
    run.fails("bench --out absent/b.csv", &["absent/b.csv"]);
    run.fails("bench m.safetensors --device cuda:77", &["cuda:77"]);
    run.misused("bench m.safetensors --seconds soon", &["soon"]);
    run.misused("bench m.safetensors --device tpu", &["tpu"]);
    run.misused("bench m.safetensors --seed 3", &["--seed"]);
    run.misused("bench --nonlinearity relu", &["MODEL"]);
    run.misused("bench m.safetensors --out b.svg --plot b.svg", &["two files"]);
}
