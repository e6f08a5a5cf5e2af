//! A tiny HTTP server with a script: one connection, one request, one answer, in order.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::client::Client;
use super::credentials::Credentials;
use super::http::Http;
use super::provider::Provider;
use super::proxy::Proxies;
use crate::base::stop::Stop;
use crate::settings::Endpoints;

/// The server's reaction on one connection, after it has read the request.
pub enum Step {
    /// Writes the bytes and closes.
    Answer(Vec<u8>),
    /// Closes with a reset, without writing anything.
    Reset,
}

/// Plays its script on 127.0.0.1.
pub struct Server {
    pub endpoint: String,
    thread: JoinHandle<Vec<Seen>>,
}

/// A request as it arrived.
pub struct Seen {
    /// Request line and headers, lower case names.
    pub head: String,
    pub body: String,
}

impl Server {
    pub fn play(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            script.into_iter().map(|step| serve(listener.accept().unwrap().0, step)).collect()
        });
        Self { endpoint, thread }
    }

    /// Waits for the end of the script.
    pub fn seen(self) -> Vec<Seen> {
        self.thread.join().unwrap()
    }

    /// A client of this server for every service, with a key that never expires.
    pub fn client(&self, stop: &Stop) -> Client {
        self.client_as(Provider::fixed(key("AKIATESTTESTTEST0001")), stop)
    }

    pub fn client_as(&self, provider: Provider, stop: &Stop) -> Client {
        let http = Http::with(2, Proxies::default(), None).unwrap();
        Client::with(&http, provider, "us-east-1", self.endpoints(), stop)
    }

    pub fn endpoints(&self) -> Endpoints {
        Endpoints::each(|_| Some(self.endpoint.clone()))
    }
}

/// A server whose answers never end: their heads come at once, their bodies byte by byte. Returns its endpoint, and its
/// number of calls.
pub fn slow_answers() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || {
                read_request(&stream);
                let _ = stream.write_all(b"HTTP/1.1 200 X\r\ncontent-length: 1000000\r\n\r\n");
                while stream.write_all(b" ").is_ok() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
    });
    (endpoint, calls)
}

pub fn key(id: &str) -> Credentials {
    Credentials {
        access_key_id: id.to_owned(),
        secret_access_key: "secret".to_owned(),
        session_token: None,
        expires_at: None,
    }
}

/// A whole answer; `headers` are lines that end in CRLF.
pub fn answer(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Step {
    let body = body.as_ref();
    cut_short(status, headers, body, body.len())
}

/// An answer that is shorter than announced.
pub fn cut_short(status: u16, headers: &str, body: &[u8], announced: usize) -> Step {
    let head =
        format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {announced}\r\n{headers}\r\n");
    Step::Answer([head.as_bytes(), body].concat())
}

fn serve(stream: TcpStream, step: Step) -> Seen {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let seen = read_request(&stream);
    match step {
        Step::Answer(bytes) => (&stream).write_all(&bytes).unwrap(),
        Step::Reset => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
    }
    seen
}

fn read_request(stream: &TcpStream) -> Seen {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "the request broke off");
    }
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    Seen { head, body: String::from_utf8(body).unwrap() }
}
