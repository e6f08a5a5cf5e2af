//! Every bound of the program in one place, each with its reason.
//!
//! Durations are [`Duration`]s; sizes are bytes and end in `_BYTES`; counts say what they count.

use std::time::Duration;

/// One kibibyte, in bytes.
pub const KIB: usize = 1024;
/// One mebibyte, in bytes.
pub const MIB: usize = 1024 * KIB;

// ---- calls to AWS -------------------------------------------------------------------------------

/// TCP connect and TLS handshake with AWS. A healthy one takes two round trips.
pub const AWS_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From the request's last byte to the answer's first, for every call that does not long-poll.
pub const AWS_RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// What a long poll may take over its own wait time.
pub const AWS_LONG_POLL_MARGIN: Duration = Duration::from_secs(10);
/// The whole body of one answer; a part of [`PART_BYTES`] at 150 KiB/s still makes it.
pub const AWS_BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Idle connections are kept longer than a 20 s long poll and shorter than S3's own limit.
pub const AWS_IDLE_AGE: Duration = Duration::from_secs(45);
/// An answer of SQS or STS: ten messages of 1 MiB, base64 and JSON escapes included.
pub const AWS_ANSWER_BYTES_MAX: usize = 32 * MIB;
/// Tries of one call before it is given up to the caller.
pub const AWS_ATTEMPTS: u32 = 5;
/// First wait between tries; doubled each time, jittered over its whole length.
pub const AWS_BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between tries.
pub const AWS_BACKOFF_MAX: Duration = Duration::from_secs(20);
/// Credentials are refreshed this long before they expire; less when they live shorter.
pub const CREDENTIALS_REFRESH_EARLY: Duration = Duration::from_secs(300);

/// Entries of one SQS batch call, and messages of one receive: SQS's own limit.
pub const SQS_BATCH: usize = 10;
/// The body of an unsuccessful answer; AWS's are below 2 KiB, a proxy's page may be longer.
pub const AWS_REFUSAL_BYTES_MAX: usize = 256 * KIB;
/// How long an assumed role's keys live: what AWS allows when one role assumes the next.
pub const ROLE_SESSION: Duration = Duration::from_secs(3600);
/// After a failed refresh the old credentials are used for this long before the next try.
pub const CREDENTIALS_RETRY: Duration = Duration::from_secs(30);
/// Redirects to a bucket's region that one call follows: the answer's, and one more if the bucket moved.
pub const S3_REDIRECTS_MAX: u32 = 2;

// ---- objects ------------------------------------------------------------------------------------

/// One range GET. Large enough that its latency is lost in its transfer, small enough that a retry
/// costs little.
pub const PART_BYTES: usize = 8 * MIB;

const _: () = {
    assert!(AWS_BACKOFF_FIRST.as_millis() < AWS_BACKOFF_MAX.as_millis());
    assert!(AWS_IDLE_AGE.as_secs() > 20, "a long poll must not outlive its connection's idle age");
};
