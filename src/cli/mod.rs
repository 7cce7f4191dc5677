//! Parses, calls the library, prints. Results go to stdout, talk to stderr. No arithmetic here.

mod forecast;
mod gates;
mod info;
mod input;
mod job;
mod predict;
mod report;
mod screen;
mod stream;
mod train;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use rnnstep::cpu::Threads;
use rnnstep::{Cpu, Error, Isa, Nonlinearity};
use screen::Screen;
use std::process::ExitCode;

/// Learns a time series and predicts its next step.
#[derive(Parser)]
#[command(name = "rnnstep", version, about, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains a network on a series and writes it to a file
    Train(Box<train::TrainArgs>),
    /// Predicts one step ahead at every row of a file
    Predict(predict::PredictArgs),
    /// Predicts as lines come in: numbers in, the next values out
    Stream(stream::StreamArgs),
    /// Predicts many steps ahead, feeding predictions back
    Forecast(forecast::ForecastArgs),
    /// Shows the gates of every step
    Gates(gates::GatesArgs),
    /// Says what this machine has, and what is in a model file
    Info(info::InfoArgs),
}

/// Where to compute.
#[derive(Args, Clone, Debug)]
struct DeviceArgs {
    /// Device to compute on: auto or cpu
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    device: String,
    /// Instruction set: portable, avx2, avx512 or neon [default: the widest, or what RNNSTEP_ISA names]
    #[arg(long, value_name = "ISA")]
    isa: Option<String>,
}

impl DeviceArgs {
    fn cpu(&self) -> Result<Cpu, Failure> {
        match self.device.as_str() {
            "auto" | "cpu" => {}
            cuda if cuda == "cuda" || cuda.starts_with("cuda:") => {
                let message = format!("device {cuda}: this version computes on the CPU only; use --device cpu");
                return Err(Error::Device(message).into());
            }
            other => return Err(Failure::Usage(format!("device {other:?}: expected auto or cpu"))),
        }
        match &self.isa {
            Some(name) => Ok(Cpu::new(name.parse::<Isa>()?)?),
            None => Ok(Cpu::detect()?),
        }
    }
}

/// A model file to read.
#[derive(Args, Clone, Debug)]
struct ModelArgs {
    /// Model file (.safetensors), of rnnstep or of PyTorch
    #[arg(value_name = "MODEL")]
    model: std::path::PathBuf,
    /// Activation of an Elman RNN whose file does not say it [default: tanh]
    #[arg(long, value_enum, value_name = "NAME")]
    nonlinearity: Option<Nonlinearity>,
    #[command(flatten)]
    device: DeviceArgs,
}

impl ModelArgs {
    /// The model, and the processor to run it on. Warnings go to stderr.
    fn load(&self) -> Result<(rnnstep::file::Loaded, Cpu), Failure> {
        let cpu = self.device.cpu()?;
        let loaded = rnnstep::file::load(&self.model, self.nonlinearity, cpu)?;
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        Ok((loaded, cpu))
    }
}

/// How a command ends when it does not end well.
enum Failure {
    /// The library said no.
    Library(Error),
    /// Flags that do not go together.
    Usage(String),
    /// Whoever read stdout has gone: a silent end.
    ClosedPipe,
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Library(error.into())
    }
}

pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // which flags were given, not just what they say
    let given = matches.subcommand().map_or(&matches, |(_, given)| given);
    let mut screen = Screen::new();
    let result = match cli.command {
        Command::Train(args) => train::run(&args, given, &mut screen),
        Command::Predict(args) => predict::run(&args, &mut screen),
        Command::Stream(args) => stream::run(&args, &mut screen),
        Command::Forecast(args) => forecast::run(&args, &mut screen),
        Command::Gates(args) => gates::run(&args, &mut screen),
        Command::Info(args) => info::run(&args, &mut screen),
    };
    match result.and_then(|code| screen.flush().map(|()| code)) {
        Ok(code) => code,
        Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(Failure::Library(error)) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}\n\nFor more information, try '--help'.");
            ExitCode::from(2)
        }
    }
}

/// So many threads.
fn threads(count: usize) -> Result<Threads, Failure> {
    const MOST: usize = 1024;
    if count == 0 || count > MOST {
        return Err(Error::Invalid(format!("threads {count}: must be between 1 and {MOST}")).into());
    }
    Ok(Threads::new(count)?)
}
