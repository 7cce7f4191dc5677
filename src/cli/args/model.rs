//! A model file to read.

use crate::cli::args::device::DeviceArgs;
use crate::cli::args::paths::Paths;
use crate::cli::args::value;
use crate::cli::failure::Failure;
use crate::cli::output::screen::tell;
use clap::Args;
use rnnstep::model::file::{HeadChoice, Loaded, ReadOptions};
use rnnstep::{Cpu, Error, Nonlinearity, Weights};
use std::path::{Path, PathBuf};

/// Which tensors of a model file are taken.
#[derive(Args, Clone, Debug, Default)]
pub struct TensorArgs {
    /// Recurrent layers to take, if the model file has several networks: the start of their tensors' names, such as
    /// encoder.lstm [default: the only ones]
    #[arg(long, value_name = "PREFIX")]
    pub recurrent: Option<String>,
    /// Linear layer to take as the head, such as fc; or none, if the network has no head. Other layers are left out
    /// [default: the only one, if shape and name fit]
    #[arg(long, value_name = "PREFIX")]
    pub head: Option<HeadChoice>,
}

impl TensorArgs {
    /// How a model file is read. `nonlinearity` is that of an Elman RNN, if it was given.
    pub fn options(&self, nonlinearity: Option<Nonlinearity>) -> ReadOptions {
        let Self { recurrent, head } = self.clone();
        ReadOptions::default().with_nonlinearity(nonlinearity).with_recurrent(recurrent).with_head(head)
    }
}

/// A model file to read.
#[derive(Args, Clone, Debug)]
pub struct ModelArgs {
    /// Model file (.safetensors), of rnnstep or of PyTorch
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Activation of an Elman RNN, if its file does not name one [default: tanh]
    #[arg(long, value_parser = value::nonlinearity(), value_name = "NAME")]
    pub nonlinearity: Option<Nonlinearity>,
    #[command(flatten)]
    pub tensors: TensorArgs,
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
        let mut loaded = load(&self.model, &self.tensors.options(self.nonlinearity), self.device.cpu()?)?;
        let in_file = |error: Error| Error::File { path: self.model.clone(), reason: error.to_string() };
        loaded.model = loaded.model.with_weights(self.weights).map_err(in_file)?;
        Ok(loaded)
    }
}

/// The model of a file. Warnings go to stderr.
pub fn load(path: &Path, options: &ReadOptions, cpu: Cpu) -> Result<Loaded, Failure> {
    if path.is_dir() {
        let reason = "is a folder; give the name of a model inside it (predict, forecast and evaluate take the folder with --series COLUMN)";
        return Err(Error::File { path: path.into(), reason: reason.into() }.into());
    }
    let loaded = rnnstep::model::file::load(path, options, cpu)?;
    let warnings: Vec<String> = loaded.warnings.iter().map(|warning| format!("warning: {warning}")).collect();
    tell(&warnings, "more warnings");
    Ok(loaded)
}
