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

// ---- payload -> records ---------------------------------------------------------------------------

/// The largest gzip member that is inflated in one call, into a buffer that one worker reuses:
/// objects are mostly smaller by far. Anything larger goes through windows.
pub const SCRATCH_BYTES_MAX: usize = 64 * MIB;
/// One window of a stream that is being inflated: with the decoder's own 32 KiB history it stays in
/// a core's second-level cache while it is split and framed.
pub const INFLATE_WINDOW_BYTES: usize = 256 * KIB;
/// Objects in a row that leave three quarters of a worker's scratch unused before it is cut to what
/// they needed: one big object must not hold its memory for ever, two sizes in turn must not
/// allocate each time.
pub const SCRATCH_IDLE_OBJECTS: u32 = 16;
/// One record. Events over 1 MiB occur, and a whole JSON document may be one; beyond this the object
/// is not what its service says it is (no line ends, one endless value).
pub const RECORD_BYTES_MAX: usize = 64 * MIB;
/// Log bytes for one compressed byte. Logs reach 5 to 30; deflate itself ends at 1032.
pub const EXPANSION_RATIO_MAX: u64 = 500;
/// No object is refused for its ratio before it has inflated to this much: a few kilobytes of equal
/// lines are harmless.
pub const EXPANSION_FREE_BYTES: u64 = 64 * MIB as u64;
/// Compression inside compression: Firehose and CloudWatch make two levels.
pub const COMPRESSION_LEVELS_MAX: usize = 3;
/// log2 of the largest zstd window that is accepted: what the `zstd` tool accepts without a switch
/// (128 MiB, touched only as far as the frame really reaches back).
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Bytes that are looked at to tell a zlib header from text that begins with the same two letters.
pub const SNIFF_BYTES: usize = 32;
/// How far the first line is followed to tell JSON lines from other JSON. A longer one is JSON: cut
/// at its values, an object on a line of its own is the same record.
pub const DETECT_BYTES_MAX: usize = MIB;
/// Brackets inside brackets in one JSON value. Log events stay below 20, parsers give up at 128 to
/// 1024; the fixed bound keeps the scanner's memory fixed.
pub const JSON_DEPTH_MAX: usize = 1024;

const _: () = {
    assert!(AWS_BACKOFF_FIRST.as_millis() < AWS_BACKOFF_MAX.as_millis());
    assert!(AWS_IDLE_AGE.as_secs() > 20, "a long poll must not outlive its connection's idle age");
    assert!(INFLATE_WINDOW_BYTES < SCRATCH_BYTES_MAX);
    assert!(DETECT_BYTES_MAX <= RECORD_BYTES_MAX, "what is held to decide must fit one record");
};
