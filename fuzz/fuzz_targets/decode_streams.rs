//! Compressed streams as such: the compressed form is mutated.

#![no_main]

use aws_to_devo::decode::Format;
use aws_to_devo_fuzz::chunks;
use libfuzzer_sys::fuzz_target;

// The first byte chooses the start of the bytes, which a random mutation would rarely find.
fuzz_target!(|input: &[u8]| {
    let [kind, chunks, content @ ..] = input else { return };
    let start: &[u8] = match kind % 16 {
        0 => &[0x28, 0xb5, 0x2f, 0xfd],
        1 => &[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58],
        2 => &[0x50, 0x2a, 0x4d, 0x18],
        3 => &[0x78, 0x9c],
        4 => &[0x78, 0x01],
        5 => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
        6 => return check(*chunks, &chunks::gzip(content)),
        7 => {
            let (first, second) = content.split_at(content.len() / 2);
            return check(*chunks, &[chunks::gzip(first), chunks::gzip(second)].concat());
        }
        _ => &[],
    };
    check(*chunks, &[start, content].concat());
});

fn check(chunks: u8, object: &[u8]) {
    chunks::check(&[&[0, chunks], object].concat(), |_| Format::Lines { header_lines: 0 });
}
