//! The head: `y = W h + b`. Formula: PyTorch, `torch.nn.Linear`.
//!
//! In a product with lanes across outputs, one output costs as much as sixteen, and a network that forecasts one series
//! has one. Few outputs are therefore computed with lanes along h: sixteen sums each, added up at the end. Which of the
//! two is used depends on O alone, so the bits are the same for a step and a sequence, on every instruction set.

use super::product::{Panel, Product, Start};
use crate::simd::lanes::{LANES, Lanes, Pass, padded};
use core::ops::Range;

/// The most outputs that are summed along h.
const FEW: usize = 4;

/// The head for some rows of h.
///
/// Whoever makes one promises that its pointers are valid for what their comments describe.
#[derive(Clone, Copy)]
pub struct Linear {
    /// Rows of h and y.
    pub rows: usize,
    /// H
    pub hidden: usize,
    /// O
    pub output: usize,
    /// `[rows][Hp]`, zero beyond H.
    pub h: *const f32,
    /// fc.weight, `[tile of outputs][H][lane]`.
    pub weight: *const f32,
    /// The same with lanes along h, `[tile of h][Op][lane]`, as [`super::product::transpose`] makes it.
    pub weight_transposed: *const f32,
    /// fc.bias, `[Op]`.
    pub bias: *const f32,
    /// `[rows][Op]`; values beyond O are arbitrary.
    pub y: *mut f32,
}

// SAFETY: it owns nothing; whoever runs it promises that its memory may be used.
unsafe impl Send for Linear {}
// SAFETY: the same.
unsafe impl Sync for Linear {}

impl Linear {
    /// The same head for some of its rows only.
    pub fn some_rows(self, rows: Range<usize>) -> Self {
        // SAFETY: rows of h and y.
        let (h, y) =
            unsafe { (self.h.add(rows.start * padded(self.hidden)), self.y.add(rows.start * padded(self.output))) };
        Self { h, y, rows: rows.len(), ..self }
    }
}

impl Pass for Linear {
    type Output = ();

    /// # Safety
    /// All that the fields describe can be read or written, and nothing else writes there meanwhile.
    #[inline(always)]
    unsafe fn run<V: Lanes>(self) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.output > FEW {
                return self.product().run::<V>();
            }
            let out = padded(self.output);
            for o in 0..self.output {
                let bias = *self.bias.add(o);
                let mut row = 0;
                while row + LANES <= self.rows {
                    let mut rows = [V::splat(0.0); LANES];
                    for (r, sum) in rows.iter_mut().enumerate() {
                        *sum = self.dot(row + r, o);
                    }
                    let mut total = [0.0; LANES];
                    (V::sums(rows) + V::splat(bias)).store(total.as_mut_ptr());
                    for (r, y) in total.into_iter().enumerate() {
                        *self.y.add((row + r) * out + o) = y;
                    }
                    row += LANES;
                }
                for row in row..self.rows {
                    self.one::<V>(row, o);
                }
            }
        }
    }
}

impl Linear {
    /// The head for one row, inlined into the caller.
    ///
    /// # Safety
    /// That of [`Linear::run`].
    #[inline(always)]
    pub unsafe fn row<V: Lanes>(self) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.output > FEW {
                return self.product().run::<V>();
            }
            for o in 0..self.output {
                self.one::<V>(0, o);
            }
        }
    }

    /// The same as a product with lanes across outputs.
    fn product(&self) -> Product {
        let (width, out) = (padded(self.hidden), padded(self.output));
        Product {
            rows: self.rows,
            depth: self.hidden,
            panel: Panel::One,
            panels: out / LANES,
            a: self.h,
            a_row: width,
            a_depth: 1,
            b: self.weight,
            b_depth: LANES,
            b_panel: self.hidden * LANES,
            out: self.y,
            out_row: out,
            out_panel: LANES,
            start: Start::Bias(self.bias),
        }
    }

    /// Output `o` of a row.
    #[inline(always)]
    unsafe fn one<V: Lanes>(&self, row: usize, o: usize) {
        // SAFETY: the caller's promise; a row and an output.
        unsafe {
            let sum: V = self.dot(row, o);
            *self.y.add(row * padded(self.output) + o) = sum.sum() + *self.bias.add(o);
        }
    }

    /// `Σ h · weight` of output `o` of a row, with one chain for even and one for odd vectors. Its lanes are not added
    /// up yet.
    #[inline(always)]
    unsafe fn dot<V: Lanes>(&self, row: usize, o: usize) -> V {
        let (tiles, distance) = (padded(self.hidden) / LANES, padded(self.output) * LANES);
        // SAFETY: the caller's promise; a row and an output.
        unsafe {
            let (h, weight) = (self.h.add(row * tiles * LANES), self.weight_transposed.add(o * LANES));
            let mut sums = [V::load(h) * V::load(weight), V::splat(0.0)];
            for tile in 1..tiles {
                let sum = &mut sums[tile % 2];
                *sum = V::load(h.add(tile * LANES)).mul_add(V::load(weight.add(tile * distance)), *sum);
            }
            sums[0] + sums[1]
        }
    }
}
