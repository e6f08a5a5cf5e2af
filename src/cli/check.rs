//! The `check` command: lists the problems of a configuration; with `--online` it also tries everything out.

mod json;
mod verdict;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

pub use verdict::Verdict;

use super::check_online::{self, Attempt};
use super::exit::REFUSED;
use super::migrate;
use super::sample_check;
use super::trials;
use crate::base::out::Out;
use crate::base::text::one_line;
use crate::config;
use crate::config::kind::Kind;
use crate::config::{Environment, Problem, Severity};
use crate::ledger::{FILE, OpenError, Store};
use crate::pipeline;
use crate::settings::Config;

#[derive(Debug, Args)]
pub struct Options {
    /// Configuration file, YAML or JSON; or the folder of config.yaml or config.json
    #[arg(value_name = "FILE", value_parser = super::files::configuration(), required_unless_present = "config", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// Configuration file, like FILE
    #[arg(short, long, value_name = "FILE", value_parser = super::files::configuration())]
    config: Option<PathBuf>,
    /// File whose outputs replace the configuration's
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Also try credentials, queues, objects, sources, outputs, the state folder and the status port. A message of each
    /// queue is received and returned; SQS counts that as a receive
    #[arg(long)]
    online: bool,
    /// Fetch an object that each queue announces, and show its first records as they would arrive: exit code 2 if a queue
    /// or its object cannot be read. Acknowledges and sends nothing. A message of each queue is received and returned
    #[arg(long, conflicts_with = "json")]
    sample: bool,
    /// Show what each key of the vendor's file means here, side by side, and what to review before switching
    #[arg(long, conflicts_with = "json")]
    migrate: bool,
    /// Treat warnings as errors
    #[arg(long)]
    strict: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Prints all problems, errors first, and what `run` would do. Returns exit code 0 or 2; 2 also if a sample was asked for and a queue
/// or its object cannot be read.
pub fn run(options: &Options) -> ExitCode {
    // The command line requires one of the two.
    let path = options.config.as_ref().or(options.file.as_ref()).cloned().unwrap_or_default();
    let outcome = config::load_with(&path, options.output.as_deref(), &Environment::here());
    let mut tests = outcome.as_ref().map(config::trials::trials).unwrap_or_default();
    // A definitions file that cannot be read is among the outcome's problems.
    tests.extend(
        config::catalog(&path).map(|catalog| config::trials::of_definitions(&catalog)).unwrap_or_default(),
    );
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut attempts = Vec::new();
    let more = |config: &Config| {
        let mut problems = trials::problems(&tests, folder);
        problems.extend(ledger_problem(config));
        if options.online {
            check_online::attempts(config, &mut |attempt: Attempt| {
                if !options.json {
                    // Each line is shown as soon as it is known, because some attempts take long.
                    let _ = writeln!(Out, "{}", lines(&attempt));
                }
                attempts.push(attempt);
            });
            if !options.json {
                let _ = writeln!(Out);
            }
        }
        problems
    };
    let mut verdict = Verdict::of(outcome, more, options.strict);
    verdict.told = attempts.iter().flat_map(|attempt| attempt.problems.iter().cloned()).collect();
    let mut text = Vec::new();
    // Writing to memory does not fail, and a reader that has exited does not change the result.
    if options.json {
        let _ = writeln!(text, "{:#}", json::of(&verdict, &attempts));
    } else {
        let _ = verdict.write(&mut text);
    }
    let _ = Out.write_all(&text);
    let mut is_complete = true;
    if let Some(config) = verdict.config.as_ref().filter(|_| options.sample && verdict.is_accepted()) {
        let shown = sample_check::shown(config);
        let _ = write!(Out, "\n{}", shown.text);
        is_complete = shown.is_complete;
    }
    if let Some(config) = verdict.config.as_ref().filter(|_| options.migrate) {
        let _ = write!(Out, "\n{}", migrate::text(config, &verdict.problems));
    }
    if verdict.is_accepted() && is_complete { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
}

/// Writes a line for the attempt, with its problems below.
fn lines(attempt: &Attempt) -> String {
    let Attempt { what, learnt, problems } = attempt;
    let mut lines = Vec::new();
    if !attempt.has_failed() {
        lines.push(format!("✓ {what}: {}", one_line(learnt)));
    }
    for Problem { severity, message, advice, vendor, .. } in problems {
        let mark = match severity {
            Severity::Error => format!("✗ {what}:"),
            Severity::Warning => "    warning:".to_owned(),
        };
        lines.push(format!("{mark} {}", one_line(message)));
        let more = Some(advice).filter(|advice| !advice.is_empty()).into_iter().chain(vendor);
        lines.extend(more.map(|text| format!("    {}", one_line(text))));
    }
    lines.join("\n")
}

/// Checks that an existing ledger is usable. A missing one is created at the first start.
fn ledger_problem(config: &Config) -> Option<Problem> {
    let globals = &config.globals;
    let path = globals.state_directory.join(FILE);
    let usable = Store::open_existing(&path)
        .and_then(|store| store.refuse_other_queues(&path, &pipeline::scope(config)));
    let error = match usable {
        Ok(()) | Err(OpenError::Absent { .. }) => return None,
        Err(error) => error,
    };
    let stops = globals.state_required && !error.is_temporary();
    Some(Problem {
        severity: if stops { Severity::Error } else { Severity::Warning },
        kind: Kind::Invalid,
        at: None,
        path: "globals.persistence".to_owned(),
        message: error.to_string(),
        advice: "with \"required\": false the collector continues without its ledger".to_owned(),
        vendor: None,
    })
}
