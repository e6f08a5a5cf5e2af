//! The processor `text_file_processor`.

use std::sync::Arc;

use crate::config::kind::Kind;
use crate::config::node::Mapping;
use crate::decode::Format;
use crate::decode::text_file::{Fields, Names, TextFile};

/// The keys as they are written.
struct Keys {
    header: bool,
    header_separator: Option<String>,
    /// None if one of them has a problem.
    names: Option<Vec<String>>,
    separator: Option<String>,
    json: bool,
}

/// Reads the processor's keys.
pub fn read(config: &Mapping<'_>) -> Option<Format> {
    let line_separator = separator(config, "line_separator");
    if line_separator.is_none() {
        let advice = "write the text between two records, such as \"\\n\"";
        config.report.error(Kind::Missing, config.path_of("line_separator"), "is missing", advice);
    }
    let keys = Keys {
        header: config.boolean("header", false),
        header_separator: separator(config, "header_field_separator"),
        names: config.list("field_names").iter().map(crate::config::service::text::text).collect(),
        separator: separator(config, "field_separator"),
        json: config.boolean("use_json", false),
    };
    let header = keys.header;
    let json = if keys.json {
        Some(fields(config, keys)?)
    } else {
        let why = "records stay text; set \"use_json\": true to make their fields JSON";
        config.without_effect(&["header_field_separator", "field_names", "field_separator"], why);
        None
    };
    let line_separator = line_separator?.into_bytes();
    Some(Format::TextFile(Arc::new(TextFile { line_separator, header, json })))
}

fn fields(config: &Mapping<'_>, keys: Keys) -> Option<Fields> {
    let error = |kind, key, message, advice: &str| {
        config.report.error(kind, config.path_of(key), message, advice);
        None
    };
    let Some(separator) = keys.separator.or_else(|| keys.header_separator.clone()) else {
        let advice = "write the text between two fields, such as \",\"";
        return error(Kind::Missing, "field_separator", "is missing", advice);
    };
    let in_header = keys.header_separator.unwrap_or_else(|| separator.clone()).into_bytes();
    let given = keys.names?;
    let names = match (given.is_empty(), keys.header) {
        (false, false) if config.has("header_field_separator") => {
            let advice = "write field_separator; this key is for names in a header";
            return error(Kind::Invalid, "header_field_separator", "has no header to separate", advice);
        }
        (false, true) if config.has("header_field_separator") => {
            let advice = "omit one of them; a header with field_names is dropped unread";
            return error(Kind::Invalid, "header_field_separator", "cannot be used with field_names", advice);
        }
        (false, _) => Names::Given(given),
        (true, true) => Names::InHeader(in_header),
        (true, false) if config.has("field_separator") => Names::Given(given),
        (true, false) => {
            let advice =
                "write field_separator, the fields' names, or \"header\": true if the first line has them";
            return error(Kind::Missing, "field_names", "is missing", advice);
        }
    };
    Some(Fields { separator: separator.into_bytes(), names })
}

/// Reads text that may be white space; empty text counts as absent.
fn separator(config: &Mapping<'_>, key: &'static str) -> Option<String> {
    config.node(key)?.text().filter(|text| !text.is_empty())
}
