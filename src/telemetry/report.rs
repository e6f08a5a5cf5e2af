//! The statistics lines: one a stage, the total and what came since the last line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Counter, Telemetry};
use crate::stop::Stop;

/// A copy of the counters that the lines tell of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    pub messages: u64,
    pub objects: u64,
    pub compressed_bytes: u64,
    pub log_bytes: u64,
    pub events: u64,
    pub delivered: u64,
    pub repeated: u64,
    pub deleted: u64,
    pub released: u64,
}

impl Report {
    pub fn of(telemetry: &Telemetry) -> Report {
        let value = Counter::value;
        Report {
            messages: value(&telemetry.receive.messages),
            objects: value(&telemetry.decode.objects),
            compressed_bytes: value(&telemetry.fetch.bytes),
            log_bytes: value(&telemetry.decode.bytes),
            events: value(&telemetry.decode.events),
            delivered: value(&telemetry.send.events),
            repeated: value(&telemetry.send.repeated),
            deleted: value(&telemetry.settle.deleted),
            released: value(&telemetry.settle.released),
        }
    }
}

/// Writes the lines at a fixed interval.
#[derive(Debug)]
pub struct Reporter {
    telemetry: Arc<Telemetry>,
    last: Report,
    last_at: Instant,
}

impl Reporter {
    pub fn new(telemetry: Arc<Telemetry>, now: Instant) -> Reporter {
        Reporter { telemetry, last: Report::default(), last_at: now }
    }

    /// Runs until stopped.
    pub fn run(mut self, every: Duration, stop: &Stop) {
        while !stop.wait(every) {
            for line in self.lines(Instant::now()) {
                log::info!("{line}");
            }
        }
    }

    /// One line a stage: total, and what came since the last call.
    pub fn lines(&mut self, now: Instant) -> Vec<String> {
        let (t, new, old) = (&*self.telemetry, Report::of(&self.telemetry), self.last);
        let elapsed = now.duration_since(self.last_at);
        let (r, d, s, a) = (&t.receive, &t.decode, &t.send, &t.settle);
        let lines = vec![
            format!(
                "receive: {} messages ({} new), {} objects announced, {} skipped, {} ignored, {} unreadable, {} failed calls",
                new.messages,
                new.messages - old.messages,
                r.objects.value(),
                r.skipped.value(),
                r.ignored.value(),
                r.unreadable.value(),
                r.failed_calls.value()
            ),
            format!(
                "fetch: {} objects, {} ({} new, {}/s), {} failed, {} known as delivered ({} of them without a GET)",
                t.fetch.objects.value(),
                size(new.compressed_bytes),
                size(new.compressed_bytes - old.compressed_bytes),
                size(per_second(new.compressed_bytes - old.compressed_bytes, elapsed)),
                t.fetch.failed.value(),
                t.fetch.known.value(),
                t.fetch.known_unread.value()
            ),
            format!(
                "decode: {} events, {} of logs ({} new events, {}/s), {} filtered out, {} unrouted, {} documents without records, {} not sent again, {} corrupt objects",
                new.events,
                size(new.log_bytes),
                new.events - old.events,
                size(per_second(new.log_bytes - old.log_bytes, elapsed)),
                d.filtered.value(),
                d.unrouted.value(),
                d.recordless.value(),
                d.resumed.value(),
                d.failed.value()
            ),
            format!(
                "send: total number of events sent: {}, sent since the last line: {} (elapsed {} s), {} repeated, {} unconfirmed, connections open: {}",
                new.delivered,
                new.delivered - old.delivered,
                elapsed.as_secs(),
                new.repeated,
                size(s.unconfirmed.value().max(0) as u64),
                s.connections.value()
            ),
            format!(
                "settle: {} messages deleted ({} new), {} in work, {} released, {} kept, {} leases extended, {} lost; ledger: {} entries written, {} could not be",
                new.deleted,
                new.deleted - old.deleted,
                a.in_work.value(),
                new.released,
                a.kept.value(),
                a.extended.value(),
                a.lost.value(),
                t.ledger.recorded.value(),
                t.ledger.unrecorded.value()
            ),
        ];
        let p = &t.poll;
        let poll = (p.calls.value() > 0).then(|| {
            format!(
                "poll: {} calls, {} failed, {} events, {} left out, {} of other regions, {} duplicates",
                p.calls.value(),
                p.failed_calls.value(),
                p.events.value(),
                p.dropped.value(),
                p.other_region.value(),
                p.duplicated.value()
            )
        });
        (self.last, self.last_at) = (new, now);
        poll.into_iter().chain(lines).collect()
    }
}

fn per_second(amount: u64, elapsed: Duration) -> u64 {
    (amount as f64 / elapsed.as_secs_f64().max(0.001)) as u64
}

/// A number of bytes for people: `1.5 MiB`.
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
    fn lines_tell_totals_and_what_is_new() {
        let telemetry = Arc::new(Telemetry::default());
        let start = Instant::now();
        let mut reporter = Reporter::new(Arc::clone(&telemetry), start);
        telemetry.send.events.add(40);
        reporter.lines(start + Duration::from_secs(60));
        telemetry.send.events.add(2);
        let lines = reporter.lines(start + Duration::from_secs(120));
        assert!(
            lines.iter().any(|l| l.contains("events sent: 42, sent since the last line: 2 (elapsed 60 s)")),
            "{lines:?}"
        );
    }
}
