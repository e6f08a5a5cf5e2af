//! Helpers that several fuzz targets share.

pub mod chunks;
pub mod parts;

/// Leaves the panics of a package to those who catch them. Every other one ends the process at once, so that libFuzzer
/// shows where it was.
pub fn allow_panics_of(package: &'static str) {
    let end = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|location| location.file().contains(package)) {
            end(panic);
        }
    }));
}
