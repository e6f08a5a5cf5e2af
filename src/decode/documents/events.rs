//! CloudWatch Logs subscription envelopes -> log events.
//!
//! ```text
//! {"messageType":"DATA_MESSAGE","owner":"…","logGroup":"…","logStream":"…","subscriptionFilters":["…"],
//!  "logEvents":[{"id":"…","timestamp":1620678200000,"message":"…"},…]}
//! ```

use std::sync::Arc;

use super::outcome::{Failure, Outcome, json_record};
use crate::base::limits::HEADER_BYTES_MAX;
use crate::decode::copies::Copies;
use crate::decode::format::EventBody;
use crate::decode::json::scan::Fault;
use crate::decode::json::walk::{self, Member};
use crate::decode::{Error, Newlines, Record, Signs, Sink};

/// Buffers reused from envelope to envelope.
pub(in crate::decode) struct Events {
    body: EventBody,
    signs: Option<Arc<Signs>>,
    /// The envelope's own members, as the start of each event's object.
    head: Vec<u8>,
    object: Vec<u8>,
    text: Vec<u8>,
    /// The part of `head` in each event's object.
    copies: Copies,
}

/// The kind of a document.
enum Opened<'d> {
    /// An envelope; its events, an array.
    Events(&'d [u8]),
    /// A control message of CloudWatch Logs.
    Control,
    Other,
}

impl Events {
    /// Creates the buffers. Messages are compared with `signs`.
    pub fn new(body: EventBody, signs: Option<Arc<Signs>>) -> Self {
        let (head, object, text) = Default::default();
        Events { body, signs, head, object, text, copies: Copies::default() }
    }

    /// Returns the memory of a large envelope.
    pub(super) fn forget(&mut self) {
        (self.head, self.object, self.text) = Default::default();
    }

    /// Passes on the log events of a document. Control messages have none.
    pub(super) fn envelope(&mut self, document: &[u8], sink: &mut dyn Sink) -> Result<Outcome, Failure> {
        let mut signs = self.signs.clone();
        self.each(document, |events, message| {
            // An envelope is of one log group, so its first message tells whose log it has.
            if let Some(message) = message.filter(|_| signs.is_some()) {
                events.unescape(message);
                if !events.text.trim_ascii().is_empty()
                    && let Some(signs) = signs.take()
                {
                    signs.check_message(&events.text).map_err(Failure::Object)?;
                }
            }
            events.give(message, sink);
            Ok(())
        })
    }

    /// Passes on messages that are JSON records themselves, as far as they look like them.
    pub(super) fn inner_records(
        &mut self,
        document: &[u8],
        is_record: impl Fn(&[u8]) -> bool,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Failure> {
        let mut all_are = true;
        let outcome = self.each(document, |events, message| {
            match message {
                Some(message) => drop(events.unescape(message)),
                None => events.text.clone_from(&events.object),
            }
            if !events.text.is_empty() && !is_record(&events.text) {
                all_are = false;
                return Ok(());
            }
            let newlines = match walk::is_value(&events.text) {
                true => Newlines::Insignificant,
                false => Newlines::Significant,
            };
            give_unless_empty(Record::new(&events.text, newlines), sink);
            Ok(())
        })?;
        Ok(if all_are { outcome } else { Outcome::Other })
    }

    /// Reads the events one by one; `give` gets each one's message.
    fn each(
        &mut self,
        document: &[u8],
        mut give: impl FnMut(&mut Self, Option<&[u8]>) -> Result<(), Failure>,
    ) -> Result<Outcome, Failure> {
        self.copies.read(document.len());
        let events = match self.open(document)? {
            Opened::Events(_) if self.head.len() > HEADER_BYTES_MAX => {
                return Err(Failure::Object(Error::HeaderTooLarge { max: HEADER_BYTES_MAX }));
            }
            Opened::Events(events) => events,
            Opened::Control => return Ok(Outcome::Empty),
            Opened::Other => return Ok(Outcome::Other),
        };
        let mut outcome = Outcome::Empty;
        for event in walk::elements(events).into_iter().flatten() {
            let event = event?;
            if !event.starts_with(b"{") {
                return Ok(Outcome::Other);
            }
            self.copies.copy(self.head.len()).map_err(Failure::Object)?;
            let message = self.read(event)?;
            give(self, message)?;
            outcome = Outcome::Read;
        }
        Ok(outcome)
    }

    /// Reads the envelope's own members.
    fn open<'d>(&mut self, document: &'d [u8]) -> Result<Opened<'d>, Fault> {
        self.head.clear();
        self.head.push(b'{');
        let (mut events, mut kind) = (None, None);
        for member in walk::members(document).into_iter().flatten() {
            let member = member?;
            if member.is("logEvents") && (member.value.starts_with(b"[") || member.value == b"null") {
                if events.replace(member.value).is_some() {
                    return Err(walk::repeated());
                }
                continue;
            }
            if member.is("messageType") && kind.replace(member.value).is_some() {
                return Err(walk::repeated());
            }
            self.push_member(member);
        }
        Ok(match events {
            _ if kind == Some(b"\"CONTROL_MESSAGE\"") => Opened::Control,
            Some(events) => Opened::Events(events),
            None => Opened::Other,
        })
    }

    fn push_member(&mut self, Member { key, value }: Member<'_>) {
        if self.head.len() > 1 {
            self.head.push(b',');
        }
        self.head.push(b'"');
        self.head.extend_from_slice(key);
        self.head.extend_from_slice(b"\":");
        self.head.extend_from_slice(value);
    }

    /// Writes the event's object. Returns its message as written, if it has one.
    fn read<'d>(&mut self, event: &'d [u8]) -> Result<Option<&'d [u8]>, Fault> {
        self.object.clear();
        self.object.extend_from_slice(&self.head);
        let mut message = None;
        for member in walk::members(event).into_iter().flatten() {
            let member = member?;
            if member.is("message") && member.value != b"null" && message.replace(member.value).is_some() {
                return Err(walk::repeated());
            }
            if self.object.len() > 1 {
                self.object.push(b',');
            }
            self.object.push(b'"');
            self.object.extend_from_slice(member.key);
            self.object.extend_from_slice(b"\":");
            self.object.extend_from_slice(member.value);
        }
        self.object.push(b'}');
        Ok(message)
    }

    /// An event without a message has its object as body.
    fn give(&mut self, message: Option<&[u8]>, sink: &mut dyn Sink) {
        match message.filter(|_| self.body == EventBody::Message) {
            None => sink.record(json_record(&self.object)),
            Some(message) => {
                let newlines = match self.unescape(message) {
                    true => Newlines::Significant,
                    false => Newlines::Insignificant,
                };
                let record = Record { bytes: &self.text, newlines, context: self.object.as_slice().into() };
                give_unless_empty(record, sink);
            }
        }
    }

    /// Writes the message's text. Returns false if it is not a string, and its text is the value as written.
    fn unescape(&mut self, message: &[u8]) -> bool {
        self.text.clear();
        match walk::string(message) {
            Some(written) => {
                walk::unescape(written, &mut self.text);
                true
            }
            None => {
                self.text.extend_from_slice(message);
                false
            }
        }
    }
}

/// An empty message is not a record, just as an empty line is not.
fn give_unless_empty(record: Record<'_>, sink: &mut dyn Sink) {
    if !record.bytes.is_empty() {
        sink.record(record);
    }
}
