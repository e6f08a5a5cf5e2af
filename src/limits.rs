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

// ---- messages -----------------------------------------------------------------------------------

/// Messages of one input that may be in work: enough that a second of settling (see `SETTLE_TIME`)
/// does not hold up small objects, far below the 120,000 that SQS allows.
pub const MESSAGES_IN_WORK_MAX: usize = 4000;
/// SQS ends a lease for good after 12 hours; an extension past that is refused.
pub const LEASE_AGE_MAX: Duration = Duration::from_secs(12 * 3600 - 300);
/// How often leases are looked through. Half of the smallest timeout allowed is far longer.
pub const LEASE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Deletions wait so long for others to share their call.
pub const SETTLE_GATHER_TIME: Duration = Duration::from_millis(50);
/// A message that failed stays invisible for so long the first time, doubled each time it comes back.
pub const RETRY_DELAY_FIRST: Duration = Duration::from_secs(30);
/// Longest time that a failed message stays invisible.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(900);
/// The same when draining, where somebody waits for the end.
pub const DRAIN_RETRY_DELAY_FIRST: Duration = Duration::from_secs(1);
pub const DRAIN_RETRY_DELAY_MAX: Duration = Duration::from_secs(15);
/// When draining a queue without a redrive policy: tries of a message that can never be read.
pub const DRAIN_REJECTS_MAX: u32 = 3;
/// The same for a message that might be delivered another time.
pub const DRAIN_RETRIES_MAX: u32 = 10;
/// Longest a drain waits for an output or a queue that does not answer.
pub const DRAIN_PATIENCE: Duration = Duration::from_secs(180);
/// The same where the error will not go away by itself (a wrong certificate, a wrong secret).
pub const DRAIN_PATIENCE_LASTING: Duration = Duration::from_secs(10);
/// Long polls are this short when draining: an empty answer must come soon.
pub const DRAIN_WAIT_TIME: Duration = Duration::from_secs(1);
/// How soon a thread that waits for something else notices a stop.
pub const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Wait between receives that fail.
pub const RECEIVE_BACKOFF_FIRST: Duration = Duration::from_millis(500);
pub const RECEIVE_BACKOFF_MAX: Duration = Duration::from_secs(60);

// ---- objects ------------------------------------------------------------------------------------

/// One range GET. Large enough that its latency is lost in its transfer, small enough that a retry
/// costs little.
pub const PART_BYTES: usize = 8 * MIB;
/// Parts of an object in a stream that may be on their way beside the one being decoded.
pub const PARTS_AHEAD: usize = 3;
/// Objects up to this size are held whole, which lets them be inflated in one call.
pub const WHOLE_OBJECT_BYTES_MAX: usize = 64 * MIB;
/// Expanded bytes that one worker may hold at once.
pub const SCRATCH_BYTES_MAX: usize = 256 * MIB;
/// The least that an object counts in the budget: its bookkeeping.
pub const OBJECT_BYTES_MIN: usize = 4 * KIB;
/// Objects that wait for a fetcher, for each fetcher.
pub const OBJECTS_WAITING_PER_FETCHER: usize = 4;
/// Tries of an object that is not there (yet), and of one that is replaced while it is read.
pub const OBJECT_ATTEMPTS: u32 = 3;
/// Wait between these tries.
pub const OBJECT_RETRY_DELAY: Duration = Duration::from_millis(400);

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

// ---- memory -------------------------------------------------------------------------------------

/// The program itself: code, stacks, TLS state, queues of small things.
pub const BASE_BYTES: usize = 24 * MIB;

/// How `memory_limit` is divided. A third each for compressed bytes, expanded bytes and frames, so
/// that no stage can take what a later one needs to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShares {
    /// Compressed bytes held, all objects together.
    pub compressed: usize,
    /// Largest object that is held whole, compressed.
    pub whole_object: usize,
    /// Expanded bytes held by one worker.
    pub scratch: usize,
    /// Unconfirmed bytes held by one sender.
    pub window: usize,
}

impl MemoryShares {
    /// `senders`: of all outputs together. The window is not made larger than is of use.
    pub fn of(memory_limit: u64, workers: usize, senders: usize) -> MemoryShares {
        let limit = usize::try_from(memory_limit).unwrap_or(usize::MAX);
        let third = limit.saturating_sub(BASE_BYTES) / 3;
        let waiting = BATCHES_WAITING_PER_SENDER * BATCH_BYTES;
        MemoryShares {
            compressed: third.max(PART_BYTES),
            whole_object: (third / 4).min(WHOLE_OBJECT_BYTES_MAX),
            scratch: (third / workers.max(1)).clamp(MIB, SCRATCH_BYTES_MAX),
            window: (third / senders.max(1)).saturating_sub(waiting).clamp(MIB, SEND_WINDOW_BYTES),
        }
    }
}

const _: () = {
    assert!(SEND_WINDOW_BYTES > SETTLE_BYTES + BATCH_BYTES, "or only time could ever settle a full window");
    assert!(AWS_BACKOFF_FIRST.as_millis() < AWS_BACKOFF_MAX.as_millis());
    assert!(AWS_IDLE_AGE.as_secs() > 20, "a long poll must not outlive its connection's idle age");
};
