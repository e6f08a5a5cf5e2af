//! The ledger as its users hold it.

use std::sync::Arc;

use super::clocks::Clocks;
use super::in_work::InWork;
use super::late::Late;
use super::lock::Lock;
use super::pause::Pause;
use super::sent::Waiting;
use super::store::Store;
use super::suspects::Suspects;
use super::writer::Command;
use crate::base::crew::Crew;
use crate::base::locks::lock;
use crate::base::runtime::channel::Sender;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::telemetry::Health;

/// A running ledger. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) in_work: Arc<InWork>,
    pub(super) suspects: Suspects,
    /// None if nothing is recorded.
    pub(super) file: Option<File>,
}

#[derive(Debug)]
pub(super) struct File {
    /// For look-ups, which do not wait for the writer.
    pub(super) reader: Mutex<Reader>,
    pub(super) reading: Arc<Health>,
    pub(super) writer: Sender<Command>,
    pub(super) sent: Arc<Waiting>,
    pub(super) late: Arc<Late>,
    pub(super) clocks: Clocks,
    /// See [`Scope::destinations`].
    pub(super) destinations: String,
    pub(super) thread: Crew,
    /// The directory's lock, until the thread has ended.
    pub(super) lock: Mutex<Option<Lock>>,
}

/// The connection for look-ups.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) store: Store,
    pub(super) pause: Pause,
}

impl File {
    pub(super) fn reader(&self) -> MutexGuard<'_, Reader> {
        lock(&self.reader)
    }
}

impl Reader {
    /// None while a failed look-up is paused.
    pub(super) fn look_up<T>(
        &mut self,
        look: impl FnOnce(&Store) -> rusqlite::Result<T>,
    ) -> Option<rusqlite::Result<T>> {
        if self.pause.lasts(clock::now()) {
            return None;
        }
        let found = look(&self.store);
        // After the look-up, which may have taken long.
        self.pause.note(found.is_ok(), clock::now());
        Some(found)
    }
}
