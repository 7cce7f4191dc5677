//! Forecasts many steps ahead: predictions are fed back as inputs.

use crate::error::{Error, Result};
use crate::memory;
use crate::model::stream::Stream;
use crate::tensor::Tensor;

/// Runs the model over `history [T,I]`, then feeds its predictions back as inputs. Returns the prediction after each
/// row of the history, `[T,D]`, and the `steps` predictions after the last row, `[steps,D]`. They are means or medians
/// if the model predicts distributions. If inputs have masks, nothing is missing in the rows that are fed back.
///
/// # Errors
/// If the model does not predict its own inputs (D differs from I less the masks), or history has other columns or no
/// row.
pub fn ahead(stream: &mut Stream, history: &Tensor<f64>, steps: usize) -> Result<(Tensor<f64>, Tensor<f64>)> {
    let (rows, width) = history.rows();
    let model = stream.model().clone();
    model.check_fed_back()?;
    let (input, out) = (model.shape().input, model.shape().input - model.masks().len());
    Error::check_length("history: columns", input, width)?;
    if rows == 0 {
        return Err(Error::invalid("history: has no rows; give at least one"));
    }
    let mut fitted = Vec::with_capacity(rows * out);
    let mut last = Vec::new();
    for x in history.data().chunks(width) {
        last = model.point_of(stream.step_f64(x)?).to_vec();
        fitted.extend_from_slice(&last);
    }
    let mut future = memory::room(steps.saturating_mul(out))
        .map_err(|refused| Error::invalid(format!("steps {steps}: {refused}")))?;
    for step in 0..steps {
        if step > 0 {
            last.resize(input, 0.0);
            last = model.point_of(stream.step_f64(&last)?).to_vec();
        }
        future.extend_from_slice(&last);
    }
    Ok((Tensor::new([rows, out], fitted)?, Tensor::new([steps, out], future)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::kind::CellKind;
    use crate::model::Model;
    use crate::net::shape::Shape;
    use crate::simd::isa::Cpu;

    #[test]
    fn feeds_back_what_it_said() {
        let model = Model::random(Shape::new(CellKind::Gru, 2, 9, 1, 2).unwrap(), 3).unwrap();
        let history = Tensor::new([2, 2], [0.1, 0.2, 0.3, 0.4]).unwrap();
        let mut stream = Stream::on(Cpu::widest(), model).unwrap();
        let (fitted, future) = ahead(&mut stream, &history, 3).unwrap();
        stream.reset();
        let mut by_hand = vec![];
        for x in [[0.1, 0.2], [0.3, 0.4]] {
            by_hand = stream.step_f64(&x).unwrap().to_vec();
        }
        assert_eq!((fitted.dims(), &fitted.data()[2..]), (&[2, 2][..], by_hand.as_slice()));
        for row in future.data().chunks(2) {
            assert_eq!(row, by_hand);
            by_hand = stream.step_f64(&by_hand.clone()).unwrap().to_vec();
        }
    }
}
