//! A queue as SQS keeps it: visibility, receipt handles, deliveries that repeat, groups in order.
//!
//! Format and semantics: the Amazon SQS API reference and developer guide.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::scheduler::BEGINNING;
use super::setup::VISIBILITIES;

/// Messages in flight at most; SQS's own limit is 120,000 (20,000 for FIFO queues).
const IN_FLIGHT_MAX: usize = 400;

#[derive(Debug, Default)]
pub struct Queue {
    pub messages: BTreeMap<u64, Message>,
    /// Groups are kept in order.
    pub is_fifo: bool,
    /// Messages received more often than this go to the dead-letter queue.
    pub receives_max: u32,
    /// The dead-letter queue.
    pub dead: BTreeMap<u64, Message>,
    next: u64,
    receipts: u64,
}

#[derive(Debug)]
pub struct Message {
    pub body: String,
    /// The numbers of the objects that it names.
    pub objects: Vec<usize>,
    pub group: Option<String>,
    pub sent: Duration,
    pub receives: u32,
    /// The time at which it becomes visible.
    visible_at: Duration,
    /// The latest receipt, and the process that holds it. None: never received, or given back.
    pub held: Option<Held>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    receipt: u64,
    pub by: u64,
    pub received: Duration,
    /// The time of its receive or last extension.
    pub since: Duration,
}

/// The result of a call for one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The message is gone.
    Deleted,
    /// Nothing has changed.
    Nothing,
    /// The receipt is no longer valid.
    Stale,
}

impl Queue {
    pub fn send(&mut self, body: String, objects: Vec<usize>, group: Option<String>, now: Duration) -> u64 {
        self.next += 1;
        let message = Message { body, objects, group, sent: now, receives: 0, visible_at: now, held: None };
        self.messages.insert(self.next, message);
        self.next
    }

    /// Messages sent so far.
    pub fn sent(&self) -> usize {
        self.next as usize
    }

    /// Messages that can be received now. In a FIFO queue a group waits for its message in flight.
    pub fn visible(&self, now: Duration) -> Vec<u64> {
        let in_flight = self.messages.values().filter(|message| message.visible_at > now).count();
        if in_flight >= IN_FLIGHT_MAX {
            return Vec::new();
        }
        let mut blocked: Vec<&str> = Vec::new();
        let mut found = Vec::new();
        for (id, message) in &self.messages {
            let group = message.group.as_deref().filter(|_| self.is_fifo);
            if group.is_some_and(|group| blocked.contains(&group)) {
                continue;
            }
            if message.visible_at <= now {
                found.push(*id);
            } else {
                blocked.extend(group);
            }
        }
        found
    }

    /// Delivers one message, and hides it unless it is to come twice. Returns it as JSON, and who had lost it by time.
    pub fn deliver(
        &mut self,
        id: u64,
        hidden: Duration,
        by: u64,
        now: Duration,
    ) -> Option<(Value, Option<Held>)> {
        self.receipts += 1;
        let receipt = self.receipts;
        let message = self.messages.get_mut(&id)?;
        message.receives += 1;
        let lost = message.held.replace(Held { receipt, by, received: now, since: now });
        message.visible_at = now + hidden;
        let mut attributes = json!({
            "ApproximateReceiveCount": message.receives.to_string(),
            "SentTimestamp": (u128::from(BEGINNING) * 1000 + message.sent.as_millis()).to_string(),
        });
        if let Some(group) = &message.group {
            attributes["MessageGroupId"] = Value::from(group.as_str());
        }
        let text = json!({
            "MessageId": format!("00000000-0000-4000-8000-{id:012x}"),
            "ReceiptHandle": format!("{id}.{receipt}"),
            "Body": message.body,
            "Attributes": attributes,
        });
        Some((text, lost))
    }

    /// Makes a message visible although it is in flight, as SQS may.
    pub fn show_again(&mut self, id: u64, now: Duration) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.visible_at = now;
            message.held = None;
        }
    }

    /// The message that a receipt handle belongs to. None: it is gone, which is no error.
    pub fn named(&self, handle: &str) -> Option<u64> {
        handle.split_once('.')?.0.parse().ok().filter(|id| self.messages.contains_key(id))
    }

    /// Deletes with any handle in a standard queue, as SQS does; in a FIFO queue the message must still be hidden.
    pub fn delete(&mut self, handle: &str, now: Duration) -> Fate {
        let Some(id) = self.named(handle) else { return Fate::Nothing };
        let is_hidden = self.messages.get(&id).is_some_and(|message| message.visible_at > now);
        if self.is_fifo && !is_hidden {
            return Fate::Stale;
        }
        self.messages.remove(&id);
        Fate::Deleted
    }

    /// The message that this receipt still hides, and who holds it.
    pub fn held(&self, handle: &str, now: Duration) -> Option<(u64, Held)> {
        let id = self.named(handle)?;
        let receipt = handle.split_once('.')?.1.parse().ok();
        let message = self.messages.get(&id).filter(|message| message.visible_at > now)?;
        message.held.filter(|held| Some(held.receipt) == receipt).map(|held| (id, held))
    }

    /// True if a change of visibility by this much is an extension; other ones return the message.
    pub fn extends(time: Duration) -> bool {
        VISIBILITIES.contains(&time.as_secs())
    }

    pub fn hide(&mut self, handle: &str, time: Duration, now: Duration) -> Fate {
        let Some((id, held)) = self.held(handle, now) else { return Fate::Stale };
        let held = Queue::extends(time).then_some(Held { since: now, ..held });
        if let Some(message) = self.messages.get_mut(&id) {
            (message.visible_at, message.held) = (now + time, held);
        }
        Fate::Nothing
    }

    /// Moves the message to the dead-letter queue if it has been received as often as it may. Returns true if it is gone.
    pub fn redrive(&mut self, id: u64) -> bool {
        let is_used_up = self.messages.get(&id).is_some_and(|message| message.receives >= self.receives_max);
        if is_used_up && let Some(message) = self.messages.remove(&id) {
            self.dead.insert(id, message);
        }
        is_used_up
    }

    /// (visible, in flight).
    pub fn depth(&self, now: Duration) -> (usize, usize) {
        let visible = self.messages.values().filter(|message| message.visible_at <= now).count();
        (visible, self.messages.len() - visible)
    }
}
