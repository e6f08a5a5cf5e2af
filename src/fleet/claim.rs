//! One object's claim: the right to collect it, which one host has at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lease::NOBODY;
use super::objects::{Held, Holder, Objects, Reach};
use super::record::{Key, Record};
use crate::ack::{Ending, Outcome};
use crate::aws::{Error, Kind};
use crate::base::limits::{
    FLEET_CLAIM_LAPSE, FLEET_OBJECT_PATIENCE, FLEET_OBJECT_WAIT, FLEET_RETRY_WAIT, LEDGER_PROGRESS_BATCHES,
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
    /// The claim of another host.
    seen: Option<Seen>,
    /// The content, and the epoch, of a claim that the table may have for this host, although this one does not hold it: the
    /// answer was lost, or the call may still arrive.
    tried: Option<(Key, u64)>,
    /// The content that other claims of it are waited for.
    awaited: Option<Key>,
    /// Since when the table has not said who has the object.
    undecided: Option<Instant>,
    /// Another host has taken the claim over, or a command has removed the object from the table.
    lost: bool,
}

/// Another host's claim, as this one has seen it.
struct Seen {
    holder: String,
    epoch: u64,
    /// The time in its entry, which each renewal changes.
    at: i64,
    /// When it was first seen.
    first: Instant,
    /// When it was first seen as it is now.
    changed: Instant,
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
        self.give_up(key.as_ref());
        let Some(key) = key else { return Taken::Here };
        let taken = match self.0.objects.reach() {
            Reach::Joining => Taken::Wait(FLEET_RETRY_WAIT),
            Reach::Away => Taken::Here,
            Reach::Usable => self.decide(self.ask(&key)),
        };
        if taken == Taken::Here {
            self.note_wait(&key, false);
        }
        taken
    }

    /// No object waits for the table without end, whatever it answers: only for another host that lives and renews its claim.
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
        if let Ok(Asked::Elsewhere) = taken {
            self.note_wait(key, true);
        }
        if taken.is_ok() {
            objects.worked();
        }
        taken
    }

    fn claim(&self, key: &Key) -> Result<Asked, Error> {
        let table = self.0.objects.table();
        if self.state().seen.is_none() {
            self.tries(key, 1);
            if table.create_object(key, &self.fresh(key, 1))? {
                return Ok(self.hold(key, 1, 0));
            }
        }
        let found = table.object(key).inspect_err(|error| {
            // This host has not written what it cannot read.
            if *error.kind() == Kind::BadRequest {
                self.state().tried = None;
            }
        });
        let Some(record) = found? else {
            self.state().seen = None;
            return Ok(Asked::Undecided);
        };
        self.rule_out(&record);
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
        self.tries(key, epoch);
        match table.change_object(key, &next.attributes(table.expiry()), &record.holder, record.epoch)? {
            true => Ok(self.hold(key, epoch, saved)),
            false => Ok(Asked::Undecided),
        }
    }

    /// Notes that the table may have this claim from now on, whatever the answer.
    fn tries(&self, key: &Key, epoch: u64) {
        let mut state = self.state();
        let before = state.tried.take().filter(|(tried, _)| tried == key).map_or(0, |(_, epoch)| epoch);
        state.tried = Some((key.clone(), epoch.max(before)));
    }

    /// Forgets a claim that was tried if the table shows that it was not made, and cannot be made any more: a call that is late
    /// finds another epoch than it asks for.
    fn rule_out(&self, record: &Record) {
        let may_be_late = |epoch: u64| record.epoch.checked_add(1) == Some(epoch);
        let is_own = record.holder == self.0.objects.host();
        let mut state = self.state();
        state.tried = state.tried.take().filter(|(_, epoch)| is_own || may_be_late(*epoch));
    }

    fn note_wait(&self, key: &Key, waits: bool) {
        let (holder, before) = {
            let mut state = self.state();
            let next = waits.then(|| key.clone());
            let before = std::mem::replace(&mut state.awaited, next).filter(|before| !waits || before != key);
            (state.seen.as_ref().filter(|_| waits).map(|seen| seen.holder.clone()), before)
        };
        before.iter().for_each(|key| self.0.objects.awaits(key, None));
        if let Some(holder) = holder {
            self.0.objects.awaits(key, Some(holder));
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
        let (seen, changed) = {
            let mut state = self.state();
            let (at, now) = (record.row.at, clock::now());
            let known = state.seen.take().filter(|seen| seen.holder == *holder && seen.epoch == *epoch);
            let first = known.as_ref().map_or(now, |seen| seen.first);
            let changed = known.filter(|seen| seen.at == at).map_or(now, |seen| seen.changed);
            state.seen = Some(Seen { holder: holder.clone(), epoch: *epoch, at, first, changed });
            (first, changed)
        };
        self.0.objects.is_gone(holder, seen) || self.has_lapsed(holder, changed)
    }

    /// True if a claim has stood still since `changed` for so long that its holder does not have it, although that one lives.
    fn has_lapsed(&self, holder: &str, changed: Instant) -> bool {
        let has_lapsed = clock::since(changed) >= FLEET_CLAIM_LAPSE;
        if has_lapsed {
            log::warn!(
                "fleet: {} is taken over from host {holder}, which lives, but has not renewed its claim for {} s: it does not have the \
                 object, or cannot write to the table's item; it goes on here after the last record in the table",
                self.0.entry.place(),
                FLEET_CLAIM_LAPSE.as_secs()
            );
        }
        has_lapsed
    }

    fn hold(&self, key: &Key, epoch: u64, saved: u64) -> Asked {
        let held = Some(Held { key: key.clone(), epoch, saved, at: clock::now() });
        let mut state = self.state();
        let awaited = state.awaited.take();
        *state = State { held, awaited, ..State::default() };
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
        let (held, tried, awaited, lost) = {
            let mut state = self.state();
            (state.held.take(), state.tried.take(), state.awaited.take(), state.lost)
        };
        awaited.iter().for_each(|key| self.0.objects.awaits(key, None));
        let row = self.0.entry.so_far(outcome, ending);
        match (held, row) {
            (Some(held), row) => self.release(&held, row),
            (None, Some(row)) if row.delivered => self.tell(row, tried, lost),
            (None, _) => tried.into_iter().for_each(|(key, _)| self.disown(key)),
        }
    }

    /// Gives up a claim of which nothing was collected, and what was tried of another content than `next`.
    fn give_up(&self, next: Option<&Key>) {
        let (held, tried) = {
            let mut state = self.state();
            let is_next = state.tried.as_ref().is_some_and(|(key, _)| Some(key) == next);
            (state.held.take(), if is_next { None } else { state.tried.take() })
        };
        held.into_iter().for_each(|held| self.release(&held, None));
        tried.into_iter().for_each(|(key, _)| self.disown(key));
    }

    /// Sees to it that the table does not name this host as the holder of what it does not hold.
    fn disown(&self, key: Key) {
        let record = self.record(self.fresh(&key, 1).row, NOBODY, 1);
        self.0.objects.disown(key, &record, Arc::new(self.clone()));
    }

    fn release(&self, held: &Held, row: Option<Row>) {
        let record = row.map(|row| self.record(row, NOBODY, held.epoch));
        self.0.objects.free(&held.key);
        self.0.objects.release(held, record);
    }

    /// Tells the table about a delivered object that was not claimed, or whose claim was `lost`.
    fn tell(&self, row: Row, tried: Option<(Key, u64)>, lost: bool) {
        let key = Key::of(&row.place, &row.identity);
        let tried = match tried {
            Some((other, _)) if Some(&other) != key.as_ref() => {
                self.disown(other);
                None
            }
            tried => tried.map(|(_, epoch)| epoch),
        };
        let Some(key) = key else { return };
        // A claim that arrives late finds its own epoch, and changes nothing.
        let record = self.record(row, NOBODY, tried.unwrap_or(0));
        match lost {
            true => self.0.objects.restore(key, &record, Arc::new(self.clone())),
            false => self.0.objects.tell(key, record, tried.is_some()),
        }
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
            (held.saved, held.at) = (records, clock::now());
        }
    }

    fn lose(&self) {
        {
            let mut state = self.state();
            state.tried = state.held.take().map(|held| (held.key, held.epoch));
            state.lost = true;
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
