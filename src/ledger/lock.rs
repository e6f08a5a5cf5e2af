//! The lock of a state directory: two collectors that share one would mistake each other's records for their own.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use super::{OpenError, private};

/// The kind of process that opens a ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// At most one per directory.
    #[default]
    Collector,
    /// At most one per directory, beside a collector with the same configuration.
    Backfill,
}

/// Held until it is dropped, or until the process ends in any way: the lock is the kernel's, so it is never left
/// behind, and it works between containers that share a volume on one machine.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Role {
    fn file(self) -> &'static str {
        match self {
            Role::Collector => "collector.lock",
            Role::Backfill => "backfill.lock",
        }
    }
}

impl Lock {
    /// Locks the directory. None if no lock is available, and a warning has been logged.
    ///
    /// # Errors
    /// [`OpenError::Held`] or [`OpenError::SecondBackfill`] if another process of the same role has it.
    pub fn take(directory: &Path, role: Role) -> Result<Option<Lock>, OpenError> {
        let path = directory.join(role.file());
        let mut file = match private::open(&path) {
            Ok(file) => file,
            // The ledger itself is there too, and reports the problem.
            Err(error) => {
                log::warn!(
                    "{} cannot be created: {error}. Nothing prevents a second collector from using this state directory",
                    path.display()
                );
                return Ok(None);
            }
        };
        match file.try_lock() {
            Ok(()) => {
                // The text is for people: a lock without it still works.
                let _ = sign(&mut file);
                Ok(Some(Lock { _file: file }))
            }
            Err(TryLockError::WouldBlock) => match (role, holder(&mut file)) {
                (Role::Collector, by) => {
                    let ours = by == own_name();
                    Err(OpenError::Held { directory: directory.to_owned(), by, ours })
                }
                // Both would list the same objects before either has recorded them, and send them twice.
                (Role::Backfill, by) => {
                    Err(OpenError::SecondBackfill { directory: directory.to_owned(), by })
                }
            },
            Err(TryLockError::Error(error)) => {
                log::warn!(
                    "the state directory {} cannot be locked: {error}. Is it on NFS? Make sure that no other collector uses it; a ledger belongs on a local disk",
                    directory.display()
                );
                Ok(None)
            }
        }
    }
}

/// Writes the holder of the lock.
fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", own_name())
}

fn own_name() -> String {
    format!("process {} on {}", std::process::id(), rustix::system::uname().nodename().to_string_lossy())
}

/// The holder of the lock, from its own text.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(200).read_to_string(&mut text);
    let line = text.lines().next().unwrap_or_default();
    if read.is_err() || line.is_empty() { "an unknown process".to_owned() } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_collector_and_one_backfill_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let take = |role| Lock::take(directory.path(), role);
        let first = take(Role::Collector).unwrap().expect("nobody has it");
        let refused = take(Role::Collector).unwrap_err();
        let own = format!("process {} on ", std::process::id());
        assert!(refused.is_temporary() && refused.to_string().contains(&own), "{refused}");
        let backfill = take(Role::Backfill).unwrap();
        assert!(backfill.is_some(), "a backfill runs beside a collector");
        let refused = take(Role::Backfill).unwrap_err();
        assert!(!refused.is_temporary() && refused.to_string().contains("another backfill"), "{refused}");
        drop(first);
        assert!(take(Role::Collector).unwrap().is_some());
    }

    #[test]
    fn a_refusal_names_the_holder_and_whether_it_is_this_process() {
        let directory = tempfile::tempdir().unwrap();
        let _lock = Lock::take(directory.path(), Role::Collector).unwrap().expect("nobody has it");
        let own = own_name();
        for (text, named, is_ours) in [
            (&*own, &*own, true),
            ("process 1 on elsewhere\n", "process 1 on elsewhere", false),
            ("", "an unknown process", false),
        ] {
            std::fs::write(directory.path().join(Role::Collector.file()), text).unwrap();
            match Lock::take(directory.path(), Role::Collector).unwrap_err() {
                OpenError::Held { by, ours, .. } => assert_eq!((&*by, ours), (named, is_ours)),
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn without_a_place_for_the_lock_the_ledger_has_the_word() {
        let directory = Path::new("/proc/no-such-place");
        assert!(Lock::take(directory, Role::Collector).unwrap().is_none());
    }
}
