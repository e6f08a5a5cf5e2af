//! How the reading of a document ends.

use super::super::json::scan::Fault;
use super::super::{Error, Newlines, Record};

/// Why a document gives no records, or not all of its records.
pub enum Failure {
    /// It is not the JSON that it seemed to be.
    Bad(Fault),
    /// What becomes of it is over the bound.
    TooLarge,
    /// There is no memory for what becomes of it.
    Memory(Error),
    /// What stands in it once would stand in its records too often.
    Copies(Error),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        Failure::Bad(fault)
    }
}

/// What a document has become.
#[derive(PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its records, if it holds any.
    Read,
    /// It is known to hold none.
    Empty,
    /// It is of another kind.
    Other,
}

/// A JSON value as a record.
pub(super) fn json_record(bytes: &[u8]) -> Record<'_> {
    Record::new(bytes, Newlines::Insignificant)
}
