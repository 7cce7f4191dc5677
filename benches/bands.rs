//! A forecast by simulation: paths of many steps, and the quantiles of each step. Next to it all of [`bands`], which
//! first steps through the history and simulates 100 × 200 paths from its held-out rows.
//!
//! Before anything is timed, paths without errors are compared with a stream that is fed back.

use rnnstep::measure::latency::Distribution;
use rnnstep::series::interval::{Options, Residuals, Simulator, bands};
use rnnstep::{CellKind, Cpu, Model, Shape, Stream, Tensor};
use std::hint::black_box;
use std::time::Instant;

const PATHS: usize = 1000;
const STEPS: usize = 100;
const HISTORY: usize = 300;
const RUNS: usize = 50;
/// How much a fed-back value may differ.
const TOLERANCE: f32 = 1e-5;

fn main() {
    let values: Vec<f64> = (0..HISTORY).map(|t| (t as f64 * 0.3).sin()).collect();
    let history = Tensor::new([HISTORY, 1], values).unwrap();
    for cell in CellKind::ALL {
        let model = Model::random(Shape::new(cell, 1, 32, 1, 1).unwrap(), 0).unwrap();
        let simulator = Simulator::new(&model, Cpu::widest()).unwrap();
        let (starts, _) = simulator.walk(&history, &[HISTORY - 1], HISTORY).unwrap();
        let mut stream = Stream::on(Cpu::widest(), model.clone()).unwrap();
        let (_, future) = rnnstep::series::multi_step::ahead(&mut stream, &history, STEPS).unwrap();
        let none = Residuals::new(vec![0.0], 1).unwrap();
        simulator
            .paths(&[&starts[0]], PATHS, STEPS, &none, 0, |_, step, _, values| {
                let expected = future.data()[step];
                assert!(
                    values.iter().all(|value| (value - expected).abs() < f64::from(TOLERANCE)),
                    "{} {step}",
                    cell.name()
                );
            })
            .unwrap();
        let errors =
            Residuals::new((0..500).map(|i| ((i * 7919 % 1000) as f32 / 500.0 - 1.0) * 0.1).collect(), 1).unwrap();
        let id = format!("{}/{}/H32/{PATHS}x{STEPS}", cell.name(), Cpu::widest().isa().name());
        print(&format!("{id} paths"), || {
            let mut quantiles = [0.0; 7];
            simulator
                .paths(&[&starts[0]], PATHS, STEPS, &errors, 0, |_, _, _, values| {
                    values.sort_unstable_by(f64::total_cmp);
                    let part = |i: usize| values[(i * (PATHS - 1)) / 6];
                    quantiles.iter_mut().enumerate().for_each(|(i, quantile)| *quantile += part(i));
                })
                .unwrap();
            black_box(quantiles);
        });
        let options = Options { levels: vec![0.5, 0.8, 0.95], steps: STEPS, paths: PATHS, seed: 0 };
        print(&format!("{id} calibrated"), || {
            black_box(bands(&model, Cpu::widest(), &history, HISTORY - 150, Some(&errors), &options).unwrap());
        });
    }
}

fn print(id: &str, mut run: impl FnMut()) {
    run();
    let time = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    let times = Distribution::new((0..RUNS).map(time).collect()).unwrap();
    let [p50, p95] = [500, 950].map(|per_mille| times.percentile(per_mille).as_secs_f64() * 1e3);
    println!("{id:<36} p50 {p50:7.2} ms  p95 {p95:7.2} ms  max {:7.2} ms", times.max().as_secs_f64() * 1e3);
}
