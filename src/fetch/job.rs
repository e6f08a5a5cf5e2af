//! An object that is to be fetched, however many tries that takes.

use std::sync::Arc;

use super::outage::Attempts;
use crate::ack::{Ack, Progress};
use crate::decode::{Bounds, Decoder, Work};
use crate::ledger::Entry;
use crate::resolve::{Object, PullingId, Source};
use crate::services::Definition;

/// An object in work. It is small, because thousands may wait for another try; its [`Work`] is made when its
/// first bytes are there.
pub struct Job {
    pub object: Object,
    pub service: Arc<Definition>,
    /// Index of the input in the configuration.
    pub input: usize,
    pub entry: Arc<Entry>,
    pub ack: Ack,
    pub pulled: Option<PullingId>,
    pub attempts: Attempts,
}

impl Job {
    pub fn into_work(self, bounds: Bounds, progress: Progress) -> Box<Work> {
        let Job { object, service, input, ack, pulled, .. } = self;
        let decoder = Decoder::new(service.format.clone(), bounds);
        Box::new(Work { source: Source::S3(object), service, input, ack, decoder, progress, pulled })
    }
}
