//! A bad model file, or a place where no file can be written, is an error of one line that names
//! it.

use super::*;
use proptest::prelude::*;
use std::fs;

#[test]
fn networks_of_other_kinds_are_refused_by_name() {
    let good = raw_model(&shape(CellKind::Lstm), "rnn.", "fc.");
    let plus = |name: &str, dims: &[usize]| [good.as_slice(), &[Raw::f32(name, dims)]].concat();
    let without = |name: &str| good.iter().filter(|raw| raw.name != name).cloned().collect::<Vec<_>>();
    let changed = |name: &str, dims: &[usize]| {
        let change = |raw: &Raw| if raw.name == name { Raw::f32(name, dims) } else { raw.clone() };
        good.iter().map(change).collect::<Vec<_>>()
    };
    assert!(read(&container(&good, None)).is_ok());
    refused_tensors(
        &plus("rnn.weight_ih_l0_reverse", &[12, 2]),
        &["weight_ih_l0_reverse", "bidirectional", "supported"],
    );
    refused_tensors(&plus("rnn.weight_hr_l0", &[2, 3]), &["weight_hr_l0", "projection", "supported"]);
    refused_tensors(&plus("rnn2.weight_ih_l0", &[12, 2]), &["rnn2.weight_ih_l0", "second recurrent", "supported"]);
    refused_tensors(&plus("weight_ih_l0", &[12, 2]), &["weight_ih_l0", "second recurrent"]);
    refused_tensors(&plus("fc2.weight", &[1, 3]), &["fc2.weight", "second linear", "supported", "--head fc"]);
    refused_tensors(&plus("fc2.weight", &[1, 1]), &["fc2.weight", "[1, 1]", "in front", "supported"]);
    refused_tensors(&plus("norm.weight", &[3]), &["norm.weight", "[3]", "LayerNorm", "supported"]);
    refused_tensors(&plus("bn.running_mean", &[3]), &["bn.running_mean", "BatchNorm", "supported"]);
    refused_tensors(&plus("rnn.weight_ih_l01", &[12, 2]), &["rnn.weight_ih_l01", "unknown"]);
    refused_tensors(&plus("h0", &[2, 1, 3]), &["h0", "unknown"]);
    refused_tensors(&plus("", &[1]), &["\"\"", "unknown"]);
    refused_tensors(&plus("a\nb", &[1]), &[r"a\nb", "unknown"]);
    refused_tensors(&plus(&"long".repeat(100_000), &[1]), &["longlong", "unknown"]);
    refused_tensors(&plus("rnn.weight_ih_l7", &[12, 3]), &["rnn.weight_ih_l2", "missing"]);
    refused_tensors(&plus("rnn.bias_hh_l70", &[12]), &["layers 71", "64"]);
    for raw in &good {
        if raw.name == "fc.bias" {
            continue; // taken as zeros
        }
        refused_tensors(&without(&raw.name), &[&raw.name, "is missing"]);
    }
    for name in good.iter().map(|raw| raw.name.as_str()).filter(|name| !name.contains("_hh_l0")) {
        refused_tensors(&changed(name, &[5]), &[name, "[5]"]);
        refused_tensors(&changed(name, &[5, 5]), &["[5, 5]"]);
        refused_tensors(&changed(name, &[0]), &[name]);
        refused_tensors(&changed(name, &[0, 3]), &["[0, 3]"]);
        refused_tensors(&changed(name, &[12, 3, 1]), &[name, "[12, 3, 1]"]);
    }
    refused_tensors(&changed("rnn.weight_hh_l0", &[15, 3]), &["rnn.weight_hh_l0", "[15, 3]", "3 (gru)"]);
    refused_tensors(&changed("rnn.weight_hh_l0", &[13, 3]), &["rnn.weight_hh_l0", "[13, 3]"]);
    refused_tensors(&changed("rnn.weight_hh_l0", &[3, 0]), &["rnn.weight_hh_l0", "[3, 0]"]);
    refused_tensors(&changed("rnn.weight_hh_l0", &[0, 3]), &["rnn.weight_hh_l0", "[0, 3]"]);
    refused_tensors(&changed("rnn.weight_hh_l0", &[1; 5000]), &["rnn.weight_hh_l0", "dimensions more"]);
    // the transpose of a weight is another shape, except where it is square
    refused_tensors(&changed("rnn.weight_ih_l0", &[2, 12]), &["rnn.weight_ih_l0", "[2, 12]", "asks for"]);
    refused_tensors(&changed("fc.weight", &[3, 1]), &["fc.weight", "[3, 1]", "has 3 columns", "in front"]);
    refused_tensors(&[Raw::f32("fc.weight", &[1, 3])], &["no recurrent tensors"]);
    refused_tensors(&[], &["no recurrent tensors"]);
    refused_tensors(&changed("rnn.weight_ih_l0", &[12, 20_000]), &["input size 20000"]);
}

#[test]
fn damaged_files_are_refused() {
    let good = container(&raw_model(&shape(CellKind::Gru), "rnn.", "fc."), None);
    assert!(read(&good).is_ok());
    let entry = |name: &str, info: &str| format!(r#"{{"{name}":{info}}}"#);
    let info = |dims: &str, start: u64, end: u64| {
        format!(r#"{{"dtype":"F32","shape":{dims},"data_offsets":[{start},{end}]}}"#)
    };
    assert_refused(b"", &["is empty"]);
    assert_refused(b"1234567", &["is text", "not a safetensors file"]);
    assert_refused(b"\x01234567", &["7 bytes", "too short"]);
    assert_refused(&[0; 8], &["header"]);
    for cut in 0..good.len() {
        assert_refused(&good[..cut], &[]);
    }
    assert_refused(&good[..good.len() - 1], &["cut off", &good.len().to_string()]);
    assert_refused(&good[..20], &["cut off"]);
    assert_refused(&[good.as_slice(), b"more"].concat(), &["4 bytes more"]);
    for claim in [u64::MAX, 1 << 63, 1 << 40, 100_000_000] {
        assert_refused(&[&claim.to_le_bytes(), b"{}".as_slice()].concat(), &["not a safetensors", &claim.to_string()]);
    }
    assert_refused(b"date,close\n2020-01-01,1.0\n", &["not a safetensors"]);
    assert_refused(b"PK\x03\x04\x00\x00\x08\x08\x00\x00", &["torch.save", "safetensors.torch.save_file("]);
    assert_refused(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20", &["pickle", "safetensors.torch.save_file("]);
    for header in ["", "{", "[]", "null", "7", "\"x\"", "{\"w\":1}", "{}x", "{\"w\":{}}", "\u{feff}{}", "{\"w\":null}"]
    {
        assert_refused(&with_header(header, &[]), &["header"]);
    }
    assert_refused(&[4_u64.to_le_bytes().as_slice(), b"{\"\xff\xfe"].concat(), &["header"]);
    assert_refused(&with_header(&"{\"a\":".repeat(1_000_000), &[]), &["header"]);
    assert_refused(&with_header(&entry("w", &info("[2,2]", 0, 12)), &[0; 12]), &["\"w\"", "16 bytes", "to 12"]);
    assert_refused(&with_header(&entry("w", &info("[1]", 4, 0)), &[0; 4]), &["\"w\"", "from byte 4 to 0"]);
    assert_refused(&with_header(&entry("w", &info("[1]", 4, 8)), &[0; 8]), &["\"w\"", "gap"]);
    assert_refused(&with_header(&entry("w", &info("[-1]", 0, 4)), &[0; 4]), &["\"w\"", "-1"]);
    assert_refused(&with_header(&entry("w", &info("[1.5]", 0, 4)), &[0; 4]), &["\"w\"", "1.5"]);
    let overflow = "[4294967296,4294967296,4294967296]";
    assert_refused(&with_header(&entry("w", &info(overflow, 0, 4)), &[0; 4]), &["\"w\"", "more values than"]);
    let product = "[4611686018427387904]"; // its number of values fits, its number of bytes does not
    assert_refused(&with_header(&entry("w", &info(product, 0, 0)), &[]), &["\"w\"", "more values than"]);
    let huge = info("[1099511627776]", 0, 1 << 42);
    assert_refused(&with_header(&entry("w", &huge), &[0; 4]), &["cut off", "43980465"]);
    let end = (1_u64 << 62) - 4 + (1 << 62);
    assert_refused(&with_header(&entry("w", &info("[1]", end, end + 4)), &[0; 4]), &["\"w\""]);
    // eight tensors that together take as many bytes as can be counted
    let most = (1_u64 << 61) - 1;
    let entries: Vec<String> = (0..8)
        .map(|i| {
            format!(r#""t{i}":{{"dtype":"U8","shape":[{most}],"data_offsets":[{},{}]}}"#, i * most, (i + 1) * most)
        })
        .collect();
    assert_refused(&with_header(&format!("{{{}}}", entries.join(",")), &[]), &["cut off"]);
    // two tensors over the same bytes, wholly and in part
    for second in [info("[2]", 0, 8), info("[2]", 4, 12), info("[1]", 4, 8)] {
        let header = format!(r#"{{"a":{},"b":{second}}}"#, info("[2]", 0, 8));
        assert_refused(&with_header(&header, &[0; 12]), &["overlap"]);
    }
    // the crate alone keeps the last of two tensors of one name
    let header = format!(r#"{{"rnn.b":{},"rnn.b":{}}}"#, info("[1]", 0, 4), info("[1]", 0, 4));
    assert!(safetensors::SafeTensors::deserialize(&with_header(&header, &[0; 4])).is_ok());
    assert_refused(&with_header(&header, &[0; 4]), &["rnn.b", "twice"]);
    let escaped = header.replacen("rnn.b", "rnn\\u002eb", 1);
    assert_refused(&with_header(&escaped, &[0; 4]), &["rnn.b", "twice"]);
    assert_refused(&with_header(r#"{"__metadata__":{},"__metadata__":{}}"#, &[]), &["__metadata__", "twice"]);
    assert_refused(&with_header(r#"{"__metadata__":{"a":"","a":""}}"#, &[]), &["\"a\"", "twice"]);
    assert_refused(&with_header(r#"{"__metadata__":{"a":1}}"#, &[]), &["__metadata__", "string"]);
    let twice = r#"{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}"#;
    assert_refused(&with_header(&entry("w", twice), &[0; 4]), &["\"w\"", "dtype"]);
    let six_bits = r#"{"dtype":"F6_E2M3","shape":[1],"data_offsets":[0,0]}"#;
    assert_refused(&with_header(&entry("w", six_bits), &[]), &["header"]);
}

#[test]
fn paths_that_are_no_files_are_refused() {
    let (folder, path) = folder();
    let message = |path: &Path| {
        let message = file::read(path, &file::ReadOptions::default()).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()), "{message}");
        assert_eq!(message, file::read_all_tensors::<f32>(path).unwrap_err().to_string());
        message
    };
    message(&path);
    assert!(message(folder.path()).contains("is a folder"));
    fs::write(&path, "").unwrap();
    assert!(message(&path).contains("is empty"));
    // a sparse file of 3 TiB: refused by its header, not read
    fs::write(&path, with_header("{}", &[])).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(3 << 40).unwrap();
    assert!(message(&path).contains("3298534883328 bytes long"));
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(7 << 30).unwrap();
    assert!(message(&path).contains("bytes more than its header describes"));
    if Path::new("/dev/zero").exists() {
        assert!(message(Path::new("/dev/zero")).contains("regular file"));
    }
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_the_old_one_stays() {
    let (folder, path) = folder();
    let shape = shape(CellKind::Rnn);
    let write = |path: &Path| file::write(path, &shape, &weights(&shape), &Metadata::default(), &[]);
    let refused = |path: &Path| {
        let message = write(path).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()) && message.lines().count() == 1, "{message}");
        message
    };
    assert!(refused(&folder.path().join("absent/m.safetensors")).contains("does not exist"));
    assert!(refused(folder.path()).contains("is a folder"));
    fs::write(&path, "old").unwrap();
    refused(&path.join("m.safetensors"));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let mut readonly = fs::metadata(folder.path()).unwrap().permissions();
    readonly.set_readonly(true);
    fs::set_permissions(folder.path(), readonly).unwrap();
    if fs::write(folder.path().join("probe"), "").is_ok() {
        eprintln!("part skipped: this user may write into read-only folders");
        fs::remove_file(folder.path().join("probe")).unwrap();
    } else {
        assert!(refused(&path).contains("permission denied"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
    // sysfs refuses new files even to root
    if Path::new("/sys/kernel").is_dir() {
        refused(Path::new("/sys/kernel/m.safetensors"));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    write(&path).unwrap();
    assert!(file::read(&path, &file::ReadOptions::default()).is_ok());
}

#[test]
fn a_full_disk_and_a_device_are_written_to_directly() {
    let shape = shape(CellKind::Rnn);
    for (device, works) in [("/dev/full", false), ("/dev/null", true)] {
        if !Path::new(device).exists() {
            eprintln!("skipped: there is no {device}");
            continue;
        }
        let result = file::write(device, &shape, &weights(&shape), &Metadata::default(), &[]);
        assert_eq!(result.is_ok(), works);
        if let Err(error) = result {
            assert!(error.to_string().starts_with("/dev/full: "), "{error}");
        }
        assert!(!fs::metadata(device).unwrap().is_file(), "{device} was replaced by a file");
    }
}

/// The most address space that this process ever had, in bytes, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Reads bytes that may be anything. It must not panic, and what it accepts must be sound.
fn read_anything(bytes: &[u8]) {
    match read(bytes) {
        Ok(file) => {
            let layout = Layout::new(&file.shape);
            assert_eq!(file.weights.len(), layout.entries().len());
            for (tensor, entry) in file.weights.iter().zip(layout.entries()) {
                assert_eq!(tensor.dims(), entry.dims);
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.lines().count() == 1 && message.len() < 1000, "{message:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), length in 0_u64..300) {
        read_anything(&bytes);
        read_anything(&[&length.to_le_bytes(), bytes.as_slice()].concat());
    }

    #[test]
    fn damaged_models_never_panic_nor_allocate_what_they_claim(
        cell in 0_usize..3,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..6),
        swap in proptest::option::of((0_usize..8, 0_usize..8)),
    ) {
        let shape = shape(CellKind::ALL[cell]);
        let metadata = Metadata { shape: Some(shape), ..metadata(&shape) };
        let text = serde_json::to_string(&metadata).unwrap();
        let mut bytes = container(&raw_model(&shape, "rnn.", "fc."), Some(&text));
        // numbers and words of the header exchanged for others that stay JSON
        let words: [&str; 8] = ["F32", "F64", "[12,", "99999999999999999", "weight_ih", "bias_hh", "l0", "l1"];
        if let Some((from, to)) = swap {
            let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let header = std::str::from_utf8(&bytes[8..end]).unwrap().replacen(words[from], words[to], 1);
            bytes = with_header(&header, &bytes[end..]);
        }
        for (at, value, kind) in changes {
            // headers and the lengths before them are where damage matters; weights are just numbers
            let at = if kind < 3 { at.index(bytes.len().min(1500)) } else { at.index(bytes.len()) };
            match kind {
                0 => bytes[at] = value,
                1 => bytes[at] = b"0123456789,:[]{}\"-e"[value as usize % 19],
                2 => bytes.insert(at, b"0123456789"[value as usize % 10]),
                _ => { bytes.remove(at); }
            }
        }
        let before = peak_memory();
        read_anything(&bytes);
        if let (Some(before), Some(after)) = (before, peak_memory()) {
            prop_assert!(after - before < 1 << 30, "took {} bytes", after - before);
        }
    }
}
