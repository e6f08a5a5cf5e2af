//! What readers of the file are given, and the files that it names.

use std::path::{Path, PathBuf};

use super::Environment;
use super::registry::Catalog;

/// The context that every reader may use besides its own keys.
pub(super) struct Context<'a> {
    /// The base of relative paths: the folder of the configuration file.
    pub base: &'a Path,
    pub environment: &'a Environment,
    /// The names that `services` may have.
    pub catalog: &'a Catalog,
}

impl Context<'_> {
    /// Resolves a name in the file: in the file's folder, else in one of `folders` that exists in it or beside it. The
    /// vendor's container has the folders `config`, `certs` and `state` beside each other.
    pub fn find(&self, name: &str, folders: &[&str], is_it: fn(&Path) -> bool) -> PathBuf {
        let places = std::iter::once(self.base).chain(self.base.parent());
        let in_place = |place: &Path| {
            let within = folders.iter().map(move |folder| place.join(folder));
            std::iter::once(place.to_owned()).chain(within).collect::<Vec<_>>()
        };
        let mut paths = places.flat_map(in_place).map(|folder| folder.join(name));
        paths.find(|path| is_it(path)).unwrap_or_else(|| self.base.join(name))
    }
}
