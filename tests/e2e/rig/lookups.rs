//! A stand-in for CloudTrail that pages as AWS does and fails on demand; MiniStack does neither.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tiny_http::{Response, Server};

/// One account's events in one region, behind LookupEvents. Serves until dropped.
pub struct Trail {
    pub endpoint: String,
    server: Arc<Server>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// (time, event), in any order.
    events: Vec<(i64, Value)>,
    /// Answers that come before the next good one.
    faults: VecDeque<(u16, &'static str)>,
    requests: Vec<Value>,
}

impl Trail {
    pub fn start() -> Trail {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let endpoint = format!("http://{}", server.server_addr());
        let state = Arc::new(Mutex::new(State::default()));
        let (serving, shared) = (Arc::clone(&server), Arc::clone(&state));
        std::thread::spawn(move || serving.incoming_requests().for_each(|request| answer(request, &shared)));
        Trail { endpoint, server, state }
    }

    /// Records an event as CloudTrail would; `json` is the event itself.
    pub fn record(&self, id: &str, name: &str, time: i64, json: &str) {
        let event =
            json!({"EventId": id, "EventName": name, "EventTime": time as f64, "CloudTrailEvent": json});
        self.state.lock().unwrap().events.push((time, event));
    }

    /// The next answers fail with these statuses and codes.
    pub fn fail(&self, faults: &[(u16, &'static str)]) {
        self.state.lock().unwrap().faults.extend(faults);
    }

    /// The bodies of all requests so far.
    pub fn requests(&self) -> Vec<Value> {
        self.state.lock().unwrap().requests.clone()
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.server.unblock();
    }
}

fn answer(mut request: tiny_http::Request, state: &Mutex<State>) {
    let mut body = String::new();
    request.as_reader().read_to_string(&mut body).unwrap();
    let target = request.headers().iter().find(|header| header.field.equiv("x-amz-target"));
    let is_lookup = target.is_some_and(|header| header.value.as_str().ends_with("_20131101.LookupEvents"));
    assert!(is_lookup, "no other call is made here");
    let (status, answer) = state.lock().unwrap().answer(serde_json::from_str(&body).unwrap());
    // The collector may have been killed.
    let _ = request.respond(Response::from_string(answer.to_string()).with_status_code(status));
}

impl State {
    fn answer(&mut self, asked: Value) -> (u16, Value) {
        self.requests.push(asked.clone());
        // A refused token must be one that was sent.
        let is_due = |code: &str| code != "InvalidNextTokenException" || asked["NextToken"].is_string();
        if let Some((status, code)) = self.faults.pop_front_if(|fault| is_due(fault.1)) {
            return (status, json!({"__type": code, "message": "as the test wants it"}));
        }
        let time = |name: &str| asked[name].as_i64().unwrap();
        let mut found: Vec<_> =
            self.events.iter().filter(|(at, _)| (time("StartTime")..=time("EndTime")).contains(at)).collect();
        found.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let begin: usize = asked["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let end = (begin + asked["MaxResults"].as_u64().unwrap() as usize).min(found.len());
        let events: Vec<&Value> = found[begin..end].iter().map(|(_, event)| event).collect();
        let token = (end < found.len()).then(|| end.to_string());
        (200, json!({"Events": events, "NextToken": token}))
    }
}
