//! The configuration's JSON Schema (draft 7), with which editors complete keys, explain them, and mark errors. It is
//! generated from the lists that the documentation prints and the tests compare with the readers. It accepts everything
//! that `check` accepts; `check` knows more and may still refuse a file.

use serde_json::{Map, Value, json};

use super::aws::rows::{self, ANY_NAME};
use super::endpoints;
use super::ignored::{self, Ignored};
use super::keys::{Key, NEEDED, NONE, SECTIONS, Section, required};
use super::registry;
use super::service_keys::{self, OPERATORS, PROCESSORS};
use crate::settings::Service;

const SERVICE: &str = "inputs.sqs_collector.services.NAME";
const AWS_SERVICE: &str = "inputs.aws.services.NAME";
const OUTPUT_CONFIG: &str = "outputs.NAME.config";
/// Matches an environment variable, which can replace any value.
const VARIABLE: &str = r"\$\{";

/// The whole schema.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    for section in SECTIONS.iter().filter(|section| !section.place.is_empty()) {
        definitions.insert(section.place.to_owned(), mapping(section, section.place));
    }
    for section in service_keys::SECTIONS {
        let place = format!("{SERVICE}.{}", section.place);
        definitions.insert(place.clone(), mapping(section, &place));
    }
    definitions.insert("operation".to_owned(), operation());
    for (name, keys) in PROCESSORS {
        definitions.insert((*name).to_owned(), closed(properties(keys, SERVICE), Map::new(), &[]));
    }
    let Value::Object(mut root) = mapping(&SECTIONS[0], "") else { return Value::Null };
    root.insert("type".to_owned(), json!("object"));
    root.shift_insert(0, "$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    root.shift_insert(1, "title".to_owned(), json!("Configuration of aws-to-devo"));
    root.insert("definitions".to_owned(), definitions.into());
    root.into()
}

/// The schema of a mapping with known keys, at `place`.
fn mapping(section: &Section, place: &str) -> Value {
    let mut known = properties(section.keys, place);
    for (key, why) in ignored_at(place) {
        let text = format!("Has no effect here: {why}.");
        known.entry(key).or_insert_with(|| json!({"description": text, "deprecated": true}));
    }
    let required = required(section.keys);
    let mut schema = match place {
        // The console has no address.
        OUTPUT_CONFIG => closed(known, Map::new(), &[]),
        "inputs.aws" => {
            let keys: Vec<&str> = Service::OF_INPUTS.into_iter().map(endpoints::key).collect();
            closed(known, patterns(&format!("^({})$", keys.join("|")), text()), &required)
        }
        AWS_SERVICE => closed(known, patterns("sqs_queue_name$", text()), &required),
        _ if place.ends_with(".file_format") => {
            let Value::Object(mut format) = closed(known, Map::new(), &required) else { return Value::Null };
            format.insert("allOf".to_owned(), per_processor());
            format.into()
        }
        _ => closed(known, Map::new(), &required),
    };
    if !section.about.is_empty() {
        schema["description"] = json!(section.about);
    }
    schema
}

fn properties(keys: &[Key], place: &str) -> Map<String, Value> {
    let property = |(key, kind, default, about): &Key| {
        let mut schema = value(key, kind, place);
        let default = match *default {
            NONE => String::new(),
            NEEDED => "Required.".to_owned(),
            default => format!("Default: {default}."),
        };
        let words = [format!("{about}."), format!("Type: {kind}."), default];
        let words: Vec<String> =
            words.into_iter().filter(|words| !matches!(words.as_str(), "" | ".")).collect();
        schema["description"] = json!(words.join("\n"));
        ((*key).to_owned(), schema)
    };
    keys.iter().map(property).collect()
}

/// Allows only these keys, except in a part that is not enabled.
fn closed(known: Map<String, Value>, patterns: Map<String, Value>, required: &[&str]) -> Value {
    let may_be_off = known.contains_key("enabled");
    let mut schema = json!({"type": ["object", "null"], "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema["properties"] = known.into();
    if !patterns.is_empty() {
        schema["patternProperties"] = patterns.into();
    }
    if !may_be_off {
        return schema;
    }
    let off = json!({"enum": [false, "false", "no", "off"]});
    json!({
        "if": {"type": "object", "properties": {"enabled": off}, "required": ["enabled"]},
        "else": schema,
    })
}

/// The schema of a key's value, from the words of its documentation.
fn value(key: &str, kind: &str, place: &str) -> Value {
    let below = if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") };
    match (key, kind) {
        ("inputs", _) => all_of(inputs()),
        ("outputs", _) => all_of(names(reference("outputs.NAME"))),
        ("services", _) => all_of(services(place)),
        ("credentials", _) if place == "globals.persistence.config" => {
            all_of(reference("inputs.sqs_collector.credentials"))
        }
        ("others", _) => all_of(reference(&format!("{SERVICE}.others"))),
        ("operations", _) => all_of(list(reference("operation"))),
        ("file_field_definitions", _) => all_of(names(list(reference("operation")))),
        ("event_type_processor_mapping", _) => all_of(names(event_type())),
        (_, "mapping") if is_section(&below) => all_of(reference(&below)),
        (_, "mapping") if is_section(&format!("{below}.NAME")) => {
            all_of(names(reference(&format!("{below}.NAME"))))
        }
        (_, "mapping") if kind_is_free(key) => json!({"type": ["object", "null"]}),
        (_, "mapping" | "names") => all_of(names(text())),
        (_, "list of lists") => all_of(list(list(reference(&format!("{below}[][]"))))),
        (_, "list") if is_section(&format!("{below}[]")) => all_of(list(reference(&format!("{below}[]")))),
        (_, "list of texts or JSON") => json!({"type": ["array", "null"]}),
        (_, "list of expectations") => all_of(list(expectation())),
        (_, "list of paths") => all_of(list(one_or_list())),
        (_, "text or list") => all_of(one_or_list()),
        (_, kind) if kind.starts_with("list") => all_of(list(text())),
        (_, "true, false") => boolean(),
        (_, "processor") => json!({"enum": PROCESSORS.iter().map(|(name, _)| name).collect::<Vec<_>>()}),
        (_, kind) if kind.starts_with('`') => words(kind),
        (_, kind) => range(kind).unwrap_or_else(text),
    }
}

/// The schema of a mapping whose keys depend on the processor.
fn kind_is_free(key: &str) -> bool {
    key == "config"
}

/// Wraps a reference, since draft 7 allows nothing beside it.
fn all_of(schema: Value) -> Value {
    json!({ "allOf": [schema] })
}

fn reference(place: &str) -> Value {
    // A URL cannot contain brackets and spaces.
    json!({"$ref": format!("#/definitions/{}", place.replace('[', "%5B").replace(']', "%5D"))})
}

fn is_section(place: &str) -> bool {
    let of_service = |below: &str| service_keys::SECTIONS.iter().any(|section| section.place == below);
    SECTIONS.iter().any(|section| section.place == place)
        || place.strip_prefix(SERVICE).and_then(|below| below.strip_prefix('.')).is_some_and(of_service)
}

fn list(items: Value) -> Value {
    json!({"type": ["array", "null"], "items": items})
}

/// The schema of a mapping with user-chosen keys.
fn names(values: Value) -> Value {
    json!({"type": ["object", "null"], "additionalProperties": values})
}

fn patterns(pattern: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(pattern.to_owned(), value)])
}

fn text() -> Value {
    json!({"type": ["string", "number", "boolean", "null"]})
}

fn one_or_list() -> Value {
    json!({"type": ["string", "number", "boolean", "null", "array"], "items": text()})
}

fn boolean() -> Value {
    let spelled =
        format!("^\\s*({})?\\s*$|{VARIABLE}", any_case(&["true", "false", "yes", "no", "on", "off"]));
    json!({"anyOf": [{"type": ["boolean", "null"]}, {"type": "string", "pattern": spelled}]})
}

/// `1 to 64`, `seconds, 0 to 20`, `from 1`: a whole number, or the same as text.
fn range(kind: &str) -> Option<Value> {
    let kind = kind.strip_prefix("seconds, ").unwrap_or(kind);
    let number = |text: &str| text.parse::<i64>().ok();
    let mut integer = json!({"type": ["integer", "null"]});
    if let Some((least, most)) = kind.split_once(" to ") {
        integer["minimum"] = json!(number(least)?);
        integer["maximum"] = json!(number(most)?);
    } else {
        integer["minimum"] = json!(number(kind.strip_prefix("from ")?)?);
    }
    let spelled = format!("^\\s*([+-]?[0-9]+)?\\s*$|{VARIABLE}");
    Some(json!({"anyOf": [integer, {"type": "string", "pattern": spelled}]}))
}

/// The words in backticks; a reader may accept them in any case.
fn words(kind: &str) -> Value {
    let words: Vec<&str> = kind.split('`').skip(1).step_by(2).collect();
    let spelled = format!("^\\s*({})?\\s*$|{VARIABLE}", any_case(&words));
    let mut choice =
        vec![json!({"enum": words}), json!({"type": "string", "pattern": spelled}), json!({"type": "null"})];
    if words.contains(&"none") {
        let off = format!("^\\s*({})?\\s*$", any_case(&["0", "0.0", "false", "no", "null", "off"]));
        choice.push(json!({"enum": [false, 0]}));
        choice.push(json!({"type": "string", "pattern": off}));
    }
    json!({ "anyOf": choice })
}

/// A pattern for any of the words, in any case. JSON Schema's regular expressions have no flag for that.
fn any_case(words: &[&str]) -> String {
    let letter = |c: char| match c {
        c if c.is_ascii_alphabetic() => format!("[{}{}]", c.to_ascii_lowercase(), c.to_ascii_uppercase()),
        '.' => r"\.".to_owned(),
        c => c.to_string(),
    };
    let words: Vec<String> = words.iter().map(|word| word.chars().map(letter).collect()).collect();
    words.join("|")
}

fn inputs() -> Value {
    let mut inputs = json!({"type": ["object", "null"], "additionalProperties": false});
    inputs["patternProperties"] = json!({
        "^sqs_collector": reference("inputs.sqs_collector"),
        "^aws": reference("inputs.aws"),
    });
    // Editors complete these.
    inputs["properties"] = json!({"sqs_collector": {}, "aws": {}});
    inputs
}

fn services(place: &str) -> Value {
    let of_queue = place == "inputs.sqs_collector";
    let service = reference(if of_queue { SERVICE } else { AWS_SERVICE });
    let mut known = Map::new();
    if of_queue {
        for row in registry::rows() {
            let about = format!("{}\nDevo table: {}", row.reads, row.table);
            known.insert(row.name.clone(), json!({"description": about, "allOf": [service]}));
        }
    } else {
        for row in rows::rows().iter().filter(|row| row.service != ANY_NAME) {
            let about = format!("{}\nDevo table: {}", row.reads, row.tables().join(", "));
            known.entry(&row.service).or_insert_with(|| json!({"description": about, "allOf": [service]}));
        }
    }
    let names: Vec<String> = known.keys().cloned().collect();
    let mut services =
        json!({"type": ["object", "null"], "properties": known, "additionalProperties": service});
    if of_queue {
        // Users may choose other names.
        services["propertyNames"] = json!({"anyOf": [{"enum": names}, {"not": {"pattern": "^aws_sqs_"}}]});
    }
    services
}

fn event_type() -> Value {
    let ignored = ignored::EVENT_TYPE.iter();
    let mut known: Map<String, Value> = ignored
        .map(|(key, why)| ((*key).to_owned(), json!({"description": why, "deprecated": true})))
        .collect();
    known.insert("tagging".to_owned(), text());
    json!({"anyOf": [text(), closed(known, Map::new(), &["tagging"])]})
}

fn expectation() -> Value {
    let known = Map::from_iter([("table".to_owned(), text()), ("body".to_owned(), json!({}))]);
    json!({"anyOf": [{"const": "dropped"}, closed(known, Map::new(), &["table"])]})
}

/// The keys of an operation depend on its operator.
fn operation() -> Value {
    let all = OPERATORS.iter().flat_map(|(_, keys)| properties(keys, SERVICE));
    // The same key may have another meaning elsewhere.
    let mut known: Map<String, Value> = all.map(|(key, _)| (key, json!({}))).collect();
    let names: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
    known.insert("operator".to_owned(), json!({"enum": names, "description": "The operation. Required."}));
    let mut operation = closed(known, Map::new(), &["operator"]);
    let of_operator = OPERATORS.iter().map(|(name, keys)| {
        let mut own = properties(keys, SERVICE);
        own.insert("operator".to_owned(), json!({}));
        let then = closed(own, Map::new(), &required(keys));
        json!({"if": {"properties": {"operator": {"const": name}}}, "then": then})
    });
    operation["allOf"] = of_operator.collect();
    operation
}

/// The keys of a `file_format.config`.
fn per_processor() -> Value {
    let of_processor = PROCESSORS.iter().map(|(name, _)| {
        json!({"if": {"properties": {"type": {"const": name}}}, "then": {"properties": {"config": reference(name)}}})
    });
    of_processor.collect()
}

/// The vendor's keys that change nothing at a place.
fn ignored_at(place: &str) -> Vec<Ignored> {
    let lists: &[&[Ignored]] = match place {
        "globals" | "global_overrides" => &[ignored::GLOBALS],
        OUTPUT_CONFIG => &[ignored::OUTPUT],
        "inputs.sqs_collector" | "inputs.aws" => &[ignored::INPUT],
        SERVICE => &[ignored::SERVICE],
        AWS_SERVICE => &[ignored::AWS_SERVICE, ignored::QUEUE_SERVICE, ignored::BODIES_SERVICE],
        _ => &[],
    };
    lists.concat()
}
