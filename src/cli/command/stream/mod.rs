//! `rnnstep stream`

mod learning;

use crate::cli::args::device::Work;
use crate::cli::args::learn::LearnArgs;
use crate::cli::args::model::ModelArgs;
use crate::cli::args::paths;
use crate::cli::failure::Failure;
use crate::cli::output::report::duration;
use crate::cli::output::screen::{Screen, say_once};
use crate::cli::signals;
use clap::Args;
use learning::Learning;
use rnnstep::data::csv;
use rnnstep::measure::latency::{Distribution, PERCENTILES};
use rnnstep::{Error, Stream};
use std::io::{BufRead, BufReader, Read, StdinLock, stdin};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The longest line that is read, in bytes.
const LONGEST: u64 = 1 << 20;

#[derive(Args)]
pub struct StreamArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Leave out the model's scalers and target transform: x and y are in the network's own units
    #[arg(long)]
    raw: bool,
    /// At the end, print on stderr how long the steps took
    #[arg(long)]
    latency: bool,
    #[command(flatten)]
    learn: LearnArgs,
}

pub fn run(args: &StreamArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let loaded = args.model.load()?;
    let width = loaded.model.shape().input();
    let in_f32 = args.raw || loaded.model.units().is_none();
    let mut runner = if args.learn.is_asked()? {
        if args.raw {
            return Err(Failure::Usage("--learn: learns in the units of the data; leave --raw out".into()));
        }
        let cpu = args.model.device.only_cpu("stream --learn")?;
        Runner::Learning(Learning::new(&args.learn, &args.model.model, loaded, cpu)?)
    } else {
        let device = args.model.device.choose(loaded.model.shape(), 1, Work::Ticks)?;
        Runner::Stream(Stream::on(device, if args.raw { loaded.model.raw() } else { loaded.model })?)
    };
    paths::check_streams()?;
    let mut counts = Counts::default();
    let answered = answer(args, &mut runner, (width, in_f32), &mut counts, screen);
    let interrupted = signals::came() && matches!(&answered, Ok(()) | Err(Failure::Interrupted));
    if counts.bad > 0 {
        eprintln!("{} lines were left out", counts.bad);
    }
    if args.latency {
        eprintln!("{}", in_words(counts.times));
    }
    if let Runner::Learning(learning) = runner {
        // whatever ended the stream, what was learned is saved
        let finished = learning.finish(interrupted);
        if let (Err(_), Err(Failure::Library(error))) = (&answered, &finished) {
            eprintln!("error: {error}");
        }
        match answered {
            Ok(()) | Err(Failure::Interrupted | Failure::ClosedPipe) => finished?,
            Err(_) => {}
        }
    }
    match answered {
        Ok(()) if interrupted => Ok(ExitCode::from(1)),
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(failure) => Err(failure),
    }
}

/// What is reported at the end.
#[derive(Default)]
struct Counts {
    times: Vec<Duration>,
    /// Lines that were left out.
    bad: u64,
}

/// Answers line after line, until the last one or a signal. A line has `width` numbers; `in_f32` are the answers of a
/// model without units, which are the network's own numbers.
fn answer(
    args: &StreamArgs,
    runner: &mut Runner,
    (width, in_f32): (usize, bool),
    counts: &mut Counts,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let mut lines = BufReader::new(Input(stdin().lock()));
    let (mut line, mut x) = (Vec::new(), Vec::with_capacity(width));
    for number in 1_u64.. {
        line.clear();
        let read = |source: std::io::Error| match signals::Ended::is_why(&source) {
            true => Failure::Interrupted,
            false => Error::Io { path: "standard input".into(), source }.into(),
        };
        if signals::came() {
            return Ok(());
        }
        if lines.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(read)? == 0 {
            break;
        }
        let complete = line.ends_with(b"\n") || (line.len() as u64) < LONGEST;
        if !complete {
            skip_line(&mut lines).map_err(read)?;
        }
        match if complete { parse(&line, width, &mut x) } else { Err(format!("longer than {LONGEST} bytes")) } {
            Ok(()) => {
                let start = Instant::now();
                let y = runner.predict(&x)?;
                if args.latency {
                    counts.times.push(start.elapsed());
                }
                if y.iter().any(|value| !value.is_finite()) {
                    let reason =
                        "the prediction is not finite: a number in this line or before it is too large for this model";
                    let note = format!("note: line {number}: {reason}; later predictions may not be finite either");
                    say_once("not finite", &note);
                }
                let text = |&value: &f64| if in_f32 { csv::number(value as f32) } else { csv::number(value) };
                let y: Vec<String> = y.iter().map(text).collect();
                screen.line(y.join(","))?;
                screen.flush()?;
                runner.learn(&x)?;
            }
            Err(reason) => {
                counts.bad += 1;
                eprintln!("line {number}: {reason}; the line is left out, and the state stays unchanged");
            }
        }
    }
    Ok(())
}

/// stdin. A signal that the command watches ends a wait for it.
struct Input<'a>(StdinLock<'a>);

impl Read for Input<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        signals::wait_to_read(&self.0)?;
        self.0.read(to)
    }
}

/// What makes the predictions.
#[allow(clippy::large_enum_variant, reason = "there is only one value of this type")]
enum Runner {
    Stream(Stream),
    Learning(Learning),
}

impl Runner {
    fn predict(&mut self, x: &[f64]) -> Result<&[f64], Error> {
        match self {
            Self::Stream(stream) => stream.step_f64(x),
            Self::Learning(learning) => learning.predict(x),
        }
    }

    /// The work that can wait until the prediction was printed.
    fn learn(&mut self, x: &[f64]) -> Result<(), Failure> {
        match self {
            Self::Stream(_) => Ok(()),
            Self::Learning(learning) => learning.learn(x),
        }
    }
}

/// Reads the `width` numbers of a line, which are separated by commas, semicolons or white space. Each becomes the same
/// number as in a table.
fn parse(line: &[u8], width: usize, x: &mut Vec<f64>) -> Result<(), String> {
    x.clear();
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_string())?;
    let blank = line.trim().is_empty();
    for (field, part) in line.split([',', ';']).enumerate().filter(|_| !blank) {
        if part.trim().is_empty() {
            return Err(format!("field {} is empty", field + 1));
        }
        for text in part.split_whitespace() {
            let shown = || text.chars().take(20).collect::<String>();
            let value = text.parse::<f64>().map_err(|_| format!("{:?} is not a number", shown()))?;
            if !(value as f32).is_finite() {
                return Err(format!("{:?} is not a finite number", shown()));
            }
            x.push(value);
        }
    }
    if x.len() == width { Ok(()) } else { Err(format!("expected {width} numbers, got {}", x.len())) }
}

/// Reads past the end of a line without keeping it.
fn skip_line(lines: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = lines.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|&b| b == b'\n');
        let used = end.map_or(buffer.len(), |at| at + 1);
        lines.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// The median, the percentiles for which there are enough steps, and the longest time. Each contains the 20 to 40 ns of
/// a reading of the clock.
fn in_words(times: Vec<Duration>) -> String {
    let Some(times) = Distribution::new(times) else { return "latency: no steps".into() };
    let name = |per_mille: usize| format!("p{}", per_mille as f64 / 10.0);
    let known = PERCENTILES.into_iter().filter_map(|p| Some(format!("{} {}, ", name(p), duration(times.known(p)?))));
    format!("latency of {} steps: {}max {}", times.count(), known.collect::<String>(), duration(times.max()))
}
