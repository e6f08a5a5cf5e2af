//! Compressed inputs for tests.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

pub fn gzip(content: &[u8]) -> Vec<u8> {
    gzip_at(content, Compression::fast())
}

/// As small as deflate can make it.
pub fn gzip_small(content: &[u8]) -> Vec<u8> {
    gzip_at(content, Compression::best())
}

fn gzip_at(content: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A member whose length field lies.
pub fn gzip_with_isize(content: &[u8], length: u32) -> Vec<u8> {
    let mut member = gzip(content);
    let at = member.len() - 4;
    member[at..].copy_from_slice(&length.to_le_bytes());
    member
}

/// A member whose header has an extra field, a name, a comment and a checksum.
pub fn gzip_with_all_fields(content: &[u8]) -> Vec<u8> {
    let plain = gzip(content);
    let flags = 0b1_1110;
    let fields = [&[3, 0][..], b"abc", b"name\0", b"comment\0", &[0, 0]].concat();
    [&plain[..3], &[flags], &plain[4..10], &fields, &plain[10..]].concat()
}

pub fn zlib(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(content, 3).unwrap()
}
