//! The `demo` command: the whole pipeline on this machine, with proof that nothing was lost.

mod config;
mod report;
mod screen;

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use self::report::Report;
use self::screen::{Progress, Screen};
use crate::base::out::Out;
use crate::config::{Environment, Loaded};
use crate::lab::testbed::aws::Aws;
use crate::lab::testbed::pki::Pki;
use crate::lab::testbed::scenario::{DEAD_LETTER_QUEUE, Scale, Scenario};
use crate::lab::testbed::sink::Sink;
use crate::lab::testbed::tally::Counts;
use crate::pipeline::{Job, Pipeline};
use crate::telemetry::Telemetry;

/// Time limit for the sink to count the last bytes that its TCP stack has taken.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// Interval at which the screen is refreshed and the sink is checked.
const TICK: Duration = Duration::from_millis(100);

/// The options of `demo`.
#[derive(Debug, Clone)]
struct Options {
    scale: Scale,
    /// Print the configuration file that the pipeline runs on, and its path
    print_config: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { scale: Scale::FULL, print_config: false }
    }
}

/// Runs the demo on standard output, with the same pipeline that `run` uses; with `print_config`, shows the file that it
/// runs on. Returns true if received equals expected, record by record, and the queues are empty.
///
/// # Errors
/// The errors that prevent the demo from running; a pipeline that fails is reported and returns false.
pub fn run(print_config: bool) -> anyhow::Result<bool> {
    let terminal = io::stdout().is_terminal();
    let options = Options { print_config, ..Options::default() };
    run_on(&mut Screen::new(&mut Out, terminal), &options, drain)
}

/// Drains the queues of a configuration file, without signals or statistics lines.
fn drain(path: &Path) -> anyhow::Result<()> {
    let Loaded { config, .. } = crate::config::load(path, &Environment::here())?;
    let telemetry = Arc::new(Telemetry::of(&config, Arc::default()));
    let ending = Pipeline::start(&config, &Job::Drain, &telemetry)?.run(&mut |_| ());
    anyhow::ensure!(ending.is_clean(), "{ending:?}");
    Ok(())
}

/// `collect` takes the path of a configuration file, and returns when its queues are empty and everything is delivered.
fn run_on(
    screen: &mut Screen<'_>,
    options: &Options,
    collect: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let scenario = make_scenario(screen, &options.scale)?;
    let stage = Stage::set(screen, &scenario)?;
    let file = stage.directory.path().join("config.yaml");
    let text = config::yaml(&stage.aws, &scenario.queues, stage.sink.address(), stage.directory.path());
    std::fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    if options.print_config {
        screen.line(&format!("\n{}:\n\n{text}", file.display()))?;
    }
    let (outcome, elapsed) = run_pipeline(screen, &stage.sink, &scenario, || collect(&file));
    let report = stage.report(&scenario, elapsed);
    screen.line(&format!("\n{}", report.text()))?;
    if let Err(error) = &outcome {
        screen.line(&format!("The pipeline failed: {error:#}"))?;
    }
    Ok(outcome.is_ok() && report.is_exact())
}

/// The running stand-ins. Dropping it stops them and deletes their files.
struct Stage {
    aws: Aws,
    sink: Sink,
    directory: tempfile::TempDir,
}

impl Stage {
    fn set(screen: &mut Screen<'_>, scenario: &Scenario) -> anyhow::Result<Stage> {
        let directory = tempfile::Builder::new()
            .prefix("aws-to-devo-demo-")
            .tempdir()
            .context("cannot create a temporary directory")?;
        let pki = Pki::generate()?;
        pki.write_client_files(directory.path())?;
        let sink = Sink::start(&pki)?;
        let aws = Aws::start().context("cannot listen on 127.0.0.1")?;
        scenario.put_into(&aws);
        screen.line(&format!("S3 + SQS  {} over HTTP, {} messages", aws.url(), scenario.messages()))?;
        screen.line(&format!("Devo      {} over mutual TLS, throw-away certificates\n", sink.address()))?;
        Ok(Stage { aws, sink, directory })
    }

    fn report(&self, scenario: &Scenario, elapsed: Duration) -> Report {
        let names = scenario.queues.iter().map(|queue| queue.name.as_str());
        Report {
            expected: scenario.expected.clone(),
            received: self.sink.tally(),
            objects_per_tag: scenario.objects_per_tag.clone(),
            queues: names.map(|name| self.aws.queue_state(name)).collect(),
            dead_letters: self.aws.queue_state(DEAD_LETTER_QUEUE).visible,
            sink_failures: self.sink.failures(),
            elapsed,
        }
    }
}

fn make_scenario(screen: &mut Screen<'_>, scale: &Scale) -> anyhow::Result<Scenario> {
    screen.line("Making objects of CloudTrail, VPC flow logs, S3 access, WAF, CrowdStrike FDR")?;
    let started = Instant::now();
    let scenario = Scenario::build(scale)?;
    let total = scenario.expected.total();
    screen.line(&format!(
        "          {} objects, {} events, {} MB of log, {} MB in S3, {:.1} s",
        scenario.objects.len(),
        report::grouped(total.events),
        report::megabytes(scenario.log_bytes),
        report::megabytes(scenario.stored_bytes()),
        started.elapsed().as_secs_f64(),
    ))?;
    Ok(scenario)
}

/// Runs `collect` on this thread while another one shows the sink's progress.
fn run_pipeline<T>(
    screen: &mut Screen<'_>,
    sink: &Sink,
    scenario: &Scenario,
    collect: impl FnOnce() -> T,
) -> (T, Duration) {
    let total = scenario.expected.total();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let progress = screen.progress(total);
        let ticker = scope.spawn(|| tick(progress, sink, &done));
        let started = Instant::now();
        let outcome = {
            // Also when `collect` panics, because the scope waits for the ticker.
            let _done = SetOnDrop(&done);
            let outcome = collect();
            settle(sink, total);
            outcome
        };
        let elapsed = started.elapsed();
        // It only looks; if it panicked, the report follows all the same.
        let worked = ticker.join().unwrap_or(elapsed);
        (outcome, worked)
    })
}

/// Shows how far the sink is, and measures until it receives the last record: the queues are emptied after that.
fn tick(mut progress: Progress<'_, '_>, sink: &Sink, done: &AtomicBool) -> Duration {
    let started = Instant::now();
    let (mut received, mut worked) = (Counts::default(), Duration::ZERO);
    loop {
        let is_over = done.load(Ordering::Relaxed);
        let now = sink.progress();
        if now != received {
            (received, worked) = (now, started.elapsed());
        }
        if is_over {
            progress.finish();
            return worked;
        }
        progress.show(received, worked, started.elapsed());
        thread::sleep(TICK);
    }
}

/// Waits until the sink has counted everything, or its count no longer grows.
fn settle(sink: &Sink, total: Counts) {
    let started = Instant::now();
    while started.elapsed() < SETTLE_MAX && sink.progress().events < total.events {
        let before = sink.progress();
        thread::sleep(TICK);
        if sink.progress() == before {
            break;
        }
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_small(collect: impl FnOnce(&Path) -> anyhow::Result<()>) -> (bool, String) {
        let mut out = Vec::new();
        let options = Options { scale: Scale::SMALL, print_config: true };
        let complete = run_on(&mut Screen::new(&mut out, false), &options, collect).unwrap();
        (complete, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_pipeline_that_does_nothing_is_found_out() {
        let (complete, text) = run_small(|_| Ok(()));
        assert!(!complete);
        assert!(text.contains("messages waiting"), "{text}");
        assert!(text.contains("NOT everything arrived"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 80 || line.contains("crt") || line.contains('/'))
        );
    }

    #[test]
    fn a_pipeline_that_fails_is_reported() {
        let (complete, text) = run_small(|_| anyhow::bail!("no reason"));
        assert!(!complete && text.contains("The pipeline failed: no reason"), "{text}");
    }

    #[test]
    fn the_configuration_file_and_its_certificates_are_there_while_it_runs() {
        let mut looked_at = None;
        run_small(|file| {
            let directory = file.parent().unwrap();
            for name in ["chain.crt", "domain.crt", "domain.key", "config.yaml"] {
                assert!(directory.join(name).is_file(), "{name}");
            }
            looked_at = Some(directory.to_owned());
            Ok(())
        });
        assert!(!looked_at.unwrap().exists(), "nothing is left behind");
    }
}
