//! Reading of all entries, for another ledger.

use std::collections::HashMap;

use super::{COLUMNS, MORE_COLUMNS, Store, gave, read};
use crate::ledger::open_error::told;
use crate::ledger::row::Row;

impl Store {
    /// Passes on all entries of objects, the oldest first, each with the outputs that have it, a line each.
    ///
    /// # Errors
    /// If the file cannot be read, and the errors of `take`.
    pub fn export(&self, take: &mut dyn FnMut(Row, String) -> Result<(), String>) -> Result<(), String> {
        let text = |error: rusqlite::Error| told(&error);
        let names: HashMap<i64, String> = gave::names(&self.connection).map_err(text)?;
        let sql = format!(
            "SELECT {COLUMNS}, {}, coalesce((SELECT addresses FROM outputs WHERE outputs.id = objects.outputs), '')
             FROM objects WHERE bucket <> '' ORDER BY id",
            MORE_COLUMNS[0]
        );
        let mut statement = self.connection.prepare(&sql).map_err(text)?;
        let mut rows = statement.query(()).map_err(text)?;
        while let Some(row) = rows.next().map_err(text)? {
            let gave: String = row.get(12).map_err(text)?;
            let tables = gave::read(&gave, &names);
            take(Row { tables, ..read(row).map_err(text)? }, row.get(13).map_err(text)?)?;
        }
        Ok(())
    }
}
