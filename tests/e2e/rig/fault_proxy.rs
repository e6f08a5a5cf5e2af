//! Between the program and the emulator: HTTP calls that fail according to a script, one by one.
//!
//! The `Host` header and everything else that is signed passes unchanged, so the emulator still checks every signature.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;

use crate::rig::emulator;

/// Listens until the test process ends.
pub struct FaultProxy {
    port: u16,
    counters: Arc<Mutex<Counters>>,
}

/// One call, as the script sees it.
pub struct Call {
    /// `GetObject`, `ReceiveMessage`, `AssumeRole`, …
    pub action: String,
    /// With the query, still encoded.
    pub path: String,
    pub body: String,
    /// The signing access key.
    pub key_id: String,
    /// First byte of the requested range.
    pub range_start: u64,
    /// Number among the calls of this action, from 1.
    pub number: u32,
}

/// The fate of a call.
pub enum Fault {
    /// Nothing: the emulator answers.
    Pass,
    /// It passes, later.
    Delay(Duration),
    /// It does not reach the emulator.
    Answer { status: u16, body: String },
    /// The connection is reset without an answer.
    Reset,
    /// The answer's head unchanged, then only this many bytes of its body, and the connection's end.
    Cut { after: usize, reset: bool },
    /// It passes; the body of the answer is replaced.
    Alter(Box<dyn FnOnce(Vec<u8>) -> Vec<u8>>),
}

#[derive(Default)]
struct Counters {
    calls: BTreeMap<String, u32>,
    faults: u32,
}

type Script = Arc<Mutex<dyn FnMut(&Call) -> Fault + Send>>;

impl FaultProxy {
    /// `script` is called for each call, in order.
    pub fn start(script: impl FnMut(&Call) -> Fault + Send + 'static) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let counters = Arc::new(Mutex::new(Counters::default()));
        let (shared, script): (_, Script) = (Arc::clone(&counters), Arc::new(Mutex::new(script)));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (shared, script) = (Arc::clone(&shared), Arc::clone(&script));
                std::thread::spawn(move || while serve(&connection, &shared, &script).is_some() {});
            }
        });
        FaultProxy { port, counters }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Calls of an action so far.
    pub fn calls(&self, action: &str) -> u32 {
        self.counters.lock().unwrap().calls.get(action).copied().unwrap_or(0)
    }

    /// Calls that did not simply pass.
    pub fn faults(&self) -> u32 {
        self.counters.lock().unwrap().faults
    }
}

/// An error in S3's and STS's form.
pub fn refuse_xml(status: u16, code: &str) -> Fault {
    let body = format!("<Error><Code>{code}</Code><Message>as the test wishes</Message></Error>");
    Fault::Answer { status, body }
}

/// An error in SQS's form.
pub fn refuse_json(status: u16, code: &str) -> Fault {
    let body = format!(r#"{{"__type":"com.amazonaws.sqs#{code}","message":"as the test wishes"}}"#);
    Fault::Answer { status, body }
}

struct Request {
    head: String,
    body: Vec<u8>,
}

/// One call; None: the connection has ended.
fn serve(client: &TcpStream, counters: &Mutex<Counters>, script: &Script) -> Option<()> {
    let request = Request::read(client)?;
    let fault = {
        let mut call = request.call();
        let mut counters = counters.lock().unwrap();
        let number = counters.calls.entry(call.action.clone()).or_default();
        *number += 1;
        call.number = *number;
        drop(counters);
        (script.lock().unwrap())(&call)
    };
    if !matches!(fault, Fault::Pass) {
        counters.lock().unwrap().faults += 1;
    }
    match fault {
        Fault::Pass => pass(client, &request, |body| body),
        Fault::Delay(time) => {
            std::thread::sleep(time);
            pass(client, &request, |body| body)
        }
        Fault::Alter(alter) => pass(client, &request, alter),
        Fault::Answer { status, body } => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} As the test wishes\r\ncontent-length: {length}\r\n\r\n");
            write(client, &[head.as_bytes(), body.as_bytes()])
        }
        Fault::Reset => end(client, true),
        Fault::Cut { after, reset } => {
            let (head, body) = ask_emulator(&request)?;
            write(client, &[head.as_bytes(), &body[..after.min(body.len())]])?;
            // A reset may overtake what was sent before it.
            std::thread::sleep(Duration::from_millis(if reset { 20 } else { 0 }));
            end(client, reset)
        }
    }
}

fn pass(client: &TcpStream, request: &Request, alter: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Option<()> {
    let (head, body) = ask_emulator(request)?;
    let length = body.len();
    let altered = alter(body);
    let head = head
        .replace(&format!("content-length: {length}\r\n"), &format!("content-length: {}\r\n", altered.len()));
    write(client, &[head.as_bytes(), &altered])
}

/// Calls on a separate connection; the answer's head gives the length of its body.
fn ask_emulator(request: &Request) -> Option<(String, Vec<u8>)> {
    let address = emulator::endpoint().trim_start_matches("http://");
    let mut server = TcpStream::connect(address).ok()?;
    let lines = request.head.lines().filter(|line| !has_name(line, "connection"));
    let head: String = lines.map(|line| format!("{line}\r\n")).collect();
    server.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).ok()?;
    server.write_all(&request.body).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    let end = memchr::memmem::find(&answer, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let body = answer.split_off(end + 4);
    let is_chunked = value(&head, "transfer-encoding").is_some();
    let body = if is_chunked { dechunked(&body)? } else { body };
    let framing = ["connection", "transfer-encoding", "content-length"];
    let kept = head.lines().filter(|line| !framing.iter().any(|name| has_name(line, name)));
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    Some((format!("{head}content-length: {}\r\n\r\n", body.len()), body))
}

fn dechunked(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = memchr::memmem::find(chunks, b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).ok()?.trim(), 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunks.get(end + 2..end + 2 + length)?);
        chunks = chunks.get(end + 2 + length + 2..)?;
    }
}

impl Request {
    fn read(client: &TcpStream) -> Option<Request> {
        // A client waits for the answer before its next request: nothing is left in the buffer.
        let mut reader = BufReader::new(client);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        head.truncate(head.len() - 2);
        let length = value(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Request { head, body })
    }

    fn call(&self) -> Call {
        let body = String::from_utf8_lossy(&self.body).into_owned();
        let path = self.head.split(' ').nth(1).unwrap_or_default().to_owned();
        let target = value(&self.head, "x-amz-target").and_then(|target| target.split('.').nth(1));
        let of_form = body.split('&').find_map(|pair| pair.strip_prefix("Action="));
        let action = target.or(of_form).unwrap_or("GetObject").to_owned();
        let range = value(&self.head, "range").and_then(|range| range.strip_prefix("bytes="));
        let range_start = range.and_then(|range| range.split('-').next()?.parse().ok()).unwrap_or(0);
        let signed_by = value(&self.head, "authorization").and_then(|text| text.split("Credential=").nth(1));
        let key_id = signed_by.and_then(|text| text.split('/').next()).unwrap_or_default().to_owned();
        Call { action, path, body, key_id, range_start, number: 0 }
    }
}

/// The value of a header; names are compared without regard to case.
fn value<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let line = head.lines().find(|line| has_name(line, name))?;
    Some(line[name.len() + 1..].trim())
}

fn has_name(line: &str, name: &str) -> bool {
    line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
}

fn write(mut client: &TcpStream, parts: &[&[u8]]) -> Option<()> {
    client.write_all(&parts.concat()).ok()
}

/// The connection is closed when its thread drops it; after this by a reset, if requested.
fn end(client: &TcpStream, reset: bool) -> Option<()> {
    if reset {
        SockRef::from(client).set_linger(Some(Duration::ZERO)).unwrap();
    }
    None
}
