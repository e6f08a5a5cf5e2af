//! The `bench` command: how fast this machine moves logs, at what cost, and where the bottleneck is. The real pipeline
//! runs in this process, the stand-ins for AWS and Devo in two others.

mod chart;
mod floor;
mod measure;
mod options;
mod outside;
mod point;
mod report;
pub mod stand_in;
mod sweep;
mod usage;
mod verdict;

use std::io::Write;

use anyhow::Context as _;

use outside::Outside;
use report::Report;

use crate::base::out::Out;

pub use options::Options;

/// Runs the benchmark and prints its report. Returns true if the sink received exactly what was announced.
///
/// # Errors
/// The errors that prevent the benchmark from running.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    if options.end_with_parent {
        stand_in::end_with_parent();
    }
    let has_level = options.compression_level.is_some();
    anyhow::ensure!(
        !has_level || options.compression == "gzip",
        "--compression-level needs --compression gzip"
    );
    match &options.sweep {
        Some(chart) => sweep::run(options, chart),
        None => run_once(options),
    }
}

fn run_once(options: &Options) -> anyhow::Result<bool> {
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
    let _ = writeln!(Out, "{text}");
    Ok(run.is_complete())
}
