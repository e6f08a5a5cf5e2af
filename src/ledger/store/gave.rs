//! Storage of the events of objects by table, and of the counts of sent events (see [`crate::ledger::Sent`]).
//!
//! Names of tables and sources have their own SQL table and are referred to by number, since a CloudTrail object may have
//! events for dozens of tables.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::sql::{has, stored};
use crate::ack::Tables;
use crate::base::limits::LEDGER_NAMES_MAX;
use crate::ledger::sent::Sent;

/// The tables of version 4. In `objects`, `reason` is the reason of the ending (`Ending::reason`) unless every record was
/// sent, and `gave` lists the events by table: `table:events:bytes`, separated by spaces.
pub(super) const TABLES: &str = "
CREATE TABLE IF NOT EXISTS names (
    id        INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE  -- of a Devo table, or of a source
);
CREATE TABLE IF NOT EXISTS sent (
    slot      INTEGER NOT NULL,  -- seconds since 1970, a multiple of 300
    source    INTEGER NOT NULL,  -- names.id: input/service
    target    INTEGER NOT NULL,  -- names.id: the table; 0: others
    events    INTEGER NOT NULL,  -- confirmed by all outputs in those five minutes
    bytes     INTEGER NOT NULL,
    PRIMARY KEY (slot, source, target)
) WITHOUT ROWID;";

pub(super) const COLUMNS: [(&str, &str); 2] = [
    ("reason", "ALTER TABLE objects ADD COLUMN reason TEXT NOT NULL DEFAULT ''"),
    ("gave", "ALTER TABLE objects ADD COLUMN gave TEXT NOT NULL DEFAULT ''"),
];

/// The number for all names that are not distinguished.
const OTHERS: i64 = 0;

/// The numbers of names that this connection knows.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, i64>);

impl Names {
    /// Forgets all numbers, after a failed transaction whose names do not exist.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// The number of a name, which is assigned if it has none.
    pub fn number(&mut self, transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<i64> {
        if name.is_empty() {
            return Ok(OTHERS);
        }
        if let Some(number) = self.0.get(name) {
            return Ok(*number);
        }
        let mut find = transaction.prepare_cached("SELECT id FROM names WHERE name = ?1")?;
        let number = match find.query_row([name], |row| row.get(0)).optional()? {
            Some(number) => number,
            None => {
                let count: i64 = transaction.query_row("SELECT count(*) FROM names", (), |row| row.get(0))?;
                if count.unsigned_abs() >= LEDGER_NAMES_MAX as u64 {
                    return Ok(OTHERS);
                }
                transaction.prepare_cached("INSERT INTO names (name) VALUES (?1)")?.insert([name])?
            }
        };
        self.0.insert(name.to_owned(), number);
        Ok(number)
    }

    /// Creates the text of `objects.gave`.
    pub fn written(&mut self, transaction: &Transaction<'_>, tables: &Tables) -> rusqlite::Result<String> {
        let mut text = String::new();
        for table in tables.iter() {
            if !text.is_empty() {
                text.push(' ');
            }
            let number = self.number(transaction, &table.name)?;
            text.push_str(&format!("{number}:{}:{}", table.events, table.bytes));
        }
        Ok(text)
    }
}

/// Reads `objects.gave`. Parts in an unknown form are ignored.
pub(super) fn read(text: &str, names: &HashMap<i64, String>) -> Tables {
    let mut tables = Tables::default();
    for part in text.split_ascii_whitespace() {
        let mut numbers = part.splitn(3, ':').map(|number| number.parse::<u64>().ok());
        if let (Some(Some(name)), Some(Some(events)), Some(Some(bytes))) =
            (numbers.next(), numbers.next(), numbers.next())
        {
            let name = i64::try_from(name).ok().and_then(|number| names.get(&number));
            tables.add(name.map_or("", String::as_str), events, bytes);
        }
    }
    tables
}

/// Adds to the counts of the slots.
pub(super) fn add(transaction: &Transaction<'_>, names: &mut Names, sent: &[Sent]) -> rusqlite::Result<()> {
    let mut add = transaction.prepare_cached(
        "INSERT INTO sent VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (slot, source, target)
         DO UPDATE SET events = events + excluded.events, bytes = bytes + excluded.bytes",
    )?;
    for Sent { slot, source, table, events, bytes } in sent {
        let (source, table) = (names.number(transaction, source)?, names.number(transaction, table)?);
        add.execute((slot, source, table, stored(*events), stored(*bytes)))?;
    }
    Ok(())
}

/// All names by their numbers.
pub(super) fn names(connection: &Connection) -> rusqlite::Result<HashMap<i64, String>> {
    if !has(connection, "names", "name")? {
        return Ok(HashMap::new());
    }
    let mut statement = connection.prepare_cached("SELECT id, name FROM names")?;
    let names = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    names.collect()
}
