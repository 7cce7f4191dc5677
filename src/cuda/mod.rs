//! The GPU: NVIDIA's driver, the compiler of the kernels, and the compiled kernels that are kept.
//!
//! - [`driver`] opens a device: memory, modules, launches, graphs. NVIDIA's libraries are looked for when the program
//!   runs. So a build with this feature also starts on a machine that has none of them, and a missing one is an
//!   [`Error::Device`](crate::error::Error::Device).
//! - [`image::nvrtc`] finds NVIDIA's run-time compiler, and [`image::compile`] turns a [`image::compile::Program`] into
//!   an image for one architecture. Neither needs a GPU.
//! - [`image::cache`] keeps images on disk, [`image::bundle`] carries them to a machine that has no compiler.

mod card;
pub mod driver;
pub mod image;
mod launch;
mod library;
mod network;
pub mod plan;
mod training;
mod worth;

pub use card::{Cuda, Images};
pub use driver::{Gpu, Properties, devices};
pub use image::Arch;
pub use library::trust::shown;
pub use network::{Network, Queued, Recorded, Stepper};
pub use plan::{Dtype, Frame};
pub(crate) use training::Training;
pub use worth::{Choice, Work, ready, worth};

use std::fmt::Write;

/// Bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // writing to a string does not fail
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A number of bytes for a person: `3.2 GiB`.
fn bytes(count: usize) -> String {
    let (mut value, mut unit) = (count as f64, 0);
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// `items` with commas between them.
fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_for_a_person() {
        let of = [0, 1023, 1024, 1536, 85 << 30, usize::MAX].map(super::bytes);
        assert_eq!(of, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "85.0 GiB", "16777216.0 TiB"]);
        assert_eq!(super::hex(&[0, 0xab, 0xff]), "00abff");
    }
}
