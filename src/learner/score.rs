//! The loss of rows of which some truths may not be known.

use crate::cpu::Network;
use crate::loss::Loss;

/// Adds up the loss of one row, over the values whose truth is known, and hands out the slope at each, 0 at the others. The only
/// place here that knows what a loss makes of a row.
fn row(loss: Loss, y: &[f32], truth: &[f32], mut slope: impl FnMut(usize, f32)) -> f64 {
    let mut sum = 0.0;
    for (o, (y, truth)) in y.iter().zip(truth).enumerate() {
        let (value, d) = if truth.is_finite() { loss.element(y - truth) } else { (0.0, 0.0) };
        sum += f64::from(value);
        slope(o, d);
    }
    sum
}

/// How many values of `truth` are known.
fn known(truth: &[f32]) -> usize {
    truth.iter().filter(|truth| truth.is_finite()).count()
}

/// The mean loss of an answer; `None` if nothing of its truth is known.
pub fn of_row(loss: Loss, y: &[f32], truth: &[f32]) -> Option<f32> {
    let count = known(truth);
    (count > 0).then(|| (row(loss, y, truth, |_, _| ()) / count as f64) as f32)
}

/// The mean loss of the last forward of `network`, and its gradient at y; `truth [T,O]` has all rows of the window.
pub fn of_window(network: &mut Network, loss: Loss, truth: &[f32]) -> f32 {
    let out = network.shape().width_out();
    let rows = network.head_rows();
    let truth = &truth[rows.start * out..];
    let count = known(truth).max(1) as f32;
    let mut sum = 0.0;
    for (truth, at) in truth.chunks_exact(out).zip(rows) {
        let (y, dy) = network.y_and_dy(at);
        sum += row(loss, y, truth, |o, d| dy[o] = d / count);
    }
    (sum / f64::from(count)) as f32
}
