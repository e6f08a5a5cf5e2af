//! The lines of an exported ledger. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ack::Tables;
use crate::fleet::Known;
use crate::ledger::{Identity, Place, Row, Seen};

/// One line. Members may be added; existing ones keep their meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// An object, delivered or in part.
    Object(Entry),
    /// How far a polled source is delivered.
    Checkpoint { source: String, part: String, value: String },
    /// The AWS account that a source's checkpoints are of.
    Account { source: String, account: String },
    /// An event that is delivered and may be read again; its id is in hexadecimal digits.
    Seen { source: String, id: String, time: i64 },
    /// The last line, after this many others.
    End { lines: u64 },
}

/// An object's entry. See [`Row`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub input: String,
    pub bucket: String,
    pub key: String,
    pub etag: String,
    pub version: String,
    pub checksum: String,
    pub size: u64,
    pub records: u64,
    pub delivered: bool,
    pub reason: String,
    pub reader: String,
    pub at: i64,
    /// Events and bytes by table.
    pub tables: Vec<(String, u64, u64)>,
    /// All outputs that have it, a line each.
    pub outputs: String,
}

impl Entry {
    pub fn of(row: Row, outputs: String) -> Entry {
        let count = |table: &crate::ack::Table| (table.name.to_string(), table.events, table.bytes);
        Entry {
            input: row.place.input,
            bucket: row.place.bucket,
            key: row.place.key,
            etag: row.identity.etag,
            version: row.identity.version,
            checksum: row.identity.checksum,
            size: row.size,
            records: row.records,
            delivered: row.delivered,
            reason: row.reason,
            reader: row.reader,
            at: row.at,
            tables: row.tables.iter().map(count).collect(),
            outputs,
        }
    }

    pub fn row(self) -> Row {
        let mut tables = Tables::default();
        self.tables.iter().for_each(|(name, events, bytes)| tables.add(name, *events, *bytes));
        Row {
            place: Place { input: self.input, bucket: self.bucket, key: self.key },
            identity: Identity { version: self.version, etag: self.etag, checksum: self.checksum },
            size: self.size,
            records: self.records,
            delivered: self.delivered,
            reason: self.reason,
            tables,
            reader: self.reader,
            at: self.at,
        }
    }
}

impl Line {
    /// Reads one.
    ///
    /// # Errors
    /// If it is not one of `ledger export`.
    pub fn read(text: &[u8]) -> Result<Line, String> {
        serde_json::from_slice(text).map_err(|error| format!("this is no line of `ledger export`: {error}"))
    }

    /// The lines of a source.
    pub fn of_source(source: &str, known: &Known) -> Vec<Line> {
        let polled = &known.polled;
        let account =
            |account: &String| Line::Account { source: source.to_owned(), account: account.clone() };
        let checkpoint = |(part, value): (&String, &String)| Line::Checkpoint {
            source: source.to_owned(),
            part: part.clone(),
            value: value.clone(),
        };
        let seen = |seen: &Seen| Line::Seen {
            source: source.to_owned(),
            id: format!("{:032x}", seen.id),
            time: seen.time,
        };
        let account = known.account.iter().map(account);
        let checkpoints = polled.checkpoints.iter().map(checkpoint);
        account.chain(checkpoints).chain(polled.seen.iter().map(seen)).collect()
    }

    /// Adds the line of a source to what is known of it.
    ///
    /// # Errors
    /// If an id is unreadable.
    pub fn add_to(self, sources: &mut BTreeMap<String, Known>) -> Result<(), String> {
        match self {
            Line::Object(_) | Line::End { .. } => (),
            Line::Checkpoint { source, part, value } => {
                sources.entry(source).or_default().polled.checkpoints.insert(part, value);
            }
            Line::Account { source, account } => sources.entry(source).or_default().account = Some(account),
            Line::Seen { source, id, time } => {
                let id = u128::from_str_radix(&id, 16).map_err(|error| {
                    format!("the id {id:?} of an event of {source} is not hexadecimal: {error}")
                })?;
                sources.entry(source).or_default().polled.seen.push(Seen { id, time });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// An exported ledger comes back.
        #[test]
        fn lines_survive(words in proptest::collection::vec("\\PC{0,12}", 8), numbers in proptest::collection::vec(0u64..1 << 50, 4), id: u128, time: i64) {
            let word = |n: usize| words[n].clone();
            let place = Place { input: word(0), bucket: word(1), key: word(2) };
            let identity = Identity { version: word(3), etag: word(4), checksum: word(5) };
            let mut tables = Tables::default();
            tables.add(&word(6), numbers[0], numbers[1]);
            let (size, records) = (numbers[2], numbers[3]);
            let row = Row { place, identity, size, records, delivered: true, reason: word(7), tables, reader: word(0), at: time };
            let line = Line::Object(Entry::of(row.clone(), word(1)));
            let Line::Object(entry) = Line::read(&serde_json::to_vec(&line).unwrap()).unwrap() else { unreachable!() };
            proptest::prop_assert_eq!(entry.row(), row);
            let polled = crate::ledger::Polled { term: 0, checkpoints: [(word(2), word(3))].into(), seen: vec![Seen { id, time }] };
            let known = Known { polled, account: Some(word(5)), note: None };
            let mut sources = BTreeMap::new();
            for line in Line::of_source(&word(4), &known) {
                Line::read(&serde_json::to_vec(&line).unwrap()).unwrap().add_to(&mut sources).unwrap();
            }
            proptest::prop_assert_eq!(sources.remove(&word(4)), Some(known));
        }
    }
}
