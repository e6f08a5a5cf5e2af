//! The least policy that a configuration needs.

use serde_json::{Value, json};

use super::needs::{Needs, Queue, Rights, last_role};
use super::{Document, Wishes, unused};
use crate::aws::endpoint::partition;
use crate::settings::Credentials;

/// Placeholder for a bucket's name: no bucket can have it.
const UNKNOWN_BUCKET: &str = "arn:aws:s3:::NAME-OF-YOUR-BUCKET/*";

/// The identity that a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Identity {
    /// The identity that reads queues and objects: the last configured role, else the key or machine itself.
    #[default]
    Reader,
    /// `aws_base_account_role` before `aws_cross_account_role`.
    BaseRole,
    /// The key or machine before the first role.
    Start,
}

/// One statement that allows something.
#[derive(Debug, Clone)]
pub struct Statement {
    pub sid: &'static str,
    pub actions: Vec<&'static str>,
    pub resources: Vec<Value>,
}

/// The policy of one identity, ready for `aws iam put-role-policy`.
pub fn policy(needs: &Needs, wishes: &Wishes, identity: Identity) -> Document {
    unused::noted(made(needs, wishes, identity), wishes, |wishes| Some(made(needs, wishes, identity)))
}

fn made(needs: &Needs, wishes: &Wishes, identity: Identity) -> Document {
    let mut notes = Vec::new();
    let statements = match identity {
        Identity::Reader => {
            notes.extend(reader_notes(needs, wishes));
            reader(needs, wishes)
        }
        Identity::BaseRole => assume(needs, |credentials| {
            credentials.base_role.as_ref().and(credentials.cross_account_role.as_ref())
        }),
        Identity::Start => assume(needs, |credentials| {
            credentials.base_role.as_ref().or(credentials.cross_account_role.as_ref())
        }),
    };
    if statements.is_empty() {
        notes.push("no role is configured: this identity needs nothing".to_owned());
    }
    Document { json: document(&statements), notes }
}

/// Combines statements into a policy.
pub fn document(statements: &[Statement]) -> Value {
    let statement = |statement: &Statement| {
        json!({
            "Sid": statement.sid,
            "Effect": "Allow",
            "Action": statement.actions,
            "Resource": statement.resources,
        })
    };
    json!({"Version": "2012-10-17", "Statement": statements.iter().map(statement).collect::<Vec<_>>()})
}

fn reader(needs: &Needs, wishes: &Wishes) -> Vec<Statement> {
    let arn = |queue: &&Queue| Value::String(queue.arn());
    let (delete, keep): (Vec<&Queue>, Vec<&Queue>) = needs.queues.iter().partition(|queue| queue.deletes);
    let mut statements = Vec::new();
    statements.extend(read_queues(delete.iter().map(arn).collect(), true));
    statements.extend(read_queues(keep.iter().map(arn).collect(), false));
    statements
        .extend(find_queues(needs.queues.iter().filter(|queue| queue.by_name).map(|q| arn(&q)).collect()));
    statements
        .extend(count_dead_letters(wishes.dead_letters.iter().map(|arn| arn.as_str().into()).collect()));
    if needs.queues.iter().any(|queue| queue.announces) {
        let partition = needs.queues.first().map_or("aws", |queue| partition(&queue.region));
        let used = || wishes.buckets.iter().filter(|b| needs.queues.iter().any(|q| b.belongs_to(&q.input)));
        let objects: Vec<Value> = used().map(|bucket| bucket.objects_arn(partition).into()).collect();
        let objects = if objects.is_empty() { vec![UNKNOWN_BUCKET.into()] } else { objects };
        statements.push(read_objects(objects, wishes));
        let buckets: Vec<Value> = used().map(|bucket| bucket.arn(partition).into()).collect();
        statements.extend(list_buckets(buckets, wishes));
    }
    statements.extend(decrypt(wishes));
    statements.extend(call_apis(needs.all_calls().iter().flat_map(|call| &call.rights)));
    statements
}

/// Receive, extend or return, and delete.
pub fn read_queues(queues: Vec<Value>, delete: bool) -> Option<Statement> {
    let mut actions = vec!["sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"];
    if delete {
        actions.insert(1, "sqs:DeleteMessage");
    }
    let sid = if delete { "ReadQueues" } else { "ReadQueuesAndKeepMessages" };
    (!queues.is_empty()).then_some(Statement { sid, actions, resources: queues })
}

/// A queue of which only the name is known.
pub fn find_queues(queues: Vec<Value>) -> Option<Statement> {
    let statement = Statement { sid: "FindQueues", actions: vec!["sqs:GetQueueUrl"], resources: queues };
    (!statement.resources.is_empty()).then_some(statement)
}

/// For the count on the status page and in the metrics.
pub fn count_dead_letters(queues: Vec<Value>) -> Option<Statement> {
    let actions = vec!["sqs:GetQueueAttributes"];
    let statement = Statement { sid: "CountDeadLetters", actions, resources: queues };
    (!statement.resources.is_empty()).then_some(statement)
}

/// Each API once, with all its resources.
pub fn call_apis<'a>(rights: impl Iterator<Item = &'a Rights>) -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::new();
    for Rights { sid, actions, resource } in rights {
        let resource = Value::from(resource.as_str());
        match statements.iter_mut().find(|known| known.sid == *sid) {
            Some(known) => {
                if !known.resources.contains(&resource) {
                    known.resources.push(resource);
                }
                let is_new = |action: &&&'static str| !known.actions.contains(action);
                let more: Vec<&'static str> = actions.iter().filter(is_new).copied().collect();
                known.actions.extend(more);
            }
            None => statements.push(Statement { sid, actions: actions.to_vec(), resources: vec![resource] }),
        }
    }
    statements
}

pub fn read_objects(objects: Vec<Value>, wishes: &Wishes) -> Statement {
    let mut actions = vec!["s3:GetObject"];
    if wishes.versioned {
        actions.push("s3:GetObjectVersion");
    }
    Statement { sid: "ReadObjects", actions, resources: objects }
}

pub fn list_buckets(buckets: Vec<Value>, wishes: &Wishes) -> Option<Statement> {
    let mut actions = vec!["s3:ListBucket"];
    if wishes.audit {
        actions.push("s3:GetBucketNotification");
    }
    let statement = Statement { sid: "ListBuckets", actions, resources: buckets };
    ((wishes.list || wishes.audit) && !statement.resources.is_empty()).then_some(statement)
}

pub fn decrypt(wishes: &Wishes) -> Option<Statement> {
    let keys = wishes.kms_keys.iter().map(|key| Value::from(key.as_str())).collect();
    let statement = Statement { sid: "Decrypt", actions: vec!["kms:Decrypt"], resources: keys };
    (!wishes.kms_keys.is_empty()).then_some(statement)
}

fn assume<'a>(needs: &'a Needs, role: impl Fn(&'a Credentials) -> Option<&'a String>) -> Vec<Statement> {
    let mut roles: Vec<Value> = Vec::new();
    for role in needs.credentials().filter_map(role) {
        if !roles.iter().any(|known| known == role) {
            roles.push(role.as_str().into());
        }
    }
    if roles.is_empty() {
        return Vec::new();
    }
    vec![Statement { sid: "AssumeRoles", actions: vec!["sts:AssumeRole"], resources: roles }]
}

fn reader_notes(needs: &Needs, wishes: &Wishes) -> Vec<String> {
    let mut notes = Vec::new();
    let without_bucket = |queue: &&Queue| {
        queue.announces && !wishes.buckets.iter().any(|bucket| bucket.belongs_to(&queue.input))
    };
    let missing: Vec<&str> =
        needs.queues.iter().filter(without_bucket).map(|queue| queue.label.as_str()).collect();
    if !missing.is_empty() {
        notes.push(format!(
            "the configuration does not say which buckets have the objects of {}: add --bucket NAME (or --bucket \
             INPUT=NAME/FOLDER), or fill in the name",
            missing.join(", ")
        ));
    }
    if wishes.dead_letters.is_empty() && !needs.queues.is_empty() {
        notes.push("--dead-letter-queue ARN only lets the collector count dead letters".to_owned());
    }
    for queue in needs.queues.iter().filter(|queue| queue.account == "*") {
        notes.push(format!(
            "the account of {}'s queue is unknown: replace * with the account's number",
            queue.label
        ));
    }
    let mut roles: Vec<Option<&String>> = needs.credentials().map(last_role).collect();
    roles.dedup();
    if roles.len() > 1 {
        notes.push(
            "the inputs have different roles or keys: --input NAME prints what one of them needs".to_owned(),
        );
    }
    if let Some(role) = roles.into_iter().flatten().next() {
        notes.push(format!(
            "this is the policy of the role that reads ({role}); --identity start and --identity base-role print \
             those of the identities that assume it"
        ));
    }
    for queue in needs.queues.iter().filter(|queue| queue.is_crowdstrikes() && queue.role().is_none()) {
        notes.push(format!(
            "{} may omit this if it reads CrowdStrike's own queue: their key already has its rights",
            queue.input
        ));
    }
    notes
}
