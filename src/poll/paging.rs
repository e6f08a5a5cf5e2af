//! Page tokens, and checkpoints inside a listing: what the sources have in common.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aws::Unusable;
use crate::limits::POLL_RESTARTS_MAX;

/// Takes the token of the next page.
///
/// # Errors
/// It is the one that the page was asked for with: the listing would never end.
pub fn follow(token: &mut Option<String>, next: Option<String>) -> Result<(), Unusable> {
    if next.is_some() && *token == next {
        return Err(Unusable::odd("the page names itself as the next one"));
    }
    *token = next;
    Ok(())
}

/// A listing was refused: true if it may begin anew at once. That is so if it was for a page token, which has been
/// dropped, and not for the umpteenth time: then it begins anew after a wait.
pub fn begin_anew(token: Option<String>, restarts: &mut u32) -> bool {
    *restarts += u32::from(token.is_some());
    token.is_some() && *restarts <= POLL_RESTARTS_MAX
}

/// A place inside a listing, as the text of a checkpoint.
pub fn place_text(place: &impl Serialize) -> String {
    serde_json::to_string(place).unwrap_or_default()
}

/// Reads what [`place_text`] wrote. None: the checkpoint has no such place.
pub fn read_place<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_leads_nowhere_is_refused() {
        let mut token = None;
        follow(&mut token, Some("a".into())).unwrap();
        follow(&mut token, Some("b".into())).unwrap();
        assert!(follow(&mut token, Some("b".into())).is_err());
        assert_eq!(token.as_deref(), Some("b"), "it is asked for again");
        follow(&mut token, None).unwrap();
        follow(&mut token, None).unwrap();
    }

    #[test]
    fn a_listing_does_not_begin_anew_for_ever() {
        let mut restarts = 0;
        assert!(!begin_anew(None, &mut restarts), "there was no token to blame");
        let anew = (0..10).filter(|_| begin_anew(Some("t".into()), &mut restarts)).count();
        assert_eq!(anew, POLL_RESTARTS_MAX as usize);
    }
}
