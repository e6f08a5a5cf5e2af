//! batch -> Devo, an in-house relay, or the console.
//!
//! Every output has a fixed pool of sender threads; each owns one [`connection`] and the
//! [`window`] of batches that are not confirmed on it. A broken connection's batches go back to the
//! pool and are sent again.

pub mod connection;
mod console;
mod error;
mod greet;
mod outq;
mod pool;
mod sender;
mod throttle;
pub mod tls;
pub mod window;

pub use error::Error;
pub use pool::{Outputs, Pool, PoolError, PoolSettings, Renewal, probe};
pub use throttle::Rates;
