//! The first retrieval of a group by its streams: they are listed by name, a stable order, and only those are read that
//! may have events.

use super::super::paging::Circle;
use super::place::StreamsPlace;
use crate::aws::logs::Named;
use crate::base::limits::{LOG_NAMES_PER_PAGE, LOG_STREAMS_LAG, LOG_STREAMS_PER_CALL};
use crate::base::text::fingerprint;

/// The position in the list of a group's streams, and those that are read with one call.
#[derive(Debug, Default)]
pub struct Streams {
    /// Listed, but not read yet.
    pub names: Vec<String>,
    /// The page of the list where the names begin.
    begun: Option<String>,
    /// The next page of the list.
    pub token: Option<String>,
    pub circle: Circle,
    listed: bool,
}

impl Streams {
    /// Resumes at a position in the list.
    pub fn at(place: &StreamsPlace) -> Streams {
        Streams { begun: place.list.clone(), token: place.list.clone(), ..Streams::default() }
    }

    pub fn place(&self) -> StreamsPlace {
        StreamsPlace { list: self.begun.clone(), names: self.mark() }
    }

    /// Identifies the streams that are read with one call.
    pub fn mark(&self) -> u64 {
        fingerprint(&self.names.join("\0")) as u64
    }

    /// Adds a page of them: those that may have events from `from` on. A stream without a known last event may have got
    /// its first one within the last hour.
    pub fn take(&mut self, page: Vec<Named>, from: i64) {
        let oldest = from.saturating_sub(LOG_STREAMS_LAG.as_millis() as i64);
        let wanted = page.into_iter().filter(|stream| stream.last_event.is_none_or(|last| last >= oldest));
        self.names.extend(wanted.map(|stream| stream.name));
        self.listed = self.token.is_none();
    }

    /// Ends the current streams. Returns false if all others have been read too.
    pub fn go_on(&mut self) -> bool {
        self.names.clear();
        self.begun.clone_from(&self.token);
        !self.listed
    }

    /// True if one more page of them can be read with the same call.
    pub fn want_more(&self) -> bool {
        !self.listed && self.names.len() + LOG_NAMES_PER_PAGE as usize <= LOG_STREAMS_PER_CALL
    }

    /// Restarts the listing, including the current streams.
    pub fn drop_token(&mut self) -> Option<String> {
        self.names.clear();
        self.begun = None;
        self.token.take()
    }
}
