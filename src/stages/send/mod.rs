//! batch -> Devo, an in-house relay, or the console.
//!
//! Every output has a fixed pool of sender threads; each has one [`connection`] and the
//! [`window`] of batches that are not confirmed on it, both in a `session`, where workers write
//! straight away while it is free. With [`Confirmation::Close`] a connection that has had enough is left to its
//! peer as an [`ending`], while its sender goes on with the next one. A broken connection's batches go back to the pool
//! and are sent again. What the
//! senders know of a peer that ends connections is in `caution`; a batch that was on several of them is put to
//! the test in `question`, by means of `trial`.

mod caution;
pub mod connection;
mod console;
mod ending;
mod error;
mod greet;
mod outq;
mod pool;
mod question;
mod sender;
mod session;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod throttle;
pub mod tls;
mod trial;
pub mod window;

pub use error::Error;
pub use pool::{Outputs, Pool, PoolError, PoolSettings, Renewal, probe};
