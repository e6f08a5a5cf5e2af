//! The current record's part from earlier chunks.

use super::memory::Charge;
use super::{Account, Error};
use crate::base::limits::MIB;

/// The bound of a record, and the account that its held part is charged to.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    pub max: usize,
    pub account: Account,
}

impl From<usize> for Limit {
    fn from(max: usize) -> Limit {
        Limit { max, account: Account::default() }
    }
}

/// Bytes that grow up to a bound.
///
/// Beyond a mebibyte the maximum is allocated at once: untouched memory is not resident, and nothing has to be copied
/// from an old place to a new one while both exist.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Vec<u8>,
    max: usize,
    charge: Charge,
}

impl Held {
    pub fn new(limit: &Limit) -> Held {
        Held { bytes: Vec::new(), max: limit.max, charge: limit.account.charge() }
    }

    /// The caller has compared the length with the bound.
    pub fn extend(&mut self, piece: &[u8]) -> Result<(), Error> {
        let length = self.bytes.len() + piece.len();
        self.charge.set(length)?;
        if length > self.bytes.capacity() {
            let capacity = if length <= MIB { 2 * self.bytes.capacity() } else { usize::MAX };
            self.reserve(length.max(capacity.min(self.max)), length)?;
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Allocates `wished` bytes, or if the system does not grant that, `needed`.
    fn reserve(&mut self, wished: usize, needed: usize) -> Result<(), Error> {
        let held = self.bytes.len();
        let reserved = self.bytes.try_reserve_exact(wished - held);
        reserved
            .or_else(|_| self.bytes.try_reserve_exact(needed - held))
            .map_err(|_| Error::MemoryTooSmall { max: self.bytes.capacity() })
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Keeps the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        match length {
            0 => self.clear(),
            _ => self.bytes.truncate(length),
        }
    }

    /// Frees memory that only a large record needs.
    pub fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > MIB {
            self.bytes = Vec::new();
        }
        // Less is always possible.
        let _ = self.charge.set(0);
    }

    /// The bytes; they stay charged.
    #[cfg(feature = "parquet")]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

/// Holds the start of a record between two chunks, so that no byte is read twice.
pub(super) struct Partial {
    held: Held,
}

impl Partial {
    /// `limit` is the size of the largest record.
    pub fn new(limit: impl Into<Limit>) -> Self {
        Partial { held: Held::new(&limit.into()) }
    }

    /// The record continues after `piece`.
    pub fn hold(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.check(piece)?;
        self.held.extend(piece)
    }

    /// The record ends with `piece`. Without an earlier part, `piece` itself is passed to `whole`.
    #[inline]
    pub fn complete<R>(&mut self, piece: &[u8], whole: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        self.check(piece)?;
        if self.held.is_empty() {
            return Ok(whole(piece));
        }
        self.held.extend(piece)?;
        let answer = whole(self.held.as_slice());
        self.held.clear();
        Ok(answer)
    }

    /// The held bytes.
    pub fn held(&self) -> &[u8] {
        self.held.as_slice()
    }

    /// Keeps the first `length` held bytes.
    pub fn truncate(&mut self, length: usize) {
        self.held.truncate(length);
    }

    /// The record ended in the held bytes, at `end`; nothing after that is kept.
    pub fn complete_at<R>(&mut self, end: usize, whole: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        self.check_length(end)?;
        let answer = whole(&self.held.as_slice()[..end]);
        self.held.clear();
        Ok(answer)
    }

    /// Does the same as [`Partial::hold`], but the last `beside` bytes may turn out not to belong to the record.
    pub fn hold_beside(&mut self, piece: &[u8], beside: usize) -> Result<(), Error> {
        self.check_length((self.held.len() + piece.len()).saturating_sub(beside))?;
        self.held.extend(piece)
    }

    /// True if a record up to the end of `piece` would be within the bound.
    #[inline]
    pub fn check(&self, piece: &[u8]) -> Result<(), Error> {
        self.check_length(self.held.len() + piece.len())
    }

    /// True if a record of this length is within the bound.
    #[inline]
    pub fn check_length(&self, length: usize) -> Result<(), Error> {
        let max = self.held.max;
        if length <= max { Ok(()) } else { Err(Error::RecordTooLarge { max }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_one_record() {
        let mut partial = Partial::new(5);
        partial.hold(b"ab").unwrap();
        partial.hold(b"c").unwrap();
        assert_eq!(partial.complete(b"de", <[u8]>::to_vec).unwrap(), b"abcde");
        assert_eq!(partial.complete(b"xy", <[u8]>::to_vec).unwrap(), b"xy");
    }

    #[test]
    fn memory_is_bounded_as_the_record_is() {
        let mut partial = Partial::new(1000);
        (0..100).for_each(|_| partial.hold(b"0123456789").unwrap());
        assert!(partial.held.bytes.capacity() <= 1000);
    }

    #[test]
    fn a_large_record_moves_once_and_leaves_nothing() {
        let mut partial = Partial::new(9 * MIB);
        partial.hold(&[0; MIB]).unwrap();
        partial.hold(&[0; 1]).unwrap();
        let place = partial.held().as_ptr();
        partial.hold(&[0; 7 * MIB]).unwrap();
        assert_eq!(partial.held().as_ptr(), place);
        partial.complete(b"", |_| ()).unwrap();
        assert_eq!(partial.held.bytes.capacity(), 0);
    }

    #[test]
    fn the_bound_covers_held_and_new_bytes() {
        let mut partial = Partial::new(3);
        assert_eq!(partial.complete(b"1234", <[u8]>::len), Err(Error::RecordTooLarge { max: 3 }));
        partial.hold(b"12").unwrap();
        assert_eq!(partial.hold(b"34"), Err(Error::RecordTooLarge { max: 3 }));
    }
}
