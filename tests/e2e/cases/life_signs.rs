//! Notifications to the service manager, for every mix of inputs: a live collector must look alive.

use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cases::status::{try_ask, with_page};
use crate::rig::aws;
use crate::rig::collector::Collector;
use crate::rig::feeds;
use crate::rig::lab::Lab;
use crate::rig::lookups::Trail;
use crate::rig::process::{PATIENCE, wait_for};

/// The service manager's watchdog interval, in microseconds.
const WATCHDOG: &str = "400000";

/// Everything that can be collected, with its state.
#[derive(Debug, Clone, Copy)]
struct Mix {
    name: &'static str,
    queue: bool,
    /// (it is there, it is enabled)
    source: (bool, bool),
    other_source: (bool, bool),
}

const OFF: (bool, bool) = (false, false);
const ON: (bool, bool) = (true, true);
const DISABLED: (bool, bool) = (true, false);
const MIXES: [Mix; 5] = [
    Mix { name: "queues", queue: true, source: OFF, other_source: OFF },
    Mix { name: "sources", queue: false, source: ON, other_source: OFF },
    Mix { name: "both", queue: true, source: ON, other_source: OFF },
    Mix { name: "one-disabled", queue: false, source: ON, other_source: DISABLED },
    Mix { name: "all-sources-disabled", queue: true, source: DISABLED, other_source: DISABLED },
];

#[test]
fn a_run_of_any_mix_looks_alive() {
    let trail = Trail::start();
    for mix in MIXES {
        let lab = Lab::new(&format!("life-{}", mix.name));
        let (manager, (config, port)) = (Manager::new(&lab), with_page(config(&lab, &trail, mix)));
        let mut collector = lab.run_with(&manager.environment(), &config, &[]);
        manager.hears_of_life(0);
        collector.wait_until("readiness", || answer(port, "/readyz").is_some_and(|(code, _)| code == 200));
        assert_eq!(answer(port, "/healthz").map(|(code, _)| code), Some(200), "{mix:?}");
        collector.signal(Signal::TERM);
        let ended = collector.end(PATIENCE);
        assert_eq!(ended.code, Some(0), "{mix:?}, log:\n{}", ended.log);
        assert!(manager.said().iter().any(|line| line == "STOPPING=1"), "{mix:?}");
        manager.heard_nothing_of_death();
    }
}

#[test]
fn a_reload_from_any_mix_to_the_next_looks_alive() {
    let (lab, trail) = (Lab::new("life-reload"), Trail::start());
    let manager = Manager::new(&lab);
    let mut collector = lab.run_with(&manager.environment(), &config(&lab, &trail, MIXES[0]), &[]);
    manager.hears_of_life(0);
    for mix in MIXES.iter().skip(1).chain(&MIXES[..1]) {
        lab.write_config(&config(&lab, &trail, *mix));
        let before = manager.said().len();
        collector.signal(Signal::HUP);
        manager.hears_after(before, "RELOADING=1");
        manager.hears_of_life(before);
        assert!(!collector.is_ended(), "{mix:?}");
    }
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    manager.heard_nothing_of_death();
}

#[test]
fn a_drain_of_any_mix_and_a_backfill_look_alive_until_their_end() {
    let trail = Trail::start();
    for mix in MIXES {
        let lab = Lab::new(&format!("life-drain-{}", mix.name));
        let manager = Manager::new(&lab);
        let config = config(&lab, &trail, mix);
        ends_well(&manager, lab.run_with(&manager.environment(), &config, &["--drain"]));
    }
    let lab = Lab::new("life-backfill");
    lab.put(&(0..20).map(|n| feeds::vpc(&format!("l{n}"), 200)).collect::<Vec<_>>());
    let manager = Manager::new(&lab);
    let (file, url) = (lab.write_config(&config(&lab, &trail, MIXES[0])), format!("s3://{}/", lab.bucket));
    let arguments = ["backfill", &url, "--service", "aws_sqs_vpc", "--config", &file];
    ends_well(&manager, Collector::start_with(&[], &manager.environment(), lab.directory(), &arguments));
}

fn ends_well(manager: &Manager, collector: Collector) {
    let ended = collector.end(PATIENCE);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    let said = manager.said();
    for expected in ["READY=1", "WATCHDOG=1"] {
        assert!(said.iter().any(|line| line == expected), "{expected}: {said:?}\n{}", ended.log);
    }
    manager.heard_nothing_of_death();
}

/// A service manager that records all notifications.
struct Manager {
    path: String,
    said: Arc<Mutex<Vec<String>>>,
}

impl Manager {
    fn new(lab: &Lab) -> Manager {
        let path = lab.directory().join("notify").to_str().unwrap().to_owned();
        let (socket, said) = (UnixDatagram::bind(&path).unwrap(), Arc::new(Mutex::new(Vec::new())));
        let noted: Arc<Mutex<Vec<String>>> = Arc::clone(&said);
        // It ends with the test process.
        std::thread::spawn(move || {
            let mut text = [0; 4096];
            while let Ok(length) = socket.recv(&mut text) {
                let text = String::from_utf8_lossy(&text[..length]);
                noted.lock().unwrap().extend(text.lines().map(str::to_owned));
            }
        });
        Manager { path, said }
    }

    fn environment(&self) -> [(&str, &str); 2] {
        [("NOTIFY_SOCKET", &self.path), ("WATCHDOG_USEC", WATCHDOG)]
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Waits for readiness, and after it for a status and for some pings.
    fn hears_of_life(&self, after: usize) {
        let ready = self.hears_after(after, "READY=1");
        self.hears_after(ready, "STATUS=0 events delivered");
        (0..4).fold(ready, |after, _| self.hears_after(after, "WATCHDOG=1"));
    }

    /// The position of the notification after the first `after` lines; waits for it.
    fn hears_after(&self, after: usize, expected: &str) -> usize {
        let find = || self.said().iter().skip(after).position(|line| line.starts_with(expected));
        wait_for(&format!("{expected}, of {:?}", self.said()), Duration::from_secs(40), || find().is_some());
        after + find().unwrap() + 1
    }

    fn heard_nothing_of_death(&self) {
        let said = self.said();
        let deadly = said.iter().find(|line| line.contains("restart") || line.contains("the thread"));
        assert!(deadly.is_none(), "{deadly:?} of {said:?}");
    }
}

fn answer(port: u16, path: &str) -> Option<(u16, String)> {
    try_ask(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost"))
}

fn config(lab: &Lab, trail: &Trail, mix: Mix) -> Value {
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    if !mix.queue {
        config["inputs"] = json!({});
    }
    for (number, (there, enabled)) in [(1, mix.source), (2, mix.other_source)] {
        if there {
            config["inputs"][format!("aws_{number}")] = source(trail, &format!("7{number}"), enabled);
        }
    }
    config
}

fn source(trail: &Trail, id: &str, enabled: bool) -> Value {
    let (user, start) = (aws::user(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 60);
    let service = json!({
        "types": ["audits_api"], "regions": [aws::REGION], "request_period_in_seconds": 1,
        "start_time": jiff::Timestamp::from_second(start as i64).unwrap().to_string(),
        "gap_until_now_in_minutes": 0
    });
    json!({
        "id": id,
        "enabled": enabled,
        "credentials": {"access_key": user.key_id, "access_secret": user.secret},
        "endpoint_url": crate::rig::emulator::endpoint(),
        "cloudtrail_endpoint_url": trail.endpoint,
        "services": {"audit-events-all": service}
    })
}
