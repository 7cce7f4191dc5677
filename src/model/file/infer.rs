//! Infers the network that a set of PyTorch tensors belongs to: cell, sizes, layers and biases. It needs only names and
//! shapes, unless the shapes fit several cells; then it also needs the cell that the file names.

use super::container::{Container, shape as shown};
use crate::cell::kind::{CellKind, Nonlinearity};
use crate::error::{Error, Result, quoted};
use crate::net::layout::Layout;
use crate::net::shape::Shape;
use std::collections::BTreeMap;

/// The end of a message about any other tensor.
const SUPPORTED: &str = "supported are the tensors of one recurrent network (nn.RNN, nn.LSTM, nn.GRU, or a minimal \
                         gated unit, MGU, with such names) and of at most one nn.Linear";

/// The network in a file and, for each entry of its layout, where its values come from.
pub(super) struct Found {
    pub shape: Shape,
    pub sources: Vec<Source>,
}

/// Where the values of one parameter tensor come from.
pub(super) enum Source {
    /// The tensor of this name.
    File(String),
    /// Zeros, for a linear head without a bias. The name is the one that the bias would have.
    Zeros(String),
}

/// Sorts the tensors of `file` into a network. Names that begin with `skip` are not weights. If the tensors fit the
/// cell that the file `says` it has, it is that cell.
///
/// # Errors
/// If a tensor is unknown, missing, there twice, has a wrong shape, or belongs to a network that is not supported.
/// The message names it.
pub(super) fn infer(file: &Container, says: Option<CellKind>, nonlinearity: Nonlinearity, skip: &str) -> Result<Found> {
    let groups = Groups::collect(file, skip)?;
    let shape = groups.shape(file, says, nonlinearity)?;
    let layout = Layout::new(&shape);
    let mut sources = Vec::with_capacity(layout.entries().len());
    for entry in layout.entries() {
        let source = groups.source(file, &entry.name)?;
        if let Source::File(name) = &source {
            let found = file.dims(name).unwrap_or_default();
            if found != entry.dims {
                let (expected, found) = (shown(&entry.dims), shown(found));
                return Err(file.error(name, format!("its shape is {found}, but {shape} asks for {expected}")));
            }
        }
        sources.push(source);
    }
    Ok(Found { shape, sources })
}

/// The tensors of a file by their role. Keys are PyTorch's names without a prefix, such as `weight_ih_l0`.
#[derive(Default)]
struct Groups<'a> {
    /// The prefix of the names of the recurrent tensors, including the dot.
    recurrent_prefix: Option<&'a str>,
    /// Full names of the recurrent tensors.
    recurrent: BTreeMap<String, &'a str>,
    layers: usize,
    /// The prefix of `weight` and `bias` of the head, including the dot.
    head_prefix: Option<&'a str>,
    /// Full names of the head's tensors.
    head: BTreeMap<&'a str, &'a str>,
}

impl<'a> Groups<'a> {
    fn collect(file: &'a Container, skip: &str) -> Result<Self> {
        let mut groups = Self::default();
        for (name, dims) in file.tensors().filter(|(name, _)| !name.starts_with(skip)) {
            let (prefix, leaf) = name.split_at(name.rfind('.').map_or(0, |dot| dot + 1));
            if leaf == "weight" || leaf == "bias" {
                groups.add_head(file, name, dims, prefix, leaf)?;
            } else {
                groups.add_recurrent(file, name, prefix, leaf)?;
            }
        }
        Ok(groups)
    }

    fn add_head(
        &mut self,
        file: &Container,
        name: &'a str,
        dims: &[usize],
        prefix: &'a str,
        leaf: &'a str,
    ) -> Result<()> {
        let expected = if leaf == "weight" { 2 } else { 1 };
        if dims.len() != expected {
            return Err(
                file.error(name, format!("a {leaf} of shape {} is not one of a linear head; {SUPPORTED}", shown(dims)))
            );
        }
        let first = *self.head_prefix.get_or_insert(prefix);
        if first != prefix {
            let first = quoted(&format!("{first}weight"));
            return Err(file.error(name, format!("belongs to a second linear layer, next to {first}; {SUPPORTED}")));
        }
        self.head.insert(leaf, name);
        Ok(())
    }

    fn add_recurrent(&mut self, file: &Container, name: &'a str, prefix: &'a str, leaf: &str) -> Result<()> {
        if leaf.ends_with("_reverse") {
            let reason = format!("belongs to a bidirectional network, which cannot stream; {SUPPORTED}");
            return Err(file.error(name, reason));
        }
        if leaf.starts_with("weight_hr") {
            return Err(file.error(name, format!("is a projection (proj_size), which is not supported; {SUPPORTED}")));
        }
        let Some((kind, layer)) = recurrent_leaf(leaf) else {
            return Err(file.error(name, format!("is unknown; {SUPPORTED}")));
        };
        let first = *self.recurrent_prefix.get_or_insert(prefix);
        if first != prefix {
            let first = quoted(&format!("{first}weight_ih_l0"));
            let reason = format!("belongs to a second recurrent network, next to {first}; {SUPPORTED}");
            return Err(file.error(name, reason));
        }
        if let Some(other) = self.recurrent.insert(format!("{kind}_l{layer}"), name) {
            return Err(file.error(name, format!("is there a second time as {}; keep one of them", quoted(other))));
        }
        self.layers = self.layers.max(layer.saturating_add(1));
        Ok(())
    }

    /// The shape that follows from the tensors of layer 0 and of the head, with all sizes checked.
    fn shape(&self, file: &Container, says: Option<CellKind>, nonlinearity: Nonlinearity) -> Result<Shape> {
        if self.recurrent.is_empty() {
            return Err(Error::file(
                file.path(),
                format!("has no recurrent tensors (rnn.weight_ih_l0 ...); {SUPPORTED}"),
            ));
        }
        let (_, input) = matrix(file, self.recurrent_tensor(file, "weight_ih_l0")?)?;
        let name = self.recurrent_tensor(file, "weight_hh_l0")?;
        let (rows, hidden) = matrix(file, name)?;
        let cell = cell_of(&CellKind::ALL, [rows, hidden], says).map_err(|reason| file.error(name, reason))?;
        let output = match self.head_prefix {
            Some(prefix) => Some(matrix(file, self.head_tensor(file, prefix, "weight")?)?.0),
            None => None,
        };
        let bias = self.recurrent.keys().any(|leaf| leaf.starts_with("bias"));
        let shape = Shape::new(cell, input, hidden, self.layers, output.unwrap_or(1))
            .and_then(|shape| shape.with_output(output)?.with_bias(bias)?.with_nonlinearity(nonlinearity));
        shape.map_err(|error| Error::file(file.path(), error.to_string()))
    }

    fn recurrent_tensor(&self, file: &Container, leaf: &str) -> Result<&'a str> {
        self.recurrent.get(leaf).copied().ok_or_else(|| self.missing(file, self.recurrent_prefix, leaf))
    }

    fn head_tensor(&self, file: &Container, prefix: &'a str, leaf: &str) -> Result<&'a str> {
        self.head.get(leaf).copied().ok_or_else(|| self.missing(file, Some(prefix), leaf))
    }

    fn missing(&self, file: &Container, prefix: Option<&str>, leaf: &str) -> Error {
        file.error(&format!("{}{leaf}", prefix.unwrap_or_default()), "is missing; write the whole state_dict again")
    }

    /// Where the values of the layout's entry `entry` come from: see [`Source`].
    fn source(&self, file: &Container, entry: &str) -> Result<Source> {
        if let Some(leaf) = entry.strip_prefix("rnn.") {
            return self.recurrent_tensor(file, leaf).map(|name| Source::File(name.into()));
        }
        let leaf = entry.strip_prefix("fc.").unwrap_or(entry);
        match self.head.get(leaf) {
            Some(&name) => Ok(Source::File(name.into())),
            None => Ok(Source::Zeros(format!("{}{leaf}", self.head_prefix.unwrap_or_default()))),
        }
    }
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
