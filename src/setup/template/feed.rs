//! Announcements of objects to a queue: a bucket's own notifications if the bucket is new, EventBridge rules if it
//! exists already (a template cannot change a bucket that is not its own), and for FIFO queues, which S3 does not write
//! to.

use serde_json::{Value, json};

use super::{Parts, arn_of, kept, tags};
use crate::settings::Bucket;
use crate::setup::needs::Queue;
use crate::setup::writers::{self, Writer};
use crate::setup::{Extras, Wishes};

/// Services that read a trail's own objects.
const TRAILS: [&str; 2] = ["aws_sqs_cloudtrail", "audit-events-all/audits_s3"];

/// Adds buckets, rules and the queue's policy. Returns what the reader may read: objects and buckets.
pub(super) fn add(parts: &mut Parts, queue: &Queue, stem: &str, wishes: &Wishes) -> (Vec<Value>, Vec<Value>) {
    if !queue.announces {
        add_sender(parts, queue, stem);
        return (Vec::new(), Vec::new());
    }
    let own: Vec<&Bucket> = wishes.buckets.iter().filter(|bucket| bucket.belongs_to(&queue.input)).collect();
    if own.is_empty() {
        return new_bucket(parts, queue, stem, &wishes.extras);
    }
    let partition = queue.partition();
    let mut rules = Vec::new();
    for (number, bucket) in own.iter().enumerate() {
        let id = if number == 0 { format!("{stem}Rule") } else { format!("{stem}Rule{}", number + 1) };
        parts.resource(&id, rule(queue, stem, json!([bucket.name]), &bucket.prefix));
        parts.notes.push(format!(
            "{}: enable EventBridge in the properties of bucket {}, in region {} (aws s3api \
             put-bucket-notification-configuration replaces the bucket's configuration: read that first)",
            queue.input, bucket.name, queue.region
        ));
        rules.push(arn_of(&id));
    }
    parts.resource(
        &format!("{stem}QueuePolicy"),
        queue_policy(stem, "events.amazonaws.com", &json!({"ArnEquals": {"aws:SourceArn": rules}})),
    );
    let objects = own.iter().map(|bucket| bucket.objects_arn(partition).into()).collect();
    (objects, own.iter().map(|bucket| bucket.arn(partition).into()).collect())
}

/// The sender of messages that are logs themselves, if a service says it.
fn add_sender(parts: &mut Parts, queue: &Queue, stem: &str) {
    let is = |name: &str| queue.services.iter().any(|service| service == name);
    let pattern = if is("service-events-all") {
        json!({"account": [{"Ref": "AWS::AccountId"}]})
    } else if is("sqs-cloudwatch-consumer") {
        json!({"source": ["aws.securityhub"]})
    } else {
        parts.notes.push(format!(
            "{}: the messages are the logs themselves; allow their senders in a policy of the queue",
            queue.label
        ));
        return;
    };
    let id = format!("{stem}Rule");
    parts.resource(&id, rule_for(queue, stem, "Events", &pattern));
    let condition = json!({"ArnEquals": {"aws:SourceArn": [arn_of(&id)]}});
    parts.resource(&format!("{stem}QueuePolicy"), queue_policy(stem, "events.amazonaws.com", &condition));
}

fn new_bucket(parts: &mut Parts, queue: &Queue, stem: &str, extras: &Extras) -> (Vec<Value>, Vec<Value>) {
    let (id, policy) = (format!("{stem}Bucket"), format!("{stem}QueuePolicy"));
    let mut properties = json!({
        "BucketEncryption": {"ServerSideEncryptionConfiguration": [
            {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        ]},
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true
        },
    });
    properties["Tags"] = tags();
    if let Some(days) = extras.expire_days {
        properties["LifecycleConfiguration"] = json!({"Rules": [{
            "Id": "expire",
            "Status": "Enabled",
            "ExpirationInDays": days,
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        }]});
    }
    let owner = json!({"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}});
    let mut bucket;
    if queue.is_fifo() {
        properties["NotificationConfiguration"] =
            json!({"EventBridgeConfiguration": {"EventBridgeEnabled": true}});
        bucket = kept("AWS::S3::Bucket", "Retain", properties);
        let rule_id = format!("{stem}Rule");
        parts.resource(&rule_id, rule(queue, stem, json!([{"Ref": id}]), ""));
        let condition = json!({"ArnEquals": {"aws:SourceArn": [arn_of(&rule_id)]}});
        parts.resource(&policy, queue_policy(stem, "events.amazonaws.com", &condition));
    } else {
        properties["NotificationConfiguration"] = json!({"QueueConfigurations": [
            {"Event": "s3:ObjectCreated:*", "Queue": arn_of(&format!("{stem}Queue"))}
        ]});
        bucket = kept("AWS::S3::Bucket", "Retain", properties);
        // S3 tests the queue when the notification is created. The policy names the account, not the bucket, whose name
        // is not known before.
        bucket["DependsOn"] = policy.clone().into();
        parts.resource(&policy, queue_policy(stem, "s3.amazonaws.com", &owner));
    }
    parts.resource(&id, bucket);
    let writers = writers::of(&queue.services);
    if !writers.is_empty() {
        parts.resource(&format!("{id}Policy"), bucket_policy(&id, &writers));
    }
    if extras.trail && queue.services.iter().any(|service| TRAILS.contains(&service.as_str())) {
        parts.resource(&format!("{stem}Trail"), trail(&id));
    }
    parts.output(
        &format!("{id}Name"),
        json!({"Ref": id}),
        &format!("Have the logs of {} written here", queue.label),
    );
    (vec![json!({"Fn::Sub": format!("${{{id}.Arn}}/*")})], vec![arn_of(&id)])
}

/// A trail of all regions' management events. Its bucket must accept it before it is created.
fn trail(bucket: &str) -> Value {
    json!({"Type": "AWS::CloudTrail::Trail", "DependsOn": format!("{bucket}Policy"), "Properties": {
        "S3BucketName": {"Ref": bucket},
        "IsLogging": true,
        "IsMultiRegionTrail": true,
        "IncludeGlobalServiceEvents": true,
        "EnableLogFileValidation": true,
        "Tags": tags(),
    }})
}

/// Sends every new object of a bucket to the queue.
fn rule(queue: &Queue, stem: &str, bucket: Value, prefix: &str) -> Value {
    let mut detail = json!({"bucket": {"name": bucket}});
    if !prefix.is_empty() {
        detail["object"] = json!({"key": [{"prefix": prefix}]});
    }
    let pattern = json!({"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail});
    rule_for(queue, stem, "New objects", &pattern)
}

/// Sends every event of the pattern to the queue.
fn rule_for(queue: &Queue, stem: &str, what: &str, pattern: &Value) -> Value {
    let mut target = json!({"Id": "queue", "Arn": arn_of(&format!("{stem}Queue"))});
    if queue.is_fifo() {
        target["SqsParameters"] = json!({"MessageGroupId": "aws-to-devo"});
    }
    json!({"Type": "AWS::Events::Rule", "Properties": {
        "Description": format!("{what} for {}", queue.label),
        "EventPattern": pattern,
        "Targets": [target],
    }})
}

fn queue_policy(stem: &str, sender: &str, condition: &Value) -> Value {
    let queue = format!("{stem}Queue");
    json!({"Type": "AWS::SQS::QueuePolicy", "Properties": {
        "Queues": [{"Ref": queue}],
        "PolicyDocument": {"Version": "2012-10-17", "Statement": [{
            "Sid": "Announce",
            "Effect": "Allow",
            "Principal": {"Service": sender},
            "Action": "sqs:SendMessage",
            "Resource": arn_of(&queue),
            "Condition": condition,
        }]},
    }})
}

/// Allows AWS's own services to write, for this account only, and refuses plain HTTP.
fn bucket_policy(bucket: &str, writers: &[Writer]) -> Value {
    let account = json!({"aws:SourceAccount": {"Ref": "AWS::AccountId"}});
    let (itself, objects) = (arn_of(bucket), json!({"Fn::Sub": format!("${{{bucket}.Arn}}/*")}));
    let mut statements = Vec::new();
    for writer in writers {
        let principal = json!({"Service": writer.principal});
        if !writer.looks.is_empty() {
            statements.push(json!({
                "Sid": format!("{}Looks", writer.name), "Effect": "Allow", "Principal": principal,
                "Action": writer.looks, "Resource": itself, "Condition": {"StringEquals": account},
            }));
        }
        let mut condition = account.clone();
        if writer.gives_control {
            condition["s3:x-amz-acl"] = "bucket-owner-full-control".into();
        }
        statements.push(json!({
            "Sid": format!("{}Writes", writer.name), "Effect": "Allow", "Principal": principal,
            "Action": "s3:PutObject", "Resource": objects, "Condition": {"StringEquals": condition},
        }));
    }
    statements.push(json!({
        "Sid": "OnlyTls", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [itself, objects],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }));
    json!({"Type": "AWS::S3::BucketPolicy", "Properties": {
        "Bucket": {"Ref": bucket},
        "PolicyDocument": {"Version": "2012-10-17", "Statement": statements},
    }})
}
