//! Which frame runs a recurrent layer on a card, and with which constants: the one place that knows what fits.
//!
//! What a thread needs beside its weights was read off the compiler's own report (`benches/record`, the table of
//! kernels): some 60 registers forward and 66 backward, 14 more for the GRU's second set of gradients, 6 and 10 more
//! for each further sequence.

use super::Arch;
use super::compile::Program;
use super::driver::Properties;
use crate::error::{Error, Result};
use crate::shape::{CellKind, Nonlinearity, Shape};
use crate::tensor::padded;

/// How a layer's time loop lies on a card. See `kernels/recurrent.cuh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Frame {
    /// A block runs some sequences from the first step to the last, with all weights on its multiprocessor.
    OneBlock,
    /// Blocks share the weights and meet at a barrier after each step.
    ManyBlocks,
    /// A product and a cell for every step, two launches each.
    #[cfg_attr(feature = "cli", value(name = "step-wise"))]
    Stepwise,
}

impl Frame {
    /// All frames, the fastest first.
    pub const ALL: [Self; 3] = [Self::OneBlock, Self::ManyBlocks, Self::Stepwise];

    /// The name on the command line and in `info`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneBlock => "one-block",
            Self::ManyBlocks => "many-blocks",
            Self::Stepwise => "step-wise",
        }
    }
}

/// How factors of products are rounded. Sums, states and weights in memory are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Dtype {
    /// Not at all.
    #[default]
    F32,
    /// To 10 bits of mantissa, with the exponent of f32.
    Tf32,
    /// To bfloat16, 7 bits of mantissa.
    Bf16,
    /// To half precision, 10 bits of mantissa, between 6e-8 and 65504. Gradients, which are often smaller than that,
    /// are rounded to the same 10 bits with the exponent of f32 instead (tf32): so no scaling of the loss is needed.
    F16,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F32, Self::Tf32, Self::Bf16, Self::F16];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// What products of gradients are rounded to.
    pub const fn of_gradients(self) -> Self {
        match self {
            Self::F16 => Self::Tf32,
            other => other,
        }
    }

    /// The program of the matrix products.
    ///
    /// # Errors
    /// If there are no sources for it.
    pub fn product(self) -> Result<Program> {
        Ok(Program::embedded("gemm.cu")?.define("PRODUCT", self.constant().unwrap_or("F32")))
    }

    /// The constant that says so to a kernel.
    const fn constant(self) -> Option<&'static str> {
        match self {
            Self::F32 => None,
            Self::Tf32 => Some("TF32"),
            Self::Bf16 => Some("BF16"),
            Self::F16 => Some("F16"),
        }
    }
}

/// Forward or backward through a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the first step to the last.
    Forward,
    /// From the last to the first.
    Backward,
}

/// The constants of a pass, those that `kernels/tile.cuh` lists, and how it is launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pass {
    /// Which frame.
    pub frame: Frame,
    /// Threads that share a unit.
    pub lanes: u32,
    /// Units that share their lanes.
    pub out: u32,
    /// Sequences of a block.
    pub rows: u32,
    /// Parts of a thread's weights that lie in shared memory.
    pub spilled: u32,
    /// Threads of a block.
    pub threads: u32,
    /// Blocks that share the weights of a layer.
    pub blocks: u32,
    /// Groups of so many blocks that run side by side.
    pub groups: u32,
    /// Dynamic shared memory of a block in bytes.
    pub shared: u32,
    /// Registers of a thread that hold weights.
    pub weights: u32,
    /// Whether tensor cores do the recurrent product.
    pub tensor: bool,
    /// Cycles of that product in a step, by count.
    pub cycles: u32,
}

impl Pass {
    /// The program that holds the pass.
    ///
    /// # Errors
    /// If there are no sources for it.
    pub fn program(&self, shape: &Shape, direction: Direction, dtype: Dtype) -> Result<Program> {
        let (which, dtype) = match (self.frame, direction) {
            (Frame::Stepwise, _) => ("STEPWISE", Dtype::F32),
            (_, Direction::Forward) => ("FORWARD", dtype),
            (_, Direction::Backward) => ("BACKWARD", dtype.of_gradients()),
        };
        let mut program = self.of_cell(shape)?.define(which, 1);
        if let Some(constant) = dtype.constant() {
            program = program.define(constant, 1);
        }
        if self.tensor {
            program = program.define("TENSOR", 1);
        }
        let constants = [
            ("LANES", self.lanes),
            ("OUT", self.out),
            ("ROWS", self.rows),
            ("SPILLED", self.spilled),
            ("THREADS", self.threads),
            ("BLOCKS", self.blocks),
        ];
        Ok(constants.into_iter().fold(program, |program, (name, value)| program.define(name, value)))
    }

    /// The program that holds whole training steps; see [`whole`].
    ///
    /// # Errors
    /// If there are no sources for it.
    pub fn whole_program(&self, shape: &Shape) -> Result<Program> {
        let program = self.of_cell(shape)?.define("WHOLE", 1).define("OUT", 1).define("FORWARD_OUT", 1);
        let program = program.define("BACKWARD_OUT", BACKWARD_OUT).define("BLOCK", self.block_of_whole());
        let constants =
            [("LANES", self.lanes), ("ROWS", self.rows), ("SPILLED", 0), ("THREADS", self.threads), ("BLOCKS", 1)];
        Ok(constants.into_iter().fold(program, |program, (name, value)| program.define(name, value)))
    }

    /// Threads of a block that does whole training steps: those of the layer, and more if they are but one warp.
    pub fn block_of_whole(&self) -> u32 {
        if self.threads == 32 { 128 } else { self.threads }
    }

    /// The file of the cell, with what the shape alone decides.
    fn of_cell(&self, shape: &Shape) -> Result<Program> {
        let file = match shape.cell {
            CellKind::Rnn => "rnn.cu",
            CellKind::Lstm => "lstm.cu",
            CellKind::Gru => "gru.cu",
        };
        let program = Program::embedded(file)?.define("HIDDEN", shape.hidden);
        let relu = (shape.cell, shape.nonlinearity) == (CellKind::Rnn, Nonlinearity::Relu);
        Ok(if relu { program.define("RELU", 1) } else { program })
    }

    const STEPWISE: Self = Self {
        frame: Frame::Stepwise,
        lanes: 1,
        out: 1,
        rows: 1,
        spilled: 0,
        threads: 256,
        blocks: 1,
        groups: 1,
        shared: 0,
        weights: 0,
        tensor: false,
        cycles: 0,
    };
}

/// What runs the layers of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Forward.
    pub forward: Pass,
    /// Backward.
    pub backward: Pass,
    /// Why not a faster frame; one line.
    pub why: String,
}

impl Plan {
    /// The frame.
    pub fn frame(&self) -> Frame {
        self.forward.frame
    }

    /// The fastest frame that fits `shape` and `batch` on a card, or the one that is asked for.
    ///
    /// # Errors
    /// If the one asked for does not fit.
    pub fn choose(shape: &Shape, batch: usize, dtype: Dtype, card: &Properties, wanted: Option<Frame>) -> Result<Self> {
        let mut why = Vec::new();
        for frame in Frame::ALL {
            if wanted.is_some_and(|wanted| wanted != frame) {
                continue;
            }
            match Self::of_frame(frame, shape, batch, dtype, card) {
                Ok(plan) if why.is_empty() => return Ok(plan),
                Ok(plan) => return Ok(Self { why: format!("{}; {}", plan.why, why.join("; ")), ..plan }),
                Err(reason) => why.push(format!("{}: {reason}", frame.name())),
            }
        }
        Err(Error::Device(format!("frame {}", why.join("; "))))
    }

    fn of_frame(frame: Frame, shape: &Shape, batch: usize, dtype: Dtype, card: &Properties) -> Result<Self, String> {
        let pair = |best: fn(Vec<Pass>, usize, &Properties) -> Result<Pass, String>| {
            let [forward, backward] = [Direction::Forward, Direction::Backward].map(|direction| {
                let all = candidates(frame, &Need::of(shape, direction, dtype), &Limits::of(card))?;
                best(all, batch, card)
            });
            Ok::<_, String>((forward?, backward?))
        };
        let kib = shape.gates() * padded(shape.hidden) * padded(shape.hidden) * 4 / 1024;
        match frame {
            Frame::OneBlock => {
                let (forward, backward) = pair(best_of_one_block)?;
                let why = format!("{kib} KiB of recurrent weights stay on one multiprocessor");
                Ok(Self { forward, backward, why })
            }
            Frame::ManyBlocks => {
                let (forward, backward) = pair(best_of_many_blocks)?;
                let why = format!("{kib} KiB of recurrent weights stay on {} multiprocessors", forward.blocks);
                Ok(Self { forward, backward, why })
            }
            Frame::Stepwise => {
                let why = String::from("a product and a cell for each step");
                Ok(Self { forward: Pass::STEPWISE, backward: Pass::STEPWISE, why })
            }
        }
    }

    /// Every pass that [`Plan::choose`] may choose for up to `batch` sequences on a card with these limits: what to
    /// compile ahead of time. Of the fastest frame that fits, or the one that is asked for.
    ///
    /// # Errors
    /// If the one asked for does not fit.
    pub fn possible(
        shape: &Shape,
        batch: usize,
        dtype: Dtype,
        limits: &Limits,
        wanted: Option<Frame>,
        direction: Direction,
    ) -> Result<Vec<Pass>> {
        let mut why = Vec::new();
        // a frame that does not fit one of the directions fits none
        let both = |frame| {
            let other = [Direction::Forward, Direction::Backward]
                .map(|d| candidates(frame, &Need::of(shape, d, dtype), limits));
            other.into_iter().collect::<Result<Vec<_>, _>>()
        };
        for frame in Frame::ALL {
            if wanted.is_some_and(|wanted| wanted != frame) {
                continue;
            }
            match both(frame) {
                Ok(passes) => {
                    let rows = (batch.next_power_of_two() as u32).max(8); // tensor cores take eight at the least
                    let passes = passes.into_iter().nth(direction as usize).unwrap_or_default();
                    return Ok(passes.into_iter().filter(|pass| pass.rows <= rows).collect());
                }
                Err(reason) => why.push(format!("{}: {reason}", frame.name())),
            }
        }
        Err(Error::Device(format!("frame {}", why.join("; "))))
    }
}

/// What a block may have on a card: known from its architecture alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The architecture.
    pub arch: Arch,
    /// 32-bit registers.
    pub registers: u32,
    /// Bytes of shared memory, when asked for.
    pub shared: u32,
    /// Whether all blocks of a launch can be there at once and wait for each other.
    pub cooperative: bool,
}

impl Limits {
    /// Those of a card.
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
struct Need {
    gates: u32,
    /// H padded.
    units: u32,
    /// Sums a unit has: G forward, 1 backward.
    values: u32,
    /// Values of the vector that is multiplied.
    length: u32,
    /// Registers beside the weights, for one sequence and for each further one.
    registers: [u32; 2],
    backward: bool,
    /// How factors are rounded in this direction.
    dtype: Dtype,
}

impl Need {
    fn of(shape: &Shape, direction: Direction, dtype: Dtype) -> Self {
        let (gates, units) = (shape.gates() as u32, padded(shape.hidden) as u32);
        let resets = shape.cell == CellKind::Gru;
        match direction {
            Direction::Forward => {
                Self { gates, units, values: gates, length: units, registers: [60, 6], backward: false, dtype }
            }
            Direction::Backward => {
                let more = if resets { 14 } else { 0 };
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
const BACKWARD_OUT: u32 = 4;

/// Whether whole training steps of a network of one layer run best in one block, without coming back to the host between
/// them: if its batch fits a block, and the work between the layer's own loops is little enough for one multiprocessor.
pub fn whole(shape: &Shape, steps: usize, batch: usize, limits: &Limits) -> Option<Pass> {
    /// FMAs of a step beside the time loops: 2^21 take one multiprocessor some 40 us, about what the launches of
    /// separate kernels take.
    const MOST: usize = 1 << 21;
    /// Registers of a thread for all phases together: what every compiler was seen to take at the most.
    const REGISTERS: u32 = 255;

    let work = 3 * steps * batch * shape.gates() * padded(shape.hidden) * (shape.input + shape.hidden);
    if shape.layers != 1 || shape.output.is_none() || work > MOST {
        return None;
    }
    let [forward, backward] = [Direction::Forward, Direction::Backward]
        .map(|direction| one_block(&Need::of(shape, direction, Dtype::F32), limits).ok());
    let fits = |pass: &&Pass| {
        pass.spilled == 0 && pass.rows as usize >= batch && pass.block_of_whole() * REGISTERS <= limits.registers
    };
    let pass = *forward?.iter().find(fits)?;
    let same = |other: &&Pass| (other.lanes, other.rows) == (pass.lanes, pass.rows);
    backward?.iter().find(same).map(|_| pass)
}

/// The passes of a frame that a card has room for, for any batch and number of multiprocessors; never none.
fn candidates(frame: Frame, need: &Need, limits: &Limits) -> Result<Vec<Pass>, String> {
    match frame {
        Frame::OneBlock => one_block(need, limits),
        Frame::ManyBlocks => many_blocks(need, limits),
        Frame::Stepwise => Ok(vec![Pass::STEPWISE]),
    }
}

fn one_block(need: &Need, limits: &Limits) -> Result<Vec<Pass>, String> {
    // the fewest threads that fill a warp for the smallest networks, since one warp needs no barrier; four threads a unit
    // for the others, since the product is then shorter than what follows it
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
    // part of the weights in shared memory: as much in registers as every compiler has left without spills
    const HELD: u32 = 144;
    let (lanes, out) = (2, if need.backward { 2 } else { 1 });
    let (threads, chunks) = (need.units * lanes, need.chunks(need.length, out * lanes));
    let spilled = chunks - (HELD / (4 * out * need.values)).min(chunks);
    let shared = spilled * out * need.values * 16 * threads;
    let fixed = 2 * need.length.next_multiple_of(4 * out * lanes) * 4;
    if threads > 256 || registers_of_a_thread(limits, threads) < 255 {
        return Err(format!("{} units have more weights than the registers of a block", need.units));
    }
    if shared + fixed > limits.shared {
        let (needed, most) = ((shared + fixed) / 1024, limits.shared / 1024);
        return Err(format!("needs {needed} KiB of shared memory beside the registers, a block may have {most}"));
    }
    let weights = chunks * 4 * out * need.values;
    Ok(vec![Pass { lanes, out, spilled, threads, shared, weights, frame: Frame::OneBlock, ..Pass::STEPWISE }])
}

/// One sequence a block as long as the card has room for all, several once it has not.
fn best_of_one_block(passes: Vec<Pass>, batch: usize, card: &Properties) -> Result<Pass, String> {
    let at_once = |pass: &Pass| {
        // a block of fewer than 64 threads takes the place of one that has so many
        let blocks = (2048 / pass.threads.max(64)).min(if pass.threads >= 256 { 1 } else { 32 });
        (card.multiprocessors * blocks * pass.rows) as usize
    };
    let enough = passes.iter().find(|pass| at_once(pass) >= batch).or(passes.last());
    enough.copied().ok_or_else(|| "nothing fits".into())
}

/// Threads of a block in the frame of many blocks.
const THREADS: u32 = 256;
const WARPS: u32 = THREADS / 32;

fn many_blocks(need: &Need, limits: &Limits) -> Result<Vec<Pass>, String> {
    /// Weights of a thread, so that with what it needs beside them it stays below 255 registers.
    const MOST: u32 = 128;
    if !limits.cooperative {
        return Err("this card has no cooperative launch".into());
    }
    if registers_of_a_thread(limits, THREADS) < 255 {
        return Err("a block of this card has too few registers".into());
    }
    let mut passes = Vec::new();
    for lanes in [1, 2, 4, 8] {
        let units = 32 / lanes;
        let (out, blocks) = (if need.backward { 4.min(units) } else { 1 }, need.units.div_ceil(units));
        let (slices, chunks) = (out * lanes, need.chunks(need.length, out * lanes * WARPS));
        let weights = chunks * 4 * out * need.values;
        if blocks < 2 || weights > MOST {
            continue;
        }
        for rows in [1, 2, 4, 8] {
            let shared = WARPS * rows * chunks * slices * 16;
            let fixed = WARPS * need.values * rows * units * 4;
            let sums = out * rows * need.values;
            let fits = weights + need.registers(1) + 2 * sums <= 255 && shared + fixed <= limits.shared;
            if fits && rows * units <= THREADS {
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
        return Err(format!("{} units have more weights than 256 threads for each 32 of them can hold", need.units));
    }
    Ok(passes)
}

/// The same by tensor cores, whose tiles are sixteen rows of weights by eight sequences: `kernels/tensor_part.cuh`.
fn many_blocks_of_tensors(need: &Need, limits: &Limits, passes: &mut Vec<Pass>) {
    /// Static shared memory ends there.
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
            let fits = weights <= 128 && weights + need.registers(1) + sums <= 240 && shared + fixed <= limits.shared;
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

/// The pass with the shortest time by a simple count: what a step costs whatever its size, and FMAs.
fn best_of_many_blocks(passes: Vec<Pass>, batch: usize, card: &Properties) -> Result<Pass, String> {
    /// Cycles of a step that have nothing to do with the sizes: the barrier and the way through the cache.
    const FIXED: u32 = 2200;
    let most = passes.iter().map(|pass| pass.blocks).min().unwrap_or(0);
    let timed = passes.into_iter().filter(|pass| pass.blocks <= card.multiprocessors).map(|pass| {
        let tiles = batch.div_ceil(pass.rows as usize) as u32;
        let groups = (card.multiprocessors / pass.blocks).min(tiles);
        let cycles = u64::from(tiles.div_ceil(groups)) * u64::from(FIXED + pass.cycles);
        (cycles, Pass { groups, ..pass })
    });
    let best = timed.min_by_key(|(cycles, _)| *cycles).map(|(_, pass)| pass);
    best.ok_or_else(|| format!("takes {most} multiprocessors at least, this card has {}", card.multiprocessors))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(cell: CellKind, hidden: usize) -> Shape {
        Shape::new(cell, 1, hidden, 1, 1).unwrap()
    }

    fn card(arch: Arch, multiprocessors: u32) -> Properties {
        let limits = Limits::of_arch(arch);
        Properties {
            name: "a card".into(),
            arch,
            multiprocessors,
            shared_per_block: limits.shared as usize,
            shared_per_multiprocessor: limits.shared as usize,
            registers_per_block: limits.registers,
            cooperative: limits.cooperative,
            integrated: false,
            memory: 1 << 33,
            l2: 1 << 22,
            clock_khz: 1_500_000,
            driver: (12, 6),
        }
    }

    #[test]
    fn small_networks_stay_on_one_multiprocessor() {
        let (h100, orin, nano) = (card(Arch::new(9, 0), 132), card(Arch::new(8, 7), 8), card(Arch::new(5, 3), 1));
        let frame = |cell, hidden, card: &Properties| {
            Plan::choose(&shape(cell, hidden), 1, Dtype::F32, card, None).unwrap().frame()
        };
        for cell in CellKind::ALL {
            for hidden in [1, 16, 32, 64, 96] {
                assert_eq!(frame(cell, hidden, &h100), Frame::OneBlock, "{cell:?} {hidden}");
            }
            assert_eq!(frame(cell, 512, &h100), Frame::ManyBlocks, "{cell:?}");
            assert_eq!(frame(cell, 4096, &h100), Frame::Stepwise, "{cell:?}");
            assert_eq!(frame(cell, 32, &nano), Frame::OneBlock, "{cell:?}");
            assert_eq!(frame(cell, 256, &nano), Frame::Stepwise, "{cell:?}"); // no cooperative launch
        }
        assert_eq!(frame(CellKind::Lstm, 1024, &h100), Frame::ManyBlocks);
        assert_eq!(frame(CellKind::Lstm, 128, &orin), Frame::OneBlock); // some weights in shared memory
        assert_eq!(frame(CellKind::Lstm, 512, &orin), Frame::Stepwise); // eight multiprocessors are too few
        let refused =
            Plan::choose(&shape(CellKind::Lstm, 512), 1, Dtype::F32, &orin, Some(Frame::OneBlock)).unwrap_err();
        assert!(refused.to_string().starts_with("frame one-block: "), "{refused}");
    }

    #[test]
    fn what_is_chosen_was_possible() {
        for (arch, multiprocessors) in [(53, 1), (72, 6), (80, 108), (87, 16), (90, 132)] {
            let arch = Arch::new(arch / 10, arch % 10);
            for cell in CellKind::ALL {
                for hidden in [1, 20, 64, 100, 128, 192, 256, 700, 1024] {
                    for (batch, dtype) in [1, 3, 64, 1000].into_iter().zip(Dtype::ALL.into_iter().cycle()) {
                        let (shape, card) = (shape(cell, hidden), card(arch, multiprocessors));
                        let plan = Plan::choose(&shape, batch, dtype, &card, None).unwrap();
                        for (direction, chosen) in
                            [(Direction::Forward, plan.forward), (Direction::Backward, plan.backward)]
                        {
                            let limits = Limits::of_arch(arch);
                            let possible =
                                Plan::possible(&shape, batch, dtype, &limits, Some(plan.frame()), direction).unwrap();
                            assert!(possible.contains(&Pass { groups: 1, ..chosen }), "{arch} {shape:?} {batch}");
                            let room = card.registers_per_block / chosen.threads;
                            assert!(
                                chosen.frame == Frame::Stepwise || chosen.spilled > 0 || chosen.weights < room.min(255)
                            );
                            assert!(chosen.blocks * chosen.groups <= multiprocessors.max(1));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_lesson_trains_in_one_block() {
        let limits = Limits::of_arch(Arch::new(9, 0));
        for cell in CellKind::ALL {
            assert_eq!(whole(&shape(cell, 32), 20, 1, &limits).map(|pass| pass.rows), Some(1), "{cell:?}");
            assert!(whole(&shape(cell, 20), 12, if cell == CellKind::Rnn { 1 } else { 4 }, &limits).is_some());
            assert!(whole(&shape(cell, 32), 20, 64, &limits).is_none(), "{cell:?}: a batch of 64 is not for one block");
            assert!(whole(&shape(cell, 100), 20, 1, &limits).is_none());
        }
    }
}
