//! A thread that GETs objects.

use super::large::Large;
use super::outage::Doubts;
use super::parts::Parts;
use super::settings::Settings;
use crate::handoff::Task;
use crate::handoff::schedule::Schedule;
use crossbeam_channel::Sender;
use std::sync::Arc;

pub(super) struct Fetcher {
    pub(super) schedule: Schedule<Task>,
    pub(super) parts: Parts,
    pub(super) doubts: Doubts,
    /// Where objects go that are to be begun again. None: this is where they go.
    pub(super) large: Option<Sender<Large>>,
    pub(super) settings: Arc<Settings>,
}
