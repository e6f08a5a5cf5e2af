//! What readers of the file are given, and the files that it names.

use super::Environment;
use super::memory::format_size;
use super::registry::Catalog;
use crate::base::limits;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What every reader may look at besides its own keys.
pub(super) struct Context<'a> {
    /// Relative paths start here: the folder of the configuration file.
    pub base: &'a Path,
    pub environment: &'a Environment,
    /// What `services` may name.
    pub catalog: &'a Catalog,
}

impl Context<'_> {
    /// Where a name in the file leads: into the file's folder, else into one of `folders` that is there or beside it.
    /// The vendor's container has the folders `config`, `certs` and `state` beside each other.
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

/// At most `CONFIGURATION_FILE_BYTES_MAX` bytes; errors name the file.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = limits::CONFIGURATION_FILE_BYTES_MAX;
    let read = std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > limit => {
            Err(format!("{} is larger than {}", path.display(), format_size(limit)))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// The same, as text.
pub(super) fn read_text(path: &Path) -> Result<String, String> {
    String::from_utf8(read_file(path)?).map_err(|_| format!("{} is not UTF-8", path.display()))
}
