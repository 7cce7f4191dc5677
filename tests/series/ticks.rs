//! Ticks of axes: round dates below, at least two labels next to every panel.

use proptest::prelude::*;
use rnnstep::plot::{Figure, Line, Plot, Role, Scale, picture, terminal};

/// The labels below a plot of rows with these times.
fn dates(start: i64, step: i64, rows: i64, width: usize) -> Vec<String> {
    let line = Line::new("", Role::History, (0..rows).map(|i| (i as f64, 1.0)).collect());
    let mut plot = Plot::new("", "", "").with(line);
    plot.x_times = (0..rows).map(|row| start + row * step).collect();
    let svg = picture::svg(&plot.clone().into()).unwrap();
    let text = terminal::render(&plot, width, 10, false);
    let labels: Vec<String> = text.lines().last().unwrap().trim().split("  ").map(|word| word.trim().into()).collect();
    let labels: Vec<String> = labels.into_iter().filter(|label| !label.is_empty()).collect();
    assert!(labels.len() >= 2 && labels.iter().any(|label| svg.contains(label)), "{labels:?}");
    labels
}

#[test]
fn ticks_of_times_are_round_dates() {
    const DAY: i64 = 86_400;
    let new_year = 1_609_459_200; // 2021-01-01
    assert_eq!(
        dates(new_year - 20 * DAY, DAY, 1461, 80),
        ["Jan 2021", "Jul", "Jan 2022", "Jul", "Jan 2023", "Jul", "Jan 2024", "Jul"]
    );
    assert_eq!(dates(new_year + 9 * DAY, DAY, 150, 60), ["Feb 2021", "Mar", "Apr", "May", "Jun"]);
    assert_eq!(dates(new_year + DAY, DAY, 30, 70), ["4 Jan 2021", "11 Jan", "18 Jan", "25 Jan"]);
    assert_eq!(dates(new_year - 3600 * 3, 3600, 30, 60), ["1 Jan 2021", "06:00", "12:00", "18:00", "2 Jan"]);
    assert_eq!(dates(new_year + 600, 60, 60, 60)[1..], ["00:30", "00:40", "00:50", "01:00"]);
    assert_eq!(dates(-100 * 365 * DAY, 365 * DAY, 200, 60), ["1900", "1950", "2000", "2050"]);
    // the same times far apart in one row and a gap of months: no label stands at a row that is not of its date
    let mut plot =
        Plot::new("", "", "").with(Line::new("", Role::History, (0..9).map(|i| (f64::from(i), 1.0)).collect()));
    plot.x_times = [0, 1, 2, 3, 200, 201, 202, 203, 204].map(|day| new_year + day * DAY).to_vec();
    let text = terminal::render(&plot, 90, 10, false);
    assert!(!text.contains("Feb") && !text.contains("Mar"), "{text}");
}

/// How many numbers stand next to the y axes.
fn y_labels(plot: &Plot, panels: usize, height: usize) -> (usize, usize) {
    let text = terminal::render(plot, 60, height, false);
    let svg = picture::svg(&Figure::stacked("", vec![plot.clone(); panels])).unwrap();
    let ends = svg.matches("text-anchor=\"end\"").count();
    (text.matches('┤').count(), ends / panels)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_panel_has_two_labels(
        lo in -1e4..1e4_f64, size in -6.0..9.0_f64, log: bool, panels in 1..20usize, height in 5..30usize,
    ) {
        let points = vec![(0.0, lo), (1.0, lo + 10f64.powf(size))];
        let mut plot = Plot::new("", "", "").with(Line::new("", Role::History, points));
        if log {
            plot.y_scale = Scale::Log;
            plot.lines[0].points = vec![(0.0, 10f64.powf(lo / 1e3)), (1.0, 10f64.powf(lo / 1e3 + size.abs() / 3.0 + 1e-3))];
        }
        let (terminal, picture) = y_labels(&plot, panels, height);
        prop_assert!(terminal >= 2 && picture >= 2, "{} {}: {:?}", terminal, picture, plot.lines[0].points);
    }
}
