//! All figures of a run, by their subject.

use std::fmt::Display;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::audit::Audit;
use super::failed::FailedObjects;
use super::fleet::Fleet;
use super::history::History;
use super::input::Input;
use super::notices::Notices;
use super::output::Output;
use super::snapshot::{Memory, Part, Snapshot, seconds};
use super::tables::Tables;
use super::trouble::{Health, adopt};
use crate::base::budget::Budget;
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::Mutex;
use crate::settings::Config;
use crate::telemetry::model::former::Former;
use crate::telemetry::model::groups::{
    DecodeTotals, FetchTotals, InternalCounts, LedgerCounts, PollTotals, ReceiveTotals, SendTotals,
    SettleTotals, Waits, WorkCounts,
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
    pub work: WorkCounts,
    /// Shared by all inputs and outputs.
    pub waits: Arc<Waits>,
    pub ledger: LedgerCounts,
    pub internal: InternalCounts,
    pub audit: Audit,
    /// Shared with the fleet's thread.
    pub fleet: Arc<Fleet>,
    pub collector: Collector,
    pub notices: Arc<Notices>,
    /// Shared by all inputs.
    pub failed: Arc<FailedObjects>,
    /// Events that every output has confirmed, by Devo table.
    pub tables: Arc<Tables>,
    former: Former,
    history: Arc<History>,
    /// The budget for compressed bytes.
    pub compressed: OnceLock<Budget>,
    /// The budget for frames until they are confirmed.
    pub frames: OnceLock<Budget>,
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
    started: Started,
}

/// The start of the process, by both clocks.
#[derive(Debug, Clone, Copy)]
struct Started {
    time: Timestamp,
    at: Instant,
}

impl Default for Started {
    fn default() -> Started {
        Started { time: clock::timestamp(), at: clock::now() }
    }
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
        Telemetry { notices, ..Telemetry::default() }.successor(config)
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
            Arc::new(input.after(before, &waits, &self.failed))
        };
        let output = |output: Output| {
            let before = self.outputs.iter().find(|before| before.name == output.name);
            Arc::new(output.after(before, &waits))
        };
        let inputs = config.inputs.iter().map(Input::of).chain(config.sources.iter().map(Input::of_source));
        let inputs: Vec<_> = inputs.map(input).collect();
        let outputs: Vec<_> = config.outputs.iter().map(Output::of).map(output).collect();
        self.failed.keep(|failed| {
            let input = inputs.iter().find(|input| input.name == failed.input);
            input.is_some_and(|input| failed.service.is_empty() || input.has_service(&failed.service))
        });
        Telemetry {
            about,
            former: self.former(&inputs, &outputs),
            inputs,
            outputs,
            work: self.work.successor(),
            waits: Arc::clone(&waits),
            ledger: self.ledger.successor(),
            internal: self.internal.successor(),
            audit: self.audit.successor(),
            notices: Arc::clone(&self.notices),
            failed: Arc::clone(&self.failed),
            tables: Arc::clone(&self.tables),
            history: Arc::clone(&self.history),
            ..Telemetry::default()
        }
    }

    /// The counts of what these, which follow, do not continue.
    fn former(&self, inputs: &[Arc<Input>], outputs: &[Arc<Output>]) -> Former {
        let of_input = |before: &Arc<Input>| match inputs.iter().find(|input| input.name == before.name) {
            None => before.former(),
            Some(after) => {
                let services = before.counted_services();
                services.filter(|service| !after.has_service(&service.name)).map(|gone| gone.former()).sum()
            }
        };
        let is_gone = |before: &&Arc<Output>| outputs.iter().all(|output| output.name != before.name);
        let of_outputs = self.outputs.iter().filter(is_gone).map(|output| output.former());
        self.inputs.iter().map(of_input).chain(of_outputs).chain([self.former]).sum()
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
        let services = self.inputs.iter().flat_map(|input| input.counted_services());
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
            "https://sqs.eu-west-1.amazonaws.com/111111111111/q",
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
    /// The figures of the last hour.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Messages of all queues in flight.
    pub fn messages_in_flight(&self) -> u64 {
        self.inputs.iter().map(|input| input.settle.in_work.value().max(0).unsigned_abs()).sum()
    }

    /// Objects in work, without those that cannot be read at present.
    pub fn objects_on_their_way(&self) -> u64 {
        let of_input = |input: &Arc<Input>| {
            let in_work: i64 =
                input.counted_services().map(|service| service.delivered.in_work.value()).sum();
            (in_work - input.unreadable.value()).max(0).unsigned_abs()
        };
        self.inputs.iter().map(of_input).sum()
    }

    /// Receives of all queues that are under way: each may bring more messages.
    pub fn receives_under_way(&self) -> u64 {
        self.inputs.iter().map(|input| input.receives.value().max(0).unsigned_abs()).sum()
    }

    /// How long one of the outputs has not worked, so that nothing is delivered wholly. Zero: all of them work.
    pub fn outage(&self) -> Duration {
        let troubles = self.outputs.iter().filter_map(|output| output.health.trouble());
        troubles.map(|trouble| clock::since(trouble.since)).max().unwrap_or_default()
    }

    /// Adds the present figures to the history, if that is due; called periodically.
    pub fn remember(&self, now: Instant, time: Timestamp) {
        self.history.look(|| self.snapshot(time), now);
    }

    /// Takes a snapshot.
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let about = &self.about;
        let instant = clock::now();
        let parts = self.parts(instant);
        let (reasons, warnings) = self.readiness_of(&parts);
        Snapshot {
            version: env!("CARGO_PKG_VERSION"),
            id: about.id.clone(),
            name: about.name.clone(),
            time: format!("{now:.3}"),
            unix_seconds: seconds(now),
            start_time: seconds(about.started.time),
            uptime_seconds: instant.saturating_duration_since(about.started.at).as_secs_f64(),
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
            former: self.former,
            tables: self.tables.snapshot(now, instant),
            failed: self.failed.totals(),
            history_next: self.history.next(),
            ledger: self.ledger.totals(),
            internal: self.internal.totals(),
            audit: self.audit.snapshot(now, instant),
            fleet: self.fleet.snapshot(),
            memory: self.memory(),
            process: process::read(),
            notices: self.notices.latest(),
        }
    }

    /// The reasons why the collector is not ready, and the warnings. Cheap enough for frequent calls.
    pub fn readiness(&self) -> (Vec<String>, Vec<String>) {
        self.readiness_of(&self.parts(clock::now()))
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
             \"base_url\": \"https://sqs.eu-west-1.amazonaws.com/111111111111/q\", \"services\": {{{services}}}}}}}}}"
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
        let all = first.snapshot(testing::now());
        let second = first.successor(&config("\"aws_sqs_waf\": {}, \"aws_sqs_vpc\": {}"));
        let delivered: Vec<_> =
            second.inputs[0].services.iter().map(|service| service.delivered.events.value()).collect();
        assert_eq!(delivered, [0, 40]);
        assert_eq!((second.receive().messages, second.settle().in_work, second.send().events), (3, 0, 90));
        assert_eq!(second.waits.totals(), first.waits.totals());
        assert_eq!(second.outputs[0].health.successes(), 0, "it must show that it works");
        let now = second.snapshot(testing::now());
        assert_eq!((all.delivered().events, now.delivered().events), (90, 90), "totals never fall");
        let start = |telemetry: &Telemetry| telemetry.snapshot(testing::now()).start_time;
        assert_eq!(start(&first), start(&second), "the process is the same");
    }

    /// Every number of the totals, by name.
    fn totals(telemetry: &Telemetry) -> serde_json::Value {
        let now = telemetry.snapshot(testing::now());
        serde_json::json!([
            now.receive(),
            now.poll(),
            now.fetch(),
            now.settle(),
            now.decode(),
            now.delivered(),
            now.endings(),
            now.send()
        ])
    }

    #[test]
    fn no_total_falls_with_what_a_reload_removes_and_failures_of_it_are_not_listed() {
        let first = Telemetry::of(&config("\"aws_sqs_vpc\": {}, \"aws_sqs_elb\": {}"), Arc::default());
        let (input, output) = (&first.inputs[0], &first.outputs[0]);
        input.receive.messages.add(3);
        input.poll.calls.add(3);
        input.fetch.bytes.add(3);
        input.settle.deleted.add(3);
        output.send.bytes.add(3);
        for name in ["aws_sqs_vpc", "aws_sqs_elb"] {
            let service = input.service(name);
            service.delivered.events.add(3);
            service.decode.bytes.add(3);
            service.endings.add(crate::ack::Ending::Sent);
            let failed = crate::telemetry::Failed {
                object: Some(&crate::base::object::Object::named("b", name)),
                polled: None,
                service: Some(name),
                delivery: None,
                ending: Some(crate::ack::Ending::Damaged),
                cause: "it ends in the middle",
                kind: "Truncated",
            };
            input.failed(&failed);
        }
        let before = totals(&first);
        let of = |services, input, output| {
            let mut config = config(services);
            (config.inputs[0].key, config.outputs[0].name) = (String::from(input), String::from(output));
            config
        };
        let second = first.successor(&of("\"aws_sqs_elb\": {}", "sqs_collector", "c"));
        assert_eq!(totals(&second), before);
        let listed: Vec<_> =
            second.failed.snapshot().objects.into_iter().map(|failed| failed.service).collect();
        assert_eq!(listed, ["aws_sqs_elb"]);
        let third = second.successor(&of("\"aws_sqs_elb\": {}", "sqs_collector_2", "d"));
        assert_eq!((totals(&third), third.failed.totals().listed), (before.clone(), 0));
        third.inputs[0].service("aws_sqs_elb").delivered.events.add(1);
        assert_eq!(third.snapshot(testing::now()).delivered().events, 7);
        let fourth = third.successor(&of("\"aws_sqs_elb\": {}", "sqs_collector_2", "d"));
        assert_eq!(fourth.snapshot(testing::now()).delivered().events, 7, "nothing counts twice");
    }

    #[test]
    fn a_clock_that_is_set_back_turns_nothing_back() {
        let telemetry = Telemetry::of(&config("\"aws_sqs_vpc\": {}"), Arc::default());
        let now = clock::now();
        telemetry.inputs[0].services[0].last_delivery.happened(now);
        telemetry.audit.finish(now, |audit| audit.missing = Some(0));
        let mut tables = crate::ack::Tables::default();
        tables.add("a.b", 1, 1);
        telemetry.tables.add(&tables, now);
        let (early, late) = (testing::now(), testing::now() + Duration::from_secs(7200));
        let at = |now: Timestamp| {
            let seen = telemetry.snapshot(now);
            let delivered = seen.inputs[0].services[0].last_delivery_at.unwrap_or_default();
            let ages =
                [delivered, seen.tables[0].last_delivery_at as f64, seen.audit.last_success_at.unwrap()]
                    .map(|time| seconds(now) - time);
            // Whole seconds, of the time that this test takes.
            assert!(ages.iter().all(|age| (-1.0..600.0).contains(age)), "{ages:?}");
            seen.uptime_seconds
        };
        assert!(at(late) <= at(early));
    }
}
