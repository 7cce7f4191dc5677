//! What is asked of a whole pass through a network, whatever runs it.

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

/// What happens to rows on their way into a network and out of it, by whoever knows what the numbers mean. A pass over many rows
/// calls it for a block of them at a time, on the thread that works on the block.
pub trait Around: Sync {
    /// Rows of x, `[n,I]`, in place, before the network sees them.
    fn before(&self, x: &mut [f32]);
    /// Rows of y, `[n,O]`, in place, once the network has given them.
    fn after(&self, y: &mut [f32]);
}
