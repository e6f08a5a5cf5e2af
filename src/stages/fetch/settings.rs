//! The settings of fetchers.

use std::sync::Arc;

use crate::aws::S3;
use crate::base::budget::{Budget, Permit};
use crate::base::buffers::Buffers;
use crate::base::stop::Stop;
use crate::decode::{Account, Bounds, Decoder};
use crate::fleet::Objects;
use crate::handoff::Payload;
use crate::ledger::Ledger;
use crate::services::Definition;
use crate::settings::MissingObject;
use crate::telemetry::{self, Waits};

/// The threads' shared state.
pub struct Settings {
    /// By the index of the input.
    pub inputs: Vec<InputSettings>,
    /// The budget for compressed bytes.
    pub budget: Budget,
    /// Their buffers.
    pub buffers: Buffers,
    /// Largest object that is held whole, in bytes.
    pub whole_object_bytes_max: usize,
    pub bounds: Bounds,
    /// The memory of all decoders together.
    pub decoders: Budget,
    /// Knows the objects over which the process died before.
    pub ledger: Ledger,
    pub waits: Arc<Waits>,
    /// Takes a payload over. It may wait, but only for later stages.
    pub decode: Arc<dyn Fn(Payload) + Send + Sync>,
    /// Stops starting objects.
    pub stop: Stop,
    /// Aborts waits; work in flight then counts as not delivered.
    pub abort: Stop,
}

/// One input's part of it.
pub struct InputSettings {
    pub s3: S3,
    /// `id` of the input.
    pub id: String,
    /// Its record of delivered objects.
    pub ledger: Ledger,
    /// The objects that other hosts collect and have delivered. None if there are no other hosts.
    pub shared: Option<Objects>,
    pub missing_object: MissingObject,
    pub telemetry: Arc<telemetry::Input>,
}

impl Settings {
    /// Waits for room in the memory budget. None if aborted.
    pub(super) fn reserve(&self, amount: usize) -> Option<Permit> {
        self.waits.fetch_memory.time(|| self.budget.acquire(amount, &self.abort))
    }

    /// Creates the decoder of an object of this service, whose length is 0 if it is not known.
    pub(super) fn decoder(&self, service: &Definition, object_bytes: u64, account: Account) -> Decoder {
        Decoder::within(service.format.clone(), Bounds { object_bytes, ..self.bounds }, account)
    }
}
