//! A bucket option: `[INPUT=]NAME[/PREFIX]`, or with the ARN instead of the name.

use std::str::FromStr;

use crate::base::naming::{self, NoPlace, Place};

/// The location of an input's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The input whose queue announces its objects; None for every input.
    pub input: Option<String>,
    pub name: String,
    /// The prefix of the keys; often empty. It ends with a slash unless it was written with a `*`.
    pub prefix: String,
}

/// A text that names no bucket, or none whose objects can be named in a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotABucket {
    #[error(
        "{0:?} is not a bucket: write NAME, NAME/FOLDER, NAME/PREFIX* or its ARN; with several inputs, INPUT=NAME \
         assigns it to one"
    )]
    Form(String),
    #[error("the bucket {0:?} cannot be used: {1}")]
    Unsupported(String, NoPlace),
    #[error(
        "the bucket {0:?} cannot be used: it is the alias of an access point, and policies need its bucket: name that"
    )]
    Alias(String),
    #[error(
        "{0:?} is not a beginning of keys: a key has up to 1,024 bytes, and the characters *, ? and ${{ have a meaning \
         of their own in policies. Write NAME/FOLDER, or one * at the end for keys that only begin alike: NAME/PREFIX*"
    )]
    Prefix(String),
}

impl Bucket {
    pub fn arn(&self, partition: &str) -> String {
        format!("arn:{partition}:s3:::{}", self.name)
    }

    /// The ARN of all its objects under the prefix.
    pub fn objects_arn(&self, partition: &str) -> String {
        format!("{}/{}*", self.arn(partition), self.prefix)
    }

    pub fn belongs_to(&self, input: &str) -> bool {
        self.input.as_deref().is_none_or(|own| own == input)
    }
}

impl FromStr for Bucket {
    type Err = NotABucket;

    fn from_str(text: &str) -> Result<Bucket, NotABucket> {
        let (input, place) = match text.split_once('=') {
            Some(("", _)) => return Err(NotABucket::Form(text.to_owned())),
            Some((input, place)) if !input.contains('/') => (Some(input.to_owned()), place),
            _ => (None, text),
        };
        // arn:aws:s3:::name, in any partition.
        let place = naming::without_arn(place);
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        check_name(name, text)?;
        let prefix = prefix_of(prefix);
        if !is_prefix(&prefix) {
            return Err(NotABucket::Prefix(prefix));
        }
        Ok(Bucket { input, name: name.to_owned(), prefix })
    }
}

fn check_name(name: &str, text: &str) -> Result<(), NotABucket> {
    match naming::place(name) {
        Err(unsupported @ NoPlace::Unsupported { .. }) => {
            Err(NotABucket::Unsupported(name.to_owned(), unsupported))
        }
        Ok(Place::Bucket(_)) if name.ends_with("-s3alias") || name.ends_with("--ol-s3") => {
            Err(NotABucket::Alias(name.to_owned()))
        }
        Ok(Place::Bucket(_)) if is_name(name) => Ok(()),
        _ => Err(NotABucket::Form(text.to_owned())),
    }
}

/// True for what means the same as a prefix of a listing, in an event pattern and in a policy's ARN.
fn is_prefix(text: &str) -> bool {
    let is_plain = !text.contains(['*', '?']) && !text.contains("${") && !text.contains(char::is_control);
    text.is_empty() || is_plain && naming::is_key(text)
}

/// Reads a folder, or with a `*` at its end any beginning of keys: `AWSLogs` must not also mean `AWSLogs-private/`.
fn prefix_of(text: &str) -> String {
    match text.strip_suffix('*') {
        Some(beginning) => beginning.to_owned(),
        None if text.is_empty() || text.ends_with('/') => text.to_owned(),
        None => format!("{text}/"),
    }
}

/// S3's own rule for names.
fn is_name(name: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    (3..=63).contains(&name.len())
        && name.bytes().all(allowed)
        && edge(name.bytes().next())
        && edge(name.bytes().last())
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_read_in_every_form() {
        let read = |text: &str| {
            let bucket: Bucket = text.parse().unwrap();
            format!("{} {}", bucket.input.as_deref().unwrap_or("-"), bucket.objects_arn("aws"))
        };
        assert_eq!(read("my-logs"), "- arn:aws:s3:::my-logs/*");
        assert_eq!(read("my-logs/AWSLogs/a=b/"), "- arn:aws:s3:::my-logs/AWSLogs/a=b/*");
        assert_eq!(read("my-logs/AWSLogs"), "- arn:aws:s3:::my-logs/AWSLogs/*", "not AWSLogs-private/");
        assert_eq!(read("my-logs/access/2026-"), "- arn:aws:s3:::my-logs/access/2026-/*");
        assert_eq!(read("my-logs/access/2026-*"), "- arn:aws:s3:::my-logs/access/2026-*");
        assert_eq!(read("arn:aws-cn:s3:::my.logs/*"), "- arn:aws:s3:::my.logs/*");
        assert_eq!(read("sqs_collector_a=my-logs/x*"), "sqs_collector_a arn:aws:s3:::my-logs/x*");
    }

    #[test]
    fn what_would_mean_something_else_in_a_policy_is_refused() {
        let refused = |text: &str| text.parse::<Bucket>().unwrap_err().to_string();
        let long = format!("logs/{}", "k".repeat(1025));
        for prefix in
            ["logs/a*b", "logs/**", "logs/a?", "logs/${aws:username}/", "logs/../x", "logs/a\nb", &long]
        {
            assert!(refused(prefix).contains("is not a beginning of keys"), "{prefix}");
        }
        for name in [
            "=logs",
            "=",
            "*",
            "lo*gs",
            "logs?",
            "${a}",
            "-logs",
            "logs-",
            "lo..gs",
            "a:s3:::logs",
            "arn:aws:sqs:r:1:logs",
        ] {
            assert!(refused(name).contains("is not a bucket"), "{name}");
        }
        assert!(refused("logs--usw2-az1--x-s3").contains("directory bucket"));
        assert!(refused("arn:aws:s3:::logs--usw2-az1--x-s3").contains("directory bucket"));
        assert!(refused("point-abc123-s3alias").contains("access point"));
        assert!("logs/$HOME-is-plain/a+b".parse::<Bucket>().is_ok());
    }

    proptest::proptest! {
        #[test]
        fn what_is_accepted_is_a_name(text in ".*|([a-z]{1,3}=)?[A-Za-z0-9:.*=-]{0,70}(/.*)?") {
            if let Ok(bucket) = text.parse::<Bucket>() {
                proptest::prop_assert!(is_name(&bucket.name) && text.contains(&bucket.name));
            }
        }
    }
}
