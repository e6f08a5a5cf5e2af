//! The hidden `testbed` command: a stand-in in a separate process, so that its CPU and memory do not count as the
//! collector's. It prints one JSON line when it is ready, reads one command per line, answers each with a JSON line,
//! and exits when its standard input closes.

use std::io::{self, BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::{Value, json};

use super::exit::REFUSED;
use crate::testbed::aws::Aws;
use crate::testbed::load::{self, Kind, LoadObject};
use crate::testbed::pki::Pki;
use crate::testbed::queue::Settings;
use crate::testbed::sink::{Keep, Sink};

/// The queue of `testbed aws`.
const QUEUE: &str = "bench";

#[derive(Debug, Subcommand)]
pub enum Part {
    /// S3 and SQS. Commands: `announce <number of objects>`
    Aws {
        #[arg(long)]
        service: String,
        #[arg(long)]
        objects: u64,
        #[arg(long)]
        object_bytes: u64,
        #[arg(long)]
        files: Option<PathBuf>,
        /// Folder for generated objects
        #[arg(long)]
        save: Option<PathBuf>,
    },
    /// The TLS sink. Commands: `counts`
    Sink {
        /// Folder for the client's certificates
        #[arg(long)]
        directory: PathBuf,
    },
}

pub fn run(part: &Part) -> ExitCode {
    super::log::start(super::log::Level::Warn);
    end_with_parent();
    let outcome = match part {
        Part::Aws { service, objects, object_bytes, files, save } => {
            let made = make(service, *objects, *object_bytes, files.as_deref());
            made.and_then(|made| serve_aws(service, &made, save.as_deref()))
        }
        Part::Sink { directory } => serve_sink(directory),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error:#}");
            ExitCode::from(REFUSED)
        }
    }
}

/// Exit with the parent, also when it is killed while this process is busy and reads no commands.
pub(super) fn end_with_parent() {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        log::warn!("cannot tie this process to its parent: {error}");
    }
}

fn make(
    service: &str,
    objects: u64,
    object_bytes: u64,
    files: Option<&Path>,
) -> anyhow::Result<Vec<LoadObject>> {
    if let Some(folder) = files {
        return load::read_files(folder).with_context(|| folder.display().to_string());
    }
    let kind = Kind::of_service(service)
        .with_context(|| format!("objects of {service} cannot be generated: provide some with --files"))?;
    Ok(load::generate(kind, objects, object_bytes)?)
}

fn serve_aws(service: &str, objects: &[LoadObject], save: Option<&Path>) -> anyhow::Result<()> {
    let aws = Aws::start().context("cannot listen on 127.0.0.1")?;
    aws.create_queue(QUEUE, Settings::default());
    let described: Vec<Value> = objects
        .iter()
        .enumerate()
        .map(|(number, object)| describe(number, object, save))
        .collect::<anyhow::Result<_>>()?;
    answer(&json!({ "url": aws.url(), "queue_url": aws.queue_url(QUEUE), "objects": described }))?;
    let native_fdr = service.starts_with("aws_sqs_fdr");
    let mut numbers = 0..u64::MAX;
    obey(|command| {
        let count: usize = command.strip_prefix("announce ").and_then(|n| n.parse().ok())?;
        for (number, object) in (&mut numbers).zip(objects.iter().cycle()).take(count) {
            load::announce(&aws, QUEUE, native_fdr, object, number);
        }
        Some(json!({ "announced": numbers.start }))
    })
}

/// The facts about an object that the bench needs, in the order of announcement.
fn describe(number: usize, object: &LoadObject, save: Option<&Path>) -> anyhow::Result<Value> {
    let path = match (&object.path, save) {
        (None, Some(folder)) => {
            let path = folder.join(format!("object-{number}"));
            std::fs::write(&path, &object.bytes).with_context(|| path.display().to_string())?;
            Some(path)
        }
        (path, _) => path.clone(),
    };
    Ok(json!({
        "bytes": object.bytes.len(),
        "log_bytes": object.log_bytes,
        "events": object.events,
        "path": path,
    }))
}

fn serve_sink(directory: &Path) -> anyhow::Result<()> {
    let pki = Pki::generate()?;
    pki.write_client_files(directory)?;
    let sink = Sink::start_on(&pki, 0, Keep::Counts)?;
    answer(&json!({ "address": sink.address().ip().to_string(), "port": sink.address().port() }))?;
    obey(|command| {
        let counts = sink.progress();
        (command == "counts")
            .then(|| json!({ "events": counts.events, "bytes": counts.bytes, "failures": sink.failures() }))
    })
}

/// Answers commands until standard input closes. An unknown command is answered with `null`.
fn obey(mut command: impl FnMut(&str) -> Option<Value>) -> anyhow::Result<()> {
    for line in io::stdin().lock().lines() {
        answer(&command(&line?).unwrap_or(Value::Null))?;
    }
    Ok(())
}

fn answer(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}
