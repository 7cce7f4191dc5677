//! The safetensors container: eight bytes with the length of the header, a JSON header, and the bytes of the tensors.
//!
//! The `safetensors` crate can read the format. But it keeps the last of two tensors with the same name, and its errors
//! seldom name the tensor. So the header is read here, with names in every message, and is then checked by the crate
//! too. No size that a file claims is trusted or allocated before it is compared with the length of the file.

use crate::error::{Error, Result, brief, listed, quoted};
use crate::io::foreign::{self, Foreign};
use crate::memory;
use crate::tensor::{Tensor, Value};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest header in bytes. The largest network needs 40 kB; the rest is for metadata.
pub(super) const MAX_HEADER: u64 = 8 << 20;
/// The longest file in bytes.
pub(super) const MAX_FILE: u64 = 8 << 30;
/// Bytes before the header: its length, a little-endian u64.
const LENGTH: usize = 8;

/// A file whose header was read and checked. Every tensor in it has the bytes that its shape needs.
pub(super) struct Container<'a> {
    path: PathBuf,
    header: Header,
    bytes: Cow<'a, [u8]>,
}

impl Container<'static> {
    /// Reads a file once, from front to back. A file that is not safetensors is not read beyond its header.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |error| Error::io(path, error);
        let (mut file, len) = crate::io::atomic::open(path)?;
        let mut bytes = Vec::new();
        let mut read_to = |bytes: &mut Vec<u8>, end: u64| -> Result<()> {
            let missing = end.saturating_sub(bytes.len() as u64);
            let room = usize::try_from(missing).is_ok_and(|missing| memory::reserve(bytes, missing).is_ok());
            if !room {
                let reason = format!("is {end} bytes long, which does not fit into the memory of this machine");
                return Err(Error::file(path, reason));
            }
            (&mut file).take(missing).read_to_end(bytes).map_err(io)?;
            if bytes.len() as u64 >= end {
                return Ok(());
            }
            Err(Error::file(path, "was shortened while it was read; try again when no other program writes it"))
        };
        read_to(&mut bytes, len.min(foreign::HEAD as u64))?;
        let end = header_end(path, &bytes, len)?;
        read_to(&mut bytes, end as u64)?;
        let header = Header::parse(path, &bytes, end, len)?;
        read_to(&mut bytes, len)?;
        Ok(Self { path: path.to_path_buf(), header, bytes: bytes.into() })
    }
}

impl<'a> Container<'a> {
    /// The same for bytes in memory; `path` is their name in messages.
    pub fn of_bytes(path: &Path, bytes: &'a [u8]) -> Result<Self> {
        let len = bytes.len() as u64;
        let end = header_end(path, bytes, len)?;
        let header = Header::parse(path, bytes, end, len)?;
        Ok(Self { path: path.to_path_buf(), header, bytes: bytes.into() })
    }

    /// The file, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names and shapes of all tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.header.tensors.iter().map(|(name, info)| (name.as_str(), info.shape.as_slice()))
    }

    /// The shape of one tensor, if it is there.
    pub fn dims(&self, name: &str) -> Option<&[usize]> {
        self.header.tensors.get(name).map(|info| info.shape.as_slice())
    }

    /// A text in the header's `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata.get(key).map(String::as_str)
    }

    /// An error about one of its tensors.
    pub fn error(&self, tensor: &str, reason: impl Into<String>) -> Error {
        Error::tensor(&self.path, tensor, reason)
    }

    /// The values of a tensor as f32 or f64, and the number of values that became infinite because they are beyond the
    /// largest one.
    ///
    /// # Errors
    /// If there is no such tensor, it has no values, or they are not floating-point numbers.
    pub fn read<V: Value>(&self, name: &str) -> Result<(Tensor<V>, usize)> {
        let info = self.header.tensors.get(name).ok_or_else(|| {
            self.error(name, format!("is missing; the file has {}", listed(self.header.tensors.keys())))
        })?;
        if info.shape.contains(&0) {
            return Err(self.error(name, format!("its shape is {}, so it has no values", shape(&info.shape))));
        }
        let (start, end) = info.data_offsets;
        let bytes = self.bytes.get(self.header.end + start..self.header.end + end).unwrap_or_default();
        let mut lost = 0;
        let refused = |refused: memory::Refused| self.error(name, refused.to_string());
        // the header check made sure that the file has the bytes for so many values
        let mut values = memory::room::<V>(info.shape.iter().product()).map_err(refused)?;
        match info.dtype {
            Dtype::F32 => values.extend(bytes.as_chunks().0.iter().map(|&v| V::from(f32::from_le_bytes(v)))),
            Dtype::F16 => {
                values.extend(bytes.as_chunks().0.iter().map(|&v| V::from(half::f16::from_le_bytes(v).to_f32())));
            }
            Dtype::BF16 => {
                values.extend(bytes.as_chunks().0.iter().map(|&v| V::from(half::bf16::from_le_bytes(v).to_f32())));
            }
            Dtype::F64 => {
                let nearest = |&value: &[u8; 8]| {
                    let wide = f64::from_le_bytes(value);
                    lost += usize::from(wide.is_finite() && !V::of(wide).is_finite());
                    V::of(wide)
                };
                values.extend(bytes.as_chunks().0.iter().map(nearest));
            }
            other => {
                return Err(self.error(name, format!("its values are {other}; F32, F16, BF16 and F64 can be read")));
            }
        }
        let tensor = Tensor::new(info.shape.clone(), values).map_err(|error| self.error(name, error.to_string()))?;
        Ok((tensor, lost))
    }

    /// Whether the values of a tensor are f64.
    pub fn is_f64(&self, name: &str) -> bool {
        self.header.tensors.get(name).is_some_and(|info| info.dtype == Dtype::F64)
    }
}

/// A shape as Python would print it; very long ones are cut off.
pub(super) fn shape(dims: &[usize]) -> String {
    match dims.get(..8) {
        Some(first) if dims.len() > 8 => format!("{first:?} and {} dimensions more", dims.len() - 8),
        _ => format!("{dims:?}"),
    }
}

/// Where the header ends and the tensors begin, computed from the first eight bytes of a file of `len` bytes.
fn header_end(path: &Path, bytes: &[u8], len: u64) -> Result<usize> {
    let error = |reason: String| Err(Error::file(path, reason));
    if len == 0 {
        return error("is empty".into());
    }
    match foreign::recognise(bytes.get(..foreign::HEAD).unwrap_or(bytes)) {
        None | Some(Foreign::Safetensors) => {}
        Some(other) => return error(other.instead_of_model()),
    }
    let Some(&length) = bytes.first_chunk::<LENGTH>() else {
        return error(format!("is {len} bytes long, too short for a safetensors file"));
    };
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER {
        return error(format!(
            "is not a safetensors file: its first eight bytes claim a header of {length} bytes, {MAX_HEADER} are the most"
        ));
    }
    let end = LENGTH as u64 + length;
    if end > len {
        return error(format!(
            "is cut off: its header should end at byte {end}, the file ends at {len}; copy or write it again"
        ));
    }
    if len > MAX_FILE {
        return error(format!("is {len} bytes long; {MAX_FILE} are the most"));
    }
    Ok(end as usize)
}

/// A checked header.
struct Header {
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
    /// Where the tensors begin.
    end: usize,
}

impl Header {
    fn parse(path: &Path, bytes: &[u8], end: usize, len: u64) -> Result<Self> {
        let error = |reason: String| Error::file(path, reason);
        let json = bytes.get(LENGTH..end).unwrap_or_default();
        if json.is_empty() {
            return Err(error("is not a safetensors file: its header is empty".into()));
        }
        let raw: RawHeader = serde_json::from_slice(json).map_err(|e| error(format!("bad header: {}", brief(e))))?;
        let mut tensors = Vec::with_capacity(raw.tensors.len());
        for (name, info) in raw.tensors {
            tensors.push((name.clone(), info.checked().map_err(|reason| Error::tensor(path, name.as_str(), reason))?));
        }
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        let data_end = Metadata::new(None, tensors.clone()).map(|checked| checked.data_len()).map_err(|e| match e {
            SafeTensorError::InvalidOffset(name) => {
                Error::tensor(path, name, "its bytes overlap those of another tensor or leave a gap before it")
            }
            other => error(format!("bad header: {}", brief(other))),
        })?;
        let expected = (end as u64).saturating_add(data_end as u64);
        if expected > len {
            let reason = format!("is cut off: {expected} bytes are expected, it has {len}; copy or write it again");
            return Err(error(reason));
        }
        if expected < len {
            return Err(error(format!("has {} bytes more than its header describes", len - expected)));
        }
        Ok(Self { tensors: tensors.into_iter().collect(), metadata: raw.metadata, end })
    }
}

/// The header's entry of one tensor, not yet checked.
#[derive(Deserialize)]
struct RawInfo {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl RawInfo {
    /// Checks that type, shape and offsets fit together.
    fn checked(self) -> Result<TensorInfo, String> {
        let Self { dtype: name, shape: dims, data_offsets } = self;
        let dtype: Dtype = serde_json::from_value(name.as_str().into())
            .map_err(|_| format!("unknown dtype {}; F32, F16, BF16 and F64 can be read", quoted(&name)))?;
        let values = dims.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim));
        let Some(bits) = values.and_then(|values| values.checked_mul(dtype.bitsize())) else {
            return Err(format!("its shape {} asks for more values than can be counted", shape(&dims)));
        };
        let (start, end) = data_offsets;
        if end.checked_sub(start) != Some(bits / 8) {
            let (needed, shape) = (bits / 8, shape(&dims));
            return Err(format!(
                "{dtype} {shape} takes {needed} bytes, but the header places it from byte {start} to {end}"
            ));
        }
        Ok(TensorInfo { dtype, shape: dims, data_offsets })
    }
}

/// The header, not yet checked; each name occurs at most once.
struct RawHeader {
    tensors: BTreeMap<String, RawInfo>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawHeader;
            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let (mut tensors, mut metadata) = (BTreeMap::new(), None);
                while let Some(name) = map.next_key::<String>()? {
                    let named = |error: A::Error| de::Error::custom(format!("{}: {error}", quoted(&name)));
                    if name == "__metadata__" {
                        let texts: Option<UniqueTexts> = map.next_value().map_err(named)?;
                        if metadata.replace(texts).is_some() {
                            return Err(twice(&name));
                        }
                    } else {
                        let info: RawInfo = map.next_value().map_err(named)?;
                        if tensors.contains_key(&name) {
                            return Err(twice(&name));
                        }
                        tensors.insert(name, info);
                    }
                }
                let metadata = metadata.flatten().map(|texts| texts.0).unwrap_or_default();
                Ok(RawHeader { tensors, metadata })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Texts by name; each name occurs at most once.
struct UniqueTexts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for UniqueTexts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = UniqueTexts;
            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("an object of texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueTexts, A::Error> {
                let mut texts = BTreeMap::new();
                while let Some((name, text)) = map.next_entry::<String, String>()? {
                    if texts.contains_key(&name) {
                        return Err(twice(&name));
                    }
                    texts.insert(name, text);
                }
                Ok(UniqueTexts(texts))
            }
        }
        deserializer.deserialize_map(Texts)
    }
}

fn twice<E: de::Error>(name: &str) -> E {
    E::custom(format!("{} is there twice; a name may appear once", quoted(name)))
}
