//! The loop with its thread, before a server of its own; what becomes of the pages is the test's choice.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tiny_http::{Header, Request, Response, Server};

use super::*;
use crate::aws::Http;
use crate::config::Environment;
use crate::limits::LEDGER_SAVE_TIMEOUT;
use crate::telemetry::Telemetry;

const ACCOUNT: &str = "123456789012";
/// Of every event, whatever slot is asked for: later than all, so that no slot leaves them behind.
const TIME: i64 = 4_102_444_800;

/// An account with three events, looked up by a drain.
struct Account {
    directory: TempDir,
    server: Arc<Server>,
    lookups: Arc<AtomicUsize>,
}

impl Account {
    fn new() -> Account {
        Account::with_clock(|_| 0)
    }

    /// `ahead`: by how many seconds the clock of an answer is wrong, by the number of lookups before it.
    fn with_clock(ahead: impl Fn(usize) -> i64 + Send + 'static) -> Account {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let lookups = Arc::new(AtomicUsize::new(0));
        let (serving, count) = (Arc::clone(&server), Arc::clone(&lookups));
        std::thread::spawn(move || {
            serving.incoming_requests().for_each(|request| answer(request, &count, &ahead));
        });
        Account { directory: TempDir::new().unwrap(), server, lookups }
    }

    fn config(&self) -> config::Config {
        let input = json!({
            "id": "1",
            "endpoint_url": format!("http://{}", self.server.server_addr()),
            "credentials": {"access_key": "AKIATESTTESTTEST0001", "access_secret": "secret"},
            "services": {"audit-events-all": {
                "types": ["audits_api"], "regions": ["us-east-1"],
                "start_time": "2026-03-29T00:00:00Z", "time_slot_in_hours": 2160
            }}
        });
        let text = json!({"outputs": {"c": {"type": "console"}}, "inputs": {"aws": input}}).to_string();
        config::parse(&text, Path::new(""), &Environment::here()).unwrap().config
    }

    /// Drains; `decode` says what becomes of each page, by its number.
    fn drain(&self, decode: impl Fn(usize, Payload) + Send + Sync + 'static) -> Ledger {
        self.drain_watched(move |number, payload, _| decode(number, payload))
    }

    /// The same, with a look at the source's health.
    fn drain_watched(
        &self,
        decode: impl Fn(usize, Payload, &telemetry::Input) + Send + Sync + 'static,
    ) -> Ledger {
        let (config, stop) = (self.config(), Stop::new());
        let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
        let source = config.sources[0].clone();
        let http = Http::new(2).unwrap();
        let config::Source { credentials, endpoints, region, .. } = &source;
        let client = Client::new(&http, "test", credentials, endpoints, region, &stop);
        let ledger =
            Ledger::open(self.directory.path(), &crate::ledger::Scope::default(), &telemetry).unwrap();
        let (number, seen) = (AtomicUsize::new(0), Arc::clone(&telemetry.inputs[0]));
        let settings = Settings {
            index: 0,
            client,
            paces: vec![],
            ledger: ledger.clone(),
            budget: Budget::new(1 << 20),
            bounds: Bounds::default(),
            telemetry: Arc::clone(&telemetry.inputs[0]),
            decode: Arc::new(move |payload| decode(number.fetch_add(1, Ordering::SeqCst), payload, &seen)),
            drain: true,
            stop,
            abort: Stop::new(),
            source,
        };
        let poller = Poller::start(settings).unwrap();
        let started = std::time::Instant::now();
        while !poller.is_finished() {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "{:?}",
                poller.shared.telemetry.health.trouble()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        ledger.save(LEDGER_SAVE_TIMEOUT);
        ledger
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.server.unblock();
    }
}

fn answer(mut request: Request, lookups: &AtomicUsize, ahead: &impl Fn(usize) -> i64) {
    let time = Timestamp::now() + SignedDuration::from_secs(ahead(lookups.load(Ordering::SeqCst)));
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap();
    let date = Header::from_bytes("Date", date).unwrap();
    let mut body = String::new();
    request.as_reader().read_to_string(&mut body).unwrap();
    if body.contains("GetCallerIdentity") {
        let identity = format!(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::{ACCOUNT}:user/u</Arn>\
             <UserId>U</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
        );
        request.respond(Response::from_string(identity).with_header(date)).unwrap();
        return;
    }
    lookups.fetch_add(1, Ordering::SeqCst);
    let event = |id: u32| json!({"EventId": id.to_string(), "EventTime": TIME, "CloudTrailEvent": format!("{{\"n\":{id}}}")});
    // Two pages, one of two events and one of one.
    let answer = if body.contains("NextToken") {
        json!({"Events": [event(3)]})
    } else {
        json!({"Events": [event(1), event(2)], "NextToken": "t"})
    };
    request.respond(Response::from_string(answer.to_string()).with_header(date)).unwrap();
}

/// Takes note of a page's text and delivers it.
fn deliver(payload: Payload, texts: &mpsc::Sender<String>) {
    texts.send(String::from_utf8(payload.chunk.to_vec()).unwrap()).unwrap();
    payload.work.ack.close(Outcome::Delivered);
}

#[test]
fn a_page_that_could_not_be_delivered_is_read_again_and_those_behind_it_are_not_lost() {
    for refuse in [0, 1] {
        let (account, (texts, delivered)) = (Account::new(), mpsc::channel());
        let ledger = account.drain(move |number, payload| {
            if number == refuse {
                payload.work.ack.close(Outcome::Reject);
            } else {
                deliver(payload, &texts);
            }
        });
        let mut delivered: Vec<String> =
            delivered.iter().flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        delivered.sort();
        delivered.dedup();
        assert_eq!(delivered, ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"], "without page {refuse}");
        let known = ledger.polled("1/audit-events-all/audits_api/us-east-1").unwrap();
        assert!(known.checkpoints[""].as_str() > "2026-03-29", "{known:?}");
    }
}

#[test]
fn a_panic_begins_again_at_the_checkpoint() {
    let (account, (texts, delivered)) = (Account::new(), mpsc::channel());
    account.drain(move |number, payload| match number {
        0 => panic!("on purpose"),
        _ => deliver(payload, &texts),
    });
    assert_eq!(delivered.iter().collect::<String>().lines().count(), 3);
}

#[test]
fn a_source_that_panics_again_and_again_is_in_trouble_until_a_pull_has_ended() {
    let (account, (texts, delivered)) = (Account::new(), mpsc::channel());
    let (troubles, seen) = mpsc::channel();
    account.drain_watched(move |number, payload, input| {
        troubles.send(input.health.trouble().map(|trouble| trouble.lasting)).unwrap();
        match number {
            0 | 1 => panic!("on purpose"),
            _ => deliver(payload, &texts),
        }
    });
    assert_eq!(seen.iter().collect::<Vec<_>>(), [None, Some(true), Some(true), Some(true)]);
    assert_eq!(delivered.iter().collect::<String>().lines().count(), 3);
}

#[test]
fn what_is_delivered_is_not_sent_again_by_the_next_run() {
    let (account, (texts, delivered)) = (Account::new(), mpsc::channel());
    let (first, second) = (texts.clone(), texts);
    account.drain(move |_, payload| deliver(payload, &first)).close(LEDGER_SAVE_TIMEOUT);
    let lookups = account.lookups.load(Ordering::SeqCst);
    // The next slot begins with the last one's last second, once there is another one behind it.
    std::thread::sleep(Duration::from_secs(1));
    account.drain(move |_, payload| deliver(payload, &second)).close(LEDGER_SAVE_TIMEOUT);
    assert!(account.lookups.load(Ordering::SeqCst) > lookups, "it has looked again");
    assert_eq!(delivered.iter().collect::<String>().lines().count(), 3);
}

#[test]
fn the_checkpoint_of_another_account_is_not_gone_on_from() {
    let (account, (texts, delivered)) = (Account::new(), mpsc::channel());
    let (first, second) = (texts.clone(), texts);
    account.drain(move |_, payload| deliver(payload, &first)).close(LEDGER_SAVE_TIMEOUT);
    let file = account.directory.path().join(crate::ledger::FILE);
    let ledger = rusqlite::Connection::open(&file).unwrap();
    ledger.execute("UPDATE accounts SET account = '999999999999'", ()).unwrap();
    let forget = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        crate::ledger::Store::attach(&file).unwrap().forget_sources("1").unwrap()
    });
    // It waits until the checkpoint is forgotten, and then reads everything.
    account.drain(move |_, payload| deliver(payload, &second));
    assert!(forget.join().unwrap() > 0);
    assert_eq!(delivered.iter().collect::<String>().lines().count(), 6);
}

#[test]
fn a_source_that_is_forgotten_while_it_runs_begins_anew() {
    let (account, (texts, delivered)) = (Account::new(), mpsc::channel());
    let file = account.directory.path().join(crate::ledger::FILE);
    account.drain(move |number, payload| {
        deliver(payload, &texts);
        if number == 0 {
            // The mark of the beginning was made before the first page was asked for, and is soon recorded.
            while crate::ledger::Store::attach(&file).unwrap().forget_sources("1").unwrap() == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let mut delivered: Vec<String> =
        delivered.iter().flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    delivered.sort();
    assert_eq!(delivered[..2], ["{\"n\":1}", "{\"n\":1}"], "what had been delivered comes again");
    delivered.dedup();
    assert_eq!(delivered.len(), 3);
}

/// As if this machine's clock had been fast: what was asked for lay in AWS's future.
#[test]
fn no_checkpoint_lies_beyond_what_aws_could_have_had() {
    for (first, then) in [(3600, 0), (7200, -3600), (0, -7200), (-3600, 0)] {
        let account = Account::with_clock(move |lookups| if lookups == 0 { first } else { then });
        let ledger = account.drain(|_, payload| payload.work.ack.close(Outcome::Delivered));
        let reached: Timestamp =
            ledger.polled("1/audit-events-all/audits_api/us-east-1").unwrap().checkpoints[""]
                .parse()
                .unwrap();
        let minutes_ago =
            |seconds: i64, minutes: i64| Timestamp::now() + SignedDuration::from_secs(seconds - 60 * minutes);
        let truth = minutes_ago(first.min(then), 16)..=minutes_ago(then, 15);
        assert!(truth.contains(&reached), "{first} {then}: {reached}");
    }
}

#[test]
fn pages_name_their_account_and_region() {
    let (account, (keys, seen)) = (Account::new(), mpsc::channel());
    account.drain(move |_, payload| {
        keys.send(payload.work.source.key().to_owned()).unwrap();
        payload.work.ack.close(Outcome::Delivered);
    });
    assert_eq!(seen.iter().next().as_deref(), Some("123456789012/us-east-1"));
}
