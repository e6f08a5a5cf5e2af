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

// ---- sending ------------------------------------------------------------------------------------

/// A batch is closed when it reaches this: 16 TLS records, half of a small L2 cache.
pub const BATCH_BYTES: usize = 256 * KIB;
/// Batches that wait for a sender, for each sender.
pub const BATCHES_WAITING_PER_SENDER: usize = 4;
/// TCP connect, and each wait inside the TLS handshake.
pub const SEND_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// With TLS 1.3 a refused client certificate is reported after the handshake; a peer that accepts
/// usually sends a session ticket. This is how long a new connection waits for either.
pub const SEND_VERDICT_TIMEOUT: Duration = Duration::from_millis(300);
/// A peer that neither takes a byte nor acknowledges one for so long is given up.
pub const SEND_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one wait for the socket may last before other duties are looked after.
pub const SEND_WAIT_SLICE: Duration = Duration::from_millis(250);
/// How often a connection with unconfirmed bytes is looked at when there is nothing to write.
pub const SEND_CONFIRM_INTERVAL: Duration = Duration::from_millis(10);
/// Devo's balancer closes a connection that was idle for 30 s (devo-facts, section 1): we are first.
pub const SEND_IDLE_TIMEOUT: Duration = Duration::from_secs(25);
/// A connection is renewed after an hour, as the vendor's SDK does, so that load spreads again.
pub const SEND_RENEWAL: Duration = Duration::from_secs(3600);
/// How long the peer may take to close after we did.
pub const SEND_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// First and longest wait between attempts to connect.
pub const SEND_BACKOFF_FIRST: Duration = Duration::from_millis(250);
pub const SEND_BACKOFF_MAX: Duration = Duration::from_secs(15);
/// Acknowledged bytes are believed when this many more have been acknowledged after them: more than
/// Linux lets a receive buffer grow (`tcp_rmem`, 6 MiB), so that the peer's program has read them …
pub const SETTLE_BYTES: usize = 8 * MIB;
/// … or when the connection has lived this long after their acknowledgement. Longer than the round
/// trip in which a late refusal or a reset arrives.
pub const SETTLE_TIME: Duration = Duration::from_secs(1);
/// Unconfirmed bytes that one connection may have: room to go on while the oldest settle.
pub const SEND_WINDOW_BYTES: usize = 2 * SETTLE_BYTES;

const _: () = {
    assert!(SEND_WINDOW_BYTES > SETTLE_BYTES + BATCH_BYTES, "or only time could ever settle a full window");
    assert!(AWS_BACKOFF_FIRST.as_millis() < AWS_BACKOFF_MAX.as_millis());
    assert!(AWS_IDLE_AGE.as_secs() > 20, "a long poll must not outlive its connection's idle age");
};
