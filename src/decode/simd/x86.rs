//! The x86 versions: AVX-512 or AVX2, both with carry-less multiplication, and SSE2, which every x86-64 processor has.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_clmulepi64_si128, _mm_cmpeq_epi8, _mm_cvtsi128_si64, _mm_loadu_si128, _mm_min_epu8,
    _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8, _mm256_cmpeq_epi8, _mm256_loadu_si256,
    _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm512_cmpeq_epi8_mask,
    _mm512_cmplt_epu8_mask, _mm512_loadu_si512, _mm512_or_si512, _mm512_set1_epi8,
};

use super::portable::prefix_xor;
use super::{BLOCK, Container, Masks, Outline};

/// The fastest version that this processor can run.
pub fn scan(container: &mut Container, data: &[u8], outline: Option<&mut Outline>) -> Option<usize> {
    if has_avx512() {
        scan_avx512(container, data, outline)
    } else if has_avx2() {
        scan_avx2(container, data, outline)
    } else {
        scan_sse2(container, data, outline)
    }
}

/// All versions that this processor can run, by name.
#[cfg(test)]
pub fn implementations() -> Vec<(&'static str, super::tests::Scan)> {
    let mut all: Vec<(&'static str, super::tests::Scan)> = vec![("sse2", scan_sse2)];
    if has_avx2() {
        all.push(("avx2", scan_avx2));
    }
    if has_avx512() {
        all.push(("avx512", scan_avx512));
    }
    all
}

fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512bw") && has_avx2()
}

fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("popcnt")
        && is_x86_feature_detected!("bmi1")
}

fn scan_avx512(container: &mut Container, data: &[u8], outline: Option<&mut Outline>) -> Option<usize> {
    // SAFETY: only called after `has_avx512` has found all features.
    unsafe { avx512(container, data, outline) }
}

#[target_feature(enable = "avx512bw,pclmulqdq,popcnt,bmi1")]
fn avx512(container: &mut Container, data: &[u8], outline: Option<&mut Outline>) -> Option<usize> {
    container.scan(data, outline, |block| masks_avx512(block), |bits| prefix_xor_clmul(bits))
}

/// A comparison gives its mask at once, for the whole block.
#[inline]
#[target_feature(enable = "avx512bw")]
fn masks_avx512(block: &[u8; BLOCK]) -> Masks {
    // SAFETY: 64 bytes are read from an array of 64; the load needs no alignment.
    let block = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
    let equal = |block, byte: u8| _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(byte as i8));
    // See `masks_avx2`.
    let braces = _mm512_or_si512(block, _mm512_set1_epi8(0x20));
    Masks {
        quotes: equal(block, b'"'),
        backslashes: equal(block, b'\\'),
        opens: equal(braces, b'{'),
        closes: equal(braces, b'}'),
        controls: _mm512_cmplt_epu8_mask(block, _mm512_set1_epi8(b' ' as i8)),
    }
}

fn scan_avx2(container: &mut Container, data: &[u8], outline: Option<&mut Outline>) -> Option<usize> {
    // SAFETY: only called after `has_avx2` has found all features.
    unsafe { avx2(container, data, outline) }
}

#[target_feature(enable = "avx2,pclmulqdq,popcnt,bmi1")]
fn avx2(container: &mut Container, data: &[u8], outline: Option<&mut Outline>) -> Option<usize> {
    container.scan(data, outline, |block| masks_avx2(block), |bits| prefix_xor_clmul(bits))
}

#[inline]
#[target_feature(enable = "avx2")]
fn masks_avx2(block: &[u8; BLOCK]) -> Masks {
    let [low, high] = halves(block);
    let bits = |low, high| {
        let bits = |half| u64::from(_mm256_movemask_epi8(half) as u32);
        bits(low) | bits(high) << 32
    };
    let equal = |low: __m256i, high: __m256i, byte: u8| {
        let wanted = _mm256_set1_epi8(byte as i8);
        bits(_mm256_cmpeq_epi8(low, wanted), _mm256_cmpeq_epi8(high, wanted))
    };
    // There is no comparison of unsigned bytes: those below a space are their own minimum with the byte before it.
    let last = _mm256_set1_epi8(b' ' as i8 - 1);
    let controls = |half| _mm256_cmpeq_epi8(_mm256_min_epu8(half, last), half);
    // `[` and `{`, `]` and `}` differ only in this bit, and no other byte becomes one of them.
    let bit = _mm256_set1_epi8(0x20);
    let (low_braces, high_braces) = (_mm256_or_si256(low, bit), _mm256_or_si256(high, bit));
    Masks {
        quotes: equal(low, high, b'"'),
        backslashes: equal(low, high, b'\\'),
        opens: equal(low_braces, high_braces, b'{'),
        closes: equal(low_braces, high_braces, b'}'),
        controls: bits(controls(low), controls(high)),
    }
}

#[inline]
#[target_feature(enable = "pclmulqdq")]
fn prefix_xor_clmul(bits: u64) -> u64 {
    // Multiplying by all ones without carries adds up, modulo 2, every bit and all below it.
    let product = _mm_clmulepi64_si128(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1), 0);
    _mm_cvtsi128_si64(product) as u64
}

fn scan_sse2(container: &mut Container, data: &[u8], outline: Option<&mut Outline>) -> Option<usize> {
    // SAFETY: SSE2 is part of x86-64.
    unsafe { sse2(container, data, outline) }
}

#[target_feature(enable = "sse2")]
fn sse2(container: &mut Container, data: &[u8], outline: Option<&mut Outline>) -> Option<usize> {
    container.scan(data, outline, |block| masks_sse2(block), prefix_xor)
}

#[inline]
#[target_feature(enable = "sse2")]
fn masks_sse2(block: &[u8; BLOCK]) -> Masks {
    let quarters = [0, 16, 32, 48].map(|at| {
        let quarter: &[u8; 16] = block[at..at + 16].try_into().unwrap_or(&[0; 16]);
        // SAFETY: 16 bytes are read from an array of 16; the load needs no alignment.
        unsafe { _mm_loadu_si128(quarter.as_ptr().cast::<__m128i>()) }
    });
    let bits = |quarters: [__m128i; 4]| {
        let [a, b, c, d] = quarters.map(|quarter| _mm_movemask_epi8(quarter) as u64);
        a | b << 16 | c << 32 | d << 48
    };
    let equal = |quarters: [__m128i; 4], byte: u8| {
        let wanted = _mm_set1_epi8(byte as i8);
        bits(quarters.map(|quarter| _mm_cmpeq_epi8(quarter, wanted)))
    };
    let braces = quarters.map(|quarter| _mm_or_si128(quarter, _mm_set1_epi8(0x20)));
    Masks {
        quotes: equal(quarters, b'"'),
        backslashes: equal(quarters, b'\\'),
        opens: equal(braces, b'{'),
        closes: equal(braces, b'}'),
        controls: bits(quarters.map(|quarter| {
            // See `masks_avx2`.
            _mm_cmpeq_epi8(_mm_min_epu8(quarter, _mm_set1_epi8(b' ' as i8 - 1)), quarter)
        })),
    }
}

/// Appends `from` plus the position of each line feed in these whole blocks. Returns false, having done nothing, without
/// AVX2.
pub fn line_feeds(blocks: &[u8], from: usize, found: &mut Vec<usize>) -> bool {
    if has_avx512() {
        // SAFETY: `has_avx512` has found the feature.
        unsafe { line_feeds_avx512(blocks, from, found) };
    } else if has_avx2() {
        // SAFETY: `has_avx2` has found the feature.
        unsafe { line_feeds_avx2(blocks, from, found) };
    } else {
        return false;
    }
    true
}

/// All versions that this processor can run, by name.
#[cfg(test)]
pub fn finders() -> Vec<(&'static str, super::tests::Find)> {
    let mut all: Vec<(&'static str, super::tests::Find)> = Vec::new();
    if has_avx2() {
        // SAFETY: `has_avx2` has found the feature.
        all.push(("avx2", |blocks, from, found| unsafe { line_feeds_avx2(blocks, from, found) }));
    }
    if has_avx512() {
        // SAFETY: `has_avx512` has found the feature.
        all.push(("avx512", |blocks, from, found| unsafe { line_feeds_avx512(blocks, from, found) }));
    }
    all
}

#[target_feature(enable = "avx512bw")]
fn line_feeds_avx512(blocks: &[u8], from: usize, found: &mut Vec<usize>) {
    each_bit(blocks, from, found, |block| {
        // SAFETY: 64 bytes are read from an array of 64; the load needs no alignment.
        let block = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        _mm512_cmpeq_epi8_mask(block, _mm512_set1_epi8(b'\n' as i8))
    });
}

#[target_feature(enable = "avx2")]
fn line_feeds_avx2(blocks: &[u8], from: usize, found: &mut Vec<usize>) {
    each_bit(blocks, from, found, |block| {
        let [low, high] = halves(block);
        let wanted = _mm256_set1_epi8(b'\n' as i8);
        let bits = |half| u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(half, wanted)) as u32);
        bits(low) | bits(high) << 32
    });
}

#[inline(always)]
fn each_bit(blocks: &[u8], from: usize, found: &mut Vec<usize>, mask: impl Fn(&[u8; BLOCK]) -> u64) {
    for (number, block) in blocks.as_chunks::<BLOCK>().0.iter().enumerate() {
        let mut bits = mask(block);
        while bits != 0 {
            found.push(from + number * BLOCK + bits.trailing_zeros() as usize);
            bits &= bits - 1;
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn halves(block: &[u8; BLOCK]) -> [__m256i; 2] {
    [0, 32].map(|at| {
        let half: &[u8; 32] = block[at..at + 32].try_into().unwrap_or(&[0; 32]);
        // SAFETY: 32 bytes are read from an array of 32; the load needs no alignment.
        unsafe { _mm256_loadu_si256(half.as_ptr().cast::<__m256i>()) }
    })
}
