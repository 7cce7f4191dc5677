//! Faults that were found and are not fixed yet.

/// A finding whose text contains `part` is counted and printed, and does not fail the test. A line goes when its fault does.
pub struct Known {
    pub part: &'static str,
    /// Where it is mended.
    pub section: u32,
}

pub const KNOWN: &[Known] = &[];
