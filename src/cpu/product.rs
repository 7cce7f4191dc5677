//! The one matrix product: projections, recurrence, head, and all gradients are calls of it.
//!
//! The right side is read in panels of a few vectors, its lanes side by side; the left side is broadcast value by
//! value. Each element of the result is summed over `k` from front to back, whatever the instruction set, the
//! number of rows taken together or the number of threads: that is why one long sequence equals many single
//! steps bit for bit.

use crate::lanes::{Lanes, Pass};
use crate::tensor::LANES;
use core::ops::Range;

/// What a sum starts from.
#[derive(Clone, Copy)]
pub enum Start {
    /// Nothing.
    Zero,
    /// A bias, one value a column, laid out as one row of the result.
    Bias(*const f32),
    /// What the result holds already.
    Result,
}

/// `out[m, n] = start + Σ_k a[m, k] · b[k, n]`, for m < `rows`, k < `depth`, n in `panels` panels of `panel`
/// vectors. All distances are in values.
#[derive(Clone, Copy)]
pub struct Product {
    /// Rows of `a` and `out`.
    pub rows: usize,
    /// Length of the sums.
    pub depth: usize,
    /// Vectors of a panel: G for gates, 1 else.
    pub panel: usize,
    /// Panels of `b` and `out`.
    pub panels: usize,
    /// Left side.
    pub a: *const f32,
    /// From one row of `a` to the next.
    pub a_row: usize,
    /// From one k to the next in `a`.
    pub a_depth: usize,
    /// Right side; a panel is contiguous for one k.
    pub b: *const f32,
    /// From one k to the next in `b`.
    pub b_depth: usize,
    /// From one panel of `b` to the next.
    pub b_panel: usize,
    /// Result.
    pub out: *mut f32,
    /// From one row of the result to the next.
    pub out_row: usize,
    /// From one panel of the result to the next.
    pub out_panel: usize,
    /// What the sums start from.
    pub start: Start,
    /// Whether the last panels come first.
    pub backwards: bool,
}

// SAFETY: a product owns nothing; whoever runs it promises that its memory may be used.
unsafe impl Send for Product {}
unsafe impl Sync for Product {}

impl Pass for Product {
    type Output = ();

    /// # Safety
    /// All that the fields describe can be read or written, and nothing else writes there meanwhile.
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the caller's promise. A panel of one vector is split into four chains, since one sum alone would
        // wait for each addition before the next; four gates are four chains already.
        unsafe {
            match self.panel {
                1 => self.panels::<V, 1, 4>(),
                3 => self.blocks::<V, 3>(),
                _ => self.blocks::<V, 4>(),
            }
        }
    }
}

impl Product {
    /// The same product for some of its rows only.
    pub fn some_rows(self, rows: Range<usize>) -> Self {
        // SAFETY: rows of the product.
        let (a, out) = unsafe { (self.a.add(rows.start * self.a_row), self.out.add(rows.start * self.out_row)) };
        Self { a, out, rows: rows.len(), ..self }
    }

    /// The same product for some of its panels only. For a product that starts from a bias this is not to be had.
    pub fn some_panels(self, panels: Range<usize>) -> Self {
        // SAFETY: panels of the product.
        let (b, out) =
            unsafe { (self.b.add(panels.start * self.b_panel), self.out.add(panels.start * self.out_panel)) };
        Self { b, out, panels: panels.len(), ..self }
    }

    /// For many rows, a part of k after the other: what lies of a panel in it stays in the first cache while the rows go by.
    /// The sums go on from what they were, so they are the same.
    #[inline(always)]
    unsafe fn blocks<V: Lanes, const PANEL: usize>(&self) {
        const BLOCK: usize = 16 << 10; // bytes, a third to a half of the first cache of most processors
        let depth = BLOCK / (PANEL * LANES * size_of::<f32>());
        if self.rows < 8 || self.depth <= depth {
            // SAFETY: the caller's promise.
            return unsafe { self.panels::<V, PANEL, 1>() };
        }
        for k in (0..self.depth).step_by(depth) {
            // SAFETY: the caller's promise; k is below the depth.
            unsafe {
                Self {
                    depth: depth.min(self.depth - k),
                    a: self.a.add(k * self.a_depth),
                    b: self.b.add(k * self.b_depth),
                    start: if k == 0 { self.start } else { Start::Result },
                    ..*self
                }
                .panels::<V, PANEL, 1>();
            }
        }
    }

    #[inline(always)]
    unsafe fn panels<V: Lanes, const PANEL: usize, const CHAINS: usize>(&self) {
        let together = (V::ACCUMULATORS / (PANEL * CHAINS)).max(1);
        // SAFETY: the caller's promise; rows and panels stay below their number.
        unsafe {
            let mut panel = 0;
            // One row alone has too few sums to keep the processor busy: those of several panels. Four of several gates
            // would be faster still from L1, but leave fewer turns between forwards and backwards beyond it.
            if self.rows == 1 && together >= 4 && PANEL == 1 {
                panel += self.one_row::<V, 4, PANEL, CHAINS>(panel);
            }
            if self.rows == 1 && together >= 2 {
                panel += self.one_row::<V, 2, PANEL, CHAINS>(panel);
            }
            while panel < self.panels {
                let mut row = 0;
                if together >= 6 {
                    while row + 6 <= self.rows && self.rows - row != 8 {
                        self.tile::<V, 6, 1, PANEL, CHAINS>(row, panel);
                        row += 6;
                    }
                }
                if together >= 4 {
                    while row + 4 <= self.rows {
                        self.tile::<V, 4, 1, PANEL, CHAINS>(row, panel);
                        row += 4;
                    }
                }
                if together >= 2 {
                    while row + 2 <= self.rows {
                        self.tile::<V, 2, 1, PANEL, CHAINS>(row, panel);
                        row += 2;
                    }
                }
                while row < self.rows {
                    self.tile::<V, 1, 1, PANEL, CHAINS>(row, panel);
                    row += 1;
                }
                panel += 1;
            }
        }
    }

    /// One row of as many whole groups of panels as there are from `first` on; how many panels that was.
    #[inline(always)]
    unsafe fn one_row<V: Lanes, const PANELS: usize, const PANEL: usize, const CHAINS: usize>(
        &self,
        first: usize,
    ) -> usize {
        let groups = (self.panels - first) / PANELS;
        for group in 0..groups {
            let group = if self.backwards { groups - 1 - group } else { group };
            // SAFETY: the caller's promise; panels stay below their number.
            unsafe { self.tile::<V, 1, PANELS, PANEL, CHAINS>(0, first + group * PANELS) };
        }
        groups * PANELS
    }

    /// A few rows of a few panels, all sums in registers.
    #[inline(always)]
    unsafe fn tile<V: Lanes, const ROWS: usize, const PANELS: usize, const PANEL: usize, const CHAINS: usize>(
        &self,
        row: usize,
        panel: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let a = self.a.add(row * self.a_row);
            let b = self.b.add(panel * self.b_panel);
            let out = self.out.add(row * self.out_row + panel * self.out_panel);
            let mut sums = [[[[V::splat(0.0); CHAINS]; PANEL]; PANELS]; ROWS];
            for (r, sums) in sums.iter_mut().enumerate() {
                for (q, sums) in sums.iter_mut().enumerate() {
                    for (p, chains) in sums.iter_mut().enumerate() {
                        match self.start {
                            Start::Zero => {}
                            Start::Bias(bias) => {
                                chains[0] = V::load(bias.add(((panel + q) * PANEL + p) * LANES));
                            }
                            Start::Result => {
                                chains[0] = V::load(out.add(r * self.out_row + q * self.out_panel + p * LANES));
                            }
                        }
                    }
                }
            }
            let mut k = 0;
            while k + CHAINS <= self.depth {
                for chain in 0..CHAINS {
                    self.rank_one(a, b, k + chain, chain, &mut sums);
                }
                k += CHAINS;
            }
            for chain in 0..CHAINS - 1 {
                if k + chain < self.depth {
                    self.rank_one(a, b, k + chain, chain, &mut sums);
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (q, sums) in sums.iter().enumerate() {
                    for (p, chains) in sums.iter().enumerate() {
                        let total = match chains.as_slice() {
                            [a, b, c, d] => (*a + *b) + (*c + *d),
                            _ => chains[0],
                        };
                        total.store(out.add(r * self.out_row + q * self.out_panel + p * LANES));
                    }
                }
            }
        }
    }

    /// Adds what `k` contributes to every sum of a tile.
    #[inline(always)]
    unsafe fn rank_one<V: Lanes, const ROWS: usize, const PANELS: usize, const PANEL: usize, const CHAINS: usize>(
        &self,
        a: *const f32,
        b: *const f32,
        k: usize,
        chain: usize,
        sums: &mut [[[[V; CHAINS]; PANEL]; PANELS]; ROWS],
    ) {
        // SAFETY: the caller's promise, k < depth.
        unsafe {
            let b = b.add(k * self.b_depth);
            for (r, sums) in sums.iter_mut().enumerate() {
                let left = V::splat(*a.add(r * self.a_row + k * self.a_depth));
                for (q, sums) in sums.iter_mut().enumerate() {
                    for (p, chains) in sums.iter_mut().enumerate() {
                        let right = V::load(b.add(q * self.b_panel + p * LANES));
                        chains[chain] = left.mul_add(right, chains[chain]);
                    }
                }
            }
        }
    }
}

/// Packed weights `[tile][column][gate][lane]` as the right side of a product that runs over gates and units:
/// `[column / 16][tile][gate][lane][column % 16]`. Columns beyond the last stay as they are in `out`, zero.
pub fn transpose(weights: &[f32], gates: usize, columns: usize, out: &mut [f32]) {
    let rows = weights.len() / columns;
    let width = gates * LANES;
    for (at, vector) in weights.chunks_exact(LANES).enumerate() {
        let (tile, column, gate) = (at / (columns * gates), at / gates % columns, at % gates);
        let first = column / LANES * rows + tile * width + gate * LANES;
        for (lane, &value) in vector.iter().enumerate() {
            out[(first + lane) * LANES + column % LANES] = value;
        }
    }
}
