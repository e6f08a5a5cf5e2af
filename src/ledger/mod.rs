//! What must survive a restart: which objects are delivered, how far big ones are confirmed, and how far
//! polled sources are delivered.
//!
//! A message that comes again after its object was delivered (the deletion failed, the queue is a
//! standard queue, the collector died in between) is acknowledged without a GET; an object that was
//! half sent goes on after the last record that was confirmed.
//!
//! ```text
//! fetch ──claim──► in work ──settle──► writer thread ──COMMIT──► the message's share
//!        (mine, or    │                (grouped)
//!         waits)      └──every few seconds: progress of big objects
//! ```
//!
//! An object's share of its message is resolved only after its delivery is recorded, so that a crash
//! between confirmation and deletion repeats nothing. The reverse does not hold: a ledger that cannot
//! be written does not stop delivery, it only lets a crash repeat more.

mod entry;
mod in_work;
mod mark;
mod row;
mod store;
mod suspects;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded, unbounded};

pub use entry::{Entry, Known};
pub use mark::{Checkpoint, Mark, Polled, Seen, fingerprint};
pub use row::{Identity, Place, Row};
pub use store::{Filter, OpenError, Store};
pub use suspects::{Case, Decoding, Standing, Suspect, Suspects, left_in};

use crate::ack::Share;
use crate::limits::LEDGER_SAVE_TIMEOUT;
use crate::resolve::Object;
use crate::telemetry::{Health, Telemetry};
use in_work::{InWork, Name};
use writer::{Command, Writer};

/// The ledger's file in the state directory.
pub const FILE: &str = "ledger.sqlite3";

/// A running ledger. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    in_work: Arc<InWork>,
    suspects: Suspects,
    /// None: nothing is remembered.
    file: Option<File>,
}

#[derive(Debug)]
struct File {
    /// For look-ups: they do not wait for the writer.
    reader: Mutex<Store>,
    reading: Health,
    writer: Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Ledger {
    /// Opens the ledger in `directory` and starts its writer. Both are made if they are not there.
    ///
    /// # Errors
    /// [`OpenError`]: what is wrong with the file, and what to do about it.
    pub fn open(directory: &Path, telemetry: &Arc<Telemetry>) -> Result<Ledger, OpenError> {
        let path = directory.join(FILE);
        let (mut store, reader) = (Store::open(&path)?, Store::attach(&path)?);
        let (writer, commands) = unbounded();
        let suspects = Suspects::open(directory, &mut store, writer.clone());
        let in_work = Arc::new(InWork::default());
        let health = |what| Health::new(format!("ledger {}{what}", path.display()));
        let thread = Writer {
            store,
            in_work: Arc::clone(&in_work),
            commands,
            health: health(""),
            telemetry: Arc::clone(telemetry),
        };
        let thread = std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || thread.run())
            .map_err(OpenError::Thread)?;
        let file = File {
            reader: Mutex::new(reader),
            reading: health(": look-ups"),
            writer,
            thread: Mutex::new(Some(thread)),
        };
        Ok(Ledger(Arc::new(Inner { in_work, suspects, file: Some(file) })))
    }

    /// One that remembers nothing. An object that is announced twice at once is still collected once.
    pub fn none() -> Ledger {
        Ledger(Arc::new(Inner { in_work: Arc::default(), suspects: Suspects::none(), file: None }))
    }

    /// Takes an object into work for the input with this id. `share` is resolved when that has ended
    /// and is recorded. None: the object is in work already, and the share waits for its end.
    pub fn claim(&self, input: &str, object: &Object, share: Share) -> Option<Entry> {
        let name = Arc::new(Name { place: Place::of(input, object), announced: Identity::announced(object) });
        self.0.in_work.take(&name, share).then(|| Entry::new(self.clone(), name))
    }

    /// What was being decoded when the process died before.
    pub fn suspects(&self) -> &Suspects {
        &self.0.suspects
    }

    /// The case of an object of the input with this id, or with an empty bucket of the body of the
    /// message that is named by the key.
    pub fn case(&self, place: Place, announced: Identity) -> Case {
        let case = self.0.suspects.case(place, announced);
        if case.standing == Standing::Unsuspected {
            return case;
        }
        let Some(file) = &self.0.file else { return case };
        let known = file.reader.lock().unwrap_or_else(|e| e.into_inner()).is_suspect(&case.name().place);
        if known.is_ok_and(|known| !known) { case.forgotten() } else { case }
    }

    /// Records a step of a polled source, soon and in order.
    pub fn mark(&self, mark: Mark) {
        if let Some(file) = self.0.file.as_ref().filter(|_| !mark.is_empty()) {
            // A writer that is gone has said why.
            let _ = file.writer.send(Command::Mark(Box::new(mark)));
        }
    }

    /// What is known of a polled source.
    ///
    /// # Errors
    /// The ledger cannot be read. Nobody should begin anew because of that.
    pub fn polled(&self, source: &str) -> rusqlite::Result<Polled> {
        match &self.0.file {
            Some(file) => file.reader.lock().unwrap_or_else(|e| e.into_inner()).polled(source),
            None => Ok(Polled::default()),
        }
    }

    /// Has somebody made the ledger forget the source since that term began? One that cannot be read says no: it
    /// will be asked again.
    pub fn has_forgotten(&self, source: &str, term: i64) -> bool {
        let Some(file) = &self.0.file else { return false };
        let now_in = file.reader.lock().unwrap_or_else(|e| e.into_inner()).term(source);
        now_in.is_ok_and(|now_in| now_in != term)
    }

    /// Records how far everything in work is confirmed, and waits for that as long as is sensible.
    pub fn save(&self) {
        self.ask(false);
    }

    /// Saves, and closes the file.
    pub fn close(&self) {
        let Some(file) = &self.0.file else { return };
        if self.ask(true)
            && let Some(thread) = file.thread.lock().unwrap_or_else(|e| e.into_inner()).take()
        {
            // A panic has been reported by its own thread.
            let _ = thread.join();
        }
    }

    /// False: it did not answer in time.
    fn ask(&self, end: bool) -> bool {
        let Some(file) = &self.0.file else { return true };
        let (done, answer) = bounded(1);
        let sent = file.writer.send(Command::Save { end, done }).is_ok();
        let saved = sent && answer.recv_timeout(LEDGER_SAVE_TIMEOUT).is_ok();
        if sent && !saved {
            log::warn!("the ledger could not be written in time: more may be sent again than necessary");
        }
        saved
    }

    /// What is known of a place. A ledger that cannot be read knows nothing, which costs repeats only.
    fn rows(&self, place: &Place) -> Vec<Row> {
        let Some(file) = &self.0.file else { return Vec::new() };
        let rows = file.reader.lock().unwrap_or_else(|e| e.into_inner()).rows(place);
        match rows {
            Ok(rows) => {
                if file.reading.trouble().is_some() {
                    file.reading.works();
                }
                rows
            }
            Err(error) => {
                let message = format!("{error}. Objects that were delivered before may be sent again");
                file.reading.failed(message, false);
                Vec::new()
            }
        }
    }
}
