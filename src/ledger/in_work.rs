//! The objects in flight, and the messages that wait for them.

use std::collections::HashMap;
use std::sync::Arc;

use super::row::{Identity, Place, Row};
use crate::ack::{Confirmed, Ending, Outcome, Share, Turn};
use crate::base::locks::lock;
use crate::base::runtime::atomic::{AtomicU64, Ordering};
use crate::base::runtime::sync::{Mutex, MutexGuard};

/// An object as announced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    pub place: Place,
    pub announced: Identity,
    /// Distinguishes announcements that do not say which content they mean: a GET must show it.
    number: Option<u64>,
}

impl Name {
    /// The name alone, from any announcement.
    pub fn new(place: Place, announced: Identity) -> Name {
        Name { place, announced, number: None }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.place.fmt(f)
    }
}

/// The objects in flight by place, since announcements of different contents may lead to the same one. A standard queue
/// may deliver a message twice at once, and a lease may end before its work does: the object is collected once, and its
/// outcome settles all messages that name it.
#[derive(Debug, Default)]
pub struct InWork {
    objects: Mutex<HashMap<Place, Vec<Object>>>,
    unknown: AtomicU64,
}

#[derive(Debug)]
struct Object {
    name: Arc<Name>,
    /// The message that came first, and started it.
    first: Claim,
    /// Messages that came meanwhile.
    waiting: Vec<Claim>,
    /// The identity in a GET's answer.
    read: Option<Identity>,
    /// Set once a GET has shown it.
    tracked: Option<Tracked>,
}

/// A message's share of an object.
#[derive(Debug)]
struct Claim {
    share: Share,
    /// The message's turn, if order matters.
    turn: Option<Turn>,
}

/// An object whose records are counted.
#[derive(Debug, Clone)]
pub struct Tracked {
    pub row: Row,
    pub confirmed: Confirmed,
    /// Records that the ledger knows as confirmed.
    pub saved: u64,
}

impl InWork {
    /// The name of an announced object.
    pub fn name(&self, place: Place, announced: Identity) -> Arc<Name> {
        let number = announced.is_unknown().then(|| self.unknown.fetch_add(1, Ordering::Relaxed));
        Arc::new(Name { place, announced, number })
    }

    /// Adds an object in flight. Returns false if it is there already, and `share` and `turn` wait for its end.
    pub fn take(&self, name: &Arc<Name>, share: Share, turn: Option<&Turn>) -> bool {
        let claim = Claim { share, turn: turn.cloned() };
        let mut all = self.lock();
        let objects = all.entry(name.place.clone()).or_default();
        if let Some(object) = objects.iter_mut().find(|object| object.name == *name) {
            object.waiting.push(claim);
            return false;
        }
        let name = Arc::clone(name);
        objects.push(Object { name, first: claim, waiting: Vec::new(), read: None, tracked: None });
        true
    }

    /// A GET has shown the object's identity. Returns true if the same content is in flight under another name, which
    /// this one's messages have joined: they wait for its end. An announcement may not say which content it means, and
    /// the content that one means may have been replaced since.
    pub fn joins_another(&self, name: &Name, read: &Identity) -> bool {
        let mut all = self.lock();
        let Some(objects) = all.get_mut(&name.place) else { return false };
        let Some(own) = objects.iter().position(|object| object.name.as_ref() == name) else { return false };
        objects[own].read = None;
        let is_same = |object: &Object| object.read.as_ref().is_some_and(|other| other.is_content_of(read));
        if !objects.iter().any(is_same) {
            objects[own].read = Some(read.clone());
            return false;
        }
        let own = objects.swap_remove(own).into_claims();
        if let Some(other) = objects.iter_mut().find(|object| is_same(object)) {
            other.waiting.extend(own);
        }
        true
    }

    /// Returns true if an object of this place is in flight.
    pub fn has(&self, place: &Place) -> bool {
        self.lock().contains_key(place)
    }

    /// From now on its progress is worth recording.
    pub fn track(&self, name: &Name, tracked: Tracked) {
        let mut all = self.lock();
        let mut objects = all.get_mut(&name.place).into_iter().flatten();
        if let Some(object) = objects.find(|object| object.name.as_ref() == name) {
            object.tracked = Some(tracked);
        }
    }

    pub fn tracked(&self, name: &Name) -> Option<Tracked> {
        self.lock().get(&name.place)?.iter().find(|object| object.name.as_ref() == name)?.tracked.clone()
    }

    /// The unrecorded confirmations of all objects that have at least `batches_min` batches. They count as recorded
    /// from now on.
    pub fn unsaved(&self, batches_min: u64) -> Vec<Row> {
        let mut objects = self.lock();
        let tracked = objects.values_mut().flatten().filter_map(|object| object.tracked.as_mut());
        tracked.filter_map(|tracked| tracked.unsaved(batches_min)).collect()
    }

    /// Removes the object. Its messages are settled outside the lock.
    pub fn finish(&self, name: &Name, outcome: Outcome) {
        let Some(object) = self.remove(name) else { return };
        object.first.share.resolve(outcome);
        object.waiting.into_iter().for_each(|claim| claim.end(outcome));
    }

    fn remove(&self, name: &Name) -> Option<Object> {
        let mut all = self.lock();
        let objects = all.get_mut(&name.place)?;
        let own = objects.iter().position(|object| object.name.as_ref() == name)?;
        let object = objects.swap_remove(own);
        if objects.is_empty() {
            all.remove(&name.place);
        }
        Some(object)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Vec<Object>>> {
        lock(&self.objects)
    }
}

impl Object {
    /// Its message's claim, and the waiting ones.
    fn into_claims(self) -> Vec<Claim> {
        let Object { first, mut waiting, .. } = self;
        waiting.push(first);
        waiting
    }
}

impl Claim {
    /// The object that it waited for has ended.
    fn end(self, outcome: Outcome) {
        if let Some(turn) = &self.turn {
            turn.end(outcome);
        }
        self.share.resolve(outcome);
    }
}

impl Tracked {
    /// The current entry, if the ledger's is outdated.
    pub fn unsaved(&mut self, batches_min: u64) -> Option<Row> {
        let (records, batches) = self.confirmed.so_far();
        // Fewer are confirmed if the ledger was wrong.
        if records == self.saved || batches < batches_min {
            return None;
        }
        self.saved = records;
        Some(self.so_far())
    }

    pub fn so_far(&self) -> Row {
        let mut row = Row { records: self.confirmed.so_far().0, ..self.row.clone() };
        // The row already contains the events of earlier attempts.
        row.tables.merge(&self.confirmed.gave());
        row
    }

    /// The entry of an object whose work has ended. "Delivered" means decoded to its end and confirmed as a whole, not
    /// merely counted as done (`missing_object: skip`).
    pub fn ended(&mut self, outcome: Outcome, ending: Option<Ending>) -> Option<Row> {
        let Some(ending) = ending else { return self.unsaved(0) };
        let delivered = outcome == Outcome::Delivered && self.confirmed.is_whole();
        let reason = if ending == Ending::Sent { "" } else { ending.reason() };
        Some(Row { delivered, reason: reason.to_owned(), ..self.so_far() })
    }
}
