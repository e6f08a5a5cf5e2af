//! Standard output, for all that commands print. A command may ignore that a write fails: the process ends with an error
//! then, unless the reader has exited, which changes nothing.

use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

/// The first failure.
static FAILURE: OnceLock<ErrorKind> = OnceLock::new();

/// Standard output. Writes pass through the process's buffer, line by line.
#[derive(Debug, Clone, Copy)]
pub struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        noted(io::stdout().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        noted(io::stdout().flush())
    }
}

/// Notes a failure of something else that writes there.
pub fn noted<T>(result: io::Result<T>) -> io::Result<T> {
    result.inspect_err(|error| {
        // Interrupted writes are repeated.
        if error.kind() != ErrorKind::Interrupted {
            let _ = FAILURE.set(error.kind());
        }
    })
}

/// Writes what is left. Returns the reason why not everything could be written; None also if the reader has exited.
pub fn failure() -> Option<ErrorKind> {
    let _ = Out.flush();
    FAILURE.get().copied().filter(|kind| *kind != ErrorKind::BrokenPipe)
}
