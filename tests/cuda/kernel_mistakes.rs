//! Tests of the tests: a mistake is planted in a kernel of this crate, which is right without it, and the checks of the
//! other test files, on the same emulated device, must find it. A plant whose place in the kernel is gone compiles
//! nothing, and is then not found either; so whoever rewrites a kernel plants its mistakes anew.
#![cfg(feature = "cuda")]

use crate::agree::{Check, shape};
use crate::emulator::{Emulator, Kind};
use rnnstep::cpu::Threads;
use rnnstep::cuda::{Cuda, Dtype, Frame, Images};
use rnnstep::data::windows::Windows;
use rnnstep::objective::optimizer::{Optimizer, Sgd};
use rnnstep::train::{Recipe, Step, Trainer};
use rnnstep::{CellKind, Cpu, Device, Levels, Loss, Model, Shape, Tensor};
use std::collections::BTreeSet;

/// The order of threads and blocks, the same in every run.
const SEED: u64 = 1;

/// How a mistake is found: on which kind of device, and in which words. `{at}` is the file and the line of the plant.
type Found = (Kind, &'static [&'static str]);
/// What it is, the file, what stands there once, what instead, and every way in which it is found.
type Plant = (&'static str, &'static str, &'static str, &'static str, &'static [Found]);

/// The launch comes to an end, and what it gave is not what the CPU gives.
const WRONG: Found = (Kind::Plain, &[" off, ", " allowed"]);
const RACE: Found = (Kind::Thread, &["data race", ".cu"]);
const PAST: Found = (Kind::Address, &["heap-buffer-overflow", ".cu"]);

/// Runs `body` without a plant on every kind of device that is used, where it must pass, and with each of `plants`.
fn each_is_found(test: &str, body: impl Fn(&Cuda), plants: &[Plant]) {
    let run = |kind: Kind, name: &str, edit: Option<[&str; 3]>| {
        let emulator = Emulator::new(kind)?.with("EMULATOR_SEED", SEED);
        let emulator = if let Some(edit) = edit { emulator.with_edit(edit) } else { emulator };
        // nothing from a cache that knows of no plants
        emulator.run_inside(&format!("kernel_mistakes::{test}"), &format!("{name}, {kind:?}"), || {
            body(&Cuda::open(0, Images::new(false)).unwrap())
        })
    };
    let kinds: BTreeSet<Kind> = plants.iter().flat_map(|plant| plant.4).map(|found| found.0).collect();
    for kind in kinds {
        if let Some(ran) = run(kind, "nothing", None) {
            assert!(ran.status.success(), "{test}, nothing planted, on {kind:?}: {}\n{}", ran.status, ran.text);
        }
    }
    for &(name, file, text, other, ways) in plants {
        let source = std::fs::read_to_string(format!("{}/kernels/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let at = format!("{file}:{}", source.split(text).next().unwrap().matches('\n').count() + 1);
        for &(kind, words) in ways {
            let Some(ran) = run(kind, name, Some([file, text, other])) else { continue };
            let words: Vec<String> = words.iter().map(|word| word.replace("{at}", &at)).collect();
            let found = !ran.status.success() && words.iter().all(|word| ran.text.contains(word));
            assert!(found, "{test}, {name}, {kind:?}: {words:?} not found: {}\n{}", ran.status, ran.text);
            let line = ran.text.lines().find(|line| line.contains(&words[0])).unwrap_or("");
            println!("{test}, {name}, {kind:?}: {}", line.trim());
        }
    }
}

#[test]
fn one_block() {
    let body = |cuda: &Cuda| Check::new(shape(CellKind::Lstm, 3, 20, 1, 2), 5, 3).frame(Frame::OneBlock).run(cuda);
    let file = "one_block.cuh";
    let barrier = "block_barrier();\n\n        // what nobody";
    let few = "if (threadIdx.x < 7) __syncthreads();\n\n        // what nobody";
    let before = "block_barrier();\n\n    const auto step = [&](int t, const";
    let vector = "VECTOR; i += THREADS)\n        (&vector[0][0][0])[i] = 0.0f; //";
    let longer = "VECTOR + 1; i += THREADS)\n        (&vector[0][0][0])[i] = 0.0f; //";
    let saved = "return args.saved + (size_t)row";
    let dgates = "write_gates<G>(args.dgates_x + gates_at(row), d.dgates_x, own.twin, TWINS);";
    let plants: [Plant; 12] = [
        ("no barrier in a step", file, barrier, "// what nobody", &[RACE, WRONG]),
        ("no barrier before the steps", file, before, "const auto step = [&](int t, const", &[RACE]),
        ("a barrier of few", file, barrier, few, &[(Kind::Plain, &["{at}", "divergent ", "kernel `lstm_forward`"])]),
        ("past a shared vector", file, vector, longer, &[PAST]),
        ("past the saved values", file, saved, "return args.saved + 16 + (size_t)row", &[PAST]),
        ("h is not written", file, "args.h[state_at(row)] = state.h;", ";", &[WRONG]),
        ("c is not written", file, "args.c[state_at(row)] = state.c;", ";", &[WRONG]),
        ("dh is not written", file, "args.dh[state_at(own.row)] = dafter.h;", ";", &[WRONG]),
        ("gradients are not written", file, dgates, ";", &[WRONG]),
        ("i in the place of f", "lstm.cu", "(f, before.c, i * g)", "(i, before.c, f * g)", &[WRONG]),
        ("derivative of o", "lstm.cu", "tanh_c * o * (1.0f - o)", "tanh_c * (1.0f - o)", &[WRONG]),
        (
            "chunks in another order",
            "tile.cuh",
            "[chunk * SLICES + slice];",
            "[chunk * SLICES + (slice ^ 1)];",
            &[WRONG],
        ),
    ];
    each_is_found("one_block", body, &plants);
}

#[test]
fn other_cells() {
    let body = |cuda: &Cuda| {
        Check::new(shape(CellKind::Gru, 2, 9, 1, 1), 3, 5).frame(Frame::OneBlock).run(cuda);
        Check::new(shape(CellKind::Rnn, 2, 9, 1, 1), 3, 1).frame(Frame::OneBlock).run(cuda);
    };
    let plants: [Plant; 6] = [
        ("no barrier in one warp", "passes.cuh", "__syncwarp();", ";", &[RACE]),
        ("no bias", "one_block.cuh", "sums[0][gate] + bias[gate]", "sums[0][gate]", &[WRONG]),
        ("z in the place of r", "gru.cu", "__fmaf_rn(r, h_n, gates_x[2])", "__fmaf_rn(z, h_n, gates_x[2])", &[WRONG]),
        ("gradient without r", "gru.cu", "{dr, dz, dn * r, dn}", "{dr, dz, dn, dn}", &[WRONG]),
        ("derivative of tanh", "rnn.cu", "dh * (1.0f - h * h)", "dh * (1.0f - h)", &[WRONG]),
        ("a digit of a polynomial", "math.cuh", "0.13320725f", "0.13230725f", &[WRONG]),
    ];
    each_is_found("other_cells", body, &plants);
}

/// An infinite input, and 20 units in two times sixteen.
#[test]
fn padding() {
    let body = |cuda: &Cuda| {
        for frame in Frame::ALL {
            let check = Check::new(shape(CellKind::Lstm, 2, 20, 1, 1), 3, 2).frame(frame);
            Check { outlier: Some(f32::INFINITY), ..check }.run(cuda);
        }
    };
    let plants: [Plant; 4] = [
        ("h is not cleared", "one_block.cuh", "state = is_unit(own.unit) ? state : State{0.0f, 0.0f};", ";", &[WRONG]),
        ("gradients are not cleared", "one_block.cuh", "d = is_unit(own.unit) ? d : Gradients{};", ";", &[WRONG]),
        (
            "h of many blocks is not cleared",
            "many_blocks.cuh",
            "state = is_unit(part.unit_finished) ? state : State{0.0f, 0.0f};",
            ";",
            &[WRONG],
        ),
        ("h of a step is not cleared", "step.cuh", "state = is_unit(unit) ? state : State{0.0f, 0.0f};", ";", &[WRONG]),
    ];
    each_is_found("padding", body, &plants);
}

#[test]
fn many_blocks() {
    let body = |cuda: &Cuda| Check::new(shape(CellKind::Lstm, 1, 20, 1, 1), 3, 2).frame(Frame::ManyBlocks).run(cuda);
    let file = "many_blocks.cuh";
    let forward = "grid_barrier(barrier, BLOCKS);\n        }\n    }";
    let backward = "grid_barrier(barrier, BLOCKS);\n            const float* dgates_h";
    let lonely = "if (blockIdx.x == 0) grid_barrier(barrier, BLOCKS);\n        }\n    }";
    let product = "weights.multiply(vector, sums[warp]);\n        __syncthreads();";
    let unit = "unit_finished = blockIdx.x * UNITS +";
    let c = "args.c[step * HP + state_step + state_at] = state.c;";
    let plants: [Plant; 8] = [
        ("no grid barrier forward", file, forward, "}\n    }", &[RACE, WRONG]),
        ("no grid barrier backward", file, backward, "const float* dgates_h", &[RACE, WRONG]),
        (
            "a grid barrier of one block",
            file,
            forward,
            lonely,
            &[(Kind::Plain, &["{at}", "grid_barrier", "kernel `lstm_forward`"])],
        ),
        ("no barrier after a product", file, product, "weights.multiply(vector, sums[warp]);", &[RACE]),
        ("no barrier of a warp", file, "__syncwarp();", "", &[RACE]),
        ("units of a neighbour", file, unit, "unit_finished = blockIdx.x / 2 * 2 * UNITS +", &[RACE, WRONG]),
        ("c is not written", file, c, ";", &[WRONG]),
        ("a warp is left out", file, "for (int from = 0; from < WARPS", "for (int from = 1; from < WARPS", &[WRONG]),
    ];
    each_is_found("many_blocks", body, &plants);
}

#[test]
fn tensor_cores() {
    let body = |cuda: &Cuda| {
        let check = Check::new(shape(CellKind::Rnn, 1, 40, 1, 1), 2, 33).frame(Frame::ManyBlocks);
        Check { dtype: Dtype::F16, output: 0.01, gradient: 0.02, ..check }.run(cuda);
    };
    let file = "tensor_part.cuh";
    let plants: [Plant; 2] = [
        ("sequences in another order", file, "2 * t + i % 2;", "2 * t + 1 - i % 2;", &[WRONG]),
        ("a pair the wrong way round", file, "word(x.x, x.y);", "word(x.y, x.x);", &[WRONG]),
    ];
    each_is_found("tensor_cores", body, &plants);
}

#[test]
fn step_by_step() {
    let body = |cuda: &Cuda| Check::new(shape(CellKind::Gru, 2, 17, 2, 1), 3, 3).frame(Frame::Stepwise).run(cuda);
    let file = "step.cuh";
    let end = "args.batch * HP)\n        return;\n    const size_t row = at / HP;\n    const int unit = at % HP;\n    float gates_x";
    let far = end.replacen("HP)", "HP + 1)", 1);
    let plants: [Plant; 4] = [
        ("no end", file, end, far.leak(), &[PAST, (Kind::Plain, &["kernel `gru_step`", "past the end"])]),
        ("h is not written", file, "args.h_after[at] = state.h;", ";", &[WRONG]),
        ("dh is not written", file, "args.dh[at] = d.dstate.h;", ";", &[WRONG]),
        ("gates of another row", file, "args.gates_h + row *", "args.gates_h + row / 2 *", &[WRONG]),
    ];
    each_is_found("step_by_step", body, &plants);
}

/// 300 rows, so that sums are cut into slices.
#[test]
fn products() {
    let body = |cuda: &Cuda| Check::new(shape(CellKind::Rnn, 17, 33, 1, 2), 3, 100).frame(Frame::OneBlock).run(cuda);
    let file = "gemm.cu";
    let slices = "args.out + (long long)blockIdx.z * args.columns * args.gates;";
    let rows = "int rows = min(args.rows - first, args.slice);";
    let plants: [Plant; 6] = [
        ("slices in one place", file, slices, "args.out;", &[RACE, WRONG]),
        ("no barrier in a step", file, "meet();\n        step +=", "step +=", &[RACE, WRONG]),
        ("no barrier in a sum", file, "__syncthreads();\n        if (row < half)", "if (row < half)", &[RACE]),
        ("rows without end", file, "if (m >= args.rows || n >= args.columns)", "if (n >= args.columns)", &[PAST]),
        ("no bias", file, "if (args.bias) sum =", "if (false) sum =", &[WRONG]),
        ("a row too few", file, rows, "int rows = min(args.rows - first, args.slice) - 1;", &[WRONG]),
    ];
    each_is_found("products", body, &plants);
}

/// Trains here and there: losses, norms, weights, states.
fn trains(cuda: &Cuda, shape: Shape, batch: usize, recipe: &Recipe) {
    let rows = |width: usize| {
        let values: Vec<f32> = (0..36 * width).map(|i| (i as f32 * 0.37).sin()).collect();
        Tensor::new([36, width], values).unwrap()
    };
    let targets = shape.width_out() / recipe.loss.outputs(1);
    let mut with_holes = rows(targets);
    with_holes.data_mut().iter_mut().skip(3).step_by(7).for_each(|target| *target = f32::NAN);
    let windows = Windows::lanes(rows(shape.input()), with_holes, 5, batch, false).unwrap();
    let run = |device: Device| {
        let model = Model::random(shape, 1).unwrap();
        let mut trainer = Trainer::new(model, windows.clone(), recipe.clone(), device, Threads::default()).unwrap();
        let (mut losses, mut norms) = (vec![], vec![]);
        let seen = |step: Step| {
            losses.push(step.loss);
            norms.extend(step.norm.map(|norm| norm as f32));
        };
        trainer.steps(6, seen).unwrap();
        trainer.fetch().unwrap();
        let numbers = [losses, norms, trainer.model().params().to_vec(), trainer.state().h().into_data()];
        ["loss", "norm", "parameter", "h"].into_iter().zip(numbers)
    };
    for ((name, found), (_, truth)) in run(cuda.clone().into()).zip(run(Cpu::widest().into())) {
        assert_eq!(found.len(), truth.len(), "{name}");
        for (i, (&a, &b)) in found.iter().zip(&truth).enumerate() {
            let (error, tolerance) = (f64::from((a - b).abs()), 1e-4 * f64::from(b.abs()).max(0.1));
            assert!(error <= tolerance, "{name} {i} is {a}, not {b}: {error:e} off, {tolerance:e} allowed");
        }
    }
}

/// A queue of steps as one kernel.
#[test]
fn whole_steps() {
    let recipe = Recipe { clip: Some(0.05), ..Recipe::default() };
    let body = |cuda: &Cuda| {
        trains(cuda, shape(CellKind::Lstm, 2, 20, 1, 3), 3, &recipe);
        trains(cuda, shape(CellKind::Rnn, 2, 20, 1, 3), 1, &recipe); // a layer of one warp, a block of four
    };
    let (file, common) = ("whole.cuh", "training.cuh");
    let front = "G * HP);\n        __syncthreads();\n        if (threadIdx.x < THREADS)\n            fo";
    let layer = "forward_one_block<Cell>(forward);\n        __syncthreads();";
    let back = "backward_one_block<Cell>(backward);\n        __syncthreads();";
    let few = "if (threadIdx.x < 7) __syncthreads();\n\n        float scale";
    let plants: [Plant; 13] = [
        (
            "no barrier before the layer",
            file,
            front,
            "G * HP);\n        if (threadIdx.x < THREADS)\n            fo",
            &[RACE],
        ),
        ("no barrier after the layer", file, layer, "forward_one_block<Cell>(forward);", &[RACE, WRONG]),
        ("no barrier after the layer backward", file, back, "backward_one_block<Cell>(backward);", &[RACE]),
        (
            "a barrier of few",
            file,
            "__syncthreads();\n\n        float scale",
            few,
            &[(Kind::Plain, &["{at}", "divergent ", "kernel `lstm_train`"])],
        ),
        ("gradient of a bias is not written", file, "out[n] = sum;", ";", &[WRONG]),
        ("mean over rows", file, "loss / known", "loss / (float)scored", &[WRONG]),
        ("gradient of the mean over rows", common, "found.y / known;", "found.y / args.rows;", &[WRONG]),
        ("a missing target counts", common, "target != target;", "false;", &[WRONG]),
        ("no square root of the norm", common, "(sqrtf(squares) + 1e-6f)", "(squares + 1e-6f)", &[WRONG]),
        ("no correction of v", common, "sqrtf(largest), numbers.scale_v", "sqrtf(largest), 1.0f", &[WRONG]),
        ("v is not kept", common, "args.v[i] = v;", ";", &[WRONG]),
        ("no zero at a restart", common, "restart ? 0.0f : args.h[after]", "args.h[after]", &[WRONG]),
        ("no barrier in a sum", common, "= mine;\n    __syncthreads();", "= mine;", &[RACE]),
    ];
    each_is_found("whole_steps", body, &plants);
}

/// A step as a recorded graph of kernels.
#[test]
fn separate_steps() {
    let sgd = Optimizer::Sgd(Sgd { momentum: 0.9, dampening: 0.0, nesterov: true, weight_decay: 0.01 });
    let recipe = Recipe { clip: Some(0.5), optimizer: sgd, ..Recipe::default() };
    let body = |cuda: &Cuda| {
        trains(cuda, shape(CellKind::Gru, 2, 9, 2, 3), 3, &recipe);
        // so many values of y that the loss takes several blocks
        trains(cuda, shape(CellKind::Gru, 2, 9, 2, 75), 3, &Recipe { dropout: 0.3, ..recipe.clone() });
    };
    let file = "training.cu";
    let plants: [Plant; 5] = [
        ("the same step again", file, "*args.step = step + 1;", ";", &[WRONG]),
        ("loss is not divided", file, "loss / args.numbers[step].known;", "loss;", &[WRONG]),
        ("parts of one block", file, "[blockIdx.x] = sum;\n}\n\n// budget g", "[0] = sum;\n}\n\n// budget g", &[WRONG]),
        ("no momentum", "training.cuh", "args.direction[i] = direction;", ";", &[WRONG]),
        ("nothing is dropped", "dropout.cu", "args.x[i] * args.factors[i]", "args.x[i]", &[WRONG]),
    ];
    each_is_found("separate_steps", body, &plants);
}

/// Losses that want a head of another width, as one kernel and as a graph.
#[test]
fn losses() {
    let body = |cuda: &Cuda| {
        for (loss, output) in [(Loss::Gaussian, 4), (Loss::Quantiles(Levels::default()), 6)] {
            let recipe = Recipe { loss, ..Recipe::default() };
            trains(cuda, shape(CellKind::Rnn, 2, 20, 1, output), 3, &recipe);
            trains(cuda, shape(CellKind::Gru, 2, 9, 2, output), 3, &recipe);
        }
    };
    let file = "training.cuh";
    let plants: [Plant; 10] = [
        ("a missing target counts", file, "missing ? Gaussian{0.0f, 0.0f, 0.0f} :", "", &[WRONG]),
        ("s in the place of the mean", file, "gaussian(args.y[at],", "gaussian(args.y[at + args.targets],", &[WRONG]),
        ("gradients the wrong way round", file, "args.dy[at] = found.dmean", "args.dy[at] = found.ds", &[WRONG]),
        ("s of a neighbour", file, "args.y[at + args.targets]", "args.y[at + 1]", &[WRONG]),
        ("s of another sign", file, "expf(-0.5f * least)", "expf(0.5f * least)", &[WRONG]),
        ("gradient of s without the error", file, "(share - share * z * z)", "share", &[WRONG]),
        ("the wrong half of the error", file, "return {level * e, -level};", "return {level * e, level};", &[WRONG]),
        (
            "a level of the other half",
            file,
            "{(level - 1.0f) * e, 1.0f - level}",
            "{(level - 1.0f) * e, level}",
            &[WRONG],
        ),
        ("levels of columns", file, "level(args, column / args.targets)", "level(args, column % 3)", &[WRONG]),
        (
            "targets of rows as wide as y",
            file,
            "args.target[row * args.targets +",
            "args.target[row * args.elements +",
            &[PAST],
        ),
    ];
    each_is_found("losses", body, &plants);
}

/// A plant that has lost its place is not found, and says so.
#[test]
fn a_plant_without_a_place() {
    let Some(emulator) = Emulator::new(Kind::Plain) else { return };
    let body = || Check::new(shape(CellKind::Rnn, 1, 4, 1, 1), 1, 1).run(&Cuda::open(0, Images::new(false)).unwrap());
    for (part, text, said) in [
        ("never", "no such text", "EMULATOR_EDIT: rnn.cu has this 0 times, not once: no such text"),
        ("often", "static", "EMULATOR_EDIT: rnn.cu has this 8 times, not once: static"),
    ] {
        let emulator = emulator.clone().with_edit(["rnn.cu", text, ""]);
        if let Some(ran) = emulator.run_inside("kernel_mistakes::a_plant_without_a_place", part, body) {
            assert!(!ran.status.success() && ran.text.contains(said), "{}", ran.text);
        }
    }
}
