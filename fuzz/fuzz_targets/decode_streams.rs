//! Compressed streams as such: the compressed form is mutated.

#![no_main]

mod chunks;

use aws_to_devo::decode::Format;
use libfuzzer_sys::fuzz_target;

// The first byte chooses the start of the bytes, which a random mutation would rarely find.
fuzz_target!(|input: &[u8]| {
    let [kind, size, content @ ..] = input else { return };
    let start: &[u8] = match kind % 8 {
        0 => &[0x28, 0xb5, 0x2f, 0xfd],
        1 => &[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58],
        2 => &[0x50, 0x2a, 0x4d, 0x18],
        3 => &[0x78, 0x9c],
        4 => &[0x78, 0x01],
        5 => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
        6 => {
            return whole(&zstd::bulk::compress(content, 3).expect("a Vec takes everything"), content, *size);
        }
        _ => &[],
    };
    chunks::check(&[&[0, *size], start, content].concat(), |_| Format::Lines { header_lines: 0 });
});

/// A whole frame with one byte changed, selected by `size`.
fn whole(frame: &[u8], content: &[u8], size: u8) {
    let mut object = [&[0, size][..], frame].concat();
    let at = 2 + usize::from(size) % frame.len();
    object[at] ^= content.first().copied().unwrap_or(1);
    chunks::check(&object, |_| Format::Lines { header_lines: 0 });
}
