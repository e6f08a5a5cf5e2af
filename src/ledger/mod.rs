//! State that survives a restart: delivered objects, how far big ones are confirmed, and how far polled sources are
//! delivered.
//!
//! A message that is redelivered after its object was delivered (the deletion failed, the queue is a standard queue,
//! the collector died in between) is acknowledged without a GET; a half-sent object resumes after the last confirmed
//! record.
//!
//! ```text
//! fetch ──claim──► in work ──settle──► writer thread ──COMMIT──► the message's share
//!        (mine, or    │                (grouped)
//!         waits)      └──every few seconds: progress of big objects
//! ```
//!
//! An object's share of its message is resolved only after its delivery is recorded, so that a crash between
//! confirmation and deletion repeats nothing. The reverse does not hold: an unwritable ledger does not stop delivery.
//! Its entries wait in memory until they can be written, and a crash before that repeats more.

mod clocks;
mod entry;
mod handle;
mod in_work;
mod late;
mod lock;
mod mark;
mod open_error;
mod pause;
mod private;
mod row;
mod scope;
mod sent;
mod store;
mod suspect;
mod suspects;

impl Ledger {
    /// Opens the ledger in `directory` for `scope`, and starts its writer. Both are created if missing.
    ///
    /// # Errors
    /// [`OpenError`]: the problem with the file, and what to do about it.
    pub fn open(directory: &Path, scope: &Scope, telemetry: &Arc<Telemetry>) -> Result<Ledger, OpenError> {
        let path = directory.join(FILE);
        private::prepare(&path)?;
        let lock = Lock::take(directory, scope.role)?;
        let mut store = Store::open(&path)?;
        store.belong(&path, scope)?;
        let reader = store.another(&path)?;
        let (writer, commands) = unbounded();
        let suspects = Suspects::open(directory, &mut store, writer.clone());
        let in_work = Arc::new(InWork::default());
        let clocks = Clocks::default();
        let sent = Arc::<sent::Waiting>::default();
        let late = Arc::<Late>::default();
        let health = |what| {
            let health = Arc::new(Health::dispensable(format!("ledger {}{what}", path.display())));
            telemetry.adopt(&health);
            health
        };
        let own = Writer {
            store,
            in_work: Arc::clone(&in_work),
            sent: Arc::clone(&sent),
            late: Arc::clone(&late),
            kept: Kept::default(),
            commands,
            clocks: clocks.clone(),
            health: health(""),
            telemetry: Arc::clone(telemetry),
            repeated: 0,
        };
        let mut thread = Crew::new();
        thread.spawn("ledger", move || own.run()).map_err(OpenError::Thread)?;
        let reader = Mutex::new(Reader { store: reader, pause: Pause::default() });
        let file = File {
            reader,
            reading: health(": look-ups"),
            writer,
            sent,
            late,
            clocks,
            destinations: scope.destinations(),
            thread,
            lock: Mutex::new(lock),
        };
        Ok(Ledger(Arc::new(Inner { in_work, suspects, file: Some(file) })))
    }

    /// A ledger that records nothing. An object that is announced twice at once is still collected once.
    pub fn none() -> Ledger {
        Ledger(Arc::new(Inner { in_work: Arc::default(), suspects: Suspects::none(), file: None }))
    }

    /// All outputs of new entries, as one text. Empty if nothing is recorded.
    pub fn destinations(&self) -> &str {
        self.0.file.as_ref().map_or("", |file| &file.destinations)
    }

    /// Adds a clock for dating and expiring entries. It is ignored while it is not known.
    pub fn keep_time_by(&self, clock: impl Fn() -> Option<SystemTime> + Send + 'static) {
        if let Some(file) = &self.0.file {
            file.clocks.add(clock);
        }
    }

    /// Adds an object in flight for the input with this id. `share` is resolved when its end is recorded. None if the
    /// object is in flight already; the share, and `turn` if order matters, wait for its end.
    pub fn claim(&self, input: &str, object: &Object, share: Share, turn: Option<&Turn>) -> Option<Entry> {
        let name = self.0.in_work.name(Place::of(input, object), Identity::announced(object));
        self.0.in_work.take(&name, share, turn).then(|| Entry::new(self.clone(), name))
    }

    /// Records the ending of an object that was not collected, for the input with this id. It is dropped if too many of
    /// them wait to be written.
    pub fn note(&self, input: &str, object: &Object, ending: Ending) {
        let Some(file) = self.0.file.as_ref().filter(|file| file.writer.len() < LEDGER_NOTES_WAITING_MAX)
        else {
            return;
        };
        let size = object.size.unwrap_or_default();
        let row = Row::ended(Place::of(input, object), Identity::announced(object), size, ending);
        // A writer that is gone has reported why.
        let _ = file.writer.send(Command::Note(Box::new(row)));
    }

    /// Counts events that all outputs have confirmed at `now`, in seconds since 1970. For `source` see [`Sent::source`].
    pub fn sent(&self, source: &str, tables: &Tables, now: i64) {
        if let Some(file) = &self.0.file {
            file.sent.add(source, tables, now);
        }
    }

    /// Returns true if an object at this place is in flight.
    pub fn is_in_work(&self, place: &Place) -> bool {
        self.0.in_work.has(place)
    }

    /// The objects that were being decoded when the process died before.
    pub fn suspects(&self) -> &Suspects {
        &self.0.suspects
    }

    /// The record of an object of the input with this id; with an empty bucket, of the body of the message whose id is
    /// the key.
    pub fn case(&self, place: Place, announced: Identity) -> Case {
        let case = self.0.suspects.case(place, announced);
        if case.standing == Standing::Unsuspected {
            return case;
        }
        let Some(file) = &self.0.file else { return case };
        let known = file.reader().look_up(|store| store.is_suspect(&case.name().place));
        if known.is_some_and(|known| known.is_ok_and(|known| !known)) { case.forgotten() } else { case }
    }

    /// Records a step of a polled source, soon and in order.
    pub fn mark(&self, mark: Mark) {
        if let Some(file) = self.0.file.as_ref().filter(|_| !mark.is_empty()) {
            // A writer that is gone has reported why.
            let _ = file.writer.send(Command::Mark(Box::new(mark)));
        }
    }

    /// The stored state of a polled source.
    ///
    /// # Errors
    /// If the ledger cannot be read. The source must not restart because of that.
    pub fn polled(&self, source: &str) -> rusqlite::Result<Polled> {
        match &self.0.file {
            Some(file) => file.reader().store.polled(source),
            None => Ok(Polled::default()),
        }
    }

    /// The checkpoints of a source, and of those whose names go on after its name and a slash.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub fn kin(&self, source: &str) -> rusqlite::Result<Vec<Kin>> {
        let Some(file) = &self.0.file else { return Ok(Vec::new()) };
        let reader = file.reader();
        let mut kin: BTreeMap<String, Kin> = BTreeMap::new();
        for Checkpoint { source, part, value, .. } in reader.store.checkpoints(source)? {
            let one = kin.entry(source.clone()).or_insert_with(|| Kin { source, ..Kin::default() });
            one.checkpoints.insert(part, value);
        }
        let with_account = |one: Kin| Ok(Kin { account: reader.store.account(&one.source)?, ..one });
        kin.into_values().map(with_account).collect()
    }

    /// True if the ledger was made to forget the source since that term began. False if it cannot be read: the caller
    /// will ask again.
    pub fn has_forgotten(&self, source: &str, term: i64) -> bool {
        let Some(file) = &self.0.file else { return false };
        let now_in = file.reader().look_up(|store| store.term(source));
        now_in.is_some_and(|now_in| now_in.is_ok_and(|now_in| now_in != term))
    }

    /// Records how far everything in flight is confirmed, and waits for that at most `patience`.
    pub fn save(&self, patience: Duration) {
        self.ask(false, patience);
    }

    /// Saves, and ends the writer thread.
    pub fn close(&self, patience: Duration) {
        let Some(file) = &self.0.file else { return };
        let deadline = clock::now() + patience;
        self.ask(true, patience);
        while !file.thread.has_ended() && clock::now() < deadline {
            thread::sleep(LEDGER_END_INTERVAL);
        }
        if file.thread.has_ended() {
            // Now another process may have the directory, or the next pipeline of this one.
            drop(lock(&file.lock).take());
        }
    }

    /// Assigns a polled source's state to `account`, unless it belongs to another one, which is returned.
    ///
    /// # Errors
    /// If the ledger cannot be used at present.
    pub fn belongs_to(&self, source: &str, account: &str) -> rusqlite::Result<Option<String>> {
        match &self.0.file {
            Some(file) => file.reader().store.belongs_to(source, account),
            None => Ok(None),
        }
    }

    /// The writer thread, unless nothing is recorded.
    pub fn crew(&self) -> Option<&Crew> {
        self.0.file.as_ref().map(|file| &file.thread)
    }

    fn ask(&self, end: bool, patience: Duration) {
        let Some(file) = &self.0.file else { return };
        let (done, answer) = bounded(1);
        let sent = file.writer.send(Command::Save { end, done }).is_ok();
        if sent && answer.recv_timeout(patience).is_err() {
            log::warn!("the ledger could not be written in time: more may be sent again than necessary");
        }
    }

    /// The entries of a place. An unreadable ledger returns none, which only costs repeats.
    fn rows(&self, place: &Place) -> Vec<Row> {
        let Some(file) = &self.0.file else { return Vec::new() };
        let rows = file.reader().look_up(|store| store.rows(place));
        let written = match rows {
            None => Vec::new(),
            Some(Ok(rows)) => {
                if file.reading.trouble().is_some() {
                    file.reading.works();
                }
                rows
            }
            Some(Err(error)) => {
                let message = format!(
                    "{}. Objects that were delivered before may be sent again; the next look-up is made in {} s",
                    told(&error),
                    LEDGER_LOOKUP_PAUSE.as_secs()
                );
                file.reading.failed(message, false);
                Vec::new()
            }
        };
        file.late.over(place, written)
    }
}

#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use crate::ledger::open_error::{OpenError, told};
pub use crate::ledger::suspect::Suspect;
pub use entry::{Entry, Known};
pub use lock::Role;
pub use mark::{Checkpoint, Kin, Mark, Polled, Seen};
pub use private::examine;
pub use row::{Identity, Place, Row};
pub use scope::{Scope, covers};
pub use sent::{REPEATED, Sent, seconds, slot_of};
pub use store::counts::Pauses;
pub use store::look::{Keys, Look};
pub use store::{Filter, Store};
pub use suspects::{Case, Decoding, SLOT_BYTES, Standing, Suspects, left_in};

use crate::ack::{Ending, Share, Tables, Turn};
use crate::base::crew::Crew;
use crate::base::limits::{LEDGER_END_INTERVAL, LEDGER_LOOKUP_PAUSE, LEDGER_NOTES_WAITING_MAX};
use crate::base::locks::lock;
use crate::base::object::Object;
use crate::base::runtime::channel::{bounded, unbounded};
use crate::base::runtime::sync::Mutex;
use crate::base::runtime::{clock, thread};
use crate::telemetry::{Health, Telemetry};
use clocks::Clocks;
pub use handle::Ledger;
use handle::{File, Inner, Reader};
use in_work::InWork;
use late::Late;
use lock::Lock;
use pause::Pause;
use writer::{Command, Kept, Writer};

/// The ledger's file in the state directory.
pub const FILE: &str = "ledger.sqlite3";
