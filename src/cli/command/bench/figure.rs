//! The measurements as plots.

use super::{HIDDEN, Measured};
use rnnstep::CellKind;
use rnnstep::measure::latency::Distribution;
use rnnstep::plot::{Figure, Line, Plot, Role, Scale};

/// Bins of a histogram for each power of ten of the time.
const BINS: usize = 25;

/// The distribution of the times of steps: a panel for each device.
pub fn histogram(measured: &[Measured]) -> Figure {
    let panel = |one: &Measured| {
        let (warm, paused) = (&one.latency.in_a_row, &one.latency.paused);
        let all = [
            ("step", &warm.step),
            ("answer", &warm.answer),
            ("step after 1 ms", &paused.step),
            ("answer after 1 ms", &paused.answer),
        ];
        let plot = Plot { x_scale: Scale::Log, ..Plot::new(&one.device, "µs", "% of the steps") };
        all.into_iter()
            .enumerate()
            .fold(plot, |plot, (i, (name, times))| plot.with(Line::new(name, Role::Compared(i), outline(times))))
    };
    Figure::stacked("", measured.iter().map(panel).collect())
}

/// The corners of a histogram, in µs and per cent.
fn outline(times: &Distribution) -> Vec<(f64, f64)> {
    let bins = times.histogram(BINS);
    let (first, last) = (bins.first().map(|bin| (bin.from / 1e3, 0.0)), bins.last().map(|bin| (bin.to / 1e3, 0.0)));
    let corners = bins.iter().flat_map(|bin| [bin.from, bin.to].map(|at| (at / 1e3, 100.0 * bin.share)));
    first.into_iter().chain(corners).chain(last).collect()
}

/// The median time of a step over H: a panel for each cell, with two lines for each device.
pub fn over_h(measured: &[Measured]) -> Figure {
    let mut devices: Vec<&str> = Vec::new();
    for one in measured {
        if !devices.contains(&one.device.as_str()) {
            devices.push(&one.device);
        }
    }
    let panel = |cell: CellKind| {
        let names = HIDDEN.iter().map(usize::to_string).collect();
        let plot =
            Plot { x_names: names, y_scale: Scale::Log, ..Plot::new(cell.name().to_uppercase(), "H", "µs, median") };
        devices.iter().enumerate().fold(plot, |plot, (i, device)| {
            let medians = |times: fn(&Measured) -> &Distribution| -> Vec<(f64, f64)> {
                let own = measured.iter().filter(|one| one.shape.cell() == cell && one.device == *device);
                own.enumerate()
                    .map(|(at, one)| (at as f64, times(one).percentile(500).as_nanos() as f64 / 1e3))
                    .collect()
            };
            let paused = Line::dots(
                format!("{device} after 1 ms"),
                Role::Compared(2 * i + 1),
                medians(|one| &one.latency.paused.step),
            );
            plot.with(Line::new(*device, Role::Compared(2 * i), medians(|one| &one.latency.in_a_row.step))).with(paused)
        })
    };
    Figure::grid("", CellKind::ALL.map(panel).into(), 3)
}
