//! Exponential smoothing: state space models with an additive error, without or with a trend, a damped trend and a
//! season, of which the one with the smallest AICc is taken (Hyndman and Khandakar 2008, "Automatic time series
//! forecasting: the forecast package for R", Journal of Statistical Software 27(3)).
//!
//! With level l, slope b, seasonal part s of m rows, error e and y the value, the model is
//!
//! ```text
//! y[t] = l[t-1] + φ b[t-1] + s[t-m] + e[t]
//! l[t] = l[t-1] + φ b[t-1] + α e[t]
//! b[t] = φ b[t-1] + β e[t]
//! s[t] = s[t-m] + γ e[t]
//! ```
//!
//! Multiplicative errors, trends and seasons are left out: another constant in the series would be another model.

use super::minimum::minimum;
use nalgebra::{DMatrix, DVector};
use std::fmt;

/// The ends of the ranges of α, β / α and γ / (1 - α), and the range of φ: those of Hyndman and Khandakar.
const SMALLEST: f64 = 1e-4;
const DAMPING: (f64, f64) = (0.8, 0.98);
/// The fewest rows more than estimated numbers.
const SPARE: usize = 4;
/// The most work, as rows × states², for which the first state is solved anew for all weights that are tried. Beyond,
/// weights and first state are improved in turn, this many times at most and until the gain is a smaller part.
const CHEAP: usize = 2_000_000;
const TURNS: usize = 5;
const GAIN: f64 = 1e-4;
/// The number of rows whose products are added together.
const BLOCK: usize = 128;
/// A mean squared error that counts as none. Values are in units of their spread, and rounding must choose no model.
const NOTHING: f64 = 1e-20;

/// The trend of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trend {
    None,
    Additive,
    Damped,
}

/// The form of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    trend: Trend,
    /// The number of rows in the season; 0 if there is none.
    season: usize,
}

/// The weights α, β and γ of an error, and the damping φ of the slope.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Weights {
    alpha: f64,
    beta: f64,
    gamma: f64,
    phi: f64,
}

/// What a model knows after a row.
#[derive(Debug, Clone, PartialEq)]
struct State {
    level: f64,
    slope: f64,
    /// The parts of the season, `[m]`, and the place of the next row among them.
    seasonal: Vec<f64>,
    place: usize,
}

/// A fitted model with its state after the last row that it knows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Smoothing {
    form: Form,
    weights: Weights,
    state: State,
}

/// The form as the literature writes it: `ETS(A,Ad,A)`, and with a season its rows.
impl fmt::Display for Smoothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trend = match self.form.trend {
            Trend::None => "N",
            Trend::Additive => "A",
            Trend::Damped => "Ad",
        };
        match self.form.season {
            0 => write!(f, "ETS(A,{trend},N)"),
            rows => write!(f, "ETS(A,{trend},A), season {rows}"),
        }
    }
}

impl Form {
    /// The number of numbers in the first state.
    fn states(self) -> usize {
        1 + usize::from(self.trend != Trend::None) + self.season
    }

    /// The number of weights.
    fn weights(self) -> usize {
        let of_trend = match self.trend {
            Trend::None => 0,
            Trend::Additive => 1,
            Trend::Damped => 2,
        };
        1 + of_trend + usize::from(self.season > 0)
    }

    /// The number of estimated numbers: weights, first state, and the variance. The sum of the seasonal parts is no
    /// number of its own, because the level can take it over.
    fn estimated(self) -> usize {
        self.weights() + self.states() + usize::from(self.season == 0)
    }

    /// The weights at a place of the search, where each direction is free from -∞ to ∞.
    fn weights_at(self, place: &[f64]) -> Weights {
        let mut parts = place.iter().map(|z| SMALLEST + (1.0 - 2.0 * SMALLEST) / (1.0 + (-z).exp()));
        let mut next = || parts.next().unwrap_or(0.0);
        let alpha = next();
        let beta = if self.trend == Trend::None { 0.0 } else { alpha * next() };
        let gamma = if self.season == 0 { 0.0 } else { (1.0 - alpha) * next() };
        let phi = if self.trend == Trend::Damped { DAMPING.0 + (DAMPING.1 - DAMPING.0) * next() } else { 1.0 };
        Weights { alpha, beta, gamma, phi }
    }

    /// Places where the search may begin: all combinations of a few values in each direction.
    fn beginnings(self) -> Vec<Vec<f64>> {
        let few: [&[f64]; 2] = [&[-3.0, -0.8, 1.5], &[-4.0, -0.8]];
        (0..self.weights()).fold(vec![vec![]], |places, direction| {
            let values = few[direction.min(1)];
            let longer = |place: Vec<f64>| values.iter().map(move |&value| [&place[..], &[value]].concat());
            places.into_iter().flat_map(longer).collect()
        })
    }
}

impl State {
    /// A state to begin with: the mean of the first rows, and neither a slope nor a season.
    fn first(form: Form, values: &[f64]) -> Self {
        let known = values.iter().take(form.season.max(10)).filter(|value| !value.is_nan());
        let level = known.clone().sum::<f64>() / known.count().max(1) as f64;
        Self { level, slope: 0.0, seasonal: vec![0.0; form.season], place: 0 }
    }

    /// The seasonal part of the row that is `ahead` rows after the next one.
    fn season(&self, ahead: usize) -> f64 {
        match self.seasonal.len() {
            0 => 0.0,
            rows => self.seasonal[(self.place + ahead) % rows],
        }
    }

    /// Takes in the next value and returns its error. A missing value, NaN, has none: the state is then where it was
    /// expected to be.
    fn observe(&mut self, weights: &Weights, value: f64) -> f64 {
        let expected = self.level + weights.phi * self.slope;
        let error = value - expected - self.season(0);
        let error = if error.is_nan() { 0.0 } else { error };
        self.level = expected + weights.alpha * error;
        self.slope = weights.phi * self.slope + weights.beta * error;
        if let Some(part) = self.seasonal.get_mut(self.place) {
            *part += weights.gamma * error;
            self.place = (self.place + 1) % self.seasonal.len();
        }
        error
    }

    /// The sum of the squared errors over `values` from this state on, and the state after them.
    fn over(mut self, weights: &Weights, values: &[f64]) -> (f64, Self) {
        let squares = values.iter().map(|&value| self.observe(weights, value).powi(2)).sum();
        (squares, self)
    }
}

impl Smoothing {
    /// The model with the smallest AICc for `values [T]`, in units of their spread around their mean. NaN is a missing
    /// value. Each of `seasons` may be the season of the model, or none. `None` if there are too few values.
    pub(super) fn fit(values: &[f64], seasons: &[usize]) -> Option<Self> {
        let rows = values.iter().filter(|value| !value.is_nan()).count();
        let seasons = std::iter::once(0).chain(seasons.iter().copied());
        let forms = seasons.flat_map(|season| {
            [Trend::None, Trend::Additive, Trend::Damped].into_iter().map(move |trend| Form { trend, season })
        });
        let fitted = forms.filter(|form| rows >= form.estimated() + SPARE).map(|form| {
            let (squares, fitted) = Self::of_form(form, values);
            (corrected_aic(squares, rows, form.estimated()), fitted)
        });
        let finite = fitted.filter(|(aic, _)| aic.is_finite());
        finite.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, fitted)| fitted)
    }

    /// The model of this form with the smallest sum of squared errors, which is also returned. For given weights the
    /// errors are linear in the first state, so that it is solved for and not searched.
    fn of_form(form: Form, values: &[f64]) -> (f64, Self) {
        let mut first = State::first(form, values);
        let cheap = values.len() * form.states() * form.states() <= CHEAP;
        let squares = |place: &[f64], first: &State| {
            let weights = form.weights_at(place);
            let first = if cheap { settled(form, &weights, values, first) } else { first.clone() };
            first.over(&weights, values).0
        };
        let beginnings = form.beginnings();
        if !cheap && let Some(place) = beginnings.first() {
            first = settled(form, &form.weights_at(place), values, &first);
        }
        let mut all = beginnings.into_iter().map(|place| (squares(&place, &first), place)).collect::<Vec<_>>();
        all.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let (mut least, mut place) = all.into_iter().next().unwrap_or((f64::NAN, vec![0.0; form.weights()]));
        for _ in 0..TURNS {
            place = minimum(&place, |place| squares(place, &first));
            first = settled(form, &form.weights_at(&place), values, &first);
            let (found, _) = first.clone().over(&form.weights_at(&place), values);
            let done = cheap || found.is_nan() || found >= least * (1.0 - GAIN);
            least = found;
            if done {
                break;
            }
        }
        let weights = form.weights_at(&place);
        let (squares, state) = first.over(&weights, values);
        (squares, Self { form, weights, state })
    }

    /// Takes in the next value; NaN if it is missing. The weights stay as they were fitted.
    pub(super) fn observe(&mut self, value: f64) {
        self.state.observe(&self.weights, value);
    }

    /// Writes the forecasts of the next N values.
    pub(super) fn forecast(&self, out: &mut [f64]) {
        let (mut growth, mut damped) = (0.0, 1.0);
        for (ahead, out) in out.iter_mut().enumerate() {
            damped *= self.weights.phi;
            growth += damped * self.state.slope;
            *out = self.state.level + growth + self.state.season(ahead);
        }
    }
}

/// Akaike's criterion with the correction for few rows.
fn corrected_aic(squares: f64, rows: usize, estimated: usize) -> f64 {
    let (rows, estimated) = (rows as f64, estimated as f64);
    let mean = squares / rows;
    let correction = 2.0 * estimated * (estimated + 1.0) / (rows - estimated - 1.0);
    rows * if mean.is_nan() { mean } else { mean.max(NOTHING) }.ln() + 2.0 * estimated + correction
}

/// The first state from which the sum of squared errors is smallest, by least squares: `first` with a correction. Of the
/// corrections that do the same it is the shortest.
fn settled(form: Form, weights: &Weights, values: &[f64], first: &State) -> State {
    let states = form.states();
    let mut sums = Sums::new(states);
    // how level, slope and seasonal parts depend on the first state: one row of `states` numbers for each
    let unit = |row: usize| (0..states).map(|column| f64::from(u8::from(row == column))).collect::<Vec<f64>>();
    let with_slope = usize::from(form.trend != Trend::None);
    let (mut level, mut slope) = (unit(0), if with_slope == 1 { unit(1) } else { vec![0.0; states] });
    let mut seasonal: Vec<Vec<f64>> = (0..form.season).map(|part| unit(1 + with_slope + part)).collect();
    let mut state = first.clone();
    for &value in values {
        let place = state.place;
        let error = state.observe(weights, value);
        level.iter_mut().zip(&slope).for_each(|(level, slope)| *level += weights.phi * slope);
        slope.iter_mut().for_each(|slope| *slope *= weights.phi);
        if value.is_nan() {
            continue;
        }
        let row = sums.row(error);
        row.copy_from_slice(&level);
        if let Some(part) = seasonal.get_mut(place) {
            row.iter_mut().zip(part.iter()).for_each(|(row, part)| *row += part);
            part.iter_mut().zip(row.iter()).for_each(|(part, row)| *part -= weights.gamma * row);
        }
        level.iter_mut().zip(row.iter()).for_each(|(level, row)| *level -= weights.alpha * row);
        slope.iter_mut().zip(row.iter()).for_each(|(slope, row)| *slope -= weights.beta * row);
    }
    let Some(correction) = sums.solved() else { return first.clone() };
    let mut settled = first.clone();
    settled.level += correction[0];
    settled.slope += if with_slope == 1 { correction[1] } else { 0.0 };
    settled.seasonal.iter_mut().zip(correction.iter().skip(1 + with_slope)).for_each(|(part, more)| *part += more);
    settled
}

/// Sums of products for a least squares fit, added in blocks of rows.
struct Sums {
    gram: DMatrix<f64>,
    moments: DVector<f64>,
    /// The rows that are not yet added, `[BLOCK][states]`, and their errors.
    rows: Vec<f64>,
    errors: Vec<f64>,
}

impl Sums {
    fn new(states: usize) -> Self {
        let (gram, moments) = (DMatrix::zeros(states, states), DVector::zeros(states));
        Self { gram, moments, rows: Vec::with_capacity(BLOCK * states), errors: Vec::with_capacity(BLOCK) }
    }

    /// A row of zeros to be filled, whose error is known.
    fn row(&mut self, error: f64) -> &mut [f64] {
        if self.errors.len() == BLOCK {
            self.add();
        }
        self.errors.push(error);
        let start = self.rows.len();
        self.rows.resize(start + self.moments.len(), 0.0);
        &mut self.rows[start..]
    }

    fn add(&mut self) {
        let block = DMatrix::from_column_slice(self.moments.len(), self.errors.len(), &self.rows);
        self.gram.gemm(1.0, &block, &block.transpose(), 1.0);
        self.moments.gemv(1.0, &block, &DVector::from_column_slice(&self.errors), 1.0);
        self.rows.clear();
        self.errors.clear();
    }

    fn solved(mut self) -> Option<DVector<f64>> {
        self.add();
        // a little of a ridge: the level can take over a part of the season, and a direction may be without any row
        let ridge = (1e-10 * self.gram.diagonal().max()).max(f64::MIN_POSITIVE);
        (0..self.moments.len()).for_each(|state| self.gram[(state, state)] += ridge);
        let solved = self.gram.cholesky()?.solve(&self.moments);
        solved.iter().all(|value| value.is_finite()).then_some(solved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMS: [Form; 4] = [
        Form { trend: Trend::None, season: 0 },
        Form { trend: Trend::Damped, season: 0 },
        Form { trend: Trend::None, season: 4 },
        Form { trend: Trend::Additive, season: 7 },
    ];

    /// Values of a model with known errors.
    fn made(form: Form, weights: &Weights, first: &State, rows: usize) -> Vec<f64> {
        let mut random = crate::random::Random::new(3, crate::random::Purpose::Order, form.season as u64);
        let mut state = first.clone();
        let value = |_| {
            let value = state.level + weights.phi * state.slope + state.season(0) + f64::from(random.uniform()) - 0.5;
            state.observe(weights, value);
            value
        };
        (0..rows).map(value).collect()
    }

    #[test]
    fn a_first_state_is_the_best_one() {
        for form in FORMS {
            let weights = form.weights_at(&[-1.0, -2.0, -1.5, 0.5]);
            let mut first = State::first(form, &[1.0; 10]);
            first.slope = if form.trend == Trend::None { 0.0 } else { 0.1 };
            first.seasonal.iter_mut().enumerate().for_each(|(i, part)| *part = (i as f64).sin());
            let mut values = made(form, &weights, &first, 300);
            values[20] = f64::NAN;
            let found = settled(form, &weights, &values, &State::first(form, &values));
            let squares = |state: &State| state.clone().over(&weights, &values).0;
            let least = squares(&found);
            assert!(least <= squares(&first), "{form:?}");
            for by in [-1e-3, 1e-3] {
                let mut other = found.clone();
                other.level += by;
                assert!(squares(&other) > least, "{form:?}");
                if form.trend != Trend::None {
                    other = found.clone();
                    other.slope += by;
                    assert!(squares(&other) > least, "{form:?}");
                }
                if form.season > 0 {
                    other = found.clone();
                    other.seasonal[2] += by;
                    assert!(squares(&other) > least, "{form:?}");
                }
            }
        }
    }

    #[test]
    fn the_form_and_the_weights_that_made_a_series_are_found() {
        for form in FORMS {
            let weights = Weights {
                alpha: 0.3,
                beta: if form.trend == Trend::None { 0.0 } else { 0.1 },
                gamma: if form.season == 0 { 0.0 } else { 0.2 },
                phi: if form.trend == Trend::Damped { 0.95 } else { 1.0 },
            };
            let mut first = State::first(form, &[0.0; 10]);
            first.slope = if form.trend == Trend::None { 0.0 } else { 0.5 };
            first.seasonal.iter_mut().enumerate().for_each(|(i, part)| *part = 5.0 * (i as f64).sin());
            let values = made(form, &weights, &first, 1500);
            let (_, found) = Smoothing::of_form(form, &values);
            let near = |a: f64, b: f64| (a - b).abs() < 0.06;
            let Weights { alpha, beta, gamma, phi } = found.weights;
            let same = near(alpha, 0.3) && near(beta, weights.beta) && near(gamma, weights.gamma);
            assert!(same && near(phi, weights.phi), "{form:?}: {:?}", found.weights);
            let seasons: Vec<usize> = (form.season > 0).then_some(form.season).into_iter().collect();
            let chosen = Smoothing::fit(&values, &seasons).unwrap();
            assert_eq!(chosen.form.season, form.season);
            assert_eq!(chosen.form.trend == Trend::None, form.trend == Trend::None, "{chosen}");
        }
    }
}
