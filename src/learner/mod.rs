//! A model that learns while it runs: the answer first, and once it is out, a little back-propagation.

mod guard;
mod learn;
mod memory;
mod moments;
mod options;
mod score;

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
use crate::tensor::Buffer;
use crate::units::Units;
use crate::units::transform::Past;
use alloc::format;
use alloc::vec;
use guard::Guard;
use memory::{Good, Rows};
use moments::Moments;

/// A running prediction whose model learns from every truth that comes in.
///
/// At tick t `x_t [I]` comes in. [`Learner::predict`] answers it with `y_t [O]`, which says what will come at t + 1; and with
/// `x_t` comes `came_t [D]`, what did come at t: the truth for the answer before, `y_{t-1}`. A model that predicts its own
/// inputs has `came_t = x_t`. [`Learner::learn`] takes it once the answer is out. Both are in raw units if the model has any. Of a
/// model that says more than a value for each column ([`Loss::outputs`](crate::objective::loss::Loss::outputs)), came has D values and y has O.
///
/// ```
/// use rnnstep::{CellKind, Cpu, Learner, LearnerOptions, Model, Shape};
///
/// let model = Model::random(Shape::new(CellKind::Gru, 1, 8, 1, 1)?, 0)?;
/// let mut learner = Learner::new(model, LearnerOptions { lr: 0.01, ..Default::default() }, Cpu::widest())?;
/// let (mut first, mut last) = (0.0, 0.0);
/// for t in 0..2000 {
///     let x = [(0.3 * t as f32).sin()];
///     let y = learner.predict(&x)?; // the short way from x to y
///     assert!(y[0].is_finite());
///     let learned = learner.learn(&x)?; // when y is out
///     let loss = learned.loss.unwrap_or(0.0);
///     *(if t < 100 { &mut first } else { &mut last }) = loss;
/// }
/// assert!(last < 0.1 * first);
/// # Ok::<(), rnnstep::Error>(())
/// ```
///
/// **An update.** The last K rows that were answered before now, fewer at the beginning, go through the network once more with
/// the weights of now, from the state that was carried when the first of them came (a ring of states; gradients end there); the
/// gradient of their mean loss, clipped, makes one step of the optimiser, unless it is not finite. The carried state itself is
/// not worked out anew. So the work of a tick has a bound, and after construction nothing allocates, locks or asks the system.
///
/// **What cannot be learnt from.** A tick whose x is not finite (or so large that the state after it is not) is answered, as
/// PyTorch would, and then it is as if it had not been: the state goes back to the one before it, and its row is in no window.
/// A value of came that is not finite counts as unknown, and so does one so far off that the loss is not finite: it has no
/// gradient, while the row stays in the window. If nothing came, hand over NaN. But for that, while paused a learner gives
/// what a [`Stream`](crate::model::stream::Stream) gives, bit for bit.
///
/// **When learning goes wrong.** The last good weights walk along: after each answer they take the same step, with a state of their
/// own, and what they would have lost stands beside what was lost. Every 256 updates the two are compared. If the present weights
/// lost no more, they are the good ones from now on, with their moments and their state. If they lost twice as much, learning goes
/// back to the good ones, and so it does at once when a running mean of the loss is more than [`LearnerOptions::explode`] times
/// that of the good ones, or when weights, the state or a loss are not finite while the good ones' are. The learning rate is a
/// quarter then, and is regained by and by: twice the rate after 4096 updates that did well. Weights that are not finite never
/// answer.
///
/// A series that changes is as new to the good weights as to the present ones, so it sets nothing back. When the good ones lose
/// `explode` times what they used to, again and again, it has changed, and the whole learning rate is there at once.
#[derive(Debug)]
pub struct Learner {
    options: LearnerOptions,
    /// Shape and layout; its weights are those it began with, and it has no units.
    model: Model,
    units: Option<Units>,
    stepper: Stepper,
    /// Steps the good weights.
    beside: Stepper,
    network: Network,
    now: Snapshot,
    grads: Buffer,
    /// `[I]`, in the network's units
    x: Buffer,
    /// `[O]`: the answer, raw.
    y: Buffer,
    /// `[D]`: a truth, in the network's units.
    truth: Buffer,
    /// `[O]`: of no use but to be written to.
    dy: Buffer,
    window: Window,
}

/// The rows that an update works on, in the network's units.
#[derive(Debug)]
struct Window {
    /// `[K,I]`
    x: Buffer,
    /// `[K,O]`
    truth: Buffer,
    /// The state before them, and after forward the one after them.
    state: State,
    /// The first of them in the ring.
    first: usize,
    /// How many there are.
    steps: usize,
}

/// What was learned from one row of actuals.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Learned {
    /// The loss of the previous answer, in the network's units, the mean over the values that came. `None` if there was no such
    /// answer or nothing came. It may be infinite where its square is.
    pub loss: Option<f32>,
    /// Whether the weights were updated.
    pub updated: bool,
    /// Whether weights were found to be bad, and the last good ones taken back.
    pub rolled_back: bool,
}

impl Learner {
    /// A learner that goes on from `model` and a state of zero, with room for everything.
    ///
    /// # Errors
    /// If an option is out of range, the model has weights stored in another format than f32 or that are not finite, has no
    /// scalers to adapt, or the window is larger than makes sense or than the memory that can be had.
    pub fn new(model: Model, options: LearnerOptions, cpu: Cpu) -> Result<Self> {
        let (options, shape) = (options.checked()?, *model.shape());
        if model.step_weights() != Weights::F32 {
            return Err(Error::invalid(format!(
                "learner: learns weights in f32 only, these are stored as {}; take the model they were made from",
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
                "learner: the model has {out} outputs and was trained for {says}, which does not go with the loss {}",
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
                before: zeros(past.before_next().len())?,
                past,
                state: state.clone(),
                good,
                numbers,
            },
            grads: zeros(len)?,
            x: zeros(shape.input)?,
            y: zeros(out)?,
            truth: zeros(targets)?,
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

    /// [`Learner::predict`], then [`Learner::learn`]: the answer comes when both are done. To have it sooner, call them yourself.
    ///
    /// # Errors
    /// If `x` has not I values or `actual` not D; nothing has happened then.
    pub fn tick(&mut self, x: &[f32], actual: &[f32]) -> Result<(&[f32], Learned)> {
        Error::check_length("x [I]", self.x.len(), x.len())?;
        Error::check_length("came [D]", self.truth.len(), actual.len())?;
        self.predict(x)?;
        let learned = self.learn(actual)?;
        Ok((&self.y, learned))
    }

    /// The answer to `x [I]`, O values (H for a network without a head): what [`Stream::step`](crate::model::stream::Stream::step) gives
    /// with these weights and this state, and as soon. Called twice without [`Learner::learn`] in between, the truth that would
    /// have come counts as unknown.
    ///
    /// # Errors
    /// If there are not I values; nothing has happened then.
    pub fn predict(&mut self, x: &[f32]) -> Result<&[f32]> {
        Error::check_length("x [I]", self.x.len(), x.len())?;
        if self.now.numbers.asked {
            self.end_tick();
        }
        let row = self.now.numbers.next;
        let Snapshot { rows, past, before, .. } = &mut self.now;
        rows.set_x(row, x);
        if let Some(units) = &self.units {
            before.copy_from_slice(past.before_next());
            units.difference(past, rows.x_mut(row));
        }
        self.step(row);
        if let Some(units) = &self.units {
            units.integrate(&self.now.past, &mut self.y);
        }
        self.now.numbers.asked = true;
        Ok(&self.y)
    }

    /// Takes `actual [D]`, the truth for the answer before the last: its loss, and perhaps an update; to be called once after each
    /// [`Learner::predict`], when the answer is out. Makes ready for the next x, as [`Stream::advance`](crate::model::stream::Stream::advance) does.
    ///
    /// # Errors
    /// If there are not D values, or no predict went before; nothing has happened then.
    pub fn learn(&mut self, actual: &[f32]) -> Result<Learned> {
        Error::check_length("came [D]", self.truth.len(), actual.len())?;
        if !self.now.numbers.asked {
            return Err(Error::invalid("learn: each needs a predict before it"));
        }
        let mut learned = Learned::default();
        if let Some(row) = self.now.numbers.waiting {
            let truth = self.now.rows.truth_mut(row);
            truth.copy_from_slice(actual);
            if let Some(units) = &self.units {
                units.transform_rows(&self.now.before, truth);
            }
            self.truth.copy_from_slice(truth);
            if let Some(units) = &self.units {
                units.scale_targets(&mut self.truth);
            }
            learned.loss = score::of_row(self.options.loss, self.now.rows.y(row), &self.truth, &mut self.dy);
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

    /// Learns nothing from now on: weights and scalers stay as they are. Losses are still told, and rows still kept.
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

    /// Goes on from `state`, as if the rows before had not been: the truth that comes next belongs to no answer.
    ///
    /// # Errors
    /// If it is not the state of one sequence of this model's shape, or not finite.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        state.check(self.model.shape(), self.units.as_ref(), 1)?;
        if !state.is_finite() {
            return Err(Error::invalid("state: not finite"));
        }
        self.now.past.follow(&state.past);
        self.now.state.copy_from(state);
        self.now.good.state.copy_from(state);
        self.beside.state_changed();
        self.begin_here();
        Ok(())
    }

    /// Back to a state of zero, as [`Learner::set_state`]; what was learnt stays.
    pub fn reset(&mut self) {
        self.now.past.reset();
        self.now.state.reset();
        self.now.good.state.reset();
        self.beside.state_changed();
        self.begin_here();
    }

    /// Ticks that are over.
    pub fn ticks(&self) -> u64 {
        self.now.numbers.ticks
    }

    /// Updates made, those that were taken back among them.
    pub fn updates(&self) -> u64 {
        self.now.numbers.updates
    }

    /// How often weights were taken back.
    pub fn rollbacks(&self) -> u64 {
        self.now.numbers.rollbacks
    }

    /// The learning rate at present: less than that of the options for a while after weights were taken back.
    pub fn lr(&self) -> f64 {
        self.options.lr * self.now.numbers.guard.ease
    }

    /// All that there is to remember. Allocates.
    pub fn snapshot(&self) -> Snapshot {
        let mut now = self.now.clone();
        now.numbers.past = now.past.oldest();
        now
    }

    /// Goes on from a snapshot, to the same bits.
    ///
    /// # Errors
    /// If it is that of a learner of another shape or with other options.
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

    /// Does now what the first ticks would have to wait for: learns from a few rows of zeros, so that every page of memory and of
    /// code is there, and forgets it. Allocates, so it belongs before the loop: see [`Stream::warm_up`](crate::model::stream::Stream::warm_up).
    pub fn warm_up(&mut self) {
        let before = self.snapshot();
        let (x, actual) = (vec![0.0; self.x.len()], vec![0.0; self.truth.len()]);
        // a window is filled without learning, so that the work is that of one update, whatever its length
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

    /// Answers the x of a row.
    #[inline]
    fn step(&mut self, row: usize) {
        self.scale_x(row);
        let mut steps = self.stepper.bind(&self.now.params, &mut self.now.state);
        self.y.copy_from_slice(steps.step(&self.x));
        self.now.rows.set_y(row, &self.y);
        if let Some(units) = &self.units {
            units.y().undo(&mut self.y);
        }
    }

    /// The x of a row in the network's units.
    #[inline]
    fn scale_x(&mut self, row: usize) {
        self.x.copy_from_slice(self.now.rows.x(row));
        if let Some(units) = &self.units {
            units.x().apply(&mut self.x);
        }
        settle(&mut self.x);
    }
}
