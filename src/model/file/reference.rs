//! The reference input and output that a file may hold, so that a program that loads it can check that it computes the
//! same.

use crate::net::shape::Shape;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// An input and the network's output for it, from zero states, in the network's units. Loading a file computes the
/// first sixteen steps again, however many there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// `[T,I]`
    #[serde(with = "exact")]
    pub x: Vec<f32>,
    /// `[T,O]`, or `[T,H]` for a network without a head
    #[serde(with = "exact")]
    pub y: Vec<f32>,
    /// T
    pub seq_len: usize,
}

impl Reference {
    /// Whether the lengths are those that `shape` needs; if not, a message.
    pub(super) fn check(&self, shape: &Shape) -> Result<(), String> {
        let sides = [("x", self.x.len(), shape.input), ("y", self.y.len(), shape.width_out())];
        for (name, len, width) in sides {
            if self.seq_len.checked_mul(width) != Some(len) {
                let seq_len = self.seq_len;
                return Err(format!("reference {name} has {len} values, not seq_len {seq_len} times {width}"));
            }
        }
        Ok(())
    }
}

/// Writes every f32 as text and reads back the same bits (except those of NaN). JSON has no numbers that are not
/// finite, so they are texts. Finite values are written with the digits of an f64, because the shortest digits of an
/// f32 would be rounded twice when they are read.
mod exact {
    use super::*;

    pub fn serialize<S: Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().copied().map(Exact))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
        Ok(Vec::<Exact>::deserialize(deserializer)?.into_iter().map(|value| value.0).collect())
    }

    struct Exact(f32);

    impl Serialize for Exact {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                value if value.is_finite() => serializer.serialize_f64(value.into()),
                value if value.is_nan() => serializer.serialize_str("NaN"),
                value if value > 0.0 => serializer.serialize_str("inf"),
                _ => serializer.serialize_str("-inf"),
            }
        }
    }

    impl<'de> Deserialize<'de> for Exact {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(Number)
        }
    }

    struct Number;

    impl Visitor<'_> for Number {
        type Value = Exact;

        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("a number within the range of f32, \"NaN\", \"inf\" or \"-inf\"")
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<Exact, E> {
            let narrow = value as f32;
            if narrow.is_finite() {
                Ok(Exact(narrow))
            } else {
                Err(E::invalid_value(de::Unexpected::Float(value), &self))
            }
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Exact, E> {
            Ok(Exact(value as f32))
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<Exact, E> {
            Ok(Exact(value as f32))
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<Exact, E> {
            match value {
                "NaN" => Ok(Exact(f32::NAN)),
                "inf" => Ok(Exact(f32::INFINITY)),
                "-inf" => Ok(Exact(f32::NEG_INFINITY)),
                _ => Err(E::invalid_value(de::Unexpected::Str(value), &self)),
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn every_kind_of_value_comes_back_bit_for_bit() {
            let mut values = vec![0.0, -0.0, 1.0, 0.1, f32::MIN_POSITIVE, f32::MAX, f32::MIN, f32::INFINITY];
            values.extend([f32::NEG_INFINITY, f32::NAN, f32::from_bits(1), 16_777_217.0]);
            // every exponent, many mantissas
            values
                .extend((0..100_000_u32).map(|i| f32::from_bits(i.wrapping_mul(42_949_673))).filter(|v| v.is_finite()));
            let reference = Reference { x: values.clone(), y: vec![], seq_len: 1 };
            let back: Reference = serde_json::from_str(&serde_json::to_string(&reference).unwrap()).unwrap();
            for (&value, &back) in values.iter().zip(&back.x) {
                assert!(value.to_bits() == back.to_bits() || value.is_nan() && back.is_nan(), "{value:e} {back:e}");
            }
            assert_eq!(back.x.len(), values.len());
        }

        #[test]
        fn other_words_and_huge_numbers_are_refused() {
            for wrong in ["1e39", "-1e39", "\"nan\"", "null", "[1]"] {
                let json = format!(r#"{{"x":[{wrong}],"y":[],"seq_len":1}}"#);
                assert!(serde_json::from_str::<Reference>(&json).is_err(), "{wrong}");
            }
        }
    }
}
