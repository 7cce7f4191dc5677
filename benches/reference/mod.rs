//! What the benchmarks compare their answers with: the same networks in float64.
#![allow(dead_code, unused_imports, reason = "each benchmark uses its part")]

pub use rnnstep::measure::reference64::Reference;

/// Mean squared error over sequences `x [B,T,1]` and `target [B,T,O]`, each of `seq_len` steps and from a state of
/// zero.
pub fn mean_squared_error(reference: &Reference, x: &[f32], target: &[f32], seq_len: usize) -> f64 {
    let y = x.chunks(seq_len).flat_map(|x| reference.forward(x));
    let squares = y.zip(target).map(|(y, &t)| (y - f64::from(t)) * (y - f64::from(t)));
    squares.sum::<f64>() / target.len() as f64
}

/// Stops the benchmark if `found` is not `truth` to within `tolerance` everywhere.
pub fn check(id: &str, found: impl IntoIterator<Item = f32>, truth: &[f64], tolerance: f64) {
    let found: Vec<f32> = found.into_iter().collect();
    assert_eq!(found.len(), truth.len(), "{id}: number of values");
    for (i, (&y, truth)) in found.iter().zip(truth).enumerate() {
        let error = (f64::from(y) - truth).abs();
        assert!(error <= tolerance, "{id}: value {i} is {y}, should be {truth}");
    }
}

/// `n` values from -0.5 to 0.5 that look irregular.
pub fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * i * 7 + i * 37 + 11) % 101) as f32 / 101.0 - 0.5).collect()
}
