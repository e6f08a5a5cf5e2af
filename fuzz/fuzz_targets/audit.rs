#![no_main]

use aws_to_devo::audit::inventory::{Columns, Manifest, Reader};
use aws_to_devo::audit::{cause, dates, devo};
use aws_to_devo_fuzz::{allow_panics_of, parts};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

// Everything that an audit reads from others: keys, a queue's policy, Devo's answers, an inventory's manifest and files.
// The first byte chooses.
fuzz_target!(init: allow_panics_of("/parquet-"), |input: &[u8]| {
    let [kind, input @ ..] = input else { return };
    match kind % 6 {
        0 => check_dates(parts::text(input)),
        1 => check_policy(parts::text(input)),
        2 => {
            if let Ok(rows) = devo::rows(input, "t") {
                assert!(rows.keys().all(|slot| slot % 300 == 0));
            }
        }
        3 => drop(devo::refusal(500, input, "t").to_string()),
        4 => {
            let [manifest, file] = parts::of(input);
            check_file(&Manifest::read(manifest).map_or(Columns::Parquet, |manifest| manifest.columns), file);
        }
        _ => check_file(&Columns::Parquet, input),
    }
});

fn check_dates(key: &str) {
    let found = dates::dates(key);
    for date in &found {
        assert!(key.get(date.at.clone()).is_some_and(|part| part.contains("20")));
        assert!(date.span.start < date.span.end);
    }
    let times = dates::times_of(&found, Timestamp::UNIX_EPOCH);
    assert!(!times.is_empty() && times.iter().all(|time| *time >= Timestamp::UNIX_EPOCH));
}

fn check_policy(policy: &str) {
    let _ = cause::lets_send(policy, "b");
    assert!(cause::senders(policy).iter().all(|bucket| !bucket.is_empty()));
}

fn check_file(columns: &Columns, file: &[u8]) {
    let mut reader = Reader::new(columns, file.len() as u64);
    // A percent-encoded key becomes shorter, and one of Parquet may be written once for many rows.
    let _ = reader.push(file, true, &mut |object| assert!(!object.key.is_empty()));
}
