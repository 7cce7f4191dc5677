//! Infers the network that a set of PyTorch tensors belongs to: cell, sizes, layers, biases and head. It needs only
//! names and shapes, unless the shapes fit several cells; then it also needs the cell that the file names.

use super::container::{Container, shape as shown};
use super::options::{HeadChoice, ReadOptions, with_dot};
use super::role::Role;
use crate::cell::kind::{CellKind, Nonlinearity};
use crate::error::{self, Error, Result, listed, quoted};
use crate::net::layout::Layout;
use crate::net::shape::Shape;
use std::collections::BTreeMap;

/// The end of a message about any other tensor.
const SUPPORTED: &str = "supported are the tensors of one recurrent network (nn.RNN, nn.LSTM, nn.GRU, or a minimal \
                         gated unit, MGU, with such names) and of at most one nn.Linear";

/// The network in a file.
pub(super) struct Found {
    pub shape: Shape,
    /// Its table, under the names of the file. Only an optional tensor may be missing there.
    pub layout: Layout,
    /// A line that names the tensors that were left out, because others were chosen.
    pub left_out: Option<String>,
    /// What was assumed, because neither the file nor the caller says it; one line each.
    pub assumed: Vec<String>,
}

/// What is known of a network besides its tensors.
pub(super) struct Known<'a> {
    pub options: &'a ReadOptions,
    /// Whether the file is of this crate: its linear layer is the head then, whatever its name is.
    pub ours: bool,
    /// The cell that the file names.
    pub cell: Option<CellKind>,
    /// The activation of an Elman RNN.
    pub nonlinearity: Option<Nonlinearity>,
}

/// Sorts the tensors of `file` into a network. Names that begin with `skip` are not weights. If the tensors fit the
/// cell that the file names, it is that cell.
///
/// # Errors
/// If a tensor is unknown, missing, there twice, has a wrong shape, or belongs to a network that is not supported.
/// The message names it.
pub(super) fn infer(file: &Container, known: &Known, skip: &str) -> Result<Found> {
    let groups = Groups::collect(file, skip);
    let network = groups.recurrent(known.options)?;
    let mut shape = network.shape(known)?;
    let head = groups.head(&network, &shape, known)?;
    if let Some(head) = head {
        let (output, _) = matrix(file, head.tensor("weight")?)?;
        shape = shape.with_output(Some(output)).map_err(|error| Error::file(file.path(), error.to_string()))?;
    }
    let mut layout = Layout::new(&shape);
    for entry in layout.entries_mut() {
        match (entry.name.strip_prefix("rnn."), entry.name.strip_prefix("fc."), head) {
            (Some(leaf), ..) => entry.name = network.tensor(leaf)?.into(),
            (_, Some("bias"), Some(head)) if !head.tensors.contains_key("bias") => {
                (entry.name, entry.optional) = (format!("{}bias", head.prefix), true);
                continue;
            }
            (_, Some(leaf), Some(head)) => entry.name = head.tensor(leaf)?.into(),
            _ => {}
        }
        let found = file.dims(&entry.name).unwrap_or_default();
        if found != entry.dims {
            let (expected, found) = (shown(&entry.dims), shown(found));
            return Err(file.error(&entry.name, format!("its shape is {found}, but {shape} asks for {expected}")));
        }
    }
    Ok(Found { left_out: groups.left_out(&network, head), assumed: assumed(known, &shape), shape, layout })
}

/// What neither the file nor the caller says of a network of this shape.
fn assumed(known: &Known, shape: &Shape) -> Vec<String> {
    let mut assumed = Vec::new();
    if known.cell.is_none() {
        let times = if shape.gates() == 1 { String::new() } else { format!("{} times ", shape.gates()) };
        assumed.push(format!("the cell is {}, because weight_hh has {times}as many rows as columns", shape.cell));
    }
    if shape.cell == CellKind::Rnn && known.nonlinearity.is_none() {
        assumed.push("the activation is tanh, which no tensor shows; if it is relu, give --nonlinearity relu".into());
    }
    assumed
}

/// The tensors of one prefix.
struct Group<'a> {
    file: &'a Container<'a>,
    /// Including the dot.
    prefix: &'a str,
    /// Full names. Keys are the names without the prefix.
    tensors: BTreeMap<&'a str, &'a str>,
}

impl<'a> Group<'a> {
    fn tensor(&self, leaf: &str) -> Result<&'a str> {
        self.tensors.get(leaf).copied().ok_or_else(|| missing(self.file, self.prefix, leaf))
    }

    /// Refuses tensors that are not those of a linear layer.
    fn check_linear(&self) -> Result<()> {
        match self.tensors.iter().find(|(leaf, _)| !matches!(**leaf, "weight" | "bias")) {
            None => Ok(()),
            Some((leaf, name)) if leaf.starts_with("running_") || *leaf == "num_batches_tracked" => {
                let reason = format!("belongs to a normalisation (BatchNorm), and is unknown here; {SUPPORTED}");
                Err(self.file.error(name, reason))
            }
            Some((_, name)) => Err(self.file.error(name, format!("is unknown; {SUPPORTED}"))),
        }
    }

    /// Refuses a layer that is not the head, and one of which neither shape nor name shows that it is.
    fn check_head(&self, recurrent: &str, shape: &Shape) -> Result<()> {
        let name = self.tensor("weight")?;
        let dims = self.file.dims(name).unwrap_or_default();
        let found = shown(dims);
        match Role::of(self.prefix, dims, recurrent, [shape.input, shape.hidden]) {
            Role::Head => Ok(()),
            Role::Other(reason) => Err(self.file.error(name, format!("its shape is {found}: {reason}; {SUPPORTED}"))),
            Role::Unclear => Err(self.file.error(
                name,
                format!(
                    "its shape {found} fits in front of the network, or beside it, as well as behind it; if it is the \
                     head, say so with --head {}",
                    choice(self.prefix)
                ),
            )),
        }
    }
}

/// The tensors of a file, by prefix.
struct Groups<'a> {
    file: &'a Container<'a>,
    /// Those that have the names of tensors of recurrent layers.
    recurrent: BTreeMap<&'a str, Group<'a>>,
    /// All others.
    others: BTreeMap<&'a str, Group<'a>>,
}

impl<'a> Groups<'a> {
    fn collect(file: &'a Container<'a>, skip: &str) -> Self {
        let mut groups = Self { file, recurrent: BTreeMap::new(), others: BTreeMap::new() };
        for (name, _) in file.tensors().filter(|(name, _)| !name.starts_with(skip)) {
            let (prefix, leaf) = name.split_at(name.rfind('.').map_or(0, |dot| dot + 1));
            let forward = leaf.strip_suffix("_reverse").unwrap_or(leaf);
            let is_recurrent = recurrent_leaf(forward).is_some() || leaf.starts_with("weight_hr");
            let into = if is_recurrent { &mut groups.recurrent } else { &mut groups.others };
            let group = into.entry(prefix).or_insert_with(|| Group { file, prefix, tensors: BTreeMap::new() });
            group.tensors.insert(leaf, name);
        }
        groups
    }

    /// The recurrent network that was chosen, or else the only one.
    fn recurrent(&self, options: &ReadOptions) -> Result<Network<'a>> {
        if let Some(prefix) = &options.recurrent {
            let Some(group) = self.recurrent.get(with_dot(prefix).as_str()) else {
                let there = prefixes(&self.recurrent);
                return Err(Error::file(
                    self.file.path(),
                    format!("has no recurrent tensors under {} (--recurrent), but under {there}", quoted(prefix)),
                ));
            };
            return Network::of(group);
        }
        let mut all = self.recurrent.values();
        match (all.next(), all.next()) {
            (Some(only), None) => Network::of(only),
            (Some(first), Some(second)) => {
                let next = first.tensors.values().next().map_or_else(String::new, |name| quoted(name));
                let reason = format!(
                    "belongs to a second recurrent network, next to {next}; {SUPPORTED}; --recurrent {} takes one and \
                     leaves the others out",
                    choice(first.prefix)
                );
                Err(self.file.error(second.tensors.values().next().copied().unwrap_or_default(), reason))
            }
            (None, _) => {
                let reason = format!("has no recurrent tensors (rnn.weight_ih_l0 ...); {SUPPORTED}");
                Err(Error::file(self.file.path(), reason))
            }
        }
    }

    /// The linear layer that was chosen as the head, or else the only one, if it is one.
    fn head(&self, network: &Network, shape: &Shape, known: &Known) -> Result<Option<&Group<'a>>> {
        let chosen = match &known.options.head {
            None => return self.only_head(network, shape, known),
            Some(HeadChoice::None) => None,
            Some(HeadChoice::Prefix(prefix)) => {
                let found = self.others.get(with_dot(prefix).as_str());
                let Some(group) = found.filter(|group| group.tensors.contains_key("weight")) else {
                    let there = prefixes(&self.others);
                    let reason = format!("has no linear layer {} (--head), but {there}", quoted(prefix));
                    return Err(Error::file(self.file.path(), reason));
                };
                group.check_linear()?;
                Some(group)
            }
        };
        // a tensor next to the recurrent ones may change what they compute, so it cannot be left out
        if let Some(group) = self.others.get(network.prefix) {
            group.check_linear()?;
        }
        Ok(chosen)
    }

    fn only_head(&self, network: &Network, shape: &Shape, known: &Known) -> Result<Option<&Group<'a>>> {
        for group in self.others.values() {
            group.check_linear()?;
        }
        for group in self.others.values().filter(|_| !known.ours) {
            group.check_head(network.prefix, shape)?;
        }
        let mut all = self.others.values();
        match (all.next(), all.next()) {
            (first, None) => Ok(first),
            (first, Some(second)) => {
                let first = first.map_or("", |first| first.prefix);
                let reason = format!(
                    "belongs to a second linear layer, next to {}; {SUPPORTED}; --head {} takes one and leaves the \
                     others out",
                    quoted(&format!("{first}weight")),
                    choice(first)
                );
                Err(self.file.error(second.tensor("weight")?, reason))
            }
        }
    }

    /// A line that names all tensors that are neither those of `network` nor those of `head`.
    fn left_out(&self, network: &Network, head: Option<&Group>) -> Option<String> {
        let recurrent = self.recurrent.values().filter(|group| group.prefix != network.prefix);
        let others = self.others.values().filter(|group| head.is_none_or(|head| head.prefix != group.prefix));
        let names: Vec<&str> = recurrent.chain(others).flat_map(|group| group.tensors.values().copied()).collect();
        let these = if names.len() == 1 { "1 tensor is".into() } else { format!("{} tensors are", names.len()) };
        let line = || Error::file(self.file.path(), format!("{these} left out: {}", listed(&names))).to_string();
        (!names.is_empty()).then(line)
    }
}

/// The tensors of one recurrent network.
struct Network<'a> {
    file: &'a Container<'a>,
    /// The prefix of their names, including the dot.
    prefix: &'a str,
    /// Full names. Keys are PyTorch's names without a prefix, such as `weight_ih_l0`.
    tensors: BTreeMap<String, &'a str>,
    layers: usize,
}

impl<'a> Network<'a> {
    fn of(group: &Group<'a>) -> Result<Self> {
        let mut network = Self { file: group.file, prefix: group.prefix, tensors: BTreeMap::new(), layers: 0 };
        for (leaf, name) in &group.tensors {
            network.add(leaf, name)?;
        }
        Ok(network)
    }

    fn add(&mut self, leaf: &str, name: &'a str) -> Result<()> {
        let Some((kind, layer)) = recurrent_leaf(leaf) else {
            let reason = match leaf.starts_with("weight_hr") {
                true => format!("is a projection (proj_size), which is not supported; {SUPPORTED}"),
                false => format!("belongs to a bidirectional network, which cannot stream; {SUPPORTED}"),
            };
            return Err(self.file.error(name, reason));
        };
        if let Some(other) = self.tensors.insert(format!("{kind}_l{layer}"), name) {
            return Err(self
                .file
                .error(name, format!("is there a second time as {}; keep one of them", quoted(other))));
        }
        self.layers = self.layers.max(layer.saturating_add(1));
        Ok(())
    }

    fn tensor(&self, leaf: &str) -> Result<&'a str> {
        self.tensors.get(leaf).copied().ok_or_else(|| missing(self.file, self.prefix, leaf))
    }

    /// The shape without a head that follows from the tensors of layer 0, with all sizes checked.
    fn shape(&self, known: &Known) -> Result<Shape> {
        let file = self.file;
        let (_, input) = matrix(file, self.tensor("weight_ih_l0")?)?;
        let name = self.tensor("weight_hh_l0")?;
        let (rows, hidden) = matrix(file, name)?;
        let cell = cell_of(&CellKind::ALL, [rows, hidden], known.cell).map_err(|reason| file.error(name, reason))?;
        let bias = self.tensors.keys().any(|leaf| leaf.starts_with("bias"));
        let shape = Shape::new(cell, input, hidden, self.layers, 1).and_then(|shape| {
            shape.with_output(None)?.with_bias(bias)?.with_nonlinearity(known.nonlinearity.unwrap_or_default())
        });
        shape.map_err(|error| Error::file(file.path(), error.to_string()))
    }
}

fn missing(file: &Container, prefix: &str, leaf: &str) -> Error {
    file.error(&format!("{prefix}{leaf}"), "is missing; write the whole state_dict again")
}

/// A prefix as `--head` and `--recurrent` take it.
fn choice(prefix: &str) -> String {
    match prefix.strip_suffix('.').unwrap_or(prefix) {
        "" => "\"\"".into(),
        bare => error::shown(bare),
    }
}

/// The first few prefixes of `groups`, in words.
fn prefixes(groups: &BTreeMap<&str, Group>) -> String {
    listed(groups.keys().map(|prefix| prefix.strip_suffix('.').unwrap_or(prefix)))
}

/// The cell among `cells` whose weight_hh has this shape. If there are several, it is the one that the file `says`.
fn cell_of(cells: &[CellKind], [rows, hidden]: [usize; 2], says: Option<CellKind>) -> Result<CellKind, String> {
    let fits = |cell: &CellKind| Some(rows) == hidden.checked_mul(cell.gates());
    let fitting: Vec<CellKind> = cells.iter().copied().filter(fits).collect();
    match (fitting.as_slice(), says) {
        (fitting, Some(says)) if fitting.contains(&says) => Ok(says),
        (&[cell], _) => Ok(cell),
        ([], _) => {
            let mut cells = cells.to_vec();
            cells.sort_by_key(|cell| cell.gates());
            let all = either(cells.iter().map(|cell| format!("{} ({})", cell.gates(), cell.name())));
            Err(format!("its shape is [{rows}, {hidden}]; rows should be {all} times the columns"))
        }
        (&[first, ..], _) => {
            let (all, first) = (either(fitting.iter().map(|cell| cell.name().into())), first.name());
            Err(format!(
                "its shape is [{rows}, {hidden}], which may be {all}; write the file with the metadata {{\"cell\": \
                 \"{first}\"}}, or with the name of the other cell"
            ))
        }
    }
}

/// `a, b or c`.
fn either(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// The rows and columns of a matrix; neither is zero.
fn matrix(file: &Container, name: &str) -> Result<(usize, usize)> {
    match file.dims(name) {
        Some(&[rows, columns]) if rows > 0 && columns > 0 => Ok((rows, columns)),
        found => {
            let found = shown(found.unwrap_or_default());
            Err(file.error(name, format!("its shape is {found}; a weight has two dimensions, neither of them 0")))
        }
    }
}

/// `weight_ih_l2` is (`weight_ih`, 2). `nn.LSTMCell`, `nn.GRUCell` and `nn.RNNCell` have no `_l0`, because they are one
/// layer.
fn recurrent_leaf(leaf: &str) -> Option<(&str, usize)> {
    const KINDS: [&str; 4] = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
    if KINDS.contains(&leaf) {
        return Some((leaf, 0));
    }
    let (kind, digits) = leaf.rsplit_once("_l")?;
    let layer: usize = digits.parse().ok()?;
    // "01" and "+1" would parse too, but PyTorch does not write them
    (KINDS.contains(&kind) && layer.to_string() == digits).then_some((kind, layer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_what_the_file_says_if_it_can_be_or_else_what_the_rows_say() {
        for cell in CellKind::ALL {
            assert_eq!(cell_of(&CellKind::ALL, [cell.gates() * 7, 7], Some(cell)), Ok(cell));
            assert_eq!(cell_of(&[cell], [cell.gates() * 7, 7], None), Ok(cell));
        }
        assert_eq!(cell_of(&CellKind::ALL, [28, 7], Some(CellKind::Gru)), Ok(CellKind::Lstm), "the rows are right");
        let none = cell_of(&CellKind::ALL, [29, 7], Some(CellKind::Gru)).unwrap_err();
        assert!(none.contains("rows should be 1 (rnn), ") && none.contains(" or 4 (lstm) times the columns"), "{none}");
        // no two cells have the same number of gates today; the same cell twice stands for two
        let two = [CellKind::Gru, CellKind::Gru];
        assert_eq!(cell_of(&two, [21, 7], Some(CellKind::Gru)), Ok(CellKind::Gru));
        let unclear = cell_of(&two, [21, 7], None).unwrap_err();
        assert!(
            unclear.contains("may be gru or gru; write the file with the metadata {\"cell\": \"gru\"}"),
            "{unclear}"
        );
    }

    #[test]
    fn leaves_are_read_as_pytorch_writes_them() {
        assert_eq!(recurrent_leaf("weight_ih_l0"), Some(("weight_ih", 0)));
        assert_eq!(recurrent_leaf("bias_hh_l12"), Some(("bias_hh", 12)));
        assert_eq!(recurrent_leaf("weight_hh"), Some(("weight_hh", 0)));
        for wrong in ["weight_ih_l", "weight_ih_l+1", "weight_ih_l01", "weight_ih_l99999999999999999999", "weight_ih_0"]
        {
            assert_eq!(recurrent_leaf(wrong), None, "{wrong}");
        }
    }
}
