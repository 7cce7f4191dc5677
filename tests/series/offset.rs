//! A constant that is added to a series changes no score, no verdict and no forecast but by itself.

use crate::series::{plan, protocol};
use rnnstep::evaluate::backtest::{Evaluation, evaluate};
use rnnstep::series::forecast::Forecast;
use rnnstep::series::interval::Options;
use rnnstep::series::one_step::scores;
use rnnstep::train::{Plan, Recipe, Table, TargetAs};
use rnnstep::{CellKind, Cpu, Device, TargetTransform, Tensor};

/// Readings of a meter on a grid of 2^-10: a total that grows by about 0.02 a row.
fn meter(offset: f64) -> Tensor<f64> {
    let reading = |t: usize| {
        let t = t as f64;
        0.0225 * t + 0.3 * (0.26 * t).sin() / 13.0
    };
    let values: Vec<f64> = (0..300).map(|t| (reading(t) * 1024.0).round() / 1024.0 + offset).collect();
    Tensor::new([300, 1], values).unwrap()
}

fn table(offset: f64) -> Table {
    Table::new(meter(offset), meter(offset), Some(vec![0])).unwrap()
}

fn trained_by(transform: TargetAs) -> Plan {
    plan(CellKind::Gru, 6, transform, 4, Recipe::default())
}

fn walk(offset: f64, transform: TargetAs) -> Evaluation {
    let device = Device::Cpu(Cpu::widest());
    let fit = |rows: &Table, _, _| {
        Ok(trained_by(transform).start(&[rows], device.clone(), Default::default())?.finish()?.model)
    };
    evaluate(&table(offset), &protocol(240, 3), &device, fit).unwrap()
}

/// The root mean squared error of the last value for the first rows, from numpy: `sqrt(mean(diff(v[239:])**2))`.
const LAST_VALUE: f64 = 0.023_412_733_768;

#[test]
fn scores_and_forecasts_do_not_mind_a_constant() {
    let given = [TargetTransform::Value, TargetTransform::Change, TargetTransform::SeasonalChange { season: 24 }];
    for transform in given.map(TargetAs::from).into_iter().chain([TargetAs::Auto, TargetAs::Residual]) {
        let plain = walk(0.0, transform);
        for offset in [1e3, 123_456_789.0, -1e9, 1e12] {
            let moved = walk(offset, transform);
            // f64 holds a value near the constant to this
            let finest = offset.abs() * f64::EPSILON;
            for (plain, moved) in plain.columns[0].forecasters.iter().zip(&moved.columns[0].forecasters) {
                let name = plain.forecaster;
                assert_eq!(name, moved.forecaster);
                for (a, b) in plain.values.iter().zip(&moved.values) {
                    assert!((b - offset - a).abs() <= 1e-4 + 64.0 * finest, "{transform:?} {offset} {name}: {a} {b}");
                }
                for (a, b) in plain.scores.iter().zip(&moved.scores) {
                    assert!((a.rmse() - b.rmse()).abs() <= 1e-4 + 64.0 * finest, "{transform:?} {offset} {name}");
                }
            }
        }
    }
}

#[test]
fn a_forecast_goes_on_from_a_large_value() {
    let loaded = |offset: f64| {
        let path = std::env::temp_dir().join(format!("rnnstep-offset-{}-{offset}.safetensors", std::process::id()));
        let fit =
            trained_by(TargetTransform::Change.into()).start(&[&table(offset)], Cpu::widest(), Default::default());
        fit.unwrap().finish().unwrap().model.save(&path).unwrap();
        let loaded = rnnstep::model::file::load(&path, &Default::default(), Cpu::widest()).unwrap();
        std::fs::remove_file(&path).unwrap();
        loaded
    };
    let forecast = |offset: f64| {
        Forecast::new(&loaded(offset), Cpu::widest(), Cpu::widest(), &meter(offset), &Options::new(20, [0.8])).unwrap()
    };
    let (plain, moved) = (forecast(0.0), forecast(1e9));
    for (a, b) in plain.values.data().iter().zip(moved.values.data()) {
        assert!((b - 1e9 - a).abs() < 1e-3, "{a} {b}");
    }
    let last = moved.values.data()[19];
    assert!(moved.values.data().windows(2).all(|pair| pair[0] < pair[1]), "{:?}", moved.values.data());
    assert!(moved.intervals[0].lower.data()[19] < last && last < moved.intervals[0].upper.data()[19]);
}

#[test]
fn the_last_value_has_the_error_that_numpy_gives_it() {
    for offset in [0.0, 123_456_789.0, 1e12] {
        let actuals = meter(offset).part(239..300).unwrap();
        let last = actuals.part(0..60).unwrap();
        let found = scores(&last, &actuals).unwrap()[0].persistence_rmse;
        assert!((found - LAST_VALUE).abs() < 5e-7, "{offset}: {found}");
    }
}
