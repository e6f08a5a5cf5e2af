//! Leases and hosts as the table has them.

use std::collections::{BTreeMap, BTreeSet};

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
    /// The id of the host that is to have it while that one lives, because somebody said so.
    pub meant: Option<String>,
}

/// True if both sources are of the same log groups, which they divide into different numbers of parts: together, they would read
/// every group twice.
pub fn divide_otherwise(one: &str, other: &str) -> bool {
    let division = |name: &'_ str| match name.rsplit_once("/shard-") {
        Some((base, part)) => (base.to_owned(), part.rsplit_once("-of-").map(|(_, count)| count.to_owned())),
        None => (name.to_owned(), None),
    };
    let (one, other) = (division(one), division(other));
    one.0 == other.0 && one.1 != other.1
}

/// All leases in the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leases {
    /// By source.
    pub known: BTreeMap<String, Lease>,
    /// Sources whose leases have attributes that this program cannot read.
    pub unreadable: BTreeSet<String>,
}

/// A lease to take, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taking {
    pub source: String,
    /// None: nobody has ever held it.
    pub seen: Option<Lease>,
    /// The host that holds it and is silent.
    pub silent: Option<Silent>,
}

/// A host that no longer shows a sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    pub host: String,
    /// Its last heartbeat. None: the table no longer has this host.
    pub beat: Option<u64>,
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
    /// It ends by itself soon: it takes over nothing for good, and is not drained.
    pub passing: bool,
    /// Somebody has asked it to take nothing new, and to give up its sources.
    pub drained: bool,
    /// It does so since its heartbeat before.
    pub obeys: bool,
    /// Its own figures at its heartbeat.
    pub load: Load,
}

/// The work that a host does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Delivered events per second, lately.
    pub rate: u64,
    /// Messages of its queues in flight.
    pub messages: u64,
    /// Receives that are under way and may bring more messages.
    pub receives: u64,
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
            passing: false,
            drained: false,
            obeys: false,
            load: Load::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisions_of_the_same_log_groups() {
        let base = "1/all/logs/us-east-1";
        let part = |base: &str, number: u32, count: u32| format!("{base}/shard-{number}-of-{count}");
        assert!(divide_otherwise(base, &part(base, 1, 3)) && divide_otherwise(&part(base, 2, 3), base));
        assert!(divide_otherwise(&part(base, 1, 2), &part(base, 1, 3)));
        assert!(!divide_otherwise(base, base) && !divide_otherwise(&part(base, 1, 3), &part(base, 2, 3)));
        assert!(!divide_otherwise(&part(base, 1, 3), "1/other/logs/us-east-1"));
    }
}
