//! Where every parameter lies in the one flat arena, and the only place that knows.
//!
//! Files and users see PyTorch's tensors: `rnn.weight_ih_l0 [G·H, I]`, rows grouped by gate. The kernels want
//! the sixteen units of a vector side by side and all gates of a unit close together, so in memory the same
//! tensor is `[tile][column][gate][lane]`: unit `u` is lane `u % 16` of tile `u / 16`. A product then reads
//! its weights from front to back. Lanes beyond the last unit are zero, stay zero, and are never exported.
//!
//! Gradients and the moments of the optimiser are shadows of the arena: other buffers, same offsets.

use crate::shape::Shape;
use crate::tensor::LANES;
use alloc::{format, string::String, vec, vec::Vec};
use core::ops::Range;

/// One parameter tensor: its name and shape outside, its place in the arena inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// PyTorch's name, as the lesson's class makes it: `rnn.weight_ih_l0`, `fc.bias`.
    pub name: String,
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
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.units.div_ceil(LANES) * LANES * self.columns * self.gates
    }

    /// How many numbers PyTorch sees.
    pub fn len(&self) -> usize {
        self.gates * self.units * self.columns
    }

    /// Whether there are none; never true for a checked shape.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For each of PyTorch's values, row after row, its place in the arena.
    fn places(&self) -> impl Iterator<Item = usize> + '_ {
        let rows = (0..self.gates).flat_map(move |gate| (0..self.units).map(move |unit| (gate, unit)));
        rows.flat_map(move |(gate, unit)| {
            let tile = unit / LANES * self.columns;
            (0..self.columns)
                .map(move |column| self.offset + ((tile + column) * self.gates + gate) * LANES + unit % LANES)
        })
    }

    /// Writes PyTorch's `values` (row after row) into the arena.
    pub fn pack(&self, values: &[f32], arena: &mut [f32]) {
        for (place, &value) in self.places().zip(values) {
            arena[place] = value;
        }
    }

    /// PyTorch's values, row after row, read out of an arena.
    pub fn unpack(&self, arena: &[f32]) -> Vec<f32> {
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
        let mut table = Self { entries: vec![], layers: vec![], head: None, len: 0 };
        let (gates, hidden) = (shape.gates(), shape.hidden);
        for layer in 0..shape.layers {
            let weight_ih = table.weight(format!("rnn.weight_ih_l{layer}"), gates, hidden, shape.layer_input(layer));
            let weight_hh = table.weight(format!("rnn.weight_hh_l{layer}"), gates, hidden, hidden);
            let biases = shape.bias.then(|| {
                let bias_ih = table.bias(format!("rnn.bias_ih_l{layer}"), gates, hidden);
                let bias_hh = table.bias(format!("rnn.bias_hh_l{layer}"), gates, hidden);
                (bias_ih, bias_hh)
            });
            table.layers.push(LayerRanges { weight_ih, weight_hh, biases });
        }
        if let Some(output) = shape.output {
            let weight = table.weight("fc.weight".into(), 1, output, hidden);
            let bias = table.bias("fc.bias".into(), 1, output);
            table.head = Some((weight, bias));
        }
        table
    }

    /// The tensors, in PyTorch's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Length of the arena, padding included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no parameters; never true for a checked shape.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn weight(&mut self, name: String, gates: usize, units: usize, columns: usize) -> Range<usize> {
        self.push(Entry { name, dims: vec![gates * units, columns], gates, units, columns, offset: self.len })
    }

    fn bias(&mut self, name: String, gates: usize, units: usize) -> Range<usize> {
        self.push(Entry { name, dims: vec![gates * units], gates, units, columns: 1, offset: self.len })
    }

    fn push(&mut self, entry: Entry) -> Range<usize> {
        let range = entry.range();
        self.len = range.end;
        self.entries.push(entry);
        range
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::CellKind;

    #[test]
    fn every_value_has_one_place_and_padding_has_none() {
        for cell in CellKind::ALL {
            for (input, hidden, output) in [(1, 1, 1), (3, 16, 2), (7, 17, 33)] {
                let shape = Shape::new(cell, input, hidden, 2, output).unwrap();
                let layout = Layout::new(&shape);
                let mut seen = vec![0; layout.len()];
                for entry in layout.entries() {
                    for place in entry.places() {
                        assert!(entry.range().contains(&place), "{}", entry.name);
                        seen[place] += 1;
                    }
                }
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
