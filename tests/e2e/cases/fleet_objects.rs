//! Several hosts on one queue that share their objects through a DynamoDB table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cases::ledger::text;
use crate::rig::aws;
use crate::rig::collector::{Collector, Ended};
use crate::rig::emulator;
use crate::rig::fault_proxy::{Fault, FaultProxy, refuse_json};
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::frames::compare;
use crate::rig::lab::{Lab, credentials};
use crate::rig::notices;
use crate::rig::process::PATIENCE;

/// Hosts with the same configuration, except for their folders.
struct Hosts {
    lab: Lab,
    table: String,
    /// More keys beside `table`.
    more: Value,
}

impl Hosts {
    fn new(name: &str) -> Hosts {
        let table = format!("objects-{name}");
        aws::create_table(&table);
        Hosts { lab: Lab::new(&format!("objects-{name}")), table, more: json!({}) }
    }

    fn config(&self, number: usize, dynamodb: &str) -> Value {
        let mut config = self.lab.config(json!({"aws_sqs_fdr": {}, "aws_sqs_vpc": {}}));
        let mut table = json!({
            "table": self.table,
            "region": aws::REGION,
            "credentials": credentials(aws::user()),
            "endpoint_url": emulator::endpoint(),
            "dynamodb_endpoint_url": dynamodb,
            "directory_name": self.lab.directory().join(format!("state-{number}")),
        });
        table.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        config["globals"]["shutdown_timeout"] = json!(1);
        config["globals"]["persistence"] = json!({"type": "dynamodb", "config": table});
        config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(10);
        config
    }

    fn run(&self, number: usize, config: &Value) -> Collector {
        self.command(number, config, &["run"])
    }

    /// Drains, and requires that all is done.
    fn drain(&self, number: usize, config: &Value) -> Ended {
        let ended = self.command(number, config, &["run", "--drain"]).end(PATIENCE);
        assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
        assert!(self.lab.queue.is_empty(), "log:\n{}", ended.log);
        ended
    }

    fn command(&self, number: usize, config: &Value, command: &[&str]) -> Collector {
        let file = self.lab.directory().join(format!("host-{number}.json"));
        std::fs::write(&file, config.to_string()).unwrap();
        Collector::start(self.lab.directory(), &[command, &["--config", file.to_str().unwrap()]].concat())
    }

    /// An attribute of an object's item. None: there is no such item.
    fn attribute(&self, object: &Object, name: &str) -> Option<String> {
        let pk = format!("object/1/{}/{}", self.lab.bucket, object.key);
        let item = aws::items(&self.table).into_iter().find(|item| item["pk"]["S"] == pk.as_str())?;
        item[name].as_object()?.values().next()?.as_str().map(str::to_owned)
    }

    fn records(&self, object: &Object) -> usize {
        self.attribute(object, "records").map_or(0, |records| records.parse().unwrap())
    }

    fn delivered(&self, objects: &[Object]) -> usize {
        objects.iter().filter(|object| self.attribute(object, "delivered").as_deref() == Some("1")).count()
    }

    /// Announces with the ETags, as S3 does.
    fn announce(&self, objects: &[Object]) {
        let body = |object: &Object| {
            let etag = aws::etag(&self.lab.bucket, &object.key);
            notices::s3_created_as(&self.lab.bucket, &object.key, object.bytes.len(), &etag)
        };
        self.lab.queue.send(&objects.iter().map(body).collect::<Vec<_>>());
    }

    /// A host that has sent a third of a large object, as the table knows.
    fn in_mid_object(&self) -> (Object, Collector) {
        let object = feeds::fdr("large", 60_000);
        self.lab.put(std::slice::from_ref(&object));
        self.announce(std::slice::from_ref(&object));
        let mut slow = self.config(1, emulator::endpoint());
        slow["outputs"]["devo_1"]["config"]["max_bytes_per_second"] = json!(2_500_000);
        let mut collector = self.run(1, &slow);
        collector.wait_until("a third of the object", || self.records(&object) > object.frames.len() / 3);
        (object, collector)
    }

    /// The object's records that have arrived.
    fn arrived(&self, object: &Object) -> usize {
        self.lab.sink_is_quiet();
        object.frames.len() - compare(&object.frames, &self.lab.sink.received()).missing.len()
    }
}

fn flows(count: usize) -> Vec<Object> {
    (0..count).map(|number| feeds::vpc(&format!("o{number}"), 20)).collect()
}

#[test]
fn two_hosts_collect_what_is_announced_twice_once() {
    let hosts = Hosts::new("twice");
    let objects = [flows(60), vec![feeds::fdr("big", 20_000)]].concat();
    hosts.lab.put(&objects);
    let config = |number| hosts.config(number, emulator::endpoint());
    let (mut first, second) = (hosts.run(1, &config(1)), hosts.run(2, &config(2)));
    for _ in 0..3 {
        hosts.announce(&objects);
    }
    first.wait_until("all objects", || hosts.lab.queue.is_empty());
    for collector in [first, second] {
        let ended = collector.stop();
        assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    }
    hosts.lab.expect_delivered(&all_frames(&objects));
    assert_eq!(hosts.delivered(&objects), objects.len());
    // A third one has an empty ledger, and asks for each object once.
    hosts.announce(&objects);
    let ended = hosts.drain(3, &config(3));
    hosts.lab.expect_delivered(&all_frames(&objects));
    assert!(ended.log.contains("total fetch: 0 objects, 0 B"), "log:\n{}", ended.log);
    // It can vouch for all of them.
    let day = ["audit", "--json", "--from", "2026-11-21", "--to", "2026-11-22"];
    let audit = hosts.command(3, &config(3), &day).end(PATIENCE);
    assert_eq!(audit.code, Some(0), "log:\n{}", audit.log);
    let report: Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert_eq!(report["total"]["delivered"]["objects"], 60);
}

#[test]
fn a_ledger_moves_to_the_table_and_back() {
    let hosts = Hosts::new("moved");
    let objects = flows(12);
    hosts.lab.put(&objects);
    let shared = |number| hosts.config(number, emulator::endpoint());
    let alone = |number: usize| {
        let mut config = shared(number);
        let folder = hosts.lab.directory().join(format!("state-{number}"));
        config["globals"]["persistence"] =
            json!({"type": "filesystem", "config": {"directory_name": folder}});
        config
    };
    let ledger = |number, config: &Value, arguments: &[&str]| {
        text(&hosts.command(number, config, &[&["ledger"], arguments].concat()).end(PATIENCE))
    };
    let knows_all = |number, config: &Value| {
        hosts.announce(&objects);
        let ended = hosts.drain(number, config);
        assert!(ended.log.contains("total fetch: 0 objects, 0 B"), "log:\n{}", ended.log);
    };
    let file = hosts.lab.directory().join("ledger.jsonl");
    let (path, checkpoint) =
        (file.to_str().unwrap(), r#"{"checkpoint":{"source":"1/a/b","part":"p","value":"V"}}"#);
    hosts.announce(&objects);
    hosts.drain(1, &alone(1));
    ledger(1, &alone(1), &["export", path]);
    let exported = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = exported.lines().filter(|line| !line.contains(r#"{"end""#)).collect();
    // An export with one more line.
    let with = |lines: &str, checkpoint: String| {
        let end = format!(r#"{{"end":{{"lines":{}}}}}"#, lines.lines().count() + 1);
        format!("{lines}\n{checkpoint}\n{end}\n")
    };
    let exported = lines.join("\n");
    std::fs::write(&file, &exported).unwrap();
    let cut = hosts.command(2, &shared(2), &["ledger", "import", path]).end(PATIENCE);
    assert!(cut.code == Some(2) && cut.log.contains("Nothing was imported"), "log:\n{}", cut.log);
    std::fs::write(&file, with(&exported, checkpoint.replace('V', "10"))).unwrap();
    let said = ledger(2, &shared(2), &["import", path]);
    assert!(
        said.contains("12 objects were imported into the shared table") && said.contains("1/a/b"),
        "{said}"
    );
    knows_all(2, &shared(2));
    // An import turns nothing back, and forgets nothing.
    std::fs::write(&file, with(&exported.replace("true", "false"), checkpoint.replace('V', "9"))).unwrap();
    let said = ledger(2, &shared(2), &["import", path]);
    assert!(said.contains("it knew 12 already") && said.contains("which are kept: 1/a/b"), "{said}");
    ledger(2, &shared(2), &["export", path]);
    let exported = std::fs::read_to_string(&file).unwrap();
    assert!(exported.contains(&checkpoint.replace('V', "10")), "{exported}");
    let said = ledger(3, &alone(3), &["import", path]);
    assert!(said.contains("12 objects were imported into the ledger") && said.contains("1/a/b"), "{said}");
    knows_all(3, &alone(3));
    hosts.lab.expect_delivered(&all_frames(&objects));
    // What is forgotten is sent again.
    ledger(2, &shared(2), &["forget", "--match", &objects[0].key]);
    hosts.announce(&objects);
    hosts.drain(4, &shared(4));
    hosts.lab.expect_delivered(&[all_frames(&objects), objects[0].frames.clone()].concat());
}

/// Its first records are at one output only: no other one may go on after them.
#[test]
fn what_other_outputs_have_of_an_object_is_not_imported() {
    let hosts = Hosts::new("other-outputs");
    let (_, collector) = hosts.in_mid_object();
    collector.kill();
    let file = hosts.lab.directory().join("ledger.jsonl");
    let path = file.to_str().unwrap();
    let shared = hosts.config(1, emulator::endpoint());
    let said = text(&hosts.command(1, &shared, &["ledger", "export", path]).end(PATIENCE));
    assert!(said.contains("1 objects"), "{said}");
    let mut other = hosts.config(2, emulator::endpoint());
    other["outputs"]["devo_1"]["config"]["port"] = json!(9);
    for kind in ["dynamodb", "filesystem"] {
        if kind == "filesystem" {
            let folder = hosts.lab.directory().join("state-alone");
            other["globals"]["persistence"] = json!({"type": kind, "config": {"directory_name": folder}});
        }
        let said = text(&hosts.command(2, &other, &["ledger", "import", path]).end(PATIENCE));
        assert!(said.contains("0 objects were imported") && said.contains("1 were left out"), "{said}");
    }
}

#[test]
fn entries_that_cannot_be_read_hold_up_no_object() {
    let hosts = Hosts::new("unreadable");
    let objects = flows(6);
    hosts.lab.put(&objects);
    for object in &objects {
        let item = json!({
            "pk": {"S": format!("object/1/{}/{}", hosts.lab.bucket, object.key)},
            "sk": {"S": aws::etag(&hosts.lab.bucket, &object.key).trim_matches('"')},
            "holder": {"N": "1"},
        });
        aws::put_item(&hosts.table, &item);
    }
    hosts.announce(&objects);
    let ended = hosts.drain(1, &hosts.config(1, emulator::endpoint()));
    assert_eq!(
        ended.log.matches("is collected without a claim").count(),
        objects.len(),
        "log:\n{}",
        ended.log
    );
    hosts.lab.expect_delivered(&all_frames(&objects));
    assert_eq!(hosts.delivered(&objects), objects.len(), "they are replaced");
}

#[test]
fn an_entry_that_says_more_than_there_is_loses_nothing() {
    let hosts = Hosts::new("too-much");
    let (object, collector) = hosts.in_mid_object();
    assert_eq!(collector.stop().code, Some(0));
    let pk = format!("object/1/{}/{}", hosts.lab.bucket, object.key);
    let mut item = aws::items(&hosts.table).into_iter().find(|item| item["pk"]["S"] == pk.as_str()).unwrap();
    item["records"] = json!({"N": "1000000000"});
    aws::put_item(&hosts.table, &item);
    let ended = hosts.drain(2, &hosts.config(2, emulator::endpoint()));
    assert!(ended.log.contains("so the entry is wrong"), "log:\n{}", ended.log);
    let repeats = hosts.lab.expect_delivered_at_least_once("too much", &object.frames);
    assert!(repeats > 0, "it began again");
    assert_eq!(hosts.records(&object), object.frames.len());
}

#[test]
fn another_host_goes_on_after_the_last_confirmed_record_of_a_killed_one() {
    let hosts = Hosts::new("killed");
    let (object, first) = hosts.in_mid_object();
    first.kill();
    let (sent, saved) = (hosts.arrived(&object), hosts.records(&object));
    assert!(sent < object.frames.len(), "it was killed in the middle");
    let ended = hosts.drain(2, &hosts.config(2, emulator::endpoint()));
    let case = "a host killed in the middle of an object, another one goes on";
    let repeats = hosts.lab.expect_delivered_at_least_once(case, &object.frames);
    println!("{sent} records sent before, {saved} of them in the table");
    assert!(repeats <= sent - saved, "{repeats} repeats of {sent} sent, {saved} in the table");
    assert!(ended.log.contains(&format!("{saved} not sent again")), "log:\n{}", ended.log);
}

#[test]
fn a_stopped_host_hands_its_object_over_at_once() {
    let hosts = Hosts::new("stopped");
    let (object, first) = hosts.in_mid_object();
    let ended = first.stop();
    assert_eq!(hosts.attribute(&object, "holder").as_deref(), Some("-"), "log:\n{}", ended.log);
    let (sent, saved) = (hosts.arrived(&object), hosts.records(&object));
    hosts.drain(2, &hosts.config(2, emulator::endpoint()));
    let repeats =
        hosts.lab.expect_delivered_at_least_once("a host stopped in the middle of an object", &object.frames);
    assert!(repeats <= sent - saved, "{repeats} repeats of {sent} sent, {saved} in the table");
}

#[test]
fn a_host_that_stood_still_stops_what_another_one_sends() {
    let hosts = Hosts::new("frozen");
    let (object, mut first) = hosts.in_mid_object();
    first.signal(Signal::STOP);
    let (sent, saved) = (hosts.arrived(&object), hosts.records(&object));
    let mut second = hosts.run(2, &hosts.config(2, emulator::endpoint()));
    second.wait_until("the object by the other", || hosts.delivered(std::slice::from_ref(&object)) == 1);
    first.signal(Signal::CONT);
    first.wait_for_log("another host has taken s3://");
    first.wait_until("an empty queue", || hosts.lab.queue.is_empty());
    for collector in [first, second] {
        let ended = collector.stop();
        assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    }
    let case = "one of two hosts frozen in the middle of an object";
    let repeats = hosts.lab.expect_delivered_at_least_once(case, &object.frames);
    println!("{sent} records sent before, {saved} of them in the table, {repeats} repeats");
    assert!(repeats < object.frames.len() - saved, "it has stopped: {repeats} repeats");
    assert_eq!(hosts.delivered(std::slice::from_ref(&object)), 1);
}

#[test]
fn without_the_table_objects_go_on_and_are_told_of_afterwards() {
    let hosts = Hosts::new("away");
    let is_away = Arc::new(AtomicBool::new(false));
    let away = Arc::clone(&is_away);
    let proxy =
        FaultProxy::start(move |_| if away.load(Ordering::SeqCst) { Fault::Reset } else { Fault::Pass });
    let objects = flows(40);
    hosts.lab.put(&objects);
    let mut first = hosts.run(1, &hosts.config(1, &proxy.endpoint()));
    hosts.announce(&objects[..10]);
    first.wait_until("objects in the table", || hosts.delivered(&objects) == 10);
    is_away.store(true, Ordering::SeqCst);
    first.wait_for_log("S3 feeds go on with the local ledger alone");
    hosts.announce(&objects[10..]);
    first.wait_until("objects without the table", || hosts.lab.queue.is_empty());
    hosts.lab.expect_delivered(&all_frames(&objects));
    assert_eq!(hosts.delivered(&objects), 10);
    is_away.store(false, Ordering::SeqCst);
    first.wait_until("all objects in the table", || hosts.delivered(&objects) == objects.len());
    assert_eq!(first.stop().code, Some(0));
    hosts.announce(&objects);
    hosts.drain(2, &hosts.config(2, emulator::endpoint()));
    hosts.lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn without_claims_delivered_objects_are_remembered_in_batches() {
    let mut hosts = Hosts::new("unclaimed");
    hosts.more = json!({"claims": false});
    let proxy = FaultProxy::start(|_| Fault::Pass);
    let objects = flows(100);
    hosts.lab.put(&objects);
    hosts.announce(&objects);
    hosts.drain(1, &hosts.config(1, &proxy.endpoint()));
    assert_eq!(hosts.delivered(&objects), objects.len());
    let is_unclaimed = |object: &Object| hosts.attribute(object, "epoch").as_deref() == Some("0");
    assert!(objects.iter().all(is_unclaimed), "nothing is claimed");
    assert!(proxy.calls("BatchWriteItem") < objects.len() as u32, "several in a batch");
    hosts.announce(&objects);
    let ended = hosts.drain(2, &hosts.config(2, emulator::endpoint()));
    assert!(ended.log.contains("total fetch: 0 objects, 0 B"), "log:\n{}", ended.log);
    hosts.lab.expect_delivered(&all_frames(&objects));
}

#[test]
fn a_drained_host_receives_no_messages() {
    let hosts = Hosts::new("drained");
    let objects = flows(40);
    hosts.lab.put(&objects);
    let config = |number| hosts.config(number, emulator::endpoint());
    let (first, mut second) = (hosts.run(1, &config(1)), hosts.run(2, &config(2)));
    let fleet =
        |arguments: &[&str]| hosts.command(3, &config(3), &[&["fleet"], arguments].concat()).end(PATIENCE);
    let ids = || -> Vec<String> {
        let seen: Value = serde_json::from_slice(&fleet(&["--json"]).stdout).unwrap();
        let alive = seen["hosts"].as_array().unwrap().iter().filter(|host| host["alive"] == true);
        alive.map(|host| host["id"].as_str().unwrap().to_owned()).collect()
    };
    second.wait_until("both hosts", || ids().len() == 2);
    let name = ids()[0].split_once('/').unwrap().0.to_owned();
    let refused = fleet(&["--drain", &name]);
    assert_eq!(refused.code, Some(2), "{}", refused.log);
    assert!(refused.log.contains("2 living hosts have the name"), "{}", refused.log);
    let ended = fleet(&["--drain", &ids()[0]]);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    hosts.announce(&objects);
    second.wait_until("all objects", || hosts.lab.queue.is_empty());
    let logs = [first, second].map(|collector| {
        let ended = collector.stop();
        assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
        ended.log
    });
    hosts.lab.expect_delivered(&all_frames(&objects));
    let idle: Vec<_> = logs.iter().filter(|log| log.contains("total fetch: 0 objects, 0 B")).collect();
    assert_eq!(idle.len(), 1, "{logs:?}");
    assert!(idle[0].contains("this host is drained"), "{}", idle[0]);
}

/// DynamoDB refuses an item that is too large in this way.
#[test]
fn an_end_that_the_table_refuses_holds_up_no_other() {
    for claims in [true, false] {
        let mut hosts = Hosts::new(if claims { "refused" } else { "refused-unclaimed" });
        hosts.more = json!({ "claims": claims });
        let objects = flows(40);
        hosts.lab.put(&objects);
        // More than there are threads that write.
        let refused: Vec<String> = objects[..8].iter().map(|object| format!("{}\"", object.key)).collect();
        let proxy = FaultProxy::start(move |call| {
            let ends = call.body.contains(r#"delivered":{"N":"1"}"#);
            let is_meant = ends && refused.iter().any(|key| call.body.contains(key));
            if is_meant { refuse_json(400, "ValidationException") } else { Fault::Pass }
        });
        hosts.announce(&objects);
        let mut collector = hosts.run(1, &hosts.config(1, &proxy.endpoint()));
        collector
            .wait_until("the other objects in the table", || hosts.delivered(&objects) == objects.len() - 8);
        collector.wait_until("an empty queue", || hosts.lab.queue.is_empty());
        let ended = collector.stop();
        assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
        assert!(ended.log.contains("The shared table does not accept how object/1/"), "log:\n{}", ended.log);
        hosts.lab.expect_delivered(&all_frames(&objects));
    }
}
