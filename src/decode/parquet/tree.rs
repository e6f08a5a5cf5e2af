//! The schema as a tree, and a row built from it.

use std::ops::Range;

use parquet::basic::{ConvertedType, LogicalType, Repetition};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::bad;
use super::column::Column;
use super::value::Kind;
use crate::base::limits::{MIB, PARQUET_DEPTH_MAX};
use crate::decode::Error;

/// Writes rows of one schema.
pub(super) struct Tree {
    root: Node,
    record_bytes_max: usize,
}

/// A part of the schema with the columns below it.
struct Node {
    columns: Range<usize>,
    shape: Shape,
}

enum Shape {
    Value(Kind),
    /// Each with its key, escaped and with its colon.
    Object(Vec<(Vec<u8>, Node)>),
    /// A value from this definition level on, null below.
    Optional(i16, Box<Node>),
    /// Elements from this definition level on, an empty list below; each except the first begins with this repetition
    /// level or a higher one.
    List(i16, i16, Box<Node>),
    /// A list with a key for each element.
    Map(i16, i16, Box<Node>, Box<Node>),
}

impl Tree {
    pub fn new(schema: &SchemaDescriptor, record_bytes_max: usize) -> Result<Tree, Error> {
        let mut builder = Builder { columns: 0, depth: 0 };
        let root =
            builder.object(schema.root_schema().get_fields(), Levels { definition: 0, repetition: 0 })?;
        if builder.columns != schema.num_columns() {
            return Err(bad("the schema's columns do not add up"));
        }
        Ok(Tree { root, record_bytes_max })
    }

    /// Appends the next row.
    pub fn row(&self, columns: &mut [Column], out: &mut Vec<u8>) -> Result<(), Error> {
        if columns.len() != self.root.columns.end {
            return Err(bad("a row group lacks columns"));
        }
        self.write(&self.root, columns, out)?;
        match columns.iter().all(|column| column.repetition() == 0) {
            true => Ok(()),
            false => Err(bad("the lists of a row disagree")),
        }
    }

    fn write(&self, node: &Node, columns: &mut [Column], out: &mut Vec<u8>) -> Result<(), Error> {
        match &node.shape {
            Shape::Value(kind) => {
                let stored = columns[node.columns.start].take()?;
                self.make_room(stored.written_bytes(), out)?;
                kind.write(stored, out);
                self.check(out)
            }
            Shape::Object(fields) => self.object(fields, columns, out),
            Shape::Optional(definition, _) if columns[node.columns.start].definition()? < *definition => {
                out.extend_from_slice(b"null");
                pass(node, columns)
            }
            Shape::Optional(_, some) => self.write(some, columns, out),
            Shape::List(definition, repetition, element) => {
                out.push(b'[');
                self.repeat(node, (*definition, *repetition), columns, out, &mut |columns, out| {
                    self.write(element, columns, out)
                })?;
                out.push(b']');
                Ok(())
            }
            Shape::Map(definition, repetition, key, value) => {
                out.push(b'{');
                self.repeat(node, (*definition, *repetition), columns, out, &mut |columns, out| {
                    self.key(key, columns, out)?;
                    out.push(b':');
                    self.write(value, columns, out)
                })?;
                out.push(b'}');
                Ok(())
            }
        }
    }

    fn object(
        &self,
        fields: &[(Vec<u8>, Node)],
        columns: &mut [Column],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        for (number, (key, field)) in fields.iter().enumerate() {
            out.push(if number == 0 { b'{' } else { b',' });
            out.extend_from_slice(key);
            self.write(field, columns, out)?;
        }
        out.extend_from_slice(if fields.is_empty() { b"{}" } else { b"}" });
        Ok(())
    }

    fn repeat(
        &self,
        node: &Node,
        (definition, repetition): (i16, i16),
        columns: &mut [Column],
        out: &mut Vec<u8>,
        element: &mut Element<'_>,
    ) -> Result<(), Error> {
        let first = node.columns.start;
        if columns[first].definition()? < definition {
            return pass(node, columns);
        }
        loop {
            element(columns, out)?;
            self.check(out)?;
            if columns[first].repetition() < repetition {
                return Ok(());
            }
            out.push(b',');
        }
    }

    /// JSON's keys are strings, so other keys are converted.
    fn key(&self, key: &Node, columns: &mut [Column], out: &mut Vec<u8>) -> Result<(), Error> {
        let start = out.len();
        self.write(key, columns, out)?;
        if out[start] != b'"' {
            let text = String::from_utf8_lossy(&out[start..]).into_owned();
            out.truncate(start);
            super::value::text(&text, out);
        }
        Ok(())
    }

    fn check(&self, row: &[u8]) -> Result<(), Error> {
        let max = self.record_bytes_max;
        if row.len() > max { Err(Error::RecordTooLarge { max }) } else { Ok(()) }
    }

    /// A row that becomes large gets its maximum room at once: untouched memory is not resident.
    fn make_room(&self, bytes: usize, row: &mut Vec<u8>) -> Result<(), Error> {
        let (length, max) = (row.len().saturating_add(bytes), self.record_bytes_max);
        if length > max {
            return Err(Error::RecordTooLarge { max });
        }
        if length > MIB && row.capacity() < max {
            row.reserve_exact(max - row.len());
        }
        Ok(())
    }
}

/// A null or an empty list: each column below has one level for it.
fn pass(node: &Node, columns: &mut [Column]) -> Result<(), Error> {
    columns[node.columns.clone()].iter_mut().try_for_each(Column::pass)
}

/// Writes one element of a list or map.
type Element<'a> = dyn FnMut(&mut [Column], &mut Vec<u8>) -> Result<(), Error> + 'a;

#[derive(Clone, Copy)]
struct Levels {
    definition: i16,
    repetition: i16,
}

impl Levels {
    fn optional(self) -> Levels {
        Levels { definition: self.definition + 1, ..self }
    }

    fn repeated(self) -> Levels {
        Levels { definition: self.definition + 1, repetition: self.repetition + 1 }
    }
}

/// Walks the schema from its first column to its last.
struct Builder {
    columns: usize,
    depth: usize,
}

impl Builder {
    /// A field with its repetition.
    fn field(&mut self, field: &Type, at: Levels) -> Result<Node, Error> {
        self.depth += 1;
        if self.depth > PARQUET_DEPTH_MAX {
            return Err(bad("the schema is nested too deeply"));
        }
        let start = self.columns;
        let node = match field.get_basic_info().repetition() {
            Repetition::REQUIRED => self.content(field, at)?,
            Repetition::OPTIONAL => {
                let some = self.content(field, at.optional())?;
                self.node(start, Shape::Optional(at.definition + 1, Box::new(some)))?
            }
            // A list without the annotation: a list of the field itself.
            Repetition::REPEATED => {
                let element = self.content(field, at.repeated())?;
                self.list(start, at, element)?
            }
        };
        self.depth -= 1;
        Ok(node)
    }

    /// A field without its repetition.
    fn content(&mut self, field: &Type, at: Levels) -> Result<Node, Error> {
        let start = self.columns;
        if field.is_primitive() {
            self.columns += 1;
            return self.node(start, Shape::Value(Kind::of(field)?));
        }
        match (annotation(field), field.get_fields()) {
            (Annotation::List, [repeated]) if is_repeated(repeated) => {
                let element = match repeated.is_group().then(|| repeated.get_fields()) {
                    Some([element]) if !is_element(field, repeated) => self.field(element, at.repeated())?,
                    _ => self.content(repeated, at.repeated())?,
                };
                self.list(start, at, element)
            }
            (Annotation::Map, [entry]) if is_repeated(entry) && entry.is_group() => {
                let [key, value] = entry.get_fields() else {
                    let element = self.content(entry, at.repeated())?;
                    return self.list(start, at, element);
                };
                let key = self.field(key, at.repeated())?;
                let value = self.field(value, at.repeated())?;
                let Levels { definition, repetition } = at.repeated();
                self.node(start, Shape::Map(definition, repetition, Box::new(key), Box::new(value)))
            }
            (_, fields) => self.object(fields, at),
        }
    }

    fn object(&mut self, fields: &[std::sync::Arc<Type>], at: Levels) -> Result<Node, Error> {
        let start = self.columns;
        let mut nodes = Vec::new();
        for field in fields {
            let mut key = Vec::new();
            super::value::text(field.name(), &mut key);
            key.push(b':');
            nodes.push((key, self.field(field, at)?));
        }
        Ok(Node { columns: start..self.columns, shape: Shape::Object(nodes) })
    }

    fn list(&self, start: usize, at: Levels, element: Node) -> Result<Node, Error> {
        let Levels { definition, repetition } = at.repeated();
        self.node(start, Shape::List(definition, repetition, Box::new(element)))
    }

    /// Without a column nothing says whether it is present.
    fn node(&self, start: usize, shape: Shape) -> Result<Node, Error> {
        if start == self.columns {
            return Err(bad("the schema has a group without columns"));
        }
        Ok(Node { columns: start..self.columns, shape })
    }
}

enum Annotation {
    List,
    Map,
    None,
}

fn annotation(group: &Type) -> Annotation {
    let info = group.get_basic_info();
    match (info.logical_type_ref(), info.converted_type()) {
        (Some(LogicalType::List), _) | (None, ConvertedType::LIST) => Annotation::List,
        (Some(LogicalType::Map), _) | (None, ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE) => {
            Annotation::Map
        }
        _ => Annotation::None,
    }
}

fn is_repeated(field: &Type) -> bool {
    field.get_basic_info().has_repetition() && field.get_basic_info().repetition() == Repetition::REPEATED
}

/// True if the repeated group of a list, with its one field, is the element itself, by the names that old writers gave
/// it (LogicalTypes.md, "Backward-compatibility rules").
fn is_element(list: &Type, repeated: &Type) -> bool {
    let inner_repeated = repeated.get_fields().first().is_some_and(|field| is_repeated(field));
    let old_name = repeated.name() == "array" || repeated.name() == format!("{}_tuple", list.name());
    old_name || inner_repeated || !matches!(annotation(repeated), Annotation::None)
}
