//! The documented keys are those that the readers ask for.

use std::collections::BTreeSet;

use super::*;
use crate::config::keys::SECTIONS;
use crate::config::node::asked;

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
    // `SERVICE_endpoint_url` stands for all of them; how a service of the AWS collector reads is the program's own.
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

/// The section that tells of a mapping; None: another page does.
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
