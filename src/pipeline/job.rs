//! What a pipeline is to do, and the sign of life that it gives.

use super::vitals::Dead;
use crate::stages::backfill::Backfill;
use crate::telemetry::Trouble;

/// What is collected, and until when.
#[derive(Debug, Clone)]
pub enum Job {
    /// The inputs' queues, until stopped.
    Run,
    /// The inputs' queues, until they are empty.
    Drain,
    /// A listing, read as the configuration's only input, until its end.
    Backfill(Backfill),
}

/// How a running pipeline does.
#[derive(Debug)]
pub struct Pulse {
    /// An error: only a restart will help.
    pub life: Result<(), Dead>,
    /// What has been wrong for longest.
    pub trouble: Option<Trouble>,
}
