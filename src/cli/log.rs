//! Log lines on standard error.

use env_logger::{Builder, Env, Target};

/// Info, or debug when the configuration says so; `RUST_LOG` overrides both. Later calls do nothing.
pub fn start(debug: bool) {
    let level = if debug { "aws_to_devo=debug,info" } else { "aws_to_devo=info,warn" };
    let logger = Builder::from_env(Env::default().default_filter_or(level))
        .format_timestamp_millis()
        .format_target(false)
        .target(Target::Stderr)
        .try_init();
    // Only a second start fails, and then the first one's settings hold.
    drop(logger);
}
