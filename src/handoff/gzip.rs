//! Compresses frames into a gzip member (`docs/devo-wire.md#compressed-sending`).
//!
//! One complete member per batch, members after one another on the stream, no length prefix, and no octet counting
//! inside: [`Frames::is_counted`](crate::stages::frame::Frames::is_counted) says which frames must be sent plain.

use std::fmt;
use std::io::Read;
use std::sync::Mutex;

use flate2::read::MultiGzDecoder;
use libdeflater::{CompressionLvl, Compressor};

use crate::base::locks::lock;

/// Compresses batches at one level, on any number of threads.
pub struct Gzip {
    level: CompressionLvl,
    /// A compressor has several hundred KiB of tables, so compressors are kept between batches, as many as threads have
    /// compressed at the same time.
    idle: Mutex<Vec<Compressor>>,
}

impl Gzip {
    /// libdeflate's levels, 1 (fast) to 12 (small). Others are clamped.
    pub fn new(level: u8) -> Gzip {
        let level = CompressionLvl::new(level.clamp(1, 12).into()).unwrap_or_default();
        Gzip { level, idle: Mutex::default() }
    }

    /// Compresses the bytes as one whole member.
    pub fn member(&self, bytes: &[u8]) -> Vec<u8> {
        let mut compressor = self.idle().pop().unwrap_or_else(|| Compressor::new(self.level));
        let mut member = vec![0; compressor.gzip_compress_bound(bytes.len())];
        let length = compressor.gzip_compress(bytes, &mut member);
        self.idle().push(compressor);
        #[expect(clippy::expect_used, reason = "the bound is libdeflate's own promise that the member fits")]
        member.truncate(length.expect("a member fits its bound"));
        member.shrink_to_fit();
        member
    }

    /// Decompresses members that were made here.
    pub fn frames(&self, members: &[u8]) -> Vec<u8> {
        let mut frames = Vec::new();
        // Memory cannot fail, and our own members are complete.
        let _ = MultiGzDecoder::new(members).read_to_end(&mut frames);
        frames
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Compressor>> {
        lock(&self.idle)
    }
}

impl fmt::Debug for Gzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gzip({:?})", self.level)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inflate(stream: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        MultiGzDecoder::new(stream).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn frames_become_smaller() {
        let frames = b"<14>Nov  1 09:08:07 h a.b: hello\n".repeat(100);
        assert!(Gzip::new(1).member(&frames).len() < frames.len() / 10);
    }

    proptest! {
        /// Another implementation reads consecutive members as consecutive frames.
        #[test]
        fn members_follow_one_another(batches in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..5), level in 0u8..15) {
            let gzip = Gzip::new(level);
            let stream: Vec<u8> = batches.iter().flat_map(|batch| gzip.member(batch)).collect();
            prop_assert_eq!(inflate(&stream), batches.concat());
        }
    }
}
