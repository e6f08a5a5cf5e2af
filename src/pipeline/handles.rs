//! Counts of what a run needs at a time: threads that call AWS, open files.

use crate::base::limits::{FLEET_OBJECT_WRITERS, OTHER_FILES, STATUS_CONNECTIONS_MAX};
use crate::settings::{Config, Input, Output};

/// Open files that a run may need at a time: a connection for every thread that has one, and some more for everything
/// else.
pub fn files_needed(config: &Config) -> u64 {
    let senders: usize = config.outputs.iter().map(Output::connections).sum();
    // Each connection of the status page has two handles.
    let status = if config.globals.status.is_some() { 2 * STATUS_CONNECTIONS_MAX } else { 0 };
    (threads_that_call(config) + senders + status + OTHER_FILES) as u64
}

/// Threads that may have a call to AWS under way.
pub fn threads_that_call(config: &Config) -> usize {
    // Leases, deletions and returns usually need a thread each, and so does the queue's watch.
    let per_input = |input: &Input| input.receivers + 4;
    let queues = config.inputs.iter().map(per_input).sum::<usize>();
    let audits = usize::from(config.globals.audit.is_some());
    // A heartbeat, marks of sources, progress of objects, and their ends.
    let fleet = if config.globals.shared.is_some() { 3 + FLEET_OBJECT_WRITERS } else { 0 };
    config.fetchers() + queues + config.sources.len() + audits + fleet
}
