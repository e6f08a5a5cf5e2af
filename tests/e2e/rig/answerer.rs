//! An AWS endpoint of a few lines, for features that the emulator lacks: pages, throttling, failing tokens.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// Answers every request with a function, and records the requests. It ends with the test.
pub struct Answerer {
    pub endpoint: String,
    server: Arc<tiny_http::Server>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// With its query.
    pub path: String,
    /// The last part of `X-Amz-Target`; empty: there is none.
    pub target: String,
    /// The header `Authorization`; empty: there is none.
    pub authorization: String,
    /// The body, if it is JSON.
    pub input: Value,
}

impl Answerer {
    /// `answer` gives status and body. Requests are answered one at a time.
    pub fn start(mut answer: impl FnMut(&Asked) -> (u16, String) + Send + 'static) -> Answerer {
        let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
        let endpoint = format!("http://{}", server.server_addr());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (own, kept) = (Arc::clone(&server), Arc::clone(&asked));
        std::thread::spawn(move || {
            for mut request in own.incoming_requests() {
                let seen = Asked::read(&mut request);
                let (status, body) = answer(&seen);
                kept.lock().unwrap().push(seen);
                // The caller may have been killed meanwhile.
                let _ = send(request, status, &body);
            }
        });
        Answerer { endpoint, server, asked }
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// In one write: the server's own two are 40 ms apart, because the body waits (Nagle) for the acknowledgement of the
/// head.
fn send(request: tiny_http::Request, status: u16, body: &str) -> std::io::Result<()> {
    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut writer = request.into_writer();
    writer.write_all(answer.as_bytes())?;
    writer.flush()
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.server.unblock();
    }
}

impl Asked {
    fn read(request: &mut tiny_http::Request) -> Asked {
        let target = request.headers().iter().find(|header| header.field.equiv("x-amz-target"));
        let target = target.and_then(|header| header.value.as_str().rsplit('.').next()).unwrap_or_default();
        let (target, path) = (target.to_owned(), request.url().to_owned());
        let authorization = request.headers().iter().find(|header| header.field.equiv("authorization"));
        let authorization = authorization.map(|header| header.value.to_string()).unwrap_or_default();
        let mut body = String::new();
        request.as_reader().read_to_string(&mut body).unwrap();
        Asked { path, target, authorization, input: serde_json::from_str(&body).unwrap_or_default() }
    }
}

/// The page of a token, with this many entries, and the token of the next.
pub fn page_of(all: &[Value], size: usize, token: &Value) -> (Vec<Value>, Option<String>) {
    let start = token.as_str().map_or(0, |token| token.parse::<usize>().unwrap());
    let end = (start + size).min(all.len());
    (all[start.min(end)..end].to_vec(), (end < all.len()).then(|| end.to_string()))
}

/// A JSON service's refusal.
pub fn refusal(code: &str) -> (u16, String) {
    (400, format!(r#"{{"__type":"{code}","message":"as the test wants it"}}"#))
}
