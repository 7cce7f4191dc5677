//! Where the networks are as ONNX files, and the names that `onnx_files.py`, which writes them, gives to inputs and
//! outputs: `x` and the states are inputs, `y` and the new states are outputs.

use crate::nets::Net;
use crate::peer::Result;
use std::env;
use std::path::{Path, PathBuf};

/// The file of `net` in the folder that `PEERS_DATA` names.
pub fn file(net: &Net) -> Result<PathBuf> {
    let folder = env::var_os("PEERS_DATA").ok_or("PEERS_DATA is not set: the folder of the ONNX files")?;
    let path = Path::new(&folder).join(format!("{}.onnx", net.name()));
    if path.is_file() { Ok(path) } else { Err(format!("{}.onnx is not in PEERS_DATA", net.name()).into()) }
}

/// The names of the states, in their order: h0, c0, h1, c1; going out they have `_next` behind them.
pub fn states(net: &Net) -> impl Iterator<Item = String> {
    let kinds: &[&str] = if net.shape().cell().has_c() { &["h", "c"] } else { &["h"] };
    (0..net.shape().layers()).flat_map(move |layer| kinds.iter().map(move |kind| format!("{kind}{layer}")))
}
