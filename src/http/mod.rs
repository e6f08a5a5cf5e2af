//! A small HTTP/1.1 server, for the status page and for the embedded S3 + SQS endpoint: keep-alive, `Content-Length`
//! bodies.
//!
//! Why not `tiny_http`: it bounds neither connections nor waits, leaves Nagle's algorithm on, copies bodies in pieces
//! of some KiB, and cannot close idle keep-alive connections when it is dropped.

mod server;

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::limits::{KIB, MIB};

pub use server::{Activity, Server};

/// Requests are signed: their headers may be long, but not this long.
const HEAD_BYTES_MAX: usize = 64 * KIB;
/// A batch of ten SQS entries is far below it.
const BODY_BYTES_MAX: usize = 4 * MIB;
const HEADERS_MAX: usize = 64;
const READ_BYTES: usize = 16 * KIB;

/// Limits on a client's time and memory.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub head_bytes_max: usize,
    pub body_bytes_max: usize,
    /// From the end of the previous answer to the end of a request. None for no limit.
    pub request_time: Option<Duration>,
    /// For the client to take a whole answer. None for no limit.
    pub answer_time: Option<Duration>,
}

impl Default for Bounds {
    /// For clients that are our own.
    fn default() -> Bounds {
        Bounds {
            head_bytes_max: HEAD_BYTES_MAX,
            body_bytes_max: BODY_BYTES_MAX,
            request_time: None,
            answer_time: None,
        }
    }
}

/// A whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Path and query on the wire, percent-encoded.
    pub target: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

/// An answer's body; objects are served without a copy.
#[derive(Debug, Clone)]
pub enum Body {
    Owned(Vec<u8>),
    Part(Arc<[u8]>, Range<usize>),
}

impl Body {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Body::Owned(bytes) => bytes,
            Body::Part(object, range) => &object[range.clone()],
        }
    }
}

/// Answers requests on one connection until either side closes it.
pub fn serve(stream: TcpStream, answer: impl Fn(&Request) -> Response) -> io::Result<()> {
    serve_bounded(&stream, &Bounds::default(), &Activity::default(), answer)
}

/// Answers requests on one connection within limits; `activity` is told of the connection's state. Invalid or too many
/// bytes are refused, and the connection ends.
pub fn serve_bounded(
    stream: &TcpStream,
    bounds: &Bounds,
    activity: &Activity,
    answer: impl Fn(&Request) -> Response,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        activity.waits();
        let request = read_bounded(&mut Timed::new(stream, bounds.request_time), &mut buffer, bounds);
        activity.works();
        let (response, close) = match &request {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => {
                let close = request.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
                (answer(request), close)
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => (refusal(error), true),
            Err(error) => return Err(error.kind().into()),
        };
        activity.waits();
        write_response(&mut Timed::new(stream, bounds.answer_time), &response, close)?;
        if close {
            return Ok(());
        }
    }
}

fn refusal(error: &io::Error) -> Response {
    let headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
    Response { status: 400, headers, body: Body::Owned(format!("{error}\n").into_bytes()) }
}

/// A stream whose reads and writes, all together, have a deadline.
struct Timed<'a> {
    stream: &'a TcpStream,
    until: Option<Instant>,
}

impl<'a> Timed<'a> {
    fn new(stream: &'a TcpStream, time: Option<Duration>) -> Timed<'a> {
        Timed { stream, until: time.map(|time| Instant::now() + time) }
    }

    /// The remaining time. None if there is no limit.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        match self.until.map(left) {
            Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.left()?;
        self.stream.set_read_timeout(left)?;
        self.stream.read(into)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left()?;
        self.stream.set_write_timeout(left)?;
        self.stream.write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let left = self.left()?;
        self.stream.set_write_timeout(left)?;
        self.stream.write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads one request; the bytes after it stay in `buffer`. None if the peer closed between requests.
///
/// # Errors
/// If it is not HTTP, too long, or truncated.
pub fn read_request(stream: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    read_bounded(stream, buffer, &Bounds::default())
}

fn read_bounded(
    stream: &mut impl Read,
    buffer: &mut Vec<u8>,
    bounds: &Bounds,
) -> io::Result<Option<Request>> {
    let (mut request, head_bytes, body_bytes) = loop {
        if let Some(head) = parse_head(buffer, bounds.body_bytes_max)? {
            break head;
        }
        if buffer.len() > bounds.head_bytes_max {
            return Err(invalid("the request's head is too long"));
        }
        if read_more(stream, buffer)? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    };
    while buffer.len() < head_bytes + body_bytes {
        if read_more(stream, buffer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    request.body = buffer[head_bytes..head_bytes + body_bytes].to_vec();
    buffer.drain(..head_bytes + body_bytes);
    Ok(Some(request))
}

fn read_more(stream: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let before = buffer.len();
    buffer.resize(before + READ_BYTES, 0);
    let read = stream.read(&mut buffer[before..]);
    buffer.truncate(before + *read.as_ref().unwrap_or(&0));
    read
}

/// (request without body, bytes of the head, bytes of the body). None if the head is not complete yet.
fn parse_head(buffer: &[u8], body_bytes_max: usize) -> io::Result<Option<(Request, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let head_bytes = match parsed.parse(buffer).map_err(|error| invalid(&error.to_string()))? {
        httparse::Status::Complete(head_bytes) => head_bytes,
        httparse::Status::Partial => return Ok(None),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        headers: parsed.headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value))).collect(),
        body: Vec::new(),
    };
    let body_bytes = body_length(&request, body_bytes_max)?;
    Ok(Some((request, head_bytes, body_bytes)))
}

fn body_length(request: &Request, bytes_max: usize) -> io::Result<usize> {
    if request.header("transfer-encoding").is_some() {
        return Err(invalid("chunked requests are not supported"));
    }
    let length = request.header("content-length").unwrap_or("0").parse();
    let length: usize = length.map_err(|_| invalid("the content-length is not a number"))?;
    if length > bytes_max {
        return Err(invalid(if bytes_max == 0 {
            "a body is not allowed here"
        } else {
            "the body is too long"
        }));
    }
    Ok(length)
}

fn write_response(stream: &mut impl Write, response: &Response, close: bool) -> io::Result<()> {
    let body = response.body.bytes();
    let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let connection = if close { "close" } else { "keep-alive" };
    head.push_str(&format!("content-length: {}\r\nconnection: {connection}\r\n\r\n", body.len()));
    // Head and body are sent in one segment if they fit.
    let sent = stream.write_vectored(&[IoSlice::new(head.as_bytes()), IoSlice::new(body)])?;
    let body_sent = sent.saturating_sub(head.len());
    stream.write_all(&head.as_bytes()[sent.min(head.len())..])?;
    stream.write_all(&body[body_sent..])
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        503 => "Service Unavailable",
        _ => "Unknown",
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
impl Request {
    /// A request as if it had been read.
    pub fn fake(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Request {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Request {
            method: method.into(),
            target: target.into(),
            headers: headers.iter().map(owned).collect(),
            body: body.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives a few bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(out.len());
            self.0.read(&mut out[..n])
        }
    }

    const TWO: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nX-Amz-Target: A.B\r\n\r\nabc\
        GET /b/k%20?x=1 HTTP/1.1\r\nhost: h\r\n\r\n";

    #[test]
    fn requests_are_read_one_after_another_however_they_arrive() {
        for step in [1, 2, 7, 1000] {
            let (mut stream, mut buffer) = (Trickle(TWO, step), Vec::new());
            let first = read_request(&mut stream, &mut buffer).unwrap().unwrap();
            assert_eq!((first.method.as_str(), first.body.as_slice()), ("POST", b"abc".as_slice()));
            assert_eq!(first.header("x-amz-target"), Some("A.B"));
            let second = read_request(&mut stream, &mut buffer).unwrap().unwrap();
            assert_eq!((second.target.as_str(), second.body.len()), ("/b/k%20?x=1", 0));
            assert!(read_request(&mut stream, &mut buffer).unwrap().is_none());
        }
    }

    #[test]
    fn broken_requests_are_errors() {
        for bad in [
            "GET / HTTP/1.1\r\nhost",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nabc",
            "POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            "\x01\x02\x03 nonsense\r\n\r\n",
        ] {
            assert!(read_request(&mut bad.as_bytes(), &mut Vec::new()).is_err(), "{bad:?}");
        }
        let endless = vec![b'a'; HEAD_BYTES_MAX * 2];
        assert!(read_request(&mut endless.as_slice(), &mut Vec::new()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = read_request(&mut bytes.as_slice(), &mut Vec::new());
        }
    }

    #[test]
    fn a_body_where_none_is_wanted_is_refused_and_not_read() {
        let bounds = Bounds { body_bytes_max: 0, ..Bounds::default() };
        for body in ["content-length: 1", "content-length: 99999999999", "transfer-encoding: chunked"] {
            let request = format!("POST / HTTP/1.1\r\n{body}\r\n\r\n");
            let read = read_bounded(&mut request.as_bytes(), &mut Vec::new(), &bounds);
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData, "{body}");
        }
        let get = b"GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n";
        assert!(read_bounded(&mut get.as_slice(), &mut Vec::new(), &bounds).unwrap().is_some());
    }

    #[test]
    fn a_head_that_trickles_has_one_deadline_for_all_of_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        // A byte every few milliseconds, for as long as the peer listens.
        let trickle = std::thread::spawn(move || {
            while (&client).write_all(b"G").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let bounds = Bounds { request_time: Some(Duration::from_millis(100)), ..Bounds::default() };
        let served = serve_bounded(&server, &bounds, &Activity::default(), |_| unreachable!());
        assert!(served.is_err(), "it ends although each byte is in time");
        drop(server);
        trickle.join().unwrap();
    }

    #[test]
    fn parts_of_objects_are_written_whole() {
        let object: Arc<[u8]> = (0..=255u8).collect();
        let response = Response {
            status: 206,
            headers: vec![("etag", "\"1\"".into())],
            body: Body::Part(object, 10..20),
        };
        let mut out = Vec::new();
        write_response(&mut out, &response, false).unwrap();
        let text = String::from_utf8_lossy(&out);
        assert!(text.starts_with("HTTP/1.1 206 Partial Content\r\netag: \"1\"\r\ncontent-length: 10\r\n"));
        assert!(out.ends_with(&(10..20u8).collect::<Vec<_>>()));
    }
}
