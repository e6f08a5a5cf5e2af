//! S3's GetObject, path-style (Amazon S3 API reference): ranges, `If-Match`, errors as XML.
//!
//! Pure.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::http::{Body, Request, Response};

/// Objects by (bucket, key).
#[derive(Debug, Default)]
pub struct Objects {
    objects: HashMap<(String, String), Object>,
    puts: u64,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Arc<[u8]>,
    etag: String,
}

impl Objects {
    /// Stores an object; a replaced one has another ETag.
    pub fn put(&mut self, bucket: &str, key: &str, bytes: Arc<[u8]>) {
        self.puts += 1;
        let etag = format!("\"{:032x}\"", self.puts);
        self.objects.insert((bucket.to_owned(), key.to_owned()), Object { bytes, etag });
    }

    /// Answers a GET of `/bucket/key`.
    pub fn answer(&self, request: &Request) -> Response {
        if request.method != "GET" {
            return error(405, "MethodNotAllowed", "Only GetObject is served here.");
        }
        let Some((bucket, key)) = bucket_and_key(&request.target) else {
            return error(400, "InvalidURI", "The path is not /bucket/key.");
        };
        match self.objects.get(&(bucket, key)) {
            None => error(404, "NoSuchKey", "The specified key does not exist."),
            Some(object) => object.answer(request),
        }
    }
}

impl Object {
    fn answer(&self, request: &Request) -> Response {
        if request.header("if-match").is_some_and(|etag| etag != "*" && etag != self.etag) {
            return error(412, "PreconditionFailed", "At least one of the preconditions did not hold.");
        }
        let size = self.bytes.len();
        match request.header("range").map(|range| parse_range(range, size)) {
            None | Some(Asked::Malformed) => self.part(200, 0..size),
            Some(Asked::Part(range)) => self.part(206, range),
            Some(Asked::Beyond) => {
                let mut response = error(416, "InvalidRange", "The requested range is not satisfiable.");
                response.headers.push(("content-range", format!("bytes */{size}")));
                response
            }
        }
    }

    fn part(&self, status: u16, range: Range<usize>) -> Response {
        let mut headers = vec![
            ("etag", self.etag.clone()),
            ("x-amz-request-id", "TESTBED".to_owned()),
            ("accept-ranges", "bytes".to_owned()),
            ("content-type", "binary/octet-stream".to_owned()),
        ];
        if status == 206 {
            let (first, last, size) = (range.start, range.end - 1, self.bytes.len());
            headers.push(("content-range", format!("bytes {first}-{last}/{size}")));
        }
        Response { status, headers, body: Body::Part(Arc::clone(&self.bytes), range) }
    }
}

/// An error as S3 writes it.
pub fn error(status: u16, code: &str, message: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>TESTBED</RequestId></Error>"
    );
    let headers = vec![("content-type", "application/xml".to_owned())];
    Response { status, headers, body: Body::Owned(body.into_bytes()) }
}

fn bucket_and_key(target: &str) -> Option<(String, String)> {
    let path = target.split('?').next()?.strip_prefix('/')?;
    let (bucket, key) = path.split_once('/')?;
    let decode = |text| percent_decode_str(text).decode_utf8().ok().map(|t| t.into_owned());
    Some((decode(bucket)?, decode(key).filter(|key| !key.is_empty())?))
}

enum Asked {
    /// Not empty, within the object.
    Part(Range<usize>),
    Beyond,
    /// RFC 9110, section 14.2: an invalid header is ignored.
    Malformed,
}

/// Parses `bytes=first-last`, `bytes=first-`, `bytes=-suffix`.
fn parse_range(header: &str, size: usize) -> Asked {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Asked::Malformed;
    };
    let range = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(suffix)) if first.is_empty() => size - suffix.min(size)..size,
        _ => return Asked::Malformed,
    };
    if range.start < range.end { Asked::Part(range) } else { Asked::Beyond }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects() -> Objects {
        let mut objects = Objects::default();
        objects.put("b", "a folder/ü+1.gz", Arc::from(*b"0123456789"));
        objects.put("b", "empty", Arc::from([]));
        objects
    }

    fn get(key: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
        let response = objects().answer(&Request::fake("GET", &format!("/b/{key}"), headers, ""));
        let range = response.headers.iter().find(|(n, _)| *n == "content-range");
        let body = String::from_utf8_lossy(response.body.bytes()).into_owned();
        (response.status, range.map(|(_, v)| v.clone()).unwrap_or_default(), body)
    }

    const KEY: &str = "a%20folder/%C3%BC%2B1.gz?x-id=GetObject";

    #[test]
    fn whole_objects_and_ranges() {
        let part = |range| get(KEY, &[("range", range)]);
        let expected = |range: &str, body: &str| (206, range.to_owned(), body.to_owned());
        assert_eq!(get(KEY, &[]), (200, String::new(), "0123456789".into()));
        assert_eq!(part("bytes=0-3"), expected("bytes 0-3/10", "0123"));
        assert_eq!(part("bytes=8-100"), expected("bytes 8-9/10", "89"));
        assert_eq!(part("bytes=4-"), expected("bytes 4-9/10", "456789"));
        assert_eq!(part("bytes=-2"), expected("bytes 8-9/10", "89"));
        assert_eq!(part("bytes=9-18446744073709551615"), expected("bytes 9-9/10", "9"));
        assert_eq!(part("lines=1-2").0, 200);
    }

    #[test]
    fn ranges_beyond_the_end_are_refused() {
        let (status, range, body) = get(KEY, &[("range", "bytes=10-20")]);
        assert_eq!((status, range.as_str()), (416, "bytes */10"));
        assert!(body.contains("<Code>InvalidRange</Code>"));
        assert_eq!(get("empty", &[("range", "bytes=0-7")]).0, 416);
        assert_eq!(get("empty", &[]).0, 200);
    }

    #[test]
    fn if_match_holds_only_for_the_same_object() {
        let mut objects = objects();
        let ask = |objects: &Objects, etag: &str| {
            objects.answer(&Request::fake("GET", "/b/empty", &[("if-match", etag)], ""))
        };
        let etag = ask(&objects, "*").headers[0].1.clone();
        assert_eq!(ask(&objects, &etag).status, 200);
        objects.put("b", "empty", Arc::from(*b"new"));
        assert_eq!(ask(&objects, &etag).status, 412);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let (status, _, body) = get("nothing", &[]);
        assert_eq!(status, 404);
        assert!(body.contains("<Code>NoSuchKey</Code>"));
        assert_eq!(get("", &[]).0, 400);
        assert_eq!(objects().answer(&Request::fake("PUT", "/b/k", &[], "")).status, 405);
    }
}
