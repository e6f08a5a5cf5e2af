//! What fetchers are given.

use std::sync::Arc;

use crate::aws::S3;
use crate::base::budget::{Budget, Permit};
use crate::base::buffers::Buffers;
use crate::base::stop::Stop;
use crate::decode::{Account, Bounds, Decoder};
use crate::handoff::Payload;
use crate::ledger::Ledger;
use crate::services::Definition;
use crate::settings::MissingObject;
use crate::telemetry::{self, Waits};

/// What the threads share.
pub struct Settings {
    /// By the index of the input.
    pub inputs: Vec<InputSettings>,
    /// Compressed bytes that may be held.
    pub budget: Budget,
    /// Where these are held.
    pub buffers: Buffers,
    /// Largest object that is held whole, in bytes.
    pub whole_object_bytes_max: usize,
    pub bounds: Bounds,
    /// What all decoders together may hold.
    pub decoders: Budget,
    /// Knows the objects over which the process died before.
    pub ledger: Ledger,
    pub waits: Arc<Waits>,
    /// Takes a payload over. May wait, but only for what lies downstream.
    pub decode: Arc<dyn Fn(Payload) + Send + Sync>,
    /// Begin no more objects.
    pub stop: Stop,
    /// Ends waits; what is in hand then counts as not delivered.
    pub abort: Stop,
}

/// One input's side of it.
pub struct InputSettings {
    pub s3: S3,
    /// `id` of the input.
    pub id: String,
    /// What it has delivered before.
    pub ledger: Ledger,
    pub missing_object: MissingObject,
    pub telemetry: Arc<telemetry::Input>,
}

impl Settings {
    /// Waits for room in the memory budget. None when aborted.
    pub(super) fn reserve(&self, amount: usize) -> Option<Permit> {
        self.waits.fetch_memory.time(|| self.budget.acquire(amount, &self.abort))
    }

    /// The decoder of an object of this service.
    pub(super) fn decoder(&self, service: &Definition, account: Account) -> Decoder {
        Decoder::within(service.format.clone(), self.bounds, account)
    }
}
