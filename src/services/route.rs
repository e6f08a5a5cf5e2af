//! Record -> its destination: dropped, or a tag.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use super::definition::Definition;
use super::field::{Field, Place};
use super::rules::{FieldSource, LineRule, Rules};
use super::template::{Filled, Template};
use crate::base::limits::KNOWN_VALUE_BYTES_MAX;
use crate::decode::{Newlines, Record};

/// A definition applied to one object: everything that depends on the object's key alone is decided already.
#[derive(Debug)]
pub struct Route<'d> {
    definition: &'d Definition,
    values: Values<'d>,
    /// The records need not be read: `tag` and `filled` apply to all of them.
    fixed: bool,
    tag: String,
    filled: Filled,
    /// The account of the input's credentials, if it is known.
    account: Option<&'d str>,
}

/// The decision about a record.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<'r> {
    /// A filter rule names it.
    Drop,
    /// With the state of the values in its tag.
    Send { tag: &'r str, filled: Filled },
}

/// Replaces a record that need not be read.
const NOTHING: Record<'_> = Record::new(b"", Newlines::Absent);

impl<'d> Route<'d> {
    pub fn new(definition: &'d Definition, key: &str) -> Route<'d> {
        Route::of_account(None, definition, key)
    }

    /// Creates it for an object read with credentials of `account`. None if unknown.
    pub fn of_account(account: Option<&'d str>, definition: &'d Definition, key: &str) -> Route<'d> {
        let values = Values::of_object(definition, key);
        let (tag, filled) = (String::new(), Filled::default());
        let mut route = Route { definition, values, fixed: false, tag, filled, account };
        if !definition.reads_records() {
            route.fill_tag(NOTHING);
            route.fixed = true;
        }
        route
    }

    /// The decision about all records, if it depends on the object alone.
    pub fn fixed(&self) -> Option<Filled> {
        self.fixed.then_some(self.filled)
    }

    /// Decides about one record.
    pub fn verdict(&mut self, record: Record<'_>) -> Verdict<'_> {
        if !self.fixed {
            self.values.next_record();
            if self.values.any(&self.definition.drop_records, record) {
                if !self.definition.send_dropped_to_unknown {
                    return Verdict::Drop;
                }
                self.tag = self.definition.template.unknown();
                self.filled = Filled::default();
            } else {
                self.fill_tag(record);
            }
        }
        Verdict::Send { tag: &self.tag, filled: self.filled }
    }

    /// Which rule drops a record (the index of its alternative), for people. `record` is the one that was decided last.
    pub fn dropped_by(&self, record: Record<'_>) -> Option<usize> {
        self.values.first(&self.definition.drop_records, record)
    }

    /// The fields of the record's tag that have no value, as the template names them. `record` is the one that was
    /// decided last.
    pub fn missing_fields(&self, record: Record<'_>) -> Vec<String> {
        let template = self.values.template(self.definition, record);
        template.missing(self.account, |source, index| self.values.value(source, index, record))
    }

    fn fill_tag(&mut self, record: Record<'_>) {
        let values = &self.values;
        let template = values.template(self.definition, record);
        self.tag.clear();
        let value = |source, index| values.value(source, index, record);
        self.filled = template.fill_for(self.account, &mut self.tag, value);
    }
}

/// The values of a definition's fields, of the object and of the current record.
#[derive(Debug)]
struct Values<'d> {
    record_fields: &'d [Field],
    /// By the index of `definition.file_fields`.
    of_file: Vec<Option<String>>,
    /// By the index of `definition.record_fields`; filled on demand.
    of_record: Vec<OnceCell<Found>>,
    /// By the index of `definition.record_fields`.
    known: Vec<RefCell<Known>>,
    /// Records are searched for a rule's value before its field is looked up.
    searches: bool,
}

/// The value of a field in the current record.
#[derive(Debug)]
enum Found {
    Nothing,
    /// A part of the record, so that nothing is allocated.
    Part(Range<usize>),
    Text(Rc<str>),
}

/// A cache of the results of a field's operations: the same few short values recur.
#[derive(Debug, Default)]
struct Known(HashMap<String, Option<Rc<str>>>);

/// More values than this do not recur: the cache is cleared.
const KNOWN_MAX: usize = 256;

/// With more conditions than this, finding the field once is cheaper than a search for each.
const SEARCHES_MAX: usize = 4;

impl<'d> Values<'d> {
    fn of_object(definition: &'d Definition, key: &str) -> Self {
        let value = |field: &Field| field.of_key(key).map(Cow::into_owned);
        let rules = definition.cases.iter().map(|case| &case.when).chain([&definition.drop_records]);
        let conditions = rules.flat_map(|rules| rules.0.iter().flatten());
        Values {
            record_fields: &definition.record_fields,
            of_file: definition.file_fields.iter().map(value).collect(),
            of_record: definition.record_fields.iter().map(|_| OnceCell::new()).collect(),
            known: definition.record_fields.iter().map(|_| RefCell::default()).collect(),
            searches: conditions.filter(|rule| rule.source == FieldSource::Record).count() <= SEARCHES_MAX,
        }
    }

    fn next_record(&mut self) {
        self.of_record.iter_mut().for_each(|cell| drop(cell.take()));
    }

    fn value<'v>(&'v self, source: FieldSource, index: usize, record: Record<'v>) -> Option<&'v str> {
        match source {
            FieldSource::File => self.of_file[index].as_deref(),
            FieldSource::Record => {
                let field = &self.record_fields[index];
                match self.of_record[index].get_or_init(|| find(field, record, &self.known[index])) {
                    Found::Nothing => None,
                    Found::Part(part) => std::str::from_utf8(field.text_of(record).get(part.clone())?).ok(),
                    Found::Text(text) => Some(text),
                }
            }
        }
    }

    fn any(&self, rules: &Rules<LineRule>, record: Record<'_>) -> bool {
        self.first(rules, record).is_some()
    }

    /// The first alternative that holds.
    fn first(&self, rules: &Rules<LineRule>, record: Record<'_>) -> Option<usize> {
        rules.first(|rule| match self.is_absent(rule, record) {
            true => rule.negated,
            false => rule.holds(self.value(rule.source, rule.field, record)),
        })
    }

    /// True if the field's value is surely another one, without looking for the field.
    fn is_absent(&self, rule: &LineRule, record: Record<'_>) -> bool {
        if !self.searches || rule.source != FieldSource::Record || self.of_record[rule.field].get().is_some()
        {
            return false;
        }
        let field = &self.record_fields[rule.field];
        // Another place may spell a value differently.
        matches!(field.place, Place::Json(_))
            && field.operations.is_empty()
            && rule.is_absent(record.context.json)
    }

    fn template(&self, definition: &'d Definition, record: Record<'_>) -> &'d Template {
        let case = definition.cases.iter().find(|case| self.any(&case.when, record));
        case.map_or(&definition.template, |case| &case.template)
    }
}

impl Known {
    fn value(&mut self, field: &Field, raw: &str) -> Option<Rc<str>> {
        if let Some(value) = self.0.get(raw) {
            return value.clone();
        }
        let value: Option<Rc<str>> = field.value(raw).map(Rc::from);
        if raw.len().max(value.as_ref().map_or(0, |value| value.len())) > KNOWN_VALUE_BYTES_MAX {
            return value;
        }
        if self.0.len() >= KNOWN_MAX {
            self.0.clear();
        }
        self.0.insert(raw.to_owned(), value.clone());
        value
    }
}

fn find(field: &Field, record: Record<'_>, known: &RefCell<Known>) -> Found {
    match field.raw(record) {
        None => Found::Nothing,
        Some(raw) if !field.operations.is_empty() => {
            known.borrow_mut().value(field, &raw).map_or(Found::Nothing, Found::Text)
        }
        Some(Cow::Owned(text)) => Found::Text(text.into()),
        Some(Cow::Borrowed(part)) => {
            let start = part.as_ptr().addr().wrapping_sub(field.text_of(record).as_ptr().addr());
            Found::Part(start..start.wrapping_add(part.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Case;
    use super::super::field::{Operation, Place};
    use super::*;
    use crate::decode::Format;

    fn field(name: &str, place: Place, operations: Vec<Operation>) -> Field {
        Field { name: name.into(), place, operations }
    }

    fn record(text: &str) -> Record<'_> {
        Record::new(text.as_bytes(), Newlines::Absent)
    }

    fn rule(source: FieldSource, value: &str) -> LineRule {
        LineRule::new(source, 0, value.into(), false)
    }

    fn definition(template: &str) -> Definition {
        let split = Operation::Split { on: "/".into(), element: 0 };
        let file_fields = vec![field("folder", Place::Key, vec![split])];
        let path = Place::Json(vec!["detail".into(), "type".into()].into());
        let record_fields = vec![field("event", path, vec![])];
        Definition {
            name: "custom_service".into(),
            object_keys: None,
            format: Format::Lines { header_lines: 0 },
            format_name: String::new(),
            skip_objects: Rules::default(),
            template: Template::parse(template, &file_fields, &record_fields).unwrap(),
            file_fields,
            record_fields,
            drop_records: Rules::default(),
            send_dropped_to_unknown: false,
            cases: vec![],
            delegates: vec![],
            quiet_after: None,
        }
    }

    fn tag(definition: &Definition, text: &str) -> Option<(String, bool)> {
        match Route::new(definition, "dns/x.gz").verdict(record(text)) {
            Verdict::Drop => None,
            Verdict::Send { tag, filled } => Some((tag.to_owned(), filled.missing)),
        }
    }

    #[test]
    fn a_fixed_tag_does_not_look_at_the_record() {
        let mut route_of = definition("a.[file-folder]");
        assert_eq!(tag(&route_of, "not json"), Some(("a.dns".into(), false)));
        route_of.template = Template::parse("a.b", &[], &[]).unwrap();
        assert!(Route::new(&route_of, "k").fixed);
    }

    #[test]
    fn a_tag_from_the_record() {
        let by_event = definition("a.[record-event]");
        assert_eq!(tag(&by_event, r#"{"detail":{"type":"Put\u0041"}}"#), Some(("a.PutA".into(), false)));
        assert_eq!(tag(&by_event, r#"{"detail":{"type":12.50}}"#), Some(("a.12_50".into(), false)));
        for missing in [r#"{"detail":{}}"#, r#"{"detail":{"type":null}}"#, "{}", "[]", "not json", ""] {
            assert_eq!(tag(&by_event, missing), Some(("a.unknown".into(), true)), "{missing}");
        }
    }

    #[test]
    fn only_short_values_are_kept() {
        let mut known = Known::default();
        let lower = field("f", Place::Key, vec![Operation::Lowercase]);
        let repeat = Operation::Replace { to_replace: "A".into(), replace_with: "b".repeat(1000) };
        let longer = field("f", Place::Key, vec![repeat]);
        for number in 0..3000 {
            let value = format!("{number}{}", "A".repeat(number));
            assert_eq!(known.value(&lower, &value).as_deref(), Some(&*value.to_lowercase()));
            known.value(&longer, &value);
        }
        let kept: usize = known
            .0
            .iter()
            .map(|(raw, value)| raw.len() + value.as_ref().map_or(0, |value| value.len()))
            .sum();
        assert!(kept <= 2 * KNOWN_MAX * KNOWN_VALUE_BYTES_MAX, "{kept}");
    }

    #[test]
    fn values_do_not_leak_into_the_next_record() {
        let by_event = definition("a.[record-event]");
        let mut route = Route::new(&by_event, "k");
        assert_eq!(
            route.verdict(record(r#"{"detail":{"type":"x"}}"#)),
            Verdict::Send { tag: "a.x", filled: Filled::default() }
        );
        let filled = Filled { missing: true, ..Filled::default() };
        assert_eq!(route.verdict(record("{}")), Verdict::Send { tag: "a.unknown", filled });
    }

    #[test]
    fn dropped_records_and_their_other_home() {
        let mut filtered = definition("a.b");
        filtered.drop_records =
            Rules(vec![vec![rule(FieldSource::Record, "noise"), rule(FieldSource::File, "dns")]]);
        let noise = r#"{"detail":{"type":"noise"}}"#;
        assert_eq!(tag(&filtered, noise), None);
        assert_eq!(tag(&filtered, "{}"), Some(("a.b".into(), false)));
        filtered.drop_records = Rules(vec![vec![rule(FieldSource::File, "dns")]]);
        assert_eq!(tag(&filtered, noise), None, "a rule on the file alone drops too");
        filtered.send_dropped_to_unknown = true;
        assert_eq!(tag(&filtered, noise), Some(("a.b.unknown".into(), false)));
    }

    #[test]
    fn people_are_told_which_rule_drops_and_which_field_is_missing() {
        let mut filtered = definition("a.[file-folder].[record-event]");
        filtered.drop_records = Rules(vec![
            vec![],
            vec![rule(FieldSource::Record, "noise")],
            vec![rule(FieldSource::File, "dns")],
        ]);
        let mut route = Route::new(&filtered, "dns/x");
        let (noise, quiet) = (record(r#"{"detail":{"type":"noise"}}"#), record("{}"));
        assert_eq!(route.verdict(noise), Verdict::Drop);
        assert_eq!(route.dropped_by(noise), Some(1));
        assert_eq!(route.verdict(quiet), Verdict::Drop);
        assert_eq!(route.dropped_by(quiet), Some(2));
        filtered.drop_records = Rules::default();
        let mut route = Route::new(&filtered, "x");
        assert!(matches!(route.verdict(quiet), Verdict::Send { filled: Filled { missing: true, .. }, .. }));
        assert_eq!(route.missing_fields(quiet), ["record-event"]);
    }

    #[test]
    fn the_first_case_that_holds_gives_the_template() {
        let mut cased = definition("a.b");
        let case = |source, value, text: &str| Case {
            when: Rules(vec![vec![rule(source, value)]]),
            template: Template::parse(text, &cased.file_fields, &cased.record_fields).unwrap(),
        };
        cased.cases = vec![
            case(FieldSource::Record, "insight", "a.insights"),
            case(FieldSource::Record, "insight", "a.never"),
        ];
        assert_eq!(tag(&cased, r#"{"detail":{"type":"insight"}}"#), Some(("a.insights".into(), false)));
        assert_eq!(tag(&cased, "{}"), Some(("a.b".into(), false)));
    }

    proptest! {
        /// Compared with a naive version that builds a tree and evaluates every condition.
        #[test]
        fn searching_first_changes_no_verdict(
            value in prop_oneof![
                proptest::sample::select(vec!["Put", "P", "1", "1.0", "true", "é", "a/b", "a\\b", "null", ""])
                    .prop_map(serde_json::Value::from),
                Just(serde_json::json!(1)), Just(serde_json::json!(true)), Just(serde_json::Value::Null),
                Just(serde_json::json!({"type": "Put"})),
            ],
            wanted in proptest::sample::select(vec!["Put", "P", "1", "1.0", "true", "é", "a/b", "a\\b", "null", ""]),
            negated in any::<bool>(), ascii in any::<bool>(), nested in any::<bool>(), conditions in 1..7usize,
        ) {
            let tree = serde_json::json!({"x": "Put", "detail": {"type": value}});
            let mut json = if nested { tree.to_string() } else { tree["detail"].to_string() };
            if ascii {
                json = json.replace('P', "\\u0050").replace('é', "\\u00e9");
            }
            let mut filtered = definition("a.b");
            let rule = LineRule::new(FieldSource::Record, 0, wanted.to_owned(), negated);
            filtered.drop_records = Rules(vec![vec![rule; conditions]]);
            let found = match &value {
                _ if !nested => None,
                serde_json::Value::String(text) => Some(text.clone()),
                serde_json::Value::Null => None,
                other => Some(other.to_string()),
            };
            prop_assert_eq!(tag(&filtered, &json).is_none(), (found.as_deref() == Some(wanted)) != negated);
        }
    }
}
