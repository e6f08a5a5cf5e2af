//! Log lines on standard error.
//!
//! Everything that the collector's stages log passes [`Repeats`], so that no outage and no input can flood the log. A
//! statement may name its subject, `log::warn!(place = …, cause = …; "…")`, as [`Said`] explains; otherwise it counts
//! by itself. Lines of commands, which an operator asked for, and debug lines are all written.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock};
use std::time::Instant;

use env_logger::{Builder, Env, Target, WriteStyle};
use jiff::Timestamp;
use log::kv::{self, Key, Source, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};
use serde_json::{Value, json};

use crate::base::limits::LOG_TICK;
use crate::base::locks::lock;
use crate::base::text::one_line;
use crate::config::{Problem, Severity};
use crate::telemetry::{Line, Notices, Repeats, Said, Turn};

/// Default filter: from libraries, only problems.
const ALL: &str = "aws_to_devo=debug,warn";

/// The format of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text for people
    #[default]
    Text,
    /// One JSON object per line: time, level, target, thread, message, and fields such as input or figures
    Json,
}

/// Globals, since a process has one log.
static FORMAT: OnceLock<Format> = OnceLock::new();
static NOTICES: LazyLock<Arc<Notices>> = LazyLock::new(Arc::default);
static LOGGER: OnceLock<Logger> = OnceLock::new();

/// The fields by which [`Repeats`] groups lines: see [`Said`].
const GROUPING: [&str; 3] = ["place", "cause", "turn"];
/// Modules whose lines are bounded and belong together: commands and statistics. They bypass [`Repeats`].
const UNLIMITED: [&str; 2] = ["aws_to_devo::cli", "aws_to_devo::telemetry::reporters::statistics"];

/// Sets the format before [`start`]; the first choice wins.
pub fn choose(format: Format) {
    FORMAT.get_or_init(|| format);
}

pub fn format() -> Format {
    FORMAT.get().copied().unwrap_or_default()
}

/// The latest warnings and errors logged.
pub fn notices() -> &'static Arc<Notices> {
    &NOTICES
}

/// Starts logging at this level, unless `RUST_LOG` sets another; later calls do nothing.
pub fn start(level: LevelFilter) {
    start_with(level, None);
}

/// Starts logging to `writer`, if given.
pub fn start_with(level: LevelFilter, writer: Option<Box<dyn Write + Send>>) {
    let mut builder = Builder::from_env(Env::default().default_filter_or(ALL));
    // The writer wraps a terminal, which the library cannot detect.
    if writer.is_some() && std::env::var_os("NO_COLOR").is_none() {
        builder.write_style(WriteStyle::Always);
    }
    builder.format(write).target(writer.map_or(Target::Stderr, Target::Pipe));
    let mut is_first = false;
    let logger = LOGGER.get_or_init(|| {
        is_first = true;
        Logger::new(builder.build(), Arc::clone(&NOTICES))
    });
    // In a second start the first one's settings stay.
    if is_first && log::set_logger(logger).is_ok() {
        log::set_max_level(logger.out.filter());
        set_level(level);
        // Without the thread, counts are written with the next line of their kind.
        let _ = std::thread::Builder::new().name("log".into()).spawn(|| logger.tick_for_ever());
    }
    std::panic::set_hook(Box::new(log_panic));
}

/// Writes pending counts, before the last lines of a run.
pub fn settle() {
    if let Some(logger) = LOGGER.get() {
        let lines = logger.repeats().settle(Instant::now());
        lines.iter().for_each(|line| logger.write(line));
    }
}

/// A logger that suppresses floods of lines.
struct Logger {
    out: env_logger::Logger,
    repeats: Mutex<Repeats>,
    notices: Arc<Notices>,
}

impl Logger {
    fn new(out: env_logger::Logger, notices: Arc<Notices>) -> Logger {
        Logger { out, repeats: Mutex::default(), notices }
    }

    fn tick_for_ever(&self) {
        loop {
            std::thread::sleep(LOG_TICK);
            self.tick(Instant::now());
        }
    }

    fn tick(&self, now: Instant) {
        let lines = self.repeats().tick(now);
        lines.iter().for_each(|line| self.write(line));
    }

    /// Writes a line, and keeps warnings and errors for the status page.
    fn write(&self, line: &Line) {
        self.write_with(line, &None::<(&str, &str)>);
    }

    /// The same, with fields for a log in JSON.
    fn write_with(&self, line: &Line, fields: &dyn Source) {
        let Line { level, target, text, subject, times } = line;
        if *level <= log::Level::Warn {
            self.notices.add_of(subject, *level, text, *times, Timestamp::now());
        }
        let mut record = Record::builder();
        record.level(*level).target(target).key_values(&fields);
        self.out.log(&record.args(format_args!("{text}")).build());
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        lock(&self.repeats)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.out.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.out.matches(record) {
            return;
        }
        let text = record.args().to_string();
        if is_unlimited(record) {
            let (level, target) = (record.level(), record.target().to_owned());
            let line = Line { level, target, subject: text.clone(), text, times: 1 };
            return self.write_with(&line, &record.key_values());
        }
        let about = |key| record.key_values().get(Key::from(key)).map(|value| value.to_string());
        let [place, cause, turn_name] = GROUPING.map(about);
        let (place, cause) = (place.unwrap_or_default(), cause.unwrap_or_default());
        let said = Said {
            level: record.level(),
            target: record.target(),
            site: (record.module_path().unwrap_or_default(), record.line().unwrap_or_default()),
            place: &place,
            cause: &cause,
            turn: turn(turn_name.as_deref()),
            text: &text,
        };
        // The lock is released before writing, so that a full pipe blocks nothing else.
        let line = self.repeats().hear(&said, Instant::now());
        line.iter().for_each(|line| self.write_with(line, &record.key_values()));
    }

    fn flush(&self) {
        self.out.flush();
    }
}

fn is_unlimited(record: &Record<'_>) -> bool {
    let module = record.module_path().unwrap_or_default();
    let is_grouped = GROUPING.iter().any(|key| record.key_values().get(Key::from(*key)).is_some());
    let of_command = UNLIMITED.iter().any(|name| module.starts_with(name)) && !is_grouped;
    of_command || record.level() > log::Level::Info
}

fn turn(name: Option<&str>) -> Turn {
    match name {
        Some("fails") => Turn::Fails,
        Some("works") => Turn::Works,
        _ => Turn::Event,
    }
}

/// Formats a line in the selected format.
fn write(out: &mut env_logger::fmt::Formatter, record: &Record<'_>) -> io::Result<()> {
    if format() == Format::Json {
        return write_json(out, &format!("{:.3}", Timestamp::now()), record);
    }
    let style = out.default_level_style(record.level());
    let (time, level) = (out.timestamp_millis(), record.level());
    write_line(out, format_args!("[{time} {style}{level:<5}{style:#}]"), record)
}

/// Changes the log level, unless `RUST_LOG` sets it.
pub fn set_level(level: LevelFilter) {
    if std::env::var_os(env_logger::DEFAULT_FILTER_ENV).is_none() {
        log::set_max_level(level);
    }
}

/// Logs the problems of a configuration, one line each.
pub fn problems(problems: &[Problem]) {
    for problem in problems {
        match problem.severity {
            Severity::Error => log::error!("{problem:#}"),
            Severity::Warning => log::warn!("{problem:#}"),
        }
    }
}

/// Writes a record as one line, because others choose keys, messages and AWS's texts.
fn write_line(out: &mut impl Write, head: impl std::fmt::Display, record: &Record<'_>) -> io::Result<()> {
    writeln!(out, "{head} {}", one_line(&record.args().to_string()))
}

/// Writes a record as a JSON object. Control characters stay escaped in it, since it may end up on a terminal.
fn write_json(out: &mut impl Write, time: &str, record: &Record<'_>) -> io::Result<()> {
    let thread = std::thread::current();
    let mut line = json!({
        "time": time,
        "level": record.level().as_str(),
        "target": record.target(),
        "thread": thread.name().unwrap_or_default(),
        "message": one_line(&record.args().to_string()),
    });
    // Reading fields into an object cannot fail.
    let _ = record.key_values().visit(&mut Fields(&mut line));
    writeln!(out, "{line}")
}

/// The fields of a record, added to its JSON object: numbers as numbers, and figures as an object of them.
struct Fields<'l>(&'l mut Value);

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        // Only the grouping of lines needs it.
        if key.as_str() == "turn" {
            return Ok(());
        }
        let value = match serde_json::to_value(&value) {
            Ok(Value::String(text)) => json!(one_line(&text)),
            Ok(value) => value,
            Err(_) => json!(one_line(&value.to_string())),
        };
        if let Some(line) = self.0.as_object_mut() {
            line.entry(key.as_str()).or_insert(value);
        }
        Ok(())
    }
}

/// A panic's message may quote a record.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("(no message)");
    let name = thread.name().unwrap_or("(unnamed)");
    log::error!(cause = place.as_str(); "thread {name} panicked at {place}: {message}");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        let _ = writeln!(io::stderr(), "{backtrace}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_line_ends_and_terminal_codes_stays_on_its_line() {
        let key = "logs/a.gz\n[2026-01-01T00:00:00Z INFO ] all delivered\r\u{1b}[2K\u{1b}[1A";
        let mut out = Vec::new();
        let arguments = format_args!("{key}: cannot be fetched");
        let record = Record::builder().args(arguments).level(log::Level::Warn).build();
        write_line(&mut out, "[now WARN ]", &record).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.ends_with("cannot be fetched\n"), "{text}");
        assert!(!text.trim_end_matches('\n').contains(char::is_control), "{text}");
    }

    /// Everything that a logger writes.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn stages_cannot_flood_the_log_and_commands_say_everything() {
        let written = Written::default();
        let out = Builder::new()
            .filter_level(LevelFilter::Debug)
            .format(write)
            .target(Target::Pipe(Box::new(written.clone())))
            .build();
        let logger = Logger::new(out, Arc::default());
        let log = |module, level, number: usize| {
            let text = format!("line {number} of {module}");
            let arguments = format_args!("{text}");
            let line = &mut Record::builder();
            logger.log(
                &line
                    .module_path(Some(module))
                    .target(module)
                    .line(Some(7))
                    .level(level)
                    .args(arguments)
                    .build(),
            );
        };
        for number in 0..200 {
            log("aws_to_devo::stages::fetch::object", log::Level::Warn, number);
            log("ureq::pool", log::Level::Warn, number);
            log("aws_to_devo::cli::reload", log::Level::Info, number);
            log("aws_to_devo::decode", log::Level::Debug, number);
        }
        logger.tick(Instant::now() + 2 * crate::base::limits::LOG_REMINDER);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let of = |module: &str| text.lines().filter(|line| line.contains(&format!("of {module}"))).count();
        for module in ["aws_to_devo::stages::fetch::object", "ureq::pool"] {
            assert_eq!(of(module), crate::base::limits::LOG_EXAMPLES_MAX + 1, "{text}");
        }
        assert_eq!((of("aws_to_devo::cli::reload"), of("aws_to_devo::decode")), (200, 200));
        assert!(text.contains("(195 times in "), "{text}");
        let latest = logger.notices.latest();
        assert_eq!(latest.iter().map(|notice| notice.times).sum::<u64>(), 400, "{latest:?}");
    }

    #[test]
    fn figures_are_fields_of_a_json_line_and_numbers() {
        let figures = json!({"events": 42, "rate": 1.5});
        let mut out = Vec::new();
        let fields = [
            ("figures", kv::Value::from_serde(&figures)),
            ("attempt", kv::Value::from(3)),
            ("input", kv::Value::from("a\u{1b}[2J")),
            ("turn", kv::Value::from("fails")),
            ("message", kv::Value::from("forged")),
        ];
        let fields: &dyn Source = &fields;
        let record = Record::builder().args(format_args!("text")).key_values(&fields).build();
        write_json(&mut out, "now", &record).unwrap();
        let line: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&line["figures"], &line["attempt"]), (&figures, &json!(3)));
        assert_eq!((&line["input"], &line["message"]), (&json!("a\\u{1b}[2J"), &json!("text")));
        assert!(line.get("turn").is_none(), "{line}");
    }

    #[test]
    fn a_json_line_is_an_object_whatever_the_message_holds() {
        for message in
            ["plain", "a \"quoted\" \\ path", "s3://b/k\n{\"level\":\"INFO\"}\u{1b}[2J", "\u{202e}é\0"]
        {
            let mut out = Vec::new();
            let arguments = format_args!("{message}");
            let record = Record::builder().args(arguments).level(log::Level::Error).target("a::b").build();
            write_json(&mut out, "2027-01-15T08:00:00.000Z", &record).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.lines().count(), 1, "{text}");
            let line: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((&line["level"], &line["target"]), (&json!("ERROR"), &json!("a::b")));
            assert_eq!(line["message"], json!(one_line(message)));
            assert!(!text.trim_end().contains(char::is_control), "{text}");
        }
    }
}
