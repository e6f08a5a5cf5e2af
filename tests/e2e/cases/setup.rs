//! The output of the setup commands is sufficient and minimal: the collector works with exactly these rights, and a
//! stack made from the template delivers.

use std::process::Command;

use serde_json::{Value, json};

use crate::rig::aws::{self, ACCOUNT, Queue, User};
use crate::rig::collector::Ended;
use crate::rig::feeds;
use crate::rig::lab::{self, Lab};

#[test]
fn a_user_with_exactly_the_printed_policy_drains_the_queue() {
    let lab = Lab::new("least-policy");
    let object = feeds::vpc("l1", 20);
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let options = ["--bucket", &lab.bucket, "--dead-letter-queue", &lab.dead_letters.arn()];
    let policy = policy(&lab, &options, &config);
    let user = aws::create_user_with("least-policy", &policy);
    lab.put_and_announce(std::slice::from_ref(&object));
    let ended = lab.drain_all(&as_user(&config, &user));
    assert!(!ended.log.contains("AccessDenied"), "log:\n{}", ended.log);
    lab.expect_delivered(&object.frames);

    // Each of its statements is needed.
    for (number, gone) in ["sqs:ReceiveMessage", "s3:GetObject"].into_iter().enumerate() {
        let less = policy.replace(gone, "sqs:ListQueues");
        let user = aws::create_user_with(&format!("less-policy-{number}"), &less);
        lab.announce([object.key.as_str()]);
        let ended = lab.drain(&as_user(&config, &user));
        assert_eq!(ended.code, Some(1), "without {gone}; log:\n{}", ended.log);
        assert!(ended.log.contains(gone), "{gone} is not named; log:\n{}", ended.log);
    }
}

#[test]
fn a_role_s_chain_has_a_policy_for_each_identity() {
    let lab = Lab::new("chain-policy");
    let object = feeds::vpc("l2", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    let role = |name: &str| format!("arn:aws:iam::{ACCOUNT}:role/{name}");
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let credentials = &mut config["inputs"]["sqs_collector"]["credentials"];
    credentials["aws_base_account_role"] = role("chain-base").into();
    credentials["aws_cross_account_role"] = role("chain-reader").into();
    let policy = |identity| policy(&lab, &["--bucket", &lab.bucket, "--identity", identity], &config);
    let user = aws::create_user_with("chain-start", &policy("start"));
    let user_arn = format!("arn:aws:iam::{ACCOUNT}:user/{}", user.name);
    aws::create_role_by(&role("chain-base"), &policy("base-role"), &user_arn);
    aws::create_role_by(&role("chain-reader"), &policy("reader"), &role("chain-base"));
    lab.drain_all(&as_user(&config, &user));
    lab.expect_delivered(&object.frames);
}

#[test]
fn a_stack_of_the_template_delivers_what_is_put_into_its_bucket() {
    let lab = Lab::new("stack");
    let object = feeds::vpc("s1", 20);
    let user = aws::create_user("may-assume-stack", "sts:AssumeRole");
    let user_arn = format!("arn:aws:iam::{ACCOUNT}:user/{}", user.name);
    let mut config = as_user(&lab.config(json!({"aws_sqs_vpc": {}})), &user);
    let input = &mut config["inputs"]["sqs_collector"];
    input["base_url"] = format!("{}-made", lab.queue.url).into();
    input["credentials"]["aws_cross_account_role"] =
        format!("arn:aws:iam::{ACCOUNT}:role/collector/stack-reader").into();
    input["credentials"]["aws_external_id"] = "both-know-it".into();
    let template = printed(&lab, &["cloudformation"], &config);
    let parameters = [("ExternalId", "both-know-it"), ("CollectorPrincipal", user_arn.as_str())];
    let outputs = aws::create_stack("stack", &in_the_emulator_s_words(&template), &parameters);
    assert_eq!(outputs["SqsCollectorQueueUrl"], config["inputs"]["sqs_collector"]["base_url"]);
    aws::put_object(&outputs["SqsCollectorBucketName"], &object.key, &object.bytes);
    let ended = lab.drain(&config);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    assert!(!ended.log.contains("AccessDenied"), "log:\n{}", ended.log);
    let queue = Queue { name: "stack-made".into(), url: outputs["SqsCollectorQueueUrl"].clone() };
    assert!(queue.is_empty());
    lab.expect_delivered(&object.frames);
}

/// The steps of docs/switching.md: the old collector's file is checked, a second queue gets the same announcements, both
/// are delivered, and then this collector takes over the old queue. The sink stands for both sides' tables.
#[test]
fn a_shadow_run_takes_nothing_from_the_old_queue_and_the_cut_over_loses_nothing() {
    let lab = Lab::new("shadow");
    let old = lab.config(json!({"aws_sqs_vpc": {}}));
    let migrated = lab.command(&old, &["check", "--migrate"]);
    assert_eq!(migrated.code, Some(0), "{}", migrated.log);

    let mut shadow = old.clone();
    shadow["globals"]["persistence"]["config"]["directory_name"] =
        json!(lab.directory().join("shadow-state"));
    let input = &mut shadow["inputs"]["sqs_collector"];
    input["id"] = "shadow-1".into();
    input["base_url"] = format!("{}-shadow", lab.queue.url).into();
    let template = printed(&lab, &["cloudformation", "--bucket", &lab.bucket], &shadow);
    let user = aws::create_user("shadow", "s3:GetObject");
    let user_arn = format!("arn:aws:iam::{ACCOUNT}:user/{}", user.name);
    let parameters = [("CollectorPrincipal", user_arn.as_str())];
    let outputs = aws::create_stack("shadow", &in_the_emulator_s_words(&template), &parameters);
    assert_eq!(outputs["SqsCollectorQueueUrl"], shadow["inputs"]["sqs_collector"]["base_url"]);
    aws::notify_also_by_eventbridge(&lab.bucket, &lab.queue);

    let objects: Vec<_> = (0..3).map(|n| feeds::vpc(&format!("shadow{n}"), 20)).collect();
    let frames = feeds::all_frames(&objects);
    lab.put(&objects);
    let ended = lab.drain(&shadow);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.expect_delivered(&frames);
    assert!(!lab.queue.is_empty(), "the old collector's queue still has its messages");

    // The cut-over: the old file, unchanged, on the old queue. Its ledger knows nothing of the shadow's.
    lab.drain_all(&old);
    let repeated = lab.expect_delivered_at_least_once("cut-over after a shadow run", &frames);
    assert_eq!(repeated, frames.len(), "each side has sent everything once");
}

#[test]
fn cfn_lint_accepts_the_templates() {
    let lab = Lab::new("lint");
    let mut config = lab.config(json!({
        "aws_sqs_cloudtrail": {}, "aws_sqs_config": {}, "aws_sqs_vpc": {}, "aws_sqs_alb": {}, "aws_sqs_s3_access": {},
        "aws_sqs_guard_duty": {}
    }));
    let inputs = config["inputs"].as_object_mut().unwrap();
    let mut fifo = inputs["sqs_collector"].clone();
    fifo["id"] = "2".into();
    fifo["base_url"] = format!("{}.fifo", lab.queue.url).into();
    fifo["credentials"] = json!({
        "aws_base_account_role": "arn:aws:iam::837131528613:role/devo-xaccount-cs-role",
        "aws_cross_account_role": "arn:aws:iam::123456789012:role/path/log-reader",
        "aws_external_id": "both-know-it"
    });
    inputs.insert("sqs_collector_fifo".into(), fifo);
    let all = ["--list", "--versioned", "--kms-key", "arn:aws:kms:us-east-1:123456789012:key/1"];
    let old = ["--bucket", "old-logs/AWSLogs/", "--bucket", "sqs_collector=other-logs"];
    let extras =
        ["--expire-days", "30", "--trail", "--alarm-topic", "arn:aws:sns:us-east-1:123456789012:on-call"];
    for options in [&[][..], &old[..], &extras[..], &[&all[..], &old[..]].concat()[..]] {
        passes_cfn_lint(&lab, &printed(&lab, &[&["cloudformation"], options].concat(), &config));
    }
}

/// The AWS collector's services: queues given by name, FIFO or not, in one template per region, and APIs.
#[test]
fn cfn_lint_accepts_the_templates_of_aws_inputs() {
    let lab = Lab::new("lint-aws");
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let regions = json!(["us-east-1", "eu-west-3"]);
    let services = json!({
        "service-events-all": {"regions": regions, "cloudwatch_sqs_queue_name": "events.fifo"},
        "sqs-cloudwatch-consumer": {"regions": regions, "cloudwatch_sqs_queue_name": "findings.fifo"},
        "audit-events-all": {"regions": regions, "types": ["audits_api", "audits_s3"], "audit_sqs_queue_name": "audits"},
        "non-cloudwatch-logs": {
            "regions": regions, "types": ["flowlogs", "cloudfrontlogs"],
            "vpcflowlogs_sqs_queue_name": "flows", "cloudfrontlogs_sqs_queue_name": "front"
        },
        "cisco-umbrella": {"regions": regions, "cisco_umbrella_sqs_queue_name": "umbrella"},
        "metrics-all": {"regions": regions},
        "aws-guardduty": {"regions": regions},
        "groups": {"regions": regions, "types": ["logs"], "log_group": "/"},
    });
    config["globals"]["persistence"]["type"] = json!("dynamodb");
    config["globals"]["persistence"]["config"]["table"] = json!("aws-to-devo");
    config["globals"]["persistence"]["config"]["region"] = json!("us-east-1");
    let role = "arn:aws:iam::123456789012:role/collector/log-reader";
    for credentials in
        [json!({}), json!({"target_assume_role": role, "assume_role_external_id": "both-know-it"})]
    {
        let mut input = json!({"id": "1", "services": services});
        if credentials != json!({}) {
            input["credentials"] = credentials;
        }
        config["inputs"] = json!({"aws": input});
        for region in ["us-east-1", "eu-west-3"] {
            let template = printed(&lab, &["cloudformation", "--region", region], &config);
            let text = template.to_string();
            for queue in ["events.fifo", "findings.fifo", "audits", "flows", "front", "umbrella"] {
                assert!(text.contains(&format!("{queue}\"")), "{queue} is not in {template:#}");
            }
            passes_cfn_lint(&lab, &template);
        }
        let policy = printed(&lab, &["iam-policy", "--bucket", "my-logs"], &config).to_string();
        for action in ["sqs:GetQueueUrl", "cloudtrail:LookupEvents", "guardduty:ListFindings", "s3:GetObject"]
        {
            assert!(policy.contains(action), "{action} is not in {policy}");
        }
    }
}

fn passes_cfn_lint(lab: &Lab, template: &Value) {
    let file = lab.directory().join("template.json");
    std::fs::write(&file, template.to_string()).unwrap();
    let lint = Command::new(crate::rig::emulator::venv().join("bin/cfn-lint")).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&lint.stdout);
    assert!(lint.status.success() && said.is_empty(), "{said}{template:#}");
}

#[test]
fn certificates_may_come_later_but_queues_may_not() {
    let lab = Lab::new("no-certificates");
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["outputs"]["devo_1"]["config"]["cert"] = "not-yet.crt".into();
    printed(&lab, &["iam-policy"], &config);
    config["inputs"]["sqs_collector"]["base_url"] = "no queue".into();
    for command in ["iam-policy", "cloudformation"] {
        let ended = lab.command(&config, &[command]);
        assert_eq!(ended.code, Some(2));
        assert!(ended.log.contains("inputs.sqs_collector.base_url"), "{}", ended.log);
        assert!(ended.stdout.is_empty());
    }
}

fn policy(lab: &Lab, options: &[&str], config: &Value) -> String {
    in_the_emulator_s_words(&printed(lab, &[&["iam-policy"], options].concat(), config))
}

/// The emulator has separate actions for batch calls, which AWS does not have, and speaks plain HTTP.
fn in_the_emulator_s_words(document: &Value) -> String {
    let mut text =
        document.to_string().replace(r#""aws:SecureTransport":"false""#, r#""aws:SecureTransport":"-""#);
    for action in ["DeleteMessage", "ChangeMessageVisibility"] {
        let both = format!("\"sqs:{action}\",\"sqs:{action}Batch\"");
        text = text.replace(&format!("\"sqs:{action}\""), &both);
    }
    text
}

/// The output of a command for a configuration: one JSON document, its notes apart.
fn printed(lab: &Lab, arguments: &[&str], config: &Value) -> Value {
    let Ended { code, stdout, log, .. } = lab.command(config, arguments);
    assert_eq!(code, Some(0), "{log}");
    serde_json::from_slice(&stdout).unwrap()
}

fn as_user(config: &Value, user: &User) -> Value {
    let mut config = config.clone();
    let credentials = config["inputs"]["sqs_collector"]["credentials"].as_object_mut().unwrap();
    credentials.extend(lab::credentials(user).as_object().unwrap().clone());
    config
}
