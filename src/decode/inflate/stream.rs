//! zlib (RFC 1950) and zstd (RFC 8878) as streams.

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as Frames, InBuffer, Operation, OutBuffer};

use super::Step;
use crate::decode::{Compression, Error};
use crate::limits::ZSTD_WINDOW_LOG_MAX;

/// One zlib stream; zero bytes behind it are passed over.
pub(super) struct Zlib {
    inflate: Box<Decompress>,
    ended: bool,
}

impl Zlib {
    pub fn new() -> Self {
        Zlib { inflate: Box::new(Decompress::new(true)), ended: false }
    }

    /// See [`Step`].
    pub fn step(&mut self, input: &[u8], window: &mut [u8]) -> Step {
        if self.ended {
            return self.behind(input);
        }
        let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, window, FlushDecompress::None);
        let consumed = (self.inflate.total_in() - in_before) as usize;
        let produced = (self.inflate.total_out() - out_before) as usize;
        match status {
            Ok(Status::Ok | Status::BufError) => Step::on(consumed, produced),
            Ok(Status::StreamEnd) => {
                self.ended = true;
                if consumed + produced == 0 { self.behind(input) } else { Step::on(consumed, produced) }
            }
            Err(_) => {
                let cause = "its deflate data or its checksum is invalid";
                Step::failed(consumed, produced, corrupt(Compression::Zlib, 0, cause))
            }
        }
    }

    /// The input has ended.
    pub fn finish(&self) -> Result<(), Error> {
        if self.ended { Ok(()) } else { Err(Error::Truncated { compression: Compression::Zlib, offset: 0 }) }
    }

    fn behind(&self, input: &[u8]) -> Step {
        if input.iter().all(|&b| b == 0) {
            return Step::on(input.len(), 0);
        }
        let offset = self.inflate.total_in();
        Step::failed(0, 0, Error::TrailingGarbage { compression: Compression::Zlib, offset })
    }
}

/// zstd frames one after another, skippable ones among them.
pub(super) struct Zstd {
    frames: Frames<'static>,
    state: State,
    consumed: u64,
    frame_start: u64,
}

enum State {
    /// Between frames; so much of the next one's magic number is there.
    Magic { bytes: [u8; 4], filled: usize },
    /// `wanted`: the input that the library would like next. `pending`: it has more output than the
    /// window took.
    Frame { wanted: usize, pending: bool },
}

/// RFC 8878, 3.1.1.2: bytes of a block's header.
const BLOCK_HEADER: usize = 3;
const BETWEEN: State = State::Magic { bytes: [0; 4], filled: 0 };

impl Zstd {
    pub fn new() -> Result<Self, Error> {
        let set_up =
            |error: std::io::Error| Error::SetUp { compression: Compression::Zstd, cause: error.to_string() };
        let mut frames = Frames::new().map_err(set_up)?;
        frames.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(set_up)?;
        Ok(Zstd { frames, state: BETWEEN, consumed: 0, frame_start: 0 })
    }

    /// See [`Step`].
    pub fn step(&mut self, input: &[u8], window: &mut [u8]) -> Step {
        let step = match self.state {
            State::Magic { .. } => self.magic(input, window),
            State::Frame { wanted, pending } => self.frame(input, wanted, pending, window),
        };
        self.consumed += step.consumed as u64;
        step
    }

    /// The input has ended.
    pub fn finish(&self) -> Result<(), Error> {
        match self.state {
            State::Magic { filled: 0, .. } => Ok(()),
            State::Magic { .. } => Err(self.garbage()),
            State::Frame { .. } => {
                Err(Error::Truncated { compression: Compression::Zstd, offset: self.frame_start })
            }
        }
    }

    fn magic(&mut self, input: &[u8], window: &mut [u8]) -> Step {
        let State::Magic { bytes, filled } = &mut self.state else { return Step::on(0, 0) };
        if *filled == 0 {
            self.frame_start = self.consumed;
        }
        let taken = input.len().min(bytes.len() - *filled);
        bytes[*filled..*filled + taken].copy_from_slice(&input[..taken]);
        *filled += taken;
        if *filled < bytes.len() {
            return Step::on(taken, 0);
        }
        let magic = *bytes;
        if !is_frame(magic) {
            return Step::failed(taken, 0, self.garbage());
        }
        let step = self.run(&magic, window);
        Step { consumed: taken, ..step }
    }

    fn frame(&mut self, input: &[u8], wanted: usize, pending: bool, window: &mut [u8]) -> Step {
        if input.is_empty() && !pending {
            return Step::on(0, 0);
        }
        // What it wants ends with the next block's header. Given apart, a bad header cannot take the
        // block before it along: a call that fails has no output.
        let block = if wanted > BLOCK_HEADER { wanted - BLOCK_HEADER } else { wanted.max(1) };
        self.run(&input[..input.len().min(block)], window)
    }

    fn run(&mut self, input: &[u8], window: &mut [u8]) -> Step {
        let mut from = InBuffer::around(input);
        let mut to = OutBuffer::around(window);
        match self.frames.run(&mut from, &mut to) {
            Ok(wanted) => {
                let pending = to.pos() == to.capacity();
                self.state = if wanted == 0 { BETWEEN } else { State::Frame { wanted, pending } };
                Step::on(from.pos(), to.pos())
            }
            Err(error) => {
                let offset = self.frame_start;
                Step::failed(from.pos(), to.pos(), corrupt(Compression::Zstd, offset, error))
            }
        }
    }

    fn garbage(&self) -> Error {
        Error::TrailingGarbage { compression: Compression::Zstd, offset: self.frame_start }
    }
}

/// The magic number of a frame, or one of the sixteen of skippable frames.
fn is_frame(magic: [u8; 4]) -> bool {
    let magic = u32::from_le_bytes(magic);
    magic == 0xfd2f_b528 || magic & 0xffff_fff0 == 0x184d_2a50
}

fn corrupt(compression: Compression, offset: u64, cause: impl ToString) -> Error {
    Error::Corrupt { compression, offset, cause: cause.to_string() }
}
