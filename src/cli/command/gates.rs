//! `rnnstep gates`

use crate::cli::args::model::ModelArgs;
use crate::cli::args::sequences::read_sequences;
use crate::cli::args::table::{ModelTableArgs, check_table};
use crate::cli::failure::Failure;
use crate::cli::output::files;
use crate::cli::output::screen::Screen;
use clap::Args;
use rnnstep::Error;
use rnnstep::data::csv;
use rnnstep::model::inspect::{Reading, read};
use rnnstep::plot::{Figure, Line, MAX_PANELS, Plot, Role};
use std::path::PathBuf;
use std::process::ExitCode;

/// The units of each layer that a plot shows: the first ones.
const UNITS: usize = 8;
/// The steps that a plot shows: the last ones.
const STEPS: usize = 120;

#[derive(Args)]
pub struct GatesArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// One sequence: .csv, .npy [T,I] or .safetensors with `x [T,I]`
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// File for the values of the gates [default: stdout]
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// Write a plot of the first units of each layer
    #[arg(long, value_name = "FILE.svg|png")]
    plot: Option<PathBuf>,
    /// Leave out the model's scalers and target transform: INPUT is in the network's own units
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    table: ModelTableArgs,
}

pub fn run(args: &GatesArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let reads = args.model.paths().reads("INPUT", [&args.input]);
    reads.writes("--out", &args.out).writes("--plot", &args.plot).check()?;
    if let Some(path) = &args.plot {
        rnnstep::plot::picture::check_ending(path)?;
    }
    check_table(args.out.as_deref())?;
    let cpu = args.model.device.only_cpu("gates")?;
    let loaded = args.model.load()?;
    let model = if args.raw { loaded.model.raw() } else { loaded.model };
    let sequences = read_sequences(&args.input, &args.table, &loaded.metadata.columns, &model)?;
    let x = &sequences.x;
    if x.dims().len() != 2 {
        let reason =
            format!("x has the shape {:?}, but gates are shown for one sequence [T,I]; give only one", x.dims());
        return Err(Error::File { path: args.input.clone(), reason }.into());
    }
    let reading = read(&model, cpu, x)?;
    let odd = reading.rows().find(|(.., values)| values.iter().any(|value| !value.is_finite()));
    if let (Some((step, ..)), true) = (odd, loaded.warnings.is_empty()) {
        let step = step + 1;
        eprintln!(
            "note: gates are not finite from row {step} on: a number in that row is not finite, or too large for this \
             model"
        );
    }
    if let Some(path) = &args.plot {
        let figure = figure(&reading, &model.shape().to_string());
        files::write(path, || rnnstep::plot::picture::save(&figure, path))?;
    }
    let header: Vec<String> =
        ["step", "layer", "unit"].into_iter().chain(reading.names.iter().copied()).map(String::from).collect();
    let rows = reading.rows().map(|(step, layer, unit, values)| {
        let place = [step, layer, unit].map(|n| n.to_string());
        place.into_iter().chain(values.iter().map(|&value| csv::number(value))).collect::<Vec<_>>()
    });
    match &args.out {
        Some(path) => files::write(path, || csv::write(path, &header, rows))?,
        None => screen.write(|out| csv::write_to(out, &header, rows))?,
    }
    screen.flush()?;
    sequences.say_columns();
    Ok(ExitCode::SUCCESS)
}

/// A panel for each gate and layer, with a line for each unit. The values of an LSTM have the names of the lesson.
fn figure(reading: &Reading, title: &str) -> Figure {
    let columns: Vec<(usize, &str)> = match reading.names.iter().position(|&name| name == "learn") {
        Some(first) => (first..).zip(["learn (i·g)", "forget (f)", "remember (c)", "use (o·tanh c)"]).collect(),
        None => reading.names.iter().copied().enumerate().collect(),
    };
    let first = reading.steps.saturating_sub(STEPS);
    let panels = (0..reading.layers).flat_map(|layer| columns.iter().map(move |column| (layer, column)));
    let panel = |(layer, &(column, name)): (usize, &(usize, &str))| {
        let title = if reading.layers == 1 { name.to_string() } else { format!("{name}, layer {layer}") };
        (0..reading.hidden.min(UNITS)).fold(Plot::new(title, "step", ""), |plot, unit| {
            let value = |t: usize| f64::from(reading.value(t, layer, unit)[column]);
            let points = (first..reading.steps).map(|t| (t as f64, value(t))).collect();
            plot.with(Line::new(format!("unit {unit}"), Role::Gate(unit), points))
        })
    };
    Figure::stacked(title, panels.take(MAX_PANELS).map(panel).collect())
}
