//! The basis of all other modules: bounds, stopping, waiting, memory, names and text. It knows no other module.

pub mod allocator;
pub mod backoff;
pub mod budget;
pub mod buffers;
pub mod certificate;
pub mod crew;
pub mod limits;
pub mod locks;
pub mod naming;
pub mod object;
pub mod out;
pub mod pause;
pub mod permissions;
pub mod runtime;
pub mod stop;
#[cfg(test)]
pub mod testing;
pub mod text;
