//! S3 objects, read in ranges, and their listing.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::SystemTime;

use super::client::Client;
use super::endpoint;
use super::error::Error;
use super::failure::{header, http_time};
use super::http::{Answer, Fault, append};
use super::kind::Kind;
use super::known::Known;
use super::listing::{self, ListObjects, Page};
use super::notification::{self, Notification};
use super::request::Request;
use super::s3::{self, GetObject, Head};
use super::success::Unusable;
use crate::base::buffers::Buffer;
use crate::base::limits::S3_REDIRECTS_MAX;
use crate::base::naming::is_scope;
use crate::base::runtime::clock;

/// Reads objects of any bucket, and remembers what it learns about buckets. Clones share that.
#[derive(Clone)]
pub struct S3 {
    client: Client,
    known: Arc<Known>,
    /// The caller pays for requests, which requester-pays buckets must be told.
    request_payer: bool,
}

/// The description of a fetched range; its bytes are in the caller's buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The whole object's size in bytes.
    pub total: u64,
    /// The ETag with its quotes, for the `if_match` of further ranges; empty if the server gives none.
    pub etag: String,
    /// The range covered the whole object.
    pub whole: bool,
    /// When the object was written (`Last-Modified`), if the server says.
    pub modified: Option<SystemTime>,
    /// The KMS key that it is encrypted with (`x-amz-server-side-encryption-aws-kms-key-id`), if it is. That it came
    /// shows that the identity may use the key.
    pub kms_key: Option<String>,
}

impl S3 {
    pub fn new(client: Client) -> Self {
        Self { client, known: Arc::default(), request_payer: false }
    }

    /// Sets whether the caller pays for its requests (`request_payer`).
    pub fn paid_by_caller(self, request_payer: bool) -> Self {
        Self { request_payer, ..self }
    }

    /// The request to sign.
    fn paid(&self, mut request: Request) -> Request {
        if self.request_payer {
            request.headers.push(("x-amz-request-payer", "requester".to_owned()));
        }
        request
    }

    /// Appends the range to `into`; on an error `into` is as long as before. The bucket is looked for where it was
    /// found before, else in `region_hint` if that can be a region of the client's partition, else in the client's
    /// region, then where S3 points to.
    ///
    /// A version that the policy does not allow is read by its key, if that is still the same object.
    ///
    /// Errors: [`Kind::Changed`] when `if_match` does not hold, [`Kind::InvalidRange`] when the range begins after the
    /// end (reading an empty object from 0 is not an error), [`Kind::NoSuchObject`], [`Kind::Denied`], …
    pub fn get(
        &self,
        object: &GetObject<'_>,
        region_hint: Option<&str>,
        into: &mut Buffer,
    ) -> Result<Part, Error> {
        let before = into.len();
        let mut ask = |object: &GetObject<'_>| {
            let outcome = self.by_version_or_key(object, |object| {
                self.anywhere(object.bucket, region_hint, |region| self.get_in(object, region, into))
            });
            if outcome.is_err() {
                into.truncate(before);
            }
            outcome
        };
        match ask(object) {
            Err(error) if has_refused_the_first_byte(object, &error) => match object.size {
                Some(0) => {
                    Ok(Part { total: 0, etag: String::new(), whole: true, modified: None, kms_key: None })
                }
                _ => ask(&GetObject { len: u64::MAX, ..*object }),
            },
            outcome => outcome,
        }
    }

    /// Reads a page of keys, looked for as [`S3::get`] does.
    pub fn list(&self, list: &ListObjects<'_>) -> Result<Page, Error> {
        self.anywhere(list.bucket, None, |region| {
            let request = listing::request(list, region, self.client.endpoints());
            let request = request.map_err(|nowhere| {
                Error::setup("s3:ListBucket", list.bucket, Kind::Withheld, nowhere.to_string())
            })?;
            self.client.call_and_read(&self.paid(request), |body| listing::read(list, body))
        })
    }

    /// Reads the notification configuration of a bucket, which is located as by [`S3::get`].
    pub fn notification(&self, bucket: &str) -> Result<Notification, Error> {
        self.anywhere(bucket, None, |region| {
            let request = notification::request(bucket, region, self.client.endpoints());
            let request = request.map_err(|nowhere| {
                Error::setup("s3:GetBucketNotification", bucket, Kind::Withheld, nowhere.to_string())
            })?;
            self.client.call_and_read(&self.paid(request), notification::read)
        })
    }

    /// Reads a version, which needs `s3:GetObjectVersion`, a permission that many policies lack. If it is denied, the
    /// object is read by its key alone, and the answer shows whether that is the announced one.
    fn by_version_or_key(
        &self,
        object: &GetObject<'_>,
        mut call: impl FnMut(&GetObject<'_>) -> Result<Part, Error>,
    ) -> Result<Part, Error> {
        if object.version_id.is_none() {
            return call(object);
        }
        let by_key = GetObject { by_key: true, ..*object };
        if self.known.reads_by_key(object.bucket, clock::now()) {
            let of_key = match call(&by_key) {
                Err(error) if is_denied(&error) || is_another(&error) => error,
                outcome => return outcome,
            };
            return call(object)
                .inspect(|_| self.version_was_read(object.bucket))
                .map_err(|of_version| what_to_say(of_version, of_key));
        }
        match call(object) {
            Err(of_version) if is_denied(&of_version) => call(&by_key)
                .inspect(|_| self.key_was_read(object.bucket))
                .map_err(|of_key| what_to_say(of_version, of_key)),
            outcome => outcome.inspect(|_| self.version_was_read(object.bucket)),
        }
    }

    fn version_was_read(&self, bucket: &str) {
        if self.known.versions_allowed(bucket) {
            log::info!("bucket {bucket}: object versions can be read again");
        }
    }

    /// The key was read because the version was denied.
    fn key_was_read(&self, bucket: &str) {
        if self.known.versions_denied(bucket, clock::now()) {
            let partition = endpoint::partition(self.client.region());
            log::warn!(
                "bucket {bucket}: reading object versions is not allowed, so objects are read by their keys. That \
                 fails for an object that is replaced before it is read: allow s3:GetObjectVersion on \
                 arn:{partition}:s3:::{bucket}/*"
            );
        }
    }

    /// Makes the call in the bucket's region, wherever that turns out to be.
    fn anywhere<T>(
        &self,
        bucket: &str,
        region_hint: Option<&str>,
        mut call: impl FnMut(&str) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let own = self.client.region();
        let remembered = self.known.region(bucket);
        let hint = region_hint.filter(|hint| self.may_be_asked(hint) && remembered.as_deref() != Some(hint));
        // After the client's own region there is nothing to try.
        for region in remembered.as_deref().into_iter().chain(hint).take_while(|region| *region != own) {
            match self.from(bucket, region, &mut call) {
                Err(error) if leads_elsewhere(&error) => {}
                outcome => return outcome,
            }
        }
        self.from(bucket, own, &mut call)
    }

    /// Makes the call in `region`, and where S3 points to from there. Only a success is remembered; after a failure
    /// that does not concern the object alone, the bucket's region is forgotten.
    fn from<T>(
        &self,
        bucket: &str,
        region: &str,
        call: &mut impl FnMut(&str) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut region = region.to_owned();
        let mut redirects = 0;
        loop {
            let error = match call(&region) {
                Ok(found) => {
                    if self.known.found_in(bucket, &region) && region != self.client.region() {
                        log::info!("bucket {bucket} is in {region}");
                    }
                    return Ok(found);
                }
                Err(error) => error,
            };
            match error.kind() {
                Kind::Redirect { region: Some(other) }
                    if *other != region && redirects < S3_REDIRECTS_MAX && self.may_be_asked(other) =>
                {
                    region.clone_from(other);
                    redirects += 1;
                }
                _ => {
                    if !is_of_object(&error) {
                        self.known.lost(bucket);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// The region of the call. With a custom endpoint a region is only part of the signature; servers there have names
    /// of their own.
    fn may_be_asked(&self, region: &str) -> bool {
        match self.client.endpoints().s3 {
            Some(_) => is_scope(region),
            None => endpoint::is_region_beside(region, self.client.region()),
        }
    }

    fn get_in(&self, object: &GetObject<'_>, region: &str, into: &mut Buffer) -> Result<Part, Error> {
        let request = s3::request(object, region, self.client.endpoints());
        let request = request
            .map_err(|why| Error::setup(s3::action(object), &s3::resource(object), Kind::Withheld, why))?;
        let before = into.len();
        self.client.call(&self.paid(request), |answer| {
            // An earlier attempt may have left some bytes.
            into.truncate(before);
            let head =
                s3::head(object, answer.status, &answer.headers).map_err(|unusable| match unusable {
                    Unusable::Odd(why) => Fault::transient(why),
                    foreign => Fault::from(foreign),
                })?;
            if object.is_unranged() && head.total != Some(0) {
                return Err(
                    Unusable::foreign("the object is not empty, but its first byte was refused").into()
                );
            }
            as_announced(object, &head)?;
            same_object(object, &head)?;
            let modified = header(&answer.headers, "last-modified").and_then(http_time);
            let part = read_body(&head, object.len, answer, into)?;
            s3::is_as_known(object, &part.etag, part.total)?;
            if answer.status == 200 && part.whole {
                s3::is_no_refusal(object, &part.etag, part.total, &into[before..])?;
            }
            let kms_key =
                header(&answer.headers, "x-amz-server-side-encryption-aws-kms-key-id").map(str::to_owned);
            Ok(Part { modified, kms_key, ..part })
        })
    }
}

/// True if the object has no first byte by this refusal, as only an empty one has none. If it was not announced as empty, a
/// GET without a range must confirm that: its answer has the object's ETag and version.
fn has_refused_the_first_byte(object: &GetObject<'_>, error: &Error) -> bool {
    object.start == 0 && matches!(error.kind(), Kind::InvalidRange { total: None | Some(0) })
}

/// True if the permission is missing; a wrong key or signature is another matter.
fn is_denied(error: &Error) -> bool {
    *error.kind() == Kind::Denied && error.code() == "AccessDenied"
}

/// True if the key has no object, or another one than announced.
fn is_another(error: &Error) -> bool {
    matches!(error.kind(), Kind::NoSuchObject | Kind::Withheld | Kind::InvalidRange { .. })
}

/// True if the bucket was found and the problem concerns only the object.
fn is_of_object(error: &Error) -> bool {
    use Kind::{Changed, InvalidRange, NoSuchObject, Stopped, Withheld};
    matches!(error.kind(), NoSuchObject | Changed | InvalidRange { .. } | Withheld | Stopped)
}

/// True if the bucket may be in another region: S3 gave no answer here, or one that says nothing about the bucket.
fn leads_elsewhere(error: &Error) -> bool {
    match error.kind() {
        Kind::Throttled | Kind::Skewed => false,
        Kind::Transient => error.status().is_none(),
        Kind::Denied => error.code() != "AccessDenied",
        _ => !is_of_object(error),
    }
}

/// Combines the errors of an object that could be read neither by its version nor by its key. An empty key does not
/// make the version missing.
fn what_to_say(of_version: Error, of_key: Error) -> Error {
    match of_key.kind() {
        _ if !is_denied(&of_version) => of_version,
        Kind::NoSuchObject => of_version.withheld("the object was deleted after it was announced"),
        Kind::Withheld | Kind::InvalidRange { .. } => {
            of_version.withheld("the object was replaced after it was announced")
        }
        _ => of_key,
    }
}

/// Checks that an object read by its key is the announced one: another version has a message of its own.
fn as_announced(object: &GetObject<'_>, head: &Head) -> Result<(), Fault> {
    let Some(version) = object.version_id.filter(|_| object.by_key) else { return Ok(()) };
    let etag = object.etag.map(|etag| etag.trim_matches('"')).filter(|etag| !etag.is_empty());
    let is_same = version == head.version_id || etag == Some(head.etag.trim_matches('"'));
    if is_same {
        return Ok(());
    }
    let message = format!("version {version} was announced, but the key now has another object");
    Err(Fault::new(Kind::Withheld, message))
}

/// Checks that the answer is of the object that was begun, since not every S3 server supports `If-Match`.
fn same_object(object: &GetObject<'_>, head: &Head) -> Result<(), Fault> {
    match object.if_match {
        Some(begun) if !begun.is_empty() && !head.etag.is_empty() && head.etag != begun => {
            let message = format!("the object was {begun} and is now {}", head.etag);
            Err(Fault::new(Kind::Changed, message))
        }
        _ => Ok(()),
    }
}

/// Appends the requested bytes. A body shorter than announced is an error.
fn read_body(head: &Head, len_max: u64, answer: &mut Answer, into: &mut Buffer) -> Result<Part, Fault> {
    let mut reader = answer.reader();
    let skipped = io::copy(&mut reader.by_ref().take(head.skip), &mut io::sink())?;
    let wanted = head.take.unwrap_or(len_max);
    let taken = append(&mut reader, wanted, head.take.is_some(), into)?;
    // Reading to the end returns the connection to the pool; data after a range that the server ignored is only counted
    // if nothing else gives the size.
    let rest = match head.body {
        Some(body) if skipped + taken < body && taken == wanted => 0,
        _ => io::copy(&mut reader, &mut io::sink())?,
    };
    let total = head.total.unwrap_or(skipped + taken + rest);
    let expected = head.take.unwrap_or_else(|| total.saturating_sub(head.skip).min(len_max));
    if taken != expected {
        return Err(Fault::transient(format!("the body ended after {taken} of {expected} bytes")));
    }
    Ok(Part { total, etag: head.etag.clone(), whole: taken == total, modified: None, kms_key: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::testing::{Server, Step, answer, cut_short};
    use crate::base::stop::Stop;

    const OBJECT: GetObject<'_> = GetObject {
        bucket: "logs",
        key: "a/b.gz",
        version_id: None,
        etag: None,
        by_key: false,
        start: 2,
        len: 4,
        if_match: None,
        size: None,
    };

    fn part(range: &str) -> String {
        format!("content-range: bytes {range}\r\netag: \"e\"\r\nx-amz-request-id: r\r\n")
    }

    fn get(script: Vec<Step>, object: &GetObject<'_>) -> (Result<Part, Error>, Vec<u8>, Vec<String>) {
        let server = Server::play(script);
        let s3 = S3::new(server.client(&Stop::new()));
        let mut into = Buffer::from(b"old".to_vec());
        let outcome = s3.get(object, None, &mut into);
        (outcome, into.to_vec(), server.seen().into_iter().map(|seen| seen.head).collect())
    }

    #[test]
    fn a_range_is_appended() {
        let object = GetObject { if_match: Some("\"e\""), ..OBJECT };
        let (part, into, seen) = get(vec![answer(206, &part("2-5/10"), "cdef")], &object);
        assert_eq!(
            part.unwrap(),
            Part { total: 10, etag: "\"e\"".into(), whole: false, modified: None, kms_key: None }
        );
        assert_eq!(into, b"oldcdef");
        assert!(seen[0].starts_with("GET /logs/a/b.gz HTTP/1.1\r\n"), "{}", seen[0]);
        for header in ["range: bytes=2-5\r\n", "if-match: \"e\"\r\n", "x-amz-content-sha256: e3b0c442"] {
            assert!(seen[0].contains(header), "{header} in {}", seen[0]);
        }
    }

    #[test]
    fn the_caller_pays_where_it_is_told_to() {
        for pays in [true, false] {
            let server = Server::play(vec![
                answer(206, &part("2-5/10"), "cdef"),
                answer(200, "", "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"),
            ]);
            let s3 = S3::new(server.client(&Stop::new())).paid_by_caller(pays);
            s3.get(&OBJECT, None, &mut Buffer::default()).unwrap();
            s3.list(&ListObjects { bucket: "logs", prefix: "", start_after: "" }).unwrap();
            for seen in server.seen() {
                assert_eq!(seen.head.contains("x-amz-request-payer: requester\r\n"), pays, "{}", seen.head);
                assert_eq!(seen.head.contains(";x-amz-request-payer"), pays, "it is signed: {}", seen.head);
            }
        }
    }

    #[test]
    fn an_error_document_is_not_taken_for_the_object() {
        const ERROR: &str =
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InternalError</Code></Error>";
        let head = "etag: \"x\"\r\nx-amz-request-id: r\r\n";
        let object = GetObject { start: 0, len: 1000, size: Some(31), etag: Some("e"), ..OBJECT };
        let read = |object: &GetObject<'_>, body: &str| {
            let (part, into, _) = get(vec![answer(200, head, body)], object);
            part.map(|_| String::from_utf8(into).unwrap())
        };
        for object in [object, GetObject { size: None, ..object }, GetObject { etag: None, ..object }] {
            assert_eq!(*read(&object, ERROR).unwrap_err().kind(), Kind::Foreign);
        }
        // It is what was announced, or nothing was, or it is another document.
        let same = GetObject { size: Some(ERROR.len() as u64), etag: Some("x"), ..object };
        let unknown = GetObject { size: None, etag: None, ..object };
        for (object, body) in [
            (same, ERROR),
            (unknown, ERROR),
            (object, "<Error>x</Error>"),
            (object, "<Events><Error><Code>1</Code></Error></Events>"),
        ] {
            assert_eq!(read(&object, body).unwrap(), format!("old{body}"));
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
        assert!(error.to_string().contains("5 attempts"), "{error}");
    }

    #[test]
    fn a_server_without_ranges_gives_the_same_bytes() {
        let (part, into, _) =
            get(vec![answer(200, "etag: \"e\"\r\nx-amz-request-id: r\r\n", "abcdefghij")], &OBJECT);
        assert_eq!(
            part.unwrap(),
            Part { total: 10, etag: "\"e\"".into(), whole: false, modified: None, kms_key: None }
        );
        assert_eq!(into, b"oldcdef");
        let chunked =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\netag: e\r\nx-amz-id-2: i\r\n\r\n5\r\nabcde\r\n5\r\nfghij\r\n0\r\n\r\n";
        let (part, into, _) = get(vec![Step::Answer(chunked.to_vec())], &OBJECT);
        assert_eq!((part.unwrap().total, into.as_slice()), (10, b"oldcdef".as_slice()));
    }

    #[test]
    fn a_whole_object_in_one_range() {
        let object = GetObject { start: 0, len: 100, ..OBJECT };
        let (part, into, _) = get(
            vec![answer(206, "content-range: bytes 0-2/3\r\netag: \"e\"\r\nx-amz-id-2: i\r\n", "abc")],
            &object,
        );
        assert_eq!(
            part.unwrap(),
            Part { total: 3, etag: "\"e\"".into(), whole: true, modified: None, kms_key: None }
        );
        assert_eq!(into, b"oldabc");
        let empty = answer(416, "content-range: bytes */0\r\n", "<Error><Code>InvalidRange</Code></Error>");
        let (part, into, _) = get(vec![empty], &GetObject { size: Some(0), ..object });
        assert_eq!(
            part.unwrap(),
            Part { total: 0, etag: String::new(), whole: true, modified: None, kms_key: None }
        );
        assert_eq!(into, b"old");
    }

    /// A portal's page with status 200 would be delivered as the object, and an empty 416 as an empty one.
    #[test]
    fn an_answer_that_is_not_s3_s_is_no_object() {
        let object = GetObject { start: 0, len: 100, ..OBJECT };
        let page = |status, headers: &str| answer(status, headers, "<html>welcome</html>");
        let html = "content-type: text/html\r\n";
        let ranged = "content-range: bytes */0\r\n";
        let pages = [
            page(200, html),
            page(206, "content-type: text/html\r\ncontent-range: bytes 0-19/20\r\n"),
            page(404, html),
            page(416, ranged),
        ];
        for page in pages {
            let (part, into, _) = get(vec![page], &object);
            let error = part.unwrap_err();
            assert_eq!((error.kind(), into.as_slice()), (&Kind::Foreign, b"old".as_slice()), "{error}");
            assert!(error.to_string().contains("right endpoint"), "{error}");
        }
        let body = "<Error><Code>InvalidRange</Code><ActualObjectSize>7</ActualObjectSize></Error>";
        let (part, ..) = get(vec![answer(416, "", body)], &object);
        assert_eq!(part.unwrap_err().kind(), &Kind::InvalidRange { total: Some(7) });
    }

    /// Some messages invent a size, and some servers refuse the first byte without saying that the object is empty.
    #[test]
    fn an_object_without_bytes_is_empty_whatever_was_announced() {
        let nothing = Some("d41d8cd98f00b204e9800998ecf8427e");
        let object = GetObject { start: 0, len: 100, size: Some(1024), etag: nothing, ..OBJECT };
        let refused = || answer(416, "", "<Error><Code>InvalidRange</Code></Error>");
        let head = "etag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\nx-amz-request-id: r\r\n";
        let (part, into, _) = get(vec![refused(), answer(200, head, "")], &object);
        assert_eq!((part.unwrap().total, into.as_slice()), (0, b"old".as_slice()));
        let (part, into, _) = get(vec![answer(200, head, "")], &object);
        assert_eq!((part.unwrap().total, into.as_slice()), (0, b"old".as_slice()));
        for answers in [vec![refused(), answer(200, head, "abc")], vec![answer(200, head, "abc")]] {
            let (part, into, _) = get(answers, &object);
            assert_eq!((part.unwrap_err().kind(), into.as_slice()), (&Kind::Foreign, b"old".as_slice()));
        }
    }

    /// The notification says ETag `e` and 10 bytes. Each answer brings less of it, or other bytes, as a success.
    #[test]
    fn an_answer_that_contradicts_what_is_known_is_no_object() {
        let object = GetObject { start: 0, len: 100, etag: Some("e"), size: Some(10), ..OBJECT };
        let whole = "etag: \"e\"\r\nx-amz-request-id: r\r\n";
        let chunked =
            format!("HTTP/1.1 200 OK\r\n{whole}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        let endless = format!("HTTP/1.1 200 OK\r\n{whole}connection: close\r\n\r\nabc");
        let unmarked = "etag: \"web\"\r\n";
        let wrong = [
            answer(206, &part("0-4/5"), "abcde"),
            answer(200, whole, "abcde"),
            answer(200, whole, ""),
            answer(200, "content-type: application/octet-stream\r\n", ""),
            answer(200, "content-type: application/json\r\n", "{\"status\":\"ok\"}\n"),
            answer(200, unmarked, "abcdefghij"),
            Step::Answer(chunked.into_bytes()),
            Step::Answer(endless.into_bytes()),
        ];
        for (at, wrong) in wrong.into_iter().enumerate() {
            let (outcome, into, _) = get(vec![wrong], &object);
            let error = outcome.expect_err(&at.to_string());
            assert_eq!((error.kind(), into.as_slice()), (&Kind::Foreign, b"old".as_slice()), "{at}: {error}");
        }
        let unsaid = answer(416, "", "<Error><Code>InvalidRange</Code></Error>");
        assert!(get(vec![unsaid], &object).0.is_err(), "it was announced with bytes");
        let said = "<Error><Code>InvalidRange</Code><ActualObjectSize>0</ActualObjectSize></Error>";
        let empty = "etag: \"d41d8cd98f00b204e9800998ecf8427e\"\r\nx-amz-request-id: r\r\n";
        let answers = vec![answer(416, "", said), answer(200, empty, "")];
        assert_eq!(get(answers, &object).0.unwrap().total, 0, "it was replaced");
        let answers = vec![answer(416, "", said), answer(200, whole, "")];
        assert_eq!(get(answers, &object).0.unwrap_err().kind(), &Kind::Foreign, "it was not replaced");
        let length = "transfer-encoding: chunked\r\ncontent-length: 3\r\n";
        let twice = format!("HTTP/1.1 200 OK\r\n{whole}{length}\r\n3\r\nabc\r\n0\r\n\r\n");
        let unannounced = GetObject { start: 0, len: 100, ..OBJECT };
        let (outcome, into, _) = get(vec![Step::Answer(twice.into_bytes())], &unannounced);
        assert!(outcome.is_err() && into == b"old", "it says in two ways where it ends");
        // A further range of a started object.
        let begun = GetObject { start: 5, if_match: Some("\"e\""), ..object };
        let (outcome, ..) = get(vec![answer(206, &part("5-6/7"), "fg")], &begun);
        assert_eq!(outcome.unwrap_err().kind(), &Kind::Foreign);
        let (outcome, ..) = get(vec![answer(206, &part("5-9/10"), "fghij")], &begun);
        assert!(outcome.is_ok());
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
        assert!(
            get(vec![answer(206, &part("2-5/10"), "cdef")], &begun_as("")).0.is_ok(),
            "nothing to compare"
        );
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
        let mut into = Buffer::default();
        s3.get(&OBJECT, None, &mut into).unwrap();
        s3.get(&OBJECT, Some("us-east-2"), &mut into).unwrap();
        let regions = ["us-east-1", "eu-west-1", "eu-west-1"];
        for (seen, region) in server.seen().iter().zip(regions) {
            assert!(seen.head.contains(&format!("/{region}/s3/aws4_request")), "{region}: {}", seen.head);
        }
    }

    const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";

    fn denied() -> Step {
        answer(403, "", DENIED)
    }

    fn versioned(range: &str, etag: &str, version: &str) -> Step {
        let headers =
            format!("content-range: bytes {range}\r\netag: \"{etag}\"\r\nx-amz-version-id: {version}\r\n");
        answer(206, &headers, "cdef")
    }

    const VERSION: GetObject<'_> = GetObject { version_id: Some("v1"), etag: Some("e"), ..OBJECT };

    /// Reads an object as often as the script says; returns each outcome and each requested path.
    fn reads(script: Vec<Step>, objects: &[GetObject<'_>]) -> (Vec<Result<Part, Error>>, Vec<String>) {
        let server = Server::play(script);
        let s3 = S3::new(server.client(&Stop::new()));
        let outcomes = objects.iter().map(|object| s3.get(object, None, &mut Buffer::default())).collect();
        let path = |head: &str| head.split(' ').nth(1).unwrap_or_default().to_owned();
        (outcomes, server.seen().iter().map(|seen| path(&seen.head)).collect())
    }

    const BY_VERSION: &str = "/logs/a/b.gz?versionId=v1";
    const BY_KEY: &str = "/logs/a/b.gz";

    #[test]
    fn a_version_that_must_not_be_read_is_read_by_its_key() {
        let script = vec![denied(), versioned("2-5/10", "e", "v1"), versioned("2-5/10", "e", "v1")];
        let (outcomes, asked) = reads(script, &[VERSION, VERSION]);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        assert_eq!(asked, [BY_VERSION, BY_KEY, BY_KEY], "remembered for the bucket");
    }

    /// Its version id or its ETag proves that it is the same; without either it is not believed.
    #[test]
    fn what_is_read_by_its_key_must_be_what_was_announced() {
        let without_etag = GetObject { etag: None, ..VERSION };
        let rows = [
            (VERSION, versioned("2-5/10", "e", "v1"), true),
            (VERSION, versioned("2-5/10", "e", "v2"), true),
            (VERSION, versioned("2-5/10", "other", "v2"), false),
            (without_etag, versioned("2-5/10", "other", "v1"), true),
            (without_etag, versioned("2-5/10", "e", "v2"), false),
            (VERSION, answer(404, "", "<Error><Code>NoSuchKey</Code></Error>"), false),
            (VERSION, answer(416, "", "<Error><Code>InvalidRange</Code></Error>"), false),
        ];
        for (object, of_key, is_read) in rows {
            let (outcomes, _) = reads(vec![denied(), of_key], &[object]);
            let Err(error) = &outcomes[0] else {
                assert!(is_read);
                continue;
            };
            assert_eq!((error.kind(), is_read), (&Kind::Withheld, false), "{error}");
            assert!(error.to_string().contains("Allow s3:GetObjectVersion"), "{error}");
        }
        // An empty object under the key is not the announced one either.
        let from_the_start = GetObject { start: 0, ..VERSION };
        let empty = answer(416, "", "<Error><Code>InvalidRange</Code></Error>");
        let (outcomes, _) = reads(vec![denied(), empty], &[from_the_start]);
        assert_eq!(outcomes[0].as_ref().unwrap_err().kind(), &Kind::Withheld);
    }

    #[test]
    fn a_403_that_has_nothing_to_do_with_versions_is_reported_as_it_is() {
        let of_kms = "<Error><Code>AccessDenied</Code><Message>not authorized to perform: kms:Decrypt</Message></Error>";
        let (outcomes, asked) = reads(vec![denied(), answer(403, "", of_kms)], &[VERSION]);
        let text = outcomes[0].as_ref().unwrap_err().to_string();
        assert!(
            text.contains("s3:GetObject s3://") && text.contains("not authorized to perform: kms"),
            "{text}"
        );
        assert_eq!(asked, [BY_VERSION, BY_KEY]);
        for code in ["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidObjectState", "AllAccessDisabled"]
        {
            let refused = answer(403, "", format!("<Error><Code>{code}</Code></Error>"));
            let (outcomes, asked) = reads(vec![refused], &[VERSION]);
            assert_eq!((outcomes[0].as_ref().unwrap_err().code(), asked.len()), (code, 1));
        }
    }

    /// Nothing about a bucket is cached for longer than it is true.
    #[test]
    fn a_version_is_asked_for_again_where_the_key_does_not_have_it() {
        let no_version = answer(404, "", "<Error><Code>NoSuchVersion</Code></Error>");
        let script = vec![
            denied(),
            versioned("2-5/10", "e", "v1"),
            // Replaced, and versions may be read meanwhile.
            versioned("2-5/10", "other", "v2"),
            versioned("2-5/10", "e", "v1"),
            no_version,
        ];
        let (outcomes, asked) = reads(script, &[VERSION, VERSION, VERSION]);
        assert!(outcomes[0].is_ok() && outcomes[1].is_ok());
        assert_eq!(
            outcomes[2].as_ref().unwrap_err().kind(),
            &Kind::NoSuchObject,
            "S3 says it of the version"
        );
        assert_eq!(asked, [BY_VERSION, BY_KEY, BY_KEY, BY_VERSION, BY_VERSION]);
    }

    #[test]
    fn a_region_that_failed_is_forgotten() {
        let to = |region: &str| answer(301, &format!("x-amz-bucket-region: {region}\r\n"), "");
        let script = vec![
            to("eu-west-1"),
            answer(206, &part("2-5/10"), "cdef"),
            // The bucket has moved.
            answer(404, "", "<Error><Code>NoSuchBucket</Code></Error>"),
            answer(206, &part("2-5/10"), "cdef"),
            answer(206, &part("2-5/10"), "cdef"),
        ];
        let server = Server::play(script);
        let s3 = S3::new(server.client(&Stop::new()));
        for _ in 0..3 {
            s3.get(&OBJECT, None, &mut Buffer::default()).unwrap();
        }
        let regions = ["us-east-1", "eu-west-1", "eu-west-1", "us-east-1", "us-east-1"];
        for (seen, region) in server.seen().iter().zip(regions) {
            assert!(seen.head.contains(&format!("/{region}/s3/aws4_request")), "{region}: {}", seen.head);
        }
    }

    #[test]
    fn a_redirect_that_leads_to_a_failure_is_not_remembered() {
        let to = |region: &str| answer(301, &format!("x-amz-bucket-region: {region}\r\n"), "");
        let script = vec![to("eu-west-1"), denied(), answer(206, &part("2-5/10"), "cdef")];
        let server = Server::play(script);
        let s3 = S3::new(server.client(&Stop::new()));
        assert_eq!(s3.get(&OBJECT, None, &mut Buffer::default()).unwrap_err().kind(), &Kind::Denied);
        s3.get(&OBJECT, None, &mut Buffer::default()).unwrap();
        assert!(server.seen()[2].head.contains("/us-east-1/s3/aws4_request"));
    }

    #[test]
    fn only_a_region_of_the_client_s_partition_is_asked() {
        let provider = crate::aws::Provider::fixed(crate::aws::testing::key("AKIATESTTESTTEST0001"));
        let http = crate::aws::Http::with(1, crate::aws::proxy::Proxies::default(), None).unwrap();
        let client =
            Client::with(&http, provider, "us-east-1", crate::settings::Endpoints::default(), &Stop::new());
        let s3 = S3::new(client);
        assert!(s3.may_be_asked("eu-west-1"));
        for region in [
            "attacker.example/",
            "cn-north-1",
            "us-gov-west-1",
            "",
            "us-east-1.evil",
            "eu-west-1?",
            "localhost",
            "a b",
        ] {
            assert!(!s3.may_be_asked(region), "{region:?}");
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
