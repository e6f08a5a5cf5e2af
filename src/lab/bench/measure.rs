//! One run: the pipeline in this process, the stand-ins in others, and its measurements.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use super::options::{Amount, Options};
use super::outside::{Described, Outside, Received};
use super::usage::{self, Machine, Stage, Threads};
use crate::aws::{Http, Proxies};
use crate::base::stop::Stop;
use crate::config;
use crate::config::Environment;
use crate::lab::testbed::aws::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY};
use crate::pipeline::{self, Job, Pipeline};
use crate::settings::Config;
use crate::telemetry::model::process::{cpu, thread_cpu};
use crate::telemetry::{Telemetry, Waits};

/// Interval at which the progress of objects and sending is checked.
const TICK: Duration = Duration::from_millis(10);
/// Interval at which the threads' CPU time is read, in ticks.
const TICKS_PER_LOOK: u32 = 10;
/// Shortest interval at which the memory is read.
const RSS_INTERVAL: Duration = Duration::from_millis(500);
/// Share of the run so far after which the memory is read again.
const RSS_LOOKS: u32 = 100;
/// Time without progress after which a run has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time limit for the sink to count what its TCP stack has taken.
const SINK_PATIENCE: Duration = Duration::from_secs(10);
/// Objects announced ahead with `--seconds`, at first and at most.
const AHEAD_FIRST: u64 = 64;
const AHEAD_MAX: u64 = 4096;

/// The measurements of a finished run.
pub struct Measured {
    pub config: Config,
    pub telemetry: Arc<Telemetry>,
    /// Time from the first announcement to the last byte given to the network.
    pub wall: Duration,
    /// CPU time of this process, without that of measuring it.
    pub cpu: Duration,
    pub stages: BTreeMap<String, Stage>,
    /// CPU time within `wall`.
    pub waits: Waits,
    /// Threads that sent at the end.
    pub senders: usize,
    pub peak_rss_bytes: u64,
    /// Resident bytes over the course of the run.
    pub rss: Vec<Resident>,
    /// CPU time of the stand-ins, which share the machine.
    pub testbed_cpu: Duration,
    /// Share of all cores' time within `wall` that was busy, with any process.
    pub cores_busy: f64,
    pub announced: Announced,
    pub received: Received,
    /// The reason why the run ended before everything was delivered.
    pub failure: Option<String>,
}

/// Memory in use at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Resident {
    pub after: Duration,
    pub bytes: u64,
}

/// The announced objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Announced {
    pub objects: u64,
    pub compressed_bytes: u64,
    /// Bytes after inflating; None if the objects' source does not say.
    pub log_bytes: Option<u64>,
    /// Number of records; None if the objects' source does not say.
    pub events: Option<u64>,
}

impl Measured {
    /// True if everything arrived, and nothing else.
    pub fn is_complete(&self) -> bool {
        self.failure.is_none()
            && self.received.failures.is_empty()
            && self.received.events == self.expected_events()
            && self.announced.log_bytes.is_none_or(|bytes| bytes == self.telemetry.decode().bytes)
            && self.telemetry.decode().objects == self.announced.objects
    }

    /// The collector's own count, if nothing else has counted them.
    pub fn expected_events(&self) -> u64 {
        self.announced.events.unwrap_or(self.telemetry.decode().events)
    }
}

/// Runs the pipeline until everything announced is delivered and deleted.
///
/// # Errors
/// The errors that prevent the start.
pub fn run(options: &Options, outside: &mut Outside, directory: &Path) -> anyhow::Result<Measured> {
    let text = configuration(options, outside);
    let loaded =
        config::parse(&text, directory, &Environment::here()).context("the bench's own configuration")?;
    let config = loaded.config;
    let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
    let way = pipeline::Outside { http: https(&config, outside)?, ..pipeline::Outside::default() };
    let pipeline =
        Pipeline::start_patiently(&way, &config, &Job::Run, &telemetry, &Stop::new(), &mut |_| ())?;
    let stop = pipeline.stop().clone();
    let (watched, testbed_before) = (cpu(), outside.cpu());
    let mut control = Control::new(options.amount(), outside, &telemetry);
    let control = std::thread::scope(|scope| {
        let handle = std::thread::Builder::new().name("bench".into()).spawn_scoped(scope, || {
            let _stop = StopOnDrop(&stop);
            control.run();
            (control, thread_cpu())
        })?;
        pipeline.run(&mut |_| ());
        handle.join().map_err(|_| anyhow::anyhow!("the thread that watches has panicked"))
    });
    let (control, own_cpu) = control?;
    let cpu = cpu().saturating_sub(watched + own_cpu);
    let Control { announced, wall, waits, senders, cores_busy, threads, rss, failure, .. } = control;
    Ok(Measured {
        config,
        wall,
        cpu,
        stages: stages(&threads, waits.work_writes.total()),
        waits,
        senders,
        peak_rss_bytes: usage::peak_rss_bytes(),
        rss,
        testbed_cpu: outside.cpu().saturating_sub(testbed_before),
        cores_busy,
        announced: announced.total(outside),
        received: received(outside, telemetry.decode().events)?,
        telemetry,
        failure,
    })
}

/// The way to AWS if it speaks HTTPS: with the authority of this run.
fn https(config: &Config, outside: &Outside) -> anyhow::Result<Option<Http>> {
    let with = |authority: &Path| {
        Http::with(pipeline::threads_that_call(config), Proxies::default(), Some(authority))
    };
    Ok(outside.authority.as_deref().map(with).transpose()?)
}

/// Counted by kind of work, not by thread, because workers send too.
fn stages(threads: &Threads, written_by_workers: Duration) -> BTreeMap<String, Stage> {
    let mut stages = threads.by_stage();
    if let [Some(work), Some(send)] = ["work", "send"].map(|name| stages.get(name).copied()) {
        let moved = written_by_workers.min(work.cpu);
        stages.insert("work".to_owned(), Stage { cpu: work.cpu - moved, ..work });
        stages.insert("send".to_owned(), Stage { cpu: send.cpu + moved, ..send });
    }
    stages
}

/// Announces objects, watches the run, and ends it.
struct Control<'a> {
    amount: Amount,
    outside: &'a mut Outside,
    telemetry: &'a Telemetry,
    announced: Count,
    ahead: u64,
    started: Instant,
    wall: Duration,
    waits: Waits,
    senders: usize,
    machine: Machine,
    cores_busy: f64,
    threads: Threads,
    rss: Vec<Resident>,
    failure: Option<String>,
}

/// Number of objects announced so far.
#[derive(Debug, Clone, Copy, Default)]
struct Count(u64);

impl Count {
    fn total(self, outside: &Outside) -> Announced {
        let objects = &outside.s3.objects;
        let rounds = |index: usize| {
            let (kinds, index) = (objects.len() as u64, index as u64);
            self.0 / kinds + u64::from(index < self.0 % kinds)
        };
        let sum = |value: fn(&Described) -> Option<u64>| -> Option<u64> {
            objects.iter().enumerate().map(|(index, object)| Some(value(object)? * rounds(index))).sum()
        };
        Announced {
            objects: self.0,
            compressed_bytes: sum(|object| Some(object.bytes)).unwrap_or(0),
            log_bytes: sum(|object| object.log_bytes),
            events: sum(|object| object.events),
        }
    }
}

impl<'a> Control<'a> {
    fn new(amount: Amount, outside: &'a mut Outside, telemetry: &'a Telemetry) -> Control<'a> {
        Control {
            amount,
            outside,
            telemetry,
            announced: Count::default(),
            ahead: AHEAD_FIRST,
            started: Instant::now(),
            wall: Duration::ZERO,
            waits: Waits::default(),
            senders: 0,
            machine: Machine::now(),
            cores_busy: 0.0,
            threads: Threads::default(),
            rss: Vec::new(),
            failure: None,
        }
    }

    fn run(&mut self) {
        (self.started, self.machine) = (Instant::now(), Machine::now());
        if let Err(error) = self.watch() {
            self.failure = Some(format!("{error:#}"));
        }
        if self.wall.is_zero() {
            self.stop_the_clock();
        }
        self.threads.look();
    }

    fn watch(&mut self) -> anyhow::Result<()> {
        let mut progress = (0, Instant::now());
        for tick in 0u32.. {
            self.keep_announcing()?;
            let (finished, deleted) = self.finished();
            let is_all = self.nothing_more_comes() && finished >= self.announced.0;
            if is_all && self.wall.is_zero() && self.is_sent() {
                self.stop_the_clock();
            }
            if is_all && deleted >= self.announced.0 {
                return Ok(());
            }
            let moved = self.progress();
            if moved != progress.0 {
                progress = (moved, Instant::now());
            }
            anyhow::ensure!(
                progress.1.elapsed() < PATIENCE,
                "nothing has moved for {} s",
                PATIENCE.as_secs()
            );
            if tick % TICKS_PER_LOOK == 0 {
                self.threads.look();
                self.look_at_memory();
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Rare enough that even a run of days fits.
    fn look_at_memory(&mut self) {
        let after = self.started.elapsed();
        if self.rss.last().is_none_or(|last| after >= last.after + RSS_INTERVAL.max(after / RSS_LOOKS)) {
            self.rss.push(Resident { after, bytes: usage::rss_bytes() });
        }
    }

    fn stop_the_clock(&mut self) {
        self.wall = self.started.elapsed();
        self.waits = self.telemetry.waits.successor();
        self.senders = self.telemetry.outputs.iter().map(|output| output.sending()).sum();
        self.cores_busy = Machine::now().busy_since(self.machine);
    }

    fn keep_announcing(&mut self) -> anyhow::Result<()> {
        let missing = match self.amount {
            Amount::Objects(objects) => objects - self.announced.0,
            Amount::For(_) if self.nothing_more_comes() => 0,
            Amount::For(_) => {
                let waiting = self.announced.0 - self.finished().0.min(self.announced.0);
                if waiting == 0 && self.announced.0 > 0 {
                    self.ahead = (self.ahead * 2).min(AHEAD_MAX);
                }
                if waiting <= self.ahead / 2 { self.ahead } else { 0 }
            }
        };
        if missing > 0 {
            self.outside.announce(missing)?;
            self.announced.0 += missing;
        }
        Ok(())
    }

    fn nothing_more_comes(&self) -> bool {
        match self.amount {
            Amount::Objects(objects) => self.announced.0 >= objects,
            Amount::For(time) => self.started.elapsed() >= time,
        }
    }

    /// Number of objects that are decoded or have failed, and of messages that have ended.
    fn finished(&self) -> (u64, u64) {
        let (fetch, decode, settle) =
            (self.telemetry.fetch(), self.telemetry.decode(), self.telemetry.settle());
        (decode.objects + decode.failed + fetch.failed, settle.deleted + settle.released)
    }

    fn is_sent(&self) -> bool {
        self.telemetry.send().events_written >= self.telemetry.decode().events
    }

    fn progress(&self) -> u64 {
        let telemetry = self.telemetry;
        telemetry.fetch().bytes
            + telemetry.decode().events
            + telemetry.send().events
            + telemetry.settle().deleted
    }
}

/// The peer's TCP stack has everything; its program may need a moment.
fn received(outside: &mut Outside, expected: u64) -> anyhow::Result<Received> {
    let started = Instant::now();
    loop {
        let received = outside.received()?;
        if received.events >= expected || started.elapsed() >= SINK_PATIENCE {
            return Ok(received);
        }
        std::thread::sleep(TICK);
    }
}

/// Stops the pipeline also when the thread panics, so that it does not run forever.
struct StopOnDrop<'a>(&'a Stop);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Writes the configuration as a user would; the certificates are in the directory that paths are relative to.
fn configuration(options: &Options, outside: &Outside) -> String {
    let (peer, s3) = (&outside.peer, &outside.s3);
    let mut text = "globals:\n  id: bench\n  name: bench\n".to_owned();
    let number = |count: Option<usize>| count.map(|count| count.to_string());
    let globals = [
        ("workers", number(options.workers)),
        ("fetchers", number(options.fetchers)),
        ("memory_limit", options.memory_limit.as_deref().map(quoted)),
    ];
    for (key, value) in globals.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {key}: {value}");
    }
    let mut sending = number(options.senders).map_or_else(String::new, |count| format!(", senders: {count}"));
    let _ = write!(sending, ", confirmation: {}", options.confirmation);
    if options.compression != "none" {
        let _ = write!(sending, ", compression: {}", options.compression);
        let level = options.compression_level.map(|level| format!(", compression_level: {level}"));
        sending.extend(level);
    }
    let _ = write!(
        text,
        "outputs:\n  \
           sink:\n    \
             type: devo_platform\n    \
             config: {{address: {}, port: {}, type: SSL, chain: chain.crt, cert: domain.crt, key: domain.key{sending}}}\n\
         inputs:\n  \
           sqs_collector:\n    \
             id: \"1\"\n    \
             enabled: true\n    \
             credentials: {{aws_access_key_id: {ACCESS_KEY_ID}, aws_secret_access_key: {SECRET_ACCESS_KEY}}}\n    \
             base_url: {}\n    \
             region: {REGION}\n    \
             endpoint_url: {}\n    \
             sqs_visibility_timeout: 120\n    \
             sqs_wait_timeout: 1\n    \
             services: {{{}: {{}}}}\n",
        quoted(&peer.address),
        peer.port,
        quoted(&s3.queue_url),
        quoted(&s3.url),
        quoted(&options.service),
    );
    text
}

/// A JSON string is also a YAML string.
fn quoted(value: &str) -> String {
    Value::from(value).to_string()
}
