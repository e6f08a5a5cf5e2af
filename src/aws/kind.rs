//! Kinds of failed calls.

/// The kind of a failure, by which callers decide instead of comparing strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// AWS asks for fewer calls.
    Throttled,
    /// 5xx, reset, timeout, unresolved name, failed handshake, truncated body: worth a retry.
    Transient,
    /// Our clock and AWS's differ too much.
    Skewed,
    /// The session token has expired.
    Expired,
    /// Wrong key, missing permission, or no credentials at all.
    Denied,
    /// S3 says that there is no such object, or no such version of it: `NoSuchKey`, `NoSuchVersion`, nothing else.
    NoSuchObject,
    /// No such bucket, queue or log group.
    NotFound,
    /// S3 does not return this one object until somebody changes something: it is archived, its version must not be
    /// read, or no object can have its name.
    Withheld,
    /// The answer is not AWS's: a refusal without an AWS error code, or a success without what AWS always sends. A
    /// proxy, a portal or another server sent it, and nothing follows from it.
    Foreign,
    /// The object was replaced since its first range was read (412).
    Changed,
    /// The bucket is in another region.
    Redirect { region: Option<String> },
    /// The range begins after the object's end; with its size, if the answer has it.
    InvalidRange { total: Option<u64> },
    /// The message is no longer ours: deleted, or its visibility timeout ended.
    ReceiptHandle,
    /// The program is being stopped.
    Stopped,
    /// Anything else: a retry will not help.
    BadRequest,
}
