//! `file_format` and `encoding`: what stands in an object.

use super::fields;
use crate::config::node::Mapping;
use crate::config::problem::{Kind, suggestion};
use crate::decode::Format;
use crate::limits;

/// Processors of the vendor's that this version has.
const SUPPORTED: &[&str] = &[
    "line_split_processor",
    "parquet_processor",
    "split_or_unseparated_processor",
    "unseparated_json_processor",
];

/// Processors of the vendor's that it does not have.
const LATER: &[&str] = &[
    "aws_access_logs_processor",
    "bluecoat_processor",
    "guardduty_processor",
    "jamf_processor",
    "json_array_processor",
    "json_line_arrays_processor",
    "json_object_to_linesplit_processor",
    "separated_json_processor",
    "single_json_object_processor",
    "text_file_processor",
    "unseparated_json_processor_extract_key",
];

const FORMAT_ADVICE: &str =
    "write \"file_format\": {\"type\": \"split_or_unseparated_processor\", \"config\": {}}";

/// Reads both keys. The encoding decides nothing but Parquet: the bytes say how they are compressed.
pub fn read(keys: &Mapping<'_>) -> Option<Format> {
    let parquet = encoding(keys);
    let Some(node) = keys.node("file_format") else {
        if parquet {
            return Some(Format::Parquet);
        }
        keys.report.error(Kind::Missing, keys.path_of("file_format"), "is missing", FORMAT_ADVICE);
        return None;
    };
    let file_format = node.mapping()?;
    let processor = file_format.required("type", &format!("one of {}", SUPPORTED.join(", ")));
    let empty = serde_json::Value::Object(serde_json::Map::new());
    let config = match file_format.node("config") {
        Some(node) => node.mapping(),
        None => {
            let path = file_format.path_of("config");
            crate::config::node::Node::new(path, &empty, file_format.report).mapping()
        }
    };
    let format = by_processor(&processor?, &file_format, config?);
    file_format.finish();
    // A processor says what to make of a text, and Parquet is none.
    if parquet { format.and(Some(Format::Parquet)) } else { format }
}

fn by_processor(processor: &str, file_format: &Mapping<'_>, config: Mapping<'_>) -> Option<Format> {
    let format = match processor {
        "line_split_processor" => lines(&config),
        "parquet_processor" => Format::Parquet,
        "split_or_unseparated_processor" => Format::Detect,
        "unseparated_json_processor" => json(&config),
        other => {
            unknown_processor(other, file_format);
            return None;
        }
    };
    config.finish();
    Some(format)
}

fn lines(config: &Mapping<'_>) -> Format {
    // Records are not parsed unless a field is asked for, so there is nothing to switch.
    config.boolean("json", false);
    unsupported_if_set(config, &["chunks", "indices", "substrings", "regex"]);
    let header_lines = config.integer("header_lines", 0..=i64::from(limits::HEADER_LINES_MAX), 0);
    Format::Lines { header_lines: u32::try_from(header_lines).unwrap_or(0) }
}

fn json(config: &Mapping<'_>) -> Format {
    unsupported_if_set(config, &["include", "rename", "flat"]);
    Format::Json { path: config.node("key").and_then(|node| fields::path(&node)).unwrap_or_default() }
}

fn unsupported_if_set(config: &Mapping<'_>, keys: &[&'static str]) {
    for key in keys {
        if config.node(key).is_some_and(|node| !means_off(node.value)) {
            let path = config.path_of(key);
            let advice = "leave it out; the records are then sent unchanged and whole";
            config.report.error(Kind::Unsupported, path, "is not supported yet by this version", advice);
        }
    }
}

fn means_off(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::Bool(on) => !on,
        Value::String(text) => text.is_empty() || text.eq_ignore_ascii_case("false"),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Null => true,
        Value::Number(_) => false,
    }
}

fn unknown_processor(name: &str, file_format: &Mapping<'_>) {
    let path = file_format.path_of("type");
    if LATER.contains(&name) {
        let message = format!("{name} is not supported yet by this version");
        let advice = format!("supported: {}", SUPPORTED.join(", "));
        file_format.report.error(Kind::Unsupported, path, message, advice);
    } else {
        let known: Vec<&str> = SUPPORTED.iter().chain(LATER).copied().collect();
        let message = format!("{name:?} is not a known processor");
        file_format.report.error(Kind::Invalid, path, message, suggestion(name, &known));
    }
}

/// Is it Parquet?
fn encoding(keys: &Mapping<'_>) -> bool {
    let Some(encoding) = keys.string("encoding") else { return false };
    let path = keys.path_of("encoding");
    match encoding.as_str() {
        "gzip" | "none" => (),
        "latin-1" => keys.report.warning(
            Kind::Doubtful,
            path,
            "latin-1 text is sent byte by byte, as it is in the object",
            "the receiving side must expect latin-1",
        ),
        "parquet" => return true,
        other => {
            let message = format!("{other:?} is not a known encoding");
            let advice = suggestion(other, &["gzip", "none", "latin-1", "parquet"]);
            keys.report.error(Kind::Invalid, path, message, advice);
        }
    }
    false
}
