//! Objects that are being decoded when the process dies.

use std::os::unix::fs::FileExt;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cases::ledger::{ledger, text};
use crate::rig::feeds::{self, Object};
use crate::rig::lab::Lab;
use crate::rig::process::PATIENCE;

/// As in `src/ledger/suspects/notes.rs`.
const SLOT_BYTES: usize = 2048;

#[test]
fn an_object_that_ends_the_process_twice_is_refused_until_it_is_forgotten() {
    let lab = Lab::new("deaths-twice");
    let (slow, good) = (slow("twice"), feeds::fdr("good", 20));
    lab.put(std::slice::from_ref(&slow));
    lab.put(std::slice::from_ref(&good));
    let config = lab.config(json!({"aws_sqs_fdr": {}}));
    for _ in 0..2 {
        die_over(&lab, &config, &slow);
    }
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("was being decoded when a process died");
    lab.announce([&*slow.key, &good.key]);
    collector.wait_for_log("refused: the collector died 2 times while decoding it");
    collector.wait_until("the good object", || lab.sink.received_bytes() > 0);
    collector.stop();
    lab.expect_delivered(&good.frames);
    let shown = text(&ledger(&lab, &config, &["show"]));
    assert!(shown.contains(&slow.key) && shown.contains("2 times"), "{shown}");
    let forgotten = text(&ledger(&lab, &config, &["forget", "--match", &slow.key]));
    assert!(forgotten.contains("1 more had been refused"), "{forgotten}");
    let before = lab.sink.received_bytes();
    let mut collector = lab.run(&config, &[]);
    lab.announce([&*slow.key]);
    collector.wait_until("the object", || lab.sink.received_bytes() > before);
    collector.stop();
    lab.expect_delivered_at_least_once("deaths", &[good.frames, slow.frames].concat());
}

#[test]
fn a_kill_convicts_no_innocent_object() {
    let lab = Lab::new("deaths-once");
    let slow = slow("once");
    lab.put(std::slice::from_ref(&slow));
    let config = lab.config(json!({"aws_sqs_fdr": {}}));
    die_over(&lab, &config, &slow);
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("was being decoded when a process died");
    lab.announce([&*slow.key]);
    collector.wait_for_log("was decoded, and is no longer suspected");
    collector.wait_until("the object", || lab.sink.received_bytes() > 0);
    collector.stop();
    lab.expect_delivered_at_least_once("deaths", &slow.frames);
}

#[test]
fn a_stop_makes_nothing_suspect() {
    let lab = Lab::new("deaths-stop");
    let slow = slow("stop");
    lab.put_and_announce(std::slice::from_ref(&slow));
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    config["globals"]["shutdown_timeout"] = json!(0);
    let mut collector = lab.run(&config, &[]);
    collector.wait_until("the object to be decoded", || is_decoding(&lab, &slow));
    collector.stop();
    assert!(!is_decoding(&lab, &slow));
    let mut collector = lab.run(&config, &[]);
    collector.wait_for_log("messages wait in the queue");
    let ended = collector.stop();
    assert!(!ended.log.contains("when a process died"), "log:\n{}", ended.log);
}

/// Announces the object, and kills the collector while it is decoding it.
fn die_over(lab: &Lab, config: &Value, object: &Object) {
    // The kill may come a moment too late.
    for _ in 0..20 {
        lab.announce([&*object.key]);
        let mut collector = lab.run(config, &[]);
        // Until then the file may be the previous process's.
        collector.wait_for_log("credentials: access key");
        collector.wait_until("the object to be decoded", || is_decoding(lab, object));
        collector.signal(Signal::KILL);
        assert_eq!(collector.end(PATIENCE).code, None);
        if is_decoding(lab, object) {
            return;
        }
    }
    panic!("the object is never being decoded when the process dies");
}

/// Checks the note in the file, which outlives the process.
fn is_decoding(lab: &Lab, object: &Object) -> bool {
    let Ok(file) = std::fs::File::open(lab.directory().join("state").join("decoding")) else { return false };
    let slots = (1..64).map_while(|slot| {
        let mut bytes = [0; SLOT_BYTES];
        let length = file.read_at(&mut bytes, (slot * SLOT_BYTES) as u64).ok()?;
        (length > 0).then_some(bytes)
    });
    slots.into_iter().any(|slot| {
        slot[0] == 1 && slot.windows(object.key.len()).any(|window| window == object.key.as_bytes())
    })
}

/// An object that takes long to decode, with few records: all its lines except two are empty.
fn slow(label: &str) -> Object {
    let (first, last) = (feeds::fdr_event(label, 0), feeds::fdr_event(label, 1));
    let mut text = first.clone().into_bytes();
    text.resize(25_000_000, b'\n');
    text.extend_from_slice(last.as_bytes());
    Object {
        key: format!("data/{label}/part-00000.gz"),
        bytes: feeds::gzip(&text),
        frames: feeds::frames("edr.crowdstrike.cannon", &[first, last]),
    }
}
