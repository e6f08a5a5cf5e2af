//! An object over which the process died.

use super::in_work::Name;

/// Deaths after which an object is refused.
pub const DEATHS_MAX: u32 = 2;

/// An object over which the process died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    pub name: Name,
    /// Number of deaths.
    pub deaths: u32,
    /// Seconds since 1970.
    pub at: i64,
}

impl Suspect {
    /// True if it is this object. Unknown fields do not distinguish them.
    pub(super) fn is(&self, name: &Name) -> bool {
        let (own, asked) = (&self.name.announced, &name.announced);
        let differs = |one: &str, other: &str| !one.is_empty() && !other.is_empty() && one != other;
        self.name.place == name.place
            && !differs(&own.version, &asked.version)
            && !differs(&own.etag, &asked.etag)
            && !differs(&own.checksum, &asked.checksum)
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{Identity, Place};
    use super::*;

    #[test]
    fn a_suspect_is_known_by_its_place_and_what_is_known_of_its_content() {
        let name = |key: &str, [version, etag, checksum]: [&str; 3]| {
            let place = Place { input: "1".into(), bucket: "b".into(), key: key.into() };
            let [version, etag, checksum] = [version, etag, checksum].map(str::to_owned);
            Name::new(place, Identity { version, etag, checksum })
        };
        let suspect = Suspect { name: name("k", ["v", "e", "c"]), deaths: 1, at: 0 };
        for (asked, is_it) in [
            (name("k", ["v", "e", "c"]), true),
            (name("k", ["", "", ""]), true),
            (name("other", ["v", "e", "c"]), false),
            (name("k", ["w", "e", "c"]), false),
            (name("k", ["v", "f", "c"]), false),
            (name("k", ["v", "e", "d"]), false),
        ] {
            assert_eq!(suspect.is(&asked), is_it, "{asked:?}");
        }
    }
}
