//! stop
pub use crate::aws::Stop;
