//! Files of other programs are recognised by their first bytes, whatever their name: where a model, a table or an array is
//! expected, one line says what the file is and what to do.

use rnnstep::data::{csv, npy};
use rnnstep::model::file;
use std::fs;

/// A member of a zip file, as far as its name.
fn zip(name: &str) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend((name.len() as u16).to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(name.as_bytes());
    bytes
}

#[test]
fn one_line_says_what_a_file_is_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let tar = [&[b'a'; 100][..], &[0; 157], b"ustar\x0000", &[0; 249]].concat();
    // the file, what it is, what to do where a model is expected, and where a table is
    let cases: [(&[u8], &str, &str, &str); 20] = [
        (b"\x89HDF\r\n\x1a\n\0\0\0\0\0\0\0\0", "HDF5", "torch.nn.RNN", "to_csv"),
        (b"\x08\x07\x12\x07pytorch\x1a\x032.1:\x10", "ONNX", "torch.nn.RNN", ".csv"),
        (b"\x1c\0\0\0TFL3\x14\0\x20\0", "TensorFlow Lite", "torch.nn.RNN", ".csv"),
        (b"GGUF\x03\0\0\0\x01\0\0\0", "GGUF", "no recurrent layers", ".csv"),
        (&zip("archive/data.pkl"), "torch.save", "save_file(", ".csv"),
        (&zip("metadata.json"), "Keras", "torch.nn.RNN", ".csv"),
        (&zip("x.npy"), ".npz", "data after it", "numpy.save"),
        (&zip("[Content_Types].xml"), "Excel", "data after it", "save the sheet as CSV"),
        (b"\x80\x02}q\0X\x01\0\0\0", "pickle", "save_file(", "pandas"),
        (&tar, "tar archive", "unpack it", "unpack it"),
        (
            b"\x1f\x8b\x08\x08\x62\xd8\x0c\x6b\x02\xff",
            "gzip",
            "gunzip",
            if cfg!(feature = "gzip") { "copy it again" } else { "gunzip" },
        ),
        (b"\x28\xb5\x2f\xfd\x04\0\0\0\0\0", "Zstandard", "unzstd", "unzstd"),
        (b"PAR1\x15\x04\x15\x10\0\0\0", "Parquet", "data after it", "read_parquet"),
        (b"SQLite format 3\0\x10\0", "SQLite", ".safetensors", "sqlite3 -csv"),
        (b"<!DOCTYPE html><html><head><title>Sign in</title>", "web page", "download it again", "download it again"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n",
            "Git LFS",
            "git lfs pull",
            "git lfs pull",
        ),
        (
            br#"{"version": "0.5.4", "architecture": "LSTM", "config": {}, "weights": []}"#,
            "Neural Amp",
            "torch.nn",
            "json",
        ),
        (br#"{"in_shape": [null, null, 1], "layers": []}"#, "RTNeural", "torch.nn", "json"),
        (br#"{"rnn.weight_ih_l0": [[0.1], [0.2]]}"#, "JSON", "state_dict", "read_json"),
        (b"\x93NUMPY\x01\0\x76\0{'descr'", "NumPy", "data after it", "end its name in .npy"),
    ];
    let check = |error: String, path: &str, words: [&str; 2]| {
        assert!(error.starts_with(path) && !error.contains('\n'), "{error}");
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
    };
    for (i, (bytes, what, model, table)) in cases.into_iter().enumerate() {
        // whatever its name
        let path = folder.path().join(format!("{i}.safetensors"));
        fs::write(&path, bytes).unwrap();
        let name = path.to_str().unwrap();
        check(file::read(&path, &file::ReadOptions::default()).map(drop).unwrap_err().to_string(), name, [what, model]);
        check(csv::read(&path, &csv::CsvOptions::default()).map(drop).unwrap_err().to_string(), name, [what, table]);
        if !bytes.starts_with(b"\x93NUMPY") {
            check(npy::read(&path).map(drop).unwrap_err().to_string(), name, [what, "not an .npy file"]);
        }
    }
    // names of columns that begin as such files do
    for header in ["PAR1,x", "GGUF,x", "BZh,x", "[x],y", "{x},y", "PK,x"] {
        let path = folder.path().join("t.csv");
        fs::write(&path, format!("{header}\n1,2\n3,4\n")).unwrap();
        assert_eq!(csv::read(&path, &csv::CsvOptions::default()).unwrap().len(), 2, "{header}");
    }
}
