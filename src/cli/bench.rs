//! The `bench` command: how fast this machine moves logs, at what cost, and where the bottleneck is. The real pipeline
//! runs in this process, the stand-ins for AWS and Devo in two others.

mod chart;
mod floor;
mod measure;
mod options;
mod outside;
mod point;
mod report;
mod sweep;
mod usage;
mod verdict;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context as _;

use super::exit::{REFUSED, UNDELIVERED};
use super::log::Level;
use outside::Outside;
use report::Report;

pub use options::Options;

/// Runs the benchmark. Returns exit code 0 only if the sink received exactly what was announced.
pub fn command(options: &Options) -> ExitCode {
    super::log::start(Level::Warn);
    if options.end_with_parent {
        super::testbed::end_with_parent();
    }
    let outcome = match &options.sweep {
        Some(chart) => sweep::run(options, chart),
        None => run(options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(UNDELIVERED),
        Err(error) => {
            log::error!("the bench cannot run: {error:#}");
            ExitCode::from(REFUSED)
        }
    }
}

fn run(options: &Options) -> anyhow::Result<bool> {
    let directory = tempfile::Builder::new()
        .prefix("aws-to-devo-bench-")
        .tempdir()
        .context("cannot create a temporary directory")?;
    let mut outside = Outside::start(options, directory.path())?;
    let run = measure::run(options, &mut outside, directory.path())?;
    // Measured after the run, so that its memory does not count as the collector's.
    let floor = options.floor.then(|| floor::measure(&outside, directory.path())).transpose()?;
    let report = Report::new(options, &run, floor);
    let text = if options.json { report.json().to_string() } else { report.text() };
    // A reader that has exited does not change the result.
    let _ = writeln!(io::stdout(), "{text}");
    Ok(run.is_complete())
}
