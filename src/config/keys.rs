//! The configuration's keys, for the documentation. A test checks that these are exactly the keys that the readers ask
//! for, by following each reader over all examples.

use super::numbers::{self, default, range, seconds};

/// The keys of one mapping.
#[derive(Debug)]
pub struct Section {
    /// The mapping's path: keys with dots between them; capitals stand for a name of the user's.
    pub place: &'static str,
    pub about: &'static str,
    pub keys: &'static [Key],
}

/// Name, type and range, default, meaning.
pub type Key = (&'static str, &'static str, &'static str, &'static str);

/// The default of a key that must be written.
pub const NEEDED: &str = "required";
/// No default, or nothing to say.
pub const NONE: &str = "";

/// The keys that must be written.
pub fn required(keys: &[Key]) -> Vec<&'static str> {
    keys.iter().filter(|(_, _, default, _)| *default == NEEDED).map(|(key, ..)| *key).collect()
}

/// All sections, in the order of the documentation. Other pages explain how a service reads its objects.
pub const SECTIONS: &[Section] = &[
    Section {
        place: "",
        about: "The whole file.",
        keys: &[
            ("$schema", "URL", NONE, "the JSON Schema, for editors (`aws-to-devo schema`)"),
            ("globals", "mapping", NONE, "settings of the whole collector"),
            ("global_overrides", "mapping", NONE, "written by the vendor's cloud server: `debug`"),
            ("outputs", "mapping", NEEDED, "names mapped to outputs; every event goes to every output"),
            (
                "inputs",
                "mapping",
                NEEDED,
                "names mapped to inputs; a name begins with `sqs_collector` or `aws`",
            ),
        ],
    },
    Section {
        place: "globals",
        about: "",
        keys: &[
            ("id", "text", "the first input's id", "part of the syslog HOST"),
            ("name", "text", "the id", "for display"),
            ("host", "text without white space", "`collector-<id>-<machine's name>`", "the syslog HOST"),
            ("debug", "true, false", "false", "log more; SIGHUP switches it without a restart"),
            ("debug_status", "true, false", "false", "the same, as on one of the vendor's pages"),
            (
                "memory_limit",
                "size, at least `64MiB`",
                "a quarter of the memory, at most `4GiB`, or more if the inputs need it",
                "bound on the memory: [what it covers](delivery.md#memory)",
            ),
            ("workers", range!(numbers::THREADS), "the machine's cores", "threads that inflate and split"),
            (
                "fetchers",
                range!(numbers::THREADS),
                "4 per core, at least 8",
                "threads that fetch objects, shared by all inputs",
            ),
            (
                "shutdown_timeout",
                seconds!(numbers::SHUTDOWN_TIMEOUT.range),
                default!(numbers::SHUTDOWN_TIMEOUT),
                "time for work in flight to finish at a stop or reload; after that, messages have 4 more seconds to be returned to their queues",
            ),
            ("definitions", "file", NONE, "your own services, for all inputs ([services](services.md))"),
            ("persistence", "mapping", NONE, "the ledger"),
            ("status", "mapping", NONE, "status page and metrics"),
            (
                "internal_events",
                "mapping",
                "none are sent",
                "send the collector's own statistics and warnings as events",
            ),
            ("audit", "mapping", "no audits", "look for missing objects while the collector runs"),
            ("devo_api", "mapping", "Devo is not asked", "Devo's query API, for `audit --devo`"),
        ],
    },
    Section {
        place: "globals.persistence",
        about: "",
        keys: &[
            (
                "type",
                "`filesystem`, `dynamodb`",
                "`filesystem`",
                "`dynamodb`: share objects and polled sources among hosts ([fleet](fleet.md)); the folder is needed too",
            ),
            ("required", "true, false", "true", "false: start without the ledger if it cannot be opened"),
            ("config", "mapping", NONE, "its location"),
        ],
    },
    Section {
        place: "globals.persistence.config",
        about: "All but the first are for `dynamodb`.",
        keys: &[
            (
                "directory_name",
                "folder",
                "`state`",
                "the ledger's folder, in the file's folder, or beside it if such a folder exists; for a file in `/etc/NAME`, in `/var/lib/NAME`; one per collector",
            ),
            ("table", "name", NONE, "needed with `dynamodb`: the table, the same for all hosts"),
            ("region", "region", NONE, "needed with `dynamodb`: the table's region"),
            (
                "claims",
                "true, false",
                "true",
                "false: objects are not claimed before they are collected, only remembered; see [fleet](fleet.md#cost)",
            ),
            ("credentials", "mapping", "the standard AWS chain", "as in `inputs.sqs_collector`"),
            ("endpoint_url", "URL", "AWS's", "scheme, host and port of DynamoDB and STS"),
            ("dynamodb_endpoint_url", "URL", "`endpoint_url`", "the same for DynamoDB alone"),
            ("sts_endpoint_url", "URL", "`endpoint_url`", "the same for STS alone"),
        ],
    },
    Section {
        place: "globals.status",
        about: "See [monitoring](monitoring.md).",
        keys: &[
            ("enabled", "true, false", "true", "serve the status page and the metrics"),
            ("address", "IP address", "127.0.0.1", "the address to listen on"),
            ("port", range!(numbers::PORT), "9600", NONE),
            ("hosts", "list of names", "the machine's name", "host names that browsers and scrapers may use"),
        ],
    },
    Section {
        place: "globals.audit",
        about: "Durations: `90s`, `30m`, `6h`, `14d`. See [audit](audit.md).",
        keys: &[
            ("enabled", "true, false", "true", NONE),
            ("every", "duration, 10 s to 7 d", "`1h`", "time from one audit to the next"),
            ("window", "duration, 1 m to 14 d", "`24h`", "length of the audited window"),
            (
                "delay",
                "duration, up to 7 d",
                "`30m`",
                "how long ago the window ends: newer objects may be in flight",
            ),
            ("fix", "true, false", "false", "send missing objects"),
            (
                "buckets",
                "list of `[INPUT=]NAME[/PREFIX]`",
                "location of the objects in the ledger",
                "location of the objects",
            ),
        ],
    },
    Section {
        place: "globals.devo_api",
        about: "See [audit](audit.md).",
        keys: &[
            ("region", "us, us3, eu, ca, apac", NEEDED, "region of the Devo domain"),
            ("url", "address", "address of the region", "another address of the API"),
            ("token_file", "file", NEEDED, "contains only a token for the query API"),
        ],
    },
    Section {
        place: "globals.internal_events",
        about: "See [monitoring](monitoring.md).",
        keys: &[
            ("enabled", "true, false", "true", NONE),
            ("tag", "text", NEEDED, "the Devo table"),
            ("output", "name", "all outputs", "the output that gets them"),
            (
                "period",
                seconds!(numbers::INTERNAL_EVENTS_PERIOD.range),
                default!(numbers::INTERNAL_EVENTS_PERIOD),
                "how often statistics are sent",
            ),
        ],
    },
    Section {
        place: "global_overrides",
        about: "",
        keys: &[
            ("debug", "true, false", "that of `globals`", "log more"),
            ("debug_status", "true, false", "that of `globals`", "the same"),
        ],
    },
    Section {
        place: "outputs.NAME",
        about: "",
        keys: &[
            (
                "type",
                "`devo_platform` (`DEVO`), `syslog` (`relay`), `console`",
                NEEDED,
                "destination of the events: Devo, a relay, standard output",
            ),
            ("enabled", "true, false", "true", NONE),
            ("config", "mapping", NONE, NONE),
        ],
    },
    Section {
        place: "outputs.NAME.config",
        about: "Paths are relative to the file's folder; certificates are also looked for in a folder `certs` in it or beside it.",
        keys: &[
            ("address", "host name or IP address", NEEDED, "`collector-us.devo.io`, or -eu, -ca, -ap"),
            ("port", range!(numbers::PORT), "443 for Devo, otherwise required", NONE),
            (
                "type",
                "`SSL` (`TLS`), `TCP` (`CLEAR`)",
                "`SSL` for Devo, or if `chain` is set",
                "the transport",
            ),
            (
                "chain",
                "PEM file",
                "required for Devo; otherwise the machine's authorities",
                "the only trusted authority",
            ),
            ("cert", "PEM file", "required for Devo", "client certificate"),
            ("key", "PEM file", "required for Devo", "its private key, not encrypted"),
            (
                "senders",
                range!(numbers::SENDERS.range),
                default!(numbers::SENDERS),
                "connections, each with a thread",
            ),
            (
                "max_senders",
                range!(numbers::MAX_SENDERS.range),
                const_format::concatcp!(default!(numbers::MAX_SENDERS), ", or `senders` if that is written"),
                "how many there may be while [they are the bottleneck](tuning.md#more-connections-while-they-are-the-bottleneck)",
            ),
            (
                "compression",
                "`gzip`, `none`",
                "`none`",
                "compress the connection; not for events of FIFO queues",
            ),
            (
                "compression_level",
                range!(numbers::COMPRESSION_LEVEL.range),
                default!(numbers::COMPRESSION_LEVEL),
                "with `gzip`",
            ),
            (
                "confirmation",
                "`acknowledgement`, `close`",
                "`close`",
                "proof that the peer has an event: [two ways](delivery.md#what-a-peer-must-show)",
            ),
            (
                "max_events_per_second",
                "from 1",
                "no limit",
                "average of the whole output; batches are sent whole",
            ),
            ("max_bytes_per_second", "from 1", "no limit", "the same; a batch has up to 262,144 bytes"),
        ],
    },
    Section {
        place: "inputs.sqs_collector",
        about: "A queue. For several, use any names that begin with `sqs_collector`.",
        keys: &[
            (
                "id",
                "text",
                "the input's name, with a warning",
                "state is stored under it: a new id starts from nothing",
            ),
            ("enabled", "true, false", "true", NONE),
            (
                "base_url",
                "URL",
                NEEDED,
                "the queue's URL, as SQS gives it: `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`. Hosts other than AWS's may have another path",
            ),
            ("region", "text", "from the URL", "the queue's region"),
            ("credentials", "mapping", "the standard AWS chain", "how it authenticates to AWS"),
            (
                "services",
                "mapping",
                NEEDED,
                "names mapped to services; the first one that matches an object's key gets it",
            ),
            (
                "ack_messages",
                "true, false",
                "true, with `do_not_send` false",
                "delete messages after delivery",
            ),
            ("direct_mode", "true, false", "false", "the message is the log itself; one service only"),
            ("do_not_send", "true, false", "false", "do everything except send"),
            (
                "sqs_visibility_timeout",
                seconds!(numbers::VISIBILITY_TIMEOUT.range),
                default!(numbers::VISIBILITY_TIMEOUT),
                "extended while a message is in flight",
            ),
            (
                "sqs_wait_timeout",
                seconds!(numbers::WAIT_TIMEOUT.range),
                default!(numbers::WAIT_TIMEOUT),
                "wait time of a long poll",
            ),
            ("sqs_max_messages", range!(numbers::MESSAGES.range), default!(numbers::MESSAGES), "per receive"),
            (
                "receivers",
                range!(numbers::RECEIVERS.range),
                default!(numbers::RECEIVERS),
                "threads that poll the queue",
            ),
            (
                "missing_object",
                "`retry`, `skip`",
                "`retry`",
                "what happens to a message whose object is missing",
            ),
            (
                "request_payer",
                "true, false",
                "false",
                "the caller pays for its requests to S3 (requester-pays buckets)",
            ),
            (
                "endpoint_url",
                "URL without path",
                "`AWS_ENDPOINT_URL`, else AWS's own",
                "a VPC endpoint, an emulator",
            ),
            ("sqs_endpoint_url", "the same", "`endpoint_url`, `AWS_ENDPOINT_URL_SQS`", "for SQS alone"),
            ("s3_endpoint_url", "the same", "`endpoint_url`, `AWS_ENDPOINT_URL_S3`", "for S3 alone"),
            ("sts_endpoint_url", "the same", "`endpoint_url`, `AWS_ENDPOINT_URL_STS`", "for STS alone"),
            (
                "cloudwatch_endpoint_url",
                "the same",
                "`endpoint_url`, `AWS_ENDPOINT_URL_CLOUDWATCH`",
                "for CloudWatch alone, which only `check --online` asks",
            ),
        ],
    },
    Section {
        place: "inputs.sqs_collector.credentials",
        about: "See [credentials](credentials.md). Each of the first three can be in a file of its own.",
        keys: &[
            ("aws_access_key_id", "text", NONE, "an access key, with the next one"),
            ("aws_secret_access_key", "text", NONE, NONE),
            ("aws_session_token", "text", NONE, "for a temporary key"),
            ("aws_access_key_id_file", "file", NONE, "one line"),
            ("aws_secret_access_key_file", "file", NONE, "one line"),
            ("aws_session_token_file", "file", NONE, "one line"),
            ("profile", "text", NONE, "a profile of the shared AWS files, instead of a key"),
            ("aws_base_account_role", "ARN", NONE, "a role to assume"),
            ("aws_cross_account_role", "ARN", NONE, "a role to assume after it"),
            (
                "aws_external_id",
                "text",
                NONE,
                "sent when the last role is assumed: 2 to 1224 letters, digits and `_+=,.@:/-`",
            ),
        ],
    },
    Section {
        place: "inputs.sqs_collector.services.NAME",
        about: "`{}` uses a built-in service unchanged; see [services](services.md), and [custom_service](custom_service.md) for each key.",
        keys: &[
            ("enabled", "true, false", "true", NONE),
            ("object_keys", "regular expression", "any key", "which objects belong to the service"),
            (
                "quiet_after",
                "duration, 1 m to 90 d",
                "learnt from the last two weeks",
                "warn if nothing is delivered for longer ([audit](audit.md#silence))",
            ),
            (
                "known_by",
                "mapping",
                "objects are not compared",
                "signature that distinguishes its log from others",
            ),
            ("filename_filter_rules", "list of lists", NONE, "objects that are not read"),
            ("encoding", "`gzip`, `none`, `latin-1`, `parquet`", "detected from the bytes", NONE),
            ("file_format", "mapping", "required for your own service", "the processor and its settings"),
            ("file_field_definitions", "mapping", NONE, "values from the object's key"),
            ("record_field_mapping", "mapping", NONE, "values from a record"),
            (
                "routing_template",
                "text",
                "required for your own service",
                "the Devo table, with fields in brackets",
            ),
            ("routing_cases", "list", NONE, "other tables for records that match"),
            ("line_filter_rules", "list of lists", NONE, "records that are not sent"),
            (
                "send_filtered_out_to_unknown",
                "true, false",
                "false",
                "send them to the table's `unknown` level instead",
            ),
            ("delegates", "list of names", NONE, "services that are tried first"),
            (
                "tests",
                "list",
                NONE,
                "samples and expected results: [`check` runs them](custom_service.md#tests)",
            ),
        ],
    },
    Section {
        place: "inputs.aws",
        about: "The AWS collector's services: [api_sources](api_sources.md). For several, use any names that begin with `aws`.",
        keys: &[
            ("id", "text", "the input's name, with a warning", "state is stored under it"),
            ("enabled", "true, false", "true", NONE),
            ("credentials", "mapping", "the standard AWS chain", "how it authenticates to AWS"),
            ("environment", "letters, digits, _ and -", NONE, "last level of tags"),
            ("requests_per_second", "a number above 0", "no limit", "for all its polled sources together"),
            ("request_payer", "true, false", "false", "like for an `sqs_collector`"),
            ("services", "mapping", NEEDED, "names mapped to services"),
            (
                "endpoint_url",
                "URL without path",
                "`AWS_ENDPOINT_URL`, else AWS's own",
                "`SERVICE_endpoint_url` for a single service",
            ),
        ],
    },
    Section {
        place: "inputs.aws.credentials",
        about: "As above, with the names of the AWS collector.",
        keys: &[
            ("access_key", "text", NONE, "an access key, with the next one"),
            ("access_secret", "text", NONE, NONE),
            ("session_token", "text", NONE, "for a temporary key"),
            ("access_key_file", "file", NONE, "one line"),
            ("access_secret_file", "file", NONE, "one line"),
            ("session_token_file", "file", NONE, "one line"),
            ("profile", "text", NONE, "a profile of the shared AWS files, instead of a key"),
            ("base_assume_role", "ARN", NONE, "a role to assume"),
            ("target_assume_role", "ARN", NONE, "a role to assume after it"),
            (
                "assume_role_external_id",
                "text",
                NONE,
                "sent when the last role is assumed: 2 to 1224 letters, digits and `_+=,.@:/-`",
            ),
        ],
    },
    Section {
        place: "inputs.aws.services.NAME",
        about: "[api_sources](api_sources.md) says which of them a service has.",
        keys: &[
            ("enabled", "true, false", "true", NONE),
            ("types", "list", "the service's usual ones", "which of its feeds to read"),
            ("regions", "list", NEEDED, "each is read separately"),
            ("tag", "text", "the service's table", "with placeholders in braces"),
            (
                "request_period_in_seconds",
                seconds!(numbers::REQUEST_PERIOD.range),
                default!(numbers::REQUEST_PERIOD),
                "from the start of one pull to the start of the next",
            ),
            (
                "pull_retries",
                range!(numbers::PULL_RETRIES.range),
                default!(numbers::PULL_RETRIES),
                "retries of a call in one pull",
            ),
            (
                "start_time",
                "UTC time",
                NONE,
                "nothing older is read; older objects that a queue announces are acknowledged and left out",
            ),
            ("auto_event_type", "true, false", "false", "use the event's own type in the tag"),
            (
                "tests",
                "list",
                NONE,
                "samples of an object and what must become of them, for the first of its feeds: [`check` runs them](custom_service.md#tests)",
            ),
            ("event_type_processor_mapping", "mapping", NONE, "tags for some event types"),
            ("event_type_file_regex_patterns", "mapping", NONE, "types derived from object keys"),
            (
                "cloudwatch_sqs_queue_name",
                "text",
                "`service-events-all`: `dc-aws-cloudwatch-<id>.fifo`, otherwise required by its services",
                "the queue's name; any other key that ends with `sqs_queue_name` also names a service's queue",
            ),
            ("audit_sqs_queue_name", "text", "required by its service", "the queue's name"),
            ("vpcflowlogs_sqs_queue_name", "text", "required by its service", "the queue's name"),
            ("cloudfrontlogs_sqs_queue_name", "text", "required by its service", "the queue's name"),
            ("cisco_umbrella_sqs_queue_name", "text", "required by its service", "the queue's name"),
            (
                "gap_until_now_in_minutes",
                range!(numbers::GAP.range),
                default!(numbers::GAP),
                "how late events may be",
            ),
            (
                "time_slot_in_hours",
                range!(numbers::TIME_SLOT.range),
                default!(numbers::TIME_SLOT),
                "length of one look-up",
            ),
            ("sources", "text or list", "`all_sources`", "only these event sources"),
            ("drop_event_names", "list", NONE, "events that are not sent"),
            ("metric_namespaces", "list", "all", "only these namespaces"),
            (
                "metric_units",
                "true, false",
                "true",
                "each datapoint has its `Unit`, which takes one call per metric",
            ),
            ("log_group", "text", "required by a service of the type `logs`", "`/`: all groups"),
            (
                "shards",
                range!(numbers::LOG_SHARDS.range),
                default!(numbers::LOG_SHARDS),
                "with `log_group: /`: sources among which the groups are divided, for [several hosts](fleet.md#log-groups)",
            ),
            (
                "use_first_optimized_retrieval",
                "true, false",
                "false",
                "on the first read, read only a group's streams that may have events",
            ),
        ],
    },
];

/// The keys of a place.
pub fn of(place: &str) -> impl Iterator<Item = &'static str> {
    let sections = SECTIONS.iter().filter(move |section| section.place == place);
    sections.flat_map(|section| section.keys.iter().map(|(key, ..)| *key)).collect::<Vec<_>>().into_iter()
}

/// Returns all sections with their tables.
pub fn markdown() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        let title =
            if section.place.is_empty() { "The file".to_owned() } else { format!("`{}`", section.place) };
        text.push_str(&format!("\n## {title}\n\n"));
        if !section.about.is_empty() {
            text.push_str(&format!("{}\n\n", section.about));
        }
        text.push_str("| key | type | default | |\n|---|---|---|---|\n");
        for (key, kind, default, about) in section.keys {
            text.push_str(&format!("| `{key}` | {kind} | {default} | {about} |\n"));
        }
    }
    text + "\n"
}
