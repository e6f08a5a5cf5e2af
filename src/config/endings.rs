//! The possible endings of a service's objects: what is a record, what is known to have none, what is refused. Derived
//! from the service's definition, so that the documentation matches the program.

use super::describe::describe_format;
use super::registry::{Row, rows};
use crate::decode::{Bare, Format, Others};
use crate::services::Definition;

/// The three endings of an object, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endings {
    pub record: String,
    /// Content without records, in addition to empty objects and blank lines.
    pub empty: Vec<String>,
    /// Content that is refused, in addition to corruption, binary data, and unsupported packings.
    pub refused: Vec<String>,
}

impl Endings {
    pub fn of(definition: &Definition) -> Endings {
        let format = &definition.format;
        let mut record = describe_format(format);
        let mut empty = skipped(definition);
        let mut refused = Vec::new();
        of_format(format, &mut empty, &mut refused);
        if let Some(others) = others(format) {
            record = [record].into_iter().chain(others.expected()).collect::<Vec<_>>().join("; ");
        }
        for delegate in definition.delegates.iter().rev() {
            record = format!("as {}; {record}", delegate.name);
        }
        Endings { record, empty, refused }
    }
}

/// The generated part of the documentation: a row per built-in service.
pub fn markdown() -> String {
    let mut text = "| service | a record is | known to have none | refused |\n|---|---|---|---|\n".to_owned();
    for Row { name, definition, .. } in rows() {
        let Endings { record, empty, refused } = Endings::of(definition);
        let cells = [record, empty.join("; "), refused.join("; ")].map(|cell| cell.replace('|', "\\|"));
        text.push_str(&format!("| `{name}` | {} |\n", cells.join(" | ")));
    }
    text
}

/// Objects that are not fetched because of their names.
fn skipped(definition: &Definition) -> Vec<String> {
    let delegates = definition.delegates.iter().map(|delegate| &**delegate);
    let rules =
        delegates.chain([definition]).flat_map(|definition| definition.skip_objects.0.iter().flatten());
    let rules = rules.filter(|rule| !rule.negated);
    rules.map(|rule| format!("objects named `{}`", rule.pattern.as_str())).collect()
}

fn of_format(format: &Format, empty: &mut Vec<String>, refused: &mut Vec<String>) {
    let mut is_empty = |text: &str| empty.push(text.to_owned());
    let mut is_refused = |text: &str| refused.push(text.to_owned());
    match format {
        Format::Known { format, signs } => {
            of_format(format, empty, refused);
            if signs.text_only {
                refused.push("JSON".to_owned());
            }
            if !signs.must_have.is_empty() {
                let sets: Vec<String> =
                    signs.must_have.iter().map(|set| format!("`{}`", set.join("` with `"))).collect();
                refused.push(format!("JSON whose first document has none of {}", sets.join(", ")));
            }
            let of_others = match signs.only_parquet {
                true => "Parquet with the signature of another service's log",
                false => "data with the signature of another service's log",
            };
            refused.push(of_others.to_owned());
        }
        Format::Latin1(inner) | Format::OrJson(inner) => of_format(inner, empty, refused),
        Format::Or { format, others } => {
            of_format(format, empty, refused);
            empty.extend(others.empty.iter().map(|name| format!("documents with `{name}`")));
            if others.log_events && !empty.iter().any(|text| text == CONTROL) {
                empty.push(CONTROL.to_owned());
            }
            if others.bare == Bare::Any {
                let takes_text = matches!(&**format, Format::CloudWatch { .. });
                refused.retain(|text| text != OTHER_DOCUMENTS && !(takes_text && text == NO_JSON));
                refused.push("data that Firehose failed to process".to_owned());
            }
        }
        Format::LinesWithHeaders { .. } | Format::CsvWithHeaders { .. } => is_empty("header lines"),
        Format::LinesUnder { prefix } => {
            is_empty(&format!("lines that begin with `{}`", String::from_utf8_lossy(prefix)));
        }
        Format::Lines { header_lines } | Format::Csv { header_lines } if *header_lines > 0 => {
            is_empty("header lines");
        }
        Format::JsonLines => is_refused(NO_JSON),
        Format::SnappyBlocks => {
            is_empty("lines of metadata");
            is_refused(NO_JSON);
            is_refused("blocks that differ from their metadata");
        }
        Format::Incapsula => {
            is_empty("the header, up to `|==|`");
            is_refused("encrypted bodies");
        }
        Format::Parquet => is_refused("anything except Parquet"),
        Format::CloudWatch { .. } | Format::Envelopes { .. } => {
            is_empty(CONTROL);
            is_empty("empty lists");
            is_refused(NO_JSON);
            is_refused(OTHER_DOCUMENTS);
        }
        format if format.reads_documents() => {
            is_empty("empty lists and `null` for a list");
            is_refused(NO_JSON);
            is_refused(OTHER_DOCUMENTS);
        }
        _ => (),
    }
}

const CONTROL: &str = "control messages of CloudWatch Logs";
const NO_JSON: &str = "anything except JSON";
const OTHER_DOCUMENTS: &str = "documents with none of these";

fn others(format: &Format) -> Option<&Others> {
    match format {
        Format::Known { format, .. } | Format::Latin1(format) => others(format),
        Format::Or { others, .. } => Some(others),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_says_what_is_refused_unless_it_takes_any_text() {
        for row in rows() {
            let Endings { record, refused, .. } = Endings::of(&row.definition);
            let takes_anything = ["aws_sqs_jamf"].contains(&row.name.as_str());
            assert!(!record.is_empty(), "{}", row.name);
            assert_eq!(refused.is_empty(), takes_anything, "{}: {refused:?}", row.name);
        }
    }
}
