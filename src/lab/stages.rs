//! Single stages of the pipeline on fixed work, for a counter of instructions: `scripts/perf` runs the hidden command
//! `stage` under callgrind, and compares the counts with the recorded ones.

use std::io::{self, Write as _};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::json;

use super::testbed::load::{self, Kind};
use crate::aws::{Credentials, GetObject, s3, sign, sqs};
use crate::base::buffers::{Buffer, Buffers};
use crate::base::limits::BATCH_BYTES;
use crate::base::out::Out;
use crate::config::registry;
use crate::decode::{Bounds, Decoder, LineBlock, Newlines, Record, Scratch, Sink};
use crate::services::{Route, Verdict};
use crate::settings::Endpoints;
use crate::stages::frame::Frames;
use crate::stages::resolve::resolve;

/// Records of an object.
const RECORDS: u64 = 2_000;
/// Messages of an answer of SQS.
const MESSAGES: usize = 10;
/// A received part of a streamed object.
const CHUNK_BYTES: usize = 64 << 10;

type Work = Box<dyn FnMut() -> anyhow::Result<()>>;
type Make = fn() -> anyhow::Result<Work>;

/// The stages by name. What a maker does is not counted.
const STAGES: [(&str, Make); 7] = [
    ("sign", signature),
    ("answer", answer),
    ("announcement", announcement),
    ("lines", || object(Kind::Vpc, "aws_sqs_vpc", "AWSLogs/1/vpcflowlogs/a.gz", usize::MAX)),
    ("json-lines", || object(Kind::Fdr, "aws_sqs_fdr", "data/1/part-00000.gz", usize::MAX)),
    ("json-lines-streamed", || object(Kind::Fdr, "aws_sqs_fdr", "data/1/part-00000.gz", CHUNK_BYTES)),
    ("array", || object(Kind::CloudTrail, "aws_sqs_cloudtrail", "AWSLogs/1/CloudTrail/a.gz", usize::MAX)),
];

/// Runs a stage twice, of which the second time counts; without a name, lists the stages.
///
/// # Errors
/// If there is no such stage, or it does not do what it should.
pub fn run(name: Option<&str>) -> anyhow::Result<()> {
    let Some(name) = name else {
        return STAGES.iter().try_for_each(|(name, _)| writeln!(Out, "{name}")).context("standard output");
    };
    let (_, make) = STAGES.iter().find(|(stage, _)| *stage == name).context("there is no such stage")?;
    let mut work = make()?;
    // Caches and buffers are filled.
    work()?;
    counted_work(&mut work)
}

/// Runs it once. A counter knows this function by its name.
#[inline(never)]
fn counted_work(work: &mut Work) -> anyhow::Result<()> {
    work()
}

/// A GET for a part of an object.
pub const GET: GetObject<'static> = GetObject {
    bucket: "logs",
    key: "data/0e7c5b92-f4a1-4d83-9b60-c8d27f3e15a9/part-00000.gz",
    version_id: None,
    etag: None,
    by_key: false,
    start: 0,
    len: 8 << 20,
    if_match: Some("\"e\""),
    size: None,
};

/// Keys with a session token, as an assumed role has them.
pub fn credentials() -> Credentials {
    Credentials {
        access_key_id: "AKIAEXAMPLE".to_owned(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: Some("t".repeat(800)),
        expires_at: None,
    }
}

/// The time of signing.
pub fn signed_at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_773_480_416)
}

/// A signed GET for a part of an object.
fn signature() -> anyhow::Result<Work> {
    let (credentials, now, endpoints) = (credentials(), signed_at(), Endpoints::default());
    Ok(Box::new(move || {
        let request = s3::request(&GET, "eu-west-1", &endpoints).map_err(anyhow::Error::msg)?;
        let headers = sign::sign(&request, &credentials, now)?;
        ensure!(headers.iter().any(|(name, _)| *name == "authorization"), "the request is not signed");
        Ok(())
    }))
}

/// An answer of SQS.
fn answer() -> anyhow::Result<Work> {
    let message = json!({
        "MessageId": "6a2b4f2e-6b0e-4f7e-9f0c-1c9d8e7f6a5b",
        "ReceiptHandle": "A".repeat(300),
        "Body": event(),
        "Attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1773480416000"},
    });
    let answer = serde_json::to_vec(&json!({ "Messages": vec![message; MESSAGES] }))?;
    Ok(Box::new(move || {
        let messages = sqs::read_receive(&answer).map_err(|_| anyhow::anyhow!("an answer is refused"))?;
        ensure!(messages.len() == MESSAGES, "an answer has {} messages", messages.len());
        Ok(())
    }))
}

/// A message that announces an object.
fn announcement() -> anyhow::Result<Work> {
    let body = event();
    Ok(Box::new(move || {
        let objects = resolve(&body)?.objects.len();
        ensure!(objects == 1, "a message announces {objects} objects");
        Ok(())
    }))
}

fn event() -> String {
    let object =
        json!({"key": "AWSLogs/111122223333/CloudTrail/a.json.gz", "size": 2048, "sequencer": "0069B52DA1"});
    let record = json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventTime": "2026-03-14T09:30:00.000Z",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "logs", "arn": "arn:aws:s3:::logs"}, "object": object},
    });
    json!({ "Records": [record] }).to_string()
}

/// An object's way from its compressed bytes, that many at a time, to frames.
fn object(kind: Kind, service: &str, key: &'static str, chunk_bytes: usize) -> anyhow::Result<Work> {
    let object = gzip(&load::text(kind, RECORDS, 1))?;
    let definition = registry::row(service).context("there is no such service")?.definition.clone();
    let (buffers, mut scratch) = (Buffers::new(BATCH_BYTES * 4), Scratch::new());
    Ok(Box::new(move || {
        let mut decoder = Decoder::new(definition.format.clone(), Bounds::default());
        let route = Route::new(&definition, key);
        let mut framing = Framing { frames: None, route, buffers: &buffers, events: 0 };
        let chunks = object.chunks(chunk_bytes.min(object.len()));
        let last = chunks.len() - 1;
        for (number, chunk) in chunks.enumerate() {
            decoder.push(chunk, number == last, &mut scratch, &mut framing)?;
        }
        framing.drop_batch();
        ensure!(framing.events == RECORDS, "{} of {RECORDS} records were framed", framing.events);
        Ok(())
    }))
}

fn gzip(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text)?;
    gzip.finish()
}

/// The pipeline's framing without what is beside frames: batches are dropped.
struct Framing<'s> {
    frames: Option<Frames>,
    route: Route<'s>,
    buffers: &'s Buffers,
    events: u64,
}

impl Framing<'_> {
    fn drop_if_full(&mut self) {
        if self.frames.as_ref().is_some_and(|frames| frames.len() >= BATCH_BYTES) {
            self.drop_batch();
        }
    }

    fn drop_batch(&mut self) {
        self.events += self.frames.take().map_or(0, |frames| u64::from(frames.events()));
    }
}

impl Sink for Framing<'_> {
    fn record(&mut self, record: Record<'_>) {
        let Verdict::Send { tag, .. } = self.route.verdict(record) else { return };
        let filling = self.frames.get_or_insert_with(|| {
            let mut frames = Frames::new("collector-1-host", Timestamp::UNIX_EPOCH, Buffer::default());
            frames.write_into(self.buffers.take(BATCH_BYTES * 2));
            frames
        });
        filling.push(tag, record);
        self.drop_if_full();
    }

    fn lines(&mut self, mut lines: LineBlock<'_>) {
        while let Some(line) = lines.next() {
            self.record(Record::new(line, Newlines::Absent));
            let Some(frames) = self.frames.as_mut().filter(|_| self.route.fixed().is_some()) else {
                continue;
            };
            frames.push_lines(&mut lines);
            self.drop_if_full();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{STAGES, run};

    #[test]
    fn each_stage_does_its_work() {
        for (name, _) in STAGES {
            run(Some(name)).unwrap();
        }
    }

    #[test]
    fn an_unknown_stage_is_refused() {
        assert!(run(Some("none")).is_err());
    }
}
