//! What there is to say of a backtest besides its scores.

use crate::cli::output::report::LEARNED_NOTHING;
use rnnstep::LearnerOptions;
use rnnstep::evaluate::backtest::Learned;
use std::fmt;

/// What there is to say of a backtest besides its scores.
pub enum Remark {
    /// The model was trained on so many of the rows that it forecast.
    TrainedOn(usize),
    /// The weights of the model were chosen by the rows that it forecast.
    ChoseTheWeights,
    /// Nobody knows whether it was trained on them.
    Unknown,
    /// So many of all trainings learned nothing.
    LearnedNothing { silent: usize, trainings: usize },
    /// What the learner is and did.
    Learner { options: LearnerOptions, learned: Learned, trainings: usize },
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrainedOn(rows) => {
                write!(f, "the model was trained on {rows} of these rows, so its scores are too optimistic")
            }
            Self::ChoseTheWeights => {
                f.write_str("these rows chose the weights of the model in training, so its scores are optimistic")
            }
            Self::Unknown => f.write_str("whether the model was trained on these rows is for you to know"),
            Self::LearnedNothing { trainings: 1, .. } => f.write_str(LEARNED_NOTHING),
            Self::LearnedNothing { silent, trainings } => {
                write!(f, "{LEARNED_NOTHING}, in {silent} of {trainings} trainings")
            }
            Self::Learner { options, learned, trainings } => {
                let adapt = options.adapt.map_or_else(String::new, |adapt| format!(", scalers that keep {adapt}"));
                let anew = if *trainings > 1 { "; after each training it begins anew" } else { "" };
                write!(
                    f,
                    "the learner is the same model, which answers each row first and learns from it then, and never from one \
                     before the part to forecast: every {}, window {}, learning rate {}{adapt}; {} updates, weights taken back \
                     {} times{anew}",
                    options.every, options.window, options.lr, learned.updates, learned.rollbacks
                )
            }
        }
    }
}
