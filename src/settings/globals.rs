//! The key `globals`: settings of the whole program.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::aws::{Credentials, Endpoints};
use super::bucket::Bucket;

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
    /// `persistence.type: dynamodb`. None: other hosts know nothing of this one.
    pub shared: Option<SharedTable>,
    /// None: no status page and no metrics.
    pub status: Option<Status>,
    pub internal_events: Option<InternalEvents>,
    /// None: no audits while the collector runs.
    pub audit: Option<Audit>,
    /// None: Devo is not asked what it has.
    pub devo_api: Option<DevoApi>,
}

/// The DynamoDB table through which several hosts share their polled sources, and what they have delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedTable {
    pub name: String,
    pub region: String,
    /// Each object is claimed before it is collected, so that no other host collects it at the same time.
    pub claims: bool,
    pub credentials: Credentials,
    pub endpoints: Endpoints,
}

/// The key `globals.audit`: audits while the collector runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Time from the start of one audit to the next.
    pub every: Duration,
    /// The length of the audited time, which ends `delay` ago.
    pub window: Duration,
    pub delay: Duration,
    /// Missing objects are sent.
    pub fix: bool,
    /// The location of the objects. Empty: where the objects in the ledger are.
    pub buckets: Vec<Bucket>,
}

/// The key `globals.devo_api`: Devo's query API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevoApi {
    /// The address of the call.
    pub url: String,
    /// The file that holds the token.
    pub token_file: PathBuf,
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
