//! `check`: everything that can be said about a configuration; with `--online` also what the network says.

mod json;
mod verdict;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

pub use verdict::Verdict;

use super::check_online::{self, Attempt};
use super::migrate;
use super::sample_check;
use super::trials;
use crate::base::text::one_line;
use crate::config;
use crate::config::kind::Kind;
use crate::config::{Environment, Problem, Severity};
use crate::ledger::{FILE, OpenError, Store};
use crate::pipeline;
use crate::settings::Config;

/// Exit code for a configuration that `run` would refuse.
const REFUSED: u8 = 2;

#[derive(Debug, Args)]
pub struct Options {
    /// Configuration file, YAML or JSON
    #[arg(value_name = "FILE", required_unless_present = "config", conflicts_with = "config")]
    file: Option<PathBuf>,
    /// The same
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// File whose outputs are used instead of the configuration's
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Tries credentials, queues, objects, sources, outputs, the state folder and the status port as well. A message of each
    /// queue is looked at and given back: SQS counts the receive
    #[arg(long)]
    online: bool,
    /// Fetches an object that each queue announces, and shows its first records as they would arrive. Acknowledges and
    /// sends nothing
    #[arg(long, conflicts_with = "json")]
    sample: bool,
    /// Shows what each key of the vendor's file means here, side by side, and what to look at before moving over
    #[arg(long, conflicts_with = "json")]
    migrate: bool,
    /// Warnings are errors
    #[arg(long)]
    strict: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Prints all problems, errors first, and what `run` would do. Returns exit code 0 or 2.
pub fn run(options: &Options) -> ExitCode {
    // The command line has one of them.
    let path = options.config.as_ref().or(options.file.as_ref()).cloned().unwrap_or_default();
    let outcome = config::load_with(&path, options.output.as_deref(), &Environment::here());
    let tests = outcome.as_ref().map(config::trials::trials).unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut attempts = Vec::new();
    let more = |config: &Config| {
        let mut problems = trials::problems(&tests, folder);
        problems.extend(ledger_problem(config));
        if options.online {
            check_online::attempts(config, &mut |attempt: Attempt| {
                if !options.json {
                    // As they come: some take their time.
                    let _ = writeln!(io::stdout(), "{}", lines(&attempt));
                }
                attempts.push(attempt);
            });
            if !options.json {
                let _ = writeln!(io::stdout());
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
    let _ = io::stdout().write_all(&text);
    if let Some(config) = verdict.config.as_ref().filter(|_| options.sample && verdict.is_accepted()) {
        let _ = write!(io::stdout(), "\n{}", sample_check::text(config));
    }
    if let Some(config) = verdict.config.as_ref().filter(|_| options.migrate) {
        let _ = write!(io::stdout(), "\n{}", migrate::text(config, &verdict.problems));
    }
    if verdict.is_accepted() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
}

/// One line an attempt, and below it what is wrong.
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
