//! The measurements as tables: printed in microseconds, as CSV in nanoseconds.

use super::Measured;
use crate::cli::failure::Failure;
use crate::cli::output::report::micros;
use crate::cli::output::screen::Screen;
use rnnstep::measure::latency::{Clock, Distribution, PERCENTILES, Singles, Throughput};
use std::time::Duration;

/// What the columns mean.
const ABOUT: &str = "\
timed     single steps of one stream on one thread; each time contains one
          reading of the clock. µs/step and steps/s come from blocks of 1 ms.
          after 1 ms: the thread sleeps before each step; caches may be cold.
          advance, answer: the halves of a step, the work before x and the rest.
          -: fewer than three times lie beyond this percentile.";

/// Prints what is timed, the names of the columns, and the time of a reading of the clock.
pub fn begin(clock: &Clock, one_model: bool, screen: &mut Screen) -> Result<(), Failure> {
    screen.lines(ABOUT)?;
    screen.lines(&format!("\n{}", row("µs", ["samples", "p50", "p99", "p99.9", "max", "µs/step", "steps/s"])))?;
    screen.line("clock")?;
    screen.line(times("reading", &clock.in_a_row, None))?;
    screen.line(times("reading after 1 ms", &clock.paused, None))?;
    if !one_model {
        let above = format!("{:19}{:<36}{:>8}{:>16}", "", "step", "p50", "p50 after 1 ms");
        let names = ["p50", "p99", "p99.9", "max", "steps/s", "answer", "step", "answer"];
        screen.lines(&format!("\n{above}\n{}", cells("µs", "", names)))?;
    }
    Ok(())
}

/// Prints all rows of one device.
pub fn whole(measured: &Measured, screen: &mut Screen) -> Result<(), Failure> {
    let latency = &measured.latency;
    screen.line(&measured.device)?;
    for (what, single) in parts(&latency.in_a_row) {
        let throughput = (what == "step").then_some(&latency.throughput);
        screen.line(times(what, single, throughput))?;
    }
    for (what, single) in parts(&latency.paused) {
        screen.line(times(&format!("{what} after 1 ms"), single, None))?;
    }
    Ok(())
}

/// Prints the row of one of many networks.
pub fn short(measured: &Measured, first: bool, screen: &mut Screen) -> Result<(), Failure> {
    let Measured { shape, latency, .. } = measured;
    let network = if first { format!("{:<4} {:>3}", shape.cell().name(), shape.hidden()) } else { String::new() };
    let [p50, p99, p999] = PERCENTILES.map(|p| known(&latency.in_a_row.step, p));
    let median = |single: &Distribution| known(single, PERCENTILES[0]);
    let columns = [
        p50,
        p99,
        p999,
        time(latency.in_a_row.step.max()),
        format!("{:.0}", latency.throughput.per_second()),
        median(&latency.in_a_row.answer),
        median(&latency.paused.step),
        median(&latency.paused.answer),
    ];
    screen.line(cells(&network, &measured.device, columns.each_ref().map(|column| column.as_str())))
}

/// The parts of single steps by name.
fn parts(singles: &Singles) -> [(&'static str, &Distribution); 3] {
    [("step", &singles.step), ("answer", &singles.answer), ("advance", &singles.advance)]
}

fn times(what: &str, single: &Distribution, throughput: Option<&Throughput>) -> String {
    let [p50, p99, p999] = PERCENTILES.map(|p| known(single, p));
    let [per_step, per_second] = match throughput {
        Some(all) => [micros(all.nanoseconds()), format!("{:.0}", all.per_second())],
        None => Default::default(),
    };
    let columns = [single.count().to_string(), p50, p99, p999, time(single.max()), per_step, per_second];
    row(&format!("  {what}"), columns.each_ref().map(|column| column.as_str()))
}

fn row(what: &str, [samples, p50, p99, p999, max, per_step, per_second]: [&str; 7]) -> String {
    let line = format!("{what:<20}{samples:>8}{p50:>8}{p99:>8}{p999:>8}{max:>9}{per_step:>8}{per_second:>10}");
    line.trim_end().into()
}

fn cells(network: &str, device: &str, [p50, p99, p999, max, per_second, answer, paused, cold]: [&str; 8]) -> String {
    format!("{network:<8} {device:<8}{p50:>7}{p99:>7}{p999:>7}{max:>8}{per_second:>9}{answer:>8}{paused:>8}{cold:>8}")
}

fn known(single: &Distribution, per_mille: usize) -> String {
    single.known(per_mille).map_or_else(|| "-".into(), time)
}

fn time(time: Duration) -> String {
    micros(time.as_nanos() as f64)
}

/// The columns of [`rows`].
pub fn header() -> Vec<String> {
    let names = "network,cell,hidden,weights,device,what,pause_ms,samples,min_ns,p50_ns,p99_ns,p99.9_ns,max_ns,ns_per_step,\
                 steps_per_s";
    names.split(',').map(String::from).collect()
}

/// Every distribution as a row, those of the clock first. A cell is empty if its value is not known, or does not exist
/// for such a row.
pub fn rows<'a>(clock: &'a Clock, measured: &'a [Measured]) -> impl Iterator<Item = Vec<String>> + 'a {
    let empty = || [const { String::new() }; 5];
    let clock = [("0", &clock.in_a_row), ("1", &clock.paused)];
    let clock = clock.into_iter().map(move |(pause, single)| csv_row(empty(), "clock", pause, single, None));
    clock.chain(measured.iter().flat_map(|one| {
        let Measured { shape, weights, device, latency } = one;
        let name = [
            shape.to_string(),
            shape.cell().name().into(),
            shape.hidden().to_string(),
            weights.to_string(),
            device.clone(),
        ];
        [("0", &latency.in_a_row), ("1", &latency.paused)].into_iter().flat_map(move |(pause, singles)| {
            let name = name.clone();
            parts(singles).into_iter().map(move |(what, single)| {
                let throughput = (what == "step" && pause == "0").then_some(&latency.throughput);
                csv_row(name.clone(), what, pause, single, throughput)
            })
        })
    }))
}

fn csv_row(
    name: [String; 5],
    what: &str,
    pause: &str,
    single: &Distribution,
    throughput: Option<&Throughput>,
) -> Vec<String> {
    let nanoseconds = |time: Duration| time.as_nanos().to_string();
    let known = PERCENTILES.map(|p| single.known(p).map_or_else(String::new, nanoseconds));
    let [per_step, per_second] = match throughput {
        Some(all) => [format!("{:.2}", all.nanoseconds()), format!("{:.0}", all.per_second())],
        None => Default::default(),
    };
    let mut row = Vec::from(name);
    row.extend([what.into(), pause.into(), single.count().to_string(), nanoseconds(single.min())]);
    row.extend(known);
    row.extend([nanoseconds(single.max()), per_step, per_second]);
    row
}
