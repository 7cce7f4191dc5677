//! The device that a command computes on: `--device`, `--isa`, `--dtype` and related options.

use crate::cli::args::value;
use crate::cli::failure::Failure;
use crate::cli::output::screen::say_once;
use clap::Args;
use rnnstep::cuda::driver::Properties;
use rnnstep::cuda::{self, Cuda, Dtype, Frame, Images};
use rnnstep::{Cpu, Device, DeviceErrorKind, Error, Isa, Shape};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use rnnstep::cuda::Work;

/// The GPUs of this machine. They are looked for once, since each of many series asks.
fn cards() -> &'static Result<Vec<Properties>, String> {
    static CARDS: OnceLock<Result<Vec<Properties>, String>> = OnceLock::new();
    CARDS.get_or_init(|| cuda::devices().map_err(|why| why.to_string()))
}

/// Where to compute.
#[derive(Args, Clone, Debug)]
pub struct DeviceArgs {
    /// Device to compute on: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", value_name = "DEVICE", help_heading = "Device")]
    device: String,
    /// Instruction set of the CPU: portable, avx2, avx512 or neon [default: the one RNNSTEP_ISA names, else the widest]
    #[arg(long, value_name = "ISA", help_heading = "Device")]
    isa: Option<String>,
    /// How a GPU rounds the factors of products; sums, states and weights stay f32
    #[arg(long, value_parser = value::dtype(), default_value = "f32", value_name = "DTYPE", help_heading = "Device")]
    dtype: Dtype,
    /// How a GPU runs the recurrent layers: one-block, many-blocks or step-wise [default: the fastest that fits]
    #[arg(long, value_parser = value::frame(), value_name = "FRAME", help_heading = "Device")]
    frame: Option<Frame>,
    /// Use kernels that `rnnstep compile` wrote to this file, and do not compile any
    #[arg(long, value_name = "FILE", help_heading = "Device")]
    bundle: Option<PathBuf>,
    /// Compile the kernels again, and do not keep them for the next run
    #[arg(long, help_heading = "Device")]
    no_cache: bool,
}

/// The value of `--device`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Auto,
    Cpu,
    Card(usize),
}

impl DeviceArgs {
    /// How factors of products are rounded on a GPU.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The frame that is asked for.
    pub fn frame(&self) -> Option<Frame> {
        self.frame
    }

    /// The file of kernels that is read, if any is.
    pub fn bundle(&self) -> Option<&Path> {
        self.bundle.as_deref()
    }

    fn wanted(&self) -> Result<Wanted, Failure> {
        match self.device.as_str() {
            "auto" => Ok(Wanted::Auto),
            "cpu" => Ok(Wanted::Cpu),
            "cuda" => Ok(Wanted::Card(0)),
            other => match other.strip_prefix("cuda:").and_then(|index| index.parse().ok()) {
                Some(index) => Ok(Wanted::Card(index)),
                None => Err(Failure::Usage(format!("device {other:?}: expected auto, cpu, cuda or cuda:N"))),
            },
        }
    }

    /// The CPU, for work that is done there whatever the device.
    pub fn cpu(&self) -> Result<Cpu, Failure> {
        self.wanted()?;
        match &self.isa {
            Some(name) => Ok(Cpu::new(name.parse::<Isa>()?)?),
            None => Ok(Cpu::detect()?),
        }
    }

    /// The CPU, for a command that runs on no other device.
    pub fn only_cpu(&self, command: &str) -> Result<Cpu, Failure> {
        match self.wanted()? {
            Wanted::Card(_) => {
                let message = format!("device {}: {command} runs on the CPU only; use --device cpu", self.device);
                Err(Error::Device { kind: DeviceErrorKind::Unsupported, message }.into())
            }
            _ => {
                self.say_what_is_idle();
                self.cpu()
            }
        }
    }

    /// Prints a note for each option that has no effect on a CPU.
    fn say_what_is_idle(&self) {
        let idle = [
            ("--dtype", self.dtype != Dtype::default()),
            ("--frame", self.frame.is_some()),
            ("--bundle", self.bundle.is_some()),
            ("--no-cache", self.no_cache),
        ];
        for (flag, _) in idle.into_iter().filter(|(_, given)| *given) {
            say_once(flag, &format!("note: {flag} has no effect: it is for a GPU, and this runs on the CPU"));
        }
    }

    /// The CPUs to compare: one with the instruction set of `--isa`, or one for each of this machine. None if a GPU is
    /// asked for.
    pub fn every_cpu(&self) -> Result<Vec<Cpu>, Failure> {
        match (self.wanted()?, &self.isa) {
            (Wanted::Card(_), _) => Ok(vec![]),
            (_, Some(_)) => Ok(vec![self.cpu()?]),
            (_, None) => Ok(Isa::available().into_iter().map(Cpu::new).collect::<Result<_, _>>()?),
        }
    }

    /// The numbers of the GPUs to compare: the one that is asked for, or all of this machine. Or why there are none.
    pub fn every_card(&self) -> Result<Result<Vec<usize>, String>, Failure> {
        match self.wanted()? {
            Wanted::Card(index) => Ok(Ok(vec![index])),
            Wanted::Cpu => Ok(Ok(vec![])),
            Wanted::Auto => Ok(cards().as_ref().map(|cards| (0..cards.len()).collect()).map_err(String::clone)),
        }
    }

    /// Whether a GPU is asked for by name, so that to run without it would be a failure.
    pub fn insists_on_card(&self) -> bool {
        matches!(self.wanted(), Ok(Wanted::Card(_)))
    }

    /// The GPU that is asked for, or the first, for a network of `shape`.
    pub fn card(&self, shape: &Shape) -> Result<Cuda, Failure> {
        match self.wanted()? {
            Wanted::Card(index) => self.card_at(index, shape),
            _ => self.card_at(0, shape),
        }
    }

    /// GPU number `index`, for a network of `shape`.
    pub fn card_at(&self, index: usize, shape: &Shape) -> Result<Cuda, Failure> {
        let images = match &self.bundle {
            Some(path) => Images::bundled(path, shape)?,
            None => Images::new(!self.no_cache),
        };
        let named = |error| match error {
            Error::Device { kind, message } if !message.starts_with(&self.device) => {
                Error::Device { kind, message: format!("device {}: {message}", self.device) }
            }
            other => other,
        };
        Ok(Cuda::open(index, images).map_err(named)?.with_dtype(self.dtype).with_frame(self.frame))
    }

    /// The device for this work on a network of `shape` and `batch` sequences. Prints what `auto` chose, if there was a
    /// choice.
    pub fn choose(&self, shape: &Shape, batch: usize, work: Work) -> Result<Device, Failure> {
        match self.wanted()? {
            Wanted::Cpu => {
                self.say_what_is_idle();
                Ok(self.cpu()?.into())
            }
            Wanted::Card(_) => Ok(self.card(shape)?.into()),
            Wanted::Auto => {
                let on_cpu = |reason: String| {
                    say_once("device auto: cpu", &format!("device auto: cpu, {reason}"));
                    Ok(self.cpu()?.into())
                };
                let cards = match cards() {
                    Ok(cards) => cards,
                    // a machine without a GPU gets no note, but one with a driver that is not opened does
                    Err(why) if cuda::driver::withheld() => return on_cpu(why.clone()),
                    Err(_) => return Ok(self.cpu()?.into()),
                };
                let Some(card) = cards.first() else { return Ok(self.cpu()?.into()) };
                let choice = cuda::worth(shape, batch, work, card);
                if !choice.card {
                    return on_cpu(choice.reason);
                }
                let ready = |cuda: Cuda| Ok(cuda::ready(&cuda, shape, batch, work).map(|()| cuda)?);
                match self.card(shape).and_then(ready) {
                    Ok(cuda) => {
                        say_once("device auto: card", &format!("device auto: {}, {}", card.name, choice.reason));
                        Ok(cuda.into())
                    }
                    // only the first line, since a message of the compiler may have many
                    Err(Failure::Library(error)) => on_cpu(error.to_string().lines().next().unwrap_or("").into()),
                    Err(other) => Err(other),
                }
            }
        }
    }
}
