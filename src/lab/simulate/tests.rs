use std::sync::Arc;

use super::setup::Outlet;
use super::*;
use crate::base::runtime::channel;
use crate::base::runtime::sync::{Condvar, Mutex};
use crate::base::stop::Stop;

fn options(kinds: Vec<Kind>) -> Options {
    Options { kinds, faults_max: 6, traces: false }
}

/// The figures that two runs of a seed share.
fn outcome(seed: u64, options: &Options) -> (u64, u64, Duration, u64, u64, Option<Violation>) {
    let Report { steps, digest, time, records, repeats, violation, .. } = run(seed, options).unwrap();
    (steps, digest, time, records, repeats, violation)
}

#[test]
fn a_seed_replays_exactly_and_another_one_is_another_run() {
    let all = options(faults::all());
    let first = outcome(1, &all);
    assert_eq!(first, outcome(1, &all));
    assert_ne!(first.1, outcome(7, &all).1);
    assert!(first.0 > 1000 && first.3 > 0, "{first:?}");
}

/// Two short ones: `scripts/test simulate` runs many, with an optimized program.
#[test]
fn the_invariants_hold_with_and_without_faults() {
    for kinds in [Vec::new(), faults::all()] {
        for seed in [1, 7] {
            let report = run(seed, &options(kinds.clone())).unwrap();
            assert_eq!(report.violation, None, "seed {seed}");
            assert!(report.records > 0);
        }
    }
}

/// Drains a queue into a peer that reads slowly on each connection.
fn slow_peer(spares: usize, is_fifo: bool, confirmation: &'static str) -> Report {
    let options = options(Vec::new());
    let outlet =
        Outlet { senders: 1, spares, confirmation, rate: 100_000, kernel_bytes: 256 * 1024, tls: None };
    let (events, outputs) = ([0; 5], vec![outlet]);
    let drained = Setup {
        drains: true,
        workers: 3,
        fetchers: 4,
        objects: 20,
        memory_mib: 256,
        hosts: 0,
        ..Setup::of(1, &options)
    };
    run_setup(1, &Setup { is_fifo, events, outputs, ..drained }, &options).unwrap()
}

#[test]
fn senders_join_while_they_are_the_bottleneck() {
    let [alone, helped] = [0, 3].map(|spares| slow_peer(spares, false, "acknowledgement"));
    assert_eq!([&alone.violation, &helped.violation], [&None, &None]);
    assert_eq!([alone.connections_max, helped.connections_max], [1, 4]);
    assert!(helped.time < alone.time / 2, "{helped} {alone}");
    let closing = slow_peer(3, false, "close");
    assert_eq!(closing.violation, None);
    assert!(closing.connections_max >= 4, "{}", closing.connections_max);
}

#[test]
fn events_in_order_need_no_further_connections() {
    let report = slow_peer(3, true, "acknowledgement");
    assert_eq!((report.violation, report.connections_max), (None, 1));
}

/// Runs `body` as the world's thread of a simulation, and returns what went wrong, and the simulated time.
fn simulated(seed: u64, body: impl FnOnce() + Send + 'static) -> (Result<(), String>, Duration) {
    let scheduler = Scheduler::new(seed, 2, false);
    let process = scheduler.process(0, &Arc::default());
    let outcome = scheduler.run(&process, body);
    (outcome, scheduler.elapsed())
}

#[test]
fn time_passes_when_nobody_can_run_and_a_stop_ends_a_wait() {
    let (outcome, time) = simulated(1, || {
        let stop = Stop::new();
        let other = stop.clone();
        thread::spawn("stops".to_owned(), move || {
            thread::sleep(Duration::from_secs(3600));
            other.stop();
        })
        .unwrap();
        assert!(stop.wait(Duration::from_secs(1_000_000)));
    });
    assert_eq!(outcome, Ok(()));
    assert_eq!(time.as_secs(), 3600);
}

#[test]
fn a_lock_held_through_a_wait_blocks_others_and_nothing_else() {
    let (outcome, _) = simulated(2, || {
        let lock = Arc::new(Mutex::new(0));
        let (told, heard) = channel::unbounded();
        for number in 0..4 {
            let (lock, told) = (Arc::clone(&lock), told.clone());
            let body = move || {
                let mut value = lock.lock().unwrap();
                let before = *value;
                thread::sleep(Duration::from_millis(10));
                *value = before + 1;
                drop(value);
                told.send(number).unwrap();
            };
            thread::spawn(format!("adds-{number}"), body).unwrap();
        }
        drop(told);
        assert_eq!(heard.iter().count(), 4);
        assert_eq!(*lock.lock().unwrap(), 4);
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_rendezvous_passes_only_while_somebody_waits() {
    let (outcome, _) = simulated(3, || {
        let (wake, woken) = channel::bounded(0);
        assert!(wake.try_send(1).is_err());
        let (told, heard) = channel::bounded(1);
        thread::spawn("waits".to_owned(), move || {
            told.send(woken.recv_timeout(Duration::from_secs(5))).unwrap();
            told.send(woken.recv_timeout(Duration::from_secs(5))).unwrap();
        })
        .unwrap();
        thread::sleep(Duration::from_secs(1));
        wake.try_send(2).unwrap();
        assert_eq!(heard.recv().unwrap(), Ok(2));
        assert_eq!(heard.recv().unwrap(), Err(channel::RecvTimeoutError::Timeout));
        assert!(wake.try_send(3).is_err());
    });
    assert_eq!(outcome, Ok(()));
}

#[test]
fn threads_that_wait_for_each_other_are_reported() {
    let (outcome, _) = simulated(4, || {
        let (lock, never) = (Mutex::new(()), Condvar::new());
        let held = lock.lock().unwrap();
        let (told, heard) = channel::unbounded::<()>();
        let _ = heard.recv();
        drop((told, held, never));
    });
    assert!(outcome.unwrap_err().contains("can ever run again"));
}
