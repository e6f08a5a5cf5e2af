//! Reading of the counts of sent events (see [`crate::ledger::Sent`]).

use std::collections::HashMap;

use rusqlite::named_params;

use super::{Store, gave};
use crate::ledger::sent::Sent;

/// The slots in which a source has delivered events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pauses {
    /// The number of slots with deliveries.
    pub slots: usize,
    /// The longest time from one of them to the next, in seconds.
    pub longest: i64,
    /// The last of them, in seconds since 1970.
    pub last: i64,
}

impl Store {
    /// The pauses between the deliveries of each source (see [`Sent::source`]), in the slots from `from` until `to`,
    /// inclusive, in seconds since 1970. Empty if the ledger has a version without counts.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn pauses(&self, from: i64, to: i64) -> rusqlite::Result<HashMap<String, Pauses>> {
        if !self.has("sent", "slot")? {
            return Ok(HashMap::new());
        }
        let names = gave::names(&self.connection)?;
        // One slot at a time: two weeks have hundreds of thousands of rows if a source has many tables.
        let sql = "SELECT DISTINCT slot, source FROM sent WHERE slot BETWEEN :from AND :to ORDER BY slot";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(named_params! {":from": from, ":to": to})?;
        let mut pauses: HashMap<String, Pauses> = HashMap::new();
        while let Some(row) = rows.next()? {
            let (slot, source): (i64, i64) = (row.get(0)?, row.get(1)?);
            let Some(name) = names.get(&source) else { continue };
            let own = pauses.entry(name.clone()).or_default();
            if own.slots > 0 {
                own.longest = own.longest.max(slot - own.last);
            }
            (own.slots, own.last) = (own.slots + 1, slot);
        }
        Ok(pauses)
    }

    /// The events sent in the slots that begin at `from` or later and before `to`, in seconds since 1970, in order. Empty
    /// if the ledger has a version without counts.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn sent(&self, from: i64, to: i64) -> rusqlite::Result<Vec<Sent>> {
        if !self.has("sent", "slot")? {
            return Ok(Vec::new());
        }
        let names = gave::names(&self.connection)?;
        let name = |number: i64| names.get(&number).cloned().unwrap_or_default();
        let sql = "SELECT slot, source, target, events, bytes FROM sent WHERE slot >= :from AND slot < :to";
        let mut statement = self.connection.prepare_cached(sql)?;
        let sent = statement.query_map(named_params! {":from": from, ":to": to}, |row| {
            Ok(Sent {
                slot: row.get(0)?,
                source: name(row.get(1)?),
                table: name(row.get(2)?),
                events: row.get::<_, i64>(3)?.unsigned_abs(),
                bytes: row.get::<_, i64>(4)?.unsigned_abs(),
            })
        })?;
        sent.collect()
    }

    /// Forgets the counts before that time.
    pub(super) fn sweep_sent(&self, oldest: i64) -> rusqlite::Result<usize> {
        self.connection.prepare_cached("DELETE FROM sent WHERE slot < ?1")?.execute([oldest])
    }
}
