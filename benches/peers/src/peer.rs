//! What a peer does. What it cannot do is an error of a few words.

use crate::nets::{LESSON_STEPS, Net};
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// What is asked for, or why it cannot be had: `no Elman RNN`.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One sequence, step by step, from a state of zero.
pub trait Stream {
    /// y of `x [I]`.
    fn step(&mut self, x: &[f32]) -> f32;

    /// Does what can be done between two steps, when nobody waits for an answer. Returns whether there is such work. If
    /// so, only single steps are timed, without it.
    fn between(&mut self) -> bool {
        false
    }

    /// Makes `calls` steps over `rows`, which repeat. A peer should not write its own. In this loop the compiler knows
    /// which step it calls, and a real program has the same advantage. Looking the step up at run time would take as
    /// long as a small step.
    fn steps(&mut self, rows: &[&[f32]], calls: u64) {
        // every answer is used, but none goes to memory, because the next x would have to wait for that
        let mut sum = 0.0;
        for (_, x) in (0..calls).zip(rows.iter().cycle()) {
            sum += self.step(black_box(x));
        }
        black_box(sum);
    }

    /// The same, each with a clock around it, until there are `most` or `time` is over: how many ns each took.
    fn times(&mut self, rows: &[&[f32]], most: usize, time: Duration) -> Vec<f64> {
        let mut times = Vec::with_capacity(most);
        let start = Instant::now();
        for x in rows.iter().cycle().take(most) {
            let before = Instant::now();
            black_box(self.step(black_box(x)));
            times.push(before.elapsed().as_nanos() as f64);
            self.between();
            if start.elapsed() > time {
                break;
            }
        }
        times
    }
}

impl<F: FnMut(&[f32]) -> f32> Stream for F {
    fn step(&mut self, x: &[f32]) -> f32 {
        self(x)
    }
}

/// One step of several streams: x `[N,I]` in, y `[N]` out.
pub type Together = Box<dyn FnMut(&[f32]) -> Vec<f32>>;

/// A library that runs our networks.
pub trait Peer {
    fn name(&self) -> &'static str;

    /// Which part of the library, where there is a choice.
    fn variant(&self) -> &'static str {
        ""
    }

    /// A stream of `net`.
    fn stream(&self, _net: &Net) -> Result<Box<dyn Stream>> {
        Err("no single steps".into())
    }

    /// What its stream should give: y of the network, unless the peer is known to round the weights.
    fn truth(&self, net: &Net) -> Vec<f64> {
        net.y.clone()
    }

    /// `count` streams of `net`, stepped together.
    fn streams(&self, _net: &Net, _count: usize) -> Result<Together> {
        Err("many streams: not written".into())
    }

    /// y `[T,B,1]` of `net.x`, as often as it is called.
    fn forward(&self, _net: &Net, _threads: usize) -> Result<Box<dyn FnMut() -> Vec<f32>>> {
        Err("sequences: not written".into())
    }

    /// One step of training on the whole of `net` (forward from zero, mean squared error, backward, Adam), as often as
    /// it is called; gives the loss before the update.
    fn training(&self, _net: &Net, _threads: usize) -> Result<Box<dyn FnMut() -> f32>> {
        Err("training: not written".into())
    }

    /// The whole lesson, as often as it is called: a network with the weights of `net`, its optimiser, and
    /// [`LESSON_STEPS`] steps, each on the next window of the sine and with the state carried on; gives the losses.
    fn lesson(&self, _net: &Net) -> Result<Box<dyn FnMut() -> [f32; LESSON_STEPS]>> {
        Err("training: not written".into())
    }
}
