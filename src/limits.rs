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

// ---- objects ------------------------------------------------------------------------------------

/// One range GET. Large enough that its latency is lost in its transfer, small enough that a retry
/// costs little.
pub const PART_BYTES: usize = 8 * MIB;

// ---- configuration ------------------------------------------------------------------------------

/// Below this, one worker's scratch and one part per fetcher do not fit side by side.
pub const MEMORY_LIMIT_MIN_BYTES: u64 = 64 * 1024 * 1024;
/// Default bound on memory: a quarter of the machine's, but no more than this; more buys no speed.
pub const MEMORY_LIMIT_DEFAULT_MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// SQS's own limit: 12 h.
pub const VISIBILITY_TIMEOUT_MAX: Duration = Duration::from_secs(43_200);
/// A shorter visibility leaves no time to extend it: an AWS call may take its whole response timeout.
pub const VISIBILITY_TIMEOUT_ADVISED_MIN: Duration = Duration::from_secs(30);
/// SQS's own limit for one long poll.
pub const SQS_WAIT_MAX: Duration = Duration::from_secs(20);
/// SQS's own limit for one ReceiveMessage.
pub const SQS_MESSAGES_MAX: u32 = 10;
/// Threads that poll one queue: 64 that get ten messages each in 50 ms are beyond any queue of objects.
pub const RECEIVERS_MAX: usize = 64;
/// Threads that write to one output; Devo's balancer sees one connection each.
pub const SENDERS_MAX: usize = 256;
/// Threads that inflate and split, and threads that fetch: a typing error must not start a million.
pub const THREADS_MAX: usize = 4096;
/// Each fetcher waits for S3 most of the time, so there are several per core.
pub const FETCHERS_PER_CORE: usize = 4;
/// With fewer, the latency of S3 shows even on a small machine.
pub const FETCHERS_MIN: usize = 8;
/// Within the 30 s that service managers commonly allow between SIGTERM and SIGKILL.
pub const SHUTDOWN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(25);
/// Nobody waits longer than an hour for a stop.
pub const SHUTDOWN_TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// More header lines than this are a typing error.
pub const HEADER_LINES_MAX: u32 = 1000;
/// A certificate that expires within this time is worth a warning.
pub const CERTIFICATE_EXPIRY_WARNING: Duration = Duration::from_secs(30 * 24 * 3600);
/// A configuration, certificate or key file that is larger was given by mistake.
pub const CONFIGURATION_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

const _: () = {
    assert!(AWS_BACKOFF_FIRST.as_millis() < AWS_BACKOFF_MAX.as_millis());
    assert!(AWS_IDLE_AGE.as_secs() > 20, "a long poll must not outlive its connection's idle age");
};
