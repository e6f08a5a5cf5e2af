//! Every service of the registry on the samples of `testdata`: exactly the expected frames, for any chunks. A service
//! without a sample fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first failure"
)]

mod samples;

use std::collections::BTreeSet;
use std::io::Write;

use aws_to_devo::ack::Ack;
use aws_to_devo::base::buffers::Buffer;
use aws_to_devo::config::registry::{self, Row};
use aws_to_devo::decode::{Bounds, Decoder, Newlines, Record, Scratch};
use aws_to_devo::services::{Route, Verdict};
use aws_to_devo::stages::frame::Frames;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use samples::Sample;

#[test]
fn every_service_has_samples() {
    for row in registry::rows() {
        assert!(!samples::of(&row.name).is_empty(), "testdata/{} has no case", row.name);
    }
}

#[test]
fn samples_belong_to_services() {
    for folder in samples::folders(&samples::root()) {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(
            ["aws", "cases", "config"].contains(&name.as_str()) || registry::row(&name).is_some(),
            "{name} is no service"
        );
    }
}

#[test]
fn every_sample_gives_its_frames() {
    let mut wrong = Vec::new();
    for row in registry::rows() {
        for case in samples::of(&row.name) {
            let compressed = gzip(&case.object);
            let ways = [
                ("whole", &case.object, usize::MAX),
                ("1000 bytes at a time", &case.object, 1000),
                ("7 bytes at a time", &case.object, 7),
                ("compressed", &compressed, usize::MAX),
                ("compressed, 1000 bytes at a time", &compressed, 1000),
            ];
            for (way, object, size) in ways {
                match frames(row, &case.key, object, size) {
                    Ok(frames) if frames == case.expected => (),
                    Ok(frames) => wrong.push(difference(&case, way, &frames)),
                    Err(error) => wrong.push(format!("{}, {way}: {error}", case.path.display())),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_sample_is_claimed_and_not_skipped() {
    for row in registry::rows() {
        for Sample { key, path, .. } in samples::of(&row.name) {
            // The cases of unusual keys show a service that is alone on its queue.
            let unusual = path.file_name().unwrap().to_str().unwrap().starts_with("of_no_");
            assert!(unusual || row.definition.claims(&key), "{}: {key} is not claimed", path.display());
            assert!(!row.definition.skips(&key), "{}: {key} is skipped", path.display());
        }
    }
}

/// The end-to-end test of all services puts them into one bucket per service, where the second of a name replaces the
/// first.
#[test]
fn no_two_samples_of_a_service_have_the_same_key() {
    for row in registry::rows() {
        let samples = samples::of(&row.name);
        let keys: BTreeSet<&str> = samples.iter().map(|sample| sample.key.as_str()).collect();
        assert_eq!(keys.len(), samples.len(), "{}", row.name);
    }
}

/// Objects in forms that their service's documentation does not show; see `testdata/cases`.
#[test]
fn every_case_is_delivered_exactly_or_refused() {
    let mut wrong = Vec::new();
    for folder in samples::folders(&samples::root().join("cases")) {
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_default();
        let service: serde_json::Value = serde_json::from_slice(&read("service.json")).unwrap();
        let row = registry::row(service.as_object().unwrap().keys().next().unwrap()).unwrap();
        let delivers = read("want").starts_with(b"deliver");
        let mut lines = Vec::new();
        let objects = (0..).map_while(|number| {
            let key = std::fs::read_to_string(folder.join(format!("key{number}"))).ok()?;
            Some((key, read(&format!("object{number}"))))
        });
        let objects: Vec<_> =
            objects.filter(|(key, _)| !aws_to_devo::stages::resolve::is_marker(key)).collect();
        if let Err(error) = announces(&read("notification.json"), &objects) {
            wrong.push(format!("{}: {error}", folder.display()));
        }
        let result = objects.iter().try_for_each(|(key, object)| tagged(row, key, object, &mut lines));
        let arrived = String::from_utf8_lossy(&lines.concat()).into_owned();
        let expected = String::from_utf8_lossy(&read("expected")).into_owned();
        match result {
            Ok(()) if delivers && arrived == expected => (),
            Err(_) if !delivers && arrived.is_empty() => (),
            result => wrong.push(format!(
                "{}: {result:?}\n  expected {expected:?}\n  found    {arrived:?}",
                folder.display()
            )),
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// Checks that the message names these objects, with the keys that are requested first.
fn announces(notification: &[u8], objects: &[(String, Vec<u8>)]) -> Result<(), String> {
    if notification.is_empty() {
        return Ok(());
    }
    let body = String::from_utf8_lossy(notification).replace("BUCKET", "bucket");
    let found = aws_to_devo::stages::resolve::resolve(&body).map_err(|error| error.to_string())?;
    let found: Vec<_> = found.objects.iter().map(|object| (object.bucket, object.key)).collect();
    let expected: Vec<_> = objects.iter().map(|(key, _)| ("bucket".to_owned(), key.clone())).collect();
    if found == expected { Ok(()) } else { Err(format!("{found:?} is announced, not {expected:?}")) }
}

/// Each record as tag TAB record LF.
fn tagged(row: &Row, key: &str, object: &[u8], lines: &mut Vec<Vec<u8>>) -> Result<(), String> {
    let definition = row.definition.of_object(key);
    let mut decoder = Decoder::new(definition.format.clone(), Bounds::default());
    let (mut route, mut scratch) = (Route::new(&definition, key), Scratch::new());
    let mut sink = |record: Record<'_>| {
        if let Verdict::Send { tag, .. } = route.verdict(record) {
            let body = match record.newlines {
                Newlines::Insignificant => {
                    record.bytes.iter().map(|b| if b"\r\n".contains(b) { b' ' } else { *b }).collect()
                }
                _ => record.bytes.to_vec(),
            };
            lines.push([tag.as_bytes(), b"\t", &body, b"\n"].concat());
        }
    };
    decoder.push(object, true, &mut scratch, &mut sink).map_err(|error| error.to_string())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The pipeline's work between the GET and the connection.
fn frames(row: &Row, key: &str, object: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let definition = row.definition.of_object(key);
    let mut decoder = Decoder::new(definition.format.clone(), Bounds::default());
    let (mut route, mut scratch) = (Route::new(&definition, key), Scratch::new());
    let mut frames = Frames::new("host", Timestamp::UNIX_EPOCH, Buffer::default());
    let mut sink = |record: Record<'_>| {
        if let Verdict::Send { tag, .. } = route.verdict(record) {
            frames.push(tag, record);
        }
    };
    let mut chunks = object.chunks(size).peekable();
    loop {
        let chunk = chunks.next().unwrap_or_default();
        let last = chunks.peek().is_none();
        decoder.push(chunk, last, &mut scratch, &mut sink).map_err(|error| error.to_string())?;
        if last {
            break;
        }
    }
    let batch = frames.into_batch(Ack::open(|_| ()).share());
    Ok(batch.bytes.to_vec())
}

fn difference(case: &Sample, way: &str, frames: &[u8]) -> String {
    let same = frames.iter().zip(&case.expected).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(40);
    let show = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).chars().take(200).collect::<String>()
    };
    format!(
        "{}, {way}: from byte {from}\n  expected {:?}\n  found    {:?}",
        case.path.display(),
        show(&case.expected),
        show(frames)
    )
}
