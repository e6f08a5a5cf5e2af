//! The figures of `/status.json` as lines: what is wrong, a row for each service and each output.

use serde_json::Value;

use crate::base::text::one_line;
use crate::telemetry::size;

/// The most troubles that are shown.
const TROUBLES_MAX: usize = 5;

/// A line of the view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub colour: Option<Colour>,
}

/// The importance of a line, shown as its color.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Red,
    Yellow,
    Bold,
}

impl Colour {
    /// The terminal's escape code.
    pub fn code(self) -> &'static str {
        match self {
            Colour::Red => "\x1b[31m",
            Colour::Yellow => "\x1b[33m",
            Colour::Bold => "\x1b[1m",
        }
    }
}

/// Renders `new`, which was read `seconds` after `old`.
pub fn lines(new: &Value, old: &Value, seconds: f64) -> Vec<Line> {
    let mut lines = vec![head(new)];
    lines.extend(troubles(new));
    lines.extend(services(new, old, seconds));
    lines.push(bold(format!(
        "{:<44} {:>8} {:>9} {:>11} {:>11} {:>9} {:>11}",
        "output", "open", "of", "events/s", "sent/s", "retries", "unconfirmed"
    )));
    for output in list(new, "/outputs") {
        lines.push(output_row(output, named(old, "/outputs", output), seconds));
    }
    lines.push(foot(new));
    lines
}

/// A head, and a row for each service.
pub fn services(new: &Value, old: &Value, seconds: f64) -> Vec<Line> {
    let mut lines = vec![bold(format!(
        "{:<44} {:>8} {:>9} {:>11} {:>11} {:>9} {:>11}",
        "service", "waiting", "in flight", "events/s", "log/s", "lag", "delivered"
    ))];
    for input in list(new, "/inputs") {
        let before = named(old, "/inputs", input);
        for service in list(input, "/services") {
            let before = before.and_then(|before| named(before, "/services", service));
            lines.push(service_row(input, service, before, seconds));
        }
    }
    lines
}

fn head(new: &Value) -> Line {
    let ready = new.pointer("/ready").and_then(Value::as_bool) == Some(true);
    let state = if ready { "collecting" } else { "NOT READY" };
    let hours = number(new, "/uptime_seconds").unwrap_or_default() / 3600.0;
    let text = format!(
        "{} ({}) {}: {state}, up {hours:.1} h",
        word(new, "/name"),
        word(new, "/id"),
        word(new, "/version")
    );
    Line { text, colour: Some(if ready { Colour::Bold } else { Colour::Red }) }
}

/// Reasons why it is not ready, then warnings.
fn troubles(new: &Value) -> Vec<Line> {
    let of = |place: &str, colour| {
        let texts = list(new, place).filter_map(Value::as_str);
        texts
            .map(|text| Line { text: format!("  {}", one_line(text)), colour: Some(colour) })
            .collect::<Vec<_>>()
    };
    let mut all = of("/reasons", Colour::Red);
    all.extend(of("/warnings", Colour::Yellow));
    let more = all.len().saturating_sub(TROUBLES_MAX);
    all.truncate(TROUBLES_MAX);
    if more > 0 {
        all.push(Line { text: format!("  and {more} more: see the status page"), colour: None });
    }
    all
}

fn service_row(input: &Value, service: &Value, old: Option<&Value>, seconds: f64) -> Line {
    let name = format!("{} / {}", word(input, "/name"), word(service, "/name"));
    let seconds_behind = number(service, "/lag_seconds");
    let text = format!(
        "{:<44} {:>8} {:>9} {:>11} {:>11} {:>9} {:>11}",
        shortened(&name),
        count(input, "/queue/available"),
        count(input, "/queue/in_flight"),
        figure(rate(service, old, "/delivered/events", seconds)),
        size(rate(service, old, "/decode/bytes", seconds) as u64),
        seconds_behind.map_or("–".to_owned(), lag),
        number(service, "/delivered/events").unwrap_or_default(),
    );
    let dead = number(input, "/queue/dead_letters").unwrap_or_default();
    let failed = rate(service, old, "/decode/failed", seconds);
    let colour = if failed > 0.0 { Some(Colour::Red) } else { (dead > 0.0).then_some(Colour::Yellow) };
    let dead = if dead > 0.0 { format!("  {dead} dead letters") } else { String::new() };
    Line { text: text + &dead, colour }
}

fn output_row(output: &Value, old: Option<&Value>, seconds: f64) -> Line {
    let senders: Vec<&Value> = list(output, "/senders").collect();
    let open = senders.iter().filter(|sender| word(sender, "/state") == "connected").count();
    let waiting = senders.iter().filter(|sender| word(sender, "/state") == "backing_off").count();
    let unconfirmed: f64 = senders.iter().filter_map(|sender| number(sender, "/unconfirmed")).sum();
    let name = format!("{} → {}", word(output, "/name"), word(output, "/destination"));
    let text = format!(
        "{:<44} {:>8} {:>9} {:>11} {:>11} {:>9} {:>11}",
        shortened(&name),
        open,
        senders.len(),
        figure(rate(output, old, "/send/events", seconds)),
        size(rate(output, old, "/send/bytes", seconds) as u64),
        waiting,
        size(unconfirmed as u64),
    );
    Line { text, colour: (waiting > 0).then_some(Colour::Red) }
}

fn foot(new: &Value) -> Line {
    let memory = |place| number(new, place).map_or("?".to_owned(), |bytes| size(bytes as u64));
    let text = format!(
        "memory {} of {}, {} of {} workers busy",
        memory("/process/resident"),
        memory("/memory/limit"),
        count(new, "/work/busy"),
        count(new, "/workers")
    );
    Line { text, colour: None }
}

fn bold(text: String) -> Line {
    Line { text, colour: Some(Colour::Bold) }
}

fn list<'v>(value: &'v Value, place: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(place).and_then(Value::as_array).into_iter().flatten()
}

/// The element of the same name.
fn named<'v>(value: &'v Value, place: &str, like: &Value) -> Option<&'v Value> {
    list(value, place).find(|element| element.get("name") == like.get("name"))
}

fn number(value: &Value, place: &str) -> Option<f64> {
    value.pointer(place)?.as_f64()
}

fn word<'v>(value: &'v Value, place: &str) -> &'v str {
    value.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

fn count(value: &Value, place: &str) -> String {
    number(value, place).map_or("?".to_owned(), |number| number.to_string())
}

/// The rate per second; 0 if the counter is lower, as after a restart.
fn rate(new: &Value, old: Option<&Value>, place: &str, seconds: f64) -> f64 {
    let before = old.and_then(|old| number(old, place)).unwrap_or_default();
    let rate = (number(new, place).unwrap_or_default() - before) / seconds;
    rate.max(0.0)
}

/// Formats a rate per second.
pub fn figure(rate: f64) -> String {
    if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

/// Formats a lag.
pub fn lag(seconds: f64) -> String {
    match seconds as u64 {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// Shortens a text at its beginning, because its end says more.
fn shortened(name: &str) -> String {
    const WIDTH: usize = 44;
    let length = name.chars().count();
    if length <= WIDTH {
        return name.to_owned();
    }
    format!("…{}", name.chars().skip(length + 1 - WIDTH).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::testing;

    fn status(telemetry: &crate::telemetry::Telemetry) -> Value {
        serde_json::to_value(telemetry.snapshot(testing::now())).unwrap()
    }

    #[test]
    fn a_row_for_each_service_and_output_with_rates_since_the_older_status() {
        let telemetry = testing::telemetry();
        let old = status(&telemetry);
        telemetry.outputs[0].send.events.add(250);
        telemetry.inputs[0].services[0].delivered.events.add(500);
        telemetry.outputs[0].health.failed("refused", false);
        let new = status(&telemetry);
        let shown = lines(&new, &old, 5.0);
        let rows = shown.iter().filter(|line| line.text.contains(" / ")).count();
        assert_eq!(rows, telemetry.inputs.iter().map(|input| input.services.len()).sum::<usize>());
        let text: String = shown.iter().map(|line| format!("{}\n", line.text)).collect();
        for part in ["100", "50", "NOT READY", "refused", &telemetry.outputs[0].name] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(shown[0].colour, Some(Colour::Red));
    }

    #[test]
    fn counters_that_begin_anew_are_no_negative_rate() {
        let telemetry = testing::telemetry();
        let new = status(&telemetry);
        telemetry.inputs[0].services[0].delivered.events.add(500);
        let text: String = lines(&new, &status(&telemetry), 1.0).into_iter().map(|line| line.text).collect();
        assert!(!text.contains("-5"), "{text}");
    }
}
