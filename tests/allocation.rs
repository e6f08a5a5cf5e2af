//! Allocations of the decoders on hostile input.
//!
//! A failed allocation ends the process, and nothing can catch that; so this binary counts every one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first failure"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;

use aws_to_devo::base::budget::Budget;
use aws_to_devo::decode::{Account, Bounds, Decoder, Error, Format, Scratch};

#[path = "raw_parquet/mod.rs"]
mod raw;

/// The system's allocator, counting each thread's memory.
struct Counting;

thread_local! {
    /// Bytes held, their maximum, and the largest single request.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends has no counters any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        PEAK.with(|peak| peak.set(peak.get().max(held.get())));
        LARGEST.with(|largest| largest.set(largest.get().max(bytes.max(0) as usize)));
    });
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those that `System` requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The old and the new memory may be held at the same time.
        count(size as isize);
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MIB: usize = 1 << 20;
/// Memory limit of one object in these tests …
const HELD_MAX: usize = 8 * MIB;
/// … and the decoder's additional memory: windows of streams, the library's small things, an output buffer, and room
/// that is reserved for the object and never touched.
const BESIDE: usize = 12 * MIB;

fn bounds() -> Bounds {
    Bounds { scratch_bytes_max: MIB, record_bytes_max: MIB, held_bytes_max: HELD_MAX, ..Bounds::default() }
}

/// The peak and the largest request while an object is decoded, without the object itself.
fn decode(object: &[u8], format: Format) -> (Result<(), Error>, usize, usize) {
    let account = Account::within(&Budget::new(HELD_MAX));
    let mut decoder = Decoder::within(format, bounds(), account);
    let mut scratch = Scratch::new();
    // The library panics over some of it, which is caught; a backtrace would allocate.
    std::panic::set_hook(Box::new(|_| ()));
    LARGEST.set(0);
    let (result, peak) =
        peak_of(|| decoder.push(object, true, &mut scratch, &mut |_: aws_to_devo::decode::Record<'_>| ()));
    (result, peak, LARGEST.get())
}

/// The maximum of bytes held at once beyond those held already.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let done = work();
    (done, (PEAK.get() - before) as usize)
}

fn assert_within(peak: usize, what: &str) {
    // Not `assert!`: its message would be lost in the hook.
    if peak > HELD_MAX + BESIDE {
        let _ = std::panic::take_hook();
        panic!("{peak} bytes at once: {what}");
    }
}

fn assert_bounded(what: &str, object: &[u8], format: Format) -> Result<(), Error> {
    let (result, peak, largest) = decode(object, format);
    let told = format!("{what}: {} bytes, peak {peak}, largest {largest}: {result:?}", object.len());
    println!("{told}");
    assert_within(peak, &told);
    result
}

#[test]
fn no_claim_in_parquet_allocates_beyond_the_bound() {
    for (what, object) in raw::liars() {
        let result = assert_bounded(what, &object, Format::Parquet);
        assert!(result.is_err(), "{what}");
        let packed = gzip(&object);
        assert_bounded(&format!("{what}, in gzip"), &packed, Format::Detect).unwrap_err();
    }
}

/// Changes every byte and every number of small objects in turn.
#[test]
fn no_mutation_of_parquet_allocates_beyond_the_bound() {
    let sample =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/aws_sqs_vpc/parquet/object")).unwrap();
    let mut objects = vec![sample];
    objects.extend(raw::liars().into_iter().map(|(_, object)| object).filter(|object| object.len() < 400));
    // A large number, in Thrift's encoding and plain.
    let large: &[&[u8]] = &[&[0xfe, 0xff, 0xff, 0xff, 0x0f], &[0xff, 0xff, 0xff, 0x7f], &[0]];
    for object in objects {
        for at in 0..object.len() {
            for change in large {
                let end = (at + change.len()).min(object.len());
                let mut changed = object.clone();
                changed[at..end].copy_from_slice(&change[..end - at]);
                let (result, peak, _) = decode(&changed, Format::Parquet);
                assert_within(peak, &format!("{change:?} at {at}: {result:?}"));
                // The same number in place of one byte: the following bytes move.
                let moved = [&object[..at], change, &object[at + 1..]].concat();
                let (result, peak, _) = decode(&moved, Format::Parquet);
                assert_within(peak, &format!("{change:?} for the byte at {at}: {result:?}"));
            }
        }
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The window of a zstd frame, the length of a record, the depth of compression: claims are checked against the limits
/// before allocation.
#[test]
fn no_claim_of_a_stream_allocates_beyond_the_bound() {
    // A frame that claims to reach back 128 MiB, and one beyond any limit.
    for window in [17 << 3, 21 << 3 | 7] {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
        // Blocks of one repeated byte.
        (0..100).for_each(|_| frame.extend([0x02, 0x00, 0x10, b'a']));
        let told = assert_bounded("a zstd window", &frame, Format::Lines { header_lines: 0 }).unwrap_err();
        assert!(matches!(told, Error::MemoryTooSmall { .. } | Error::WindowTooLarge { .. }), "{told:?}");
    }
    for (bytes, lines) in [(2 * MIB, 1), (40 * MIB, 1), (40 * MIB, 40 * MIB)] {
        let mut text = vec![b'a'; bytes];
        text.iter_mut().step_by(bytes / lines).for_each(|byte| *byte = b'\n');
        let zstd = zstd::bulk::compress(&text, 3).unwrap();
        for packed in [gzip(&text), gzip(&gzip(&text)), zstd] {
            for format in [Format::Lines { header_lines: 0 }, Format::Csv { header_lines: 0 }, Format::Detect]
            {
                let _ = assert_bounded("a long record", &packed, format);
            }
        }
    }
    let lying = [&gzip(b"abc")[..gzip(b"abc").len() - 4], &u32::MAX.to_le_bytes()].concat();
    assert_bounded("a gzip length", &lying, Format::Detect).unwrap_err();
    let deep = "[".repeat(3 * MIB);
    assert_bounded("deep JSON", deep.as_bytes(), Format::Json { path: vec![] }).unwrap_err();
}

/// Messages and answers: a mebibyte is SQS's maximum.
#[test]
fn no_message_and_no_answer_allocates_out_of_proportion_or_exhausts_the_stack() {
    let of = |start: &str, one: &str, end: &str| format!("{start}{}{end}", one.repeat(MIB / one.len()));
    // A name of half its size, which the other half shares.
    let of_long = |name: &str, list: &str, one: &str| {
        let (long, list_of) = ("x".repeat(MIB / 2), vec![one; 40_000].join(","));
        format!(r#"{{"{name}":"{long}","{list}":[{list_of}]}}"#)
    };
    let nested = |open: &str, close: &str| {
        let depth = MIB / (open.len() + close.len());
        format!("{}1{}", open.repeat(depth), close.repeat(depth))
    };
    let texts = [
        nested("[", "]"),
        nested(r#"{"a":"#, "}"),
        nested("<a>", "</a>"),
        "[".repeat(MIB),
        r#"{"Message":"#.repeat(MIB / 11),
        of(r#"{"Records":["#, "{},", "{}]}"),
        of(r#"{"Records":["#, r#"{"s3":{}},"#, "{}]}"),
        of(
            r#"{"cid":"c","timestamp":1,"bucket":"bucket","pathPrefix":"p","files":["#,
            r#"{"path":"k"},"#,
            r#"{"path":"k"}]}"#,
        ),
        of(r#"{"s3Bucket":"bucket","s3ObjectKey":["#, r#""k","#, r#""k"]}"#),
        of_long("s3Bucket", "s3ObjectKey", r#""a""#),
        of_long("bucket", "files", r#"{"path":"a"}"#),
        of("<Error>", "<Code>a</Code>", "</Error>"),
        of("{\"Messages\":[", "{},", "{}]}"),
        of("{\"events\":[", "{},", "{}]}"),
    ];
    for text in &texts {
        let shown = &text[..20];
        let ((), peak) = peak_of(|| drop(aws_to_devo::stages::resolve::resolve(text)));
        println!("{shown}: a message takes {peak} bytes");
        assert!(peak <= 24 * MIB, "{shown}: {peak}");
        let ((), peak) = peak_of(|| {
            let bytes = text.as_bytes();
            let headers = Default::default();
            drop(aws_to_devo::aws::failure::Refusal::read(500, &headers, bytes));
            drop((aws_to_devo::aws::sqs::read_receive(bytes), aws_to_devo::aws::sqs::read_attributes(bytes)));
            drop((
                aws_to_devo::aws::sts::read_assume_role(bytes),
                aws_to_devo::aws::logs::read_events(bytes),
            ));
            drop(aws_to_devo::aws::chain::document::of_instance(bytes));
        });
        println!("{shown}: an answer takes {peak} bytes");
        assert!(peak <= 8 * MIB, "{shown}: {peak}");
    }
}

/// Objects wait until they are started, in thousands of messages.
#[test]
fn the_objects_of_a_message_take_no_more_memory_than_the_message() {
    let keys: Vec<String> = (0..90_000).map(|number| format!("{number:x}")).collect();
    let event = |key: &String| {
        format!(
            r#"{{"eventName":"ObjectCreated:Put","awsRegion":"us-east-1","s3":{{"bucket":{{"name":"b"}},"object":{{"key":"{key}","size":1}}}}}}"#
        )
    };
    let file = |key: &String| format!(r#"{{"path":"{key}","size":7,"checksum":"{key}"}}"#);
    let texts = [
        format!(r#"{{"s3Bucket":"bucket","s3ObjectKey":{keys:?}}}"#),
        format!(
            r#"{{"bucket":"b","files":[{}]}}"#,
            keys[..20_000].iter().map(file).collect::<Vec<_>>().join(",")
        ),
        format!(r#"{{"Records":[{}]}}"#, keys[..10_000].iter().map(event).collect::<Vec<_>>().join(",")),
    ];
    for text in &texts {
        HELD.set(0);
        let found = aws_to_devo::stages::resolve::resolve(text).unwrap();
        let held = HELD.get();
        println!("{}: a message of {} bytes is held in {held}", &text[..20], text.len());
        assert!(held <= text.len() as isize + 1024, "{}: {held}", &text[..20]);
        assert!(found.objects.memory() as isize <= held);
        let (count, peak) = peak_of(|| found.objects.into_iter().count());
        assert!(count >= 10_000 && peak <= 4096, "one at a time: {peak}");
    }
}
