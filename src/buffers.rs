//! Large buffers that are used again.
//!
//! A fresh page costs more than what is written into it: the kernel clears it, and looks for it while
//! other threads wait. So what a stage lets go of is kept for the stage that needs the next one, up to a
//! bound that is part of the program's memory (`limits::MemoryShares`).

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::{BUFFER_KEPT_BYTES_MIN, BUFFER_ROOM_MAX, BUFFER_SIZES_PER_DOUBLING};

/// Keeps buffers between their uses. Cheap to clone; clones share what is kept.
#[derive(Debug, Clone)]
pub struct Buffers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kept_bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The one used last at the end: it may still be in a cache.
    buffers: VecDeque<Vec<u8>>,
    /// Sum of their capacities.
    bytes: usize,
}

/// A buffer; its memory goes back to where it came from when dropped.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    home: Option<Buffers>,
}

impl Buffers {
    /// Keeps at most so many bytes that nobody uses.
    pub fn new(kept_bytes_max: usize) -> Buffers {
        Buffers(Arc::new(Inner { kept_bytes_max, kept: Mutex::default() }))
    }

    /// An empty buffer with room for `room` bytes. Small ones are not worth keeping.
    pub fn take(&self, room: usize) -> Buffer {
        if room < BUFFER_KEPT_BYTES_MIN {
            return Buffer::from(Vec::with_capacity(room));
        }
        let bytes = self.kept().take(room).unwrap_or_else(|| Vec::with_capacity(rounded(room)));
        Buffer { bytes, home: Some(self.clone()) }
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        let room = bytes.capacity();
        if room < BUFFER_KEPT_BYTES_MIN || room > self.0.kept_bytes_max {
            return;
        }
        bytes.clear();
        let mut kept = self.kept();
        kept.buffers.push_back(bytes);
        kept.bytes += room;
        while kept.bytes > self.0.kept_bytes_max {
            let Some(oldest) = kept.buffers.pop_front() else { break };
            kept.bytes -= oldest.capacity();
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Buffers for things of about the same size shall be of the same size.
fn rounded(room: usize) -> usize {
    room.next_multiple_of(room.next_power_of_two() / BUFFER_SIZES_PER_DOUBLING)
}

impl Kept {
    /// The one used last that has the room, and not so much more that it would falsify the budget.
    fn take(&mut self, room: usize) -> Option<Vec<u8>> {
        let fits = room..=room.saturating_mul(BUFFER_ROOM_MAX.0) / BUFFER_ROOM_MAX.1;
        let at = self.buffers.iter().rposition(|buffer| fits.contains(&buffer.capacity()))?;
        let bytes = self.buffers.remove(at)?;
        self.bytes -= bytes.capacity();
        Some(bytes)
    }
}

impl From<Vec<u8>> for Buffer {
    /// A buffer that is used once.
    fn from(bytes: Vec<u8>) -> Buffer {
        Buffer { bytes, home: None }
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = BUFFER_KEPT_BYTES_MIN;

    fn kept(buffers: &Buffers) -> usize {
        let kept = buffers.kept();
        assert_eq!(kept.bytes, kept.buffers.iter().map(Vec::capacity).sum::<usize>());
        kept.bytes
    }

    #[test]
    fn a_buffer_is_used_again_and_is_empty_then() {
        let buffers = Buffers::new(4 * ROOM);
        let mut first = buffers.take(ROOM);
        first.push(1);
        let place = first.as_ptr();
        drop(first);
        let again = buffers.take(ROOM);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert_eq!(kept(&buffers), 0);
    }

    #[test]
    fn one_that_is_far_too_large_is_left() {
        let buffers = Buffers::new(64 * ROOM);
        drop(buffers.take(8 * ROOM));
        let small = buffers.take(ROOM);
        assert_eq!((small.capacity(), kept(&buffers)), (ROOM, 8 * ROOM));
    }

    #[test]
    fn no_more_is_kept_than_may_be_and_the_oldest_goes_first() {
        let buffers = Buffers::new(3 * ROOM);
        let all: Vec<_> = (0..5).map(|_| buffers.take(ROOM)).collect();
        let last = all[4].as_ptr();
        drop(all);
        assert_eq!(kept(&buffers), 3 * ROOM);
        assert_eq!(buffers.take(ROOM).as_ptr(), last);
        drop(buffers.take(4 * ROOM));
        assert_eq!(kept(&buffers), 3 * ROOM, "what could never be kept displaces nothing");
    }

    #[test]
    fn about_the_same_size_is_the_same_size() {
        let buffers = Buffers::new(64 << 20);
        let place = buffers.take(20_012_000).as_ptr();
        assert_eq!(buffers.take(20_012_999).as_ptr(), place);
    }

    #[test]
    fn small_ones_and_foreign_ones_are_not_kept() {
        let buffers = Buffers::new(4 * ROOM);
        drop(buffers.take(10));
        drop(Buffer::from(vec![0; ROOM]));
        assert_eq!(kept(&buffers), 0);
    }
}
