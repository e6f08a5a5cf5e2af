//! The log level.

use log::LevelFilter;

use crate::settings::Config;

/// The log level.
pub fn level(config: &Config) -> LevelFilter {
    if config.globals.debug { LevelFilter::Debug } else { LevelFilter::Info }
}
