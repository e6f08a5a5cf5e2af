//! Compressed bytes -> text.
//!
//! A [`Level`] looks at its first bytes and passes what they decompress to on to a level below it, until something is
//! not compressed. A complete gzip member is inflated in one call (`libdeflate`); everything else is streamed, through
//! windows.

mod gzip;
mod libdeflate;
#[cfg(test)]
pub(super) mod samples;
mod scratch;
mod step;
mod stream;
mod zstd_header;

use super::foreign::Foreign;
use super::sniff::{Sniff, sniff};
use super::{Account, Bounds, Compression, Error};
use crate::base::limits::{COMPRESSION_LEVELS_MAX, EXPANSION_FREE_BYTES, SNIFF_BYTES};
use gzip::Gzip;
use step::padding;
use stream::{Zlib, Zstd};

pub use scratch::Scratch;
pub(super) use step::Step;

/// Receives the text.
pub(super) type Text<'a> = dyn FnMut(&[u8]) -> Result<(), Error> + 'a;

/// The state that levels share during one push.
pub(super) struct Push<'a> {
    pub scratch: &'a mut Scratch,
    pub bounds: &'a Bounds,
    /// Bytes of the whole object, by which expansion is judged: what has been read of it depends on how it comes.
    pub object_bytes: u64,
}

/// One level of compression, or none.
pub(super) struct Level {
    number: usize,
    stage: Stage,
    produced: u64,
    account: Account,
}

enum Stage {
    /// The first bytes are not enough to decide.
    Sniffing(Vec<u8>),
    Plain,
    Packed {
        codec: Codec,
        below: Box<Level>,
    },
}

impl Level {
    /// The object's own bytes.
    pub fn outermost(account: Account) -> Self {
        Level::new(0, account)
    }

    fn new(number: usize, account: Account) -> Self {
        Level { number, stage: Stage::Sniffing(Vec::new()), produced: 0, account }
    }

    /// Takes the next bytes; with `last` there are no more.
    pub fn push(
        &mut self,
        chunk: &[u8],
        last: bool,
        push: &mut Push<'_>,
        text: &mut Text<'_>,
    ) -> Result<(), Error> {
        let Stage::Sniffing(held) = &mut self.stage else { return self.pass(chunk, last, push, text) };
        if held.is_empty() {
            if self.decide(chunk, last)? {
                return self.pass(chunk, last, push, text);
            }
            return self.hold(chunk);
        }
        let (start, rest) = chunk.split_at(chunk.len().min(SNIFF_BYTES.saturating_sub(held.len())));
        held.extend_from_slice(start);
        let held = std::mem::take(held);
        if !self.decide(&held, last && rest.is_empty())? {
            return self.hold(&held);
        }
        self.pass(&held, false, push, text)?;
        self.pass(rest, last, push, text)
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stage = Stage::Sniffing(bytes.to_vec());
        Ok(())
    }

    /// Returns false if more bytes are needed.
    fn decide(&mut self, start: &[u8], last: bool) -> Result<bool, Error> {
        self.stage = match sniff(start, last, self.number > 0) {
            Sniff::Undecided => return Ok(false),
            Sniff::Plain => Stage::Plain,
            Sniff::Foreign(Foreign { name, cure }) => return Err(Error::Foreign { name, cure }),
            Sniff::Packed(_) if self.number == COMPRESSION_LEVELS_MAX => {
                return Err(Error::TooManyLevels { max: COMPRESSION_LEVELS_MAX });
            }
            Sniff::Packed(compression) => Stage::Packed {
                codec: Codec::new(compression, &self.account)?,
                below: Box::new(Level::new(self.number + 1, self.account.clone())),
            },
        };
        Ok(true)
    }

    fn pass(
        &mut self,
        chunk: &[u8],
        last: bool,
        push: &mut Push<'_>,
        text: &mut Text<'_>,
    ) -> Result<(), Error> {
        match self.stage {
            Stage::Sniffing(_) => Ok(()),
            Stage::Plain => text(chunk),
            Stage::Packed { .. } => self.inflate(chunk, last, push, text),
        }
    }

    fn inflate(
        &mut self,
        chunk: &[u8],
        last: bool,
        push: &mut Push<'_>,
        text: &mut Text<'_>,
    ) -> Result<(), Error> {
        let mut window = push.scratch.take_window();
        let mut inflated = self.inflate_through(&mut window, chunk, last, push, text);
        push.scratch.give_window(window);
        let Stage::Packed { codec, below } = &mut self.stage else { return inflated };
        if last && inflated.is_ok() {
            inflated = codec.finish();
        }
        match inflated {
            Ok(()) if last => below.push(b"", true, push, text),
            // All packed data is complete; the level below may still hold the last of it.
            Err(garbage @ Error::TrailingGarbage { .. }) => {
                let _ = below.push(b"", true, push, text);
                Err(garbage)
            }
            other => other,
        }
    }

    fn inflate_through(
        &mut self,
        window: &mut [u8],
        chunk: &[u8],
        last: bool,
        push: &mut Push<'_>,
        text: &mut Text<'_>,
    ) -> Result<(), Error> {
        let mut input = chunk;
        loop {
            if last && let Some(consumed) = self.whole_member(input, push, text)? {
                input = &input[consumed..];
                continue;
            }
            let Stage::Packed { codec, .. } = &mut self.stage else { return Ok(()) };
            let step = codec.step(input, window);
            input = &input[step.consumed..];
            self.hand_down(&window[..step.produced], push, text)?;
            if let Some(error) = step.failed {
                return Err(error);
            }
            if step.consumed + step.produced == 0 {
                debug_assert!(input.is_empty(), "a codec stalled");
                return Ok(());
            }
        }
    }

    /// The fast path. Only for the object's own bytes, because its buffer exists once.
    fn whole_member(
        &mut self,
        input: &[u8],
        push: &mut Push<'_>,
        text: &mut Text<'_>,
    ) -> Result<Option<usize>, Error> {
        let Stage::Packed { codec: Codec::Gzip(gzip), .. } = &mut self.stage else { return Ok(None) };
        if self.number > 0 || !gzip.at_member(input) {
            return Ok(None);
        }
        let Some((consumed, output)) = push.scratch.whole_member(input, push.bounds.scratch_bytes_max) else {
            return Ok(None);
        };
        gzip.pass_member(consumed);
        let handed_down = self.hand_down(&output, push, text);
        push.scratch.recycle(output);
        handed_down.map(|()| Some(consumed))
    }

    fn hand_down(&mut self, bytes: &[u8], push: &mut Push<'_>, text: &mut Text<'_>) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let Stage::Packed { below, .. } = &mut self.stage else { return Ok(()) };
        let (object_bytes, ratio_max) = (push.object_bytes, push.bounds.expansion_ratio_max);
        let expanded = self.produced + bytes.len() as u64;
        let beyond = expanded.saturating_sub(expansion_max(object_bytes, ratio_max));
        // The bytes within the limit still go down, so that the records before the error do not depend on chunks either.
        let within = bytes.len().saturating_sub(usize::try_from(beyond).unwrap_or(usize::MAX));
        self.produced = expanded;
        below.push(&bytes[..within], false, push, text)?;
        check_expansion(object_bytes, expanded, ratio_max)
    }
}

/// Checks that an object's expansion is still plausible for a log.
pub(super) fn check_expansion(object_bytes: u64, expanded: u64, ratio_max: u64) -> Result<(), Error> {
    let expanded_max = expansion_max(object_bytes, ratio_max);
    if expanded > expanded_max {
        return Err(Error::Bomb { object_bytes, expanded_max, ratio_max });
    }
    Ok(())
}

fn expansion_max(object_bytes: u64, ratio_max: u64) -> u64 {
    EXPANSION_FREE_BYTES.max(object_bytes.saturating_mul(ratio_max))
}

enum Codec {
    Gzip(Box<Gzip>),
    Zlib(Zlib),
    Zstd(Zstd),
}

impl Codec {
    fn new(compression: Compression, account: &Account) -> Result<Self, Error> {
        Ok(match compression {
            Compression::Gzip => Codec::Gzip(Box::new(Gzip::new())),
            Compression::Zlib => Codec::Zlib(Zlib::new()),
            Compression::Zstd => Codec::Zstd(Zstd::new(account)?),
        })
    }

    fn step(&mut self, input: &[u8], window: &mut [u8]) -> Step {
        match self {
            Codec::Gzip(gzip) => gzip.step(input, window),
            Codec::Zlib(zlib) => zlib.step(input, window),
            Codec::Zstd(zstd) => zstd.step(input, window),
        }
    }

    fn finish(&self) -> Result<(), Error> {
        match self {
            Codec::Gzip(gzip) => gzip.finish(),
            Codec::Zlib(zlib) => zlib.finish(),
            Codec::Zstd(zstd) => zstd.finish(),
        }
    }
}
