//! The command line program: it parses the arguments, calls the library and prints. Results go to stdout, messages to
//! stderr. No arithmetic is done here.

/// Like the `eprintln!` of std, with two differences. It does not panic if stderr is closed or its disk is full, and it
/// escapes control characters, which may stand in the name of a file.
macro_rules! eprintln {
    ($($text:tt)*) => { crate::cli::output::screen::talk(&format!($($text)*)) };
}

mod args;
mod command;
mod failure;
mod memory;
mod output;
mod signals;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use failure::Failure;
use output::screen::Screen;
use rnnstep::error::escaped_lines;
use std::any::TypeId;
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
    /// Trains a network on a series and writes the model to a file
    Train(Box<command::train::TrainArgs>),
    /// Predicts one step ahead at every row of a file
    Predict(command::predict::PredictArgs),
    /// Predicts as lines come in: numbers in, the next values out
    Stream(command::stream::StreamArgs),
    /// Predicts many steps ahead, feeding predictions back
    Forecast(command::forecast::ForecastArgs),
    /// Backtests a model next to naive forecasts, to show whether it is worth using
    Evaluate(Box<command::evaluate::EvaluateArgs>),
    /// Searches for a good cell, sizes, window, learning rate and target transform, by successive halving
    Search(Box<command::search::SearchArgs>),
    /// Shows the gates of every step
    Gates(command::gates::GatesArgs),
    /// Converts a model to Rust source, to compile into firmware
    Convert(command::convert::ConvertArgs),
    /// Measures the distribution of step times on every instruction set and GPU, back to back and after a pause
    Bench(command::bench::BenchArgs),
    /// Compiles the kernels of a model ahead of time, for GPUs of other machines
    Compile(command::compile::CompileArgs),
    /// Shows what this machine has, or what is in a model file
    Info(command::info::InfoArgs),
}

pub fn main() -> ExitCode {
    outlive_a_file_too_large();
    match work() {
        Ok(code) => code,
        Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(Failure::Interrupted) => ExitCode::from(1),
        Err(Failure::Library(error)) => {
            format!("error: {error}").lines().for_each(output::screen::talk);
            ExitCode::from(1)
        }
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}");
            eprintln!("");
            eprintln!("For more information, try '--help'.");
            ExitCode::from(2)
        }
    }
}

/// All commands. An option that takes a number reads a negative number as its value, and refuses it by its range.
fn command() -> clap::Command {
    let numbers = [TypeId::of::<f64>(), TypeId::of::<usize>(), TypeId::of::<u64>()];
    let is_number = |arg: &clap::Arg| numbers.iter().any(|number| arg.get_value_parser().type_id() == *number);
    let negative = |arg: clap::Arg| if is_number(&arg) { arg.allow_negative_numbers(true) } else { arg };
    Cli::command().mut_subcommands(|command| command.mut_args(negative))
}

fn work() -> Result<ExitCode, Failure> {
    let mut command = command();
    match command.clone().try_get_matches() {
        Ok(matches) => run(&args::config::applied(&mut command, matches)?),
        Err(error) => print_message_of_clap(&error),
    }
}

/// Prints the help on stdout, or what is wrong with the arguments on stderr.
fn print_message_of_clap(error: &clap::Error) -> Result<ExitCode, Failure> {
    let text = error.to_string();
    let odd = |arg: std::ffi::OsString| arg.to_string_lossy().chars().any(char::is_control);
    if error.use_stderr() && std::env::args_os().any(odd) {
        // an argument with a line break in it could forge a line of its own
        output::screen::talk(text.trim_end());
    } else if error.use_stderr() && escaped_lines(&text) != text {
        // an argument may be the name of a file that somebody else chose: a shell expands `*`
        text.trim_end().lines().for_each(output::screen::talk);
    } else {
        let printed = error.print();
        if !error.use_stderr() {
            printed.map_err(output::screen::failed)?;
        }
    }
    Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)))
}

fn run(matches: &clap::ArgMatches) -> Result<ExitCode, Failure> {
    let cli = Cli::from_arg_matches(matches).unwrap_or_else(|error| error.exit());
    // this knows which flags were given, not only their values
    let given = matches.subcommand().map_or(matches, |(_, given)| given);
    let mut screen = Screen::new();
    let result = match cli.command {
        Command::Train(args) => command::train::run(&args, given, &mut screen),
        Command::Predict(args) => command::predict::run(&args, &mut screen),
        Command::Stream(args) => command::stream::run(&args, &mut screen),
        Command::Forecast(args) => command::forecast::run(&args, &mut screen),
        Command::Evaluate(args) => command::evaluate::run(&args, given, &mut screen),
        Command::Search(args) => command::search::run(&args, given, &mut screen),
        Command::Gates(args) => command::gates::run(&args, &mut screen),
        Command::Convert(args) => command::convert::run(&args, &mut screen),
        Command::Bench(args) => command::bench::run(&args, &mut screen),
        Command::Compile(args) => command::compile::run(&args, &mut screen),
        Command::Info(args) => command::info::run(&args, &mut screen),
    };
    // of two failures the first one is reported
    result.and_then(|code| screen.finish().map(|()| code))
}

/// Makes a write beyond `ulimit -f` fail with an error, and so with a message. By default the system ends the process.
fn outlive_a_file_too_large() {
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default());
}
