//! Prequential forecasts: at each row a model predicts first and then learns from the row. Gama, Sebastião and
//! Rodrigues 2013 ("On evaluating stream learning algorithms") call this test-then-train.

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

/// The benefit, for one column, of a model that learns while it runs: one comparison for each horizon.
#[derive(Debug, Clone)]
pub struct Learning {
    /// The learner, compared with the model it began as, which stays unchanged.
    pub over_model: Vec<Comparison>,
    /// The learner, compared with the best naive forecast.
    pub over_naive: Vec<Comparison>,
}

/// What the learner did during the backtest, summed over all trainings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Learned {
    /// Updates made, including those that were taken back.
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

/// The processor that a learner runs on, if its options are in range. It is checked before a model is trained.
pub(super) fn cpu(options: LearnerOptions, device: &Device) -> Result<Cpu> {
    options.checked()?;
    let message = "learner: learns on the CPU only, and the model that it is compared with has to run there too";
    device.cpu().ok_or_else(|| Error::invalid(message))
}

/// The forecasts at each of `origins` of a model that learns on the way, `[origins][N][D]` in raw units.
///
/// The learner is paused until its first prediction that counts was made. Until then it has the weights and the state
/// of the model, bit for bit. It learns from a row only after it has predicted it: the actual value of row t is given
/// to it after the prediction made at row t, which is for row t + 1. For longer horizons it predicts with the weights
/// that it has at the origin and feeds its predictions back, as the model does.
pub(super) fn forecasts(
    model: &Model,
    options: LearnerOptions,
    table: &Table,
    cpu: Cpu,
    origins: Range<usize>,
    &Protocol { horizon, warm_up, .. }: &Protocol,
) -> Result<(Vec<f64>, Learned)> {
    let sources = if horizon > 1 { fed_back(table)? } else { Vec::new() };
    let mut learner = Learner::new(model.clone(), options, cpu)?;
    let mut predicted = Vec::with_capacity(origins.len() * horizon * table.targets().rows().1);
    learner.pause();
    for t in one_step::warm_up_start(origins.start + 1, warm_up, model.lag())..origins.end {
        let mut y = model.point_of(learner.predict_f64(row_of(table.inputs(), t))?).to_vec();
        if t >= origins.start {
            predicted.extend_from_slice(&y);
            if horizon > 1 {
                let mut ahead = Stream::on(cpu, learner.model())?;
                ahead.set_state(&learner.state())?;
                for _ in 1..horizon {
                    let mut x: Vec<f64> = sources.iter().map(|&source| y[source]).collect();
                    x.resize(table.inputs().rows().1, 0.0);
                    y = model.point_of(ahead.step_f64(&x)?).to_vec();
                    predicted.extend_from_slice(&y);
                }
            }
        }
        learner.learn_f64(row_of(table.actuals(), t))?;
        if t == origins.start {
            learner.resume();
        }
    }
    Ok((predicted, Learned { updates: learner.updates(), rollbacks: learner.rollbacks() }))
}
