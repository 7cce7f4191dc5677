//! Training: one step (window, forward, loss, backward, Adam) of a batch, and the lesson's 75 steps from fresh
//! weights. Ids: `lstm_train/avx512/T50_B32_H128`, `rnn_train/avx512/tutorial_75`.
//! The loss of the first step is checked against a float64 evaluation before anything is timed.

mod reference;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use reference::Reference;
use rnnstep::cpu::Threads;
use rnnstep::data::{sine, windows::Windows};
use rnnstep::train::{Recipe, Trainer};
use rnnstep::{CellKind, Cpu, Model, Shape, Tensor};
use std::time::Duration;

const SEQ_LEN: usize = 50;
const BATCH: usize = 32;
const INPUT: usize = 8;
const HIDDEN: usize = 128;

/// Steps and window of the lesson.
const TUTORIAL_STEPS: usize = 75;
const TUTORIAL_SEQ_LEN: usize = 20;

/// The largest relative error of a loss.
const TOLERANCE: f64 = 2e-6;

fn trainer(model: &Model, windows: &Windows, carry: bool) -> Trainer {
    let recipe = Recipe { carry, ..Recipe::default() };
    Trainer::new(model.clone(), windows.clone(), recipe, Cpu::detect().unwrap(), Threads::default()).unwrap()
}

fn step(c: &mut Criterion) {
    for cell in CellKind::ALL {
        let model = Model::random(Shape::new(cell, INPUT, HIDDEN, 1, 1).unwrap(), 0).unwrap();
        let x = Tensor::new(vec![1, BATCH, SEQ_LEN, INPUT], reference::values(BATCH * SEQ_LEN * INPUT)).unwrap();
        let target = Tensor::new(vec![1, BATCH, SEQ_LEN, 1], reference::values(BATCH * SEQ_LEN)).unwrap();
        let windows = Windows::cut(x.clone(), target.clone()).unwrap();
        let mut trainer = trainer(&model, &windows, false);
        let truth = reference::mean_squared_error(&Reference::of(&model), x.data(), target.data(), SEQ_LEN);
        reference::check(&format!("{cell:?} loss"), [trainer.step().unwrap().loss], &[truth], TOLERANCE * truth);

        let mut group = c.benchmark_group(format!("{}_train", cell.name()));
        group.throughput(Throughput::Elements((BATCH * SEQ_LEN) as u64)); // time steps
        let id = BenchmarkId::new(trainer.device().to_string(), format!("T{SEQ_LEN}_B{BATCH}_H{HIDDEN}"));
        group.bench_function(id, |b| b.iter(|| trainer.step().unwrap()));
        group.finish();
    }
}

fn tutorial(c: &mut Criterion) {
    let model = Model::random(Shape::new(CellKind::Rnn, 1, 32, 1, 1).unwrap(), 0).unwrap();
    let windows = Windows::sine(TUTORIAL_SEQ_LEN).unwrap();
    let mut first = trainer(&model, &windows, true);
    let wave: Vec<f32> = sine::window(0, TUTORIAL_SEQ_LEN).collect();
    let truth =
        reference::mean_squared_error(&Reference::of(&model), &wave[..TUTORIAL_SEQ_LEN], &wave[1..], TUTORIAL_SEQ_LEN);
    let losses: Vec<f32> = (0..TUTORIAL_STEPS).map(|_| first.step().unwrap().loss).collect();
    reference::check("tutorial: first loss", [losses[0]], &[truth], TOLERANCE * truth);
    assert!(losses[TUTORIAL_STEPS - 1] < 1e-2, "tutorial: the last loss is {}", losses[TUTORIAL_STEPS - 1]);

    let mut group = c.benchmark_group("rnn_train");
    let id = BenchmarkId::new(first.device().to_string(), format!("tutorial_{TUTORIAL_STEPS}"));
    group.bench_function(id, |b| {
        let run = |mut trainer: Trainer| {
            for _ in 0..TUTORIAL_STEPS {
                trainer.step().unwrap();
            }
            trainer // dropped outside of the timing
        };
        b.iter_batched(|| trainer(&model, &windows, true), run, BatchSize::SmallInput);
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = step, tutorial
}
criterion_main!(benches);
