//! A GPU as the rest of the library sees it: open, with its options and its compiled kernels.

use super::driver::Gpu;
use super::plan::{Dtype, Frame};
use crate::cuda::image::bundle::Bundle;
use crate::cuda::image::cache::Cache;
use crate::cuda::image::compile::Program;
use crate::error::Result;
use crate::net::shape::Shape;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Where compiled kernels come from: a bundle made ahead of time, else the cache on disk, else NVRTC.
#[derive(Debug, Clone)]
pub struct Images {
    bundle: Option<Arc<Bundle>>,
    cache: Cache,
    /// Images that this process has compiled or read, so that no program is compiled twice even without a cache on
    /// disk.
    made: Arc<Mutex<BTreeMap<[u8; 32], Vec<u8>>>>,
}

impl Images {
    /// With the cache on disk. If `cached` is false there is no cache, and every process compiles its kernels anew.
    pub fn new(cached: bool) -> Self {
        Self { bundle: None, cache: Cache::new(cached), made: Arc::default() }
    }

    /// Only the kernels of a bundle, which were compiled ahead of time for a model of this shape: a machine that runs
    /// from a bundle may have no compiler.
    ///
    /// # Errors
    /// Those of [`Bundle::load`].
    pub fn bundled(path: &Path, shape: &Shape) -> Result<Self> {
        let bundle = Bundle::load(path, &shape_line(shape))?;
        Ok(Self { bundle: Some(Arc::new(bundle)), ..Self::new(false) })
    }
}

/// Everything about a model that its kernels depend on, as a bundle stores it.
pub(super) fn shape_line(shape: &Shape) -> String {
    format!("{shape:?}")
}

/// An open GPU. Cheap to clone; all clones share one queue of work.
#[derive(Debug, Clone)]
pub struct Cuda {
    gpu: Gpu,
    images: Images,
    dtype: Dtype,
    frame: Option<Frame>,
    pieces: Option<usize>,
}

impl Cuda {
    /// Opens GPU number `index`.
    ///
    /// # Errors
    /// If there is no driver, the driver is too old, or there is no such GPU. The message is one line with the reason.
    pub fn open(index: usize, images: Images) -> Result<Self> {
        Ok(Self { gpu: Gpu::open(index)?, images, dtype: Dtype::F32, frame: None, pieces: None })
    }

    /// With factors of products rounded to `dtype`.
    #[must_use]
    pub fn with_dtype(self, dtype: Dtype) -> Self {
        Self { dtype, ..self }
    }

    /// With recurrent layers in `frame`, even if another frame would be faster. `None` leaves the choice to the plan.
    #[must_use]
    pub fn with_frame(self, frame: Option<Frame>) -> Self {
        Self { frame, ..self }
    }

    /// With windows cut into so many pieces: the input projection of the next piece runs while the recurrent layer
    /// works on this one. `None` leaves the choice to the network.
    #[must_use]
    pub fn with_pieces(self, pieces: Option<usize>) -> Self {
        Self { pieces, ..self }
    }

    /// The GPU itself.
    #[doc(hidden)]
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// How factors of products are rounded.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The frame that was asked for.
    pub fn frame(&self) -> Option<Frame> {
        self.frame
    }

    /// The pieces that were asked for.
    pub fn pieces(&self) -> Option<usize> {
        self.pieces
    }

    /// See [`Device::order_of_sums`](crate::device::Device::order_of_sums).
    pub(crate) fn order_of_sums(&self) -> String {
        let card = self.gpu.properties();
        let frame = self.frame.map_or(String::new(), |frame| format!(", {}", frame.name()));
        let [name, dtype] = [card.name.as_str(), self.dtype.name()];
        format!("{name} ({}, {} multiprocessors), {dtype}{frame}", card.arch, card.multiprocessors)
    }

    /// The image of a program for this GPU.
    pub(super) fn image(&self, program: &Program) -> Result<Vec<u8>> {
        let card = self.gpu.properties();
        if let Some(bundle) = &self.images.bundle {
            return Ok(bundle.find(program, card.arch, card.integrated)?.to_vec());
        }
        let mut made = self.images.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = made.get(&program.digest()) {
            return Ok(image.clone());
        }
        let image = self.images.cache.image(program, card.arch)?.0;
        made.insert(program.digest(), image.clone());
        Ok(image)
    }
}

/// The GPU's name, and the rounding if there is one.
impl fmt::Display for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.gpu.properties().name)?;
        if self.dtype == Dtype::F32 { Ok(()) } else { write!(f, ", {}", self.dtype.name()) }
    }
}
