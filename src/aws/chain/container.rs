//! The credentials endpoint of ECS tasks, EKS pods and similar.
//!
//! Format: "Container credential provider" of the AWS SDKs and Tools reference guide.

use std::net::IpAddr;

use super::files::read_small;
use super::metadata::{Caller, Silence};
use super::{Variables, document};
use crate::aws::credentials::Credentials;

/// The endpoint's address from the environment. None if it is not set, so this is not a container with a role.
///
/// # Errors
/// If credentials must not be requested from this address.
pub fn address(env: &Variables) -> Result<Option<String>, String> {
    if let Some(path) = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        return relative(&path).map(Some);
    }
    env("AWS_CONTAINER_CREDENTIALS_FULL_URI").map(|uri| check_full(&uri).map(|()| uri)).transpose()
}

/// Requests credentials from the endpoint.
///
/// # Errors
/// The endpoint's answer, without secrets.
pub fn load(url: &str, env: &Variables) -> Result<Credentials, String> {
    let token = token(env)?;
    let headers = token.as_deref().map(|token| ("authorization", token));
    let failed = |why: String| format!("{}: {why}", host_part(url));
    let answer = Caller::new()
        .call("GET", url, headers.as_slice())
        .map_err(|Silence(why)| failed(format!("no answer: {why}")))?;
    if answer.status != 200 {
        let said = document::refusal(&answer.body).map(|said| format!(" {said}")).unwrap_or_default();
        return Err(failed(format!("HTTP {}{said}", answer.status)));
    }
    document::of_container(&answer.body).map_err(|why| failed(format!("its answer is unusable: {why}")))
}

/// Scheme and host for people, since a path may contain an id meant for the container alone.
pub fn host_part(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    format!("{scheme}://{}", rest.split(['/', '?', '#']).next().unwrap_or_default())
}

const AGENT: &str = "http://169.254.170.2";

fn relative(path: &str) -> Result<String, String> {
    // Anything else could change the host: `@evil`, `.evil`.
    if path.starts_with('/') {
        Ok(format!("{AGENT}{path}"))
    } else {
        Err("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with /".to_owned())
    }
}

/// Accepts https anywhere, and http only where nobody can listen: this machine and the link-local agents.
fn check_full(uri: &str) -> Result<(), String> {
    const NAME: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let parsed = uri.parse::<::http::Uri>().map_err(|_| format!("{NAME} is not a URL"))?;
    let authority = parsed.authority().map(ToString::to_string).unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return Err(format!("{NAME} is not a URL with a host"));
    }
    match parsed.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if parsed.host().is_some_and(is_near) => Ok(()),
        Some("http") => Err(format!(
            "{NAME} is http, and its host is neither this machine nor 169.254.170.2, 169.254.170.23 or fd00:ec2::23: \
             refused"
        )),
        _ => Err(format!("{NAME} is neither https nor http")),
    }
}

fn is_near(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let Ok(address) = host.parse::<IpAddr>() else { return host.eq_ignore_ascii_case("localhost") };
    address.is_loopback()
        || ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"]
            .iter()
            .any(|near| near.parse::<IpAddr>().is_ok_and(|near| near == address))
}

/// Reads the token file each time: its writer replaces it long before the token expires.
fn token(env: &Variables) -> Result<Option<String>, String> {
    let token = match env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => {
            Some(read_small(&path).map_err(|why| format!("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: {why}"))?)
        }
        None => env("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    let token = token.map(|token| token.trim().to_owned());
    if token.as_ref().is_some_and(|token| token.chars().any(|c| !(c.is_ascii_graphic() || c == ' '))) {
        return Err(
            "the container's authorization token contains characters that a header cannot have".to_owned()
        );
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::chain::testing::variables;
    use crate::aws::testing::{Server, answer};

    const DOCUMENT: &str =
        r#"{"AccessKeyId":"ASIA1","SecretAccessKey":"hush","Token":"t","Expiration":"2044-02-03T04:05:06Z"}"#;

    fn full(uri: &str) -> Result<Option<String>, String> {
        address(&variables(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)]))
    }

    #[test]
    fn where_it_is() {
        assert_eq!(address(&variables(&[])), Ok(None));
        let both = [
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/id"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil/"),
        ];
        assert_eq!(address(&variables(&both)).unwrap().unwrap(), "http://169.254.170.2/v2/credentials/id");
        for good in [
            "https://anywhere.example/x",
            "http://127.0.0.1:51679/x",
            "http://127.1.2.3/x",
            "http://localhost:1/x",
            "http://[::1]:1/x",
            "http://169.254.170.2/x",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
        ] {
            assert_eq!(full(good).unwrap().as_deref(), Some(good));
        }
        for bad in [
            "http://169.254.170.24/x",
            "http://evil.example/x",
            "http://127.0.0.1.evil.example/x",
            "http://127.0.0.1@evil.example/x",
            "http://localhost.evil/x",
            "ftp://127.0.0.1/x",
            "/x",
            "http://",
            "",
        ] {
            assert!(full(bad).is_err() || bad.is_empty(), "{bad}");
        }
        let odd = address(&variables(&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil/")]));
        assert!(odd.unwrap_err().contains("begin with /"));
    }

    #[test]
    fn the_token_s_file_is_read_each_time_and_wins_over_the_variable() {
        let server = Server::play(vec![answer(200, "", DOCUMENT), answer(200, "", DOCUMENT)]);
        let file = tempfile::NamedTempFile::new().unwrap();
        let env = variables(&[
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "other"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.path().to_str().unwrap()),
        ]);
        let url = format!("{}/x?y", server.endpoint);
        for token in ["first", "second\n"] {
            std::fs::write(file.path(), token).unwrap();
            assert_eq!(load(&url, &env).unwrap().access_key_id, "ASIA1");
        }
        let seen = server.seen();
        assert!(seen[0].head.starts_with("GET /x?y ") && seen[0].head.contains("authorization: first\r"));
        assert!(seen[1].head.contains("authorization: second\r"));
    }

    #[test]
    fn a_refusal_is_shown_and_an_outage_is_tried_again() {
        let refusal = r#"{"code":"AccessDeniedException","message":"no role"}"#;
        let busy = || answer(503, "", "");
        let script = vec![busy(), answer(403, "", refusal), busy(), busy(), busy(), answer(200, "", "hush")];
        let server = Server::play(script);
        let failed = || load(&format!("{}/secret-id", server.endpoint), &variables(&[])).unwrap_err();
        let (refused, gone, unreadable) = (failed(), failed(), failed());
        assert!(refused.contains("403 AccessDeniedException: no role"), "{refused}");
        assert!(gone.contains("503"), "{gone}");
        for error in [refused, gone, unreadable] {
            assert!(!error.contains("hush") && !error.contains("secret-id"), "{error}");
        }
        server.seen();
    }

    #[test]
    fn a_token_cannot_add_a_header() {
        let env = variables(&[("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nx: y")]);
        assert!(load("http://127.0.0.1:1/", &env).unwrap_err().contains("header"));
    }
}
