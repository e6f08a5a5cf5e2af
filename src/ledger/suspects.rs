//! Objects that were being decoded, and messages that were being read, when the process died.
//!
//! A failed allocation, an exhausted stack and the kernel's out-of-memory killer end the process, and no caller can
//! catch that. The message of the object that caused it is redelivered, and would end the next process too. So each
//! worker notes what it decodes in a file that survives the process ([`notes`]), and the next start reads it:
//!
//! 1. Everything that was being decoded is a *suspect*, which the ledger records.
//! 2. A suspect is decoded alone, while no other worker decodes anything. If it gets through, it is
//!    cleared: a kill or a power failure makes suspects of innocent objects, and of several at a time.
//! 3. A suspect that was decoded alone when the process died again is refused with an error, without a
//!    GET, until the ledger is made to forget it.

mod notes;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::in_work::Name;
use super::row::{Identity, Place};
use super::store::Store;
use super::suspect::{DEATHS_MAX, Suspect};
use super::writer::Command;
use crate::base::limits::THREADS_MAX;
use crate::base::locks::{lock, read, write};
use crate::base::runtime::channel::Sender;
use crate::base::runtime::clock;
use crate::base::runtime::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use notes::Notes;

pub use notes::{SLOT_BYTES, left_in};

/// Suspects that are named in the log; at most as many as workers.
const SUSPECTS_NAMED_MAX: usize = 20;

/// The number of a worker that reads messages, which comes after those of all that decode.
const READER: usize = THREADS_MAX;

/// The suspects, and the notes of objects in the decoder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Suspects(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// None if nothing is noted.
    notes: Option<Notes>,
    known: Mutex<HashMap<Place, Suspect>>,
    writer: Option<Sender<Command>>,
    /// Held while decoding; a suspect excludes all others.
    decoding: RwLock<()>,
    /// Held while reading a large message.
    reading: Mutex<()>,
}

/// An object's standing before it is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Unsuspected,
    /// It must be decoded alone.
    Suspected,
    /// It must not be decoded any more.
    Refused,
}

/// An object's progress through the decoders.
#[derive(Debug, Clone)]
pub struct Case {
    suspects: Suspects,
    name: Arc<Name>,
    pub standing: Standing,
}

/// A piece of an object is being decoded, until dropped.
pub struct Decoding<'s> {
    note: Option<(&'s Notes, usize)>,
    _together: Option<RwLockReadGuard<'s, ()>>,
    _alone: Option<RwLockWriteGuard<'s, ()>>,
}

impl Suspects {
    /// Reads the notes of the previous process into the ledger, and begins new ones. A file that cannot be used only
    /// costs this protection.
    pub(super) fn open(directory: &Path, store: &mut Store, writer: Sender<Command>) -> Suspects {
        let now = clock::timestamp().as_second();
        let opened = notes::take_over(directory, |left| store.suspect(&left.names, &left.run, now));
        let notes = match opened {
            Ok((notes, names)) => {
                for name in names.iter().take(SUSPECTS_NAMED_MAX) {
                    log::warn!(
                        "{name}: was being decoded when a process died; when it is redelivered, it is decoded alone"
                    );
                }
                Some(notes)
            }
            Err(error) => {
                log::warn!(
                    "{}: notes of objects in the decoder cannot be written: {error}. If an object kills the process, it will not be recognized",
                    directory.display()
                );
                None
            }
        };
        let known = store.suspects().unwrap_or_else(|error| {
            log::warn!("the ledger does not say which objects killed the process before: {error}");
            Vec::new()
        });
        let known = known.into_iter().map(|suspect| (suspect.name.place.clone(), suspect)).collect();
        Suspects(Arc::new(Inner {
            notes,
            known: Mutex::new(known),
            writer: Some(writer),
            decoding: RwLock::default(),
            reading: Mutex::default(),
        }))
    }

    /// Nothing is noted, and nothing suspected.
    pub(super) fn none() -> Suspects {
        Suspects(Arc::new(Inner {
            notes: None,
            known: Mutex::default(),
            writer: None,
            decoding: RwLock::default(),
            reading: Mutex::default(),
        }))
    }

    /// The record of an object, or of a message's body.
    pub fn case(&self, place: Place, announced: Identity) -> Case {
        let name = Name::new(place, announced);
        let standing = self.standing(&name);
        Case { suspects: self.clone(), name: Arc::new(name), standing }
    }

    fn standing(&self, name: &Name) -> Standing {
        let known = self.known();
        match known.get(&name.place).filter(|suspect| suspect.is(name)) {
            None => Standing::Unsuspected,
            Some(suspect) if suspect.deaths < DEATHS_MAX => Standing::Suspected,
            Some(_) => Standing::Refused,
        }
    }

    /// Notes that a worker begins to decode a piece of an object, or with None something that is not noted.
    pub fn begin(&self, worker: usize, case: Option<&Case>) -> Decoding<'_> {
        let inner = &self.0;
        let suspected = case.is_some_and(|case| case.standing == Standing::Suspected);
        let (together, alone) = match suspected {
            true => (None, Some(write(&inner.decoding))),
            false => (Some(read(&inner.decoding)), None),
        };
        let note = inner.notes.as_ref().zip(case).map(|(notes, case)| {
            notes.begin(worker, &case.name);
            (notes, worker)
        });
        Decoding { note, _together: together, _alone: alone }
    }

    /// Reads a large message, one at a time: its names may take much memory before any of its objects is decoded.
    pub fn read_message<T>(&self, case: &Case, read: impl FnOnce() -> T) -> T {
        let _alone = lock(&self.0.reading);
        let decoding = self.begin(READER, Some(case));
        let found = read();
        drop(decoding);
        case.survived();
        found
    }

    /// The process exits in order: objects in the decoder do not count.
    pub fn end(&self) {
        if let Some(notes) = &self.0.notes {
            notes.end();
        }
    }

    fn acquit(&self, name: &Name) {
        let removed = self.known().remove(&name.place);
        if let (Some(suspect), Some(writer)) = (removed, &self.0.writer) {
            log::info!("{name}: was decoded, and is no longer suspected");
            // A writer that is gone has reported why.
            let _ = writer.send(Command::Acquit(Box::new(suspect.name)));
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Place, Suspect>> {
        lock(&self.0.known)
    }
}

impl Case {
    /// It has been decoded to its end, or to an error that was reported.
    pub fn survived(&self) {
        if self.standing == Standing::Suspected {
            self.suspects.acquit(&self.name);
        }
    }

    /// The ledger may have been told to forget it since the start.
    pub(super) fn forgotten(mut self) -> Case {
        self.suspects.known().remove(&self.name.place);
        self.standing = Standing::Unsuspected;
        self
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub fn key(&self) -> &str {
        &self.name.place.key
    }

    /// The number of times the process died over it.
    pub fn deaths(&self) -> u32 {
        self.suspects.known().get(&self.name.place).map_or(0, |suspect| suspect.deaths)
    }
}

impl Decoding<'_> {
    /// Runs something that is not decoding, such as a wait for an output: a death in the middle of it says nothing
    /// about the object.
    pub fn pause<T>(&self, other: impl FnOnce() -> T) -> T {
        let Some((notes, worker)) = self.note else { return other() };
        notes.set(worker, false);
        let done = other();
        notes.set(worker, true);
        done
    }
}

impl Drop for Decoding<'_> {
    fn drop(&mut self) {
        if let Some((notes, worker)) = self.note {
            notes.set(worker, false);
        }
    }
}

#[cfg(test)]
mod tests;
