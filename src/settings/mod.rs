//! Plain values for the stages: a parsed configuration, valid by construction.
//!
//! `config` makes them from the file; they need no further checks.

mod aws;
mod bucket;
mod globals;
mod inputs;
mod outputs;
mod sources;

pub use aws::{AccessKey, Credentials, Endpoints, Service, Variant, shown_key_id};
pub use bucket::{Bucket, NotABucket};
pub use globals::{Audit, DevoApi, Globals, InternalEvents, SharedTable, Status};
pub use inputs::{Input, MissingObject, Queue};
pub use outputs::{Confirmation, Destination, Identity, Output, Rates, TlsFiles};
pub use sources::{Api, CloudTrail, GuardDuty, Logs, Metrics, Shard, Source};

/// A whole valid configuration, which needs no further checks.
#[derive(Debug, Clone)]
pub struct Config {
    pub globals: Globals,
    /// Enabled inputs only.
    pub inputs: Vec<Input>,
    /// Services of `aws` inputs that poll an API, one per region.
    pub sources: Vec<Source>,
    /// Objects with the same content as a polled API, as if a queue announced them: for backfills.
    pub listings: Vec<Input>,
    /// At least one. Every event goes to every output.
    pub outputs: Vec<Output>,
}

impl Config {
    /// Threads that GET objects: none without a queue or a listing.
    pub fn fetchers(&self) -> usize {
        if self.inputs.is_empty() { 0 } else { self.globals.fetchers }
    }
}
