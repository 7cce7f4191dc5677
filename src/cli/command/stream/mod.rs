//! `rnnstep stream`

mod learning;
mod lines;

use crate::cli::args::device::Work;
use crate::cli::args::learn::LearnArgs;
use crate::cli::args::model::ModelArgs;
use crate::cli::args::paths;
use crate::cli::args::sequences::{NO_MASKS, read_state};
use crate::cli::args::value;
use crate::cli::command::predict::write_state;
use crate::cli::failure::Failure;
use crate::cli::output::report::duration;
use crate::cli::output::screen::{Screen, say_once};
use crate::cli::signals;
use clap::Args;
use learning::{BESIDE, Learning};
use lines::{Line, Lines};
use rnnstep::data::csv;
use rnnstep::data::csv::Missing;
use rnnstep::measure::latency::{Distribution, PERCENTILES};
use rnnstep::model::file::Loaded;
use rnnstep::{Error, State, Stream};
use std::io::{BufRead, BufReader, Read, StdinLock, stdin};
use std::path::PathBuf;
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
    /// What to do about missing values: an empty field, NA and the like
    #[arg(long, value_parser = value::missing(), default_value = "error")]
    missing: Missing,
    /// Take columns in their order, whatever a first line with names calls them
    #[arg(long)]
    by_position: bool,
    /// Start from the state in this .safetensors file: `h` (and `c`) `[L,1,H]`, and `past` if the model predicts
    /// changes
    #[arg(long, value_name = "FILE")]
    init_state: Option<PathBuf>,
    /// At the end, write the state after the last row, as --init-state reads it
    #[arg(long, value_name = "FILE")]
    final_state: Option<PathBuf>,
    /// At the end, print on stderr how long the steps took
    #[arg(long)]
    latency: bool,
    #[command(flatten)]
    learn: LearnArgs,
}

pub fn run(args: &StreamArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let beside = args.learn.out.as_deref().map(learning::beside);
    let reads = args.model.paths().reads("--init-state", &args.init_state);
    // one file may carry the state from call to call, and a learner may replace the file that it continues from
    let reads = reads.may_replace("--init-state", "--final-state").may_replace("MODEL", BESIDE);
    let writes = reads.writes("--final-state", &args.final_state).writes("--out", &args.learn.out);
    writes.writes(BESIDE, &beside).check()?;
    let mut loaded = args.model.load()?;
    if args.raw {
        loaded.model = loaded.model.raw();
    }
    let inputs = loaded.metadata.columns.inputs.clone();
    let state = args.init_state.as_deref().map(|path| read_state(Some(path), &loaded.model, 1)).transpose()?;
    let masks = loaded.model.masks().to_vec();
    if args.missing == Missing::Mask && masks.is_empty() {
        return Err(Failure::Usage(NO_MASKS.into()));
    }
    let width = loaded.model.shape().input() - masks.len();
    let mut lines = Lines::new(&inputs, width, &masks, args.missing, args.by_position);
    let in_f32 = loaded.model.units().is_none();
    let mut runner = runner(args, loaded)?;
    if let Some(state) = &state {
        runner.set_state(state)?;
    }
    paths::check_streams()?;
    let mut counts = Counts::default();
    let answered = answer(args, &mut runner, &mut lines, in_f32, &mut counts, screen);
    let interrupted = signals::came() && matches!(&answered, Ok(()) | Err(Failure::Interrupted));
    if counts.bad > 0 {
        let lines = if counts.bad == 1 { "line was" } else { "lines were" };
        eprintln!("{} {lines} left out", counts.bad);
    }
    if args.latency {
        eprintln!("{}", in_words(std::mem::take(&mut counts.times)));
    }
    let answered = match answered {
        Ok(()) if !interrupted && counts.good == 0 && counts.bad > 0 => {
            Err(Error::Invalid("no line was answered: all of them were left out".into()).into())
        }
        answered => answered,
    };
    let went_well = matches!(answered, Ok(()) | Err(Failure::Interrupted | Failure::ClosedPipe));
    let saved = end(args, runner, went_well, interrupted);
    if went_well {
        saved?;
    } else if let Err(Failure::Library(error)) = saved {
        eprintln!("error: {error}");
    }
    answered.map(|()| if interrupted { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// What makes the predictions.
fn runner(args: &StreamArgs, loaded: Loaded) -> Result<Runner, Failure> {
    if args.learn.is_asked()? {
        if args.raw {
            return Err(Failure::Usage("--learn: learns in the units of the data; leave --raw out".into()));
        }
        let cpu = args.model.device.only_cpu("stream --learn")?;
        return Ok(Runner::Learning(Learning::new(&args.learn, &args.model.model, loaded, cpu)?));
    }
    let device = args.model.device.choose(loaded.model.shape(), 1, Work::Ticks)?;
    Ok(Runner::Stream(Stream::on(device, loaded.model)?))
}

/// Writes the state if the stream `went_well`: otherwise it may be asked for the same rows again, from the state that
/// there is. What was learned is saved in any case.
fn end(args: &StreamArgs, mut runner: Runner, went_well: bool, interrupted: bool) -> Result<(), Failure> {
    let path = args.final_state.as_deref().filter(|_| went_well);
    let state = path.map(|path| write_state(path, &runner.state()?));
    if let Runner::Learning(learning) = runner {
        learning.finish(interrupted)?;
    }
    state.unwrap_or(Ok(()))
}

/// What is reported at the end.
#[derive(Default)]
struct Counts {
    times: Vec<Duration>,
    /// Rows that were answered.
    good: u64,
    /// Lines that were left out.
    bad: u64,
}

/// Answers line after line, until the last one or a signal. The answers of a model without units are `in_f32`, because
/// they are the network's own numbers.
fn answer(
    args: &StreamArgs,
    runner: &mut Runner,
    rows: &mut Lines,
    in_f32: bool,
    counts: &mut Counts,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let mut lines = BufReader::new(Input(stdin().lock()));
    let (mut line, mut x) = (Vec::new(), Vec::new());
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
        let read =
            if complete { rows.read(number, &line, &mut x)? } else { Err(format!("longer than {LONGEST} bytes")) };
        match read {
            Ok(Line::Row) => {
                counts.good += 1;
                reply(args, runner, number, &x, in_f32, counts, screen)?;
                runner.learn(rows.values())?;
            }
            Ok(Line::Reset) => runner.reset(),
            Ok(Line::Names) => {}
            Ok(Line::LeftOut) => counts.bad += 1,
            Err(reason) => {
                counts.bad += 1;
                eprintln!("line {number}: {reason}; the line is left out, and the state stays unchanged");
            }
        }
    }
    Ok(())
}

/// Prints the prediction after the row `x`, from line `number`.
fn reply(
    args: &StreamArgs,
    runner: &mut Runner,
    number: u64,
    x: &[f64],
    in_f32: bool,
    counts: &mut Counts,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let start = Instant::now();
    let y = runner.predict(x)?;
    if args.latency {
        counts.times.push(start.elapsed());
    }
    if y.iter().any(|value| !value.is_finite()) {
        let reason = "the prediction is not finite: a number in this line or before it is too large for this model";
        let note = format!("note: line {number}: {reason}; later predictions may not be finite either");
        say_once("not finite", &note);
    }
    let text = |&value: &f64| if in_f32 { csv::number(value as f32) } else { csv::number(value) };
    screen.line(y.iter().map(text).collect::<Vec<_>>().join(","))?;
    screen.flush()
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

    /// Goes back to a state of zero.
    fn reset(&mut self) {
        match self {
            Self::Stream(stream) => stream.reset(),
            Self::Learning(learning) => learning.learner.reset(),
        }
    }

    fn set_state(&mut self, state: &State) -> Result<(), Error> {
        match self {
            Self::Stream(stream) => stream.set_state(state),
            Self::Learning(learning) => learning.learner.set_state(state),
        }
    }

    fn state(&mut self) -> Result<State, Error> {
        match self {
            Self::Stream(stream) => stream.state().cloned(),
            Self::Learning(learning) => Ok(learning.learner.state()),
        }
    }

    /// The work that can wait until the prediction was printed: `values` is the row, NaN where a value is missing.
    fn learn(&mut self, values: &[f64]) -> Result<(), Failure> {
        match self {
            Self::Stream(_) => Ok(()),
            Self::Learning(learning) => learning.learn(values),
        }
    }
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
