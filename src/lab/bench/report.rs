//! The output of a run: one JSON object, or a page for people.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::floor::Floor;
use super::measure::{Measured, Resident};
use super::options::Options;
use super::verdict::{Run, Verdict};
use crate::telemetry::{Stopwatch, Waits};

/// Stages in the order of the flow, by their threads' names.
const STAGES: [&str; 9] = ["receive", "fetch", "work", "send", "settle", "keep", "turns", "ledger", "watch"];
/// Shortest run whose memory curve is meaningful.
const COURSE_MIN: Duration = Duration::from_secs(20);
const SECONDS_PER_DAY: f64 = 86_400.0;

/// A run and the figures derived from it.
pub struct Report<'a> {
    options: &'a Options,
    run: &'a Measured,
    floor: Option<Floor>,
    cores: usize,
    verdict: Verdict,
}

impl<'a> Report<'a> {
    pub fn new(options: &'a Options, run: &'a Measured, floor: Option<Floor>) -> Report<'a> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let globals = &run.config.globals;
        let verdict = Run {
            waits: &run.waits,
            wall: run.wall,
            workers: globals.workers,
            fetchers: globals.fetchers,
            senders: run.senders,
            cores,
            cores_busy: run.cores_busy,
        };
        Report { options, run, floor, cores, verdict: verdict.verdict() }
    }

    /// Returns the run as one JSON object. Keys may be added; existing ones keep their meaning.
    pub fn json(&self) -> Value {
        let (run, globals) = (self.run, &self.run.config.globals);
        let floor = self.floor.as_ref().map(Floor::cpu_seconds_per_gb);
        let framed = self.floor.as_ref().map(|floor| self.floor_framed(floor));
        let mut all = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "service": self.options.service,
            "complete": run.is_complete(),
            "failure": run.failure,
            "objects": run.announced.objects,
            "compressed_bytes": run.announced.compressed_bytes,
            "log_bytes": self.log_bytes(),
            "sent_bytes": run.telemetry.send().bytes,
            "compression_ratio": self.log_bytes() as f64 / run.announced.compressed_bytes.max(1) as f64,
            "events": run.expected_events(),
            "events_received": run.received.events,
            "wall_seconds": run.wall.as_secs_f64(),
            "compressed_mb_per_second": self.per_second(run.announced.compressed_bytes) / 1e6,
            "log_mb_per_second": self.per_second(self.log_bytes()) / 1e6,
            "events_per_second": self.per_second(run.received.events),
            "tb_per_day": self.tb_per_day(),
            "tb_per_day_without_testbed": self.tb_per_day_alone(),
            "cpu_seconds": run.cpu.as_secs_f64(),
            "cpu_seconds_per_gb": self.cpu_seconds_per_gb(),
            "cpu_microseconds_per_object": run.cpu.as_secs_f64() * 1e6 / run.announced.objects.max(1) as f64,
            "floor_cpu_seconds_per_gb": floor,
            "floor_decode_cpu_seconds_per_gb": self.floor.as_ref().map(Floor::decode_cpu_seconds_per_gb),
            "floor_write_cpu_seconds_per_gb": self.floor.as_ref().map(Floor::write_cpu_seconds_per_gb),
            "floor_ratio": floor.map(|floor| self.cpu_seconds_per_gb() / floor),
            "floor_framed_cpu_seconds_per_gb": framed,
            "floor_framed_ratio": framed.map(|floor| self.cpu_seconds_per_gb() / floor),
            "testbed_cpu_seconds": run.testbed_cpu.as_secs_f64(),
            "peak_rss_bytes": run.peak_rss_bytes,
            "rss": run.rss.iter().map(|rss| json!([rss.after.as_secs_f64(), rss.bytes])).collect::<Vec<_>>(),
            "compression": self.options.compression,
            "confirmation": self.options.confirmation,
            "memory_limit_bytes": globals.memory_limit,
            "cores": self.cores,
            "cores_busy": run.cores_busy,
            "workers": globals.workers,
            "fetchers": globals.fetchers,
            "senders": run.senders,
            "stages": STAGES.iter().filter_map(|name| self.stage_json(name)).collect::<Vec<_>>(),
            "bottleneck": self.verdict.bottleneck,
            "because": self.verdict.because,
            "advice": self.verdict.advice,
        });
        let Options { tls, aws_rtt_ms, rtt_ms, sink_mb, .. } = self.options;
        all["tls"] = json!(tls);
        all["aws_rtt_ms"] = json!(aws_rtt_ms.unwrap_or(0));
        all["rtt_ms"] = json!(rtt_ms.unwrap_or(0));
        all["sink_mb"] = json!(sink_mb);
        all
    }

    /// Returns the run as a page of text, 100 columns wide.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let (run, globals) = (self.run, &self.run.config.globals);
        let (compressed, log) = (run.announced.compressed_bytes, self.log_bytes());
        writeln!(
            out,
            "{} objects of {}: {:.1} MB compressed, {:.1} MB of log ({:.1}:1), {} events",
            run.announced.objects,
            self.options.service,
            compressed as f64 / 1e6,
            log as f64 / 1e6,
            log as f64 / compressed.max(1) as f64,
            run.expected_events(),
        )?;
        writeln!(
            out,
            "{} workers, {} fetchers, {} senders on {} cores, which the test bed shares\n",
            globals.workers, globals.fetchers, run.senders, self.cores
        )?;
        self.write_way(out)?;
        writeln!(out, "time          {:.2} s", run.wall.as_secs_f64())?;
        writeln!(
            out,
            "speed         {:.1} MB/s compressed, {:.1} MB/s of log, {:.0} events/s, {:.1} objects/s",
            self.per_second(compressed) / 1e6,
            self.per_second(log) / 1e6,
            self.per_second(run.received.events),
            self.per_second(run.announced.objects),
        )?;
        writeln!(
            out,
            "in a day      {:.2} TB of log as measured; {:.2} TB if the collector had these cores to itself",
            self.tb_per_day(),
            self.tb_per_day_alone(),
        )?;
        writeln!(
            out,
            "CPU           {:.2} s; {:.3} s per GB of log, {:.0} µs per object",
            run.cpu.as_secs_f64(),
            self.cpu_seconds_per_gb(),
            run.cpu.as_secs_f64() * 1e6 / run.announced.objects.max(1) as f64,
        )?;
        self.write_floor(out)?;
        writeln!(out, "sent          {:.1} MB before TLS", run.telemetry.send().bytes as f64 / 1e6)?;
        writeln!(out, "peak RSS      {:.1} MB{}\n", run.peak_rss_bytes as f64 / 1e6, self.rss_course())?;
        self.write_stages(out)?;
        writeln!(out, "\nbottleneck    {}: {}", self.verdict.bottleneck, self.verdict.because)?;
        writeln!(out, "to change     {}", self.verdict.advice)?;
        self.write_counts(out)
    }

    /// The ways to AWS and Devo, if they are not the usual ones of a bench.
    fn write_way(&self, out: &mut String) -> std::fmt::Result {
        let Options { tls, aws_rtt_ms, rtt_ms, sink_mb, .. } = self.options;
        if !tls && [aws_rtt_ms, rtt_ms, sink_mb].iter().all(|option| option.is_none()) {
            return Ok(());
        }
        let [aws_rtt_ms, rtt_ms] = [aws_rtt_ms, rtt_ms].map(|time| time.unwrap_or(0));
        let protocol = if *tls { "HTTPS" } else { "HTTP" };
        let most = sink_mb.map_or(String::new(), |mb| format!(", which takes {mb} MB/s"));
        writeln!(
            out,
            "way           {protocol}, {aws_rtt_ms} ms to AWS and back; {rtt_ms} ms to Devo and back{most}"
        )
    }

    fn write_floor(&self, out: &mut String) -> std::fmt::Result {
        let Some(floor) = &self.floor else { return Ok(()) };
        let (bare, framed) = (floor.cpu_seconds_per_gb(), self.floor_framed(floor));
        writeln!(
            out,
            "floor         {bare:.3} s per GB with the bare operations ({:.3} inflate, scan, copy; {:.3} TLS write): {:.2} times that ({:.2} times with headers sent)",
            floor.decode_cpu_seconds_per_gb(),
            floor.write_cpu_seconds_per_gb(),
            self.cpu_seconds_per_gb() / bare,
            self.cpu_seconds_per_gb() / framed,
        )
    }

    /// The peak memory in each quarter of a run that is long enough.
    fn rss_course(&self) -> String {
        let Some(end) = self.run.rss.last().map(|rss| rss.after).filter(|end| *end >= COURSE_MIN) else {
            return String::new();
        };
        let largest = |quarter: u32| {
            let within =
                |rss: &&Resident| rss.after >= end / 4 * quarter && rss.after <= end / 4 * (quarter + 1);
            self.run.rss.iter().filter(within).map(|rss| rss.bytes).max().unwrap_or(0)
        };
        let quarters: Vec<String> = (0..4).map(|n| format!("{:.1}", largest(n) as f64 / 1e6)).collect();
        format!("; in the quarters of the run {}", quarters.join(", "))
    }

    fn write_stages(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "stage    threads   CPU s   CPU s/GB   waiting for (seconds, sum of all threads)")?;
        for name in STAGES {
            let Some(stage) = self.run.stages.get(name) else { continue };
            let waits = waits_of(name, &self.run.waits);
            let waits: Vec<String> = waits
                .iter()
                .filter(|(_, wait)| wait.total() >= Duration::from_millis(1))
                .map(|(name, wait)| format!("{name} {:.2}", wait.total().as_secs_f64()))
                .collect();
            let cpu = stage.cpu.as_secs_f64();
            let per_gb = cpu / (self.log_bytes().max(1) as f64 / 1e9);
            writeln!(out, "{name:<8} {:>7} {cpu:>7.2} {per_gb:>10.3}   {}", stage.threads, waits.join(", "))?;
        }
        Ok(())
    }

    fn write_counts(&self, out: &mut String) -> std::fmt::Result {
        let run = self.run;
        if run.is_complete() {
            return write!(out, "received      {} events: all of them", run.received.events);
        }
        let (received, expected) = (run.received.events, run.expected_events());
        writeln!(out, "received      {received} of {expected} events: NOT all of them")?;
        let reasons = run.failure.iter().chain(&run.received.failures);
        reasons.take(5).try_for_each(|reason| writeln!(out, "              {reason}"))
    }

    fn stage_json(&self, name: &str) -> Option<Value> {
        let stage = self.run.stages.get(name)?;
        let waits = waits_of(name, &self.run.waits);
        let total: Duration = waits.iter().map(|(_, wait)| wait.total()).sum();
        let each = waits.iter().map(|(name, wait)| ((*name).to_owned(), json!(wait.total().as_secs_f64())));
        Some(json!({
            "name": name,
            "threads": stage.threads,
            "cpu_seconds": stage.cpu.as_secs_f64(),
            "wait_seconds": total.as_secs_f64(),
            "waits": each.collect::<serde_json::Map<_, _>>(),
        }))
    }

    fn log_bytes(&self) -> u64 {
        self.run.telemetry.decode().bytes
    }

    fn cpu_seconds_per_gb(&self) -> f64 {
        self.run.cpu.as_secs_f64() / (self.log_bytes().max(1) as f64 / 1e9)
    }

    fn floor_framed(&self, floor: &Floor) -> f64 {
        floor.cpu_seconds_per_gb_framed(self.run.telemetry.send().bytes, self.log_bytes())
    }

    fn per_second(&self, amount: u64) -> f64 {
        amount as f64 / self.run.wall.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn tb_per_day(&self) -> f64 {
        self.per_second(self.log_bytes()) * SECONDS_PER_DAY / 1e12
    }

    /// The speed of all cores at this cost per byte.
    fn tb_per_day_alone(&self) -> f64 {
        self.cores as f64 * SECONDS_PER_DAY / self.cpu_seconds_per_gb().max(f64::MIN_POSITIVE) / 1e3
    }
}

/// The waits of a stage, with what they wait for.
fn waits_of<'w>(stage: &str, waits: &'w Waits) -> Vec<(&'static str, &'w Stopwatch)> {
    match stage {
        "receive" => vec![
            ("sqs", &waits.receive_sqs),
            ("fetchers", &waits.receive_fetchers),
            ("place", &waits.receive_place),
        ],
        "fetch" => vec![
            ("objects", &waits.fetch_objects),
            ("s3", &waits.fetch_s3),
            ("memory", &waits.fetch_memory),
            ("workers", &waits.fetch_workers),
        ],
        "work" => vec![("senders", &waits.work_senders)],
        "send" => vec![
            ("batches", &waits.send_batches),
            ("socket", &waits.send_socket),
            ("confirmation", &waits.send_confirmation),
            ("rate", &waits.send_rate),
        ],
        _ => Vec::new(),
    }
}
