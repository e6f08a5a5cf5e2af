//! How the reading of a document ends.

use super::super::json::scan::Fault;
use super::super::{Error, Newlines, Record};

/// The reason why a document gives no records, or not all of them.
pub enum Failure {
    /// It is not the JSON that it seemed to be.
    Bad(Fault),
    /// Its output exceeds the bound.
    TooLarge,
    /// The whole object is refused: there is no memory for the output, its repeated data would be copied too often, or it
    /// has another service's log.
    Object(Error),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::Bad(fault)
    }
}

/// The result of a document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its records, if it has any.
    Read,
    /// It is known to have none.
    Empty,
    /// It is of another kind.
    Other,
}

/// A JSON value as a record.
pub(super) fn json_record(bytes: &[u8]) -> Record<'_> {
    Record::new(bytes, Newlines::Insignificant)
}
