//! CloudTrail over the AWS JSON 1.1 protocol: LookupEvents. Pure.
//!
//! Format: the AWS CloudTrail API reference, "LookupEvents".

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::request::{Address, JsonService, Request, page_token};
use super::success::{self, Unusable};
use crate::base::limits::LOOKUP_EVENTS_MAX;

const CLOUDTRAIL: JsonService = JsonService {
    scope: "cloudtrail",
    content_type: "application/x-amz-json-1.1",
    target: "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101",
};

/// A look-up: events of a time range, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup<'a> {
    pub from: Timestamp,
    pub to: Timestamp,
    /// Only events of this source (`iam.amazonaws.com`).
    pub source: Option<&'a str>,
    /// Token of the previous page.
    pub token: Option<&'a str>,
}

/// One page, the latest event first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub events: Vec<Event>,
    /// None if this is the last page.
    pub token: Option<String>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: Option<String>,
    pub name: Option<String>,
    /// Whole seconds since 1970.
    pub time: Option<i64>,
    /// The event as CloudTrail recorded it: JSON. If AWS omitted it, the envelope replaces it.
    pub json: String,
}

/// Builds LookupEvents. The address's resource is for people.
pub fn lookup(address: &Address<'_>, lookup: &Lookup<'_>) -> Request {
    let mut input = json!({
        "StartTime": lookup.from.as_second(),
        "EndTime": lookup.to.as_second(),
        "MaxResults": LOOKUP_EVENTS_MAX,
    });
    if let Some(source) = lookup.source {
        input["LookupAttributes"] = json!([{"AttributeKey": "EventSource", "AttributeValue": source}]);
    }
    if let Some(token) = lookup.token {
        input["NextToken"] = token.into();
    }
    CLOUDTRAIL.call("cloudtrail:LookupEvents", address, &input)
}

/// Reads LookupEvents' answer.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_lookup(body: &[u8]) -> Result<Page, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<T> {
        events: Vec<T>,
        next_token: Option<String>,
    }
    let answer = success::json::<Answer<Value>, Answer<IgnoredAny>>(body)?;
    Ok(Page { events: answer.events.into_iter().map(event).collect(), token: page_token(answer.next_token) })
}

fn event(mut envelope: Value) -> Event {
    let text = |name| envelope.get(name).and_then(Value::as_str).map(str::to_owned);
    let (id, name) = (text("EventId"), text("EventName"));
    let time = envelope.get("EventTime").and_then(Value::as_f64).map(|seconds| seconds.floor() as i64);
    let json = match envelope.get_mut("CloudTrailEvent").map(Value::take) {
        Some(Value::String(json)) if !json.trim().is_empty() => json,
        _ => envelope.to_string(),
    };
    Event { id, name, time, json }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_names_both_ends_in_seconds() {
        let address = Address { endpoint: "https://e", region: "eu-west-1", resource: "events" };
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let (from, to) = (time("2026-03-28T23:30:00.9Z"), time("2026-03-29T00:30:00Z"));
        let asked = Lookup { from, to, source: Some("iam.amazonaws.com"), token: Some("t1") };
        let request = lookup(&address, &asked);
        assert_eq!((request.service, request.action), ("cloudtrail", "cloudtrail:LookupEvents"));
        insta::assert_snapshot!(
            String::from_utf8(request.body).unwrap(),
            @r#"{"StartTime":1774740600,"EndTime":1774744200,"MaxResults":50,"LookupAttributes":[{"AttributeKey":"EventSource","AttributeValue":"iam.amazonaws.com"}],"NextToken":"t1"}"#
        );
    }

    #[test]
    fn a_page_gives_the_recorded_events() {
        let page = read_lookup(include_bytes!("../../testdata/aws/cloudtrail/lookup_events.json")).unwrap();
        let [one, two, bare] = page.events.as_slice() else { panic!("three events") };
        assert_eq!(
            one.json,
            "{\"eventVersion\":\"1.09\",\"eventSource\":\"s3.amazonaws.com\",\"awsRegion\":\"us-east-2\",\"note\":\"é \\\"quoted\\\"\"}"
        );
        assert_eq!((one.name.as_deref(), one.time), (Some("ListBuckets"), Some(1_774_744_199)));
        assert_eq!(two.id.as_deref(), Some("0d4f2f6a-5f0f-4c57-9c0f-0a1b2c3d4e5f"));
        assert!(bare.json.starts_with("{\"EventId\":\"11111111"), "the envelope itself: {}", bare.json);
        assert_eq!(page.token.as_deref(), Some("cGFnZSAy"));
    }

    #[test]
    fn an_account_without_events_has_an_empty_page() {
        for body in
            [r#"{"Events":[]}"#, r#"{"Events":[],"NextToken":null}"#, r#"{"Events":[],"NextToken":""}"#]
        {
            assert_eq!(read_lookup(body.as_bytes()).unwrap(), Page { events: vec![], token: None });
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(0u8.., 0..200)) {
            let _ = read_lookup(&body);
        }

        /// Any recorded event comes out byte for byte.
        #[test]
        fn the_recorded_event_survives(json in "\\PC{1,60}", time in 0u32..) {
            let body = json!({"Events": [{"EventTime": f64::from(time) + 0.5, "CloudTrailEvent": format!("x{json}")}]});
            let page = read_lookup(body.to_string().as_bytes()).unwrap();
            proptest::prop_assert_eq!(&page.events[0].json, &format!("x{json}"));
            proptest::prop_assert_eq!(page.events[0].time, Some(i64::from(time)));
        }
    }
}
