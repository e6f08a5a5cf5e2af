//! The `tag` of a service: placeholders become levels, or fields of the records.

use super::rows::Row;
use crate::config::kind::Kind;
use crate::config::node::Mapping;
use crate::config::problem::closest;
use crate::config::service;

/// The version of the tags' format.
const FORMAT_VERSION: &str = "1";
/// The levels after a row's own ones.
const ACCOUNT_LEVELS: &str = ".{account_id}.{region_id}.{format_version}";

const PLACEHOLDERS: [&str; 6] =
    ["event_type", "account_id", "region_id", "format_version", "environment", "service_name"];

/// The values of the placeholders.
pub struct Values<'a> {
    /// A level, or a field of the records: `[record-event_source]`.
    pub event_type: &'a str,
    pub account_id: &'a str,
    pub region: &'a str,
    pub environment: Option<&'a str>,
    pub service: &'a str,
}

/// The user's template, or the row's. None if it has been reported.
pub fn template(keys: &Mapping<'_>, row: &Row, values: &Values<'_>) -> Option<String> {
    match keys.string("tag") {
        Some(tag) => fill(&tag, "tag", keys, values)
            .inspect(|filled| service::warn_of_table(filled, &keys.path_of("tag"), keys.report)),
        None => fill(&usual(row, values), "tag", keys, values),
    }
}

/// Reads the user's template under the key `key`.
pub fn fill(template: &str, key: &str, keys: &Mapping<'_>, values: &Values<'_>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        push(&mut filled, literal, key, keys)?;
        let Some((name, after)) = after.split_once('}') else {
            return refuse(keys, key, "has an opening brace without a closing one", String::new());
        };
        filled.push_str(value(name, key, keys, values)?);
        rest = after;
    }
    push(&mut filled, rest, key, keys)?;
    Some(filled)
}

fn usual(row: &Row, values: &Values<'_>) -> String {
    let account = if row.of_account { ACCOUNT_LEVELS } else { "" };
    let environment = if row.of_account && values.environment.is_some() { ".{environment}" } else { "" };
    format!("{}{account}{environment}", row.tag)
}

fn value<'a>(name: &str, key: &str, keys: &Mapping<'_>, values: &Values<'a>) -> Option<&'a str> {
    match name {
        "event_type" => Some(values.event_type),
        "account_id" => Some(values.account_id),
        "region_id" => Some(values.region),
        "format_version" => Some(FORMAT_VERSION),
        "service_name" => Some(values.service),
        "environment" => values.environment.or_else(|| {
            let advice = "write \"environment\": \"prod\" in the input, beside \"services\"";
            refuse(keys, key, "{environment} has no value", advice.to_owned())
        }),
        other => {
            let advice = match closest(other, PLACEHOLDERS) {
                Some(meant) => format!("did you mean {{{meant}}}?"),
                None => format!("known here: {{{}}}", PLACEHOLDERS.join("}, {")),
            };
            refuse(keys, key, &format!("{{{other}}} is not a placeholder"), advice)
        }
    }
}

fn push(filled: &mut String, literal: &str, key: &str, keys: &Mapping<'_>) -> Option<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(bad) = literal.chars().find(|c| !allowed(*c)) {
        let message = format!("the character {bad:?} is not allowed in a tag");
        let advice = "use letters, digits, _ and -, levels separated by dots, and placeholders in braces";
        return refuse(keys, key, &message, advice.to_owned());
    }
    filled.push_str(literal);
    Some(())
}

fn refuse<T>(keys: &Mapping<'_>, key: &str, message: &str, advice: String) -> Option<T> {
    keys.report.error(Kind::Invalid, format!("{}.{key}", keys.path), message, advice);
    None
}
