//! Names come from files of unknown origin: no terminal obeys them, no spreadsheet computes them,
//! no line is too long.

use super::said;
use crate::run::Run;
use std::fs;

/// What a terminal would obey: clear, retitle, ring, go back, turn the direction, in both sets of controls.
const BAD: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\rred\u{202e}gpj\u{2066}";

fn obeys(text: &str) -> bool {
    text.chars()
        .any(|c| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

fn series(names: &[&str]) -> String {
    let quoted = |name: &&str| format!("\"{name}\"");
    let mut text = names.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
    for row in 0..60 {
        let cells: Vec<String> = (0..names.len()).map(|column| ((row * 7 + column * 3) % 11).to_string()).collect();
        text += &(cells.join(",") + "\n");
    }
    text
}

#[test]
fn no_terminal_obeys_a_name() {
    let run = Run::new();
    run.file("bad.csv", series(&[BAD, "b"]));
    run.file(
        "long.csv",
        format!("shop,\"{BAD}\"\n")
            + &(0..120).map(|i| format!("\"{}{BAD}\",{}\n", i % 2, i * 7 % 11)).collect::<String>(),
    );
    run.file("cell.csv", format!("a,b\n1,2\n\"{BAD}\",3\n4,5\n6,7\n"));
    let file = format!("{}.csv", BAD.replace('/', ""));
    fs::write(run.path(&file), series(&["a", "b"])).unwrap();
    let flags = "--epochs 1 --hidden 3";
    let commands = [
        format!("train bad.csv {flags} --out m.safetensors"),
        "info m.safetensors".into(),
        "predict m.safetensors cell.csv".into(),
        "predict m.safetensors absent.csv".into(),
        "train bad.csv --column nosuch".into(),
        "evaluate bad.csv m.safetensors --horizon 2 --html e.html --plot e.svg --out e.csv".into(),
        format!("train bad.csv --column 1 --target b {flags} --no-plot --out n.safetensors"),
        "forecast n.safetensors bad.csv --steps 2".into(),
        "stream n.safetensors --learn".into(),
        format!("train long.csv --series shop --per-series {flags}"),
        "evaluate long.csv models --series shop".into(),
        "evaluate long.csv models --series shop --only nosuch".into(),
        format!("train long.csv --series shop {flags} --out o.safetensors"),
        format!("train cell.csv --column a {flags}"),
        "train x*.csv --column nosuch".into(),
        "train x*.csv extra1 extra2 --hidden 3 --steps 1 --no-plot".into(),
        "info x*.csv".into(),
        "info x*.csv x*.csv".into(),
        "train --no-such-flag x*.csv".into(),
    ];
    for command in commands {
        let (stdout, stderr, _) = said(&run, &format!("\"$R\" {command} </dev/null"));
        for text in [&stdout, &stderr] {
            // data on a pipe are as they are
            assert!(!obeys(text), "{command}\n{text:?}");
        }
        assert!(!format!("{stdout}{stderr}").is_empty(), "{command}");
        assert!(stderr.lines().filter(|line| line.starts_with("error: ")).count() <= 1, "{command}\n{stderr}");
    }
    for page in ["e.html", "e.svg"] {
        let text = run.text(page);
        assert!(!obeys(&text) && text.contains("[2J"), "{page}");
    }
    // data are data: who reads the file gets the name as it was
    let scores = run.text("models/scores.csv");
    assert!(scores.contains(&BAD.replace('\r', "\n")), "{scores:?}");
}

/// Data on a terminal are shown, not obeyed.
#[test]
fn data_on_a_terminal() {
    let run = Run::new();
    if said(&run, "script --version").2 != Some(0) {
        return eprintln!("skipped: there is no script, which makes a terminal");
    }
    run.file("bad.csv", series(&[BAD, "b"]));
    run.ok("train bad.csv --epochs 1 --hidden 3 --no-plot --out m.safetensors");
    let (piped, _, _) = said(&run, "\"$R\" predict m.safetensors bad.csv");
    assert!(piped.contains(&BAD.replace('\r', "\n")));
    let (shown, _, code) = said(&run, "script -qec '\"$R\" predict m.safetensors bad.csv' /dev/null </dev/null");
    assert!(code == Some(0) && shown.contains(r"x\u{1b}[2J") && !obeys(&shown.replace('\r', "")), "{shown:?}");
}

#[test]
fn markup_in_names_is_text() {
    let run = Run::new();
    let name = "<script>alert(1)</script>&'";
    run.file("bad.csv", series(&[name, "b"]));
    run.ok("evaluate bad.csv --epochs 1 --hidden 3 --html e.html --plot e.svg");
    for page in ["e.html", "e.svg"] {
        let text = run.text(page);
        assert!(!text.contains("<script") && text.contains("&lt;script&gt;"), "{page}");
    }
}

#[test]
fn many_and_long_names_are_cut() {
    let run = Run::new();
    let many: Vec<String> = (0..20_000).map(|column| format!("column{column}")).collect();
    let row = |value: usize| (0..20_000).map(|column| ((column + value) % 7).to_string()).collect::<Vec<_>>().join(",");
    run.file("many.csv", format!("{}\n{}\n{}\n", many.join(","), row(1), row(2)));
    let long = "y".repeat(30_000);
    run.file("long.csv", series(&[&long, "b"]));
    run.ok("train --steps 1 --no-plot --out m.safetensors");
    let line = run.fails("predict m.safetensors many.csv", &["\"column0\"", "and 19990 more"]);
    assert!(line.len() < 500);
    run.fails("train many.csv --column nosuch", &["\"nosuch\"", "and 19990 more"]);
    let line = run.fails("train long.csv --column nosuch", &["yyy..."]);
    assert!(line.len() < 300, "{line}");
    let answer = run.ok("train long.csv --epochs 1 --hidden 3 --no-plot --out l.safetensors");
    assert!(answer.stdout.lines().all(|line| line.len() < 400), "{}", answer.stdout);
    let answer = run.ok("info l.safetensors");
    assert!(answer.stdout.lines().all(|line| line.len() < 2000), "{}", answer.stdout);
}

/// A series whose name a spreadsheet would compute is a text there and the same name here.
#[test]
fn formulas_are_text_and_read_back() {
    let run = Run::new();
    let names =
        ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "-1.5", "+7", "'=quoted", "''=twice", "plain", "'plain"];
    let mut text = String::from("shop,\"=day\",@sold\n");
    for day in 0..40 {
        for (i, name) in names.iter().enumerate() {
            text += &format!("\"{name}\",2020-01-{:02},{}\n", day % 28 + 1, (day * 7 + i) % 11);
        }
    }
    run.file("all.csv", &text);
    let flags = "--series shop --time 2 --epochs 1 --hidden 3";
    run.ok(&format!("train all.csv --per-series {flags}"));
    let first = |text: &str| -> Vec<String> {
        let mut reader = csv_cells(text);
        reader.dedup();
        reader
    };
    let expected =
        ["'=cmd|' /C calc'!A0", "'+1+1", "'-2+3", "'@SUM(A1)", "-1.5", "+7", "'=quoted", "''=twice", "plain", "'plain"];
    // what is written: in the table of the folder, in predictions, in scores
    assert_eq!(first(&run.text("models/scores.csv")), expected);
    run.ok("predict models all.csv --series shop --time 2 --out p.csv");
    assert_eq!(first(&run.text("p.csv")), expected);
    assert!(run.text("p.csv").starts_with("shop,'=day,'@sold_next\n"), "{}", &run.text("p.csv")[..60]);
    run.ok("evaluate all.csv models --series shop --time 2 --out e.csv --forecasts f.csv");
    assert_eq!(first(&run.text("e.csv")), expected);
    // no row of numbers begins with a sign of text
    assert!(run.text("p.csv").lines().skip(1).all(|line| line.rsplit(',').next().unwrap().parse::<f64>().is_ok()));
    // and what is written reads back: each series finds its model, and predictions are a table of the same series
    run.ok("train p.csv --series shop --time =day --column @sold_next --per-series --epochs 1 --hidden 3 --out again");
    assert_eq!(first(&run.text("again/scores.csv")), expected);
}

/// The first cells of all rows but the header.
fn csv_cells(text: &str) -> Vec<String> {
    let cell = |line: &str| match line.strip_prefix('"') {
        Some(rest) => rest.split("\",").next().unwrap().replace("\"\"", "\""),
        None => line.split(',').next().unwrap().to_string(),
    };
    text.lines().skip(1).map(cell).collect()
}

/// A table from elsewhere names no file outside its folder.
#[test]
fn a_folder_reads_nothing_outside() {
    let run = Run::new();
    run.file(
        "all.csv",
        "shop,sold\n".to_string() + &(0..80).map(|i| format!("{},{}\n", i % 2, i * 7 % 11)).collect::<String>(),
    );
    run.ok("train all.csv --series shop --per-series --epochs 1 --hidden 3");
    let table = run.text("models/scores.csv");
    for file in ["../m.safetensors", "/etc/passwd", "a/b.safetensors", ".."] {
        fs::write(run.path("models/scores.csv"), table.replace("0.safetensors", file)).unwrap();
        run.fails(
            "predict models all.csv --series shop",
            &["scores.csv: line 2", "must be a plain file name, without a folder"],
        );
    }
}
