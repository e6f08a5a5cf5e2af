//! How much a decoder may hold.

use crate::base::limits::{EXPANSION_RATIO_MAX, RECORD_BYTES_MAX, SCRATCH_BYTES_MAX};

/// How much a decoder may hold and make of its input. The defaults are those of [`crate::base::limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the largest gzip member that is inflated in one call, and so of a [`Scratch`]'s
    /// output buffer. Zero: everything is inflated as a stream.
    pub scratch_bytes_max: usize,
    /// Bytes of the largest record, and so of what is carried from one push to the next.
    pub record_bytes_max: usize,
    /// Log bytes for one compressed byte, once an object has inflated to
    /// [`EXPANSION_FREE_BYTES`](crate::base::limits::EXPANSION_FREE_BYTES).
    pub expansion_ratio_max: u64,
    /// Bytes of an object that can only be read when it is there as a whole (Parquet), and again of
    /// its decompressed pages that are needed at a time.
    pub held_bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            scratch_bytes_max: SCRATCH_BYTES_MAX,
            record_bytes_max: RECORD_BYTES_MAX,
            expansion_ratio_max: EXPANSION_RATIO_MAX,
            held_bytes_max: SCRATCH_BYTES_MAX,
        }
    }
}
