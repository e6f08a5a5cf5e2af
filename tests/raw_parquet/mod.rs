//! Parquet objects for tests, built field by field, so that they can claim what no writer writes.

/// A value in Thrift's compact protocol.
#[derive(Debug, Clone)]
pub enum Value {
    I32(i64),
    I64(i64),
    Binary(Vec<u8>),
    /// The elements' type, their claimed number, and the actual ones.
    List(u8, u64, Vec<Value>),
    Structure(Vec<(i16, Value)>),
}

pub use Value::{Binary, I32, I64, Structure};

pub const I32_KIND: u8 = 5;
pub const BINARY_KIND: u8 = 8;
pub const STRUCTURE_KIND: u8 = 12;

/// A list of structures.
pub fn structures(elements: Vec<Value>) -> Value {
    Value::List(STRUCTURE_KIND, elements.len() as u64, elements)
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64, out: &mut Vec<u8>) {
    varint((value << 1 ^ value >> 63) as u64, out);
}

impl Value {
    fn kind(&self) -> u8 {
        match self {
            I32(_) => I32_KIND,
            I64(_) => 6,
            Binary(_) => BINARY_KIND,
            Value::List(..) => 9,
            Structure(_) => STRUCTURE_KIND,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            I32(value) | I64(value) => zigzag(*value, out),
            Binary(bytes) => {
                varint(bytes.len() as u64, out);
                out.extend_from_slice(bytes);
            }
            Value::List(kind, count, elements) => {
                out.push(0xf0 | kind);
                varint(*count, out);
                elements.iter().for_each(|element| element.write(out));
            }
            Structure(fields) => {
                for (id, value) in fields {
                    out.push(value.kind());
                    zigzag(i64::from(*id), out);
                    value.write(out);
                }
                out.push(0);
            }
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }
}

/// An element of a schema that is a column: its physical type, its repetition and its length.
pub fn column(physical: i64, repetition: i64, width: i64) -> Value {
    let name = Binary(b"c".to_vec());
    Structure(vec![(1, I32(physical)), (2, I32(width)), (3, I32(repetition)), (4, name)])
}

/// The root of a schema with this many columns.
pub fn root(columns: i64) -> Value {
    Structure(vec![(4, Binary(b"m".to_vec())), (5, I32(columns))])
}

/// The header of a page: its kind, its size before and after compression, and the fields of its kind.
pub fn header(kind: i64, expanded: usize, stored: usize, fields: &[i64]) -> Value {
    let numbers = fields.iter().enumerate().map(|(index, value)| (index as i16 + 1, I32(*value)));
    let of_kind = [5, 6, 7, 8][kind as usize];
    Structure(vec![
        (1, I32(kind)),
        (2, I32(expanded as i64)),
        (3, I32(stored as i64)),
        (of_kind, Structure(numbers.collect())),
    ])
}

/// A page that is not compressed.
pub fn page(kind: i64, fields: &[i64], content: &[u8]) -> Vec<u8> {
    [header(kind, content.len(), content.len(), fields).bytes(), content.to_vec()].concat()
}

/// The footer's fields, with one row group of one column that takes `length` bytes after the magic.
pub fn file(schema: Vec<Value>, length: usize, rows: i64, codec: i64) -> Vec<(i16, Value)> {
    let chunk = Structure(vec![
        (1, I32(0)),
        (2, Value::List(I32_KIND, 0, vec![])),
        (3, Value::List(BINARY_KIND, 1, vec![Binary(b"c".to_vec())])),
        (4, I32(codec)),
        (5, I64(rows)),
        (6, I64(length as i64)),
        (7, I64(length as i64)),
        (9, I64(4)),
    ]);
    let chunk = match &schema[1] {
        Structure(element) => match (chunk, &element[0]) {
            (Structure(mut fields), (1, physical)) => {
                fields[0].1 = physical.clone();
                Structure(fields)
            }
            (chunk, _) => chunk,
        },
        _ => chunk,
    };
    let group = Structure(vec![
        (1, structures(vec![Structure(vec![(2, I64(4)), (3, chunk)])])),
        (2, I64(length as i64)),
        (3, I64(rows)),
    ]);
    vec![(1, I32(1)), (2, structures(schema)), (3, I64(rows)), (4, structures(vec![group]))]
}

/// The object with these pages and this footer.
pub fn object(pages: &[u8], footer: Vec<(i16, Value)>) -> Vec<u8> {
    let footer = Structure(footer).bytes();
    let length = (footer.len() as u32).to_le_bytes();
    [&b"PAR1"[..], pages, &footer, &length, b"PAR1"].concat()
}

/// An object of one column with these pages, which claims this many rows.
pub fn of_column(column: Value, pages: &[u8], rows: i64) -> Vec<u8> {
    object(pages, file(vec![root(1), column], pages.len(), rows, 0))
}

/// Physical types and repetitions of `parquet.thrift`.
pub const INT32: i64 = 1;
pub const BYTE_ARRAY: i64 = 6;
pub const FIXED: i64 = 7;
pub const REQUIRED: i64 = 0;
pub const OPTIONAL: i64 = 1;
pub const REPEATED: i64 = 2;

/// A way of compression.
pub const ZSTD: i64 = 6;

/// Kinds of pages.
pub const DATA: i64 = 0;
pub const DICTIONARY: i64 = 2;

/// Encodings.
pub const PLAIN: i64 = 0;
pub const RLE: i64 = 3;
pub const DELTA_LENGTH: i64 = 6;
pub const DELTA_BYTES: i64 = 7;
pub const SPLIT: i64 = 9;

/// This many lengths in DELTA_BINARY_PACKED, all equal.
pub fn equal_lengths(count: u64, length: i64) -> Vec<u8> {
    let mut out = Vec::new();
    let block = 1 << 30;
    [block, 1, count].into_iter().for_each(|number| varint(number, &mut out));
    zigzag(length, &mut out);
    (0..count.saturating_sub(1).div_ceil(block).min(4)).for_each(|_| out.extend([0, 0]));
    out
}

/// Lengths of 32 bits in DELTA_BINARY_PACKED; at most 33 of them.
fn lengths(lengths: &[i32]) -> Vec<u8> {
    let mut out = vec![0x80, 1, 4];
    varint(lengths.len() as u64, &mut out);
    zigzag(i64::from(lengths[0]), &mut out);
    out.extend([0, 32, 0, 0, 0]);
    let deltas = lengths.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]).to_le_bytes());
    let mut mini: Vec<u8> = deltas.flatten().collect();
    mini.resize(32 * 4, 0);
    [out, mini].concat()
}

/// Values in DELTA_BYTE_ARRAY, of which all except the first only repeat it.
fn repeats(count: usize, length: usize) -> Vec<u8> {
    let at_first = |first, then| {
        let mut all = vec![then; count];
        all[0] = first;
        lengths(&all)
    };
    let (prefixes, suffixes) = (at_first(0, length as i32), at_first(length as i32, 0));
    [prefixes, suffixes, vec![b'x'; length]].concat()
}

/// Objects that claim more than they contain, each with its claim.
pub fn liars() -> Vec<(&'static str, Vec<u8>)> {
    const MANY: i64 = i32::MAX as i64;
    let strings = || column(BYTE_ARRAY, REQUIRED, 0);
    let footer = |field: (i16, Value)| {
        let mut footer = file(vec![root(1), strings()], 0, 0, 0);
        footer.push(field);
        object(b"", footer)
    };
    let empty = Structure(vec![]);
    let group = Structure(vec![(4, I64(0))]);
    let count = 32;
    vec![
        ("values of a dictionary", of_column(strings(), &page(DICTIONARY, &[MANY, PLAIN], b""), 1)),
        (
            "values of a dictionary of fixed length",
            of_column(column(FIXED, REQUIRED, 1), &page(DICTIONARY, &[MANY, PLAIN], b"x"), 1),
        ),
        (
            "values of no length",
            of_column(column(FIXED, REQUIRED, 0), &page(DATA, &[MANY, PLAIN, RLE, RLE], b""), 1),
        ),
        (
            "values of great length",
            of_column(column(FIXED, REQUIRED, MANY), &page(DATA, &[MANY, SPLIT, RLE, RLE], b""), MANY),
        ),
        (
            "lengths",
            of_column(
                strings(),
                &page(DATA, &[MANY, DELTA_LENGTH, RLE, RLE], &equal_lengths(1 << 40, 0)),
                MANY,
            ),
        ),
        (
            "lengths of nothing",
            of_column(
                strings(),
                &page(DATA, &[MANY, DELTA_LENGTH, RLE, RLE], &equal_lengths(1 << 31, 0)),
                MANY,
            ),
        ),
        (
            "values that repeat the one before",
            of_column(
                strings(),
                &page(DATA, &[count, DELTA_BYTES, RLE, RLE], &repeats(count as usize, 4 << 20)),
                count,
            ),
        ),
        (
            "elements of one list",
            // Levels in runs: one repetition level 0 and 2^30 of 1, as many definition levels of 1.
            {
                let run = |count: u64, value: u8| {
                    let mut out = Vec::new();
                    varint(count << 1, &mut out);
                    out.push(value);
                    out
                };
                let many = 1 << 23;
                let repetitions = [run(1, 0), run(many - 1, 1)].concat();
                let definitions = run(many, 1);
                let sized = |levels: Vec<u8>| [&(levels.len() as u32).to_le_bytes()[..], &levels].concat();
                let content = [sized(repetitions), sized(definitions), vec![0; 1 << 20]].concat();
                of_column(
                    column(BYTE_ARRAY, REPEATED, 0),
                    &page(DATA, &[many as i64, PLAIN, RLE, RLE], &content),
                    1,
                )
            },
        ),
        ("bytes of a page", {
            let header = header(DATA, MANY as usize, 3, &[1, PLAIN, RLE, RLE]).bytes();
            let page = [&header[..], b"abc"].concat();
            object(&page, file(vec![root(1), strings()], page.len(), 1, ZSTD))
        }),
        (
            "key and value pairs",
            footer((5, Value::List(STRUCTURE_KIND, 1 << 20, vec![empty.clone(); 1 << 20]))),
        ),
        ("pairs that are not there", footer((5, Value::List(STRUCTURE_KIND, MANY as u64, vec![])))),
        ("row groups", footer((4, Value::List(STRUCTURE_KIND, 1 << 20, vec![group; 1 << 20])))),
        (
            "children of the root",
            object(
                b"",
                vec![
                    (1, I32(1)),
                    (2, structures(vec![root(MANY), strings()])),
                    (3, I64(0)),
                    (4, structures(vec![])),
                ],
            ),
        ),
        ("names of groups", {
            // Each column keeps the long name of its group.
            let name = Binary(vec![b'n'; 64 << 10]);
            let group = Structure(vec![(3, I32(0)), (4, name), (5, I32(10_000))]);
            let schema = [vec![root(1), group], vec![column(INT32, OPTIONAL, 0); 10_000]].concat();
            object(b"", vec![(1, I32(1)), (2, structures(schema)), (3, I64(0)), (4, structures(vec![]))])
        }),
    ]
}
