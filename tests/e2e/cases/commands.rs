//! The other commands and their exit codes.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::rig::collector::{self, Collector, Ended};
use crate::rig::feeds;
use crate::rig::lab::Lab;
use crate::rig::process::PATIENCE;
use crate::rig::{aws, pki};

#[test]
fn check_accepts_a_good_file_and_pulls_nothing() {
    let lab = Lab::new("check-good");
    lab.put_and_announce(&[feeds::vpc("c1", 10)]);
    let file = lab.write_config(&lab.config(json!({"aws_sqs_vpc": {}})));
    for arguments in [&["check", "--config", &file][..], &["check", "--config", &file, "--online"]] {
        let ended = command(&lab, arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", all_of(&ended));
    }
    assert!(lab.queue.peek()[0].receive_count <= 1, "looked at once, to try its object");
    lab.expect_delivered(&[]);
}

#[test]
fn check_online_proves_each_part() {
    let lab = Lab::new("check-proof");
    lab.put_and_announce(&[feeds::vpc("c2", 10)]);
    // The emulator does not measure queues; CloudWatch's figure is some minutes old.
    let minutes_ago = jiff::Timestamp::now().as_second() / 60 * 60 - 180;
    let dimension = ("QueueName", lab.queue.name.as_str());
    aws::put_metric("AWS/SQS", "ApproximateAgeOfOldestMessage", dimension, minutes_ago, 184.0);
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let ended = command(&lab, &["check", &lab.write_config(&config), "--online", "--sample"]);
    let said = all_of(&ended);
    assert_eq!(ended.code, Some(0), "{said}");
    for part in [
        "✓ inputs.sqs_collector: credentials: account ",
        "✓ inputs.sqs_collector: queue: 1 waiting, ",
        "✓ inputs.sqs_collector: oldest message: has waited 3 m 4 s, by CloudWatch at ",
        "✓ inputs.sqs_collector: S3: s3://",
        "TLS 1.3, client certificate until ",
        "✓ globals.persistence: state folder: ",
        "aws_sqs_vpc: 10 records, 0 dropped by rules",
        "table cloud.aws.vpc.flow, HOST ",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    // Who may read the queue and not the bucket.
    let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]});
    let user = aws::create_user_with("check-proof-denied", &policy.to_string());
    config["inputs"]["sqs_collector"]["credentials"] = crate::rig::lab::credentials(&user);
    let ended = command(&lab, &["check", &lab.write_config(&config), "--online", "--json"]);
    let verdict: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((ended.code, &verdict["valid"]), (Some(2), &json!(false)), "{verdict:#}");
    let failed: Vec<&Value> = verdict["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|attempt| attempt["ok"] == json!(false))
        .collect();
    assert!(failed.len() == 1 && failed[0]["what"] == "inputs.sqs_collector: S3", "{failed:?}");
    // Without the right to CloudWatch it says so, and that is no problem.
    assert!(verdict.to_string().contains("cloudwatch:GetMetricData is not allowed"), "{verdict:#}");
    lab.expect_delivered(&[]);
}

#[test]
fn check_lists_every_problem() {
    let lab = Lab::new("check-bad");
    let mut config = lab.config(json!({"aws_sqs_vcp": {}}));
    config["inputs"]["sqs_collector"]["sqs_visibilty_timeout"] = json!(5);
    config["inputs"]["sqs_collector"]["sqs_max_messages"] = json!(11);
    config["inputs"]["sqs_collector"]["credentials"]["aws_base_account_role"] = json!("not an ARN");
    config["outputs"]["devo_1"]["config"]["key"] = json!(pki::file("client-expired.key"));
    let file = lab.write_config(&config);
    for arguments in [&["check", "--config", &file][..], &["run", "--config", &file]] {
        let ended = command(&lab, arguments);
        let said = all_of(&ended);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {said}");
        for part in
            ["aws_sqs_vpc", "sqs_visibility_timeout", "sqs_max_messages", "aws_base_account_role", "devo_1"]
        {
            assert!(said.contains(part), "{arguments:?} does not mention {part}: {said}");
        }
    }
}

#[test]
fn check_online_finds_a_wrong_secret_and_a_wrong_server() {
    let lab = Lab::with_server_certificate("check-online", "server-other-name");
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"]["credentials"]["aws_secret_access_key"] = json!("wrong");
    let file = lab.write_config(&config);
    let ended = command(&lab, &["check", "--config", &file, "--online"]);
    let said = all_of(&ended);
    assert_eq!(ended.code, Some(2), "{said}");
    assert!(said.contains(&aws::user().key_id), "the key is not named: {said}");
    assert!(said.contains("devo_1"), "the output is not named: {said}");
    let ended = command(&lab, &["check", "--config", &file, "--sample"]);
    assert_eq!(ended.code, Some(2), "{}", all_of(&ended));
}

#[test]
fn check_online_tells_what_the_queue_lacks() {
    let lab = Lab::new("check-queue");
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"]["base_url"] = json!(aws::Queue::create("check-queue-2", None).url);
    config["inputs"]["sqs_collector"]["sqs_visibility_timeout"] = json!(77);
    let file = lab.write_config(&config);
    let ended = command(&lab, &["check", "--config", &file, "--online"]);
    let said = all_of(&ended);
    assert_eq!(ended.code, Some(0), "these are warnings: {said}");
    assert!(said.contains("no redrive policy"), "{said}");
    assert!(
        said.contains("sqs_visibility_timeout (77 s) is used instead of the queue's own (30 s)"),
        "{said}"
    );
}

#[test]
fn a_missing_file_is_a_matter_of_configuration() {
    let lab = Lab::new("no-file");
    let ended = command(&lab, &["run", "--config", "/nonexistent/file.yaml"]);
    assert_eq!(ended.code, Some(2), "{}", all_of(&ended));
    assert!(all_of(&ended).contains("/nonexistent/file.yaml"));
}

#[test]
fn services_are_listed() {
    let lab = Lab::new("services");
    let text = command(&lab, &["services"]);
    let listed = command(&lab, &["services", "--json"]);
    assert_eq!((text.code, listed.code), (Some(0), Some(0)));
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let listed = listed.to_string();
    for name in [
        "aws_sqs_cloudtrail",
        "aws_sqs_vpc",
        "aws_sqs_s3_access",
        "aws_sqs_waf",
        "aws_sqs_fdr",
        "aws_sqs_fdr_large",
        "audit-events-all",
        "audits_api",
        "cisco-umbrella",
        "cloud.aws.guardduty.findings",
    ] {
        assert!(String::from_utf8_lossy(&text.stdout).contains(name) && listed.contains(name), "{name}");
    }
}

#[test]
fn the_log_keeps_secrets_and_tells_totals() {
    let lab = Lab::new("log");
    lab.put_and_announce(&[feeds::vpc("l1", 7654)]);
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["globals"]["debug"] = json!(true);
    let ended = lab.drain_all(&config);
    assert!(!ended.log.contains(&aws::user().secret), "the secret is in the log");
    let total = regex::Regex::new(r"\b7[,_']?654\b").unwrap();
    assert!(total.is_match(&ended.log), "the total is not in the log:\n{}", ended.log);
}

#[test]
fn the_configuration_may_be_yaml() {
    let lab = Lab::new("yaml");
    let object = feeds::vpc("y1", 10);
    lab.put_and_announce(std::slice::from_ref(&object));
    let config = lab.config(json!({"aws_sqs_vpc": {}}));
    let input = &config["inputs"]["sqs_collector"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let yaml = format!(
        "globals:\n  id: e2e\n  name: my-collector\n  persistence: {{type: filesystem, config: {{directory_name: state}}}}\n\
         outputs:\n  devo_1:\n    type: devo_platform\n    config: {devo}\n\
         inputs:\n  sqs_collector:\n    id: 12351\n    enabled: true\n    credentials: {credentials}\n\
         \x20   base_url: {url}\n    region: us-east-1\n    endpoint_url: {endpoint}\n    sqs_wait_timeout: 1\n    services:\n      aws_sqs_vpc: {{}}\n",
        devo = lab.devo("client"),
        credentials = input["credentials"],
        url = text(&input["base_url"]),
        endpoint = text(&input["endpoint_url"]),
    );
    let file = lab.directory().join("config.yaml");
    std::fs::write(&file, yaml).unwrap();
    let ended = command(&lab, &["run", "--drain", "--config", file.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.expect_delivered(&object.frames);
}

fn command(lab: &Lab, arguments: &[&str]) -> Ended {
    Collector::start(lab.directory(), arguments).end(PATIENCE)
}

/// Its output, on either stream.
fn all_of(ended: &Ended) -> String {
    format!("{}{}", String::from_utf8_lossy(&ended.stdout), ended.log)
}

#[test]
fn a_reader_of_errors_that_has_gone_changes_no_exit_code() {
    let commands: [&[&str]; 5] =
        [&["check"], &["cloudformation"], &["iam-policy"], &["ledger", "show"], &["services"]];
    for command in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = Command::new(collector::program())
            .args(command)
            .args(["--config", "/there/is/no/such/file"])
            .stdout(Stdio::null())
            .stderr(writer)
            .status();
        assert_eq!(status.unwrap().code(), Some(2), "{command:?}");
    }
}

/// The output may be a policy, a report or a configuration, so a command that prints only a part of it has failed.
#[test]
fn output_that_cannot_be_written_is_an_error_and_a_reader_that_has_gone_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let text = "outputs: {c: {type: console}}\ninputs: {sqs_collector: {id: '1', services: {aws_sqs_vpc: {}}, \
                base_url: 'https://sqs.us-east-1.amazonaws.com/123456789012/q', ack_messages: false}}\n";
    std::fs::write(&config, text).unwrap();
    let lines = [
        "--help",
        "--version",
        "help run",
        "schema",
        "services",
        "services aws_sqs_vpc --json",
        "completions bash",
        "man",
        "check FILE",
        "check FILE --json",
        "check FILE --migrate",
        "iam-policy --config FILE --bucket logs-of-all",
        "cloudformation --config FILE",
        "preview FILE --service aws_sqs_vpc",
        "init --file - --poll audit-events-all --region us-east-1 --console",
    ];
    for line in lines {
        let line = line.replace("FILE", config.to_str().unwrap());
        let ended = |stdout: Stdio| {
            let mut command = Command::new(collector::program());
            command.args(line.split(' ')).stdout(stdout).output().unwrap()
        };
        let full = ended(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into());
        let said = String::from_utf8_lossy(&full.stderr).into_owned();
        assert_eq!(full.status.code(), Some(74), "{line}: {said}");
        assert!(said.contains("cannot write to standard output"), "{line}: {said}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let gone = ended(writer.into());
        let said = String::from_utf8_lossy(&gone.stderr).into_owned();
        assert_eq!(gone.status.code(), Some(0), "{line}: {said}");
        assert!(!said.contains("pipe") && !said.contains("cannot write"), "{line}: {said}");
    }
}
