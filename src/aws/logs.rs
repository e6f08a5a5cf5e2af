//! CloudWatch Logs over the AWS JSON 1.1 protocol: DescribeLogGroups, DescribeLogStreams, FilterLogEvents. Pure.
//!
//! Format: the Amazon CloudWatch Logs API reference. Times are milliseconds since 1970.

use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{Address, JsonService, Request, page_token};
use crate::limits::{LOG_EVENTS_PER_PAGE, LOG_NAMES_PER_PAGE};

const LOGS: JsonService =
    JsonService { scope: "logs", content_type: "application/x-amz-json-1.1", target: "Logs_20140328" };

/// A page of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub names: Vec<Named>,
    /// None: this is the last page.
    pub token: Option<String>,
}

/// A log group or a log stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    /// Of a stream: time of its last event, as far as CloudWatch knows (up to an hour late). None: it has none,
    /// or is a group.
    pub last_event: Option<i64>,
    /// The class of a group, which says what it is made for. None: the usual class, or a stream.
    pub class: Option<String>,
}

impl Named {
    /// Groups of these classes refuse FilterLogEvents.
    pub fn cannot_be_filtered(&self) -> bool {
        matches!(self.class.as_deref(), Some("INFREQUENT_ACCESS" | "DELIVERY"))
    }
}

/// Which events are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter<'a> {
    pub group: &'a str,
    /// At most 100; empty: all streams of the group.
    pub streams: &'a [String],
    /// Both ends are included.
    pub from: i64,
    pub to: i64,
    /// Of the page before.
    pub token: Option<&'a str>,
}

/// A page of events, in the order of their times; it may be empty and not be the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    pub events: Vec<Event>,
    /// None: this is the last page.
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
    pub timestamp: i64,
    pub ingestion_time: Option<i64>,
    #[serde(default)]
    pub message: String,
}

/// DescribeLogGroups: all groups of the region, by name.
pub fn groups(address: &Address<'_>, token: Option<&str>) -> Request {
    let input = json!({"limit": LOG_NAMES_PER_PAGE});
    call("logs:DescribeLogGroups", address, input, token)
}

/// DescribeLogStreams: the streams of a group, by name.
pub fn streams(address: &Address<'_>, group: &str, token: Option<&str>) -> Request {
    let input = json!({
        "logGroupName": group,
        "orderBy": "LogStreamName",
        "limit": LOG_NAMES_PER_PAGE,
    });
    call("logs:DescribeLogStreams", address, input, token)
}

/// FilterLogEvents, without a pattern.
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
/// It is not what AWS documents.
pub fn read_groups(body: &[u8]) -> serde_json::Result<Names> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Group {
        log_group_name: String,
        log_group_class: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        #[serde(default)]
        log_groups: Option<Vec<Group>>,
        #[serde(default)]
        next_token: Option<String>,
    }
    let answer = serde_json::from_slice::<Answer>(body)?;
    let named =
        |group: Group| Named { name: group.log_group_name, last_event: None, class: group.log_group_class };
    let names = answer.log_groups.unwrap_or_default().into_iter().map(named).collect();
    Ok(Names { names, token: page_token(answer.next_token) })
}

/// Reads DescribeLogStreams' answer.
///
/// # Errors
/// It is not what AWS documents.
pub fn read_streams(body: &[u8]) -> serde_json::Result<Names> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Stream {
        log_stream_name: String,
        last_event_timestamp: Option<i64>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        #[serde(default)]
        log_streams: Option<Vec<Stream>>,
        #[serde(default)]
        next_token: Option<String>,
    }
    let answer = serde_json::from_slice::<Answer>(body)?;
    let named = |stream: Stream| {
        let Stream { log_stream_name, last_event_timestamp } = stream;
        Named { name: log_stream_name, last_event: last_event_timestamp, class: None }
    };
    let names = answer.log_streams.unwrap_or_default().into_iter().map(named).collect();
    Ok(Names { names, token: page_token(answer.next_token) })
}

/// Reads FilterLogEvents' answer.
///
/// # Errors
/// It is not what AWS documents.
pub fn read_events(body: &[u8]) -> serde_json::Result<Events> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        #[serde(default)]
        events: Option<Vec<Event>>,
        #[serde(default)]
        next_token: Option<String>,
    }
    let answer = serde_json::from_slice::<Answer>(body)?;
    Ok(Events { events: answer.events.unwrap_or_default(), token: page_token(answer.next_token) })
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
        assert_eq!((event.timestamp, event.ingestion_time), (1_795_271_400_123, Some(1_795_271_402_000)));
        assert_eq!((page.events.len(), page.token.as_deref()), (2, Some("more")));
    }

    #[test]
    fn nothing_there() {
        for body in ["{}", r#"{"events":[],"nextToken":""}"#, r#"{"events":null,"searchedLogStreams":[]}"#] {
            assert_eq!(read_events(body.as_bytes()).unwrap(), Events { events: vec![], token: None });
        }
        assert_eq!(read_groups(b"{}").unwrap(), Names { names: vec![], token: None });
        assert_eq!(read_streams(b"{}").unwrap(), Names { names: vec![], token: None });
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
            proptest::prop_assert_eq!((&page.events[0].message, page.events[0].timestamp), (&message, timestamp));
        }
    }
}
