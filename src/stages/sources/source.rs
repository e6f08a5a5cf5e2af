//! The interface between the loop and a source. Sources are pure: answers and times go in, requests and pages come out.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::moment::Moment;
use crate::aws::{Error, Kind, Request, Unusable};
use crate::ledger::Seen;

/// A source of events behind an AWS API.
///
/// The loop asks it for the [`next`](PageSource::next) request, makes the call and lets it [`read`](PageSource::read) the
/// answer. After a failed call it asks again: until an answer has been read, `next` returns the same.
pub trait PageSource: Send {
    /// Resumes after the delivered state: by part, the marks of pages. Empty at the first time. Called at the start,
    /// and again when a page could not be delivered.
    fn resume(&mut self, checkpoints: &BTreeMap<String, String>);

    /// Adds to the own checkpoints what other divisions of the same content have delivered of this source's part. Returns
    /// true if they are further.
    fn inherit(&self, _own: &mut BTreeMap<String, String>, _others: &BTreeMap<String, String>) -> bool {
        false
    }

    /// True if this checkpoint can be read, or reading only repeats something without it. A position that cannot be read
    /// must not be taken for none.
    fn can_read(&self, part: &str, value: &str) -> bool;

    /// Corrects checkpoints that may be too late, because AWS's clock was ahead when they were recorded: those beyond
    /// [`Moment::latest`] go back to it. Called after `resume`; changes are recorded at once.
    fn rewind(&mut self, moment: &Moment) -> Progress;

    /// The action at this time: that of the pull's start, the same until the source has caught up.
    fn next(&mut self, moment: &Moment) -> Next;

    /// Reads the answer to the request from `next`.
    ///
    /// # Errors
    /// If the answer is not what AWS documents.
    fn read(&mut self, answer: &[u8]) -> Result<Page, BadAnswer>;

    /// Handles a refusal of the request from `next`. Returns true if the source changes its request (without a page
    /// token that is no longer valid, for fewer items at once), so that `next` returns another one.
    fn refused(&mut self, error: &Error) -> bool;

    /// True if `next` requests the content of items (log groups, detectors, metrics), and not just a list of them.
    fn reads_items(&self) -> bool {
        false
    }

    /// Handles a permanent refusal of the request from `next`. Passes over the one requested item until the next round,
    /// and names it. Its checkpoint stays, so that nothing of it is lost if it can be read later. None if the refusal
    /// concerns more than one item.
    fn leave_out(&mut self, _error: &Error) -> Option<String> {
        None
    }

    /// Handles a permanent or repeated refusal of an optional request from `next`. Continues without it, and returns
    /// the consequence. None if it is not optional.
    fn forgo(&mut self, _error: &Error) -> Option<&'static str> {
        None
    }

    /// News for the operator since the last call, one line each.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// An action that a source requests.
#[derive(Debug)]
pub enum Next {
    Call(Box<Request>),
    /// No call: the result of earlier calls.
    Give(Page),
    /// No call: these checkpoints hold once everything before them is delivered.
    Mark(Progress),
    /// There is nothing more for now.
    CaughtUp,
}

/// The content of one answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Events to send, unless they were sent before.
    pub events: Vec<Event>,
    /// Where they are from, for people, if the source's own name does not say it: `log group x`.
    pub place: String,
    /// Events left out by the configuration.
    pub dropped: u64,
    /// Events of another region, whose own thread sends them.
    pub other_region: u64,
    /// Another page of the same listing follows, and this one has not listed any item that is read in between.
    pub goes_on: bool,
    /// Items that the answer reports as unreadable.
    pub left_out: Vec<LeftOut>,
    pub progress: Progress,
}

/// The reason why an answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadAnswer {
    #[error(transparent)]
    Unusable(#[from] Unusable),
    #[error("the listing never ends: its page tokens lead back to an earlier page")]
    Circle,
}

impl From<BadAnswer> for Unusable {
    fn from(why: BadAnswer) -> Unusable {
        match why {
            BadAnswer::Unusable(why) => why,
            BadAnswer::Circle => Unusable::odd(BadAnswer::Circle),
        }
    }
}

/// An item that is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub item: String,
    pub why: String,
}

/// How reading continues after a failed call.
#[derive(Debug, PartialEq, Eq)]
pub enum Reaction {
    /// With the same request, after a wait.
    TryAgain,
    /// With another request, at once.
    AskAnew,
    /// Without the requested thing; the text is the consequence.
    GoWithout(&'static str),
    /// With the next item: this one is passed over.
    LeaveOut(LeftOut),
}

/// Decides how to continue after a failed call. `exhausted` means that all attempts are used up.
///
/// One item that AWS refuses for good must not block the others. A refusal that every call would meet (credentials,
/// throttling, the network) is not a reason to pass over anything.
pub fn after(source: &mut (impl PageSource + ?Sized), error: &Error, exhausted: bool) -> Reaction {
    if (exhausted || !error.is_temporary())
        && let Some(without) = source.forgo(error)
    {
        return Reaction::GoWithout(without);
    }
    if !exhausted && source.refused(error) {
        return Reaction::AskAnew;
    }
    let is_of_item = error.may_be_of_item()
        || (exhausted && error.is_answered_by_aws() && *error.kind() == Kind::Transient);
    match is_of_item.then(|| source.leave_out(error)).flatten() {
        None => Reaction::TryAgain,
        Some(item) => Reaction::LeaveOut(LeftOut { item, why: error.to_string() }),
    }
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// The identity for recognizing repeats; None if it is read only once.
    pub key: Option<Seen>,
    /// The id by which AWS knows it, for people.
    pub id: Option<String>,
    /// JSON, or text. A CR or LF becomes a space: in JSON it can only be between tokens.
    pub body: Vec<u8>,
}

/// The state once a page, and all before it, is delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// (part, position); see [`crate::ledger::Mark`]. A part that says what the positions leave out has a blank in its name: the
    /// shared table writes it before them.
    pub checkpoints: Vec<(String, String)>,
    /// Events of earlier times will not be read again.
    pub forget_before: Option<i64>,
    /// Everything before this time has been read.
    pub reached: Option<Timestamp>,
}

impl Progress {
    /// For a source with one stream.
    pub fn up_to(value: impl ToString) -> Progress {
        Progress { checkpoints: vec![(String::new(), value.to_string())], ..Progress::default() }
    }
}

/// Milliseconds since 1970, as several APIs give times.
pub fn from_millis(time: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(time).ok()
}
