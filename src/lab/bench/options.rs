//! The options of `bench`, and what follows from them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{RangedU64ValueParser, TypedValueParser as _};

use crate::base::limits::{
    BENCH_OBJECT_BYTES_MAX, BENCH_OBJECTS_MAX, BENCH_RTT_MS_MAX, BENCH_SECONDS_MAX, BENCH_SINK_MB_MAX,
    SENDERS_MAX, THREADS_MAX,
};

/// Compressed volume of a run unless `--objects` is given. It is large enough to make the kernel's clearing of new
/// pages negligible.
const VOLUME_BYTES: u64 = 1_200_000_000;
/// Bounds on the default number of objects: enough for all threads, but no endless run.
const OBJECTS_MIN: u64 = 20;
const OBJECTS_MAX: u64 = 20_000;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// aws_sqs_fdr, aws_sqs_cloudtrail or aws_sqs_vpc; with --files any of `services`
    #[arg(long, default_value = "aws_sqs_fdr")]
    pub service: String,
    /// Number of objects to collect; by default enough for 1.2 GB
    #[arg(long, value_parser = up_to(BENCH_OBJECTS_MAX))]
    objects: Option<u64>,
    /// Compressed size of a generated object, in bytes; default 20 MB for FDR, 2 MB for others
    #[arg(long, value_parser = up_to(BENCH_OBJECT_BYTES_MAX))]
    object_bytes: Option<u64>,
    /// Collect the files of this folder instead of generated objects
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
    /// Threads that inflate and split; this and the next three are as in the configuration
    #[arg(long, value_parser = threads(THREADS_MAX), conflicts_with = "sweep")]
    pub workers: Option<usize>,
    /// Threads that GET objects
    #[arg(long, value_parser = threads(THREADS_MAX))]
    pub fetchers: Option<usize>,
    /// Connections to the sink, with a thread each; by default as many as it takes, from two to eight
    #[arg(long, value_parser = threads(SENDERS_MAX), conflicts_with = "sweep")]
    pub senders: Option<usize>,
    /// Bound on the collector's memory: 512MiB, 4GiB
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<String>,
    /// Send compressed, like the setting of an output
    #[arg(long, default_value = "none", value_parser = ["gzip", "none"])]
    pub compression: String,
    /// 1 (fast) to 12 (small), with --compression gzip
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=12))]
    pub compression_level: Option<u8>,
    /// Proof that the sink has an event, like the setting of an output
    #[arg(long, default_value = "close", value_parser = ["acknowledgement", "close"])]
    pub confirmation: String,
    /// Run for this many seconds, announcing objects as they are collected
    #[arg(long, value_parser = up_to(BENCH_SECONDS_MAX), conflicts_with = "objects")]
    seconds: Option<u64>,
    /// Serve S3 and SQS over HTTPS, as AWS does
    #[arg(long)]
    pub tls: bool,
    /// Round trip to S3 and SQS, in milliseconds
    #[arg(long, value_name = "MS", value_parser = up_to(BENCH_RTT_MS_MAX))]
    pub aws_rtt_ms: Option<u64>,
    /// Round trip to Devo, in milliseconds
    #[arg(long, value_name = "MS", value_parser = up_to(BENCH_RTT_MS_MAX))]
    pub rtt_ms: Option<u64>,
    /// Limit on the bytes that Devo takes in a second, in MB; by default as much as comes
    #[arg(long, value_name = "MB", value_parser = up_to(BENCH_SINK_MB_MAX))]
    pub sink_mb: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Also measure the bare operations on the same bytes: inflate, newline scan, one copy, TLS write
    #[arg(long)]
    pub floor: bool,
    /// Try several numbers of workers and senders: print a table, and write a chart to FILE
    #[arg(long, value_name = "FILE.svg", num_args = 0..=1, default_missing_value = "bench-sweep.svg", conflicts_with_all = ["json", "floor"])]
    pub sweep: Option<PathBuf>,
    /// Run as part of a sweep
    #[arg(long, hide = true)]
    pub end_with_parent: bool,
}

/// Parses a number from 1 to this one.
pub fn up_to(max: u64) -> RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(1..=max)
}

/// Parses a number of threads.
fn threads(max: usize) -> impl clap::builder::TypedValueParser<Value = usize> {
    up_to(max as u64).try_map(usize::try_from)
}

/// The amount to collect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    Objects(u64),
    For(Duration),
}

impl Options {
    /// Compressed bytes.
    pub fn object_bytes(&self) -> u64 {
        let usual = if self.service.starts_with("aws_sqs_fdr") { 20_000_000 } else { 2_000_000 };
        self.object_bytes.unwrap_or(usual)
    }

    pub fn amount(&self) -> Amount {
        let usual = || (VOLUME_BYTES / self.object_bytes()).clamp(OBJECTS_MIN, OBJECTS_MAX);
        match self.seconds {
            Some(seconds) => Amount::For(Duration::from_secs(seconds)),
            None => Amount::Objects(self.objects.unwrap_or_else(usual)),
        }
    }

    /// The arguments that runs with other numbers of threads inherit.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--service".to_owned(), self.service.clone()];
        let mut add = |name: &str, value: Option<String>| {
            arguments.extend(value.map(|value| [name.to_owned(), value]).into_iter().flatten());
        };
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        add("--objects", number(self.objects));
        add("--object-bytes", number(self.object_bytes));
        add("--files", self.files.as_ref().map(|folder| folder.display().to_string()));
        add("--fetchers", self.fetchers.map(|count| count.to_string()));
        add("--memory-limit", self.memory_limit.clone());
        add("--compression", Some(self.compression.clone()));
        add("--confirmation", Some(self.confirmation.clone()));
        add("--compression-level", self.compression_level.map(|level| level.to_string()));
        add("--seconds", number(self.seconds));
        add("--aws-rtt-ms", number(self.aws_rtt_ms));
        add("--rtt-ms", number(self.rtt_ms));
        add("--sink-mb", number(self.sink_mb));
        arguments.extend(self.tls.then(|| "--tls".to_owned()));
        arguments
    }
}
