//! Thins a series to the points that can be seen.

use super::axis::Axis;
use std::borrow::Cow;

/// The runs of `points` between gaps, with x and y from 0 to 1, in order of x. A long series is divided into `columns`
/// strips, and each strip keeps only its lowest and its highest point, so that no peak is lost.
pub(super) fn runs(points: &[(f64, f64)], x: &Axis, y: &Axis, columns: usize) -> Vec<Vec<(f64, f64)>> {
    let columns = columns.max(1);
    let points = in_order(points);
    let mut runs = Vec::new();
    if points.len() <= 2 * columns {
        for run in points.split(|p| !seen(p)).filter(|run| !run.is_empty()) {
            runs.push(run.iter().map(|p| (x.place(p.0), y.place(p.1))).collect());
        }
        return runs;
    }

    let mut strip: Option<Strip> = None;
    let mut run: Vec<(f64, f64)> = Vec::new();
    let mut gap = false;
    for point in points.iter() {
        if !seen(point) {
            gap = true;
            continue;
        }
        let place = (x.place(point.0), y.place(point.1));
        let column = ((place.0 * columns as f64) as usize).min(columns - 1);
        match &mut strip {
            // A gap narrower than a strip could not be seen.
            Some(strip) if strip.column == column => strip.add(place),
            other => {
                if let Some(done) = other.take() {
                    done.finish(&mut run);
                }
                if gap && !run.is_empty() {
                    runs.push(std::mem::take(&mut run));
                }
                *other = Some(Strip { column, low: place, high: place, low_is_last: false });
            }
        }
        gap = false;
    }
    if let Some(last) = strip {
        last.finish(&mut run);
    }
    if !run.is_empty() {
        runs.push(run);
    }
    runs
}

fn seen(point: &(f64, f64)) -> bool {
    super::seen(&point)
}

/// The points sorted by x. Nearly every series is sorted already.
fn in_order(points: &[(f64, f64)]) -> Cow<'_, [(f64, f64)]> {
    if points.iter().filter(|p| p.0.is_finite()).is_sorted_by(|a, b| a.0 <= b.0) {
        return Cow::Borrowed(points);
    }
    let mut sorted: Vec<_> = points.iter().copied().filter(|p| p.0.is_finite()).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    Cow::Owned(sorted)
}

/// The points of a series in one strip of the picture.
struct Strip {
    column: usize,
    low: (f64, f64),
    high: (f64, f64),
    low_is_last: bool,
}

impl Strip {
    fn add(&mut self, place: (f64, f64)) {
        if place.1 < self.low.1 {
            (self.low, self.low_is_last) = (place, true);
        } else if place.1 > self.high.1 {
            (self.high, self.low_is_last) = (place, false);
        }
    }

    fn finish(self, run: &mut Vec<(f64, f64)>) {
        if self.low == self.high {
            run.push(self.low);
        } else if self.low_is_last {
            run.extend([self.high, self.low]);
        } else {
            run.extend([self.low, self.high]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scale;
    use super::*;

    fn axes(points: &[(f64, f64)]) -> (Axis, Axis) {
        let axis =
            |pick: fn(&(f64, f64)) -> f64| Axis::over(points.iter().filter(|p| seen(p)).map(pick), 0.0, Scale::Linear);
        (axis(|p| p.0), axis(|p| p.1))
    }

    #[test]
    fn a_short_series_is_kept_whole_and_split_at_gaps() {
        let points = [(0.0, 0.0), (1.0, f64::NAN), (2.0, 1.0), (3.0, 2.0), (4.0, f64::INFINITY), (f64::NAN, 1.0)];
        let (x, y) = axes(&points);
        assert_eq!(runs(&points, &x, &y, 100), [vec![(0.0, 0.0)], vec![(2.0 / 3.0, 0.5), (1.0, 1.0)]]);
    }

    #[test]
    fn a_long_series_keeps_its_peaks() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), (f64::from(i) * 1e-3).sin())).collect();
        points[77_777].1 = 9.0;
        points[33_333].1 = -9.0;
        let (x, y) = axes(&points);
        let thinned = runs(&points, &x, &y, 100);
        assert_eq!(thinned.len(), 1);
        assert!(thinned[0].len() <= 200);
        assert!(thinned[0].is_sorted_by(|a, b| a.0 <= b.0));
        assert!(thinned[0].iter().any(|p| p.1 == 1.0) && thinned[0].iter().any(|p| p.1 == 0.0));
    }

    #[test]
    fn a_wide_gap_stays_a_gap() {
        let value = |i: i32| if (4_000..6_000).contains(&i) { f64::NAN } else { f64::from(i % 7) };
        let points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), value(i))).collect();
        let (x, y) = axes(&points);
        let thinned = runs(&points, &x, &y, 100);
        assert_eq!(thinned.len(), 2);
        assert!(thinned[0].last().unwrap().0 < 0.41 && thinned[1][0].0 > 0.59);
    }

    #[test]
    fn any_order_gives_the_same_line() {
        let forward: Vec<(f64, f64)> = (0..50).map(|i| (f64::from(i), f64::from(i % 3))).collect();
        let back: Vec<(f64, f64)> = forward.iter().rev().copied().collect();
        let (x, y) = axes(&forward);
        assert_eq!(runs(&forward, &x, &y, 1000), runs(&back, &x, &y, 1000));
    }
}
