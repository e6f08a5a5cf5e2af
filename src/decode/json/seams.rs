//! The line ends between the tokens of a JSON value.
//!
//! A value may span lines. Lines of two writers that were torn into each other, and lines that were cut off, look the same
//! if their brackets match by chance. So the tokens before and after a line end must be able to follow each other, and a
//! value that ends a line must be where a value can be: a torn line has another one behind any of its tokens. What is
//! wrong within a line is nobody's torn line, and not checked.

use super::scan::{Fault, Value};
use super::white::has_line_end;
use crate::base::limits::JSON_LEVELS_CHECKED;

/// The faults of a value's line ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Faults {
    pub line_end_in_string: bool,
    /// The first token that cannot follow the line before it, as its position in the value.
    pub torn: Option<usize>,
}

impl Faults {
    /// The worst one, at its position in a value of this length.
    pub fn worst(self, length: usize) -> Result<(), Fault> {
        if self.line_end_in_string {
            return Err(Fault { at: length, cause: LINE_END_IN_STRING });
        }
        self.torn.map_or(Ok(()), |at| Err(Fault { at, cause: TORN }))
    }
}

/// JSON writes a line feed in a string as `\n`. A line that was cut off would be joined with the next one here.
pub(super) const LINE_END_IN_STRING: &str = "a line end inside a string: either a line was cut off, or its writer does not escape line ends in strings";

/// The lines of a value do not continue each other.
pub(super) const TORN: &str = "this cannot follow the line before it: probably the lines of two writers were torn into each other, or a line was cut off";

/// A token, as far as its neighbours matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Comma,
    Colon,
    String,
    /// A number, a literal, or anything else that is not JSON.
    Scalar,
    /// The first bracket of an object or array.
    Open,
    /// The last bracket of one.
    Close(Inside),
}

/// The brackets around a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    Object,
    Array,
}

/// The token before a seam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Opened,
    Comma,
    Key,
    Colon,
    Value,
    /// An object or array where no value can be, as it follows another one or is in the place of a key.
    Glued,
    /// Something that was wrong within its line: anything may follow.
    Unknown,
}

impl Last {
    fn may_precede(self, next: Token, inside: Inside) -> bool {
        match (next, inside) {
            _ if self == Last::Unknown => true,
            (Token::Open | Token::Scalar | Token::String, Inside::Array) => self.is_before_first_or_next(),
            (Token::String, Inside::Object) => self.is_before_first_or_next() || self == Last::Colon,
            (Token::Open | Token::Scalar, Inside::Object) => self == Last::Colon,
            (Token::Colon, Inside::Object) => self == Last::Key,
            (Token::Colon, Inside::Array) => false,
            (Token::Comma, _) => self == Last::Value,
            // A comma before the last bracket is common, if not JSON.
            (Token::Close(closed), _) => {
                closed == inside && (self.is_before_first_or_next() || self == Last::Value)
            }
        }
    }

    fn is_before_first_or_next(self) -> bool {
        matches!(self, Last::Opened | Last::Comma)
    }
}

/// The place between two tokens of the same brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seam {
    last: Last,
    has_line_end: bool,
}

impl Seam {
    /// The place after a first bracket.
    pub const OPENED: Seam = Seam { last: Last::Opened, has_line_end: false };
    /// The place after a value.
    pub const VALUE: Seam = Seam { last: Last::Value, has_line_end: false };

    /// There is a line end before the next token.
    pub fn line_ends(&mut self) {
        self.has_line_end = true;
    }

    /// Takes the next token. After a first bracket, this is the seam behind the last one. Returns false if the token begins
    /// a line that cannot follow the one before it.
    #[inline]
    pub fn take(&mut self, token: Token, inside: Inside) -> bool {
        let fits = self.last.may_precede(token, inside);
        let is_torn = self.has_line_end && !fits;
        let last = match token {
            Token::Comma => Last::Comma,
            Token::Colon => Last::Colon,
            Token::String if inside == Inside::Object && self.last.is_before_first_or_next() => Last::Key,
            Token::Open if !fits => Last::Glued,
            Token::String | Token::Scalar if !fits => Last::Unknown,
            Token::Open | Token::String | Token::Scalar | Token::Close(_) => Last::Value,
        };
        *self = Seam { last, has_line_end: false };
        !is_torn
    }
}

/// An object or array around the current token.
struct Level {
    inside: Inside,
    /// The seam behind it.
    behind: Seam,
}

/// The check of an object or array, which may come in pieces.
pub(super) struct Seams {
    levels: Vec<Level>,
    /// Levels beyond those that are checked.
    unchecked: u64,
    seam: Seam,
    /// A string that has no end yet.
    string: Option<Value>,
    in_scalar: bool,
    /// The next byte follows a backslash outside strings, which hides a quote from those who look for the value's end.
    escaped: bool,
    /// Bytes in earlier pieces.
    passed: usize,
    faults: Faults,
}

impl Default for Seams {
    fn default() -> Seams {
        Seams {
            levels: Vec::new(),
            unchecked: 0,
            seam: Seam::OPENED,
            string: None,
            in_scalar: false,
            escaped: false,
            passed: 0,
            faults: Faults::default(),
        }
    }
}

impl Seams {
    /// Bytes of the current value so far.
    pub fn passed(&self) -> usize {
        self.passed
    }

    /// Takes the next piece of the value, at first with its first bracket.
    pub fn push(&mut self, piece: &[u8]) {
        let mut pos = 0;
        while pos < piece.len() {
            pos = match &mut self.string {
                Some(string) => {
                    let end = string.advance(piece, pos);
                    self.string.take_if(|_| end.is_some());
                    let end = end.unwrap_or(piece.len());
                    self.faults.line_end_in_string |= has_line_end(&piece[pos..end]);
                    end
                }
                None => self.byte(piece, pos),
            };
        }
        self.passed += piece.len();
    }

    /// Ends the value, and returns what was found in it.
    pub fn finish(&mut self) -> Faults {
        self.levels.clear();
        let levels = std::mem::take(&mut self.levels);
        std::mem::replace(self, Seams { levels, ..Seams::default() }).faults
    }

    /// Takes a byte outside strings, or a run of them. Returns the position after it.
    fn byte(&mut self, piece: &[u8], pos: usize) -> usize {
        let byte = piece[pos];
        let is_escaped = std::mem::take(&mut self.escaped);
        let was_in_scalar = std::mem::take(&mut self.in_scalar);
        match byte {
            b' ' | b'\t' => return blanks(piece, pos),
            b'\n' | b'\r' => self.seam.line_ends(),
            b'"' if !is_escaped => {
                self.token(Token::String, pos);
                self.string = Value::begin(b'"', pos).ok();
                return pos;
            }
            b',' => self.token(Token::Comma, pos),
            b':' => self.token(Token::Colon, pos),
            b'{' => self.open(Inside::Object, pos),
            b'[' => self.open(Inside::Array, pos),
            b'}' => self.close(Inside::Object, pos),
            b']' => self.close(Inside::Array, pos),
            _ => {
                if !was_in_scalar {
                    self.token(Token::Scalar, pos);
                }
                self.in_scalar = true;
                self.escaped = byte == b'\\' && !is_escaped;
            }
        }
        pos + 1
    }

    fn token(&mut self, token: Token, pos: usize) {
        // The seams of levels that are too deep are ignored, and the value itself has no brackets around it.
        let Some(Level { inside, .. }) = self.levels.last().filter(|_| self.unchecked == 0) else { return };
        if !self.seam.take(token, *inside) {
            self.faults.torn.get_or_insert(self.passed + pos);
        }
    }

    fn open(&mut self, inside: Inside, pos: usize) {
        self.token(Token::Open, pos);
        if self.levels.len() == JSON_LEVELS_CHECKED {
            self.unchecked += 1;
            return;
        }
        self.levels.push(Level { inside, behind: self.seam });
        self.seam = Seam::OPENED;
    }

    fn close(&mut self, closed: Inside, pos: usize) {
        if self.unchecked > 0 {
            self.unchecked -= 1;
            if self.unchecked == 0 {
                self.seam = Seam::VALUE;
            }
            return;
        }
        self.token(Token::Close(closed), pos);
        if let Some(Level { behind, .. }) = self.levels.pop() {
            self.seam = behind;
        }
    }
}

/// The position after white space within a line.
#[inline]
fn blanks(piece: &[u8], pos: usize) -> usize {
    let rest = &piece[pos..];
    let length = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    pos + length.unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn torn_in(value: &[u8], size: usize, seams: &mut Seams) -> Option<usize> {
        value.chunks(size).for_each(|piece| seams.push(piece));
        assert_eq!(seams.passed(), value.len());
        let Faults { line_end_in_string, torn } = seams.finish();
        assert_eq!(line_end_in_string, naive_line_end_in_string(value), "{}", value.escape_ascii());
        torn
    }

    /// The naive check, in which a backslash hides a quote anywhere, as in the search for a value's end.
    fn naive_line_end_in_string(value: &[u8]) -> bool {
        let (mut in_string, mut escaped, mut found) = (false, false, false);
        for byte in value {
            in_string ^= *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            found |= in_string && matches!(byte, b'\n' | b'\r');
        }
        found
    }

    /// The same in any pieces, also behind another value.
    fn torn(value: &str) -> Option<usize> {
        let (mut seams, value) = (Seams::default(), value.as_bytes());
        let whole = torn_in(value, value.len(), &mut seams);
        for size in 1..value.len() {
            assert_eq!(torn_in(value, size, &mut seams), whole, "{size}: {}", value.escape_ascii());
        }
        whole
    }

    /// `|` is a line end.
    fn lines(value: &str) -> String {
        value.replace('|', "\n")
    }

    #[test]
    fn what_can_continue_a_line() {
        for value in [
            r#"{|"a"|:|1|,|"b"|:|[|1|,|{|}|,|[|]|]|,|"c"|:|{|"d"|:|"e"|}|}"#,
            r#"[|"a"|,|true|]"#,
            // A comma before the last bracket.
            r#"{"a":[1,|],|}"#,
            // Wrong within their lines.
            r#"{|"a" "b":1,, c:[2 3],"d"::4}|}"#,
            r#"{"a" "b"|:1,{"c":1},|"d":2,|"e":[1,{"f":1]},|"g":1}"#,
            r#"{"a":1{"b":2},|"c":NaN|,"d":'x'|}"#,
            r#"{"a":1 {"b":2}}"#,
            r#"{"a":"[|{|\\"|,"b|":1}"#,
            r#"{"a":\"x|,"b":1}"#,
        ] {
            assert_eq!(torn(&lines(value)), None, "{value}");
            assert_eq!(torn(&value.replace('|', " \r\n\t")), None, "{value}");
        }
    }

    /// `^` is before the first token that is wrong.
    #[test]
    fn what_cannot() {
        for value in [
            // A line within another one, behind any kind of token.
            r#"{"a":"b","n":{"b":1|^{"a":"x"}|,"c":3}}"#,
            r#"{"a"|^{"x":2}|:1}"#,
            r#"{"a":|{"x":2}|^1}"#,
            r#"{"a":1,|^{"x":2}|"b":1}"#,
            r#"{|^{"x":2}|"b":1}"#,
            r#"{"a":[|{"x":2}|^1,2]}"#,
            r#"{"a":[1|^{"x":2}|,2]}"#,
            r#"{"a":[1,|{"x":2}|^2]}"#,
            r#"{"a":[[1]|^[{"x":2}]|,2]}"#,
            r#"{"a":1|^2}"#,
            r#"{"a":tr|^ue}"#,
            // The writers do not begin with a line end.
            r#"{"a":{"b":1{"x":2}|^,"c":3}}"#,
            r#"{"a"{"x":2}|^:1}"#,
            r#"{"a":{"x":2}|^1}"#,
            r#"{"a":1,{"x":2}|^"b":1}"#,
            r#"{{"x":2}|^}"#,
            r#"{"a":[1[{"x":2}]|^]}"#,
            // Lines that were cut off.
            r#"{"a":{"b":1|^{"a":{"b":1}}}"#,
            r#"{"a":{"b"|^{"a":1}}"#,
            r#"{"a":[1,2|^"b":3]}"#,
            r#"{"a":[1,2]|^]"#,
            r#"{"a":|^}"#,
            r#"{"a"|^}"#,
            r#"{"a":1,|^,"b":2}"#,
            r#"{"a":1,|^b:2}"#,
            r#"[1|^:2]"#,
        ] {
            let at = value.find('^');
            assert_eq!(torn(&lines(&value.replace('^', ""))), at, "{value}");
        }
    }

    #[test]
    fn any_depth_will_do() {
        let deep = |inner: &str, levels: usize, end: &str| {
            format!("{}{inner}{}{end}]", "[".repeat(levels), "]".repeat(levels - 1))
        };
        let mut seams = Seams::default();
        for levels in [JSON_LEVELS_CHECKED - 1, JSON_LEVELS_CHECKED, JSON_LEVELS_CHECKED + 1, 200_000] {
            let well = deep("\n1,\n2\n", levels, "\n");
            assert_eq!(torn_in(well.as_bytes(), 1000, &mut seams), None, "{levels}");
            let behind = deep("\n1\n", levels, "\n:");
            assert_eq!(torn_in(behind.as_bytes(), 1000, &mut seams), Some(behind.len() - 2), "{levels}");
            let within = deep("1\n:", levels, "");
            let at = (levels <= JSON_LEVELS_CHECKED).then_some(levels + 2);
            assert_eq!(torn_in(within.as_bytes(), 1000, &mut seams), at, "{levels}");
        }
    }

    /// Kinds: `,` `:` `s`tring `v`alue (other) `[` `{` and their ends.
    struct Found {
        at: usize,
        kind: char,
        begins_line: bool,
    }

    fn tokens(value: &str) -> Vec<Found> {
        let (mut found, mut begins_line, mut at) = (Vec::new(), false, 0);
        while let Some(kind) = value[at..].chars().next() {
            let length = match kind {
                '"' => 2 + value[at + 1..].find('"').unwrap(),
                '0' => value[at..].find(|other| other != '0').unwrap(),
                _ => 1,
            };
            let kind = match kind {
                '\n' => {
                    begins_line = true;
                    at += 1;
                    continue;
                }
                ' ' => {
                    at += 1;
                    continue;
                }
                '"' => 's',
                '0' => 'v',
                other => other,
            };
            found.push(Found { at, kind, begins_line });
            (at, begins_line) = (at + length, false);
        }
        found
    }

    /// The naive judge takes the tokens up to the end of the object or array that has just begun.
    fn judge(tokens: &mut std::slice::Iter<'_, Found>, object: bool, torn: &mut Vec<usize>) {
        // The last token: `k`ey, `v`alue, `g`lued, `?`.
        let mut last = '(';
        while let Some(Found { at, kind, begins_line }) = tokens.next() {
            let is_end = matches!(kind, '}' | ']');
            let may_follow = match (last, object) {
                ('(', true) => "s}",
                ('(', false) => "sv{[]",
                (',', true) => "s}",
                (',', false) => "sv{[]",
                ('k', _) => ":",
                (':', true) => "sv{[",
                ('v', true) => ",}",
                ('v', false) => ",]",
                ('?', _) => ",:sv{[}]",
                _ => "",
            };
            let fits = may_follow.contains(*kind);
            if *begins_line && !fits {
                torn.push(*at);
            }
            if is_end {
                return;
            }
            let is_key = *kind == 's' && object && matches!(last, '(' | ',');
            if matches!(kind, '{' | '[') {
                judge(tokens, *kind == '{', torn);
            }
            last = match kind {
                's' if is_key => 'k',
                '{' | '[' if !fits => 'g',
                's' | 'v' if !fits => '?',
                's' | 'v' | '{' | '[' => 'v',
                other => *other,
            };
        }
    }

    /// Tokens that often continue one another.
    fn text() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "0", "\"\"", "\"a\n}\"", "\n", "\n", " ", "\"a\":", "\"a\":0,",
            "{}", "[0]", ",\n", "\n}", "\n]",
        ]);
        prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_tokens(inner in text(), first in prop::sample::select(vec!["{", "["]), size in 1usize..9) {
            // Brackets are counted, and not paired.
            let text = format!("{first}{inner}{}", "]".repeat(40));
            let end = Value::begin(first.as_bytes()[0], 0).unwrap().advance(text.as_bytes(), 0).unwrap();
            let value = &text[..end];
            let (found, mut torn) = (tokens(value), Vec::new());
            judge(&mut found[1..].iter(), first == "{", &mut torn);
            prop_assert_eq!(torn_in(value.as_bytes(), size, &mut Seams::default()), torn.first().copied(), "{}", value);
        }
    }
}
