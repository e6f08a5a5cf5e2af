//! One object in flight: its known state, and its end.

use std::sync::Arc;

use super::Ledger;
use super::in_work::{Name, Tracked};
use super::row::{Identity, Place, Row};
use super::writer::{Command, Finish};
use crate::ack::{Ending, Outcome, Progress, Tables};
use crate::base::locks::lock;
use crate::base::runtime::sync::Mutex;

/// Holds an object in flight until it is settled.
#[derive(Debug)]
pub struct Entry {
    ledger: Ledger,
    name: Arc<Name>,
    /// The latest that other hosts have said of it.
    learnt: Mutex<Option<Row>>,
}

/// The result of a GET.
#[derive(Debug)]
pub enum Known {
    /// It was delivered before.
    Delivered,
    /// It is in flight for another message, whose outcome settles this one too.
    InWork,
    /// It must be sent, except for what was confirmed before.
    Undelivered(Progress),
}

impl Entry {
    pub(super) fn new(ledger: Ledger, name: Arc<Name>) -> Entry {
        Entry { ledger, name, learnt: Mutex::default() }
    }

    pub fn place(&self) -> &Place {
        &self.name.place
    }

    /// Its identity, as far as its message has announced it.
    pub fn announced(&self) -> &Identity {
        &self.name.announced
    }

    /// Notes what another host knows of the object. It counts like an entry of this ledger.
    pub fn learn(&self, row: Row) {
        *lock(&self.learnt) = Some(row);
    }

    /// The object's entry on another host, if [`Entry::learn`] has noted one.
    pub fn learnt(&self) -> Option<Row> {
        lock(&self.learnt).clone()
    }

    /// True if the object that a GET has identified is in flight for another message, whose outcome settles this one too.
    pub fn joins_another(&self, etag: &str) -> bool {
        self.ledger.0.in_work.joins_another(&self.name, &self.name.announced.read(etag))
    }

    /// The entry as it would be recorded with this ending, or up to now without one. None before a GET has identified
    /// the object, unless it has ended.
    pub fn so_far(&self, outcome: Outcome, ending: Option<Ending>) -> Option<Row> {
        match self.ledger.0.in_work.tracked(&self.name) {
            Some(tracked) if ending.is_none() => Some(tracked.so_far()),
            Some(mut tracked) => tracked.ended(outcome, ending),
            None => self.unread(ending),
        }
    }

    /// The entry up to now, if more than this many records are confirmed, in at least this many batches.
    pub fn confirmed_since(&self, saved: u64, batches_min: u64) -> Option<Row> {
        let mut tracked = self.ledger.0.in_work.tracked(&self.name)?;
        tracked.saved = saved;
        tracked.unsaved(batches_min)
    }

    /// Ends the sending of the object: another host has it now.
    pub fn revoke(&self) {
        if let Some(tracked) = self.ledger.0.in_work.tracked(&self.name) {
            tracked.confirmed.revoke();
        }
    }

    /// True if its message proves that the object was delivered before.
    pub fn is_delivered(&self) -> bool {
        let announced = &self.name.announced;
        !announced.is_unknown()
            && self.rows().iter().any(|row| row.delivered && row.was_announced_as(announced))
    }

    /// A GET has shown its identity. `reader` names the way in which its records are counted; `size` is in bytes.
    pub fn identify(&self, etag: &str, size: u64, reader: &str) -> Known {
        let identity = self.name.announced.read(etag);
        if self.ledger.0.in_work.joins_another(&self.name, &identity) {
            return Known::InWork;
        }
        // A checksum alone would be the message's claim, not S3's.
        if self.ledger.0.file.is_none() || (identity.etag.is_empty() && identity.version.is_empty()) {
            return Known::Undelivered(Progress::default());
        }
        let reader = format!("{} {reader}", env!("CARGO_PKG_VERSION"));
        let rows: Vec<Row> = self.rows().into_iter().filter(|row| row.was_read_as(&identity)).collect();
        if rows.iter().any(|row| row.delivered) {
            return Known::Delivered;
        }
        let saved = rows.into_iter().filter(|row| row.reader == reader).max_by_key(|row| row.records);
        let (saved, tables) = saved.map_or((0, Tables::default()), |row| (row.records, row.tables));
        let progress = Progress::resume(saved);
        let (place, reason) = (self.name.place.clone(), String::new());
        let row = Row { place, identity, size, records: 0, delivered: false, reason, tables, reader, at: 0 };
        let tracked = Tracked { row, confirmed: progress.confirmed(), saved };
        self.ledger.0.in_work.track(&self.name, tracked);
        Known::Undelivered(progress)
    }

    /// Ends the object's work; without an ending it will be retried. Its messages are settled when the ledger has recorded it.
    pub fn settle(&self, outcome: Outcome, ending: Option<Ending>) {
        let inner = &self.ledger.0;
        let in_work = Arc::clone(&inner.in_work);
        let then = Finish { in_work, name: Arc::clone(&self.name), outcome };
        let row = match inner.in_work.tracked(&self.name) {
            Some(mut tracked) => tracked.ended(outcome, ending),
            None => self.unread(ending),
        };
        if let (Some(row), Some(file)) = (row, &inner.file) {
            // If the writer is gone, dropping the command ends the work.
            let _ = file.writer.send(Command::Record { row: Box::new(row), then });
        }
    }

    /// The entry of an object that has ended before a GET has identified it.
    fn unread(&self, ending: Option<Ending>) -> Option<Row> {
        let Name { place, announced, .. } = &*self.name;
        let ending = ending.filter(|ending| is_its_own(*ending))?;
        Some(Row::ended(place.clone(), announced.clone(), 0, ending))
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = self.ledger.rows(&self.name.place);
        rows.extend(self.learnt());
        rows
    }
}

/// Returns false if the ending belongs to another entry of the object.
fn is_its_own(ending: Ending) -> bool {
    !matches!(ending, Ending::Sent | Ending::Known | Ending::SharedDelivery | Ending::SharedRefusal)
}
