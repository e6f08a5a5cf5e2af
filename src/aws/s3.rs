//! GetObject as bytes: the request, and the answer's head. Pure.
//!
//! Format: "GetObject" of the Amazon S3 API reference; ranges by RFC 9110, section 14.

use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::endpoint::{self, Located};
use super::failure::header;
use super::request::Request;
use super::success::{Unusable, bears_mark};
use crate::base::limits::AWS_RESPONSE_TIMEOUT;
use crate::base::naming::is_key;
use crate::settings::Endpoints;

/// The range to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GetObject<'a> {
    pub bucket: &'a str,
    /// The key as named, not encoded.
    pub key: &'a str,
    pub version_id: Option<&'a str>,
    /// The ETag in its notification, without quotes.
    pub etag: Option<&'a str>,
    /// Request the key alone; the answer must then be the announced version, by its version id or ETag.
    pub by_key: bool,
    /// First byte.
    pub start: u64,
    /// Number of bytes, at least 1; the object may end before.
    pub len: u64,
    /// The ETag of an earlier range, with its quotes: fail if the object has been replaced.
    pub if_match: Option<&'a str>,
    /// The size of the object with the known ETag, from its notification or an earlier range. 0 if unknown.
    pub size: Option<u64>,
}

impl<'a> GetObject<'a> {
    /// The version to request.
    fn asked_version(&self) -> Option<&'a str> {
        self.version_id.filter(|_| !self.by_key)
    }

    /// The whole object, without a range.
    pub(super) fn is_unranged(&self) -> bool {
        self.start == 0 && self.len == u64::MAX
    }

    /// Its known ETag, without quotes.
    fn known_etag(&self) -> Option<&'a str> {
        let etag = self.if_match.filter(|etag| !etag.is_empty()).or(self.etag)?.trim_matches('"');
        (!etag.is_empty()).then_some(etag)
    }
}

/// Builds the request for `get` in `region`.
///
/// # Errors
/// If a bucket, a region or an object cannot have this name.
pub fn request(get: &GetObject<'_>, region: &str, endpoints: &Endpoints) -> Result<Request, String> {
    let Located { endpoint, path, region } =
        endpoint::bucket(region, get.bucket, endpoints).map_err(|nowhere| nowhere.to_string())?;
    if !is_key(get.key) {
        return Err("no object can have this key".to_owned());
    }
    let last = get.start.saturating_add(get.len.saturating_sub(1));
    let range = (!get.is_unranged()).then(|| ("range", format!("bytes={}-{last}", get.start)));
    let mut headers: Vec<_> = range.into_iter().collect();
    // A server without ETags leaves nothing to compare.
    let if_match = get.if_match.filter(|etag| !etag.is_empty());
    headers.extend(if_match.map(|etag| ("if-match", etag.to_owned())));
    let version = get.asked_version();
    Ok(Request {
        action: action(get),
        resource: resource(get),
        service: "s3",
        region,
        method: "GET",
        endpoint,
        path: format!("{path}/{}", encoded_key(get.key)),
        query: version.map(|id| format!("versionId={}", encoded(id))).unwrap_or_default(),
        headers,
        body: Vec::new(),
        response_timeout: AWS_RESPONSE_TIMEOUT,
        time_limit: None,
    })
}

/// The call as in a policy.
pub fn action(get: &GetObject<'_>) -> &'static str {
    if get.asked_version().is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" }
}

/// The object, in words for people.
pub fn resource(get: &GetObject<'_>) -> String {
    format!("s3://{}/{}", get.bucket, get.key)
}

/// Encodes each byte except the unreserved ones and `/` as `%XX`: nothing is normalized, so `..`, `//` and a leading
/// `/` reach S3 unchanged.
pub fn encoded_key(key: &str) -> String {
    utf8_percent_encode(key, &KEY).to_string()
}

/// Encodes each byte except the unreserved ones as `%XX`, for queries.
pub fn encoded(value: &str) -> String {
    utf8_percent_encode(value, &UNRESERVED).to_string()
}

/// RFC 3986's unreserved characters are not encoded, as SigV4 requires.
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const KEY: AsciiSet = UNRESERVED.remove(b'/');

/// The head of a successful answer (200 or 206), checked against the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// With its quotes.
    pub etag: String,
    /// Empty if the bucket is not versioned.
    pub version_id: String,
    /// The whole object's size; None if the server ignores ranges and does not announce a length.
    pub total: Option<u64>,
    /// Bytes of the body before the first requested one: not 0 only if the server ignored the range.
    pub skip: u64,
    /// Bytes of the body that were requested and exist.
    pub take: Option<u64>,
    /// Length of the whole body.
    pub body: Option<u64>,
}

/// Checks that a success is S3's. S3, and every server that stands in for it, sends the object's ETag; a web server may
/// do so too, for its own page, but then it has no Amazon header, not the known ETag, and not the requested range.
fn is_of_s3(get: &GetObject<'_>, status: u16, headers: &HeaderMap) -> Result<(), Unusable> {
    let etag = header(headers, "etag").map(|etag| etag.trim_matches('"')).filter(|etag| !etag.is_empty());
    let is_known = etag.is_some() && etag == get.known_etag();
    let why = match etag {
        None => "it has no ETag",
        Some(_) if !is_known && !bears_mark(headers) && !is_range(get, status, headers) => {
            "it has neither an x-amz- header, nor the object's ETag, nor the requested range of an object of this size"
        }
        Some(_) if status == 200 && !says_its_end(headers) => "it does not say where it ends",
        // S3 has no range of an empty object: it answers 416.
        // An empty one with another ETag than announced has replaced it.
        Some(etag)
            if etag != ETAG_OF_NOTHING
                && is_empty(status, headers)
                && get.size > Some(0)
                && get.known_etag().is_none_or(|known| known == etag) =>
        {
            "it is empty, but the object was announced with a size"
        }
        Some(_) => return Ok(()),
    };
    Err(Unusable::foreign(format!("HTTP {status}: {why}")))
}

/// Returns true for the requested range of an object that has the announced size, as plain web servers that hold the
/// objects send it. An HTML page does not count, because a proxy may serve its page in ranges.
fn is_range(get: &GetObject<'_>, status: u16, headers: &HeaderMap) -> bool {
    let is_page = header(headers, "content-type")
        .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"));
    let range =
        header(headers, "content-range").and_then(content_range).filter(|_| status == 206 && !is_page);
    range.is_some_and(|(first, _, total)| {
        first == get.start && get.size.is_none_or(|size| size == 0 || size == total)
    })
}

/// A body that ends with its connection may have been truncated anywhere.
fn says_its_end(headers: &HeaderMap) -> bool {
    let is_chunked = |coding: &str| coding.to_ascii_lowercase().contains("chunked");
    header(headers, "content-length").is_some()
        || header(headers, "transfer-encoding").is_some_and(is_chunked)
}

fn is_empty(status: u16, headers: &HeaderMap) -> bool {
    status == 200 && header(headers, "content-length").is_some_and(|length| length.trim() == "0")
}

/// The ETag of every empty object that S3 does not encrypt with its own key: the MD5 of nothing.
const ETAG_OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// Checks that the answer does not contradict what is known of the object: the same ETag means the same size. A
/// message's claim about an empty object does not count.
pub fn is_as_known(get: &GetObject<'_>, etag: &str, total: u64) -> Result<(), Unusable> {
    let etag = etag.trim_matches('"');
    let size = match etag {
        ETAG_OF_NOTHING => Some(0),
        _ => get.size.filter(|size| *size > 0 && get.known_etag() == Some(etag)),
    };
    match size {
        Some(size) if size != total => {
            Err(Unusable::foreign(format!("it has {total} bytes, but the object with this ETag has {size}")))
        }
        _ => Ok(()),
    }
}

/// Refuses S3's own `<Error>` document with the status 200, as a gateway may pass it on, instead of an object that is
/// known by another size or ETag. An object may be such a document, too; then it is as announced, or it was replaced by
/// one without an announced size.
pub fn is_no_refusal(get: &GetObject<'_>, etag: &str, total: u64, body: &[u8]) -> Result<(), Unusable> {
    let contradicts = get.size.is_some_and(|size| size > 0 && size != total)
        || get.known_etag().is_some_and(|known| known != etag.trim_matches('"'));
    if contradicts && is_error_document(body) {
        return Err(Unusable::foreign(
            "it is an <Error> document of S3's, with another size or ETag than the object has",
        ));
    }
    Ok(())
}

/// True for `<Error><Code>…</Code>…</Error>`, with or without an XML declaration.
fn is_error_document(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    let root = match body.strip_prefix(b"<?xml") {
        Some(declaration) => match memchr::memmem::find(declaration, b"?>") {
            Some(end) => declaration[end + 2..].trim_ascii_start(),
            None => return false,
        },
        None => body,
    };
    (root.starts_with(b"<Error>") || root.starts_with(b"<Error "))
        && root.ends_with(b"</Error>")
        && memchr::memmem::find(root, b"<Code>").is_some()
}

/// Reads the head of an answer to `get`.
///
/// # Errors
/// If it is not S3's, or does not fit the request; the answer must not be used.
pub fn head(get: &GetObject<'_>, status: u16, headers: &HeaderMap) -> Result<Head, Unusable> {
    if matches!(status, 200 | 206) {
        is_of_s3(get, status, headers)?;
    }
    let head = fitting(get, status, headers).map_err(Unusable::odd)?;
    match get.asked_version() {
        Some(asked) if !head.version_id.is_empty() && head.version_id != asked => Err(Unusable::foreign(
            format!("version {asked} was requested, but version {} came", head.version_id),
        )),
        _ => Ok(head),
    }
}

/// The head of an answer that fits the request.
fn fitting(get: &GetObject<'_>, status: u16, headers: &HeaderMap) -> Result<Head, String> {
    let text = |name: &str| header(headers, name);
    let etag = text("etag").unwrap_or_default().to_owned();
    let version_id = text("x-amz-version-id").unwrap_or_default().to_owned();
    let body = text("content-length").and_then(|length| length.trim().parse::<u64>().ok());
    match status {
        206 => {
            let said = text("content-range").ok_or("a 206 answer without Content-Range")?;
            let (first, last, total) =
                content_range(said).ok_or_else(|| format!("the answer's Content-Range is {said:?}"))?;
            let length = last - first + 1;
            let fits = first == get.start && length <= get.len && body.is_none_or(|body| body == length);
            let ends_early = length < get.len && last + 1 != total;
            if !fits || ends_early {
                return Err(format!(
                    "{} bytes from {} were requested, but {said:?} came",
                    get.len, get.start
                ));
            }
            Ok(Head { etag, version_id, total: Some(total), skip: 0, take: Some(length), body: Some(length) })
        }
        200 => {
            let left = body.map(|total| total.saturating_sub(get.start));
            Ok(Head {
                etag,
                version_id,
                total: body,
                skip: get.start,
                take: left.map(|left| left.min(get.len)),
                body,
            })
        }
        other => Err(format!("a range was requested, but status {other} came")),
    }
}

/// Parses `bytes 0-9/100` as first, last, total; None unless first <= last < total.
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (span, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (first, last, total) = (number(first)?, number(last)?, number(total)?);
    (first <= last && last < total).then_some((first, last, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: GetObject<'_> = GetObject {
        bucket: "logs",
        key: "a b.gz",
        version_id: None,
        etag: None,
        by_key: false,
        start: 10,
        len: 20,
        if_match: None,
        size: None,
    };

    const MARK: (&str, &str) = ("x-amz-request-id", "r");

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_request() {
        let get = GetObject { version_id: Some("v/1+"), if_match: Some("\"e\""), ..GET };
        let request = request(&get, "eu-west-1", &Endpoints::default()).unwrap();
        assert_eq!(request.url(), "https://logs.s3.eu-west-1.amazonaws.com/a%20b.gz?versionId=v%2F1%2B");
        assert_eq!(request.headers, [("range", "bytes=10-29".to_owned()), ("if-match", "\"e\"".to_owned())]);
        assert_eq!(request.action, "s3:GetObjectVersion");
        let custom =
            super::request(&GET, "eu-west-1", &Endpoints::each(|_| Some("http://h:9".to_owned()))).unwrap();
        assert_eq!(custom.url(), "http://h:9/logs/a%20b.gz");
    }

    #[test]
    fn keys_reach_s3_exactly() {
        let rows = [
            ("a/b-c_d.e~f", "a/b-c_d.e~f"),
            ("/a//b/../c", "/a//b/../c"),
            ("a+b c%2Fd", "a%2Bb%20c%252Fd"),
            ("batch=1/ü?x#y", "batch%3D1/%C3%BC%3Fx%23y"),
            ("a!'()*;:@&$,", "a%21%27%28%29%2A%3B%3A%40%26%24%2C"),
        ];
        for (key, path) in rows {
            assert_eq!(encoded_key(key), path);
        }
    }

    #[test]
    fn a_206_must_be_what_was_asked_for() {
        let read = |range: &str, length: &str| {
            head(
                &GET,
                206,
                &headers(&[("content-range", range), ("content-length", length), ("etag", "\"e\""), MARK]),
            )
        };
        let found = read("bytes 10-29/100", "20").unwrap();
        assert_eq!((found.total, found.take, found.etag.as_str()), (Some(100), Some(20), "\"e\""));
        assert_eq!(read("bytes 10-14/15", "5").unwrap().take, Some(5));
        for (range, length) in [
            ("bytes 0-19/100", "20"),
            ("bytes 10-30/100", "21"),
            ("bytes 10-14/100", "5"),
            ("bytes 10-29/100", "19"),
            ("bytes 10-29/29", "20"),
            ("bytes */100", "0"),
            ("lines 1-2/3", "2"),
        ] {
            assert!(read(range, length).is_err(), "{range} {length}");
        }
        assert!(head(&GET, 206, &headers(&[("etag", "e"), MARK])).is_err());
    }

    #[test]
    fn a_200_is_the_whole_object() {
        let read = |more| head(&GET, 200, &headers(&[("etag", "\"e\""), MARK, more]));
        let found = read(("content-length", "15")).unwrap();
        assert_eq!((found.total, found.skip, found.take), (Some(15), 10, Some(5)));
        let found = read(("content-length", "5")).unwrap();
        assert_eq!(found.take, Some(0));
        let found = read(("transfer-encoding", "chunked")).unwrap();
        assert_eq!((found.total, found.take, found.body), (None, None, None));
        assert!(matches!(read(("connection", "close")), Err(Unusable::Foreign(_))), "where does it end?");
        assert!(head(&GET, 204, &headers(&[("etag", "\"e\""), MARK])).is_err());
    }

    /// (additional headers, is it S3's?): the object's notification says ETag `e`.
    #[test]
    fn an_answer_of_s3_has_an_etag_and_a_header_of_amazon_s() {
        let announced = GetObject { etag: Some("e"), ..GET };
        let begun = GetObject { etag: None, if_match: Some("\"e\""), ..GET };
        for (etag, mark, of_s3) in [
            (Some("\"e\""), None, true),
            (Some("\"e\""), Some(MARK), true),
            (Some("\"other\""), Some(("x-amz-id-2", "i")), true),
            (Some("\"other\""), None, false),
            (Some("\"\""), Some(MARK), false),
            (None, Some(MARK), false),
            (None, Some(("content-type", "text/html")), false),
            (None, Some(("content-type", "application/json")), false),
        ] {
            let all: Vec<_> =
                [("content-length", "15")].into_iter().chain(etag.map(|e| ("etag", e))).chain(mark).collect();
            for get in [announced, begun] {
                let read = head(&get, 200, &headers(&all));
                assert_eq!(read.is_ok(), of_s3, "{all:?}");
                assert!(of_s3 || matches!(read, Err(Unusable::Foreign(_))), "{all:?}");
            }
        }
        for (etag, size, of_s3) in [
            ("\"other\"", Some(7), false),
            ("\"other\"", Some(0), true),
            ("\"other\"", None, true),
            ("\"d41d8cd98f00b204e9800998ecf8427e\"", Some(7), true),
        ] {
            let all = headers(&[("etag", etag), ("content-length", "0"), MARK]);
            assert_eq!(head(&GetObject { size, ..GET }, 200, &all).is_ok(), of_s3, "{etag} {size:?}");
        }
        let other = [("etag", "e"), ("content-length", "15"), ("x-amz-version-id", "v2")];
        let version = GetObject { version_id: Some("v1"), ..GET };
        assert!(matches!(head(&version, 200, &headers(&other)), Err(Unusable::Foreign(_))));
        assert!(head(&GetObject { by_key: true, ..version }, 200, &headers(&other)).is_ok());
    }

    /// (additional headers, announced size, is it S3's?): plain web servers hold objects too, and proxies have pages.
    #[test]
    fn the_requested_range_of_the_announced_size_is_the_object() {
        let range = ("content-range", "bytes 10-29/100");
        for (more, size, of_s3) in [
            (vec![range], Some(100), true),
            (vec![range], None, true),
            (vec![range], Some(0), true),
            (vec![range], Some(99), false),
            (vec![range, ("content-type", "binary/octet-stream")], Some(100), true),
            (vec![range, ("content-type", "text/html; charset=utf-8")], Some(100), false),
            (vec![range, ("content-type", " Text/HTML")], None, false),
            (vec![("content-range", "bytes 0-19/100")], Some(100), false),
            (vec![], Some(100), false),
        ] {
            let all: Vec<_> = [("etag", "\"n\""), ("content-length", "20")].into_iter().chain(more).collect();
            let read = head(&GetObject { size, ..GET }, 206, &headers(&all));
            assert_eq!(read.is_ok(), of_s3, "{all:?}");
            assert!(of_s3 || matches!(read, Err(Unusable::Foreign(_))), "{all:?}");
            assert!(
                head(&GetObject { size, ..GET }, 200, &headers(&all)).is_err(),
                "a range is no 200: {all:?}"
            );
        }
    }

    #[test]
    fn the_same_etag_means_the_same_size() {
        let announced = GetObject { etag: Some("e"), size: Some(100), ..GET };
        for (etag, total, fits) in
            [("\"e\"", 100, true), ("\"e\"", 99, false), ("\"e\"", 0, false), ("\"f\"", 99, true)]
        {
            assert_eq!(is_as_known(&announced, etag, total).is_ok(), fits, "{etag} {total}");
        }
        for unknown in [None, Some(0)] {
            assert!(is_as_known(&GetObject { size: unknown, ..announced }, "\"e\"", 99).is_ok());
        }
        assert!(is_as_known(&GetObject { etag: None, ..announced }, "\"e\"", 99).is_ok());
        let begun = GetObject { etag: Some("old"), if_match: Some("\"e\""), ..announced };
        assert!(is_as_known(&begun, "\"e\"", 99).is_err());
    }

    proptest::proptest! {
        #[test]
        fn keys_decode_back(key in "\\PC{0,40}") {
            let encoded = encoded_key(&key);
            let decoded = percent_encoding::percent_decode_str(&encoded).decode_utf8().unwrap();
            proptest::prop_assert_eq!(&*decoded, key.as_str());
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b);
            proptest::prop_assert!(encoded.bytes().all(plain));
        }

        #[test]
        fn ranges_read_back_or_not_at_all(first in 0u64..50, last in 0u64..50, total in 0u64..50) {
            let found = content_range(&format!("bytes {first}-{last}/{total}"));
            proptest::prop_assert_eq!(found.is_some(), first <= last && last < total);
        }

        #[test]
        fn any_content_range_is_read_without_a_panic(text in "[bytes 0-9/*-]{0,30}") {
            if let Some((first, last, total)) = content_range(&text) {
                proptest::prop_assert!(first <= last && last < total);
            }
        }
    }
}
