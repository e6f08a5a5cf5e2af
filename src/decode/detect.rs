//! Detection of lines or JSON: the first line decides.
//!
//! An object that fills the first line is taken for the first of JSON lines. A value that spans several lines, or
//! shares its line with others, makes the text JSON from its start. Anything else is text: a log line may well begin
//! with a bracket.

use super::json::scan::Value;
use super::json::{RECORD_SEPARATOR, is_white};
use crate::base::limits::DETECT_BYTES_MAX;

/// The result of looking at the first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Lines,
    /// The first line is an object.
    JsonLines,
    Json,
}

/// Follows the first line from chunk to chunk.
pub(super) struct Detector {
    state: State,
    seen: usize,
}

enum State {
    Start,
    /// After the first bracket.
    Opened {
        bracket: u8,
        line_ended: bool,
    },
    Inside {
        bracket: u8,
        value: Value,
        /// It is an array whose first element is an object, or an array without elements: its elements are the records.
        array_of_objects: bool,
    },
    /// After the first value, on its line.
    After {
        array_of_objects: bool,
        bracket: u8,
    },
}

impl Detector {
    pub fn new() -> Self {
        Detector { state: State::Start, seen: 0 }
    }

    /// Takes the next bytes of the text. None if more are needed.
    pub fn push(&mut self, data: &[u8]) -> Option<Shape> {
        let room = DETECT_BYTES_MAX - self.seen;
        let looked_at = &data[..data.len().min(room)];
        self.seen += looked_at.len();
        let full = self.seen == DETECT_BYTES_MAX;
        self.look(looked_at).or(full.then_some(Shape::Json))
    }

    /// The text ended before the first line did.
    pub fn finish(&self) -> Shape {
        match self.state {
            // For an open value, the JSON splitter reports what is missing.
            State::Inside { .. } | State::After { array_of_objects: true, .. } => Shape::Json,
            State::After { bracket: b'{', .. } => Shape::JsonLines,
            _ => Shape::Lines,
        }
    }

    fn look(&mut self, data: &[u8]) -> Option<Shape> {
        let mut pos = 0;
        while pos < data.len() {
            match self.step(&data[pos..]) {
                Step::On(length) => pos += length,
                Step::Decided(shape) => return Some(shape),
            }
        }
        None
    }

    /// `data` is not empty.
    fn step(&mut self, data: &[u8]) -> Step {
        match &mut self.state {
            State::Start => self.first(data[0]),
            State::Opened { bracket, line_ended } => match (data[0], *bracket) {
                (white, _) if is_white(white) => {
                    *line_ended |= white == b'\n';
                    Step::On(1)
                }
                (b'"' | b'}', b'{') | (b'{' | b'[' | b'"' | b']', b'[') if *line_ended => {
                    Step::Decided(Shape::Json)
                }
                (b'"' | b'}', b'{') | (b'{' | b'[' | b'"' | b']', b'[') => {
                    let array_of_objects = matches!(data[0], b'{' | b']') && *bracket == b'[';
                    self.enter(array_of_objects)
                }
                _ => Step::Decided(Shape::Lines),
            },
            State::Inside { value, array_of_objects, bracket } => match follow(value, data) {
                Followed::Ended(length) => {
                    self.state = State::After { array_of_objects: *array_of_objects, bracket: *bracket };
                    Step::On(length)
                }
                Followed::Open => Step::On(data.len()),
                Followed::Decided(shape) => Step::Decided(shape),
            },
            State::After { array_of_objects, bracket } => match data[0] {
                b'\n' if *array_of_objects => Step::Decided(Shape::Json),
                b'\n' if *bracket == b'{' => Step::Decided(Shape::JsonLines),
                b' ' | b'\t' | b'\r' => Step::On(1),
                b'{' | b'[' | b',' | RECORD_SEPARATOR => Step::Decided(Shape::Json),
                _ => Step::Decided(Shape::Lines),
            },
        }
    }

    fn first(&mut self, byte: u8) -> Step {
        match byte {
            b'{' | b'[' => self.state = State::Opened { bracket: byte, line_ended: false },
            RECORD_SEPARATOR => return Step::Decided(Shape::Json),
            _ if is_white(byte) => {}
            _ => return Step::Decided(Shape::Lines),
        }
        Step::On(1)
    }

    /// The text after the bracket may be JSON: follow the value from its bracket on.
    fn enter(&mut self, array_of_objects: bool) -> Step {
        let State::Opened { bracket, .. } = self.state else { return Step::On(0) };
        let Ok(mut value) = Value::begin(bracket, 0) else { return Step::Decided(Shape::Lines) };
        // One open bracket does not end a value.
        let _ = value.advance(&[bracket], 0);
        self.state = State::Inside { value, array_of_objects, bracket };
        Step::On(0)
    }
}

/// Follows the first value to its end or to the line's.
fn follow(value: &mut Value, data: &[u8]) -> Followed {
    let line_end = memchr::memchr(b'\n', data);
    match value.advance(&data[..line_end.unwrap_or(data.len())], 0) {
        Some(length) => Followed::Ended(length),
        None if line_end.is_none() => Followed::Open,
        // A JSON string cannot span lines.
        None if value.in_string() => Followed::Decided(Shape::Lines),
        None => Followed::Decided(Shape::Json),
    }
}

enum Step {
    /// Advances by this many bytes.
    On(usize),
    Decided(Shape),
}

enum Followed {
    Ended(usize),
    Open,
    Decided(Shape),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same at every chunk size.
    fn shape(text: &[u8]) -> Shape {
        let shapes: Vec<Shape> = (1..=text.len().max(1)).map(|size| shape_in_chunks(text, size)).collect();
        assert!(shapes.windows(2).all(|pair| pair[0] == pair[1]), "{shapes:?}");
        shapes[0]
    }

    fn all_are(expected: Shape, texts: &[&[u8]]) {
        for text in texts {
            assert_eq!(shape(text), expected, "{}", text.escape_ascii());
        }
    }

    fn shape_in_chunks(text: &[u8], size: usize) -> Shape {
        let mut detector = Detector::new();
        text.chunks(size).find_map(|chunk| detector.push(chunk)).unwrap_or_else(|| detector.finish())
    }

    #[test]
    fn an_object_on_the_first_line_begins_json_lines() {
        all_are(
            Shape::JsonLines,
            &[b"{\"a\":1}\n{\"a\":2}\n", b" \r\n{\"a\":\"}\\\"\"} \r\n", b"{}", b"{\"a\"]\n"],
        );
    }

    #[test]
    fn other_json_is_json() {
        all_are(
            Shape::Json,
            &[
                b"{\n  \"a\": 1\n}\n",
                b"{\"a\":\n1}",
                b"[\n{\"a\":1}]",
                b"{\"a\":1}{\"a\":2}",
                b"{\"a\":1}, {\"a\":2}",
                b"[{},{}]\n",
                b"[{}]",
                b"[]",
                b"[ ]\n",
                b"\x1e{\"a\":1}\n",
                b"{\"a\":1",
            ],
        );
    }

    #[test]
    fn text_is_lines() {
        all_are(
            Shape::Lines,
            &[
                b"",
                b"a b\n",
                b"[2024-01-01] [INFO] started\n",
                b"[error] {1}",
                b"{ start",
                b"[\"a] b\n",
                b"{\"a\":1} and more\n",
                b"[\"a\",\"b\"]\n[\"c\"]\n",
            ],
        );
    }

    #[test]
    fn an_endless_first_line_is_json() {
        let text = [&b"{\"a\":\""[..], &vec![b'x'; 2 * DETECT_BYTES_MAX]].concat();
        assert_eq!(shape_in_chunks(&text, text.len()), Shape::Json);
        assert_eq!(shape_in_chunks(&text, 1000), Shape::Json);
    }
}
