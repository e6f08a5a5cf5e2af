//! Blocks of raw snappy after lines of metadata: the metadata and the block are mutated.

#![no_main]

use aws_to_devo::decode::Format;
use aws_to_devo_fuzz::chunks;
use libfuzzer_sys::fuzz_target;

// The first byte chooses whether there is a block at all, and how far its length is off.
fuzz_target!(|input: &[u8]| {
    let [kind, variant, size, content @ ..] = input else { return };
    let (block, rest) = content.split_at(content.len() / 2);
    let block = match kind % 4 {
        0 => return chunks::check(&input[1..], |_| Format::SnappyBlocks),
        1 => block.to_vec(),
        _ => literals(block),
    };
    let length = (block.len() + usize::from(kind >> 4)).saturating_sub(usize::from(kind >> 2 & 3));
    let line = format!("{{\"num_records\":1,\"num_bytes\":{length}}}\n");
    let object = [&[*variant, *size][..], line.as_bytes(), &block, rest].concat();
    chunks::check(&object, |_| Format::SnappyBlocks);
});

/// The text as a block without copies.
fn literals(text: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    let mut length = text.len();
    while length > 127 {
        block.push(length as u8 | 128);
        length >>= 7;
    }
    block.push(length as u8);
    for literal in text.chunks(60) {
        block.push((literal.len() as u8 - 1) << 2);
        block.extend_from_slice(literal);
    }
    block
}
