//! What the user may choose, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// The volume of a run, compressed, unless `--objects` says otherwise: enough that the pages which are new at
/// first, and which the kernel has to clear, do not count any more.
const VOLUME_BYTES: u64 = 1_200_000_000;
/// Objects unless said otherwise: enough for all threads, however large, and no endless run.
const OBJECTS_MIN: u64 = 20;
const OBJECTS_MAX: u64 = 20_000;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// aws_sqs_fdr, aws_sqs_cloudtrail or aws_sqs_vpc; with --files any of `services`
    #[arg(long, default_value = "aws_sqs_fdr")]
    pub service: String,
    /// How many objects are collected; the default makes 1.2 GB of them
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    objects: Option<u64>,
    /// Compressed size of a generated object, in bytes; default 20 MB for FDR, 2 MB for others
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=2_000_000_000))]
    object_bytes: Option<u64>,
    /// Collects the files of this folder instead of generated objects
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
    /// Threads that inflate and split; this, and the next three, as in the configuration
    #[arg(long)]
    pub workers: Option<usize>,
    /// Threads that GET objects
    #[arg(long)]
    pub fetchers: Option<usize>,
    /// Connections to the sink, a thread each
    #[arg(long)]
    pub senders: Option<usize>,
    /// Bound on the collector's memory: 512MiB, 4GiB
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<String>,
    /// Sends compressed, as the setting of an output does
    #[arg(long, default_value = "none", value_parser = ["gzip", "none"])]
    pub compression: String,
    /// 1 (fast) to 12 (small), with --compression gzip
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=12))]
    pub compression_level: Option<u8>,
    /// What proves that the sink has an event, as the setting of an output does
    #[arg(long, default_value = "acknowledgement", value_parser = ["acknowledgement", "close"])]
    pub confirmation: String,
    /// Goes on for so long, announcing objects as they are collected
    #[arg(long, conflicts_with = "objects")]
    seconds: Option<u64>,
    /// Prints one JSON object
    #[arg(long)]
    pub json: bool,
    /// Measures the bare operations on the same bytes as well: inflate, newline scan, one copy, TLS write
    #[arg(long)]
    pub floor: bool,
    /// Tries numbers of workers and senders: a table, and a chart in FILE
    #[arg(long, value_name = "FILE.svg", num_args = 0..=1, default_missing_value = "bench-sweep.svg", conflicts_with = "json")]
    pub sweep: Option<PathBuf>,
    /// Part of a sweep
    #[arg(long, hide = true)]
    pub end_with_parent: bool,
}

/// How much is to be collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    Objects(u64),
    For(Duration),
}

impl Options {
    /// Bytes, compressed.
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

    /// The arguments that a run with other numbers of threads takes over.
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
        arguments
    }
}
