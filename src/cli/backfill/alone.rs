//! One backfill at a time on one state directory.

use std::fs::{File, TryLockError};
use std::path::Path;

/// The file that a backfill locks.
const FILE: &str = "backfill.lock";

/// Holds the lock while it lives; the end of the process gives it back in any case.
#[derive(Debug)]
pub struct Alone {
    _lock: Option<File>,
}

impl Alone {
    /// Two backfills at once would list the same objects before either has recorded them, and send them twice. A
    /// collector that runs on the directory is no hindrance. Where locks do not work, nobody is kept from anything.
    ///
    /// # Errors
    /// Another backfill has the directory; the text says what to do.
    pub fn in_directory(directory: &Path) -> Result<Alone, String> {
        let path = directory.join(FILE);
        // What is wrong with the directory is said by the ledger, with advice.
        let opened = std::fs::create_dir_all(directory)
            .and_then(|()| File::options().create(true).append(true).open(&path));
        let Ok(file) = opened else { return Ok(Alone { _lock: None }) };
        match file.try_lock() {
            Ok(()) => Ok(Alone { _lock: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(format!(
                "another backfill is under way with the state directory {}: wait for its end, or give this one a \
                 configuration with another directory (globals.persistence) if it sends other objects",
                directory.display()
            )),
            Err(TryLockError::Error(error)) => {
                log::warn!("{} cannot be locked ({error}): do not run two backfills at once", path.display());
                Ok(Alone { _lock: None })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_backfill_is_refused_until_the_first_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let first = Alone::in_directory(&state).unwrap();
        assert!(Alone::in_directory(&state).unwrap_err().contains("another backfill"));
        assert!(Alone::in_directory(directory.path()).is_ok(), "another directory is free");
        drop(first);
        assert!(Alone::in_directory(&state).is_ok());
    }
}
