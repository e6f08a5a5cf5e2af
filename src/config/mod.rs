//! The configuration file as written (the vendor's keys) -> [`Config`], valid by construction.

pub mod aws;
mod credentials;
mod describe;
pub mod endings;
mod endpoints;
mod environment;
mod globals;
pub mod ignored;
mod inputs;
mod internal_events;
pub mod keys;
mod load;
mod memory;
mod node;
mod outputs;
pub(crate) mod permissions;
pub mod problem;
pub mod registry;
mod secrets;
mod service;
mod snapshot;
mod status;
mod substitute;
mod tls;
mod tree;
mod url;
pub mod vendor;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::aws::endpoint::{Service, Variant};
use crate::aws::error::shown_key_id;
use crate::base::limits::LOOKUP_EVENTS_INTERVAL;
use crate::send::{Confirmation, Rates};
use crate::services::Definition;

pub use describe::describe_format;
pub use environment::Environment;
pub use load::{Loaded, load, load_inputs, parse};
pub use problem::{Problem, Problems, Severity};
pub use snapshot::{Changes, Snapshot};
pub use tls::expiry;

/// A whole configuration. Whoever holds one need not check it again.
#[derive(Debug, Clone)]
pub struct Config {
    pub globals: Globals,
    /// Enabled inputs only.
    pub inputs: Vec<Input>,
    /// Services of `aws` inputs that poll an API, one for each region.
    pub sources: Vec<Source>,
    /// What a polled API has as objects, too, as if a queue announced them: for backfills.
    pub listings: Vec<Input>,
    /// At least one. Every event goes to every output.
    pub outputs: Vec<Output>,
}

impl Config {
    /// Threads that GET objects: without a queue or a listing there is nothing to fetch.
    pub fn fetchers(&self) -> usize {
        if self.inputs.is_empty() { 0 } else { self.globals.fetchers }
    }
}

/// `globals`.
#[derive(Debug, Clone)]
pub struct Globals {
    pub id: String,
    pub name: String,
    pub debug: bool,
    /// The syslog HOST field: `collector-<id>-<machine's name>` unless written.
    pub host: String,
    /// Upper bound on memory, in bytes.
    pub memory_limit: u64,
    /// Threads that inflate and split.
    pub workers: usize,
    /// Threads that GET objects, shared by all inputs.
    pub fetchers: usize,
    /// How long work in hand may take to finish after SIGTERM.
    pub shutdown_timeout: Duration,
    /// `persistence.config.directory_name`.
    pub state_directory: PathBuf,
    /// `persistence.required`: without its ledger the collector does not start.
    pub state_required: bool,
    /// None: no status page, no metrics.
    pub status: Option<Status>,
    pub internal_events: Option<InternalEvents>,
}

/// `globals.internal_events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalEvents {
    /// The table.
    pub tag: String,
    /// The name of the only output that gets them; None: all do.
    pub output: Option<String>,
    pub period: Duration,
}

/// `globals.status`: where the status page and the metrics are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub address: SocketAddr,
    /// Names of this machine by which browsers and scrapers may call it; IP addresses and `localhost` always do.
    pub hosts: Vec<String>,
}

/// One queue: an `sqs_collector…` entry of `inputs`, or a service of an `aws…` entry in one region.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its path in the file below `inputs`: `sqs_collector`, `aws.services.service-events-all in us-east-2`.
    pub key: String,
    pub id: String,
    pub queue: Queue,
    pub region: String,
    pub credentials: Credentials,
    pub endpoints: Endpoints,
    /// False: messages are never deleted.
    pub ack_messages: bool,
    /// The message's body is the log itself.
    pub direct_mode: bool,
    /// JSON events name the receive that brought them (`@devo_pulling_id`).
    pub pulling_id: bool,
    /// True: everything is done but sending.
    pub do_not_send: bool,
    /// `sqs_visibility_timeout`.
    pub visibility_timeout: Duration,
    /// `sqs_wait_timeout`, at most 20 s.
    pub wait_time: Duration,
    /// `sqs_max_messages`, 1 to 10.
    pub messages_per_receive: u32,
    /// Threads that long-poll this queue.
    pub receivers: usize,
    pub missing_object: MissingObject,
    /// `request_payer`: S3's requests are paid for by the caller.
    pub request_payer: bool,
    /// `start_time`: objects that were written before are acknowledged and left out.
    pub start_time: Option<Timestamp>,
    /// At least one, in the order of the file.
    pub services: Vec<Arc<Definition>>,
}

/// Which queue it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queue {
    /// `base_url`, sent to SQS as it is written.
    Url(String),
    /// A queue of the account and region; SQS is asked for its URL.
    Name(String),
}

/// A service of an `aws…` input that polls an API, in one region.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it stands in the file: `inputs.aws.services.audit-events-all`.
    pub path: String,
    /// Its name in the ledger and in log lines: `<input's id>/<service>[/<type>]/<region>`.
    pub name: String,
    /// What it reads, for people.
    pub reads: &'static str,
    /// `id` of the input.
    pub input: String,
    pub region: String,
    pub credentials: Credentials,
    pub endpoints: Endpoints,
    /// `request_period_in_seconds`: from the beginning of one pull to the next.
    pub period: Duration,
    /// `pull_retries`: further tries of a call in one pull.
    pub retries: u32,
    /// `requests_per_second`, for all sources of the input together.
    pub requests_per_second: Option<f64>,
    /// How its events are routed.
    pub service: Arc<Definition>,
    pub api: Api,
}

/// Which API is polled.
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
    /// Nothing older is read. None: from the first start on.
    pub start_time: Option<Timestamp>,
    /// `gap_until_now_in_minutes`: events may be that late.
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
    /// Nothing older is read. None: from the first start on.
    pub start_time: Option<Timestamp>,
    /// `metric_units`: each datapoint says its `Unit`.
    pub units: bool,
}

/// `types: [logs]`.
#[derive(Debug, Clone)]
pub struct Logs {
    /// `log_group`. None: all groups (`/`).
    pub group: Option<String>,
    /// Nothing older is read. None: from the first start on.
    pub start_time: Option<Timestamp>,
    /// `use_first_optimized_retrieval`: a group is read for the first time by its streams that hold something.
    pub first_by_streams: bool,
}

/// `aws-guardduty`.
#[derive(Debug, Clone)]
pub struct GuardDuty {
    /// Nothing older is read. None: everything that GuardDuty has.
    pub start_time: Option<Timestamp>,
}

/// What becomes of a message whose object is not there (`missing_object`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingObject {
    /// It comes again, until the queue's redrive policy takes it.
    Retry,
    /// It counts as done.
    Skip,
}

/// Who calls AWS (`docs/devo-wire.md#credentials`).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// From the file, or from files that it names.
    pub key: Option<AccessKey>,
    /// Without a key: this profile of the shared AWS files. None: the standard AWS chain.
    pub profile: Option<String>,
    /// `aws_base_account_role`.
    pub base_role: Option<String>,
    /// `aws_cross_account_role`, assumed with the base role's credentials.
    pub cross_account_role: Option<String>,
    /// `aws_external_id`, sent when the last role of the chain is assumed.
    pub external_id: Option<String>,
}

impl Api {
    /// As log lines call it.
    pub fn name(&self) -> &'static str {
        match self {
            Api::CloudTrail(_) => "CloudTrail",
            Api::Metrics(_) => "CloudWatch",
            Api::Logs(_) => "CloudWatch Logs",
            Api::GuardDuty(_) => "GuardDuty",
        }
    }

    /// Whose endpoint is called.
    pub fn service(&self) -> Service {
        match self {
            Api::CloudTrail(_) => Service::CloudTrail,
            Api::Metrics(_) => Service::CloudWatch,
            Api::Logs(_) => Service::Logs,
            Api::GuardDuty(_) => Service::GuardDuty,
        }
    }

    /// Between two calls of one account in one region, as AWS demands.
    pub fn interval(&self) -> Option<Duration> {
        match self {
            Api::CloudTrail(_) => Some(LOOKUP_EVENTS_INTERVAL),
            Api::Metrics(_) | Api::Logs(_) | Api::GuardDuty(_) => None,
        }
    }
}

impl Credentials {
    /// The account that calls are made in, where a role's ARN says it.
    pub fn role_account(&self) -> Option<&str> {
        self.cross_account_role.as_ref().or(self.base_role.as_ref())?.split(':').nth(4)
    }
}

impl Queue {
    /// SQS demands that the names of FIFO queues, and no others, end like this. It reads the name from the end of
    /// the URL's path, whatever host or endpoint the URL has.
    pub fn is_fifo(&self) -> bool {
        let path = self.text().split(['?', '#']).next().unwrap_or_default();
        path.trim_end_matches('/').ends_with(".fifo")
    }

    /// Account and name, which are the same however the queue's address is written.
    pub fn identity(&self) -> &str {
        let text = self.text();
        let path =
            text.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or(text, |(_, path)| path);
        path.trim_matches('/')
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        let (Queue::Url(text) | Queue::Name(text)) = self;
        text
    }
}

/// A long-lived key. Its `Debug` shows the id only.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
    pub session_token: Option<String>,
}

/// Where AWS is, if it is not AWS: `scheme://host[:port]`, without a final slash.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    pub sqs: Option<String>,
    pub s3: Option<String>,
    pub sts: Option<String>,
    pub cloudtrail: Option<String>,
    pub cloudwatch: Option<String>,
    pub logs: Option<String>,
    pub guardduty: Option<String>,
    /// Which of AWS's own addresses are called for the others.
    pub variant: Variant,
}

impl Endpoints {
    /// One for each service, as `url` says.
    pub fn each(mut url: impl FnMut(Service) -> Option<String>) -> Endpoints {
        Endpoints {
            sqs: url(Service::Sqs),
            s3: url(Service::S3),
            sts: url(Service::Sts),
            cloudtrail: url(Service::CloudTrail),
            cloudwatch: url(Service::CloudWatch),
            logs: url(Service::Logs),
            guardduty: url(Service::GuardDuty),
            variant: Variant::default(),
        }
    }

    pub fn of(&self, service: Service) -> Option<&String> {
        let url = match service {
            Service::Sqs => &self.sqs,
            Service::S3 => &self.s3,
            Service::Sts => &self.sts,
            Service::CloudTrail => &self.cloudtrail,
            Service::CloudWatch => &self.cloudwatch,
            Service::Logs => &self.logs,
            Service::GuardDuty => &self.guardduty,
        };
        url.as_ref()
    }
}

/// One entry of `outputs`.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its key in the file: `devo_1`.
    pub name: String,
    pub destination: Destination,
    /// Sender threads, each with a connection of its own.
    pub senders: usize,
    /// `compression: gzip`, `compression_level`: libdeflate's, 1 to 12. None: frames go as they are.
    pub gzip_level: Option<u8>,
    /// `confirmation`; not for the console.
    pub confirmation: Confirmation,
    /// `max_events_per_second`, `max_bytes_per_second`; not for the console.
    pub rates: Rates,
}

impl Output {
    /// Connections that it may have at a time, each of which counts as a thread.
    pub fn connections(&self) -> usize {
        self.connections_of(self.senders)
    }

    /// The same with so many senders. What cannot go compressed has a sender of its own, and with `confirmation: close`
    /// each sender may have earlier connections that are ending.
    pub fn connections_of(&self, senders: usize) -> usize {
        let senders = senders + usize::from(self.gzip_level.is_some());
        match self.confirmation {
            Confirmation::Acknowledgement => senders,
            Confirmation::Close => senders * (1 + crate::base::limits::SEND_ENDINGS_MAX),
        }
    }
}

/// Where an output writes.
#[derive(Debug, Clone)]
pub enum Destination {
    Tls { address: String, port: u16, files: TlsFiles },
    Tcp { address: String, port: u16 },
    Console,
}

/// `host:port`, or `console`.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Tls { address, port, .. } | Destination::Tcp { address, port } => {
                write!(f, "{address}:{port}")
            }
            Destination::Console => f.write_str("console"),
        }
    }
}

/// PEM files of a mutual-TLS connection; they exist and parse, and key and certificate match.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The only certificate authority that is trusted; None: the machine's own (a relay without a chain).
    pub chain: Option<PathBuf>,
    /// Client certificate and its key; None for a relay that asks for none.
    pub identity: Option<Identity>,
}

#[derive(Debug, Clone)]
pub struct Identity {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Input {
    /// The service that an object with this key is of. None: none of them claims it.
    pub fn service_of(&self, key: &str) -> Option<&Arc<Definition>> {
        match self.services.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|service| service.claims(key)),
        }
    }
}

/// The variant shows only where there is one: backfills are remembered by these words.
impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Endpoints");
        fields
            .field("sqs", &self.sqs)
            .field("s3", &self.s3)
            .field("sts", &self.sts)
            .field("cloudtrail", &self.cloudtrail)
            .field("cloudwatch", &self.cloudwatch)
            .field("logs", &self.logs)
            .field("guardduty", &self.guardduty);
        if self.variant != Variant::default() {
            fields.field("variant", &self.variant);
        }
        fields.finish()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("key", &self.key)
            .field("profile", &self.profile)
            .field("base_role", &self.base_role)
            .field("cross_account_role", &self.cross_account_role)
            .field("external_id", &self.external_id.as_ref().map(|_| "…"))
            .finish()
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &shown_key_id(&self.id)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
