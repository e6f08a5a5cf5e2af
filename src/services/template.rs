//! Tag templates: `my.app.source.[record-event_simpleName]`, and the fields that fill them.

use std::borrow::Cow;
use std::fmt;

use regex::Regex;

use super::rules::Source;

/// What a missing field becomes, so that its records land in a table of their own.
pub const UNKNOWN: &str = "unknown";

/// A tag with holes. Its `Display` is the template as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Field(Source, usize),
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("is empty: write the Devo tag that the records should get")]
    Empty,
    #[error("has an opening bracket without a closing one")]
    Unclosed,
    #[error("[{0}] must begin with record- or file-")]
    BadSource(String),
    #[error("[{field}] names no field: define {name:?} in {table}")]
    NoSuchField { field: String, name: String, table: &'static str },
    #[error(
        "the character {0:?} is not allowed in a tag: use letters, digits, _ and -, levels separated by dots"
    )]
    BadCharacter(char),
}

impl Template {
    /// Reads a template. Fields must be among those given, in the order of their indices.
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
            pieces.push(field_piece(inner, file_fields, record_fields)?);
            rest = after;
        }
        push_literal(&mut pieces, rest)?;
        if pieces.is_empty() {
            return Err(TemplateError::Empty);
        }
        Ok(Template { text: text.to_owned(), pieces })
    }

    /// Does the tag depend on the record?
    pub fn reads_records(&self) -> bool {
        self.pieces.iter().any(|p| matches!(p, Piece::Field(Source::Record, _)))
    }

    /// Writes the tag. A missing or empty value becomes [`UNKNOWN`]; returns true if any was missing.
    pub fn fill<'v>(
        &self,
        tag: &mut String,
        mut value: impl FnMut(Source, usize) -> Option<&'v str>,
    ) -> bool {
        let mut missing = false;
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => tag.push_str(text),
                Piece::Field(source, index) => match value(*source, *index).filter(|v| !v.is_empty()) {
                    Some(value) => push_tag_value(tag, value),
                    None => {
                        missing = true;
                        tag.push_str(UNKNOWN);
                    }
                },
            }
        }
        missing
    }

    /// The tag of records that were filtered out but must be kept: every field is [`UNKNOWN`], or, in
    /// a template without fields, one more level is.
    pub fn unknown(&self) -> String {
        let mut tag = String::new();
        if !self.fill(&mut tag, |_, _| None::<&str>) {
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

/// A value in a tag keeps `[A-Za-z0-9_-]`, anything else becomes `_`: no value can add a level, end
/// the header or start a new frame.
fn push_tag_value(tag: &mut String, value: &str) {
    tag.extend(
        value.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' }),
    );
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

fn field_piece(inner: &str, file_fields: &[Field], record_fields: &[Field]) -> Result<Piece, TemplateError> {
    let (source, name, fields, table) = if let Some(name) = inner.strip_prefix("record-") {
        (Source::Record, name, record_fields, "record_field_mapping")
    } else if let Some(name) = inner.strip_prefix("file-") {
        (Source::File, name, file_fields, "file_field_definitions")
    } else {
        return Err(TemplateError::BadSource(inner.to_owned()));
    };
    match fields.iter().position(|f| f.name == name) {
        Some(index) => Ok(Piece::Field(source, index)),
        None => Err(TemplateError::NoSuchField { field: inner.to_owned(), name: name.to_owned(), table }),
    }
}

/// A named value: where it lies, and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// Keys from the record's root to the value; empty for a value taken from the object's key.
    pub path: Vec<String>,
    pub operations: Vec<Operation>,
}

impl Field {
    /// Applies the operations in order; None as soon as one finds nothing. What is part of `raw` is
    /// borrowed from it.
    pub fn value<'v>(&self, raw: &'v str) -> Option<Cow<'v, str>> {
        self.operations.iter().try_fold(Cow::Borrowed(raw), |value, operation| match value {
            Cow::Borrowed(text) => operation.apply(text),
            Cow::Owned(text) => operation.apply(&text).map(|part| Cow::Owned(part.into_owned())),
        })
    }
}

/// A step from a raw value to a field's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// As Python's `value.split(on)[element]`; a negative element counts from the end.
    Split { on: String, element: i64 },
    /// As Python's `value.replace(to_replace, replace_with)`.
    Replace { to_replace: String, replace_with: String },
    /// What the pattern's group `element` found, searched for anywhere in the value; 0 is the whole match.
    Regex { pattern: Pattern, element: usize },
}

/// A regular expression that is compared by its text.
#[derive(Debug, Clone)]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Operation {
    fn apply<'v>(&self, value: &'v str) -> Option<Cow<'v, str>> {
        match self {
            Operation::Split { on, element } => {
                let from = |n: i64| usize::try_from(n).ok();
                let part = if *element >= 0 {
                    value.split(on.as_str()).nth(from(*element)?)
                } else {
                    value.rsplit(on.as_str()).nth(from(-(*element + 1))?)
                };
                part.map(Cow::Borrowed)
            }
            Operation::Replace { to_replace, .. } if !value.contains(to_replace) => {
                Some(Cow::Borrowed(value))
            }
            Operation::Replace { to_replace, replace_with } => {
                Some(Cow::Owned(value.replace(to_replace, replace_with)))
            }
            Operation::Regex { pattern, element: 0 } => {
                pattern.0.find(value).map(|found| Cow::Borrowed(found.as_str()))
            }
            Operation::Regex { pattern, element } => {
                pattern.0.captures(value)?.get(*element).map(|group| Cow::Borrowed(group.as_str()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Field {
        Field { name: name.into(), path: vec![], operations: vec![] }
    }

    fn fill(template: &str, value: Option<&str>) -> (String, bool) {
        let template = Template::parse(template, &[field("log_type")], &[field("event")]).unwrap();
        let mut tag = String::new();
        let missing = template.fill(&mut tag, |_, _| value);
        (tag, missing)
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
    fn a_value_cannot_leave_its_level() {
        assert_eq!(fill("a.[record-event]", Some("x.y: \n<14>é")).0, "a.x_y____14__");
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

    #[test]
    fn operations_are_pythons() {
        let split = |on: &str, element| Operation::Split { on: on.into(), element };
        assert_eq!(split("/", 1).apply("a/b/c").as_deref(), Some("b"));
        assert_eq!(split("/", -1).apply("a/b/c").as_deref(), Some("c"));
        assert_eq!(split("/", -3).apply("a/b/c").as_deref(), Some("a"));
        assert_eq!(split("/", 3).apply("a/b/c"), None);
        assert_eq!(split("/", -4).apply("a/b/c"), None);
        assert_eq!(split("/", i64::MIN).apply("a/b/c"), None);
        assert_eq!(split("--", 1).apply("a--b").as_deref(), Some("b"));
        let replace = Operation::Replace { to_replace: "_".into(), replace_with: "".into() };
        assert_eq!(replace.apply("a_b_").as_deref(), Some("ab"));
    }

    #[test]
    fn a_regex_operation_takes_one_group() {
        let regex = |element| Operation::Regex {
            pattern: Pattern(Regex::new("(?:^|/)(dns|ip)(x)?logs/").unwrap()),
            element,
        };
        assert_eq!(regex(1).apply("a/dnslogs/b").as_deref(), Some("dns"));
        assert_eq!(regex(0).apply("a/iplogs/b").as_deref(), Some("/iplogs/"));
        assert_eq!(regex(2).apply("a/iplogs/b"), None);
        assert_eq!(regex(9).apply("a/iplogs/b"), None);
        assert_eq!(regex(1).apply("a/proxylogs/b"), None);
    }
}
