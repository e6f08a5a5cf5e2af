//! The documented keys are those that the readers ask for.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::config::keys::SECTIONS;
use crate::config::node::asked;
use crate::settings::Config;

#[test]
fn every_key_is_documented_and_every_documented_key_is_read() {
    let folder = certificates(-1, 300);
    for examples in ["valid", "bad"] {
        each_example(examples, |_, text| drop(parse(&text, folder.path(), &environment())));
    }
    let read: BTreeSet<(String, &str)> =
        asked::all().into_iter().filter_map(|(path, key)| Some((place(&path)?, key))).collect();
    let keys = |section: &'static keys::Section| {
        section.keys.iter().map(|(key, ..)| (section.place.to_owned(), *key))
    };
    let documented: BTreeSet<(String, &str)> = SECTIONS.iter().flat_map(keys).collect();
    // `SERVICE_endpoint_url` stands for all of them; the program defines how a service of the AWS collector reads.
    let is_told = |(place, key): &&(String, &str)| {
        let of_service = ("inputs.sqs_collector.services.NAME".to_owned(), *key);
        (place == "inputs.aws" && key.ends_with("_endpoint_url"))
            || (place == "inputs.aws.services.NAME" && documented.contains(&of_service))
    };
    let missing: Vec<_> = read.difference(&documented).filter(|key| !is_told(key)).collect();
    assert!(missing.is_empty(), "not documented: {missing:?}");
    let gone: Vec<_> = documented.difference(&read).filter(|(place, _)| !place.is_empty()).collect();
    assert!(gone.is_empty(), "no reader asks for: {gone:?}");
}

/// Numbers with their ranges, booleans, and the defaults of both.
#[test]
fn documented_forms_and_defaults_are_those_of_the_readers() {
    let folder = certificates(-1, 300);
    for examples in ["valid", "bad"] {
        each_example(examples, |_, text| drop(parse(&text, folder.path(), &environment())));
    }
    let mut compared = BTreeSet::new();
    for (path, key, form) in asked::forms() {
        let Some((_, documented, ..)) = documented(&path, key) else { continue };
        assert!(documented.ends_with(&form), "{path}.{key}: documented as {documented:?}, read as {form:?}");
        compared.insert(key);
    }
    // Some defaults depend on the service: the most common one is documented.
    let mut defaults: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    for (path, key, default) in asked::defaults() {
        if let Some(place) = place(&path) {
            defaults.entry((place, key)).or_default().push(default);
        }
    }
    for ((place, key), read) in defaults {
        let Some((.., documented, _)) = in_section(&place, key) else { continue };
        let is_one = read.iter().any(|read| read == documented);
        assert!(is_one, "{place}.{key}: documented {documented:?}, read {read:?}");
    }
    for key in
        ["debug", "senders", "sqs_wait_timeout", "shutdown_timeout", "pull_retries", "compression_level"]
    {
        assert!(compared.contains(key), "no example has brought the readers to {key}");
    }
}

/// Those that no reader gives as a number or a boolean.
#[test]
fn documented_defaults_are_those_of_an_empty_file() {
    let text = "{inputs: {sqs_collector: {id: 7, base_url: 'https://sqs.us-west-1.amazonaws.com/111111111111/q', \
                services: {aws_sqs_vpc: {}}}}, outputs: {c: {type: console}}}";
    let Config { globals, .. } = parse(text, Path::new("/"), &environment()).unwrap().config;
    let default = |path: &str, key: &str| documented(path, key).unwrap().2;
    let seconds = globals.shutdown_timeout.as_secs().to_string();
    assert_eq!(default("globals", "shutdown_timeout"), seconds);
    assert_eq!(default("globals", "fetchers"), "4 per core, at least 8");
    assert_eq!(globals.fetchers, (4 * environment().cores).max(8));
    assert_eq!(default("globals", "workers"), "the machine's cores");
    assert_eq!(globals.workers, environment().cores);
    let folder = globals.state_directory.file_name().unwrap().to_str().unwrap();
    assert_eq!(default("globals.persistence.config", "directory_name"), format!("`{folder}`"));
    assert_eq!(default("globals.status", "address"), globals.status.unwrap().address.ip().to_string());
}

/// Key, form, default and meaning, as documented.
fn documented(path: &str, key: &str) -> Option<&'static keys::Key> {
    in_section(&place(path)?, key)
}

fn in_section(place: &str, key: &str) -> Option<&'static keys::Key> {
    let section = SECTIONS.iter().find(|section| section.place == place)?;
    section.keys.iter().find(|(name, ..)| *name == key)
}

/// The section about a mapping; None: another page has it.
fn place(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('.').collect();
    match parts.first().copied() {
        Some("outputs") if parts.len() > 1 => parts[1] = "NAME",
        Some("inputs") if parts.len() > 1 => {
            parts[1] = if parts[1].starts_with("aws") { "aws" } else { "sqs_collector" };
            if let Some(name) = parts.get_mut(3) {
                *name = "NAME";
            }
        }
        _ => {}
    }
    let place = parts.join(".");
    SECTIONS.iter().any(|section| section.place == place).then_some(place)
}
