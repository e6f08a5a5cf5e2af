//! The disk under the ledger.

use super::{clock, simulation};

/// Waits as long as a simulated disk needs for a write; a real one takes its own time.
pub fn write() {
    let Some(simulation) = simulation() else { return };
    let until = clock::now() + simulation.disk_time();
    while clock::now() < until && simulation.wait(&[], Some(until)) {}
}
