//! How good a model was on the last rows of a history that it was not trained on.

use super::{Evaluation, Protocol, evaluate};
use crate::device::Device;
use crate::error::Result;
use crate::model::file::Loaded;
use crate::series::one_step;
use crate::tensor::Tensor;
use crate::train::Table;

/// The most rows that are forecast, and the longest horizon: they bound the work.
const ROWS: usize = 500;
const HORIZON: usize = 100;

/// A backtest of a model over the rows of `history [T,I]` that come after its training: the last 500 at most, 1 to
/// `horizon` rows ahead, and at most 100. The model has to predict all its inputs, in their order. `None` if the end of
/// its training is not in the history, or no row comes after it.
///
/// # Errors
/// If the model predicts other columns, or the GPU fails.
pub fn since_training(
    loaded: &Loaded,
    device: &Device,
    history: &Tensor<f64>,
    horizon: usize,
) -> Result<Option<Evaluation>> {
    let rows = history.rows().0;
    let unseen = loaded.metadata.unseen.as_ref().and_then(|unseen| unseen.first_of(history));
    let Some(first) = unseen.map(|first| first.max(rows.saturating_sub(ROWS))) else { return Ok(None) };
    let horizon = horizon.min(HORIZON).min(rows.saturating_sub(first));
    if horizon == 0 || first < 3 {
        return Ok(None);
    }
    let table = Table::of_masked(history, loaded.model.masks())?;
    let warm_up = one_step::warm_up(loaded.metadata.seq_len.unwrap_or(20));
    let protocol = Protocol::new(first, horizon).with_warm_up(warm_up);
    let model = loaded.judged()?;
    evaluate(&table, &protocol, device, |_, _, _| Ok(model.clone())).map(Some)
}
