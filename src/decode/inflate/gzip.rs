//! gzip (RFC 1952) as a stream: members one after another, each checked.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::Step;
use crate::decode::{Compression, Error};

/// Reads members. Padding between or after them is skipped.
pub(super) struct Gzip {
    state: State,
    /// Created for the first member that is not inflated in one call.
    inflate: Option<Box<Decompress>>,
    crc: Crc,
    /// Length of the member so far, modulo 2^32.
    length: u32,
    consumed: u64,
    member_start: u64,
    members: u64,
}

enum State {
    Between,
    Header(Header),
    Body,
    Trailer { bytes: [u8; 8], filled: usize },
}

impl Gzip {
    pub fn new() -> Self {
        Gzip {
            state: State::Between,
            inflate: None,
            crc: Crc::new(),
            length: 0,
            consumed: 0,
            member_start: 0,
            members: 0,
        }
    }

    /// True if a member begins with the first byte of `input`.
    pub fn at_member(&self, input: &[u8]) -> bool {
        matches!(self.state, State::Between) && input.first() == Some(&MAGIC[0])
    }

    /// Skips a member of this many bytes that was inflated and checked elsewhere.
    pub fn pass_member(&mut self, bytes: usize) {
        self.consumed += bytes as u64;
        self.members += 1;
    }

    /// See [`Step`].
    pub fn step(&mut self, input: &[u8], window: &mut [u8]) -> Step {
        let step = match &mut self.state {
            State::Between => self.between(input),
            State::Header(_) => self.header(input),
            State::Body => self.body(input, window),
            State::Trailer { .. } => self.trailer(input),
        };
        self.consumed += step.consumed as u64;
        step
    }

    /// The input has ended.
    pub fn finish(&self) -> Result<(), Error> {
        match self.state {
            State::Between => Ok(()),
            _ => Err(Error::Truncated { compression: Compression::Gzip, offset: self.member_start }),
        }
    }

    fn between(&mut self, input: &[u8]) -> Step {
        let padding = if self.members == 0 { 0 } else { super::padding(input) };
        match input.get(padding) {
            None => {}
            Some(&first) if first == MAGIC[0] => {
                self.member_start = self.consumed + padding as u64;
                self.state = State::Header(Header::new());
            }
            Some(_) => {
                let offset = self.consumed + padding as u64;
                let error = Error::TrailingGarbage { compression: Compression::Gzip, offset };
                return Step::failed(padding, 0, error);
            }
        }
        // The first byte of a header is part of it.
        Step::on(padding + usize::from(input.len() > padding), 0)
    }

    fn header(&mut self, input: &[u8]) -> Step {
        let State::Header(header) = &mut self.state else { return Step::on(0, 0) };
        for (at, &byte) in input.iter().enumerate() {
            match header.push(byte) {
                Progress::More => {}
                Progress::Done => {
                    self.begin_body();
                    return Step::on(at + 1, 0);
                }
                Progress::NotGzip if self.members > 0 => {
                    let offset = self.member_start;
                    let error = Error::TrailingGarbage { compression: Compression::Gzip, offset };
                    return Step::failed(at + 1, 0, error);
                }
                Progress::NotGzip => return Step::failed(at + 1, 0, self.corrupt("no gzip header")),
                Progress::Bad(cause) => return Step::failed(at + 1, 0, self.corrupt(cause)),
            }
        }
        Step::on(input.len(), 0)
    }

    fn begin_body(&mut self) {
        match &mut self.inflate {
            Some(inflate) => inflate.reset(false),
            None => self.inflate = Some(Box::new(Decompress::new(false))),
        }
        self.crc.reset();
        self.length = 0;
        self.state = State::Body;
    }

    fn body(&mut self, input: &[u8], window: &mut [u8]) -> Step {
        let Some(inflate) = &mut self.inflate else { return Step::on(0, 0) };
        let (in_before, out_before) = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress(input, window, FlushDecompress::None);
        let consumed = (inflate.total_in() - in_before) as usize;
        let produced = (inflate.total_out() - out_before) as usize;
        self.crc.update(&window[..produced]);
        self.length = self.length.wrapping_add(produced as u32);
        match status {
            Ok(Status::Ok | Status::BufError) => Step::on(consumed, produced),
            Ok(Status::StreamEnd) => {
                self.state = State::Trailer { bytes: [0; 8], filled: 0 };
                // Without progress the caller would consider the member stalled.
                if consumed + produced == 0 { self.trailer(input) } else { Step::on(consumed, produced) }
            }
            // The library's own message depends on how the input was cut.
            Err(_) => Step::failed(consumed, produced, self.corrupt("its deflate data is invalid")),
        }
    }

    fn trailer(&mut self, input: &[u8]) -> Step {
        let State::Trailer { bytes, filled } = &mut self.state else { return Step::on(0, 0) };
        let taken = input.len().min(bytes.len() - *filled);
        bytes[*filled..*filled + taken].copy_from_slice(&input[..taken]);
        *filled += taken;
        if *filled < bytes.len() {
            return Step::on(taken, 0);
        }
        let trailer = *bytes;
        match self.check(trailer) {
            Ok(()) => {
                self.members += 1;
                self.state = State::Between;
                Step::on(taken, 0)
            }
            Err(cause) => Step::failed(taken, 0, self.corrupt(cause)),
        }
    }

    /// CRC-32 and length, both little-endian.
    fn check(&self, trailer: [u8; 8]) -> Result<(), &'static str> {
        let trailer = u64::from_le_bytes(trailer);
        if trailer as u32 != self.crc.sum() {
            return Err("its checksum is wrong");
        }
        if (trailer >> 32) as u32 != self.length {
            return Err("its length is wrong");
        }
        Ok(())
    }

    fn corrupt(&self, cause: &str) -> Error {
        Error::Corrupt { compression: Compression::Gzip, offset: self.member_start, cause: cause.to_owned() }
    }
}

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;
/// RFC 1952, 2.3.1: bits of FLG.
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

/// A member's header, byte for byte after its first one. Its fields are skipped.
struct Header {
    part: Part,
    flags: u8,
}

/// The next part of a header.
#[derive(Clone, Copy)]
enum Part {
    Magic,
    Method,
    Flags,
    /// Time, extra flags, system: this many bytes are left.
    Fixed(u8),
    ExtraLength(Option<u8>),
    Extra(u16),
    Name,
    Comment,
    Crc(u8),
}

enum Progress {
    More,
    Done,
    NotGzip,
    Bad(&'static str),
}

impl Header {
    fn new() -> Self {
        Header { part: Part::Magic, flags: 0 }
    }

    fn push(&mut self, byte: u8) -> Progress {
        let next = match self.part {
            Part::Magic if byte != MAGIC[1] => return Progress::NotGzip,
            Part::Magic => Some(Part::Method),
            Part::Method if byte != DEFLATE => return Progress::Bad("its compression method is unknown"),
            Part::Method => Some(Part::Flags),
            Part::Flags if byte & RESERVED != 0 => return Progress::Bad("reserved flags are set"),
            Part::Flags => {
                self.flags = byte;
                Some(Part::Fixed(6))
            }
            Part::Fixed(1) => self.after(0),
            Part::Fixed(left) => Some(Part::Fixed(left - 1)),
            Part::ExtraLength(None) => Some(Part::ExtraLength(Some(byte))),
            Part::ExtraLength(Some(low)) => match u16::from_le_bytes([low, byte]) {
                0 => self.after(EXTRA),
                length => Some(Part::Extra(length)),
            },
            Part::Extra(1) => self.after(EXTRA),
            Part::Extra(left) => Some(Part::Extra(left - 1)),
            Part::Name if byte == 0 => self.after(NAME),
            Part::Comment if byte == 0 => self.after(COMMENT),
            Part::Name | Part::Comment => Some(self.part),
            Part::Crc(1) => None,
            Part::Crc(left) => Some(Part::Crc(left - 1)),
        };
        let Some(part) = next else { return Progress::Done };
        self.part = part;
        Progress::More
    }

    /// The next optional part after `done`; the header has them in this order.
    fn after(&self, done: u8) -> Option<Part> {
        let order = [
            (EXTRA, Part::ExtraLength(None)),
            (NAME, Part::Name),
            (COMMENT, Part::Comment),
            (HEADER_CRC, Part::Crc(2)),
        ];
        let behind = order.iter().position(|(flag, _)| *flag == done).map_or(0, |at| at + 1);
        order[behind..].iter().find(|(flag, _)| self.flags & flag != 0).map(|(_, part)| *part)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    /// All of `input`, `size` bytes at a time.
    fn inflate(input: &[u8], size: usize) -> (Vec<u8>, Result<(), Error>) {
        let (mut gzip, mut output, mut window) = (Gzip::new(), Vec::new(), [0; 7]);
        for mut chunk in input.chunks(size) {
            loop {
                let step = gzip.step(chunk, &mut window);
                output.extend_from_slice(&window[..step.produced]);
                chunk = &chunk[step.consumed..];
                if let Some(error) = step.failed {
                    return (output, Err(error));
                }
                if step.consumed + step.produced == 0 {
                    break;
                }
            }
            assert_eq!(chunk, b"");
        }
        let end = gzip.finish();
        (output, end)
    }

    fn each_size(input: &[u8]) -> (Vec<u8>, Result<(), Error>) {
        let whole = inflate(input, input.len().max(1));
        for size in 1..input.len() {
            assert_eq!(inflate(input, size), whole, "{size} bytes at a time");
        }
        whole
    }

    #[test]
    fn members_padding_and_every_header_field() {
        let input =
            [samples::gzip(b"hello "), vec![0; 5], samples::gzip_with_all_fields(b"world"), vec![0; 9]];
        assert_eq!(each_size(&input.concat()), (b"hello world".to_vec(), Ok(())));
    }

    #[test]
    fn rubbish_behind_the_members() {
        for rubbish in [&b"rubbish"[..], b"\0\0x", b"\x1fx"] {
            let (output, end) = each_size(&[&samples::gzip(b"abc")[..], rubbish].concat());
            assert_eq!(output, b"abc");
            assert!(matches!(end, Err(Error::TrailingGarbage { .. })), "{end:?}");
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let input = samples::gzip(b"some log line\n");
        for length in 1..input.len() {
            let (_, end) = inflate(&input[..length], length);
            assert_eq!(end, Err(Error::Truncated { compression: Compression::Gzip, offset: 0 }), "{length}");
        }
    }

    #[test]
    fn wrong_checksum_and_length() {
        let good = samples::gzip(b"abc");
        for (at, cause) in
            [(good.len() - 8, "its checksum is wrong"), (good.len() - 1, "its length is wrong")]
        {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let (output, end) = each_size(&bad);
            assert_eq!(output, b"abc");
            let compression = Compression::Gzip;
            assert_eq!(end, Err(Error::Corrupt { compression, offset: 0, cause: cause.to_owned() }));
        }
    }
}
