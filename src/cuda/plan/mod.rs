//! Which frame runs a recurrent layer on a GPU, and with which constants: the one place that knows what fits.

mod fit;

pub use fit::{Limits, whole};

use super::driver::Properties;
use crate::cell::kind::Nonlinearity;
use crate::cuda::image::compile::Program;
use crate::error::{DeviceErrorKind, Error, Result};
use crate::net::shape::Shape;
use crate::simd::lanes::padded;
use fit::{BACKWARD_OUT, Need, best_of_many_blocks, best_of_one_block, candidates};
use half::f16;

/// How the time loop of a layer is laid out on a GPU. See `kernels/recurrent.cuh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Frame {
    /// A block runs some sequences from the first step to the last, with all weights on its multiprocessor.
    OneBlock,
    /// Blocks share the weights and meet at a barrier after each step.
    ManyBlocks,
    /// A product and a cell for every step, two launches each.
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
pub enum Dtype {
    /// Not at all.
    #[default]
    F32,
    /// To 10 bits of mantissa, with the exponent of f32.
    Tf32,
    /// To bfloat16, 7 bits of mantissa.
    Bf16,
    /// To half precision, 10 bits of mantissa, between 6e-8 and 65504. Larger inputs, states and outputs of a layer
    /// count as 65504, and so does an infinity; larger weights are an error. Gradients are often smaller than 6e-8.
    /// They are rounded to the same 10 bits with the exponent of f32 (tf32), so the loss need not be scaled.
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

    /// `x` if it is small enough to be a factor, else the largest that is, with the sign of `x`. NaN stays NaN.
    pub fn within(self, x: f32) -> f32 {
        match self {
            Self::F16 => x.clamp(f16::MIN.to_f32_const(), f16::MAX.to_f32_const()),
            _ => x,
        }
    }

    /// The program of the matrix products.
    ///
    /// # Errors
    /// If there are no sources for it.
    #[doc(hidden)]
    pub fn product(self) -> Result<Program> {
        Ok(Program::embedded("gemm.cu")?.define("PRODUCT", self.constant().unwrap_or("F32")))
    }

    /// The constant that selects it in a kernel.
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
    /// Groups of so many blocks that run at the same time.
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
    /// The program that contains the pass.
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

    /// The program that contains complete training steps; see [`whole`].
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

    /// Threads of a block that runs complete training steps: those of the layer, or more if these are only one warp.
    pub fn block_of_whole(&self) -> u32 {
        if self.threads == 32 { 128 } else { self.threads }
    }

    /// The file of the cell, with the constants that the shape alone decides.
    fn of_cell(&self, shape: &Shape) -> Result<Program> {
        let program = Program::embedded(&format!("{}.cu", shape.cell.name()))?.define("HIDDEN", shape.hidden);
        Ok(if shape.nonlinearity == Nonlinearity::Relu { program.define("RELU", 1) } else { program })
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

/// The passes that run the layers of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Forward.
    pub forward: Pass,
    /// Backward.
    pub backward: Pass,
    /// Why this frame and not a faster one; one line.
    pub why: String,
}

impl Plan {
    /// The frame.
    pub fn frame(&self) -> Frame {
        self.forward.frame
    }

    /// The fastest frame that fits `shape` and `batch` on the GPU `card`, or the one that is asked for.
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
        Err(Error::device(DeviceErrorKind::Unsupported, format!("frame {}", why.join("; "))))
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

    /// Every pass that [`Plan::choose`] may choose for up to `batch` sequences on a GPU with these limits: what to
    /// compile ahead of time. The passes are those of the fastest frame that fits, or of the one that is asked for.
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
        // a frame must fit both directions
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
                    // tensor cores take at least eight sequences
                    let rows = batch.checked_next_power_of_two().unwrap_or(usize::MAX).max(8);
                    let passes = passes.into_iter().nth(direction as usize).unwrap_or_default();
                    return Ok(passes.into_iter().filter(|pass| pass.rows as usize <= rows).collect());
                }
                Err(reason) => why.push(format!("{}: {reason}", frame.name())),
            }
        }
        Err(Error::device(DeviceErrorKind::Unsupported, format!("frame {}", why.join("; "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::kind::CellKind;
    use crate::cuda::Arch;
    use crate::cuda::image::ahead::Order;

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

    /// Why the bits belong to a model of GPU and not to an architecture: an H100 has 114 multiprocessors on PCIe and
    /// 132 on SXM.
    #[test]
    fn plans_follow_the_multiprocessors() {
        let plan = |hidden, batch, multiprocessors| {
            let card = card(Arch::new(9, 0), multiprocessors);
            Plan::choose(&shape(CellKind::Lstm, hidden), batch, Dtype::F32, &card, None).unwrap()
        };
        assert_eq!(plan(512, 64, 132), plan(512, 64, 132));
        let differ = |hidden, batch| plan(hidden, batch, 114) != plan(hidden, batch, 132);
        assert!(differ(64, 132) && differ(512, 1), "{:?} {:?}", plan(512, 1, 114), plan(512, 1, 132));
    }

    /// In bf16 backward, several sequences next to 128 weights spill, and from sm_100 on more than two in tf32 forward,
    /// as `.ci/kernels` finds. Such a pass is neither chosen nor shipped.
    #[test]
    fn no_crowded_pass_is_possible() {
        for arch in [80, 86, 87, 89, 90, 100, 120].map(|arch| Arch::new(arch / 10, arch % 10)) {
            for hidden in [448, 512] {
                let limits = Limits::of_arch(arch);
                let crowded = |direction, dtype, most_rows| {
                    let shape = shape(CellKind::Lstm, hidden);
                    let all = Plan::possible(&shape, 64, dtype, &limits, None, direction).unwrap();
                    all.iter().any(|pass| !pass.tensor && pass.weights > 96 && pass.rows > most_rows)
                };
                assert!(!crowded(Direction::Backward, Dtype::Bf16, 1), "{arch} {hidden}");
                assert!(crowded(Direction::Backward, Dtype::F32, 1), "{arch} {hidden}: the rule is about something");
                let newest = arch.number() >= 100;
                assert_eq!(crowded(Direction::Forward, Dtype::Tf32, 2), !newest, "{arch} {hidden}");
                assert!(crowded(Direction::Forward, Dtype::F32, 2), "{arch} {hidden}: the rule is about something");
            }
        }
    }

    #[test]
    fn what_is_beyond_f16_counts_as_its_largest() {
        let f16 = [1e5, -1e30, f32::INFINITY, 65519.0, -65504.0, 1.5].map(|x| Dtype::F16.within(x));
        assert_eq!(f16, [65504.0, -65504.0, 65504.0, 65504.0, -65504.0, 1.5]);
        assert!(Dtype::F16.within(f32::NAN).is_nan());
        assert!([Dtype::F32, Dtype::Tf32, Dtype::Bf16].iter().all(|dtype| dtype.within(1e30) == 1e30));
    }

    #[test]
    fn whole_steps_hold_all_weights_in_registers() {
        for (arch, cell) in [53, 75, 86, 90].into_iter().flat_map(|arch| CellKind::ALL.map(|cell| (arch, cell))) {
            let limits = Limits::of_arch(Arch::new(arch / 10, arch % 10));
            let threads = |hidden| whole(&shape(cell, hidden), 1, 1, &limits).map(|pass| pass.threads);
            assert_eq!(threads(16), Some(32), "{arch} {cell:?}");
            // either direction would keep some of these in shared memory, for which whole steps have no room
            assert_eq!(threads(128), None, "{arch} {cell:?}");
        }
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
    fn batches_of_any_number() {
        let card = card(Arch::new(9, 0), u32::MAX);
        let limits = Limits::of(&card);
        for (hidden, batch) in [16, 512, 4096].into_iter().flat_map(|h| [0, 1, 1 << 32, usize::MAX].map(|b| (h, b))) {
            let shape = shape(CellKind::Lstm, hidden);
            let plan = Plan::choose(&shape, batch, Dtype::F32, &card, None).unwrap();
            let of = |batch| Plan::possible(&shape, batch, Dtype::Bf16, &limits, None, Direction::Forward).unwrap();
            assert!(plan.forward.groups > 0 && of(batch).len() <= of(1 << 20).len());
            assert_eq!(whole(&shape, usize::MAX, batch, &limits).is_some(), batch == 0 && hidden == 16, "{batch}");
            let order =
                Order { shape, batch, dtype: Dtype::F32, frame: None, purpose: crate::net::pass::Mode::Training };
            assert!(!order.parts(card.arch).unwrap().is_empty());
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
