//! The networks that every peer runs, their inputs, and the outputs that they should have, in float64.

use rnnstep::data::sine;
use rnnstep::measure::reference64::Reference;
use rnnstep::{CellKind, Model, Shape, Tensor};
use std::io;
use std::path::Path;

/// H of the streams.
const HIDDEN: [usize; 6] = [8, 16, 32, 64, 128, 256];

/// Steps of a stream that are checked, and repeated when it is timed.
const STEPS: usize = 500;

/// Steps and window of the lesson.
pub const LESSON_STEPS: usize = 75;
pub const LESSON_WINDOW: usize = 20;

/// The learning rate of every training here.
pub const RATE: f64 = 0.01;

/// A network with weights, sequences for it, and its outputs in float64.
#[derive(Clone)]
pub struct Net {
    /// The sizes, as workloads and files are named: `H32`, `I8_H64_L2`.
    pub size: String,
    pub model: Model,
    /// T and B.
    pub steps: usize,
    pub batch: usize,
    /// `[T,B,I]`.
    pub x: Vec<f32>,
    /// `[T,B,1]`: what a training is to learn.
    pub target: Vec<f32>,
    /// `[T,B,1]`.
    pub y: Vec<f64>,
}

impl Net {
    fn new(size: &str, shape: Shape, steps: usize, batch: usize, x: Vec<f32>) -> Self {
        let model = Model::random(shape, 0).expect("a shape that makes sense");
        let reference = Reference::of(&model);
        let mut y = vec![0.0; steps * batch];
        for b in 0..batch {
            let row = |t: usize| &x[(t * batch + b) * shape.input()..][..shape.input()];
            let sequence: Vec<f32> = (0..steps).flat_map(row).copied().collect();
            for (t, value) in reference.forward(&sequence).into_iter().enumerate() {
                y[t * batch + b] = value;
            }
        }
        Self { size: size.into(), model, steps, batch, x, target: values(steps * batch), y }
    }

    /// One value in and one out, each of these cells at every H, and a stack of two layers.
    pub fn streams() -> Vec<Self> {
        let mut nets = Vec::new();
        // the cells that other libraries have
        for cell in [CellKind::Rnn, CellKind::Lstm, CellKind::Gru] {
            for hidden in HIDDEN {
                let shape = Shape::new(cell, 1, hidden, 1, 1).expect("a shape that makes sense");
                nets.push(Self::new(&format!("H{hidden}"), shape, STEPS, 1, values(STEPS)));
            }
        }
        let shape = Shape::new(CellKind::Lstm, 8, 64, 2, 1).expect("a shape that makes sense");
        nets.push(Self::new("I8_H64_L2", shape, STEPS, 1, values(STEPS * 8)));
        nets
    }

    /// Sequences forward.
    pub fn forward() -> Self {
        Self::of_sequences(100, 32)
    }

    /// Sequences to learn from.
    pub fn training() -> Self {
        Self::of_sequences(50, 32)
    }

    fn of_sequences(steps: usize, batch: usize) -> Self {
        let shape = Shape::new(CellKind::Lstm, 8, 128, 1, 1).expect("a shape that makes sense");
        let size = format!("T{steps}_B{batch}_I8_H128");
        Self::new(&size, shape, steps, batch, values(steps * batch * shape.input()))
    }

    /// The first window of the lesson: RNN 32 learns a sine. Later windows are [`sine::window`].
    pub fn lesson() -> Self {
        let shape = Shape::new(CellKind::Rnn, 1, 32, 1, 1).expect("a shape that makes sense");
        let wave: Vec<f32> = sine::window(0, LESSON_WINDOW).collect();
        let net = Self::new("lesson", shape, LESSON_WINDOW, 1, wave[..LESSON_WINDOW].to_vec());
        Self { target: wave[1..].to_vec(), ..net }
    }

    pub fn shape(&self) -> &Shape {
        self.model.shape()
    }

    /// `rnn`, `lstm` or `gru`.
    pub fn cell(&self) -> &'static str {
        self.shape().cell().name()
    }

    /// The cell and the sizes: what the files of the network are called.
    pub fn name(&self) -> String {
        format!("{}_{}", self.cell(), self.size)
    }

    /// The mean squared error of y, in float64.
    pub fn loss(&self) -> f64 {
        let squares = self.y.iter().zip(&self.target).map(|(y, &target)| (y - f64::from(target)).powi(2));
        squares.sum::<f64>() / self.y.len() as f64
    }

    /// The tensors in the order of PyTorch's `state_dict`: of each layer weight_ih `[G·H,I]`, weight_hh `[G·H,H]`,
    /// bias_ih and bias_hh `[G·H]`, then weight `[1,H]` and bias `[1]` of the head.
    pub fn tensors(&self) -> Vec<Tensor> {
        self.model.weights().into_iter().map(|(_, tensor)| tensor).collect()
    }

    /// Writes what a program of another language needs: NAME.weights, NAME.x and NAME.target as f32, NAME.y as f64.
    fn write(&self, folder: &Path) -> io::Result<()> {
        let file = |end: &str| folder.join(format!("{}.{end}", self.name()));
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        let weights = self.tensors().iter().flat_map(|tensor| bytes(tensor.data())).collect::<Vec<_>>();
        std::fs::write(file("weights"), weights)?;
        std::fs::write(file("x"), bytes(&self.x))?;
        std::fs::write(file("target"), bytes(&self.target))?;
        std::fs::write(file("y"), self.y.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
    }
}

/// Every network, with what is done to it: `step`, `forward`, `train`, `lesson`.
pub fn all() -> Vec<(&'static str, Net)> {
    let steps = Net::streams().into_iter().map(|net| ("step", net));
    steps.chain([("forward", Net::forward()), ("train", Net::training()), ("lesson", Net::lesson())]).collect()
}

/// Writes networks into `folder`, and a list of them: see README.md, "A peer in another language".
///
/// # Errors
/// If the system refuses.
pub fn write(folder: &Path, nets: &[(&str, Net)]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut list = String::new();
    for (kind, net) in nets {
        net.write(folder)?;
        let [input, hidden, layers] = [net.shape().input(), net.shape().hidden(), net.shape().layers()];
        let (cell, size, steps, batch) = (net.cell(), &net.size, net.steps, net.batch);
        list += &format!("{kind} {cell} {size} {input} {hidden} {layers} {steps} {batch}\n");
    }
    std::fs::write(folder.join("nets.txt"), list)
}

/// `n` values from -0.5 to 0.5 that look irregular.
fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * i * 7 + i * 37 + 11) % 101) as f32 / 101.0 - 0.5).collect()
}
