//! `inputs.aws…`: the AWS collector's services. Each is a queue, or an API that is polled, in each of its regions.

pub mod rows;
mod settings;
mod tag;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::load::Context;
use super::node::{Mapping, Node};
use super::problem::{Kind, suggestion};
use super::registry::Catalog;
use super::{
    Api, Credentials, Endpoints, GuardDuty, Input, MissingObject, Queue, Source, credentials, endpoints,
};
use super::{ignored, inputs, service, url};
use crate::aws::endpoint::Service;
use crate::limits;
use crate::services::Definition;
use crate::services::template::INPUT_ACCOUNT;
use rows::{ANY_NAME, Polled, Row, rows};

/// What an entry of `inputs` is made of.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub queues: Vec<Input>,
    pub sources: Vec<Source>,
    /// See [`super::Config::listings`].
    pub listings: Vec<Input>,
}

/// What all services of an input have in common.
struct Common<'a> {
    /// The input's key in the file.
    key: &'a str,
    id: String,
    credentials: Credentials,
    endpoints: Endpoints,
    environment: Option<String>,
    requests_per_second: Option<f64>,
    catalog: &'a Catalog,
    now: Timestamp,
}

/// One service of an input.
struct Entry<'a> {
    name: &'a str,
    node: &'a Node<'a>,
    keys: &'a Mapping<'a>,
    period: Duration,
    retries: u32,
    /// Start times are judged by it.
    now: Timestamp,
}

/// Reads one `aws…` entry.
pub(super) fn read(key: &str, keys: Mapping<'_>, context: &Context<'_>) -> Read {
    let common = Common {
        key,
        id: inputs::id(key, &keys),
        credentials: credentials::read_collectors(&keys, context),
        endpoints: endpoints::read(&keys, context, &Service::ALL),
        environment: environment(&keys),
        requests_per_second: settings::requests_per_second(&keys),
        catalog: context.catalog,
        now: Timestamp::try_from(context.environment.now).unwrap_or(Timestamp::MAX),
    };
    keys.ignore(ignored::INPUT);
    let mut read = Read::default();
    let services = keys.mapping("services").map(|services| services.entries().collect::<Vec<_>>());
    let enabled = |(_, node): &&(&str, Node<'_>)| service::is_enabled(node);
    for (name, node) in services.iter().flatten().filter(enabled) {
        read_service(&mut read, name, node, &common);
    }
    if services.iter().flatten().filter(enabled).count() == 0 {
        let advice = "write at least one, such as \"services\": {\"audit-events-all\": {\"types\": [\"audits_api\"], \
                      \"regions\": [\"us-east-1\"]}}";
        keys.report.error(Kind::Missing, keys.path_of("services"), "no service is enabled", advice);
    }
    keys.finish();
    read
}

fn environment(keys: &Mapping<'_>) -> Option<String> {
    let environment = keys.string("environment")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !environment.chars().all(allowed) {
        let advice = "letters, digits, _ and -: it becomes a level of the tags";
        keys.report.error(Kind::Invalid, keys.path_of("environment"), "cannot stand in a tag", advice);
        return None;
    }
    Some(environment)
}

fn read_service(read: &mut Read, name: &str, node: &Node<'_>, common: &Common<'_>) {
    let Some(keys) = node.mapping() else { return };
    keys.node("enabled");
    let (period, retries) = (settings::period(&keys), settings::retries(&keys));
    let entry = Entry { name, node, keys: &keys, period, retries, now: common.now };
    let Some(rows) = types(&entry) else { return };
    for region in regions(&keys) {
        rows.iter().for_each(|row| read_row(read, row, &region, &entry, common));
    }
    if rows.iter().all(|row| row.api.is_none()) {
        keys.ignore(ignored::SERVICE);
    }
    if rows.iter().all(|row| row.bodies) {
        keys.ignore(ignored::BODIES_SERVICE);
    }
    keys.finish();
}

/// The rows that `types` names; all of a service whose rows have no type. None: that has been reported, and nobody
/// can tell which keys the service has.
fn types(entry: &Entry<'_>) -> Option<Vec<&'static Row>> {
    let of_name = |name| rows().iter().filter(|row| row.service == name).collect::<Vec<&Row>>();
    let mut of_service = of_name(entry.name);
    if of_service.is_empty() && entry.keys.has("types") {
        of_service = of_name(ANY_NAME);
    }
    let kinds: Vec<&str> = of_service.iter().filter_map(|row| row.kind.as_deref()).collect();
    if of_service.is_empty() {
        let mut names: Vec<&str> = rows().iter().map(|row| row.service.as_str()).collect();
        names.dedup();
        names.retain(|name| *name != ANY_NAME);
        let advice = format!(
            "{} (a service for a log group has a name of your own and \"types\": [\"logs\"])",
            suggestion(entry.name, &names)
        );
        entry.node.error(Kind::UnknownKey, "is not a known service", advice);
        return None;
    }
    if kinds.is_empty() {
        return Some(of_service);
    }
    let written = entry.keys.list("types");
    if written.is_empty() {
        let advice = format!("write \"types\" with at least one of {}", kinds.join(", "));
        entry.keys.report.error(Kind::Missing, entry.keys.path_of("types"), "is missing", advice);
        return None;
    }
    let row = |node: &Node<'_>| {
        let kind = node.text()?;
        let row = of_service.iter().find(|row| row.kind.as_deref() == Some(kind.as_str()));
        if row.is_none() {
            let message = format!("{kind:?} is not a type of this service");
            node.error(Kind::Invalid, message, suggestion(&kind, &kinds));
        }
        row.copied()
    };
    written.iter().map(row).collect()
}

fn regions(keys: &Mapping<'_>) -> Vec<String> {
    const ADVICE: &str = "write the regions as a list: [\"us-east-1\", \"eu-west-3\"]";
    let written = keys.list("regions");
    if written.is_empty() {
        // What is no list has been told.
        if keys.node("regions").is_none_or(|node| node.value.is_array()) {
            keys.report.error(Kind::Missing, keys.path_of("regions"), "names no region", ADVICE);
        }
        // The other keys are still looked at.
        return vec![String::new()];
    }
    let mut regions: Vec<String> = Vec::new();
    for node in written {
        let Some(region) = node.text() else { continue };
        if !url::is_region(&region) {
            node.error(
                Kind::Invalid,
                format!("{region:?} does not look like a region"),
                "regions look like us-west-1",
            );
        } else if regions.contains(&region) {
            node.error(Kind::Invalid, format!("{region} is written twice"), "remove it once");
        } else {
            regions.push(region);
        }
    }
    regions
}

fn read_row(read: &mut Read, row: &'static Row, region: &str, entry: &Entry<'_>, common: &Common<'_>) {
    let definition = definition(row, region, entry, common);
    match (&row.queue, row.api) {
        (Some(key), _) => {
            let queue = queue_name(row, key, entry.keys);
            if let (Some(queue), Some(definition)) = (queue, definition) {
                let start_time = start_time(row, entry);
                read.queues.push(Input { start_time, ..queue_input(row, queue, region, definition, common) });
            }
        }
        (None, Some(api)) => {
            let api = api_settings(api, entry);
            if let (Some(api), Some(definition)) = (api, definition) {
                read.sources.push(source(row, api, region, definition, entry, common));
                read.listings.extend(listing(row, region, entry, common));
            }
        }
        (None, None) => (),
    }
}

fn api_settings(api: Polled, entry: &Entry<'_>) -> Option<Api> {
    let keys = entry.keys;
    match api {
        Polled::CloudTrail => settings::cloudtrail(keys, entry.now).map(Api::CloudTrail),
        Polled::Metrics => settings::metrics(keys, entry.period, entry.now).map(Api::Metrics),
        Polled::Logs => settings::logs(keys, entry.now).map(Api::Logs),
        Polled::GuardDuty => {
            Some(Api::GuardDuty(GuardDuty { start_time: settings::start_time(keys, entry.now) }))
        }
    }
}

/// Messages that are logs themselves have no time of their own that all of them name.
fn start_time(row: &Row, entry: &Entry<'_>) -> Option<Timestamp> {
    if row.bodies { None } else { settings::start_time(entry.keys, entry.now) }
}

fn queue_name(row: &Row, key: &'static str, keys: &Mapping<'_>) -> Option<String> {
    let name =
        keys.required(key, "write the queue's name, without its URL; it is looked up in each region")?;
    let stem = name.strip_suffix(".fifo").unwrap_or(&name);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if stem.is_empty() || name.len() > 80 || !stem.chars().all(allowed) {
        let message = format!("{name:?} is not the name of a queue for {}", row.service);
        let advice = "letters, digits, _ and -, at most 80; a FIFO queue's name ends with .fifo";
        keys.report.error(Kind::Invalid, keys.path_of(key), message, advice);
        return None;
    }
    Some(name)
}

fn queue_input(
    row: &Row,
    queue: String,
    region: &str,
    definition: Arc<Definition>,
    common: &Common<'_>,
) -> Input {
    Input {
        key: format!("{}.services.{} in {region}", common.key, definition.name),
        id: remembered_as(&definition, region, common),
        queue: Queue::Name(queue),
        region: region.to_owned(),
        credentials: common.credentials.clone(),
        endpoints: common.endpoints.clone(),
        ack_messages: true,
        direct_mode: row.bodies,
        pulling_id: true,
        do_not_send: false,
        visibility_timeout: inputs::VISIBILITY_DEFAULT,
        wait_time: limits::SQS_WAIT_MAX,
        messages_per_receive: limits::SQS_MESSAGES_MAX,
        receivers: inputs::RECEIVERS_DEFAULT,
        missing_object: MissingObject::Retry,
        start_time: None,
        services: vec![definition],
    }
}

/// The objects that have what an API has, too: those of the service's other type, without a queue.
fn listing(row: &Row, region: &str, entry: &Entry<'_>, common: &Common<'_>) -> Option<Input> {
    let of_objects = |other: &&Row| other.service == row.service && other.queue.is_some() && !other.bodies;
    let other = rows().iter().find(of_objects)?;
    Some(queue_input(other, String::new(), region, definition(other, region, entry, common)?, common))
}

fn source(
    row: &'static Row,
    api: Api,
    region: &str,
    definition: Arc<Definition>,
    entry: &Entry<'_>,
    common: &Common<'_>,
) -> Source {
    Source {
        path: entry.node.path.clone(),
        name: remembered_as(&definition, region, common),
        reads: &row.reads,
        input: common.id.clone(),
        region: region.to_owned(),
        credentials: common.credentials.clone(),
        endpoints: common.endpoints.clone(),
        period: entry.period,
        retries: entry.retries,
        requests_per_second: common.requests_per_second,
        service: definition,
        api,
    }
}

/// What a service of a region is called in the ledger.
fn remembered_as(definition: &Definition, region: &str, common: &Common<'_>) -> String {
    format!("{}/{}/{region}", common.id, definition.name)
}

/// The registry's keys, the row's over them, and over these what the user's mean.
fn definition(row: &Row, region: &str, entry: &Entry<'_>, common: &Common<'_>) -> Option<Arc<Definition>> {
    let mut own = Map::new();
    let event_type = event_type(row, entry, &mut own);
    let account_id = account_id(row, common.credentials.role_account());
    let values = tag::Values {
        event_type: &event_type,
        account_id: &account_id,
        region,
        environment: common.environment.as_deref(),
        service: entry.name,
    };
    let template = tag::template(entry.keys, row, &values);
    if row.bodies && row.auto_event_type.is_some() {
        settings::processor_mapping(entry.keys, &values, &mut own);
    }
    own.insert("routing_template".to_owned(), template?.into());
    let like = row.like.as_ref().and_then(|name| common.catalog.row(name)).map(|row| &row.keys);
    let layers: Vec<&Map<String, Value>> = like.into_iter().chain([&row.keys, &own]).collect();
    let kind = row.kind.as_ref().map(|kind| format!("/{kind}")).unwrap_or_default();
    let name = format!("{}{kind}", entry.name);
    service::read_layers(&name, entry.node, &layers, common.catalog)
}

/// What {account_id} is: a page's source knows it; else what the object or the record says, and where neither does, the
/// account that the credentials belong to.
fn account_id(row: &Row, role_account: Option<&str>) -> String {
    match (&row.account_id, role_account) {
        (Some(field), _) if row.api.is_some() => field.clone(),
        (Some(field), _) => format!("{}|{INPUT_ACCOUNT}]", field.trim_end_matches(']')),
        (None, Some(account)) => account.to_owned(),
        (None, None) => format!("[{INPUT_ACCOUNT}]"),
    }
}

/// `auto_event_type`, `event_type_file_regex_patterns`: what stands for {event_type}.
fn event_type(row: &Row, entry: &Entry<'_>, own: &mut Map<String, Value>) -> String {
    let Some(automatic) = &row.auto_event_type else { return row.event_type.clone() };
    let wanted = entry.keys.boolean("auto_event_type", row.always_auto) || row.always_auto;
    let patterns = if row.bodies || row.api.is_some() { vec![] } else { settings::file_patterns(entry.keys) };
    if patterns.is_empty() {
        return if wanted { automatic.clone() } else { row.event_type.clone() };
    }
    let fields = own.entry("file_field_definitions").or_insert_with(|| json!({}));
    let mut alternatives = Vec::new();
    for (number, (name, pattern)) in patterns.into_iter().enumerate() {
        let field = format!("event_type_{number}");
        fields[&field] = json!([{"operator": "regex", "pattern": pattern, "element": 0}, {"operator": "set", "value": name}]);
        alternatives.push(format!("file-{field}"));
    }
    alternatives
        .extend(automatic.strip_prefix('[').and_then(|field| field.strip_suffix(']')).map(str::to_owned));
    format!("[{}]", alternatives.join("|"))
}

#[cfg(test)]
mod tests;
