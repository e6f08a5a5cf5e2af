//! The ledger of one host, as `export` and `import` use it.

use jiff::Timestamp;

use super::ledger::{Added, Ledger};
use super::lines::Entry;
use crate::fleet::Known;
use crate::ledger::{FILE, Mark, Polled, Store, told};
use crate::pipeline;
use crate::settings::Config;

pub struct Local {
    store: Store,
    name: String,
}

impl Local {
    /// Opens it, and creates it if it is missing.
    pub fn open(config: &Config) -> Result<Local, String> {
        let path = config.globals.state_directory.join(FILE);
        let open = || {
            let mut store = Store::open(&path)?;
            store.belong(&path, &pipeline::scope(config))?;
            Ok(store)
        };
        let store = open().map_err(|error: crate::ledger::OpenError| error.to_string())?;
        Ok(Local { store, name: format!("the ledger {}", path.display()) })
    }
}

impl Ledger for Local {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn objects(&self, take: &mut dyn FnMut(Entry) -> Result<(), String>) -> Result<(), String> {
        self.store.export(&mut |row, outputs| take(Entry::of(row, outputs)))
    }

    fn sources(&self) -> Result<Vec<String>, String> {
        let checkpoints = self.store.checkpoints("").map_err(text)?;
        let mut sources: Vec<String> = checkpoints.into_iter().map(|checkpoint| checkpoint.source).collect();
        sources.dedup();
        Ok(sources)
    }

    fn polled(&self, source: &str) -> Result<Known, String> {
        let polled = self.store.polled(source).map_err(text)?;
        Ok(Known { polled, account: self.store.account(source).map_err(text)?, note: None })
    }

    fn add_object(&mut self, entry: Entry) -> Result<Added, String> {
        let row = entry.row();
        let known = self.store.rows(&row.place).map_err(text)?;
        if known.iter().any(|known| known.says_as_much_as(&row)) {
            return Ok(Added::Known);
        }
        self.store.write([&row]).map_err(text)?;
        Ok(Added::New)
    }

    fn set_source(&mut self, source: &str, known: Known) -> Result<(), String> {
        let Known { polled: Polled { checkpoints, seen, .. }, account, .. } = known;
        if let Some(account) = account {
            self.store.belongs_to(source, &account).map_err(text)?;
        }
        let term = self.store.term(source).map_err(text)?;
        let (source, checkpoints) = (source.to_owned(), checkpoints.into_iter().collect());
        let mark = Mark { source, term, checkpoints, seen, forget_before: None };
        self.store.mark(&[mark], Timestamp::now().as_second()).map_err(text)
    }
}

fn text(error: rusqlite::Error) -> String {
    told(&error)
}
