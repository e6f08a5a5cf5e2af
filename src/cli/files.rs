//! The files that a configuration is read from.

use std::path::{Path, PathBuf};

use crate::config::{self, Environment, Loaded, Problems};

/// What the command line names.
#[derive(Debug, Clone)]
pub struct Files {
    pub config: PathBuf,
    /// Its outputs are used instead of the configuration's.
    pub output: Option<PathBuf>,
}

impl Files {
    /// A configuration with outputs of its own.
    pub fn one(config: &Path) -> Files {
        Files { config: config.to_owned(), output: None }
    }

    /// # Errors
    /// All problems at once, if one of them is an error.
    pub fn load(&self) -> Result<Loaded, Problems> {
        config::load_with(&self.config, self.output.as_deref(), &Environment::here())
    }
}
