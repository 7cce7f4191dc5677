//! The one matrix product: projections, recurrence, head, and all gradients are calls of it.
//!
//! The right side is read in panels of a few vectors, its lanes side by side; the left side is broadcast value by
//! value. Each element of the result is summed over `k` from front to back, whatever the instruction set, the
//! number of rows taken together or the number of threads: that is why one long sequence equals many single
//! steps bit for bit.

use super::stored::{F32, Stored};
use crate::cell::kind::CellKind;
use crate::cell::{Cell, MOST};
use crate::net::weight_format::Weights;
use crate::simd::lanes::{LANES, Lanes, Pass};
use core::marker::PhantomData;
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
    /// Nothing; at the end it is multiplied by the scale of its column and the bias, if there is one, is added. Both
    /// are laid out as one row of the result. For formats with scales, and only for them.
    Scaled(*const f32, Option<*const f32>),
}

/// Vectors of a panel: those of the gates of a unit, or one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Panel {
    /// Of an Elman RNN, and of whatever has no gates.
    One,
    /// Of two gates.
    Two,
    /// Of three gates.
    Three,
    /// Of four gates.
    Four,
}

impl Panel {
    /// The panel of so many vectors.
    ///
    /// # Panics
    /// If no product is written for that number. For the gates of a cell, this is a compile error.
    pub const fn of(vectors: usize) -> Self {
        match vectors {
            1 => Self::One,
            2 => Self::Two,
            3 => Self::Three,
            4 => Self::Four,
            _ => panic!("no product is written for a panel of so many vectors"),
        }
    }
}

// A product with another number of gates would read beyond the weights, so a cell with such a number does not compile.
const _: () = {
    let mut i = 0;
    while i < CellKind::ALL.len() {
        Panel::of(CellKind::ALL[i].gates());
        i += 1;
    }
};

/// `out[m, n] = start + Σ_k a[m, k] · b[k, n]`, for m < `rows`, k < `depth`, n in `panels` panels of `panel`
/// vectors. All distances are in values.
#[derive(Clone, Copy)]
pub struct Product {
    /// Rows of `a` and `out`.
    pub rows: usize,
    /// Length of the sums.
    pub depth: usize,
    /// Vectors of a panel: G for gates, 1 else.
    pub panel: Panel,
    /// Panels of `b` and `out`.
    pub panels: usize,
    /// Left side.
    pub a: *const f32,
    /// From one row of `a` to the next.
    pub a_row: usize,
    /// From one k to the next in `a`.
    pub a_depth: usize,
    /// Right side; a panel is contiguous for one k (for one run of them, if it is not stored in f32).
    pub b: *const f32,
    /// From one k to the next in `b` (from one run of them, see [`Stored::RUN`]).
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
}

// SAFETY: a product owns nothing; whoever runs it promises that its memory may be used.
unsafe impl Send for Product {}
// SAFETY: the same.
unsafe impl Sync for Product {}

impl Pass for Product {
    type Output = ();

    /// # Safety
    /// All that the fields describe can be read or written, and nothing else writes there meanwhile.
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the caller's promise.
        unsafe { self.run_stored::<V, F32>() }
    }
}

/// A product with a right side stored as `S`, as a pass of its own. So the compiler generates it once for an
/// instruction set and not at every call, which would be most of the code.
struct Apart<S> {
    product: Product,
    stored: PhantomData<S>,
}

impl<S: Stored> Pass for Apart<S> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        let Self { product, .. } = self;
        // SAFETY: the caller's promise. A panel of one vector is split into four chains, since one sum alone would
        // wait for each addition before the next; four gates are four chains already.
        unsafe {
            match (product.rows, product.panel) {
                (1, Panel::One) => product.row::<V, S, 1, 4>(),
                (1, Panel::Two) => product.row::<V, S, 2, 1>(),
                (1, Panel::Three) => product.row::<V, S, 3, 1>(),
                (1, Panel::Four) => product.row::<V, S, 4, 1>(),
                (_, Panel::One) => product.panels::<V, S, 1, 4>(),
                (_, Panel::Two) => product.blocks::<V, S, 2>(),
                (_, Panel::Three) => product.blocks::<V, S, 3>(),
                (_, Panel::Four) => product.blocks::<V, S, 4>(),
            }
        }
    }
}

impl Product {
    /// The product with a right side stored as `S`.
    ///
    /// # Safety
    /// That of [`Product::run`].
    #[inline(always)]
    pub unsafe fn run_stored<V: Lanes, S: Stored>(self) {
        // SAFETY: the caller's promise.
        unsafe { V::run(Apart::<S> { product: self, stored: PhantomData }) }
    }

    /// The same product for some of its rows only.
    pub fn some_rows(self, rows: Range<usize>) -> Self {
        // SAFETY: rows of the product.
        let (a, out) = unsafe { (self.a.add(rows.start * self.a_row), self.out.add(rows.start * self.out_row)) };
        Self { a, out, rows: rows.len(), ..self }
    }

    /// The same product for some of its panels only. It must not start from a bias.
    pub fn some_panels(self, panels: Range<usize>) -> Self {
        // SAFETY: panels of the product.
        let (b, out) =
            unsafe { (self.b.add(panels.start * self.b_panel), self.out.add(panels.start * self.out_panel)) };
        Self { b, out, panels: panels.len(), ..self }
    }

    /// For many rows, k is cut into parts that are done one after the other. What a panel has in such a part stays in
    /// the first-level cache for all rows. Each sum goes on from where it was, so the result is the same.
    #[inline(always)]
    unsafe fn blocks<V: Lanes, S: Stored, const PANEL: usize>(&self) {
        const BLOCK: usize = 16 << 10; // bytes, a third to a half of the first-level cache of most processors
        let depth = BLOCK / (PANEL * LANES * size_of::<f32>());
        if S::WEIGHTS != Weights::F32 || self.rows < 8 || self.depth <= depth {
            // SAFETY: the caller's promise.
            return unsafe { self.panels::<V, S, PANEL, 1>() };
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
                .panels::<V, F32, PANEL, 1>();
            }
        }
    }

    /// One row has too few sums in a panel to keep the processor busy, so several panels are taken together.
    #[inline(always)]
    unsafe fn row<V: Lanes, S: Stored, const PANEL: usize, const CHAINS: usize>(&self) {
        let together = (V::ACCUMULATORS / (PANEL * CHAINS)).max(1);
        // SAFETY: the caller's promise; panels stay below their number.
        unsafe {
            let mut panel = 0;
            while together >= 4 && PANEL == 1 && panel + 4 <= self.panels {
                self.tile::<V, S, 1, 4, PANEL, CHAINS>(0, panel);
                panel += 4;
            }
            while together >= 2 && panel + 2 <= self.panels {
                self.tile::<V, S, 1, 2, PANEL, CHAINS>(0, panel);
                panel += 2;
            }
            while panel < self.panels {
                self.tile::<V, S, 1, 1, PANEL, CHAINS>(0, panel);
                panel += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn panels<V: Lanes, S: Stored, const PANEL: usize, const CHAINS: usize>(&self) {
        let together = (V::ACCUMULATORS / (PANEL * CHAINS)).max(1);
        // SAFETY: the caller's promise; rows and panels stay below their number.
        unsafe {
            let mut panel = 0;
            // One gate in four chains, many rows: two chains come after the other two, so that twelve sums share what
            // is read.
            let wide = PANEL == 1 && CHAINS == 4 && S::WEIGHTS == Weights::F32;
            while wide && V::ACCUMULATORS >= 24 && self.rows >= 6 && panel + 2 <= self.panels {
                let mut row = 0;
                while row + 6 <= self.rows {
                    self.two_turns::<V, 6, 2, CHAINS>(row, panel);
                    row += 6;
                }
                while row < self.rows {
                    self.tile::<V, S, 1, 2, PANEL, CHAINS>(row, panel);
                    row += 1;
                }
                panel += 2;
            }
            while panel < self.panels {
                let mut row = 0;
                if together >= 6 {
                    while row + 6 <= self.rows && self.rows - row != 8 {
                        self.tile::<V, S, 6, 1, PANEL, CHAINS>(row, panel);
                        row += 6;
                    }
                }
                if together >= 4 {
                    while row + 4 <= self.rows {
                        self.tile::<V, S, 4, 1, PANEL, CHAINS>(row, panel);
                        row += 4;
                    }
                }
                if together >= 2 {
                    while row + 2 <= self.rows {
                        self.tile::<V, S, 2, 1, PANEL, CHAINS>(row, panel);
                        row += 2;
                    }
                }
                while row < self.rows {
                    self.tile::<V, S, 1, 1, PANEL, CHAINS>(row, panel);
                    row += 1;
                }
                panel += 1;
            }
        }
    }

    /// A few rows of a few panels, all sums in registers.
    #[inline(always)]
    unsafe fn tile<
        V: Lanes,
        S: Stored,
        const ROWS: usize,
        const PANELS: usize,
        const PANEL: usize,
        const CHAINS: usize,
    >(
        &self,
        row: usize,
        panel: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let out = self.out.add(row * self.out_row + panel * self.out_panel);
            let totals = self.sums::<V, S, ROWS, PANELS, PANEL, CHAINS>(row, panel);
            for (r, totals) in totals.iter().enumerate() {
                for (q, totals) in totals.iter().enumerate() {
                    for (p, total) in totals.iter().enumerate() {
                        total.store(out.add(r * self.out_row + q * self.out_panel + p * LANES));
                    }
                }
            }
        }
    }

    /// The sums of a tile, left in registers.
    ///
    /// # Safety
    /// That of [`Product::run`], except that nothing is written; rows and panels must be those of the product.
    #[inline(always)]
    unsafe fn sums<
        V: Lanes,
        S: Stored,
        const ROWS: usize,
        const PANELS: usize,
        const PANEL: usize,
        const CHAINS: usize,
    >(
        &self,
        row: usize,
        panel: usize,
    ) -> [[[V; PANEL]; PANELS]; ROWS] {
        // SAFETY: the caller's promise.
        unsafe {
            let a = self.a.add(row * self.a_row);
            let b = self.b.add(panel * self.b_panel);
            let mut sums = [[[[V::splat(0.0); CHAINS]; PANEL]; PANELS]; ROWS];
            for (r, sums) in sums.iter_mut().enumerate() {
                for (q, sums) in sums.iter_mut().enumerate() {
                    for (p, chains) in sums.iter_mut().enumerate() {
                        match self.start {
                            Start::Zero | Start::Scaled(..) => {}
                            Start::Bias(bias) => {
                                chains[0] = V::load(bias.add(((panel + q) * PANEL + p) * LANES));
                            }
                            Start::Result => {
                                let out = self.out.add((row + r) * self.out_row + (panel + q) * self.out_panel);
                                chains[0] = V::load(out.add(p * LANES));
                            }
                        }
                    }
                }
            }
            // k belongs to chain k mod CHAINS, however many k come with one load
            let group = if CHAINS > S::RUN { CHAINS } else { S::RUN };
            let mut k = 0;
            while k + group <= self.depth {
                for first in (0..group).step_by(S::RUN) {
                    self.rank_run::<V, S, ROWS, PANELS, PANEL, CHAINS>(a, b, k + first, S::RUN, &mut sums);
                }
                k += group;
            }
            for first in (0..group).step_by(S::RUN) {
                if k + first < self.depth {
                    let run = if k + first + S::RUN <= self.depth { S::RUN } else { 1 };
                    self.rank_run::<V, S, ROWS, PANELS, PANEL, CHAINS>(a, b, k + first, run, &mut sums);
                }
            }
            let mut totals = [[[V::splat(0.0); PANEL]; PANELS]; ROWS];
            for r in 0..ROWS {
                for q in 0..PANELS {
                    for p in 0..PANEL {
                        let chains = &sums[r][q][p];
                        let mut total =
                            if CHAINS == 4 { (chains[0] + chains[1]) + (chains[2] + chains[3]) } else { chains[0] };
                        if S::WEIGHTS.scaled()
                            && let Start::Scaled(scale, bias) = self.start
                        {
                            let column = ((panel + q) * PANEL + p) * LANES;
                            let bias = bias.map_or(V::splat(0.0), |bias| V::load(bias.add(column)));
                            total = total.mul_add(V::load(scale.add(column)), bias);
                        }
                        totals[r][q][p] = total;
                    }
                }
            }
            totals
        }
    }

    /// One row of some panels, which are the gates of cell `C`, left in registers.
    ///
    /// # Safety
    /// That of [`Product::run`], except that nothing is written; panels must be those of the product.
    #[inline(always)]
    pub unsafe fn gates<V: Lanes, C: Cell, S: Stored, const PANELS: usize>(&self, panel: usize) -> [[V; MOST]; PANELS] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut gates = [[V::splat(0.0); MOST]; PANELS];
            // the conditions are constants, so only the product of this cell is generated
            const { Panel::of(C::GATES) };
            if const { C::GATES == 1 } {
                let [sums] = self.sums::<V, S, 1, PANELS, 1, 4>(0, panel);
                for q in 0..PANELS {
                    gates[q][0] = sums[q][0];
                }
            } else if const { C::GATES == 2 } {
                let [sums] = self.sums::<V, S, 1, PANELS, 2, 1>(0, panel);
                for q in 0..PANELS {
                    for gate in 0..2 {
                        gates[q][gate] = sums[q][gate];
                    }
                }
            } else if const { C::GATES == 3 } {
                let [sums] = self.sums::<V, S, 1, PANELS, 3, 1>(0, panel);
                for q in 0..PANELS {
                    for gate in 0..3 {
                        gates[q][gate] = sums[q][gate];
                    }
                }
            } else {
                [gates] = self.sums::<V, S, 1, PANELS, 4, 1>(0, panel);
            }
            gates
        }
    }

    /// A few rows of a few panels of one vector, two of the four chains of each sum at a time. The result holds the sum
    /// of the first two until the others are done. The additions are those of [`Product::sums`].
    #[inline(always)]
    unsafe fn two_turns<V: Lanes, const ROWS: usize, const PANELS: usize, const CHAINS: usize>(
        &self,
        row: usize,
        panel: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let a = self.a.add(row * self.a_row);
            let b = self.b.add(panel * self.b_panel);
            let out = self.out.add(row * self.out_row + panel * self.out_panel);
            for turn in 0..2 {
                let mut sums = [[[[V::splat(0.0); 2]; 1]; PANELS]; ROWS];
                for (r, sums) in sums.iter_mut().enumerate().take(if turn == 0 { ROWS } else { 0 }) {
                    for (q, sums) in sums.iter_mut().enumerate() {
                        match self.start {
                            Start::Zero | Start::Scaled(..) => {}
                            Start::Bias(bias) => sums[0][0] = V::load(bias.add((panel + q) * LANES)),
                            Start::Result => sums[0][0] = V::load(out.add(r * self.out_row + q * self.out_panel)),
                        }
                    }
                }
                let mut k = 2 * turn;
                while k + 2 <= self.depth {
                    self.rank_run::<V, F32, ROWS, PANELS, 1, 2>(a, b, k, 1, &mut sums);
                    self.rank_run::<V, F32, ROWS, PANELS, 1, 2>(a, b, k + 1, 1, &mut sums);
                    k += CHAINS;
                }
                if k < self.depth {
                    self.rank_run::<V, F32, ROWS, PANELS, 1, 2>(a, b, k, 1, &mut sums);
                }
                for (r, sums) in sums.iter().enumerate() {
                    for (q, [[first, second]]) in sums.iter().enumerate() {
                        let out = out.add(r * self.out_row + q * self.out_panel);
                        let both = *first + *second;
                        if turn == 0 { both } else { V::load(out) + both }.store(out);
                    }
                }
            }
        }
    }

    /// Adds what `run` values of k from `k` on contribute to every sum of a tile; they come with one load.
    #[inline(always)]
    unsafe fn rank_run<
        V: Lanes,
        S: Stored,
        const ROWS: usize,
        const PANELS: usize,
        const PANEL: usize,
        const CHAINS: usize,
    >(
        &self,
        a: *const f32,
        b: *const f32,
        k: usize,
        run: usize,
        sums: &mut [[[[V; CHAINS]; PANEL]; PANELS]; ROWS],
    ) {
        // SAFETY: the caller's promise, k + run <= depth.
        unsafe {
            let b = b.add(k / S::RUN * self.b_depth);
            for (r, sums) in sums.iter_mut().enumerate() {
                let mut left = [V::splat(0.0); 2];
                for (i, left) in left.iter_mut().enumerate().take(run) {
                    *left = V::splat(*a.add(r * self.a_row + (k + i) * self.a_depth));
                }
                for (q, sums) in sums.iter_mut().enumerate() {
                    for (p, chains) in sums.iter_mut().enumerate() {
                        let right = S::load::<V>(b.add(q * self.b_panel + p * S::WORDS));
                        for i in 0..run {
                            let sum = &mut chains[(k + i) % CHAINS];
                            *sum = left[i].mul_add(right[i], *sum);
                        }
                    }
                }
            }
        }
    }
}

/// Packed weights `[tile][column][gate][lane]` as the right side of a product that runs over gates and units:
/// `[column / 16][tile][gate][lane][column % 16]`. Columns beyond the last are not written: `out` must be zero there.
pub const fn transpose(weights: &[f32], gates: usize, columns: usize, out: &mut [f32]) {
    let rows = weights.len() / columns;
    let (mut at, mut tile) = (0, 0);
    while at < weights.len() {
        let mut column = 0;
        while column < columns {
            let mut gate = 0;
            while gate < gates {
                let first = (column / LANES * rows + (tile * gates + gate) * LANES) * LANES + column % LANES;
                let mut lane = 0;
                while lane < LANES {
                    out[first + lane * LANES] = weights[at + lane];
                    lane += 1;
                }
                at += LANES;
                gate += 1;
            }
            column += 1;
        }
        tile += 1;
    }
}
