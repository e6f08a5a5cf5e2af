//! The AWS resources that a configuration reads, for both kinds of input.

use std::collections::BTreeSet;
use std::time::Duration;

use super::arn::{account_of, queue_in};
use crate::aws::endpoint::partition;
use crate::settings;
use crate::settings::{Api, Config, Credentials, Input, SharedTable, Source};

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    pub queues: Vec<Queue>,
    pub calls: Vec<Call>,
    /// The table that several hosts share.
    pub table: Option<SharedTable>,
}

/// An API that is polled.
#[derive(Debug, Clone)]
pub struct Call {
    /// Key of its input.
    pub input: String,
    pub region: String,
    pub credentials: Credentials,
    pub rights: Vec<Rights>,
}

/// The needs of an API's calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    pub sid: &'static str,
    pub actions: &'static [&'static str],
    /// An ARN, with `*` for unknown parts; `*` alone if a call has no resource.
    pub resource: String,
}

/// One queue.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Key of its input.
    pub input: String,
    /// The key, with service and region if an input has several queues.
    pub label: String,
    /// SQS is asked for its URL.
    pub by_name: bool,
    pub account: String,
    pub name: String,
    pub region: String,
    pub credentials: Credentials,
    pub visibility_timeout: Duration,
    /// Messages are deleted after delivery.
    pub deletes: bool,
    /// True if its messages announce objects; false if they are the logs.
    pub announces: bool,
    /// Names of the services that read it.
    pub services: Vec<String>,
}

/// `--input` does not name one of the configuration's inputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no enabled input {name:?}; there are: {known}")]
pub struct UnknownInput {
    name: String,
    known: String,
}

/// `--region` names one in which the configuration reads nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nothing is read in the region {name:?}; these inputs read in {known}")]
pub struct UnknownRegion {
    name: String,
    known: String,
}

impl Needs {
    /// The needs of the named inputs; of all without names.
    ///
    /// # Errors
    /// If a name is not an input's.
    pub fn of(config: &Config, names: &[String]) -> Result<Needs, UnknownInput> {
        let all = Needs {
            queues: config.inputs.iter().map(Queue::of).collect(),
            calls: config.sources.iter().map(Call::of).collect(),
            table: config.globals.shared.clone(),
        };
        let known = all.inputs();
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(UnknownInput { name: name.clone(), known: known.join(", ") });
        }
        let is_named = |input: &String| names.is_empty() || names.contains(input);
        Ok(all.only(is_named, |_| true))
    }

    /// The part in one of these regions; all if there are none.
    ///
    /// # Errors
    /// If nothing is read in one of them.
    pub fn in_regions(self, regions: &[String]) -> Result<Needs, UnknownRegion> {
        let queues = self.queues.iter().map(|queue| queue.region.as_str());
        let known: BTreeSet<&str> =
            queues.chain(self.calls.iter().map(|call| call.region.as_str())).collect();
        if let Some(name) = regions.iter().find(|name| !known.contains(name.as_str())) {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(UnknownRegion { name: name.clone(), known });
        }
        Ok(self.only(|_| true, |region| regions.is_empty() || regions.contains(region)))
    }

    fn only(mut self, input: impl Fn(&String) -> bool, region: impl Fn(&String) -> bool) -> Needs {
        self.queues.retain(|queue| input(&queue.input) && region(&queue.region));
        self.calls.retain(|call| input(&call.input) && region(&call.region));
        self.table.take_if(|_| self.calls.is_empty() && self.queues.is_empty());
        self
    }

    /// The inputs' keys, each once.
    pub fn inputs(&self) -> Vec<&str> {
        let queues = self.queues.iter().map(|queue| queue.input.as_str());
        let mut inputs: Vec<&str> = queues.chain(self.calls.iter().map(|call| call.input.as_str())).collect();
        inputs.dedup();
        inputs
    }

    /// Regions of everything that is read.
    pub fn credentials(&self) -> impl Iterator<Item = &Credentials> {
        let queues = self.queues.iter().map(|queue| &queue.credentials);
        let table = self.table.iter().map(|table| &table.credentials);
        queues.chain(self.calls.iter().map(|call| &call.credentials)).chain(table)
    }

    /// Everything that is called besides queues and buckets: APIs, and the shared table.
    pub fn all_calls(&self) -> Vec<Call> {
        self.calls.iter().cloned().chain(self.table.as_ref().map(Call::of_table)).collect()
    }
}

impl Call {
    fn of(source: &Source) -> Call {
        Call {
            input: source.path.split('.').nth(1).unwrap_or_default().to_owned(),
            region: source.region.clone(),
            credentials: source.credentials.clone(),
            rights: rights(source),
        }
    }
}

impl Call {
    fn of_table(table: &SharedTable) -> Call {
        let SharedTable { name, region, credentials, .. } = table;
        let account = last_role(credentials).and_then(|role| account_of(role)).unwrap_or("*");
        let resource = format!("arn:{}:dynamodb:{region}:{account}:table/{name}", partition(region));
        let rights = vec![Rights { sid: "ShareTable", actions: TABLE_ACTIONS, resource }];
        Call { input: String::new(), region: region.clone(), credentials: credentials.clone(), rights }
    }
}

/// TransactWriteItems is allowed by the actions of its parts. Only an audit, `ledger` and `check --online` scan, and only
/// `check --online` asks whether old items are removed.
const TABLE_ACTIONS: &[&str] = &[
    "dynamodb:GetItem",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:DescribeTimeToLive",
];

/// From AWS's list of actions and their resources.
fn rights(source: &Source) -> Vec<Rights> {
    let on = |sid, actions, resource| Rights { sid, actions, resource };
    let anywhere = || "*".to_owned();
    let account = last_role(&source.credentials).and_then(|role| account_of(role)).unwrap_or("*");
    let place = |service| format!("arn:{}:{service}:{}:{account}", partition(&source.region), source.region);
    match &source.api {
        Api::CloudTrail(_) => vec![on("LookUpEvents", &["cloudtrail:LookupEvents"], anywhere())],
        Api::Metrics(metrics) => {
            let actions: &[_] =
                &["cloudwatch:ListMetrics", "cloudwatch:GetMetricData", "cloudwatch:GetMetricStatistics"];
            let count = if metrics.units { actions.len() } else { actions.len() - 1 };
            vec![on("ReadMetrics", &actions[..count], anywhere())]
        }
        Api::Logs(logs) => {
            let group = logs.group.as_deref().unwrap_or("*");
            let groups = format!("{}:log-group:{group}:*", place("logs"));
            let read = match logs.first_by_streams {
                true => on("ReadLogGroups", &["logs:FilterLogEvents", "logs:DescribeLogStreams"], groups),
                false => on("ReadLogGroups", &["logs:FilterLogEvents"], groups),
            };
            let list = on("ListLogGroups", &["logs:DescribeLogGroups"], anywhere());
            if logs.group.is_none() { vec![list, read] } else { vec![read] }
        }
        Api::GuardDuty(_) => {
            let actions = &["guardduty:ListDetectors", "guardduty:ListFindings", "guardduty:GetFindings"];
            vec![on("ReadFindings", actions, format!("{}:detector/*", place("guardduty")))]
        }
    }
}

/// The role that reads in the end, if there is one.
pub fn last_role(credentials: &Credentials) -> Option<&String> {
    credentials.cross_account_role.as_ref().or(credentials.base_role.as_ref())
}

impl Queue {
    fn of(input: &Input) -> Queue {
        let (mut account, name) = queue_in(input.queue.text());
        let by_name = matches!(input.queue, settings::Queue::Name(_));
        if let Some(own) = last_role(&input.credentials).and_then(|role| account_of(role)).filter(|_| by_name)
        {
            account = own.to_owned();
        }
        Queue {
            input: input.key.split('.').next().unwrap_or_default().to_owned(),
            label: input.key.clone(),
            by_name,
            account,
            name,
            region: input.region.clone(),
            credentials: input.credentials.clone(),
            visibility_timeout: input.visibility_timeout,
            deletes: input.ack_messages,
            announces: !input.direct_mode,
            services: input.services.iter().map(|service| service.name.clone()).collect(),
        }
    }

    pub fn arn(&self) -> String {
        format!("arn:{}:sqs:{}:{}:{}", self.partition(), self.region, self.account, self.name)
    }

    pub fn partition(&self) -> &'static str {
        partition(&self.region)
    }

    pub fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }

    /// The role that reads it, if any.
    pub fn role(&self) -> Option<&String> {
        last_role(&self.credentials)
    }

    /// True for CrowdStrike's own queue: its rights come with its key.
    pub fn is_crowdstrikes(&self) -> bool {
        !self.services.is_empty() && self.services.iter().all(|service| service.starts_with("aws_sqs_fdr"))
    }
}
