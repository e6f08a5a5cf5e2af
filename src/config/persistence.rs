//! `globals.persistence`: the ledger's folder, and the table that several hosts share.

use std::path::{Path, PathBuf};

use super::context::Context;
use super::kind::Kind;
use super::node::Mapping;
use super::problem::suggestion;
use super::{credentials, endpoints, url};
use crate::settings::{Globals, Service, SharedTable};

const TYPES: [&str; 2] = ["filesystem", "dynamodb"];

/// Reads the mapping, if it is there.
pub(super) fn read(globals: &mut Globals, keys: &Mapping<'_>, context: &Context<'_>) {
    let Some(keys) = keys.mapping("persistence") else { return };
    let kind = keys.string("type").unwrap_or_else(|| TYPES[0].to_owned());
    let config = keys.mapping("config");
    let names_table = config.as_ref().is_some_and(|config| config.is_written("table"));
    let is_shared = kind == TYPES[1] || names_table;
    if names_table && kind != TYPES[1] {
        let message = format!("{kind:?} has no table, but \"config\" names one");
        keys.report.error(Kind::Invalid, keys.path_of("type"), message, "write \"type\": \"dynamodb\"");
    } else if !TYPES.contains(&kind.as_str()) {
        let message = format!("{kind:?} is not supported");
        keys.report.error(Kind::Invalid, keys.path_of("type"), message, suggestion(&kind, &TYPES));
    }
    globals.state_required = keys.boolean("required", true);
    if let Some(config) = config {
        if let Some(directory) = config.string("directory_name") {
            if let Some(kernels) =
                ["/proc", "/sys"].into_iter().find(|top| Path::new(&directory).starts_with(top))
            {
                let message = format!("is in {kernels}, where the kernel keeps no files of others");
                let advice = "name a folder on a disk, such as /var/lib/aws-to-devo";
                config.report.error(Kind::Invalid, config.path_of("directory_name"), message, advice);
            }
            globals.state_directory = PathBuf::from(directory);
        }
        if is_shared {
            globals.shared = table(&config, context);
        }
        config.finish();
    } else if is_shared {
        missing(&keys, "config", "write \"config\": {\"table\": NAME, \"region\": REGION}");
    }
    keys.finish();
}

fn table(keys: &Mapping<'_>, context: &Context<'_>) -> Option<SharedTable> {
    let credentials = credentials::read(keys, context);
    let endpoints = endpoints::read(keys, context, &Service::OF_TABLE, &credentials);
    let (name, region) = (name(keys), region(keys));
    let claims = keys.boolean("claims", true);
    let region = region?;
    endpoints::check_region(&endpoints, &region, keys);
    Some(SharedTable { name: name?, region, claims, credentials, endpoints })
}

fn name(keys: &Mapping<'_>) -> Option<String> {
    let Some(name) = keys.string("table") else {
        missing(
            keys,
            "table",
            "write the name of the DynamoDB table: `aws-to-devo cloudformation` makes one",
        );
        return None;
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    if (3..=255).contains(&name.len()) && name.bytes().all(allowed) {
        return Some(name);
    }
    let advice = "write its name, not its ARN: 3 to 255 letters, digits, _, . and -";
    keys.report.error(
        Kind::Invalid,
        keys.path_of("table"),
        format!("{name:?} is not the name of a table"),
        advice,
    );
    None
}

fn region(keys: &Mapping<'_>) -> Option<String> {
    let Some(region) = keys.string("region") else {
        missing(keys, "region", "write the table's region, such as us-east-1");
        return None;
    };
    if url::is_region(&region) {
        return Some(region);
    }
    let message = format!("{region:?} does not look like a region");
    keys.report.error(Kind::Invalid, keys.path_of("region"), message, "regions look like us-west-1");
    None
}

fn missing(keys: &Mapping<'_>, key: &'static str, advice: &str) {
    keys.report.error(Kind::Missing, keys.path_of(key), "is missing", advice);
}
