//! The whole stage: compression, chunks, damage.

use proptest::prelude::*;

use super::inflate::samples::{gzip, gzip_small, gzip_with_all_fields, gzip_with_isize, zlib, zstd};
use super::*;
use crate::base::limits::MIB;

const LINES: Format = Format::Lines { header_lines: 0 };

struct Decoded {
    records: Vec<Vec<u8>>,
    result: Result<(), Error>,
    expanded: u64,
}

fn decode_in(object: &[u8], format: &Format, bounds: Bounds, size: usize) -> Decoded {
    let bounds = Bounds { object_bytes: object.len() as u64, ..bounds };
    let mut decoder = Decoder::new(format.clone(), bounds);
    let (mut scratch, mut records) = (Scratch::new(), Vec::new());
    let mut sink = |record: Record<'_>| records.push(record.bytes.to_vec());
    let mut chunks = object.chunks(size).peekable();
    let mut result = Ok(());
    while result.is_ok() {
        let chunk = chunks.next().unwrap_or_default();
        let last = chunks.peek().is_none();
        result = decoder.push(chunk, last, &mut scratch, &mut sink);
        if last {
            break;
        }
    }
    Decoded { records, result, expanded: decoder.expanded_bytes() }
}

/// In one chunk, as a stream, and in many sizes of chunks: always the same.
fn decode(object: &[u8], format: &Format) -> Decoded {
    let whole = decode_in(object, format, Bounds::default(), usize::MAX);
    let stream = Bounds { scratch_bytes_max: 0, ..Bounds::default() };
    let small = (1..40).map(|size| (Bounds::default(), size));
    for (bounds, size) in small.chain([(stream, usize::MAX), (Bounds::default(), 1000)]) {
        let other = decode_in(object, format, bounds, size);
        assert_eq!(other.records, whole.records, "{size} bytes at a time");
        assert_eq!(other.result, whole.result, "{size} bytes at a time");
    }
    whole
}

fn lines(object: &[u8]) -> Vec<String> {
    let decoded = decode(object, &LINES);
    assert_eq!(decoded.result, Ok(()));
    decoded.records.into_iter().map(|record| String::from_utf8(record).unwrap()).collect()
}

/// Lines that do not compress to nothing.
fn sample(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|n| format!("line {n} {:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a)).into_bytes())
        .collect()
}

#[test]
fn the_decoder_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Decoder>();
    is_send::<Scratch>();
}

#[test]
fn every_compression_gives_the_same_lines() {
    let text = b"a\nb\r\n\nlast";
    let expected = ["a", "b", "last"];
    assert_eq!(lines(text), expected);
    assert_eq!(lines(&gzip(text)), expected);
    assert_eq!(lines(&gzip_with_all_fields(text)), expected);
    assert_eq!(lines(&zlib(text)), expected);
    assert_eq!(lines(&zstd(text)), expected);
    assert_eq!(lines(&gzip(&gzip(text))), expected);
    assert_eq!(lines(&gzip(&zstd(&gzip(text)))), expected);
}

#[test]
fn nothing_gives_nothing() {
    for object in [vec![], gzip(b""), zstd(b""), zlib(b""), gzip(&gzip(b"")), b"\xef\xbb\xbf".to_vec()] {
        assert!(lines(&object).is_empty());
        assert!(decode(&object, &Format::Json { path: vec!["Records".to_owned()] }).records.is_empty());
        assert_eq!(decode(&object, &Format::Detect).result, Ok(()));
    }
}

#[test]
fn a_line_may_go_over_members_and_frames() {
    assert_eq!(lines(&[gzip(b"a\nb"), gzip(b""), gzip(b"c\n")].concat()), ["a", "bc"]);
    assert_eq!(lines(&[zstd(b"a\nb"), zstd(b"c\n")].concat()), ["a", "bc"]);
    let skippable = [&0x184d_2a53u32.to_le_bytes()[..], &3u32.to_le_bytes(), b"xyz"].concat();
    assert_eq!(lines(&[zstd(b"a\nb"), skippable, zstd(b"c\n")].concat()), ["a", "bc"]);
    assert_eq!(lines(&gzip(&[gzip(b"a\nb"), gzip(b"c\n")].concat())), ["a", "bc"]);
}

#[test]
fn zero_padding_is_no_damage() {
    assert_eq!(lines(&[gzip(b"a\n"), vec![0; 700]].concat()), ["a"]);
    assert_eq!(lines(&[gzip(b"a\n"), vec![0; 7], gzip(b"b\n"), vec![0]].concat()), ["a", "b"]);
    assert_eq!(lines(&[zlib(b"a\n"), vec![0; 7]].concat()), ["a"]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_record() {
    assert_eq!(lines(b"\xef\xbb\xbfa\nb"), ["a", "b"]);
    assert_eq!(decode(b"\xef\xbb", &LINES).records, [b"\xef\xbb"]);
    assert_eq!(decode(b"\xef\xbb\n\xef\xbb\xbf", &LINES).records, [b"\xef\xbb"]);
    let json = decode(b"\xef\xbb\xbf{} x", &Format::Json { path: vec![] });
    assert!(matches!(json.result, Err(Error::BadJson { offset: 6, .. })), "{:?}", json.result);
}

#[test]
fn garbage_behind_the_last_member_costs_no_line() {
    for object in [gzip(b"a\nb"), zlib(b"a\nb"), zstd(b"a\nb")] {
        let decoded = decode(&[&object[..], b"garbage"].concat(), &LINES);
        assert_eq!(decoded.records, [b"a", b"b"]);
        assert!(
            matches!(decoded.result, Err(Error::TrailingGarbage { offset, .. }) if offset == object.len() as u64)
        );
    }
    let inner = decode(&gzip(&[&gzip(b"a\nb")[..], b"\x1fg"].concat()), &LINES);
    assert_eq!(inner.records, [b"a", b"b"]);
    let one_byte = decode(&[&gzip(b"\x28")[..], b"garbage"].concat(), &LINES);
    assert_eq!(one_byte.records, [b"\x28"]);
}

#[test]
fn a_truncated_member_gives_the_lines_before_the_cut() {
    let text = sample(3000);
    let object = gzip(&text);
    for cut in [object.len() - 1, object.len() - 8, object.len() / 2, 30] {
        let decoded = decode_in(&object[..cut], &LINES, Bounds::default(), usize::MAX);
        assert_eq!(decoded.result, Err(Error::Truncated { compression: Compression::Gzip, offset: 0 }));
        let given: Vec<u8> = decoded.records.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect();
        assert!(text.starts_with(&given));
        let streamed = decode_in(&object[..cut], &LINES, Bounds::default(), 100);
        assert_eq!((streamed.records, streamed.result), (decoded.records, decoded.result));
    }
    let nearly_whole = decode_in(&object[..object.len() - 8], &LINES, Bounds::default(), usize::MAX);
    assert_eq!(nearly_whole.records.len(), 3000);
}

#[test]
fn a_damaged_member_gives_the_lines_before_the_damage() {
    let text = sample(3000);
    let (first, mut second) = (gzip(b"first\n"), gzip(&text));
    let middle = second.len() / 2;
    second[middle..middle + 40].fill(0xff);
    let object = [first.clone(), second].concat();
    let decoded = decode_in(&object, &LINES, Bounds::default(), usize::MAX);
    assert!(decoded.records.len() > 500);
    let Err(Error::Corrupt { compression: Compression::Gzip, offset, .. }) = &decoded.result else {
        panic!("{:?}", decoded.result)
    };
    assert_eq!(*offset, first.len() as u64);
    let streamed = decode_in(&object, &LINES, Bounds::default(), 77);
    assert_eq!((streamed.records, streamed.result), (decoded.records, decoded.result));
}

#[test]
fn damaged_zstd_gives_the_blocks_before_the_damage() {
    let text = sample(40_000);
    let mut object = zstd(&text);
    let at = object.len() - 1000;
    object[at..at + 300].fill(0xff);
    let decoded = decode_in(&object, &LINES, Bounds::default(), usize::MAX);
    assert!(matches!(decoded.result, Err(Error::Corrupt { compression: Compression::Zstd, .. })));
    assert!(decoded.records.len() > 10_000);
    let streamed = decode_in(&object, &LINES, Bounds::default(), 77);
    assert_eq!((streamed.records, streamed.result), (decoded.records, decoded.result));
    let cut = decode_in(&object[..at], &LINES, Bounds::default(), 1000);
    assert!(matches!(cut.result, Err(Error::Truncated { compression: Compression::Zstd, .. })));
}

#[test]
fn a_bad_zstd_block_header_costs_no_earlier_block() {
    // A frame without content size; one raw block, then a header of the reserved block type.
    let raw = |content: &[u8]| [&((content.len() as u32) << 3).to_le_bytes()[..3], content].concat();
    let object =
        [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x00][..], &raw(b"a\nb\n"), &[0x06, 0, 0], &[0; 9]].concat();
    let decoded = decode(&object, &LINES);
    assert_eq!(decoded.records, [b"a", b"b"]);
    assert!(matches!(decoded.result, Err(Error::Corrupt { compression: Compression::Zstd, offset: 0, .. })));
}

#[test]
fn a_member_over_the_scratch_is_streamed() {
    let text = sample(60_000);
    let object = [gzip(&text), gzip(b"end\n"), gzip(&text)].concat();
    let bounds = Bounds { scratch_bytes_max: 300_000, ..Bounds::default() };
    let decoded = decode_in(&object, &LINES, bounds, usize::MAX);
    assert_eq!(decoded.result, Ok(()));
    assert_eq!(decoded.records.len(), 120_001);
    assert_eq!(decoded.expanded, 2 * text.len() as u64 + 4);
}

#[test]
fn a_lying_length_field_is_an_error() {
    let decoded = decode(&gzip_with_isize(b"a\nb\n", 5_000), &LINES);
    assert_eq!(decoded.records, [b"a", b"b"]);
    assert!(matches!(decoded.result, Err(Error::Corrupt { .. })));
}

#[test]
fn bombs_are_refused() {
    let line = [&[b'a'; 4095][..], b"\n"].concat();
    let bomb = gzip_small(&line.repeat(80 * MIB / line.len()));
    for size in [usize::MAX, 10_000] {
        let decoded = decode_in(&bomb, &LINES, Bounds::default(), size);
        assert!(matches!(decoded.result, Err(Error::Bomb { .. })), "{:?}", decoded.result);
    }
    let generous = Bounds { expansion_ratio_max: 2000, ..Bounds::default() };
    assert_eq!(decode_in(&bomb, &LINES, generous, usize::MAX).result, Ok(()));
    let nested = decode_in(&gzip(&bomb), &LINES, Bounds::default(), usize::MAX);
    assert!(matches!(nested.result, Err(Error::Bomb { .. })));
}

/// RFC 1951, 3.2.7: no more than 286 codes for literals and lengths. This member declares 287, and is empty.
#[test]
fn reserved_codes_are_read_in_one_call_only() {
    let deflate = [0xf5, 0xc0, 0x81, 0x08, 0, 0, 0, 0, 0x20, 0x7f, 0xeb, 0x51, 0];
    let member = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &deflate, &[0; 8]].concat();
    assert_eq!(decode_in(&member, &LINES, Bounds::default(), usize::MAX).result, Ok(()));
    let streamed = Bounds { scratch_bytes_max: 0, ..Bounds::default() };
    for (bounds, size) in
        (1..member.len()).map(|size| (Bounds::default(), size)).chain([(streamed, usize::MAX)])
    {
        let refused = decode_in(&member, &LINES, bounds, size).result;
        assert!(matches!(refused, Err(Error::Corrupt { .. })), "{size}: {refused:?}");
    }
}

/// A dense part may come first, and each piece of an outer level may hold much of an inner one.
#[test]
fn what_a_bomb_is_does_not_depend_on_chunks() {
    let line = [&[b'a'; 4095][..], b"\n"].concat();
    let dense = gzip_small(&line.repeat(80 * MIB / line.len()));
    let noise: Vec<u8> =
        (0..400_000_u64).flat_map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8).to_le_bytes()).collect();
    let log = [dense.clone(), gzip(&noise)].concat();
    for object in [log.clone(), gzip(&log), dense.clone(), gzip(&gzip(&dense))] {
        let whole = decode_in(&object, &LINES, Bounds::default(), usize::MAX);
        for size in [10_000, 200_000] {
            let parts = decode_in(&object, &LINES, Bounds::default(), size);
            assert_eq!(parts.result, whole.result, "{size}");
            assert_eq!(
                (parts.records.len(), parts.expanded),
                (whole.records.len(), whole.expanded),
                "{size}"
            );
        }
    }
}

#[test]
fn compression_has_a_deepest_level() {
    let three = gzip(&gzip(&gzip(b"a\n")));
    assert_eq!(lines(&three), ["a"]);
    assert_eq!(decode(&gzip(&three), &LINES).result, Err(Error::TooManyLevels { max: 3 }));
}

#[test]
fn detected_formats() {
    let records = |text: &[u8]| decode(text, &Format::Detect).records.len();
    assert_eq!(records(b"{\"a\":1}\n{\"a\":2}\n"), 2);
    assert_eq!(records(b"{\n\"a\":1}\n{\"a\":\n2}\n"), 2);
    assert_eq!(records(&gzip(b"{\"a\":1}{\"a\":2}{}")), 3);
    assert_eq!(records(b"plain\ntext\n"), 2);
    assert_eq!(records(b"{\"a\":1}"), 1);
}

#[test]
#[cfg(not(feature = "parquet"))]
fn parquet_is_named_where_it_cannot_be_read() {
    let decoded = decode(b"PAR1\x15\x04PAR1", &Format::Detect);
    assert_eq!((decoded.records.len(), decoded.result), (0, Err(Error::WithoutParquet)));
}

#[test]
fn a_spent_decoder_says_so() {
    let mut decoder = Decoder::new(LINES, Bounds::default());
    let mut scratch = Scratch::new();
    assert_eq!(decoder.push(b"a\n", true, &mut scratch, &mut |_: Record<'_>| {}), Ok(()));
    assert_eq!(decoder.push(b"b\n", true, &mut scratch, &mut |_: Record<'_>| {}), Err(Error::Spent));
}

#[test]
fn errors_are_one_line() {
    let decoded = decode(&gzip(b"abc")[..12], &LINES);
    assert_eq!(decoded.result.unwrap_err().to_string(), "truncated gzip: the member at byte 0 has no end");
}

/// Objects of several members, some of them damaged.
fn object() -> impl Strategy<Value = Vec<u8>> {
    let text = "[a\n\"{}]{0,40}";
    let part = prop_oneof![
        8 => text.prop_map(|text| gzip(text.as_bytes())),
        2 => text.prop_map(|text| gzip(&gzip(text.as_bytes()))),
        2 => text.prop_map(|text| zstd(text.as_bytes())),
        1 => Just(vec![0; 3]),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ];
    (proptest::collection::vec(part, 0..4), any::<prop::sample::Index>(), 0..8u8).prop_map(
        |(parts, at, damage)| {
            let mut object = parts.concat();
            if !object.is_empty() && damage < 2 {
                let at = at.index(object.len());
                if damage == 0 { object.truncate(at) } else { object[at] ^= 0x55 }
            }
            object
        },
    )
}

/// A zstd frame's beginning that says how long its content is, in each form that can say it.
fn zstd_beginnings(content: u64) -> Vec<Vec<u8>> {
    const MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";
    let wide = content.to_le_bytes();
    let mut beginnings = vec![
        [MAGIC, &[0xa0], &wide[..4]].concat(),
        [MAGIC, &[0xe0], &wide].concat(),
        // With a window.
        [MAGIC, &[0x80, 0x38], &wide[..4]].concat(),
        [MAGIC, &[0xc0, 0x38], &wide].concat(),
    ];
    match content.checked_sub(256) {
        Some(behind) => {
            let short = &behind.to_le_bytes()[..2];
            beginnings.push([MAGIC, &[0x60], short].concat());
            beginnings.push([MAGIC, &[0x40, 0x38], short].concat());
        }
        None => beginnings.push([MAGIC, &[0x20], &wide[..1]].concat()),
    }
    beginnings
}

#[test]
fn a_frame_of_another_length_than_it_says_gives_the_same_in_any_chunks() {
    let text = b"first\nsecond\nthird\n{".repeat(20);
    for content in [3, 255, 256, 300, text.len() as u64 - 1, text.len() as u64 + 1, 100_000] {
        for (beginning, is_cut) in
            zstd_beginnings(content).into_iter().flat_map(|b| [(b.clone(), false), (b, true)])
        {
            let block = &((text.len() as u32) << 3 | 1).to_le_bytes()[..3];
            let written = if is_cut { &text[..text.len() / 2] } else { &text[..] };
            let object = [&beginning[..], block, written].concat();
            let whole = decode_in(&object, &LINES, Bounds::default(), usize::MAX);
            assert!(whole.result.is_err(), "{content}, {beginning:?}");
            for size in (1..40).chain([100, 200, 300]) {
                let parts = decode_in(&object, &LINES, Bounds::default(), size);
                let same = (&whole.records, &whole.result) == (&parts.records, &parts.result);
                assert!(
                    same,
                    "{content}, {beginning:x?} in chunks of {size}: {:?}, {:?}",
                    whole.result, parts.result
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn any_object_gives_the_same_in_any_chunks(
        object in object(), size in 1..50usize, format in prop_oneof![
            Just(LINES), Just(Format::Detect), Just(Format::Json { path: vec![] }),
        ],
    ) {
        let whole = decode_in(&object, &format, Bounds::default(), usize::MAX);
        let parts = decode_in(&object, &format, Bounds::default(), size);
        prop_assert_eq!(&whole.records, &parts.records);
        prop_assert_eq!(&whole.result, &parts.result);
    }
}
