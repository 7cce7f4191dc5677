//! `rnnstep info`

use crate::cli::args::config;
use crate::cli::args::device::DeviceArgs;
use crate::cli::args::model::{TensorArgs, load};
use crate::cli::args::value;
use crate::cli::failure::Failure;
use crate::cli::output::report::counted;
use crate::cli::output::screen::Screen;
use clap::Args;
use rnnstep::cuda::image::cache::{Cache, State};
use rnnstep::cuda::plan::Plan;
use rnnstep::cuda::{self, Frame, Properties};
use rnnstep::error::shown;
use rnnstep::measure::reference64::{deviations, steps};
use rnnstep::model::file::Loaded;
use rnnstep::net::layout::{Entry, Offsets};
use rnnstep::{Cpu, Error, Isa, Nonlinearity, Shape, TargetTransform, Units, Weights};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The most columns that are listed.
const COLUMNS: usize = 100;
/// The most options of a recipe that are printed. A recipe of `train` has fewer, but a damaged file may have more.
const OPTIONS: usize = 100;
/// The longest value of a recipe that is printed in full, in characters.
const LONGEST: usize = 300;
/// The terms of an autoregression that are printed.
const TERMS: usize = 8;

#[derive(Args)]
#[command(mut_arg("recurrent", |arg| arg.requires("model")), mut_arg("head", |arg| arg.requires("model")))]
pub struct InfoArgs {
    /// Model file [default: show what this machine has]
    #[arg(value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Activation of an Elman RNN, if its file does not name one [default: tanh]
    #[arg(long, value_parser = value::nonlinearity(), value_name = "NAME")]
    nonlinearity: Option<Nonlinearity>,
    #[command(flatten)]
    tensors: TensorArgs,
    /// Print how the model was trained, as TOML for `train --config`
    #[arg(long, requires = "model")]
    recipe: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: &InfoArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let cpu = args.device.cpu()?;
    match &args.model {
        None => machine(cpu.isa(), screen)?,
        Some(path) => {
            let loaded = load(path, &args.tensors.options(args.nonlinearity), cpu)?;
            if args.recipe {
                return recipe(&loaded, path, screen);
            }
            screen.line(format_args!("{}: {}", path.display(), loaded.model.shape()))?;
            model(&loaded, screen)?;
            weights(&loaded, cpu, screen)?;
            plan(loaded.model.shape(), 1, &args.device, screen)?;
            // checked last, so that everything else is printed even if the recipe is damaged
            let checked = loaded.metadata.recipe.as_ref().map(config::job_of).transpose();
            checked.map_err(|reason| Error::File { path: path.clone(), reason })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints how the model was trained, and nothing else.
fn recipe(loaded: &Loaded, path: &Path, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let in_file = |reason: String| Error::File { path: path.into(), reason };
    let missing = "has no recipe; only files of `rnnstep train` have one";
    let recipe = loaded.metadata.recipe.as_ref().ok_or_else(|| in_file(missing.into()))?;
    let text = config::toml(recipe, &[]).map_err(in_file)?;
    screen.write(|out| out.write_all(text.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

fn machine(chosen: Isa, screen: &mut Screen) -> Result<(), Failure> {
    screen.line(format_args!("rnnstep {}", env!("CARGO_PKG_VERSION")))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = counted(cores, "core");
    screen.line(format_args!("cpu       {}, {cores}", std::env::consts::ARCH))?;
    let mut sets = String::new();
    for isa in Isa::available() {
        sets += &format!("{}{}  ", isa.name(), if isa == chosen { " (chosen)" } else { "" });
    }
    screen.line(format_args!("isa       {}", sets.trim_end()))?;
    match cuda::devices() {
        Ok(cards) => {
            for (index, card) in cards.iter().enumerate() {
                screen.line(format_args!("cuda:{index}    {}", in_a_line(card)))?;
            }
        }
        Err(reason) => screen.line(format_args!("cuda      {reason}"))?,
    }
    if let Some(library) = cuda::driver::library() {
        screen.line(format_args!("driver    {}", cuda::shown(library)))?;
    }
    let compiler = cuda::image::nvrtc::search();
    match compiler.found {
        Ok(nvrtc) => screen.line(format_args!("nvrtc     {nvrtc}"))?,
        Err(reason) => screen.line(format_args!("nvrtc     {reason}"))?,
    }
    let mut refused = cuda::driver::refused();
    refused.extend(compiler.refused.into_iter().filter(|line| !refused.contains(line)).collect::<Vec<_>>());
    for line in refused {
        screen.line(format_args!("refused   {line}"))?;
    }
    screen.line(format_args!("cache     {}", kept()))?;
    screen.line("features  cli, with std, evaluate, plot and cuda")
}

/// The folder of the cache of compiled kernels, and whether it is used.
fn kept() -> String {
    let cache = Cache::new(true);
    let folder = cache.folder().map_or_else(|| "none".into(), cuda::shown);
    match cache.state() {
        State::None => folder,
        State::Empty => format!("{folder}, created when the first kernel is compiled"),
        State::Used => format!("{folder}, in use"),
        State::Partly(files, reason) => {
            format!("{folder}, in use, except {}: {reason}", counted(files, "file"))
        }
        State::Refused(reason) => format!("{folder}, not used: {reason}"),
    }
}

/// A GPU in one line.
fn in_a_line(card: &Properties) -> String {
    let gib = card.memory as f64 / f64::from(1 << 30);
    let (major, minor) = card.driver;
    let kind = if card.integrated { ", integrated" } else { "" };
    format!(
        "{}, {}, {}, {gib:.0} GiB{kind}, driver for CUDA {major}.{minor}",
        card.name,
        card.arch,
        counted(card.multiprocessors as usize, "multiprocessor")
    )
}

/// Prints how the first GPU, if there is one, would run the network.
fn plan(shape: &Shape, batch: usize, device: &DeviceArgs, screen: &mut Screen) -> Result<(), Failure> {
    let Ok(cards) = cuda::devices() else { return Ok(()) };
    let Some(card) = cards.first() else { return Ok(()) };
    let plan = Plan::choose(shape, batch, device.dtype(), card, device.frame())?;
    screen.line(format_args!("  on cuda     {}, {}: {}", card.name, plan.frame().name(), plan.why))?;
    for (direction, pass) in [("forward", plan.forward), ("backward", plan.backward)] {
        if plan.frame() != Frame::Stepwise {
            screen.line(format_args!(
                "              {direction}: {}, {} for each unit, {} in each, {} and {} KiB of dynamic shared memory \
                 in a block, {} the weights",
                counted(pass.threads as usize, "thread"),
                pass.lanes,
                counted(pass.weights as usize, "weight"),
                counted(pass.rows as usize, "sequence"),
                pass.shared / 1024,
                if pass.blocks == 1 { "1 block holds".into() } else { format!("{} blocks share", pass.blocks) }
            ))?;
        }
    }
    Ok(())
}

/// Prints how much memory each format of the weights takes, and how much it changes y.
fn weights(loaded: &Loaded, cpu: Cpu, screen: &mut Screen) -> Result<(), Failure> {
    let shape = loaded.model.shape();
    let all = deviations(&loaded.model, Weights::ALL, cpu);
    for (i, (format, off)) in Weights::ALL.into_iter().zip(&all).enumerate() {
        let title = if i == 0 { "weights" } else { "" };
        let bytes = 4 * Offsets::arena(shape, format);
        let off = match off {
            Ok(off) => format!("y off by {:.1e}, at most {:.1e}", off.root_mean_square, off.most),
            Err(error) => error.to_string(),
        };
        screen.line(format_args!("  {title:<11} {:<5} {bytes} bytes in memory, {off}", format.name()))?;
    }
    let [in_f32, ..] = all;
    let (largest, steps) = (in_f32?.largest, steps(shape));
    screen.line(format_args!(
        "              root mean square and largest difference from float64, over {steps} steps of two waves; y is at \
         most {largest:.2}, in the network's own units"
    ))
}

/// A value of a recipe as text. Only the first items of a long list are shown.
fn in_short(value: &Value) -> String {
    match value {
        Value::Array(all) if all.len() > COLUMNS => {
            let first: Vec<String> = all.iter().take(COLUMNS).map(|one| shown(&one.to_string())).collect();
            format!("[{}, and {} more]", first.join(","), all.len() - COLUMNS)
        }
        Value::Array(all) => {
            format!("[{}]", all.iter().map(|one| shown(&one.to_string())).collect::<Vec<_>>().join(","))
        }
        value => {
            let text = value.to_string();
            if text.chars().count() > LONGEST { shown(&text) } else { text }
        }
    }
}

fn model(loaded: &Loaded, screen: &mut Screen) -> Result<(), Failure> {
    let (shape, layout) = (loaded.model.shape(), loaded.model.layout());
    screen.lines(&format!("\n  {:<24} {:<14} {:>10}", "tensor", "shape", "parameters"))?;
    for entry in layout.entries() {
        let dims: Vec<String> = entry.dims.iter().map(usize::to_string).collect();
        screen.line(format_args!(
            "  {:<24} {:<14} {:>10}",
            shown(&entry.name),
            format!("[{}]", dims.join(", ")),
            entry.len()
        ))?;
    }
    names(loaded, screen)?;
    let count = shape.parameters();
    screen.line(format_args!("  parameters  {count}, {} bytes in f32, {} in memory", 4 * count, 4 * layout.len()))?;
    screen.line(format_args!("  operations  {} floating-point in each step, without activations", shape.flops()))?;
    let (batch, steps, out) = (1, loaded.metadata.seq_len.unwrap_or(20), shape.width_out());
    let [layers, hidden, input] = [shape.layers(), shape.hidden(), shape.input()];
    screen.line(format_args!("  input       ({batch}, {steps}, {input})  batch, steps, values"))?;
    screen.line(format_args!("  output      ({batch}, {steps}, {out})"))?;
    let c = if shape.cell().has_c() { ", c the same" } else { "" };
    screen.line(format_args!("  hidden      ({layers}, {batch}, {hidden})  layers, batch, units{c}"))?;
    units(loaded, screen)?;
    training_options(loaded, screen)
}

/// Prints which tensors of the file are the recurrent layers and which are the head, and what no tensor shows.
fn names(loaded: &Loaded, screen: &mut Screen) -> Result<(), Failure> {
    let layout = loaded.model.layout();
    let prefix = |entry: &Entry| match entry.name.rsplit_once('.') {
        Some((prefix, _)) => shown(prefix),
        None => "without a prefix".into(),
    };
    let (first, last) = (layout.entries().first(), layout.entries().last());
    let head = last.filter(|_| layout.head.is_some()).map_or_else(|| "none, y is h".into(), prefix);
    let recurrent = first.map_or_else(String::new, prefix);
    screen.lines(&format!("\n  recurrent   {recurrent}\n  head        {head}"))?;
    for line in &loaded.assumed {
        screen.line(format_args!("  assumed     {line}"))?;
    }
    Ok(())
}

/// Prints the scalers of the columns, and the target transform.
fn units(loaded: &Loaded, screen: &mut Screen) -> Result<(), Failure> {
    match loaded.model.scalers() {
        None => screen.line("  scaler      none")?,
        Some((x, y)) => {
            let (names, masks) = (&loaded.metadata.columns, loaded.model.masks());
            for (what, scaler, names) in [("input", x, &names.inputs), ("output", y, &names.targets)] {
                // a mask is not scaled
                let columns = scaler.width() - if what == "input" { masks.len() } else { 0 };
                let scales = scaler.shift().iter().zip(scaler.scale()).take(columns);
                for (i, (shift, scale)) in scales.enumerate().take(COLUMNS) {
                    let name = names.get(i).map_or_else(|| (i + 1).to_string(), |name| shown(name));
                    screen.line(format_args!("  scaler      {what} {name}: (value - {shift}) / {scale}"))?;
                }
                if let more @ 1.. = columns.saturating_sub(COLUMNS) {
                    screen.line(format_args!("  scaler      {what}: and {more} more columns"))?;
                }
            }
            let name =
                |&mask: &usize| names.inputs.get(mask).map_or_else(|| (mask + 1).to_string(), |name| shown(name));
            if !masks.is_empty() {
                let masked: Vec<String> = masks.iter().map(name).collect();
                screen.line(format_args!(
                    "  masks       the last inputs say where a value is missing: of {}",
                    masked.join(", ")
                ))?;
            }
        }
    }
    for (d, bounds) in loaded.model.units().map_or(&[][..], Units::bounds).iter().enumerate().take(COLUMNS) {
        let name = loaded.metadata.columns.targets.get(d).map_or_else(|| (d + 1).to_string(), |name| shown(name));
        let bound = |bound: Option<f64>| bound.map_or_else(|| "none".into(), |bound| bound.to_string());
        let (lower, upper) = (bound(bounds.lower()), bound(bounds.upper()));
        screen.line(format_args!("  bounds      output {name}: lowest {lower}, highest {upper}"))?;
    }
    if let Some(units) = loaded.model.units().filter(|units| units.transform() != TargetTransform::Value) {
        let what = match units.transform() {
            TargetTransform::RelativeChange => {
                "the difference from the row before, divided by the absolute value before".into()
            }
            TargetTransform::SeasonalChange { season } => format!("the difference from the value {season} rows before"),
            TargetTransform::Residual { .. } => "what a linear autoregression leaves over".to_string(),
            TargetTransform::Change | TargetTransform::Value => "the difference from the row before".to_string(),
        };
        screen.line(format_args!("  target      the network predicts {what}; the model takes and gives values"))?;
        for (d, autoregression) in units.fitted().autoregressions().iter().enumerate().take(COLUMNS) {
            let name = loaded.metadata.columns.targets.get(d).map_or_else(|| (d + 1).to_string(), |name| shown(name));
            let terms: Vec<String> =
                autoregression.terms().map(|(lag, coefficient)| format!("{coefficient:.4} at lag {lag}")).collect();
            let (first, more) = terms.split_at(terms.len().min(TERMS));
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            let terms = first.join(", ");
            screen.line(format_args!("  regression  output {name}: {terms}{more}"))?;
        }
    }
    Ok(())
}

/// Prints the options of the training in one line.
fn training_options(loaded: &Loaded, screen: &mut Screen) -> Result<(), Failure> {
    match loaded.metadata.recipe.as_ref() {
        None => screen.line("  recipe      none"),
        Some(Value::Object(recipe)) => {
            let given = recipe.iter().filter(|(_, value)| !value.is_null() && **value != Value::Array(vec![]));
            let mut options = given.map(|(name, value)| format!("{} {}", shown(name), in_short(value)));
            let first: Vec<String> = options.by_ref().take(OPTIONS).collect();
            let more = match options.count() {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            screen.line(format_args!("  recipe      {}{more}", first.join(", ")))
        }
        Some(_) => screen.line("  recipe      damaged"),
    }
}
