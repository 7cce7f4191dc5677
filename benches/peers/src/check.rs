//! No right answer, no timing: what is further from float64 than [`TOLERANCE`] is not the same network.

/// The largest error of a y, and the largest relative error of a loss. Libraries in f32 are some 1e-7 off; one that is
/// 1e-4 off gave up accuracy for speed.
pub const TOLERANCE: f64 = 1e-5;

/// The largest distance between `found` and `truth`.
///
/// # Errors
/// If it is above [`TOLERANCE`], not a number, or their lengths differ.
pub fn check(found: &[f32], truth: &[f64]) -> Result<f64, String> {
    if found.len() != truth.len() {
        return Err(format!("{} answers where there should be {}", found.len(), truth.len()));
    }
    let mut largest = 0.0;
    for (i, (&found, &truth)) in found.iter().zip(truth).enumerate() {
        let error = (f64::from(found) - truth).abs();
        if error.is_nan() || error > TOLERANCE {
            return Err(format!("answer {i} is {found}, should be {truth}"));
        }
        largest = error.max(largest);
    }
    Ok(largest)
}

/// The same for a loss, relative to the true one.
///
/// # Errors
/// If it is too far off.
pub fn check_loss(found: f32, truth: f64) -> Result<f64, String> {
    check(&[(f64::from(found) / truth) as f32], &[1.0]).map_err(|_| format!("the loss is {found}, should be {truth}"))
}
