//! The two kinds of ledger, as `export` and `import` see them.

use super::lines::Entry;
use crate::fleet::Known;

/// The outcome for an object that is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    New,
    /// The ledger knows as much or more of it.
    Known,
    /// The ledger cannot have it: nothing names its content, or its name is too long.
    Nameless,
}

/// A ledger that can be exported and imported: the file of one host, or the table of several.
pub trait Ledger {
    /// For people.
    fn name(&self) -> String;

    /// Passes on all objects.
    fn objects(&self, take: &mut dyn FnMut(Entry) -> Result<(), String>) -> Result<(), String>;

    /// The names of all sources with checkpoints.
    fn sources(&self) -> Result<Vec<String>, String>;

    fn polled(&self, source: &str) -> Result<Known, String>;

    /// Adds an object that all outputs of the configuration have as far as it says.
    fn add_object(&mut self, entry: Entry) -> Result<Added, String>;

    /// Sets the state of a source that has none.
    fn set_source(&mut self, source: &str, known: Known) -> Result<(), String>;
}
