//! The head: `y = W h + b`. Formula: PyTorch, `torch.nn.Linear`.
//!
//! As a product with lanes across outputs one output costs as much as sixteen, and all those that forecast one series
//! have one. Few outputs are therefore sums of sixteen lanes along h, added up at the end. Which of the two it is
//! depends on O alone: the bits are the same for a step and a sequence, on every instruction set.

use super::product::{Product, Start};
use crate::lanes::{LANES, Lanes, Pass, padded};
use core::ops::Range;

/// The most outputs that are summed along h.
const FEW: usize = 4;

/// The head for some rows of h.
///
/// Everyone who makes one promises that its pointers reach what their comments say.
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
    /// `[rows][Op]`; what lies beyond O is anything.
    pub y: *mut f32,
}

// SAFETY: it owns nothing; whoever runs it promises that its memory may be used.
unsafe impl Send for Linear {}
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
        let (width, out) = (padded(self.hidden), padded(self.output));
        // SAFETY: the caller's promise.
        unsafe {
            if self.output > FEW {
                return Product {
                    rows: self.rows,
                    depth: self.hidden,
                    panel: 1,
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
                    backwards: false,
                }
                .run::<V>();
            }
            for o in 0..self.output {
                let (weight, bias) = (self.weight_transposed.add(o * LANES), *self.bias.add(o));
                let mut row = 0;
                while row + LANES <= self.rows {
                    let mut rows = [V::splat(0.0); LANES];
                    for (r, sum) in rows.iter_mut().enumerate() {
                        *sum = dot(self.h.add((row + r) * width), weight, out * LANES, width / LANES);
                    }
                    let mut total = [0.0; LANES];
                    (V::sums(rows) + V::splat(bias)).store(total.as_mut_ptr());
                    for (r, y) in total.into_iter().enumerate() {
                        *self.y.add((row + r) * out + o) = y;
                    }
                    row += LANES;
                }
                for row in row..self.rows {
                    let sum: V = dot(self.h.add(row * width), weight, out * LANES, width / LANES);
                    *self.y.add(row * out + o) = sum.sum() + bias;
                }
            }
        }
    }
}

/// `Σ a · b` over `tiles` vectors, those of b `b_tile` values apart; even and odd ones in a chain each. Its lanes are still
/// to be added up.
#[inline(always)]
unsafe fn dot<V: Lanes>(a: *const f32, b: *const f32, b_tile: usize, tiles: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [V::load(a) * V::load(b), V::splat(0.0)];
        for tile in 1..tiles {
            let sum = &mut sums[tile % 2];
            *sum = V::load(a.add(tile * LANES)).mul_add(V::load(b.add(tile * b_tile)), *sum);
        }
        sums[0] + sums[1]
    }
}
