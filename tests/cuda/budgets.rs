//! Every kernel for every architecture, compiled: no spills, and registers and shared memory within the budget that is
//! written beside the kernel. Needs NVRTC and no GPU: `RNNSTEP_GATE_NVRTC` names the folders or files of those to use,
//! with colons between them (CUDA 12 for the old architectures, 13 for the newest). `.ci/kernels` fetches them.
//! `RNNSTEP_GATE_RECORD=FILE` writes the table down; `RNNSTEP_GATE_ONLY=gru` compiles the kernels of that cell alone.
#![cfg(feature = "cuda")]

use rayon::prelude::*;
use rnnstep::cuda::image::ahead::{Order, Part};
use rnnstep::cuda::image::compile::{Program, Usage, compile_with};
use rnnstep::cuda::image::nvrtc::Nvrtc;
use rnnstep::cuda::image::sources::SOURCES;
use rnnstep::cuda::plan::{Direction, Dtype, Pass};
use rnnstep::cuda::{Arch, Frame};
use rnnstep::net::pass::Mode;
use rnnstep::{CellKind, Nonlinearity, Shape};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

/// From the Jetson Nano to the newest.
const ARCHS: [u32; 12] = [53, 62, 72, 75, 80, 86, 87, 89, 90, 100, 110, 120];

/// What a kernel may take: `// budget NAME registers 128 shared 4096`, or `registers weights+96`, where the weights are
/// those that a thread of this plan holds; with `newest +8` at its end so many registers more from sm_100 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Budget {
    with_weights: bool,
    registers: u32,
    shared: u32,
    newest: u32,
}

impl Budget {
    fn of(line: &str) -> Option<(&str, Self)> {
        let words: Vec<&str> = line.trim().strip_prefix("// budget ")?.split_whitespace().collect();
        let (name, registers, shared, newest) = match words[..] {
            [name, "registers", registers, "shared", shared] => (name, registers, shared, "0"),
            [name, "registers", registers, "shared", shared, "newest", more] => (name, registers, shared, more),
            _ => panic!("not a budget: {line}"),
        };
        let with_weights = registers.starts_with("weights+");
        let registers = registers.trim_start_matches("weights+").parse().unwrap();
        let newest = newest.parse().unwrap();
        Some((name, Self { with_weights, registers, shared: shared.parse().unwrap(), newest }))
    }

    /// That of a card of this architecture.
    fn on(self, arch: Arch) -> Self {
        let more = if arch.number() >= 100 { self.newest } else { 0 };
        Self { registers: self.registers + more, ..self }
    }

    /// What is wrong with a kernel, if anything is.
    fn exceeded(self, usage: &Usage, pass: Option<&Pass>) -> Option<String> {
        let weights = if self.with_weights { pass.map_or(0, |pass| pass.weights) } else { 0 };
        let most = (self.registers + weights).min(255);
        if usage.spill_bytes > 0 || usage.stack_bytes > 0 {
            return Some(format!("{} bytes spilled, {} bytes of stack", usage.spill_bytes, usage.stack_bytes));
        }
        if usage.registers > most {
            return Some(format!("{} registers, the budget is {most}", usage.registers));
        }
        if usage.shared_bytes > self.shared {
            return Some(format!("{} bytes of shared memory, the budget is {}", usage.shared_bytes, self.shared));
        }
        None
    }
}

/// The budgets that stand in the sources.
fn budgets() -> BTreeMap<String, Budget> {
    let mut all = BTreeMap::new();
    for (file, text) in SOURCES {
        for (name, budget) in text.lines().filter_map(Budget::of) {
            assert!(all.insert(name.to_string(), budget).is_none(), "{file}: two budgets of {name}");
        }
    }
    all
}

/// Where layers share the most weights between the fewest blocks, so that registers run out: on [`THOROUGH`] every rounding
/// is compiled in every pass that can be chosen, elsewhere one rounding of a cell as all other sizes are. Both compilers have
/// their part of these: sm_110 is for that of CUDA 13, which makes the same of sm_100.
const WIDE: usize = 512;
const THOROUGH: [u32; 3] = [90, 110, 120];

/// A few plans of each frame for every cell, every crowded one, and everything else once.
fn parts(arch: Arch) -> Vec<Part> {
    let shape = |cell, hidden| Shape::new(cell, 3, hidden, 1, 1).unwrap();
    let relu = shape(CellKind::Rnn, 32).with_nonlinearity(Nonlinearity::Relu).unwrap();
    let mut orders = vec![(relu, Dtype::F32, None), (shape(CellKind::Gru, 2000), Dtype::F32, Some(Frame::Stepwise))];
    for cell in CellKind::ALL {
        for hidden in [9, 32, 64, 100, 128, 256, 1024] {
            orders.push((shape(cell, hidden), Dtype::F32, None));
        }
        orders.push((shape(cell, 48), Dtype::F32, Some(Frame::Stepwise)));
        orders.push((shape(cell, 64), Dtype::Bf16, None));
        let one = [Dtype::Bf16, Dtype::Tf32, Dtype::F16][cell as usize % 3];
        let thorough = THOROUGH.contains(&arch.number());
        orders.extend(Dtype::ALL.into_iter().filter(|&d| thorough || d == one).map(|d| (shape(cell, WIDE), d, None)));
    }
    orders.push((shape(CellKind::Lstm, 1024), Dtype::Bf16, None));
    let mut seen = BTreeSet::new();
    let mut parts = vec![];
    for (shape, dtype, frame) in orders {
        let order = Order { shape, batch: 64, dtype, frame, purpose: Mode::Training };
        let mut all = order.parts(arch).unwrap();
        // of the passes in one direction those with the fewest and the most sequences, by plain FMA and by tensor cores
        let key = |part: &Part| part.pass.map(|(direction, pass)| (direction as u8, pass.tensor));
        let ends = |all: &[Part]| -> Vec<usize> {
            let keys: BTreeSet<_> = all.iter().filter_map(key).collect();
            let of = |wanted| all.iter().enumerate().filter(move |(_, part)| key(part) == Some(wanted)).map(|(i, _)| i);
            keys.into_iter().flat_map(|wanted| [of(wanted).next(), of(wanted).next_back()]).flatten().collect()
        };
        let kept = ends(&all);
        let wide = shape.hidden() == WIDE && THOROUGH.contains(&arch.number());
        let mut index = 0;
        all.retain(|part| {
            index += 1;
            part.pass.is_none() || wide || kept.contains(&(index - 1))
        });
        parts.extend(all.into_iter().filter(|part| seen.insert(part.program.digest())));
    }
    parts
}

struct Row {
    arch: Arch,
    usage: Usage,
    pass: Option<Pass>,
    about: String,
    bytes: usize,
    seconds: f64,
}

#[test]
fn every_kernel_on_every_architecture() {
    let Some(list) = std::env::var_os("RNNSTEP_GATE_NVRTC") else {
        return println!("SKIPPED: RNNSTEP_GATE_NVRTC names no NVRTC to compile with; .ci/kernels does");
    };
    let compilers: Vec<Nvrtc> = std::env::split_paths(&list).map(|path| Nvrtc::open(&path).unwrap()).collect();
    let (mut budgets, start) = (budgets(), Instant::now());
    let only = std::env::var("RNNSTEP_GATE_ONLY").ok();
    let wanted =
        |program: &Program| only.as_ref().is_none_or(|cell| program.to_string().starts_with(&format!("{cell}.cu")));
    budgets.retain(|kernel, _| only.as_ref().is_none_or(|cell| kernel.starts_with(&format!("{cell}_"))));
    let jobs: Vec<(&Nvrtc, Arch, Part)> = ARCHS
        .iter()
        .flat_map(|&arch| {
            let arch = Arch::new(arch / 10, arch % 10);
            let compiler = compilers.iter().find(|nvrtc| nvrtc.archs().contains(&arch));
            let compiler = compiler.unwrap_or_else(|| panic!("no NVRTC of RNNSTEP_GATE_NVRTC knows {arch}"));
            parts(arch).into_iter().filter(|part| wanted(&part.program)).map(move |part| (compiler, arch, part))
        })
        .collect();
    let wrong = Mutex::new(vec![]);
    let mut rows: Vec<Row> = jobs
        .par_iter()
        .flat_map_iter(|(compiler, arch, part)| {
            let image = compile_with(compiler, &part.program, *arch, true).unwrap_or_else(|error| panic!("{error}"));
            assert!(!image.usage.is_empty(), "{}: the assembler said nothing", part.program);
            let pass = part.pass.map(|(_, pass)| pass);
            for usage in &image.usage {
                let reason = match budgets.get(&usage.kernel) {
                    Some(budget) => budget.on(*arch).exceeded(usage, pass.as_ref()),
                    None => Some("no budget is written beside it".into()),
                };
                if let Some(reason) = reason {
                    wrong.lock().unwrap().push(format!("{arch} {} {}: {reason}", usage.kernel, part.program));
                }
            }
            let (arch, bytes, seconds) = (*arch, image.cubin.len(), image.seconds);
            let about = part.program.to_string();
            let rows = image.usage.into_iter();
            rows.map(move |usage| Row { arch, usage, pass, about: about.clone(), bytes, seconds })
        })
        .collect();
    rows.sort_by(|a, b| (&a.usage.kernel, &a.about, a.arch).cmp(&(&b.usage.kernel, &b.about, b.arch)));
    let kernels: BTreeSet<&String> = rows.iter().map(|row| &row.usage.kernel).collect();
    let idle: Vec<&String> = budgets.keys().filter(|name| !kernels.contains(name)).collect();
    let table = table(&rows, &compilers);
    println!("{table}\n{}", summary(&rows));
    println!("{} kernels of {} programs in {:.0} s", rows.len(), jobs.len(), start.elapsed().as_secs_f64());
    if let Some(path) = std::env::var_os("RNNSTEP_GATE_RECORD") {
        std::fs::write(Path::new(&path), table).unwrap();
    }
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    assert!(idle.is_empty(), "budgets of kernels that were not compiled: {idle:?}");
}

/// One line for each kernel: the most over all plans and architectures.
fn summary(rows: &[Row]) -> String {
    let mut most: BTreeMap<&str, (u32, i64, u32)> = BTreeMap::new();
    for row in rows {
        let entry = most.entry(&row.usage.kernel).or_insert((0, i64::MIN, 0));
        entry.0 = entry.0.max(row.usage.registers);
        let weights = row.pass.map_or(0, |pass| pass.weights);
        entry.1 = entry.1.max(i64::from(row.usage.registers) - i64::from(weights));
        entry.2 = entry.2.max(row.usage.shared_bytes);
    }
    let mut text = String::from("kernel                 most registers, beside weights, shared bytes\n");
    for (kernel, (registers, beside, shared)) in most {
        let _ = writeln!(text, "{kernel:<22} {registers:>14} {beside:>15} {shared:>13}");
    }
    text
}

fn table(rows: &[Row], compilers: &[Nvrtc]) -> String {
    let versions: Vec<String> =
        compilers.iter().map(|nvrtc| format!("{}.{}", nvrtc.version().0, nvrtc.version().1)).collect();
    let mut text = format!(
        "# Kernels as compiled: registers of a thread, static shared bytes of a block, bytes of the image, milliseconds\n\
         # NVRTC {}; written by tests/cuda/budgets.rs. Nothing spills.\n\
         # kernel and constants; then for each architecture registers/shared/bytes/ms\n",
        versions.join(" and ")
    );
    let mut last = String::new();
    for row in rows {
        let name = format!("{} {}", row.usage.kernel, row.about);
        if name != last {
            let _ = write!(text, "{}{name}", if last.is_empty() { "" } else { "\n" });
            last = name;
        }
        let Usage { registers, shared_bytes, .. } = row.usage;
        let _ = write!(text, "\n  {} {registers}/{shared_bytes}/{}/{:.0}", row.arch, row.bytes, row.seconds * 1e3);
    }
    text.push('\n');
    text
}

#[test]
fn a_budget_that_is_too_small_is_found() {
    let usage = Usage { kernel: "k".into(), registers: 100, shared_bytes: 512, ..Usage::default() };
    let (name, budget) = Budget::of("// budget k registers 100 shared 512").unwrap();
    assert_eq!((name, budget.exceeded(&usage, None)), ("k", None));
    let tight = |registers, shared| {
        Budget { with_weights: false, registers, shared, newest: 0 }.exceeded(&usage, None).unwrap()
    };
    assert_eq!(tight(99, 512), "100 registers, the budget is 99");
    assert_eq!(tight(100, 511), "512 bytes of shared memory, the budget is 511");
    let spilled = Usage { spill_bytes: 4, ..usage.clone() };
    assert!(budget.exceeded(&spilled, None).unwrap().contains("4 bytes spilled"));
    let (_, newest) = Budget::of("// budget k registers 92 shared 512 newest +8").unwrap();
    assert_eq!(newest.on(Arch::new(9, 0)).exceeded(&usage, None).unwrap(), "100 registers, the budget is 92");
    assert_eq!(newest.on(Arch::new(10, 0)).exceeded(&usage, None), None);
    let (_, relative) = Budget::of("// budget k registers weights+40 shared 512").unwrap();
    let order = Order {
        shape: Shape::new(CellKind::Lstm, 1, 64, 1, 1).unwrap(),
        batch: 1,
        dtype: Dtype::F32,
        frame: None,
        purpose: Mode::Inference,
    };
    let parts = order.parts(Arch::new(9, 0)).unwrap();
    let (direction, pass) = parts[0].pass.unwrap();
    assert_eq!((direction, pass.weights), (Direction::Forward, 64));
    assert_eq!(relative.exceeded(&usage, Some(&pass)), None);
    assert!(relative.exceeded(&Usage { registers: 105, ..usage }, Some(&pass)).is_some());
}

/// All that a card of this architecture may be given for 512 units is compiled: no pass is left out because it is like another.
#[test]
fn every_pass_of_a_wide_layer_is_gated() {
    for arch in THOROUGH.map(|arch| Arch::new(arch / 10, arch % 10)) {
        let gated: BTreeSet<_> = parts(arch).iter().map(|part| part.program.digest()).collect();
        for (cell, dtype) in CellKind::ALL.into_iter().flat_map(|cell| Dtype::ALL.map(|dtype| (cell, dtype))) {
            let shape = Shape::new(cell, 3, WIDE, 1, 1).unwrap();
            let order = Order { shape, batch: 64, dtype, frame: None, purpose: Mode::Training };
            for part in order.parts(arch).unwrap() {
                assert!(gated.contains(&part.program.digest()), "{arch}: {} is not compiled", part.program);
            }
        }
    }
}

/// A kernel that spills is seen to: the compiler's log is read rightly.
#[test]
fn a_kernel_that_spills_is_found() {
    let Some(list) = std::env::var_os("RNNSTEP_GATE_NVRTC") else {
        return println!("SKIPPED: RNNSTEP_GATE_NVRTC names no NVRTC to compile with; .ci/kernels does");
    };
    let text = r#"
        struct Args { float* x; };
        extern "C" __global__ void __launch_bounds__(1024) greedy(Args args) {
            float kept[200];
            #pragma unroll
            for (int i = 0; i < 200; ++i) kept[i] = args.x[i * 1024 + threadIdx.x];
            __syncthreads();
            for (int turn = 0; turn < 9; ++turn)
                #pragma unroll
                for (int i = 0; i < 200; ++i) kept[i] = kept[i] * kept[(i * 7 + 3) % 200] + turn;
            #pragma unroll
            for (int i = 0; i < 200; ++i) args.x[i * 1024 + threadIdx.x] = kept[i];
        }"#;
    for path in std::env::split_paths(&list) {
        let nvrtc = Nvrtc::open(&path).unwrap();
        let image = compile_with(&nvrtc, &Program::from_text("greedy.cu", text), nvrtc.archs()[0], true).unwrap();
        let budget = Budget { with_weights: false, registers: 255, shared: 0, newest: 0 };
        let found = budget.exceeded(&image.usage[0], None);
        assert!(found.as_ref().is_some_and(|reason| reason.contains("spilled")), "{found:?} {:?}", image.usage);
    }
}
