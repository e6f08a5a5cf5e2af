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
/// How long the addresses of a name are used without asking again: S3 spreads the load by answers that hold
/// for some five seconds.
pub const NAME_LIFETIME: Duration = Duration::from_secs(5);
/// Names whose addresses are remembered, a few hundred bytes each: a bucket is a name.
pub const NAMES_MAX: usize = 1000;
/// From the request's last byte to the answer's first, for every call that does not long-poll.
pub const AWS_RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// What a long poll may take over its own wait time.
pub const AWS_LONG_POLL_MARGIN: Duration = Duration::from_secs(10);
/// The whole body of one answer; a part of [`PART_BYTES`] at 150 KiB/s still makes it.
pub const AWS_BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// A call without an answer is a trouble after this at the earliest: healthy answers come within a second …
pub const ANSWER_PATIENCE_MIN: Duration = Duration::from_secs(20);
/// … and to a question for credentials after this: twice what STS and half of what a process may take.
pub const CREDENTIALS_PATIENCE: Duration = Duration::from_secs(60);
/// Idle connections are kept longer than a 20 s long poll and shorter than S3's own limit.
pub const AWS_IDLE_AGE: Duration = Duration::from_secs(45);
/// Bytes that one connection reads ahead: a long way below a part, several times what a system call costs.
pub const AWS_INPUT_BYTES: usize = 64 * KIB;
/// Bytes that one connection gathers before it writes: ten deletions with their receipt handles, or a request's head
/// with a session token.
pub const AWS_OUTPUT_BYTES: usize = 32 * KIB;
/// An answer of SQS or STS: ten messages of 1 MiB, base64 and JSON escapes included.
pub const AWS_ANSWER_BYTES_MAX: usize = 32 * MIB;
/// Answers that are being read, all together, beside those that are small: whoever reads one is done with it within
/// milliseconds, so that few are there at a time. A larger one is read alone.
pub const ANSWERS_BYTES: usize = 4 * MIB;
/// An answer up to this size does not ask for room: it is part of what its thread takes.
pub const ANSWER_BYTES_FREE: usize = 32 * KIB;
/// Room that an answer that does not say its length asks for at first (S3's listings: 1,000 keys are about as much).
pub const ANSWER_BYTES_UNKNOWN: usize = 256 * KIB;
/// Tries of one call before it is given up to the caller.
pub const AWS_ATTEMPTS: u32 = 5;
/// A call that fails sooner than this, without an answer, is tried once more at once: a connection from the pool
/// that the server had closed fails so.
pub const AWS_RETRY_AT_ONCE: Duration = Duration::from_secs(2);
/// First wait between tries; doubled each time, jittered over its whole length.
pub const AWS_BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between tries.
pub const AWS_BACKOFF_MAX: Duration = Duration::from_secs(20);
/// The `Date` of an answer has whole seconds: AWS's clock is known no better than this.
pub const CLOCK_RESOLUTION: Duration = Duration::from_secs(1);
/// A machine's clock that differs from AWS's by this much is worth a line in the log: AWS refuses signatures from five
/// minutes on, and an answer's way takes up to a few seconds.
pub const CLOCK_SKEW_NOTED: Duration = Duration::from_secs(10);
/// Shortest time between two such lines.
pub const CLOCK_NOTE_INTERVAL: Duration = Duration::from_secs(60);
/// Credentials are refreshed this long before they expire; less when they live shorter.
pub const CREDENTIALS_REFRESH_EARLY: Duration = Duration::from_secs(300);

// ---- messages -----------------------------------------------------------------------------------

/// Messages of one input that may be in work, where memory allows: enough that a second of settling (see `SETTLE_TIME`)
/// does not hold up small objects, far below the 120,000 that SQS allows.
pub const MESSAGES_IN_WORK_MAX: usize = 4000;
/// SQS ends a lease for good after 12 hours; an extension past that is refused.
pub const LEASE_AGE_MAX: Duration = Duration::from_secs(12 * 3600 - 300);
/// Values of one message: a mebibyte of CrowdStrike's file lists has some 40,000. Each takes fifty times its bytes
/// while the message is read.
pub const MESSAGE_VALUES_MAX: usize = 100_000;
/// Messages beyond this are read one at a time, for what that takes.
pub const MESSAGE_BYTES_USUAL: usize = 64 * KIB;
/// Bytes of an object's version, ETag or checksum in a message. S3's longest is a version, with up to 1,024.
pub const IDENTITY_BYTES_MAX: usize = 1024;
/// Envelopes around an announcement. The longest known way (S3, SNS, Lambda, its destination, SNS, a queue, Lambda, a
/// queue) has ten, with the lists and texts in between.
pub const MESSAGE_ENVELOPES_MAX: u32 = 16;
/// Bytes that a packed message may unpack to. It is read without waiting for others, as messages of this size are.
pub const MESSAGE_UNPACKED_BYTES_MAX: usize = MESSAGE_BYTES_USUAL;
/// Members that a log line names of a message of unknown shape: enough to recognise its sender by.
pub const MESSAGE_MEMBERS_NAMED_MAX: usize = 8;
/// Leases are looked through so often in a visibility timeout, but not more often than needed. Half of the timeout is
/// left when a lease is first extended.
pub const LEASE_CHECKS: u32 = 40;
pub const LEASE_CHECK_INTERVAL_MIN: Duration = Duration::from_millis(100);
pub const LEASE_CHECK_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// A call that extends leases may take this part of the visibility timeout at first, and twice as much after a
/// failure: with the pauses between them, two such calls and most of a third fit into the half that is left.
pub const LEASE_CALLS: u32 = 10;
pub const LEASE_CALL_TIMEOUT_MIN: Duration = Duration::from_millis(500);
pub const LEASE_CALL_TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// Calls side by side that extend leases of one input: at 50 ms a call, the leases of all messages that may be in
/// work are extended within 2 s, and those of a thousand within 5 s while every third call hangs.
pub const LEASE_CALLERS_MAX: usize = 16;
/// Calls side by side that delete messages of one input, and as many that give messages back.
pub const SETTLE_CALLERS_MAX: usize = 4;
/// A call that deletes messages or gives them back, and hangs, is broken off: the messages stay leased meanwhile.
pub const SETTLE_CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait between attempts to tell SQS of a message. The first is [`AWS_BACKOFF_FIRST`].
pub const SETTLE_BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Tries to give a message back; it comes back by itself when its lease ends.
pub const RELEASE_ATTEMPTS: u32 = 5;
/// A thread for such calls ends when it has had nothing to do for so long.
pub const CALLER_REST: Duration = Duration::from_secs(5);
/// Deletions and messages that go back wait so long for others to share their call.
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
/// Entries of one SQS batch call, and messages of one receive: SQS's own limit.
pub const SQS_BATCH: usize = 10;
/// The body of an unsuccessful answer; AWS's are below 2 KiB, a proxy's page may be longer.
pub const AWS_REFUSAL_BYTES_MAX: usize = 256 * KIB;
/// How long an assumed role's keys live: what AWS allows when one role assumes the next.
pub const ROLE_SESSION: Duration = Duration::from_secs(3600);
/// Credentials that live shorter than this when they come count as expired: they would be asked for with every request.
pub const CREDENTIALS_LIFE_MIN: Duration = Duration::from_secs(5);
/// After a failed refresh the old credentials are used for this long before the next try, and so are those that had
/// expired when they came.
pub const CREDENTIALS_RETRY: Duration = Duration::from_secs(30);
/// Keys of one page of a listing: S3's own limit.
pub const S3_LIST_KEYS: u32 = 1000;
/// Redirects to a bucket's region that one call follows: the answer's, and one more if the bucket moved.
pub const S3_REDIRECTS_MAX: u32 = 2;

/// Buckets whose region is remembered: a message can name any number.
pub const BUCKETS_KNOWN_MAX: usize = 1000;
/// Objects of a bucket whose versions were denied are read by their key for so long; then a version is tried
/// again, so that a permission that was given meanwhile is noticed. One call in ten minutes costs nothing.
pub const VERSIONS_DENIED_TIME: Duration = Duration::from_secs(600);

// ---- objects ------------------------------------------------------------------------------------

/// One range GET. Large enough that its latency is lost in its transfer, small enough that a retry
/// costs little.
pub const PART_BYTES: usize = 8 * MIB;
/// Parts of an object in a stream that may be on their way beside the one being decoded.
pub const PARTS_AHEAD: usize = 3;
/// What one read of a body takes: below the size from which glibc copies with `rep movsb` (see
/// `TLS_RECORD_BYTES`), and small enough that what is cleared for it is still in the cache.
pub const READ_BYTES: usize = 15 * KIB;
/// Objects up to this size are held whole, which lets them be inflated in one call.
pub const WHOLE_OBJECT_BYTES_MAX: usize = 64 * MIB;
/// The least that an object counts in the budget: its bookkeeping.
pub const OBJECT_BYTES_MIN: usize = 4 * KIB;
/// Messages of one input whose objects wait for a fetcher, for each fetcher.
pub const MESSAGES_WAITING_PER_FETCHER: usize = 4;
/// Objects of all inputs together that were begun and have not ended: they wait for another try, or for confirmation.
/// A message may name thousands.
pub const OBJECTS_BEGUN_MAX: usize = 20_000;
/// However many inputs there are, this many objects of each may be begun: the messages of one call of each receiver,
/// many times over.
pub const OBJECTS_BEGUN_PER_INPUT_MIN: usize = 250;
/// Memory of an object that was begun: its names, as the ledger, the fetcher and the settler have them.
pub const OBJECT_BYTES: usize = 2 * KIB;
/// Tries of an object that is not there (yet), of one that is replaced while it is read, and of one that alone is
/// refused.
pub const OBJECT_ATTEMPTS: u32 = 3;
/// Tries of an object that alone fails for a reason that may pass: one to four minutes, in which nobody waits for it.
pub const OBJECT_ATTEMPTS_TEMPORARY: u32 = 8;
/// How often a thread that has nothing to do looks whether that is still so; whatever there is wakes it.
pub const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(3600);
/// How often what is delayed is looked through: below the shortest delay.
pub const DELAY_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// A task of a bucket that fails waits so long for its turn when enough fetchers are busy with such buckets.
pub const DOUBTFUL_DELAY: Duration = Duration::from_secs(1);
/// Buckets of one input that are remembered as failing: a message can name any number.
/// A GET of a part that takes longer makes its bucket doubtful, and the spare fetchers begin to work when it is so for a share
/// of the others.
pub const FETCH_STALL: Duration = Duration::from_secs(4);
/// A GET of a part that takes longer is a trouble.
pub const FETCH_OVERDUE: Duration = Duration::from_secs(20);
/// One spare fetcher for so many others, and no more than so many at all: each costs a thread.
pub const FETCHERS_PER_SPARE: usize = 8;
pub const FETCH_SPARES_MAX: usize = 4;
/// How often a spare fetcher looks whether others stall.
pub const FETCH_SPARE_INTERVAL: Duration = Duration::from_millis(500);
/// Buckets that are doubted at once; beyond that all are tried anew.
pub const BUCKETS_DOUBTED_MAX: usize = 1000;
/// Wait between the tries of an object that is not there.
pub const OBJECT_RETRY_DELAY: Duration = Duration::from_millis(400);
/// First and longest wait between tries while no object of an input can be read.
pub const OUTAGE_BACKOFF_FIRST: Duration = Duration::from_millis(500);
pub const OUTAGE_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// An object that cannot be read goes back to the queue after this, whatever the others do.
pub const OUTAGE_PATIENCE: Duration = Duration::from_secs(3600);
/// SQS hands out no more than 120,000 messages of a queue at a time: close to it, empty receives are
/// no proof of an empty queue.
pub const IN_FLIGHT_ALARM: u64 = 115_000;
/// Characters of an impossible name that a log line shows: most buckets with most of a key.
pub const NAMED_CHARS_MAX: usize = 200;
/// How often a queue is asked for its depth: SQS counts a call like any other, and its figures lag by
/// up to a minute themselves.
pub const DEPTH_INTERVAL: Duration = Duration::from_secs(30);

/// Figures of a queue that are older are not shown as present: two looks, or two long polls, have brought nothing.
pub const FIGURES_AGE_MAX: Duration = Duration::from_secs(60);
/// Dead letters that have become more are a warning for so long, as in the alert on them.
pub const DEAD_LETTERS_NEWS: Duration = Duration::from_secs(1800);

// ---- backfill -----------------------------------------------------------------------------------

/// Listed objects that may be in work, those among them that wait for confirmation (see `SETTLE_TIME`):
/// as many as messages of a queue, about a kilobyte each.
pub const OBJECTS_IN_WORK_MAX: usize = 4000;
/// Archived objects that are named in the log; all are counted.
pub const ARCHIVED_NAMED_MAX: u64 = 20;

// ---- metrics, log groups, findings --------------------------------------------------------------

/// Groups or streams of one page: CloudWatch Logs' own limit.
pub const LOG_NAMES_PER_PAGE: u32 = 50;
/// Events of one page: CloudWatch Logs' own limit (a page also ends at 1 MB).
pub const LOG_EVENTS_PER_PAGE: u32 = 10_000;
/// Ids of a page of ListFindings and of one GetFindings: GuardDuty's own limit.
pub const FINDINGS_PER_CALL: usize = 50;
/// Queries of one GetMetricData, and values that it gives without paging: CloudWatch's own limits.
pub const METRIC_DATA_QUERIES: usize = 500;
pub const METRIC_DATA_POINTS: usize = 100_800;
/// A metric's period is read when it has been over for so long: most services have published by then, and the
/// first value that is read is the one that is sent.
pub const METRIC_DELAY: Duration = Duration::from_secs(120);
/// Values that are published so much later are still found.
pub const METRIC_LATENESS: Duration = Duration::from_secs(15 * 60);
/// Metrics that CloudWatch does not give, and whose data are asked for again from where they are missing: a call for each
/// in every round. With more, the round waits.
pub const METRICS_BEHIND_MAX: usize = 500;
/// Event types that one debug line names: AWS has a few hundred services, and a line is to be read.
pub const EVENT_TYPES_SHOWN_MAX: usize = 64;
/// Metrics whose unit is remembered, in 64 bytes each. What is beyond is sent without a unit: forgetting some would ask
/// for them again and again.
pub const METRIC_UNITS_MAX: usize = 50_000;
/// Bytes of a unit's name; CloudWatch's longest is `Terabytes/Second`.
pub const METRIC_UNIT_BYTES_MAX: usize = 32;
/// Metrics whose unit a checkpoint remembers: 20 bytes each, written anew with each unit that is learnt.
pub const METRIC_UNITS_SAVED_MAX: usize = 5_000;
/// Periods of one round of a backlog: three hours by the minute, so that hundreds of metrics still fit a call's
/// values in a few calls.
pub const METRIC_ROUND_PERIODS: i64 = 180;
/// Log events that appear so long after their time are still found: agents send in batches, and retry.
pub const LOG_LATENESS: Duration = Duration::from_secs(300);
/// First slice of a group's backlog, longer than what is usually read, so that this is one slice …
pub const LOG_SLICE_FIRST: Duration = Duration::from_secs(15 * 60);
/// … and events that a slice should have: what is remembered of it stays below [`POLL_SEEN_MAX`].
pub const LOG_SLICE_EVENTS: usize = 80_000;
/// Streams that one FilterLogEvents may name: CloudWatch Logs' own limit.
pub const LOG_STREAMS_PER_CALL: usize = 100;
/// Shortest slice.
pub const LOG_SLICE_MIN: Duration = Duration::from_secs(1);
/// CloudWatch Logs may be so late with what it says of a stream's last event (DescribeLogStreams).
pub const LOG_STREAMS_LAG: Duration = Duration::from_secs(3600);
/// Findings that appear so long after their update are still found.
pub const FINDING_LATENESS: Duration = Duration::from_secs(300);
/// Less than that is no step of AWS's clock: its `Date` has whole seconds, and so have checkpoints.
pub const CLOCK_STEP_MIN: Duration = Duration::from_secs(2);
/// So long checkpoints of a polled source are in doubt after a step of AWS's clock. Then the clock is taken to be right.
pub const CLOCK_DOUBT_MAX: Duration = Duration::from_secs(6 * 3600);
/// How often a listing begins anew at once in one round because its page token was refused.
pub const POLL_RESTARTS_MAX: u32 = 3;
/// Pages of one listing in a row that bring nothing new, after which a pull goes on with the next item, or ends. Of a log
/// group with very many streams CloudWatch gives thousands of empty pages, so what has been read until then counts.
pub const POLL_BARREN_PAGES_MAX: u32 = 5000;

// ---- sending ------------------------------------------------------------------------------------

/// A batch is closed when it reaches this: 16 TLS records, half of a small L2 cache.
pub const BATCH_BYTES: usize = 256 * KIB;
/// Of an output with `compression: gzip`, libdeflate's.
pub const GZIP_LEVEL_DEFAULT: u8 = 1;
/// Batches that wait for a sender, for each sender.
pub const BATCHES_WAITING_PER_SENDER: usize = 4;
/// TCP connect.
pub const SEND_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The whole TLS handshake. A peer may ask a slow directory or an OCSP responder about our certificate meanwhile.
pub const SEND_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// With TLS 1.3 a refused client certificate is reported after the handshake; a peer that accepts
/// usually sends a session ticket. This is how long a new connection waits for either.
pub const SEND_VERDICT_TIMEOUT: Duration = Duration::from_millis(300);
/// A peer that neither takes a byte nor acknowledges one for so long is given up.
pub const SEND_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A peer that owes an acknowledgement for so long is in trouble: half of the time after which it is given up.
pub const SEND_OWED_MAX: Duration = Duration::from_secs(30);
/// How long one wait for the socket may last before other duties are looked after.
pub const SEND_WAIT_SLICE: Duration = Duration::from_millis(250);
/// How often a connection with unconfirmed bytes is looked at when there is nothing to write.
pub const SEND_CONFIRM_INTERVAL: Duration = Duration::from_millis(10);
/// The same with a full window: every look may make room.
pub const SEND_ROOM_INTERVAL: Duration = Duration::from_millis(2);
/// The largest TLS record, its header included. The plaintext is then 5 bytes short of 16 KiB, the size
/// from which glibc copies with `rep movsb`, which is slow on some processors (`docs/tuning.md`).
pub const TLS_RECORD_BYTES: usize = 16 * KIB;
/// Devo's balancer closes a connection that was idle for 30 s (`docs/devo-wire.md#connections`): we are first.
pub const SEND_IDLE_TIMEOUT: Duration = Duration::from_secs(25);
/// A connection is renewed after an hour, as the vendor's SDK does, so that load spreads again.
pub const SEND_RENEWAL: Duration = Duration::from_secs(3600);
/// How long the peer may take to close after we did.
pub const SEND_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The same where its close is the only proof that it has accepted us and read everything: it may be asking a
/// slow directory or an OCSP responder about our certificate.
pub const SEND_PROOF_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections of one sender that are left to their peer at the same time, which reads them to their end, with
/// `confirmation: close`.
pub const SEND_ENDINGS_MAX: usize = 3;
/// A peer that has not ended a connection after so many of ours, nor ever before, is taken for one that never does.
pub const SEND_UNANSWERED_MAX: u32 = 3;
/// TLS records on one connection before it is renewed. A TLS 1.2 key may encrypt 2^24 records with AES-GCM, after
/// which rustls drops what is written. A quarter of that is 64 GiB of full records.
pub const SEND_RECORDS_MAX: u64 = 1 << 22;
/// Connections of an output that the peer ends in a row, without any confirmation between them, before the next
/// connections carry little.
pub const SEND_BARREN_CONNECTIONS: u32 = 3;
/// Such connections carry one batch at first, and twice as many each time that works. From here on connections are
/// ordinary ones again.
pub const SEND_CAREFUL_BATCHES_MAX: u32 = 64;
/// Such a connection is closed when nothing has come for so long.
pub const SEND_CAREFUL_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection without data must live to show that the peer's connections outlive the settling time.
pub const SEND_LIFETIME_MIN: Duration = Duration::from_secs(2);
/// How often that is tried again while they do not.
pub const SEND_LIFETIME_RETRY: Duration = Duration::from_secs(60);
/// If they do not, they must outlive the acknowledgement by this before they are closed and the peer's orderly end
/// confirms them: a peer that is about to close because of what it has read does so sooner.
pub const SETTLE_TIME_HASTY: Duration = Duration::from_millis(100);
/// Connections that the peer ends while a batch is unconfirmed on them before the batch goes over connections of
/// its own, apart from what is new. So a frame that makes the peer close costs at most so many windows of repeats.
pub const SUSPECT_STRIKES: u32 = 3;
/// Batches of one such connection, then of one after that has been ended as well. After these, a batch is alone.
pub const SUSPECTS_TOGETHER: [usize; 2] = [16, 4];
/// Connections that the peer ends while a single record is alone on them before the record is refused. After each of
/// them a record that was confirmed before must get through. Where connections are cut at random every two seconds,
/// a connection is as likely to be cut as not, and six of each in turn happen once in four thousand times, after five
/// cuts in a row.
pub const REFUSE_KILLS: u32 = 6;
/// A frame that was confirmed is kept for that purpose if it is no longer than this.
pub const PROBE_BYTES_MAX: usize = 16 * KIB;
/// Batches that are looked at for such a frame.
pub const PROBE_LOOKS_MAX: u32 = 1000;
/// After a connection was ended on which a batch was alone, one without data must live at least so long before
/// the batch is blamed, and twice as long as the one that was ended …
pub const IDLE_TRIAL_MIN: Duration = Duration::from_secs(1);
/// … up to this.
pub const IDLE_TRIAL_MAX: Duration = Duration::from_secs(10);
/// Batches that must stay in order and wait in a sender behind one that is under suspicion. More are left in the
/// sender's channel.
pub const BATCHES_HELD_MAX: usize = 64;
/// Objects with refused records that are remembered, some hundred bytes each.
pub const REFUSED_OBJECTS_MAX: usize = 1000;
/// How often an output that nobody has work for is tried while it has not worked yet, or not lately.
pub const GREET_INTERVAL: Duration = Duration::from_secs(5);
/// First and longest wait between attempts to connect.
pub const SEND_BACKOFF_FIRST: Duration = Duration::from_millis(250);
pub const SEND_BACKOFF_MAX: Duration = Duration::from_secs(15);
/// Acknowledged bytes are believed when this many more have been acknowledged after them: more than lies
/// in the buffers of a balancer (`tcp_rmem`, 6 MiB, and `tcp_wmem`, 4 MiB) and of the program behind it
/// (6 MiB), so that the latter has read them …
pub const SETTLE_BYTES: usize = 16 * MIB;
/// … or when the connection has lived this long after their acknowledgement. Longer than the round
/// trip in which a late refusal or a reset arrives.
pub const SETTLE_TIME: Duration = Duration::from_secs(1);
/// The same while the peer is slow: if a write had to wait within this time, its buffers may be full,
/// and what they hold takes time to be read.
pub const SETTLE_TIME_SLOW: Duration = Duration::from_secs(5);
/// Unconfirmed bytes that one connection may have: room to go on while the oldest settle.
pub const SEND_WINDOW_BYTES: usize = SETTLE_BYTES + SETTLE_BYTES / 2;

/// Standard output that takes nothing for so long is a trouble: a reader that works takes something every second.
pub const CONSOLE_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that a pipe with room takes at once without blocking (`PIPE_BUF`, pipe(7)).
pub const PIPE_BYTES_ATOMIC: usize = 4 * KIB;

// ---- memory -------------------------------------------------------------------------------------

/// The program itself: code, stacks, TLS state, queues of small things.
pub const BASE_BYTES: usize = 24 * MIB;

/// Compressed bytes on their way that are of use, for each fetcher: the part that it reads …
pub const AHEAD_BYTES_PER_FETCHER: usize = PART_BYTES;
/// … and for each worker: the object in hand and the next. What is fetched further ahead only waits, in
/// pages that the kernel had to clear for it.
pub const AHEAD_BYTES_PER_WORKER: usize = 32 * MIB;
/// Buffers below this are not kept for the next use: the allocator is as good at it.
pub const BUFFER_KEPT_BYTES_MIN: usize = 64 * KIB;
/// A kept buffer is used if it has at most 5/4 of the room that is asked for.
pub const BUFFER_ROOM_MAX: (usize, usize) = (5, 4);
/// Sizes that buffers are rounded up to, between one power of two and the next. What is over is not
/// touched, so it is not there.
pub const BUFFER_SIZES_PER_DOUBLING: usize = 16;
/// Frame buffers kept for the next use: what the senders let go of in one burst.
pub const FRAME_BYTES_KEPT_MAX: usize = 16 * MIB;

/// Memory of a thread that has nothing in hand: the used part of its stack, its heap, its share of the
/// allocator's tables. Measured: 60 to 90 KiB.
pub const THREAD_BYTES: usize = 96 * KIB;
/// Memory of a connection with AWS: `AWS_INPUT_BYTES` and `AWS_OUTPUT_BYTES`, and the state of TLS.
pub const AWS_CONNECTION_BYTES: usize = AWS_INPUT_BYTES + AWS_OUTPUT_BYTES + 48 * KIB;
/// Memory of an output's connection: the state of TLS, and a batch's ciphertext that the socket does not take.
pub const SENDER_BYTES: usize = BATCH_BYTES + 64 * KIB;
/// Memory of a worker: the tables of its decompressor and compressor, and a window for each level of a stream.
pub const WORKER_BYTES: usize = 512 * KIB + COMPRESSION_LEVELS_MAX * INFLATE_WINDOW_BYTES;
/// The least that the shares of the limit need together to be of use: a third of seven eighths of it holds a part
/// of an object.
pub const SHARES_BYTES_MIN: usize = PART_BYTES * 7 / 2;
/// Memory of a message in work: its lease with the receipt handle, its objects' names, and what is known of their
/// delivery.
pub const MESSAGE_BYTES: usize = 4 * KIB;
/// Bodies of messages that wait for their turn or a fetcher: more would only wait longer.
pub const BODIES_BYTES_MAX: usize = 32 * MIB;
/// The size that a notification is expected to have before a queue's first message has come.
pub const BODY_BYTES_USUAL: usize = 4 * KIB;
/// Bodies of one receive of notifications: a receiver that only waits for these does not wait for room.
pub const BODIES_RECEIVED_BYTES: usize = SQS_BATCH * BODY_BYTES_USUAL;
/// The messages of one receive.
pub const MESSAGES_RECEIVED_BYTES: usize = SQS_BATCH * MESSAGE_BYTES;
/// Receives of large bodies that may be under way at the same time, unless a single body takes more room than that.
pub const LARGE_RECEIVES_AT_ONCE: usize = 8;

/// The threads and connections of a configuration, which take memory before there is anything to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crew {
    pub queues: usize,
    /// Threads beside those below.
    pub others: usize,
    /// Threads beside the fetchers that call AWS.
    pub callers: usize,
    pub fetchers: usize,
    pub workers: usize,
    /// The senders of all outputs together.
    pub senders: usize,
}

impl Crew {
    /// The memory that it takes when it has nothing to do.
    pub fn bytes(&self) -> usize {
        let Crew { queues: _, others, callers, fetchers, workers, senders } = *self;
        BASE_BYTES
            + (others + callers + fetchers + workers + senders) * THREAD_BYTES
            + (callers + fetchers) * AWS_CONNECTION_BYTES
            + callers * (BODIES_RECEIVED_BYTES + MESSAGES_RECEIVED_BYTES)
            + workers * WORKER_BYTES
            + senders * SENDER_BYTES
    }

    /// The least `memory_limit` with which it is of use.
    pub fn memory_limit_min(&self) -> u64 {
        // A worker's scratch comes out of a third of seven eighths.
        let scratch = self.workers * SCRATCH_BYTES_MIN * 4;
        ((self.bytes() + SHARES_BYTES_MIN.max(scratch)) as u64).max(MEMORY_LIMIT_MIN_BYTES)
    }
}

/// How `memory_limit` is divided: what the threads take comes first. Of the rest an eighth is for messages, and a third
/// each for compressed bytes, expanded bytes and frames, so that no stage can take what a later one needs to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShares {
    /// Messages of one queue that may be in work, beside [`MESSAGES_RECEIVED_BYTES`] for each receiver.
    pub messages: usize,
    /// Objects of all queues that were begun and have not ended.
    pub objects: usize,
    /// Bodies of one queue's messages that wait, beside [`BODIES_RECEIVED_BYTES`] for each receiver.
    pub bodies: usize,
    /// Bodies that are too large for that, of all queues together.
    pub bodies_large: usize,
    /// Compressed bytes held, all objects together.
    pub compressed: usize,
    /// Memory of compressed bytes that is kept for the next ones.
    pub compressed_kept: usize,
    /// Largest object that is held whole, compressed.
    pub whole_object: usize,
    /// Expanded bytes held by one worker.
    pub scratch: usize,
    /// Frames that are not confirmed, those on their way to a sender included.
    pub frames: usize,
    /// Unconfirmed bytes held by one sender.
    pub window: usize,
    /// Memory of frames that is kept for the next ones.
    pub frames_kept: usize,
}

impl MemoryShares {
    /// No share is made larger than is of use, nor so small that nothing would move: `crew` must fit the limit (see
    /// [`Crew::memory_limit_min`]).
    pub fn of(memory_limit: u64, crew: &Crew) -> MemoryShares {
        let limit = usize::try_from(memory_limit).unwrap_or(usize::MAX);
        let rest = limit.saturating_sub(crew.bytes()).max(SHARES_BYTES_MIN);
        let bodies = (rest / 32).min(BODIES_BYTES_MAX);
        let messages = (rest / 16 / MESSAGE_BYTES / crew.queues.max(1)).min(MESSAGES_IN_WORK_MAX);
        let third = (rest - rest / 8) / 3;
        let ahead = crew.fetchers * AHEAD_BYTES_PER_FETCHER + crew.workers * AHEAD_BYTES_PER_WORKER;
        let compressed = (third - third / 4).min(ahead).max(PART_BYTES);
        let frames_kept = (third / 8).min(FRAME_BYTES_KEPT_MAX);
        let frames = third - frames_kept;
        MemoryShares {
            messages,
            objects: (rest / 16 / OBJECT_BYTES).min(OBJECTS_BEGUN_MAX),
            bodies: bodies / crew.queues.max(1),
            bodies_large: bodies,
            compressed,
            compressed_kept: (third - compressed.min(third)).min(third / 4).min(compressed / 2),
            whole_object: (third / 4).min(compressed / 2).min(WHOLE_OBJECT_BYTES_MAX),
            scratch: (third / crew.workers.max(1)).clamp(SCRATCH_BYTES_MIN, SCRATCH_BYTES_MAX),
            frames,
            window: (frames / crew.senders.max(1)).clamp(BATCH_BYTES, SEND_WINDOW_BYTES),
            frames_kept,
        }
    }
}

// ---- payload -> records ---------------------------------------------------------------------------

/// The largest gzip member that is inflated in one call, into a buffer that one worker reuses. An
/// object of CrowdStrike FDR of 20 MB inflates to 120 MB; anything larger goes through windows.
pub const SCRATCH_BYTES_MAX: usize = 256 * MIB;
/// The least that a worker inflates into: four windows.
pub const SCRATCH_BYTES_MIN: usize = MIB;
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
/// Bytes that are copied into records for one byte that is read of their object: an envelope's members, a header's
/// names. Envelopes reach 3, a table of mostly empty columns 40.
pub const COPIES_RATIO_MAX: u64 = 64;
/// No object is refused for its copies before there are so many bytes of them.
pub const COPIES_FREE_BYTES: u64 = EXPANSION_FREE_BYTES;
/// Bytes of what is written into each record: a header line's names, an envelope's own members. Tables have some
/// thousand columns at the most, and an envelope's members some hundred bytes.
pub const HEADER_BYTES_MAX: usize = MIB;
/// No object is refused for its ratio before it has inflated to this much: a few kilobytes of equal
/// lines are harmless.
pub const EXPANSION_FREE_BYTES: u64 = 64 * MIB as u64;
/// Memory of a decoder beyond this is charged to what all decoders share: a window's rest, a zstd stream's
/// small tables.
pub const DECODER_BYTES_FREE: usize = 512 * KIB;
/// The share of one worker in what all decoders may hold (Parquet objects of logs have some ten megabytes with their
/// pages), and what this is at the least where memory allows: the largest Parquet objects that Security Lake writes.
pub const DECODERS_BYTES_PER_WORKER: usize = 24 * MIB;
pub const DECODERS_BYTES_USUAL: usize = 256 * MIB;
/// Compression inside compression: Firehose and CloudWatch make two levels.
pub const COMPRESSION_LEVELS_MAX: usize = 3;
/// log2 of the largest zstd window that is accepted: what the `zstd` tool accepts without a switch
/// (128 MiB, touched only as far as the frame really reaches back).
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Bytes that are looked at to tell a zlib header from text that begins with the same two letters.
pub const SNIFF_BYTES: usize = 32;
/// Bytes of an object that an error shows, so that its reader knows what it is.
pub const EXAMPLE_BYTES: usize = 80;
/// Bytes of a text that are looked at to tell it from binary data.
pub const BINARY_LOOK_BYTES: usize = 64 * KIB;
/// Binary is what has more than one odd byte (a control character, no UTF-8) in so many.
pub const BINARY_PART_MAX: usize = 10;
/// Fewer odd bytes than this never make a text binary.
pub const ODD_BYTES_MIN: usize = 8;
/// A line of metadata before a block of snappy. Those that are met have some hundred bytes.
pub const SNAPPY_METADATA_BYTES_MAX: usize = 64 * KIB;
/// How far the first line is followed to tell JSON lines from other JSON. A longer one is JSON: cut
/// at its values, an object on a line of its own is the same record.
pub const DETECT_BYTES_MAX: usize = MIB;

// ---- formats ------------------------------------------------------------------------------------

/// How far the header of an Imperva log file is looked for; real ones have ten short lines.
pub const INCAPSULA_HEADER_BYTES_MAX: usize = 16 * KIB;
/// A header that is added to each record of a text file. Without a bound, a long first line before many short ones
/// would multiply the object's size.
pub const ADDED_HEADER_BYTES_MAX: usize = 64 * KIB;
/// Steps back that a pattern with look-around may take for one answer: some 10 ms. Without a bound, one text could
/// keep a worker for ever.
pub const PATTERN_STEPS_MAX: usize = 250_000;
/// The longest text for such a pattern. Look-ahead can read all of the text from each of its positions, which the steps
/// do not count: half a second for this length, in the worst case.
pub const PATTERN_TEXT_BYTES_MAX: usize = 32 * KIB;
/// Objects inside objects that `flat` brings up. Each level is read once more, and its keys get longer;
/// what lies deeper stays an object.
pub const FLAT_DEPTH_MAX: usize = 32;

// ---- tags ---------------------------------------------------------------------------------------

/// One value in a tag. The longest level of a tag that AWS or CrowdStrike give a name to has some 60 characters; a
/// value that is longer is no name of a table.
pub const TAG_VALUE_BYTES_MAX: usize = 128;
/// A whole tag: eight levels of that.
pub const TAG_BYTES_MAX: usize = 1024;
/// A longer value does not come again, so that it is not kept.
pub const KNOWN_VALUE_BYTES_MAX: usize = 256;

// ---- ledger -------------------------------------------------------------------------------------

/// Entries are kept as long as SQS keeps a message: a later repeat cannot come from the queue.
pub const LEDGER_AGE_MAX: Duration = Duration::from_secs(14 * 24 * 3600);
/// The file's used pages. An entry takes 300 to 600 bytes, so this holds two to three million objects;
/// beyond it the oldest entries go first.
pub const LEDGER_BYTES_MAX: u64 = 1024 * MIB as u64;
/// Rows of one transaction: more would only lengthen the wait of the first.
pub const LEDGER_GROUP: usize = 1000;
/// Rows wait so long for others to share their transaction: at most 20 syncs a second, and little beside
/// [`SETTLE_TIME`], which every delivery has waited for already.
pub const LEDGER_GATHER_TIME: Duration = Duration::from_millis(50);
/// How often the progress of big objects is recorded. What a crash repeats of them is what is confirmed
/// within this time, and what was not yet confirmed.
pub const LEDGER_PROGRESS_INTERVAL: Duration = Duration::from_secs(2);
/// Batches confirmed before an object counts as big: 2 MiB of frames are sent again sooner than looked up.
pub const LEDGER_PROGRESS_BATCHES: u64 = 8;
/// Old entries looked at in each interval, over as many as were added: a few milliseconds' work.
pub const LEDGER_SWEEP_ROWS: usize = 500;
/// How long SQLite itself waits for a lock.
pub const LEDGER_BUSY_TIMEOUT: Duration = Duration::from_millis(500);
/// A look-up that failed is not tried again for so long. On a file system without working locks (NFS) each one blocks
/// for ten seconds, and all fetchers would wait behind it.
pub const LEDGER_LOOKUP_PAUSE: Duration = Duration::from_secs(60);
/// First and longest wait between attempts to write while somebody else holds the file.
pub const LEDGER_BUSY_BACKOFF_FIRST: Duration = Duration::from_millis(20);
pub const LEDGER_BUSY_BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A file that is held for longer is given up until it is free again: messages must not wait for it.
/// Shorter than the shortest advised visibility timeout.
pub const LEDGER_BUSY_PATIENCE: Duration = Duration::from_secs(15);
/// How long a stop waits for the ledger: what is not recorded is only repeated.
pub const LEDGER_SAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a stop looks whether the thread that writes has ended: it does so within a millisecond.
pub const LEDGER_END_INTERVAL: Duration = Duration::from_millis(2);
/// A start waits so long for a program that writes to the ledger: `ledger forget` of a million entries takes some ten
/// seconds.
pub const LEDGER_BUSY_START: Duration = Duration::from_secs(30);
/// A start waits so long for the end of the collector before it, which stands at the end of its stop.
pub const LEDGER_HELD_START: Duration = Duration::from_secs(10);
/// First and longest wait between a start's tries to open the ledger.
pub const LEDGER_START_BACKOFF_FIRST: Duration = Duration::from_millis(50);
pub const LEDGER_START_BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A file up to this size is checked whole at the start, in about half a second.
pub const LEDGER_CHECK_BYTES_MAX: u64 = 64 * MIB as u64;

// ---- polled sources -------------------------------------------------------------------------------

/// Events of one page of LookupEvents: its own limit.
pub const LOOKUP_EVENTS_MAX: u32 = 50;
/// Between two LookupEvents calls of an account and region: AWS allows two a second.
pub const LOOKUP_EVENTS_INTERVAL: Duration = Duration::from_millis(500);
/// How far back LookupEvents reaches.
pub const LOOKUP_EVENTS_AGE_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// Pages of one source that may be on their way: at a second or two until one is confirmed, more would only
/// be repeated after a crash.
pub const POLL_PAGES_IN_WORK_MAX: usize = 64;
/// Events that a source remembers to tell repeats by, some 50 bytes each: what LookupEvents gives in an hour, the
/// usual time slot, at the rate that AWS allows. Beyond it the oldest go first, which costs repeats only.
pub const POLL_SEEN_MAX: usize = 360_000;
/// Fewer of them are not worth the trouble of being forgotten.
pub const POLL_FORGET_MIN: usize = 1000;
/// First and longest wait between calls of a source that fail.
pub const POLL_BACKOFF_FIRST: Duration = Duration::from_secs(1);
pub const POLL_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A source that waits for its next pull shows so often that it lives.
pub const POLL_REST_MAX: Duration = Duration::from_secs(60);
/// Items of a source (log groups, metrics) that cannot be read and are named in the log in one round; all are counted.
pub const UNREADABLE_NAMED_MAX: usize = 20;
/// Longest `request_period_in_seconds`: a day.
pub const POLL_PERIOD_MAX: Duration = Duration::from_secs(24 * 3600);

// ---- where credentials come from ------------------------------------------------------------------

/// TCP connect to a metadata endpoint: link-local, so it answers within milliseconds or is not there. A
/// laptop outside AWS waits this long once.
pub const METADATA_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// One answer of a metadata endpoint, which may have to ask STS itself.
pub const METADATA_RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Tries of one call to a metadata endpoint that is there (5xx, broken connection).
pub const METADATA_ATTEMPTS: u32 = 3;
/// Wait between these tries.
pub const METADATA_RETRY_DELAY: Duration = Duration::from_millis(200);
/// Credentials, tokens and their files are a few kilobytes; the rest is not what it should be.
pub const CREDENTIALS_DOCUMENT_BYTES_MAX: usize = 256 * KIB;
/// Shared configuration files grow with the number of accounts: a thousand profiles are 200 KiB.
pub const SHARED_FILE_BYTES_MAX: usize = 4 * MIB;
/// A `credential_process` may ask a remote vault; AWS's own tools allow it a minute, too.
pub const CREDENTIAL_PROCESS_TIMEOUT: Duration = Duration::from_secs(60);
/// A parser's words about an answer that cannot be read quote a part of it: so many characters of them are shown.
pub const MISREAD_SHOWN_CHARS: usize = 200;
/// Keys that the instance's metadata hold past their time (an outage of the service behind them) are used
/// for this long before the next look: AWS accepts them longer than they say.
pub const STALE_METADATA_EXTENSION: Duration = Duration::from_secs(600);
/// AWS's own bounds on an assumed role's session.
pub const ROLE_SESSION_MIN: Duration = Duration::from_secs(900);
pub const ROLE_SESSION_MAX: Duration = Duration::from_secs(43_200);

// ---- life signs -----------------------------------------------------------------------------------

/// When no stage has done anything for so long, and no outage is known, it is a defect of ours: a long poll
/// ends after 20 s, and every call and every wait for a peer before two minutes are over.
pub const STANDSTILL_MAX: Duration = Duration::from_secs(600);
/// How often the service manager is told how it goes.
pub const STATUS_INTERVAL: Duration = Duration::from_secs(10);

// ---- log lines ------------------------------------------------------------------------------------

/// One line: S3 keys end at 1 KiB, AWS's messages far below; a proxy's error page must not fill the disk.
pub const LOG_LINE_BYTES_MAX: usize = 8 * KIB;
/// A trouble that goes on is logged again so often, with a count.
pub const LOG_REMINDER: Duration = Duration::from_secs(60);
/// Different lines of one kind that are written within a [`LOG_REMINDER`]: enough to see what damaged objects
/// have in common.
pub const LOG_EXAMPLES_MAX: usize = 5;
/// How often within a [`LOG_REMINDER`] a place that fails, works and fails again is told of at once: more than that
/// it flaps.
pub const LOG_TURNS_MAX: usize = 3;
/// Causes that are told apart at one place of the program and of the configuration; more have no pattern.
pub const LOG_CAUSES_MAX: usize = 8;
/// Kinds of lines that are known at a time, an example of up to [`LOG_LINE_BYTES_MAX`] each: those of a hundred
/// inputs that are all in trouble.
pub const LOG_KINDS_MAX: usize = 500;
/// A failure that was not seen for so long is new when it comes again: longer than any wait between tries, which
/// is [`RETRY_DELAY_MAX`] for a message that comes back.
pub const LOG_TROUBLE_FORGOTTEN: Duration = Duration::from_secs(1800);
/// Members of one thing whose troubles are told apart (buckets of an input): names that others choose.
pub const TROUBLES_MAX: usize = 16;
/// How often it is looked whether answers are overdue.
pub const OVERDUE_LOOK: Duration = Duration::from_secs(5);
/// How often the log looks for counts that are due.
pub const LOG_TICK: Duration = Duration::from_secs(2);

// ---- telling ---------------------------------------------------------------------------------------

/// Connections with the status page: some browsers, a scraper, some probes.
pub const STATUS_CONNECTIONS_MAX: usize = 32;
/// The head of a request for the page: a browser's, with cookies of other pages of the same host.
pub const STATUS_HEAD_BYTES_MAX: usize = 16 * KIB;
/// From the answer before to the end of the next request, and for the whole of an answer: also how long a
/// connection may idle.
pub const STATUS_PATIENCE: Duration = Duration::from_secs(15);
/// The port is taken: how long before the next try.
pub const STATUS_RETRY: Duration = Duration::from_secs(15);
/// How often the collector tells of itself in events, unless the configuration says so.
pub const INTERNAL_EVENTS_PERIOD: Duration = Duration::from_secs(60);
/// Warnings and errors kept for the status page; repeats of one count as one.
pub const NOTICES_MAX: usize = 50;

// ---- Parquet --------------------------------------------------------------------------------------

/// Rows that are read of each column before they are put together, and what they may amount to: a
/// batch stays in a core's second-level cache, and a column's decoder is not asked for every row.
pub const PARQUET_BATCH_ROWS: usize = 512;
pub const PARQUET_BATCH_BYTES: usize = MIB;
/// Values (and nulls) of the rows of one batch, and of one column's pages that such rows go over. Run
/// lengths let a few bytes stand for millions of list elements; writers cut pages at a million.
pub const PARQUET_ROW_VALUES_MAX: usize = 16 * 1024 * 1024;
/// Elements of a schema: AWS's widest tables have some hundred columns.
pub const PARQUET_COLUMNS_MAX: usize = 20_000;
/// Memory of one column while its row group is read: buffers for runs of levels and of dictionary
/// indices.
pub const PARQUET_COLUMN_BYTES: usize = 12 * KIB;
/// Groups inside groups; the reader goes down by recursion.
pub const PARQUET_DEPTH_MAX: usize = 64;

// ---- configuration ------------------------------------------------------------------------------

/// Below this there is no room for the program itself and [`SHARES_BYTES_MIN`].
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
/// Messages that are still in work at the end of `shutdown_timeout` have so long to go back to their queues: 400 calls
/// for the 4000 messages that an input may hold, at some milliseconds each. With the default above it stays below 30 s.
pub const GIVE_BACK_TIME: Duration = Duration::from_secs(4);
/// First and longest wait before a collector that has run tries to start again, after a reload that failed.
pub const RESTART_BACKOFF_FIRST: Duration = Duration::from_secs(1);
pub const RESTART_BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A stop that outlasts `shutdown_timeout` and the time above by so much hangs somewhere, and is cut short.
pub const STOP_MARGIN: Duration = Duration::from_secs(5);
/// A process that ends at once tries for so long to write why.
pub const LAST_WORDS_TIME: Duration = Duration::from_millis(500);
/// A stop that has waited so long for a receive to end says what it waits for.
pub const LONG_POLL_NOTE: Duration = Duration::from_secs(1);
/// More header lines than this are a typing error.
pub const HEADER_LINES_MAX: u32 = 1000;
/// PAN-OS, with the widest records known, has some 120 columns.
pub const CSV_COLUMN_MAX: i64 = 10_000;
/// A certificate that expires within this time is worth a warning.
pub const CERTIFICATE_EXPIRY_WARNING: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often the log says so of one that is in use.
pub const CERTIFICATE_WARNING_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// A configuration, certificate or key file that is larger was given by mistake.
pub const CONFIGURATION_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

// ---- files ----------------------------------------------------------------------------------------

/// Open files beside the connections with AWS and outputs, and those of the status page: standard streams, signals, certificates, the ledger and its
/// journal, name resolution.
pub const OTHER_FILES: usize = 24;

const _: () = {
    assert!(SEND_RECORDS_MAX <= (1 << 24) / 4, "one write of the largest record must still fit the key");
    assert!(SETTLE_TIME.as_millis() < SEND_LIFETIME_MIN.as_millis());
    assert!(SEND_WINDOW_BYTES > SETTLE_BYTES + BATCH_BYTES, "otherwise only time could settle a full window");
    assert!(POLL_REST_MAX.as_secs() < STANDSTILL_MAX.as_secs(), "a resting source is not dead");
    assert!(FIGURES_AGE_MAX.as_secs() >= 2 * DEPTH_INTERVAL.as_secs(), "a figure must outlive two requests");
    assert!(AWS_BACKOFF_FIRST.as_millis() < AWS_BACKOFF_MAX.as_millis());
    assert!(AWS_IDLE_AGE.as_secs() > 20, "a long poll must not outlive its connection's idle age");
    assert!(INFLATE_WINDOW_BYTES < SCRATCH_BYTES_MAX);
    assert!(DETECT_BYTES_MAX <= RECORD_BYTES_MAX, "the bytes held for a decision must fit one record");
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever a configuration asks for, if it fits at all, its threads and shares fit together.
        #[test]
        fn the_shares_are_the_limit(
            (queues, receivers) in (0..300usize, 1..64usize),
            (fetchers, workers, senders) in (1..4097usize, 1..4097usize, 1..600usize),
            spare in 0..8u64 << 30,
        ) {
            let callers = queues * (receivers + 1);
            let crew = Crew { queues, others: 12 + 3 * queues, callers, fetchers, workers, senders };
            let limit = crew.memory_limit_min() + spare;
            let shares = MemoryShares::of(limit, &crew);
            let held = crew.bytes()
                + queues * (shares.messages * MESSAGE_BYTES + shares.bodies)
                + shares.bodies_large
                + shares.compressed
                + shares.compressed_kept
                + workers * shares.scratch
                + shares.frames
                + shares.frames_kept;
            prop_assert!(held as u64 <= limit, "{held} of {limit}: {shares:?}");
            prop_assert!(shares.compressed >= PART_BYTES && shares.frames >= 2 * BATCH_BYTES);
            prop_assert!(shares.whole_object <= shares.compressed);
        }
    }
}
