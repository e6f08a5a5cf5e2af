//! S3 objects, in ranges; and their listing.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, PoisonError, RwLock};

use super::client::Client;
use super::error::{Error, Kind};
use super::http::{Answer, Fault};
use super::listing::{self, ListObjects, Page};
use super::s3::{self, GetObject, Head};
use crate::limits::{READ_BYTES, S3_REDIRECTS_MAX};

/// Reads objects of any bucket; remembers in which region a bucket turned out to be. Clones share that.
#[derive(Clone)]
pub struct S3 {
    client: Client,
    regions: Arc<RwLock<HashMap<String, String>>>,
}

/// What a range turned out to be; its bytes are in the caller's buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The whole object's size in bytes.
    pub total: u64,
    /// For the `if_match` of further ranges, with its quotes; empty when the server gives none.
    pub etag: String,
    /// The range was the object, first byte to last.
    pub whole: bool,
}

impl S3 {
    pub fn new(client: Client) -> Self {
        Self { client, regions: Arc::default() }
    }

    /// Appends the range to `into`; on an error `into` is as long as before. The bucket is looked for where it
    /// was found before, else in `region_hint`, else in the client's region, then where S3 points to.
    ///
    /// Errors: [`Kind::Changed`] when `if_match` does not hold, [`Kind::InvalidRange`] when the range begins
    /// behind the end (an empty object read from 0 is no error), [`Kind::NotFound`], [`Kind::Denied`], …
    pub fn get(
        &self,
        object: &GetObject<'_>,
        region_hint: Option<&str>,
        into: &mut Vec<u8>,
    ) -> Result<Part, Error> {
        let before = into.len();
        let outcome = self.anywhere(object.bucket, region_hint, |region| self.get_in(object, region, into));
        if outcome.is_err() {
            into.truncate(before);
        }
        match outcome {
            // Any object with a first byte has the range from 0.
            Err(error) if matches!(error.kind(), Kind::InvalidRange { .. }) && object.start == 0 => {
                Ok(Part { total: 0, etag: String::new(), whole: true })
            }
            outcome => outcome,
        }
    }

    /// A page of keys, looked for as [`S3::get`] does.
    pub fn list(&self, list: &ListObjects<'_>) -> Result<Page, Error> {
        self.anywhere(list.bucket, None, |region| {
            let request = listing::request(list, region, self.client.endpoints().s3.as_deref());
            self.client.call_and_parse(&request, |body| listing::read(list, body))
        })
    }

    /// Makes the call in the bucket's region, wherever that turns out to be.
    fn anywhere<T>(
        &self,
        bucket: &str,
        region_hint: Option<&str>,
        mut call: impl FnMut(&str) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let hint = region_hint.filter(|hint| !hint.is_empty()).map(str::to_owned);
        let mut region = self.remembered(bucket).or(hint).unwrap_or_else(|| self.client.region().to_owned());
        let mut redirects = 0;
        loop {
            let error = match call(&region) {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            match error.kind() {
                Kind::Redirect { region: Some(other) }
                    if *other != region && redirects < S3_REDIRECTS_MAX =>
                {
                    log::info!(cause = bucket; "bucket {bucket} is in {other}, not in {region}");
                    region.clone_from(other);
                    redirects += 1;
                    self.remember(bucket, other);
                }
                _ => return Err(error),
            }
        }
    }

    fn get_in(&self, object: &GetObject<'_>, region: &str, into: &mut Vec<u8>) -> Result<Part, Error> {
        let request = s3::request(object, region, self.client.endpoints().s3.as_deref());
        let before = into.len();
        self.client.call(&request, |answer| {
            // An earlier try may have left some bytes.
            into.truncate(before);
            let head = s3::head(object, answer.status, &answer.headers).map_err(Fault::transient)?;
            same_object(object, &head)?;
            read_body(&head, object.len, answer, into)
        })
    }

    fn remembered(&self, bucket: &str) -> Option<String> {
        self.regions.read().unwrap_or_else(PoisonError::into_inner).get(bucket).cloned()
    }

    fn remember(&self, bucket: &str, region: &str) {
        let mut regions = self.regions.write().unwrap_or_else(PoisonError::into_inner);
        regions.insert(bucket.to_owned(), region.to_owned());
    }
}

/// Not every server that speaks S3 knows `If-Match`: what comes must be of the object that was begun.
fn same_object(object: &GetObject<'_>, head: &Head) -> Result<(), Fault> {
    match object.if_match {
        Some(begun) if !begun.is_empty() && !head.etag.is_empty() && head.etag != begun => {
            let message = format!("the object was {begun} and is {} now", head.etag);
            Err(Fault { kind: Kind::Changed, message })
        }
        _ => Ok(()),
    }
}

/// Appends what was asked for. A body shorter than announced is a fault.
fn read_body(head: &Head, len_max: u64, answer: &mut Answer, into: &mut Vec<u8>) -> Result<Part, Fault> {
    let mut reader = answer.reader();
    let skipped = io::copy(&mut reader.by_ref().take(head.skip), &mut io::sink())?;
    let wanted = head.take.unwrap_or(len_max);
    let taken = append(&mut reader, wanted, into)?;
    // Reading up to the end gives the connection back to the pool; what lies behind a range that the server
    // ignored is only counted when nothing else tells the size.
    let rest = match head.body {
        Some(body) if skipped + taken < body && taken == wanted => 0,
        _ => io::copy(&mut reader, &mut io::sink())?,
    };
    let total = head.total.unwrap_or(skipped + taken + rest);
    let expected = head.take.unwrap_or_else(|| total.saturating_sub(head.skip).min(len_max));
    if taken != expected {
        return Err(Fault::transient(format!("the body ended after {taken} of {expected} bytes")));
    }
    Ok(Part { total, etag: head.etag.clone(), whole: taken == total })
}

/// Appends up to `wanted` bytes, straight from the connection's buffer; says how many came.
fn append(reader: &mut impl Read, wanted: u64, into: &mut Vec<u8>) -> Result<u64, Fault> {
    let before = into.len();
    let room = usize::try_from(wanted).map_err(|_| Fault::transient("a range larger than the memory"))?;
    into.try_reserve_exact(room).map_err(|error| Fault::transient(error.to_string()))?;
    let (mut filled, end) = (before, before + room);
    while filled < end {
        // In pieces: what is cleared is overwritten while it is in the cache.
        into.resize(end.min(filled + READ_BYTES), 0);
        match reader.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                into.truncate(filled);
                return Err(Fault::from(error));
            }
        }
    }
    into.truncate(filled);
    Ok((filled - before) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::testing::{Server, Step, answer, cut_short};
    use crate::stop::Stop;

    const OBJECT: GetObject<'_> =
        GetObject { bucket: "logs", key: "a/b.gz", version_id: None, start: 2, len: 4, if_match: None };

    fn part(range: &str) -> String {
        format!("content-range: bytes {range}\r\netag: \"e\"\r\n")
    }

    fn get(script: Vec<Step>, object: &GetObject<'_>) -> (Result<Part, Error>, Vec<u8>, Vec<String>) {
        let server = Server::play(script);
        let s3 = S3::new(server.client(&Stop::new()));
        let mut into = b"old".to_vec();
        let outcome = s3.get(object, None, &mut into);
        (outcome, into, server.seen().into_iter().map(|seen| seen.head).collect())
    }

    #[test]
    fn a_range_is_appended() {
        let object = GetObject { if_match: Some("\"e\""), ..OBJECT };
        let (part, into, seen) = get(vec![answer(206, &part("2-5/10"), "cdef")], &object);
        assert_eq!(part.unwrap(), Part { total: 10, etag: "\"e\"".into(), whole: false });
        assert_eq!(into, b"oldcdef");
        assert!(seen[0].starts_with("GET /logs/a/b.gz HTTP/1.1\r\n"), "{}", seen[0]);
        for header in ["range: bytes=2-5\r\n", "if-match: \"e\"\r\n", "x-amz-content-sha256: e3b0c442"] {
            assert!(seen[0].contains(header), "{header} in {}", seen[0]);
        }
    }

    #[test]
    fn faults_are_tried_again_from_the_first_byte() {
        let script = vec![
            cut_short(206, &part("2-5/10"), b"cX", 4),
            Step::Reset,
            answer(503, "retry-after: 0\r\n", "<Error><Code>SlowDown</Code></Error>"),
            Step::Answer(b"HTTP/1.1 2".to_vec()),
            answer(206, &part("2-5/10"), "cdef"),
        ];
        let (part, into, seen) = get(script, &OBJECT);
        assert_eq!((part.unwrap().total, into.as_slice(), seen.len()), (10, b"oldcdef".as_slice(), 5));
    }

    #[test]
    fn the_last_failure_leaves_the_buffer_as_it_was() {
        let script = (0..5).map(|_| cut_short(206, &part("2-5/10"), b"cX", 4)).collect();
        let (part, into, _) = get(script, &OBJECT);
        let error = part.unwrap_err();
        assert_eq!((error.kind(), into.as_slice()), (&Kind::Transient, b"old".as_slice()));
        assert!(error.to_string().contains("5 tries"), "{error}");
    }

    #[test]
    fn a_server_without_ranges_gives_the_same_bytes() {
        let (part, into, _) = get(vec![answer(200, "etag: \"e\"\r\n", "abcdefghij")], &OBJECT);
        assert_eq!(part.unwrap(), Part { total: 10, etag: "\"e\"".into(), whole: false });
        assert_eq!(into, b"oldcdef");
        let chunked =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\nfghij\r\n0\r\n\r\n";
        let (part, into, _) = get(vec![Step::Answer(chunked.to_vec())], &OBJECT);
        assert_eq!((part.unwrap().total, into.as_slice()), (10, b"oldcdef".as_slice()));
    }

    #[test]
    fn a_whole_object_in_one_range() {
        let object = GetObject { start: 0, len: 100, ..OBJECT };
        let (part, into, _) = get(vec![answer(206, "content-range: bytes 0-2/3\r\n", "abc")], &object);
        assert_eq!(part.unwrap(), Part { total: 3, etag: String::new(), whole: true });
        assert_eq!(into, b"oldabc");
        let empty = answer(416, "content-range: bytes */0\r\n", "<Error><Code>InvalidRange</Code></Error>");
        let (part, into, _) = get(vec![empty], &object);
        assert_eq!(part.unwrap(), Part { total: 0, etag: String::new(), whole: true });
        assert_eq!(into, b"old");
    }

    #[test]
    fn a_range_behind_the_end_and_a_replaced_object() {
        let behind = answer(416, "content-range: bytes */2\r\n", "<Error><Code>InvalidRange</Code></Error>");
        let (part, ..) = get(vec![behind], &OBJECT);
        assert_eq!(part.unwrap_err().kind(), &Kind::InvalidRange { total: Some(2) });
        let (part, ..) =
            get(vec![answer(412, "", "<Error><Code>PreconditionFailed</Code></Error>")], &OBJECT);
        assert_eq!(part.unwrap_err().kind(), &Kind::Changed);
    }

    #[test]
    fn a_replaced_object_is_noticed_where_the_server_does_not_look() {
        let begun_as = |etag| GetObject { if_match: Some(etag), ..OBJECT };
        let (outcome, into, seen) = get(vec![answer(206, &part("2-5/10"), "cdef")], &begun_as("\"old\""));
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), into.as_slice(), seen.len()), (&Kind::Changed, b"old".as_slice(), 1));
        assert!(error.to_string().contains("\"old\"") && error.to_string().contains("\"e\""), "{error}");
        let nothing_to_compare = [("\"old\"", "content-range: bytes 2-5/10\r\n"), ("", &part("2-5/10"))];
        for (etag, head) in nothing_to_compare {
            assert!(get(vec![answer(206, head, "cdef")], &begun_as(etag)).0.is_ok());
        }
    }

    #[test]
    fn a_bucket_s_region_is_found_and_remembered() {
        let there = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-1</Region></Error>";
        let server = Server::play(vec![
            answer(400, "", there),
            answer(206, &part("2-5/10"), "cdef"),
            answer(206, &part("2-5/10"), "cdef"),
        ]);
        let s3 = S3::new(server.client(&Stop::new()));
        let mut into = Vec::new();
        s3.get(&OBJECT, None, &mut into).unwrap();
        s3.get(&OBJECT, Some("us-east-2"), &mut into).unwrap();
        let regions = ["us-east-1", "eu-west-1", "eu-west-1"];
        for (seen, region) in server.seen().iter().zip(regions) {
            assert!(seen.head.contains(&format!("/{region}/s3/aws4_request")), "{region}: {}", seen.head);
        }
    }

    #[test]
    fn redirects_in_a_circle_end() {
        let to = |region: &str| answer(301, &format!("x-amz-bucket-region: {region}\r\n"), "");
        let (part, _, seen) = get(vec![to("eu-west-1"), to("us-east-1"), to("eu-west-1")], &OBJECT);
        assert!(matches!(part.unwrap_err().kind(), Kind::Redirect { .. }));
        assert_eq!(seen.len(), 3);
    }
}
