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
    /// `definition`: that of the object (`Definition::of_object`). `account`: that of the input's credentials, if it is
    /// known.
    pub fn new(definition: &'d Definition, key: &str, account: Option<&'d str>, host: &'d str) -> Sample<'d> {
        Sample {
            route: Route::of_account(account, definition, key),
            decoder: Decoder::new(definition.format.clone(), Bounds::default()),
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
    use super::*;
    use crate::config::registry::row;

    #[test]
    fn a_sample_goes_the_way_of_the_pipeline() {
        let row = row("aws_sqs_cloudtrail").unwrap();
        let key = "AWSLogs/1/CloudTrail/x";
        let definition = row.definition.of_object(key);
        let mut sample = Sample::new(&definition, key, None, "h");
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
