//! The settings that an input needs to run.

use std::sync::Arc;

use super::leases::LeaseId;
use crate::ack::Outcome;
use crate::aws::{AccountId, Sqs};
use crate::base::budget::Budget;
use crate::base::pause::Pause;
use crate::base::stop::Stop;
use crate::handoff::Task;
use crate::handoff::schedule::Lane;
use crate::ledger::Ledger;
use crate::settings;
use crate::telemetry;

/// The parts that an input needs to run.
pub struct Settings {
    /// The input's index in the configuration.
    pub index: usize,
    pub input: settings::Input,
    /// The account of its credentials, which some tags need.
    pub account: AccountId,
    /// For receives: its waits end with `stop`.
    pub receiving: Sqs,
    /// For everything else: its waits end with `abort`.
    pub settling: Sqs,
    /// Knows the messages over which the process died before.
    pub ledger: Ledger,
    /// The channel to the fetchers.
    pub tasks: Lane<Task>,
    pub telemetry: Arc<telemetry::Input>,
    /// Maximum messages in flight, besides those of a receive.
    pub messages_max: usize,
    /// Bytes of its waiting bodies, besides those of a usual receive.
    pub bodies_bytes: usize,
    /// Bytes of larger bodies, of all queues together.
    pub bodies_large: Budget,
    /// Ends when the queue is empty.
    pub drain: bool,
    /// Receives nothing while it is on.
    pub pause: Pause,
    /// Stops receiving.
    pub stop: Stop,
    /// Returns everything and ends.
    pub abort: Stop,
}

/// A message whose work has ended.
pub(super) struct Settled {
    pub(super) lease: LeaseId,
    pub(super) outcome: Outcome,
}
