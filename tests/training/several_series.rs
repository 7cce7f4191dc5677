//! One global model over several series: each has its own windows, scalers and held-out rows, and
//! nothing crosses.

use crate::series::{self, column, table};
use rnnstep::data::windows::Windows;
use rnnstep::train::Recipe;
use rnnstep::train::{Plan, Table};
use rnnstep::units::scaler::Scaling;
use rnnstep::{CellKind, Cpu, TargetTransform, Tensor};

/// Series number `n`, so many rows of one column.
fn values(n: usize, rows: usize) -> Vec<f32> {
    (0..rows).map(|t| n as f32 * 100.0 + (t as f32 * (0.3 + 0.2 * n as f32)).sin() * 5.0 + 7.0).collect()
}

fn plan(transform: TargetTransform, carry: bool, batch: usize) -> Plan {
    let recipe = Recipe { carry, ..Recipe::default() };
    Plan { seq_len: 5, batch, val_fraction: 0.25, ..series::plan(CellKind::Gru, 6, transform, 4, recipe) }
}

/// x and target of every step of an epoch, one row a sequence.
fn epoch(windows: &mut Windows) -> Vec<(Vec<f32>, Vec<f32>)> {
    let (steps, batch) = (windows.seq_len(), windows.batch());
    let (mut x, mut target) = (vec![0.0; steps * batch], vec![0.0; steps * batch]);
    let mut all = Vec::new();
    for k in 0..windows.steps_per_epoch().unwrap() {
        let count = windows.fill(k, &mut x, &mut target);
        let of = |rows: &[f32], b: usize| (0..steps).map(|t| rows[t * count + b]).collect::<Vec<f32>>();
        all.extend((0..count).map(|b| (of(&x, b), of(&target, b))));
    }
    all
}

#[test]
fn windows_never_cross_from_one_series_to_another() {
    let series = [values(0, 23), values(1, 12), values(2, 31)];
    let pairs = || series.iter().map(|values| (column(values).narrow(), column(values).narrow())).collect::<Vec<_>>();
    // all windows that there are, by hand
    let mut by_hand: Vec<Vec<f32>> = series.iter().flat_map(|s| s.windows(6).map(<[f32]>::to_vec)).collect();
    let mut shuffled = epoch(&mut Windows::shuffled_of(pairs(), 5, 1, 4, false, 3).unwrap());
    for (x, target) in &shuffled {
        assert_eq!(x[1..], target[..4]);
    }
    let order: Vec<f32> = shuffled.iter().map(|(x, _)| x[0]).collect();
    assert!(order[..10].windows(2).any(|two| (two[0] - two[1]).abs() > 50.0), "series are mixed: {order:?}");
    let by_first = |a: &f32, b: &f32| a.total_cmp(b);
    shuffled.sort_by(|a, b| by_first(&a.0[0], &b.0[0]));
    by_hand.sort_by(|a, b| by_first(&a[0], &b[0]));
    let found: Vec<Vec<f32>> = shuffled.into_iter().map(|(x, target)| [&x[..], &target[4..]].concat()).collect();
    assert_eq!(found, by_hand);
    // carried: the lanes of each series, one series after the other, each from a fresh state
    let mut carried = Windows::lanes_of(pairs(), 5, 2, false).unwrap();
    let mut expected = Vec::new();
    let mut starts = Vec::new();
    for values in &series {
        let mut one = Windows::lanes(column(values).narrow(), column(values).narrow(), 5, 2, false).unwrap();
        starts.push(expected.len() as u64 / 2);
        expected.extend(epoch(&mut one));
    }
    assert_eq!(epoch(&mut carried), expected);
    let epochs = carried.steps_per_epoch().unwrap();
    let found: Vec<u64> = (0..2 * epochs).filter(|&k| carried.starts_again(k)).collect();
    assert_eq!(found, [starts.clone(), starts.iter().map(|k| k + epochs).collect()].concat());
    // a card takes the same rows, by number
    let (mut x, mut target) = ([0; 2], [0; 2]);
    let rows = carried.rows().unwrap().0.to_vec();
    for k in 0..epochs {
        assert_eq!(carried.starts(k, &mut x, &mut target), 2);
        for b in 0..2 {
            assert_eq!(rows[x[b] as usize], expected[k as usize * 2 + b].0[0]);
            assert_eq!(target[b], x[b] + 1);
        }
    }
    assert!(Windows::lanes_of(vec![], 5, 2, false).is_err());
    assert!(Windows::lanes_of(pairs(), 5, 3, false).is_err(), "12 rows are no 3 windows of 5");
    let wide = Tensor::new([8, 2], [0.0; 16]).unwrap();
    assert!(
        Windows::shuffled_of(
            vec![(column(&series[0]).narrow(), column(&series[0]).narrow()), (wide.clone(), wide)],
            5,
            1,
            1,
            false,
            0
        )
        .is_err()
    );
}

/// The loss on what is held out is the mean over the rows of all series, each warmed up in itself.
#[test]
fn held_out_rows_count_alike() {
    let series = [values(0, 60), values(1, 140)];
    let tables = series.each_ref().map(|values| table(values));
    for transform in [TargetTransform::Value, TargetTransform::Change] {
        let plan = plan(transform, false, 8);
        let all = plan.prepare(&[&tables[0], &tables[1]]).unwrap();
        assert_eq!((all.train_rows, all.left_out.len()), (vec![45, 105], 0));
        let shape = plan.shape_for(1, 1).unwrap();
        let model = rnnstep::Model::random(shape, 5).unwrap().with_units(all.units.clone().unwrap()).unwrap();
        let device = Cpu::widest().into();
        let found = all.validation.unwrap().loss(&model, &plan.recipe, &device).unwrap();
        // by hand: a stream in raw units, errors in the network's
        let (mut sum, mut count) = (0.0, 0.0);
        for (values, first) in series.iter().zip([45, 105]) {
            let mut stream = rnnstep::Stream::new(model.clone()).unwrap();
            let scale = all.units.as_ref().unwrap().y().scale()[0];
            for t in 0..values.len() - 1 {
                let y = stream.step(&values[t..=t]).unwrap()[0];
                if t + 1 >= first {
                    sum += (f64::from(y - values[t + 1]) / scale).powi(2);
                    count += 1.0;
                }
            }
        }
        assert_eq!(count, 15.0 + 35.0);
        assert!((found - sum / count).abs() < 2e-3 * found, "{transform:?}: {found} {}", sum / count);
    }
}

#[test]
fn scalers_see_the_training_parts_of_all_and_changes_start_anew() {
    let series = [values(0, 60), values(3, 40)];
    let tables = series.each_ref().map(|values| table(values));
    let of = |transform| plan(transform, false, 8).prepare(&[&tables[0], &tables[1]]).unwrap().units.unwrap();
    let train: Vec<f64> = [&series[0][..45], &series[1][..30]].concat().into_iter().map(f64::from).collect();
    let mean = train.iter().sum::<f64>() / train.len() as f64;
    assert!((of(TargetTransform::Value).x().shift()[0] - mean).abs() < 1e-3);
    let changes: Vec<f64> = [&series[0][..45], &series[1][..30]]
        .iter()
        .flat_map(|s| s.windows(2).map(|two| f64::from(two[1] - two[0])))
        .collect();
    let mean = changes.iter().sum::<f64>() / changes.len() as f64;
    assert!((of(TargetTransform::Change).x().shift()[0] - mean).abs() < 1e-4, "300 in between would be 4");
}

#[test]
fn what_is_too_short_is_left_out() {
    let tables = [values(0, 60), values(1, 5), values(2, 60), vec![0.0; 60]].map(|values| table(&values));
    let all = tables.each_ref();
    let found = plan(TargetTransform::RelativeChange, true, 2).prepare(&all).unwrap();
    assert_eq!(found.train_rows, [45, 0, 45, 0]);
    let reasons: Vec<(usize, &str)> = found.left_out.iter().map(|one| (one.series, one.reason.as_str())).collect();
    assert_eq!(reasons[0], (1, "4 rows to train on, 12 are needed"));
    assert!(reasons[1].0 == 3 && reasons[1].1.contains("the value of row 1 is 0"), "{reasons:?}");
    let none = plan(TargetTransform::Value, true, 1).prepare(&[all[1], all[1]]).unwrap_err().to_string();
    assert!(none.contains("none of the 2 series can be trained on: 4 rows to train on, 6 are needed"), "{none}");
    assert!(plan(TargetTransform::Value, true, 0).prepare(&all).unwrap_err().to_string().contains("batch 0"));
    assert!(plan(TargetTransform::Value, true, 1).prepare(&[] as &[Table]).is_err());
}

/// What is looked for is what the form needs, in all rows, and a reason says which row it is.
#[test]
fn changes_that_are_none_leave_a_series_out() {
    let with = |row: usize, two: [f32; 2]| {
        let mut values = values(1, 60);
        values[row..row + 2].copy_from_slice(&two);
        table(&values)
    };
    // 45 rows are trained on
    for row in [20, 55] {
        let (good, zero, far) = (table(&values(0, 60)), with(row, [0.0, 1.0]), with(row, [-3e38, 3e38]));
        let all = [&good, &zero, &far];
        let reasons = |transform| -> Vec<(usize, String)> {
            let found = plan(transform, false, 8).prepare(&all).unwrap();
            found.left_out.into_iter().map(|one| (one.series, one.reason)).collect()
        };
        let none = format!(
            "target-as relative-change: the value of row {} is 0, where no relative change is defined; use change",
            row + 1
        );
        let huge = format!("target-as: the change from row {} on is not finite; use value", row + 1);
        assert_eq!(reasons(TargetTransform::Change), [(2, huge.clone())]);
        assert_eq!(reasons(TargetTransform::RelativeChange)[0], (1, none));
        assert_eq!(reasons(TargetTransform::Value), []);
    }
}

/// What a series says changes no window of another one.
#[test]
fn another_series_changes_nothing_in_the_windows_of_one() {
    let (a, b) = (values(0, 40), values(1, 40));
    let other: Vec<f32> = b.iter().map(|v| v * 3.0 + 1.0).collect();
    let mut plan = plan(TargetTransform::Value, true, 1);
    plan.scaling = Scaling::None;
    let windows = |second: &[f32]| {
        let tables = [table(&a), table(second)];
        epoch(&mut plan.prepare(&[&tables[0], &tables[1]]).unwrap().windows)
    };
    let (one, two) = (windows(&b), windows(&other));
    assert_eq!(one.len(), 10);
    assert_eq!(one[..5], two[..5]);
    assert!(one[5..].iter().zip(&two[5..]).all(|(one, two)| one != two));
}
