//! The objects that hosts share: who collects one, how far it is confirmed, and which are delivered.
//!
//! A host that lives holds its claims: its heartbeat renews all of them. One that was silent for the length of a lease has
//! lost them, as soon as another host wants them. Each write of a claimed object has the condition that the claim still
//! has the writer's epoch.
//!
//! The answer to a write may be lost, and a write may arrive when nobody waits for it any more. So a host that goes on without
//! a claim that it has tried to make looks at the object's entry when its work ends, until it knows that the entry does not
//! name it. And a holder renews what it holds: a claim that stands still for some minutes is over, even if its holder's heart
//! beats.
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
    FLEET_BATCH_WRITES_MAX, FLEET_CLAIM_RENEWAL, FLEET_CLOSE_INTERVAL, FLEET_OBJECT_PATIENCE,
    FLEET_OBJECT_RETRY, FLEET_OBJECT_WAIT_NOTED, FLEET_OBJECT_WRITERS, FLEET_OBJECTS_WAITING_MAX,
    FLEET_SAVE_INTERVAL, STOP_CHECK_INTERVAL,
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
    /// Objects that wait for other hosts.
    patience: Arc<Health>,
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
    /// The objects that wait for another host: which one, and since when.
    awaited: BTreeMap<Key, (String, Instant)>,
    /// Where the latest write of claims stopped because of an error: the next one begins behind it.
    failed_at: Option<Key>,
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
    /// When it was last written.
    pub at: Instant,
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
    basis: Basis,
    /// The attributes to set.
    attributes: Vec<(&'static str, Value)>,
}

/// The knowledge that a host has of a claim that is to end.
enum Basis {
    /// It is held, with this epoch.
    Held(u64),
    /// It is lost, and the object delivered: another host that has taken it over writes its end.
    Lost(Arc<dyn Holder>),
    /// It was tried, and is not held: the table may name this host, or may come to do so.
    Tried(Arc<dyn Holder>),
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
        let patience =
            Arc::new(Health::dispensable(format!("shared table {}: objects of other hosts", table.name())));
        telemetry.adopt(&health);
        telemetry.adopt(&patience);
        let (writes, receiver) = unbounded();
        let (table, host, state) = (table.clone(), host.to_owned(), Mutex::default());
        let (waiting, closed) = (AtomicUsize::new(0), Stop::new());
        let inner =
            Inner { table, host, destinations, claims, health, patience, state, writes, waiting, closed };
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
        self.push(Write::Release(Release {
            key: held.key.clone(),
            basis: Basis::Held(held.epoch),
            attributes,
        }));
    }

    /// Sees to it, soon, that the table does not name this host as the object's holder, also not because of a call that is still
    /// on its way. `record`: the object's entry if the table has none. `claim` is the one that has tried.
    pub(super) fn disown(&self, key: Key, record: &Record, claim: Arc<dyn Holder>) {
        let attributes = record.attributes(self.0.table.expiry());
        self.push(Write::Release(Release { key, basis: Basis::Tried(claim), attributes }));
    }

    /// Notes that an object waits for another host, or that it no longer does.
    pub(super) fn awaits(&self, key: &Key, holder: Option<String>) {
        let mut state = self.state();
        let before = state.awaited.remove(key);
        if let Some(holder) = holder {
            let since = before.map_or_else(clock::now, |(_, since)| since);
            state.awaited.insert(key.clone(), (holder, since));
        }
    }

    /// Writes that an object was delivered whose claim is lost, soon, unless the table has it: then another host writes its end.
    pub(super) fn restore(&self, key: Key, record: &Record, claim: Arc<dyn Holder>) {
        let attributes = record.attributes(self.0.table.expiry());
        self.push(Write::Release(Release { key, basis: Basis::Lost(claim), attributes }));
    }

    /// Writes that an object was delivered without a claim, soon. Beyond a bound, only this host knows, unless it has `tried` to
    /// claim it: the table may name it as the holder.
    pub(super) fn tell(&self, key: Key, record: Record, tried: bool) {
        if tried || self.0.waiting.load(Ordering::Relaxed) < FLEET_OBJECTS_WAITING_MAX {
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
            self.note_waits();
        }
    }

    /// The object that has waited longest for another host, that host, and since when.
    pub(super) fn longest_wait(&self) -> Option<(String, String, Instant)> {
        let state = self.state();
        let longest = state.awaited.iter().min_by_key(|(_, (_, since))| *since);
        longest.map(|(key, (holder, since))| (key.place.to_string(), holder.clone(), *since))
    }

    /// Shows the object that has waited longest for another host, if that is long.
    fn note_waits(&self) {
        let longest = self.longest_wait();
        match longest.filter(|(_, _, since)| clock::since(*since) >= FLEET_OBJECT_WAIT_NOTED) {
            Some((object, holder, _)) => self.0.patience.failed(
                format!(
                    "{object} waits for host {holder}, which has it and renews its claim, but has not come to an end: see that host's \
                     status. If it returns the object, or no longer renews the claim, this one goes on after the last record in the table"
                ),
                false,
            ),
            None => self.0.patience.calms_down(),
        }
    }

    /// Writes the progress of big objects, and renews claims that have not been written for long; all if they are doubtful.
    fn save(&self) {
        let (mut held, doubtful) = {
            let mut state = self.state();
            if state.reach != Reach::Usable {
                return;
            }
            let mut held: Vec<_> =
                state.held.iter().map(|(key, claim)| (key.clone(), Arc::clone(claim))).collect();
            // One that always fails must not keep the others from being renewed.
            if let Some(last) = state.failed_at.take() {
                let next = held.partition_point(|(key, _)| *key <= last);
                held.rotate_left(next);
            }
            (held.into_iter(), std::mem::take(&mut state.doubtful))
        };
        let failed = held.find_map(|(key, claim)| Some((key, self.save_one(&claim, doubtful).err()?)));
        if let Some((key, error)) = failed {
            {
                let mut state = self.state();
                state.doubtful |= doubtful;
                state.failed_at = Some(key);
            }
            self.failed(&error);
        }
    }

    fn save_one(&self, claim: &Arc<dyn Holder>, anyhow: bool) -> Result<(), Error> {
        let Some(held) = claim.held() else { return Ok(()) };
        let anyhow = anyhow || clock::since(held.at) >= FLEET_CLAIM_RENEWAL;
        let Some(record) = claim.unsaved(&held, anyhow) else { return Ok(()) };
        let attributes = record.attributes(self.0.table.expiry());
        match self.0.table.change_object(&held.key, &attributes, &self.0.host, held.epoch)? {
            true => claim.saved(record.row.records),
            // It may have ended meanwhile.
            false if claim.held().as_ref().is_some_and(|now| now.epoch == held.epoch) => {
                // If that cannot be read, the claim is over all the same.
                let now = self.0.table.object(&held.key).ok().flatten();
                let is_own = |now: &Record| now.holder == self.0.host && now.epoch == held.epoch;
                if !now.as_ref().is_some_and(is_own) {
                    self.lost(claim, &held, now.as_ref());
                }
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
        let released = self.write_releases(releases);
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
        released
    }

    /// Writes one after another, until an error. What is left is tried last the next time, since others may work.
    fn write_releases(&self, releases: &mut Vec<Release>) -> Result<(), Error> {
        let (mut left, mut done) = (Vec::new(), Ok(()));
        while let Some(release) = releases.pop() {
            done = match self.write_release(&release) {
                Ok(true) => Ok(()),
                Ok(false) => {
                    left.push(release);
                    continue;
                }
                Err(error) => self.unless_refused(Err(error), &release.key.pk()),
            };
            if done.is_err() {
                left.push(release);
                break;
            }
        }
        left.append(releases);
        *releases = left;
        done
    }

    /// Writes the end of a claim. Returns false if it must be tried again: the table does not say yet that the claim is over.
    fn write_release(&self, release: &Release) -> Result<bool, Error> {
        let Release { key, basis, attributes } = release;
        let (claim, is_lost) = match basis {
            Basis::Held(epoch) => {
                if self.0.table.change_object(key, attributes, &self.0.host, *epoch)? {
                    return Ok(true);
                }
                // An attempt whose answer was lost has written it, or it is another host's by now, which writes its end.
                let now = self.0.table.object(key)?;
                return Ok(!now.is_some_and(|now| now.holder == self.0.host && now.epoch == *epoch));
            }
            Basis::Lost(claim) => (claim, true),
            Basis::Tried(claim) => (claim, false),
        };
        if !self.reserve(key, Arc::clone(claim)) {
            // Another claim in this process: it has the object, or does not know yet.
            return Ok(self.is_held(key));
        }
        let written = self.write_unheld(key, attributes, is_lost);
        self.free(key);
        written
    }

    /// The same for an object that no claim of this process holds.
    fn write_unheld(
        &self,
        key: &Key,
        attributes: &[(&'static str, Value)],
        is_lost: bool,
    ) -> Result<bool, Error> {
        let table = &self.0.table;
        if table.add_object(key, attributes)? {
            return Ok(true);
        }
        let Some(now) = table.object(key)? else { return Ok(false) };
        // A claim that is still on its way finds another epoch than it asks for.
        let is_open = !is_lost && now.holder == NOBODY && !now.row.delivered;
        if now.holder != self.0.host && !is_open {
            return Ok(true);
        }
        let epoch = ("epoch", number(now.epoch.saturating_add(1)));
        let mut changes = vec![("holder", text(NOBODY)), epoch.clone()];
        if is_lost {
            changes =
                attributes.iter().filter(|(name, _)| *name != "epoch").cloned().chain([epoch]).collect();
        }
        table.change_object(key, &changes, &now.holder, now.epoch)
    }

    fn is_held(&self, key: &Key) -> bool {
        let claim = self.state().held.get(key).cloned();
        claim.and_then(|claim| claim.held()).is_some_and(|held| held.key == *key)
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
