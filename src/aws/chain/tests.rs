//! The chain as a whole: files in a temporary folder, and servers with scripted answers.

use super::testing::variables;
use super::*;
use crate::aws::testing::{Seen, Server, Step, answer};
use crate::base::stop::Stop;

/// A folder as HOME, with both shared files.
struct Home(tempfile::TempDir);

impl Home {
    fn new(config: &str, credentials: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        for (name, text) in [("config", config), ("credentials", credentials)] {
            if !text.is_empty() {
                std::fs::write(home.path().join(".aws").join(name), text).unwrap();
            }
        }
        Self(home)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }
}

/// Placeholder for an address at the scripted server.
const SERVER: &str = "SERVER";

/// Searches the chain with a script of answers for all its endpoints.
fn look(
    home: &Home,
    profile: Option<&str>,
    env: &[(&str, &str)],
    script: Vec<Step>,
) -> (Result<Found, Error>, Vec<Seen>) {
    let server = Server::play(script);
    let metadata = [
        ("HOME", home.0.path().to_str().unwrap()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.endpoint.as_str()),
    ];
    let container = format!("{}/keys", server.endpoint);
    let at_server = |&(name, value)| (name, if value == SERVER { container.as_str() } else { value });
    let all = metadata.into_iter().chain(env.iter().map(at_server)).collect::<Vec<_>>();
    let chain = Chain::new(profile.map(str::to_owned), variables(&all));
    let found = chain.load(&server.client(&Stop::new()));
    (found, server.seen())
}

fn found(home: &Home, profile: Option<&str>, env: &[(&str, &str)], script: Vec<Step>) -> (Found, Vec<Seen>) {
    let (found, seen) = look(home, profile, env, script);
    (found.unwrap_or_else(|error| panic!("{error}")), seen)
}

fn refused(home: &Home, profile: Option<&str>, env: &[(&str, &str)]) -> String {
    let error = look(home, profile, env, vec![]).0.err().unwrap().to_string();
    assert!(!error.contains("hush"), "{error}");
    error
}

fn session(action: &str, id: &str) -> Step {
    let body = format!(
        "<R><{action}Result><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>hush</SecretAccessKey>\
         <SessionToken>t</SessionToken><Expiration>2044-02-03T04:05:06Z</Expiration></Credentials>\
         </{action}Result></R>"
    );
    answer(200, "", body)
}

const KEY: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "hush")];
const OFF: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");
const DEFAULT: &str = "[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = hush\n";
const DOCUMENT: &str =
    r#"{"AccessKeyId":"ASIA1","SecretAccessKey":"hush","Token":"t","Expiration":"2044-02-03T04:05:06Z"}"#;

#[test]
fn the_first_place_that_has_some_wins() {
    let home = Home::new("", DEFAULT);
    let token = home.write("token", "token\n");
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()), ("AWS_ROLE_ARN", "arn:web")];
    let container = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", SERVER)];
    let all = [&KEY[..], &web, &container].concat();
    let empty = Home::new("", "");
    let (first, _) = found(&home, None, &all, vec![]);
    assert!(first.origin.starts_with("environment (AWS_ACCESS_KEY_ID"), "{}", first.origin);
    let (second, _) = found(&home, None, &all[2..], vec![]);
    assert_eq!(second.credentials.access_key_id, "AKIADEFAULT");
    assert!(second.origin.starts_with("profile default (") && second.origin.contains(".aws/credentials"));
    let (third, _) = found(&empty, None, &all[2..], vec![session("AssumeRoleWithWebIdentity", "ASIAWEB")]);
    assert_eq!(third.origin, format!("web identity ({token}) as role arn:web"));
    let (fourth, seen) = found(&empty, None, &container, vec![answer(200, "", DOCUMENT)]);
    assert!(
        seen[0].head.starts_with("GET /keys ") && fourth.origin.starts_with("container (http://127.0.0.1:")
    );
    let metadata = vec![answer(200, "", "T"), answer(200, "", "role"), answer(200, "", DOCUMENT)];
    let (fifth, _) = found(&empty, None, &[], metadata);
    assert_eq!(
        (fifth.credentials.access_key_id.as_str(), fifth.origin.as_str()),
        ("ASIA1", "instance metadata")
    );
}

#[test]
fn a_profile_that_is_asked_for_wins_over_the_environment() {
    let home = Home::new("[profile a]\nrole_arn = arn:a\nsource_profile = default\n", DEFAULT);
    let (by_file, seen) = found(&home, Some("a"), &KEY, vec![session("AssumeRole", "ASIAROLE")]);
    assert_eq!(by_file.credentials.access_key_id, "ASIAROLE");
    assert!(by_file.origin.ends_with(", then role arn:a"), "{}", by_file.origin);
    assert!(seen[0].head.contains("Credential=AKIADEFAULT/"));
    let (by_name, _) = found(&home, None, &[("AWS_PROFILE", "a")], vec![session("AssumeRole", "ASIAROLE")]);
    assert_eq!(by_name.origin, by_file.origin);
}

#[test]
fn a_web_identity_s_call_is_not_signed_and_its_token_is_read_each_time() {
    let home = Home::new("[profile pod]\nrole_arn = arn:pod\nrole_session_name = me\n", "");
    let token = home.write("token", "one\n");
    let config = format!("[profile pod]\nrole_arn = arn:pod\nweb_identity_token_file = {token}\n");
    home.write(".aws/config", &config);
    for written in ["one", "two"] {
        home.write("token", written);
        let (_, seen) = found(&home, Some("pod"), &[], vec![session("AssumeRoleWithWebIdentity", "ASIAWEB")]);
        assert!(!seen[0].head.to_lowercase().contains("authorization"), "{}", seen[0].head);
        assert!(
            seen[0].body.contains(&format!("WebIdentityToken={written}&"))
                || seen[0].body.ends_with(&format!("WebIdentityToken={written}")),
            "{}",
            seen[0].body
        );
        assert!(seen[0].body.contains("Action=AssumeRoleWithWebIdentity"));
    }
}

#[test]
fn a_process_may_be_the_source_of_roles() {
    let config = "[profile vault]\ncredential_process = cat \"$HOME_OF_TEST/doc\"\n\
        [profile job]\nrole_arn = arn:job\nsource_profile = vault\nexternal_id = ext\n";
    let home = Home::new(config, "");
    let document = r#"{"Version": 1, "AccessKeyId": "ASIAVAULT", "SecretAccessKey": "hush"}"#;
    let file = home.write("doc", document);
    home.write(".aws/config", &config.replace("$HOME_OF_TEST/doc", &file));
    let (job, seen) = found(&home, Some("job"), &[], vec![session("AssumeRole", "ASIAJOB")]);
    assert!(seen[0].head.contains("Credential=ASIAVAULT/") && seen[0].body.contains("ExternalId=ext"));
    assert!(job.origin.ends_with(": credential_process, then role arn:job"), "{}", job.origin);
}

#[test]
fn a_named_source_must_have_credentials() {
    let home = Home::new("[profile a]\nrole_arn = arn:a\ncredential_source = Environment\n", "");
    let (a, seen) = found(&home, Some("a"), &KEY, vec![session("AssumeRole", "ASIAROLE")]);
    assert!(seen[0].head.contains("Credential=AKIAENV/") && a.origin.contains(": environment ("));
    let error = refused(&home, Some("a"), &[]);
    assert!(error.contains("(profile a)") && error.contains("AWS_ACCESS_KEY_ID is not set"), "{error}");
}

#[test]
fn when_nothing_is_found_every_place_is_listed_with_its_reason() {
    let home = Home::new("[default]\nregion = x\n", "");
    let error = refused(&home, None, &[OFF]);
    for part in [
        "aws_access_key_id",
        "environment: AWS_ACCESS_KEY_ID is not set",
        "profile default has neither",
        "AWS_WEB_IDENTITY_TOKEN_FILE is not set",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI are not set",
        "instance metadata: disabled by AWS_EC2_METADATA_DISABLED",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let error = refused(&Home::new("", ""), None, &[OFF]);
    assert!(
        error.contains("no profile default in ") && error.contains("credentials (does not exist)"),
        "{error}"
    );
}

#[test]
fn a_place_that_is_set_up_and_does_not_work_ends_the_search() {
    let home = Home::new("", DEFAULT);
    for (env, part) in [
        (&[("AWS_ACCESS_KEY_ID", "AKIA")][..], "AWS_SECRET_ACCESS_KEY is not set"),
        (&[("AWS_PROFILE", "none")], "no profile none in"),
        (&[("AWS_CONFIG_FILE", "/")], "cannot read /"),
    ] {
        let error = refused(&home, None, env);
        assert!(error.contains(part), "{part} in {error}");
    }
    let home = Home::new("", "[default]\naws_secret_access_key hush\n");
    let error = refused(&home, None, &[]);
    assert!(error.contains("credentials: line 2: neither"), "{error}");
    let home = Home::new("", "");
    let error = refused(&home, None, &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token")]);
    assert!(error.contains("AWS_ROLE_ARN is not set"), "{error}");
    let both = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token"), ("AWS_ROLE_ARN", "arn:x")];
    assert!(refused(&home, None, &both).contains("cannot read /nonexistent/token"));
    let odd = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/")];
    assert!(refused(&home, None, &odd).contains("refused"));
}

#[test]
fn stale_metadata_are_used_for_a_while() {
    let home = Home::new("", "");
    let stale = DOCUMENT.replace("2044", "2004");
    let script = vec![answer(200, "", "T"), answer(200, "", "role"), answer(200, "", stale)];
    let before = SystemTime::now();
    let (stale, _) = found(&home, None, &[], script);
    assert!(stale.credentials.expires_at.unwrap() >= before + STALE_METADATA_EXTENSION);
}
