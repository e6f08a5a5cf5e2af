//! The `--sweep` option: the same run with other numbers of threads, each in its own process.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table};

use super::chart;
use super::options::Options;
use super::point::Point;
use crate::base::out::Out;

/// Numbers of senders to try.
const SENDERS: [usize; 3] = [1, 2, 4];

/// Runs them one after another. Returns false if one of them lost something.
pub fn run(options: &Options, file: &Path) -> anyhow::Result<bool> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut points = Vec::new();
    for workers in worker_counts(cores) {
        for senders in SENDERS {
            let point = measure(options, workers, senders)?;
            let _ = writeln!(
                io::stderr(),
                "{workers} workers, {senders} senders: {:.1} MB/s of log",
                point.log_mb_per_second
            );
            points.push(point);
        }
    }
    let _ = writeln!(Out, "{}", table(&points));
    let chart = chart::draw(&points, &options.service).context("cannot draw the chart")?;
    std::fs::write(file, chart).with_context(|| format!("cannot write {}", file.display()))?;
    let _ = writeln!(Out, "chart: {}", file.display());
    Ok(points.iter().all(|point| point.complete))
}

/// Numbers of workers to try: powers of two below the number of cores, that number, and twice that.
fn worker_counts(cores: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1), |count| Some(count * 2));
    powers.take_while(|count| *count < cores).chain([cores, cores * 2]).collect()
}

fn measure(options: &Options, workers: usize, senders: usize) -> anyhow::Result<Point> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let threads = ["--workers".to_owned(), workers.to_string(), "--senders".to_owned(), senders.to_string()];
    let output = Command::new(program)
        .args(["bench", "--json", "--end-with-parent"])
        .args(options.arguments())
        .args(threads)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start this program a second time")?;
    serde_json::from_slice(&output.stdout).context("a run ended without a result; its reason is above")
}

fn table(points: &[Point]) -> String {
    let mut table = Table::new();
    table.set_header(["workers", "senders", "MB/s of log", "CPU s/GB", "RSS MB", "bottleneck"]);
    for point in points {
        table.add_row([
            point.workers.to_string(),
            point.senders.to_string(),
            format!("{:.1}", point.log_mb_per_second),
            format!("{:.3}", point.cpu_seconds_per_gb),
            format!("{:.1}", point.peak_rss_bytes as f64 / 1e6),
            point.bottleneck.clone(),
        ]);
    }
    table.column_iter_mut().take(5).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_go_past_the_cores() {
        assert_eq!(worker_counts(1), [1, 2]);
        assert_eq!(worker_counts(2), [1, 2, 4]);
        assert_eq!(worker_counts(6), [1, 2, 4, 6, 12]);
    }
}
