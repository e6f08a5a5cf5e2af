//! Sources behind an API, which is polled.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::aws::{Credentials, Endpoints, Service};
use crate::base::limits::LOOKUP_EVENTS_INTERVAL;
use crate::services::Definition;

/// A service of an `aws…` input that polls an API, in one region.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path in the file: `inputs.aws.services.audit-events-all`.
    pub path: String,
    /// Its name in the ledger and in log lines: `<input's id>/<service>[/<type>]/<region>`.
    pub name: String,
    /// Its description for people.
    pub reads: &'static str,
    /// `id` of the input.
    pub input: String,
    pub region: String,
    pub credentials: Credentials,
    pub endpoints: Endpoints,
    /// `request_period_in_seconds`: from the start of one pull to the next.
    pub period: Duration,
    /// `pull_retries`: retries of a call in one pull.
    pub retries: u32,
    /// `requests_per_second`, for all sources of the input together.
    pub requests_per_second: Option<f64>,
    /// The routing of its events.
    pub service: Arc<Definition>,
    pub api: Api,
}

/// The polled API.
#[derive(Debug, Clone)]
pub enum Api {
    CloudTrail(CloudTrail),
    Metrics(Metrics),
    Logs(Logs),
    GuardDuty(GuardDuty),
}

/// `audit-events-all`, `types: [audits_api]`.
#[derive(Debug, Clone)]
pub struct CloudTrail {
    /// Nothing older is read. None: from the first start.
    pub start_time: Option<Timestamp>,
    /// `gap_until_now_in_minutes`: how late events may be.
    pub gap: Duration,
    /// `time_slot_in_hours`.
    pub time_slot: Duration,
    /// Only these event sources (`iam.amazonaws.com`); empty: all.
    pub sources: Vec<String>,
    pub drop_event_names: Vec<String>,
}

/// `metrics-all`.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// `metric_namespaces`; empty: all.
    pub namespaces: Vec<String>,
    /// Nothing older is read. None: from the first start.
    pub start_time: Option<Timestamp>,
    /// `metric_units`: each datapoint has its `Unit`.
    pub units: bool,
}

/// Reads the keys of `types: [logs]`.
#[derive(Debug, Clone)]
pub struct Logs {
    /// `log_group`. None: all groups (`/`).
    pub group: Option<String>,
    /// Nothing older is read. None: from the first start.
    pub start_time: Option<Timestamp>,
    /// `use_first_optimized_retrieval`: the first read of a group covers only its streams with events.
    pub first_by_streams: bool,
}

/// `aws-guardduty`.
#[derive(Debug, Clone)]
pub struct GuardDuty {
    /// Nothing older is read. None: everything that GuardDuty has.
    pub start_time: Option<Timestamp>,
}

impl Api {
    /// The name in log lines.
    pub fn name(&self) -> &'static str {
        match self {
            Api::CloudTrail(_) => "CloudTrail",
            Api::Metrics(_) => "CloudWatch",
            Api::Logs(_) => "CloudWatch Logs",
            Api::GuardDuty(_) => "GuardDuty",
        }
    }

    /// The service whose endpoint is called.
    pub fn service(&self) -> Service {
        match self {
            Api::CloudTrail(_) => Service::CloudTrail,
            Api::Metrics(_) => Service::CloudWatch,
            Api::Logs(_) => Service::Logs,
            Api::GuardDuty(_) => Service::GuardDuty,
        }
    }

    /// Minimum time between two calls of one account in one region, as AWS requires.
    pub fn interval(&self) -> Option<Duration> {
        match self {
            Api::CloudTrail(_) => Some(LOOKUP_EVENTS_INTERVAL),
            Api::Metrics(_) | Api::Logs(_) | Api::GuardDuty(_) => None,
        }
    }
}
