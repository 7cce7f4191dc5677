//! What is done to good files so that they are bad ones: to any bytes, to text, to JSON, and to a safetensors container as
//! somebody would who knows the format.

use crate::dice::{Dice, NASTY_F32, NASTY_NUMBERS, NASTY_TEXTS, NASTY_U64};
use serde_json::{Map, Value, json};

/// Keys whose number says how much work is asked for. Much of it is no attack: whoever may ask may ask for more.
const WORK: [&str; 8] = ["steps", "epochs", "hidden", "layers", "batch", "seq_len", "window", "patience"];

/// Bytes, whatever they mean.
pub fn bytes(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let (at, len) = (dice.below(bytes.len() + 1), dice.below(1 + bytes.len().min(40)));
    let end = (at + len).min(bytes.len());
    match dice.below(8) {
        0 | 1 if !bytes.is_empty() => {
            let at = at.min(bytes.len() - 1);
            bytes[at] ^= 1 << dice.below(8);
        }
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let part = bytes[at..end].to_vec();
            let to = dice.below(bytes.len() + 1);
            bytes.splice(to..to, part);
        }
        5 => drop(bytes.splice(at..at, (0..len).map(|_| dice.next() as u8).collect::<Vec<_>>())),
        6 => bytes[at..end].fill(dice.one(&[0, 0xff, 0x7f, 0x80, b'"', b'\n'])),
        _ => {
            // a float or a length, where one may lie
            let at = at / 4 * 4;
            let number = if dice.once_in(2) {
                dice.one(&NASTY_F32).to_le_bytes().to_vec()
            } else {
                dice.one(&NASTY_U64).to_le_bytes().to_vec()
            };
            bytes.iter_mut().skip(at).zip(number).for_each(|(to, from)| *to = from);
        }
    }
}

/// Whether options in a file ask for more work than a test has time for.
#[cfg(feature = "cli")]
pub fn asks_for_much(options: &[u8]) -> bool {
    let text = String::from_utf8_lossy(options).replace('_', "-");
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    let digits = |value: &str| value.trim().bytes().take_while(u8::is_ascii_digit).count();
    lines.any(|(key, value)| digits(value) > 4 && WORK.iter().any(|work| key.trim() == work.replace('_', "-")))
}

/// Lines, cells and numbers of a text.
pub fn text(dice: &mut Dice, text: &mut Vec<u8>) {
    let separators: &[u8] = b",;\t|=[]\" \n";
    let places: Vec<usize> = (0..text.len()).filter(|&at| separators.contains(&text[at])).collect();
    let place = |dice: &mut Dice| places.get(dice.below(places.len())).copied().unwrap_or(0);
    let at = place(dice);
    let next = places.iter().copied().find(|&other| other > at).unwrap_or(text.len());
    let cell = (at + usize::from(!places.is_empty())).min(next)..next;
    match dice.below(16) {
        0..=2 => drop(text.splice(cell, dice.one(&NASTY_NUMBERS).bytes())),
        3 => drop(text.splice(cell, dice.one(&NASTY_U64).to_string().into_bytes())),
        4 | 5 => drop(text.splice(cell, dice.one(&NASTY_TEXTS).bytes())),
        6 => drop(text.splice(cell, quoted(dice).into_bytes())),
        7 => drop(text.splice(cell, vec![dice.one(b"9ax\"[{ ,-"); dice.one(&[30, 300, 5000, 70_000])])),
        8 => {
            // one separator for another
            let (one, other) = (dice.one(separators), dice.one(separators));
            let every = dice.once_in(2);
            text.iter_mut()
                .enumerate()
                .filter(|(i, b)| **b == one && (every || *i == at))
                .for_each(|(_, b)| *b = other);
        }
        9 => {
            let ends: &[&[u8]] = &[b"\r\n", b"\r", b"\n\n", b"\n\r", b"\0\n", b" \n"];
            let end = dice.pick(ends);
            let every = dice.between(1, 3);
            let mut line = 0;
            *text = text
                .iter()
                .flat_map(|&byte| {
                    line += usize::from(byte == b'\n');
                    if byte == b'\n' && line % every == 0 { end.to_vec() } else { vec![byte] }
                })
                .collect();
        }
        10 => {
            // lines twice, gone, or in another order
            let mut lines: Vec<Vec<u8>> = text.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
            let (one, other) = (dice.below(lines.len()), dice.below(lines.len()));
            match dice.below(3) {
                _ if lines.is_empty() => {}
                0 => lines.swap(one, other),
                1 => drop(lines.remove(one)),
                _ => lines.insert(other, lines[one].clone()),
            }
            *text = lines.concat();
        }
        11 => {
            let starts: &[&[u8]] =
                &[b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"# ", b"\n\n", b"\0", b"sep=;\n", b"\"", b"PK\x03\x04"];
            let start = dice.pick(starts);
            text.splice(0..0, start.iter().copied());
        }
        12 => {
            // another encoding
            let words = String::from_utf8_lossy(text).into_owned();
            *text = match dice.below(3) {
                0 => [0xff, 0xfe].into_iter().chain(words.encode_utf16().flat_map(u16::to_le_bytes)).collect(),
                1 => words.encode_utf16().flat_map(u16::to_be_bytes).collect(),
                _ => words.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(0xe4)).collect(),
            };
        }
        13 => {
            // many columns
            let wide = vec![b","[0]; dice.one(&[3, 100, 3000])];
            *text = text.split_inclusive(|&b| b == b'\n').flat_map(|line| [&wide, line].concat()).collect();
        }
        _ => bytes(dice, text),
    }
}

/// A cell in quotes, or nearly.
fn quoted(dice: &mut Dice) -> String {
    let inside =
        dice.one(&["1", "1,5", "1;5", "a\"\"b", "a\nb", "1 000,5", "€ 5", "12%", "2020-02-30", "(5)", "1e5", "\"", ""]);
    let (left, right) = (dice.one(&["\"", "\"", "'", "\"\"", ""]), dice.one(&["\"", "\"", "'", "\" ", "\"x"]));
    format!("{left}{inside}{right}")
}

/// One node of a JSON value, wherever it is. What JSON cannot say is put in as a mark that [`json_text`] knows.
pub fn json(dice: &mut Dice, value: &mut Value) {
    let count = nodes(value);
    let copied = node(value, &mut dice.below(count)).clone();
    let mut path = dice.below(count);
    let (key, node) = keyed("", value, &mut path);
    let work = WORK.contains(&key);
    match node {
        Value::Object(map) if dice.once_in(2) => object(dice, map, copied),
        Value::Array(list) if dice.once_in(2) => {
            let at = dice.below(list.len());
            match dice.below(5) {
                0 => list.push(copied),
                1 => list.truncate(at),
                2 if !list.is_empty() => list.insert(at, list[at].clone()),
                3 if list.len() < 100 && !list.is_empty() => {
                    let times = dice.one(&[2, 30, 300]);
                    *list = std::iter::repeat_n(&*list, times).flatten().cloned().collect();
                }
                _ => list.reverse(),
            }
        }
        node => {
            *node = match dice.below(14) {
                // what may well be right
                9 if node.is_u64() => json!(dice.below(9)),
                9 if node.is_string() => {
                    json!(dice.one(&["mse", "gaussian", "quantiles:0.1,0.9", "lstm", "change", "a"]))
                }
                9..=12 => json!(dice.small()),
                13 => json!([dice.small(), 1.5]),
                0 | 1 if work => json!(dice.below(9)),
                0 | 1 => json!(dice.one(&NASTY_U64)),
                2 | 3 => raw(dice.pick(&[
                    "-1", "1e308", "-1e308", "1e999", "1e-400", "0.5", "-0", "1e39", "3.5e38", "00", "NaN", "1e3",
                ])),
                4 => json!(dice.one(&NASTY_TEXTS)),
                5 => json!(dice.one(&["x", "\u{1b}[2J", "e\u{301}"]).repeat(dice.one(&[1, 200, 20_000]))),
                6 => raw(dice.pick(&[
                    "\"\\ud800\"",
                    "\"\\u0000\"",
                    "\"\\x\"",
                    "nul",
                    "[1,",
                    "{\"a\":1,\"a\":2}",
                    "'a'",
                    "/**/1",
                    "\"\\u001b[2J\"",
                ])),
                7 => deep(dice),
                _ if dice.once_in(3) => dice.pick(&[&Value::Null, &Value::Bool(true), &Value::Bool(false)]).clone(),
                _ => copied,
            }
        }
    }
}

fn object(dice: &mut Dice, map: &mut Map<String, Value>, copied: Value) {
    let keys: Vec<String> = map.keys().cloned().collect();
    let key = keys.get(dice.below(keys.len())).cloned().unwrap_or_default();
    match dice.below(5) {
        0 | 1 => drop(map.remove(&key)),
        2 => drop(map.insert(format!("@twice:{key}"), copied)),
        3 => drop(map.insert(dice.one(&NASTY_TEXTS).into(), copied)),
        _ => {
            if let Some(value) = map.remove(&key) {
                map.insert(
                    dice.pick(&["version", "Shape", "x", "__metadata__", "rnn.weight_ih_l0", "\u{1b}]0;t\u{7}"]).into(),
                    value,
                );
            }
        }
    }
}

fn deep(dice: &mut Dice) -> Value {
    let (depth, list) = (dice.one(&[10, 120, 200, 5000]), dice.once_in(2));
    let (open, close) = if list { ("[", "]") } else { ("{\"a\":", "}") };
    raw(&format!("{}1{}", open.repeat(depth), close.repeat(depth)))
}

/// Text that stands for itself.
fn raw(text: &str) -> Value {
    json!(format!("@raw:{}@", hex(text)))
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// A value as text, with what JSON cannot say.
pub fn json_text(value: &Value) -> String {
    let mut text = value.to_string().replace("\"@twice:", "\"");
    while let Some(start) = text.find("\"@raw:") {
        let end = start + text[start + 1..].find("@\"").map_or(text.len() - start, |end| end + 3);
        let bytes = text.get(start + 6..end.saturating_sub(2)).unwrap_or_default().as_bytes();
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
        let words: Vec<u8> = bytes.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(*pair.last().unwrap())).collect();
        text.replace_range(start..end, &String::from_utf8_lossy(&words));
    }
    text
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(nodes).sum(),
        Value::Object(map) => map.values().map(nodes).sum(),
        _ => 0,
    }
}

/// The `n`th node from the front.
fn node<'a>(value: &'a mut Value, n: &mut usize) -> &'a mut Value {
    keyed("", value, n).1
}

/// The same with the key that it stands under.
fn keyed<'a>(key: &'a str, value: &'a mut Value, n: &mut usize) -> (&'a str, &'a mut Value) {
    if *n == 0 {
        return (key, value);
    }
    *n -= 1;
    let inner: Vec<(&'a str, &'a mut Value)> = match value {
        Value::Array(list) => list.iter_mut().map(|value| (key, value)).collect(),
        Value::Object(map) => map.iter_mut().map(|(key, value)| (key.as_str(), value)).collect(),
        _ => vec![],
    };
    for (key, value) in inner {
        let count = nodes(value);
        if *n < count {
            return keyed(key, value, n);
        }
        *n -= count;
    }
    unreachable!("fewer nodes than were counted")
}

/// Header and data of a container; `None` if it is none.
pub fn apart(file: &[u8]) -> Option<(Value, &[u8])> {
    let length = u64::from_le_bytes(*file.first_chunk()?);
    let end = usize::try_from(length).ok()?.checked_add(8)?;
    Some((serde_json::from_slice(file.get(8..end)?).ok()?, file.get(end..)?))
}

/// A container of a header and data.
pub fn together(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A safetensors file: header, metadata, tensors or bytes.
pub fn container(dice: &mut Dice, file: &mut Vec<u8>) {
    let Some((mut header, data)) = apart(file) else { return bytes(dice, file) };
    let mut data = data.to_vec();
    match dice.below(10) {
        0..=3 => {
            // the metadata, JSON in a text of the header
            let inside = header.pointer("/__metadata__/rnnstep").and_then(Value::as_str).map(str::to_string);
            let Some(mut inside) = inside.and_then(|text| serde_json::from_str::<Value>(&text).ok()) else {
                return json_header(dice, file, header, &data);
            };
            // mostly without the reference, which would see any change at once
            if dice.once_in(2)
                && let Some(map) = inside.as_object_mut()
            {
                map.remove("reference");
            }
            (0..dice.between(1, 2)).for_each(|_| json(dice, &mut inside));
            header["__metadata__"]["rnnstep"] = json!(json_text(&inside));
            *file = together(&header.to_string(), &data);
        }
        4 | 5 => json_header(dice, file, header, &data),
        6 => tensors(dice, file, header, data),
        7 => {
            // weights that are no numbers, behind a file that does not say what it should compute
            header.as_object_mut().map(|map| map.remove("__metadata__"));
            (0..dice.between(1, 4)).for_each(|_| {
                let at = dice.below(data.len() / 4) * 4;
                let number = dice.one(&NASTY_F32).to_le_bytes();
                data.iter_mut().skip(at).zip(number).for_each(|(to, from)| *to = from);
            });
            *file = together(&header.to_string(), &data);
        }
        8 => {
            let length = if dice.once_in(2) { dice.one(&NASTY_U64) } else { dice.below(file.len() * 2) as u64 };
            file[..8].copy_from_slice(&length.to_le_bytes());
        }
        _ => bytes(dice, file),
    }
}

fn json_header(dice: &mut Dice, file: &mut Vec<u8>, mut header: Value, data: &[u8]) {
    json(dice, &mut header);
    *file = together(&json_text(&header), data);
}

/// Tensors of another type, shape, place or name.
fn tensors(dice: &mut Dice, file: &mut Vec<u8>, mut header: Value, mut data: Vec<u8>) {
    let Some(map) = header.as_object_mut() else { return };
    let names: Vec<String> = map.keys().filter(|name| *name != "__metadata__").cloned().collect();
    let (Some(name), Some(other)) = (names.get(dice.below(names.len())), names.get(dice.below(names.len()))) else {
        return;
    };
    // what an earlier damage has left may be no tensor any more
    let is_one =
        |info: &Value| info["shape"].is_array() && info["data_offsets"].as_array().is_some_and(|ends| ends.len() == 2);
    if !is_one(&map[name]) || !is_one(&map[other]) {
        return bytes(dice, file);
    }
    let info = map[other].clone();
    let one = &mut map[name];
    match dice.below(8) {
        0 => {
            one["dtype"] = json!(dice.one(&[
                "F64",
                "F16",
                "BF16",
                "I32",
                "U8",
                "BOOL",
                "F8_E4M3",
                "F4",
                "C64",
                "f32",
                "",
                "\u{1b}[2J"
            ]))
        }
        1 => one["data_offsets"] = info["data_offsets"].clone(),
        2 => {
            let shift = dice.one(&[1_u64, 2, 4, u64::MAX]);
            for at in 0..2 {
                let offset = one["data_offsets"][at].as_u64().unwrap_or(0).wrapping_add(shift);
                one["data_offsets"][at] = json!(offset);
            }
        }
        3 => one["shape"] = json!((0..dice.below(9)).map(|_| dice.one(&NASTY_U64)).collect::<Vec<_>>()),
        4 => {
            // the same number of values in another shape
            let count: u64 = one["shape"].as_array().map_or(0, |dims| dims.iter().filter_map(Value::as_u64).product());
            one["shape"] = match dice.below(4) {
                0 => json!([count]),
                1 => json!([1, count]),
                2 => json!([count, 1]),
                _ => json!(one["shape"].as_array().map(|dims| dims.iter().rev().cloned().collect::<Vec<_>>())),
            };
        }
        5 => {
            // once more under another name, with bytes of its own
            let [start, end] = [0, 1].map(|at| info["data_offsets"][at].as_u64().unwrap_or(0));
            let (mut copy, len) = (info.clone(), end.saturating_sub(start).min(1 << 16) as usize);
            copy["data_offsets"] = json!([data.len(), data.len() + len]);
            data.resize(data.len() + len, 0x3c);
            let name = dice.pick(&[
                "fc2.weight",
                "rnn.weight_ih_l1",
                "rnn.bias_ih_l0",
                "weight_hr_l0",
                "rnnstep.state.h",
                "rnnstep.x",
                "\n",
                "a.b.c",
            ]);
            map.insert(name.into(), copy);
        }
        6 => drop(map.remove(name)),
        _ => {
            // two exchanged
            let of_one = map[name].clone();
            map[name] = info;
            map[other] = of_one;
        }
    }
    *file = together(&header.to_string(), &data);
}
