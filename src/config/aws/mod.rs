//! The `inputs.aws…` entries: the AWS collector's services. Each is a queue, or a polled API, in each of its regions.

pub mod rows;
mod settings;
mod tag;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::context::Context;
use super::kind::Kind;
use super::node::{Mapping, Node};
use super::problem::suggestion;
use super::registry::Catalog;
use super::{credentials, endpoints};
use super::{ignored, input, keys, numbers, service, url};
use crate::base::limits;
use crate::services::Definition;
use crate::services::template::INPUT_ACCOUNT;
use crate::settings::Service;
use crate::settings::{Api, Credentials, Endpoints, GuardDuty, Input, Logs, MissingObject, Queue, Source};
use rows::{ANY_NAME, Polled, Row, rows};

/// The parts of an entry of `inputs`.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub queues: Vec<Input>,
    pub sources: Vec<Source>,
    /// See [`super::Config::listings`].
    pub listings: Vec<Input>,
}

/// Settings common to all services of an input.
struct Common<'a> {
    /// The input's key in the file.
    key: &'a str,
    id: String,
    credentials: Credentials,
    endpoints: Endpoints,
    environment: Option<String>,
    requests_per_second: Option<f64>,
    request_payer: bool,
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
    /// The current time, for judging start times.
    now: Timestamp,
}

/// Reads one `aws…` entry.
pub(super) fn read(key: &str, keys: Mapping<'_>, context: &Context<'_>) -> Read {
    let credentials = credentials::read_collectors(&keys, context);
    let common = Common {
        key,
        id: input::id(key, &keys),
        endpoints: endpoints::read(&keys, context, &Service::OF_INPUTS, &credentials),
        credentials,
        environment: environment(&keys),
        requests_per_second: settings::requests_per_second(&keys),
        request_payer: keys.boolean("request_payer", false),
        catalog: context.catalog,
        now: Timestamp::try_from(context.environment.now).unwrap_or(Timestamp::MAX),
    };
    keys.ignore(ignored::INPUT);
    let mut read = Read::default();
    let services = keys.mapping("services").map(|services| services.named().collect::<Vec<_>>());
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
        let advice = "use letters, digits, _ and -: it becomes a level of the tags";
        keys.report.error(Kind::Invalid, keys.path_of("environment"), "is not allowed in a tag", advice);
        return None;
    }
    Some(environment)
}

fn read_service(read: &mut Read, name: &str, node: &Node<'_>, common: &Common<'_>) {
    let Some(keys) = node.mapping() else { return };
    keys.node("enabled");
    // They are run by `check`; here only their form matters.
    keys.node(service::TESTS).iter().for_each(|tests| drop(service::trials::read(tests)));
    keys.ignore(ignored::AWS_SERVICE);
    let (period, retries) = (settings::period(&keys), settings::retries(&keys));
    let entry = Entry { name, node, keys: &keys, period, retries, now: common.now };
    let Some(rows) = types(&entry) else {
        // The service's keys are unknown, but a key that no service has is still a mistake.
        regions(&keys);
        keys.know(keys::of("inputs.aws.services.NAME"));
        let is_ignored = |key: &str| {
            [ignored::SERVICE, ignored::BODIES_SERVICE].concat().iter().any(|(ignored, _)| *ignored == key)
        };
        keys.picked(is_ignored);
        keys.picked(|key| key.ends_with("sqs_queue_name"));
        keys.finish();
        return;
    };
    for region in regions(&keys) {
        endpoints::check_region(&common.endpoints, &region, &keys);
        rows.iter().for_each(|row| read_row(read, row, &region, &entry, common));
    }
    if rows.iter().all(|row| row.api.is_none()) {
        keys.ignore(ignored::SERVICE);
    }
    if rows.iter().all(|row| row.bodies) {
        keys.ignore(ignored::BODIES_SERVICE);
    }
    warn_of_unread_queues(&rows, &entry);
    keys.finish();
}

/// The rows that `types` names; without it the usual ones, or all rows of a service without types. None if that has
/// been reported, and the service's keys are unknown.
fn types(entry: &Entry<'_>) -> Option<Vec<&'static Row>> {
    let of_service = rows_of(entry)?;
    let written = entry.keys.list("types");
    if !written.is_empty() {
        let of_word = written.iter().map(|node| rows_of_type(node, &of_service, entry));
        let mut named: Vec<&Row> = Vec::new();
        for row in of_word.collect::<Option<Vec<_>>>()?.concat() {
            if !named.iter().any(|known| std::ptr::eq(*known, row)) {
                named.push(row);
            }
        }
        return Some(named);
    }
    let is_read = |row: &&&Row| row.kind.is_none() || row.usual;
    let usual = with_queues(of_service.iter().filter(is_read).copied().collect(), entry);
    let is_of_another = |row: &&Row| row.kind.is_some() && !row.usual && writes_queue(row, entry);
    if usual.is_empty() || of_service.iter().any(is_of_another) {
        let kinds: Vec<&str> = of_service.iter().filter_map(|row| row.kind.as_deref()).collect();
        let advice = format!("write \"types\" with at least one of {}", kinds.join(", "));
        entry.keys.report.error(Kind::Missing, entry.keys.path_of("types"), "is missing", advice);
        return None;
    }
    Some(usual)
}

/// The rows with the service's name, or those for any name.
fn rows_of(entry: &Entry<'_>) -> Option<Vec<&'static Row>> {
    let of_name = |name| rows().iter().filter(|row| row.service == name).collect::<Vec<&Row>>();
    let of_service = of_name(entry.name);
    if !of_service.is_empty() {
        return Some(of_service);
    }
    let mut names: Vec<&str> = rows().iter().map(|row| row.service.as_str()).collect();
    names.dedup();
    names.retain(|name| *name != ANY_NAME);
    // The vendor's own examples call a log group's service cwl_1.
    if entry.keys.has("types") || entry.keys.has("log_group") || entry.name.starts_with("cwl_") {
        warn_of_a_slip(entry, &names);
        return Some(of_name(ANY_NAME));
    }
    let advice = format!(
        "{} (a log group's service has a name of your own and a \"log_group\")",
        suggestion(entry.name, &names)
    );
    entry.node.error(Kind::UnknownKey, "is not a known service", advice);
    None
}

/// A built-in name that differs from the user's by a letter or two.
fn warn_of_a_slip(entry: &Entry<'_>, names: &[&str]) {
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(entry.name, name);
    if let Some(meant) = names.iter().find(|name| likeness(name) > 0.8) {
        let message = "is a service of your own by this name";
        let advice = format!("did you mean {meant:?}?");
        entry.keys.report.warning(Kind::Doubtful, entry.node.path.as_str(), message, advice);
    }
}

/// The rows of one word of `types`. A word for several rows means those whose queues are configured.
fn rows_of_type(node: &Node<'_>, rows: &[&'static Row], entry: &Entry<'_>) -> Option<Vec<&'static Row>> {
    let word = node.text()?;
    let meant: Vec<&Row> = rows.iter().filter(|row| row.is_of_type(&word)).copied().collect();
    if meant.is_empty() {
        let known = |row: &&'static Row| row.kind.iter().chain(&row.types).map(String::as_str);
        let known: Vec<&str> = rows.iter().flat_map(known).collect();
        let message = format!("{word:?} is not a type of this service");
        node.error(Kind::Invalid, message, suggestion(&word, &known));
        return None;
    }
    Some(with_queues(meant, entry))
}

/// The rows whose queues are configured, of several rows with queues; all if none is.
fn with_queues(rows: Vec<&'static Row>, entry: &Entry<'_>) -> Vec<&'static Row> {
    let written: Vec<&Row> = rows.iter().filter(|row| writes_queue(row, entry)).copied().collect();
    if rows.len() < 2 || written.is_empty() { rows } else { written }
}

fn writes_queue(row: &Row, entry: &Entry<'_>) -> bool {
    row.queue
        .as_ref()
        .is_some_and(|key| entry.keys.is_written(key) || !other_queue_keys(row, entry).is_empty())
}

/// Keys that name the row's queue other than its own key: the vendor's definitions may use any key. If a service has
/// several queues, a word in the key says which one is meant.
fn other_queue_keys<'a>(row: &Row, entry: &Entry<'a>) -> Vec<(&'a str, Node<'a>)> {
    let is_queue = |other: &&Row| other.service == row.service && other.queue.is_some();
    let of_queues: Vec<&Row> = rows().iter().filter(is_queue).collect();
    let is_for = |row: &Row, key: &str| row.queue_words.iter().any(|word| key.contains(word.as_str()));
    let is_only_type = match entry.keys.list("types")[..] {
        [ref only] => only.value.as_str() == row.kind.as_deref(),
        _ => false,
    };
    entry.keys.picked(|key| {
        let is_own_key = of_queues.iter().any(|other| other.queue.as_deref() == Some(key));
        let is_for_none = !of_queues.iter().any(|other| is_for(other, key));
        key.ends_with("sqs_queue_name")
            && !is_own_key
            && (row.queue_words.is_empty() || is_for(row, key) || (is_only_type && is_for_none))
    })
}

/// Reports queues of types that are not read.
fn warn_of_unread_queues(read: &[&Row], entry: &Entry<'_>) {
    let is_beside =
        |row: &&Row| row.service == read[0].service && !read.iter().any(|it| std::ptr::eq(*it, *row));
    for row in rows().iter().filter(is_beside).filter(|row| writes_queue(row, entry)) {
        let own = row.queue.iter().filter_map(|key| entry.keys.node(key)).map(|node| node.path);
        let others = other_queue_keys(row, entry).into_iter().map(|(_, node)| node.path);
        let kind = row.kind.as_deref().unwrap_or_default();
        for path in own.chain(others) {
            let advice = format!("add {kind} to \"types\" to read this queue, or remove it");
            entry.keys.report.warning(Kind::Doubtful, path, "has no effect here", advice);
        }
    }
}

fn regions(keys: &Mapping<'_>) -> Vec<String> {
    const ADVICE: &str = "write the regions as a list: [\"us-east-1\", \"eu-west-3\"]";
    let written = keys.list("regions");
    // A value that is not a list has been reported.
    if written.is_empty() && keys.node("regions").is_none_or(|node| node.value.is_array()) {
        keys.report.error(Kind::Missing, keys.path_of("regions"), "names no region", ADVICE);
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
            node.error(Kind::Invalid, format!("{region} is repeated"), "remove it once");
        } else {
            regions.push(region);
        }
    }
    if regions.is_empty() {
        // The other keys are still checked.
        regions.push(String::new());
    }
    regions
}

fn read_row(read: &mut Read, row: &'static Row, region: &str, entry: &Entry<'_>, common: &Common<'_>) {
    let definition = definition(row, region, entry, common);
    match (&row.queue, row.api) {
        (Some(key), _) => {
            let queue = queue_name(row, key, entry, common);
            let start_time = start_time(row, entry);
            if let (Some(queue), Some(definition)) = (queue, definition) {
                read.queues.push(Input { start_time, ..queue_input(row, queue, region, definition, common) });
            }
        }
        (None, Some(api)) => {
            let api = api_settings(row, api, entry);
            if let (Some(api), Some(definition)) = (api, definition) {
                for api in divided(api, entry) {
                    read.sources.push(source(row, api, region, Arc::clone(&definition), entry, common));
                }
                read.listings.extend(listing(row, region, entry, common));
            }
        }
        (None, None) => (),
    }
}

/// The vendor's service for one AWS service, such as ec2, reads only that one's events.
fn warn_of_everything(row: &Row, key: &'static str, entry: &Entry<'_>) {
    if row.service == ANY_NAME && !entry.keys.is_written(key) {
        let message = format!("{} has no {key}: those of all AWS services are read", entry.name);
        let advice = format!("write \"{key}\" to read those of some AWS services only");
        entry.keys.report.warning(Kind::Doubtful, entry.keys.path_of(key), message, advice);
    }
}

fn api_settings(row: &Row, api: Polled, entry: &Entry<'_>) -> Option<Api> {
    let keys = entry.keys;
    match api {
        Polled::CloudTrail => {
            warn_of_everything(row, "sources", entry);
            settings::cloudtrail(keys, entry.now).map(Api::CloudTrail)
        }
        Polled::Metrics => {
            warn_of_everything(row, "metric_namespaces", entry);
            settings::metrics(keys, entry.period, entry.now).map(Api::Metrics)
        }
        Polled::Logs => settings::logs(keys, entry.now).map(Api::Logs),
        Polled::GuardDuty => {
            Some(Api::GuardDuty(GuardDuty { start_time: settings::start_time(keys, entry.now) }))
        }
    }
}

/// The parts of an API's content that have a source each.
fn divided(api: Api, entry: &Entry<'_>) -> Vec<Api> {
    match api {
        Api::Logs(logs) => settings::shards(logs, entry.keys).into_iter().map(Api::Logs).collect(),
        other => vec![other],
    }
}

/// Messages that are logs themselves have no time that all of them name.
fn start_time(row: &Row, entry: &Entry<'_>) -> Option<Timestamp> {
    if row.bodies { None } else { settings::start_time(entry.keys, entry.now) }
}

fn queue_name(
    row: &'static Row,
    key: &'static str,
    entry: &Entry<'_>,
    common: &Common<'_>,
) -> Option<String> {
    const ADVICE: &str = "write the queue's name, without its URL; it is looked up in each region";
    let keys = entry.keys;
    let others = other_queue_keys(row, entry);
    if let Some((second, _)) = others.get(usize::from(!keys.is_written(key))) {
        let advice = "keep one of them: the service reads one queue";
        keys.report.error(Kind::Invalid, keys.path_of(second), "names a second queue", advice);
    }
    let other = others.first().filter(|_| !keys.is_written(key));
    let (key, name) = match other {
        Some((key, node)) => (*key, node.text()?.trim().to_owned()),
        None => (key, own_queue_name(row, key, keys, common).or_else(|| keys.required(key, ADVICE))?),
    };
    let stem = name.strip_suffix(".fifo").unwrap_or(&name);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if stem.is_empty() || name.len() > 80 || !stem.chars().all(allowed) {
        let message = format!("{name:?} is not the name of a queue for {}", row.service);
        let advice = "use letters, digits, _ and -, at most 80; a FIFO queue's name ends with .fifo";
        keys.report.error(Kind::Invalid, keys.path_of(key), message, advice);
        return None;
    }
    Some(name)
}

/// The name under the row's own key, or the vendor's default.
fn own_queue_name(row: &Row, key: &'static str, keys: &Mapping<'_>, common: &Common<'_>) -> Option<String> {
    let default = row.queue_default.as_ref().filter(|_| !keys.is_written(key));
    let Some(default) = default else { return keys.string(key) };
    let name = default.replace("{input_id}", &common.id);
    let message = format!("is missing; the queue {name} is read");
    let advice = "write the queue's name if it has another one";
    keys.report.warning(Kind::Doubtful, keys.path_of(key), message, advice);
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
        visibility_timeout: numbers::VISIBILITY_DEFAULT,
        wait_time: limits::SQS_WAIT_MAX,
        messages_per_receive: limits::SQS_MESSAGES_MAX,
        receivers: numbers::RECEIVERS_DEFAULT,
        missing_object: MissingObject::Retry,
        request_payer: common.request_payer,
        start_time: None,
        services: vec![definition],
    }
}

/// The objects with the same content as an API: those of the service's other type, without a queue.
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
    let name = remembered_as(&definition, region, common);
    let name = match &api {
        Api::Logs(Logs { shard: Some(shard), .. }) => format!("{name}/{shard}"),
        _ => name,
    };
    Source {
        path: entry.node.path.clone(),
        name,
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

/// The ledger's name for a service in a region.
fn remembered_as(definition: &Definition, region: &str, common: &Common<'_>) -> String {
    format!("{}/{}/{region}", common.id, definition.name)
}

/// The registry's keys, overridden by the row's, and these by the user's.
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

/// The value of {account_id}: a polled source knows it; otherwise the object's or record's own, else the account of the
/// credentials.
fn account_id(row: &Row, role_account: Option<&str>) -> String {
    match (&row.account_id, role_account) {
        (Some(field), _) if row.api.is_some() => field.clone(),
        (Some(field), _) => format!("{}|{INPUT_ACCOUNT}]", field.trim_end_matches(']')),
        (None, Some(account)) => account.to_owned(),
        (None, None) => format!("[{INPUT_ACCOUNT}]"),
    }
}

/// The value of {event_type}, from `auto_event_type` and `event_type_file_regex_patterns`.
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
