//! Documents without their format's shape, and what they may be instead.

use std::sync::Arc;

use super::events::Events;
use super::outcome::{Failure, Outcome};
use crate::decode::Sink;
use crate::decode::format::{Bare, EventBody, Others};
use crate::decode::json::scan::Fault;
use crate::decode::json::walk;

/// Receives a record found in such a document.
pub type Give<'g> = dyn FnMut(&[u8], &mut dyn Sink) -> Result<(), Failure> + 'g;

/// Reads such documents.
pub struct Alternatives {
    others: Arc<Others>,
    /// If the records are texts of any kind, any JSON value may be one.
    of_texts: bool,
    events: Events,
}

/// Members of documents that are not records: data that Firehose could not deliver, whose record is in `rawData`, encoded;
/// and an envelope of log events without a list of them.
const NO_RECORDS: [[&str; 3]; 2] =
    [["attemptsMade", "errorCode", "rawData"], ["messageType", "logGroup", "logEvents"]];

impl Alternatives {
    pub fn new(others: Arc<Others>, of_texts: bool) -> Self {
        Alternatives { others, of_texts, events: Events::new(EventBody::Message, None) }
    }

    pub fn others(&self) -> &Others {
        &self.others
    }

    /// True if this may be a record, where a path has led to it. If members are required, it must be an object.
    #[inline]
    pub fn may_be_record(&self, value: &[u8]) -> bool {
        value.starts_with(b"{") || !matches!(self.others.bare, Bare::Members(_))
    }

    /// Returns the memory of a large envelope.
    pub fn forget(&mut self) {
        self.events.forget();
    }

    /// Reads a document; `give` gets its JSON records. `is_empty` says that it has the usual place of records, and none
    /// there.
    pub fn document(
        &mut self,
        document: &[u8],
        mut is_empty: bool,
        give: &mut Give<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Failure> {
        if self.others.log_events {
            let others = &self.others;
            // Data that is not JSON has no members.
            let is_record = |text: &[u8]| looks_like_record(others, text).unwrap_or(false);
            match self.events.inner_records(document, is_record, sink)? {
                Outcome::Other => (),
                Outcome::Empty => is_empty = true,
                Outcome::Read => return Ok(Outcome::Read),
            }
        }
        match self.under_paths(document, give, sink)? {
            None => (),
            Some(Outcome::Empty) => is_empty = true,
            Some(read) => return Ok(read),
        }
        is_empty |= has_any(document, &self.others.empty)?;
        let is_record = match &self.others.bare {
            Bare::Unknown => false,
            Bare::Any => {
                !is_empty && (self.of_texts || document.starts_with(b"{")) && !is_no_record(document)?
            }
            // It says so itself, whatever in it is empty.
            Bare::Members(sets) => has_one_of(document, sets)?,
        };
        if is_record {
            give(document, sink)?;
            return Ok(Outcome::Read);
        }
        Ok(if is_empty || is_empty_object(document) { Outcome::Empty } else { Outcome::Other })
    }

    /// Passes on the records at all paths that exist. None if there is none.
    fn under_paths(
        &self,
        document: &[u8],
        give: &mut Give<'_>,
        sink: &mut dyn Sink,
    ) -> Result<Option<Outcome>, Failure> {
        let (mut found, mut outcome): (Vec<&Vec<String>>, _) = (Vec::new(), None);
        for path in &self.others.paths {
            let Some(value) = walk::at(document, path)? else { continue };
            // The records of an outer path are already read.
            if found.iter().any(|outer| path.starts_with(outer)) {
                continue;
            }
            found.push(path);
            let here = if value == b"null" { Outcome::Empty } else { self.elements(value, give, sink)? };
            outcome = Some(match (outcome, here) {
                (Some(Outcome::Other), _) | (_, Outcome::Other) => Outcome::Other,
                (Some(Outcome::Read), _) | (_, Outcome::Read) => Outcome::Read,
                _ => Outcome::Empty,
            });
        }
        Ok(outcome)
    }

    /// Passes on the elements of an array, or the value itself, as far as they look like records.
    fn elements(&self, value: &[u8], give: &mut Give<'_>, sink: &mut dyn Sink) -> Result<Outcome, Failure> {
        let Some(elements) = walk::elements(value) else {
            if !looks_like_record(&self.others, value)? {
                return Ok(Outcome::Other);
            }
            give(value, sink)?;
            return Ok(Outcome::Read);
        };
        let mut outcome = Outcome::Empty;
        for element in elements {
            let element = element?;
            let is_record = looks_like_record(&self.others, element)?;
            if is_record {
                give(element, sink)?;
            }
            outcome = if is_record && outcome != Outcome::Other { Outcome::Read } else { Outcome::Other };
        }
        Ok(outcome)
    }
}

/// Without a description of records, anything is one.
fn looks_like_record(others: &Others, value: &[u8]) -> Result<bool, Fault> {
    match &others.bare {
        Bare::Members(sets) => has_one_of(value, sets),
        Bare::Any | Bare::Unknown => Ok(true),
    }
}

fn has_one_of(document: &[u8], sets: &[Vec<String>]) -> Result<bool, Fault> {
    for set in sets {
        if has_all(document, set)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_no_record(document: &[u8]) -> Result<bool, Fault> {
    for names in NO_RECORDS {
        if has_all(document, &names)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_empty_object(document: &[u8]) -> bool {
    document.strip_prefix(b"{").is_some_and(|rest| walk::trim(rest) == b"}")
}

fn has_all(document: &[u8], names: &[impl AsRef<str>]) -> Result<bool, Fault> {
    for name in names {
        if !walk::has(document, name.as_ref())? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn has_any(document: &[u8], names: &[String]) -> Result<bool, Fault> {
    for name in names {
        if walk::has(document, name)? {
            return Ok(true);
        }
    }
    Ok(false)
}
