//! A bucket option: `[INPUT=]NAME[/PREFIX]`, or with the ARN instead of the name.

use std::str::FromStr;

/// The location of an input's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The input whose queue announces its objects; None for every input.
    pub input: Option<String>,
    pub name: String,
    /// The prefix of the keys; often empty.
    pub prefix: String,
}

/// Not a bucket's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a bucket: write NAME, NAME/PREFIX or its ARN; with several inputs, INPUT=NAME assigns it to one"
)]
pub struct NotABucket(String);

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
            Some((input, place)) if !input.contains('/') => (Some(input.to_owned()), place),
            _ => (None, text),
        };
        // arn:aws:s3:::name, in any partition.
        let place = place.split_once(":s3:::").map_or(place, |(_, rest)| rest);
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        if !is_name(name) {
            return Err(NotABucket(text.to_owned()));
        }
        Ok(Bucket { input, name: name.to_owned(), prefix: prefix.trim_end_matches('*').to_owned() })
    }
}

/// S3's own rule for names.
fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    (3..=63).contains(&name.len()) && name.bytes().all(allowed)
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
        assert_eq!(read("arn:aws-cn:s3:::my.logs/*"), "- arn:aws:s3:::my.logs/*");
        assert_eq!(read("sqs_collector_a=my-logs/x*"), "sqs_collector_a arn:aws:s3:::my-logs/x*");
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
