//! Small work: the lesson's training from fresh weights, and single steps from host to host.

use crate::Lines;
use crate::grid::Grid;
use crate::timing::quantile;
use crate::values::{self, X};
use rnnstep::cpu::Threads;
use rnnstep::cuda::Cuda;
use rnnstep::data::windows::Windows;
use rnnstep::train::{Recipe, Trainer};
use rnnstep::{CellKind, Error, Model, Result, Shape, Stream};
use serde_json::json;
use std::time::Instant;

/// Runs of the lesson; the first is not counted.
const RUNS: usize = 6;
/// Steps whose time is not counted.
const WARM: usize = 50;

/// The lesson, 75 steps and 2,000, by the wall clock: a new trainer each time, with its kernels in the cache. Its data
/// and its graph are made within the time.
pub fn lessons(grid: &Grid, cuda: &Cuda, lines: &mut Lines) {
    for cell in CellKind::ALL {
        for count in if grid.trial() { vec![3] } else { vec![75, 2000] } {
            let name = json!({"cell": cell.name(), "H": 32, "B": 1, "T": 20, "dtype": "f32", "steps": count});
            match lesson(cuda, cell, count) {
                Ok((mut times, first, last)) => {
                    let best = quantile(&mut times, 0.5);
                    let of = json!({"best_ms": best, "runs_ms": times, "first_loss": first, "last_loss": last});
                    lines.say("lesson", &[&name, &of]);
                }
                Err(error) => lines.fail(&name, &error.to_string()),
            }
        }
    }
}

/// Milliseconds of all runs but the first, the first loss and the last.
fn lesson(cuda: &Cuda, cell: CellKind, count: usize) -> Result<(Vec<f64>, f32, f32)> {
    let (mut times, mut losses) = (vec![], vec![]);
    for _ in 0..RUNS {
        let model = Model::random(Shape::new(cell, 1, 32, 1, 1)?, 0)?;
        let windows = Windows::sine(20)?;
        losses.clear();
        let start = Instant::now();
        let mut trainer = Trainer::new(model, windows, Recipe::default(), cuda.clone(), Threads::default())?;
        trainer.steps(count, |step| losses.push(step.loss))?;
        times.push(1e3 * start.elapsed().as_secs_f64());
    }
    let (first, last) = (losses[0], losses[count - 1]);
    if count >= 75 && (last.is_nan() || last > 0.02) {
        return Err(Error::Invalid(format!("the last loss of the lesson is {last}; it should be below 0.02")));
    }
    times.remove(0);
    Ok((times, first, last))
}

/// One step of one sequence after the other, from a value on the host to a value on the host.
pub fn ticks(grid: &Grid, cuda: &Cuda, lines: &mut Lines) {
    let nets =
        [(CellKind::Rnn, 1, 32, 1), (CellKind::Lstm, 1, 32, 1), (CellKind::Gru, 8, 64, 1), (CellKind::Lstm, 64, 96, 2)];
    for (cell, input, hidden, layers) in nets {
        let name = json!({"cell": cell.name(), "H": hidden, "B": 1, "I": input, "L": layers, "dtype": "f32"});
        let run = || {
            let mut stream = Stream::on(cuda.clone(), Model::random(Shape::new(cell, input, hidden, layers, 1)?, 0)?)?;
            let (x, mut times) = (values::values(X, input), vec![]);
            for k in 0..WARM + if grid.trial() { 5 } else { 2000 } {
                let start = Instant::now();
                std::hint::black_box(stream.step(&x)?);
                if k >= WARM {
                    times.push(1e6 * start.elapsed().as_secs_f64());
                }
            }
            Ok::<_, Error>([0.5, 0.99].map(|at| quantile(&mut times, at)))
        };
        match run() {
            Ok([p50, p99]) => lines.say("tick", &[&name, &json!({"best_us": p50, "p99_us": p99})]),
            Err(error) => lines.fail(&name, &error.to_string()),
        }
    }
}
