//! The counters of each stage, each defined once: its field, its help text and its metric's name.

use serde::Serialize;

use super::counter::{Counter, Gauge, Meter};
use super::metric::Metric;
use super::wait::Stopwatch;

/// Defines from one list the group that threads count in, its values at one moment (`…Totals`), and the group's
/// metrics.
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
            /// The group for the pipeline after a reload: totals carry over, gauges restart.
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
    /// Receiving: counters of an input.
    ReceiveCounts, ReceiveTotals {
        /// Messages received from the queue.
        messages: Counter = "messages_received_total",
        /// Receives without messages.
        empty: Counter = "receives_empty_total",
        /// Messages received again (delivery 2 or later).
        returned: Counter = "messages_received_again_total",
        /// Messages that cannot be read, and objects of no service of the input: left to the redrive policy.
        unreadable: Counter = "messages_unreadable_total",
        /// Announcements that are not new objects (removals, test events).
        ignored: Counter = "announcements_ignored_total",
        /// Objects acknowledged without a GET (skip rules, writers' markers, start_time).
        skipped: Counter = "objects_skipped_total",
        /// Objects to collect.
        objects: Counter = "objects_announced_total",
        /// Failed receives.
        failed_calls: Counter = "receive_failures_total",
    }
}

group! {
    /// Polling: counters of a source.
    PollCounts, PollTotals {
        /// Pages requested.
        calls: Counter = "polls_total",
        /// Waits for the next pull; an idle source still counts them.
        rests: Counter = "poll_rests_total",
        /// Failed page requests.
        failed_calls: Counter = "poll_failures_total",
        /// Times that an item (a log group, a stream, a detector, a metric) was passed over because it cannot be read.
        left_out: Counter = "polled_items_passed_over_total",
        /// Items that currently cannot be read.
        unreadable: Gauge = "polled_items_unreadable",
        /// Events passed on for delivery.
        events: Counter = "polled_events_total",
        /// Events left out by the configuration.
        dropped: Counter = "polled_events_left_out_total",
        /// Events that belong to another region of the source.
        other_region: Counter = "polled_events_of_other_regions_total",
        /// Events that were delivered before, or are in flight.
        duplicated: Counter = "polled_events_repeated_total",
    }
}

group! {
    /// AWS calls: counters of an input.
    Calls, CallTotals {
        /// Attempts of calls to AWS.
        tries: Counter = "aws_call_tries_total",
        /// Throttled attempts.
        throttled: Counter = "aws_calls_throttled_total",
        /// Attempts that AWS refused because of a missing permission or invalid credentials.
        denied: Counter = "aws_calls_denied_total",
        /// Attempts that failed for another reason: 5xx, broken connections, timeouts, missing objects.
        failed: Counter = "aws_calls_failed_total",
    }
}

group! {
    /// Fetching: counters of an input.
    FetchCounts, FetchTotals {
        /// Objects waiting for a fetcher.
        waiting: Gauge = "objects_waiting",
        /// Objects being fetched.
        active: Gauge = "objects_in_fetch",
        /// Objects waiting for a retry, because S3 did not return them.
        delayed: Gauge = "objects_delayed",
        /// Objects fetched.
        objects: Counter = "objects_fetched_total",
        /// Bytes fetched, compressed.
        bytes: Counter = "fetched_bytes_total",
        /// Objects that could not be fetched and will be retried.
        failed: Counter = "objects_unfetched_total",
        /// Objects that the ledger knew as delivered: nothing of them was sent again.
        known: Counter = "objects_known_total",
        /// The part of these objects that was known without a GET.
        known_unread: Counter = "objects_known_unread_total",
        /// Missing objects that counted as done (missing_object: skip).
        missing: Counter = "objects_missing_total",
    }
}

group! {
    /// Decoding: counters of a service.
    DecodeCounts, DecodeTotals {
        /// Objects decoded to their end.
        objects: Counter = "objects_decoded_total",
        /// Bytes given to the decoder, compressed.
        compressed: Counter = "compressed_bytes_total",
        /// Log bytes, after inflating.
        bytes: Counter = "log_bytes_total",
        /// Events framed for sending.
        events: Counter = "events_framed_total",
        /// Records that a filter rule dropped.
        filtered: Counter = "events_filtered_total",
        /// Records sent to an unknown level of their tag because a field was missing.
        unrouted: Counter = "events_unrouted_total",
        /// Records whose tag was cut because a value in it is too long for a level.
        cut: Counter = "event_tags_cut_total",
        /// Records that had been confirmed in an earlier attempt and were not sent again.
        resumed: Counter = "events_resumed_total",
        /// JSON documents known to have no records (empty lists, control messages).
        recordless: Counter = "documents_without_records_total",
        /// Corrupt objects.
        failed: Counter = "objects_corrupt_total",
    }
}

group! {
    /// Delivery to every output: counters of a service.
    Delivered, DeliveredTotals {
        /// Events delivered: known to have reached every output.
        events: Counter = "events_total",
        /// Bytes of frames delivered.
        bytes: Counter = "bytes_total",
        /// Objects delivered whole.
        objects: Counter = "objects_total",
        /// Objects that were not delivered this time and will be retried.
        retried: Counter = "objects_retried_total",
        /// Objects that can never be delivered as they are: left to the redrive policy.
        rejected: Counter = "objects_rejected_total",
        /// Objects announced but not yet delivered, including waiting ones.
        in_work: Gauge = "objects_in_work",
    }
}

group! {
    /// Sending: counters of an output.
    SendCounts, SendTotals {
        /// Batches waiting for a sender.
        waiting: Gauge = "output_batches_waiting",
        /// Connections opened since the start.
        connected: Counter = "output_connections_total",
        /// Events written, including repeats after a broken connection.
        events_written: Counter = "output_events_written_total",
        /// Events known to have reached the peer.
        events: Counter = "output_events_total",
        /// Bytes known to have reached the peer.
        bytes: Counter = "output_bytes_total",
        /// Events sent again because their connection broke.
        repeated: Counter = "output_events_repeated_total",
        /// Refused records: the peer ends every connection that carries them alone.
        refused: Counter = "output_events_refused_total",
        /// Connections that could not be opened, or broke.
        failed_connections: Counter = "output_connection_failures_total",
    }
}

group! {
    /// Settling messages: counters of an input.
    SettleCounts, SettleTotals {
        /// Messages in flight, from receive to deletion.
        in_work: Gauge = "messages_in_work",
        /// Messages deleted: everything they announced is delivered.
        deleted: Counter = "messages_deleted_total",
        /// Messages left in the queue on purpose (ack_messages: false).
        kept: Counter = "messages_kept_total",
        /// Messages returned to the queue: something was not delivered.
        released: Counter = "messages_released_total",
        /// The part of these messages that can never be delivered as they are.
        rejected: Counter = "messages_rejected_total",
        /// Leases extended.
        extended: Counter = "leases_extended_total",
        /// Leases that ended before the work did: these messages will be redelivered.
        lost: Counter = "leases_lost_total",
    }
}

group! {
    /// Worker gauges (inflating, splitting, framing).
    WorkCounts, WorkTotals {
        /// Payloads waiting for a worker.
        waiting: Gauge = "payloads_waiting",
        /// Workers with a payload; they may be waiting for a sender.
        busy: Gauge = "workers_busy",
    }
}

group! {
    /// Waiting times of each stage's threads. A stage with short waits is a bottleneck.
    Waits, WaitTotals {
        /// Time that receivers wait for a slot among the messages in flight.
        receive_place: Stopwatch = "receivers_wait_for_place_seconds_total",
        /// Time that receivers wait for SQS, including long polls of an empty queue.
        receive_sqs: Stopwatch = "receivers_wait_for_sqs_seconds_total",
        /// Time that receivers wait for a free fetcher.
        receive_fetchers: Stopwatch = "receivers_wait_for_fetchers_seconds_total",
        /// Time that fetchers wait for an object to fetch.
        fetch_objects: Stopwatch = "fetchers_wait_for_objects_seconds_total",
        /// Time that fetchers wait for room in the memory budget.
        fetch_memory: Stopwatch = "fetchers_wait_for_memory_seconds_total",
        /// Time that fetchers wait for S3, from the request to the last byte of the body.
        fetch_s3: Stopwatch = "fetchers_wait_for_s3_seconds_total",
        /// Time that fetchers wait for a worker to finish the previous part.
        fetch_workers: Stopwatch = "fetchers_wait_for_workers_seconds_total",
        /// Time that workers wait for a sender to take a batch.
        work_senders: Stopwatch = "workers_wait_for_senders_seconds_total",
        /// Time that workers have a payload, from its start to its end: not a wait, but it includes their waits for
        /// senders. The rest of their time they are idle.
        work_payloads: Stopwatch = "workers_busy_seconds_total",
        /// CPU time that workers spend on encrypting and writing batches themselves, on free connections: not a wait.
        work_writes: Stopwatch = "workers_write_cpu_seconds_total",
        /// Time that senders wait for a batch.
        send_batches: Stopwatch = "senders_wait_for_batches_seconds_total",
        /// Time that senders wait for room in the socket: the network or the peer is slow.
        send_socket: Stopwatch = "senders_wait_for_socket_seconds_total",
        /// Time that senders wait for the peer's acknowledgements, with a full window.
        send_confirmation: Stopwatch = "senders_wait_for_confirmation_seconds_total",
        /// Time that senders wait because of the configured rate.
        send_rate: Stopwatch = "senders_wait_for_rate_seconds_total",
    }
}

group! {
    /// Ledger counters.
    LedgerCounts, LedgerTotals {
        /// Entries written to the ledger: delivered objects, and progress inside large ones.
        recorded: Counter = "ledger_entries_total",
        /// Ledger entries that could not be written.
        unrecorded: Counter = "ledger_entries_failed_total",
    }
}

group! {
    /// Internal events (globals.internal_events).
    InternalCounts, InternalTotals {
        /// Internal events delivered.
        events: Counter = "internal_events_total",
        /// Internal events dropped because the output was busy or failed.
        dropped: Counter = "internal_events_dropped_total",
    }
}
