//! Searches for a recipe by successive halving (Jamieson and Talwalkar 2016), over cell, sizes, window, learning rate
//! and target transform. Many candidates are trained for a few epochs, the better third for three times as many, and so
//! on.
//!
//! The last rows of a table are the test part, which is not used before the search is over. Of the rows before it, a
//! candidate is trained on the first ones and scored on the last ones. The score is the error one step ahead over that
//! of the best naive forecast on the same rows. Budgets are counted in epochs, so the result depends only on the seed
//! and the number of candidates, not on the clock or the number of threads.

mod journal;
mod space;

pub use journal::Journal;
pub use space::Space;

use crate::cpu::Threads;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::evaluate::backtest::{Evaluation, Protocol, evaluate, evaluate_plan};
use crate::io::hash::fnv1a;
use crate::model::Model;
use crate::series::one_step::{self, HeldOut};
use crate::simd::isa::Cpu;
use crate::train::{Fit, Length, Plan, Table};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The number of candidates in a bracket, which are compared from the start. Further candidates are tried in further
/// brackets.
pub const BRACKET: usize = 27;
/// One of this many candidates goes on, and is trained for this many times the epochs.
const ETA: usize = 3;

/// The result of a training within a search: a line of a [`Journal`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Number of the candidate, from 0.
    pub candidate: usize,
    /// The number of epochs it was trained for.
    pub epochs: u64,
    /// The error one step ahead over that of the best naive forecast, the mean over the targets; `None` if the training
    /// failed.
    pub score: Option<f64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// A short description of the candidate. An attempt from a journal counts only if its candidate has this
    /// description.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
}

impl Attempt {
    /// For comparisons: a failed attempt is worse than every other.
    fn rank(&self) -> f64 {
        self.score.unwrap_or(f64::INFINITY)
    }
}

/// One rung of a bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rung {
    /// The number of candidates on it.
    pub candidates: usize,
    /// The number of epochs that each is trained for.
    pub epochs: u64,
}

/// The rungs of a bracket with this number of candidates. A third goes on to the next rung, until three or fewer are
/// left, which are trained for all `epochs`.
pub fn rungs(candidates: usize, epochs: u64) -> Vec<Rung> {
    let mut counts = vec![candidates];
    while let Some(&last) = counts.last().filter(|&&last| last > ETA) {
        counts.push(last / ETA);
    }
    let most = counts.len() as u32 - 1;
    let share = |rung: u32| (epochs / (ETA as u64).pow(most - rung)).max(1);
    counts.into_iter().zip(0..).map(|(candidates, rung)| Rung { candidates, epochs: share(rung) }).collect()
}

/// The result of a search.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// The best candidate: of those that were trained longest, the one with the smallest error.
    pub winner: Option<(Plan, Attempt)>,
    /// The number of candidates that were scored.
    pub candidates: usize,
    /// The number of trainings that were scored. A training that is continued for more epochs counts again.
    pub trainings: usize,
    /// How many of them are new, not from a journal.
    pub fresh: usize,
    /// Whether all candidates that were asked for are done.
    pub complete: bool,
}

/// How a search uses the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// The rows that are scored inside the search. Those before them are trained on.
    pub scored: Range<usize>,
    /// The rows that the search does not use.
    pub test: Range<usize>,
}

/// A search over one table. It holds only the rows before the test part.
#[derive(Debug)]
pub struct Search {
    training: Table,
    /// The number of rows of the whole table.
    all: usize,
    /// The first row that is scored.
    first: usize,
    base: Plan,
    /// Numbers of rows in the seasons, if they are known.
    seasons: Vec<usize>,
    space: Space,
    epochs: u64,
    device: Device,
    /// For each target, the error of the best naive forecast over the scored rows.
    naive: Vec<f64>,
}

impl Search {
    /// A search over `table`. The last `test_fraction` of its rows is not used; the same fraction of the rest is
    /// scored. `base` has all options that are not searched, including the length in epochs. `seasons` are those of the
    /// series, if they are known: for candidates with seasonal differencing and for seasonal naive forecasts.
    ///
    /// # Errors
    /// If the fraction leaves nothing to train or score on, a value is not finite, the length is not in epochs, or a
    /// naive forecast is never wrong.
    pub fn new(table: &Table, base: Plan, seasons: &[usize], test_fraction: f64, cpu: Cpu) -> Result<Self> {
        let fraction = |_| Error::invalid(format!("test-fraction {test_fraction:?}: must be above 0 and below 1"));
        let (first, end) = space::parts(table.rows(), test_fraction).map_err(fraction)?;
        if end == table.rows() || first == end || first < 3 {
            return Err(Error::invalid(format!(
                "test-fraction {test_fraction:?}: {first} of {} rows to train on, {} to score and {} to test are too few; \
                 give more data, or another fraction",
                table.rows(),
                end - first,
                table.rows() - end
            )));
        }
        let Length::Epochs(epochs) = base.length else {
            return Err(Error::invalid("a search counts in epochs, not in steps"));
        };
        let training = table.part(0..end)?;
        let (inputs, targets) = (training.inputs().rows().1, training.targets().rows().1);
        let shape = base.shape.with_input(inputs)?.with_output(Some(targets))?;
        let base = Plan { shape, ..base };
        let space = Space::for_table(&training, first, seasons);
        let mut search = Self {
            training,
            all: table.rows(),
            first,
            base,
            seasons: seasons.to_vec(),
            space,
            epochs,
            device: cpu.into(),
            naive: Vec::new(),
        };
        search.naive = search.naive_errors()?;
        Ok(search)
    }

    /// The choices of each dimension, which may be changed.
    pub fn space(&mut self) -> &mut Space {
        &mut self.space
    }

    /// The rows that are scored, and the rows that are not used.
    pub fn rows(&self) -> Rows {
        Rows { scored: self.first..self.training.rows(), test: self.training.rows()..self.all }
    }

    /// The number of trainings for `tries` candidates.
    pub fn trainings(&self, tries: usize) -> usize {
        let of = |size| rungs(size, self.epochs).iter().map(|rung| rung.candidates).sum::<usize>();
        let rest = tries % BRACKET;
        (tries / BRACKET).saturating_mul(of(BRACKET)).saturating_add(if rest > 0 { of(rest) } else { 0 })
    }

    /// A hash of everything that decides the result: rows, base and space. It is not cryptographic.
    pub fn fingerprint(&self) -> u64 {
        let values = || [self.training.inputs().data(), self.training.actuals().data()].into_iter().flatten();
        // the first release hashed tables of f32: where f32 holds no more than whole numbers, the rest counts as well
        let narrow = values().flat_map(|value| (*value as f32).to_le_bytes());
        let beyond = values().filter(|value| value.abs() >= f64::from(1 << 24)).flat_map(|value| value.to_le_bytes());
        // the text of the first journals, in which a transform was called a form: another name of a field would refuse them
        let text = format!("{} {:?} {:?}", self.first, self.base, self.space);
        let text = text.replace("bounds: [], ", ""); // the first release had none
        let rest = text.replace("transform: ", "form: ").replace("transforms: ", "forms: ").into_bytes();
        fnv1a(narrow.chain(beyond).chain(rest))
    }

    /// The first `count` candidates, or all if there are fewer; number 0 is the base.
    pub fn candidates(&self, count: usize) -> Vec<Plan> {
        self.space.candidates(&self.base, self.base.recipe.seed, count)
    }

    /// Searches among the first `tries` candidates, or until `stop` returns true. Each thread does one training at a
    /// time. Trainings that are `known` from before are not done again; `seen` is called with each new one. A training
    /// that is stopped half-way does not count.
    ///
    /// # Errors
    /// If every candidate failed (with the reason of the first), or if `seen` fails.
    pub fn run(
        &self,
        tries: Option<usize>,
        threads: &Threads,
        known: &[Attempt],
        stop: &(dyn Fn() -> bool + Sync),
        seen: &(dyn Fn(&Attempt) -> Result<()> + Sync),
    ) -> Result<Found> {
        let known = known.iter().map(|attempt| ((attempt.candidate, attempt.epochs), attempt.clone()));
        let mut done: BTreeMap<(usize, u64), Attempt> = known.collect();
        let mut used = BTreeMap::new();
        let mut fresh = 0;
        let mut complete = true;
        for bracket in 0.. {
            let (from, to) =
                (bracket * BRACKET, tries.map_or((bracket + 1) * BRACKET, |n| n.min((bracket + 1) * BRACKET)));
            let plans = self.candidates(to);
            if from >= plans.len() {
                break;
            }
            // a line that was changed or damaged may describe another candidate, or none
            done.retain(|&(number, _), attempt| plans.get(number).is_none_or(|plan| attempt.about == about(plan)));
            let before = done.len();
            complete = self.bracket(&plans, from, threads, &mut done, &mut used, stop, seen)?;
            fresh += done.len() - before;
            if !complete {
                break;
            }
        }
        let best = used.values().filter(|attempt: &&Attempt| attempt.score.is_some()).min_by(|a, b| {
            b.epochs.cmp(&a.epochs).then(a.rank().total_cmp(&b.rank())).then(a.candidate.cmp(&b.candidate))
        });
        if let (None, true, Some(why)) = (best, complete, used.values().find_map(|attempt| attempt.why.as_ref())) {
            return Err(Error::invalid(format!("every candidate failed; the reason of the first one: {why}")));
        }
        let winner = best.and_then(|best| Some((self.candidates(best.candidate + 1).pop()?, best.clone())));
        let mut candidates: Vec<usize> = used.keys().map(|&(candidate, _)| candidate).collect();
        candidates.dedup();
        Ok(Found { winner, candidates: candidates.len(), trainings: used.len(), fresh, complete })
    }

    /// Runs one bracket: the candidates of `plans` from number `from` on. Returns false if it was stopped.
    #[expect(clippy::too_many_arguments, reason = "it is the loop of run, moved out so that both are short")]
    fn bracket(
        &self,
        plans: &[Plan],
        from: usize,
        threads: &Threads,
        done: &mut BTreeMap<(usize, u64), Attempt>,
        used: &mut BTreeMap<(usize, u64), Attempt>,
        stop: &(dyn Fn() -> bool + Sync),
        seen: &(dyn Fn(&Attempt) -> Result<()> + Sync),
    ) -> Result<bool> {
        let mut standing: Vec<usize> = (from..plans.len()).collect();
        let mut fits = HashMap::new();
        let rungs = rungs(standing.len(), self.epochs);
        for (rung, next) in rungs.iter().zip(rungs.iter().skip(1).map(|next| next.candidates).chain([0])) {
            let open: Vec<usize> =
                standing.iter().copied().filter(|&number| !done.contains_key(&(number, rung.epochs))).collect();
            let desk =
                Desk { fits: Mutex::new(fits), fresh: Mutex::new(Vec::new()), failed: Mutex::new(None), keep: next };
            threads.map(
                open.len(),
                || stop() || locked(&desk.failed).is_some(),
                |i| {
                    let number = open[i];
                    let fit = locked(&desk.fits).remove(&number).map(|kept: Kept| kept.fit);
                    let Some((attempt, fit)) = self.attempt(&plans[number], number, fit, rung.epochs, stop) else {
                        return;
                    };
                    if let Err(error) = seen(&attempt) {
                        locked(&desk.failed).get_or_insert(error);
                    }
                    desk.put(attempt, fit);
                },
            );
            if let Some(error) = locked(&desk.failed).take() {
                return Err(error);
            }
            fits = std::mem::take(&mut *locked(&desk.fits));
            let fresh = std::mem::take(&mut *locked(&desk.fresh));
            done.extend(fresh.into_iter().map(|attempt| ((attempt.candidate, attempt.epochs), attempt)));
            let mut ranked: Vec<(f64, usize)> = Vec::new();
            for &number in &standing {
                if let Some(attempt) = done.get(&(number, rung.epochs)) {
                    used.insert((number, rung.epochs), attempt.clone());
                    ranked.push((attempt.rank(), number));
                }
            }
            if ranked.len() < standing.len() {
                return Ok(false);
            }
            ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            standing = ranked.into_iter().take(next).map(|(_, number)| number).collect();
            fits.retain(|number, _| standing.contains(number));
        }
        Ok(true)
    }

    /// Trains a candidate up to this number of epochs and scores it. `None` if it was stopped.
    fn attempt(
        &self,
        plan: &Plan,
        number: usize,
        fit: Option<Fit>,
        epochs: u64,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<(Attempt, Option<Fit>)> {
        let attempt = |score, why| Attempt { candidate: number, epochs, score, why, about: about(plan) };
        let trained = || -> Result<Option<(f64, Fit)>> {
            let mut fit = match fit {
                Some(fit) => fit,
                None => plan.start(&[self.training.part(0..self.first)?], self.device.clone(), Threads::default())?,
            };
            if !fit.train_until(Length::Epochs(epochs).steps(fit.trainer.windows()), stop)? {
                return Ok(None);
            }
            let score = self.score(&fit.outcome()?.model, plan.seq_len)?;
            Ok(Some((score, fit)))
        };
        match trained() {
            Ok(None) => None,
            Ok(Some((score, fit))) if score.is_finite() => Some((attempt(Some(score), None), Some(fit))),
            Ok(Some(_)) => Some((attempt(None, Some("its forecasts are not finite".into())), None)),
            // for example a learning rate that is too high, or windows longer than the rows: then the candidate loses
            Err(error) => Some((attempt(None, Some(error.to_string())), None)),
        }
    }

    /// The error of `model` one step ahead on the scored rows over that of the best naive forecast, the mean over the
    /// targets. The state is warmed up on the rows before.
    fn score(&self, model: &Model, seq_len: usize) -> Result<f64> {
        let (table, rows) = (&self.training, self.first..self.training.rows());
        let warm_up = one_step::warm_up(seq_len);
        let found = HeldOut::of(model, &self.device, table.inputs(), table.actuals(), rows, warm_up)?;
        let parts = found.scores.iter().zip(&self.naive).map(|(score, naive)| score.rmse / naive);
        Ok(parts.sum::<f64>() / self.naive.len() as f64)
    }

    /// For each target, the error of the best naive forecast over the scored rows.
    fn naive_errors(&self) -> Result<Vec<f64>> {
        // a backtest needs a model; its scores are not used here, so a small random one is enough
        let model = Model::random(self.base.shape.with_hidden(1)?.with_layers(1)?, 0)?;
        let protocol = self.protocol(&self.base, self.first);
        let evaluation = evaluate(&self.training, &protocol, &self.device, |_, _, _| Ok(model.clone()))?;
        let error = |column: &crate::evaluate::backtest::Column| {
            let naive = column.forecasters.iter().filter(|forecasts| forecasts.forecaster.is_naive());
            naive.map(|forecasts| forecasts.scores[0].rmse()).fold(f64::INFINITY, f64::min)
        };
        let errors: Vec<f64> = evaluation.columns.iter().map(error).collect();
        match errors.iter().all(|error| *error > 0.0 && error.is_finite()) {
            true => Ok(errors),
            false => {
                Err(Error::invalid("a naive forecast is never wrong on the rows to score: there is nothing to search"))
            }
        }
    }

    /// The protocol of a backtest one step ahead from row `first` on, by a model that is trained once.
    fn protocol(&self, plan: &Plan, first: usize) -> Protocol {
        Protocol::new(first, 1)
            .with_seasons(self.seasons.clone())
            .with_lags(plan.seq_len)
            .with_warm_up(one_step::warm_up(plan.seq_len))
            .with_seed(plan.recipe.seed)
    }

    /// Uses the test part of `table`, once: trains `plan` on all rows before it and compares it with the naive
    /// forecasts. Also returns whether it learned anything (see [`crate::train::Outcome`]).
    ///
    /// # Errors
    /// If the training fails.
    pub fn test(&self, table: &Table, plan: &Plan) -> Result<(Evaluation, bool)> {
        let protocol = self.protocol(plan, self.training.rows());
        let (evaluation, silent) = evaluate_plan(table, &protocol, &self.device, plan, 1, |_, _| {})?;
        Ok((evaluation, silent == 0))
    }
}

/// A training that may be continued, and its rank.
struct Kept {
    fit: Fit,
    rank: f64,
}

/// The data that the threads of a rung share.
struct Desk {
    fits: Mutex<HashMap<usize, Kept>>,
    fresh: Mutex<Vec<Attempt>>,
    failed: Mutex<Option<Error>>,
    /// How many candidates go on to the next rung.
    keep: usize,
}

impl Desk {
    /// Adds the result of a training. Only as many trainings stay in memory as can still go on.
    fn put(&self, attempt: Attempt, fit: Option<Fit>) {
        let mut fits = locked(&self.fits);
        if let Some(fit) = fit {
            fits.insert(attempt.candidate, Kept { fit, rank: attempt.rank() });
        }
        let mut fresh = locked(&self.fresh);
        let here = |number: &usize| fresh.iter().any(|one| one.candidate == *number) || *number == attempt.candidate;
        let mut scored: Vec<(f64, usize)> =
            fits.iter().filter(|(number, _)| here(number)).map(|(&number, kept)| (kept.rank, number)).collect();
        scored.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (_, number) in scored.into_iter().skip(self.keep) {
            fits.remove(&number);
        }
        fresh.push(attempt);
    }
}

/// Locks a mutex, also after a thread panicked while it held it: no value is left half-changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A short description of a candidate.
fn about(plan: &Plan) -> String {
    let Plan { shape, seq_len, transform, recipe, .. } = plan;
    format!(
        "cell {} hidden {} layers {} seq-len {seq_len} lr {} target-as {}",
        shape.cell.name(),
        shape.hidden,
        shape.layers,
        recipe.lr,
        transform.name()
    )
}
