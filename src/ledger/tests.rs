//! The ledger as fetchers use it.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;
use crate::ack::{Ack, Ending, Fate, Outcome, Progress};
use crate::base::limits::LEDGER_SAVE_TIMEOUT;

const PATIENCE: Duration = Duration::from_secs(60);

fn object(key: &str, etag: Option<&str>) -> Object {
    Object { etag: etag.map(str::to_owned), ..Object::named("b", key) }
}

/// A message with one object: its share, and its outcome once that is known.
fn message() -> (Share, mpsc::Receiver<Outcome>) {
    let (settled, outcome) = mpsc::channel();
    let ack = Ack::open(move |outcome| {
        let _ = settled.send(outcome);
    });
    let share = ack.share();
    ack.close(Outcome::Delivered);
    (share, outcome)
}

fn open(directory: &TempDir) -> Ledger {
    open_as(Role::Collector, directory)
}

fn open_as(role: Role, directory: &TempDir) -> Ledger {
    let scope = Scope { role, ..Scope::default() };
    Ledger::open(directory.path(), &scope, &Arc::new(Telemetry::default())).unwrap()
}

#[test]
fn a_directory_is_free_for_the_next_as_soon_as_a_ledger_is_closed() {
    let directory = TempDir::new().unwrap();
    let (scope, telemetry) = (Scope::default(), Arc::new(Telemetry::default()));
    let first = open(&directory);
    let refused = Ledger::open(directory.path(), &scope, &telemetry).unwrap_err();
    assert!(matches!(refused, OpenError::Held { .. }), "{refused}");
    // Threads that hang may hold it still.
    first.close(LEDGER_SAVE_TIMEOUT);
    open(&directory);
    drop(first);
}

fn claimed(ledger: &Ledger, object: &Object) -> (Entry, mpsc::Receiver<Outcome>) {
    let (share, outcome) = message();
    (ledger.claim("1", object, share, None).expect("nobody has it"), outcome)
}

fn undelivered(known: Known) -> Progress {
    let Known::Undelivered(progress) = known else { panic!("known as delivered") };
    progress
}

/// All of an object with this many records is decoded and confirmed.
fn deliver(mut progress: Progress, records: u64) {
    confirm(&mut progress, records);
    progress.complete();
}

/// Decodes this many records of the object and has them confirmed, a batch each.
fn confirm(progress: &mut Progress, records: u64) {
    let object = Ack::open(|_| ());
    for _ in 0..records {
        progress.admit_next();
        progress.batch(&object).close(Outcome::Delivered);
    }
}

#[test]
fn what_was_delivered_is_known_after_a_crash() {
    let directory = TempDir::new().unwrap();
    let ledger = open(&directory);
    let (entry, outcome) = claimed(&ledger, &object("k", Some("e")));
    assert!(!entry.is_delivered());
    deliver(undelivered(entry.identify("\"e\"", 10, "lines")), 3);
    entry.settle(Outcome::Delivered, Some(Ending::Sent));
    // As soon as the message is settled, the ledger has recorded it: no orderly end is needed.
    assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Outcome::Delivered));
    // A process that ends releases the directory's lock, however it ends.
    ledger.0.file.as_ref().unwrap().lock.lock().unwrap().take();
    #[expect(clippy::mem_forget, reason = "as if the process had ended here")]
    std::mem::forget(ledger);
    let ledger = open(&directory);
    assert!(claimed(&ledger, &object("k", Some("e"))).0.is_delivered());
    let (unnamed, _) = claimed(&ledger, &object("k", None));
    assert!(!unnamed.is_delivered(), "nothing is known of it yet");
    assert!(matches!(unnamed.identify("\"e\"", 10, "lines"), Known::Delivered));
    assert!(matches!(unnamed.identify("\"f\"", 10, "lines"), Known::Undelivered(_)), "replaced");
    let (share, _outcome) = message();
    let other_input = ledger.claim("2", &object("k", Some("e")), share, None).unwrap();
    assert!(!other_input.is_delivered());
}

#[test]
fn a_failed_object_goes_on_after_what_was_confirmed() {
    let directory = TempDir::new().unwrap();
    let ledger = open(&directory);
    for (outcome, before) in [(Outcome::Reject, 0), (Outcome::Retry, 5), (Outcome::Reject, 10)] {
        let (entry, settled) = claimed(&ledger, &object("k", Some("e")));
        let mut progress = undelivered(entry.identify("e", 10, "lines"));
        assert_eq!(progress.confirmed().so_far().0, before);
        for _ in 0..before {
            assert!(!progress.admit_next());
        }
        confirm(&mut progress, 5);
        entry.settle(outcome, Fate::default().ending(outcome));
        assert_eq!(settled.recv_timeout(PATIENCE), Ok(outcome));
    }
    let (entry, _outcome) = claimed(&ledger, &object("k", Some("e")));
    let other_format = undelivered(entry.identify("e", 10, "JSON"));
    assert_eq!(other_format.confirmed().so_far().0, 0, "its records are others");
}

#[test]
fn saving_records_what_is_in_work() {
    let directory = TempDir::new().unwrap();
    let ledger = open(&directory);
    let (entry, outcome) = claimed(&ledger, &object("k", Some("e")));
    confirm(&mut undelivered(entry.identify("e", 10, "lines")), 4);
    ledger.save(LEDGER_SAVE_TIMEOUT);
    assert!(outcome.try_recv().is_err(), "it is still in work");
    let rows = rows(&directory);
    assert_eq!((rows.len(), rows[0].records, rows[0].delivered), (1, 4, false));
}

#[test]
fn big_objects_are_recorded_from_time_to_time() {
    let directory = TempDir::new().unwrap();
    let ledger = open(&directory);
    let (big, _big) = claimed(&ledger, &object("big", Some("e")));
    let (small, _small) = claimed(&ledger, &object("small", Some("e")));
    confirm(&mut undelivered(big.identify("e", 10, "lines")), 20);
    confirm(&mut undelivered(small.identify("e", 10, "lines")), 2);
    let store = Store::open_existing(&directory.path().join(FILE)).unwrap();
    let began = Instant::now();
    let rows = loop {
        let rows = store.list(&Filter::default(), 9).unwrap();
        if !rows.is_empty() {
            break rows;
        }
        assert!(began.elapsed() < PATIENCE, "nothing was recorded");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!((rows.len(), rows[0].place.key.as_str(), rows[0].records), (1, "big", 20));
}

#[test]
fn the_same_object_twice_at_once_is_collected_once() {
    let directory = TempDir::new().unwrap();
    for ledger in [open(&directory), Ledger::none()] {
        let object = object("k", Some("e"));
        for outcome in [Outcome::Retry, Outcome::Delivered] {
            let (entry, first) = claimed(&ledger, &object);
            let (share, second) = message();
            assert!(ledger.claim("1", &object, share, None).is_none(), "it is in work");
            deliver(undelivered(entry.identify("e", 10, "lines")), 0);
            assert!(second.try_recv().is_err());
            entry.settle(outcome, Fate::default().ending(outcome));
            assert_eq!(first.recv_timeout(PATIENCE), Ok(outcome));
            assert_eq!(second.recv_timeout(PATIENCE), Ok(outcome));
        }
    }
}

#[test]
fn a_message_that_waits_for_an_object_in_work_ends_its_turn_with_the_object() {
    for (outcome, whole) in [(Outcome::Delivered, true), (Outcome::Reject, true), (Outcome::Retry, false)] {
        let (ledger, object) = (Ledger::none(), object("k", Some("e")));
        let (entry, _first) = claimed(&ledger, &object);
        let (over, is_over) = mpsc::channel();
        let turn = Turn::new(1, move |whole| over.send(whole).unwrap());
        assert!(ledger.claim("1", &object, message().0, Some(&turn)).is_none());
        drop(turn);
        assert!(is_over.try_recv().is_err(), "the object is still in work");
        entry.settle(outcome, Fate::default().ending(outcome));
        assert_eq!(is_over.try_recv(), Ok(whole), "{outcome:?}");
    }
}

/// A message may name an object twice, or two may name it at once, without identifying its content: the GETs decide.
#[test]
fn without_an_identity_a_get_tells_whether_the_same_content_is_in_work() {
    let directory = TempDir::new().unwrap();
    for ledger in [open(&directory), Ledger::none()] {
        let unnamed = object("k", None);
        let (entry, first) = claimed(&ledger, &unnamed);
        let (same, second) = claimed(&ledger, &unnamed);
        let (over, is_over) = mpsc::channel();
        let turn = Turn::new(1, move |whole| over.send(whole).unwrap());
        turn.end(Outcome::Delivered);
        let (share, third) = message();
        let third_entry = ledger.claim("1", &unnamed, share, Some(&turn.of_object())).unwrap();
        let (replaced, fourth) = claimed(&ledger, &unnamed);
        let progress = undelivered(entry.identify("\"e\"", 10, "lines"));
        for entry in [&same, &third_entry] {
            assert!(matches!(entry.identify("e", 10, "lines"), Known::InWork));
            // As the fetcher drops its work.
            entry.settle(Outcome::Retry, None);
        }
        drop(undelivered(replaced.identify("f", 10, "lines")));
        drop(turn);
        assert!(second.try_recv().is_err() && is_over.try_recv().is_err(), "they wait");
        deliver(progress, 1);
        entry.settle(Outcome::Delivered, Some(Ending::Sent));
        for outcome in [first, second, third] {
            assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Outcome::Delivered));
        }
        assert_eq!(is_over.recv_timeout(PATIENCE), Ok(true));
        assert!(fourth.try_recv().is_err(), "its content is another one");
        replaced.settle(Outcome::Retry, None);
        assert_eq!(fourth.recv_timeout(PATIENCE), Ok(Outcome::Retry));
    }
}

/// S3 announces each content of a key. If it is replaced before the first is read, both messages lead to the second.
#[test]
fn a_replaced_object_that_two_messages_announce_is_collected_once() {
    let directory = TempDir::new().unwrap();
    for ledger in [open(&directory), Ledger::none()] {
        for (one, other) in [("old", "new"), ("new", "old")] {
            let key = format!("{one} first");
            let (entry, first) = claimed(&ledger, &object(&key, Some(one)));
            let (same, second) = claimed(&ledger, &object(&key, Some(other)));
            let progress = undelivered(entry.identify("new", 10, "lines"));
            assert!(matches!(same.identify("new", 10, "lines"), Known::InWork));
            same.settle(Outcome::Retry, None);
            assert!(second.try_recv().is_err(), "it waits");
            deliver(progress, 1);
            entry.settle(Outcome::Delivered, Some(Ending::Sent));
            for outcome in [first, second] {
                assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Outcome::Delivered));
            }
        }
    }
}

#[test]
fn what_merely_counts_as_done_is_not_remembered_as_delivered() {
    let directory = TempDir::new().unwrap();
    let ledger = open(&directory);
    let (entry, outcome) = claimed(&ledger, &object("k", Some("e")));
    confirm(&mut undelivered(entry.identify("e", 10, "lines")), 3);
    // Its next part is gone, and `missing_object: skip` says that this is not an error.
    entry.settle(Outcome::Delivered, Some(Ending::Sent));
    assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Outcome::Delivered));
    let (entry, _outcome) = claimed(&ledger, &object("k", Some("e")));
    assert!(!entry.is_delivered());
    assert_eq!(undelivered(entry.identify("e", 10, "lines")).confirmed().so_far().0, 3);
}

#[test]
fn an_object_that_nothing_identifies_is_not_remembered() {
    let directory = TempDir::new().unwrap();
    let ledger = open(&directory);
    // A checksum is the message's claim, not S3's answer.
    let claims = Object { checksum: Some("c".into()), ..object("k", None) };
    for object in [&object("k", None), &object("k", None), &claims, &claims] {
        let (entry, outcome) = claimed(&ledger, object);
        assert!(!entry.is_delivered());
        deliver(undelivered(entry.identify("", 10, "lines")), 1);
        entry.settle(Outcome::Delivered, Some(Ending::Sent));
        assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Outcome::Delivered));
    }
    assert_eq!(rows(&directory), []);
}

/// The entries that another process reads in the file.
fn rows(directory: &TempDir) -> Vec<Row> {
    let store = Store::open_existing(&directory.path().join(FILE)).unwrap();
    store.list(&Filter::default(), 99).unwrap()
}

#[test]
fn an_object_in_work_shows_its_progress_and_can_be_given_up() {
    let directory = TempDir::new().unwrap();
    let ledger = open(&directory);
    let (entry, outcome) = claimed(&ledger, &object("k", Some("e")));
    let place = entry.place().clone();
    assert!(ledger.is_in_work(&place));
    let other = Place { key: "other".into(), ..place.clone() };
    assert!(!ledger.is_in_work(&other));
    // Before a GET has identified it.
    assert_eq!((entry.so_far(Outcome::Retry, None), entry.confirmed_since(0, 0)), (None, None));
    for ending in [Ending::Known, Ending::SharedDelivery, Ending::SharedRefusal] {
        assert_eq!(entry.so_far(ending.outcome(), Some(ending)), None, "another entry has it");
    }
    let withheld = entry.so_far(Outcome::Reject, Some(Ending::Withheld)).unwrap();
    assert_eq!((&*withheld.reason, withheld.delivered), ("withheld", false));

    let mut progress = undelivered(entry.identify("e", 10, "lines"));
    let records = |row: Option<Row>| row.map(|row| row.records);
    assert_eq!(records(entry.so_far(Outcome::Retry, None)), Some(0));
    confirm(&mut progress, 4);
    assert_eq!(records(entry.confirmed_since(0, 4)), Some(4));
    assert_eq!(records(entry.confirmed_since(0, 5)), None, "in fewer batches");
    assert_eq!(records(entry.confirmed_since(4, 0)), None, "no more of them");
    let so_far = entry.so_far(Outcome::Retry, None).unwrap();
    assert_eq!((so_far.records, so_far.delivered, &*so_far.reason), (4, false, ""));
    let damaged = entry.so_far(Outcome::Reject, Some(Ending::Damaged)).unwrap();
    assert_eq!((damaged.records, damaged.delivered, &*damaged.reason), (4, false, "damaged"));
    progress.complete();
    assert!(entry.so_far(Outcome::Delivered, Some(Ending::Sent)).unwrap().delivered);

    assert!(!progress.is_revoked());
    entry.revoke();
    assert!(progress.is_revoked());
    entry.settle(Outcome::Retry, None);
    assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Outcome::Retry));
    assert!(!ledger.is_in_work(&place));
}

#[test]
fn a_claim_joins_another_only_if_both_are_about_the_same_content() {
    let ledger = Ledger::none();
    let (entry, first) = claimed(&ledger, &object("k", None));
    let (same, second) = claimed(&ledger, &object("k", None));
    let (replaced, _third) = claimed(&ledger, &object("k", None));
    let _progress = undelivered(entry.identify("e", 10, "lines"));
    assert!(!replaced.joins_another("f"));
    assert!(same.joins_another("e"));
    entry.settle(Outcome::Delivered, Some(Ending::Sent));
    assert_eq!([first, second].map(|outcome| outcome.recv_timeout(PATIENCE)), [Ok(Outcome::Delivered); 2]);
}

#[test]
fn what_was_sent_is_counted_and_dated_by_the_clocks() {
    let directory = TempDir::new().unwrap();
    let ledger = open(&directory);
    let year_2001 = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    ledger.keep_time_by(move || Some(year_2001));
    let mut tables = Tables::default();
    tables.add("a.b", 2, 20);
    ledger.sent("1/aws_sqs_vpc", &tables, 600);
    ledger.note("1", &object("digest", Some("e")), Ending::SkipRule);
    assert_eq!(ledger.kin("1/polled").unwrap(), []);
    ledger.mark(Mark {
        source: "1/polled".into(),
        checkpoints: vec![("p".into(), "9".into())],
        ..Mark::default()
    });
    ledger.mark(Mark {
        source: "1/polled/0".into(),
        checkpoints: vec![("p".into(), "8".into())],
        ..Mark::default()
    });
    ledger.close(LEDGER_SAVE_TIMEOUT);
    assert!(ledger.crew().is_some_and(Crew::has_ended));
    assert_eq!(rows(&directory)[0].at, 1_000_000_000);
    let look = Look::open(&directory.path().join(FILE), None).unwrap();
    let sent = look.sent(0, i64::MAX).unwrap();
    assert_eq!((sent.len(), sent[0].source.as_str(), sent[0].events), (1, "1/aws_sqs_vpc", 2));
    let kin: Vec<_> =
        ledger.kin("1/polled").unwrap().into_iter().map(|kin| (kin.source, kin.checkpoints)).collect();
    let checkpoint = |value: &str| BTreeMap::from([("p".to_owned(), value.to_owned())]);
    assert_eq!(kin, [("1/polled".to_owned(), checkpoint("9")), ("1/polled/0".to_owned(), checkpoint("8"))]);
}

#[test]
fn many_threads_deliver_every_object_once() {
    let directory = TempDir::new().unwrap();
    let ledger = open(&directory);
    let sent = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for number in 0..100 {
                    let object = object(&format!("k{number}"), Some("e"));
                    let (share, outcome) = message();
                    if let Some(entry) = ledger.claim("1", &object, share, None) {
                        if !entry.is_delivered() {
                            deliver(undelivered(entry.identify("e", 1, "lines")), 1);
                            sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        }
                        entry.settle(Outcome::Delivered, Some(Ending::Sent));
                    }
                    assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Outcome::Delivered));
                }
            });
        }
    });
    assert_eq!(sent.into_inner(), 100);
    ledger.close(LEDGER_SAVE_TIMEOUT);
}

#[test]
fn a_collector_and_a_backfill_may_share_a_file() {
    let directory = TempDir::new().unwrap();
    let ledgers = [open(&directory), open_as(Role::Backfill, &directory)];
    std::thread::scope(|scope| {
        for (number, ledger) in ledgers.iter().enumerate() {
            scope.spawn(move || {
                for object in (0..20).map(|i| object(&format!("{number}/{i}"), Some("e"))) {
                    let (entry, outcome) = claimed(ledger, &object);
                    deliver(undelivered(entry.identify("e", 1, "lines")), 1);
                    entry.settle(Outcome::Delivered, Some(Ending::Sent));
                    assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Outcome::Delivered));
                }
            });
        }
    });
    for (ledger, other) in [(&ledgers[0], 1), (&ledgers[1], 0)] {
        assert!(claimed(ledger, &object(&format!("{other}/19"), Some("e"))).0.is_delivered());
    }
}

#[test]
fn a_file_that_cannot_be_written_does_not_hold_up_delivery() {
    let directory = TempDir::new().unwrap();
    let telemetry = Arc::new(Telemetry::default());
    let ledger = Ledger::open(directory.path(), &Scope::default(), &telemetry).unwrap();
    let (entry, outcome) = claimed(&ledger, &object("k", Some("e")));
    deliver(undelivered(entry.identify("e", 1, "lines")), 1);
    let other = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    other.execute_batch("DROP TABLE objects").unwrap();
    entry.settle(Outcome::Delivered, Some(Ending::Sent));
    assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Outcome::Delivered));
    assert_eq!((telemetry.ledger.recorded.value(), telemetry.ledger.unrecorded.value()), (0, 1));
    assert!(claimed(&ledger, &object("k", Some("e"))).0.is_delivered(), "it is known nevertheless");
}

#[test]
fn a_ledger_knows_its_outputs_and_whose_a_source_is_and_whether_it_was_forgotten() {
    let directory = TempDir::new().unwrap();
    let scope = Scope { outputs: vec!["b:1".into(), "a:1".into()], ..Scope::default() };
    let ledger = Ledger::open(directory.path(), &scope, &Arc::new(Telemetry::default())).unwrap();
    assert_eq!((ledger.destinations(), Ledger::none().destinations()), ("a:1\nb:1", ""));
    assert_eq!(ledger.belongs_to("1/s/r", "one").unwrap(), None);
    let checkpoints = vec![("part".to_owned(), "1".to_owned())];
    ledger.mark(Mark { source: "1/s/r".into(), checkpoints, ..Mark::default() });
    ledger.save(PATIENCE);
    assert_eq!(ledger.belongs_to("1/s/r", "one").unwrap(), None);
    assert_eq!(ledger.belongs_to("1/s/r", "other").unwrap().as_deref(), Some("one"));
    assert!(!ledger.has_forgotten("1/s/r", 0));
    Store::attach(&directory.path().join(FILE)).unwrap().forget_source("1/s/r").unwrap();
    assert!(ledger.has_forgotten("1/s/r", 0) && !ledger.has_forgotten("1/s/r", 1));
}

/// A trigger stands for a full disk: every write fails while it is there.
#[test]
fn what_could_not_be_written_is_written_when_it_can_be() {
    let directory = TempDir::new().unwrap();
    let telemetry = Arc::new(Telemetry::default());
    let ledger = Ledger::open(directory.path(), &Scope::default(), &telemetry).unwrap();
    let other = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    let full = |is_full: bool| {
        for table in ["objects", "checkpoints", "seen"] {
            let change = match is_full {
                true => format!(
                    "CREATE TRIGGER full_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END"
                ),
                false => format!("DROP TRIGGER full_{table}"),
            };
            other.execute_batch(&change).unwrap();
        }
    };
    full(true);
    for key in ["a", "b"] {
        let (entry, outcome) = claimed(&ledger, &object(key, Some("e")));
        deliver(undelivered(entry.identify("e", 1, "lines")), 1);
        entry.settle(Outcome::Delivered, Some(Ending::Sent));
        assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Outcome::Delivered));
        assert!(claimed(&ledger, &object(key, Some("e"))).0.is_delivered(), "nothing is collected twice");
    }
    let mut tables = Tables::default();
    tables.add("a.b", 2, 20);
    ledger.sent("1/aws_sqs_vpc", &tables, 600);
    for (position, id) in [("1", 1), ("2", 2)] {
        let checkpoints = vec![("part".to_owned(), position.to_owned())];
        let seen = vec![Seen { id, time: 5 }];
        ledger.mark(Mark { source: "1/s/r".into(), checkpoints, seen, ..Mark::default() });
    }
    ledger.save(PATIENCE);
    let trouble = || format!("{:?}", telemetry.parts(Instant::now())).contains("wait in memory");
    assert!(trouble());
    assert!(ledger.polled("1/s/r").unwrap().checkpoints.is_empty());
    full(false);
    ledger.save(PATIENCE);
    assert!(!trouble());
    ledger.close(PATIENCE);
    let store = Store::open(&directory.path().join(FILE)).unwrap();
    assert!(store.list(&Filter::default(), 9).unwrap().iter().filter(|row| row.delivered).count() == 2);
    let polled = ledger.polled("1/s/r").unwrap();
    assert_eq!((polled.checkpoints["part"].as_str(), polled.seen.len()), ("2", 2));
    assert_eq!(store.sent(0, i64::MAX).unwrap().iter().map(|sent| sent.events).sum::<u64>(), 2);
    assert_eq!(telemetry.ledger.recorded.value(), 2 + 1);
}

#[test]
fn a_file_that_is_held_for_a_moment_is_waited_for() {
    let directory = TempDir::new().unwrap();
    let ledger = open(&directory);
    let (entry, outcome) = claimed(&ledger, &object("k", Some("e")));
    deliver(undelivered(entry.identify("e", 1, "lines")), 1);
    let other = rusqlite::Connection::open(directory.path().join(FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    entry.settle(Outcome::Delivered, Some(Ending::Sent));
    assert!(outcome.recv_timeout(Duration::from_millis(300)).is_err(), "it cannot be recorded yet");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Outcome::Delivered));
    assert!(claimed(&ledger, &object("k", Some("e"))).0.is_delivered());
}

#[test]
fn a_closed_ledger_still_lets_messages_end() {
    let directory = TempDir::new().unwrap();
    let ledger = open(&directory);
    ledger.close(LEDGER_SAVE_TIMEOUT);
    let (entry, outcome) = claimed(&ledger, &object("k", Some("e")));
    deliver(undelivered(entry.identify("e", 1, "lines")), 1);
    entry.settle(Outcome::Delivered, Some(Ending::Sent));
    assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Outcome::Delivered));
}

#[test]
fn refused_and_skipped_objects_are_remembered_with_their_reason() {
    let directory = TempDir::new().unwrap();
    let ledger = open(&directory);
    let refuse = |key: &str, records, ending: Ending| {
        let (entry, outcome) = claimed(&ledger, &object(key, Some("e")));
        if ending != Ending::Withheld {
            let mut progress = undelivered(entry.identify("e", 10, "lines"));
            confirm(&mut progress, records);
            progress.confirmed().gives(&{
                let mut tables = Tables::default();
                tables.add("a.b", records, 100);
                tables
            });
        }
        entry.settle(Outcome::Reject, Some(ending));
        assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Outcome::Reject));
    };
    refuse("cut", 5, Ending::Damaged);
    refuse("cut", 0, Ending::Damaged);
    refuse("archived", 0, Ending::Withheld);
    ledger.note("1", &object("digest", Some("e")), Ending::SkipRule);
    ledger.save(LEDGER_SAVE_TIMEOUT);
    let rows = rows(&directory);
    let mut told: Vec<_> = rows
        .iter()
        .map(|row| {
            (row.place.key.as_str(), row.reason.as_str(), row.records, row.tables.events(), row.delivered)
        })
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("archived", "withheld", 0, 0, false),
            ("cut", "damaged", 5, 5, false),
            ("digest", "skip_rule", 0, 0, false)
        ]
    );
    assert!(!claimed(&ledger, &object("archived", Some("e"))).0.is_delivered());
}

#[test]
fn a_suspect_that_the_ledger_was_made_to_forget_is_free_at_once() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(FILE);
    let place = |key: &str| Place::of("1", &object(key, None));
    for key in ["forgotten", "bad"] {
        let name = in_work::Name::new(place(key), Identity::default());
        Store::open(&path).unwrap().suspect(&[name], "run", 0).unwrap();
    }
    let ledger = open(&directory);
    let standing = |key| ledger.case(place(key), Identity::default()).standing;
    let exact = Filter { part: "s3://b/forgotten".into(), exact: true, ..Filter::default() };
    assert_eq!(
        ["forgotten", "bad", "good"].map(standing),
        [Standing::Suspected, Standing::Suspected, Standing::Unsuspected]
    );
    Store::open_existing(&path).unwrap().forget_suspects(&exact).unwrap();
    assert_eq!(["forgotten", "bad"].map(standing), [Standing::Unsuspected, Standing::Suspected]);
}
