//! The ledger's entry of an object.

use std::fmt;

use crate::ack::{Ending, Tables};
use crate::base::object::Object;
use crate::base::text::{logged_address, one_line};

/// An object's place, and the input that collected it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// `id` of the input in the configuration: another id starts from nothing.
    pub input: String,
    pub bucket: String,
    pub key: String,
}

impl fmt::Display for Place {
    /// Escapes what would break the line, because others choose the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { bucket, key, .. } = self;
        match bucket.is_empty() {
            true => write!(f, "the body of message {}", one_line(key)),
            false => f.write_str(&logged_address(bucket, key)),
        }
    }
}

/// The identity of the object's content. Unknown fields are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    pub version: String,
    /// Without quotes.
    pub etag: String,
    /// CrowdStrike's checksum.
    pub checksum: String,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub place: Place,
    pub identity: Identity,
    /// Compressed bytes.
    pub size: u64,
    /// Confirmed records from its start.
    pub records: u64,
    /// True if all of it is confirmed.
    pub delivered: bool,
    /// The reason of its ending ([`Ending::reason`]). Empty if it was sent, or has not ended.
    pub reason: String,
    /// The confirmed events of its records, by table.
    pub tables: Tables,
    /// The counter of the records: they are meaningless to another format or program.
    pub reader: String,
    /// Seconds since 1970.
    pub at: i64,
}

impl Place {
    pub fn of(input: &str, object: &Object) -> Place {
        Place { input: input.to_owned(), bucket: object.bucket.clone(), key: object.key.clone() }
    }
}

impl Identity {
    /// The identity in a message's announcement.
    pub fn announced(object: &Object) -> Identity {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        // "null" is the version of everything that was written while versioning was off.
        let version = text(&object.version_id);
        Identity {
            version: if version == "null" { String::new() } else { version },
            etag: bare(&text(&object.etag)).to_owned(),
            checksum: text(&object.checksum),
        }
    }

    /// The identity after a GET.
    pub fn read(&self, etag: &str) -> Identity {
        Identity { etag: bare(etag).to_owned(), ..self.clone() }
    }

    /// True if nothing distinguishes this content from another one at the same place.
    pub fn is_unknown(&self) -> bool {
        self.version.is_empty() && self.etag.is_empty() && self.checksum.is_empty()
    }

    /// True if both GETs show the same content.
    pub fn is_content_of(&self, other: &Identity) -> bool {
        let versions_differ =
            !self.version.is_empty() && !other.version.is_empty() && self.version != other.version;
        !versions_differ && (same(&self.etag, &other.etag) || same(&self.version, &other.version))
    }
}

impl Row {
    /// The entry of an object that ended without being collected, or before a GET has identified it.
    pub fn ended(place: Place, identity: Identity, size: u64, ending: Ending) -> Row {
        let (reason, tables) = (ending.reason().to_owned(), Tables::default());
        let reader = String::new();
        Row { place, identity, size, records: 0, delivered: false, reason, tables, reader, at: 0 }
    }

    /// True if this entry says at least as much of the same content as the other one.
    pub fn says_as_much_as(&self, other: &Row) -> bool {
        let is_further = self.delivered || (!other.delivered && self.records >= other.records);
        self.identity.is_content_of(&other.identity) && is_further
    }

    /// True if a message's announcement means this content. A version decides; without one the ETag does, or the
    /// checksum.
    pub fn was_announced_as(&self, asked: &Identity) -> bool {
        let own = &self.identity;
        if !asked.version.is_empty() {
            return own.version == asked.version;
        }
        same(&own.etag, &asked.etag) || same(&own.checksum, &asked.checksum)
    }

    /// True if a GET returned this content.
    pub fn was_read_as(&self, read: &Identity) -> bool {
        self.identity.is_content_of(read)
    }
}

fn same(one: &str, other: &str) -> bool {
    !one.is_empty() && one == other
}

/// An ETag without its quotes: messages omit them, answers have them.
fn bare(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(version: &str, etag: &str, checksum: &str) -> Identity {
        Identity { version: version.into(), etag: etag.into(), checksum: checksum.into() }
    }

    fn row(identity: Identity) -> Row {
        let place = Place { input: "1".into(), bucket: "b".into(), key: "k".into() };
        Row { delivered: true, ..Row::ended(place, identity, 1, Ending::Sent) }
    }

    #[test]
    fn announcements_that_name_a_delivered_object() {
        let delivered = row(identity("v1", "e1", "c1"));
        for (asked, known) in [
            (identity("v1", "", ""), true),
            (identity("v2", "e1", ""), false),
            (identity("", "e1", ""), true),
            (identity("", "e2", ""), false),
            (identity("", "", "c1"), true),
            (identity("", "", ""), false),
        ] {
            assert_eq!(delivered.was_announced_as(&asked), known, "{asked:?}");
        }
        assert!(!row(identity("", "", "")).was_announced_as(&identity("", "", "")));
    }

    #[test]
    fn answers_that_bring_a_delivered_object() {
        for (own, read, known) in [
            (identity("v1", "e1", ""), identity("", "e1", ""), true),
            (identity("", "e1", ""), identity("v1", "e1", ""), true),
            (identity("v1", "e1", ""), identity("v2", "e1", ""), false),
            (identity("", "e1", "c1"), identity("", "e2", "c1"), false),
            (identity("v1", "", ""), identity("v1", "", ""), true),
            (identity("", "", ""), identity("", "", ""), false),
        ] {
            assert_eq!(row(own.clone()).was_read_as(&read), known, "{own:?} {read:?}");
        }
    }

    #[test]
    fn an_entry_says_as_much_if_it_is_of_the_same_content_and_as_far() {
        let entry = |etag, delivered, records| Row { delivered, records, ..row(identity("", etag, "")) };
        for (one, other, as_much) in [
            (("e", true, 0), ("e", true, 9), true),
            (("e", true, 0), ("e", false, 9), true),
            (("e", false, 9), ("e", true, 0), false),
            (("e", false, 9), ("e", false, 9), true),
            (("e", false, 8), ("e", false, 9), false),
            (("f", true, 9), ("e", false, 0), false),
        ] {
            let [one, other] = [one, other].map(|(etag, delivered, records)| entry(etag, delivered, records));
            assert_eq!(one.says_as_much_as(&other), as_much, "{one:?} {other:?}");
        }
    }

    #[test]
    fn quotes_and_null_versions_say_nothing() {
        let (version_id, etag) = (Some("null".into()), Some("e".into()));
        let object = Object { version_id, etag, ..Object::named("b", "k") };
        let announced = Identity::announced(&object);
        assert_eq!(announced, identity("", "e", ""));
        assert_eq!(announced.read("\"f\""), identity("", "f", ""));
        assert_eq!(announced.read("W/\"f\""), identity("", "f", ""));
        assert!(announced.read("").is_unknown());
    }
}
