//! ARNs derived from a configuration, and those that the user adds.

use crate::aws::endpoint::partition;
use crate::base::naming::{Arn, is_account, is_region};

/// Account and name at the end of a queue's URL. No account means any (`*`).
pub fn queue_in(url: &str) -> (String, String) {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let mut parts = path.trim_end_matches('/').rsplit('/');
    let name = parts.next().unwrap_or_default();
    let account = parts.next().filter(|part| is_account(part)).unwrap_or("*");
    (account.to_owned(), name.to_owned())
}

/// The account of a role.
pub fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

/// Path (`/a/b/`) and name of a role.
pub fn role_in(arn: &str) -> (String, String) {
    let resource = arn.split_once(":role").map_or(arn, |(_, rest)| rest);
    let (path, name) = resource.rsplit_once('/').unwrap_or(("", resource));
    (format!("{path}/"), name.to_owned())
}

/// Parses the ARN of an SNS topic.
///
/// # Errors
/// If it is none; the message shows what one looks like.
pub fn topic(text: &str) -> Result<String, String> {
    let is_topic = |name: &str| is_name(name, 256);
    of_service("sns", text, is_topic)
        .ok_or_else(|| "a topic's ARN looks like arn:aws:sns:us-east-1:123456789012:name".to_owned())
}

/// Parses the ARN of a queue.
///
/// # Errors
/// If it is none; the message shows what one looks like.
pub fn queue(text: &str) -> Result<String, String> {
    of_service("sqs", text, |name| is_name(name, 80))
        .ok_or_else(|| "a queue's ARN looks like arn:aws:sqs:us-east-1:123456789012:name".to_owned())
}

/// Parses the ARN of a KMS key. An alias is not enough: in a policy it allows nothing.
///
/// # Errors
/// If it is none; the message shows what one looks like.
pub fn kms_key(text: &str) -> Result<String, String> {
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_key = |resource: &str| resource.strip_prefix("key/").is_some_and(is_id);
    of_service("kms", text, is_key).ok_or_else(|| {
        "a key's ARN looks like arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab; an alias \
         allows nothing in a policy"
            .to_owned()
    })
}

/// The text, if it is an ARN of this service in a region and an account, and of such a resource.
fn of_service(service: &str, text: &str, is_resource: impl Fn(&str) -> bool) -> Option<String> {
    let arn = Arn::parse(text)?;
    let is_sound = arn.service == service
        && is_region(arn.region)
        && arn.partition == partition(arn.region)
        && is_account(arn.account)
        && is_resource(arn.resource);
    is_sound.then(|| text.to_owned())
}

/// True for the names that SQS and SNS accept, up to this length.
pub fn is_name(name: &str, longest: usize) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !stem.is_empty() && name.len() <= longest && stem.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_arn_of_the_right_thing_is_accepted() {
        let at =
            |service: &str, resource: &str| format!("arn:aws:{service}:eu-west-1:123456789012:{resource}");
        type Parse = fn(&str) -> Result<String, String>;
        let kinds: [(Parse, &str, &str); 3] = [
            (topic, "sns", "on-call.fifo"),
            (queue, "sqs", "dead_letters"),
            (kms_key, "kms", "key/mrk-1234abcd12ab34cd56ef1234567890ab"),
        ];
        for (parse, service, resource) in kinds {
            let good = at(service, resource);
            assert_eq!(parse(&good), Ok(good.clone()));
            let there = good.replace("arn:aws:", "arn:aws-cn:").replace("eu-west-1", "cn-north-1");
            assert_eq!(parse(&there), Ok(there.clone()));
            for bad in [
                String::new(),
                resource.to_owned(),
                at("iam", resource),
                at(service, ""),
                at(service, "*"),
                at(service, "alias/mine"),
                at(service, "a b"),
                at(service, "${AWS::AccountId}"),
                good.replace("123456789012", "12345"),
                good.replace("123456789012", "*"),
                good.replace("eu-west-1", ""),
                good.replace("eu-west-1", "*"),
                good.replace("eu-west-1", "cn-north-1"),
                good.replace("arn:aws:", "arn:other:"),
                format!(" {good}"),
                format!("{good}\n"),
            ] {
                assert!(parse(&bad).is_err(), "{bad:?}");
            }
        }
    }

    #[test]
    fn queues_are_read_off_their_urls() {
        let of = |url| {
            let (account, name) = queue_in(url);
            format!("{account} {name}")
        };
        assert_eq!(
            of("https://sqs.eu-west-1.amazonaws.com/123456789012/logs.fifo"),
            "123456789012 logs.fifo"
        );
        assert_eq!(of("https://queue.amazonaws.com/123456789012/logs/"), "123456789012 logs");
        assert_eq!(of("http://127.0.0.1:4566/logs"), "* logs");
    }

    #[test]
    fn roles_are_read_off_their_arns() {
        let of = |arn| role_in(arn);
        assert_eq!(of("arn:aws:iam::123456789012:role/name"), ("/".into(), "name".into()));
        assert_eq!(of("arn:aws:iam::123456789012:role/a/b/name"), ("/a/b/".into(), "name".into()));
        assert_eq!(account_of("arn:aws:iam::123456789012:role/name"), Some("123456789012"));
    }
}
