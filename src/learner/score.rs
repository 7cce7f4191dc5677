//! The loss of rows, of which some actual values may be unknown.

use crate::cpu::Network;
use crate::objective::loss::{Levels, Loss};

/// Adds up the loss of one row over the columns whose actual value is known: `y [O]`, `truth [D]`. Writes the
/// derivative with respect to each output into `dy`; it is 0 for the other columns. The outputs of each column are
/// gathered before they are used.
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

/// How many elements of a mean the known values of `truth` make.
fn known(loss: Loss, truth: &[f32]) -> usize {
    truth.iter().filter(|truth| truth.is_finite()).count() * loss.elements(1)
}

/// The mean loss of one prediction; `None` if no actual value is known. `dy [O]` is scratch space.
pub fn of_row(loss: Loss, y: &[f32], truth: &[f32], dy: &mut [f32]) -> Option<f32> {
    let count = known(loss, truth);
    (count > 0).then(|| (row(loss, y, truth, dy) / count as f64) as f32)
}

/// The mean loss of the last forward pass of `network`, whose gradient is put into the network. `truth [T,D]` has the
/// actual values of all rows of the window.
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
