//! The command line, and the grid that it selects.

use clap::Parser;
use rnnstep::cuda::Dtype;
use rnnstep::{CellKind, Result, Shape};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// The kernels on a GPU: forward, forward and backward, complete training steps.
#[derive(Debug, Parser)]
#[command(name = "gpu")]
pub struct Grid {
    /// Append the lines to this file, too
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Begin no network after so many seconds
    #[arg(long, value_name = "N", default_value_t = 3600)]
    pub seconds: u64,
    /// Cells
    #[arg(long, value_delimiter = ',', default_value = "rnn,lstm,gru")]
    cells: Vec<String>,
    /// H
    #[arg(long, value_delimiter = ',', default_value = "32,64,128,192,256,512,1024")]
    hidden: Vec<usize>,
    /// B
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    batch: Vec<usize>,
    /// T
    #[arg(long, value_delimiter = ',', default_value = "20,100,512")]
    pub steps: Vec<usize>,
    /// Rounding of the factors of products
    #[arg(long, value_delimiter = ',', default_value = "f32,tf32,bf16,f16")]
    dtype: Vec<String>,
    /// Milliseconds that one figure may take; 0 is for trying the program itself
    #[arg(long, value_name = "MS", default_value_t = 40)]
    each: u64,
    /// Leave out the lesson and the single steps
    #[arg(long)]
    pub no_small: bool,
    /// Processes that compile kernels into the cache beforehand
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub compilers: usize,
    /// Compile only, this share of so many
    #[arg(long, hide = true, value_parser = share)]
    pub share: Option<(usize, usize)>,
    /// The flag that cargo gives to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

impl Grid {
    /// All (cell, H, B), smaller batches first: if time runs out, the largest are missing.
    pub fn networks(&self) -> Vec<(CellKind, usize, usize)> {
        let cells = super::cells().into_iter().filter(|(name, _)| self.cells.iter().any(|wanted| wanted == name));
        let cells: Vec<CellKind> = cells.map(|(_, cell)| cell).collect();
        let hidden = |batch: usize| self.hidden.iter().map(move |&hidden| (hidden, batch));
        let sizes = self.batch.iter().flat_map(|&batch| hidden(batch));
        sizes.flat_map(|(hidden, batch)| cells.iter().map(move |&cell| (cell, hidden, batch))).collect()
    }

    /// The roundings.
    pub fn dtypes(&self) -> Vec<Dtype> {
        let wanted = |dtype: &Dtype| self.dtype.iter().any(|name| name == dtype.name());
        Dtype::ALL.into_iter().filter(wanted).collect()
    }

    /// How long one figure may take.
    pub fn each(&self) -> Duration {
        Duration::from_millis(self.each)
    }

    /// Whether only the program itself is tried.
    pub fn trial(&self) -> bool {
        self.each == 0
    }
}

/// One layer and a head with one output, as large an input as the layer from 128 on.
pub fn shape(cell: CellKind, hidden: usize) -> Result<Shape> {
    Shape::new(cell, if hidden >= 128 { hidden } else { 8 }, hidden, 1, 1)
}

/// How a line names a network.
pub fn name(cell: CellKind, hidden: usize, batch: usize) -> Value {
    json!({"cell": cell.name(), "H": hidden, "B": batch})
}

fn share(text: &str) -> Result<(usize, usize), String> {
    let (part, of) = text.split_once('/').ok_or("expected K/N")?;
    let number = |text: &str| text.parse::<usize>().map_err(|error| error.to_string());
    let (part, of) = (number(part)?, number(of)?);
    if part < of { Ok((part, of)) } else { Err("expected K below N".into()) }
}
