//! One model over several series: windows of all of them, scalers over all of their training parts, weights by all that is
//! held out.

use super::fit::{rows_of, scaled};
use super::{Fit, HeldOut, Plan, Table};
use crate::cpu::Threads;
use crate::data::windows::{self, Windows};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::units::{self, Units};

/// Series made ready for one training.
#[derive(Debug)]
pub struct PreparedMany {
    /// Between raw values and the network's, fitted to the training parts of all.
    pub units: Units,
    /// Windows of the training parts; none has rows of two series.
    pub windows: Windows,
    /// The ends of the series, if anything is held out.
    pub held_out: Option<HeldOut>,
    /// Rows of each series that are not held out; 0 for one that is left out.
    pub train_rows: Vec<usize>,
    /// Series that nothing could be made of.
    pub left_out: Vec<LeftOut>,
}

/// A series that takes no part, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which one, from 0.
    pub series: usize,
    /// Why.
    pub reason: String,
}

impl Plan {
    /// What [`Plan::prepare`] does, for several series and one model. The last part of each is held out; the state starts from
    /// zero and changes start anew in each. Series that are too short for a window, or that have no such change, are left out.
    ///
    /// # Errors
    /// If no series is left, tables differ in their columns, or a size is 0.
    pub fn prepare_many(&self, tables: &[&Table]) -> Result<PreparedMany> {
        self.check()?;
        let Some(first) = tables.first() else { return Err(Error::invalid("there is no series to train on")) };
        let widths = (first.inputs().rows().1, first.targets().rows().1);
        if tables.iter().any(|table| (table.inputs().rows().1, table.targets().rows().1) != widths) {
            return Err(Error::invalid("series of one model must have the same columns"));
        }
        let (mut parts, mut train_rows, mut left_out) = (Vec::new(), vec![0; tables.len()], Vec::new());
        for (series, table) in tables.iter().enumerate() {
            let (train, _) = windows::split(table.rows(), self.val_fraction)?;
            match self.usable(table, train.len()) {
                Ok(()) => {
                    train_rows[series] = train.len();
                    parts.push((series, table.part(train)?));
                }
                Err(error) => left_out.push(LeftOut { series, reason: error.to_string() }),
            }
        }
        if parts.is_empty() {
            let reason = left_out.first().map_or_else(String::new, |one| one.reason.clone());
            return Err(Error::invalid(format!("none of the {} series can be trained on: {reason}", tables.len())));
        }
        let raw: Vec<_> = parts.iter().map(|(_, part)| (part.inputs().data(), part.targets().data())).collect();
        let says = self.recipe.loss;
        let units = Units::fit_many(self.scaling, self.form, says, &raw, widths, first.columns())?;
        let pairs = parts.iter().map(|(_, part)| scaled(&units, part)).collect::<Result<Vec<_>>>()?;
        let windows = self.cut(pairs)?;
        let mut held_out = Vec::new();
        for (series, _) in &parts {
            let (table, first) = (tables[*series], train_rows[*series]);
            if first < table.rows() {
                held_out.push(self.hold_out(&units, table, first)?);
            }
        }
        Ok(PreparedMany { units, windows, held_out: HeldOut::of(held_out), train_rows, left_out })
    }

    /// Whether the plan makes sense by itself, whatever the rows: what fails here fails for every series.
    ///
    /// # Errors
    /// If a size is 0 or the part to hold out is none.
    pub fn check(&self) -> Result<()> {
        let sizes = [("seq-len", self.seq_len), ("batch", self.batch), ("stride", self.stride)];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(Error::invalid(format!("{name} 0: must be at least 1")));
        }
        windows::split(0, self.val_fraction).map(|_| ())
    }

    /// Whether the first `train` rows of a series give a window, and all of it the changes that are asked for.
    fn usable(&self, table: &Table, train: usize) -> Result<()> {
        let lag = self.form.lag();
        let needed = Windows::rows_needed(self.seq_len, self.batch, self.recipe.carry).saturating_add(lag);
        if train < needed {
            return Err(Error::invalid(format!("{train} rows to train on, {needed} are needed")));
        }
        units::check_changes(self.form, rows_of(table.targets()))
    }

    /// The training of one model over several series from its start, random weights.
    ///
    /// # Errors
    /// Those of [`Plan::prepare_many`] and [`Trainer::new`](crate::train::Trainer::new), and if the shape makes no sense.
    pub fn start_many(&self, tables: &[&Table], device: impl Into<Device>, threads: Threads) -> Result<Fit> {
        let PreparedMany { units, windows, held_out, .. } = self.prepare_many(tables)?;
        self.begin(units, windows, held_out, device, threads)
    }
}
