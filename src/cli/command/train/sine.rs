//! The lesson of the built-in sine: its windows as plots, and its score on the windows after the training.

use crate::cli::args::job::Job;
use crate::cli::failure::Failure;
use crate::cli::output::report::Scored;
use rnnstep::data::sine;
use rnnstep::plot::{Line, Plot, Role};
use rnnstep::series::one_step::HeldOut;
use rnnstep::train::Trainer;
use rnnstep::train::checkpoint::Checkpoint;
use rnnstep::{Error, Order, Tensor};
use std::path::Path;

/// The names of the windows of the sine in a checkpoint; the number of the step follows.
const FRAME: &str = "frame.";
const LAST: &str = "last.";

/// Scores the model on the five windows that follow those of the training.
pub fn scored(trainer: &Trainer) -> Result<Scored, Failure> {
    const WINDOWS: u64 = 5;
    let (model, seq_len, next) = (trainer.model(), trainer.windows().seq_len(), trainer.steps_done());
    let windows = next..next + WINDOWS;
    let mut x: Vec<f32> = windows.clone().flat_map(|k| sine::window(k, seq_len).take(seq_len)).collect();
    let last = sine::window(windows.end - 1, seq_len).last();
    let rows = x.len();
    let input = Tensor::new([rows, 1], x.clone())?;
    let y = model.forward(trainer.device().clone(), &input, Order::BatchFirst, &mut trainer.state().clone())?;
    x.extend(last);
    let held_out = HeldOut::new(model.point(&y)?.into(), Tensor::new([rows + 1, 1], x)?.into())?;
    let about = format!("the {rows} points after the training");
    Ok(Scored { series: None, names: vec!["sine".into()], held_out, times: vec![], seconds: vec![], about })
}

/// The predictions for a window of the sine, before the weights were updated with it.
#[derive(Clone)]
pub struct SineWindow {
    /// The training step, from 0.
    pub step: u64,
    /// One value for each point of the window.
    pub y: Vec<f32>,
}

impl SineWindow {
    /// The window of the last step.
    pub fn last(trainer: &mut Trainer) -> Result<Self, Error> {
        let [.., y] = trainer.last_window()?;
        let point = trainer.recipe().loss.point();
        Ok(Self { step: trainer.steps_done().saturating_sub(1), y: y.iter().map(|row| row[point]).collect() })
    }

    /// The plot of the lesson: input, target and prediction over the times of the window.
    pub fn plot(&self) -> Plot {
        let Self { step, y } = self;
        let points = |values: &mut dyn Iterator<Item = f32>| -> Vec<(f64, f64)> {
            sine::times(*step, y.len()).skip(1).zip(values).map(|(t, value)| (t, f64::from(value))).collect()
        };
        let values = || sine::window(*step, y.len());
        Plot::new(format!("step {step}"), "time", "")
            .with(Line::dots("input", Role::Input, points(&mut values())))
            .with(Line::new("target", Role::Target, points(&mut values().skip(1))))
            .with(Line::dots("prediction", Role::Prediction, points(&mut y.iter().copied())))
    }
}

/// The windows of the sine that were shown, and the last one, as a checkpoint keeps them.
pub fn kept(frames: &[SineWindow], last: Option<&SineWindow>) -> Result<Vec<(String, Tensor)>, Error> {
    let all = [(FRAME, frames), (LAST, last.map_or(&[][..], std::slice::from_ref))];
    let all = all.into_iter().flat_map(|(kind, frames)| frames.iter().map(move |frame| (kind, frame)));
    all.map(|(kind, SineWindow { step, y })| Ok((format!("{kind}{step}"), Tensor::new([y.len()], y.clone())?)))
        .collect()
}

/// The windows of the sine that a checkpoint keeps, for the plot: those that were shown, and the last one.
pub fn frames_of(
    checkpoint: &Checkpoint,
    path: &Path,
    job: &Job,
    drawn: bool,
) -> Result<(Vec<SineWindow>, Option<SineWindow>), Failure> {
    let of_kind = |kind: &str| -> Result<Vec<SineWindow>, Failure> {
        let mut frames = Vec::new();
        for (name, tensor) in checkpoint.beside() {
            let Some(step) = name.strip_prefix(kind).and_then(|step| step.parse().ok()) else { continue };
            if tensor.dims() != [job.seq_len] {
                let reason = format!("expected {} values, got the shape {:?}", job.seq_len, tensor.dims());
                return Err(Error::Tensor { path: path.into(), tensor: name.into(), reason }.into());
            }
            frames.push(SineWindow { step, y: tensor.data().to_vec() });
        }
        frames.sort_by_key(|frame| frame.step);
        Ok(frames)
    };
    let (frames, last) = (of_kind(FRAME)?, of_kind(LAST)?.pop());
    if drawn && job.data.data.is_none() && last.is_none() && checkpoint.steps_done() > 0 {
        eprintln!("note: {}: was trained with --no-plot, so the plot lacks that part", path.display());
    }
    Ok((frames, last))
}
