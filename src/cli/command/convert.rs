//! `rnnstep convert`

use crate::cli::args::model::ModelArgs;
use crate::cli::failure::Failure;
use crate::cli::output::files;
use crate::cli::output::screen::Screen;
use clap::{Args, ValueEnum};
use rnnstep::model::{file, fixed};
use std::path::PathBuf;
use std::process::ExitCode;

/// The formats that a model can be converted to.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A Rust module, to compile into a program without files or an operating system
    Rust,
}

#[derive(Args)]
pub struct ConvertArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Format to write
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Format,
    /// File to write [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(args: &ConvertArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    args.model.paths().writes("--out", &args.out).check()?;
    let model = args.model.load()?.model;
    let text = match args.to {
        Format::Rust => fixed::source(&model, &model.shape().to_string())?,
    };
    match &args.out {
        Some(path) => files::write(path, || file::write_text(path, &text))?,
        None => screen.write(|out| out.write_all(text.as_bytes()))?,
    }
    Ok(ExitCode::SUCCESS)
}
