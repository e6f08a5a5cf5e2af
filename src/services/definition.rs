//! The definition of a service after its row, or the user's file, has been read: valid by construction.

use std::sync::Arc;
use std::time::Duration;

use super::field::Field;
use super::rules::{FieldSource, FileRule, LineRule, Rules};
use super::template::Template;
use crate::decode::{Format, Pattern};

/// A service, built-in or the user's own.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Name in the configuration: `aws_sqs_vpc`.
    pub name: String,
    /// The object keys that belong to it, if several services share a queue. None: any.
    pub object_keys: Option<Pattern>,
    pub format: Format,
    /// [`Format::name`], which is costly.
    pub format_name: String,
    /// Objects that are acknowledged without being fetched (`filename_filter_rules`).
    pub skip_objects: Rules<FileRule>,
    /// Values taken from the object's key (`file_field_definitions`).
    pub file_fields: Vec<Field>,
    /// Values taken from a record or its envelope (`record_field_mapping`).
    pub record_fields: Vec<Field>,
    /// Records that are not sent (`line_filter_rules`).
    pub drop_records: Rules<LineRule>,
    /// Dropped records go to the table's `unknown` level instead (`send_filtered_out_to_unknown`).
    pub send_dropped_to_unknown: bool,
    /// Other templates for records or objects that match; the first wins (`routing_cases`).
    pub cases: Vec<Case>,
    /// The Devo tag (`routing_template`).
    pub template: Template,
    /// Services that are tried first (`delegates`): an object that one of them claims is that service's own.
    pub delegates: Vec<Arc<Definition>>,
    /// The time without deliveries after which a warning is raised (`quiet_after`). None if it is learnt.
    pub quiet_after: Option<Duration>,
}

/// A separate template for some of a service's records.
#[derive(Debug, Clone)]
pub struct Case {
    pub when: Rules<LineRule>,
    pub template: Template,
}

impl Definition {
    /// True if the object is acknowledged without a GET.
    pub fn skips(&self, key: &str) -> bool {
        let skips = |definition: &Definition| definition.skip_objects.any(|rule| rule.holds(key));
        skips(self) || self.delegate(key).is_some_and(|delegate| skips(delegate))
    }

    /// The pattern of the rule that skips the object, if any.
    pub fn skipping_rule(&self, key: &str) -> Option<&str> {
        let own =
            self.skip_objects.0.iter().find(|all| !all.is_empty() && all.iter().all(|rule| rule.holds(key)));
        let rule = own.and_then(|all| all.first()).map(|rule| rule.pattern.as_str());
        rule.or_else(|| self.delegate(key)?.skipping_rule(key))
    }

    /// The definition that says how the object is read and where it goes: its own, or a delegate's.
    pub fn of_object(self: &Arc<Self>, key: &str) -> Arc<Definition> {
        Arc::clone(self.delegate(key).unwrap_or(self))
    }

    fn delegate(&self, key: &str) -> Option<&Arc<Definition>> {
        self.delegates.iter().find(|delegate| delegate.claims(key))
    }

    /// True if each record must be read to find its tag.
    pub fn reads_records(&self) -> bool {
        let of_record = |rule: &LineRule| rule.source == FieldSource::Record;
        !self.drop_records.is_empty()
            || self.template.reads_records()
            || self
                .cases
                .iter()
                .any(|case| case.template.reads_records() || case.when.0.iter().flatten().any(of_record))
    }

    /// The template for an object with this key, with the values from the key filled in.
    pub fn shown_template(&self, key: &str) -> String {
        let values: Vec<_> = self.file_fields.iter().map(|field| field.of_key(key)).collect();
        self.template.shown(|source, index| match source {
            FieldSource::File => values[index].as_deref(),
            FieldSource::Record => None,
        })
    }

    /// True if one of its tags always needs the account of the input's credentials.
    pub fn needs_account(&self) -> bool {
        self.any_template(Template::needs_account)
    }

    /// True if one of its tags may need the account of the input's credentials.
    pub fn uses_account(&self) -> bool {
        self.any_template(Template::uses_account)
    }

    fn any_template(&self, holds: fn(&Template) -> bool) -> bool {
        let mut templates = self.cases.iter().map(|case| &case.template).chain([&self.template]);
        templates.any(holds) || self.delegates.iter().any(|delegate| delegate.any_template(holds))
    }

    /// True if an object with this key may belong to this service. Used only if services share a queue.
    pub fn claims(&self, key: &str) -> bool {
        // A pattern without an answer claims nothing: an unclaimed object stays in the queue.
        let fits = |pattern: &Pattern| pattern.is_match(key).unwrap_or(false);
        self.object_keys.as_ref().is_none_or(fits) || self.delegate(key).is_some()
    }
}
