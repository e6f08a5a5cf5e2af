//! The name of an S3 object, as messages and listings have it.

use super::naming;

/// An S3 object that a message names. The key is as S3 has it: decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    pub key: String,
    /// The bucket's region, where the message says it.
    pub region: Option<String>,
    /// Bytes as the message says: a hint where no ETag stands beside it. Missing, or 0: nobody knows.
    pub size: Option<u64>,
    pub version_id: Option<String>,
    /// What S3 said that it stored, without quotes.
    pub etag: Option<String>,
    /// CrowdStrike's own sum of the file's content.
    pub checksum: Option<String>,
    /// The key in another spelling, for the case that S3 has none of this one: not every sender of S3's events encodes
    /// keys as S3 does.
    pub other_key: Option<String>,
}

impl Object {
    /// An object of which nothing is known but its name.
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
    /// `s3://bucket/key`, control characters escaped: keys are chosen by others and end up in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket.escape_debug(), self.key.escape_debug())
    }
}
