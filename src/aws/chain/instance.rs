//! The metadata of an EC2 instance, version 2 only: first a token, then the role's name, then its keys.
//!
//! Format: "Use the Instance Metadata Service" of the EC2 user guide, "IMDS credential provider" of the AWS SDKs and
//! Tools reference guide.

use super::metadata::{Answer, Caller, Silence};
use super::{Variables, document};
use crate::aws::credentials::Credentials;

/// The reason why the metadata has no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is no such service, or no role: another place may have credentials.
    Nothing(String),
    /// The instance has a role, but something is wrong.
    Broken(String),
}

/// Requests the keys of the instance's role; their expiry is as written, and may be past.
pub fn load(env: &Variables) -> Result<Credentials, Fault> {
    if env("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(Fault::Nothing("disabled by AWS_EC2_METADATA_DISABLED".to_owned()));
    }
    let service = Service { caller: Caller::new(), endpoint: endpoint(env) };
    let token = service.token()?;
    let role = service.role(&token)?;
    let answer = service.get(&format!("{ROLES}{role}"), &token).map_err(Fault::Broken)?;
    let wrong = |why| Fault::Broken(format!("{}: role {role}: {why}", service.endpoint));
    if answer.status != 200 {
        return Err(wrong(format!("HTTP {}", answer.status)));
    }
    document::of_instance(&answer.body).map_err(|why| wrong(format!("its answer is unusable: {why}")))
}

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
/// Lifetime of a token: six hours, the service's maximum; ours is used at once.
const TOKEN_SECONDS: &str = "21600";

struct Service {
    caller: Caller,
    endpoint: String,
}

impl Service {
    fn token(&self) -> Result<String, Fault> {
        let url = format!("{}/latest/api/token", self.endpoint);
        let headers = [("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS)];
        let answer = self.caller.call("PUT", &url, &headers).map_err(|Silence(why)| {
            Fault::Nothing(format!(
                "{} does not answer: {why} (not an EC2 instance, or a container on one whose hop limit is 1)",
                self.endpoint
            ))
        })?;
        let nothing = |why: &str| Fault::Nothing(format!("{}: {why}", self.endpoint));
        match (answer.status, text(&answer)) {
            (200, Some(token)) => Ok(token),
            (200, None) => Err(nothing("its token is unreadable")),
            (403, _) => Err(nothing("the metadata service is disabled for this instance (HTTP 403)")),
            (status, _) => Err(nothing(&format!("no token: HTTP {status}"))),
        }
    }

    fn role(&self, token: &str) -> Result<String, Fault> {
        let answer = self.get(ROLES, token).map_err(Fault::Broken)?;
        match (answer.status, text(&answer)) {
            (200, Some(role)) if is_role(&role) => Ok(role),
            (200, Some(_)) => Err(Fault::Broken(format!("{}: the role's name is invalid", self.endpoint))),
            (404, _) | (200, None) => {
                Err(Fault::Nothing(format!("{}: the instance has no role", self.endpoint)))
            }
            (status, _) => Err(Fault::Broken(format!("{}: the role's name: HTTP {status}", self.endpoint))),
        }
    }

    fn get(&self, path: &str, token: &str) -> Result<Answer, String> {
        let url = format!("{}{path}", self.endpoint);
        let answer = self.caller.call("GET", &url, &[("x-aws-ec2-metadata-token", token)]);
        answer.map_err(|Silence(why)| format!("{}: no answer: {why}", self.endpoint))
    }
}

/// Checks the name, which becomes part of a path. IAM user guide, "IAM and AWS STS quotas": letters, digits and
/// `+=,.@_-`.
fn is_role(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte))
        && !name.contains("..")
}

/// Checks for one line of plain characters, safe in a header and in a path.
fn text(answer: &Answer) -> Option<String> {
    let text = std::str::from_utf8(&answer.body).ok()?.trim().lines().next()?.trim();
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then(|| text.to_owned())
}

fn endpoint(env: &Variables) -> String {
    let is_v6 = env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").is_some_and(|m| m.eq_ignore_ascii_case("ipv6"));
    let usual = if is_v6 { "http://[fd00:ec2::254]" } else { "http://169.254.169.254" };
    let written = env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    written.as_deref().unwrap_or(usual).trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::chain::testing::variables;
    use crate::aws::testing::{Server, Step, answer};

    const KEYS: &str = r#"{"Code":"Success","AccessKeyId":"ASIA1","SecretAccessKey":"hush","Token":"t","Expiration":"2044-02-03T04:05:06Z"}"#;

    fn play(script: Vec<Step>) -> (Result<Credentials, Fault>, Vec<String>) {
        let server = Server::play(script);
        let loaded = load(&variables(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.endpoint)]));
        (loaded, server.seen().into_iter().map(|seen| seen.head).collect())
    }

    #[test]
    fn token_role_keys() {
        let (loaded, seen) =
            play(vec![answer(200, "", "TOKEN=="), answer(200, "", "my-role\n"), answer(200, "", KEYS)]);
        assert_eq!(loaded.unwrap().session_token.as_deref(), Some("t"));
        assert!(seen[0].starts_with("PUT /latest/api/token ") && seen[0].contains("ttl-seconds: 21600"));
        assert!(seen[1].contains("x-aws-ec2-metadata-token: TOKEN==\r"));
        assert!(seen[2].starts_with("GET /latest/meta-data/iam/security-credentials/my-role "));
    }

    #[test]
    fn a_broken_connection_and_an_outage_are_tried_again() {
        let script = vec![
            Step::Reset,
            answer(200, "", "T"),
            answer(500, "", ""),
            answer(200, "", "r"),
            answer(200, "", KEYS),
        ];
        assert!(play(script).0.is_ok());
    }

    #[test]
    fn nothing_and_broken_are_told_apart() {
        let nothing = |script| match play(script).0 {
            Err(Fault::Nothing(why)) => why,
            other => panic!("{other:?}"),
        };
        assert!(nothing(vec![answer(403, "", "")]).contains("403"));
        assert!(nothing(vec![answer(200, "", "T"), answer(404, "", "")]).contains("no role"));
        let script = vec![answer(200, "", "T"), answer(200, "", "r"), answer(404, "", "")];
        assert!(matches!(play(script).0, Err(Fault::Broken(why)) if why.contains("role r: HTTP 404")));
        for odd in ["../../../user-data", "r?x=y", "a/b", "r#x", "..", "%2e"] {
            let script = vec![answer(200, "", "T"), answer(200, "", odd)];
            assert!(matches!(play(script).0, Err(Fault::Broken(why)) if why.contains("invalid")), "{odd}");
        }
        let off = load(&variables(&[("AWS_EC2_METADATA_DISABLED", "TRUE")]));
        assert!(matches!(off, Err(Fault::Nothing(why)) if why.contains("DISABLED")));
    }

    #[test]
    fn where_it_is() {
        assert_eq!(endpoint(&variables(&[])), "http://169.254.169.254");
        let mode = ("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6");
        assert_eq!(endpoint(&variables(&[mode])), "http://[fd00:ec2::254]");
    }
}
