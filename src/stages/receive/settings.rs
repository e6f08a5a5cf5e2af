//! What an input needs to run.

use std::sync::Arc;

use super::leases::LeaseId;
use crate::ack::Outcome;
use crate::aws::{AccountId, Sqs};
use crate::base::budget::Budget;
use crate::base::stop::Stop;
use crate::handoff::Task;
use crate::handoff::schedule::Lane;
use crate::ledger::Ledger;
use crate::settings;
use crate::telemetry;

/// What an input needs to run.
pub struct Settings {
    /// The input's place in the configuration.
    pub index: usize,
    pub input: settings::Input,
    /// That of its credentials, which some tags need.
    pub account: AccountId,
    /// For receives: its waits end with `stop`.
    pub receiving: Sqs,
    /// For everything else: its waits end with `abort`.
    pub settling: Sqs,
    /// Knows the messages over which the process died before.
    pub ledger: Ledger,
    /// To the fetchers.
    pub tasks: Lane<Task>,
    pub telemetry: Arc<telemetry::Input>,
    /// Messages that may be in work, beside those of a receive.
    pub messages_max: usize,
    /// Bytes of its bodies that may wait, beside those of a usual receive.
    pub bodies_bytes: usize,
    /// Bytes of bodies that are too large for that, of all queues together.
    pub bodies_large: Budget,
    /// Ends when the queue is empty.
    pub drain: bool,
    /// Receive no more.
    pub stop: Stop,
    /// Give everything back and end.
    pub abort: Stop,
}

/// A message whose work has ended.
pub(super) struct Settled {
    pub(super) lease: LeaseId,
    pub(super) outcome: Outcome,
}
