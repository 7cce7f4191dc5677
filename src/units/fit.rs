//! Units for a table: fitted to its training part, and its rows in the network's units.

use super::Units;
use crate::error::{Error, Result};
use crate::objective::loss::Loss;
use crate::tensor::Value;
use crate::units::scaler::{Scaler, Scaling};
use crate::units::transform::{Fitted, TargetTransform};
use alloc::{borrow::Cow, format, vec::Vec};

impl Units {
    /// Units for a table, fitted to `inputs [T,I]` and the predicted `targets [T,D]` of the training part alone.
    /// `columns` has the number of the input that each target is; `None` if a target is not an input.
    ///
    /// # Errors
    /// If there are too few rows, a value is not finite, changes are to be predicted of a target that is not an input,
    /// or a relative change starts from 0.
    pub fn fit(
        scaling: Scaling,
        transform: impl Into<Fitted>,
        loss: Loss,
        inputs: (&[f64], usize),
        targets: (&[f64], usize),
        columns: Option<&[usize]>,
    ) -> Result<Self> {
        Self::fit_many(scaling, transform, loss, &[(inputs.0, targets.0)], (inputs.1, targets.1), columns)
    }

    /// The same for several series of the same columns, I and D wide: one scaler is fitted to the training parts of all
    /// of them. No change is taken across the border of two series.
    ///
    /// # Errors
    /// Those of [`Units::fit`], for any of the series.
    pub fn fit_many(
        scaling: Scaling,
        transform: impl Into<Fitted>,
        loss: Loss,
        parts: &[(&[f64], &[f64])],
        (inputs, targets): (usize, usize),
        columns: Option<&[usize]>,
    ) -> Result<Self> {
        let fitted = transform.into().checked(targets)?;
        if fitted.transform() == TargetTransform::Value {
            let (mut x, mut y) = (Cow::default(), Cow::default());
            for (i, &(inputs, targets)) in parts.iter().enumerate() {
                // a single part is not copied
                if i == 0 {
                    (x, y) = (Cow::from(inputs), Cow::from(targets));
                } else {
                    x.to_mut().extend_from_slice(inputs);
                    y.to_mut().extend_from_slice(targets);
                }
            }
            let (x, y) = (Scaler::fit(scaling, &x, inputs)?, Scaler::fit(scaling, &y, targets)?);
            return Self::scaled(x, widened(&y, loss)?).with_loss(loss);
        }
        let Some(columns) = columns else {
            return Err(Error::invalid(
                "target-as: a predicted column must be among the inputs, because the predicted change is added to its \
                 last value",
            ));
        };
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for &(x_part, y_part) in parts {
            let (x_part, y_part) = formed(&fitted, (x_part, inputs), (y_part, targets), columns)?;
            x.extend(x_part);
            y.extend(y_part);
        }
        let (x, y) = (Scaler::fit(scaling, &x, inputs)?, Scaler::fit(scaling, &y, targets)?);
        Self::scaled(x, widened(&y, loss)?).with_transform(fitted, columns)?.with_loss(loss)
    }

    /// The rows of a series in the network's units, as they are used in training: x `[T-lag,I]` and its targets
    /// `[T-lag,D]` of the same times. The first [`TargetTransform::lag`] rows have no row before them to take a change
    /// from, so they are left out.
    ///
    /// # Errors
    /// If there are no more rows than these, or a relative change starts from 0.
    pub fn rows(&self, inputs: (&[f64], usize), targets: (&[f64], usize)) -> Result<(Vec<f32>, Vec<f32>)> {
        let (mut x, mut y) = formed(&self.fitted, inputs, targets, &self.columns)?;
        self.x.apply(&mut x);
        self.scale_targets(&mut y);
        Ok((f64::narrow_all(x), f64::narrow_all(y)))
    }
}

/// The scaler of y for all outputs of a network trained with `loss`, from the scaler of the target values. Quantiles
/// are scaled as values are. The logarithm of a variance is shifted by the logarithm of the squared scale.
fn widened(values: &Scaler, loss: Loss) -> Result<Scaler> {
    let (shift, scale) = (values.shift().to_vec(), values.scale().to_vec());
    match loss {
        Loss::Gaussian => {
            let moved = scale.iter().map(|scale| 2.0 * libm::log(libm::fabs(*scale)));
            let ones = scale.iter().map(|_| 1.0);
            Scaler::new(shift.iter().copied().chain(moved).collect(), scale.iter().copied().chain(ones).collect())
        }
        _ => Scaler::new(shift.repeat(loss.outputs(1)), scale.repeat(loss.outputs(1))),
    }
}

/// Whether all changes in these rows, or all residuals, are finite.
#[cfg(feature = "std")]
pub(crate) fn check_changes(fitted: &Fitted, (values, width): (&[f64], usize)) -> Result<()> {
    let (transform, lag) = (fitted.transform(), fitted.transform().lag());
    if transform == TargetTransform::Value {
        return Ok(());
    }
    for (i, &now) in values.iter().enumerate().skip(lag.saturating_mul(width)) {
        let (t, d) = (i / width.max(1), i % width.max(1));
        let before = fitted.before(d, |lag| values[(t - lag) * width + d]);
        check_before(transform, before, t + 1 - lag)?;
        if !transform.of(before, now).narrow().is_finite() {
            let row = t + 1 - lag;
            return Err(Error::invalid(format!("target-as: the change from row {row} on is not finite; use value")));
        }
    }
    Ok(())
}

/// Whether a relative change can start from the value `before`. `row` counts from 1.
fn check_before(transform: TargetTransform, before: f64, row: usize) -> Result<()> {
    if transform == TargetTransform::RelativeChange && before == 0.0 {
        return Err(Error::invalid(format!(
            "target-as relative-change: the value of row {row} is 0, where no relative change is defined; use change"
        )));
    }
    Ok(())
}

/// The rows after the target transform but before scaling, without the first ones: see [`Units::rows`].
fn formed(
    fitted: &Fitted,
    (inputs, width): (&[f64], usize),
    (targets, outputs): (&[f64], usize),
    columns: &[usize],
) -> Result<(Vec<f64>, Vec<f64>)> {
    let transform = fitted.transform();
    let (lag, rows) = (transform.lag(), inputs.len() / width.max(1));
    Error::check_length("targets: rows", rows, targets.len() / outputs.max(1))?;
    if let Some(column) = columns.iter().find(|&&column| column >= width) {
        return Err(Error::invalid(format!(
            "predicted column {column} is not one of the {width} inputs, counted from 0"
        )));
    }
    if rows <= lag {
        return Err(Error::invalid(format!("{rows} rows, but the first change needs {lag} before it: give more data")));
    }
    let compared = |values: &[f64], width: usize, t: usize, column: usize, d: usize| {
        let before = fitted.before(d, |lag| values[(t - lag) * width + column]);
        check_before(transform, before, t + 1 - lag).map(|()| before)
    };
    let (mut x, mut y) = (inputs[lag * width..].to_vec(), targets[lag * outputs..].to_vec());
    if transform != TargetTransform::Value {
        for t in lag..rows {
            for (d, &column) in columns.iter().enumerate() {
                let (compared, now) = (compared(inputs, width, t, column, d)?, inputs[t * width + column]);
                x[(t - lag) * width + column] = fitted.read(now, compared, |lag| inputs[(t - lag) * width + column]);
            }
            for d in 0..outputs {
                let compared = compared(targets, outputs, t, d, d)?;
                y[(t - lag) * outputs + d] = transform.of(compared, targets[t * outputs + d]);
            }
        }
    }
    Ok((x, y))
}
