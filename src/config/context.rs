//! The context of the file's readers, and the paths of files that it names.

use std::path::{Path, PathBuf};

use super::Environment;
use super::registry::Catalog;

/// The context that every reader may use besides its own keys.
pub(super) struct Context<'a> {
    /// The base of relative paths: the folder of the configuration file, as [`whole`] spells it.
    pub base: &'a Path,
    pub environment: &'a Environment,
    /// The names that `services` may have.
    pub catalog: &'a Catalog,
}

impl Context<'_> {
    /// Resolves a name in the file: in the file's folder, else in one of `folders` that exists in it or beside it. The
    /// vendor's container has the folders `config`, `certs` and `state` beside each other.
    pub fn find(&self, name: impl AsRef<Path>, folders: &[&str], is_it: fn(&Path) -> bool) -> PathBuf {
        let name = name.as_ref();
        let places = std::iter::once(self.base).chain(self.base.parent());
        let in_place = |place: &Path| {
            let within = folders.iter().map(move |folder| place.join(folder));
            std::iter::once(place.to_owned()).chain(within).collect::<Vec<_>>()
        };
        let mut paths = places.flat_map(in_place).map(|folder| folder.join(name));
        paths.find(|path| is_it(path)).unwrap_or_else(|| self.base.join(name))
    }

    /// Resolves the ledger's folder, like [`Context::find`]. A service cannot write below `/etc`, so a folder that does not
    /// exist yet belongs under the service's own folder in `/var/lib` if the file is in `/etc`.
    pub fn find_state(&self, name: &Path) -> State {
        let found = self.find(name, &[], Path::is_dir);
        let of_service = state_of_service(self.base, Path::is_dir).map(|folder| folder.join(name));
        State::of(found, of_service, Path::is_dir)
    }
}

/// The ledger's folder, and another that a start from elsewhere may have used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    pub used: PathBuf,
    pub other: Option<PathBuf>,
}

impl State {
    fn of(found: PathBuf, of_service: Option<PathBuf>, is_dir: fn(&Path) -> bool) -> State {
        match of_service.filter(|folder| *folder != found) {
            Some(folder) if !is_dir(&found) => State { used: folder, other: None },
            other => State { used: found, other: other.filter(|folder| is_dir(folder)) },
        }
    }
}

/// A folder's one spelling: absolute, without `..` and symbolic links, so that every way to name a file leads to the same
/// places. An empty path is the current folder.
pub(super) fn whole(folder: &Path) -> PathBuf {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let absolute = || std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    folder.canonicalize().unwrap_or_else(|_| absolute())
}

/// The folder `/var/lib/NAME`, if it exists, of a service with its configuration in `/etc/NAME` (Filesystem Hierarchy
/// Standard 3.0, section 5.8).
fn state_of_service(base: &Path, is_dir: fn(&Path) -> bool) -> Option<PathBuf> {
    let name = base.strip_prefix("/etc").ok()?.components().next()?;
    Some(Path::new("/var/lib").join(name)).filter(|folder| is_dir(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_in_etc_has_its_state_in_var_lib() {
        let of = |base: &str, is_dir| state_of_service(Path::new(base), is_dir);
        let folder = Some(PathBuf::from("/var/lib/aws-to-devo"));
        assert_eq!(of("/etc/aws-to-devo", |_| true), folder);
        assert_eq!(of("/etc/aws-to-devo/config", |_| true), folder);
        assert_eq!(of("/etc/aws-to-devo", |_| false), None, "without such a folder it stays beside the file");
        for elsewhere in ["/etc", "/srv/etc/aws-to-devo", "/home/ana/aws-to-devo", ""] {
            assert_eq!(of(elsewhere, |_| true), None, "{elsewhere}");
        }
    }

    #[test]
    fn of_two_folders_for_the_ledger_the_one_beside_the_file_is_used_and_the_other_is_known() {
        let [beside, of_service] = ["/etc/c/state", "/var/lib/c/state"].map(PathBuf::from);
        let of = |is_dir| {
            let State { used, other } = State::of(beside.clone(), Some(of_service.clone()), is_dir);
            (used, other)
        };
        assert_eq!(of(|_| false), (of_service.clone(), None));
        assert_eq!(of(|path| path.starts_with("/var")), (of_service.clone(), None));
        assert_eq!(of(|path| path.starts_with("/etc")), (beside.clone(), None));
        assert_eq!(of(|_| true), (beside.clone(), Some(of_service.clone())));
        let absolute = State::of(of_service.clone(), Some(of_service.clone()), |_| true);
        assert_eq!(absolute, State { used: of_service.clone(), other: None }, "written as an absolute path");
        assert_eq!(State::of(beside.clone(), None, |_| true).other, None);
    }
}
