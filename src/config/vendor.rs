//! The vendor's own errors: type, id and message from the tables under "Troubleshooting" on the AWS collector's page.
//! `check`, the start of `run` and docs/troubleshooting.md print the same table.
//!
//! The vendor counts ids separately for each kind of service, so the same fault has several; the row is selected by the
//! place and kind of our own problem.

use std::fmt;

use super::kind::Kind;

/// An error of the vendor's, and its place here.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub class: Class,
    pub id: u32,
    /// The message; `{path}` is replaced by the key's whole path.
    pub message: &'static str,
    pub kind: Kind,
    /// The place: keys with dots between them; `*` is any key, or the start of one. After `definitions: ` a row of the
    /// definitions file.
    pub place: &'static str,
    /// The fix.
    pub advice: &'static str,
}

/// The vendor's error types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Input,
    Service,
    Queue,
    Definition,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Input => "AwsInputConfigurationError",
            Class::Service => "AwsServiceConfigurationError",
            Class::Queue => "AwsQueueException",
            Class::Definition => "AwsModuleDefinitionError",
        })
    }
}

const MISSING: &str = r#""{path}" mandatory property is missing or empty"#;
const NO_MAPPING: &str = r#""{path}" property must be a dictionary"#;
const NO_STRING: &str = r#""{path}" property must be a string"#;
const NO_INTEGER: &str = r#""{path}" property must be an integer"#;
const NO_LIST: &str = r#""{path}" property must be a list"#;
const NO_BOOLEAN: &str = r#""{path}" property must be a boolean"#;
const BAD_TIME: &str = r#"The property "{path}" from configuration is having a wrong format, expected pattern: "YYYY-mm-ddTHH:MM:SSZ""#;

const TIME_ADVICE: &str = "write the time in UTC, such as 2026-01-31T00:00:00Z";
const TAG_ADVICE: &str = "write a table, such as my.app.aws.events; placeholders are in braces";
const SERVICE_ADVICE: &str = "write a service's keys as a mapping; {} uses all defaults";
const AUTO_ADVICE: &str = "write true or false";

/// The rows; the first match wins. A test produces each with a bad file.
pub static ROWS: &[Row] = &[
    of(Class::Input, 1, MISSING, Kind::Missing, "inputs", "write at least one enabled input under inputs"),
    of(
        Class::Input,
        2,
        NO_MAPPING,
        Kind::WrongType,
        "inputs",
        "write the inputs as a mapping of names to inputs",
    ),
    of(Class::Input, 2, NO_MAPPING, Kind::WrongType, "inputs.*", "write the input's keys as a mapping"),
    of(Class::Service, 1, MISSING, Kind::Missing, "inputs.*.services", "write at least one enabled service"),
    of(
        Class::Service,
        2,
        NO_MAPPING,
        Kind::WrongType,
        "inputs.*.services",
        "write a mapping of services' names",
    ),
    of(Class::Service, 8, NO_MAPPING, Kind::WrongType, "inputs.aws*.services.metrics-all", SERVICE_ADVICE),
    of(Class::Service, 2, NO_MAPPING, Kind::WrongType, "inputs.*.services.*", SERVICE_ADVICE),
    // Any service of a queue and its objects.
    of(
        Class::Service,
        4,
        MISSING,
        Kind::Missing,
        "inputs.aws*.services.*.*_queue_name",
        "write the queue's name, without its URL",
    ),
    of(
        Class::Service,
        5,
        NO_STRING,
        Kind::WrongType,
        "inputs.aws*.services.*.*_queue_name",
        "write one name, in quotes if it is a number",
    ),
    // Audit events.
    of(
        Class::Service,
        4,
        r#""{path}" property exists but with wrong format, only "str" or "list" values are allowed"#,
        Kind::WrongType,
        "inputs.aws*.services.audit-events-all.sources",
        "write one source, such as ec2.amazonaws.com, or a list of them",
    ),
    of(
        Class::Service,
        5,
        NO_INTEGER,
        Kind::WrongType,
        "inputs.aws*.services.audit-events-all.gap_until_now_in_minutes",
        "write a whole number of minutes",
    ),
    of(
        Class::Service,
        6,
        NO_STRING,
        Kind::WrongType,
        "inputs.aws*.services.audit-events-all.start_time",
        TIME_ADVICE,
    ),
    of(
        Class::Service,
        7,
        BAD_TIME,
        Kind::Invalid,
        "inputs.aws*.services.audit-events-all.start_time",
        TIME_ADVICE,
    ),
    of(
        Class::Service,
        8,
        NO_LIST,
        Kind::WrongType,
        "inputs.aws*.services.audit-events-all.drop_event_names",
        "write a list of event names",
    ),
    of(
        Class::Service,
        9,
        NO_STRING,
        Kind::WrongType,
        "inputs.aws*.services.audit-events-all.auto_event_type",
        AUTO_ADVICE,
    ),
    of(
        Class::Service,
        10,
        r#""{path}" property must be integer"#,
        Kind::WrongType,
        "inputs.aws*.services.audit-events-all.time_slot_in_hours",
        "write a whole number of hours",
    ),
    // Metrics.
    of(
        Class::Service,
        0,
        r#"Mandatory property "metric_namespaces" property must be a list"#,
        Kind::WrongType,
        "inputs.aws*.services.metrics-all.metric_namespaces",
        "write a list of namespaces, such as [AWS/EC2]",
    ),
    of(
        Class::Service,
        1,
        r#"When a service uses "metrics" type, the property "request_period_in_seconds" must have one of the following values: 1, 5, 10, 30, 60, or any multiple of 60"#,
        Kind::Invalid,
        "inputs.aws*.services.metrics-all.request_period_in_seconds",
        "write 1, 5, 10, 30, 60 or a multiple of 60",
    ),
    of(
        Class::Service,
        4,
        NO_STRING,
        Kind::WrongType,
        "inputs.aws*.services.metrics-all.start_time",
        TIME_ADVICE,
    ),
    of(
        Class::Service,
        4,
        BAD_TIME,
        Kind::Invalid,
        "inputs.aws*.services.metrics-all.start_time",
        TIME_ADVICE,
    ),
    of(Class::Service, 8, NO_STRING, Kind::WrongType, "inputs.aws*.services.metrics-all.tag", TAG_ADVICE),
    // Log groups, under a name of the user's.
    of(
        Class::Service,
        1,
        MISSING,
        Kind::Missing,
        "inputs.aws*.services.*.log_group",
        "write the log group's name; / reads all of them",
    ),
    of(
        Class::Service,
        1,
        NO_STRING,
        Kind::WrongType,
        "inputs.aws*.services.*.log_group",
        "write one log group's name; for several, write several services",
    ),
    of(
        Class::Service,
        43,
        NO_BOOLEAN,
        Kind::WrongType,
        "inputs.aws*.services.*.use_first_optimized_retrieval",
        AUTO_ADVICE,
    ),
    // Keys of all services.
    of(Class::Service, 3, NO_STRING, Kind::WrongType, "inputs.aws*.services.*.tag", TAG_ADVICE),
    of(Class::Service, 7, NO_STRING, Kind::WrongType, "inputs.aws*.services.*.auto_event_type", AUTO_ADVICE),
    of(Class::Service, 7, NO_STRING, Kind::WrongType, "inputs.aws*.services.*.start_time", TIME_ADVICE),
    of(Class::Service, 8, BAD_TIME, Kind::Invalid, "inputs.aws*.services.*.start_time", TIME_ADVICE),
    of(
        Class::Queue,
        0,
        r#"Queue "{queue}" used by service "{service}" in "{region}" region is not available: reason: {reason}"#,
        Kind::Queue,
        "inputs.*",
        "check the queue's name and region, and read the reason: it names the call, the key and what is missing in AWS",
    ),
    // The definitions file (globals.definitions).
    of(Class::Definition, 2, NO_MAPPING, Kind::WrongType, "definitions: *", SERVICE_ADVICE),
    of(Class::Definition, 3, MISSING, Kind::Missing, "definitions: *.routing_template", TAG_ADVICE),
    of(Class::Definition, 4, NO_STRING, Kind::WrongType, "definitions: *.routing_template", TAG_ADVICE),
    of(
        Class::Definition,
        6,
        r#""{path}" property is containing some unexpected placeholders"#,
        Kind::Invalid,
        "definitions: *.routing_template",
        "fields are in brackets: [record-NAME] or [file-NAME], each defined under that name",
    ),
    of(
        Class::Definition,
        21,
        MISSING,
        Kind::Missing,
        "definitions: *.file_format",
        "write \"file_format\": {\"type\": …}, the processor",
    ),
    of(
        Class::Definition,
        22,
        NO_MAPPING,
        Kind::WrongType,
        "definitions: *.file_format",
        "write \"file_format\": {\"type\": …}, the processor",
    ),
    of(
        Class::Definition,
        26,
        MISSING,
        Kind::Missing,
        "definitions: *.file_format.type",
        "write a processor's name, such as line_split_processor",
    ),
    of(
        Class::Definition,
        27,
        NO_STRING,
        Kind::WrongType,
        "definitions: *.file_format.type",
        "write a processor's name, such as line_split_processor",
    ),
];

/// Errors of the vendor's that cannot occur here.
#[derive(Debug, Clone, Copy)]
pub struct Never {
    pub class: &'static str,
    pub ids: &'static str,
    /// The vendor's key, or the message.
    pub about: &'static str,
    pub why: &'static str,
}

const INTERNAL: &str = "the vendor keeps it in its own service definitions; here they are part of the program, so no file can get them wrong";

pub const NEVER: &[Never] = &[
    never(
        "AwsInputConfigurationError",
        "0",
        "`requests_per_second` is missing",
        "without it there is no limit of our own",
    ),
    never(
        "AwsServiceConfigurationError",
        "0",
        "`metric_namespaces` is missing",
        "without it all namespaces are read",
    ),
    never(
        "AwsServiceConfigurationError",
        "1, 2",
        "`start_time` of custom logs",
        "a service of log groups has a name of the user's and counts like any other: 8 and 7",
    ),
    never(
        "AwsServiceConfigurationError",
        "6",
        "a queue's name must be a string",
        "it is reported as 5, as in the vendor's other tables",
    ),
    never("AwsModuleDefinitionError", "1", "`module_properties` are missing", INTERNAL),
    never(
        "AwsModuleDefinitionError",
        "5",
        "`tag_base` must have all placeholders",
        "a table needs no placeholders",
    ),
    never(
        "AwsModuleDefinitionError",
        "5, 26, 27",
        "`event_type_extracting_regex`, `event_type_source_field_name`",
        INTERNAL,
    ),
    never(
        "AwsModuleDefinitionError",
        "7 to 12",
        "`event_type_default`, `enable_auto_event_type`, `enable_auto_event_type_config_key`",
        INTERNAL,
    ),
    never("AwsModuleDefinitionError", "7 to 15", "`start_time_regex`", INTERNAL),
    never(
        "AwsModuleDefinitionError",
        "10 to 15",
        "`sqs_queue_custom_name_key`, `sqs_queue_required_default_name`, `sqs_queue_default_name`",
        INTERNAL,
    ),
    never(
        "AwsModuleDefinitionError",
        "16 to 23",
        "`gap_until_now_in_minutes`, `time_slot_in_hours`, `sources`",
        INTERNAL,
    ),
    never("AwsModuleDefinitionError", "31 to 36", "`event_type_processor_mapping`", INTERNAL),
    never(
        "AwsServiceDefinitionException",
        "1, 2, 5, 6",
        "`module_properties`, `metric_namespace`, `tag_base`",
        INTERNAL,
    ),
];

const fn never(class: &'static str, ids: &'static str, about: &'static str, why: &'static str) -> Never {
    Never { class, ids, about, why }
}

const fn of(
    class: Class,
    id: u32,
    message: &'static str,
    kind: Kind,
    place: &'static str,
    advice: &'static str,
) -> Row {
    Row { class, id, message, kind, place, advice }
}

/// Returns all rows as a Markdown table, for the documentation.
pub fn markdown() -> String {
    let mut text = "| the vendor's error | id | message | where | fix |\n|---|---|---|---|---|\n".to_owned();
    for row in ROWS {
        let place =
            if row.kind == Kind::Queue { "`check --online`".to_owned() } else { format!("`{}`", row.place) };
        text.push_str(&format!(
            "| {} | {} | `{}` | {place} | {} |\n",
            row.class, row.id, row.message, row.advice
        ));
    }
    text
}

/// Returns the errors that cannot occur as a Markdown table.
pub fn never_markdown() -> String {
    let mut text = "| the vendor's error | id | about | why not here |\n|---|---|---|---|\n".to_owned();
    for Never { class, ids, about, why } in NEVER {
        text.push_str(&format!("| {class} | {ids} | {about} | {why} |\n"));
    }
    text
}

/// The vendor's error for a problem of this kind at this place, if it has one.
pub fn row(kind: Kind, path: &str) -> Option<&'static Row> {
    let (file, path) = split(path);
    ROWS.iter().find(|row| row.kind == kind && row.fits(file.is_some(), path))
}

/// The name of a file other than the configuration, if the path begins with one, and the path in it.
fn split(path: &str) -> (Option<&str>, &str) {
    path.rsplit_once(": ").map_or((None, path), |(file, path)| (Some(file), path))
}

/// The vendor's error for a queue that does not answer.
pub fn queue_words(queue: &str, service: &str, region: &str, reason: &str) -> Option<String> {
    let row = ROWS.iter().find(|row| row.kind == Kind::Queue)?;
    Some(row.say(&[("queue", queue), ("service", service), ("region", region), ("reason", reason)]))
}

impl Row {
    /// The vendor's error for the problem at this path.
    pub fn words(&self, path: &str) -> String {
        self.say(&[("path", split(path).1)])
    }

    fn say(&self, values: &[(&str, &str)]) -> String {
        let filled = values.iter().fold(self.message.to_owned(), |message, (name, value)| {
            message.replace(&format!("{{{name}}}"), value)
        });
        format!("{} {}: {filled}", self.class, self.id)
    }

    fn fits(&self, is_in_file: bool, path: &str) -> bool {
        match self.place.strip_prefix("definitions: ") {
            Some(place) => is_in_file && fits(place, path),
            None => !is_in_file && fits(self.place, path),
        }
    }
}

/// Compares key by key; a key of the path may have an index (`regions[0]`), which no place has.
fn fits(place: &str, path: &str) -> bool {
    let (mut wanted, mut keys) = (place.split('.'), path.split('.'));
    loop {
        match (wanted.next(), keys.next()) {
            (None, None) => return true,
            (Some(wanted), Some(key)) if is_like(wanted, key) => {}
            _ => return false,
        }
    }
}

fn is_like(wanted: &str, key: &str) -> bool {
    match wanted.split_once('*') {
        Some((start, end)) => {
            key.len() >= start.len() + end.len() && key.starts_with(start) && key.ends_with(end)
        }
        None => wanted == key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: Kind, path: &str) -> String {
        row(kind, path).map(|row| row.words(path)).unwrap_or_default()
    }

    #[test]
    fn a_problem_has_the_vendors_words() {
        assert_eq!(
            said(Kind::Missing, "inputs.sqs_collector.services"),
            r#"AwsServiceConfigurationError 1: "inputs.sqs_collector.services" mandatory property is missing or empty"#
        );
        let audit = "inputs.aws.services.audit-events-all.start_time";
        assert!(said(Kind::Invalid, audit).starts_with("AwsServiceConfigurationError 7: "));
        let flow = "inputs.aws_2.services.non-cloudwatch-logs.start_time";
        assert!(said(Kind::Invalid, flow).starts_with("AwsServiceConfigurationError 8: "));
        let queue = "inputs.aws.services.service-events-all.cloudwatch_sqs_queue_name";
        assert!(said(Kind::Missing, queue).starts_with("AwsServiceConfigurationError 4: "));
        assert_eq!(said(Kind::UnknownKey, audit), "");
        assert_eq!(said(Kind::Missing, "inputs.sqs_collector.base_url"), "");
    }

    #[test]
    fn a_definitions_file_has_words_of_its_own() {
        let path = "/etc/my: services.yaml: shop_orders.routing_template";
        assert_eq!(
            said(Kind::Missing, path),
            r#"AwsModuleDefinitionError 3: "shop_orders.routing_template" mandatory property is missing or empty"#
        );
        assert_eq!(said(Kind::Missing, "inputs.x.services.shop_orders.routing_template"), "");
    }

    #[test]
    fn every_row_can_be_found() {
        for row in ROWS.iter().filter(|row| row.kind != Kind::Queue) {
            let path = match row.place.strip_prefix("definitions: ") {
                Some(place) => format!("file: {}", place.replace('*', "x")),
                None => row.place.replace('*', "x"),
            };
            let said = said(row.kind, &path);
            assert!(said.starts_with(&format!("{} {}: ", row.class, row.id)), "{}: {said}", row.place);
        }
        let words = queue_words("q", "aws_sqs_vpc", "eu-west-3", "gone").unwrap();
        assert!(words.ends_with(
            r#"Queue "q" used by service "aws_sqs_vpc" in "eu-west-3" region is not available: reason: gone"#
        ));
    }

    proptest::proptest! {
        #[test]
        fn no_path_makes_it_panic(path in ".*|([a-z*.: ]{0,40})") {
            row(Kind::Missing, &path);
        }
    }
}
