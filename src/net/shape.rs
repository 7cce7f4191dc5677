//! What a network is, before it has any weights: its cell and its sizes.
//!
//! The letters used in every shape comment of this crate:
//! **T** `seq_len`, **B** `batch`, **I** `input`, **H** `hidden`, **O** `output`, **L** `layers`,
//! **G** gates of a cell ([`CellKind::gates`]); in training **D** target columns, for which O is [`Loss::outputs`].
//!
//! [`Loss::outputs`]: crate::objective::loss::Loss::outputs

use crate::cell::kind::{CellKind, Nonlinearity};
#[cfg(feature = "alloc")]
use crate::cell::{self, Visitor};
#[cfg(feature = "alloc")]
use crate::error::{Error, Result, quoted};
#[cfg(feature = "alloc")]
use crate::simd::lanes::padded;
#[cfg(feature = "alloc")]
use alloc::format;
#[cfg(feature = "alloc")]
use serde::Deserialize;
use serde::Serialize;

/// The fixed shape of a network: stacked recurrent layers and, if it has an output size, a linear head.
///
/// Every shape was checked when it was made, so its sizes can be trusted: each is at least 1 and at most
/// [`Shape::MAX_SIZE`] ([`Shape::MAX_LAYERS`] for L), all parameters together are at most [`Shape::MAX_PARAMETERS`],
/// and only an RNN has relu. Memory is laid out by these sizes. So a shape cannot be put together field by field:
///
/// ```compile_fail,E0451
/// use rnnstep::{CellKind, Nonlinearity, Shape};
/// let wild = Shape {
///     cell: CellKind::Rnn, nonlinearity: Nonlinearity::Tanh, input: 1, hidden: usize::MAX, layers: 1, output: None,
///     bias: false,
/// };
/// ```
///
/// nor changed in place:
///
/// ```compile_fail,E0616
/// # use rnnstep::{CellKind, Shape};
/// let mut shape = Shape::new(CellKind::Rnn, 1, 16, 1, 1)?;
/// shape.hidden = usize::MAX;
/// # Ok::<(), rnnstep::Error>(())
/// ```
///
/// but made anew, with a check:
///
/// ```
/// # use rnnstep::{CellKind, Shape};
/// let shape = Shape::new(CellKind::Rnn, 1, 16, 1, 1)?;
/// assert_eq!(shape.with_hidden(32)?.hidden(), 32);
/// assert!(shape.with_hidden(usize::MAX).is_err());
/// # Ok::<(), rnnstep::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "alloc", derive(Deserialize), serde(try_from = "Unchecked"))]
pub struct Shape {
    // These are private to the crate, and nothing in it puts them together but this file and, from constants, the steps
    // of fixed size: `tests/house/main.rs` holds that.
    pub(crate) cell: CellKind,
    pub(crate) nonlinearity: Nonlinearity,
    pub(crate) input: usize,
    pub(crate) hidden: usize,
    pub(crate) layers: usize,
    pub(crate) output: Option<usize>,
    pub(crate) bias: bool,
}

/// How the text of a shape ends if its recurrent layers have no biases.
const WITHOUT_BIAS: &str = " without bias";

/// A shape as a file has it, not checked yet.
#[cfg(feature = "alloc")]
#[derive(Deserialize)]
struct Unchecked {
    cell: CellKind,
    #[serde(default)]
    nonlinearity: Nonlinearity,
    input: usize,
    hidden: usize,
    layers: usize,
    output: Option<usize>,
    bias: bool,
}

#[cfg(feature = "alloc")]
impl TryFrom<Unchecked> for Shape {
    type Error = Error;

    fn try_from(read: Unchecked) -> Result<Self> {
        let Unchecked { cell, nonlinearity, input, hidden, layers, output, bias } = read;
        Self { cell, nonlinearity, input, hidden, layers, output, bias }.checked()
    }
}

impl Shape {
    /// Calls `visitor` with the type of its cell.
    #[cfg(feature = "alloc")]
    pub(crate) fn visit_cell<W: Visitor>(&self, visitor: W) -> W::Output {
        cell::visit(self.cell, self.nonlinearity, visitor)
    }

    /// The largest I, H or O. Beyond it a size is taken for a mistake.
    pub const MAX_SIZE: usize = 16_384;
    /// The largest L.
    pub const MAX_LAYERS: usize = 64;
    /// The most parameters a network may have (4 GiB of them).
    pub const MAX_PARAMETERS: usize = 1 << 30;

    /// The kind of cell, the same in every layer.
    pub const fn cell(&self) -> CellKind {
        self.cell
    }

    /// The activation of an Elman RNN; [`Nonlinearity::Tanh`] for the other cells.
    pub const fn nonlinearity(&self) -> Nonlinearity {
        self.nonlinearity
    }

    /// I: values that come in at each time step.
    pub const fn input(&self) -> usize {
        self.input
    }

    /// H: hidden units of each layer.
    pub const fn hidden(&self) -> usize {
        self.hidden
    }

    /// L: stacked layers.
    pub const fn layers(&self) -> usize {
        self.layers
    }

    /// O: values that the linear head gives; `None` for a network without a head, which gives h.
    pub const fn output(&self) -> Option<usize> {
        self.output
    }

    /// Whether the recurrent layers have biases (the head always has one).
    pub const fn bias(&self) -> bool {
        self.bias
    }

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

    /// How many numbers can be learnt: what `sum(p.numel() for p in model.parameters())` is in PyTorch.
    pub fn parameters(&self) -> usize {
        // at most 2^30 for a shape that was checked
        self.count_parameters() as usize
    }

    /// The same in 64 bits, which do not overflow if each size is within its limit.
    const fn count_parameters(&self) -> u64 {
        let (input, hidden, layers) = (self.input as u64, self.hidden as u64, self.layers as u64);
        let rows = self.gates() as u64 * hidden;
        let columns = input + hidden + (layers - 1) * 2 * hidden;
        let biases = if self.bias { layers * 2 } else { 0 };
        let head = match self.output {
            Some(output) => output as u64 * (hidden + 1),
            None => 0,
        };
        rows * (columns + biases) + head
    }

    /// The shape of a network whose sizes are constants.
    ///
    /// # Panics
    /// If they make no sense. In a constant, which is where this belongs, this is a compile error.
    pub(crate) const fn constant(self) -> Self {
        assert!(self.input > 0 && self.input <= Self::MAX_SIZE, "input: from 1 to 16384");
        assert!(self.hidden > 0 && self.hidden <= Self::MAX_SIZE, "hidden: from 1 to 16384");
        assert!(self.width_out() > 0 && self.width_out() <= Self::MAX_SIZE, "output: from 1 to 16384");
        assert!(self.layers > 0 && self.layers <= Self::MAX_LAYERS, "layers: from 1 to 64");
        assert!(self.count_parameters() <= Self::MAX_PARAMETERS as u64, "too many parameters: at most 2^30");
        self
    }

    /// At least as many values as a network keeps of a window of `steps` steps of `batch` sequences, backward included;
    /// `None` if a `usize` cannot count them.
    #[cfg(feature = "alloc")]
    pub(crate) fn values_of_window(&self, steps: usize, batch: usize) -> Option<usize> {
        let width = padded(self.hidden).max(padded(self.width_out())).max(padded(self.input));
        let of_a_row = width * (2 * self.gates() + 8) * self.layers;
        steps.checked_mul(batch)?.checked_add(batch)?.checked_mul(of_a_row)
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

    /// The same with another cell. An RNN with relu must get tanh first.
    ///
    /// # Errors
    /// If there are too many parameters then, or the cell has no relu.
    pub fn with_cell(self, cell: CellKind) -> Result<Self> {
        Self { cell, ..self }.checked()
    }

    /// The same with another activation.
    ///
    /// # Errors
    /// If the cell has no such choice.
    pub fn with_nonlinearity(self, nonlinearity: Nonlinearity) -> Result<Self> {
        Self { nonlinearity, ..self }.checked()
    }

    /// The same with another I.
    ///
    /// # Errors
    /// If it is zero or beyond what makes sense.
    pub fn with_input(self, input: usize) -> Result<Self> {
        Self { input, ..self }.checked()
    }

    /// The same with another H.
    ///
    /// # Errors
    /// If it is zero or beyond what makes sense.
    pub fn with_hidden(self, hidden: usize) -> Result<Self> {
        Self { hidden, ..self }.checked()
    }

    /// The same with another L.
    ///
    /// # Errors
    /// If it is zero or beyond what makes sense.
    pub fn with_layers(self, layers: usize) -> Result<Self> {
        Self { layers, ..self }.checked()
    }

    /// The same with a linear head that gives O values, or with `None` without a head.
    ///
    /// # Errors
    /// If O is zero or beyond what makes sense.
    pub fn with_output(self, output: Option<usize>) -> Result<Self> {
        Self { output, ..self }.checked()
    }

    /// The same with biases in the recurrent layers, or without.
    ///
    /// # Errors
    /// If there are too many parameters then.
    pub fn with_bias(self, bias: bool) -> Result<Self> {
        Self { bias, ..self }.checked()
    }

    /// The shape itself, if every size makes sense: every shape goes through here.
    fn checked(self) -> Result<Self> {
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
                "nonlinearity relu: only an rnn has it, cell {} does not",
                self.cell.name()
            )));
        }
        let (found, most) = (self.count_parameters(), Self::MAX_PARAMETERS);
        if found > most as u64 {
            return Err(Error::invalid(format!("{found} parameters: at most {most}; take a smaller hidden or layers")));
        }
        Ok(self)
    }
}

/// In a few words: `LSTM 3 -> 32 x 2 -> 1`, which is I, H, L and O; `RNN (relu) 3 -> 32 without bias` has no head.
impl core::fmt::Display for Shape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        use core::fmt::Write;
        for letter in self.cell.name().chars() {
            f.write_char(letter.to_ascii_uppercase())?;
        }
        if self.nonlinearity != Nonlinearity::Tanh {
            write!(f, " ({})", self.nonlinearity)?;
        }
        write!(f, " {} -> {}", self.input, self.hidden)?;
        if self.layers > 1 {
            write!(f, " x {}", self.layers)?;
        }
        if let Some(output) = self.output {
            write!(f, " -> {output}")?;
        }
        f.write_str(if self.bias { "" } else { WITHOUT_BIAS })
    }
}

/// The inverse of `Display`: `"GRU 1 -> 32 -> 1".parse::<Shape>()`. The cell may be in lower case.
#[cfg(feature = "alloc")]
impl core::str::FromStr for Shape {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid(format!("{}: expected a shape such as GRU 1 -> 32 x 2 -> 1", quoted(text)));
        let size = |text: &str| text.trim().parse::<usize>().map_err(|_| wrong());
        let (sizes, bias) = text.strip_suffix(WITHOUT_BIAS).map_or((text, true), |sizes| (sizes, false));
        let (kind, sizes) = sizes.split_once(' ').ok_or_else(wrong)?;
        let cell = kind.to_ascii_lowercase().parse()?;
        let (nonlinearity, sizes) = match sizes.trim_start().strip_prefix('(').map(|sizes| sizes.split_once(')')) {
            Some(named) => named.ok_or_else(wrong).and_then(|(name, sizes)| Ok((name.parse()?, sizes)))?,
            None => (Nonlinearity::Tanh, sizes),
        };
        let mut sizes = sizes.split("->");
        let (input, hidden, output) = (sizes.next(), sizes.next(), sizes.next());
        let (Some(input), Some(hidden), None) = (input, hidden, sizes.next()) else { return Err(wrong()) };
        let (hidden, layers) = hidden.split_once('x').unwrap_or((hidden, "1"));
        let (input, hidden, layers) = (size(input)?, size(hidden)?, size(layers)?);
        Self { cell, nonlinearity, input, hidden, layers, output: output.map(size).transpose()?, bias }.checked()
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn words_are_read_back() {
        for text in ["LSTM 3 -> 32 x 2 -> 1", "RNN (relu) 1 -> 7", "GRU 1 -> 16384 -> 1 without bias", "MGU 2 -> 5"] {
            assert_eq!(text.parse::<Shape>().unwrap().to_string(), text);
        }
        let shape = Shape::new(CellKind::Gru, 1, 32, 1, 1).unwrap();
        assert_eq!("gru 1->32->1".parse::<Shape>().unwrap(), shape);
        for text in [
            "",
            "gru",
            "gru 1",
            "gru 1 -> ",
            "gru 1 -> 2 -> 3 -> 4",
            "gru 0 -> 1",
            "gru -1 -> 2",
            "gro 1 -> 2",
            "rnn (relu 1 -> 2",
            "lstm (relu) 1 -> 2",
            "gru 1 -> 2 x 65",
            "gru 1 -> 2 without",
            "gru 1 -> 16385",
        ] {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
    }
}
