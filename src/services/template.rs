//! Tag templates: `my.app.source.[record-event_simpleName]`, and how fields fill them.

use std::fmt;

use super::field::Field;
use super::rules::FieldSource;
use crate::base::limits::{TAG_BYTES_MAX, TAG_VALUE_BYTES_MAX};

/// Replaces a missing field, so that its records go to a separate table.
pub const UNKNOWN: &str = "unknown";

/// A tag with placeholders. Its `Display` is the template as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// The first of these that has a value: `[file-type|record-type]`.
    Hole(Vec<Value>),
}

/// The source of a placeholder's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Field(FieldSource, usize),
    /// The account of the input's credentials.
    Account,
}

/// The placeholder that [`Value::Account`] fills.
pub const INPUT_ACCOUNT: &str = "input-account_id";

/// The state of the values in a tag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filled {
    /// At least one is missing.
    pub missing: bool,
    /// At least one was too long.
    pub cut: bool,
    /// The account of the input's credentials would fill a placeholder, but is not known.
    pub lacks_account: bool,
}

/// The reason why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("is empty: write the Devo tag that the records should get")]
    Empty,
    #[error("has an opening bracket without a closing one")]
    Unclosed,
    #[error("[{0}] must begin with record- or file-, or be input-account_id")]
    BadSource(String),
    #[error("[{field}] names no field: define {name:?} in {table}")]
    NoSuchField { field: String, name: String, table: &'static str },
    #[error(
        "the character {0:?} is not allowed in a tag: use letters, digits, _ and -, levels separated by dots"
    )]
    BadCharacter(char),
}

impl Template {
    /// Parses a template. Its fields must be among the given ones, in the order of their indices.
    pub fn parse(
        text: &str,
        file_fields: &[Field],
        record_fields: &[Field],
    ) -> Result<Template, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('[') {
            push_literal(&mut pieces, &rest[..open])?;
            let (inner, after) = rest[open + 1..].split_once(']').ok_or(TemplateError::Unclosed)?;
            let fields = inner.split('|').map(|name| field(name, file_fields, record_fields));
            pieces.push(Piece::Hole(fields.collect::<Result<_, _>>()?));
            rest = after;
        }
        push_literal(&mut pieces, rest)?;
        if pieces.is_empty() {
            return Err(TemplateError::Empty);
        }
        Ok(Template { text: text.to_owned(), pieces })
    }

    /// Why a template cannot be used: every fault of its own.
    pub fn faults(text: &str, file_fields: &[Field], record_fields: &[Field]) -> Vec<TemplateError> {
        let closed = text.split('[').skip(1).filter_map(|rest| rest.split_once(']'));
        let names = closed.flat_map(|(inner, _)| inner.split('|'));
        let undefined = names.filter_map(|name| field(name, file_fields, record_fields).err());
        let mut faults: Vec<TemplateError> = undefined.collect();
        if let Err(first) = Template::parse(text, file_fields, record_fields)
            && !faults.contains(&first)
        {
            faults.insert(0, first);
        }
        faults
    }

    /// True if the tag depends on the record.
    pub fn reads_records(&self) -> bool {
        let of_record = |value: &Value| matches!(value, Value::Field(FieldSource::Record, _));
        self.pieces.iter().any(|piece| matches!(piece, Piece::Hole(values) if values.iter().any(of_record)))
    }

    /// True if the account of the input's credentials may fill a placeholder.
    pub fn uses_account(&self) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Hole(values) if values.contains(&Value::Account)))
    }

    /// True if only the account of the input's credentials can fill a placeholder.
    pub fn needs_account(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Hole(values) if **values == [Value::Account]))
    }

    /// The template for people, with the known values. Other placeholders stay.
    pub fn shown<'v>(&self, value: impl Fn(FieldSource, usize) -> Option<&'v str>) -> String {
        let mut holes = self.text.split('[').skip(1).filter_map(|rest| rest.split(']').next());
        let shown = |piece: &Piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Hole(values) => {
                let hole = holes.next().unwrap_or_default();
                let known = values.first().and_then(|first| match first {
                    Value::Field(source, index) => value(*source, *index),
                    Value::Account => None,
                });
                known.map_or_else(|| format!("[{hole}]"), str::to_owned)
            }
        };
        self.pieces.iter().map(shown).collect()
    }

    /// Writes the tag. A missing or empty value becomes [`UNKNOWN`]; a too long one is cut.
    pub fn fill<'v>(
        &self,
        tag: &mut String,
        value: impl FnMut(FieldSource, usize) -> Option<&'v str>,
    ) -> Filled {
        self.fill_for(None, tag, value)
    }

    /// Writes the tag for an input whose credentials belong to `account`.
    pub fn fill_for<'v>(
        &self,
        account: Option<&'v str>,
        tag: &mut String,
        mut value: impl FnMut(FieldSource, usize) -> Option<&'v str>,
    ) -> Filled {
        let mut filled = Filled::default();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => tag.push_str(text),
                Piece::Hole(values) => {
                    let mut found = values.iter().filter_map(|from| match from {
                        Value::Field(source, index) => value(*source, *index),
                        Value::Account => account,
                    });
                    match found.find(|value| !value.is_empty()) {
                        Some(value) => filled.cut |= push_tag_value(tag, value),
                        None => {
                            filled.missing = true;
                            filled.lacks_account |= values.contains(&Value::Account);
                            tag.push_str(UNKNOWN);
                        }
                    }
                }
            }
        }
        filled
    }

    /// The holes that nothing fills, as they are written.
    pub fn missing<'v>(
        &self,
        account: Option<&'v str>,
        mut value: impl FnMut(FieldSource, usize) -> Option<&'v str>,
    ) -> Vec<String> {
        let written = self.text.split('[').skip(1).filter_map(|rest| rest.split(']').next());
        let holes = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(values) => Some(values),
            Piece::Literal(_) => None,
        });
        let mut is_filled = |from: &Value| {
            let found = match from {
                Value::Field(source, index) => value(*source, *index),
                Value::Account => account,
            };
            found.is_some_and(|value| !value.is_empty())
        };
        let missing = written.zip(holes).filter(|(_, values)| !values.iter().any(&mut is_filled));
        missing.map(|(name, _)| name.to_owned()).collect()
    }

    /// The tag of records that were filtered out but must be kept: every field is [`UNKNOWN`], or, in a template
    /// without fields, one more level is.
    pub fn unknown(&self) -> String {
        let mut tag = String::new();
        if !self.fill(&mut tag, |_, _| None::<&str>).missing {
            tag.push('.');
            tag.push_str(UNKNOWN);
        }
        tag
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Appends a value to a tag: it keeps `[A-Za-z0-9_-]`, anything else becomes `_`, so that no value can add a level, end
/// the header or start a new frame.
///
/// Returns true if the value was too long, and was cut.
fn push_tag_value(tag: &mut String, value: &str) -> bool {
    let room = TAG_VALUE_BYTES_MAX.min(TAG_BYTES_MAX.saturating_sub(tag.len()));
    let cut = value.char_indices().nth(room).map_or(value, |(end, _)| &value[..end]);
    push_allowed(tag, cut);
    cut.len() < value.len()
}

fn push_allowed(tag: &mut String, value: &str) {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if value.bytes().all(kept) {
        return tag.push_str(value);
    }
    tag.extend(value.chars().map(|c| if u8::try_from(c).is_ok_and(kept) { c } else { '_' }));
}

fn push_literal(pieces: &mut Vec<Piece>, text: &str) -> Result<(), TemplateError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(bad) = text.chars().find(|c| !allowed(*c)) {
        return Err(TemplateError::BadCharacter(bad));
    }
    if !text.is_empty() {
        pieces.push(Piece::Literal(text.to_owned()));
    }
    Ok(())
}

fn field(inner: &str, file_fields: &[Field], record_fields: &[Field]) -> Result<Value, TemplateError> {
    if inner == INPUT_ACCOUNT {
        return Ok(Value::Account);
    }
    let (source, name, fields, table) = if let Some(name) = inner.strip_prefix("record-") {
        (FieldSource::Record, name, record_fields, "record_field_mapping")
    } else if let Some(name) = inner.strip_prefix("file-") {
        (FieldSource::File, name, file_fields, "file_field_definitions")
    } else {
        return Err(TemplateError::BadSource(inner.to_owned()));
    };
    match fields.iter().position(|f| f.name == name) {
        Some(index) => Ok(Value::Field(source, index)),
        None => Err(TemplateError::NoSuchField { field: inner.to_owned(), name: name.to_owned(), table }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::field::Place;

    fn field(name: &str) -> Field {
        Field { name: name.into(), place: Place::Key, operations: vec![] }
    }

    fn fill(template: &str, value: Option<&str>) -> (String, bool) {
        let template = Template::parse(template, &[field("log_type")], &[field("event")]).unwrap();
        let mut tag = String::new();
        let filled = template.fill(&mut tag, |_, _| value);
        (tag, filled.missing)
    }

    #[test]
    fn fields_fill_the_holes() {
        assert_eq!(fill("a.b.[record-event]", Some("X1")), ("a.b.X1".into(), false));
        assert_eq!(fill("a.[file-log_type].logs", Some("dns")), ("a.dns.logs".into(), false));
    }

    #[test]
    fn a_missing_or_empty_value_is_unknown() {
        assert_eq!(fill("a.b.[record-event]", None), ("a.b.unknown".into(), true));
        assert_eq!(fill("a.b.[record-event]", Some("")), ("a.b.unknown".into(), true));
    }

    #[test]
    fn the_first_alternative_with_a_value_fills_a_hole() {
        let template =
            Template::parse("a.[file-log_type|record-event]", &[field("log_type")], &[field("event")])
                .unwrap();
        let fill = |file: Option<&'static str>, record: Option<&'static str>| {
            let mut tag = String::new();
            let filled =
                template.fill(&mut tag, |source, _| if source == FieldSource::File { file } else { record });
            (tag, filled.missing)
        };
        assert_eq!(fill(Some("x"), Some("y")), ("a.x".into(), false));
        assert_eq!(fill(None, Some("y")), ("a.y".into(), false));
        assert_eq!(fill(Some(""), Some("y")), ("a.y".into(), false));
        assert_eq!(fill(None, None), ("a.unknown".into(), true));
        assert!(template.reads_records());
    }

    #[test]
    fn the_account_of_the_input_fills_what_nothing_else_fills() {
        let parse = |text: &str| Template::parse(text, &[field("account")], &[field("account")]).unwrap();
        let fill = |text: &str, account, value: Option<&'static str>| {
            let mut tag = String::new();
            let filled = parse(text).fill_for(account, &mut tag, |_, _| value);
            (tag, filled.lacks_account)
        };
        for text in ["a.[input-account_id]", "a.[record-account|input-account_id]"] {
            assert_eq!(fill(text, Some("123456789012"), None), ("a.123456789012".into(), false));
            assert_eq!(fill(text, None, None), ("a.unknown".into(), true));
        }
        assert_eq!(fill("a.[file-account|input-account_id]", None, Some("1")), ("a.1".into(), false));
        assert!(parse("a.[input-account_id].1").needs_account());
        assert!(!parse("a.[file-account|input-account_id]").needs_account());
        assert!(parse("a.[file-account|input-account_id]").uses_account());
        assert!(!parse("a.[file-account]").uses_account());
        assert!(!parse("a.[input-account_id]").reads_records());
    }

    #[test]
    fn a_template_for_people_shows_what_is_known() {
        let text = "a.[record-type].[file-account].b.[file-other|record-type]";
        let template = Template::parse(text, &[field("account"), field("other")], &[field("type")]).unwrap();
        let known = |source, index| (source == FieldSource::File && index == 0).then_some("123456789012");
        assert_eq!(template.shown(known), "a.[record-type].123456789012.b.[file-other|record-type]");
    }

    #[test]
    fn a_value_cannot_leave_its_level() {
        assert_eq!(fill("a.[record-event]", Some("x.y: \n<14>é")).0, "a.x_y____14__");
    }

    #[test]
    fn a_value_is_cut_at_the_length_of_a_level_and_a_tag_at_that_of_a_tag() {
        let hole = "[record-event]";
        let template =
            |holes: usize| Template::parse(&vec![hole; holes].join("."), &[], &[field("event")]).unwrap();
        for value in ["a".repeat(1 << 20), "é".repeat(1 << 20)] {
            for (holes, length) in [(1, TAG_VALUE_BYTES_MAX), (100, TAG_BYTES_MAX + 100)] {
                let mut tag = String::new();
                assert!(template(holes).fill(&mut tag, |_, _| Some(&value)).cut);
                assert!(tag.len() <= length && tag.len() >= TAG_VALUE_BYTES_MAX, "{}", tag.len());
            }
        }
        let whole = "a".repeat(TAG_VALUE_BYTES_MAX);
        let mut tag = String::new();
        assert_eq!(template(1).fill(&mut tag, |_, _| Some(&whole)), Filled::default());
        assert_eq!(tag, whole);
    }

    #[test]
    fn unknown_is_a_level_of_its_own_where_no_field_is() {
        let parse = |text: &str| Template::parse(text, &[], &[field("event")]).unwrap();
        assert_eq!(parse("a.b").unknown(), "a.b.unknown");
        assert_eq!(parse("a.[record-event].c").unknown(), "a.unknown.c");
    }

    #[test]
    fn bad_templates_say_what_is_wrong() {
        let error = |text: &str| Template::parse(text, &[], &[field("event")]).unwrap_err();
        assert_eq!(error(""), TemplateError::Empty);
        assert_eq!(error("a.[record-event"), TemplateError::Unclosed);
        assert_eq!(error("a.[event]"), TemplateError::BadSource("event".into()));
        assert_eq!(error("a.[key-event]"), TemplateError::BadSource("key-event".into()));
        assert_eq!(error("a b"), TemplateError::BadCharacter(' '));
        assert!(error("a.[record-nope]").to_string().contains("record_field_mapping"));
    }
}
