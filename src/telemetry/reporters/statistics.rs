//! The statistics lines: one per stage and busy service, with totals and the change since the last line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::base::limits::{CERTIFICATE_EXPIRY_WARNING, CERTIFICATE_WARNING_INTERVAL, OVERDUE_LOOK};
use crate::base::runtime::clock;
use crate::base::stop::Stop;
use crate::base::text::span;
use crate::telemetry::model::activity::Activity;
use crate::telemetry::model::endings::EndingTotals;
use crate::telemetry::run::Telemetry;
use crate::telemetry::snapshot::seconds;
use crate::telemetry::snapshot::{InputSnapshot, OutputSnapshot, ServiceSnapshot, Snapshot};

/// Writes the lines at a fixed interval.
#[derive(Debug)]
pub struct Reporter {
    telemetry: Arc<Telemetry>,
    last: Snapshot,
    last_at: Instant,
}

impl Reporter {
    pub fn new(telemetry: Arc<Telemetry>, now: Instant) -> Reporter {
        let last = telemetry.snapshot(clock::timestamp());
        Reporter { telemetry, last, last_at: now }
    }

    /// Runs until stopped. Once a day it warns of upcoming expiries, since the start, which warns too, may be months
    /// ago.
    pub fn run(mut self, every: Duration, stop: &Stop) {
        let mut warned = self.last_at;
        while !stop.wait(OVERDUE_LOOK) {
            self.telemetry.look(clock::now());
            self.telemetry.remember(clock::now(), clock::timestamp());
            if clock::since(self.last_at) < every {
                continue;
            }
            self.lines(clock::now()).iter().for_each(|line| line.log(""));
            if self.last_at - warned >= CERTIFICATE_WARNING_INTERVAL {
                warned = self.last_at;
                certificate_warnings(&self.last, clock::timestamp())
                    .iter()
                    .for_each(|line| log::warn!("{line}"));
            }
        }
    }

    /// One line per stage and busy service: totals, and the change since the last call, or since the start.
    pub fn lines(&mut self, now: Instant) -> Vec<Line> {
        self.lines_while("in flight", now)
    }

    /// The lines of a pipeline that has ended. An object that it was working on is in flight no more: its message was
    /// returned.
    pub fn last_lines(&mut self, now: Instant) -> Vec<Line> {
        self.lines_while("not finished", now)
    }

    fn lines_while(&mut self, unended: &str, now: Instant) -> Vec<Line> {
        let new = self.telemetry.snapshot(clock::timestamp());
        let lines = lines(&new, &self.last, now.duration_since(self.last_at), unended);
        (self.last, self.last_at) = (new, now);
        lines
    }
}

/// A line of statistics: its text, and the same figures as fields for a log in JSON.
#[derive(Debug)]
pub struct Line {
    pub text: String,
    /// The subject: a stage, or `service`.
    pub about: &'static str,
    pub figures: Value,
}

impl Line {
    fn new(about: &'static str, text: String, figures: Value) -> Line {
        Line { text: format!("{about}: {text}"), about, figures }
    }

    /// Logs it, with a word before it.
    pub fn log(&self, prefix: &str) {
        let Line { text, about, figures } = self;
        log::info!(statistics = *about, figures:serde = figures; "{prefix}{text}");
    }
}

/// `unended` is the word for the objects that a service has started and not ended.
fn lines(new: &Snapshot, old: &Snapshot, elapsed: Duration, unended: &str) -> Vec<Line> {
    let (r, f, d, s, a) = (new.receive(), new.fetch(), new.decode(), new.send(), new.settle());
    let e = new.endings();
    let (fetched, logs) = (f.bytes - old.fetch().bytes, d.bytes - old.decode().bytes);
    let lines = [
        Line::new(
            "receive",
            format!(
                "{} messages ({} new), {} objects announced, {} skipped, {} ignored, {} unreadable, {} failed calls",
                r.messages,
                r.messages - old.receive().messages,
                r.objects,
                r.skipped,
                r.ignored,
                r.unreadable,
                r.failed_calls
            ),
            json!(r),
        ),
        Line::new(
            "fetch",
            format!(
                "{} objects, {} ({} new, {}/s), {} failed, {} already delivered ({} of them without a GET)",
                f.objects,
                size(f.bytes),
                size(fetched),
                size(per_second(fetched, elapsed)),
                f.failed,
                f.known,
                f.known_unread
            ),
            json!(f),
        ),
        Line::new(
            "decode",
            format!(
                "{} events, {} of logs ({} new events, {}/s), {} filtered out, {} unrouted, {} documents without records, {} not sent again, {} corrupt objects",
                d.events,
                size(d.bytes),
                d.events - old.decode().events,
                size(per_second(logs, elapsed)),
                d.filtered,
                d.unrouted,
                d.recordless,
                d.resumed,
                d.failed
            ),
            json!(d),
        ),
        Line::new(
            "objects",
            format!(
                "{} delivered, {} empty, {} left out, {} refused",
                e.of("delivered"),
                e.of("empty"),
                e.of("left_out"),
                e.of("refused")
            ),
            json!(e),
        ),
        Line::new(
            "send",
            format!(
                "total number of events sent: {}, sent since the last line: {} (elapsed {} s), {} repeated, {} unconfirmed, connections open: {}",
                s.events,
                s.events - old.send().events,
                elapsed.as_secs(),
                s.repeated,
                size(new.unconfirmed()),
                new.in_state(Activity::Connected)
            ),
            json!(s),
        ),
        Line::new(
            "settle",
            format!(
                "{} messages deleted ({} new), {} in flight, {} returned, {} kept, {} leases extended, {} lost; ledger: {} entries written, {} failed",
                a.deleted,
                a.deleted - old.settle().deleted,
                a.in_work,
                a.released,
                a.kept,
                a.extended,
                a.lost,
                new.ledger.recorded,
                new.ledger.unrecorded
            ),
            json!(a),
        ),
    ];
    let p = new.poll();
    let poll = (p.calls > 0).then(|| {
        let text = format!(
            "{} calls, {} failed, {} events, {} left out, {} of other regions, {} duplicates",
            p.calls, p.failed_calls, p.events, p.dropped, p.other_region, p.duplicated
        );
        Line::new("poll", text, json!(p))
    });
    poll.into_iter().chain(lines).chain(of_services(new, old, elapsed, unended)).collect()
}

/// One line for each service that has done anything since the last line.
fn of_services(new: &Snapshot, old: &Snapshot, elapsed: Duration, unended: &str) -> Vec<Line> {
    let all = new.inputs.iter().flat_map(|input| input.services.iter().map(move |service| (input, service)));
    let line = |(input, service): (&InputSnapshot, &ServiceSnapshot)| {
        let before = old.inputs.iter().find(|before| before.name == input.name);
        let before =
            before.and_then(|input| input.services.iter().find(|before| before.name == service.name));
        let events_before = before.map_or(0, |before| before.delivered.events);
        let is_idle = before.is_some_and(|before| before.endings == service.endings)
            || before.is_none() && service.endings == EndingTotals::default();
        if is_idle && service.delivered.events == events_before && service.delivered.in_work == 0 {
            return None;
        }
        let (ended, delivered) = (service.endings, service.delivered);
        let events = delivered.events.saturating_sub(events_before);
        let text = format!(
            "{} of inputs.{}: {} events delivered ({events} new, {}/s), {} of logs; objects: {} delivered, {} empty, {} left out, {} refused, {} {unended}; lag {}",
            service.name,
            input.name,
            delivered.events,
            per_second(events, elapsed),
            size(service.decode.bytes),
            ended.of("delivered"),
            ended.of("empty"),
            ended.of("left_out"),
            ended.of("refused"),
            delivered.in_work,
            service
                .lag_seconds
                .map_or_else(|| "unknown".to_owned(), |lag| span(Duration::from_secs_f64(lag)))
        );
        let mut figures = json!(service);
        figures["input"] = json!(input.name);
        figures["new_events"] = json!(events);
        Some(Line::new("service", text, figures))
    };
    all.filter_map(line).collect()
}

fn certificate_warnings(snapshot: &Snapshot, now: Timestamp) -> Vec<String> {
    let warning = |output: &OutputSnapshot| {
        let left = output.certificate_expires_at? - seconds(now);
        let when = match left {
            ..0.0 => "has expired".to_owned(),
            _ => format!("expires in {:.1} days", left / 86_400.0),
        };
        let advice = "create a new one in Devo, replace cert and key, and send SIGHUP";
        (left < CERTIFICATE_EXPIRY_WARNING.as_secs_f64())
            .then(|| format!("outputs.{}: the client certificate {when}: {advice}", output.name))
    };
    snapshot.outputs.iter().filter_map(warning).collect()
}

fn per_second(amount: u64, elapsed: Duration) -> u64 {
    (amount as f64 / elapsed.as_secs_f64().max(0.001)) as u64
}

/// Formats a number of bytes for people: `1.5 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (bytes.max(1).ilog2() / 10).min(4);
    if power == 0 {
        format!("{bytes} B")
    } else {
        format!("{:.1} {}", bytes as f64 / 1024f64.powi(power as i32), UNITS[power as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::testing;

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536 << 20, "1.5 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn certificates_are_warned_of_in_their_last_month_and_after() {
        let telemetry = testing::telemetry();
        let warned = |days: i64| {
            let end = testing::now() + jiff::SignedDuration::from_hours(24 * days);
            telemetry.outputs[0].set_certificate_expires_at(Some(end));
            certificate_warnings(&telemetry.snapshot(testing::now()), testing::now()).concat()
        };
        assert_eq!(warned(31), "");
        assert!(warned(29).starts_with("outputs.devo_1: the client certificate expires in 29.0 days: "));
        assert!(warned(-1).starts_with("outputs.devo_1: the client certificate has expired: "));
        telemetry.outputs[0].set_certificate_expires_at(None);
        assert!(certificate_warnings(&telemetry.snapshot(testing::now()), testing::now()).is_empty());
    }

    #[test]
    fn at_the_end_no_service_has_objects_in_flight() {
        let telemetry = Arc::new(testing::telemetry());
        let mut reporter = Reporter::new(Arc::clone(&telemetry), Instant::now());
        telemetry.inputs[0].services[1].begin(None);
        let service = |lines: Vec<Line>| lines.into_iter().find(|line| line.about == "service").unwrap();
        assert!(service(reporter.lines(Instant::now())).text.contains(", 1 in flight; "));
        let last = service(reporter.last_lines(Instant::now()));
        assert!(last.text.contains(", 1 not finished; "), "{last:?}");
    }

    #[test]
    fn lines_tell_totals_and_what_is_new() {
        let telemetry = Arc::new(testing::telemetry());
        let start = Instant::now();
        let mut reporter = Reporter::new(Arc::clone(&telemetry), start);
        telemetry.outputs[0].send.events.add(40);
        reporter.lines(start + Duration::from_secs(60));
        telemetry.outputs[0].send.events.add(2);
        telemetry.inputs[0].services[1].delivered.events.add(600);
        let lines = reporter.lines(start + Duration::from_secs(120));
        let sent = lines.iter().find(|line| line.about == "send").unwrap();
        assert!(
            sent.text.contains("events sent: 42, sent since the last line: 2 (elapsed 60 s)"),
            "{lines:?}"
        );
        assert_eq!(sent.figures["events"], 42);
        let services: Vec<_> = lines.iter().filter(|line| line.about == "service").collect();
        assert_eq!(services.len(), 1, "the others are idle");
        assert!(
            services[0].text.starts_with(
                "service: aws_sqs_vpc of inputs.sqs_collector: 600 events delivered (600 new, 10/s), "
            ),
            "{services:?}"
        );
        assert_eq!(
            (&services[0].figures["delivered"]["events"], &services[0].figures["input"]),
            (&json!(600), &json!("sqs_collector"))
        );
        telemetry.inputs[0].services[1].endings.add(crate::ack::Ending::Sent);
        let idle = |lines: Vec<Line>| lines.iter().filter(|line| line.about == "service").count() == 0;
        assert!(!idle(reporter.lines(start + Duration::from_secs(180))));
        assert!(idle(reporter.lines(start + Duration::from_secs(240))));
    }
}
