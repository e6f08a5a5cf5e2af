//! Leases and hosts as the table has them.

use std::collections::BTreeSet;

/// The holder of a lease that nobody holds.
pub const NOBODY: &str = "-";

/// The right to poll a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// `<input id>/<service>/<region>`.
    pub source: String,
    /// The host's id, or [`NOBODY`].
    pub holder: String,
    /// Number of times that the lease was taken.
    pub epoch: u64,
    /// Number of times that it was renewed.
    pub beat: u64,
}

/// A process that shares sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Unique: another one after each start.
    pub id: String,
    /// For people: the syslog HOST of its events.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// The sources that its configuration names.
    pub sources: BTreeSet<String>,
    /// Number of its heartbeats.
    pub beat: u64,
}

impl Host {
    /// A host that has just started, with an id of its own.
    pub fn new(name: &str, sources: BTreeSet<String>) -> Host {
        Host {
            id: format!("{name}/{:08x}", fastrand::u32(..)),
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sources,
            beat: 0,
        }
    }
}
