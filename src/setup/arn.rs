//! ARNs derived from a configuration.

/// Account and name at the end of a queue's URL. No account means any (`*`).
pub fn queue_in(url: &str) -> (String, String) {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let mut parts = path.trim_end_matches('/').rsplit('/');
    let name = parts.next().unwrap_or_default();
    let is_account = |part: &&str| part.len() == 12 && part.bytes().all(|b| b.is_ascii_digit());
    let account = parts.next().filter(is_account).unwrap_or("*");
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

#[cfg(test)]
mod tests {
    use super::*;

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
