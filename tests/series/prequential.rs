//! A learner in a backtest: it predicts first and learns then, begins as the model, sees no later
//! row, and is called better only where it is.

use crate::series::{self, noise, table};
use rnnstep::evaluate::backtest::{Evaluation, Forecaster, Learned, Protocol, Verdict, evaluate};
use rnnstep::train::{Plan, Recipe, Table, TargetAs};
use rnnstep::units::scaler::Scaling;
use rnnstep::{CellKind, Cpu, Device, Learner, LearnerOptions, Levels, Loss, Model, Shape, TargetTransform, Tensor};
use std::cell::Cell;

fn plan(transform: impl Into<TargetAs>, loss: Loss, epochs: u64) -> Plan {
    series::plan(CellKind::Gru, 9, transform, epochs, Recipe { seed: 3, loss, ..Recipe::default() })
}

fn options(loss: Loss) -> LearnerOptions {
    LearnerOptions { loss, lr: 3e-3, ..LearnerOptions::default() }
}

fn protocol(first: usize, horizon: usize, learner: LearnerOptions) -> Protocol {
    Protocol { warm_up: 50, learner: Some(learner), ..series::protocol(first, horizon) }
}

/// Waves with some noise, in units of their own: `width` columns.
fn waves(rows: usize, width: usize) -> Vec<f32> {
    let value = |(i, e): (usize, f32)| ((i / width) as f32 * 0.5 + (i % width) as f32).sin() * 3.0 + 0.2 * e + 10.0;
    noise(rows * width, 9).into_iter().enumerate().map(value).collect()
}

/// Two columns that are predicted in another order than they go in.
fn crossed(rows: usize) -> Table {
    let inputs = Tensor::new([rows, 2], waves(rows, 2)).unwrap();
    let targets: Vec<f32> = inputs.data().chunks(2).flat_map(|row| [row[1], row[0]]).collect();
    Table::new(inputs, Tensor::new([rows, 2], targets).unwrap(), Some(vec![1, 0])).unwrap()
}

/// A column that is predicted from two others.
fn apart(rows: usize) -> Table {
    let all = waves(rows, 3);
    let inputs: Vec<f32> = all.chunks(3).flat_map(|row| [row[0], row[1]]).collect();
    let target: Vec<f32> = all.chunks(3).map(|row| row[2]).collect();
    Table::new(Tensor::new([rows, 2], inputs).unwrap(), Tensor::new([rows, 1], target).unwrap(), None).unwrap()
}

fn device() -> Device {
    Cpu::widest().into()
}

fn walk(table: &Table, protocol: &Protocol, plan: &Plan) -> Evaluation {
    let fit = |rows: &Table, _, _| Ok(plan.start(&[rows], device(), Default::default())?.finish()?.model);
    evaluate(table, protocol, &device(), fit).unwrap()
}

fn said(evaluation: &Evaluation, target: usize, name: Forecaster) -> &[f64] {
    let found = evaluation.columns[target].forecasters.iter().find(|forecasts| forecasts.forecaster == name);
    &found.unwrap_or_else(|| panic!("no {name}")).values
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Forms, heads that say a distribution, and columns that do not go in.
fn kinds() -> Vec<(Table, TargetAs, Loss)> {
    let quantiles = Loss::Quantiles(Levels::new(&[0.1, 0.5, 0.9]).unwrap());
    let given = [
        (crossed(120), TargetTransform::Value, Loss::Mse),
        (crossed(120), TargetTransform::Change, Loss::Huber),
        (crossed(120), TargetTransform::SeasonalChange { season: 12 }, Loss::Mse),
        (crossed(120), TargetTransform::Change, Loss::Gaussian),
        (crossed(120), TargetTransform::Value, quantiles),
        (apart(120), TargetTransform::Value, Loss::Mse),
        (apart(120), TargetTransform::Value, Loss::Gaussian),
    ];
    let residuals = [Loss::Mse, Loss::Gaussian].map(|loss| (crossed(120), TargetAs::Residual, loss));
    given.into_iter().map(|(table, transform, loss)| (table, transform.into(), loss)).chain(residuals).collect()
}

#[test]
fn it_is_a_learner_driven_by_hand() {
    for (table, transform, loss) in kinds() {
        let about = format!("{transform:?} {loss}");
        let (inputs, width) = (table.inputs().rows().1, table.targets().rows().1);
        let plan = plan(transform, loss, 2);
        for adapt in [None, Some(0.99)].into_iter().take(if loss.is_distribution() { 1 } else { 2 }) {
            let learner = LearnerOptions { window: 7, every: 2, adapt, ..options(loss) };
            let protocol = Protocol { refit: Some(13), ..protocol(90, 1, learner) };
            let found = walk(&table, &protocol, &plan);
            let (mut differs, mut learned) = (false, Learned::default());
            for (fold, from) in (89..119).step_by(13).enumerate() {
                let model = plan.start(&[table.part(0..from + 1).unwrap()], device(), Default::default());
                let model = model.unwrap().finish().unwrap().model;
                let units = model.units().unwrap().clone();
                let mut by_hand = Learner::new(model, learner, Cpu::widest()).unwrap();
                by_hand.pause();
                for t in from - 50 - units.transform().lag()..(from + 13).min(119) {
                    let (x, came) = (&table.inputs().data()[t * inputs..], &table.targets().data()[t * width..]);
                    let y = units.point(by_hand.predict_f64(&x[..inputs]).unwrap()).to_vec();
                    by_hand.learn_f64(&came[..width]).unwrap();
                    if t < from {
                        continue;
                    }
                    by_hand.resume();
                    for (target, y) in y.iter().enumerate() {
                        let [learner, model] =
                            [Forecaster::Learner, Forecaster::Model].map(|name| said(&found, target, name)[t - 89]);
                        assert_eq!(learner.to_bits(), y.to_bits(), "{about} {t}");
                        // it begins as the model, in every fold
                        assert!(t > from || learner.to_bits() == model.to_bits(), "{about} {fold}");
                        differs |= learner != model;
                    }
                }
                learned += Learned { updates: by_hand.updates(), rollbacks: by_hand.rollbacks() };
            }
            assert!(differs, "{about}");
            // an update every second row after the first of a fold: 12, 12 and 3 rows
            assert_eq!((found.learned.unwrap(), learned.updates), (learned, 6 + 6 + 1), "{about}");
        }
    }
}

/// A learner that does not learn is the model, any number of steps ahead.
#[test]
fn without_learning_it_is_the_model() {
    for (table, transform, loss) in kinds() {
        let horizon = if table.columns().is_some() { 5 } else { 1 };
        let learner = LearnerOptions { lr: 0.0, ..options(loss) };
        let found = walk(&table, &protocol(90, horizon, learner), &plan(transform, loss, 2));
        assert_eq!(found.learned.unwrap().updates, 29);
        for target in 0..table.targets().rows().1 {
            let [model, learner] =
                [Forecaster::Model, Forecaster::Learner].map(|name| bits(said(&found, target, name)));
            assert_eq!(model, learner, "{transform:?} {loss}");
        }
        // and further ahead it does learn from what it has seen
        let found = walk(&table, &protocol(90, horizon, options(loss)), &plan(transform, loss, 2));
        let [model, learner] = [Forecaster::Model, Forecaster::Learner].map(|name| said(&found, 0, name));
        // the answer at the second origin is out before the first row is learned from
        assert_eq!(bits(&model[..2 * horizon]), bits(&learner[..2 * horizon]));
        for ahead in 0..horizon {
            let differ = |at: &usize| model[at * horizon + ahead] != learner[at * horizon + ahead];
            assert!((2..30).filter(differ).count() > 25, "{transform:?} {loss} {ahead}");
        }
    }
}

/// What comes after a row changes nothing of what was said before it.
#[test]
fn it_does_not_look_ahead() {
    let values = waves(200, 1);
    for (transform, adapt) in [
        (TargetTransform::Value.into(), Some(0.99)),
        (TargetTransform::Change.into(), None),
        (TargetTransform::SeasonalChange { season: 12 }.into(), None),
        (TargetAs::Residual, Some(0.99)),
    ] {
        let learner = LearnerOptions { adapt, ..options(Loss::Mse) };
        let protocol = Protocol { refit: Some(25), ..protocol(140, 2, learner) };
        let plan = plan(transform, Loss::Mse, 3);
        let all = walk(&table(&values), &protocol, &plan);
        for cut in [141, 155, 164, 165, 171, 199] {
            let mut other = values.clone();
            other[cut..].iter_mut().enumerate().for_each(|(i, v)| *v = 1000.0 - 77.0 * i as f32);
            let changed = walk(&table(&other), &protocol, &plan);
            let [all, changed] = [&all, &changed].map(|found| said(found, 0, Forecaster::Learner));
            // origins up to row cut - 1 know nothing of row cut
            let known = (cut - 139) * 2;
            assert_eq!(bits(&all[..known]), bits(&changed[..known]), "{transform:?} {cut}");
            assert!(known == all.len() || all[known..] != changed[known..], "{transform:?} {cut}");
        }
    }
}

/// A wave that becomes nearly four times as fast once the model is trained.
#[test]
fn where_the_rule_changes_learning_is_better() {
    let values: Vec<f32> = (0..2400)
        .zip(noise(2400, 4))
        .map(|(t, e)| (if t < 1300 { 0.3 } else { 1.1 } * t as f32).sin() * 5.0 + 0.05 * e + 20.0)
        .collect();
    let found =
        walk(&table(&values), &protocol(1200, 1, options(Loss::Mse)), &plan(TargetTransform::Value, Loss::Mse, 30));
    let learning = found.columns[0].learning.as_ref().unwrap();
    let (model, naive) = (&learning.over_model[0], &learning.over_naive[0]);
    assert_eq!((model.other, naive.other), (Forecaster::Model, Forecaster::Mean));
    assert!(model.verdict() == Verdict::Better && model.skill > 0.4 && model.p_value.unwrap() < 1e-3, "{model:?}");
    assert!(model.sentence().starts_with("better than the same model frozen by "), "{}", model.sentence());
    assert_eq!(naive.verdict(), Verdict::Better, "{naive:?}");
    // the score is that of its forecasts
    let square = |(said, came): (&f64, &f32)| (said - f64::from(*came)).powi(2);
    let mse = said(&found, 0, Forecaster::Learner).iter().zip(&values[1200..]).map(square).sum::<f64>() / 1200.0;
    assert!((found.columns[0].forecasters[1].scores[0].mse / mse - 1.0).abs() < 1e-6);
    // as long as the rule is the old one, there is little to learn
    let before = Table::new(table(&values[..1300]).inputs().clone(), table(&values[..1300]).targets().clone(), None);
    let found =
        walk(&before.unwrap(), &protocol(1200, 1, options(Loss::Mse)), &plan(TargetTransform::Value, Loss::Mse, 30));
    let skill = found.columns[0].learning.as_ref().unwrap().over_model[0].skill;
    assert!(skill < 0.4, "{skill}");
}

/// The changes of a random walk are noise: whoever learns from them learns noise.
#[test]
fn where_nothing_can_be_learned_learning_is_not_called_better() {
    let (mut better, mut said) = (0, vec![]);
    for seed in 0..20 {
        let mut at = 100.0;
        let walked = noise(400, seed).into_iter().map(|step| {
            at += step;
            at
        });
        let table = table(&walked.collect::<Vec<f32>>());
        let found = walk(&table, &protocol(320, 1, options(Loss::Mse)), &plan(TargetTransform::Change, Loss::Mse, 5));
        let comparison = &found.columns[0].learning.as_ref().unwrap().over_model[0];
        better += usize::from(comparison.verdict() == Verdict::Better);
        said.push(comparison.sentence());
    }
    assert!(better <= 1, "{said:#?}");
    let no_better = said.iter().filter(|said| said.starts_with("no better than the same model frozen (")).count();
    let worse = said.iter().filter(|said| said.ends_with(": do not let it learn")).count();
    assert!(no_better > 0 && better + no_better + worse == 20, "{said:#?}");
}

#[test]
fn what_cannot_be_learned_with_is_said_before_the_work() {
    let table = table(&waves(100, 1));
    let trained = Cell::new(0);
    let model = |scaled: bool| {
        let model = Model::random(Shape::new(CellKind::Gru, 1, 3, 1, 1).unwrap(), 0).unwrap();
        let fit = || rnnstep::units::scaler::Scaler::fit(Scaling::Standard, table.inputs().data(), 1).unwrap();
        if scaled { model.with_scalers(fit(), fit()) } else { Ok(model) }
    };
    let failure = |options: LearnerOptions, scaled: bool| {
        let count = |_: &Table, _, _| {
            trained.set(trained.get() + 1);
            model(scaled)
        };
        evaluate(&table, &protocol(80, 1, options), &device(), count).map(|_| ()).unwrap_err().to_string()
    };
    let mse = options(Loss::Mse);
    for (options, says) in [
        (LearnerOptions { every: 0, ..mse }, "every 0: must be 1 or more"),
        (LearnerOptions { window: 0, ..mse }, "window 0"),
        (LearnerOptions { lr: f64::NAN, ..mse }, "lr NaN"),
        (LearnerOptions { adapt: Some(1.0), ..mse }, "adapt 1"),
        (
            LearnerOptions { adapt: Some(0.9), ..options(Loss::Gaussian) },
            "adapt: only for a model that predicts one value",
        ),
    ] {
        let failure = failure(options, true);
        assert!(failure.contains(says), "{failure}");
    }
    assert_eq!(trained.get(), 0);
    assert!(failure(options(Loss::Gaussian), true).contains("does not fit the loss"));
    assert!(failure(LearnerOptions { adapt: Some(0.9), ..mse }, false).contains("the model has no scalers"));
    assert_eq!(trained.get(), 2);
}
