//! The file in which each worker notes the object that it decodes.
//!
//! A worker writes into its own slot with one system call when it begins, and one byte when it ends. What
//! has been written is in the kernel's cache and so outlives the process, however it ends; nothing waits
//! for the disk. A power failure may leave notes that are some seconds old.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use jiff::Timestamp;

use crate::ledger::in_work::Name;
use crate::ledger::row::{Identity, Place};

/// A slot: whether it is in use, the length of the note, the note. Keys end at 1 KiB.
const SLOT_BYTES: usize = 2048;
const HEADER_BYTES: usize = 3;
/// The first slot names the run that the notes are of.
const FIRST: usize = 1;

/// Far more than there can be workers.
const BYTES_MAX: u64 = 64 << 20;

const IN_USE: u8 = 1;
const FREE: u8 = 0;

#[derive(Debug)]
pub struct Notes {
    file: File,
    /// The process ends in order: nothing is noted any more.
    ended: AtomicBool,
}

/// What the process before this one was decoding when it died.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Names the process, so that one death is not counted twice.
    pub run: String,
    pub names: Vec<Name>,
}

/// Opens the file, hands on what is left in it, and empties it if that succeeds. Also returns what `keep`
/// returned.
pub fn take_over(
    path: &Path,
    keep: impl FnOnce(Left) -> rusqlite::Result<usize>,
) -> io::Result<(Notes, usize)> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mut bytes = Vec::new();
    (&file).take(BYTES_MAX).read_to_end(&mut bytes)?;
    let kept = keep(left_in(&bytes)).map_err(io::Error::other)?;
    file.set_len(0)?;
    let run = format!("{} {}", Timestamp::now(), std::process::id());
    let mut first = vec![FREE];
    append(&mut first, run.as_bytes());
    file.write_all_at(&first, 0)?;
    Ok((Notes { file, ended: AtomicBool::new(false) }, kept))
}

impl Notes {
    pub fn begin(&self, worker: usize, name: &Name) {
        if let Some(note) = written(name).filter(|_| !self.ended.load(Relaxed)) {
            self.write(worker, &note);
        }
    }

    /// Whether the worker is decoding what it has noted last.
    pub fn set(&self, worker: usize, in_use: bool) {
        if !in_use || !self.ended.load(Relaxed) {
            self.write(worker, &[if in_use { IN_USE } else { FREE }]);
        }
    }

    pub fn end(&self) {
        self.ended.store(true, Relaxed);
        let _ = self.file.set_len(0);
    }

    /// A note that cannot be written (a full disk) is only missing after a crash.
    fn write(&self, worker: usize, bytes: &[u8]) {
        let at = ((FIRST + worker) * SLOT_BYTES) as u64;
        let _ = self.file.write_all_at(bytes, at);
    }
}

/// None: it does not fit, so it is no object of S3's.
fn written(name: &Name) -> Option<Vec<u8>> {
    let Name { place, announced } = name;
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

/// Bytes behind their length.
fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Reads what a file says.
pub fn left_in(bytes: &[u8]) -> Left {
    let mut left = Left::default();
    for (number, slot) in bytes.chunks(SLOT_BYTES).enumerate() {
        if number < FIRST {
            left.run = slot.get(1..).and_then(|mut rest| text(&mut rest)).unwrap_or_default();
        } else if slot.first() == Some(&IN_USE) {
            left.names.extend(name(slot));
        }
    }
    // The same object in several hands would look like several objects.
    left.names.sort_by(|a, b| (&a.place.bucket, &a.place.key).cmp(&(&b.place.bucket, &b.place.key)));
    left.names.dedup();
    left
}

fn name(slot: &[u8]) -> Option<Name> {
    let mut fields = slot.get(HEADER_BYTES..)?;
    let place = Place { input: text(&mut fields)?, bucket: text(&mut fields)?, key: text(&mut fields)? };
    let announced =
        Identity { version: text(&mut fields)?, etag: text(&mut fields)?, checksum: text(&mut fields)? };
    Some(Name { place, announced })
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
        Name { place, announced: Identity { etag: "e".into(), ..Identity::default() } }
    }

    fn reopen(path: &Path) -> Left {
        let mut left = Left::default();
        take_over(path, |found| {
            left = found;
            Ok(0)
        })
        .unwrap();
        left
    }

    #[test]
    fn what_is_in_use_is_left_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes");
        let (notes, _) = take_over(&path, |_| Ok(0)).unwrap();
        (0..4).for_each(|worker| notes.begin(worker, &named(&format!("k{worker}"))));
        notes.set(1, false);
        notes.set(2, false);
        notes.set(2, true);
        notes.begin(3, &named(&"k".repeat(SLOT_BYTES)));
        let left = reopen(&path);
        assert_eq!(
            left.names,
            ["k0", "k2", "k3"].map(named),
            "one that does not fit leaves the slot as it is"
        );
        assert!(!left.run.is_empty());
        assert_eq!(reopen(&path).names, [], "they are taken over once");
    }

    #[test]
    fn an_orderly_end_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes");
        let (notes, _) = take_over(&path, |_| Ok(0)).unwrap();
        notes.begin(0, &named("k"));
        notes.end();
        notes.begin(1, &named("l"));
        notes.set(0, false);
        assert_eq!(reopen(&path).names, []);
    }

    #[test]
    fn notes_stay_when_they_cannot_be_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes");
        let (notes, _) = take_over(&path, |_| Ok(0)).unwrap();
        notes.begin(0, &named("k"));
        assert!(take_over(&path, |_| Err(rusqlite::Error::InvalidQuery)).is_err());
        assert_eq!(reopen(&path).names, [named("k")]);
    }

    #[test]
    fn any_bytes_are_notes_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes");
        for bytes in [vec![1; 10], vec![1; 5000], vec![0xff; 3 * SLOT_BYTES], b"\x01\0\0".repeat(2000)] {
            std::fs::write(&path, bytes).unwrap();
            reopen(&path);
        }
    }
}
