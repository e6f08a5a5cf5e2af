//! Text -> pieces between separators of any length.

use memchr::memmem::Finder;

use super::Error;
use super::partial::{Limit, Partial};

/// Splits at a separator, which may span chunks. Empty pieces count; after the last separator there is one more piece,
/// possibly empty.
pub(super) struct Separated {
    separator: Finder<'static>,
    partial: Partial,
}

impl Separated {
    /// `separator` is not empty, otherwise there is only one piece.
    pub fn new(separator: &[u8], limit: impl Into<Limit>) -> Self {
        Separated { separator: Finder::new(separator).into_owned(), partial: Partial::new(limit) }
    }

    /// Takes the next bytes of the text. A complete piece is passed to `piece`.
    pub fn push(
        &mut self,
        data: &[u8],
        piece: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.width() == 0 {
            return self.partial.hold(data);
        }
        let mut start = self.over_the_edge(data, piece)?;
        while let Some(at) = self.separator.find(&data[start..]) {
            self.partial.complete(&data[start..start + at], &mut *piece)??;
            start += at + self.width();
        }
        self.hold(&data[start..])
    }

    /// The text has ended.
    pub fn finish(&mut self, piece: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        self.partial.complete(b"", piece)?
    }

    fn width(&self) -> usize {
        self.separator.needle().len()
    }

    /// A separator that began in an earlier chunk: the position after it.
    fn over_the_edge(
        &mut self,
        data: &[u8],
        piece: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        let edge = self.width() - 1;
        let held = self.partial.held();
        let tail = &held[held.len().saturating_sub(edge)..];
        if tail.is_empty() {
            return Ok(0);
        }
        let around = [tail, &data[..data.len().min(edge)]].concat();
        let Some(at) = self.separator.find(&around) else { return Ok(0) };
        let behind = at + self.width() - tail.len();
        let end = held.len() - (tail.len() - at);
        self.partial.complete_at(end, &mut *piece)??;
        Ok(behind)
    }

    /// A partial separator does not count towards the record's bound: it may become a complete one.
    fn hold(&mut self, rest: &[u8]) -> Result<(), Error> {
        self.partial.hold_beside(rest, self.width() - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &[u8], size: usize, separator: &[u8], max: usize) -> (Vec<Vec<u8>>, Result<(), Error>) {
        let mut separated = Separated::new(separator, max);
        let mut pieces = Vec::new();
        let mut take = |piece: &[u8]| {
            pieces.push(piece.to_vec());
            Ok(())
        };
        let result = text.chunks(size).try_for_each(|chunk| separated.push(chunk, &mut take));
        let result = result.and_then(|()| separated.finish(&mut take));
        (pieces, result)
    }

    fn naive(text: &[u8], separator: &[u8]) -> Vec<Vec<u8>> {
        let (mut pieces, mut piece, mut at) = (Vec::new(), Vec::new(), 0);
        while at < text.len() {
            if text[at..].starts_with(separator) {
                pieces.push(std::mem::take(&mut piece));
                at += separator.len();
            } else {
                piece.push(text[at]);
                at += 1;
            }
        }
        pieces.push(piece);
        pieces
    }

    #[test]
    fn a_bound_does_not_depend_on_the_chunks() {
        for size in 1..12 {
            let (pieces, result) = split(b"abc||abcd||x", size, b"||", 3);
            assert_eq!(pieces, [b"abc"], "{size}");
            assert_eq!(result, Err(Error::RecordTooLarge { max: 3 }), "{size}");
        }
    }

    proptest! {
        #[test]
        fn equals_the_naive_split_whatever_the_chunks(
            text in "[ab|]{0,60}", separator in "[ab|]{1,4}", size in 1..20usize,
        ) {
            let (pieces, result) = split(text.as_bytes(), size, separator.as_bytes(), 1000);
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(pieces, naive(text.as_bytes(), separator.as_bytes()));
        }

        #[test]
        fn bounds_are_the_same_whatever_the_chunks(
            text in "[ab|]{0,60}", separator in "[ab|]{1,4}", size in 1..20usize, max in 1..9usize,
        ) {
            let whole = split(text.as_bytes(), text.len().max(1), separator.as_bytes(), max);
            prop_assert_eq!(split(text.as_bytes(), size, separator.as_bytes(), max), whole);
        }
    }
}
