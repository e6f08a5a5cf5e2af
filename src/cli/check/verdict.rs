//! The verdict of `check` on a configuration.

use std::io::{self, Write};

use crate::base::text::one_line;
use crate::config::{Loaded, Problem, Problems, Severity};
use crate::settings::Config;

/// The problems of a configuration, and what follows from them.
pub struct Verdict {
    /// The valid configuration; None if it cannot be used.
    pub config: Option<Config>,
    /// Problems, in the order in which they are shown.
    pub problems: Vec<Problem>,
    /// Problems that have been shown already. They count, too.
    pub told: Vec<Problem>,
    /// Warnings count as errors.
    strict: bool,
}

impl Verdict {
    /// Adds the problems that `more` finds in a valid configuration.
    pub fn of(
        outcome: Result<Loaded, Problems>,
        more: impl FnOnce(&Config) -> Vec<Problem>,
        strict: bool,
    ) -> Verdict {
        let (config, mut problems) = match outcome {
            Ok(Loaded { config, warnings, .. }) => (Some(config), warnings),
            Err(Problems(problems)) => (None, problems),
        };
        problems.extend(config.as_ref().map(more).unwrap_or_default());
        problems.sort_by_key(Problem::order);
        Verdict { config, problems, told: Vec::new(), strict }
    }

    /// All problems, including those that were shown before.
    pub fn all(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().chain(&self.told)
    }

    fn count(&self, severity: Severity) -> usize {
        self.all().filter(|problem| problem.severity == severity).count()
    }

    /// True if `run` would start and, with `strict`, if there is no warning either.
    pub fn is_accepted(&self) -> bool {
        self.config.is_some()
            && self.count(Severity::Error) == 0
            && (!self.strict || self.count(Severity::Warning) == 0)
    }

    /// # Errors
    /// The errors of `out`.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for problem in &self.problems {
            writeln!(out, "{problem}")?;
        }
        if !self.problems.is_empty() {
            writeln!(out)?;
        }
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let (errors, warnings) = (count(errors, "error"), count(warnings, "warning"));
        match self.config.as_ref().filter(|_| self.is_accepted()) {
            Some(config) => {
                writeln!(out, "The configuration is valid ({warnings}):")?;
                config.describe().iter().try_for_each(|line| writeln!(out, "  {}", one_line(line)))
            }
            None if self.config.is_some() && self.count(Severity::Error) == 0 => {
                writeln!(out, "The configuration is not accepted ({warnings}, and --strict).")
            }
            None => writeln!(out, "The configuration cannot be used ({errors}, {warnings})."),
        }
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
