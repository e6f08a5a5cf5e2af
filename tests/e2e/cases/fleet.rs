//! Several hosts that share polled sources through a DynamoDB table.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cases::sources::{MILLIS, config, now, put_events, time, without_ids};
use crate::cases::status::{dump_page, get, value_of};
use crate::rig::aws;
use crate::rig::collector::{Collector, Ended};
use crate::rig::emulator;
use crate::rig::fault_proxy::{Fault, FaultProxy};
use crate::rig::frames::{Frame, assert_at_least_once};
use crate::rig::lab::Lab;
use crate::rig::process::free_port;

const GROUPS: usize = 4;

/// Hosts with the same configuration, except for its folder and the way to DynamoDB.
struct Hosts {
    lab: Lab,
    table: String,
    start: i64,
    /// Everything that was put so far.
    frames: Vec<Frame>,
    rounds: usize,
    /// Of the status pages, by number.
    ports: [u16; 4],
}

impl Hosts {
    fn new(name: &str) -> Hosts {
        let table = format!("fleet-{name}");
        aws::create_table(&table);
        (0..GROUPS).for_each(|number| aws::create_log_group(&format!("{name}-{number}"), aws::REGION));
        Hosts {
            lab: Lab::new(name),
            table,
            start: now() - 60,
            frames: Vec::new(),
            rounds: 0,
            ports: [(); 4].map(|()| free_port()),
        }
    }

    /// Two of them that share the sources, and have sent something.
    fn two(name: &str) -> (Hosts, Collector, Collector) {
        let mut hosts = Hosts::new(name);
        let (first, mut second) = (hosts.run(1, emulator::endpoint()), hosts.run(2, emulator::endpoint()));
        second.wait_until("a fair share", || hosts.shares() == [2, 2]);
        hosts.flow(&mut second, "events by both");
        (hosts, first, second)
    }

    fn config(&self, number: usize, dynamodb: &str) -> Value {
        let service = |group: String| {
            json!({
                "types": ["logs"],
                "log_group": group,
                "regions": [aws::REGION],
                "start_time": time(self.start),
                "request_period_in_seconds": 1,
            })
        };
        let services = (0..GROUPS).map(|n| (format!("cwl_{n}"), service(self.group(n))));
        let mut config = config(&self.lab, &[], services.collect::<serde_json::Map<_, _>>().into());
        let user = aws::user();
        config["globals"]["id"] = json!(format!("host-{number}"));
        config["globals"]["status"] = json!({"port": self.ports[number]});
        config["globals"]["persistence"] = json!({"type": "dynamodb", "config": {
            "table": self.table,
            "region": aws::REGION,
            "credentials": {"aws_access_key_id": user.key_id, "aws_secret_access_key": user.secret},
            "endpoint_url": emulator::endpoint(),
            "dynamodb_endpoint_url": dynamodb,
            "directory_name": self.lab.directory().join(format!("state-{number}")),
        }});
        config
    }

    fn group(&self, number: usize) -> String {
        format!("{}-{number}", self.table.trim_start_matches("fleet-"))
    }

    fn run(&self, number: usize, dynamodb: &str) -> Collector {
        self.run_with(number, &self.config(number, dynamodb))
    }

    fn run_with(&self, number: usize, config: &Value) -> Collector {
        let file = self.lab.directory().join(format!("host-{number}.json"));
        std::fs::write(&file, config.to_string()).unwrap();
        Collector::start(self.lab.directory(), &["run", "--config", file.to_str().unwrap()])
    }

    /// A host that polls all log groups of a region in so many shards.
    fn run_divided(&self, number: usize, region: &str, shards: usize) -> Collector {
        let mut config = self.config(number, emulator::endpoint());
        config["inputs"]["aws"]["services"] = json!({"all": {
            "types": ["logs"], "log_group": "/", "regions": [region], "shards": shards,
            "start_time": time(self.start), "request_period_in_seconds": 1,
        }});
        self.run_with(number, &config)
    }

    /// One more event in each group.
    fn put(&mut self) {
        self.rounds += 1;
        for number in 0..GROUPS {
            let event = (now() * MILLIS, format!("event {} of {number}", self.rounds));
            self.frames.extend(put_events(&self.group(number), "s", aws::REGION, &[event]));
        }
    }

    /// Puts events until the latest of each group has arrived.
    fn flow(&mut self, collector: &mut Collector, what: &str) {
        self.put();
        let latest = self.rounds;
        let is_there = |received: &str, number| received.contains(&format!("event {latest} of {number}\""));
        collector.wait_until(what, || {
            let received = self.lab.sink.received_text();
            (0..GROUPS).all(|number| is_there(&received, number))
        });
    }

    /// The answer of `fleet --json`.
    fn seen(&self) -> Value {
        let ended = self.fleet(&["--json"]);
        serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("log:\n{}", ended.log))
    }

    fn fleet(&self, arguments: &[&str]) -> Ended {
        let file = self.lab.directory().join("host-1.json");
        let all = [&["fleet", "--config", file.to_str().unwrap()], arguments].concat();
        Collector::start(self.lab.directory(), &all).end(Duration::from_secs(150))
    }

    /// Asks the hosts for something, which they do.
    fn ask(&self, arguments: &[&str]) -> String {
        let ended = self.fleet(arguments);
        let said = String::from_utf8(ended.stdout).unwrap();
        assert_eq!(ended.code, Some(0), "{said}\nlog:\n{}", ended.log);
        said
    }

    /// The name of a host, which its events have.
    fn name(&self, number: usize) -> String {
        let seen = self.seen();
        let names = seen["hosts"].as_array().unwrap().iter().map(|host| host["name"].as_str().unwrap());
        let mut names = names.filter(|name| name.starts_with(&format!("collector-host-{number}-")));
        names.next().unwrap_or_else(|| panic!("{seen}")).to_owned()
    }

    /// The id of a living host with this name.
    fn id(&self, name: &str) -> String {
        let seen = self.seen();
        let named = seen["hosts"]
            .as_array()
            .unwrap()
            .iter()
            .find(|host| host["name"] == name && host["alive"] == true);
        named.unwrap_or_else(|| panic!("{seen}"))["id"].as_str().unwrap().to_owned()
    }

    /// The sources of each living host.
    fn shares(&self) -> Vec<u64> {
        let seen = self.seen();
        let alive = seen["hosts"].as_array().unwrap().iter().filter(|host| host["alive"] == true);
        alive.map(|host| host["sources"].as_u64().unwrap()).collect()
    }

    /// The hosts that a host sees, the sources that it knows to be polled, and those that it polls itself.
    fn figures(&self, number: usize) -> [usize; 3] {
        let (_, metrics) = get(self.ports[number], "/metrics");
        let ones = |name: &str| {
            metrics.lines().filter(|line| line.starts_with(name) && line.ends_with(" 1")).count()
        };
        let hosts = value_of(&metrics, "fleet_hosts", "").unwrap_or(0.0) as usize;
        [hosts, ones("aws_to_devo_fleet_source_polled{"), ones("aws_to_devo_fleet_source_held{")]
    }

    /// Both hosts poll their shares again, and everything has arrived at the end.
    fn both_go_on(&mut self, first: Collector, mut second: Collector, case: &str) {
        second.wait_until("a fair share", || self.shares() == [2, 2]);
        self.flow(&mut second, "events by both");
        for collector in [first, second] {
            let ended = collector.stop();
            assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
        }
        let repeated = self.all_arrived(case);
        assert!(repeated <= GROUPS * self.rounds, "{repeated} repeats");
    }

    /// The number of repeats. Frames name the host that has sent them, which may be any.
    fn all_arrived(&self, case: &str) -> usize {
        let host = regex::bytes::Regex::new("collector-host-[0-9]-").unwrap();
        let received = without_ids(&self.lab);
        let received: Vec<_> = received
            .iter()
            .map(|bytes| host.replace_all(bytes, &b"collector-e2e-"[..]).into_owned())
            .collect();
        assert_at_least_once(case, &self.frames, &received)
    }
}

/// One more event in each of these groups.
fn put_in_each(groups: &[String], region: &str, text: &str) {
    for group in groups {
        put_events(group, "s", region, &[(now() * MILLIS, text.to_owned())]);
    }
}

fn hosts_of(text: &str) -> BTreeSet<&str> {
    let names = ["collector-host-1", "collector-host-2", "collector-host-3"];
    names.into_iter().filter(|name| text.contains(name)).collect()
}

#[test]
fn a_killed_host_s_sources_go_on_where_they_were() {
    let mut hosts = Hosts::new("killed");
    let mut first = hosts.run(1, emulator::endpoint());
    hosts.flow(&mut first, "events by one host");
    assert_eq!(hosts.shares(), [4]);
    let mut second = hosts.run(2, emulator::endpoint());
    second.wait_until("a fair share", || hosts.shares() == [2, 2]);
    hosts.flow(&mut second, "events by two hosts");
    let received = hosts.lab.sink.received_text();
    assert_eq!(hosts_of(&received).len(), 2, "each of them sends");
    let page = dump_page(hosts.lab.directory(), hosts.ports[2]);
    for (part, count) in
        [(">polled by this host<", 2), (">polled by collector-host-1-", 2), (" (this host)<", 1)]
    {
        assert_eq!(page.matches(part).count(), count, "{part:?} on the page:\n{page}");
    }
    first.kill();
    hosts.flow(&mut second, "events by the one that is left");
    let ended = second.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    let repeated = hosts.all_arrived("one of two hosts that share sources killed");
    // It had read its two groups, and recorded that a second before at most.
    assert!(repeated <= 2 * hosts.rounds, "{repeated} repeats");
    // A clean stop leaves nothing behind.
    let seen = hosts.seen();
    assert!(seen["sources"].as_array().unwrap().iter().all(|source| source["holder"].is_null()), "{seen}");
    // Another one knows what was delivered.
    let before = hosts.lab.sink.received_text().lines().count();
    let mut third = hosts.run(3, emulator::endpoint());
    hosts.flow(&mut third, "events by a third host");
    third.stop();
    assert_eq!(hosts.lab.sink.received_text().lines().count(), before + GROUPS, "only the new ones");
}

/// It wakes up and still believes in its leases.
#[test]
fn a_host_that_stood_still_moves_nothing_that_is_no_longer_its_own() {
    let mut hosts = Hosts::new("frozen");
    let mut first = hosts.run(1, emulator::endpoint());
    hosts.flow(&mut first, "events by one host");
    first.signal(Signal::STOP);
    let mut second = hosts.run(2, emulator::endpoint());
    hosts.flow(&mut second, "events by the other");
    first.signal(Signal::CONT);
    first.wait_for_log("another host has taken 1/cwl_");
    hosts.both_go_on(first, second, "one of two hosts that share sources frozen for longer than its leases");
}

#[test]
fn a_host_without_the_table_stands_still_and_another_one_polls() {
    let mut hosts = Hosts::new("cut-off");
    let is_cut = Arc::new(AtomicBool::new(false));
    let cut = Arc::clone(&is_cut);
    let proxy =
        FaultProxy::start(move |_| if cut.load(Ordering::SeqCst) { Fault::Reset } else { Fault::Pass });
    let mut first = hosts.run(1, &proxy.endpoint());
    hosts.flow(&mut first, "events by one host");
    assert_eq!(hosts.figures(1), [1, GROUPS, GROUPS]);
    is_cut.store(true, Ordering::SeqCst);
    first.wait_for_log("Polled sources stand still when their leases run out");
    // It holds nothing, and knows of nobody but itself.
    first.wait_until("leases that have run out", || hosts.figures(1) == [1, 0, 0]);
    let mut second = hosts.run(2, emulator::endpoint());
    hosts.flow(&mut second, "events by the other");
    assert_eq!(hosts.figures(2)[1..], [GROUPS, GROUPS]);
    is_cut.store(false, Ordering::SeqCst);
    // It sees the other again.
    first.wait_until("the table's content", || hosts.figures(1)[..2] == [2, GROUPS]);
    hosts.both_go_on(first, second, "one of two hosts that share sources cut off from the table");
}

#[test]
fn a_forgotten_source_begins_anew_wherever_it_is_polled() {
    let mut hosts = Hosts::new("forgotten");
    let mut first = hosts.run(1, emulator::endpoint());
    hosts.flow(&mut first, "events");
    let file = hosts.lab.directory().join("host-1.json");
    let command = |arguments: &[&str]| {
        let all = [arguments, &["--config", file.to_str().unwrap()]].concat();
        Collector::start(hosts.lab.directory(), &all).end(Duration::from_secs(60))
    };
    let online = command(&["check", "--online"]);
    let said = String::from_utf8(online.stdout).unwrap();
    assert_eq!(online.code, Some(0), "{said}");
    assert!(
        said.contains("table fleet-forgotten in us-east-1: can be read and written; sources 4, hosts 1"),
        "{said}"
    );
    assert!(!said.contains("grows"), "{said}");
    aws::remove_old_items("fleet-forgotten", false);
    let online = command(&["check", "--online"]);
    let said = String::from_utf8(online.stdout).unwrap();
    assert!(said.contains("keeps delivered objects and old hosts for good, and grows"), "{said}");
    assert!(said.contains("aws dynamodb update-time-to-live --table-name fleet-forgotten"), "{said}");
    let forgotten = command(&["ledger", "forget", "--input", "1/cwl_2"]);
    let said = String::from_utf8(forgotten.stdout).unwrap();
    assert!(said.contains("The shared table fleet-forgotten has forgotten 1/cwl_2/logs/us-east-1"), "{said}");
    let again = || hosts.lab.sink.received_text().matches("event 1 of 2\"").count();
    first.wait_until("the event again", || again() == 2);
    assert_eq!(first.stop().code, Some(0));
    assert_eq!(hosts.all_arrived("a shared source forgotten"), 1, "of this source alone");
}

#[test]
fn a_drain_reads_on_what_a_dead_host_polled() {
    let mut hosts = Hosts::new("drained-dead");
    let mut first = hosts.run(1, emulator::endpoint());
    hosts.flow(&mut first, "events");
    first.kill();
    hosts.put();
    let file = hosts.lab.directory().join("host-2.json");
    std::fs::write(&file, hosts.config(2, emulator::endpoint()).to_string()).unwrap();
    let drain =
        Collector::start(hosts.lab.directory(), &["run", "--drain", "--config", file.to_str().unwrap()]);
    let ended = drain.end(Duration::from_secs(180));
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    hosts.all_arrived("a drain after the death of the host that polled");
}

#[test]
fn hosts_share_the_shards_of_all_log_groups() {
    const REGION: &str = "eu-south-1";
    let hosts = Hosts::new("shards");
    let groups = aws::create_log_groups((0..10).map(|i| format!("/app/{i}")), REGION);
    let run = |number: usize, shards: usize| hosts.run_divided(number, REGION, shards);
    let put = |text: &str| put_in_each(&groups, REGION, text);
    let count = |text: &str| hosts.lab.sink.received_text().matches(text).count();
    let (mut first, second) = (run(1, 4), run(2, 4));
    put("by both");
    first.wait_until("events", || count("by both") == groups.len());
    first.wait_until("a fair share", || hosts.shares() == [2, 2]);
    put("shared");
    first.wait_until("events by both", || count("shared") == groups.len());
    for collector in [first, second] {
        let ended = collector.stop();
        assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    }
    // Another division, on a host without any ledger of its own.
    put("while nobody runs");
    let mut third = run(3, 3);
    third.wait_until("events of the time between", || count("while nobody runs") == groups.len());
    assert!(count("by both") <= 2 * groups.len(), "late events are read again, others are not");
    assert_eq!(third.stop().code, Some(0));
}

/// The one that slept holds leases that nobody else wants: the other has those of its own division.
#[test]
fn of_two_divisions_that_came_to_be_polled_at_once_one_ends() {
    const REGION: &str = "eu-south-2";
    let hosts = Hosts::new("divisions");
    let groups = aws::create_log_groups((0..4).map(|i| format!("/both/{i}")), REGION);
    let put = |text: &str| put_in_each(&groups, REGION, text);
    let count = |text: &str| hosts.lab.sink.received_text().matches(text).count();
    let mut first = hosts.run_divided(1, REGION, 2);
    put("by the first");
    first.wait_until("events", || count("by the first") == groups.len());
    let mut second = hosts.run_divided(2, REGION, 3);
    second.wait_for_log("this host stands by");
    first.signal(Signal::STOP);
    put("by the second");
    second.wait_until("events", || count("by the second") == groups.len());
    first.signal(Signal::CONT);
    first.wait_for_log("divides the same log groups into more parts and polls them, too");
    first.wait_until("one division", || hosts.shares() == [0, 3]);
    put("once");
    second.wait_until("events", || count("once") >= groups.len());
    assert_eq!([first.stop().code, second.stop().code], [Some(0); 2]);
    assert_eq!(count("once"), groups.len());
}

/// Another version may write it in another form.
#[test]
fn a_dead_host_whose_item_cannot_be_read_is_succeeded() {
    let (mut hosts, first, mut second) = Hosts::two("unread");
    let name = hosts.name(1);
    first.kill();
    let items = aws::items(&hosts.table);
    let mut item = items.into_iter().find(|item| item["name"]["S"] == name.as_str()).unwrap();
    item.as_object_mut().unwrap().remove("name");
    item["beat"] = json!({"S": "x"});
    aws::put_item(&hosts.table, &item);
    hosts.flow(&mut second, "events by the one that is left");
    assert_eq!(second.stop().code, Some(0));
    hosts.all_arrived("a host killed whose item in the table cannot be read");
}

/// Its heart beats, but its credentials are refused.
#[test]
fn a_source_goes_to_a_host_that_can_poll_it() {
    let mut hosts = Hosts::new("unable");
    let mut first = hosts.run(1, emulator::endpoint());
    hosts.flow(&mut first, "events by one host");
    let mut config = hosts.config(2, emulator::endpoint());
    config["inputs"]["aws"]["credentials"]["access_secret"] = json!("wrong");
    let mut second = hosts.run_with(2, &config);
    second.wait_until("a fair share", || hosts.shares() == [2, 2]);
    hosts.put();
    second.wait_for_log("because this one cannot poll it");
    first.wait_until("everything", || hosts.shares() == [4, 0]);
    assert_eq!(hosts.figures(1), [2, GROUPS, GROUPS]);
    hosts.flow(&mut first, "events by the one that can");
    // Nothing comes back to it for balance.
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(hosts.shares(), [4, 0]);
    assert_eq!([first.stop().code, second.stop().code], [Some(0); 2]);
    hosts.all_arrived("a source held by a host whose credentials are refused");
}

#[test]
fn a_drain_leaves_what_another_host_polls() {
    let mut hosts = Hosts::new("drained");
    let mut first = hosts.run(1, emulator::endpoint());
    hosts.flow(&mut first, "events");
    let file = hosts.lab.directory().join("host-2.json");
    std::fs::write(&file, hosts.config(2, emulator::endpoint()).to_string()).unwrap();
    let drain =
        Collector::start(hosts.lab.directory(), &["run", "--drain", "--config", file.to_str().unwrap()]);
    let ended = drain.end(Duration::from_secs(120));
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    let log = first.stop().log;
    assert!(!log.contains("is handed over"), "a drain ends soon, so it gets nothing; log:\n{log}");
    hosts.all_arrived("a drain beside a running host");
}

#[test]
fn a_drained_host_gives_its_sources_up_and_goes_on_when_it_is_told_to() {
    let (mut hosts, first, mut second) = Hosts::two("asked");
    let name = hosts.name(1);
    let said = hosts.ask(&["--drain", &name]);
    assert!(
        said.lines().any(|line| line.trim_start().starts_with(&name) && line.ends_with("drained")),
        "{said}"
    );
    assert_eq!(hosts.shares(), [0, 4]);
    let (_, metrics) = get(hosts.ports[1], "/metrics");
    assert_eq!(value_of(&metrics, "fleet_drained", ""), Some(1.0));
    let page = dump_page(hosts.lab.directory(), hosts.ports[2]);
    assert_eq!(page.matches(">drained<").count(), 1, "{page}");
    let before = hosts.lab.sink.received_text().matches(&name).count();
    hosts.flow(&mut second, "events by the other");
    assert_eq!(hosts.lab.sink.received_text().matches(&name).count(), before, "a drained host sends nothing");
    // Somebody must be left.
    let refused = hosts.fleet(&["--drain", &hosts.name(2)]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.log.contains("is the only host that could work"), "{}", refused.log);
    hosts.ask(&["--resume", &name]);
    second.wait_until("a fair share again", || hosts.shares() == [2, 2]);
    hosts.both_go_on(first, second, "one of two hosts drained, and told to go on");
}

#[test]
fn a_source_is_handed_over_to_the_host_that_is_named() {
    let (mut hosts, first, mut second) = Hosts::two("handed");
    let (one, two) = (hosts.id(&hosts.name(1)), hosts.id(&hosts.name(2)));
    let sources: Vec<String> =
        (0..GROUPS).map(|number| format!("1/cwl_{number}/logs/{}", aws::REGION)).collect();
    for source in &sources {
        hosts.ask(&["--hand-over", source, "--to", &two]);
    }
    let of = |seen: &Value, id: &str| {
        let host = seen["hosts"].as_array().unwrap().iter().find(|host| host["id"] == id).cloned();
        host.unwrap()["sources"].as_u64().unwrap()
    };
    let seen = hosts.seen();
    assert_eq!(
        (of(&seen, &one), of(&seen, &two)),
        (0, 4),
        "and they stay there, although the shares are not even"
    );
    hosts.flow(&mut second, "events by one");
    for (arguments, why) in [
        (["--hand-over", "1/nothing", "--to", &two], "no host has ever polled"),
        (["--hand-over", &sources[0], "--to", "nobody"], "no living host has the name"),
    ] {
        let refused = hosts.fleet(&arguments);
        assert_eq!(refused.code, Some(2), "{}", refused.log);
        assert!(refused.log.contains(why), "{}", refused.log);
    }
    sources.iter().for_each(|source| drop(hosts.ask(&["--hand-over", source])));
    second.wait_until("a fair share again", || hosts.shares() == [2, 2]);
    hosts.both_go_on(first, second, "sources handed over to one of two hosts");
}
