//! A search finds the same on any number of threads and after any stop, and never looks at the rows
//! that it may not see.

use crate::series::{self, table};
use rnnstep::cpu::Threads;
use rnnstep::data::windows::split;
use rnnstep::evaluate::backtest::{Protocol, evaluate};
use rnnstep::evaluate::search::{Attempt, BRACKET, Found, Journal, Rung, Search, rungs};
use rnnstep::random::{Purpose, Random};
use rnnstep::series::one_step::warm_up;

use rnnstep::train::{Length, Plan, Recipe, Table, TargetAs};
use rnnstep::{CellKind, Cpu, Error, TargetTransform, Tensor};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

fn plan(epochs: u64) -> Plan {
    let recipe = Recipe { seed: 5, ..Recipe::default() };
    Plan { seq_len: 20, ..series::plan(CellKind::Rnn, 8, TargetTransform::Value, epochs, recipe) }
}

fn wave(rows: usize) -> Vec<f32> {
    let mut random = Random::new(1, Purpose::Order, 0);
    (0..rows).map(|t| (t as f32 * 0.45).sin() * 3.0 + 10.0 + 0.2 * (random.uniform() - 0.5)).collect()
}

fn search(values: &[f32], plan: &Plan) -> Search {
    let mut search = Search::new(&table(values), plan.clone(), &[], 0.2, Cpu::detect().unwrap()).unwrap();
    // small ones, since tests are many
    search.space().hidden = vec![2, 5, 8];
    search
}

/// A search to its end, and everything it tried, in the order of numbers.
fn run(search: &Search, tries: usize, threads: usize, known: &[Attempt]) -> (Found, BTreeSet<String>) {
    let attempts = Mutex::new(known.to_vec());
    let seen = |attempt: &Attempt| {
        attempts.lock().unwrap().push(attempt.clone());
        Ok(())
    };
    let found = search.run(Some(tries), &Threads::new(threads).unwrap(), known, &|| false, &seen).unwrap();
    assert!(found.complete);
    let attempts = attempts.into_inner().unwrap();
    assert_eq!(found.fresh, attempts.len() - known.len());
    (found, attempts.iter().map(|attempt| format!("{attempt:?}")).collect())
}

fn same(a: &Found, b: &Found) -> bool {
    a.winner == b.winner && (a.candidates, a.trainings) == (b.candidates, b.trainings)
}

#[test]
fn a_third_goes_on() {
    let of = |candidates, epochs| -> Vec<(usize, u64)> {
        rungs(candidates, epochs).iter().map(|&Rung { candidates, epochs }| (candidates, epochs)).collect()
    };
    assert_eq!(of(27, 100), [(27, 11), (9, 33), (3, 100)]);
    assert_eq!(of(1, 100), [(1, 100)]);
    assert_eq!(of(3, 7), [(3, 7)]);
    assert_eq!(of(4, 100), [(4, 33), (1, 100)]);
    assert_eq!(of(26, 2), [(26, 1), (8, 1), (2, 2)]);
}

#[test]
fn candidates_are_balanced_and_do_not_depend_on_how_many_there_are() {
    let mut search = search(&wave(500), &plan(9));
    let all = search.candidates(61);
    assert_eq!(all[..10], search.candidates(10)[..]);
    assert_eq!(all[0].recipe.lr, 0.01, "number 0 is what was asked for");
    assert!((1..61).all(|i| !all[..i].contains(&all[i])));
    for cell in CellKind::ALL {
        let count = all[1..].iter().filter(|plan| plan.shape.cell() == cell).count();
        assert_eq!(count, 60 / CellKind::ALL.len());
    }
    for hidden in [2, 5, 8] {
        assert_eq!(all[1..].iter().filter(|plan| plan.shape.hidden() == hidden).count(), 20);
    }
    assert_eq!(all[1..].iter().filter(|plan| plan.seq_len == 40).count(), 15);
    assert!(all.iter().all(|plan| (1e-3..=3e-2).contains(&plan.recipe.lr)));
    assert!(all[1..].iter().filter(|plan| plan.recipe.lr < 5.5e-3).count().abs_diff(30) < 12);
    // the same network from another seed is another search
    let mut other = plan(9);
    other.recipe.seed = 6;
    assert!(self::search(&wave(500), &other).candidates(9)[1..] != all[1..9]);
    // where little can be chosen there are few
    let space = search.space();
    (space.cells, space.hidden, space.lr) = (vec![CellKind::Gru], vec![3], (0.01, 0.01));
    (space.layers, space.transforms) =
        (vec![1], [TargetTransform::Value, TargetTransform::Change].map(Into::into).into());
    assert_eq!(search.candidates(1000).len(), 1 + 2 * search.space().seq_lens.len());
}

#[test]
fn forms_are_those_that_the_rows_allow() {
    let transforms = |values: &[f32]| search(values, &plan(1)).space().transforms.clone();
    let given = |transforms: &[TargetTransform]| transforms.iter().map(|&one| one.into()).collect::<Vec<TargetAs>>();
    let noise: Vec<f32> = {
        let mut random = Random::new(4, Purpose::Order, 0);
        (0..300).map(|_| random.uniform() + 1.0).collect()
    };
    let three = [TargetTransform::Value, TargetTransform::Change, TargetTransform::RelativeChange];
    assert_eq!(transforms(&noise), given(&three));
    assert_eq!(transforms(&wave(300)).last(), Some(&TargetTransform::SeasonalChange { season: 14 }.into()));
    let mut zero = noise.clone();
    zero[299] = 0.0;
    assert_eq!(transforms(&zero).len(), 3, "a zero that is not looked at");
    zero[3] = 0.0;
    assert_eq!(transforms(&zero), given(&three[..2]));
    let column = |values: &[f32]| Tensor::new([values.len(), 1], values.to_vec()).unwrap();
    let other = Table::new(column(&noise), column(&wave(300)), None).unwrap();
    let mut search = Search::new(&other, plan(1), &[], 0.2, Cpu::detect().unwrap()).unwrap();
    assert_eq!(search.space().transforms, given(&three[..1]), "a target that is no input has no last value");
}

#[test]
fn threads_stops_and_a_journal_change_nothing() {
    let search = search(&wave(260), &plan(10));
    let (found, attempts) = run(&search, 35, 1, &[]);
    assert_eq!((found.candidates, found.trainings, found.fresh), (35, 39 + 8 + 2, 39 + 8 + 2));
    assert_eq!(search.trainings(35), found.trainings);
    let (_, attempt) = found.winner.as_ref().unwrap();
    assert_eq!(attempt.epochs, 10, "the winner is one of those that were trained longest");
    for threads in [2, 5] {
        let (other, others) = run(&search, 35, threads, &[]);
        assert!(same(&found, &other) && attempts == others, "{threads} threads");
    }
    // stopped after so many trainings, on several threads, and gone on with from a file
    let folder = tempfile::tempdir().unwrap();
    for (most, threads) in [(1, 1), (11, 3), (28, 2), (38, 1), (45, 2)] {
        let path = folder.path().join(format!("{most}"));
        let asked = serde_json::json!({ "rows": search.fingerprint() });
        let (journal, done) = (Journal::open(&path, &asked).unwrap(), AtomicUsize::new(0));
        let stop = || done.load(Ordering::Relaxed) >= most;
        let seen = |attempt: &Attempt| {
            done.fetch_add(1, Ordering::Relaxed);
            journal.add(attempt)
        };
        let part = search.run(Some(35), &Threads::new(threads).unwrap(), &[], &stop, &seen).unwrap();
        assert!(!part.complete && part.trainings >= most && part.winner.is_some());
        drop(journal);
        let journal = Journal::open(&path, &asked).unwrap();
        assert_eq!((journal.attempts().len(), journal.damaged()), (part.trainings, 0));
        let (other, others) = run(&search, 35, 2, journal.attempts());
        assert!(same(&found, &other) && attempts == others, "stopped after {most}");
    }
    // what a journal has beyond what is asked for does no harm
    let mut more: Vec<Attempt> = Vec::new();
    let collected = Mutex::new(&mut more);
    let seen = |attempt: &Attempt| {
        collected.lock().unwrap().push(attempt.clone());
        Ok(())
    };
    search.run(Some(BRACKET + 8), &Threads::default(), &[], &|| false, &seen).unwrap();
    let (few, _) = run(&search, 9, 1, &[]);
    let again = search.run(Some(9), &Threads::default(), &more, &|| false, &|_| Ok(())).unwrap();
    assert_eq!(few.winner, again.winner);
    // nor what it says of another network
    more.iter_mut().filter(|attempt| attempt.candidate == 7).for_each(|attempt| {
        (attempt.score, attempt.about) = (Some(0.0), "cell lstm hidden 9".into());
    });
    let again = search.run(Some(9), &Threads::default(), &more, &|| false, &|_| Ok(())).unwrap();
    assert!(few.winner == again.winner && again.fresh >= 1);
}

#[test]
fn rows_of_the_test_part_are_never_looked_at() {
    let values = wave(260);
    let (training, test) = split(values.len(), 0.2).unwrap();
    let plain = search(&values, &plan(6));
    assert_eq!((plain.rows().test, plain.rows().scored), (test.clone(), 166..training.end));
    let (found, attempts) = run(&plain, 27, 2, &[]);
    for other in [f32::NAN, 0.0, 1e30] {
        let mut changed = values.clone();
        changed[test.clone()].fill(other);
        let changed = search(&changed, &plan(6));
        assert_eq!(plain.fingerprint(), changed.fingerprint());
        let (other, others) = run(&changed, 27, 2, &[]);
        assert!(same(&found, &other) && attempts == others);
    }
    // any other row is looked at
    for row in [0, 100, 165, training.end - 1] {
        let mut changed = values.clone();
        changed[row] += 0.5;
        let changed = search(&changed, &plan(6));
        assert_ne!(plain.fingerprint(), changed.fingerprint());
        assert!(run(&changed, 27, 2, &[]).1 != attempts, "{row}");
    }
}

#[test]
fn the_score_is_that_of_a_walk() {
    let values = wave(300);
    for transform in [TargetTransform::Value, TargetTransform::Change, TargetTransform::SeasonalChange { season: 14 }] {
        let plan = plan(12).with_transform(transform);
        let search = search(&values, &plan);
        let (found, _) = run(&search, 1, 1, &[]);
        let (winner, attempt) = found.winner.unwrap();
        let rows = search.rows();
        let training = table(&values).part(0..rows.test.start).unwrap();
        let protocol =
            Protocol::new(rows.scored.start, 1).with_seasons(vec![14]).with_lags(20).with_warm_up(warm_up(20));
        let device = Cpu::detect().unwrap().into();
        let walk = evaluate(&training, &protocol, &device, |rows, _, _| {
            let fit = winner.start(&[rows], Cpu::detect()?, Threads::default());
            Ok(fit?.finish()?.model)
        });
        let column = &walk.unwrap().columns[0];
        let score = 1.0 - column.comparisons[0].skill;
        assert!((attempt.score.unwrap() - score).abs() < 1e-6 * score, "{transform:?}: {attempt:?} {score}");
    }
}

#[test]
fn what_grows_is_told_by_its_changes() {
    let mut random = Random::new(2, Purpose::Order, 0);
    let (mut at, mut values) = (50.0, Vec::new());
    for _ in 0..400 {
        at += 0.5 + 2.0 * (random.uniform() - 0.5);
        values.push(at + 0.3 * (random.uniform() - 0.5));
    }
    let search = search(&values, &plan(20));
    let (found, _) = run(&search, 27, 2, &[]);
    let (plan, attempt) = found.winner.unwrap();
    let changes = [TargetTransform::Change, TargetTransform::RelativeChange].map(TargetAs::from);
    assert!(changes.contains(&plan.transform), "{plan:?}");
    assert!(attempt.score.unwrap() < 1.1, "{attempt:?}");
    let (evaluation, _) = search.test(&table(&values), &plan).unwrap();
    assert_eq!(evaluation.origins, 319..399);
}

#[test]
fn an_obviously_better_candidate_wins() {
    // the base hardly moves
    let mut lame = plan(30);
    lame.recipe.lr = 1e-7;
    let mut search = search(&wave(400), &lame);
    search.space().transforms = vec![TargetTransform::Value.into()];
    let (found, attempts) = run(&search, 12, 2, &[]);
    let (winner, attempt) = found.winner.unwrap();
    let base = attempts.iter().find(|text| text.contains("candidate: 0,")).unwrap();
    let base: f64 = base.split("Some(").nth(1).unwrap().split(')').next().unwrap().parse().unwrap();
    assert!(attempt.candidate > 0 && attempt.score.unwrap() < 0.2 * base, "{winner:?} {attempt:?} {base}");
}

#[test]
fn what_fails_loses_and_says_why() {
    let mut wild = plan(5);
    wild.recipe.lr = 1e30;
    let mut search = search(&wave(260), &wild);
    let (found, attempts) = run(&search, 5, 2, &[]);
    assert!(found.winner.unwrap().1.candidate > 0);
    assert!(attempts.iter().any(|text| text.contains("candidate: 0,") && text.contains("score: None")), "{attempts:?}");
    search.space().lr = (1e30, 1e30);
    let error = search.run(Some(5), &Threads::default(), &[], &|| false, &|_| Ok(())).unwrap_err().to_string();
    assert!(error.starts_with("every candidate failed; the reason of the first one: the loss of step"), "{error}");
    // a journal that cannot be written ends the search
    let full = |_: &Attempt| Err(Error::Invalid("the disk is full".into()));
    let search = self::search(&wave(260), &plan(5));
    let error = search.run(Some(5), &Threads::new(3).unwrap(), &[], &|| false, &full).unwrap_err();
    assert_eq!(error.to_string(), "the disk is full");
    let nothing = search.run(None, &Threads::default(), &[], &|| true, &|_| Ok(())).unwrap();
    assert!(nothing.winner.is_none() && !nothing.complete && nothing.trainings == 0);
    let of = |values: &[f32], plan: Plan, fraction| {
        let found = Search::new(&table(values), plan, &[], fraction, Cpu::detect().unwrap());
        found.map(drop).unwrap_err().to_string()
    };
    assert!(of(&wave(9), plan(1), 0.01).contains("too few"));
    assert!(of(&wave(100), plan(1), 1.0).contains("must be above 0 and below 1"));
    assert!(of(&[2.0; 100], plan(1), 0.2).contains("never wrong"));
    assert!(of(&wave(100), Plan { length: Length::Steps(4), ..plan(1) }, 0.2).contains("in epochs"));
}

#[test]
fn a_damaged_journal_loses_a_line_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let asked = serde_json::json!({ "seed": 1, "rows": "a" });
    let attempt =
        |candidate| Attempt { candidate, epochs: 3, score: Some(0.1 + 0.2), why: None, about: "cell rnn".into() };
    {
        let journal = Journal::open(&path, &asked).unwrap();
        (0..4).for_each(|candidate| journal.add(&attempt(candidate)).unwrap());
    }
    assert_eq!(Journal::open(&path, &asked).unwrap().attempts(), [0, 1, 2, 3].map(attempt));
    let whole = std::fs::read(&path).unwrap();
    let head = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for cut in head..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        {
            let journal = Journal::open(&path, &asked).unwrap();
            assert!(journal.damaged() <= 1);
            journal.add(&attempt(9)).unwrap();
        }
        let journal = Journal::open(&path, &asked).unwrap();
        assert_eq!(journal.attempts().last(), Some(&attempt(9)), "cut to {cut}");
    }
    let mut torn = whole.clone();
    torn[head + 5..head + 9].fill(0xff);
    std::fs::write(&path, &torn).unwrap();
    let journal = Journal::open(&path, &asked).unwrap();
    assert_eq!((journal.attempts().len(), journal.damaged()), (3, 1));
    for (other, says) in [
        (serde_json::json!({ "seed": 2, "rows": "b" }), "(seed: 1 there, 2 here)"),
        (serde_json::json!({ "seed": 1, "rows": "b" }), "(of other data, or of other candidates)"),
        (serde_json::json!({ "seed": 1, "rows": "a", "clip": 3 }), "(clip: not given there, 3 here)"),
    ] {
        let error = Journal::open(&path, &other).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("another search"), "{error}");
    }
    std::fs::write(&path, "a,b\n1,2\n").unwrap();
    assert!(Journal::open(&path, &asked).unwrap_err().to_string().contains("no journal of a search"));
    assert_eq!(std::fs::read(&path).unwrap(), b"a,b\n1,2\n", "what is no journal stays as it is");
}

/// A search over thousands of named columns has a long first line, and goes on from it all the same.
#[test]
fn a_journal_with_a_long_head_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let asked = serde_json::json!({ "seed": 1, "column": vec!["column00000"; 9000] });
    let attempt = Attempt { candidate: 0, epochs: 1, score: Some(0.5), why: None, about: "cell rnn".into() };
    Journal::open(&path, &asked).unwrap().add(&attempt).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() > 1 << 16);
    assert_eq!(Journal::open(&path, &asked).unwrap().attempts(), [attempt]);
    // to a search that asks for little, such a line is none of a journal
    let error = Journal::open(&path, &serde_json::json!({ "seed": 1 })).unwrap_err().to_string();
    assert!(error.contains("no journal of a search"), "{error}");
}
