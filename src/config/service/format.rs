//! The keys `file_format` and `encoding`: the content of an object.

use super::processors;
use crate::config::kind::Kind;
use crate::config::node::{Mapping, Node};
use crate::config::problem::suggestion;
use crate::decode::Format;

const FORMAT_ADVICE: &str =
    "write \"file_format\": {\"type\": \"split_or_unseparated_processor\", \"config\": {}}";

/// The text encoding; the compression is detected from the bytes.
enum Encoding {
    Utf8,
    Latin1,
    /// It is "none": the processor has nothing to do.
    Parquet,
}

/// Reads both keys.
pub fn read(keys: &Mapping<'_>) -> Option<Format> {
    let encoding = encoding(keys);
    let Some(node) = keys.node("file_format") else {
        if let Some(Encoding::Parquet) = encoding {
            return Some(Format::Parquet);
        }
        keys.report.error(Kind::Missing, keys.path_of("file_format"), "is missing", FORMAT_ADVICE);
        return None;
    };
    let file_format = node.mapping()?;
    let processor = file_format.required("type", &format!("one of {}", processors::SUPPORTED.join(", ")));
    let empty = serde_json::Value::Object(serde_json::Map::new());
    let config = match file_format.node("config") {
        Some(node) => node.mapping(),
        None => Node::new(file_format.path_of("config"), &empty, file_format.report).mapping(),
    };
    let format = processors::read(&processor?, &file_format, config?);
    file_format.finish();
    match encoding? {
        Encoding::Utf8 => format,
        Encoding::Parquet => format.and(Some(Format::Parquet)),
        Encoding::Latin1 => format.map(|format| Format::Latin1(Box::new(format))),
    }
}

fn encoding(keys: &Mapping<'_>) -> Option<Encoding> {
    let Some(encoding) = keys.string("encoding") else { return Some(Encoding::Utf8) };
    let path = keys.path_of("encoding");
    match encoding.as_str() {
        "gzip" | "none" => return Some(Encoding::Utf8),
        "latin-1" => return Some(Encoding::Latin1),
        "parquet" => return Some(Encoding::Parquet),
        other => {
            let message = format!("{other:?} is not a known encoding");
            let advice = suggestion(other, &["gzip", "none", "latin-1", "parquet"]);
            keys.report.error(Kind::Invalid, path, message, advice);
        }
    }
    None
}
