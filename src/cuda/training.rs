//! Training on a card: parameters, moments, state and data stay there, and a step is one recorded graph.

use super::Cuda;
use super::driver::{Graph, Memory};
use super::network::Network;
use super::plan::{Dtype, Frame};
use crate::cuda::launch::part::Part;
use crate::cuda::launch::steps::{Arena, Numbers, PARTS, Queue, Scored, Steps, Window};
use crate::cuda::launch::whole::{Whole, WholeSteps};
use crate::data::windows::Windows;
use crate::error::{Error, Result};
use crate::net::pass::{Dropout, Head, Purpose};
use crate::net::shape::Shape;
use crate::net::state::State;
use crate::objective::loss::Loss;
use crate::objective::optimizer::Update;
use crate::tensor::Buffer;
use std::ops::Range;

/// What training is to do, as far as a card must know.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// Steps of a window that count.
    pub head: Head,
    /// What to make small.
    pub loss: Loss,
    /// D, the target columns.
    pub targets: usize,
    /// The optimiser; of its numbers those that do not change from step to step.
    pub update: Update,
    /// Largest norm of the gradient.
    pub clip: Option<f64>,
    /// Whether to climb.
    pub maximize: bool,
    /// Whether there is dropout between layers.
    pub drops: bool,
}

/// What is different about one step.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// The optimiser's numbers.
    pub update: Update,
    /// Whether the state starts at zero.
    pub restart: bool,
}

/// A network that trains on a card.
#[derive(Debug)]
pub struct Training {
    cuda: Cuda,
    task: Task,
    network: Network,
    steps: Steps,
    /// T and the largest B.
    sizes: [usize; 2],
    has_weights: bool,
    moments: [Option<Memory<f32>>; 3],
    data: Option<Data>,
    target: Memory<f32>,
    starts: Memory<i32>,
    numbers: Memory<Numbers>,
    step: Memory<u32>,
    losses: Memory<f32>,
    norms: Memory<f32>,
    loss_parts: Memory<f32>,
    norm_parts: Memory<f32>,
    /// Whole steps in one block, for a network that is small enough.
    whole: Option<WholeSteps>,
    /// The step recorded, and for how many sequences.
    graph: Option<(usize, Graph)>,
}

/// Rows that windows are taken from.
#[derive(Debug)]
struct Data {
    x: Memory<f32>,
    target: Memory<f32>,
    /// Whether they are all there are, or the windows of one queue only.
    whole: bool,
}

impl Training {
    /// The most steps between two looks at the results.
    pub const QUEUE: usize = 1024;
    /// The most values of windows that are laid out for one queue.
    const AHEAD: usize = 1 << 24;

    /// Room for windows of `steps` steps of up to `batch` sequences.
    ///
    /// # Errors
    /// If the card has too little memory, or its kernels cannot be had.
    pub fn new(cuda: &Cuda, shape: &Shape, steps: usize, batch: usize, task: Task) -> Result<Self> {
        let (gpu, network) = (cuda.gpu(), Network::new(cuda, shape, steps, batch, Purpose::Training)?);
        let kept = match task.update {
            Update::Adam { amsgrad, .. } => [true, true, amsgrad],
            Update::Sgd { momentum, .. } => [momentum != 0.0, false, false],
        };
        let moment = |kept: bool| kept.then(|| gpu.zeros(network.params.len())).transpose();
        let [m, v, v_max] = kept.map(moment);
        let adam = matches!(task.update, Update::Adam { .. });
        let plain = cuda.dtype() == Dtype::F32 && cuda.frame().is_none_or(|frame| frame == Frame::OneBlock);
        let whole = if adam && plain && !task.drops { WholeSteps::load(cuda, shape, steps, batch)? } else { None };
        Ok(Self {
            steps: Steps::load(cuda)?,
            sizes: [steps, batch],
            has_weights: false,
            moments: [m?, v?, v_max?],
            data: None,
            target: gpu.zeros(target_steps(task.head, steps) * batch * task.targets)?,
            starts: gpu.zeros(Self::QUEUE * 2 * batch)?,
            numbers: gpu.zeros(Self::QUEUE)?,
            step: gpu.zeros(1)?,
            losses: gpu.zeros(Self::QUEUE)?,
            norms: gpu.zeros(Self::QUEUE)?,
            loss_parts: gpu.zeros(PARTS)?,
            norm_parts: gpu.zeros(PARTS)?,
            whole,
            graph: None,
            cuda: cuda.clone(),
            network,
            task,
        })
    }

    /// Whether [`Training::write`] was called.
    pub fn has_weights(&self) -> bool {
        self.has_weights
    }

    /// Takes parameters, moments and the state to begin with.
    ///
    /// # Errors
    /// If the state is not of this shape, or the card fails.
    pub fn write(&mut self, params: &[f32], moments: &[Buffer; 3], state: &State) -> Result<()> {
        state.check(self.network.shape(), None, state.batch())?;
        self.network.set_params(params)?;
        for (to, from) in self.moments.iter_mut().zip(moments) {
            if let Some(to) = to {
                to.upload(0, from)?;
            }
        }
        let [steps, _] = self.sizes;
        self.network.set_window(steps, state.batch(), self.task.head)?;
        self.network.write_state(state, steps)?;
        self.has_weights = true;
        Ok(())
    }

    /// Gives all that changed back. `state` is of as many sequences as [`Training::batch`].
    ///
    /// # Errors
    /// If the card fails.
    pub fn read(
        &self,
        params: &mut [f32],
        grads: &mut [f32],
        moments: &mut [Buffer; 3],
        state: &mut State,
    ) -> Result<()> {
        state.check(self.network.shape(), None, self.batch())?;
        self.network.params.download(0, params)?;
        self.network.grads.download(0, grads)?;
        for (from, to) in self.moments.iter().zip(moments) {
            if let Some(from) = from {
                from.download(0, to)?;
            }
        }
        self.network.read_state(state)
    }

    /// B of the last window.
    pub fn batch(&self) -> usize {
        self.network.batch()
    }

    /// Draws the masks of the next step, which has `batch` sequences.
    ///
    /// # Errors
    /// If the card fails.
    pub fn set_masks(&mut self, batch: usize, dropout: &mut dyn Dropout) -> Result<()> {
        self.network.set_window(self.sizes[0], batch, self.task.head)?;
        self.network.set_masks(dropout)
    }

    /// Brings y of the last window to the host.
    ///
    /// # Errors
    /// If the card fails.
    pub fn fetch_y(&mut self) -> Result<()> {
        self.network.fetch_y()
    }

    /// The output of row `row = t·B + b` of the last window, O values.
    pub fn y(&self, row: usize) -> &[f32] {
        self.network.y(row)
    }

    /// Rows of y that were asked for.
    pub fn head_rows(&self) -> Range<usize> {
        self.network.head_rows()
    }

    /// Steps from number `first` on, up to `count` of them and as many as have the same number of sequences. `turn`
    /// says what each is to do. Gives loss and norm (0 without clipping) of each.
    ///
    /// # Errors
    /// If the card fails.
    pub fn run(
        &mut self,
        windows: &mut Windows,
        first: u64,
        count: usize,
        mut turn: impl FnMut(u64, &Windows) -> Turn,
    ) -> Result<Vec<(f32, f32)>> {
        let (batch, starts) = self.lay_out(windows, first, count.min(Self::QUEUE))?;
        let count = starts.len() / (2 * batch);
        let numbers: Vec<Numbers> = (first..first + count as u64)
            .map(|k| turn(k, windows))
            .map(|turn| Numbers::new(&turn.update, turn.restart))
            .collect();
        self.network.set_window(self.sizes[0], batch, self.task.head)?;
        self.starts.upload(0, &starts)?;
        self.numbers.upload(0, &numbers)?;
        self.step.upload(0, &[0])?;
        if self.whole.is_some() {
            self.run_whole(count)?;
        } else {
            self.run_graph(batch, count)?;
        }
        let (mut losses, mut norms) = (vec![0.0; count], vec![0.0; count]);
        self.losses.download(0, &mut losses)?;
        self.norms.download(0, &mut norms)?;
        Ok(losses.into_iter().zip(norms).collect())
    }

    /// One launch of a recorded graph for each step.
    fn run_graph(&mut self, batch: usize, count: usize) -> Result<()> {
        if self.graph.as_ref().is_none_or(|(recorded, _)| *recorded != batch) {
            let gpu = self.cuda.gpu().clone();
            // SAFETY: what is recorded reads and writes arrays of this training only, which live as long as the graph.
            let graph = unsafe { gpu.capture(|| self.queue())? };
            self.graph = Some((batch, graph));
        }
        match &self.graph {
            Some((_, graph)) => (0..count).try_for_each(|_| graph.launch()),
            None => Ok(()),
        }
    }

    /// One launch for all steps.
    fn run_whole(&self, count: usize) -> Result<()> {
        let (Some(whole), Some(window)) = (&self.whole, self.window()) else { return Ok(()) };
        let at = Whole {
            window,
            forward: self.network.forward_of(0)?,
            backward: self.network.backward_of(0)?,
            scored: self.scored()?,
            arena: self.arena(),
            queue: self.queue_of_steps(),
            ends: self.network.ends()?,
            losses: Part::of(&self.losses),
            norms: Part::of(&self.norms),
        };
        whole.run(&self.task.update, &at, self.network.barriers(), count)
    }

    /// Sees to it that the windows of the next steps are on the card. Gives how many sequences they have, and for each
    /// step `[2·B]` first rows; fewer than `count` where the number of sequences changes or not all fit.
    fn lay_out(&mut self, windows: &mut Windows, first: u64, count: usize) -> Result<(usize, Vec<i32>)> {
        let [steps, most] = self.sizes;
        let (input, columns) = (self.network.shape().input, self.task.targets);
        let mut starts = Vec::with_capacity(count * 2 * most);
        if self.data.is_none()
            && let Some((x, target)) = windows.rows()
        {
            self.data = self.whole(x, target)?;
        }
        if let Some(Data { x, target, whole: true }) = &self.data {
            let (mut of_x, mut of_target) = (vec![0; most], vec![0; most]);
            let mut batch = 0;
            for k in first..first + count as u64 {
                let found = windows.starts(k, &mut of_x, &mut of_target);
                if batch != 0 && found != batch {
                    break;
                }
                batch = found;
                starts.extend_from_slice(&of_x[..found]);
                starts.extend_from_slice(&of_target[..found]);
            }
            let targets = target_steps(self.task.head, steps);
            let inside = |starts: &[i32], steps: usize, rows: usize| {
                starts.iter().all(|&start| start >= 0 && start as usize + steps <= rows)
            };
            for step in starts.chunks(2 * batch) {
                let (of_x, of_target) = step.split_at(batch);
                if !inside(of_x, steps, x.len() / input) || !inside(of_target, targets, target.len() / columns) {
                    return Err(Error::invalid("windows: one lies outside the data"));
                }
            }
            return Ok((batch, starts));
        }
        // windows of the next steps one after the other, each [T][B]
        let targets = target_steps(self.task.head, steps);
        let (x_len, target_len) = (steps * most * input, targets * most * columns);
        let count = count.min((Self::AHEAD / (x_len + target_len)).max(1));
        let (mut x, mut target) = (vec![0.0; count * x_len], vec![0.0; count * target_len]);
        let (mut batch, mut done) = (0, 0);
        for (k, (x, target)) in (first..).zip(x.chunks_mut(x_len).zip(target.chunks_mut(target_len))) {
            let found = windows.fill(k, x, target);
            if batch != 0 && found != batch {
                break;
            }
            batch = found;
            let at = |rows: usize| (0..found).map(move |b| (done * rows * most + b) as i32);
            starts.extend(at(steps).chain(at(targets)));
            done += 1;
        }
        let dtype = self.cuda.dtype();
        x.iter_mut().for_each(|x| *x = dtype.within(*x));
        let room = |data: &Data| data.x.len() >= x.len() && data.target.len() >= target.len();
        if !self.data.as_ref().is_some_and(room) {
            let gpu = self.cuda.gpu();
            self.data = None; // the old memory goes before the new comes
            self.graph = None;
            self.data = Some(Data { x: gpu.zeros(x.len())?, target: gpu.zeros(target.len())?, whole: false });
        }
        if let Some(data) = &mut self.data {
            data.x.upload(0, &x)?;
            data.target.upload(0, &target)?;
        }
        Ok((batch, starts))
    }

    /// All rows on the card, if it has room for them and their numbers are small enough.
    fn whole(&self, x: &[f32], target: &[f32]) -> Result<Option<Data>> {
        let gpu = self.cuda.gpu();
        let bytes = size_of_val(x) + size_of_val(target);
        let rows = i32::try_from(x.len().max(target.len())).is_ok();
        if !rows || bytes > gpu.free_memory()? / 2 {
            return Ok(None);
        }
        let mut data = Data { x: gpu.zeros(x.len())?, target: gpu.zeros(target.len())?, whole: true };
        let dtype = self.cuda.dtype();
        if x.iter().any(|&x| !x.is_nan() && dtype.within(x) != x) {
            data.x.upload(0, &x.iter().map(|&x| dtype.within(x)).collect::<Vec<_>>())?;
        } else {
            data.x.upload(0, x)?;
        }
        data.target.upload(0, target)?;
        Ok(Some(data))
    }

    /// One step: window, forward, loss, backward, norm, clip, update. Only queued.
    fn queue(&self) -> Result<()> {
        let Some(window) = self.window() else { return Ok(()) };
        let (network, task, scored, arena) = (&self.network, &self.task, self.scored()?, self.arena());
        self.steps.window(&window)?;
        network.queue_forward(task.drops)?;
        self.steps.loss(&scored)?;
        network.queue_backward(task.drops, false)?;
        self.steps.update(&task.update, self.queue_of_steps(), &arena)?;
        self.steps.finish(&scored, &arena, Part::of(&self.step), Part::of(&self.losses), Part::of(&self.norms))
    }

    fn queue_of_steps(&self) -> Queue<'_> {
        Queue { numbers: Part::of(&self.numbers), step: Part::of(&self.step) }
    }

    /// Where windows come from and go to, once there is data.
    fn window(&self) -> Option<Window<'_>> {
        let (data, network) = (self.data.as_ref()?, &self.network);
        let (shape, [steps, _], batch) = (network.shape(), self.sizes, network.batch());
        Some(Window {
            x_rows: Part::of(&data.x),
            target_rows: Part::of(&data.target),
            starts: Part::of(&self.starts),
            queue: self.queue_of_steps(),
            x: Part::of(&network.x),
            target: Part::of(&self.target),
            h: Part::of(&network.h),
            c: network.c.as_ref().map(Part::of),
            layer: network.layer(),
            apart: if data.whole { 1 } else { batch },
            sizes: [steps, batch, shape.input, self.task.targets],
            target_steps: target_steps(self.task.head, steps),
            network: [shape.layers, shape.hidden],
        })
    }

    fn scored(&self) -> Result<Scored<'_>> {
        let network = &self.network;
        Ok(Scored {
            loss: self.task.loss,
            y: network.y_part()?,
            target: Part::of(&self.target),
            dy: network.dy_part()?,
            parts: Part::of(&self.loss_parts),
            rows: network.head_rows().len(),
            output: network.shape().width_out(),
            targets: self.task.targets,
        })
    }

    fn arena(&self) -> Arena<'_> {
        let [m, v, v_max] = &self.moments;
        Arena {
            params: Part::of(&self.network.params),
            grads: Part::of(&self.network.grads),
            moments: [m, v, v_max].map(|moment| moment.as_ref().map(Part::of)),
            norm_parts: self.task.clip.map(|_| Part::of(&self.norm_parts)),
            clip: self.task.clip.unwrap_or(f64::INFINITY) as f32,
            maximize: self.task.maximize,
        }
    }
}

fn target_steps(head: Head, steps: usize) -> usize {
    match head {
        Head::All => steps,
        Head::Last => 1,
    }
}
