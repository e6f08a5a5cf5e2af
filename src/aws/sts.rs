//! STS over the AWS Query protocol: forms in, XML out. Pure.
//!
//! Format: the AWS Security Token Service API reference, version 2011-06-15.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::credentials::{Credentials, expiry};
use super::request::{Address, Request};
use super::success::Unusable;

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssumeRole<'a> {
    pub role_arn: &'a str,
    /// Visible in CloudTrail.
    pub session_name: &'a str,
    pub external_id: Option<&'a str>,
    pub duration: Duration,
}

/// A role to assume with the token of an identity provider.
#[derive(Clone, PartialEq, Eq)]
pub struct AssumeRoleWithWebIdentity<'a> {
    pub role_arn: &'a str,
    /// Visible in CloudTrail.
    pub session_name: &'a str,
    /// Proves the identity; a secret.
    pub token: &'a str,
    pub duration: Duration,
}

/// The owner of a key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CallerIdentity {
    #[serde(rename = "Account")]
    pub account: String,
    #[serde(rename = "Arn")]
    pub arn: String,
    #[serde(rename = "UserId")]
    pub user_id: String,
}

/// Builds AssumeRole; `endpoint` and `region` are STS's.
pub fn assume_role(role: &AssumeRole<'_>, endpoint: &str, region: &str) -> Request {
    let seconds = role.duration.as_secs().to_string();
    let mut fields = vec![
        ("Action", "AssumeRole"),
        ("Version", VERSION),
        ("RoleArn", role.role_arn),
        ("RoleSessionName", role.session_name),
        ("DurationSeconds", &seconds),
    ];
    fields.extend(role.external_id.map(|id| ("ExternalId", id)));
    call("sts:AssumeRole", &Address { endpoint, region, resource: role.role_arn }, &fields)
}

/// Builds AssumeRoleWithWebIdentity, which is not signed; `endpoint` and `region` are STS's.
pub fn assume_role_with_web_identity(
    role: &AssumeRoleWithWebIdentity<'_>,
    endpoint: &str,
    region: &str,
) -> Request {
    let seconds = role.duration.as_secs().to_string();
    let fields = [
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", VERSION),
        ("RoleArn", role.role_arn),
        ("RoleSessionName", role.session_name),
        ("DurationSeconds", &seconds),
        ("WebIdentityToken", role.token),
    ];
    call("sts:AssumeRoleWithWebIdentity", &Address { endpoint, region, resource: role.role_arn }, &fields)
}

/// Builds GetCallerIdentity.
pub fn caller_identity(endpoint: &str, region: &str) -> Request {
    let address = Address { endpoint, region, resource: "(own identity)" };
    call("sts:GetCallerIdentity", &address, &[("Action", "GetCallerIdentity"), ("Version", VERSION)])
}

/// Reads the answer of AssumeRole or AssumeRoleWithWebIdentity. The error says what is wrong with it and contains no
/// secret.
pub fn read_assume_role(body: &[u8]) -> Result<Credentials, Unusable> {
    let text = text(body)?;
    let answer = quick_xml::de::from_str::<AssumeRoleAnswer>(text).map_err(|_| not_of("AssumeRole"))?;
    let raw = answer.result.credentials;
    if [&raw.access_key_id, &raw.secret_access_key, &raw.session_token].iter().any(|part| part.is_empty()) {
        return Err(not_of("AssumeRole"));
    }
    let expires_at = expiry(&raw.expiration).ok_or_else(|| Unusable::odd("its Expiration is not a time"))?;
    Ok(Credentials {
        access_key_id: raw.access_key_id,
        secret_access_key: raw.secret_access_key,
        session_token: Some(raw.session_token),
        expires_at: Some(expires_at),
    })
}

/// Reads GetCallerIdentity's answer.
pub fn read_caller_identity(body: &[u8]) -> Result<CallerIdentity, Unusable> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "GetCallerIdentityResult")]
        result: CallerIdentity,
    }
    let text = text(body)?;
    let answer = quick_xml::de::from_str::<Answer>(text).map_err(|_| not_of("GetCallerIdentity"))?;
    Ok(answer.result)
}

const VERSION: &str = "2011-06-15";

/// Encodes a form: everything except unreserved characters, so there are no literal spaces or plus signs.
const FORM: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn call(action: &'static str, address: &Address<'_>, fields: &[(&str, &str)]) -> Request {
    let pair = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, &FORM));
    let form = fields.iter().map(pair).collect::<Vec<_>>().join("&");
    let mut request = Request::post(action, "sts", address, form.into_bytes());
    request.headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
    request
}

/// Hides the parser's own message, which could quote a secret.
fn not_of(action: &str) -> Unusable {
    Unusable::foreign(format!("it does not have the shape of {action}'s answer"))
}

fn text(body: &[u8]) -> Result<&str, Unusable> {
    std::str::from_utf8(body).map_err(|_| Unusable::foreign("it is not UTF-8"))
}

#[derive(Deserialize)]
struct AssumeRoleAnswer {
    #[serde(rename = "AssumeRoleResult", alias = "AssumeRoleWithWebIdentityResult")]
    result: AssumeRoleResult,
}

#[derive(Deserialize)]
struct AssumeRoleResult {
    #[serde(rename = "Credentials")]
    credentials: RawCredentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawCredentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_form() {
        let role = AssumeRole {
            role_arn: "arn:aws:iam::123456789012:role/r",
            session_name: "aws-to-devo",
            external_id: Some("a b+c&d"),
            duration: Duration::from_secs(3600),
        };
        let request = assume_role(&role, "https://sts.eu-west-1.amazonaws.com", "eu-west-1");
        assert_eq!(
            String::from_utf8(request.body).unwrap(),
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fr\
             &RoleSessionName=aws-to-devo&DurationSeconds=3600&ExternalId=a%20b%2Bc%26d"
        );
        assert_eq!((request.service, request.resource.as_str()), ("sts", role.role_arn));
    }

    #[test]
    fn credentials_in_the_answer() {
        let body = b"<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
            <AssumedRoleUser><Arn>arn:x</Arn><AssumedRoleId>i</AssumedRoleId></AssumedRoleUser><Credentials>\
            <AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s/+=</SecretAccessKey><SessionToken>t==</SessionToken>\
            <Expiration>2024-02-03T04:05:06Z</Expiration></Credentials></AssumeRoleResult>\
            <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></AssumeRoleResponse>";
        let found = read_assume_role(body).unwrap();
        assert_eq!((found.access_key_id.as_str(), found.secret_access_key.as_str()), ("ASIA1", "s/+="));
        assert_eq!(found.session_token.as_deref(), Some("t=="));
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(1_706_933_106);
        assert_eq!(found.expires_at, Some(expires));
    }

    #[test]
    fn the_form_for_a_token_and_its_answer() {
        let role = AssumeRoleWithWebIdentity {
            role_arn: "arn:r",
            session_name: "me",
            token: "a.b-c_d=",
            duration: Duration::from_secs(900),
        };
        let request = assume_role_with_web_identity(&role, "http://sts", "eu-west-1");
        assert_eq!(
            String::from_utf8(request.body).unwrap(),
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Ar&RoleSessionName=me\
             &DurationSeconds=900&WebIdentityToken=a.b-c_d%3D"
        );
        let body =
            b"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Audience>a</Audience>\
            <Credentials><SessionToken>t</SessionToken><SecretAccessKey>s</SecretAccessKey>\
            <Expiration>2024-02-03T04:05:06Z</Expiration><AccessKeyId>ASIA1</AccessKeyId></Credentials>\
            </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>";
        assert_eq!(read_assume_role(body).unwrap().access_key_id, "ASIA1");
    }

    #[test]
    fn a_wrong_answer_is_an_error_without_secrets() {
        let body =
            b"<AssumeRoleResponse><AssumeRoleResult><Credentials><SecretAccessKey>hush</SecretAccessKey>\
            </Credentials></AssumeRoleResult></AssumeRoleResponse>";
        let error = read_assume_role(body).unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
        assert!(read_assume_role(b"\xff").is_err());
    }

    #[test]
    fn who_am_i() {
        let body = b"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:a</Arn><UserId>u</UserId>\
            <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
        let found = read_caller_identity(body).unwrap();
        assert_eq!((found.account.as_str(), found.arn.as_str()), ("123456789012", "arn:a"));
    }

    proptest::proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(body in proptest::collection::vec(0u8.., 0..200)) {
            let _ = (read_assume_role(&body), read_caller_identity(&body));
        }
    }
}
