//! Any bytes as a program: networks, steppers, streams, learners, states and tensors made with sizes and called with
//! lengths that the bytes choose. What is refused is refused with an error or a documented panic, and nothing touches memory
//! that is not its own; built with the address sanitizer (`.ci/sanitize`) it would be seen.
#![no_main]

#[path = "../../tests/common/calls.rs"]
mod calls;

use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: {
        // libFuzzer's own hook ends the process at the first panic, caught or not; what is not caught ends it all the same
        std::panic::set_hook(Box::new(|_| {}));
    },
    |bytes: &[u8]| {
        if let Err(panic) = std::panic::catch_unwind(|| calls::run(bytes)) {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            eprintln!("not a documented panic: {}", text.unwrap_or("without words"));
            std::process::abort();
        }
    }
);
