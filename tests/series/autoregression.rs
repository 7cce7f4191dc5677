//! Autoregressions are those of statsmodels, and a model of their residuals is the same in every way through the library.

use crate::series::{plan, protocol};
use rnnstep::cpu::Threads;
use rnnstep::data::windows::split;
use rnnstep::evaluate::backtest::{Forecaster, evaluate};
use rnnstep::series::autoregression::fit;
use rnnstep::series::naive::Naive;
use rnnstep::train::{Recipe, Table, TargetAs};
use rnnstep::units::autoregression::Autoregression;
use rnnstep::{CellKind, Cpu, Device, Model, TargetTransform, Tensor};
use serde::Deserialize;

/// A case of `tests/golden/autoregression.py`.
#[derive(Deserialize)]
struct Case {
    name: String,
    difference: usize,
    most: usize,
    /// `None` is a missing value.
    values: Vec<Option<f64>>,
    coefficients: Vec<f64>,
    ahead: Vec<f64>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../golden/autoregression.json")).unwrap()
}

/// The series of the case with this name.
fn values_of(name: &str) -> Vec<f64> {
    cases().into_iter().find(|case| case.name == name).unwrap().values.into_iter().flatten().collect()
}

fn ahead(autoregression: &Autoregression, values: &[f64], rows: usize) -> Vec<f64> {
    let mut out = vec![0.0; rows];
    Naive::Autoregression(autoregression.clone()).forecast(values, &mut out);
    out
}

#[test]
fn coefficients_and_forecasts_are_those_of_statsmodels() {
    for Case { name, difference, most, values, coefficients, ahead: expected } in cases() {
        let values: Vec<f64> = values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect();
        let found = fit(&[&values], difference, most).unwrap();
        let mut terms = std::collections::BTreeMap::new();
        for (i, a) in coefficients.iter().enumerate() {
            *terms.entry(i + 1).or_insert(0.0) += a;
            if difference > 0 {
                *terms.entry(i + 1 + difference).or_insert(0.0) -= a;
            }
        }
        if difference > 0 {
            *terms.entry(difference).or_insert(0.0) += 1.0;
        }
        assert_eq!(
            found.terms().map(|(lag, _)| lag).collect::<Vec<_>>(),
            terms.keys().copied().collect::<Vec<_>>(),
            "{name}"
        );
        for ((lag, a), b) in found.terms().zip(terms.values()) {
            assert!((a - b).abs() < 1e-6, "{name}: lag {lag}: {a}, not {b}");
        }
        let spread = values.iter().fold(0.0_f64, |most, v| most.max((v - values[0]).abs()));
        // a forecast starts from the last known values
        let carry = |last: &mut f64, value: &f64| {
            *last = if value.is_nan() { *last } else { *value };
            Some(*last)
        };
        let values: Vec<f64> = values.iter().scan(0.0, carry).collect();
        for (a, b) in ahead(&found, &values, 3).iter().zip(&expected) {
            assert!((a - b).abs() < 1e-6 * spread, "{name}: {a}, not {b}");
        }
    }
}

/// Several series give the coefficients of one, if each is the same; no lag reaches from one into the next.
#[test]
fn several_series_are_one_sample() {
    let values = &values_of("two lags");
    let one = fit(&[values], 0, 3).unwrap();
    for (lag, a) in fit(&[values, values], 0, 3).unwrap().terms() {
        assert!((a - one.terms().nth(lag - 1).unwrap().1).abs() < 1e-9);
    }
    let far: Vec<f64> = values.iter().map(|v| v + 500.0).collect();
    let both = fit(&[values, &far], 1, 3).unwrap();
    let alone = fit(&[values], 1, 3).unwrap();
    assert!(both.terms().zip(alone.terms()).all(|((_, a), (_, b))| (a - b).abs() < 1e-9));
}

fn model_of(values: &[f64], transform: TargetAs, epochs: u64) -> (Table, Model, bool) {
    let column = Tensor::new([values.len(), 1], values.to_vec()).unwrap();
    let table = Table::new(column.clone(), column, Some(vec![0])).unwrap();
    let recipe = Recipe { seed: 1, ..Recipe::default() };
    let plan = plan(CellKind::Gru, 8, transform, epochs, recipe);
    let mut fit = plan.start(&[&table], Cpu::widest(), Threads::default()).unwrap();
    let outcome = fit.finish().unwrap();
    (table, outcome.model, outcome.learned)
}

/// Where a network has nothing to learn, the model forecasts what the autoregression does, at every horizon.
#[test]
fn a_constant_network_leaves_the_autoregression() {
    let values = values_of("two lags");
    let (table, model, learned) = model_of(&values, TargetAs::Residual, 3);
    assert!(!learned && model.has_constant_head());
    let found = evaluate(&table, &protocol(150, 4), &Device::Cpu(Cpu::widest()), |_, _, _| Ok(model.clone())).unwrap();
    let units = model.units().unwrap();
    let [autoregression] = units.fitted().autoregressions() else { panic!() };
    // the constant is the mean residual of the training part, which is close to 0
    let constant = units.y().shift()[0]
        + units.y().scale()[0] * f64::from(model.params()[model.layout().head.clone().unwrap().1][0]);
    let by_model = &found.columns[0].forecasters[0];
    assert_eq!(by_model.forecaster, Forecaster::Model);
    for (origin, forecasts) in (149..).zip(by_model.values.chunks(4)) {
        let mut history = values[..=origin].to_vec();
        for value in forecasts {
            let expected = ahead(autoregression, &history, 1)[0] + constant;
            assert!((value - expected).abs() < 1e-5, "{origin}: {value}, not {expected}");
            history.push(expected);
        }
    }
}

/// The finished model has coefficients of all rows. The model that scores are computed with has those of the training
/// part alone.
#[test]
fn coefficients_are_fitted_again_at_the_end() {
    let values = &values_of("two lags");
    let column = Tensor::new([values.len(), 1], values.clone()).unwrap();
    let table = Table::new(column.clone(), column, Some(vec![0])).unwrap();
    let plan = plan(CellKind::Gru, 8, TargetAs::Residual, 2, Recipe::default());
    let mut training = plan.start(&[&table], Cpu::widest(), Threads::default()).unwrap();
    let finished = training.finish().unwrap().model;
    let rows = split(values.len(), 0.2).unwrap().0.end;
    let of = |model: &Model| model.units().unwrap().fitted().autoregressions().to_vec();
    let transform = finished.units().unwrap().transform();
    let TargetTransform::Residual { difference, .. } = transform else { panic!("{transform:?}") };
    assert_eq!(of(&finished), [fit(&[values], difference, 10).unwrap()]);
    assert_eq!(of(&training.judged(finished)), [fit(&[&values[..rows]], difference, 10).unwrap()]);
}
