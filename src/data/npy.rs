//! Reads and writes NumPy's `.npy` arrays. Format: `numpy.lib.format`, versions 1 to 3.
//!
//! The header has only three entries. The crates for this format read it with a parser of Python literals that needs a
//! C compiler to build, so the header is read here instead.

use crate::error::{Error, Result, quoted};
use crate::io::atomic::write_atomic;
use crate::io::foreign::{self, Foreign};
use crate::memory;
use crate::tensor::{Array, Stored, Tensor};
use half::f16;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

/// Every file starts with this. Two bytes of version follow, and two of length (four from version 2 on).
const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that NumPy itself accepts, in bytes.
const LONGEST_HEADER: usize = 10_000;

/// The dimensions that a [`Tensor`] may have.
const MOST_DIMS: usize = 4;

/// Reads an array of one to four dimensions: as f32 if it is of f16 or f32, as f64 otherwise. An array of shape `[T]`
/// becomes `[T, 1]`.
///
/// f16, f32, f64 and integers of 8 to 64 bits are understood, in either byte order, row by row or column by column.
/// NaN and infinities in the file are kept.
///
/// **Bounds.** Time is linear in the length of the file. Memory is 8 bytes for each number, twice that for an array
/// stored column by column: at most sixteen times the file, whatever its header claims.
///
/// # Errors
/// If the file cannot be read, holds another kind of data, is not as long as its shape requires, or holds a number beyond
/// the largest f32.
pub fn read(path: &Path) -> Result<Array> {
    let (file, len) = crate::io::atomic::open(path)?;
    read_array(BufReader::new(file), len).map_err(|problem| match problem {
        Problem::Io(error) => Error::io(path, error),
        Problem::Content(reason) => Error::file(path, reason),
    })
}

/// Writes an array of one to four dimensions in its own type, f32 or f64 (little-endian), row by row. If
/// that fails, no file is left.
///
/// # Errors
/// If the array has another number of dimensions, or the file cannot be written.
pub fn write(path: &Path, array: &dyn Stored) -> Result<()> {
    if !(1..=MOST_DIMS).contains(&array.dims().len()) {
        let dims = array.dims();
        return Err(Error::invalid(format!(
            "an array of shape {dims:?} cannot be written; it needs one to four dimensions"
        )));
    }
    let dims: Vec<String> = array.dims().iter().map(usize::to_string).collect();
    let size = array.width();
    let mut header = format!("{{'descr': '<f{size}', 'fortran_order': False, 'shape': ({},), }}", dims.join(", "));
    // the data starts at a multiple of 64, and the header ends with a line feed
    const BEFORE: usize = MAGIC.len() + 4;
    let padding = (BEFORE + header.len() + 1).next_multiple_of(64) - (BEFORE + header.len() + 1);
    header += &" ".repeat(padding);
    header.push('\n');
    write_atomic(path, |out| {
        let mut out = BufWriter::new(out);
        out.write_all(MAGIC)?;
        out.write_all(&[1, 0])?;
        // at most four numbers of twenty digits: far below 65,536
        out.write_all(&(header.len() as u16).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        out.write_all(&array.bytes())?;
        out.flush()
    })
}

/// What is wrong, before the file's name is added.
enum Problem {
    Io(io::Error),
    Content(String),
}

impl From<String> for Problem {
    fn from(reason: String) -> Self {
        Self::Content(reason)
    }
}

impl From<&str> for Problem {
    fn from(reason: &str) -> Self {
        Self::Content(reason.to_string())
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => "ends too early; it was not copied or written to its end".into(),
            _ => Self::Io(error),
        }
    }
}

/// Reads an array from a source of `size` bytes. It allocates no more than `size` bytes can fill.
fn read_array(mut source: impl Read, size: u64) -> Result<Array, Problem> {
    let header = raw_header(&mut source)?;
    let text = header_text(&header)?;
    let dims = checked_dims(text)?;
    let dtype = entry(text, "descr")?.trim_matches(['\'', '"']);
    let number = Number::of(dtype).ok_or_else(|| unsupported(dtype))?;
    let fortran = match entry(text, "fortran_order")? {
        "True" => true,
        "False" => false,
        _ => return Err("has a header whose fortran_order is neither True nor False".into()),
    };
    let count = dims.iter().product::<u64>();
    let expected = count.checked_mul(number.size() as u64);
    let held = size.saturating_sub(header.len() as u64);
    if expected != Some(held) {
        let expected = expected.map_or("more bytes than there are".to_string(), |bytes| format!("{bytes} bytes"));
        return Err(format!("holds {held} bytes of data, but shape {dims:?} of {dtype} takes {expected}").into());
    }
    // the file holds as many bytes, so this fits
    let dims: Vec<usize> = dims.iter().map(|&dim| dim as usize).collect();
    let mut data = memory::room(count as usize).map_err(|refused| refused.to_string())?;
    let mut bytes = [0; 8];
    for at in 0..count {
        let bytes = &mut bytes[..number.size()];
        source.read_exact(bytes)?;
        let too_large = |value| format!("value {at} is {value:e}, which is not finite as a 32-bit number");
        data.push(number.read(bytes).map_err(too_large)?);
    }
    let data = if fortran { row_major(&dims, &data).map_err(|refused| refused.to_string())? } else { data };
    let dims = if let [rows] = dims[..] { vec![rows, 1] } else { dims };
    let array = Tensor::<f64>::new(dims, data).map_err(|error| error.to_string())?;
    Ok(if matches!(number.kind, Kind::Float(2 | 4)) { array.narrow().into() } else { array.into() })
}

/// Everything up to the data: magic bytes, version, length and text of the header.
fn raw_header(source: &mut impl Read) -> Result<Vec<u8>, Problem> {
    let mut header = vec![0; 10];
    let not_npy = "is no .npy file; write it with numpy.save";
    source.read_exact(&mut header).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => not_npy.into(),
        _ => Problem::Io(error),
    })?;
    if !header.starts_with(MAGIC) {
        source.take((foreign::HEAD - header.len()) as u64).read_to_end(&mut header)?;
        return Err(foreign::recognise(&header).map_or(not_npy.into(), Foreign::instead_of_array).into());
    }
    let low = usize::from(u16::from_le_bytes([header[8], header[9]]));
    let length = match header[6] {
        1 => low,
        2 | 3 => {
            let mut high = [0; 2];
            source.read_exact(&mut high)?;
            header.extend(high);
            low | usize::from(u16::from_le_bytes(high)) << 16
        }
        version => return Err(format!("is an .npy file of version {version}; versions 1 to 3 are understood").into()),
    };
    if length > LONGEST_HEADER {
        return Err(format!("has a header of {length} bytes; at most {LONGEST_HEADER} make sense").into());
    }
    let start = header.len();
    header.resize(start + length, 0);
    source.read_exact(&mut header[start..])?;
    Ok(header)
}

/// The text of a header, if it can be the header of an array of plain numbers.
///
/// The text is a Python literal. Reading any such literal could take time exponential in its depth and memory without
/// bound, so only a dictionary with at most one tuple is read further.
fn header_text(header: &[u8]) -> Result<&str, Problem> {
    let start = if header.get(6) == Some(&1) { 10 } else { 12 };
    let text = header.get(start..).and_then(|text| core::str::from_utf8(text).ok());
    let text = text.ok_or("has a header that is not text")?;
    let count = |wanted: char| text.matches(wanted).count();
    if count('[') > 0 {
        let dtype = text.split_once("'descr':").map_or(text, |(_, dtype)| dtype);
        let end =
            if dtype.trim_start().starts_with('[') { dtype.rfind(']').map(|end| end + 1) } else { dtype.find(',') };
        return Err(unsupported(dtype[..end.unwrap_or(dtype.len())].trim()));
    }
    if count('{') != 1 || count('(') > 1 || text.contains('\\') {
        return Err("has a header that cannot be understood: it is no dictionary of dtype, order and shape".into());
    }
    Ok(text)
}

/// The dimensions in a header, if an array may have them.
///
/// They are checked here, because the callers multiply them without a check.
fn checked_dims(text: &str) -> Result<Vec<u64>, Problem> {
    let unclear = || Problem::from("has a header whose shape cannot be understood");
    let shape = text.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let shape = shape.ok_or_else(unclear)?.0.trim();
    let shape = shape.strip_suffix(',').unwrap_or(shape);
    if shape.is_empty() {
        return Err("holds a single number; an array of one to four dimensions is needed".into());
    }
    let dims: Vec<u64> =
        shape.split(',').map(|dim| dim.trim().parse().map_err(|_| unclear())).collect::<Result<_, _>>()?;
    if dims.len() > MOST_DIMS {
        return Err(format!("holds an array of {} dimensions; one to four are understood", dims.len()).into());
    }
    if dims.contains(&0) {
        return Err(format!("holds an array of shape {dims:?}, which has no values").into());
    }
    let count = dims.iter().try_fold(1_u64, |count, &dim| count.checked_mul(dim));
    count.map(|_| dims.clone()).ok_or_else(|| format!("has the shape {dims:?}, too many values to count").into())
}

fn unsupported(dtype: &str) -> Problem {
    let dtype = quoted(dtype.trim_matches('\''));
    format!("holds data of dtype {dtype}; convert it with astype(\"float32\") before saving").into()
}

/// The value of an entry of the header's dictionary, up to the next comma or the end.
fn entry<'a>(text: &'a str, name: &str) -> Result<&'a str, Problem> {
    let quoted = |quote: char| text.split_once(&format!("{quote}{name}{quote}")).map(|(_, rest)| rest.trim_start());
    let value = quoted('\'').or_else(|| quoted('"')).and_then(|rest| rest.strip_prefix(':'));
    let value = value.and_then(|value| value.split([',', '}']).next()).map(str::trim);
    value.ok_or_else(|| format!("has a header that cannot be understood: it has no {name}").into())
}

/// How one number is stored in the file.
#[derive(Clone, Copy)]
struct Number {
    big_endian: bool,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Float(usize),
    Signed(usize),
    Unsigned(usize),
}

impl Number {
    /// The number that a dtype such as `<f4` stands for, if it can be read.
    fn of(dtype: &str) -> Option<Self> {
        let mut letters = dtype.chars();
        let big_endian = match letters.next()? {
            '<' | '|' => false,
            '>' => true,
            '=' => cfg!(target_endian = "big"),
            _ => return None,
        };
        let (letter, size) = (letters.next()?, letters.as_str().parse().ok()?);
        let kind = match (letter, size) {
            ('f', 2 | 4 | 8) => Kind::Float(size),
            ('i', 1 | 2 | 4 | 8) => Kind::Signed(size),
            ('u', 1 | 2 | 4 | 8) => Kind::Unsigned(size),
            _ => return None,
        };
        Some(Self { big_endian, kind })
    }

    fn size(self) -> usize {
        match self.kind {
            Kind::Float(size) | Kind::Signed(size) | Kind::Unsigned(size) => size,
        }
    }

    /// The value of its bytes; as an error, the value if it is too large for f32.
    fn read(self, bytes: &[u8]) -> Result<f64, f64> {
        let bits = bytes.iter().enumerate().fold(0_u64, |bits, (i, &byte)| {
            let place = if self.big_endian { bytes.len() - 1 - i } else { i };
            bits | u64::from(byte) << (8 * place)
        });
        Ok(match self.kind {
            Kind::Float(2) => f16::from_bits(bits as u16).to_f64(),
            Kind::Float(4) => f32::from_bits(bits as u32).into(),
            Kind::Float(_) => {
                let value = f64::from_bits(bits);
                if value.is_finite() && !(value as f32).is_finite() {
                    return Err(value);
                }
                value
            }
            // shifted to the top and back, so that the sign fills the upper bits
            Kind::Signed(size) => ((bits << (64 - 8 * size)) as i64 >> (64 - 8 * size)) as f64,
            Kind::Unsigned(_) => bits as f64,
        })
    }
}

/// Brings data whose first dimension runs fastest into row-major order.
fn row_major(dims: &[usize], data: &[f64]) -> Result<Vec<f64>, memory::Refused> {
    let mut index = vec![0; dims.len()];
    let mut strides = vec![1; dims.len()];
    for axis in 1..dims.len() {
        strides[axis] = strides[axis - 1] * dims[axis - 1];
    }
    let mut out = memory::room(data.len())?;
    for _ in 0..data.len() {
        out.push(data[index.iter().zip(&strides).map(|(index, stride)| index * stride).sum::<usize>()]);
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            if index[axis] < dims[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_first_becomes_rows_first() {
        // numpy.asfortranarray(numpy.arange(6).reshape(3, 2)).ravel("K")
        assert_eq!(row_major(&[3, 2], &[0., 2., 4., 1., 3., 5.]).unwrap(), [0., 1., 2., 3., 4., 5.]);
        // the same of arange(8).reshape(2, 2, 2)
        assert_eq!(row_major(&[2, 2, 2], &[0., 4., 2., 6., 1., 5., 3., 7.]).unwrap(), [0., 1., 2., 3., 4., 5., 6., 7.]);
    }
}
