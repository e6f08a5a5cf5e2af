//! Buffers whose memory is charged to a budget, and large ones that are reused.
//!
//! A [`Buffer`] owns its memory and its permit of a [`Budget`](crate::base::budget::Budget) together. The permit covers
//! the buffer's capacity, not its length. It grows by [`Buffer::make_room`]; other growth is charged by
//! [`Buffer::fit`], which it passes before it is handed on.
//!
//! A fresh page costs more than writing to it: the kernel finds and clears it while other threads wait. So a released
//! buffer is kept for the stage that needs the next one, up to a bound that is part of the program's memory
//! (`limits::MemoryShares`).

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

use crate::base::budget::Permit;
use crate::base::limits::{
    BUFFER_KEPT_BYTES_MIN, BUFFER_ROOM_MAX, BUFFER_SIZES_PER_DOUBLING, OBJECT_BYTES_MIN,
};
use crate::base::locks::lock;
use crate::base::runtime::atomic::Arc;
use crate::base::runtime::sync::{Mutex, MutexGuard};

/// Keeps buffers between their uses. Cheap to clone; clones share them.
#[derive(Debug, Clone)]
pub struct Buffers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kept_bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The last used one is at the end: it may still be in a cache.
    buffers: VecDeque<Vec<u8>>,
    /// Sum of their capacities.
    bytes: usize,
}

/// A buffer; when dropped, its memory is returned to its pool, and its permit to the budget.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    home: Option<Buffers>,
    /// Covers the capacity of `bytes`. None if the memory is accounted for elsewhere.
    charge: Option<Permit>,
}

impl Buffers {
    /// Keeps at most this many unused bytes.
    pub fn new(kept_bytes_max: usize) -> Buffers {
        Buffers(Arc::new(Inner { kept_bytes_max, kept: Mutex::default() }))
    }

    /// An empty buffer with room for `room` bytes that are accounted for elsewhere.
    pub fn take(&self, room: usize) -> Buffer {
        let home = (room >= BUFFER_KEPT_BYTES_MIN).then(|| self.clone());
        Buffer { bytes: self.memory(room, at_most(room)), home, charge: None }
    }

    /// A buffer without memory yet. [`Buffer::make_room`] allocates it, once the size is known, and returns the excess
    /// of `charge`.
    pub fn charged(&self, charge: Permit) -> Buffer {
        Buffer { bytes: Vec::new(), home: Some(self.clone()), charge: Some(charge) }
    }

    /// Memory for `room` bytes, and not for more than `most` unless it is new. Small ones are not worth keeping.
    fn memory(&self, room: usize, most: usize) -> Vec<u8> {
        if room < BUFFER_KEPT_BYTES_MIN {
            return Vec::with_capacity(room);
        }
        let kept = self.kept().take(room, most);
        kept.unwrap_or_else(|| Vec::with_capacity(rounded(room)))
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
        lock(&self.0.kept)
    }
}

/// A kept buffer larger than that is left for something larger.
fn at_most(room: usize) -> usize {
    room.saturating_mul(BUFFER_ROOM_MAX.0) / BUFFER_ROOM_MAX.1
}

/// Buffers for things of about the same size get the same size.
fn rounded(room: usize) -> usize {
    if room < BUFFER_KEPT_BYTES_MIN {
        return room;
    }
    room.next_multiple_of(room.next_power_of_two() / BUFFER_SIZES_PER_DOUBLING)
}

impl Kept {
    /// The last used one that has the room, and no more than `most`.
    fn take(&mut self, room: usize, most: usize) -> Option<Vec<u8>> {
        let at = self.buffers.iter().rposition(|buffer| (room..=most).contains(&buffer.capacity()))?;
        let bytes = self.buffers.remove(at)?;
        self.bytes -= bytes.capacity();
        Some(bytes)
    }
}

impl Buffer {
    /// Wraps existing bytes, with a permit that is adjusted to their memory.
    pub fn holding(bytes: Vec<u8>, charge: Permit) -> Buffer {
        let mut buffer = Buffer { bytes, home: None, charge: Some(charge) };
        buffer.fit();
        buffer
    }

    /// The same bytes, charged to another budget: the old permit is returned.
    pub fn charged_to(mut self, charge: Permit) -> Buffer {
        self.charge = Some(charge);
        self.settle();
        self
    }

    /// Makes room for this many more bytes, and charges exactly the resulting memory. The caller has reserved it, or
    /// gets it on credit (see [`Permit::set`]).
    pub fn make_room(&mut self, more: usize) {
        let room = self.bytes.len().saturating_add(more);
        if room <= self.bytes.capacity() {
            return;
        }
        let charged = |charge: &mut Permit| {
            charge.try_grow_to(at_most(room));
            charge.amount()
        };
        let most = self.charge.as_mut().map_or(usize::MAX, charged).min(at_most(room));
        self.move_to_memory_for(room, most);
    }

    /// Makes room for this many more bytes if the budget has it now. Returns false, without changes, if it does not.
    pub fn try_make_room(&mut self, more: usize) -> bool {
        let room = self.bytes.len().saturating_add(more);
        if room <= self.bytes.capacity() {
            return true;
        }
        let may = self.charge.as_mut().is_none_or(|charge| charge.try_grow_to(rounded(room)));
        if may {
            self.make_room(more);
        }
        may
    }

    /// A buffer for bytes derived from these, charged to the same budget on credit (see [`Permit::set`]).
    pub fn beside(&self, bytes: Vec<u8>) -> Buffer {
        let charge = self.charge.as_ref().map(|charge| charge.beside(bytes.capacity()));
        Buffer { bytes, home: None, charge }
    }

    /// Returns memory that far exceeds the bytes' need, and charges the rest.
    pub fn fit(&mut self) {
        if self.bytes.capacity() > at_most(rounded(self.bytes.len())) {
            self.move_to_memory_for(self.bytes.len(), at_most(self.bytes.len()));
        }
        self.settle();
    }

    /// Bytes of memory that it holds.
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    fn move_to_memory_for(&mut self, room: usize, most: usize) {
        let memory = self.home.as_ref().map(|home| home.memory(room, most));
        let mut memory = memory.unwrap_or_else(|| Vec::with_capacity(room));
        memory.extend_from_slice(&self.bytes);
        let old = std::mem::replace(&mut self.bytes, memory);
        if let Some(home) = &self.home {
            home.give_back(old);
        }
        self.settle();
    }

    fn settle(&mut self) {
        if let Some(charge) = &mut self.charge {
            charge.set(self.bytes.capacity().max(OBJECT_BYTES_MIN));
        }
    }
}

/// In the program itself, memory that grows with the input is charged.
#[cfg(test)]
impl From<Vec<u8>> for Buffer {
    /// A buffer that is used once.
    fn from(bytes: Vec<u8>) -> Buffer {
        Buffer { bytes, home: None, charge: None }
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
        // First the memory, then the permit.
        let bytes = std::mem::take(&mut self.bytes);
        if let Some(home) = self.home.take() {
            home.give_back(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::budget::Budget;

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
    fn the_charge_is_the_memory_that_is_there() {
        let (budget, buffers) = (Budget::new(1000 * ROOM), Buffers::new(64 * ROOM));
        let charged = |buffer: &Buffer| {
            let taken = budget.total() - budget.free();
            assert_eq!(taken, buffer.held_bytes().max(OBJECT_BYTES_MIN));
            taken
        };
        let mut buffer = buffers.charged(budget.try_acquire(100 * ROOM).unwrap());
        assert_eq!(buffer.held_bytes(), 0, "what is reserved is not allocated");
        buffer.make_room(10);
        assert_eq!(charged(&buffer), OBJECT_BYTES_MIN);
        buffer.push(1);
        assert!(buffer.try_make_room(20 * ROOM));
        charged(&buffer);
        assert_eq!(*buffer, [1]);
        buffer.fit();
        assert_eq!((charged(&buffer), buffer.as_slice()), (OBJECT_BYTES_MIN, [1].as_slice()));
        drop(buffer);
        assert_eq!(budget.free(), budget.total());
    }

    #[test]
    fn a_kept_buffer_is_used_only_if_its_whole_memory_can_be_charged() {
        let (budget, buffers) = (Budget::new(16 * ROOM), Buffers::new(64 * ROOM));
        drop(buffers.take(19 * ROOM));
        let mut buffer = buffers.charged(budget.try_acquire(16 * ROOM).unwrap());
        buffer.make_room(16 * ROOM);
        assert_eq!((buffer.held_bytes(), budget.free()), (16 * ROOM, 0));
    }

    #[test]
    fn bytes_that_are_there_already_are_charged_by_their_capacity() {
        let budget = Budget::new(100 * ROOM);
        let mut bytes = Vec::with_capacity(50 * ROOM);
        bytes.resize(40 * ROOM, 7);
        let buffer = Buffer::holding(bytes, budget.try_acquire(ROOM).unwrap());
        assert_eq!(budget.total() - budget.free(), buffer.held_bytes());
        assert!(buffer.held_bytes() >= 40 * ROOM);
    }

    proptest::proptest! {
        /// After any operations on some buffers, the budget covers all their memory.
        #[test]
        fn nothing_is_held_that_is_not_charged(steps in proptest::collection::vec((0..4usize, 0..4u8, 0..20 * ROOM), 1..40)) {
            let (budget, buffers) = (Budget::new(1000 * ROOM), Buffers::new(16 * ROOM));
            let charged = || buffers.charged(Budget::acquire(&budget, OBJECT_BYTES_MIN, &crate::base::stop::Stop::new()).unwrap());
            let mut all: Vec<Buffer> = (0..4).map(|_| charged()).collect();
            for (at, action, bytes) in steps {
                let buffer = &mut all[at];
                match action {
                    0 => buffer.make_room(bytes),
                    1 => { buffer.try_make_room(bytes); }
                    2 => { let length = (buffer.len() + bytes).min(buffer.capacity()); buffer.resize(length, 1); }
                    _ => { buffer.truncate(bytes); buffer.fit(); }
                }
                let held: usize = all.iter().map(|buffer| buffer.held_bytes().max(OBJECT_BYTES_MIN)).sum();
                proptest::prop_assert_eq!(budget.total() - budget.free(), held);
            }
        }
    }

    #[test]
    fn small_ones_and_foreign_ones_are_not_kept() {
        let buffers = Buffers::new(4 * ROOM);
        drop(buffers.take(10));
        drop(Buffer::from(vec![0; ROOM]));
        assert_eq!(kept(&buffers), 0);
    }
}
