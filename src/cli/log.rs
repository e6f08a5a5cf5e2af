//! Log lines on standard error.

use env_logger::{Builder, Env, Target};

/// How much is logged, unless `RUST_LOG` says otherwise.
#[derive(Debug, Clone, Copy)]
pub enum Level {
    Warn,
    Info,
    Debug,
}

/// Starts logging; later calls do nothing.
pub fn start(level: Level) {
    let level = match level {
        Level::Warn => "warn",
        Level::Info => "aws_to_devo=info,warn",
        Level::Debug => "aws_to_devo=debug,info",
    };
    let logger = Builder::from_env(Env::default().default_filter_or(level))
        .format_timestamp_millis()
        .format_target(false)
        .target(Target::Stderr)
        .try_init();
    // Only a second start fails, and then the first one's settings hold.
    drop(logger);
}
