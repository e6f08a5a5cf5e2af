//! Hosts that share a model of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::ack::Ack;
use crate::aws::dynamodb::text;
use crate::base::crew::Crew;
use crate::base::limits::{FLEET_LEASE, FLEET_OBJECT_RETRY, FLEET_SAVE_INTERVAL};
use crate::base::object::Object;
use crate::base::runtime::thread;
use crate::fleet::lease::{Beat, Host};
use crate::fleet::table::testing::{self, response};
use crate::http::{Request, Response, Server};
use crate::ledger::{Identity, Known, Ledger, Place, Scope};
use crate::telemetry::Telemetry;

const PATIENCE: Duration = Duration::from_secs(60);

type Items = BTreeMap<(String, String), Map<String, serde_json::Value>>;

/// A table in memory, which knows the calls for objects.
#[derive(Default)]
struct Model {
    items: Mutex<Items>,
    away: AtomicBool,
    /// The next batch is not carried out.
    lazy: AtomicBool,
    /// Changes of objects whose keys end like this are throttled.
    throttled: Mutex<Option<&'static str>>,
    oddity: Mutex<Option<Oddity>>,
    late: Mutex<Vec<serde_json::Value>>,
}

/// The fate of changes of objects whose conditions hold.
#[derive(Clone, Copy, PartialEq)]
enum Oddity {
    /// They are made, and the answer is lost.
    Lost,
    /// They are not made, and their conditions are said not to hold.
    Refused,
    /// They are made later, and nobody gets the answer.
    Late,
}

impl Model {
    fn answer(&self, request: &Request) -> Response {
        let action = request.header("x-amz-target").unwrap().rsplit('.').next().unwrap().to_owned();
        let input: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        if self.away.load(Ordering::SeqCst) {
            return response(500, &json!({"__type": "InternalServerError", "message": "away"}));
        }
        let mut items = lock(&self.items);
        match action.as_str() {
            "GetItem" => {
                let found = items.get(&key(&input["Key"]));
                response(200, &found.map_or(json!({}), |item| json!({"Item": item})))
            }
            "UpdateItem" if lock(&self.throttled).is_some_and(|end| key(&input["Key"]).0.ends_with(end)) => {
                let error = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
                response(400, &json!({"__type": error, "message": "slow down"}))
            }
            "UpdateItem" => {
                let oddity = lock(&self.oddity).filter(|_| holds(&items, &input));
                match oddity {
                    None => return update(&mut items, &input),
                    Some(Oddity::Refused) => return failed_condition(),
                    Some(Oddity::Lost) => drop(update(&mut items, &input)),
                    Some(Oddity::Late) => lock(&self.late).push(input),
                }
                response(500, &json!({"__type": "InternalServerError", "message": "lost"}))
            }
            "BatchWriteItem" => {
                let mut requests = input["RequestItems"]["t"].as_array().unwrap().clone();
                let is_lazy = self.lazy.swap(false, Ordering::SeqCst);
                let later = if is_lazy { std::mem::take(&mut requests) } else { Vec::new() };
                for request in &requests {
                    let item = &request["PutRequest"]["Item"];
                    items.insert(key(item), item.as_object().unwrap().clone());
                }
                response(200, &json!({"UnprocessedItems": {"t": later}}))
            }
            other => panic!("{other}"),
        }
    }

    fn is_odd(&self, oddity: impl Into<Option<Oddity>>) {
        *lock(&self.oddity) = oddity.into();
    }

    /// Lets the calls arrive that are late. Returns how many change something.
    fn let_arrive(&self) -> usize {
        let (late, mut items) = (std::mem::take(&mut *lock(&self.late)), lock(&self.items));
        assert!(!late.is_empty());
        late.iter().filter(|input| update(&mut items, input).status == 200).count()
    }

    /// An attribute of the only object.
    fn only(&self, name: &str) -> String {
        let items = lock(&self.items);
        assert_eq!(items.len(), 1);
        let value = items.values().next().unwrap()[name].as_object().unwrap().values().next().cloned();
        value.unwrap().as_str().unwrap().to_owned()
    }
}

fn key(item: &serde_json::Value) -> (String, String) {
    let part = |name: &str| item[name]["S"].as_str().unwrap().to_owned();
    (part("pk"), part("sk"))
}

fn holds(items: &Items, input: &serde_json::Value) -> bool {
    let key = key(&input["Key"]);
    let values = &input["ExpressionAttributeValues"];
    match input["ConditionExpression"].as_str().unwrap() {
        "attribute_not_exists(pk)" => !items.contains_key(&key),
        _ => items.get(&key).is_some_and(|item| {
            item.get("holder") == Some(&values[":was_holder"])
                && item.get("epoch") == Some(&values[":was_epoch"])
        }),
    }
}

fn failed_condition() -> Response {
    let error = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
    response(400, &json!({"__type": error, "message": "The conditional request failed"}))
}

fn update(items: &mut Items, input: &serde_json::Value) -> Response {
    let (key, values) = (key(&input["Key"]), &input["ExpressionAttributeValues"]);
    if !holds(items, input) {
        return failed_condition();
    }
    let item = items.entry(key.clone()).or_default();
    item.insert("pk".into(), text(&key.0));
    item.insert("sk".into(), text(&key.1));
    for change in input["UpdateExpression"].as_str().unwrap().trim_start_matches("SET ").split(", ") {
        let (name, value) = change.split_once(" = ").unwrap();
        let name = input["ExpressionAttributeNames"][name].as_str().unwrap();
        item.insert(name.to_owned(), values[value].clone());
    }
    response(200, &json!({"Attributes": item}))
}

/// The table, and the hosts that use it.
struct Lab {
    model: Arc<Model>,
    server: Server,
    start: Instant,
}

/// A host with a ledger of its own.
struct Peer {
    objects: Objects,
    ledger: Ledger,
    _folder: tempfile::TempDir,
    _crew: Crew,
}

impl Lab {
    fn new() -> Lab {
        let model = Arc::<Model>::default();
        let own = Arc::clone(&model);
        let server = testing::serve(move |request| own.answer(request));
        Lab { model, server, start: clock::now() }
    }

    fn peer(&self, name: &str, claims: bool) -> Peer {
        let (folder, telemetry) = (tempfile::TempDir::new().unwrap(), Arc::new(Telemetry::default()));
        let scope = Scope { outputs: vec!["out:1".to_owned()], ..Scope::default() };
        let ledger = Ledger::open(folder.path(), &scope, &telemetry).unwrap();
        let table = testing::at(&format!("http://{}", self.server.address()));
        let (objects, receivers) = Objects::new(&table, name, scope.destinations(), claims, &telemetry);
        let mut crew = Crew::new();
        objects.start(receivers, &mut crew).unwrap();
        let peer = Peer { objects, ledger, _folder: folder, _crew: crew };
        self.hear(&peer, &[("one", 1), ("two", 1)], self.start);
        peer
    }

    /// The peer has seen the hosts' beats in an answer to a question of this time.
    fn hear(&self, peer: &Peer, beats: &[(&str, u64)], asked: Instant) {
        let host = |(id, beat): &(&str, u64)| Host {
            id: (*id).to_owned(),
            beat: Beat::Count(*beat),
            ..Host::new("n", BTreeSet::new())
        };
        peer.objects.observe(&beats.iter().map(host).collect::<Vec<_>>(), asked, false);
    }

    fn wait_until(&self, what: &str, holds: impl Fn() -> bool) {
        while !holds() {
            assert!(clock::since(self.start) < PATIENCE, "{what}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Peer {
    fn claim(&self, key: &str, etag: Option<&str>, version: Option<&str>) -> (Claim, Arc<Entry>) {
        let (etag, version_id) = (etag.map(str::to_owned), version.map(str::to_owned));
        let object = Object { etag, version_id, ..Object::named("b", key) };
        let share = Ack::open(|_| ()).into_share();
        let entry = Arc::new(self.ledger.claim("1", &object, share, None).unwrap());
        (Claim::new(&self.objects, &entry), entry)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.objects.close(PATIENCE);
    }
}

/// Confirms this many records, of an object that is complete with them if `whole`.
fn confirm(known: Known, records: u64, whole: bool) {
    let Known::Undelivered(mut progress) = known else { panic!("known as delivered") };
    progress.admit(progress.confirmed().so_far().0 + records);
    let object = Ack::open(|_| ());
    progress.batch(&object).close(Outcome::Delivered);
    if whole {
        progress.complete();
    }
}

fn end(claim: &Claim, entry: &Entry, outcome: Outcome, ending: Option<Ending>) {
    claim.end(outcome, ending);
    entry.settle(outcome, ending);
}

fn waits(taken: Taken) -> bool {
    matches!(taken, Taken::Wait(_))
}

#[test]
fn another_host_waits_and_learns_that_the_object_is_delivered() {
    let lab = Lab::new();
    let (one, two) = (lab.peer("one", true), lab.peer("two", true));
    let (first, own) = one.claim("k", Some("e"), None);
    let (second, other) = two.claim("k", Some("e"), None);
    assert_eq!(first.take_announced(), Taken::Here);
    assert_eq!(first.take("\"e\""), Taken::Here, "it has it already");
    assert!(waits(second.take_announced()) && waits(second.take_announced()));
    confirm(own.identify("e", 9, "lines"), 5, true);
    end(&first, &own, Outcome::Delivered, Some(Ending::Sent));
    lab.wait_until("the end is written", || lab.model.only("delivered") == "1");
    assert_eq!(second.take_announced(), Taken::Here);
    assert!(other.is_delivered() && second.held().is_none(), "nothing is left to claim");
}

#[test]
fn a_silent_host_loses_its_object_and_the_next_goes_on_after_its_last_record() {
    let lab = Lab::new();
    let (one, two) = (lab.peer("one", true), lab.peer("two", true));
    let (first, own) = one.claim("k", Some("e"), None);
    let (second, other) = two.claim("k", Some("e"), None);
    first.take_announced();
    confirm(own.identify("e", 9, "lines"), 5, false);
    let held = first.held().unwrap();
    let table = one.objects.table();
    let progress = first.unsaved(&held, true).unwrap();
    assert!(table.change_object(&held.key, &progress.attributes(1), "one", 1).unwrap());
    assert!(waits(second.take_announced()));
    lab.hear(&two, &[("one", 2), ("two", 2)], clock::now() + FLEET_LEASE);
    assert!(waits(second.take_announced()), "it has beaten");
    lab.hear(&two, &[("one", 2), ("two", 3)], clock::now() + 3 * FLEET_LEASE);
    assert_eq!(second.take_announced(), Taken::Here);
    let checked = second.unsaved(&second.held().unwrap(), true).unwrap();
    assert_eq!(checked.row.records, 5, "a check of the claim takes nothing back");
    let Known::Undelivered(progress) = other.identify("e", 9, "lines") else { panic!() };
    assert_eq!(progress.confirmed().so_far().0, 5);
    // The first one notices, and can change nothing any more.
    one.objects.observe(&[], clock::now(), true);
    lab.wait_until("the first host notices", || first.held().is_none());
    end(&first, &own, Outcome::Retry, None);
    assert_eq!((lab.model.only("holder"), lab.model.only("epoch")), ("two".to_owned(), "2".to_owned()));
}

/// All of it may be on its way when a command removes its entry, or another host takes it.
#[test]
fn a_delivered_object_is_known_to_the_table_even_if_its_claim_was_lost() {
    for is_removed in [true, false] {
        let lab = Lab::new();
        let (one, two) = (lab.peer("one", true), lab.peer("two", true));
        let (claim, entry) = one.claim("k", Some("e"), None);
        claim.take_announced();
        let key = claim.held().unwrap().key;
        confirm(entry.identify("e", 9, "lines"), 5, true);
        if is_removed {
            lock(&lab.model.items).clear();
        } else {
            let taken = [("holder", text("two")), ("epoch", crate::aws::dynamodb::number(2))];
            assert!(two.objects.table().change_object(&key, &taken, "one", 1).unwrap());
        }
        one.objects.observe(&[], clock::now(), true);
        lab.wait_until("the host notices", || claim.held().is_none());
        end(&claim, &entry, Outcome::Delivered, Some(Ending::Sent));
        if is_removed {
            lab.wait_until("it is written", || !lock(&lab.model.items).is_empty());
            assert_eq!(lab.model.only("delivered"), "1");
        } else {
            one.objects.close(PATIENCE);
            assert_eq!((lab.model.only("delivered"), lab.model.only("holder")), ("0".into(), "two".into()));
        }
    }
}

#[test]
fn a_returned_object_is_free_at_once() {
    let lab = Lab::new();
    let (one, two) = (lab.peer("one", true), lab.peer("two", true));
    let (first, own) = one.claim("k", Some("e"), None);
    first.take_announced();
    confirm(own.identify("e", 9, "lines"), 3, false);
    end(&first, &own, Outcome::Retry, None);
    lab.wait_until("it is given up", || lab.model.only("holder") == NOBODY);
    let (second, other) = two.claim("k", Some("e"), None);
    assert_eq!(second.take_announced(), Taken::Here);
    let Known::Undelivered(progress) = other.identify("e", 9, "lines") else { panic!() };
    assert_eq!(progress.confirmed().so_far().0, 3);
}

/// It goes on without a claim, and returns the object or delivers it.
#[test]
fn a_claim_whose_answer_is_lost_names_nobody_when_the_work_ends() {
    for outcome in [Outcome::Retry, Outcome::Delivered] {
        let lab = Lab::new();
        let (one, two) = (lab.peer("one", true), lab.peer("two", true));
        let (first, own) = one.claim("k", Some("e"), None);
        lab.model.is_odd(Oddity::Lost);
        assert!(waits(first.take_announced()));
        assert_eq!((lab.model.only("holder").as_str(), first.held()), ("one", None));
        lab.model.is_odd(None);
        let is_delivered = outcome == Outcome::Delivered;
        confirm(own.identify("e", 9, "lines"), 5, is_delivered);
        end(&first, &own, outcome, is_delivered.then_some(Ending::Sent));
        lab.wait_until("it names nobody", || lab.model.only("holder") == NOBODY);
        let (second, other) = two.claim("k", Some("e"), None);
        assert_eq!((second.take_announced(), other.is_delivered()), (Taken::Here, is_delivered));
    }
}

#[test]
fn a_claim_that_arrives_late_changes_nothing() {
    for is_known in [false, true] {
        let lab = Lab::new();
        let one = lab.peer("one", true);
        if is_known {
            let (claim, entry) = one.claim("k", Some("e"), None);
            claim.take_announced();
            end(&claim, &entry, Outcome::Retry, None);
            lab.wait_until("it is returned", || lab.model.only("holder") == NOBODY);
        }
        let (claim, entry) = one.claim("k", Some("e"), None);
        lab.model.is_odd(Oddity::Late);
        assert!(waits(claim.take_announced()));
        lab.model.is_odd(None);
        end(&claim, &entry, Outcome::Retry, None);
        let epoch = if is_known { "2" } else { "1" };
        let is_done = || !lock(&lab.model.items).is_empty() && lab.model.only("epoch") == epoch;
        lab.wait_until("it is made to fail", is_done);
        assert_eq!((lab.model.let_arrive(), lab.model.only("holder")), (0, NOBODY.to_owned()));
    }
}

/// A host may have another claim of the same object by then.
#[test]
fn a_claim_that_is_held_again_is_not_given_up_for_an_earlier_one() {
    let lab = Lab::new();
    let one = lab.peer("one", true);
    let (first, own) = one.claim("k", Some("e"), None);
    lab.model.is_odd(Oddity::Lost);
    assert!(waits(first.take_announced()));
    end(&first, &own, Outcome::Retry, None);
    lab.model.is_odd(None);
    let (second, entry) = one.claim("k", Some("e"), None);
    lab.wait_until("it is claimed", || second.take_announced() == Taken::Here);
    one.objects.observe(&[], clock::now(), true);
    thread::sleep(3 * FLEET_OBJECT_RETRY);
    assert!(second.held().is_some_and(|held| held.epoch.to_string() == lab.model.only("epoch")));
    assert_eq!(lab.model.only("holder"), "one");
    end(&second, &entry, Outcome::Retry, None);
}

/// The table says that a condition does not hold, although the item is as it should be, or an attempt before was carried out.
#[test]
fn a_refused_write_of_what_this_host_holds_is_made_again() {
    let lab = Lab::new();
    let one = lab.peer("one", true);
    let (claim, entry) = one.claim("k", Some("e"), None);
    claim.take_announced();
    lab.model.is_odd(Oddity::Refused);
    lab.hear(&one, &[("one", 2)], clock::now());
    one.objects.observe(&[], clock::now(), true);
    thread::sleep(3 * FLEET_SAVE_INTERVAL);
    assert!(claim.held().is_some(), "the table names this host");
    confirm(entry.identify("e", 9, "lines"), 5, true);
    end(&claim, &entry, Outcome::Delivered, Some(Ending::Sent));
    thread::sleep(FLEET_OBJECT_RETRY);
    lab.model.is_odd(Oddity::Lost);
    lab.wait_until("the end is written", || lab.model.only("delivered") == "1");
    lab.model.is_odd(None);
    assert_eq!(lab.model.only("holder"), NOBODY);
}

#[test]
fn a_claim_that_stands_still_is_taken_over_from_a_living_host_and_a_renewed_one_is_not() {
    let lab = Lab::new();
    let (one, two) = (lab.peer("one", true), lab.peer("two", true));
    let (first, own) = one.claim("k", Some("e"), None);
    let (second, _) = two.claim("k", Some("e"), None);
    first.take_announced();
    confirm(own.identify("e", 9, "lines"), 5, false);
    assert!(waits(second.take_announced()));
    assert!(two.objects.longest_wait().is_some_and(|(_, holder, _)| holder == "one"));
    let long_ago = || clock::now().checked_sub(FLEET_CLAIM_LAPSE).expect("the machine runs for some minutes");
    let stands_still = || second.state().seen.as_mut().unwrap().changed = long_ago();
    // Times in the table are whole seconds.
    let at = lab.model.only("at");
    thread::sleep(Duration::from_millis(1100));
    first.state().held.as_mut().unwrap().at = long_ago();
    lab.wait_until("it is renewed", || lab.model.only("at") != at);
    stands_still();
    assert!(waits(second.take_announced()), "it was renewed");
    stands_still();
    assert_eq!(second.take_announced(), Taken::Here);
    assert_eq!((lab.model.only("holder"), lab.model.only("records")), ("two".to_owned(), "5".to_owned()));
    assert_eq!(two.objects.longest_wait(), None);
    end(&first, &own, Outcome::Retry, None);
}

#[test]
fn one_object_that_cannot_be_written_holds_up_no_other() {
    let lab = Lab::new();
    let one = lab.peer("one", true);
    let claims: Vec<_> = ["a", "b"].map(|key| one.claim(key, Some("e"), None)).into();
    for (claim, _) in &claims {
        claim.take_announced();
    }
    *lock(&lab.model.throttled) = Some("/a");
    let written = |end: &str| {
        let items = lock(&lab.model.items);
        items.iter().find(|((pk, _), _)| pk.ends_with(end)).unwrap().1["at"].clone()
    };
    let at = written("/b");
    thread::sleep(Duration::from_millis(1100));
    one.objects.observe(&[], clock::now(), true);
    lab.wait_until("the other one is renewed", || written("/b") != at);
    *lock(&lab.model.throttled) = None;
}

#[test]
fn a_refused_object_is_sent_only_after_its_confirmed_records() {
    let lab = Lab::new();
    let (one, two) = (lab.peer("one", true), lab.peer("two", true));
    let (first, own) = one.claim("k", None, None);
    assert_eq!((first.take_announced(), first.held()), (Taken::Here, None), "a GET must show it");
    assert_eq!(first.take("e"), Taken::Here);
    confirm(own.identify("e", 9, "lines"), 4, false);
    end(&first, &own, Outcome::Reject, Some(Ending::Damaged));
    lab.wait_until("the reason is written", || lab.model.only("reason") == Ending::Damaged.reason());
    let (second, other) = two.claim("k", None, None);
    assert_eq!(second.take("e"), Taken::Here);
    let Known::Undelivered(progress) = other.identify("e", 9, "lines") else { panic!() };
    assert_eq!(progress.confirmed().so_far().0, 4);
}

#[test]
fn another_version_or_other_outputs_are_not_delivered() {
    let lab = Lab::new();
    let (one, two) = (lab.peer("one", true), lab.peer("two", true));
    let (first, own) = one.claim("k", Some("e"), Some("v1"));
    first.take_announced();
    confirm(own.identify("e", 9, "lines"), 5, true);
    end(&first, &own, Outcome::Delivered, Some(Ending::Sent));
    lab.wait_until("the end is written", || lab.model.only("delivered") == "1");
    let (second, other) = two.claim("k", Some("e"), Some("v2"));
    assert_eq!(second.take_announced(), Taken::Here);
    assert!(!other.is_delivered() && second.held().is_some());
    assert_eq!(lock(&lab.model.items).len(), 2, "each has an entry of its own");
    end(&second, &other, Outcome::Retry, None);
    let (third, known) = two.claim("k", Some("e"), Some("v1"));
    assert_eq!(third.take_announced(), Taken::Here);
    assert!(known.is_delivered());
}

#[test]
fn without_the_table_objects_are_collected_and_told_of_later() {
    let lab = Lab::new();
    let one = lab.peer("one", true);
    lab.model.away.store(true, Ordering::SeqCst);
    lab.model.lazy.store(true, Ordering::SeqCst);
    for key in ["a", "b", "c"] {
        let (claim, entry) = one.claim(key, Some("e"), None);
        lab.wait_until("objects wait only for a while", || claim.take_announced() == Taken::Here);
        assert_eq!(claim.held(), None);
        confirm(entry.identify("e", 9, "lines"), 5, true);
        end(&claim, &entry, Outcome::Delivered, Some(Ending::Sent));
    }
    lab.model.away.store(false, Ordering::SeqCst);
    // What a batch leaves undone is sent again.
    lab.wait_until("all are written", || lock(&lab.model.items).len() == 3);
}

/// Heartbeats pass, and so do the other objects' calls.
#[test]
fn an_object_does_not_wait_without_end_for_calls_that_fail_for_it_alone() {
    let lab = Lab::new();
    let one = lab.peer("one", true);
    *lock(&lab.model.throttled) = Some("/bad");
    let (bad, _) = one.claim("bad", Some("e"), None);
    let mut others = 0;
    while waits(bad.take_announced()) {
        lab.hear(&one, &[("one", others)], clock::now());
        let (good, entry) = one.claim(&format!("good-{others}"), Some("e"), None);
        assert_eq!(good.take_announced(), Taken::Here);
        assert!(good.held().is_some());
        end(&good, &entry, Outcome::Retry, None);
        others += 1;
        assert!(clock::since(lab.start) < PATIENCE);
        thread::sleep(FLEET_RETRY_WAIT);
    }
    assert_eq!(bad.held(), None);
    assert!(others > 1, "it has waited for a while");
}

#[test]
fn when_all_calls_about_objects_fail_the_next_ones_hardly_wait() {
    let lab = Lab::new();
    let one = lab.peer("one", true);
    *lock(&lab.model.throttled) = Some("");
    let tries = |key: &str| {
        let (claim, _) = one.claim(key, Some("e"), None);
        let mut tries = 0;
        while waits(claim.take_announced()) {
            tries += 1;
            assert!(clock::since(lab.start) < PATIENCE);
            thread::sleep(FLEET_RETRY_WAIT);
        }
        tries
    };
    assert!(tries("first") > 1);
    // A heartbeat that is written says nothing about other calls.
    lab.hear(&one, &[("one", 2)], clock::now());
    assert_eq!(tries("second"), 1);
    assert_eq!(tries("third"), 0);
    *lock(&lab.model.throttled) = None;
    lab.hear(&one, &[("one", 3)], clock::now());
    let (claim, _) = one.claim("fourth", Some("e"), None);
    assert_eq!(claim.take_announced(), Taken::Here);
    assert!(claim.held().is_some(), "it is claimed again");
}

#[test]
fn an_entry_that_cannot_be_read_holds_up_no_object_and_is_replaced() {
    let lab = Lab::new();
    let one = lab.peer("one", true);
    let (claim, entry) = one.claim("k", Some("e"), None);
    claim.take_announced();
    end(&claim, &entry, Outcome::Retry, None);
    lab.wait_until("it is given up", || lab.model.only("holder") == NOBODY);
    let sound = lock(&lab.model.items).clone();
    let (id, item) = sound.iter().next().unwrap();
    let names: Vec<&String> =
        item.keys().filter(|name| !["pk", "sk", "expires"].contains(&name.as_str())).collect();
    assert_eq!(names.len(), 13);
    for (at, name) in names.into_iter().enumerate() {
        let kinds = [None, Some(json!({"BOOL": true})), Some(json!({"N": "-9e37"})), Some(json!({"L": []}))];
        let mut spoilt = item.clone();
        match &kinds[at % kinds.len()] {
            None => drop(spoilt.remove(name)),
            Some(kind) => drop(spoilt.insert(name.clone(), kind.clone())),
        }
        lock(&lab.model.items).insert(id.clone(), spoilt);
        let (claim, entry) = one.claim("k", Some("e"), None);
        assert_eq!(claim.take_announced(), Taken::Here, "{name}");
        assert_eq!((claim.take("e"), claim.held()), (Taken::Here, None), "{name}");
        end(&claim, &entry, Outcome::Retry, None);
    }
    let (claim, entry) = one.claim("k", Some("e"), None);
    assert_eq!(claim.take_announced(), Taken::Here);
    confirm(entry.identify("e", 9, "lines"), 5, true);
    end(&claim, &entry, Outcome::Delivered, Some(Ending::Sent));
    let is_read = || matches!(one.objects.table().object(&Key::of(entry.place(), &entry.announced().read("e")).unwrap()), Ok(Some(record)) if record.row.delivered);
    lab.wait_until("the entry is replaced", is_read);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However three hosts take, confirm, return and lose an object, one that may collect it has all records that the
    /// table knows, and nobody who has lost it changes its item.
    #[test]
    fn one_host_at_a_time_has_an_object(steps in proptest::collection::vec((0usize..3, 0u8..4), 1..24)) {
        let lab = Lab::new();
        let names = ["one", "two", "three"];
        let table = testing::at(&format!("http://{}", lab.server.address()));
        let place = Place { input: "1".into(), bucket: "b".into(), key: "k".into() };
        let key = Key::of(&place, &Identity { etag: "e".into(), ..Identity::default() }).unwrap();
        let row = |records| Row { reason: String::new(), records, ..Row::ended(place.clone(), Default::default(), 0, Ending::Sent) };
        let record = |holder: &str, epoch, records| Record { row: row(records), outputs: String::new(), holder: holder.into(), epoch };
        // What each believes: its epoch.
        let mut held = [None::<u64>; 3];
        let mut owner: Option<(usize, u64)> = None;
        let mut records = 0;
        for (host, step) in steps {
            match (step, held[host]) {
                (0, _) => {
                    let seen = table.object(&key).unwrap();
                    let taken = match &seen {
                        None => table.create_object(&key, &record(names[host], 1, 0)).unwrap(),
                        // Silent or not: the condition decides among those who want it.
                        Some(seen) => {
                            let next = record(names[host], seen.epoch + 1, seen.row.records);
                            table.change_object(&key, &next.attributes(1), &seen.holder, seen.epoch).unwrap()
                        }
                    };
                    prop_assert!(taken);
                    let epoch = seen.map_or(1, |seen| seen.epoch + 1);
                    (held[host], owner) = (Some(epoch), Some((host, epoch)));
                }
                (1, Some(epoch)) => {
                    let next = record(names[host], epoch, records + 1);
                    let written = table.change_object(&key, &next.attributes(1), names[host], epoch).unwrap();
                    prop_assert_eq!(written, owner == Some((host, epoch)));
                    records += u64::from(written);
                }
                (2, Some(epoch)) => {
                    let next = record(NOBODY, epoch, records);
                    let written = table.change_object(&key, &next.attributes(1), names[host], epoch).unwrap();
                    prop_assert_eq!(written, owner == Some((host, epoch)));
                    held[host] = None;
                    owner = owner.filter(|_| !written);
                }
                _ => (),
            }
            let known = table.object(&key).unwrap().map_or(0, |seen| seen.row.records);
            prop_assert_eq!(known, records);
        }
    }
}
