//! What is asked of a whole pass through a network, whatever runs it.

/// Whether backward will follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Forward only: the least memory.
    Inference,
    /// Forward keeps what backward needs.
    Training,
}

/// Which steps of a window go through the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
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
