//! Buffers that a worker keeps from object to object, to avoid allocation.

use super::libdeflate::{Libdeflate, Outcome};
use crate::base::limits::{INFLATE_WINDOW_BYTES, SCRATCH_IDLE_OBJECTS};

/// A worker's reusable buffers. One per thread, used by one [`Decoder`](crate::decode::Decoder) call at a time; empty
/// at first, growing on demand.
pub struct Scratch {
    libdeflate: Option<Libdeflate>,
    output: Vec<u8>,
    windows: Vec<Vec<u8>>,
    /// Largest output of the current object.
    used: usize,
    idle: Idle,
}

/// Consecutive objects that used little of the output buffer.
#[derive(Default)]
struct Idle {
    objects: u32,
    used_max: usize,
}

/// Deflate makes at most 258 bytes of two bits.
const DEFLATE_RATIO_MAX: usize = 1032;
/// The smallest output buffer: growing from less would only take more attempts.
const OUTPUT_BYTES_MIN: usize = INFLATE_WINDOW_BYTES;
/// Growth of the output buffer after an attempt that ran out of room. A member is inflated in vain for at most a third
/// of its size.
const GROWTH: usize = 4;

impl Scratch {
    /// Nothing is allocated yet.
    pub fn new() -> Self {
        Scratch { libdeflate: None, output: Vec::new(), windows: Vec::new(), used: 0, idle: Idle::default() }
    }

    /// Bytes currently held.
    pub fn held_bytes(&self) -> usize {
        self.output.capacity() + self.windows.iter().map(Vec::capacity).sum::<usize>()
    }

    /// Inflates the gzip member at the start of `input` in one call, if it is whole, correct and not larger than
    /// `bytes_max`. Returns the number of input bytes used, and its content, which must be returned with
    /// [`Scratch::recycle`].
    pub(super) fn whole_member(&mut self, input: &[u8], bytes_max: usize) -> Option<(usize, Vec<u8>)> {
        let mut room = first_room(input, self.output.capacity(), bytes_max)?;
        let mut output = std::mem::take(&mut self.output);
        let consumed = loop {
            grow(&mut output, room);
            match self.libdeflate()?.member(input, &mut output) {
                Outcome::Whole { consumed } => break Some(consumed),
                Outcome::NoRoom if room < bytes_max => room = room.saturating_mul(GROWTH).min(bytes_max),
                Outcome::NoRoom | Outcome::Damaged => break None,
            }
        };
        self.used = self.used.max(output.len());
        match consumed {
            Some(consumed) => Some((consumed, output)),
            None => {
                self.recycle(output);
                None
            }
        }
    }

    pub(super) fn recycle(&mut self, output: Vec<u8>) {
        self.output = output;
    }

    /// A buffer of [`INFLATE_WINDOW_BYTES`], to be returned with [`Scratch::give_window`].
    pub(super) fn take_window(&mut self) -> Vec<u8> {
        self.windows.pop().unwrap_or_else(|| vec![0; INFLATE_WINDOW_BYTES])
    }

    pub(super) fn give_window(&mut self, window: Vec<u8>) {
        self.windows.push(window);
    }

    /// Ends an object: memory that only an unusual one needed is freed after a while.
    pub(in crate::decode) fn end_object(&mut self) {
        let used = std::mem::take(&mut self.used);
        if used >= self.output.capacity() / 4 {
            self.idle = Idle::default();
            return;
        }
        self.idle.objects += 1;
        self.idle.used_max = self.idle.used_max.max(used);
        if self.idle.objects >= SCRATCH_IDLE_OBJECTS {
            self.output = Vec::new();
            grow(&mut self.output, self.idle.used_max);
            self.idle = Idle::default();
        }
    }

    fn libdeflate(&mut self) -> Option<&mut Libdeflate> {
        if self.libdeflate.is_none() {
            self.libdeflate = Libdeflate::new();
        }
        self.libdeflate.as_mut()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

/// The output size of the first attempt. The input's last four bytes are the last member's length modulo 2^32: a hint
/// that is right for the usual single member. None if it says that one call cannot do it.
fn first_room(input: &[u8], capacity: usize, bytes_max: usize) -> Option<usize> {
    let hint = u32::from_le_bytes(*input.last_chunk::<4>()?) as usize;
    let possible = hint.min(input.len().saturating_mul(DEFLATE_RATIO_MAX));
    (bytes_max > 0 && possible <= bytes_max)
        .then(|| possible.max(OUTPUT_BYTES_MIN).max(capacity).min(bytes_max))
}

fn grow(output: &mut Vec<u8>, room: usize) {
    output.clear();
    if output.capacity() < room {
        // A new one: there is nothing to copy, and the old one is freed before it is allocated.
        *output = Vec::new();
        output.reserve_exact(room);
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{gzip, gzip_with_isize};
    use super::*;

    const MAX: usize = 4 << 20;

    fn inflate(scratch: &mut Scratch, input: &[u8], max: usize) -> Option<usize> {
        let (_, output) = scratch.whole_member(input, max)?;
        let length = output.len();
        scratch.recycle(output);
        scratch.end_object();
        Some(length)
    }

    #[test]
    fn grows_when_the_hint_was_too_small() {
        let big = gzip(&vec![b'a'; 3 << 20]);
        let small = gzip(b"b");
        let mut scratch = Scratch::new();
        assert_eq!(inflate(&mut scratch, &[big, small].concat(), MAX), Some(3 << 20));
    }

    #[test]
    fn never_above_the_bound() {
        let mut scratch = Scratch::new();
        assert_eq!(inflate(&mut scratch, &gzip(&vec![b'a'; MAX + 1]), MAX), None);
        let liar = [gzip(&vec![b'a'; MAX + 1]), gzip(b"b")].concat();
        assert_eq!(inflate(&mut scratch, &liar, MAX), None);
        assert!(scratch.held_bytes() <= MAX);
        assert_eq!(inflate(&mut scratch, &gzip(b"abc"), 2), None);
    }

    #[test]
    fn a_lying_length_allocates_no_more_than_deflate_could_make() {
        let mut scratch = Scratch::new();
        assert_eq!(inflate(&mut scratch, &gzip_with_isize(b"abc", 1 << 30), 2 << 30), None);
        assert!(scratch.held_bytes() < 1 << 20);
    }

    #[test]
    fn gives_memory_back_after_a_big_object() {
        let mut scratch = Scratch::new();
        inflate(&mut scratch, &gzip(&vec![b'a'; MAX]), MAX);
        for _ in 0..SCRATCH_IDLE_OBJECTS {
            assert!(scratch.held_bytes() >= MAX);
            inflate(&mut scratch, &gzip(b"small"), MAX);
        }
        assert!(scratch.held_bytes() < MAX / 4);
    }
}
