//! Problems of a configuration: all are collected.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;

use super::kind::Kind;
use super::vendor;
use crate::base::limits::SECRET_HIDDEN_CHARS;
use crate::base::text::one_line;

/// The severity: an error prevents the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// A place in the file; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub line: u64,
    pub column: u64,
}

/// The places of keys, by their paths.
#[derive(Debug, Default)]
pub struct Positions(pub HashMap<String, At>);

impl Positions {
    /// Returns the place of a key, or of the mapping that lacks it.
    fn of(&self, path: &str) -> Option<At> {
        let mut path = path;
        loop {
            if let Some(at) = self.0.get(path) {
                return Some(*at);
            }
            // The program's own words follow a space.
            path = &path[..path.rfind(['.', '[', '/', ' '])?];
        }
    }
}

/// One thing to change in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub kind: Kind,
    /// The key's place in its file, where it is known.
    pub at: Option<At>,
    /// Its path: `inputs.sqs_collector.services.aws_sqs_vpc.file_format.type`. Empty for the whole file.
    pub path: String,
    /// The problem. Never contains a secret.
    pub message: String,
    /// The fix.
    pub advice: String,
    /// The vendor's collector's error for it: type, id and message, if it has one.
    pub vendor: Option<String>,
}

impl Problem {
    fn hide(&mut self, secret: &str) {
        let texts = [&mut self.path, &mut self.message, &mut self.advice].into_iter().chain(&mut self.vendor);
        texts.for_each(|text| *text = without(text, secret));
    }

    /// The key for sorting problems.
    pub fn order(&self) -> (Severity, bool, Option<At>) {
        let is_elsewhere = self.at.is_none() || self.path.contains(": ");
        (self.severity, is_elsewhere, self.at)
    }
}

impl fmt::Display for Problem {
    /// Shows advice and the vendor's wording on separate lines; `{:#}` uses one line, for a log that shows the
    /// severity. Texts of others (AWS's, a file's) cannot add lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        if !f.alternate() {
            write!(f, "{severity}: ")?;
        }
        let (file, path) =
            self.path.rsplit_once(": ").map_or((None, &*self.path), |(file, path)| (Some(file), path));
        if let Some(file) = file {
            write!(f, "{}: ", one_line(file))?;
        }
        if let Some(At { line, column }) = self.at {
            write!(f, "line {line}, column {column}: ")?;
        }
        if !path.is_empty() {
            write!(f, "{}: ", one_line(path))?;
        }
        f.write_str(&one_line(&self.message))?;
        let advice = Some(self.advice.as_str()).filter(|advice| !advice.is_empty());
        let more: Vec<_> = advice.into_iter().chain(self.vendor.as_deref()).map(one_line).collect();
        match (more.is_empty(), f.alternate()) {
            (true, _) => Ok(()),
            (false, true) => write!(f, " ({})", more.join("; ")),
            (false, false) => more.iter().try_for_each(|line| write!(f, "\n    {line}")),
        }
    }
}

/// All problems found, errors first; at least one error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// The collection that readers add problems to.
#[derive(Debug, Default)]
pub struct Report {
    problems: RefCell<Vec<Problem>>,
    positions: RefCell<Positions>,
    /// Texts that no problem shows, wherever they occur.
    hidden: RefCell<Vec<String>>,
}

impl Report {
    pub fn error(
        &self,
        kind: Kind,
        path: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let path = path.into();
        let at = self.positions.borrow().of(&path);
        self.push(Severity::Error, kind, at, path, message.into(), advice.into());
    }

    /// An error with a place that is given.
    pub fn error_at(
        &self,
        at: Option<At>,
        kind: Kind,
        path: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        self.push(Severity::Error, kind, at, path.into(), message.into(), advice.into());
    }

    /// Sets the places of keys, for problems that are reported from now on.
    pub fn locate(&self, positions: Positions) {
        *self.positions.borrow_mut() = positions;
    }

    pub fn warning(
        &self,
        kind: Kind,
        path: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let path = path.into();
        let at = self.positions.borrow().of(&path);
        self.push(Severity::Warning, kind, at, path, message.into(), advice.into());
    }

    /// Hides a secret in all problems, also in those that are known already.
    pub fn hide(&self, secret: &str) {
        self.hidden.borrow_mut().push(secret.to_owned());
    }

    pub fn has_errors(&self) -> bool {
        self.problems.borrow().iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Adds the problems of another file: each path gets the file's name.
    pub fn absorb(&self, other: Report, file: &str) {
        for Problem { severity, kind, at, path, message, advice, .. } in other.into_problems() {
            let path = match path.as_str() {
                "" => file.to_owned(),
                path => format!("{file}: {path}"),
            };
            self.push(severity, kind, at, path, message, advice);
        }
    }

    /// Errors first, each kind in the order of the file; what has no place there comes last.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        for secret in self.hidden.into_inner() {
            let spellings = [secret.escape_debug().to_string(), secret];
            problems.iter_mut().for_each(|problem| spellings.iter().for_each(|secret| problem.hide(secret)));
        }
        problems.sort_by_key(Problem::order);
        problems
    }

    fn push(
        &self,
        severity: Severity,
        kind: Kind,
        at: Option<At>,
        path: String,
        message: String,
        advice: String,
    ) {
        let row = vendor::row(kind, &path);
        let vendor = row.map(|row| row.words(&path));
        let advice = if advice.is_empty() { row.map_or("", |row| row.advice).to_owned() } else { advice };
        let problem = Problem { severity, kind, at, path, message, advice, vendor };
        let mut problems = self.problems.borrow_mut();
        // A key that several readers check is reported once, and a missing one for only one reason.
        let is_known = |known: &Problem| {
            *known == problem || (kind == Kind::Missing && known.kind == kind && known.path == problem.path)
        };
        if !problems.iter().any(is_known) {
            problems.push(problem);
        }
    }
}

/// The text without the secret: messages may show only its start. Short ones would hide words.
fn without(text: &str, secret: &str) -> String {
    let beginning: String = secret.chars().take(SECRET_HIDDEN_CHARS).collect();
    if beginning.chars().count() < SECRET_HIDDEN_CHARS {
        return text.to_owned();
    }
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(&beginning) {
        let same = rest[at..].char_indices().zip(secret.chars()).take_while(|((_, a), b)| a == b);
        let end = same.last().map_or(at, |((start, last), _)| at + start + last.len_utf8());
        shown.push_str(&rest[..at]);
        shown.push_str("(hidden)");
        rest = &rest[end..];
    }
    shown + rest
}

/// The candidate that was probably meant.
pub fn closest<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    const ALIKE_ENOUGH: f64 = 0.8;
    let written = written.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&written, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The beginning of the built-in services' names.
const SERVICE_PREFIX: &str = "aws_sqs_";

/// The service that was probably meant: its name may have been written without its beginning.
pub fn closest_service<'c>(written: &str, names: &[&'c str]) -> Option<&'c str> {
    let short = |name: &'c str| name.strip_prefix(SERVICE_PREFIX);
    let same = names.iter().copied().find(|name| short(name) == Some(written));
    same.or_else(|| closest(written, names.iter().copied())).or_else(|| {
        let meant = closest(written, names.iter().copied().filter_map(short))?;
        names.iter().copied().find(|name| short(name) == Some(meant))
    })
}

/// Returns `did you mean "region"?`, or all choices if nothing is close.
pub fn suggestion(written: &str, candidates: &[&str]) -> String {
    match closest(written, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean {candidate:?}?"),
        None if candidates.is_empty() => "there are no keys here".to_owned(),
        None => format!("known here: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near_and_lists_what_is_not() {
        let known = ["region", "base_url"];
        assert_eq!(suggestion("regoin", &known), "did you mean \"region\"?");
        assert_eq!(suggestion("baseUrl", &known), "did you mean \"base_url\"?");
        assert_eq!(suggestion("xyz", &known), "known here: region, base_url");
    }

    #[test]
    fn a_service_is_known_without_the_beginning_of_its_name() {
        let names = ["aws_sqs_cloudtrail", "aws_sqs_vpc", "aws_sqs_vpc_dns", "custom_shop"];
        for (written, meant) in [
            ("vpc", Some("aws_sqs_vpc")),
            ("cloudtrail", Some("aws_sqs_cloudtrail")),
            ("cloudtrial", Some("aws_sqs_cloudtrail")),
            ("aws_sqs_cloudtrial", Some("aws_sqs_cloudtrail")),
            ("custom_shops", Some("custom_shop")),
            ("nope", None),
        ] {
            assert_eq!(closest_service(written, &names), meant, "{written}");
        }
    }

    #[test]
    fn a_secret_is_hidden_from_its_start() {
        assert_eq!(without("is wJalrXUtnFEMI, wJalrXUtZ", "wJalrXUtnFEMI"), "is (hidden), (hidden)Z");
        assert_eq!(without("short and sweet", "short"), "short and sweet");
    }

    #[test]
    fn errors_come_first_and_order_is_kept() {
        let report = Report::default();
        report.warning(Kind::Doubtful, "w", "one", "");
        report.error(Kind::Missing, "e1", "two", "");
        report.error(Kind::Missing, "e2", "three", "");
        let paths: Vec<String> = report.into_problems().into_iter().map(|p| p.path).collect();
        assert_eq!(paths, ["e1", "e2", "w"]);
    }
}
