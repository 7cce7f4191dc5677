//! The range of an axis and its ticks.

use super::dates::round_dates;
use super::{Plot, Scale};

/// A range of finite numbers, `lo < hi`. On a logarithmic scale it is a range of powers of ten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    lo: f64,
    hi: f64,
    scale: Scale,
}

/// A mark on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Where on the axis, from 0 to 1.
    pub at: f64,
    pub label: String,
}

/// Numbers beyond this are drawn at the border, so that the width of a range stays finite.
const FAR: f64 = 1e300;
/// A range narrower than this share of its numbers is rounding, not a signal.
const FINEST: f64 = 1e-12;

impl Axis {
    /// The range of all `values` (which are finite), widened at both ends by the part `margin`.
    pub fn over(values: impl Iterator<Item = f64>, margin: f64, scale: Scale) -> Self {
        let (lo, hi) = match scale {
            Scale::Linear => range(values, margin),
            Scale::Log => range(values.filter(|&value| value > 0.0).map(f64::log10), margin),
        };
        Self { lo, hi, scale }
    }

    /// The position of `value`: 0 at the low end, 1 at the high end.
    pub fn place(&self, value: f64) -> f64 {
        let value = match self.scale {
            Scale::Linear => value,
            // a number without a logarithm lies at the low end
            Scale::Log => value.max(f64::MIN_POSITIVE).log10(),
        };
        ((value - self.lo) / (self.hi - self.lo)).clamp(0.0, 1.0)
    }

    /// At most `most` round numbers inside the range, but two in any case.
    pub fn ticks(&self, most: usize) -> Vec<Tick> {
        let (values, labels) = match self.scale {
            Scale::Linear => round_numbers(self.lo, self.hi, most),
            Scale::Log => round_powers(self.lo, self.hi, most)
                .unwrap_or_else(|| round_numbers(10f64.powf(self.lo), 10f64.powf(self.hi), most)),
        };
        values.iter().zip(labels).map(|(&value, label)| Tick { at: self.place(value), label }).collect()
    }

    /// At most `most` of `names`, which belong to 0, 1, 2, ...
    pub fn named_ticks(&self, most: usize, names: &[String]) -> Vec<Tick> {
        let step = Step::at_least((self.hi - self.lo) / most.max(2) as f64).size.max(1.0);
        let mut ticks = Vec::new();
        let mut at = (self.lo / step).ceil().max(0.0) * step;
        let end = self.hi.min(names.len() as f64 - 1.0);
        while at <= end && ticks.len() <= 2 * most {
            if let Some(name) = names.get(at as usize) {
                ticks.push(Tick { at: self.place(at), label: super::clean(name, 24) });
            }
            at += step;
        }
        ticks
    }

    /// At most `most` round dates, of `times` that belong to 0, 1, 2, ...
    fn dated_ticks(&self, most: usize, times: &[i64]) -> Vec<Tick> {
        let Some(end) = times.len().checked_sub(1) else { return Vec::new() };
        let (first, last) = (self.lo.ceil().max(0.0) as usize, (self.hi.floor().max(0.0) as usize).min(end));
        let rows = round_dates(times, first, last, most.max(2));
        rows.into_iter().map(|(row, label)| Tick { at: self.place(row as f64), label }).collect()
    }

    /// The ticks of the x axis of `plot`: round dates if its rows have times, names if they have names, numbers
    /// otherwise. A logarithmic axis has no place for the first row, at 0, so it has numbers.
    pub fn ticks_of(&self, most: usize, plot: &Plot) -> Vec<Tick> {
        if self.scale == Scale::Log {
            return self.ticks(most);
        }
        let dated = self.dated_ticks(most, &plot.x_times);
        let named = || self.named_ticks(most, &plot.x_names);
        let ticks = if dated.len() < 2 { named() } else { dated };
        if ticks.is_empty() { self.ticks(most) } else { ticks }
    }
}

/// The range from the smallest to the largest of `values`, widened at both ends by the part `margin`.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> (f64, f64) {
    let (mut lo, mut hi) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        lo = lo.min(value);
        hi = hi.max(value);
    }
    if lo > hi {
        return (0.0, 1.0);
    }
    let (lo, hi) = (lo.clamp(-FAR, FAR), hi.clamp(-FAR, FAR));
    let size = lo.abs().max(hi.abs());
    if hi - lo <= size * FINEST || hi - lo < 1.0 / FAR {
        let around = if size < 1.0 / FAR { 1.0 } else { size * 0.1 };
        return (lo - around, hi + around);
    }
    let more = (hi - lo) * margin;
    (lo - more, hi + more)
}

/// Numbers and how they are written.
type Numbers = (Vec<f64>, Vec<String>);

/// At most `most` multiples of a round step, but two in any case.
fn round_numbers(lo: f64, hi: f64, most: usize) -> Numbers {
    let coarse = Step::at_least((hi - lo) / most.max(2) as f64);
    // 12 to 19 holds one multiple of 5, but four of 2
    let steps = (0..4).map(|finer| Step::at_least((hi - lo) / (most.max(2) << finer) as f64));
    let enough = |step: &Step| (hi / step.size + 1e-9).floor() - (lo / step.size - 1e-9).ceil() >= 1.0;
    let Step { size, power } = steps.into_iter().find(enough).unwrap_or(coarse);
    // 0.3 / 0.1 is a little below 3, but 0.3 has to be a tick.
    let (first, last) = ((lo / size - 1e-9).ceil(), (hi / size + 1e-9).floor());
    // The bound guards against a range where adding 1 changes nothing; `FINEST` already keeps it out.
    let count = (last - first).clamp(-1.0, 2.0 * most.max(2) as f64) as i64 + 1;
    let values: Vec<f64> = (0..count).map(|k| (first + k as f64) * size).collect();

    let decimals = (-power).max(0) as usize;
    let plain: Vec<String> = values.iter().map(|&v| format!("{:.decimals$}", unsigned_zero(v))).collect();
    let labels = if longest(&plain) <= 7 {
        plain
    } else {
        let short: Vec<String> = values.iter().map(|&v| scientific(v, power)).collect();
        if longest(&short) < longest(&plain) { short } else { plain }
    };
    (values, labels)
}

/// Powers of ten between the powers `lo` and `hi`: every one, only every second, fifth and so on, or also 2 and 5 times
/// each. It takes the finest choice with at most `most` numbers. `None` if there are fewer than two, on a short axis.
fn round_powers(lo: f64, hi: f64, most: usize) -> Option<Numbers> {
    let inside = |power: i32, mantissa: f64| (lo - 1e-9..=hi + 1e-9).contains(&(f64::from(power) + mantissa.log10()));
    let (first, last) = (lo.floor() as i32, hi.ceil() as i32);
    let every = |step: usize, mantissas: &[f64]| -> Vec<(i32, f64)> {
        let powers = (first..=last).filter(|power| power.rem_euclid(step as i32) == 0);
        powers.flat_map(|power| mantissas.iter().map(move |&m| (power, m))).filter(|&(p, m)| inside(p, m)).collect()
    };
    let steps = [1, 2, 5, 10, 20, 50, 100, 200, 500].map(|step| every(step, &[1.0]));
    let mut finest_first = std::iter::once(every(1, &[1.0, 2.0, 5.0])).chain(steps);
    let mut chosen = finest_first.next().unwrap_or_default();
    for coarser in finest_first {
        if chosen.len() <= most.max(2) || coarser.len() < 2 {
            break;
        }
        chosen = coarser;
    }
    // for a negative power, the quotient is the float nearest to the label; a product would not be
    let value = |&(power, m): &(i32, f64)| if power < 0 { m / 10f64.powi(-power) } else { m * 10f64.powi(power) };
    let label = |&(power, m): &(i32, f64)| match power {
        -4..7 => value(&(power, m)).to_string(),
        _ => format!("{m}e{power}"),
    };
    let numbers = (chosen.iter().map(value).collect(), chosen.iter().map(label).collect());
    (chosen.len() >= 2).then_some(numbers)
}

/// 1, 2 or 5 times a power of ten.
struct Step {
    size: f64,
    power: i32,
}

impl Step {
    /// The smallest step that is not below `wanted`, which is above 0.
    fn at_least(wanted: f64) -> Self {
        let power = wanted.log10().floor().clamp(-320.0, 305.0) as i32;
        for (mantissa, power) in [(1.0, power), (2.0, power), (5.0, power)] {
            // A step that is slightly below `wanted` because of rounding is accepted: the next one would be twice as
            // large.
            if mantissa * ten_to(power) >= wanted * (1.0 - 1e-9) {
                return Self { size: mantissa * ten_to(power), power };
            }
        }
        Self { size: ten_to(power + 1), power: power + 1 }
    }
}

/// Ten to the power of `power`. Negative powers are computed by division, because 0.1 is not a binary fraction. So the
/// result is the float nearest to 1e-5, for example.
fn ten_to(power: i32) -> f64 {
    if power < 0 { 1.0 / 10f64.powi(-power) } else { 10f64.powi(power) }
}

fn longest(labels: &[String]) -> usize {
    labels.iter().map(String::len).max().unwrap_or(0)
}

fn unsigned_zero(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value }
}

/// `value` in the form 1.5e7, with as many digits as steps of 10^`power` need.
fn scientific(value: f64, power: i32) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let digits = (value.abs().log10().floor() as i32).saturating_sub(power).clamp(0, 15) as usize;
    let text = format!("{value:.digits$e}");
    match text.split_once('e') {
        Some((mantissa, power)) if mantissa.contains('.') => {
            format!("{}e{power}", mantissa.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(lo: f64, hi: f64, most: usize) -> Vec<String> {
        Axis { lo, hi, scale: Scale::Linear }.ticks(most).into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn round_numbers() {
        assert_eq!(labels(0.0, 1.0, 5), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-1.06, 1.06, 5), ["-1.0", "-0.5", "0.0", "0.5", "1.0"]);
        assert_eq!(labels(0.0, 0.3, 3), ["0.0", "0.1", "0.2", "0.3"]);
        assert_eq!(labels(1749.0, 2024.0, 6), ["1750", "1800", "1850", "1900", "1950", "2000"]);
        assert_eq!(labels(1e6, 1e6 + 1.0, 2), ["1000000.0", "1000000.5", "1000001.0"]);
    }

    #[test]
    fn far_from_one() {
        assert_eq!(labels(-3.4e38, 3.4e38, 4), ["-2e38", "0", "2e38"]);
        assert_eq!(labels(0.0, 1.5e29, 3), ["0", "5e28", "1e29", "1.5e29"]);
        assert_eq!(labels(0.0, 5.0e-9, 5), ["0", "1e-9", "2e-9", "3e-9", "4e-9", "5e-9"]);
        let all = Axis::over([-f64::MAX, f64::MAX].into_iter(), 0.06, Scale::Linear);
        assert_eq!(all.ticks(4).len(), 3);
        assert!((all.place(0.0) - 0.5).abs() < 1e-12 && all.place(f64::MAX) > 0.9);
    }

    #[test]
    fn powers_of_ten() {
        let log = |lo: f64, hi: f64| Axis::over([lo, hi].into_iter(), 0.0, Scale::Log);
        let labels = |axis: Axis, most| axis.ticks(most).into_iter().map(|tick| tick.label).collect::<Vec<_>>();
        assert_eq!(labels(log(0.03, 40.0), 5), ["0.1", "1", "10"]);
        assert_eq!(labels(log(0.03, 40.0), 10), ["0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10", "20"]);
        assert_eq!(labels(log(1e-9, 1e9), 5), ["1e-5", "1", "100000"]);
        assert_eq!(labels(log(1e-300, 1e300), 5), ["1e-200", "1", "1e200"]);
        assert_eq!(labels(log(3.0, 4.5), 4), ["3.0", "3.5", "4.0", "4.5"]);
        let ticks = log(1.0, 100.0).ticks(3);
        assert_eq!(ticks.iter().map(|tick| tick.at).collect::<Vec<_>>(), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn what_has_no_logarithm_lies_at_the_low_end() {
        let axis = Axis::over([-3.0, 0.0, 0.1, 10.0].into_iter(), 0.0, Scale::Log);
        assert_eq!([-3.0, 0.0, 0.1, 1.0, 10.0, 1e9].map(|value| axis.place(value)), [0.0, 0.0, 0.0, 0.5, 1.0, 1.0]);
        assert_eq!(Axis::over([-1.0].into_iter(), 0.0, Scale::Log).ticks(3).len(), 2);
        let named = Plot { x_names: vec!["zero".into()], ..Plot::default() };
        assert_eq!(axis.ticks_of(3, &named)[0].label, "0.1");
    }

    #[test]
    fn constants_get_room() {
        for value in [0.0, 5.0, -1e300, 1e-300, 5e-324, f64::MIN_POSITIVE, 1e30] {
            let axis = Axis::over([value, value].into_iter(), 0.06, Scale::Linear);
            assert!((axis.place(value) - 0.5).abs() < 1e-9, "{value}");
            assert!(axis.ticks(5).len() >= 2, "{value}: {:?}", axis.ticks(5));
        }
        // Rounding noise is not blown up into a signal.
        assert!(Axis::over([0.3, 0.1 + 0.2].into_iter(), 0.0, Scale::Linear).hi > 0.32);
    }

    #[test]
    fn names_stand_at_their_numbers() {
        let names: Vec<String> = (1990..2000).map(|year| year.to_string()).collect();
        let ticks = Axis { lo: -0.5, hi: 14.5, scale: Scale::Linear }.named_ticks(5, &names);
        assert_eq!(ticks.iter().map(|t| t.label.as_str()).collect::<Vec<_>>(), ["1990", "1995"]);
        assert!((ticks[1].at - 5.5 / 15.0).abs() < 1e-12);
    }
}
