//! The services that a configuration can name.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::services::Definition;

/// A service that can be named in a configuration.
#[derive(Debug, Clone)]
pub struct Row {
    pub name: String,
    /// The Devo table, for people: it may hold several, and `*`.
    pub table: String,
    /// What the objects are, for people.
    pub reads: String,
    /// What their keys look like, for people.
    pub named: String,
    /// What `check` says of the service as it is.
    pub note: String,
    pub definition: Arc<Definition>,
    /// What a user's entry overrides.
    pub(super) keys: Map<String, Value>,
}

/// All services that a configuration can name, in the order of the listing.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub(super) rows: Vec<Row>,
    /// Names whose rows have problems.
    pub(super) refused: Vec<String>,
}
