//! The keys `file_format.type` and `file_format.config`: a processor and its keys.
//!
//! Each processor reads all its keys; the rest is reported as unknown.

use std::sync::Arc;

use serde_json::Value;

use super::pattern::pattern;
use super::text::text;
use super::{fields, others};
use crate::config::kind::Kind;
use crate::config::node::{Mapping, Node};
use crate::config::numbers;
use crate::config::problem::suggestion;
use crate::decode::select::Selection;
use crate::decode::{EventBody, Format, HeaderNames, Pattern, Shape};

mod text_file;

/// The vendor's processors, and five more.
pub const SUPPORTED: &[&str] = &[
    "aws_access_logs_processor",
    "cloudwatch_processor",
    "csv_processor",
    "guardduty_processor",
    "incapsula_processor",
    "json_array_processor",
    "json_line_arrays_processor",
    "json_object_to_linesplit_processor",
    "kinesis_processor",
    "line_split_processor",
    "parquet_processor",
    "separated_json_processor",
    "single_json_object_processor",
    "snappy_blocks_processor",
    "split_or_unseparated_processor",
    "text_file_processor",
    "unseparated_json_processor",
    "unseparated_json_processor_extract_key",
];

/// The vendor's processors that are not supported: only their names are public.
const UNSUPPORTED: &[&str] = &["bluecoat_processor", "jamf_processor"];

/// Reads a processor's keys.
pub fn read(name: &str, file_format: &Mapping<'_>, config: Mapping<'_>) -> Option<Format> {
    let format = match name {
        "aws_access_logs_processor" => Some(Format::Lines { header_lines: 0 }),
        "cloudwatch_processor" => cloudwatch(&config),
        "csv_processor" => csv(&config),
        "guardduty_processor" => Some(Format::Envelopes { detail: vec!["detail".to_owned()] }),
        "incapsula_processor" => Some(Format::Incapsula),
        "json_array_processor" => Some(Format::Json { path: Vec::new() }),
        "json_line_arrays_processor" => Some(Format::JsonArrayLines),
        "json_object_to_linesplit_processor" => values(&config),
        "kinesis_processor" => kinesis(&config),
        "line_split_processor" => lines(&config),
        "parquet_processor" => Some(Format::Parquet),
        "separated_json_processor" => separated_json(&config),
        "single_json_object_processor" => path(&config, "key").map(|path| Format::WholeJson { path }),
        "snappy_blocks_processor" => Some(Format::SnappyBlocks),
        "split_or_unseparated_processor" => Some(Format::Detect),
        "text_file_processor" => text_file::read(&config),
        "unseparated_json_processor" => json(&config),
        "unseparated_json_processor_extract_key" => extracted(&config),
        other => {
            unknown_processor(other, file_format);
            return None;
        }
    };
    let reads_documents = format.as_ref().is_some_and(Format::reads_documents);
    let others = reads_documents.then(|| others::read(&config)).flatten();
    config.finish();
    match (format, others) {
        (Some(format), Some(others)) => {
            Some(Format::Or { format: Box::new(format), others: Arc::new(others) })
        }
        (format, _) => format,
    }
}

fn cloudwatch(config: &Mapping<'_>) -> Option<Format> {
    let body = match config.string("body").as_deref() {
        None | Some("event") => EventBody::Event,
        Some("message") => EventBody::Message,
        Some(other) => {
            let message = format!("{other:?} is not allowed");
            let advice = suggestion(other, &["event", "message"]);
            config.report.error(Kind::Invalid, config.path_of("body"), message, advice);
            return None;
        }
    };
    Some(Format::CloudWatch { body })
}

fn kinesis(config: &Mapping<'_>) -> Option<Format> {
    let detail = path(config, "key")?;
    let detail = if detail.is_empty() { vec!["detail".to_owned()] } else { detail };
    Some(Format::Envelopes { detail })
}

fn csv(config: &Mapping<'_>) -> Option<Format> {
    match (header_lines(config)?, header_names(config)) {
        (header_lines, None) => Some(Format::Csv { header_lines }),
        (0, Some(names)) => Some(Format::CsvWithHeaders { names }),
        (_, Some(_)) => two_kinds_of_headers(config, "header_names"),
    }
}

/// Reads the names that a header's first field may have.
fn header_names(config: &Mapping<'_>) -> Option<Arc<HeaderNames>> {
    let names: Vec<String> = config.list("header_names").iter().filter_map(text).collect();
    (!names.is_empty()).then(|| Arc::new(HeaderNames::new(&names)))
}

fn two_kinds_of_headers(config: &Mapping<'_>, key: &'static str) -> Option<Format> {
    config.report.error(
        Kind::Invalid,
        config.path_of(key),
        "cannot be combined with another key for header lines, nor with chunks",
        "keep one of header_lines, header_names, header_prefix and chunks",
    );
    None
}

fn lines(config: &Mapping<'_>) -> Option<Format> {
    let json = config.boolean("json", false);
    let header_lines = header_lines(config);
    let (names, prefix) = (header_names(config), config.string("header_prefix"));
    let (selection, or_json) = (selection(config)?, config.boolean("or_json", false));
    let format = match (header_lines?, names, prefix, selection) {
        (0, None, None, None) if json => Some(Format::JsonLines),
        (header_lines, None, None, None) => Some(Format::Lines { header_lines }),
        (header_lines, None, None, Some(selection)) => {
            Some(Format::SelectedLines { header_lines, selection: Arc::new(selection) })
        }
        (0, Some(names), None, None) => Some(Format::LinesWithHeaders { names }),
        (0, None, Some(prefix), None) => Some(Format::LinesUnder { prefix: prefix.into_bytes() }),
        (_, names, ..) => {
            two_kinds_of_headers(config, if names.is_some() { "header_names" } else { "header_prefix" })
        }
    };
    match format? {
        Format::JsonLines if or_json => {
            config.report.error(
                Kind::Invalid,
                config.path_of("or_json"),
                "cannot be used with json",
                "keep one of them",
            );
            None
        }
        text if or_json => Some(Format::OrJson(Box::new(text))),
        format => Some(format),
    }
}

/// Reads `chunks` and the three keys that it enables. The outer None means that there are problems.
fn selection(config: &Mapping<'_>) -> Option<Option<Selection>> {
    let on = config.boolean("chunks", false);
    let whole = |node: &Node<'_>| node.integer(0..=i64::MAX).and_then(|index| u64::try_from(index).ok());
    let indices: Vec<Option<u64>> = config.list("indices").iter().map(whole).collect();
    let substrings: Vec<Option<String>> = config.list("substrings").iter().map(text).collect();
    let patterns: Vec<Option<Pattern>> = config.list("regex").iter().map(pattern).collect();
    let any = !(indices.is_empty() && substrings.is_empty() && patterns.is_empty());
    match (on, any) {
        (false, false) => return Some(None),
        (true, false) => {
            let advice = "write which lines to keep: indices, substrings or regex";
            config.report.error(Kind::Missing, config.path_of("chunks"), "selects no line", advice);
            return None;
        }
        (false, true) => {
            let message = "selects lines, but chunks is off";
            let path = ["indices", "substrings", "regex"].iter().find(|key| config.has(key));
            let path = config.path_of(path.unwrap_or(&"indices"));
            config.report.error(Kind::Invalid, path, message, "set \"chunks\": true, or omit it");
            return None;
        }
        (true, true) => {}
    }
    let indices = indices.into_iter().collect::<Option<Vec<u64>>>();
    let substrings = substrings.into_iter().collect::<Option<Vec<String>>>();
    let patterns = patterns.into_iter().collect::<Option<Vec<Pattern>>>();
    match Selection::new(indices?, &substrings?, patterns?) {
        Ok(selection) => Some(Some(selection)),
        Err(error) => {
            let message = format!("the patterns cannot be combined: {error}");
            config.report.error(
                Kind::Invalid,
                config.path_of("regex"),
                message,
                "write fewer or shorter ones",
            );
            None
        }
    }
}

fn json(config: &Mapping<'_>) -> Option<Format> {
    let path = path(config, "key");
    let flat = config.boolean("flat", false);
    let (include, rename) = (names(config, "include"), names(config, "rename"));
    let shape = Shape { flat, include: include?, rename: rename? };
    let path = path?;
    if shape == Shape::default() {
        return Some(Format::Json { path });
    }
    Some(Format::ReshapedJson { path, shape: Arc::new(shape) })
}

/// Reads old names mapped to new ones.
fn names(config: &Mapping<'_>, key: &'static str) -> Option<Vec<(String, String)>> {
    let Some(node) = config.node(key) else { return Some(Vec::new()) };
    node.mapping()?.entries().map(|(old, new)| Some((old.to_owned(), text(&new)?))).collect()
}

fn extracted(config: &Mapping<'_>) -> Option<Format> {
    let keys = path(config, "key")?;
    if keys.is_empty() {
        let advice = "write the top-level keys whose values are the records, such as [\"users\", \"groups\"]";
        config.report.error(Kind::Missing, config.path_of("key"), "names no key", advice);
        return None;
    }
    Some(Format::ExtractedJson { keys })
}

fn values(config: &Mapping<'_>) -> Option<Format> {
    let (key, keys) = (path(config, "key"), path(config, "keys"));
    let mut paths: Vec<Vec<String>> = keys?.into_iter().map(|key| vec![key]).collect();
    let key = key?;
    match (key.is_empty(), paths.is_empty()) {
        (true, true) => {
            let advice = "write the key whose value has the lines, or several under keys";
            config.report.error(Kind::Missing, config.path_of("key"), "names no key", advice);
            return None;
        }
        (false, false) => {
            let advice = "write all of them under keys";
            config.report.error(Kind::Invalid, config.path_of("key"), "cannot be used with keys", advice);
            return None;
        }
        (false, true) => paths.push(key),
        (true, false) => {}
    }
    Some(Format::JsonValues { paths })
}

fn separated_json(config: &Mapping<'_>) -> Option<Format> {
    let separator = match config.node("separator") {
        Some(node) => node.text()?,
        None => String::new(),
    };
    let separator = if separator.is_empty() { "\n".to_owned() } else { separator };
    Some(Format::SeparatedJson { separator: separator.into_bytes() })
}

fn header_lines(config: &Mapping<'_>) -> Option<u32> {
    u32::try_from(config.number("header_lines", &numbers::HEADER_LINES)).ok()
}

/// Reads a key, or a path of keys; empty if it is absent. None if it has a problem.
fn path(config: &Mapping<'_>, key: &'static str) -> Option<Vec<String>> {
    let Some(node) = config.node(key) else { return Some(Vec::new()) };
    if node.value.as_str() == Some("") {
        return Some(Vec::new());
    }
    if node.value.as_array().is_some_and(|keys| keys.iter().any(Value::is_number)) {
        let advice = "write keys only: an array gives all its elements; quote a key of digits";
        node.error(Kind::Unsupported, "has an index, which is not supported here", advice);
        return None;
    }
    fields::path(&node)
}

fn unknown_processor(name: &str, file_format: &Mapping<'_>) {
    let path = file_format.path_of("type");
    if UNSUPPORTED.contains(&name) {
        let message = format!("{name} is not supported by this version");
        let advice = format!("supported: {}", SUPPORTED.join(", "));
        file_format.report.error(Kind::Unsupported, path, message, advice);
    } else {
        let known: Vec<&str> = SUPPORTED.iter().chain(UNSUPPORTED).copied().collect();
        let message = format!("{name:?} is not a known processor");
        file_format.report.error(Kind::Invalid, path, message, suggestion(name, &known));
    }
}
