//! The files that a training writes, and the name of a checkpoint next to its model.

use super::{OUT, TrainArgs, job_paths};
use crate::cli::args::job::Job;
use crate::cli::args::paths;
use crate::cli::args::paths::Paths;
use crate::cli::failure::Failure;
use crate::cli::output::files::is_standard;
use std::path::{Path, PathBuf};

/// The checkpoint, in messages.
const CHECKPOINT: &str = "the checkpoint next to --out";

/// The files that a training writes.
pub struct Outputs {
    pub model: PathBuf,
    pub checkpoint: PathBuf,
    pub log: Option<PathBuf>,
    pub grads: Option<PathBuf>,
    pub plot: Option<PathBuf>,
}

impl Outputs {
    /// Their names. Checks that each can be written and that none is named twice.
    pub fn of(args: &TrainArgs) -> Result<Self, Failure> {
        let resumed = || args.resume.as_deref().map_or_else(|| OUT.into(), model_beside);
        let model = args.out.clone().unwrap_or_else(resumed);
        let plot = (!args.no_plot).then(|| args.plot.clone().unwrap_or_else(|| model.with_extension("svg")));
        let checkpoint = paths::beside(&model, checkpoint_beside);
        if is_standard(&model) {
            return Err(Failure::Usage("--out -: a model is no text; give the name of a file".into()));
        }
        let outputs = Self { checkpoint, log: args.log.clone(), grads: args.save_grads.clone(), plot, model };
        let resumed = args.resume.as_ref().map(|path| [path.clone(), checkpoint_beside(path)]);
        // a resumed training may replace the files that it continues from
        let reads = job_paths(args).reads("--init", &args.init).reads("--resume", resumed.iter().flatten());
        let reads = reads.may_replace("--resume", "--out").may_replace("--resume", CHECKPOINT);
        outputs.written(reads).check()?;
        if let Some(path) = &outputs.plot {
            rnnstep::plot::picture::check_ending(path)?;
        }
        Ok(outputs)
    }

    /// Checks that none of them is a file that a resumed training reads, which only its checkpoint names.
    pub fn spare(&self, job: &Job) -> Result<(), Failure> {
        self.written(job.paths()).check()
    }

    fn written<'a>(&'a self, reads: Paths<'a>) -> Paths<'a> {
        let models = reads.writes("--out", [&self.model]).writes(CHECKPOINT, [&self.checkpoint]);
        models.writes("--log", &self.log).writes("--save-grads", &self.grads).writes("--plot", &self.plot)
    }
}

/// The model of a checkpoint: `model.safetensors` for `model.checkpoint.safetensors`.
fn model_beside(checkpoint: &Path) -> PathBuf {
    match checkpoint
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_suffix(".checkpoint.safetensors"))
    {
        Some(name) => checkpoint.with_file_name(format!("{name}.safetensors")),
        None => checkpoint.into(),
    }
}

/// The checkpoint of a model: `model.checkpoint.safetensors` for `model.safetensors`.
pub fn checkpoint_beside(model: &Path) -> PathBuf {
    model.with_extension("checkpoint.safetensors")
}
