//! The loss of rows of which some truths may not be known.

use crate::cpu::Network;
use crate::objective::loss::{Levels, Loss};

/// Adds up the loss of one row, over the columns whose truth is known, and puts the slope at each of their outputs into `dy`, 0 at
/// those of the others. A column at a time, with what the network says of it side by side: `y [O]`, `truth [D]`.
fn row(loss: Loss, y: &[f32], truth: &[f32], dy: &mut [f32]) -> f64 {
    let (columns, each) = (truth.len(), loss.outputs(1));
    let (mut predicted, mut slopes) = ([0.0; Levels::MOST], [0.0; Levels::MOST]);
    let mut sum = 0.0;
    for (d, truth) in truth.chunks_exact(1).enumerate() {
        let known = truth[0].is_finite();
        for (i, predicted) in predicted[..each].iter_mut().enumerate() {
            *predicted = y[i * columns + d];
        }
        if known {
            sum += loss.row(&predicted[..each], truth, &mut slopes[..each]);
        }
        for (i, slope) in slopes[..each].iter().enumerate() {
            dy[i * columns + d] = if known { *slope } else { 0.0 };
        }
    }
    sum
}

/// How many elements the known values of `truth` bring to a mean.
fn known(loss: Loss, truth: &[f32]) -> usize {
    truth.iter().filter(|truth| truth.is_finite()).count() * loss.elements(1)
}

/// The mean loss of an answer; `None` if nothing of its truth is known. `dy [O]` is room to work in.
pub fn of_row(loss: Loss, y: &[f32], truth: &[f32], dy: &mut [f32]) -> Option<f32> {
    let count = known(loss, truth);
    (count > 0).then(|| (row(loss, y, truth, dy) / count as f64) as f32)
}

/// The mean loss of the last forward of `network`, and its gradient at y; `truth [T,D]` has all rows of the window.
pub fn of_window(network: &mut Network, loss: Loss, truth: &[f32]) -> f32 {
    let columns = network.shape().width_out() / loss.outputs(1);
    let rows = network.head_rows();
    let truth = &truth[rows.start * columns..];
    let count = known(loss, truth).max(1) as f32;
    let mut sum = 0.0;
    for (truth, at) in truth.chunks_exact(columns).zip(rows) {
        let (y, dy) = network.y_and_dy(at);
        sum += row(loss, y, truth, dy);
        dy.iter_mut().for_each(|dy| *dy /= count);
    }
    (sum / f64::from(count)) as f32
}
