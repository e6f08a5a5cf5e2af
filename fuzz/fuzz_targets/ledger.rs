//! The state left by a crash, and comparisons of a ledger's row with a message.

#![no_main]

use aws_to_devo::ack::Ending;
use aws_to_devo::base::text::fingerprint;
use aws_to_devo::ledger::{Identity, Place, Row, SLOT_BYTES, left_in};
use aws_to_devo_fuzz::parts;
use libfuzzer_sys::fuzz_target;

// The parts are two identities and the state, whose few slots end with a byte that no text has.
fuzz_target!(|input: &[u8]| {
    let [own @ .., state] = parts::of::<7>(input);
    let [a, b, c, d, e, f] = own.map(parts::text);
    check_state(&slots(state));
    check_row(identity([a, b, c]), identity([d, e, f]));
});

fn slots(state: &[u8]) -> Vec<u8> {
    let mut slots = Vec::new();
    for (number, content) in state.splitn(4, |byte| *byte == 0xff).enumerate() {
        slots.extend_from_slice(&content[..content.len().min(SLOT_BYTES)]);
        slots.resize((number + 1) * SLOT_BYTES, 0);
    }
    slots
}

fn check_state(state: &[u8]) {
    let left = left_in(state);
    assert!(left.names.len() * SLOT_BYTES <= state.len());
    assert!(left.names.windows(2).all(|pair| pair[0] != pair[1]));
}

fn check_row(own: Identity, asked: Identity) {
    let place = Place { input: "1".into(), bucket: "b".into(), key: "k".into() };
    let row = Row { records: 1, delivered: true, ..Row::ended(place, own.clone(), 1, Ending::Sent) };
    assert!(own.is_unknown() || row.was_announced_as(&own));
    assert!(!asked.is_unknown() || !row.was_announced_as(&asked));
    let read = asked.read(&asked.etag);
    if row.was_read_as(&read) {
        assert!(!own.is_unknown());
    }
    fingerprint(&own.etag);
}

fn identity([version, etag, checksum]: [&str; 3]) -> Identity {
    Identity { version: version.into(), etag: etag.into(), checksum: checksum.into() }
}
