//! The objects that hosts share: who collects one, how far it is confirmed, and which are delivered.
//!
//! A host that lives holds its claims: its heartbeat renews all of them. One that was silent for the length of a lease has
//! lost them, as soon as another host wants them. Each write of a claimed object has the condition that the claim still
//! has the writer's epoch.
//!
//! The table is a help, not a need: while it cannot be used, objects are collected with the local ledger alone, and what
//! was delivered is written when it can be used again.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::hosts::Heartbeats;
use super::lease::{Host, NOBODY};
use super::record::{Key, Record};
use super::table::Table;
use crate::aws::dynamodb::{self, number, text};
use crate::aws::{Error, Kind};
use crate::base::crew::Crew;
use crate::base::limits::{
    FLEET_BATCH_WRITES_MAX, FLEET_CLOSE_INTERVAL, FLEET_OBJECT_PATIENCE, FLEET_OBJECT_RETRY,
    FLEET_OBJECT_WRITERS, FLEET_OBJECTS_WAITING_MAX, FLEET_SAVE_INTERVAL, STOP_CHECK_INTERVAL,
};
use crate::base::locks::lock;
use crate::base::runtime::atomic::{AtomicUsize, Ordering};
use crate::base::runtime::channel::{Receiver, Sender, unbounded};
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::base::runtime::{clock, thread};
use crate::base::stop::Stop;
use crate::telemetry::{Health, Telemetry};

/// The shared objects. Clones share them.
#[derive(Clone)]
pub struct Objects(Arc<Inner>);

struct Inner {
    table: Table,
    /// This host's id.
    host: String,
    /// See [`crate::ledger::Scope::destinations`].
    destinations: String,
    /// Objects are claimed before they are collected.
    claims: bool,
    health: Arc<Health>,
    state: Mutex<State>,
    writes: Sender<Write>,
    /// Writes that are not done.
    waiting: AtomicUsize,
    closed: Stop,
}

#[derive(Default)]
struct State {
    reach: Reach,
    /// Since when no heartbeat could be written.
    silent: Option<Instant>,
    /// Since when every call about objects has failed. Heartbeats may well reach the table meanwhile.
    failing: Option<Instant>,
    hosts: Heartbeats,
    /// Claims that are held or asked for. Ordered, so that a simulation's calls depend on its seed alone.
    held: BTreeMap<Key, Arc<dyn Holder>>,
    /// This host was silent for so long that others may have taken its claims over.
    doubtful: bool,
}

/// A claim that this host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub key: Key,
    pub epoch: u64,
    /// Confirmed records that the table knows of.
    pub saved: u64,
}

/// A claim as the fleet's threads see it.
pub trait Holder: Send + Sync {
    /// None: it is only asked for, or lost.
    fn held(&self) -> Option<Held>;

    /// The progress of a big object in flight that the table does not have yet. With `anyhow`, it is also returned if
    /// there is nothing new.
    fn unsaved(&self, held: &Held, anyhow: bool) -> Option<Record>;

    /// The table knows this many confirmed records.
    fn saved(&self, records: u64);

    /// Another host has taken the claim over: nothing more of the object is sent here.
    fn lose(&self);

    /// Gives the object up, with what is confirmed of it: this host leaves.
    fn leave(&self);
}

/// Whether the table can be used at present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// This host's first heartbeat is not written yet.
    #[default]
    Joining,
    Usable,
    /// It was not for a while: objects do not wait for it.
    Away,
}

/// The end of a claim.
struct Release {
    key: Key,
    /// The claim's. None: the claim is lost, and only an object that the table does not have is written.
    epoch: Option<u64>,
    /// The attributes to set.
    attributes: Vec<(&'static str, Value)>,
}

/// How an object has ended.
enum Write {
    Release(Release),
    /// An object without a claim is delivered.
    Put(Key, Value),
}

impl Objects {
    /// Nothing is started yet.
    pub fn new(
        table: &Table,
        host: &str,
        destinations: String,
        claims: bool,
        telemetry: &Telemetry,
    ) -> (Objects, Receivers) {
        let health = Arc::new(Health::dispensable(format!("shared table {}: objects", table.name())));
        telemetry.adopt(&health);
        let (writes, receiver) = unbounded();
        let (table, host, state) = (table.clone(), host.to_owned(), Mutex::default());
        let (waiting, closed) = (AtomicUsize::new(0), Stop::new());
        let inner = Inner { table, host, destinations, claims, health, state, writes, waiting, closed };
        (Objects(Arc::new(inner)), Receivers(receiver))
    }

    /// Starts the threads that write.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(&self, receivers: Receivers, crew: &mut Crew) -> io::Result<()> {
        let own = self.clone();
        crew.spawn("fleet-progress", move || own.save_until_closed())?;
        for number in 0..FLEET_OBJECT_WRITERS {
            let (own, writes) = (self.clone(), receivers.0.clone());
            crew.spawn(format!("fleet-write-{number}"), move || own.write_until_closed(&writes))?;
        }
        Ok(())
    }

    pub(super) fn table(&self) -> &Table {
        &self.0.table
    }

    pub(super) fn host(&self) -> &str {
        &self.0.host
    }

    pub(super) fn destinations(&self) -> &str {
        &self.0.destinations
    }

    pub(super) fn claims(&self) -> bool {
        self.0.claims
    }

    /// With too many writes that wait, nothing more is claimed.
    pub(super) fn reach(&self) -> Reach {
        let is_full = self.0.waiting.load(Ordering::Relaxed) >= FLEET_OBJECTS_WAITING_MAX;
        if is_full { Reach::Away } else { self.state().reach }
    }

    /// Notes the hosts in the table, which this one's heartbeat has just reached. `doubtful`: it was silent before.
    pub(super) fn observe(&self, hosts: &[Host], asked: Instant, doubtful: bool) {
        let mut state = self.state();
        state.hosts.observe(hosts, asked, clock::now());
        (state.reach, state.silent) = (Reach::Usable, None);
        state.doubtful |= doubtful;
    }

    /// A heartbeat could not be written. Objects wait for the table until that has been so for a while, or will be so again
    /// for sure; then they do so again when a heartbeat is written.
    pub(super) fn unreachable(&self, error: &Error) {
        let mut state = self.state();
        let since = *state.silent.get_or_insert_with(clock::now);
        state.fails(error, since);
    }

    /// The same for a call about objects. After that, the first object that asks after a heartbeat decides.
    pub(super) fn failed(&self, error: &Error) {
        {
            let mut state = self.state();
            let since = *state.failing.get_or_insert_with(clock::now);
            state.fails(error, since);
        }
        let waiting = self.0.waiting.load(Ordering::Relaxed);
        self.0.health.failed(
            format!(
                "{error}. Objects wait for it at most {} s, and are then collected with the local ledger alone, so another \
                 host that gets the same message sends its object too; {waiting} ended objects wait to be written when the \
                 table can be used again",
                FLEET_OBJECT_PATIENCE.as_secs()
            ),
            !error.is_temporary(),
        );
    }

    pub(super) fn worked(&self) {
        self.state().failing = None;
        self.0.health.works();
    }

    /// True if a host no longer has the claim that was first seen at `seen`.
    pub(super) fn is_gone(&self, host: &str, seen: Instant) -> bool {
        self.state().hosts.is_gone(host, seen)
    }

    /// Reserves an object within this process. False: another claim of it is held here.
    pub(super) fn reserve(&self, key: &Key, claim: Arc<dyn Holder>) -> bool {
        let mut state = self.state();
        if state.held.contains_key(key) {
            return false;
        }
        state.held.insert(key.clone(), claim);
        true
    }

    pub(super) fn free(&self, key: &Key) {
        // A claim's last clone must not be dropped under the lock.
        let claim = self.state().held.remove(key);
        drop(claim);
    }

    /// Writes that a claim is over, soon, with what is known of the object by now.
    pub(super) fn release(&self, held: &Held, record: Option<Record>) {
        let attributes = match record {
            Some(record) => record.attributes(self.0.table.expiry()),
            None => vec![("holder", text(NOBODY)), ("epoch", number(held.epoch))],
        };
        self.push(Write::Release(Release { key: held.key.clone(), epoch: Some(held.epoch), attributes }));
    }

    /// Writes that an object was delivered whose claim is lost, soon, unless the table has it: then another host writes its end.
    pub(super) fn restore(&self, key: Key, record: &Record) {
        let attributes = record.attributes(self.0.table.expiry());
        self.push(Write::Release(Release { key, epoch: None, attributes }));
    }

    /// Writes that an object was delivered without a claim, soon. Beyond a bound, only this host knows.
    pub(super) fn tell(&self, key: Key, record: Record) {
        if self.0.waiting.load(Ordering::Relaxed) < FLEET_OBJECTS_WAITING_MAX {
            let item = record.item(&key, self.0.table.expiry());
            self.push(Write::Put(key, dynamodb::put_request(item)));
        }
    }

    fn push(&self, write: Write) {
        self.0.waiting.fetch_add(1, Ordering::AcqRel);
        // We hold a receiver as long as the writers run; afterwards the claims are over with this host.
        let _ = self.0.writes.send(write);
    }

    fn save_until_closed(&self) {
        while !self.0.closed.wait(FLEET_SAVE_INTERVAL) {
            self.save();
        }
    }

    /// Writes the progress of big objects; of all if their claims are doubtful.
    fn save(&self) {
        let (held, doubtful) = {
            let mut state = self.state();
            if state.reach != Reach::Usable {
                return;
            }
            (state.held.values().cloned().collect::<Vec<_>>(), std::mem::take(&mut state.doubtful))
        };
        if let Err(error) = held.iter().try_for_each(|claim| self.save_one(claim, doubtful)) {
            self.state().doubtful |= doubtful;
            self.failed(&error);
        }
    }

    fn save_one(&self, claim: &Arc<dyn Holder>, anyhow: bool) -> Result<(), Error> {
        let Some(held) = claim.held() else { return Ok(()) };
        let Some(record) = claim.unsaved(&held, anyhow) else { return Ok(()) };
        let attributes = record.attributes(self.0.table.expiry());
        match self.0.table.change_object(&held.key, &attributes, &self.0.host, held.epoch)? {
            true => claim.saved(record.row.records),
            // It may have ended meanwhile.
            false if claim.held().as_ref().is_some_and(|now| now.epoch == held.epoch) => {
                // If that cannot be read, the claim is over all the same.
                let now = self.0.table.object(&held.key).ok().flatten();
                self.lost(claim, &held, now.as_ref());
            }
            false => (),
        }
        Ok(())
    }

    /// The claim is over. `now`: what the table says of the object instead.
    fn lost(&self, claim: &Arc<dyn Holder>, held: &Held, now: Option<&Record>) {
        let object = &held.key.place;
        match now.filter(|now| now.holder != self.0.host) {
            Some(_) => log::warn!(
                "fleet: another host has taken {object} over, because this one was silent for too long; it goes on there after \
                 the last record that this host had recorded as confirmed"
            ),
            None => log::warn!(
                "fleet: the entry of {object} in the shared table {} was removed or replaced while this host collected the \
                 object (`ledger forget`, a new table): if all of it is on its way already, it is delivered; otherwise it is returned to \
                 its queue, and collected when its message comes again",
                self.0.table.name()
            ),
        }
        self.free(&held.key);
        claim.lose();
    }

    fn write_until_closed(&self, writes: &Receiver<Write>) {
        while !self.0.closed.is_stopped() {
            let Ok(first) = writes.recv_timeout(STOP_CHECK_INTERVAL) else { continue };
            let more = std::iter::from_fn(|| writes.try_recv().ok());
            let group: Vec<Write> =
                std::iter::once(first).chain(more.take(FLEET_BATCH_WRITES_MAX - 1)).collect();
            let count = group.len();
            self.write_all(group);
            self.0.waiting.fetch_sub(count, Ordering::AcqRel);
        }
    }

    /// Tries until everything is written, or closed.
    fn write_all(&self, group: Vec<Write>) {
        let (mut releases, mut puts) = (Vec::new(), BTreeMap::new());
        for write in group {
            match write {
                Write::Release(release) => releases.push(release),
                // A batch may name an item only once.
                Write::Put(key, request) => drop(puts.insert(key, request)),
            }
        }
        let mut puts: Vec<Value> = puts.into_values().collect();
        loop {
            match self.try_to_write(&mut releases, &mut puts) {
                Ok(()) => self.worked(),
                Err(error) => self.failed(&error),
            }
            if (releases.is_empty() && puts.is_empty()) || self.0.closed.wait(FLEET_OBJECT_RETRY) {
                return;
            }
        }
    }

    fn try_to_write(&self, releases: &mut Vec<Release>, puts: &mut Vec<Value>) -> Result<(), Error> {
        while let Some(Release { key, epoch, attributes }) = releases.last() {
            // If it is another host's by now, that one writes its end.
            let written = match epoch {
                Some(epoch) => self.0.table.change_object(key, attributes, &self.0.host, *epoch),
                None => self.0.table.add_object(key, attributes),
            };
            let written = written.map(drop);
            self.unless_refused(written, &key.pk())?;
            releases.pop();
        }
        if !puts.is_empty() {
            *puts = match self.0.table.write_batch(puts) {
                // One of them, and the table does not say which.
                Err(error) if error.may_be_of_item() && puts.len() > 1 => self.write_each(puts)?,
                written => {
                    let mut left = Vec::new();
                    self.unless_refused(written.map(|unprocessed| left = unprocessed), pk_of(&puts[0]))?;
                    left
                }
            };
        }
        Ok(())
    }

    /// Writes one after another. Returns those that were not written.
    fn write_each(&self, puts: &[Value]) -> Result<Vec<Value>, Error> {
        let mut left = Vec::new();
        for put in puts {
            let written = self.0.table.write_batch(std::slice::from_ref(put));
            self.unless_refused(written.map(|unprocessed| left.extend(unprocessed)), pk_of(put))?;
        }
        Ok(left)
    }

    /// Nothing else waits for an item that the table does not accept as it is: only this host knows of the object then.
    fn unless_refused(&self, written: Result<(), Error>, pk: &str) -> Result<(), Error> {
        match written {
            Err(error) if *error.kind() == Kind::BadRequest && error.may_be_of_item() => {
                log::warn!(
                    "fleet: {error}. The shared table does not accept how {pk} has ended, so only this host knows: another host that gets \
                     the same message sends the object, too"
                );
                Ok(())
            }
            written => written,
        }
    }

    /// Gives up all claims, and writes what is left within `patience`.
    pub(super) fn close(&self, patience: Duration) {
        let deadline = clock::now() + patience;
        let held: Vec<_> = self.state().held.values().cloned().collect();
        held.iter().for_each(|claim| claim.leave());
        while self.0.waiting.load(Ordering::Acquire) > 0 && clock::now() < deadline {
            thread::sleep(FLEET_CLOSE_INTERVAL);
        }
        self.0.closed.stop();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

impl State {
    /// Notes that a call has failed. All calls of its kind have done so since then.
    fn fails(&mut self, error: &Error, since: Instant) {
        if clock::since(since) >= FLEET_OBJECT_PATIENCE || !error.is_temporary() {
            self.reach = Reach::Away;
        }
    }
}

/// The first key of an item that a batch is to write.
fn pk_of(put: &Value) -> &str {
    put["PutRequest"]["Item"]["pk"]["S"].as_str().unwrap_or_default()
}

/// The writers' end of the queue.
pub struct Receivers(Receiver<Write>);
