//! The disk under the ledger.

use super::{simulation, thread};

/// Waits as long as a simulated disk needs for a write; a real one takes its own time.
pub fn write() {
    if let Some(simulation) = simulation() {
        thread::sleep(simulation.disk_time());
    }
}
