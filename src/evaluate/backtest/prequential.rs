//! Prequential forecasts: a model that at each row answers first and then learns from it, which Gama, Sebastião and Rodrigues
//! 2013 ("On evaluating stream learning algorithms") call test-then-train.

use super::{Comparison, Protocol, fed_back, row_of};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::learner::{Learner, LearnerOptions};
use crate::model::Model;
use crate::model::stream::Stream;
use crate::series::one_step;
use crate::simd::isa::Cpu;
use crate::train::Table;
use std::ops::{AddAssign, Range};

/// What it brings, for one column, that the model learns while it runs: one comparison for each number of rows ahead.
#[derive(Debug, Clone)]
pub struct Learning {
    /// The learner, compared with the model it began as, which stays unchanged.
    pub over_model: Vec<Comparison>,
    /// The learner held against the best naive forecast.
    pub over_naive: Vec<Comparison>,
}

/// What a learner did on its walk, all folds together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Learned {
    /// Updates made, those that were taken back among them.
    pub updates: u64,
    /// How often weights were taken back.
    pub rollbacks: u64,
}

impl AddAssign for Learned {
    fn add_assign(&mut self, other: Self) {
        self.updates += other.updates;
        self.rollbacks += other.rollbacks;
    }
}

/// The processor that a learner runs on, if its options are in range: to know before a model is trained.
pub(super) fn cpu(options: LearnerOptions, device: &Device) -> Result<Cpu> {
    options.checked()?;
    let message = "learner: learns on a CPU only, and the model that it is held against has to run there as well";
    device.cpu().ok_or_else(|| Error::invalid(message))
}

/// What the model says at each of `origins` if it learns on the way, `[origins][N][D]` in raw units.
///
/// It is paused until its first answer that counts is out. Then it is the model with the model's state, bit for bit, and all it
/// learns from are rows that it has been asked about before: the truth of row t comes after the answer to row t, which is about
/// row t + 1. Further ahead the weights that it has at the origin are fed their own answers, as the model is.
pub(super) fn forecasts(
    model: &Model,
    options: LearnerOptions,
    table: &Table,
    cpu: Cpu,
    origins: Range<usize>,
    &Protocol { horizon, warm_up, .. }: &Protocol,
) -> Result<(Vec<f32>, Learned)> {
    let sources = if horizon > 1 { fed_back(table)? } else { Vec::new() };
    let mut learner = Learner::new(model.clone(), options, cpu)?;
    let mut predicted = Vec::with_capacity(origins.len() * horizon * table.targets().rows().1);
    learner.pause();
    for t in one_step::warm_up_start(origins.start + 1, warm_up, model.lag())..origins.end {
        let mut y = model.point_of(learner.predict(row_of(table.inputs(), t))?).to_vec();
        if t >= origins.start {
            predicted.extend_from_slice(&y);
            if horizon > 1 {
                let mut ahead = Stream::on(cpu, learner.model())?;
                ahead.set_state(&learner.state())?;
                for _ in 1..horizon {
                    let x: Vec<f32> = sources.iter().map(|&source| y[source]).collect();
                    y = model.point_of(ahead.step(&x)?).to_vec();
                    predicted.extend_from_slice(&y);
                }
            }
        }
        learner.learn(row_of(table.targets(), t))?;
        if t == origins.start {
            learner.resume();
        }
    }
    Ok((predicted, Learned { updates: learner.updates(), rollbacks: learner.rollbacks() }))
}
