//! Ranges and defaults of whole numbers: one constant for each key, from which its reader, its documentation and the
//! schema take them.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::base::limits;

/// The visibility timeout of an input that names none.
pub const VISIBILITY_DEFAULT: Duration = Duration::from_secs(120);
/// The receivers of an input that names no number.
pub const RECEIVERS_DEFAULT: usize = 2;

/// A whole number of the configuration.
#[derive(Debug)]
pub struct Number {
    pub range: RangeInclusive<i64>,
    /// The value without the key.
    pub default: i64,
}

/// Threads of one kind. The default depends on the machine.
pub const THREADS: RangeInclusive<i64> = 1..=limits::THREADS_MAX as i64;
/// A TCP port. The default depends on what listens there.
pub const PORT: RangeInclusive<i64> = 1..=65_535;
/// In seconds.
pub const SHUTDOWN_TIMEOUT: Number = Number {
    range: 0..=limits::SHUTDOWN_TIMEOUT_MAX.as_secs() as i64,
    default: limits::SHUTDOWN_TIMEOUT_DEFAULT.as_secs() as i64,
};
/// In seconds.
pub const INTERNAL_EVENTS_PERIOD: Number =
    Number { range: 5..=86_400, default: limits::INTERNAL_EVENTS_PERIOD.as_secs() as i64 };
pub const SENDERS: Number =
    Number { range: 1..=limits::SENDERS_MAX as i64, default: limits::SENDERS_DEFAULT as i64 };
/// Without the key for the senders.
pub const MAX_SENDERS: Number = Number { default: limits::SENDERS_MAX_DEFAULT as i64, ..SENDERS };
pub const COMPRESSION_LEVEL: Number = Number { range: 1..=12, default: limits::GZIP_LEVEL_DEFAULT as i64 };
/// In seconds.
pub const VISIBILITY_TIMEOUT: Number = Number {
    range: 1..=limits::VISIBILITY_TIMEOUT_MAX.as_secs() as i64,
    default: VISIBILITY_DEFAULT.as_secs() as i64,
};
/// In seconds.
pub const WAIT_TIMEOUT: Number = Number {
    range: 0..=limits::SQS_WAIT_MAX.as_secs() as i64,
    default: limits::SQS_WAIT_MAX.as_secs() as i64,
};
pub const MESSAGES: Number = Number { range: 1..=limits::SQS_MESSAGES_MAX as i64, default: 10 };
pub const RECEIVERS: Number =
    Number { range: 1..=limits::RECEIVERS_MAX as i64, default: RECEIVERS_DEFAULT as i64 };
/// In seconds; the default is the vendor's, as are the next three.
pub const REQUEST_PERIOD: Number =
    Number { range: 1..=limits::POLL_PERIOD_MAX.as_secs() as i64, default: 60 };
pub const PULL_RETRIES: Number = Number { range: 0..=1000, default: 3 };
/// In minutes.
pub const GAP: Number = Number { range: 0..=7 * 24 * 60, default: 15 };
/// In hours.
pub const TIME_SLOT: Number = Number { range: 1..=90 * 24, default: 1 };
pub const LOG_SHARDS: Number = Number { range: 1..=64, default: 1 };
pub const COLUMN: RangeInclusive<i64> = 0..=limits::CSV_COLUMN_MAX;
pub const HEADER_LINES: Number = Number { range: 0..=limits::HEADER_LINES_MAX as i64, default: 0 };

/// The words of the documentation for a range.
macro_rules! range {
    ($range:expr) => {
        const_format::formatcp!("{} to {}", *$range.start(), *$range.end())
    };
}

/// The words of the documentation for a range of seconds.
macro_rules! seconds {
    ($range:expr) => {
        const_format::formatcp!("seconds, {} to {}", *$range.start(), *$range.end())
    };
}

/// The documentation's default of a number.
macro_rules! default {
    ($number:expr) => {
        const_format::formatcp!("{}", { $number.default })
    };
}

pub(super) use {default, range, seconds};
