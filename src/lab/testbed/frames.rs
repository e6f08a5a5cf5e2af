//! Splits the bytes of a connection into syslog frames (`docs/devo-wire.md#frames`): `<PRI>DATE HOST TAG: BODY` LF, and
//! the same with an octet count in front (`docs/devo-wire.md#octet-counting`), mixed on one connection.
//!
//! Pure and strict: input that a lenient receiver would put into the wrong table is an error here.

/// Longest accepted frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 64 * crate::base::limits::MIB;
/// Longest header: PRI, date, host and tag are far below it.
const HEADER_BYTES_MAX: usize = 1024;
/// `Mmm dd hh:mm:ss`.
const DATE_BYTES: usize = 15;

/// One frame, borrowed from the reader's buffer or from the bytes that were pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub priority: u8,
    pub host: &'a str,
    pub tag: &'a str,
    /// Without the final LF.
    pub body: &'a [u8],
    pub octet_counted: bool,
}

/// The reason why a connection's bytes are not frames. Nothing after it can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame starts with byte {0:#04x}, which is neither '<' nor a digit")]
    BadStart(u8),
    #[error("an octet count is malformed")]
    BadCount,
    #[error("an octet-counted frame does not end with LF")]
    NoFinalLineFeed,
    #[error("a frame is longer than {FRAME_BYTES_MAX} bytes")]
    TooLong,
    #[error("a header is not `<PRI>DATE HOST TAG: `: {0:?}")]
    BadHeader(String),
    #[error("the connection ended within a frame, {0} bytes into it")]
    Truncated(usize),
}

/// An incremental reader: chunks go in, whole frames come out. Each byte is read once and copied at most twice, however
/// long a frame is and however small the chunks are.
#[derive(Debug, Default)]
pub struct FrameReader {
    /// Begins at the start of an incomplete frame.
    partial: Vec<u8>,
    /// This many bytes of `partial` are known to contain no LF.
    scanned: usize,
}

impl FrameReader {
    pub fn new() -> FrameReader {
        FrameReader::default()
    }

    /// Takes the next bytes and calls `each` for every frame that they complete, in order.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) -> Result<(), FrameError> {
        if self.partial.is_empty() {
            let used = read_frames(bytes, &mut self.scanned, &mut each)?;
            self.partial.extend_from_slice(&bytes[used..]);
        } else {
            self.partial.extend_from_slice(bytes);
            let used = read_frames(&self.partial, &mut self.scanned, &mut each)?;
            // Once per completed frame, not once per chunk: a long frame is not moved while it grows.
            if used > 0 {
                self.partial.drain(..used);
            }
        }
        Ok(())
    }

    /// The connection has ended.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.partial.is_empty() { Ok(()) } else { Err(FrameError::Truncated(self.partial.len())) }
    }
}

/// Reads all complete frames; returns the number of bytes used. `scanned` belongs to the frame at the start of `bytes`,
/// and afterwards to the one at the end.
fn read_frames(
    bytes: &[u8],
    scanned: &mut usize,
    each: &mut impl FnMut(Frame<'_>),
) -> Result<usize, FrameError> {
    let mut used = 0;
    while let Some(extent) = frame_extent(&bytes[used..], scanned)? {
        *scanned = 0;
        let whole = &bytes[used + extent.start..used + extent.end];
        each(parse_frame(whole, extent.start > 0)?);
        used += extent.end;
    }
    Ok(used)
}

/// The position of the first frame: from its `<` to after its LF.
struct Extent {
    start: usize,
    end: usize,
}

/// None if it is incomplete.
fn frame_extent(bytes: &[u8], scanned: &mut usize) -> Result<Option<Extent>, FrameError> {
    match bytes.first() {
        None => Ok(None),
        Some(b'<') => plain_extent(bytes, scanned),
        Some(b'1'..=b'9') => counted_extent(bytes),
        Some(other) => Err(FrameError::BadStart(*other)),
    }
}

fn plain_extent(bytes: &[u8], scanned: &mut usize) -> Result<Option<Extent>, FrameError> {
    let from = (*scanned).min(bytes.len());
    match memchr::memchr(b'\n', &bytes[from..]) {
        Some(at) => Ok(Some(Extent { start: 0, end: from + at + 1 })),
        None if bytes.len() > FRAME_BYTES_MAX => Err(FrameError::TooLong),
        None => {
            *scanned = bytes.len();
            Ok(None)
        }
    }
}

fn counted_extent(bytes: &[u8]) -> Result<Option<Extent>, FrameError> {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits > FRAME_BYTES_MAX.ilog10() as usize + 1 {
        return Err(FrameError::BadCount);
    }
    match bytes.get(digits) {
        None => return Ok(None),
        Some(b' ') => {}
        Some(_) => return Err(FrameError::BadCount),
    }
    let count = bytes[..digits].iter().fold(0, |n, digit| n * 10 + usize::from(digit - b'0'));
    if count > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong);
    }
    let start = digits + 1;
    Ok((bytes.len() - start >= count).then_some(Extent { start, end: start + count }))
}

fn parse_frame(whole: &[u8], octet_counted: bool) -> Result<Frame<'_>, FrameError> {
    let line = whole.strip_suffix(b"\n").ok_or(FrameError::NoFinalLineFeed)?;
    parse_line(line, octet_counted).ok_or_else(|| {
        let shown = &line[..line.len().min(120)];
        FrameError::BadHeader(String::from_utf8_lossy(shown).into_owned())
    })
}

fn parse_line(line: &[u8], octet_counted: bool) -> Option<Frame<'_>> {
    let close = line.iter().take(5).position(|b| *b == b'>')?;
    let priority = std::str::from_utf8(line.get(1..close)?).ok()?.parse().ok().filter(|p| *p < 192)?;
    let rest = line.strip_prefix(b"<")?.get(close..)?;
    let rest = rest.get(DATE_BYTES..).filter(|_| is_date(&rest[..DATE_BYTES]))?.strip_prefix(b" ")?;
    let head = &rest[..rest.len().min(HEADER_BYTES_MAX)];
    let host_end = memchr::memchr(b' ', head)?;
    let tag_end = host_end + 1 + memchr::memchr(b' ', &head[host_end + 1..])?;
    let host = word(&head[..host_end])?;
    let tag = word(head[host_end + 1..tag_end].strip_suffix(b":")?)?;
    Some(Frame { priority, host, tag, body: &rest[tag_end + 1..], octet_counted })
}

/// Visible ASCII, at least one character.
fn word(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())).then_some(text)
}

/// RFC 3164, section 4.1.2: `Mmm dd hh:mm:ss`, the day padded with a space.
fn is_date(date: &[u8]) -> bool {
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let digits = |at: usize| date[at].is_ascii_digit() && date[at + 1].is_ascii_digit();
    MONTHS.chunks(3).any(|month| month == &date[..3])
        && date[3] == b' '
        && (digits(4) || date[4] == b' ' && date[5].is_ascii_digit())
        && date[6] == b' '
        && (digits(7) && date[9] == b':' && digits(10) && date[12] == b':' && digits(13))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Seen = Vec<(String, Vec<u8>, bool)>;

    fn read(chunks: &[&[u8]]) -> Result<Seen, FrameError> {
        let (mut reader, mut seen) = (FrameReader::new(), Vec::new());
        for chunk in chunks {
            reader.push(chunk, |f| seen.push((f.tag.to_owned(), f.body.to_owned(), f.octet_counted)))?;
        }
        reader.finish().map(|()| seen)
    }

    fn seen(tag: &str, body: &str, octet_counted: bool) -> (String, Vec<u8>, bool) {
        (tag.to_owned(), body.as_bytes().to_owned(), octet_counted)
    }

    #[test]
    fn reads_the_two_documented_frames() {
        let bytes = b"<14>Jan  1 00:00:00 host1 test.drop.free: hello\n\
            54 <14>Jan  1 00:00:00 host1 test.drop.free: line1\nline2\n";
        let expected = [seen("test.drop.free", "hello", false), seen("test.drop.free", "line1\nline2", true)];
        assert_eq!(read(&[bytes]).unwrap(), expected);
        let single_bytes: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single_bytes).unwrap(), expected);
    }

    #[test]
    fn a_body_may_be_empty_or_look_like_a_header() {
        assert_eq!(read(&[b"<14>Nov 21 11:20:54 h t: \n"]).unwrap(), [seen("t", "", false)]);
        assert_eq!(
            read(&[b"<14>Nov 21 11:20:54 h t: a: <14> \r\n"]).unwrap(),
            [seen("t", "a: <14> \r", false)]
        );
    }

    #[test]
    fn header_fields_are_read() {
        let mut reader = FrameReader::new();
        let mut count = 0;
        reader
            .push(b"<191>Dec  9 23:59:59 collector-1-x a.b_c: x\n", |f| {
                assert_eq!((f.priority, f.host, f.tag), (191, "collector-1-x", "a.b_c"));
                count += 1;
            })
            .unwrap();
        assert_eq!(count, 1);
    }

    #[test]
    fn malformed_bytes_are_errors() {
        assert_eq!(read(&[b"\n"]), Err(FrameError::BadStart(b'\n')));
        assert_eq!(read(&[b"0 <14>"]), Err(FrameError::BadStart(b'0')));
        assert_eq!(read(&[b"12x"]), Err(FrameError::BadCount));
        assert_eq!(read(&[b"999999999 "]), Err(FrameError::BadCount));
        assert_eq!(read(&[b"99999999 "]), Err(FrameError::TooLong));
        assert_eq!(read(&[b"3 <14"]), Err(FrameError::NoFinalLineFeed));
        assert_eq!(read(&[b"<14>Jan  1 00:"]), Err(FrameError::Truncated(14)));
        for bad in [
            "<14>\n",
            "<>Jan  1 00:00:00 h t: x\n",
            "<192>Jan  1 00:00:00 h t: x\n",
            "<14>Jan  1 00:00:00 h t:\n",
            "<14>Jan  1 00:00:00 h t x: y\n",
            "<14>Jan  1 00:00:00 h : y\n",
            "<14>Jan  1 00:00:00  t: y\n",
            "<14>Jan 01 00:00-00 h t: y\n",
            "<14>jan  1 00:00:00 h t: y\n",
            "<14>2026-11-21T00:00:00Z h t: y\n",
        ] {
            assert!(matches!(read(&[bad.as_bytes()]), Err(FrameError::BadHeader(_))), "{bad:?}");
        }
    }

    #[test]
    fn long_frames_in_small_chunks_are_looked_at_once() {
        let mut reader = FrameReader::new();
        reader.push(b"<14>Jan  1 00:00:00 h t: ", |_| unreachable!()).unwrap();
        for _ in 0..4096 {
            reader.push(&[b'x'; 1024], |_| unreachable!()).unwrap();
            assert_eq!(reader.scanned, reader.partial.len());
        }
        let mut body_bytes = 0;
        reader.push(b"\n", |f| body_bytes = f.body.len()).unwrap();
        assert_eq!(body_bytes, 4096 * 1024);
        assert_eq!((reader.scanned, reader.partial.len()), (0, 0));
    }

    proptest! {
        /// Naive version: the frames that were written, whatever the chunks are.
        #[test]
        fn any_chunks_give_the_same_frames(
            frames in proptest::collection::vec(
                ("[a-z]{1,9}(\\.[a-z0-9_-]{1,9}){0,4}", proptest::collection::vec(any::<u8>(), 0..200), any::<bool>()),
                0..20,
            ),
            sizes in proptest::collection::vec(1usize..90, 1..30),
        ) {
            let (mut wire, mut expected) = (Vec::new(), Vec::new());
            for (tag, mut body, octet_counted) in frames {
                if !octet_counted {
                    body.retain(|b| *b != b'\n');
                }
                let mut frame = format!("<14>Jan  1 00:00:00 h {tag}: ").into_bytes();
                frame.extend_from_slice(&body);
                frame.push(b'\n');
                if octet_counted {
                    wire.extend_from_slice(format!("{} ", frame.len()).as_bytes());
                }
                wire.extend_from_slice(&frame);
                expected.push((tag, body, octet_counted));
            }
            let (mut chunks, mut rest, mut size) = (Vec::new(), wire.as_slice(), sizes.iter().cycle());
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at((*size.next().unwrap()).min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            prop_assert_eq!(read(&chunks).unwrap(), expected);
        }

        /// For any input: an answer, no panic, and no more frames than line ends.
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut count = 0;
            let _ = FrameReader::new().push(&bytes, |_| count += 1);
            prop_assert!(count <= bytes.iter().filter(|b| **b == b'\n').count());
        }
    }
}
