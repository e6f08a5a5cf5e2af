//! The CloudFormation template: for every queue a dead-letter queue, the announcements of its objects, and a policy;
//! for every configured role, the role.

mod access;
mod feed;
mod names;
mod parts;

use serde_json::{Map, Value, json};

use super::needs::{Needs, Queue};
use super::{Document, Wishes};
use parts::{Parts, Reads, arn_of, kept};

/// SQS's maximum retention: 14 days. An outage of a long weekend loses nothing.
const RETENTION_SECONDS: u64 = 14 * 24 * 3600;
/// Receives before a message becomes a dead letter: about four hours of them, with growing intervals. A message that
/// waits for Devo stays in flight and uses none up.
const RECEIVES_MAX: u32 = 20;

/// The reason why there is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("a stack is created in one region, and the queues are in {0}: choose one with --region")]
    Regions(String),
    #[error(
        "there is nothing to create: CrowdStrike's own queues are omitted unless --input names them, for a queue of \
         yours"
    )]
    NoQueue,
    #[error("the queue of {input} has a name that SQS would not accept: {name:?}")]
    Name { input: String, name: String },
}

/// Builds the template for all queues of `needs`, with existing buckets (of `wishes`) or new ones.
///
/// # Errors
/// If there are queues of several regions, or none.
pub fn template(needs: &Needs, wishes: &Wishes) -> Result<Document, TemplateError> {
    let region = check(needs)?;
    let mut parts = Parts::default();
    let mut readers = Vec::new();
    for queue in &needs.queues {
        let reads = parts.add_queue(queue, wishes);
        readers.push((queue, reads));
    }
    access::add(&mut parts, &readers, &needs.calls, wishes);
    parts.notes.insert(0, deployment(region, &parts.parameters));
    let mut template = Map::new();
    template.insert("AWSTemplateFormatVersion".into(), "2010-09-09".into());
    let description = format!("What aws-to-devo reads as {}", needs.inputs().join(", "));
    template.insert("Description".into(), description.into());
    if !parts.parameters.is_empty() {
        template.insert("Parameters".into(), parts.parameters.into());
    }
    template.insert("Resources".into(), parts.resources.into());
    template.insert("Outputs".into(), parts.outputs.into());
    Ok(Document { json: template.into(), notes: parts.notes })
}

/// The one region of all queues.
fn check(needs: &Needs) -> Result<&str, TemplateError> {
    let mut regions: Vec<&str> = needs.queues.iter().map(|queue| queue.region.as_str()).collect();
    if regions.is_empty() {
        // Policies and roles can be created anywhere.
        regions.extend(needs.calls.first().map(|call| call.region.as_str()));
    }
    regions.sort_unstable();
    regions.dedup();
    let is_name = |name: &str| {
        let stem = name.strip_suffix(".fifo").unwrap_or(name);
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=80).contains(&name.len()) && stem.bytes().all(allowed)
    };
    if let Some(queue) = needs.queues.iter().find(|queue| !is_name(&queue.name)) {
        return Err(TemplateError::Name { input: queue.label.clone(), name: queue.name.clone() });
    }
    match regions[..] {
        [] => Err(TemplateError::NoQueue),
        [region] => Ok(region),
        _ => Err(TemplateError::Regions(regions.join(", "))),
    }
}

fn deployment(region: &str, parameters: &Map<String, Value>) -> String {
    let mut command = format!(
        "aws cloudformation deploy --region {region} --stack-name aws-to-devo --template-file FILE \
         --capabilities CAPABILITY_NAMED_IAM"
    );
    if !parameters.is_empty() {
        let values: Vec<String> = parameters.keys().map(|name| format!("{name}=…")).collect();
        command.push_str(&format!(" --parameter-overrides {}", values.join(" ")));
    }
    format!("create the stack with: {command}")
}

/// An update that would replace it keeps the old one: it may contain undelivered messages.
fn queue_itself(queue: &Queue, dead_letters: &str) -> Value {
    let mut properties = json!({
        "QueueName": queue.name,
        "MessageRetentionPeriod": RETENTION_SECONDS,
        "ReceiveMessageWaitTimeSeconds": 20,
        "VisibilityTimeout": queue.visibility_timeout.as_secs(),
        "SqsManagedSseEnabled": true,
        "RedrivePolicy": {"deadLetterTargetArn": arn_of(dead_letters), "maxReceiveCount": RECEIVES_MAX},
    });
    if queue.is_fifo() {
        properties["FifoQueue"] = true.into();
        properties["ContentBasedDeduplication"] = true.into();
    }
    kept("AWS::SQS::Queue", "Delete", properties)
}

fn dead_letters(queue: &Queue) -> Value {
    let suffix = if queue.is_fifo() { ".fifo" } else { "" };
    let stem: String = queue.name.trim_end_matches(".fifo").chars().take(80 - "-dead.fifo".len()).collect();
    let mut properties = json!({
        "QueueName": format!("{stem}-dead{suffix}"),
        "MessageRetentionPeriod": RETENTION_SECONDS,
        "SqsManagedSseEnabled": true,
    });
    if queue.is_fifo() {
        properties["FifoQueue"] = true.into();
    }
    kept("AWS::SQS::Queue", "Delete", properties)
}

impl Parts {
    pub(super) fn add_queue(&mut self, queue: &Queue, wishes: &Wishes) -> Reads {
        let stem = self.names.stem(&queue.label);
        let (id, dead) = (format!("{stem}Queue"), format!("{stem}DeadLetters"));
        self.resource(&dead, dead_letters(queue));
        self.resource(&id, queue_itself(queue, &dead));
        self.output(&format!("{id}Url"), json!({"Ref": id}), &format!("The queue of {}", queue.label));
        self.output(&format!("{dead}Url"), json!({"Ref": dead}), "Messages that could not be delivered");
        let (objects, buckets) = feed::add(self, queue, &stem, wishes);
        Reads { queue: arn_of(&id), dead_letters: arn_of(&dead), objects, buckets }
    }

    pub(super) fn resource(&mut self, id: &str, value: Value) {
        self.resources.insert(id.to_owned(), value);
    }

    pub(super) fn output(&mut self, id: &str, value: Value, description: &str) {
        self.outputs.insert(id.to_owned(), json!({"Description": description, "Value": value}));
    }

    pub(super) fn parameter(&mut self, id: &str, value: Value) {
        self.parameters.insert(id.to_owned(), value);
    }
}

#[cfg(test)]
mod tests;
