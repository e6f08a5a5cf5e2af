//! Limits the bytes of an object that are repeated in many of its records.

use super::Error;
use crate::base::limits::{COPIES_FREE_BYTES, COPIES_RATIO_MAX};

/// Counts bytes copied into records, such as an envelope's members or the names of a header, against the bytes read of
/// the object. Otherwise a few kilobytes of JSON with a long member and many empty events would become terabytes.
#[derive(Debug, Default)]
pub(super) struct Copies {
    read: u64,
    copied: u64,
}

impl Copies {
    /// Counts this many more bytes read of the object.
    pub fn read(&mut self, bytes: usize) {
        self.read += bytes as u64;
    }

    /// Counts this many more bytes copied.
    pub fn copy(&mut self, bytes: usize) -> Result<(), Error> {
        self.copied += bytes as u64;
        let Copies { read, copied } = *self;
        if copied > COPIES_FREE_BYTES.max(read.saturating_mul(COPIES_RATIO_MAX)) {
            return Err(Error::Copies { read, copied, ratio_max: COPIES_RATIO_MAX });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::limits::{HEADER_BYTES_MAX, MIB};
    use crate::decode::text_file::{Fields, Names, TextFile};
    use crate::decode::{Bounds, Decoder, EventBody, Format, Scratch};

    /// Decodes a text, and returns the bytes of its records with the context for rules and tags, and how it ended.
    fn decoded(format: Format, text: &str) -> (u64, Result<(), Error>) {
        let (mut decoder, mut scratch) = (Decoder::new(format, Bounds::default()), Scratch::new());
        let mut made = 0;
        let mut sink = |record: crate::decode::Record<'_>| {
            made += record.bytes.len().max(record.context.json.len()) as u64;
        };
        let result = decoder.push(text.as_bytes(), true, &mut scratch, &mut sink);
        (made, result)
    }

    fn table() -> Format {
        let json = Some(Fields { separator: b",".to_vec(), names: Names::InHeader(b",".to_vec()) });
        Format::TextFile(Arc::new(TextFile { line_separator: b"\n".to_vec(), header: true, json }))
    }

    fn envelope(long: usize, event: &str, events: usize) -> String {
        let (long, events) = ("g".repeat(long), vec![event; events].join(","));
        format!(r#"{{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"{long}","logEvents":[{events}]}}"#)
    }

    #[test]
    fn what_stands_in_an_object_once_does_not_become_terabytes() {
        let nested = |text: &str| format!(r#"[{text}]"#);
        let (empty, text) = (envelope(MIB / 2, "{}", 2000), envelope(MIB / 2, r#"{"message":"m"}"#, 2000));
        for (format, text) in [
            (Format::CloudWatch { body: EventBody::Event }, &empty),
            (Format::CloudWatch { body: EventBody::Message }, &text),
            (Format::CloudWatch { body: EventBody::Event }, &nested(&empty)),
            (Format::Envelopes { detail: vec!["detail".to_owned()] }, &empty),
            (table(), &format!("{}\n{}", "n".repeat(MIB / 2), "a\n".repeat(2000))),
        ] {
            let what = format!("{format:?}, {}", &text[..20]);
            let (made, result) = decoded(format, text);
            let max = COPIES_FREE_BYTES.max(COPIES_RATIO_MAX * text.len() as u64) + 2 * text.len() as u64;
            assert!(matches!(result, Err(Error::Copies { .. })), "{what}: {result:?}");
            assert!(made <= max, "{what}: {made}");
        }
    }

    #[test]
    fn a_header_that_is_none_is_refused_and_one_of_thousands_of_names_is_not() {
        let names: Vec<String> = (0..5000).map(|number| format!("a_column_with_number_{number}")).collect();
        let rows = format!("{}\n", ",".repeat(4999)).repeat(50);
        assert_eq!(decoded(table(), &format!("{}\n{rows}", names.join(","))).1, Ok(()));
        let endless = format!("{}\nx\n", "n,".repeat(MIB));
        let events = Format::CloudWatch { body: EventBody::Message };
        for (format, text) in [(table(), endless), (events, envelope(10 * MIB, r#"{"message":"m"}"#, 9))] {
            assert_eq!(decoded(format, &text), (0, Err(Error::HeaderTooLarge { max: HEADER_BYTES_MAX })));
        }
    }

    #[test]
    fn usual_envelopes_are_far_from_the_bound() {
        let events = envelope(100, r#"{"id":"1","timestamp":1620678200000,"message":""}"#, 100_000);
        for body in [EventBody::Event, EventBody::Message] {
            assert_eq!(decoded(Format::CloudWatch { body }, &events).1, Ok(()));
        }
    }
}
