//! The seasons of a series, found in series that were made with them, and in none that was made without.

use crate::golden::{Case, golden_folder};
use rnnstep::random::{Purpose, Random};
use rnnstep::series::naive::{season, seasons};

/// Shapes, trends, noise and pairs of seasons: `tests/golden/seasons.py` has made them.
#[test]
fn the_seasons_are_those_that_a_series_was_made_with() {
    let case = Case::read(&golden_folder().join("seasons.safetensors"));
    let near = case.about["near"].as_array().unwrap();
    let (mut wrong, mut all) = (Vec::new(), 0);
    for (name, known) in case.about["seasons"].as_object().unwrap() {
        let known: Vec<usize> = serde_json::from_value(known.clone()).unwrap();
        let found = seasons(case.f64s(name));
        // the peak of a sine is flat: noise moves it
        let off = |known: usize| if near.iter().any(|one| one == name) { known / 20 } else { 0 };
        let has = |known: usize| found.iter().any(|&found| found.abs_diff(known) <= off(known));
        // half of a season may count as one of its own, if it explains most of the whole
        let is_part =
            |found: usize| known.iter().any(|known| known % found == 0 || found.abs_diff(*known) <= off(*known));
        let right = known.iter().all(|&known| has(known)) && found.iter().all(|&found| is_part(found));
        all += 1;
        if !right {
            wrong.push(format!("{name}: {found:?}"));
        }
    }
    assert!(all > 50 && wrong.is_empty(), "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Seasons of 2 to 400 rows, by shape, noise and trend, each seen five to nine times.
#[test]
fn seasons_of_every_length() {
    let (mut wrong, mut all) = (Vec::new(), 0);
    for seed in 0..240_u64 {
        let mut random = Random::new(seed, Purpose::Order, 7);
        // short and long ones alike
        let rows = (2.0 * 200_f64.powf(seed as f64 / 239.0)).round() as usize;
        let (times, shape) = (5 + random.below(5), ["sine", "levels", "peak", "step"][random.below(4)]);
        if rows == 2 && shape != "levels" || rows < 4 && shape == "sine" {
            continue; // too few rows for a shape of its own
        }
        let levels = crate::series::wide(&crate::series::noise(rows, seed + 1000));
        let at = random.below(rows);
        let one: Vec<f64> = (0..rows)
            .map(|t| match shape {
                "sine" => (std::f64::consts::TAU * (t + at) as f64 / rows as f64).sin(),
                "levels" => levels[t],
                "peak" => f64::from(u8::from(t == at)),
                _ => f64::from(u8::from(t < (rows * 5 / 7).max(1))),
            })
            .collect();
        let mean = one.iter().sum::<f64>() / rows as f64;
        let deviation = (one.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / rows as f64).sqrt();
        let noise = crate::series::wide(&crate::series::noise(rows * times, seed + 2000));
        let of_noise = (noise.iter().map(|v| v * v).sum::<f64>() / noise.len() as f64).sqrt();
        let (part, slope) = ([0.0, 0.25, 0.5][random.below(3)], [0.0, 3.0, -10.0][random.below(3)]);
        let values: Vec<f64> = (0..rows * times)
            .map(|t| {
                let trend = slope * t as f64 / (rows * times) as f64;
                (one[t % rows] - mean) / deviation + part * noise[t] / of_noise + trend
            })
            .collect();
        let found = seasons(&values);
        // the peak of a sine is flat: noise moves it
        let off = if shape == "sine" { rows / 20 } else { 0 };
        let is_part = |found: usize| found.abs_diff(rows) <= off || rows.is_multiple_of(found);
        all += 1;
        if !found.iter().any(|found| found.abs_diff(rows) <= off) || !found.iter().all(|&found| is_part(found)) {
            wrong.push(format!("{shape} of {rows} rows, {times} times, noise {part}, slope {slope}: {found:?}"));
        }
    }
    assert!(all > 200 && wrong.len() <= all / 100, "{} of {all}:\n{}", wrong.len(), wrong.join("\n"));
}

/// White noise, random walks, autoregressions and their sums, of several lengths and many seeds.
#[test]
fn a_series_without_a_season_has_none() {
    let mut found = Vec::new();
    let mut all = 0;
    for seed in 0..200 {
        let rows = [30, 60, 120, 300][seed as usize % 4];
        let noise = crate::series::wide(&crate::series::noise(rows, seed));
        let follow = |part: f64| {
            let mut at = 0.0;
            noise
                .iter()
                .map(|step| {
                    at = part * at + step;
                    at
                })
                .collect::<Vec<f64>>()
        };
        let mut random = Random::new(seed, Purpose::Order, 1);
        let counts = noise.iter().map(|_| f64::from(4.0 * random.uniform()).floor()).collect();
        for (kind, values) in [
            ("noise", noise.clone()),
            ("alternating", follow(-0.5)),
            ("autoregression 0.5", follow(0.5)),
            ("autoregression 0.9", follow(0.9)),
            ("walk", follow(1.0)),
            ("walk with noise", follow(1.0).iter().zip(noise.iter().rev()).map(|(walk, e)| walk + 3.0 * e).collect()),
            ("counts", counts),
        ] {
            all += 1;
            let seasons = seasons(&values);
            if !seasons.is_empty() {
                found.push(format!("{kind} of {rows} rows, seed {seed}: {seasons:?}"));
            }
        }
    }
    // one in a thousand is meant, for each kind
    assert!(found.len() <= all / 200, "{} of {all}:\n{}", found.len(), found.join("\n"));
}

#[test]
fn real_series_have_the_seasons_that_everybody_knows() {
    let column = |file: &str, column: usize| -> Vec<f64> {
        let text = std::fs::read_to_string(format!("{}/examples/data/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        text.lines().skip(1).map(|line| line.split(',').nth(column).unwrap().parse().unwrap()).collect()
    };
    // sunspots by year: a cycle of 11 years. The temperatures of Seattle by day: a year
    let cycle = seasons(&column("sunspots.csv", 1));
    assert!(matches!(cycle[..], [10 | 11]), "{cycle:?}");
    let year = seasons(&column("seattle-weather.csv", 2));
    assert!(year.len() == 1 && year[0].abs_diff(365) <= 365 / 20, "{year:?}");
}

#[test]
fn of_several_seasons_the_best_forecast_counts() {
    let wave = |t: usize, rows: usize| (t as f64 / rows as f64 * std::f64::consts::TAU).sin();
    let values: Vec<f64> = (0..168 * 6).map(|t| wave(t, 24) + wave(t, 168)).collect();
    assert_eq!(seasons(&values), [24, 168]);
    assert_eq!(season(&values), Some(168));
}

#[test]
fn odd_series_have_no_season_and_do_no_harm() {
    let with = |rows: usize, at: usize, value: f64| {
        let mut values = vec![1.0; rows];
        values[at] = value;
        values
    };
    for none in [
        vec![],
        vec![1.0],
        vec![2.0; 50],
        vec![0.1; 5000],
        vec![1.0, 2.0, 3.0],
        vec![1.0, 2.0, 1.0, 2.0],
        (0..300).map(|t| 1e9 + 0.1 * f64::from(t)).collect(),
        with(40, 20, 7.0),
        with(40, 20, f64::NAN),
        with(40, 3, f64::INFINITY),
        with(40, 3, f64::MAX),
        with(40, 3, f64::MIN_POSITIVE),
        vec![f64::MAX; 30],
        (0..60).map(|t| if t % 2 == 0 { f64::MAX } else { f64::MIN }).collect(),
    ] {
        assert_eq!(seasons(&none), [0; 0], "{none:?}");
    }
    // the level and the unit do not matter
    let wave: Vec<f64> = (0..120).map(|t| f64::from(t % 12 * (t % 12))).collect();
    for (level, unit) in [(0.0, 1.0), (1e9, 1.0), (-5.0, 1e-300), (0.0, 1e100)] {
        let values: Vec<f64> = wave.iter().map(|value| level + unit * value).collect();
        let expected: &[usize] = if unit == 1e-300 && level != 0.0 { &[] } else { &[12] };
        assert_eq!(seasons(&values), expected, "{level} {unit}");
    }
}
