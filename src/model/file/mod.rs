//! Model files: safetensors with PyTorch's names, so that `model.load_state_dict(load_file(f))` works. Files of PyTorch
//! can be read too. A model that comes from one keeps the names of its tensors, so that they go back into the same
//! module. The names are in the model's [`Layout`]; the header does not repeat them.
//!
//! Everything that is not a weight is JSON in the header's `__metadata__`, under one key; files of other programs do
//! not have it. It is one key because the crate keeps metadata in a hash map: with two, the same model would not always
//! give the same bytes.

mod container;
mod infer;
mod model;
mod options;
mod plain;
mod reference;
mod role;
mod unseen;

use crate::cell::kind::CellKind;
use crate::error::{Error, Result, brief, quoted};
use crate::net::layout::Layout;
use crate::net::shape::Shape;
use crate::objective::loss::Loss;
use crate::tensor::{Array, Stored, Tensor, Value};
use crate::units::autoregression::Autoregression;
use crate::units::bounds::Bounds;
use crate::units::scaler::Scaler;
use crate::units::transform::{Fitted, TargetTransform};
use container::{Container, MAX_FILE, MAX_HEADER};
use infer::{Found, Known};
pub use model::{Loaded, load, save};
pub use options::{HeadChoice, ReadOptions};
pub use reference::Reference;
use safetensors::tensor::{Dtype, View};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
pub use unseen::{End, Unseen};

/// The key of our metadata in the header.
const KEY: &str = "rnnstep";
/// The key under which a file of another program can name its cell; our files have it in [`Metadata::shape`].
const CELL: &str = "cell";
/// Tensors with this prefix are not weights: a checkpoint keeps the state of its optimiser in them.
const EXTRA: &str = "rnnstep.";

/// The names of a learner's tensors begin with this, after the prefix of tensors that are not weights.
pub const LEARNER: &str = "learner.";

/// What a file holds besides the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Version of the format, at most [`Metadata::VERSION`]; [`write()`] fills it in.
    pub version: u32,
    /// The network. [`write()`] fills it in; [`read`] compares it with the tensors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// How raw inputs become x.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_scaler: Option<Scaler>,
    /// How y becomes raw outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_scaler: Option<Scaler>,
    /// The target transform of the predicted columns, and the number of the input that each of them is; `None` for
    /// values. Files with a target transform have version 2, and those with autoregressions version 4, so that an older
    /// program, which would ignore it, refuses them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The loss that decides what a row of y means, if that is more than a value for each predicted column. Such files
    /// have version 2 too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<Loss>,
    /// The bounds of the predicted columns; empty if there are none. Files with bounds have version 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<Bounds>,
    /// Names of the columns that the network was trained on.
    #[serde(default)]
    pub columns: Columns,
    /// The options of the training.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "plain::deserialize")]
    pub recipe: Option<serde_json::Value>,
    /// The progress of a training or a learner: numbers that must be read back exactly.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "plain::deserialize")]
    pub position: Option<serde_json::Value>,
    /// T of the windows in training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq_len: Option<usize>,
    /// The end of the training rows and errors on later rows, from which prediction intervals are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Unseen>,
    /// An input and the network's output for it, by which a program that loads the file can check itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
}

impl Metadata {
    /// The newest version of the format.
    pub const VERSION: u32 = 5;

    /// Whether there is nothing that is meant in raw units.
    fn needs_no_scalers(&self) -> bool {
        self.target.is_none() && self.bounds.is_empty() && self.columns.masks.is_empty()
    }

    /// The version that a file with this metadata needs.
    fn version_needed(&self) -> u32 {
        let is_residual = |target: &Target| matches!(target.fitted.transform(), TargetTransform::Residual { .. });
        match self {
            _ if !self.columns.masks.is_empty() => 5,
            _ if self.target.as_ref().is_some_and(is_residual) => 4,
            _ if !self.bounds.is_empty() => 3,
            _ if self.target.is_some() || self.says.is_some() => 2,
            _ => 1,
        }
    }
}

/// The target transform of the predicted columns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawTarget", into = "RawTarget")]
pub struct Target {
    /// The target transform.
    pub fitted: Fitted,
    /// For each predicted column, the number of the input that it is, from 0.
    pub inputs: Vec<usize>,
}

/// The fields of a [`Target`] in a file.
#[derive(Serialize, Deserialize)]
struct RawTarget {
    #[serde(rename = "as")]
    transform: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    season: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    difference: Option<usize>,
    /// One for each predicted column, if the network predicts residuals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    autoregressions: Vec<Autoregression>,
    inputs: Vec<usize>,
}

impl TryFrom<RawTarget> for Target {
    type Error = String;

    fn try_from(raw: RawTarget) -> Result<Self, String> {
        let RawTarget { transform, season, difference, autoregressions, inputs } = raw;
        let fitted = match (&*transform, season) {
            ("value", _) => TargetTransform::Value.into(),
            ("change", _) => TargetTransform::Change.into(),
            ("relative-change", _) => TargetTransform::RelativeChange.into(),
            ("seasonal-change", Some(season)) => TargetTransform::SeasonalChange { season }.into(),
            ("seasonal-change", None) => return Err("target: a seasonal change needs a season".into()),
            ("residual", _) => Fitted::residual(autoregressions, difference.unwrap_or(0)),
            (other, _) => return Err(format!("target: unknown target transform {}", quoted(other))),
        };
        Ok(Self { fitted, inputs })
    }
}

impl From<Target> for RawTarget {
    fn from(Target { fitted, inputs }: Target) -> Self {
        let transform = fitted.transform().name().into();
        let (season, difference) = match fitted.transform() {
            TargetTransform::SeasonalChange { season } => (Some(season), None),
            TargetTransform::Residual { difference, .. } => (None, Some(difference)),
            _ => (None, None),
        };
        Self { transform, season, difference, autoregressions: fitted.autoregressions().to_vec(), inputs }
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
            bounds: Vec::new(),
            columns: Columns::default(),
            recipe: None,
            position: None,
            seq_len: None,
            unseen: None,
            reference: None,
        }
    }
}

/// Names of the columns of a table; empty if they are not known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Columns {
    /// The input columns, in order.
    pub inputs: Vec<String>,
    /// The target columns, in order.
    pub targets: Vec<String>,
    /// The time column, for plots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// What stood before the decimals in the table, if it was not a point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<char>,
    /// The inputs that have a mask, by their place in `inputs`, from 0: see [`Units::with_masks`]. The masks are further
    /// inputs of the network, without a name. Files with masks have version 5.
    ///
    /// [`Units::with_masks`]: crate::units::Units::with_masks
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masks: Vec<usize>,
}

/// The content of a model file. Every tensor is there and has the shape that `shape` needs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ModelFile {
    /// The network.
    pub shape: Shape,
    /// The table of its tensors, under the names that they have in the file.
    pub layout: Layout,
    /// Its tensors, PyTorch's values row after row, in the order of [`Layout::entries`].
    pub weights: Vec<Tensor>,
    /// The metadata; [`Metadata::default`] for a file of another program.
    pub metadata: Metadata,
    /// The tensors that [`write()`] was given as `extra`, by name.
    pub extra: BTreeMap<String, Array>,
    /// Warnings for the user, one line each, with file and tensor: values that are not finite, a head without a bias,
    /// tensors that were left out.
    pub warnings: Vec<String>,
    /// What a file of another program does not say and was assumed, one line each.
    pub assumed: Vec<String>,
}

/// Reads a model from a safetensors file, of this crate or of PyTorch (`save_file(model.state_dict(), path)`).
///
/// Cell, sizes, layers and biases are inferred from the tensors. If the file names a cell and the tensors fit it, it is
/// that cell. Our files name it in the metadata; files of another program can name it in a metadata entry `cell`
/// (`save_file(..., metadata={"cell": "gru"})`). Otherwise it is the cell with as many gates. All recurrent tensors may
/// have one prefix (`rnn.weight_ih_l0`, `weight_ih_l0`, `module.lstm.weight_ih_l0`), and those of a linear head another
/// one (`fc.weight`, `out.weight`). F32, F16, BF16 and F64 are converted to f32. A head without a bias gets a bias of
/// zeros, which is not written again while it is zero. The tensors of an Elman RNN do not show whether it has relu;
/// this is taken from the metadata, or else from `options`, or else it is tanh. The lengths of the reference in the
/// metadata are checked here, its values are checked by [`load`].
///
/// A linear layer of another program is the head if its weight `[O, H]` fits. If the weight would fit in front of the
/// recurrent layers or beside them as well (O = I or H = I), its name has to say that it is the head: `fc`, `out`,
/// `linear`, `decoder` and such words. Every other layer is refused by name, unless `options` leave it out.
///
/// **Bounds.** No size in the header is trusted before it is compared with the length of the file. For a header of h
/// bytes (8 MiB at most) and a file of n bytes, memory is at most 32 MiB + 24·h + 5·n, and time is h·log h + n, here
/// and in [`load`].
///
/// # Errors
/// If the file cannot be read, is damaged, is not safetensors, holds another kind of network, or contradicts
/// its own metadata or `options`. The message names file and tensor.
pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<ModelFile> {
    read_model(&Container::open(path.as_ref())?, options)
}

/// The same as [`read`] for bytes in memory; `name` is their name in messages.
///
/// # Errors
/// Those of [`read`].
pub fn read_bytes(bytes: &[u8], name: &Path, options: &ReadOptions) -> Result<ModelFile> {
    read_model(&Container::of_bytes(name, bytes)?, options)
}

/// Reads tensors by name from any safetensors file: `required` ones must be there, `optional` ones may be missing.
/// Other tensors are not read. F32, F16, BF16 and F64 are converted to `V`, f32 or f64. The bounds are those of [`read`].
///
/// # Errors
/// If the file cannot be read or is damaged, a required tensor is missing, or a tensor that is read has no values,
/// does not hold floating-point numbers, or has a value beyond the largest `V`.
pub fn read_tensors<V: Value>(
    path: impl AsRef<Path>,
    required: &[&str],
    optional: &[&str],
) -> Result<BTreeMap<String, Tensor<V>>> {
    let file = Container::open(path.as_ref())?;
    let there = optional.iter().filter(|name| file.dims(name).is_some());
    required.iter().chain(there).map(|name| read_data(&file, name)).collect()
}

/// Reads one tensor by name from any safetensors file: as f64 if it is stored so, as f32 otherwise.
///
/// # Errors
/// Those of [`read_tensors`].
pub fn read_tensor(path: impl AsRef<Path>, name: &str) -> Result<Array> {
    read_array(&Container::open(path.as_ref())?, name)
}

/// Reads all tensors of a safetensors file, as [`read_tensors`] does.
///
/// # Errors
/// Those of [`read_tensors`].
pub fn read_all_tensors<V: Value>(path: impl AsRef<Path>) -> Result<BTreeMap<String, Tensor<V>>> {
    let file = Container::open(path.as_ref())?;
    file.tensors().map(|(name, _)| read_data(&file, name)).collect()
}

/// Writes a model, whole or not at all. The same model gives the same bytes.
///
/// `weights` are the tensors of [`Layout::entries`] under their names, in any order. `extra` tensors are written under
/// the prefix `rnnstep.`. PyTorch's strict `load_state_dict` refuses a file that has any, so they are for checkpoints
/// only. The version and the shape in `metadata` are replaced by those of this call.
///
/// # Errors
/// If `weights` are not those of `shape`, a name is used twice, or the file cannot be written (folder missing or not
/// writable, disk full). An earlier file is then unchanged.
pub fn write(
    path: impl AsRef<Path>,
    shape: &Shape,
    weights: &[(String, Tensor)],
    metadata: &Metadata,
    extra: &[(String, Array)],
) -> Result<()> {
    write_layout(path.as_ref(), shape, &Layout::new(shape), weights, metadata, extra)
}

/// The same under the names of `layout`, a table of `shape`. Tensors that are optional may be missing.
fn write_layout(
    path: &Path,
    shape: &Shape,
    layout: &Layout,
    weights: &[(String, Tensor)],
    metadata: &Metadata,
    extra: &[(String, Array)],
) -> Result<()> {
    let mut expected = 0;
    for entry in layout.entries() {
        match weights.iter().find(|(name, _)| *name == entry.name) {
            Some((_, tensor)) if tensor.dims() == entry.dims => expected += 1,
            Some((name, tensor)) => {
                let (expected, got) = (&entry.dims, tensor.dims());
                return Err(Error::invalid(format!("{name}: expected shape {expected:?}, got {got:?}")));
            }
            None if entry.optional => {}
            None => return Err(Error::invalid(format!("{} is not among the tensors to write", entry.name))),
        }
    }
    if weights.len() != expected {
        return Err(Error::invalid(format!("{} tensors to write, {shape} has {expected}", weights.len())));
    }
    if let Some(reference) = &metadata.reference {
        reference.check(shape).map_err(Error::invalid)?;
    }
    let metadata = Metadata { version: metadata.version_needed(), shape: Some(*shape), ..metadata.clone() };
    let json = serde_json::to_string(&metadata).map_err(|error| Error::file(path, error.to_string()))?;
    let weights = weights.iter().map(|(name, tensor)| (name.clone(), tensor as &dyn Stored));
    let extra = extra.iter().map(|(name, tensor)| (format!("{EXTRA}{name}"), tensor as &dyn Stored));
    write_file(path, weights.chain(extra), Some(HashMap::from([(KEY.into(), json)])))
}

/// Writes tensors into a safetensors file, as F32 or F64 as they are, whole or not at all. The same tensors give the
/// same bytes.
///
/// # Errors
/// If a name is used twice or the file cannot be written. An earlier file is then unchanged.
pub fn write_tensors(path: impl AsRef<Path>, tensors: &[(&str, &dyn Stored)]) -> Result<()> {
    write_file(path.as_ref(), tensors.iter().map(|&(name, tensor)| (name.to_string(), tensor)), None)
}

/// Writes text, whole or not at all.
///
/// # Errors
/// If the file cannot be written. An earlier file is then unchanged.
#[doc(hidden)]
pub fn write_text(path: impl AsRef<Path>, text: &str) -> Result<()> {
    crate::io::atomic::write_atomic(path.as_ref(), |out| out.write_all(text.as_bytes()))
}

/// `Ok` if a file could be written to `path` now. It is for a check before long work. It leaves no file, and removes
/// temporary files of processes that were killed there.
///
/// # Errors
/// Those of writing it.
#[doc(hidden)]
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    crate::io::atomic::check(path.as_ref())
}

/// The file that writing to `path` replaces, after all links are followed, whether it exists or not. `None` if `path`
/// is written to directly: a device, a pipe, or a file that this process has open (`/dev/stdout`).
///
/// # Errors
/// If `path` is a folder, or a loop of links.
#[doc(hidden)]
pub fn replaced(path: impl AsRef<Path>) -> Result<Option<PathBuf>> {
    crate::io::atomic::replaced(path.as_ref())
}

fn read_model(file: &Container, options: &ReadOptions) -> Result<ModelFile> {
    let metadata = read_metadata(file)?;
    let found = read_network(file, &metadata, options)?;
    let shape = found.shape;
    if let Some(reference) = &metadata.reference {
        reference.check(&shape).map_err(|reason| Error::file(file.path(), format!("metadata: {reason}")))?;
    }
    check_columns(&metadata, &shape).map_err(|reason| Error::file(file.path(), format!("metadata: {reason}")))?;
    let (mut warnings, mut assumed) = (Vec::from_iter(found.left_out), found.assumed);
    let mut weights = Vec::with_capacity(found.layout.entries().len());
    for entry in found.layout.entries() {
        let name = &entry.name;
        if entry.optional {
            let reason = "is not there, so the head has no bias; it is taken as zeros, and will be written only if \
                          training changes it";
            warnings.push(file.error(name, reason).to_string());
            assumed.push(format!("{} is zeros, because it is not there", quoted(name)));
            weights.push(Tensor::zeros(entry.dims.clone()));
            continue;
        }
        let (tensor, lost) = file.read(name)?;
        warn(file, name, tensor.data(), lost, &mut warnings);
        weights.push(tensor);
    }
    let mut extra = BTreeMap::new();
    for (name, _) in file.tensors() {
        if let Some(own) = name.strip_prefix(EXTRA) {
            let array = read_array(file, name)?;
            // rows of a learner are NaN where actual values are unknown
            if !own.starts_with(LEARNER) {
                match &array {
                    Array::F32(tensor) => warn(file, name, tensor.data(), 0, &mut warnings),
                    Array::F64(tensor) => warn(file, name, tensor.data(), 0, &mut warnings),
                }
            }
            extra.insert(own.to_string(), array);
        }
    }
    Ok(ModelFile { shape, layout: found.layout, weights, metadata, extra, warnings, assumed })
}

/// The network of a file, which neither its metadata nor `options` contradict.
fn read_network(file: &Container, metadata: &Metadata, options: &ReadOptions) -> Result<Found> {
    let wrong = |reason: String| Err(Error::file(file.path(), reason));
    let stored = metadata.shape.map(|shape| shape.nonlinearity);
    if let (Some(asked), Some(stored)) = (options.nonlinearity, stored)
        && asked != stored
    {
        return wrong(format!("its metadata says nonlinearity {stored}, not {asked}; leave the option out"));
    }
    let cell = match metadata.shape {
        Some(shape) => Some(shape.cell),
        None => read_cell(file)?,
    };
    let nonlinearity = options.nonlinearity.or(stored);
    let found = infer::infer(file, &Known { options, ours: metadata.shape.is_some(), cell, nonlinearity }, EXTRA)?;
    let shape = found.shape;
    match (metadata.shape, cell) {
        (Some(stored), _) if stored.output.is_some() && options.head == Some(HeadChoice::None) => {
            wrong(format!("its metadata says {stored}, which has a head; leave --head out"))
        }
        (Some(stored), _) if stored != shape => {
            wrong(format!("its metadata says {stored}, but its tensors are {shape}"))
        }
        (None, Some(cell)) if shape.cell() != cell => {
            wrong(format!("its metadata says cell {cell}, but its tensors are {shape}"))
        }
        _ => Ok(found),
    }
}

/// Checks that there are not more column names than columns. Too many would make later lookups and messages slow.
fn check_columns(metadata: &Metadata, shape: &Shape) -> Result<(), String> {
    let each = metadata.says.unwrap_or_default().outputs(1);
    if metadata.bounds.len() > shape.width_out() {
        return Err(format!("there are {} bounds, but the network has {}", metadata.bounds.len(), shape.width_out()));
    }
    let Columns { inputs, targets, .. } = &metadata.columns;
    for (what, names, width) in [("inputs", inputs, shape.input), ("targets", targets, shape.width_out() / each)] {
        if names.len() > width {
            return Err(format!("there are {} names of {what}, but the network has {width}", names.len()));
        }
    }
    Ok(())
}

/// The cell that a file of another program names.
fn read_cell(file: &Container) -> Result<Option<CellKind>> {
    let Some(word) = file.metadata(CELL) else { return Ok(None) };
    let error = |reason| Error::file(file.path(), format!("metadata {CELL:?}: {reason}"));
    word.parse().map(Some).map_err(error)
}

fn read_metadata(file: &Container) -> Result<Metadata> {
    let Some(json) = file.metadata(KEY) else { return Ok(Metadata::default()) };
    let error = |reason: String| Error::file(file.path(), format!("metadata {KEY:?}: {reason}"));
    // the version first, because a later version may give the other fields another meaning
    let version: Version = serde_json::from_str(json).map_err(|e| error(brief(e)))?;
    if !(1..=Metadata::VERSION).contains(&version.version) {
        let (found, known) = (version.version, Metadata::VERSION);
        return Err(error(format!(
            "format version {found}, but this program knows only up to {known}; take a newer program"
        )));
    }
    serde_json::from_str(json).map_err(|e| error(brief(e)))
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Adds warnings about values of a tensor that are not finite: those that are so in the file, and those that became so.
fn warn<V: Value>(file: &Container, name: &str, values: &[V], lost: usize, warnings: &mut Vec<String>) {
    if lost > 0 {
        let reason = format!("{lost} of its F64 values are beyond the largest f32 and became infinite");
        warnings.push(file.error(name, reason).to_string());
    }
    let not_finite = values.iter().filter(|value| !value.is_finite()).count() - lost;
    if not_finite > 0 {
        let reason = format!("{not_finite} of its {} values are not finite (NaN or infinite)", values.len());
        warnings.push(file.error(name, reason).to_string());
    }
}

fn read_data<V: Value>(file: &Container, name: &str) -> Result<(String, Tensor<V>)> {
    let (tensor, lost) = file.read(name)?;
    if lost > 0 {
        return Err(file.error(name, format!("{lost} of its F64 values are beyond the largest f32, 3.4e38")));
    }
    Ok((name.to_string(), tensor))
}

/// A tensor that is not a weight: of f64 if it is stored so, and of f32 otherwise. So no value is too large.
fn read_array(file: &Container, name: &str) -> Result<Array> {
    if file.is_f64(name) { Ok(Array::F64(file.read(name)?.0)) } else { Ok(Array::F32(file.read(name)?.0)) }
}

/// A tensor as the `safetensors` crate needs it.
struct Out<'a>(&'a dyn Stored);

impl View for Out<'_> {
    fn dtype(&self) -> Dtype {
        if self.0.width() == size_of::<f64>() { Dtype::F64 } else { Dtype::F32 }
    }

    fn shape(&self) -> &[usize] {
        self.0.dims()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.0.bytes()
    }

    fn data_len(&self) -> usize {
        self.0.dims().iter().product::<usize>() * self.0.width()
    }
}

fn write_file<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (String, &'a dyn Stored)>,
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
