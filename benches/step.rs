//! One time step of one sequence: a number in, a prediction out. Ids: `lstm_step/avx512/H32`.
//!
//! The answers of every benchmark are checked against a float64 evaluation before anything is timed.
//!
//! A record under `benches/record/` is what `cargo bench` printed on an otherwise idle machine. There is one file for
//! each machine; it begins with the date, the processor, the compiler and the commit:
//!
//! ```text
//! cargo bench | tee benches/record/NAME.txt
//! ```

mod reference;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use reference::Reference;
use rnnstep::{CellKind, Cpu, Isa, Model, Shape, Stream, Weights};
use std::time::Duration;

/// H of the benchmarks; the one that is also run on every instruction set.
const HIDDEN: [usize; 6] = [8, 16, 32, 64, 128, 256];
const EVERY_ISA: usize = 32;

/// The largest error of a prediction; PyTorch's float32 is off by about a third of it.
const TOLERANCE: f64 = 1e-6;

fn step(c: &mut Criterion) {
    for cell in CellKind::ALL {
        let mut group = c.benchmark_group(format!("{}_step", cell.name()));
        for hidden in HIDDEN {
            let model = Model::random(Shape::new(cell, 1, hidden, 1, 1).unwrap(), 0).unwrap();
            let isas = if hidden == EVERY_ISA { Isa::available() } else { vec![Cpu::widest().isa()] };
            for isa in isas {
                let mut stream = Stream::on(Cpu::new(isa).unwrap(), model.clone()).unwrap();
                let mut tick = stream.ticker::<1, 1>().unwrap();
                let id = BenchmarkId::new(isa.name(), format!("H{hidden}"));
                let x = reference::values(100);
                let y = x.iter().map(|&x| tick.step([x])[0]);
                let truth = Reference::of(&model).forward(&x);
                reference::check(&format!("{cell:?} {isa:?} H{hidden}"), y, &truth, TOLERANCE);
                let mut x = 0.5;
                group.bench_function(id, |b| {
                    b.iter(|| {
                        x = -x; // a state that keeps moving
                        tick.step([x])
                    });
                });
            }
        }
        group.finish();
    }
}

/// The same with weights of half and a quarter of the size. Ids: `lstm_step_bf16/avx512/H128`.
fn small_weights(c: &mut Criterion) {
    for cell in CellKind::ALL {
        for weights in [Weights::Bf16, Weights::F16, Weights::Int8] {
            let mut group = c.benchmark_group(format!("{}_step_{}", cell.name(), weights.name()));
            for hidden in [32, 64, 128, 256] {
                let model = Model::random(Shape::new(cell, 1, hidden, 1, 1).unwrap(), 0).unwrap();
                let model = model.with_weights(weights).unwrap();
                let cpu = Cpu::widest();
                let mut stream = Stream::on(cpu, model.clone()).unwrap();
                let mut tick = stream.ticker::<1, 1>().unwrap();
                let x = reference::values(100);
                let y = x.iter().map(|&x| tick.step([x])[0]);
                // the truth is the rounded model in float64: this does not measure what rounding does to a model
                let truth = Reference::of(&model).forward(&x);
                reference::check(&format!("{cell:?} {weights:?} H{hidden}"), y, &truth, TOLERANCE);
                let mut x = 0.5;
                group.bench_function(BenchmarkId::new(cpu.isa().name(), format!("H{hidden}")), |b| {
                    b.iter(|| {
                        x = -x;
                        tick.step([x])
                    });
                });
            }
            group.finish();
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = step, small_weights
}
criterion_main!(benches);
