//! `globals`: what holds for the whole program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `globals`.
#[derive(Debug, Clone)]
pub struct Globals {
    pub id: String,
    pub name: String,
    pub debug: bool,
    /// The syslog HOST field: `collector-<id>-<machine's name>` unless written.
    pub host: String,
    /// Upper bound on memory, in bytes.
    pub memory_limit: u64,
    /// Threads that inflate and split.
    pub workers: usize,
    /// Threads that GET objects, shared by all inputs.
    pub fetchers: usize,
    /// How long work in hand may take to finish after SIGTERM.
    pub shutdown_timeout: Duration,
    /// `persistence.config.directory_name`.
    pub state_directory: PathBuf,
    /// `persistence.required`: without its ledger the collector does not start.
    pub state_required: bool,
    /// None: no status page, no metrics.
    pub status: Option<Status>,
    pub internal_events: Option<InternalEvents>,
}

/// `globals.internal_events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalEvents {
    /// The table.
    pub tag: String,
    /// The name of the only output that gets them; None: all do.
    pub output: Option<String>,
    pub period: Duration,
}

/// `globals.status`: where the status page and the metrics are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub address: SocketAddr,
    /// Names of this machine by which browsers and scrapers may call it; IP addresses and `localhost` always do.
    pub hosts: Vec<String>,
}
