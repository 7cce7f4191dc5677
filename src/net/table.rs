//! The table of all parameters: their names and shapes in PyTorch, and their places in memory.

use crate::net::layout::{Offsets, place};
use crate::net::shape::Shape;
use crate::net::weight_format::Weights;
use crate::simd::lanes::LANES;
use alloc::{format, string::String, vec, vec::Vec};
use core::ops::Range;

/// One parameter tensor: its name and shape in PyTorch, and its place in the arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name in PyTorch: `rnn.weight_ih_l0` or `fc.bias`, as the lesson's class makes it, or the name that it had in
    /// the file of a model.
    pub name: String,
    /// Whether files leave it out while it is all zeros: the bias of a head that came without one.
    pub optional: bool,
    /// PyTorch's shape: `[G·H, I]` for a weight, `[G·H]` for a bias.
    pub dims: Vec<usize>,
    /// Rows of the tensor that belong to one unit (G, or 1 for the head).
    pub gates: usize,
    /// H, or O for the head.
    pub units: usize,
    /// Columns of the weight; 1 for a bias.
    pub columns: usize,
    offset: usize,
}

impl Entry {
    /// Where it lies in the arena, padding included.
    pub(crate) fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.units.div_ceil(LANES) * LANES * self.columns * self.gates
    }

    /// How many values it has in PyTorch.
    pub fn len(&self) -> usize {
        self.gates.saturating_mul(self.units).saturating_mul(self.columns)
    }

    /// Whether there are none; never true for a checked shape.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For each of PyTorch's values, row after row, its place in the arena.
    fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let rows = (0..self.gates).flat_map(move |gate| (0..self.units).map(move |unit| (gate, unit)));
        rows.flat_map(move |(gate, unit)| {
            (0..self.columns).map(move |column| self.offset + place(self.gates, self.columns, gate, unit, column))
        })
    }

    /// Writes PyTorch's `values` (row after row) into the arena.
    ///
    /// # Panics
    /// If the arena is shorter than that of the layout.
    pub(crate) fn pack(&self, values: &[f32], arena: &mut [f32]) {
        for (place, &value) in self.places().zip(values) {
            arena[place] = value;
        }
    }

    /// PyTorch's values, row after row, read out of an arena.
    ///
    /// # Panics
    /// If the arena is shorter than that of the layout.
    pub(crate) fn unpack(&self, arena: &[f32]) -> Vec<f32> {
        self.places().map(|place| arena[place]).collect()
    }
}

/// Where the parameters of one recurrent layer lie in the arena.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerRanges {
    /// `[tile][I or H][gate][lane]`
    pub weight_ih: Range<usize>,
    /// `[tile][H][gate][lane]`
    pub weight_hh: Range<usize>,
    /// `[tile][gate][lane]`, of `bias_ih` and of `bias_hh`; `None` for a network without biases.
    pub biases: Option<(Range<usize>, Range<usize>)>,
}

/// The table of all parameters of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    entries: Vec<Entry>,
    /// The recurrent layers, bottom first.
    pub layers: Vec<LayerRanges>,
    /// `fc.weight` `[tile][H][1][lane]` and `fc.bias` `[tile][1][lane]`, where lanes are outputs.
    pub head: Option<(Range<usize>, Range<usize>)>,
    len: usize,
}

impl Layout {
    /// The table for a checked shape.
    pub fn new(shape: &Shape) -> Self {
        let mut table = Self { entries: vec![], layers: vec![], head: None, len: Offsets::arena(shape, Weights::F32) };
        let (gates, hidden) = (shape.gates(), shape.hidden);
        for layer in 0..shape.layers {
            let (at, columns) = (Offsets::layer(shape, Weights::F32, layer), shape.layer_input(layer));
            let name = |tensor: &str| format!("rnn.{tensor}_l{layer}");
            let weight_ih = table.weight(name("weight_ih"), gates, hidden, columns, at.weight_ih);
            let weight_hh = table.weight(name("weight_hh"), gates, hidden, hidden, at.weight_hh);
            let biases = shape.bias.then(|| {
                let bias_ih = table.bias(name("bias_ih"), gates, hidden, at.bias_ih);
                let bias_hh = table.bias(name("bias_hh"), gates, hidden, at.bias_hh);
                (bias_ih, bias_hh)
            });
            table.layers.push(LayerRanges { weight_ih, weight_hh, biases });
        }
        if let Some(output) = shape.output {
            let (weight, bias, _) = Offsets::head(shape, Weights::F32);
            let weight = table.weight("fc.weight".into(), 1, output, hidden, weight);
            let bias = table.bias("fc.bias".into(), 1, output, bias);
            table.head = Some((weight, bias));
        }
        table
    }

    /// The tensors, in PyTorch's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The same, to give them the names of a file.
    #[cfg(feature = "std")]
    pub(crate) fn entries_mut(&mut self) -> &mut [Entry] {
        &mut self.entries
    }

    /// Length of the arena, padding included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no parameters; never true for a checked shape.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn weight(&mut self, name: String, gates: usize, units: usize, columns: usize, offset: usize) -> Range<usize> {
        self.push(Entry { name, optional: false, dims: vec![gates * units, columns], gates, units, columns, offset })
    }

    fn bias(&mut self, name: String, gates: usize, units: usize, offset: usize) -> Range<usize> {
        self.push(Entry { name, optional: false, dims: vec![gates * units], gates, units, columns: 1, offset })
    }

    fn push(&mut self, entry: Entry) -> Range<usize> {
        let range = entry.range();
        self.entries.push(entry);
        range
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::kind::CellKind;

    #[test]
    fn every_value_has_one_place_and_padding_has_none() {
        for cell in CellKind::ALL {
            for (input, hidden, layers, output) in [(1, 1, 1, Some(1)), (3, 16, 3, None), (7, 17, 2, Some(33))] {
                let bias = hidden != 16;
                let shape = Shape::new(cell, input, hidden, layers, 1).unwrap().with_output(output).unwrap();
                let shape = shape.with_bias(bias).unwrap();
                let layout = Layout::new(&shape);
                let mut seen = vec![0; layout.len()];
                let mut end = 0;
                for entry in layout.entries() {
                    assert_eq!(entry.range().start, end, "{}: a gap before it, or an overlap", entry.name);
                    end = entry.range().end;
                    for place in entry.places() {
                        assert!(entry.range().contains(&place), "{}", entry.name);
                        seen[place] += 1;
                    }
                }
                assert_eq!(end, layout.len());
                assert!(seen.iter().all(|&n| n <= 1));
                assert_eq!(seen.iter().sum::<usize>(), shape.parameters());
            }
        }
    }

    #[test]
    fn a_unit_keeps_its_gates_together() {
        let shape = Shape::new(CellKind::Lstm, 2, 17, 1, 1).unwrap();
        let layout = Layout::new(&shape);
        let entry = &layout.entries()[0];
        let values: Vec<f32> = (0..entry.len()).map(|i| i as f32).collect();
        let mut arena = vec![0.0; layout.len()];
        entry.pack(&values, &mut arena);
        // unit 16 is lane 0 of tile 1; its gate f (the second) of column 1 is PyTorch's row 17 + 16, column 1
        assert_eq!(arena[((2 + 1) * 4 + 1) * LANES], ((17 + 16) * 2 + 1) as f32);
        assert_eq!(entry.unpack(&arena), values);
    }
}
