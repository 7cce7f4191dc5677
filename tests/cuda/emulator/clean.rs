//! Kernels without a mistake, on every kind of device and in several orders of threads. One process runs them all: what
//! costs is the start of a sanitizer.

use super::gpu::Gpu;
use super::{Emulator, Kind, inside};
use cudarc::driver::sys::{CU_MEMHOSTALLOC_PORTABLE, CUevent_flags, CUgraphInstantiate_flags, CUstreamCaptureMode};

/// Arguments of `add`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Add {
    pub x: u64,
    pub y: u64,
    pub out: u64,
    pub n: i32,
}

/// Arguments of `sum`, `warp_sum`, `warp_rotate` and `dynamic_sum`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Sum {
    pub x: u64,
    pub out: u64,
    pub n: i32,
}

/// Arguments of `tile`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Tile {
    pub a: u64,
    pub b: u64,
    pub c: u64,
    pub m: i32,
    pub n: i32,
    pub k: i32,
}

/// Arguments of `ring`, `lonely` and `poll`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Ring {
    pub x: u64,
    pub next: u64,
    pub barrier: u64,
    pub n: i32,
    pub steps: i32,
}

/// Arguments of `product`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Product {
    a: u64,
    b: u64,
    d: u64,
}

/// Arguments of `round_trip`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Round {
    x: u64,
    f16: u64,
    bf16: u64,
    tf32: u64,
    n: i32,
}

/// Small whole numbers, so that sums are exact in any order; no two neighbours are the same.
pub fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7 + i / 5) % 31) as f32 - 11.0).collect()
}

#[test]
fn right_in_every_order() {
    for kind in Kind::ALL {
        for seed in 0..3 {
            inside("emulator::clean::right_in_every_order", kind, seed, || {
                let gpu = Gpu::open();
                add(&gpu);
                block_sums(&gpu);
                warps(&gpu);
                dynamic_shared(&gpu);
                tiles(&gpu);
                ring(&gpu);
                products(&gpu);
            });
        }
    }
}

#[test]
fn streams_events_graphs() {
    for kind in Kind::ALL {
        inside("emulator::clean::streams_events_graphs", kind, 1, || {
            let gpu = Gpu::open();
            graph(&gpu);
            missing_waits_are_seen(&gpu);
            events(&gpu);
            resources(&gpu);
        });
    }
}

/// As large as a network of H = 1024 over a grid: 16 blocks of 256 threads, all of them under way at once.
#[test]
fn large_cooperative_launch() {
    let Some(emulator) = Emulator::new(Kind::Plain) else { return };
    let ran = emulator.run_inside("emulator::clean::large_cooperative_launch", "", || {
        let gpu = Gpu::open();
        ring_of(&gpu, 16, 50);
    });
    let Some(ran) = ran else { return };
    assert!(ran.status.success(), "{}", ran.text);
}

fn add(gpu: &Gpu) {
    let n = 150; // two blocks and a part
    let (x, y) = (numbers(n), numbers(2 * n).split_off(n));
    let (dx, dy, out) = (gpu.upload(&x), gpu.upload(&y), gpu.fresh(n));
    let kernel = gpu.kernel("add.cu", "add", &[]);
    let args = Add { x: gpu.address(&dx), y: gpu.address(&dy), out: gpu.address(&out), n: n as i32 };
    gpu.launch(&kernel, 3, 64, args).unwrap();
    let sums: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
    assert_eq!(gpu.download(&out), sums);
}

fn block_sums(gpu: &Gpu) {
    let x = numbers(300);
    let (dx, out) = (gpu.upload(&x), gpu.fresh(5));
    let kernel = gpu.kernel("sum.cu", "sum", &[]);
    gpu.launch(&kernel, 5, 64, Sum { x: gpu.address(&dx), out: gpu.address(&out), n: 300 }).unwrap();
    let sums: Vec<f32> = x.chunks(64).map(|part| part.iter().sum()).collect();
    assert_eq!(gpu.download(&out), sums);
}

fn warps(gpu: &Gpu) {
    let x = numbers(32);
    let (dx, out) = (gpu.upload(&x), gpu.fresh(160));
    let args = Sum { x: gpu.address(&dx), out: gpu.address(&out), n: 32 };
    gpu.launch(&gpu.kernel("sum.cu", "warp_sum", &[]), 1, 32, args).unwrap();
    let found = gpu.download(&out);
    let total: f32 = x.iter().sum();
    let above = x.iter().filter(|&&x| x > total / 32.0).count() as f32;
    for lane in 0..32 {
        let rows: Vec<f32> = (0..5).map(|row| found[32 * row + lane]).collect();
        let (next, before) = (x[(lane + 1).min(31)], x[lane.saturating_sub(1)]);
        assert_eq!(rows, [total, x[0], next, before, above], "lane {lane}");
    }
    gpu.launch(&gpu.kernel("sum.cu", "warp_rotate", &[]), 1, 32, args).unwrap();
    let rotated: Vec<f32> = (0..32).map(|lane| x[(lane + 1) % 32]).collect();
    assert_eq!(gpu.download(&out)[..32], rotated);
}

fn dynamic_shared(gpu: &Gpu) {
    let x = numbers(20_000); // 80,000 bytes, more than a block gets without asking
    let (dx, out) = (gpu.upload(&x), gpu.fresh(40));
    let kernel = gpu.kernel("sum.cu", "dynamic_sum", &[]);
    gpu.allow_shared(&kernel, 80_000).unwrap();
    let args = Sum { x: gpu.address(&dx), out: gpu.address(&out), n: 20_000 };
    gpu.launch_with(&kernel, (2, 1, 1), 20, 80_000, false, args).unwrap();
    assert_eq!(gpu.download(&out), [x.iter().sum::<f32>(); 40]);
}

fn tiles(gpu: &Gpu) {
    let [m, n, k] = [32, 48, 64];
    let (a, b) = (numbers(m * k), numbers(k * n));
    let (da, db, dc) = (gpu.upload(&a), gpu.upload(&b), gpu.fresh(m * n));
    let kernel = gpu.kernel("tile.cu", "tile", &[]);
    let [a_at, b_at, c_at] = [&da, &db, &dc].map(|memory| gpu.address(memory));
    let args = Tile { a: a_at, b: b_at, c: c_at, m: m as i32, n: n as i32, k: k as i32 };
    gpu.launch_with(&kernel, (3, 2, 1), 256, 0, false, args).unwrap();
    assert_eq!(gpu.download(&dc), product_of(&a, &b, [m, n, k]));
}

/// c = a b, for numbers whose products and sums are exact.
pub fn product_of(a: &[f32], b: &[f32], [m, n, k]: [usize; 3]) -> Vec<f32> {
    let element = |i: usize| (0..k).map(|l| a[i / n * k + l] * b[l * n + i % n]).sum();
    (0..m * n).map(element).collect()
}

fn ring(gpu: &Gpu) {
    ring_of(gpu, 4, 6);
}

/// An even number of steps, after which the ring is where it was. Twice, because the barrier is to be used again as the
/// first launch left it.
fn ring_of(gpu: &Gpu, blocks: u32, steps: i32) {
    let n = 256 * blocks as usize;
    let mut x = numbers(n);
    let (dx, next, barrier) = (gpu.upload(&x), gpu.fresh(n), gpu.zeroed_words(2));
    let kernel = gpu.kernel("grid.cu", "ring", &[]);
    let [x_at, next_at] = [&dx, &next].map(|memory| gpu.address(memory));
    let args = Ring { x: x_at, next: next_at, barrier: gpu.address(&barrier), n: n as i32, steps };
    for _ in 0..2 {
        gpu.launch_with(&kernel, (blocks, 1, 1), 256, 0, true, args).unwrap();
    }
    for _ in 0..2 * steps {
        x = (0..n).map(|i| 0.5 * (x[(i + n - 1) % n] + x[(i + 1) % n])).collect();
    }
    assert_eq!(gpu.download(&dx), x);
}

/// Against plain products in f64 of the rounded numbers.
fn products(gpu: &Gpu) {
    for (kind, depth) in [(0, 16), (1, 16), (2, 8)] {
        let numbers = |n: usize, step: f32| -> Vec<f32> { (0..n).map(|i| ((i as f32) * step).sin() * 3.0).collect() };
        let (a, b, d) = (numbers(16 * depth, 0.37), numbers(depth * 8, 0.71), numbers(128, 0.13));
        let define = format!("KIND={kind}");
        let (da, db, dd) = (gpu.upload(&a), gpu.upload(&b), gpu.upload(&d));
        let args = Product { a: gpu.address(&da), b: gpu.address(&db), d: gpu.address(&dd) };
        gpu.launch(&gpu.kernel("product.cu", "product", &[&define]), 1, 32, args).unwrap();
        let found = gpu.download(&dd);
        let (a, b) = (rounded(gpu, &a)[kind].clone(), rounded(gpu, &b)[kind].clone());
        for (i, found) in found.into_iter().enumerate() {
            let (row, column) = (i / 8, i % 8);
            let sum: f64 = (0..depth).map(|k| f64::from(a[row * depth + k]) * f64::from(b[k * 8 + column])).sum();
            let truth = f64::from(d[i]) + sum;
            // 16 additions in f32 of numbers up to 9
            assert!((f64::from(found) - truth).abs() < 4e-5, "kind {kind}, [{row}][{column}]: {found}, not {truth}");
        }
    }
    rounding(gpu);
}

/// The numbers rounded to f16, bf16 and tf32, by the device.
fn rounded(gpu: &Gpu, x: &[f32]) -> [Vec<f32>; 3] {
    let dx = gpu.upload(x);
    let out = [(); 3].map(|()| gpu.fresh(x.len()));
    let [f16, bf16, tf32] = [0, 1, 2].map(|i| gpu.address(&out[i]));
    let args = Round { x: gpu.address(&dx), f16, bf16, tf32, n: x.len() as i32 };
    let kernel = gpu.kernel("product.cu", "round_trip", &["KIND=0"]);
    gpu.launch(&kernel, x.len().div_ceil(256) as u32, 256, args).unwrap();
    out.each_ref().map(|row| gpu.download(row))
}

/// Rounding against the `half` crate, over the whole range, ties among them.
fn rounding(gpu: &Gpu) {
    let mut x: Vec<f32> = (0..20_000_u32).map(|i| f32::from_bits(i.wrapping_mul(0x0003_4567))).collect();
    x.extend((0..4096_u32).map(|i| f32::from_bits(0x3f80_0000 + i * 0x0800))); // ties of both
    x.extend((0..4096_u32).map(|i| i as f32 * 2.0_f32.powi(-26))); // subnormal f16
    x.extend([65503.9, 65519.9, 65520.0, 1e9, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MAX, f32::NAN]);
    let [f16, bf16, tf32] = rounded(gpu, &x);
    for (i, &x) in x.iter().enumerate() {
        let same = |found: f32, truth: f32| found.to_bits() == truth.to_bits() || found.is_nan() && truth.is_nan();
        let within = x.clamp(-65504.0, 65504.0); // NaN stays NaN
        assert!(same(f16[i], half::f16::from_f32(within).to_f32()), "f16 of {x:e}: {:e}", f16[i]);
        assert!(same(bf16[i], half::bf16::from_f32(x).to_f32()), "bf16 of {x:e}: {:e}", bf16[i]);
        assert_eq!(tf32[i].to_bits() & 0x1fff, 0, "tf32 of {x:e}");
        let step = 2.0_f64.powi(-11); // half a unit in the last of 11 places
        let near = (f64::from(tf32[i]) - f64::from(x)).abs() <= f64::from(x).abs() * step;
        let edge = x.abs() > 3.4e38 || x.abs() < f32::MIN_POSITIVE;
        assert!(near || edge || x.is_nan() && tf32[i].is_nan(), "tf32 of {x:e}: {:e}", tf32[i]);
    }
    let [.., tie] = rounded(gpu, &[1.0 + 2.0_f32.powi(-11), -1.0 - 2.0_f32.powi(-11)]);
    assert_eq!(tie, [1.0 + 2.0_f32.powi(-10), -1.0 - 2.0_f32.powi(-10)], "ties go away from zero");
}

fn graph(gpu: &Gpu) {
    let (x, out) = (gpu.upload(&numbers(64)), gpu.fresh(64));
    let kernel = gpu.kernel("add.cu", "add", &[]);
    let args = |x: u64, out: u64| Add { x, y: x, out, n: 64 };
    let [x_at, out_at] = [&x, &out].map(|memory| gpu.address(memory));
    gpu.stream.synchronize().unwrap();
    gpu.stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    gpu.launch(&kernel, 1, 64, args(x_at, out_at)).unwrap(); // out = 2 x
    gpu.launch(&kernel, 1, 64, args(out_at, x_at)).unwrap(); // x = 2 out
    assert!(gpu.stream.synchronize().is_err(), "a stream cannot be waited for while it records");
    assert!(gpu.stream.end_capture(CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH).is_err());
    gpu.stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    gpu.launch(&kernel, 1, 64, args(x_at, out_at)).unwrap();
    gpu.launch(&kernel, 1, 64, args(out_at, x_at)).unwrap();
    let flags = CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
    let graph = gpu.stream.end_capture(flags).unwrap().unwrap();
    graph.upload().unwrap();
    assert_eq!(gpu.download(&x), numbers(64), "what is captured does not run");
    for _ in 0..3 {
        graph.launch().unwrap();
    }
    assert_eq!(gpu.download(&x), numbers(64).iter().map(|x| 64.0 * x).collect::<Vec<_>>());
}

/// Work waits until somebody waits for it, so who does not reads what was there before.
fn missing_waits_are_seen(gpu: &Gpu) {
    let x = gpu.upload(&numbers(64));
    let out = gpu.fresh(64);
    // SAFETY: floats of any value may be read.
    let mut landing = unsafe { gpu.context.alloc_pinned_with_flags::<f32>(64, CU_MEMHOSTALLOC_PORTABLE) }.unwrap();
    landing.as_mut_slice().unwrap().fill(-1.0);
    let kernel = gpu.kernel("add.cu", "add", &[]);
    let args = Add { x: gpu.address(&x), y: gpu.address(&x), out: gpu.address(&out), n: 64 };
    gpu.launch(&kernel, 1, 64, args).unwrap();
    // another stream, which does not wait for the first
    let other = gpu.context.new_stream().unwrap();
    assert!(other.clone_dtoh(&out).unwrap().iter().all(|x| x.is_nan()));
    gpu.stream.memcpy_dtoh(&out, &mut landing).unwrap();
    // SAFETY: page-locked memory of 64 floats, which nothing else touches meanwhile.
    let seen = unsafe { std::slice::from_raw_parts(landing.as_ptr().unwrap(), 64) };
    let doubled: Vec<f32> = numbers(64).iter().map(|x| 2.0 * x).collect();
    other.join(&gpu.stream).unwrap();
    assert_eq!(other.clone_dtoh(&out).unwrap(), doubled, "a stream that waits for the other one");
    assert_eq!(seen, doubled);
}

fn events(gpu: &Gpu) {
    let timed = Some(CUevent_flags::CU_EVENT_DEFAULT);
    let start = gpu.stream.record_event(timed).unwrap();
    ring(gpu);
    let end = gpu.stream.record_event(timed).unwrap();
    assert!(!end.is_complete());
    let milliseconds = start.elapsed_ms(&end).unwrap();
    assert!(milliseconds > 0.0 && milliseconds < 1e5, "{milliseconds}");
    assert!(end.is_complete());
}

fn resources(gpu: &Gpu) {
    let kernel = gpu.kernel("tile.cu", "tile", &[]);
    assert_eq!(kernel.shared_size_bytes().unwrap(), 4096);
    assert_eq!(kernel.max_threads_per_block().unwrap(), 256);
    // 2048 threads of a multiprocessor, 256 a block, 5 KiB of 164
    assert_eq!(kernel.occupancy_max_active_blocks_per_multiprocessor(256, 0, None).unwrap(), 8);
    assert_eq!(kernel.occupancy_max_active_blocks_per_multiprocessor(256, 40_000, None).unwrap(), 3);
}
