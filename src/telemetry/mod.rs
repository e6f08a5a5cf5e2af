//! What is counted, and what is wrong: one model, that all who tell of it read as a [`Snapshot`].
//!
//! ```text
//! Telemetry ─┬─ Input ──┬─ receive, fetch, settle, calls     counted by the stages, per batch or per object
//!            │          ├─ queue, health (queue, buckets)
//!            │          └─ Service ── decode, delivered, lag
//!            ├─ Output ─── send, health
//!            └─ work, ledger, internal, notices
//!                          │ snapshot()
//!                          ▼
//!            statistics lines · /metrics · /status.json and the page · live view · internal events
//! ```

mod counter;
pub mod events;
mod groups;
mod lag;
mod line;
pub mod metrics;
mod notices;
mod process;
mod queue;
mod report;
mod snapshot;
mod trouble;
mod wait;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use jiff::Timestamp;

use crate::ack::Outcome;
use crate::budget::Budget;
use crate::config::{self, Config, Destination};

pub use counter::{Counter, Gauge, Held};
pub use groups::*;
pub use lag::Lag;
pub use line::one_line;
pub use notices::{Notice, Notices};
pub(crate) use process::{cpu, cpu_seconds, thread_cpu};
pub use queue::{Depth, Queue};
pub use report::{Reporter, size};
pub use snapshot::{InputSnapshot, OutputSnapshot, Part, ServiceSnapshot, Snapshot};
pub use trouble::{Health, Trouble};
pub use wait::Stopwatch;

/// Everything of a run, shared by all its threads.
#[derive(Debug, Default)]
pub struct Telemetry {
    about: About,
    /// Inputs, then sources behind an API, each by its place in the configuration.
    pub inputs: Vec<Arc<Input>>,
    /// By the index of the output in the configuration.
    pub outputs: Vec<Arc<Output>>,
    pub work: Work,
    /// Shared by all inputs and outputs.
    pub waits: Arc<Waits>,
    pub ledger: Ledger,
    pub internal: Internal,
    pub notices: Arc<Notices>,
    /// Of the compressed bytes that are held.
    pub compressed: OnceLock<Budget>,
    phase: AtomicU8,
}

/// What does not change.
#[derive(Debug, Default)]
struct About {
    id: String,
    name: String,
    memory_limit: u64,
    workers: usize,
    fetchers: usize,
    started: Timestamp,
}

/// Where the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Starting = 0,
    Running = 1,
    Stopping = 2,
}

/// One entry of `inputs`, or a source behind an API.
#[derive(Debug)]
pub struct Input {
    /// Its key in the configuration.
    pub name: String,
    pub receive: Receive,
    pub poll: Poll,
    pub fetch: Fetch,
    pub settle: Settle,
    pub calls: Arc<Calls>,
    pub waits: Arc<Waits>,
    pub queue: Queue,
    /// Of the queue, or of the API.
    pub health: Health,
    /// Of the buckets.
    pub buckets: Health,
    /// Of deletions.
    pub settling: Health,
    /// At least one: those of the configuration, and those that they delegate to.
    pub services: Vec<Arc<Service>>,
    credentials_expire_at: Mutex<Option<Timestamp>>,
}

/// A service of an input.
#[derive(Debug)]
pub struct Service {
    pub name: String,
    pub decode: Decode,
    pub delivered: Delivered,
    pub lag: Lag,
}

/// One entry of `outputs`.
#[derive(Debug)]
pub struct Output {
    /// Its key in the configuration.
    pub name: String,
    /// `host:port`, or `console`.
    pub destination: String,
    pub senders: usize,
    pub send: Send,
    pub waits: Arc<Waits>,
    pub health: Health,
}

impl Telemetry {
    /// For a run of `config` that starts now.
    pub fn of(config: &Config, notices: Arc<Notices>) -> Telemetry {
        let globals = &config.globals;
        let about = About {
            id: globals.id.clone(),
            name: globals.name.clone(),
            memory_limit: globals.memory_limit,
            workers: globals.workers,
            fetchers: globals.fetchers,
            started: Timestamp::now(),
        };
        let waits = Arc::<Waits>::default();
        let inputs = config.inputs.iter().map(Input::of).chain(config.sources.iter().map(Input::of_source));
        let inputs = inputs.map(|input| Arc::new(Input { waits: Arc::clone(&waits), ..input }));
        let of_output = |output| Arc::new(Output { waits: Arc::clone(&waits), ..Output::of(output) });
        Telemetry {
            about,
            inputs: inputs.collect(),
            outputs: config.outputs.iter().map(of_output).collect(),
            waits: Arc::clone(&waits),
            notices,
            ..Telemetry::default()
        }
    }

    /// All that can fail.
    pub fn healths(&self) -> impl Iterator<Item = &Health> {
        let of_inputs = self.inputs.iter().flat_map(|input| input.healths());
        of_inputs.chain(self.outputs.iter().map(|output| &output.health))
    }

    /// Grows with all that any stage does. Leases that are extended are not counted: that goes on while
    /// everything else hangs.
    pub fn movement(&self) -> u64 {
        let (r, p, f, d) = (self.receive(), self.poll(), self.fetch(), self.decode());
        let (s, a) = (self.send(), self.settle());
        let received = r.messages + r.empty + r.failed_calls + p.calls + p.rests;
        let fetched = f.objects + f.bytes + f.failed + f.known;
        let decoded = d.objects + d.bytes + d.failed;
        let sent = s.events_written + s.events + s.failed_connections;
        received + fetched + decoded + sent + a.deleted + a.kept + a.released
    }

    /// Of all inputs.
    pub fn receive(&self) -> ReceiveTotals {
        self.inputs.iter().map(|input| input.receive.totals()).sum()
    }

    /// Of all sources.
    pub fn poll(&self) -> PollTotals {
        self.inputs.iter().map(|input| input.poll.totals()).sum()
    }

    /// Of all inputs.
    pub fn fetch(&self) -> FetchTotals {
        self.inputs.iter().map(|input| input.fetch.totals()).sum()
    }

    /// Of all inputs.
    pub fn settle(&self) -> SettleTotals {
        self.inputs.iter().map(|input| input.settle.totals()).sum()
    }

    /// Of all services.
    pub fn decode(&self) -> DecodeTotals {
        let services = self.inputs.iter().flat_map(|input| &input.services);
        services.map(|service| service.decode.totals()).sum()
    }

    /// Of all outputs: an event that goes to two of them counts twice.
    pub fn send(&self) -> SendTotals {
        self.outputs.iter().map(|output| output.send.totals()).sum()
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Running,
            _ => Phase::Stopping,
        }
    }
}

impl Phase {
    /// Why the collector is not ready in it.
    fn reason(self) -> Option<&'static str> {
        match self {
            Phase::Starting => Some("the collector is starting"),
            Phase::Running => None,
            Phase::Stopping => Some("the collector is being stopped"),
        }
    }
}

impl Input {
    /// Its parts that can fail.
    pub fn healths(&self) -> [&Health; 3] {
        [&self.health, &self.buckets, &self.settling]
    }

    fn of(input: &config::Input) -> Input {
        let with_delegates =
            input.services.iter().flat_map(|service| std::iter::once(service).chain(&service.delegates));
        let mut names: Vec<&str> = Vec::new();
        for service in with_delegates {
            if !names.contains(&service.name.as_str()) {
                names.push(&service.name);
            }
        }
        Input::new(&input.key, input.queue.text(), &names)
    }

    fn of_source(source: &config::Source) -> Input {
        let config::Source { name, path, region, service, .. } = source;
        let health = Health::required(format!("{path} in {region}"));
        Input { health, ..Input::new(name, "", &[&service.name]) }
    }

    /// `services`: at least one.
    pub fn new(name: &str, queue_url: &str, services: &[&str]) -> Input {
        Input {
            receive: Receive::default(),
            poll: Poll::default(),
            fetch: Fetch::default(),
            settle: Settle::default(),
            calls: Arc::default(),
            waits: Arc::default(),
            queue: Queue::new(queue_url),
            health: Health::required(format!("inputs.{name}")),
            buckets: Health::new(format!("inputs.{name}: objects")),
            settling: Health::new(format!("inputs.{name}: deletions")),
            services: services.iter().map(|name| Arc::new(Service::new(name))).collect(),
            credentials_expire_at: Mutex::default(),
            name: name.to_owned(),
        }
    }

    /// The service of this name; a name that the configuration does not have counts for the first.
    pub fn service(&self, name: &str) -> &Arc<Service> {
        self.services.iter().find(|service| service.name == name).unwrap_or(&self.services[0])
    }

    /// None: never, or none are in use.
    pub fn set_credentials_expire_at(&self, at: Option<Timestamp>) {
        *self.credentials_expire_at.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = at;
    }

    fn credentials_expire_at(&self) -> Option<f64> {
        let at = *self.credentials_expire_at.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        at.map(snapshot::seconds)
    }
}

impl Service {
    fn new(name: &str) -> Service {
        Service {
            name: name.to_owned(),
            decode: Decode::default(),
            delivered: Delivered::default(),
            lag: Lag::default(),
        }
    }

    /// An object is in work from now on. `time`: when it came to be, if that is known.
    pub fn begin(&self, time: Option<Timestamp>) {
        self.delivered.in_work.add(1);
        if let Some(time) = time {
            self.lag.begin(time);
        }
    }

    /// The same object's work has ended.
    pub fn end(&self, time: Option<Timestamp>, outcome: Outcome, now: Timestamp) {
        self.delivered.in_work.add(-1);
        let count = match outcome {
            Outcome::Delivered => &self.delivered.objects,
            Outcome::Retry => &self.delivered.retried,
            Outcome::Reject => &self.delivered.rejected,
        };
        count.increment();
        if let Some(time) = time {
            self.lag.end(time, (outcome == Outcome::Delivered).then_some(now));
        }
    }
}

impl Output {
    fn of(output: &config::Output) -> Output {
        let destination = match &output.destination {
            Destination::Tls { address, port, .. } | Destination::Tcp { address, port } => {
                format!("{address}:{port}")
            }
            Destination::Console => "console".to_owned(),
        };
        Output::new(&output.name, destination, output.connections())
    }

    pub fn new(name: &str, destination: String, senders: usize) -> Output {
        Output {
            name: name.to_owned(),
            destination,
            senders,
            send: Send::default(),
            waits: Arc::default(),
            health: Health::required(format!("outputs.{name}")),
        }
    }
}

#[cfg(test)]
pub mod testing {
    use super::*;

    pub fn telemetry() -> Telemetry {
        let input = Input::new(
            "sqs_collector",
            "https://sqs.eu-west-1.amazonaws.com/1/q",
            &["aws_sqs_fdr", "aws_sqs_vpc", "a \"b\\\n"],
        );
        Telemetry {
            inputs: vec![Arc::new(input)],
            outputs: vec![Arc::new(Output::new("devo_1", "localhost:443".into(), 2))],
            ..Telemetry::default()
        }
    }

    pub fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }
}
