//! Training: from a table or windows to a model, with checkpoints on the way.

pub mod checkpoint;
mod fit;
mod options;
mod pooled;
mod trainer;

pub use crate::net::pass::Head;
pub use crate::net::recipe::{Recipe, Step};
pub use fit::*;
pub use pooled::{LeftOut, PreparedMany};
pub use trainer::{Trainer, mean_loss};
