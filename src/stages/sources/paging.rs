//! Page tokens, and checkpoints inside a listing, shared by the sources.

use std::collections::BTreeMap;

use super::source::BadAnswer;
use crate::base::limits::POLL_RESTARTS_MAX;
use crate::base::text::fingerprint;

/// Detects page tokens that form a cycle, of any length, and stores only one of them (Brent's algorithm): the token
/// seen after a power of two of pages is compared with each that follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Circle {
    /// The fingerprint of the token to compare with.
    landmark: Option<u128>,
    /// Pages since the landmark.
    pages: u64,
    /// The number of pages until the next landmark.
    span: u64,
}

impl Circle {
    /// Returns true if the token was seen before. It changes nothing then, so that the page can be requested again.
    fn has_met(&mut self, token: &str) -> bool {
        let token = Some(fingerprint(token));
        if self.landmark == token {
            return true;
        }
        self.pages += 1;
        if self.pages > self.span {
            (self.landmark, self.pages, self.span) = (token, 0, 2 * self.span + 1);
        }
        false
    }
}

/// Takes the token of the next page. A listing that starts, without a token, starts another cycle.
///
/// # Errors
/// If the pages form a cycle, so that the listing would never end.
pub fn follow(
    token: &mut Option<String>,
    circle: &mut Circle,
    next: Option<String>,
) -> Result<(), BadAnswer> {
    if token.is_none() {
        *circle = Circle::default();
    }
    let leads_back = |next: &String| token.as_ref() == Some(next) || circle.has_met(next);
    if next.as_ref().is_some_and(leads_back) {
        return Err(BadAnswer::Circle);
    }
    *token = next;
    Ok(())
}

/// Handles a refused listing: returns true if it may restart at once. That is so for a page token, which has been
/// dropped, unless it happens too often: then it restarts after a wait.
pub fn begin_anew(token: Option<String>, restarts: &mut u32) -> bool {
    *restarts += u32::from(token.is_some());
    token.is_some() && *restarts <= POLL_RESTARTS_MAX
}

/// Sets those of the times, by part, that are later than `latest` back to it, and returns their checkpoints.
pub fn rewound(times: &mut BTreeMap<String, i64>, latest: i64) -> Vec<(String, String)> {
    let later = times.iter_mut().filter(|(_, time)| **time > latest);
    let rewind = |(part, time): (&String, &mut i64)| {
        *time = latest;
        (part.clone(), latest.to_string())
    };
    later.map(rewind).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Follows tokens until they are refused; returns their number. None: they ended.
    fn followed(tokens: impl Iterator<Item = u64>) -> Option<u64> {
        let (mut token, mut circle) = (None, Circle::default());
        (0..).zip(tokens).find_map(|(at, next)| {
            follow(&mut token, &mut circle, Some(next.to_string())).is_err().then_some(at)
        })
    }

    #[test]
    fn a_listing_that_begins_again_may_have_the_same_tokens() {
        let (mut token, mut circle) = (None, Circle::default());
        for next in [Some("a"), Some("b"), None, Some("a"), Some("b"), None, None] {
            follow(&mut token, &mut circle, next.map(str::to_owned)).unwrap();
        }
    }

    #[test]
    fn a_page_in_a_circle_can_be_asked_for_again() {
        let (mut token, mut circle) = (None, Circle::default());
        for next in ["a", "b"] {
            follow(&mut token, &mut circle, Some(next.into())).unwrap();
        }
        for _ in 0..2 {
            assert!(follow(&mut token, &mut circle, Some("a".into())).is_err());
            assert_eq!(token.as_deref(), Some("b"));
        }
        follow(&mut token, &mut circle, Some("c".into())).unwrap();
    }

    proptest! {
        /// Cycles of any length are found, after some pages outside of them, and nothing else is.
        #[test]
        fn circles_are_found_soon_and_others_never(before in 0u64..300, length in 1u64..300) {
            let tokens = (0..).map(|at| if at < before { at } else { before + (at - before) % length });
            let found = followed(tokens).unwrap();
            prop_assert!(found >= before + length && found <= 4 * (before + length), "{}", found);
            prop_assert_eq!(followed(0..before + length), None);
        }
    }

    #[test]
    fn a_listing_does_not_begin_anew_for_ever() {
        let mut restarts = 0;
        assert!(!begin_anew(None, &mut restarts), "there was no token to blame");
        let anew = (0..10).filter(|_| begin_anew(Some("t".into()), &mut restarts)).count();
        assert_eq!(anew, POLL_RESTARTS_MAX as usize);
    }
}
