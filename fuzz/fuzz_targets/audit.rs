#![no_main]

use aws_to_devo::audit::inventory::{Columns, Manifest, Reader};
use aws_to_devo::audit::{cause, dates, devo};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

// Everything that an audit reads from others: keys, an inventory's manifest and files, Devo's answers, a queue's policy.
fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    for date in dates::dates(&text) {
        assert!(text.get(date.at.clone()).is_some_and(|part| part.contains("20")));
        assert!(date.span.start < date.span.end);
    }
    let (from, now) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    assert!(dates::time_of(&dates::dates(&text), now) >= from);
    let _ = cause::lets_send(&text, "b");
    assert!(cause::senders(&text).iter().all(|bucket| !bucket.is_empty()));
    if let Ok(rows) = devo::rows(input, "t") {
        assert!(rows.keys().all(|slot| slot % 300 == 0));
    }
    let _ = devo::refusal(500, input, "t").to_string();
    // A manifest on the first line, then a file.
    let (manifest, file) =
        input.split_at(input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len()));
    let columns = Manifest::read(manifest).map_or(Columns::Parquet, |manifest| manifest.columns);
    let mut reader = Reader::new(&columns);
    let _ = reader.push(file, true, &mut |object| assert!(object.key.len() <= input.len()));
});
