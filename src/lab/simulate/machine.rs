//! A machine: its clock, its disk, and the collector's process on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use rusqlite::Connection;
use serde_json::json;

use super::accounts::{
    Events, FINDINGS, GAP_MINUTES, HISTORY, LAGGING, LOGS, LOGS_TYPE, METRICS, PERIOD, POLLED_REGION,
    POLLING_INPUT, TRAIL, TRAIL_TYPE,
};
use super::objects::TAG;
use super::scheduler::{BEGINNING, Hardware, Process};
use super::setup::Setup;
use super::wire::address;
use super::world::{Seat, World};
use crate::aws::Http;
use crate::base::limits::{BATCH_BYTES, DRAIN_PATIENCE};
use crate::base::locks::lock;
use crate::base::runtime::{clock, thread};
use crate::base::stop::Stop;
use crate::config::{self, Environment};
use crate::pipeline::{Ending, Job, Outside, Pipeline};
use crate::settings::Config;
use crate::stages::send::wire::Network;
use crate::telemetry::{Telemetry, Trouble};

/// The service manager's wait before it restarts a process.
const RESTART: Duration = Duration::from_secs(5);

/// Interval at which the invariants are checked that no event checks.
pub const CHECK: Duration = Duration::from_millis(250);

/// The number of a process is this times its generation, plus that of its machine.
pub const MACHINES: u64 = 10;

/// The machine of the second collector, which polls nothing.
pub const SECOND: u64 = 2;

/// What a budget may be exceeded by: the halves of a batch in question, beside the whole of which they are copies.
const CREDIT: usize = 2 * BATCH_BYTES;

const LEDGER: &str = "ledger.sqlite3";

/// Time within which a drain ends when everything is delivered.
const DRAIN_END: Duration = Duration::from_secs(300);

/// Messages that were sent this long before a drain ends must not be left.
const DRAIN_LOOKS: Duration = Duration::from_secs(5);

/// Time that a stop may take beyond its time limit: a long poll, what is given back, and the last words.
const STOP_MARGIN: Duration = Duration::from_secs(40);

pub struct Machine {
    number: u64,
    world: World,
    config: Config,
    job: Job,
    directory: PathBuf,
    /// Number of processes that have run here.
    generation: u64,
    hardware: Arc<Hardware>,
    running: Option<Running>,
    /// The time at which the next process starts.
    starts_at: Option<Duration>,
}

struct Running {
    process: Process,
    now: Arc<Mutex<Now>>,
    has_ended: Arc<AtomicBool>,
    /// Since then it has been working on its configuration.
    since: Duration,
    /// The time of its SIGTERM.
    stopped: Option<Duration>,
}

/// The pipeline that runs in a process.
struct Now {
    stop: Stop,
    telemetry: Arc<Telemetry>,
    /// The configuration to continue with, and when it was loaded.
    next: Option<(Config, Duration)>,
    /// No other pipeline follows.
    is_stopped: bool,
    /// The result of the last one.
    ending: Ending,
}

impl Machine {
    /// A machine on which nothing runs yet.
    ///
    /// # Errors
    /// If the simulation's own configuration is refused.
    pub fn new(number: u64, world: &World, setup: &Setup, directory: &Path) -> anyhow::Result<Machine> {
        let directory = directory.join(number.to_string());
        Ok(Machine {
            number,
            world: world.clone(),
            config: configuration(number, setup, &directory)?,
            job: if setup.drains && number == 1 { Job::Drain } else { Job::Run },
            directory,
            generation: 0,
            hardware: Arc::default(),
            running: None,
            starts_at: None,
        })
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn set_clock(&mut self, skew_nanos: i128) {
        self.world
            .tell(|| format!("machine {}: the clock is {} s off", self.number, skew_nanos / 1_000_000_000));
        *lock(&self.hardware.skew_nanos) = skew_nanos;
    }

    /// From now on, each write of the ledger takes this long.
    pub fn set_disk_time(&self, time: Duration) {
        *lock(&self.hardware.disk_time) = time;
    }

    /// The ledger's disk is full, or no more.
    pub fn fill_disk(&self, is_full: bool) {
        let file = self.disk(self.generation).join(LEDGER);
        if !file.exists() {
            return;
        }
        let change = |table| match is_full {
            true => format!(
                "CREATE TRIGGER IF NOT EXISTS full_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(FAIL, 'the disk is full'); END;"
            ),
            false => format!("DROP TRIGGER IF EXISTS full_{table};"),
        };
        let changes: String = ["objects", "checkpoints"].map(change).concat();
        let changed = Connection::open(file).and_then(|store| store.execute_batch(&changes));
        self.world.state().was_disk_full = true;
        if let Err(error) = changed {
            self.world.state().violated("the simulation itself works", error.to_string());
        }
    }

    /// Starts the first process.
    pub fn start_first(&mut self) {
        if self.generation == 0 {
            self.start();
        }
    }

    /// Starts the first process at a later time.
    pub fn start_at(&mut self, time: Duration) {
        self.starts_at = Some(time);
    }

    /// The process stands still for a while, as after SIGSTOP, or goes on. One that is to end is left alone.
    pub fn freeze(&mut self, is_frozen: bool) {
        let now = self.world.now();
        let Some(running) = self.running.as_mut().filter(|running| !running.is_ending()) else { return };
        let number = running.process.number();
        let was_frozen = self.world.0.scheduler.freeze(&running.process, is_frozen);
        if was_frozen == is_frozen {
            return;
        }
        let mut state = self.world.state();
        state.tell(|| format!("process {number} {}", if is_frozen { "stands still" } else { "goes on" }));
        if is_frozen {
            state.working.remove(&number);
        } else {
            running.since = now;
            state.thawed.insert(number, now);
            state.working.insert(number, now);
        }
    }

    /// Starts a process on what its disk holds.
    pub fn start(&mut self) {
        if self.running.is_some() {
            return;
        }
        self.starts_at = None;
        self.generation += 1;
        let number = MACHINES * self.generation + self.number;
        let process = self.world.0.scheduler.process(number, &self.hardware);
        self.world.tell(|| format!("machine {}: process {number} starts", self.number));
        let mut config = self.config.clone();
        config.globals.state_directory = self.disk(self.generation);
        let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
        let now =
            Now { stop: Stop::new(), telemetry, next: None, is_stopped: false, ending: Ending::default() };
        let (now, has_ended) = (Arc::new(Mutex::new(now)), Arc::new(AtomicBool::new(false)));
        let seat = Seat { world: self.world.clone(), process: process.clone(), is_shut: Stop::new() };
        let main = {
            let (now, has_ended, job) = (Arc::clone(&now), Arc::clone(&has_ended), self.job.clone());
            let directory = self.directory.clone();
            move || {
                run(config, &seat, &job, &now, &directory);
                has_ended.store(true, Ordering::Release);
            }
        };
        let since = self.world.now();
        match self.world.0.scheduler.spawn(&process, "main".to_owned(), Box::new(main)) {
            Ok(()) => {
                self.world.state().working.insert(number, since);
                self.running = Some(Running { process, now, has_ended, since, stopped: None });
            }
            Err(error) => self.world.state().violated("the simulation itself works", error.to_string()),
        }
    }

    /// The process dies; the service manager starts another one.
    pub fn kill(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.check_memory(&self.world);
        self.end(&running.process);
        if self.number != SECOND {
            self.starts_at = Some(self.world.now() + RESTART);
        }
    }

    /// SIGTERM.
    pub fn stop(&mut self) {
        self.freeze(false);
        let now = self.world.now();
        if let Some(running) = self.running.as_mut().filter(|running| running.stopped.is_none()) {
            running.stopped = Some(now);
            self.world.state().working.remove(&running.process.number());
            running.end_pipeline(|pipeline| (pipeline.is_stopped, pipeline.next) = (true, None));
        }
    }

    /// SIGHUP, with another configuration.
    pub fn reload(&mut self, setup: &Setup) {
        self.freeze(false);
        let now = self.world.now();
        let (Some(running), Ok(mut config)) =
            (&mut self.running, configuration(self.number, setup, &self.directory))
        else {
            return;
        };
        if running.stopped.is_some() {
            return;
        }
        self.config = config.clone();
        config.globals.state_directory = self.directory.join(self.generation.to_string());
        running.since = now;
        self.world.state().working.remove(&running.process.number());
        running.end_pipeline(|pipeline| pipeline.next = Some((config, now)));
    }

    /// Notices that the process has ended, or is overdue, and starts the next one.
    pub fn attend(&mut self) {
        let now = self.world.now();
        self.running.iter().for_each(|running| running.check_memory(&self.world));
        if let Some(running) = self.running.take_if(|running| running.has_ended.load(Ordering::Acquire)) {
            self.world.tell(|| format!("machine {}: the process has ended", self.number));
            self.end(&running.process);
            self.check_ending(&running, now);
            self.starts_at = Some(now + RESTART);
        }
        let stopped = self.running.as_ref().and_then(|running| {
            let reloaded = lock(&running.now).next.as_ref().map(|(_, at)| *at);
            running.stopped.or(reloaded)
        });
        if let Some(running) = &self.running
            && let Some(stopped) = stopped
            && now > stopped + self.config.globals.shutdown_timeout + STOP_MARGIN
        {
            let why = format!(
                "process {} was told to stop or to reload at {:.1} s",
                running.process.number(),
                stopped.as_secs_f64()
            );
            self.world.state().violated("a stop ends in time", why);
        }
        if self.starts_at.is_some_and(|at| at <= now) {
            self.start();
        }
    }

    /// Nothing is wrong any more, and the collector says so.
    pub fn check_health(&self) {
        let Some(running) = &self.running else {
            return self.world.state().violated("the collector runs", "it does not".to_owned());
        };
        let (reasons, _) = running.telemetry().readiness();
        if !reasons.is_empty() {
            let why = format!("nothing has failed for a while, and it says: {}", reasons.join("; "));
            self.world.state().violated("a healthy collector looks healthy", why);
        }
    }

    /// Something has been wrong since `from`, and the collector must say so, if it has run for all of that time.
    pub fn check_trouble(&self, what: &str, from: Duration) {
        let Some(running) = self.running.as_ref().filter(|r| r.since <= from && r.stopped.is_none()) else {
            return;
        };
        let parts = running.telemetry().parts(clock::now());
        if parts.iter().all(|part| part.trouble.is_none()) {
            let why =
                format!("{what} has lasted since {:.1} s, and no part is in trouble", from.as_secs_f64());
            self.world.state().violated("a stuck collector does not look healthy", why);
        }
    }

    /// It stops in time.
    pub fn check_stop(&mut self) {
        self.stop();
        self.await_end(Duration::from_secs(600));
    }

    /// A drain ends by itself.
    pub fn check_drain(&mut self) {
        self.start();
        if !self.await_end(DRAIN_END) {
            let why = format!("everything is delivered, and it has not ended for {} s", DRAIN_END.as_secs());
            self.world.state().violated("a drain ends", why);
        }
    }

    /// Returns false if it does not end within this time.
    fn await_end(&mut self, time: Duration) -> bool {
        let start = self.world.now();
        while self.running.is_some() && self.world.state().violation.is_none() {
            thread::sleep(CHECK);
            self.attend();
            if self.world.now() > start + time {
                return false;
            }
        }
        self.starts_at = None;
        true
    }

    /// A drain that ended well has left nothing.
    fn check_ending(&self, running: &Running, now: Duration) {
        if !matches!(self.job, Job::Drain)
            || running.stopped.is_some()
            || !lock(&running.now).ending.is_clean()
        {
            return;
        }
        let mut state = self.world.state();
        let left = state.queue.messages.iter().find(|(_, message)| message.sent + DRAIN_LOOKS < now);
        if let Some(id) = left.map(|(id, _)| *id) {
            let why = format!("process {} has ended, and message {id} is left", running.process.number());
            state.violated("a drain ends only when everything is delivered", why);
        }
    }

    /// Checks that everything that the ledger calls delivered has been read.
    pub fn check_ledger(&self) {
        // The disk of the running process, or the one with which the next process will continue.
        let generation = self.generation + u64::from(self.running.is_none());
        check_ledger(&self.world, &self.directory, &self.disk(generation));
    }

    /// A process takes no further step. Its disk stays as it is for the next one.
    fn end(&mut self, process: &Process) {
        let number = process.number();
        self.world.tell(|| format!("machine {}: process {number} is gone", self.number));
        let (from, to) = (self.disk(self.generation), self.disk(self.generation + 1));
        let mut copied = Ok(());
        self.world.0.scheduler.kill(process, || copied = copy_disk(&from, &to));
        let mut state = self.world.state();
        if let Err(error) = copied {
            state.violated("the simulation itself works", format!("{error:#}"));
        }
        let now = self.world.now();
        state.working.remove(&number);
        state.advance_peers(now);
        for link in state.left_by(number) {
            state.doubt(link);
        }
        drop(state);
        let known = check_ledger(&self.world, &self.directory, &to);
        self.world.state().lost_beyond(&known);
    }

    /// The directory in which a process keeps its files.
    fn disk(&self, generation: u64) -> PathBuf {
        self.directory.join(generation.to_string())
    }
}

impl Running {
    fn telemetry(&self) -> Arc<Telemetry> {
        Arc::clone(&lock(&self.now).telemetry)
    }

    /// It is to end, or its pipeline is.
    fn is_ending(&self) -> bool {
        self.stopped.is_some() || lock(&self.now).next.is_some()
    }

    fn check_memory(&self, world: &World) {
        check_memory(world, self.process.number(), &self.telemetry());
    }

    /// Ends the present pipeline. `Now` is not locked while anybody may wait.
    fn end_pipeline(&self, change: impl FnOnce(&mut Now)) {
        let stop = {
            let mut now = lock(&self.now);
            change(&mut now);
            now.stop.clone()
        };
        stop.stop();
    }
}

/// The process's main thread: one pipeline after the other.
fn run(mut config: Config, seat: &Seat, job: &Job, now: &Mutex<Now>, directory: &Path) {
    let world = &seat.world;
    loop {
        let (stop, telemetry) = {
            let now = lock(now);
            (now.stop.clone(), Arc::clone(&now.telemetry))
        };
        let Some(ending) = run_once(&config, seat, job, &telemetry, &stop) else { return };
        let next = {
            let mut now = lock(now);
            now.ending = ending;
            now.next.take()
        };
        check_memory(world, seat.process.number(), &telemetry);
        let Some((next, _)) = next else { return };
        config = next;
        let known = check_ledger(world, directory, &config.globals.state_directory);
        let telemetry = Arc::new(telemetry.successor(&config));
        let mut state = world.state();
        state.lost_beyond(&known);
        // Its successor has to see for itself.
        for peer in &mut state.peers {
            peer.heard.remove(&seat.process.number());
        }
        let mut now = lock(now);
        (now.stop, now.telemetry) = (Stop::new(), telemetry);
        if now.is_stopped {
            return;
        }
        state.working.insert(seat.process.number(), world.now());
        state.tell(|| format!("process {} continues with another configuration", seat.process.number()));
    }
}

/// One pipeline. None if it does not start.
fn run_once(
    config: &Config,
    seat: &Seat,
    job: &Job,
    telemetry: &Arc<Telemetry>,
    stop: &Stop,
) -> Option<Ending> {
    let (world, number) = (seat.world.clone(), seat.process.number());
    let seat = Seat { is_shut: Stop::new(), ..seat.clone() };
    let outside = Outside { http: Some(Http::over(seat.clone())), network: Network::over(seat) };
    let pipeline = match Pipeline::start_patiently(&outside, config, job, telemetry, stop, &mut |_| ()) {
        Ok(pipeline) => pipeline,
        Err(error) => {
            world.state().violated("the collector starts", format!("{error:#}"));
            return None;
        }
    };
    let ending = pipeline.run(&mut |pulse| {
        if let Err(dead) = &pulse.life {
            world.state().violated("a working collector is not called dead", format!("{dead}"));
        }
        // A drain may end by itself now, and returns its messages.
        let may_give_up =
            |trouble: &Trouble| clock::since(trouble.since) + Duration::from_secs(1) >= DRAIN_PATIENCE;
        if matches!(job, Job::Drain) && pulse.trouble.as_ref().is_some_and(may_give_up) {
            world.state().working.remove(&number);
        }
    });
    // A drain does not wait for the end of a long outage.
    if let Some(why) = ending.gave_up.as_ref().filter(|_| !matches!(job, Job::Drain)) {
        world.state().violated("the collector does not give up", why.clone());
    }
    Some(ending)
}

/// Checks that no budget has ever been exceeded, and that the one for frames covers what may have to be sent again.
fn check_memory(world: &World, process: u64, telemetry: &Telemetry) {
    for (name, budget) in [("compressed bytes", &telemetry.compressed), ("frames", &telemetry.frames)] {
        let Some(budget) = budget.get() else { continue };
        let (most, total) = (budget.taken_most(), budget.total());
        if most > total + CREDIT {
            let why = format!("process {process} has held {most} bytes of {name}, and may hold {total}");
            world.state().violated("bytes held are at most the limit", why);
        }
    }
    let Some(frames) = telemetry.frames.get() else { return };
    // Nothing runs between these two looks.
    let (taken, mut state) = (frames.taken(), world.state());
    let unconfirmed = state.unconfirmed_of(process);
    if unconfirmed > taken as u64 {
        let why = format!("process {process} may have to send {unconfirmed} bytes again, and holds {taken}");
        state.violated("what may have to be sent again is within the limit", why);
    }
}

/// Checks that everything that the ledger at `place` calls delivered has been read. Returns how many records it knows of
/// each object.
fn check_ledger(world: &World, directory: &Path, place: &Path) -> BTreeMap<usize, usize> {
    compare_ledger(world, place, &directory.join("inspected")).unwrap_or_else(|error| {
        world.state().violated("the ledger can be read", format!("{error:#}"));
        BTreeMap::new()
    })
}

fn compare_ledger(world: &World, place: &Path, copy: &Path) -> anyhow::Result<BTreeMap<usize, usize>> {
    let mut all_known = BTreeMap::new();
    if !place.join(LEDGER).exists() {
        return Ok(all_known);
    }
    copy_disk(place, copy)?;
    let store = Connection::open(copy.join(LEDGER))?;
    let mut rows = store.prepare("SELECT etag, records, delivered FROM objects ORDER BY id")?;
    let rows = rows
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?)))?;
    let (now, mut state) = (world.now(), world.state());
    state.advance_peers(now);
    for row in rows {
        let (etag, records, is_delivered) = row?;
        let Some(object) = state.by_etag.get(&etag).copied() else { continue };
        let all = state.objects[object].records;
        let known = if is_delivered { all } else { usize::try_from(records).unwrap_or(0).min(all) };
        all_known.insert(object, known);
        if let Some(at) = state.first_unread(object, known) {
            let why = format!(
                "the ledger has {known} records of object {object}, and record {at} has not been read"
            );
            state.violated("a row of the ledger means read by the peer's program", why);
        }
    }
    let mut checkpoints = store.prepare("SELECT source, part, value FROM checkpoints")?;
    let checkpoints = checkpoints.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let checkpoints: Vec<(String, String, String)> = checkpoints.collect::<Result<_, _>>()?;
    let lags =
        |source: &str| checkpoints.iter().any(|(of, part, _)| of == source && part.starts_with(LAGGING));
    for (source, part, value) in &checkpoints {
        let is_of = |events: &&Events| events.api.source() == *source && events.part() == *part;
        let Some(events) = state.accounts.iter().find(is_of).filter(|_| !lags(source)) else { continue };
        let known = events.known(value).with_context(|| format!("{source} has the checkpoint {value}"))?;
        let object = events.object;
        all_known.insert(object, known);
        if let Some(at) = state.first_unread(object, known) {
            let why = format!(
                "the checkpoint of {source} is {value}, and event {at} of object {object}, which is older, has not been read"
            );
            state.violated("a checkpoint means read by the peer's program", why);
        }
    }
    drop(state);
    std::fs::remove_dir_all(copy).context("remove the copy")?;
    Ok(all_known)
}

fn copy_disk(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    let Ok(files) = std::fs::read_dir(from) else { return Ok(()) };
    for file in files {
        let file = file?;
        let name = file.file_name();
        // SQLite rebuilds shared memory from the log.
        if !name.to_string_lossy().ends_with("-shm") && file.file_type()?.is_file() {
            std::fs::copy(file.path(), to.join(name)).context("copy the disk")?;
        }
    }
    Ok(())
}

/// The services that are polled.
fn services(events: [usize; 5]) -> anyhow::Result<serde_json::Value> {
    let start = jiff::Timestamp::from_second(i64::try_from(BEGINNING - HISTORY)?)?.to_string();
    let mut services = json!({});
    let all = [
        (TRAIL, json!({ "types": [TRAIL_TYPE], "gap_until_now_in_minutes": GAP_MINUTES })),
        (LOGS, json!({ "types": [LOGS_TYPE], "log_group": "/" })),
        (FINDINGS, json!({ "types": ["findings"] })),
        (METRICS, json!({ "types": ["metrics"], "metric_units": false })),
    ];
    let [trail, logs, _, findings, metrics] = events;
    for ((name, mut service), _) in
        all.into_iter().zip([trail, logs, findings, metrics]).filter(|(_, count)| *count > 0)
    {
        service["regions"] = json!([POLLED_REGION]);
        service["start_time"] = start.as_str().into();
        service["request_period_in_seconds"] = PERIOD.into();
        service["tag"] = TAG.into();
        services[name] = service;
    }
    Ok(services)
}

fn configuration(machine: u64, setup: &Setup, directory: &Path) -> anyhow::Result<Config> {
    let mut text = json!({
        "globals": {
            "id": "simulated", "name": "simulated", "workers": setup.workers, "fetchers": setup.fetchers,
            "memory_limit": format!("{} MiB", setup.memory_mib), "shutdown_timeout": setup.shutdown,
        },
        "inputs": { "sqs_collector": {
            "id": "1",
            "enabled": true,
            "credentials": { "aws_access_key_id": "AKIASIMULATED0000000", "aws_secret_access_key": "simulated" },
            "base_url": format!("https://sqs.eu-west-1.amazonaws.com/123456789012/{}", setup.queue()),
            "region": "eu-west-1",
            "sqs_visibility_timeout": setup.visibility,
            "sqs_wait_timeout": setup.wait,
            "services": { "aws_sqs_fdr": {} },
        } },
    });
    let file = |name: &str| directory.with_file_name(name).display().to_string();
    for (number, outlet) in setup.outputs.iter().enumerate() {
        let mut output = json!({
            "address": address(number), "port": 514, "type": "TCP", "senders": outlet.senders, "max_senders": outlet.senders + outlet.spares,
            "confirmation": outlet.confirmation,
        });
        if outlet.tls.is_some() {
            output["type"] = "SSL".into();
            for (key, name) in [("chain", "chain.crt"), ("cert", "domain.crt"), ("key", "domain.key")] {
                output[key] = file(name).into();
            }
        }
        text["outputs"][format!("relay-{number}")] = json!({ "type": "syslog", "config": output });
    }
    if setup.hosts > 0 {
        text["globals"]["persistence"] = json!({
            "type": "dynamodb",
            "config": {
                "table": "simulated", "region": POLLED_REGION,
                "credentials": { "aws_access_key_id": "AKIASIMULATED0000000", "aws_secret_access_key": "simulated" },
            },
        });
    }
    if setup.events != [0; 5] && machine != SECOND {
        text["inputs"]["aws"] = json!({
            "id": POLLING_INPUT,
            "credentials": { "access_key": "AKIASIMULATED0000000", "access_secret": "simulated" },
            "services": services(setup.events)?,
        });
    }
    if setup.has_role {
        text["inputs"]["sqs_collector"]["credentials"]["aws_cross_account_role"] =
            "arn:aws:iam::123456789012:role/simulated".into();
    }
    let environment = Environment {
        host_name: format!("simulated-{machine}"),
        cores: 2,
        memory: 8 << 30,
        variable: Box::new(|_| None),
        ..Environment::here()
    };
    let loaded = config::parse(&text.to_string(), directory, &environment);
    Ok(loaded.map_err(|problems| anyhow::anyhow!("{problems:?}"))?.config)
}
