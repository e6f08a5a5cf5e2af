//! The clocks: monotonic, and the machine's own.

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use super::simulation;

/// The monotonic clock.
pub fn now() -> Instant {
    simulation().map_or_else(Instant::now, |simulation| simulation.now())
}

/// The time since `then`, by the monotonic clock.
pub fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

/// The machine's clock, which may be wrong and may be set.
pub fn wall() -> SystemTime {
    simulation().map_or_else(SystemTime::now, |simulation| simulation.wall())
}

/// The machine's clock, as a timestamp.
pub fn timestamp() -> Timestamp {
    // A clock outside of the years that a timestamp covers is as wrong as one that shows 1970.
    Timestamp::try_from(wall()).unwrap_or(Timestamp::UNIX_EPOCH)
}
