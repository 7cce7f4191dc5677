//! Notes on a backtest, which are printed below its scores.

use rnnstep::LearnerOptions;
use rnnstep::error::shown;
use rnnstep::evaluate::backtest::Learned;
use rnnstep::series::opponents::{NotFitted, Opponent};
use rnnstep::train::Outcome;
use std::fmt;

/// A note on a backtest.
pub enum Remark {
    /// The model was trained on this many of the rows that it forecasts.
    TrainedOn(usize),
    /// The rows that the model forecasts, or some of them, also chose its weights, in training.
    ChoseTheWeights { all: bool },
    /// It is not known whether the model was trained on the rows that it forecasts.
    Unknown,
    /// In `silent` of all `trainings`, nothing was learned.
    LearnedNothing { silent: usize, trainings: usize },
    /// An opponent that was asked for takes no part for a column.
    NotFitted { column: String, opponent: Opponent, reason: NotFitted },
    /// The options of the learner, and what it did.
    Learner { options: LearnerOptions, learned: Learned, trainings: usize },
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrainedOn(rows) => {
                write!(f, "the model was trained on {rows} of these rows, so its scores are too optimistic")
            }
            Self::ChoseTheWeights { all } => {
                let rows = if *all { "these rows" } else { "some of these rows" };
                write!(f, "{rows} chose the weights of the model in training, so its scores are optimistic")
            }
            Self::Unknown => f.write_str(
                "it is not known whether the model was trained on these rows; if it was, its scores are too optimistic",
            ),
            Self::LearnedNothing { trainings: 1, .. } => f.write_str(Outcome::LEARNED_NOTHING),
            Self::LearnedNothing { silent, trainings } => {
                write!(f, "in {silent} of {trainings} trainings, {}", Outcome::LEARNED_NOTHING)
            }
            Self::NotFitted { column, opponent, reason } => {
                write!(f, "{}: {opponent} takes no part: {reason}", shown(column))?;
                if *reason == NotFitted::NoSeason { f.write_str("; give one with --season") } else { Ok(()) }
            }
            Self::Learner { options, learned, trainings } => {
                let adapt = options.adapt.map_or_else(String::new, |adapt| format!(", adapt {adapt}"));
                let again = if *trainings > 1 { "; it starts again after each training" } else { "" };
                write!(
                    f,
                    "the learner starts as the same model; it predicts each row first and learns from it afterwards, \
                     and it learns from no row before those that are forecast: every {}, window {}, learning rate \
                     {}{adapt}; {} updates, weights taken back {} times{again}",
                    options.every, options.window, options.lr, learned.updates, learned.rollbacks
                )
            }
        }
    }
}
