//! Why the ledger cannot be opened.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::ErrorCode;

use crate::base::limits::{LEDGER_BUSY_START, LEDGER_HELD_START};

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
        "the ledger {} is damaged: {cause}. Move it away, with its -wal and -shm files, to start a new one: only objects that are announced again are sent again",
        path.display()
    )]
    Damaged { path: PathBuf, cause: rusqlite::Error },
    #[error(
        "the ledger {} was written by a newer version of this program (schema {found}, this version supports {SCHEMA_VERSION}): use that version, or move the file away",
        path.display()
    )]
    Newer { path: PathBuf, found: i64 },
    #[error("{} is an SQLite database, but not a ledger: give this collector its own directory", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "the ledger {} cannot be written: {cause}. This user needs write access to the file and its directory",
        path.display()
    )]
    ReadOnly { path: PathBuf, cause: rusqlite::Error },
    #[error("the ledger {} cannot be used: its disk is full ({cause}). Free some space there", path.display())]
    Full { path: PathBuf, cause: rusqlite::Error },
    #[error(
        "the ledger {} is being written by another program: {cause}. Wait for `ledger forget` to finish, or close sqlite3",
        path.display()
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
    #[error("the ledger's thread cannot be started: {0}")]
    Thread(io::Error),
    #[error("there is no ledger {}: nothing has been collected with this configuration", path.display())]
    Absent { path: PathBuf },
    #[error("the ledger {} cannot be used: {cause}", path.display())]
    Other { path: PathBuf, cause: rusqlite::Error },
}

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
