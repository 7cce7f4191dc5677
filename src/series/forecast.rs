//! The forecast of the rows after a history, by the model of a file: what `rnnstep forecast` prints.

use super::interval::{Calibrated, Interval, Intervals, Options, Residuals};
use super::multi_step;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::file::{Loaded, Unseen};
use crate::model::stream::Stream;
use crate::net::state::State;
use crate::simd::isa::Cpu;
use crate::tensor::Tensor;

/// A series with at least this many rows of errors of its own needs no errors of other series.
const ENOUGH_ERRORS: usize = 50;
/// The rows over which the state is warmed up, if the model file does not have the length of the windows.
const WARM_UP: usize = 20;

/// The forecast of the rows after a history.
///
/// ```
/// use rnnstep::model::file;
/// use rnnstep::series::forecast::Forecast;
/// use rnnstep::series::interval::Options;
/// use rnnstep::train::{Length, Plan, Table};
/// use rnnstep::{CellKind, Cpu, Shape, Tensor, device::Threads};
///
/// # let path = std::env::temp_dir().join(format!("rnnstep-forecast-{}.safetensors", std::process::id()));
/// # let values: Vec<f64> = (0..400).map(|t| (0.2 * t as f64).sin()).collect();
/// # let history = Tensor::new([400, 1], values)?;
/// # let table = Table::new(history.clone(), history.clone(), Some(vec![0]))?;
/// # let plan = Plan::new(Shape::new(CellKind::Gru, 1, 8, 1, 1)?, Length::Epochs(3));
/// # plan.start(&[&table], Cpu::detect()?, Threads::default())?.finish()?.model.save(&path)?;
/// let loaded = file::load(&path, &file::ReadOptions::default(), Cpu::detect()?)?;
/// let options = Options::new(10, [0.8]); // ten rows ahead, with intervals of 80 %
/// let forecast = Forecast::new(&loaded, Cpu::detect()?, Cpu::detect()?, &history, &options)?;
/// assert_eq!(forecast.values.dims(), [10, 1]);
/// let interval = &forecast.intervals[0];
/// assert!(interval.lower.data()[0] < interval.upper.data()[0]);
/// # std::fs::remove_file(&path).ok();
/// # Ok::<(), rnnstep::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Forecast {
    /// The prediction one step ahead at each row of the history, `[T,D]`: that of row t is for row t + 1.
    pub fitted: Tensor<f64>,
    /// The rows after the history, `[N,D]`: predictions that are fed back as inputs; with intervals the median of the
    /// simulated paths.
    pub values: Tensor<f64>,
    /// One for each level, narrowest first; none if no level is asked for.
    pub intervals: Vec<Interval>,
    /// What the intervals are based on; `None` without intervals.
    pub basis: Option<Basis>,
}

/// What the prediction intervals of a [`Forecast`] are based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Basis {
    /// The rows of errors that the paths drew from; 0 if they drew only from the distribution that the model predicts,
    /// which was not checked.
    pub errors: usize,
    /// The longest horizon at which intervals were compared with actual values. Beyond it they are widened by the same
    /// factor as at that horizon.
    pub calibrated: usize,
    /// Rows of the history that the model was not trained on.
    pub unseen: usize,
    /// Whether the history holds the end of the rows that the model was trained on. If not, all its rows count as
    /// unseen.
    pub knows_end_of_training: bool,
}

impl Forecast {
    /// Forecasts `options.steps` rows after `history [T,I]`, in raw units, with the masks of the inputs that have one. The model runs on `device`, and the
    /// simulated paths on `cpu`. Without `options.levels` there are no intervals, and no other option than `steps` has
    /// an effect.
    ///
    /// # Errors
    /// If the history has a value that is not finite; those of [`multi_step::ahead`] and [`interval::bands`](super::interval::bands); or the
    /// device fails.
    pub fn new(
        loaded: &Loaded,
        device: impl Into<Device>,
        cpu: Cpu,
        history: &Tensor<f64>,
        options: &Options,
    ) -> Result<Self> {
        Self::after(&State::new(loaded.model.shape(), 1), loaded, device, cpu, history, options)
    }

    /// The same for a history that follows the rows after which the model has the state `initial`, of one sequence.
    ///
    /// # Errors
    /// Those of [`Forecast::new`], and if it is the state of another model.
    pub fn after(
        initial: &State,
        loaded: &Loaded,
        device: impl Into<Device>,
        cpu: Cpu,
        history: &Tensor<f64>,
        options: &Options,
    ) -> Result<Self> {
        check_history(history).map_err(|reason| Error::invalid(format!("history: {reason}")))?;
        let mut stream = Stream::on(device, loaded.model.clone())?;
        stream.set_state(initial)?;
        // with intervals the forecast is their median
        let steps = if options.levels.is_empty() { options.steps } else { 0 };
        let (fitted, values) = multi_step::ahead(&mut stream, history, steps)?;
        if options.levels.is_empty() {
            return Ok(Self { fitted, values, intervals: vec![], basis: None });
        }
        let (Intervals { bands, median, errors, calibrated }, unseen, knows_end_of_training) =
            intervals(initial, loaded, cpu, history, options)?;
        let basis = Basis { errors, calibrated, unseen, knows_end_of_training };
        Ok(Self { fitted, values: median, intervals: bands, basis: Some(basis) })
    }
}

/// Checks that a forecast can continue `history [T,I]`.
///
/// # Errors
/// If a value is not finite. The message names the first such row.
pub fn check_history(history: &Tensor<f64>) -> std::result::Result<(), String> {
    let width = history.rows().1.max(1);
    match history.data().iter().position(|value| !value.is_finite()) {
        Some(at) => {
            let (row, value) = (at / width + 1, history.data()[at]);
            Err(format!("row {row} holds {value}, and a forecast needs finite numbers; fill or drop it"))
        }
        None => Ok(()),
    }
}

/// The intervals, the number of rows of the history that the model was not trained on, and whether that number is
/// known: if not, all rows count as such.
fn intervals(
    initial: &State,
    loaded: &Loaded,
    cpu: Cpu,
    history: &Tensor<f64>,
    options: &Options,
) -> Result<(Intervals, usize, bool)> {
    let model = with_its_loss(loaded.model.clone(), loaded)?;
    let unseen = loaded.metadata.unseen.as_ref();
    let known = unseen.and_then(|unseen| unseen.first_of(history));
    let (rows, columns) = (history.rows().0, history.rows().1 - model.masks().len());
    // if the end of the training is not known, the first rows warm up the state, which starts from zero
    let warm_up = || model.lag() + loaded.metadata.seq_len.unwrap_or(WARM_UP).min(rows / 4);
    let first = known.unwrap_or_else(warm_up);
    let count = rows.saturating_sub(first);
    // the stored errors of a global model are those of all its series, so a series with enough errors does not use them
    let wanted = |unseen: &&Unseen| unseen.ends.len() == 1 || count < ENOUGH_ERRORS;
    let stored = unseen.filter(wanted).and_then(|unseen| Residuals::new(unseen.errors.clone(), columns).ok());
    // the autoregressions of the finished model were fitted to rows that its intervals are compared with
    let judged = with_its_loss(loaded.judged()?, loaded)?;
    let is_new = initial.past().is_none();
    let (calibrated, now) = if judged.units() != model.units() && is_new {
        let (calibrated, _) =
            Calibrated::after(initial, &judged, cpu, history, first, stored.as_ref(), options.clone())?;
        calibrated.around(initial, &model, cpu, history)?
    } else {
        Calibrated::after(initial, &model, cpu, history, first, stored.as_ref(), options.clone())?
    };
    Ok((calibrated.bands(&now)?, count, known.is_some()))
}

/// The `model` of a file with the loss that it was trained with. Its predictions stay the same, but the loss decides
/// whether its errors lie around the mean or around the median.
fn with_its_loss(model: Model, loaded: &Loaded) -> Result<Model> {
    let loss = loaded.loss()?;
    match model.units().cloned() {
        Some(units) => model.with_units(units.with_loss(loss)?),
        None => Ok(model),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::kind::CellKind;
    use crate::model::file::{End, Metadata};
    use crate::net::shape::Shape;

    /// A model whose errors on its own training's unseen rows were ten times as large as they are on this history.
    fn loaded(history: &Tensor<f64>, series: usize) -> Loaded {
        let model = Model::random(Shape::new(CellKind::Gru, 1, 7, 1, 1).unwrap(), 3).unwrap();
        let errors = (0..200).map(|i| if i % 2 == 0 { 10.0 } else { -10.0 }).collect();
        let ends = vec![End::of(history, history, 100); series];
        let unseen = Unseen { ends, errors, autoregressions: vec![] };
        let metadata = Metadata { unseen: Some(unseen), ..Metadata::default() };
        Loaded { model, metadata, extra: Default::default(), warnings: vec![], assumed: vec![] }
    }

    #[test]
    fn whose_errors_the_intervals_rest_on() {
        let cpu = Cpu::widest();
        let values: Vec<f64> = (0..160).map(|t| (0.3 * t as f64).sin()).collect();
        let history = Tensor::new([160, 1], values).unwrap();
        let options = Options::new(1, [0.8]);
        let forecast = |series: usize| Forecast::new(&loaded(&history, series), cpu, cpu, &history, &options).unwrap();
        // the errors in the file are those of the one series, however many the history has
        let basis = forecast(1).basis.unwrap();
        assert_eq!((basis.errors, basis.unseen, basis.knows_end_of_training), (200, 60, true));
        // a global model's are those of all series: this one has enough of its own
        assert_eq!(forecast(2).basis.unwrap().errors, 60);
        // and without levels nothing is asked of them
        let plain = Forecast::new(&loaded(&history, 1), cpu, cpu, &history, &Options::new(3, [])).unwrap();
        assert!(plain.intervals.is_empty() && plain.basis.is_none() && plain.values.dims() == [3, 1]);
        let bad = Tensor::new([2, 1], [1.0, f64::NAN]).unwrap();
        let error = Forecast::new(&loaded(&history, 1), cpu, cpu, &bad, &options).unwrap_err();
        assert!(error.to_string().contains("row 2"), "{error}");
    }
}
