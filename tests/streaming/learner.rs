//! A model that learns while it runs follows PyTorch's algorithm, gives a stream's bits, and
//! recovers from bad input.

use crate::counting::allocations;
use crate::golden::{Case, cases, largest_error};
use crate::shapes::{bits, shapes};
use proptest::prelude::*;
use rnnstep::net::pass::HeadSteps;
use rnnstep::objective::optimizer::{Adam, Optimizer, Sgd};
use rnnstep::units::scaler::{Scaler, Scaling};
use rnnstep::{CellKind, Cpu, Isa, Learned, Learner, LearnerOptions, Loss, Model, Shape, State, Stream, Weights};

fn options(case: &Case) -> LearnerOptions {
    let optimizer = &case.about["optimizer"];
    let number = |key: &str| optimizer[key].as_f64().unwrap();
    let adam = || Adam { weight_decay: number("weight_decay"), ..Adam::default() };
    LearnerOptions {
        window: case.size("window"),
        every: case.size("every"),
        loss: if case.text("loss") == "MSELoss" { Loss::Mse } else { Loss::Huber },
        loss_on: if case.text("loss_on") == "last" { HeadSteps::Last } else { HeadSteps::All },
        optimizer: match optimizer["name"].as_str().unwrap() {
            "Adam" => Optimizer::Adam(adam()),
            "AdamW" => Optimizer::AdamW(adam()),
            _ => Optimizer::Sgd(Sgd { momentum: number("momentum"), ..Sgd::default() }),
        },
        lr: number("lr"),
        clip: case.about["clip_grad_norm"].as_f64(),
        explode: None,
        adapt: None,
    }
}

/// Float32 against float64: within four times PyTorch float32's own largest error on the tensor, as where a training is compared.
/// Before errors could add up, in the first thirty ticks, within 1e-5 of the answers and 2e-5 relative of the losses.
#[test]
fn every_answer_and_loss_is_pytorchs() {
    for isa in Isa::available() {
        for case in cases("learner_") {
            let mut learner = Learner::new(case.model(), options(&case), Cpu::new(isa).unwrap()).unwrap();
            let (x, came) = (case.tensor("x"), case.tensor("came"));
            let (answers, losses) = (case.f64s("y64"), case.f64s("loss64"));
            let out = case.shape().width_out();
            for (t, (x, came)) in x.data().chunks(case.size("input")).zip(came.data().chunks(out)).enumerate() {
                let (y, learned) = learner.tick(x, came).unwrap();
                let error = largest_error(y, &answers[t * out..][..out]);
                let tolerance = if t < 30 { 1e-5 } else { 4.0 * case.f32_error("y") + 1e-6 };
                assert!(
                    error <= tolerance,
                    "{} {isa:?}: answer {t} is off by {error:e}, {tolerance:e} allowed",
                    case.name
                );
                assert_eq!(learned.updated, t > 0 && t % case.size("every") == 0);
                assert!(!learned.rolled_back);
                let Some(loss) = learned.loss else {
                    assert_eq!(t, 0);
                    continue;
                };
                let truth = losses[t - 1];
                let tolerance = if t < 30 { 2e-5 * truth.max(0.1) } else { 4.0 * case.f32_error("loss") + 1e-6 };
                let error = (f64::from(loss) - truth).abs();
                assert!(
                    error <= tolerance,
                    "{} {isa:?}: loss {t} is {loss}, not {truth}; {tolerance:e} allowed",
                    case.name
                );
            }
            for (name, tensor) in learner.model().weights() {
                let name = format!("final.{name}");
                let error = largest_error(tensor.data(), case.f64s(&name));
                let tolerance = 4.0 * case.f32_error(&name) + 5e-6;
                assert!(error <= tolerance, "{} {isa:?}: {name} is off by {error:e}, {tolerance:e} allowed", case.name);
            }
        }
    }
}

/// Numbers that look irregular, from -1 to 1.
fn noise(i: usize) -> f32 {
    ((i * i * 7 + i * 37 + 11) % 101) as f32 / 50.0 - 1.0
}

/// Rows of `width` values of a wave with some noise, in units of their own.
fn rows(width: usize, count: usize) -> Vec<Vec<f32>> {
    let value = |t: usize, o: usize| 3.0 + 2.0 * (0.4 * t as f32 + o as f32).sin() + 0.2 * noise(t * width + o);
    (0..count).map(|t| (0..width).map(|o| value(t, o)).collect()).collect()
}

fn scaled(model: Model) -> Model {
    let (input, out) = (model.shape().input(), model.shape().width_out());
    let fit = |width: usize| Scaler::fit(Scaling::Standard, &rows(width, 50).concat(), width).unwrap();
    model.with_scalers(fit(input), fit(out)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Paused, also in the middle of learning, a learner is a stream of the same weights and state.
    #[test]
    fn paused_it_is_a_stream(shape in shapes(), seed: u64, scalers: bool, before in 0..20_usize) {
        let model = Model::random(shape, seed).unwrap();
        let model = if scalers { scaled(model) } else { model };
        let (x, came) = (rows(shape.input(), 60), rows(shape.width_out(), 60));
        for isa in Isa::available() {
            let cpu = Cpu::new(isa).unwrap();
            let mut learner = Learner::new(model.clone(), LearnerOptions { lr: 0.01, ..Default::default() }, cpu).unwrap();
            for t in 0..before {
                learner.tick(&x[t], &came[t]).unwrap();
            }
            learner.pause();
            let mut stream = Stream::on(cpu, learner.model()).unwrap();
            stream.set_state(&learner.state()).unwrap();
            for t in before..60 {
                prop_assert_eq!(bits(learner.predict(&x[t]).unwrap()), bits(stream.step(&x[t]).unwrap()));
                if t % 3 > 0 {
                    let learned = learner.learn(&came[t]).unwrap();
                    prop_assert!(!learned.updated && (learned.loss.is_some() || t % 3 == 1 || t == 0));
                }
                prop_assert_eq!(bits(learner.state().h().data()), bits(stream.state().unwrap().h().data()));
            }
            prop_assert_eq!(bits(learner.model().params()), bits(stream.model().params()));
            prop_assert_eq!(learner.updates(), before.saturating_sub(1) as u64);
        }
    }

    /// Every instruction set gives the same bits, and a snapshot, taken at any point, also between the halves of a tick, goes on to them.
    #[test]
    fn the_same_bits_everywhere_and_after_a_stop(
        shape in shapes(), seed: u64, window in 1..20_usize, every in 1..4_usize, adapt: bool, stop in 1..60_usize
    ) {
        let model = scaled(Model::random(shape, seed).unwrap());
        let options = LearnerOptions { window, every, lr: 0.02, adapt: adapt.then_some(0.99), ..Default::default() };
        let (x, came) = (rows(shape.input(), 80), rows(shape.width_out(), 80));
        let on = |isa| Learner::new(model.clone(), options, Cpu::new(isa).unwrap()).unwrap();
        let go = |learner: &mut Learner, ticks: std::ops::Range<usize>| -> Vec<u32> {
            let mut found = vec![];
            for t in ticks {
                let (y, learned) = learner.tick(&x[t], &came[t]).unwrap();
                found.extend(bits(y));
                found.push(learned.loss.map_or(0, f32::to_bits));
            }
            found.extend(bits(learner.model().params()));
            found
        };
        let portable = go(&mut on(Isa::Portable), 0..80);
        for isa in Isa::available() {
            prop_assert_eq!(&go(&mut on(isa), 0..80), &portable, "{:?}", isa);
        }
        let mut first = on(Isa::Portable);
        go(&mut first, 0..stop);
        first.predict(&x[stop]).unwrap();
        let snapshot = first.snapshot();
        // through plain numbers, as a file would
        let mut second = on(Cpu::widest().isa());
        let mut copy = second.snapshot();
        for ((_, to), (_, from)) in copy.buffers_mut().into_iter().zip(snapshot.buffers()) {
            to.copy_from_slice(from);
        }
        for ((_, to), (_, from)) in copy.raw_values_mut().into_iter().zip(snapshot.raw_values()) {
            to.copy_from_slice(from);
        }
        copy.numbers = serde_json::from_str(&serde_json::to_string(&snapshot.numbers).unwrap()).unwrap();
        second.restore(&copy).unwrap();
        prop_assert_eq!(second.learn(&came[stop]).unwrap(), first.learn(&came[stop]).unwrap());
        prop_assert_eq!(go(&mut second, stop + 1..80), go(&mut first, stop + 1..80));
        prop_assert_eq!((second.ticks(), second.updates()), (80, first.updates()));
    }
}

/// Learns a wave of one value; `spoil` may change what comes in.
fn wave(learner: &mut Learner, ticks: std::ops::Range<usize>, spoil: impl Fn(usize, f32) -> f32) -> Vec<Learned> {
    let mut found = vec![];
    for t in ticks {
        let x = [spoil(t, (0.3 * t as f32).sin() + 0.05 * noise(t))];
        learner.predict(&x).unwrap();
        found.push(learner.learn(&x).unwrap());
        assert!(learner.model().params().iter().all(|w| w.is_finite()), "tick {t}");
        assert!(learner.state().h().data().iter().all(|h| h.is_finite()), "tick {t}");
    }
    found
}

fn mean(learned: &[Learned]) -> f32 {
    let losses: Vec<f32> = learned.iter().filter_map(|l| l.loss).filter(|loss| loss.is_finite()).collect();
    losses.iter().sum::<f32>() / losses.len() as f32
}

fn learner(cell: CellKind, options: LearnerOptions) -> Learner {
    let model = Model::random(Shape::new(cell, 1, 16, 1, 1).unwrap(), 1).unwrap();
    Learner::new(model, options, Cpu::widest()).unwrap()
}

#[test]
fn what_is_no_number_is_survived() {
    for cell in CellKind::ALL {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e30] {
            let mut learner = learner(cell, LearnerOptions { lr: 0.003, ..Default::default() });
            wave(&mut learner, 0..1500, |_, x| x);
            let before = wave(&mut learner, 1500..2000, |_, x| x);
            // one alone, three in a row, and then every seventh
            let bad = |t: usize| t == 2010 || (2050..2053).contains(&t) || (t >= 2200 && t.is_multiple_of(7));
            let during = wave(&mut learner, 2000..2400, |t, x| if bad(t) { value } else { x });
            assert_eq!(during[10].loss.filter(|loss| loss.is_finite()), None, "{cell:?} {value}");
            let after = wave(&mut learner, 2400..3500, |_, x| x);
            let (before, after) = (mean(&before), mean(&after[600..]));
            assert!(after < 2.0 * before + 1e-3, "{cell:?} {value}: {before} before, {after} after");
        }
    }
}

#[test]
fn too_high_a_rate_is_taken_back_until_it_is_not() {
    let rates = [
        (Optimizer::default(), 1e3, Some(1.0)),
        (Optimizer::default(), 3.0, None),
        (Optimizer::Sgd(Sgd::default()), 1e6, None),
        (Optimizer::Sgd(Sgd { momentum: 0.9, ..Sgd::default() }), 1e4, Some(1.0)),
    ];
    for cell in CellKind::ALL {
        for (optimizer, lr, clip) in rates {
            let mut learner = learner(cell, LearnerOptions { optimizer, lr, clip, ..Default::default() });
            let first = wave(&mut learner, 0..3000, |_, x| x);
            assert!(first.iter().any(|l| l.rolled_back), "{cell:?} {optimizer:?} {lr}: never taken back");
            assert!(learner.lr() < lr);
            let last = wave(&mut learner, 3000..6000, |_, x| x);
            let loss = mean(&last[2000..]);
            assert!(
                loss < 0.1,
                "{cell:?} {optimizer:?} {lr}: a loss of {loss} at the end, at the rate {}",
                learner.lr()
            );
            assert!(last.iter().any(|l| l.updated));
        }
    }
}

#[test]
fn a_series_that_grows_is_learnt_from_at_once() {
    for cell in CellKind::ALL {
        let mut learner = learner(cell, LearnerOptions { lr: 0.005, ..Default::default() });
        let before = wave(&mut learner, 0..3000, |_, x| 0.2 * x);
        let (mut after, mut rate) = (vec![], 0.0_f64);
        for t in 3000..6000 {
            after.extend(wave(&mut learner, t..t + 1, |_, x| x));
            rate = rate.max(learner.lr());
            assert!(t != 3050 || rate == 0.005, "{cell:?}: the whole rate is there soon, not {rate}");
        }
        let (jump, end) = (mean(&after[..20]), mean(&after[2000..]));
        assert!(jump > 10.0 * mean(&before[2500..]), "{cell:?}: the test makes no jump");
        assert!(after[..200].iter().filter(|l| l.updated).count() >= 198, "{cell:?}");
        assert!(learner.rollbacks() < 5, "{cell:?}: {}", learner.rollbacks());
        assert!(end < 0.2 * jump, "{cell:?}: {jump} after the change, {end} at the end");
    }
}

/// A wave that becomes three times as fast: the model that goes on learning comes back to where it was, the frozen one does not.
#[test]
fn a_new_rule_is_learnt() {
    for cell in CellKind::ALL {
        let rule = |t: usize| [(if t < 4000 { 0.3 } else { 0.9 } * t as f32).sin() + 0.05 * noise(t)];
        let mut learner = learner(cell, LearnerOptions { lr: 0.005, ..Default::default() });
        let mut frozen = None;
        let (mut losses, mut frozen_losses) = (vec![], vec![]);
        let mut answer = 0.0;
        for t in 0..8000 {
            if t == 4000 {
                let mut stream = Stream::on(Cpu::widest(), learner.model()).unwrap();
                stream.set_state(&learner.state()).unwrap();
                frozen = Some(stream);
            }
            let x = rule(t);
            losses.push(learner.tick(&x, &x).unwrap().1);
            if let Some(stream) = &mut frozen {
                frozen_losses.push((answer - x[0]) * (answer - x[0]));
                answer = stream.step(&x).unwrap()[0];
            }
        }
        let (before, after) = (mean(&losses[3500..4000]), mean(&losses[7500..]));
        let frozen = frozen_losses[3500..].iter().sum::<f32>() / 500.0;
        assert!(after < 2.0 * before, "{cell:?}: {before} before, {after} after");
        assert!(frozen > 5.0 * after, "{cell:?}: frozen {frozen}, learning {after}");
    }
}

#[test]
fn scalers_follow_a_series_that_moves() {
    let series = |t: usize| {
        let (level, scale) = if t < 3000 { (5.0, 1.0) } else { (500.0, 20.0) };
        [level + scale * ((0.3 * t as f32).sin() + 0.05 * noise(t))]
    };
    let fitted: Vec<f32> = (0..500).flat_map(series).collect();
    let fit = || Scaler::fit(Scaling::Standard, &fitted, 1).unwrap();
    let model =
        Model::random(Shape::new(CellKind::Gru, 1, 16, 1, 1).unwrap(), 1).unwrap().with_scalers(fit(), fit()).unwrap();
    let mut errors = [None, Some(0.99)].map(|adapt| {
        let options = LearnerOptions { lr: 0.005, adapt, ..Default::default() };
        let mut learner = Learner::new(model.clone(), options, Cpu::widest()).unwrap();
        let (mut answer, mut sum) = (0.0, 0.0);
        for t in 0..6000 {
            let x = series(t);
            sum += if t >= 4000 { (answer - x[0]).abs() / 2000.0 } else { 0.0 };
            answer = learner.tick(&x, &x).unwrap().0[0];
        }
        let model = learner.model();
        let (scaler, _) = model.scalers().unwrap();
        assert_eq!(scaler.shift()[0] > 400.0, adapt.is_some(), "{scaler:?}");
        sum
    });
    errors.reverse();
    let [adapting, fixed] = errors;
    assert!(adapting < 4.0 && adapting < 0.5 * fixed, "{adapting} of 20 with scalers that follow, {fixed} without");
}

#[test]
fn nothing_is_allocated() {
    for cell in CellKind::ALL {
        for (adapt, lr) in [(None, 1e-3), (Some(0.999), 100.0)] {
            let model = scaled(Model::random(Shape::new(cell, 2, 17, 2, 3).unwrap(), 1).unwrap());
            let options = LearnerOptions { lr, adapt, every: 2, ..Default::default() };
            let mut learner = Learner::new(model, options, Cpu::widest()).unwrap();
            learner.warm_up();
            let (x, came) = (rows(2, 100), rows(3, 100));
            let bad = [f32::NAN, 1.0];
            let mut went_back = false;
            let count = allocations(|| {
                for t in 0..4000 {
                    let x = if t % 50 == 7 { &bad[..] } else { &x[t % 100] };
                    learner.predict(x).unwrap();
                    went_back |= learner.learn(&came[t % 100]).unwrap().rolled_back;
                    if t % 997 == 0 {
                        learner.pause();
                        learner.predict(x).unwrap();
                        learner.resume();
                        learner.reset();
                    }
                }
            });
            assert_eq!(count, 0, "{cell:?} {lr}");
            assert!(went_back || lr < 1.0, "{cell:?} {lr}");
        }
    }
}

/// The good weights walk along tick by tick: where nothing is learnt they stay the same network, whatever else happens.
#[test]
fn good_weights_keep_up() {
    for cell in CellKind::ALL {
        let mut learner = learner(cell, LearnerOptions { lr: 0.0, adapt: None, ..Default::default() });
        for t in 0..700 {
            let x = if t % 40 == 39 { f32::NAN } else { (0.3 * t as f32).sin() };
            learner.predict(&[x]).unwrap();
            if t % 10 > 0 {
                assert!(!learner.learn(&[x]).unwrap().rolled_back);
                let snapshot = learner.snapshot();
                let buffer = |name| bits(snapshot.buffers().into_iter().find(|(n, _)| *n == name).unwrap().1);
                assert_eq!(buffer("h"), buffer("good.h"), "{cell:?} tick {t}");
                assert_eq!(buffer("c"), buffer("good.c"), "{cell:?} tick {t}");
            }
        }
        assert!(learner.updates() > 512 && learner.rollbacks() == 0);
    }
}

#[test]
fn a_long_run_goes_on_after_a_stop() {
    let on = || learner(CellKind::Gru, LearnerOptions { lr: 0.5, ..Default::default() });
    let mut first = on();
    wave(&mut first, 0..1000, |_, x| x);
    assert!(first.rollbacks() > 0);
    let mut snapshot = first.snapshot();
    snapshot.numbers = serde_json::from_str(&serde_json::to_string(&snapshot.numbers).unwrap()).unwrap();
    let mut second = on();
    second.restore(&snapshot).unwrap();
    assert_eq!(wave(&mut first, 1000..2500, |_, x| x), wave(&mut second, 1000..2500, |_, x| x));
    assert_eq!(bits(first.model().params()), bits(second.model().params()));
    for name in ["params", "good.h"] {
        let mut bad = snapshot.clone();
        bad.buffers_mut().into_iter().find(|(n, _)| *n == name).unwrap().1[0] = f32::INFINITY;
        assert!(second.restore(&bad).is_err(), "{name}");
    }
}

#[test]
fn warming_up_changes_nothing() {
    let on = || learner(CellKind::Lstm, LearnerOptions { every: 3, ..Default::default() });
    let (mut plain, mut warm) = (on(), on());
    wave(&mut plain, 0..50, |_, x| x);
    wave(&mut warm, 0..50, |_, x| x);
    warm.warm_up();
    assert_eq!(wave(&mut warm, 50..100, |_, x| x), wave(&mut plain, 50..100, |_, x| x));
    assert_eq!(bits(warm.model().params()), bits(plain.model().params()));
}

#[test]
fn what_cannot_be_is_refused() {
    let shape = Shape::new(CellKind::Gru, 2, 8, 1, 1).unwrap();
    let model = || Model::random(shape, 1).unwrap();
    let cpu = Cpu::widest();
    let refused = |model: Model, options: LearnerOptions, words: &str| {
        let message = Learner::new(model, options, cpu).unwrap_err().to_string();
        assert!(message.contains(words) && !message.contains('\n'), "{message}");
    };
    let plain = LearnerOptions::default();
    refused(model().with_weights(Weights::Bf16).unwrap(), plain, "f32 only");
    refused(model(), LearnerOptions { window: 0, ..plain }, "window 0");
    refused(model(), LearnerOptions { window: usize::MAX, ..plain }, "more memory");
    refused(model(), LearnerOptions { every: 0, ..plain }, "every 0");
    refused(model(), LearnerOptions { lr: f64::NAN, ..plain }, "lr NaN");
    refused(model(), LearnerOptions { clip: Some(0.0), ..plain }, "clip 0");
    refused(model(), LearnerOptions { explode: Some(1.0), ..plain }, "explode 1");
    refused(model(), LearnerOptions { adapt: Some(1.0), ..plain }, "adapt 1");
    refused(model(), LearnerOptions { adapt: Some(0.9), ..plain }, "no scalers");
    let mut weights: Vec<_> = model().weights().into_iter().map(|(_, tensor)| tensor).collect();
    weights[0].data_mut()[3] = f32::NAN;
    refused(Model::from_weights(shape, &weights).unwrap(), plain, "not finite");

    let mut learner = Learner::new(model(), plain, cpu).unwrap();
    assert_eq!(learner.learn(&[0.0]).unwrap_err().to_string(), "learn: call predict before every learn");
    assert_eq!(learner.predict(&[0.0]).unwrap_err().to_string(), "x [I]: expected 2 values, got 1");
    learner.predict(&[0.0, 0.1]).unwrap();
    assert_eq!(learner.learn(&[]).unwrap_err().to_string(), "actual [D]: expected 1 values, got 0");
    assert!(learner.tick(&[0.0, 0.1], &[]).is_err());
    assert_eq!(learner.ticks(), 0);
    assert_eq!(learner.learn(&[0.5]).unwrap(), Learned::default());
    assert!(learner.set_state(&State::new(&shape.with_hidden(9).unwrap(), 1)).is_err());
    let other = Learner::new(model(), LearnerOptions { window: 3, ..plain }, cpu).unwrap();
    assert!(learner.restore(&other.snapshot()).unwrap_err().to_string().contains("rows.x"));
    let mut snapshot = learner.snapshot();
    snapshot.numbers =
        serde_json::from_str(&serde_json::to_string(&snapshot.numbers).unwrap().replace("\"next\":1", "\"next\":99"))
            .unwrap();
    assert!(learner.restore(&snapshot).is_err());
    let options: LearnerOptions = serde_json::from_str(r#"{"window": 7}"#).unwrap();
    assert_eq!(options, LearnerOptions { window: 7, ..plain });
}

/// Models that predict changes, and those that say a distribution: paused they are streams, and a stop changes nothing.
#[test]
fn forms_and_distributions() {
    use rnnstep::units::scaler::Scaling;
    use rnnstep::{Loss, TargetTransform, Units};
    let transforms = [
        TargetTransform::Value,
        TargetTransform::Change,
        TargetTransform::RelativeChange,
        TargetTransform::SeasonalChange { season: 5 },
    ];
    let losses = ["mse", "gaussian", "quantiles:0.2,0.5,0.7"];
    let series: Vec<f32> = (0..400).map(|t| 20.0 + 0.05 * t as f32 + (0.4 * t as f32).sin()).collect();
    for (transform, loss) in transforms.into_iter().flat_map(|transform| losses.map(|loss| (transform, loss))) {
        let loss: Loss = loss.parse().unwrap();
        let raw: Vec<f64> = series[..100].iter().map(|&value| value.into()).collect();
        let column = (&raw[..], 1);
        let units = Units::fit(Scaling::Standard, transform, loss, column, column, Some(&[0])).unwrap();
        let shape = Shape::new(CellKind::Gru, 1, 9, 1, loss.outputs(1)).unwrap();
        let model = Model::random(shape, 4).unwrap().with_units(units).unwrap();
        let options = LearnerOptions { loss, lr: 0.01, ..LearnerOptions::default() };
        let mut stream = Stream::new(model.clone()).unwrap();
        let mut learner = Learner::new(model.clone(), options, Cpu::widest()).unwrap();
        learner.warm_up();
        learner.pause();
        for v in &series[..50] {
            assert_eq!(learner.predict(&[*v]).unwrap(), stream.step(&[*v]).unwrap(), "{transform:?} {loss}");
            learner.learn(&[*v]).unwrap();
        }
        learner.resume();
        let mut losses = vec![];
        for v in &series[50..300] {
            let (y, learned) = learner.tick(&[*v], &[*v]).unwrap();
            assert!(y.iter().all(|y| y.is_finite()));
            losses.extend(learned.loss);
        }
        let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
        assert!(mean(&losses[200..]) < mean(&losses[..30]), "{transform:?} {loss}: {losses:?}");
        // a value that is none is not learnt from, and spoils nothing that comes after it
        learner.tick(&[f32::NAN], &[f32::NAN]).unwrap();
        let mut other = Learner::new(model.clone(), options, Cpu::widest()).unwrap();
        let (from, mut fresh) = (learner.snapshot(), other.snapshot());
        for ((_, to), (_, from)) in fresh.buffers_mut().into_iter().zip(from.buffers()) {
            to.copy_from_slice(from);
        }
        for ((_, to), (_, from)) in fresh.raw_values_mut().into_iter().zip(from.raw_values()) {
            to.copy_from_slice(from);
        }
        fresh.numbers = from.numbers.clone();
        other.restore(&fresh).unwrap();
        for v in &series[301..] {
            let y = learner.tick(&[*v], &[*v]).unwrap().0.to_vec();
            assert!(y.iter().all(|y| y.is_finite()), "{transform:?} {loss}");
            assert_eq!(other.tick(&[*v], &[*v]).unwrap().0, y, "{transform:?} {loss}");
        }
        let bits = |learner: &Learner| learner.model().params().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&learner), bits(&other));
        // a stream goes on from a learner's state
        let mut stream = Stream::new(learner.model()).unwrap();
        stream.set_state(&learner.state()).unwrap();
        assert_eq!(stream.step(&[9.5]).unwrap(), learner.predict(&[9.5]).unwrap(), "{transform:?} {loss}");
    }
    let plain = Model::random(Shape::new(CellKind::Gru, 1, 9, 1, 1).unwrap(), 4).unwrap();
    let options = LearnerOptions { loss: Loss::Gaussian, ..LearnerOptions::default() };
    let error = Learner::new(plain, options, Cpu::widest()).unwrap_err().to_string();
    assert!(error.contains("does not fit the loss gaussian"), "{error}");
}
