//! Opponents err as little as those of statsmodels, do not look ahead, and end in a reason where they cannot be fitted.

use crate::series::{noise, protocol};
use rnnstep::evaluate::backtest::{Evaluation, Forecaster, Protocol, Verdict, evaluate};
use rnnstep::series::naive::{Naive, seasons};
use rnnstep::series::opponents::{Fitted, NotFitted, Opponent};
use rnnstep::train::Table;
use rnnstep::{CellKind, Cpu, Device, Model, Shape, Tensor};
use serde::Deserialize;

/// A case of `tests/golden/opponents.py`.
#[derive(Deserialize)]
struct Case {
    kind: String,
    name: String,
    train: usize,
    seasons: Vec<usize>,
    ahead: usize,
    rmse: [f64; 2],
    values: Vec<f64>,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../golden/opponents.json")).unwrap()
}

/// The root mean squared errors of `forecast`, one row and `ahead` rows ahead, from each origin from row `first - 1` on.
fn errors(values: &[f64], first: usize, ahead: usize, mut forecast: impl FnMut(usize, &mut [f64])) -> [f64; 2] {
    let (mut sums, mut out) = ([(0.0, 0.0); 2], vec![0.0; ahead]);
    for origin in first - 1..values.len() - 1 {
        forecast(origin, &mut out);
        for ((sum, count), ahead) in sums.iter_mut().zip([1, ahead]) {
            if let Some(actual) = values.get(origin + ahead) {
                *sum += (out[ahead - 1] - actual).powi(2);
                *count += 1.0;
            }
        }
    }
    sums.map(|(sum, count): (f64, f64)| (sum / count).sqrt())
}

fn errors_of(mut fitted: Fitted, values: &[f64], first: usize, ahead: usize) -> [f64; 2] {
    errors(values, first, ahead, |origin, out| {
        if origin >= first {
            fitted.observe(values[origin]);
        }
        fitted.forecast(out);
    })
}

/// Optimisers stop at different places and the smoothers of MSTL skip rows, so that errors are compared and not weights.
/// When this was written they differed by 0.06 % at most.
#[test]
fn errors_are_those_of_statsmodels() {
    for Case { kind, name, train, seasons, ahead, rmse, values } in cases() {
        let opponent = if kind == "ets" { Opponent::ExponentialSmoothing } else { Opponent::Mstl };
        let fitted = opponent.fit(&values[..train], &seasons).unwrap();
        let form = fitted.to_string();
        let found = errors_of(fitted, &values, train, ahead);
        println!("{kind} {name}: {form}: {found:?}, statsmodels {rmse:?}");
        assert!((found[0] / rmse[0] - 1.0).abs() < 0.005, "{name}: {form}: {found:?}, not {rmse:?}");
        assert!((found[1] / rmse[1] - 1.0).abs() < 0.005, "{name}: {form}: {found:?}, not {rmse:?}");
        for season in seasons {
            let naive = errors(&values, train, ahead, |origin, out| {
                Naive::Seasonal(season).forecast(&values[..=origin], out);
            });
            assert!(found[0] < 0.8 * naive[0], "{name}: season {season}: {found:?}, seasonal naive {naive:?}");
        }
    }
}

/// A season with a trend and noise.
fn seasonal(rows: usize) -> Vec<f64> {
    let value = |(t, e): (usize, f32)| 0.02 * t as f64 + [0.0, 3.0, 5.0, 1.0][t % 4] + 0.3 * f64::from(e) + 40.0;
    (0..rows).zip(noise(rows, 5)).map(value).collect()
}

fn walk(values: &[f64], protocol: &Protocol) -> Evaluation {
    let rows = Tensor::new([values.len(), 1], values.to_vec()).unwrap();
    let table = Table::new(rows.clone(), rows, Some(vec![0])).unwrap();
    let device = Device::Cpu(Cpu::widest());
    let model = Model::random(Shape::new(CellKind::Gru, 1, 3, 1, 1).unwrap(), 0).unwrap();
    evaluate(&table, protocol, &device, |_, _, _| Ok(model.clone())).unwrap()
}

#[test]
fn they_take_part_like_naive_forecasts() {
    let values = seasonal(200);
    let found = walk(&values, &protocol(150, 3).with_opponents(Opponent::ALL.to_vec()));
    let column = &found.columns[0];
    let names: Vec<Forecaster> = column.forecasters.iter().map(|one| one.forecaster).collect();
    assert_eq!(names[names.len() - 2..], [Forecaster::ExponentialSmoothing, Forecaster::Mstl]);
    assert!(column.not_fitted.is_empty());
    let best = &column.comparisons[0];
    assert!(best.other.is_opponent() && best.verdict() == Verdict::Worse, "{best:?}");
    let name = match best.other {
        Forecaster::Mstl => "the decomposition into seasons (MSTL)",
        _ => "exponential smoothing",
    };
    assert!(best.sentence().starts_with(&format!("worse than {name} by ")), "{}", best.sentence());
    // without being asked for they are not there, and all others are the same
    let without = walk(&values, &protocol(150, 3));
    assert!(without.columns[0].comparisons[0].other.is_naive());
    for (a, b) in without.columns[0].forecasters.iter().zip(&column.forecasters) {
        assert_eq!((a.forecaster, &a.values, &a.scores), (b.forecaster, &b.values, &b.scores));
    }
    // as many times as one likes, in any order: each once
    let again = walk(&values, &protocol(150, 3).with_opponents([Opponent::ALL, [Opponent::Mstl; 2]].concat()));
    assert_eq!(again.columns[0].forecasters.len(), column.forecasters.len());
}

/// What comes after a row changes nothing of what was forecast before it; also where they are fitted again.
#[test]
fn nothing_looks_ahead() {
    let values = seasonal(200);
    for refit in [None, Some(15)] {
        for gap in [0, 5] {
            let protocol = protocol(140, 2).with_refit(refit).with_gap(gap).with_opponents(Opponent::ALL.to_vec());
            let all = walk(&values, &protocol);
            for cut in [141, 155, 171, 199] {
                let mut other = values.clone();
                other[cut..].iter_mut().enumerate().for_each(|(i, v)| *v = 1000.0 - 77.0 * i as f64);
                let changed = walk(&other, &protocol);
                let known = (cut - all.origins.start) * 2;
                let both = all.columns[0].forecasters.iter().zip(&changed.columns[0].forecasters);
                for (a, b) in both.filter(|(a, _)| a.forecaster.is_opponent()) {
                    assert_eq!(a.values[..known], b.values[..known], "{} {cut}", a.forecaster);
                    assert!(
                        known == a.values.len() || a.values[known..] != b.values[known..],
                        "{} {cut}",
                        a.forecaster
                    );
                }
            }
        }
    }
}

/// The rows of a gap train nothing, but they are known at the first origin.
#[test]
fn a_gap_is_known_and_trains_nothing() {
    let values = seasonal(200);
    let found = walk(&values, &protocol(150, 2).with_gap(7).with_opponents(Opponent::ALL.to_vec()));
    for one in found.columns[0].forecasters.iter().filter(|one| one.forecaster.is_opponent()) {
        let opponent = Opponent::ALL.into_iter().find(|o| Forecaster::from(*o) == one.forecaster).unwrap();
        let mut fitted = opponent.fit(&values[..143], &found.columns[0].seasons).unwrap();
        values[143..150].iter().for_each(|&value| fitted.observe(value));
        let mut out = [0.0; 2];
        fitted.forecast(&mut out);
        assert_eq!(out, one.values[..2], "{opponent}");
    }
}

#[test]
fn a_constant_that_is_added_changes_no_score() {
    let values: Vec<f64> = seasonal(300).iter().map(|v| (v * 1024.0).round() / 1024.0).collect();
    for opponent in Opponent::ALL {
        let rmse = |offset: f64| {
            let moved: Vec<f64> = values.iter().map(|v| v + offset).collect();
            errors_of(opponent.fit(&moved[..240], &[4]).unwrap(), &moved, 240, 4)
        };
        let plain = rmse(0.0);
        for offset in [1e3, 123_456_789.0, -1e9] {
            for (a, b) in plain.iter().zip(rmse(offset)) {
                assert!((a - b).abs() < 1e-4, "{opponent} {offset}: {a} {b}");
            }
        }
        let scaled: Vec<f64> = values.iter().map(|v| v * 1e-150).collect();
        let small = errors_of(opponent.fit(&scaled[..240], &[4]).unwrap(), &scaled, 240, 4);
        assert!((small[0] * 1e150 - plain[0]).abs() < 1e-4 * plain[0], "{opponent}: {small:?}");
    }
}

#[test]
fn what_cannot_be_fitted_has_a_reason() {
    use Opponent::{ExponentialSmoothing, Mstl};
    let values = seasonal(60);
    let reason = |opponent: Opponent, values: &[f64], seasons: &[usize]| opponent.fit(values, seasons).unwrap_err();
    assert_eq!(reason(Mstl, &values, &[]), NotFitted::NoSeason);
    assert_eq!(reason(Mstl, &values, &[0, 1]), NotFitted::NoSeason);
    assert_eq!(reason(Mstl, &values, &[31, 40]), NotFitted::SeasonTooLong { season: 31, rows: 60 });
    for rows in 0..7 {
        assert_eq!(reason(ExponentialSmoothing, &values[..rows], &[]), NotFitted::TooFewRows(rows));
    }
    assert_eq!(reason(ExponentialSmoothing, &[f64::NAN; 100], &[4]), NotFitted::TooFewRows(0));
    assert_eq!(reason(Mstl, &[f64::NAN; 100], &[4]), NotFitted::TooFewRows(0));
    for wrong in [f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
        let mut values = values.clone();
        (values[20], values[21]) = (wrong, -f64::MAX);
        for opponent in Opponent::ALL {
            assert_eq!(reason(opponent, &values, &[4]), NotFitted::NotFinite);
        }
    }
    // a backtest goes on without it, and says so
    let found = walk(&(0..100).map(f64::from).collect::<Vec<_>>(), &protocol(80, 1).with_opponents(vec![Mstl]));
    assert_eq!(found.columns[0].not_fitted, [(Mstl, NotFitted::NoSeason)]);
    assert!(found.columns[0].forecasters.iter().all(|one| !one.forecaster.is_opponent()));
}

/// Series of all sizes that have something odd: whatever can be fitted has finite forecasts.
#[test]
fn odd_series_do_no_harm() {
    let waves = |t: usize| (t as f64 * 0.3).sin();
    type Value = fn(usize) -> f64;
    let odd: [(&str, Value); 7] = [
        ("constant", |_| 7.5),
        ("zero", |_| 0.0),
        ("large constant", |_| 1e300),
        ("straight line", |t| t as f64),
        ("one peak", |t| f64::from(u8::from(t == 9))),
        ("steps", |t| if t < 30 { -1e9 } else { 1e9 }),
        ("smallest", |t| f64::from_bits(t as u64 % 3)),
    ];
    for rows in (0..30).chain([48, 61, 100, 130]) {
        for (name, value) in odd {
            let values: Vec<f64> = (0..rows).map(value).collect();
            check(name, &values);
        }
        check("wave", &(0..rows).map(waves).collect::<Vec<_>>());
        let holes = |t: usize| if t.is_multiple_of(3) || t > 50 { f64::NAN } else { waves(t) };
        check("holes", &(0..rows).map(holes).collect::<Vec<_>>());
    }
}

fn check(name: &str, values: &[f64]) {
    for seasons in [&[][..], &[2], &[3, 7], &[12, 50], &[usize::MAX, 5], &[5, 5]] {
        for opponent in Opponent::ALL {
            let Ok(mut fitted) = opponent.fit(values, seasons) else { continue };
            assert!(fitted.opponent() == opponent && !fitted.to_string().is_empty());
            for value in [f64::NAN, values[values.len() / 3], f64::NAN] {
                fitted.observe(value);
                let mut out = [0.0; 20];
                fitted.forecast(&mut out);
                assert!(out.iter().all(|v| v.is_finite()), "{name} {} {seasons:?} {fitted}: {out:?}", values.len());
            }
        }
    }
}

/// A missing value is not learned from, and what follows is as good as before.
#[test]
fn missing_values_are_passed_over() {
    let mut values = seasonal(400);
    let complete = values.clone();
    for row in (7..400).step_by(9).chain(100..120) {
        values[row] = f64::NAN;
    }
    for opponent in Opponent::ALL {
        let fitted = opponent.fit(&values[..300], &[4]).unwrap();
        let mut running = fitted.clone();
        let found = errors(&complete, 300, 4, |origin, out| {
            if origin >= 300 {
                running.observe(values[origin]);
            }
            running.forecast(out);
        });
        let whole = errors_of(opponent.fit(&complete[..300], &[4]).unwrap(), &complete, 300, 4);
        assert!(found[0] < 1.1 * whole[0], "{opponent}: {found:?}, without gaps {whole:?}");
    }
}

/// A long series with a day, a week and a year is fitted within seconds.
#[test]
fn work_is_bounded() {
    let values: Vec<f64> = (0..40_000)
        .zip(noise(40_000, 2))
        .map(|(t, e)| {
            let t = t as f64;
            (t * std::f64::consts::TAU / 24.0).sin() + (t * std::f64::consts::TAU / 365.0).cos() + 0.1 * f64::from(e)
        })
        .collect();
    let start = std::time::Instant::now();
    for opponent in Opponent::ALL {
        let found = errors_of(opponent.fit(&values[..30_000], &[24, 365, 3000]).unwrap(), &values, 30_000, 1);
        println!("{opponent}: {found:?} after {:.1?}", start.elapsed());
        assert!(found[0] < 0.5, "{opponent}: {found:?}");
    }
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    assert!(seasons(&values[..1000]).contains(&24));
}
