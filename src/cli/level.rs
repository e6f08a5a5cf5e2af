//! What is logged.

use super::log::Level;
use crate::settings::Config;

/// The log level.
pub fn level(config: &Config) -> Level {
    if config.globals.debug { Level::Debug } else { Level::Info }
}
