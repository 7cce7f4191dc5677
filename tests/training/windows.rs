//! Every row of a series is in its window, whatever the order of the calls.

use proptest::prelude::*;
use rnnstep::Tensor;
use rnnstep::data::windows::{Windows, split};

/// A series of two columns in, one out, whose values say their row.
fn series(rows: usize) -> (Tensor, Tensor) {
    let x = (0..rows).flat_map(|row| [row as f32, -(row as f32)]).collect::<Vec<_>>();
    let target = (0..rows).map(|row| 10.0 * row as f32).collect::<Vec<_>>();
    (Tensor::new([rows, 2], x).unwrap(), Tensor::new([rows, 1], target).unwrap())
}

/// Step `k`: for each sequence the row it starts at, after checking that all its rows follow one another.
fn starts(windows: &mut Windows, k: u64) -> Vec<usize> {
    let (steps, batch) = (windows.seq_len(), windows.batch());
    let mut x = vec![f32::NAN; steps * batch * 2];
    let mut target = vec![f32::NAN; steps * batch];
    let found = windows.fill(k, &mut x, &mut target);
    let start = |b: usize| x[b * 2] as usize;
    for (t, b) in (0..steps).flat_map(|t| (0..found).map(move |b| (t, b))) {
        let row = (start(b) + t) as f32;
        assert_eq!(x[(t * found + b) * 2..][..2], [row, -row]);
        if !windows.last_only() {
            assert_eq!(target[t * found + b], 10.0 * (row + 1.0));
        }
    }
    if windows.last_only() {
        (0..found).for_each(|b| assert_eq!(target[b], 10.0 * (start(b) + steps) as f32));
    }
    (0..found).map(start).collect()
}

proptest! {
    #[test]
    fn lanes_go_on_where_they_were(rows in 2..400_usize, seq_len in 1..30_usize, batch in 1..6_usize, last: bool) {
        let (x, target) = series(rows);
        let windows = Windows::lanes(x, target, seq_len, batch, last);
        if (rows - 1) / batch < seq_len {
            prop_assert!(windows.is_err());
            return Ok(());
        }
        let mut windows = windows.unwrap();
        let count = windows.steps_per_epoch().unwrap();
        let epoch: Vec<Vec<usize>> = (0..count).map(|k| starts(&mut windows, k)).collect();
        for (k, pair) in epoch.windows(2).enumerate() {
            prop_assert!(pair[0].iter().zip(&pair[1]).all(|(a, b)| a + seq_len == *b));
            prop_assert!(!windows.starts_again(k as u64 + 1));
        }
        prop_assert!(windows.starts_again(0) && windows.starts_again(count));
        // the lanes do not overlap, and less than one window of each is left out
        let mut all: Vec<usize> = epoch.concat();
        all.sort_unstable();
        prop_assert!(all.windows(2).all(|pair| pair[1] - pair[0] >= seq_len));
        prop_assert!(all.len() * seq_len + batch * seq_len + batch > rows - 1);
        prop_assert_eq!(starts(&mut windows, count), epoch[0].clone());
    }

    #[test]
    fn shuffled_takes_each_window_once_an_epoch(
        rows in 2..300_usize, seq_len in 1..20_usize, stride in 1..5_usize, batch in 1..40_usize, seed: u64,
    ) {
        let (x, target) = series(rows);
        let windows = Windows::shuffled(x.clone(), target.clone(), seq_len, stride, batch, false, seed);
        if rows < seq_len + 1 {
            prop_assert!(windows.is_err());
            return Ok(());
        }
        let mut windows = windows.unwrap();
        let per_epoch = windows.steps_per_epoch().unwrap();
        let forwards: Vec<Vec<usize>> = (0..3 * per_epoch).map(|k| starts(&mut windows, k)).collect();
        for epoch in forwards.chunks(per_epoch as usize) {
            let mut all = epoch.concat();
            all.sort_unstable();
            let expected: Vec<usize> = (0..=rows - 1 - seq_len).step_by(stride).collect();
            prop_assert_eq!(all, expected);
        }
        // backwards, from a fresh start: the same windows
        let mut fresh = Windows::shuffled(x, target, seq_len, stride, batch, false, seed).unwrap();
        for k in (0..3 * per_epoch).rev() {
            prop_assert_eq!(&starts(&mut fresh, k), &forwards[k as usize]);
        }
    }
}

#[test]
fn epochs_and_seeds_differ() {
    let (x, target) = series(200);
    let order = |seed, epoch: u64| {
        let mut windows = Windows::shuffled(x.clone(), target.clone(), 10, 1, 190, false, seed).unwrap();
        starts(&mut windows, epoch)
    };
    assert_ne!(order(0, 0), order(0, 1));
    assert_ne!(order(0, 0), order(1, 0));
    assert_ne!(order(0, 0), (0..190).collect::<Vec<_>>());
}

#[test]
fn windows_that_came_cut() {
    let x = Tensor::new([2, 2, 3, 1], (0..12).map(|v| v as f32).collect::<Vec<_>>()).unwrap();
    let last = Tensor::new([2, 2, 1], [20.0, 21.0, 22.0, 23.0]).unwrap();
    let mut windows = Windows::cut(x.clone(), last).unwrap();
    let (mut to, mut target) = ([0.0; 6], [0.0; 2]);
    assert_eq!(windows.fill(3, &mut to, &mut target), 2);
    assert_eq!((to, target), ([6.0, 9.0, 7.0, 10.0, 8.0, 11.0], [22.0, 23.0]));
    assert!(windows.last_only() && windows.starts_again(0) && !windows.starts_again(2));
    for dims in [vec![2, 2, 2, 1], vec![2, 1, 1], vec![2, 2], vec![1, 2, 3, 1]] {
        let len: usize = dims.iter().product();
        let error = Windows::cut(x.clone(), Tensor::new(dims, vec![0.0; len]).unwrap()).unwrap_err().to_string();
        assert!(error.contains("expected [2,2,3,O]"), "{error}");
    }
}

#[test]
fn too_few_rows_say_how_many_are_needed() {
    let (x, target) = series(20);
    let error = Windows::lanes(x.clone(), target.clone(), 20, 1, false).unwrap_err().to_string();
    assert!(error.contains("20 rows") && error.contains("need 21"), "{error}");
    let error = Windows::shuffled(x, target, 50, 1, 1, false, 0).unwrap_err().to_string();
    assert!(error.contains("20 rows") && error.contains("need 51"), "{error}");
    assert!(Windows::sine(0).is_err());
}

#[test]
fn the_held_out_part_is_the_end() {
    assert_eq!(split(309, 0.2).unwrap(), (0..247, 247..309));
    assert_eq!(split(10, 0.0).unwrap(), (0..10, 10..10));
    for wrong in [1.0, -0.1, f64::NAN, f64::INFINITY] {
        assert!(split(10, wrong).is_err(), "{wrong}");
    }
}
