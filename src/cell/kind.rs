//! The kinds of recurrent cells, by name.

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

/// The name on the command line and in files.
impl core::fmt::Display for CellKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// The name on the command line and in files.
impl core::fmt::Display for Nonlinearity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            Self::Tanh => "tanh",
            Self::Relu => "relu",
        })
    }
}
