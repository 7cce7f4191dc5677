//! The options of a pass through a network, on any device.

/// Whether backward will follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Forward only: the least memory.
    Inference,
    /// Forward keeps what backward needs.
    Training,
}

/// Which steps of a window go through the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadSteps {
    /// Every step.
    All,
    /// The last step only.
    Last,
}

/// Elements dropped between layers in training.
pub trait Dropout {
    /// Fills in the factors of a `[T·B][H]` array above `layer`: 0, or `1 / (1 - p)`.
    fn factors(&mut self, layer: usize, rows: &mut dyn Iterator<Item = &mut [f32]>);
}

/// Changes rows on their way into a network and out of it: by whoever knows the units of the numbers. A pass over many
/// rows calls it for one block of rows at a time, on the thread that works on the block.
pub trait Around: Sync {
    /// Changes rows of x, `[n,I]`, in place, before the network reads them.
    fn before(&self, x: &mut [f32]);
    /// Changes rows of y, `[n,O]`, in place, after the network has computed them.
    fn after(&self, y: &mut [f32]);
}
