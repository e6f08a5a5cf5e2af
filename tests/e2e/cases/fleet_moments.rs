//! Two and five hosts that share a queue and log groups. One of them fails again and again, at random moments: it is killed, frozen
//! for longer than its leases, or cut off from the table.
//!
//! Once each in every run. `A2D_MOMENTS=20 scripts/test e2e fleet_moments` makes it twenty of each, and `A2D_SEED` chooses
//! other moments.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cases::sources::{MILLIS, config, now, put_events, time, without_ids};
use crate::rig::aws;
use crate::rig::collector::Collector;
use crate::rig::emulator;
use crate::rig::fault_proxy::{Fault, FaultProxy};
use crate::rig::feeds;
use crate::rig::frames::{Frame, assert_at_least_once, compare};
use crate::rig::lab::{Lab, credentials};
use crate::rig::notices;

const GROUPS: usize = 6;
const OBJECTS: usize = 4;
const RECORDS: usize = 50;
/// Longer than a lease.
const FROZEN: Duration = Duration::from_secs(22);
const PATIENCE: Duration = Duration::from_secs(180);

struct Hosts {
    lab: Lab,
    name: &'static str,
    start: i64,
    random: fastrand::Rng,
    running: Vec<Option<Collector>>,
    /// By host: its way to the table, and whether that is cut off.
    ways: Vec<(FaultProxy, Arc<AtomicBool>)>,
    /// All that must arrive.
    frames: Vec<Frame>,
    rounds: usize,
}

impl Hosts {
    fn start(name: &'static str, count: usize, seed: u64) -> Hosts {
        let lab = Lab::new(name);
        aws::create_table(name);
        (0..GROUPS).for_each(|group| aws::create_log_group(&format!("{name}-{group}"), aws::REGION));
        let way = |_| {
            let is_cut = Arc::new(AtomicBool::new(false));
            let cut = Arc::clone(&is_cut);
            let script = move |_: &_| if cut.load(Ordering::SeqCst) { Fault::Reset } else { Fault::Pass };
            (FaultProxy::start(script), is_cut)
        };
        let (start, random) = (now() - 60, fastrand::Rng::with_seed(seed));
        let ways = (0..count).map(way).collect();
        let mut hosts =
            Hosts { lab, name, start, random, running: Vec::new(), ways, frames: Vec::new(), rounds: 0 };
        hosts.running = (0..count).map(|host| Some(hosts.run(host))).collect();
        hosts
    }

    fn config(&self, host: usize) -> Value {
        let service = |group: usize| {
            json!({
                "types": ["logs"], "log_group": format!("{}-{group}", self.name), "regions": [aws::REGION],
                "start_time": time(self.start), "request_period_in_seconds": 1,
            })
        };
        let services = (0..GROUPS).map(|group| (format!("cwl_{group}"), service(group)));
        let polled = config(&self.lab, &[], services.collect::<serde_json::Map<_, _>>().into());
        let mut config = self.lab.config(json!({"aws_sqs_vpc": {}}));
        config["inputs"]["aws"] = polled["inputs"]["aws"].clone();
        config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(10);
        config["globals"]["shutdown_timeout"] = json!(5);
        config["globals"]["persistence"] = json!({"type": "dynamodb", "config": {
            "table": self.name,
            "region": aws::REGION,
            "credentials": credentials(aws::user()),
            "endpoint_url": emulator::endpoint(),
            "dynamodb_endpoint_url": self.ways[host].0.endpoint(),
            "directory_name": self.lab.directory().join(format!("state-{host}")),
        }});
        config
    }

    fn run(&self, host: usize) -> Collector {
        let file = self.lab.directory().join(format!("host-{host}.json"));
        std::fs::write(&file, self.config(host).to_string()).unwrap();
        Collector::start(self.lab.directory(), &["run", "--config", file.to_str().unwrap()])
    }

    /// Objects, each announced twice, and an event in each log group.
    fn put(&mut self) {
        self.rounds += 1;
        let round = self.rounds;
        let objects: Vec<_> = (0..OBJECTS).map(|n| feeds::vpc(&format!("{round}x{n}"), RECORDS)).collect();
        self.lab.put(&objects);
        let announce = |object: &feeds::Object| {
            let etag = aws::etag(&self.lab.bucket, &object.key);
            notices::s3_created_as(&self.lab.bucket, &object.key, object.bytes.len(), &etag)
        };
        let messages: Vec<_> = objects.iter().chain(&objects).map(announce).collect();
        self.lab.queue.send(&messages);
        self.frames.extend(feeds::all_frames(&objects));
        for group in 0..GROUPS {
            let event = (now() * MILLIS, format!("event {round} of {group}"));
            self.frames.extend(put_events(&format!("{}-{group}", self.name), "s", aws::REGION, &[event]));
        }
    }

    fn pause(&mut self, most: Duration) {
        let time = most.mul_f64(self.random.f64());
        std::thread::sleep(time);
    }

    /// Lets a host fail at a random moment, and come back. Work comes before, while it is away, and after.
    fn fail(&mut self, fault: &str) {
        let host = self.random.usize(..self.ways.len());
        self.put();
        self.pause(Duration::from_secs(2));
        match fault {
            "killed" => {
                self.running[host].take().unwrap().kill();
                self.put();
                self.pause(Duration::from_secs(3));
                self.running[host] = Some(self.run(host));
            }
            "frozen" => {
                let collector = self.running[host].as_ref().unwrap();
                collector.signal(Signal::STOP);
                self.put();
                std::thread::sleep(FROZEN);
                self.running[host].as_ref().unwrap().signal(Signal::CONT);
            }
            _ => {
                self.ways[host].1.store(true, Ordering::SeqCst);
                self.put();
                self.pause(FROZEN);
                self.ways[host].1.store(false, Ordering::SeqCst);
            }
        }
        self.put();
    }

    fn received(&self) -> Vec<Vec<u8>> {
        without_ids(&self.lab)
    }

    /// Waits until everything has arrived. Returns the time that took.
    fn settle(&mut self) -> Duration {
        let began = Instant::now();
        while !self.lab.queue.is_empty() || !compare(&self.frames, &self.received()).missing.is_empty() {
            assert!(
                began.elapsed() < PATIENCE,
                "{} missing",
                compare(&self.frames, &self.received()).missing.len()
            );
            std::thread::sleep(Duration::from_millis(500));
        }
        began.elapsed()
    }
}

#[test]
fn one_of_two_hosts_that_fails_at_random_moments_loses_nothing() {
    lose_nothing("moments-two", 2);
}

#[test]
fn one_of_five_hosts_that_fails_at_random_moments_loses_nothing() {
    lose_nothing("moments-five", 5);
}

fn lose_nothing(name: &'static str, count: usize) {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let moments = number("A2D_MOMENTS", 1);
    let mut hosts = Hosts::start(name, count, number("A2D_SEED", 1));
    hosts.put();
    hosts.settle();
    let before = hosts.frames.len();
    let mut repeats = 0;
    for fault in ["killed", "frozen", "cut off"] {
        let mut longest = Duration::ZERO;
        for _ in 0..moments {
            hosts.fail(fault);
            longest = longest.max(hosts.settle());
        }
        let case = format!("one of {count} hosts {fault} at {moments} random moments");
        let now = assert_at_least_once(&case, &hosts.frames, &hosts.received());
        println!(
            "{case}: {} repeats; all had arrived after {:.0} s at most",
            now - repeats,
            longest.as_secs_f64()
        );
        repeats = now;
    }
    // At most one round was in flight when a host failed.
    let round = OBJECTS * RECORDS + GROUPS;
    assert!(
        repeats <= 3 * moments as usize * round,
        "{repeats} repeats of {} frames",
        hosts.frames.len() - before
    );
    for collector in hosts.running.into_iter().flatten() {
        let ended = collector.stop();
        assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    }
}
