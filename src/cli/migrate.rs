//! `check --migrate`: the keys of the vendor's file and their meaning here, side by side.

use crate::config::Problem;
use crate::services::Definition;
use crate::services::field::Field;
use crate::services::rules::{FieldSource as Place, FileRule, LineRule, Rules};
use crate::services::template::Template;
use crate::settings::{Api, Config, Credentials, Input, Source};

/// The vendor's own AWS account, as its documents name it. Only the vendor's hosts can assume its roles.
const VENDORS_ACCOUNT: &str = "837131528613";
/// The beginning of the warning about a key without effect.
const IGNORED: &str = "has no effect here";

/// The whole text. `warnings` are those of the file.
pub fn text(config: &Config, warnings: &[Problem]) -> String {
    let mut lines = Vec::new();
    for input in &config.inputs {
        lines.push(format!("inputs.{}", input.key));
        lines.extend(of_input(input));
    }
    for source in &config.sources {
        lines.push(format!("{} in {}", source.path, source.region));
        lines.extend(of_source(source));
    }
    lines.push("outputs".to_owned());
    for output in &config.outputs {
        lines.push(side(
            "",
            &output.name,
            &format!("{}, {} connections", output.destination, output.senders),
        ));
    }
    lines.push(side(
        "",
        "the vendor's state",
        "is not read: the ledger remembers deliveries from the first start on",
    ));
    let ignored: Vec<&str> = warnings
        .iter()
        .filter(|warning| warning.message.starts_with(IGNORED))
        .map(|warning| warning.path.as_str())
        .collect();
    if !ignored.is_empty() {
        lines.push(String::new());
        lines.push(format!("Without effect here, and harmless: {}", ignored.join(", ")));
    }
    lines.join("\n") + "\n"
}

fn of_input(input: &Input) -> Vec<String> {
    let mut lines = vec![
        side("", "base_url", &format!("the queue {} in {}", input.queue.identity(), input.region)),
        side(
            "",
            "sqs_visibility_timeout",
            &format!(
                "{} s for each receive, instead of the queue's own; extended while the message is in flight",
                input.visibility_timeout.as_secs()
            ),
        ),
        side(
            "",
            "ack_messages",
            if input.ack_messages {
                "a message is deleted after delivery"
            } else {
                "messages stay in the queue"
            },
        ),
    ];
    lines.extend(of_credentials(&input.credentials));
    lines.extend(
        input
            .start_time
            .map(|time| side("", "start_time", &format!("objects written before {time} are skipped"))),
    );
    for service in &input.services {
        lines.extend(of_service(service));
    }
    lines
}

fn of_source(source: &Source) -> Vec<String> {
    let start = match &source.api {
        Api::CloudTrail(api) => api.start_time,
        Api::Metrics(api) => api.start_time,
        Api::Logs(api) => api.start_time,
        Api::GuardDuty(api) => api.start_time,
    };
    let reads = format!("{}, every {} s", source.reads, source.period.as_secs());
    let start = match start {
        Some(time) => format!(
            "! everything newer than {time} is sent, including what the vendor's collector has sent: write the time of the cut-over"
        ),
        None if matches!(source.api, Api::GuardDuty(_)) => {
            "! all existing findings are sent, including those sent before: write the time of the cut-over"
                .to_owned()
        }
        None => "reads from its first start on".to_owned(),
    };
    let mut lines = vec![side("", "reads", &reads), side("", "start_time", &start)];
    lines.extend(of_credentials(&source.credentials));
    lines.push(side("", "table", &in_words(&source.service.template)));
    lines
}

fn of_credentials(credentials: &Credentials) -> Vec<String> {
    let roles =
        [("base role", &credentials.base_role), ("cross-account role", &credentials.cross_account_role)];
    let mut lines: Vec<String> = roles
        .into_iter()
        .filter_map(|(name, role)| Some((name, role.as_ref()?)))
        .map(|(name, role)| match role.split(':').nth(4) {
            Some(VENDORS_ACCOUNT) => side(
                "",
                name,
                &format!("! {role} belongs to Devo's own account, and only Devo's hosts can assume it: omit it on your own host"),
            ),
            _ => side("", name, role),
        })
        .collect();
    if credentials.key.is_none() && credentials.profile.is_none() {
        lines.push(side(
            "",
            "credentials",
            "the standard AWS chain: environment, profiles, web identity, container, instance",
        ));
    }
    lines
}

fn of_service(service: &Definition) -> Vec<String> {
    let mut lines = vec![side("  ", &service.name, &in_words(&service.template))];
    for case in &service.cases {
        let when = line_rules(&case.when, service);
        lines.push(side("  ", "", &format!("{}, if {when}", in_words(&case.template))));
    }
    if let Some(keys) = &service.object_keys {
        lines.push(side("  ", "", &format!("objects whose key matches {}", keys.as_str())));
    }
    if !service.skip_objects.is_empty() {
        lines.push(side(
            "  ",
            "",
            &format!("except objects whose key {}", file_rules(&service.skip_objects)),
        ));
    }
    if !service.drop_records.is_empty() {
        let fate = if service.send_dropped_to_unknown { "to the table's unknown level" } else { "not sent" };
        lines.push(side(
            "  ",
            "",
            &format!("{fate}: records whose {}", line_rules(&service.drop_records, service)),
        ));
    }
    lines
}

fn file_rules(rules: &Rules<FileRule>) -> String {
    alternatives(rules, |rule| {
        let verb = if rule.negated { "does not match" } else { "matches" };
        format!("{verb} {}", rule.pattern.as_str())
    })
}

fn line_rules(rules: &Rules<LineRule>, service: &Definition) -> String {
    alternatives(rules, |rule| {
        let fields = match rule.source {
            Place::File => &service.file_fields,
            Place::Record => &service.record_fields,
        };
        let name = fields.get(rule.field).map_or("", |field: &Field| field.name.as_str());
        let verb = if rule.negated { "is not" } else { "is" };
        format!("{name} {verb} {:?}", rule.value)
    })
}

fn alternatives<T>(rules: &Rules<T>, shown: impl Fn(&T) -> String) -> String {
    let all: Vec<String> =
        rules.0.iter().map(|all| all.iter().map(&shown).collect::<Vec<_>>().join(" and ")).collect();
    all.join(", or ")
}

/// `cloud.aws.cloudtrail.<event source>` for `cloud.aws.cloudtrail.[record-event_source]`.
fn in_words(template: &Template) -> String {
    let written = template.to_string();
    let mut words = String::new();
    let mut rest = written.as_str();
    while let Some((before, after)) = rest.split_once('[') {
        let (hole, behind) = after.split_once(']').unwrap_or((after, ""));
        let first = hole.split('|').next().unwrap_or_default();
        let name = first.split_once('-').map_or(first, |(_, name)| name);
        words.push_str(before);
        words.push_str(&format!("<{}>", name.replace('_', " ")));
        rest = behind;
    }
    words + rest
}

fn side(indent: &str, left: &str, right: &str) -> String {
    format!("  {indent}{left:<28} {right}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Environment};

    #[test]
    fn a_file_of_the_vendor_s_in_words() {
        let file = "{globals: {multiprocessing: true}, outputs: {c: {type: console}}, inputs: {
            sqs_collector: {id: 1, base_url: 'https://sqs.us-west-1.amazonaws.com/111111111111/q', sqs_visibility_timeout: 240,
              credentials: {aws_base_account_role: 'arn:aws:iam::837131528613:role/devo-xaccount-cs-role'},
              services: {aws_sqs_cloudtrail: {}, aws_sqs_fdr: {}}},
            aws: {id: 2, services: {audit-events-all: {regions: [us-east-1], start_time: '2026-01-01T00:00:00Z'},
                                    aws-guardduty: {regions: [us-east-1]}}}}}";
        let loaded = config::parse(file, Path::new("/"), &Environment::here()).unwrap();
        let text = text(&loaded.config, &loaded.warnings);
        for part in [
            "cloud.aws.cloudtrail.<event source>",
            "cloud.aws.cloudtrail.insights, if event_category is \"Insight\"",
            "except objects whose key matches CloudTrail-Digest",
            "240 s for each receive",
            "! arn:aws:iam::837131528613:role/devo-xaccount-cs-role belongs to Devo's own account",
            "! everything newer than 2026-01-01T00:00:00Z is sent",
            "! all existing findings are sent",
            "Without effect here, and harmless: globals.multiprocessing",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("[record-") && !text.contains("[input-"), "{text}");
    }
}
