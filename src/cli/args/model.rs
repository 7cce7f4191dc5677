//! A model file to read.

use crate::cli::args::device::DeviceArgs;
use crate::cli::args::paths::Paths;
use crate::cli::args::value;
use crate::cli::failure::Failure;
use crate::cli::output::screen::tell;
use clap::Args;
use rnnstep::model::file::Loaded;
use rnnstep::{Cpu, Error, Nonlinearity, Weights};
use std::path::{Path, PathBuf};

/// A model file to read.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// Model file (.safetensors), of rnnstep or of PyTorch
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Activation of an Elman RNN, if its file does not name one [default: tanh]
    #[arg(long, value_parser = value::nonlinearity(), value_name = "NAME")]
    pub nonlinearity: Option<Nonlinearity>,
    /// Round the recurrent weights to this format; single steps on a CPU then read half or a quarter of the memory, and
    /// a GPU computes with the rounded weights in f32
    #[arg(long, value_parser = value::weights(), value_name = "FORMAT", default_value = "f32")]
    pub weights: Weights,
    #[command(flatten)]
    pub device: DeviceArgs,
}

impl ModelArgs {
    /// The files that are read for a model.
    pub fn paths(&self) -> Paths<'_> {
        Paths::default().reads("MODEL", [&self.model]).reads("--bundle", self.device.bundle())
    }

    /// The model. Warnings go to stderr.
    pub fn load(&self) -> Result<Loaded, Failure> {
        let mut loaded = load(&self.model, self.nonlinearity, self.device.cpu()?)?;
        let in_file = |error: Error| Error::File { path: self.model.clone(), reason: error.to_string() };
        loaded.model = loaded.model.with_weights(self.weights).map_err(in_file)?;
        Ok(loaded)
    }
}

/// The model of a file. Warnings go to stderr.
pub fn load(path: &Path, nonlinearity: Option<Nonlinearity>, cpu: Cpu) -> Result<Loaded, Failure> {
    if path.is_dir() {
        let reason = "is a folder; give the name of a model inside it (predict, forecast and evaluate take the folder with --series COLUMN)";
        return Err(Error::File { path: path.into(), reason: reason.into() }.into());
    }
    let loaded = rnnstep::model::file::load(path, nonlinearity, cpu)?;
    let warnings: Vec<String> = loaded.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    tell(&warnings, "more warnings");
    Ok(loaded)
}
