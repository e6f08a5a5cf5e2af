//! A small HTTP/1.1 server (RFC 9112), for the status page and for the embedded S3 + SQS endpoint: keep-alive,
//! `Content-Length` bodies. A request whose end or host could be read in two ways is refused, and its connection ends.
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
    /// Path and query on the wire, percent-encoded. Of a whole address (`http://host/path`), the host is the header.
    pub target: String,
    /// The version is HTTP/1.0.
    is_old: bool,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The only value of a header.
    fn single(&self, name: &str) -> io::Result<Option<&str>> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(invalid(&format!("the header {name} is repeated"))),
            (value, None) => Ok(value),
        }
    }

    /// True if the client wants or expects the connection to end with the answer.
    fn is_last(&self) -> bool {
        let has = |option: &str| {
            let mut options = self.values("connection").flat_map(|list| list.split(','));
            options.any(|own| own.trim().eq_ignore_ascii_case(option))
        };
        has("close") || self.is_old && !has("keep-alive")
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
        let request = next_request(&mut Timed::new(stream, bounds.request_time), &mut buffer, bounds);
        activity.works();
        let (response, close) = match &request {
            Ok(None) => return Ok(()),
            Ok(Some(request)) => (answer(request), request.is_last()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => (refusal(error), true),
            Err(error) => return Err(error.kind().into()),
        };
        activity.waits();
        let is_head = request.is_ok_and(|request| request.is_some_and(|request| request.method == "HEAD"));
        let part = if is_head { Part::Head } else { Part::All };
        write_response(&mut Timed::new(stream, bounds.answer_time), &response, part, close)?;
        if close {
            return Ok(());
        }
    }
}

/// Reads one request. A client that waits for permission to send its body gets it.
fn next_request(
    stream: &mut Timed<'_>,
    buffer: &mut Vec<u8>,
    bounds: &Bounds,
) -> io::Result<Option<Request>> {
    let Some(head) = read_head(stream, buffer, bounds)? else { return Ok(None) };
    if head.awaits_permission() && buffer.len() == head.bytes {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    read_body(stream, buffer, head).map(Some)
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
    let head = read_head(stream, buffer, &Bounds::default())?;
    head.map(|head| read_body(stream, buffer, head)).transpose()
}

/// A request without its body, at the start of a buffer.
#[derive(Debug)]
struct Head {
    request: Request,
    bytes: usize,
    body_bytes: usize,
}

impl Head {
    /// True if the client sends the body only after an interim answer.
    fn awaits_permission(&self) -> bool {
        let Head { request, body_bytes, .. } = self;
        let is_asked = request.header("expect").is_some_and(|what| what.eq_ignore_ascii_case("100-continue"));
        is_asked && *body_bytes > 0 && !request.is_old
    }
}

/// None if the peer closed between requests.
fn read_head(stream: &mut impl Read, buffer: &mut Vec<u8>, bounds: &Bounds) -> io::Result<Option<Head>> {
    loop {
        if let Some(head) = parse_head(buffer, bounds.body_bytes_max)? {
            return Ok(Some(head));
        }
        if buffer.len() > bounds.head_bytes_max {
            return Err(invalid("the request's head is too long"));
        }
        if read_more(stream, buffer)? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
}

fn read_body(stream: &mut impl Read, buffer: &mut Vec<u8>, head: Head) -> io::Result<Request> {
    let Head { mut request, bytes, body_bytes } = head;
    while buffer.len() < bytes + body_bytes {
        if read_more(stream, buffer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    request.body = buffer[bytes..bytes + body_bytes].to_vec();
    buffer.drain(..bytes + body_bytes);
    Ok(request)
}

fn read_more(stream: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let before = buffer.len();
    buffer.resize(before + READ_BYTES, 0);
    let read = stream.read(&mut buffer[before..]);
    buffer.truncate(before + *read.as_ref().unwrap_or(&0));
    read
}

/// None if the head is not complete yet.
fn parse_head(buffer: &[u8], body_bytes_max: usize) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let bytes = match parsed.parse(buffer).map_err(|error| invalid(&error.to_string()))? {
        httparse::Status::Complete(bytes) => bytes,
        httparse::Status::Partial => return Ok(None),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        is_old: parsed.version == Some(0),
        headers: parsed.headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value))).collect(),
        body: Vec::new(),
    };
    let body_bytes = body_length(&request, body_bytes_max)?;
    find_host(&mut request)?;
    Ok(Some(Head { request, bytes, body_bytes }))
}

/// Checks that there is one host, and takes it from the target if that is a whole address.
fn find_host(request: &mut Request) -> io::Result<()> {
    if request.single("host")?.is_none() && !request.is_old {
        return Err(invalid("the header host is missing"));
    }
    let Some((host, target)) = of_address(&request.target) else { return Ok(()) };
    request.headers.retain(|(name, _)| name != "host");
    request.headers.push(("host".to_owned(), host));
    request.target = target;
    Ok(())
}

/// The host and the path of a whole address, which clients send to proxies, and servers must understand.
fn of_address(target: &str) -> Option<(String, String)> {
    let (scheme, rest) = target.split_once("://")?;
    let is_http = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let slash = if path.starts_with('/') { "" } else { "/" };
    is_http.then(|| (host.to_owned(), format!("{slash}{path}")))
}

fn body_length(request: &Request, bytes_max: usize) -> io::Result<usize> {
    if request.header("transfer-encoding").is_some() {
        return Err(invalid("chunked requests are not supported"));
    }
    let text = request.single("content-length")?.unwrap_or("0");
    // A sign would be a number to Rust and none to others.
    let length = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let length: usize = length.ok_or_else(|| invalid("the content-length is not a number"))?;
    if length > bytes_max {
        return Err(invalid(if bytes_max == 0 {
            "a body is not allowed here"
        } else {
            "the body is too long"
        }));
    }
    Ok(length)
}

/// The part of an answer that is sent: to HEAD only the head, which is that of GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Head,
}

fn write_response(stream: &mut impl Write, response: &Response, part: Part, close: bool) -> io::Result<()> {
    let body = response.body.bytes();
    let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let connection = if close { "close" } else { "keep-alive" };
    head.push_str(&format!("content-length: {}\r\nconnection: {connection}\r\n\r\n", body.len()));
    let body = if part == Part::Head { &[] } else { body };
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
            is_old: false,
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
            let read = read_head(&mut request.as_bytes(), &mut Vec::new(), &bounds);
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData, "{body}");
        }
        let get = b"GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n";
        assert!(read_head(&mut get.as_slice(), &mut Vec::new(), &bounds).unwrap().is_some());
    }

    /// Returns the bytes that the server sends until the connection ends. The answer to each request is its target.
    fn served(requests: &str) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        client.write_all(requests.as_bytes()).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = serve(server, |request| {
            let host = request.header("host").unwrap_or("nobody");
            let body = Body::Owned(format!("<{} of {host}>", request.target).into_bytes());
            Response { status: 200, headers: Vec::new(), body }
        });
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The pitfalls of RFC 9112: what two readers could read in two ways is refused.
    #[test]
    fn a_request_that_can_be_read_in_two_ways_is_refused_and_its_connection_ends() {
        for bad in [
            "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n",
            "GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n",
            "GET / HTTP/1.1\r\n",
            "GET http://a/ HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 0\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 44\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0, 0\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: +0\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: -0\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ntransfer-encoding: chunked\r\n",
            "GET / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: identity\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n folded\r\n",
            "GET / HTTP/1.1\r\n host: a\r\n",
            "GET / HTTP/1.1\r\nhost : a\r\n",
            "GET / HTTP/1.1\r\nhost: a\rx: b\r\n",
            "GET / HTTP/1.1\r\nhost: a\0b\r\n",
            "GET / HTTP/2.0\r\nhost: a\r\n",
            "GET /\r\nhost: a\r\n",
        ] {
            let answer = served(&format!("{bad}\r\nGET /second HTTP/1.1\r\nhost: a\r\n\r\n"));
            assert!(answer.starts_with("HTTP/1.1 400 "), "{bad:?}: {answer}");
            assert!(answer.contains("connection: close") && !answer.contains("/second"), "{bad:?}: {answer}");
        }
    }

    #[test]
    fn the_answer_to_head_has_no_body_and_the_next_is_where_it_should_be() {
        let two = "HEAD /a HTTP/1.1\r\nhost: h\r\n\r\nGET /b HTTP/1.1\r\nhost: h\r\n\r\n";
        let answer = served(two);
        let (head, next) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-length: 9"), "as GET's: {head}");
        assert!(next.starts_with("HTTP/1.1 200 OK\r\n") && next.ends_with("\r\n\r\n</b of h>"), "{next}");
    }

    #[test]
    fn a_connection_stays_open_if_both_sides_expect_that() {
        for (version, connection, stays) in [
            ("1.1", "", true),
            ("1.1", "connection: keep-alive\r\n", true),
            ("1.1", "connection: close\r\n", false),
            ("1.1", "Connection: TE, Close\r\n", false),
            ("1.1", "connection: te\r\nconnection: close\r\n", false),
            ("1.0", "", false),
            ("1.0", "connection: Keep-Alive\r\n", true),
            ("1.0", "connection: keep-alive, close\r\n", false),
        ] {
            let request = format!("GET /a HTTP/{version}\r\nhost: h\r\n{connection}\r\n");
            let answer = served(&format!("{request}{request}"));
            assert_eq!(answer.matches("</a of h>").count(), 1 + usize::from(stays), "{request:?}");
            let told = if stays { "connection: keep-alive" } else { "connection: close" };
            assert!(answer.contains(told), "{answer}");
        }
        assert!(served("GET /a HTTP/1.0\r\n\r\n").ends_with("</a of nobody>"), "a host is optional there");
    }

    #[test]
    fn a_whole_address_names_the_host() {
        for (target, answer) in [
            ("http://other:80/x?y=1", "</x?y=1 of other:80>"),
            ("HTTP://other", "</ of other>"),
            ("https://other?q", "</?q of other>"),
            ("/see?http://other/", "</see?http://other/ of h>"),
            ("*", "<* of h>"),
        ] {
            let answered = served(&format!("GET {target} HTTP/1.1\r\nhost: h\r\n\r\n"));
            assert!(answered.ends_with(answer), "{target}: {answered}");
        }
    }

    #[test]
    fn a_client_that_waits_for_permission_to_send_a_body_gets_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        let serving = std::thread::spawn(move || {
            let _ = serve(server, |request| {
                let body = Body::Owned(request.body.clone());
                Response { status: 200, headers: Vec::new(), body }
            });
        });
        let head = b"PUT / HTTP/1.1\r\nhost: h\r\nexpect: 100-Continue\r\ncontent-length: 3\r\n\r\n";
        client.write_all(head).unwrap();
        let mut permission = [0; 25];
        client.read_exact(&mut permission).unwrap();
        assert_eq!(&permission, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"abc").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nabc"), "{answer}");
        serving.join().unwrap();
        let unasked = "PUT /a HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\nx";
        assert!(!served(unasked).contains("100 Continue"), "the body is there already");
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
        write_response(&mut out, &response, Part::All, false).unwrap();
        let text = String::from_utf8_lossy(&out);
        assert!(text.starts_with("HTTP/1.1 206 Partial Content\r\netag: \"1\"\r\ncontent-length: 10\r\n"));
        assert!(out.ends_with(&(10..20u8).collect::<Vec<_>>()));
    }
}
