//! The embedded S3 + SQS endpoint: plain HTTP on 127.0.0.1, everything in memory.
//!
//! It serves only a collector's calls: GetObject (path-style), ReceiveMessage with long polling, DeleteMessageBatch,
//! ChangeMessageVisibilityBatch, GetQueueAttributes, GetQueueUrl. A request must have a SigV4 `Authorization` header
//! that names [`ACCESS_KEY_ID`]; **the signature itself is not checked**, so this proves nothing about signing.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::queue::Settings;
use super::s3::{self, Objects};
use super::sqs::{self, ApiError, Call, Queues, Receive};
use super::{CONNECTIONS_MAX, local};
use crate::base::locks::{intact, lock};
use crate::http::{self, Body, Request, Response, Server};

pub use super::queue::QueueState;

/// The only accepted key. The form is AWS's; it is nobody's key.
pub const ACCESS_KEY_ID: &str = "AKIADEMODEMODEMODEMO";
/// Any secret works; this one is for configurations that need one.
pub const SECRET_ACCESS_KEY: &str = "demo-secret-that-opens-nothing";
pub const REGION: &str = "us-east-1";

/// The running endpoint. Dropping it closes all connections and joins all threads.
pub struct Aws {
    shared: Arc<Stores>,
    server: Server,
}

struct Stores {
    objects: Mutex<Objects>,
    queues: Mutex<Queues>,
    /// Notified when a message is sent, becomes visible early, or everything ends.
    changed: Condvar,
    stopping: AtomicBool,
    clock: Clock,
}

impl Aws {
    /// Listens on a free port of 127.0.0.1.
    pub fn start() -> io::Result<Aws> {
        let shared = Arc::new(Stores {
            objects: Mutex::default(),
            queues: Mutex::default(),
            changed: Condvar::new(),
            stopping: AtomicBool::new(false),
            clock: Clock::start(),
        });
        let for_server = Arc::clone(&shared);
        let server = Server::start("testbed-aws", local(0), CONNECTIONS_MAX, move |stream, activity| {
            activity.works();
            // Errors are the client's: it disconnected, or does not speak HTTP.
            let _ = http::serve(stream, |request| for_server.answer(request));
        })?;
        Ok(Aws { shared, server })
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `http://127.0.0.1:<port>`: the endpoint of both services.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The URL of a queue, whether it exists or not.
    pub fn queue_url(&self, queue: &str) -> String {
        sqs::queue_url(&self.url(), queue)
    }

    /// Stores an object; one with the same name is replaced.
    pub fn put(&self, bucket: &str, key: &str, bytes: impl Into<Arc<[u8]>>) {
        lock(&self.shared.objects).put(bucket, key, bytes.into());
    }

    /// Creates a queue with these settings; an existing one loses its messages.
    pub fn create_queue(&self, queue: &str, settings: Settings) {
        self.shared.queues().create(queue, settings);
    }

    /// Sends a message to a queue, which is created if missing.
    pub fn send(&self, queue: &str, body: impl Into<String>) {
        self.shared.queues().send(queue, body.into(), self.shared.clock.now());
        self.shared.changed.notify_all();
    }

    /// A queue's figures; all zero if it does not exist.
    pub fn queue_state(&self, queue: &str) -> QueueState {
        self.shared.queues().state(queue, self.shared.clock.now())
    }

    /// Closes every open connection, like a failing balancer.
    pub fn cut_connections(&self) {
        self.server.cut_connections();
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Taking the lock ensures that no long poll is between its check of `stopping` and its wait.
        drop(self.shared.queues());
        self.shared.changed.notify_all();
    }
}

impl Stores {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        lock(&self.queues)
    }

    fn answer(&self, request: &Request) -> Response {
        match (request.header("x-amz-target"), is_signed(request)) {
            (Some(target), true) => match self.sqs(target, request) {
                Ok(value) => sqs_response(200, &value),
                Err(error) => sqs_error(400, &error),
            },
            (Some(_), false) => {
                let message = "The security token included in the request is invalid.".to_owned();
                sqs_error(403, &ApiError { code: "InvalidClientTokenId", message })
            }
            (None, true) => lock(&self.objects).answer(request),
            (None, false) => s3::error(403, "InvalidAccessKeyId", "The access key id is not known here."),
        }
    }

    fn sqs(&self, target: &str, request: &Request) -> Result<Value, ApiError> {
        let base = format!("http://{}", request.header("host").unwrap_or("127.0.0.1"));
        let call = self.queues().call(target, &request.body, &base, self.clock.now())?;
        match call {
            Call::Receive(ask) => Ok(self.long_poll(&ask)),
            Call::Done(value) => {
                if target.ends_with("VisibilityBatch") {
                    self.changed.notify_all();
                }
                Ok(value)
            }
        }
    }

    fn long_poll(&self, ask: &Receive) -> Value {
        let until = self.clock.now() + ask.wait;
        let mut queues = self.queues();
        loop {
            let now = self.clock.now();
            if let Some(messages) = queues.receive(ask, now) {
                return messages;
            }
            if now >= until || self.stopping.load(Ordering::SeqCst) {
                return json!({});
            }
            let wake_at = queues.next_visible_at().map_or(until, |at| at.min(until));
            let wait = wake_at.saturating_sub(now);
            queues = intact(self.changed.wait_timeout(queues, wait)).0;
        }
    }
}

/// Checks presence and key id only; see the module's documentation.
fn is_signed(request: &Request) -> bool {
    let credential = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("AWS4-HMAC-SHA256 "))
        .and_then(|value| value.trim_start().strip_prefix("Credential="));
    credential.and_then(|c| c.split('/').next()) == Some(ACCESS_KEY_ID)
}

fn sqs_response(status: u16, value: &Value) -> Response {
    let headers = vec![("content-type", "application/x-amz-json-1.0".to_owned())];
    Response { status, headers, body: Body::Owned(value.to_string().into_bytes()) }
}

fn sqs_error(status: u16, error: &ApiError) -> Response {
    let kind = format!("com.amazonaws.sqs#{}", error.code);
    sqs_response(status, &json!({ "__type": kind, "message": error.message }))
}

/// Time since the epoch that never goes back: a changed clock must not make messages visible.
struct Clock {
    epoch: Duration,
    started: Instant,
}

impl Clock {
    fn start() -> Clock {
        let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Clock { epoch, started: Instant::now() }
    }

    fn now(&self) -> Duration {
        self.epoch + self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=AKIADEMODEMODEMODEMO/20261121/us-east-1/s3/aws4_request, \
        SignedHeaders=host, Signature=00";

    fn client() -> ureq::Agent {
        ureq::Agent::config_builder().http_status_as_error(false).build().into()
    }

    fn get(url: &str, authorization: &str, range: &str) -> (u16, Vec<u8>) {
        let request = client().get(url).header("authorization", authorization).header("range", range);
        let mut response = request.call().unwrap();
        (response.status().as_u16(), response.body_mut().read_to_vec().unwrap())
    }

    fn sqs(agent: &ureq::Agent, aws: &Aws, operation: &str, body: Value) -> Value {
        let request = agent
            .post(aws.url())
            .header("authorization", SIGNED)
            .header("x-amz-target", format!("AmazonSQS.{operation}"));
        let mut response = request.send(body.to_string()).unwrap();
        serde_json::from_slice(&response.body_mut().read_to_vec().unwrap()).unwrap()
    }

    #[test]
    fn objects_are_served_in_ranges_over_http() {
        let aws = Aws::start().unwrap();
        let object: Vec<u8> = (0..9_000_000u32).map(|i| (i / 7) as u8).collect();
        aws.put("b", "a b/c=1.gz", object.clone());
        let url = format!("{}/b/a%20b/c%3D1.gz", aws.url());
        assert_eq!(get(&url, SIGNED, "bytes=100-8388707"), (206, object[100..8_388_708].to_vec()));
        assert_eq!(get(&url, SIGNED, "bytes=9000000-").0, 416);
    }

    #[test]
    fn only_the_demo_key_is_let_in() {
        let aws = Aws::start().unwrap();
        aws.put("b", "k", *b"x");
        let url = format!("{}/b/k", aws.url());
        for refused in
            ["", "Basic x", &SIGNED.replace("AKIADEMO", "AKIAOTHR"), "AWS4-HMAC-SHA256 Credential="]
        {
            let (status, body) = get(&url, refused, "bytes=0-");
            assert_eq!(status, 403, "{refused:?}");
            assert!(String::from_utf8_lossy(&body).contains("InvalidAccessKeyId"));
        }
        let refused = client().post(aws.url()).header("x-amz-target", "AmazonSQS.ReceiveMessage").send("{}");
        assert_eq!(refused.unwrap().status().as_u16(), 403);
    }

    #[test]
    fn a_long_poll_is_woken_by_a_message() {
        let aws = Aws::start().unwrap();
        aws.create_queue("q", Settings::default());
        let agent = client();
        let url = aws.queue_url("q");
        let got = thread::scope(|scope| {
            let ask = json!({ "QueueUrl": url, "WaitTimeSeconds": 20 });
            let poll = scope.spawn(|| sqs(&agent, &aws, "ReceiveMessage", ask));
            aws.send("q", "late");
            poll.join().unwrap()
        });
        assert_eq!(got["Messages"][0]["Body"], "late");
        assert_eq!(aws.queue_state("q"), QueueState { in_flight: 1, received: 1, ..QueueState::default() });
        let entries = json!([{ "Id": "1", "ReceiptHandle": got["Messages"][0]["ReceiptHandle"] }]);
        sqs(&agent, &aws, "DeleteMessageBatch", json!({ "QueueUrl": url, "Entries": entries }));
        assert_eq!(aws.queue_state("q"), QueueState { deleted: 1, received: 1, ..QueueState::default() });
    }

    #[test]
    fn a_long_poll_is_woken_by_a_message_given_back() {
        let aws = Aws::start().unwrap();
        aws.send("q", "m");
        let agent = client();
        let url = aws.queue_url("q");
        let first = sqs(&agent, &aws, "ReceiveMessage", json!({ "QueueUrl": url }));
        let handle = &first["Messages"][0]["ReceiptHandle"];
        let entries = json!([{ "Id": "1", "ReceiptHandle": handle, "VisibilityTimeout": 0 }]);
        let second = thread::scope(|scope| {
            let ask = json!({ "QueueUrl": url, "WaitTimeSeconds": 20 });
            let poll = scope.spawn(|| sqs(&agent, &aws, "ReceiveMessage", ask));
            sqs(&agent, &aws, "ChangeMessageVisibilityBatch", json!({ "QueueUrl": url, "Entries": entries }));
            poll.join().unwrap()
        });
        assert_eq!(second["Messages"][0]["Body"], "m");
    }

    #[test]
    fn dropping_it_ends_a_long_poll() {
        let aws = Aws::start().unwrap();
        aws.create_queue("q", Settings::default());
        let (url, queue_url) = (aws.url(), aws.queue_url("q"));
        let poll = thread::spawn(move || {
            let body = json!({ "QueueUrl": queue_url, "WaitTimeSeconds": 20 }).to_string();
            let request = client().post(url).header("authorization", SIGNED);
            request.header("x-amz-target", "AmazonSQS.ReceiveMessage").send(body).is_ok()
        });
        drop(aws);
        // Whether it was answered in time or cut off, it ended, and so did the server's threads.
        let _ = poll.join().unwrap();
    }
}
