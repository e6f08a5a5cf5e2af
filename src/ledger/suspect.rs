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
