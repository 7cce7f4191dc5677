//! Bounds on memory and time of everything that reads a file from outside: those of `docs/limits.md`, on files made to break them.

#[path = "../common/peak.rs"]
mod weighing;

mod models;
mod numbers;
mod program;
mod tables;

use serde_json::{Value, json};
use std::time::Duration;
use weighing::peak;

/// A safetensors file: tensors of zeros, `metadata` as JSON under our key.
fn container(tensors: &[(&str, &[usize])], metadata: Option<&str>) -> Vec<u8> {
    let mut entries = Vec::new();
    if let Some(metadata) = metadata {
        entries.push(format!(r#""__metadata__":{}"#, json!({ "rnnstep": metadata })));
    }
    let mut end = 0;
    for (name, dims) in tensors {
        let start = end;
        end += 4 * dims.iter().product::<usize>();
        entries.push(format!(r#"{}:{}"#, json!(name), entry(dims, start, end)));
    }
    with_header(&format!("{{{}}}", entries.join(",")), end)
}

fn entry(dims: &[usize], start: usize, end: usize) -> Value {
    json!({ "dtype": "F32", "shape": dims, "data_offsets": [start, end] })
}

fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// The tensors of an Elman RNN with a head, all zeros.
fn network(input: usize, hidden: usize, output: usize, metadata: Option<&str>) -> Vec<u8> {
    let tensors: [(&str, &[usize]); 6] = [
        ("rnn.weight_ih_l0", &[hidden, input]),
        ("rnn.weight_hh_l0", &[hidden, hidden]),
        ("rnn.bias_ih_l0", &[hidden]),
        ("rnn.bias_hh_l0", &[hidden]),
        ("fc.weight", &[output, hidden]),
        ("fc.bias", &[output]),
    ];
    container(&tensors, metadata)
}

/// A scaler that changes nothing.
fn scaler(width: usize) -> Value {
    json!({ "shift": vec![0.0; width], "scale": vec![1.0; width] })
}

/// Time on a processor that this thread took for `work`: others that run beside it do not count.
#[cfg(target_os = "linux")]
fn time_of(work: impl FnOnce()) -> Duration {
    let now = || {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the clock is one that every Linux has, and the place is a live variable.
        assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) }, 0);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let start = now();
    work();
    now() - start
}

#[cfg(not(target_os = "linux"))]
fn time_of(work: impl FnOnce()) -> Duration {
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}

/// Fails if `work` on `size` things takes time that grows much faster than their number: eight times as many may take
/// twenty-four times as long (caches, tables that grow), where a square would be sixty-four times. The best of three counts.
fn is_linear(what: &str, size: usize, work: impl Fn(usize) -> Box<dyn FnMut()>) {
    let best = |size: usize| {
        let mut work = work(size);
        (0..3).map(|_| time_of(&mut work)).min().unwrap_or_default()
    };
    let (few, many) = (best(size), best(8 * size));
    // below a few milliseconds nothing is told apart
    let few = few.max(Duration::from_millis(4));
    assert!(many < 24 * few, "{what}: {size} take {few:?}, eight times as many {many:?}");
}

/// Fails if `work` holds more than `fixed` and `factor` times `size` bytes.
fn is_bounded<T>(what: &str, size: usize, fixed: usize, factor: usize, work: impl FnOnce() -> T) -> T {
    let (result, most) = peak(work);
    let bound = fixed + factor * size;
    println!("{what}: {size} bytes, {most} in memory, {:.1} times as many", most as f64 / size as f64);
    assert!(most <= bound, "{what}: {most} bytes for a file of {size}; {bound} are the most");
    result
}

/// One line, not too long, of a message.
fn assert_short(what: &str, message: &str) {
    assert!(message.lines().count() == 1 && message.len() < 600, "{what}: {} bytes: {message:.700}", message.len());
}
