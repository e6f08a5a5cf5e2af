//! The header of a zstd frame (RFC 8878, section 3.1.1.1), read for the window that the frame needs.

/// Bytes of the longest header.
pub const BYTES_MAX: usize = 18;
/// Bytes of the magic number at its beginning.
pub const MAGIC_BYTES: usize = 4;

const MAGIC: u32 = 0xfd2f_b528;
/// One of sixteen magic numbers of frames that are skipped.
const SKIPPABLE: u32 = 0x184d_2a50;

/// The result of reading the first bytes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// Incomplete: this many bytes are needed.
    Needs(usize),
    /// This is not a frame.
    Foreign,
    /// The frame reaches this many bytes back.
    Window(u64),
}

/// Reads the available part of a header.
pub fn read(bytes: &[u8]) -> Header {
    let Some((magic, rest)) = bytes.split_first_chunk::<MAGIC_BYTES>() else {
        return Header::Needs(MAGIC_BYTES);
    };
    match u32::from_le_bytes(*magic) {
        MAGIC => (),
        magic if magic & 0xffff_fff0 == SKIPPABLE => return Header::Window(0),
        _ => return Header::Foreign,
    }
    let Some((&descriptor, rest)) = rest.split_first() else { return Header::Needs(5) };
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        let Some(&window) = rest.first() else { return Header::Needs(6) };
        let base = 1u64 << (10 + (window >> 3));
        return Header::Window(base + base / 8 * u64::from(window & 7));
    }
    // Without a window's size the content has one, after the id of a dictionary.
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let Some(size) = rest.get(dictionary..dictionary + content) else {
        return Header::Needs(5 + dictionary + content);
    };
    let mut bytes = [0; 8];
    bytes[..content].copy_from_slice(size);
    let size = u64::from_le_bytes(bytes);
    Header::Window(if content == 2 { size + 256 } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_contents() {
        let magic = MAGIC.to_le_bytes();
        let header = |rest: &[u8]| read(&[&magic[..], rest].concat());
        assert_eq!(read(b"\x28\xb5"), Header::Needs(4));
        assert_eq!(read(b"text"), Header::Foreign);
        assert_eq!(header(b""), Header::Needs(5));
        assert_eq!(header(&[0]), Header::Needs(6));
        assert_eq!(header(&[0, 0]), Header::Window(1024));
        assert_eq!(header(&[0, 17 << 3 | 7]), Header::Window((1 << 27) + 7 * (1 << 24)));
        assert_eq!(header(&[0x20]), Header::Needs(6));
        assert_eq!(header(&[0x20, 9]), Header::Window(9));
        assert_eq!(header(&[0x60, 1, 0]), Header::Window(257));
        assert_eq!(header(&[0xe3, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x80]), Header::Window(1 | 0x80 << 56));
        assert_eq!(read(&[0x5f, 0x2a, 0x4d, 0x18]), Header::Window(0));
    }

    #[test]
    fn the_librarys_own_frames() {
        for (level, length) in [(1, 100), (3, 300), (3, 1 << 20), (19, 3 << 20)] {
            let frame = zstd::bulk::compress(&vec![b'a'; length], level).unwrap();
            assert_eq!(read(&frame), Header::Window(length as u64));
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), level).unwrap();
            std::io::Write::write_all(&mut encoder, &vec![b'a'; length]).unwrap();
            let Header::Window(window) = read(&encoder.finish().unwrap()) else { panic!("no window") };
            assert!(window.is_power_of_two() && window <= 8 << 20, "{window}");
        }
    }
}
