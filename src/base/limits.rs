//! Every bound of the program in one place, each with its reason.
//!
//! Durations are [`Duration`]s; sizes are bytes and end in `_BYTES`; counts say what they count.

use std::time::Duration;

use jiff::SignedDuration;

/// One kibibyte, in bytes.
pub const KIB: usize = 1024;
/// One mebibyte, in bytes.
pub const MIB: usize = 1024 * KIB;

// ---- calls to AWS -------------------------------------------------------------------------------

/// TCP connect and TLS handshake with AWS. A healthy one takes two round trips.
pub const AWS_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long resolved addresses are cached: S3 spreads its load with answers that are valid for about 5 s.
pub const NAME_LIFETIME: Duration = Duration::from_secs(5);
/// Cached names, a few hundred bytes each: a bucket is a name.
pub const NAMES_MAX: usize = 1000;
/// From the request's last byte to the answer's first, for every call except long polls.
pub const AWS_RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a long poll beyond its own wait time.
pub const AWS_LONG_POLL_MARGIN: Duration = Duration::from_secs(10);
/// The whole body of one answer; a part of [`PART_BYTES`] at 150 KiB/s still fits.
pub const AWS_BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// A call without an answer is a trouble after this time at the earliest: healthy answers come within a second …
pub const ANSWER_PATIENCE_MIN: Duration = Duration::from_secs(20);
/// … and a request for credentials after this time: twice the limit of STS and half of that of a process.
pub const CREDENTIALS_PATIENCE: Duration = Duration::from_secs(60);
/// Idle connections are kept longer than a 20 s long poll and shorter than S3's own limit.
pub const AWS_IDLE_AGE: Duration = Duration::from_secs(45);
/// Bytes that one connection reads ahead: far below a part, several times the cost of a system call.
pub const AWS_INPUT_BYTES: usize = 64 * KIB;
/// Bytes that one connection buffers before it writes: ten deletions with their receipt handles, or a request's head
/// with a session token.
pub const AWS_OUTPUT_BYTES: usize = 32 * KIB;
/// An answer of SQS or STS: ten messages of 1 MiB, including base64 and JSON escapes.
pub const AWS_ANSWER_BYTES_MAX: usize = 32 * MIB;
/// Large answers being read, all together: each is parsed within milliseconds, so there are few at a time. A larger one
/// is read alone.
pub const ANSWERS_BYTES: usize = 4 * MIB;
/// An answer up to this size needs no permit: it is part of its thread's memory.
pub const ANSWER_BYTES_FREE: usize = 32 * KIB;
/// Initial room for an answer without a length (S3's listings: 1,000 keys take about as much).
pub const ANSWER_BYTES_UNKNOWN: usize = 256 * KIB;
/// Attempts of one call before its error is returned to the caller.
pub const AWS_ATTEMPTS: u32 = 5;
/// A call that fails sooner than this, without an answer, is retried once at once: a pooled connection that the server
/// had closed fails like that.
pub const AWS_RETRY_AT_ONCE: Duration = Duration::from_secs(2);
/// First wait between attempts; doubled each time, jittered over its whole length.
pub const AWS_BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest wait between attempts.
pub const AWS_BACKOFF_MAX: Duration = Duration::from_secs(20);
/// The `Date` of an answer has whole seconds: AWS's clock is known no better than this.
pub const CLOCK_RESOLUTION: Duration = Duration::from_secs(1);
/// A difference between this machine's clock and AWS's that is worth a log line: AWS refuses signatures from 5 minutes
/// on, and an answer takes up to a few seconds.
pub const CLOCK_SKEW_NOTED: Duration = Duration::from_secs(10);
/// Shortest time between two such lines.
pub const CLOCK_NOTE_INTERVAL: Duration = Duration::from_secs(60);
/// Credentials are refreshed this long before they expire; later if their lifetime is shorter.
pub const CREDENTIALS_REFRESH_EARLY: Duration = Duration::from_secs(300);

// ---- messages -----------------------------------------------------------------------------------

/// Maximum messages of one input in flight, if memory allows: enough that a second of settling (see `SETTLE_TIME`) does
/// not hold up small objects, far below the 120,000 that SQS allows.
pub const MESSAGES_IN_WORK_MAX: usize = 4000;
/// SQS ends a lease for good after 12 hours; an extension past that is refused.
pub const LEASE_AGE_MAX: Duration = Duration::from_secs(12 * 3600 - 300);
/// Values of one message: a mebibyte of CrowdStrike's file lists has about 40,000. Each takes fifty times its bytes
/// while the message is read.
pub const MESSAGE_VALUES_MAX: usize = 100_000;
/// Messages beyond this size are read one at a time, because of their memory.
pub const MESSAGE_BYTES_USUAL: usize = 64 * KIB;
/// Bytes of an object's version, ETag or checksum in a message. S3's longest is a version, with up to 1,024.
pub const IDENTITY_BYTES_MAX: usize = 1024;
/// Lists, members and texts around an announcement, one inside the other. A service adds up to four: Lambda's form of an
/// SNS message is a list of records, the record's `Sns`, its `Message`, and the text in it. The longest known chain (S3,
/// SNS, Lambda, its destination, SNS, a queue, Lambda, a queue) has about 16, and users may put more around it.
pub const MESSAGE_ENVELOPES_MAX: u32 = 64;
/// Bytes that a packed message may unpack to. It is read without waiting for others, like messages of this size.
pub const MESSAGE_UNPACKED_BYTES_MAX: usize = MESSAGE_BYTES_USUAL;
/// Members that a log line names of a message of unknown shape: enough to recognize its sender.
pub const MESSAGE_MEMBERS_NAMED_MAX: usize = 8;
/// Checks of leases per visibility timeout, but not more often than needed. Half of the timeout is left when a lease is
/// first extended.
pub const LEASE_CHECKS: u32 = 40;
pub const LEASE_CHECK_INTERVAL_MIN: Duration = Duration::from_millis(100);
pub const LEASE_CHECK_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Time limit of a lease call as a part of the visibility timeout, doubled after a failure: with the pauses between
/// them, two such calls and most of a third fit into the remaining half.
pub const LEASE_CALLS: u32 = 10;
pub const LEASE_CALL_TIMEOUT_MIN: Duration = Duration::from_millis(500);
pub const LEASE_CALL_TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// Concurrent calls that extend leases of one input: at 50 ms a call, the leases of all messages in flight are extended
/// within 2 s, and those of 1,000 within 5 s while every third call hangs.
pub const LEASE_CALLERS_MAX: usize = 16;
/// Concurrent calls that delete messages of one input, and as many that return messages.
pub const SETTLE_CALLERS_MAX: usize = 4;
/// Time limit of a call that deletes or returns messages: they stay leased meanwhile.
pub const SETTLE_CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait between attempts to settle a message with SQS. The first is [`AWS_BACKOFF_FIRST`].
pub const SETTLE_BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Attempts to return a message; it becomes visible by itself when its lease ends.
pub const RELEASE_ATTEMPTS: u32 = 5;
/// A thread for such calls exits after this idle time.
pub const CALLER_REST: Duration = Duration::from_secs(5);
/// Deletions and returns wait this long for others to share their call.
pub const SETTLE_GATHER_TIME: Duration = Duration::from_millis(50);
/// Initial time that a failed message stays invisible, doubled on each delivery.
pub const RETRY_DELAY_FIRST: Duration = Duration::from_secs(30);
/// Longest time that a failed message stays invisible.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(900);
/// The same while draining, when somebody waits for the end.
pub const DRAIN_RETRY_DELAY_FIRST: Duration = Duration::from_secs(1);
pub const DRAIN_RETRY_DELAY_MAX: Duration = Duration::from_secs(15);
/// While draining a queue without a redrive policy: attempts for a message that can never be read.
pub const DRAIN_REJECTS_MAX: u32 = 3;
/// The same for a message that may succeed later.
pub const DRAIN_RETRIES_MAX: u32 = 10;
/// Longest time that a drain waits for an output or a queue that does not answer.
pub const DRAIN_PATIENCE: Duration = Duration::from_secs(180);
/// The same for an error that needs intervention (a wrong certificate, a wrong secret).
pub const DRAIN_PATIENCE_LASTING: Duration = Duration::from_secs(10);
/// Wait time of long polls while draining: an empty answer must come soon.
pub const DRAIN_WAIT_TIME: Duration = Duration::from_secs(1);
/// How soon a waiting thread notices a stop.
pub const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Wait after a failed receive.
pub const RECEIVE_BACKOFF_FIRST: Duration = Duration::from_millis(500);
pub const RECEIVE_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Entries of one SQS batch call, and messages of one receive: SQS's own limit.
pub const SQS_BATCH: usize = 10;
/// The body of an unsuccessful answer; AWS's are below 2 KiB, a proxy's page may be longer.
pub const AWS_REFUSAL_BYTES_MAX: usize = 256 * KIB;
/// Lifetime of an assumed role's keys: AWS's maximum if one role assumes the next.
pub const ROLE_SESSION: Duration = Duration::from_secs(3600);
/// Credentials with a shorter lifetime than this count as expired: they would be requested with every call.
pub const CREDENTIALS_LIFE_MIN: Duration = Duration::from_secs(5);
/// After a failed refresh the old credentials are used for this long before the next attempt, and so are those that
/// came expired.
pub const CREDENTIALS_RETRY: Duration = Duration::from_secs(30);
/// Keys of one page of a listing: S3's own limit.
pub const S3_LIST_KEYS: u32 = 1000;
/// Redirects to a bucket's region that one call follows: the answer's, and one more if the bucket moved.
pub const S3_REDIRECTS_MAX: u32 = 2;

/// Buckets whose region is cached: a message can name any number.
pub const BUCKETS_KNOWN_MAX: usize = 1000;
/// Objects of a bucket whose versions were denied are read by their key for this long; then a version is tried again,
/// so that a new permission is noticed. One call in ten minutes costs nothing.
pub const VERSIONS_DENIED_TIME: Duration = Duration::from_secs(600);

// ---- objects ------------------------------------------------------------------------------------

/// One range GET. Large enough that its latency is negligible, small enough that a retry costs little.
pub const PART_BYTES: usize = 8 * MIB;
/// Parts of a streamed object in flight besides the one being decoded.
pub const PARTS_AHEAD: usize = 3;
/// Size of one read of a body: below the size from which glibc copies with `rep movsb` (see `TLS_RECORD_BYTES`), and
/// small enough that cleared memory is still in the cache.
pub const READ_BYTES: usize = 15 * KIB;
/// Objects up to this size are held whole, so that they can be inflated in one call.
pub const WHOLE_OBJECT_BYTES_MAX: usize = 64 * MIB;
/// The minimum charge of an object in the budget: its bookkeeping.
pub const OBJECT_BYTES_MIN: usize = 4 * KIB;
/// Messages of one input whose objects wait for a fetcher, per fetcher.
pub const MESSAGES_WAITING_PER_FETCHER: usize = 4;
/// Objects of all inputs together that were started and have not ended: they wait for a retry, or for confirmation. A
/// message may name thousands.
pub const OBJECTS_BEGUN_MAX: usize = 20_000;
/// Objects per input that may always be started: the messages of one call of each receiver, many times over.
pub const OBJECTS_BEGUN_PER_INPUT_MIN: usize = 250;
/// Memory of a started object: its names in the ledger, the fetcher and the settler.
pub const OBJECT_BYTES: usize = 2 * KIB;
/// Attempts for an object that does not exist (yet), that is replaced while it is read, or that alone is refused.
pub const OBJECT_ATTEMPTS: u32 = 3;
/// Attempts for an object that alone fails for a temporary reason: one to four minutes, in which no thread waits for
/// it.
pub const OBJECT_ATTEMPTS_TEMPORARY: u32 = 8;
/// How often an idle thread checks for work; new work wakes it.
pub const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(3600);
/// How often delayed items are checked: below the shortest delay.
pub const DELAY_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Delay of a task of a failing bucket while enough fetchers are busy with such buckets.
pub const DOUBTFUL_DELAY: Duration = Duration::from_secs(1);
/// Failing buckets that are remembered per input: a message can name any number. A slow GET of a part makes its bucket
/// doubtful, and the spare fetchers start working when that is so for a share of the others.
pub const FETCH_STALL: Duration = Duration::from_secs(4);
/// A GET of a part that takes longer is a trouble.
pub const FETCH_OVERDUE: Duration = Duration::from_secs(20);
/// One spare fetcher per this many others, up to a maximum: each costs a thread.
pub const FETCHERS_PER_SPARE: usize = 8;
pub const FETCH_SPARES_MAX: usize = 4;
/// How often a spare fetcher checks whether others stall.
pub const FETCH_SPARE_INTERVAL: Duration = Duration::from_millis(500);
/// Doubtful buckets at a time; beyond that all are tried again.
pub const BUCKETS_DOUBTED_MAX: usize = 1000;
/// Wait between the attempts for a missing object.
pub const OBJECT_RETRY_DELAY: Duration = Duration::from_millis(400);
/// First and longest wait between attempts while no object of an input can be read.
pub const OUTAGE_BACKOFF_FIRST: Duration = Duration::from_millis(500);
pub const OUTAGE_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// An unreadable object is returned to the queue after this time, whatever the others do.
pub const OUTAGE_PATIENCE: Duration = Duration::from_secs(3600);
/// SQS allows at most 120,000 messages of a queue in flight: close to it, empty receives do not prove an empty queue.
pub const IN_FLIGHT_ALARM: u64 = 115_000;
/// Characters of an impossible name in a log line: most buckets with most of a key.
pub const NAMED_CHARS_MAX: usize = 200;
/// Interval between requests for a queue's depth: SQS bills a call like any other, and its figures lag by up to a
/// minute.
pub const DEPTH_INTERVAL: Duration = Duration::from_secs(30);

/// Older figures of a queue are not shown as current: two requests, or two long polls, have failed.
pub const FIGURES_AGE_MAX: Duration = Duration::from_secs(60);
/// An increase in dead letters is a warning for this long, as in the alert on them.
pub const DEAD_LETTERS_NEWS: Duration = Duration::from_secs(1800);

// ---- backfill -----------------------------------------------------------------------------------

/// Listed objects in flight, including those that wait for confirmation (see `SETTLE_TIME`): as many as messages of a
/// queue, about a kilobyte each.
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
/// A metric's period is read when it ended this long ago: most services have published by then, and the first value
/// read is the one that is sent.
pub const METRIC_DELAY: Duration = Duration::from_secs(120);
/// Values published this much later are still found.
pub const METRIC_LATENESS: Duration = Duration::from_secs(15 * 60);
/// Metrics that CloudWatch does not return, and whose data is requested again from where it is missing: a call for each
/// in every round. With more, the round waits.
pub const METRICS_BEHIND_MAX: usize = 500;
/// Event types in one debug line: AWS has a few hundred services, and a line must stay readable.
pub const EVENT_TYPES_SHOWN_MAX: usize = 64;
/// Metrics whose unit is cached, in 64 bytes each. Others are sent without a unit: evicting some would request them
/// again and again.
pub const METRIC_UNITS_MAX: usize = 50_000;
/// Bytes of a unit's name; CloudWatch's longest is `Terabytes/Second`.
pub const METRIC_UNIT_BYTES_MAX: usize = 32;
/// Metrics whose unit a checkpoint stores: 20 bytes each, rewritten with each new unit.
pub const METRIC_UNITS_SAVED_MAX: usize = 5_000;
/// Periods of one round of a backlog: three hours of minutes, so that hundreds of metrics still fit a call's values in
/// a few calls.
pub const METRIC_ROUND_PERIODS: i64 = 180;
/// Log events that appear this long after their time are still found: agents send in batches, and retry.
pub const LOG_LATENESS: Duration = Duration::from_secs(300);
/// First slice of a group's backlog, longer than the usual range, so that this is one slice …
pub const LOG_SLICE_FIRST: Duration = Duration::from_secs(15 * 60);
/// … and the target number of events per slice: the ids to remember stay below [`POLL_SEEN_MAX`].
pub const LOG_SLICE_EVENTS: usize = 80_000;
/// Streams that one FilterLogEvents may name: CloudWatch Logs' own limit.
pub const LOG_STREAMS_PER_CALL: usize = 100;
/// Shortest slice.
pub const LOG_SLICE_MIN: Duration = Duration::from_secs(1);
/// Maximum delay of a stream's last event in DescribeLogStreams.
pub const LOG_STREAMS_LAG: Duration = Duration::from_secs(3600);
/// Findings that appear this long after their update are still found.
pub const FINDING_LATENESS: Duration = Duration::from_secs(300);
/// A smaller change is not a step of AWS's clock: its `Date` has whole seconds, and so have checkpoints.
pub const CLOCK_STEP_MIN: Duration = Duration::from_secs(2);
/// How long checkpoints of a polled source are in doubt after a step of AWS's clock. Then the clock is assumed to be
/// right.
pub const CLOCK_DOUBT_MAX: Duration = Duration::from_secs(6 * 3600);
/// Maximum immediate restarts of a listing in one round because of refused page tokens.
pub const POLL_RESTARTS_MAX: u32 = 3;
/// Consecutive pages of one listing without anything new, after which a pull continues with the next item, or ends. For
/// a log group with very many streams CloudWatch returns thousands of empty pages, so the progress until then counts.
pub const POLL_BARREN_PAGES_MAX: u32 = 5000;
/// After so many such pages the log says so.
pub const POLL_BARREN_PAGES_TOLD: u32 = 100;

// ---- sending ------------------------------------------------------------------------------------

/// A batch is closed at this size: 16 TLS records, half of a small L2 cache.
pub const BATCH_BYTES: usize = 256 * KIB;
/// libdeflate's level for an output with `compression: gzip`.
pub const GZIP_LEVEL_DEFAULT: u8 = 1;
/// Batches waiting for a sender, per sender.
pub const BATCHES_WAITING_PER_SENDER: usize = 4;
/// How long the time that workers wait for senders is added up before another sender is called. A connection to a distant
/// peer takes about as long to reach its speed, so that each addition shows before the next.
pub const SEND_BACKLOG_TIME: Duration = Duration::from_millis(500);
/// TCP connect.
pub const SEND_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for each address of a name but the last one that is tried: the second SYN goes out after 1 s.
pub const SEND_CONNECT_TIMEOUT_EACH: Duration = Duration::from_secs(3);
/// The whole TLS handshake. A peer may check our certificate with a slow directory or an OCSP responder meanwhile.
pub const SEND_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
/// With TLS 1.3 a refused client certificate is reported after the handshake; a peer that accepts usually sends a
/// session ticket. This is how long a new connection waits for either.
pub const SEND_VERDICT_TIMEOUT: Duration = Duration::from_millis(300);
/// A peer that neither takes nor acknowledges a byte for this long is given up.
pub const SEND_STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A peer that owes an acknowledgement for this long is in trouble: half of the time after which it is given up.
pub const SEND_OWED_MAX: Duration = Duration::from_secs(30);
/// After [`SEND_OWED_MAX`] without a byte in either direction, a connection's peer is asked for a sign of life at this interval,
/// and given up after so many without one: after [`SEND_STALL_TIMEOUT`] in all.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
pub const KEEPALIVE_PROBES: u32 = 3;
/// Longest single wait for the socket before other duties.
pub const SEND_WAIT_SLICE: Duration = Duration::from_millis(250);
/// How often a connection with unconfirmed bytes is checked when there is nothing to write.
pub const SEND_CONFIRM_INTERVAL: Duration = Duration::from_millis(10);
/// The same with a full window: every check may make room.
pub const SEND_ROOM_INTERVAL: Duration = Duration::from_millis(2);
/// The largest TLS record, including its header. The plaintext is then 5 bytes short of 16 KiB, the size from which
/// glibc copies with `rep movsb`, which is slow on some processors (`docs/lab/README.md`).
pub const TLS_RECORD_BYTES: usize = 16 * KIB;
/// Devo's balancer closes a connection that was idle for 30 s (`docs/devo-wire.md#connections`): we close first.
pub const SEND_IDLE_TIMEOUT: Duration = Duration::from_secs(25);
/// A connection is renewed after an hour, as in the vendor's SDK, to rebalance load.
pub const SEND_RENEWAL: Duration = Duration::from_secs(3600);
/// How long the peer may take to end a connection after its own close_notify, before it gets our FIN too.
pub const SEND_FIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a reset is waited for after the peer's FIN: a program that closes with unread data causes both, one right
/// after the other.
pub const SEND_RESET_TIMEOUT: Duration = Duration::from_millis(200);
/// How long a TLS connection without data must live to show, by an orderly end after our close, that a peer which sends neither
/// tickets nor close_notify accepts us: one that refuses our certificate usually does so sooner. Only the search for a record that
/// ends connections depends on it, and it refuses nothing before something is confirmed.
pub const SEND_REFUSAL_TIME: Duration = Duration::from_secs(5);
/// How long the peer may take to close after we did.
pub const SEND_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The same if its close is the only proof that it has accepted us and read everything: it may be checking our
/// certificate with a slow directory or an OCSP responder.
pub const SEND_PROOF_TIMEOUT: Duration = Duration::from_secs(30);
/// Closing connections of one sender at the same time, which the peer reads to their end, with `confirmation: close`. A
/// close takes 300 ms (`SETTLE_TIME_HASTY`, `SEND_RESET_TIMEOUT`) and two round trips, so that eight windows let one
/// sender carry 670 MB/s to a near peer, and 525 MB/s to one at 40 ms.
pub const SEND_ENDINGS_MAX: usize = 8;
/// The most that this grows to, twice as long each time that a peer does not end a connection: the slowest that is
/// waited for reads 16 MiB in that time, more than buffers hold.
pub const SEND_PROOF_TIMEOUT_MAX: Duration = Duration::from_secs(480);
/// Time for which connections over TLS are waited for, while the peer has never ended one and has not taken more than buffers hold.
/// Its program has shaken hands. Plain TCP, which a kernel can accept alone, has [`SEND_PROOF_TIMEOUT_MAX`].
pub const SEND_SILENCE_TIME_TLS: Duration = Duration::from_secs(120);
/// Connections without data that a peer has not ended, after one with data and none ever before, until it is assumed
/// never to end any.
pub const SEND_UNANSWERED_MAX: u32 = 2;
/// How long each of these waits for its end.
pub const SEND_UNANSWERED_TIME: Duration = Duration::from_secs(10);
/// Consecutive ends without a close_notify, of a peer that has sent one before, until it is tested whether it still sends any.
pub const SEND_CUTS_MAX: u32 = 5;
/// Connections without data that must end without one for that, each right after ours.
pub const SEND_GOODBYE_PROBES: u32 = 5;
/// How soon that is, with [`SEND_RESET_TIMEOUT`] in it. A program that dies every few seconds ends so many connections at just that
/// time once in a thousand tests.
pub const SEND_PROMPT_TIME: Duration = Duration::from_millis(800);
/// TLS records on one connection before it is renewed. A TLS 1.2 key may encrypt 2^24 records with AES-GCM, after which
/// rustls drops writes. A quarter of that is 64 GiB of full records.
pub const SEND_RECORDS_MAX: u64 = 1 << 22;
/// For this long after a peer has left a connection waiting, each sender waits for the end of one before it opens the next.
pub const SEND_CROWDED_TIME: Duration = Duration::from_secs(300);
/// Consecutive connections of an output that the peer ends, without any confirmation between them, before the next
/// connections carry little.
pub const SEND_BARREN_CONNECTIONS: u32 = 3;
/// Such connections carry one batch at first, and twice as many each time that works. From this number on connections
/// are ordinary again.
pub const SEND_CAREFUL_BATCHES_MAX: u32 = 64;
/// Such a connection is closed after this idle time.
pub const SEND_CAREFUL_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection without data must live to show that the peer's connections outlive the settling time.
pub const SEND_LIFETIME_MIN: Duration = Duration::from_secs(2);
/// How often that is retried while they do not.
pub const SEND_LIFETIME_RETRY: Duration = Duration::from_secs(60);
/// If they do not, they must outlive the acknowledgement by this time before they are closed and the peer's orderly end
/// confirms them: a peer that closes because of what it has read does so sooner.
pub const SETTLE_TIME_HASTY: Duration = Duration::from_millis(100);
/// For this long after a peer has ended a connection with data on it, others must outlive the acknowledgement of what is on
/// them by [`SETTLE_TIME`] before they are closed: a record that it does not accept often comes with others like it.
pub const SEND_DOUBT_TIME: Duration = Duration::from_secs(600);
/// Connections that the peer ends while a batch is unconfirmed on them before the batch goes over separate connections,
/// without new batches. So a frame that makes the peer close costs at most this many windows of repeats.
pub const SUSPECT_STRIKES: u32 = 3;
/// Batches on one such connection, then on one after that has been ended too. After these, a batch is alone.
pub const SUSPECTS_TOGETHER: [usize; 2] = [16, 4];
/// Connections that the peer ends while a single record is alone on them before the record is refused. After each of
/// them a record that was confirmed before must get through. If connections are cut at random every two seconds, a
/// connection is as likely to be cut as not, and six of each in turn happen once in 4,000 times, after five cuts in a
/// row.
pub const REFUSE_KILLS: u32 = 6;
/// A confirmed frame is kept for that purpose if it is no longer than this.
pub const PROBE_BYTES_MAX: usize = 16 * KIB;
/// Batches that are searched for such a frame.
pub const PROBE_LOOKS_MAX: u32 = 1000;
/// After a connection was ended with a batch alone on it, one without data must live at least this long before the
/// batch is blamed, and twice as long as the ended one …
pub const IDLE_TRIAL_MIN: Duration = Duration::from_secs(1);
/// … up to this.
pub const IDLE_TRIAL_MAX: Duration = Duration::from_secs(10);
/// Batches that must stay in order and wait in a sender behind a suspect one. More are left in the sender's channel.
pub const BATCHES_HELD_MAX: usize = 64;
/// Objects with refused records that are remembered, about a hundred bytes each.
pub const REFUSED_OBJECTS_MAX: usize = 1000;
/// How often an output without work is tried while it has not worked yet, or not lately.
pub const GREET_INTERVAL: Duration = Duration::from_secs(5);
/// First and longest wait between attempts to connect.
pub const SEND_BACKOFF_FIRST: Duration = Duration::from_millis(250);
pub const SEND_BACKOFF_MAX: Duration = Duration::from_secs(15);
/// Acknowledged bytes are confirmed when this many more have been acknowledged after them: more than the buffers of a
/// balancer (`tcp_rmem`, 6 MiB, and `tcp_wmem`, 4 MiB) and of the program behind it (6 MiB) hold, so that the latter
/// has read them …
pub const SETTLE_BYTES: usize = 16 * MIB;
/// … or when the connection has lived this long after their acknowledgement. Longer than the round trip in which a late
/// refusal or a reset arrives.
pub const SETTLE_TIME: Duration = Duration::from_secs(1);
/// The same while the peer is slow: if a write had to wait within this time, its buffers may be full, and reading their
/// content takes time.
pub const SETTLE_TIME_SLOW: Duration = Duration::from_secs(5);
/// Maximum unconfirmed bytes of one connection: room to continue while the oldest settle.
pub const SEND_WINDOW_BYTES: usize = SETTLE_BYTES + SETTLE_BYTES / 2;

/// Standard output that takes nothing for this long is a trouble: a working reader takes something every second.
pub const CONSOLE_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that a pipe with room takes at once without blocking (`PIPE_BUF`, pipe(7)).
pub const PIPE_BYTES_ATOMIC: usize = 4 * KIB;

// ---- memory -------------------------------------------------------------------------------------

/// The program itself: code, stacks, TLS state, queues of small things.
pub const BASE_BYTES: usize = 24 * MIB;
/// The part of its code that only a long run touches (20 MiB of code in all). It is set aside where that leaves enough to work in.
pub const BASE_LATER_BYTES: usize = 4 * MIB;

/// Useful compressed bytes in flight per fetcher: the part that it reads …
pub const AHEAD_BYTES_PER_FETCHER: usize = PART_BYTES;
/// … and per worker: the current object and the next. Data fetched further ahead only waits, in pages that the kernel
/// had to clear.
pub const AHEAD_BYTES_PER_WORKER: usize = 32 * MIB;
/// Smaller buffers are not kept for reuse: the allocator is as good at it.
pub const BUFFER_KEPT_BYTES_MIN: usize = 64 * KIB;
/// A kept buffer is reused if it has at most 5/4 of the requested room.
pub const BUFFER_ROOM_MAX: (usize, usize) = (5, 4);
/// Sizes that buffers are rounded up to, between one power of two and the next. The excess is untouched, so it is not
/// resident.
pub const BUFFER_SIZES_PER_DOUBLING: usize = 16;
/// Frame buffers kept for reuse: those that the senders release in one burst.
pub const FRAME_BYTES_KEPT_MAX: usize = 16 * MIB;

/// Memory of an idle thread: the used part of its stack, its heap, its part of the allocator's tables. Measured: 60 to
/// 90 KiB.
pub const THREAD_BYTES: usize = 96 * KIB;
/// Memory of a connection to AWS: `AWS_INPUT_BYTES` and `AWS_OUTPUT_BYTES`, and the TLS state.
pub const AWS_CONNECTION_BYTES: usize = AWS_INPUT_BYTES + AWS_OUTPUT_BYTES + 48 * KIB;
/// Memory of an output's connection: the TLS state, and a batch's ciphertext that the socket does not take.
pub const SENDER_BYTES: usize = BATCH_BYTES + 64 * KIB;
/// Memory of an output's connection to which nothing more is written: the TLS state.
pub const ENDING_BYTES: usize = 64 * KIB;
/// Memory of a worker: the tables of its decompressor and compressor, and a window for each level of a stream.
pub const WORKER_BYTES: usize = 512 * KIB + COMPRESSION_LEVELS_MAX * INFLATE_WINDOW_BYTES;
/// The minimum useful total of the limit's parts: a third of seven eighths of it holds a part of an object …
pub const SHARES_BYTES_MIN: usize = PART_BYTES * 7 / 2;
/// … and a third of six eighths, if there are queues and sources.
pub const SHARES_BYTES_MIN_BOTH: usize = PART_BYTES * 4;
/// Memory of a message in flight: its lease with the receipt handle, its objects' names, and their delivery state.
pub const MESSAGE_BYTES: usize = 4 * KIB;
/// Bodies of messages that wait for their turn or a fetcher: more would only wait longer.
pub const BODIES_BYTES_MAX: usize = 32 * MIB;
/// Expected size of a notification before a queue's first message has arrived.
pub const BODY_BYTES_USUAL: usize = 4 * KIB;
/// Bodies of one receive of notifications: a receiver that only expects these does not wait for room.
pub const BODIES_RECEIVED_BYTES: usize = SQS_BATCH * BODY_BYTES_USUAL;
/// The messages of one receive.
pub const MESSAGES_RECEIVED_BYTES: usize = SQS_BATCH * MESSAGE_BYTES;
/// Concurrent receives of large bodies, unless a single body takes more room than that.
pub const LARGE_RECEIVES_AT_ONCE: usize = 8;

/// A configuration's threads and connections, which take memory even when idle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crew {
    pub queues: usize,
    /// Threads besides those below.
    pub others: usize,
    /// Threads besides the fetchers that call AWS.
    pub callers: usize,
    /// The sources behind an API, whose threads are among the callers.
    pub sources: usize,
    pub fetchers: usize,
    pub workers: usize,
    /// The senders of all outputs together, each with its connection.
    pub senders: usize,
    /// Their earlier connections, which the peers still read.
    pub endings: usize,
    /// The senders that stand by.
    pub spares: usize,
    /// Their earlier connections.
    pub spare_endings: usize,
}

impl Crew {
    /// Its memory when idle.
    pub fn bytes(&self) -> usize {
        let Crew { queues: _, others, callers, fetchers, workers, .. } = *self;
        let senders = self.senders + self.spares;
        BASE_BYTES
            + (others + callers + fetchers + workers + senders) * THREAD_BYTES
            + (callers + fetchers) * AWS_CONNECTION_BYTES
            + callers * (BODIES_RECEIVED_BYTES + MESSAGES_RECEIVED_BYTES)
            + workers * WORKER_BYTES
            + senders * SENDER_BYTES
            + (self.endings + self.spare_endings) * ENDING_BYTES
    }

    fn shares_bytes_min(&self) -> usize {
        if self.queues > 0 && self.sources > 0 { SHARES_BYTES_MIN_BOTH } else { SHARES_BYTES_MIN }
    }

    /// The minimum useful `memory_limit`.
    pub fn memory_limit_min(&self) -> u64 {
        ((self.bytes() + self.rest_min()) as u64).max(MEMORY_LIMIT_MIN_BYTES)
    }

    /// The least that must be left to work in.
    fn rest_min(&self) -> usize {
        // A worker's scratch comes out of a third of six eighths.
        self.shares_bytes_min().max(self.workers * SCRATCH_BYTES_MIN * 4)
    }
}

/// The division of `memory_limit`: threads come first. Of the rest an eighth is for messages if there are queues, another
/// for sources behind an API if there are any, and a third each of what is left for compressed bytes, expanded bytes and
/// frames, so that no stage can take what a later one needs to make progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShares {
    /// Messages of one queue in flight, besides [`MESSAGES_RECEIVED_BYTES`] per receiver.
    pub messages: usize,
    /// Objects of all queues that were started and have not ended.
    pub objects: usize,
    /// Waiting bodies of one queue's messages, besides [`BODIES_RECEIVED_BYTES`] per receiver.
    pub bodies: usize,
    /// Larger bodies, of all queues together.
    pub bodies_large: usize,
    /// Compressed bytes held, all objects together.
    pub compressed: usize,
    /// Memory of compressed bytes that is kept for reuse.
    pub compressed_kept: usize,
    /// Largest object that is held whole, compressed.
    pub whole_object: usize,
    /// Expanded bytes held by one worker.
    pub scratch: usize,
    /// Unconfirmed frames, including those waiting for a sender.
    pub frames: usize,
    /// Unconfirmed bytes of one connection.
    pub window: usize,
    /// Memory of frames that is kept for reuse.
    pub frames_kept: usize,
    /// Memory of answers of APIs that are being handed over, all sources together.
    pub pages: usize,
}

impl MemoryShares {
    /// No part is larger than useful, nor so small that nothing would move: `crew` must fit the limit (see
    /// [`Crew::memory_limit_min`]).
    pub fn of(memory_limit: u64, crew: &Crew) -> MemoryShares {
        let limit = usize::try_from(memory_limit).unwrap_or(usize::MAX);
        let rest = limit.saturating_sub(crew.bytes() + BASE_LATER_BYTES).max(crew.rest_min());
        let eighth_of = |count: usize| if count > 0 { rest / 8 } else { 0 };
        let (of_queues, of_sources) = (eighth_of(crew.queues), eighth_of(crew.sources));
        let bodies = (of_queues / 4).min(BODIES_BYTES_MAX);
        let messages = (of_queues / 2 / MESSAGE_BYTES / crew.queues.max(1)).min(MESSAGES_IN_WORK_MAX);
        let third = (rest - of_queues - of_sources) / 3;
        let ahead = crew.fetchers * AHEAD_BYTES_PER_FETCHER + crew.workers * AHEAD_BYTES_PER_WORKER;
        let compressed = (third - third / 4).min(ahead).max(PART_BYTES);
        let frames_kept = (third / 8).min(FRAME_BYTES_KEPT_MAX);
        let frames = third - frames_kept;
        MemoryShares {
            messages,
            objects: (of_queues / 2 / OBJECT_BYTES).min(OBJECTS_BEGUN_MAX),
            bodies: bodies / crew.queues.max(1),
            bodies_large: bodies,
            compressed,
            compressed_kept: (third - compressed.min(third)).min(third / 4).min(compressed / 2),
            whole_object: (third / 4).min(compressed / 2).min(WHOLE_OBJECT_BYTES_MAX),
            scratch: (third / crew.workers.max(1)).clamp(SCRATCH_BYTES_MIN, SCRATCH_BYTES_MAX),
            frames,
            window: (frames / (crew.senders + crew.endings).max(1)).clamp(BATCH_BYTES, SEND_WINDOW_BYTES),
            frames_kept,
            pages: of_sources.min(POLL_PAGES_BYTES_MAX),
        }
    }
}

// ---- payload -> records ---------------------------------------------------------------------------

/// The largest gzip member that is inflated in one call, into a buffer that one worker reuses. A CrowdStrike FDR object
/// of 20 MB inflates to 120 MB; anything larger goes through windows.
pub const SCRATCH_BYTES_MAX: usize = 256 * MIB;
/// The minimum that a worker inflates into: four windows.
pub const SCRATCH_BYTES_MIN: usize = MIB;
/// One window of a stream being inflated: with the decoder's own 32 KiB history it stays in a core's second-level cache
/// while it is split and framed.
pub const INFLATE_WINDOW_BYTES: usize = 256 * KIB;
/// Consecutive objects that leave three quarters of a worker's scratch unused before it is cut to what they needed: one
/// big object must not hold its memory forever, and two alternating sizes must not allocate each time.
pub const SCRATCH_IDLE_OBJECTS: u32 = 16;
/// One record. Events over 1 MiB occur, and a whole JSON document may be one; beyond this the object is not what its
/// service says it is (no line ends, one endless value).
pub const RECORD_BYTES_MAX: usize = 64 * MIB;
/// Levels of brackets in a JSON value whose line ends are checked, three bytes each. Logs have some ten; what is deeper counts as
/// well written.
pub const JSON_LEVELS_CHECKED: usize = 64 * KIB;
/// Log bytes per compressed byte. Logs reach 5 to 30; deflate itself ends at 1,032.
pub const EXPANSION_RATIO_MAX: u64 = 500;
/// Bytes copied into records per byte read of their object: an envelope's members, a header's names. Envelopes reach 3,
/// a table of mostly empty columns 40.
pub const COPIES_RATIO_MAX: u64 = 64;
/// Below this many copied bytes no object is refused for its copies.
pub const COPIES_FREE_BYTES: u64 = EXPANSION_FREE_BYTES;
/// Bytes repeated in each record: a header line's names, an envelope's own members. Tables have at most some thousand
/// columns, and an envelope's members some hundred bytes.
pub const HEADER_BYTES_MAX: usize = MIB;
/// Below this inflated size no object is refused for its ratio: a few kilobytes of equal lines are harmless.
pub const EXPANSION_FREE_BYTES: u64 = 64 * MIB as u64;
/// Memory of a decoder beyond this is charged to the shared budget: a window's rest, a zstd stream's small tables.
pub const DECODER_BYTES_FREE: usize = 512 * KIB;
/// One worker's part of the decoders' shared memory (Parquet objects of logs take some ten megabytes with their pages),
/// and the minimum of the whole if memory allows: the largest Parquet objects that Security Lake writes.
pub const DECODERS_BYTES_PER_WORKER: usize = 24 * MIB;
pub const DECODERS_BYTES_USUAL: usize = 256 * MIB;
/// Nested compression: Firehose and CloudWatch make two levels.
pub const COMPRESSION_LEVELS_MAX: usize = 3;
/// log2 of the largest accepted zstd window: what the `zstd` tool accepts without a switch (128 MiB, touched only as
/// far as the frame really reaches back).
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Bytes checked to distinguish a zlib header from text that begins with the same two letters.
pub const SNIFF_BYTES: usize = 32;
/// Bytes of an object shown in an error, so that its reader can identify it.
pub const EXAMPLE_BYTES: usize = 80;
/// Bytes of a text checked to distinguish it from binary data.
pub const BINARY_LOOK_BYTES: usize = 64 * KIB;
/// Data with more than one odd byte (a control character, not UTF-8) in this many is binary.
pub const BINARY_PART_MAX: usize = 10;
/// Fewer odd bytes than this never make a text binary.
pub const ODD_BYTES_MIN: usize = 8;
/// A line of metadata before a block of snappy. Real ones have some hundred bytes.
pub const SNAPPY_METADATA_BYTES_MAX: usize = 64 * KIB;
/// How far the first line is followed to distinguish JSON lines from other JSON. A longer one counts as JSON: cut at
/// its values, an object on its own line is the same record.
pub const DETECT_BYTES_MAX: usize = MIB;

// ---- formats ------------------------------------------------------------------------------------

/// How far the header of an Imperva log file is searched; real ones have ten short lines.
pub const INCAPSULA_HEADER_BYTES_MAX: usize = 16 * KIB;
/// A header that is added to each record of a text file. Without a bound, a long first line before many short ones
/// would multiply the object's size.
pub const ADDED_HEADER_BYTES_MAX: usize = 64 * KIB;
/// Backtracking steps of a pattern with look-around per answer: about 10 ms. Without a bound, one text could block a
/// worker forever.
pub const PATTERN_STEPS_MAX: usize = 250_000;
/// The longest text for such a pattern. Look-ahead can read all of the text from each of its positions, which the steps
/// do not count: half a second for this length, in the worst case.
pub const PATTERN_TEXT_BYTES_MAX: usize = 32 * KIB;
/// Nested objects that `flat` flattens. Each level is read once more, and its keys get longer; deeper levels stay
/// objects.
pub const FLAT_DEPTH_MAX: usize = 32;

// ---- tags ---------------------------------------------------------------------------------------

/// One value in a tag. The longest level of a tag that AWS or CrowdStrike name has about 60 characters; a longer value
/// is not a table's name.
pub const TAG_VALUE_BYTES_MAX: usize = 128;
/// A whole tag: eight such levels.
pub const TAG_BYTES_MAX: usize = 1024;
/// A longer value is unlikely to recur, so it is not cached.
pub const KNOWN_VALUE_BYTES_MAX: usize = 256;

// ---- audit --------------------------------------------------------------------------------------

/// The default length of an audit's window, and how long ago it ends: newer objects may be in flight.
pub const AUDIT_WINDOW: SignedDuration = SignedDuration::from_hours(24);
pub const AUDIT_DELAY: SignedDuration = SignedDuration::from_mins(30);
/// How far the dates in one key may be apart without a contradiction. A listing passes over nothing that is so close to its
/// window.
pub const AUDIT_SKIP_MARGIN: SignedDuration = SignedDuration::from_hours(1);
/// The pause before each call of an audit in a running collector, because collection has priority.
pub const AUDIT_CALL_PAUSE: Duration = Duration::from_millis(200);
/// The maximum time from the start to the first audit.
pub const AUDIT_FIRST_MAX: Duration = Duration::from_secs(300);
/// The maximum number of missing objects in flight at a time in a running collector.
pub const AUDIT_OBJECTS_IN_WORK_MAX: usize = 64;
/// The interval at which an audit checks whether they have ended.
pub const AUDIT_FIX_CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// The interval at which silent services are looked for.
pub const QUIET_CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// The interval at which usual pauses are learnt again.
pub const QUIET_LEARN_INTERVAL: Duration = Duration::from_secs(3600);
/// The time from which a service's usual pauses are learnt, which is as long as the ledger remembers.
pub const QUIET_LEARNT_SPAN: Duration = LEDGER_AGE_MAX;
/// The minimum number of five-minute slots with deliveries from which a pause is learnt.
pub const QUIET_LEARNT_SLOTS_MIN: usize = 50;
/// The factor by which a silence must exceed the longest pause.
pub const QUIET_MARGIN: f64 = 1.5;
/// The minimum learnt time of silence.
pub const QUIET_LEARNT_MIN: Duration = Duration::from_secs(3600);
/// The maximum size of an inventory's manifest, which names a file for each three million objects.
pub const INVENTORY_MANIFEST_BYTES_MAX: usize = 16 * MIB;
/// The maximum size of an inventory's Parquet file, which is read as a whole, and of its data decompressed at a time.
pub const INVENTORY_PARQUET_BYTES_MAX: usize = 1024 * MIB;
/// The time limit of a query to Devo, which takes some seconds, or some minutes over a day of a large table.
pub const DEVO_TIME_LIMIT: Duration = Duration::from_secs(600);
/// The maximum size of an answer. A row for each five minutes of two weeks takes a hundredth of it.
pub const DEVO_ANSWER_BYTES_MAX: u64 = 16 * MIB as u64;
/// The maximum number of bytes that are read of an error answer.
pub const DEVO_REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// The maximum number of objects that are named, and sent again, because Devo lacks events.
pub const AUDIT_GIVERS_MAX: usize = 10_000;
/// The maximum number of days in a window for which folder names are tried, to skip the days around it.
pub const AUDIT_WINDOW_DAYS_MAX: i64 = 4000;

// ---- ledger -------------------------------------------------------------------------------------

/// Entries are kept as long as SQS keeps a message: a later repeat cannot come from the queue.
pub const LEDGER_AGE_MAX: Duration = Duration::from_secs(14 * 24 * 3600);
/// The file's used pages. An entry takes 300 to 600 bytes, so this holds two to three million objects; beyond it the
/// oldest entries are removed first.
pub const LEDGER_BYTES_MAX: u64 = 1024 * MIB as u64;
/// Rows of one transaction: more would only delay the first.
pub const LEDGER_GROUP: usize = 1000;
/// Entries of objects that wait in memory while the file cannot be written. Each takes some 300 bytes, and a long key more.
pub const LEDGER_LATE_MAX: usize = 20_000;
/// Rows wait this long for others to share their transaction: at most 20 syncs a second, and short compared with
/// [`SETTLE_TIME`], which every delivery has waited already.
pub const LEDGER_GATHER_TIME: Duration = Duration::from_millis(50);
/// How often the progress of big objects is recorded. A crash repeats what is confirmed within this time, and what was
/// not yet confirmed.
pub const LEDGER_PROGRESS_INTERVAL: Duration = Duration::from_secs(2);
/// Batches confirmed before an object counts as big: 2 MiB of frames are sent again faster than looked up.
pub const LEDGER_PROGRESS_BATCHES: u64 = 8;
/// Old entries checked in each interval, in addition to as many as were added: a few milliseconds of work.
pub const LEDGER_SWEEP_ROWS: usize = 500;
/// The maximum number of tables that are counted separately per object or batch: CloudTrail objects have some dozens, and
/// a tag may come from a record.
pub const TABLES_PER_OBJECT_MAX: usize = 128;
/// The maximum number of names of tables and sources in a ledger; further ones are counted together.
pub const LEDGER_NAMES_MAX: usize = 10_000;
/// The maximum number of endings of uncollected objects (skipped, of no service) that wait to be written. Further ones are
/// not recorded; an audit finds most of them again by the rules.
pub const LEDGER_NOTES_WAITING_MAX: usize = 10_000;
/// The maximum time that counts of sent events wait for rows of objects to be written with.
pub const LEDGER_SENT_WAIT: Duration = Duration::from_secs(60);
/// The length of the slots in which sent events are counted, in seconds.
pub const LEDGER_SENT_SLOT: i64 = 300;
/// The maximum number of separate counts of sent events that wait to be written.
pub const LEDGER_SENT_WAITING_MAX: usize = 10_000;
/// How long SQLite itself waits for a lock.
pub const LEDGER_BUSY_TIMEOUT: Duration = Duration::from_millis(500);
/// A failed look-up is not retried for this long. On a file system without working locks (NFS) each one blocks for ten
/// seconds, and all fetchers would wait behind it.
pub const LEDGER_LOOKUP_PAUSE: Duration = Duration::from_secs(60);
/// First and longest wait between attempts to write while another process holds the file.
pub const LEDGER_BUSY_BACKOFF_FIRST: Duration = Duration::from_millis(20);
pub const LEDGER_BUSY_BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A file that is held for longer is given up until it is free again: messages must not wait for it. Shorter than the
/// shortest advised visibility timeout.
pub const LEDGER_BUSY_PATIENCE: Duration = Duration::from_secs(15);
/// How long a stop waits for the ledger: unrecorded entries are only repeated.
pub const LEDGER_SAVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a stop checks whether the writer thread has ended: it does so within a millisecond.
pub const LEDGER_END_INTERVAL: Duration = Duration::from_millis(2);
/// How long a start waits for a program that writes to the ledger: `ledger forget` of a million entries takes about ten
/// seconds.
pub const LEDGER_BUSY_START: Duration = Duration::from_secs(30);
/// How long a start waits for the previous collector, which is at the end of its stop.
pub const LEDGER_HELD_START: Duration = Duration::from_secs(10);
/// First and longest wait between a start's attempts to open the ledger.
pub const LEDGER_START_BACKOFF_FIRST: Duration = Duration::from_millis(50);
pub const LEDGER_START_BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A file up to this size is checked whole at the start, in about half a second.
pub const LEDGER_CHECK_BYTES_MAX: u64 = 64 * MIB as u64;

// ---- polled sources -------------------------------------------------------------------------------

/// Events of one page of LookupEvents: its own limit.
pub const LOOKUP_EVENTS_MAX: u32 = 50;
/// Interval between two LookupEvents calls of an account and region: AWS allows two a second.
pub const LOOKUP_EVENTS_INTERVAL: Duration = Duration::from_millis(500);
/// How far back LookupEvents reaches.
pub const LOOKUP_EVENTS_AGE_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// Pages of one source in flight: at a second or two until one is confirmed, more would only be repeated after a crash.
pub const POLL_PAGES_IN_WORK_MAX: usize = 64;
/// Events that a source remembers to recognize repeats, about 50 bytes each: what LookupEvents gives in an hour, the
/// usual time slot, at the rate that AWS allows. Beyond it the oldest are dropped first, which only costs repeats.
pub const POLL_SEEN_MAX: usize = 360_000;
/// Memory of an answer's events, until they are handed over, as a multiple of the answer: what was parsed, the lines made of
/// that, and the page.
pub const POLL_PAGE_FACTOR: usize = 4;
/// Memory of this size, after an answer, is not worth giving back.
pub const POLL_PAGE_BYTES_KEPT: usize = 512 * KIB;
/// The useful memory for answers that are being handed over.
pub const POLL_PAGES_BYTES_MAX: usize = 128 * MIB;
/// Fewer of them are not worth removing.
pub const POLL_FORGET_MIN: usize = 1000;
/// First and longest wait between failing calls of a source.
pub const POLL_BACKOFF_FIRST: Duration = Duration::from_secs(1);
pub const POLL_BACKOFF_MAX: Duration = Duration::from_secs(60);
/// How often a source that waits for its next pull shows that it lives.
pub const POLL_REST_MAX: Duration = Duration::from_secs(60);
/// Unreadable items of a source (log groups, metrics) that are named in the log in one round; all are counted.
pub const UNREADABLE_NAMED_MAX: usize = 20;
/// Longest `request_period_in_seconds`: a day.
pub const POLL_PERIOD_MAX: Duration = Duration::from_secs(24 * 3600);

// ---- sources shared by several hosts ------------------------------------------------------------

/// Time without a renewal after which others may take a lease.
pub const FLEET_LEASE: Duration = Duration::from_secs(20);
/// The holder's own count of that, which begins earlier. The rest is for clocks that run at different speeds.
pub const FLEET_TERM: Duration = Duration::from_secs(18);
/// Time between heartbeats, which renew all leases. A host that dies is replaced after at most [`FLEET_LEASE`] and one of
/// these.
pub const FLEET_INTERVAL: Duration = Duration::from_secs(4);
/// Limit of one call to the table: several heartbeats must fit into a lease.
pub const FLEET_CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Limit of one attempt of a command, on which no lease depends.
pub const FLEET_COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// For this long a command repeats calls that the table throttles or does not answer.
pub const FLEET_COMMAND_PATIENCE: Duration = Duration::from_secs(30);
/// Time after a heartbeat at which a host begins no more calls that take or give up leases: the next heartbeat is due.
pub const FLEET_ROUND: Duration = Duration::from_secs(8);
/// Attempts at a call that meets a transaction of another one.
pub const FLEET_CONFLICTS_MAX: u32 = 10;
/// Time between them: a transaction takes some milliseconds.
pub const FLEET_CONFLICT_WAIT: Duration = Duration::from_millis(20);
/// Time between looks of the command `fleet` at the hosts.
pub const FLEET_WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Time that `fleet` waits at most until the hosts have done what it has asked.
pub const FLEET_REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Time between writes of checkpoints. What a host that dies has delivered within it is sent again.
pub const FLEET_SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// For this long a host does not take back what it has handed over.
pub const FLEET_BARRED_TIME: Duration = Duration::from_secs(12);
/// Time between looks whether all leases could be given up, at a stop.
pub const FLEET_CLOSE_INTERVAL: Duration = Duration::from_millis(50);
/// Longest wait for that.
pub const FLEET_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// A host hands a source over to another one when it could not poll it for this long, or when one of its outputs has not worked for
/// this long.
pub const FLEET_UNABLE_TIME: Duration = Duration::from_secs(60);
/// For this long a host then leaves the source to others, if one of them can poll it: the reason is often still there.
pub const FLEET_UNABLE_MEMORY: Duration = Duration::from_secs(600);
/// Time between a source's looks whether its lease has come, or is over.
pub const FLEET_LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Writes of one transaction: DynamoDB's own limit.
pub const FLEET_WRITES_MAX: usize = 100;
/// Delivered events of one item: 36 KB, so that a transaction stays below DynamoDB's 4 MB.
pub const FLEET_SEEN_PER_ITEM: usize = 1500;
/// Age at which the table forgets a host.
pub const FLEET_HOST_AGE: Duration = Duration::from_secs(24 * 3600);
/// Age at which the table forgets delivered events, if their source does not do so before.
pub const FLEET_SEEN_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest `pk` and `sk` of an item: DynamoDB's own limits.
pub const FLEET_KEY_BYTES_MAX: usize = 2048;
pub const FLEET_SORT_KEY_BYTES_MAX: usize = 1024;
/// Time between looks at an object that another host collects.
pub const FLEET_OBJECT_WAIT: Duration = Duration::from_secs(2);
/// Time after which a claim's holder writes it again, although nothing is new: its heart may beat without the claim.
pub const FLEET_CLAIM_RENEWAL: Duration = Duration::from_secs(60);
/// A claim that stands still for this long, by the clock of the host that looks, is over, although its holder's heart beats.
pub const FLEET_CLAIM_LAPSE: Duration = Duration::from_secs(180);
/// A longer wait for another host's object is shown as a trouble.
pub const FLEET_OBJECT_WAIT_NOTED: Duration = Duration::from_secs(300);
/// Time between attempts to claim an object while the table does not answer, or another host was faster. It grows to
/// [`FLEET_OBJECT_WAIT`], so that a throttled table is not kept throttled.
pub const FLEET_RETRY_WAIT: Duration = Duration::from_millis(250);
/// Objects wait this long for a table that does not answer. A late answer must not make two hosts send an object, and a
/// table that is away must not hold up a feed.
pub const FLEET_OBJECT_PATIENCE: Duration = Duration::from_secs(10);
/// Threads that write how objects have ended: each waits a few milliseconds for each call.
pub const FLEET_OBJECT_WRITERS: usize = 4;
/// Writes of one BatchWriteItem: DynamoDB's own limit.
pub const FLEET_BATCH_WRITES_MAX: usize = 25;
/// Delivered objects that wait for the table to be usable, a KiB or so each. Further ones are known to this host alone.
pub const FLEET_OBJECTS_WAITING_MAX: usize = 20_000;
/// Time between attempts to write them.
pub const FLEET_OBJECT_RETRY: Duration = Duration::from_secs(1);
/// Attempts to take a lease in order to forget its source.
pub const FLEET_FORGET_ATTEMPTS: u32 = 5;

// ---- where credentials come from ------------------------------------------------------------------

/// TCP connect to a metadata endpoint: link-local, so it answers within milliseconds or does not exist. A laptop
/// outside AWS waits this long once.
pub const METADATA_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// One answer of a metadata endpoint, which may have to ask STS itself.
pub const METADATA_RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Attempts of one call to an existing metadata endpoint (5xx, broken connection).
pub const METADATA_ATTEMPTS: u32 = 3;
/// Wait between these attempts.
pub const METADATA_RETRY_DELAY: Duration = Duration::from_millis(200);
/// Credentials, tokens and their files are a few kilobytes; anything larger is invalid.
pub const CREDENTIALS_DOCUMENT_BYTES_MAX: usize = 256 * KIB;
/// Shared configuration files grow with the number of accounts: a thousand profiles are 200 KiB.
pub const SHARED_FILE_BYTES_MAX: usize = 4 * MIB;
/// A `credential_process` may ask a remote vault; AWS's own tools also allow it a minute.
pub const CREDENTIAL_PROCESS_TIMEOUT: Duration = Duration::from_secs(60);
/// Characters shown of a parser's message about an unreadable answer, which quotes a part of it.
pub const MISREAD_SHOWN_CHARS: usize = 200;
/// Expired keys in the instance's metadata (an outage of the service behind it) are used for this long before the next
/// check: AWS accepts them longer than they say.
pub const STALE_METADATA_EXTENSION: Duration = Duration::from_secs(600);
/// AWS's own limits on an assumed role's session.
pub const ROLE_SESSION_MIN: Duration = Duration::from_secs(900);
pub const ROLE_SESSION_MAX: Duration = Duration::from_secs(43_200);

// ---- life signs -----------------------------------------------------------------------------------

/// When no stage has done anything for this long, and no outage is known, it is our bug: a long poll ends after 20 s,
/// and every call and every wait for a peer within two minutes.
pub const STANDSTILL_MAX: Duration = Duration::from_secs(600);
/// How often the service manager gets a status.
pub const STATUS_INTERVAL: Duration = Duration::from_secs(10);

// ---- log lines ------------------------------------------------------------------------------------

/// One line: S3 keys end at 1 KiB, AWS's messages far below; a proxy's error page must not fill the disk.
pub const LOG_LINE_BYTES_MAX: usize = 8 * KIB;
/// An ongoing trouble is logged again at this interval, with a count.
pub const LOG_REMINDER: Duration = Duration::from_secs(60);
/// Different lines of one kind that are written within a [`LOG_REMINDER`]: enough to see what corrupt objects have in
/// common.
pub const LOG_EXAMPLES_MAX: usize = 5;
/// How often within a [`LOG_REMINDER`] a place that fails, works and fails again is logged at once: beyond that it
/// flaps.
pub const LOG_TURNS_MAX: usize = 3;
/// Causes that are distinguished at one place of the program and of the configuration; more have no pattern.
pub const LOG_CAUSES_MAX: usize = 8;
/// Kinds of lines that are remembered at a time, with an example of up to [`LOG_LINE_BYTES_MAX`] each: those of a
/// hundred inputs that are all in trouble.
pub const LOG_KINDS_MAX: usize = 500;
/// A failure that was not seen for this long is new when it recurs: longer than any wait between attempts, which is
/// [`RETRY_DELAY_MAX`] for a returned message.
pub const LOG_TROUBLE_FORGOTTEN: Duration = Duration::from_secs(1800);
/// Members of one part whose troubles are distinguished (buckets of an input): names that others choose.
pub const TROUBLES_MAX: usize = 16;
/// How often overdue answers are checked.
pub const OVERDUE_LOOK: Duration = Duration::from_secs(5);
/// How often the log checks for due counts.
pub const LOG_TICK: Duration = Duration::from_secs(2);

// ---- telling ---------------------------------------------------------------------------------------

/// Connections to the status page: some browsers, a scraper, some probes.
pub const STATUS_CONNECTIONS_MAX: usize = 32;
/// The head of a request for the page: a browser's, with cookies of other pages of the same host.
pub const STATUS_HEAD_BYTES_MAX: usize = 16 * KIB;
/// From the previous answer to the end of the next request, and for the whole of an answer: also how long a connection
/// may idle.
pub const STATUS_PATIENCE: Duration = Duration::from_secs(15);
/// Wait before the next attempt if the port is in use.
pub const STATUS_RETRY: Duration = Duration::from_secs(15);
/// Default interval of internal events.
pub const INTERNAL_EVENTS_PERIOD: Duration = Duration::from_secs(60);
/// Warnings and errors kept for the status page; repeats of one count as one.
pub const NOTICES_MAX: usize = 50;
/// Failed objects that the status page lists, and the length of each of their texts: S3 keys end at 1 KiB.
pub const FAILED_OBJECTS_MAX: usize = 200;
pub const FAILED_OBJECT_TEXT_MAX: usize = 2 * KIB;
/// Devo tables that are counted separately: more than any registry row fills, and a tag may come from a record.
pub const TABLES_COUNTED_MAX: usize = 300;
/// The status page's charts show an hour, in points of ten seconds: shorter ones make bursts look like outages.
pub const HISTORY_STEP: Duration = Duration::from_secs(10);
pub const HISTORY_POINTS: usize = 360;
/// Series of the charts; each takes 1.4 KiB, so all of them 1.5 MiB at most.
pub const HISTORY_SERIES_MAX: usize = 1024;

// ---- Parquet --------------------------------------------------------------------------------------

/// Rows read of each column before they are assembled, and their maximum size: a batch stays in a core's second-level
/// cache, and a column's decoder is not called for every row.
pub const PARQUET_BATCH_ROWS: usize = 512;
pub const PARQUET_BATCH_BYTES: usize = MIB;
/// Values (and nulls) of the rows of one batch, and of one column's pages that such rows span. Run lengths let a few
/// bytes stand for millions of list elements; writers cut pages at a million.
pub const PARQUET_ROW_VALUES_MAX: usize = 16 * 1024 * 1024;
/// Elements of a schema: AWS's widest tables have some hundred columns.
pub const PARQUET_COLUMNS_MAX: usize = 20_000;
/// Memory of one column while its row group is read: buffers for runs of levels and of dictionary indices.
pub const PARQUET_COLUMN_BYTES: usize = 12 * KIB;
/// Nested groups; the reader descends by recursion.
pub const PARQUET_DEPTH_MAX: usize = 64;
/// Bytes inside an object that are taken for the footers of further files, and are read to find out. Data rarely looks like that, and
/// is short then.
pub const PARQUET_JOINTS_BYTES_MAX: usize = 64 * MIB;

// ---- configuration ------------------------------------------------------------------------------

/// Below this there is no room for the program itself and [`SHARES_BYTES_MIN`].
pub const MEMORY_LIMIT_MIN_BYTES: u64 = 64 * 1024 * 1024;
/// Default bound on memory: a quarter of the machine's, at most this; more does not increase the speed.
pub const MEMORY_LIMIT_DEFAULT_MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// SQS's own limit: 12 h.
pub const VISIBILITY_TIMEOUT_MAX: Duration = Duration::from_secs(43_200);
/// A shorter visibility timeout leaves no time to extend it: an AWS call may take its whole response timeout.
pub const VISIBILITY_TIMEOUT_ADVISED_MIN: Duration = Duration::from_secs(30);
/// SQS's own limit for one long poll.
pub const SQS_WAIT_MAX: Duration = Duration::from_secs(20);
/// SQS's own limit for one ReceiveMessage.
pub const SQS_MESSAGES_MAX: u32 = 10;
/// Threads that poll one queue: 64 that get ten messages each in 50 ms exceed any queue of objects.
pub const RECEIVERS_MAX: usize = 64;
/// Threads that write to one output; Devo's balancer sees one connection each.
pub const SENDERS_MAX: usize = 256;
/// Threads that write to one output unless the configuration says otherwise, …
pub const SENDERS_DEFAULT: usize = 2;
/// … and while they are the bottleneck: at a round trip of 40 ms, eight connections carry what two cores can send.
pub const SENDERS_MAX_DEFAULT: usize = 8;
/// Threads that inflate and split, and threads that fetch: a typo must not start a million.
pub const THREADS_MAX: usize = 4096;
/// Each fetcher waits for S3 most of the time, so there are several per core.
pub const FETCHERS_PER_CORE: usize = 4;
/// With fewer, the latency of S3 matters even on a small machine.
pub const FETCHERS_MIN: usize = 8;
/// Within the 30 s that service managers commonly allow between SIGTERM and SIGKILL.
pub const SHUTDOWN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(25);
/// No stop should take longer than an hour.
pub const SHUTDOWN_TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Time for messages still in flight at the end of `shutdown_timeout` to be returned to their queues: 400 calls for the
/// 4,000 messages of an input, at some milliseconds each. With the default above it stays below 30 s.
pub const GIVE_BACK_TIME: Duration = Duration::from_secs(4);
/// First and longest wait before a collector that has run retries its start, after a failed reload.
pub const RESTART_BACKOFF_FIRST: Duration = Duration::from_secs(1);
pub const RESTART_BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A stop that exceeds `shutdown_timeout` and the time above by this much hangs somewhere, and is cut short.
pub const STOP_MARGIN: Duration = Duration::from_secs(5);
/// A process that exits at once tries for this long to write why.
pub const LAST_WORDS_TIME: Duration = Duration::from_millis(500);
/// A stop that has waited this long for a receive to end logs what it waits for.
pub const LONG_POLL_NOTE: Duration = Duration::from_secs(1);
/// More header lines than this are a typo.
pub const HEADER_LINES_MAX: u32 = 1000;
/// PAN-OS, with the widest records known, has some 120 columns.
pub const CSV_COLUMN_MAX: i64 = 10_000;
/// A certificate that expires within this time causes a warning.
pub const CERTIFICATE_EXPIRY_WARNING: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often the log repeats that for a certificate in use.
pub const CERTIFICATE_WARNING_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// The first characters of a secret by which it is recognized in a message. A shorter one is not hidden.
pub const SECRET_HIDDEN_CHARS: usize = 8;
/// A text of so many characters that equals a secret is one. AWS's secret keys have 40.
pub const SECRET_MISPLACED_CHARS: usize = 16;
/// Levels of lists and mappings in a configuration, which is read recursively. The deepest one that means something has
/// about ten.
pub const CONFIGURATION_DEPTH_MAX: usize = 32;
/// A larger configuration, certificate or key file was given by mistake.
pub const CONFIGURATION_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

// ---- numbers on the command line ------------------------------------------------------------------

/// Entries that `ledger show` prints; each takes some hundred bytes of memory. The ledger is an SQLite file for more.
pub const SHOWN_ENTRIES_MAX: u64 = 100_000;
/// Frames that `preview` prints.
pub const SHOWN_FRAMES_MAX: u64 = 10_000;
/// Days after which a bucket deletes its objects: a century.
pub const EXPIRE_DAYS_MAX: i64 = 36_500;
/// Objects of a `bench`: days of work for the fastest machine.
pub const BENCH_OBJECTS_MAX: u64 = 100_000_000;
/// Compressed bytes of one of them, which the stand-in for S3 holds in memory.
pub const BENCH_OBJECT_BYTES_MAX: u64 = 2_000_000_000;
/// Seconds of a `bench`: a week.
pub const BENCH_SECONDS_MAX: u64 = 7 * 24 * 3600;
/// Longest round trip that `bench` stands in for, in milliseconds: farther than any place on earth.
pub const BENCH_RTT_MS_MAX: u64 = 10_000;
/// The most that a limited sink of `bench` takes in a second, in MB.
pub const BENCH_SINK_MB_MAX: u64 = 1_000_000;
/// Largest first seed of a simulation: the seeds after it are numbers too.
pub const SIMULATE_SEED_MAX: u64 = i64::MAX as u64;
/// Seeds of one `simulate`, at a second or two each.
pub const SIMULATE_RUNS_MAX: u64 = 1_000_000;
/// Faults of one simulation; with more, hardly a moment is without one.
pub const SIMULATE_FAULTS_MAX: u64 = 100;

// ---- files ----------------------------------------------------------------------------------------

/// Open files besides the connections to AWS and outputs, and those of the status page: standard streams, signals,
/// certificates, the ledger and its journal, name resolution.
pub const OTHER_FILES: usize = 24;

const _: () = {
    assert!(SEND_RECORDS_MAX <= (1 << 24) / 4, "one write of the largest record must still fit the key");
    assert!(SETTLE_TIME.as_millis() < SEND_LIFETIME_MIN.as_millis());
    // Bytes in a millisecond: kilobytes in a second, so this is 600 MB/s.
    let close = (SETTLE_TIME_HASTY.as_millis() + SEND_RESET_TIMEOUT.as_millis()) as usize;
    assert!(
        SEND_ENDINGS_MAX * SEND_WINDOW_BYTES / close >= 600_000,
        "closing must not hold up a core's sender"
    );
    assert!(SEND_WINDOW_BYTES > SETTLE_BYTES + BATCH_BYTES, "otherwise only time could settle a full window");
    assert!(POLL_REST_MAX.as_secs() < STANDSTILL_MAX.as_secs(), "a resting source is not dead");
    assert!(FLEET_TERM.as_secs() < FLEET_LEASE.as_secs(), "nobody else has a lease before its term ends");
    assert!(2 * (FLEET_INTERVAL.as_secs() + FLEET_CALL_TIMEOUT.as_secs()) < FLEET_TERM.as_secs());
    assert!(FLEET_LEASE.as_secs() + 2 * FLEET_CLAIM_RENEWAL.as_secs() < FLEET_CLAIM_LAPSE.as_secs());
    assert!(FLEET_CLAIM_LAPSE.as_secs() < FLEET_OBJECT_WAIT_NOTED.as_secs());
    assert!(FLEET_ROUND.as_secs() + 3 * FLEET_CALL_TIMEOUT.as_secs() < FLEET_TERM.as_secs());
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
        /// For any configuration that fits at all, its threads and shares fit together.
        #[test]
        fn the_shares_are_the_limit(
            (queues, receivers, sources) in (0..300usize, 1..64usize, 0..100usize),
            (fetchers, workers, senders) in (1..4097usize, 1..4097usize, 1..600usize),
            spare in 0..8u64 << 30,
        ) {
            let callers = queues * (receivers + 1) + sources;
            let (spares, endings) = (senders, senders * SEND_ENDINGS_MAX);
            let others = 12 + 3 * queues;
            let crew = Crew {
                queues, others, callers, sources, fetchers, workers, senders, endings, spares, spare_endings: endings,
            };
            let limit = crew.memory_limit_min() + spare;
            let shares = MemoryShares::of(limit, &crew);
            let held = crew.bytes()
                + queues * (shares.messages * MESSAGE_BYTES + shares.bodies)
                + shares.bodies_large
                + shares.compressed
                + shares.compressed_kept
                + workers * shares.scratch
                + shares.frames
                + shares.frames_kept
                + shares.pages;
            prop_assert!(held as u64 <= limit, "{held} of {limit}: {shares:?}");
            prop_assert!(shares.compressed >= PART_BYTES && shares.frames >= 2 * BATCH_BYTES);
            prop_assert!(shares.whole_object <= shares.compressed);
        }
    }
}
