//! `rnnstep evaluate` prints and writes a backtest; models that predict changes work in every
//! command.

use super::run::{Run, numbers};
use rnnstep::{Model, Stream, TargetTransform};

/// A line that grows by steps nobody can foretell, and a wave that everybody can.
fn series(run: &Run) {
    let mut state = 7_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24) - 0.5
    };
    let (mut walk, mut text) = (100.0, String::from("day,walk,wave\n"));
    for t in 0..300 {
        walk += noise() + 0.3;
        text += &format!("{t},{walk:.4},{:.4}\n", (f64::from(t) * 0.6).sin() * 5.0 + 20.0 + 0.3 * noise());
    }
    run.file("s.csv", text);
}

#[test]
fn says_whether_a_model_is_worth_anything() {
    let run = Run::new();
    series(&run);
    let train = "--cell lstm --hidden 8 --epochs 40 --target-as change";
    let wave = run.ok(&format!(
        "evaluate s.csv --column wave {train} --horizon 3 --out s.out.csv --html r.html --forecasts f.csv"
    ));
    let said = &wave.stdout;
    assert!(said.contains("wave, one step ahead: better than ") && said.contains(" ± "), "{said}");
    assert!(
        said.contains(
            "rows 241 to 300 of 300, forecast 1 to 3 steps ahead by a model trained once, on the 240 rows before"
        ),
        "{said}"
    );
    for word in [
        "last value",
        "seasonal naive (",
        "mean",
        "drift",
        "autoregression",
        "circular block bootstrap",
        "Diebold-Mariano",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(said.contains("wave: worth using one step ahead only: two steps ahead it is not surely better"), "{said}");
    // every score is in the table: 6 forecasts x 3 horizons, and those of the model say how good it is
    let scores = run.text("s.out.csv");
    let rows: Vec<Vec<&str>> = scores.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].len(), rows[0][0], rows[0][10]), (19, 14, "column", "skill"));
    let rmse = |row: &[&str]| row[6].parse::<f64>().unwrap();
    let naive = rows.iter().find(|row| row[1] == "1" && row[2] == rows[1][9]).unwrap();
    let skill = 1.0 - rmse(&rows[1]) / rmse(naive);
    assert!((rows[1][10].parse::<f64>().unwrap() - skill).abs() < 1e-9);
    // the scores are those of the forecasts that were written
    let written = run.text("f.csv");
    let header = written.lines().next().unwrap();
    assert_eq!(header, "day,ahead,column,actual,model,last value,seasonal naive (21 rows),mean,drift,autoregression");
    let mut squares = (0.0, 0.0);
    let known = run.text("s.csv");
    let day = |t: usize| known.lines().nth(t + 1).unwrap().rsplit(',').next().unwrap().parse::<f64>().unwrap();
    for line in written.lines().skip(1).filter(|line| line.split(',').nth(1) == Some("1")) {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |i: usize| cells[i].parse::<f64>().unwrap();
        let t: usize = cells[0].parse().unwrap();
        assert!((number(3) - day(t)).abs() < 1e-4 && (number(5) - day(t - 1)).abs() < 1e-4, "{line}");
        squares = (squares.0 + (number(4) - number(3)).powi(2), squares.1 + 1.0);
    }
    assert!(((squares.0 / squares.1).sqrt() - rmse(&rows[1])).abs() < 1e-4);
    // one file, with pictures, and nothing from elsewhere
    let page = run.text("r.html");
    assert_eq!(page.matches("<svg ").count(), 4);
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="));
    assert!(page.replace("http://www.w3.org/2000/svg", "").find("http").is_none());
    let tree = page.replacen("<!doctype html>", "", 1).replace("<meta charset=\"utf-8\">", "").replace("<br>", "");
    let tree = tree.replace("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">", "");
    roxmltree::Document::parse(tree.trim()).unwrap();
    // what nobody can foretell
    let walk = run.ok(&format!("evaluate s.csv --column walk {train}"));
    assert!(
        walk.stdout.contains("walk: no better than ") && walk.stdout.contains("do not use this"),
        "{}",
        walk.stdout
    );
    assert!(walk.stdout.contains("note: nothing was learned that shows"), "{}", walk.stdout);
    let plain = run.ok("evaluate s.csv --column walk --cell lstm --hidden 8 --epochs 40 --target-as value");
    assert!(plain.stdout.contains("walk: worse than the drift by "), "{}", plain.stdout);
    // the same words again
    assert_eq!(run.ok(&format!("evaluate s.csv --column walk {train}")).stdout, walk.stdout);
}

#[test]
fn a_model_as_it_is_and_trained_anew() {
    let run = Run::new();
    series(&run);
    run.ok("train s.csv --column wave --cell gru --hidden 8 --epochs 20 --no-plot");
    let as_it_is = run.ok("evaluate s.csv model.safetensors").stdout;
    assert!(as_it_is.contains("by a model used unchanged") && as_it_is.contains("are optimistic"), "{as_it_is}");
    // 240 of 300 rows were trained on
    let half = run.ok("evaluate s.csv model.safetensors --test-fraction 0.5").stdout;
    assert!(half.contains("trained on 90 of these rows, so its scores are too optimistic"), "{half}");
    // the score of training, on the same rows
    let trained = run.ok("train s.csv --column wave --cell gru --hidden 8 --epochs 20 --no-plot").stdout;
    let rmse = trained.split("RMSE ").nth(1).unwrap().split(' ').next().unwrap();
    let model = as_it_is.lines().find(|line| line.starts_with("  model")).unwrap();
    let shown: f64 = model.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((shown - rmse.parse::<f64>().unwrap()).abs() < 1e-4, "{rmse} {model}");
    let anew = run.ok("evaluate s.csv model.safetensors --refit 30 --sliding 100 --gap 2 --test-fraction 0.3").stdout;
    let words = "by a model trained 3 times, each time on the last 100 rows before, 2 rows left out in between";
    assert!(anew.contains(words), "{anew}");
    for (wrong, code, says) in [
        ("evaluate", 2, "DATA is missing"),
        ("evaluate s.csv model.safetensors --hidden 9", 2, "--hidden: a MODEL has its own recipe"),
        ("evaluate s.csv model.safetensors --gap 3", 2, "add --refit ROWS"),
        ("evaluate s.csv --test-fraction 1", 2, "must be a number above 0 and below 1"),
        ("evaluate s.csv --test-fraction 0", 2, "must be a number above 0 and below 1"),
        ("evaluate s.csv --horizon 0", 2, "must be a whole number, 1 or more"),
        ("evaluate s.csv --horizon 100", 1, "give more data"),
        ("evaluate s.csv --column walk --target wave --horizon 2 --epochs 1", 1, "predicts all its inputs"),
        ("evaluate s.csv --column walk --target wave --target-as change", 1, "must be among the inputs"),
        (
            "evaluate s.csv --column walk --target-as seasonal-change --epochs 1",
            1,
            "s.csv: --target-as seasonal-change: no season was found",
        ),
        ("evaluate s.csv --threads 0", 2, "must be a whole number between 1 and 1024"),
        ("evaluate s.csv --html no/r.html", 1, "create it first"),
        ("evaluate missing.csv", 1, "missing.csv"),
    ] {
        match code {
            1 => drop(run.fails(wrong, &[says])),
            _ => run.misused(wrong, &[says]),
        }
    }
}

/// White noise: nothing is better than the mean, so a model that is close to it is not called better.
#[test]
fn noise_is_no_better_than_the_mean() {
    let run = Run::new();
    let mut state = 5_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24)
    };
    let lines: String = (0..300).map(|_| format!("{:.3}\n", 50.0 + (0..12).map(|_| noise()).sum::<f64>())).collect();
    run.file("n.csv", format!("x\n{lines}"));
    let said = run.ok("evaluate n.csv --cell lstm --hidden 8 --epochs 20 --horizon 2 --out n.out.csv").stdout;
    assert!(said.contains("than the mean") && !said.contains("x, one step ahead: better"), "{said}");
    assert!(said.contains("x: not worth using: one step ahead it is not surely better"), "{said}");
    assert!(run.text("n.out.csv").contains("x,1,mean,60,"), "{}", run.text("n.out.csv"));
}

/// Seasons that are given are compared with, whatever the target transform is.
#[test]
fn seasons_may_be_given() {
    let run = Run::new();
    series(&run);
    let train = "--column wave --cell rnn --hidden 4 --epochs 1";
    let said = run.ok(&format!("evaluate s.csv {train} --season 10,21 --forecasts f.csv")).stdout;
    assert!(said.contains("seasonal naive (10 rows)") && said.contains("seasonal naive (21 rows)"), "{said}");
    let header = "day,ahead,column,actual,model,last value,seasonal naive (10 rows),seasonal naive (21 rows),mean";
    assert!(run.text("f.csv").starts_with(header));
    // differencing takes the first of them
    let said = run.ok(&format!("evaluate s.csv {train} --season 21,10 --target-as seasonal-change")).stdout;
    assert!(said.contains("seasonal naive (10 rows)") && said.contains("target as change over 21 rows"), "{said}");
    run.file("seasons.toml", "season = [10, 21]\nepochs = 1\n");
    let said = run.ok("evaluate s.csv --column wave --config seasons.toml").stdout;
    assert!(said.contains("seasonal naive (10 rows)") && said.contains("seasonal naive (21 rows)"), "{said}");
    run.ok("search s.csv --column wave --season 10,21 --tries 2 --epochs 2 --out r.toml");
    // the season of a model is among them, next to those that are found
    run.ok(&format!("train s.csv {train} --season 10 --target-as seasonal-change --no-plot"));
    let said = run.ok("evaluate s.csv model.safetensors").stdout;
    assert!(said.contains("seasonal naive (10 rows)") && said.contains("seasonal naive (21 rows)"), "{said}");
    // a season has to fit into the rows before the part to forecast
    for command in ["evaluate s.csv --column wave --epochs 1", "evaluate s.csv model.safetensors"] {
        run.fails(
            &format!("{command} --season 100000"),
            &["s.csv: season 100000: must be less than the", "rows before"],
        );
    }
    run.fails("search s.csv --column wave --season 100000 --tries 1 --epochs 1 --out big.toml", &["season 100000"]);
    run.misused(&format!("train s.csv {train} --season 10,21 --target-as seasonal-change"), &["takes one season"]);
    run.misused(&format!("evaluate s.csv {train} --season 10,0"), &["must be a whole number, 1 or more"]);
}

/// What a note says of the rows that a model was trained on holds for this table, not for the one of its training.
#[test]
fn stronger_opponents() {
    let run = Run::new();
    series(&run);
    let train = "--hidden 4 --epochs 2 --target-as value";
    let files = "--out o.csv --forecasts f.csv --html r.html";
    let said = run.ok(&format!("evaluate s.csv --column wave {train} --horizon 3 --against ets,mstl {files}")).stdout;
    for word in ["  exponential smoothing ", "  MSTL ", "of the best simple forecast; 95 %", " simple "] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!said.contains("naive forecast"), "{said}");
    let (scores, forecasts) = (run.text("o.csv"), run.text("f.csv"));
    assert!(scores.contains("wave,3,exponential smoothing,") && scores.contains("wave,1,MSTL,"), "{scores}");
    assert!(forecasts.lines().next().unwrap().ends_with(",exponential smoothing,MSTL"), "{forecasts}");
    let page = run.text("r.html");
    assert!(page.contains("<td>exponential smoothing</td>") && page.contains("<td>MSTL</td>"));
    assert!(page.contains("Skill against the best simple forecast, by steps ahead"));
    // the walk has no season; the rest of the report is as it would be without
    let said = run.ok(&format!("evaluate s.csv --column walk {train} --against mstl")).stdout;
    let note = "note: walk: MSTL takes no part: it needs a season, and none was found in the training rows; give one \
                with --season";
    assert!(said.contains(note) && said.contains("best naive forecast; 95 %"), "{said}");
    let said = run.ok(&format!("evaluate s.csv --column walk {train} --against mstl --season 7")).stdout;
    assert!(!said.contains("takes no part") && said.contains("  MSTL "), "{said}");
    // a model, and several series
    run.ok(&format!("train s.csv --column wave {train} --no-plot"));
    assert!(run.ok("evaluate s.csv model.safetensors --against ets").stdout.contains("  exponential smoothing "));
    let mut long = String::from("shop,v\n");
    for t in 0..120 {
        long += &format!("a,{}\nb,{}\n", [3, 1, 4, 1][t % 4] + t % 7, t * t % 11);
    }
    run.file("long.csv", long);
    let said = run.ok(&format!("evaluate long.csv --series shop {train} --against ets --out m.csv")).stdout;
    assert!(said.contains("best simple") && said.contains(" than the best simple forecast, "), "{said}");
    assert!(run.text("m.csv").contains("b,v,1,exponential smoothing,"));
    run.misused("evaluate s.csv --against arima", &["arima", "ets, mstl"]);
}

#[test]
fn notes_are_true_of_another_table() {
    let run = Run::new();
    series(&run);
    run.ok("train s.csv --column wave --cell gru --hidden 4 --epochs 2 --no-plot");
    let text = run.text("s.csv");
    let lines: Vec<&str> = text.lines().collect();
    let say = |name: &str, rows: Vec<String>| {
        run.file(name, format!("{}\n{}\n", lines[0], rows.join("\n")));
        run.ok(&format!("evaluate {name} model.safetensors")).stdout
    };
    let row = |t: usize| format!("{t},100.0,{:.4}", 20.0 + 5.0 * (t as f64 * 0.6).cos());
    let rows = |range: std::ops::Range<usize>| range.map(|t| lines[t + 1].to_string()).collect::<Vec<_>>();
    let with_more = |from: usize, more: usize| [rows(from..300), (300..300 + more).map(row).collect()].concat();
    // 240 rows were trained on, 60 were held out
    assert!(say("same.csv", rows(0..300)).contains("note: these rows chose the weights"));
    assert!(say("longer.csv", with_more(0, 40)).contains("note: some of these rows chose the weights"));
    assert!(say("cut.csv", with_more(100, 20)).contains("note: some of these rows chose the weights"));
    assert!(!say("new.csv", with_more(0, 300)).contains("note: "), "all of these rows are new");
    assert!(say("other.csv", (0..300).map(row).collect()).contains("note: it is not known whether"));
    assert!(say("shorter.csv", rows(0..230)).contains("note: it is not known whether"));
}

/// The largest number there is, for every flag that counts rows: a line that says so, or a walk that is none the worse.
#[test]
fn the_largest_number_of_rows_overflows_nothing() {
    let run = Run::new();
    series(&run);
    run.ok("train s.csv --column wave --hidden 4 --epochs 1 --no-plot");
    const MOST: usize = usize::MAX;
    for n in [MOST, MOST - 1, MOST - 2, MOST - 239, MOST - 240, MOST / 50 + 1] {
        for flags in ["", "model.safetensors", "--learn"] {
            for flag in ["--horizon", "--gap"] {
                let (model, refit) = if flags == "model.safetensors" { (flags, "--refit 30") } else { ("", flags) };
                run.fails(
                    &format!("evaluate s.csv {model} --column wave {refit} {flag} {n}"),
                    &["300 rows, of which 240", &n.to_string(), "give more data"],
                );
            }
        }
        run.fails(&format!("evaluate s.csv --column wave --seq-len {n}"), &["s.csv: ", "rows"]);
        run.fails(&format!("evaluate s.csv --column wave --season {n} --target-as seasonal-change"), &["season"]);
        run.fails(&format!("evaluate s.csv --column wave --learn --window {n}"), &[]);
        // once only, and on all rows
        for [flag, plain] in [["--refit", ""], ["--sliding", ""], ["--learn --every", "--learn --every 1000"]] {
            let walk = "evaluate s.csv --column wave --hidden 4 --epochs 1 --out";
            run.ok(&format!("{walk} a.csv {flag} {n}"));
            run.ok(&format!("{walk} b.csv {plain}"));
            assert!(run.text("a.csv") == run.text("b.csv"), "{flag} {n}");
        }
        run.fails(
            &format!("evaluate s.csv model.safetensors --horizon 2 --season {n}"),
            &["s.csv: season", "240 rows"],
        );
    }
}

#[test]
fn changes_in_every_command() {
    let run = Run::new();
    series(&run);
    for (transform, expected) in [
        ("change", TargetTransform::Change),
        ("relative-change", TargetTransform::RelativeChange),
        ("seasonal-change --season 10", TargetTransform::SeasonalChange { season: 10 }),
    ] {
        run.ok(&format!(
            "train s.csv --column walk,wave --cell gru --hidden 9 --epochs 8 --no-plot --target-as {transform}"
        ));
        let model = Model::load(run.path("model.safetensors")).unwrap();
        assert_eq!(model.units().unwrap().transform(), expected);
        assert!(run.ok("info model.safetensors").stdout.contains("the network predicts the difference from the "));
        // predict, stream and a stream of the library say the same
        let rows = numbers(&run.text("s.csv"), 1);
        let mut stream = Stream::new(model).unwrap();
        let by_hand: Vec<Vec<f64>> = rows.iter().map(|row| stream.step_f64(row).unwrap().to_vec()).collect();
        assert_eq!(numbers(&run.ok("predict model.safetensors s.csv").stdout, 1), by_hand);
        let lines: String = rows.iter().map(|row| format!("{},{}\n", row[0], row[1])).collect();
        let streamed = run.feed_ok("stream model.safetensors", &lines).stdout;
        assert_eq!(numbers(&format!("\n{streamed}"), 0), by_hand);
        // in two parts, the state in a file in between
        let halves = [&rows[..130], &rows[130..]].map(|rows| {
            let lines: String = rows.iter().map(|row| format!("{},{}\n", row[0], row[1])).collect();
            format!("walk,wave\n{lines}")
        });
        run.file("a.csv", &halves[0]);
        run.file("b.csv", &halves[1]);
        let first = run.ok("predict model.safetensors a.csv --final-state state.safetensors").stdout;
        let second = run.ok("predict model.safetensors b.csv --init-state state.safetensors").stdout;
        assert_eq!([numbers(&first, 0), numbers(&second, 0)].concat(), by_hand);
        // a forecast begins where the last prediction was
        let ahead = run.ok("forecast model.safetensors s.csv --steps 5").stdout;
        assert_eq!(numbers(&ahead, 1)[0], by_hand[by_hand.len() - 1]);
        run.ok("gates model.safetensors s.csv --out g.csv");
        run.fails("convert model.safetensors --to rust", &["predicts changes"]);
        // stopped and gone on with
        let whole = run.bytes("model.safetensors");
        run.ok(&format!("train s.csv --column walk,wave --cell gru --hidden 9 --epochs 3 --no-plot --target-as {transform} --out p.safetensors"));
        run.ok("train --resume p.checkpoint.safetensors --epochs 8 --no-plot");
        assert_eq!(run.bytes("p.safetensors"), whole);
    }
    // the season is found, kept, and is what was found once more
    run.ok("train s.csv --column wave --cell rnn --hidden 4 --epochs 1 --no-plot --target-as seasonal-change");
    let season = Model::load(run.path("model.safetensors")).unwrap().units().unwrap().transform();
    assert_eq!(season, TargetTransform::SeasonalChange { season: 21 }, "two periods are 20.9 rows");
    for (wrong, code, says) in [
        ("train s.csv --season 4", 2, "goes only with --target-as seasonal-change"),
        ("train s.csv --column walk --target-as seasonal-change --season 0", 2, "must be a whole number, 1 or more"),
        (
            "train s.csv --column walk --target-as seasonal-change --season 500",
            1,
            "the first change needs 500 before it",
        ),
        ("train --target-as change", 2, "--target-as: the built-in sine"),
    ] {
        match code {
            1 => drop(run.fails(wrong, &[says])),
            _ => run.misused(wrong, &[says]),
        }
    }
    run.file("zero.csv", "a\n1\n2\n0\n3\n4\n5\n6\n7\n8\n9\n1\n2\n3\n4\n5\n6\n7\n8\n9\n1\n2\n3\n4\n5\n6\n");
    run.fails("train zero.csv --seq-len 4 --target-as relative-change", &["zero.csv", "the value of row 3 is 0"]);
}

/// Heads that say a distribution go through every command: in raw units, and one value of each column where one is wanted.
#[test]
fn distributions_in_every_command() {
    let run = Run::new();
    series(&run);
    for (loss, names) in [
        ("gaussian", "wave_next,wave_next_ln_variance"),
        ("quantiles:0.1,0.5,0.9", "wave_next_0.1,wave_next_0.5,wave_next_0.9"),
    ] {
        for transform in ["value", "change"] {
            let train =
                format!("--column wave --cell gru --hidden 8 --epochs 60 --loss {loss} --target-as {transform}");
            let said = run.ok(&format!("train s.csv {train} --no-plot")).stdout;
            assert!(said.contains("better than the last value"), "{said}");
            let predicted = run.ok("predict model.safetensors s.csv").stdout;
            assert_eq!(predicted.lines().next().unwrap(), format!("day,{names}"));
            let (rows, came) = (numbers(&predicted, 1), numbers(&run.text("s.csv"), 2));
            // how often what came lay within: four fifths between the outer quantiles, two thirds within a deviation
            let inside = |y: &[f64], came: f64| match y {
                [mean, s] => (came - mean).abs() < (s / 2.0).exp(),
                y => came > y[0] && came < y[y.len() - 1],
            };
            let counted = (20..299).filter(|&t| inside(&rows[t], came[t + 1][0])).count() as f64 / 279.0;
            let expected = if loss == "gaussian" { 0.683 } else { 0.8 };
            assert!((counted - expected).abs() < 0.15, "{loss} {transform}: {counted}");
            let point = usize::from(loss != "gaussian");
            let ahead = numbers(&run.ok("forecast model.safetensors s.csv --steps 3").stdout, 1);
            assert_eq!((ahead[0].len(), ahead[0][0]), (1, rows[299][point]));
            assert!(run.ok(&format!("evaluate s.csv {train} --horizon 2")).stdout.contains("better than the "));
            assert!(run.ok("evaluate s.csv model.safetensors --horizon 2").stdout.contains("better than the "));
            let lines: String = came.iter().map(|row| format!("{}\n", row[0])).collect();
            let learned = run.feed_ok("stream model.safetensors --learn", lines).stdout;
            assert!(numbers(&format!("\n{learned}"), 0).iter().flatten().all(|y| y.is_finite()));
            let whole = run.bytes("model.safetensors");
            run.ok(&format!("train s.csv {train} --epochs 20 --no-plot --out p.safetensors").replacen(
                "--epochs 60 ",
                "",
                1,
            ));
            run.ok("train --resume p.checkpoint.safetensors --epochs 60 --no-plot");
            assert_eq!(run.bytes("p.safetensors"), whole, "{loss} {transform}");
        }
        run.ok(&format!("search s.csv --column wave --loss {loss} --tries 3 --epochs 9 --out {}.toml", &loss[..4]));
        run.ok(&format!("train --loss {loss} --plot sine.svg --out sine.safetensors"));
    }
}
