//! One host beside a model of the table.

use std::sync::atomic::AtomicUsize;

use serde_json::{Map, Value, json};

use super::*;
use crate::aws::Kind;
use crate::base::locks::lock;
use crate::base::runtime::sync::Mutex;
use crate::fleet::table::testing::{self, response};
use crate::http::{Request, Response, Server};

const PATIENCE: Duration = Duration::from_secs(60);
const SOURCE: &str = "1/s/r";

/// A table in memory, which carries out what it is asked for, and knows one condition: that an item is there.
#[derive(Default)]
struct Model {
    items: Mutex<BTreeMap<(String, String), Map<String, Value>>>,
    /// This many removals are refused.
    refusals: AtomicUsize,
}

impl Model {
    fn answer(&self, request: &Request) -> Response {
        let action = request.header("x-amz-target").unwrap().rsplit('.').next().unwrap();
        let input: Value = serde_json::from_slice(&request.body).unwrap();
        let mut items = lock(&self.items);
        match action {
            "Query" => {
                let pk = input["ExpressionAttributeValues"].as_object().unwrap().values().next().unwrap();
                let found: Vec<_> = items.values().filter(|item| item["pk"] == *pk).collect();
                response(200, &json!({"Items": found}))
            }
            "UpdateItem" => {
                let must_be_there = input["ConditionExpression"] == "attribute_exists(pk)";
                if must_be_there && !items.contains_key(&key(&input["Key"])) {
                    return refusal("ConditionalCheckFailedException");
                }
                update(&mut items, &input);
                response(200, &json!({"Attributes": {}}))
            }
            "TransactWriteItems" => {
                for part in input["TransactItems"].as_array().unwrap() {
                    update(&mut items, &part["Update"]);
                }
                response(200, &json!({}))
            }
            "DeleteItem" => {
                let count = |left: usize| left.checked_sub(1);
                if self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count).is_ok() {
                    return refusal("ThrottlingException");
                }
                items.remove(&key(&input["Key"]));
                response(200, &json!({}))
            }
            other => panic!("{other}"),
        }
    }

    fn attribute(&self, pk: &str, name: &str) -> Option<String> {
        let items = lock(&self.items);
        let item = items.iter().find(|((found, _), _)| found == pk).map(|(_, item)| item)?;
        item[name].as_object()?.values().next()?.as_str().map(str::to_owned)
    }
}

fn key(item: &Value) -> (String, String) {
    let part = |name: &str| item[name]["S"].as_str().unwrap().to_owned();
    (part("pk"), part("sk"))
}

fn update(items: &mut BTreeMap<(String, String), Map<String, Value>>, input: &Value) {
    let key = key(&input["Key"]);
    let item = items.entry(key.clone()).or_default();
    item.insert("pk".to_owned(), json!({"S": key.0}));
    item.insert("sk".to_owned(), json!({"S": key.1}));
    for change in input["UpdateExpression"].as_str().unwrap().trim_start_matches("SET ").split(", ") {
        let (name, value) = change.split_once(" = ").unwrap();
        let name = input["ExpressionAttributeNames"][name].as_str().unwrap();
        item.insert(name.to_owned(), input["ExpressionAttributeValues"][value].clone());
    }
}

fn refusal(code: &str) -> Response {
    response(400, &json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "no"}))
}

/// The table, and a host that has joined.
struct Lab {
    model: Arc<Model>,
    _server: Server,
    fleet: Fleet,
    crew: Crew,
    stop: Stop,
}

impl Lab {
    fn new() -> Lab {
        let model = Arc::<Model>::default();
        let own = Arc::clone(&model);
        let server = testing::serve(move |request| own.answer(request));
        let stop = Stop::new();
        let settings = Settings {
            table: testing::at(&format!("http://{}", server.address())),
            name: "host".to_owned(),
            sources: BTreeSet::from([SOURCE.to_owned()]),
            passing: false,
            destinations: String::new(),
            claims: true,
            pause: Pause::default(),
            load: Arc::new(Load::default),
            stop: stop.clone(),
        };
        let (fleet, crew) = Fleet::join(settings, &Telemetry::default()).unwrap();
        Lab { model, _server: server, fleet, crew, stop }
    }

    fn wait(&self, what: &str, holds: impl Fn(&Lab) -> bool) {
        let began = clock::now();
        while !holds(self) {
            assert!(clock::since(began) < PATIENCE, "{what}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Its queues may take minutes to end.
#[test]
fn a_host_that_ends_gives_each_source_up_as_soon_as_its_pages_have_ended() {
    let lab = Lab::new();
    let tenure = lab.fleet.tenure(SOURCE).unwrap();
    lab.wait("the source is polled", |_| tenure.begin());
    lab.stop.stop();
    lab.wait("it no longer counts for shares", |lab| {
        lab.model.attribute("hosts", "sources").unwrap().is_empty()
    });
    assert_eq!(lab.model.attribute("hosts", "passing").unwrap(), "1");
    assert!(tenure.held().is_some(), "its pages are in flight");
    tenure.end();
    lab.wait("it is free", |lab| lab.model.attribute("leases", "holder").unwrap() == NOBODY);
    lab.wait("its host has the table's answer", |_| tenure.held().is_none());
    lab.fleet.close(&lab.crew, PATIENCE);
}

#[test]
fn a_host_that_leaves_is_gone_for_good() {
    let lab = Lab::new();
    lab.wait("a heartbeat", |lab| lab.model.attribute("hosts", "beat").is_some());
    lab.model.refusals.store(3, Ordering::SeqCst);
    lab.stop.stop();
    lab.fleet.close(&lab.crew, PATIENCE);
    assert!(lab.crew.has_ended());
    assert_eq!(lab.model.attribute("hosts", "beat"), None, "although removals were refused");
    // A heartbeat that arrives late.
    let late = lab.fleet.0.at_present(9);
    assert!(!lab.fleet.table().beat(&late, true).unwrap());
    assert_eq!(lab.model.attribute("hosts", "beat"), None);
}

/// Its item may have expired while the host was cut off.
#[test]
fn a_host_that_was_removed_while_it_lives_comes_back() {
    let lab = Lab::new();
    let beats = |lab: &Lab| lab.model.attribute("hosts", "beat").is_some();
    lab.wait("a heartbeat", beats);
    lock(&lab.model.items).clear();
    lab.wait("another one", beats);
    lab.stop.stop();
    lab.fleet.close(&lab.crew, PATIENCE);
}

/// The answer to the call that took it was lost, and then this host may not take it any more.
#[test]
fn a_lease_that_names_a_host_which_does_not_hold_it_is_given_up() {
    let lab = Lab::new();
    let tenure = lab.fleet.tenure(SOURCE).unwrap();
    lab.wait("the source is polled", |_| tenure.held().is_some());
    let set = |pk: &str, name: &str, value: Value| {
        let mut items = lock(&lab.model.items);
        let item = items.iter_mut().find(|((found, _), _)| found == pk).unwrap().1;
        item.insert(name.to_owned(), value);
    };
    set("hosts", "drained", json!({"N": "1"}));
    let is_free = |lab: &Lab| lab.model.attribute("leases", "holder").unwrap() == NOBODY;
    lab.wait("it is given up", is_free);
    lab.wait("its host has the table's answer", |_| tenure.held().is_none());
    set("leases", "epoch", json!({"N": "9"}));
    set("leases", "holder", json!({"S": lab.fleet.0.host.id.clone()}));
    lab.wait("it is given up again", is_free);
    lab.stop.stop();
    lab.fleet.close(&lab.crew, PATIENCE);
}

#[test]
fn a_lease_that_a_command_has_changed_is_not_said_to_be_taken_over() {
    let lease = |holder: &str| Lease { source: SOURCE.into(), holder: holder.into(), epoch: 2, meant: None };
    for now in [None, Some(&lease("other"))] {
        assert!(loss(SOURCE, now).contains("another host has taken 1/s/r over"));
    }
    let text = loss(SOURCE, Some(&lease(NOBODY)));
    assert!(text.contains("`ledger forget`") && !text.contains("another host"), "{text}");
}

#[test]
fn a_call_that_fails_stops_no_other_and_the_deadline_leaves_one() {
    let refused =
        |number: u32| Error::setup("dynamodb:UpdateItem", &number.to_string(), Kind::BadRequest, "");
    let calls = |deadline: Instant| {
        let mut tried = Vec::new();
        let done = each(1..=3, deadline, |number| {
            tried.push(number);
            if number < 3 { Err(refused(number)) } else { Ok(()) }
        });
        (tried, done.unwrap_err().to_string())
    };
    let now = clock::now();
    assert_eq!(calls(now + FLEET_TERM), (vec![1, 2, 3], refused(1).to_string()));
    assert_eq!(calls(now), (vec![1], refused(1).to_string()));
}
