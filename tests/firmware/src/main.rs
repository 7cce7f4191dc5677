//! Firmware that steps models written by `rnnstep convert --to rust`, and holds them to the bits that they were written with.
//! `.ci/firmware` builds it for a Cortex-M4 and for bare 64-bit ARM, and runs it under an emulator.
//!
//! - There is no heap: no allocator is given, and nothing that needs one links.
//! - There is no panic: the panic handler calls a function that does not exist. If a step could panic, the handler would stay
//!   in the program, and the linker would miss the function. `--features planted` puts a panic where the linker must find it.
//!   Without optimisation checks stay that cannot fail; `--features unoptimised` is for such a build, and a panic then ends it
//!   with an error.
//! - The answers are those of every other processor, to the bit: what they should be was worked out where the models were
//!   written.
//!
//! What it finds is told through semihosting, the calls by which a debugger or an emulator serves a bare processor.
#![no_std]
#![no_main]

#[path = "../../streaming/fixed/written/gru_bf16.rs"]
mod gru_bf16;
#[path = "../../streaming/fixed/written/lstm.rs"]
mod lstm;
#[path = "../../streaming/fixed/written/rnn_int8.rs"]
mod rnn_int8;
mod semihosting;

use core::hint::black_box;
use core::panic::PanicInfo;
use semihosting::{exit, say};

#[cfg(feature = "unoptimised")]
#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    exit(false)
}

#[cfg(not(feature = "unoptimised"))]
#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    unsafe extern "C" {
        /// Nowhere to be found: who can reach it does not link.
        fn a_panic_can_be_reached() -> !;
    }
    // SAFETY: it is never called, since it is never linked.
    unsafe { a_panic_can_be_reached() }
}

/// Whether a model gives the answers it was written with, whole steps and steps in two halves.
macro_rules! holds {
    ($module:ident) => {{
        let (mut steps, mut halves) = ($module::MODEL.stream(), $module::MODEL.stream());
        let mut same = true;
        for (x, y) in $module::X.iter().zip(&$module::Y) {
            let (whole, half) = (steps.step(black_box(*x)), halves.step(black_box(*x)));
            halves.advance();
            for ((y, whole), half) in y.iter().zip(whole).zip(half) {
                same &= y.to_bits() == whole.to_bits() && y.to_bits() == half.to_bits();
            }
        }
        say(if same {
            concat!(stringify!($module), ": the same bits\n\0")
        } else {
            concat!(stringify!($module), ": other bits\n\0")
        });
        same
    }};
}

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
fn main() -> ! {
    #[cfg(feature = "planted")]
    if black_box(&[0][..]).get(1).copied().unwrap() == 1 {
        say("never\n\0");
    }
    let all = [holds!(lstm), holds!(gru_bf16), holds!(rnn_int8)];
    exit(all.iter().all(|&same| same))
}

/// Where bare 64-bit ARM begins; a Cortex-M begins in the vector table of `cortex_m_rt`.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    main()
}
