//! The plan of a backfill: which objects of a listing are sent. No I/O.

use std::sync::Arc;
use std::time::SystemTime;

use crate::aws::Listed;
use crate::services::Definition;
use crate::settings::Input;

/// The keys to list, and which of them to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub bucket: String,
    /// Only keys with this prefix; empty for all.
    pub prefix: String,
    /// The prefix is a whole key: only that object.
    pub exact: bool,
    /// Only keys after this one, in byte order; empty for all.
    pub start_after: String,
    /// Only objects written at this time or later, by `LastModified`.
    pub from: Option<SystemTime>,
    /// Only objects written before this time.
    pub to: Option<SystemTime>,
    /// Name of the service whose objects are sent; empty for any service of the input.
    pub service: String,
}

/// The decision about a listed object.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It is read as this task.
    Collect(Arc<Definition>),
    /// Written before `from`, or not before `to`.
    OutsideTime,
    /// It has no log: a folder marker, zero bytes, or a rule of the service's.
    Skip,
    /// It belongs to another service: the input's queue would have given it to that one.
    OtherService,
    /// It cannot be read.
    Archived,
}

impl Plan {
    /// Decides as the input would if a message announced the object.
    pub fn verdict(&self, listed: &Listed, input: &Input) -> Verdict {
        let key = listed.key.as_str();
        let too_early = self.from.is_some_and(|from| listed.modified < from);
        let too_late = self.to.is_some_and(|to| listed.modified >= to);
        if too_early || too_late {
            return Verdict::OutsideTime;
        }
        if crate::stages::resolve::is_marker(key) {
            return Verdict::Skip;
        }
        let is_meant = |service: &&Arc<Definition>| self.service.is_empty() || service.name == self.service;
        let own = input.service_of(key).filter(is_meant);
        let Some(service) = own else { return Verdict::OtherService };
        match () {
            () if listed.size == 0 || service.skips(key) => Verdict::Skip,
            () if listed.archived => Verdict::Archived,
            () => Verdict::Collect(service.of_object(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const BOTH: &str = r#"
          sqs_collector:
            id: "1"
            base_url: https://sqs.us-east-1.amazonaws.com/111111111111/q
            services: {aws_sqs_vpc: {}, aws_sqs_waf: {}}"#;

    fn verdict(plan: &Plan, listed: &Listed) -> &'static str {
        let config = config::testing::of_inputs(BOTH);
        match plan.verdict(listed, &config.inputs[0]) {
            Verdict::Collect(_) => "collect",
            Verdict::OutsideTime => "outside",
            Verdict::Skip => "skip",
            Verdict::OtherService => "other",
            Verdict::Archived => "archived",
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
    }

    fn vpc() -> Listed {
        let key = "AWSLogs/1/vpcflowlogs/us-east-1/2026/11/21/a.log.gz".to_owned();
        Listed { key, size: 1, etag: String::new(), modified: at(100), archived: false }
    }

    fn plan(from: Option<u64>, to: Option<u64>) -> Plan {
        Plan {
            bucket: "b".to_owned(),
            prefix: String::new(),
            exact: false,
            start_after: String::new(),
            from: from.map(at),
            to: to.map(at),
            service: "aws_sqs_vpc".to_owned(),
        }
    }

    #[test]
    fn the_time_is_from_and_before() {
        for (from, to, expected) in [
            (None, None, "collect"),
            (Some(100), None, "collect"),
            (Some(101), None, "outside"),
            (None, Some(101), "collect"),
            (None, Some(100), "outside"),
        ] {
            assert_eq!(verdict(&plan(from, to), &vpc()), expected, "{from:?} {to:?}");
        }
    }

    #[test]
    fn every_object_has_one_verdict() {
        let waf = "AWSLogs/1/WAFLogs/us-east-1/acl/a.log.gz".to_owned();
        let folder = "AWSLogs/1/vpcflowlogs/us-east-1/".to_owned();
        for (listed, expected) in [
            (Listed { key: waf, ..vpc() }, "other"),
            (Listed { key: folder.clone(), ..vpc() }, "collect"),
            (Listed { key: folder + "_SUCCESS", ..vpc() }, "skip"),
            (Listed { key: "aws-logs-write-test".to_owned(), ..vpc() }, "skip"),
            (Listed { size: 0, archived: true, ..vpc() }, "skip"),
            (Listed { archived: true, ..vpc() }, "archived"),
            (Listed { key: "elsewhere".to_owned(), ..vpc() }, "other"),
        ] {
            assert_eq!(verdict(&plan(None, None), &listed), expected, "{listed:?}");
        }
    }
}
