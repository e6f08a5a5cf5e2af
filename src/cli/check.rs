//! The `check` command: everything that can be said about a configuration without receiving anything.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::check_online;
use crate::base::text::one_line;
use crate::config;
use crate::config::kind::Kind;
use crate::config::{Environment, Loaded, Problem, Problems, Severity};
use crate::ledger::{FILE, OpenError, Store};
use crate::pipeline;
use crate::settings::Config;

/// Exit code for a configuration that `run` would refuse.
const REFUSED: u8 = 2;

/// Prints all problems, errors first, and what `run` would do. Returns exit code 0 or 2.
pub fn run(path: &Path, online: bool) -> ExitCode {
    let outcome = config::load(path, &Environment::here());
    let more = |config: &Config| {
        let online = if online { check_online::problems(config) } else { Vec::new() };
        ledger_problem(config).into_iter().chain(online).collect()
    };
    let mut text = Vec::new();
    // Writing to memory does not fail, and a reader that has exited does not change the result.
    let accepted = report(&mut text, outcome, more).unwrap_or(false);
    let _ = io::stdout().write_all(&text);
    if accepted { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
}

/// Writes the outcome, including what `more` finds in a valid configuration. Returns true if `run` would start.
///
/// # Errors
/// Those of `out`.
pub fn report(
    out: &mut impl Write,
    outcome: Result<Loaded, Problems>,
    more: impl FnOnce(&Config) -> Vec<Problem>,
) -> io::Result<bool> {
    let (config, mut problems) = match outcome {
        Ok(Loaded { config, warnings, .. }) => (Some(config), warnings),
        Err(Problems(problems)) => (None, problems),
    };
    problems.extend(config.as_ref().map(more).unwrap_or_default());
    problems.sort_by_key(|problem| problem.severity);
    for problem in &problems {
        writeln!(out, "{problem}")?;
    }
    if !problems.is_empty() {
        writeln!(out)?;
    }
    conclude(out, config.as_ref(), &problems)
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
        path: "globals.persistence".to_owned(),
        message: error.to_string(),
        advice: "with \"required\": false the collector continues without its ledger".to_owned(),
        vendor: None,
    })
}

fn conclude(out: &mut impl Write, config: Option<&Config>, problems: &[Problem]) -> io::Result<bool> {
    let of = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    let warnings = count(warnings, "warning");
    match config.filter(|_| errors == 0) {
        Some(config) => {
            writeln!(out, "The configuration is valid ({warnings}):")?;
            for line in config.describe() {
                writeln!(out, "  {}", one_line(&line))?;
            }
            Ok(true)
        }
        None => {
            let errors = count(errors, "error");
            writeln!(out, "The configuration cannot be used ({errors}, {warnings}).")?;
            Ok(false)
        }
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
