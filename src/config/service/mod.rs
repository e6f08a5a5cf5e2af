//! A service's keys -> [`Definition`], with the same reader for the registry's rows and the user's services.

mod fields;
mod filters;
mod format;
mod operations;
mod others;
mod pattern;
pub(super) mod processors;
pub(super) mod signs;
mod text;
pub mod trials;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::duration;
use super::ignored;
use super::kind::Kind;
use super::node::{Mapping, Node};
use super::problem::{Report, closest, closest_service};
use super::registry::Catalog;
use crate::services::tables::{self, Known};
use crate::services::template::Template;
use crate::services::{Case, Definition};
use fields::Fields;

pub use crate::config::service::pattern::pattern;

/// Mappings whose entries are overridden one by one, so that the row's template keeps its fields.
const MERGED_BY_NAME: &[&str] = &["file_field_definitions", "record_field_mapping"];

/// The keys that delegates inherit from a service. The rest is their own: how their objects are read, and where the
/// records go.
const INHERITED: &[&str] =
    &["file_field_definitions", "record_field_mapping", "line_filter_rules", "send_filtered_out_to_unknown"];

/// True if an entry of `services` should be read. Anything except a mapping is, so that it is reported.
pub fn is_enabled(node: &Node<'_>) -> bool {
    !node.value.is_object() || node.mapping().is_none_or(|keys| keys.boolean("enabled", true))
}

/// Reads one entry of `services`. None if it has problems. `region` is the queue's.
pub fn read(name: &str, node: &Node<'_>, region: &str, catalog: &Catalog) -> Option<Arc<Definition>> {
    let mut own = match node.value {
        Value::Null => Map::new(),
        Value::Object(own) => own.clone(),
        _ => return node.mapping().and(None),
    };
    if own.shift_remove(TESTS).is_some()
        && let Some(tests) = node.mapping().and_then(|keys| keys.node(TESTS))
    {
        trials::read(&tests);
    }
    fill_in_region(&mut own, region);
    let definition = match catalog.row(name) {
        Some(row) if own.is_empty() => return Some(Arc::clone(&row.definition)),
        Some(row) => read_merged(name, node, merged(&row.keys, &own), catalog),
        // Reported where it is defined.
        None if catalog.is_refused(name) => None,
        None if is_users(name, node, catalog) => read_merged(name, node, own, catalog),
        None => None,
    }?;
    warn_of_tables(&definition, &node.path, node.report);
    Some(definition)
}

/// The key of tests.
pub const TESTS: &str = "tests";

/// Replaces the queue's region in a template.
const REGION: &str = "[input-region]";

fn fill_in_region(own: &mut Map<String, Value>, region: &str) {
    let fill = |template: Option<&mut Value>| {
        if let Some(Value::String(text)) = template {
            *text = text.replace(REGION, region);
        }
    };
    fill(own.get_mut("routing_template"));
    let cases = own.get_mut("routing_cases").and_then(Value::as_array_mut);
    cases.into_iter().flatten().for_each(|case| fill(case.get_mut("template")));
}

/// Reads a definition from a service's keys and the row's together.
pub(super) fn definition(name: &str, keys: &Mapping<'_>, catalog: &Catalog) -> Option<Definition> {
    let mut fields = Fields::read(keys);
    let (format, known_by) = (format::read(keys), signs::read(keys));
    let skip_objects = filters::file_rules(&filters::alternatives(keys, "filename_filter_rules"));
    let drop_records = filters::line_rules(&filters::alternatives(keys, "line_filter_rules"), &mut fields);
    let cases: Vec<Option<Case>> =
        keys.list("routing_cases").iter().map(|node| case(node, &mut fields)).collect();
    let template = keys
        .required("routing_template", "write the Devo tag of the records, such as \"my.app.source.type\"")
        .and_then(|text| template(&text, &keys.node("routing_template")?, &fields));
    let object_keys = keys.node("object_keys").map(|node| pattern(&node));
    let delegates = delegates(keys, catalog);
    const DAY: Duration = Duration::from_secs(86_400);
    let quiet_after = duration::read(keys, "quiet_after", Duration::from_secs(60)..=90 * DAY);
    let send_dropped_to_unknown = keys.boolean("send_filtered_out_to_unknown", false);
    let format = match known_by {
        Some(known_by) => signs::told_apart(format?, known_by),
        None => format?,
    };
    Some(Definition {
        name: name.to_owned(),
        object_keys: object_keys.flatten(),
        format_name: format.name(),
        format,
        skip_objects,
        file_fields: fields.file,
        record_fields: fields.record,
        drop_records,
        send_dropped_to_unknown,
        cases: cases.into_iter().flatten().collect(),
        template: template?,
        delegates,
        quiet_after,
    })
}

/// The services that are tried first, with the inherited keys.
fn delegates(keys: &Mapping<'_>, catalog: &Catalog) -> Vec<Arc<Definition>> {
    let mut inherited = keys.to_map();
    inherited.retain(|key, _| INHERITED.contains(&key.as_str()));
    let delegate = |node: &Node<'_>| {
        let name = node.text()?;
        let Some(row) = catalog.row(&name) else {
            let names: Vec<&str> = catalog.rows().iter().map(|row| row.name.as_str()).collect();
            let advice = closest_service(&name, &names).map(|meant| format!("did you mean {meant:?}?"));
            node.error(Kind::Invalid, format!("{name:?} is not a service above"), advice.unwrap_or_default());
            return None;
        };
        read_merged(&name, node, merged(&row.keys, &inherited), catalog)
    };
    keys.list("delegates").iter().filter_map(delegate).collect()
}

/// Reads a definition from keys written elsewhere than at the node, each layer overriding the one before.
pub(super) fn read_layers(
    name: &str,
    at: &Node<'_>,
    layers: &[&Map<String, Value>],
    catalog: &Catalog,
) -> Option<Arc<Definition>> {
    let keys = layers.iter().fold(Map::new(), |below, layer| merged(&below, layer));
    read_merged(name, at, keys, catalog)
}

fn read_merged(
    name: &str,
    at: &Node<'_>,
    keys: Map<String, Value>,
    catalog: &Catalog,
) -> Option<Arc<Definition>> {
    let value = Value::Object(keys);
    let keys = Node::new(at.path.as_str(), &value, at.report).mapping()?;
    keys.node("enabled");
    keys.ignore(ignored::SERVICE);
    let definition = definition(name, &keys, catalog);
    keys.finish();
    definition.map(Arc::new)
}

/// Warns of tags whose table Devo does not know.
pub(super) fn warn_of_tables(definition: &Definition, path: &str, report: &Report) {
    let of_cases = definition.cases.iter().enumerate();
    let of_cases = of_cases.map(|(i, case)| (format!("routing_cases[{i}].template"), &case.template));
    for (key, template) in
        std::iter::once(("routing_template".to_owned(), &definition.template)).chain(of_cases)
    {
        warn_of_table(&template.to_string(), &format!("{path}.{key}"), report);
    }
}

/// Warns of one template at its path.
pub(super) fn warn_of_table(template: &str, path: &str, report: &Report) {
    let Known::No(meant) = tables::judge(template) else { return };
    let advice = match meant {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => "look the table up in Devo: a tag without a table is hard to find there; your own tables are below my.app".to_owned(),
    };
    report.warning(Kind::Doubtful, path, format!("{template} is not a known Devo table"), advice);
}

/// The row's keys, each replaced by the user's if present.
fn merged(row: &Map<String, Value>, overrides: &Map<String, Value>) -> Map<String, Value> {
    let mut keys = row.clone();
    if overrides.contains_key("routing_template") {
        // A user with their own template wants all records there.
        keys.shift_remove("routing_cases");
    }
    if overrides.contains_key("file_format") {
        // A user who defines the objects' format knows whose log it is.
        keys.shift_remove("known_by");
    }
    for (key, value) in overrides {
        match (keys.get_mut(key), value) {
            (Some(Value::Object(old)), Value::Object(new)) if MERGED_BY_NAME.contains(&key.as_str()) => {
                old.extend(new.clone());
            }
            _ => {
                keys.insert(key.clone(), value.clone());
            }
        }
    }
    keys
}

/// The keys without which a service of the user's own is none.
const OWN: [&str; 2] = ["file_format", "routing_template"];

/// True if a name without a row may be defined by the user. Reports it otherwise.
fn is_users(name: &str, node: &Node<'_>, catalog: &Catalog) -> bool {
    let names: Vec<&str> = catalog.rows().iter().map(|row| row.name.as_str()).collect();
    let is_defined = OWN.iter().any(|key| node.value.get(key).is_some());
    let may_be_own = !name.starts_with("aws_sqs_")
        && (name.starts_with("custom_") || closest(name, names.iter().copied()).is_none());
    let users = may_be_own && (is_defined || name.starts_with("custom_"));
    if !users {
        let meant = match closest_service(name, &names) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => "the command services lists all.".to_owned(),
        };
        let [format, template] = OWN;
        let advice =
            format!("{meant} A service of your own is named custom_…, and needs {format} and {template}");
        let kind = if may_be_own { Kind::Missing } else { Kind::UnknownKey };
        node.error(kind, "is not a known service", advice);
    }
    users
}

fn case(node: &Node<'_>, fields: &mut Fields) -> Option<Case> {
    let keys = node.mapping()?;
    let when = filters::line_rules(&filters::alternatives(&keys, "when"), fields);
    let text = keys.required("template", "write the Devo tag of these records");
    let template = text.and_then(|text| template(&text, &keys.node("template")?, fields));
    if when.is_empty() {
        node.error(Kind::Missing, "has no conditions", "write them under \"when\", as in line_filter_rules");
    }
    keys.finish();
    Some(Case { when, template: template? })
}

fn template(text: &str, node: &Node<'_>, fields: &Fields) -> Option<Template> {
    let parsed = Template::parse(text, &fields.file, &fields.record);
    if parsed.is_err() {
        for error in Template::faults(text, &fields.file, &fields.record) {
            node.error(Kind::Invalid, error.to_string(), "");
        }
    }
    parsed.ok()
}
