//! The ledger's file cannot be written for a while: delivery continues.

use rusqlite::Connection;
use serde_json::json;

use crate::rig::collector::{Collector, Ended};
use crate::rig::fault_island::is_root;
use crate::rig::feeds::{self, Object, all_frames};
use crate::rig::lab::Lab;
use crate::rig::process::PATIENCE;
use crate::rig::small_disk::SmallDisk;

#[test]
fn its_disk_is_full() {
    let case = "disk full under the ledger";
    if !is_root(case) {
        return;
    }
    let lab = Lab::new("ledger-full");
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let disk = SmallDisk::mount(&lab.directory().join("state"), 8);
    let mut collector = lab.run_under(&disk.wrapper(), &config, &[]);
    let trouble = || disk.fill();
    let feeds = three_feeds(&lab, &mut collector, "full", trouble, || disk.free());
    let ended = all_came_once(&lab, collector, case, &feeds);
    // A new start needs the file: it is refused, and nothing is received.
    disk.fill();
    lab.announce(feeds.iter().flatten().map(|object| object.key.as_str()));
    let refused = lab.run_under(&disk.wrapper(), &config, &["--drain"]).end(PATIENCE);
    assert_eq!(refused.code, Some(75), "log:\n{}", refused.log);
    assert!(refused.log.contains("disk is full"), "log:\n{}", refused.log);
    assert!(lab.queue.peek().iter().all(|m| m.receive_count == 0));
    disk.free();
    // Only unrecorded deliveries are unknown.
    let again = lab.run_under(&disk.wrapper(), &config, &["--drain"]).end(PATIENCE);
    nothing_comes_again(&lab, &again, &ended, &feeds);
}

#[test]
fn another_process_holds_it() {
    let lab = Lab::new("ledger-locked");
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let mut collector = lab.run(&config, &[]);
    let file = lab.directory().join("state/ledger.sqlite3");
    collector.wait_until("the ledger", || file.exists());
    let holder = Connection::open(&file).unwrap();
    let lock = || holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let feeds =
        three_feeds(&lab, &mut collector, "locked", lock, || holder.execute_batch("ROLLBACK").unwrap());
    let ended = all_came_once(&lab, collector, "ledger locked for longer than 15 s", &feeds);
    lab.announce(feeds.iter().flatten().map(|object| object.key.as_str()));
    let again = lab.drain(&config);
    nothing_comes_again(&lab, &again, &ended, &feeds);
}

/// Feeds before, during and after a problem that the log must report with `complaint`.
fn three_feeds(
    lab: &Lab,
    collector: &mut Collector,
    complaint: &str,
    begin: impl FnOnce(),
    end: impl FnOnce(),
) -> [Vec<Object>; 3] {
    let mut feed = |label: &str| {
        let objects: Vec<_> = (0..20).map(|i| feeds::vpc(&format!("{label}{i}"), 100)).collect();
        lab.put_and_announce(&objects);
        collector.wait_until("the queue's end", || lab.queue.is_empty());
        objects
    };
    let before = feed("before");
    begin();
    let during = feed("during");
    end();
    let after = feed("after");
    collector.wait_for_log(&format!(
        "ledger .*cannot be written: .*{complaint}.* Delivery continues, and entries wait in memory"
    ));
    collector.wait_for_log("ledger .*works again");
    [before, during, after]
}

fn all_came_once(lab: &Lab, collector: Collector, case: &str, feeds: &[Vec<Object>; 3]) -> Ended {
    let ended = collector.stop();
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.sink_is_quiet();
    let frames: Vec<_> = feeds.iter().flat_map(|objects| all_frames(objects)).collect();
    assert_eq!(lab.expect_delivered_at_least_once(case, &frames), 0);
    ended
}

/// From the first run's statistics and the second's, when every object has been announced again: what could not be written at first
/// was written later.
fn nothing_comes_again(lab: &Lab, again: &Ended, first: &Ended, feeds: &[Vec<Object>; 3]) {
    let [before, during, after] = feeds;
    assert_eq!(again.code, Some(0), "log:\n{}", again.log);
    let unrecorded = format!("entries written, {} failed", during.len());
    assert!(first.log.contains(&unrecorded), "log:\n{}", first.log);
    let known = format!("{} already delivered", before.len() + during.len() + after.len());
    assert!(again.log.contains(&known), "log:\n{}", again.log);
    lab.sink_is_quiet();
    let all = [before, during, after].map(|objects| all_frames(objects)).concat();
    lab.expect_delivered(&all);
}
