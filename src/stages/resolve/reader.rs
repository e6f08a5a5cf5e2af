//! Reads a body through all envelopes around its announcement.
//!
//! An envelope is a text, a list or a member that contains another message: SNS's `Message`, the `body` of a queue's
//! message that Lambda or a pipe passes on, a JSON string that contains JSON. Its content is read in the same way.

use simd_json::BorrowedValue;
use simd_json::prelude::*;

use super::shapes::{self, Shape};
use super::{Announcement, Result, Unreadable, packed, pointer};
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
    "detail",
    "event",
    "records",
    "message",
    // Lambda's form of a Kinesis record
    "kinesis",
    "data",
];

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
        let mut bytes = text.as_bytes().to_vec();
        let value =
            simd_json::to_borrowed_value(&mut bytes).map_err(|_| Unreadable::NotJson(why_not_json(text)))?;
        match repeated_name(&value) {
            Some(name) => Err(Unreadable::RepeatedName(super::shortened(&format!("{name:?}")))),
            None => self.value(&value),
        }
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

    fn object(&mut self, value: &BorrowedValue<'_>) -> Result<Announcement> {
        match shapes::of(value) {
            Some(Shape::Read(announcement)) => match shapes::places(value).as_slice() {
                [] | [_] => announcement,
                places => beside(announcement?, value, places),
            },
            Some(Shape::Records(records)) => self.records(value, records),
            Some(Shape::Event(named)) => self.unwrapped(value).map_err(|error| {
                if error.is_of_known_shape() { error } else { shapes::refused_event(&named) }
            }),
            None => self.unwrapped(value),
        }
    }

    /// Reads a list of records, and what is beside it: a relay may leave the list empty, or add it to another message.
    fn records(&mut self, value: &BorrowedValue<'_>, records: &[BorrowedValue<'_>]) -> Result<Announcement> {
        let found = match records {
            [] => Announcement::nothing("an S3 event without records"),
            records => self.inside(|reader| reader.all(records))?,
        };
        let found = beside(found, value, &shapes::places(value))?;
        match self.unwrapped(value) {
            Ok(more) => Ok(found.and_beside(more)),
            Err(error) if error.is_of_known_shape() => Err(error),
            Err(_) => Ok(found),
        }
    }

    /// Reads the content of an envelope's members. An unreadable one must not be lost because another names nothing.
    fn unwrapped(&mut self, value: &BorrowedValue<'_>) -> Result<Announcement> {
        let mut found: Option<Announcement> = None;
        let mut failure: Option<Unreadable> = None;
        let names_objects = |found: &Announcement| !found.objects.is_empty();
        for member in ENVELOPES {
            let Some(inner) = value.get(member).filter(|inner| may_be_message(inner)) else { continue };
            let is_answered = member == QUESTION && found.as_ref().is_some_and(names_objects);
            if is_answered && value.contains_key(ANSWER) {
                continue;
            }
            match self.inside(|reader| reader.value(inner)) {
                Ok(more) => {
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
                Err(error) => failure = failure.or_else(|| Some(error.inside(member, || described(value)))),
            }
        }
        match (found, failure) {
            // Beside an announcement, a text is a text.
            (Some(found), Some(error)) if names_objects(&found) && !error.is_of_known_shape() => Ok(found),
            (_, Some(error)) => Err(error),
            (Some(found), None) => Ok(found),
            (None, None) => Err(unknown(value)),
        }
    }
}

/// Adds what all places in an object announce to what was found in one of them.
fn beside(found: Announcement, value: &BorrowedValue<'_>, places: &[shapes::Read]) -> Result<Announcement> {
    places.iter().try_fold(found, |found, read| Ok(found.and_beside(read(value)?)))
}

/// A name that an object has twice. Which of the two values counts would be a guess, and one of them may announce an
/// object. Objects of more than [`COMPARED_MEMBERS_MAX`] members, which no notification has, are not compared.
fn repeated_name<'v>(value: &'v BorrowedValue<'_>) -> Option<&'v str> {
    match value {
        BorrowedValue::Array(list) => list.iter().find_map(repeated_name),
        BorrowedValue::Object(object) if object.len() <= COMPARED_MEMBERS_MAX => {
            let is_repeated =
                |(at, name): &(usize, &'v str)| object.keys().take(*at).any(|other| other == name);
            let repeated = object.keys().map(|name| &**name).enumerate().find(is_repeated);
            repeated.map(|(_, name)| name).or_else(|| object.values().find_map(repeated_name))
        }
        BorrowedValue::Object(object) => object.values().find_map(repeated_name),
        BorrowedValue::String(_) | BorrowedValue::Static(_) => None,
    }
}

/// The parser keeps both values of a repeated name in smaller objects only.
const COMPARED_MEMBERS_MAX: usize = 32;

/// The maximum number of values that a text can have as JSON.
fn values(text: &str) -> usize {
    // A shorter text cannot have more, and need not be scanned.
    if text.len() <= MESSAGE_VALUES_MAX {
        return text.len();
    }
    text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count()
}

fn may_be_message(value: &BorrowedValue<'_>) -> bool {
    value.is_object() || value.is_array() || value.is_str()
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
