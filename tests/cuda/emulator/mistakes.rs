//! Tests of the tests: a mistake is planted in a kernel that is right without it (`planted/*.cu`), and the emulated
//! device must find it, in every order of threads that is tried.

use super::clean::{Add, Ring, Sum, Tile, numbers, product_of};
use super::gpu::Gpu;
use super::{Emulator, Kind, Ran};

/// Runs `body` on this kind of device in a process of its own for each order of threads, and holds what came of it
/// against `found`.
fn every_order(test: &str, kind: Kind, body: fn(), found: impl Fn(&Ran) -> bool) {
    let Some(emulator) = Emulator::new(kind) else { return };
    for seed in 0..3 {
        let emulator = emulator.clone().with("EMULATOR_SEED", seed);
        let test = format!("emulator::mistakes::{test}");
        if let Some(ran) = emulator.run_inside(&test, &format!("{kind:?} {seed}"), body) {
            assert!(found(&ran), "{test} on {kind:?}, seed {seed}: {}\n{}", ran.status, ran.text);
        }
    }
}

/// The launch failed, and the device said why.
fn says<'a>(words: &'a [&'a str]) -> impl Fn(&Ran) -> bool + 'a {
    |ran| !ran.status.success() && words.iter().all(|word| ran.text.contains(word))
}

/// The kernel came to an end, and its answer is not right.
const WRONG: &str = "the answer is wrong";

fn wrong(ran: &Ran) -> bool {
    says(&[WRONG])(ran)
}

/// Sums of 64 numbers each, by `sum` with this mistake.
fn sum(plant: &str) {
    let gpu = Gpu::open();
    let x = numbers(300);
    let (dx, out) = (gpu.upload(&x), gpu.fresh(5));
    let kernel = gpu.kernel("sum.cu", "sum", &[plant]);
    gpu.launch(&kernel, 5, 64, Sum { x: gpu.address(&dx), out: gpu.address(&out), n: 300 }).unwrap();
    gpu.stream.synchronize().unwrap();
    let sums: Vec<f32> = x.chunks(64).map(|part| part.iter().sum()).collect();
    assert!(gpu.download(&out) == sums, "{WRONG}");
}

fn add(plant: &str) {
    let gpu = Gpu::open();
    let x = numbers(150);
    let (dx, out) = (gpu.upload(&x), gpu.fresh(150));
    let kernel = gpu.kernel("add.cu", "add", &[plant]);
    let args = Add { x: gpu.address(&dx), y: gpu.address(&dx), out: gpu.address(&out), n: 150 };
    gpu.launch(&kernel, 3, 64, args).unwrap();
    gpu.stream.synchronize().unwrap();
    let doubled: Vec<f32> = x.iter().map(|x| 2.0 * x).collect();
    assert!(gpu.download(&out) == doubled, "{WRONG}");
}

fn warp(kernel: &str, plant: &str) {
    let gpu = Gpu::open();
    let x = numbers(32);
    let (dx, out) = (gpu.upload(&x), gpu.fresh(160));
    let kernel = gpu.kernel("sum.cu", kernel, &[plant]);
    gpu.launch(&kernel, 1, 32, Sum { x: gpu.address(&dx), out: gpu.address(&out), n: 32 }).unwrap();
    gpu.stream.synchronize().unwrap();
    let rotated: Vec<f32> = (0..32).map(|lane| x[(lane + 1) % 32]).collect();
    assert!(gpu.download(&out)[..32] == rotated, "{WRONG}");
}

fn tile(plant: &str) {
    let gpu = Gpu::open();
    let [m, n, k] = [32, 32, 96];
    let (a, b) = (numbers(m * k), numbers(k * n));
    let (da, db, dc) = (gpu.upload(&a), gpu.upload(&b), gpu.fresh(m * n));
    let kernel = gpu.kernel("tile.cu", "tile", &[plant]);
    let [a_at, b_at, c_at] = [&da, &db, &dc].map(|memory| gpu.address(memory));
    let args = Tile { a: a_at, b: b_at, c: c_at, m: m as i32, n: n as i32, k: k as i32 };
    gpu.launch_with(&kernel, (2, 2, 1), 256, 0, false, args).unwrap();
    gpu.stream.synchronize().unwrap();
    assert!(gpu.download(&dc) == product_of(&a, &b, [m, n, k]), "{WRONG}");
}

fn grid(kernel: &str, plant: &str, cooperative: bool) {
    let gpu = Gpu::open();
    let x = numbers(512);
    let (dx, next, barrier) = (gpu.upload(&x), gpu.fresh(512), gpu.zeroed_words(2));
    let kernel = gpu.kernel("grid.cu", kernel, &[plant]);
    let [x_at, next_at] = [&dx, &next].map(|memory| gpu.address(memory));
    let args = Ring { x: x_at, next: next_at, barrier: gpu.address(&barrier), n: 512, steps: 4 };
    gpu.launch_with(&kernel, (2, 1, 1), 256, 0, cooperative, args).unwrap();
    gpu.stream.synchronize().unwrap();
    let mut x = x;
    for _ in 0..4 {
        x = (0..512).map(|i| 0.5 * (x[(i + 511) % 512] + x[(i + 1) % 512])).collect();
    }
    assert!(gpu.download(&dx) == x, "{WRONG}");
}

#[test]
fn missing_barrier() {
    let body = || sum("PLANT_MISSING_BARRIER");
    every_order("missing_barrier", Kind::Plain, body, wrong);
    every_order("missing_barrier", Kind::Thread, body, says(&["data race", "sum.cu:19"]));
}

#[test]
fn index_past_a_shared_array() {
    let body = || sum("PLANT_PAST_SHARED");
    // a plain device sees the damage when the block has ended
    let seen = says(&["past the end of the shared array at sum.cu:25", "CUDA_ERROR_LAUNCH_FAILED"]);
    every_order("index_past_a_shared_array", Kind::Plain, body, seen);
    let seen = says(&["sum.cu:28", "index 64 out of bounds for type"]);
    every_order("index_past_a_shared_array", Kind::Address, body, seen);
}

#[test]
fn index_past_a_global_buffer() {
    let body = || add("PLANT_PAST_GLOBAL");
    let seen = says(&["kernel `add`: it wrote past the end of an allocation of 600 bytes"]);
    every_order("index_past_a_global_buffer", Kind::Plain, body, seen);
    let seen = says(&["heap-buffer-overflow", "WRITE of size 4", "add.cu:12"]);
    every_order("index_past_a_global_buffer", Kind::Address, body, seen);
}

#[test]
fn read_past_a_global_buffer() {
    let body = || add("PLANT_READ_PAST_GLOBAL");
    every_order("read_past_a_global_buffer", Kind::Plain, body, wrong); // past the end there are NaNs
    let seen = says(&["heap-buffer-overflow", "READ of size 4", "add.cu:14"]);
    every_order("read_past_a_global_buffer", Kind::Address, body, seen);
}

#[test]
fn divergent_barrier() {
    let body = || sum("PLANT_DIVERGENT_BARRIER");
    let seen = says(&["divergent __syncthreads at sum.cu:", "others of the block are at sum.cu:"]);
    every_order("divergent_barrier", Kind::Plain, body, &seen);
    every_order("divergent_barrier", Kind::Address, body, &seen);
}

#[test]
fn thread_that_ends_early() {
    let seen = says(&["at sum.cu:17"]);
    every_order(
        "thread_that_ends_early",
        Kind::Plain,
        || sum("PLANT_EARLY_EXIT"),
        |ran| {
            let why = ["ends while others wait", "threads of the block have ended"];
            seen(ran) && why.iter().any(|why| ran.text.contains(why))
        },
    );
}

#[test]
fn unwritten_output() {
    every_order("unwritten_output", Kind::Plain, || add("PLANT_UNWRITTEN"), wrong);
}

#[test]
fn unwritten_shared_memory() {
    every_order("unwritten_shared_memory", Kind::Plain, || sum("PLANT_UNWRITTEN_SHARED"), wrong);
}

#[test]
fn race_between_blocks() {
    let seen = says(&["data race", "add.cu:18"]);
    every_order("race_between_blocks", Kind::Thread, || add("PLANT_RACE_BETWEEN_BLOCKS"), seen);
}

#[test]
fn missing_wait_for_a_copy() {
    every_order("missing_wait_for_a_copy", Kind::Plain, || tile("PLANT_MISSING_WAIT"), wrong);
}

#[test]
fn missing_barrier_between_halves() {
    let body = || tile("PLANT_MISSING_BARRIER_BETWEEN_HALVES");
    every_order("missing_barrier_between_halves", Kind::Plain, body, wrong);
    every_order("missing_barrier_between_halves", Kind::Thread, body, says(&["data race", "tile.cu"]));
}

#[test]
fn missing_syncwarp() {
    let body = || warp("warp_rotate", "PLANT_MISSING_SYNCWARP");
    every_order("missing_syncwarp", Kind::Plain, body, wrong);
    every_order("missing_syncwarp", Kind::Thread, body, says(&["data race", "sum.cu:6"]));
}

#[test]
fn shuffle_in_half_a_warp() {
    let body = || warp("warp_sum", "PLANT_HALF_A_WARP");
    every_order("shuffle_in_half_a_warp", Kind::Plain, body, says(&["divergent warp operation at sum.cu:"]));
}

#[test]
fn missing_grid_barrier() {
    let body = || grid("ring", "PLANT_MISSING_GRID_BARRIER", true);
    every_order("missing_grid_barrier", Kind::Plain, body, wrong);
    every_order("missing_grid_barrier", Kind::Thread, body, says(&["data race", "grid.cu"]));
}

#[test]
fn grid_barrier_of_one_block() {
    every_order(
        "grid_barrier_of_one_block",
        Kind::Plain,
        || grid("lonely", "NOTHING", true),
        |ran| {
            let why = ["ends while others wait in grid_barrier at grid.cu:26", "waits in grid_barrier at grid.cu:26"];
            !ran.status.success() && why.iter().any(|why| ran.text.contains(why))
        },
    );
}

#[test]
fn grid_barrier_without_a_cooperative_launch() {
    let body = || grid("ring", "NOTHING", false);
    let seen = says(&["grid_barrier at grid.cu:16 in a launch that is not cooperative"]);
    every_order("grid_barrier_without_a_cooperative_launch", Kind::Plain, body, seen);
}

#[test]
fn wild_pointer() {
    let seen = says(&["CUDA_ERROR_ILLEGAL_ADDRESS", "touched memory that is not there"]);
    every_order("wild_pointer", Kind::Plain, || add("PLANT_WILD"), seen);
    every_order("wild_pointer", Kind::Address, || add("PLANT_WILD"), says(&["AddressSanitizer: SEGV", "add.cu:20"]));
}
