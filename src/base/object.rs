//! The name of an S3 object in messages and listings.

use super::naming;
use super::text::logged_address;

/// An S3 object named in a message. The key is as in S3: decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    pub key: String,
    /// The bucket's region, if the message has it.
    pub region: Option<String>,
    /// Bytes according to the message: a hint unless it also has an ETag. Missing or 0 if unknown.
    pub size: Option<u64>,
    pub version_id: Option<String>,
    /// S3's ETag, without quotes.
    pub etag: Option<String>,
    /// CrowdStrike's own checksum of the file's content.
    pub checksum: Option<String>,
    /// The key in another spelling, in case S3 does not have this one: not every sender of S3's events encodes keys as
    /// S3 does.
    pub other_key: Option<String>,
}

impl Object {
    /// An object of which only the name is known.
    pub fn named(bucket: &str, key: &str) -> Object {
        Object {
            bucket: naming::without_arn(bucket).to_owned(),
            key: key.to_owned(),
            region: None,
            size: None,
            version_id: None,
            etag: None,
            checksum: None,
            other_key: None,
        }
    }
}

impl std::fmt::Display for Object {
    /// Formats `s3://bucket/key` for a log, with escapes only for what would break the line: others choose keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&logged_address(&self.bucket, &self.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_log_is_the_keys_own_unless_it_would_break_the_line() {
        let shown = |key: &str| Object::named("b", key).to_string();
        for key in ["a b", "quo\"te", "ap's", "back\\slash", "é"] {
            assert_eq!(shown(key), format!("s3://b/{key}"));
        }
        assert_eq!(shown("a\n\u{1b}[2J"), "s3://b/a\\n\\u{1b}[2J");
    }
}
