//! The host kills the process, and has few resources.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::lab::Lab;
use crate::rig::process::PATIENCE;

const KILLS: usize = 50;
const FILES: &[&str] = &["prlimit", "--nofile=64"];

#[test]
fn killed_at_random_moments_fifty_times() {
    killed("SIGKILL at 50 random moments", "killed-50", "close");
}

#[test]
fn killed_at_random_moments_with_acknowledgements() {
    killed(
        "SIGKILL at 50 random moments, confirmed by acknowledgements",
        "killed-50-acks",
        "acknowledgement",
    );
}

/// The moments are the same whatever the confirmation.
fn killed(case: &str, lab: &str, confirmation: &str) {
    let lab = Lab::new(lab);
    let mut config = lab.config(json!({"aws_sqs_fdr": {}}));
    config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(5);
    config["outputs"]["devo_1"]["config"]["confirmation"] = json!(confirmation);
    let mut moments = fastrand::Rng::with_seed(50);
    let mut all = Vec::new();
    for kill in 0..KILLS {
        let some: Vec<_> = (0..2).map(|i| feeds::fdr(&format!("{kill:02}-{i}"), 500)).collect();
        lab.put_and_announce(&some);
        all.extend(some);
        let collector = lab.run(&config, &[]);
        std::thread::sleep(Duration::from_millis(moments.u64(50..1300)));
        collector.kill();
    }
    assert!(lab.sink.received_bytes() > 0, "some came before a kill");
    lab.drain_all(&config);
    lab.expect_delivered_at_least_once(case, &all_frames(&all));
}

#[test]
fn sixty_four_open_files_are_enough() {
    let lab = Lab::new("files-64");
    let objects = load(&lab);
    let ended = lab.run_under(FILES, &config(&lab), &["--drain"]).end(PATIENCE);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    arrived(&lab, "64 open files", &objects);
}

#[test]
fn sixty_four_open_files_for_a_hundred_fetchers() {
    let lab = Lab::new("files-too-few");
    let objects = load(&lab);
    let mut config = config(&lab);
    config["globals"]["fetchers"] = json!(100);
    let ended = lab.run_under(FILES, &config, &["--drain"]).end(PATIENCE);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(ended.log.contains("open files"), "log:\n{}", ended.log);
    arrived(&lab, "64 open files for 100 fetchers", &objects);
}

fn arrived(lab: &Lab, case: &str, objects: &[Object]) {
    assert!(lab.queue.is_empty() && lab.dead_letters.is_empty());
    lab.expect_delivered_at_least_once(case, &all_frames(objects));
}

fn load(lab: &Lab) -> Vec<Object> {
    let objects: Vec<_> = (0..300).map(|i| feeds::vpc(&format!("h{i}"), 50)).collect();
    lab.put_and_announce(&objects);
    objects
}

fn config(lab: &Lab) -> Value {
    lab.config(json!({"aws_sqs_vpc": {}}))
}
