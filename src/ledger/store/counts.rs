//! Reading of the counts of sent events (see [`crate::ledger::Sent`]).

use rusqlite::named_params;

use super::{Store, gave};
use crate::ledger::sent::Sent;

impl Store {
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
