//! Counts of records on both sides, and their difference.
//!
//! Pure. Expected and received records have the same type, so that both sides are counted in the same way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher};

/// Events, and the bytes of their bodies: no header, no line end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub events: u64,
    pub bytes: u64,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.events += other.events;
        self.bytes += other.bytes;
    }
}

/// The records of one side, per Devo tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub per_tag: BTreeMap<String, Counts>,
    /// Per tag: a body's digest -> its count. Empty when only counting.
    bodies: BTreeMap<String, HashMap<u128, u32>>,
}

/// The expected records.
pub type Expected = Tally;

/// The differences between received and expected records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    pub per_tag: BTreeMap<String, Difference>,
}

/// One tag's part of a [`Comparison`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Difference {
    /// Expected but never received.
    pub missing: u64,
    /// Received more often than expected.
    pub duplicates: u64,
    /// Received with an unexpected body or tag.
    pub unexpected: u64,
}

impl Tally {
    /// Counts a record and stores its digest.
    pub fn record(&mut self, tag: &str, body: &[u8]) {
        self.count(tag, body.len());
        let bodies = entry(&mut self.bodies, tag);
        *bodies.entry(digest(body)).or_default() += 1;
    }

    /// Counts a record only; such a tally cannot be compared.
    pub fn count(&mut self, tag: &str, body_bytes: usize) {
        entry(&mut self.per_tag, tag).add(Counts { events: 1, bytes: body_bytes as u64 });
    }

    /// Adds another tally to this one.
    pub fn merge(&mut self, other: &Tally) {
        for (tag, counts) in &other.per_tag {
            entry(&mut self.per_tag, tag).add(*counts);
        }
        for (tag, bodies) in &other.bodies {
            let own = entry(&mut self.bodies, tag);
            own.reserve(bodies.len());
            for (digest, times) in bodies {
                *own.entry(*digest).or_default() += times;
            }
        }
    }

    pub fn total(&self) -> Counts {
        self.per_tag.values().fold(Counts::default(), |mut sum, counts| {
            sum.add(*counts);
            sum
        })
    }

    /// Records with different bodies, over all tags.
    pub fn distinct(&self) -> u64 {
        self.bodies.values().map(|bodies| bodies.len() as u64).sum()
    }
}

/// Compares record by record. Symmetrical: swapping the arguments swaps missing and unexpected.
pub fn compare(expected: &Expected, received: &Tally) -> Comparison {
    let none = HashMap::new();
    let tags: BTreeSet<&String> = expected.bodies.keys().chain(received.bodies.keys()).collect();
    let per_tag = tags
        .into_iter()
        .map(|tag| {
            let wanted = expected.bodies.get(tag).unwrap_or(&none);
            let got = received.bodies.get(tag).unwrap_or(&none);
            (tag.clone(), difference(wanted, got))
        })
        .collect();
    Comparison { per_tag }
}

impl Comparison {
    pub fn total(&self) -> Difference {
        self.per_tag.values().fold(Difference::default(), |sum, d| Difference {
            missing: sum.missing + d.missing,
            duplicates: sum.duplicates + d.duplicates,
            unexpected: sum.unexpected + d.unexpected,
        })
    }

    /// True if every record arrived, and nothing else did; some may have come more than once.
    pub fn is_complete(&self) -> bool {
        let total = self.total();
        total.missing == 0 && total.unexpected == 0
    }

    /// True if every record arrived exactly as often as expected.
    pub fn is_exact(&self) -> bool {
        self.total() == Difference::default()
    }
}

fn difference(wanted: &HashMap<u128, u32>, got: &HashMap<u128, u32>) -> Difference {
    let mut difference = Difference::default();
    for (digest, times) in wanted {
        let came = got.get(digest).copied().unwrap_or(0);
        difference.missing += u64::from(times.saturating_sub(came));
        difference.duplicates += u64::from(came.saturating_sub(*times));
    }
    let strange = got.iter().filter(|(digest, _)| !wanted.contains_key(digest));
    difference.unexpected = strange.map(|(_, times)| u64::from(*times)).sum();
    difference
}

/// 128 bits from two SipHash runs over differently salted input: with a million records the probability of a collision
/// is below 1e-26. Stable within a process, which is enough.
fn digest(body: &[u8]) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(body);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// Like `entry`, without allocating the key if it exists.
fn entry<'m, V: Default>(map: &'m mut BTreeMap<String, V>, tag: &str) -> &'m mut V {
    if !map.contains_key(tag) {
        return map.entry(tag.to_owned()).or_default();
    }
    map.get_mut(tag).unwrap_or_else(|| unreachable!("it is there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(records: &[(&str, &str)]) -> Tally {
        let mut tally = Tally::default();
        records.iter().for_each(|(tag, body)| tally.record(tag, body.as_bytes()));
        tally
    }

    #[test]
    fn the_same_records_in_any_order_are_equal() {
        let expected = tally(&[("a", "1"), ("b", "22"), ("a", "3")]);
        let mut received = tally(&[("a", "3")]);
        received.merge(&tally(&[("b", "22"), ("a", "1")]));
        assert_eq!(received, expected);
        assert!(compare(&expected, &received).is_exact());
        assert_eq!(received.total(), Counts { events: 3, bytes: 4 });
        assert_eq!(received.per_tag["a"], Counts { events: 2, bytes: 2 });
        assert_eq!(received.distinct(), 3);
    }

    #[test]
    fn missing_repeated_and_strange_records_are_told_apart() {
        let expected = tally(&[("a", "1"), ("a", "2"), ("a", "2"), ("b", "x")]);
        let received = tally(&[("a", "1"), ("a", "1"), ("a", "1"), ("a", "2"), ("a", "9"), ("c", "x")]);
        let comparison = compare(&expected, &received);
        assert_eq!(comparison.per_tag["a"], Difference { missing: 1, duplicates: 2, unexpected: 1 });
        assert_eq!(comparison.per_tag["b"], Difference { missing: 1, ..Difference::default() });
        assert_eq!(comparison.per_tag["c"], Difference { unexpected: 1, ..Difference::default() });
        assert_eq!(comparison.total(), Difference { missing: 2, duplicates: 2, unexpected: 2 });
        assert!(!comparison.is_complete());
    }

    #[test]
    fn repeats_alone_are_complete_and_not_exact() {
        let comparison = compare(&tally(&[("a", "1")]), &tally(&[("a", "1"), ("a", "1")]));
        assert!(comparison.is_complete() && !comparison.is_exact());
    }

    #[test]
    fn counting_only_keeps_no_digests() {
        let mut tally = Tally::default();
        tally.count("a", 5);
        assert_eq!((tally.total(), tally.distinct()), (Counts { events: 1, bytes: 5 }, 0));
    }
}
