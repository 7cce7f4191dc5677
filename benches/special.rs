//! How long a step takes with subnormal numbers, NaN and infinities, next to a normal step of the same network, timed
//! in turn. Ids: `lstm_step_subnormal/avx2/H32`.
//!
//! `subnormal` is a network without biases whose x has been 1e-40 for a long time; `nan` and `infinite` start from a
//! state of such values.

mod reference;

use reference::Reference;
use rnnstep::{CellKind, Cpu, Isa, Model, Shape, State, Stream};
use std::hint::black_box;
use std::time::Instant;

const HIDDEN: [usize; 3] = [8, 32, 128];

/// The largest error of a prediction.
const TOLERANCE: f64 = 1e-6;

/// How often each is timed, and over how many steps: the best counts, so that others on the machine matter little.
const TURNS: usize = 300;
const STEPS: usize = 100;

struct Kind {
    name: &'static str,
    stream: Stream,
    x: f32,
    best: f64,
}

fn kinds(cpu: Cpu, model: &Model) -> [Kind; 4] {
    let shape = *model.shape();
    let on = |name, value: f32, x| {
        let mut stream = Stream::on(cpu, model.clone()).unwrap();
        let mut state = State::new(&shape, 1);
        state.set_h(&vec![value; shape.hidden()]).unwrap();
        stream.set_state(&state).unwrap();
        for _ in 0..5000 {
            stream.step(&[x]).unwrap();
        }
        Kind { name, stream, x, best: f64::INFINITY }
    };
    [on("normal", 0.5, 0.5), on("subnormal", 0.5, 1e-40), on("nan", f32::NAN, 0.5), on("infinite", f32::INFINITY, 0.5)]
}

fn main() {
    for cell in CellKind::ALL {
        for isa in Isa::available().into_iter().filter(|&isa| isa != Isa::Portable) {
            for hidden in HIDDEN {
                let cpu = Cpu::new(isa).unwrap();
                let shape = Shape::new(cell, 1, hidden, 1, 1).unwrap().with_bias(false).unwrap();
                let model = Model::random(shape, 0).unwrap();
                let (x, mut stream) = (reference::values(100), Stream::on(cpu, model.clone()).unwrap());
                let y: Vec<f32> = x.iter().map(|&x| stream.step(&[x]).unwrap()[0]).collect();
                let truth = Reference::of(&model).forward(&x);
                reference::check(&format!("{cell:?} {isa:?} H{hidden}"), y, &truth, TOLERANCE);
                let mut kinds = kinds(cpu, &model);
                for _ in 0..TURNS {
                    for kind in &mut kinds {
                        let start = Instant::now();
                        for _ in 0..STEPS {
                            kind.x = -kind.x; // a state that keeps moving
                            black_box(kind.stream.step(&[kind.x]).unwrap());
                        }
                        kind.best = kind.best.min(start.elapsed().as_secs_f64() / STEPS as f64);
                    }
                }
                for kind in &kinds {
                    let id = format!("{}_step_{}/{}/H{hidden}", cell.name(), kind.name, isa.name());
                    println!("{id:<36} {:8.1} ns  {:.2} of normal", 1e9 * kind.best, kind.best / kinds[0].best);
                }
            }
        }
    }
}
