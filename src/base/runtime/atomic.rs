//! Values that threads share without a lock: those of `std`.
//!
//! The code whose orderings matter takes them from here, so that `tests/memory.rs` can compile the same files with those
//! of the `loom` crate, which tries every order that the memory model allows.

pub use std::sync::Arc;
pub use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
