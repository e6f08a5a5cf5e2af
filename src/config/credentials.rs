//! Reads the `credentials` of an input (`docs/devo-wire.md#credentials`). Messages here never show a value that may be
//! secret.

use super::context::Context;
use super::kind::Kind;
use super::node::Mapping;
use super::permissions;
use crate::base::naming::{Arn, is_account};
use crate::config::files::read_file;
use crate::settings::{AccessKey, Credentials};

const ROLE_ADVICE: &str = "a role looks like arn:aws:iam::123456789012:role/name";

/// A collector's names of the parts; pairs of the value's key and its file's key.
struct Names {
    id: (&'static str, &'static str),
    secret: (&'static str, &'static str),
    token: (&'static str, &'static str),
    base_role: &'static str,
    target_role: &'static str,
    external_id: &'static str,
}

const SQS_COLLECTOR: Names = Names {
    id: ("aws_access_key_id", "aws_access_key_id_file"),
    secret: ("aws_secret_access_key", "aws_secret_access_key_file"),
    token: ("aws_session_token", "aws_session_token_file"),
    base_role: "aws_base_account_role",
    target_role: "aws_cross_account_role",
    external_id: "aws_external_id",
};

const AWS_COLLECTOR: Names = Names {
    id: ("access_key", "access_key_file"),
    secret: ("access_secret", "access_secret_file"),
    token: ("session_token", "session_token_file"),
    base_role: "base_assume_role",
    target_role: "target_assume_role",
    external_id: "assume_role_external_id",
};

/// Reads the mapping; if it is missing or has empty values, the standard AWS chain decides.
pub(super) fn read(input: &Mapping<'_>, context: &Context<'_>) -> Credentials {
    read_as(&SQS_COLLECTOR, input, context)
}

/// Reads the mapping with the AWS collector's keys.
pub(super) fn read_collectors(input: &Mapping<'_>, context: &Context<'_>) -> Credentials {
    read_as(&AWS_COLLECTOR, input, context)
}

fn read_as(names: &Names, input: &Mapping<'_>, context: &Context<'_>) -> Credentials {
    let Some(keys) = input.mapping("credentials") else { return Credentials::default() };
    let credentials = Credentials {
        key: access_key(&keys, names, context),
        profile: profile(&keys, names),
        base_role: role(&keys, names.base_role),
        cross_account_role: role(&keys, names.target_role),
        external_id: external_id(&keys, names.external_id),
    };
    if credentials.external_id.is_some()
        && credentials.base_role.is_none()
        && credentials.cross_account_role.is_none()
    {
        let advice = "write the role that requires it, or remove it";
        let path = keys.path_of(names.external_id);
        keys.report.warning(Kind::Doubtful, path, "no role uses it", advice);
    }
    keys.finish();
    credentials
}

fn access_key(keys: &Mapping<'_>, names: &Names, context: &Context<'_>) -> Option<AccessKey> {
    let id = value(keys, names.id.0, names.id.1, context);
    let secret = value(keys, names.secret.0, names.secret.1, context);
    let session_token = value(keys, names.token.0, names.token.1, context);
    let secrets = [&secret, &session_token].into_iter().flatten().flatten();
    secrets.for_each(|secret| keys.report.hide(secret));
    if let Some(Ok(written)) = &secret
        && is_key_id(written)
    {
        // The secret may stand where ids are, which are shown.
        id.iter().flatten().for_each(|id| keys.report.hide(id));
        let message =
            format!("holds an access key's id, which belongs into {}: the two may be swapped", names.id.0);
        let advice =
            "write the id (AKIA… or ASIA…, 20 characters) and the secret (usually 40) where they belong";
        keys.report.error(Kind::Invalid, keys.path_of(names.secret.0), message, advice);
        return None;
    }
    let missing = match (&id, &secret) {
        (Some(_), None) => names.secret.0,
        (None, Some(_)) => names.id.0,
        (None, None) if session_token.is_some() => names.id.0,
        _ => {
            return Some(AccessKey {
                id: id?.ok()?,
                secret: secret?.ok()?,
                session_token: session_token.transpose().ok()?,
            });
        }
    };
    let advice = "write both parts of the access key, or neither for the standard AWS chain";
    keys.report.error(Kind::Missing, keys.path_of(missing), "is missing", advice);
    None
}

/// True for the id of an access key that AWS made, whose secrets have other forms.
fn is_key_id(text: &str) -> bool {
    let rest = text.strip_prefix("AKIA").or_else(|| text.strip_prefix("ASIA"));
    rest.is_some_and(|rest| {
        rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}

fn external_id(keys: &Mapping<'_>, key: &'static str) -> Option<String> {
    let id = keys.string(key)?;
    if !is_external_id(&id) {
        let message = "is no external id: STS refuses it";
        let advice = "write 2 to 1224 letters, digits and _+=,.@:/-, as in the role's trust policy";
        keys.report.error(Kind::Invalid, keys.path_of(key), message, advice);
    }
    Some(id)
}

/// Accepts what `sts:AssumeRole` does.
fn is_external_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte);
    (2..=1224).contains(&id.len()) && id.bytes().all(allowed)
}

/// A file that has been reported already.
struct Unreadable;

/// Reads a value, or the file named instead. None if neither is set.
fn value(
    keys: &Mapping<'_>,
    key: &'static str,
    file_key: &'static str,
    context: &Context<'_>,
) -> Option<Result<String, Unreadable>> {
    let (written, file) = (keys.string(key), keys.string(file_key));
    let Some(file) = file else { return written.map(Ok) };
    if written.is_some() {
        let message = format!("{key} is written, too");
        keys.report.error(Kind::Invalid, keys.path_of(file_key), message, "remove one of the two");
        return Some(Err(Unreadable));
    }
    Some(from_file(keys, file_key, &file, context))
}

/// Reads the file's only line. Errors show its name, never its text.
fn from_file(
    keys: &Mapping<'_>,
    key: &'static str,
    name: &str,
    context: &Context<'_>,
) -> Result<String, Unreadable> {
    let path = context.base.join(name);
    let refuse = |message: String| {
        let advice = "the file must contain only the value; paths are relative to the configuration's folder";
        keys.report.error(Kind::Invalid, keys.path_of(key), message, advice);
        Unreadable
    };
    let bytes = read_file(&path).map_err(refuse)?;
    let text = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
    if text.is_empty() || text.contains(char::is_control) {
        return Err(refuse(format!("{} does not contain one line of text", path.display())));
    }
    permissions::warn_if_open(&path, &keys.path_of(key), keys.report);
    Ok(text.to_owned())
}

fn profile(keys: &Mapping<'_>, names: &Names) -> Option<String> {
    let profile = keys.string("profile")?;
    let parts = [names.id, names.secret, names.token].map(|(value, file)| [value, file]);
    if let Some(part) = parts.into_iter().flatten().find(|part| keys.string(part).is_some()) {
        let message = format!("{part} is written, too");
        let advice = "write an access key or a profile of the shared AWS files, not both";
        keys.report.error(Kind::Invalid, keys.path_of("profile"), message, advice);
    }
    Some(profile)
}

fn role(keys: &Mapping<'_>, key: &'static str) -> Option<String> {
    let arn = keys.string(key)?;
    if !is_role(&arn) {
        let message = "is not the ARN of a role";
        keys.report.error(Kind::Invalid, keys.path_of(key), message, ROLE_ADVICE);
    }
    Some(arn)
}

/// Parses `arn:<partition>:iam::<12 digits>:role/<path and name>`.
fn is_role(arn: &str) -> bool {
    Arn::parse(arn).is_some_and(|arn| {
        matches!(arn.partition, "aws" | "aws-cn" | "aws-us-gov")
            && arn.service == "iam"
            && arn.region.is_empty()
            && is_account(arn.account)
            && arn.resource.strip_prefix("role/").is_some_and(is_role_name)
    })
}

/// Accepts IAM's own alphabet, and slashes between the parts of a path.
fn is_role_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&b);
    !name.is_empty() && !name.ends_with('/') && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_keys_id_is_told_from_its_secret() {
        assert!(is_key_id("AKIAIOSFODNN7EXAMPLE") && is_key_id("ASIAIOSFODNN7EXAMPLE"));
        for other in [
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "test",
            "AKIAIOSFODNN7EXAMPL",
            "AKIAiosfodnn7example",
        ] {
            assert!(!is_key_id(other), "{other}");
        }
    }

    #[test]
    fn external_ids_have_the_letters_that_sts_takes() {
        assert!(is_external_id("a1") && is_external_id("arn:aws:x/y=z,+@_-."));
        for bad in ["a", "a{b}", "with space", "<id>x", &"a".repeat(1225)] {
            assert!(!is_external_id(bad), "{bad}");
        }
    }

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
