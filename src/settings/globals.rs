//! The key `globals`: settings of the whole program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `globals`.
#[derive(Debug, Clone)]
pub struct Globals {
    pub id: String,
    pub name: String,
    pub debug: bool,
    /// The syslog HOST field: by default `collector-<id>-<machine's name>`.
    pub host: String,
    /// Upper bound on memory, in bytes.
    pub memory_limit: u64,
    /// Threads that inflate and split.
    pub workers: usize,
    /// Threads that GET objects, shared by all inputs.
    pub fetchers: usize,
    /// Time limit for work in flight to finish after SIGTERM.
    pub shutdown_timeout: Duration,
    /// `persistence.config.directory_name`.
    pub state_directory: PathBuf,
    /// `persistence.required`: the collector does not start without its ledger.
    pub state_required: bool,
    /// None: no status page and no metrics.
    pub status: Option<Status>,
    pub internal_events: Option<InternalEvents>,
}

/// `globals.internal_events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalEvents {
    /// The table.
    pub tag: String,
    /// The name of the only output that gets them; None for all.
    pub output: Option<String>,
    pub period: Duration,
}

/// The key `globals.status`: address of the status page and the metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub address: SocketAddr,
    /// Names of this machine that browsers and scrapers may use; IP addresses and `localhost` are always allowed.
    pub hosts: Vec<String>,
}
