//! An object to fetch, with all its attempts.

use std::sync::Arc;
use std::time::SystemTime;

use jiff::Timestamp;

use super::Settings;
use super::outage::Attempts;
use crate::ack::{Ack, Fate, Progress};
use crate::base::object::Object;
use crate::decode::Account;
use crate::fleet::Claim;
use crate::handoff::{PullingId, Work, WorkSource};
use crate::ledger::{Case, Entry};
use crate::services::Definition;
use crate::telemetry;

/// An object in flight. It is small, because thousands may wait for a retry; its [`Work`] is created when its first
/// bytes have arrived.
pub struct Job {
    pub object: Object,
    pub service: Arc<Definition>,
    /// Index of the input in the configuration.
    pub input: usize,
    pub entry: Arc<Entry>,
    /// The right to collect it, among several hosts.
    pub claim: Option<Claim>,
    pub ack: Ack,
    pub fate: Fate,
    pub pulled: Option<PullingId>,
    pub case: Case,
    pub attempts: Attempts,
    /// Its last attempt has failed because of its bucket.
    pub unreadable: Option<Unreadable>,
    /// It is left out if it was written before this time.
    pub not_before: Option<Timestamp>,
}

/// Counts an object that cannot be read at present, until it can be, or is given up.
pub struct Unreadable(Arc<telemetry::Input>);

impl Unreadable {
    pub fn new(telemetry: &Arc<telemetry::Input>) -> Unreadable {
        telemetry.unreadable.add(1);
        Unreadable(Arc::clone(telemetry))
    }
}

impl Drop for Unreadable {
    fn drop(&mut self) {
        self.0.unreadable.add(-1);
    }
}

impl Job {
    /// True if it was written before the time from which objects are read. `modified` is S3's.
    pub fn is_too_old(&self, modified: Option<SystemTime>) -> bool {
        self.not_before.zip(modified).is_some_and(|(start, modified)| modified < SystemTime::from(start))
    }

    /// `object_bytes`: the object's length, 0 if it is not known.
    pub fn into_work(self, settings: &Settings, object_bytes: u64, progress: Progress) -> Box<Work> {
        let Job { object, service, input, ack, fate, pulled, case, .. } = self;
        let decoder = settings.decoder(&service, object_bytes, Account::within(&settings.decoders));
        Box::new(Work {
            source: WorkSource::S3(object),
            service,
            input,
            ack,
            fate,
            decoder,
            progress,
            pulled,
            case: Some(case),
        })
    }
}
