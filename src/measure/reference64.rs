//! The same networks in float64, from PyTorch's tensors, written like the formulas, one number at a time. Float32 and
//! smaller weights are compared with them. This code shares only the weights with the fast code; the step of a cell is
//! [`Cell::exact`].

use crate::cell::{Cell, CellState, MOST, Visitor};
use crate::device::Device;
use crate::error::{DeviceErrorKind, Error, Result};
use crate::memory;
use crate::model::Model;
use crate::model::stream::Stream;
use crate::net::shape::Shape;
use crate::net::weight_format::Weights;
use crate::simd::isa::{Cpu, Isa};
use crate::tensor::Tensor;
use std::sync::Arc;

/// A stack of layers with or without a head, in float64. Slow.
#[derive(Debug, Clone)]
pub struct Reference {
    shape: Shape,
    layers: Vec<Layer>,
    /// `[O, H]` and `[O]`
    head: Option<(Vec<f64>, Vec<f64>)>,
}

/// `[G·H, I or H]`, `[G·H, H]`, `[G·H]` twice; biases are zero if the network has none.
#[derive(Debug, Clone)]
struct Layer {
    weight_ih: Vec<f64>,
    weight_hh: Vec<f64>,
    bias_ih: Vec<f64>,
    bias_hh: Vec<f64>,
}

/// The states of one sequence, `[L][H]` each.
#[derive(Debug, Clone)]
pub struct State {
    h: Vec<Vec<f64>>,
    c: Vec<Vec<f64>>,
}

/// `W x + b`, `W [rows, x.len()]`.
fn affine(weight: &[f64], bias: &[f64], x: &[f64]) -> Vec<f64> {
    let rows = weight.chunks(x.len()).zip(bias);
    rows.map(|(row, b)| b + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).collect()
}

/// The step of one unit of a cell.
struct Exact;

impl Visitor for Exact {
    type Output = fn([f64; MOST], [f64; MOST], CellState<f64>) -> CellState<f64>;
    fn visit<C: Cell>(self) -> Self::Output {
        C::exact
    }
}

impl Reference {
    /// The same network as `model`, without its scalers.
    pub fn of(model: &Model) -> Self {
        let shape = *model.shape();
        let wide = |(_, tensor): (String, Tensor)| tensor.data().iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let mut tensors = model.weights().into_iter().map(wide);
        let mut next = || tensors.next().unwrap_or_default();
        let rows = shape.gates() * shape.hidden;
        let layers = (0..shape.layers)
            .map(|_| {
                let (weight_ih, weight_hh) = (next(), next());
                let (bias_ih, bias_hh) = if shape.bias { (next(), next()) } else { (vec![0.0; rows], vec![0.0; rows]) };
                Layer { weight_ih, weight_hh, bias_ih, bias_hh }
            })
            .collect();
        let head = shape.output.map(|_| (next(), next()));
        Self { shape, layers, head }
    }

    /// A state of zero.
    pub fn zero(&self) -> State {
        let zeros = || vec![vec![0.0; self.shape.hidden]; self.shape.layers];
        State { h: zeros(), c: zeros() }
    }

    /// y of one time step `x [I]`; `state` becomes the state after it.
    ///
    /// # Panics
    /// If `x` does not have I values, or `state` is that of another network.
    pub fn step(&self, x: &[f64], state: &mut State) -> Vec<f64> {
        let hidden = self.shape.hidden;
        let cell = self.shape.visit_cell(Exact);
        let mut x = x.to_vec();
        for (l, layer) in self.layers.iter().enumerate() {
            let gates_x = affine(&layer.weight_ih, &layer.bias_ih, &x);
            let gates_h = affine(&layer.weight_hh, &layer.bias_hh, &state.h[l]);
            for u in 0..hidden {
                let (h, c) = (&mut state.h[l][u], &mut state.c[l][u]);
                let of_unit = |gates: &[f64]| {
                    let mut all = [0.0; MOST];
                    for (one, &value) in all.iter_mut().zip(gates.iter().skip(u).step_by(hidden)) {
                        *one = value;
                    }
                    all
                };
                let after = cell(of_unit(&gates_x), of_unit(&gates_h), CellState { h: *h, c: *c });
                (*h, *c) = (after.h, after.c);
            }
            x.clone_from(&state.h[l]);
        }
        match &self.head {
            Some((weight, bias)) => affine(weight, bias, &x),
            None => x,
        }
    }

    /// y `[T,O]` of a sequence `x [T,I]` from a state of zero.
    pub fn forward(&self, x: &[f32]) -> Vec<f64> {
        let mut state = self.zero();
        let wide = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        x.chunks(self.shape.input).flat_map(|row| self.step(&wide(row), &mut state)).collect()
    }
}

/// How far the outputs of a model are from those in float64.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deviation {
    /// The largest difference of a value of y.
    pub most: f64,
    /// The root of the mean of the squares of all differences.
    pub root_mean_square: f64,
    /// The largest value of y in float64, for comparison.
    pub largest: f64,
}

/// The most steps that [`deviation`] takes.
pub const STEPS: usize = 256;

/// The number of steps that [`deviation`] takes of a network of `shape`: [`STEPS`], or fewer for a large network, for
/// which so many would take minutes.
pub fn steps(shape: &Shape) -> usize {
    const FEWEST: usize = 4;
    const MULTIPLICATIONS: usize = 1 << 28;
    (MULTIPLICATIONS / shape.parameters().max(1)).clamp(FEWEST, STEPS)
}

/// `steps` rows of inputs `x [T,I]`: the sum of two waves of 9 and 41 steps, at most 1 in size, like a standardised
/// series. If the model has scalers, they are converted to raw units.
///
/// # Panics
/// If there are more values than a `usize` can count, as a `Vec` does.
pub fn waves(model: &Model, steps: usize) -> Vec<f32> {
    let input = model.shape().input;
    let count = steps.checked_mul(input).expect("capacity overflow");
    let wave = |i: usize| {
        let (t, column) = ((i / input) as f32, (i % input) as f32);
        0.6 * (t * 0.7 + column).sin() + 0.4 * (t * 0.153 - column).cos()
    };
    let mut x: Vec<f32> = (0..count).map(wave).collect();
    if let Some((scaler, _)) = model.scalers() {
        scaler.undo(&mut x);
    }
    x
}

/// How far the steps of `model` with its weights stored as `weights` are from the unchanged model in float64, over
/// [`steps`] of [`waves`] from a state of zero. In the network's own units, without scalers.
///
/// # Errors
/// Those of [`Model::with_weights`].
pub fn deviation(model: &Model, weights: Weights, cpu: Cpu) -> Result<Deviation> {
    let [deviation] = deviations(model, [weights], cpu);
    deviation
}

/// The same for several formats, each with its own result. The outputs in float64, which take longest, are computed
/// once.
///
/// # Errors
/// For each format, those of [`deviation`].
pub fn deviations<const N: usize>(model: &Model, weights: [Weights; N], cpu: Cpu) -> [Result<Deviation>; N] {
    let raw = model.clone().raw();
    let x = waves(&raw, steps(raw.shape()));
    let truth = Reference::of(&raw).forward(&x);
    weights.map(|weights| Ok(Deviation::of(&answers(raw.clone().with_weights(weights)?, cpu, &x)?, &truth)))
}

/// y `[T,O]` of the steps of a stream over `x [T,I]` from a state of zero.
fn answers(model: impl Into<Arc<Model>>, device: impl Into<Device>, x: &[f32]) -> Result<Vec<f32>> {
    let mut stream = Stream::on(device, model)?;
    let shape = *stream.model().shape();
    let mut y = Vec::with_capacity(x.len() / shape.input * shape.width_out());
    for x in x.chunks(shape.input) {
        y.extend_from_slice(stream.step(x)?);
    }
    Ok(y)
}

impl Deviation {
    fn of(y: &[f32], truth: &[f64]) -> Self {
        let (mut most, mut squares, mut largest) = (0.0_f64, 0.0, 0.0_f64);
        for (&y, &truth) in y.iter().zip(truth) {
            let off = off(y, truth);
            (most, squares, largest) = (most.max(off), squares + off * off, largest.max(truth.abs()));
        }
        Self { most, root_mean_square: (squares / truth.len() as f64).sqrt(), largest }
    }
}

/// How far y is from the exact value: infinitely far if only one of them is NaN, and 0 if they are the same infinity or
/// both NaN.
fn off(y: f32, truth: f64) -> f64 {
    if !y.is_finite() && same(y, truth as f32) {
        return 0.0;
    }
    let off = (f64::from(y) - truth).abs();
    if off.is_nan() { f64::INFINITY } else { off }
}

/// The correct outputs of a model, by which a device is checked before its speed is measured.
#[derive(Debug, Clone)]
pub struct Answers {
    model: Model,
    raw: Model,
    steps: usize,
    /// y on the portable instruction set, in raw units.
    portable: Vec<f32>,
    /// y in float64, in the network's own units.
    exact: Vec<f64>,
}

impl Answers {
    /// The outputs of `model` for `steps` rows of [`waves`], from a state of zero. If its weights are rounded, the
    /// rounded weights are the reference.
    ///
    /// # Errors
    /// If the memory for these rows cannot be had.
    pub fn of(model: &Model, steps: usize) -> Result<Self> {
        let values = steps.saturating_mul(model.shape().input.max(model.shape().width_out()));
        memory::room::<f64>(values).map_err(|refused| Error::invalid(format!("steps {steps}: {refused}")))?;
        let raw = model.clone().raw();
        let portable = answers(model.clone(), Cpu::new(Isa::Portable)?, &waves(model, steps))?;
        let exact = Reference::of(&raw).forward(&waves(&raw, steps));
        Ok(Self { model: model.clone(), raw, steps, portable, exact })
    }

    /// Checks the steps on `device`, and returns how far they are from float64. On a processor they must have the same
    /// bits as on the portable instruction set. On every device they must be near float64.
    ///
    /// Near means within a thousandth of the largest y, or of 1 if that is larger; or within a tenth if a GPU rounds
    /// the factors of products to fewer bits. Rounding in a useful network is far less than that, and a mistake is far
    /// more.
    ///
    /// # Errors
    /// If they are not right; the message is one line that names the first wrong output. Also if the GPU fails.
    pub fn check(&self, device: &Device) -> Result<Deviation> {
        if device.cpu().is_some() {
            let y = answers(self.model.clone(), device.clone(), &waves(&self.model, self.steps))?;
            if let Some(at) = y.iter().zip(&self.portable).position(|(&y, &truth)| !same(y, truth)) {
                return Err(self.wrong(device, at, y[at], format!("{} on portable", self.portable[at])));
            }
        }
        let tolerance = if device.rounds_factors() { 0.1 } else { 1e-3 };
        let y = answers(self.raw.clone(), device.clone(), &waves(&self.raw, self.steps))?;
        let size = |truth: &f64| if truth.is_finite() { truth.abs() } else { 0.0 };
        let tolerance = tolerance * self.exact.iter().map(size).fold(1.0, f64::max);
        match y.iter().zip(&self.exact).position(|(&y, &truth)| off(y, truth) > tolerance) {
            Some(at) => Err(self.wrong(device, at, y[at], format!("{} in float64", self.exact[at]))),
            None => Ok(Deviation::of(&y, &self.exact)),
        }
    }

    fn wrong(&self, device: &Device, at: usize, found: f32, expected: String) -> Error {
        let step = at / self.model.shape().width_out();
        Error::device(
            DeviceErrorKind::Failed,
            format!("{device}: the answer to step {step} is {found}, but {expected}: nothing was timed"),
        )
    }
}

/// Whether both have the same bits or both are NaN.
fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::kind::CellKind;
    use crate::units::scaler::{Scaler, Scaling};

    fn model(cell: CellKind) -> Model {
        let scaler = |width, shift: f64, scale: f64| {
            let rows = [vec![shift - scale; width], vec![shift + scale; width]].concat();
            Scaler::fit(Scaling::Standard, &rows, width).unwrap()
        };
        let model = Model::random(Shape::new(cell, 2, 9, 2, 3).unwrap(), 5).unwrap();
        model.with_scalers(scaler(2, 10.0, 3.0), scaler(3, -100.0, 20.0)).unwrap()
    }

    #[test]
    fn every_instruction_set_answers_right() {
        for (cell, weights) in CellKind::ALL.into_iter().flat_map(|cell| Weights::ALL.map(|weights| (cell, weights))) {
            let answers = Answers::of(&model(cell).with_weights(weights).unwrap(), 50).unwrap();
            for isa in Isa::available() {
                let deviation = answers.check(&Cpu::new(isa).unwrap().into()).unwrap();
                assert!(deviation.most < 1e-6 && deviation.largest > 0.01, "{cell:?} {weights} {isa:?}: {deviation:?}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_found() {
        let device = Cpu::widest().into();
        let right = Answers::of(&model(CellKind::Lstm), 20).unwrap();
        let said = |answers: &Answers| answers.check(&device).unwrap_err().to_string();
        let mut bit = right.clone();
        bit.portable[3 * 7 + 2] = bit.portable[3 * 7 + 2].next_up();
        assert!(said(&bit).contains("the answer to step 7 is ") && said(&bit).contains(" on portable: "));
        for other in [f64::NAN, f64::INFINITY, right.exact[4] + 2e-3] {
            let mut far = right.clone();
            far.exact[4] = other;
            assert!(said(&far).contains("the answer to step 1 is "), "{}", said(&far));
            assert!(said(&far).contains(&format!("but {other} in float64")), "{}", said(&far));
        }
    }

    #[test]
    fn what_is_no_number_in_both_is_no_difference() {
        let (nan, infinity) = (f32::NAN, f32::INFINITY);
        assert_eq!([off(nan, f64::NAN), off(infinity, 1e300), off(1.5, 1.25)], [0.0, 0.0, 0.25]);
        let far = [off(nan, 1.0), off(1.0, f64::NAN), off(infinity, f64::NEG_INFINITY), off(1.0, f64::INFINITY)];
        assert_eq!(far, [f64::INFINITY; 4]);
    }
}
