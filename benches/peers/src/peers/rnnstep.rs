//! rnnstep itself, as its users call it.

use crate::nets::{LESSON_STEPS, LESSON_WINDOW, Net, RATE};
use crate::peer::{Peer, Result, Stream, Together};
use rnnstep::cpu::{self, Threads};
use rnnstep::data::windows::Windows;
use rnnstep::measure::reference64::Reference;
use rnnstep::model::stream::Ticker;
use rnnstep::net::pass::{HeadSteps, Mode};
use rnnstep::train::{Recipe, Trainer};
use rnnstep::{Cpu, Model, State, Streams, Tensor, Weights};

const NAME: &str = "rnnstep";

/// `Ticker::step` for streams.
pub struct Usual;

impl Peer for Usual {
    fn name(&self) -> &'static str {
        NAME
    }

    fn stream(&self, net: &Net) -> Result<Box<dyn Stream>> {
        stream(&net.model, false)
    }

    fn streams(&self, net: &Net, count: usize) -> Result<Together> {
        let mut streams = Streams::new(net.model.clone(), Cpu::detect()?, Threads::default(), count)?;
        let handles = (0..count).map(|_| streams.open()).collect::<rnnstep::Result<Vec<_>>>()?;
        Ok(Box::new(move |x| {
            let mut y = vec![f32::NAN; count];
            let done = streams.step_many(&handles, x, &mut y);
            if done.is_ok() { y } else { Vec::new() }
        }))
    }

    fn forward(&self, net: &Net, threads: usize) -> Result<Box<dyn FnMut() -> Vec<f32>>> {
        let (model, x, mut state) = (net.model.clone(), net.x.clone(), State::new(net.shape(), net.batch));
        let (cpu, threads) = (Cpu::detect()?, Threads::new(threads)?);
        let mut network = cpu::Network::new(cpu, threads, net.shape(), net.steps, net.batch, Mode::Inference).unwrap();
        Ok(Box::new(move || {
            state.reset();
            network.forward(model.params(), &x, &mut state, HeadSteps::All, None);
            network.head_rows().flat_map(|row| network.y(row)).copied().collect()
        }))
    }

    fn training(&self, net: &Net, threads: usize) -> Result<Box<dyn FnMut() -> f32>> {
        let batch_first = |rows: &[f32], width: usize| {
            let tensor = Tensor::new(vec![net.steps, net.batch, width], rows.to_vec())?.swap_batch_and_time()?;
            Tensor::new(vec![1, net.batch, net.steps, width], tensor.into_data())
        };
        let windows = Windows::cut(batch_first(&net.x, net.shape().input())?, batch_first(&net.target, 1)?)?;
        let recipe = Recipe { carry: false, lr: RATE, ..Recipe::default() };
        let mut trainer = Trainer::new(net.model.clone(), windows, recipe, Cpu::detect()?, Threads::new(threads)?)?;
        Ok(Box::new(move || trainer.step().map_or(f32::NAN, |step| step.loss)))
    }

    fn lesson(&self, net: &Net) -> Result<Box<dyn FnMut() -> [f32; LESSON_STEPS]>> {
        let (model, cpu) = (net.model.clone(), Cpu::detect()?);
        let windows = Windows::sine(LESSON_WINDOW)?;
        Ok(Box::new(move || {
            let recipe = Recipe { lr: RATE, ..Recipe::default() };
            let trainer = Trainer::new(model.clone(), windows.clone(), recipe, cpu, Threads::default());
            let mut trainer = trainer.expect("the sizes of the lesson");
            std::array::from_fn(|_| trainer.step().map_or(f32::NAN, |step| step.loss))
        }))
    }
}

/// `Ticker::step` with `Ticker::advance` between two ticks.
pub struct Ahead;

impl Peer for Ahead {
    fn name(&self) -> &'static str {
        NAME
    }

    fn variant(&self) -> &'static str {
        "step, advance() not timed"
    }

    fn stream(&self, net: &Net) -> Result<Box<dyn Stream>> {
        stream(&net.model, true)
    }
}

/// `Ticker::step` with weights stored in fewer bits.
pub struct Small(pub Weights);

impl Peer for Small {
    fn name(&self) -> &'static str {
        NAME
    }

    fn variant(&self) -> &'static str {
        self.0.name()
    }

    fn stream(&self, net: &Net) -> Result<Box<dyn Stream>> {
        if net.shape().hidden() < 32 {
            return Err("small weights are for larger networks".into());
        }
        stream(&net.model.clone().with_weights(self.0)?, false)
    }

    /// The truth of the rounded network: this does not measure what rounding does to a network.
    fn truth(&self, net: &Net) -> Vec<f64> {
        let rounded = net.model.clone().with_weights(self.0);
        rounded.map_or_else(|_| Vec::new(), |model| Reference::of(&model).forward(&net.x))
    }
}

fn stream(model: &Model, ahead: bool) -> Result<Box<dyn Stream>> {
    // a ticker borrows its stream: this one lives as long as the program
    let stream = Box::leak(Box::new(rnnstep::Stream::new(model.clone())?));
    Ok(match model.shape().input() {
        1 => Box::new(Ticks { ticker: stream.ticker::<1, 1>()?, ahead }),
        8 => Box::new(Ticks { ticker: stream.ticker::<8, 1>()?, ahead }),
        input => return Err(format!("no ticker for {input} values was written").into()),
    })
}

struct Ticks<const I: usize> {
    ticker: Ticker<'static, I, 1>,
    ahead: bool,
}

impl<const I: usize> Stream for Ticks<I> {
    fn step(&mut self, x: &[f32]) -> f32 {
        let mut row = [0.0; I];
        row.copy_from_slice(x);
        let [y] = self.ticker.step(row);
        y
    }

    fn between(&mut self) -> bool {
        if self.ahead {
            self.ticker.advance();
        }
        self.ahead
    }
}
