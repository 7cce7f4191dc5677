//! Simulated paths: possible continuations of a series, computed many at a time.

use crate::cpu::Threads;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::stream::Stream;
use crate::model::streams::{Handle, Streams};
use crate::net::state::State;
use crate::random::{Purpose, Random};
use crate::series::residuals::{OutputKind, Residuals};
use crate::simd::isa::Cpu;
use crate::tensor::{Tensor, narrow_row, widen_row};
use crate::units::Units;
use crate::units::scaler::Scaler;
use crate::units::transform::Past;
use std::sync::Arc;

/// The most values that the pasts of all paths may have together.
const MOST_PAST: usize = 1 << 28;

/// The state of a model after one of the rows of a series: paths start from it.
#[derive(Debug, Clone)]
pub struct Start {
    /// The number of the row. It seeds the errors that paths from here draw, so they do not depend on the other starts.
    row: usize,
    state: State,
    past: Past,
    /// The network's output for the next row, `[O]`, in its own units.
    y: Vec<f32>,
}

/// Simulates a model that predicts all its inputs. At each step, the next value is the prediction plus a drawn error,
/// and it is fed back as input.
#[derive(Debug)]
pub struct Simulator {
    network: Arc<Model>,
    units: Units,
    kind: OutputKind,
    cpu: Cpu,
}

impl Start {
    /// The row of the history, from 0.
    pub fn row(&self) -> usize {
        self.row
    }

    /// # Errors
    /// If the prediction from here is not finite.
    pub(super) fn check(&self) -> Result<()> {
        if self.y.iter().all(|y| y.is_finite()) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "bands: after row {} of the history the prediction is not finite; look for such values up to that row",
            self.row + 1
        )))
    }
}

impl Simulator {
    /// A simulator of `model`, whose outputs must be its inputs one step later, in the same order.
    ///
    /// # Errors
    /// If the number of predicted columns is not that of the inputs, or the model's units show that their order
    /// differs.
    pub fn new(model: &Model, cpu: Cpu) -> Result<Self> {
        let shape = *model.shape();
        let units = match model.units() {
            Some(units) => units.clone(),
            None => {
                let as_is = |width: usize| Scaler::new(vec![0.0; width], vec![1.0; width]);
                Units::scaled(as_is(shape.input)?, as_is(shape.width_out())?)
            }
        };
        model.check_fed_back()?;
        if units.columns().iter().enumerate().any(|(d, &column)| d != column) {
            return Err(Error::invalid(
                "the model predicts its inputs in another order, so its predictions cannot be fed back; train with the \
                 same --column and --target",
            ));
        }
        let kind = OutputKind::new(units.loss());
        Ok(Self { network: Arc::new(model.clone().raw()), units, kind, cpu })
    }

    /// D, the columns that are both inputs and predicted.
    pub fn columns(&self) -> usize {
        self.units.targets()
    }

    /// `value` of column `d`, kept inside the bounds of its column.
    pub(super) fn inside(&self, d: usize, value: f64) -> f64 {
        self.units.bounds().get(d).map_or(value, |bounds| bounds.inside(value))
    }

    /// Rows at the start of a history that have no errors, because no prediction was made for them.
    pub fn lag(&self) -> usize {
        self.units.transform().lag().max(1)
    }

    /// The actual values `[D]` of a row of a history, in `actual`; NaN where a mask says that they are missing.
    pub(super) fn actual(&self, row: &[f64], actual: &mut [f64]) {
        let columns = self.columns();
        actual.copy_from_slice(&row[..columns]);
        for (&column, &mask) in self.units.masks().iter().zip(&row[columns..]) {
            if mask != 0.0 {
                actual[column] = f64::NAN;
            }
        }
    }

    /// Runs the model over `history [T,I]`, in raw units. Returns the state after each row of `at`, and the errors of
    /// the model at the rows from `first` on, `[T-first,D]` as [`OutputKind::errors`] gives them: NaN where the actual
    /// value is missing.
    ///
    /// # Errors
    /// If the number of columns differs, or `at` does not increase or has a row beyond the history.
    pub fn walk(&self, history: &Tensor<f64>, at: &[usize], first: usize) -> Result<(Vec<Start>, Vec<f32>)> {
        self.walk_from(&State::new(self.network.shape(), 1), history, at, first)
    }

    /// The same from the state `initial` of one sequence.
    ///
    /// # Errors
    /// Those of [`Simulator::walk`], and if it is the state of another model.
    pub fn walk_from(
        &self,
        initial: &State,
        history: &Tensor<f64>,
        at: &[usize],
        first: usize,
    ) -> Result<(Vec<Start>, Vec<f32>)> {
        let ((rows, width), columns) = (history.rows(), self.columns());
        Error::check_length("history: columns", self.network.shape().input, width)?;
        if at.windows(2).any(|pair| pair[0] >= pair[1]) || at.last().is_some_and(|&last| last >= rows) {
            return Err(Error::invalid(format!("starts: rows must increase and be among the {rows} of the history")));
        }
        initial.check(self.network.shape(), Some(&self.units), 1)?;
        let mut stream = Stream::on(self.cpu, Arc::clone(&self.network))?;
        stream.set_state(initial)?;
        let mut past = self.units.past(1);
        past.follow(&initial.past);
        let (mut raw, mut x) = (vec![0.0; width], vec![0.0; width]);
        let (mut starts, mut at) = (Vec::with_capacity(at.len()), at.iter().peekable());
        // what was predicted for each row from `first` on, and its actual values, both in the network's units
        let first = first.max(self.lag());
        let (mut outputs, mut actuals) = (Vec::new(), Vec::with_capacity(rows.saturating_sub(first) * columns));
        for (t, row) in history.data().chunks_exact(width).enumerate() {
            raw.copy_from_slice(row);
            self.units.enter(&mut past, &mut raw);
            narrow_row(&raw, &mut x);
            let y = stream.step(&x)?;
            if let Some(next) = history.data().get((t + 1) * width..(t + 2) * width).filter(|_| t + 1 >= first) {
                outputs.extend_from_slice(y);
                let (actual, x) = (&mut raw[..columns], &mut x[..columns]);
                self.actual(next, actual);
                self.units.transform_rows(past.before_next(), actual);
                self.units.scale_targets(actual);
                narrow_row(actual, x);
                actuals.extend_from_slice(x);
            }
            if at.next_if_eq(&&t).is_some() {
                let y = y.to_vec();
                starts.push(Start { row: t, state: stream.state()?.clone(), past: past.clone(), y });
            }
        }
        let errors = self.kind.errors_of_rows(&outputs, &actuals, columns);
        Ok((starts, errors))
    }

    /// Checks that a start is of this model.
    fn check_start(&self, start: &Start) -> Result<()> {
        Error::check_length("start: y", self.network.shape().width_out(), start.y.len())?;
        let lag = self.units.transform().lag();
        let fits = start.past.oldest().is_some() && self.units.has(&start.past, 1);
        if lag > 0 && !fits || lag == 0 && start.past.lag() > 0 {
            return Err(Error::invalid("start: its last values are of another model; take one of this model"));
        }
        Ok(())
    }

    /// Simulates `each` paths of `steps` rows from every one of `starts`, in which no value is missing. It calls `sink(start, step, column, values)`
    /// with the values of all paths from one start at one step in one column, in raw units and in no particular order.
    /// If the network's inputs become infinite, later steps are NaN.
    ///
    /// # Errors
    /// If there are too many paths for the memory, errors have another number of columns, or a start is of another
    /// model.
    pub fn paths(
        &self,
        starts: &[&Start],
        each: usize,
        steps: usize,
        errors: &Residuals,
        seed: u64,
        mut sink: impl FnMut(usize, usize, usize, &mut [f64]),
    ) -> Result<()> {
        let (columns, width, out) = (self.columns(), self.network.shape().input, self.network.shape().width_out());
        Error::check_length("errors: columns", columns, errors.columns())?;
        starts.iter().try_for_each(|start| self.check_start(start))?;
        let lag = self.units.transform().lag();
        let paths = starts.len().saturating_mul(each);
        if paths.saturating_mul(width).saturating_mul(lag.max(1)) > MOST_PAST {
            return Err(Error::invalid(format!("paths: {paths} at a time do not fit into memory; take fewer")));
        }
        if paths == 0 {
            return Ok(());
        }
        let mut streams = Streams::new(Arc::clone(&self.network), self.cpu, Threads::default(), paths)?;
        let handles: Vec<Handle> = (0..paths).map(|_| streams.open()).collect::<Result<_>>()?;
        let mut y = Vec::with_capacity(paths * out);
        for (start, handles) in starts.iter().zip(handles.chunks_exact(each.max(1))) {
            for &handle in handles {
                streams.set_state(handle, &start.state)?;
                y.extend_from_slice(&start.y);
            }
        }
        let mut past =
            Past::repeated(self.units.fitted(), &starts.iter().map(|start| &start.past).collect::<Vec<_>>(), each);
        let mut randoms: Vec<Random> =
            starts.iter().map(|start| Random::new(seed, Purpose::Paths, start.row as u64)).collect();
        let (mut drawn, mut raw, mut values) =
            (vec![0.0; paths * columns], vec![0.0; paths * columns], vec![0.0; each]);
        // what is fed back: the values, and behind them the masks, which stay 0
        let (mut fed, mut x) = (vec![0.0; paths * width], vec![0.0; paths * width]);
        for step in 0..steps {
            if step > 0 {
                let rows = fed.chunks_exact_mut(width).zip(raw.chunks_exact(columns));
                rows.for_each(|(fed, raw)| fed[..columns].copy_from_slice(raw));
                self.units.enter(&mut past, &mut fed);
                narrow_row(&fed, &mut x);
                streams.step_many(&handles, &x, &mut y)?;
            }
            for (path, (drawn, y)) in drawn.chunks_exact_mut(columns).zip(y.chunks_exact(out)).enumerate() {
                self.kind.values(y, errors.draw(&mut randoms[path / each]), drawn);
            }
            widen_row(&drawn, &mut raw);
            self.units.values(&past, &mut raw);
            for (start, raw) in raw.chunks_exact((each * columns).max(1)).enumerate() {
                for d in 0..columns {
                    values.iter_mut().zip(raw.iter().skip(d).step_by(columns)).for_each(|(to, &value)| *to = value);
                    sink(start, step, d, &mut values);
                }
            }
        }
        Ok(())
    }
}
