//! A copy of the table's objects, which an audit asks like a ledger.

use super::table::Table;
use crate::base::limits::LEDGER_GROUP;
use crate::ledger::{Look, covers};

/// Copies all objects into a temporary ledger. What was delivered to fewer than all `destinations` is left out.
///
/// # Errors
/// If the table cannot be read, or the temporary ledger cannot be written.
pub fn copied(table: &Table, destinations: &str) -> Result<Look, String> {
    Look::temporary(|store| {
        let mut rows = Vec::new();
        table.objects(&mut |record| {
            if !record.row.delivered || covers(&record.outputs, destinations) {
                rows.push(record.row);
            }
            if rows.len() < LEDGER_GROUP {
                return Ok(());
            }
            store.write(&std::mem::take(&mut rows)).map_err(|error| error.to_string())
        })?;
        store.write(&rows).map_err(|error| error.to_string())
    })
}
