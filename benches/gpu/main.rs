//! The kernels on a GPU, measured: passes and training steps over a grid of shapes, the products alone, the lesson,
//! single steps. Each line is a JSON object. `torch_peer.py` in this folder reads the lines, checks the answers in them
//! against PyTorch in float64, and writes the same lines for PyTorch; `report.py` makes a table of both.
//!
//! `cargo bench --bench gpu -- --help`. On a machine with a GPU and without Rust, `.ci/gpu-run` runs all three.

mod check;
mod figures;
mod grid;
mod small;
mod timing;
mod values;

use clap::Parser;
use grid::Grid;
use rnnstep::cuda::{Cuda, Images};
use rnnstep::{CellKind, Result};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{self, Write};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// The lines that are written: to the terminal, and to a file.
struct Lines {
    out: Option<File>,
    errors: usize,
}

impl Lines {
    /// Writes one line: what was measured, and for what.
    fn say(&mut self, what: &str, parts: &[&Value]) {
        let mut line = Map::new();
        line.insert("what".into(), what.into());
        for part in parts {
            line.extend(part.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        }
        let line = Value::Object(line).to_string();
        println!("{line}");
        if let Some(out) = &mut self.out
            && let Err(error) = writeln!(out, "{line}")
        {
            eprintln!("gpu: --out: {error}");
            self.errors += 1;
        }
    }

    /// Writes that something should have been measured and was not.
    fn fail(&mut self, name: &Value, why: &str) {
        self.errors += 1;
        self.say("error", &[name, &json!({"error": why})]);
    }
}

fn main() -> ExitCode {
    let grid = Grid::parse();
    match run(&grid) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(errors) => {
            eprintln!("gpu: {errors} errors; see the lines above");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("gpu: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(grid: &Grid) -> Result<usize> {
    let start = Instant::now();
    let cuda = Cuda::open(0, Images::new(true))?;
    if let Some((part, of)) = grid.share {
        return compile(grid, &cuda, part, of).map(|()| 0);
    }
    let in_words = |error: io::Error| rnnstep::Error::Invalid(format!("--out: {error}"));
    let open = |path| File::options().create(true).append(true).open(path).map_err(in_words);
    let mut lines = Lines { out: grid.out.as_ref().map(open).transpose()?, errors: 0 };
    let card = cuda.gpu().properties().clone();
    let about = json!({
        "of": "rnnstep", "version": env!("CARGO_PKG_VERSION"), "device": card.name, "arch": card.arch.to_string(),
        "multiprocessors": card.multiprocessors, "clock_mhz": card.clock_khz / 1000,
        "cuda": format!("{}.{}", card.driver.0, card.driver.1),
    });
    lines.say("about", &[&about]);
    compile_ahead(grid, &mut lines);
    if !grid.no_small {
        small::lessons(grid, &cuda, &mut lines);
        small::ticks(grid, &cuda, &mut lines);
    }
    for (cell, hidden, batch) in grid.networks() {
        if start.elapsed().as_secs() > grid.seconds {
            lines.fail(&grid::name(cell, hidden, batch), "not measured: the time is over; see --seconds");
            return Ok(lines.errors);
        }
        if let Err(error) = figures::network(grid, &cuda, [hidden, batch], cell, &mut lines) {
            lines.fail(&grid::name(cell, hidden, batch), &error.to_string());
        }
    }
    lines.say("complete", &[&json!({"seconds": start.elapsed().as_secs_f64()})]);
    Ok(lines.errors)
}

/// Loads the kernels of one share of the grid, so that they lie in the cache.
fn compile(grid: &Grid, cuda: &Cuda, part: usize, of: usize) -> Result<()> {
    let all = grid.networks().into_iter().flat_map(|network| grid.dtypes().into_iter().map(move |d| (network, d)));
    for ((cell, hidden, batch), dtype) in all.skip(part).step_by(of) {
        let steps = grid.steps.iter().copied().max().unwrap_or(1);
        figures::load(&cuda.clone().with_dtype(dtype), grid::shape(cell, hidden)?, steps, batch)?;
    }
    Ok(())
}

/// A compiler uses one thread, so several processes fill the cache of kernels before anything is measured.
fn compile_ahead(grid: &Grid, lines: &mut Lines) {
    let Ok(program) = std::env::current_exe() else { return };
    if grid.compilers < 2 {
        return;
    }
    let start = Instant::now();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let share = |part: usize| format!("--share={part}/{}", grid.compilers);
    let child = |part| Command::new(&program).args(&args).arg(share(part)).spawn();
    let children: Vec<_> = (0..grid.compilers).map(child).collect();
    let ended = children.into_iter().map(|child| child.and_then(|mut child| child.wait()));
    let failed = ended.filter(|ended| !ended.as_ref().is_ok_and(|status| status.success())).count();
    lines.say("compiled", &[&json!({"processes": grid.compilers, "seconds": start.elapsed().as_secs_f64()})]);
    if failed > 0 {
        lines.fail(&json!({}), &format!("{failed} processes that compiled kernels failed"));
    }
}

/// All cells, by name.
fn cells() -> Vec<(&'static str, CellKind)> {
    CellKind::ALL.iter().map(|&cell| (cell.name(), cell)).collect()
}
