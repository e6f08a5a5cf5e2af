//! All figures of a run, by their subject.

use std::fmt::Display;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use jiff::Timestamp;

use super::audit::Audit;
use super::input::Input;
use super::notices::Notices;
use super::output::Output;
use super::snapshot::{Memory, Part, Snapshot, seconds};
use super::trouble::{Health, adopt};
use crate::base::budget::Budget;
use crate::base::locks::lock;
use crate::settings::Config;
use crate::telemetry::model::groups::{
    DecodeTotals, FetchTotals, Internal, Ledger, PollTotals, ReceiveTotals, SendTotals, SettleTotals, Waits,
    Work,
};
use crate::telemetry::model::process;

/// All telemetry of a run, shared by its threads.
#[derive(Debug, Default)]
pub struct Telemetry {
    about: About,
    /// Inputs, then sources behind an API, in the order of the configuration.
    pub inputs: Vec<Arc<Input>>,
    /// Outputs, by their index in the configuration.
    pub outputs: Vec<Arc<Output>>,
    pub work: Work,
    /// Shared by all inputs and outputs.
    pub waits: Arc<Waits>,
    pub ledger: Ledger,
    pub internal: Internal,
    pub audit: Audit,
    pub collector: Collector,
    pub notices: Arc<Notices>,
    /// The budget for compressed bytes.
    pub compressed: OnceLock<Budget>,
    phase: AtomicU8,
    /// Health of parts that belong to no input or output.
    adopted: Mutex<Vec<Arc<Health>>>,
}

/// The constant facts.
#[derive(Debug, Default)]
struct About {
    id: String,
    name: String,
    memory_limit: u64,
    workers: usize,
    fetchers: usize,
    /// Constant facts about the process.
    started: Timestamp,
}

/// Health of the program itself.
#[derive(Debug)]
pub struct Collector(Health);

impl Default for Collector {
    fn default() -> Collector {
        Collector(Health::new("the collector itself"))
    }
}

impl Collector {
    /// Records the current state. An error means that only a restart helps.
    pub fn lives(&self, life: &Result<(), impl Display>) {
        match life {
            Err(dead) => self.0.failed(dead.to_string(), true),
            Ok(()) if self.is_dead() => self.0.works(),
            Ok(()) => (),
        }
    }

    /// True if only a restart helps.
    pub fn is_dead(&self) -> bool {
        self.0.trouble().is_some()
    }
}

/// The phase of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Starting = 0,
    Running = 1,
    Stopping = 2,
}

impl Telemetry {
    /// Creates the telemetry for the first run of `config` in this process.
    pub fn of(config: &Config, notices: Arc<Notices>) -> Telemetry {
        let about = About { started: Timestamp::now(), ..About::default() };
        Telemetry { about, notices, ..Telemetry::default() }.successor(config)
    }

    /// Creates the telemetry for a run of `config` after this one, in the same process: counters continue for
    /// everything that kept its name. The new run finds out health and gauges for itself.
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
            Arc::new(input.after(before, &waits))
        };
        let output = |output: Output| {
            let before = self.outputs.iter().find(|before| before.name == output.name);
            Arc::new(output.after(before, &waits))
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
            audit: self.audit.successor(),
            notices: Arc::clone(&self.notices),
            ..Telemetry::default()
        }
    }

    /// Adds a part that is reported with the others from now on.
    pub fn adopt(&self, health: &Arc<Health>) {
        adopt(&self.adopted, health);
    }

    /// All parts that can fail, and how.
    pub fn parts(&self, now: Instant) -> Vec<Part> {
        let inputs = self.inputs.iter().flat_map(|input| input.parts(now));
        let outputs = self.outputs.iter().map(|output| output.part(now));
        let others = lock(&self.adopted);
        let own = [self.collector.0.part(now)];
        inputs.chain(outputs).chain(others.iter().map(|health| health.part(now))).chain(own).collect()
    }

    /// Logs overdue answers; called periodically.
    pub fn look(&self, now: Instant) {
        for input in &self.inputs {
            input.answers.look(now);
            input.buckets.look(now);
        }
        lock(&self.adopted).iter().for_each(|health| health.look(now));
    }

    /// Grows with all progress of any stage. Extended leases do not count, since that continues while everything else
    /// hangs.
    pub fn movement(&self) -> u64 {
        let (r, p, f, d) = (self.receive(), self.poll(), self.fetch(), self.decode());
        let (s, a) = (self.send(), self.settle());
        let received = r.messages + r.empty + r.failed_calls + p.calls + p.rests;
        let fetched = f.objects + f.bytes + f.failed + f.known;
        let decoded = d.objects + d.bytes + d.failed;
        let sent = s.events_written + s.events + s.failed_connections;
        received + fetched + decoded + sent + a.deleted + a.kept + a.released
    }

    /// Sum over all inputs.
    pub fn receive(&self) -> ReceiveTotals {
        self.inputs.iter().map(|input| input.receive.totals()).sum()
    }

    /// Sum over all sources.
    pub fn poll(&self) -> PollTotals {
        self.inputs.iter().map(|input| input.poll.totals()).sum()
    }

    /// Sum over all inputs.
    pub fn fetch(&self) -> FetchTotals {
        self.inputs.iter().map(|input| input.fetch.totals()).sum()
    }

    /// Sum over all inputs.
    pub fn settle(&self) -> SettleTotals {
        self.inputs.iter().map(|input| input.settle.totals()).sum()
    }

    /// Sum over all services.
    pub fn decode(&self) -> DecodeTotals {
        let services = self.inputs.iter().flat_map(|input| &input.services);
        services.map(|service| service.decode.totals()).sum()
    }

    /// Sum over all outputs: an event that goes to two of them counts twice.
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
    /// The reason why the collector is not ready in this phase.
    fn reason(self) -> Option<&'static str> {
        match self {
            Phase::Starting => Some("the collector is starting"),
            Phase::Running => None,
            Phase::Stopping => Some("the collector is being stopped or reloaded"),
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
            outputs: vec![Arc::new(Output::new("devo_1", "localhost:443".into()))],
            ..Telemetry::default()
        }
    }

    pub fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }
}

impl Telemetry {
    /// Takes a snapshot.
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let about = &self.about;
        let parts = self.parts(Instant::now());
        let (reasons, warnings) = self.readiness_of(&parts);
        Snapshot {
            version: env!("CARGO_PKG_VERSION"),
            id: about.id.clone(),
            name: about.name.clone(),
            time: format!("{now:.3}"),
            start_time: seconds(about.started),
            uptime_seconds: (seconds(now) - seconds(about.started)).max(0.0),
            ready: reasons.is_empty(),
            reasons,
            warnings,
            parts,
            inputs: self.inputs.iter().map(|input| input.snapshot(now)).collect(),
            workers: about.workers,
            fetchers: about.fetchers,
            work: self.work.totals(),
            waits: self.waits.totals(),
            outputs: self.outputs.iter().map(|output| output.snapshot()).collect(),
            ledger: self.ledger.totals(),
            internal: self.internal.totals(),
            audit: self.audit.snapshot(),
            memory: self.memory(),
            process: process::read(),
            notices: self.notices.latest(),
        }
    }

    /// The reasons why the collector is not ready, and the warnings. Cheap enough for frequent calls.
    pub fn readiness(&self) -> (Vec<String>, Vec<String>) {
        self.readiness_of(&self.parts(Instant::now()))
    }

    fn readiness_of(&self, parts: &[Part]) -> (Vec<String>, Vec<String>) {
        let phase = self.phase().reason().map(str::to_owned);
        let reasons = phase.into_iter().chain(parts.iter().filter_map(Part::reason)).collect();
        (reasons, parts.iter().filter_map(Part::warning).collect())
    }

    fn memory(&self) -> Memory {
        let limit = self.about.memory_limit;
        self.compressed.get().map_or(Memory { limit, ..Memory::default() }, |budget| Memory {
            limit,
            compressed: (budget.total() - budget.free()) as u64,
            compressed_limit: budget.total() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
