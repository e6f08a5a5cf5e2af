//! The environment, given as an argument.

use std::sync::Arc;

/// Values of environment variables, by name.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;
