//! The demo's data: objects of realistic size made from the samples in `testdata/`, the messages that announce them in
//! every shape that AWS and CrowdStrike use, and exactly what must arrive.
//!
//! Every record is unique, so that a missing one cannot hide behind a repeated one.

pub(in crate::lab::testbed) mod messages;
mod names;
mod objects;
pub(in crate::lab::testbed) mod templates;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use self::messages::Announced;
use self::objects::{Made, Plan};
use self::templates::Samples;
use super::aws::Aws;
use super::frames::FrameError;
use super::queue::{Redrive, Settings};
use super::tally::Expected;
use crate::base::limits::{KIB, MIB};
use names::{FDR_BUCKET, LOG_BUCKET, TENANT};

pub use names::StoredObject;

/// The destination of messages that cannot be processed.
pub const DEAD_LETTER_QUEUE: &str = "demo-dead-letters";
const MAX_RECEIVES: u32 = 5;
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(120);

/// The volume: numbers of objects, and bytes of log in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    pub cloudtrail_objects: usize,
    pub vpc_objects: usize,
    pub s3_access_objects: usize,
    pub waf_objects: usize,
    pub fdr_messages: usize,
    pub fdr_files_per_message: usize,
    pub fdr_file_bytes: usize,
    /// One FDR object that needs several ranges.
    pub fdr_large_bytes: usize,
    /// Every other object.
    pub object_bytes: usize,
}

impl Scale {
    /// The demo: about 250 MB of log.
    pub const FULL: Scale = Scale {
        cloudtrail_objects: 200,
        vpc_objects: 100,
        s3_access_objects: 100,
        waf_objects: 50,
        fdr_messages: 2,
        fdr_files_per_message: 8,
        fdr_file_bytes: 2 * MIB,
        fdr_large_bytes: 150 * 1000 * 1000,
        object_bytes: 128 * KIB,
    };

    /// For tests: every kind of object and message, a few megabytes.
    pub const SMALL: Scale = Scale {
        cloudtrail_objects: 7,
        vpc_objects: 3,
        s3_access_objects: 3,
        waf_objects: 3,
        fdr_messages: 2,
        fdr_files_per_message: 2,
        fdr_file_bytes: 32 * KIB,
        fdr_large_bytes: 4 * MIB,
        object_bytes: 16 * KIB,
    };
}

/// The reason why a scenario could not be created: only a broken sample can cause it.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("a sample in testdata/ is not made of frames: {0}")]
    Sample(#[from] FrameError),
    #[error("cannot compress an object: {0}")]
    Compress(#[from] io::Error),
}

/// All of it.
#[derive(Debug)]
pub struct Scenario {
    pub objects: Vec<StoredObject>,
    pub queues: Vec<QueuePlan>,
    /// The expected records, per Devo table.
    pub expected: Expected,
    /// Objects with at least one record of the table.
    pub objects_per_tag: BTreeMap<String, u64>,
    /// Bytes of log in all objects before compression.
    pub log_bytes: u64,
}

/// A queue, the service that reads it, and its messages.
#[derive(Debug, Clone)]
pub struct QueuePlan {
    pub name: String,
    /// Its name in the configuration: `aws_sqs_vpc`.
    pub service: &'static str,
    pub messages: Vec<String>,
}

impl Scenario {
    /// Creates everything, on two threads. The same scale gives the same bytes.
    pub fn build(scale: &Scale) -> Result<Scenario, ScenarioError> {
        let samples = Samples::read()?;
        let plans = Plans::new(scale, &samples);
        let made = objects::make_all(&plans.all)?;
        let queues = plans.queues(&made);
        let mut scenario = Scenario {
            objects: Vec::new(),
            queues,
            expected: Expected::default(),
            objects_per_tag: BTreeMap::new(),
            log_bytes: 0,
        };
        made.into_iter().for_each(|made| scenario.add(made));
        Ok(scenario)
    }

    /// Stores the objects, then creates the queues and sends the messages, as AWS does.
    pub fn put_into(&self, aws: &Aws) {
        for object in &self.objects {
            aws.put(&object.bucket, &object.key, Arc::clone(&object.bytes));
        }
        for queue in &self.queues {
            let redrive =
                Redrive { dead_letter_queue: DEAD_LETTER_QUEUE.to_owned(), max_receives: MAX_RECEIVES };
            let settings = Settings { visibility_timeout: VISIBILITY_TIMEOUT, redrive: Some(redrive) };
            aws.create_queue(&queue.name, settings);
            queue.messages.iter().for_each(|body| aws.send(&queue.name, body.clone()));
        }
    }

    /// Bytes as stored in S3.
    pub fn stored_bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes.len() as u64).sum()
    }

    pub fn messages(&self) -> usize {
        self.queues.iter().map(|queue| queue.messages.len()).sum()
    }

    fn add(&mut self, made: Made) {
        self.log_bytes += made.log_bytes;
        self.expected.merge(&made.expected);
        let tags: BTreeSet<&String> = made.expected.per_tag.keys().collect();
        for tag in tags {
            *self.objects_per_tag.entry(tag.clone()).or_default() += 1;
        }
        self.objects.push(made.object);
    }
}

/// The plans of all objects, and which of them each queue announces.
struct Plans<'s> {
    all: Vec<Plan<'s>>,
    /// Ends, in `all`, of the objects of: FDR large, CloudTrail, VPC, S3 access, WAF, FDR.
    ends: [usize; 6],
}

impl<'s> Plans<'s> {
    fn new(scale: &Scale, samples: &'s Samples) -> Plans<'s> {
        let mut all = Vec::new();
        // The largest comes first: it takes one thread as long as the rest takes the other.
        let groups = [
            vec![objects::fdr_large(samples, scale.fdr_large_bytes)],
            objects::cloudtrail(samples, scale.cloudtrail_objects, scale.object_bytes),
            objects::vpc(samples, scale.vpc_objects, scale.object_bytes),
            objects::s3_access(samples, scale.s3_access_objects, scale.object_bytes),
            objects::waf(samples, scale.waf_objects, scale.object_bytes),
            objects::fdr(samples, scale.fdr_messages, scale.fdr_files_per_message, scale.fdr_file_bytes),
        ];
        let ends = groups.map(|group| {
            all.extend(group);
            all.len()
        });
        for (seed, plan) in (1u64..).zip(&mut all) {
            plan.seed = seed;
        }
        Plans { all, ends }
    }

    fn queues(&self, made: &[Made]) -> Vec<QueuePlan> {
        let announced: Vec<Announced<'_>> = made.iter().map(Announced::of).collect();
        let group = |n: usize| &announced[if n == 0 { 0 } else { self.ends[n - 1] }..self.ends[n]];
        let queue = |service: &'static str, messages: Vec<String>| {
            let name = service.replace("aws_sqs", "demo").replace('_', "-");
            QueuePlan { name, service, messages }
        };
        vec![
            queue("aws_sqs_cloudtrail", messages::s3_events(LOG_BUCKET, group(1), 3)),
            queue("aws_sqs_vpc", messages::eventbridge_events(group(2))),
            queue("aws_sqs_s3_access", messages::s3_events(LOG_BUCKET, group(3), 1)),
            queue("aws_sqs_waf", messages::sns_events(LOG_BUCKET, group(4))),
            queue("aws_sqs_fdr", messages::fdr_messages(group(5))),
            queue("aws_sqs_fdr_large", messages::fdr_messages(group(0))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn small() -> Scenario {
        Scenario::build(&Scale::SMALL).unwrap()
    }

    #[test]
    fn every_record_is_unique_and_every_table_is_there() {
        let scenario = small();
        assert_eq!(scenario.expected.distinct(), scenario.expected.total().events);
        let tags: Vec<&str> = scenario.expected.per_tag.keys().map(String::as_str).collect();
        for tag in [
            "cloud.aws.cloudtrail.cognito_idp",
            "cloud.aws.cloudtrail.insights",
            "cloud.aws.cloudtrail.s3",
            "cloud.aws.vpc.flow",
            "cloud.aws.waf.logs",
            "edr.crowdstrike.cannon",
            "edr.crowdstrike.insight.aidmaster",
            "web.aws.s3.access",
        ] {
            assert!(tags.contains(&tag), "{tag} is not among {tags:?}");
        }
        assert_eq!(scenario.objects_per_tag.keys().collect::<Vec<_>>(), tags);
    }

    #[test]
    fn the_same_scale_gives_the_same_bytes() {
        let (one, two) = (small(), small());
        assert!(one.expected == two.expected);
        assert!(one.objects.iter().zip(&two.objects).all(|(a, b)| a.key == b.key && a.bytes == b.bytes));
        assert_eq!(one.queues.len(), two.queues.len());
    }

    #[test]
    fn every_message_is_json_and_every_queue_has_some() {
        for queue in small().queues {
            assert!(!queue.messages.is_empty(), "{}", queue.name);
            for message in &queue.messages {
                assert!(serde_json::from_str::<Value>(message).is_ok_and(|v| v.is_object()), "{message}");
            }
        }
    }

    /// Naive version of the whole collector for the line services: inflate, drop the header, split.
    #[test]
    fn expected_is_what_the_objects_hold() {
        let scenario = small();
        let mut found = Expected::default();
        for object in &scenario.objects {
            let tag = match object.key.as_str() {
                key if key.contains("aidmaster") => "edr.crowdstrike.insight.aidmaster",
                key if key.contains("vpcflowlogs") => "cloud.aws.vpc.flow",
                key if key.contains("WAFLogs") => "cloud.aws.waf.logs",
                key if key.starts_with("data/") => "edr.crowdstrike.cannon",
                key if key.contains("access logs") => "web.aws.s3.access",
                _ => continue,
            };
            let mut text = Vec::new();
            let mut gunzip = flate2::read::MultiGzDecoder::new(&*object.bytes);
            if io::Read::read_to_end(&mut gunzip, &mut text).is_err() {
                text = object.bytes.to_vec();
            }
            let lines = text.split(|b| *b == b'\n').filter(|l| !l.is_empty() && !l.starts_with(b"version "));
            lines.for_each(|line| found.record(tag, line));
        }
        let mut expected = scenario.expected;
        expected.per_tag.retain(|tag, _| !tag.contains("cloudtrail"));
        assert_eq!(found.per_tag, expected.per_tag);
    }

    #[test]
    fn cloudtrail_objects_are_documents_whose_records_are_expected() {
        let scenario = small();
        let mut records = 0;
        for object in scenario.objects.iter().filter(|o| o.key.contains("CloudTrail")) {
            let document: Value =
                serde_json::from_reader(flate2::read::GzDecoder::new(&*object.bytes)).unwrap();
            records += document["Records"].as_array().map_or(0, Vec::len) as u64;
        }
        let expected = scenario.expected.per_tag.iter().filter(|(tag, _)| tag.contains("cloudtrail"));
        assert_eq!(records, expected.map(|(_, counts)| counts.events).sum::<u64>());
    }

    #[test]
    fn put_into_fills_buckets_and_queues() {
        let scenario = small();
        let aws = Aws::start().unwrap();
        scenario.put_into(&aws);
        let visible: u64 = scenario.queues.iter().map(|q| aws.queue_state(&q.name).visible).sum();
        assert_eq!(visible, scenario.messages() as u64);
    }
}
