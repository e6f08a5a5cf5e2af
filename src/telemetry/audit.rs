//! Figures of the latest audit.

use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use crate::base::locks::lock;
use crate::base::runtime::sync::Mutex;
use crate::telemetry::model::latest::{Latest, unix_time};
use crate::telemetry::model::metric::{Kind, Metric};

/// The figures of audits; unknown before the first.
#[derive(Debug, Default)]
pub struct Audit {
    figures: Mutex<AuditSnapshot>,
    finished: Latest,
}

/// The figures at one moment.
#[derive(Debug, Default, Clone, Serialize)]
pub struct AuditSnapshot {
    /// Objects that the latest audit found missing and that have not been sent since.
    pub missing: Option<u64>,
    /// Objects in its window that were rejected.
    pub rejected: Option<u64>,
    /// Objects in its window that were delivered.
    pub delivered: Option<u64>,
    /// The time when the latest audit was finished, in seconds since 1970.
    pub last_success_at: Option<f64>,
    /// Objects that audits found missing.
    pub found: u64,
    /// Missing objects that were sent because of it.
    pub sent: u64,
    /// Audits that could not be finished.
    pub failed: u64,
    /// The result of the latest audit, as a sentence.
    pub sentence: String,
    /// The probable causes of missing objects.
    pub causes: Vec<String>,
}

impl Audit {
    pub fn snapshot(&self, now: Timestamp, instant: Instant) -> AuditSnapshot {
        let finished = self.finished.age(instant).map(|age| unix_time(age, now) as f64);
        AuditSnapshot { last_success_at: finished, ..lock(&self.figures).clone() }
    }

    /// An audit was finished now; sets its figures.
    pub fn finish(&self, now: Instant, change: impl FnOnce(&mut AuditSnapshot)) {
        self.update(change);
        self.finished.happened(now);
    }

    /// Changes the figures.
    pub fn update(&self, change: impl FnOnce(&mut AuditSnapshot)) {
        change(&mut lock(&self.figures));
    }

    /// The figures for a run after this one.
    pub fn successor(&self) -> Audit {
        let figures = Mutex::new(lock(&self.figures).clone());
        Audit { figures, finished: self.finished.successor() }
    }
}

impl AuditSnapshot {
    pub(super) const METRICS: &'static [Metric<AuditSnapshot>] = &[
        Metric {
            name: "audit_missing_objects",
            help: "Objects that the latest audit found missing and that have not been sent since; absent before the first audit.",
            kind: Kind::Gauge,
            value: |audit| audit.missing.map(|count| count as f64),
        },
        Metric {
            name: "audit_rejected_objects",
            help: "Objects in the latest audit's window that were rejected.",
            kind: Kind::Gauge,
            value: |audit| audit.rejected.map(|count| count as f64),
        },
        Metric {
            name: "audit_last_success_timestamp",
            help: "Time when the latest audit was finished, in seconds since 1970.",
            kind: Kind::Gauge,
            value: |audit| audit.last_success_at,
        },
        Metric {
            name: "audit_objects_found_total",
            help: "Objects that audits found missing.",
            kind: Kind::Counter,
            value: |audit| audit.last_success_at.map(|_| audit.found as f64),
        },
        Metric {
            name: "audit_objects_sent_total",
            help: "Objects that were sent because an audit found them missing.",
            kind: Kind::Counter,
            value: |audit| audit.last_success_at.map(|_| audit.sent as f64),
        },
        Metric {
            name: "audits_failed_total",
            help: "Audits that could not be finished.",
            kind: Kind::Counter,
            value: |audit| Some(audit.failed as f64),
        },
    ];
}
