//! Reads a body through all envelopes around its announcement.
//!
//! An envelope is a text, a list or a member that contains another message: SNS's `Message`, the `body` of a queue's
//! message that Lambda or a pipe passes on, a JSON string that contains JSON. Its content is read in the same way.

use std::collections::HashSet;

use simd_json::prelude::*;
use simd_json::{BorrowedValue, Node};

use super::{Announcement, Result, Unreadable, packed, pointer, shapes};
use crate::base::limits::{
    MESSAGE_ENVELOPES_MAX, MESSAGE_MEMBERS_NAMED_MAX, MESSAGE_UNPACKED_BYTES_MAX, MESSAGE_VALUES_MAX,
};

/// Members that contain another message. If an object has several, all count, except that a function's answer replaces
/// its input if it announces an object.
const ENVELOPES: [&str; 19] = [
    // SNS; Lambda's form of it; what a publisher may give it for all protocols
    "Message",
    "Sns",
    "default",
    // A queue's message from Lambda, pipes and SQS's API
    "body",
    "Body",
    "MessageBody",
    "Messages",
    // Lambda destinations
    ANSWER,
    QUESTION,
    // Input passed on by a Step Function or a schedule
    "Payload",
    "payload",
    "Input",
    "input",
    // EventBridge, and relays that use its name
    DETAIL,
    "event",
    "records",
    "message",
    // Lambda's form of a Kinesis record
    "kinesis",
    "data",
];

const DETAIL: &str = "detail";
const ANSWER: &str = "responsePayload";
const QUESTION: &str = "requestPayload";

/// CloudTrail sends this text to a topic that is set for a trail.
const CLOUDTRAIL_VALIDATION: &str = "CloudTrail validation message.";

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads one message.
pub struct Reader {
    /// Number of bytes that its packed content may still unpack to.
    unpacked_left: usize,
    /// Number of lists, members and texts that may still be entered, one inside the other.
    envelopes_left: u32,
}

/// In words: those of the fast parser are for its authors.
fn why_not_json(text: &str) -> String {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Err(error) => error.to_string(),
        Ok(_) => "it has a value that cannot be read".to_owned(),
    }
}

impl Reader {
    pub fn new() -> Reader {
        Reader { unpacked_left: MESSAGE_UNPACKED_BYTES_MAX, envelopes_left: MESSAGE_ENVELOPES_MAX }
    }

    /// Reads a text that may be a message.
    pub fn text(&mut self, text: &str) -> Result<Announcement> {
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == BYTE_ORDER_MARK);
        if text == CLOUDTRAIL_VALIDATION {
            return Ok(Announcement::nothing("CloudTrail's test of a topic"));
        }
        if let Some(unpacked) = packed::unpack(text, &mut self.unpacked_left)? {
            return self.inside(|reader| reader.text(&unpacked));
        }
        if values(text) > MESSAGE_VALUES_MAX {
            return Err(Unreadable::TooManyValues { max: MESSAGE_VALUES_MAX });
        }
        let not_json = |_| Unreadable::NotJson(why_not_json(text));
        // The parser changes its input, and its values have one of two equal names.
        let (mut bytes, mut again) = (text.as_bytes().to_vec(), text.as_bytes().to_vec());
        let tape = simd_json::to_tape(&mut bytes).map_err(not_json)?;
        if let Some(name) = repeated_name(&tape.0) {
            return Err(Unreadable::RepeatedName(super::shortened(&format!("{name:?}"))));
        }
        self.value(&simd_json::to_borrowed_value(&mut again).map_err(not_json)?)
    }

    /// Opens an envelope.
    fn inside<T>(&mut self, read: impl FnOnce(&mut Reader) -> Result<T>) -> Result<T> {
        let before = self.envelopes_left;
        let max = MESSAGE_ENVELOPES_MAX;
        self.envelopes_left = before.checked_sub(1).ok_or(Unreadable::TooManyEnvelopes { max })?;
        let outcome = read(self);
        self.envelopes_left = before;
        outcome
    }

    fn value(&mut self, value: &BorrowedValue<'_>) -> Result<Announcement> {
        match value {
            BorrowedValue::String(text) => self.inside(|reader| reader.text(text)),
            BorrowedValue::Array(list) => self.list(value, list),
            BorrowedValue::Object(_) => self.object(value),
            BorrowedValue::Static(_) => Err(unknown(value)),
        }
    }

    /// Reads a list, each element of which is a message. An unreadable one makes the whole unreadable.
    fn list(&mut self, value: &BorrowedValue<'_>, list: &[BorrowedValue<'_>]) -> Result<Announcement> {
        if let Some(object) = pointer::read(value) {
            return Err(pointer::refused(&object));
        }
        if list.is_empty() {
            return Err(unknown(value));
        }
        self.inside(|reader| reader.all(list))
    }

    fn all(&mut self, list: &[BorrowedValue<'_>]) -> Result<Announcement> {
        list.iter().try_fold(Announcement::default(), |found, each| Ok(found.and(self.value(each)?)))
    }

    /// Reads all that an object says: its records, all places that name objects, and what its envelopes contain.
    fn object(&mut self, value: &BorrowedValue<'_>) -> Result<Announcement> {
        let records = match shapes::records(value) {
            None => None,
            Some([]) => Some(Announcement::nothing("an S3 event without records")),
            Some(records) => Some(self.inside(|reader| reader.all(records))?),
        };
        let found = beside(records, value)?;
        self.unwrapped(value, found).map_err(|error| match shapes::other_event(value) {
            Some(named) if !error.is_of_known_shape() => shapes::refused_event(&named),
            _ => error,
        })
    }

    /// Adds the content of an envelope's members to what was found beside them. An unreadable one must not be lost
    /// because another names nothing.
    fn unwrapped(
        &mut self,
        value: &BorrowedValue<'_>,
        mut found: Option<Announcement>,
    ) -> Result<Announcement> {
        let (mut failure, mut is_answered, mut is_cut) = (None::<Unreadable>, false, false);
        let names_objects = |found: &Announcement| !found.objects.is_empty();
        for member in ENVELOPES {
            let Some(inner) = value.get(member).filter(|inner| shapes::says_something(inner)) else {
                continue;
            };
            if (member == QUESTION && is_answered) || (member == DETAIL && shapes::is_event_of_s3(value)) {
                continue;
            }
            match self.inside(|reader| reader.value(inner)) {
                Ok(more) => {
                    is_answered |= member == ANSWER && names_objects(&more);
                    found = Some(match found {
                        Some(found) => found.and_beside(more),
                        None => more,
                    });
                }
                // A function may answer anything.
                Err(_) if member == ANSWER && value.contains_key(QUESTION) => (),
                Err(error) if error.is_of_known_shape() => {
                    failure = failure.filter(Unreadable::is_of_known_shape).or(Some(error));
                }
                Err(error) => {
                    is_cut |= matches!(error, Unreadable::NotJson(_)) && looks_like_json(inner);
                    failure = failure.or_else(|| Some(error.inside(member, || described(value))));
                }
            }
        }
        match (found, failure) {
            // Beside an announcement, a text is a text.
            (Some(found), Some(error)) if names_objects(&found) && !error.is_of_known_shape() && !is_cut => {
                Ok(found)
            }
            (_, Some(error)) => Err(error),
            (Some(found), None) => Ok(found),
            (None, None) => Err(unknown(value)),
        }
    }
}

/// Adds what the places of a value say.
fn beside(found: Option<Announcement>, value: &BorrowedValue<'_>) -> Result<Option<Announcement>> {
    shapes::places(value).iter().try_fold(found, |found, read| {
        let more = read(value)?;
        Ok(Some(match found {
            Some(found) if more.objects.is_empty() => found,
            Some(found) => found.and_beside(more),
            None => more,
        }))
    })
}

/// True for a text that was meant to be JSON.
fn looks_like_json(value: &BorrowedValue<'_>) -> bool {
    let Some(text) = value.as_str() else { return false };
    let mut signs = text.chars().filter(|c| !c.is_whitespace() && *c != BYTE_ORDER_MARK);
    match signs.next() {
        Some('{') => matches!(signs.next(), Some('"')),
        Some('[') => matches!(signs.next(), Some('{' | '[' | '"')),
        _ => false,
    }
}

/// A name that an object has twice. Which of the two values counts would be a guess, and one of them may announce an
/// object.
fn repeated_name<'t>(tape: &[Node<'t>]) -> Option<&'t str> {
    tape.iter().enumerate().find_map(|(at, node)| {
        let Node::Object { len, .. } = node else { return None };
        let mut known = HashSet::with_capacity(*len);
        names(&tape[at + 1..]).take(*len).find(|name| !known.insert(*name))
    })
}

/// The names of members that follow each other, each with its value.
fn names<'t>(mut nodes: &[Node<'t>]) -> impl Iterator<Item = &'t str> {
    std::iter::from_fn(move || {
        let (Node::String(name), rest) = nodes.split_first()? else { return None };
        let inner = match rest.first()? {
            Node::Object { count, .. } | Node::Array { count, .. } => *count,
            Node::String(_) | Node::Static(_) => 0,
        };
        nodes = rest.get(1 + inner..)?;
        Some(*name)
    })
}

/// The maximum number of values that a text can have as JSON.
fn values(text: &str) -> usize {
    // A shorter text cannot have more, and need not be scanned.
    if text.len() <= MESSAGE_VALUES_MAX {
        return text.len();
    }
    text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count()
}

/// The error for an unknown value.
fn unknown(value: &BorrowedValue<'_>) -> Unreadable {
    Unreadable::UnknownShape(super::shortened(&described(value)))
}

/// A description of a value: an object by its first members.
fn described(value: &BorrowedValue<'_>) -> String {
    match value {
        BorrowedValue::Object(object) if object.is_empty() => "an empty object".to_owned(),
        BorrowedValue::Object(object) => {
            let names = object.keys().take(MESSAGE_MEMBERS_NAMED_MAX).map(|name| format!("{name:?}"));
            let more = if object.len() > MESSAGE_MEMBERS_NAMED_MAX { ", …" } else { "" };
            format!("an object with {}{more}", names.collect::<Vec<_>>().join(", "))
        }
        BorrowedValue::Array(_) => "an empty list".to_owned(),
        BorrowedValue::String(_) => "a text".to_owned(),
        BorrowedValue::Static(_) => "a single value".to_owned(),
    }
}
