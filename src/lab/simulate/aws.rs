//! AWS as the collector calls it: SQS and S3 over the model queue and bucket, with their faults.

use std::io::{self, ErrorKind, Read};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Body;

use super::accounts::{Api, DETECTOR, Events, group_name};
use super::faults::Kind;
use super::machine::MACHINES;
use super::objects::{BUCKET, REGIONS};
use super::scheduler::BEGINNING;
use super::sqs::Fate;
use super::world::{Seat, State};
use crate::aws::http::{Fault, Transport};
use crate::aws::request::Request;

/// Bytes of a body that come at once.
const PIECE: usize = 48 * 1024;
/// Interval at which a long poll looks for messages.
const POLL: Duration = Duration::from_millis(200);

/// The end of the dead-letter queue's name.
const DEAD: &str = "-dead";

/// The services of the polled APIs, each with what its source reads.
const POLLED: [(&str, Api); 4] = [
    ("cloudtrail", Api::Trail),
    ("logs", Api::Logs(0)),
    ("guardduty", Api::Findings),
    ("monitoring", Api::Metrics),
];

/// AWS refuses requests that were signed longer ago, or for later ("Signing AWS requests").
const SKEW_SECONDS_MAX: u64 = 900;

/// An answer before it is HTTP.
pub(super) struct Said {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// The body ends before its announced end.
    cut: Option<usize>,
    /// The body stops coming at this place.
    hangs: Option<usize>,
}

impl Said {
    pub(super) fn new(status: u16, body: Vec<u8>) -> Said {
        Said { status, headers: Vec::new(), body, cut: None, hangs: None }
    }

    pub(super) fn json(value: &Value) -> Said {
        Said::new(200, value.to_string().into_bytes())
    }

    pub(super) fn refusal(status: u16, code: &str) -> Said {
        Said::json_with(
            status,
            &json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": "as planned" }),
        )
    }

    pub(super) fn json_with(status: u16, value: &Value) -> Said {
        Said { status, ..Said::json(value) }
    }

    /// S3 says that the bucket is in another region.
    fn redirect(status: u16, code: &str, region: &str) -> Said {
        let headers = vec![("x-amz-bucket-region", region.to_owned())];
        Said { headers, ..Said::xml(status, code) }
    }

    fn xml(status: u16, code: &str) -> Said {
        let text = format!("<Error><Code>{code}</Code><Message>as planned</Message></Error>");
        Said::new(status, text.into_bytes())
    }
}

impl Transport for Seat {
    fn send(
        &self,
        request: &Request,
        signed: &[(&'static str, String)],
    ) -> Result<http::Response<Body>, Fault> {
        let asked = self.world.now();
        self.travel()?;
        self.world.state().calls += 1;
        if request.service == "dynamodb" {
            let said = match self.is_skewed(signed) {
                true => Said::refusal(403, "RequestTimeTooSkewed"),
                false => self.shared_table(request, asked)?,
            };
            self.travel()?;
            return Ok(self.answer(said));
        }
        let is_sqs = request.service == "sqs";
        let (hangs, loses) = {
            let mut state = self.world.state();
            let hangs = state.strikes(match request.service {
                "sqs" => Kind::SqsHangs,
                "s3" => Kind::S3Hangs,
                "sts" => Kind::StsHangs,
                _ => Kind::ApiHangs,
            });
            (hangs, is_sqs && state.strikes(Kind::SqsLosesAnswers))
        };
        let limit = request.time_limit.unwrap_or(request.response_timeout).min(request.response_timeout);
        if hangs {
            self.note_failure(request);
            self.pass(limit)?;
            return Err(Fault::transient("timed out (as planned)"));
        }
        let said = match request.action {
            _ if self.is_skewed(signed) => match request.service {
                "s3" => Said::xml(403, "RequestTimeTooSkewed"),
                _ => Said::refusal(403, "RequestTimeTooSkewed"),
            },
            _ if self.is_expired(signed) => match request.service {
                "s3" => Said::xml(400, "ExpiredToken"),
                _ => Said::refusal(400, "ExpiredTokenException"),
            },
            _ if request.service == "sts" => self.sts(request),
            "sqs:ReceiveMessage" => self.receive(request)?,
            action if is_sqs => self.sqs(action, request),
            _ => match POLLED.into_iter().find(|(service, _)| *service == request.service) {
                Some((_, api)) => self.polled(api, request),
                None => self.s3(request),
            },
        };
        let is_own_fault = request.service == "s3" && self.is_expired(signed);
        if is_own_fault {
            // The object may be read with the next session.
        } else if said.status >= 400 || said.status == 307 || said.cut.is_some() || said.hangs.is_some() {
            self.note_failure(request);
        } else if request.service == "s3" && said.status < 300 {
            let now = self.world.now();
            self.world.state().s3_worked = now;
        }
        if loses {
            self.note_failure(request);
            self.pass(Duration::from_millis(50))?;
            return Err(Fault::transient("connection reset (as planned)"));
        }
        self.travel()?;
        Ok(self.answer(said))
    }

    fn shutdown(&self) {
        self.is_shut.stop();
    }
}

impl Seat {
    /// One way of a call.
    fn travel(&self) -> Result<(), Fault> {
        let micros = self.world.state().random.u64(200..8_000);
        self.pass(Duration::from_micros(micros))
    }

    pub(super) fn pass(&self, time: Duration) -> Result<(), Fault> {
        if self.is_shut.wait(time) { Err(Fault::transient("stopped")) } else { Ok(()) }
    }

    /// True if the request was signed for another time than it is.
    fn is_skewed(&self, signed: &[(&'static str, String)]) -> bool {
        let date = signed.iter().find(|(name, _)| *name == "x-amz-date").map(|(_, date)| date.as_str());
        let date = date.and_then(|date| jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok());
        let date = date.and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok());
        let now = i64::try_from(BEGINNING + self.world.now().as_secs()).unwrap_or(i64::MAX);
        date.is_none_or(|date| date.timestamp().as_second().abs_diff(now) > SKEW_SECONDS_MAX)
    }

    fn is_expired(&self, signed: &[(&'static str, String)]) -> bool {
        let now = self.world.now();
        self.world.state().is_expired(signed, now)
    }

    fn note_failure(&self, request: &Request) {
        let (now, mut state) = (self.world.now(), self.world.state());
        match key_of(request) {
            None if request.service == "sqs" => state.sqs_failed = Some(now),
            None if request.service == "sts" => state.sts_failed = Some(now),
            None => drop(state.api_failed.insert(self.process.number(), now)),
            Some(key) => drop(state.object_failed.insert(key.to_owned(), now)),
        }
    }

    fn answer(&self, said: Said) -> http::Response<Body> {
        let now = BEGINNING + self.world.now().as_secs();
        let date = jiff::Timestamp::from_second(i64::try_from(now).unwrap_or(0)).unwrap_or_default();
        let mut builder = http::Response::builder()
            .status(said.status)
            .header("date", date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
            .header("x-amzn-requestid", "simulated")
            .header("content-length", said.body.len().to_string());
        for (name, value) in said.headers {
            builder = builder.header(name, value);
        }
        let reader = Coming { seat: self.clone(), bytes: said.body, at: 0, cut: said.cut, hangs: said.hangs };
        let answer = builder.body(Body::builder().reader(reader));
        answer.unwrap_or_else(|_| http::Response::new(Body::builder().data(Vec::new())))
    }

    fn receive(&self, request: &Request) -> Result<Said, Fault> {
        let input: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let number = |name: &str| input[name].as_u64().unwrap_or(0);
        let (max, hidden) = (number("MaxNumberOfMessages"), Duration::from_secs(number("VisibilityTimeout")));
        let until = self.world.now() + Duration::from_secs(number("WaitTimeSeconds"));
        loop {
            let now = self.world.now();
            {
                let mut state = self.world.state();
                if let Some(refusal) = state.sqs_refusal() {
                    return Ok(refusal);
                }
                let messages = state.deliver(max as usize, hidden, self.process.number(), now);
                if !messages.is_empty() {
                    return Ok(Said::json(&json!({ "Messages": messages })));
                }
            }
            if now >= until {
                return Ok(Said::json(&json!({})));
            }
            self.pass((until - now).min(POLL))?;
        }
    }

    fn sqs(&self, action: &str, request: &Request) -> Said {
        let input: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (now, mut state) = (self.world.now(), self.world.state());
        if let Some(refusal) = state.sqs_refusal() {
            return refusal;
        }
        state.advance_peers(now);
        let entries = input["Entries"].as_array().cloned().unwrap_or_default();
        match action {
            "sqs:DeleteMessage" => state.batch(&entries, |state, handle, _| state.delete(handle, now)),
            "sqs:ChangeMessageVisibility" => state.batch(&entries, |state, handle, seconds| {
                state.change_visibility(handle, Duration::from_secs(seconds), now)
            }),
            "sqs:GetQueueAttributes" => {
                let (visible, in_flight) = match request.resource.ends_with(DEAD) {
                    true => (state.queue.dead.len(), 0),
                    false => state.queue.depth(now),
                };
                Said::json(&json!({"Attributes": {
                    "QueueArn": "arn:aws:sqs:eu-west-1:123456789012:simulated",
                    "ApproximateNumberOfMessages": visible.to_string(),
                    "ApproximateNumberOfMessagesNotVisible": in_flight.to_string(),
                    "ApproximateNumberOfMessagesDelayed": "0",
                    "VisibilityTimeout": "30",
                    "MessageRetentionPeriod": "345600",
                    "RedrivePolicy": json!({
                        "deadLetterTargetArn": format!("arn:aws:sqs:eu-west-1:123456789012:simulated{DEAD}"),
                        "maxReceiveCount": state.queue.receives_max,
                    }).to_string(),
                }}))
            }
            _ => Said::refusal(400, "UnknownOperationException"),
        }
    }

    fn polled(&self, api: Api, request: &Request) -> Said {
        let input: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (now, mut state) = (self.world.now(), self.world.state());
        state.check_poll(&api.source(), self.process.number(), now);
        if state.strikes(Kind::ApiUnavailable) {
            return Said::refusal(503, "ServiceUnavailable");
        }
        if state.strikes(Kind::ApiThrottles) {
            return Said::refusal(400, "ThrottlingException");
        }
        let token = input["NextToken"].as_str().or(input["nextToken"].as_str());
        let is_forgotten = token.is_some() && state.strikes(Kind::ApiForgetsTokens);
        let answer = state.answer(request.action, &input, token, now).filter(|_| !is_forgotten);
        match (answer, request.service) {
            (Some(answer), _) => Said::json(&answer),
            (None, "cloudtrail") => Said::refusal(400, "InvalidNextTokenException"),
            (None, "guardduty") => Said::refusal(400, "BadRequestException"),
            (None, _) => Said::refusal(400, "InvalidParameterException"),
        }
    }

    fn s3(&self, request: &Request) -> Said {
        let mut state = self.world.state();
        if state.strikes(Kind::S3Unavailable) {
            return Said::xml(500, "InternalError");
        }
        if state.strikes(Kind::S3SlowsDown) {
            return Said::xml(503, "SlowDown");
        }
        if state.strikes(Kind::S3Denies) {
            return Said::xml(403, "AccessDenied");
        }
        if request.region != state.bucket_region {
            return Said::redirect(301, "PermanentRedirect", state.bucket_region);
        }
        if state.strikes(Kind::S3Redirects) {
            let wrong = REGIONS.into_iter().find(|region| *region != state.bucket_region);
            return Said::redirect(307, "TemporaryRedirect", wrong.unwrap_or_default());
        }
        let number = key_of(request).and_then(|key| state.by_key.get(key).copied());
        let is_there = |number: &usize| !state.objects[*number].is_gone && !state.objects[*number].is_late;
        let Some(number) = number.filter(is_there) else { return Said::xml(404, "NoSuchKey") };
        let header = |name: &str| request.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        let (cuts, hangs) = (state.strikes(Kind::S3Cuts), state.strikes(Kind::S3Hangs));
        let object = &state.objects[number];
        if header("if-match").is_some_and(|etag| etag != object.etag) {
            return Said::xml(412, "PreconditionFailed");
        }
        let total = object.bytes.len();
        let range = header("range").and_then(|range| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?.min(total.saturating_sub(1))))
        });
        let mut said = match range {
            Some((first, _)) if first >= total => {
                let mut said = Said::xml(416, "InvalidRange");
                said.headers.push(("content-range", format!("bytes */{total}")));
                return said;
            }
            Some((first, last)) => {
                let mut said = Said::new(206, object.bytes[first..=last].to_vec());
                said.headers.push(("content-range", format!("bytes {first}-{last}/{total}")));
                said
            }
            None => Said::new(200, object.bytes.clone()),
        };
        said.headers.push(("etag", object.etag.clone()));
        said.headers.push(("x-amz-request-id", "simulated".to_owned()));
        let length = said.body.len();
        said.cut = cuts.then(|| state.random.usize(..=length));
        said.hangs = hangs.then(|| state.random.usize(..=length));
        said
    }
}

/// The key that a request of S3 is about.
fn key_of(request: &Request) -> Option<&str> {
    request.resource.strip_prefix("s3://")?.strip_prefix(BUCKET)?.strip_prefix('/')
}

impl State {
    fn sqs_refusal(&mut self) -> Option<Said> {
        if self.strikes(Kind::SqsUnavailable) {
            return Some(Said::refusal(503, "ServiceUnavailable"));
        }
        if self.strikes(Kind::SqsThrottles) {
            return Some(Said::refusal(400, "ThrottlingException"));
        }
        self.strikes(Kind::SqsDenies).then(|| Said::refusal(403, "AccessDeniedException"))
    }

    fn deliver(&mut self, max: usize, hidden: Duration, by: u64, now: Duration) -> Vec<Value> {
        if self.strikes(Kind::SqsTwice) {
            let ids: Vec<u64> = self.queue.messages.keys().copied().collect();
            if !ids.is_empty() {
                let id = ids[self.random.usize(..ids.len())];
                self.queue.show_again(id, now);
            }
        }
        let mut visible = self.queue.visible(now);
        if !self.queue.is_fifo {
            self.random.shuffle(&mut visible);
        }
        let max = self.random.usize(1..=max.max(1));
        let mut messages = Vec::new();
        for id in visible.into_iter().take(max) {
            if self.queue.redrive(id) {
                self.tell(|| format!("SQS: message {id} goes to the dead-letter queue"));
                continue;
            }
            let Some((message, lost)) = self.queue.deliver(id, hidden, by, now) else { continue };
            if let Some(lost) = lost.filter(|lost| self.has_worked(lost.by, lost.received)) {
                // Without a session, SQS is not even called.
                let failed = self.sqs_failed.max(self.sts_failed).is_some_and(|at| at + hidden >= lost.since);
                if !failed {
                    let why = format!(
                        "message {id} was received by process {} and was not extended for {:.1} s; process {by} received it too",
                        lost.by,
                        (now - lost.since).as_secs_f64()
                    );
                    self.violated("every message in hand has a lease", why);
                }
            }
            self.tell(|| format!("SQS: process {by} receives message {id}"));
            let objects =
                self.queue.messages.get(&id).map(|message| message.objects.clone()).unwrap_or_default();
            self.received_again(&objects);
            for object in objects {
                self.machines.entry(self.objects[object].key.clone()).or_default().insert(by % MACHINES);
            }
            messages.push(message);
        }
        messages
    }

    /// The answer of a polled API. None: it does not accept the token.
    fn answer(&mut self, action: &str, input: &Value, token: Option<&str>, now: Duration) -> Option<Value> {
        let number = |name: &str| input[name].as_i64().unwrap_or(0);
        // Pages may be shorter than asked for.
        let most = ["MaxResults", "maxResults", "limit"].iter().map(|name| number(name)).max();
        let most = usize::try_from(most.unwrap_or(0)).unwrap_or(0).clamp(1, 100);
        let most = self.random.usize(1..=most);
        if let State { accounts, random, .. } = self
            && let Some(findings) = accounts.iter_mut().find(|events| events.api == Api::Findings)
        {
            findings.go_on(now, random);
        }
        match action {
            "cloudtrail:LookupEvents" => {
                let (from, to) = (number("StartTime"), number("EndTime"));
                let mut page = self.events(Api::Trail)?.lookup(from, to, token, most, now)?;
                if self.strikes(Kind::ApiOdd) {
                    let odd = json!({ "EventId": format!("odd-{}", page.items.len()), "EventTime": to, "CloudTrailEvent": "{\"cut\":" });
                    page.items.insert(self.random.usize(..=page.items.len()), odd);
                }
                Some(json!({ "Events": page.items, "NextToken": page.token }))
            }
            "logs:DescribeLogGroups" => {
                let group = token.map_or(Ok(0), str::parse::<usize>).ok()?;
                let is_last = self.events(Api::Logs(group + 1)).is_none();
                let next = (!is_last).then(|| (group + 1).to_string());
                Some(json!({ "logGroups": [{ "logGroupName": group_name(group) }], "nextToken": next }))
            }
            "logs:FilterLogEvents" => {
                let most = if self.random.u32(..4) == 0 { 0 } else { most };
                let is_asked = |events: &&Events| match events.api {
                    Api::Logs(group) => input["logGroupName"] == group_name(group).as_str(),
                    _ => false,
                };
                let events = self.accounts.iter().find(is_asked)?;
                let page = events.filter(number("startTime"), number("endTime"), token, most, now)?;
                Some(json!({ "events": page.items, "nextToken": page.token }))
            }
            "cloudwatch:ListMetrics" => {
                let most = self.random.usize(1..4);
                let page = self.events(Api::Metrics)?.metrics(token, most, now)?;
                Some(json!({ "Metrics": page.items, "NextToken": page.token }))
            }
            "cloudwatch:GetMetricData" => {
                let (most, is_partial) = (self.random.usize(1..300), self.strikes(Kind::ApiPartial));
                let page = self.events(Api::Metrics)?.values(input, token, most, is_partial, now)?;
                Some(json!({ "MetricDataResults": page.items, "NextToken": page.token }))
            }
            "guardduty:ListDetectors" => Some(json!({ "detectorIds": [DETECTOR] })),
            "guardduty:ListFindings" => {
                let from = &input["findingCriteria"]["criterion"]["updatedAt"]["greaterThanOrEqual"];
                let from = from.as_i64().unwrap_or(0);
                let page = self.events(Api::Findings)?.findings(from, token, most, now)?;
                Some(json!({ "findingIds": page.items, "nextToken": page.token }))
            }
            "guardduty:GetFindings" => {
                let ids = input["findingIds"].as_array()?;
                let mut findings = self.events(Api::Findings)?.details(ids, now);
                if self.strikes(Kind::ApiOdd) {
                    findings.insert(self.random.usize(..=findings.len()), json!("a text"));
                }
                Some(json!({ "findings": findings }))
            }
            _ => None,
        }
    }

    fn events(&self, api: Api) -> Option<&Events> {
        self.accounts.iter().find(|events| events.api == api)
    }

    fn batch(&mut self, entries: &[Value], mut run: impl FnMut(&mut State, &str, u64) -> Fate) -> Said {
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            let handle = entry["ReceiptHandle"].as_str().unwrap_or_default();
            let seconds = entry["VisibilityTimeout"].as_u64().unwrap_or(0);
            match run(self, handle, seconds) {
                Fate::Deleted | Fate::Nothing => done.push(json!({ "Id": entry["Id"] })),
                Fate::Stale => failed.push(json!({
                    "Id": entry["Id"], "SenderFault": true, "Code": "InvalidParameterValue",
                    "Message": "The receipt handle has expired",
                })),
            }
        }
        Said::json(&json!({ "Successful": done, "Failed": failed }))
    }

    /// The invariant that all of this is about.
    fn delete(&mut self, handle: &str, now: Duration) -> Fate {
        if let Some(id) = self.queue.named(handle) {
            let objects = self.queue.messages.get(&id).map(|m| m.objects.clone()).unwrap_or_default();
            if let Some((object, at)) = self.unread(&objects) {
                let why =
                    format!("message {id} was deleted, and record {at} of object {object} has not been read");
                self.violated("deleted means read by the peer's program", why);
            }
            if self.strikes(Kind::SqsForgets) {
                self.queue.show_again(id, now + Duration::from_secs(1));
                return Fate::Nothing;
            }
            self.tell(|| format!("SQS: message {id} is deleted"));
            self.deleted += 1;
            self.deleted_at = Some(now);
        }
        self.queue.delete(handle, now)
    }
}

/// A body on its way.
struct Coming {
    seat: Seat,
    bytes: Vec<u8>,
    at: usize,
    cut: Option<usize>,
    hangs: Option<usize>,
}

impl Read for Coming {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let limit = |at: Option<usize>| at.unwrap_or(usize::MAX);
        let end = self.bytes.len().min(limit(self.cut)).min(limit(self.hangs));
        let count = into.len().min(PIECE).min(end - self.at);
        if count == 0 {
            if self.hangs == Some(self.at) {
                let _ = self.seat.pass(crate::base::limits::AWS_BODY_TIMEOUT);
                return Err(ErrorKind::TimedOut.into());
            }
            if self.cut.is_some_and(|cut| cut == self.at && cut < self.bytes.len()) {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            return Ok(0);
        }
        if self.bytes.len() > 2048 {
            let micros = self.seat.world.state().random.u64(100..3_000);
            self.seat
                .pass(Duration::from_micros(micros))
                .map_err(|_| io::Error::from(ErrorKind::Interrupted))?;
        }
        into[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
