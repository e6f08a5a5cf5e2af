//! The file in which each worker notes the object that it decodes.
//!
//! A worker writes into its own slot with one system call when it begins, and one byte when it ends. Written data is in
//! the kernel's cache and so survives the process, however it ends; nothing waits for the disk. After a power failure
//! the notes may be some seconds old.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::base::runtime::clock;
use crate::ledger::in_work::Name;
use crate::ledger::private;
use crate::ledger::row::{Identity, Place};

/// Bytes of a slot: whether it is in use, the length of the note, the note. Keys are at most 1 KiB.
pub const SLOT_BYTES: usize = 2048;
const HEADER_BYTES: usize = 3;
/// The first slot names the run of the notes.
const FIRST: usize = 1;

/// The first of the files.
const NOTES: &str = "decoding";
/// Processes that use one directory at the same time: a collector and some backfills.
const FILES_MAX: usize = 16;

/// Far more than there can be workers.
const BYTES_MAX: u64 = 64 << 20;

const IN_USE: u8 = 1;
const FREE: u8 = 0;

#[derive(Debug)]
pub struct Notes {
    file: File,
    /// The process exits in order: nothing is noted any more.
    ended: AtomicBool,
}

/// The objects that the previous process was decoding when it died.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Names the process, so that one death is not counted twice.
    pub run: String,
    pub names: Vec<Name>,
}

/// Returns the notes of dead processes in the directory's files, and begins a file of this process. Also returns the
/// names that were passed on.
///
/// Each process holds a lock on its file, which the kernel releases when the process ends in any way: a backfill beside
/// a collector takes the next file.
pub fn take_over(
    directory: &Path,
    mut keep: impl FnMut(&Left) -> rusqlite::Result<()>,
) -> io::Result<(Notes, Vec<Name>)> {
    let (mut own, mut names) = (None, Vec::new());
    for number in 0..FILES_MAX {
        let path = directory.join(if number == 0 { NOTES.to_owned() } else { format!("{NOTES}.{number}") });
        if own.is_some() && !path.exists() {
            break;
        }
        let file = private::open(&path)?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        names.extend(hand_on(&file, &mut keep)?);
        own = own.or(Some(file));
    }
    let file = own.ok_or_else(|| io::Error::other("too many processes use this directory"))?;
    let run = format!("{} {}", clock::timestamp(), std::process::id());
    let mut first = vec![FREE];
    append(&mut first, run.as_bytes());
    file.write_all_at(&first, 0)?;
    Ok((Notes { file, ended: AtomicBool::new(false) }, names))
}

/// Empties a file when its remains have been saved.
fn hand_on(file: &File, keep: &mut impl FnMut(&Left) -> rusqlite::Result<()>) -> io::Result<Vec<Name>> {
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    let left = left_in(&bytes);
    keep(&left).map_err(io::Error::other)?;
    file.set_len(0)?;
    Ok(left.names)
}

impl Notes {
    pub fn begin(&self, worker: usize, name: &Name) {
        if let Some(note) = written(name).filter(|_| !self.ended.load(Relaxed)) {
            self.write(worker, &note);
        }
    }

    /// True while the worker decodes the object in its note.
    pub fn set(&self, worker: usize, in_use: bool) {
        if !self.ended.load(Relaxed) {
            self.write(worker, &[if in_use { IN_USE } else { FREE }]);
        }
    }

    pub fn end(&self) {
        self.ended.store(true, Relaxed);
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }

    /// A note that cannot be written (a full disk) is only missing after a crash.
    fn write(&self, worker: usize, bytes: &[u8]) {
        let at = ((FIRST + worker) * SLOT_BYTES) as u64;
        let _ = self.file.write_all_at(bytes, at);
    }
}

/// None if it does not fit, so it is not an S3 object.
fn written(name: &Name) -> Option<Vec<u8>> {
    let Name { place, announced, .. } = name;
    let mut fields = Vec::new();
    for field in
        [&place.input, &place.bucket, &place.key, &announced.version, &announced.etag, &announced.checksum]
    {
        append(&mut fields, field.as_bytes());
    }
    let mut note = vec![IN_USE];
    append(&mut note, &fields);
    (note.len() <= SLOT_BYTES).then_some(note)
}

/// Bytes after their length.
fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Reads a file's notes.
pub fn left_in(bytes: &[u8]) -> Left {
    let mut left = Left::default();
    for (number, slot) in bytes.chunks(SLOT_BYTES).enumerate() {
        if number < FIRST {
            left.run = slot.get(1..).and_then(|mut rest| text(&mut rest)).unwrap_or_default();
        } else if slot.first() == Some(&IN_USE) {
            left.names.extend(name(slot));
        }
    }
    // The same object in several slots would look like several objects.
    left.names.sort_by(|a, b| (&a.place.bucket, &a.place.key).cmp(&(&b.place.bucket, &b.place.key)));
    left.names.dedup();
    left
}

fn name(slot: &[u8]) -> Option<Name> {
    let mut fields = slot.get(HEADER_BYTES..)?;
    let place = Place { input: text(&mut fields)?, bucket: text(&mut fields)?, key: text(&mut fields)? };
    let announced =
        Identity { version: text(&mut fields)?, etag: text(&mut fields)?, checksum: text(&mut fields)? };
    Some(Name::new(place, announced))
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (text, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(key: &str) -> Name {
        let place = Place { input: "1".into(), bucket: "b".into(), key: key.into() };
        Name::new(place, Identity { etag: "e".into(), ..Identity::default() })
    }

    fn reopen(directory: &Path) -> Left {
        let mut left = Left::default();
        take_over(directory, |found| {
            left.run = found.run.clone();
            left.names.extend(found.names.iter().cloned());
            Ok(())
        })
        .unwrap();
        left
    }

    #[test]
    fn what_is_in_use_is_left_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (notes, _) = take_over(directory.path(), |_| Ok(())).unwrap();
        (0..4).for_each(|worker| notes.begin(worker, &named(&format!("k{worker}"))));
        notes.set(1, false);
        notes.set(2, false);
        notes.set(2, true);
        notes.begin(3, &named(&"k".repeat(SLOT_BYTES)));
        drop(notes);
        let left = reopen(directory.path());
        assert_eq!(
            left.names,
            ["k0", "k2", "k3"].map(named),
            "one that does not fit leaves the slot as it is"
        );
        assert!(!left.run.is_empty());
        assert_eq!(reopen(directory.path()).names, [], "they are taken over once");
    }

    #[test]
    fn a_process_that_lives_keeps_its_notes() {
        let directory = tempfile::tempdir().unwrap();
        let (collector, _) = take_over(directory.path(), |_| Ok(())).unwrap();
        collector.begin(0, &named("of the collector"));
        let (backfill, _) = take_over(directory.path(), |_| Ok(())).unwrap();
        backfill.begin(0, &named("of the backfill"));
        assert_eq!(reopen(directory.path()).names, []);
        drop(backfill);
        assert_eq!(reopen(directory.path()).names, [named("of the backfill")]);
        drop(collector);
        assert_eq!(reopen(directory.path()).names, [named("of the collector")]);
    }

    #[test]
    fn an_orderly_end_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (notes, _) = take_over(directory.path(), |_| Ok(())).unwrap();
        notes.begin(0, &named("k"));
        notes.end();
        notes.begin(1, &named("l"));
        notes.set(0, true);
        // Until then its file is locked, so that nobody would read it.
        drop(notes);
        assert_eq!(reopen(directory.path()).names, []);
    }

    #[test]
    fn a_note_may_fill_its_slot() {
        let length = |key: usize| written(&named(&"k".repeat(key))).map(|note| note.len());
        let rest = SLOT_BYTES - length(0).unwrap();
        assert_eq!((length(rest), length(rest + 1)), (Some(SLOT_BYTES), None));
    }

    #[test]
    fn notes_stay_when_they_cannot_be_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (notes, _) = take_over(directory.path(), |_| Ok(())).unwrap();
        notes.begin(0, &named("k"));
        drop(notes);
        assert!(take_over(directory.path(), |_| Err(rusqlite::Error::InvalidQuery)).is_err());
        assert_eq!(reopen(directory.path()).names, [named("k")]);
    }

    #[test]
    fn any_bytes_are_notes_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NOTES);
        for bytes in [vec![1; 10], vec![1; 5000], vec![0xff; 3 * SLOT_BYTES], b"\x01\0\0".repeat(2000)] {
            std::fs::write(&path, bytes).unwrap();
            reopen(directory.path());
        }
    }
}
