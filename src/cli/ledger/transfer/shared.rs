//! The shared table, as `export` and `import` use it.

use super::ledger::{Added, Ledger};
use super::lines::Entry;
use crate::aws::Http;
use crate::base::stop::Stop;
use crate::fleet::{Key, Known, NOBODY, Record, Table};
use crate::ledger::covers;
use crate::settings::{Config, SharedTable};

pub struct Shared {
    table: Table,
    destinations: String,
    /// The sources of the configuration.
    sources: Vec<String>,
}

impl Shared {
    pub fn open(table: &SharedTable, config: &Config, destinations: &str) -> Result<Shared, String> {
        let http = Http::new(1).map_err(|error| error.to_string())?;
        let sources = config.sources.iter().map(|source| source.name.clone()).collect();
        Ok(Shared {
            table: Table::new(&http, table, &Stop::new()).patient(),
            destinations: destinations.to_owned(),
            sources,
        })
    }

    /// True if the table knows as much of the content as this row says.
    fn knows(&self, known: &Record, row: &crate::ledger::Row) -> bool {
        covers(&known.outputs, &self.destinations) && known.row.says_as_much_as(row)
    }
}

impl Ledger for Shared {
    fn name(&self) -> String {
        format!("the shared table {}", self.table.name())
    }

    fn objects(&self, take: &mut dyn FnMut(Entry) -> Result<(), String>) -> Result<(), String> {
        self.table.objects(&mut |record| take(Entry::of(record.row, record.outputs)))
    }

    fn sources(&self) -> Result<Vec<String>, String> {
        let leases = self.table.leases().map_err(|error| error.to_string())?;
        let mut sources: Vec<String> = leases.known.into_keys().collect();
        sources.extend(self.sources.iter().cloned());
        sources.sort_unstable();
        sources.dedup();
        Ok(sources)
    }

    fn polled(&self, source: &str) -> Result<Known, String> {
        self.table.load(source).map_err(|error| error.to_string())
    }

    fn add_object(&mut self, entry: Entry) -> Result<Added, String> {
        let outputs = entry.outputs.clone();
        let row = entry.row();
        let Some(key) = Key::of(&row.place, &row.identity) else { return Ok(Added::Nameless) };
        let fresh = Record { row, outputs, holder: NOBODY.to_owned(), epoch: 1 };
        let added = || {
            if self.table.create_object(&key, &fresh)? {
                return Ok(Added::New);
            }
            let Some(known) = self.table.object(&key)?.filter(|known| !self.knows(known, &fresh.row)) else {
                return Ok(Added::Known);
            };
            // A host that collects it at present knows more soon.
            let next = Record { epoch: known.epoch.saturating_add(1), ..fresh.clone() };
            let attributes = next.attributes(self.table.expiry());
            let is_changed = self.table.change_object(&key, &attributes, NOBODY, known.epoch)?;
            Ok(if is_changed { Added::New } else { Added::Known })
        };
        added().map_err(|error: crate::aws::Error| error.to_string())
    }

    fn set_source(&mut self, source: &str, known: Known) -> Result<(), String> {
        self.table.restore(source, known).map_err(|error| error.to_string())
    }
}
