//! The world's view of what hosts share: the table, who may poll which source until when, and calls on their way.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::table::Table;

/// Time after a heartbeat at which its holder stops to poll; see `docs/fleet.md`.
pub const TERM: Duration = Duration::from_secs(18);

#[derive(Debug, Default)]
pub struct Sharing {
    pub table: Table,
    /// The leases that are held, by source.
    pub terms: BTreeMap<String, Term>,
    /// The process of each host, and when the latest heartbeat that it knows to be written was begun. A process that reloads, or
    /// whose leases have run out, becomes another host.
    pub beaten: BTreeMap<String, (u64, Duration)>,
    /// When each object's entry was last written, by its ETag.
    pub written: BTreeMap<String, Duration>,
    /// The machine that is cut off from the table.
    pub cut_off: Option<u64>,
    /// Calls that arrive when their callers have given up, with the times of it.
    late: Vec<(Duration, Call)>,
}

/// A lease as its holder may count it, from its latest heartbeat.
#[derive(Debug, Clone)]
pub struct Term {
    /// The process that holds it.
    pub by: u64,
    /// The host that the process was when it took it.
    pub host: String,
    /// Nobody else may have it before.
    pub until: Duration,
    /// The time of its source's last call.
    pub polled: Duration,
}

/// A call of the table.
#[derive(Debug)]
pub struct Call {
    pub by: u64,
    /// The time at which it began.
    pub asked: Duration,
    pub operation: String,
    pub input: Value,
}

impl Sharing {
    /// Lets a call arrive at a later time.
    pub fn delay(&mut self, until: Duration, call: Call) {
        self.late.push((until, call));
    }

    /// The next call that has arrived by now, though nobody waits for its answer.
    pub fn arrival(&mut self, now: Duration) -> Option<Call> {
        let next = self.late.iter().enumerate().min_by_key(|(_, (at, _))| *at);
        let next = next.filter(|(_, (at, _))| *at <= now).map(|(index, _)| index)?;
        Some(self.late.swap_remove(next).1)
    }
}
