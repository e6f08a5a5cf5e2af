//! This host's part in the fleet: its heartbeat, its leases, and the marks of its sources.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::lease::{Host, Lease};
use super::objects::Objects;
use super::table::{Held, Table};
use super::tenure::Tenure;
use super::view::{Own, View};
use crate::aws::Error;
use crate::base::crew::Crew;
use crate::base::limits::{
    FLEET_BARRED_TIME, FLEET_CLOSE_INTERVAL, FLEET_INTERVAL, FLEET_SAVE_INTERVAL, FLEET_TERM,
};
use crate::base::runtime::{clock, thread};
use crate::base::stop::Stop;
use crate::telemetry;
use crate::telemetry::{FleetHost, FleetSnapshot, FleetSource, Health, Telemetry};

/// The values that a host joins with.
#[derive(Clone)]
pub struct Settings {
    pub table: Table,
    /// For people: the syslog HOST of its events.
    pub name: String,
    /// The sources of its configuration.
    pub sources: BTreeSet<String>,
    /// See [`crate::ledger::Scope::destinations`].
    pub destinations: String,
    /// Objects are claimed before they are collected.
    pub claims: bool,
}

/// A host that has joined. Clones share it.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

struct Shared {
    table: Table,
    host: Host,
    tenures: BTreeMap<String, Tenure>,
    objects: Objects,
    health: Arc<Health>,
    seen: Arc<telemetry::Fleet>,
    /// Distinguishes the writes of marks.
    writes: AtomicU64,
    /// Nothing more is taken.
    closing: Stop,
    /// Nothing more is done.
    closed: Stop,
}

/// The thread that beats, renews, takes and gives.
struct Member {
    shared: Arc<Shared>,
    view: View,
    beat: u64,
    /// When the latest heartbeat that was written was begun.
    beaten: Option<Instant>,
    /// Sources that were handed over lately: another host is to take them.
    given: HashMap<String, Instant>,
}

impl Fleet {
    /// Joins, and starts its threads.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn join(settings: Settings, telemetry: &Telemetry) -> io::Result<(Fleet, Crew)> {
        let Settings { table, name, sources, destinations, claims } = settings;
        let health = Arc::new(Health::dispensable(format!("shared table {}", table.name())));
        telemetry.adopt(&health);
        let tenures = sources.iter().map(|source| (source.clone(), Tenure::new(source, &table))).collect();
        let host = Host::new(&name, sources);
        let (objects, receivers) = Objects::new(&table, &host.id, destinations, claims, telemetry);
        let shared = Arc::new(Shared {
            table,
            host,
            tenures,
            objects,
            health,
            seen: Arc::clone(&telemetry.fleet),
            writes: AtomicU64::new(0),
            closing: Stop::new(),
            closed: Stop::new(),
        });
        let mut crew = Crew::new();
        let (given, own) = (HashMap::new(), Arc::clone(&shared));
        let member =
            Member { shared: Arc::clone(&shared), view: View::default(), beat: 0, beaten: None, given };
        shared.objects.start(receivers, &mut crew)?;
        crew.spawn("fleet", move || member.run())?;
        crew.spawn("fleet-marks", move || own.write_until_closed())?;
        Ok((Fleet(shared), crew))
    }

    /// The lease of a source. None if it is not one of this host's.
    pub fn tenure(&self, source: &str) -> Option<Tenure> {
        self.0.tenures.get(source).cloned()
    }

    /// The objects that it shares.
    pub fn objects(&self) -> &Objects {
        &self.0.objects
    }

    /// Writes what is left, and hands over everything at once. Nothing of the sources is in flight any more.
    pub fn close(&self, patience: Duration) {
        let shared = &self.0;
        shared.closing.stop();
        let deadline = clock::now() + patience;
        for tenure in shared.tenures.values() {
            tenure.end();
            tenure.ask_to_leave();
        }
        let is_done = || shared.tenures.values().all(|tenure| tenure.held().is_none());
        while !is_done() && clock::now() < deadline {
            shared.write_marks();
            if let Err(error) = shared.release_free() {
                log::debug!("fleet: {error}");
            }
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
        if clock::now() < deadline
            && let Err(error) = shared.table.leave(&shared.host.id)
        {
            log::debug!("fleet: {error}");
        }
    }
}

impl Member {
    fn run(mut self) {
        loop {
            let step = self.step();
            // Also after a failure: what is no longer renewed is no longer polled.
            self.shared.seen.see(self.seen(clock::now()));
            match step {
                Ok(()) => self.shared.health.works(),
                Err(error) => self.failed(&error),
            }
            if self.shared.closed.wait(FLEET_INTERVAL) {
                return;
            }
        }
    }

    fn failed(&self, error: &Error) {
        self.shared.objects.unreachable();
        self.shared.health.failed(
            format!(
                "{error}. Polled sources stand still when their leases run out, and resume when it can be used again; S3 feeds go on with the local ledger alone"
            ),
            !error.is_temporary(),
        );
    }

    /// Renewals come first: everything else can wait.
    fn step(&mut self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        shared.renew_all()?;
        shared.release_free()?;
        let was_silent = self.beat()?;
        let leases = if shared.tenures.is_empty() { Vec::new() } else { shared.table.leases()? };
        let asked = clock::now();
        let hosts = shared.table.hosts()?;
        shared.objects.observe(&hosts, asked, was_silent);
        // Seen no earlier than now, so that a slow answer makes nobody look silent.
        let now = clock::now();
        self.view.observe(leases, hosts, now);
        for tenure in shared.tenures.values() {
            let source = tenure.source();
            let holder = self.view.holder(source, &shared.host.id, now);
            tenure.inform(holder.filter(|_| self.view.has_changed(source)));
        }
        if shared.closing.is_stopped() { Ok(()) } else { self.balance(now) }
    }

    /// Writes a heartbeat. Returns true if the one before was so long ago that others may have missed it.
    fn beat(&mut self) -> Result<bool, Error> {
        let (shared, asked) = (&self.shared, clock::now());
        self.beat += 1;
        shared.table.beat(&Host { beat: self.beat, ..shared.host.clone() })?;
        let before = self.beaten.replace(asked);
        Ok(before.is_some_and(|before| asked.saturating_duration_since(before) >= FLEET_TERM))
    }

    /// The hosts and sources as people are shown them.
    fn seen(&self, now: Instant) -> FleetSnapshot {
        let Shared { host: own, tenures, .. } = &*self.shared;
        let host = |(host, held): (&Host, usize)| FleetHost {
            name: host.name.clone(),
            id: host.id.clone(),
            version: host.version.clone(),
            sources: held,
            here: host.id == own.id,
        };
        let source = |tenure: &Tenure| {
            let (name, here) = (tenure.source().to_owned(), !tenure.is_over());
            let polled_by =
                if here { Some(own.name.as_str()) } else { self.view.holder(&name, &own.id, now) };
            FleetSource { polled_by: polled_by.map(str::to_owned), name, here }
        };
        let (hosts, sources) = (self.view.living(now).map(host), tenures.values().map(source));
        FleetSnapshot { hosts: hosts.collect(), sources: sources.collect() }
    }

    fn balance(&mut self, now: Instant) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        self.given.retain(|_, at| now.saturating_duration_since(*at) < FLEET_BARRED_TIME);
        let names = |holds: fn(&Tenure) -> bool| -> BTreeSet<String> {
            let tenures = shared.tenures.values().filter(|tenure| holds(tenure));
            tenures.map(|tenure| tenure.source().to_owned()).collect()
        };
        let held = names(|tenure| tenure.held().is_some());
        let mut barred = names(|tenure| !tenure.is_vacant());
        barred.extend(self.given.keys().cloned());
        let (id, wanted) = (shared.host.id.as_str(), &shared.host.sources);
        let plan = self.view.plan(Own { id, wanted, held: &held, barred: &barred }, now);
        for source in plan.give {
            log::info!("fleet: {source} is handed over to a host that polls fewer sources");
            shared.tenures[&source].ask_to_leave();
            self.given.insert(source, now);
        }
        plan.take.iter().try_for_each(|(source, seen)| shared.take(source, seen.as_ref()))
    }
}

impl Shared {
    fn take(&self, source: &str, seen: Option<&Lease>) -> Result<(), Error> {
        let asked = clock::now();
        if let Some(epoch) = self.table.take(source, &self.host.id, seen)? {
            log::info!("fleet: {source} is polled by this host from now on (epoch {epoch})");
            self.tenures[source].grant(epoch, asked + FLEET_TERM);
        }
        Ok(())
    }

    fn renew_all(&self) -> Result<(), Error> {
        for tenure in self.tenures.values() {
            let Some(epoch) = tenure.held() else { continue };
            let asked = clock::now();
            if self.table.renew(tenure.source(), &self.host.id, epoch)? {
                tenure.renewed(epoch, asked + FLEET_TERM);
            } else {
                self.lost(tenure, epoch);
            }
        }
        Ok(())
    }

    /// Gives up the leases that are to be given up, as soon as nothing needs them.
    fn release_free(&self) -> Result<(), Error> {
        for tenure in self.tenures.values() {
            let Some(epoch) = tenure.leaves() else { continue };
            self.table.release(tenure.source(), &self.host.id, epoch)?;
            tenure.lost(epoch);
        }
        Ok(())
    }

    fn write_until_closed(&self) {
        while !self.closed.wait(FLEET_SAVE_INTERVAL) {
            self.write_marks();
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
                    self.lost(tenure, epoch);
                }
                Err(error) => {
                    log::debug!("fleet: {error}");
                    tenure.written(Some(pending));
                }
            }
        }
    }

    fn lost(&self, tenure: &Tenure, epoch: u64) {
        log::warn!(
            "fleet: another host has taken {} over, because this one did not renew its lease in time; what was not recorded is sent again there",
            tenure.source()
        );
        tenure.lost(epoch);
    }
}
