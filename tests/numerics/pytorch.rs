//! Outputs, states and every gradient against PyTorch. Truth is float64; the tolerances are those
//! of CONTRIBUTING.md.

use crate::golden::{Case, cases, largest_error};
use rnnstep::cpu::{Network, Threads};
use rnnstep::net::pass::{HeadSteps, Mode};
use rnnstep::{Cpu, Isa, Loss, Order, Tensor};

/// y within twice PyTorch float32's own error, plus 1e-6.
fn output_tolerance(case: &Case, name: &str) -> f64 {
    2.0 * case.f32_error(name) + 1e-6
}

#[test]
fn outputs_and_states() {
    for isa in Isa::available() {
        let cpu = Cpu::new(isa).unwrap();
        for case in cases("net_") {
            let (model, x) = (case.model(), case.tensor("x"));
            for order in [Order::BatchFirst, Order::TimeMajor] {
                let time_major = order == Order::TimeMajor;
                let turn = |t: Tensor| if time_major { t.swap_batch_and_time().unwrap() } else { t };
                let mut state = case.state(case.size("batch"));
                let y = turn(model.forward(cpu, &turn(x.clone()), order, &mut state).unwrap());
                let check = |name: &str, found: &[f32]| {
                    let (error, tolerance) = (largest_error(found, case.f64s(name)), output_tolerance(&case, name));
                    assert!(
                        error <= tolerance,
                        "{} {isa:?}: {name} is off by {error:e}, {tolerance:e} allowed",
                        case.name
                    );
                };
                check("y", y.data());
                check("h_n", state.h().data());
                if let Some(c) = state.c() {
                    check("c_n", c.data());
                }
            }
        }
    }
}

#[test]
fn every_gradient() {
    for isa in Isa::available() {
        for case in cases("net_") {
            for threads in [1, 2] {
                check_gradients(&case, Cpu::new(isa).unwrap(), threads);
            }
        }
    }
}

fn check_gradients(case: &Case, cpu: Cpu, threads: usize) {
    let (model, shape) = (case.model(), case.shape());
    let (batch, steps, out) = (case.size("batch"), case.size("seq_len"), shape.width_out());
    let x = case.tensor("x").swap_batch_and_time().unwrap();
    let target = case.tensor("target").swap_batch_and_time().unwrap();
    let threads = Threads::new(threads).unwrap();
    let mut network = Network::new(cpu, threads, &shape, steps, batch, Mode::Training).unwrap();
    let mut grads = vec![0.0; model.params().len()];
    network.forward(model.params(), x.data(), &mut case.state(batch), HeadSteps::All, None);
    for (row, target) in target.data().chunks(out).enumerate() {
        let (y, dy) = network.y_and_dy(row);
        for ((d, y), t) in dy.iter_mut().zip(y).zip(target) {
            *d = 2.0 * (y - t) / (batch * steps * out) as f32;
        }
    }
    network.backward(model.params(), &mut grads, x.data(), false);

    let check = |name: &str, found: &[f32]| {
        let name = format!("grad.{name}");
        let truth = case.f64s(&name);
        let largest = truth.iter().fold(1.0, |m: f64, g| m.max(g.abs()));
        let tolerance = 3.0 * case.f32_error(&name) + 1e-6 * largest;
        let error = largest_error(found, truth);
        assert!(error <= tolerance, "{} {:?}: {name} is off by {error:e}, {tolerance:e} allowed", case.name, cpu.isa());
    };
    for (name, tensor) in model.named(&grads) {
        check(&name, tensor.data());
    }
    let dx: Vec<f32> = (0..steps * batch).flat_map(|row| network.dx(row).to_vec()).collect();
    let dx = Tensor::new(vec![steps, batch, shape.input()], dx).unwrap().swap_batch_and_time().unwrap();
    check("x", dx.data());
    let rows = || (0..shape.layers()).flat_map(|l| (0..batch).map(move |b| (l, b)));
    check("h0", &rows().flat_map(|(l, b)| network.dstate(l, b, false).to_vec()).collect::<Vec<_>>());
    if shape.cell().has_c() {
        check("c0", &rows().flat_map(|(l, b)| network.dstate(l, b, true).to_vec()).collect::<Vec<_>>());
    }
}

/// The losses of a head that is wider than the target, alone.
#[test]
fn losses() {
    for case in cases("loss_") {
        let loss = if case.text("loss") == "Quantiles" { case.quantiles() } else { Loss::Gaussian };
        let (y, target) = (case.tensor("y"), case.tensor("target"));
        let (rows, targets) = target.rows();
        let (width, count) = (loss.outputs(targets), (rows * loss.elements(targets)) as f64);
        let mut dy = vec![0.0; y.data().len()];
        let each = y.data().chunks(width).zip(target.data().chunks(targets)).zip(dy.chunks_mut(width));
        let sum: f64 = each.map(|((y, target), dy)| loss.row(y, target, dy)).sum();
        dy.iter_mut().for_each(|d| *d /= count as f32);
        let largest = case.f64s("dy").iter().fold(1.0, |m: f64, d| m.max(d.abs()));
        let error = largest_error(&dy, case.f64s("dy"));
        let tolerance = 3.0 * case.f32_error("dy") + 1e-6 * largest;
        assert!(error <= tolerance, "{}: dy is off by {error:e}, {tolerance:e} allowed", case.name);
        let (found, truth) = (sum / count, case.f64s("loss")[0]);
        let tolerance = 3.0 * case.f32_error("loss") + 1e-7;
        assert!((found - truth).abs() <= tolerance, "{}: {found}, not {truth}", case.name);
    }
}

/// NaN, infinities, huge and subnormal values: where PyTorch's float32 gives NaN or infinity so do we, and nowhere else.
#[test]
fn special_values() {
    for isa in Isa::available() {
        let cpu = Cpu::new(isa).unwrap();
        for case in cases("special_") {
            let mut state = case.state(case.size("batch"));
            let y = case.model().forward(cpu, &case.tensor("x"), Order::BatchFirst, &mut state).unwrap();
            for (name, found) in [("y", y), ("h_n", state.h())] {
                let torch = case.tensor(&format!("{name}32"));
                let tolerance = output_tolerance(&case, name);
                for (i, (&a, &b)) in found.data().iter().zip(torch.data()).enumerate() {
                    let same = a == b || (a.is_nan() && b.is_nan());
                    let near = a.is_finite()
                        && b.is_finite()
                        && f64::from((a - b).abs()) <= tolerance * f64::from(b.abs().max(1.0));
                    assert!(same || near, "{} {isa:?}: {name}[{i}] is {a}, PyTorch says {b}", case.name);
                }
            }
        }
    }
}
