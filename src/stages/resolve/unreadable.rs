//! A message that cannot be read.

use crate::base::limits::NAMED_CHARS_MAX;

pub(super) type Result<T> = std::result::Result<T, Unreadable>;

/// The body is not a readable announcement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the message body is not JSON ({0}){DIRECT}")]
    NotJson(String),
    #[error(
        "the message body is JSON of unknown shape (neither an S3 event, SNS, EventBridge, CrowdStrike FDR, \
         CloudTrail or Config notification, nor one of these in another envelope): {0}{DIRECT}"
    )]
    UnknownShape(String),
    #[error("the message body is {shape} but lacks {what}")]
    Incomplete { shape: &'static str, what: &'static str },
    /// A known shape that cannot or must not be read.
    #[error("the message is {shape}{named}: {cure}")]
    Refused { shape: &'static str, named: String, cure: &'static str },
    #[error("the message names {object}, whose bucket is not read. It is {what}: {cure}")]
    NotRead { object: String, what: &'static str, cure: &'static str },
    #[error(
        "the message names an object that cannot exist, {0}: the name of its bucket, its key or its version is \
         invalid"
    )]
    Impossible(String),
    #[error("the message body has more than {max} values, which no notification has")]
    TooManyValues { max: usize },
    #[error(
        "the message has more than {max} lists, members and texts inside each other, which no notification has"
    )]
    TooManyEnvelopes { max: u32 },
    #[error("the message body has the name {0} twice in one object: which of the two counts is unknown")]
    RepeatedName(String),
    #[error("the message body is base64 whose content {0}{DIRECT}")]
    Packed(&'static str),
}

/// The advice for a message that may be a log.
pub(super) const DIRECT: &str =
    ". If the messages are the logs themselves, set `direct_mode: true` for the input";

impl Unreadable {
    /// `named` is its name, chosen by others; may be empty.
    pub(super) fn refused(shape: &'static str, named: &str, cure: &'static str) -> Unreadable {
        let named = shortened(&named.escape_debug().to_string());
        let named = if named.is_empty() { named } else { format!(" ({named})") };
        Unreadable::Refused { shape, named, cure }
    }

    /// The same failure in a few constant words.
    pub fn cause(&self) -> &'static str {
        match self {
            Unreadable::NotJson(_) => "not JSON",
            Unreadable::UnknownShape(_) => "unknown shape",
            Unreadable::Incomplete { shape, .. } | Unreadable::Refused { shape, .. } => shape,
            Unreadable::NotRead { what, .. } => what,
            Unreadable::Impossible(_) => "impossible name",
            Unreadable::TooManyValues { .. } => "too many values",
            Unreadable::TooManyEnvelopes { .. } => "too many envelopes",
            Unreadable::RepeatedName(_) => "repeated name",
            Unreadable::Packed(_) => "base64",
        }
    }

    /// True if more is known of the message than that it is not an announcement.
    pub(super) fn is_of_known_shape(&self) -> bool {
        !matches!(self, Unreadable::NotJson(_) | Unreadable::UnknownShape(_))
    }

    /// The error for an envelope with this in its member.
    pub(super) fn inside(self, member: &str, envelope: impl FnOnce() -> String) -> Unreadable {
        let what = match self {
            Unreadable::NotJson(_) => "a text that is not JSON".to_owned(),
            Unreadable::UnknownShape(what) => what,
            known => return known,
        };
        Unreadable::UnknownShape(shortened(&format!("{what} as {member:?} of {}", envelope())))
    }
}

/// Others choose names; a log line shows enough of one to find it.
pub(super) fn shortened(name: &str) -> String {
    match name.char_indices().nth(NAMED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
