//! The verdict as JSON, for programs.

use serde_json::{Value, json};

use super::verdict::Verdict;
use crate::cli::check_online::Attempt;
use crate::config::{Problem, Severity};

/// The verdict as JSON. `line` and `column` are null for a problem without a place in the file.
pub fn of(verdict: &Verdict, attempts: &[Attempt]) -> Value {
    let attempts = attempts.iter().map(|attempt| {
        let error = attempt.problems.iter().find(|problem| problem.severity == Severity::Error);
        json!({
            "what": attempt.what,
            "ok": !attempt.has_failed(),
            "learnt": Some(&attempt.learnt).filter(|learnt| !learnt.is_empty()),
            "error": error.map(|problem| &problem.message),
        })
    });
    json!({
        "valid": verdict.is_accepted(),
        "problems": verdict.all().map(problem).collect::<Value>(),
        "attempts": attempts.collect::<Value>(),
        "summary": verdict.config.as_ref().map(crate::settings::Config::describe),
    })
}

fn problem(problem: &Problem) -> Value {
    let Problem { severity, at, path, message, advice, vendor, .. } = problem;
    json!({
        "severity": match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "line": at.map(|at| at.line),
        "column": at.map(|at| at.column),
        "path": path,
        "message": message,
        "advice": advice,
        "vendor": vendor,
    })
}
