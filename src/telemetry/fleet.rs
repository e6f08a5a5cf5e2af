//! The hosts that share work, as this one sees them.

use serde::Serialize;

use crate::base::locks::lock;
use crate::base::runtime::sync::Mutex;
use crate::telemetry::model::metric::{Kind, Metric};

/// The hosts that share work, as this one last saw them. Empty without a shared table.
#[derive(Debug, Default)]
pub struct Fleet(Mutex<FleetSnapshot>);

/// The hosts and sources at one moment.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub struct FleetSnapshot {
    /// Living hosts, this one included.
    pub hosts: Vec<FleetHost>,
    /// The sources of this host's configuration.
    pub sources: Vec<FleetSource>,
}

/// A living host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FleetHost {
    /// The syslog HOST of its events.
    pub name: String,
    /// Another one after each start.
    pub id: String,
    pub version: String,
    /// Sources that it polls.
    pub sources: usize,
    /// Somebody has asked it to take nothing new.
    pub drained: bool,
    /// Events that it delivers per second, lately, as it says itself.
    pub events_per_second: u64,
    /// Messages of its queues in flight, as it says itself.
    pub messages_in_flight: u64,
    /// Time since this host has seen its latest heartbeat; of this host, since it has written one.
    pub heartbeat_age_seconds: f64,
    /// True if it is this host.
    pub here: bool,
}

/// A source and the host that polls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FleetSource {
    pub name: String,
    /// None: no living host polls it, as far as this one knows.
    pub polled_by: Option<String>,
    /// True if this host polls it.
    pub here: bool,
}

impl Fleet {
    /// Replaces what was seen.
    pub fn see(&self, seen: FleetSnapshot) {
        *lock(&self.0) = seen;
    }

    pub(super) fn snapshot(&self) -> FleetSnapshot {
        lock(&self.0).clone()
    }
}

impl FleetSnapshot {
    pub(super) const METRICS: &'static [Metric<FleetSnapshot>] = &[
        Metric {
            name: "fleet_hosts",
            help: "Living hosts that share the table, this one included, as this one sees them; absent without a shared table.",
            kind: Kind::Gauge,
            value: |fleet| Some(fleet.hosts.len() as f64).filter(|_| *fleet != FleetSnapshot::default()),
        },
        Metric {
            name: "fleet_drained",
            help: "1 while this host is drained: it receives no messages and polls no sources; absent without a shared table.",
            kind: Kind::Gauge,
            value: |fleet| Some(f64::from(u8::from(fleet.hosts.iter().find(|host| host.here)?.drained))),
        },
    ];
}

impl FleetSource {
    pub(super) const METRICS: &'static [Metric<FleetSource>] = &[
        Metric {
            name: "fleet_source_polled",
            help: "1 if this host knows of a living host, itself included, that polls this shared source, and has not been unable to for a minute. A source without a 1 from any host is not read.",
            kind: Kind::Gauge,
            value: |source| Some(f64::from(u8::from(source.polled_by.is_some()))),
        },
        Metric {
            name: "fleet_source_held",
            help: "1 if this host polls this shared source.",
            kind: Kind::Gauge,
            value: |source| Some(f64::from(u8::from(source.here))),
        },
    ];
}
