//! The operator's HTTP endpoints: the status page, `/status.json`, `/metrics`, `/healthz`, `/readyz`.
//!
//! Listens on 127.0.0.1 unless configured otherwise, answers only GET and HEAD, and shows no secrets and no records.

mod answer;
mod docs;

use std::net::TcpStream;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::base::limits::{STATUS_CONNECTIONS_MAX, STATUS_HEAD_BYTES_MAX, STATUS_PATIENCE, STATUS_RETRY};
use crate::base::stop::Stop;
use crate::http::{self, Activity, Bounds, Server};
use crate::settings;
use crate::telemetry::{Health, Telemetry};

pub use answer::Site;

/// The server's thread. Dropping it stops the server.
pub struct Status {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Status {
    /// Starts serving. A port in use does not stop collection: it is logged and retried periodically.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(settings: &settings::Status, telemetry: &Arc<Telemetry>) -> std::io::Result<Status> {
        let stop = Stop::new();
        let site = Arc::new(Site { telemetry: Arc::clone(telemetry), hosts: settings.hosts.clone() });
        let address = settings.address;
        let for_thread = stop.clone();
        let serve = move || {
            let health = Health::new(format!("the status page at http://{address}/"));
            while !for_thread.is_stopped() {
                let site = Arc::clone(&site);
                let serve = move |stream, activity: &Activity| serve(&stream, activity, &site);
                match Server::start("status", address, STATUS_CONNECTIONS_MAX, serve) {
                    Ok(_server) => {
                        health.works();
                        for_thread.wait_until_stopped();
                    }
                    Err(error) => {
                        health.failed(taken(&error), false);
                        for_thread.wait(STATUS_RETRY);
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("status-page".into()).spawn(serve)?;
        Ok(Status { stop, thread: Some(thread) })
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

/// Anyone may connect, so each client's use is bounded.
const BOUNDS: Bounds = Bounds {
    head_bytes_max: STATUS_HEAD_BYTES_MAX,
    body_bytes_max: 0,
    request_time: Some(STATUS_PATIENCE),
    answer_time: Some(STATUS_PATIENCE),
};

fn serve(stream: &TcpStream, activity: &Activity, site: &Site) {
    // Errors are the client's: it disconnected, was too slow, or does not speak HTTP.
    let _ = http::serve_bounded(stream, &BOUNDS, activity, |request| site.answer(request));
}

fn taken(error: &std::io::Error) -> String {
    format!(
        "cannot be served: {error}. Logs are still collected. Is another collector running? Give this one another \
         globals.status.port, or disable the page (globals.status.enabled: false)"
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn get(port: u16, head: &str) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        write!(stream, "{head}\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    }

    fn free_port() -> u16 {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
    }

    fn page(port: u16) -> Status {
        let settings = settings::Status { address: (Ipv4Addr::LOCALHOST, port).into(), hosts: vec![] };
        Status::start(&settings, &Arc::default()).unwrap()
    }

    #[test]
    fn it_serves_until_it_is_dropped() {
        let port = free_port();
        let status = page(port);
        let answer = loop {
            if let Some(answer) = get(port, "GET /healthz HTTP/1.1\r\nHost: localhost") {
                break answer;
            }
            std::thread::yield_now();
        };
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("alive\n"), "{answer}");
        assert!(get(port, "DELETE / HTTP/1.1\r\nHost: localhost").unwrap().starts_with("HTTP/1.1 405 "));
        drop(status);
        assert!(get(port, "GET /healthz HTTP/1.1\r\nHost: localhost").is_none());
    }

    /// A served page's socket.
    fn await_page(port: u16) {
        while get(port, "GET /healthz HTTP/1.1\r\nHost: localhost").is_none() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_probe_is_answered_whatever_others_do() {
        let port = free_port();
        let _status = page(port);
        await_page(port);
        let probe = || get(port, "GET /healthz HTTP/1.1\r\nHost: localhost").unwrap_or_default();
        // Heads that never end, silent connections, and bodies.
        let slow: Vec<TcpStream> = (0..STATUS_CONNECTIONS_MAX + 8)
            .map(|number| {
                let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                let head = [
                    "GET / HTTP/1.1\r\nHost: local",
                    "",
                    "POST / HTTP/1.1\r\ncontent-length: 9999999\r\n\r\nabc",
                ];
                let _ = stream.write_all(head[number % 3].as_bytes());
                stream
            })
            .collect();
        for _ in 0..42 {
            assert!(probe().ends_with("alive\n"));
        }
        let crowd: Vec<_> = (0..8)
            .map(|_| {
                std::thread::spawn(move || {
                    (0..25).filter_map(|_| get(port, "GET /readyz HTTP/1.1\r\nHost: localhost")).count()
                })
            })
            .collect();
        let answered: usize = crowd.into_iter().map(|probes| probes.join().unwrap()).sum();
        assert_eq!(answered, 200);
        drop(slow);
    }

    #[test]
    fn a_body_is_refused() {
        let port = free_port();
        let _status = page(port);
        await_page(port);
        let answer = get(port, "POST / HTTP/1.1\r\nHost: localhost\r\ncontent-length: 9999999").unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("a body is not allowed"), "{answer}");
    }

    #[test]
    fn a_port_that_is_taken_is_no_reason_to_fail() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        drop(page(listener.local_addr().unwrap().port()));
    }
}
