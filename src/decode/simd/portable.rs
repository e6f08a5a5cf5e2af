//! The version for processors without the supported vector instructions.

use super::{BLOCK, Container, Masks, Outline};

pub fn scan(container: &mut Container, data: &[u8], outline: Option<&mut Outline>) -> Option<usize> {
    container.scan(data, outline, masks, prefix_xor)
}

fn masks(block: &[u8; BLOCK]) -> Masks {
    let mut masks = Masks { quotes: 0, backslashes: 0, opens: 0, closes: 0, controls: 0 };
    for (at, &byte) in block.iter().enumerate() {
        masks.quotes |= u64::from(byte == b'"') << at;
        masks.backslashes |= u64::from(byte == b'\\') << at;
        masks.opens |= u64::from(byte | 0x20 == b'{') << at;
        masks.closes |= u64::from(byte | 0x20 == b'}') << at;
        masks.controls |= u64::from(byte < b' ') << at;
    }
    masks
}

/// Replaces each bit by the exclusive or of itself and all below it.
pub fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}
