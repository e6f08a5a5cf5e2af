//! The live view of `run`: a fixed block of figures below the log, only on a terminal.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;

use super::log::{self, Format};
use super::screen::{Screen, Shown};
use super::top::{self, figure, lag};
use crate::base::runtime::clock;
use crate::base::stop::Stop;
use crate::base::text::one_line;
use crate::settings::{Config, Destination};
use crate::telemetry::{Activity, Snapshot, Telemetry, size};

/// The most services whose rows are shown; more would leave no room for the log.
const ROWS_MAX: usize = 12;
/// Interval between two refreshes.
const INTERVAL: Duration = Duration::from_secs(1);
/// Number of intervals over which rates are averaged.
const INTERVALS: usize = 5;
const LINES: usize = 6;

/// A view that is not shown yet. Log lines written to its writer stay above it.
pub struct Live(Option<Screen>);

impl Live {
    /// Creates the view if `wanted`. There is none without a terminal, or with JSON logs.
    pub fn new(wanted: bool) -> Live {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let seen = wanted && !dumb && log::format() == Format::Text && io::stderr().is_terminal();
        Live(seen.then(Screen::new))
    }

    /// Writer for log lines; None without a view.
    pub fn writer(&self) -> Option<Box<dyn Write + Send>> {
        self.0.as_ref().map(Screen::writer)
    }

    /// Shows the figures of a run until the returned guard is dropped.
    pub fn show(&self, config: &Config, telemetry: &Arc<Telemetry>) -> Option<Shown> {
        let prints = config.outputs.iter().any(|output| matches!(output.destination, Destination::Console));
        // Records on the same terminal leave no room for a fixed block.
        let screen = self.0.as_ref().filter(|_| !(prints && io::stdout().is_terminal()))?;
        let services =
            config.inputs.iter().map(|input| input.services.len()).sum::<usize>() + config.sources.len();
        let rows = if services <= ROWS_MAX { services + 1 } else { 0 };
        let lines: Vec<_> = (0..LINES + rows).map(|_| screen.add("{wide_msg}")).collect();
        let telemetry = Arc::clone(telemetry);
        Some(screen.show(move |stop| draw(&lines, &telemetry, stop)))
    }
}

fn draw(lines: &[ProgressBar], telemetry: &Telemetry, stop: &Stop) {
    let mut past = vec![(clock::now(), telemetry.snapshot(clock::timestamp()))];
    while !stop.wait(INTERVAL) {
        let now = clock::now();
        let (then, old) = &past[0];
        let new = telemetry.snapshot(clock::timestamp());
        let seconds = now.duration_since(*then).as_secs_f64().max(0.001);
        let mut shown = block(&new, old, seconds).to_vec();
        if lines.len() > LINES {
            shown.extend(rows(&new, old, seconds));
        }
        for (line, text) in lines.iter().zip(shown) {
            line.set_message(one_line(&text).into_owned());
        }
        past.push((now, new));
        if past.len() > INTERVALS {
            past.remove(0);
        }
    }
}

/// A row for each service, as `top` has them.
fn rows(new: &Snapshot, old: &Snapshot, seconds: f64) -> Vec<String> {
    let status = |snapshot| serde_json::to_value(snapshot).unwrap_or_default();
    top::services(&status(new), &status(old), seconds).into_iter().map(|line| line.text).collect()
}

/// Renders the view `seconds` after `old`.
fn block(new: &Snapshot, old: &Snapshot, seconds: f64) -> [String; LINES] {
    let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
    let per_second = |new, old| figure(rate(new, old));
    let bytes = |new, old| size(rate(new, old) as u64);
    let (f, d, s, a) = (new.fetch(), new.decode(), new.send(), new.settle());
    let depths: Vec<u64> = new.inputs.iter().filter_map(|input| input.queue.available).collect();
    let depth = if depths.is_empty() { "?".to_owned() } else { depths.iter().sum::<u64>().to_string() };
    let senders = new.senders().count();
    let waiting = match new.in_state(Activity::BackingOff) {
        0 => String::new(),
        count => format!(", {count} backing off"),
    };
    let resident = new.process.resident.map_or("?".to_owned(), size);
    [
        format!("── {} ── {} ──", new.name, state(new)),
        format!(
            "receive {:>9}/s messages   {depth} wait in SQS, {} in flight",
            per_second(new.receive().messages, old.receive().messages),
            a.in_work
        ),
        format!(
            "fetch   {:>9}/s            {} in progress, {} wait, {} held",
            bytes(f.bytes, old.fetch().bytes),
            f.active,
            f.waiting,
            size(new.memory.compressed)
        ),
        format!(
            "decode  {:>9}/s            {}/s events, {} of {} workers busy",
            bytes(d.bytes, old.decode().bytes),
            per_second(d.events, old.decode().events),
            new.work.busy,
            new.workers
        ),
        format!(
            "send    {:>9}/s            {}/s events, {} of {senders} connections open{waiting}, {} unconfirmed",
            bytes(s.bytes, old.send().bytes),
            per_second(s.events, old.send().events),
            new.in_state(Activity::Connected),
            size(new.unconfirmed())
        ),
        format!(
            "lag {}, {} events delivered, memory {resident} of {}",
            new.lag_seconds().map_or("–".to_owned(), lag),
            new.delivered().events,
            size(new.memory.limit)
        ),
    ]
}

/// The first problem, or that there is none.
fn state(snapshot: &Snapshot) -> String {
    match snapshot.reasons.as_slice() {
        [] => "collecting".to_owned(),
        [only] => only.clone(),
        [first, others @ ..] => format!("{first} (and {} more)", others.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::testing;

    #[test]
    fn rates_are_those_since_the_older_snapshot() {
        let telemetry = testing::telemetry();
        let old = telemetry.snapshot(testing::now());
        telemetry.outputs[0].send.events.add(250);
        telemetry.inputs[0].fetch.bytes.add(10 << 20);
        telemetry.inputs[0].services[0].delivered.events.add(250);
        telemetry.outputs[0].health.failed("refused", false);
        let lines = block(&telemetry.snapshot(testing::now()), &old, 5.0);
        let text = lines.join("\n");
        for part in
            ["50/s events", "2.0 MiB/s", "250 events delivered", "the collector is starting (and 2 more)"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn lags_for_people() {
        assert_eq!([0.25, 59.9, 60.0, 7200.0].map(lag), ["0.2 s", "59.9 s", "1 min", "2.0 h"]);
    }
}
