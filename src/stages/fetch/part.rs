//! One range of an object.

use std::sync::Arc;

use super::outage::Doubts;
use super::{InputSettings, Settings};
use crate::aws::{Error, GetObject, Part};
use crate::base::backoff::Backoff;
use crate::base::buffers::Buffer;
use crate::base::limits::FETCH_OVERDUE;
use crate::base::object::Object;
use crate::base::runtime::channel::Sender;

/// One range of an object that has been started.
pub struct PartJob {
    pub(super) target: Arc<Target>,
    pub(super) start: u64,
    pub(super) len: u64,
    /// Its memory, which is allocated at the first attempt.
    pub(super) bytes: Buffer,
    pub(super) done: Sender<Result<Buffer, Error>>,
    /// Failures so far.
    pub(super) failures: u32,
    pub(super) backoff: Backoff,
}

/// An object as it was when its first part was read.
pub struct Target {
    pub object: Object,
    pub input: usize,
    /// Empty before the first part has been read.
    pub etag: String,
    /// The announced size, then that of the first part's answer.
    pub size: Option<u64>,
    /// Receives reports of slow GETs.
    pub doubts: Doubts,
}

/// Bytes `start..start + len`.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub start: u64,
    pub len: u64,
}

impl Target {
    /// Reads a range, appending it to `into`.
    pub fn get(&self, range: Range, settings: &Settings, into: &mut Buffer) -> Result<Part, Error> {
        let object = &self.object;
        let get = GetObject {
            bucket: &object.bucket,
            key: &object.key,
            version_id: object.version_id.as_deref(),
            etag: object.etag.as_deref(),
            by_key: false,
            start: range.start,
            len: range.len,
            if_match: (!self.etag.is_empty()).then_some(self.etag.as_str()),
            size: self.size,
        };
        let before = into.len();
        let InputSettings { s3, telemetry, .. } = &settings.inputs[self.input];
        let _in_flight = self.doubts.begin(self.input, &object.bucket);
        let _overdue = telemetry.buckets.asks(format!("s3:GetObject of {object}"), FETCH_OVERDUE);
        let part = settings.waits.fetch_s3.time(|| s3.get(&get, object.region.as_deref(), into))?;
        telemetry.fetch.bytes.add((into.len() - before) as u64);
        Ok(part)
    }
}
