//! What a network is, before it has any weights: its cell and its sizes.
//!
//! The letters used in every shape comment of this crate:
//! **T** `seq_len`, **B** `batch`, **I** `input`, **H** `hidden`, **O** `output`, **L** `layers`,
//! **G** gates of a cell (RNN 1, LSTM 4, GRU 3); in training **D** target columns, for which O is [`Loss::outputs`].
//!
//! [`Loss::outputs`]: crate::loss::Loss::outputs

#[cfg(feature = "alloc")]
use crate::error::{Error, Result};
#[cfg(feature = "alloc")]
use alloc::format;
use serde::{Deserialize, Serialize};

/// The kind of recurrent cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum CellKind {
    /// Elman RNN: `h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`, or relu in place of tanh.
    Rnn,
    /// Long short-term memory, gates in the order i f g o.
    Lstm,
    /// Gated recurrent unit, PyTorch's reset-after form, gates in the order r z n.
    Gru,
}

impl CellKind {
    /// Every cell there is.
    pub const ALL: [Self; 3] = [Self::Rnn, Self::Lstm, Self::Gru];

    /// G, the number of gates.
    pub const fn gates(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }

    /// Whether the cell keeps a cell state `c` beside `h`.
    pub const fn has_c(self) -> bool {
        matches!(self, Self::Lstm)
    }

    /// The name on the command line and in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rnn => "rnn",
            Self::Lstm => "lstm",
            Self::Gru => "gru",
        }
    }
}

/// The activation of an Elman RNN. LSTM and GRU have none to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Nonlinearity {
    /// Hyperbolic tangent.
    #[default]
    Tanh,
    /// `max(x, 0)`.
    Relu,
}

/// The fixed shape of a network: stacked recurrent layers and, if `output` is given, a linear head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// The kind of cell, the same in every layer.
    pub cell: CellKind,
    /// Activation of an Elman RNN; [`Nonlinearity::Tanh`] for the other cells.
    #[serde(default)]
    pub nonlinearity: Nonlinearity,
    /// I: values that come in at each time step.
    pub input: usize,
    /// H: hidden units of each layer.
    pub hidden: usize,
    /// L: stacked layers.
    pub layers: usize,
    /// O: values that the linear head gives; `None` for a network without a head, which gives h.
    pub output: Option<usize>,
    /// Whether the recurrent layers have biases (the head always has one).
    pub bias: bool,
}

impl Shape {
    /// The largest I, H or O. Beyond it a size is taken for a mistake.
    pub const MAX_SIZE: usize = 16_384;
    /// The largest L.
    pub const MAX_LAYERS: usize = 64;
    /// The most parameters a network may have (4 GiB of them).
    pub const MAX_PARAMETERS: usize = 1 << 30;

    /// G, the number of gates of the cell.
    pub const fn gates(&self) -> usize {
        self.cell.gates()
    }

    /// Values in of layer `layer`: I for the first, H for those above it.
    pub const fn layer_input(&self, layer: usize) -> usize {
        if layer == 0 { self.input } else { self.hidden }
    }

    /// Values out of the network at each time step: O, or H without a head.
    pub const fn width_out(&self) -> usize {
        match self.output {
            Some(output) => output,
            None => self.hidden,
        }
    }

    /// How many numbers can be learnt: what `sum(p.numel() for p in model.parameters())` says in PyTorch.
    pub fn parameters(&self) -> usize {
        let rows = self.gates() * self.hidden;
        let biases = if self.bias { 2 * rows } else { 0 };
        let recurrent: usize = (0..self.layers).map(|l| rows * (self.layer_input(l) + self.hidden) + biases).sum();
        recurrent + self.output.map_or(0, |output| output * self.hidden + output)
    }

    /// Floating-point operations of one time step of one sequence, an FMA counted as two and activations left out.
    pub fn flops(&self) -> usize {
        let rows = self.gates() * self.hidden;
        let recurrent: usize = (0..self.layers).map(|l| 2 * rows * (self.layer_input(l) + self.hidden)).sum();
        recurrent + self.output.map_or(0, |output| 2 * output * self.hidden)
    }
}

#[cfg(feature = "alloc")]
impl Shape {
    /// A network with biases and a linear head.
    ///
    /// # Errors
    /// If a size is zero or beyond what makes sense.
    pub fn new(cell: CellKind, input: usize, hidden: usize, layers: usize, output: usize) -> Result<Self> {
        let nonlinearity = Nonlinearity::Tanh;
        Self { cell, nonlinearity, input, hidden, layers, output: Some(output), bias: true }.checked()
    }

    /// The shape itself, if every size makes sense.
    ///
    /// # Errors
    /// If a size is zero or beyond what makes sense, or relu is asked of a cell that has no such choice.
    pub fn checked(self) -> Result<Self> {
        let sizes = [("input", self.input), ("hidden", self.hidden), ("output", self.output.unwrap_or(1))];
        for (name, size) in sizes {
            if size == 0 || size > Self::MAX_SIZE {
                return Err(Error::invalid(format!("{name} size {size}: must be between 1 and {}", Self::MAX_SIZE)));
            }
        }
        if self.layers == 0 || self.layers > Self::MAX_LAYERS {
            return Err(Error::invalid(format!("layers {}: must be between 1 and {}", self.layers, Self::MAX_LAYERS)));
        }
        if self.nonlinearity == Nonlinearity::Relu && self.cell != CellKind::Rnn {
            return Err(Error::invalid(format!(
                "nonlinearity relu: only an rnn has it, cell {} has not",
                self.cell.name()
            )));
        }
        if self.parameters() > Self::MAX_PARAMETERS {
            let (found, most) = (self.parameters(), Self::MAX_PARAMETERS);
            return Err(Error::invalid(format!("{found} parameters: at most {most}; take a smaller hidden or layers")));
        }
        Ok(self)
    }
}
