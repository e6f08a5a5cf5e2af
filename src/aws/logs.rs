//! CloudWatch Logs over the AWS JSON 1.1 protocol: DescribeLogGroups, DescribeLogStreams, FilterLogEvents. Pure.
//!
//! Format: the Amazon CloudWatch Logs API reference. Times are milliseconds since 1970.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::request::{Address, JsonService, Request, page_token};
use super::success::{self, Unusable};
use crate::base::limits::{LOG_EVENTS_PER_PAGE, LOG_NAMES_PER_PAGE};

const LOGS: JsonService =
    JsonService { scope: "logs", content_type: "application/x-amz-json-1.1", target: "Logs_20140328" };

/// A page of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub names: Vec<Named>,
    /// None if this is the last page.
    pub token: Option<String>,
}

/// A log group or a log stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    /// Time of a stream's last event, as far as CloudWatch knows (up to an hour late). None if it has none, or is a
    /// group.
    pub last_event: Option<i64>,
    /// The class of a group. None for the usual class, or a stream.
    pub class: Option<String>,
}

impl Named {
    /// Groups of these classes do not support FilterLogEvents.
    pub fn cannot_be_filtered(&self) -> bool {
        matches!(self.class.as_deref(), Some("INFREQUENT_ACCESS" | "DELIVERY"))
    }
}

/// The events to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter<'a> {
    pub group: &'a str,
    /// At most 100; empty: all streams of the group.
    pub streams: &'a [String],
    /// Both ends are included.
    pub from: i64,
    pub to: i64,
    /// Token of the previous page.
    pub token: Option<&'a str>,
}

/// A page of events, in the order of their times; an empty page need not be the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    pub events: Vec<Event>,
    /// None if this is the last page.
    pub token: Option<String>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    #[serde(rename = "eventId")]
    pub id: Option<String>,
    #[serde(rename = "logStreamName", default)]
    pub stream: String,
    /// None if it is unreadable.
    #[serde(deserialize_with = "some_time")]
    pub timestamp: Option<i64>,
    pub ingestion_time: Option<i64>,
    #[serde(default)]
    pub message: String,
}

/// Builds DescribeLogGroups: all groups of the region, by name.
pub fn groups(address: &Address<'_>, token: Option<&str>) -> Request {
    let input = json!({"limit": LOG_NAMES_PER_PAGE});
    call("logs:DescribeLogGroups", address, input, token)
}

/// Builds DescribeLogStreams: the streams of a group, by name.
pub fn streams(address: &Address<'_>, group: &str, token: Option<&str>) -> Request {
    let input = json!({
        "logGroupName": group,
        "orderBy": "LogStreamName",
        "limit": LOG_NAMES_PER_PAGE,
    });
    call("logs:DescribeLogStreams", address, input, token)
}

/// Builds FilterLogEvents, without a pattern.
pub fn events(address: &Address<'_>, filter: &Filter<'_>) -> Request {
    let mut input = json!({
        "logGroupName": filter.group,
        "startTime": filter.from.max(0),
        "endTime": filter.to.max(0),
        "limit": LOG_EVENTS_PER_PAGE,
    });
    if !filter.streams.is_empty() {
        input["logStreamNames"] = filter.streams.into();
    }
    call("logs:FilterLogEvents", address, input, filter.token)
}

/// Reads DescribeLogGroups' answer.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_groups(body: &[u8]) -> Result<Names, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Group {
        log_group_name: String,
        log_group_class: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<T> {
        log_groups: Vec<T>,
        next_token: Option<String>,
    }
    let answer = success::json::<Answer<Group>, Answer<IgnoredAny>>(body)?;
    let named =
        |group: Group| Named { name: group.log_group_name, last_event: None, class: group.log_group_class };
    let names = answer.log_groups.into_iter().map(named).collect();
    Ok(Names { names, token: page_token(answer.next_token) })
}

/// Reads DescribeLogStreams' answer.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_streams(body: &[u8]) -> Result<Names, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Stream {
        log_stream_name: String,
        last_event_timestamp: Option<i64>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<T> {
        log_streams: Vec<T>,
        next_token: Option<String>,
    }
    let answer = success::json::<Answer<Stream>, Answer<IgnoredAny>>(body)?;
    let named = |stream: Stream| {
        let Stream { log_stream_name, last_event_timestamp } = stream;
        Named { name: log_stream_name, last_event: last_event_timestamp, class: None }
    };
    let names = answer.log_streams.into_iter().map(named).collect();
    Ok(Names { names, token: page_token(answer.next_token) })
}

/// Reads FilterLogEvents' answer. One odd event does not block the others: it is read as far as possible.
///
/// # Errors
/// If it is not what AWS documents.
pub fn read_events(body: &[u8]) -> Result<Events, Unusable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<T> {
        events: Vec<T>,
        next_token: Option<String>,
    }
    match success::json::<Answer<Event>, Answer<IgnoredAny>>(body) {
        Ok(answer) => Ok(Events { events: answer.events, token: page_token(answer.next_token) }),
        Err(Unusable::Odd(_)) => {
            let text = success::mended(body);
            let answer = serde_json::from_str::<Answer<IgnoredAny>>(&text).map_err(Unusable::foreign)?;
            Ok(Events { events: one_by_one(&text)?, token: page_token(answer.next_token) })
        }
        Err(foreign) => Err(foreign),
    }
}

/// The events of a page with at least one odd event.
fn one_by_one(text: &str) -> Result<Vec<Event>, Unusable> {
    success::items(text, "events", Event::read)
}

impl Event {
    /// Reads an event member by member, each as far as possible. An object without a time and a message is not an
    /// event.
    fn read(json: &str) -> Result<Event, Unusable> {
        let event = serde_json::from_str::<Value>(json).map_err(Unusable::odd)?;
        let text = |name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
        let time = |name: &str| event.get(name).and_then(millis);
        let (timestamp, message) = (time("timestamp"), text("message"));
        if timestamp.is_none() && message.is_none() {
            return Err(Unusable::odd("an event has neither a timestamp nor a message"));
        }
        Ok(Event {
            id: text("eventId"),
            stream: text("logStreamName").unwrap_or_default(),
            timestamp,
            ingestion_time: time("ingestionTime"),
            message: message.unwrap_or_default(),
        })
    }
}

/// A time that is present and whole, as nearly always.
fn some_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    i64::deserialize(deserializer).map(Some)
}

/// A number in any notation.
fn millis(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().map(|millis| millis as i64))
}

fn call(action: &'static str, address: &Address<'_>, mut input: Value, token: Option<&str>) -> Request {
    if let Some(token) = token {
        input["nextToken"] = token.into();
    }
    LOGS.call(action, address, &input)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Address<'_> = Address { endpoint: "https://e", region: "eu-west-1", resource: "logs" };

    fn text(request: &Request) -> &str {
        std::str::from_utf8(&request.body).unwrap()
    }

    #[test]
    fn requests() {
        let request = groups(&ADDRESS, Some("t"));
        assert_eq!(text(&request), r#"{"limit":50,"nextToken":"t"}"#);
        assert!(request.headers.contains(&("x-amz-target", "Logs_20140328.DescribeLogGroups".to_owned())));
        assert_eq!(
            text(&streams(&ADDRESS, "/g", None)),
            r#"{"logGroupName":"/g","orderBy":"LogStreamName","limit":50}"#
        );
        let names = ["a".to_owned()];
        let filter = Filter { group: "/g", streams: &[], from: -5, to: 9, token: None };
        assert_eq!(
            text(&events(&ADDRESS, &filter)),
            r#"{"logGroupName":"/g","startTime":0,"endTime":9,"limit":10000}"#
        );
        let filter = Filter { streams: &names, token: Some("t"), ..filter };
        assert_eq!(
            text(&events(&ADDRESS, &filter)),
            r#"{"logGroupName":"/g","startTime":0,"endTime":9,"limit":10000,"logStreamNames":["a"],"nextToken":"t"}"#
        );
    }

    #[test]
    fn pages_in_the_documented_form() {
        let page = read_groups(include_bytes!("../../testdata/aws/logs/groups.json")).unwrap();
        let names: Vec<_> = page.names.iter().map(|group| group.name.as_str()).collect();
        assert_eq!((names, page.token.as_deref()), (vec!["/aws/lambda/orders", "shop"], Some("next")));
        let page = read_streams(include_bytes!("../../testdata/aws/logs/streams.json")).unwrap();
        let last: Vec<_> = page.names.iter().map(|stream| stream.last_event).collect();
        assert_eq!((last, page.token), (vec![Some(1_795_271_400_123), None], None));
        let page = read_events(include_bytes!("../../testdata/aws/logs/events.json")).unwrap();
        let event = &page.events[0];
        assert_eq!(event.message, "two\nlines, \"quoted\" and é\t");
        assert_eq!(
            (event.timestamp, event.ingestion_time),
            (Some(1_795_271_400_123), Some(1_795_271_402_000))
        );
        assert_eq!((page.events.len(), page.token.as_deref()), (2, Some("more")));
    }

    #[test]
    fn nothing_there() {
        for body in [r#"{"events":[],"nextToken":""}"#, r#"{"events":[],"searchedLogStreams":[]}"#] {
            assert_eq!(read_events(body.as_bytes()).unwrap(), Events { events: vec![], token: None });
        }
        assert_eq!(read_groups(br#"{"logGroups":[]}"#).unwrap(), Names { names: vec![], token: None });
        assert_eq!(read_streams(br#"{"logStreams":[]}"#).unwrap(), Names { names: vec![], token: None });
    }

    /// Each odd event stands between two good ones, and all three are read.
    #[test]
    fn an_odd_event_holds_nobody_up() {
        let good = r#"{"eventId":"g","logStreamName":"s","timestamp":1,"message":"m"}"#;
        let rows = [
            (r#"{"eventId":"o","timestamp":2,"message":"a \ud800 b"}"#, Some(2), "a \u{fffd} b"),
            (r#"{"eventId":"o","timestamp":2.0,"message":"m"}"#, Some(2), "m"),
            (r#"{"eventId":"o","eventId":"p","timestamp":2,"message":"m"}"#, Some(2), "m"),
            (r#"{"timestamp":2,"message":null}"#, Some(2), ""),
            (r#"{"timestamp":2,"message":7,"logStreamName":[]}"#, Some(2), ""),
            (r#"{"timestamp":"soon","message":"m"}"#, None, "m"),
            (r#"{"message":"m","ingestionTime":{}}"#, None, "m"),
        ];
        for (odd, timestamp, message) in rows {
            let body = format!(r#"{{"events":[{good},{odd},{good}],"nextToken":"t"}}"#);
            let page = read_events(body.as_bytes()).unwrap();
            assert_eq!((page.events.len(), page.token.as_deref()), (3, Some("t")), "{odd}");
            assert_eq!(page.events[0], page.events[2]);
            assert_eq!(
                (page.events[1].timestamp, page.events[1].message.as_str()),
                (timestamp, message),
                "{odd}"
            );
        }
        for none in ["null", "{}", "7"] {
            let body = format!(r#"{{"events":[{good},{none}]}}"#);
            assert!(matches!(read_events(body.as_bytes()), Err(Unusable::Odd(_))), "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(0u8.., 0..200)) {
            let _ = (read_groups(&body), read_streams(&body), read_events(&body));
        }

        #[test]
        fn messages_survive(message in "\\PC{0,60}", timestamp in 0i64..) {
            let body = json!({"events": [{"message": message, "timestamp": timestamp}]}).to_string();
            let page = read_events(body.as_bytes()).unwrap();
            proptest::prop_assert_eq!((&page.events[0].message, page.events[0].timestamp), (&message, Some(timestamp)));
        }
    }
}
