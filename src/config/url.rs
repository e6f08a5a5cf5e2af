//! Checks of queue URLs and endpoints, and the region in a queue's host name.

use http::Uri;

use crate::aws::endpoint::{is_below, is_on_aws, usual_queue_region};
use crate::base::naming::is_account;

pub use crate::base::naming::is_region;

/// The reason why a URL cannot be used.
pub type Refusal = &'static str;

/// The refusal of `user:password@host`, which doesn't show it.
pub const LOGIN: Refusal = "must not contain a user name or password";

/// The refusal of braces, which no address has: they are an example's.
const BRACES: Refusal = "has a placeholder in braces that has not been replaced";

/// Longest name of a queue, with `.fifo`.
const QUEUE_NAME_MAX: usize = 80;

/// Checks a queue's URL, which is sent to SQS as written. AWS's own queues are `/ACCOUNT/NAME`; other servers have paths of
/// their own.
pub fn check_queue(text: &str) -> Result<Uri, Refusal> {
    let uri = absolute(text)?;
    let host = uri.host().unwrap_or_default();
    if is_console(host) {
        return Err("is a page of AWS's console, not the queue's URL, which that page shows under \"URL\"");
    }
    if uri.query().is_some() || text.contains('#') {
        return Err("has a ? or # behind the queue's name");
    }
    match uri.path() {
        "" | "/" => return Err("has no path: the queue's name is missing"),
        path if path.ends_with('/') => return Err("ends with a slash, where the queue's name should be"),
        _ => (),
    }
    if is_on_aws(host) {
        if uri.scheme_str() == Some("http") {
            return Err("is one of AWS's own and begins with http://, so calls would not be encrypted");
        }
        if host.split('.').any(is_label_of_sqs) {
            check_place_at_aws(host, uri.path())?;
        } else if uri.path().split('/').nth(1).is_some_and(is_mistyped_account) {
            return Err(ACCOUNT);
        }
    }
    Ok(uri)
}

const ACCOUNT: Refusal = "has an account number without exactly 12 digits";

/// Checks the parts of a URL that SQS itself gave a queue, also behind a VPC endpoint.
fn check_place_at_aws(host: &str, path: &str) -> Result<(), Refusal> {
    if region(host).is_none() {
        return Err("names a host of AWS's without a region: sqs.us-west-1.amazonaws.com has one");
    }
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts[..] {
        [account, name] if is_account(account) && is_queue_name(name) => Ok(()),
        [account, _] if !is_account(account) => Err(ACCOUNT),
        [_, _] => Err(
            "has a name that no queue can have: 1 to 80 letters, digits, - and _, and .fifo at the end of a FIFO queue's",
        ),
        [_] => Err("has only one part behind the host: the account's number or the queue's name is missing"),
        _ => Err("has more behind the host than the account's number and the queue's name"),
    }
}

fn is_label_of_sqs(label: &str) -> bool {
    matches!(label, "sqs" | "sqs-fips" | "queue")
}

fn is_queue_name(name: &str) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !stem.is_empty() && name.len() <= QUEUE_NAME_MAX && stem.bytes().all(plain)
}

/// True for the host of AWS's console, with or without a region and a session before it.
fn is_console(host: &str) -> bool {
    const CONSOLES: [&str; 3] =
        ["console.aws.amazon.com", "console.amazonaws.cn", "console.amazonaws-us-gov.com"];
    CONSOLES.iter().any(|console| host == *console || is_below(host, console))
}

/// Accounts have 12 digits. A short number is an example's.
fn is_mistyped_account(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && (9..=15).contains(&text.len()) && text.len() != 12
}

/// Parses `scheme://host[:port]`, without an optional final slash.
pub fn endpoint(text: &str) -> Result<String, Refusal> {
    let uri = absolute(text)?;
    if uri.path() != "/" || uri.query().is_some() || text.contains('#') {
        return Err("must end after the host and port");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The region in a queue's host name: the label after `sqs`, or before `queue` in the legacy form, whose shortest hosts
/// mean the first region of their partition.
pub fn region(host: &str) -> Option<String> {
    if let Some(region) = usual_queue_region(host) {
        return Some(region.to_owned());
    }
    let labels: Vec<&str> = host.split('.').collect();
    let neighbours = labels.windows(2).find_map(|pair| match pair {
        ["sqs" | "sqs-fips", region] | [region, "queue"] if is_region(region) => Some(*region),
        _ => None,
    });
    neighbours.map(str::to_owned)
}

/// Parses `scheme://host[:port]…`, for HTTP.
///
/// # Errors
/// The reason why nothing can be requested from it.
pub fn absolute(text: &str) -> Result<Uri, Refusal> {
    if text.contains(['{', '}']) {
        return Err(BRACES);
    }
    let uri: Uri = text.parse().map_err(|_| "is not a URL")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("must begin with https:// or http://");
    }
    let authority = uri.authority().ok_or("names no host")?;
    if authority.host().is_empty() {
        return Err("names no host");
    }
    if authority.as_str().contains('@') {
        return Err(LOGIN);
    }
    // A port that is no number, or too large a one, is no port to the parser.
    let has_port = authority.as_str().len() > authority.host().len();
    if has_port && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("has a port that is not a number from 1 to 65535");
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_from_every_form_of_host() {
        let of = |host| region(host).unwrap_or_default();
        assert_eq!(of("sqs.us-west-1.amazonaws.com"), "us-west-1");
        assert_eq!(of("sqs.cn-north-1.amazonaws.com.cn"), "cn-north-1");
        assert_eq!(of("sqs-fips.us-gov-east-1.amazonaws.com"), "us-gov-east-1");
        assert_eq!(of("vpce-0a1-b2.sqs.eu-west-3.vpce.amazonaws.com"), "eu-west-3");
        assert_eq!(of("sqs.eu-west-3.api.aws"), "eu-west-3");
        assert_eq!(of("eu-central-1.queue.amazonaws.com"), "eu-central-1");
        assert_eq!(of("queue.amazonaws.com"), "us-east-1");
        assert_eq!(of("cn-north-1.queue.amazonaws.com.cn"), "cn-north-1");
        assert_eq!(of("queue.amazonaws.com.cn"), "cn-north-1");
        assert_eq!(of("sqs.us-east-1.localhost"), "us-east-1");
        assert_eq!(of("sqs.us-east-1.localhost.localstack.cloud"), "us-east-1");
        for none in [
            "localhost",
            "127.0.0.1",
            "sqs.local",
            "sqs.example.com",
            "queue.local",
            "queue.evilamazonaws.com",
            "sqs",
            "",
        ] {
            assert_eq!(region(none), None, "{none}");
        }
    }

    #[test]
    fn endpoints_are_a_scheme_host_and_port() {
        assert_eq!(endpoint("http://127.0.0.1:4566/"), Ok("http://127.0.0.1:4566".into()));
        assert_eq!(endpoint("https://s3.local"), Ok("https://s3.local".into()));
        assert_eq!(endpoint("http://[::1]:80"), Ok("http://[::1]:80".into()));
        for bad in [
            "",
            "s3.local",
            "ftp://x",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://a#b",
            "http://{host}",
            "http://u:p@a",
            "http://a:0",
            "http://a:99999",
            "http://a:",
            "http://[::1]:x",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_queue_has_a_path() {
        assert!(check_queue("https://sqs.us-west-1.amazonaws.com/123456789012/q").is_ok());
        assert!(check_queue("http://127.0.0.1:4566/q").is_ok());
        for bad in [
            "https://sqs.us-west-1.amazonaws.com/",
            "https://sqs.us-west-1.amazonaws.com",
            "q",
            "/1/q",
            "http://sqs.us-west-1.amazonaws.com/123456789012/q",
            "https://sqs.us-west-1.amazonaws.com/12345678901/q",
        ] {
            assert!(check_queue(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_queue_of_aws_has_behind_its_host_is_checked_and_nothing_else() {
        let aws = "https://sqs.us-east-1.amazonaws.com";
        for real in [
            &*format!("{aws}/111111111111/q"),
            &format!("{aws}/111111111111/A-b_9.fifo"),
            &format!("{aws}/111111111111/{}", "q".repeat(80)),
            &format!("{aws}:443/111111111111/q"),
            "https://queue.amazonaws.com/111111111111/q",
            "https://us-west-2.queue.amazonaws.com/111111111111/q",
            "https://sqs.cn-north-1.amazonaws.com.cn/111111111111/q",
            "https://sqs-fips.us-gov-west-1.amazonaws.com/111111111111/q",
            "https://sqs.eu-west-1.api.aws/111111111111/q",
            "https://sqs.eusc-de-east-1.amazonaws.eu/111111111111/q",
            "https://vpce-0a1-b2.sqs.eu-west-3.vpce.amazonaws.com/111111111111/q",
            // Servers other than AWS's.
            "http://127.0.0.1:4566/000000000000/q",
            "http://localhost:9324/queue/q",
            "http://localhost:4566/queue/us-east-1/000000000000/q",
            "http://us-east-1.queue.localhost.localstack.cloud:4566/000000000000/q.a",
            "https://emulator-1.us-east-1.elb.amazonaws.com/queue/q",
            "https://sqs.example.com/q",
        ] {
            assert!(check_queue(real).is_ok(), "{real}: {:?}", check_queue(real));
        }
        let long = "q".repeat(81);
        for (unreal, why) in [
            (&*format!("{aws}/{{account-id}}/{{queue-name}}"), "braces"),
            (&format!("{aws}/111111111111/{{queue-name}}"), "braces"),
            ("http://127.0.0.1:4566/{account}/q", "braces"),
            ("https://sqs.{region}.amazonaws.com/111111111111/q", "braces"),
            (&format!("{aws}/111111111111/"), "slash"),
            (&format!("{aws}/111111111111/q/"), "slash"),
            ("http://127.0.0.1:4566/000000000000/", "slash"),
            (&format!("{aws}/q"), "one part"),
            (&format!("{aws}/111111111111"), "one part"),
            (&format!("{aws}/111111111111/q?x=1"), "? or #"),
            (&format!("{aws}/111111111111/q#x"), "? or #"),
            ("http://127.0.0.1:4566/000000000000/q?Action=x", "? or #"),
            (&format!("{aws}/1/q"), "12 digits"),
            (&format!("{aws}/account/q"), "12 digits"),
            (&format!("{aws}//q"), "12 digits"),
            (&format!("{aws}/111111111111/q/r"), "more behind"),
            (&format!("{aws}/111111111111/.fifo"), "no queue can have"),
            (&format!("{aws}/111111111111/a.b"), "no queue can have"),
            (&format!("{aws}/111111111111/{long}"), "no queue can have"),
            ("https://sqs.us-east1.amazonaws.com/111111111111/q", "without a region"),
            ("https://sqs.amazonaws.com/111111111111/q", "without a region"),
            (
                "https://us-east-1.console.aws.amazon.com/sqs/v3/home?region=us-east-1#/queues/https%3A%2F%2Fsqs",
                "console",
            ),
            ("https://console.amazonaws.cn/sqs/v3/home", "console"),
            ("https://1-a.us-east-1.console.aws.amazon.com/sqs/v3", "console"),
        ] {
            let refusal = check_queue(unreal).map(|_| ()).expect_err(unreal);
            assert!(refusal.contains(why), "{unreal}: {refusal}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = (check_queue(&text), endpoint(&text), region(&text), is_region(&text));
        }

        #[test]
        fn what_is_found_as_region_looks_like_one(host in "[a-z0-9.-]{0,40}") {
            if let Some(found) = region(&host) {
                proptest::prop_assert!(is_region(&found));
            }
        }
    }
}
