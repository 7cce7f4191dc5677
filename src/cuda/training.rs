//! Training on a GPU: parameters, moments, state and data stay there, and a step is one recorded graph.

use super::Cuda;
use super::driver::{Graph, Memory};
use super::network::Network;
use super::plan::{Dtype, Frame};
use crate::cuda::launch::part::Part;
use crate::cuda::launch::steps::{Arena, Numbers, PARTS, Queue, Scored, Steps, Window};
use crate::cuda::launch::whole::{Whole, WholeSteps};
use crate::data::windows::Windows;
use crate::error::{Error, Result};
use crate::net::pass::{HeadSteps, Mode};
use crate::net::recipe::{Recipe, Step, Trained};
use crate::net::shape::Shape;
use crate::objective::optimizer::Update;
use std::ops::Range;

/// A network that trains on a GPU. The twin of `cpu::Training`.
#[derive(Debug)]
pub struct Training {
    cuda: Cuda,
    recipe: Recipe,
    /// The optimiser, with those of its numbers that are the same in every step.
    update: Update,
    /// D, the target columns.
    targets: usize,
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
    /// The kernel that runs complete steps in one block, for a network that is small enough.
    whole: Option<WholeSteps>,
    /// A recorded step, and before it the number of sequences that it was recorded for.
    graph: Option<(usize, Graph)>,
}

/// Rows that windows are taken from.
#[derive(Debug)]
struct Data {
    x: Memory<f32>,
    target: Memory<f32>,
    /// Whether these are all rows, or only the windows of one queue.
    whole: bool,
}

/// Windows that are on the GPU.
struct Laid {
    /// How many sequences each has.
    batch: usize,
    /// `[steps][2·B]`, their first rows.
    starts: Vec<i32>,
    /// For each step the elements of its loss, without those whose target is missing.
    known: Vec<usize>,
}

impl Training {
    /// The most steps that are queued before their results are read.
    pub const QUEUE: usize = 1024;
    /// The most values that the windows of one queue may have, where not all rows are on the GPU.
    const AHEAD: usize = 1 << 24;

    /// Allocates the memory for the windows and loads the kernels for `recipe`.
    ///
    /// # Errors
    /// If the GPU has too little memory, or its kernels can neither be found nor compiled.
    pub fn new(cuda: &Cuda, shape: &Shape, windows: &Windows, recipe: &Recipe) -> Result<Self> {
        let (steps, batch, targets) = (windows.seq_len(), windows.batch(), windows.output());
        let (gpu, network) = (cuda.gpu(), Network::new(cuda, shape, steps, batch, Mode::Training)?);
        let (update, kept) = (recipe.update(0), recipe.optimizer.keeps());
        let moment = |kept: bool| kept.then(|| gpu.zeros(network.params.len())).transpose();
        let [m, v, v_max] = kept.map(moment);
        let adam = matches!(update, Update::Adam { .. });
        let plain = cuda.dtype() == Dtype::F32 && cuda.frame().is_none_or(|frame| frame == Frame::OneBlock);
        let whole =
            if adam && plain && recipe.dropout == 0.0 { WholeSteps::load(cuda, shape, steps, batch)? } else { None };
        Ok(Self {
            steps: Steps::load(cuda)?,
            sizes: [steps, batch],
            has_weights: false,
            moments: [m?, v?, v_max?],
            data: None,
            target: gpu.zeros(target_steps(recipe.loss_on, steps) * batch * targets)?,
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
            recipe: recipe.clone(),
            update,
            targets,
            network,
        })
    }

    /// Copies parameters, moments and the first state to the GPU.
    fn write(&mut self, from: &Trained<'_>) -> Result<()> {
        let Trained { params, moments, state, .. } = from;
        state.check(self.network.shape(), None, state.batch())?;
        self.network.set_params(params)?;
        for (to, from) in self.moments.iter_mut().zip(moments.iter()) {
            if let Some(to) = to {
                to.upload(0, from)?;
            }
        }
        let [steps, _] = self.sizes;
        self.network.set_window(steps, state.batch(), self.recipe.loss_on)?;
        self.network.write_state(state, steps)?;
        self.has_weights = true;
        Ok(())
    }

    /// Copies everything that training has changed back to the host.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn fetch(&self, to: Trained<'_>) -> Result<()> {
        if !self.has_weights {
            return Ok(());
        }
        let Trained { params, grads, moments, state } = to;
        state.set_batch(self.network.batch());
        state.check(self.network.shape(), None, self.network.batch())?;
        self.network.params.download(0, params)?;
        self.network.grads.download(0, grads)?;
        for (from, to) in self.moments.iter().zip(moments) {
            if let Some(from) = from {
                from.download(0, to)?;
            }
        }
        self.network.read_state(state)
    }

    /// Brings y of the last window to the host.
    ///
    /// # Errors
    /// If the GPU fails.
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

    /// Runs steps from number `first` on, up to `count` of them, and only while the number of sequences stays the same.
    /// Gives each to `seen`, and returns how many it ran. The first call copies parameters, moments and state from
    /// `at`; from then on they stay on the GPU.
    ///
    /// # Errors
    /// If the GPU fails.
    pub fn steps(
        &mut self,
        windows: &mut Windows,
        at: Trained<'_>,
        first: u64,
        mut count: usize,
        seen: &mut dyn FnMut(Step),
    ) -> Result<usize> {
        if !self.has_weights {
            self.write(&at)?;
        }
        if let Some(mut masks) = self.recipe.masks(first) {
            count = 1; // the masks of a step are drawn on the host
            self.network.set_window(self.sizes[0], windows.batch_at(first), self.recipe.loss_on)?;
            self.network.set_masks(&mut masks)?;
        }
        let Laid { batch, starts, known } = self.lay_out(windows, first, count.min(Self::QUEUE))?;
        let count = known.len();
        let numbers: Vec<Numbers> = (first..)
            .zip(known)
            .map(|(k, known)| Numbers::new(&self.recipe.update(k), known, self.recipe.restarts(k, windows)))
            .collect();
        self.network.set_window(self.sizes[0], batch, self.recipe.loss_on)?;
        self.starts.upload(0, &starts)?;
        self.numbers.upload(0, &numbers)?;
        self.step.upload(0, &[0])?;
        match &self.whole {
            Some(whole) => self.run_whole(whole, count)?,
            None => self.run_graph(batch, count)?,
        }
        let (mut losses, mut norms) = (vec![0.0; count], vec![0.0; count]);
        self.losses.download(0, &mut losses)?;
        self.norms.download(0, &mut norms)?;
        for (k, (&loss, &norm)) in (first..).zip(losses.iter().zip(&norms)) {
            seen(Step { loss, lr: self.recipe.rate(k), norm: self.recipe.clip.map(|_| f64::from(norm)) });
        }
        Ok(count)
    }

    /// One launch of a recorded graph for each step.
    fn run_graph(&mut self, batch: usize, count: usize) -> Result<()> {
        let graph = match self.graph.take() {
            Some((recorded, graph)) if recorded == batch => graph,
            _ => {
                let gpu = self.cuda.gpu().clone();
                // SAFETY: what is recorded reads and writes arrays of this training only, which live as long as the graph.
                unsafe { gpu.capture(|| self.queue())? }
            }
        };
        let (_, graph) = self.graph.insert((batch, graph));
        (0..count).try_for_each(|_| graph.launch())
    }

    /// One launch for all steps.
    fn run_whole(&self, whole: &WholeSteps, count: usize) -> Result<()> {
        self.network.clear_rows_without_dy()?;
        let at = Whole {
            window: self.window()?,
            forward: self.network.forward_of(0)?,
            backward: self.network.backward_of(0)?,
            scored: self.scored()?,
            arena: self.arena(),
            queue: self.queue_of_steps(),
            ends: self.network.ends()?,
            losses: Part::of(&self.losses),
            norms: Part::of(&self.norms),
        };
        whole.run(&self.update, &at, self.network.barriers(), count)
    }

    /// Makes sure that the windows of the next steps are on the GPU. These are fewer steps than `count` where the number
    /// of sequences changes or not all fit.
    fn lay_out(&mut self, windows: &mut Windows, first: u64, count: usize) -> Result<Laid> {
        let [steps, most] = self.sizes;
        let (input, columns) = (self.network.shape().input, self.targets);
        let (mut starts, mut known) = (Vec::with_capacity(count * 2 * most), Vec::with_capacity(count));
        let each = self.recipe.loss.elements(1);
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
                known.push(windows.targets_there(&starts[starts.len() - 2 * found..]) * each);
            }
            let targets = target_steps(self.recipe.loss_on, steps);
            let inside = |starts: &[i32], steps: usize, rows: usize| {
                starts.iter().all(|&start| start >= 0 && start as usize + steps <= rows)
            };
            for step in starts.chunks(2 * batch) {
                let (of_x, of_target) = step.split_at(batch);
                if !inside(of_x, steps, x.len() / input) || !inside(of_target, targets, target.len() / columns) {
                    return Err(Error::invalid("a window lies outside the data"));
                }
            }
            return Ok(Laid { batch, starts, known });
        }
        // windows of the next steps one after the other, each [T][B]
        let targets = target_steps(self.recipe.loss_on, steps);
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
            known.push(self.recipe.loss.known(&target[..targets * found * columns]));
            done += 1;
        }
        let dtype = self.cuda.dtype();
        x.iter_mut().for_each(|x| *x = dtype.within(*x));
        let room = |data: &Data| data.x.len() >= x.len() && data.target.len() >= target.len();
        if !self.data.as_ref().is_some_and(room) {
            let gpu = self.cuda.gpu();
            self.data = None; // free the old memory before the new is allocated
            self.graph = None;
            self.data = Some(Data { x: gpu.zeros(x.len())?, target: gpu.zeros(target.len())?, whole: false });
        }
        if let Some(data) = &mut self.data {
            data.x.upload(0, &x)?;
            data.target.upload(0, &target)?;
        }
        Ok(Laid { batch, starts, known })
    }

    /// Copies all rows to the GPU, if an `i32` can count their values and they take at most half of its free memory.
    /// Otherwise `None`.
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
        let (network, scored, arena) = (&self.network, self.scored()?, self.arena());
        let drops = self.recipe.dropout > 0.0;
        self.steps.window(&self.window()?)?;
        network.queue_forward(drops)?;
        self.steps.loss(&scored)?;
        network.queue_backward(drops, false)?;
        self.steps.update(&self.update, self.queue_of_steps(), &arena)?;
        self.steps.finish(&scored, &arena, Part::of(&self.losses), Part::of(&self.norms))
    }

    fn queue_of_steps(&self) -> Queue<'_> {
        Queue { numbers: Part::of(&self.numbers), step: Part::of(&self.step) }
    }

    /// Where windows come from and go to; an error before [`Training::lay_out`] put them on the GPU.
    fn window(&self) -> Result<Window<'_>> {
        let network = &self.network;
        let missing = || Error::Length { what: "rows on the GPU", expected: self.target.len(), got: 0 };
        let data = self.data.as_ref().ok_or_else(missing)?;
        let (shape, [steps, _], batch) = (network.shape(), self.sizes, network.batch());
        Ok(Window {
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
            sizes: [steps, batch, shape.input, self.targets],
            target_steps: target_steps(self.recipe.loss_on, steps),
            network: [shape.layers, shape.hidden],
        })
    }

    fn scored(&self) -> Result<Scored<'_>> {
        let network = &self.network;
        Ok(Scored {
            loss: self.recipe.loss,
            queue: self.queue_of_steps(),
            y: network.y_part()?,
            target: Part::of(&self.target),
            dy: network.dy_part()?,
            parts: Part::of(&self.loss_parts),
            rows: network.head_rows().len(),
            output: network.shape().width_out(),
            targets: self.targets,
        })
    }

    fn arena(&self) -> Arena<'_> {
        let [m, v, v_max] = &self.moments;
        Arena {
            params: Part::of(&self.network.params),
            grads: Part::of(&self.network.grads),
            moments: [m, v, v_max].map(|moment| moment.as_ref().map(Part::of)),
            norm_parts: self.recipe.clip.map(|_| Part::of(&self.norm_parts)),
            clip: self.recipe.clip.unwrap_or(f64::INFINITY) as f32,
            maximize: self.recipe.maximize,
        }
    }
}

fn target_steps(head: HeadSteps, steps: usize) -> usize {
    match head {
        HeadSteps::All => steps,
        HeadSteps::Last => 1,
    }
}
