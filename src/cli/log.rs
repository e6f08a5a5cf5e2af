//! Log lines on standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::{Arc, LazyLock, OnceLock};

use env_logger::{Builder, Env, Target, WriteStyle};
use jiff::Timestamp;
use log::{LevelFilter, Record};
use serde_json::json;

use crate::config::{Problem, Severity};
use crate::telemetry::{Notices, one_line};

/// How much is logged, unless `RUST_LOG` says otherwise.
#[derive(Debug, Clone, Copy)]
pub enum Level {
    Warn,
    Info,
    Debug,
}

/// What is ever logged: of libraries, only what is wrong.
const ALL: &str = "aws_to_devo=debug,warn";

/// What a line looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object a line: time, level, target, thread, message
    Json,
}

/// There is one log in a process, and so one of each of these.
static FORMAT: OnceLock<Format> = OnceLock::new();
static NOTICES: LazyLock<Arc<Notices>> = LazyLock::new(Arc::default);

/// Before [`start`]; the first choice holds.
pub fn choose(format: Format) {
    FORMAT.get_or_init(|| format);
}

pub fn format() -> Format {
    FORMAT.get().copied().unwrap_or_default()
}

/// The last warnings and errors that were logged.
pub fn notices() -> &'static Arc<Notices> {
    &NOTICES
}

/// Starts logging; later calls do nothing.
pub fn start(level: Level) {
    start_with(level, None);
}

/// The same, to `writer` if there is one.
pub fn start_with(level: Level, writer: Option<Box<dyn Write + Send>>) {
    let mut builder = Builder::from_env(Env::default().default_filter_or(ALL));
    // It writes around something on a terminal, which the library does not know to be one.
    if writer.is_some() && std::env::var_os("NO_COLOR").is_none() {
        builder.write_style(WriteStyle::Always);
    }
    let logger = builder
        .format(|out, record| {
            if record.level() <= log::Level::Warn {
                NOTICES.add(record.level(), &record.args().to_string(), Timestamp::now());
            }
            if format() == Format::Json {
                return write_json(out, &format!("{:.3}", Timestamp::now()), record);
            }
            let style = out.default_level_style(record.level());
            let (time, level) = (out.timestamp_millis(), record.level());
            write_line(out, format_args!("[{time} {style}{level:<5}{style:#}]"), record)
        })
        .target(writer.map_or(Target::Stderr, Target::Pipe))
        .try_init();
    // Only a second start fails, and then the first one's settings hold.
    if logger.is_ok() {
        set_level(level);
    }
    std::panic::set_hook(Box::new(log_panic));
}

/// From now on so much is logged, unless `RUST_LOG` says how much.
pub fn set_level(level: Level) {
    if std::env::var_os(env_logger::DEFAULT_FILTER_ENV).is_none() {
        log::set_max_level(match level {
            Level::Warn => LevelFilter::Warn,
            Level::Info => LevelFilter::Info,
            Level::Debug => LevelFilter::Debug,
        });
    }
}

/// What is wrong with a configuration, a line each.
pub fn problems(problems: &[Problem]) {
    for problem in problems {
        match problem.severity {
            Severity::Error => log::error!("{problem:#}"),
            Severity::Warning => log::warn!("{problem:#}"),
        }
    }
}

/// One record is one line: keys, messages and AWS's texts are chosen by others.
fn write_line(out: &mut impl Write, head: impl std::fmt::Display, record: &Record<'_>) -> io::Result<()> {
    writeln!(out, "{head} {}", one_line(&record.args().to_string()))
}

/// The same as an object. What is unfit for a line stays escaped inside it: it may be shown on a terminal
/// after all.
fn write_json(out: &mut impl Write, time: &str, record: &Record<'_>) -> io::Result<()> {
    let thread = std::thread::current();
    let line = json!({
        "time": time,
        "level": record.level().as_str(),
        "target": record.target(),
        "thread": thread.name().unwrap_or_default(),
        "message": one_line(&record.args().to_string()),
    });
    writeln!(out, "{line}")
}

/// A panic's message may quote a record.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("(no message)");
    log::error!("thread {} panicked at {place}: {message}", thread.name().unwrap_or("(unnamed)"));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        eprintln!("{backtrace}");
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
            let line: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!((&line["level"], &line["target"]), (&json!("ERROR"), &json!("a::b")));
            assert_eq!(line["message"], json!(one_line(message)));
            assert!(!text.trim_end().contains(char::is_control), "{text}");
        }
    }
}
