//! How much a decoder may hold.

use crate::base::limits::{EXPANSION_RATIO_MAX, RECORD_BYTES_MAX, SCRATCH_BYTES_MAX};

/// Limits on a decoder's memory and output. The defaults are those of [`crate::base::limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the largest gzip member that is inflated in one call, and so of a [`Scratch`]'s output buffer. Zero
    /// means that everything is streamed.
    pub scratch_bytes_max: usize,
    /// Bytes of the largest record, and so of the part carried from one push to the next.
    pub record_bytes_max: usize,
    /// Bytes of the whole object, by which its expansion is judged. Zero means that they are not known: then an object
    /// that comes in chunks is judged by those so far, and refused if its densest part comes first.
    pub object_bytes: u64,
    /// Log bytes per compressed byte, once an object has inflated to
    /// [`EXPANSION_FREE_BYTES`](crate::base::limits::EXPANSION_FREE_BYTES).
    pub expansion_ratio_max: u64,
    /// Bytes of an object that can only be read whole (Parquet), and again of its decompressed pages in use at a time.
    pub held_bytes_max: usize,
}

impl Bounds {
    /// Bytes of the whole object, as far as they are known after so many of them.
    pub(super) fn known_bytes(&self, so_far: u64) -> u64 {
        self.object_bytes.max(so_far)
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            scratch_bytes_max: SCRATCH_BYTES_MAX,
            record_bytes_max: RECORD_BYTES_MAX,
            object_bytes: 0,
            expansion_ratio_max: EXPANSION_RATIO_MAX,
            held_bytes_max: SCRATCH_BYTES_MAX,
        }
    }
}
