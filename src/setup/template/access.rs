//! Who may read: a policy for each role that is written, or one to be attached by hand, and the roles.

use serde_json::{Value, json};

use super::{Parts, Reads};
use crate::setup::arn::{account_of, role_in};
use crate::setup::needs::Queue;
use crate::setup::{Wishes, policy};

pub(super) fn add(parts: &mut Parts, readers: &[(&Queue, Reads)], wishes: &Wishes) {
    let mut roles: Vec<Option<&String>> = Vec::new();
    for (queue, _) in readers {
        if !roles.contains(&queue.role()) {
            roles.push(queue.role());
        }
    }
    for role in roles {
        let own: Vec<&(&Queue, Reads)> = readers.iter().filter(|(queue, _)| queue.role() == role).collect();
        let name = role.map_or_else(|| "Reader".to_owned(), |role| parts.names.stem(&role_in(role).1));
        let id = format!("{name}Policy");
        parts.resource(&id, managed_policy(&own, wishes));
        match role {
            Some(role) => add_role(parts, role, &format!("{name}Role"), &id, own[0].0),
            None => parts.output(
                &format!("{id}Arn"),
                json!({"Ref": id}),
                "Attach it to the user or role that the collector runs as",
            ),
        }
    }
}

fn managed_policy(readers: &[&(&Queue, Reads)], wishes: &Wishes) -> Value {
    let queues = |deletes: bool| {
        let own = readers.iter().filter(|(queue, _)| queue.deletes == deletes);
        policy::read_queues(own.map(|(_, reads)| reads.queue.clone()).collect(), deletes)
    };
    let all = |part: fn(&Reads) -> &Vec<Value>| -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        for value in readers.iter().flat_map(|(_, reads)| part(reads)) {
            if !all.contains(value) {
                all.push(value.clone());
            }
        }
        all
    };
    let mut statements: Vec<policy::Statement> =
        [queues(true), queues(false)].into_iter().flatten().collect();
    let objects = all(|reads| &reads.objects);
    if !objects.is_empty() {
        statements.push(policy::read_objects(objects, wishes));
    }
    statements.extend(policy::list_buckets(all(|reads| &reads.buckets), wishes));
    statements.extend(policy::decrypt(wishes));
    json!({"Type": "AWS::IAM::ManagedPolicy", "Properties": {
        "Description": "What aws-to-devo reads",
        "PolicyDocument": policy::document(&statements),
    }})
}

fn add_role(parts: &mut Parts, arn: &str, id: &str, policy: &str, queue: &Queue) {
    let (path, name) = role_in(arn);
    let trusted = trusted(parts, queue);
    let mut trust = json!({"Effect": "Allow", "Principal": {"AWS": trusted}, "Action": "sts:AssumeRole"});
    if queue.credentials.external_id.is_some() {
        parts.parameter(
            "ExternalId",
            json!({"Type": "String", "MinLength": 2, "Description": "aws_external_id of the configuration"}),
        );
        trust["Condition"] = json!({"StringEquals": {"sts:ExternalId": {"Ref": "ExternalId"}}});
    }
    parts.resource(
        id,
        json!({"Type": "AWS::IAM::Role", "Properties": {
            "RoleName": name,
            "Path": path,
            "Description": "Assumed by aws-to-devo",
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "ManagedPolicyArns": [{"Ref": policy}],
        }}),
    );
    parts.output(&format!("{id}Arn"), json!({"Fn::GetAtt": [id, "Arn"]}), "The role of the configuration");
    if let Some(account) = account_of(arn).filter(|account| *account != queue.account && queue.account != "*")
    {
        parts.notes.push(format!(
            "{}: the role is of account {account}, the queue of account {}: the stack makes both in its own account",
            queue.input, queue.account
        ));
    }
}

/// The base role; without one, who is told when the stack is made; for a role of the own account, the account.
fn trusted(parts: &mut Parts, queue: &Queue) -> Value {
    let credentials = &queue.credentials;
    match (&credentials.base_role, &credentials.cross_account_role) {
        (Some(base), Some(_)) => base.as_str().into(),
        (None, Some(_)) => {
            parts.parameter(
                "CollectorPrincipal",
                json!({"Type": "String", "MinLength": 20,
                       "Description": "ARN of the user or role that the collector runs as"}),
            );
            json!({"Ref": "CollectorPrincipal"})
        }
        _ => json!({"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}),
    }
}
