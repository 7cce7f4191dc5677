//! Files of other programs, recognised by their first bytes, so that a message can name them and say what to do.

/// As many bytes from the beginning of a file as [`recognise`] needs.
pub(crate) const HEAD: usize = 1024;

/// A kind of file that this crate does not read, or does not read in this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    Hdf5,
    Onnx,
    TfLite,
    Gguf,
    /// A PyTorch file of today: a zip file with a pickle in it.
    TorchZip,
    /// A Python pickle: a PyTorch file of former times, or anything else that Python writes.
    Pickle,
    KerasZip,
    Npz,
    Excel,
    Zip,
    Tar,
    Gzip,
    Zstandard,
    Xz,
    Bzip2,
    Parquet,
    Arrow,
    Sqlite,
    Pdf,
    WebPage,
    Xml,
    LfsPointer,
    /// JSON of Neural Amp Modeler.
    Nam,
    /// JSON of RTNeural.
    RtNeural,
    Json,
    Npy,
    Safetensors,
    /// Any other text.
    Text,
}

/// What the first bytes of a file are, if they are known. It needs at most [`HEAD`] of them.
pub(crate) fn recognise(head: &[u8]) -> Option<Foreign> {
    // the length of a header, and the header, an object of JSON
    if head.len() > 9 && head[8] == b'{' && head[5..8] == [0; 3] {
        return Some(Foreign::Safetensors);
    }
    let has = |text: &str| head.windows(text.len()).any(|part| part == text.as_bytes());
    // names that a column of a table could have as well: there is more than text behind them
    let binary: [(&[u8], Foreign); 4] =
        [(b"GGUF", Foreign::Gguf), (b"PAR1", Foreign::Parquet), (b"ARROW1", Foreign::Arrow), (b"FEA1", Foreign::Arrow)];
    if let Some((_, found)) = binary.iter().find(|(magic, _)| head.starts_with(magic) && !is_text(head)) {
        return Some(*found);
    }
    let magic: [(&[u8], Foreign); 14] = [
        (b"\x89HDF\r\n\x1a\n", Foreign::Hdf5),
        (b"\x1f\x8b", Foreign::Gzip),
        (b"\x28\xb5\x2f\xfd", Foreign::Zstandard),
        (b"\xfd7zXZ\0", Foreign::Xz),
        (b"SQLite format 3\0", Foreign::Sqlite),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Foreign::Excel),
        (b"%PDF-", Foreign::Pdf),
        (b"version https://git-lfs.github.com/spec/", Foreign::LfsPointer),
        (b"\x93NUMPY", Foreign::Npy),
        (b"\x80\x02", Foreign::Pickle),
        (b"\x80\x03", Foreign::Pickle),
        (b"\x80\x04", Foreign::Pickle),
        (b"\x80\x05", Foreign::Pickle),
        (b"PK\x03\x04", Foreign::Zip),
    ];
    match magic.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, Foreign::Zip)) => return Some(zip(&has)),
        Some((_, found)) => return Some(*found),
        None => {}
    }
    if head.starts_with(b"BZh") && head.get(4..10) == Some(b"1AY&SY") {
        return Some(Foreign::Bzip2);
    }
    if head.get(4..8) == Some(b"TFL3") {
        return Some(Foreign::TfLite);
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some(Foreign::Tar);
    }
    // a message of Protocol Buffers: field 1, the version of the format; field 2, 3, 5 or 7, texts and the graph
    if let [0x08, 3..=30, 0x12 | 0x1a | 0x2a | 0x3a, ..] = head {
        return Some(Foreign::Onnx);
    }
    text(head, &has)
}

/// A zip file, by the names of its first members.
fn zip(has: &dyn Fn(&str) -> bool) -> Foreign {
    if has("data.pkl") || has(".format_version") || has("byteorder") {
        Foreign::TorchZip
    } else if has("metadata.json") || has("config.json") || has("model.weights.h5") {
        Foreign::KerasZip
    } else if has(".npy") {
        Foreign::Npz
    } else if has("[Content_Types].xml") || has("xl/") {
        Foreign::Excel
    } else {
        Foreign::Zip
    }
}

/// Whether it is UTF-8, the last letter perhaps cut off, without a byte that text never has.
fn is_text(head: &[u8]) -> bool {
    let utf8 = core::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true);
    utf8 && head.iter().all(|&byte| byte >= b' ' || byte.is_ascii_whitespace())
}

/// Kinds of text.
fn text(head: &[u8], has: &dyn Fn(&str) -> bool) -> Option<Foreign> {
    let start = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if start.is_empty() || !is_text(head) {
        return None;
    }
    let begins = |word: &str| start.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()));
    let followed_by = |next: &[u8]| start[1..].trim_ascii_start().first().is_some_and(|byte| next.contains(byte));
    Some(match start[0] {
        b'<' if begins("<!doctype html") || begins("<html") => Foreign::WebPage,
        b'<' if begins("<?xml") && has("<html") => Foreign::WebPage,
        b'<' if begins("<?xml") || begins("<svg") => Foreign::Xml,
        b'{' if has("\"architecture\"") && (has("\"weights\"") || has("\"config\"")) => Foreign::Nam,
        b'{' if has("\"in_shape\"") || has("\"layers\"") && has("\"activation\"") => Foreign::RtNeural,
        b'{' if followed_by(b"\"}") => Foreign::Json,
        b'[' if followed_by(b"[]{\"-0123456789") => Foreign::Json,
        _ => Foreign::Text,
    })
}

/// How a `state_dict` becomes a file that this crate reads.
const SAVE: &str = "in Python: safetensors.torch.save_file(model.state_dict(), \"model.safetensors\")";
/// How weights of other frameworks get here.
const COPY: &str = "copy its weights into a torch.nn.RNN, GRU or LSTM of the same sizes and save that with safetensors";

impl Foreign {
    /// What it is, as the continuation of the name of the file.
    fn what(self) -> &'static str {
        match self {
            Self::Hdf5 => "is an HDF5 file, such as Keras writes (.h5)",
            Self::Onnx => "is an ONNX model",
            Self::TfLite => "is a TensorFlow Lite model",
            Self::Gguf => "is a GGUF model, as llama.cpp reads it",
            Self::TorchZip => "is a zip file as torch.save makes it",
            Self::Pickle => "is a Python pickle",
            Self::KerasZip => "is a zip file as Keras makes it (.keras)",
            Self::Npz => "is an .npz archive of NumPy arrays",
            Self::Excel => "is an Excel workbook",
            Self::Zip => "is a zip file",
            Self::Tar => "is a tar archive",
            Self::Gzip => "is compressed with gzip",
            Self::Zstandard => "is compressed with Zstandard",
            Self::Xz => "is compressed with xz",
            Self::Bzip2 => "is compressed with bzip2",
            Self::Parquet => "is a Parquet file",
            Self::Arrow => "is an Arrow or Feather file",
            Self::Sqlite => "is an SQLite database",
            Self::Pdf => "is a PDF document",
            Self::WebPage => "is a web page",
            Self::Xml => "is an XML document",
            Self::LfsPointer => "is a pointer of Git LFS, not the file itself",
            Self::Nam => "is a model of Neural Amp Modeler in JSON",
            Self::RtNeural => "is a model of RTNeural in JSON",
            Self::Json => "is JSON",
            Self::Npy => "is a NumPy array (.npy)",
            Self::Safetensors => "is a safetensors file",
            Self::Text => "is text, perhaps a table",
        }
    }

    /// What to do, whatever was expected; `None` if that depends.
    fn anyway(self) -> Option<&'static str> {
        match self {
            Self::Gzip => Some("unpack it first, for example with gunzip"),
            Self::Zstandard => Some("unpack it first, for example with unzstd"),
            Self::Xz => Some("unpack it first, for example with unxz"),
            Self::Bzip2 => Some("unpack it first, for example with bunzip2"),
            Self::Tar => Some("unpack it and give a file from inside"),
            Self::WebPage => {
                Some("the download was answered with a page, perhaps a login or an error; download it again")
            }
            Self::LfsPointer => Some("fetch the file with: git lfs pull"),
            _ => None,
        }
    }

    /// What it is and what to do, where a model was expected.
    pub fn instead_of_model(self) -> String {
        let advice = self.anyway().map_or_else(
            || match self {
                Self::TorchZip | Self::Pickle => SAVE.into(),
                Self::Zip => format!("if torch.save wrote it, {SAVE}"),
                Self::Hdf5 | Self::KerasZip | Self::Onnx | Self::TfLite | Self::Nam | Self::RtNeural => COPY.into(),
                Self::Gguf => "a language model of this kind has no recurrent layers that rnnstep runs".into(),
                Self::Text | Self::Npy | Self::Npz | Self::Excel | Self::Parquet | Self::Arrow => {
                    "give a model in safetensors first, and the data after it".into()
                }
                Self::Json => format!("if it holds a state_dict, {SAVE}"),
                _ => "give a .safetensors file".to_string(),
            },
            String::from,
        );
        format!("{}, not a safetensors file; {advice}", self.what())
    }

    /// What it is and what to do, where an .npy file was expected.
    pub fn instead_of_array(self) -> String {
        let advice = self.anyway().unwrap_or(match self {
            Self::Text => "end its name in .csv",
            Self::Safetensors => "end its name in .safetensors",
            _ => "save an array with numpy.save",
        });
        format!("{}, not an .npy file; {advice}", self.what())
    }

    /// What it is and what to do, where a table was expected.
    pub fn instead_of_table(self) -> String {
        let advice = self.anyway().unwrap_or(match self {
            Self::Zip => "unpack it and give a file from inside",
            Self::Excel => "save the sheet as CSV",
            Self::Parquet | Self::Arrow => "in Python: pandas.read_parquet (or read_feather), then to_csv(index=False)",
            Self::Sqlite => "export the table as CSV: sqlite3 -csv -header FILE \"select * from TABLE\"",
            Self::Npz => "save one array with numpy.save, as .npy",
            Self::Npy => "end its name in .npy",
            Self::Safetensors => "end its name in .safetensors",
            Self::Json | Self::Nam | Self::RtNeural => "in Python: pandas.read_json, then to_csv(index=False)",
            Self::Hdf5 | Self::Pickle => "in Python: read it with pandas, then to_csv(index=False)",
            _ => "give a .csv or .npy file",
        });
        format!("{}, not a table of numbers as text; {advice}", self.what())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell() {
        let tar = [&[b'a'; 100][..], &[0; 157], b"ustar\x0000"].concat();
        let zip = |name: &str| [b"PK\x03\x04\x14\0\0\0\0\0", name.as_bytes()].concat();
        let cases: [(&[u8], Option<Foreign>); 35] = [
            (b"\x89HDF\r\n\x1a\n\0\0", Some(Foreign::Hdf5)),
            (b"\x08\x07\x12\x07pytorch", Some(Foreign::Onnx)),
            (b"\x1c\0\0\0TFL3\x14\0", Some(Foreign::TfLite)),
            (b"GGUF\x03\0\0\0", Some(Foreign::Gguf)),
            (&zip("archive/data.pkl"), Some(Foreign::TorchZip)),
            (&zip("metadata.json"), Some(Foreign::KerasZip)),
            (&zip("x.npy"), Some(Foreign::Npz)),
            (&zip("[Content_Types].xml"), Some(Foreign::Excel)),
            (&zip("readme"), Some(Foreign::Zip)),
            (b"\x80\x02}q\0", Some(Foreign::Pickle)),
            (b"\x80\x05\x95\x10\0", Some(Foreign::Pickle)),
            (&tar, Some(Foreign::Tar)),
            (b"\x1f\x8b\x08\x08", Some(Foreign::Gzip)),
            (b"\x28\xb5\x2f\xfd\x04", Some(Foreign::Zstandard)),
            (b"\xfd7zXZ\0\0", Some(Foreign::Xz)),
            (b"BZh91AY&SY\x12", Some(Foreign::Bzip2)),
            (b"PAR1\x15\x04", Some(Foreign::Parquet)),
            (b"PAR1,PAR2\n1,2\n", Some(Foreign::Text)),
            (b"ARROW1\0\0", Some(Foreign::Arrow)),
            (b"SQLite format 3\0", Some(Foreign::Sqlite)),
            (b"%PDF-1.7\n", Some(Foreign::Pdf)),
            (b"\n<!DOCTYPE HTML><html>", Some(Foreign::WebPage)),
            (b"<html lang=en>", Some(Foreign::WebPage)),
            (b"<?xml version=\"1.0\"?><svg>", Some(Foreign::Xml)),
            (b"version https://git-lfs.github.com/spec/v1\noid", Some(Foreign::LfsPointer)),
            (br#"{"version": "0.5.4", "architecture": "LSTM", "config": {}"#, Some(Foreign::Nam)),
            (br#"{"in_shape": [null, 1], "layers": []"#, Some(Foreign::RtNeural)),
            (br#" {"rnn.weight_ih_l0": [[0.1]]}"#, Some(Foreign::Json)),
            (b"[[1, 2], [3, 4]]", Some(Foreign::Json)),
            (b"\x93NUMPY\x01\0", Some(Foreign::Npy)),
            (b"\x40\0\0\0\0\0\0\0{\"a\":", Some(Foreign::Safetensors)),
            (b"date,sales\n2024-01-01,3\n", Some(Foreign::Text)),
            ("\u{feff}Größe;1,5\n".as_bytes(), Some(Foreign::Text)),
            (b"\x12\x34\x56\x78\x9a", None),
            (b"", None),
        ];
        for (head, expected) in cases {
            assert_eq!(recognise(head), expected, "{:?}", String::from_utf8_lossy(head));
        }
        // what is in brackets may be text all the same
        assert_eq!(recognise(b"[name],value\na,1\n"), Some(Foreign::Text));
        assert_eq!(recognise(b"{braces},value\na,1\n"), Some(Foreign::Text));
    }
}
