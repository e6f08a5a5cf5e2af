//! Batch -> Devo, an in-house relay, or the console.
//!
//! Every output has a pool of sender threads; each has one [`connection`] and the [`window`] of its unconfirmed batches,
//! both in a `session`, where workers write directly while it is free. Some of them stand by until the `backlog` shows that
//! the others cannot keep up. With [`Confirmation::Close`] a full
//! connection is left to its peer as an [`ending`], while its sender continues with the next one. A broken connection's
//! batches are returned to the pool and sent again. `caution` has the senders' knowledge of a peer that ends
//! connections; a batch that was on several of them is tested in `question`, by means of `trial`.

mod backlog;
mod caution;
pub mod connection;
mod console;
mod ending;
mod error;
mod greet;
mod outq;
mod place;
mod pool;
mod question;
#[cfg(test)]
#[cfg(feature = "lab")]
mod scripted_testing;
mod sender;
#[cfg(test)]
#[cfg(feature = "lab")]
mod sender_testing;
mod session;
mod shared;
mod standby;
#[cfg(test)]
mod testing;
#[cfg(test)]
#[cfg(feature = "lab")]
mod tests;
mod throttle;
pub mod tls;
mod trial;
pub mod window;
pub mod wire;

pub use error::Error;
pub use pool::{Outputs, Pool, PoolError, PoolSettings, Renewal, probe};
