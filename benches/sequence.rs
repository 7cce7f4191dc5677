//! Sequences forward, as `Model::forward` takes them: `x [B,T,I]`. Ids: `lstm_forward/avx512/T100_B32_H128`.
//! The answer is checked against a float64 evaluation before anything is timed.

mod reference;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use reference::Reference;
use rnnstep::{CellKind, Cpu, Model, Order, Shape, State, Tensor};
use std::time::Duration;

const SEQ_LEN: usize = 100;
const BATCH: usize = 32;
const INPUT: usize = 8;
const HIDDEN: usize = 128;

/// The largest error of a prediction.
const TOLERANCE: f64 = 1e-6;

fn forward(c: &mut Criterion) {
    let cpu = Cpu::detect().unwrap();
    for cell in CellKind::ALL {
        let shape = Shape::new(cell, INPUT, HIDDEN, 1, 1).unwrap();
        let model = Model::random(shape, 0).unwrap();
        let x = Tensor::new(vec![BATCH, SEQ_LEN, INPUT], reference::values(BATCH * SEQ_LEN * INPUT)).unwrap();
        let mut state = State::new(&shape, BATCH);
        let y = model.forward(cpu, &x, Order::BatchFirst, &mut state).unwrap();
        let reference = Reference::of(&model);
        let truth: Vec<f64> = x.data().chunks(SEQ_LEN * INPUT).flat_map(|x| reference.forward(x)).collect();
        reference::check(&format!("{cell:?} forward"), y.into_data(), &truth, TOLERANCE);

        let mut group = c.benchmark_group(format!("{}_forward", cell.name()));
        group.throughput(Throughput::Elements((BATCH * SEQ_LEN) as u64)); // time steps
        let id = BenchmarkId::new(cpu.isa().name(), format!("T{SEQ_LEN}_B{BATCH}_H{HIDDEN}"));
        group.bench_function(id, |b| {
            b.iter(|| {
                state.reset();
                model.forward(cpu, &x, Order::BatchFirst, &mut state).unwrap()
            });
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = forward
}
criterion_main!(benches);
