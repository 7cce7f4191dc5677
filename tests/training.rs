//! Training follows PyTorch: the loss of every step and the final weights, from given initial weights.

mod common;

use common::{Case, cases, largest_error};
use rnnstep::cpu::Threads;
use rnnstep::data::windows::Windows;
use rnnstep::optimizer::{Adam, Optimizer, Schedule, Sgd};
use rnnstep::pass::Head;
use rnnstep::train::{Recipe, Trainer};
use rnnstep::{Cpu, Isa, Loss, Model};

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
            other => panic!("{other}"),
        },
        loss_on: if case.text("loss_on") == "last" { Head::Last } else { Head::All },
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
