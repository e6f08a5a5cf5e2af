//! What the loop needs to know of a source. Sources are pure: answers and times go in, requests and pages come
//! out.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::moment::Moment;
use crate::aws::{Error, Kind, Request, Unusable};
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

    /// Checkpoints may lie too far on, because AWS's clock was ahead when they were recorded: those beyond
    /// [`Moment::latest`] go back to it. Called after `resume`; what has changed is recorded at once.
    fn rewind(&mut self, moment: &Moment) -> Progress;

    /// What to do at this time: that of the pull's beginning, the same until the source has caught up.
    fn next(&mut self, moment: &Moment) -> Next;

    /// Reads the answer to the request that `next` gave.
    ///
    /// # Errors
    /// The answer is not what AWS documents.
    fn read(&mut self, answer: &[u8]) -> Result<Page, BadAnswer>;

    /// The request that `next` gave was refused. True: the source asks in another way (without a page token that is
    /// no longer good, for fewer items at once), so that `next` gives another request.
    fn refused(&mut self, error: &Error) -> bool;

    /// Whether `next` asks for what items (log groups, detectors, metrics) hold, and not just for a list of them.
    fn reads_items(&self) -> bool {
        false
    }

    /// The request that `next` gave was refused for good. Passes over the one item that it asks for until the next
    /// round, and names it. Its checkpoint stays, so that nothing of it is lost if it can be read later. None: the
    /// refusal concerns more than one item.
    fn leave_out(&mut self, _error: &Error) -> Option<String> {
        None
    }

    /// The request that `next` gave asks for something that can be done without, and was refused for good or as often
    /// as is allowed. Goes on without it, and says what that means. None: it cannot be done without.
    fn forgo(&mut self, _error: &Error) -> Option<&'static str> {
        None
    }

    /// What an operator may want to know since the last call, one line each.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// What a source wants done.
#[derive(Debug)]
pub enum Next {
    Call(Box<Request>),
    /// No call: this is what calls before have brought.
    Give(Page),
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
    /// Another page of the same listing follows, and this one has not listed any item that is read in between.
    pub goes_on: bool,
    /// Items that the answer says cannot be read.
    pub left_out: Vec<LeftOut>,
    pub progress: Progress,
}

/// Why an answer cannot be used.
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

/// How reading goes on after a call that failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Reaction {
    /// With the same request, after a wait.
    TryAgain,
    /// With another request, at once.
    AskAnew,
    /// Without what was asked for; the words say what that means.
    GoWithout(&'static str),
    /// With the next item: this one is passed over.
    LeaveOut(LeftOut),
}

/// Decides how to go on after a call that failed. `exhausted`: it has been tried as often as is allowed.
///
/// One item that AWS refuses for good must not hold up the others. A refusal that every call would meet
/// (credentials, throttling, the network) is no reason to pass over anything.
pub fn after(source: &mut (impl Source + ?Sized), error: &Error, exhausted: bool) -> Reaction {
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
