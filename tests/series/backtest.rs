//! The backtest: nothing looks ahead, folds are what they should be, and an unpredictable series is
//! reported as such.

use crate::series::{self, noise, protocol, table, wide};
use rnnstep::evaluate::backtest::{Evaluation, Forecaster, Protocol, Verdict, Window, evaluate};
use rnnstep::series::naive::Naive;
use rnnstep::train::{Plan, Recipe, Table, TargetAs};
use rnnstep::{CellKind, Cpu, Device, Model, Shape, Stream, TargetTransform, Tensor};
use std::cell::RefCell;

fn plan(transform: impl Into<TargetAs>, epochs: u64, seed: u64) -> Plan {
    series::plan(CellKind::Lstm, 8, transform, epochs, Recipe { seed, ..Recipe::default() })
}

fn device() -> Device {
    Cpu::widest().into()
}

fn walk(values: &[f32], protocol: &Protocol, plan: &Plan) -> Evaluation {
    let fit = |rows: &Table, _, _| Ok(plan.start(&[rows], device(), Default::default())?.finish()?.model);
    evaluate(&table(values), protocol, &device(), fit).unwrap()
}

fn random_walk(rows: usize, seed: u64) -> Vec<f32> {
    let mut at = 100.0;
    noise(rows, seed)
        .into_iter()
        .map(|step| {
            at += step;
            at
        })
        .collect()
}

fn waves(rows: usize) -> Vec<f32> {
    (0..rows).zip(noise(rows, 9)).map(|(t, e)| (t as f32 * 0.5).sin() * 3.0 + 0.2 * e + 10.0).collect()
}

#[test]
fn a_random_walk_has_no_skill_and_none_is_claimed() {
    let (mut better, mut skills) = (0, vec![]);
    for seed in 0..20 {
        let found = walk(&random_walk(400, seed), &protocol(320, 1), &plan(TargetTransform::Change, 30, seed));
        let comparison = &found.columns[0].comparisons[0];
        better += usize::from(comparison.verdict() == Verdict::Better);
        skills.push(comparison.skill);
        assert!(comparison.skill > -0.08 && comparison.skill < 0.08, "{seed}: {}", comparison.skill);
    }
    // an interval of 95 % may be wrong once in twenty; the best of the naive ones is found afterwards, which costs a little
    assert!(better <= 2, "{better} of 20: {skills:?}");
    let mean = skills.iter().sum::<f64>() / 20.0;
    assert!(mean > -0.02, "{skills:?}");
}

/// A wave whose length changes: the value one season ago is not where the wave is now, but a network can follow it.
#[test]
fn what_can_be_learned_is_found() {
    let wave = |t: usize| (t as f32 * 0.5 + 4.0 * (t as f32 * 0.03).sin()).sin() * 3.0 + 10.0;
    let values: Vec<f32> = (0..500).zip(noise(500, 9)).map(|(t, e)| wave(t) + 0.2 * e).collect();
    for transform in [TargetTransform::Value, TargetTransform::Change] {
        let found = walk(&values, &protocol(400, 3), &plan(transform, 60, 1));
        for comparison in &found.columns[0].comparisons {
            assert_eq!(comparison.verdict(), Verdict::Better, "{transform:?} {comparison:?}");
            assert!(comparison.p_value.unwrap() < 0.01 && comparison.sentence().starts_with("better than "));
        }
        assert_eq!(found.columns[0].worth_up_to(), 3);
        let direction = found.columns[0].forecasters[0].scores[0].direction.unwrap();
        assert!(direction > 0.8, "{direction}");
    }
    let column = &walk(&waves(500), &protocol(400, 1), &plan(TargetTransform::Value, 1, 1)).columns[0];
    assert_eq!(column.seasons, [25], "two periods are 25.1 rows");
}

/// What comes after a row changes nothing of what was said before it.
#[test]
fn nothing_looks_ahead() {
    let values = waves(200);
    let refit = Protocol { refit: Some(15), horizon: 2, ..protocol(140, 2) };
    let given = [TargetTransform::Value, TargetTransform::Change, TargetTransform::SeasonalChange { season: 12 }];
    for transform in given.map(TargetAs::from).into_iter().chain([TargetAs::Auto, TargetAs::Residual]) {
        let plan = plan(transform, 3, 1);
        let all = walk(&values, &refit, &plan);
        for cut in [155, 171, 199] {
            let mut other = values.clone();
            other[cut..].iter_mut().enumerate().for_each(|(i, v)| *v = 1000.0 - 77.0 * i as f32);
            let changed = walk(&other, &refit, &plan);
            for (a, b) in all.columns[0].forecasters.iter().zip(&changed.columns[0].forecasters) {
                // origins up to row cut - 1 know nothing of row cut
                let known = (cut - all.origins.start) * 2;
                assert_eq!(a.values[..known], b.values[..known], "{} {transform:?} {cut}", a.forecaster);
                // the forecasts after it do
                assert!(
                    known == a.values.len()
                        || a.values[known..] != b.values[known..]
                        || matches!(a.forecaster, Forecaster::SeasonalNaive(_) | Forecaster::Mean)
                );
            }
        }
    }
}

#[test]
fn folds_are_what_they_should_be() {
    let values: Vec<f32> = (0..100).map(|t| t as f32).collect();
    let seen = RefCell::new(vec![]);
    let run = |protocol: &Protocol| {
        seen.borrow_mut().clear();
        let found = evaluate(&table(&values), protocol, &device(), |rows, fold, folds| {
            let rows = rows.targets().data();
            seen.borrow_mut().push((rows[0] as usize, rows[rows.len() - 1] as usize, fold, folds));
            Model::random(Shape::new(CellKind::Gru, 1, 3, 1, 1).unwrap(), 0)
        });
        (found.unwrap(), seen.borrow().clone())
    };
    let base = protocol(80, 1);
    assert_eq!(run(&base).1, [(0, 79, 0, 1)]);
    let (found, folds) = run(&Protocol { refit: Some(8), ..base.clone() });
    assert_eq!(folds, [(0, 79, 0, 3), (0, 87, 1, 3), (0, 95, 2, 3)]);
    assert_eq!((found.origins, found.folds), (79..99, 3));
    let sliding = Protocol { refit: Some(10), window: Window::Sliding(30), gap: 5, ..base.clone() };
    assert_eq!(run(&sliding).1, [(45, 74, 0, 2), (55, 84, 1, 2)]);
    // however large, a step ends where the rows do
    let once = Protocol { refit: Some(usize::MAX), window: Window::Sliding(usize::MAX), ..base.clone() };
    assert_eq!(run(&once).1, [(0, 79, 0, 1)]);
    let (long, short) = (run(&Protocol { warm_up: usize::MAX, ..base.clone() }).0, run(&base).0);
    assert_eq!(long.columns[0].forecasters[0].values, short.columns[0].forecasters[0].values);
    // a straight line: the drift is never wrong, ahead as far as one likes, and the last value by as many as it is ahead
    let (found, _) = run(&Protocol { horizon: 4, ..base.clone() });
    let column = &found.columns[0];
    let of = |who: Forecaster| column.forecasters.iter().find(|forecasts| forecasts.forecaster == who).unwrap();
    for ahead in 0..4 {
        let (drift, last) = (of(Forecaster::Drift).scores[ahead], of(Forecaster::Persistence).scores[ahead]);
        assert_eq!((drift.mse, drift.count, last.mae), (0.0, 20 - ahead, (ahead + 1) as f64));
        assert_eq!(last.mase, (ahead + 1) as f64);
        assert_eq!(column.comparisons[ahead].verdict(), Verdict::Unknown);
        assert!(column.comparisons[ahead].sentence().contains("the drift is never wrong on these rows"));
    }
    for wrong in [
        Protocol { horizon: 0, ..base.clone() },
        Protocol { horizon: 21, ..base.clone() },
        Protocol { first: 2, ..base.clone() },
        Protocol { refit: Some(0), ..base.clone() },
        Protocol { gap: 78, ..base.clone() },
        Protocol { seasons: vec![0], ..base.clone() },
        Protocol { window: Window::Sliding(1), ..base.clone() },
        Protocol { horizon: usize::MAX, ..base.clone() },
        Protocol { horizon: usize::MAX - 79, ..base.clone() },
        Protocol { gap: usize::MAX, ..base.clone() },
        Protocol { gap: usize::MAX - 2, ..base.clone() },
        Protocol { first: usize::MAX, ..base.clone() },
    ] {
        assert!(evaluate(&table(&values), &wrong, &device(), |_, _, _| panic!("no fold of it")).is_err(), "{wrong:?}");
    }
}

/// Steps ahead are those of a stream that is fed its own answers.
#[test]
fn further_ahead_is_fed_back() {
    let rows =
        Tensor::new([300, 2], (0..600).map(|i| (i as f64 * 0.21).sin() + i as f64 * 0.01).collect::<Vec<_>>()).unwrap();
    // the targets are the inputs in another order
    let targets: Vec<f64> = rows.data().chunks(2).flat_map(|row| [row[1], row[0]]).collect();
    let table = Table::new(rows.clone(), Tensor::new([300, 2], targets).unwrap(), Some(vec![1, 0])).unwrap();
    let given = [TargetTransform::Value, TargetTransform::Change, TargetTransform::SeasonalChange { season: 7 }];
    for transform in given.map(TargetAs::from).into_iter().chain([TargetAs::Residual]) {
        let plan = Plan { shape: Shape::new(CellKind::Gru, 2, 9, 1, 2).unwrap(), ..plan(transform, 2, 4) };
        let model = plan.start(&[&table], device(), Default::default()).unwrap().finish().unwrap().model;
        let walk = Protocol { horizon: 5, warm_up: 1000, ..protocol(20, 5) };
        let found = evaluate(&table, &walk, &device(), |_, _, _| Ok(model.clone())).unwrap();
        let mut stream = Stream::new(model).unwrap();
        for t in 0..299 {
            let row = &rows.data()[t * 2..][..2];
            let mut y = stream.step_f64(row).unwrap().to_vec();
            if t < 19 {
                continue;
            }
            let here = stream.state().unwrap().clone();
            for ahead in 0..5 {
                for (d, &y) in y.iter().enumerate() {
                    let said = found.columns[d].forecasters[0].values[(t - 19) * 5 + ahead];
                    assert_eq!(said.to_bits(), y.to_bits(), "{transform:?} {t} {ahead}");
                }
                y = stream.step_f64(&[y[1], y[0]]).unwrap().to_vec();
            }
            stream.set_state(&here).unwrap();
        }
        // one step ahead by itself is the same
        let one = evaluate(&table, &Protocol { horizon: 1, ..walk.clone() }, &device(), |_, _, _| {
            Ok(stream.model().as_ref().clone())
        });
        for (one, five) in one.unwrap().columns.iter().zip(&found.columns) {
            let five: Vec<f64> = five.forecasters[0].values.iter().step_by(5).copied().collect();
            assert_eq!(one.forecasters[0].values, five);
        }
    }
    let other = Table::new(rows.clone(), rows.clone(), None).unwrap();
    let error = evaluate(&other, &protocol(20, 2), &device(), |_, _, _| {
        Model::random(Shape::new(CellKind::Gru, 2, 9, 1, 2).unwrap(), 0)
    });
    assert!(error.unwrap_err().to_string().contains("predicts all its inputs"));
}

#[test]
fn a_model_of_other_columns_is_refused() {
    let rows = Tensor::new([40, 2], noise(80, 4)).unwrap();
    let table = Table::new(rows.clone(), rows, Some(vec![0, 1])).unwrap();
    for (outputs, horizon) in [1, 3, 5].into_iter().flat_map(|outputs| [(outputs, 1), (outputs, 3)]) {
        let model = |_: &Table, _, _| Model::random(Shape::new(CellKind::Gru, 2, 5, 1, outputs).unwrap(), 0);
        let error = evaluate(&table, &protocol(20, horizon), &device(), model).unwrap_err().to_string();
        assert_eq!(error, format!("columns that the model predicts: expected 2 values, got {outputs}"));
    }
}

#[test]
fn naive_forecasts_are_fitted_to_the_training_part() {
    let values = waves(300);
    let found = walk(&values, &protocol(240, 2), &plan(TargetTransform::Value, 1, 0));
    let column = &found.columns[0];
    let season = column.seasons[0];
    let names: Vec<String> = column.forecasters.iter().map(|forecasts| forecasts.forecaster.to_string()).collect();
    assert_eq!(
        names,
        ["model", "last value", &format!("seasonal naive ({season} rows)"), "mean", "drift", "autoregression"]
    );
    let linear = Naive::autoregression(&wide(&values[..240]), 10).unwrap();
    let said = &column.forecasters[5].values;
    for (i, origin) in found.origins.clone().enumerate() {
        let mut out = [0.0; 2];
        linear.forecast(&wide(&values[..=origin]), &mut out);
        assert_eq!(said[i * 2..][..2], out);
    }
}
