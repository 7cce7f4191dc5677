//! A series whose rule changes half-way: a model that goes on learning beside the same one frozen at the change. Draws what
//! happens around the change, and the running error of both, into an SVG.
//!
//!     cargo run --release --example learner            # writes learner.svg
//!     cargo run --release --example learner OUT.svg

use rnnstep::plot::{Figure, Line, Plot, Role, Scale, picture};
use rnnstep::{CellKind, Cpu, Learner, LearnerOptions, Model, Result, Shape, Stream};

const TICKS: usize = 6000;
const CHANGE: usize = 3000;

/// A wave that becomes three times as fast, with a little noise.
fn series(t: usize) -> f32 {
    let noise = ((t * t * 7 + t * 37 + 11) % 101) as f32 / 50.0 - 1.0;
    (if t < CHANGE { 0.3 } else { 0.9 } * t as f32).sin() + 0.05 * noise
}

/// The root of a running mean of squared errors.
fn running(errors: &[(usize, f32)]) -> Vec<(f64, f64)> {
    let mut mean = f64::from(errors[0].1 * errors[0].1);
    let step = |&(t, error): &(usize, f32)| {
        mean += (f64::from(error * error) - mean) / 50.0;
        (t as f64, mean.sqrt())
    };
    errors.iter().map(step).collect()
}

fn main() -> Result<()> {
    let out = std::env::args().nth(1).unwrap_or_else(|| "learner.svg".into());
    let model = Model::random(Shape::new(CellKind::Lstm, 1, 32, 1, 1)?, 0)?;
    let mut learner = Learner::new(model, LearnerOptions { lr: 3e-3, ..Default::default() }, Cpu::detect()?)?;
    let mut frozen: Option<Stream> = None;
    let (mut answer, mut frozen_answer) = (0.0, 0.0);
    let (mut truth, mut answers, mut frozen_answers) = (vec![], vec![], vec![]);
    let (mut errors, mut frozen_errors) = (vec![], vec![]);
    for t in 0..TICKS {
        if t == CHANGE {
            let mut stream = Stream::new(learner.model())?;
            stream.set_state(&learner.state())?;
            frozen = Some(stream);
            frozen_answer = answer;
        }
        let x = series(t);
        if (CHANGE - 60..CHANGE + 240).contains(&t) {
            truth.push((t as f64, x.into()));
            answers.push((t as f64, answer.into()));
        }
        errors.push((t, answer - x));
        answer = learner.predict(&[x])?[0];
        learner.learn(&[x])?;
        if let Some(stream) = &mut frozen {
            if t < CHANGE + 240 {
                frozen_answers.push((t as f64, frozen_answer.into()));
            }
            frozen_errors.push((t, frozen_answer - x));
            frozen_answer = stream.step(&[x])?[0];
        }
    }
    let around = Plot::new("around the change", "tick", "value")
        .with(Line::new("what came", Role::Target, truth))
        .with(Line::new("frozen", Role::History, frozen_answers))
        .with(Line::new("learning", Role::Prediction, answers));
    let errors = Plot { y_scale: Scale::Log, ..Plot::new("error, running over 50 ticks", "tick", "root mean square") }
        .with(Line::new("frozen", Role::History, running(&frozen_errors)))
        .with(Line::new("learning", Role::Prediction, running(&errors)));
    picture::save(&Figure::grid("The rule changes at tick 3000", vec![around, errors], 1), &out)?;
    println!("wrote {out}: {} updates, {} times taken back", learner.updates(), learner.rollbacks());
    Ok(())
}
