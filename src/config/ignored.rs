//! Keys of the vendor's collectors that have no effect here. A file that has them works unchanged; each is named once,
//! with the reason. The documentation prints the same list.

/// A key, and why it has no effect.
pub type Ignored = (&'static str, &'static str);

/// Debugging aids of the vendor's program. Its pages do not tie them to one place, so they are accepted wherever the
/// vendor has its own settings.
const TRIAL: [Ignored; 3] = [
    ("debug_md5", "no checksums of records are logged"),
    ("debug_mode", "\"globals\": {\"debug\": true} logs more"),
    ("run_for_in_secs", "the collector runs until it is stopped; run --drain exits when the queue is empty"),
];

/// Keys of `globals` and `global_overrides`.
pub const GLOBALS: &[Ignored] = &[
    TRIAL[0],
    TRIAL[1],
    TRIAL[2],
    ("generate_collector_details", "the log and the status page show what runs"),
    ("multiprocessing", "there is one process, with threads"),
    ("queue_generate_metrics", "metrics are always available"),
    ("queue_max_elapsed_time_in_sec", "nothing is dropped because of its age"),
    ("queue_max_size_in_mb", "memory_limit bounds the memory"),
    ("queue_max_size_in_messages", "memory_limit bounds the memory"),
    ("queue_wrap_max_size_in_messages", "batches have their own size"),
];

/// Keys of an output's `config`.
pub const OUTPUT: &[Ignored] = &[
    ("compression_buffer_in_bytes", "batches have their own size"),
    ("concurrent_connections", "senders is the number of connections"),
    ("generate_metrics", "metrics are always available"),
    ("period_sender_stats_in_seconds", "statistics are logged every minute"),
    (
        "threshold_for_using_gzip_in_transport_layer",
        "\"compression\": \"gzip\" always compresses; without it nothing is compressed",
    ),
];

/// Keys of an input.
pub const INPUT: &[Ignored] = &[
    TRIAL[0],
    TRIAL[1],
    TRIAL[2],
    ("autoconfig", "exactly the configured services run"),
    ("compressed_events", "compression is detected from the bytes"),
];

/// Keys of a service that reads a queue.
pub const SERVICE: &[Ignored] = &[
    TRIAL[0],
    TRIAL[1],
    TRIAL[2],
    ("pull_retries", "a failed call is retried until it works, and the queue keeps undelivered messages"),
    ("request_period_in_seconds", "a queue is read as soon as it has messages"),
];

/// Keys of a service of an `aws` input whose messages are the logs themselves.
pub const BODIES_SERVICE: &[Ignored] =
    &[("start_time", "a queue has only messages sent since it was created")];

/// Keys of a service of an `aws` input that reads a queue.
pub const QUEUE_SERVICE: &[Ignored] = &[SERVICE[3], SERVICE[4]];

/// Keys of every service of an `aws` input.
pub const AWS_SERVICE: &[Ignored] = &TRIAL;

/// Keys of an entry of `event_type_processor_mapping`.
pub const EVENT_TYPE: &[Ignored] =
    &[("processor_class", "events are sent unchanged; tagging sets their tag")];

/// The places of each list, for the documentation.
pub const PLACES: &[(&str, &[Ignored])] = &[
    ("globals, global_overrides", GLOBALS),
    ("outputs.NAME.config", OUTPUT),
    ("inputs.NAME", INPUT),
    ("inputs.sqs_collector….services.NAME", SERVICE),
    ("inputs.aws….services.NAME", AWS_SERVICE),
    ("inputs.aws….services.NAME, if it reads a queue", QUEUE_SERVICE),
    ("inputs.aws….services.NAME, if its messages are the logs", BODIES_SERVICE),
    ("inputs.aws….services.NAME.event_type_processor_mapping.NAME", EVENT_TYPE),
];

/// Returns all of them as a Markdown table.
pub fn markdown() -> String {
    let mut text = "| where | key | why it changes nothing |\n|---|---|---|\n".to_owned();
    for (place, keys) in PLACES {
        for (key, why) in *keys {
            text.push_str(&format!("| `{place}` | `{key}` | {why} |\n"));
        }
    }
    text
}
