//! Matrix products over the packed layouts of the arena: the kernels of `kernels/gemm.cu`.

use super::part::Part;
use crate::cuda::Cuda;
use crate::cuda::driver::{Function, Geometry, Memory};
use crate::cuda::image::compile::Program;
use crate::cuda::plan::Dtype;
use crate::error::{DeviceErrorKind as Kind, Error, Result};
use crate::simd::lanes::LANES;
use std::ops::Range;

/// Rows of a matrix, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The first.
    pub at: Part<'a>,
    /// Values from one row to the next, a multiple of sixteen.
    pub width: usize,
    /// How many.
    pub count: usize,
}

impl Rows<'_> {
    /// A range of them.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn part(self, rows: Range<usize>) -> Result<Self> {
        Ok(Self { at: self.at.range(rows.start * self.width..)?, count: rows.len(), ..self })
    }

    /// The first [`MOST_ROWS`], and the others.
    fn split(self) -> Result<(Self, Self)> {
        Ok((self.part(0..MOST_ROWS)?, self.part(MOST_ROWS..self.count)?))
    }
}

/// A weight, packed `[tile][column][gate][lane]`.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a> {
    /// Where it begins.
    pub at: Part<'a>,
    /// Columns of the weight.
    pub columns: usize,
    /// G, or 1 for the head.
    pub gates: usize,
    /// Units, padded.
    pub units: usize,
}

impl Packed<'_> {
    /// Values from one tile to the next, for each column.
    fn panel(&self) -> usize {
        self.gates * LANES
    }

    /// Packed gates.
    fn width(&self) -> usize {
        self.gates * self.units
    }

    fn address(&self) -> Result<u64> {
        self.at.holds("packed weight", self.width() * self.columns)
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct NnArgs {
    a: u64,
    weight: u64,
    bias: u64,
    out: u64,
    rows: i32,
    columns: i32,
    depth: i32,
    a_row: i32,
    panel: i32,
    accumulate: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct NtArgs {
    a: u64,
    weight: u64,
    out: u64,
    rows: i32,
    columns: i32,
    depth: i32,
    panel: i32,
    accumulate: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct TnArgs {
    a: u64,
    d: u64,
    out: u64,
    rows: i32,
    columns: i32,
    gates: i32,
    a_row: i32,
    panel: i32,
    slice: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct AddSlicesArgs {
    slices: u64,
    out: u64,
    len: i64,
    count: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct SumRowsArgs {
    d: u64,
    d_second: u64,
    out: u64,
    out_second: u64,
    rows: i32,
    columns: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct DropoutArgs {
    x: u64,
    factors: u64,
    out: u64,
    len: u64,
}

/// The result of a block, and its threads. `kernels/gemm.cu` has the rule that chooses a tile. It depends on the shape
/// only, never on the GPU.
#[derive(Debug, Clone, Copy)]
struct Tile {
    name: &'static str,
    rows: usize,
    columns: usize,
    threads: u32,
}

/// The fewest rows of a long sum that are worth a slice of their own.
const SLICE: usize = 128;
/// Blocks that a product with a long sum is cut into, about two for each multiprocessor of a large GPU.
const BLOCKS: usize = 256;
/// The most rows of one launch: a grid has at most 65535 tiles in that direction, the smallest of sixteen rows.
const MOST_ROWS: usize = 65535 * 16;

/// The compiled products, for one rounding of their factors.
#[derive(Debug)]
pub struct Products {
    tiles: [Tile; 3],
    nn: [Function; 3],
    nt: [Function; 3],
    tn: [Function; 3],
    add_slices: Function,
    sum_rows: Function,
    dropout: Function,
    /// Sums of slices, until they are added up.
    scratch: Memory<f32>,
}

impl Products {
    /// Compiles them, or takes them out of a cache. `longest` are the (rows, columns, packed gates) that
    /// [`Products::tn`] will be asked for.
    ///
    /// # Errors
    /// If that fails, or there is no memory.
    pub fn load(cuda: &Cuda, dtype: Dtype, longest: &[[usize; 3]]) -> Result<Self> {
        let gpu = cuda.gpu();
        let tensor_cores = match dtype {
            Dtype::F32 => false,
            Dtype::F16 => gpu.properties().arch.number() >= 75,
            Dtype::Tf32 | Dtype::Bf16 => gpu.properties().arch.number() >= 80,
        };
        let wide = if tensor_cores { (128, 256) } else { (64, 128) };
        let tiles = [
            Tile { name: "small", rows: 16, columns: 32, threads: 256 },
            Tile { name: "medium", rows: 64, columns: 64, threads: 64 },
            Tile { name: "large", rows: 128, columns: wide.0, threads: wide.1 },
        ];
        let module = gpu.load(&cuda.image(&dtype.product()?)?)?;
        let functions = |kind: &str| {
            let [small, medium, large] = tiles.map(|tile| module.function(&format!("gemm_{kind}_{}", tile.name)));
            Ok::<_, crate::error::Error>([small?, medium?, large?])
        };
        let scratch = longest.iter().map(|&[rows, columns, gates]| match slices(rows, columns, gates) {
            (1, _) => 1,
            (count, _) => count * columns * gates,
        });
        Ok(Self {
            nn: functions("nn")?,
            nt: functions("nt")?,
            tn: functions("tn")?,
            add_slices: module.function("add_slices")?,
            sum_rows: module.function("sum_rows")?,
            dropout: gpu.load(&cuda.image(&Program::embedded("dropout.cu")?)?)?.function("dropout")?,
            scratch: gpu.zeros(scratch.max().unwrap_or(1))?,
            tiles,
        })
    }

    /// `out[m][n] = Σ_k a[m][k] · W(k, n) + bias[n]`: gates from what a layer reads, y from h.
    ///
    /// # Errors
    /// If an array is too short, or the launch fails.
    pub fn nn(&self, a: Rows, weight: Packed, bias: Option<Part>, out: Rows) -> Result<()> {
        let (rows, columns, depth) = (a.count, weight.width(), weight.columns);
        fits(a.width >= depth && out.width == columns && out.count >= rows, "nn")?;
        if rows > MOST_ROWS {
            let ((a, a_rest), (out, out_rest)) = (a.split()?, out.split()?);
            self.nn(a, weight, bias, out)?;
            return self.nn(a_rest, weight, bias, out_rest);
        }
        let args = NnArgs {
            a: a.at.holds("a", rows * a.width)?,
            weight: weight.address()?,
            bias: super::part::optional(bias, "bias", columns)?,
            out: out.at.holds("out", rows * columns)?,
            rows: rows as i32,
            columns: columns as i32,
            depth: depth as i32,
            a_row: a.width as i32,
            panel: weight.panel() as i32,
            accumulate: 0,
        };
        let (which, geometry) = self.geometry(rows, columns, depth, 1);
        // SAFETY: every array is as long as the kernel's comments say; the fields are those of `struct NnArgs`.
        unsafe { self.nn[which].launch(geometry, &args) }
    }

    /// `out[m][n] = Σ_k a[m][k] · W(n, k)`, where k is the packed gate: gradients at what a layer read. With
    /// `accumulate` it is added.
    ///
    /// # Errors
    /// If an array is too short, or the launch fails.
    pub fn nt(&self, a: Rows, weight: Packed, out: Rows, accumulate: bool) -> Result<()> {
        let (rows, columns, depth) = (a.count, weight.columns, weight.width());
        let out_row = crate::simd::lanes::padded(columns);
        fits(a.width == depth && out.width == out_row && out.count >= rows, "nt")?;
        if rows > MOST_ROWS {
            let ((a, a_rest), (out, out_rest)) = (a.split()?, out.split()?);
            self.nt(a, weight, out, accumulate)?;
            return self.nt(a_rest, weight, out_rest, accumulate);
        }
        let args = NtArgs {
            a: a.at.holds("a", rows * depth)?,
            weight: weight.address()?,
            out: out.at.holds("out", rows * out_row)?,
            rows: rows as i32,
            columns: columns as i32,
            depth: depth as i32,
            panel: weight.panel() as i32,
            accumulate: accumulate.into(),
        };
        let (which, geometry) = self.geometry(rows, out_row, depth, 1);
        // SAFETY: every array is as long as the kernel's comments say; the fields are those of `struct NtArgs`.
        unsafe { self.nt[which].launch(geometry, &args) }
    }

    /// `out(m, n) = Σ_r a[r][m] · d[r][n]`, packed: gradients of a weight.
    ///
    /// # Errors
    /// If an array is too short, or a launch fails.
    pub fn tn(&self, a: Rows, d: Rows, out: Packed) -> Result<()> {
        let (rows, columns, gates) = (a.count, out.columns, out.width());
        fits(a.width >= columns && d.width == gates && d.count == rows, "tn")?;
        let (count, slice) = slices(rows, columns, gates);
        let target = out.at.holds("out", columns * gates)?;
        let sums =
            if count == 1 { target } else { Part::of(&self.scratch).holds("slices", count * columns * gates)? };
        let args = TnArgs {
            a: a.at.holds("a", rows * a.width)?,
            d: d.at.holds("d", rows * gates)?,
            out: sums,
            rows: rows as i32,
            columns: columns as i32,
            gates: gates as i32,
            a_row: a.width as i32,
            panel: out.panel() as i32,
            slice: slice as i32,
        };
        // K is given as 0, because a sum that is cut into slices has enough blocks
        let (which, geometry) = self.geometry(columns, gates, 0, count);
        // SAFETY: every array is as long as the kernel's comments say; the fields are those of `struct TnArgs`.
        unsafe { self.tn[which].launch(geometry, &args)? };
        if count == 1 {
            return Ok(());
        }
        let len = columns * gates;
        let args = AddSlicesArgs { slices: sums, out: target, len: len as i64, count: count as i32 };
        // SAFETY: as above, for `struct AddSlicesArgs`: 128 threads of four values each.
        unsafe { self.add_slices.launch(line(len.div_ceil(512), 128), &args) }
    }

    /// Sums over the rows of one or two matrices: gradients of biases. With two they have the same size.
    ///
    /// # Errors
    /// If an array is too short, or the launch fails.
    pub fn sum_rows<const N: usize>(&self, sums: [(Rows, Part); N]) -> Result<()> {
        let Some((first, out)) = sums.first() else { return Ok(()) };
        let second = sums.get(1);
        let same = second.is_none_or(|(rows, _)| (rows.count, rows.width) == (first.count, first.width));
        fits(N <= 2 && same, "sum_rows")?;
        let len = first.count * first.width;
        let args = SumRowsArgs {
            d: first.at.holds("d", len)?,
            d_second: second.map_or(Ok(0), |(rows, _)| rows.at.holds("d", len))?,
            out: out.holds("sums", first.width)?,
            out_second: second.map_or(Ok(0), |(_, out)| out.holds("sums", first.width))?,
            rows: first.count as i32,
            columns: first.width as i32,
        };
        let grid = [(first.width / LANES) as u32, N as u32, 1];
        let geometry = Geometry { grid, threads: 512, shared: 0, cooperative: false };
        // SAFETY: as above, for `struct SumRowsArgs`: a block for sixteen columns of each matrix.
        unsafe { self.sum_rows.launch(geometry, &args) }
    }

    /// `out = x · factors`, value by value; `out` may be `x`.
    ///
    /// # Errors
    /// If an array is too short, or the launch fails.
    pub fn multiply(&self, x: Part, factors: Part, out: Part, len: usize) -> Result<()> {
        let args = DropoutArgs {
            x: x.holds("x", len)?,
            factors: factors.holds("factors", len)?,
            out: out.holds("out", len)?,
            len: len as u64,
        };
        // SAFETY: as above, for `struct Dropout`: a thread for each value.
        unsafe { self.dropout.launch(line(len.div_ceil(256), 256), &args) }
    }

    /// Which tile, and the blocks that it takes.
    fn geometry(&self, m: usize, n: usize, k: usize, slices: usize) -> (usize, Geometry) {
        let blocks = |tile: &Tile| [n.div_ceil(tile.columns), m.div_ceil(tile.rows)];
        let count = |rows: usize, columns: usize| m.div_ceil(rows) * n.div_ceil(columns);
        let which = if count(128, 128) >= 128 {
            2
        } else if m <= 32 || n <= 32 || count(64, 64) < 64 && k >= 64 {
            0
        } else {
            1
        };
        let tile = &self.tiles[which];
        let [x, y] = blocks(tile).map(|blocks| blocks as u32);
        (which, Geometry { grid: [x, y, slices as u32], threads: tile.threads, shared: 0, cooperative: false })
    }
}

/// How many slices a sum over `rows` rows is cut into, and how many rows each has.
fn slices(rows: usize, columns: usize, gates: usize) -> (usize, usize) {
    let [tile_rows, tile_columns] = if columns.min(gates) <= 32 { [16, 32] } else { [64, 64] };
    let tiles = columns.div_ceil(tile_rows) * gates.div_ceil(tile_columns);
    let count = BLOCKS.div_ceil(tiles).clamp(1, rows.div_ceil(SLICE).max(1));
    let slice = rows.div_ceil(count).next_multiple_of(LANES);
    (rows.div_ceil(slice).max(1), slice)
}

fn line(blocks: usize, threads: u32) -> Geometry {
    Geometry { grid: [blocks as u32, 1, 1], threads, shared: 0, cooperative: false }
}

fn fits(sizes: bool, what: &str) -> Result<()> {
    if sizes {
        Ok(())
    } else {
        Err(Error::device(Kind::Unsupported, format!("product {what}: the sizes of its arrays do not match")))
    }
}
