//! `inputs`: the queues and their services.

use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use super::input::id;
use super::kind::Kind;
use super::node::{Mapping, Node};
use super::numbers::{self, Number};
use super::problem::{Report, suggestion};
use super::registry::Catalog;
use super::{aws, credentials, endpoints, ignored, service, url};
use crate::base::limits;
use crate::services::Definition;
use crate::services::template::UNKNOWN;
use crate::settings::{Input, MissingObject, Queue, Source};

const KIND: &str = "sqs_collector";
const AWS: &str = "aws";

/// Reads the enabled inputs, in the order of the file.
pub(super) fn read(root: &Mapping<'_>, context: &Context<'_>) -> aws::Read {
    let Some(inputs) = root.mapping("inputs") else {
        no_input(root);
        return aws::Read::default();
    };
    let mut enabled = 0;
    let mut read = aws::Read::default();
    for (key, node) in inputs.named() {
        let Some(keys) = node.mapping() else { continue };
        if keys.boolean("enabled", true) && is_known_kind(key, &node) {
            enabled += 1;
            if key.starts_with(KIND) {
                read.queues.extend(read_input(key, keys, context));
            } else {
                let aws::Read { queues, sources, listings } = aws::read(key, keys, context);
                read.queues.extend(queues);
                read.sources.extend(sources);
                read.listings.extend(listings);
            }
        }
    }
    if enabled == 0 {
        no_input(root);
    }
    check_together(&read.queues, root.report);
    check_sources(&read.sources, root.report);
    read
}

fn no_input(root: &Mapping<'_>) {
    let advice = "write at least one \"sqs_collector\" or \"aws\" with \"enabled\": true";
    root.report.error(Kind::Missing, "inputs", "no input is enabled", advice);
}

fn is_known_kind(key: &str, node: &Node<'_>) -> bool {
    let known = key.starts_with(KIND) || key.starts_with(AWS);
    if !known {
        let advice = format!("{} (several: sqs_collector_1, sqs_collector_2)", suggestion(key, &[KIND, AWS]));
        node.error(Kind::UnknownKey, "is not a known input", advice);
    }
    known
}

fn read_input(key: &str, keys: Mapping<'_>, context: &Context<'_>) -> Option<Input> {
    let queue_url = queue_url(&keys);
    let region = region(&keys, queue_url.as_deref());
    let direct_mode = keys.boolean("direct_mode", false);
    let do_not_send = keys.boolean("do_not_send", false);
    let services = services(&keys, region.as_deref().unwrap_or(UNKNOWN), context.catalog);
    check_services(&keys, &services, direct_mode);
    keys.ignore(ignored::INPUT);
    let credentials = credentials::read(&keys, context);
    let endpoints = endpoints::read(&keys, context, &endpoints::QUEUE_SERVICES_CHECKED, &credentials);
    endpoints::check_region(&endpoints, region.as_deref().unwrap_or_default(), &keys);
    let input = Input {
        key: key.to_owned(),
        id: id(key, &keys),
        queue: Queue::Url(queue_url.unwrap_or_default()),
        region: region.unwrap_or_default(),
        credentials,
        endpoints,
        ack_messages: ack_messages(&keys, do_not_send),
        direct_mode,
        pulling_id: false,
        do_not_send,
        visibility_timeout: visibility_timeout(&keys),
        wait_time: wait_time(&keys),
        messages_per_receive: small(&keys, "sqs_max_messages", &numbers::MESSAGES),
        receivers: small(&keys, "receivers", &numbers::RECEIVERS) as usize,
        missing_object: missing_object(&keys),
        request_payer: keys.boolean("request_payer", false),
        start_time: None,
        services,
    };
    keys.finish();
    // Unreadable parts have been reported, so the configuration as a whole is refused.
    Some(input)
}

fn queue_url(keys: &Mapping<'_>) -> Option<String> {
    const ADVICE: &str = "write the queue's URL, as the SQS console and `aws sqs get-queue-url` show it: \
                          https://sqs.<region>.amazonaws.com/<account>/<name>";
    let text = keys.required("base_url", ADVICE)?;
    match url::check_queue(&text) {
        Ok(_) => Some(text),
        Err(refusal) => {
            keys.report.error(Kind::Invalid, keys.path_of("base_url"), refusal, ADVICE);
            None
        }
    }
}

/// The region as written, or from the queue's host.
fn region(keys: &Mapping<'_>, queue_url: Option<&str>) -> Option<String> {
    let path = keys.path_of("region");
    let named = queue_url.and_then(|text| url::region(url::check_queue(text).ok()?.host()?));
    let Some(written) = keys.string("region") else {
        if named.is_none() && queue_url.is_some() {
            let advice = "write the queue's region, such as \"us-west-1\": its URL does not name one";
            keys.report.error(Kind::Missing, path, "is missing", advice);
        }
        return named;
    };
    if !url::is_region(&written) {
        let message = format!("{written:?} does not look like a region");
        keys.report.error(Kind::Invalid, path, message, "regions look like us-west-1");
    } else if let Some(named) = named.filter(|named| *named != written) {
        let message = format!("is {written}, but the queue's URL names {named}, which is used");
        keys.report.warning(Kind::Doubtful, path, message, "omit it: the URL is enough");
        return Some(named);
    }
    Some(written)
}

fn services(keys: &Mapping<'_>, region: &str, catalog: &Catalog) -> Vec<Arc<Definition>> {
    let entries = keys.mapping("services").map(|services| services.named().collect::<Vec<_>>());
    let mut entries = entries.unwrap_or_default();
    entries.retain(|(_, node)| service::is_enabled(node));
    if entries.is_empty() {
        let advice = "write at least one, such as \"services\": {\"aws_sqs_vpc\": {}}";
        keys.report.error(Kind::Missing, keys.path_of("services"), "no service is enabled", advice);
    }
    entries.iter().filter_map(|(name, node)| service::read(name, node, region, catalog)).collect()
}

/// Checks the services of one queue together.
fn check_services(keys: &Mapping<'_>, services: &[Arc<Definition>], direct_mode: bool) {
    let path = keys.path_of("services");
    if direct_mode && services.len() > 1 {
        let advice = "keep one service: without objects there is no key to choose a service by";
        keys.report.error(Kind::Invalid, path.as_str(), "direct_mode works with one service only", advice);
    }
    for (i, service) in services.iter().enumerate() {
        if let Some(earlier) = services[..i].iter().find(|earlier| takes_all_of(earlier, service)) {
            let message = format!("gets no objects: {} above takes them all", earlier.name);
            let advice = "change their order, or their \"object_keys\" (a regular expression on the key)";
            keys.report.warning(Kind::Doubtful, format!("{path}.{}", service.name), message, advice);
        }
    }
}

/// The first service that claims an object gets it.
fn takes_all_of(earlier: &Definition, later: &Definition) -> bool {
    match (&earlier.object_keys, &later.object_keys) {
        (None, _) => true,
        (Some(earlier), Some(later)) => earlier.as_str() == later.as_str(),
        (Some(_), None) => false,
    }
}

/// Messages must not be deleted unsent by surprise.
fn ack_messages(keys: &Mapping<'_>, do_not_send: bool) -> bool {
    let written = keys.boolean_if_set("ack_messages");
    if do_not_send && written == Some(true) {
        let message = "messages are deleted although do_not_send stops their logs from being sent";
        let advice = "omit ack_messages to keep the messages in the queue";
        keys.report.warning(Kind::Doubtful, keys.path_of("ack_messages"), message, advice);
    }
    written.unwrap_or(!do_not_send)
}

fn visibility_timeout(keys: &Mapping<'_>) -> Duration {
    let seconds = keys.number("sqs_visibility_timeout", &numbers::VISIBILITY_TIMEOUT);
    let timeout = Duration::from_secs(seconds.unsigned_abs());
    if timeout < limits::VISIBILITY_TIMEOUT_ADVISED_MIN {
        let path = keys.path_of("sqs_visibility_timeout");
        let message = format!("{seconds} s leaves little time to extend it: messages may be delivered twice");
        keys.report.warning(Kind::Doubtful, path, message, "120 is a good value: it is extended as needed");
    }
    timeout
}

fn wait_time(keys: &Mapping<'_>) -> Duration {
    let seconds = keys.number("sqs_wait_timeout", &numbers::WAIT_TIMEOUT);
    Duration::from_secs(seconds.unsigned_abs())
}

fn missing_object(keys: &Mapping<'_>) -> MissingObject {
    match keys.string("missing_object").as_deref() {
        None | Some("retry") => MissingObject::Retry,
        Some("skip") => MissingObject::Skip,
        Some(other) => {
            let message = format!("{other:?} is not allowed");
            let advice = suggestion(other, &["retry", "skip"]);
            keys.report.error(Kind::Invalid, keys.path_of("missing_object"), message, advice);
            MissingObject::Retry
        }
    }
}

/// Reads a count, which is small.
fn small(keys: &Mapping<'_>, key: &'static str, number: &Number) -> u32 {
    u32::try_from(keys.number(key, number)).unwrap_or(1)
}

/// Checks the inputs together.
fn check_together(inputs: &[Input], report: &Report) {
    for (i, input) in inputs.iter().enumerate() {
        let path = |key: &str| format!("inputs.{}.{key}", input.key);
        let earlier = &inputs[..i];
        if let Some(other) = earlier.iter().find(|other| other.id == input.id) {
            let message = format!("{} is already the id of {}", input.id, other.key);
            let advice = "give each input its own id: state that survives a restart is stored under it";
            report.error(Kind::Invalid, path("id"), message, advice);
        }
        let same = |other: &&Input| is_same_queue(other, input);
        if let Some(other) = earlier.iter().find(same) {
            let message =
                format!("is already the queue of {}: each message goes to one of the two", other.key);
            let advice = "write both inputs' services under one input";
            report.warning(Kind::Doubtful, path("base_url"), message, advice);
        }
    }
}

/// A name alone is ambiguous: it stands for a queue of the region and of the caller's account.
fn is_same_queue(one: &Input, other: &Input) -> bool {
    one.queue == other.queue
        && match &one.queue {
            Queue::Url(url) => !url.is_empty(),
            Queue::Name(_) => one.region == other.region && one.credentials == other.credentials,
        }
}

/// A source's name contains its input's id, its service and its region.
fn check_sources(sources: &[Source], report: &Report) {
    for (i, source) in sources.iter().enumerate() {
        if sources[..i].iter().any(|other| other.name == source.name) {
            let message = format!("{} is collected by another input with the same id", source.name);
            let advice = "give each input its own id: state that survives a restart is stored under it";
            report.error(Kind::Invalid, source.path.as_str(), message, advice);
        }
    }
}
