//! The objects that are in work, and the messages that wait for them.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex, MutexGuard};

use super::row::{Identity, Place, Row};
use crate::ack::{Confirmed, Outcome, Share};

/// An object as it was announced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    pub place: Place,
    pub announced: Identity,
}

impl std::fmt::Display for Name {
    /// Control characters are escaped: keys are chosen by others.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Place { bucket, key, .. } = &self.place;
        match bucket.is_empty() {
            true => write!(f, "the body of message {}", key.escape_debug()),
            false => write!(f, "s3://{}/{}", bucket.escape_debug(), key.escape_debug()),
        }
    }
}

/// By name. A standard queue may hand out a message twice at once, and a lease may end before its work
/// does: the object is collected once, and its outcome answers for all messages that name it.
#[derive(Debug, Default)]
pub struct InWork(Mutex<HashMap<Arc<Name>, Object>>);

#[derive(Debug)]
struct Object {
    /// Of the message that came first.
    share: Share,
    /// Of those that came meanwhile.
    waiting: Vec<Share>,
    /// Once a GET has said what it is.
    tracked: Option<Tracked>,
}

/// An object whose records are counted.
#[derive(Debug, Clone)]
pub struct Tracked {
    pub row: Row,
    pub confirmed: Confirmed,
    /// Records that the ledger knows to be confirmed.
    pub saved: u64,
}

impl InWork {
    /// Takes an object into work. False: it is there already, and `share` waits for its end.
    pub fn take(&self, name: &Arc<Name>, share: Share) -> bool {
        match self.lock().entry(Arc::clone(name)) {
            Slot::Occupied(mut object) => {
                object.get_mut().waiting.push(share);
                false
            }
            Slot::Vacant(slot) => {
                slot.insert(Object { share, waiting: Vec::new(), tracked: None });
                true
            }
        }
    }

    /// From now on its progress is worth recording.
    pub fn track(&self, name: &Name, tracked: Tracked) {
        if let Some(object) = self.lock().get_mut(name) {
            object.tracked = Some(tracked);
        }
    }

    pub fn tracked(&self, name: &Name) -> Option<Tracked> {
        self.lock().get(name)?.tracked.clone()
    }

    /// What has been confirmed of all objects and is not recorded yet, where that is `batches_min`
    /// batches or more. It counts as recorded from now on.
    pub fn unsaved(&self, batches_min: u64) -> Vec<Row> {
        let mut objects = self.lock();
        let tracked = objects.values_mut().filter_map(|object| object.tracked.as_mut());
        tracked.filter_map(|tracked| tracked.unsaved(batches_min)).collect()
    }

    /// The object is done. Its messages learn of it outside the lock.
    pub fn finish(&self, name: &Name, outcome: Outcome) {
        let Some(object) = self.lock().remove(name) else { return };
        object.share.resolve(outcome);
        // Without an identity the next one may well be another object under the same key.
        let unknown = name.announced.is_unknown();
        let of_waiting = if unknown && outcome == Outcome::Delivered { Outcome::Retry } else { outcome };
        object.waiting.into_iter().for_each(|share| share.resolve(of_waiting));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<Name>, Object>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Tracked {
    /// The entry as it should be now, if the ledger's is behind.
    pub fn unsaved(&mut self, batches_min: u64) -> Option<Row> {
        let (records, batches) = self.confirmed.so_far();
        if records <= self.saved || batches < batches_min {
            return None;
        }
        self.saved = records;
        Some(Row { records, ..self.row.clone() })
    }

    /// The entry of an object whose work has ended. Delivered is what was decoded to its end and
    /// confirmed as a whole, not what merely counts as done (`missing_object: skip`).
    pub fn ended(&mut self, outcome: Outcome) -> Option<Row> {
        if outcome != Outcome::Delivered || !self.confirmed.is_whole() {
            return self.unsaved(0);
        }
        Some(Row { records: self.confirmed.so_far().0, delivered: true, ..self.row.clone() })
    }
}
