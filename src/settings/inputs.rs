//! Queues: inputs whose SQS messages announce objects.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::aws::{Credentials, Endpoints};
use crate::services::Definition;

/// One queue: an `sqs_collector…` entry of `inputs`, or a service of an `aws…` entry in one region.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its path in the file below `inputs`: `sqs_collector`, `aws.services.service-events-all in us-east-2`.
    pub key: String,
    pub id: String,
    pub queue: Queue,
    pub region: String,
    pub credentials: Credentials,
    pub endpoints: Endpoints,
    /// If false, messages are never deleted.
    pub ack_messages: bool,
    /// The message's body is the log itself.
    pub direct_mode: bool,
    /// Adds the id of the receive to JSON events (`@devo_pulling_id`).
    pub pulling_id: bool,
    /// If true, everything is done except sending.
    pub do_not_send: bool,
    /// `sqs_visibility_timeout`.
    pub visibility_timeout: Duration,
    /// `sqs_wait_timeout`, at most 20 s.
    pub wait_time: Duration,
    /// `sqs_max_messages`, 1 to 10.
    pub messages_per_receive: u32,
    /// Threads that long-poll this queue.
    pub receivers: usize,
    pub missing_object: MissingObject,
    /// `request_payer`: the caller pays for S3 requests.
    pub request_payer: bool,
    /// `start_time`: older objects are acknowledged and left out.
    pub start_time: Option<Timestamp>,
    /// At least one, in the order of the file.
    pub services: Vec<Arc<Definition>>,
}

/// Which queue it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queue {
    /// `base_url`, sent to SQS as written.
    Url(String),
    /// A queue of the account and region by name; SQS is asked for its URL.
    Name(String),
}

/// The treatment of a message whose object is missing (`missing_object`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingObject {
    /// It is retried, until the queue's redrive policy takes it.
    Retry,
    /// It counts as done.
    Skip,
}

impl Queue {
    /// True for a FIFO queue: SQS requires that the names of FIFO queues, and only those, end like this. It takes the
    /// name from the end of the URL's path, whatever host or endpoint the URL has.
    pub fn is_fifo(&self) -> bool {
        let path = self.text().split(['?', '#']).next().unwrap_or_default();
        path.trim_end_matches('/').ends_with(".fifo")
    }

    /// Account and name, which identify the queue in any form of its address.
    pub fn identity(&self) -> &str {
        let text = self.text();
        let path =
            text.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or(text, |(_, path)| path);
        path.trim_matches('/')
    }

    /// The queue as written.
    pub fn text(&self) -> &str {
        let (Queue::Url(text) | Queue::Name(text)) = self;
        text
    }
}

impl Input {
    /// True if an audit can compare its objects: they are announced, and sent.
    pub fn can_be_audited(&self) -> bool {
        !self.direct_mode && !self.do_not_send
    }

    /// True if the key names this input, or all inputs of the entry that it belongs to.
    pub fn is_named(&self, key: &str) -> bool {
        self.key == key || self.key.split('.').next() == Some(key)
    }

    /// The service that claims an object with this key, if any.
    pub fn service_of(&self, key: &str) -> Option<&Arc<Definition>> {
        match self.services.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|service| service.claims(key)),
        }
    }

    /// True if the key is like those of one of its services.
    pub fn claims(&self, key: &str) -> bool {
        self.services.iter().any(|service| service.claims(key))
    }
}
