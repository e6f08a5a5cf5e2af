//! Objects of the library's writer, whole and damaged.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::data_type::Int96;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::samples::{Cells, PLAIN, Stored, Style, object};
use crate::decode::inflate::samples::gzip;
use crate::decode::{Bare, Bounds, Decoder, Error, EventBody, Format, Newlines, Others, Scratch};

fn decode_in(object: &[u8], format: Format, bounds: Bounds, size: usize) -> (Vec<String>, Result<(), Error>) {
    let may_have_newlines = format.reads_documents();
    let (mut decoder, mut scratch, mut records) = (Decoder::new(format, bounds), Scratch::new(), Vec::new());
    let mut chunks = object.chunks(size).peekable();
    loop {
        let chunk = chunks.next().unwrap_or_default();
        let last = chunks.peek().is_none();
        let result = decoder.push(chunk, last, &mut scratch, &mut |record: crate::decode::Record<'_>| {
            assert!(may_have_newlines || record.newlines == Newlines::Absent);
            records.push(String::from_utf8(record.bytes.to_vec()).unwrap());
        });
        if last || result.is_err() {
            let bytes: usize = records.iter().map(String::len).sum();
            assert!(
                result == Err(Error::Spent) || object.is_empty() || decoder.expanded_bytes() >= bytes as u64
            );
            return (records, result);
        }
    }
}

fn decode(object: &[u8]) -> (Vec<String>, Result<(), Error>) {
    decode_in(object, Format::Parquet, Bounds::default(), usize::MAX)
}

fn rows(object: &[u8]) -> Vec<String> {
    let (rows, result) = decode(object);
    assert_eq!(result, Ok(()));
    rows
}

fn cells(values: Stored, definitions: &[i16], repetitions: &[i16]) -> Cells {
    Cells { values, definitions: definitions.to_vec(), repetitions: repetitions.to_vec() }
}

fn strings(values: &[&str]) -> Stored {
    Stored::Bytes(values.iter().map(|value| value.as_bytes().to_vec()).collect())
}

#[test]
fn all_types() {
    let mut int96 = Int96::new();
    int96.set_data(5, 0, 2_440_588);
    let columns: Vec<(&str, Stored, &str)> = vec![
        ("boolean b", Stored::Bool(vec![true]), "true"),
        ("int32 i", Stored::Int32(vec![-7]), "-7"),
        ("int32 u8 (UINT_8)", Stored::Int32(vec![200]), "200"),
        ("int32 u32 (UINT_32)", Stored::Int32(vec![-1]), "4294967295"),
        ("int64 l", Stored::Int64(vec![9_007_199_254_740_993]), "9007199254740993"),
        ("int64 ul (UINT_64)", Stored::Int64(vec![-1]), "18446744073709551615"),
        ("int96 t96", Stored::Int96(vec![int96]), "\"1970-01-01T00:00:00.000000005Z\""),
        ("float f", Stored::Float(vec![0.1]), "0.1"),
        ("double d", Stored::Double(vec![1e300]), "1e+300"),
        ("double nan", Stored::Double(vec![f64::NAN]), "null"),
        ("binary s (UTF8)", strings(&["a\n\"é\u{2028}"]), "\"a\\n\\\"é\u{2028}\""),
        ("binary bad (UTF8)", Stored::Bytes(vec![vec![0xff]]), "\"/w==\""),
        ("binary raw", Stored::Bytes(vec![vec![0, 0xff]]), "\"AP8=\""),
        ("binary j (JSON)", strings(&["{}"]), "\"{}\""),
        ("int32 day (DATE)", Stored::Int32(vec![1]), "\"1970-01-02\""),
        ("int32 tm (TIME_MILLIS)", Stored::Int32(vec![1]), "\"00:00:00.001\""),
        ("int64 tu (TIME_MICROS)", Stored::Int64(vec![1]), "\"00:00:00.000001\""),
        ("int64 ms (TIMESTAMP_MILLIS)", Stored::Int64(vec![1]), "\"1970-01-01T00:00:00.001Z\""),
        ("int64 us (TIMESTAMP_MICROS)", Stored::Int64(vec![1]), "\"1970-01-01T00:00:00.000001Z\""),
        ("int64 ns (TIMESTAMP(NANOS,true))", Stored::Int64(vec![1]), "\"1970-01-01T00:00:00.000000001Z\""),
        ("int64 lo (TIMESTAMP(MILLIS,false))", Stored::Int64(vec![1]), "\"1970-01-01T00:00:00.001\""),
        ("int32 d9 (DECIMAL(9,2))", Stored::Int32(vec![-150]), "-1.50"),
        ("int64 d18 (DECIMAL(18,0))", Stored::Int64(vec![12]), "12"),
        ("binary db (DECIMAL(20,1))", Stored::Bytes(vec![vec![1, 0]]), "25.6"),
        ("fixed_len_byte_array(2) df (DECIMAL(4,3))", Stored::Fixed(vec![vec![0xff, 0xff]]), "-0.001"),
        ("fixed_len_byte_array(3) fx", Stored::Fixed(vec![b"abc".to_vec()]), "\"abc\""),
        (
            "fixed_len_byte_array(16) id (UUID)",
            Stored::Fixed(vec![vec![1; 16]]),
            "\"01010101-0101-0101-0101-010101010101\"",
        ),
    ];
    let fields: String = columns.iter().map(|(field, _, _)| format!("required {field}; ")).collect();
    let name = |field: &str| field.split(' ').nth(1).unwrap().to_owned();
    let expected: Vec<String> =
        columns.iter().map(|(field, _, text)| format!("\"{}\":{text}", name(field))).collect();
    let group = columns.into_iter().map(|(_, values, _)| values.into()).collect();
    let rows = rows(&object(&format!("message m {{ {fields} }}"), &[group], PLAIN));
    assert_eq!(rows, [format!("{{{}}}", expected.join(","))]);
}

#[test]
fn nulls_lists_structures_and_maps() {
    let schema = "message m {
        optional int32 n;
        optional group tags (LIST) { repeated group list { optional binary element (UTF8); } }
        optional group who { required binary name (UTF8); optional int32 age; }
        required group labels (MAP) { repeated group key_value { required int32 key; optional binary value (UTF8); } }
        repeated int64 plain;
        optional group old (LIST) { repeated int32 array; }
        required group deep (LIST) {
          repeated group list { required group element (LIST) { repeated group list { required int32 element; } } }
        }
    }";
    let group = vec![
        cells(Stored::Int32(vec![1]), &[1, 0, 0], &[]),
        cells(strings(&["a", "b"]), &[3, 2, 3, 1, 0], &[0, 1, 1, 0, 0]),
        cells(strings(&["ann", "bob"]), &[1, 1, 0], &[]),
        cells(Stored::Int32(vec![30]), &[2, 1, 0], &[]),
        cells(Stored::Int32(vec![1, 2]), &[1, 1, 0, 0], &[0, 1, 0, 0]),
        cells(strings(&["x"]), &[2, 1, 0, 0], &[0, 1, 0, 0]),
        cells(Stored::Int64(vec![5, 6]), &[1, 1, 0, 0], &[0, 1, 0, 0]),
        cells(Stored::Int32(vec![7]), &[2, 1, 0], &[0, 0, 0]),
        cells(Stored::Int32(vec![1, 2, 3]), &[2, 2, 2, 1, 0], &[0, 2, 1, 0, 0]),
    ];
    assert_eq!(
        rows(&object(schema, &[group], PLAIN)),
        [
            r#"{"n":1,"tags":["a",null,"b"],"who":{"name":"ann","age":30},"labels":{"1":"x","2":null},"plain":[5,6],"old":[7],"deep":[[1,2],[3]]}"#,
            r#"{"n":null,"tags":[],"who":{"name":"bob","age":null},"labels":{},"plain":[],"old":[],"deep":[[]]}"#,
            r#"{"n":null,"tags":null,"who":null,"labels":{},"plain":[],"old":null,"deep":[]}"#,
        ]
    );
}

const SCHEMA: &str = "message m { required int64 a; optional binary b (UTF8); optional group c (LIST) { repeated group list { required int32 element; } } }";

type Row = (i64, Option<String>, Option<Vec<i32>>);

/// The levels as the format's documentation derives them, row by row.
fn group(rows: &[Row]) -> Vec<Cells> {
    let (mut b, mut b_levels, mut c, mut c_levels, mut c_repetitions) =
        (vec![], vec![], vec![], vec![], vec![]);
    for (_, text, list) in rows {
        b_levels.push(i16::from(text.is_some()));
        b.extend(text.iter().map(|text| text.clone().into_bytes()));
        match list.as_deref() {
            None | Some([]) => {
                c_levels.push(i16::from(list.is_some()));
                c_repetitions.push(0);
            }
            Some(elements) => {
                c_levels.extend(elements.iter().map(|_| 2));
                c_repetitions.extend((0..elements.len()).map(|n| i16::from(n > 0)));
                c.extend(elements);
            }
        }
    }
    vec![
        Stored::Int64(rows.iter().map(|row| row.0).collect()).into(),
        cells(Stored::Bytes(b), &b_levels, &[]),
        cells(Stored::Int32(c), &c_levels, &c_repetitions),
    ]
}

fn expected(rows: &[Row]) -> Vec<Value> {
    rows.iter().map(|(a, b, c)| json!({"a": a, "b": b, "c": c})).collect()
}

fn parsed(rows: &[String]) -> Vec<Value> {
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

fn sample(count: i64) -> Vec<Row> {
    let row = |n: i64| {
        let list = (n % 4 > 0).then(|| (0..n as i32 % 5).collect());
        (n * n, (n % 3 > 0).then(|| format!("text {}", n % 17)), list)
    };
    (0..count).map(row).collect()
}

fn styles() -> Vec<Style> {
    let compressions = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(Default::default()),
        Compression::LZ4_RAW,
    ];
    let mut styles = Vec::new();
    for compression in compressions {
        for (version_2, dictionary) in [(false, true), (true, false), (true, true), (false, false)] {
            styles.push(Style { compression, version_2, dictionary, encoding: None, page_rows: 100 });
        }
    }
    styles
}

#[test]
fn every_compression_and_page_version() {
    let rows_of = [sample(1300), sample(7)];
    let groups: Vec<_> = rows_of.iter().map(|rows| group(rows)).collect();
    for style in styles() {
        let rows = rows(&object(SCHEMA, &groups, style));
        assert_eq!(parsed(&rows), expected(&rows_of.concat()), "{style:?}");
    }
}

#[test]
fn parquet_is_found_under_other_formats() {
    let object = object(SCHEMA, &[group(&sample(3))], PLAIN);
    let whole = rows(&object);
    for format in
        [Format::Detect, Format::Lines { header_lines: 1 }, Format::Json { path: vec!["x".to_owned()] }]
    {
        for size in [1, 2, 3, 4, 5, 6, 100, usize::MAX] {
            for object in [object.clone(), gzip(&object)] {
                let decoded = decode_in(&object, format.clone(), Bounds::default(), size);
                assert_eq!(decoded, (whole.clone(), Ok(())));
            }
        }
    }
}

#[test]
fn rows_are_documents_where_the_format_says_which_it_reads() {
    let others = Others { bare: Bare::Members(vec![vec!["id".to_owned()]]), ..Others::default() };
    let json = Box::new(Format::Json { path: vec!["Records".to_owned()] });
    let of_ids = Format::Or { format: json, others: Arc::new(others) };
    let decode = |schema: &str, cells, format: &Format| {
        let object = object(schema, &[vec![cells]], PLAIN);
        let whole = decode_in(&object, format.clone(), Bounds::default(), usize::MAX);
        assert_eq!(decode_in(&object, format.clone(), Bounds::default(), 7), whole);
        whole
    };
    let of_column = |name: &str| format!("message m {{ required int64 {name}; }}");
    let (rows, result) = decode(&of_column("id"), Stored::Int64(vec![1, 2]).into(), &of_ids);
    assert_eq!((rows, result), (vec![r#"{"id":1}"#.to_owned(), r#"{"id":2}"#.to_owned()], Ok(())));
    let (rows, result) = decode(&of_column("a"), Stored::Int64(vec![1, 2]).into(), &of_ids);
    assert!(
        rows.is_empty() && matches!(result, Err(Error::UnexpectedDocuments { count: 2, .. })),
        "{result:?}"
    );
    let list = |name: &str, of: &str| {
        format!(
            "message m {{ required group {name} (LIST) {{ repeated group list {{ required group element {{ {of} }} }} }} }}"
        )
    };
    let cells_of = |values| cells(values, &[1, 1], &[0, 1]);
    let records = cells_of(Stored::Int64(vec![1, 2]));
    let (rows, result) = decode(&list("Records", "required int64 x;"), records, &of_ids);
    assert_eq!((rows, result), (vec![r#"{"x":1}"#.to_owned(), r#"{"x":2}"#.to_owned()], Ok(())));
    let messages = Format::CloudWatch { body: EventBody::Message };
    let events = cells_of(strings(&["x", "y"]));
    let (rows, result) = decode(&list("logEvents", "required binary message (UTF8);"), events, &messages);
    assert_eq!((rows, result), (vec!["x".to_owned(), "y".to_owned()], Ok(())));
    let (rows, result) = decode(&of_column("id"), Stored::Int64(vec![1]).into(), &messages);
    assert!(rows.is_empty() && result.is_err());
}

#[test]
fn an_empty_group_may_come_first() {
    let groups = [group(&[]), group(&sample(2))];
    let object = object(SCHEMA, &groups, Style { version_2: true, ..PLAIN });
    let (rows, result) = decode_in(&object, Format::Detect, Bounds::default(), 1);
    assert_eq!((parsed(&rows), result), (expected(&sample(2)), Ok(())));
}

#[test]
fn files_that_were_put_together_are_refused() {
    let one = |count| {
        object("message m { required int64 n; }", &[vec![Stored::Int64((0..count).collect()).into()]], PLAIN)
    };
    let (a, b, none) = (one(3), one(2), object("message m { required int64 n; }", &[], PLAIN));
    let (packed, between) = ([gzip(&a), gzip(&b)].concat(), [&a[..], b"\n", &b].concat());
    for joined in [[&a[..], &b].concat(), [&a[..], &none].concat(), [&none[..], &a].concat(), packed, between]
    {
        let (rows, result) = decode(&joined);
        assert!(rows.is_empty());
        assert!(result.unwrap_err().to_string().contains("several files"));
    }
    let text = object(
        "message m { required binary s (UTF8); }",
        &[vec![strings(&["PAR1PAR1", "PAR1", "PAR1"]).into()]],
        PLAIN,
    );
    assert_eq!(rows(&text).len(), 3);
}

/// The object with its footer changed.
fn with_footer(object: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (body, end) = object.split_at(object.len() - 8);
    let length = u32::from_le_bytes(*end.first_chunk().unwrap()) as usize;
    let (data, footer) = body.split_at(body.len() - length);
    let mut footer = footer.to_vec();
    change(&mut footer);
    [data, &footer, &u32::try_from(footer.len()).unwrap().to_le_bytes(), b"PAR1"].concat()
}

#[test]
fn encrypted_columns_are_named() {
    let object = object("message m { required int64 n; }", &[vec![Stored::Int64(vec![1]).into()]], PLAIN);
    let encrypted = with_footer(&object, |footer| {
        // Field 8, which is a structure, before the end.
        let stop = footer.pop().unwrap();
        footer.extend([0x0c, 16, 0, stop]);
    });
    assert!(matches!(decode(&encrypted).1, Err(Error::Foreign { name: "encrypted Parquet", .. })));
}

#[test]
fn text_may_begin_like_parquet() {
    for text in ["PAR1", "PAR", "P", "PAR1 is a word", "PAR\n1", "PARTY", "PAR1PAR1"] {
        for size in 1..9 {
            let decoded =
                decode_in(text.as_bytes(), Format::Lines { header_lines: 0 }, Bounds::default(), size);
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            assert_eq!(decoded, (lines, Ok(())));
        }
    }
}

#[test]
fn nothing_gives_nothing() {
    assert_eq!(decode(b""), (vec![], Ok(())));
    assert_eq!(decode(&object(SCHEMA, &[], PLAIN)), (vec![], Ok(())));
    assert_eq!(decode(&object(SCHEMA, &[group(&[])], PLAIN)), (vec![], Ok(())));
    assert_eq!(decode(&object("message m { }", &[], PLAIN)), (vec![], Ok(())));
}

#[test]
fn a_truncated_object_says_so() {
    let object = object(SCHEMA, &[group(&sample(3))], PLAIN);
    for length in 1..object.len() {
        let (rows, result) = decode(&object[..length]);
        assert!(rows.is_empty());
        let Err(Error::BadParquet { .. }) = result else { panic!("{length}: {result:?}") };
    }
    let message = decode(&object[..object.len() - 1]).1.unwrap_err().to_string();
    assert_eq!(message, "bad Parquet: the object is truncated: its footer is missing");
}

#[test]
fn row_groups_before_the_damage_are_delivered() {
    let first = sample(40);
    let style = Style { compression: Compression::SNAPPY, ..PLAIN };
    let whole = object(SCHEMA, &[group(&first)], style);
    let mut damaged = object(SCHEMA, &[group(&first), group(&sample(30))], style);
    // The second group begins where the footer of the object with one begins.
    let footer = u32::from_le_bytes(whole[whole.len() - 8..].first_chunk::<4>().copied().unwrap()) as usize;
    let start = whole.len() - 8 - footer;
    damaged[start..start + 60].fill(0xee);
    let (rows, result) = decode(&damaged);
    assert_eq!(parsed(&rows), expected(&first));
    assert!(matches!(result, Err(Error::BadParquet { .. })), "{result:?}");
}

#[test]
fn what_must_be_held_is_bounded() {
    let object = object(SCHEMA, &[group(&sample(3000))], Style { compression: Compression::SNAPPY, ..PLAIN });
    let bounds = |held_bytes_max| Bounds { held_bytes_max, ..Bounds::default() };
    let decode = |max, size| decode_in(&object, Format::Detect, bounds(max), size).1;
    assert_eq!(decode(object.len() - 1, 100), Err(Error::ObjectTooLarge { max: object.len() - 1 }));
    assert_eq!(decode(object.len() + 9, usize::MAX), Err(Error::FooterTooLarge { max: 9 }));
    let max = object.len() + (50 << 10);
    let error = decode(max, usize::MAX).unwrap_err();
    assert_eq!(error, Error::PagesTooLarge { max });
    assert!(error.to_string().contains("memory_limit"));
    assert_eq!(decode(1 << 20, 1000), Ok(()));
}

#[test]
fn pages_are_only_held_while_they_are_needed() {
    let rows = sample(20_000);
    let style = Style { page_rows: 50, compression: Compression::SNAPPY, ..PLAIN };
    let object = object(SCHEMA, &[group(&rows)], style);
    // All pages together take more than this.
    let bounds = Bounds { held_bytes_max: object.len() + (100 << 10), ..Bounds::default() };
    let (decoded, result) = decode_in(&object, Format::Parquet, bounds, usize::MAX);
    assert_eq!((decoded.len(), result), (rows.len(), Ok(())));
}

#[test]
fn bombs_and_large_rows_are_refused() {
    let text = "x".repeat(5 << 20);
    let rows: Vec<Row> = (0..20).map(|n| (n, Some(text.clone()), None)).collect();
    let style = Style { compression: Compression::GZIP(Default::default()), page_rows: 1, ..PLAIN };
    let bomb = object(SCHEMA, &[group(&rows)], style);
    let (decoded, result) = decode(&bomb);
    assert!(matches!(result, Err(Error::Bomb { .. })), "{result:?}");
    assert!(decoded.len() < rows.len());
    let small = Bounds { record_bytes_max: 1 << 20, ..Bounds::default() };
    let (decoded, result) = decode_in(&bomb, Format::Parquet, small, usize::MAX);
    assert_eq!((decoded.len(), result), (0, Err(Error::RecordTooLarge { max: 1 << 20 })));
}

#[test]
fn unsupported_compression_is_named() {
    use super::codec::Codec;
    let error = Codec::of(Compression::LZO).err().unwrap();
    assert_eq!(error.to_string(), "bad Parquet: LZO compression is not supported");
}

/// VPC flow logs as the VPC guide names and types their columns.
const VPC: &str = "message vpc {
    optional int32 version; optional binary account_id (UTF8); optional binary interface_id (UTF8);
    optional binary srcaddr (UTF8); optional binary dstaddr (UTF8); optional int32 srcport; optional int32 dstport;
    optional int32 protocol; optional int64 packets; optional int64 bytes; optional int64 start; optional int64 end;
    optional binary action (UTF8); optional binary log_status (UTF8);
}";

fn vpc_object() -> Vec<u8> {
    let text = |values: &[&str]| strings(values);
    let (all, two) = (&[1, 1, 1][..], &[1, 1, 0][..]);
    let (first, second) = ("eni-0a4d8c17e3f29b560", "eni-0f61b92d75ce8a034");
    let columns = vec![
        cells(Stored::Int32(vec![2; 3]), all, &[]),
        cells(text(&["111122223333"; 3]), all, &[]),
        cells(text(&[first, second, second]), all, &[]),
        cells(text(&["10.0.17.4", "2001:db8:17::9"]), two, &[]),
        cells(text(&["198.51.100.77", "2001:db8:17::4"]), two, &[]),
        cells(Stored::Int32(vec![49_152, 40_022]), two, &[]),
        cells(Stored::Int32(vec![443, 3389]), two, &[]),
        cells(Stored::Int32(vec![6, 6]), two, &[]),
        cells(Stored::Int64(vec![25, 1]), two, &[]),
        cells(Stored::Int64(vec![12_044, 4_294_967_297]), two, &[]),
        cells(Stored::Int64(vec![1_773_480_390, 1_773_480_391, 1_773_480_392]), all, &[]),
        cells(Stored::Int64(vec![1_773_480_450, 1_773_480_451, 1_773_480_452]), all, &[]),
        cells(text(&["ACCEPT", "REJECT"]), two, &[]),
        cells(text(&["OK", "OK", "NODATA"]), all, &[]),
    ];
    object(
        VPC,
        &[columns],
        Style { compression: Compression::GZIP(Default::default()), dictionary: true, ..PLAIN },
    )
}

/// The sample's `object` is what `vpc_object` makes: `UPDATE_SAMPLES=1` writes it again.
#[test]
fn the_sample_of_vpc_flow_logs() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/aws_sqs_vpc/parquet");
    if std::env::var_os("UPDATE_SAMPLES").is_some() {
        std::fs::write(folder.join("object"), vpc_object()).unwrap();
    }
    let object = std::fs::read(folder.join("object")).unwrap();
    let frames = std::fs::read_to_string(folder.join("expected.frames")).unwrap();
    let bodies: Vec<&str> = frames.lines().map(|frame| frame.split_once("vpc.flow: ").unwrap().1).collect();
    assert_eq!(rows(&object), bodies);
    assert_eq!(rows(&vpc_object()), bodies);
    let as_configured = decode_in(&object, Format::Lines { header_lines: 1 }, Bounds::default(), 100);
    assert_eq!(as_configured.0, bodies);
}

fn any_row() -> impl Strategy<Value = Row> {
    let list = proptest::option::of(proptest::collection::vec(any::<i32>(), 0..4));
    (any::<i64>(), proptest::option::of(".{0,12}"), list)
}

fn any_style() -> impl Strategy<Value = Style> {
    let encoding = prop_oneof![Just(None), Just(Some(Encoding::PLAIN))];
    (proptest::sample::select(styles()), encoding, 1..20usize)
        .prop_map(|(style, encoding, page_rows)| Style { encoding, page_rows, ..style })
}

proptest! {
    #[test]
    fn rows_are_those_that_were_written(
        groups in proptest::collection::vec(proptest::collection::vec(any_row(), 0..60), 0..4),
        style in any_style(), size in 1..500usize,
    ) {
        let cells: Vec<_> = groups.iter().map(|rows| group(rows)).collect();
        let object = object(SCHEMA, &cells, style);
        let (rows, result) = decode_in(&object, Format::Detect, Bounds::default(), size);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(parsed(&rows), expected(&groups.concat()));
    }

    #[test]
    fn no_damage_panics(
        style in any_style(), count in 0..40i64,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut object = object(SCHEMA, &[group(&sample(count)), group(&sample(5))], style);
        for (at, byte) in damage {
            let at = at.index(object.len());
            object[at] = byte;
        }
        let bounds = Bounds { held_bytes_max: 1 << 20, record_bytes_max: 1 << 16, ..Bounds::default() };
        let (rows, _) = decode_in(&object, Format::Parquet, bounds, usize::MAX);
        parsed(&rows);
    }
}
