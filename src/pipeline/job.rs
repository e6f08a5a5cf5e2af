//! The job of a pipeline, and its sign of life.

use super::vitals::Dead;
use crate::stages::backfill::Backfill;
use crate::telemetry::Trouble;

/// The sources of a run, and its end.
#[derive(Debug, Clone)]
pub enum Job {
    /// The inputs' queues, until stopped.
    Run,
    /// The inputs' queues, until they are empty.
    Drain,
    /// A listing, as the configuration's only input, until its end.
    Backfill(Backfill),
}

/// The state of a running pipeline.
#[derive(Debug)]
pub struct Pulse {
    /// An error: only a restart will help.
    pub life: Result<(), Dead>,
    /// The oldest current problem.
    pub trouble: Option<Trouble>,
}
