//! Access for readers: a policy for each configured role, or one to be attached by hand, and the roles.

use serde_json::{Value, json};

use super::parts::tags;
use super::{Parts, Reads};
use crate::settings::Credentials;
use crate::setup::arn::{account_of, role_in};
use crate::setup::needs::{Call, Queue, Rights, last_role};
use crate::setup::{Wishes, policy};

pub(super) fn add(parts: &mut Parts, readers: &[(&Queue, Reads)], calls: &[Call], wishes: &Wishes) {
    let credentials = readers.iter().map(|(queue, _)| &queue.credentials);
    let mut of_roles: Vec<&Credentials> = Vec::new();
    for credentials in credentials.chain(calls.iter().map(|call| &call.credentials)) {
        if !of_roles.iter().any(|known| last_role(known) == last_role(credentials)) {
            of_roles.push(credentials);
        }
    }
    for credentials in of_roles {
        let role = last_role(credentials);
        let own: Vec<&(&Queue, Reads)> = readers.iter().filter(|(queue, _)| queue.role() == role).collect();
        let calls = calls.iter().filter(|call| last_role(&call.credentials) == role);
        let name = role.map_or_else(|| "Reader".to_owned(), |role| parts.names.stem(&role_in(role).1));
        let id = format!("{name}Policy");
        parts.resource(&id, managed_policy(&own, calls.flat_map(|call| &call.rights), wishes));
        match role {
            Some(role) => {
                add_role(parts, role, &format!("{name}Role"), &id, credentials);
                own.iter().for_each(|(queue, _)| note_another_account(parts, role, queue));
            }
            None => parts.output(
                &format!("{id}Arn"),
                json!({"Ref": id}),
                "Attach it to the user or role that the collector runs as",
            ),
        }
    }
}

fn managed_policy<'a>(
    readers: &[&(&Queue, Reads)],
    calls: impl Iterator<Item = &'a Rights>,
    wishes: &Wishes,
) -> Value {
    let queues = |is: fn(&Queue) -> bool| -> Vec<Value> {
        readers.iter().filter(|(queue, _)| is(queue)).map(|(_, reads)| reads.queue.clone()).collect()
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
    let mut statements: Vec<policy::Statement> = Vec::new();
    statements.extend(policy::read_queues(queues(|queue| queue.deletes), true));
    statements.extend(policy::read_queues(queues(|queue| !queue.deletes), false));
    statements.extend(policy::find_queues(queues(|queue| queue.by_name)));
    let dead_letters = readers.iter().map(|(_, reads)| reads.dead_letters.clone()).collect();
    statements.extend(policy::count_dead_letters(dead_letters));
    let objects = all(|reads| &reads.objects);
    if !objects.is_empty() {
        statements.push(policy::read_objects(objects, wishes));
    }
    statements.extend(policy::list_buckets(all(|reads| &reads.buckets), wishes));
    statements.extend(policy::decrypt(wishes));
    statements.extend(policy::call_apis(calls));
    json!({"Type": "AWS::IAM::ManagedPolicy", "Properties": {
        "Description": "What aws-to-devo reads",
        "PolicyDocument": policy::document(&statements),
    }})
}

fn add_role(parts: &mut Parts, arn: &str, id: &str, policy: &str, credentials: &Credentials) {
    let (path, name) = role_in(arn);
    let trusted = trusted(parts, credentials);
    let mut trust = json!({"Effect": "Allow", "Principal": {"AWS": trusted}, "Action": "sts:AssumeRole"});
    if credentials.external_id.is_some() {
        parts.parameter(
            "ExternalId",
            json!({"Type": "String", "MinLength": 2, "NoEcho": true,
                   "Description": "aws_external_id of the configuration"}),
        );
        trust["Condition"] = json!({"StringEquals": {"sts:ExternalId": {"Ref": "ExternalId"}}});
    }
    parts.resource(
        id,
        json!({"Type": "AWS::IAM::Role", "Properties": {
            "RoleName": name,
            "Path": path,
            "Tags": tags(),
            "Description": "Assumed by aws-to-devo",
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "ManagedPolicyArns": [{"Ref": policy}],
        }}),
    );
    parts.output(&format!("{id}Arn"), json!({"Fn::GetAtt": [id, "Arn"]}), "The role of the configuration");
}

fn note_another_account(parts: &mut Parts, arn: &str, queue: &Queue) {
    if let Some(account) = account_of(arn).filter(|account| *account != queue.account && queue.account != "*")
    {
        parts.notes.push(format!(
            "{}: the role is of account {account}, the queue of account {}: the stack creates both in its own account",
            queue.label, queue.account
        ));
    }
}

/// The base role; without one, a parameter of the stack; for a role of the own account, the account.
fn trusted(parts: &mut Parts, credentials: &Credentials) -> Value {
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
