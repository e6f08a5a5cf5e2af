//! `credentials` of an input (devo-facts, section 3). Messages here never show a value that may be secret.

use super::node::Mapping;
use super::problem::Kind;
use super::{AccessKey, Credentials};

const ROLE_ADVICE: &str = "a role looks like arn:aws:iam::123456789012:role/name";

/// Reads the mapping; without it, or with empty values, the environment decides.
pub(super) fn read(input: &Mapping<'_>) -> Credentials {
    let Some(keys) = input.mapping("credentials") else {
        return Credentials { key: None, base_role: None, cross_account_role: None, external_id: None };
    };
    let credentials = Credentials {
        key: access_key(&keys),
        base_role: role(&keys, "aws_base_account_role"),
        cross_account_role: role(&keys, "aws_cross_account_role"),
        external_id: keys.string("aws_external_id"),
    };
    if credentials.external_id.is_some()
        && credentials.base_role.is_none()
        && credentials.cross_account_role.is_none()
    {
        let advice = "write the role that asks for it, or remove it";
        keys.report.warning(Kind::Doubtful, keys.path_of("aws_external_id"), "no role uses it", advice);
    }
    keys.finish();
    credentials
}

fn access_key(keys: &Mapping<'_>) -> Option<AccessKey> {
    let id = keys.string("aws_access_key_id");
    let secret = keys.string("aws_secret_access_key");
    let session_token = keys.string("aws_session_token");
    let missing = match (&id, &secret) {
        (Some(_), None) => "aws_secret_access_key",
        (None, Some(_)) => "aws_access_key_id",
        (None, None) if session_token.is_some() => "aws_access_key_id",
        _ => return Some(AccessKey { id: id?, secret: secret?, session_token }),
    };
    let advice = "write both parts of the access key, or neither for the standard AWS chain";
    keys.report.error(Kind::Missing, keys.path_of(missing), "is missing", advice);
    None
}

fn role(keys: &Mapping<'_>, key: &'static str) -> Option<String> {
    let arn = keys.string(key)?;
    if !is_role(&arn) {
        let message = "is not the ARN of a role";
        keys.report.error(Kind::Invalid, keys.path_of(key), message, ROLE_ADVICE);
    }
    Some(arn)
}

/// `arn:<partition>:iam::<12 digits>:role/<path and name>`.
fn is_role(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts[..] else { return false };
    arn == "arn"
        && matches!(partition, "aws" | "aws-cn" | "aws-us-gov")
        && service == "iam"
        && region.is_empty()
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && resource.strip_prefix("role/").is_some_and(is_role_name)
}

/// IAM's own alphabet, and slashes between the parts of a path.
fn is_role_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&b);
    !name.is_empty() && !name.ends_with('/') && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_told_from_other_arns() {
        assert!(is_role("arn:aws:iam::837131528613:role/devo-xaccount-cs-role"));
        assert!(is_role("arn:aws-cn:iam::837131528613:role/path/to/name"));
        assert!(is_role("arn:aws-us-gov:iam::837131528613:role/a"));
        for bad in [
            "",
            "devo-role",
            "arn:aws:iam::837131528613:user/a",
            "arn:aws:iam::83713152861:role/a",
            "arn:aws:iam::837131528613:role/",
            "arn:aws:iam:us-east-1:837131528613:role/a",
            "arn:aws:sts::837131528613:assumed-role/a/b",
            "arn:aws:iam::837131528613:role/a b",
            "arn:other:iam::837131528613:role/a",
        ] {
            assert!(!is_role(bad), "{bad}");
        }
    }
}
