//! The end of a JSON object or array, found 64 bytes at a time.
//!
//! A block of 64 bytes becomes four bit masks: quotes, backslashes, opening and closing brackets. From these follow,
//! without a branch per byte, which bytes are escaped, which are inside strings, and how many brackets open and close
//! outside of them. Only a block in which the value may end is checked bracket by bracket.
//!
//! The masks use AVX-512, AVX2 or SSE2 if the processor has them (detected at run time), else single bytes. All give
//! the same result as [`naive`], which the tests compare them with.

#[cfg(test)]
mod naive;
#[cfg_attr(
    target_arch = "x86_64",
    allow(dead_code, reason = "used on other processors, and tested everywhere")
)]
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Bytes of a block.
const BLOCK: usize = 64;

/// One bit for each byte of a block, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Masks {
    quotes: u64,
    backslashes: u64,
    /// `{` and `[`.
    opens: u64,
    /// `}` and `]`.
    closes: u64,
}

/// An object or array that has begun and not ended. Brackets are counted, not paired: a value with a wrong closing
/// bracket is not JSON, and ends where the count says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Container {
    depth: u64,
    /// The next byte is inside a string.
    in_string: bool,
    /// The next byte is escaped.
    escaped: bool,
}

impl Container {
    /// Continues at `pos`, at first with the opening bracket. Returns the position after the last bracket, or None if
    /// all of `data` belongs to the value.
    pub fn advance(&mut self, data: &[u8], pos: usize) -> Option<usize> {
        let rest = data.get(pos..)?;
        let end = dispatch(self, rest)?;
        Some(pos + end)
    }

    /// The next byte is directly inside the outermost brackets.
    pub fn is_at_members(&self) -> bool {
        self.depth == 1 && !self.in_string && !self.escaped
    }

    /// The next byte is inside a string.
    pub fn in_string(&self) -> bool {
        self.in_string
    }

    #[inline(always)]
    fn scan(
        &mut self,
        data: &[u8],
        masks: impl Fn(&[u8; BLOCK]) -> Masks,
        prefix_xor: impl Fn(u64) -> u64,
    ) -> Option<usize> {
        // A copy can stay in registers.
        let mut here = *self;
        let (blocks, tail) = data.as_chunks::<BLOCK>();
        for (number, block) in blocks.iter().enumerate() {
            if let Some(end) = here.block(masks(block), BLOCK, &prefix_xor) {
                *self = here;
                return Some(number * BLOCK + end);
            }
        }
        let mut end = None;
        if !tail.is_empty() {
            // White space is neutral, inside and outside strings.
            let mut padded = [b' '; BLOCK];
            padded[..tail.len()].copy_from_slice(tail);
            end = here.block(masks(&padded), tail.len(), &prefix_xor);
        }
        *self = here;
        end.map(|end| blocks.len() * BLOCK + end)
    }

    /// Scans the first `length` bytes of a block. Returns the position after the last bracket, if it is there.
    #[inline(always)]
    fn block(&mut self, masks: Masks, length: usize, prefix_xor: impl Fn(u64) -> u64) -> Option<usize> {
        let escaped = self.escapes(masks.backslashes, length);
        let carried = 0u64.wrapping_sub(self.in_string.into());
        // From each opening quote up to, but not including, its closing one.
        let strings = prefix_xor(masks.quotes & !escaped) ^ carried;
        self.in_string = strings >> 63 == 1;
        let (opens, closes) = (masks.opens & !strings, masks.closes & !strings);
        let closing = u64::from(closes.count_ones());
        if self.depth > closing {
            self.depth = self.depth + u64::from(opens.count_ones()) - closing;
            return None;
        }
        let end;
        (self.depth, end) = brackets(self.depth, opens, closes);
        end
    }

    /// The bytes after a backslash that is not itself escaped.
    #[inline(always)]
    fn escapes(&mut self, backslashes: u64, length: usize) -> u64 {
        let carried = u64::from(self.escaped);
        if backslashes == 0 {
            self.escaped = false;
            return carried;
        }
        const EVEN: u64 = 0x5555_5555_5555_5555;
        let backslashes = backslashes & !carried;
        let behind = backslashes << 1 | carried;
        // Runs of backslashes that begin at an odd position: adding carries through the run to the byte after it, and
        // its parity says whether that byte is escaped.
        let odd_starts = backslashes & !EVEN & !behind;
        let (sum, overflow) = odd_starts.overflowing_add(backslashes);
        let escaped = (EVEN ^ (sum << 1)) & behind;
        self.escaped = if length == BLOCK { overflow } else { escaped >> length & 1 == 1 };
        escaped
    }
}

/// Scans a block in which the value may end, bracket by bracket. Returns the depth after it, or the position after the
/// last bracket.
#[inline(never)]
fn brackets(mut depth: u64, opens: u64, closes: u64) -> (u64, Option<usize>) {
    let mut left = opens | closes;
    while left != 0 {
        let at = left.trailing_zeros();
        left &= left - 1;
        if opens >> at & 1 == 1 {
            depth += 1;
            continue;
        }
        depth = depth.saturating_sub(1);
        if depth == 0 {
            return (depth, Some(at as usize + 1));
        }
    }
    (depth, None)
}

#[cfg(target_arch = "x86_64")]
fn dispatch(container: &mut Container, data: &[u8]) -> Option<usize> {
    x86::scan(container, data)
}

#[cfg(not(target_arch = "x86_64"))]
fn dispatch(container: &mut Container, data: &[u8]) -> Option<usize> {
    portable::scan(container, data)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub type Scan = fn(&mut Container, &[u8]) -> Option<usize>;

    fn implementations() -> Vec<(&'static str, Scan)> {
        let mut all: Vec<(&'static str, Scan)> = vec![("portable", portable::scan), ("chosen", dispatch)];
        #[cfg(target_arch = "x86_64")]
        all.extend(x86::implementations());
        all
    }

    /// The end that every implementation finds, in one piece and cut at every given place.
    fn end(data: &[u8], cuts: &[usize]) -> Option<usize> {
        let expected = naive::end(data);
        for (name, scan) in implementations() {
            assert_eq!(
                scan(&mut Container::default(), data),
                expected,
                "{name}: {:?}",
                data.escape_ascii().to_string()
            );
            for &cut in cuts.iter().filter(|cut| **cut <= data.len()) {
                let mut container = Container::default();
                let (head, tail) = data.split_at(cut);
                let found =
                    scan(&mut container, head).or_else(|| scan(&mut container, tail).map(|end| cut + end));
                assert_eq!(found, expected, "{name}, cut at {cut}: {:?}", data.escape_ascii().to_string());
            }
        }
        expected
    }

    #[test]
    fn strings_and_escapes_hide_brackets() {
        let text = br#"{"k\\\"":["}{",{"x":"\u005d"}],"n":[[[1]]]} {"#;
        assert_eq!(end(text, &(0..text.len()).collect::<Vec<_>>()), Some(text.len() - 2));
        assert_eq!(end(br#"{"a\"}":"\\"}{"#, &[]), Some(13));
        assert_eq!(end(b"[[]", &[1, 2]), None);
        assert_eq!(end(b"", &[]), None);
    }

    #[test]
    fn runs_of_backslashes_over_a_blocks_end() {
        for run in 0..140 {
            for lead in 55..70 {
                let text = format!("{{\"{}{}\"}}\"}}", "x".repeat(lead), "\\".repeat(run));
                end(text.as_bytes(), &[63, 64, 65, lead + 2, lead + 2 + run]);
            }
        }
    }

    #[test]
    fn values_that_end_at_every_place_of_a_block() {
        for length in 0..200 {
            let text = format!("[{}]]", "1".repeat(length));
            assert_eq!(end(text.as_bytes(), &[64, 128]), Some(length + 2));
        }
    }

    fn noise() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => prop::sample::select(b"{}[]\"\\".to_vec()), 3 => prop::sample::select(b"ab,: \n".to_vec()), 1 => any::<u8>()
        ];
        prop::collection::vec(byte, 0..400)
    }

    proptest! {
        #[test]
        fn noise_agrees_with_the_naive_version(mut text in noise(), cuts in prop::collection::vec(0usize..400, 0..6)) {
            text.insert(0, b'{');
            end(&text, &cuts);
        }

        /// Long and deep enough that most blocks take the short path.
        #[test]
        fn deep_noise_agrees_with_the_naive_version(text in noise(), depth in 0usize..100, cut in 0usize..500) {
            let text = [vec![b'['; depth + 1], text, vec![b']'; depth + 1]].concat();
            end(&text, &[cut]);
        }
    }
}
