//! zlib (RFC 1950) and zstd (RFC 8878) as streams.

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as Frames, InBuffer, Operation, OutBuffer};

use super::zstd_header::{Frame, Header};
use super::{Step, zstd_header};
use crate::base::limits::{KIB, ZSTD_WINDOW_LOG_MAX};
use crate::decode::memory::Charge;
use crate::decode::{Account, Compression, Error};

/// zlib streams one after another, with padding between them.
pub(super) struct Zlib {
    inflate: Box<Decompress>,
    ended: bool,
    /// Bytes before the stream.
    stream_start: u64,
}

/// RFC 1950, 2.2: the low half of a stream's first byte is the method, deflate.
fn begins_zlib(byte: u8) -> bool {
    byte & 0x0f == 8 && byte >> 4 <= 7
}

impl Zlib {
    pub fn new() -> Self {
        Zlib { inflate: Box::new(Decompress::new(true)), ended: false, stream_start: 0 }
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
                self.stream_start += self.inflate.total_in();
                if consumed + produced == 0 { self.behind(input) } else { Step::on(consumed, produced) }
            }
            Err(_) => {
                let cause = "its deflate data or its checksum is invalid";
                Step::failed(consumed, produced, corrupt(Compression::Zlib, self.stream_start, cause))
            }
        }
    }

    /// The input has ended.
    pub fn finish(&self) -> Result<(), Error> {
        let (compression, offset) = (Compression::Zlib, self.stream_start);
        if self.ended { Ok(()) } else { Err(Error::Truncated { compression, offset }) }
    }

    /// After a stream: padding, then the next stream.
    fn behind(&mut self, input: &[u8]) -> Step {
        let padding = super::padding(input);
        self.stream_start += padding as u64;
        match input.get(padding) {
            None => Step::on(padding, 0),
            Some(&first) if begins_zlib(first) => {
                self.inflate.reset(true);
                self.ended = false;
                // Without progress the caller would consider the stream stalled.
                let step = self.step(&input[padding..padding + 1], &mut []);
                Step { consumed: padding + step.consumed, ..step }
            }
            Some(_) => {
                let offset = self.stream_start;
                Step::failed(padding, 0, Error::TrailingGarbage { compression: Compression::Zlib, offset })
            }
        }
    }
}

/// Consecutive zstd frames, including skippable ones.
pub(super) struct Zstd {
    frames: Frames<'static>,
    state: State,
    consumed: u64,
    frame_start: u64,
    /// A frame has ended.
    any: bool,
    /// The largest window so far: the library keeps it from frame to frame.
    window: Charge,
    /// Bytes of the frame's content that are still to come, as its header says. None if it does not say.
    left: Option<u64>,
}

enum State {
    /// Between frames; this much of the next one's header has arrived.
    Header { bytes: [u8; zstd_header::BYTES_MAX], filled: usize },
    /// `wanted` is the library's preferred next input. `pending` means that it has more output than the window took.
    Frame { wanted: usize, pending: bool },
}

/// The library's memory besides a window: three blocks.
const ZSTD_BLOCKS_BYTES: usize = 3 * 128 * KIB;
/// RFC 8878, 3.1.1.2: bytes of a block's header.
const BLOCK_HEADER: usize = 3;
const BETWEEN: State = State::Header { bytes: [0; zstd_header::BYTES_MAX], filled: 0 };

impl Zstd {
    pub fn new(account: &Account) -> Result<Self, Error> {
        let set_up =
            |error: std::io::Error| Error::SetUp { compression: Compression::Zstd, cause: error.to_string() };
        let mut frames = Frames::new().map_err(set_up)?;
        frames.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(set_up)?;
        let window = account.charge();
        Ok(Zstd { frames, state: BETWEEN, consumed: 0, frame_start: 0, any: false, window, left: None })
    }

    /// See [`Step`].
    pub fn step(&mut self, input: &[u8], window: &mut [u8]) -> Step {
        let step = match self.state {
            State::Header { .. } => self.header(input, window),
            State::Frame { wanted, pending } => self.frame(input, wanted, pending, window),
        };
        self.consumed += step.consumed as u64;
        step
    }

    /// The input has ended.
    pub fn finish(&self) -> Result<(), Error> {
        match self.state {
            State::Header { filled: 0, .. } => Ok(()),
            // Without a valid magic number nothing more is expected: a whole one belongs to a frame.
            State::Header { filled, .. } if filled < zstd_header::MAGIC_BYTES => Err(self.garbage()),
            State::Header { .. } | State::Frame { .. } => {
                Err(Error::Truncated { compression: Compression::Zstd, offset: self.frame_start })
            }
        }
    }

    /// Collects the header of the next frame, and continues when it is complete.
    fn header(&mut self, input: &[u8], window: &mut [u8]) -> Step {
        let State::Header { bytes, filled } = &mut self.state else { return Step::on(0, 0) };
        if *filled == 0 {
            let padding = if self.any { super::padding(input) } else { 0 };
            if padding > 0 {
                return Step::on(padding, 0);
            }
            self.frame_start = self.consumed;
        }
        let mut taken = 0;
        let header = loop {
            match zstd_header::read(&bytes[..*filled]) {
                Header::Needs(length) if *filled < length => {
                    let Some(&byte) = input.get(taken) else { return Step::on(taken, 0) };
                    bytes[*filled] = byte;
                    (*filled, taken) = (*filled + 1, taken + 1);
                }
                header => break header,
            }
        };
        let (bytes, filled) = (*bytes, *filled);
        match self.admit(header) {
            Ok(()) => Step { consumed: taken, ..self.run(&bytes[..filled], window) },
            Err(error) => Step::failed(taken, 0, error),
        }
    }

    /// Charges the library's memory for the frame.
    fn admit(&mut self, header: Header) -> Result<(), Error> {
        let Header::Frame(Frame { window, content }) = header else { return Err(self.garbage()) };
        self.left = content;
        let max = 1 << ZSTD_WINDOW_LOG_MAX;
        if window > max {
            return Err(Error::WindowTooLarge { offset: self.frame_start, window, max });
        }
        let held = usize::try_from(window).unwrap_or(usize::MAX).saturating_add(ZSTD_BLOCKS_BYTES);
        if held > self.window.bytes() { self.window.set(held) } else { Ok(()) }
    }

    fn frame(&mut self, input: &[u8], wanted: usize, pending: bool, window: &mut [u8]) -> Step {
        if input.is_empty() && !pending {
            return Step::on(0, 0);
        }
        // The wanted input ends with the next block's header, or with the frame. Given separately, a bad header or end
        // cannot ruin what is before it: a call that fails has no output. The bytes of an uncompressed block are passed
        // on as they come, so the last ones are given one by one, and none together with those beyond the length that
        // the frame has given: what a damaged frame gives must not depend on chunks.
        let block = if wanted > BLOCK_HEADER { wanted - BLOCK_HEADER } else { 1 };
        let content = self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX).max(1));
        self.run(&input[..input.len().min(block).min(content)], window)
    }

    fn run(&mut self, input: &[u8], window: &mut [u8]) -> Step {
        let mut from = InBuffer::around(input);
        let mut to = OutBuffer::around(window);
        match self.frames.run(&mut from, &mut to) {
            Ok(wanted) => {
                let pending = to.pos() == to.capacity();
                self.any |= wanted == 0;
                self.left = self.left.map(|left| left.saturating_sub(to.pos() as u64));
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

fn corrupt(compression: Compression, offset: u64, cause: impl ToString) -> Error {
    Error::Corrupt { compression, offset, cause: cause.to_string() }
}
