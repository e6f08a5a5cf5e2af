//! The version for 64-bit ARM, where every processor has NEON.

use std::arch::aarch64::{
    uint8x16_t, vandq_u8, vceqq_u8, vcltq_u8, vdupq_n_u8, vgetq_lane_u64, vld1q_u8, vorrq_u8, vpaddq_u8,
    vreinterpretq_u64_u8,
};

use super::portable::prefix_xor;
use super::{BLOCK, Container, Masks, Outline};

/// The bit of each byte in its half of a vector.
const WEIGHTS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];

pub fn scan(container: &mut Container, data: &[u8], outline: Option<&mut Outline>) -> Option<usize> {
    // SAFETY: NEON is part of AArch64.
    unsafe { neon(container, data, outline) }
}

#[target_feature(enable = "neon")]
fn neon(container: &mut Container, data: &[u8], outline: Option<&mut Outline>) -> Option<usize> {
    container.scan(data, outline, |block| masks(block), prefix_xor)
}

#[inline]
#[target_feature(enable = "neon")]
fn masks(block: &[u8; BLOCK]) -> Masks {
    let quarters = [0, 16, 32, 48].map(|at| {
        let quarter: &[u8; 16] = block[at..at + 16].try_into().unwrap_or(&[0; 16]);
        load(quarter)
    });
    let equal = |quarters: [uint8x16_t; 4], byte: u8| {
        let wanted = vdupq_n_u8(byte);
        bits(quarters.map(|quarter| vceqq_u8(quarter, wanted)))
    };
    // `[` and `{`, `]` and `}` differ only in this bit, and no other byte becomes one of them.
    let braces = quarters.map(|quarter| vorrq_u8(quarter, vdupq_n_u8(0x20)));
    Masks {
        quotes: equal(quarters, b'"'),
        backslashes: equal(quarters, b'\\'),
        opens: equal(braces, b'{'),
        closes: equal(braces, b'}'),
        controls: bits(quarters.map(|quarter| vcltq_u8(quarter, vdupq_n_u8(b' ')))),
    }
}

/// A bit for each byte that is all ones. NEON has no instruction for that: each byte keeps its own bit, and neighbours are
/// added up three times.
#[inline]
#[target_feature(enable = "neon")]
fn bits(quarters: [uint8x16_t; 4]) -> u64 {
    let weights = load(&WEIGHTS);
    let [a, b, c, d] = quarters.map(|quarter| vandq_u8(quarter, weights));
    let sums = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
    vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sums, sums)), 0)
}

#[inline]
#[target_feature(enable = "neon")]
fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: 16 bytes are read from an array of 16; the load needs no alignment.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}
