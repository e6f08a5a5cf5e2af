//! The services that a configuration can name.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::services::Definition;

/// A service that a configuration can name.
#[derive(Debug, Clone)]
pub struct Row {
    pub name: String,
    /// The Devo table, for people: it may contain several, and `*`.
    pub table: String,
    /// The objects' content, for people.
    pub reads: String,
    /// The objects' keys, for people.
    pub named: String,
    /// The line that `check` prints for the unchanged service.
    pub note: String,
    pub definition: Arc<Definition>,
    /// The tests beside it in a definitions file, as written.
    pub(super) tests: Option<Value>,
    /// The keys that a user's entry overrides.
    pub(super) keys: Map<String, Value>,
}

/// All services that a configuration can name, in the order of the listing.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub(super) rows: Vec<Row>,
    /// Names whose rows have problems.
    pub(super) refused: Vec<String>,
}
