//! Internal events: a snapshot and the latest notices as JSON, one event each for the collector, every input, service
//! and output, and every warning or error. Pure.

use serde_json::{Value, json};

use crate::telemetry::model::activity::Activity;
use crate::telemetry::notices::Notice;
use crate::telemetry::snapshot::{InputSnapshot, OutputSnapshot, Snapshot};

/// Returns one JSON object per line; `event` is its kind.
pub fn lines(snapshot: &Snapshot, news: &[Notice]) -> Vec<String> {
    let inputs = snapshot.inputs.iter().flat_map(of_input);
    let events = std::iter::once(of_collector(snapshot))
        .chain(inputs)
        .chain(snapshot.outputs.iter().map(of_output))
        .chain(news.iter().map(of_notice));
    events.map(|event| signed(event, snapshot).to_string()).collect()
}

/// The source and time of an event.
fn signed(mut event: Value, snapshot: &Snapshot) -> Value {
    event["collector_id"] = json!(snapshot.id);
    event["collector_name"] = json!(snapshot.name);
    if event["time"].is_null() {
        event["time"] = json!(snapshot.time);
    }
    event
}

fn of_collector(snapshot: &Snapshot) -> Value {
    json!({
        "event": "collector",
        "version": snapshot.version,
        "uptime_seconds": snapshot.uptime_seconds,
        "ready": snapshot.ready,
        "reasons": snapshot.reasons,
        "warnings": snapshot.warnings,
        "lag_seconds": snapshot.lag_seconds(),
        "events_delivered": snapshot.delivered().events,
        "work": snapshot.work,
        "ledger": snapshot.ledger,
        "memory": snapshot.memory,
        "process": snapshot.process,
    })
}

fn of_input(input: &InputSnapshot) -> Vec<Value> {
    let InputSnapshot { name, queue, receive, poll, fetch, settle, calls, services, .. } = input;
    let of_service = services.iter().map(|service| {
        json!({
            "event": "service",
            "input": name,
            "service": service.name,
            "lag_seconds": service.lag_seconds,
            "decode": service.decode,
            "delivered": service.delivered,
        })
    });
    let of_input = json!({
        "event": "input", "input": name, "queue": queue, "receive": receive, "poll": poll, "fetch": fetch,
        "settle": settle, "calls": calls,
    });
    std::iter::once(of_input).chain(of_service).collect()
}

fn of_output(output: &OutputSnapshot) -> Value {
    json!({
        "event": "output",
        "output": output.name,
        "destination": output.destination,
        "senders": output.senders.len(),
        "connections": output.in_state(Activity::Connected),
        "backing_off": output.in_state(Activity::BackingOff),
        "unconfirmed": output.unconfirmed(),
        "send": output.send,
    })
}

fn of_notice(notice: &Notice) -> Value {
    let event = if notice.level == "ERROR" { "error" } else { "warning" };
    json!({"event": event, "time": notice.time, "message": notice.message, "times": notice.times})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::testing;

    #[test]
    fn each_thing_is_an_event_of_its_own() {
        let telemetry = testing::telemetry();
        telemetry.inputs[0].services[1].delivered.events.add(7);
        telemetry.notices.add(log::Level::Warn, "a key\nwith a line end", testing::now());
        let lines = lines(&telemetry.snapshot(testing::now()), &telemetry.notices.since(0).0);
        assert!(lines.iter().all(|line| !line.contains('\n')));
        let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["collector", "input", "service", "service", "service", "output", "warning"]);
        assert_eq!(
            (&events[3]["service"], &events[3]["delivered"]["events"]),
            (&json!("aws_sqs_vpc"), &json!(7))
        );
        assert_eq!(events[6]["message"], "a key\\nwith a line end");
        assert!(events.iter().all(|event| event["time"] == "2027-01-15T08:00:00.000Z"), "{lines:?}");
    }
}
