//! The held-out part of a training. It chooses the best weights, and it shows whether anything was learned.

use crate::data::windows::Windows;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::series::one_step;
use crate::series::residuals::{OutputKind, Residuals};
use crate::tensor::Tensor;
use crate::train::{Recipe, mean_loss};

/// How it is decided how much of a network's outputs is worth taking.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// The parts that are tried: this many, at equal distances, up to all of it.
    pub parts: u16,
    /// The standard errors by which the gain on the held-out rows has to be above 0. One would do for a single model
    /// (Breiman, Friedman, Olshen and Stone 1984). But the weights are the best of many epochs, and the best of many is
    /// better by chance.
    pub sure: f64,
}

impl Rule {
    /// All or nothing, against a simple constant.
    pub const ALL: Self = Self { parts: 1, sure: 2.0 };
    /// Some of it, where the constant stands for the best of several forecasts: that is hard to beat, and a part keeps
    /// more of a small gain.
    pub const SOME: Self = Self { parts: 20, sure: 2.5 };
}

/// The held-out part of a training, by which weights are chosen.
#[derive(Debug)]
pub enum Validation {
    /// The last rows of one series or of several. Every row has the same weight.
    Rows(Vec<SeriesRows>),
    /// Windows that were already cut.
    Windows(Windows),
}

/// Rows of a series in the network's units.
#[derive(Debug)]
pub struct SeriesRows {
    /// `[n,I]`
    pub(super) x: Tensor,
    /// `[n,D]`, of the same times.
    pub(super) target: Tensor,
    /// The first row that counts; those before it warm the state up.
    pub(super) first: usize,
}

impl Validation {
    /// The mean loss of `model` one step ahead, in the network's units, over all rows whose target is there.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn loss(&mut self, model: &Model, recipe: &Recipe, device: &Device) -> Result<f64> {
        match self {
            Self::Windows(windows) => mean_loss(model, windows, recipe, device.clone()),
            Self::Rows(series) => {
                let (network, out) = (model.clone().raw(), model.shape().width_out());
                let mut losses = Vec::new();
                for series in series {
                    losses.extend(series.losses(series.outputs(&network, device)?.data(), out, recipe));
                }
                Ok(losses.iter().sum::<f64>() / losses.len() as f64)
            }
        }
    }

    /// The errors of `model` one step ahead at the last rows, with the same limit for each series: see [`OutputKind`].
    /// `None` for windows that were already cut.
    ///
    /// # Errors
    /// If the outputs of the model do not fit the held-out columns, or the GPU fails.
    pub(super) fn errors(&self, model: &Model, recipe: &Recipe, device: &Device) -> Result<Option<Residuals>> {
        let Self::Rows(all) = self else { return Ok(None) };
        let (network, kind) = (model.clone().raw(), OutputKind::new(recipe.loss));
        let most = (Residuals::MOST / all.len().max(1)).max(1);
        let (mut errors, mut columns) = (Vec::new(), 1);
        for series in all {
            columns = series.target.rows().1;
            let (wanted, out) = (recipe.loss.outputs(columns), network.shape().width_out());
            Error::check_length("outputs for the held-out columns", wanted, out)?;
            let found = kind.errors_of_rows(series.outputs(&network, device)?.data(), series.actuals(), columns);
            let missing = series.actuals().chunks_exact(columns).map(|row| row.iter().any(|value| value.is_nan()));
            let rows = found.chunks_exact(columns).zip(missing).filter(|(_, missing)| !missing);
            let found: Vec<f32> = rows.flat_map(|(errors, _)| errors).copied().collect();
            errors.extend_from_slice(&found[found.len().saturating_sub(most * columns)..]);
        }
        errors.truncate(Residuals::MOST * columns);
        // if the weights predict values that are not finite, there are no errors to keep
        Ok(Residuals::new(errors, columns).ok())
    }

    /// The part of the outputs of `model` that is worth taking, from 0 to 1; the rest is taken from `constant [O]`. It is
    /// the part with the largest gain over the constant alone, less the standard errors of the `rule`, and 0 if that is
    /// never above 0. Standard errors are those of the mean over the rows. Always 1 for windows that were already cut.
    ///
    /// # Errors
    /// If the GPU fails.
    pub(super) fn part_worth_taking(
        &self,
        model: &Model,
        constant: &[f32],
        Rule { parts, sure }: Rule,
        recipe: &Recipe,
        device: &Device,
    ) -> Result<f32> {
        let Self::Rows(series) = self else { return Ok(1.0) };
        let network = model.clone().raw();
        let outputs: Vec<Tensor> =
            series.iter().map(|series| series.outputs(&network, device)).collect::<Result<_>>()?;
        let losses = |part: f32| -> Vec<f64> {
            let mut losses = Vec::new();
            for (series, outputs) in series.iter().zip(&outputs) {
                let mut y = outputs.data().to_vec();
                for row in y.chunks_exact_mut(constant.len()) {
                    row.iter_mut().zip(constant).for_each(|(y, constant)| *y = part * *y + (1.0 - part) * constant);
                }
                losses.extend(series.losses(&y, constant.len(), recipe));
            }
            losses
        };
        let alone = losses(0.0);
        let mut best = (0.0, 0.0);
        for part in (1..=parts).map(|part| f32::from(part) / f32::from(parts)) {
            let gains: Vec<f64> = alone.iter().zip(losses(part)).map(|(alone, with)| alone - with).collect();
            let count = gains.len() as f64;
            let mean = gains.iter().sum::<f64>() / count;
            let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
            let worth = mean - sure * (variance / count).sqrt();
            if worth > best.0 {
                best = (worth, part);
            }
        }
        Ok(best.1)
    }
}

impl SeriesRows {
    /// Whether a row that counts has a target.
    pub(super) fn has_targets(&self) -> bool {
        self.actuals().iter().any(|target| !target.is_nan())
    }

    /// The outputs `[n,O]` of `network` for each row that counts, one step ahead.
    fn outputs(&self, network: &Model, device: &Device) -> Result<Tensor> {
        // all rows before the first that counts warm the state up
        one_step::outputs(network, device, &self.x, self.first..self.x.rows().0, self.first)
    }

    /// The loss of each row that counts and has a target, for the outputs `y [n,O]`.
    fn losses(&self, y: &[f32], out: usize, recipe: &Recipe) -> Vec<f64> {
        let width = self.target.rows().1;
        let mut dy = vec![0.0; out]; // no gradient is wanted here
        let rows = y.chunks_exact(out.max(1)).zip(self.actuals().chunks_exact(width));
        rows.filter_map(|(y, actual)| recipe.loss.mean_of_row(y, actual, &mut dy)).collect()
    }

    /// The actual values of those rows, `[n,D]`.
    fn actuals(&self) -> &[f32] {
        &self.target.data()[self.first * self.target.rows().1..]
    }
}
