//! Tables as text and arrays as .npy through the library: a series of finite numbers, or a line that names the file.

use crate::campaign::{Outcome, allowed, campaign, names_file};
use crate::damage;
use crate::dice::{Dice, NASTY_U64};
use rnnstep::data::csv::{self, CsvOptions, Missing};
use rnnstep::data::npy;
use rnnstep::data::series::Series;
use rnnstep::tensor::{Array, Stored};
use std::fs;
use std::path::Path;

/// Good tables in several dialects.
const TABLES: [&str; 10] = [
    "time,a,b\n1,0.5,2\n2,0.25,3\n3,-1,4\n4,7.5,5\n",
    "date;value\n2020-01-01;1,5\n2020-01-02;2,5\n2020-01-03;3,25\n",
    "1\n2\n3\n5\n8\n",
    "shop,day,sales\nb,1,5\na,1,7\na,2,8\nb,2,6\nc,1,0\n",
    "x\ty\n0.1\t1e-3\n0.2\t2e3\n",
    "\"name, long\",\"a \"\"b\"\"\"\r\n\"1\",\"2\"\r\n3,4\r\n",
    "a b c\n1 2 3\n4 5 6\n7 8 9\n",
    "a|b\n1|NA\n2|3\n|4\n",
    "# of a station\na,b\nm/s,K\n1,280\n2,281\n",
    "price,volume\n$5.10,\"1,000\"\n(4.20),2000\n-3,12%\n",
];

#[test]
fn text() {
    campaign("tables::text", 12_000, |_| {
        |case| {
            let dice = &mut case.dice;
            let mut table = dice.one(&TABLES).as_bytes().to_vec();
            for _ in 0..dice.one(&[0, 1, 1, 1, 2, 2, 3, 5]) {
                damage::text(dice, &mut table);
            }
            let path = case.folder.join("table.csv");
            fs::write(&path, table).unwrap();
            let options = options(dice);
            // what is wrong with an option is no fault of the file
            let odd_delimiter = options.delimiter.is_some_and(|delimiter| !b",;|\t ".contains(&delimiter));
            let odd_mark = |mark: Option<char>| mark.is_some_and(char::is_alphanumeric);
            let odd = odd_mark(options.decimal) || odd_mark(options.thousands) || options.comment == Some(b'\n');
            let twice = options.decimal.is_some() && options.decimal == options.thousands;
            if odd_delimiter || odd || twice {
                return allowed(csv::read(&path, &options)).map(|read| read.is_some());
            }
            let one = series(csv::read(&path, &options), &path)?;
            let column = dice.pick(&["shop", "1", "2", "a", "", "9", "\u{1b}[2J"]);
            let many = match csv::read_long(&path, &options, column) {
                Ok(all) => {
                    for (name, result) in all {
                        if name.is_empty() {
                            return Err("a series without a name".into());
                        }
                        // it has no row if --missing drop left none
                        let dropped = options.missing == Missing::Drop && result.as_ref().is_ok_and(Series::is_empty);
                        if !dropped {
                            series(result, &path)?;
                        }
                    }
                    true
                }
                Err(error) => names_file(&error, &path).map(|()| false)?,
            };
            Ok(one || many)
        }
    });
}

fn options(dice: &mut Dice) -> CsvOptions {
    let odd = dice.one(&[Some(b'"'), Some(b'\n'), Some(0), Some(0xff)]);
    let columns: &[&str] =
        dice.one(&[&[][..], &[], &["a"], &["2", "1"], &["value", "value"], &[""], &["0"], &["99999999999999999999"]]);
    CsvOptions {
        skip_rows: dice.one(&[0, 0, 0, 1, u64::MAX]),
        comment: dice.one(&[None, None, Some(b'#'), Some(b'\n'), Some(b',')]),
        decimal: dice.one(&[None, None, Some(','), Some('.'), Some('5')]),
        usual_decimal: dice.one(&[None, Some(','), Some('.'), Some('5')]),
        thousands: dice.one(&[None, None, Some('.'), Some('e'), Some('\u{a0}')]),
        na: dice.one(&[&[][..], &[], &["-"], &["-999", ""]]).iter().map(ToString::to_string).collect(),
        columns: columns.iter().map(ToString::to_string).collect(),
        missing: dice.one(&[Missing::Error, Missing::ForwardFill, Missing::Drop]),
        header: dice.one(&[None, None, Some(true), Some(false)]),
        delimiter: dice.one(&[
            None,
            None,
            Some(b';'),
            Some(b'\t'),
            Some(b' '),
            Some(b'|'),
            None,
            None,
            None,
            None,
            odd,
        ]),
        or_all: dice.once_in(3),
        time: dice.one(&[None, None, Some("time"), Some("1"), Some("3")]).map(Into::into),
        usual_time: dice.one(&[None, Some("time"), Some("value")]).map(Into::into),
    }
}

/// What is let in can be trained on.
fn series(result: rnnstep::Result<Series>, path: &Path) -> Outcome {
    let series = match result {
        Ok(series) => series,
        Err(error) => return names_file(&error, path).map(|()| false),
    };
    let (rows, width) = series.values.rows();
    let sound = rows > 0
        && width == series.columns.len()
        && width == series.numbers.len()
        && series.values.data().iter().all(|value| value.is_finite())
        && series.time.as_ref().is_none_or(|time| time.values.len() == rows);
    if !sound {
        return Err(format!("a series that is none: {rows} rows of {width}, {} names", series.columns.len()));
    }
    allowed(series.select(&["1".into(), series.columns[0].clone()]))?;
    Ok(true)
}

#[test]
fn npy() {
    campaign("tables::npy", 12_000, |folder| {
        let path = folder.join("good.npy");
        npy::write(&path, &crate::good::series(6, 2)).unwrap();
        let good = fs::read(&path).unwrap();
        move |case| {
            let dice = &mut case.dice;
            let bytes = if dice.once_in(3) { bytes(dice, &good) } else { header(dice) };
            let path = case.folder.join("x.npy");
            fs::write(&path, bytes).unwrap();
            match npy::read(&path) {
                Ok(array) => {
                    let again = case.folder.join("again.npy");
                    npy::write(&again, &array).map_err(|error| error.to_string())?;
                    let read = npy::read(&again).map_err(|error| error.to_string())?;
                    let bits = |array: &Array| (array.width(), array.dims().to_vec(), array.bytes().to_vec());
                    let same = bits(&read) == bits(&array);
                    if same { Ok(true) } else { Err("another array after it was written and read".into()) }
                }
                Err(error) => names_file(&error, &path).map(|()| false),
            }
        }
    });
}

fn bytes(dice: &mut Dice, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..dice.between(0, 3) {
        damage::bytes(dice, &mut bytes);
    }
    bytes
}

/// An array with a header of its own, right or nearly so.
fn header(dice: &mut Dice) -> Vec<u8> {
    let kinds = [
        ("<f4", 4),
        (">f4", 4),
        ("<f8", 8),
        ("<f2", 2),
        ("<i8", 8),
        ("|u1", 1),
        (">i2", 2),
        ("|b1", 1),
        ("<c8", 8),
        ("|O", 8),
        ("<U9", 36),
        ("|V4", 4),
    ];
    let (kind, size) = dice.one(&kinds);
    let dims: Vec<u64> = (0..dice.between(0, 5))
        .map(|_| if dice.once_in(12) { dice.one(&NASTY_U64) } else { dice.below(4) as u64 + 1 })
        .collect();
    let shape = dims.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let comma = if dims.len() == 1 { "," } else { "" };
    let order = dice.pick(&["False", "False", "True"]);
    let mut dict = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': ({shape}{comma}), }}").into_bytes();
    if dice.once_in(3) {
        damage::text(dice, &mut dict);
    }
    dict.truncate(60_000);
    dict.push(b'\n');
    let count = dims.iter().try_fold(1_u64, |product, &dim| product.checked_mul(dim)).unwrap_or(7).min(4000) as usize;
    let data = vec![dice.one(&[0, 1, 0x40, 0x7f, 0xff]); count * size + dice.one(&[0, 0, 0, 0, 1, 8])];
    let version = dice.one(&[1_u8, 1, 1, 2, 3, 4, 0]);
    let length = match version {
        2 | 3 => (dict.len() as u32).to_le_bytes().to_vec(),
        _ => (dict.len() as u16).to_le_bytes().to_vec(),
    };
    [b"\x93NUMPY".as_slice(), &[version, dice.one(&[0, 0, 0, 0, 1])], &length, &dict, &data].concat()
}
