//! Message body -> the objects that it announces.
//!
//! Pure. Every shape is recognized by the message itself, so no setting has to say whether S3 writes to the queue
//! directly, through SNS (wrapped or raw) or through EventBridge. A body ends in one of three ways: it names objects
//! ([`shapes`]), in any envelopes ([`reader`]); it is known to name none, for a stated reason; or it is an error that
//! names the shape and what to do, and the caller must leave such a message to the redrive policy.
//!
//! Sources of the shapes: the S3 user guide ("Event message structure", "Using EventBridge"), the SNS developer guide
//! ("Parsing message formats"), the CloudTrail and Config user guides (SNS notifications), the Lambda developer guide
//! ("Invoking Lambda with events", "Destinations"), the S3 Batch Operations guide, the Security Lake user guide
//! ("Managing data access for Security Lake subscribers"), CrowdStrike's public FDR sample message.

mod objects;
mod packed;
mod pointer;
mod reader;
mod shapes;

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::Timestamp;

use crate::base::limits::{IDENTITY_BYTES_MAX, MESSAGE_BYTES_USUAL, NAMED_CHARS_MAX};
use crate::base::naming;
use crate::base::naming::NoPlace;
use crate::base::object::Object;
use reader::Reader;
use shapes::form_decoded as decoded;

pub use objects::{IntoIter, Objects};
pub use pointer::of_body as body_elsewhere;

type Result<T> = std::result::Result<T, Unreadable>;

impl Object {
    /// An object whose key is form-URL-encoded, as in S3's events. Blanks and characters beyond ASCII show that it is
    /// not: an input transformer of EventBridge copies the key unchanged.
    fn encoded(bucket: &str, key: &str) -> Object {
        let is_plain = key.contains(|c: char| !c.is_ascii_graphic());
        if is_plain {
            Object::named_or_encoded(bucket, key)
        } else {
            Object::spelled(bucket, &decoded(key), key)
        }
    }

    /// An object whose key may be encoded, but probably is not.
    fn named_or_encoded(bucket: &str, key: &str) -> Object {
        Object::spelled(bucket, key, &decoded(key))
    }

    fn spelled(bucket: &str, key: &str, other: &str) -> Object {
        let other_key = (other != key && naming::is_key(other)).then(|| other.to_owned());
        Object { other_key, ..Object::named(bucket, key) }
    }

    /// Checks that a bucket and an object can have these names, and that such buckets are supported.
    fn check(&self) -> Result<()> {
        let name = || shortened(&self.to_string());
        let mut identity = [&self.version_id, &self.etag, &self.checksum].into_iter().flatten();
        let is_known = identity.all(|text| text.len() <= IDENTITY_BYTES_MAX);
        match naming::place(&self.bucket) {
            Ok(_) if naming::is_key(&self.key) && is_known => Ok(()),
            Err(NoPlace::Unsupported { what, cure }) => {
                Err(Unreadable::NotRead { object: name(), what, cure })
            }
            _ => Err(Unreadable::Impossible(name())),
        }
    }
}

/// True if the key alone shows that the object has no log: it is the marker of a Hadoop job, or the object with which
/// AWS tests log delivery to a bucket.
///
/// The size in a message does not show it: Ceph, RustFS and relays write 0 for objects with content. Nor does a slash
/// at the key's end.
pub fn is_marker(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or_default();
    name == "_SUCCESS" || name.starts_with("aws-logs-write-test")
}

/// The content of a readable body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announcement {
    /// Objects to collect.
    pub objects: Objects,
    /// Named things that are not new objects (removals, restores, test events, other event types), with their counts.
    pub ignored: BTreeMap<&'static str, usize>,
    /// When the first of the objects was written, if the message says so.
    pub written: Option<Timestamp>,
}

impl Announcement {
    fn of(object: Object) -> Announcement {
        Announcement { objects: [object].into_iter().collect(), ..Announcement::default() }
    }

    /// The announcement of a message that names nothing to collect; `what` is its kind.
    fn nothing(what: &'static str) -> Announcement {
        Announcement { ignored: BTreeMap::from([(what, 1)]), ..Announcement::default() }
    }

    /// Adds the content of another part of the same message.
    fn and(mut self, other: Announcement) -> Announcement {
        self.objects.append(other.objects);
        other.ignored.into_iter().for_each(|(what, count)| *self.ignored.entry(what).or_default() += count);
        self.written(other.written)
    }

    /// Sets when its objects were written, unless one was written earlier.
    fn written(self, written: Option<Timestamp>) -> Announcement {
        let written = [self.written, written].into_iter().flatten().min();
        Announcement { written: written.filter(|_| !self.objects.is_empty()), ..self }
    }

    /// Sets the region of the objects without one.
    fn in_region(mut self, region: Option<&str>) -> Announcement {
        let known = |object: Object| {
            let region = object.region.or_else(|| region.map(str::to_owned));
            Object { region, ..object }
        };
        if !self.objects.is_refused() {
            self.objects = self.objects.into_iter().map(known).collect();
        }
        self
    }
}

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
    #[error("the message is wrapped in more than {max} envelopes, which no notification is")]
    TooManyEnvelopes { max: u32 },
    #[error("the message body is base64 whose content {0}{DIRECT}")]
    Packed(&'static str),
}

/// The advice for a message that may be a log.
const DIRECT: &str = ". If the messages are the logs themselves, set `direct_mode: true` for the input";

impl Unreadable {
    /// `named` is its name, chosen by others; may be empty.
    fn refused(shape: &'static str, named: &str, cure: &'static str) -> Unreadable {
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
            Unreadable::Packed(_) => "base64",
        }
    }

    /// True if more is known of the message than that it is not an announcement.
    fn is_of_known_shape(&self) -> bool {
        !matches!(self, Unreadable::NotJson(_) | Unreadable::UnknownShape(_))
    }

    /// The error for an envelope with this in its member.
    fn inside(self, member: &str, envelope: impl FnOnce() -> String) -> Unreadable {
        let what = match self {
            Unreadable::NotJson(_) => "a text that is not JSON".to_owned(),
            Unreadable::UnknownShape(what) => what,
            known => return known,
        };
        Unreadable::UnknownShape(shortened(&format!("{what} as {member:?} of {}", envelope())))
    }
}

/// Held while a large message is read, which takes fifty times its size.
static LARGE: Mutex<()> = Mutex::new(());

/// Reads a message body.
///
/// # Errors
/// [`Unreadable`] if the body has an unknown shape or lacks what its shape needs. Nothing is known of such a message,
/// so it must not be deleted. So is a message with a name that must not become part of an address.
pub fn resolve(body: &str) -> Result<Announcement> {
    let _alone = (body.len() > MESSAGE_BYTES_USUAL).then(|| LARGE.lock());
    let found = Reader::new().text(body)?;
    Ok(Announcement { objects: found.objects.checked()?, ..found })
}

/// Others choose names; a log line shows enough of one to find it.
fn shortened(name: &str) -> String {
    match name.char_indices().nth(NAMED_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
