use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::ack::{Ending, Tables};
use crate::ledger::in_work::Name;
use crate::ledger::{Keys, Look, REPEATED};

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("state").join("ledger.sqlite3")
}

fn row(key: &str, records: u64, delivered: bool) -> Row {
    let place = Place { input: "1".into(), bucket: "b".into(), key: key.into() };
    let identity = Identity { etag: "e".into(), ..Identity::default() };
    let row = Row::ended(place, identity, 10, Ending::Sent);
    Row { records, delivered, reason: String::new(), reader: "r".into(), at: 100, ..row }
}

fn keys(store: &Store, filter: &Filter) -> Vec<String> {
    store.list(filter, 1000).unwrap().into_iter().map(|row| row.place.key).collect()
}

fn all(store: &Store) -> Vec<String> {
    keys(store, &Filter::default())
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let rows = [row("a", 3, true), row("b", 7, false)];
    Store::open(&file(&directory)).unwrap().write(&rows).unwrap();
    let store = Store::open(&file(&directory)).unwrap();
    assert_eq!(store.rows(&rows[0].place).unwrap(), rows[..1]);
    assert_eq!(store.rows(&rows[1].place).unwrap(), rows[1..]);
    assert!(store.rows(&row("c", 0, false).place).unwrap().is_empty());
    let other_input = Place { input: "2".into(), ..rows[0].place.clone() };
    assert!(store.rows(&other_input).unwrap().is_empty());
}

#[test]
fn what_was_not_committed_is_not_there() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    store.write(&[row("a", 1, true)]).unwrap();
    // A second connection that dies in the middle of a transaction.
    let other = Store::open(&file(&directory)).unwrap();
    other.connection.execute_batch("BEGIN IMMEDIATE; DELETE FROM objects").unwrap();
    let busy = store.write(&[row("b", 1, true)]).unwrap_err();
    assert!(is_busy(&busy), "{busy}");
    drop(other);
    assert_eq!(all(&store), ["a"]);
    store.write(&[row("b", 1, true)]).unwrap();
    assert_eq!(all(&store), ["b", "a"]);
}

#[test]
fn a_copy_without_its_clean_end_is_whole() {
    let (directory, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut store = Store::open(&file(&directory)).unwrap();
    store.write(&[row("a", 1, true)]).unwrap();
    // The files as a SIGKILL leaves them: the entry is in the -wal file only.
    std::fs::create_dir(other.path().join("state")).unwrap();
    for name in ["ledger.sqlite3", "ledger.sqlite3-wal"] {
        let from = file(&directory).with_file_name(name);
        std::fs::copy(from, file(&other).with_file_name(name)).unwrap();
    }
    assert_eq!(all(&Store::open(&file(&other)).unwrap()), ["a"]);
}

#[test]
fn progress_moves_on_and_delivered_stays() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    let mut now = |new: Row| {
        store.write(std::slice::from_ref(&new)).unwrap();
        let rows = store.rows(&new.place).unwrap();
        assert_eq!(rows.len(), 1);
        (rows[0].records, rows[0].delivered)
    };
    assert_eq!(now(row("a", 5, false)), (5, false));
    assert_eq!(now(row("a", 9, false)), (9, false));
    assert_eq!(now(row("a", 12, true)), (12, true));
    assert_eq!(now(row("a", 9, false)), (12, true));
}

#[test]
fn entries_are_listed_and_forgotten_by_input_and_part() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    let mut other = row("logs/100%_a", 1, true);
    other.place.input = "2".into();
    store.write(&[row("logs/a", 1, true), row("data/b", 1, true), other]).unwrap();
    let filter = |input: &str, part: &str| Filter { input: input.into(), part: part.into(), exact: false };
    assert_eq!(keys(&store, &filter("", "s3://b/logs/")), ["logs/100%_a", "logs/a"]);
    assert_eq!(keys(&store, &filter("2", "")), ["logs/100%_a"]);
    assert_eq!(keys(&store, &filter("", "%")), ["logs/100%_a"], "no pattern, only text");
    assert_eq!(store.list(&filter("", ""), 1).unwrap().len(), 1);
    assert_eq!(store.forget(&filter("2", "data")).unwrap(), 0);
    assert_eq!(store.forget(&filter("1", "data")).unwrap(), 1);
    let exact = |part: &str| Filter { exact: true, ..filter("1", part) };
    store.write(&[row("logs/a.old", 1, true)]).unwrap();
    assert_eq!(store.forget(&exact("logs/a")).unwrap(), 0, "the whole address");
    assert_eq!(store.forget(&exact("s3://b/logs/a")).unwrap(), 1);
    assert_eq!(keys(&store, &filter("1", "")), ["logs/a.old"], "not what begins like it");
    assert_eq!(store.forget(&Filter::default()).unwrap(), 2);
    assert!(all(&store).is_empty());
}

#[test]
fn the_oldest_go_first_and_in_slices() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    let aged = |i: i64| Row { at: i, ..row(&format!("k{i}"), 1, true) };
    let rows: Vec<Row> = (0..10).map(aged).collect();
    store.write(&rows).unwrap();
    assert_eq!(store.sweep(6, u64::MAX, 4).unwrap(), 4);
    assert_eq!(store.sweep(6, u64::MAX, 4).unwrap(), 2);
    assert_eq!(store.sweep(6, u64::MAX, 4).unwrap(), 0);
    assert_eq!(store.sweep(0, 0, 3).unwrap(), 3, "too large: whatever their age");
    assert_eq!(all(&store), ["k9"]);
}

#[test]
fn suspects_go_with_age_or_when_they_are_acquitted() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    let name = |key: &str| Name::new(row(key, 0, false).place, Identity::default());
    for (key, at) in [("old", 5), ("new", 6), ("good", 6)] {
        store.suspect(&[name(key)], "run", at).unwrap();
    }
    let are_suspects =
        |store: &Store| ["old", "new", "good"].map(|key| store.is_suspect(&name(key).place).unwrap());
    assert_eq!(are_suspects(&store), [true; 3]);
    store.acquit(&name("good").place).unwrap();
    assert_eq!(are_suspects(&store), [true, true, false]);
    store.sweep(6, u64::MAX, 4).unwrap();
    assert_eq!(are_suspects(&store), [false, true, false]);
}

#[test]
fn failures_say_whether_to_wait_make_room_or_begin_anew() {
    use rusqlite::ffi;
    let class = |code| {
        let cause = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        match classified(Path::new("ledger"), cause) {
            OpenError::Damaged { .. } => "damaged",
            OpenError::ReadOnly { .. } => "read only",
            OpenError::Full { .. } => "full",
            OpenError::Busy { .. } => "busy",
            OpenError::Altered { .. } => "altered",
            OpenError::Other { .. } => "other",
            error => panic!("{error}"),
        }
    };
    for (code, expected) in [
        (ffi::SQLITE_CORRUPT, "damaged"),
        (ffi::SQLITE_NOTADB, "damaged"),
        (ffi::SQLITE_READONLY, "read only"),
        (ffi::SQLITE_PERM, "read only"),
        (ffi::SQLITE_CANTOPEN, "read only"),
        (ffi::SQLITE_FULL, "full"),
        (SQLITE_IOERR_SHMSIZE, "full"),
        (ffi::SQLITE_BUSY, "busy"),
        (ffi::SQLITE_LOCKED, "busy"),
        (ffi::SQLITE_ERROR, "altered"),
        (ffi::SQLITE_IOERR, "other"),
    ] {
        assert_eq!(class(code), expected, "{code}");
    }
}

#[test]
fn an_export_has_every_object_with_the_outputs_that_have_it_and_no_messages() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    store.belong(&file(&directory), &scope("q", "a:1")).unwrap();
    let sent = Row { tables: tables(&[("a.b", 2)]), ..row("a", 1, true) };
    let mut message = row("message", 1, true);
    message.place.bucket.clear();
    store.write(&[sent.clone(), message]).unwrap();
    let mut exported = Vec::new();
    let mut take = |row, outputs| {
        exported.push((row, outputs));
        Ok(())
    };
    store.export(&mut take).unwrap();
    assert_eq!(exported, [(sent, "a:1".to_owned())]);
    assert_eq!(store.export(&mut |_, _| Err("stop".into())), Err("stop".to_owned()));
}

#[test]
fn room_is_used_again() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    let fill = |store: &mut Store, label: &str| {
        let rows: Vec<Row> = (0..4000).map(|i| row(&format!("{label}/{i}"), 1, true)).collect();
        store.write(&rows).unwrap();
        store.bytes().unwrap()
    };
    let first = fill(&mut store, "a");
    assert_eq!(store.sweep(0, first - 1, 10_000).unwrap(), 4000);
    assert!(store.bytes().unwrap() < first / 4);
    assert!(fill(&mut store, "b") <= first);
}

#[test]
fn a_full_disk_takes_nothing_away() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    store.write(&[row("a", 1, true)]).unwrap();
    let pages = |store: &Store, n: u32| {
        store.connection.pragma_update_and_check(None, "max_page_count", n, |_| Ok(())).unwrap();
    };
    // SQLite's error when the file cannot grow.
    pages(&store, 4);
    let rows: Vec<Row> = (0..1000).map(|i| row(&format!("k{i}"), 1, true)).collect();
    let error = store.write(&rows).unwrap_err();
    assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
    assert!(!is_busy(&error));
    assert_eq!(all(&store), ["a"]);
    pages(&store, 1000);
    store.write(&rows).unwrap();
    assert_eq!(store.list(&Filter::default(), 9999).unwrap().len(), 1001);
}

#[test]
fn a_damaged_file_is_refused_by_name() {
    let directory = TempDir::new().unwrap();
    let rows: Vec<Row> = (0..2000).map(|i| row(&format!("{i}"), 1, true)).collect();
    Store::open(&file(&directory)).unwrap().write(&rows).unwrap();
    let whole = std::fs::read(file(&directory)).unwrap();
    let mut overwritten = whole.clone();
    overwritten[9000..30_000].fill(0xa5);
    let mut headless = whole.clone();
    headless[..16].fill(0);
    for damaged in
        [&overwritten[..], &headless, &whole[..whole.len() / 2], b"no database at all, but some text"]
    {
        std::fs::write(file(&directory), damaged).unwrap();
        let error = Store::open(&file(&directory)).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("ledger.sqlite3") && error.to_string().contains("Move it away"));
        assert!(!error.to_string().contains(['\n', '*']) && error.to_string().len() < 600, "{error}");
    }
}

#[test]
fn a_file_without_a_table_or_a_column_is_refused_with_a_cure() {
    for sql in ["DROP TABLE objects", "ALTER TABLE objects RENAME TO things"] {
        let directory = TempDir::new().unwrap();
        drop(Store::open(&file(&directory)).unwrap());
        Connection::open(file(&directory)).unwrap().execute_batch(sql).unwrap();
        let error = Store::open(&file(&directory)).unwrap_err();
        assert!(matches!(error, OpenError::Altered { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("no such table: objects. Put a copy of it back, or move it away"), "{text}");
    }
}

#[test]
fn a_newer_or_foreign_file_is_refused_and_left_alone() {
    let newer_version = format!("PRAGMA user_version = {}", SCHEMA_VERSION + 1);
    for (sql, newer) in [(newer_version.as_str(), true), ("CREATE TABLE accounts (id)", false)] {
        let directory = TempDir::new().unwrap();
        std::fs::create_dir(directory.path().join("state")).unwrap();
        Connection::open(file(&directory)).unwrap().execute_batch(sql).unwrap();
        let before = std::fs::read(file(&directory)).unwrap().len();
        for error in [Store::open(&file(&directory)), Store::open_existing(&file(&directory))] {
            let error = error.unwrap_err();
            assert_eq!(matches!(error, OpenError::Newer { .. }), newer, "{error}");
            assert_eq!(matches!(error, OpenError::Foreign { .. }), !newer, "{error}");
        }
        assert_eq!(std::fs::read(file(&directory)).unwrap().len(), before);
    }
}

#[test]
fn marks_of_a_source_are_there_after_a_restart_and_others_are_not() {
    let directory = TempDir::new().unwrap();
    let seen = |id, time| Seen { id, time };
    let mark = |value: &str, seen: &[Seen], forget_before| Mark {
        term: 0,
        source: "1/audit/us-east-1".into(),
        checkpoints: vec![(String::new(), value.into()), ("group".into(), "7".into())],
        seen: seen.to_vec(),
        forget_before,
    };
    let marks = [
        mark("a", &[seen(u128::MAX, -5), seen(2, 10), seen(2, 10)], None),
        mark("b", &[seen(3, 20)], Some(10)),
    ];
    Store::open(&file(&directory)).unwrap().mark(&marks, 100).unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    let polled = store.polled("1/audit/us-east-1").unwrap();
    assert_eq!(
        polled.checkpoints.into_iter().collect::<Vec<_>>(),
        [("".into(), "b".into()), ("group".into(), "7".to_owned())]
    );
    assert_eq!(polled.seen, [seen(3, 20), seen(2, 10)], "the latest first");
    assert_eq!(store.polled("1/audit/us-east-2").unwrap(), Polled::default());
    assert_eq!(store.checkpoints("2").unwrap(), []);
    assert_eq!(store.checkpoints("1").unwrap().len(), 2);
    let ended = Mark { checkpoints: vec![("group".into(), String::new())], ..mark("", &[], None) };
    store.mark(&[ended], 101).unwrap();
    assert_eq!(store.checkpoints("1").unwrap().len(), 1, "an empty value ends its part");
    assert_eq!(store.forget_sources("").unwrap(), 1);
    assert_eq!(store.polled("1/audit/us-east-1").unwrap(), Polled { term: 1, ..Polled::default() });
}

#[test]
fn a_file_of_the_first_version_is_brought_up_and_keeps_its_objects() {
    let directory = TempDir::new().unwrap();
    Store::open(&file(&directory)).unwrap().write(&[row("a", 3, true)]).unwrap();
    let connection = Connection::open(file(&directory)).unwrap();
    connection
        .execute_batch(
            "DROP TABLE checkpoints; DROP TABLE seen; DROP TABLE terms; DROP TABLE outputs; DROP TABLE queues;
             DROP TABLE accounts; DROP TABLE names; DROP TABLE sent; DROP TABLE suspects; ALTER TABLE objects DROP COLUMN outputs;
             ALTER TABLE objects DROP COLUMN reason; ALTER TABLE objects DROP COLUMN gave; PRAGMA user_version = 1",
        )
        .unwrap();
    drop(connection);
    let mut old = Store::open_existing(&file(&directory)).unwrap();
    assert_eq!((old.checkpoints("").unwrap().len(), old.forget_sources("").unwrap()), (0, 0));
    old.refuse_other_queues(&file(&directory), &scope("q1", "a:1")).unwrap();
    drop(old);
    let old = Store::open_existing(&file(&directory)).unwrap();
    assert_eq!((all(&old), old.sent(0, i64::MAX).unwrap()), (vec!["a".to_owned()], vec![]));
    assert_eq!(old.refused(&Filter::default()).unwrap(), []);
    drop(old);
    let mut store = Store::open(&file(&directory)).unwrap();
    store.belong(&file(&directory), &scope("q1", "a:1")).unwrap();
    assert_eq!(all(&store), ["a"]);
    assert_eq!(store.rows(&row("a", 3, true).place).unwrap().len(), 1, "it is of the first outputs");
    assert_eq!(store.polled("s").unwrap(), Polled::default());
}

fn scope(queue: &str, outputs: &str) -> Scope {
    Scope {
        queues: vec![("1".to_owned(), queue.to_owned())],
        outputs: outputs.split(' ').map(str::to_owned).collect(),
        ..Scope::default()
    }
}

fn opened(directory: &TempDir, queue: &str, outputs: &str) -> Result<Store, OpenError> {
    let mut store = Store::open(&file(directory)).unwrap();
    store.belong(&file(directory), &scope(queue, outputs)).map(|()| store)
}

#[test]
fn what_went_to_other_outputs_is_not_known() {
    let directory = TempDir::new().unwrap();
    opened(&directory, "q", "a:1").unwrap().write(&[row("x", 3, true), row("y", 2, false)]).unwrap();
    let known = |outputs| {
        let store = opened(&directory, "q", outputs).unwrap();
        ["x", "y"].map(|key| store.rows(&row(key, 0, false).place).unwrap().len())
    };
    assert_eq!(known("a:1"), [1, 1]);
    assert_eq!(known("b:2"), [0, 0], "nothing of it has reached b");
    assert_eq!(known("a:1 b:2"), [0, 0], "a half-sent object begins again for both");
    let both = || opened(&directory, "q", "a:1 b:2").unwrap();
    both().write(&[row("x", 1, false)]).unwrap();
    assert_eq!(both().rows(&row("x", 1, false).place).unwrap()[0].records, 1, "how far it is for both");
    both().write(&[row("x", 3, true)]).unwrap();
    assert_eq!(known("a:1 b:2"), [1, 0]);
    assert_eq!(known("b:2"), [1, 0], "what both have, one has");
    let reader = both().another(&file(&directory)).unwrap();
    assert_eq!(reader.rows(&row("x", 0, false).place).unwrap().len(), 1);
}

#[test]
fn the_entries_of_another_queue_are_refused_until_they_are_forgotten() {
    let directory = TempDir::new().unwrap();
    opened(&directory, "mistyped", "a:1").unwrap();
    opened(&directory, "q1", "a:1").expect("nothing had come from it").write(&[row("x", 3, true)]).unwrap();
    let error = opened(&directory, "q2", "a:1").unwrap_err();
    assert!(matches!(error, OpenError::OtherQueue { .. }) && !error.is_temporary(), "{error}");
    assert!(error.to_string().contains("q1") && error.to_string().contains("q2"), "{error}");
    opened(&directory, "q1", "b:2").unwrap();
    let mut store = Store::open_existing(&file(&directory)).unwrap();
    store.forget(&Filter { input: "1".into(), ..Filter::default() }).unwrap();
    opened(&directory, "q2", "a:1").unwrap();
}

#[test]
fn checkpoints_of_another_account_are_told() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    let mark = Mark { source: "s".into(), checkpoints: vec![(String::new(), "t".into())], ..Mark::default() };
    assert_eq!(store.belongs_to("s", "111").unwrap(), None);
    assert_eq!(store.belongs_to("s", "222").unwrap(), None, "there is no checkpoint yet");
    store.mark(&[mark], 1).unwrap();
    assert_eq!(store.belongs_to("s", "222").unwrap(), None);
    assert_eq!(store.belongs_to("s", "111").unwrap().as_deref(), Some("222"));
    assert_eq!(store.account("s").unwrap().as_deref(), Some("222"));
    assert_eq!(store.account("other").unwrap(), None);
    store.forget_sources("").unwrap();
    assert_eq!(store.belongs_to("s", "111").unwrap(), None);
}

#[test]
fn what_ends_by_itself_is_temporary() {
    let directory = TempDir::new().unwrap();
    let path = file(&directory);
    drop(Store::open(&path).unwrap());
    let holder = Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Busy { .. }) && error.is_temporary(), "{error}");
    holder.execute_batch("ROLLBACK").unwrap();
    Store::open(&path).unwrap();
}

#[test]
fn a_place_that_cannot_be_written_is_refused() {
    // Not a permission, since root ignores those.
    let file_in_the_way = tempfile::NamedTempFile::new().unwrap();
    let error = Store::open(&file_in_the_way.path().join("ledger.sqlite3")).unwrap_err();
    assert!(matches!(error, OpenError::Kind { .. }), "{error}");

    let directory = TempDir::new().unwrap();
    drop(Store::open(&file(&directory)).unwrap());
    let connection = Connection::open_with_flags(file(&directory), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let error = Store { connection, ours: Ours::default(), names: Names::default() }
        .migrate(&file(&directory))
        .unwrap_err();
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
    // The reason why a start fails is shown with all its causes.
    let shown = format!("{:#}", anyhow::Error::from(error));
    assert_eq!(shown.matches("attempt to write").count(), 1, "{shown}");
}

#[test]
fn a_ledger_that_is_not_there_is_not_made_for_looking() {
    let directory = TempDir::new().unwrap();
    let error = Store::open_existing(&file(&directory)).unwrap_err();
    assert!(matches!(error, OpenError::Absent { .. }), "{error}");
    assert!(!directory.path().join("state").exists());
    // An empty file is an empty database, too.
    std::fs::create_dir(directory.path().join("state")).unwrap();
    std::fs::write(file(&directory), "").unwrap();
    let error = Store::open_existing(&file(&directory)).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The filter in SQL and the one in Rust select the same entries.
    #[test]
    fn both_filters_agree(
        places in proptest::collection::vec(("[12/]{1,3}", "[ab/]{0,3}", "[ab%/]{0,4}"), 1..8),
        input in "[12/]{0,3}", part in "(s3://)?[ab%/]{0,4}", exact in any::<bool>(), chosen in any::<prop::sample::Index>(),
    ) {
        let directory = TempDir::new().unwrap();
        let mut store = Store::open(&file(&directory)).unwrap();
        let place = |(input, bucket, key)| Place { input, bucket, key };
        let rows: Vec<_> = places.into_iter().map(|one| Row { place: place(one), ..row("", 1, true) }).collect();
        store.write(&rows).unwrap();
        let Place { bucket, key, .. } = &rows[chosen.index(rows.len())].place;
        let part = if exact { format!("s3://{bucket}/{key}") } else { part };
        let filter = Filter { input, part, exact };
        let mut listed: Vec<_> = store.list(&filter, 100).unwrap().into_iter().map(|row| row.place).collect();
        let mut selected: Vec<_> = rows.into_iter().map(|row| row.place).filter(|place| filter.selects(place)).collect();
        for places in [&mut listed, &mut selected] {
            places.sort();
            places.dedup();
        }
        prop_assert_eq!(listed, selected);
    }

    /// Naive version: a map from the key to its progress.
    #[test]
    fn agrees_with_a_map(writes in proptest::collection::vec(
        proptest::collection::vec((0u8..6, 1u64..100, any::<bool>()), 1..6), 1..12,
    )) {
        let directory = TempDir::new().unwrap();
        let mut store = Store::open(&file(&directory)).unwrap();
        let mut map: BTreeMap<String, (u64, bool)> = BTreeMap::new();
        for group in writes {
            let rows: Vec<Row> = group.iter().map(|(key, n, done)| row(&key.to_string(), *n, *done)).collect();
            store.write(&rows).unwrap();
            for row in rows {
                let known = map.entry(row.place.key).or_default();
                if row.delivered || !known.1 { *known = (row.records, row.delivered) }
            }
        }
        let mut found: Vec<_> =
            store.list(&Filter::default(), 100).unwrap().into_iter().map(|r| (r.place.key, (r.records, r.delivered))).collect();
        found.sort();
        prop_assert_eq!(found, map.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn what_a_forgotten_source_had_on_its_way_is_not_recorded() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    let mark = |source: &str, term| Mark {
        source: source.into(),
        term,
        checkpoints: vec![(String::new(), "t".into())],
        ..Mark::default()
    };
    store.mark(&[mark("1/a/r", 0), mark("2/a/r", 0)], 1).unwrap();
    assert_eq!(store.forget_sources("1").unwrap(), 1);
    store.mark(&[mark("1/a/r", 0), mark("2/a/r", 0)], 2).unwrap();
    assert_eq!(
        store.checkpoints("").unwrap().iter().map(|c| c.source.as_str()).collect::<Vec<_>>(),
        ["2/a/r"]
    );
    let term = store.polled("1/a/r").unwrap().term;
    store.mark(&[mark("1/a/r", term)], 3).unwrap();
    assert_eq!(store.checkpoints("1").unwrap().len(), 1, "it has begun anew");
    assert_eq!(store.forget_sources("2/a/r").unwrap(), 1, "one source by its name");
    store.mark(&[mark("2/a/r", 1)], 4).unwrap();
    store.forget_sources("1").unwrap();
    assert_eq!((store.term("1/a/r").unwrap(), store.term("2/a/r").unwrap()), (2, 1));
}

#[test]
fn one_source_can_be_forgotten_without_those_below_it() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    let mark = |source: &str| Mark {
        source: source.into(),
        checkpoints: ["p", "q"].map(|part| (part.into(), "t".into())).into(),
        ..Mark::default()
    };
    store.mark(&["1/a/r", "1/a/r/0"].map(mark), 1).unwrap();
    assert_eq!(store.forget_source("1/a/r").unwrap(), 2);
    assert_eq!(store.forget_source("1/a/r").unwrap(), 0);
    let left: Vec<_> = store.checkpoints("").unwrap().into_iter().map(|one| (one.source, one.part)).collect();
    assert_eq!(left, ["p", "q"].map(|part| ("1/a/r/0".to_owned(), part.to_owned())));
}

#[test]
fn one_content_of_a_key_can_be_forgotten_without_the_others() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    let content = |etag: &str| {
        let row = row("k", 1, true);
        Row { identity: Identity { etag: etag.into(), ..Identity::default() }, ..row }
    };
    store.write(&[content("e"), content("f")]).unwrap();
    store.forget_rows(&[content("e")]).unwrap();
    assert_eq!(store.rows(&content("e").place).unwrap(), [content("f")]);
}

fn tables(counts: &[(&str, u64)]) -> Tables {
    let mut tables = Tables::default();
    counts.iter().for_each(|(name, events)| tables.add(name, *events, 10 * events));
    tables
}

#[test]
fn an_entry_says_how_its_object_ended_and_what_it_gave() {
    let directory = TempDir::new().unwrap();
    let gave = tables(&[("cloud.aws.cloudtrail.s3", 3), ("cloud.aws.cloudtrail.ec2", 4), ("", 1)]);
    let refused = Row { reason: "damaged".into(), tables: gave.clone(), ..row("bad", 7, false) };
    let sent = |slot, table: &str| Sent {
        slot,
        source: "1/aws_sqs_cloudtrail".into(),
        table: table.into(),
        events: 7,
        bytes: 70,
    };
    let mut store = Store::open(&file(&directory)).unwrap();
    store
        .record(std::slice::from_ref(&refused), &[sent(300, "cloud.aws.cloudtrail.s3"), sent(300, "")])
        .unwrap();
    store.record(&[row("a", 1, true)], &[sent(300, "cloud.aws.cloudtrail.s3"), sent(600, REPEATED)]).unwrap();
    drop(store);
    let mut store = Store::open(&file(&directory)).unwrap();
    assert_eq!(store.rows(&refused.place).unwrap(), [refused]);
    let found = store.sent(300, 600).unwrap();
    let counted: Vec<_> = found.iter().map(|sent| (sent.table.as_str(), sent.events)).collect();
    assert_eq!(counted, [("", 7), ("cloud.aws.cloudtrail.s3", 14)]);
    assert_eq!(store.sent(600, 900).unwrap(), [sent(600, REPEATED)]);
    store.sweep(600, u64::MAX, 10).unwrap();
    assert_eq!(store.sent(0, 900).unwrap().len(), 1, "it is forgotten like the rest");
}

#[test]
fn names_of_a_transaction_that_failed_are_given_anew() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    let gives = |key: &str, table: &str| Row { tables: tables(&[(table, 1)]), ..row(key, 1, true) };
    store
        .connection
        .execute_batch("CREATE TRIGGER stop BEFORE INSERT ON objects BEGIN SELECT raise(ABORT, 'no'); END")
        .unwrap();
    store.write(&[gives("a", "a.b")]).unwrap_err();
    store.connection.execute_batch("DROP TRIGGER stop").unwrap();
    store.write(&[gives("c", "c.d"), gives("a", "a.b")]).unwrap();
    assert_eq!(store.list(&Filter::default(), 9).unwrap(), [gives("a", "a.b"), gives("c", "c.d")]);
}

#[test]
fn refused_and_skipped_objects_alone_do_not_bind_an_input_to_its_queue() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    store.belong(&file(&directory), &scope("q1", "a:1")).unwrap();
    store.write(&[Row { reason: "no_service".into(), ..row("a", 0, false) }]).unwrap();
    store.belong(&file(&directory), &scope("q2", "a:1")).unwrap();
    store.write(&[row("b", 1, true)]).unwrap();
    assert!(store.belong(&file(&directory), &scope("q1", "a:1")).is_err());
}

#[test]
fn a_look_believes_what_went_to_all_outputs_of_today() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    store.belong(&file(&directory), &scope("q", "a:1")).unwrap();
    let refused = Row { reason: "damaged".into(), ..row("bad", 0, false) };
    store.write(&[row("a", 1, true), refused.clone()]).unwrap();
    let look = |outputs| Look::open(&file(&directory), outputs).unwrap();
    for (outputs, delivered) in [(Some("a:1"), 1), (Some("b:2"), 0), (None, 1)] {
        assert_eq!(look(outputs).rows(&row("a", 1, true).place).unwrap().len(), delivered, "{outputs:?}");
        assert_eq!(look(outputs).rows(&refused.place).unwrap(), std::slice::from_ref(&refused));
    }
    let (first, last) = ("a".to_owned(), "bad".to_owned());
    assert_eq!(look(None).keys().unwrap(), [Keys { input: "1".into(), bucket: "b".into(), first, last }]);
    store.write(&[Row { tables: tables(&[("a.b", 2)]), ..row("g", 1, true) }]).unwrap();
    let givers = look(None).givers("a.b", 0, 101, 9).unwrap();
    assert_eq!(givers.iter().map(|row| row.place.key.as_str()).collect::<Vec<_>>(), ["g"]);
    assert!(look(None).givers("a.b", 101, 200, 9).unwrap().is_empty());
}

/// Version 3 is the first with all tables of polled sources.
#[test]
fn a_file_of_the_first_version_with_sources_has_them() {
    let directory = TempDir::new().unwrap();
    let mut store = Store::open(&file(&directory)).unwrap();
    let checkpoints = vec![("part".to_owned(), "1".to_owned())];
    store.mark(&[Mark { source: "1/s/r".into(), checkpoints, ..Mark::default() }], 1).unwrap();
    for (version, has) in [(WITH_SOURCES, 1), (WITH_SOURCES - 1, 0)] {
        store.connection.pragma_update(None, "user_version", version).unwrap();
        assert_eq!(store.checkpoints("").unwrap().len(), has);
    }
}
