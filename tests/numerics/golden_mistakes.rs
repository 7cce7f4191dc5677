//! The comparison with PyTorch can fail: it finds each of these mistakes, planted on purpose.

use crate::golden::{Case, cases, largest_error};
use rnnstep::cpu::Threads;
use rnnstep::data::windows::Windows;
use rnnstep::net::layout::Layout;
use rnnstep::train::{Recipe, Trainer};
use rnnstep::{Cpu, Model, Order, State, Tensor};

/// How far y is off, in tolerances of the golden test.
fn off(case: &Case, y: &[f32]) -> f64 {
    largest_error(y, case.f64s("y")) / (2.0 * case.f32_error("y") + 1e-6)
}

fn y_of(case: &Case, model: &Model) -> Tensor {
    let mut state = case.state(case.size("batch"));
    model.forward(Cpu::widest(), &case.tensor("x"), Order::BatchFirst, &mut state).unwrap()
}

/// The case's model with one tensor changed.
fn with_tensor(case: &Case, name: &str, change: impl Fn(&mut Tensor)) -> Model {
    let shape = case.shape();
    let weights: Vec<Tensor> = Layout::new(&shape)
        .entries()
        .iter()
        .map(|entry| {
            let mut tensor = case.tensor(&entry.name);
            if entry.name == name {
                change(&mut tensor);
            }
            tensor
        })
        .collect();
    Model::from_weights(shape, &weights).unwrap()
}

/// Every case that `sees` the bug must find it, and there must be some.
fn must_be_found(bug: &str, sees: impl Fn(&Case) -> bool, planted: impl Fn(&Case) -> Vec<f32>) {
    let seeing: Vec<Case> = cases("net_").into_iter().filter(sees).collect();
    assert!(seeing.len() >= 5, "{bug}: only {} cases look", seeing.len());
    for case in seeing {
        assert!(off(&case, y_of(&case, &case.model()).data()) <= 1.0, "{} fails without a bug", case.name);
        let off = off(&case, &planted(&case));
        assert!(off > 1.0, "{bug} is not found by {}: {off} of the tolerance", case.name);
    }
}

#[test]
fn swapped_gates() {
    let swapped = |case: &Case| {
        let rows = case.size("hidden") * case.size("input");
        with_tensor(case, "rnn.weight_ih_l0", |tensor| {
            let (first, rest) = tensor.data_mut().split_at_mut(rows);
            first.swap_with_slice(&mut rest[..rows]);
        })
    };
    let sees = |case: &Case| case.shape().gates() > 1 && !case.name.contains("saturated") && case.size("seq_len") > 1;
    must_be_found("a swap of the first two gates", sees, |case| y_of(case, &swapped(case)).into_data());
}

#[test]
fn a_dropped_bias() {
    let sees = |case: &Case| case.shape().bias() && !case.name.contains("saturated");
    for bias in ["rnn.bias_ih_l0", "rnn.bias_hh_l0"] {
        let dropped = |case: &Case| with_tensor(case, bias, |tensor| tensor.data_mut().fill(0.0));
        must_be_found(bias, sees, |case| y_of(case, &dropped(case)).into_data());
    }
}

#[test]
fn a_transposed_weight() {
    let transposed = |case: &Case| {
        let h = case.size("hidden");
        with_tensor(case, "rnn.weight_hh_l0", |tensor| {
            for gate in tensor.data_mut().chunks_mut(h * h) {
                for (row, column) in (0..h).flat_map(|row| (0..row).map(move |column| (row, column))) {
                    gate.swap(row * h + column, column * h + row);
                }
            }
        })
    };
    let sees = |case: &Case| case.size("hidden") > 1 && case.size("seq_len") > 1 && !case.name.contains("saturated");
    must_be_found("a transposed weight_hh", sees, |case| y_of(case, &transposed(case)).into_data());
}

#[test]
fn a_lost_carry() {
    let forgetful = |case: &Case| {
        let (model, batch) = (case.model(), case.size("batch"));
        let x = case.tensor("x").swap_batch_and_time().unwrap();
        let steps = x.dims()[0];
        let y = (0..steps).flat_map(|t| {
            let mut state = if t == 0 { case.state(batch) } else { State::new(&case.shape(), batch) };
            let x = x.part(t..t + 1).unwrap();
            model.forward(Cpu::widest(), &x, Order::TimeMajor, &mut state).unwrap().into_data()
        });
        let dims = [steps, batch, case.shape().width_out()];
        Tensor::new(dims, y.collect::<Vec<_>>()).unwrap().swap_batch_and_time().unwrap().into_data()
    };
    must_be_found("a lost carry", |case| case.size("seq_len") > 1 && !case.name.contains("saturated"), forgetful);
}

/// In training: the tutorial with the state reset, or with the other learning rate, no longer gives PyTorch's losses.
#[test]
fn a_lost_carry_in_training() {
    let case = cases("train_").into_iter().find(|case| case.name.contains("tutorial")).unwrap();
    let worst = |recipe: Recipe| {
        let windows = Windows::sine(case.size("seq_len")).unwrap();
        let mut trainer = Trainer::new(case.model(), windows, recipe, Cpu::widest(), Threads::default()).unwrap();
        let error =
            |&truth: &f64| (f64::from(trainer.step().unwrap().loss) - truth).abs() / (1e-6 + 2e-3 * truth.abs());
        case.f64s("loss64").iter().map(error).fold(0.0, f64::max)
    };
    assert!(worst(Recipe::default()) <= 1.0);
    assert!(worst(Recipe { carry: false, ..Recipe::default() }) > 1.0);
    assert!(worst(Recipe { lr: 0.0101, ..Recipe::default() }) > 1.0);
}
