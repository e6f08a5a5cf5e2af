//! Runs an object through the pipeline's own decoder, routing and framing without sending. `preview` and the tests of
//! services use it.

use jiff::Timestamp;
use memchr::memmem;

use crate::ack::Ack;
use crate::base::buffers::Buffer;
use crate::decode::{Bounds, Decoder, Record, Scratch};
use crate::services::{Definition, Route, Verdict};
use crate::stages::frame::Frames;

/// The decision about a record.
pub enum Outcome<'a> {
    /// The index of the rule of `line_filter_rules` that names it.
    Dropped {
        rule: usize,
    },
    Sent(Sent<'a>),
}

/// A record as it would arrive.
pub struct Sent<'a> {
    pub tag: &'a str,
    /// The whole frame.
    pub frame: &'a [u8],
    /// The message after the tag, without the frame's line feed.
    pub body: &'a [u8],
    /// Fields of the tag without a value; its level is `unknown`.
    pub missing: Vec<String>,
}

/// Reads one object piece by piece.
pub struct Sample<'d> {
    route: Route<'d>,
    decoder: Decoder,
    scratch: Scratch,
    host: &'d str,
}

impl<'d> Sample<'d> {
    /// Makes a reader for one object. `definition` is the object's (`Definition::of_object`); `object_bytes` is its
    /// length as stored, 0 if it is not known.
    pub fn new(definition: &'d Definition, key: &str, object_bytes: u64, host: &'d str) -> Sample<'d> {
        let bounds = Bounds { object_bytes, ..Bounds::default() };
        Sample {
            route: Route::new(definition, key),
            decoder: Decoder::new(definition.format.clone(), bounds),
            scratch: Scratch::new(),
            host,
        }
    }

    /// The next bytes of the object; each record that is whole by now is shown to `see`.
    ///
    /// # Errors
    /// Why the object is refused. The records before have been shown.
    pub fn push(
        &mut self,
        chunk: &[u8],
        last: bool,
        see: &mut dyn FnMut(Outcome<'_>),
    ) -> Result<(), crate::decode::Error> {
        let Sample { route, decoder, scratch, host } = self;
        decoder.push(chunk, last, scratch, &mut |record: Record<'_>| show(route, record, host, see))
    }

    /// Bytes of the log so far.
    pub fn log_bytes(&self) -> u64 {
        self.decoder.expanded_bytes()
    }
}

fn show(route: &mut Route<'_>, record: Record<'_>, host: &str, see: &mut dyn FnMut(Outcome<'_>)) {
    let (tag, is_missing) = match route.verdict(record) {
        Verdict::Send { tag, filled } => (tag.to_owned(), filled.missing),
        Verdict::Drop => {
            return see(Outcome::Dropped { rule: route.dropped_by(record).unwrap_or_default() });
        }
    };
    let missing = if is_missing { route.missing_fields(record) } else { Vec::new() };
    let mut frames = Frames::new(host, Timestamp::now(), Buffer::default());
    frames.push(&tag, record);
    let batch = frames.into_batch(Ack::open(|_| ()).share());
    let frame: &[u8] = &batch.bytes;
    see(Outcome::Sent(Sent { tag: &tag, frame, body: body_of(frame, &tag), missing }));
}

/// Neither the count, the date nor the host can hold the tag with its marks.
fn body_of<'f>(frame: &'f [u8], tag: &str) -> &'f [u8] {
    let mark = format!(" {tag}: ");
    let from = memmem::find(frame, mark.as_bytes()).map_or(0, |at| at + mark.len());
    &frame[from..frame.len().saturating_sub(1)]
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::config::registry::row;

    fn gzip(log: &[u8]) -> Vec<u8> {
        let mut writer = GzEncoder::new(Vec::new(), Compression::best());
        writer.write_all(log).unwrap();
        writer.finish().unwrap()
    }

    /// The pipeline knows the length of an object that it reads in pieces, and so does a sample.
    #[test]
    fn a_dense_beginning_is_no_bomb() {
        let dense = gzip(&[&[b'a'; 4095][..], b"\n"].concat().repeat((80 << 20) / 4096));
        let lines = (0..30_000_u64).map(|n| format!("{:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let log = [dense.clone(), gzip(lines.collect::<String>().as_bytes())].concat();
        let definition = row("aws_sqs_os").unwrap().definition.of_object("k");
        for (object_bytes, is_read) in [(log.len() as u64, true), (0, false)] {
            let mut sample = Sample::new(&definition, "k", object_bytes, "h");
            assert_eq!(sample.push(&log[..dense.len()], false, &mut |_| ()).is_ok(), is_read);
            assert_eq!(sample.push(&log[dense.len()..], true, &mut |_| ()).is_ok(), is_read);
        }
    }

    #[test]
    fn a_sample_goes_the_way_of_the_pipeline() {
        let row = row("aws_sqs_cloudtrail").unwrap();
        let key = "AWSLogs/1/CloudTrail/x";
        let definition = row.definition.of_object(key);
        let mut sample = Sample::new(&definition, key, 0, "h");
        let mut seen = Vec::new();
        let object = br#"{"Records":[{"eventID":"1","eventSource":"iam.amazonaws.com",
"a":1},{"eventID":"2","eventName":"x"}]}"#;
        sample
            .push(object, true, &mut |outcome| {
                let Outcome::Sent(Sent { tag, frame, body, missing }) = outcome else { panic!("dropped") };
                assert!(frame.ends_with(&[body, b"\n"].concat()));
                seen.push((tag.to_owned(), String::from_utf8(body.to_owned()).unwrap(), missing));
            })
            .unwrap();
        assert_eq!(sample.log_bytes(), object.len() as u64);
        assert_eq!(seen[0].0, "cloud.aws.cloudtrail.iam");
        assert_eq!(seen[0].1, r#"{"eventID":"1","eventSource":"iam.amazonaws.com", "a":1}"#);
        assert_eq!(seen[1].0, "cloud.aws.cloudtrail.unknown");
        assert_eq!(seen[1].2, ["record-event_source"]);
    }
}
