//! The samples' records as templates: their long identifiers change, everything else stays.

use std::ops::Range;

use fastrand::Rng;

use crate::lab::testbed::frames::{FrameError, FrameReader};

macro_rules! sample {
    ($case:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/", $case, "/expected.frames"))
    };
}

/// Shorter words stay unchanged: they are names, versions, ports.
const IDENTIFIER_BYTES_MIN: usize = 8;
/// Upper-case words shorter than this are codes rather than identifiers.
const UPPER_BYTES_MIN: usize = 12;
/// The prefix of an upper-case identifier (`AKIA`) is its kind.
const UPPER_PREFIX_BYTES: usize = 4;

/// The records of each kind of object.
pub struct Samples {
    pub cloudtrail: Vec<Template>,
    pub insights: Vec<Template>,
    pub vpc: Vec<Template>,
    pub s3_access: Vec<Template>,
    pub waf: Vec<Template>,
    pub fdr: Vec<Template>,
    pub aidmaster: Vec<Template>,
}

/// A record that can be written any number of times, each time with other identifiers.
pub struct Template {
    pub tag: String,
    body: Vec<u8>,
    identifiers: Vec<Identifier>,
}

impl Samples {
    pub fn read() -> Result<Samples, FrameError> {
        Ok(Samples {
            cloudtrail: read(sample!("aws_sqs_cloudtrail/management"))?,
            insights: read(sample!("aws_sqs_cloudtrail/insight"))?,
            vpc: read(sample!("aws_sqs_vpc/version_2"))?,
            s3_access: read(sample!("aws_sqs_s3_access/requests"))?,
            waf: read(sample!("aws_sqs_waf/web_acl"))?,
            fdr: read(sample!("aws_sqs_fdr/data"))?,
            aidmaster: read(sample!("aws_sqs_fdr/aidmaster"))?,
        })
    }
}

impl Template {
    /// Appends the record with new identifiers.
    pub fn write(&self, rng: &mut Rng, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.body);
        for identifier in &self.identifiers {
            let range = start + identifier.range.start..start + identifier.range.end;
            fill(rng, identifier.alphabet, &mut out[range]);
        }
    }
}

/// Fills bytes with characters of an alphabet of at most 64.
pub fn fill(rng: &mut Rng, alphabet: &[u8], out: &mut [u8]) {
    for chunk in out.chunks_mut(8) {
        let mut random = rng.u64(..);
        for byte in chunk {
            *byte = alphabet[(random & 0x3f) as usize % alphabet.len()];
            random >>= 8;
        }
    }
}

const DIGITS: &[u8] = b"0123456789";
pub const HEX: &[u8] = b"0123456789abcdef";
const UPPER: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

struct Identifier {
    range: Range<usize>,
    alphabet: &'static [u8],
}

fn read(frames: &[u8]) -> Result<Vec<Template>, FrameError> {
    let (mut reader, mut templates) = (FrameReader::new(), Vec::new());
    reader.push(frames, |frame| {
        let body = frame.body.to_owned();
        templates.push(Template { tag: frame.tag.to_owned(), identifiers: identifiers(&body), body });
    })?;
    reader.finish().map(|()| templates)
}

fn identifiers(body: &[u8]) -> Vec<Identifier> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < body.len() {
        let length = body[at..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        // After a backslash the word's first letter is an escape.
        if at == 0 || body[at - 1] != b'\\' {
            found.extend(identifier(&body[at..at + length], at));
        }
        at += length.max(1);
    }
    found
}

fn identifier(word: &[u8], at: usize) -> Option<Identifier> {
    let all = |alphabet: &[u8]| word.iter().all(|b| alphabet.contains(b));
    let has_digit = word.iter().any(u8::is_ascii_digit);
    let (keep, alphabet) = match word.len() {
        ..IDENTIFIER_BYTES_MIN => return None,
        // The first half of a number keeps its size, and a time within the same days.
        n if all(DIGITS) => (n / 2, DIGITS),
        _ if all(HEX) && has_digit => (0, HEX),
        UPPER_BYTES_MIN.. if all(UPPER) && has_digit => (UPPER_PREFIX_BYTES, UPPER),
        _ => return None,
    };
    Some(Identifier { range: at + keep..at + word.len(), alphabet })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: &str) -> String {
        let template = Template {
            tag: "t".into(),
            body: body.as_bytes().to_owned(),
            identifiers: identifiers(body.as_bytes()),
        };
        let mut out = b"before".to_vec();
        template.write(&mut Rng::with_seed(7), &mut out);
        String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
    }

    #[test]
    fn identifiers_change_and_keep_their_form() {
        let body = r#"{"a":"AKIAEXAMPLE8W3N5V1QB","b":"0e7c5b92f4a1","n":1773480416871}"#;
        let out = written(body);
        assert_ne!(out, body);
        assert_eq!(out.len(), body.len());
        assert!(out.starts_with(r#"{"a":"AKIA"#) && out.contains(r#""n":177348"#), "{out}");
        serde_json::from_str::<serde_json::Value>(&out).unwrap();
    }

    #[test]
    fn everything_else_stays() {
        for body in [
            r#"{"eventSource":"s3.amazonaws.com","s":"\b1234567 \u00fc","e":"EndOfProcessMacV15"}"#,
            "10.0.17.4 198.51.100.77 49152 443",
            "UpdateInstanceInformation deadbeefdeadbeef REST",
        ] {
            assert_eq!(written(body), body);
        }
    }

    #[test]
    fn every_sample_record_has_identifiers_enough_to_be_unique() {
        let samples = Samples::read().unwrap();
        let all = [&samples.cloudtrail, &samples.insights, &samples.vpc, &samples.s3_access, &samples.waf];
        for template in all.into_iter().chain([&samples.fdr, &samples.aidmaster]).flatten() {
            let varied: usize = template.identifiers.iter().map(|i| i.range.len()).sum();
            assert!(varied >= 16, "{}: {}", template.tag, String::from_utf8_lossy(&template.body));
        }
    }
}
