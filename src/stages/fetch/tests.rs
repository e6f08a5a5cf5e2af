use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::*;
use crate::aws::S3;
use crate::aws::{Client, Credentials, Http, Provider};
use crate::base::budget::Budget;
use crate::base::buffers::Buffers;
use crate::base::object::Object;
use crate::base::stop::Stop;
use crate::config;
use crate::decode::Bounds;
use crate::handoff::schedule;
use crate::handoff::schedule::{Bounds as LaneBounds, Lane};
use crate::http::{self, Body, Request, Response, Server};
use crate::ledger::Ledger;
use crate::settings;
use crate::settings::Input;
use crate::settings::MissingObject;
use crate::telemetry;
use crate::telemetry::Telemetry;

/// Generous: a test that passes never waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

const TWO_INPUTS: &str = r#"
      sqs_collector_1: {id: "1", base_url: "https://sqs.us-east-1.amazonaws.com/111111111111/p", services: {aws_sqs_vpc: {}}}
      sqs_collector_2: {id: "2", base_url: "https://sqs.us-east-1.amazonaws.com/111111111111/q", services: {aws_sqs_vpc: {}}}"#;

/// Fetchers with an S3 that answers by the bucket's name: `forbidden`, `missing`, `broken`, `hanging`, or else returns
/// an object of a few bytes.
struct Lab {
    lanes: Vec<Lane<Task>>,
    inputs: Vec<Input>,
    telemetry: Arc<Telemetry>,
    /// Keys that reached the decoder.
    decoded: Receiver<String>,
    /// How each task ended, by its key.
    ended: Receiver<(String, Outcome)>,
    end: Sender<(String, Outcome)>,
    /// GETs so far, by bucket and key.
    asked: Arc<Mutex<Vec<String>>>,
    stop: Stop,
    /// Lets the hanging calls continue.
    release: Stop,
    fetchers: Crew,
    _server: Server,
}

impl Lab {
    fn start(fetchers: usize) -> Lab {
        let config = config::testing::of_inputs(TWO_INPUTS);
        let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
        let (asked, release, stop) = (Arc::<Mutex<Vec<String>>>::default(), Stop::new(), Stop::new());
        let server = serve(&asked, &release);
        let endpoint = format!("http://{}", server.address());
        let provider = Provider::fixed(Credentials {
            access_key_id: "AKIATESTTESTTEST0001".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
            expires_at: None,
        });
        let http = Http::with(fetchers, crate::aws::proxy::Proxies::default(), None).unwrap();
        let endpoints = settings::Endpoints::each(|_| Some(endpoint.clone()));
        let client = Client::with(&http, provider, "us-east-1", endpoints, &stop);
        let side = |telemetry: &Arc<telemetry::Input>| InputSettings {
            s3: S3::new(client.without_waits()),
            id: "1".to_owned(),
            ledger: Ledger::none(),
            shared: None,
            missing_object: MissingObject::Skip,
            telemetry: Arc::clone(telemetry),
        };
        let (decoded, arrived) = unbounded();
        let settings = Settings {
            inputs: telemetry.inputs.iter().map(side).collect(),
            budget: Budget::new(1 << 20),
            decoders: Budget::new(1 << 20),
            ledger: Ledger::none(),
            buffers: Buffers::new(0),
            whole_object_bytes_max: 1 << 20,
            bounds: Bounds::default(),
            waits: Arc::clone(&telemetry.waits),
            decode: Arc::new(move |payload| {
                decoded.send(payload.work.source.key().to_owned()).unwrap();
                payload.work.ack.close(Outcome::Delivered);
            }),
            stop: stop.clone(),
            abort: Stop::new(),
        };
        let (lanes, schedule) = schedule::new(2, LaneBounds { messages: 9999, tasks: 9999, begun: 9999 });
        let fetchers = start(fetchers, &schedule, settings).unwrap();
        let (end, ended) = unbounded();
        let inputs = config.inputs;
        Lab {
            lanes,
            inputs,
            telemetry,
            decoded: arrived,
            ended,
            end,
            asked,
            stop,
            release,
            fetchers,
            _server: server,
        }
    }

    /// Adds a message that names these objects of a bucket.
    fn message(&self, input: usize, bucket: &str, keys: &[&str]) {
        let objects = keys.iter().map(|key| Object { size: Some(10), ..Object::named(bucket, key) });
        self.announce(input, objects.collect());
    }

    fn announce(&self, input: usize, objects: Vec<Object>) {
        let task = |object: Object| {
            let (end, name) = (self.end.clone(), object.key.clone());
            let ack = Ack::open(move |outcome| end.send((name, outcome)).unwrap());
            let share = ack.share();
            ack.close(Outcome::Delivered);
            let service = self.inputs[input].services[0].of_object(&object.key);
            Task {
                source: TaskSource::S3(object),
                service,
                input,
                share,
                fate: Fate::default(),
                turn: None,
                pulled: None,
                not_before: None,
            }
        };
        let tasks: Vec<_> = objects.into_iter().map(task).collect();
        assert!(self.lanes[input].put(tasks, &self.stop));
    }

    fn decoded(&self) -> String {
        self.decoded.recv_timeout(PATIENCE).unwrap()
    }

    fn asked_for(&self, bucket: &str) -> usize {
        let start = format!("/{bucket}/");
        self.asked.lock().unwrap().iter().filter(|path| path.starts_with(&start)).count()
    }

    fn delayed(&self, input: usize) -> i64 {
        self.telemetry.inputs[input].fetch.delayed.value()
    }

    fn wait_until(&self, holds: impl Fn(&Lab) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the lanes and waits for all threads; returns how the tasks ended.
    fn end(self) -> BTreeMap<String, Outcome> {
        drop(self.lanes);
        self.release.stop();
        self.stop.stop();
        await_end(&self.fetchers);
        drop(self.end);
        self.ended.into_iter().collect()
    }
}

fn serve(asked: &Arc<Mutex<Vec<String>>>, release: &Stop) -> Server {
    let (asked, release) = (Arc::clone(asked), release.clone());
    let answer = move |request: &Request| {
        let path = request.target.clone();
        asked.lock().unwrap().push(path.clone());
        match path.split('/').nth(1) {
            Some("forbidden") => refuse(403, "AccessDenied"),
            Some("missing") => refuse(404, "NoSuchKey"),
            // These have a plus in their key, and no blank.
            Some("plus") if !path.contains("%2B") => refuse(404, "NoSuchKey"),
            Some("plus-unlisted") if !path.contains("%2B") => refuse(403, "AccessDenied"),
            Some("broken") => {
                let mut response = refuse(503, "SlowDown");
                response.headers.push(("retry-after", "20".to_owned()));
                response
            }
            Some("hanging") if path.ends_with("first") => refuse(503, "SlowDown"),
            Some("hanging") => {
                release.wait_until_stopped();
                refuse(503, "SlowDown")
            }
            _ => {
                let object = b"0123456789";
                let len = if request.header("range") == Some("bytes=0-0") { 1 } else { object.len() };
                let range = format!("bytes 0-{}/10", len - 1);
                let headers = vec![
                    ("etag", "\"e\"".to_owned()),
                    ("content-range", range),
                    ("x-amz-request-id", "r".to_owned()),
                ];
                Response { status: 206, headers, body: Body::Owned(object[..len].to_vec()) }
            }
        }
    };
    let answer = Arc::new(answer);
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Server::start("test-s3", address, 100, move |stream, activity: &http::Activity| {
        activity.works();
        let _ = http::serve(stream, |request| answer(request));
    })
    .unwrap()
}

fn refuse(status: u16, code: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code><Message>as the test wishes</Message></Error>");
    Response { status, headers: Vec::new(), body: Body::Owned(body.into_bytes()) }
}

#[test]
fn objects_that_cannot_be_read_hold_no_fetcher() {
    for bucket in ["forbidden", "broken"] {
        let lab = Lab::start(1);
        for number in 0..8 {
            lab.message(0, bucket, &[format!("bad-{number}").as_str()]);
        }
        lab.wait_until(|lab| lab.delayed(0) == 8);
        lab.message(1, "good", &["of-another-input"]);
        assert_eq!(lab.decoded(), "of-another-input");
        lab.message(0, "good", &["of-the-same-input"]);
        assert_eq!(lab.decoded(), "of-the-same-input");
        assert!(lab.telemetry.inputs[0].fetch.active.value() <= 1);
        // A stop returns waiting messages.
        let ended = lab.end();
        let given_back = ended.iter().filter(|(_, outcome)| **outcome == Outcome::Retry).count();
        assert_eq!((ended.len(), given_back), (10, 8), "{ended:?}");
    }
}

#[test]
fn a_message_of_many_missing_objects_does_not_hold_up_another() {
    let lab = Lab::start(1);
    let keys: Vec<_> = (0..2000).map(|number| format!("m{number}")).collect();
    lab.message(0, "missing", &keys.iter().map(String::as_str).collect::<Vec<_>>());
    lab.message(0, "good", &["g1", "g2", "g3"]);
    assert_eq!([lab.decoded(), lab.decoded(), lab.decoded()], ["g1", "g2", "g3"]);
    assert!(lab.asked_for("missing") < 500, "{} before the good ones", lab.asked_for("missing"));
    lab.end();
}

#[test]
fn a_share_of_the_fetchers_always_tries_something_else() {
    let lab = Lab::start(4);
    lab.message(0, "hanging", &["first"]);
    lab.wait_until(|lab| lab.delayed(0) == 1);
    lab.message(0, "hanging", &["h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8"]);
    lab.wait_until(|lab| lab.delayed(0) >= 6);
    lab.message(1, "good", &["g1", "g2"]);
    assert_eq!([lab.decoded(), lab.decoded()].iter().filter(|key| key.starts_with('g')).count(), 2);
    assert!(lab.telemetry.inputs[0].fetch.active.value() <= 2, "half of four");
    lab.end();
}

#[test]
fn other_buckets_are_read_though_all_fetchers_wait_for_what_does_not_arrive() {
    let lab = Lab::start(4);
    lab.message(0, "hanging", &["h1", "h2", "h3", "h4", "h5", "h6"]);
    lab.wait_until(|lab| lab.asked_for("hanging") == 4);
    lab.message(1, "good", &["g1", "g2"]);
    assert_eq!([lab.decoded(), lab.decoded()].iter().filter(|key| key.starts_with('g')).count(), 2);
    assert!(lab.telemetry.inputs[0].buckets.trouble().is_none(), "no call has failed yet");
    assert_eq!(lab.asked_for("hanging"), 4, "the spare one does not try the same");
    lab.end();
}

#[test]
fn a_missing_object_is_tried_again_and_then_skipped() {
    let lab = Lab::start(2);
    lab.message(0, "missing", &["gone"]);
    let (key, outcome) = lab.ended.recv_timeout(PATIENCE).unwrap();
    assert_eq!((key.as_str(), outcome), ("gone", Outcome::Delivered), "skipped, as the input wishes");
    assert_eq!(lab.asked_for("missing"), crate::base::limits::OBJECT_ATTEMPTS as usize);
    lab.end();
}

/// Not every sender encodes keys as S3 does. An object that is read in place of another spelling of its key counts as
/// that object everywhere: in its tag's fields, in the ledger, and in how its message ends.
#[test]
fn an_object_that_is_not_there_is_read_under_the_other_spelling_of_its_key() {
    let lab = Lab::start(2);
    let named = |bucket, key: &str, other: &str| {
        let other_key = Some(other.to_owned());
        Object { other_key, ..Object::named(bucket, key) }
    };
    for bucket in ["plus", "plus-unlisted"] {
        lab.announce(0, vec![named(bucket, "a b", "a+b")]);
        assert_eq!(lab.decoded(), "a+b", "{bucket}");
        let ended = lab.ended.recv_timeout(PATIENCE).unwrap();
        assert_eq!(ended, ("a b".to_owned(), Outcome::Delivered), "{bucket}");
        assert_eq!(lab.asked_for(bucket), 3, "once by each spelling, and once for its bytes");
    }
    // The spelling of S3's own events comes first.
    lab.announce(0, vec![named("good", "a b", "a+b")]);
    assert_eq!(lab.decoded(), "a b");
    lab.ended.recv_timeout(PATIENCE).unwrap();
    // Neither exists: it ends like any missing object, under the announced name.
    lab.announce(0, vec![named("missing", "a b", "a+b")]);
    assert_eq!(lab.ended.recv_timeout(PATIENCE).unwrap(), ("a b".to_owned(), Outcome::Delivered));
    assert_eq!(lab.asked_for("missing"), 2 * crate::base::limits::OBJECT_ATTEMPTS as usize);
    lab.end();
}

#[test]
fn fetchers_end_only_when_nothing_is_delayed_any_more() {
    let lab = Lab::start(2);
    lab.message(0, "missing", &["gone"]);
    lab.wait_until(|lab| lab.delayed(0) == 1);
    let Lab { lanes, fetchers, ended, stop, end, .. } = lab;
    drop(lanes);
    let (_, outcome) = ended.recv_timeout(PATIENCE).unwrap();
    assert_eq!(outcome, Outcome::Delivered, "its tries went on without any lane");
    stop.stop();
    await_end(&fetchers);
    drop(end);
}

/// Waits until all threads have ended, and none by a panic.
fn await_end(crew: &Crew) {
    while !crew.has_ended() {
        std::thread::yield_now();
    }
    assert_eq!(crew.panicked(), None);
}
