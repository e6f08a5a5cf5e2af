//! The first bytes of a text, held back until there are enough of them to be looked at.

use super::Error;
use crate::base::limits::BINARY_LOOK_BYTES;

/// The start of a text, as long as it has not been looked at.
pub(super) struct Start(Option<Vec<u8>>);

/// The part of a text that can go on.
pub(super) enum Passed<'t> {
    /// More is needed for a look at the start.
    Nothing,
    /// All of it.
    Text(&'t [u8]),
    /// First what was held, then the rest of this text.
    Held(Vec<u8>, &'t [u8]),
}

impl Start {
    /// A start that is held if it `is_looked_at`.
    pub fn new(is_looked_at: bool) -> Start {
        Start(is_looked_at.then(Vec::new))
    }

    /// Takes the next bytes. `look` gets the start, and may refuse the text.
    pub fn push<'t>(
        &mut self,
        text: &'t [u8],
        look: impl FnOnce(&[u8]) -> Result<(), Error>,
    ) -> Result<Passed<'t>, Error> {
        let Some(held) = &mut self.0 else { return Ok(Passed::Text(text)) };
        if held.is_empty() && text.len() >= BINARY_LOOK_BYTES {
            self.0 = None;
            look(&text[..BINARY_LOOK_BYTES])?;
            return Ok(Passed::Text(text));
        }
        let (start, rest) = text.split_at(text.len().min(BINARY_LOOK_BYTES - held.len()));
        held.extend_from_slice(start);
        if held.len() < BINARY_LOOK_BYTES {
            return Ok(Passed::Nothing);
        }
        Ok(self.finish(look)?.map_or(Passed::Text(rest), |held| Passed::Held(held, rest)))
    }

    /// Takes what is held, because no more comes.
    pub fn finish(
        &mut self,
        look: impl FnOnce(&[u8]) -> Result<(), Error>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let held = self.0.take();
        if let Some(held) = &held {
            look(held)?;
        }
        Ok(held)
    }
}
