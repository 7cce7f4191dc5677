//! Training: from tables or windows to a model, with checkpoints on the way.

pub mod checkpoint;
mod fit;
pub mod folder;
mod options;
mod plan;
mod table;
mod target;
mod trainer;
mod validation;

pub use crate::net::pass::HeadSteps;
pub use crate::net::recipe::{Recipe, Step};
pub use fit::{Fit, Outcome};
pub use plan::{HELD_OUT, LeftOut, Length, Plan, Prepared};
pub use table::Table;
pub use target::TargetAs;
pub use trainer::{Trainer, mean_loss};
pub use validation::Validation;
