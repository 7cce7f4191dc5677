//! Training on a card against training on the CPU: the loss of every step, the weights at the end, checkpoints that go
//! from one to the other. On the card of this machine if it has one, else on the emulated device.
#![cfg(feature = "cuda")]

use crate::card;
use crate::emulator::Kind;
use rnnstep::cpu::Threads;
use rnnstep::cuda::{Cuda, Dtype};
use rnnstep::data::windows::Windows;
use rnnstep::net::pass::HeadSteps;
use rnnstep::objective::optimizer::{Adam, Optimizer, Schedule, Sgd};
use rnnstep::random::{Purpose, Random};
use rnnstep::train::{Recipe, Step, Trainer, mean_loss};
use rnnstep::{CellKind, Cpu, Device, Loss, Model, Nonlinearity, Order, Shape, State, Stream, Tensor};

/// `test` of this file on a card, see [`card::on_a_card`].
fn on_a_card(test: &str, kind: Kind, seed: u64, body: impl FnOnce(&Cuda)) {
    card::on_a_card(&format!("training::{test}"), kind, seed, body);
}

fn shape(cell: CellKind, input: usize, hidden: usize, layers: usize, output: usize) -> Shape {
    Shape::new(cell, input, hidden, layers, output).unwrap()
}

fn trainer(device: impl Into<Device>, shape: Shape, windows: &Windows, recipe: &Recipe) -> Trainer {
    let model = Model::random(shape, recipe.seed).unwrap();
    Trainer::new(model, windows.clone(), recipe.clone(), device, Threads::default()).unwrap()
}

fn steps(trainer: &mut Trainer, count: usize) -> Vec<Step> {
    let mut seen = vec![];
    trainer.steps(count, |step| seen.push(step)).unwrap();
    seen
}

/// Random rows `[T,width]`.
fn rows(count: usize, width: usize) -> Tensor {
    let mut random = Random::new(1, Purpose::Order, width as u64);
    let values: Vec<f32> = (0..count * width).map(|_| random.uniform()).collect();
    Tensor::new([count, width], values).unwrap()
}

/// Trains here and there. Each step of training makes the difference of the weights a little larger; `tolerance` is
/// relative, for the losses.
fn same(cuda: &Cuda, shape: Shape, windows: &Windows, recipe: &Recipe, count: usize, tolerance: f64) {
    let (mut here, mut there) =
        (trainer(Cpu::widest(), shape, windows, recipe), trainer(cuda.clone(), shape, windows, recipe));
    let (truth, found) = (steps(&mut here, count), steps(&mut there, count));
    assert_eq!(found.len(), count);
    for (k, (a, b)) in found.iter().zip(&truth).enumerate() {
        let error = f64::from((a.loss - b.loss).abs()) / f64::from(b.loss.abs() + 1e-6);
        assert!(error <= tolerance, "{recipe:?}: step {k}: loss {} on the card, {} here", a.loss, b.loss);
        assert_eq!((a.lr, a.norm.is_some()), (b.lr, b.norm.is_some()));
        if let (Some(a), Some(b)) = (a.norm, b.norm) {
            assert!((a - b).abs() <= 10.0 * tolerance * (b + 1e-3), "{recipe:?}: step {k}: norm {a}, not {b}");
        }
    }
    there.fetch().unwrap();
    assert_eq!(there.steps_done(), count as u64);
    for (i, (a, b)) in there.model().params().iter().zip(here.model().params()).enumerate() {
        assert!((a - b).abs() <= 1e-3, "{recipe:?}: parameter {i} is {a}, not {b}");
    }
    for (a, b) in there.state().h().data().iter().zip(here.state().h().data()) {
        assert!((a - b).abs() <= 1e-3, "{recipe:?}: h is {a}, not {b}");
    }
    let [x, target, y] = there.last_window().unwrap();
    let [x_here, target_here, y_here] = here.last_window().unwrap();
    let bits = |rows: &[Vec<f32>]| rows.iter().flatten().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!((x, bits(&target)), (x_here, bits(&target_here)));
    for (a, b) in y.iter().flatten().zip(y_here.iter().flatten()) {
        assert!((a - b).abs() <= 1e-3, "{recipe:?}: y is {a}, not {b}");
    }
}

#[test]
fn the_lesson() {
    on_a_card("the_lesson", Kind::Plain, 1, |cuda| {
        for cell in CellKind::ALL {
            let recipe = Recipe { seed: 3, ..Recipe::default() };
            same(cuda, shape(cell, 1, 32, 1, 1), &Windows::sine(20).unwrap(), &recipe, 75, 2e-3);
        }
    });
}

#[test]
fn every_option() {
    on_a_card("every_option", Kind::Plain, 2, |cuda| {
        let lanes = Windows::lanes(rows(400, 2), rows(400, 3), 6, 4, false).unwrap();
        let last = Windows::lanes(rows(400, 2), rows(400, 3), 6, 4, true).unwrap();
        // the state starts anew in the middle of an epoch: two steps of one series, then one of another
        let pair = |count| (rows(count, 2), rows(count, 3));
        let several = Windows::lanes_of(vec![pair(60), pair(30)], 6, 4, false).unwrap();
        // seven windows in batches of three: the last batch of an epoch has one
        let shuffled = Windows::shuffled(rows(40, 2), rows(40, 3), 8, 5, 3, false, 9).unwrap();
        let cut = |dims: &[usize]| {
            let count: usize = dims.iter().product();
            Tensor::new(dims.to_vec(), rows(count, 1).data().to_vec()).unwrap()
        };
        let cut_all = Windows::cut(cut(&[3, 2, 5, 2]), cut(&[3, 2, 5, 3])).unwrap();
        let cut_last = Windows::cut(cut(&[3, 2, 5, 2]), cut(&[3, 2, 3])).unwrap();
        let base = Recipe { lr: 0.005, seed: 5, ..Recipe::default() };
        let adam = Adam::default();
        let sgd =
            |momentum, dampening, nesterov| Optimizer::Sgd(Sgd { momentum, dampening, nesterov, weight_decay: 0.01 });
        let recipes = [
            (&lanes, Recipe { clip: Some(0.05), loss: Loss::Huber, ..base.clone() }),
            (&lanes, Recipe { optimizer: Optimizer::AdamW(Adam { weight_decay: 0.1, ..adam }), ..base.clone() }),
            (
                &lanes,
                Recipe {
                    optimizer: Optimizer::Adam(Adam { weight_decay: 0.1, amsgrad: true, ..adam }),
                    ..base.clone()
                },
            ),
            (&lanes, Recipe { optimizer: sgd(0.0, 0.0, false), maximize: true, ..base.clone() }),
            (&lanes, Recipe { optimizer: sgd(0.9, 0.3, false), carry: false, ..base.clone() }),
            (&lanes, Recipe { optimizer: sgd(0.9, 0.0, true), clip: Some(0.01), ..base.clone() }),
            (&several, base.clone()),
            (&last, Recipe { loss_on: HeadSteps::Last, loss: Loss::Mae, ..base.clone() }),
            (&shuffled, Recipe { schedule: Schedule::Step { every: 4, gamma: 0.5 }, carry: false, ..base.clone() }),
            (&cut_all, Recipe { schedule: Schedule::Cosine { steps: Some(9), min: 0.0 }, ..base.clone() }),
            (&cut_last, Recipe { loss_on: HeadSteps::Last, ..base.clone() }),
            (&lanes, Recipe { dropout: 0.3, ..base.clone() }),
            (&shuffled, Recipe { dropout: 0.3, carry: false, ..base }),
        ];
        for (windows, recipe) in recipes {
            // two layers as a recorded graph; one, where it can be, as one kernel
            for layers in [2, 1] {
                let hidden = if layers == 1 { 20 } else { 9 };
                same(cuda, shape(CellKind::Gru, 2, hidden, layers, 3), windows, &recipe, 12, 1e-3);
            }
        }
        let no_bias = shape(CellKind::Lstm, 2, 33, 1, 3).with_bias(false).unwrap();
        same(cuda, no_bias, &lanes, &Recipe { clip: Some(0.05), ..Recipe::default() }, 5, 1e-3);
        let relu = shape(CellKind::Rnn, 2, 20, 1, 3).with_nonlinearity(Nonlinearity::Relu).unwrap();
        same(cuda, relu, &lanes, &Recipe::default(), 5, 1e-3);
    });
}

/// A value far beyond all others in the series that is trained on, in every rounding: losses and weights stay those of the
/// CPU, of which f16 takes the largest number that it has for what is beyond.
#[test]
fn outliers() {
    on_a_card("outliers", Kind::Plain, 6, |cuda| {
        for (outlier, dtype) in [1e5, 1e30].into_iter().flat_map(|x| Dtype::ALL.map(|dtype| (x, dtype))) {
            let with = |outlier: f32| {
                let rows = rows(60, 2);
                let mut x = rows.data().to_vec();
                x[10] = outlier;
                let x = Tensor::new([60, 2], x).unwrap();
                let cut = |x: &Tensor| Tensor::new([3, 2, 5, 2], x.data()[..60].to_vec()).unwrap();
                let lanes = Windows::lanes(x.clone(), rows.clone(), 5, 2, false).unwrap();
                [lanes, Windows::cut(cut(&x), cut(&rows)).unwrap()]
            };
            let card = cuda.clone().with_dtype(dtype);
            for layers in [1, 2] {
                for (there, here) in with(outlier).iter().zip(&with(dtype.within(outlier))) {
                    let shape = shape(CellKind::Lstm, 2, 20, layers, 2);
                    let recipe = Recipe { clip: Some(0.05), seed: 5, ..Recipe::default() };
                    let mut there = trainer(card.clone(), shape, there, &recipe);
                    let mut here = trainer(Cpu::widest(), shape, here, &recipe);
                    let tolerance = if dtype == Dtype::F32 { 1e-3 } else { 0.05 };
                    for (found, truth) in steps(&mut there, 6).iter().zip(steps(&mut here, 6)) {
                        let error = (found.loss - truth.loss).abs();
                        assert!(
                            error <= tolerance * truth.loss,
                            "{outlier:e} {dtype:?}: {}, not {}",
                            found.loss,
                            truth.loss
                        );
                    }
                    there.fetch().unwrap();
                    let finite = there.model().params().iter().chain(there.state().h().data()).all(|x| x.is_finite());
                    assert!(finite, "{outlier:e} {dtype:?}");
                }
            }
        }
    });
}

/// Losses that want a head of another width: as a recorded graph, with either optimiser, and as one kernel; of every step
/// of a window and of the last; with so many values that the loss takes several blocks.
#[test]
fn losses_of_a_distribution() {
    on_a_card("losses_of_a_distribution", Kind::Plain, 5, |cuda| {
        for (loss, targets, loss_on) in [
            ("gaussian", 1, HeadSteps::All),
            ("gaussian", 2, HeadSteps::Last),
            ("gaussian", 3, HeadSteps::All),
            ("quantiles", 1, HeadSteps::Last),
            ("quantiles:0.05,0.25,0.5,0.75,0.95", 2, HeadSteps::All),
            ("quantiles:0.3", 3, HeadSteps::All),
            ("quantiles:0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9", 9, HeadSteps::All),
        ] {
            let loss: Loss = loss.parse().unwrap();
            let windows = Windows::lanes(rows(400, 2), rows(400, targets), 6, 4, loss_on == HeadSteps::Last).unwrap();
            let recipe = Recipe { loss, loss_on, clip: Some(0.5), seed: 5, ..Recipe::default() };
            let sgd = Sgd { momentum: 0.9, dampening: 0.0, nesterov: true, weight_decay: 0.01 };
            let output = loss.outputs(targets);
            same(cuda, shape(CellKind::Lstm, 2, 20, 1, output), &windows, &recipe, 12, 1e-3);
            same(cuda, shape(CellKind::Gru, 2, 9, 2, output), &windows, &recipe, 6, 1e-3);
            let recipe = Recipe { optimizer: Optimizer::Sgd(sgd), ..recipe };
            same(cuda, shape(CellKind::Rnn, 2, 20, 1, output), &windows, &recipe, 6, 1e-3);
        }
    });
}

/// Targets that are missing, and a window that has none: as a recorded graph and as one kernel, with rows that are all on
/// the card and with windows that are laid out one after the other.
#[test]
fn missing_targets() {
    on_a_card("missing_targets", Kind::Plain, 7, |cuda| {
        for (loss, last) in [("mse", false), ("huber", true), ("gaussian", false), ("quantiles:0.1,0.5", false)] {
            let loss: Loss = loss.parse().unwrap();
            let holes = |count: usize| {
                let mut values = rows(count, 2).into_data();
                let missing = |i: usize| i % 5 == 2 || (24..60).contains(&i);
                values.iter_mut().enumerate().filter(|(i, _)| missing(*i)).for_each(|(_, value)| *value = f32::NAN);
                Tensor::new([count, 2], values).unwrap()
            };
            let cut = |rows: Tensor, dims: &[usize]| Tensor::new(dims.to_vec(), rows.into_data()).unwrap();
            let dims = if last { vec![6, 2, 2] } else { vec![6, 2, 5, 2] };
            let target = cut(holes(dims.iter().product::<usize>() / 2), &dims);
            for windows in [
                Windows::lanes(rows(200, 2), holes(200), 6, 2, last).unwrap(),
                Windows::shuffled(rows(60, 2), holes(60), 8, 5, 3, last, 9).unwrap(),
                Windows::cut(cut(rows(60, 2), &[6, 2, 5, 2]), target).unwrap(),
            ] {
                let loss_on = if last { HeadSteps::Last } else { HeadSteps::All };
                let recipe = Recipe { loss, loss_on, clip: Some(0.5), carry: false, seed: 5, ..Recipe::default() };
                let output = loss.outputs(2);
                same(cuda, shape(CellKind::Lstm, 2, 20, 1, output), &windows, &recipe, 9, 1e-3);
                same(cuda, shape(CellKind::Gru, 2, 9, 2, output), &windows, &recipe, 5, 1e-3);
                let recipe = Recipe { dropout: 0.3, ..recipe };
                same(cuda, shape(CellKind::Gru, 2, 20, 1, output), &windows, &recipe, 3, 1e-3);
            }
        }
    });
}

/// Twice the same, also in another queue of steps, after a stop, and with windows in pieces: the same bits.
#[test]
fn the_same_bits_again() {
    on_a_card("the_same_bits_again", Kind::Plain, 3, |cuda| {
        let (shape, windows) = (shape(CellKind::Lstm, 1, 20, 1, 1), Windows::sine(20).unwrap());
        let recipe = Recipe { clip: Some(0.1), ..Recipe::default() };
        let run_on = |cuda: &Cuda, shape: Shape, parts: &[usize]| {
            let mut trainer = trainer(cuda.clone(), shape, &windows, &recipe);
            let losses: Vec<u32> =
                parts.iter().flat_map(|&n| steps(&mut trainer, n)).map(|step| step.loss.to_bits()).collect();
            trainer.fetch().unwrap();
            (losses, trainer.model().params().iter().map(|p| p.to_bits()).collect::<Vec<_>>())
        };
        let run = |parts: &[usize]| run_on(cuda, shape, parts);
        let whole = run(&[30]);
        assert_eq!(whole, run(&[30]));
        assert_eq!(whole, run(&[1, 2, 27]));
        // two layers are a graph of kernels, here with a second branch
        let deep = shape.with_layers(2).unwrap();
        assert_eq!(run_on(cuda, deep, &[5]), run_on(&cuda.clone().with_pieces(Some(3)), deep, &[2, 3]));
    });
}

/// Sequences and ticks.
#[test]
fn sequences_and_ticks() {
    on_a_card("sequences_and_ticks", Kind::Plain, 4, |cuda| {
        for cell in CellKind::ALL {
            let shape = shape(cell, 2, 33, 2, 3);
            let model = Model::random(shape, 8).unwrap();
            let x = rows(25, 2);
            let forward = |device: Device| {
                let mut state = State::new(&shape, 1);
                let y = model.forward(device, &x, Order::BatchFirst, &mut state).unwrap();
                (y.into_data(), state.h().into_data())
            };
            let (truth, found) = (forward(Cpu::widest().into()), forward(cuda.clone().into()));
            let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5);
            assert!(near(&found.0, &truth.0) && near(&found.1, &truth.1), "{cell:?}");
            let mut stream = Stream::on(cuda.clone(), model.clone()).unwrap();
            assert!(stream.ticker::<2, 3>().is_err(), "a card can fail");
            for (x, y) in x.data().chunks(2).zip(truth.0.chunks(3)) {
                assert!(near(stream.step(x).unwrap(), y), "{cell:?}");
            }
            assert!(near(stream.state().unwrap().h().data(), &truth.1), "{cell:?}: the state after the last tick");
            let kept = stream.state().unwrap().clone();
            let next = stream.step(&[0.3, 0.4]).unwrap().to_vec();
            stream.reset();
            assert!(near(stream.step(&x.data()[..2]).unwrap(), &truth.0[..3]), "{cell:?}: after a reset");
            stream.set_state(&kept).unwrap();
            assert_eq!(stream.step(&[0.3, 0.4]).unwrap(), next, "{cell:?}: from a state that was kept");
            let error = stream.step(&[1.0]).unwrap_err().to_string();
            assert_eq!(error, "x [I]: expected 2 values, got 1");
            let mut windows = Windows::shuffled(rows(40, 2), rows(40, 3), 8, 5, 3, false, 9).unwrap();
            let recipe = Recipe { carry: false, ..Recipe::default() };
            let here = mean_loss(&model, &mut windows.clone(), &recipe, Cpu::widest()).unwrap();
            let there = mean_loss(&model, &mut windows, &recipe, cuda.clone()).unwrap();
            assert!((here - there).abs() < 1e-6 * here, "{cell:?}: {there}, not {here}");
        }
    });
}
