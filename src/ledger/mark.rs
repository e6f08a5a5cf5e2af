//! How far a polled source is delivered.

use std::collections::BTreeMap;

/// An event that is delivered, and may be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// See [`fingerprint`].
    pub id: u128,
    /// Of the event, in the source's own unit: what lies before a [`Mark::forget_before`] is not read again.
    pub time: i64,
}

/// One step of a source: what is known once a page, and all before it, is delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// Which source: `<input id>/<service>/<region>`.
    pub source: String,
    /// [`Polled::term`] of what it follows from: a mark from before its source was forgotten counts for nothing.
    pub term: i64,
    /// (part, how far): a source with several streams has a part for each. New values replace old ones, and an
    /// empty one ends its part.
    pub checkpoints: Vec<(String, String)>,
    /// Events of the page.
    pub seen: Vec<Seen>,
    /// Events from before this time need not be known any more.
    pub forget_before: Option<i64>,
}

/// A source's checkpoint as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub source: String,
    pub part: String,
    pub value: String,
    /// When it was written: seconds since 1970.
    pub at: i64,
}

/// All that is known of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Polled {
    /// How often somebody has made the ledger forget the source.
    pub term: i64,
    pub checkpoints: BTreeMap<String, String>,
    /// The latest, as many as a source remembers.
    pub seen: Vec<Seen>,
}

impl Mark {
    /// It says nothing that would have to be recorded.
    pub fn is_empty(&self) -> bool {
        self.checkpoints.is_empty() && self.seen.is_empty() && self.forget_before.is_none()
    }
}

/// An event's id in 128 bits, the same in every version of the program: FNV-1a. AWS chooses the ids, so nobody
/// can make two of them meet.
pub fn fingerprint(id: &str) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    id.bytes().fold(OFFSET, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_the_algorithms_authors() {
        assert_eq!(fingerprint(""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fingerprint("a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(fingerprint("foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }
}
