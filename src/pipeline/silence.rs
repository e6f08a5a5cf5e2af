//! Detection of silent services. A feed that has stopped causes no error, no retry and no dead letter.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::framing::source_of;
use crate::base::crew::Crew;
use crate::base::limits::{
    QUIET_CHECK_INTERVAL, QUIET_LEARN_INTERVAL, QUIET_LEARNT_MIN, QUIET_LEARNT_SLOTS_MIN, QUIET_LEARNT_SPAN,
    QUIET_MARGIN,
};
use crate::base::runtime::clock;
use crate::base::stop::Stop;
use crate::base::text::span;
use crate::ledger::{FILE, Look, Pauses, seconds};
use crate::settings::Config;
use crate::telemetry::{self, Failure, Health, Telemetry};

/// A feed whose deliveries are watched.
struct Feed {
    health: Arc<Health>,
    /// The services whose deliveries count, with their names in the ledger ([`crate::ledger::Sent::source`]).
    members: Vec<(Arc<telemetry::Service>, String)>,
    /// `quiet_after`.
    written: Option<Duration>,
    /// The longest usual pause.
    learnt: Option<Duration>,
    advice: &'static str,
}

const OF_OBJECTS: &str = "Check that its logs are still written and that the bucket still announces them to the queue: \
                          `aws-to-devo audit` finds missing objects";
const OF_API: &str = "Check that there are still events, and that its settings still select them";

/// Starts the thread that watches all feeds of the inputs and sources that send.
///
/// # Errors
/// If the thread cannot be started.
pub fn start(config: &Config, telemetry: &Arc<Telemetry>, stop: &Stop) -> std::io::Result<Crew> {
    let path = config.globals.state_directory.join(FILE);
    let mut feeds = feeds(config, telemetry);
    feeds.iter().for_each(|feed| telemetry.adopt(&feed.health));
    learn_all(&mut feeds, &path, clock::timestamp(), clock::now());
    let (mut crew, stop) = (Crew::new(), stop.clone());
    crew.spawn("silence", move || watch(feeds, &path, &stop))?;
    Ok(crew)
}

fn watch(mut feeds: Vec<Feed>, path: &Path, stop: &Stop) {
    let mut learnt = clock::now();
    while !stop.wait(QUIET_CHECK_INTERVAL) {
        if clock::since(learnt) >= QUIET_LEARN_INTERVAL {
            learn_all(&mut feeds, path, clock::timestamp(), clock::now());
            learnt = clock::now();
        }
        feeds.iter().for_each(|feed| feed.look(clock::now()));
    }
}

/// The feeds of a configuration. With `quiet_after`, a service and its delegates are one feed: any delivery ends the
/// silence. Without it, each of them is a feed with a learnt time of its own.
fn feeds(config: &Config, telemetry: &Telemetry) -> Vec<Feed> {
    let mut feeds = Vec::new();
    let (of_inputs, of_sources) = telemetry.inputs.split_at(config.inputs.len().min(telemetry.inputs.len()));
    for (input, counts) in config.inputs.iter().zip(of_inputs).filter(|(input, _)| !input.do_not_send) {
        let of_services = input.services.iter().flat_map(|service| {
            let family: Vec<&str> = std::iter::once(service)
                .chain(&service.delegates)
                .map(|member| member.name.as_str())
                .collect();
            let groups = if service.quiet_after.is_some() { vec![family] } else { singles(family) };
            groups.into_iter().map(|group| (group, service.quiet_after))
        });
        let mut of_input: Vec<(Vec<&str>, Option<Duration>)> = Vec::new();
        for (group, written) in of_services {
            // A delegate may also be a service of the input itself.
            if !of_input.iter().any(|(known, _)| *known == group) {
                of_input.push((group, written));
            }
        }
        let member = |name: &str| (Arc::clone(counts.service(name)), source_of(&input.id, name));
        feeds.extend(of_input.into_iter().map(|(group, written)| Feed {
            health: Arc::new(Health::dispensable(format!("inputs.{}: {}", input.key, group[0]))),
            members: group.into_iter().map(member).collect(),
            written,
            learnt: None,
            advice: OF_OBJECTS,
        }));
    }
    feeds.extend(config.sources.iter().zip(of_sources).map(|(source, counts)| Feed {
        health: Arc::new(Health::dispensable(format!("{} in {}: events", source.path, source.region))),
        members: vec![(Arc::clone(counts.service(&source.service.name)), source.name.clone())],
        written: source.service.quiet_after,
        learnt: None,
        advice: OF_API,
    }));
    feeds
}

fn singles(names: Vec<&str>) -> Vec<Vec<&str>> {
    names.into_iter().map(|name| vec![name]).collect()
}

/// Learns the pauses of all feeds from the ledger, and their last deliveries. Nothing is learnt without one.
fn learn_all(feeds: &mut [Feed], path: &Path, now: Timestamp, instant: Instant) {
    let from = now.as_second() - seconds(QUIET_LEARNT_SPAN);
    let pauses = Look::open(path, None).ok().and_then(|look| look.pauses(from, now.as_second()).ok());
    if let Some(pauses) = pauses {
        feeds.iter_mut().for_each(|feed| feed.learn(&pauses, now, instant));
    }
}

/// The longest pause of a source. None if it has not delivered often enough.
fn usual(pauses: &Pauses) -> Option<Duration> {
    (pauses.slots >= QUIET_LEARNT_SLOTS_MIN).then(|| duration(pauses.longest))
}

/// The silence that is allowed after a usual pause.
fn allowed(pause: Duration) -> Duration {
    pause.mul_f64(QUIET_MARGIN).max(QUIET_LEARNT_MIN)
}

fn duration(seconds: i64) -> Duration {
    Duration::from_secs(seconds.max(0).unsigned_abs())
}

impl Feed {
    fn learn(&mut self, pauses: &HashMap<String, Pauses>, now: Timestamp, instant: Instant) {
        for (service, source) in &self.members {
            if let Some(own) = pauses.get(source) {
                service.last_delivery.learn(duration(now.as_second() - own.last), instant);
            }
        }
        self.learnt = match self.members.as_slice() {
            [(_, source)] => pauses.get(source).and_then(usual),
            // A feed with several members has a written time.
            _ => None,
        };
    }

    fn look(&self, now: Instant) {
        let quiet = self.members.iter().filter_map(|(service, _)| service.last_delivery.age(now)).min();
        let Some((quiet, (allowed, why))) = quiet.zip(self.allowed()) else { return };
        if quiet <= allowed {
            if self.health.trouble().is_some() {
                self.health.works();
            }
            return;
        }
        let message = format!("nothing has been delivered for {}, and {why}. {}", span(quiet), self.advice);
        self.health.failed(Failure { cause: "quiet".to_owned(), message }, false);
    }

    /// The silence that is allowed, and the reason.
    fn allowed(&self) -> Option<(Duration, String)> {
        let written = self.written.map(|time| (time, format!("quiet_after is {}", span(time))));
        let learnt =
            |pause| (allowed(pause), format!("its longest pause of the last two weeks was {}", span(pause)));
        written.or_else(|| self.learnt.map(learnt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::ledger::{Sent, Store};

    const HOUR: Duration = Duration::from_secs(3600);

    const CONFIG: &str = r#"
          sqs_collector:
            id: "1"
            base_url: https://sqs.us-east-1.amazonaws.com/111111111111/q
            services: {aws_sqs_control_tower: {QUIET}, aws_sqs_vpc: {}}
          aws:
            id: "2"
            services: {aws-guardduty: {regions: [us-east-1]}}"#;

    fn setup(quiet: &str) -> (Config, Arc<Telemetry>) {
        let text = CONFIG.replace("QUIET", quiet);
        let config = config::testing::of_inputs(&text);
        let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
        (config, telemetry)
    }

    fn names(feeds: &[Feed]) -> Vec<Vec<&str>> {
        feeds.iter().map(|feed| feed.members.iter().map(|(_, source)| source.as_str()).collect()).collect()
    }

    fn sent(source: &str, slot: i64) -> Sent {
        Sent { slot, source: source.into(), table: "a.b.c".into(), events: 1, bytes: 1 }
    }

    #[test]
    fn delegates_and_polled_sources_are_watched_too() {
        let (config, telemetry) = setup("");
        assert_eq!(
            names(&feeds(&config, &telemetry)),
            [
                ["1/aws_sqs_control_tower"],
                ["1/aws_sqs_cloudtrail"],
                ["1/aws_sqs_vpc"],
                ["1/aws_sqs_config"],
                [config.sources[0].name.as_str()],
            ]
        );
        let (config, telemetry) = setup("quiet_after: 2h");
        let feeds = feeds(&config, &telemetry);
        assert_eq!(feeds[0].written, Some(2 * HOUR));
        assert_eq!(feeds[0].members.len(), 4, "whatever comes of the feed ends its silence");
        let start = Instant::now();
        telemetry.inputs[0].service("aws_sqs_config").last_delivery.happened(start);
        feeds[0].look(start + Duration::from_secs(7000));
        assert!(feeds[0].health.trouble().is_none());
        feeds[0].look(start + Duration::from_secs(7201));
        assert!(feeds[0].health.trouble().is_some());
    }

    #[test]
    fn pauses_are_learnt_again_while_running() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join(FILE);
        let (config, telemetry) = setup("");
        let mut feeds = feeds(&config, &telemetry);
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let (of_vpc, start) = (2, Instant::now());
        learn_all(&mut feeds, &path, now, start);
        assert_eq!(feeds[of_vpc].learnt, None, "there is no ledger yet");
        let last = now.as_second() - now.as_second().rem_euclid(300);
        let slots =
            |count: i64| (0..count).map(|i| sent("1/aws_sqs_vpc", last - 1200 * i)).collect::<Vec<_>>();
        let mut store = Store::open(&path).unwrap();
        store.record(&[], &slots(49)).unwrap();
        learn_all(&mut feeds, &path, now, start);
        assert_eq!(feeds[of_vpc].learnt, None, "too few to tell");
        store.record(&[], &slots(60)).unwrap();
        // A clock that was wrong wrote into the future.
        store.record(&[], &[sent("1/aws_sqs_vpc", last + 1_000_000)]).unwrap();
        learn_all(&mut feeds, &path, now, start);
        assert_eq!(feeds[of_vpc].learnt, Some(HOUR / 3));
        let age = telemetry.inputs[0].service("aws_sqs_vpc").last_delivery.age(start);
        assert_eq!(age, Some(duration(now.as_second() - last)));
        // Pauses of more than two weeks ago don't count.
        let later = now + jiff::SignedDuration::from_hours(24 * 15);
        learn_all(&mut feeds, &path, later, start);
        assert_eq!(feeds[of_vpc].learnt, None);
    }

    #[test]
    fn a_pause_is_learnt_from_those_that_there_were() {
        let usual = |slots, longest| usual(&Pauses { slots, longest, last: 0 });
        assert_eq!(usual(49, 300), None, "too few to tell");
        assert_eq!(usual(1000, 300).map(allowed), Some(QUIET_LEARNT_MIN));
        assert_eq!(usual(80, 4 * 3600).map(allowed), Some(6 * HOUR));
    }

    #[test]
    fn silence_is_told_until_something_comes() {
        let telemetry = telemetry::testing::telemetry();
        let service = Arc::clone(telemetry.inputs[0].service("aws_sqs_vpc"));
        let feed = |written, learnt| Feed {
            health: Arc::new(Health::dispensable("s")),
            members: vec![(Arc::clone(&service), String::new())],
            written,
            learnt,
            advice: OF_OBJECTS,
        };
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let at = |seconds: u32| start + seconds * second;
        let troubled = |feed: &Feed, now| {
            feed.look(now);
            feed.health.trouble().map(|trouble| trouble.message)
        };
        let set = feed(Some(HOUR), Some(2 * HOUR));
        assert_eq!(troubled(&set, at(1_000_000)), None, "nothing was ever delivered");
        service.last_delivery.happened(at(1000));
        assert_eq!(troubled(&set, at(1000 + 3600)), None);
        assert!(troubled(&set, at(1000 + 3601)).unwrap().contains("quiet_after is 1 h"));
        service.last_delivery.happened(at(6000));
        service.last_delivery.happened(at(2000));
        assert_eq!(troubled(&set, at(6001)), None, "an older delivery is not the last");
        let told = |pause, quiet: u32| troubled(&feed(None, Some(pause)), at(6000 + quiet));
        assert!(
            told(2 * HOUR, 11_000)
                .unwrap()
                .contains("for 3 h 3 m, and its longest pause of the last two weeks was 2 h")
        );
        assert_eq!(told(600 * second, 3600), None);
        assert!(told(600 * second, 3601).unwrap().contains("two weeks was 10 m"), "however long is allowed");
        assert_eq!(troubled(&feed(None, None), at(9_000_000)), None);
    }
}
