//! Runs the `tests` of services, for `check`.

use std::path::Path;

use crate::config::kind::Kind;
use crate::config::trials::{Expected, Input, Trial};
use crate::config::{Problem, Severity};
use crate::services::Definition;
use std::sync::Arc;

use super::sample::{Outcome, Sample, Sent};

/// A service's name, and its test.
pub type Tests = [(Arc<Definition>, Trial)];

/// The failures, test by test. Relative files are in `folder`.
pub fn problems(tests: &Tests, folder: &Path) -> Vec<Problem> {
    tests
        .iter()
        .filter_map(|(service, trial)| Some((trial, fault(service, trial, folder)?)))
        .map(problem)
        .collect()
}

fn problem((trial, message): (&Trial, String)) -> Problem {
    Problem {
        severity: Severity::Error,
        kind: Kind::Invalid,
        at: None,
        path: trial.path.clone(),
        message,
        advice: "change the service's rules or the test; `preview` shows more".to_owned(),
        vendor: None,
    }
}

/// Runs one test. Returns None if it passes.
fn fault(service: &Arc<Definition>, trial: &Trial, folder: &Path) -> Option<String> {
    let object = match &trial.input {
        Input::Text(text) => text.clone().into_bytes(),
        Input::File(name) => match std::fs::read(folder.join(name)) {
            Ok(bytes) => bytes,
            Err(error) => return Some(format!("cannot read {}: {error}", folder.join(name).display())),
        },
    };
    let mut found = Vec::new();
    if !service.skips(&trial.key) {
        let definition = service.of_object(&trial.key);
        let mut sample = Sample::new(&definition, &trial.key, object.len() as u64, "host");
        let result = sample.push(&object, true, &mut |outcome| found.push(Found::of(outcome)));
        if let Err(error) = result {
            return Some(format!("the object is refused: {error}"));
        }
    }
    difference(&trial.expected, &found)
}

/// The fate of a record.
enum Found {
    Dropped(usize),
    Sent { table: String, body: String },
}

impl Found {
    fn of(outcome: Outcome<'_>) -> Found {
        match outcome {
            Outcome::Dropped { rule } => Found::Dropped(rule),
            Outcome::Sent(Sent { tag, body, .. }) => {
                Found::Sent { table: tag.to_owned(), body: String::from_utf8_lossy(body).into_owned() }
            }
        }
    }

    fn shown(&self) -> String {
        match self {
            Found::Dropped(rule) => format!("is dropped by line_filter_rules[{rule}]"),
            Found::Sent { table, .. } => format!("goes to {table}"),
        }
    }
}

fn difference(expected: &[Expected], found: &[Found]) -> Option<String> {
    for (number, (expected, found)) in (1..).zip(expected.iter().zip(found)) {
        let is_so = match (expected, found) {
            (Expected::Dropped, Found::Dropped(_)) => true,
            (Expected::Sent { table, body }, Found::Sent { table: to, body: sent }) => {
                if table == to
                    && let Some(body) = body.as_ref().filter(|body| *body != sent)
                {
                    return Some(format!("record {number} has the body {sent:?}, and not {body:?}"));
                }
                table == to
            }
            _ => false,
        };
        if !is_so {
            let wanted = match expected {
                Expected::Dropped => "is not dropped".to_owned(),
                Expected::Sent { table, .. } => format!("and not to {table}"),
            };
            let found = found.shown();
            return Some(match expected {
                Expected::Dropped => format!("record {number} {wanted}: it {found}"),
                Expected::Sent { .. } => format!("record {number} {found}, {wanted}"),
            });
        }
    }
    let (wanted, read) = (expected.len(), found.len());
    (wanted != read).then(|| format!("{read} records are read, and {wanted} are expected"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment, trials};

    fn faults(tests: &str) -> Vec<String> {
        let text = format!(
            "inputs:
  sqs_collector:
    id: 1
    base_url: https://sqs.us-west-1.amazonaws.com/111111111111/q
    services:
      custom_firewall:
        file_format: {{type: line_split_processor, config: {{json: true}}}}
        filename_filter_rules: [[{{type: match, pattern: /old/}}]]
        file_field_definitions: {{kind: [{{operator: split, on: /, element: 1}}]}}
        line_filter_rules: [[{{source: record, key: action, type: match, value: allow}}]]
        routing_template: my.app.firewall.[file-kind]
        tests:
{tests}
outputs:
  console: {{type: console}}
"
        );
        let loaded = config::parse(&text, Path::new("/"), &Environment::here());
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
        let tests = trials::trials(&loaded);
        assert!(!tests.is_empty());
        problems(&tests, Path::new("/nonexistent")).into_iter().map(|problem| problem.message).collect()
    }

    /// The faults of the tests in a definitions file, and beside a service of an `aws` input.
    #[test]
    fn tests_stand_beside_all_kinds_of_services() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yaml");
        let text = r#"
globals: {definitions: own.yaml}
inputs:
  aws:
    id: 1
    credentials: {access_key: AKIAIOSFODNN7EXAMPLE, access_secret: "0123456789012345678901234567890123456789"}
    services:
      audit-events-all:
        types: [audits_api]
        regions: [us-east-1]
        tests:
          - {lines: [{"eventSource": "s3.amazonaws.com"}], expect: [dropped]}
outputs:
  console: {type: console}
"#;
        let own = r#"
custom_dns:
  routing_template: my.app.dns.log
  file_format: {type: line_split_processor, config: {json: true}}
  tests: [{lines: [{"a": 1}], expect: [{table: my.app.dns.other}]}]
"#;
        std::fs::write(folder.path().join("own.yaml"), own).unwrap();
        std::fs::write(&config, text).unwrap();
        let loaded =
            config::load(&config, &Environment::here()).unwrap_or_else(|problems| panic!("{problems}"));
        let mut tests = trials::trials(&loaded);
        tests.extend(trials::of_definitions(&config::catalog(&config).unwrap()));
        let faults: Vec<_> = problems(&tests, folder.path())
            .into_iter()
            .map(|problem| format!("{}: {}", problem.path, problem.message))
            .collect();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("inputs.aws.services.audit-events-all.tests[0]: record 1 is not dropped: it goes to cloud.aws.cloudtrail."), "{faults:?}");
        assert!(
            faults[1].starts_with(
                "custom_dns.tests[0]: record 1 goes to my.app.dns.log, and not to my.app.dns.other"
            ),
            "{faults:?}"
        );
    }

    #[test]
    fn tests_that_hold_say_nothing() {
        let good = r#"
        - {key: a/dns/x, lines: [{"a": 1}, '{"action":"allow"}'], expect: [{table: my.app.firewall.dns, body: {"a": 1}}, dropped]}
        - {key: a/old/x, lines: ["no JSON"], expect: []}
        - {lines: [{"a": 1}], expect: [{table: my.app.firewall.unknown}]}"#;
        assert_eq!(faults(good), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_told() {
        for (test, told) in [
            (
                r#"{key: a/b/c, lines: [{"a": 1}], expect: [dropped]}"#,
                "record 1 is not dropped: it goes to my.app.firewall.b",
            ),
            (
                r#"{key: a/b/c, lines: [{"action": "allow"}], expect: [{table: my.app.x.y}]}"#,
                "record 1 is dropped by line_filter_rules[0], and not to my.app.x.y",
            ),
            (
                r#"{key: a/b/c, lines: [{"a": 1}], expect: [{table: my.app.firewall.b, body: x}]}"#,
                "record 1 has the body \"{\\\"a\\\":1}\", and not \"x\"",
            ),
            (
                r#"{key: a/b/c, lines: [{"a": 1}, {"a": 2}], expect: [{table: my.app.firewall.b}]}"#,
                "2 records are read, and 1 are expected",
            ),
            (r#"{key: a/b/c, lines: ["no JSON"], expect: []}"#, "the object is refused: "),
            (r#"{key: a/b/c, file: no.log, expect: []}"#, "cannot read /nonexistent/no.log: "),
        ] {
            let faults = faults(&format!("        - {test}"));
            assert!(faults.len() == 1 && faults[0].starts_with(told), "{faults:?} instead of {told}");
        }
    }
}
