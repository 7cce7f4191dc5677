//! Where tests of kernels run: on the card of this machine if it has one, else on the emulated device.

use super::emulator::{self, Kind};
use rnnstep::cuda::{self, Cuda, Images};

/// Runs `body` on a card. `test` is the full name of the test that calls this; kind and seed are for the emulated device,
/// where it runs in a process of its own.
pub fn on_a_card(test: &str, kind: Kind, seed: u64, body: impl FnOnce(&Cuda)) {
    let open = || Cuda::open(0, Images::new(true)).unwrap();
    // .ci/gpu-run sets this, so that it can be tried on the emulated device
    let any = std::env::var_os("RNNSTEP_TEST_CARD").is_some_and(|card| card == "any");
    let real = cuda::devices().is_ok_and(|cards| any || !cards[0].name.starts_with("Emulated"));
    if real && kind == Kind::Plain {
        println!("{test} runs on {}", cuda::devices().unwrap()[0].name);
        return body(&open());
    }
    emulator::inside(test, kind, seed, || body(&open()));
}
