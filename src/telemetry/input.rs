//! Figures of an input, or of a source behind an API, and of its services.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use jiff::Timestamp;

use super::failed::{At, Failed, FailedObjects, Novelty};
use super::queue::Queue;
use super::snapshot::{InputSnapshot, Part, ServiceSnapshot, seconds};
use super::trouble::{Health, adopt};
use crate::ack::{Ending, Fate, Outcome};
use crate::base::locks::lock;
use crate::base::runtime::clock;
use crate::base::runtime::sync::Mutex;
use crate::settings;
use crate::telemetry::model::counter::Gauge;
use crate::telemetry::model::endings::Endings;
use crate::telemetry::model::former::Former;
use crate::telemetry::model::groups::{
    Calls, DecodeCounts, Delivered, FetchCounts, PollCounts, ReceiveCounts, SettleCounts, Waits,
};
use crate::telemetry::model::lag::Lag;
use crate::telemetry::model::latest::{Latest, unix_time};

/// Telemetry of one entry of `inputs`, or of a source behind an API.
#[derive(Debug)]
pub struct Input {
    /// Its key in the configuration.
    pub name: String,
    /// Its id in the configuration, by which the ledger knows it.
    id: String,
    pub receive: ReceiveCounts,
    /// Receives that are under way, or wait for room.
    pub receives: Gauge,
    /// Objects whose last attempt has failed because of their bucket.
    pub unreadable: Gauge,
    pub poll: PollCounts,
    pub fetch: FetchCounts,
    pub settle: SettleCounts,
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
    /// Counts for names of no service of the input, which are a bug. Shown only if there is one.
    unknown: OnceLock<Arc<Service>>,
    credentials_expire_at: Mutex<Option<Timestamp>>,
    /// Objects that were not delivered.
    pub failures: Arc<FailedObjects>,
}

/// The name under which a name of no service is counted.
const UNKNOWN: &str = "unknown";

/// Telemetry of a service of an input.
#[derive(Debug)]
pub struct Service {
    pub name: String,
    pub decode: DecodeCounts,
    pub delivered: Delivered,
    pub endings: Endings,
    pub lag: Lag,
    pub last_delivery: Latest,
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
        Input { id: input.id.clone(), ..Input::new(&input.key, input.queue.text(), &names) }
    }

    pub(super) fn of_source(source: &settings::Source) -> Input {
        let settings::Source { name, path, region, service, .. } = source;
        let health = Health::required(format!("{path} in {region}"));
        Input { health, ..Input::new(name, "", &[&service.name]) }
    }

    /// Creates it with counters that continue from those of an earlier run, if it existed then.
    pub(super) fn after(
        self,
        before: Option<&Arc<Input>>,
        waits: &Arc<Waits>,
        failures: &Arc<FailedObjects>,
    ) -> Input {
        let (waits, failures) = (Arc::clone(waits), Arc::clone(failures));
        let Some(before) = before else { return Input { waits, failures, ..self } };
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
            failures,
            ..self
        }
    }

    /// Records an object, or a message, that was not delivered. It is logged once, and once more if that was the
    /// last delivery of its message; in between, it is only counted.
    pub fn failed(&self, failed: &Failed<'_>) {
        let at =
            At { input: &self.name, id: &self.id, redrive: self.queue.redrive(), now: clock::timestamp() };
        let (object, novelty) = self.failures.add(failed, &at);
        let (name, line) = (&self.name, object.line());
        match novelty {
            Novelty::Again => log::debug!("inputs.{name}: {line}"),
            Novelty::News => log::warn!(
                place = failed.service.unwrap_or(name), cause = failed.kind,
                input = name.as_str(), service = object.service.as_str(), object = object.name.as_str(),
                message_id = object.message.as_str(), attempt = object.attempt;
                "inputs.{name}: {line}"
            ),
        }
    }

    /// Creates the telemetry of an input with at least one of `services`.
    pub fn new(name: &str, queue_url: &str, services: &[&str]) -> Input {
        Input {
            receive: ReceiveCounts::default(),
            receives: Gauge::default(),
            unreadable: Gauge::default(),
            poll: PollCounts::default(),
            fetch: FetchCounts::default(),
            settle: SettleCounts::default(),
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
            unknown: OnceLock::new(),
            credentials_expire_at: Mutex::default(),
            failures: Arc::default(),
            id: name.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The service of this name. Names come from the configuration that this telemetry is of, so an unknown one is a
    /// bug: it stops a debug build, and others count it as the service `unknown`.
    pub fn service(&self, name: &str) -> &Arc<Service> {
        self.services.iter().find(|service| service.name == name).unwrap_or_else(|| {
            debug_assert!(false, "{name} is no service of {}", self.name);
            self.unknown_service(name)
        })
    }

    pub(super) fn has_service(&self, name: &str) -> bool {
        self.services.iter().any(|service| service.name == name)
    }

    /// The counts, with those of its services, after a reload that removes it.
    pub(super) fn former(&self) -> Former {
        let own = Former {
            receive: self.receive.successor().totals(),
            poll: self.poll.successor().totals(),
            fetch: self.fetch.successor().totals(),
            settle: self.settle.successor().totals(),
            endings: self.endings.totals(),
            ..Former::default()
        };
        self.counted_services().map(|service| service.former()).chain([own]).sum()
    }

    fn unknown_service(&self, name: &str) -> &Arc<Service> {
        self.unknown.get_or_init(|| {
            log::error!(
                "inputs.{}: {name} is none of its services, which is a bug of the collector; its figures are counted \
                 as those of the service `{UNKNOWN}`. Please report this",
                self.name
            );
            Arc::new(Service::new(UNKNOWN))
        })
    }

    /// The services, and the unknown one if something was counted there.
    pub(super) fn counted_services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.iter().chain(self.unknown.get())
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
            decode: DecodeCounts::default(),
            delivered: Delivered::default(),
            endings: Endings::default(),
            lag: Lag::default(),
            last_delivery: Latest::default(),
        }
    }

    fn successor(&self) -> Service {
        Service {
            decode: self.decode.successor(),
            delivered: self.delivered.successor(),
            endings: self.endings.successor(),
            lag: self.lag.successor(),
            last_delivery: self.last_delivery.successor(),
            ..Service::new(&self.name)
        }
    }

    /// Its counts after a reload that removes it.
    pub(super) fn former(&self) -> Former {
        Former {
            decode: self.decode.successor().totals(),
            delivered: self.delivered.successor().totals(),
            endings: self.endings.totals(),
            ..Former::default()
        }
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
        ending.into_iter().for_each(|ending| self.endings.add(ending));
        ending
    }
}

impl Input {
    pub(super) fn snapshot(&self, now: Timestamp) -> InputSnapshot {
        InputSnapshot {
            name: self.name.clone(),
            queue: self.queue.snapshot(now, clock::now()),
            credentials_expire_at: self.credentials_expire_at(),
            receive: self.receive.totals(),
            poll: self.poll.totals(),
            fetch: self.fetch.totals(),
            settle: self.settle.totals(),
            endings: self.endings.totals(),
            calls: self.calls.totals(),
            services: self.counted_services().map(|service| service.snapshot(now)).collect(),
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
            last_delivery_at: self.last_delivery.age(clock::now()).map(|age| unix_time(age, now) as f64),
            decode: self.decode.totals(),
            delivered: self.delivered.totals(),
            endings: self.endings.totals(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "typo is no service of queue"))]
    fn a_name_of_no_service_is_not_that_of_the_first() {
        let input = Input::new("queue", "", &["aws_sqs_vpc"]);
        assert_eq!(input.service("typo").name, UNKNOWN);
    }

    #[test]
    fn what_is_counted_for_no_service_is_shown_beside_the_others() {
        let input = Input::new("queue", "", &["aws_sqs_vpc"]);
        let names = || -> Vec<String> {
            input.snapshot(Timestamp::now()).services.into_iter().map(|service| service.name).collect()
        };
        assert_eq!(names(), ["aws_sqs_vpc"]);
        input.unknown_service("typo").decode.failed.increment();
        input.unknown_service("another").decode.failed.increment();
        assert_eq!(names(), ["aws_sqs_vpc", UNKNOWN]);
        let failed = input
            .snapshot(Timestamp::now())
            .services
            .iter()
            .map(|service| service.decode.failed)
            .sum::<u64>();
        assert_eq!(failed, 2);
    }
}
