//! The held-out part of a training. It chooses the best weights, and it shows whether anything was learned.

use crate::data::windows::Windows;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::series::one_step;
use crate::series::residuals::{OutputKind, Residuals};
use crate::tensor::Tensor;
use crate::train::{Recipe, mean_loss};

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
    /// The mean loss of `model` one step ahead, in the network's units.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn loss(&mut self, model: &Model, recipe: &Recipe, device: &Device) -> Result<f64> {
        match self {
            Self::Windows(windows) => mean_loss(model, windows, recipe, device.clone()),
            Self::Rows(series) => {
                let losses = losses(series, model, recipe, device)?;
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
            errors.extend_from_slice(&found[found.len().saturating_sub(most * columns)..]);
        }
        errors.truncate(Residuals::MOST * columns);
        // if the weights predict values that are not finite, there are no errors to keep
        Ok(Residuals::new(errors, columns).ok())
    }

    /// Whether `model` is better than `other` by more than two standard errors of the mean difference, row by row. The
    /// rule of Breiman, Friedman, Olshen and Stone 1984 for taking the simpler of two models has one standard error.
    /// Here it is two, because the weights are the best of many epochs, and the best one is always a little better by
    /// chance. Always true for windows that were already cut.
    ///
    /// # Errors
    /// If the GPU fails.
    pub(super) fn prefers(&self, model: &Model, other: &Model, recipe: &Recipe, device: &Device) -> Result<bool> {
        let Self::Rows(series) = self else { return Ok(true) };
        let of = |model| losses(series, model, recipe, device);
        let gains: Vec<f64> = of(other)?.iter().zip(of(model)?).map(|(other, model)| other - model).collect();
        let count = gains.len() as f64;
        let mean = gains.iter().sum::<f64>() / count;
        let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        Ok(mean > 2.0 * (variance / count).sqrt())
    }
}

/// The loss of each row that counts.
fn losses(series: &[SeriesRows], model: &Model, recipe: &Recipe, device: &Device) -> Result<Vec<f64>> {
    let (network, out) = (model.clone().raw(), model.shape().width_out());
    let mut dy = vec![0.0; out]; // no gradient is wanted here
    let mut losses = Vec::new();
    for series in series {
        let width = series.target.rows().1;
        let elements = recipe.loss.elements(width) as f64;
        let y = series.outputs(&network, device)?;
        let rows = y.data().chunks_exact(out).zip(series.actuals().chunks_exact(width));
        losses.extend(rows.map(|(y, actual)| recipe.loss.row(y, actual, &mut dy) / elements));
    }
    Ok(losses)
}

impl SeriesRows {
    /// The outputs `[n,O]` of `network` for each row that counts, one step ahead.
    fn outputs(&self, network: &Model, device: &Device) -> Result<Tensor> {
        // all rows before the first that counts warm the state up
        one_step::outputs(network, device, &self.x, self.first..self.x.rows().0, self.first)
    }

    /// The actual values of those rows, `[n,D]`.
    fn actuals(&self) -> &[f32] {
        &self.target.data()[self.first * self.target.rows().1..]
    }
}
