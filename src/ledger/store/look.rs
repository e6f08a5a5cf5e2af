//! A ledger that is only read, by an audit. It may have an older version, be a copy from another host, or be in use by a
//! collector.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::named_params;
use tempfile::TempDir;

use super::counts::Pauses;
use super::sql::has;
use super::{COLUMNS, Store, classified, gave};
use crate::ledger::open_error::OpenError;
use crate::ledger::row::{Place, Row};
use crate::ledger::scope::Ours;
use crate::ledger::sent::Sent;

/// A ledger that is only read.
#[derive(Debug)]
pub struct Look {
    path: PathBuf,
    store: Store,
    /// The query for the entries of one place.
    of_place: String,
    /// The folder of a temporary ledger, which is deleted with it.
    _folder: Option<TempDir>,
}

/// The range of keys of an input in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    pub input: String,
    pub bucket: String,
    pub first: String,
    pub last: String,
}

impl Look {
    /// Opens a ledger. Only objects that were delivered to all `destinations` count as delivered (see
    /// [`crate::ledger::Scope::destinations`]); without them, objects that were delivered to any output.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path, destinations: Option<&str>) -> Result<Look, OpenError> {
        let store = Store::open_existing(path)?;
        let of_place = question(&store, destinations).map_err(|source| classified(path, source))?;
        Ok(Look { path: path.to_owned(), store, of_place, _folder: None })
    }

    /// Makes a temporary ledger of entries that are stored elsewhere, which `fill` writes.
    ///
    /// # Errors
    /// If it cannot be created, and the errors of `fill`.
    pub fn temporary(fill: impl FnOnce(&mut Store) -> Result<(), String>) -> Result<Look, String> {
        let folder =
            TempDir::new().map_err(|error| format!("no temporary folder can be created: {error}"))?;
        let path = folder.path().join("copy.sqlite3");
        fill(&mut Store::open(&path).map_err(|error| error.to_string())?)?;
        let look = Look::open(&path, None).map_err(|error| error.to_string())?;
        Ok(Look { _folder: Some(folder), ..look })
    }

    /// The entries of a place, without their events by table.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn rows(&self, place: &Place) -> Result<Vec<Row>, OpenError> {
        let place = named_params! {":input": place.input, ":bucket": place.bucket, ":key": place.key};
        self.store.select(&self.of_place, place).map_err(|source| classified(&self.path, source))
    }

    /// The buckets that have entries, with the first and last key of each input.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn keys(&self) -> rusqlite::Result<Vec<Keys>> {
        let sql =
            "SELECT input, bucket, min(key), max(key) FROM objects WHERE bucket <> '' GROUP BY input, bucket";
        let mut statement = self.store.connection.prepare(sql)?;
        let keys = statement.query_map((), |row| {
            Ok(Keys { input: row.get(0)?, bucket: row.get(1)?, first: row.get(2)?, last: row.get(3)? })
        })?;
        keys.collect()
    }

    /// See [`Store::sent`].
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn sent(&self, from: i64, to: i64) -> rusqlite::Result<Vec<Sent>> {
        self.store.sent(from, to)
    }

    /// See [`Store::pauses`].
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn pauses(&self, from: i64, to: i64) -> rusqlite::Result<HashMap<String, Pauses>> {
        self.store.pauses(from, to)
    }

    /// At most `limit` objects that have events for a table and were recorded from `from` until `to`, in seconds since
    /// 1970.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn givers(&self, table: &str, from: i64, to: i64, limit: usize) -> rusqlite::Result<Vec<Row>> {
        let names: HashMap<i64, String> = gave::names(&self.store.connection)?;
        let Some((number, _)) = names.iter().find(|(_, name)| *name == table) else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT {COLUMNS}, reason, gave FROM objects WHERE at >= :from AND at < :to
             AND instr(' ' || gave, :part) > 0 LIMIT :limit"
        );
        let (part, limit) = (format!(" {number}:"), i64::try_from(limit).unwrap_or(i64::MAX));
        self.store.select(&sql, named_params! {":from": from, ":to": to, ":part": part, ":limit": limit})
    }
}

fn question(store: &Store, destinations: Option<&str>) -> rusqlite::Result<String> {
    let connection = &store.connection;
    let reason = if has(connection, "objects", "reason")? { "reason" } else { "''" };
    let mut believed = String::from("1");
    if let Some(destinations) =
        destinations.filter(|_| has(connection, "outputs", "addresses").unwrap_or(false))
    {
        let mut statement = connection.prepare("SELECT id, addresses FROM outputs")?;
        let known = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let known = known.collect::<Result<Vec<(i64, String)>, _>>()?;
        // Refused and skipped objects belong to no output.
        believed = format!("(outputs IN ({}) OR NOT delivered)", Ours::among(&known, destinations).believed);
    }
    Ok(format!(
        "SELECT {COLUMNS}, {reason}, '' FROM objects WHERE input = :input AND bucket = :bucket AND key = :key
         AND {believed}"
    ))
}
