//! Figures of an input, or of a source behind an API, and of its services.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use jiff::Timestamp;

use super::queue::Queue;
use super::snapshot::{InputSnapshot, Part, ServiceSnapshot, seconds};
use super::trouble::{Health, adopt};
use crate::ack::{Ending, Fate, Outcome};
use crate::base::locks::lock;
use crate::settings;
use crate::telemetry::model::endings::Endings;
use crate::telemetry::model::groups::{Calls, Decode, Delivered, Fetch, Poll, Receive, Settle, Waits};
use crate::telemetry::model::lag::Lag;

/// Telemetry of one entry of `inputs`, or of a source behind an API.
#[derive(Debug)]
pub struct Input {
    /// Its key in the configuration.
    pub name: String,
    pub receive: Receive,
    pub poll: Poll,
    pub fetch: Fetch,
    pub settle: Settle,
    /// Endings without a service: unreadable messages, objects of no service.
    pub endings: Endings,
    pub calls: Arc<Calls>,
    pub waits: Arc<Waits>,
    pub queue: Queue,
    /// Health of the queue, or of the API.
    pub health: Health,
    /// Health of the buckets.
    pub buckets: Health,
    /// Health of deletions.
    pub settling: Health,
    /// Health of lease extensions.
    pub leases: Health,
    /// Health of reading the queue's attributes: its depth, its dead letters.
    pub looks: Health,
    /// Health of the dead-letter queue, which is a warning while dead letters increase.
    pub dead_letters: Health,
    /// Health of all calls to AWS, which must be answered in time.
    pub answers: Arc<Health>,
    /// Health of its credentials, which are refreshed elsewhere.
    adopted: Mutex<Vec<Arc<Health>>>,
    /// At least one: the configured services and their delegates.
    pub services: Vec<Arc<Service>>,
    credentials_expire_at: Mutex<Option<Timestamp>>,
}

/// Telemetry of a service of an input.
#[derive(Debug)]
pub struct Service {
    pub name: String,
    pub decode: Decode,
    pub delivered: Delivered,
    pub endings: Endings,
    pub lag: Lag,
    /// The time of the last delivery, in seconds since 1970; 0 if there was none.
    last_delivery: AtomicI64,
}

impl Input {
    /// The parts whose failure stops collection.
    pub fn healths(&self) -> [&Health; 4] {
        [&self.health, &self.buckets, &self.settling, &self.leases]
    }

    /// Adds a part that is reported with the others from now on.
    pub fn adopt(&self, health: &Arc<Health>) {
        adopt(&self.adopted, health);
    }

    pub(super) fn parts(&self, now: Instant) -> Vec<Part> {
        let others = lock(&self.adopted);
        let own = self.healths().into_iter().chain([&*self.answers, &self.looks, &self.dead_letters]);
        own.chain(others.iter().map(|health| &**health)).map(|health| health.part(now)).collect()
    }

    pub(super) fn of(input: &settings::Input) -> Input {
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

    pub(super) fn of_source(source: &settings::Source) -> Input {
        let settings::Source { name, path, region, service, .. } = source;
        let health = Health::required(format!("{path} in {region}"));
        Input { health, ..Input::new(name, "", &[&service.name]) }
    }

    /// Creates it with counters that continue from those of an earlier run, if it existed then.
    pub(super) fn after(self, before: Option<&Arc<Input>>, waits: &Arc<Waits>) -> Input {
        let waits = Arc::clone(waits);
        let Some(before) = before else { return Input { waits, ..self } };
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
            waits,
            ..self
        }
    }

    /// Creates the telemetry of an input with at least one of `services`.
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

    /// The service of this name; an unknown name counts for the first.
    pub fn service(&self, name: &str) -> &Arc<Service> {
        self.services.iter().find(|service| service.name == name).unwrap_or(&self.services[0])
    }

    /// Expiry of the credentials; None if they never expire, or none are in use.
    pub fn set_credentials_expire_at(&self, at: Option<Timestamp>) {
        *lock(&self.credentials_expire_at) = at;
    }

    fn credentials_expire_at(&self) -> Option<f64> {
        let at = *lock(&self.credentials_expire_at);
        at.map(seconds)
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
            last_delivery: AtomicI64::new(0),
        }
    }

    fn successor(&self) -> Service {
        Service {
            decode: self.decode.successor(),
            delivered: self.delivered.successor(),
            endings: self.endings.successor(),
            lag: self.lag.successor(),
            last_delivery: AtomicI64::new(self.last_delivery.load(Ordering::Relaxed)),
            ..Service::new(&self.name)
        }
    }

    /// Records a delivery at that time, in seconds since 1970.
    pub fn delivered_at(&self, time: i64) {
        self.last_delivery.fetch_max(time, Ordering::Relaxed);
    }

    /// The time of the last delivery, in seconds since 1970. None if none is known.
    pub fn last_delivery(&self) -> Option<i64> {
        Some(self.last_delivery.load(Ordering::Relaxed)).filter(|time| *time > 0)
    }

    /// An object is in flight from now on. `time` is its event time, if known.
    pub fn begin(&self, time: Option<Timestamp>) {
        self.delivered.in_work.add(1);
        if let Some(time) = time {
            self.lag.begin(time);
        }
    }

    /// This many objects in flight, with that event time, are returned before they were started.
    pub fn never_begun(&self, time: Option<Timestamp>, count: usize) {
        self.delivered.in_work.add(-(count as i64));
        self.delivered.retried.add(count as u64);
        if let Some(time) = time {
            (0..count).for_each(|_| self.lag.end(time, None));
        }
    }

    /// The same object's work has ended. Returns its ending; None if it will be retried.
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
        if ending == Some(Ending::Sent) {
            self.delivered_at(now.as_second());
        }
        ending.into_iter().for_each(|ending| self.endings.add(ending));
        ending
    }
}

impl Input {
    pub(super) fn snapshot(&self, now: Timestamp) -> InputSnapshot {
        InputSnapshot {
            name: self.name.clone(),
            queue: self.queue.snapshot(now, Instant::now()),
            credentials_expire_at: self.credentials_expire_at(),
            receive: self.receive.totals(),
            poll: self.poll.totals(),
            fetch: self.fetch.totals(),
            settle: self.settle.totals(),
            endings: self.endings.totals(),
            calls: self.calls.totals(),
            services: self.services.iter().map(|service| service.snapshot(now)).collect(),
        }
    }
}

impl Service {
    pub(super) fn snapshot(&self, now: Timestamp) -> ServiceSnapshot {
        let last = self.lag.last();
        ServiceSnapshot {
            name: self.name.clone(),
            lag_seconds: self.lag.oldest(now).or(last),
            last_lag_seconds: last,
            last_delivery_at: self.last_delivery().map(|time| time as f64),
            decode: self.decode.totals(),
            delivered: self.delivered.totals(),
            endings: self.endings.totals(),
        }
    }
}
