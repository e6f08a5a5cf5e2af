//! The module that is added to the collector's sources: it says which of the planted faults is on.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static ACTIVE: LazyLock<usize> = LazyLock::new(|| std::env::var("MUTANT").ok().and_then(|n| n.parse().ok()).unwrap_or(usize::MAX));
static REACHED_FILE: LazyLock<Option<File>> = LazyLock::new(|| File::options().write(true).open(std::env::var_os("MUTANTS_REACHED")?).ok());
static REACHED: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];

/// Says whether fault `n` is on, and notes that a test has come to its place.
#[inline(never)]
pub(crate) fn on(n: usize) -> bool {
    if let Some(file) = &*REACHED_FILE
        && !REACHED[n].swap(true, Relaxed)
    {
        let _ = file.write_at(b"1", n as u64);
    }
    *ACTIVE == n
}
