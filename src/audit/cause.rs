//! The probable cause why objects were never announced.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::report::Missing;
use crate::aws::notification::Notification;
use crate::aws::{Attributes, S3, Sqs};
use crate::base::text::{one_line, span};

/// Facts about a bucket with missing objects, and about the queue that should have announced them.
#[derive(Debug)]
pub struct Facts {
    pub bucket: String,
    /// One of the missing objects.
    pub key: String,
    /// The age of the oldest of them.
    pub age: Duration,
    /// Err holds the reason why it is unknown.
    pub notification: Result<Notification, String>,
    pub queue: Result<Attributes, String>,
}

impl Facts {
    /// Asks S3 and SQS about a missing object, as far as the permissions allow.
    pub fn ask(s3: &S3, queue: &Sqs, missing: &Missing, now: Timestamp) -> Facts {
        let age = now.as_second().saturating_sub(missing.modified);
        Facts {
            bucket: missing.bucket.clone(),
            key: missing.key.clone(),
            age: Duration::from_secs(age.max(0).unsigned_abs()),
            notification: s3.notification(&missing.bucket).map_err(|error| error.to_string()),
            queue: queue.attributes().map_err(|error| error.to_string()),
        }
    }
}

/// Describes the most probable cause, and what to do about it.
pub fn probable(facts: &Facts) -> String {
    let Facts { bucket, key, age, notification, queue } = facts;
    let arn = queue.as_ref().ok().and_then(|queue| queue.arn.as_deref()).unwrap_or_default();
    match notification {
        Ok(notification) => {
            if let Some(cause) = of_notification(notification, bucket, key, arn) {
                return cause;
            }
        }
        Err(why) => {
            return format!(
                "whether bucket {bucket} announces them is unknown ({}); {}",
                why.trim_end_matches('.'),
                of_queue(queue, bucket, *age, false)
            );
        }
    }
    of_queue(queue, bucket, *age, true)
}

/// Returns None if the bucket announces the key to the queue.
fn of_notification(notification: &Notification, bucket: &str, key: &str, queue: &str) -> Option<String> {
    let key_shown = one_line(key);
    let announcing = || notification.rules.iter().filter(|rule| rule.announces(key));
    // A queue with an unknown ARN may be any of them.
    if announcing().any(|rule| rule.target == queue || queue.is_empty()) {
        return None;
    }
    if let Some(other) = announcing().next() {
        let target = &other.target;
        return Some(match target.contains(":sqs:") {
            true => format!(
                "bucket {bucket} announces {key_shown} to another queue, {target}: add {queue}, or read that queue"
            ),
            false => format!(
                "bucket {bucket} announces {key_shown} to {target}: make sure that it passes the notifications on to the queue {queue}"
            ),
        });
    }
    if notification.event_bridge {
        return Some(format!(
            "bucket {bucket} announces {key_shown} only to EventBridge: make sure that a rule there (source aws.s3, Object \
             Created, this prefix) sends it to the queue {queue}"
        ));
    }
    let prefixes: Vec<String> = notification.rules.iter().map(|rule| format!("{:?}", rule.prefix)).collect();
    Some(match prefixes.is_empty() {
        true => format!(
            "bucket {bucket} announces nothing: add an event notification of s3:ObjectCreated:* to the queue {queue}"
        ),
        false => format!(
            "there is no notification for this prefix: none of the rules of bucket {bucket} announces {key_shown} (their \
             prefixes: {}): add one for it with the queue {queue} as its target",
            prefixes.join(", ")
        ),
    })
}

fn of_queue(queue: &Result<Attributes, String>, bucket: &str, age: Duration, announced: bool) -> String {
    let queue = match queue {
        Ok(queue) => queue,
        Err(why) => return format!("the queue's attributes cannot be read: {why}"),
    };
    let perhaps = if announced { "" } else { "perhaps " };
    if !queue.policy.as_deref().is_some_and(|policy| lets_send(policy, bucket)) && announced {
        return format!(
            "the queue's policy does not let bucket {bucket} send to it: allow sqs:SendMessage for s3.amazonaws.com with \
             aws:SourceArn arn:aws:s3:::{bucket}"
        );
    }
    let waiting = queue.available + queue.in_flight + queue.delayed;
    if waiting > 0 {
        return format!(
            "about {waiting} messages are still in the queue, and may announce these objects: the collector is behind, or \
             does not run"
        );
    }
    if let Some(retention) = queue.retention.filter(|retention| *retention < age) {
        return format!(
            "the queue is empty and retains messages for {}; the oldest of these objects is {} old: {perhaps}their \
             messages have expired",
            span(retention),
            span(age)
        );
    }
    format!(
        "the queue is empty: {perhaps}their messages were taken by another consumer of the queue or by its dead-letter queue, \
         were purged, or the notification was set up after these objects were written. If the collector's log says that its \
         ledger could not be written, it may have delivered them all the same"
    )
}

/// Returns true if the queue's policy lets S3 send notifications of the bucket.
pub fn lets_send(policy: &str, bucket: &str) -> bool {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else { return false };
    let statements = texts_or_values(&policy["Statement"]);
    statements.iter().any(|statement| {
        let is_send = |action: &str| {
            let action = action.to_ascii_lowercase();
            matches!(action.as_str(), "*" | "sqs:*" | "sqs:send*" | "sqs:sendmessage")
        };
        let is_s3 = |principal: &str| principal == "*" || principal.starts_with("s3.amazonaws.com");
        let principals = match &statement["Principal"] {
            Value::String(all) => vec![all.as_str()],
            principal => [&principal["Service"], &principal["AWS"]].into_iter().flat_map(texts).collect(),
        };
        let sources = sources(statement);
        statement["Effect"] == "Allow"
            && texts(&statement["Action"]).iter().any(|action| is_send(action))
            && principals.iter().any(|principal| is_s3(principal))
            && (sources.is_empty() || sources.iter().any(|source| is_of(source, bucket)))
    })
}

/// The buckets that a queue's policy allows to send.
pub fn senders(policy: &str) -> Vec<String> {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else { return Vec::new() };
    let statements = texts_or_values(&policy["Statement"]);
    let sources = statements.iter().flat_map(|statement| sources(statement));
    let mut buckets: Vec<String> = sources
        .filter_map(|source| source.split_once(":s3:::").map(|(_, bucket)| bucket.to_owned()))
        .filter(|bucket| !bucket.is_empty() && !bucket.contains(['*', '?', '/']))
        .collect();
    buckets.sort_unstable();
    buckets.dedup();
    buckets
}

/// The values of `aws:SourceArn`, for any condition operator.
fn sources(statement: &Value) -> Vec<&str> {
    let Some(condition) = statement["Condition"].as_object() else { return Vec::new() };
    let of_operator = condition.values().filter_map(Value::as_object).flatten();
    of_operator
        .filter(|(key, _)| key.eq_ignore_ascii_case("aws:SourceArn"))
        .flat_map(|(_, value)| texts(value))
        .collect()
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn texts_or_values(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(all) => all.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

/// Returns true if an ARN, which may contain `*`, matches the bucket.
fn is_of(source: &str, bucket: &str) -> bool {
    let Some((_, pattern)) = source.split_once(":s3:::") else { return source == "*" };
    match pattern.split_once('*') {
        None => pattern == bucket,
        Some((before, after)) => {
            bucket.starts_with(before)
                && bucket.len() >= before.len() + after.len()
                && bucket.ends_with(after)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::notification::Rule;

    const QUEUE: &str = "arn:aws:sqs:us-east-1:1:q";
    const POLICY: &str = r#"{"Statement": [{"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::logs"}}}]}"#;

    fn facts() -> Facts {
        let rule = Rule {
            target: QUEUE.to_owned(),
            events: vec!["s3:ObjectCreated:*".to_owned()],
            prefix: "AWSLogs/1/".to_owned(),
            suffix: String::new(),
        };
        Facts {
            bucket: "logs".into(),
            key: "AWSLogs/1/x".into(),
            age: Duration::from_secs(3600),
            notification: Ok(Notification { rules: vec![rule], event_bridge: false }),
            queue: Ok(Attributes {
                arn: Some(QUEUE.to_owned()),
                retention: Some(Duration::from_secs(86_400)),
                policy: Some(POLICY.to_owned()),
                ..Attributes::default()
            }),
        }
    }

    fn changed(change: impl FnOnce(&mut Facts)) -> String {
        let mut facts = facts();
        change(&mut facts);
        probable(&facts)
    }

    fn rule(facts: &mut Facts) -> &mut Rule {
        &mut facts.notification.as_mut().unwrap().rules[0]
    }

    #[test]
    fn every_cause_is_told_from_the_others() {
        for (cause, words) in [
            (changed(|f| f.notification = Ok(Notification::default())), "announces nothing"),
            (changed(|f| f.key = "AWSLogs/2/x".into()), "no notification for this prefix"),
            (
                changed(|f| rule(f).events = vec!["s3:ObjectRemoved:*".into()]),
                "no notification for this prefix",
            ),
            (
                changed(|f| rule(f).target = "arn:aws:sqs:us-east-1:1:r".into()),
                "to another queue, arn:aws:sqs",
            ),
            (changed(|f| rule(f).target = "arn:aws:sns:us-east-1:1:t".into()), "passes the notifications on"),
            (
                changed(|f| {
                    f.notification = Ok(Notification { event_bridge: true, ..Notification::default() });
                }),
                "only to EventBridge",
            ),
            (changed(|f| f.queue.as_mut().unwrap().policy = None), "allow sqs:SendMessage"),
            (changed(|f| f.queue.as_mut().unwrap().available = 7), "about 7 messages are still in the queue"),
            (changed(|f| f.age = Duration::from_secs(172_800)), "their messages have expired"),
            (changed(|_| ()), "the queue is empty"),
            (
                changed(|f| f.notification = Err("s3:GetBucketNotification: AccessDenied".into())),
                "AccessDenied",
            ),
            (changed(|f| f.queue = Err("AccessDenied".into())), "cannot be read"),
        ] {
            assert!(cause.contains(words), "{words} is not in {cause}");
        }
    }

    #[test]
    fn policies_let_some_buckets_send() {
        let policy = |principal: &str, action: &str, condition: &str| {
            format!(
                r#"{{"Statement": {{"Effect": "Allow", "Principal": {principal}, "Action": {action}, "Condition": {condition}}}}}"#
            )
        };
        let s3 = r#"{"Service": ["s3.amazonaws.com"]}"#;
        for (principal, action, condition, lets) in [
            (s3, r#""SQS:SendMessage""#, "{}", true),
            (r#""*""#, r#"["sqs:ReceiveMessage", "sqs:*"]"#, "{}", true),
            (
                r#"{"AWS": "*"}"#,
                r#""*""#,
                r#"{"StringLike": {"aws:SourceArn": ["arn:aws:s3:::lo*s"]}}"#,
                true,
            ),
            (s3, r#""sqs:SendMessage""#, r#"{"ArnEquals": {"AWS:SourceArn": "arn:aws:s3:::other"}}"#, false),
            (s3, r#""sqs:ReceiveMessage""#, "{}", false),
            (r#"{"Service": "sns.amazonaws.com"}"#, r#""sqs:SendMessage""#, "{}", false),
        ] {
            assert_eq!(
                lets_send(&policy(principal, action, condition), "logs"),
                lets,
                "{principal} {action} {condition}"
            );
        }
        assert!(!lets_send("no JSON", "logs") && !lets_send("{}", "logs"));
        assert_eq!(senders(POLICY), ["logs"]);
        assert!(
            senders(r#"{"Statement": [{"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::lo*"}}}]}"#)
                .is_empty()
        );
    }
}
