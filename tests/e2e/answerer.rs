//! An AWS endpoint of a few lines, for what the emulator does not do: pages, throttling, tokens that fail.

use std::sync::{Arc, Mutex};

/// Answers every request by a function, and keeps what was asked. It ends with the test.
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
}

impl Answerer {
    /// `answer` gives status and body. Requests are answered one at a time.
    pub fn start(mut answer: impl FnMut(&Asked) -> (u16, String) + Send + 'static) -> Answerer {
        let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
        let endpoint = format!("http://{}", server.server_addr());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (own, kept) = (Arc::clone(&server), Arc::clone(&asked));
        std::thread::spawn(move || {
            for request in own.incoming_requests() {
                let seen = Asked { path: request.url().to_owned() };
                let (status, body) = answer(&seen);
                kept.lock().unwrap().push(seen);
                // Who asked may have been killed meanwhile.
                let _ = request.respond(tiny_http::Response::from_string(body).with_status_code(status));
            }
        });
        Answerer { endpoint, server, asked }
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.server.unblock();
    }
}
