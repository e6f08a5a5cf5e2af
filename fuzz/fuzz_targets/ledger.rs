//! The state left by a crash, and comparisons of a ledger's row with a message.

#![no_main]

use aws_to_devo::ack::Ending;
use aws_to_devo::ledger::{Identity, Place, Row, fingerprint, left_in};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], [&str; 3], [&str; 3])| {
    let (notes, own, asked) = input;
    let left = left_in(notes);
    assert!(left.names.len() <= notes.len());
    let identity = |[version, etag, checksum]: [&str; 3]| Identity {
        version: version.into(),
        etag: etag.into(),
        checksum: checksum.into(),
    };
    let (own, asked) = (identity(own), identity(asked));
    let place = Place { input: "1".into(), bucket: "b".into(), key: "k".into() };
    let row = Row { records: 1, delivered: true, ..Row::ended(place, own.clone(), 1, Ending::Sent) };
    assert!(own.is_unknown() || row.was_announced_as(&own));
    assert!(!asked.is_unknown() || !row.was_announced_as(&asked));
    let read = asked.read(&asked.etag);
    if row.was_read_as(&read) {
        assert!(!own.is_unknown());
    }
    fingerprint(&own.etag);
});
