//! message body -> the objects that it announces.
//!
//! Pure.

/// An S3 object that a message names. Keys are as S3 has them: decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    pub key: String,
    /// The bucket's region, where the message says it.
    pub region: Option<String>,
    /// Bytes as the message says: a hint only, it may be missing or wrong.
    pub size: Option<u64>,
    pub version_id: Option<String>,
}
