//! How a model file is read.

use crate::cell::kind::Nonlinearity;
use std::convert::Infallible;
use std::str::FromStr;

/// How a model file is read. The default suits every file of this crate, and every file of PyTorch that has one
/// recurrent network and at most one linear layer behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// The activation of an Elman RNN. `None`: what the file says, or else tanh.
    pub nonlinearity: Option<Nonlinearity>,
    /// The prefix of the recurrent tensors, with or without the dot at its end: `encoder.lstm` for
    /// `encoder.lstm.weight_ih_l0`. Recurrent tensors under another prefix are left out. `None`: the only prefix.
    pub recurrent: Option<String>,
    /// The head. All other tensors that are not recurrent are left out. `None`: the only linear layer, unless its shape
    /// or its name shows that it does not stand behind the recurrent layers.
    pub head: Option<HeadChoice>,
}

impl ReadOptions {
    with_functions! {
        with_nonlinearity: nonlinearity, Option<Nonlinearity>;
        with_recurrent: recurrent, Option<String>;
        with_head: head, Option<HeadChoice>;
    }
}

/// Which linear layer of a file is the head. As text, it is the prefix of the layer, or `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadChoice {
    /// The network has no head; its output is h.
    None,
    /// The layer with this prefix, with or without the dot at its end: `fc` for `fc.weight`.
    Prefix(String),
}

impl FromStr for HeadChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        // a layer that is itself called "none" can be given as "none."
        Ok(if text == "none" { Self::None } else { Self::Prefix(text.into()) })
    }
}

/// A prefix as names have it: with a dot at its end, unless it is empty.
pub(super) fn with_dot(prefix: &str) -> String {
    if prefix.is_empty() || prefix.ends_with('.') { prefix.into() } else { format!("{prefix}.") }
}
