//! Percentiles and histograms of latencies agree with their definitions, whatever the times are.
#![cfg(feature = "std")]

use proptest::prelude::*;
use rnnstep::measure::latency::{Distribution, PERCENTILES};
use std::time::Duration;

/// Times of any size; many are alike.
fn times() -> impl Strategy<Value = Vec<Duration>> {
    let time = prop_oneof![3 => 0..20_u64, 3 => 1..100_000_u64, 1 => any::<u64>()].prop_map(Duration::from_nanos);
    prop::collection::vec(time, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_percentile_is_the_shortest_time_that_enough_do_not_exceed(times in times(), per_mille in 0..1100_usize) {
        let found = Distribution::new(times.clone()).unwrap();
        let time = found.percentile(per_mille);
        prop_assert!(times.contains(&time));
        let enough = |bound: Duration| {
            let within = times.iter().filter(|&&time| time <= bound).count();
            1000 * within >= per_mille.min(1000) * times.len()
        };
        prop_assert!(enough(time));
        let shorter = times.iter().filter(|&&other| other < time).max();
        prop_assert!(per_mille == 0 || shorter.is_none_or(|&shorter| !enough(shorter)));
        prop_assert_eq!(found.count(), times.len());
        prop_assert_eq!(Some(found.min()), times.iter().min().copied());
        prop_assert_eq!(Some(found.max()), times.iter().max().copied());
    }

    #[test]
    fn order_does_not_matter_and_percentiles_rise(times in times(), turn in 0..400_usize) {
        let mut turned = times.clone();
        turned.rotate_left(turn % times.len());
        let found = Distribution::new(times).unwrap();
        prop_assert_eq!(&Distribution::new(turned).unwrap(), &found);
        let rising = [0, 1, 250, 500, 900, 990, 999, 1000].map(|p| found.percentile(p));
        prop_assert!(rising.is_sorted());
        prop_assert_eq!(found.known(500), Some(found.percentile(500)));
        let known = PERCENTILES.map(|p| found.known(p));
        prop_assert!(known.into_iter().zip(PERCENTILES).all(|(known, p)| known.is_none_or(|t| t == found.percentile(p))));
    }

    #[test]
    fn bins_join_and_hold_everything(times in times(), per_decade in 1..60_usize) {
        let bins = Distribution::new(times.clone()).unwrap().histogram(per_decade);
        prop_assert!(bins.windows(2).all(|pair| pair[0].to == pair[1].from && pair[0].from < pair[0].to));
        let total: f64 = bins.iter().map(|bin| bin.share).sum();
        prop_assert!((total - 1.0).abs() < 1e-9);
        for bin in &bins {
            let inside = times.iter().map(|time| (time.as_nanos() as f64).max(1.0)).filter(|t| (bin.from..bin.to).contains(t));
            prop_assert_eq!(inside.count(), (bin.share * times.len() as f64).round() as usize);
        }
        prop_assert!(bins[0].share > 0.0 && bins[bins.len() - 1].share > 0.0);
    }
}
