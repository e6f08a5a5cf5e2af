//! The record that is being read: the part of it that came with earlier chunks.

use super::Error;

/// Holds the beginning of a record between two chunks, so that no byte is looked at twice.
pub(super) struct Partial {
    bytes: Vec<u8>,
    max: usize,
}

impl Partial {
    /// `max`: bytes of the largest record.
    pub fn new(max: usize) -> Self {
        Partial { bytes: Vec::new(), max }
    }

    /// The record goes on after `piece`.
    pub fn hold(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.check(piece)?;
        self.append(piece);
        Ok(())
    }

    /// The record ends with `piece`. Without an earlier part, `piece` itself is given to `whole`.
    #[inline]
    pub fn complete<R>(&mut self, piece: &[u8], whole: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        self.check(piece)?;
        if self.bytes.is_empty() {
            return Ok(whole(piece));
        }
        self.append(piece);
        let answer = whole(&self.bytes);
        self.bytes.clear();
        Ok(answer)
    }

    /// What has been held.
    pub fn held(&self) -> &[u8] {
        &self.bytes
    }

    /// Keeps the first `length` bytes of what is held.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// The record ended in what has been held already, at `end`; nothing behind that is kept.
    pub fn complete_at<R>(&mut self, end: usize, whole: impl FnOnce(&[u8]) -> R) -> Result<R, Error> {
        if end > self.max {
            return Err(Error::RecordTooLarge { max: self.max });
        }
        let answer = whole(&self.bytes[..end]);
        self.bytes.clear();
        Ok(answer)
    }

    /// As [`Partial::hold`]; the last `beside` bytes may turn out not to belong to the record.
    pub fn hold_beside(&mut self, piece: &[u8], beside: usize) -> Result<(), Error> {
        if self.bytes.len() + piece.len() > self.max.saturating_add(beside) {
            return Err(Error::RecordTooLarge { max: self.max });
        }
        self.append(piece);
        Ok(())
    }

    /// Doubles like any `Vec`, but never beyond the largest record. `piece` has been checked.
    fn append(&mut self, piece: &[u8]) {
        let length = self.bytes.len() + piece.len();
        if length > self.bytes.capacity() {
            let capacity = length.max((2 * self.bytes.capacity()).min(self.max));
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
    }

    /// Would a record that has come to the end of `piece` still be within the bound?
    #[inline]
    pub fn check(&self, piece: &[u8]) -> Result<(), Error> {
        self.check_length(self.bytes.len() + piece.len())
    }

    /// Is a record of this length within the bound?
    #[inline]
    pub fn check_length(&self, length: usize) -> Result<(), Error> {
        if length <= self.max { Ok(()) } else { Err(Error::RecordTooLarge { max: self.max }) }
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
        assert!(partial.bytes.capacity() <= 1000);
    }

    #[test]
    fn the_bound_covers_held_and_new_bytes() {
        let mut partial = Partial::new(3);
        assert_eq!(partial.complete(b"1234", <[u8]>::len), Err(Error::RecordTooLarge { max: 3 }));
        partial.hold(b"12").unwrap();
        assert_eq!(partial.hold(b"34"), Err(Error::RecordTooLarge { max: 3 }));
    }
}
