//! Options that change nothing in a document: a note says so, or the user would believe that they did.

use super::{Document, Extras, Wishes};
use crate::settings::Bucket;

/// A wish's option, the other wishes, and a reason why it may change nothing.
struct Omission {
    option: String,
    others: Wishes,
    reason: &'static str,
}

/// Adds a note for each wish without which the document would be the same.
pub(super) fn noted(
    mut document: Document,
    wishes: &Wishes,
    make: impl Fn(&Wishes) -> Option<Document>,
) -> Document {
    let omissions = omissions(wishes).into_iter();
    let unused = omissions.filter(|it| make(&it.others).is_some_and(|other| other.json == document.json));
    let notes: Vec<String> = unused
        .map(|Omission { option, reason, .. }| format!("{option} changes nothing here: {reason}"))
        .collect();
    document.notes.extend(notes);
    document
}

/// Every wish that was made, alone. The patterns have all fields, so that no wish can be forgotten.
fn omissions(wishes: &Wishes) -> Vec<Omission> {
    let Wishes { buckets, kms_keys, dead_letters, versioned, list, audit, extras } = wishes;
    let Extras { expire_days, trail, alarm_topic } = extras;
    let mut omissions = Vec::new();
    let mut add = |option: String, reason, omit: &dyn Fn(&mut Wishes)| {
        let mut others = wishes.clone();
        omit(&mut others);
        omissions.push(Omission { option, others, reason });
    };
    for bucket in buckets {
        add(shown(bucket), NO_READER, &|others| others.buckets.retain(|other| other != bucket));
    }
    for key in kms_keys {
        add(format!("--kms-key {key}"), NOT_READER, &|others| others.kms_keys.retain(|other| other != key));
    }
    for queue in dead_letters {
        let omit = |others: &mut Wishes| others.dead_letters.retain(|other| other != queue);
        add(format!("--dead-letter-queue {queue}"), OWN_DEAD_LETTERS, &omit);
    }
    if *versioned {
        add("--versioned".to_owned(), NO_OBJECTS, &|others| others.versioned = false);
    }
    // An audit lists the buckets too.
    if *list && !*audit {
        add("--list".to_owned(), NO_BUCKET, &|others| others.list = false);
    }
    if *audit {
        add("--audit (or globals.audit)".to_owned(), NO_BUCKET, &|others| others.audit = false);
    }
    if let Some(days) = expire_days {
        let omit = |others: &mut Wishes| others.extras.expire_days = None;
        add(format!("--expire-days {days}"), NO_NEW_BUCKET, &omit);
    }
    if *trail {
        add("--trail".to_owned(), NO_TRAIL, &|others| others.extras.trail = false);
    }
    if alarm_topic.is_some() {
        add("--alarm-topic".to_owned(), NO_QUEUE, &|others| others.extras.alarm_topic = None);
    }
    omissions
}

const NO_READER: &str = "no queue that it belongs to announces objects, or this identity reads none";
const NOT_READER: &str = "only the identity that reads decrypts";
const OWN_DEAD_LETTERS: &str =
    "a template knows its own dead-letter queues, and only the identity that reads counts them";
const NO_OBJECTS: &str = "nothing here reads objects";
const NO_BUCKET: &str = "no bucket is known that is read here: name it with --bucket";
const NO_NEW_BUCKET: &str = "no bucket is created; an existing one (--bucket) keeps its own lifecycle rules, to which you may add one";
const NO_TRAIL: &str = "a trail is created with a new bucket for aws_sqs_cloudtrail or audits_s3, and there is none here. For an existing \
     bucket (--bucket), create it in CloudTrail";
const NO_QUEUE: &str = "no queue is created, so there is no alarm on dead letters";

fn shown(bucket: &Bucket) -> String {
    let input = bucket.input.as_ref().map_or(String::new(), |input| format!("{input}="));
    let place = if bucket.prefix.is_empty() { String::new() } else { format!("/{}", bucket.prefix) };
    format!("--bucket {input}{}{place}", bucket.name)
}
