//! One step of many streams under one set of weights: `x [N,1]`, `y [N,1]`. Ids: `lstm_streams/avx512/N960_H32`.
//!
//! Before that, for each cell and H: the share of the core's peak that a step reaches, the two timed in turn. The peak
//! is what independent multiply-adds in registers reach, on the same instruction set. Operations are those of
//! [`Shape::flops`], without activations, so the time of activations counts as idle.
//!
//! The answers are checked against a float64 evaluation before anything is timed.

mod reference;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use reference::Reference;
use rnnstep::cpu::Threads;
use rnnstep::{CellKind, Cpu, Handle, Model, Shape, Streams};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Streams that are stepped together: some hundreds, as many as whole blocks have.
const STREAMS: usize = 960;

const HIDDEN: [usize; 4] = [32, 64, 128, 256];

/// The largest error of a prediction.
const TOLERANCE: f64 = 1e-6;

/// Streams of a network from one value to one, checked, and their handles in an order that is not that of the arena.
fn streams(cpu: Cpu, cell: CellKind, hidden: usize) -> (Streams, Vec<Handle>) {
    let model = Model::random(Shape::new(cell, 1, hidden, 1, 1).unwrap(), 0).unwrap();
    let mut streams = Streams::new(model.clone(), cpu, Threads::default(), STREAMS).unwrap();
    let mut handles: Vec<Handle> = (0..STREAMS).map(|_| streams.open().unwrap()).collect();
    for i in 0..STREAMS {
        handles.swap(i, i * 7919 % STREAMS);
    }
    // a few of the streams see what the reference sees, the others something else
    const STEPS: usize = 50;
    let (reference, seen) = (Reference::of(&model), [0, 1, 47, 48, STREAMS - 1]);
    let sequences: Vec<Vec<f32>> = (0..STREAMS).map(|n| reference::values(STEPS + n)[n..].to_vec()).collect();
    let mut found = vec![vec![]; STREAMS];
    let mut y = vec![0.0; STREAMS];
    for t in 0..STEPS {
        let x: Vec<f32> = sequences.iter().map(|x| x[t]).collect();
        streams.step_many(&handles, &x, &mut y).unwrap();
        found.iter_mut().zip(&y).for_each(|(found, &y)| found.push(y));
    }
    for n in seen {
        let id = format!("{cell:?} H{hidden} stream {n}");
        reference::check(&id, found[n].iter().copied(), &reference.forward(&sequences[n]), TOLERANCE);
    }
    (streams, handles)
}

/// Seconds that `work` takes.
fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Operations a second: the peak, and what a step reaches; the best of many turns each.
fn share(cpu: Cpu, cell: CellKind, hidden: usize) -> (f64, f64) {
    let (mut streams, handles) = streams(cpu, cell, hidden);
    let (mut x, mut y) = (reference::values(STREAMS), vec![0.0; STREAMS]);
    let flops = (streams.model().shape().flops() * STREAMS) as f64;
    let (mut peak, mut reached) = (0.0_f64, 0.0_f64);
    for _ in 0..60 {
        let mut operations = 0;
        let time = seconds(|| operations = black_box(cpu).multiply_adds(20_000));
        peak = peak.max(operations as f64 / time);
        for _ in 0..5 {
            x.iter_mut().for_each(|x| *x = -*x); // states that keep moving
            reached = reached.max(flops / seconds(|| streams.step_many(&handles, &x, &mut y).unwrap()));
        }
    }
    (peak, reached)
}

fn step(c: &mut Criterion) {
    let cpu = Cpu::detect().unwrap();
    for cell in CellKind::ALL {
        for hidden in HIDDEN {
            let (peak, reached) = share(cpu, cell, hidden);
            println!(
                "{:4} H {hidden:3}: {:6.1} of {:6.1} GFLOP/s, {:4.1} % of the peak",
                cell.name(),
                reached / 1e9,
                peak / 1e9,
                100.0 * reached / peak
            );
        }
    }
    for cell in CellKind::ALL {
        let mut group = c.benchmark_group(format!("{}_streams", cell.name()));
        group.throughput(Throughput::Elements(STREAMS as u64)); // steps of a stream
        for hidden in HIDDEN {
            let (mut streams, handles) = streams(cpu, cell, hidden);
            let (mut x, mut y) = (reference::values(STREAMS), vec![0.0; STREAMS]);
            let id = BenchmarkId::new(cpu.isa().name(), format!("N{STREAMS}_H{hidden}"));
            group.bench_function(id, |b| {
                b.iter(|| {
                    x.iter_mut().for_each(|x| *x = -*x);
                    streams.step_many(&handles, &x, &mut y).unwrap();
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    targets = step
}
criterion_main!(benches);
