//! A network with its weights.

use crate::device::{Device, Network};
use crate::error::{Error, Result};
use crate::net::layout::{Layout, Offsets};
use crate::net::pass::HeadSteps;
use crate::net::shape::Shape;
use crate::net::state::State;
use crate::net::weight_format::Weights;
use crate::random::{Purpose, Random};
use crate::simd::isa::Cpu;
use crate::simd::math::settle;
use crate::tensor::{Buffer, Tensor, Value};
use crate::units::Units;
use crate::units::scaler::Scaler;
use crate::units::transform::{Past, TargetTransform};
use alloc::{format, string::String, vec, vec::Vec};

/// Rows that a forward pass takes through the network at once. Longer sequences are cut, which changes no bits.
const ROWS: usize = 4096;

/// Which of the first two dimensions of a `[B,T,·]` array comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// `[B,T,·]`, PyTorch's `batch_first=True`.
    #[default]
    BatchFirst,
    /// `[T,B,·]`.
    TimeMajor,
}

/// A network with its weights, and the units that convert between raw values and the values it was trained on.
#[derive(Debug, Clone)]
pub struct Model {
    shape: Shape,
    layout: Layout,
    pub(crate) params: Buffer,
    /// The packed parameters of single steps, if their weights are stored in another format than f32.
    small: Option<(Weights, Buffer)>,
    units: Option<Units>,
}

impl Model {
    /// Every model may remember at least this many past values of a sequence (season times predicted columns); a large
    /// model may remember more.
    pub const PAST: usize = 1 << 22;

    /// Random weights as PyTorch draws them: uniformly from ±1/√H. The same seed gives the same weights everywhere.
    ///
    /// # Errors
    /// If the shape makes no sense.
    pub fn random(shape: Shape, seed: u64) -> Result<Self> {
        let mut model = Self::zeros(shape)?;
        let mut random = Random::new(seed, Purpose::Weights, 0);
        let bound = 1.0 / libm::sqrtf(shape.hidden as f32);
        for entry in model.layout.entries() {
            let values: Vec<f32> = (0..entry.len()).map(|_| (2.0 * random.uniform() - 1.0) * bound).collect();
            entry.pack(&values, &mut model.params);
        }
        Ok(model)
    }

    /// A model with the given weights, in the order and with the shapes of [`Layout::entries`].
    ///
    /// # Errors
    /// If the shape makes no sense, or a tensor is missing or has another shape.
    pub fn from_weights(shape: Shape, weights: &[Tensor]) -> Result<Self> {
        Self::from_layout(shape, Layout::new(&shape), weights)
    }

    /// The same for a layout of `shape` with other names.
    pub(crate) fn from_layout(shape: Shape, layout: Layout, weights: &[Tensor]) -> Result<Self> {
        let mut model = Self { layout, ..Self::zeros(shape)? };
        Error::check_length("weights", model.layout.entries().len(), weights.len())?;
        for (entry, tensor) in model.layout.entries().iter().zip(weights) {
            if entry.dims != tensor.dims() {
                let (name, expected, found) = (&entry.name, &entry.dims, tensor.dims());
                return Err(Error::invalid(format!("{name}: expected the shape {expected:?}, got {found:?}")));
            }
            entry.pack(tensor.data(), &mut model.params);
        }
        Ok(model)
    }

    fn zeros(shape: Shape) -> Result<Self> {
        let layout = Layout::new(&shape);
        let params = Buffer::try_zeros(layout.len())?;
        Ok(Self { shape, layout, params, small: None, units: None })
    }

    /// The same model with other parameters, packed.
    #[cfg(feature = "std")]
    pub(crate) fn with_params(&self, params: Buffer) -> Self {
        Self { params, small: None, ..self.clone() }
    }

    /// The same model with a head whose output is this part of its own, from 0 to 1, and for the rest `y [O]`, in the
    /// network's units. If the part is 0, all weights of the head are.
    #[cfg(feature = "std")]
    pub(crate) fn with_part_of_head(&self, part: f32, y: &[f32]) -> Self {
        let mut model = Self { small: None, ..self.clone() };
        if let Some((weight, bias)) = model.layout.head.clone() {
            // no -0, and no part of a weight that is not finite
            let of = |value: f32| if part > 0.0 { part * value } else { 0.0 };
            model.params[weight].iter_mut().for_each(|weight| *weight = of(*weight));
            for (bias, y) in model.params[bias].iter_mut().zip(y) {
                *bias = of(*bias) + (1.0 - part) * y;
            }
        }
        model
    }

    /// Whether all weights of the head are 0, so that the output is the same for every input. A training that learned
    /// nothing ends with such a model.
    pub fn has_constant_head(&self) -> bool {
        let weights = self.layout.head.as_ref().map(|(weight, _)| &self.params[weight.clone()]);
        weights.is_some_and(|weights| weights.iter().all(|weight| *weight == 0.0))
    }

    /// The point predictions of y `[.., O]`, one for each predicted column, `[n,D]`: see [`Units::point`].
    ///
    /// # Errors
    /// If the width of y is not that of the model's output.
    pub fn point<V: Value>(&self, y: &Tensor<V>) -> Result<Tensor<V>> {
        let (rows, width) = y.rows();
        Error::check_length("y: columns", self.shape.width_out(), width)?;
        match &self.units {
            None => Tensor::new([rows, width], y.data().to_vec()),
            Some(units) => {
                let points: Vec<V> = y.data().chunks_exact(width).flat_map(|y| units.point(y)).copied().collect();
                Tensor::new([rows, units.targets()], points)
            }
        }
    }

    /// The same for one row, `[D]` of y `[O]`.
    #[cfg(feature = "std")]
    pub(crate) fn point_of<'a, V: Value>(&self, y: &'a [V]) -> &'a [V] {
        self.units.as_ref().map_or(y, |units| units.point(y))
    }

    /// The same model with its recurrent weights (`weight_ih` and `weight_hh`) rounded to the format `weights`. Single
    /// steps read them in that format, which takes half or a quarter of the memory and of the time for reading it.
    /// Everything else stays in f32. On a processor, whole sequences give the same bits as steps. A GPU computes with
    /// the rounded weights in f32, and [`Model::params`], [`Model::weights`] and a file hold the rounded weights. The
    /// original weights cannot be restored.
    ///
    /// # Errors
    /// If a weight is not finite or too large for the format, or the memory cannot be had.
    pub fn with_weights(mut self, weights: Weights) -> Result<Self> {
        self.small = None;
        if weights == Weights::F32 {
            return Ok(self);
        }
        let mut small = Buffer::try_zeros(Offsets::arena(&self.shape, weights))?;
        let mut entries = self.layout.entries().iter();
        for l in 0..self.shape.layers {
            let (layer, gates) = (Offsets::layer(&self.shape, weights, l), self.shape.gates());
            for (words, scales) in [(layer.weight_ih, layer.scale_ih), (layer.weight_hh, layer.scale_hh)] {
                let Some(entry) = entries.next() else { break };
                let (before, scaled) = small.split_at_mut(scales);
                let (weight, words) = (&mut self.params[entry.range()], &mut before[words..]);
                weights.store(&entry.name, gates, entry.columns, weight, words, scaled)?;
            }
            for bias in [layer.bias_ih, layer.bias_hh].into_iter().filter(|_| self.shape.bias) {
                let Some(entry) = entries.next() else { break };
                let values = &self.params[entry.range()];
                small[bias..][..values.len()].copy_from_slice(values);
            }
        }
        let (head, _, end) = Offsets::head(&self.shape, weights);
        let (_, values) = self.params.split_at(self.params.len() - (end - head));
        small[head..].copy_from_slice(values);
        self.small = Some((weights, small));
        Ok(self)
    }

    /// The format in which single steps read the recurrent weights.
    pub fn step_weights(&self) -> Weights {
        self.small.as_ref().map_or(Weights::F32, |(weights, _)| *weights)
    }

    /// The parameters of single steps, packed as [`Offsets`] says for [`Model::step_weights`].
    pub fn step_params(&self) -> &[f32] {
        self.small.as_ref().map_or(&self.params, |(_, small)| small)
    }

    /// The parameters for passes of more than one step on a processor, which give the same bits as single steps.
    /// Rounded weights are in the f32 parameters too. Only int8 needs the bytes, because its sums are scaled
    /// afterwards.
    pub(crate) fn pass_params(&self) -> (Weights, &[f32]) {
        match &self.small {
            Some((Weights::Int8, small)) => (Weights::Int8, small),
            _ => (Weights::F32, &self.params),
        }
    }

    /// The model with scalers for x and for y. Its inputs and outputs are then in raw units.
    ///
    /// # Errors
    /// If the scalers are not as wide as input and output.
    pub fn with_scalers(self, x: Scaler, y: Scaler) -> Result<Self> {
        self.with_units(Units::scaled(x, y))
    }

    /// The model with units: scalers and a target transform. Its inputs and outputs are then raw values.
    ///
    /// # Errors
    /// If the scalers are not as wide as input and output, or a sequence would have to remember more values of a season
    /// than [`Model::PAST`] plus 64 for each parameter. Without this limit, a few bytes of a file could ask for
    /// gigabytes.
    pub fn with_units(mut self, units: Units) -> Result<Self> {
        Error::check_length("scaler of x", self.shape.input, units.x().width())?;
        Error::check_length("scaler of y", self.shape.width_out(), units.y().width())?;
        let (rows, columns) = (units.transform().lag(), units.columns().len());
        let most = Self::PAST.saturating_add(self.shape.parameters().saturating_mul(64));
        if rows.saturating_mul(columns) > most {
            let what = if matches!(units.transform(), TargetTransform::Residual { .. }) { "lag" } else { "season" };
            return Err(Error::invalid(format!(
                "{what} {rows}: a model with {} parameters can remember {} rows of {columns} predicted columns; take \
                 a shorter {what}, fewer columns or a larger network",
                self.shape.parameters(),
                most / columns.max(1)
            )));
        }
        self.units = Some(units);
        Ok(self)
    }

    /// Whether predictions can be fed back as the next inputs.
    #[cfg(feature = "std")]
    pub(crate) fn check_fed_back(&self) -> Result<()> {
        let input = self.shape.input - self.masks().len();
        let out = self.units.as_ref().map_or(self.shape.width_out(), |units| units.targets());
        if input != out {
            return Err(Error::invalid(format!(
                "the model takes {input} values and gives {out}: only a model that predicts all its inputs can \
                 forecast more than one step ahead"
            )));
        }
        Ok(())
    }

    /// The inputs that have a mask: see [`Units::with_masks`].
    pub fn masks(&self) -> &[usize] {
        self.units.as_ref().map_or(&[], Units::masks)
    }

    /// The same model, which reads nothing from its last inputs, `count` of them: their weights are 0.
    #[cfg(feature = "std")]
    pub(crate) fn without_last_inputs(&self, count: usize) -> Self {
        let mut model = Self { small: None, ..self.clone() };
        let (input, weights) = (self.shape.input, self.weights());
        if let (Some(entry), Some((_, weight))) = (self.layout.entries().first(), weights.into_iter().next()) {
            let mut weight = weight.into_data();
            weight.chunks_exact_mut(input).for_each(|row| row[input - count.min(input)..].fill(0.0));
            entry.pack(&weight, &mut model.params);
        }
        model
    }

    /// Sets the units without a check, for units that the model had before.
    pub(crate) fn put_units(&mut self, units: Option<Units>) {
        self.units = units;
    }

    /// The model without units. Its inputs and outputs are then in the network's own units.
    #[must_use]
    pub fn raw(mut self) -> Self {
        self.units = None;
        self
    }

    /// The units that convert between raw values and the network's, if there are any.
    pub fn units(&self) -> Option<&Units> {
        self.units.as_ref()
    }

    /// The number of rows before the first meaningful prediction, because changes are taken from earlier rows. See
    /// [`TargetTransform::lag`](crate::units::transform::TargetTransform::lag).
    pub fn lag(&self) -> usize {
        self.units.as_ref().map_or(0, |units| units.transform().lag())
    }

    /// The scalers of x and y, if there are any.
    pub fn scalers(&self) -> Option<(&Scaler, &Scaler)> {
        self.units.as_ref().map(|units| (units.x(), units.y()))
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The table of parameters.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The parameters, packed as [`Layout`] says.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// Every tensor in PyTorch's order and shape: `rnn.weight_ih_l0 [G·H,I]` comes first. A model that was loaded keeps
    /// the names of its file.
    pub fn weights(&self) -> Vec<(String, Tensor)> {
        self.named(&self.params)
    }

    /// The tensors of an array packed like the parameters (gradients, moments), under the same names.
    ///
    /// # Panics
    /// If the arena is shorter than the parameters.
    pub fn named(&self, arena: &[f32]) -> Vec<(String, Tensor)> {
        let tensor = |entry: &crate::net::layout::Entry| {
            let values = entry.unpack(arena);
            (entry.name.clone(), Tensor::new(entry.dims.clone(), values).unwrap_or_default())
        };
        self.layout.entries().iter().map(tensor).collect()
    }

    /// Converts raw rows `x [B,I]` of one time step to the network's units, in place. `past` is that of B sequences.
    #[inline(always)]
    pub(crate) fn enter<V: Value>(&self, past: &mut Past, x: &mut [V]) {
        if let Some(units) = &self.units {
            units.enter(past, x);
        }
    }

    /// Converts the outputs `y [B,O]` for the rows that entered last to raw values, in place.
    #[inline(always)]
    pub(crate) fn leave<V: Value>(&self, past: &Past, y: &mut [V]) {
        if let Some(units) = &self.units {
            units.leave(past, y);
        }
    }

    /// y of whole sequences.
    ///
    /// `x` is `[T,I]`, or `[B,T,I]` (`[T,B,I]` with [`Order::TimeMajor`]). y has the same order, with O instead of I (H
    /// for a network without a head). `state` is that of B sequences (1 for `[T,I]`) and becomes the state after them;
    /// pass [`State::new`] to start from zero. Several calls one after the other give the same bits as one long call.
    /// On a processor they give the same bits as a [`Stream`](crate::model::stream::Stream), whatever the format of the
    /// weights.
    ///
    /// Raw values may be f32 or f64: see [`Value`]. y has the type of x.
    ///
    /// # Errors
    /// If x has other dimensions, the state is not that of B sequences of this model's shape, or the GPU fails; the
    /// state is then unchanged.
    pub fn forward<V: Value>(
        &self,
        device: impl Into<Device>,
        x: &Tensor<V>,
        order: Order,
        state: &mut State,
    ) -> Result<Tensor<V>> {
        let (time_major, batch) = match (x.dims(), order) {
            ([_, _], _) => (None, 1),
            ([batch, _, _], Order::BatchFirst) => (Some(x.swap_batch_and_time()?), *batch),
            ([_, batch, _], Order::TimeMajor) => (None, *batch),
            (dims, _) => return Err(Error::invalid(format!("x: expected [T,I] or [B,T,I], got the shape {dims:?}"))),
        };
        let input = x.rows().1;
        if input != self.shape.input {
            let expected = self.shape.input;
            return Err(Error::invalid(format!(
                "x: the model takes {expected} values for each step, but these rows have {input}"
            )));
        }
        state.check(&self.shape, self.units.as_ref(), batch)?;
        let raw = time_major.as_ref().unwrap_or(x).data();
        let mut rows = raw.to_vec();
        let steps = (ROWS / batch.max(1)).clamp(1, rows.len().max(1));
        let (weights, params) = self.pass_params();
        let mut network = Network::new(&device.into(), &self.shape, &self.params, weights, steps, batch)?;
        let mut after = state.clone();
        let before = self.units.as_ref().map(|units| after.past_of(units).clone());
        if let Some(units) = &self.units {
            units.enter_rows(&mut after.past, &mut rows, batch);
        }
        let mut rows = V::narrow_all(rows);
        settle(&mut rows);
        let out = self.shape.width_out();
        let mut y = Vec::with_capacity(rows.len() / input * out);
        for x in rows.chunks((steps * batch * input).max(1)) {
            network.forward(params, x, &mut after, HeadSteps::All)?;
            for row in network.head_rows() {
                y.extend_from_slice(network.y(row));
            }
        }
        let mut y = V::of_all(y);
        if let (Some(units), Some(before)) = (&self.units, before) {
            units.leave_rows(before, raw, &mut y, batch);
        }
        let mut dims = time_major.as_ref().unwrap_or(x).dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = out;
        }
        let y = Tensor::new(dims, y)?;
        *state = after;
        if time_major.is_some() { y.swap_batch_and_time() } else { Ok(y) }
    }

    /// A short sequence and the network's output for it, `x [T,I]` and `y [T,O]` in the network's own units. It is
    /// stored in the model file, so that a program that loads the file can check that it computes the same numbers.
    ///
    /// # Errors
    /// If memory for so large a network cannot be had.
    pub fn reference(&self, cpu: Cpu) -> Result<(Tensor, Tensor)> {
        const STEPS: usize = 4;
        let wave = |i: usize| libm::sinf(0.7 * i as f32);
        let x =
            Tensor::new(vec![STEPS, self.shape.input], (0..STEPS * self.shape.input).map(wave).collect::<Vec<_>>())?;
        // a file holds the weights in f32, rounded if they were
        let in_f32 = Self { small: None, units: None, ..self.clone() };
        let y = in_f32.forward(cpu, &x, Order::BatchFirst, &mut State::new(&self.shape, 1))?;
        Ok((x, y))
    }
}
