//! The options of `backfill`.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::cli::choice::Wanted;
use crate::cli::files::Files;
use crate::cli::s3_place::{Place, s3_place};
use crate::stages::backfill::Plan;

#[derive(Debug, Args)]
pub struct Options {
    /// What to list: s3://bucket/prefix. The prefix may end anywhere in a key and is not decoded
    #[arg(value_name = "S3_URL", value_parser = s3_place)]
    place: Place,
    /// Send only the object with exactly this key, and none of those whose keys begin with it
    #[arg(long, conflicts_with_all = ["from", "to", "start_after"])]
    exact: bool,
    /// Configuration file, YAML or JSON
    #[arg(short, long, value_name = "FILE", value_parser = crate::cli::files::configuration())]
    pub(super) config: PathBuf,
    /// Configuration file with the outputs to use instead of those in the first, which stays as it is
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Service of the objects, as written in the configuration or listed by `services`
    #[arg(long, value_name = "NAME")]
    pub(super) service: String,
    /// Input whose credentials, endpoints and ledger entries are used, by its key in the file; needed if several inputs
    /// match
    #[arg(long, value_name = "KEY")]
    pub(super) input: Option<String>,
    /// Only objects written at this time or later, by their LastModified: 2026-11-01 (UTC) or
    /// 2026-11-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<SystemTime>,
    /// Only objects written before this time, by their LastModified
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<SystemTime>,
    /// Only keys after this one, in byte order: skips keys without listing them
    #[arg(long, value_name = "KEY", default_value = "")]
    start_after: String,
    /// List what would be sent, and its size, without reading objects or sending anything
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl Options {
    /// Refuses a time range that cannot contain an object.
    pub(super) fn check_times(&self, now: SystemTime) -> Result<(), String> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if from >= to => Err("--from is not before --to: no object can be between them, \
                so nothing was listed. Swap the two, or omit one"
                .to_owned()),
            (Some(from), _) if from > now => {
                Err("--from is in the future: no object has been written since then, so nothing was listed. Times \
                apply to LastModified, in UTC"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The files that it reads.
    pub(super) fn files(&self) -> Files {
        Files { config: self.config.clone(), output: self.output.clone() }
    }

    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted { config: &self.config, service: &self.service, input: self.input.as_deref() }
    }

    /// Builds the run's configuration; `service` is the chosen input's.
    pub(super) fn plan(&self, service: String) -> Plan {
        let Place { bucket, prefix } = self.place.clone();
        let Options { exact, from, to, .. } = *self;
        Plan { bucket, prefix, exact, start_after: self.start_after.clone(), from, to, service }
    }
}

/// Parses a date or a time; a day begins at midnight UTC.
pub fn time(text: &str) -> Result<SystemTime, String> {
    let moment = text.parse::<Timestamp>().or_else(|error| match text.parse::<Date>() {
        // A date that parses as a prefix of a longer text would hide a mistyped time.
        Ok(day) if text.len() == 10 => day.to_zoned(TimeZone::UTC).map(|start| start.timestamp()),
        _ => Err(error),
    });
    moment.map(SystemTime::from).map_err(|_| "write 2026-11-01 (UTC) or 2026-11-01T12:00:00Z".to_owned())
}
