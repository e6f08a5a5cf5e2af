//! The loop with its thread, against a test server; the test decides the outcome of the pages.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tiny_http::{Header, Request, Response, Server};

use super::*;
use crate::ack::Outcome;
use crate::aws::Http;
use crate::base::budget::Budget;
use crate::base::limits::LEDGER_SAVE_TIMEOUT;
use crate::base::runtime::clock;
use crate::base::stop::Stop;
use crate::config::{self, Environment};
use crate::decode::Bounds;
use crate::fleet::{Table, Tenure};
use crate::handoff::Payload;
use crate::ledger::{Ledger, Mark};
use crate::settings;
use crate::telemetry;
use crate::telemetry::Telemetry;

const ACCOUNT: &str = "123456789012";
/// Time of every event, whatever slot is requested: later than all, so that no slot leaves them behind.
const TIME: i64 = 4_102_444_800;

/// Bytes of the longest record.
const LONGEST: usize = 1 << 16;

/// An account with three events, looked up by a drain.
struct Account {
    directory: TempDir,
    server: Arc<Server>,
    lookups: Arc<AtomicUsize>,
    /// The items of the source in a shared table, if there is one.
    shared: Arc<Mutex<Option<Vec<Value>>>>,
    /// The text of the first page's second event, and of the second page's only one. What follows a zero byte is one more event
    /// of the first page.
    odd: Arc<Mutex<Option<String>>>,
}

impl Account {
    fn new() -> Account {
        Account::with_clock(|_| 0)
    }

    /// `ahead` is the error of an answer's clock in seconds, by the number of lookups before it.
    fn with_clock(ahead: impl Fn(usize) -> i64 + Send + 'static) -> Account {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let lookups = Arc::new(AtomicUsize::new(0));
        let shared = Arc::new(Mutex::new(None));
        let odd = Arc::new(Mutex::new(None));
        let texts = Arc::clone(&odd);
        let (serving, count, items) = (Arc::clone(&server), Arc::clone(&lookups), Arc::clone(&shared));
        std::thread::spawn(move || {
            serving.incoming_requests().for_each(|request| match items.lock().unwrap().clone() {
                Some(items) if is_of_table(&request) => {
                    request.respond(Response::from_string(json!({"Items": items}).to_string())).unwrap();
                }
                _ => answer(request, &count, &ahead, texts.lock().unwrap().as_deref()),
            });
        });
        Account { directory: TempDir::new().unwrap(), server, lookups, shared, odd }
    }

    /// The lease of the source, which this host holds.
    fn tenure(&self, http: &Http, source: &settings::Source) -> Tenure {
        let settings = settings::SharedTable {
            name: "t".to_owned(),
            region: source.region.clone(),
            claims: false,
            credentials: source.credentials.clone(),
            endpoints: settings::Endpoints {
                dynamodb: Some(format!("http://{}", self.server.server_addr())),
                ..settings::Endpoints::default()
            },
        };
        let tenure = Tenure::new(&source.name, &Table::new(http, &settings, &Stop::new()));
        tenure.grant(1, clock::now() + Duration::from_secs(600));
        tenure
    }

    /// The trouble that stops the source before its first lookup. None if it has begun.
    fn refusal(&self) -> Option<String> {
        let (config, stop) = (self.config(), Stop::new());
        let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
        let before = self.lookups.load(Ordering::SeqCst);
        let (poller, ledger) = self.start(&config, &telemetry, &stop, false, |_, payload, _| {
            payload.work.ack.close(Outcome::Delivered);
        });
        let trouble = || poller.shared.telemetry.health.trouble().map(|trouble| trouble.message);
        while trouble().is_none() && self.lookups.load(Ordering::SeqCst) == before {
            std::thread::sleep(Duration::from_millis(5));
        }
        let refusal = trouble();
        stop.stop();
        while !poller.is_finished() {
            std::thread::sleep(Duration::from_millis(5));
        }
        ledger.close(LEDGER_SAVE_TIMEOUT);
        refusal
    }

    fn config(&self) -> settings::Config {
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

    /// Drains; `decode` decides the outcome of each page, by its number.
    fn drain(&self, decode: impl Fn(usize, Payload) + Send + Sync + 'static) -> Ledger {
        self.drain_watched(move |number, payload, _| decode(number, payload))
    }

    /// Drains, and also returns the source's health.
    fn drain_watched(
        &self,
        decode: impl Fn(usize, Payload, &telemetry::Input) + Send + Sync + 'static,
    ) -> Ledger {
        let (config, stop) = (self.config(), Stop::new());
        let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
        let (poller, ledger) = self.start(&config, &telemetry, &stop, true, decode);
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

    /// Starts the first source.
    fn start(
        &self,
        config: &settings::Config,
        telemetry: &Arc<Telemetry>,
        stop: &Stop,
        drain: bool,
        decode: impl Fn(usize, Payload, &telemetry::Input) + Send + Sync + 'static,
    ) -> (Puller, Ledger) {
        let source = config.sources[0].clone();
        let http = Http::new(2).unwrap();
        let settings::Source { credentials, endpoints, region, .. } = &source;
        let client = Client::new(&http, "test", credentials, endpoints, region, stop);
        let ledger =
            Ledger::open(self.directory.path(), &crate::ledger::Scope::default(), telemetry).unwrap();
        let (number, seen) = (AtomicUsize::new(0), Arc::clone(&telemetry.inputs[0]));
        let settings = Settings {
            index: 0,
            client,
            paces: vec![],
            ledger: ledger.clone(),
            tenure: self.shared.lock().unwrap().is_some().then(|| self.tenure(&http, &source)),
            budget: Budget::new(1 << 20),
            // Each answer takes all of it, so that one which is not given back would be noticed.
            pages: Budget::new(1),
            bounds: Bounds { record_bytes_max: LONGEST, ..Bounds::default() },
            telemetry: Arc::clone(&telemetry.inputs[0]),
            decode: Arc::new(move |payload| decode(number.fetch_add(1, Ordering::SeqCst), payload, &seen)),
            drain,
            stop: stop.clone(),
            abort: Stop::new(),
            source,
        };
        (Puller::start(settings).unwrap(), ledger)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.server.unblock();
    }
}

fn is_of_table(request: &Request) -> bool {
    request
        .headers()
        .iter()
        .any(|header| header.field.equiv("x-amz-target") && header.value.as_str().starts_with("DynamoDB"))
}

fn item(sk: &str, value: Value) -> Value {
    json!({"pk": {"S": "source/1/audit-events-all/audits_api/us-east-1"}, "sk": {"S": sk}, "value": value})
}

fn answer(mut request: Request, lookups: &AtomicUsize, ahead: &impl Fn(usize) -> i64, odd: Option<&str>) {
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
    let event = |id: u32| {
        let odd = odd.filter(|_| id > 1).map(|odd| odd.split('\0').next().unwrap_or_default());
        let text = odd.map_or_else(|| format!("{{\"n\":{id}}}"), str::to_owned);
        json!({"EventId": id.to_string(), "EventTime": TIME, "CloudTrailEvent": text})
    };
    // Two pages, one of two events and one of one.
    let answer = if body.contains("NextToken") {
        json!({"Events": [event(3)]})
    } else {
        let more = |text: &str| json!({"EventId": "2.1", "EventTime": TIME, "CloudTrailEvent": text});
        let more = odd.and_then(|odd| odd.split_once('\0')).map(|(_, text)| more(text));
        let events: Vec<Value> = [event(1), event(2)].into_iter().chain(more).collect();
        json!({"Events": events, "NextToken": "t"})
    };
    request.respond(Response::from_string(answer.to_string()).with_header(date)).unwrap();
}

/// Records a page's text and delivers it.
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

/// Decodes a page's text as a worker would, and delivers what that gives.
fn decode(payload: Payload, texts: &mpsc::Sender<String>) {
    struct Texts<'a>(&'a mpsc::Sender<String>);
    impl crate::decode::Sink for Texts<'_> {
        fn record(&mut self, record: crate::decode::Record<'_>) {
            self.0.send(String::from_utf8_lossy(record.bytes).into_owned()).unwrap();
        }
    }
    let mut work = payload.work;
    let decoded =
        work.decoder.push(&payload.chunk, true, &mut crate::decode::Scratch::new(), &mut Texts(texts));
    work.ack.close(if decoded.is_ok() { Outcome::Delivered } else { Outcome::Reject });
}

#[test]
fn an_event_that_cannot_be_decoded_holds_up_nothing_and_is_named() {
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(LONGEST));
    for odd in ["{\"n\":", "5", "\"text\"", "null", "{}}", "{\"n\":2}]", &long] {
        let account = Account::new();
        *account.odd.lock().unwrap() = Some(odd.to_owned());
        let (config, stop) = (account.config(), Stop::new());
        let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
        let (texts, delivered) = mpsc::channel();
        let (poller, ledger) = account.start(&config, &telemetry, &stop, true, move |_, payload, _| {
            decode(payload, &texts);
        });
        let started = std::time::Instant::now();
        while !poller.is_finished() {
            let trouble = telemetry.inputs[0].health.trouble();
            assert!(started.elapsed() < Duration::from_secs(60), "{trouble:?}: {odd:.20}");
            std::thread::sleep(Duration::from_millis(5));
        }
        ledger.save(LEDGER_SAVE_TIMEOUT);
        assert_eq!(poller.undelivered(), 2, "a drain does not end well");
        let shown = &odd[..odd.len().min(20)];
        assert_eq!(delivered.iter().collect::<Vec<_>>(), ["{\"n\":1}"], "{shown}");
        let failed = telemetry.failed.snapshot().objects;
        let mut names: Vec<_> = failed.iter().map(|failed| failed.name.as_str()).collect();
        names.sort_unstable();
        let source = "(1/audit-events-all/audits_api/us-east-1)";
        assert_eq!(names, [format!("event 2 {source}"), format!("event 3 {source}")], "{shown}");
        assert!(failed[0].next.contains("passed over") && failed[0].message.is_empty(), "{failed:?}");
        let known = ledger.polled("1/audit-events-all/audits_api/us-east-1").unwrap();
        assert!(known.checkpoints[""].as_str() > "2026-03-29", "{known:?}");
        assert_eq!(known.seen.len(), 3, "nothing of it is read again");
    }
}

/// Events have borders that a record must not cross.
#[test]
fn an_event_is_not_swallowed_by_a_broken_one_before_it() {
    let (account, (texts, delivered)) = (Account::new(), mpsc::channel());
    *account.odd.lock().unwrap() = Some("{\"x\":\0{\"n\":4}}".to_owned());
    account.drain(move |_, payload| decode(payload, &texts));
    // Together, the two are an object.
    assert_eq!(delivered.iter().collect::<Vec<_>>(), ["{\"n\":1}"]);
}

#[test]
fn a_page_that_fails_again_and_again_is_a_trouble_until_a_pull_has_ended() {
    let (account, (texts, delivered)) = (Account::new(), mpsc::channel());
    let (troubles, seen) = mpsc::channel();
    account.drain_watched(move |number, payload, input| {
        troubles.send(input.health.trouble().is_some()).unwrap();
        match number {
            0 | 1 => payload.work.ack.close(Outcome::Reject),
            _ => deliver(payload, &texts),
        }
    });
    let seen: Vec<bool> = seen.iter().collect();
    assert!(!seen[0] && seen[seen.len() - 2..].iter().all(|trouble| *trouble), "{seen:?}");
    assert_eq!(delivered.iter().collect::<String>().lines().count(), 3);
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
        troubles.send(input.health.trouble().map(|trouble| trouble.is_lasting())).unwrap();
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
    // The next slot begins with the last one's last second, once there is another one after it.
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
fn shared_state_that_cannot_be_used_stops_a_source_and_what_is_not_there_does_not() {
    let checkpoint = |value| item("checkpoint/", value);
    let time = json!({"S": "2026-03-30T00:00:00Z"});
    let cases = [
        (vec![], None),
        (vec![checkpoint(time.clone())], None),
        (vec![checkpoint(time.clone()), item("account", json!({"S": ACCOUNT}))], None),
        (vec![item("account", json!({"S": "999999999999"}))], None),
        (
            vec![checkpoint(time.clone()), item("account", json!({"S": "999999999999"}))],
            Some(
                "the shared table t's checkpoint of 1/audit-events-all/audits_api/us-east-1 is of the account 999999999999",
            ),
        ),
        (vec![checkpoint(json!({"N": "5"}))], Some("cannot be read: \"attribute {\\\"N\\\":\\\"5\\\"}\"")),
        (vec![checkpoint(json!(null))], Some("cannot be read")),
        (
            vec![checkpoint(json!({"S": "zzz{{"}))],
            Some("in the shared table t or the ledger cannot be read: \"zzz{{\""),
        ),
        (vec![checkpoint(json!({"S": ""}))], Some("cannot be read")),
        (
            vec![item("note", json!({"S": "importing"}))],
            Some("an import of 1/audit-events-all/audits_api/us-east-1"),
        ),
        // A place inside a slot only saves repeats.
        (vec![checkpoint(time), item("checkpoint/slot", json!({"S": "zzz{{"}))], None),
    ];
    for (items, expected) in cases {
        let account = Account::new();
        *account.shared.lock().unwrap() = Some(items.clone());
        let refusal = account.refusal();
        match expected {
            None => assert_eq!(refusal, None, "{items:?}"),
            Some(part) => {
                assert!(refusal.as_ref().is_some_and(|why| why.contains(part)), "{items:?}: {refusal:?}");
            }
        }
    }
}

/// The table has events of the source, but its checkpoint was removed: the own ledger says where to go on.
#[test]
fn a_checkpoint_that_was_removed_from_the_table_is_taken_from_the_own_ledger() {
    let (account, (texts, delivered)) = (Account::new(), mpsc::channel());
    let (first, second) = (texts.clone(), texts);
    account.drain(move |_, payload| deliver(payload, &first)).close(LEDGER_SAVE_TIMEOUT);
    let events = json!({"pk": {"S": "source/x"}, "sk": {"S": "seen/1/0/0"}, "ids": {"B": ""}});
    *account.shared.lock().unwrap() =
        Some(vec![events, item("checkpoint/ (clock)", json!({"S": "[1,1,false]"}))]);
    let ledger = account.drain(move |_, payload| deliver(payload, &second));
    assert_eq!(delivered.iter().collect::<String>().lines().count(), 3, "nothing comes again");
    let known = ledger.polled("1/audit-events-all/audits_api/us-east-1").unwrap();
    assert!(known.checkpoints[""].as_str() > "2026-03-30", "{known:?}");
}

/// It was forgotten on another host, whose command does not reach this one's ledger.
#[test]
fn a_source_that_the_table_was_made_to_forget_begins_anew_whatever_the_own_ledger_says() {
    let note = item("note", json!({"S": "forgotten"}));
    let account_of = |account: &str| item("account", json!({"S": account}));
    for (items, repeated) in [(vec![note.clone()], 3), (vec![note, account_of(ACCOUNT)], 0)] {
        let (account, (texts, delivered)) = (Account::new(), mpsc::channel());
        let (first, second) = (texts.clone(), texts);
        account.drain(move |_, payload| deliver(payload, &first)).close(LEDGER_SAVE_TIMEOUT);
        *account.shared.lock().unwrap() = Some(items);
        account.drain(move |_, payload| deliver(payload, &second));
        assert_eq!(delivered.iter().collect::<String>().lines().count(), 3 + repeated);
    }
}

/// A part that does not move for a while would begin at the present on the next host.
#[test]
fn what_only_the_own_ledger_has_goes_to_the_table_as_a_whole() {
    let account = Account::new();
    account.drain(|_, payload| payload.work.ack.close(Outcome::Delivered)).close(LEDGER_SAVE_TIMEOUT);
    let mut store =
        crate::ledger::Store::attach(&account.directory.path().join(crate::ledger::FILE)).unwrap();
    let source = "1/audit-events-all/audits_api/us-east-1".to_owned();
    let checkpoints = vec![("still".to_owned(), "x".to_owned())];
    let term = store.term(&source).unwrap();
    store.mark(&[Mark { source, term, checkpoints, seen: Vec::new(), forget_before: None }], 0).unwrap();
    drop(store);
    *account.shared.lock().unwrap() = Some(Vec::new());
    let (config, stop) = (account.config(), Stop::new());
    let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
    let (poller, _ledger) = account.start(&config, &telemetry, &stop, false, |_, payload, _| {
        payload.work.ack.close(Outcome::Delivered);
    });
    let tenure = poller.shared.tenure.clone().unwrap();
    let (mut shared, began) = (BTreeMap::new(), std::time::Instant::now());
    while !["", "still"].iter().all(|part| shared.contains_key(*part)) {
        assert!(began.elapsed() < Duration::from_secs(60), "{shared:?}");
        if let Some((_, pending)) = tenure.take_pending() {
            shared.extend(pending.checkpoints);
            tenure.written(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    stop.stop();
    while !poller.is_finished() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_checkpoint_of_the_ledger_that_cannot_be_read_is_not_taken_for_none() {
    let (account, (texts, delivered)) = (Account::new(), mpsc::channel());
    account.drain(move |_, payload| deliver(payload, &texts)).close(LEDGER_SAVE_TIMEOUT);
    assert_eq!(delivered.iter().collect::<String>().lines().count(), 3);
    let ledger = rusqlite::Connection::open(account.directory.path().join(crate::ledger::FILE)).unwrap();
    ledger.execute("UPDATE checkpoints SET value = 'zzz' WHERE part = ''", ()).unwrap();
    let refusal = account.refusal();
    assert!(
        refusal.as_ref().is_some_and(|why| why.contains("in the ledger cannot be read: \"zzz\"")),
        "{refusal:?}"
    );
}

#[test]
fn a_source_that_is_forgotten_while_it_runs_begins_anew() {
    let (account, (texts, delivered)) = (Account::new(), mpsc::channel());
    let file = account.directory.path().join(crate::ledger::FILE);
    account.drain(move |number, payload| {
        deliver(payload, &texts);
        if number == 0 {
            // The mark of the beginning was made before the first page was requested, and is soon recorded.
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

/// As if this machine's clock had been fast: the requested time was in AWS's future.
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

/// An account's answers, by the operation (or the path, without one) and the request's text.
type Answers = fn(&str, &str) -> Value;

/// Runs a source against such an account until `is_done` accepts its health and its deliveries.
fn run_until(service: Value, answers: Answers, is_done: impl Fn(&telemetry::Input, &str) -> bool) {
    let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
    let serving = Arc::clone(&server);
    std::thread::spawn(move || serving.incoming_requests().for_each(|request| serve(request, answers)));
    let mut account = Account::new();
    account.server.unblock();
    account.server = server;
    let mut config = account.config();
    let text = json!({"outputs": {"c": {"type": "console"}}, "inputs": {"aws": {
        "id": "1", "endpoint_url": format!("http://{}", account.server.server_addr()),
        "credentials": {"access_key": "AKIATESTTESTTEST0001", "access_secret": "secret"},
        "services": service
    }}});
    config.sources =
        config::parse(&text.to_string(), Path::new(""), &Environment::here()).unwrap().config.sources;
    let (texts, delivered) = mpsc::channel();
    let (stop, telemetry) = (Stop::new(), Arc::new(Telemetry::of(&config, Arc::default())));
    let decode = move |_, payload, _: &_| deliver(payload, &texts);
    let (poller, _ledger) = account.start(&config, &telemetry, &stop, false, decode);
    let (started, mut text) = (std::time::Instant::now(), String::new());
    while !is_done(&telemetry.inputs[0], &text) {
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", telemetry.inputs[0].health.trouble());
        std::thread::sleep(Duration::from_millis(5));
        text.extend(delivered.try_iter());
    }
    stop.stop();
    while !poller.is_finished() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn serve(mut request: Request, answers: Answers) {
    let mut body = String::new();
    request.as_reader().read_to_string(&mut body).unwrap();
    if body.contains("GetCallerIdentity") {
        let identity = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>a</Arn><UserId>u</UserId>\
                        <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
        return request.respond(Response::from_string(identity)).unwrap();
    }
    let target = request.headers().iter().find(|header| header.field.equiv("x-amz-target"));
    let operation = target.map(|header| header.value.as_str().rsplit('.').next().unwrap().to_owned());
    let operation = operation.unwrap_or_else(|| request.url().to_owned());
    // The program may have gone.
    let _ = request.respond(Response::from_string(answers(&operation, &body).to_string()));
}

/// The token after the one in a request, of a cycle of this length.
fn next_in_circle(request: &str, length: u32) -> String {
    let at = (0..length).find(|at| request.contains(&format!("token-{at}-")));
    format!("token-{}-", at.map_or(0, |at| (at + 1) % length))
}

fn all_sources() -> [Value; 4] {
    let start = (Timestamp::now() - SignedDuration::from_hours(2)).to_string();
    [
        json!({"audit-events-all": {"types": ["audits_api"], "regions": ["us-east-1"], "start_time": start}}),
        json!({"s": {"types": ["logs"], "regions": ["us-east-1"], "start_time": start, "log_group": "/b"}}),
        json!({"s": {"types": ["metrics"], "regions": ["us-east-1"], "start_time": start, "metric_namespaces": ["N"]}}),
        json!({"aws-guardduty": {"regions": ["us-east-1"]}}),
    ]
}

/// All listings of all sources, each page with the same items or with none.
#[test]
fn a_listing_that_leads_in_a_circle_is_told_of_for_every_source() {
    fn circle<const LENGTH: u32, const ITEMS: bool>(operation: &str, body: &str) -> Value {
        let token = next_in_circle(&format!("{operation}{body}"), LENGTH);
        let item = |item| if ITEMS { json!([item]) } else { json!([]) };
        let time = Timestamp::now().as_second() - 3600;
        let log = json!({"eventId": "1", "logStreamName": "s", "timestamp": time * 1000, "message": "m"});
        match operation.split('?').next().unwrap() {
            "/detector" => json!({"detectorIds": ["d"]}),
            path if path.ends_with("/get") => {
                json!({"findings": [{"id": "f", "updatedAt": "2026-05-01T00:00:00Z"}]})
            }
            path if path.ends_with("/findings") => {
                json!({"findingIds": item(json!("f")), "nextToken": token})
            }
            "LookupEvents" => {
                json!({"Events": item(json!({"EventId": "1", "EventTime": time, "CloudTrailEvent": "{}"})), "NextToken": token})
            }
            "FilterLogEvents" => json!({"events": item(log), "nextToken": token}),
            "ListMetrics" => {
                json!({"Metrics": item(json!({"Namespace": "N", "MetricName": "m", "Dimensions": []})), "NextToken": token})
            }
            "GetMetricData" => json!({"MetricDataResults": []}),
            other => panic!("{other}"),
        }
    }
    for (at, source) in all_sources().into_iter().enumerate() {
        // A detector is passed over; the others have no other item.
        let is_told = |input: &telemetry::Input, _: &str| {
            let trouble = input.health.trouble().filter(|trouble| trouble.is_lasting());
            trouble.is_some_and(|trouble| trouble.message.contains("never ends"))
                || (at == 3 && input.poll.unreadable.value() == 1)
        };
        run_until(source.clone(), circle::<2, false>, is_told);
        run_until(source, circle::<7, true>, is_told);
    }
}

#[test]
fn a_log_group_whose_pages_lead_in_a_circle_does_not_hold_up_the_others() {
    fn groups(operation: &str, body: &str) -> Value {
        let time = (Timestamp::now().as_second() - 3600) * 1000;
        let log = |id: &str| json!([{"eventId": id, "logStreamName": "s", "timestamp": time, "message": id}]);
        match operation {
            "DescribeLogGroups" => {
                json!({"logGroups": [{"logGroupName": "/a"}, {"logGroupName": "/b"}, {"logGroupName": "/c"}]})
            }
            _ if body.contains("\"/b\"") => {
                json!({"events": log("of b"), "nextToken": next_in_circle(body, 3)})
            }
            _ => json!({"events": log(if body.contains("\"/a\"") { "of a" } else { "of c" })}),
        }
    }
    let start = (Timestamp::now() - SignedDuration::from_hours(2)).to_string();
    let source =
        json!({"s": {"types": ["logs"], "regions": ["us-east-1"], "start_time": start, "log_group": "/"}});
    run_until(source, groups, |_, text| ["of a", "of b", "of c"].iter().all(|group| text.contains(group)));
}

/// Each page has a new token.
#[test]
fn a_listing_that_brings_nothing_and_never_ends_is_told_of() {
    fn barren(_: &str, body: &str) -> Value {
        let token =
            body.split("token-").nth(1).map_or(0, |rest| rest.split('-').next().unwrap().parse().unwrap());
        json!({"Events": [], "NextToken": format!("token-{}-", token + 1)})
    }
    let [source, ..] = all_sources();
    run_until(source, barren, |input, _| {
        input.health.trouble().is_some_and(|trouble| trouble.message.contains("brought nothing new"))
    });
}

/// Queues of the same host may take minutes to end: other hosts need not wait for them.
#[test]
fn a_stopped_source_can_be_given_up_when_its_last_page_has_ended() {
    let account = Account::new();
    *account.shared.lock().unwrap() = Some(Vec::new());
    let (config, stop, kept) = (account.config(), Stop::new(), Arc::new(Mutex::new(None)));
    let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
    let keep = Arc::clone(&kept);
    let (poller, _ledger) = account.start(&config, &telemetry, &stop, false, move |_, payload, _| {
        *keep.lock().unwrap() = Some(payload);
    });
    let wait = |what: &str, holds: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait("a page", &|| kept.lock().unwrap().is_some());
    let tenure = poller.shared.tenure.clone().unwrap();
    stop.stop();
    tenure.ask_to_leave();
    while tenure.take_pending().is_some() {
        tenure.written(None);
    }
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(tenure.leaves(false), None, "a page is in flight");
    kept.lock().unwrap().take().unwrap().work.ack.close(Outcome::Delivered);
    wait("it can be given up", &|| {
        if tenure.take_pending().is_some() {
            tenure.written(None);
        }
        tenure.leaves(false) == Some(1)
    });
}
