//! What a model file records of the rows that the model was trained on: hashes to recognise them, but no values.

use crate::io::hash;
use crate::tensor::Tensor;
use crate::units::autoregression::Autoregression;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Where the training rows end, and the errors of the network on rows after that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unseen {
    /// The end of the training rows of each series.
    pub ends: Vec<End>,
    /// Errors one step ahead at later rows `[n,D]`, as
    /// [`OutputKind::errors`](crate::series::residuals::OutputKind::errors) gives them.
    pub errors: Vec<f32>,
    /// The autoregressions with which these errors were made, which know nothing of the later rows; empty if there are
    /// none. Those of the model were fitted again, to all rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub autoregressions: Vec<Autoregression>,
}

/// The end of the training rows of one series. Files of the first release have the hashes of the values in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The number of training rows.
    pub train_rows: usize,
    /// A hash of the last training rows. It shows that a table is the one that was trained on, or continues it.
    pub last: u64,
    /// A hash of all rows, inputs and targets, including held-out rows. It shows that a table is exactly the same.
    pub table: u64,
}

/// The number of last rows that are hashed; fewer if there are fewer rows.
const LAST: usize = 8;

impl Unseen {
    /// The first row of `table [T,I]`, in raw units, that was not trained on; `None` if the table does not contain the
    /// end of the training rows.
    pub fn first_of(&self, table: &Tensor<f64>) -> Option<usize> {
        self.end_in(table).map(|(row, _)| row)
    }

    /// The first row of `table [T,I]`, in raw units, that was not trained on, and the end of training that is before
    /// it; `None` if the table contains none. The end is looked for at its row in training, or else anywhere. If there
    /// are several, the last one counts.
    pub fn end_in(&self, table: &Tensor<f64>) -> Option<(usize, End)> {
        // each row is hashed once, however many ends there are
        let mut hashes = HashMap::new();
        let mut ends_at = |rows: usize, last: u64| {
            let hashes = hashes.entry(rows).or_insert_with(|| hashes_of_last(table, rows));
            hashes.is_some_and(|hashes| hashes.contains(&last))
        };
        let same = self.ends.iter().filter(|end| ends_at(end.train_rows, end.last)).max_by_key(|end| end.train_rows);
        let known: HashMap<u64, End> = self.ends.iter().map(|end| (end.last, *end)).collect();
        let known = |rows: usize| {
            let end = hashes_of_last(table, rows)?.into_iter().find_map(|last| known.get(&last));
            end.map(|end| (rows, *end))
        };
        same.map(|end| (end.train_rows, *end)).or_else(|| (1..=table.rows().0).rev().find_map(known))
    }
}

impl End {
    /// The end for `inputs [T,I]` and `targets [T,D]`, of which the first `train_rows` rows were trained on.
    pub fn of(inputs: &Tensor<f64>, targets: &Tensor<f64>, train_rows: usize) -> Self {
        let [last, _] = hashes_of_last(inputs, train_rows).unwrap_or_default();
        let table = hash::of_values([inputs.data(), targets.data()].into_iter().flatten());
        Self { train_rows, last, table }
    }

    /// Whether this is the end for exactly these rows, in a file of this release or of the first.
    pub fn is_of(&self, inputs: &Tensor<f64>, targets: &Tensor<f64>, train_rows: usize) -> bool {
        let [_, last] = hashes_of_last(inputs, train_rows).unwrap_or_default();
        let table = hash::of_narrow_values([inputs.data(), targets.data()].into_iter().flatten());
        *self == Self::of(inputs, targets, train_rows) || *self == Self { train_rows, last, table }
    }
}

/// The hash of the last of the first `rows` rows, and the one that the first release wrote; none if there is no row.
fn hashes_of_last(table: &Tensor<f64>, rows: usize) -> Option<[u64; 2]> {
    let width = table.rows().1;
    let last = rows.checked_mul(width).and_then(|end| table.data().get(rows.saturating_sub(LAST) * width..end));
    last.filter(|rows| !rows.is_empty()).map(|rows| [hash::of_values(rows), hash::of_narrow_values(rows)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(values: impl IntoIterator<Item = f64>) -> Tensor<f64> {
        let values: Vec<f64> = values.into_iter().collect();
        Tensor::new([values.len() / 2, 2], values).unwrap()
    }

    fn unseen(tables: &[(&Tensor<f64>, usize)]) -> Unseen {
        let ends = tables.iter().map(|(table, rows)| End::of(table, table, *rows)).collect();
        Unseen { ends, errors: vec![], autoregressions: vec![] }
    }

    #[test]
    fn the_end_of_training_is_found() {
        let rows = |range: std::ops::Range<usize>| table(range.flat_map(|i| [(i * i % 101) as f64, i as f64]));
        let (all, other) = (rows(0..60), rows(1000..1060));
        let known = unseen(&[(&all, 40), (&other, 50)]);
        assert_eq!(known.first_of(&all), Some(40));
        assert_eq!(known.first_of(&rows(0..90)), Some(40), "rows were added since");
        assert_eq!(known.first_of(&rows(10..60)), Some(30), "the first are cut away");
        assert_eq!(known.first_of(&other), Some(50));
        assert_eq!((known.first_of(&rows(41..90)), known.first_of(&rows(0..39))), (None, None));
        assert_eq!(known.first_of(&rows(33..60)), None, "seven of eight rows");
        // fewer rows than are hashed
        assert_eq!(unseen(&[(&rows(0..5), 3)]).first_of(&rows(0..9)), Some(3));
        assert_eq!(unseen(&[(&rows(0..5), 0)]).first_of(&rows(0..9)), None);
        assert_eq!(unseen(&[]).first_of(&all), None);
        // more rows than there can be
        assert_eq!(unseen(&[(&all, usize::MAX)]).first_of(&all), None);
    }

    /// If all rows are equal, as in a shop that is closed, the longest training counts: then none of its rows counts as
    /// unseen.
    #[test]
    fn of_ends_that_are_alike_the_last_counts() {
        let zeros = table(vec![0.0; 200]);
        assert_eq!(unseen(&[(&zeros, 20), (&zeros, 70), (&zeros, 30)]).first_of(&zeros), Some(70));
    }

    #[test]
    fn the_same_table_is_known() {
        let (one, mut other) = (table((0..40).map(|i| i as f64)), table((0..40).map(|i| i as f64)));
        assert_eq!(End::of(&one, &one, 15), End::of(&other, &other, 15));
        // a row that was held out
        other.data_mut()[38] = -1.0;
        let (a, b) = (End::of(&one, &one, 15), End::of(&other, &other, 15));
        assert!(a.last == b.last && a.table != b.table && End::of(&one, &other, 15).table != a.table);
        assert!(a.is_of(&one, &one, 15) && !a.is_of(&one, &one, 14) && !b.is_of(&one, &one, 15));
        // the first release hashed values of f32
        let tenths = table((0..40).map(|i| 0.1 * f64::from(i)));
        let bytes = |range: std::ops::Range<usize>| {
            hash::fnv1a(tenths.data()[range].iter().flat_map(|value| (*value as f32).to_le_bytes()))
        };
        let both = || tenths.data().iter().chain(tenths.data()).flat_map(|value| (*value as f32).to_le_bytes());
        let old = End { train_rows: 15, last: bytes(14..30), table: hash::fnv1a(both()) };
        assert!(old.is_of(&tenths, &tenths, 15) && old != End::of(&tenths, &tenths, 15));
    }
}
