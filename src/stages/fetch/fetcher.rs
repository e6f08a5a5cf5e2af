//! A thread that GETs objects.

use std::sync::Arc;

use super::outage::Doubts;
use super::part::Target;
use super::parts::Parts;
use super::settings::Settings;
use crate::base::runtime::channel::Sender;
use crate::handoff::Task;
use crate::handoff::Work;
use crate::handoff::schedule::Schedule;

pub(super) struct Fetcher {
    pub(super) schedule: Schedule<Task>,
    pub(super) parts: Parts,
    pub(super) doubts: Doubts,
    /// The destination of objects to restart. None if this is it.
    pub(super) large: Option<Sender<Large>>,
    pub(super) settings: Arc<Settings>,
}

/// An object to restart.
pub(super) struct Large {
    pub(super) work: Box<Work>,
    pub(super) target: Arc<Target>,
    /// Its size in bytes.
    pub(super) total: u64,
}
