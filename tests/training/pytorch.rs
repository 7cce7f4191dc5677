//! Training follows PyTorch: the loss of every step and the final weights, from given initial weights.

use crate::golden::{Case, cases, largest_error};
use rnnstep::cpu::Threads;
use rnnstep::data::windows::Windows;
use rnnstep::net::pass::HeadSteps;
use rnnstep::objective::optimizer::{Adam, Optimizer, Schedule, Sgd};
use rnnstep::train::{Recipe, Trainer, mean_loss};
use rnnstep::{CellKind, Cpu, Isa, Loss, Model, Shape, Tensor};

fn recipe(case: &Case) -> Recipe {
    let options = &case.about["optimizer"];
    let number = |key: &str| options[key].as_f64().unwrap();
    let flag = |key: &str| options[key].as_bool().unwrap();
    let optimizer = match options["name"].as_str().unwrap() {
        "SGD" => Optimizer::Sgd(Sgd {
            momentum: number("momentum"),
            dampening: number("dampening"),
            nesterov: flag("nesterov"),
            weight_decay: number("weight_decay"),
        }),
        name => {
            let betas = options["betas"].as_array().unwrap();
            let adam = Adam {
                betas: [betas[0].as_f64().unwrap(), betas[1].as_f64().unwrap()],
                eps: number("eps"),
                weight_decay: number("weight_decay"),
                amsgrad: flag("amsgrad"),
            };
            if name == "AdamW" { Optimizer::AdamW(adam) } else { Optimizer::Adam(adam) }
        }
    };
    let scheduler = &case.about["scheduler"];
    let schedule = match scheduler["name"].as_str() {
        None => Schedule::Constant,
        Some("StepLR") => Schedule::Step {
            every: scheduler["step_size"].as_u64().unwrap(),
            gamma: scheduler["gamma"].as_f64().unwrap(),
        },
        Some("CosineAnnealingLR") => Schedule::Cosine {
            steps: Some(scheduler["T_max"].as_u64().unwrap()),
            min: scheduler["eta_min"].as_f64().unwrap(),
        },
        Some(other) => panic!("{other}"),
    };
    Recipe {
        loss: match case.text("loss") {
            "MSELoss" => Loss::Mse,
            "L1Loss" => Loss::Mae,
            "HuberLoss" => Loss::Huber,
            "GaussianNLLLoss" => Loss::Gaussian,
            "Quantiles" => case.quantiles(),
            other => panic!("{other}"),
        },
        loss_on: if case.text("loss_on") == "last" { HeadSteps::Last } else { HeadSteps::All },
        optimizer,
        lr: number("lr"),
        schedule,
        clip: case.about["clip_grad_norm"].as_f64(),
        carry: case.text("state") == "carry",
        maximize: flag("maximize"),
        ..Recipe::default()
    }
}

fn trainer(case: &Case, model: Model, isa: Isa, threads: usize) -> Trainer {
    let windows = if case.name.contains("tutorial") {
        Windows::sine(case.size("seq_len")).unwrap()
    } else {
        Windows::cut(case.tensor("x"), case.tensor("target")).unwrap()
    };
    Trainer::new(model, windows, recipe(case), Cpu::new(isa).unwrap(), Threads::new(threads).unwrap()).unwrap()
}

#[test]
fn every_loss_and_the_final_weights() {
    for case in cases("train_") {
        let mut bits: Option<Vec<u32>> = None;
        for (isa, threads) in Isa::available().into_iter().flat_map(|isa| [(isa, 1), (isa, 2)]) {
            let mut trainer = trainer(&case, case.model(), isa, threads);
            for (step, (&truth, &lr)) in case.f64s("loss64").iter().zip(case.f64s("lr")).enumerate() {
                let found = trainer.step().unwrap();
                // rounding grows with the steps: a fifth of a percent is far below what any wrong formula does
                let tolerance = 10.0 * case.f32_error("loss") + 1e-6 + 2e-3 * truth.abs();
                let error = (f64::from(found.loss) - truth).abs();
                assert!(
                    error <= tolerance,
                    "{} {isa:?}: loss of step {step} is {}, not {truth}",
                    case.name,
                    found.loss
                );
                assert!((found.lr - lr).abs() <= 1e-12, "{}: rate of step {step} is {}, not {lr}", case.name, found.lr);
                if let Some(norm) = found.norm {
                    let truth = case.f64s("norm64")[step];
                    assert!(
                        (norm - truth).abs() <= 2e-3 * truth,
                        "{}: norm of step {step}: {norm}, not {truth}",
                        case.name
                    );
                }
            }
            for (name, tensor) in trainer.model().weights() {
                let name = format!("final.{name}");
                let error = largest_error(tensor.data(), case.f64s(&name));
                let tolerance = 20.0 * case.f32_error(&name) + 2e-5;
                assert!(error <= tolerance, "{} {isa:?}: {name} is off by {error:e}, {tolerance:e} allowed", case.name);
            }
            let found: Vec<u32> = trainer.model().params().iter().map(|v| v.to_bits()).collect();
            assert!(*bits.get_or_insert_with(|| found.clone()) == found, "{}: {isa:?} differs", case.name);
        }
    }
}

/// The first losses are not yet touched by accumulated rounding: they must be PyTorch's to float32.
#[test]
fn the_first_losses_are_exact() {
    for case in cases("train_") {
        let mut trainer = trainer(&case, case.model(), Cpu::widest().isa(), 1);
        for (step, &truth) in case.f64s("loss64").iter().take(5).enumerate() {
            let loss = f64::from(trainer.step().unwrap().loss);
            let tolerance = 3.0 * case.f32_error("loss") + 1e-6 * truth.abs().max(1.0);
            assert!((loss - truth).abs() <= tolerance, "{}: loss of step {step} is {loss}, not {truth}", case.name);
        }
    }
}

/// Of the losses that want a head of another width: every gradient of the first step.
#[test]
fn the_first_gradients() {
    let cases: Vec<Case> = cases("train_").into_iter().filter(|case| case.about["targets"].is_u64()).collect();
    assert_eq!(cases.len(), 4);
    for (case, isa) in cases.iter().flat_map(|case| Isa::available().into_iter().map(move |isa| (case, isa))) {
        let mut trainer = trainer(case, case.model(), isa, 1);
        trainer.step().unwrap();
        for (name, tensor) in trainer.model().named(trainer.grads()) {
            let name = format!("grad.{name}");
            let (error, tolerance) =
                (largest_error(tensor.data(), case.f64s(&name)), 3.0 * case.f32_error(&name) + 1e-6);
            assert!(error <= tolerance, "{} {isa:?}: {name} is off by {error:e}, {tolerance:e} allowed", case.name);
        }
    }
}

/// A head that is not as wide as the loss wants it is refused, in training and in scoring.
#[test]
fn heads_of_another_width() {
    let rows = Tensor::new([40, 2], (0..80).map(|i| (i as f32).sin()).collect::<Vec<_>>()).unwrap();
    let windows = Windows::lanes(rows.clone(), rows, 5, 1, false).unwrap();
    for (output, loss, said) in [
        (3, "mse", "output: the model has 3, the data has 2"),
        (3, "gaussian", "output: the model has 3, the loss gaussian takes 4 (target columns: 2)"),
        (2, "quantiles:0.1,0.9", "output: the model has 2, the loss quantiles:0.1,0.9 takes 4 (target columns: 2)"),
    ] {
        let recipe = Recipe { loss: loss.parse().unwrap(), ..Recipe::default() };
        let model = || Model::random(Shape::new(CellKind::Rnn, 2, 4, 1, output).unwrap(), 1).unwrap();
        let error = Trainer::new(model(), windows.clone(), recipe.clone(), Cpu::widest(), Threads::default());
        assert_eq!(error.unwrap_err().to_string(), said);
        let error = mean_loss(&model(), &mut windows.clone(), &recipe, Cpu::widest());
        assert_eq!(error.unwrap_err().to_string(), said);
    }
}

/// The mean loss of an epoch is that of its steps when nothing is learnt; the window shown has targets of D columns.
#[test]
fn heads_of_the_right_width() {
    let rows = |width: usize| {
        Tensor::new([41, width], (0..41 * width).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>()).unwrap()
    };
    for (loss, targets, loss_on) in ["gaussian", "quantiles", "quantiles:0.4"]
        .into_iter()
        .flat_map(|loss| (1..4).flat_map(move |d| [HeadSteps::All, HeadSteps::Last].map(|head| (loss, d, head))))
    {
        let loss: Loss = loss.parse().unwrap();
        let windows = Windows::lanes(rows(2), rows(targets), 5, 2, loss_on == HeadSteps::Last).unwrap();
        let recipe = Recipe { loss, loss_on, lr: 0.0, ..Recipe::default() };
        let output = loss.outputs(targets);
        let model = Model::random(Shape::new(CellKind::Gru, 2, 6, 1, output).unwrap(), 1).unwrap();
        let truth = mean_loss(&model, &mut windows.clone(), &recipe, Cpu::widest()).unwrap();
        let mut trainer = Trainer::new(model, windows, recipe, Cpu::widest(), Threads::default()).unwrap();
        let steps = trainer.windows().steps_per_epoch().unwrap();
        let losses: f64 = (0..steps).map(|_| f64::from(trainer.step().unwrap().loss)).sum();
        let found = losses / steps as f64;
        assert!((found - truth).abs() <= 1e-6 * truth.abs(), "{loss} {targets} {loss_on:?}: {found}, not {truth}");
        let [_, target, y] = trainer.last_window().unwrap();
        assert!(target.iter().all(|row| row.len() == targets) && y.iter().all(|row| row.len() == output));
        assert_eq!(target.len(), y.len());
    }
}

/// The leaves of a value that are numbers, each in turn replaced by `number`: under its name.
fn with_each_number(value: &toml::Value, number: f64) -> Vec<(String, toml::Value)> {
    let inside = |(name, inner): (String, &toml::Value), outer: &dyn Fn(toml::Value) -> toml::Value| {
        let name = |found: String| if found.is_empty() { name.clone() } else { found };
        with_each_number(inner, number)
            .into_iter()
            .map(|(found, inner)| (name(found), outer(inner)))
            .collect::<Vec<_>>()
    };
    match value {
        toml::Value::Integer(_) | toml::Value::Float(_) => vec![(String::new(), toml::Value::Float(number))],
        toml::Value::Table(table) => {
            let replaced = |key: &String, inner| {
                let mut table = table.clone();
                table.insert(key.clone(), inner);
                toml::Value::Table(table)
            };
            let each = table.iter().map(|(key, inner)| inside((key.clone(), inner), &|inner| replaced(key, inner)));
            each.flatten().collect()
        }
        toml::Value::Array(all) => {
            let replaced = |at: usize, inner| {
                let mut all = all.clone();
                all[at] = inner;
                toml::Value::Array(all)
            };
            let each =
                all.iter().enumerate().map(|(at, one)| inside((String::new(), one), &|inner| replaced(at, inner)));
            each.flatten().collect()
        }
        _ => vec![],
    }
}

/// Every number of `options` that is not a count is refused where it makes no sense: whatever fields there will be.
fn refuses_every_number<T>(options: &T, checked: impl Fn(T) -> Option<String>) -> usize
where
    T: Clone + serde::Serialize + serde::de::DeserializeOwned,
{
    assert_eq!(checked(options.clone()), None);
    let value = toml::Value::try_from(options).unwrap();
    let mut tried = 0;
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
        for (name, value) in with_each_number(&value, number) {
            // what is a count takes no such number
            let Ok(options) = value.try_into::<T>() else { continue };
            let refused = checked(options).unwrap_or_else(|| panic!("{name} = {number} is taken"));
            assert!(refused.contains(&name.replace('_', "-")) || name == "gamma" || name == "min", "{name}: {refused}");
            tried += 1;
        }
    }
    tried
}

/// A library is told by an error, and not by weights that are no numbers.
#[test]
fn numbers_out_of_range_are_refused() {
    use rnnstep::LearnerOptions;
    let sgd = Optimizer::Sgd(Sgd { momentum: 0.9, dampening: 0.1, nesterov: false, weight_decay: 0.1 });
    let adam = Adam { weight_decay: 0.1, ..Adam::default() };
    for optimizer in [sgd, Optimizer::Adam(adam), Optimizer::AdamW(adam)] {
        let step = Schedule::Step { every: 3, gamma: 0.5 };
        let cosine = Schedule::Cosine { steps: Some(9), min: 0.1 };
        for schedule in [step, cosine] {
            let recipe =
                Recipe { optimizer, schedule, clip: Some(1.0), dropout: 0.5, steps: Some(9), ..Recipe::default() };
            let tried = refuses_every_number(&recipe, |recipe| recipe.checked().err().map(|error| error.to_string()));
            assert!(tried >= 30, "{tried}");
        }
        let options = LearnerOptions { optimizer, adapt: Some(0.5), ..LearnerOptions::default() };
        let tried = refuses_every_number(&options, |options| options.checked().err().map(|error| error.to_string()));
        assert!(tried >= 30, "{tried}");
    }
    for schedule in [Schedule::Step { every: 0, gamma: 0.5 }, Schedule::Cosine { steps: Some(0), min: 0.0 }] {
        assert!(schedule.checked().is_err());
    }
    for eps in [0.0, 1e-300] {
        let refused = Optimizer::Adam(Adam { eps, ..Adam::default() }).checked().unwrap_err().to_string();
        assert!(refused.contains("eps"), "{refused}");
    }
}
