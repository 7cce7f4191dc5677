//! A model that learns while it runs: at each row it predicts first, and then does a little back-propagation.

#[cfg(feature = "std")]
mod file;
mod guard;
mod learn;
mod memory;
mod moments;
mod options;

pub use memory::{Numbers, Snapshot};
pub use options::LearnerOptions;

use crate::cpu::{Network, Stepper, Threads};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::net::pass::Mode;
use crate::net::state::State;
use crate::net::weight_format::Weights;
use crate::simd::isa::Cpu;
use crate::simd::math::{all_finite, settle};
use crate::tensor::{Buffer, Value, narrow_row, widen_row};
use crate::units::Units;
use crate::units::transform::Past;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use guard::Guard;
use memory::{Good, Rows};
use moments::Moments;

/// A running prediction whose model learns from every actual value.
///
/// At tick t, `x_t [I]` comes in. [`Learner::predict`] returns `y_t [O]`, the prediction for t + 1. At the same tick
/// the actual values `actual_t [D]` become known; they are those for the prediction before, `y_{t-1}`. If a model
/// predicts its own inputs, `actual_t = x_t`. [`Learner::learn`] takes the actual values, and is called after the
/// prediction was used. All are in raw units if the model has units. D differs from O if a model has several outputs
/// for each column ([`Loss::outputs`](crate::objective::loss::Loss::outputs)).
///
/// ```
/// use rnnstep::{CellKind, Cpu, Learner, LearnerOptions, Model, Shape};
///
/// let model = Model::random(Shape::new(CellKind::Gru, 1, 8, 1, 1)?, 0)?;
/// let mut learner = Learner::new(model, LearnerOptions { lr: 0.01, ..Default::default() }, Cpu::widest())?;
/// let (mut first, mut last) = (0.0, 0.0);
/// for t in 0..2000 {
///     let x = [(0.3 * t as f32).sin()];
///     let y = learner.predict(&x)?; // only this lies between x and y
///     assert!(y[0].is_finite());
///     let learned = learner.learn(&x)?; // after y was used
///     let loss = learned.loss.unwrap_or(0.0);
///     *(if t < 100 { &mut first } else { &mut last }) = loss;
/// }
/// assert!(last < 0.1 * first);
/// # Ok::<(), rnnstep::Error>(())
/// ```
///
/// **An update.** The last K rows with a prediction (fewer at the beginning) go through the network once more with the
/// current weights. They start from the state that was carried before the first of them, which is kept in a ring of
/// states; gradients end there. The clipped gradient of their mean loss makes one step of the optimiser, unless it is
/// not finite. The carried state itself is not computed again. So the work of a tick is bounded, and after construction
/// nothing allocates, locks or calls the system.
///
/// **What cannot be learned from.** If x is not finite (or so large that the state after it is not finite), the tick
/// gets a prediction, as in PyTorch. Then the state goes back to the one before the tick, and its row is in no window.
/// An actual value that is not finite counts as unknown, and so does one that is so extreme that the loss is not
/// finite: it has no gradient, but its row stays in the window. Pass NaN if an actual value is not known. Except for
/// such ticks, a paused learner gives the same bits as a [`Stream`](crate::model::stream::Stream).
///
/// **When learning goes wrong.** The last good weights run in parallel: after each prediction they do the same step,
/// with a state of their own, so that their loss can be compared with that of the current weights. This is done every
/// 256 updates. If the loss of the current weights is not larger, they become the good ones, with their moments and
/// their state. If it is more than twice as large, learning goes back to the good weights. It also does so at once if a
/// running mean of the loss is more than [`LearnerOptions::explode`] times that of the good weights, or if weights, the
/// state or a loss are not finite while those of the good weights are. Then the learning rate is divided by four; it
/// doubles again after every 4096 good updates, up to its full value. Weights that are not finite never predict.
///
/// A series that changes is as new to the good weights as to the current ones, so nothing is taken back. If the loss of
/// the good weights is again and again `explode` times their usual loss, the series has changed, and the learning rate
/// is set to its full value at once.
#[derive(Debug)]
pub struct Learner {
    options: LearnerOptions,
    /// Shape and layout. Its weights are those of the beginning, and it has no units.
    model: Model,
    units: Option<Units>,
    stepper: Stepper,
    /// The stepper of the good weights.
    beside: Stepper,
    network: Network,
    now: Snapshot,
    grads: Buffer,
    /// `[I]`, in the network's units
    x: Buffer,
    /// The same in raw units, after the target transform: scratch space.
    x_wide: Box<[f64]>,
    /// `[O]`: the prediction, in raw units.
    y: Buffer,
    y_wide: Box<[f64]>,
    /// `[D]`: actual values, in the network's units.
    truth: Buffer,
    /// The same in raw units: scratch space.
    truth_wide: Box<[f64]>,
    /// `[O]`: scratch space for a gradient that is not used.
    dy: Buffer,
    window: Window,
}

/// The rows that an update works on, in the network's units.
#[derive(Debug)]
struct Window {
    /// `[K,I]`
    x: Buffer,
    /// `[K,D]`
    truth: Buffer,
    /// The state before these rows; after the forward pass the state after them.
    state: State,
    /// The place of the first row in the ring.
    first: usize,
    /// The number of rows.
    steps: usize,
}

/// What was learned from one row of actuals.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Learned {
    /// The loss of the previous prediction, in the network's units, the mean over the known actual values. `None` if
    /// there was no previous prediction or no actual value is known. It is infinite if the square of the error is.
    pub loss: Option<f32>,
    /// Whether the weights were updated.
    pub updated: bool,
    /// Whether the weights were bad and the last good ones were taken back.
    pub rolled_back: bool,
}

impl Learner {
    /// A learner that starts from `model` and a state of zero. It allocates everything that it will need.
    ///
    /// # Errors
    /// If an option is out of range; if the weights of the model are not finite or stored in another format than f32;
    /// if it has no scalers but they should adapt; or if the window is larger than makes sense or than fits into
    /// memory.
    pub fn new(model: Model, options: LearnerOptions, cpu: Cpu) -> Result<Self> {
        let (options, shape) = (options.checked()?, *model.shape());
        if model.step_weights() != Weights::F32 {
            return Err(Error::invalid(format!(
                "learner: learns weights in f32 only, but these are stored as {}; take the model they were made from",
                model.step_weights().name()
            )));
        }
        if !all_finite(model.params()) {
            return Err(Error::invalid("learner: a weight of the model is not finite"));
        }
        let (out, each) = (shape.width_out(), options.loss.outputs(1));
        let says = model.units().map_or(options.loss, |units| units.loss());
        if !out.is_multiple_of(each)
            || says.outputs(1) != each
            || says.is_distribution() != options.loss.is_distribution()
        {
            return Err(Error::invalid(format!(
                "learner: the model has {out} outputs and was trained for {says}, which does not fit the loss {}",
                options.loss
            )));
        }
        let units = model.units().cloned();
        if options.adapt.is_some() && units.is_none() {
            return Err(Error::invalid("adapt: the model has no scalers; give it some, or leave adapt out"));
        }
        let network = Network::new(cpu, Threads::default(), &shape, options.window, 1, Mode::Training)?;
        let (len, state) = (model.params().len(), State::try_new(&shape, 1)?);
        let zeros = Buffer::try_zeros;
        let moments = || Buffer::moments(options.optimizer.keeps(), len);
        let numbers = Numbers {
            ticks: 0,
            updates: 0,
            rollbacks: 0,
            step: 0,
            good_step: 0,
            since_check: 0,
            since: 0,
            next: 0,
            rows: 0,
            waiting: None,
            asked: false,
            untold: false,
            paused: false,
            guard: Guard::new(),
            scaling: options.adapt.and(units.as_ref()).map(|units| (Moments::of(units.x()), Moments::of(units.y()))),
            past: None,
        };
        let good = Good {
            params: model.params.clone(),
            moments: moments()?,
            state: state.clone(),
            y: zeros(shape.width_out())?,
        };
        let targets = out / each;
        let past = units.as_ref().map_or_else(Past::default, |units| units.past(1));
        Ok(Self {
            stepper: Stepper::try_new(cpu, &shape, Weights::F32, model.params())?,
            beside: Stepper::try_new(cpu, &shape, Weights::F32, model.params())?,
            network,
            now: Snapshot {
                params: model.params.clone(),
                moments: moments()?,
                rows: Rows::new(&shape, targets, options.window, &state)?,
                before: past.before_next().to_vec(),
                past,
                state: state.clone(),
                good,
                numbers,
            },
            grads: zeros(len)?,
            x: zeros(shape.input)?,
            x_wide: vec![0.0; shape.input].into(),
            y: zeros(out)?,
            y_wide: vec![0.0; out].into(),
            truth: zeros(targets)?,
            truth_wide: vec![0.0; targets].into(),
            dy: zeros(out)?,
            window: Window {
                x: zeros(options.window * shape.input)?,
                truth: zeros(options.window * targets)?,
                state,
                first: 0,
                steps: 0,
            },
            options,
            model: model.raw(),
            units,
        })
    }

    /// [`Learner::predict`], then [`Learner::learn`]. The prediction is returned when both are done; to have it sooner,
    /// call them one after the other.
    ///
    /// # Errors
    /// If `x` does not have I values or `actual` does not have D; then nothing has changed.
    pub fn tick(&mut self, x: &[f32], actual: &[f32]) -> Result<(&[f32], Learned)> {
        Error::check_length("x [I]", self.x.len(), x.len())?;
        Error::check_length("actual [D]", self.truth.len(), actual.len())?;
        self.predict(x)?;
        let learned = self.learn(actual)?;
        Ok((&self.y, learned))
    }

    /// The same for values of f64: see [`Learner::predict_f64`].
    ///
    /// # Errors
    /// Those of [`Learner::tick`].
    pub fn tick_f64(&mut self, x: &[f64], actual: &[f64]) -> Result<(&[f64], Learned)> {
        Error::check_length("x [I]", self.x.len(), x.len())?;
        Error::check_length("actual [D]", self.truth.len(), actual.len())?;
        self.predict_f64(x)?;
        let learned = self.learn_f64(actual)?;
        Ok((&self.y_wide, learned))
    }

    /// The prediction after `x [I]`, O values (H for a network without a head). It is what
    /// [`Stream::step`](crate::model::stream::Stream::step) gives with these weights and this state, and takes as long.
    /// If it is called twice without [`Learner::learn`] in between, the actual values in between count as unknown.
    ///
    /// # Errors
    /// If `x` does not have I values; then nothing has changed.
    pub fn predict(&mut self, x: &[f32]) -> Result<&[f32]> {
        Error::check_length("x [I]", self.x.len(), x.len())?;
        let row = self.begin_tick();
        self.x.copy_from_slice(x);
        if let Some(units) = &self.units {
            units.difference(&mut self.now.past, &mut self.x);
        }
        widen_row(&self.x, self.now.rows.x_mut(row));
        if let Some(units) = &self.units {
            units.x().apply(&mut self.x);
        }
        settle(&mut self.x);
        self.step(row);
        if let Some(units) = &self.units {
            units.leave(&self.now.past, &mut self.y);
        }
        Ok(&self.y)
    }

    /// The same for values of f64: see [`Stream::step_f64`](crate::model::stream::Stream::step_f64).
    ///
    /// # Errors
    /// Those of [`Learner::predict`].
    pub fn predict_f64(&mut self, x: &[f64]) -> Result<&[f64]> {
        Error::check_length("x [I]", self.x.len(), x.len())?;
        let row = self.begin_tick();
        let Snapshot { rows, past, .. } = &mut self.now;
        rows.x_mut(row).copy_from_slice(x);
        if let Some(units) = &self.units {
            units.difference(past, rows.x_mut(row));
        }
        self.scale_x(row);
        self.step(row);
        widen_row(&self.y, &mut self.y_wide);
        if let Some(units) = &self.units {
            units.leave(&self.now.past, &mut self.y_wide);
        }
        Ok(&self.y_wide)
    }

    /// Takes `actual [D]`, the actual values for the prediction before the last one: computes the loss of that
    /// prediction, and does an update if one is due. Call it once after each [`Learner::predict`], when the prediction
    /// was used. It also prepares the next step, as [`Stream::advance`](crate::model::stream::Stream::advance) does.
    ///
    /// # Errors
    /// If `actual` does not have D values, or there was no predict before; then nothing has changed.
    pub fn learn(&mut self, actual: &[f32]) -> Result<Learned> {
        self.learn_from(actual)
    }

    /// The same for values of f64.
    ///
    /// # Errors
    /// Those of [`Learner::learn`].
    pub fn learn_f64(&mut self, actual: &[f64]) -> Result<Learned> {
        self.learn_from(actual)
    }

    fn learn_from<V: Value>(&mut self, actual: &[V]) -> Result<Learned> {
        Error::check_length("actual [D]", self.truth.len(), actual.len())?;
        if !self.now.numbers.asked {
            return Err(Error::invalid("learn: call predict before every learn"));
        }
        let mut learned = Learned::default();
        if let Some(row) = self.now.numbers.waiting {
            let truth = self.now.rows.truth_mut(row);
            truth.iter_mut().zip(actual).for_each(|(truth, &actual)| *truth = known(actual.into()));
            if let Some(units) = &self.units {
                units.transform_rows(&self.now.before, truth);
            }
            self.truth_wide.copy_from_slice(truth);
            if let Some(units) = &self.units {
                units.scale_targets(&mut self.truth_wide);
            }
            narrow_row(&self.truth_wide, &mut self.truth);
            let loss = self.options.loss.mean_of_row(self.now.rows.y(row), &self.truth, &mut self.dy);
            learned.loss = loss.map(|loss| loss as f32);
            if let Some(loss) = learned.loss.filter(|_| !self.now.numbers.paused) {
                self.improve(row, loss, &mut learned);
            }
        }
        let (newest, predicted) = (self.now.numbers.next, self.now.numbers.waiting);
        self.end_tick();
        learned.rolled_back |= core::mem::take(&mut self.now.numbers.untold);
        if !self.now.numbers.paused {
            self.follow(newest, predicted, actual);
        }
        self.stepper.bind(&self.now.params, &mut self.now.state).advance();
        Ok(learned)
    }

    /// Begins a tick, and returns the place of its row.
    fn begin_tick(&mut self) -> usize {
        if self.now.numbers.asked {
            self.end_tick();
        }
        let Snapshot { past, before, .. } = &mut self.now;
        before.copy_from_slice(past.before_next());
        self.now.numbers.asked = true;
        self.now.numbers.next
    }

    /// Stops learning: weights and scalers do not change any more. Losses are still returned, and rows are still kept.
    pub fn pause(&mut self) {
        self.now.numbers.paused = true;
    }

    /// Learns again.
    pub fn resume(&mut self) {
        self.now.numbers.paused = false;
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.now.numbers.paused
    }

    /// A copy of the model with its current weights and scalers. Allocates.
    pub fn model(&self) -> Model {
        let mut model = self.model.clone();
        model.params.copy_from_slice(&self.now.params);
        model.put_units(self.units.clone());
        model
    }

    /// The options.
    pub fn options(&self) -> &LearnerOptions {
        &self.options
    }

    /// The state after the last x. Allocates.
    pub fn state(&self) -> State {
        let mut state = self.now.state.clone();
        state.past = self.now.past.clone();
        state
    }

    /// Continues from `state` and forgets the rows before: the next actual values belong to no prediction.
    ///
    /// # Errors
    /// If it is not the state of one sequence of this model's shape, or not finite.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        state.check(self.model.shape(), self.units.as_ref(), 1)?;
        if !state.is_finite() {
            return Err(Error::invalid("state: a value is not finite"));
        }
        self.now.past.follow(&state.past);
        self.now.state.copy_from(state);
        self.now.good.state.copy_from(state);
        self.beside.state_changed();
        self.begin_here();
        Ok(())
    }

    /// Goes back to a state of zero, like [`Learner::set_state`]. What was learned is kept.
    pub fn reset(&mut self) {
        self.now.past.reset();
        self.now.state.reset();
        self.now.good.state.reset();
        self.beside.state_changed();
        self.begin_here();
    }

    /// The number of ticks that are over.
    pub fn ticks(&self) -> u64 {
        self.now.numbers.ticks
    }

    /// Updates made, including those that were taken back.
    pub fn updates(&self) -> u64 {
        self.now.numbers.updates
    }

    /// How often weights were taken back.
    pub fn rollbacks(&self) -> u64 {
        self.now.numbers.rollbacks
    }

    /// The current learning rate. It is lower than that of the options for a while after weights were taken back.
    pub fn lr(&self) -> f64 {
        self.options.lr * self.now.numbers.guard.ease
    }

    /// A copy of everything that changes while it runs. Allocates.
    pub fn snapshot(&self) -> Snapshot {
        let mut now = self.now.clone();
        now.numbers.past = now.past.oldest();
        now
    }

    /// Continues from a snapshot, to the same bits.
    ///
    /// # Errors
    /// If it is of a learner with another shape or other options.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.now.check(snapshot)?;
        self.now.copy_from(snapshot);
        if let (Some(units), Some((x_moments, y_moments))) = (&mut self.units, &self.now.numbers.scaling) {
            let (x, y) = units.scalers_mut();
            x_moments.apply(x);
            y_moments.apply(y);
        }
        self.stepper.params_changed(&self.now.params);
        self.beside.params_changed(&self.now.good.params);
        Ok(())
    }

    /// Does in advance what would slow down the first ticks: learns from a few rows of zeros, so that every page of
    /// memory and of code is loaded, and undoes it. It allocates, so call it before the loop: see
    /// [`Stream::warm_up`](crate::model::stream::Stream::warm_up).
    pub fn warm_up(&mut self) {
        let before = self.snapshot();
        let (x, actual) = (vec![0.0; self.x.len()], vec![0.0; self.truth.len()]);
        // the window is filled without learning, so that only two updates are done, whatever its length
        self.pause();
        for _ in 0..=self.options.window {
            let _ = self.tick(&x, &actual); // of the right length: no error
        }
        self.resume();
        let every = core::mem::replace(&mut self.options.every, 1);
        for _ in 0..2 {
            let _ = self.tick(&x, &actual);
        }
        self.options.every = every;
        self.keep();
        self.go_back();
        let _ = self.restore(&before); // its own: no error
        self.stepper.bind(&self.now.params, &mut self.now.state).advance();
    }

    /// Does the step for x, in the network's units, of a row.
    #[inline]
    fn step(&mut self, row: usize) {
        let mut steps = self.stepper.bind(&self.now.params, &mut self.now.state);
        self.y.copy_from_slice(steps.step(&self.x));
        self.now.rows.set_y(row, &self.y);
    }

    /// Converts the x of a row to the network's units.
    #[inline]
    fn scale_x(&mut self, row: usize) {
        self.x_wide.copy_from_slice(self.now.rows.x(row));
        if let Some(units) = &self.units {
            units.x().apply(&mut self.x_wide);
        }
        narrow_row(&self.x_wide, &mut self.x);
        settle(&mut self.x);
    }
}

/// An actual value, or NaN if it is not a finite number: then it is unknown.
fn known(actual: f64) -> f64 {
    if actual.narrow().is_finite() { actual } else { f64::NAN }
}
