//! How far a polled source is delivered.

use std::collections::BTreeMap;

/// An event that is delivered, and may be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// See [`fingerprint`].
    pub id: u128,
    /// The event's time, in the source's own unit: times before a [`Mark::forget_before`] are not read again.
    pub time: i64,
}

/// One step of a source: the state once a page, and all before it, is delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// The source: `<input id>/<service>/<region>`.
    pub source: String,
    /// [`Polled::term`] of the state it follows from: a mark from before its source was forgotten is ignored.
    pub term: i64,
    /// (part, position): a source with several streams has a part for each. New values replace old ones, and an empty
    /// one removes its part.
    pub checkpoints: Vec<(String, String)>,
    /// Events of the page.
    pub seen: Vec<Seen>,
    /// Events before this time can be removed.
    pub forget_before: Option<i64>,
}

/// A source's stored checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub source: String,
    pub part: String,
    pub value: String,
    /// When it was written: seconds since 1970.
    pub at: i64,
}

/// The stored state of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Polled {
    /// Number of times the ledger was made to forget the source.
    pub term: i64,
    pub checkpoints: BTreeMap<String, String>,
    /// The latest, as many as a source keeps.
    pub seen: Vec<Seen>,
}

impl Mark {
    /// True if there is nothing to record.
    pub fn is_empty(&self) -> bool {
        self.checkpoints.is_empty() && self.seen.is_empty() && self.forget_before.is_none()
    }
}

/// An event's id in 128 bits, the same in every version of the program: FNV-1a. AWS chooses the ids, so nobody can
/// provoke a collision.
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
