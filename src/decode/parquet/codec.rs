//! The compression of a column's pages.

use std::io::Read;

use bytes::Bytes;
use parquet::basic::Compression;

use super::bad;
use super::header::Header;
use crate::decode::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Plain,
    Snappy,
    Gzip,
    Zstd,
    Lz4,
}

impl Codec {
    /// brotli, LZO and the two meanings of the deprecated `LZ4` do not occur in known logs.
    pub fn of(compression: Compression) -> Result<Self, Error> {
        Ok(match compression {
            Compression::UNCOMPRESSED => Codec::Plain,
            Compression::SNAPPY => Codec::Snappy,
            Compression::GZIP(_) => Codec::Gzip,
            Compression::ZSTD(_) => Codec::Zstd,
            Compression::LZ4_RAW => Codec::Lz4,
            other => return Err(bad(format!("{other} compression is not supported"))),
        })
    }

    /// The memory of a page in addition to the object that it is in.
    pub fn bytes_made(self, header: &Header) -> usize {
        if self == Codec::Plain { 0 } else { header.expanded }
    }

    /// Decompresses a page, whose first `plain` bytes are not compressed. It becomes `length` bytes, or is corrupt:
    /// room is allocated only for the size in its header, which has been charged.
    pub fn expand(self, page: &Bytes, plain: usize, length: usize) -> Result<Bytes, Error> {
        if self == Codec::Plain {
            return Ok(page.clone());
        }
        let (Some((levels, values)), true) = (page.split_at_checked(plain), plain <= length) else {
            return Err(bad("a page's levels are longer than the page"));
        };
        let mut output = vec![0; length];
        let (made_levels, room) = output.split_at_mut(plain);
        made_levels.copy_from_slice(levels);
        if !room.is_empty() && self.fill(values, room)? != room.len() {
            return Err(bad("a page does not have its stated size"));
        }
        Ok(Bytes::from(output))
    }

    /// Decompresses into a slice, and returns the number of bytes written.
    fn fill(self, values: &[u8], room: &mut [u8]) -> Result<usize, Error> {
        match self {
            Codec::Plain => Ok(0),
            Codec::Snappy => snap::raw::Decoder::new().decompress(values, room).map_err(bad),
            Codec::Gzip => {
                let mut decoder = flate2::read::MultiGzDecoder::new(values);
                decoder.read_exact(room).map(|()| room.len()).map_err(bad)
            }
            // In one call, which needs no window.
            Codec::Zstd => zstd::bulk::decompress_to_buffer(values, room).map_err(bad),
            Codec::Lz4 => lz4_flex::block::decompress_into(values, room).map_err(bad),
        }
    }
}
