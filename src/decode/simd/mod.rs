//! The end of a JSON object or array, found 64 bytes at a time.
//!
//! A block of 64 bytes becomes four bit masks: quotes, backslashes, opening and closing brackets. From these follow,
//! without a branch per byte, which bytes are escaped, which are inside strings, and how many brackets open and close
//! outside of them. Only a block in which the value may end is checked bracket by bracket.
//!
//! The masks use AVX-512, AVX2 or SSE2 on x86-64 (detected at run time), NEON on AArch64, else single bytes. All give
//! the same result as [`naive`], which the tests compare them with.

mod container;
#[cfg(test)]
mod naive;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg_attr(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    allow(dead_code, reason = "used on other processors, and tested everywhere")
)]
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

use container::{BLOCK, Masks};

pub use container::{Container, Outline};

impl Container {
    /// Continues at `pos`, at first with the opening bracket. Returns the position after the last bracket, or None if
    /// all of `data` belongs to the value. `outline` becomes that of a value that begins at `pos`.
    pub fn advance(&mut self, data: &[u8], pos: usize, outline: Option<&mut Outline>) -> Option<usize> {
        let rest = data.get(pos..)?;
        let end = dispatch(self, rest, outline)?;
        Some(pos + end)
    }
}

/// Appends the positions of the line feeds in this part of `data`.
pub fn line_feeds(data: &[u8], part: Range<usize>, found: &mut Vec<usize>) {
    let (from, Some(text)) = (part.start, data.get(part)) else { return };
    // Vector instructions take whole blocks.
    let whole = text.len() - text.len() % BLOCK;
    let searched = if find_line_feeds(&text[..whole], from, found) { whole } else { 0 };
    found.extend(memchr::memchr_iter(b'\n', &text[searched..]).map(|at| from + searched + at));
}

/// Appends `from` plus the position of each line feed, if the processor has the instructions for it.
#[cfg(target_arch = "x86_64")]
fn find_line_feeds(blocks: &[u8], from: usize, found: &mut Vec<usize>) -> bool {
    x86::line_feeds(blocks, from, found)
}

#[cfg(not(target_arch = "x86_64"))]
fn find_line_feeds(_blocks: &[u8], _from: usize, _found: &mut Vec<usize>) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn dispatch(container: &mut Container, data: &[u8], outline: Option<&mut Outline>) -> Option<usize> {
    x86::scan(container, data, outline)
}

#[cfg(target_arch = "aarch64")]
fn dispatch(container: &mut Container, data: &[u8], outline: Option<&mut Outline>) -> Option<usize> {
    neon::scan(container, data, outline)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn dispatch(container: &mut Container, data: &[u8], outline: Option<&mut Outline>) -> Option<usize> {
    portable::scan(container, data, outline)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub type Scan = fn(&mut Container, &[u8], Option<&mut Outline>) -> Option<usize>;
    #[cfg(target_arch = "x86_64")]
    pub type Find = fn(&[u8], usize, &mut Vec<usize>);

    fn implementations() -> Vec<(&'static str, Scan)> {
        let all: [(&'static str, Scan); 2] = [("portable", portable::scan), ("chosen", dispatch)];
        #[cfg(target_arch = "x86_64")]
        let all = all.into_iter().chain(x86::implementations());
        all.into_iter().collect()
    }

    /// The end that every implementation finds, in one piece and cut at every given place.
    fn end(data: &[u8], cuts: &[usize]) -> Option<usize> {
        let expected = naive::end(data);
        for (name, scan) in implementations() {
            let mut whole = Container::default();
            assert_eq!(
                scan(&mut whole, data, None),
                expected,
                "{name}: {:?}",
                data.escape_ascii().to_string()
            );
            let has_control = data[..expected.unwrap_or(data.len())].iter().any(|byte| *byte < b' ');
            assert_eq!(whole.has_control(), has_control, "{name}: {:?}", data.escape_ascii().to_string());
            let mut outline = Outline::default();
            assert_eq!(scan(&mut Container::default(), data, Some(&mut outline)), expected, "{name}");
            check_outline(&outline, &data[..expected.unwrap_or(data.len())]);
            for &cut in cuts.iter().filter(|cut| **cut <= data.len()) {
                let mut container = Container::default();
                let (head, tail) = data.split_at(cut);
                let found = scan(&mut container, head, None)
                    .or_else(|| scan(&mut container, tail, None).map(|end| cut + end));
                assert_eq!(found, expected, "{name}, cut at {cut}: {:?}", data.escape_ascii().to_string());
                assert_eq!(container.has_control(), has_control, "{name}, cut at {cut}");
            }
        }
        expected
    }

    /// A scan from the outline's state on must come to the state in which a scan from the start is.
    fn check_outline(outline: &Outline, value: &[u8]) {
        for at in 0..value.len() {
            let (mut here, mut from_start) = (outline.before(at), Container::default());
            assert!(here.1 <= at, "{at}");
            assert_eq!(
                here.0.advance(&value[..at], here.1, None),
                from_start.advance(&value[..at], 0, None),
                "{at}"
            );
            assert_eq!(here.0, from_start, "{at}");
            assert!(!outline.has_no_backslash(at) || !value[..at].contains(&b'\\'), "{at}");
        }
    }

    #[test]
    fn strings_and_escapes_hide_brackets() {
        let text = br#"{"k\\\"":["}{",{"x":"\u005d"}],"n":[[[1]]]} {"#;
        assert_eq!(end(text, &(0..text.len()).collect::<Vec<_>>()), Some(text.len() - 2));
        assert_eq!(end(br#"{"a\"}":"\\"}{"#, &[]), Some(13));
        assert_eq!(end(b"[[]", &[1, 2]), None);
        assert_eq!(end(b"", &[]), None);
    }

    proptest! {
        /// Naive version: one byte after another.
        #[test]
        fn line_feeds_agree_with_the_naive_version(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400), from in 0usize..70, short in 0usize..70,
        ) {
            let part = from.min(text.len())..text.len().saturating_sub(short).max(from.min(text.len()));
            let naive: Vec<usize> = part.clone().filter(|at| text[*at] == b'\n').collect();
            let mut found = Vec::new();
            line_feeds(&text, part.clone(), &mut found);
            prop_assert_eq!(&found, &naive);
            #[cfg(target_arch = "x86_64")]
            for (name, find) in x86::finders() {
                let blocks = &text[part.clone()];
                let blocks = &blocks[..blocks.len() - blocks.len() % BLOCK];
                let mut found = Vec::new();
                find(blocks, part.start, &mut found);
                let within = naive.iter().copied().filter(|at| *at < part.start + blocks.len());
                prop_assert_eq!(found, within.collect::<Vec<_>>(), "{}", name);
            }
        }
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
