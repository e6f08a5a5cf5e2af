//! A line of fields -> itself, or a JSON object (`text_file_processor`).

use super::latin1;

/// The settings for reading a text file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextFile {
    /// The separator of records; not empty.
    pub line_separator: Vec<u8>,
    /// The first non-empty line is not a record. Without `json` it is put before each record, with the line separator
    /// between them.
    pub header: bool,
    /// Converts records to JSON objects.
    pub json: Option<Fields>,
}

/// The fields of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// The separator of fields; not empty.
    pub separator: Vec<u8>,
    pub names: Names,
}

/// The fields' names. A field without a name is `field_N`; the first would be `field_1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    Given(Vec<String>),
    /// The header line has them, with this separator.
    InHeader(Vec<u8>),
}

/// The names of a file's header, which identify the header of another file that was appended to it.
pub(super) struct HeaderLine {
    names: Vec<Vec<u8>>,
    separator: Vec<u8>,
}

impl HeaderLine {
    /// Takes the names from `line`, the file's header.
    pub fn new(file: &TextFile, line: &[u8]) -> Self {
        let separator = match &file.json {
            Some(Fields { names: Names::InHeader(separator), .. }) => separator.clone(),
            _ => b",".to_vec(),
        };
        let mut names = Vec::new();
        each_field(line, &separator, |name| names.push(name.to_vec()));
        HeaderLine { names, separator }
    }

    /// True if the line has the same names, in any order, or more or fewer of them. A line with a single name may be a
    /// record.
    pub fn has_names_of(&self, line: &[u8]) -> bool {
        let may_have = self.names.first().is_some_and(|first| memchr::memmem::find(line, first).is_some());
        if !may_have && !self.begins_with_a_name(line) {
            return false;
        }
        let (mut found, mut fields) = (vec![false; self.names.len()], 0);
        each_field(line, &self.separator, |field| {
            fields += 1;
            if let Some(at) = self.names.iter().position(|name| name == field) {
                found[at] = true;
            }
        });
        let found = found.into_iter().filter(|found| *found).count();
        found > 1 && (found == self.names.len() || found == fields)
    }

    fn begins_with_a_name(&self, line: &[u8]) -> bool {
        let line = line.strip_prefix(b"\"").unwrap_or(line);
        self.names.iter().any(|name| !name.is_empty() && line.starts_with(name))
    }
}

/// One file's names, as written in JSON.
pub(super) struct Header(Vec<Vec<u8>>);

impl Names {
    /// The names, if they are known without a header.
    pub(super) fn given(&self) -> Option<Header> {
        match self {
            Names::Given(names) => {
                Some(Header(names.iter().map(|name| json_string(name.as_bytes())).collect()))
            }
            Names::InHeader(_) => None,
        }
    }

    /// The names in a header line.
    pub(super) fn read(&self, line: &[u8]) -> Option<Header> {
        match self {
            Names::Given(_) => self.given(),
            Names::InHeader(separator) => {
                let mut names = Vec::new();
                each_field(line, separator, |name| names.push(json_string(name)));
                Some(Header(names))
            }
        }
    }
}

impl Header {
    /// Writes a line as a JSON object whose values are strings.
    pub fn write(&self, line: &[u8], separator: &[u8], object: &mut Vec<u8>) {
        object.clear();
        object.push(b'{');
        let mut number = 0;
        each_field(line, separator, |value| {
            if number > 0 {
                object.push(b',');
            }
            match self.0.get(number) {
                Some(name) => object.extend_from_slice(name),
                None => object.extend_from_slice(format!("\"field_{}\"", number + 1).as_bytes()),
            }
            object.push(b':');
            push_json_string(object, value);
            number += 1;
        });
        object.push(b'}');
    }
}

/// Calls `field` with each field. Quotes count only around a whole field: then they are not part of it, it may contain
/// the separator, and two of them stand for one.
fn each_field(line: &[u8], separator: &[u8], mut field: impl FnMut(&[u8])) {
    let mut rest = line;
    loop {
        let after = match quoted(rest, separator) {
            Some((value, after)) => {
                field(&value);
                after
            }
            None => {
                let end = memchr::memmem::find(rest, separator).filter(|_| !separator.is_empty());
                let end = end.unwrap_or(rest.len());
                field(&rest[..end]);
                &rest[end..]
            }
        };
        let Some(next) = after.strip_prefix(separator).filter(|_| !separator.is_empty()) else { return };
        rest = next;
    }
}

/// A quoted field at the start, and the text after it.
fn quoted<'t>(text: &'t [u8], separator: &[u8]) -> Option<(Vec<u8>, &'t [u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut value = Vec::new();
    loop {
        let end = memchr::memchr(b'"', rest)?;
        value.extend_from_slice(&rest[..end]);
        rest = &rest[end + 1..];
        let Some(next) = rest.strip_prefix(b"\"") else { break };
        value.push(b'"');
        rest = next;
    }
    (rest.is_empty() || rest.starts_with(separator)).then_some((value, rest))
}

fn json_string(text: &[u8]) -> Vec<u8> {
    let mut string = Vec::with_capacity(text.len() + 2);
    push_json_string(&mut string, text);
    string
}

/// Writes text as a JSON string. A byte that is not UTF-8 becomes the Latin-1 character of its number, because JSON
/// cannot hold it otherwise.
pub(super) fn push_json_string(json: &mut Vec<u8>, text: &[u8]) {
    json.push(b'"');
    for chunk in text.utf8_chunks() {
        chunk.valid().bytes().for_each(|byte| push_escaped(json, byte));
        chunk.invalid().iter().for_each(|&byte| latin1::push_char(json, byte));
    }
    json.push(b'"');
}

fn push_escaped(json: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => json.extend_from_slice(&[b'\\', byte]),
        b'\n' => json.extend_from_slice(b"\\n"),
        b'\r' => json.extend_from_slice(b"\\r"),
        b'\t' => json.extend_from_slice(b"\\t"),
        0..0x20 => json.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        _ => json.push(byte),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(line: &str, separator: &str) -> Vec<String> {
        let mut fields = Vec::new();
        each_field(line.as_bytes(), separator.as_bytes(), |field| {
            fields.push(String::from_utf8(field.to_vec()).unwrap());
        });
        fields
    }

    fn object(names: &[&str], line: &[u8]) -> String {
        let names = Names::Given(names.iter().map(|&name| name.to_owned()).collect());
        let mut object = Vec::new();
        names.given().unwrap().write(line, b",", &mut object);
        String::from_utf8(object).unwrap()
    }

    #[test]
    fn fields_and_quotes() {
        assert_eq!(fields("a,,b,", ","), ["a", "", "b", ""]);
        assert_eq!(fields("a||b", "||"), ["a", "b"]);
        assert_eq!(fields(r#""a,b","c ""d""",""#, ","), ["a,b", "c \"d\"", "\""]);
        assert_eq!(fields(r#""a" b,"c"#, ","), ["\"a\" b", "\"c"]);
        assert_eq!(fields("", ","), [""]);
    }

    #[test]
    fn another_header_is_known_by_its_names() {
        let names = Some(Fields { separator: b",".to_vec(), names: Names::InHeader(b",".to_vec()) });
        for json in [names, None] {
            let file = TextFile { line_separator: b"\n".to_vec(), header: true, json };
            let is_header = |header: &str, line: &str| {
                HeaderLine::new(&file, header.as_bytes()).has_names_of(line.as_bytes())
            };
            for line in ["b,a,c", "a,b,c,d", "d,c,b,a", "c,a", "\"a\",\"b\""] {
                assert!(is_header("a,b,c", line), "{line}");
            }
            for line in ["a", "a,1", "1,2,3", "a,b,3", "", "a,a"] {
                assert!(!is_header("a,b,c", line), "{line}");
            }
            assert!(!is_header("a", "a,b") && !is_header("a", "b"));
        }
    }

    #[test]
    fn objects() {
        assert_eq!(object(&["a", "b\""], b"1,x\"\t\x01"), r#"{"a":"1","b\"":"x\"\t\u0001"}"#);
        assert_eq!(object(&["a"], b"1,2"), r#"{"a":"1","field_2":"2"}"#);
        assert_eq!(object(&["a", "b"], b"1"), r#"{"a":"1"}"#);
        assert_eq!(object(&["a"], b"\xe9\xc3\xa9"), r#"{"a":"éé"}"#);
        let names = Names::InHeader(b";".to_vec());
        let mut written = Vec::new();
        names.read(b"x;y").unwrap().write(b"1,2", b",", &mut written);
        assert_eq!(written, br#"{"x":"1","y":"2"}"#);
    }

    proptest! {
        #[test]
        fn objects_are_valid_and_hold_every_field(line in "[a-c,é\\\\\u{0}-\u{1f}]{0,40}") {
            let tree: serde_json::Value = serde_json::from_str(&object(&["n"], line.as_bytes())).unwrap();
            let values: Vec<&str> = tree.as_object().unwrap().values().map(|v| v.as_str().unwrap()).collect();
            prop_assert_eq!(values, line.split(',').collect::<Vec<_>>());
        }
    }
}
