//! The CloudFormation template: for every queue a dead-letter queue, the announcements of its objects, and a policy;
//! for every configured role, the role.

mod access;
mod feed;
mod names;
mod parts;

use serde_json::{Map, Value, json};

use super::arn::is_name;
use super::needs::{Needs, Queue};
use super::{Document, Wishes, unused};
use crate::settings::{Bucket, SharedTable};
use parts::{Parts, Reads, arn_of, kept, tags};

/// SQS's maximum retention: 14 days. An outage of a long weekend loses nothing.
const RETENTION_SECONDS: u64 = 14 * 24 * 3600;
/// Receives before a message becomes a dead letter: about four hours of them, with growing intervals. A message that
/// waits for Devo stays in flight and uses none up.
const RECEIVES_MAX: u32 = 20;

/// CloudFormation's limit on a template's description.
const DESCRIPTION_BYTES_MAX: usize = 1024;

/// The reason why there is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("a stack is created in one region, and the queues are in {0}: choose one with --region")]
    Regions(String),
    #[error("there is nothing to create: no enabled input of the configuration reads a queue or an API")]
    Nothing,
    #[error("the queue of {input} has a name that SQS would not accept: {name:?}")]
    Name { input: String, name: String },
}

/// Builds the template for all queues of `needs`, with existing buckets (of `wishes`) or new ones.
///
/// # Errors
/// If there are queues of several regions, or none.
pub fn template(needs: &Needs, wishes: &Wishes) -> Result<Document, TemplateError> {
    Ok(unused::noted(made(needs, wishes)?, wishes, |wishes| made(needs, wishes).ok()))
}

fn made(needs: &Needs, wishes: &Wishes) -> Result<Document, TemplateError> {
    let region = check(needs)?;
    let mut parts = Parts::default();
    let mut readers = Vec::new();
    for queue in &needs.queues {
        let reads = parts.add_queue(queue, wishes);
        readers.push((queue, reads));
    }
    access::add(&mut parts, &readers, &needs.all_calls(), wishes);
    if let Some(table) = &needs.table {
        parts.add_table(table, region);
    }
    parts.notes.insert(0, deployment(region, &parts.parameters));
    let mut template = Map::new();
    template.insert("AWSTemplateFormatVersion".into(), "2010-09-09".into());
    template.insert("Description".into(), description(needs, wishes).into());
    if !parts.parameters.is_empty() {
        template.insert("Parameters".into(), parts.parameters.into());
    }
    template.insert("Resources".into(), parts.resources.into());
    template.insert("Outputs".into(), parts.outputs.into());
    Ok(Document { json: template.into(), notes: parts.notes })
}

/// The template's description, with the one thing that the stack cannot do. CloudFormation allows 1,024 bytes.
fn description(needs: &Needs, wishes: &Wishes) -> String {
    let mut text = format!("What aws-to-devo reads as {}.", needs.inputs().join(", "));
    let is_read =
        |bucket: &Bucket| needs.queues.iter().any(|it| it.announces && bucket.belongs_to(&it.input));
    let used = wishes.buckets.iter().filter(|bucket| is_read(bucket));
    let names: Vec<&str> = used.map(|bucket| bucket.name.as_str()).collect();
    if !names.is_empty() {
        let what = "Turn on EventBridge in the properties of each existing bucket, or its rule gets nothing:";
        text.push_str(&format!(" {what} {}.", names.join(", ")));
    }
    let end = text.floor_char_boundary(DESCRIPTION_BYTES_MAX);
    text.truncate(end);
    text
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
    if let Some(queue) = needs.queues.iter().find(|queue| !is_name(&queue.name, 80)) {
        return Err(TemplateError::Name { input: queue.label.clone(), name: queue.name.clone() });
    }
    match regions[..] {
        [] => Err(TemplateError::Nothing),
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
        "Tags": tags(),
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
        "Tags": tags(),
    });
    if queue.is_fifo() {
        properties["FifoQueue"] = true.into();
    }
    kept("AWS::SQS::Queue", "Delete", properties)
}

/// Fires when a message could not be delivered. Without a topic it only shows in CloudWatch.
fn alarm(queue: &Queue, dead_letters: &str, wishes: &Wishes) -> Value {
    let mut properties = json!({
        "AlarmDescription": format!("aws-to-devo could not deliver messages of {}", queue.label),
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": [{"Name": "QueueName", "Value": {"Fn::GetAtt": [dead_letters, "QueueName"]}}],
        "Statistic": "Maximum",
        "Period": 300,
        "EvaluationPeriods": 1,
        "Threshold": 0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "Tags": tags(),
    });
    if let Some(topic) = &wishes.extras.alarm_topic {
        properties["AlarmActions"] = json!([topic]);
    }
    json!({"Type": "AWS::CloudWatch::Alarm", "Properties": properties})
}

/// Billed by the call. A deleted stack keeps it: without its checkpoints, sources would begin anew.
fn shared_table(table: &SharedTable) -> Value {
    let keys = [("pk", "HASH"), ("sk", "RANGE")];
    let attribute = |(name, _): (&str, &str)| json!({"AttributeName": name, "AttributeType": "S"});
    let key = |(name, kind): (&str, &str)| json!({"AttributeName": name, "KeyType": kind});
    let properties = json!({
        "TableName": table.name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": keys.map(attribute),
        "KeySchema": keys.map(key),
        "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": true},
        "SSESpecification": {"SSEEnabled": true},
        "Tags": tags(),
    });
    kept("AWS::DynamoDB::Table", "Retain", properties)
}

impl Parts {
    fn add_table(&mut self, table: &SharedTable, region: &str) {
        if table.region == region {
            self.resource("SharedTable", shared_table(table));
        } else {
            self.notes.push(format!(
                "the table {} is in {}, which a stack of {region} cannot create: create one there with the keys pk and sk \
                 (both texts) and the time-to-live attribute expires",
                table.name, table.region
            ));
        }
    }

    pub(super) fn add_queue(&mut self, queue: &Queue, wishes: &Wishes) -> Reads {
        let stem = self.names.stem(&queue.label);
        let (id, dead) = (format!("{stem}Queue"), format!("{stem}DeadLetters"));
        self.resource(&dead, dead_letters(queue));
        self.resource(&id, queue_itself(queue, &dead));
        self.resource(&format!("{dead}Alarm"), alarm(queue, &dead, wishes));
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
