//! A tick of a model that learns while it runs: the distribution of single ticks, in two halves, the answer and the
//! learning. Next to it a step of a plain stream, after `advance`, and `advance` itself. Ids:
//! `lstm_learner/avx512/H32_K16 predict`. Times are in nanoseconds and contain one reading of the clock.
//!
//! The answers of a paused learner are those of the stream, bit for bit, and the stream is checked against float64
//! first.

mod reference;

use reference::Reference;
use rnnstep::measure::latency::{Distribution, PERCENTILES};
use rnnstep::{CellKind, Cpu, Isa, Learner, LearnerOptions, Model, Shape, Stream};
use std::hint::black_box;
use std::time::{Duration, Instant};

const HIDDEN: usize = 32;
/// K, and how many ticks there are between updates.
const HOW: [(usize, usize); 5] = [(1, 1), (4, 1), (16, 1), (64, 1), (16, 16)];
/// The K that is also run on every instruction set.
const EVERY_ISA: usize = 16;
const TICKS: usize = 20_000;
/// The largest error of a prediction.
const TOLERANCE: f64 = 1e-6;

fn main() {
    let x: Vec<f32> = reference::values(997);
    for cell in CellKind::ALL {
        let model = Model::random(Shape::new(cell, 1, HIDDEN, 1, 1).unwrap(), 0).unwrap();
        let truth = Reference::of(&model).forward(&x[..100]);
        for isa in Isa::available().into_iter().filter(|&isa| isa != Isa::Portable) {
            let cpu = Cpu::new(isa).unwrap();
            let id = |kind: &str| format!("{}_{kind}/{}/H{HIDDEN}", cell.name(), isa.name());
            let mut stream = Stream::on(cpu, model.clone()).unwrap();
            let y: Vec<f32> = x[..100].iter().map(|&x| stream.step(&[x]).unwrap()[0]).collect();
            reference::check(&id("stream"), y, &truth, TOLERANCE);
            let [predict, advance] = times(&x, |x| {
                let start = Instant::now();
                black_box(stream.step(&[x]).unwrap());
                let answered = Instant::now();
                stream.advance();
                [answered - start, answered.elapsed()]
            });
            print(&format!("{} step", id("stream")), &predict);
            print(&format!("{} advance", id("stream")), &advance);
            for (window, every) in HOW {
                if isa != Cpu::widest().isa() && (window, every) != (EVERY_ISA, 1) {
                    continue;
                }
                let options = LearnerOptions { window, every, ..Default::default() };
                let mut learner = Learner::new(model.clone(), options, cpu).unwrap();
                learner.warm_up();
                let [predict, learn] = times(&x, |x| {
                    let start = Instant::now();
                    black_box(learner.predict(&[x]).unwrap());
                    let answered = Instant::now();
                    black_box(learner.learn(&[x]).unwrap());
                    [answered - start, answered.elapsed()]
                });
                let id = format!("{}_K{window}", id("learner"));
                let id = if every > 1 { format!("{id}_every{every}") } else { id };
                print(&format!("{id} predict"), &predict);
                print(&format!("{id} learn"), &learn);
            }
        }
    }
}

/// How long each half of a tick takes, over all ticks but some first ones.
fn times(x: &[f32], mut tick: impl FnMut(f32) -> [Duration; 2]) -> [Distribution; 2] {
    let mut all = [(); 2].map(|()| Vec::with_capacity(TICKS));
    for (t, &x) in x.iter().cycle().take(TICKS + 1000).enumerate() {
        let took = tick(x);
        if t >= 1000 {
            all.iter_mut().zip(took).for_each(|(all, took)| all.push(took));
        }
    }
    all.map(|times| Distribution::new(times).unwrap())
}

fn print(id: &str, times: &Distribution) {
    let known = PERCENTILES.map(|p| times.known(p).map_or("-".into(), |time| time.as_nanos().to_string()));
    let [p50, p99, p999] = known;
    println!("{id:<48} p50 {p50:>7}  p99 {p99:>7}  p99.9 {p999:>7}  max {:>8}", times.max().as_nanos());
}
