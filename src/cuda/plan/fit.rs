//! What fits into registers, shared memory and multiprocessors. How many registers a thread needs in addition to its
//! weights is from the compiler's own report (`.ci/kernels` prints it): some 60 forward and 66 backward, 14 more for
//! the second set of gradients of a cell that resets, and 6 (forward) or 10 (backward) more for each further sequence.

use super::{Direction, Dtype, Frame, Pass};
use crate::cuda::{Arch, Properties};
use crate::net::shape::Shape;
use crate::simd::lanes::padded;

/// What a block may have on a GPU, which depends on its architecture alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The architecture.
    pub arch: Arch,
    /// 32-bit registers.
    pub registers: u32,
    /// Bytes of shared memory, if a kernel asks for it.
    pub shared: u32,
    /// Whether all blocks of a launch can run at once and wait for each other.
    pub cooperative: bool,
}

impl Limits {
    /// Those of a GPU.
    pub fn of(card: &Properties) -> Self {
        Self {
            arch: card.arch,
            registers: card.registers_per_block,
            shared: card.shared_per_block as u32,
            cooperative: card.cooperative,
        }
    }

    /// Those of an architecture. Source: CUDA programming guide, technical specifications per compute capability.
    pub fn of_arch(arch: Arch) -> Self {
        let kib = match arch.number() {
            ..70 => 48,
            70 | 72 => 96,
            75 => 64,
            80 | 87 => 163,
            86 | 89 | 120 | 121 => 99,
            _ => 227,
        };
        let registers = if matches!(arch.number(), 53 | 62) { 32 * 1024 } else { 64 * 1024 };
        Self { arch, registers, shared: kib * 1024, cooperative: arch.number() >= 60 }
    }
}

/// What a pass asks of a thread.
pub(super) struct Need {
    gates: u32,
    /// H padded.
    units: u32,
    /// Sums a unit has: G forward, 1 backward.
    values: u32,
    /// Values of the vector that is multiplied.
    length: u32,
    /// Registers in addition to the weights, for one sequence and for each further one.
    registers: [u32; 2],
    backward: bool,
    /// How factors are rounded in this direction.
    dtype: Dtype,
}

impl Need {
    pub fn of(shape: &Shape, direction: Direction, dtype: Dtype) -> Self {
        let (gates, units) = (shape.gates() as u32, padded(shape.hidden) as u32);
        match direction {
            Direction::Forward => {
                Self { gates, units, values: gates, length: units, registers: [60, 6], backward: false, dtype }
            }
            Direction::Backward => {
                let more = if shape.cell.resets() { 14 } else { 0 };
                Self {
                    gates,
                    units,
                    values: 1,
                    length: gates * units,
                    registers: [66 + more, 10],
                    backward: true,
                    dtype: dtype.of_gradients(),
                }
            }
        }
    }

    /// Parts of four values of the vector that fall to each of `slices` threads.
    fn chunks(&self, length: u32, slices: u32) -> u32 {
        (length / 4).div_ceil(slices)
    }

    fn registers(&self, rows: u32) -> u32 {
        self.registers[0] + (rows - 1) * self.registers[1]
    }
}

/// Registers that a thread may have when `threads` share those of a block.
fn registers_of_a_thread(limits: &Limits, threads: u32) -> u32 {
    (limits.registers / threads / 8 * 8).min(255)
}

/// Units that share their lanes backward, where there are registers enough.
pub(super) const BACKWARD_OUT: u32 = 4;

/// The pass with which complete training steps of a network run in one block, without coming back to the host between
/// them. There is one if the network has one layer and a head, its batch fits a block, and the work between the layer's
/// own loops is little enough for one multiprocessor.
pub fn whole(shape: &Shape, steps: usize, batch: usize, limits: &Limits) -> Option<Pass> {
    /// The most FMAs of a step outside of the time loops: 2^21 take one multiprocessor some 40 us, about as long as the
    /// launches of separate kernels.
    const MOST: usize = 1 << 21;
    /// Registers of a thread for all phases together: the most that any compiler was seen to take.
    const REGISTERS: u32 = 255;

    let of_a_row = 3 * shape.gates() * padded(shape.hidden) * (shape.input + shape.hidden);
    let work = steps.saturating_mul(batch).saturating_mul(of_a_row);
    if shape.layers != 1 || shape.output.is_none() || work > MOST {
        return None;
    }
    let [forward, backward] = [Direction::Forward, Direction::Backward]
        .map(|direction| one_block(&Need::of(shape, direction, Dtype::F32), limits).ok());
    let fits = |pass: &&Pass| {
        pass.spilled == 0 && pass.rows as usize >= batch && pass.block_of_whole() * REGISTERS <= limits.registers
    };
    let pass = *forward?.iter().find(fits)?;
    let same = |other: &&Pass| (other.lanes, other.rows, other.spilled) == (pass.lanes, pass.rows, 0);
    backward?.iter().find(same).map(|_| pass)
}

/// The passes of a frame that a GPU has room for, for any batch and number of multiprocessors; at least one.
pub(super) fn candidates(frame: Frame, need: &Need, limits: &Limits) -> Result<Vec<Pass>, String> {
    match frame {
        Frame::OneBlock => one_block(need, limits),
        Frame::ManyBlocks => many_blocks(need, limits),
        Frame::Stepwise => Ok(vec![Pass::STEPWISE]),
    }
}

fn one_block(need: &Need, limits: &Limits) -> Result<Vec<Pass>, String> {
    // the fewest threads that fill a warp for the smallest networks, since one warp needs no barrier; four threads a
    // unit for the others, since the product is then shorter than what follows it
    let order: &[u32] = match (need.gates, need.units) {
        (_, 16) => &[2],
        (1, 32) => &[1],
        (1, 64) => &[2, 4],
        _ => &[4, 2],
    };
    for &lanes in order {
        let threads = need.units * lanes;
        if threads > 1024 || !threads.is_multiple_of(32) {
            continue;
        }
        let out = if need.backward { BACKWARD_OUT } else { 1 };
        let weights = need.chunks(need.length, out * lanes) * 4 * out * need.values;
        let fits =
            |&rows: &u32| rows <= lanes && weights + need.registers(rows) <= registers_of_a_thread(limits, threads);
        let pass = |rows| Pass { lanes, out, rows, threads, weights, frame: Frame::OneBlock, ..Pass::STEPWISE };
        let passes: Vec<Pass> = [1, 2, 4].into_iter().filter(fits).map(pass).collect();
        if !passes.is_empty() {
            return Ok(passes);
        }
    }
    // part of the weights in shared memory; registers hold as many as every compiler managed without spills
    let held = if need.backward { 136 } else { 144 };
    let (lanes, out) = (2, if need.backward { 2 } else { 1 });
    let (threads, chunks) = (need.units * lanes, need.chunks(need.length, out * lanes));
    let spilled = chunks - (held / (4 * out * need.values)).min(chunks);
    let shared = spilled * out * need.values * 16 * threads;
    let fixed = 2 * need.length.next_multiple_of(4 * out * lanes) * 4;
    if threads > 256 || registers_of_a_thread(limits, threads) < 255 {
        return Err(format!("{} units have more weights than the registers of a block hold", need.units));
    }
    if shared + fixed > limits.shared {
        let (needed, most) = ((shared + fixed) / 1024, limits.shared / 1024);
        return Err(format!("needs {needed} KiB of shared memory besides the registers, and a block may have {most}"));
    }
    let weights = chunks * 4 * out * need.values;
    Ok(vec![Pass { lanes, out, spilled, threads, shared, weights, frame: Frame::OneBlock, ..Pass::STEPWISE }])
}

/// One sequence a block as long as the GPU has room for all of them at once, otherwise several.
pub(super) fn best_of_one_block(passes: Vec<Pass>, batch: usize, card: &Properties) -> Result<Pass, String> {
    let at_once = |pass: &Pass| {
        // a block of fewer than 64 threads takes as much room as one of 64
        let blocks = (2048 / pass.threads.max(64)).min(if pass.threads >= 256 { 1 } else { 32 });
        card.multiprocessors.saturating_mul(blocks * pass.rows) as usize
    };
    let enough = passes.iter().find(|pass| at_once(pass) >= batch).or(passes.last());
    enough.copied().ok_or_else(|| "nothing fits".into())
}

/// Threads of a block in the frame of many blocks.
const THREADS: u32 = 256;
const WARPS: u32 = THREADS / 32;

fn many_blocks(need: &Need, limits: &Limits) -> Result<Vec<Pass>, String> {
    /// The most weights of a thread, so that with everything else that it needs it stays below 255 registers.
    const MOST: u32 = 128;
    if !limits.cooperative {
        return Err("this GPU has no cooperative launch".into());
    }
    if registers_of_a_thread(limits, THREADS) < 255 {
        return Err("a block of this GPU has too few registers".into());
    }
    let mut passes = Vec::new();
    for lanes in [1, 2, 4, 8] {
        let units = 32 / lanes;
        let (out, blocks) = (if need.backward { 4.min(units) } else { 1 }, need.units.div_ceil(units));
        let (slices, chunks) = (out * lanes, need.chunks(need.length, out * lanes * WARPS));
        let weights = chunks * 4 * out * need.values;
        // with one thread a unit, the thread has all gates of the unit: the compiler keeps addresses in registers, and
        // spills
        let most = match (lanes, need.values) {
            (1, 1) => 96,
            (1, _) => 0,
            _ => MOST,
        };
        if blocks < 2 || weights > most {
            continue;
        }
        for rows in [1, 2, 4, 8] {
            let shared = WARPS * rows * chunks * slices * 16;
            let fixed = WARPS * need.values * rows * units * 4;
            let sums = out * rows * need.values;
            let fits = weights + need.registers(1) + 2 * sums <= 255 && shared + fixed <= limits.shared;
            // next to so many weights the compiler has no registers for several sequences in bf16, and spills; for the
            // newest GPUs also in tf32 forward, which their tensor cores do in less time
            let newest = limits.arch.number() >= 100;
            let most_rows = match (need.backward, need.dtype) {
                (true, Dtype::Bf16) => 1,
                (false, Dtype::Tf32) if newest => 2,
                _ => 8,
            };
            let crowded = weights > 96 && rows > most_rows;
            if fits && !crowded && rows * units <= THREADS {
                let (frame, threads, cycles) = (Frame::ManyBlocks, THREADS, weights * rows * 2);
                passes.push(Pass {
                    frame,
                    lanes,
                    out,
                    rows,
                    threads,
                    blocks,
                    shared,
                    weights,
                    cycles,
                    ..Pass::STEPWISE
                });
            }
        }
    }
    if need.dtype != Dtype::F32 && limits.arch.number() >= 80 {
        many_blocks_of_tensors(need, limits, &mut passes);
    }
    if passes.is_empty() {
        return Err(format!("{} units have more weights than 256 threads for every 32 units can hold", need.units));
    }
    Ok(passes)
}

/// The same by tensor cores, whose tiles are sixteen rows of weights by eight sequences: `kernels/tensor_part.cuh`.
fn many_blocks_of_tensors(need: &Need, limits: &Limits, passes: &mut Vec<Pass>) {
    /// The most static shared memory.
    const STATIC: u32 = 48 * 1024;
    let tf32 = need.dtype == Dtype::Tf32;
    let word = if tf32 { 1 } else { 2 };
    for lanes in [1, 2, 4] {
        let units = 32 / lanes;
        let (blocks, tiles) = (need.units.div_ceil(units), (need.values * units).div_ceil(16));
        let span = need.length.div_ceil(16 * WARPS) * 16;
        let steps = span / (8 * word);
        let weights = tiles * steps * 4;
        for rows in [8, 16, 32] {
            let shared = WARPS * rows * (span / word + 4) * 4;
            let fixed = WARPS * need.values * rows * units * 4;
            let sums = tiles * rows / 8 * 4;
            let fits = weights <= 96 && weights + need.registers(1) + sums <= 240 && shared + fixed <= limits.shared;
            if blocks >= 2 && fits && fixed <= STATIC && rows * units <= THREADS {
                // 2048 FMAs in 2 cycles of a multiprocessor, tf32 in 4
                let cycles = WARPS * tiles * steps * (rows / 8) * 2;
                let (frame, threads) = (Frame::ManyBlocks, THREADS);
                let pass =
                    Pass { frame, lanes, out: 1, rows, threads, blocks, shared, weights, cycles, ..Pass::STEPWISE };
                passes.push(Pass { tensor: true, ..pass });
            }
        }
    }
}

/// The pass with the shortest time by a simple count: a fixed cost for each step, and FMAs.
pub(super) fn best_of_many_blocks(passes: Vec<Pass>, batch: usize, card: &Properties) -> Result<Pass, String> {
    /// Cycles of a step that have nothing to do with the sizes: the barrier and the way through the cache.
    const FIXED: u32 = 2200;
    let most = passes.iter().map(|pass| pass.blocks).min().unwrap_or(0);
    let timed = passes.into_iter().filter(|pass| pass.blocks <= card.multiprocessors).map(|pass| {
        let tiles = u32::try_from(batch.div_ceil(pass.rows as usize)).unwrap_or(u32::MAX).max(1);
        let groups = (card.multiprocessors / pass.blocks).min(tiles);
        let cycles = u64::from(tiles.div_ceil(groups)) * u64::from(FIXED + pass.cycles);
        (cycles, Pass { groups, ..pass })
    });
    let best = timed.min_by_key(|(cycles, _)| *cycles).map(|(_, pass)| pass);
    best.ok_or_else(|| format!("needs at least {most} multiprocessors, and this GPU has {}", card.multiprocessors))
}
