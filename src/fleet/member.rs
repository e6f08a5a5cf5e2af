//! This host's part in the fleet: its heartbeat, its leases, and the marks of its sources.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::lease::{Beat, Host, Lease, Leases, Load, NOBODY, Taking};
use super::objects::Objects;
use super::table::{Held, Table};
use super::tenure::{Tenure, Trouble};
use super::view::{Own, Plan, View};
use crate::aws::Error;
use crate::base::crew::Crew;
use crate::base::limits::{
    FLEET_BARRED_TIME, FLEET_CLOSE_INTERVAL, FLEET_INTERVAL, FLEET_ROUND, FLEET_SAVE_INTERVAL, FLEET_TERM,
    FLEET_UNABLE_MEMORY, FLEET_UNABLE_TIME,
};
use crate::base::pause::Pause;
use crate::base::runtime::{clock, thread};
use crate::base::stop::Stop;
use crate::telemetry;
use crate::telemetry::{FleetHost, FleetSnapshot, FleetSource, Health, Telemetry};

const RAN_OUT: &str = "no heartbeat was written for so long that this host's leases had run out, because the table answers slowly or \
                       this machine stood still: polled sources stood still, or other hosts have taken them over";

/// The values that a host joins with.
#[derive(Clone)]
pub struct Settings {
    pub table: Table,
    /// For people: the syslog HOST of its events.
    pub name: String,
    /// The sources of its configuration.
    pub sources: BTreeSet<String>,
    /// It takes what nobody polls, and no other host hands anything over to it: it ends soon.
    pub passing: bool,
    /// See [`crate::ledger::Scope::destinations`].
    pub destinations: String,
    /// Objects are claimed before they are collected.
    pub claims: bool,
    /// Is set while this host is drained: it receives nothing new.
    pub pause: Pause,
    /// Says what this host does at present.
    pub load: LoadOf,
    /// Everything ends: nothing more is taken.
    pub stop: Stop,
}

/// A function that says what this host does at present.
pub type LoadOf = Arc<dyn Fn() -> Load + Send + Sync>;

/// A host that has joined. Clones share it.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

struct Shared {
    table: Table,
    host: Host,
    tenures: BTreeMap<String, Tenure>,
    objects: Objects,
    /// It ends soon: see [`Settings::passing`].
    passing: bool,
    pause: Pause,
    load: LoadOf,
    health: Arc<Health>,
    /// A drained host is one that somebody may have forgotten.
    drained: Arc<Health>,
    seen: Arc<telemetry::Fleet>,
    /// Distinguishes the writes of marks.
    writes: AtomicU64,
    /// Nothing more is taken, and sources are given up as they end.
    stop: Stop,
    /// Nothing more is done.
    closed: Stop,
}

/// The thread that beats, renews, takes and gives.
struct Member {
    shared: Arc<Shared>,
    view: View,
    beat: u64,
    began: Instant,
    /// When the latest heartbeat that was written was begun.
    beaten: Option<Instant>,
    /// The leases could not be read in the latest round.
    is_blind: bool,
    /// Sources whose leases cannot be read.
    unreadable: BTreeSet<String>,
    /// Sources that were handed over lately: another host is to take them.
    given: HashMap<String, Instant>,
    /// Sources that this host could not poll lately, each with when that was last so.
    failed: HashMap<String, Instant>,
}

impl Fleet {
    /// Joins, and starts its threads.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn join(settings: Settings, telemetry: &Telemetry) -> io::Result<(Fleet, Crew)> {
        let Settings { table, name, sources, passing, destinations, claims, pause, load, stop } = settings;
        let health = Arc::new(Health::dispensable(format!("shared table {}", table.name())));
        let drained = Arc::new(Health::dispensable("this host"));
        telemetry.adopt(&health);
        telemetry.adopt(&drained);
        let tenures = sources.iter().map(|source| (source.clone(), Tenure::new(source, &table))).collect();
        // Hosts hand sources over to those that name them.
        let host = Host::new(&name, if passing { BTreeSet::new() } else { sources });
        let (objects, receivers) = Objects::new(&table, &host.id, destinations, claims, telemetry);
        let shared = Arc::new(Shared {
            table,
            host,
            tenures,
            objects,
            passing,
            pause,
            load,
            health,
            drained,
            seen: Arc::clone(&telemetry.fleet),
            writes: AtomicU64::new(0),
            stop,
            closed: Stop::new(),
        });
        let mut crew = Crew::new();
        let own = Arc::clone(&shared);
        let member = Member {
            shared: Arc::clone(&shared),
            view: View::default(),
            beat: 0,
            began: clock::now(),
            beaten: None,
            is_blind: false,
            unreadable: BTreeSet::new(),
            given: HashMap::new(),
            failed: HashMap::new(),
        };
        shared.objects.start(receivers, &mut crew)?;
        crew.spawn("fleet", move || member.run())?;
        crew.spawn("fleet-marks", move || own.write_until_closed())?;
        Ok((Fleet(shared), crew))
    }

    /// The lease of a source. None if it is not one of this host's.
    pub fn tenure(&self, source: &str) -> Option<Tenure> {
        self.0.tenures.get(source).cloned()
    }

    pub fn table(&self) -> &Table {
        &self.0.table
    }

    /// The objects that it shares.
    pub fn objects(&self) -> &Objects {
        &self.0.objects
    }

    /// Writes what is left, hands over everything at once, and leaves. Nothing of the sources is in flight any more. `crew` are the
    /// threads that [`Fleet::join`] has started.
    pub fn close(&self, crew: &Crew, patience: Duration) {
        let shared = &self.0;
        let deadline = clock::now() + patience;
        shared.tenures.values().for_each(Tenure::end);
        let is_done = || shared.tenures.values().all(|tenure| tenure.held().is_none());
        while !is_done() && clock::now() < deadline {
            shared.write_marks();
            shared.give_up(deadline);
            if !is_done() {
                thread::sleep(FLEET_CLOSE_INTERVAL);
            }
        }
        if !is_done() {
            log::warn!(
                "the leases in the shared table {} could not be given up in time: other hosts take over when they run out",
                shared.table.name()
            );
        }
        shared.objects.close(deadline.saturating_duration_since(clock::now()));
        shared.closed.stop();
        // A heartbeat that is under way must not come after the removal.
        while !crew.has_ended() && clock::now() < deadline {
            thread::sleep(FLEET_CLOSE_INTERVAL);
        }
        shared.leave(deadline);
    }
}

impl Member {
    fn run(mut self) {
        loop {
            let began = clock::now();
            self.round(began);
            // Also after a failure: what is no longer renewed is no longer polled.
            self.shared.seen.see(self.seen(clock::now()));
            if self.shared.closed.wait(FLEET_INTERVAL.saturating_sub(clock::since(began))) {
                return;
            }
        }
    }

    fn round(&mut self, began: Instant) {
        let looked = self.look(began);
        if let Err(error) = &looked {
            self.shared.objects.unreachable(error);
        }
        let done = looked.and_then(|was_silent| self.act(began).map(|()| was_silent));
        self.shared.report(done, &self.unreadable);
    }

    /// Beats, which renews all leases, and reads the table. Returns true if the heartbeat before was so long ago that the
    /// leases had run out.
    fn look(&mut self, began: Instant) -> Result<bool, Error> {
        let shared = Arc::clone(&self.shared);
        if std::mem::replace(&mut self.is_blind, true) {
            // It must not look alive to others if it cannot see what it holds.
            shared.leases()?;
        }
        let was_silent = self.beat(began)?;
        let leases = shared.leases()?;
        self.is_blind = false;
        shared.renew(&leases, began);
        self.unreadable.clone_from(&leases.unreadable);
        let asked = clock::now();
        let hosts = shared.table.hosts()?;
        shared.objects.observe(&hosts, asked, was_silent);
        // Seen no earlier than now, so that a slow answer makes nobody look silent.
        let now = clock::now();
        self.view.observe(leases, hosts, now);
        shared.drain(self.view.is_drained(&shared.host.id));
        for tenure in shared.tenures.values() {
            let source = tenure.source();
            let holder = self.view.holder(source, &shared.host.id, now);
            tenure.inform(holder, self.view.is_proven(source, &shared.host.id, now));
        }
        Ok(was_silent && !shared.tenures.is_empty())
    }

    /// Gives leases up, and takes some.
    fn act(&mut self, began: Instant) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        if shared.stop.is_stopped() {
            return Ok(());
        }
        // Before anything is given up: the plan is for the leases as they were read.
        let plan = self.plan(clock::now());
        let is_cut_off = (shared.load)().outage >= FLEET_UNABLE_TIME;
        let released = shared.release_free(began + FLEET_ROUND, is_cut_off);
        let strays = self.strays(&plan, is_cut_off);
        let freed = each(strays, began + FLEET_ROUND, |lease| {
            shared.table.release(&lease.source, &shared.host.id, lease.epoch).map(drop)
        });
        let until = began + FLEET_TERM;
        released.and(freed).and(each(&plan.take, began + FLEET_ROUND, |taking| shared.take(taking, until)))
    }

    /// The leases that name this host, although it neither holds them nor is about to take them: the answer to the call that has
    /// taken one was lost, or the call has arrived late. Nobody else would poll their sources. `anyway`: also if pages of an
    /// earlier time are in flight.
    fn strays(&self, plan: &Plan, anyway: bool) -> Vec<Lease> {
        let Shared { host, tenures, .. } = &*self.shared;
        let is_stray = |lease: &&Lease| {
            let is_unheld = |tenure: &Tenure| tenure.is_vacant() || (anyway && tenure.held().is_none());
            tenures.get(&lease.source).is_none_or(is_unheld)
                && !plan.take.iter().any(|taking| taking.source == lease.source)
        };
        self.view.leases_of(&host.id).filter(is_stray).cloned().collect()
    }

    /// Writes a heartbeat. Returns true if the one before was so long ago, or this host was removed from the table for so
    /// long, that others may have missed it.
    fn beat(&mut self, asked: Instant) -> Result<bool, Error> {
        let shared = Arc::clone(&self.shared);
        self.beat += 1;
        let own = Host { unable: self.unable(asked, Duration::ZERO), ..shared.at_present(self.beat) };
        // A late heartbeat must not bring back a host that has left.
        let was_there = shared.table.beat(&own, self.beaten.is_some())?;
        if !was_there && !shared.closed.is_stopped() {
            shared.table.beat(&own, false)?;
        }
        let before = self.beaten.replace(asked);
        let is_late = |before| asked.saturating_duration_since(before) >= FLEET_TERM;
        Ok(!was_there || before.is_some_and(is_late))
    }

    /// The sources that this host has not been able to poll for this long, or could not a while ago: another host may be able to.
    fn unable(&self, now: Instant, least: Duration) -> BTreeSet<String> {
        let outage = (self.shared.load)().outage;
        let is_cut_off = outage > Duration::ZERO && outage >= least;
        let is_unable = |(source, tenure): &(&String, &Tenure)| {
            let fails = |since| now.saturating_duration_since(since) >= least;
            is_cut_off || self.failed.contains_key(*source) || tenure.failing_since().is_some_and(fails)
        };
        self.shared.tenures.iter().filter(is_unable).map(|(source, _)| source.clone()).collect()
    }

    /// Notes which sources could not be polled for so long that another host is to try.
    fn note_failures(&mut self, now: Instant) {
        for (source, tenure) in &self.shared.tenures {
            match tenure.failing_since() {
                Some(since) if now.saturating_duration_since(since) >= FLEET_UNABLE_TIME => {
                    self.failed.insert(source.clone(), now);
                }
                None if tenure.held().is_some() => drop(self.failed.remove(source)),
                _ => (),
            }
        }
        self.failed.retain(|_, at| now.saturating_duration_since(*at) < FLEET_UNABLE_MEMORY);
    }

    /// The hosts and sources as people are shown them.
    fn seen(&self, now: Instant) -> FleetSnapshot {
        let Shared { host: own, tenures, pause, load, .. } = &*self.shared;
        let (load, unable) = (load(), self.unable(now, FLEET_UNABLE_TIME));
        let shown = |host: &Host, since: Instant, sources: usize| FleetHost {
            name: host.name.clone(),
            id: host.id.clone(),
            version: host.version.clone(),
            sources,
            drained: host.drained,
            events_per_second: host.load.rate,
            messages_in_flight: host.load.messages,
            heartbeat_age_seconds: now.saturating_duration_since(since).as_secs_f64(),
            here: host.id == own.id,
        };
        let source = |tenure: &Tenure| {
            let (name, here) = (tenure.source().to_owned(), !tenure.is_over());
            let polled_by = match here {
                true => Some(own.name.as_str()).filter(|_| !unable.contains(&name)),
                false => self.view.poller(&name, &own.id, now),
            };
            FleetSource { polled_by: polled_by.map(str::to_owned), name, here }
        };
        let sources: Vec<FleetSource> = tenures.values().map(source).collect();
        let here = Host { drained: pause.is_on(), load, ..own.clone() };
        let held = sources.iter().filter(|source| source.here).count();
        let here = shown(&here, self.beaten.unwrap_or(self.began), held);
        let others = self.view.living(now).filter(|(host, _)| host.id != own.id);
        let others = others.map(|(host, since)| shown(host, since, self.view.held_by(&host.id)));
        FleetSnapshot { hosts: std::iter::once(here).chain(others).collect(), sources }
    }

    /// Plans what to take, and asks for what is to be given.
    fn plan(&mut self, now: Instant) -> Plan {
        let shared = Arc::clone(&self.shared);
        self.given.retain(|_, at| now.saturating_duration_since(*at) < FLEET_BARRED_TIME);
        let names = |holds: fn(&Tenure) -> bool| -> BTreeSet<String> {
            let tenures = shared.tenures.values().filter(|tenure| holds(tenure));
            tenures.map(|tenure| tenure.source().to_owned()).collect()
        };
        let held = names(|tenure| tenure.held().is_some());
        let mut barred = names(|tenure| !tenure.is_vacant());
        barred.extend(self.given.keys().cloned());
        self.note_failures(now);
        let (id, wanted) = (shared.host.id.as_str(), names(|_| true));
        let unable = self.unable(now, FLEET_UNABLE_TIME);
        let own = Own { id, wanted: &wanted, held: &held, barred: &barred, unable: &unable };
        let plan = self.view.plan(own, now);
        for source in &plan.give {
            if shared.tenures[source].ask_to_leave() {
                match self.view.holder(source, id, now) {
                    Some(other) => log::warn!(
                        "fleet: {source} is given up, because {other} divides the same log groups into more parts and polls them, too: one of \
                         the two could not see the other for a while. Use the same \"shards\" on all hosts"
                    ),
                    None if unable.contains(source) => log::warn!(
                        "fleet: {source} is handed over to another host, because this one cannot poll it, or not send what it reads; the log says why"
                    ),
                    None => log::info!("fleet: {source} is handed over to another host"),
                }
            }
            self.given.insert(source.clone(), now);
        }
        plan
    }
}

impl Shared {
    fn leases(&self) -> Result<Leases, Error> {
        if self.tenures.is_empty() { Ok(Leases::default()) } else { self.table.leases() }
    }

    /// Follows the wish of people: see [`Table::drain`].
    fn drain(&self, drained: bool) {
        let drained = drained && !self.passing;
        self.pause.set(drained);
        match drained {
            true => self.drained.failed(
                format!(
                    "this host is drained: it receives no messages and polls no sources, because somebody asked for it. To make it go on, run `aws-to-devo fleet --config FILE --resume {}`",
                    self.host.id
                ),
                false,
            ),
            false => self.drained.calms_down(),
        }
    }

    /// This host as its heartbeat shows it. While it ends, no source is kept for it.
    fn at_present(&self, beat: u64) -> Host {
        let is_ending = self.stop.is_stopped();
        let sources = if is_ending { BTreeSet::new() } else { self.host.sources.clone() };
        let (obeys, load, beat) = (self.pause.is_on(), (self.load)(), Beat::Count(beat));
        Host { sources, passing: self.passing || is_ending, beat, obeys, load, ..self.host.clone() }
    }

    /// `until`: when the term that began with the latest heartbeat ends.
    fn take(&self, taking: &Taking, until: Instant) -> Result<(), Error> {
        if self.stop.is_stopped() {
            return Ok(());
        }
        let source = &taking.source;
        if let Some(epoch) = self.table.take(taking, &self.host.id)? {
            log::info!("fleet: {source} is polled by this host from now on (epoch {epoch})");
            self.tenures[source].grant(epoch, until);
        }
        Ok(())
    }

    /// Renews the leases that are still this host's: its heartbeat, which was begun at `beaten`, is in the table.
    fn renew(&self, leases: &Leases, beaten: Instant) {
        for tenure in self.tenures.values() {
            let Some(epoch) = tenure.held() else { continue };
            let lease = leases.known.get(tenure.source());
            if lease.is_some_and(|lease| lease.holder == self.host.id && lease.epoch == epoch) {
                tenure.renewed(epoch, beaten + FLEET_TERM);
            } else if tenure.leaves(false).is_none() {
                self.lost(tenure, epoch, lease);
            }
        }
    }

    /// Gives up the leases that are to be given up, as soon as nothing needs them, or `anyway`.
    fn release_free(&self, deadline: Instant, anyway: bool) -> Result<(), Error> {
        let leaving = self.tenures.values().filter_map(|tenure| Some((tenure, tenure.leaves(anyway)?)));
        each(leaving, deadline, |(tenure, epoch)| {
            self.table.release(tenure.source(), &self.host.id, epoch)?;
            tenure.lost(epoch);
            Ok(())
        })
    }

    /// Tells how a round went: whether the leases had run out before it, or why it failed.
    fn report(&self, done: Result<bool, Error>, unreadable: &BTreeSet<String>) {
        let trouble = done.as_ref().err().map(|error| Trouble {
            message: format!(
                "{error}. Polled sources stand still when their leases run out, and resume when it can be used again; S3 feeds go on with the local ledger alone"
            ),
            lasting: !error.is_temporary(),
            own: false,
        });
        match (&trouble, done) {
            (Some(Trouble { message, lasting, .. }), _) => self.health.failed(message.as_str(), *lasting),
            (None, Ok(true)) => self.health.failed(RAN_OUT, false),
            (None, _) => self.health.works(),
        }
        for (source, tenure) in &self.tenures {
            let own = unreadable.contains(source).then(|| self.unreadable(source));
            tenure.troubled(own.or_else(|| trouble.clone()));
        }
    }

    fn unreadable(&self, source: &str) -> Trouble {
        let table = self.table.name();
        Trouble {
            message: format!(
                "the lease of {source} in the shared table {table} (the item with pk \"leases\" and sk \"{source}\") cannot be read, so no host polls \
                 the source. Correct the item's `holder` and `epoch`, or make the table forget the source (`aws-to-devo ledger forget --input {source}`)"
            ),
            lasting: true,
            own: true,
        }
    }

    /// Writes marks, and while everything ends gives sources up, each as soon as nothing of it is in flight: the others need not
    /// wait for the queues.
    fn write_until_closed(&self) {
        while !self.closed.wait(FLEET_SAVE_INTERVAL) {
            self.write_marks();
            if self.stop.is_stopped() {
                self.give_up(clock::now() + FLEET_ROUND);
            }
        }
    }

    fn give_up(&self, deadline: Instant) {
        for tenure in self.tenures.values() {
            tenure.ask_to_leave();
        }
        if let Err(error) = self.release_free(deadline, false) {
            log::debug!("fleet: {error}");
        }
    }

    /// Removes this host from the table, so that the others need not wait until it is silent.
    fn leave(&self, deadline: Instant) {
        while clock::now() < deadline {
            match self.table.leave(&self.host.id) {
                Ok(()) => return,
                Err(error) => log::debug!("fleet: {error}"),
            }
            thread::sleep(FLEET_CLOSE_INTERVAL);
        }
    }

    fn write_marks(&self) {
        for tenure in self.tenures.values() {
            let Some((epoch, pending)) = tenure.take_pending() else { continue };
            let lease = Held { source: tenure.source(), holder: &self.host.id, epoch };
            match self.table.save(&lease, &pending, self.writes.fetch_add(1, Ordering::Relaxed)) {
                Ok(true) => tenure.written(None),
                Ok(false) => {
                    tenure.written(None);
                    self.lost(tenure, epoch, None);
                }
                Err(error) => {
                    log::debug!("fleet: {error}");
                    tenure.written(Some(pending));
                }
            }
        }
    }

    /// The lease is over, because the table says `now` instead. None: it says something else.
    fn lost(&self, tenure: &Tenure, epoch: u64, now: Option<&Lease>) {
        log::warn!("fleet: {}", loss(tenure.source(), now));
        tenure.lost(epoch);
    }
}

fn loss(source: &str, now: Option<&Lease>) -> String {
    let (how, place) = match now.filter(|lease| lease.holder == NOBODY) {
        Some(_) => (
            "its lease in the table was changed by a command (`ledger forget`, `ledger import`) or by hand, and nobody holds it".to_owned(),
            "by the host that polls it next",
        ),
        None => (
            format!("another host has taken {source} over, because this one did not renew its lease in time, or its lease in the table was changed"),
            "there",
        ),
    };
    format!("{source} is no longer this host's: {how}; what was not recorded is sent again {place}")
}

/// Makes a call for each of the items, also after one has failed, until the deadline; at least for the first. Returns the
/// first error.
fn each<T>(
    items: impl IntoIterator<Item = T>,
    deadline: Instant,
    call: impl FnMut(T) -> Result<(), Error>,
) -> Result<(), Error> {
    let items = items.into_iter().enumerate();
    let due = items.take_while(|(number, _)| *number == 0 || clock::now() < deadline).map(|(_, item)| item);
    due.map(call).fold(Ok(()), Result::and)
}

#[cfg(test)]
mod tests;
