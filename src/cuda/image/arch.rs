//! Architectures of GPUs.

use crate::error::{Error, Result};
use core::fmt;
use core::str::FromStr;

/// The architecture of a GPU, its compute capability: 87 for `sm_87`, 8.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arch(u32);

/// Architectures of Jetsons. Their images run on nothing else, and images of other architectures do not run on them.
/// Thor is 101 in CUDA 12 and 110 in CUDA 13.
const TEGRA: &[u32] = &[53, 62, 72, 87, 101, 110];

impl Arch {
    /// Of a compute capability, 8 and 7 for `sm_87`.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self(major.saturating_mul(10).saturating_add(minor))
    }

    /// As one number, 87 for `sm_87`.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The 8 of `sm_87`.
    pub const fn major(self) -> u32 {
        self.0 / 10
    }

    /// The 7 of `sm_87`.
    pub const fn minor(self) -> u32 {
        self.0 % 10
    }

    /// Whether an image made for `self` runs on a GPU of architecture `card`. On desktops and servers it does if the
    /// major numbers are equal and the GPU's minor number is not smaller. On a Jetson (`integrated`) both must be the
    /// same.
    pub fn runs_on(self, card: Self, integrated: bool) -> bool {
        let exact_only = integrated || TEGRA.contains(&self.0) || TEGRA.contains(&card.0);
        self == card || !exact_only && self.major() == card.major() && self.minor() <= card.minor()
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sm_{}", self.0)
    }
}

impl FromStr for Arch {
    type Err = Error;

    /// Reads `sm_87`, `87` or `8.7`.
    fn from_str(text: &str) -> Result<Self> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
            if plain { digits.parse::<u32>().ok() } else { None }
        };
        let found = match text.split_once('.') {
            Some((major, minor)) => match (number(major), number(minor)) {
                (Some(major), Some(minor)) if minor <= 9 => Some(Self::new(major, minor)),
                _ => None,
            },
            None => number(text.strip_prefix("sm_").unwrap_or(text)).map(Self),
        };
        found
            .filter(|arch| (20..1000).contains(&arch.0))
            .ok_or_else(|| Error::invalid(format!("architecture {text:?}: write it as sm_87, 87 or 8.7")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_and_written() {
        for text in ["sm_87", "87", "8.7"] {
            assert_eq!(text.parse::<Arch>().unwrap(), Arch::new(8, 7));
        }
        assert_eq!("12.1".parse::<Arch>().unwrap().to_string(), "sm_121");
        for text in ["", "sm_", "8.7.0", "8.", "8.10", "sm_90a", "compute_80", "-8.7", "+87", "7", "99999999999"] {
            let message = text.parse::<Arch>().unwrap_err().to_string();
            assert_eq!(message, format!("architecture {text:?}: write it as sm_87, 87 or 8.7"));
        }
    }

    #[test]
    fn images_run_where_nvidia_says() {
        let runs = |image, card, integrated| Arch(image).runs_on(Arch(card), integrated);
        assert!(runs(80, 80, false) && runs(80, 86, false) && runs(80, 89, false) && runs(120, 121, false));
        assert!(!runs(86, 80, false) && !runs(80, 90, false) && !runs(120, 110, false));
        assert!(runs(87, 87, true) && !runs(86, 87, true) && !runs(80, 87, false) && !runs(87, 89, false));
        assert!(!runs(120, 121, true));
    }
}
