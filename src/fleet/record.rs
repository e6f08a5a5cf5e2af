//! An object's entry as an item of the table, and back. Pure.

use serde_json::Value;

use crate::ack::Tables;
use crate::aws::dynamodb::{Item, number, text};
use crate::base::limits::{FLEET_KEY_BYTES_MAX, FLEET_SORT_KEY_BYTES_MAX};
use crate::ledger::{Identity, Place, Row};

/// The beginning of the `pk` of all objects.
pub const OBJECTS: &str = "object/";

/// The attribute with the time, in seconds since 1970, after which DynamoDB removes an item.
pub const EXPIRES: &str = "expires";

/// The key of an object's content: its place, its ETag, and its version if its message names one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub place: Place,
    pub etag: String,
    pub version: String,
}

/// An object as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub row: Row,
    /// The outputs that have it (see [`crate::ledger::Scope::destinations`]).
    pub outputs: String,
    /// The id of the host that collects it, or [`NOBODY`].
    pub holder: String,
    /// Number of times that it was claimed.
    pub epoch: u64,
}

impl Key {
    /// None if the content has no ETag, or if the key is too long for DynamoDB.
    pub fn of(place: &Place, identity: &Identity) -> Option<Key> {
        let Identity { etag, version, .. } = identity.clone();
        let key = Key { place: place.clone(), etag, version };
        let fits = key.pk().len() <= FLEET_KEY_BYTES_MAX && key.sk().len() <= FLEET_SORT_KEY_BYTES_MAX;
        (!key.etag.is_empty() && fits).then_some(key)
    }

    pub fn pk(&self) -> String {
        let Place { input, bucket, key } = &self.place;
        format!("{OBJECTS}{input}/{bucket}/{key}")
    }

    /// The `sk`: the ETag, and the version after a slash, which no ETag has.
    pub fn sk(&self) -> String {
        let Key { etag, version, .. } = self;
        if version.is_empty() { etag.clone() } else { format!("{etag}/{version}") }
    }
}

impl Record {
    /// None: it is not as this program writes it, so another program or another version of this one has written it, or it has
    /// no next epoch. Conditions on what was guessed would never hold.
    pub fn read(item: &Item) -> Option<Record> {
        let own = |name| item.text(name).map(str::to_owned);
        let input = item.text("input")?;
        let object = item.text("pk")?.strip_prefix(OBJECTS)?.strip_prefix(input)?.strip_prefix('/')?;
        let (bucket, key) = object.split_once('/')?;
        let place = Place { input: input.to_owned(), bucket: bucket.to_owned(), key: key.to_owned() };
        let (version, sk) = (own("version")?, item.text("sk")?);
        let etag = if version.is_empty() { sk } else { sk.strip_suffix(&version)?.strip_suffix('/')? };
        let row = Row {
            place,
            identity: Identity { etag: etag.to_owned(), version, checksum: own("checksum")? },
            size: item.number("size")?,
            records: item.number("records")?,
            delivered: item.number::<u8>("delivered")? == 1,
            reason: own("reason")?,
            tables: tables(item.text("tables")?),
            reader: own("reader")?,
            at: item.number("at")?,
        };
        let epoch = item.number("epoch").filter(|epoch| *epoch < u64::MAX)?;
        Some(Record { row, outputs: own("outputs")?, holder: own("holder")?, epoch })
    }

    /// The attributes besides the keys. The item is removed after `expires`, in seconds since 1970.
    pub fn attributes(&self, expires: i64) -> Vec<(&'static str, Value)> {
        let Record { row, outputs, holder, epoch } = self;
        let numbers = [
            ("size", number(row.size)),
            ("records", number(row.records)),
            ("delivered", number(u8::from(row.delivered))),
            ("at", number(row.at)),
            ("epoch", number(epoch)),
            (EXPIRES, number(expires)),
        ];
        let texts = [
            ("input", text(&row.place.input)),
            ("version", text(&row.identity.version)),
            ("checksum", text(&row.identity.checksum)),
            ("reason", text(&row.reason)),
            ("reader", text(&row.reader)),
            ("tables", text(&lines(&row.tables))),
            ("outputs", text(outputs)),
            ("holder", text(holder)),
        ];
        numbers.into_iter().chain(texts).collect()
    }

    /// The whole item.
    pub fn item(&self, key: &Key, expires: i64) -> Item {
        let attributes = self.attributes(expires).into_iter();
        attributes.fold(Item::of(&key.pk(), &key.sk()), |item, (name, value)| item.with(name, value))
    }
}

/// A line for each table: its events, its bytes and its name.
fn lines(tables: &Tables) -> String {
    let line = |table: &crate::ack::Table| format!("{} {} {}", table.events, table.bytes, table.name);
    tables.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn tables(lines: &str) -> Tables {
    let mut tables = Tables::default();
    for line in lines.lines() {
        let mut words = line.splitn(3, ' ');
        let mut count = || words.next()?.parse().ok();
        let (Some(events), Some(bytes)) = (count(), count()) else { continue };
        tables.add(words.next().unwrap_or_default(), events, bytes);
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// A written record comes back, with any names.
        #[test]
        fn records_survive(
            words in proptest::collection::vec("\\PC{0,12}", 8),
            key in "\\PC{0,20}",
            counts in proptest::collection::vec(0u64..1 << 40, 4),
            delivered: bool,
        ) {
            let word = |n: usize| words[n].clone();
            let place = Place { input: word(0), bucket: word(1).replace('/', ""), key };
            let identity = Identity { version: word(2), etag: format!("e{}", word(3)), checksum: word(4) };
            let mut tables = Tables::default();
            tables.add("a.b c", counts[2], counts[3]);
            let (size, records) = (counts[0], counts[1]);
            let row = Row { place, identity, size, records, delivered, reason: word(5), tables, reader: word(6), at: 7 };
            let key = Key::of(&row.place, &row.identity).unwrap();
            let record = Record { row, outputs: "a:1\nb:2".to_owned(), holder: word(7), epoch: 3 };
            proptest::prop_assert_eq!(Record::read(&record.item(&key, 9)), Some(record));
        }
    }

    #[test]
    fn what_has_no_etag_or_too_long_a_key_is_not_shared() {
        let place = |key: String| Place { input: "1".into(), bucket: "b".into(), key };
        let content = |etag: &str, version: &str| Identity {
            etag: etag.into(),
            version: version.into(),
            ..Identity::default()
        };
        assert!(Key::of(&place("k".into()), &content("", "v")).is_none());
        assert!(Key::of(&place("k".into()), &content("e", "")).is_some());
        assert!(Key::of(&place("k".repeat(FLEET_KEY_BYTES_MAX)), &content("e", "")).is_none());
        let version = "v".repeat(FLEET_SORT_KEY_BYTES_MAX);
        assert!(Key::of(&place("k".into()), &content("e", &version)).is_none());
    }
}
