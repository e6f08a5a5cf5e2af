//! Sources behind an API, which is polled.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::aws::{Credentials, Endpoints, Service};
use crate::base::limits::LOOKUP_EVENTS_INTERVAL;
use crate::base::text::fingerprint;
use crate::services::Definition;

/// A service of an `aws…` input that polls an API, in one region.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path in the file: `inputs.aws.services.audit-events-all`.
    pub path: String,
    /// Its name in the ledger and in log lines: `<input's id>/<service>[/<type>]/<region>[/shard-<number>-of-<count>]`.
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
    /// `shards`: the part of all groups that this source reads. None: it is not divided.
    pub shard: Option<Shard>,
}

/// One of several parts of all log groups, each with a source of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    pub number: u32,
    pub count: u32,
}

impl Shard {
    /// True if the group belongs to this part. Each group belongs to one of `count`, on every host and in every version.
    pub fn has(self, group: &str) -> bool {
        mixed(fingerprint(group)) % u64::from(self.count) == u64::from(self.number - 1)
    }
}

/// Spreads each bit over all others: a name's last character changes few bits of its fingerprint. The steps and constants are those of
/// MurmurHash3's finalizer, by Austin Appleby.
fn mixed(print: u128) -> u64 {
    let mut mixed = (print ^ (print >> 64)) as u64;
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(factor);
    }
    mixed ^ (mixed >> 33)
}

/// The end of its source's name in the ledger.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard-{}-of-{}", self.number, self.count)
    }
}

/// `aws-guardduty`.
#[derive(Debug, Clone)]
pub struct GuardDuty {
    /// Nothing older is read. None: everything that GuardDuty has.
    pub start_time: Option<Timestamp>,
}

impl Source {
    /// The name without a shard, if the source reads all log groups or a part of them: other divisions of the same groups
    /// have names that begin with it.
    pub fn undivided(&self) -> Option<&str> {
        match &self.api {
            Api::Logs(Logs { group: None, shard: None, .. }) => Some(&self.name),
            Api::Logs(Logs { shard: Some(shard), .. }) => {
                self.name.strip_suffix(&shard.to_string())?.strip_suffix('/')
            }
            _ => None,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_log_group_is_in_one_shard_and_the_shards_are_alike() {
        let names = (0..6000).map(|n| match n % 3 {
            0 => format!("/aws/lambda/orders-{n}"),
            1 => format!("{n}/service"),
            _ => format!("/ecs/{}", n * 64),
        });
        let names: Vec<String> = names.collect();
        for count in [1, 2, 3, 4, 8, 16, 64] {
            let shards: Vec<Shard> = (1..=count).map(|number| Shard { number, count }).collect();
            let sizes = shards.iter().map(|shard| names.iter().filter(|name| shard.has(name)).count());
            let sizes: Vec<usize> = sizes.collect();
            assert_eq!(sizes.iter().sum::<usize>(), names.len());
            let fair = names.len() / count as usize;
            assert!(sizes.iter().all(|size| (fair / 2..=fair * 2).contains(size)), "{sizes:?}");
        }
        // Also those whose names differ in their last character.
        for prefix in ["g", "/aws/lambda/orders-", "app-", "/ecs/svc", "prod/api-v"] {
            for count in [2, 4] {
                let shard = |number| Shard { number, count };
                let of =
                    |number| ('a'..='z').filter(|end| shard(number).has(&format!("{prefix}{end}"))).count();
                let sizes: Vec<usize> = (1..=count).map(of).collect();
                assert!(sizes.iter().all(|size| size * count as usize >= 8), "{prefix}: {sizes:?}");
            }
        }
        // Never another one: its checkpoints are where it was.
        let number = (1..=4).find(|number| Shard { number: *number, count: 4 }.has("/aws/lambda/orders"));
        assert_eq!(number, Some(3));
    }
}
