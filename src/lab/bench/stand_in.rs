//! The hidden `testbed` command: a stand-in in a separate process, so that its CPU and memory do not count as the
//! collector's. It prints one JSON line when it is ready, reads one command per line, answers each with a JSON line,
//! and exits when its standard input closes.

use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::{Value, json};

use super::options::up_to;
use crate::base::limits::{BENCH_OBJECT_BYTES_MAX, BENCH_OBJECTS_MAX, BENCH_RTT_MS_MAX, BENCH_SINK_MB_MAX};
use crate::lab::testbed::aws::Aws;
use crate::lab::testbed::https::Https;
use crate::lab::testbed::line::{Distance, Line};
use crate::lab::testbed::load::{self, Kind, LoadObject};
use crate::lab::testbed::pki::Pki;
use crate::lab::testbed::queue::Settings;
use crate::lab::testbed::sink::{Keep, Sink};
use crate::lab::testbed::sqs;

/// The queue of `testbed aws`.
const QUEUE: &str = "bench";

/// The stand-ins.
#[derive(Debug, Subcommand)]
pub enum Part {
    /// S3 and SQS. Commands: `announce <number of objects>`
    Aws {
        #[arg(long)]
        service: String,
        #[arg(long, value_parser = up_to(BENCH_OBJECTS_MAX))]
        objects: u64,
        #[arg(long, value_parser = up_to(BENCH_OBJECT_BYTES_MAX))]
        object_bytes: u64,
        #[arg(long)]
        files: Option<PathBuf>,
        /// Folder for generated objects
        #[arg(long)]
        save: Option<PathBuf>,
        /// Serve HTTPS, and write the authority's certificate into this folder as `chain.crt`
        #[arg(long)]
        tls: Option<PathBuf>,
        #[arg(long, value_parser = up_to(BENCH_RTT_MS_MAX))]
        rtt_ms: Option<u64>,
    },
    /// The TLS sink. Commands: `counts`
    Sink {
        /// Folder for the client's certificates
        #[arg(long)]
        directory: PathBuf,
        #[arg(long, value_parser = up_to(BENCH_RTT_MS_MAX))]
        rtt_ms: Option<u64>,
        /// MB that it takes in a second
        #[arg(long, value_parser = up_to(BENCH_SINK_MB_MAX))]
        mb: Option<u64>,
    },
}

/// Runs a stand-in until its standard input closes.
///
/// # Errors
/// Objects that cannot be read or made, an address that cannot be listened on, a standard output that is gone.
pub fn run(part: &Part) -> anyhow::Result<()> {
    end_with_parent();
    match part {
        Part::Aws { service, objects, object_bytes, files, save, tls, rtt_ms } => {
            let made = make(service, *objects, *object_bytes, files.as_deref())?;
            let way = Way { tls: tls.clone(), distance: distance(*rtt_ms, None) };
            serve_aws(service, &made, save.as_deref(), &way)
        }
        Part::Sink { directory, rtt_ms, mb } => serve_sink(directory, distance(*rtt_ms, *mb)),
    }
}

/// Makes this process exit with its parent, also when it is killed while this process is busy and reads no commands.
pub fn end_with_parent() {
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

/// The way to the embedded S3 and SQS.
struct Way {
    /// Folder for the certificate of the authority of HTTPS; None: HTTP.
    tls: Option<PathBuf>,
    distance: Option<Distance>,
}

/// None: no distance at all, and no line to carry bytes.
fn distance(rtt_ms: Option<u64>, mb_per_second: Option<u64>) -> Option<Distance> {
    let bytes_per_second = mb_per_second.map(|mb| mb * 1_000_000);
    let round_trip = Duration::from_millis(rtt_ms.unwrap_or(0));
    (rtt_ms.is_some() || bytes_per_second.is_some()).then_some(Distance { round_trip, bytes_per_second })
}

/// The line to a stand-in, and the address to connect to.
fn reach(stand_in: SocketAddr, distance: Option<Distance>) -> io::Result<(Option<Line>, SocketAddr)> {
    let line = distance.map(|distance| Line::start(stand_in, distance)).transpose()?;
    let address = line.as_ref().map_or(stand_in, Line::address);
    Ok((line, address))
}

fn serve_aws(service: &str, objects: &[LoadObject], save: Option<&Path>, way: &Way) -> anyhow::Result<()> {
    let aws = Aws::start().context("cannot listen on 127.0.0.1")?;
    aws.create_queue(QUEUE, Settings::default());
    let https = way.tls.as_deref().map(|folder| https(folder, aws.address())).transpose()?;
    let own = https.as_ref().map_or(aws.address(), Https::address);
    let (_line, address) = reach(own, way.distance)?;
    let url = format!("{}://{address}", if https.is_some() { "https" } else { "http" });
    let described: Vec<Value> = objects
        .iter()
        .enumerate()
        .map(|(number, object)| describe(number, object, save))
        .collect::<anyhow::Result<_>>()?;
    answer(&json!({ "url": url, "queue_url": sqs::queue_url(&url, QUEUE), "objects": described }))?;
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

fn https(folder: &Path, plain: SocketAddr) -> anyhow::Result<Https> {
    let pki = Pki::generate()?;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    pki.write_client_files(folder)?;
    Ok(Https::start(&pki, plain)?)
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

fn serve_sink(directory: &Path, distance: Option<Distance>) -> anyhow::Result<()> {
    let pki = Pki::generate()?;
    pki.write_client_files(directory)?;
    let sink = Sink::start_on(&pki, 0, Keep::Counts)?;
    let (_line, address) = reach(sink.address(), distance)?;
    answer(&json!({ "address": address.ip().to_string(), "port": address.port() }))?;
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
