//! `rnnstep search` prints what it finds, goes on where it stopped, and refuses what it cannot
//! search.

use super::run::{Answer, Run};
use std::collections::BTreeSet;
use std::time::Duration;

fn lines(run: &Run, name: &str) -> BTreeSet<String> {
    run.text(name).lines().map(String::from).collect()
}

/// Waits until a journal has its head and so many whole lines more.
fn wait_for(run: &Run, name: &str, count: usize) {
    for _ in 0..12_000 {
        let text = std::fs::read_to_string(run.path(name)).unwrap_or_default();
        if text.matches('\n').count() > count {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{name} never had {count} lines");
}

#[test]
fn says_what_it_found_and_that_it_is_optimistic() {
    let run = Run::new();
    run.example("sunspots.csv");
    let args = "search sunspots.csv --tries 9 --epochs 24 --hidden 6 --seed 2";
    let Answer { stdout: said, stderr, .. } = run.ok(args);
    let columns = "columns: reads \"sunspots\", predicts \"sunspots\", time \"year\" (in steps of 1)\n";
    assert_eq!(stderr, columns);
    for words in [
        "sunspots.csv: 9 candidates in 12 trainings, scored on rows 199 to 247; rows 248 to 309 were not used",
        "winner: candidate ",
        " -> 6",
        "inside the search, after 24 epochs: an error of 0.",
        "this is optimistic: it is the best score of 9 candidates, and it chose the winner",
        "rows 248 to 309, forecast one step ahead by the winner, trained on the 247 rows before",
        "sunspots: ",
        " ± ",
        "last value",
        "seasonal naive (11 rows)",
        "circular block bootstrap",
        "next     rnnstep train --config recipe.toml",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    // the sentence about the untouched rows is that of evaluate
    let walk = run.ok("evaluate --config recipe.toml").stdout;
    let sentence = |text: &str| text.lines().find(|line| line.starts_with("sunspots: ")).map(String::from).unwrap();
    assert_eq!(sentence(&walk), sentence(&said));
    run.ok("train --config recipe.toml --no-plot");
    // any number of threads finds the same; a journal of the same search has nothing to do
    run.ok(&format!("{args} --threads 3 --out b.toml"));
    assert_eq!(run.text("b.toml"), run.text("recipe.toml"));
    assert_eq!(lines(&run, "b.journal.json"), lines(&run, "recipe.journal.json"));
    let again = run.ok(args);
    assert_eq!(again.stdout, said);
    let continuing = "continuing: 12 trainings are in recipe.journal.json already\n".to_string();
    assert_eq!(again.stderr, continuing + columns);
    // the same rows elsewhere are the same; more tries go on from there
    std::fs::copy(run.path("sunspots.csv"), run.path("moved.csv")).unwrap();
    let more = run.ok("search moved.csv --tries 12 --epochs 24 --hidden 6 --seed 2").stdout;
    assert!(more.contains("12 candidates in "), "{more}");
    run.ok("search sunspots.csv --tries 12 --epochs 24 --hidden 6 --seed 2 --out c.toml");
    let winner = |name: &str| {
        run.text(name).lines().filter(|line| !line.starts_with("data")).map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(winner("recipe.toml"), winner("c.toml"));
    // options of a file hold for every candidate, and what they say is not searched
    run.file("base.toml", "data = \"sunspots.csv\"\ncell = \"gru\"\nbatch = 2\nseason = 11\ntries = 3\nepochs = 2\n");
    run.ok("search --config base.toml --out d.toml --lr 0.02");
    let found = run.text("d.toml");
    for line in ["cell = \"gru\"", "batch = 2", "lr = 0.02", "epochs = 2"] {
        assert!(found.lines().any(|found| found == line), "{line}\n{found}");
    }
    assert_eq!(run.text("d.journal.json").matches("\"about\":\"cell gru ").count(), 3);
    run.ok("train --config d.toml --no-plot");
    // several columns, one of them to predict, and one that is no input
    run.example("seattle-weather.csv");
    let weather =
        "search seattle-weather.csv --tries 2 --epochs 1 --hidden 4 --out w.toml --column temp_max,wind --target";
    assert!(run.ok(&format!("{weather} temp_max")).stdout.contains("temp_max: "));
    assert!(run.ok(&format!("{weather} temp_min --journal w2.json")).stdout.contains("temp_min: "));
}

#[test]
fn goes_on_after_it_was_killed() {
    let run = Run::new();
    run.example("sunspots.csv");
    let args = "search sunspots.csv --tries 30 --epochs 150 --seed 4";
    let whole = run.ok(&format!("{args} --out whole.toml --threads 2"));
    for (after, threads) in [(1, 1), (7, 2), (31, 1)] {
        let args = format!("{args} --threads {threads} --out part.toml --journal j.json");
        let talk = run.talk(&args);
        wait_for(&run, "j.json", after);
        drop(talk); // kill -9
        let left = lines(&run, "j.json").len() - 1;
        assert!(left >= after);
        let answer = run.ok(&args);
        assert!(answer.stderr.starts_with(&format!("continuing: {left} training")), "{}", answer.stderr);
        assert_eq!(run.text("part.toml"), run.text("whole.toml"));
        assert_eq!(lines(&run, "j.json"), lines(&run, "whole.journal.json"));
        assert_eq!(answer.stdout.lines().take(9).collect::<Vec<_>>(), whole.stdout.lines().take(9).collect::<Vec<_>>());
        std::fs::remove_file(run.path("j.json")).unwrap();
    }
    // a line that was torn, one that is nonsense, and the last one cut off
    let journal = run.text("whole.journal.json");
    let mut torn: Vec<&str> = journal.lines().collect();
    torn[3] = "{\"candidate\":";
    torn[5] = "nonsense";
    let torn = torn.join("\n");
    run.file("j.json", &torn[..torn.len() - 20]);
    let answer = run.ok(&format!("{args} --out part.toml --journal j.json"));
    assert!(answer.stderr.contains("warning: j.json: 3 lines cannot be read, so the trainings"), "{}", answer.stderr);
    assert_eq!(run.text("part.toml"), run.text("whole.toml"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_the_best_so_far() {
    let run = Run::new();
    run.example("sunspots.csv");
    let args = "search sunspots.csv --tries 100000 --epochs 100 --threads 2";
    let talk = run.talk(args);
    wait_for(&run, "recipe.journal.json", 4);
    talk.interrupt();
    let answer = talk.end();
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.after("interrupted after ").contains("run the same command again to continue"), "{}", answer.stdout);
    assert!(!answer.stdout.contains("circular block bootstrap"), "the untouched rows stay so\n{}", answer.stdout);
    assert!(run.text("recipe.toml").contains("epochs = 100"));
    run.ok("train --config recipe.toml --epochs 1 --no-plot");
    // a budget, and once more
    let known = lines(&run, "recipe.journal.json").len() - 1;
    let answer = run.ok(&format!("{args} --budget 0.6s"));
    assert!(answer.stderr.starts_with(&format!("continuing: {known} trainings")), "{}", answer.stderr);
    assert!(answer.after("the budget is used up: ").contains("run the same command again to continue"));
    assert!(answer.stdout.contains("circular block bootstrap"), "{}", answer.stdout);
    assert!(lines(&run, "recipe.journal.json").len() - 1 > known);
    // without a number of tries the budget alone ends it
    let answer = run.ok("search sunspots.csv --budget 0.01m --out b.toml --epochs 9");
    assert!(answer.stdout.contains("the budget is used up"), "{}", answer.stdout);
    let none = run.run("search sunspots.csv --budget 0s --out c.toml");
    assert!(none.error("search").contains("the budget was used up before the first training was scored"));
    assert!(!run.path("c.toml").exists());
}

#[test]
fn what_is_refused() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("search sunspots.csv --tries 2 --epochs 1");
    run.file("other.csv", run.text("sunspots.csv").replacen(",5\n", ",6\n", 1));
    let again = "--tries 2 --epochs 1 --journal recipe.journal.json";
    run.file("other.json", "1,2\n");
    for (args, says) in [
        (
            format!("other.csv {again}"),
            "is the journal of another search (of other data, or of other candidates); give another --journal, or remove it",
        ),
        (format!("sunspots.csv {again} --seed 1"), "(seed: 0 there, 1 here)"),
        (format!("sunspots.csv {again} --cell lstm"), "(cell: rnn there, lstm here)"),
        (format!("sunspots.csv {again} --cell rnn"), "(given: "),
        (format!("sunspots.csv {again} --test-fraction 0.3"), "(test-fraction: 0.2 there, 0.3 here)"),
        (format!("sunspots.csv {again} --clip 1"), "(clip: not given there, 1.0 here)"),
        ("sunspots.csv --tries 2 --epochs 2".into(), "(epochs: 1 there, 2 here)"),
        ("sunspots.csv --journal other.json".into(), "other.json: is no journal of a search"),
        ("sunspots.csv --out no/r.toml".into(), "create it first"),
        ("missing.csv".into(), "missing.csv"),
    ] {
        run.fails(&format!("search {args}"), &[says]);
    }
    for (args, says) in [
        ("", "DATA is missing"),
        ("sunspots.csv --steps 5", "--steps: a search counts in epochs"),
        ("sunspots.csv --tries 0", "--tries"),
        ("sunspots.csv --epochs 0", "--epochs: must be at least 1"),
        ("sunspots.csv --test-fraction 1", "must be a number above 0 and below 1"),
        ("sunspots.csv --test-fraction 0", "--test-fraction"),
        ("sunspots.csv --threads 0", "--threads"),
        ("sunspots.csv --lr=-1", "--lr"),
        ("sunspots.csv --budget 5", "expected a time such as 60s, 5m or 2h"),
        ("sunspots.csv --budget é", "expected a time such as"),
        ("sunspots.csv --budget=-5s", "expected a time such as"),
        ("sunspots.csv --out a.json --journal a.json", "is named for two files"),
        ("sunspots.csv --target-as seasonal-change --season 9 --tries nine", "--tries"),
    ] {
        run.misused(&format!("search {args}"), &[says]);
    }
}

#[test]
fn a_journal_of_the_first_release_is_continued() {
    let run = Run::new();
    run.example("sunspots.csv");
    run.ok("search sunspots.csv --cell rnn --hidden 8 --tries 2 --epochs 1");
    // commit 2839e17 wrote this hash of the rows and the candidates
    let journal = run.text("recipe.journal.json");
    assert!(journal.contains(r#""rows":"a5317082d50d6b6d""#), "{}", journal.lines().next().unwrap_or_default());
}
