//! What a learner does after each prediction.

use super::guard::Found;
use super::memory::Snapshot;
use super::{Learned, Learner};
use crate::objective::optimizer::{clipped, norm};
use crate::simd::math::{all_finite, settle};
use crate::tensor::{Value, narrow_row};
use crate::units::transform::TargetTransform;

/// The number of updates after which the weights are compared with the last good weights.
const CHECK: u64 = 256;
/// A gradient with this norm or more counts as not finite, because its square, which the optimiser keeps, would not be
/// finite.
const LARGEST: f64 = 1e18;

/// The result of an update.
enum Updated {
    Yes,
    /// The loss or the gradient of the window is not finite, so the weights are unchanged.
    Not,
    /// The weights are no longer finite.
    Broken,
}

impl Learner {
    /// Ends a tick after its prediction. Its row is kept, unless nothing can be learned from it.
    pub(super) fn end_tick(&mut self) {
        let row = self.now.numbers.next;
        let known = self.now.rows.x(row).iter().all(|x| x.narrow().is_finite());
        let good = known && self.step_beside(row);
        let Snapshot { state, rows, numbers, .. } = &mut self.now;
        numbers.asked = false;
        numbers.ticks += 1;
        if known && state.is_finite() {
            rows.truth_mut(row).fill(f64::NAN);
            numbers.waiting = Some(row);
            numbers.next = (row + 1) % rows.count;
            numbers.rows = (numbers.rows + 1).min(rows.count - 1);
            rows.keep_state(numbers.next, state);
            if !good {
                // the good weights cannot go on from this row, so they are replaced
                self.keep();
                self.now.good.y.copy_from_slice(self.now.rows.y(row));
            }
        } else if good && !numbers.paused {
            self.take_back();
            self.now.numbers.untold = true;
            self.begin_here();
        } else {
            rows.give_state(row, state);
            numbers.waiting = None;
            self.stepper.state_changed();
        }
    }

    /// Does the step of the good weights with the x of a row. Returns whether their state is finite; if not, it is left
    /// unchanged.
    fn step_beside(&mut self, row: usize) -> bool {
        self.scale_x(row);
        let (good, before) = (&mut self.now.good, &mut self.window.state);
        before.copy_from(&good.state);
        good.y.copy_from_slice(self.beside.bind(&good.params, &mut good.state).step(&self.x));
        let finite = good.state.is_finite();
        if !finite {
            good.state.copy_from(before);
            self.beside.state_changed();
        }
        finite
    }

    /// Empties the window and continues from the current state.
    pub(super) fn begin_here(&mut self) {
        let Snapshot { state, rows, numbers, .. } = &mut self.now;
        (numbers.next, numbers.rows, numbers.waiting, numbers.asked) = (0, 0, None, false);
        rows.keep_state(0, state);
        self.stepper.state_changed();
    }

    /// Keeps the current weights and the current state as the good ones.
    pub(super) fn keep(&mut self) {
        self.now.keep();
        self.now.numbers.guard.kept();
        self.beside.params_changed(&self.now.good.params);
    }

    /// Goes back to the good weights and their state.
    fn take_back(&mut self) {
        self.now.take_back();
        self.now.numbers.guard.went_back();
        self.stepper.params_changed(&self.now.params);
    }

    /// [`Learner::take_back`] in the middle of a tick whose prediction was made. Its row becomes the first of a new
    /// window.
    pub(super) fn go_back(&mut self) {
        self.take_back();
        let newest = self.now.numbers.next;
        self.begin_here();
        self.now.numbers.asked = true;
        self.now.rows.copy(newest, 0); // with the prediction that was made
        self.scale_x(0);
        self.stepper.bind(&self.now.params, &mut self.now.state).step(&self.x);
    }

    /// Checks the loss of the prediction of `row`, the last but one, and learns from it if an update is due.
    pub(super) fn improve(&mut self, row: usize, loss: f32, learned: &mut Learned) {
        let numbers = &mut self.now.numbers;
        let good = self.options.loss.mean_of_row(&self.now.good.y, &self.truth, &mut self.dy);
        if numbers.guard.saw(loss.into(), good.map_or(loss, |good| good as f32).into(), self.options.explode) {
            self.go_back();
            learned.rolled_back = true;
            return;
        }
        if !loss.is_finite() {
            self.now.rows.truth_mut(row).fill(f64::NAN);
            return;
        }
        numbers.since += 1;
        if numbers.since < self.options.every {
            return;
        }
        numbers.since = 0;
        self.fill_window(row);
        match self.update() {
            Updated::Yes => learned.updated = true,
            Updated::Not => return,
            Updated::Broken => {
                self.go_back();
                learned.rolled_back = true;
                return;
            }
        }
        let numbers = &mut self.now.numbers;
        if numbers.since_check >= CHECK {
            numbers.since_check = 0;
            match numbers.guard.check(self.options.explode) {
                Found::Good => {
                    self.keep();
                    // the good weights have not taken the newest x yet
                    let Snapshot { rows, good, numbers, .. } = &mut self.now;
                    rows.give_state(numbers.next, &mut good.state);
                }
                Found::Neither => {}
                Found::Bad => {
                    self.go_back();
                    learned.rolled_back = true;
                }
            }
        }
    }

    /// Fills the window with the last rows up to `last`.
    fn fill_window(&mut self, last: usize) {
        let Snapshot { rows, numbers, .. } = &self.now;
        let window = &mut self.window;
        let steps = numbers.rows; // all rows but the newest, which is not counted yet
        window.steps = steps;
        window.first = (last + 1 + rows.count - steps) % rows.count;
        let (input, targets) = (self.x.len(), self.truth.len());
        for step in 0..steps {
            let row = (window.first + step) % rows.count;
            self.x_wide.copy_from_slice(rows.x(row));
            self.truth_wide.copy_from_slice(rows.truth(row));
            if let Some(units) = &self.units {
                units.x().apply(&mut self.x_wide);
                units.scale_targets(&mut self.truth_wide);
            }
            narrow_row(&self.x_wide, &mut window.x[step * input..][..input]);
            narrow_row(&self.truth_wide, &mut window.truth[step * targets..][..targets]);
        }
        settle(&mut window.x[..steps * input]);
    }

    /// Does one update from the window.
    fn update(&mut self) -> Updated {
        let (now, options, window) = (&mut self.now, &self.options, &mut self.window);
        let x = &window.x[..window.steps * self.x.len()];
        now.rows.give_state(window.first, &mut window.state);
        self.network.forward(&now.params, x, &mut window.state, options.loss_on, None);
        let columns = self.truth.len();
        let truth = &window.truth[..window.steps * columns];
        let loss = self.network.score(options.loss, &truth[self.network.head_rows().start * columns..], columns);
        self.grads.fill(0.0);
        self.network.backward(&now.params, &mut self.grads, x, false);
        let norm = norm(&self.grads);
        let scale = clipped(options.clip, norm);
        // written so that NaN is refused too
        if !(loss.is_finite() && norm * scale < LARGEST) {
            return Updated::Not;
        }
        now.numbers.step += 1;
        now.numbers.updates += 1;
        let update = options.optimizer.update(now.numbers.step, options.lr * now.numbers.guard.ease);
        let [m, v, v_max] = &mut now.moments;
        self.network.update(update, scale as f32, &mut now.params, &self.grads, [m, v, v_max]);
        if !all_finite(&now.params) {
            return Updated::Broken;
        }
        self.stepper.params_changed(&now.params);
        now.numbers.since_check += 1;
        Updated::Yes
    }

    /// Adapts the scalers after the tick of row `newest`. `actual` has the actual values for the prediction of row
    /// `predicted`.
    pub(super) fn follow<V: Value>(&mut self, newest: usize, predicted: Option<usize>, actual: &[V]) {
        let Some(keep) = self.options.adapt else { return };
        if let (Some(units), Some((x_moments, y_moments))) = (&mut self.units, &mut self.now.numbers.scaling) {
            let changes = units.transform() != TargetTransform::Value;
            let values = self.x.len() - units.masks().len();
            let (x, y) = units.scalers_mut();
            // a mask is not scaled
            x_moments.follow(self.now.rows.x(newest)[..values].iter().copied(), keep, x);
            match predicted {
                // the change was computed when the actual value came, and is kept with the row
                Some(row) if changes => y_moments.follow(self.now.rows.truth(row).iter().copied(), keep, y),
                None if changes => {}
                _ => y_moments.follow(actual.iter().map(|&actual| actual.into()), keep, y),
            }
        }
    }
}
