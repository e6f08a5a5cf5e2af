//! Why the ledger cannot be opened.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::ErrorCode;

use crate::base::limits::{LEDGER_BUSY_START, LEDGER_HELD_START};
use crate::base::text::one_line;

/// `PRAGMA user_version` of the schema below.
pub(super) const SCHEMA_VERSION: i64 = 4;

/// The reason why the ledger cannot be used. Each message says what to do, and has its cause in it; a field with the name `source` would
/// have it shown a second time.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the ledger's directory {} cannot be created: {cause}. Name a folder that this user may create or write to (globals.persistence.config.directory_name); in a container, one in a volume",
        path.display()
    )]
    Directory { path: PathBuf, cause: io::Error },
    #[error(
        "{} can be written by other users (mode {mode:o}), who could make this collector lose logs: chmod go-rwx it, or name a directory below it, which is created with the right mode",
        path.display()
    )]
    Open { path: PathBuf, mode: u32 },
    #[error("{} is a symbolic link, which is not followed: name its target", path.display())]
    Link { path: PathBuf },
    #[error("{} is not {wanted}: move it away, or name another directory", path.display())]
    Kind { path: PathBuf, wanted: &'static str },
    #[error(
        "the ledger {} is damaged: {}. Move it away, with its -wal and -shm files, to start a new one: only objects that are announced again are sent again",
        path.display(),
        told(cause)
    )]
    Damaged { path: PathBuf, cause: rusqlite::Error },
    #[error(
        "the ledger {} is not as this program leaves it, so another program has changed it: {}. Put a copy of it back, or move it away, with its -wal and -shm files, to start a new one: only objects that are announced again are sent again",
        path.display(),
        told(cause)
    )]
    Altered { path: PathBuf, cause: rusqlite::Error },
    #[error(
        "the ledger {} was written by a newer version of this program (schema {found}, this version supports {SCHEMA_VERSION}): use that version, or move the file away",
        path.display()
    )]
    Newer { path: PathBuf, found: i64 },
    #[error("{} is an SQLite database, but not a ledger: give this collector its own directory", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "the ledger {} cannot be written: {}. This user needs write access to the file and its directory",
        path.display(),
        told(cause)
    )]
    ReadOnly { path: PathBuf, cause: rusqlite::Error },
    #[error("the ledger {} cannot be used: its disk is full ({}). Free some space there", path.display(), told(cause))]
    Full { path: PathBuf, cause: rusqlite::Error },
    #[error(
        "the ledger {} is being written by another program: {}. Wait for `ledger forget` to finish, or close sqlite3",
        path.display(),
        told(cause)
    )]
    Busy { path: PathBuf, cause: rusqlite::Error },
    #[error(
        "the state directory {} is in use by another collector ({by}): give each collector its own directory (globals.persistence.config.directory_name)",
        directory.display()
    )]
    Held {
        directory: PathBuf,
        by: String,
        /// By this process: a pipeline before a reload, which hangs and will end.
        ours: bool,
    },
    #[error(
        "another backfill is running with the state directory {} ({by}): wait until it ends, or give this one a configuration with another directory (globals.persistence) if it sends other objects",
        directory.display()
    )]
    SecondBackfill { directory: PathBuf, by: String },
    #[error(
        "the ledger {} knows objects as delivered that the queue {known} announced under the input id {input}, and now this id reads the queue {now}: objects that both announce would be deleted unsent. Give the input another id, or the collector another state directory; or make the ledger forget (`aws-to-devo ledger forget --input {input}`), and objects that are announced again are sent again",
        path.display()
    )]
    OtherQueue { path: PathBuf, input: String, known: String, now: String },
    #[error(
        "the ledger's thread cannot be started: {0}. Raise the limits of this user's or this service's tasks"
    )]
    Thread(io::Error),
    #[error("there is no ledger {}: nothing has been collected with this configuration", path.display())]
    Absent { path: PathBuf },
    #[error(
        "the ledger {} cannot be used: {}. Look for errors of its disk in the system's log; if there are none, put it on a local disk (globals.persistence.config.directory_name)",
        path.display(),
        told(cause)
    )]
    Other { path: PathBuf, cause: rusqlite::Error },
}

/// SQLite's words on one line: its message without the statement, and the first of many lines.
pub fn told(error: &rusqlite::Error) -> String {
    let text = match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (first, more) = (lines.next().unwrap_or("without a reason"), lines.count());
    let first = one_line(first.trim_end_matches('.'));
    if more > 0 { format!("{first} (and {more} more lines)") } else { first.into_owned() }
}

/// The verdict of a check in one sentence: the first finding, and how many there are. None if there is none.
pub(super) fn findings(rows: &[String]) -> Option<String> {
    let lines = rows.iter().flat_map(|row| row.lines()).map(str::trim);
    let is_finding = |line: &&str| !line.is_empty() && *line != "ok" && !line.starts_with("***");
    let mut findings = lines.filter(is_finding);
    let (first, more) = (findings.next()?, findings.count());
    let beginning: String = first.chars().take(FINDING_CHARS_MAX).collect();
    match more {
        0 => Some(beginning),
        // SQLite's check ends there.
        99.. => Some(format!("{beginning}, and at least {more} more findings")),
        _ => Some(format!("{beginning}, and {more} more findings")),
    }
}

/// Longest part of a finding that is shown.
const FINDING_CHARS_MAX: usize = 200;

impl OpenError {
    /// True if a later retry may help, without a change of the configuration.
    pub fn is_temporary(&self) -> bool {
        match self {
            OpenError::Busy { .. }
            | OpenError::Held { .. }
            | OpenError::Full { .. }
            | OpenError::Thread(_) => true,
            OpenError::Other { cause, .. } => cause.sqlite_error_code() == Some(ErrorCode::SystemIoFailure),
            _ => false,
        }
    }

    /// How long a start retries by itself: temporary conditions usually end within that time.
    pub fn patience(&self) -> Duration {
        match self {
            OpenError::Busy { .. } | OpenError::Held { ours: true, .. } => LEDGER_BUSY_START,
            OpenError::Held { ours: false, .. } => LEDGER_HELD_START,
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
    }

    #[test]
    fn a_long_verdict_is_one_line_with_its_first_finding() {
        let rows = |rows: &[&str]| findings(&rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>());
        assert_eq!(rows(&["ok"]), None);
        for (count, more) in
            [(1, None), (99, Some(", and 98 more findings")), (100, Some(", and at least 99 more findings"))]
        {
            let expected = format!("bad{}", more.unwrap_or_default());
            assert_eq!(rows(&vec!["bad"; count]).as_deref(), Some(&*expected));
        }
        assert_eq!(
            rows(&["*** in database main ***\nTree 2 page 2: btreeInitPage() returns error code 11"])
                .unwrap(),
            "Tree 2 page 2: btreeInitPage() returns error code 11"
        );
        let many: String = (2..99).map(|page| format!("Tree {page} page {page}: bad\n")).collect();
        let told = rows(&[&format!("*** in database main ***\n{many}"), "row 1 missing from index"]).unwrap();
        assert_eq!(told, "Tree 2 page 2: bad, and 97 more findings");
        assert!(rows(&[&"x".repeat(9999)]).unwrap().len() < 300);
    }

    #[test]
    fn every_reason_is_one_line_and_says_what_to_do() {
        use rusqlite::ffi::{SQLITE_ERROR, SQLITE_FULL};
        let path = || PathBuf::from("state");
        let long = |code| {
            let text = format!("first.\n{}", "more\n".repeat(500));
            rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(text))
        };
        for error in [
            OpenError::Damaged { path: path(), cause: long(SQLITE_ERROR) },
            OpenError::Altered { path: path(), cause: long(SQLITE_ERROR) },
            OpenError::ReadOnly { path: path(), cause: long(SQLITE_ERROR) },
            OpenError::Full { path: path(), cause: long(SQLITE_FULL) },
            OpenError::Busy { path: path(), cause: long(SQLITE_ERROR) },
            OpenError::Other { path: path(), cause: long(SQLITE_ERROR) },
        ] {
            let text = error.to_string();
            assert!(!text.contains('\n') && text.contains("first (and 500 more lines)"), "{text}");
            let cures = ["Move it", "move it", "needs write access", "Free some", "Wait for", "Look for"];
            assert!(cures.iter().any(|cure| text.contains(cure)), "{text}");
        }
    }

    #[test]
    fn a_start_waits_for_what_usually_passes() {
        let path = || PathBuf::from("state");
        let held = |ours| OpenError::Held { directory: path(), by: "process 1".into(), ours };
        let other = |code| OpenError::Other { path: path(), cause: failure(code) };
        let full = OpenError::Full { path: path(), cause: failure(rusqlite::ffi::SQLITE_FULL) };
        let busy = OpenError::Busy { path: path(), cause: failure(rusqlite::ffi::SQLITE_BUSY) };
        for (error, is_temporary, patience) in [
            (held(true), true, LEDGER_BUSY_START),
            (held(false), true, LEDGER_HELD_START),
            (busy, true, LEDGER_BUSY_START),
            (full, true, Duration::ZERO),
            (other(rusqlite::ffi::SQLITE_IOERR), true, Duration::ZERO),
            (other(rusqlite::ffi::SQLITE_MISUSE), false, Duration::ZERO),
            (OpenError::Absent { path: path() }, false, Duration::ZERO),
        ] {
            assert_eq!((error.is_temporary(), error.patience()), (is_temporary, patience), "{error}");
        }
    }
}
