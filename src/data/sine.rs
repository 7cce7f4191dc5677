//! The data of the built-in example: `numpy.linspace(step·π, (step + 1)·π, seq_len + 1)` and its sine.

use std::f64::consts::PI;

/// The `seq_len + 1` times of window `step`, with numpy's arithmetic.
pub fn times(step: u64, seq_len: usize) -> impl Iterator<Item = f64> {
    let (start, stop) = (step as f64 * PI, step.saturating_add(1) as f64 * PI);
    let width = (stop - start) / seq_len as f64;
    // numpy sets the last point to `stop` exactly, regardless of rounding
    (0..=seq_len).map(move |i| if i == seq_len { stop } else { i as f64 * width + start })
}

/// The `seq_len + 1` values of window `step`: the first `seq_len` are the input, the last `seq_len` the target.
pub fn window(step: u64, seq_len: usize) -> impl Iterator<Item = f32> {
    times(step, seq_len).map(|t| t.sin() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `[v.view(np.uint32) for v in np.sin(np.linspace(k * np.pi, (k + 1) * np.pi, 21)).astype(np.float32)]`
    #[test]
    fn same_bits_as_numpy() {
        for &(step, at, bits) in NUMPY {
            let found: Vec<u32> = window(step, 20).map(f32::to_bits).collect();
            assert_eq!(found[at], bits, "step {step}, point {at}");
        }
    }

    /// Step, point, bits: numpy 2.4.
    #[rustfmt::skip]
    const NUMPY: &[(u64, usize, u32)] = &[
        (0, 0, 0x00000000),
        (0, 1, 0x3e20305b),
        (0, 7, 0x3f641901),
        (0, 10, 0x3f800000),
        (0, 19, 0x3e20305b),
        (0, 20, 0x250d3132),
        (1, 0, 0x250d3132),
        (1, 1, 0xbe20305b),
        (1, 7, 0xbf641901),
        (1, 10, 0xbf800000),
        (1, 19, 0xbe20305b),
        (1, 20, 0xa58d3132),
        (2, 0, 0xa58d3132),
        (2, 1, 0x3e20305b),
        (2, 7, 0x3f641901),
        (2, 10, 0x3f800000),
        (2, 19, 0x3e20305b),
        (2, 20, 0x25d3c9ca),
        (15, 0, 0x27c22f0f),
        (15, 1, 0xbe20305b),
        (15, 7, 0xbf641901),
        (15, 10, 0xbf800000),
        (15, 19, 0xbe20305b),
        (15, 20, 0xa70d3132),
        (60, 0, 0xa8c22f0f),
        (60, 1, 0x3e20305b),
        (60, 7, 0x3f641901),
        (60, 10, 0x3f800000),
        (60, 19, 0x3e20305b),
        (60, 20, 0x278d25c7),
        (74, 0, 0xa70d0385),
        (74, 1, 0x3e20305b),
        (74, 7, 0x3f641901),
        (74, 10, 0x3f800000),
        (74, 19, 0x3e20305b),
        (74, 20, 0x286575a6),
        (1999, 0, 0x298f4191),
        (1999, 1, 0xbe20305b),
        (1999, 7, 0xbf641901),
        (1999, 10, 0xbf800000),
        (1999, 19, 0xbe20305b),
        (1999, 20, 0xab34f105),
    ];
}
