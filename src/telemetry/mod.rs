//! What is counted, and what is wrong: one model, that all who tell of it read as a [`Snapshot`].
//!
//! ```text
//! Telemetry ─┬─ Input ──┬─ receive, fetch, settle, calls     counted by the stages, per batch or per object
//!            │          ├─ queue, health (queue, buckets)
//!            │          └─ Service ── decode, delivered, lag
//!            ├─ Output ──┬─ send, health
//!            │           └─ Sender ─── activity, unconfirmed
//!            └─ work, ledger, internal, notices
//!                          │ snapshot()
//!                          ▼
//!            statistics lines · /metrics · /status.json and the page · live view · internal events
//! ```

mod answers;
mod counter;
pub mod endings;
pub mod events;
mod groups;
mod lag;
pub mod metrics;
mod notices;
mod process;
mod queue;
mod repeats;
mod report;
mod sender;
mod snapshot;
mod trouble;
mod wait;

use std::fmt::Display;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::ack::{Ending, Fate, Outcome};
use crate::base::budget::Budget;
use crate::base::limits::SEND_OWED_MAX;
use crate::base::text::span;
use crate::settings;
use crate::settings::Config;
use snapshot::TroubleSnapshot;

pub use answers::Waiting;
pub use counter::{Counter, Gauge, Held};
pub use endings::{EndingTotals, Endings};
pub use groups::*;
pub use lag::Lag;
pub use notices::{Notice, Notices};
pub(crate) use process::{cpu, cpu_seconds, resident_bytes, thread_cpu};
pub use queue::{Depth, Queue};
pub use repeats::{Line, Repeats, Said, Turn};
pub use report::{Reporter, size};
pub use sender::{Activity, Sender};
pub use snapshot::{InputSnapshot, OutputSnapshot, Part, SenderSnapshot, ServiceSnapshot, Snapshot};
pub use trouble::{Failure, Health, Trouble};
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
    pub collector: Collector,
    pub notices: Arc<Notices>,
    /// Of the compressed bytes that are held.
    pub compressed: OnceLock<Budget>,
    phase: AtomicU8,
    /// The health of parts that belong to no input and no output.
    adopted: Mutex<Vec<Arc<Health>>>,
}

/// What does not change.
#[derive(Debug, Default)]
struct About {
    id: String,
    name: String,
    memory_limit: u64,
    workers: usize,
    fetchers: usize,
    /// The process.
    started: Timestamp,
}

/// The health of the program itself.
#[derive(Debug)]
pub struct Collector(Health);

impl Default for Collector {
    fn default() -> Collector {
        Collector(Health::new("the collector itself"))
    }
}

impl Collector {
    /// Takes in how it is now. An error says that only a restart helps.
    pub fn lives(&self, life: &Result<(), impl Display>) {
        match life {
            Err(dead) => self.0.failed(dead.to_string(), true),
            Ok(()) if self.is_dead() => self.0.works(),
            Ok(()) => (),
        }
    }

    /// Only a restart helps.
    pub fn is_dead(&self) -> bool {
        self.0.trouble().is_some()
    }
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
    /// How those ended of which no service is known: messages that nobody can read, objects of no service.
    pub endings: Endings,
    pub calls: Arc<Calls>,
    pub waits: Arc<Waits>,
    pub queue: Queue,
    /// The health of the queue, or of the API.
    pub health: Health,
    /// The health of the buckets.
    pub buckets: Health,
    /// The health of deletions.
    pub settling: Health,
    /// The health of the extension of leases.
    pub leases: Health,
    /// The health of looks at the queue: its depth, its dead letters.
    pub looks: Health,
    /// The health of the dead-letter queue, which is a warning while dead letters become more.
    pub dead_letters: Health,
    /// The health of all calls to AWS, which must be answered in time.
    pub answers: Arc<Health>,
    /// The health of its credentials, which are refreshed elsewhere.
    adopted: Mutex<Vec<Arc<Health>>>,
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
    pub endings: Endings,
    pub lag: Lag,
}

/// One entry of `outputs`.
#[derive(Debug)]
pub struct Output {
    /// Its key in the configuration.
    pub name: String,
    /// `host:port`, or `console`.
    pub destination: String,
    senders: Mutex<Vec<Arc<Sender>>>,
    certificate_expires_at: Mutex<Option<Timestamp>>,
    pub send: Send,
    pub waits: Arc<Waits>,
    pub health: Health,
}

impl Telemetry {
    /// For a run of `config` in a process that starts now.
    pub fn of(config: &Config, notices: Arc<Notices>) -> Telemetry {
        let about = About { started: Timestamp::now(), ..About::default() };
        Telemetry { about, notices, ..Telemetry::default() }.successor(config)
    }

    /// For a run of `config` after this one, in the same process: the counters of what has kept its name go on.
    /// What works, and what is in hand, the new run finds out for itself.
    pub fn successor(&self, config: &Config) -> Telemetry {
        let globals = &config.globals;
        let about = About {
            id: globals.id.clone(),
            name: globals.name.clone(),
            memory_limit: globals.memory_limit,
            workers: globals.workers,
            fetchers: config.fetchers(),
            started: self.about.started,
        };
        let waits = Arc::new(self.waits.successor());
        let input = |input: Input| {
            let before = self.inputs.iter().find(|before| before.name == input.name);
            Arc::new(Input { waits: Arc::clone(&waits), ..input.after(before) })
        };
        let output = |output: Output| {
            let before = self.outputs.iter().find(|before| before.name == output.name);
            Arc::new(Output { waits: Arc::clone(&waits), ..output.after(before) })
        };
        let inputs = config.inputs.iter().map(Input::of).chain(config.sources.iter().map(Input::of_source));
        Telemetry {
            about,
            inputs: inputs.map(input).collect(),
            outputs: config.outputs.iter().map(Output::of).map(output).collect(),
            work: self.work.successor(),
            waits: Arc::clone(&waits),
            ledger: self.ledger.successor(),
            internal: self.internal.successor(),
            notices: Arc::clone(&self.notices),
            ..Telemetry::default()
        }
    }

    /// Adds a part that is told of with the rest from now on.
    pub fn adopt(&self, health: &Arc<Health>) {
        adopt(&self.adopted, health);
    }

    /// All that can fail, and how it does.
    pub fn parts(&self, now: Instant) -> Vec<Part> {
        let inputs = self.inputs.iter().flat_map(|input| input.parts(now));
        let outputs = self.outputs.iter().map(|output| output.part(now));
        let others = lock(&self.adopted);
        let own = [self.collector.0.part(now)];
        inputs.chain(outputs).chain(others.iter().map(|health| health.part(now))).chain(own).collect()
    }

    /// Tells the log of answers that are overdue; called from time to time.
    pub fn look(&self, now: Instant) {
        for input in &self.inputs {
            input.answers.look(now);
            input.buckets.look(now);
        }
        lock(&self.adopted).iter().for_each(|health| health.look(now));
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
            Phase::Stopping => Some("the collector is being stopped or reloaded"),
        }
    }
}

impl Input {
    /// Its parts that can keep logs from being collected.
    pub fn healths(&self) -> [&Health; 4] {
        [&self.health, &self.buckets, &self.settling, &self.leases]
    }

    /// Adds a part that is told of with the rest from now on.
    pub fn adopt(&self, health: &Arc<Health>) {
        adopt(&self.adopted, health);
    }

    fn parts(&self, now: Instant) -> Vec<Part> {
        let others = lock(&self.adopted);
        let own = self.healths().into_iter().chain([&*self.answers, &self.looks, &self.dead_letters]);
        own.chain(others.iter().map(|health| &**health)).map(|health| health.part(now)).collect()
    }

    fn of(input: &settings::Input) -> Input {
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

    fn of_source(source: &settings::Source) -> Input {
        let settings::Source { name, path, region, service, .. } = source;
        let health = Health::required(format!("{path} in {region}"));
        Input { health, ..Input::new(name, "", &[&service.name]) }
    }

    /// The same, with counters that go on from those of an earlier run, if it was there then.
    fn after(self, before: Option<&Arc<Input>>) -> Input {
        let Some(before) = before else { return self };
        let service = |service: Arc<Service>| {
            let before = before.services.iter().find(|before| before.name == service.name);
            before.map_or(service, |before| Arc::new(before.successor()))
        };
        Input {
            receive: before.receive.successor(),
            poll: before.poll.successor(),
            fetch: before.fetch.successor(),
            settle: before.settle.successor(),
            endings: before.endings.successor(),
            calls: Arc::new(before.calls.successor()),
            services: self.services.into_iter().map(service).collect(),
            ..self
        }
    }

    /// `services`: at least one.
    pub fn new(name: &str, queue_url: &str, services: &[&str]) -> Input {
        Input {
            receive: Receive::default(),
            poll: Poll::default(),
            fetch: Fetch::default(),
            settle: Settle::default(),
            endings: Endings::default(),
            calls: Arc::default(),
            waits: Arc::default(),
            queue: Queue::new(queue_url),
            health: Health::required(format!("inputs.{name}")),
            buckets: Health::new(format!("inputs.{name}: objects")),
            settling: Health::new(format!("inputs.{name}: deletions")),
            leases: Health::new(format!("inputs.{name}: leases")),
            looks: Health::dispensable(format!("inputs.{name}: queue figures")),
            dead_letters: Health::dispensable(format!("inputs.{name}: dead letters")),
            answers: Arc::new(Health::new(format!("inputs.{name}: answers of AWS"))),
            adopted: Mutex::default(),
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
            endings: Endings::default(),
            lag: Lag::default(),
        }
    }

    fn successor(&self) -> Service {
        Service {
            decode: self.decode.successor(),
            delivered: self.delivered.successor(),
            endings: self.endings.successor(),
            lag: self.lag.successor(),
            ..Service::new(&self.name)
        }
    }

    /// An object is in work from now on. `time`: when it came to be, if that is known.
    pub fn begin(&self, time: Option<Timestamp>) {
        self.delivered.in_work.add(1);
        if let Some(time) = time {
            self.lag.begin(time);
        }
    }

    /// So many objects that were in work, and written at that time, go back before they were begun.
    pub fn never_begun(&self, time: Option<Timestamp>, count: usize) {
        self.delivered.in_work.add(-(count as i64));
        self.delivered.retried.add(count as u64);
        if let Some(time) = time {
            (0..count).for_each(|_| self.lag.end(time, None));
        }
    }

    /// The same object's work has ended. Returns its ending; None: it comes again.
    pub fn end(
        &self,
        time: Option<Timestamp>,
        fate: &Fate,
        outcome: Outcome,
        now: Timestamp,
    ) -> Option<Ending> {
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
        let ending = fate.ending(outcome);
        ending.into_iter().for_each(|ending| self.endings.add(ending));
        ending
    }
}

impl Output {
    fn of(output: &settings::Output) -> Output {
        Output::new(&output.name, output.destination.to_string())
    }

    pub fn new(name: &str, destination: String) -> Output {
        Output {
            name: name.to_owned(),
            destination,
            senders: Mutex::default(),
            certificate_expires_at: Mutex::default(),
            send: Send::default(),
            waits: Arc::default(),
            health: Health::required(format!("outputs.{name}")),
        }
    }

    /// The same, with counters that go on from those of an earlier run, if it was there then.
    fn after(self, before: Option<&Arc<Output>>) -> Output {
        let Some(before) = before else { return self };
        Output { send: before.send.successor(), ..self }
    }

    /// A sender of it is being started; `name`: its thread's.
    pub fn add_sender(&self, name: &str) -> Arc<Sender> {
        let sender = Arc::new(Sender::new(name));
        self.senders().push(Arc::clone(&sender));
        sender
    }

    /// None: it has no client certificate.
    pub fn set_certificate_expires_at(&self, at: Option<Timestamp>) {
        *self.certificate_expires_at.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = at;
    }

    fn certificate_expires_at(&self) -> Option<f64> {
        let at = *self.certificate_expires_at.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        at.map(snapshot::seconds)
    }

    fn part(&self, now: Instant) -> Part {
        let part = self.health.part(now);
        match self.owed_for(now).filter(|owed| part.trouble.is_none() && *owed >= SEND_OWED_MAX) {
            None => part,
            Some(owed) => {
                let message = format!(
                    "{} has not acknowledged a byte for {}. Is it stopped, or does something between swallow bytes?",
                    self.destination,
                    span(owed)
                );
                let seconds = owed.as_secs_f64();
                let trouble =
                    TroubleSnapshot { seconds, message, lasting: false, attempts: 0, warning: false };
                Part { trouble: Some(trouble), ..part }
            }
        }
    }

    /// The time for which one of its peers has owed an acknowledgement; None: none is owed.
    fn owed_for(&self, now: Instant) -> Option<Duration> {
        let senders = self.senders();
        let oldest = senders.iter().filter_map(|sender| sender.owed_since()).min();
        oldest.map(|since| now.saturating_duration_since(since))
    }

    /// Bytes written, on all connections, that the peer has not confirmed.
    pub fn unconfirmed(&self) -> i64 {
        self.senders().iter().map(|sender| sender.unconfirmed.value()).sum()
    }

    fn senders(&self) -> MutexGuard<'_, Vec<Arc<Sender>>> {
        self.senders.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn adopt(adopted: &Mutex<Vec<Arc<Health>>>, health: &Arc<Health>) {
    let mut adopted = lock(adopted);
    adopted.retain(|other| !Arc::ptr_eq(other, health));
    adopted.push(Arc::clone(health));
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
            outputs: vec![Arc::new(Output::new("devo_1", "localhost:443".into()))],
            ..Telemetry::default()
        }
    }

    pub fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(services: &str) -> Config {
        let text = format!(
            "{{\"outputs\": {{\"c\": {{\"type\": \"console\"}}}}, \"inputs\": {{\"sqs_collector\": {{\"id\": \"1\", \
             \"base_url\": \"https://sqs.eu-west-1.amazonaws.com/1/q\", \"services\": {{{services}}}}}}}}}"
        );
        crate::config::parse(&text, std::path::Path::new(""), &crate::config::Environment::here())
            .unwrap()
            .config
    }

    #[test]
    fn an_acknowledgement_that_is_owed_for_long_is_a_trouble() {
        let (output, now) = (Output::new("devo_1", "localhost:443".into()), Instant::now());
        output.health.works();
        let sender = output.add_sender("send-devo_1-0");
        let open = sender.during(Activity::Connected);
        sender.set_owed_since(Some(now));
        assert!(output.part(now + SEND_OWED_MAX / 2).trouble.is_none());
        let trouble = output.part(now + SEND_OWED_MAX).trouble.unwrap();
        assert!(
            trouble.message.contains("localhost:443 has not acknowledged a byte for 30 s"),
            "{trouble:?}"
        );
        assert!(!trouble.warning);
        drop(open);
        assert!(output.part(now + SEND_OWED_MAX).trouble.is_none(), "a connection that is gone owes nothing");
    }

    #[test]
    fn counters_of_what_is_still_there_go_on_and_levels_begin_anew() {
        let first = Telemetry::of(&config("\"aws_sqs_vpc\": {}, \"aws_sqs_elb\": {}"), Arc::default());
        let (input, output) = (&first.inputs[0], &first.outputs[0]);
        input.receive.messages.add(3);
        input.settle.in_work.add(2);
        input.service("aws_sqs_vpc").delivered.events.add(40);
        input.service("aws_sqs_elb").delivered.events.add(50);
        output.send.events.add(90);
        output.health.works();
        first.waits.fetch_s3.add(Duration::from_secs(1));
        let second = first.successor(&config("\"aws_sqs_waf\": {}, \"aws_sqs_vpc\": {}"));
        let delivered: Vec<_> =
            second.inputs[0].services.iter().map(|service| service.delivered.events.value()).collect();
        assert_eq!(delivered, [0, 40]);
        assert_eq!((second.receive().messages, second.settle().in_work, second.send().events), (3, 0, 90));
        assert_eq!(second.waits.totals(), first.waits.totals());
        assert_eq!(second.outputs[0].health.successes(), 0, "it must show that it works");
        let start = |telemetry: &Telemetry| telemetry.snapshot(testing::now()).start_time;
        assert_eq!(start(&first), start(&second), "the process is the same");
    }
}
