//! The compressions that are understood.

use std::fmt;

/// A supported compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 1950.
    Zlib,
    /// RFC 8878, any number of frames.
    Zstd,
}

impl Compression {
    /// The format's name for one self-contained piece.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Compression::Gzip => "member",
            Compression::Zlib => "stream",
            Compression::Zstd => "frame",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::Gzip => "gzip",
            Compression::Zlib => "zlib",
            Compression::Zstd => "zstd",
        })
    }
}
