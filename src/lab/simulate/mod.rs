//! `simulate`: the collector's own stages, in a world where time, the order of events and all faults follow from a seed.
//!
//! The whole pipeline runs: pollers, fetchers, workers, senders, leases, the ledger on SQLite. Its threads are run one
//! at a time by [`scheduler`]; HTTP ends in [`aws`], which answers from a model queue ([`sqs`]) and bucket
//! ([`objects`]), and TCP in [`peer`], which knows what its program has read. [`faults`] makes the plan of what fails,
//! and this module feeds the queue, carries out the plan, kills and starts processes, and checks what must hold:
//!
//! - a message deleted, or a ledger's row, means that the peer's program has read those records;
//! - every message in hand has a lease, and is returned only for a cause: a receive that the redrive policy counts is
//!   used up only by a fault, so a healthy message is in the dead-letter queue only because of faults;
//! - what is sound of a damaged object, or of one with a record that the peer refuses, is delivered;
//! - records arrive as they are, under their tag, those of a FIFO group in order;
//! - once faults have ended, everything is delivered and deleted within [`RECOVERY`];
//! - then the collector calls itself healthy, and stops in time; while a fault lasts that nothing gets past, it does not;
//! - a checkpoint of a polled API means that the peer's program has read everything before it;
//! - a drain ends only when everything is delivered, and it ends;
//! - bytes held are at most the limit, and cover what may have to be sent again;
//! - a record is repeated only if something has happened to it that makes that possible ([`repeats`]).
//!
//! A process dies between two steps of its threads; what it has written to its disk is then copied, as it is, to the
//! disk of the next one. The ledger commits with `synchronous = FULL`, so a loss of power leaves the same.

mod accounts;
mod aws;
mod expression;
pub mod faults;
mod leases;
mod machine;
mod objects;
mod peer;
mod repeats;
mod returns;
mod scheduler;
mod setup;
mod sharing;
mod sqs;
mod sts;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use crate::base::limits::{RETRY_DELAY_FIRST, RETRY_DELAY_MAX};
use crate::base::runtime::thread;
use accounts::{Api, Events, FILLING};
use faults::{Fault, Kind};
use leases::Sharing;
use machine::{CHECK, Machine, SECOND};
use objects::{BUCKET, Object, PACKED_MAX};
use peer::{End, Peer};
use scheduler::Scheduler;
use setup::Setup;
use tls::Certificates;
use world::{State, World};

pub use scheduler::Teller;
pub use setup::Options;
pub use world::Violation;

/// Time within which everything is delivered after the last fault has ended: the longest visibility timeout of a
/// simulation (two minutes), the longest back-offs of receiving and fetching (a minute each), and the longest wait for
/// the end of a connection (half a minute), several times.
const RECOVERY: Duration = Duration::from_secs(600);

/// The time that a write takes while the disk is slow.
const SLOW_WRITE: Duration = Duration::from_secs(10);
/// The longest time after which a peer that reads late reads what has come.
const LATENCY: Duration = Duration::from_millis(300);

/// Time without faults after which the collector must call itself healthy.
const CONVALESCENCE: Duration = Duration::from_secs(90);

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    pub seed: u64,
    pub violation: Option<Violation>,
    /// Steps of the scheduler, and a digest of all of them: two runs of a seed have the same.
    pub steps: u64,
    pub digest: u64,
    /// Simulated time.
    pub time: Duration,
    pub objects: usize,
    pub records: u64,
    /// Records that a peer's program has read more than once, counted each time.
    pub repeats: u64,
    pub deleted: u64,
    /// Messages in the dead-letter queue.
    pub dead: usize,
    pub calls: u64,
    /// The most connections of a peer that were open at a time.
    pub connections_max: usize,
    /// Faults of each kind: how often they began, or what they struck.
    pub struck: BTreeMap<Kind, u64>,
    pub story: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.violation {
            Some(found) => write!(
                f,
                "seed {}: after {:.3} s: {}: {}",
                self.seed,
                found.at.as_secs_f64(),
                found.invariant,
                found.why
            ),
            None => write!(
                f,
                "seed {}: {:.0} s, {} records of {} objects, {} repeated, {} messages dead, {} steps, digest {:016x}",
                self.seed,
                self.time.as_secs_f64(),
                self.records,
                self.objects,
                self.repeats,
                self.dead,
                self.steps,
                self.digest
            ),
        }
    }
}

/// Simulates one seed.
///
/// # Errors
/// If there is no room for the ledger, or its configuration is refused.
pub fn run(seed: u64, options: &Options) -> anyhow::Result<Report> {
    run_setup(seed, &Setup::of(seed, options), options)
}

fn run_setup(seed: u64, setup: &Setup, options: &Options) -> anyhow::Result<Report> {
    let scheduler = Scheduler::new(seed, setup.pause_every, options.traces);
    let mut state = State::new(seed ^ 0x0770_1d00, &scheduler);
    state.queue.is_fifo = setup.is_fifo;
    state.queue.receives_max = setup.receives_max;
    state.bucket_region = setup.region;
    state.peers = setup.outputs.iter().map(Peer::new).collect();
    state.sharing = (setup.hosts > 0).then(Sharing::default);
    let apis = [Api::Trail, Api::Logs(0), Api::Logs(1), Api::Findings, Api::Metrics];
    for (api, count) in apis.into_iter().zip(setup.events).filter(|(_, count)| *count > 0) {
        let number = state.objects.len();
        let mut random = fastrand::Rng::with_seed(seed ^ number as u64);
        state.accounts.push(Events::new(api, number, count, setup.span, &mut random));
        state.put(Object::listed(&format!("{api:?}"), number, count, FILLING));
    }
    let world = World::new(&scheduler, state);
    let memory = Path::new("/dev/shm");
    let directory = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let directory = directory.context("a directory for the ledger")?;
    give_certificates(&world, setup, directory.path())?;
    let own = scheduler.process(0, &Arc::default());
    let drive = Drive {
        world: world.clone(),
        random: fastrand::Rng::with_seed(seed ^ 0xd21e),
        machines: hosts(&world, setup, directory.path())?,
        second: Machine::new(SECOND, &world, setup, directory.path())?,
        setup: setup.clone(),
        large_at: None,
    };
    let outcome = scheduler.run(&own, move || drive.run());
    let (steps, digest, time) = scheduler.trace();
    let is_buried = scheduler.bury();
    let mut state = world.state();
    if let Err(why) = outcome {
        state.violated("threads neither panic nor hang", why);
    }
    if !is_buried {
        state.violated("the simulation itself works", "the threads of a dead process do not end".to_owned());
    }
    let times = |peer: &Peer| peer.read.iter().flatten().copied().collect::<Vec<u32>>();
    Ok(Report {
        seed,
        violation: state.violation.clone(),
        steps,
        digest,
        time,
        objects: state.objects.len(),
        records: state.peers.iter().take(1).flat_map(times).filter(|times| *times > 0).count() as u64,
        repeats: state.peers.iter().flat_map(times).map(|times| u64::from(times.saturating_sub(1))).sum(),
        deleted: state.deleted,
        dead: state.queue.dead.len(),
        calls: state.calls,
        connections_max: state.peers.iter().map(|peer| peer.open_max).max().unwrap_or(0),
        struck: state.struck.clone(),
        story: scheduler.story(),
    })
}

/// The machines of the hosts. All but the first start at some later time.
fn hosts(world: &World, setup: &Setup, directory: &Path) -> anyhow::Result<Vec<Machine>> {
    let others = (SECOND + 1..).take(setup.hosts.saturating_sub(1));
    let machine = |number| {
        let mut machine = Machine::new(number, world, setup, directory)?;
        if number > SECOND {
            let millis = world.state().random.u64(..setup.span.as_millis() as u64 / 2);
            machine.start_at(Duration::from_millis(millis));
        }
        Ok(machine)
    };
    [1].into_iter().chain(others).map(machine).collect()
}

/// Gives certificates to the peers that speak TLS, and to the collectors.
fn give_certificates(world: &World, setup: &Setup, directory: &Path) -> anyhow::Result<()> {
    if setup.outputs.iter().all(|outlet| outlet.tls.is_none()) {
        return Ok(());
    }
    let names: Vec<String> = (0..setup.outputs.len()).map(wire::address).collect();
    let certificates = Certificates::new(&names)?;
    certificates.write(directory)?;
    for (peer, outlet) in world.state().peers.iter_mut().zip(&setup.outputs) {
        peer.tls = outlet.tls.map(|habits| certificates.acceptor(habits)).transpose()?;
    }
    Ok(())
}

/// S3's own message about an object.
fn announcement(object: &Object) -> serde_json::Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1",
        "eventTime": "2024-02-28T23:48:00.000Z", "eventName": "ObjectCreated:Put",
        "s3": { "s3SchemaVersion": "1.0", "configurationId": "to-sqs", "bucket": { "name": BUCKET },
            "object": { "key": object.key, "size": object.bytes.len(), "eTag": object.etag.trim_matches('"') } },
    })
}

/// The thread that carries out the plan.
struct Drive {
    world: World,
    random: fastrand::Rng,
    setup: Setup,
    machines: Vec<Machine>,
    second: Machine,
    /// A large object has been announced.
    large_at: Option<Duration>,
}

impl Drive {
    fn run(mut self) {
        self.world.tell(|| format!("{:?}", self.setup));
        let span = self.setup.span;
        let mut feeds: Vec<Duration> = (0..self.setup.objects)
            .map(|_| match (self.setup.drains, self.setup.has_bursts) {
                (true, _) => Duration::ZERO,
                (_, true) => span / 4 * self.random.u32(..=4),
                (_, false) => Duration::from_millis(self.random.u64(..=span.as_millis() as u64)),
            })
            .collect();
        feeds.sort();
        let mut plan = self.setup.plan.clone();
        let last = |plan: &[Fault]| plan.iter().map(|fault| fault.until).max().unwrap_or_default();
        let end = last(&plan).max(self.setup.span);
        let mut lasting: Vec<Fault> = Vec::new();
        loop {
            let now = self.world.now();
            while feeds.first().is_some_and(|at| *at <= now) {
                feeds.remove(0);
                self.feed(now);
            }
            if feeds.is_empty() || !self.setup.drains {
                self.machines[0].start_first();
            }
            while plan.first().is_some_and(|fault| fault.from <= now) {
                let fault = plan.remove(0);
                self.begin(fault, now);
                if fault.kind.lasts() {
                    lasting.push(fault);
                }
            }
            for fault in lasting.extract_if(.., |fault| fault.until <= now) {
                self.finish(fault);
            }
            self.machines.iter_mut().chain([&mut self.second]).for_each(Machine::attend);
            self.world.check();
            let is_over = feeds.is_empty() && plan.is_empty() && lasting.is_empty();
            if self.world.state().violation.is_some() || is_over && self.is_delivered() {
                break;
            }
            if now > end + self.patience() {
                self.complain();
                break;
            }
            if let Some(at) = self.large_at.take() {
                self.aim(&mut plan, at);
            }
            let next = feeds.first().into_iter().chain(plan.first().map(|fault| &fault.from)).min();
            let rest = next.map_or(CHECK, |next| next.saturating_sub(now).min(CHECK));
            thread::sleep(rest.max(Duration::from_micros(1)));
        }
        self.wind_up();
    }

    /// Few moments are as delicate as those of a large object: deaths and replacements of the plan are moved there.
    fn aim(&mut self, plan: &mut [Fault], at: Duration) {
        for (kind, millis) in [(Kind::Kill, 1_000..8_000), (Kind::ObjectReplaced, 50..700)] {
            if let Some(fault) = plan.iter_mut().find(|fault| fault.kind == kind) {
                fault.from = at + Duration::from_millis(self.random.u64(millis));
                (fault.until, fault.of) = (fault.from, 1);
            }
        }
        plan.sort_by_key(|fault| fault.from);
    }

    /// Puts a new message, with its objects, into the world.
    fn feed(&mut self, now: Duration) {
        let files = self.random.usize(1..=3);
        let group = self.setup.is_fifo.then(|| self.random.usize(..3));
        let mut state = self.world.state();
        let message = state.queue.sent() + 1;
        let mut objects = Vec::new();
        let mut records = Vec::new();
        for _ in 0..files {
            let number = state.objects.len();
            let is_fast =
                self.setup.rate() >= 3_000_000 && state.objects.iter().all(|o| o.records <= PACKED_MAX);
            let (count, filling) = match self.random.u32(..20) {
                // Several ranges of a GET.
                1 if is_fast => {
                    self.large_at = Some(now);
                    (self.random.usize(10_000..14_000), 900)
                }
                // Larger than what is read as a whole, or than a batch.
                0 => (self.random.usize(1_000..4_000), 900),
                1..8 => (self.random.usize(100..1_500), self.random.usize(80..900)),
                _ => (self.random.usize(1..60), self.random.usize(60..600)),
            };
            let mut object = Object::new(number, count, filling, group.map(|group| (group, message)));
            object.is_late = state.strikes(Kind::ObjectLate);
            if state.strikes(Kind::ObjectDamaged) {
                object.damage(self.random.usize(1..object.bytes.len()));
            }
            // It takes the collector long to find it: one is enough.
            if count > 1
                && state.objects.iter().all(|o| o.poison.is_none())
                && state.strikes(Kind::RecordPoisoned)
            {
                object.poison = Some(self.random.usize(..count));
            }
            records.push(announcement(&object));
            state.put(object);
            objects.push(number);
        }
        let body = json!({ "Records": records }).to_string();
        let shown = format!("{objects:?}");
        let message = state.queue.send(body, objects, group.map(|group| format!("group-{group}")), now);
        drop(state);
        self.world.tell(|| format!("message {message} announces the objects {shown}"));
    }

    fn begin(&mut self, fault: Fault, now: Duration) {
        self.world.tell(|| {
            format!(
                "FAULT {}, one in {}, until {:.3} s",
                fault.kind.name(),
                fault.of,
                fault.until.as_secs_f64()
            )
        });
        if fault.kind.counts_once() {
            *self.world.state().struck.entry(fault.kind).or_default() += 1;
        }
        let (peer, host) = (self.peer_of(fault), self.host_of(fault));
        match fault.kind {
            Kind::Kill => self.machines[host].kill(),
            Kind::Stop => self.machines[host].stop(),
            Kind::Reload => {
                let setup = self.setup.reloaded(&mut self.random);
                self.machines[host].reload(&setup);
            }
            Kind::Freeze => self.machines[host].freeze(true),
            Kind::TableCut => self.cut_off(Some(self.machines[host].number())),
            Kind::HostDrained => self.world.state().ask_to_drain(Some(fault.of_which)),
            Kind::HandOver => self.world.state().mean_sources_for(Some(fault.of_which)),
            Kind::Clock => {
                let seconds = [60, 3_600, 7_200, 86_400, 172_800][self.random.usize(..5)];
                let sign = if self.random.bool() { 1 } else { -1 };
                self.machines[host].set_clock(sign * i128::from(seconds) * 1_000_000_000);
            }
            Kind::SecondCollector => self.second.start(),
            Kind::PeerCloses => self.world.state().end_connections(peer, End::Close, fault.of, now),
            Kind::PeerResets => self.world.state().end_connections(peer, End::Reset, fault.of, now),
            Kind::PeerVanishes => self.world.state().end_connections(peer, End::Silence, fault.of, now),
            Kind::PeerCut => self.world.state().end_connections(peer, End::Cut, fault.of, now),
            Kind::PeerRefuses => {
                let mut state = self.world.state();
                state.end_connections(peer, End::Reset, 1, now);
                state.peers[peer].is_down = true;
            }
            Kind::ObjectVanishes | Kind::ObjectReplaced => self.change_objects(fault.kind, fault.of, now),
            Kind::PeerStalls => self.change_peer(peer, now, |peer| peer.rate = 0),
            Kind::PeerCrashes => self.change_peer(peer, now, |peer| peer.hangs = true),
            Kind::PeerSlow => self.change_peer(peer, now, |peer| peer.rate = 20_000),
            Kind::PeerLate => self.change_peer(peer, now, |peer| peer.latency = LATENCY / fault.of),
            Kind::DiskFull => self.machines[0].fill_disk(true),
            Kind::DiskSlow => self.machines[0].set_disk_time(SLOW_WRITE / fault.of),
            kind => {
                let mut state = self.world.state();
                if kind == Kind::PeerStallsSome {
                    state.stall_some(peer, fault.of, now, true);
                }
                if kind == Kind::PeerRefusesLate {
                    // Its program starts with another list of those it accepts.
                    state.end_connections(peer, End::Reset, 1, now);
                }
                state.active.insert(kind, fault.of);
            }
        }
    }

    /// Deletes objects, or gives them other content, which is announced as well; in a FIFO queue it is not, since the
    /// order of the two would be undefined.
    fn change_objects(&mut self, kind: Kind, of: u32, now: Duration) {
        let mut state = self.world.state();
        let named = state.queue.messages.values().flat_map(|message| message.objects.iter().copied());
        let mut named: Vec<usize> = named.filter(|object| state.objects[*object].next.is_none()).collect();
        named.retain(|_| self.random.u32(..of) == 0);
        for old in named {
            if kind == Kind::ObjectVanishes {
                state.objects[old].is_gone = true;
                continue;
            }
            let Object { key, group, records, filling, .. } = &state.objects[old];
            // Another large one can be taken for the rest of the first.
            let least = if *records > PACKED_MAX { *records } else { 1 };
            let (number, records) = (state.objects.len(), self.random.usize(least..=*records));
            let new = Object::new(number, records, *filling, *group);
            let new = Object { key: key.clone(), is_second: true, ..new };
            let body = json!({ "Records": [announcement(&new)] }).to_string();
            state.objects[old].next = Some((number, now));
            state.put(new);
            if !self.setup.is_fifo {
                state.queue.send(body, vec![number], None, now);
            }
            state.tell(|| format!("object {number} replaces {old}"));
        }
    }

    /// The peer that a fault is about.
    fn peer_of(&self, fault: Fault) -> usize {
        fault.of_which % self.setup.outputs.len()
    }

    /// The host that a fault is about.
    fn host_of(&self, fault: Fault) -> usize {
        fault.of_which % self.machines.len()
    }

    /// Cuts a machine off from the shared table.
    fn cut_off(&self, machine: Option<u64>) {
        self.world.state().sharing.iter_mut().for_each(|sharing| sharing.cut_off = machine);
    }

    /// Changes how a peer's program reads, from now on.
    fn change_peer(&self, peer: usize, now: Duration, change: impl FnOnce(&mut Peer)) {
        let mut state = self.world.state();
        state.advance_peers(now);
        change(&mut state.peers[peer]);
    }

    /// A fault that has lasted for long, and affects all calls, must be visible.
    fn expect_trouble(&self, fault: Fault) {
        let lasted = fault.until.saturating_sub(fault.from);
        let is_alone = self.setup.plan.iter().filter(|other| other.kind == fault.kind).count() == 1;
        let is_visible = match fault.kind {
            Kind::SqsUnavailable | Kind::SqsThrottles | Kind::SqsDenies => {
                fault.of == 1 && lasted >= Duration::from_secs(60)
            }
            Kind::PeerRefuses => lasted >= Duration::from_secs(120) && self.is_awaited(self.peer_of(fault)),
            // A delivery must have been recorded meanwhile.
            Kind::DiskFull if self.machines.len() == 1 => {
                self.world.state().deleted_at.is_some_and(|at| at > fault.from + Duration::from_secs(5))
            }
            _ => false,
        };
        if is_visible && is_alone {
            self.machines[0].check_trouble(fault.kind.name(), fault.from);
        }
    }

    fn finish(&mut self, fault: Fault) {
        let peer = self.peer_of(fault);
        self.expect_trouble(fault);
        self.world.tell(|| format!("end of {}", fault.kind.name()));
        self.machines.iter().for_each(Machine::check_ledger);
        match fault.kind {
            Kind::Freeze => {
                let host = self.host_of(fault);
                self.machines[host].freeze(false);
            }
            Kind::TableCut => self.cut_off(None),
            Kind::HostDrained => self.world.state().ask_to_drain(None),
            Kind::HandOver => self.world.state().mean_sources_for(None),
            Kind::SecondCollector => self.second.kill(),
            Kind::DiskFull => self.machines[0].fill_disk(false),
            Kind::DiskSlow => self.machines[0].set_disk_time(Duration::ZERO),
            Kind::PeerRefuses => self.world.state().peers[peer].is_down = false,
            Kind::PeerCrashes => self.change_peer(peer, self.world.now(), |peer| peer.hangs = false),
            Kind::PeerLate => self.change_peer(peer, self.world.now(), |peer| peer.latency = Duration::ZERO),
            Kind::PeerStalls | Kind::PeerSlow => {
                let rate = self.setup.outputs[peer].rate;
                self.change_peer(peer, self.world.now(), |peer| peer.rate = rate);
            }
            kind => {
                let mut state = self.world.state();
                state.active.remove(&kind);
                if kind == Kind::PeerStallsSome {
                    state.stall_some(peer, 1, self.world.now(), false);
                }
                if kind == Kind::ObjectLate {
                    let now = self.world.now();
                    let late = state.objects.iter_mut().filter(|object| object.is_late);
                    late.for_each(|object| (object.is_late, object.came) = (false, now));
                }
            }
        }
    }

    fn is_delivered(&self) -> bool {
        let (now, mut state) = (self.world.now(), self.world.state());
        state.advance_peers(now);
        state.queue.messages.is_empty() && state.unread(&state.polled()).is_none()
    }

    /// True if something in the queue has not been read by this peer's program.
    fn is_awaited(&self, peer: usize) -> bool {
        let (now, mut state) = (self.world.now(), self.world.state());
        state.advance_peers(now);
        let left: Vec<usize> = state.queue.messages.values().flat_map(|m| m.objects.clone()).collect();
        state.unread_by(&state.peers[peer], &left).is_some()
    }

    /// Time within which everything is delivered, or in the dead-letter queue.
    fn patience(&self) -> Duration {
        let waits = match self.world.state().has_returned {
            true => (0..self.setup.receives_max)
                .map(|n| (RETRY_DELAY_FIRST * 2u32.pow(n)).min(RETRY_DELAY_MAX))
                .sum(),
            false => Duration::ZERO,
        };
        // In a group, each message may have to wait until the one before it is in the dead-letter queue.
        let turns = if self.setup.is_fifo { self.world.state().queue.sent() as u32 } else { 1 };
        RECOVERY + waits * turns
    }

    fn complain(&self) {
        let mut state = self.world.state();
        let left: Vec<String> = state
            .queue
            .messages
            .iter()
            .map(|(id, message)| match state.unread(&message.objects) {
                Some((object, at)) => format!("message {id} (record {at} of object {object} is missing)"),
                None => format!("message {id} (all of it has arrived)"),
            })
            .collect();
        let events = state.unread(&state.polled());
        let why =
            format!("long after the last fault there are {}; missing event: {events:?}", left.join(", "));
        state.violated("everything is delivered once faults have ended", why);
    }

    /// Some time after the last fault the collector calls itself healthy, and it can be stopped.
    fn check_convalescence(&mut self) {
        let start = self.world.now();
        while self.world.now() < start + CONVALESCENCE {
            thread::sleep(CHECK);
            self.machines.iter_mut().for_each(Machine::attend);
            self.world.check();
        }
        self.world.state().check_shares(self.machines.len(), self.world.now());
        for machine in &mut self.machines {
            machine.check_health();
            machine.check_stop();
        }
    }

    /// Everything is delivered: health, and a stop.
    fn wind_up(mut self) {
        if self.world.state().violation.is_some() {
            return;
        }
        if self.setup.drains {
            self.machines.iter_mut().for_each(Machine::check_drain);
        } else {
            self.check_convalescence();
        }
        self.machines.iter().for_each(Machine::check_ledger);
        let (now, mut state) = (self.world.now(), self.world.state());
        state.advance_peers(now);
        let is_dead = |object: &usize| state.queue.dead.values().any(|dead| dead.objects.contains(object));
        let is_due = |object: &usize| !state.objects[*object].is_second && !is_dead(object);
        let all: Vec<usize> = (0..state.objects.len()).filter(is_due).collect();
        let read = state.peers.iter().flat_map(|peer| peer.read.iter().flatten());
        let repeats: u32 = read.map(|times| times.saturating_sub(1)).sum();
        if self.setup.plan.is_empty() && repeats > 0 {
            let why = format!("{repeats} records came more than once");
            state.violated("without a fault, nothing is repeated", why);
        }
        if let Some((object, at)) = state.unread(&all) {
            let why = format!("the queue is empty, and record {at} of object {object} has not been read");
            state.violated("deleted means read by the peer's program", why);
        }
    }
}
