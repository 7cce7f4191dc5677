//! NumPy's arrays are read as they were meant, and a bad file is an error of one line that names
//! it.
#![cfg(feature = "std")]

use proptest::prelude::*;
use rnnstep::data::npy;
use rnnstep::tensor::Array;
use rnnstep::{Error, Tensor};
use std::fs;

/// The message, which has to be one line that names the file.
fn message(error: &Error) -> String {
    let message = error.to_string();
    assert!(message.contains("t.npy: ") && !message.chars().any(char::is_control), "{message:?}");
    assert!(message.len() < 400, "{message}");
    message
}

fn contains(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

/// The bytes of an .npy file of version 1.
fn npy_bytes(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len() + 1).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.push(b'\n');
    bytes.extend(data);
    bytes
}

fn npy_header(dtype: &str, fortran: &str, shape: &str) -> String {
    format!("{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}")
}

fn read_npy(bytes: &[u8]) -> Result<Tensor, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.npy");
    fs::write(&path, bytes).unwrap();
    npy::read(&path).map(Array::narrow)
}

fn bad_npy(bytes: &[u8]) -> String {
    message(&read_npy(bytes).unwrap_err())
}

#[test]
fn npy_dtypes_and_orders() {
    let values = [1.0_f32, -2.0, 3.0, 0.0, 100.0, 7.0];
    let unsigned = values.map(f32::abs);
    let bytes = |each: &dyn Fn(f32) -> Vec<u8>| values.iter().flat_map(|&value| each(value)).collect::<Vec<u8>>();
    let signed: [(&str, Vec<u8>); 12] = [
        ("<f2", bytes(&|v| half::f16::from_f32(v).to_le_bytes().to_vec())),
        (">f2", bytes(&|v| half::f16::from_f32(v).to_be_bytes().to_vec())),
        ("<f4", bytes(&|v| v.to_le_bytes().to_vec())),
        (">f4", bytes(&|v| v.to_be_bytes().to_vec())),
        ("<f8", bytes(&|v| f64::from(v).to_le_bytes().to_vec())),
        (">f8", bytes(&|v| f64::from(v).to_be_bytes().to_vec())),
        ("|i1", bytes(&|v| (v as i8).to_le_bytes().to_vec())),
        ("<i2", bytes(&|v| (v as i16).to_le_bytes().to_vec())),
        (">i2", bytes(&|v| (v as i16).to_be_bytes().to_vec())),
        ("<i4", bytes(&|v| (v as i32).to_le_bytes().to_vec())),
        ("<i8", bytes(&|v| (v as i64).to_le_bytes().to_vec())),
        (">i8", bytes(&|v| (v as i64).to_be_bytes().to_vec())),
    ];
    for (dtype, data) in signed {
        let array = read_npy(&npy_bytes(&npy_header(dtype, "False", "(3, 2)"), &data)).unwrap();
        assert_eq!(array, Tensor::new([3, 2], values).unwrap(), "{dtype}");
    }
    let bytes = |each: &dyn Fn(f32) -> Vec<u8>| unsigned.iter().flat_map(|&value| each(value)).collect::<Vec<u8>>();
    let positive: [(&str, Vec<u8>); 4] = [
        ("|u1", bytes(&|v| vec![v as u8])),
        ("<u2", bytes(&|v| (v as u16).to_le_bytes().to_vec())),
        (">u4", bytes(&|v| (v as u32).to_be_bytes().to_vec())),
        ("<u8", bytes(&|v| (v as u64).to_le_bytes().to_vec())),
    ];
    for (dtype, data) in positive {
        let array = read_npy(&npy_bytes(&npy_header(dtype, "False", "(6,)"), &data)).unwrap();
        assert_eq!(array, Tensor::new([6, 1], unsigned).unwrap(), "{dtype}");
    }
    // column by column: 1 and -2 are below each other
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let array = read_npy(&npy_bytes(&npy_header("<f4", "True", "(2, 3)"), &data)).unwrap();
    assert_eq!(array, Tensor::new([2, 3], [1., 3., 100., -2., 0., 7.]).unwrap());
    let array = read_npy(&npy_bytes(&npy_header("<f4", "True", "(1, 2, 1, 3)"), &data)).unwrap();
    assert_eq!(array, Tensor::new([1, 2, 1, 3], [1., 3., 100., -2., 0., 7.]).unwrap());
}

#[test]
fn npy_versions_two_and_three() {
    let header = npy_header("<f4", "False", "(1, 1)");
    for version in [2, 3] {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        bytes.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(5.0_f32.to_le_bytes());
        assert_eq!(read_npy(&bytes).unwrap().data(), [5.0]);
        bytes[6] = 9;
        contains(&bad_npy(&bytes), &["version 9"]);
        (bytes[6], bytes[11]) = (version, 0xff);
        contains(&bad_npy(&bytes), &["header of 42"]);
    }
}

#[test]
fn bad_npy_files() {
    let good = npy_bytes(&npy_header("<f4", "False", "(2, 1)"), &[0; 8]);
    assert_eq!(read_npy(&good).unwrap().dims(), [2, 1]);
    for length in 0..good.len() {
        let what = bad_npy(&good[..length]);
        assert!(["is no .npy", "ends too early", "bytes of data"].iter().any(|part| what.contains(part)), "{what}");
    }
    contains(&bad_npy(&[&good[..], &[0]].concat()), &["9 bytes of data", "takes 8 bytes"]);
    contains(&bad_npy(b"a,b\n1,2\n3,4\n5,6\n"), &["is text", "not an .npy file; end its name in .csv"]);
    let shaped = |shape: &str| bad_npy(&npy_bytes(&npy_header("<f4", "False", shape), &[0; 8]));
    contains(&shaped("()"), &["single number"]);
    contains(&shaped("(0, 3)"), &["no values"]);
    contains(&shaped("(1, 1, 1, 1, 2)"), &["5 dimensions"]);
    contains(&shaped("(3,)"), &["8 bytes", "takes 12 bytes"]);
    contains(&shaped("(1000000000000, 2)"), &["8 bytes", "takes 8000000000000 bytes"]);
    contains(&shaped("(4294967296, 4294967296)"), &["too many values"]);
    contains(&shaped("(4611686018427387904,)"), &["8 bytes"]);
    contains(&shaped("(4611686018427387906,)"), &["8 bytes"]);
    for unclear in ["(-2,)", "(2L,)", "(99999999999999999999,)", "(1,,2)", "('a',)", "2", "None", "(2", "{2}", "((2,))"]
    {
        contains(&shaped(unclear), &["header", "understood"]);
    }
    for dtype in ["|b1", "<c8", "|S4", "<U2", "|O", "<f16", "<M8[D]", "|V4"] {
        let what = bad_npy(&npy_bytes(&npy_header(dtype, "False", "(2,)"), &[0; 8]));
        contains(&what, &["dtype", dtype, "astype"]);
    }
    let header = "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (1,), }";
    contains(&bad_npy(&npy_bytes(header, &[0; 8])), &["dtype", "[('a', '<f4')"]);
    let dates = bad_npy(&npy_bytes(&npy_header("<M8[ns]", "False", "(1,)"), &[0; 8]));
    contains(&dates, &["dtype", "<M8[ns]"]);
    let large = bad_npy(&npy_bytes(&npy_header("<f8", "False", "(2,)"), &[[0; 8], 1e300_f64.to_le_bytes()].concat()));
    contains(&large, &["value 1", "1e300", "not finite"]);
    // deep nesting costs a reader of Python literals exponential time or its stack
    for deep in ["(", "[", "{", "{1:", "-", "1+"] {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {}", deep.repeat(9000 / deep.len()));
        bad_npy(&npy_bytes(&header, &[0; 8]));
    }
}

#[test]
fn npy_refuses_what_it_could_not_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.npy");
    assert!(npy::write(&path, &Tensor::<f32>::default()).is_err());
    assert!(npy::write(&path, &Tensor::<f32>::zeros([1, 1, 1, 1, 1])).is_err());
    assert!(!path.exists());
    npy::write(&path, &Tensor::new([2], [f32::NAN, f32::INFINITY]).unwrap()).unwrap();
    let back = npy::read(&path).unwrap().narrow();
    assert!(back.data()[0].is_nan() && back.data()[1] == f32::INFINITY);
}

proptest! {
    #[test]
    fn npy_written_is_npy_read(bits in prop::collection::vec(any::<u32>(), 24), dims in 0..6_usize) {
        let dims: &[usize] = [&[24][..], &[24, 1], &[4, 6], &[2, 3, 4], &[2, 3, 2, 2], &[1, 24]][dims];
        let values: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.npy");
        npy::write(&path, &Tensor::new(dims, values.clone()).unwrap()).unwrap();
        let back = npy::read(&path).unwrap();
        prop_assert!(matches!(back, Array::F32(_)));
        let back = back.narrow();
        let expected = if dims.len() == 1 { &[24, 1][..] } else { dims };
        prop_assert_eq!(back.dims(), expected);
        // a NaN stays one, but not its payload
        let bits = |value: f32| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() };
        let written = Tensor::new(dims, values).unwrap();
        prop_assert!(back.data().iter().copied().map(bits).eq(written.data().iter().copied().map(bits)));
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Err(error) = read_npy(&bytes) {
            message(&error);
        }
        if let Err(error) = read_npy(&[b"\x93NUMPY\x01\x00".as_slice(), &bytes].concat()) {
            message(&error);
        }
    }

    #[test]
    fn damaged_npy_files_do_not_panic(
        damage in prop::collection::vec((0..90_usize, any::<u8>()), 1..4), length in 0..110_usize,
    ) {
        let mut bytes = npy_bytes(&npy_header("<f4", "False", "(2, 3)"), &[1; 24]);
        for (at, byte) in damage {
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
        }
        bytes.truncate(length.max(60));
        if let Err(error) = read_npy(&bytes) {
            message(&error);
        }
    }
}
