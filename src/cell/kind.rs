//! The kinds of recurrent cells, by name, and what is known of each.

use super::{Cell, MOST};
#[cfg(feature = "alloc")]
use crate::error::{Error, Result, quoted};
#[cfg(feature = "alloc")]
use alloc::{format, string::ToString};
use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($(#[doc = $about:literal] $kind:ident $name:literal $(($nonlinearity:ident $other:ident))?)+) => {
        /// The kind of recurrent cell.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum CellKind {
            $(#[doc = $about] $kind,)+
        }

        impl CellKind {
            /// Every cell there is.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$kind),+];

            /// G, the number of gates.
            pub const fn gates(self) -> usize {
                match self {
                    $(Self::$kind => super::$kind::GATES,)+
                }
            }

            /// Vectors that forward leaves for backward, next to the states.
            pub const fn saved(self) -> usize {
                match self {
                    $(Self::$kind => super::$kind::SAVED,)+
                }
            }

            /// Whether the cell keeps a cell state `c` next to `h`.
            pub const fn has_c(self) -> bool {
                match self {
                    $(Self::$kind => super::$kind::HAS_C,)+
                }
            }

            /// Whether a gate acts on `gates_h` alone, so that its two gradients differ.
            pub const fn resets(self) -> bool {
                match self {
                    $(Self::$kind => super::$kind::RESET,)+
                }
            }

            /// The name on the command line, in files and of the kernels.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            /// What it is, in a sentence.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$kind => $about.trim_ascii(),)+
                }
            }
        }
    };
}
cells!(kinds);

// Arrays of gates and of what is saved have MOST elements, and the loops over them rely on the constants of the cell.
const _: () = {
    let mut i = 0;
    while i < CellKind::ALL.len() {
        let cell = CellKind::ALL[i];
        assert!(cell.gates() >= 1 && cell.gates() <= MOST && cell.saved() <= MOST, "more than cell::MOST vectors");
        i += 1;
    }
};

/// The activation of an Elman RNN. The other cells have none to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
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

/// The inverse of `Display`, for a name of an option or of a file.
#[cfg(feature = "alloc")]
impl core::str::FromStr for CellKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| Error::invalid(format!("{} is none of {}", quoted(name), known())))
    }
}

/// The inverse of `Display`.
#[cfg(feature = "alloc")]
impl core::str::FromStr for Nonlinearity {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = [Self::Tanh, Self::Relu].into_iter().find(|kind| kind.to_string() == name);
        found.ok_or_else(|| Error::invalid(format!("{} is none of tanh, relu", quoted(name))))
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for kind in CellKind::ALL {
            assert_eq!(kind.to_string().parse::<CellKind>().unwrap(), kind);
        }
        for nonlinearity in [Nonlinearity::Tanh, Nonlinearity::Relu] {
            assert_eq!(nonlinearity.to_string().parse::<Nonlinearity>().unwrap(), nonlinearity);
        }
        let error = "GRU".parse::<CellKind>().unwrap_err().to_string();
        assert_eq!(error, "\"GRU\" is none of rnn, lstm, gru, mgu");
        assert!("sigmoid".parse::<Nonlinearity>().is_err());
    }
}
