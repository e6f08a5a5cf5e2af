//! One object's claim: the right to collect it, which one host has at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lease::NOBODY;
use super::objects::{Held, Holder, Objects, Reach};
use super::record::{Key, Record};
use crate::ack::{Ending, Outcome};
use crate::aws::{Error, Kind};
use crate::base::limits::{
    FLEET_OBJECT_PATIENCE, FLEET_OBJECT_WAIT, FLEET_RETRY_WAIT, LEDGER_PROGRESS_BATCHES,
};
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard};
use crate::ledger::{Entry, Row, covers};

/// An object that this host collects, or wants to. Clones share it.
#[derive(Clone)]
pub struct Claim(Arc<Inner>);

struct Inner {
    objects: Objects,
    entry: Arc<Entry>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// The claim of another host as it was first seen.
    seen: Option<(String, u64, Instant)>,
    /// Since when the table has not said who has the object.
    undecided: Option<Instant>,
    /// Another host has taken the claim over, or a command has removed the object from the table.
    lost: bool,
}

/// The answer to a host that wants to collect an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It may, unless the entry has learnt that the object is delivered.
    Here,
    /// Another host has the object, or that is not known yet: ask again after this time.
    Wait(Duration),
}

/// The table's answer.
enum Asked {
    /// This host has the object, or there is nothing to claim.
    Here,
    /// Another claim of it is held.
    Elsewhere,
    /// The object's entry was just changed.
    Undecided,
}

impl Claim {
    pub fn new(objects: &Objects, entry: &Arc<Entry>) -> Claim {
        let (objects, entry) = (objects.clone(), Arc::clone(entry));
        Claim(Arc::new(Inner { objects, entry, state: Mutex::default() }))
    }

    /// Claims the content that the object's message announces, if it names one.
    pub fn take_announced(&self) -> Taken {
        self.take(&self.0.entry.announced().etag)
    }

    /// Claims the content with this ETag, as a GET has returned it; a claim of another content is given up. The entry
    /// learns what the table knows. While the table cannot be used, nothing is claimed, and the object is collected.
    pub fn take(&self, etag: &str) -> Taken {
        let content = self.0.entry.announced().read(etag.trim_matches('"'));
        let key = Key::of(self.0.entry.place(), &content);
        if self.held().is_some_and(|held| Some(&held.key) == key.as_ref()) {
            return Taken::Here;
        }
        self.give_up();
        let Some(key) = key else { return Taken::Here };
        match self.0.objects.reach() {
            Reach::Joining => Taken::Wait(FLEET_RETRY_WAIT),
            Reach::Away => Taken::Here,
            Reach::Usable => self.decide(self.ask(&key)),
        }
    }

    /// No object waits for the table without end, whatever it answers: only for another host that lives.
    fn decide(&self, asked: Result<Asked, Error>) -> Taken {
        let is_usable = match asked {
            Ok(Asked::Here) => return self.decided(Taken::Here),
            Ok(Asked::Elsewhere) => return self.decided(Taken::Wait(FLEET_OBJECT_WAIT)),
            Ok(Asked::Undecided) => true,
            Err(error) if *error.kind() == Kind::BadRequest => {
                // Once: the ETag that a GET returns is asked for, too.
                if self.state().undecided.is_none() {
                    self.goes_alone(&error);
                }
                false
            }
            Err(error) => {
                self.0.objects.failed(&error);
                true
            }
        };
        let waited = clock::since(*self.state().undecided.get_or_insert_with(clock::now));
        if is_usable && waited < FLEET_OBJECT_PATIENCE {
            Taken::Wait((waited / 2).clamp(FLEET_RETRY_WAIT, FLEET_OBJECT_WAIT))
        } else {
            Taken::Here
        }
    }

    fn decided(&self, taken: Taken) -> Taken {
        self.state().undecided = None;
        taken
    }

    /// Tells that the table has an entry that cannot be read, or refuses this one.
    fn goes_alone(&self, error: &Error) {
        log::warn!(
            "fleet: {error}. {} is collected without a claim, so another host that gets the same message sends it too; its \
             entry is replaced when it is delivered",
            self.0.entry.place()
        );
    }

    fn ask(&self, key: &Key) -> Result<Asked, Error> {
        let objects = &self.0.objects;
        if !objects.claims() {
            if let Some(record) = objects.table().object(key)? {
                self.learn(key, &record);
            }
            objects.worked();
            return Ok(Asked::Here);
        }
        if !objects.reserve(key, Arc::new(self.clone())) {
            return Ok(Asked::Elsewhere);
        }
        let taken = self.claim(key);
        if self.held().is_none() {
            objects.free(key);
        }
        if taken.is_ok() {
            objects.worked();
        }
        taken
    }

    fn claim(&self, key: &Key) -> Result<Asked, Error> {
        let table = self.0.objects.table();
        if self.state().seen.is_none() && table.create_object(key, &self.fresh(key, 1))? {
            return Ok(self.hold(key, 1, 0));
        }
        let Some(record) = table.object(key)? else {
            self.state().seen = None;
            return Ok(Asked::Undecided);
        };
        let known = self.learn(key, &record);
        if known.as_ref().is_some_and(|row| row.delivered) {
            return Ok(Asked::Here);
        }
        if !self.is_free(&record) {
            return Ok(Asked::Elsewhere);
        }
        let (epoch, saved) = (record.epoch.saturating_add(1), known.as_ref().map_or(0, |row| row.records));
        let fresh = self.fresh(key, epoch);
        let next = Record { row: known.unwrap_or_else(|| fresh.row.clone()), ..fresh };
        match table.change_object(key, &next.attributes(table.expiry()), &record.holder, record.epoch)? {
            true => Ok(self.hold(key, epoch, saved)),
            false => Ok(Asked::Undecided),
        }
    }

    /// Passes on to the entry what the table knows of this content.
    fn learn(&self, key: &Key, record: &Record) -> Option<Row> {
        let asked = self.0.entry.announced().read(&key.etag);
        let is_known = covers(&record.outputs, self.0.objects.destinations())
            && record.row.identity.is_content_of(&asked);
        let row = is_known.then(|| record.row.clone())?;
        self.0.entry.learn(row.clone());
        Some(row)
    }

    /// True if nobody has the object: no claim in this process either, because this one has reserved it.
    fn is_free(&self, record: &Record) -> bool {
        let Record { holder, epoch, .. } = record;
        if [NOBODY, self.0.objects.host()].contains(&holder.as_str()) {
            return true;
        }
        let mut state = self.state();
        let known = state.seen.take().filter(|(host, number, _)| host == holder && number == epoch);
        let seen = known.map_or_else(clock::now, |(_, _, seen)| seen);
        state.seen = Some((holder.clone(), *epoch, seen));
        self.0.objects.is_gone(holder, seen)
    }

    fn hold(&self, key: &Key, epoch: u64, saved: u64) -> Asked {
        let held = Some(Held { key: key.clone(), epoch, saved });
        *self.state() = State { held, ..State::default() };
        Asked::Here
    }

    /// The record of an object of which nothing is delivered, held by this host.
    fn fresh(&self, key: &Key, epoch: u64) -> Record {
        let identity = self.0.entry.announced().read(&key.etag);
        let row = Row::ended(key.place.clone(), identity, 0, Ending::Sent);
        self.record(Row { reason: String::new(), ..row }, self.0.objects.host(), epoch)
    }

    fn record(&self, row: Row, holder: &str, epoch: u64) -> Record {
        let outputs = self.0.objects.destinations().to_owned();
        Record {
            row: Row { at: self.0.objects.table().now(), ..row },
            outputs,
            holder: holder.to_owned(),
            epoch,
        }
    }

    /// The object's work ends here, with this outcome. It must be called before the entry is settled.
    pub fn end(&self, outcome: Outcome, ending: Option<Ending>) {
        let (held, lost) = {
            let mut state = self.state();
            (state.held.take(), state.lost)
        };
        let row = self.0.entry.so_far(outcome, ending);
        match (held, row) {
            (Some(held), row) => self.release(&held, row),
            (None, Some(row)) if row.delivered => self.tell(row, lost),
            (None, _) => (),
        }
    }

    /// Gives up a claim of which nothing was collected.
    fn give_up(&self) {
        let held = self.state().held.take();
        held.into_iter().for_each(|held| self.release(&held, None));
    }

    fn release(&self, held: &Held, row: Option<Row>) {
        let record = row.map(|row| self.record(row, NOBODY, held.epoch));
        self.0.objects.free(&held.key);
        self.0.objects.release(held, record);
    }

    /// Tells the table about a delivered object that was not claimed, or whose claim was `lost`.
    fn tell(&self, row: Row, lost: bool) {
        let Some(key) = Key::of(&row.place, &row.identity) else { return };
        let record = self.record(row, NOBODY, 0);
        if lost { self.0.objects.restore(key, &record) } else { self.0.objects.tell(key, record) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

impl Holder for Claim {
    fn held(&self) -> Option<Held> {
        self.state().held.clone()
    }

    fn unsaved(&self, held: &Held, anyhow: bool) -> Option<Record> {
        let batches_min = if anyhow { 0 } else { LEDGER_PROGRESS_BATCHES };
        let new = self.0.entry.confirmed_since(held.saved, batches_min);
        let row = new.or_else(|| self.0.entry.so_far(Outcome::Retry, None).filter(|_| anyhow));
        // Before a GET, the table knows as much as before the claim.
        let known = || self.0.entry.learnt().unwrap_or_else(|| self.fresh(&held.key, held.epoch).row);
        let row = row.or_else(|| anyhow.then(known))?;
        Some(self.record(row, self.0.objects.host(), held.epoch))
    }

    fn saved(&self, records: u64) {
        if let Some(held) = &mut self.state().held {
            held.saved = records;
        }
    }

    fn lose(&self) {
        {
            let mut state = self.state();
            (state.held, state.lost) = (None, true);
        }
        self.0.entry.revoke();
    }

    fn leave(&self) {
        self.end(Outcome::Retry, None);
        self.state().lost = true;
    }
}

#[cfg(test)]
mod tests;
