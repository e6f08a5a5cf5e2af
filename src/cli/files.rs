//! The configuration files named on the command line.

use std::path::{Path, PathBuf};

use crate::config::{self, Environment, Loaded, Problems};

/// The files named on the command line.
#[derive(Debug, Clone)]
pub struct Files {
    pub config: PathBuf,
    /// A file whose outputs replace the configuration's.
    pub output: Option<PathBuf>,
}

impl Files {
    /// Names a configuration file that has its own outputs.
    pub fn one(config: &Path) -> Files {
        Files { config: config.to_owned(), output: None }
    }

    /// # Errors
    /// All problems at once, if one of them is an error.
    pub fn load(&self) -> Result<Loaded, Problems> {
        config::load_with(&self.config, self.output.as_deref(), &Environment::here())
    }
}
