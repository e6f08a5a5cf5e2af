//! Leases and hosts as the table has them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::aws::dynamodb::number;

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
    let (one, other) = (division(one), division(other));
    one.0 == other.0 && one.1 != other.1
}

/// True if a host that polls `one` reads what `other` has: they are the same source, or divide the same log groups.
pub fn reads_same(one: &str, other: &str) -> bool {
    one == other || divide_otherwise(one, other)
}

/// True if `one` is to end where both are polled: they divide the same log groups, and `other` divides them into more parts.
pub fn yields_to(one: &str, other: &str) -> bool {
    // Numbers without leading zeros: the longer one is larger.
    let parts = |name| division(name).1.map(|count| (count.len(), count));
    divide_otherwise(one, other) && parts(one) < parts(other)
}

/// The name of all log groups, and the number of their parts. None: they are not divided.
fn division(source: &str) -> (&str, Option<&str>) {
    match source.rsplit_once("/shard-") {
        Some((base, part)) => (base, part.rsplit_once("-of-").map(|(_, count)| count)),
        None => (source, None),
    }
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
    pub beat: Option<Beat>,
}

/// A host's heartbeat as the table has it. Any change of it is a sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    /// The number of its heartbeats.
    Count(u64),
    /// The attribute is not as this program writes it. None: there is none.
    Odd(Option<Value>),
}

impl Beat {
    /// The number of heartbeats; 0 if it is not known.
    pub fn count(&self) -> u64 {
        match self {
            Beat::Count(count) => *count,
            Beat::Odd(_) => 0,
        }
    }

    /// The attribute in DynamoDB's own form, if there is one.
    pub fn attribute(&self) -> Option<Value> {
        match self {
            Beat::Count(count) => Some(number(count)),
            Beat::Odd(attribute) => attribute.clone(),
        }
    }
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
    /// Those that it cannot poll at present, although it would: its calls fail, or what it reads does not arrive.
    pub unable: BTreeSet<String>,
    /// Its latest heartbeat.
    pub beat: Beat,
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
    /// How long one of its outputs has not worked. Zero: all of them work. Other hosts see it in [`Host::unable`].
    pub outage: Duration,
}

impl Host {
    /// A host that has just started, with an id of its own.
    pub fn new(name: &str, sources: BTreeSet<String>) -> Host {
        Host {
            id: format!("{name}/{:08x}", fastrand::u32(..)),
            name: name.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sources,
            unable: BTreeSet::new(),
            beat: Beat::Count(0),
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
        for (one, other) in [
            (base.to_owned(), part(base, 1, 1)),
            (part(base, 2, 2), part(base, 1, 3)),
            (part(base, 9, 9), part(base, 1, 10)),
        ] {
            assert!(yields_to(&one, &other) && !yields_to(&other, &one), "{one} {other}");
        }
        assert!(
            !yields_to(&part(base, 1, 2), &part(base, 2, 2))
                && !yields_to(base, "1/other/logs/us-east-1/shard-1-of-2")
        );
    }
}
