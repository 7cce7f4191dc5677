//! Model files: safetensors with PyTorch's names, so that `model.load_state_dict(load_file(f))` works, and the way back.
//!
//! Everything that is not a weight rides in the header's `__metadata__` under one key, as JSON; a file from
//! elsewhere has none. One key, because the crate keeps metadata in a hash map: with two, the same model would not
//! always give the same bytes.

mod container;
mod infer;
mod model;
mod plain;
mod reference;
mod unseen;

use crate::cell::kind::{CellKind, Nonlinearity};
use crate::error::{Error, Result, brief, quoted};
use crate::net::layout::Layout;
use crate::net::shape::Shape;
use crate::objective::loss::Loss;
use crate::tensor::Tensor;
use crate::units::scaler::Scaler;
use crate::units::transform::TargetTransform;
use container::{Container, MAX_FILE, MAX_HEADER};
use infer::Source;
pub use model::{Loaded, load, save};
pub use reference::Reference;
use safetensors::tensor::{Dtype, View};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
pub use unseen::{End, Unseen};

/// The key of our metadata in the header.
const KEY: &str = "rnnstep";
/// The key by which a file that is not ours may say its cell; ours say it in [`Metadata::shape`].
const CELL: &str = "cell";
/// Tensors with this prefix are no weights: a checkpoint keeps the state of its optimiser in them.
const EXTRA: &str = "rnnstep.";

/// Tensors that are not a model's but a learner's begin so, among those that are no weights.
pub const LEARNER: &str = "learner.";

/// What a file says besides the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Version of the format, at most [`Metadata::VERSION`]; [`write()`] fills it in.
    pub version: u32,
    /// The network. [`write()`] fills it in; when read it was held against the tensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// How raw inputs become x.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_scaler: Option<Scaler>,
    /// How y becomes raw outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_scaler: Option<Scaler>,
    /// The form of the predicted columns, and which input each of them is; `None` for values. Files with one are of version 2,
    /// so that a program which knows nothing of forms refuses them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// What a row of y is, where it is more than a value for each predicted column. Such files are of version 2 as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<Loss>,
    /// Names of the columns that the network was trained on.
    #[serde(default)]
    pub columns: Columns,
    /// The options of the training.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "plain::deserialize")]
    pub recipe: Option<serde_json::Value>,
    /// Where the training stood: whole numbers (steps, random state) that must come back exactly.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "plain::deserialize")]
    pub position: Option<serde_json::Value>,
    /// T of the windows in training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq_len: Option<usize>,
    /// What the training left unseen, by which a forecast knows how far off it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Unseen>,
    /// An input and what the network made of it, for whoever loads the file to verify.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
}

impl Metadata {
    /// The newest version of the format.
    pub const VERSION: u32 = 2;

    /// The version that a file which says this needs.
    fn version_needed(&self) -> u32 {
        if self.target.is_some() || self.says.is_some() { 2 } else { 1 }
    }
}

/// The form of the predicted columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawTarget")]
pub struct Target {
    /// What of them the network sees and says.
    #[serde(flatten)]
    pub transform: TargetTransform,
    /// Of each, which input it is, from 0.
    pub inputs: Vec<usize>,
}

/// A [`Target`] as it comes out of a file. What it does not know is passed over, and not kept while the rest is read as
/// serde does it where structures are flattened.
#[derive(Deserialize)]
struct RawTarget {
    #[serde(rename = "as")]
    transform: String,
    season: Option<usize>,
    inputs: Vec<usize>,
}

impl TryFrom<RawTarget> for Target {
    type Error = String;

    fn try_from(RawTarget { transform, season, inputs }: RawTarget) -> Result<Self, String> {
        let transform = match (transform.as_str(), season) {
            ("value", _) => TargetTransform::Value,
            ("change", _) => TargetTransform::Change,
            ("relative-change", _) => TargetTransform::RelativeChange,
            ("seasonal-change", Some(season)) => TargetTransform::SeasonalChange { season },
            ("seasonal-change", None) => return Err("target: a seasonal change without a season".into()),
            (other, _) => return Err(format!("target: unknown form {}", quoted(other))),
        };
        Ok(Self { transform, inputs })
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            version: 1,
            shape: None,
            x_scaler: None,
            target_scaler: None,
            target: None,
            says: None,
            columns: Columns::default(),
            recipe: None,
            position: None,
            seq_len: None,
            unseen: None,
            reference: None,
        }
    }
}

/// Names of columns of a table; empty where nobody knows them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Columns {
    /// The columns that make x, in order.
    pub inputs: Vec<String>,
    /// The columns that y predicts, in order.
    pub targets: Vec<String>,
    /// The column that says when, for plots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// A model file that was read: every tensor is there and has the shape that `shape` asks for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ModelFile {
    /// The network.
    pub shape: Shape,
    /// Its tensors, PyTorch's values row after row, in the order of [`Layout::entries`].
    pub weights: Vec<Tensor>,
    /// What the file says besides; [`Metadata::default`] for one from elsewhere.
    pub metadata: Metadata,
    /// The tensors that [`write()`] was given as `extra`, by name.
    pub extra: BTreeMap<String, Tensor>,
    /// Lines that a user should see, each with file and tensor: values that are not finite, a head without a bias.
    pub warnings: Vec<String>,
}

/// Reads a model from a safetensors file, of this crate or of PyTorch (`save_file(model.state_dict(), path)`).
///
/// Cell, sizes, layers and biases are inferred from the tensors. The cell is the one that the file says, in our metadata or, of
/// another program, in a metadata entry `cell` (`save_file(..., metadata={"cell": "gru"})`), if the tensors are those of it;
/// a file that says none has the cell with as many gates. Recurrent tensors may have any one prefix
/// (`rnn.weight_ih_l0`, `weight_ih_l0`, `module.lstm.weight_ih_l0`), those of a linear head any other (`fc.weight`,
/// `out.weight`). F32, F16, BF16 and F64 are converted to f32. A head without a bias gets one of zeros. Whether an
/// Elman RNN is a relu one cannot be seen from its tensors: `nonlinearity` says so, unless the metadata does;
/// tanh if neither does. The reference in the metadata has the right lengths; whoever computes verifies it.
///
/// **Bounds.** No size in the header is believed before the bytes of the file account for it. Of a header of h bytes (8 MiB at
/// most) and a file of n, memory is 32 MiB + 24·h + 5·n at most and time h·log h + n, here and in [`load`].
///
/// # Errors
/// If the file cannot be read, is damaged, is no safetensors, holds another kind of network, or contradicts
/// its own metadata or `nonlinearity`. The message names file and tensor.
pub fn read(path: impl AsRef<Path>, nonlinearity: Option<Nonlinearity>) -> Result<ModelFile> {
    read_model(&Container::open(path.as_ref())?, nonlinearity)
}

/// The same as [`read`] for bytes in memory; `name` is what messages call them.
///
/// # Errors
/// Those of [`read`].
pub fn read_bytes(bytes: &[u8], name: &Path, nonlinearity: Option<Nonlinearity>) -> Result<ModelFile> {
    read_model(&Container::of_bytes(name, bytes)?, nonlinearity)
}

/// Reads tensors by name from any safetensors file: `required` ones must be there, `optional` ones may. The bounds are those of
/// [`read`].
/// Others are neither looked at nor converted. F32, F16, BF16 and F64 are converted to f32.
///
/// # Errors
/// If the file cannot be read or is damaged, a required tensor is missing, or one of those asked for has no values,
/// is not of floating-point numbers or has an F64 value beyond the largest f32.
pub fn read_tensors(path: impl AsRef<Path>, required: &[&str], optional: &[&str]) -> Result<BTreeMap<String, Tensor>> {
    let file = Container::open(path.as_ref())?;
    let there = optional.iter().filter(|name| file.dims(name).is_some());
    required.iter().chain(there).map(|name| read_data(&file, name)).collect()
}

/// Reads all tensors of a safetensors file, as [`read_tensors`] does.
///
/// # Errors
/// Those of [`read_tensors`].
pub fn read_all_tensors(path: impl AsRef<Path>) -> Result<BTreeMap<String, Tensor>> {
    let file = Container::open(path.as_ref())?;
    file.tensors().map(|(name, _)| read_data(&file, name)).collect()
}

/// Writes a model, whole or not at all. The same model gives the same bytes.
///
/// `weights` are the tensors of [`Layout::entries`] under their names, in any order. `extra` tensors ride along
/// under the prefix `rnnstep.`; PyTorch's strict `load_state_dict` refuses a file that has any, so they are for
/// checkpoints only. The version and the shape in the file are those of this call, whatever `metadata` says.
///
/// # Errors
/// If `weights` are not those of `shape`, a name is used twice, or the file cannot be written (folder missing or not
/// writable, disk full); a file that was there before is then still there, unchanged.
pub fn write(
    path: impl AsRef<Path>,
    shape: &Shape,
    weights: &[(String, Tensor)],
    metadata: &Metadata,
    extra: &[(String, Tensor)],
) -> Result<()> {
    let path = path.as_ref();
    let layout = Layout::new(shape);
    if weights.len() != layout.entries().len() {
        let (expected, got) = (layout.entries().len(), weights.len());
        return Err(Error::invalid(format!("{got} tensors to write, {} has {expected}", infer::describe(shape))));
    }
    for entry in layout.entries() {
        match weights.iter().find(|(name, _)| *name == entry.name) {
            Some((_, tensor)) if tensor.dims() == entry.dims => {}
            Some((name, tensor)) => {
                let (expected, got) = (&entry.dims, tensor.dims());
                return Err(Error::invalid(format!("{name}: expected shape {expected:?}, got {got:?}")));
            }
            None => return Err(Error::invalid(format!("{} is not among the tensors to write", entry.name))),
        }
    }
    if let Some(reference) = &metadata.reference {
        reference.check(shape).map_err(Error::invalid)?;
    }
    let metadata = Metadata { version: metadata.version_needed(), shape: Some(*shape), ..metadata.clone() };
    let json = serde_json::to_string(&metadata).map_err(|error| Error::file(path, error.to_string()))?;
    let weights = weights.iter().map(|(name, tensor)| (name.clone(), tensor));
    let extra = extra.iter().map(|(name, tensor)| (format!("{EXTRA}{name}"), tensor));
    write_file(path, weights.chain(extra), Some(HashMap::from([(KEY.into(), json)])))
}

/// Writes tensors as F32 into a safetensors file, whole or not at all. The same tensors give the same bytes.
///
/// # Errors
/// If a name is used twice or the file cannot be written; a file that was there before is then still there.
pub fn write_tensors(path: impl AsRef<Path>, tensors: &[(&str, &Tensor)]) -> Result<()> {
    write_file(path.as_ref(), tensors.iter().map(|&(name, tensor)| (name.to_string(), tensor)), None)
}

/// Writes text, whole or not at all.
///
/// # Errors
/// If the file cannot be written; one that was there before is then still there.
#[doc(hidden)]
pub fn write_text(path: impl AsRef<Path>, text: &str) -> Result<()> {
    crate::io::atomic::write_atomic(path.as_ref(), |out| out.write_all(text.as_bytes()))
}

/// `Ok` if a file could be written to `path` now; leaves no trace, and removes temporary files that processes which were
/// killed left there. To know before long work, not after.
///
/// # Errors
/// Those of writing it.
#[doc(hidden)]
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    crate::io::atomic::check(path.as_ref())
}

/// The file that writing to `path` replaces, links followed to their end, whether it is there or not;
/// `None` for what is written to directly: a device, a pipe, or what this process has open already (`/dev/stdout`).
///
/// # Errors
/// If `path` is a folder, or a circle of links.
#[doc(hidden)]
pub fn replaced(path: impl AsRef<Path>) -> Result<Option<PathBuf>> {
    crate::io::atomic::replaced(path.as_ref())
}

fn read_model(file: &Container, nonlinearity: Option<Nonlinearity>) -> Result<ModelFile> {
    let metadata = read_metadata(file)?;
    let said = metadata.shape.map(|shape| shape.nonlinearity);
    if let (Some(asked), Some(said)) = (nonlinearity, said)
        && asked != said
    {
        let reason =
            format!("its metadata says nonlinearity {}, not {}; leave the option out", word(said), word(asked));
        return Err(Error::file(file.path(), reason));
    }
    let says = match metadata.shape {
        Some(shape) => Some(shape.cell),
        None => read_cell(file)?,
    };
    let found = infer::infer(file, says, nonlinearity.or(said).unwrap_or_default(), EXTRA)?;
    let shape = found.shape;
    if let (None, Some(says)) = (metadata.shape, says)
        && says != shape.cell
    {
        let (says, shape) = (says.name(), infer::describe(&shape));
        return Err(Error::file(file.path(), format!("its metadata says cell {says}, but its tensors are {shape}")));
    }
    if let Some(said) = metadata.shape
        && said != shape
    {
        let (said, shape) = (infer::describe(&said), infer::describe(&shape));
        return Err(Error::file(file.path(), format!("its metadata says {said}, but its tensors are {shape}")));
    }
    if let Some(reference) = &metadata.reference {
        reference.check(&shape).map_err(|reason| Error::file(file.path(), format!("metadata: {reason}")))?;
    }
    check_columns(&metadata, &shape).map_err(|reason| Error::file(file.path(), format!("metadata: {reason}")))?;
    let mut warnings = Vec::new();
    let mut weights = Vec::with_capacity(found.sources.len());
    for source in &found.sources {
        weights.push(match source {
            Source::File(name) => {
                let (tensor, lost) = file.read(name)?;
                warn(file, name, &tensor, lost, &mut warnings);
                tensor
            }
            Source::Zeros(name) => {
                warnings.push(file.error(name, "is not there, so the head has no bias; taken as zeros").to_string());
                Tensor::zeros([shape.width_out()])
            }
        });
    }
    let mut extra = BTreeMap::new();
    for (name, _) in file.tensors() {
        if let Some(own) = name.strip_prefix(EXTRA) {
            let (tensor, lost) = file.read(name)?;
            // rows of a learner are NaN where nothing came
            if !own.starts_with(crate::model::file::LEARNER) {
                warn(file, name, &tensor, lost, &mut warnings);
            }
            extra.insert(own.to_string(), tensor);
        }
    }
    Ok(ModelFile { shape, weights, metadata, extra, warnings })
}

/// Whether there are no more names of columns than columns: they are looked up, shown and written for each.
fn check_columns(metadata: &Metadata, shape: &Shape) -> Result<(), String> {
    let each = metadata.says.unwrap_or_default().outputs(1);
    let Columns { inputs, targets, .. } = &metadata.columns;
    for (what, names, width) in [("inputs", inputs, shape.input), ("targets", targets, shape.width_out() / each)] {
        if names.len() > width {
            return Err(format!("{} names of {what} for a network of {width}", names.len()));
        }
    }
    Ok(())
}

/// The cell that a file of another program says it has.
fn read_cell(file: &Container) -> Result<Option<CellKind>> {
    let Some(word) = file.metadata(CELL) else { return Ok(None) };
    let error = |reason| Error::file(file.path(), format!("metadata {CELL:?}: {reason}"));
    word.parse().map(Some).map_err(error)
}

fn read_metadata(file: &Container) -> Result<Metadata> {
    let Some(json) = file.metadata(KEY) else { return Ok(Metadata::default()) };
    let error = |reason: String| Error::file(file.path(), format!("metadata {KEY:?}: {reason}"));
    // the version first: what a later one means by the other fields is not known here
    let version: Version = serde_json::from_str(json).map_err(|e| error(brief(e)))?;
    if !(1..=Metadata::VERSION).contains(&version.version) {
        let (found, known) = (version.version, Metadata::VERSION);
        return Err(error(format!(
            "format version {found}, but this program knows no newer than {known}; take a newer one"
        )));
    }
    serde_json::from_str(json).map_err(|e| error(brief(e)))
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn word(nonlinearity: Nonlinearity) -> &'static str {
    match nonlinearity {
        Nonlinearity::Tanh => "tanh",
        Nonlinearity::Relu => "relu",
    }
}

/// Says which values of a tensor are not finite, and whether they were in the file.
fn warn(file: &Container, name: &str, tensor: &Tensor, lost: usize, warnings: &mut Vec<String>) {
    if lost > 0 {
        let reason = format!("{lost} of its F64 values are beyond the largest f32 and became infinite");
        warnings.push(file.error(name, reason).to_string());
    }
    let not_finite = tensor.data().iter().filter(|value| !value.is_finite()).count() - lost;
    if not_finite > 0 {
        let reason = format!("{not_finite} of its {} values are not finite (NaN or infinite)", tensor.data().len());
        warnings.push(file.error(name, reason).to_string());
    }
}

fn read_data(file: &Container, name: &str) -> Result<(String, Tensor)> {
    let (tensor, lost) = file.read(name)?;
    if lost > 0 {
        return Err(file.error(name, format!("{lost} of its F64 values are beyond the largest f32, 3.4e38")));
    }
    Ok((name.to_string(), tensor))
}

/// A tensor as the `safetensors` crate wants to see it.
struct Out<'a>(&'a Tensor);

impl View for Out<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.0.dims()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            bytemuck::cast_slice(self.0.data()).into()
        } else {
            self.0.data().iter().flat_map(|value| value.to_le_bytes()).collect()
        }
    }

    fn data_len(&self) -> usize {
        size_of_val(self.0.data())
    }
}

fn write_file<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (String, &'a Tensor)>,
    metadata: Option<HashMap<String, String>>,
) -> Result<()> {
    let mut sorted = BTreeMap::new();
    for (name, tensor) in tensors {
        if sorted.contains_key(&name) {
            return Err(Error::tensor(path, name, "is given twice; a name may appear once"));
        }
        sorted.insert(name, Out(tensor));
    }
    let bytes = safetensors::serialize(sorted, metadata).map_err(|error| Error::file(path, error.to_string()))?;
    let header = bytes.first_chunk().map_or(0, |&length| u64::from_le_bytes(length));
    if header > MAX_HEADER || bytes.len() as u64 > MAX_FILE {
        let len = bytes.len();
        let reason = format!(
            "not written: {len} bytes with a header of {header} could not be read again; {MAX_FILE} and {MAX_HEADER} are the most"
        );
        return Err(Error::file(path, reason));
    }
    crate::io::atomic::write_atomic(path, |out| out.write_all(&bytes))
}
