//! `rnnstep bench`

mod figure;
mod table;

use crate::cli::args::device::{DeviceArgs, Work};
use crate::cli::args::model::{ModelArgs, TensorArgs};
use crate::cli::args::number;
use crate::cli::args::paths::Paths;
use crate::cli::args::value;
use crate::cli::failure::Failure;
use crate::cli::output::files;
use crate::cli::output::report;
use crate::cli::output::screen::Screen;
use clap::Args;
use rnnstep::cuda::{self, Cuda};
use rnnstep::data::csv;
use rnnstep::measure::latency::{Clock, Latency};
use rnnstep::measure::reference64::{Answers, waves};
use rnnstep::net::layout::Offsets;
use rnnstep::plot::{Figure, picture, terminal};
use rnnstep::{CellKind, Device, Model, Nonlinearity, Shape, Stream, Weights};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Sizes of the networks that are timed if no model is given.
const HIDDEN: [usize; 6] = [8, 16, 32, 64, 128, 256];
/// Steps whose predictions are checked before anything is timed. The steps that are timed repeat the same rows of x.
const CHECKED: usize = 64;
/// The most time for measuring the clock itself.
const CLOCK: Duration = Duration::from_millis(500);
/// Lines of a plot in the terminal.
const HEIGHT: usize = 14;

#[derive(Args)]
#[command(mut_arg("recurrent", |arg| arg.requires("model")), mut_arg("head", |arg| arg.requires("model")))]
pub struct BenchArgs {
    /// Model file [default: random networks of every cell, H 8 to 256]
    #[arg(value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Activation of an Elman RNN, if its file does not name one [default: tanh]
    #[arg(long, value_parser = value::nonlinearity(), value_name = "NAME", requires = "model")]
    nonlinearity: Option<Nonlinearity>,
    #[command(flatten)]
    tensors: TensorArgs,
    /// Round the recurrent weights to this format; single steps on a CPU then read half or a quarter of the memory, and
    /// a GPU computes with the rounded weights in f32
    #[arg(long, value_parser = value::weights(), value_name = "FORMAT", default_value = "f32")]
    weights: Weights,
    /// Seed of random weights
    #[arg(long, default_value_t = 0, value_name = "SEED", conflicts_with = "model")]
    seed: u64,
    /// Seconds that all measurements take together
    #[arg(long, default_value_t = 8.0, value_name = "S", value_parser = number::seconds)]
    seconds: f64,
    /// Write every row of the table, in nanoseconds
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// Write a plot: histograms for a MODEL, else medians over H
    #[arg(long, value_name = "FILE.svg|png")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgs,
}

/// A device, and its name in the table.
struct Place {
    name: String,
    device: Device,
}

/// How long the steps of one network took on one device.
struct Measured {
    shape: Shape,
    weights: Weights,
    device: String,
    latency: Latency,
}

pub fn run(args: &BenchArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    // everything that can fail comes before anything is timed or printed
    let time = Duration::from_secs_f64(args.seconds);
    args.check_paths()?;
    if args.out.is_some() || args.plot.is_some() {
        screen.goes_beside_files();
    }
    let chosen = args.device.cpu()?;
    let models = args.models()?;
    let (cards, mut notes) = args.cards()?;
    let mut networks = Vec::new();
    for model in &models {
        networks.push((model, args.places(model.shape(), &cards, &mut notes)?));
    }
    let agreement = agreement(&networks)?;

    let title = args.title(&models);
    let processor = processor();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = report::counted(cores, "core");
    screen.line(&title)?;
    screen.line(format_args!("cpu       {processor}, {cores}; {} by default", chosen.isa().name()))?;
    for note in notes {
        screen.line(note)?;
    }
    screen.lines(&agreement)?;
    let (clock, measured) = args.measure(networks, time, screen)?;
    let figure = if args.model.is_some() { figure::histogram(&measured) } else { figure::over_h(&measured) };
    args.write(&clock, &measured, Figure { title: format!("{title}; {processor}"), ..figure }, screen)?;
    Ok(ExitCode::SUCCESS)
}

impl BenchArgs {
    fn check_paths(&self) -> Result<(), Failure> {
        let reads = Paths::default().reads("MODEL", &self.model).reads("--bundle", self.device.bundle());
        reads.writes("--out", &self.out).writes("--plot", &self.plot).check()?;
        Ok(self.plot.as_ref().map_or(Ok(()), picture::check_ending)?)
    }

    /// The model of the file, or random ones of every cell and size.
    fn models(&self) -> Result<Vec<Model>, Failure> {
        if let Some(model) = self.model.clone() {
            let Self { nonlinearity, weights, .. } = *self;
            let (tensors, device) = (self.tensors.clone(), self.device.clone());
            return Ok(vec![ModelArgs { model, nonlinearity, tensors, weights, device }.load()?.model]);
        }
        let shapes = CellKind::ALL.into_iter().flat_map(|cell| HIDDEN.map(|hidden| Shape::new(cell, 1, hidden, 1, 1)));
        let models = shapes.map(|shape| Model::random(shape?, self.seed)?.with_weights(self.weights));
        Ok(models.collect::<Result<_, _>>()?)
    }

    /// What is timed, in one line.
    fn title(&self, models: &[Model]) -> String {
        match (&self.model, models) {
            (Some(_), [model]) => {
                let bytes = 4 * Offsets::arena(model.shape(), self.weights);
                format!("{}, weights {}, {bytes} bytes in memory", model.shape(), self.weights)
            }
            _ => format!("random networks, 1 -> H -> 1, weights {}", self.weights),
        }
    }

    /// The numbers of the GPUs to time, or a note on why there are none.
    fn cards(&self) -> Result<(Vec<usize>, Vec<String>), Failure> {
        match self.device.every_card()? {
            Ok(cards) if self.model.is_none() && !self.device.insists_on_card() && !cards.is_empty() => {
                let reason = "left out, since kernels are compiled for each network; ask for it with --device cuda";
                Ok((vec![], vec![format!("cuda      {reason}")]))
            }
            Ok(cards) => Ok((cards, vec![])),
            Err(reason) => Ok((vec![], vec![format!("cuda      {reason}")])),
        }
    }

    /// The devices on which a network of `shape` is timed. A GPU that cannot run it is left out, unless it is asked
    /// for. A note describes each GPU, or why it is left out.
    fn places(&self, shape: &Shape, cards: &[usize], notes: &mut Vec<String>) -> Result<Vec<Place>, Failure> {
        let cpus = self.device.every_cpu()?.into_iter();
        let mut places: Vec<Place> =
            cpus.map(|cpu| Place { name: cpu.isa().name().into(), device: cpu.into() }).collect();
        for &index in cards {
            let name = format!("cuda:{index}");
            let ready = |card: Cuda| Ok(cuda::ready(&card, shape, 1, Work::Ticks).map(|()| card)?);
            let note = match self.device.card_at(index, shape).and_then(ready) {
                Ok(card) => {
                    let note = format!("{name:<9} {card}");
                    places.push(Place { name, device: card.into() });
                    note
                }
                Err(Failure::Library(error)) if !self.device.insists_on_card() => {
                    // only the first line, since a message of the compiler may have many
                    format!("{name:<9} left out, {}", error.to_string().lines().next().unwrap_or_default())
                }
                Err(other) => return Err(other),
            };
            // most networks give the same note
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        Ok(places)
    }

    /// Times every network on every device, each for the same time, and prints each result at once.
    fn measure(
        &self,
        networks: Vec<(&Model, Vec<Place>)>,
        time: Duration,
        screen: &mut Screen,
    ) -> Result<(Clock, Vec<Measured>), Failure> {
        let count: usize = networks.iter().map(|(_, places)| places.len()).sum();
        let for_clock = CLOCK.min(time / 16);
        let of_each = (time - for_clock) / count as u32;
        let clock = Clock::measure(for_clock);
        table::begin(&clock, self.model.is_some(), screen)?;
        let mut measured = Vec::new();
        for (model, places) in networks {
            let x = waves(model, CHECKED);
            for (i, Place { name, device }) in places.into_iter().enumerate() {
                screen.flush()?;
                let mut stream = Stream::on(device, model.clone())?;
                let latency = Latency::of(&mut stream, &x, of_each)?;
                let one = Measured { shape: *model.shape(), weights: self.weights, device: name, latency };
                if self.model.is_some() {
                    table::whole(&one, screen)?;
                } else {
                    table::short(&one, i == 0, screen)?;
                }
                measured.push(one);
            }
        }
        Ok((clock, measured))
    }

    /// Writes the files that are asked for, and prints a plot if stdout is a terminal.
    fn write(&self, clock: &Clock, measured: &[Measured], figure: Figure, screen: &mut Screen) -> Result<(), Failure> {
        if screen.terminal {
            let text = terminal::render_figure(&figure, screen.width(), HEIGHT, screen.colour());
            screen.picture(&text)?;
        }
        if let Some(path) = &self.out {
            files::write(path, || csv::write(path, &table::header(), table::rows(clock, measured)))?;
            screen.line(format_args!("table     {}", path.display()))?;
        }
        if let Some(path) = &self.plot {
            files::write(path, || picture::save(&figure, path))?;
            screen.line(format_args!("plot      {}", path.display()))?;
        }
        Ok(())
    }
}

/// Compares the predictions of every network on every device with float64, and those of the CPUs with each other.
/// Returns the result in words.
fn agreement(networks: &[(&Model, Vec<Place>)]) -> Result<String, Failure> {
    let (mut sets, mut cards): (Vec<&str>, Vec<&str>) = Default::default();
    let (mut off, mut off_on_card) = (0.0_f64, 0.0_f64);
    for (model, places) in networks {
        let answers = Answers::of(model, CHECKED)?;
        for Place { name, device } in places {
            let found = answers.check(device)?.most;
            let (names, off) = match device {
                Device::Cpu(_) => (&mut sets, &mut off),
                Device::Cuda(_) => (&mut cards, &mut off_on_card),
            };
            *off = off.max(found);
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    let difference = |off: f64| format!("at most {off:.1e} off float64");
    let same = match sets[..] {
        [] => None,
        [only] => Some(format!("{only}: the bits of portable, {}", difference(off))),
        _ => Some(format!("{}: the same bits, {}", sets.join(", "), difference(off))),
    };
    let on_card = (!cards.is_empty()).then(|| format!("{}: {}", cards.join(", "), difference(off_on_card)));
    let both: Vec<String> = same.into_iter().chain(on_card).collect();
    Ok(format!("answers   {}", both.join("\n          ")))
}

/// The name of the processor, or its architecture if the system gives no name.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(':')).next();
    name.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}
