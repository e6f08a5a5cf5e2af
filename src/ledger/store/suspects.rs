//! Objects over which the process died (see [`crate::ledger::Suspects`]).

use rusqlite::{TransactionBehavior, named_params};

use super::{FILTER, Filter, Store};
use crate::ledger::in_work::Name;
use crate::ledger::row::{Identity, Place};
use crate::ledger::suspect::{DEATHS_MAX, Suspect};

impl Store {
    /// Records that a process died while decoding these. Suspects are decoded alone: if there are several, none of them
    /// has died a second time.
    pub fn suspect(&mut self, names: &[Name], run: &str, now: i64) -> rusqlite::Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO suspects VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?8)
                 ON CONFLICT (input, bucket, key) DO UPDATE SET
                     deaths = CASE
                         WHEN etag <> excluded.etag OR version <> excluded.version THEN 1
                         WHEN run = excluded.run OR NOT ?9 THEN deaths
                         ELSE deaths + 1 END,
                     etag = excluded.etag, version = excluded.version, checksum = excluded.checksum,
                     run = excluded.run, at = excluded.at",
            )?;
            for Name { place, announced, .. } in names {
                insert.execute((
                    &place.input,
                    &place.bucket,
                    &place.key,
                    &announced.etag,
                    &announced.version,
                    &announced.checksum,
                    run,
                    now,
                    names.len() == 1,
                ))?;
            }
        }
        transaction.commit()
    }

    pub fn suspects(&self) -> rusqlite::Result<Vec<Suspect>> {
        self.suspects_that("1", named_params! {})
    }

    /// The refused suspects.
    pub fn refused(&self, filter: &Filter) -> rusqlite::Result<Vec<Suspect>> {
        if !self.has_suspects()? {
            return Ok(Vec::new());
        }
        let refused = format!("deaths >= {DEATHS_MAX} AND {FILTER}");
        self.suspects_that(&refused, filter.parameters().as_slice())
    }

    /// True if it is still known. `ledger forget` may have removed it.
    pub fn is_suspect(&self, place: &Place) -> rusqlite::Result<bool> {
        let sql = "SELECT count(*) FROM suspects WHERE input = ?1 AND bucket = ?2 AND key = ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let count: i64 = statement.query_row((&place.input, &place.bucket, &place.key), |row| row.get(0))?;
        Ok(count > 0)
    }

    pub fn acquit(&mut self, place: &Place) -> rusqlite::Result<()> {
        let sql = "DELETE FROM suspects WHERE input = ?1 AND bucket = ?2 AND key = ?3";
        self.connection.execute(sql, (&place.input, &place.bucket, &place.key)).map(drop)
    }

    /// Clears the matching suspects. Returns the number of refused ones.
    pub fn forget_suspects(&mut self, filter: &Filter) -> rusqlite::Result<usize> {
        let refused = self.refused(filter)?.len();
        if self.has_suspects()? {
            let sql = format!("DELETE FROM suspects WHERE {FILTER}");
            self.connection.execute(&sql, filter.parameters().as_slice())?;
        }
        Ok(refused)
    }

    /// A message cannot be redelivered after this time.
    pub(super) fn sweep_suspects(&self, oldest: i64) -> rusqlite::Result<usize> {
        self.connection.prepare_cached("DELETE FROM suspects WHERE at < ?1")?.execute([oldest])
    }

    fn suspects_that(
        &self,
        condition: &str,
        parameters: impl rusqlite::Params,
    ) -> rusqlite::Result<Vec<Suspect>> {
        let sql = format!(
            "SELECT input, bucket, key, etag, version, checksum, deaths, at FROM suspects WHERE {condition} ORDER BY at DESC"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let suspects = statement.query_map(parameters, |row| {
            let place = Place { input: row.get(0)?, bucket: row.get(1)?, key: row.get(2)? };
            let announced = Identity { etag: row.get(3)?, version: row.get(4)?, checksum: row.get(5)? };
            Ok(Suspect { name: Name::new(place, announced), deaths: row.get(6)?, at: row.get(7)? })
        })?;
        suspects.collect()
    }

    /// The ledger may have an older version that has not been upgraded.
    fn has_suspects(&self) -> rusqlite::Result<bool> {
        self.has("suspects", "deaths")
    }
}
