//! The header of a zstd frame (RFC 8878, section 3.1.1.1), read for the window that the frame needs and for the length
//! of its content.

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
    Frame(Frame),
}

/// The properties that a frame declares in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// It reaches this many bytes back.
    pub window: u64,
    /// Bytes of its content. None if it does not say.
    pub content: Option<u64>,
}

/// A frame that is skipped.
const SKIPPED: Frame = Frame { window: 0, content: None };

/// Reads the available part of a header.
pub fn read(bytes: &[u8]) -> Header {
    let Some((magic, rest)) = bytes.split_first_chunk::<MAGIC_BYTES>() else {
        return Header::Needs(MAGIC_BYTES);
    };
    match u32::from_le_bytes(*magic) {
        MAGIC => (),
        magic if magic & 0xffff_fff0 == SKIPPABLE => return Header::Frame(SKIPPED),
        _ => return Header::Foreign,
    }
    let Some((&descriptor, rest)) = rest.split_first() else { return Header::Needs(5) };
    // Without a window's size the content has one, after the id of a dictionary.
    let single_segment = descriptor & 0x20 != 0;
    let window = usize::from(!single_segment);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = [usize::from(single_segment), 2, 4, 8][usize::from(descriptor >> 6)];
    let length = window + dictionary + content;
    let Some(fields) = rest.get(..length) else { return Header::Needs(MAGIC_BYTES + 1 + length) };
    let content = content_size(&fields[window + dictionary..]);
    let window = if single_segment { content.unwrap_or(0) } else { window_size(fields[0]) };
    Header::Frame(Frame { window, content })
}

fn window_size(descriptor: u8) -> u64 {
    let base = 1u64 << (10 + (descriptor >> 3));
    base + base / 8 * u64::from(descriptor & 7)
}

fn content_size(field: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    bytes[..field.len()].copy_from_slice(field);
    let size = u64::from_le_bytes(bytes);
    match field.len() {
        0 => None,
        2 => Some(size + 256),
        _ => Some(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(window: u64, content: impl Into<Option<u64>>) -> Header {
        Header::Frame(Frame { window, content: content.into() })
    }

    #[test]
    fn windows_and_contents() {
        let magic = MAGIC.to_le_bytes();
        let header = |rest: &[u8]| read(&[&magic[..], rest].concat());
        assert_eq!(read(b"\x28\xb5"), Header::Needs(4));
        assert_eq!(read(b"text"), Header::Foreign);
        assert_eq!(header(b""), Header::Needs(5));
        assert_eq!(header(&[0]), Header::Needs(6));
        assert_eq!(header(&[0, 0]), frame(1024, None));
        assert_eq!(header(&[0, 17 << 3 | 7]), frame((1 << 27) + 7 * (1 << 24), None));
        assert_eq!(header(&[0x40, 0, 1]), Header::Needs(8));
        assert_eq!(header(&[0x40, 0, 1, 0]), frame(1024, 257));
        assert_eq!(header(&[0x82, 8, 0, 0, 7, 0, 0, 0]), frame(2048, 7));
        assert_eq!(header(&[0x20]), Header::Needs(6));
        assert_eq!(header(&[0x20, 9]), frame(9, 9));
        assert_eq!(header(&[0x60, 1, 0]), frame(257, 257));
        let size = 1 | 0x80 << 56;
        assert_eq!(header(&[0xe3, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x80]), frame(size, size));
        assert_eq!(header(&[0xc3; 13]), Header::Needs(18));
        assert_eq!(read(&[0x5f, 0x2a, 0x4d, 0x18]), frame(0, None));
    }

    #[test]
    fn the_librarys_own_frames() {
        for (level, length) in [(1, 100), (3, 300), (3, 1 << 20), (19, 3 << 20)] {
            let packed = zstd::bulk::compress(&vec![b'a'; length], level).unwrap();
            assert_eq!(read(&packed), frame(length as u64, length as u64));
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), level).unwrap();
            std::io::Write::write_all(&mut encoder, &vec![b'a'; length]).unwrap();
            let Header::Frame(Frame { window, content: None }) = read(&encoder.finish().unwrap()) else {
                panic!("no window")
            };
            assert!(window.is_power_of_two() && window <= 8 << 20, "{window}");
        }
    }
}
