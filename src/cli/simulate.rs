//! `simulate`: runs seeds, and says which of them break an invariant.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use super::exit::{REFUSED, UNDELIVERED};
use crate::base::limits::{SIMULATE_FAULTS_MAX, SIMULATE_RUNS_MAX, SIMULATE_SEED_MAX};
use crate::base::out::Out;
use crate::lab::simulate::faults::{self, Kind};
use crate::lab::simulate::{self, Teller};

#[derive(Debug, Args)]
pub struct Options {
    /// The first seed
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(..=SIMULATE_SEED_MAX))]
    seed: u64,
    /// Number of seeds, one after another
    #[arg(long, default_value_t = 1, value_name = "M", value_parser = clap::value_parser!(u64).range(1..=SIMULATE_RUNS_MAX))]
    runs: u64,
    /// Kinds of faults, separated by commas (default: all; "none": no faults)
    #[arg(long, value_name = "LIST")]
    faults: Option<String>,
    /// The most faults of one run
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=SIMULATE_FAULTS_MAX))]
    faults_max: u64,
    /// Tell the story: each event with its virtual time, and the collector's log
    #[arg(long)]
    trace: bool,
    /// List the kinds of faults
    #[arg(long)]
    list_faults: bool,
}

/// Runs the seeds. The exit code is 0 only if every invariant holds in all of them.
pub fn run(options: &Options) -> ExitCode {
    let mut out = Out;
    if options.list_faults {
        let _ = write!(out, "{}", faults::table());
        return ExitCode::SUCCESS;
    }
    let kinds = match options.faults.as_deref() {
        None => Ok(faults::all()),
        Some("none") => Ok(Vec::new()),
        Some(names) => faults::named(names),
    };
    let kinds = match kinds {
        Ok(kinds) => kinds,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            return ExitCode::from(REFUSED);
        }
    };
    // Also without a trace: what a log line says is asked for when it is written, and a seed must mean the same with and without.
    if log::set_boxed_logger(Box::new(Teller)).is_ok() {
        log::set_max_level(log::LevelFilter::Debug);
    }
    let chosen = simulate::Options { kinds, faults_max: options.faults_max as usize, traces: options.trace };
    let (mut sum, start) = (Sum::default(), Instant::now());
    for seed in options.seed..options.seed + options.runs {
        let report = match simulate::run(seed, &chosen) {
            Ok(report) => report,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "{error:#}");
                return ExitCode::from(REFUSED);
            }
        };
        for line in &report.story {
            let _ = writeln!(out, "{line}");
        }
        if report.violation.is_some() || options.runs == 1 {
            let _ = writeln!(out, "{report}");
        }
        sum.add(&report);
    }
    let _ = writeln!(out, "{}", sum.line(start.elapsed().as_secs_f64()));
    if sum.broken == 0 { ExitCode::SUCCESS } else { ExitCode::from(UNDELIVERED) }
}

#[derive(Default)]
struct Sum {
    runs: u64,
    broken: u64,
    hours: f64,
    records: u64,
    repeats: u64,
    dead: usize,
    struck: BTreeMap<Kind, u64>,
}

impl Sum {
    fn add(&mut self, report: &simulate::Report) {
        self.runs += 1;
        self.broken += u64::from(report.violation.is_some());
        self.hours += report.time.as_secs_f64() / 3600.0;
        self.records += report.records;
        self.repeats += report.repeats;
        self.dead += report.dead;
        for (kind, times) in &report.struck {
            *self.struck.entry(*kind).or_default() += times;
        }
    }

    fn line(&self, seconds: f64) -> String {
        let Sum { runs, broken, hours, records, repeats, dead, .. } = self;
        let struck: Vec<String> =
            self.struck.iter().map(|(kind, times)| format!("{} {times}", kind.name())).collect();
        format!(
            "{runs} seeds, {broken} of them broken; {hours:.1} simulated hours in {seconds:.0} s; {records} records, {repeats} repeats, {dead} dead letters; faults: {}",
            struck.join(", ")
        )
    }
}
