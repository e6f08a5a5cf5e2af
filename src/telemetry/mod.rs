//! Counters by stage. Each stage owns one group; the statistics lines and, later, `/metrics` read
//! them all.

mod counter;
mod line;
mod report;
mod trouble;
mod wait;

pub use counter::{Counter, Gauge};
pub use line::one_line;
pub use report::{Report, Reporter, size};
pub use trouble::{Health, Trouble};
pub use wait::{Stopwatch, Waits};

/// All counters of a run, shared by all its threads.
#[derive(Debug, Default)]
pub struct Telemetry {
    pub receive: Receive,
    pub poll: Poll,
    pub fetch: Fetch,
    pub decode: Decode,
    pub send: Send,
    pub settle: Settle,
    pub ledger: Ledger,
    pub waits: Waits,
}

impl Telemetry {
    /// Grows with all that any stage does. Leases that are extended are not counted: that goes on while
    /// everything else hangs.
    pub fn movement(&self) -> u64 {
        let (r, f, d, s, a) = (&self.receive, &self.fetch, &self.decode, &self.send, &self.settle);
        let received = [&r.messages, &r.empty, &r.failed_calls, &self.poll.calls, &self.poll.rests];
        let fetched = [&f.objects, &f.bytes, &f.failed, &f.known];
        let decoded = [&d.objects, &d.bytes, &d.failed];
        let sent = [&s.events_written, &s.events, &s.failed_connections];
        let settled = [&a.deleted, &a.kept, &a.released];
        let all = received.into_iter().chain(fetched).chain(decoded).chain(sent).chain(settled);
        all.map(Counter::value).fold(0, u64::wrapping_add)
    }
}

/// Messages come in.
#[derive(Debug, Default)]
pub struct Receive {
    pub messages: Counter,
    /// Receives that brought nothing.
    pub empty: Counter,
    /// Messages that had been received before.
    pub returned: Counter,
    /// Bodies of no known shape, left to the redrive policy.
    pub unreadable: Counter,
    /// Things announced that are no new object (removals, test events, …).
    pub ignored: Counter,
    /// Objects acknowledged without a GET: skip lists, markers, empty.
    pub skipped: Counter,
    /// Objects to collect.
    pub objects: Counter,
    pub failed_calls: Counter,
}

/// Pages of APIs come in.
#[derive(Debug, Default)]
pub struct Poll {
    pub calls: Counter,
    /// Stretches of waiting for the next pull: a source that has nothing to do still lives.
    pub rests: Counter,
    pub failed_calls: Counter,
    /// Events that went on their way.
    pub events: Counter,
    /// Events that the configuration leaves out.
    pub dropped: Counter,
    /// Events that belong to another region's source.
    pub other_region: Counter,
    /// Events that were delivered before, or are on their way.
    pub duplicated: Counter,
}

/// Objects become bytes.
#[derive(Debug, Default)]
pub struct Fetch {
    pub objects: Counter,
    pub bytes: Counter,
    /// Objects that could not be fetched and will come again.
    pub failed: Counter,
    /// Objects that the ledger knew to be delivered: nothing of them was sent again.
    pub known: Counter,
    /// Of these, objects that were known without a GET.
    pub known_unread: Counter,
    /// Objects that were not there and counted as done (`missing_object: skip`).
    pub missing: Counter,
}

/// Bytes become frames.
#[derive(Debug, Default)]
pub struct Decode {
    pub objects: Counter,
    /// Log bytes, after inflating.
    pub bytes: Counter,
    pub events: Counter,
    /// Records that a filter rule dropped.
    pub filtered: Counter,
    /// Records sent to an `unknown` level because a field was missing.
    pub unrouted: Counter,
    /// Records that had been confirmed in an earlier attempt and were not sent again.
    pub resumed: Counter,
    /// JSON documents without a record: no value at the format's path, control messages.
    pub recordless: Counter,
    /// Corrupt objects.
    pub failed: Counter,
}

/// Frames reach the peer.
#[derive(Debug, Default)]
pub struct Send {
    pub connections: Gauge,
    /// Events written, repeats after a broken connection included.
    pub events_written: Counter,
    /// Events known to have reached the peer.
    pub events: Counter,
    pub bytes: Counter,
    /// Bytes written that the peer has not confirmed.
    pub unconfirmed: Gauge,
    /// Events that had to be sent again because their connection broke.
    pub repeated: Counter,
    pub failed_connections: Counter,
}

/// Messages are deleted, or go back.
#[derive(Debug, Default)]
pub struct Settle {
    pub in_work: Gauge,
    pub deleted: Counter,
    /// Left alone on purpose (`ack_messages: false`).
    pub kept: Counter,
    /// Went back to the queue: something was not delivered.
    pub released: Counter,
    /// Of these, messages that can never be delivered as they are.
    pub rejected: Counter,
    pub extended: Counter,
    /// Leases that ended before the work did: these messages will come a second time.
    pub lost: Counter,
}

/// Deliveries are remembered.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Objects delivered, and marks inside big ones.
    pub recorded: Counter,
    /// Of what was to be recorded, what could not be.
    pub unrecorded: Counter,
}
