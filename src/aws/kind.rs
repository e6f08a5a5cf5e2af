//! What kind of failure a call met.

/// What callers decide by, so that nobody compares strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// AWS asks for fewer calls.
    Throttled,
    /// 5xx, reset, time-out, name not found, handshake failed, body cut short: worth another try.
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
    /// S3 does not hand this one object out before somebody changes something about it: it is archived, its
    /// version must not be read, or no object can have its name.
    Withheld,
    /// The answer is not AWS's: a refusal without an error code of AWS, or a success without what AWS always sends. A
    /// proxy, a portal or another server gave it, and nothing follows from it.
    Foreign,
    /// The object was replaced since its first range was read (412).
    Changed,
    /// The bucket lives elsewhere.
    Redirect { region: Option<String> },
    /// The range begins behind the object's end; its size, if the answer says.
    InvalidRange { total: Option<u64> },
    /// The message is not ours any more: deleted, or its visibility ran out.
    ReceiptHandle,
    /// The program is being stopped.
    Stopped,
    /// Anything else: trying again will not help.
    BadRequest,
}
