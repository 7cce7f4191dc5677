//! Reads JSON of any structure from a file, with a limit on its size.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::Cell;

/// The most values: a learner has six numbers for each column, and a network has up to 16,384 columns.
const VALUES: usize = 1 << 20;
/// The most lists and objects: `{"a":0}` is eight bytes in a file and seven hundred in memory.
const GROUPS: usize = 10_000;

/// How many values and groups may still follow.
struct Room {
    values: Cell<usize>,
    groups: Cell<usize>,
}

/// Reads a value, `None` for null.
///
/// # Errors
/// If there are more than a million values or ten thousand lists and objects.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let room = Room { values: Cell::new(VALUES), groups: Cell::new(GROUPS) };
    Plain(&room).deserialize(deserializer).map(|value| if value.is_null() { None } else { Some(value) })
}

struct Plain<'a>(&'a Room);

impl Plain<'_> {
    fn take<E: Error>(left: &Cell<usize>, most: usize, what: &str) -> Result<(), E> {
        left.set(left.get().checked_sub(1).ok_or_else(|| E::custom(format!("more than {most} {what}")))?);
        Ok(())
    }

    fn value<E: Error>(&self, value: impl Into<Value>) -> Result<Value, E> {
        Self::take(&self.0.values, VALUES, "values")?;
        Ok(value.into())
    }

    fn group<E: Error>(&self) -> Result<(), E> {
        Self::take(&self.0.groups, GROUPS, "lists and objects")
    }
}

impl<'de> DeserializeSeed<'de> for Plain<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Plain<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.value(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.value(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.value(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.value(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.value(value)
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.value(value)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.value(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        self.group()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Plain(self.0))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        self.group()?;
        let mut values = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            values.insert(name, object.next_value_seed(Plain(self.0))?);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> serde_json::Result<Option<Value>> {
        deserialize(&mut serde_json::Deserializer::from_str(json))
    }

    #[test]
    fn gives_what_serde_json_gives() {
        let json = r#"{"a":[1,-2,3.5,18446744073709551615,"text",null,true,{"b":{}}],"c":1e300}"#;
        assert_eq!(read(json).unwrap(), Some(serde_json::from_str(json).unwrap()));
        assert_eq!(read("null").unwrap(), None);
    }

    #[test]
    fn no_more_than_makes_sense() {
        let list = |of: &str, count: usize| format!("[{}]", vec![of; count].join(","));
        assert!(read(&list("0", VALUES)).is_ok() && read(&list("[]", GROUPS - 1)).is_ok());
        for (json, word) in [(list("0", VALUES + 1), "values"), (list("{}", GROUPS), "lists")] {
            let error = read(&json).unwrap_err().to_string();
            assert!(error.contains("more than") && error.contains(word), "{error}");
        }
        assert!(read(&"[".repeat(1000)).is_err());
    }
}
