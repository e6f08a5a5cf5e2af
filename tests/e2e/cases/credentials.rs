//! Credentials, and the messages when AWS refuses them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use serde_json::{Value, json};

use crate::rig::aws::{self, ACCOUNT, REGION, User};
use crate::rig::collector::{Collector, Ended};
use crate::rig::feeds;
use crate::rig::lab::{self, Lab};

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
    lab.expect_delivered(&object.frames);
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
    let ended = lab.run_with(&environment, &config, &["--drain"]).end(crate::rig::process::PATIENCE);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.expect_delivered(&object.frames);
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
    lab.expect_delivered(&object.frames);
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
    lab.expect_delivered(&object.frames);
}

#[test]
fn a_profile_s_role_is_assumed_with_its_source_profile() {
    let lab = Lab::new("profile-role");
    let object = feeds::vpc("p1", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    let user = aws::create_user("may-assume-by-profile", "sts:AssumeRole");
    let role = aws::create_role("profile-role", "*", &arn(&user), Some("an-id"));
    let config_file = lab.directory().join("aws-config");
    let credentials_file = lab.directory().join("aws-credentials");
    let profile = format!(
        "[profile prod]\nrole_arn = {role}\nsource_profile = base\nexternal_id = an-id ; a comment\n"
    );
    std::fs::write(&config_file, profile).unwrap();
    let key =
        format!("[base]\naws_access_key_id = {}\naws_secret_access_key = {}\n", user.key_id, user.secret);
    std::fs::write(&credentials_file, key).unwrap();
    let files = [
        ("AWS_CONFIG_FILE", config_file.to_str().unwrap()),
        ("AWS_SHARED_CREDENTIALS_FILE", credentials_file.to_str().unwrap()),
    ];
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"]["credentials"] = json!({"profile": "prod"});
    let ended = drained(&lab, &files, &config);
    assert!(ended.log.contains("inputs.sqs_collector: credentials: profile prod ("), "log:\n{}", ended.log);
    assert!(ended.log.contains(&format!("then role {role}")), "log:\n{}", ended.log);
    assert!(!ended.log.contains(&user.secret), "the secret is in the log");
    lab.expect_delivered(&object.frames);
}

#[test]
fn a_credential_process_is_run() {
    let lab = Lab::new("process-key");
    let object = feeds::vpc("p2", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    let user = aws::user();
    let document =
        json!({"Version": 1, "AccessKeyId": user.key_id, "SecretAccessKey": user.secret}).to_string();
    std::fs::write(lab.directory().join("document"), document).unwrap();
    let config_file = lab.directory().join("aws-config");
    let command = format!("cat \"{}\"/document", lab.directory().display());
    std::fs::write(&config_file, format!("[default]\ncredential_process = {command}\n")).unwrap();
    let files = [
        ("AWS_CONFIG_FILE", config_file.to_str().unwrap()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials"),
    ];
    drained(&lab, &files, &without_credentials(&lab));
    lab.expect_delivered(&object.frames);

    // The same command failing: its exit status is shown, its output is not.
    lab.put_and_announce(&[feeds::vpc("p3", 1)]);
    let failing = format!("[default]\ncredential_process = {command}; echo no vault today >&2; exit 7\n");
    std::fs::write(&config_file, failing).unwrap();
    let ended =
        lab.run_with(&files, &without_credentials(&lab), &["--drain"]).end(crate::rig::process::PATIENCE);
    assert!(matches!(ended.code, Some(1 | 2)), "exit code {:?}", ended.code);
    assert!(ended.log.contains("exit status: 7; it wrote 15 bytes to standard error"), "log:\n{}", ended.log);
    assert!(!ended.log.contains("no vault today"), "log:\n{}", ended.log);
    assert!(!ended.log.contains(&user.secret), "the secret is in the log");
}

#[test]
fn a_container_s_endpoint_is_asked_with_its_token() {
    let lab = Lab::new("container-key");
    let object = feeds::vpc("p4", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    let agent = ContainerAgent::start(aws::user());
    let token = lab.directory().join("token");
    std::fs::write(&token, "the-pod-s-token\n").unwrap();
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
        // A proxy that does not exist must not be asked.
        ("HTTP_PROXY", "http://127.0.0.1:9"),
    ];
    let environment = [&NO_FILES[..], &environment].concat();
    let ended = drained(&lab, &environment, &without_credentials(&lab));
    assert!(
        ended.log.contains("inputs.sqs_collector: credentials: container (http://127.0.0.1:"),
        "log:\n{}",
        ended.log
    );
    assert!(agent.was_asked());
    lab.expect_delivered(&object.frames);
}

#[test]
fn a_web_identity_s_token_is_exchanged_for_a_role() {
    let lab = Lab::new("web-identity");
    let object = feeds::vpc("p5", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    let provider = format!("arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.example");
    let role = aws::create_web_identity_role("web-role", "*", &provider);
    let token = lab.directory().join("token");
    let environment = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", role.as_str()),
        ("AWS_ROLE_SESSION_NAME", "the-pod"),
    ];
    let environment = [&NO_FILES[..], &environment].concat();
    // A token of another provider is refused.
    std::fs::write(&token, web_token("https://other.example")).unwrap();
    let config = without_credentials(&lab);
    let ended = lab.run_with(&environment, &config, &["--drain"]).end(crate::rig::process::PATIENCE);
    assert!(matches!(ended.code, Some(1 | 2)), "exit code {:?}; log:\n{}", ended.code, ended.log);
    assert!(ended.log.contains("AssumeRoleWithWebIdentity") && ended.log.contains(&role));
    std::fs::write(&token, web_token("https://oidc.example")).unwrap();
    drained(&lab, &environment, &config);
    lab.expect_delivered(&object.frames);
}

#[test]
fn secrets_come_from_a_file_and_from_a_variable() {
    let lab = Lab::new("secret-file");
    let object = feeds::vpc("p6", 20);
    lab.put_and_announce(std::slice::from_ref(&object));
    let user = aws::user();
    std::fs::write(lab.directory().join("secret"), format!("{}\n", user.secret)).unwrap();
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"]["credentials"] =
        json!({"aws_access_key_id": "${A2D_KEY_ID}", "aws_secret_access_key_file": "secret"});
    let ended = drained(&lab, &[("A2D_KEY_ID", &user.key_id)], &config);
    assert!(ended.log.contains("secret can be read by other users"), "log:\n{}", ended.log);
    assert!(!ended.log.contains(&user.secret), "the secret is in the log");
    lab.expect_delivered(&object.frames);
}

#[test]
fn without_any_credentials_every_place_is_listed() {
    let lab = Lab::new("no-credentials");
    let file = lab.write_config(&without_credentials(&lab));
    let environment = [&NO_FILES[..], &[("AWS_EC2_METADATA_DISABLED", "true")]].concat();
    let arguments = ["check", "--online", "--config", &file];
    let ended = Collector::start_with(&[], &environment, lab.directory(), &arguments)
        .end(crate::rig::process::PATIENCE);
    let said = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.code, Some(2), "{said}");
    for place in [
        "AWS_ACCESS_KEY_ID",
        "profile default",
        "/nonexistent/config",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_EC2_METADATA_DISABLED",
    ] {
        assert!(said.contains(place), "{place} is not named: {said}");
    }
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

/// The tester's own shared files are not used.
const NO_FILES: [(&str, &str); 2] =
    [("AWS_CONFIG_FILE", "/nonexistent/config"), ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")];

fn drained(lab: &Lab, environment: &[(&str, &str)], config: &Value) -> Ended {
    let ended = lab.run_with(environment, config, &["--drain"]).end(crate::rig::process::PATIENCE);
    assert_eq!(ended.code, Some(0), "log:\n{}", ended.log);
    lab.sink_is_quiet();
    ended
}

fn without_credentials(lab: &Lab) -> Value {
    let mut config = lab.config(json!({"aws_sqs_vpc": {}}));
    config["inputs"]["sqs_collector"].as_object_mut().unwrap().remove("credentials");
    config
}

/// An unsigned JSON web token: the emulator checks only the issuer.
fn web_token(issuer: &str) -> String {
    let part = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let claims =
        json!({"iss": issuer, "sub": "system:serviceaccount:logs:collector", "aud": "sts.amazonaws.com"});
    format!("{}.{}.{}", part(json!({"alg": "RS256"})), part(claims), part(json!("signature")))
}

/// A container's environment in ECS and EKS, with a user's key for an hour.
struct ContainerAgent {
    url: String,
    asked: Arc<AtomicBool>,
    server: Arc<tiny_http::Server>,
}

impl ContainerAgent {
    fn start(user: &User) -> ContainerAgent {
        let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
        let url = format!("http://{}/v1/credentials", server.server_addr());
        let expiration = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let document = json!({
            "AccessKeyId": user.key_id, "SecretAccessKey": user.secret, "Token": "",
            "Expiration": expiration.to_string(),
        });
        let asked = Arc::new(AtomicBool::new(false));
        let (serving, noted) = (Arc::clone(&server), Arc::clone(&asked));
        std::thread::spawn(move || {
            for request in serving.incoming_requests() {
                let is_allowed = request.headers().iter().any(|header| {
                    header.field.equiv("Authorization") && header.value.as_str() == "the-pod-s-token"
                });
                noted.store(true, Ordering::Relaxed);
                let body = if is_allowed { document.to_string() } else { "{}".to_owned() };
                let status = if is_allowed { 200 } else { 401 };
                let _ = request.respond(tiny_http::Response::from_string(body).with_status_code(status));
            }
        });
        ContainerAgent { url, asked, server }
    }

    fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for ContainerAgent {
    fn drop(&mut self) {
        self.server.unblock();
    }
}
