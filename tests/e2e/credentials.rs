//! Who calls AWS, and what is said when AWS refuses.

use serde_json::{Value, json};

use crate::aws::{self, ACCOUNT, REGION, User};
use crate::collector::Ended;
use crate::feeds;
use crate::frames::assert_exactly;
use crate::lab::{self, Lab};

#[test]
fn a_wrong_secret_is_refused_and_loses_nothing() {
    let lab = Lab::new("wrong-secret");
    let object = feeds::vpc("w1", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    let user = aws::user();
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let wrong = User { secret: format!("{}x", user.secret), ..user.clone() };
    config["inputs"]["sqs_collector"]["credentials"] = lab::credentials(&wrong);
    let ended = refused(&lab, &config);
    for part in [user.key_id.as_str(), REGION] {
        assert!(ended.log.contains(part), "{part} is not in the log:\n{}", ended.log);
    }
    assert!(
        ended.log.contains("ReceiveMessage") || ended.log.contains("GetQueueAttributes"),
        "log:\n{}",
        ended.log
    );
    assert!(!ended.log.contains(&wrong.secret), "the secret is in the log");
    lab.drain_all(&lab.config(json!({"aws_sqs_vpc": {}})));
    assert_exactly(&object.frames, &lab.sink.received());
}

#[test]
fn keys_from_the_environment_need_none_in_the_file() {
    let lab = Lab::new("environment");
    let object = feeds::vpc("v1", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"].as_object_mut().unwrap().remove("credentials");
    let user = aws::user();
    let environment = [("AWS_ACCESS_KEY_ID", user.key_id.as_str()), ("AWS_SECRET_ACCESS_KEY", &user.secret)];
    let ended = lab.run_with(&environment, &config, &["--drain"]).end(crate::process::PATIENCE);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.sink_is_quiet();
    assert_exactly(&object.frames, &lab.sink.received());
}

#[test]
fn a_role_of_the_own_account() {
    let lab = Lab::new("own-role");
    let object = feeds::vpc("r1", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    let user = aws::create_user("may-assume-own", "sts:AssumeRole");
    let role = aws::create_role("own-role", "*", &arn(&user), None);
    let config = with_roles(&lab, &user, json!({"aws_base_account_role": role}));
    lab.drain_all(&config);
    assert_exactly(&object.frames, &lab.sink.received());
}

#[test]
fn a_role_of_another_account_needs_its_external_id() {
    let lab = Lab::new("cross-role");
    let object = feeds::vpc("r2", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    let user = aws::create_user("may-assume-cross", "sts:AssumeRole");
    let base = aws::create_role("cross-base", "sts:AssumeRole", &arn(&user), None);
    let cross = aws::create_role("cross-target", "*", &base, Some("the-right-id"));
    let roles = json!({"aws_base_account_role": base, "aws_cross_account_role": cross});
    for external_id in [Some("a-wrong-id"), None] {
        let mut roles = roles.clone();
        if let Some(id) = external_id {
            roles["aws_external_id"] = json!(id);
        }
        let ended = refused(&lab, &with_roles(&lab, &user, roles));
        assert!(ended.log.contains("AssumeRole"), "log:\n{}", ended.log);
        assert!(ended.log.contains(&cross), "the role is not named; log:\n{}", ended.log);
    }
    let mut roles = roles;
    roles["aws_external_id"] = json!("the-right-id");
    lab.drain_all(&with_roles(&lab, &user, roles));
    assert_exactly(&object.frames, &lab.sink.received());
}

/// Drains in vain: a failure is reported, and the one message has not even been received.
fn refused(lab: &Lab, config: &Value) -> Ended {
    let ended = lab.drain(config);
    assert!(matches!(ended.code, Some(1 | 2)), "exit code {:?}; log:\n{}", ended.code, ended.log);
    let seen = lab.queue.peek();
    assert!(seen.len() == 1 && seen[0].receive_count == 0, "the message was touched");
    ended
}

fn with_roles(lab: &Lab, user: &User, roles: Value) -> Value {
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    let credentials = &mut config["inputs"]["sqs_collector"]["credentials"];
    *credentials = lab::credentials(user);
    credentials.as_object_mut().unwrap().extend(roles.as_object().unwrap().clone());
    config
}

fn arn(user: &User) -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/{}", user.name)
}
