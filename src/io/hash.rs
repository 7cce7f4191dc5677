//! A hash that is the same on every machine and in every release. The hash of the standard library may change.

/// FNV-1a, 64 bits: Fowler, Noll and Vo. It is not cryptographic: two texts with the same hash are easy to find.
pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The hash of the bits of numbers.
pub fn of_values<'a>(values: impl IntoIterator<Item = &'a f64>) -> u64 {
    fnv1a(values.into_iter().flat_map(|value| value.to_le_bytes()))
}

/// The hash of the same numbers in files of the first release, in which tables were of f32.
pub fn of_narrow_values<'a>(values: impl IntoIterator<Item = &'a f64>) -> u64 {
    fnv1a(values.into_iter().flat_map(|value| (*value as f32).to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_hash() {
        // of "foobar", from the authors' page
        assert_eq!(fnv1a(*b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(of_narrow_values(&[f32::from_le_bytes(*b"foob").into()]), fnv1a(*b"foob"));
        assert_eq!(of_values(&[f64::from_le_bytes(*b"foobarba")]), fnv1a(*b"foobarba"));
    }
}
