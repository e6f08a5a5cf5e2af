//! The counters of each stage, each written down once: its field, its help text and its metric's name.

use serde::Serialize;

use super::counter::{Counter, Gauge, Meter};
use super::metric::Metric;
use super::wait::Stopwatch;

/// Makes, of one list: the group that threads count in, its values at one moment (`…Totals`), and the
/// group's metrics.
macro_rules! group {
    (
        $(#[doc = $about:literal])+
        $Group:ident, $Totals:ident {
            $( $(#[doc = $help:literal])+ $field:ident: $Meter:ident = $name:literal, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Default)]
        pub struct $Group {
            $( $(#[doc = $help])+ pub $field: $Meter, )+
        }

        $(#[doc = $about])+
        #[doc = "The values at one moment."]
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
        pub struct $Totals {
            $( $(#[doc = $help])+ pub $field: <$Meter as Meter>::Value, )+
        }

        impl $Group {
            /// For those who go on after these: totals go on, levels begin anew.
            pub fn successor(&self) -> $Group {
                $Group { $( $field: self.$field.successor(), )+ }
            }

            pub fn totals(&self) -> $Totals {
                $Totals { $( $field: self.$field.read(), )+ }
            }
        }

        impl $Totals {
            pub const METRICS: &'static [Metric<$Totals>] = &[
                $( Metric {
                    name: $name,
                    help: concat!($($help),+),
                    kind: <$Meter as Meter>::KIND,
                    value: |totals| Some(<$Meter as Meter>::exposed(totals.$field)),
                }, )+
            ];
        }

        impl std::iter::Sum for $Totals {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                let add = |a: Self, b: Self| $Totals { $( $field: a.$field + b.$field, )+ };
                all.fold(Self::default(), add)
            }
        }
    };
}

group! {
    /// Messages come in. Of an input.
    Receive, ReceiveTotals {
        /// Messages received from the queue.
        messages: Counter = "messages_received_total",
        /// Receives that brought nothing.
        empty: Counter = "receives_empty_total",
        /// Messages that had been received before.
        returned: Counter = "messages_received_again_total",
        /// Messages that nobody can read, and objects of no service of the input: left to the redrive policy.
        unreadable: Counter = "messages_unreadable_total",
        /// Things announced that are no new object (removals, test events).
        ignored: Counter = "announcements_ignored_total",
        /// Objects acknowledged without a GET (skip rules, marks of a writer, start_time).
        skipped: Counter = "objects_skipped_total",
        /// Objects to collect.
        objects: Counter = "objects_announced_total",
        /// Receives that failed.
        failed_calls: Counter = "receive_failures_total",
    }
}

group! {
    /// Pages of APIs come in. Of a source.
    Poll, PollTotals {
        /// Pages asked for.
        calls: Counter = "polls_total",
        /// Stretches of waiting for the next pull: a source that has nothing to do still lives.
        rests: Counter = "poll_rests_total",
        /// Pages that could not be had.
        failed_calls: Counter = "poll_failures_total",
        /// Times that an item (a log group, a stream, a detector, a metric) was passed over because it cannot be read.
        left_out: Counter = "polled_items_passed_over_total",
        /// Items that cannot be read at present.
        unreadable: Gauge = "polled_items_unreadable",
        /// Events that went on their way.
        events: Counter = "polled_events_total",
        /// Events that the configuration leaves out.
        dropped: Counter = "polled_events_left_out_total",
        /// Events that belong to another region of the source.
        other_region: Counter = "polled_events_of_other_regions_total",
        /// Events that were delivered before, or are on their way.
        duplicated: Counter = "polled_events_repeated_total",
    }
}

group! {
    /// Calls to AWS. Of an input.
    Calls, CallTotals {
        /// Tries of calls to AWS.
        tries: Counter = "aws_call_tries_total",
        /// Tries that were answered with a request to slow down.
        throttled: Counter = "aws_calls_throttled_total",
        /// Tries that AWS refused for want of a permission or of valid credentials.
        denied: Counter = "aws_calls_denied_total",
        /// Tries that failed for another reason: 5xx, broken connections, time-outs, objects not there.
        failed: Counter = "aws_calls_failed_total",
    }
}

group! {
    /// Objects become bytes. Of an input.
    Fetch, FetchTotals {
        /// Objects that wait for a fetcher.
        waiting: Gauge = "objects_waiting",
        /// Objects that a fetcher has in hand.
        active: Gauge = "objects_in_fetch",
        /// Objects that wait for another try, because S3 did not give them.
        delayed: Gauge = "objects_delayed",
        /// Objects fetched.
        objects: Counter = "objects_fetched_total",
        /// Bytes fetched, compressed as they are.
        bytes: Counter = "fetched_bytes_total",
        /// Objects that could not be fetched and will come again.
        failed: Counter = "objects_unfetched_total",
        /// Objects that the ledger knew to be delivered: nothing of them was sent again.
        known: Counter = "objects_known_total",
        /// Of these, objects that were known without a GET.
        known_unread: Counter = "objects_known_unread_total",
        /// Objects that were not there and counted as done (missing_object: skip).
        missing: Counter = "objects_missing_total",
    }
}

group! {
    /// Bytes become frames. Of a service.
    Decode, DecodeTotals {
        /// Objects decoded to their end.
        objects: Counter = "objects_decoded_total",
        /// Bytes given to the decoder, compressed as they are.
        compressed: Counter = "compressed_bytes_total",
        /// Log bytes, after inflating.
        bytes: Counter = "log_bytes_total",
        /// Events framed, to be sent.
        events: Counter = "events_framed_total",
        /// Records that a filter rule dropped.
        filtered: Counter = "events_filtered_total",
        /// Records sent to an unknown level of their tag because a field was missing.
        unrouted: Counter = "events_unrouted_total",
        /// Records whose tag was cut because a value in it is too long for a level.
        cut: Counter = "event_tags_cut_total",
        /// Records that had been confirmed in an earlier attempt and were not sent again.
        resumed: Counter = "events_resumed_total",
        /// JSON documents that are known to hold no record (empty lists, control messages).
        recordless: Counter = "documents_without_records_total",
        /// Corrupt objects.
        failed: Counter = "objects_corrupt_total",
    }
}

group! {
    /// What has reached every output. Of a service.
    Delivered, DeliveredTotals {
        /// Events delivered: known to have reached every output.
        events: Counter = "events_total",
        /// Bytes of frames delivered.
        bytes: Counter = "bytes_total",
        /// Objects delivered whole.
        objects: Counter = "objects_total",
        /// Objects that were not delivered this time and come again.
        retried: Counter = "objects_retried_total",
        /// Objects that can never be delivered as they are: left to the redrive policy.
        rejected: Counter = "objects_rejected_total",
        /// Objects announced and not yet delivered, waiting ones included.
        in_work: Gauge = "objects_in_work",
    }
}

group! {
    /// Frames reach the peer. Of an output.
    Send, SendTotals {
        /// Batches that wait for a sender.
        waiting: Gauge = "output_batches_waiting",
        /// Connections made since the start.
        connected: Counter = "output_connections_total",
        /// Events written, repeats after a broken connection included.
        events_written: Counter = "output_events_written_total",
        /// Events known to have reached the peer.
        events: Counter = "output_events_total",
        /// Bytes known to have reached the peer.
        bytes: Counter = "output_bytes_total",
        /// Events that had to be sent again because their connection broke.
        repeated: Counter = "output_events_repeated_total",
        /// Records refused: the peer ends every connection on which they are sent alone.
        refused: Counter = "output_events_refused_total",
        /// Connections that could not be made, or broke.
        failed_connections: Counter = "output_connection_failures_total",
    }
}

group! {
    /// Messages are deleted, or go back. Of an input.
    Settle, SettleTotals {
        /// Messages in work, from their receipt to their deletion.
        in_work: Gauge = "messages_in_work",
        /// Messages deleted: all they announced is delivered.
        deleted: Counter = "messages_deleted_total",
        /// Messages left alone on purpose (ack_messages: false).
        kept: Counter = "messages_kept_total",
        /// Messages that went back to the queue: something was not delivered.
        released: Counter = "messages_released_total",
        /// Of these, messages that can never be delivered as they are.
        rejected: Counter = "messages_rejected_total",
        /// Leases extended.
        extended: Counter = "leases_extended_total",
        /// Leases that ended before the work did: these messages will come a second time.
        lost: Counter = "leases_lost_total",
    }
}

group! {
    /// The workers, who inflate, split and frame.
    Work, WorkTotals {
        /// Payloads that wait for a worker.
        waiting: Gauge = "payloads_waiting",
        /// Workers that have a payload in hand; they may wait for a sender.
        busy: Gauge = "workers_busy",
    }
}

group! {
    /// What the threads of each stage wait for. Of a stage whose waits are short there is too little.
    Waits, WaitTotals {
        /// Receivers wait for a place among the messages in work.
        receive_place: Stopwatch = "receivers_wait_for_place_seconds_total",
        /// Receivers wait for SQS, long polls of an empty queue included.
        receive_sqs: Stopwatch = "receivers_wait_for_sqs_seconds_total",
        /// Receivers wait for a fetcher that takes an object.
        receive_fetchers: Stopwatch = "receivers_wait_for_fetchers_seconds_total",
        /// Fetchers wait for an object to fetch.
        fetch_objects: Stopwatch = "fetchers_wait_for_objects_seconds_total",
        /// Fetchers wait for room in the memory budget.
        fetch_memory: Stopwatch = "fetchers_wait_for_memory_seconds_total",
        /// Fetchers wait for S3, from the request to the last byte of the body.
        fetch_s3: Stopwatch = "fetchers_wait_for_s3_seconds_total",
        /// Fetchers wait for a worker that is done with the part before.
        fetch_workers: Stopwatch = "fetchers_wait_for_workers_seconds_total",
        /// Workers wait for a sender that takes a batch.
        work_senders: Stopwatch = "workers_wait_for_senders_seconds_total",
        /// Workers have a payload in hand, from its start to its end: not a wait, but it includes theirs for
        /// senders. What is left of their time they had nothing to do.
        work_payloads: Stopwatch = "workers_busy_seconds_total",
        /// Workers encrypt and write batches themselves, on connections that are free: not a wait, but CPU time of
        /// theirs that is spent on sending.
        work_writes: Stopwatch = "workers_write_cpu_seconds_total",
        /// Senders wait for a batch to send.
        send_batches: Stopwatch = "senders_wait_for_batches_seconds_total",
        /// Senders wait for room in the socket: the network or the peer is slow.
        send_socket: Stopwatch = "senders_wait_for_socket_seconds_total",
        /// Senders wait for acknowledgements of the peer, with a window that is full.
        send_confirmation: Stopwatch = "senders_wait_for_confirmation_seconds_total",
        /// Senders wait because of the rate that the configuration allows.
        send_rate: Stopwatch = "senders_wait_for_rate_seconds_total",
    }
}

group! {
    /// Deliveries are remembered.
    Ledger, LedgerTotals {
        /// Objects delivered, and marks inside big ones, written to the ledger.
        recorded: Counter = "ledger_entries_total",
        /// Of what was to be recorded, what could not be.
        unrecorded: Counter = "ledger_entries_failed_total",
    }
}

group! {
    /// The collector's own events (globals.internal_events).
    Internal, InternalTotals {
        /// Internal events delivered.
        events: Counter = "internal_events_total",
        /// Internal events dropped, because the output was busy or failed.
        dropped: Counter = "internal_events_dropped_total",
    }
}
