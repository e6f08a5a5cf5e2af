//! Checks of queue URLs and endpoints, and the region in a queue's host name.

use http::Uri;

use crate::aws::endpoint::usual_queue_region;

pub use crate::base::naming::is_region;

/// The reason why a URL cannot be used.
pub type Refusal = &'static str;

/// The refusal of `user:password@host`, which doesn't show it.
pub const LOGIN: Refusal = "must not contain a user name or password";

/// Checks a queue's URL, which is sent to SQS as written.
pub fn check_queue(text: &str) -> Result<Uri, Refusal> {
    let uri = absolute(text)?;
    if uri.path().trim_matches('/').is_empty() {
        return Err("has no path: the queue's name is missing");
    }
    if uri.host().is_some_and(is_of_aws) {
        if uri.scheme_str() == Some("http") {
            return Err("is one of AWS's own and begins with http://, so calls would not be encrypted");
        }
        if uri.path().split('/').nth(1).is_some_and(is_mistyped_account) {
            return Err("has an account number without exactly 12 digits");
        }
    }
    Ok(uri)
}

fn is_of_aws(host: &str) -> bool {
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
}

/// Accounts have 12 digits. A short number is an example's.
fn is_mistyped_account(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && (9..=15).contains(&text.len()) && text.len() != 12
}

/// Parses `scheme://host[:port]`, without an optional final slash.
pub fn endpoint(text: &str) -> Result<String, Refusal> {
    let uri = absolute(text)?;
    if uri.path() != "/" || uri.query().is_some() {
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
