//! Tables in long form: the rows of many series, with a series id column that names the series of each row.

use crate::data::csv::text::{NOT_UTF8, text};
use crate::data::series::{Series, Time};
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use std::collections::HashMap;
use std::path::Path;

/// The most series of a table. Each takes a kilobyte besides its rows. A column with more names is probably not a
/// series id column.
const MOST: usize = 1 << 20;
/// Each series has a copy of the column names. All copies together may take [`NAMES`] bytes, and [`NAMES_A_BYTE`] more
/// for each byte of the values. Without a limit, a header of a megabyte over a million short rows would take a
/// terabyte.
const NAMES: usize = 1 << 28;
const NAMES_A_BYTE: usize = 16;

/// The series of a table and the series of each row that was kept, collected while the table is read.
#[derive(Debug)]
pub(super) struct Members {
    column: usize,
    numbers: HashMap<String, usize>,
    all: Vec<Member>,
    /// For each row that was kept, the number of its series.
    owners: Vec<u32>,
    /// The series of the row before: tables are often sorted.
    before: usize,
}

#[derive(Debug)]
struct Member {
    name: String,
    rows: usize,
    failure: Option<Error>,
    notes: Vec<String>,
}

impl Members {
    /// `column` is the series id column.
    pub(super) fn new(column: usize) -> Self {
        Self { column, numbers: HashMap::new(), all: Vec::new(), owners: Vec::new(), before: 0 }
    }

    pub(super) fn column(&self) -> usize {
        self.column
    }

    /// The number of the series that `cell` names, in the order of first rows.
    pub(super) fn of(&mut self, cell: &[u8]) -> Result<usize, &'static str> {
        let name = str::from_utf8(cell).map_err(|_| NOT_UTF8)?;
        let name = text(name.trim());
        if name.is_empty() {
            return Err("the name of the series is missing; fill it in or use --missing drop");
        }
        if self.all.get(self.before).is_some_and(|member| member.name == name) {
            return Ok(self.before);
        }
        let number = match self.numbers.get(name) {
            Some(&number) => number,
            None if self.all.len() >= MOST => return Err("there are more than 1048576 series; divide the file"),
            None => {
                let number = self.all.len();
                self.numbers.insert(name.into(), number);
                self.all.push(Member { name: name.into(), rows: 0, failure: None, notes: Vec::new() });
                number
            }
        };
        self.before = number;
        Ok(number)
    }

    /// Whether the series had an error, so that it is not read further.
    pub(super) fn failed(&self, member: usize) -> bool {
        self.all[member].failure.is_some()
    }

    pub(super) fn any_failed(&self) -> bool {
        self.all.iter().any(|member| member.failure.is_some())
    }

    /// Marks a series as failed. If there are several reasons, the first one is kept.
    pub(super) fn fail(&mut self, member: usize, why: Error) {
        self.all[member].failure.get_or_insert(why);
    }

    /// Counts a row that was kept.
    pub(super) fn keep(&mut self, member: usize) {
        self.all[member].rows += 1;
        self.owners.push(member as u32);
    }

    /// The rows of each series, in the order in which they were kept.
    pub(super) fn rows(&self) -> Vec<Vec<usize>> {
        let mut rows: Vec<Vec<usize>> = self.all.iter().map(|member| Vec::with_capacity(member.rows)).collect();
        for (row, &owner) in self.owners.iter().enumerate() {
            if let Some(rows) = rows.get_mut(owner as usize) {
                rows.push(row);
            }
        }
        rows
    }

    /// Puts the rows into another order: `order` has the old place of each.
    pub(super) fn sort(&mut self, order: &[usize]) {
        self.owners = order.iter().filter_map(|&row| self.owners.get(row).copied()).collect();
    }

    /// Sets what users should know about one of the series.
    pub(super) fn note(&mut self, member: usize, notes: Vec<String>) {
        if let Some(member) = self.all.get_mut(member) {
            member.notes = notes;
        }
    }

    /// Whether each series can have the names of all columns of `table`.
    ///
    /// # Errors
    /// If that would take memory out of all proportion to the rows.
    pub(super) fn check_names(&self, table: &Series) -> Result<(), String> {
        let time = table.time.as_ref().map_or(0, |time| time.name.len());
        let names = table.columns.iter().map(|name| name.len() + size_of::<String>()).sum::<usize>() + time;
        let most = NAMES.saturating_add(size_of_val(table.values.data()).saturating_mul(NAMES_A_BYTE));
        if names.saturating_mul(self.all.len()) <= most {
            return Ok(());
        }
        let count = self.all.len();
        Err(format!("its column names take {names} bytes, too many for each of {count} series; choose fewer columns"))
    }

    /// Divides the table into its series. `table` has all rows that were kept; `None` if there is none.
    pub(super) fn split(self, name: &Path, mut table: Option<Series>) -> Vec<(String, Result<Series>)> {
        let mut parts: Vec<(Vec<f64>, Vec<String>)> = Vec::with_capacity(self.all.len());
        let width = table.as_ref().map_or(0, |all| all.columns.len());
        let times = table.as_mut().and_then(|all| all.time.as_mut()).map(|time| std::mem::take(&mut time.values));
        for member in &self.all {
            let rows = if member.failure.is_none() { member.rows } else { 0 };
            parts.push((Vec::with_capacity(rows * width), Vec::with_capacity(if times.is_some() { rows } else { 0 })));
        }
        if let Some(all) = &table {
            let mut times = times.into_iter().flatten();
            for (values, &owner) in all.values.data().chunks_exact(width.max(1)).zip(&self.owners) {
                let time = times.next();
                if self.all[owner as usize].failure.is_some() {
                    continue;
                }
                let (part, times) = &mut parts[owner as usize];
                part.extend_from_slice(values);
                times.extend(time);
            }
        }
        let series = |member: Member, (values, times): (Vec<f64>, Vec<String>)| {
            let one = match (member.failure, &table) {
                (Some(error), _) => Err(error),
                (None, Some(all)) => Tensor::new([member.rows, width], values).map(|values| {
                    let time = all.time.as_ref().map(|time| Time { name: time.name.clone(), values: times });
                    let (columns, numbers) = (all.columns.clone(), all.numbers.clone());
                    let (left_out, decimal) = (all.left_out.clone(), all.decimal);
                    Series { columns, numbers, values, time, left_out, decimal, notes: member.notes }
                }),
                (None, None) => Err(Error::file(name, "holds no row of this series")), // every series has one
            };
            (member.name, one)
        };
        self.all.into_iter().zip(parts).map(|(member, part)| series(member, part)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::data::csv::{CsvOptions, Missing, read_long_from};
    use crate::data::series::Series;
    use crate::error::Result;
    use std::path::Path;

    fn read(text: &str, missing: Missing, columns: &[&str], of: &str) -> Result<Vec<(String, Result<Series>)>> {
        let columns = columns.iter().map(ToString::to_string).collect();
        let options = CsvOptions { missing, columns, ..CsvOptions::default() };
        read_long_from(text.as_bytes(), Path::new("t.csv"), &options, of)
    }

    /// Name, values and times of each series; for one that failed, the message.
    fn said(text: &str, missing: Missing, columns: &[&str], of: &str) -> Vec<String> {
        let one = |(name, series): (String, Result<Series>)| match series {
            Ok(series) => {
                let times = series.time.map_or_else(String::new, |time| format!(" {}", time.values.join(" ")));
                format!("{name} {:?}{times}", series.values.data())
            }
            Err(error) => format!("{name}: {error}"),
        };
        read(text, missing, columns, of).unwrap().into_iter().map(one).collect()
    }

    #[test]
    fn rows_go_to_their_series_in_their_order() {
        let text = "day,shop,sold,back\n1,b,1,10\n1,a,2,20\n2,b,3,30\n2,a,4,40\n3,a,5,50\n";
        let all = said(text, Missing::Error, &[], "shop");
        assert_eq!(all, ["b [1.0, 10.0, 3.0, 30.0] 1 2", "a [2.0, 20.0, 4.0, 40.0, 5.0, 50.0] 1 2 3"]);
        assert_eq!(said(text, Missing::Error, &["back"], "2"), ["b [10.0, 30.0] 1 2", "a [20.0, 40.0, 50.0] 1 2 3"]);
        // the name of a series may be a number, and its column may come first
        let text = "shop,day,sold\n7,2020-01-01,1\n8,2020-01-01,2\n7,2020-01-02,3\n";
        assert_eq!(
            said(text, Missing::Error, &[], "shop"),
            ["7 [1.0, 3.0] 2020-01-01 2020-01-02", "8 [2.0] 2020-01-01"]
        );
        // a day that does not increase within a series is not a time
        let text = "day,shop,sold\n1,b,1\n1,a,2\n1,b,3\n";
        assert_eq!(said(text, Missing::Error, &[], "shop"), ["b [1.0, 1.0, 1.0, 3.0]", "a [1.0, 2.0]"]);
        assert_eq!(said("shop,sold\nb,1\na,2\nb,3\n", Missing::Error, &[], "shop"), ["b [1.0, 3.0]", "a [2.0]"]);
    }

    #[test]
    fn nothing_is_filled_in_from_another_series() {
        let text = "shop,sold\na,1\nb,2\na,\nb,4\nb,?\n";
        assert_eq!(said(text, Missing::ForwardFill, &[], "shop"), ["a [1.0, 1.0]", "b [2.0, 4.0, 4.0]"]);
        assert_eq!(said(text, Missing::Drop, &[], "shop"), ["a [1.0]", "b [2.0, 4.0]"]);
        let first = said("shop,sold\na,1\nb,\nb,2\n", Missing::ForwardFill, &[], "shop");
        assert_eq!(first[0], "a [1.0]");
        assert!(
            first[1].starts_with("b: t.csv: line 3: column \"sold\": the value is missing and there is none before")
        );
        // every row of b lacks a value
        assert_eq!(said("shop,sold\na,1\nb,\n", Missing::Drop, &[], "shop"), ["a [1.0]", "b []"]);
    }

    #[test]
    fn a_bad_value_spoils_its_own_series() {
        let text = "shop,sold\na,1\nb,x\na,3\nb,2\nc,4\n";
        let all = said(text, Missing::Error, &[], "shop");
        assert_eq!([&all[0], &all[2]], ["a [1.0, 3.0]", "c [4.0]"]);
        assert_eq!(all[1], "b: t.csv: line 3: column \"sold\": \"x\" is not a number");
        let all = said("shop,sold\na,\nb,\n", Missing::Error, &["sold"], "shop");
        assert!(all.len() == 2 && all[1].contains("line 3"), "{all:?}");
    }

    #[test]
    fn what_says_whose_a_row_is() {
        let text = "day,shop,sold\n1,a,1\n2,,2\n";
        let error = |text: &str, columns: &[&str], of: &str| {
            read(text, Missing::Error, columns, of).map(|_| ()).unwrap_err().to_string()
        };
        assert!(error(text, &[], "shop").contains("line 3: column \"shop\": the name of the series is missing"));
        assert_eq!(said(text, Missing::Drop, &[], "shop"), ["a [1.0] 1"]);
        // any kind of blank counts as missing too
        for blank in [" ", "\t", "\u{a0}", "\" \""] {
            let text = format!("day,shop,sold\n1,a,1\n2,{blank},2\n3,a,3\n");
            assert!(error(&text, &[], "shop").contains("line 3: column \"shop\": the name of the series is missing"));
            assert_eq!(said(&text, Missing::Drop, &[], "shop"), ["a [1.0, 3.0] 1 3"], "{blank:?}");
        }
        // the message names the time column, also where the series id column stands before it
        let none = error("shop,year,note\na,1,x\nb,1,y\na,2,z\n", &[], "shop");
        assert_eq!(none, "t.csv: no column holds numbers except the time column \"year\"; add a column of numbers");
        let none = error(text, &[], "nosuch");
        assert!(none.contains("no column \"nosuch\"; the columns are \"day\", \"shop\", \"sold\""), "{none}");
        assert!(error(text, &["shop"], "shop").contains("neither an input nor a target"));
        let options = CsvOptions { time: Some("shop".into()), ..CsvOptions::default() };
        let both = read_long_from(text.as_bytes(), Path::new("t.csv"), &options, "shop").unwrap_err();
        assert!(both.to_string().contains("both the time column and the series id column"), "{both}");
    }
}
