//! The buckets and prefixes of an audit: those that are named, otherwise those in the ledger. Pure.

use super::dates::dates;
use crate::ledger::Keys;
use crate::settings::Bucket;
use crate::settings::Input;

/// A bucket and prefix, and the inputs whose objects may be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub bucket: String,
    /// The prefix of the keys. Empty for all keys.
    pub prefix: String,
    /// The indices of the inputs.
    pub inputs: Vec<usize>,
}

/// The named places. Only inputs with an index in `meant` count.
pub fn named(buckets: &[Bucket], inputs: &[Input], meant: &[usize]) -> Vec<Place> {
    let mut places = Vec::new();
    for Bucket { input, name, prefix } in buckets {
        let belongs = |index: &&usize| input.as_deref().is_none_or(|key| inputs[**index].is_named(key));
        let indices = meant.iter().filter(belongs).copied().collect();
        add(&mut places, Place { bucket: name.clone(), prefix: prefix.clone(), inputs: indices });
    }
    places.retain(|place| !place.inputs.is_empty());
    places
}

/// The places of the objects in a ledger.
pub fn seen(keys: &[Keys], inputs: &[Input], meant: &[usize]) -> Vec<Place> {
    let mut places = Vec::new();
    for Keys { input, bucket, first, last } in keys {
        let indices: Vec<usize> =
            meant.iter().filter(|index| inputs[**index].id == *input).copied().collect();
        if !indices.is_empty() {
            add(
                &mut places,
                Place { bucket: bucket.clone(), prefix: root(first, last).to_owned(), inputs: indices },
            );
        }
    }
    places
}

/// Adds a place, or adds its inputs to a place that contains it. A place within another one is merged into it.
fn add(places: &mut Vec<Place>, place: Place) {
    let within = |inner: &Place, outer: &Place| {
        inner.bucket == outer.bucket && inner.prefix.starts_with(&outer.prefix)
    };
    let mut place = place;
    if let Some(outer) = places.iter_mut().find(|outer| within(&place, outer)) {
        let more =
            place.inputs.iter().filter(|index| !outer.inputs.contains(index)).copied().collect::<Vec<_>>();
        return outer.inputs.extend(more);
    }
    places.retain(|inner| {
        let is_within = within(inner, &place);
        if is_within {
            let more = inner
                .inputs
                .iter()
                .filter(|index| !place.inputs.contains(index))
                .copied()
                .collect::<Vec<_>>();
            place.inputs.extend(more);
        }
        !is_within
    });
    places.push(place);
}

/// The folder of all keys between these two, without the parts that differ by day, account or object, so that it also
/// contains objects that were never announced.
pub fn root<'k>(first: &'k str, last: &str) -> &'k str {
    const ACCOUNTS: &str = "AWSLogs/";
    let common = first.char_indices().zip(last.chars()).find(|((_, one), other)| one != other);
    let common = common.map_or(first.len().min(last.len()), |((at, _), _)| at);
    let mut root = first.get(..common).unwrap_or_default();
    if let Some(at) = root.find(ACCOUNTS).filter(|at| *at == 0 || root.as_bytes()[at - 1] == b'/') {
        root = &root[..at + ACCOUNTS.len()];
    }
    // The root may end within a date, which only the whole key shows.
    if let Some(date) = dates(first).first().filter(|date| date.at.start < root.len()) {
        root = &root[..date.at.start];
    }
    root = root.rfind('/').map_or("", |slash| &root[..=slash]);
    match root.split_inclusive('/').position(|folder| is_unique(folder.trim_end_matches('/'))) {
        Some(count) => {
            let end: usize = root.split_inclusive('/').take(count).map(str::len).sum();
            &root[..end]
        }
        None => root,
    }
}

/// Returns true for a UUID, which other objects do not share.
fn is_unique(folder: &str) -> bool {
    let name = folder.rsplit('=').next().unwrap_or_default();
    name.len() == 36 && name.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_root_has_what_will_come_too() {
        let uuid = "f0714ca5-3689-448d-b5cc-582a6f7a56b1";
        for (first, last, expected) in [
            (
                "AWSLogs/1/vpcflowlogs/us-east-1/2026/11/21/a",
                "AWSLogs/1/vpcflowlogs/us-east-1/2026/11/21/b",
                "AWSLogs/",
            ),
            ("p/AWSLogs/o-1/1/x", "p/AWSLogs/o-1/1/x", "p/AWSLogs/"),
            (
                "dnslogs/2026-11-21/2026-11-21-00-00-a.gz",
                "dnslogs/2026-11-29/2026-11-29-00-00-b.gz",
                "dnslogs/",
            ),
            ("2026/11/21/10/x", "2026/11/29/10/y", ""),
            ("access2026-11-29-10-05-33-0F", "access2026-11-29-10-05-34-0F", ""),
            ("http/20261129/20261129T000000Z_x", "http/20261129/20261129T000100Z_x", "http/"),
            (&format!("data/{uuid}/part-00000.gz"), &format!("data/{uuid}/part-00001.gz"), "data/"),
            ("a/b", "c/d", ""),
            ("é/a", "è/a", ""),
            ("notAWSLogs/a/x", "notAWSLogs/a/y", "notAWSLogs/a/"),
        ] {
            assert_eq!(root(first, last), expected, "{first} {last}");
        }
    }

    #[test]
    fn places_that_lie_in_others_are_listed_once() {
        let place =
            |prefix: &str, input| Place { bucket: "b".into(), prefix: prefix.into(), inputs: vec![input] };
        let mut places = Vec::new();
        for (prefix, input) in [("a/b/", 0), ("a/", 1), ("a/c/", 2), ("x/", 0), ("x/", 0)] {
            add(&mut places, place(prefix, input));
        }
        let told: Vec<_> =
            places.iter().map(|place| (place.prefix.as_str(), place.inputs.as_slice())).collect();
        assert_eq!(told, [("a/", &[1, 0, 2][..]), ("x/", &[0])]);
    }

    proptest! {
        #[test]
        fn the_root_begins_both_keys(first in "[a-c/é20-]{0,12}", last in "[a-c/é20-]{0,12}") {
            let root = root(&first, &last);
            prop_assert!(first.starts_with(root) && last.starts_with(root));
        }
    }
}
