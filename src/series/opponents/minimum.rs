//! The smallest value of a function of a few numbers, without derivatives.

/// Where the search begins to look around, in each direction.
const STEP: f64 = 0.7;
/// The most steps of the search.
const MOST: usize = 200;
/// The search ends where the values at all corners differ by less than this part.
const CLOSE: f64 = 1e-9;

/// The place near `start` where `value` is smallest: the simplex of Nelder and Mead 1965. A value that is no number
/// counts as infinite.
pub(super) fn minimum(start: &[f64], mut value: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    let mut at = |place: Vec<f64>| {
        let found = value(&place);
        (if found.is_nan() { f64::INFINITY } else { found }, place)
    };
    let mut corners = vec![at(start.to_vec())];
    for direction in 0..start.len() {
        let mut corner = start.to_vec();
        corner[direction] += STEP;
        corners.push(at(corner));
    }
    for _ in 0..MOST {
        corners.sort_by(|a, b| a.0.total_cmp(&b.0));
        let last = corners.len() - 1;
        let (best, second_worst, worst) = (corners[0].0, corners[last.saturating_sub(1)].0, corners[last].0);
        if best.is_infinite() || worst - best <= CLOSE * best.abs() || last == 0 {
            break;
        }
        let (others, end) = corners.split_at(last);
        let middle = |direction: usize| others.iter().map(|c| c.1[direction]).sum::<f64>() / others.len() as f64;
        let moved = |by: f64| -> Vec<f64> {
            end[0].1.iter().enumerate().map(|(d, end)| middle(d) + by * (middle(d) - end)).collect()
        };
        let mut new = at(moved(1.0));
        if new.0 < best {
            let further = at(moved(2.0));
            new = if further.0 < new.0 { further } else { new };
        } else if new.0 >= second_worst {
            let nearer = at(moved(if new.0 < worst { 0.5 } else { -0.5 }));
            if nearer.0 >= worst.min(new.0) {
                let best = corners[0].1.clone();
                for corner in &mut corners[1..] {
                    let half = corner.1.iter().zip(&best).map(|(a, b)| f64::midpoint(*a, *b));
                    *corner = at(half.collect());
                }
                continue;
            }
            new = nearer;
        }
        corners[last] = new;
    }
    let best = corners.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or_else(|| start.to_vec(), |(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottom_of_a_valley_is_found() {
        // Rosenbrock's valley, whose bottom is at 1, 1
        let valley = |p: &[f64]| (1.0 - p[0]).powi(2) + 100.0 * (p[1] - p[0] * p[0]).powi(2);
        let found = minimum(&[-1.2, 1.0], valley);
        assert!(found.iter().all(|p| (p - 1.0).abs() < 1e-3), "{found:?}");
        let found = minimum(&[3.0], |p| (p[0] - 0.25).powi(2) + 1.0);
        assert!((found[0] - 0.25).abs() < 1e-3, "{found:?}");
        assert_eq!(minimum(&[2.0; 4], |_| f64::NAN).len(), 4);
        assert!(minimum(&[], |_| 1.0).is_empty());
    }
}
