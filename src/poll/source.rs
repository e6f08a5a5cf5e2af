//! What the loop needs to know of a source. Sources are pure: answers and times go in, requests and pages come
//! out.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::aws::{Error, Request};
use crate::ledger::Seen;

/// A source of events behind an API of AWS.
///
/// The loop asks it for the [`next`](Source::next) request, makes the call and lets it
/// [`read`](Source::read) the answer. A call that failed is asked for again: until an answer has been read,
/// `next` says the same.
pub trait Source: Send {
    /// Goes on after what is delivered: by part, what the marks of pages said. Empty: for the first time.
    /// Called at the start, and again when a page could not be delivered.
    fn resume(&mut self, checkpoints: &BTreeMap<String, String>);

    /// What to do at this time (AWS's): that of the pull's beginning, the same until the source has caught up.
    fn next(&mut self, now: Timestamp) -> Next;

    /// Reads the answer to the request that `next` gave.
    ///
    /// # Errors
    /// The answer is not what AWS documents.
    fn read(&mut self, answer: &[u8]) -> Result<Page, serde_json::Error>;

    /// The request that `next` gave was refused. True: the source begins its listing anew (its page token is
    /// no longer good, a group has gone), so that `next` gives another request.
    fn refused(&mut self, error: &Error) -> bool;

    /// What an operator may want to know since the last call, one line each.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// What a source wants done.
#[derive(Debug)]
pub enum Next {
    Call(Box<Request>),
    /// No call: these checkpoints hold once everything before them is delivered.
    Mark(Progress),
    /// There is nothing more for now.
    CaughtUp,
}

/// What one answer holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// What is to be sent, unless it was before.
    pub events: Vec<Event>,
    /// Events that the configuration leaves out.
    pub dropped: u64,
    /// Events that another region's thread sends.
    pub other_region: u64,
    pub progress: Progress,
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// By which a repeat is told; None: it is read once only.
    pub key: Option<Seen>,
    /// JSON, or text. A CR or LF becomes a space: in JSON it can only stand between tokens.
    pub body: Vec<u8>,
}

/// What is known once a page, and all before it, is delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// (part, how far); see [`crate::ledger::Mark`].
    pub checkpoints: Vec<(String, String)>,
    /// Events of earlier times will not be read again.
    pub forget_before: Option<i64>,
    /// All events of before that the source has to tell of.
    pub reached: Option<Timestamp>,
}

impl Progress {
    /// Of a source with one stream.
    pub fn up_to(value: impl ToString) -> Progress {
        Progress { checkpoints: vec![(String::new(), value.to_string())], ..Progress::default() }
    }
}

/// Milliseconds since 1970, as several APIs give times.
pub fn from_millis(time: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(time).ok()
}
